"""The windows of a re-optimising walk-forward one after the other: what its trains came to, what was chosen, its test.

Called by one thread, in the process that holds the lock of the walk-forward. Each answer is on the disk before the next
one is waited for.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from src.backtesting.result import Outcome
from src.core.errors import InternalError
from src.core.timeframe import format_instant
from src.research.executors.port import Executor, Lost
from src.research.suite.index import why_lost
from src.research.suite.manifest import Manifest
from src.research.suite.plan import Plan
from src.research.suite.ports import RunAnswer, RunTask
from src.research.suite.records import RecordBook
from src.research.suite.task import run_task
from src.research.validation.choosing import Tried, best_of, eligible, why_none
from src.research.validation.figures import figure
from src.research.validation.reoptimise_files import equity_of_run, series_of_run, trades_of_run
from src.research.validation.reoptimise_plan import Reoptimisation
from src.research.validation.stitching import Piece, flat_piece, piece_of
from src.research.validation.windows import Window

__all__ = ["ENDED", "Progress", "Runs", "Walk", "WindowChoice"]

#: What a run has to be for its figures to count.
ENDED = (Outcome.COMPLETED.value, Outcome.DEGRADED.value)
#: The figures of a run that are told of each window, besides the objective.
_TOLD = ("trades", "total_r", "r_counted", "net", "return_percent", "max_drawdown_percent", "sharpe")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowChoice:
    """What was chosen for one window, and what it came to.

    Attributes:
        window: its edges; a partial last one is traded as well.
        tried, eligible: how many choices there were, and how many of them could be chosen.
        name, labels: of the choice; empty where nothing could be chosen.
        objective: its figure on the train.
        reason: why nothing was traded; empty where something was chosen.
        train, test: figures of the two runs by name; empty where there is none.
        train_run_id, test_run_id: likewise.
        equity_from, equity_to: what the test began and ended with.
    """

    window: Window
    tried: int
    eligible: int
    name: str = ""
    labels: tuple[tuple[str, Any], ...] = ()
    objective: float | None = None
    reason: str = ""
    train: tuple[tuple[str, Any], ...] = ()
    test: tuple[tuple[str, Any], ...] = ()
    train_run_id: str = ""
    test_run_id: str = ""
    equity_from: float
    equity_to: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values with their keys in a fixed order, instants as texts UTC."""
        each = self.window
        return {
            "number": each.number,
            "train_from": format_instant(each.train_from_ns), "train_to": format_instant(each.train_to_ns),
            "test_from": format_instant(each.test_from_ns), "test_to": format_instant(each.test_to_ns),
            "label": "partial" if each.partial else "whole", "tried": self.tried, "eligible": self.eligible,
            "chosen": self.name or None, "labels": dict(self.labels), "objective": self.objective,
            "reason": self.reason, "train": dict(self.train), "test": dict(self.test),
            "equity_from": self.equity_from, "equity_to": self.equity_to,
            "train_run_id": self.train_run_id or None, "test_run_id": self.test_run_id or None,
        }  # fmt: skip


class Progress:
    """Counts trains and windows, and tells of them."""

    def __init__(
        self, tell: Callable[[int, int, int], object], trains: frozenset[str], known: set[str], windows: int
    ) -> None:  # fmt: skip
        self._tell, self._total = tell, len(trains) + windows
        self._done, self._failed = len(trains & known), 0

    def step(self, *, failed: bool) -> None:
        """One of them is over."""
        self._done += 1
        self._failed += failed
        self._tell(self._done, self._failed, self._total)


class Runs:
    """Makes runs, and records each answer before the next one is waited for."""

    def __init__(self, executor: Executor, book: RecordBook, known: set[str], progress: Progress) -> None:
        self._executor, self._book, self._progress = executor, book, progress
        self._there = set(known)
        self.known = len(known)
        self.seconds = 0.0

    def make(self, trains: Iterable[RunTask]) -> None:
        """Make many runs side by side, each a step of its own."""

        def told(task: RunTask, answer: RunAnswer | Lost) -> None:
            self._progress.step(failed=self._record(task, answer))

        self._executor.each(run_task, trains, told)

    def make_one(self, task: RunTask) -> None:
        """Make one run, which is no step."""
        self._executor.each(run_task, [task], self._record_only)

    def step(self, *, failed: bool) -> None:
        """A window is over."""
        self._progress.step(failed=failed)

    def answer(self, key: str) -> RunAnswer | None:
        """What a run came to that was made now, or is known; None where it is not, or is lost."""
        return self._book.answer(key) if key in self._there else None

    def why_lost(self, key: str) -> str:
        """The sentence of a run without an answer."""
        return why_lost(self._book.lost().get(key))

    def _record_only(self, task: RunTask, answer: RunAnswer | Lost) -> None:
        self._record(task, answer)

    def _record(self, task: RunTask, answer: RunAnswer | Lost) -> bool:
        if isinstance(answer, Lost):
            self._book.append_lost(task.key, answer)
            return True
        self._book.append(answer)
        self._there.add(task.key)
        self.seconds += float(answer.timing.get("task", 0.0))
        return answer.outcome not in ENDED


