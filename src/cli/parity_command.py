"""`parity`: did a recorded run decide what it decides again, what another run decides, and on the bars of the store?

Runs in the main thread; the replayed bot's threads live inside the replay.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from src.backtesting.config import BacktestConfig
from src.backtesting.generated import bar_opener
from src.cli.options import DEFAULT_STORE, DebugOption, JsonOption, QuietOption, ReportOption, output_of
from src.cli.output import Output, stdout_kept
from src.cli.replay_command import show_fills
from src.cli.report_file import check_report
from src.cli.run_folder import RunArgument, RunsOption, found_run
from src.core.config_file import ConfigDocument
from src.core.errors import DeterminismError, LockstepError
from src.core.timeframe import SECOND_NS, format_instant, parse_duration
from src.core.words import counted
from src.data.bar_store import BarStore
from src.data.store import HistoricalDataStore
from src.pages import write_page
from src.research.parity.fill_errors import FillReport
from src.research.parity.recorded import RecordedRun, read_recorded, read_side
from src.research.parity.report import ParityReport, difference_rows, fills_as_dict
from src.research.parity.report_page import parity_page
from src.research.parity.run_parity import parity_of_replay, parity_with, simulated_fills
from src.research.parity.store_bars import StoreComparison, against_store, count_text, difference_text, store_series
from src.research.replay import replay_recorded

__all__ = ["parity_command"]

_EXIT_DIFFERS = DeterminismError.exit_code
_SHOWN = 50
_HEADS = ("", "bar", "symbol", "book", "what", "reference", "other", "cause")


def parity_command(
    context: typer.Context,
    run: RunArgument,
    against: Annotated[
        str | None, typer.Option("--against", metavar="RUN", help="Another run: a recording or a backtest.")
    ] = None,
    with_store: Annotated[
        bool, typer.Option("--against-store", help="Compare the recorded bars with those of the store.")
    ] = False,
    store: Annotated[
        Path | None, typer.Option("--store", help="The DuckDB file; that of the run's configuration if absent.")
    ] = None,
    late: Annotated[
        str, typer.Option("--late", metavar="DURATION", help="What comes so much later in one of two runs is late.")
    ] = "1s",
    report_to: ReportOption = None,
    config: RunsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Compare a recorded run decision by decision with its replay, and sort each difference by its cause.

    Exit code 4 when a decision differs with recorded fills, or from the run that was named. How far the fills lie from
    simulated ones is shown beside it.
    """
    out = output_of(context, as_json, quiet, debug)
    late_ns = parse_duration(late)
    if report_to is not None:
        check_report(report_to)
    with stdout_kept() if out.as_json else nullcontext():
        recorded = read_recorded(found_run(run, config))
        stored = _stored(recorded, store) if with_store else None
        replayed = replay_recorded(recorded.folder)
        report = parity_of_replay(recorded, replayed, late_ns=late_ns, stored=stored[1] if stored else ())
        other = None
        if against is not None:
            other = parity_with(recorded, read_side(_other_run(against, recorded, config), recorded), late_ns=late_ns)
        fills, no_fills = _fills(recorded)
    same = report.is_same and (other is None or other.is_same)
    exit_code = 0 if same else _EXIT_DIFFERS
    _show(report, out)
    if other is not None:
        _show(other, out)
    if stored is not None:
        _show_bars(stored[0], out)
    if fills is not None:
        out.say()
        show_fills(fills, out)
    else:
        out.say(f"fills were not simulated: {no_fills}")
    if report_to is not None:
        reports = [report] if other is None else [report, other]
        page = parity_page(
            recorded.folder.name, reports, fills=fills, no_fills=no_fills, stored=None if stored is None else stored[0]
        )
        write_page(report_to, page)
        out.say(f"report: {report_to}")
    out.result(
        {
            "run": str(recorded.folder), "same": same, "exit_code": exit_code, "replay": report.as_dict(),
            "against": None if other is None else other.as_dict(),
            "store": None if stored is None else _bars_as_dict(stored[0]),
            "fills": None if fills is None else fills_as_dict(fills), "no_fills": no_fills or None,
        }
    )  # fmt: skip
    return exit_code


