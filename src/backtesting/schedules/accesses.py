"""What each participant asked of broker and risk manager and what it was told: the reads and writes of a turn.

Two runs that differ in the order of two turns are compared call by call. A participant that was told something else
than before raced for what the answer speaks of (a slot, margin, an order ...); one that was told the same and yet asked
for something else got its reason from somewhere else: state outside the ports. That what a participant read
differs does not mean that it acted on it: a run in which it is told again what it was told before (`Retold`) tells.

Composed only for a run that is to be explained. A log is written by whoever has the turn, so it needs no lock.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

from src.core.broker import Broker
from src.core.clock import Clock, Participant, Wake
from src.core.record import record
from src.core.records import OrderEvent, OrderRequest, OrderResult, Position, Snapshot
from src.core.risk_manager import EntryIntent, RiskManager, Verdict
from src.core.sync import current_participant

__all__ = ["READS", "RESOURCES", "Divergence", "PortCall", "PortLogs", "Retold", "first_divergence", "resource_of_code"]

#: What a refusal's code says the two were after.
RESOURCES = {
    "max_open_positions": "slot",
    "margin": "margin",
    "too_small": "margin",
    "open_risk": "open risk",
    "daily_loss": "daily loss",
    "cool_down": "cool-down",
    "no_position": "position",
    "nothing_to_reduce": "position",
    "not_working": "order",
}

#: Calls that only look; the answers to all others are what a participant was granted or refused.
READS = ("snapshot", "equity", "position", "positions")

#: How many of its latest calls are kept for each participant.
MOST_CALLS = 200_000

Answer = TypeVar("Answer")


def resource_of_code(code: str) -> str:
    """The resource that a refusal speaks of; a code without one stands for itself."""
    return RESOURCES.get(code, code)


class PortCall(NamedTuple):
    """One call through a port: when, which, with what, and the part of the answer that a caller can act on."""

    instant_ns: int
    call: str
    asked: tuple[Any, ...]
    answer: Any


@record
class Retold:
    """What a participant is to be told, whatever is true, as long as it asks what it asked before.

    Attributes:
        begin: which of its calls is the first whose answer is replaced.
        calls: from that one on, with the answers of the other run; of those only reads are replaced.
    """

    participant: str
    begin: int
    calls: tuple[PortCall, ...]


@record
class Divergence:
    """Where two logs of one participant part.

    Attributes:
        index: which of its calls.
        resource: what the differing answer speaks of; empty when the participant asked for something else although
            every answer before had been the same.
    """

    instant_ns: int
    index: int
    call: str
    resource: str


class PortLogs:
    """The calls of every participant of one run.

    Args:
        since_ns: calls before this instant are not kept.
        retold: whose reads are answered with something else than what is true.
    """

    def __init__(self, since_ns: int = 0, retold: Retold | None = None) -> None:
        self._retold = retold
        self._now_ns: Callable[[], int] = _begin
        self._since_ns = since_ns
        self._calls: dict[str, deque[PortCall]] = {}
        self._counts: dict[str, int] = {}
        #: Which call of the whole run each of those kept is.
        self._places: dict[str, deque[int]] = {}
        self._made = 0
        self._inside: set[str] = set()
        self._muted = 0

    def of(self, participant: str) -> tuple[int, Sequence[PortCall]]:
        """How many of a participant's calls were dropped as too old, and those that are kept."""
        kept = tuple(self._calls.get(participant, ()))
        return self._counts.get(participant, 0) - len(kept), kept

    def at(self, instant_ns: int) -> list[tuple[str, PortCall]]:
        """The calls of one instant in the order in which they were answered, each with its participant."""
        found = [
            (place, who, call)
            for who, calls in self._calls.items()
            for place, call in zip(self._places[who], calls, strict=True)
            if call.instant_ns == instant_ns
        ]
        return [(who, call) for _, who, call in sorted(found, key=itemgetter(0))]

    def broker(self, broker: Broker) -> Broker:
        """`broker`, with every call of a participant noted."""
        return cast(Broker, _LoggedBroker(broker, self))

    def risk(self, risk: RiskManager) -> RiskManager:
        """`risk`, with every judgement noted; what it asks of the broker itself is part of the judgement."""
        return cast(RiskManager, _LoggedRisk(risk, self))

    def clock(self, clock: Clock, now_ns: Callable[[], int]) -> Clock:
        """`clock`, under which nobody's wake is noted: it is asked in the name of whoever happens to park.

        Args:
            now_ns: the present, asked at every call.
        """
        self._now_ns = now_ns
        return cast(Clock, _LoggedClock(clock, self))

    def note(
        self, call: str, asked: tuple[Any, ...], made: Callable[[], Answer], told: Callable[[Answer], object]
    ) -> Answer:
        """Make a call and keep it, unless it is part of a call that is noted already."""
        who = current_participant.get()
        if self._muted or who in self._inside:
            return made()
        self._inside.add(who)
        try:
            answer = made()
        finally:
            self._inside.discard(who)
        now = self._now_ns()
        if now >= self._since_ns:
            if who not in self._calls:
                self._calls[who] = deque(maxlen=MOST_CALLS)
                self._places[who] = deque(maxlen=MOST_CALLS)
            number = self._counts.get(who, 0)
            if self._retold is not None and who == self._retold.participant and number >= self._retold.begin:
                answer = self._told_before(self._retold, number, PortCall(now, call, asked, None), answer)
            self._calls[who].append(PortCall(now, call, asked, told(answer)))
            self._places[who].append(self._made)
            self._made += 1
            self._counts[who] = number + 1
        return answer

    def _told_before(self, retold: Retold, number: int, asks: PortCall, answer: Answer) -> Answer:
        """What the other run answered; once the participant asks for something else it is told the truth again."""
        place = number - retold.begin
        before = retold.calls[place] if place < len(retold.calls) else None
        if before is None or not _same_question(before, asks):
            self._retold = None
            return answer
        return cast(Answer, before.answer) if asks.call in READS else answer

    def unnoted(self, question: Callable[[], Answer]) -> Answer:
        """Ask without keeping anything."""
        self._muted += 1
        try:
            return question()
        finally:
            self._muted -= 1


