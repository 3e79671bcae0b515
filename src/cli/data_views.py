"""`data list` and `data check`: what is stored, and what is wrong with it.

Runs in the main thread; a store is open, read-only, only while a command needs it. The present is read from the system
once in a command, to know which bar cannot have closed yet.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from src.cli.data_advice import Finding, advice_on, on_store
from src.cli.options import DEFAULT_STORE, AnySymbol, DebugOption, JsonOption, QuietOption, StoreOption, output_of
from src.cli.output import Output
from src.core.bars import BarSeries
from src.core.calendars import ALWAYS, calendar_named
from src.core.errors import ConfigError, DataError, PreflightError
from src.core.sync import wall_ns
from src.core.timeframe import format_duration, format_instant
from src.core.words import counted
from src.data.check import CheckReport, check_series
from src.data.coverage_picture import BLOCKS, LETTERS, PictureRow, coverage_picture, joined_over_closures
from src.data.faults import FAULT_CODES, Fault, find_faults, find_miscounted
from src.data.mirror import Partition, Spoiled, is_mirror, mirror_folder, scan_mirror
from src.data.mirror_file import place_of
from src.data.mirror_import import differences
from src.data.store import HistoricalDataStore, SeriesInfo
from src.data.stored import COLUMNS, HealEntry, TapeInfo, columns_of
from src.data.synthetic import SOURCE_PREFIX
from src.data.tape_check import TapeReport, check_tape

__all__ = ["MirrorOption", "calendar_of", "check_command", "list_command", "present_for", "refuse_unknown"]

_INTERVALS_SHOWN = 3
_FAULTS_SHOWN = 20

MirrorOption = Annotated[
    Path | None, typer.Option("--mirror", metavar="DIR", help="The mirror; beside the store by default.")
]


def list_command(
    context: typer.Context,
    symbol: AnySymbol = None,
    store: StoreOption = DEFAULT_STORE,
    max_gap: Annotated[
        int,
        typer.Option(
            "--max-gap", min=0, metavar="BARS", help="A hole of more bars in the market's hours ends an interval."
        ),
    ] = 60,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Show what is stored: series and tapes, the intervals that they cover, and a picture of them."""
    out = output_of(context, as_json, quiet, debug)
    with HistoricalDataStore(store, read_only=True) as opened:
        found, tapes = _of(opened, symbol)
        covered = [_covered(opened, one, max_gap) for one in found]
    rows = [
        (one.symbol, format_duration(one.timeframe_ns), one.price_side, one.kind, one.source, f"{one.bars:,}",
         format_instant(one.first_ns), format_instant(one.last_ns))
        for one in found
    ]  # fmt: skip
    rows += [
        (one.symbol, one.kind, "", "", one.source, f"{one.events:,}", format_instant(one.first_ns),
         format_instant(one.last_ns))
        for one in tapes
    ]  # fmt: skip
    columns = ("symbol", "timeframe", "price", "kind", "source", "bars", "first", "last")
    if rows:
        out.table(columns, rows, numbers=("bars",))
    else:
        out.say(f"{store} holds no series")
    _show_coverage(found, covered, max_gap, out)
    series = [
        {**dataclasses.asdict(one), "coverage": [{"start_ns": start, "end_ns": end} for start, end in intervals]}
        for one, intervals in zip(found, covered, strict=True)
    ]
    out.result({"store": str(store), "series": series, "tapes": [dataclasses.asdict(one) for one in tapes]})
    return 0


