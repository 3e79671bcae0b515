"""The slippage model: how much worse than the quote a market or stop order fills. Pure.

A limit order never slips.
"""

from dataclasses import dataclass

__all__ = ["Slippage", "least_price"]

#: Of the quote: what a sale gets at least where there is no tick.
LEAST_SHARE = 1e-6


@dataclass(frozen=True, slots=True)
class Slippage:
    """`percent` of the price plus `points` in price units, always against the order.

    `volume_share` is what an order as large as the volume of a bar slips further, in percent of the price; a smaller
    one slips its share of it, and no order more than that.
    """

    percent: float = 0.0
    points: float = 0.0
    volume_share: float = 0.0

    def of(self, price: float) -> float:
        """Price units by which a fill at `price` is worse."""
        return price * self.percent / 100.0 + self.points

    def impact(self, price: float, volume: float, bar_volume: float) -> float:
        """Price units by which `volume` makes its own fill worse on a bar of `bar_volume`; all of it without any."""
        share = min(1.0, volume / bar_volume) if bar_volume > 0 else 1.0
        return price * self.volume_share / 100.0 * share


def least_price(quote: float, tick: float) -> float:
    """What a sale at `quote` gets when its slippage is more than that: one tick, or next to nothing, and never less."""
    return min(quote, tick if tick > 0 else quote * LEAST_SHARE)
