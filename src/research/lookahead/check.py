"""Each strategy of a configuration on each of its symbols, over the whole market and over others that must not matter.

Up to an instant the same decisions have to come out whatever follows it, and the same whenever the bot was started, as
long as it starts with what its features declare. Runs go on in processes of their own, one for each strategy and
symbol; what comes out does not depend on which ends first. Called by one thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from src.backtesting.newcomers import data_needs
from src.backtesting.run import PreparedRun
from src.core.record import record
from src.research.lookahead.changes import (
    DECISIONS,
    LATER_START,
    PERTURBED,
    TRUNCATED,
    Change,
    changes_of_hidden_future,
    changes_of_later_start,
    changes_of_other_future,
)
from src.research.lookahead.instants import balance_at, calm_starts, edges
from src.research.lookahead.markets import excerpt, first_of_later_start, perturbed, truncated
from src.research.lookahead.observing import Stage
from src.research.lookahead.sufficing import change_of_restarts, least_sufficient, sufficient_window
from src.research.processes import Lost, in_processes
from src.research.trial import Trial

__all__ = ["CheckedPair", "Found", "Pair", "lookahead", "pairs_of"]

#: A later run is followed for so many decisions, or for so large a part of the window if that is longer.
_FOLLOWED_DECISIONS = 50
_FOLLOWED_SHARE = 4


@record
class Pair:
    """One strategy on one symbol, and how thoroughly it is to be looked at.

    Attributes:
        timeframes_ns: what it subscribes, its own first.
        lookbacks: bars that are declared, by timeframe.
        edges: after how many of its decisions the future is changed.
        starts: how many later starts there are.
    """

    trial: Trial
    strategy: str
    symbol: str
    timeframes_ns: tuple[int, ...]
    lookbacks: tuple[tuple[int, int], ...]
    edges: int
    starts: int


@record
class CheckedPair:
    """What came out for one strategy and symbol.

    Attributes:
        decisions: how many there were in the run over the whole market.
        features: their names and keys.
        edges, starts: how many there really were.
        changes: the earliest of each feature, of the decisions and of each kind of other run.
        problem: why nothing was compared; empty when it was.
    """

    strategy: str
    symbol: str
    decisions: int
    features: tuple[str, ...]
    edges: int
    starts: int
    changes: tuple[Change, ...]
    problem: str = ""

    @property
    def futures(self) -> int:
        """How many other futures there were: two after each edge, and one that is hidden all the time."""
        return 0 if self.problem else 2 * self.edges + 1


@record
class Found:
    """What came out for a configuration, in its order."""

    pairs: tuple[CheckedPair, ...]

    @property
    def changed(self) -> bool:
        """Whether anything that must not change did."""
        return any(pair.changes for pair in self.pairs)

    @property
    def complete(self) -> bool:
        """Whether everything was compared."""
        return not any(pair.problem for pair in self.pairs)


def pairs_of(
    prepared: PreparedRun, config: str, overrides: Sequence[str], *, edges: int = 6, starts: int = 4
) -> list[Pair]:
    """The strategies of a configuration with their symbols.

    Args:
        config: the configuration file.
        overrides: `key=value`, as `--set` has them.
    """
    trial = _trial(config, overrides)
    bot = prepared.config
    found: list[Pair] = []
    for strategy in bot.strategies:
        needs = data_needs(bot.model_copy(update={"strategies": (strategy,)}), prepared.classes)
        found += [
            Pair(
                trial=trial, strategy=strategy.instance, symbol=symbol, timeframes_ns=needs.timeframes[0],
                lookbacks=tuple(sorted(needs.lookbacks.items())), edges=edges, starts=starts,
            )
            for symbol in strategy.symbols or bot.symbols
        ]  # fmt: skip
    return found


def lookahead(
    pairs: Sequence[Pair],
    workers: int,
    on_checked: Callable[[CheckedPair], None] | None = None,
    *,
    deadline_s: float | None = None,
) -> Found:
    """Check each pair.

    Args:
        workers: how many processes at a time.
        on_checked: told of each as it ends.
        deadline_s: real seconds for one of them.

    Raises:
        LockstepError: a run could not even begin.
    """

    def told(i: int, answer: CheckedPair | Lost) -> None:
        if on_checked is not None:
            on_checked(_answered(pairs[i], answer))

    answers = in_processes(check_pair, pairs, workers=workers, deadline_s=deadline_s, on_done=told)
    return Found(pairs=tuple(_answered(pair, answer) for pair, answer in zip(pairs, answers, strict=True)))


def check_pair(pair: Pair) -> CheckedPair:
    """Run one strategy on one symbol over all the markets, in this process.

    Raises:
        LockstepError: a run could not even begin.
    """
    return _Check(pair).run()


class _Check:
    """The runs of one pair and what they showed."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._stage = Stage(pair.trial, pair.strategy, pair.symbol, pair.timeframes_ns)
        base = self._stage.base
        self._whole = self._stage.observe(excerpt(base, 0, base.loaded))
        # The engine closes what is left when the data end; a strategy's answer to that has no counterpart elsewhere.
        self._last_ns = min(self._stage.end_ns, base.close_of(base.loaded - 1))
        self._changes: dict[tuple[str, str], Change] = {}

    def run(self) -> CheckedPair:
        stage, pair, whole = self._stage, self._pair, self._whole
        own = stage.series[0]
        at = edges(whole.decisions, own, stage.start_ns, self._last_ns, pair.edges)
        starts = self._starts() if whole.failure is None else []
        if whole.failure is None:
            self._other_futures(at)
            self._hidden_future()
            self._features()
            self._later_starts(starts)
        changes = sorted(self._changes.values(), key=lambda change: (change.first_ns, change.kind, change.name))
        return CheckedPair(
            strategy=pair.strategy, symbol=pair.symbol, decisions=len(whole.decisions), features=tuple(whole.columns),
            edges=len(at), starts=len(starts), changes=tuple(changes),
            problem="" if whole.failure is None else f"the run itself fails: {whole.failure.sentence}",
        )  # fmt: skip

    def _note(self, changes: Sequence[Change]) -> None:
        for change in changes:
            key = change.name, change.how
            known = self._changes.get(key)
            if known is None or change.first_ns < known.first_ns:
                self._changes[key] = change

    def _other_futures(self, instants_ns: Sequence[int]) -> None:
        stage, base = self._stage, self._stage.base
        for edge_ns in instants_ns:
            # Up to the close of the next bar: what is known at the edge happens, and nothing else is needed.
            end_ns = base.close_of(base.count_closed(edge_ns))
            for how, change in ((TRUNCATED, truncated), (PERTURBED, perturbed)):
                other = stage.observe(change(base, edge_ns), end_ns=end_ns)
                self._note(changes_of_other_future(self._whole, other, edge_ns, how))

    def _hidden_future(self) -> None:
        """Every decision and every value at once, where the others look at a few: what is rarely peeked at shows here.

        The run ends where the whole one ends, so that the answers to the end of the data have a counterpart too.
        """
        stage, base = self._stage, self._stage.base
        other = stage.observe(excerpt(base, 0, base.loaded), hiding=True)
        self._note(changes_of_hidden_future(self._whole, other, self._last_ns))

    def _features(self) -> None:
        for column in self._whole.columns.values():
            change = change_of_restarts(column)
            self._note([] if change is None else [change])

    def _starts(self) -> list[int]:
        stage = self._stage
        found = calm_starts(
            self._whole, stage.series[0], stage.start_ns, self._last_ns, self._pair.starts
        )  # fmt: skip
        return [at_ns for at_ns in found if self._first(at_ns, dict(self._pair.lookbacks))[1]]

    def _first(self, start_ns: int, lookbacks: dict[int, int]) -> tuple[int, bool]:
        return first_of_later_start(self._stage.series, self._stage.base, start_ns, lookbacks)

    def _later(self, start_ns: int, lookbacks: dict[int, int]) -> list[Change]:
        """What changes when the bot is started then, with so many bars before."""
        stage, base = self._stage, self._stage.base
        end_ns = self._followed_to(start_ns)
        first, _ = self._first(start_ns, lookbacks)
        later = stage.observe(
            excerpt(base, first, base.loaded), start_ns, end_ns,
            balance_at(self._whole.records, start_ns, stage.balance),
        )  # fmt: skip
        return changes_of_later_start(self._whole, later, start_ns, end_ns)

    def _followed_to(self, start_ns: int) -> int:
        stage = self._stage
        after = [each.instant_ns for each in self._whole.decisions if each.instant_ns > start_ns]
        far = after[_FOLLOWED_DECISIONS] if len(after) > _FOLLOWED_DECISIONS else self._last_ns
        share = start_ns + (stage.end_ns - stage.start_ns) // _FOLLOWED_SHARE
        return min(self._last_ns, max(far, share))

    def _later_starts(self, starts: Sequence[int]) -> None:
        declared = dict(self._pair.lookbacks)
        failing: list[int] = []
        for start_ns in starts:
            found = self._later(start_ns, declared)
            self._note(found)
            failing += [start_ns] if any(change.name == DECISIONS for change in found) else []
        for key, change in list(self._changes.items()):
            if change.kind == "feature" and change.how == LATER_START:
                suffices = sufficient_window(self._whole.columns[change.name])
                self._changes[key] = replace(change, suffices=suffices)
        if failing:
            self._note_sufficient(failing, declared)

    def _note_sufficient(self, failing: Sequence[int], declared: dict[int, int]) -> None:
        """Look for the number of bars of the strategy's own timeframe with which its decisions are the same."""
        own = self._stage.series[0]

        def clean(start_ns: int, bars: int) -> bool:
            found = self._later(start_ns, {**declared, own.timeframe_ns: bars})
            return not any(change.name == DECISIONS for change in found)

        least = declared.get(own.timeframe_ns, 0)
        suffices: int | None = least
        for start_ns in reversed(failing):  # the latest first: before it lies the most, and all there is is no answer
            if suffices is not None and not clean(start_ns, suffices):
                suffices = least_sufficient(partial(clean, start_ns), suffices, own.count_closed(start_ns) - 1)
        for key, change in list(self._changes.items()):
            if change.name == DECISIONS and change.how == LATER_START:
                self._changes[key] = replace(
                    change, lookback=least, suffices=suffices, timeframe_ns=own.timeframe_ns
                )  # fmt: skip


def _trial(config: str, overrides: Sequence[str]) -> Trial:
    # One order of turns, because a single strategy needs no other, and one that can be repeated.
    return Trial(path=config, overrides=(*overrides, "backtest.schedule=fifo"))


def _answered(pair: Pair, answer: CheckedPair | Lost) -> CheckedPair:
    if not isinstance(answer, Lost):
        return answer
    return CheckedPair(
        strategy=pair.strategy, symbol=pair.symbol, decisions=0, features=(), edges=0, starts=0, changes=(),
        problem=answer.reason,
    )  # fmt: skip