def first_divergence(one: PortLogs, other: PortLogs, participant: str) -> Divergence | None:
    """Where the second run told a participant something else, or heard something else from it, than the first."""
    skipped_one, calls_one = one.of(participant)
    skipped_other, calls_other = other.of(participant)
    begin = max(skipped_one, skipped_other)
    a, b = calls_one[begin - skipped_one :], calls_other[begin - skipped_other :]
    for i, (first, second) in enumerate(zip(a, b, strict=False)):
        if first is second or _same(first, second):
            continue
        resource = _resource(first, second) if _same_question(first, second) else ""
        return Divergence(instant_ns=second.instant_ns, index=begin + i, call=second.call, resource=resource)
    if len(a) != len(b):
        more = max(a, b, key=len)[min(len(a), len(b))]
        return Divergence(instant_ns=more.instant_ns, index=begin + min(len(a), len(b)), call=more.call, resource="")
    return None


def _begin() -> int:
    return 0


def _same(a: object, b: object) -> bool:
    return a == b or repr(a) == repr(b)  # a number that is none equals nothing, not even itself


def _same_question(a: PortCall, b: PortCall) -> bool:
    return (a.instant_ns, a.call) == (b.instant_ns, b.call) and _same(a.asked, b.asked)


def _resource(first: PortCall, second: PortCall) -> str:
    """What the answers to one question differ in."""
    a, b = first.answer, second.answer
    if first.call == "snapshot":
        if a.account.margin_free != b.account.margin_free:
            return "margin"
        if a.positions != b.positions:
            return "position"
        return "order" if a.orders != b.orders else "equity"
    if first.call in ("reserve", "loosen", "place", "close", "protect", "cancel", "modify"):
        code = b[0] or a[0]
        return resource_of_code(code) if code else "margin"  # both agreed, on another size: less was free
    return {"position": "position", "positions": "position", "event": "order"}.get(first.call, first.call)


def _result(result: OrderResult) -> tuple[str, str]:
    return result.code, result.order_id


def _verdict(verdict: Verdict) -> tuple[str, float]:
    return verdict.code, verdict.volume


