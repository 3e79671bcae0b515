"""What the TimeController asks of a market, and what it tells of itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from src.core.errors import InternalError
from src.core.wake import Signals

__all__ = ["Market", "NoMarket", "TimeStatistics"]


class Market(Protocol):
    """What moves when everybody waits: prices, the broker's timers, resting orders.

    Attributes:
        start_ns, end_ns: the window; the first turns are at `start_ns`.
        signals: its `changes` grows whenever something happened that may wake a participant outside a step.
    """

    start_ns: int
    end_ns: int
    signals: Signals

    def next_ns(self) -> int | None:
        """The instant of the next event inside the window, None when there is none."""
        ...

    def advance(self, instant_ns: int) -> Sequence[str]:
        """Move everything to `instant_ns` at once; returns the symbols whose data ended with this step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeStatistics:
    """How far the run is; read at any time from any thread."""

    now_ns: int
    steps: int
    turns: int
    turns_by_participant: dict[str, int]


class NoMarket:
    """Stands where no market was attached."""

    start_ns = end_ns = 0
    signals = Signals()

    def next_ns(self) -> int | None:
        raise InternalError("the time controller has no market; attach one before the participants start")

    def advance(self, instant_ns: int) -> Sequence[str]:
        raise InternalError("the time controller has no market; attach one before the participants start")
