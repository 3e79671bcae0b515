"""A broker between the bot and its venue at which things go wrong as a plan says.

Composed only for runs with faults. What reaches the venue is what a venue would have got; what the bot hears is what a
bot would have heard: no answer, an old one, the same one twice, an order that ends otherwise than it began. The venue's
own orders, fills and money are never falsified. Nothing here waits; the only time is that of the clock.

Called by participants in their turns, and by whoever moves time before and after each step.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from src.brokers.faults import Call, Fault, FaultKind, FaultPlan
from src.brokers.faulty_feed import FaultyFeed
from src.brokers.faulty_orders import FaultyOrders
from src.core.bars import BarSeries
from src.core.broker import IN_FLIGHT_NS, Broker, Connection
from src.core.clock import Clock
from src.core.errors import BrokerUnavailable
from src.core.journal import ACCOUNT_STREAM, Journal
from src.core.passing_broker import PassingBroker
from src.core.records import (
    Order,
    OrderEvent,
    OrderRequest,
    OrderResult,
    Position,
    Quote,
    Snapshot,
    make_order_result,
    make_position,
)
from src.core.wake import Signals

__all__ = ["FaultyBroker"]

#: Kinds with which the request never reaches the venue and nobody says so.
_NO_ANSWER = (FaultKind.DISCONNECT, FaultKind.TIMEOUT_LOST)


class FaultyBroker(PassingBroker):
    """See `Broker`; what goes wrong is told by the plan.

    Args:
        broker: the venue.
        plan: what goes wrong, and when.
        clock: whose time the plan goes by.
        journal: told of each fault as it happens.
        signals: the venue's; grow when events arrive that the venue had sent earlier.
        in_flight_ns: how long the venue may accept a request after it was sent.
    """

    def __init__(
        self, broker: Broker, plan: FaultPlan, clock: Clock, journal: Journal, signals: Signals, *,
        in_flight_ns: int = IN_FLIGHT_NS,
    ) -> None:  # fmt: skip
        super().__init__(broker)
        self.plan = plan
        self._clock = clock
        self._journal = journal
        self._signals = signals
        self._connection = Connection(certain=False, in_flight_ns=in_flight_ns)
        self._feed = FaultyFeed(plan.faults)
        self._orders = FaultyOrders(broker)
        self._mailboxes: dict[str, deque[OrderEvent]] = {}
        #: The account as it was when the connection was lost; None while there is one.
        self._frozen: Snapshot | None = None
        #: An account that is older than it pretends, for the next who asks.
        self._old: Snapshot | None = None
        #: Requests that reach the venue later, by when.
        self._under_way: list[tuple[int, Callable[[], OrderResult]]] = []
        #: Since when a feed has been dead, and its last word.
        self._last_quotes: dict[str, tuple[int, Quote | None]] = {}

    # -- whoever moves time --------------------------------------------------------------------------------------------

    def before_step(self, instant_ns: int) -> None:
        """Time is about to move to an instant; what the bot is cut off from stays as it is."""
        self._notice(instant_ns)
        for symbol in self._mailboxes:
            self._quoted(symbol, instant_ns)

    def after_step(self, instant_ns: int) -> None:
        """Everything has moved to an instant; the bot hears of it, unless it is cut off."""
        self._notice(instant_ns)
        self._feed.show(instant_ns)
        self._pump()

    # -- the Broker port -----------------------------------------------------------------------------------------------

    def connection(self) -> Connection:
        """See `Broker.connection`; nothing is certain here."""
        return self._connection

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """See `Broker.series`."""
        return self._feed.of(self._broker.series(symbol, timeframe_ns))

    def base_series(self, symbol: str) -> BarSeries:
        """See `Broker.base_series`."""
        return self._feed.of(self._broker.base_series(symbol))

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker.quote`; of a feed that is dead its last word, with the instant at which it was said."""
        return self._quoted(symbol, self._clock.now_ns())

    def snapshot(self) -> Snapshot:
        """See `Broker.snapshot`."""
        self._notice(self._clock.now_ns())
        if self._frozen is not None:
            return self._frozen
        old, self._old = self._old, None
        return self._seen() if old is None else old

    def equity(self) -> float:
        """See `Broker.equity`."""
        self._notice(self._clock.now_ns())
        return self._broker.equity() if self._frozen is None else self._frozen.account.equity

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker.position`."""
        self._notice(self._clock.now_ns())
        if self._frozen is None:
            return self._broker.position(book, symbol)
        own = [each for each in self._frozen.positions if (each.book, each.symbol) == (book, symbol)]
        if not own:
            return make_position(position_id="", book=book, symbol=symbol, volume=0.0)
        return own[0] if len(own) == 1 else replace(own[0], volume=sum(each.volume for each in own))

    def positions(self, symbol: str) -> Sequence[Position]:
        """See `Broker.positions`."""
        self._notice(self._clock.now_ns())
        if self._frozen is None:
            return self._broker.positions(symbol)
        return tuple([each for each in self._frozen.positions if each.symbol == symbol])

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        """See `Broker.mailbox`; what is in it may come twice, late, or be old."""
        return self._mailboxes.setdefault(symbol, deque())

    def find_order(self, client_id: str) -> Order | None:
        """See `Broker.find_order`."""
        now = self._clock.now_ns()
        self._notice(now)
        if self.plan.away(now) is not None:
            raise _no_answer("find_order", client_id)
        return self._orders.find(client_id)

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`."""
        call = Call(name="place", symbol=request.symbol, identity=request.client_id)

        def able(fault: Fault) -> bool:
            if fault.kind is FaultKind.STOP_WITHOUT_ID:
                return not request.reduce_only and _protected(request)
            return self._orders.can_happen(request.symbol, request.volume, fault)

        fault = self._hit(call, able)
        sent = request
        if fault is not None and fault.kind is FaultKind.STOP_WITHOUT_ID:
            sent = _naked(request)
        part = self._orders.part(request.symbol, request.volume, fault)
        if part is not None:
            sent = replace(sent, volume=part)
        return self._answered(call, fault, partial(self._broker.place, sent), whole=request.volume)

    def close(self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit",
              reason: str = "") -> OrderResult:  # fmt: skip
        """See `Broker.close`."""
        held = self._held(position_id)
        symbol = held[0].symbol if held else ""
        whole = abs(held[0].volume) if held else 0.0
        whole = whole if volume is None else min(whole, volume)
        call = Call(name="close", symbol=symbol, identity=client_id)

        def able(fault: Fault) -> bool:
            if fault.kind is FaultKind.STOP_WITHOUT_ID or not held:
                return False
            return self._orders.can_happen(symbol, whole, fault)

        fault = self._hit(call, able)
        part = self._orders.part(symbol, whole, fault)
        act = partial(
            self._broker.close, position_id, client_id=client_id, volume=volume if part is None else part, kind=kind,
            reason=reason,
        )  # fmt: skip
        return self._answered(call, fault, act, whole=whole)

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`."""
        call = Call(name="cancel", symbol=self._orders.symbol_of(order_id), identity=order_id)

        def act() -> OrderResult:
            if self._orders.end_silent(order_id, self._clock.now_ns()):
                return make_order_result(accepted=True, order_id=order_id)
            return self._broker.cancel(order_id)

        return self._answered(call, self._hit(call, _only_calls), act)

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker.modify`."""
        call = Call(name="modify", symbol=self._orders.symbol_of(order_id), identity=order_id)

        def act() -> OrderResult:
            part = self._orders.changed_part(order_id, volume)
            result = self._broker.modify(order_id, price=price, limit=limit, volume=part)
            if result.accepted:
                self._orders.note_change(order_id, volume)
            return result

        return self._answered(call, self._hit(call, _only_calls), act)

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`."""
        held = self._held(position_id)
        call = Call(name="protect", symbol=held[0].symbol if held else "", identity=position_id)

        def able(fault: Fault) -> bool:
            return _only_calls(fault) or (fault.kind is FaultKind.STOP_WITHOUT_ID and stop is not None)

        fault = self._hit(call, able)
        act = partial(self._broker.protect, position_id, stop=stop, target=target, kind=kind)
        if fault is not None and fault.kind is FaultKind.STOP_WITHOUT_ID:
            return make_order_result(accepted=True)
        return self._answered(call, fault, act)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _hit(self, call: Call, able: Callable[[Fault], bool]) -> Fault | None:
        now = self._clock.now_ns()
        self._notice(now)
        fault = self.plan.hit(call, now, able)
        if fault is not None:
            self._journal.record(
                now, call.symbol or ACCOUNT_STREAM, "fault", "venue", str(fault.kind), call.name, call.identity
            )
        return fault

    def _answered(
        self, call: Call, fault: Fault | None, act: Callable[[], OrderResult], *, whole: float = 0.0
    ) -> OrderResult:
        """Have the venue act, or not, and answer what the fault says."""
        if fault is None:
            result = act()
            self._pump()
            return result
        kind = fault.kind
        if kind in _NO_ANSWER:
            raise _no_answer(call.name, call.identity)
        if kind is FaultKind.RATE_LIMIT:
            return _refused("rate_limit", "too many calls in a short time; nothing was done")
        if kind is FaultKind.REJECT:
            return _refused("rejected", f"the venue rejected the {call.name}")
        if fault.after_ns:
            self._under_way.append((self._clock.now_ns() + fault.after_ns, act))
            raise _no_answer(call.name, call.identity)
        before = self._seen() if kind is FaultKind.STALE_REPLY else None
        result = act()
        if result.accepted and call.is_order:
            self._orders.note(call.identity, fault, whole)
        if before is not None:
            self._old = before
        self._pump()
        if kind is FaultKind.TIMEOUT_ACCEPTED:
            raise _no_answer(call.name, call.identity)
        if kind is FaultKind.DUPLICATE_ACK and result.accepted and call.is_order:
            again = self._orders.find(call.identity)
            if again is not None:
                self.mailbox(call.symbol).append(OrderEvent(order=again))
        if kind is FaultKind.STOP_WITHOUT_ID and result.accepted:
            return make_order_result(accepted=True)
        return result

    def _held(self, position_id: str) -> list[Position]:
        """The position as the bot knows it, or nothing."""
        self._notice(self._clock.now_ns())
        known = self._broker.snapshot() if self._frozen is None else self._frozen
        return [each for each in known.positions if each.position_id == position_id]

    def _seen(self) -> Snapshot:
        return self._orders.seen(self._broker.snapshot())

    def _notice(self, now_ns: int) -> None:
        """Lose the connection, or find it again, and let arrive what was under way, when it is time for that."""
        if self._under_way:
            due = [act for at_ns, act in self._under_way if at_ns <= now_ns]
            self._under_way = [each for each in self._under_way if each[0] > now_ns]
            for act in due:
                act()  # nobody hears the answer
        away = self.plan.away(now_ns) is not None
        if away and self._frozen is None:
            self._frozen = self._seen()
        elif not away and self._frozen is not None:
            self._frozen = None
            self._pump()

    def _pump(self) -> None:
        """Let the bot have the events that have come, unless it is cut off."""
        if self._frozen is not None:
            return
        for symbol, mailbox in self._mailboxes.items():
            sent = self._broker.mailbox(symbol)
            while sent:
                mailbox.extend(self._orders.told(sent.popleft()))
                self._signals.changes += 1
            late = self._orders.ended.pop(symbol, None)
            if late is not None:
                mailbox.extend(late)
                self._signals.changes += 1

    def _quoted(self, symbol: str, now_ns: int) -> Quote | None:
        since_ns = self._feed.dead_since(symbol, now_ns)
        if since_ns is None:
            return self._broker.quote(symbol)
        known = self._last_quotes.get(symbol)
        if known is None or known[0] != since_ns:
            known = self._last_quotes[symbol] = (since_ns, self._broker.quote(symbol))
        return known[1]


def _only_calls(fault: Fault) -> bool:
    """Whether a fault can happen to a call that sends no order."""
    return fault.kind not in (FaultKind.STOP_WITHOUT_ID, FaultKind.REJECTED_WITH_FILL, FaultKind.PARTLY_SILENT)


def _protected(request: OrderRequest) -> bool:
    asked = (request.stop, request.stop_distance, request.stop_trail_distance, request.stop_trail_percent)
    return any(each is not None for each in asked)


def _naked(request: OrderRequest) -> OrderRequest:
    """The entry without the bracket that the venue refused."""
    return replace(
        request, stop=None, stop_distance=None, stop_trail_distance=None, stop_trail_percent=None, target=None,
        target_distance=None, target_r=None,
    )  # fmt: skip


def _refused(code: str, message: str) -> OrderResult:
    return make_order_result(accepted=False, code=code, message=message)


def _no_answer(name: str, identity: str) -> BrokerUnavailable:
    return BrokerUnavailable(f"expected an answer to {name} of {identity}, found none in time", call=name, id=identity)
