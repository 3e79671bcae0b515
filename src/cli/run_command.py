"""`--mode backtest`: run one configuration and show what came of it.

Runs in the main thread; the bot's own threads live inside `execute`.
"""

import os
import sys
import webbrowser
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from src import __version__
from src.backtesting.artifacts.trial_ledger import ledger_note
from src.backtesting.preflight import PreflightReport
from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.run import FinishedRun, PreparedRun, Watch, execute, is_stuck, prepare
from src.backtesting.strict import StrictReport
from src.backtesting.summary import result_rows
from src.backtesting.tracing import ensure_trace_file
from src.cli.output import EXIT_INTERRUPTED, Output, stdout_kept
from src.cli.progress import progress_watch
from src.cli.steering import Steering, steered
from src.cli.threads import probe_for, show_statistics, store_trace
from src.cli.watch import live_watch, watch_console
from src.core.config_file import ConfigDocument
from src.core.errors import LockstepError
from src.core.timeframe import format_instant
from src.core.words import counted

__all__ = ["run_backtest"]

_EXIT_NOT_STRICT = 4
#: The schedule that goes without saying.
_IN_ORDER = "1:fifo"
#: A longer replay string is no line for a terminal.
_LONGEST_SHOWN = 4000
_EXIT_CODES = {Outcome.COMPLETED: 0, Outcome.DEGRADED: 1, Outcome.FAILED: 1, Outcome.INTERRUPTED: EXIT_INTERRUPTED}


def run_backtest(
    document: ConfigDocument,
    out: Output,
    *,
    open_report: bool = False,
    progress: bool | None = None,
    trace: Path | None = None,
    stats: bool = False,
    steering: Steering | None = None,
    preflight: bool = True,
) -> int:
    """Run, store and show one backtest; the exit code.

    Args:
        trace: a file for the spans of all threads.
        stats: whether the threads' real time is shown.
        steering: how somebody at the terminal controls it from the start, and whether a live view is shown.
        preflight: whether the data are judged first.

    A run whose bot left a thread stuck ends the process here, because nothing else can end that thread.
    """
    steering = steering or Steering()
    steering.check(document)
    console = watch_console(out) if steering.watched else None
    if trace is not None:
        ensure_trace_file(trace)
    # What a strategy prints itself must not stand between a program and the one object that it reads.
    with stdout_kept() if out.as_json else nullcontext():
        prepared = prepare(document, preflight=preflight)
    steering.check_window(prepared.start_ns, prepared.end_ns)
    _announce(prepared, out)
    if prepared.preflight is None:
        out.warn("preflight was skipped: nobody looked whether the data are what the run needs")
    else:
        _tell_findings(prepared.preflight, out)
    if console is not None:
        watch: Watch | None = live_watch(prepared, console)
    else:
        watch = progress_watch(prepared, out.errors, forced=False if out.quiet else progress)
    measured = trace is not None or stats or console is not None
    probe = probe_for(prepared, spans=trace is not None) if measured else None
    try:
        with stdout_kept() if out.as_json else nullcontext():
            finished = execute(prepared, watch=steered(steering, watch, out), probe=probe)
    except LockstepError:
        # Of a run that could not be stored the trace is wanted most.
        store_trace(probe, trace, out, title=prepared.run_id)
        raise
    exit_code = _EXIT_CODES[finished.result.outcome]
    if exit_code == 0 and finished.strict is not None and finished.strict.findings:
        exit_code = _EXIT_NOT_STRICT
    _show(finished, prepared.policy.describe(), out)
    if finished.strict is not None:
        _show_strict(finished.strict, out)
    store_trace(probe, trace, out, title=finished.run_id)
    if probe is not None and stats:
        show_statistics(probe.statistics(), out)
    out.result(_run_json(finished, prepared, exit_code))
    report = finished.folder / "report.html"
    if open_report and report.is_file():
        webbrowser.open(report.as_uri())
    if is_stuck(finished.result):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    return exit_code


def _announce(prepared: PreparedRun, out: Output) -> None:
    config = prepared.config
    if prepared.synthetic is not None:
        out.say(
            f"SYNTHETIC market, seed {prepared.synthetic}: generated prices; a result on them says nothing about a "
            "strategy",
            style="bold yellow",
        )
    if not prepared.deterministic:
        out.warn(
            "NON-DETERMINISTIC: schedule free lets all participants run at once; the run has no run id, and another "
            "one may give other figures"
        )
    window = f"{format_instant(prepared.start_ns)} to {format_instant(prepared.end_ns)}"
    out.say(f"Lockstep {__version__}, backtest of {config.name}: {', '.join(config.symbols)}, {window}")


