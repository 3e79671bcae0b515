"""Mending a stored series: what can be put right is, each change is a line of the heal log, the rest is named.

`plan_healing` is pure and decides; `heal_series` asks a source where one is given, and writes one series in one
transaction: its rows and the lines of the log, together or not at all. Healing what is sound changes nothing. Called
by the thread that opened the store; the present is handed in.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from src.core.bars import BarSeries, IntArray
from src.core.calendars import Calendar
from src.core.errors import DataError
from src.core.timeframe import format_duration, format_instant
from src.data.faults import Fault, bar_text, find_faults, is_possible
from src.data.sources.port import BarSource
from src.data.store import HistoricalDataStore
from src.data.stored import COLUMNS, Columns, HealEntry, SeriesInfo, columns_of
from src.data.syncing import answered_windows

__all__ = ["BEYOND_MENDING", "Change", "HealPlan", "HealReport", "as_healed", "entry_of", "heal_series",
           "in_order_once", "plan_healing", "recounted", "windows_to_ask"]  # fmt: skip

#: What only a source can put right, or `drop`: such a bar has no numbers or no place of its own.
BEYOND_MENDING = ("overlap", "off_grid", "not_finite", "non_positive", "forming")
# How the log's word for a bar that was taken out for good begins; of a duplicate one copy stays.
_REMOVED = "removed ("

Window = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change to one bar.

    Attributes:
        open_ns: the stamp of the bar.
        action: what was done, such as `removed duplicate`, `mended high`, `filled from the source`.
        before, after: the numbers as text; empty where there is no bar.
    """

    open_ns: int
    action: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealPlan:
    """What healing makes of a series: its rows afterwards, what was changed, and what is still wrong."""

    columns: Columns
    changes: tuple[Change, ...]
    left: tuple[Fault, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealReport:
    """What was done to one series.

    Attributes:
        changes: in time order of what was done; with `dry_run` nothing of it was written.
        left: what is wrong and could not be mended.
        asked: the windows for which the source was asked.
    """

    symbol: str
    timeframe_ns: int
    price_side: str
    dry_run: bool
    changes: tuple[Change, ...]
    left: tuple[Fault, ...]
    asked: tuple[Window, ...]


def plan_healing(
    columns: Columns, timeframe_ns: int, calendar: Calendar, *, answers: Columns | None = None,
    now_ns: int | None = None, drop: bool = False,
) -> HealPlan:  # fmt: skip
    """Decide how rows are put right.

    Rows are put into time order. Of several bars with one stamp the first that a bar can be is kept. A bar with
    impossible numbers, or one of whose copies disagree, takes the source's numbers where it answered; otherwise high
    and low are widened to hold open and close. Holes are filled from the source. What has no numbers, no place on the
    grid, or has not closed is left as it is, or with `drop` taken out.

    Args:
        columns: rows as they lie, each column of shape (n,).
        answers: the source's bars in time order, each stamp once.
        now_ns: the present; None does not look for forming bars.
    """
    changes: list[Change] = []
    found, doubted = _one_of_each(_in_time_order(columns, changes), changes)
    if answers is not None and len(answers["open_ns"]):
        answers = _taken(answers, is_possible(answers))
        found = _replaced(found, answers, doubted | ~is_possible(found), changes)
        found = _filled(found, answers, timeframe_ns, changes)
    found = _widened(found, changes)
    left = find_faults(found, timeframe_ns, calendar, now_ns)
    while drop and (wrong := {fault.row: fault.code for fault in reversed(left) if fault.code in BEYOND_MENDING}):
        for row, code in sorted(wrong.items()):
            word = code.replace("_", " ")
            changes.append(_change(found, row, f"{_REMOVED}{word})", bar_text(found, row), ""))
        keep = np.ones(len(found["open_ns"]), np.bool_)
        keep[sorted(wrong)] = False
        found = _taken(found, keep)
        left = find_faults(found, timeframe_ns, calendar, now_ns)  # what overlapped a bar that is gone is right now
    return HealPlan(columns=found, changes=tuple(changes), left=tuple(left))


def in_order_once(columns: Columns) -> tuple[Columns, list[Change]]:
    """The rows in time order, of several bars with one stamp the first that a bar can be, and what that changed."""
    changes: list[Change] = []
    found, _ = _one_of_each(_in_time_order(columns, changes), changes)
    return found, changes


def windows_to_ask(
    columns: Columns, timeframe_ns: int, calendar: Calendar, answered: Sequence[Window] = (), *, span_bars: int = 1000
) -> list[Window]:
    """The half-open windows for which a source can help: wrong bars, and holes in the calendar's hours.

    Args:
        answered: windows that the source has answered already; their holes are holes at the source too.
        span_bars: windows that fit together into so many bars are asked for at once.
    """
    stamps = np.unique(columns["open_ns"])
    order = np.argsort(columns["open_ns"], kind="stable")
    in_time = columns["open_ns"][order]
    doubted = np.concatenate((in_time[1:][in_time[1:] == in_time[:-1]], columns["open_ns"][~is_possible(columns)]))
    windows = [(int(at), int(at) + timeframe_ns) for at in np.unique(doubted)]
    for at in np.flatnonzero(np.diff(stamps) >= 2 * timeframe_ns):
        grid = np.arange(stamps[at] + timeframe_ns, stamps[at + 1] - timeframe_ns + 1, timeframe_ns, dtype=np.int64)
        absent = grid[calendar.in_session(grid)]
        for start_ns, end_ns in answered:
            absent = absent[(absent < start_ns) | (absent >= end_ns)]
        if len(absent):
            windows.append((int(absent[0]), int(absent[-1]) + timeframe_ns))
    joined: list[Window] = []
    for start_ns, end_ns in sorted(windows):
        if joined and end_ns - joined[-1][0] <= span_bars * timeframe_ns:
            joined[-1] = (joined[-1][0], max(end_ns, joined[-1][1]))
        else:
            joined.append((start_ns, end_ns))
    return joined


def as_healed(columns: Columns, copy: Columns, entries: Iterable[HealEntry]) -> set[int]:
    """The opens of bars that differ from a copy only by what was done to them since it was made.

    Args:
        columns: the rows of a series as they lie.
        copy: the rows of the copy in time order, each stamp once.
        entries: the heal log of the series since then, in its order.
    """
    outcome: dict[int, dict[str, str] | None] = {}  # None where the bar was taken out
    for entry in entries:
        numbers = dict(word.split("=", 1) for word in entry.after.split() if word.split("=", 1)[0] in COLUMNS)
        if numbers:
            outcome[entry.open_ns] = {**(outcome.get(entry.open_ns) or {}), **numbers}
        elif entry.action.startswith(_REMOVED):
            outcome[entry.open_ns] = None
    opens = np.array(sorted(outcome), np.int64)
    order = np.argsort(columns["open_ns"], kind="stable")
    rows, copied = _rows_at(columns["open_ns"][order], opens), _rows_at(copy["open_ns"], opens)
    found = set()
    for open_ns, row, place in zip(opens.tolist(), rows, copied, strict=True):
        after = outcome[open_ns]
        if after is None:
            if row < 0:
                found.add(open_ns)
        elif row >= 0 and place >= 0:
            wanted = {name: repr(float(copy[name][place])) for name in COLUMNS[1:]} | after
            if all(repr(float(columns[name][order[row]])) == wanted[name] for name in COLUMNS[1:]):
                found.add(open_ns)
    return found


def heal_series(
    store: HistoricalDataStore, info: SeriesInfo, calendar: Calendar, *, source: BarSource | None = None,
    now_ns: int | None = None, drop: bool = False, dry_run: bool = False,
) -> HealReport:  # fmt: skip
    """Put one series right; its rows and its lines in the heal log are one transaction.

    Args:
        store: open for writing, or read-only with `dry_run`.
        source: who is asked for wrong and absent bars; it must be the source of the series.
        now_ns: the present; None does not look for forming bars.
        drop: take out what cannot be mended.
        dry_run: decide and write nothing.

    Raises:
        DataError: the source is another than the series', or the store is read-only.
        BrokerUnavailable: the source did not answer; nothing is changed then.
    """
    columns = store.read_raw(info.symbol, info.timeframe_ns, info.price_side)
    answers: Columns | None = None
    asked: list[Window] = []
    if source is not None:
        _refuse_other_source(source, info)
        answered = answered_windows(store, info.symbol, info.timeframe_ns, source.name, info.price_side)
        if getattr(source, "is_held", False):
            answered = []  # nothing is known of it but what it says now
        asked = windows_to_ask(columns, info.timeframe_ns, calendar, answered, span_bars=source.page_bars)
        answers = _ask(source, info, asked)
    plan = plan_healing(columns, info.timeframe_ns, calendar, answers=answers, now_ns=now_ns, drop=drop)
    changes = plan.changes or recounted(info, columns)
    if not dry_run and (changes or asked):
        with store.transaction():
            if changes:
                store.rewrite(info.symbol, info.timeframe_ns, plan.columns, price_side=info.price_side)
                store.log_heal([entry_of(info, change) for change in changes])
            for start_ns, end_ns in asked if not getattr(source, "is_held", False) else ():
                bars = _count_between(plan.columns, start_ns, end_ns)
                store.log_sync(info.symbol, info.timeframe_ns, info.source, start_ns, end_ns, bars)
    return HealReport(
        symbol=info.symbol, timeframe_ns=info.timeframe_ns, price_side=info.price_side, dry_run=dry_run,
        changes=changes, left=plan.left, asked=tuple(asked),
    )  # fmt: skip


def recounted(info: SeriesInfo, columns: Columns) -> tuple[Change, ...]:
    """The one change that is left when only the list of series is wrong about the rows; without rows it goes."""
    stamps = columns["open_ns"]
    listed = f"bars={info.bars} first={format_instant(info.first_ns)} last={format_instant(info.last_ns)}"
    if not len(stamps):
        return (Change(open_ns=info.first_ns, action="taken from the list of series", before=listed, after=""),)
    if (info.bars, info.first_ns, info.last_ns) == (len(stamps), int(stamps[0]), int(stamps[-1])):
        return ()
    after = f"bars={len(stamps)} first={format_instant(int(stamps[0]))} last={format_instant(int(stamps[-1]))}"
    return (Change(open_ns=int(stamps[0]), action="counted anew", before=listed, after=after),)


def entry_of(info: SeriesInfo, change: Change) -> HealEntry:
    """A change as a line of the heal log."""
    return HealEntry(
        symbol=info.symbol, timeframe_ns=info.timeframe_ns, price_side=info.price_side, open_ns=change.open_ns,
        action=change.action, before=change.before, after=change.after,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------- the steps


def _in_time_order(columns: Columns, changes: list[Change]) -> Columns:
    stamps = columns["open_ns"]
    for at in np.flatnonzero(stamps[1:] < stamps[:-1]):
        where = f"after the bar of {format_instant(int(stamps[at]))}"
        changes.append(Change(open_ns=int(stamps[at + 1]), action="moved into time order", before=where, after=""))
    order = np.argsort(stamps, kind="stable")
    return {name: columns[name][order] for name in COLUMNS}


def _one_of_each(columns: Columns, changes: list[Change]) -> tuple[Columns, npt.NDArray[np.bool_]]:
    """One bar of each stamp, and which of them had copies with other numbers; rows must be in time order."""
    stamps = columns["open_ns"]
    starts = np.flatnonzero(np.concatenate((np.ones(min(len(stamps), 1), np.bool_), stamps[1:] != stamps[:-1])))
    kept = starts.copy()
    doubted = np.zeros(len(starts), np.bool_)
    ends = np.append(starts[1:], len(stamps))
    possible = is_possible(columns)
    for at in np.flatnonzero(ends - starts > 1):
        rows = range(int(starts[at]), int(ends[at]))
        kept[at] = keep = next((row for row in rows if possible[row]), rows[0])
        for row in rows:
            if row != keep:
                gone, stays = bar_text(columns, row), bar_text(columns, keep)
                doubted[at] |= gone != stays
                changes.append(_change(columns, row, "removed duplicate", gone, stays))
    return {name: columns[name][kept] for name in COLUMNS}, doubted


def _replaced(
    columns: Columns, answers: Columns, doubted: npt.NDArray[np.bool_], changes: list[Change]
) -> Columns:  # fmt: skip
    columns = {name: column.copy() for name, column in columns.items()}
    place = np.minimum(np.searchsorted(answers["open_ns"], columns["open_ns"]), len(answers["open_ns"]) - 1)
    for row in map(int, np.flatnonzero(doubted & (answers["open_ns"][place] == columns["open_ns"]))):
        before, after = bar_text(columns, row), bar_text(answers, int(place[row]))
        if before != after:
            for name in COLUMNS[1:]:
                columns[name][row] = answers[name][place[row]]
            changes.append(_change(columns, row, "taken from the source", before, after))
    return columns


def _filled(columns: Columns, answers: Columns, timeframe_ns: int, changes: list[Change]) -> Columns:
    """With the source's bars that fit between two stored ones without touching either."""
    stamps, offered = columns["open_ns"], answers["open_ns"]
    after = np.searchsorted(stamps, offered)
    inside = (after > 0) & (after < len(stamps))
    last = len(stamps) - 1
    before_ns, after_ns = stamps[np.clip(after - 1, 0, last)], stamps[np.clip(after, 0, last)]
    fits = inside & (offered - before_ns >= timeframe_ns) & (after_ns - offered >= timeframe_ns)
    new = _taken(answers, fits)
    for row in range(len(new["open_ns"])):
        changes.append(_change(new, row, "filled from the source", "", bar_text(new, row)))
    order = np.argsort(np.concatenate((stamps, new["open_ns"])), kind="stable")
    return {name: np.concatenate((columns[name], new[name]))[order] for name in COLUMNS}


def _widened(columns: Columns, changes: list[Change]) -> Columns:
    """High and low hold open and close; bars without usable numbers stay as they are."""
    prices = np.stack([columns[name] for name in ("open", "high", "low", "close")])
    usable = np.isfinite(prices).all(axis=0) & (prices > 0).all(axis=0) & np.isfinite(columns["volume"])
    mended = dict(columns)
    # By open and close alone: a high below the low would otherwise become the low, a price that nobody has seen.
    opening, high, low, close = prices
    edges = (("high", np.maximum.reduce([high, opening, close])), ("low", np.minimum.reduce([low, opening, close])))
    for name, edge in edges:
        mended[name] = np.where(usable, edge, columns[name])
        for row in map(int, np.flatnonzero(usable & (mended[name] != columns[name]))):
            before, after = (f"{name}={float(column[row])!r}" for column in (columns[name], mended[name]))
            changes.append(_change(columns, row, f"mended {name}", before, after))
    return mended


# ------------------------------------------------------------------------------------------------- the source


def _refuse_other_source(source: BarSource, info: SeriesInfo) -> None:
    side = source.symbol(info.symbol).price_side
    for word, stored, given in (("source", info.source, source.name), ("price side", info.price_side, side)):
        if stored != given:
            raise DataError(
                f"{info.symbol} {format_duration(info.timeframe_ns)} is stored with the {word} {stored!r} and cannot "
                f"be healed from {given!r}, because one series never mixes two; give its own source or none",
                symbol=info.symbol, timeframe_ns=info.timeframe_ns,
            )  # fmt: skip


def _ask(source: BarSource, info: SeriesInfo, windows: Sequence[Window]) -> Columns:
    pieces: list[BarSeries] = []
    for start_ns, end_ns in windows:
        pieces += source.bars(info.symbol, info.timeframe_ns, start_ns, end_ns)
    columns = [columns_of(piece) for piece in pieces]
    empty = columns_of(BarSeries.empty(info.symbol, info.timeframe_ns))
    joined = {name: np.concatenate([empty[name], *(one[name] for one in columns)]) for name in COLUMNS}
    stamps, first = np.unique(joined["open_ns"], return_index=True)
    inside = np.zeros(len(stamps), np.bool_)
    for start_ns, end_ns in windows:
        inside |= (stamps >= start_ns) & (stamps < end_ns)
    return {name: column[first][inside] for name, column in joined.items()}


def _rows_at(stamps: IntArray, opens: IntArray) -> list[int]:
    """The first place of each open among stamps in time order; -1 where it is not there."""
    if not len(stamps):
        return [-1] * len(opens)
    place = np.minimum(np.searchsorted(stamps, opens), len(stamps) - 1)
    found: list[int] = np.where(stamps[place] == opens, place, -1).tolist()
    return found


def _count_between(columns: Columns, start_ns: int, end_ns: int) -> int:
    stamps = columns["open_ns"]
    return int(np.searchsorted(stamps, end_ns) - np.searchsorted(stamps, start_ns))


def _change(columns: Columns, row: int, action: str, before: str, after: str) -> Change:
    return Change(open_ns=int(columns["open_ns"][row]), action=action, before=before, after=after)


def _taken(columns: Columns, mask: npt.NDArray[np.bool_]) -> Columns:
    return {name: column[mask] for name, column in columns.items()}
