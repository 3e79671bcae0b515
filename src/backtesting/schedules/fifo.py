"""The written order: phase, then rank in the configuration. The default."""

from collections.abc import Sequence

from src.backtesting.schedules.policy import Candidate, SchedulePolicy

__all__ = ["Fifo", "make"]


class Fifo:
    """Always the first in key order."""

    in_order = True
    preempts = False

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """See `SchedulePolicy`."""
        return 0

    def describe(self) -> str:
        """See `SchedulePolicy`."""
        return "1:fifo"


def make(seed: int) -> SchedulePolicy:
    """The policy; it has no use for a seed."""
    return Fifo()