class Walk:
    """One window after the other: judge the trains, make the test, carry the equity on."""

    def __init__(self, prepared: Reoptimisation, runs: Runs, mirror: str) -> None:
        self._prepared, self._runs, self._mirror = prepared, runs, mirror
        self._looked_at: set[str] = set()
        self.equity = prepared.balance
        self.choices: list[WindowChoice] = []
        self.pieces: list[Piece] = []
        self.trades: list[dict[str, list[Any]]] = []
        #: The keys of those that were made, or should have been.
        self.tests: set[str] = set()
        self.series: set[tuple[tuple[str, str], ...]] = set()
        self.synthetic = False

    def all_windows(self) -> str:
        """Go through the windows; the sentence of the one that could not be ended, empty where there is none."""
        for index, window in enumerate(self._prepared.windows):
            error = self._window(index, window)
            self._runs.step(failed=bool(error))
            if error:
                return f"window {window.number}, {error}"
        return ""

    def _window(self, index: int, window: Window) -> str:
        asked, plan, tried = self._prepared.section, self._prepared.plan, list[Tried]()
        for place, position in enumerate(self._prepared.train(index)):
            answer = self._runs.answer(plan.keys[position])
            if answer is None:
                why = self._runs.why_lost(plan.keys[position])
                return f"train of {self._title(self._prepared.manifest, position)}: {why}; --resume makes it again"
            self._look_at(answer)
            tried.append(_tried(place, answer, asked.objective))
        best = best_of(tried, highest=self._prepared.highest, minimum_trades=asked.minimum_trades)
        choice = WindowChoice(
            window=window, tried=len(tried), eligible=eligible(tried, asked.minimum_trades),
            equity_from=self.equity, equity_to=self.equity,
        )  # fmt: skip
        if best is None:
            why = why_none(tried, objective=asked.objective, minimum_trades=asked.minimum_trades)
            return self._flat(choice, why)
        if self.equity <= 0:
            return self._flat(choice, f"the account has {self.equity:,.2f} {self._prepared.currency} left, with which "
                                      "nothing can be traded")  # fmt: skip
        spec = self._prepared.choices[best.place]
        train = self._runs.answer(plan.keys[self._prepared.train(index)[best.place]])
        assert train is not None  # it was looked at above
        choice = replace(
            choice, name=spec.name, labels=spec.labels, objective=figure(best.value), train=self._told_of(train),
            train_run_id=train.run_id,
        )  # fmt: skip
        return self._test(index, best.place, choice)

    def _flat(self, choice: WindowChoice, reason: str) -> str:
        window = choice.window
        self.choices.append(replace(choice, reason=reason))
        self.pieces.append(flat_piece(window.number, window.test_from_ns, window.test_to_ns, carried=self.equity))
        return ""

    def _test(self, index: int, place: int, choice: WindowChoice) -> str:
        manifest, plan = self._prepared.carried(index, place, self.equity)
        key, window = plan.keys[-1], choice.window
        self.tests.add(key)
        if self._runs.answer(key) is None:
            self._runs.make_one(self._task(plan, key))
        answer, title = self._runs.answer(key), self._title(manifest, len(plan.keys) - 1)
        if answer is None:
            return f"test of {title}: {self._runs.why_lost(key)}; --resume makes it again"
        if answer.outcome not in ENDED:
            return f"test of {title}: it failed, so that nothing can be carried on from it: {answer.error}"
        if answer.metrics.get("open_positions"):
            return f"test of {title}: it ended with positions open, so that the next window cannot begin flat"
        self._look_at(answer)
        folder, final = self._prepared.runs_dir / answer.folder, float(answer.metrics["final_equity"])
        instant_ns, equity = equity_of_run(folder)
        self.pieces.append(
            piece_of(
                window.number, window.test_from_ns, window.test_to_ns, carried=self.equity, final=final,
                instant_ns=instant_ns, equity=equity,
            )
        )  # fmt: skip
        self.trades.append(trades_of_run(folder))
        self.choices.append(
            replace(choice, test=self._told_of(answer), test_run_id=answer.run_id, equity_to=final)
        )  # fmt: skip
        self.equity = final
        return ""

    def _task(self, plan: Plan, key: str) -> RunTask:
        """The task of a run, which is new, or one that was planned from the beginning."""
        plan.judge()  # takes what was found in the data of this window before
        for each in (plan, self._prepared.plan):
            found = next(each.tasks(mirror=self._mirror, wanted=lambda one: one == key), None)
            if found is not None:
                return found
        raise InternalError(f"a run that is in no plan: {key}")

    def _look_at(self, answer: RunAnswer) -> None:
        if answer.run_id and answer.fingerprint not in self._looked_at:
            self._looked_at.add(answer.fingerprint)
            series, synthetic = series_of_run(self._prepared.runs_dir / answer.folder)
            self.series.add(series)
            self.synthetic |= synthetic

    def _told_of(self, answer: RunAnswer) -> tuple[tuple[str, Any], ...]:
        names = dict.fromkeys((*_TOLD, self._prepared.section.objective))
        told = [(name, answer.metrics.get(name)) for name in names]
        return (
            ("outcome", answer.outcome),
            *((name, figure(value) if isinstance(value, float) else value) for name, value in told),
        )

    @staticmethod
    def _title(manifest: Manifest, position: int) -> str:
        return manifest.title(manifest.specs[position])


def _tried(place: int, answer: RunAnswer, objective: str) -> Tried:
    ended, value, trades = answer.outcome in ENDED, answer.metrics.get(objective), answer.metrics.get("trades")
    return Tried(
        place=place, ended=ended, trades=trades if ended else None,
        value=float(value) if ended and isinstance(value, (int, float)) else None,
    )  # fmt: skip
