"""The spread model: how bid and ask follow from a bar's price. Pure."""

from dataclasses import dataclass

from src.core.errors import ConfigError

__all__ = ["QuoteRule", "quote_rule"]


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


def quote_rule(price_side: str, *, percent: float = 0.0, points: float = 0.0) -> QuoteRule:
    """A spread of `percent` of the price plus `points` in price units, for bars of a price side.

    A bid bar makes the ask by adding the whole spread, an ask bar the bid by taking it away; trade, mid and mark bars
    lie in the middle.

    Raises:
        ConfigError: the price side is unknown.
    """
    share = percent / 100.0
    half, half_points = share / 2, points / 2
    if price_side == "bid":
        return QuoteRule(1.0, 0.0, 1.0 + share, points, half, half_points)
    if price_side == "ask":
        return QuoteRule(1.0 - share, points, 1.0, 0.0, half, half_points)
    if price_side in ("trade", "mid", "mark"):
        return QuoteRule(1.0 - half, half_points, 1.0 + half, half_points, half, half_points)
    raise ConfigError(f"expected bars of bid, ask, mid, trade or mark prices, found {price_side!r}")
