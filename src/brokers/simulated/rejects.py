"""Orders that the venue acknowledges and then rejects, drawn for each order. Pure."""

from dataclasses import dataclass

from src.core.rng import stable_hash

__all__ = ["Rejects"]

_ALL_DRAWS = 2**64


@dataclass(frozen=True, slots=True)
class Rejects:
    """`percent` of all orders; whether one is among them follows from the seed and the order alone."""

    percent: float
    seed: int = 0

    def hits(self, symbol: str, order_id: str) -> bool:
        """Whether the venue rejects this order."""
        return stable_hash(self.seed, "reject", symbol, order_id) < self.percent / 100.0 * _ALL_DRAWS
