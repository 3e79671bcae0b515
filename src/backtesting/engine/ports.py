"""What the TimeController asks of a market and of whoever paces it, and what it tells of itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from src.core.errors import InternalError
from src.core.wake import Signals

__all__ = ["Gate", "Market", "NoMarket", "ParticipantState", "TimeStatistics"]


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


class Gate(Protocol):
    """What stands between two steps: a pace, or somebody who pauses the run. Decides when, never what."""

    def before_step(self, now_ns: int, at_ns: int, *, market: bool) -> None:
        """Block until the step to `at_ns` may happen; `market` is False for a step of timers alone."""
        ...

    def wake_up(self) -> None:
        """End the present and all further blocking, because the run is to stop; from any thread."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantState:
    """What a participant does: `state` is `running`, `ready`, `waiting` or `left`, `what` says for what it waits."""

    name: str
    state: str
    what: str
    since_ns: int
    turns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeStatistics:
    """How far the run is; read at any time from any thread."""

    now_ns: int
    steps: int
    turns: int
    participants: tuple[ParticipantState, ...]

    @property
    def turns_by_participant(self) -> dict[str, int]:
        """Turns by name, in the order in which the participants were made."""
        return {each.name: each.turns for each in self.participants}


class NoMarket:
    """Stands where no market was attached."""

    start_ns = end_ns = 0
    signals = Signals()

    def next_ns(self) -> int | None:
        raise InternalError("the time controller has no market; attach one before the participants start")

    def advance(self, instant_ns: int) -> Sequence[str]:
        raise InternalError("the time controller has no market; attach one before the participants start")
