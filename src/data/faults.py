"""Every wrong bar of a series by name: where it lies, when it opens, and what is wrong with it.

Pure; any thread. The present is handed in by whoever asks. `src.data.check` counts what is wrong and what is absent;
here each wrong bar is a record, so that it can be shown and mended.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from src.core.bars import IntArray
from src.core.calendars import ALWAYS, Calendar
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, format_duration, format_instant
from src.core.words import counted
from src.data.stored import COLUMNS, Columns, SeriesInfo

__all__ = ["FAULT_CODES", "Fault", "bar_text", "compare_columns", "find_faults", "find_miscounted",
           "is_possible"]  # fmt: skip

#: What can be wrong with one bar, in the order in which the findings about one row are listed.
FAULT_CODES = ("duplicate", "order", "overlap", "off_grid", "not_finite", "non_positive", "ohlc", "forming",
               "miscounted", "changed", "lost")  # fmt: skip

_PRICES = ("open", "high", "low", "close")
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with one bar.

    Attributes:
        code: one of `FAULT_CODES`.
        open_ns: the stamp of the bar.
        row: its place among the rows as they lie; -1 for a bar that is not there.
        sentence: what was expected and what was found.
    """

    code: str
    open_ns: int
    row: int
    sentence: str


def find_faults(columns: Columns, timeframe_ns: int, calendar: Calendar, now_ns: int | None = None) -> list[Fault]:
    """Every wrong bar among rows as they lie in the file, by row.

    * `duplicate`: the stamp stands in an earlier row.
    * `order`: the bar opens before the one in front of it.
    * `overlap`: it opens before the bar in front of it in time has ended.
    * `off_grid`: it opens neither on the grid of UTC midnight, nor on that of its session's open, nor where most bars
      of the series open; a bar that was taken while it was forming often carries such a stamp.
    * `not_finite`, `non_positive`, `ohlc`: numbers that no bar can have.
    * `forming`: it closes after the present.

    Args:
        columns: the six columns of `COLUMNS`, shape (n,).
        calendar: the calendar of the instrument; its sessions anchor the grid.
        now_ns: the present; None does not look for forming bars.
    """
    stamps = columns["open_ns"]
    if not len(stamps):
        return []
    order = np.argsort(stamps, kind="stable")
    repeated = np.zeros(len(stamps), np.bool_)
    repeated[order[1:]] = stamps[order[1:]] == stamps[order[:-1]]
    off_grid = _off_grid(stamps, timeframe_ns, calendar)
    found = [
        *_duplicates(columns, order, repeated),
        *_unordered(stamps),
        *_overlaps(stamps, order[~repeated[order]], off_grid, timeframe_ns),
        *_strays(stamps, off_grid, timeframe_ns),
        *_impossible(columns),
    ]
    if now_ns is not None:
        found += [
            _fault("forming", columns, row, f"closes after the present, {format_instant(now_ns)}")
            for row in _rows(stamps + timeframe_ns > now_ns)
        ]
    return sorted(found, key=lambda fault: (fault.row, FAULT_CODES.index(fault.code)))


def find_miscounted(columns: Columns, info: SeriesInfo) -> list[Fault]:
    """Where the store's list of series and the rows disagree: how many there are, and which are first and last.

    The code is `miscounted`; the bar is the first or last one that is not where the list says.
    """
    stamps = columns["open_ns"]
    found = []
    ends = (("first", info.first_ns, stamps.min), ("last", info.last_ns, stamps.max)) if len(stamps) else ()
    for word, listed, edge in ends:
        actual = int(edge())
        if actual != listed:
            there = format_instant(actual)
            found.append((listed, f"{format_instant(listed)} is listed as the {word} bar, {there} is found"))
    if info.bars != len(stamps):
        found.append((info.first_ns, f"{counted(info.bars, 'bar is', 'bars are')} listed, {len(stamps):,} found"))
    return [Fault(code="miscounted", open_ns=open_ns, row=-1, sentence=sentence) for open_ns, sentence in found]


