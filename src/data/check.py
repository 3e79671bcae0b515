"""What is wrong with a series, and what is absent from it.

Pure; any thread. An absent bar is no error: thin markets have minutes without a trade, and markets close. Absent bars
are judged against a calendar, from the first bar of the series to its last.
"""

import datetime as dt
import zoneinfo
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from src.core.bars import BarSeries, IntArray
from src.core.timeframe import DAY_NS, SECOND_NS

__all__ = ["CheckReport", "Hole", "check_series"]

_HOLES_LISTED = 10
_NEW_YORK = "America/New_York"
_FOREX_HOUR = 17  # Sunday to Friday, New York time


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A run of absent bars: the open of the first one, and how many there are."""

    start_ns: int
    bars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The findings about one series.

    Attributes:
        first_ns, last_ns: earliest and latest open; 0 without bars.
        duplicates: bars whose stamp was there already.
        unordered: bars that open before the one in front of them.
        ohlc_violations: bars with high < low, or open or close outside of them.
        non_positive: bars with a price of zero or less.
        not_finite: bars with a number that is none.
        expected: bars that the calendar has between first and last; None when the calendar's hours are not known here.
        absent: how many of those are not there.
        outside: bars outside the calendar's hours or off its grid.
        longest_hole: bars of the longest run of absent ones.
        holes: the longest runs, longest first, at most ten.
    """

    symbol: str
    timeframe_ns: int
    calendar: str
    bars: int
    first_ns: int
    last_ns: int
    duplicates: int
    unordered: int
    ohlc_violations: int
    non_positive: int
    not_finite: int
    expected: int | None
    absent: int | None
    outside: int | None
    longest_hole: int | None
    holes: tuple[Hole, ...]

    @property
    def is_sound(self) -> bool:
        """Nothing is wrong; bars may be absent."""
        return not (self.duplicates or self.unordered or self.ohlc_violations or self.non_positive or self.not_finite)


def check_series(series: BarSeries, calendar: str = "24/7") -> CheckReport:
    """Judge the loaded bars of a series.

    Args:
        calendar: `24/7`, `forex` (Sunday 17:00 to Friday 17:00 New York time), or another name, with which absent
            bars are not judged.
    """
    count = series.loaded
    stamps = series.open_ns[:count]
    o, h, l_, c = (getattr(series, name)[:count] for name in ("open", "high", "low", "close"))
    steps = np.diff(stamps)
    unique = np.unique(stamps)
    finite = np.isfinite(o) & np.isfinite(h) & np.isfinite(l_) & np.isfinite(c) & np.isfinite(series.volume[:count])
    outside_range = (h < l_) | (np.maximum(o, c) > h) | (np.minimum(o, c) < l_)
    first_ns, last_ns = (int(unique[0]), int(unique[-1])) if count else (0, 0)
    expected = absent = outside = longest = None
    holes: tuple[Hole, ...] = ()
    in_session = _sessions(calendar, first_ns, last_ns, series.timeframe_ns) if count else np.zeros(0, np.bool_)
    if in_session is not None:
        missing, outside = _missing(unique, first_ns, series.timeframe_ns, in_session)
        runs = _runs(missing)
        expected, absent = int(np.count_nonzero(in_session)), int(np.count_nonzero(missing))
        longest = max((bars for _, bars in runs), default=0)
        ranked = sorted(runs, key=lambda run: (-run[1], run[0]))[:_HOLES_LISTED]
        holes = tuple(Hole(start_ns=first_ns + at * series.timeframe_ns, bars=bars) for at, bars in ranked)
    return CheckReport(
        symbol=series.symbol, timeframe_ns=series.timeframe_ns, calendar=calendar, bars=count, first_ns=first_ns,
        last_ns=last_ns, duplicates=count - len(unique), unordered=int(np.count_nonzero(steps < 0)),
        ohlc_violations=int(np.count_nonzero(outside_range)),
        non_positive=int(np.count_nonzero(np.minimum(np.minimum(o, c), l_) <= 0)),
        not_finite=int(np.count_nonzero(~finite)), expected=expected, absent=absent, outside=outside,
        longest_hole=longest, holes=holes,
    )  # fmt: skip


def _sessions(calendar: str, first_ns: int, last_ns: int, timeframe_ns: int) -> npt.NDArray[np.bool_] | None:
    """Whether each bar of the grid from first to last opens inside the calendar's hours, shape (bars,)."""
    count = (last_ns - first_ns) // timeframe_ns + 1
    if calendar == "24/7":
        return np.ones(count, np.bool_)
    if calendar != "forex":
        return None
    inside = np.zeros(count, np.bool_)
    zone = zoneinfo.ZoneInfo(_NEW_YORK)
    epoch = dt.date(1970, 1, 1)
    day = epoch + dt.timedelta(days=first_ns // DAY_NS - 8)
    day += dt.timedelta(days=6 - day.weekday())  # a Sunday before the first bar
    while True:
        start_ns = _instant_ns(day, zone)
        if start_ns > last_ns:
            return inside
        end_ns = _instant_ns(day + dt.timedelta(days=5), zone)
        # Rounded up: the first bar of the grid that opens at or after the instant.
        begin, end = ((edge - first_ns + timeframe_ns - 1) // timeframe_ns for edge in (start_ns, end_ns))
        inside[max(begin, 0) : max(end, 0)] = True
        day += dt.timedelta(days=7)


def _instant_ns(day: dt.date, zone: dt.tzinfo) -> int:
    moment = dt.datetime(day.year, day.month, day.day, _FOREX_HOUR, tzinfo=zone)
    return int(moment.timestamp()) * SECOND_NS


def _missing(
    unique_ns: IntArray, first_ns: int, timeframe_ns: int, in_session: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.bool_], int]:
    """Which bars of the grid are absent in session, and how many bars lie outside of it or off the grid."""
    if not len(unique_ns):
        return np.zeros(0, np.bool_), 0
    place, rest = np.divmod(unique_ns - first_ns, timeframe_ns)
    present = np.zeros(len(in_session), np.bool_)
    present[place[rest == 0]] = True
    outside = int(np.count_nonzero(rest)) + int(np.count_nonzero(present & ~in_session))
    return in_session & ~present, outside


def _runs(missing: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and length of each run of absent bars."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], missing, [False])).astype(np.int8)))
    return [(int(start), int(end - start)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