def check_command(
    context: typer.Context,
    symbol: AnySymbol = None,
    store: StoreOption = DEFAULT_STORE,
    calendar: Annotated[
        str | None, typer.Option("--calendar", help="Judge by this calendar instead of the instrument's.")
    ] = None,
    mirror: MirrorOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Print every wrong bar, not the first of them.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Name wrong bars and count holes; exit code 1 when a bar is wrong, absent ones are only counted.

    Where a mirror was exported, what a series has lost or changed since then is named too, and so are damaged and
    missing files of the mirror, with the same exit code.
    """
    out = output_of(context, as_json, quiet, debug)
    present_ns = wall_ns()
    folder = mirror_folder(store) if mirror is None else mirror
    if mirror is not None:
        _refuse_no_mirror(mirror, store)
    with HistoricalDataStore(store, read_only=True) as opened:
        partitions, unreadable = scan_mirror(folder, symbol)
        found, tapes = _of(opened, symbol, elsewhere=bool(partitions))
        mirrored = {(one.symbol, one.timeframe_ns, one.price_side): one for one in partitions}
        log = opened.read_heal_log()
        checked = []
        for info in found:
            copy = mirrored.pop((info.symbol, info.timeframe_ns, info.price_side), None)
            checked.append(_check(opened, info, calendar, present_ns, folder, copy, log))
        lost = [_check_lost(one, calendar, folder, log) for one in mirrored.values()]
        checked += [one for one in lost if one is not None]
        reports = [check_tape(opened.read_tape(one.symbol, one.kind), one.kind) for one in tapes]
    limit = None if everything else _FAULTS_SHOWN
    for one in checked:
        _show_check(one, limit, out)
        if one.trouble is not None:
            out.warn(f"not compared with the mirror: {one.trouble}")
    for file in unreadable:
        out.warn(f"not compared with the mirror: {file.sentence}")
    for tape in reports:
        _show_tape(tape, out)
    spoiled = [*unreadable, *(one.spoiled for one in checked if one.spoiled is not None)]
    advice = advice_on(
        [Finding(info=one.info, faults=one.faults, bars=one.report.bars, mirrored=one.mirrored) for one in checked],
        reports, store=store, mirror=folder, symbol=symbol, spoiled=spoiled,
    )  # fmt: skip
    for sentence in advice:
        out.say(sentence)
    out.result(
        {"store": str(store), "series": [one.value for one in checked],
         "tapes": [{**dataclasses.asdict(one), "is_sound": one.is_sound} for one in reports],
         "mirror": {"folder": str(folder), "faults": [one.sentence for one in spoiled]},
         "advice": advice}
    )  # fmt: skip
    sound = all(one.is_sound for one in checked) and all(one.is_sound for one in reports)
    return 0 if sound and not spoiled else 1


def calendar_of(store: HistoricalDataStore, symbol: str) -> str:
    """The name of the calendar that is stored for a symbol; 24/7 without one."""
    return str((store.read_instrument(symbol) or {}).get("calendar", ALWAYS))


def present_for(info: SeriesInfo, present_ns: int) -> int | None:
    """The present by which bars of a series may be too new; None for a made-up market, which has a time of its own."""
    return None if info.source.startswith(SOURCE_PREFIX) else present_ns


def refuse_unknown(store: HistoricalDataStore, symbol: str) -> None:
    """Raise PreflightError for a symbol of which the store has neither bars nor a tape; it says what there is."""
    there = {*(one.symbol for one in store.list_series()), *(one.symbol for one in store.list_tapes())}
    if symbol not in there:
        what = f"it has {', '.join(sorted(there))}; name one of these" if there else "it holds nothing at all"
        again = on_store(store.path, "import", "FILE", "--symbol", symbol)
        raise PreflightError(
            f"{store.path} has no bars of {symbol} and no ticks either; {what}, or bring it in with `{again}`",
            symbol=symbol, path=str(store.path),
        )  # fmt: skip


def _refuse_no_mirror(mirror: Path, store: Path) -> None:
    if not is_mirror(mirror):
        is_free = not mirror.exists() or (mirror.is_dir() and not any(mirror.iterdir()))
        found = "a folder of something else" if mirror.is_dir() else "a file" if mirror.exists() else "nothing there"
        if mirror.is_dir() and is_free:
            found = "an empty folder"
        # Elsewhere than in a folder of something else, where nothing of a mirror may be written.
        again = on_store(store, "export", *(("--mirror", mirror.as_posix()) if is_free else ()))
        raise ConfigError(
            f"--mirror: expected the folder of a mirror at {mirror}, found {found}; name the folder that `data export` "
            f"wrote, or write one with `{again}`"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """The findings about one series: counts, the wrong bars by name, and whether they were compared with a mirror."""

    info: SeriesInfo
    report: CheckReport
    faults: tuple[Fault, ...]
    mirrored: bool
    trouble: str | None

    @property
    def is_sound(self) -> bool:
        return self.report.is_sound and not self.faults

    @property
    def spoiled(self) -> Spoiled | None:
        """The copy, where the series could not be compared with it."""
        if self.trouble is None:
            return None
        place = place_of(self.info.symbol, self.info.timeframe_ns, self.info.price_side)
        return Spoiled(file=place, sentence=self.trouble)

    @property
    def value(self) -> dict[str, object]:
        return {
            **dataclasses.asdict(self.report), "price_side": self.info.price_side, "mirrored": self.mirrored,
            "faults": [dataclasses.asdict(fault) for fault in self.faults], "is_sound": self.is_sound,
        }  # fmt: skip


def _of(
    store: HistoricalDataStore, symbol: str | None, *, elsewhere: bool = False
) -> tuple[list[SeriesInfo], list[TapeInfo]]:  # fmt: skip
    """The series and tapes of a symbol, or all; PreflightError when there is nothing of it, nor elsewhere."""
    found = [one for one in store.list_series() if symbol in (None, one.symbol)]
    tapes = [one for one in store.list_tapes() if symbol in (None, one.symbol)]
    if symbol is not None and not (found or tapes or elsewhere):
        refuse_unknown(store, symbol)
    return found, tapes


def _covered(store: HistoricalDataStore, info: SeriesInfo, max_gap: int) -> list[tuple[int, int]]:
    intervals = store.coverage(info.symbol, info.timeframe_ns, info.price_side, max_gap)
    calendar = calendar_named(calendar_of(store, info.symbol))
    return joined_over_closures(intervals, info.timeframe_ns, calendar, max_gap)


def _check(
    store: HistoricalDataStore, info: SeriesInfo, calendar: str | None, present_ns: int,
    folder: Path, copy: Partition | None, log: list[HealEntry],
) -> _Checked:  # fmt: skip
    name = calendar or calendar_of(store, info.symbol)
    columns = store.read_raw(info.symbol, info.timeframe_ns, info.price_side)
    stamps, *values = (columns[each] for each in COLUMNS)
    series = BarSeries(info.symbol, info.timeframe_ns, stamps, *values, price_side=info.price_side)
    faults = find_faults(columns, info.timeframe_ns, calendar_named(name), present_for(info, present_ns))
    faults += find_miscounted(columns, info)
    trouble = None
    try:
        faults += differences(columns, info, copy, folder, log) if copy is not None else []
    except DataError as error:
        copy, trouble = None, error.message
    return _Checked(
        info=info, report=check_series(series, name), faults=tuple(faults), mirrored=copy is not None,
        trouble=trouble,
    )  # fmt: skip


def _check_lost(one: Partition, calendar: str | None, folder: Path, log: list[HealEntry]) -> _Checked | None:
    """The finding that a mirrored series is not there at all; None where healing took out all that it had."""
    nothing = BarSeries.empty(one.symbol, one.timeframe_ns, price_side=one.price_side)
    trouble = None
    try:
        if not differences(columns_of(nothing), None, one, folder, log):
            return None
    except DataError as error:
        trouble = error.message
    sentence = (
        f"the mirror has {counted(one.bars, 'bar')} from {format_instant(one.first_ns)} to "
        f"{format_instant(one.last_ns)}, the store has none of them"
    )
    info = dataclasses.replace(one, bars=0)
    name = calendar or str((one.instrument or {}).get("calendar", ALWAYS))
    fault = Fault(code="lost", open_ns=one.first_ns, row=-1, sentence=sentence)
    return _Checked(
        info=info, report=check_series(nothing, name), faults=(fault,), mirrored=trouble is None, trouble=trouble
    )


# ------------------------------------------------------------------------------------------------- what is shown


def _show_coverage(
    found: list[SeriesInfo], covered: list[list[tuple[int, int]]], max_gap: int, out: Output
) -> None:  # fmt: skip
    rows = []
    for info, intervals in zip(found, covered, strict=True):
        name = f"{info.symbol} {format_duration(info.timeframe_ns)} {info.price_side}"
        rows.append(PictureRow(name=name, intervals=tuple(intervals)))
        if len(intervals) > 1:
            out.say(f"{name}: {len(intervals)} intervals, parted by holes of more than {counted(max_gap, 'bar')}")
            for start_ns, end_ns in intervals[:_INTERVALS_SHOWN]:
                out.say(f"  {format_instant(start_ns)} to {format_instant(end_ns)}")
            if len(intervals) > _INTERVALS_SHOWN:
                out.say(f"  and {len(intervals) - _INTERVALS_SHOWN} more, which --json lists")
    for line in coverage_picture(rows, out.width, BLOCKS if out.has_blocks else LETTERS):
        out.say(line)


def _show_check(checked: _Checked, limit: int | None, out: Output) -> None:
    report, faults = checked.report, checked.faults
    name = f"{report.symbol} {format_duration(report.timeframe_ns)} {checked.info.price_side}"
    out.say(f"{name}: {counted(report.bars, 'bar')}, {'sound' if checked.is_sound else 'NOT SOUND'}", style="bold")
    counts = {code: sum(fault.code == code for fault in faults) for code in FAULT_CODES}
    wrong = [f"{count:,} {code.replace('_', ' ')}" for code, count in counts.items() if count]
    if wrong:
        out.say(f"  {', '.join(wrong)}")
    for fault in faults[:limit]:
        out.say(f"  {fault.code.replace('_', ' ')}: {fault.sentence}")
    if limit is not None and len(faults) > limit:
        out.say(f"  and {len(faults) - limit:,} more, which --all prints and --json lists")
    if report.expected is None:
        out.say(f"  absent bars are not counted: the hours of calendar {report.calendar} are not known here")
        return
    share = 100 * (report.absent or 0) / report.expected if report.expected else 0.0
    out.say(
        f"  {report.absent:,} of {report.expected:,} bars absent ({share:.2f} %) by calendar {report.calendar}, "
        f"{report.outside:,} outside its hours"
    )
    for hole in report.holes[:3]:
        out.say(f"  longest: {counted(hole.bars, 'bar')} from {format_instant(hole.start_ns)}")


def _show_tape(report: TapeReport, out: Output) -> None:
    name = f"{report.symbol} {report.kind}"
    out.say(f"{name}: {counted(report.events, 'event')}, {'sound' if report.is_sound else 'NOT SOUND'}", style="bold")
    for fault in report.faults:
        out.say(f"  {fault}")
    if report.crossed or report.locked:
        out.say(f"  {report.crossed:,} crossed quotes (ask below bid) and {report.locked:,} locked ones, as they came")