def compare_columns(columns: Columns, copy: Columns, excepted: Iterable[int] = ()) -> list[Fault]:
    """What a series has lost or changed since a copy of it was made, in time order.

    * `changed`: the bar has other numbers than in the copy.
    * `lost`: the copy has it and the series has not.

    Bars that only the series has are no finding: a series grows.

    Args:
        columns: the rows of the series.
        copy: the rows of the copy in time order, each stamp once.
        excepted: opens of bars that were changed on purpose.
    """
    order = np.argsort(columns["open_ns"], kind="stable")
    stamps, kept = columns["open_ns"][order], copy["open_ns"]
    judged = ~np.isin(kept, np.array(sorted(set(excepted)), np.int64))
    if not len(stamps):
        rows = _rows(judged)
        return [_lost(int(kept[i])) for i in rows]
    place = np.minimum(np.searchsorted(stamps, kept), len(stamps) - 1)
    there = stamps[place] == kept
    found = [_lost(int(kept[i])) for i in _rows(judged & ~there)]
    differs = np.zeros(len(kept), np.bool_)
    for name in COLUMNS[1:]:
        # Compared by their bits, because a number that is none equals nothing, not even itself.
        mine, theirs = columns[name][order][place], copy[name]
        differs |= mine.view(np.int64) != theirs.view(np.int64)
    for i in _rows(judged & there & differs):
        row = int(order[place[i]])
        found.append(
            _fault("changed", columns, row, f"has other numbers than in the copy: {_difference(copy, i, columns, row)}")
        )
    return sorted(found, key=lambda fault: fault.open_ns)


def bar_text(columns: Columns, row: int) -> str:
    """`open=1.0 high=2.0 low=0.5 close=1.5 volume=3.0`, each number to its last digit."""
    return " ".join(f"{name}={float(columns[name][row])!r}" for name in COLUMNS[1:])


def is_possible(columns: Columns) -> _Mask:
    """Which rows hold numbers that a bar can have, shape (n,)."""
    impossible = np.zeros(len(columns["open_ns"]), np.bool_)
    for _, mask, _ in _judgements(columns):
        impossible |= mask
    return ~impossible


# ------------------------------------------------------------------------------------------------- stamps


def _duplicates(columns: Columns, order: IntArray, repeated: _Mask) -> Iterator[Fault]:
    in_time = columns["open_ns"][order]
    for row in _rows(repeated):
        first = int(order[np.searchsorted(in_time, columns["open_ns"][row])])
        same = bar_text(columns, first) == bar_text(columns, row)
        what = "with the same numbers" if same else f"with other numbers: {_difference(columns, first, columns, row)}"
        yield _fault("duplicate", columns, row, f"stands in row {first + 1} already, {what}")


def _unordered(stamps: IntArray) -> Iterator[Fault]:
    for at in _rows(stamps[1:] < stamps[:-1]):
        sentence = f"{format_instant(int(stamps[at + 1]))} lies after the bar of {format_instant(int(stamps[at]))}"
        yield Fault(code="order", open_ns=int(stamps[at + 1]), row=at + 1, sentence=sentence)


def _overlaps(stamps: IntArray, unique: IntArray, off_grid: _Mask, timeframe_ns: int) -> Iterator[Fault]:
    # Days and weeks of a zone with daylight saving are an hour short once a year.
    least = timeframe_ns - HOUR_NS if timeframe_ns % DAY_NS == 0 else timeframe_ns
    named: set[int] = set()
    for at in _rows(np.diff(stamps[unique]) < least):
        before, after = int(unique[at]), int(unique[at + 1])
        # Of two bars that overlap, the one off the grid is the wrong one.
        row, other = (before, after) if off_grid[before] and not off_grid[after] else (after, before)
        if row in named:
            continue  # it lies between two bars and overlaps both
        named.add(row)
        apart = format_duration(abs(int(stamps[after] - stamps[before])))
        sentence = (
            f"{format_instant(int(stamps[row]))} opens only {apart} from the bar of "
            f"{format_instant(int(stamps[other]))}, which lasts {format_duration(timeframe_ns)}"
        )
        yield Fault(code="overlap", open_ns=int(stamps[row]), row=row, sentence=sentence)


