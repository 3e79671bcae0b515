"""The margin model: what an open position ties up. Pure."""

from dataclasses import dataclass

__all__ = ["Margin"]


@dataclass(frozen=True, slots=True)
class Margin:
    """The notional divided by `leverage`; a hedging account pays for both sides."""

    leverage: float = 1.0

    def of(self, volume: float, price: float) -> float:
        """Margin of `volume` at `price`, in the account's currency."""
        return volume * price / self.leverage
