"""`data heal`, `data export`, `data delete`, `data fingerprint`: keeping the store of market data.

Runs in the main thread; a store is open only while a command needs it, for writing only where it is changed. The
present is read from the system once in `heal`, to know which bar cannot have closed yet.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from src.cli.data_advice import mirror_words, on_store
from src.cli.data_views import MirrorOption, calendar_of, present_for, refuse_unknown
from src.cli.options import (
    DEFAULT_STORE,
    AnySymbol,
    DebugOption,
    JsonOption,
    QuietOption,
    SourceSettingsOption,
    StoreOption,
    output_of,
)
from src.cli.output import Output
from src.cli.sync_command import options_of, tell_waits
from src.core.calendars import calendar_named
from src.core.errors import ConfigError, PreflightError
from src.core.sync import wall_ns
from src.core.timeframe import format_duration, format_instant, parse_timeframe
from src.core.words import counted
from src.data.fingerprint import fingerprint_columns
from src.data.healing import Change, HealReport, heal_series
from src.data.mirror import ExportReport, Partition, export_mirror, mirror_folder
from src.data.mirror_import import Restored, import_mirror, require_whole, restore_series
from src.data.sources import source_named
from src.data.sources.held import with_symbol
from src.data.sources.port import BarSource
from src.data.sources.synthetic import with_instruments
from src.data.store import HistoricalDataStore, SeriesInfo
from src.data.stored import TapeInfo
from src.data.stores import fingerprint_of

__all__ = ["delete_command", "export_command", "fingerprint_command", "heal_command", "import_folder"]

_CHANGES_SHOWN = 20

_TimeframeOption = Annotated[str | None, typer.Option("--timeframe", help="Only bars of this length, such as 1m.")]
_PriceOption = Annotated[str | None, typer.Option("--price", help="Only bars of this price, such as bid.")]


def heal_command(
    context: typer.Context,
    symbol: AnySymbol = None,
    timeframe: _TimeframeOption = None,
    source: Annotated[
        str | None, typer.Option("--source", help="Ask it for wrong and absent bars, such as ccxt:binanceusdm.")
    ] = None,
    source_options: SourceSettingsOption = None,
    drop: Annotated[
        bool, typer.Option("--drop", help="Take out bars that nothing can mend: no numbers, off the grid, not closed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done and write nothing.")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Mend what can be mended, with a line in the heal log for each change; exit code 1 when something is left.

    One copy of a duplicate is kept, rows are put into time order, high and low are widened to hold open and close.
    """
    out = output_of(context, as_json, quiet, debug)
    present_ns = wall_ns()
    reports = []
    with HistoricalDataStore(store, read_only=dry_run) as opened:
        found = _chosen(opened, symbol, timeframe, None)
        with _opened_source(opened, source, source_options or [], found, out) as asked:
            for info in found:
                own = asked if asked is not None and _is_source_of(asked, info) else None
                calendar = calendar_named(calendar_of(opened, info.symbol))
                present = present_for(info, present_ns)
                report = heal_series(
                    opened, info, calendar, source=own, now_ns=present, drop=drop, dry_run=dry_run
                )  # fmt: skip
                reports.append(report)
    for report in reports:
        _show_heal(report, out)
    out.result(
        {"store": str(store), "dry_run": dry_run, "series": [dataclasses.asdict(one) for one in reports],
         "changes": sum(len(one.changes) for one in reports), "left": sum(len(one.left) for one in reports)}
    )  # fmt: skip
    return 1 if any(one.left for one in reports) else 0