def _stored(run: RecordedRun, given: Path | None) -> tuple[StoreComparison, Any]:
    with _store_of(run, given) as opened:
        return against_store(run, opened), store_series(run, opened)


def _store_of(run: RecordedRun, given: Path | None) -> AbstractContextManager[BarStore]:
    """The store that was named, or that of the run's configuration; the usual one where it names none."""
    if given is not None:
        return HistoricalDataStore(given, read_only=True)
    folder = Path(run.meta.get("folder", "."))
    section: Any = run.values().get("backtest")
    data: Any = section.get("data") if isinstance(section, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("store"), str):
        return HistoricalDataStore(DEFAULT_STORE, read_only=True)
    if data.get("source") != "synthetic":
        return HistoricalDataStore(folder / data["store"], read_only=True)
    config = ConfigDocument(run.values(), {}, f"the configuration of {run.folder.name}", folder).validate(
        BacktestConfig
    )
    return bar_opener(config, folder)()


def _other_run(text: str, run: RecordedRun, config: Path | None) -> Path:
    """The folder of the run to compare with: one that lies beside the first may be told by its name alone."""
    beside = run.folder.resolve().parent / text
    return beside if beside.is_dir() and not Path(text).is_dir() else found_run(text, config)


def _fills(run: RecordedRun) -> tuple[FillReport | None, str]:
    """The errors of the fills; with the reason where they cannot be had."""
    try:
        return simulated_fills(run), ""
    except LockstepError as error:
        return None, error.message


def _show(report: ParityReport, out: Output) -> None:
    found = report.comparison
    out.say()
    for note in report.notes:
        out.warn(note)
    if report.diverged:
        out.error(report.diverged)
    if report.explained:
        rows = difference_rows(report)
        out.table(_HEADS, rows[:_SHOWN], numbers=("",))
        for number, each in enumerate(report.explained[:_SHOWN], 1):
            out.say(f"{number}: {each.cause}, {format_instant(each.instant_ns)}: {each.text}")
        if len(rows) > _SHOWN:
            out.say(f"and {len(rows) - _SHOWN:,} more; --json has them all")
        causes = ", ".join(f"{cause} {count}" for cause, count in report.causes.items())
        until = "" if report.until_ns is None else f" until {format_instant(report.until_ns)}, where it was left"
        out.error(
            f"{report.other} differs from {report.reference} in {counted(len(rows), 'decision')} of "
            f"{max(found.reference_count, found.other_count):,}{until}; causes: {causes}"
        )
        return
    delays = found.delays_ns
    late = "" if not delays or not delays[-1] else f", at most {delays[-1] / SECOND_NS:.3g} s later"
    if not report.diverged:
        decisions = counted(found.reference_count, "decision")
        out.say(f"{report.other} decided as {report.reference}: {decisions}{late}", style="bold green")


def _show_bars(found: StoreComparison, out: Output) -> None:
    out.say()
    for note in found.notes:
        out.warn(note)
    for each in found.differences[:_SHOWN]:
        out.say(f"  {difference_text(each)}")
    if len(found.differences) > _SHOWN:
        out.say(f"  and {len(found.differences) - _SHOWN:,} more; --json has them all")
    out.say(f"{counted(found.compared, 'bar')} compared with the store; differences: {count_text(found.differences)}")


def _bars_as_dict(found: StoreComparison) -> dict[str, Any]:
    return {
        "compared": found.compared, "notes": list(found.notes),
        "differences": [
            {"symbol": each.symbol, "timeframe_ns": each.timeframe_ns, "open_ns": each.open_ns, "what": each.what,
             "fields": list(each.fields), "recorded": each.recorded, "stored": each.stored}
            for each in found.differences
        ],
    }  # fmt: skip
