"""A spread that is not the same for every bar: by the hour of the day, or as bid and ask bars have it. Pure.

Used only where it is configured; a desk with one spread for all its bars knows nothing of this module. What fills is
tested against the bid and the ask of the bar itself; marking uses the spread of the last close, or of the open at which
market orders were worked since then.
"""

from dataclasses import dataclass

import numpy as np

from src.brokers.simulated.desk import NEVER, Desk
from src.brokers.simulated.rules import Costs, SideBars
from src.brokers.simulated.spread import PriceSide, QuoteRule, QuoteRules, SidePrices, side_shares
from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.timeframe import HOUR_NS

__all__ = ["VaryingDesk", "VaryingSpread", "column_spread", "hourly_spread"]


@dataclass(frozen=True, slots=True)
class VaryingSpread:
    """How far bid and ask lie away from the price of each bar.

    Attributes:
        bids, asks: the quotes of each bar.
        bid_open, bid_close, ask_open, ask_close: distances at the open and at the close, shape (n,), price units.
    """

    bids: PriceSide
    asks: PriceSide
    bid_open: FloatArray
    bid_close: FloatArray
    ask_open: FloatArray
    ask_close: FloatArray

    def rule(self, i: int, *, opened: bool) -> QuoteRule:
        """The spread at the open of bar `i`, or at its close."""
        bid = float((self.bid_open if opened else self.bid_close)[i])
        ask = float((self.ask_open if opened else self.ask_close)[i])
        return QuoteRule(1.0, bid, 1.0, ask, 0.0, (bid + ask) / 2)


class ShiftedPrices:
    """One side of the quote where it lies a distance of its own away from the prices of each bar."""

    __slots__ = ("_away", "_close_at", "_high_at", "_low_at", "_open_at")

    def __init__(self, series: BarSeries, away: FloatArray) -> None:
        self._open_at, self._high_at = series.open_at, series.high_at
        self._low_at, self._close_at = series.low_at, series.close_at
        self._away = away.data

    def open(self, i: int) -> float:
        """See `PriceSide.open`."""
        return self._open_at[i] + self._away[i]

    def high(self, i: int) -> float:
        """See `PriceSide.high`."""
        return self._high_at[i] + self._away[i]

    def low(self, i: int) -> float:
        """See `PriceSide.low`."""
        return self._low_at[i] + self._away[i]

    def close(self, i: int) -> float:
        """See `PriceSide.close`."""
        return self._close_at[i] + self._away[i]


def hourly_spread(series: BarSeries, points: tuple[float, ...]) -> VaryingSpread:
    """A spread by the hour of the day in UTC in which a bar opens.

    Args:
        points: price units for each of the 24 hours.
    """
    spread = np.array(points, dtype=np.float64)[(series.open_ns // HOUR_NS) % 24]
    below, above = side_shares(series.price_side)
    bid, ask = spread * below, spread * above
    return VaryingSpread(ShiftedPrices(series, -bid), ShiftedPrices(series, ask), bid, bid, ask, ask)


def column_spread(series: BarSeries, sides: SideBars) -> VaryingSpread:
    """The spread between bid bars and ask bars.

    Raises:
        ConfigError: the bars of a side are not there.
    """
    bid, ask = sides.bid, sides.ask
    if bid is None or ask is None:
        raise ConfigError(
            f"backtest.costs.spread: column needs bid and ask bars of {series.symbol} from the start of the run, and "
            f"it has {series.price_side} bars: write another spread"
        )
    return VaryingSpread(
        SidePrices(bid), SidePrices(ask), series.open - bid.open, series.close - bid.close, ask.open - series.open,
        ask.close - series.close,
    )  # fmt: skip


class VaryingDesk(Desk):
    """A desk whose spread is another one for each bar; `quotes` is that of the present bar.

    Args:
        instrument, series, costs, rank: see `Desk`.
        spread: of all bars of the series.
    """

    __slots__ = ("_opened", "_spread")

    varies = True

    def __init__(
        self, instrument: Instrument, series: BarSeries, costs: Costs, rank: int, spread: VaryingSpread
    ) -> None:
        self._spread = spread
        self._opened = -1
        super().__init__(instrument, series, costs, rank)

    @property
    def quotes(self) -> QuoteRule:
        """How quotes follow from the price now."""
        if self._opened > self.index:
            return self._spread.rule(self._opened, opened=True)
        return self._spread.rule(max(self.index, 0), opened=False)

    @quotes.setter
    def quotes(self, rule: QuoteRule) -> None:
        pass  # what a desk with one spread sets at its construction

    def rewind(self) -> None:
        """See `Desk.rewind`."""
        super().rewind()
        self.bids, self.asks = self._spread.bids, self._spread.asks

    def open_bar(self, i: int, now_ns: int) -> None:
        """See `Desk.open_bar`."""
        super().open_bar(i, now_ns)
        self._opened = i

    def rules_of(self, bars: IntArray, opened: IntArray) -> QuoteRules:
        """See `Desk.rules_of`."""
        spread, at = self._spread, np.maximum(bars, 0)
        bid, ask = spread.bid_close[at], spread.ask_close[at]
        worked = np.flatnonzero(opened >= 0)
        bid[worked], ask[worked] = spread.bid_open[opened[worked]], spread.ask_open[opened[worked]]
        return QuoteRules(1.0, bid, 1.0, ask)

    def review(self) -> None:
        """See `Desk.review`: which prices a level stands for depends on the bar, so each has to be asked."""
        super().review()
        if self.guarded:
            self.floor = -NEVER

    def touched(self, i: int) -> bool:
        """See `Desk.touched`."""
        if self.resting or self.pending:
            return True
        for book in self.books:
            side = self.bids if book.volume > 0 else self.asks
            low, high = side.low(i), side.high(i)
            if book.trail is not None:
                return True
            below, above = (book.stop, book.target) if book.volume > 0 else (book.target, book.stop)
            if (below is not None and low <= below) or (above is not None and high >= above):
                return True
        return False