def _strays(stamps: IntArray, off_grid: _Mask, timeframe_ns: int) -> Iterator[Fault]:
    for row in _rows(off_grid):
        sentence = f"{format_instant(int(stamps[row]))} is not on the grid of {format_duration(timeframe_ns)} bars"
        yield Fault(code="off_grid", open_ns=int(stamps[row]), row=row, sentence=sentence)


def _off_grid(stamps: IntArray, timeframe_ns: int, calendar: Calendar) -> _Mask:
    """Which bars open on no grid that bars of this length are known to lie on, shape (n,)."""
    step_ns = min(timeframe_ns, DAY_NS)
    phase = stamps % step_ns
    values, counts = np.unique(phase, return_counts=True)
    commonest = int(values[np.argmax(counts)])
    apart = np.abs(phase - commonest)
    apart = np.minimum(apart, step_ns - apart)
    # A clock with daylight saving moves the grid of longer bars by an hour twice a year.
    on_grid = (apart == 0) | ((apart == HOUR_NS) & (timeframe_ns > HOUR_NS)) | (phase == 0)
    if calendar.name != ALWAYS and not np.all(on_grid):
        on_grid |= (stamps - _session_opens(stamps, calendar)) % step_ns == 0
    off_grid: _Mask = ~on_grid | (stamps % MINUTE_NS != 0)
    return off_grid


def _session_opens(stamps: IntArray, calendar: Calendar) -> IntArray:
    """The open of the last session that begins at or before each stamp; the stamp less a nanosecond without one."""
    first_ns, last_ns = int(stamps.min()), int(stamps.max())
    try:
        opens = calendar.sessions(max(0, first_ns - 4 * DAY_NS), last_ns + 1).open_ns
    except ConfigError:  # before or after what the calendar knows
        return stamps - 1
    if not len(opens):
        return stamps - 1
    at = np.searchsorted(opens, stamps, side="right") - 1
    before: IntArray = np.where(at >= 0, opens[np.maximum(at, 0)], stamps - 1)
    return before


# ------------------------------------------------------------------------------------------------- numbers


def _impossible(columns: Columns) -> Iterator[Fault]:
    for code, mask, words in _judgements(columns):
        for row in _rows(mask):
            yield _fault(code, columns, row, f"{words}: {bar_text(columns, row)}")


def _judgements(columns: Columns) -> list[tuple[str, _Mask, str]]:
    o, h, low, c = (columns[name] for name in _PRICES)
    infinite = np.zeros(len(o), np.bool_)
    for name in COLUMNS[1:]:
        infinite |= ~np.isfinite(columns[name])
    least = np.minimum(np.minimum(o, c), np.minimum(h, low))
    negative = (least <= 0) | (columns["volume"] < 0)
    contradictory = (np.maximum(o, c) > h) | (np.minimum(o, c) < low) | (h < low)
    # A number that is none is one finding, not three.
    return [
        ("not_finite", infinite, "holds a number that is none"),
        ("non_positive", ~infinite & negative, "has a price of zero or less, or a volume below zero"),
        ("ohlc", ~infinite & contradictory, "has open, close, high and low that contradict each other"),
    ]


def _difference(before: Columns, i: int, after: Columns, k: int) -> str:
    """`close 1.5 became 1.6` for each number that differs."""
    pairs = [(name, float(before[name][i]), float(after[name][k])) for name in COLUMNS[1:]]
    return ", ".join(f"{name} {old!r} became {new!r}" for name, old, new in pairs if repr(old) != repr(new))


def _lost(open_ns: int) -> Fault:
    return Fault(
        code="lost", open_ns=open_ns, row=-1, sentence=f"{format_instant(open_ns)} stands in the copy and is not there"
    )


def _fault(code: str, columns: Columns, row: int, words: str) -> Fault:
    open_ns = int(columns["open_ns"][row])
    return Fault(code=code, open_ns=open_ns, row=row, sentence=f"{format_instant(open_ns)} {words}")


def _rows(mask: _Mask) -> list[int]:
    return [int(row) for row in np.flatnonzero(mask)]
