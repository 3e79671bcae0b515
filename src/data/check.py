"""What is wrong with a series, and what is absent from it.

Pure; any thread. An absent bar is no error: thin markets have minutes without a trade, and markets close. Absent bars
are judged against a calendar, from the first bar of the series to its last.
"""

from dataclasses import dataclass

import numpy as np

from src.core.bars import BarSeries, IntArray
from src.core.calendars import ALWAYS, BoolArray, Calendar, calendar_named
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, MINUTE_NS

__all__ = ["CheckReport", "Hole", "check_series"]

_HOLES_LISTED = 10


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
        expected: bars that the calendar has between first and last; None when it does not know that time.
        absent: how many of those are not there.
        outside: bars outside the calendar's hours or off its grid.
        longest_hole: bars of the longest run of absent ones that follow each other without a pause of the market; of
            daily bars, of sessions in a row.
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


def check_series(series: BarSeries, calendar: str = ALWAYS) -> CheckReport:
    """Judge the loaded bars of a series.

    A bar of less than a day is expected where the calendar is open in some minute of it; the grid is that of the first
    bar, or that of the sessions' opens where more bars lie on it. A bar of a day is expected for each session; its
    stamp is the session's open or the midnight of its date.

    Args:
        calendar: a name of `src.core.calendars`.

    Raises:
        ConfigError: no calendar has the name.
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
    grid = _grid(unique, series.timeframe_ns, calendar_named(calendar))
    if grid is not None:
        runs = _runs(grid)
        expected, absent = len(grid.expected_ns), int(np.count_nonzero(grid.missing))
        outside = len(unique) - (expected - absent)
        longest = max((run.bars for run in runs), default=0)
        holes = tuple(sorted(runs, key=lambda run: (-run.bars, run.start_ns))[:_HOLES_LISTED])
    return CheckReport(
        symbol=series.symbol, timeframe_ns=series.timeframe_ns, calendar=calendar, bars=count, first_ns=first_ns,
        last_ns=last_ns, duplicates=count - len(unique), unordered=int(np.count_nonzero(steps < 0)),
        ohlc_violations=int(np.count_nonzero(outside_range)),
        non_positive=int(np.count_nonzero(np.minimum(np.minimum(o, c), l_) <= 0)),
        not_finite=int(np.count_nonzero(~finite)), expected=expected, absent=absent, outside=outside,
        longest_hole=longest, holes=holes,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """Where bars are expected, and which of them are missing; shape (n,) each.

    Attributes:
        step_ns: two expected bars so far apart follow each other; None when all neighbours do.
    """

    expected_ns: IntArray
    missing: BoolArray
    step_ns: int | None


def _grid(unique_ns: IntArray, timeframe_ns: int, calendar: Calendar) -> _Grid | None:
    """The bars that the calendar has from the first stamp to the last; None when it does not know that time."""
    if not len(unique_ns):
        return _Grid(expected_ns=unique_ns, missing=np.zeros(0, np.bool_), step_ns=None)
    try:
        if timeframe_ns == DAY_NS and calendar.name != ALWAYS:
            return _daily(unique_ns, calendar)
        regular = _present(unique_ns, _regular(unique_ns, timeframe_ns, calendar), timeframe_ns)
        if calendar.name == ALWAYS or timeframe_ns == MINUTE_NS or timeframe_ns > DAY_NS:
            return regular
        anchored = _present(unique_ns, _anchored(unique_ns, timeframe_ns, calendar), timeframe_ns)
    except ConfigError:
        return None
    return anchored if _hits(anchored) > _hits(regular) else regular


def _hits(grid: _Grid) -> int:
    return int(np.count_nonzero(~grid.missing))


def _present(unique_ns: IntArray, expected_ns: IntArray, step_ns: int) -> _Grid:
    missing = np.ones(len(expected_ns), np.bool_)
    if len(expected_ns):
        at = np.minimum(np.searchsorted(expected_ns, unique_ns), len(expected_ns) - 1)
        missing[at[expected_ns[at] == unique_ns]] = False
    return _Grid(expected_ns=expected_ns, missing=missing, step_ns=step_ns)


def _regular(unique_ns: IntArray, timeframe_ns: int, calendar: Calendar) -> IntArray:
    """Opens one timeframe apart, counted from the first bar."""
    # Not `np.arange` over nanoseconds, which finds its length in floats and loses the last bar of a long series.
    count = (int(unique_ns[-1]) - int(unique_ns[0])) // timeframe_ns + 1
    opens_ns = int(unique_ns[0]) + np.arange(count, dtype=np.int64) * timeframe_ns
    return opens_ns if calendar.name == ALWAYS else opens_ns[_trades(opens_ns, timeframe_ns, calendar)]


def _anchored(unique_ns: IntArray, timeframe_ns: int, calendar: Calendar) -> IntArray:
    """Opens one timeframe apart, counted from the open of each session."""
    sessions = calendar.sessions(int(unique_ns[0]), int(unique_ns[-1]) + 1)
    counts = -(-(sessions.close_ns - sessions.open_ns) // timeframe_ns)
    within = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
    opens_ns = np.repeat(sessions.open_ns, counts) + within * timeframe_ns
    opens_ns = opens_ns[(opens_ns >= unique_ns[0]) & (opens_ns <= unique_ns[-1])]
    trading: IntArray = opens_ns[_trades(opens_ns, timeframe_ns, calendar)]
    return trading


def _trades(opens_ns: IntArray, timeframe_ns: int, calendar: Calendar) -> BoolArray:
    """Whether the market is open in some minute of each bar."""
    trades = calendar.in_session(opens_ns)
    for shift_ns in range(MINUTE_NS, min(timeframe_ns, DAY_NS), MINUTE_NS):
        rest = np.flatnonzero(~trades)
        if not len(rest):
            break
        trades[rest] = calendar.in_session(opens_ns[rest] + shift_ns)
    return trades


def _daily(unique_ns: IntArray, calendar: Calendar) -> _Grid:
    """One bar for each session from that of the first bar to that of the last."""
    sessions = calendar.sessions(int(unique_ns[0]), int(unique_ns[-1]) + DAY_NS)
    there = np.isin(sessions.open_ns, unique_ns) | np.isin(sessions.day * DAY_NS, unique_ns)
    ends = np.flatnonzero(there)
    inside = slice(ends[0], ends[-1] + 1) if len(ends) else slice(0, 0)
    return _Grid(expected_ns=sessions.open_ns[inside], missing=~there[inside], step_ns=None)


def _runs(grid: _Grid) -> list[Hole]:
    """The runs of missing bars that follow each other."""
    at = np.flatnonzero(grid.missing)
    if not len(at):
        return []
    apart = np.diff(at) > 1
    if grid.step_ns is not None:
        apart |= np.diff(grid.expected_ns[at]) > grid.step_ns
    starts = np.concatenate(([0], np.flatnonzero(apart) + 1))
    lengths = np.diff(np.append(starts, len(at)))
    return [
        Hole(start_ns=int(grid.expected_ns[at[start]]), bars=int(bars))
        for start, bars in zip(starts, lengths, strict=True)
    ]
