"""No order at all: everybody who is ready goes at once, on real threads, as the operating system lets them.

For watching how threads really overlap and wait for each other. Such a run is not deterministic: it has no run id and
is compared with nothing. What it can give is the order in which turns began, see `src.backtesting.schedules.order`.
"""

from collections.abc import Sequence

from src.backtesting.schedules.policy import Candidate, SchedulePolicy

__all__ = ["Free", "make"]


class Free:
    """Marks a run that `FreeTimeController` drives; where it is asked all the same, it chooses as `fifo` does."""

    in_order = True
    preempts = False

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """See `SchedulePolicy`."""
        return 0

    def describe(self) -> str:
        """See `SchedulePolicy`; the only description that repeats no choices, because none were made."""
        return "1:free"


def make(seed: int) -> SchedulePolicy:
    """The policy; it has no use for a seed."""
    return Free()
