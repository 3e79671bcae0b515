"""The slippage model: how much worse than the quote a market or stop order fills. Pure.

A limit order never slips.
"""

from dataclasses import dataclass

__all__ = ["Slippage"]


@dataclass(frozen=True, slots=True)
class Slippage:
    """`percent` of the price plus `points` in price units, always against the order."""

    percent: float = 0.0
    points: float = 0.0

    def of(self, price: float) -> float:
        """Price units by which a fill at `price` is worse."""
        return price * self.percent / 100.0 + self.points
