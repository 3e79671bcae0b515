"""What a worker does for one run of a suite: the same backtest as `--mode backtest`, over data that it keeps.

The parent has judged the data and holds the store still, so nothing is judged, fetched or generated here. What a run
comes to is a function of its task alone; durations apart, and the name of the folder of a run that is not COMPLETED,
which counts how many of them there are. What a bot prints goes to stderr. Called by one thread in each process.
"""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from src.backtesting.engine.pacing import TimeMode, pacer_for
from src.backtesting.metrics import Metrics
from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.run import FinishedRun, PlayedRun, PreparedRun, is_stuck, keep, play, prepare
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError, DeterminismError, InternalError, LockstepError
from src.core.sync import collect_new, monotonic_ns, rare_collections
from src.research.suite.ports import RunAnswer, RunTask
from src.research.suite.shelf import Shelf
from src.research.suite.surroundings import restored_surroundings

__all__ = ["forget_data", "run_task"]

_shelf = Shelf()
_stuck: list[str] = []


def run_task(task: RunTask) -> RunAnswer:
    """Run a task in this process and store it. An error of the bot is part of the answer.

    A run that leaves a thread stuck is answered like any other; the process ends when it is given the next task, which
    has to be tried again in another one.

    Raises:
        ConfigError: the runs folder cannot be written, or a file that the parent has read is another one by now.
        DataError: the store is not what it must be, PreflightError where it lacks what the run needs.
        OSError, MemoryError: the machine has not enough of something.
        InternalError: the run was stopped from outside.
    """
    if _stuck:
        os._exit(1)  # nothing else ends the stuck thread
    # A run that is over hangs together in cycles. Its objects are all new, so letting go of them at once is cheap, and
    # the process holds no more after many runs than after one.
    began, loads = monotonic_ns(), _shelf.loads
    with rare_collections(), restored_surroundings():
        answer, timing = _made(task, began)
    collect_new()
    timing |= {"task": _seconds(began), "loads": _shelf.loads - loads, "worker": os.getpid()}
    return RunAnswer(key=task.key, timing=timing, **answer)


def forget_data() -> None:
    """Let go of the data that this process keeps for the next run."""
    _shelf.clear()


def _made(task: RunTask, began: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the run came to, and how long its parts took; nothing of the run is left when this returns but cycles."""
    with redirect_stdout(sys.stderr):
        document = ConfigDocument(task.values, {}, task.name, Path(task.folder))
        try:
            prepared = prepare(document, preflight=False, judged=True, opening=_shelf.opening(task))
        finally:
            _shelf.rest()
        _refuse_other_code(task, prepared)
        answer, timing = _answer(task, prepared, began)
    return {"fingerprint": prepared.market.fingerprint, **answer}, timing


def _refuse_other_code(task: RunTask, prepared: PreparedRun) -> None:
    """Refuse to make another run than the one that was planned: what it is made of was hashed here once more."""
    inputs = prepared.manifest["inputs"]
    if task.code and task.code != inputs["code"]:
        changed = "Lockstep's own source"
    elif task.user_files is not None and task.user_files != inputs["user_files"]:
        found = inputs["user_files"]
        changed = ", ".join(sorted(use for use in found if task.user_files.get(use) != found[use]))
    else:
        return
    raise ConfigError(
        f"expected the code that the suite was planned with, found that {changed} has changed since; leave it alone "
        "while a suite is under way, and run the suite again"
    )


def _answer(task: RunTask, prepared: PreparedRun, began: int) -> tuple[dict[str, Any], dict[str, Any]]:
    ready = _seconds(began)
    try:
        # As fast as it goes: pace and time mode are for somebody who watches, and change no result.
        played = play(prepared, pacer=pacer_for(TimeMode.MAX_SPEED, None))
    except ConfigError as error:  # found by the bot itself: no other attempt comes to anything else
        # As by itself, nothing of it is stored, so that it has no id either.
        return {"outcome": Outcome.FAILED.value, **_told(error)}, {"prepare": ready}
    result = played.result
    if is_stuck(result):
        _stuck.append(task.key)
    _refuse_unfinished(result)
    over = _seconds(began)
    timing = {"engine": result.seconds, "prepare": ready, "play": over - ready}
    try:
        finished = keep(prepared, played, report=False)
    except (DeterminismError, InternalError) as error:  # the run is stored beside its place, and will be so again
        return _spoiled(prepared, played, error), timing
    timing["keep"] = _seconds(began) - over
    return _told_of(finished), timing


def _refuse_unfinished(result: BacktestResult) -> None:
    """Refuse what is no result: a run that somebody stopped, or that had not enough memory."""
    if result.outcome is Outcome.INTERRUPTED:
        raise InternalError("the run was stopped from outside before it came to its end; run it again")
    cause: BaseException | None = result.error
    while cause is not None:
        if isinstance(cause, MemoryError):
            raise MemoryError("the run needs more memory than there is")
        cause = cause.__cause__
    if any(" raised MemoryError" in sentence for sentence in result.failures.values()):
        raise MemoryError("a strategy of the run needs more memory than there is")


def _told_of(finished: FinishedRun) -> dict[str, Any]:
    result = finished.result
    return {
        "outcome": result.outcome.value,
        "run_id": finished.run_id,
        "digest": result.digest,
        "folder": finished.folder.name,
        "metrics": _plain(finished.metrics),
        "artifacts": dict(sorted(finished.artifacts.items())),
        **_told_end(result),
    }


def _told_end(result: BacktestResult) -> dict[str, str]:
    """What ended a run, or what its bot stopped trading on the way."""
    told = _told(result.error)
    if result.error is None and result.failures:
        stopped = [f"stopped trading {symbol}: {sentence}" for symbol, sentence in sorted(result.failures.items())]
        told["error"] = "; ".join(stopped)
    return told


def _spoiled(prepared: PreparedRun, played: PlayedRun, error: LockstepError) -> dict[str, Any]:
    folder = error.details.get("folder")
    return {
        "outcome": Outcome.FAILED.value,
        "run_id": str(error.details.get("run_id", prepared.run_id)),
        "digest": played.result.digest,
        "folder": "" if folder is None else Path(str(folder)).name,
        **_told(error),
    }


def _told(error: LockstepError | None) -> dict[str, str]:
    if error is None:
        return {"error_type": "", "error": ""}
    return {"error_type": type(error).__name__, "error": error.message}


def _plain(metrics: Metrics | None) -> dict[str, Any]:
    """The figures that are one number or one text each."""
    values = {} if metrics is None else metrics.as_dict()
    return {name: value for name, value in values.items() if isinstance(value, (int, float, str))}


def _seconds(since_ns: int) -> float:
    return (monotonic_ns() - since_ns) / 1e9
