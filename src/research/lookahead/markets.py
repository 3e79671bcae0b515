"""Base bars with another future, or with less of a past.

Pure; any thread. What comes back is a new series each time, because a run moves along in its own.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from src.core.bars import BarSeries, FloatArray

__all__ = ["excerpt", "first_of_later_start", "perturbed", "truncated"]

_PRICES = ("open", "high", "low", "close")


def excerpt(series: BarSeries, first: int, last: int) -> BarSeries:
    """The bars [first, last) as a series of their own, all of them visible."""
    columns = [getattr(series, name)[first:last] for name in (*_PRICES, "volume")]
    closes = None if series.close_ns is None else series.close_ns[first:last]
    return BarSeries(
        series.symbol, series.timeframe_ns, series.open_ns[first:last], *columns,
        price_side=series.price_side, close_ns=closes,
    )  # fmt: skip


def truncated(base: BarSeries, instant_ns: int) -> BarSeries:
    """What had closed at `instant_ns`, and one more bar that never leaves its open.

    That open may be known at `instant_ns`: orders which were placed then fill there, as they do in the whole market.
    """
    count = base.count_closed(instant_ns)
    return _with_future(base, count, min(count + 1, base.loaded), lambda values, at: np.full(len(values), at), 0.0)


def perturbed(base: BarSeries, instant_ns: int) -> BarSeries:
    """What had closed at `instant_ns`, then a market that moves the other way, twice as far, with other volumes.

    The next open stays, as in `truncated`.
    """
    count = base.count_closed(instant_ns)
    if base.loaded > count and float(base.low[count : base.loaded].min()) > 0.0:
        # A square in ratios: prices stay above zero however far they go.
        return _with_future(base, count, base.loaded, lambda values, at: at * (at / values) * (at / values), 3.0)
    return _with_future(base, count, base.loaded, lambda values, at: at + 2.0 * (at - values), 3.0)


def first_of_later_start(
    series: Iterable[BarSeries], base: BarSeries, start_ns: int, lookbacks: Mapping[int, int]
) -> tuple[int, bool]:
    """Which base bar a bot that starts at `start_ns` has as its first one.

    As many bars of each timeframe as are looked back at have closed then, no fewer and as few more as possible; no bar
    of a higher timeframe is under way where the bars begin.

    Args:
        series: the whole market's bars of the timeframes.
        lookbacks: bars by timeframe.

    Returns:
        The bar's index, and whether there were enough bars before the start.
    """
    listed = list(series)
    begin_ns, enough = start_ns, True
    for each in listed:
        closed, wanted = each.count_closed(start_ns), lookbacks.get(each.timeframe_ns, 0)
        enough = enough and closed >= wanted
        if min(closed, wanted):
            begin_ns = min(begin_ns, int(each.open_ns[closed - min(closed, wanted)]))
    moved = True
    while moved:
        moved = False
        for each in listed:
            i = int(np.searchsorted(each.open_ns[: each.loaded], begin_ns, side="right")) - 1
            if i >= 0 and each.open_ns[i] < begin_ns < each.close_of(i):
                begin_ns, moved = int(each.open_ns[i]), True
    return int(np.searchsorted(base.open_ns[: base.loaded], begin_ns, side="left")), enough


def _with_future(
    base: BarSeries, count: int, last: int, moved: Callable[[FloatArray, float], FloatArray], volume: float
) -> BarSeries:
    """The bars before `count` as they are and those up to `last` with other prices; `volume` multiplies theirs."""
    at = float(base.open[count]) if count < base.loaded else 0.0
    opening, first, second, close = (moved(getattr(base, name)[count:last], at) for name in _PRICES)
    # What moves the other way has its extremes exchanged.
    future = opening, np.maximum(first, second), np.minimum(first, second), close
    prices = [np.concatenate((getattr(base, name)[:count], each)) for name, each in zip(_PRICES, future, strict=True)]
    volumes = np.concatenate((base.volume[:count], base.volume[count:last] * volume + (1.0 if volume else 0.0)))
    return BarSeries(
        base.symbol, base.timeframe_ns, base.open_ns[:last], prices[0], prices[1], prices[2], prices[3], volumes,
        price_side=base.price_side,
    )  # fmt: skip
