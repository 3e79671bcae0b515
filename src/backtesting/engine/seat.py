"""A participant's place under the TimeController: what it waits for, and what carries it."""

from collections.abc import Callable
from operator import attrgetter
from typing import Protocol

from src.core.bars import BarSeries, BarsView
from src.core.blocking import helper_order
from src.core.clock import PHASE_TIMER, Participant
from src.core.errors import LeftError
from src.core.sync import Carrier
from src.core.wake import MonitorWake, WorkerWake

__all__ = ["BORN", "CONDITION", "LEFT", "MARKET", "YIELDED", "NoWake", "Seat", "key_order"]

#: What a seat waits for when it has not the turn; compared by identity, shown in errors.
BORN, MARKET, CONDITION, YIELDED, LEFT = "its first turn", "the next step", "a condition", "its turn", "nothing"


class _Watching(Protocol):
    watching: bool


class _Always:
    """What the wake of a seat asks, where that is not known."""

    watching = True


_ALWAYS = _Always()
_NO_BARS = BarsView(BarSeries.empty("", 1), 0)


class NoWake:
    """The wake of a helper, which never waits for the market."""

    def __call__(self) -> bool:
        return False

    def next_due_ns(self) -> None:
        return


class Seat:
    """The scheduler's record of one participant; belongs to the holder of the turn.

    Attributes:
        asks: whether there may be news although a turn has just ended: the participant takes only some in a turn, or
            time moved on during the turn.
        closing: whether its next wait has to ask why it goes on: the run, its symbol or itself comes to an end.
        departure: what its waits raise, since it has left; None before.
        yields: how often it gave its turn away at this instant; `yielding` is true while that decision is made.
        helper: whether it is a thread that another participant started.
        state: while its `watching` is false, `wake` is false as well and is not called.
        view, series: while the series is longer than what the view has reached, `wake` is true and is not called.
    """

    __slots__ = (
        "asks", "base_order", "by_others", "carrier", "closing", "condition", "departure", "due_ns", "due_order",
        "ended", "helper", "leaves_news", "name", "next_due_ns", "order", "parent", "park", "participant", "queued",
        "resume", "retired", "series", "since_ns", "state", "turns", "turns_of_helpers", "view", "waiting", "wake",
        "what", "yielding", "yields",
    )  # fmt: skip

    carrier: Carrier
    #: The carrier's own, kept here because every hand-over calls them.
    resume: Callable[[], object]
    park: Callable[[], object] | None

    def __init__(self, participant: Participant, *, parent: str = "") -> None:
        self.participant = participant
        self.name = participant.name
        self.parent = parent
        self.helper = bool(parent)
        # The bound method: calling it costs half of calling the object.
        self.wake = participant.wake.__call__
        self.next_due_ns = participant.wake.next_due_ns
        worker = participant.wake if isinstance(participant.wake, WorkerWake) else None
        # A worker takes all that is new in each turn.
        self.asks = self.leaves_news = worker is None
        self.view, self.series = (_NO_BARS, _NO_BARS.series) if worker is None else (worker.view, worker.series)
        self.state: _Watching = participant.wake.state if isinstance(participant.wake, MonitorWake) else _ALWAYS
        # A helper comes after its participant, in the order in which it was started.
        place = helper_order(participant.name) if parent else (participant.name,)
        self.base_order: tuple[int | str, ...] = (participant.phase, participant.rank, *place)
        # A sleep or a timer that fell due comes before the monitor and the workers of its instant.
        self.due_order: tuple[int | str, ...] = (PHASE_TIMER, *self.base_order)
        self.order: tuple[int | str, ...] = self.base_order
        self.waiting = BORN
        self.what = BORN
        self.queued = False
        self.ended = False
        self.retired = False
        self.closing = False
        self.departure: LeftError | None = None
        self.turns = 0
        self.turns_of_helpers = 0
        self.yields = 0
        self.yielding = False
        self.since_ns = 0
        self.due_ns: int | None = None
        self.by_others = False
        self.condition: Callable[[], bool] | None = None

    @property
    def hopeless(self) -> bool:
        """Whether it is blocked until another participant does something, however long that takes."""
        return self.waiting is CONDITION and self.due_ns is None and self.by_others


#: The place of a seat among the ready ones: phase, rank, name.
key_order = attrgetter("order")
