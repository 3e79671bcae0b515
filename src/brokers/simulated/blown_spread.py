"""A spread that blows out for a while: so many times wider in the bars that a span touches. Pure.

Used only where faults say so. The bot sees the wide spread, and the venue fills at it, as happens around news.
"""

from collections.abc import Sequence

import numpy as np

from src.brokers.simulated.rules import Costs
from src.brokers.simulated.spread import PriceSide, QuoteRule, SidePrices, quote_rule
from src.brokers.simulated.varying_spread import VaryingSpread
from src.core.bars import BarSeries, FloatArray
from src.core.errors import ConfigError

__all__ = ["blown_out", "check_blown"]


class BlownPrices:
    """One side of the quote, in some bars so many times farther away from their prices."""

    __slots__ = ("_series", "_side", "_times")

    def __init__(self, series: BarSeries, side: PriceSide, times: FloatArray) -> None:
        self._series = series
        self._side = side
        self._times = times.data

    def open(self, i: int) -> float:
        """See `PriceSide.open`."""
        return _away(self._series.open_at[i], self._side.open(i), self._times[i])

    def high(self, i: int) -> float:
        """See `PriceSide.high`."""
        return _away(self._series.high_at[i], self._side.high(i), self._times[i])

    def low(self, i: int) -> float:
        """See `PriceSide.low`."""
        return _away(self._series.low_at[i], self._side.low(i), self._times[i])

    def close(self, i: int) -> float:
        """See `PriceSide.close`."""
        return _away(self._series.close_at[i], self._side.close(i), self._times[i])


def blown_out(series: BarSeries, costs: Costs, usual: VaryingSpread | None) -> VaryingSpread | None:
    """The spread of each bar; `usual` where no blow-out touches the symbol.

    Args:
        usual: the spread without them, None for the one of `costs` that is the same for all bars.
    """
    n = series.loaded
    times = np.ones(n)
    opens, closes = series.open_ns[:n], series.closes(0, n)
    for each in costs.blow_outs:
        if each.symbol in ("", series.symbol):
            touched = (closes > each.from_ns) & (opens < each.to_ns)
            times[touched] = np.maximum(times[touched], each.factor)
    if not (times > 1).any():
        return usual
    if usual is None:
        rule = quote_rule(series.price_side, percent=costs.spread_percent, points=costs.spread_points)
        bids: PriceSide = SidePrices(series, rule.bid_factor, -rule.bid_offset)
        asks: PriceSide = SidePrices(series, rule.ask_factor, rule.ask_offset)
        at_open, at_close = (_distances(rule, price[:n]) for price in (series.open, series.close))
    else:
        bids, asks = usual.bids, usual.asks
        at_open, at_close = (usual.bid_open, usual.ask_open), (usual.bid_close, usual.ask_close)
    blown = BlownPrices(series, bids, times)
    check_blown(series.symbol, [blown.low(int(i)) for i in np.flatnonzero(times > 1)])
    return VaryingSpread(
        blown, BlownPrices(series, asks, times),
        at_open[0] * times, at_close[0] * times, at_open[1] * times, at_close[1] * times,
    )  # fmt: skip


def check_blown(symbol: str, bids: Sequence[float]) -> None:
    """Refuse a spread that blows out so far that nothing is bid any more.

    Args:
        bids: the lowest of each bar, or those of quotes, that are farther from the price than usual; NaN for none.

    Raises:
        ConfigError: one of them is 0 or less.
    """
    lowest = min((bid for bid in bids if bid == bid), default=1.0)
    if lowest <= 0:
        raise ConfigError(
            f"expected a bid above 0, found {lowest:g} for {symbol} while its spread blows out: lower the factor of "
            "that fault, or the spread"
        )


def _distances(rule: QuoteRule, price: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How far bid and ask lie away from prices, shape (n,) each."""
    return (
        price * (1.0 - rule.bid_factor) + rule.bid_offset,
        price * (rule.ask_factor - 1.0) + rule.ask_offset,
    )


def _away(price: float, quote: float, times: float) -> float:
    return quote if times == 1.0 else price + (quote - price) * times
