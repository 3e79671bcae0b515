"""A schedule policy to start from: copy this file, rename the class, and write your rule into `choose`.

Add one line to `POLICIES` in `__init__.py` to give it a name. A policy of which each seed gives another order also
goes into `SEEDED` there, and describes itself as `1:name:seed`.
"""

from collections.abc import Sequence

from src.backtesting.schedules.policy import Candidate, SchedulePolicy

__all__ = ["Backwards", "make"]


class Backwards:
    """Always the last in key order."""

    in_order = False  # True only where `choose` always returns 0
    preempts = False  # True lets the running participant lose its turn around broker calls

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """The index of the one that goes next; a function of the arguments and the seed alone."""
        return len(ready) - 1

    def describe(self) -> str:
        """What `backtest.schedule` has to hold to get this policy again."""
        return "1:backwards"


def make(seed: int) -> SchedulePolicy:
    """The policy; `seed` is the run's, or the one that a replay string names."""
    return Backwards()
