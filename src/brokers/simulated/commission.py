"""The commission model: money for each execution. Pure."""

from dataclasses import dataclass

__all__ = ["Commission"]


@dataclass(frozen=True, slots=True)
class Commission:
    """`percent` of the notional plus `per_unit` of volume, in the account's currency."""

    percent: float = 0.0
    per_unit: float = 0.0

    def of(self, volume: float, price: float) -> float:
        """Commission of an execution; price is the fill's."""
        return volume * price * self.percent / 100.0 + volume * self.per_unit
