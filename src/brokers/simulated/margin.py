"""The margin model: what an open position ties up, and what it needs to stay open. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.core.instrument import MarginTier

__all__ = ["Margin", "TieredMargin"]


@dataclass(frozen=True, slots=True)
class Margin:
    """The notional divided by `leverage`; a hedging account pays for both sides."""

    leverage: float = 1.0

    def of(self, volume: float, price: float) -> float:
        """Margin of `volume` at `price`, in the currency of the price."""
        return volume * price / self.leverage


class TieredMargin:
    """Each part of a notional at its own tier's leverage, as with a progressive tax, so no jump lies between tiers.

    Args:
        tiers: in rising order, the first from 0; none for one tier at the account's leverage.
        leverage: the account's, for tiers that state none.
    """

    __slots__ = ("_tiers",)

    def __init__(self, tiers: Sequence[MarginTier], leverage: float) -> None:
        tiers = tiers or (MarginTier(0.0),)
        ends = [*(tier.from_notional for tier in tiers[1:]), float("inf")]
        self._tiers: list[tuple[float, float, float, float]] = []
        for tier, end in zip(tiers, ends, strict=True):
            initial = 1.0 / (tier.leverage or leverage)
            least = tier.maintenance_percent
            self._tiers.append((tier.from_notional, end, initial, initial if least is None else least / 100.0))

    def of(self, volume: float, price: float) -> float:
        """Margin of `volume` at `price`, in the currency of the price."""
        return self.initial(volume * price)

    def initial(self, notional: float) -> float:
        """What a position of this notional ties up."""
        total = 0.0
        for begin, end, initial, _ in self._tiers:
            if notional <= begin:
                break
            total += (min(notional, end) - begin) * initial
        return total

    def maintenance(self, notional: float) -> float:
        """What it needs to stay open: the stated part of each tier, or its whole margin."""
        total = 0.0
        for begin, end, _, least in self._tiers:
            if notional <= begin:
                break
            total += (min(notional, end) - begin) * least
        return total

    def rate_at(self, notional: float) -> float:
        """The margin of one more unit of money on top of a notional."""
        rate = self._tiers[0][2]
        for begin, _, initial, _ in self._tiers:
            if notional >= begin:
                rate = initial
        return rate
