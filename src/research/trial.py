"""One backtest under given conditions: nothing is stored, what comes back is small and can be sent between processes.

The market of a configuration is read once in each process and shared by all its trials, as it was then; the files of
the strategies are executed anew for each, so that no state of a user's module passes from one to the next. What a bot
prints goes to stderr. Called by one thread in each process.
"""

import json
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

from src.backtesting.engine.pacing import Pacer, TimeMode, pacer_for
from src.backtesting.engine.ports import Gate
from src.backtesting.metrics import Metrics, compute_metrics
from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.run import PreparedRun, compose, is_stuck, prepare
from src.backtesting.schedules import policy_named
from src.backtesting.schedules.recording import Recording
from src.backtesting.strict import refuse_real_locks
from src.core.config_file import read_config
from src.core.day import AccountDay
from src.core.errors import InternalError
from src.core.journal import JournalRecord
from src.core.record import record
from src.research.processes import Lost, in_processes
from src.strategies import load_strategy

__all__ = ["Trial", "TrialResult", "answered", "prepared_for", "run_trial", "run_trials", "run_trials_here"]

#: How many prepared runs a process keeps; each holds its market.
_MOST_PREPARED = 4

#: Pace, mode and folder of the configuration belong to the run that somebody watches and keeps.
_UNWATCHED = ("backtest.time_mode=MAX_SPEED", "backtest.pace=null")

_prepared: OrderedDict[tuple[str, tuple[str, ...], tuple[str, ...]], PreparedRun] = OrderedDict()
_stuck: list[str] = []


@record
class Trial:
    """A run of one configuration; what is left empty is as configured, but for the pace: as fast as it goes.

    Attributes:
        path: the configuration file.
        overrides: `key=value`, as `--set` has them.
        schedule: the value of `backtest.schedule`.
        symbols: another order of the symbols.
        runtime: `threads` or `fibers`.
        pace: seconds of market time for each real second, such as `60x`.
        pace_every: the pace is kept at each so many-th market step only, because a real delay cannot be as short as
            one of many steps would have to be.
        every_step: everybody is woken at each step, whether there is something to do or not.
        keep_records: the result carries the journal.
        keep_schedule: the result carries the decisions of the schedule as a replay string.
    """

    path: str
    overrides: tuple[str, ...] = ()
    schedule: str = ""
    symbols: tuple[str, ...] = ()
    runtime: str = ""
    pace: str = ""
    pace_every: int = 1
    every_step: bool = False
    keep_records: bool = False
    keep_schedule: bool = False


