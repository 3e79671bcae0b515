"""Higher timeframes built from base bars.

Pure functions; any thread. A derived bar is made of the base bars that open inside it and is available at its own
close, so it never holds anything that is not known then.
"""

import numpy as np

from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.errors import ConfigError, DataError
from src.core.timeframe import DAY_NS, format_duration, format_instant

__all__ = ["bucket_open_ns", "check_divides", "freeze", "resample"]

_WEEK_NS = 7 * DAY_NS
_FIRST_MONDAY_NS = 4 * DAY_NS  # 1970-01-05; the epoch itself is a Thursday


def check_divides(base_ns: int, timeframe_ns: int, symbol: str) -> None:
    """Refuse a timeframe that cannot be built from bars of `base_ns`.

    Raises:
        ConfigError: it is no multiple of the base, or neither divides a day nor is a whole number of days.
    """
    wanted = format_duration(timeframe_ns)
    if timeframe_ns < base_ns or timeframe_ns % base_ns:
        raise ConfigError(
            f"{symbol}: bars of {wanted} cannot be built from bars of {format_duration(base_ns)}; "
            f"ask for a whole multiple of {format_duration(base_ns)}",
            symbol=symbol, timeframe_ns=timeframe_ns,
        )  # fmt: skip
    # A base that is taken as it is needs no grid.
    if timeframe_ns != base_ns and DAY_NS % timeframe_ns and timeframe_ns % DAY_NS:
        raise ConfigError(
            f"{symbol}: expected a timeframe that divides a day or is a whole number of days, found {wanted}",
            symbol=symbol, timeframe_ns=timeframe_ns,
        )  # fmt: skip


def bucket_open_ns(instant_ns: int, timeframe_ns: int) -> int:
    """Where the bar of `timeframe_ns` that holds `instant_ns` begins: counted from the epoch, weeks from Monday."""
    anchor_ns = _anchor_ns(timeframe_ns)
    return (instant_ns - anchor_ns) // timeframe_ns * timeframe_ns + anchor_ns


def resample(base: BarSeries, timeframe_ns: int, until_ns: int | None = None) -> BarSeries:
    """The loaded bars of `base` as bars of `timeframe_ns`.

    Each has the first open, the highest high, the lowest low, the last close and the volumes added in time order.
    A bar exists only where at least one base bar does. What is still open at `until_ns` is left out.

    Args:
        base: bars in time order.
        timeframe_ns: a multiple of the base timeframe that divides a day or is a whole number of days.
        until_ns: the instant up to which the market is known; by default the close of the last base bar.

    Returns:
        A new series with read-only arrays; `base` itself when the timeframe is its own.

    Raises:
        ConfigError: the timeframe cannot be built from this base.
        DataError: a base bar reaches beyond the end of the derived bar in which it opens.
    """
    check_divides(base.timeframe_ns, timeframe_ns, base.symbol)
    if timeframe_ns == base.timeframe_ns:
        return base
    count = base.loaded
    if count == 0:
        return BarSeries.empty(base.symbol, timeframe_ns, price_side=base.price_side)
    base_open_ns = base.open_ns[:count]
    if until_ns is None:
        until_ns = int(base_open_ns[-1]) + base.timeframe_ns
    anchor_ns = _anchor_ns(timeframe_ns)
    bucket = (base_open_ns - anchor_ns) // timeframe_ns
    is_first = np.empty(count, np.bool_)
    is_first[0] = True
    np.not_equal(bucket[1:], bucket[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    open_ns = bucket[first] * timeframe_ns + anchor_ns
    last = np.append(first[1:], count) - 1
    _refuse_straddling(base, base_open_ns[last], open_ns + timeframe_ns)
    # bincount adds its weights one after the other: the sum of a bar's volumes has one order on every machine, which
    # a pairwise sum would not share with somebody who adds the bars as they come.
    volume = np.bincount(np.cumsum(is_first) - 1, weights=base.volume[:count])
    keep = int(np.searchsorted(open_ns, until_ns - timeframe_ns, side="right"))
    columns = (
        base.open[first[:keep]],
        np.maximum.reduceat(base.high[:count], first)[:keep],
        np.minimum.reduceat(base.low[:count], first)[:keep],
        base.close[last[:keep]],
        volume[:keep],
    )
    stamps, *values = freeze(np.ascontiguousarray(open_ns[:keep]), *(np.ascontiguousarray(c) for c in columns))
    return BarSeries(base.symbol, timeframe_ns, stamps, *values, price_side=base.price_side)


def freeze(
    open_ns: IntArray, *columns: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """The columns of a series, made read-only: many strategies hold views of the same memory."""
    open_ns.setflags(write=False)
    for column in columns:
        column.setflags(write=False)
    o, h, l_, c, v = columns
    return open_ns, o, h, l_, c, v


def _anchor_ns(timeframe_ns: int) -> int:
    return _FIRST_MONDAY_NS if timeframe_ns % _WEEK_NS == 0 else 0


def _refuse_straddling(base: BarSeries, last_open_ns: IntArray, end_ns: IntArray) -> None:
    # Bars are in time order, so only the last base bar of a derived one can reach beyond its end.
    beyond = np.flatnonzero(last_open_ns + base.timeframe_ns > end_ns)
    if len(beyond):
        at_ns = int(last_open_ns[beyond[0]])
        raise DataError(
            f"{base.symbol}: the {format_duration(base.timeframe_ns)} bar of {format_instant(at_ns)} reaches beyond "
            f"{format_instant(int(end_ns[beyond[0]]))}, where a longer bar ends; expected base bars that open on a "
            f"multiple of their length since the epoch (weeks: since Monday 00:00 UTC)",
            symbol=base.symbol, open_ns=at_ns,
        )  # fmt: skip