def export_command(
    context: typer.Context,
    symbol: AnySymbol = None,
    mirror: MirrorOption = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Take away the files of series that the store has no longer.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Write the Parquet mirror: one file a series with its fingerprint; what did not change is not touched.

    The copy of a series that the store has no longer stays, unless --prune says that it may go. `data import DIR`
    reads a mirror back.
    """
    out = output_of(context, as_json, quiet, debug)
    folder = mirror_folder(store) if mirror is None else mirror
    with HistoricalDataStore(store, read_only=True) as opened:
        report = export_mirror(opened, folder, symbol=symbol, prune=prune)
    _show_export(report, store, folder, symbol, out)
    out.result({"store": str(store), "mirror": str(folder), **dataclasses.asdict(report)})
    return 1 if report.refused else 0


def delete_command(
    context: typer.Context,
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="Everything of it, unless an option says less.")],
    timeframe: _TimeframeOption = None,
    price: _PriceOption = None,
    tape: Annotated[
        str | None, typer.Option("--tape", metavar="KIND", help="Only this tape: quotes, trades or funding.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Remove series and tapes from the store; a terminal is asked first, otherwise --yes is needed."""
    out = output_of(context, as_json, quiet, debug)
    with HistoricalDataStore(store, read_only=True) as opened:
        found, tapes = _doomed(opened, symbol, timeframe, price, tape)
    names = [*(one.describe() for one in found), *(one.describe() for one in tapes)]
    if not yes:
        _confirm(names, [symbol, timeframe, price, tape], store, out)
    removed = 0
    with HistoricalDataStore(store) as opened, opened.transaction():
        for info in found:
            removed += opened.delete_series(info.symbol, info.timeframe_ns, info.price_side)
        for one in tapes:
            removed += opened.delete_tape(one.symbol, one.kind)
    for name in names:
        out.say(f"deleted {name}")
    out.result(
        {"store": str(store), "series": [dataclasses.asdict(one) for one in found],
         "tapes": [dataclasses.asdict(one) for one in tapes], "rows": removed}
    )  # fmt: skip
    return 0


def fingerprint_command(
    context: typer.Context,
    symbol: AnySymbol = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Print the digest of each series and that of everything: one row more, less, changed or moved is another one."""
    out = output_of(context, as_json, quiet, debug)
    with HistoricalDataStore(store, read_only=True) as opened:
        found = _chosen(opened, symbol, None, None)
        digests = [
            fingerprint_columns(
                one.symbol, one.timeframe_ns, one.price_side,
                opened.read_raw(one.symbol, one.timeframe_ns, one.price_side),
            )
            for one in found
        ]  # fmt: skip
        everything = fingerprint_of(opened, None if symbol is None else {symbol})
    rows = [
        (digest, one.symbol, format_duration(one.timeframe_ns), one.price_side, f"{one.bars:,}")
        for one, digest in zip(found, digests, strict=True)
    ]
    what = "everything" if symbol is None else f"all of {symbol}"
    out.table(("fingerprint", "symbol", "timeframe", "price", "bars"), rows, numbers=("bars",))
    out.say(f"{everything} {what}, tapes included")
    series = [{**dataclasses.asdict(one), "fingerprint": digest} for one, digest in zip(found, digests, strict=True)]
    out.result({"store": str(store), "fingerprint": everything, "series": series})
    return 0


def import_folder(
    folder: Path, store: Path, out: Output, series: tuple[str | None, str | None, str | None], *, replace: bool
) -> int:
    """`data import DIR`: series of a mirror into the store.

    Args:
        series: symbol, timeframe and price side of those that are meant; None takes any.
        replace: put back what the series of a symbol have lost or changed, instead of adding what is absent.
    """
    symbol, timeframe, price = series
    timeframe_ns = None if timeframe is None else parse_timeframe(timeframe)
    if replace and symbol is None:
        raise ConfigError("--replace: expected --symbol with it, found none; say of which symbol bars are put back")
    # Before the store is opened, so that a refusal leaves no file behind.
    require_whole(folder, symbol, timeframe_ns, price)
    with HistoricalDataStore(store) as opened:
        if replace and symbol is not None:
            restored = restore_series(folder, opened, symbol, timeframe_ns, price)
        else:
            done = import_mirror(folder, opened, symbol, timeframe_ns, price)
            restored = [Restored(partition=one, written=new, changes=()) for one, new in done]
    for one in restored:
        name, bars = _partition_name(one.partition), counted(one.partition.bars, "bar")
        out.say(f"stored {one.written:,} new of {bars}: {name}, in {store}")
        if replace:
            _show_changes(one.changes, out)
    out.result(
        {"store": str(store), "mirror": str(folder), "series": [
            {**dataclasses.asdict(one.partition), "written": one.written,
             "changes": [dataclasses.asdict(change) for change in one.changes]}
            for one in restored
        ]}
    )  # fmt: skip
    return 0


# ------------------------------------------------------------------------------------------------- inner parts


def _chosen(
    store: HistoricalDataStore, symbol: str | None, timeframe: str | None, price: str | None
) -> list[SeriesInfo]:
    found = store.list_series() if symbol is None else store.series_of(symbol)
    wanted_ns = None if timeframe is None else parse_timeframe(timeframe)
    chosen = [one for one in found if wanted_ns in (None, one.timeframe_ns) and price in (None, one.price_side)]
    if found and not chosen:
        there = "; ".join(one.describe() for one in found)
        raise PreflightError(f"{store.path.name} has no such bars; it has {there}", path=str(store.path))
    return chosen


@contextmanager
def _opened_source(
    store: HistoricalDataStore, text: str | None, options: list[str], found: list[SeriesInfo], out: Output
) -> Iterator[BarSource | None]:
    """The source that was named, which knows the symbols by the names of the last sync; None without one."""
    if text is None:
        yield None
        return
    stored = {info.symbol: store.read_instrument(info.symbol) or {} for info in found}
    venues = {symbol: str(one["venue"]) for symbol, one in stored.items() if one.get("venue")}
    told = with_symbol(text, with_instruments(text, options_of(options), stored), stored)
    with closing(source_named(text, options=told, venues=venues)) as opened:
        tell_waits(opened, out)
        if not any(_is_source_of(opened, info) for info in found):
            there = "; ".join(f"{info.describe()} from {info.source!r}, {info.price_side}" for info in found)
            raise ConfigError(
                f"--source: {opened.name!r} is the source of none of these, and one series never mixes two: {there}"
            )
        yield opened


def _is_source_of(source: BarSource, info: SeriesInfo) -> bool:
    if source.name != info.source:
        return False
    try:
        return source.symbol(info.symbol).price_side == info.price_side
    except ConfigError:  # a file has a symbol or has not
        return False


def _doomed(
    store: HistoricalDataStore, symbol: str, timeframe: str | None, price: str | None, tape: str | None
) -> tuple[list[SeriesInfo], list[TapeInfo]]:
    """What a deletion takes: the series and tapes of a symbol that fit what was said."""
    if tape is not None and (timeframe is not None or price is not None):
        raise ConfigError("expected --tape, or --timeframe and --price, found both; delete one after the other")
    refuse_unknown(store, symbol)
    tapes = [one for one in store.list_tapes() if one.symbol == symbol]
    if tape is not None:
        chosen = [one for one in tapes if one.kind == tape]
        if not chosen:
            there = "; ".join(one.describe() for one in store.list_tapes()) or "no tapes"
            raise PreflightError(f"{store.path.name} has no {tape} of {symbol}; it has {there}", path=str(store.path))
        return [], chosen
    only_bars = timeframe is not None or price is not None
    if tapes and not only_bars and symbol not in {one.symbol for one in store.list_series()}:
        return [], tapes
    return _chosen(store, symbol, timeframe, price), [] if only_bars else tapes


def _confirm(names: list[str], said: list[str | None], store: Path, out: Output) -> None:
    if not out.can_ask:
        symbol, *rest = said
        options = [
            word for name, value in zip(("--timeframe", "--price", "--tape"), rest, strict=True) if value
            for word in (name, value)
        ]  # fmt: skip
        command = on_store(store, "delete", str(symbol), *options, "--yes")
        raise ConfigError(
            f"nothing was deleted, because nobody can be asked; this deletes {'; '.join(names)}:\n  {command}",
            command=command,
        )
    for name in names:
        out.errors.print(name)
    if not typer.confirm("Delete this for good?", default=False, err=True):
        raise ConfigError("nothing was deleted, because it was not confirmed")


def _show_heal(report: HealReport, out: Output) -> None:
    name = f"{report.symbol} {format_duration(report.timeframe_ns)} {report.price_side}"
    would = "would be " if report.dry_run else ""
    if not (report.changes or report.left):
        out.say(f"{name}: sound, nothing to mend")
        return
    changes, left = counted(len(report.changes), "change"), counted(len(report.left), "fault")
    out.say(f"{name}: {changes} {would}made, {left} left", style="bold")
    _show_changes(report.changes, out)
    for fault in report.left[:_CHANGES_SHOWN]:
        out.say(f"  left: {fault.sentence}")
    if report.left:
        out.say("  what is left needs its own source (--source), or goes with --drop")


def _show_changes(changes: tuple[Change, ...], out: Output) -> None:
    for change in changes[:_CHANGES_SHOWN]:
        became = f": {change.before}" + (f" -> {change.after}" if change.after else "")
        out.say(f"  {format_instant(change.open_ns)} {change.action}{became if change.before else ': ' + change.after}")
    if len(changes) > _CHANGES_SHOWN:
        out.say(f"  and {len(changes) - _CHANGES_SHOWN:,} more, which --json lists")


def _show_export(report: ExportReport, store: Path, folder: Path, symbol: str | None, out: Output) -> None:
    for partition in report.written:
        out.say(f"wrote {_partition_name(partition)}: {counted(partition.bars, 'bar')}, {partition.fingerprint}")
    for file in report.removed:
        out.say(f"removed {file}")
    for file in report.kept:
        out.say(f"kept {file}, of which the store has no bars")
    if report.kept:
        only = () if symbol is None else (symbol,)
        again = on_store(store, "export", *only, *mirror_words(store, folder), "--prune")
        out.say(f"what was kept may be the only copy; where it is not wanted, `{again}` takes it away")
    for sentence in report.refused:
        out.warn(f"not mirrored: {sentence}")
    out.say(f"{len(report.written)} written, {len(report.unchanged)} unchanged in {folder}")


def _partition_name(partition: Partition) -> str:
    return f"{partition.symbol} {format_duration(partition.timeframe_ns)} {partition.price_side}"
