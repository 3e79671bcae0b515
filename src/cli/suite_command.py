"""`suite`: hundreds of independent backtests from one manifest, over data that nobody changes meanwhile.

Runs in the main thread; the runs themselves go on in other processes, or on a cluster.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from src.cli.options import DebugOption, JsonOption, ProgressOption, QuietOption, SetOption, output_of
from src.cli.output import Output, stdout_kept
from src.cli.report_beside import page_beside
from src.cli.results_command import show_ranking
from src.cli.suite_progress import SuiteProgress
from src.cli.sync_command import bars_on, tell_waits
from src.core.program import command
from src.core.sync import interrupts_raise
from src.core.timeframe import format_duration, format_instant
from src.core.words import counted
from src.research.executors import EXECUTORS
from src.research.suite.manifest import read_manifest
from src.research.suite.plan import Plan
from src.research.suite.report_page import write_suite_report
from src.research.suite.rounds import Rounds, rounds_of
from src.research.suite.suite import SuiteReport, prepare_data, run_suite
from src.research.suite.timing import SuiteTiming

__all__ = ["suite_command"]

_EXIT_INTERRUPTED = 130
_MOST_FAILURES = 10
_TOP = 10


class _Interrupted(BaseException):
    """Ctrl-C while runs are being made; what was recorded stays."""


def suite_command(
    context: typer.Context,
    manifest: Annotated[Path, typer.Argument(metavar="FILE", help="The manifest, such as configs/suite.yaml.")],
    overrides: SetOption = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="How many processes; the physical cores less one, at most 8, if absent."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take what an earlier attempt at this suite has recorded.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be run on which data, and stop.")] = False,
    executor: Annotated[
        str | None, typer.Option("--executor", metavar="|".join(EXECUTORS), help="Where the runs are made.")
    ] = None,
    progress: ProgressOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Run every backtest of a manifest beside each other, and rank them.

    Each one is the same run as with --mode backtest: same folder, id and digest. Killed at any moment, the same command
    with --resume goes on. Exit code 1 when a run did not complete; the others are there all the same.
    """
    out = output_of(context, as_json, quiet, debug)
    with stdout_kept():  # what a strategy prints itself must not stand between a program and the object that it reads
        read = read_manifest(manifest, overrides or [])
        rounds = rounds_of(read)
        for notice in read.notices:
            out.notice(notice)
    if plan:
        return _plan(rounds, out)
    again = _again(manifest, overrides or [], workers, executor)
    watch = _Watch(out, SuiteProgress(out.errors, shown=False if quiet else progress))
    try:
        with interrupts_raise(_Interrupted), stdout_kept(), watch.progress:
            report = run_suite(
                rounds, watch, workers=workers, resume=resume, executor=executor, ask=partial(_sync, out=out)
            )
    except _Interrupted:
        out.error(f"interrupted after {watch.text}; what is done is kept, `{again}` goes on from there")
        out.result({"suite": read.name, "exit_code": _EXIT_INTERRUPTED, "outcome": "INTERRUPTED"})
        return _EXIT_INTERRUPTED
    with stdout_kept():
        page = page_beside(report.folder, write_suite_report, out, rows=report.runs)
    ranking = _show(report, read.section.search.figure, again, page, out)
    out.result({**_as_dict(report, ranking), "report": None if page is None else str(page)})
    return report.exit_code


def _again(manifest: Path, overrides: list[str], workers: int | None, executor: str | None) -> str:
    """The command that goes on with this very suite: other overrides would make another one of its manifest."""
    words = ["suite", str(manifest)]
    for each in overrides:
        words += ["--set", each]
    if workers is not None:
        words += ["--workers", str(workers)]
    if executor is not None:
        words += ["--executor", executor]
    return command(*words, "--resume")


class _Watch:
    """See `SuiteWatch`."""

    def __init__(self, out: Output, progress: SuiteProgress) -> None:
        self._out = out
        self.progress = progress
        self.text = "no run"

    def prepared(self, rounds: Rounds, folder: Path, workers: int, known: int, dropped: int) -> None:
        """See `SuiteWatch.prepared`."""
        _tell_findings(rounds.plan, self._out)
        runs, distinct = rounds.runs, rounds.distinct
        same = "" if distinct in (None, runs) else f", {counted(distinct or 0, 'different one')}"
        self._out.notice(f"{counted(runs, 'run')}{same}, {counted(workers, 'worker')}, {folder}")
        if known:
            self._out.notice(f"{counted(known, 'run')} taken from the earlier attempt")
        if dropped:
            them, it = ("is", "it") if dropped == 1 else ("are", "them")
            self._out.notice(
                f"{counted(dropped, 'run')} of an earlier attempt {them} made again; --resume would take {it}"
            )
        self.text = f"{counted(known, 'run')} of an earlier attempt" if known else self.text
        self.progress.begin(known)

    def done(self, done: int, failed: int, total: int) -> None:
        """See `SuiteWatch.done`."""
        self.text = f"{done} of {counted(total, 'run')}"
        self.progress.tell(done, failed, total)


