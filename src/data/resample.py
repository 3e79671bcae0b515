"""Higher timeframes built from base bars.

Pure functions; any thread. A derived bar is made of the base bars that open inside it and is available at its own
close, so it never holds anything that is not known then.

Where bars begin and end: the usual lengths, those that divide an hour and whole hours that divide a day, are counted
from the epoch, whatever the calendar. Others below a day (7m, 45m, 90m, 5h) are counted from the open of each session
of the calendar, and the last bar of a session is cut at the session's close. A day is one session, a week the sessions
whose dates lie in one ISO week, a longer number of days the sessions whose dates lie in one such group of days counted
from the epoch. What is longer than a day and no number of days (36h) is counted from the epoch. The sessions of 24/7
are the days of UTC.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.calendars import ALWAYS, BoolArray, Calendar, calendar_named
from src.core.errors import ConfigError, DataError
from src.core.timeframe import DAY_NS, HOUR_NS, format_duration, format_instant

__all__ = ["bucket_open_ns", "check_divides", "count_buckets", "freeze", "resample"]

_WEEK_NS = 7 * DAY_NS
_FIRST_MONDAY = 4  # 1970-01-05; the epoch itself is a Thursday
#: A session may open this long before the first instant of its date, or close that long after the last one.
_OVERNIGHT_NS = 2 * DAY_NS


def check_divides(base_ns: int, timeframe_ns: int, symbol: str) -> None:
    """Refuse a timeframe that cannot be built from bars of `base_ns`.

    Raises:
        ConfigError: it is no multiple of the base.
    """
    if timeframe_ns < base_ns or timeframe_ns % base_ns:
        base = format_duration(base_ns)
        raise ConfigError(
            f"{symbol}: bars of {format_duration(timeframe_ns)} cannot be built from bars of {base}; "
            f"ask for a whole multiple of {base}",
            symbol=symbol, timeframe_ns=timeframe_ns,
        )  # fmt: skip


def bucket_open_ns(instant_ns: int, timeframe_ns: int, calendar: Calendar | None = None) -> int:
    """Where the bar of `timeframe_ns` that holds `instant_ns` begins; the instant itself where no bar holds it."""
    if _counts_from_epoch(timeframe_ns, calendar):
        anchor_ns = _anchor_ns(timeframe_ns)
        return (instant_ns - anchor_ns) // timeframe_ns * timeframe_ns + anchor_ns
    spans = _spans(instant_ns, instant_ns, timeframe_ns, calendar)
    at = int(np.searchsorted(spans.open_ns, instant_ns, side="right")) - 1
    if at < 0 or instant_ns >= int(spans.close_ns[at]):
        return instant_ns
    open_ns = int(spans.open_ns[at])
    return open_ns if spans.whole else instant_ns - (instant_ns - open_ns) % timeframe_ns


def count_buckets(base: BarSeries, count: int, timeframe_ns: int, calendar: Calendar | None = None) -> int:
    """To how many bars of `timeframe_ns` the first `count` bars of `base` belong; the last one may be unfinished.

    Raises:
        DataError: see `resample`.
    """
    if count == 0 or timeframe_ns == base.timeframe_ns:
        return count
    _, open_ns, _ = _places(base.open_ns[:count], base.timeframe_ns, timeframe_ns, calendar, base.symbol)
    return int(np.count_nonzero(_firsts(open_ns)))


def resample(
    base: BarSeries, timeframe_ns: int, until_ns: int | None = None, calendar: Calendar | None = None
) -> BarSeries:
    """The loaded bars of `base` as bars of `timeframe_ns`.

    Each has the first open, the highest high, the lowest low, the last close and the volumes added in time order.
    A bar exists only where at least one base bar does. What is still open at `until_ns` is left out. Bars that follow
    the sessions hold no base bar that opens outside them, as those before and after an exchange's regular hours.

    Args:
        base: bars in time order, each one timeframe long.
        timeframe_ns: a multiple of the base timeframe.
        until_ns: the instant up to which the market is known; by default the close of the last base bar.
        calendar: the sessions of the symbol; None is 24/7.

    Returns:
        A new series with read-only arrays, which has a column `close_ns` where bars follow the sessions; `base` itself
        when the timeframe is its own.

    Raises:
        ConfigError: the timeframe cannot be built from this base, or the calendar does not know the time.
        DataError: a base bar reaches beyond the end of the derived bar in which it opens, or into a session from
            before it.
    """
    check_divides(base.timeframe_ns, timeframe_ns, base.symbol)
    if timeframe_ns == base.timeframe_ns:
        return base
    side = base.price_side
    if base.loaded == 0:
        own = not _counts_from_epoch(timeframe_ns, calendar)
        return BarSeries.empty(base.symbol, timeframe_ns, price_side=side, own_closes=own)
    opens_ns = base.open_ns[: base.loaded]
    if until_ns is None:
        until_ns = int(opens_ns[-1]) + base.timeframe_ns
    inside, bar_open_ns, bar_close_ns = _places(opens_ns, base.timeframe_ns, timeframe_ns, calendar, base.symbol)
    columns = [getattr(base, name)[: base.loaded] for name in ("open", "high", "low", "close", "volume")]
    if inside is not None:
        opens_ns, columns = opens_ns[inside], [column[inside] for column in columns]
    if not len(opens_ns):
        return BarSeries.empty(base.symbol, timeframe_ns, price_side=side, own_closes=True)
    is_first = _firsts(bar_open_ns)
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(opens_ns)) - 1
    open_ns = bar_open_ns[first]
    close_ns = open_ns + timeframe_ns if bar_close_ns is None else bar_close_ns[first]
    _refuse_straddling(base, opens_ns[last], close_ns)
    keep = int(np.searchsorted(close_ns, until_ns, side="right"))
    values = freeze(open_ns[:keep].copy(), *_aggregated(columns, is_first, first, last, keep))
    own_closes = None if bar_close_ns is None else close_ns[:keep].copy()
    if own_closes is not None:
        own_closes.setflags(write=False)
    return BarSeries(base.symbol, timeframe_ns, *values, price_side=side, close_ns=own_closes)


def freeze(
    open_ns: IntArray, *columns: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """The columns of a series, made read-only: many strategies hold views of the same memory."""
    open_ns.setflags(write=False)
    for column in columns:
        column.setflags(write=False)
    o, h, l_, c, v = columns
    return open_ns, o, h, l_, c, v


def _aggregated(
    columns: list[FloatArray], is_first: BoolArray, first: npt.NDArray[np.intp], last: npt.NDArray[np.intp], keep: int
) -> list[FloatArray]:
    """Open, high, low, close and volume of the first `keep` derived bars, from those of the base bars."""
    open_, high, low, close, volume = columns
    # bincount adds its weights one after the other: the sum of a bar's volumes has one order on every machine, which
    # a pairwise sum would not share with somebody who adds the bars as they come.
    volumes = np.bincount(np.cumsum(is_first) - 1, weights=volume)
    found = (open_[first[:keep]], np.maximum.reduceat(high, first)[:keep], np.minimum.reduceat(low, first)[:keep],
             close[last[:keep]], volumes[:keep])  # fmt: skip
    return [np.ascontiguousarray(column) for column in found]


# -- where bars begin and end ----------------------------------------------------------------------


def _counts_from_epoch(timeframe_ns: int, calendar: Calendar | None) -> bool:
    if calendar is None or calendar.name == ALWAYS:  # its sessions are the days since the epoch
        return timeframe_ns >= DAY_NS or DAY_NS % timeframe_ns == 0
    if timeframe_ns >= DAY_NS:
        return timeframe_ns % DAY_NS != 0
    return HOUR_NS % timeframe_ns == 0 or (timeframe_ns % HOUR_NS == 0 and DAY_NS % timeframe_ns == 0)


def _anchor_ns(timeframe_ns: int) -> int:
    return _FIRST_MONDAY * DAY_NS if timeframe_ns % _WEEK_NS == 0 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spans:
    """The daily sessions of a while, and the bars of days or weeks that they make.

    Attributes:
        session_open_ns, session_close_ns: of each session.
        open_ns, close_ns: of the bar of days that each session belongs to; of the session itself for shorter bars.
        whole: whether a bar is all of a span, not a piece of it.
    """

    session_open_ns: IntArray
    session_close_ns: IntArray
    open_ns: IntArray
    close_ns: IntArray
    whole: bool


def _spans(first_ns: int, last_ns: int, timeframe_ns: int, calendar: Calendar | None) -> _Spans:
    """The sessions that matter between two instants, both included."""
    calendar = calendar or calendar_named(ALWAYS)
    # The first and the last bar of several days are made of sessions that lie before and after.
    around_ns = timeframe_ns + _OVERNIGHT_NS if timeframe_ns > DAY_NS else 0
    found = calendar.sessions(first_ns - around_ns, last_ns + 1 + around_ns)
    open_ns, close_ns = found.open_ns, found.close_ns
    if timeframe_ns <= DAY_NS or not len(open_ns):
        return _Spans(session_open_ns=open_ns, session_close_ns=close_ns, open_ns=open_ns, close_ns=close_ns,
                      whole=timeframe_ns >= DAY_NS)  # fmt: skip
    days = timeframe_ns // DAY_NS
    group = (found.day - _anchor_ns(timeframe_ns) // DAY_NS) // days
    is_first = _firsts(group)
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(group)) - 1
    which = np.cumsum(is_first) - 1
    return _Spans(session_open_ns=open_ns, session_close_ns=close_ns, open_ns=open_ns[first][which],
                  close_ns=close_ns[last][which], whole=True)  # fmt: skip


def _places(
    opens_ns: IntArray, base_ns: int, timeframe_ns: int, calendar: Calendar | None, symbol: str
) -> tuple[BoolArray | None, IntArray, IntArray | None]:
    """Which base bars belong to a derived bar (None: all), and for those its open and its close (None: open + length).

    Raises:
        DataError: a base bar opens before a session and reaches into it.
    """
    whole_days = base_ns % DAY_NS == 0 and not (opens_ns % DAY_NS).any()
    if whole_days or _counts_from_epoch(timeframe_ns, calendar):
        # Daily bars that are stamped with dates say nothing of hours: their weeks are those of the dates.
        anchor_ns = _anchor_ns(timeframe_ns)
        return None, (opens_ns - anchor_ns) // timeframe_ns * timeframe_ns + anchor_ns, None
    spans = _spans(int(opens_ns[0]), int(opens_ns[-1]) + base_ns - 1, timeframe_ns, calendar)
    if not len(spans.open_ns):
        nothing = np.zeros(0, np.int64)
        return np.zeros(len(opens_ns), np.bool_), nothing, nothing
    after = np.searchsorted(spans.session_open_ns, opens_ns, side="right")
    at = np.maximum(after - 1, 0)
    inside: BoolArray = (after > 0) & (opens_ns < spans.session_close_ns[at])
    _refuse_early(opens_ns, base_ns, inside, after, spans, symbol)
    at = at[inside]
    open_ns, close_ns = spans.open_ns[at], spans.close_ns[at]
    if not spans.whole:
        open_ns = open_ns + (opens_ns[inside] - open_ns) // timeframe_ns * timeframe_ns
        close_ns = np.minimum(open_ns + timeframe_ns, close_ns)
    return (None if inside.all() else inside), open_ns, close_ns


def _firsts(numbers: IntArray) -> BoolArray:
    """Where a new value begins, shape (n,), n at least 1."""
    is_first = np.empty(len(numbers), np.bool_)
    is_first[:1] = True
    np.not_equal(numbers[1:], numbers[:-1], out=is_first[1:])
    return is_first


def _refuse_straddling(base: BarSeries, last_open_ns: IntArray, end_ns: IntArray) -> None:
    # Bars are in time order, so only the last base bar of a derived one can reach beyond its end.
    beyond = np.flatnonzero(last_open_ns + base.timeframe_ns > end_ns)
    if len(beyond):
        at_ns = int(last_open_ns[beyond[0]])
        raise DataError(
            f"{base.symbol}: the {format_duration(base.timeframe_ns)} bar of {format_instant(at_ns)} reaches beyond "
            f"{format_instant(int(end_ns[beyond[0]]))}, where a longer bar ends; expected base bars that open on a "
            f"multiple of their length since the epoch (weeks: since Monday 00:00 UTC), or that end with the sessions "
            f"of the symbol's calendar",
            symbol=base.symbol, open_ns=at_ns,
        )  # fmt: skip


def _refuse_early(
    opens_ns: IntArray, base_ns: int, inside: BoolArray, after: npt.NDArray[np.intp], spans: _Spans, symbol: str
) -> None:
    """Refuse a bar from before a session that reaches into it: its prices belong to both sides of the open."""
    outside = np.flatnonzero(~inside & (after < len(spans.session_open_ns)))
    early = outside[opens_ns[outside] + base_ns > spans.session_open_ns[after[outside]]]
    if len(early):
        at_ns = int(opens_ns[early[0]])
        raise DataError(
            f"{symbol}: the {format_duration(base_ns)} bar of {format_instant(at_ns)} begins before the session of "
            f"{format_instant(int(spans.session_open_ns[after[early[0]]]))} and reaches into it; expected base bars "
            f"that open with the sessions of the symbol's calendar: store finer bars, or write another calendar",
            symbol=symbol, open_ns=at_ns,
        )  # fmt: skip
