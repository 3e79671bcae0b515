"""Another order for each seed: participants sorted by a hash of (seed, instant, name).

A hash and not a shuffled list: one idle turn more or less must not reorder the others.
"""

from collections.abc import Sequence

from src.backtesting.schedules.policy import Candidate, SchedulePolicy
from src.core.rng import stable_hash

__all__ = ["Seeded", "make"]


class Seeded:
    """The least hash goes first.

    Args:
        seed: which order.
    """

    in_order = False
    preempts = False

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """See `SchedulePolicy`."""
        seed = self._seed
        return min(range(len(ready)), key=lambda i: (stable_hash(seed, now_ns, ready[i].name), ready[i].name))

    def describe(self) -> str:
        """See `SchedulePolicy`."""
        return f"1:seeded:{self._seed}"


def make(seed: int) -> SchedulePolicy:
    """The policy for a seed."""
    return Seeded(seed)
