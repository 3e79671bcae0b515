"""`data import`, `data list`, `data check`: what is in the store of market data, and how it gets there.

Runs in the main thread; a store is open only while a command needs it.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from src.cli.ask import plan_import, show_report
from src.cli.options import (
    DebugOption,
    JsonOption,
    KindOption,
    PriceOption,
    QuietOption,
    SourceOption,
    StampOption,
    StoreOption,
    SymbolOption,
    TimeframeOption,
    ZoneOption,
    answers_of,
)
from src.cli.output import Output
from src.core.timeframe import format_duration, format_instant
from src.data.check import CheckReport, check_series
from src.data.importing import run_import
from src.data.store import HistoricalDataStore

__all__ = ["data_app"]

DEFAULT_STORE = Path("data") / "market.duckdb"

data_app = typer.Typer(help="Import market data, list it, check it.")


@data_app.command("import")
def import_command(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV or Parquet file of bars.")],
    symbol: SymbolOption = None,
    kind: KindOption = None,
    timeframe: TimeframeOption = None,
    zone: ZoneOption = None,
    stamp: StampOption = None,
    price: PriceOption = None,
    source: SourceOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Store the bars of a file.

    What the file does not say is asked in a terminal, otherwise refused with the full command to paste.
    """
    out = output_of(context, as_json, quiet, debug)
    plan = plan_import(file, answers_of(symbol, kind, timeframe, zone, stamp, price, source), out)
    plan.require_complete()  # before the store is opened, so that a refusal leaves no file behind
    with HistoricalDataStore(store) as opened:
        report = run_import(plan, opened)
    show_report(report, store, out)
    out.result({**dataclasses.asdict(report), "store": str(store)})
    return 0


@data_app.command("list")
def list_command(
    context: typer.Context,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Show which series are stored."""
    out = output_of(context, as_json, quiet, debug)
    with HistoricalDataStore(store, read_only=True) as opened:
        found = opened.list_series()
    rows = [
        (one.symbol, format_duration(one.timeframe_ns), one.price_side, one.kind, one.source, f"{one.bars:,}",
         format_instant(one.first_ns), format_instant(one.last_ns))
        for one in found
    ]  # fmt: skip
    columns = ("symbol", "timeframe", "price", "kind", "source", "bars", "first", "last")
    out.table(columns, rows, numbers=("bars",))
    if not found:
        out.say(f"{store} holds no series")
    out.result({"store": str(store), "series": [dataclasses.asdict(one) for one in found]})
    return 0


@data_app.command("check")
def check_command(
    context: typer.Context,
    symbol: Annotated[str | None, typer.Argument(metavar="[SYMBOL]", help="All of them by default.")] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Look for wrong bars and holes; exit code 1 when a bar is wrong, absent ones are only counted."""
    out = output_of(context, as_json, quiet, debug)
    reports = []
    with HistoricalDataStore(store, read_only=True) as opened:
        for one in opened.series_of(symbol) if symbol else opened.list_series():
            calendar = (opened.read_instrument(one.symbol) or {}).get("calendar", "24/7")
            reports.append(check_series(opened.read_bars(one.symbol, one.timeframe_ns), calendar))
    for report in reports:
        _show_check(report, out)
    out.result(
        {"store": str(store), "series": [{**dataclasses.asdict(one), "is_sound": one.is_sound} for one in reports]}
    )
    return 0 if all(report.is_sound for report in reports) else 1


def output_of(context: typer.Context, as_json: bool, quiet: bool, debug: bool) -> Output:
    """The output of a verb; `--json` and the like count before the verb as well as after it."""
    before = context.obj or {}
    return Output(
        as_json=as_json or before.get("as_json", False),
        quiet=quiet or before.get("quiet", False),
        debug=debug or before.get("debug", False),
    )


def _show_check(report: CheckReport, out: Output) -> None:
    name = f"{report.symbol} {format_duration(report.timeframe_ns)}"
    out.say(f"{name}: {report.bars:,} bars, {'sound' if report.is_sound else 'NOT SOUND'}", style="bold")
    counts = ("duplicates", "unordered", "ohlc_violations", "non_positive", "not_finite")
    wrong = [f"{getattr(report, key)} {key.replace('_', ' ')}" for key in counts if getattr(report, key)]
    if wrong:
        out.say(f"  {', '.join(wrong)}")
    if report.expected is None:
        out.say(f"  absent bars are not counted: the hours of calendar {report.calendar} are not known here")
        return
    share = 100 * (report.absent or 0) / report.expected if report.expected else 0.0
    out.say(
        f"  {report.absent:,} of {report.expected:,} bars absent ({share:.2f} %) by calendar {report.calendar}, "
        f"{report.outside:,} outside its hours"
    )
    for hole in report.holes[:3]:
        out.say(f"  longest: {hole.bars:,} bars from {format_instant(hole.start_ns)}")