@record
class TrialResult:
    """What a trial came to.

    Attributes:
        digest: of the journal; empty when there was no run, as when its process died.
        outcome: COMPLETED, DEGRADED or FAILED.
        trades, net, profit, max_drawdown_percent, final_equity: see `Metrics`, `profit` is final equity less start
            balance; None where the run has no figures.
        turns: how many were taken.
        refusals: refused intents by code.
        failures: why a symbol was dropped, by symbol.
        records: the journal in digest order, if it was asked for.
        replay: the value of `backtest.schedule` that repeats the run.
        error: type and sentence of what ended a failed run, empty otherwise.
        seconds: real time between the first and the last turn.
    """

    digest: str
    outcome: str
    trades: int | None
    net: float | None
    profit: float | None
    max_drawdown_percent: float | None
    final_equity: float | None
    turns: int
    refusals: dict[str, int]
    failures: dict[str, str]
    records: tuple[JournalRecord, ...]
    replay: str
    error: str
    seconds: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What has to be equal for two runs to count as one result: digest, outcome, and type of error."""
        return self.digest, self.outcome, self.error.partition(":")[0]


def run_trial(trial: Trial) -> TrialResult:
    """Run a trial in this process. An error of the bot is part of the result.

    Raises:
        LockstepError: the run could not even begin, see `prepare`; or its schedule was recorded from another one.
    """
    with redirect_stdout(sys.stderr):
        prepared = prepared_for(trial)
        section = prepared.config.backtest
        if trial.runtime == "fibers":
            refuse_real_locks(prepared.user_files)
        policy = policy_named(trial.schedule or section.schedule, section.seed)
        recording = Recording(policy) if trial.keep_schedule else None
        config = prepared.config.model_copy(
            update={"backtest": section.model_copy(update={"runtime": trial.runtime or section.runtime})}
        )
        controller = compose(
            replace(prepared, config=config, policy=recording or policy),
            pacer=_gate(trial),
            every_step=trial.every_step,
        )
        result = controller.run()
    replay = policy.describe() if recording is None else recording.replay_string()
    return _trial_result(trial, prepared, result, replay)


def run_trials_here(trials: Sequence[Trial]) -> tuple[TrialResult, ...]:
    """Run trials one after the other in this process; none is begun after one that left a thread stuck.

    Raises:
        LockstepError: see `run_trial`.
    """
    results: list[TrialResult] = []
    for trial in trials:
        results.append(_lost(f"a thread of {_stuck[0]} hangs in its process") if _stuck else run_trial(trial))
    return tuple(results)


def run_trials(
    trials: Sequence[Trial],
    workers: int,
    on_result: Callable[[int, TrialResult], None] | None = None,
    *,
    deadline_s: float | None = None,
) -> list[TrialResult]:
    """Run trials side by side in processes that live on from one to the next; the results in the order of the trials.

    A trial whose process died twice, or that took longer than `deadline_s` real seconds, is a FAILED result without a
    digest.

    Args:
        on_result: told of each as it ends, with its place.

    Raises:
        LockstepError: see `run_trial`; the others are given up then.
    """

    def told(i: int, answer: TrialResult | Lost) -> None:
        if on_result is not None:
            on_result(i, answered(answer))

    answers = in_processes(_run_or_leave, trials, workers=workers, deadline_s=deadline_s, on_done=told)
    return [answered(answer) for answer in answers]


def answered(answer: TrialResult | Lost) -> TrialResult:
    """The result of a trial that had a process; FAILED when there is none."""
    return _lost(answer.reason) if isinstance(answer, Lost) else answer


def prepared_for(trial: Trial) -> PreparedRun:
    """The trial's run with everything that it reads; the market as it was when this process first read it.

    Raises:
        LockstepError: see `prepare`.
    """
    key = (str(Path(trial.path).resolve()), trial.overrides, trial.symbols)
    known = _prepared.get(key)
    if known is not None:
        _prepared.move_to_end(key)
        folder = Path(trial.path).resolve().parent
        classes = {one.instance: load_strategy(one.use, folder).cls for one in known.config.strategies}
        return replace(known, classes=classes)
    words = [*trial.overrides, *_UNWATCHED]
    if trial.symbols:
        words.append(f"symbols={json.dumps(list(trial.symbols))}")
    prepared = prepare(read_config(Path(trial.path), words), stored=False)
    _prepared[key] = prepared
    if len(_prepared) > _MOST_PREPARED:
        _prepared.popitem(last=False)
    return prepared


def _run_or_leave(trial: Trial) -> TrialResult:
    if _stuck:
        os._exit(1)  # nothing else ends the stuck thread; the trial gets a new process
    return run_trial(trial)


class _NowAndThen:
    """A pacer that is asked at every so many-th market step only, for the time since the last one."""

    def __init__(self, pacer: Pacer, every: int) -> None:
        self._pacer = pacer
        self._every = every
        self._steps = 0
        self._from_ns: int | None = None

    def before_step(self, now_ns: int, at_ns: int, *, market: bool) -> None:
        if not market:
            return
        if self._from_ns is None:
            self._from_ns = now_ns
        self._steps += 1
        if self._steps % self._every == 0:
            self._pacer.before_step(self._from_ns, at_ns, market=True)
            self._from_ns = at_ns

    def wake_up(self) -> None:
        self._pacer.wake_up()


def _gate(trial: Trial) -> Gate | None:
    pacer = None if not trial.pace else pacer_for(TimeMode.MAX_SPEED, trial.pace)
    return pacer if pacer is None or trial.pace_every == 1 else _NowAndThen(pacer, trial.pace_every)


def _trial_result(trial: Trial, prepared: PreparedRun, result: BacktestResult, replay: str) -> TrialResult:
    if is_stuck(result):
        _stuck.append(Path(trial.path).name)
    metrics = _figures(prepared, result)
    error = "" if result.error is None else f"{type(result.error).__name__}: {result.error.message}"
    return TrialResult(
        digest=result.digest,
        outcome=result.outcome.value,
        trades=None if metrics is None else metrics.trades,
        net=None if metrics is None else metrics.net,
        profit=None if metrics is None else metrics.final_equity - metrics.initial_balance,
        max_drawdown_percent=None if metrics is None else metrics.max_drawdown_percent,
        final_equity=None if metrics is None else metrics.final_equity,
        turns=result.turns,
        refusals=dict(result.refusals),
        failures=dict(result.failures),
        records=tuple(result.records) if trial.keep_records else (),
        replay=replay,
        error=error,
        seconds=result.seconds,
    )


def _figures(prepared: PreparedRun, result: BacktestResult) -> Metrics | None:
    day = prepared.config.risk.day
    try:
        return compute_metrics(result, day=AccountDay(day.zone, day.at))
    except InternalError:
        return None


def _lost(reason: str) -> TrialResult:
    return TrialResult(
        digest="", outcome=Outcome.FAILED.value, trades=None, net=None, profit=None, max_drawdown_percent=None,
        final_equity=None, turns=0, refusals={}, failures={}, records=(), replay="", error=f"Lost: {reason}",
        seconds=0.0,
    )  # fmt: skip
