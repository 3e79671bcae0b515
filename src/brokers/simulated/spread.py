"""The spread model: how bid and ask follow from a bar's price. Pure."""

from dataclasses import dataclass
from typing import Protocol

from src.core.bars import BarSeries, FloatArray
from src.core.errors import ConfigError

__all__ = ["PriceSide", "QuoteRule", "QuoteRules", "SidePrices", "quote_rule", "side_shares"]


@dataclass(frozen=True, slots=True)
class QuoteRule:
    """`bid = price * bid_factor - bid_offset`, `ask = price * ask_factor + ask_offset`, and half the spread."""

    bid_factor: float
    bid_offset: float
    ask_factor: float
    ask_offset: float
    half_factor: float
    half_offset: float

    def bid(self, price: float) -> float:
        """What a seller gets when the bar shows `price`."""
        return price * self.bid_factor - self.bid_offset

    def ask(self, price: float) -> float:
        """What a buyer pays when the bar shows `price`."""
        return price * self.ask_factor + self.ask_offset

    def half(self, quote: float, *, ask: bool) -> float:
        """Half the spread at the instant at which the ask, or else the bid, is `quote`."""
        if ask:  # `shown`, without a call for each fill
            return (quote - self.ask_offset) / self.ask_factor * self.half_factor + self.half_offset
        return (quote + self.bid_offset) / self.bid_factor * self.half_factor + self.half_offset

    def across(self, quote: float, *, ask: bool) -> float:
        """The bid that belongs to the ask `quote`, or the ask that belongs to the bid `quote`."""
        price = self.shown(quote, ask=ask)
        return self.bid(price) if ask else self.ask(price)

    def shown(self, quote: float, *, ask: bool) -> float:
        """The price that a bar shows at the instant at which the ask, or else the bid, is `quote`."""
        if ask:
            return (quote - self.ask_offset) / self.ask_factor
        return (quote + self.bid_offset) / self.bid_factor


@dataclass(frozen=True, slots=True)
class QuoteRules:
    """Factors and offsets as in `QuoteRule`, each one number for all instants or shape (n,)."""

    bid_factor: float | FloatArray
    bid_offset: float | FloatArray
    ask_factor: float | FloatArray
    ask_offset: float | FloatArray


def quote_rule(price_side: str, *, percent: float = 0.0, points: float = 0.0) -> QuoteRule:
    """A spread of `percent` of the price plus `points` in price units, for bars of a price side.

    A bid bar makes the ask by adding the whole spread, an ask bar the bid by taking it away; trade, mid and mark bars
    lie in the middle.

    Raises:
        ConfigError: the price side is unknown.
    """
    share = percent / 100.0
    below, above = side_shares(price_side)
    return QuoteRule(
        1.0 - share * below, points * below, 1.0 + share * above, points * above, share / 2, points / 2
    )  # fmt: skip


def side_shares(price_side: str) -> tuple[float, float]:
    """Which share of the spread lies below the bars' prices, and which above.

    Raises:
        ConfigError: the price side is unknown.
    """
    if price_side == "bid":
        return 0.0, 1.0
    if price_side == "ask":
        return 1.0, 0.0
    if price_side in ("trade", "mid", "mark"):
        return 0.5, 0.5
    raise ConfigError(f"expected bars of bid, ask, mid, trade or mark prices, found {price_side!r}")


class PriceSide(Protocol):
    """One side of the quote, or another price, bar by bar; a bar may be asked for before it is visible."""

    def open(self, i: int) -> float:
        """The price at the open of bar `i`."""
        ...

    def high(self, i: int) -> float:
        """The highest price of bar `i`."""
        ...

    def low(self, i: int) -> float:
        """The lowest price of bar `i`."""
        ...

    def close(self, i: int) -> float:
        """The price at the close of bar `i`."""
        ...


class SidePrices:
    """What the bars of a series show of one side of the quote: a factor and an offset away from their prices.

    Args:
        series: the bars; a bar may be asked for before it is visible.
        factor, offset: `price * factor + offset` is the quote.
    """

    __slots__ = ("_close_at", "_factor", "_high_at", "_low_at", "_offset", "_open_at")

    def __init__(self, series: BarSeries, factor: float = 1.0, offset: float = 0.0) -> None:
        self._open_at, self._high_at = series.open_at, series.high_at
        self._low_at, self._close_at = series.low_at, series.close_at
        self._factor, self._offset = factor, offset

    def open(self, i: int) -> float:
        """The quote at the open of bar `i`."""
        return self._open_at[i] * self._factor + self._offset

    def high(self, i: int) -> float:
        """The highest quote of bar `i`."""
        return self._high_at[i] * self._factor + self._offset

    def low(self, i: int) -> float:
        """The lowest quote of bar `i`."""
        return self._low_at[i] * self._factor + self._offset

    def close(self, i: int) -> float:
        """The quote at the close of bar `i`."""
        return self._close_at[i] * self._factor + self._offset