def _tell_findings(report: PreflightReport, out: Output) -> None:
    """The warnings of a run's preflight on stderr; nothing else is worth a line before a run."""
    for one in report.warnings:
        out.notice(f"preflight: {one.sentence}")
    if any(one.mend for one in report.warnings):
        out.notice("preflight: `preflight --config` shows the command that mends each")


def _show(finished: FinishedRun, schedule: str, out: Output) -> None:
    result = finished.result
    out.say()
    if finished.metrics is not None:
        rows = result_rows(
            finished.metrics, synthetic=finished.synthetic is not None, deterministic=finished.replay is None,
            fidelity=result.fidelity,
        )  # fmt: skip
        out.pairs([(label, f"{text}; seed {finished.synthetic}" if label == "DATA" else text) for label, text in rows])
    out.say()
    style = "bold green" if result.outcome is Outcome.COMPLETED else "bold red"
    seed = "" if finished.synthetic is None else f" on a SYNTHETIC market, seed {finished.synthetic}"
    out.say(f"{result.outcome.value}{seed}: {_speed_text(result)}", style=style)
    if finished.replay is None:
        out.say(f"run id  {finished.run_id}")
        out.say(f"digest  {result.digest[:16]}")
        if schedule != _IN_ORDER:
            out.say(f"schedule  {_schedule_text(schedule, 'schedule')}")
    else:
        out.warn(f"NON-DETERMINISTIC: {finished.run_id} has no run id, and its digest is its own: {result.digest[:16]}")
        out.say(f"replay  {_schedule_text(finished.replay, 'replay')}")
    out.say(f"folder  {finished.folder}")
    report = finished.folder / "report.html"
    if report.is_file():
        out.say(f"report  {report}")
    if note := ledger_note(finished.folder):
        out.warn(note)
    for symbol, why in result.failures.items():
        out.error(f"{symbol} was stopped: {why}")
    if result.error is not None:
        out.error(result.error.message, result.error)
    elif result.outcome is Outcome.INTERRUPTED:
        out.error("the run was interrupted; what was simulated until then is stored")


def _show_strict(strict: StrictReport, out: Output) -> None:
    count = len(strict.findings)
    if count:
        places = "one place" if count == 1 else f"{count} places"
        out.error(f"strict: the real clock or a real lock is used in {places} of the strategies' code")
        for finding in strict.findings:
            out.warn(f"  {finding.sentence}")
    else:
        out.notice("strict: the strategies asked nothing of the real clock")
    out.notice("strict mode cannot see:")
    for line in strict.not_seen:
        out.notice(f"  {line}")


def _schedule_text(schedule: str, key: str) -> str:
    if len(schedule) <= _LONGEST_SHOWN:
        return f"--set backtest.schedule={schedule}"
    return f"the order of turns has {counted(len(schedule), 'character')}; it is `{key}` in manifest.json"


def _speed_text(result: BacktestResult) -> str:
    per_s = _bars_per_s(result)
    speed = "" if per_s is None else f", {per_s:,.0f} bars/s"
    steps, turns = counted(result.steps, "step"), counted(result.turns, "turn")
    return f"{counted(result.bars, 'bar')} in {result.seconds:.2f} s{speed}, {steps}, {turns}"


def _bars_per_s(result: BacktestResult) -> float | None:
    return result.bars / result.seconds if result.seconds > 0 else None


def _run_json(finished: FinishedRun, prepared: PreparedRun, exit_code: int) -> dict[str, Any]:
    result, report = finished.result, finished.folder / "report.html"
    error, schedule = result.error, prepared.policy.describe()
    return {
        "run_id": finished.run_id,
        "deterministic": finished.replay is None,
        "schedule": schedule,
        "replay": schedule if finished.replay is None and schedule != _IN_ORDER else finished.replay,
        "digest": result.digest,
        "outcome": result.outcome.value,
        "exit_code": exit_code,
        "synthetic": finished.synthetic is not None,
        "synthetic_seed": finished.synthetic,
        "seed": prepared.config.backtest.seed,
        "fidelity": dict(result.fidelity),
        "metrics": None if finished.metrics is None else finished.metrics.as_dict(),
        "bars": result.bars,
        "steps": result.steps,
        "turns": result.turns,
        "seconds": result.seconds,
        "bars_per_s": _bars_per_s(result),
        "timing": finished.timing,
        "preflight": None if prepared.preflight is None else prepared.preflight.as_dict()["findings"],
        "strict": None if finished.strict is None else finished.strict.as_dict(),
        "folder": str(finished.folder),
        "report": str(report) if report.is_file() else None,
        "refusals": dict(result.refusals),
        "failures": dict(result.failures),
        "error": None if error is None else {"type": type(error).__name__, "message": error.message},
    }