def _plan(rounds: Rounds, out: Output) -> int:
    """Phase A alone."""
    manifest, plan, distinct = rounds.manifest, rounds.plan, rounds.distinct
    with stdout_kept(), ExitStack() as stores:
        fingerprints = prepare_data(plan, stores, partial(_sync, out=out))
    _tell_findings(plan, out)
    told = _told_search(rounds) if distinct is None else f", {counted(distinct, 'different one')}"
    out.say(f"{manifest.name}: {counted(rounds.runs, 'run')}{told}")
    out.say()
    several = len(plan.stores) > 1
    rows = [
        (
            *((str(each.store or "in memory"),) if several else ()),
            each.symbol, ", ".join(format_duration(one) for one in each.timeframes_ns),
            format_instant(each.from_ns)[:16], format_instant(each.to_ns)[:16],
        )
        for each in plan.union
    ]  # fmt: skip
    columns = ("symbol", "timeframes", "from, with warm-up", "to")
    out.table(("store", *columns) if several else columns, rows)
    out.say()
    out.table(
        ("data of", "window", "runs", "bars"),
        [
            (", ".join(each.symbols), each.window, "n/a" if distinct is None else f"{each.runs:,}", f"{each.bars:,}")
            for each in plan.classes
        ],
        numbers=("runs", "bars"),
    )
    for path, fingerprint in fingerprints.items():
        out.say(f"store  {path}, fingerprint {fingerprint}")
    out.result(
        {
            "suite": manifest.name, "runs": rounds.runs, "distinct": distinct, "rounds": rounds.rounds,
            "stores": fingerprints,
            "union": [
                {
                    "store": None if each.store is None else str(each.store),
                    "symbol": each.symbol, "timeframes": [format_duration(one) for one in each.timeframes_ns],
                    "from": format_instant(each.from_ns), "to": format_instant(each.to_ns),
                }
                for each in plan.union
            ],
            "classes": [
                {
                    "symbols": list(each.symbols), "window": each.window,
                    "runs": None if distinct is None else each.runs, "bars": each.bars,
                }
                for each in plan.classes
            ],
            "exit_code": 0,
        }
    )  # fmt: skip
    return 0


def _told_search(rounds: Rounds) -> str:
    search = rounds.manifest.section.search
    return (
        f", of which a search chooses {rounds.left:,} in {counted(rounds.rounds, 'round')} of {search.round_size} by "
        f"their {search.figure}; the data are those of the ends of all ranges, later rounds may look at more"
    )


def _sync(plan: Plan, out: Output) -> None:
    for done in plan.sync(on_opened=lambda source: tell_waits(source, out), shown=bars_on(out)):
        name = f"{done.symbol} {format_duration(done.timeframe_ns)}"
        out.notice(
            f"{name}: {counted(done.written, 'new bar')} from {done.source}" if done.asked else f"{name}: nothing new"
        )
        for sentence in done.refused:
            out.warn(f"left out: {sentence}")


def _tell_findings(plan: Plan, out: Output) -> None:
    for sentence in dict.fromkeys(one.sentence for one in plan.warnings):  # of several windows or stores the same
        out.notice(f"preflight: {sentence}")


def _show(report: SuiteReport, by: str, again: str, page: Path | None, out: Output) -> list[dict[str, Any]]:
    out.say()
    ranking = show_ranking(report.results, out, by=by, suite=report.suite_id, top=_TOP, ledger=report.ledger)
    out.say()
    for name, why in list(report.failures.items())[:_MOST_FAILURES]:
        out.error(f"{name}: {why}")
    if report.left:
        out.error(
            f"the search has ended {counted(report.left, 'run')} early, because what comes next depends on those that "
            "are lost"
        )
    if len(report.failures) > _MOST_FAILURES:
        out.error(f"and {len(report.failures) - _MOST_FAILURES} more; {report.folder / 'index.json'} has them all")
    states = ", ".join(f"{count} {status}" for status, count in report.statuses.items())
    out.say(f"{report.outcome}: {states}", style="bold green" if report.exit_code == 0 else "bold red")
    out.say(timing_text(report.timing))
    out.say(f"suite    {report.folder}")
    out.say(f"results  {report.results}")
    if page is not None:
        out.say(f"report   {page}")
    if "LOST" in report.statuses:
        out.say(f"again    {again}")
    return ranking


def timing_text(timing: SuiteTiming) -> str:
    """The one line on the clock: wall-clock, single durations added up, and what the processes were worth."""
    parts = [f"{timing.wall_seconds:.1f} s, single runs {timing.run_seconds:.1f} s"]
    if timing.speed_up is not None and timing.serial_mean_seconds is not None:
        parts.append(
            f"speed-up {timing.speed_up:.2f} for {counted(timing.parallel_runs, 'run')} in "
            f"{timing.parallel_seconds:.1f} s (against {counted(timing.serial_runs, 'run')} one at a time, "
            f"{timing.serial_mean_seconds:.3f} s each)"
        )
    elif timing.runs_per_s is not None:
        parts.append(f"{timing.runs_per_s:.1f} runs/s")
    return "; ".join(parts)


def _as_dict(report: SuiteReport, ranking: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "suite": report.name, "suite_id": report.suite_id, "outcome": report.outcome, "exit_code": report.exit_code,
        "runs": report.runs, "distinct": report.distinct, "known": report.known, "left": report.left,
        "statuses": report.statuses, "failures": report.failures, "fingerprints": report.fingerprints,
        "folder": str(report.folder), "results": str(report.results), "top": ranking, **report.timing.as_dict(),
    }  # fmt: skip
