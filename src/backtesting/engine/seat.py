"""A participant's place under the TimeController: what it waits for, and what carries it."""

from collections.abc import Callable
from operator import attrgetter

from src.core.clock import Participant
from src.core.sync import Carrier

__all__ = ["BORN", "CONDITION", "LEFT", "MARKET", "RUNNING", "Seat", "key_order"]

#: What a seat waits for; compared by identity, shown in errors.
BORN, RUNNING, MARKET, CONDITION, LEFT = "its first turn", "nothing, it runs", "the next step", "a condition", "nothing"


class Seat:
    """The scheduler's record of one participant; belongs to the holder of the turn."""

    __slots__ = (
        "base_order", "carrier", "condition", "due_ns", "ended", "name", "next_due_ns", "order", "participant",
        "queued", "since_ns", "turns", "waiting", "wake", "what",
    )  # fmt: skip

    carrier: Carrier

    def __init__(self, participant: Participant) -> None:
        self.participant = participant
        self.name = participant.name
        # The bound method: calling it costs half of calling the object.
        self.wake = participant.wake.__call__
        self.next_due_ns = participant.wake.next_due_ns
        self.base_order: tuple[int | str, ...] = (participant.phase, participant.rank, participant.name)
        self.order: tuple[int | str, ...] = self.base_order
        self.waiting = BORN
        self.what = BORN
        self.queued = False
        self.ended = False
        self.turns = 0
        self.since_ns = 0
        self.due_ns: int | None = None
        self.condition: Callable[[], bool] | None = None


#: The place of a seat among the ready ones: phase, rank, name.
key_order = attrgetter("order")
