"""Runs of absent bars in a series, counted in the hours in which its calendar is open.

Pure; any thread. The work grows with the number of holes and not with the number of bars, so that a whole series is
judged in a fraction of the time that reading it takes.
"""

from dataclasses import dataclass

import numpy as np

from src.core.bars import IntArray
from src.core.calendars import ALWAYS, Calendar
from src.core.timeframe import DAY_NS

__all__ = ["Holes", "absent_between", "enough_ns", "find_holes"]

#: A market that closes has fewer bars in a span of time: so much longer is the span that holds enough of them.
_CLOSED_FACTOR = 6
_CLOSED_DAYS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Holes:
    """Holes in time order, arrays of shape (holes,), int64.

    Attributes:
        start_ns: where the first absent bar would open.
        end_ns: the open of the bar after the hole.
        bars: how many bars are absent; at least one.
    """

    start_ns: IntArray
    end_ns: IntArray
    bars: IntArray


def enough_ns(open_hours_ns: int, calendar: str) -> int:
    """A span of time that holds so many open hours wherever it lies, by the name of a calendar."""
    return open_hours_ns if calendar == ALWAYS else _CLOSED_FACTOR * open_hours_ns + _CLOSED_DAYS * DAY_NS


def find_holes(open_ns: IntArray, timeframe_ns: int, calendar: Calendar) -> Holes:
    """The holes between the bars of a series.

    Args:
        open_ns: shape (n,), strictly increasing.

    Raises:
        ConfigError: the calendar does not know the time of a hole.
    """
    steps = open_ns[1:] - open_ns[:-1]
    wide = np.flatnonzero(steps > timeframe_ns)
    if _is_everything(calendar, timeframe_ns):
        bars = (steps[wide] - 1) // timeframe_ns  # a thin market has so many holes that each division counts
        return Holes(start_ns=open_ns[wide] + timeframe_ns, end_ns=open_ns[wide + 1], bars=bars)
    return absent_between(open_ns[wide] + timeframe_ns, open_ns[wide + 1], timeframe_ns, calendar)


def absent_between(from_ns: IntArray, until_ns: IntArray, timeframe_ns: int, calendar: Calendar) -> Holes:
    """The bars that the calendar has in spans without any; spans in which it has none are left out.

    A bar of less than a day belongs to the calendar when it opens in its hours. Of a day or longer, it is there for
    the sessions whose middle it holds, because days are stamped in many ways. Weeks are counted as they are.

    Args:
        from_ns: the first open of each span, shape (spans,).
        until_ns: the end of each span, which is no longer part of it.
    """
    if _is_everything(calendar, timeframe_ns):
        bars = np.maximum(-((from_ns - until_ns) // timeframe_ns), 0)
        start_ns = from_ns
    elif not len(from_ns):
        bars, start_ns = np.zeros(0, np.int64), from_ns
    elif timeframe_ns >= DAY_NS:
        sessions = calendar.sessions(int(from_ns.min()), int(until_ns.max()))
        middle_ns = (sessions.open_ns + sessions.close_ns) // 2
        first, end = (np.searchsorted(middle_ns, edge) for edge in (from_ns, until_ns))
        bars = np.maximum(end - first, 0) * DAY_NS // timeframe_ns
        start_ns = from_ns
    else:
        bars, start_ns = _inside_sessions(from_ns, until_ns, timeframe_ns, calendar)
    kept = np.flatnonzero(bars)
    return Holes(start_ns=start_ns[kept], end_ns=until_ns[kept], bars=bars[kept].astype(np.int64))


def _is_everything(calendar: Calendar, timeframe_ns: int) -> bool:
    """Whether every bar of the grid belongs to the calendar."""
    return calendar.name == ALWAYS or timeframe_ns >= 7 * DAY_NS


def _inside_sessions(
    from_ns: IntArray, until_ns: IntArray, timeframe_ns: int, calendar: Calendar
) -> tuple[IntArray, IntArray]:
    """How many bars are absent in each span, and where the first one would open."""
    sessions = calendar.sessions(int(from_ns.min()), int(until_ns.max()))
    # Only those parts of a span are looked at which a session overlaps: most spans are nights, which hold none.
    begin = np.searchsorted(sessions.close_ns, from_ns, side="right")
    pairs = np.maximum(np.searchsorted(sessions.open_ns, until_ns, side="left") - begin, 0)
    span = np.repeat(np.arange(len(from_ns)), pairs)
    session = _ranges(begin, pairs)
    low = np.maximum(from_ns[span], sessions.open_ns[session])
    high = np.minimum(until_ns[span], sessions.close_ns[session])
    # The grid of a span goes on from the bar before it, in steps of a bar.
    first = -((from_ns[span] - low) // timeframe_ns)
    count = np.maximum(-((from_ns[span] - high) // timeframe_ns) - first, 0)
    owner = np.repeat(span, count)
    stamps = from_ns[owner] + _ranges(first, count) * timeframe_ns
    inside = calendar.in_session(stamps)  # without the lunch breaks of an exchange
    owner, stamps = owner[inside], stamps[inside]
    bars = np.bincount(owner, minlength=len(from_ns))
    start_ns = from_ns.copy()
    new = np.flatnonzero(np.diff(owner, prepend=-1))
    start_ns[owner[new]] = stamps[new]
    return bars, start_ns


def _ranges(first: IntArray, count: IntArray) -> IntArray:
    """`first[i], first[i] + 1, ...` with `count[i]` members, one after the other."""
    before = np.cumsum(count) - count
    numbers: IntArray = np.arange(int(count.sum())) + np.repeat(first - before, count)
    return numbers
