"""A rule for limits that were touched, to copy: this file under another name, and one line in `LIMIT_FILLS`.

It is asked only when a quote stands exactly at the limit; beyond the limit every order fills, and before it none. Pure,
so that threads, fibers and every schedule get the same answer.
"""

from dataclasses import dataclass

from src.brokers.simulated.limit_fills import LimitFill
from src.core.rng import stable_hash
from src.core.timeframe import DAY_NS, HOUR_NS

__all__ = ["LateHours", "make"]


@dataclass(frozen=True, slots=True)
class LateHours:
    """From 20:00 UTC on the queues are short and a touch fills; before that it does with `probability`."""

    seed: int
    probability: float

    def __call__(self, identity: str, open_ns: int) -> bool:
        """Whether the touched limit of an order fills on the bar that opens then; the same at each call."""
        if open_ns % DAY_NS >= 20 * HOUR_NS:
            return True
        return stable_hash(self.seed, "late hours", identity, open_ns) < self.probability * 2**64


def make(*, probability: float, seed: int) -> LimitFill:
    """The rule; `probability` is `backtest.touch_probability`, `seed` that of the run."""
    return LateHours(seed, probability)