def _whole(answer: object) -> object:
    return answer


class _LoggedBroker:
    """What may differ between two orders of turns is noted; everything else goes straight to the broker."""

    def __init__(self, broker: Broker, logs: PortLogs) -> None:
        self._broker = broker
        self._logs = logs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def snapshot(self) -> Snapshot:
        return self._logs.note("snapshot", (), self._broker.snapshot, _whole)

    def equity(self) -> float:
        return self._logs.note("equity", (), self._broker.equity, _whole)

    def position(self, book: str, symbol: str) -> Position:
        return self._logs.note("position", (book, symbol), lambda: self._broker.position(book, symbol), _whole)

    def positions(self, symbol: str) -> Sequence[Position]:
        return self._logs.note("positions", (symbol,), lambda: self._broker.positions(symbol), tuple)

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        return cast("deque[OrderEvent]", _LoggedMailbox(self._broker.mailbox(symbol), symbol, self._logs))

    def place(self, request: OrderRequest) -> OrderResult:
        return self._logs.note("place", (request,), lambda: self._broker.place(request), _result)

    def cancel(self, order_id: str) -> OrderResult:
        return self._logs.note("cancel", (order_id,), lambda: self._broker.cancel(order_id), _result)

    def modify(self, order_id: str, **change: float | None) -> OrderResult:
        return self._logs.note("modify", (order_id, change), lambda: self._broker.modify(order_id, **change), _result)

    def protect(self, position_id: str, **change: Any) -> OrderResult:
        asked = (position_id, change)
        return self._logs.note("protect", asked, lambda: self._broker.protect(position_id, **change), _result)

    def close(self, position_id: str, **order: Any) -> OrderResult:
        asked = (position_id, order)
        return self._logs.note("close", asked, lambda: self._broker.close(position_id, **order), _result)


class _LoggedMailbox:
    """The mailbox of a symbol, of which each event that is taken out is noted."""

    def __init__(self, mailbox: "deque[OrderEvent]", symbol: str, logs: PortLogs) -> None:
        self._mailbox = mailbox
        self._symbol = symbol
        self._logs = logs

    def __len__(self) -> int:
        return len(self._mailbox)

    def popleft(self) -> OrderEvent:
        return self._logs.note("event", (self._symbol,), self._mailbox.popleft, _event)


def _event(event: OrderEvent) -> tuple[object, ...]:
    return event.order.order_id, event.order.state, event.order.filled_volume, event.order.code


class _LoggedRisk:
    """The risk manager, whose verdicts are noted as one call each."""

    def __init__(self, risk: RiskManager, logs: PortLogs) -> None:
        self._risk = risk
        self._logs = logs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._risk, name)

    def reserve(self, intent: EntryIntent) -> Verdict:
        return self._logs.note("reserve", (intent,), lambda: self._risk.reserve(intent), _verdict)

    def amend(self, intent: EntryIntent) -> Verdict:
        return self._logs.note("amend", (intent,), lambda: self._risk.amend(intent), _verdict)

    def loosen(self, position: Position, stop: float) -> Verdict:
        return self._logs.note(
            "loosen", (position.position_id, stop), lambda: self._risk.loosen(position, stop), _verdict
        )

    def loss_limit_reached(self) -> bool:
        return self._logs.note("daily loss", (), self._risk.loss_limit_reached, _whole)


class _LoggedClock:
    """The clock; the wakes of its participants read for no turn."""

    def __init__(self, clock: Clock, logs: PortLogs) -> None:
        self._clock = clock
        self._logs = logs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    def spawn(self, participant: Participant, run: Callable[[], None]) -> None:
        self._clock.spawn(replace(participant, wake=_Unnoted(participant.wake, self._logs)), run)


class _Unnoted:
    """A wake whose reads belong to no turn."""

    def __init__(self, wake: Wake, logs: PortLogs) -> None:
        self._wake = wake
        self._logs = logs

    def __call__(self) -> bool:
        return self._logs.unnoted(self._wake)

    def next_due_ns(self) -> int | None:
        return self._logs.unnoted(self._wake.next_due_ns)
