"""Runs the bot of one configuration in this process, under a schedule that is written decision by decision.

The strategies' files are executed anew for each run, so that no state of a user's module passes from one to the next.
Nothing is stored. Called by one thread.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.run import compose
from src.backtesting.schedules import Candidate, SchedulePolicy, policy_named
from src.backtesting.schedules.accesses import PortLogs
from src.backtesting.schedules.deviations import Deviation, replay_string
from src.backtesting.schedules.policy import undisturbed
from src.research.explore.diagnose import Choice, Move, Script, Seen
from src.research.trial import Trial, prepared_for

__all__ = ["Lab", "Scripted", "Watched"]


class Scripted:
    """The written order but for some moves; one that does not fit the run is left out.

    Args:
        moves: the deviations, at most one for each decision.
        preempts: whether turns may also be given away at broker calls.
    """

    in_order = False

    def __init__(self, moves: Sequence[Move], *, preempts: bool) -> None:
        self.preempts = preempts
        self._moves = {(instant_ns, number): index for instant_ns, number, index in moves}
        self._now_ns = -1
        self._number = 0

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """See `SchedulePolicy`."""
        if now_ns != self._now_ns:
            self._now_ns, self._number = now_ns, 0
        index = self._moves.get((now_ns, self._number))
        self._number += 1
        return undisturbed(ready) if index is None or index >= len(ready) else index

    def describe(self) -> str:
        """See `SchedulePolicy`."""
        moves = [Deviation(instant_ns=at, number=number, index=i) for (at, number), i in sorted(self._moves.items())]
        return replay_string(moves, preempts=self.preempts)


class Watched:
    """Decides as another policy does and keeps where that deviates from the written order.

    Args:
        policy: who really decides.
        watch_ns: the instant of which all decisions are kept.

    Attributes:
        at_instant: called at the first decision of each instant.
        deviations: so far, in order.
        choices: those of the watched instant.
    """

    in_order = False

    def __init__(self, policy: SchedulePolicy, watch_ns: int | None) -> None:
        self.preempts = policy.preempts
        self.deviations: list[Move] = []
        self.choices: list[Choice] = []
        self._policy = policy
        self._watch_ns = watch_ns
        self._now_ns = -1
        self._number = 0
        self.at_instant: Callable[[int], None] = _nothing

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """See `SchedulePolicy`."""
        if now_ns != self._now_ns:
            self._now_ns, self._number = now_ns, 0
            self.at_instant(now_ns)
        index = self._policy.choose(ready, now_ns)
        if index != undisturbed(ready):
            self.deviations.append((now_ns, self._number, index))
        if now_ns == self._watch_ns:
            names = tuple(each.name for each in ready)
            self.choices.append(Choice(instant_ns=now_ns, number=self._number, names=names, index=index))
        self._number += 1
        return index

    def describe(self) -> str:
        """See `SchedulePolicy`."""
        return self._policy.describe()

    def replay_string(self) -> str:
        """The value of `backtest.schedule` that repeats the run."""
        moves = [Deviation(instant_ns=at, number=number, index=index) for at, number, index in self.deviations]
        return replay_string(moves, preempts=self.preempts)


class _Enough:
    """Stops a run of which nothing more is wanted; asked once at each instant, inside the run."""

    def __init__(self, script: Script, controller: BacktestController) -> None:
        self._unlike = script.unlike
        self._last_ns = script.watch_ns if script.watch_only else None
        self._controller = controller
        self._same = 0

    def __call__(self, now_ns: int) -> None:
        if (self._last_ns is not None and now_ns > self._last_ns) or self._differs():
            self._controller.stop("nothing more is wanted of this run")

    def _differs(self) -> bool:
        if self._unlike is None:
            return False
        records, unlike = self._controller.records, self._unlike
        while self._same < len(records):
            if self._same >= len(unlike):
                return True
            a, b = records[self._same], unlike[self._same]
            if a != b and repr(a) != repr(b):  # a value that is no number equals nothing, not even itself
                return True
            self._same += 1
        return False


def _nothing(now_ns: int) -> None:
    return


class Lab:
    """Runs of one configuration.

    Args:
        config: the configuration file.
        overrides: what is changed in it.
        told: called before each run with how many there were.

    Attributes:
        runs: how many there were.
    """

    def __init__(self, config: Path, overrides: Sequence[str], told: Callable[[int], None] | None = None) -> None:
        self._config = config
        self._overrides = tuple(overrides)
        self._told = told
        self.runs = 0

    def trial(self, script: Script) -> Trial:
        """The script's run as far as a trial can tell it."""
        return Trial(path=str(self._config), overrides=self._overrides, symbols=script.symbols or ())

    def run(self, script: Script) -> Seen:
        """Run once.

        Raises:
            LockstepError: the run could not even begin.
        """
        self.runs += 1
        if self._told is not None:
            self._told(self.runs)
        prepared = prepared_for(self.trial(script))
        policy: SchedulePolicy = Scripted(script.moves, preempts=script.preempts)
        if script.schedule is not None:
            policy = policy_named(script.schedule, prepared.config.backtest.seed)
        watched = Watched(policy, script.watch_ns)
        logs = None if script.logs_since_ns is None else PortLogs(script.logs_since_ns, script.retold)
        controller = compose(replace(prepared, policy=watched), logs=logs)
        if script.unlike is not None or script.watch_only:
            watched.at_instant = _Enough(script, controller)
        result = controller.run()
        return Seen(
            key=(result.digest, result.outcome.value, "" if result.error is None else type(result.error).__name__),
            records=result.records,
            deviations=tuple(watched.deviations),
            choices=tuple(watched.choices),
            logs=logs,
            replay=watched.replay_string(),
        )
