"""The bot's guard over a broker that may not answer, answer twice, or answer late.

Composed only where the broker's `connection` is not certain. The bot behind it sees a broker that keeps its word:

* a placement that nobody answered is UNKNOWN, see `src.core.unanswered`; so is one that was accepted without an id;
* cancel, modify and protect, which do no harm when they arrive twice, are made again until somebody answers, and a
  newer change is not undone by an older one, see `src.core.changes`;
* an order to close that never arrived, or that ended before it was done, is replaced by a new one while the position
  stands: whoever wants to be out gets out;
* an entry whose stop is not there when it fills is flattened at once, never left naked; an addition under a wider stop
  than its own gets its own;
* an order that falls silent after a part of it has filled, and has no reason to wait, is cancelled;
* an order that had been given up and turns up all the same is cancelled, and what it has filled is closed;
* events come once and in order, see `src.core.fresh_events`, and an account that is older than one seen before, or does
  not show what was just accepted, is asked again.

Used inside turns of participants; holds no lock across a call.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from src.core.broker import Broker, Connection
from src.core.changes import AGAIN, Changes, no_answer
from src.core.clock import Clock
from src.core.closing import RATE_LIMIT, Closing
from src.core.errors import BrokerContractError, BrokerUnavailable, ConfigError
from src.core.fresh_events import FreshEvents
from src.core.journal import Journal
from src.core.passing_broker import PassingBroker
from src.core.records import (
    Fill,
    Order,
    OrderEvent,
    OrderRequest,
    OrderResult,
    OrderState,
    OrderType,
    Position,
    Quote,
    Snapshot,
    make_order_event,
    make_order_result,
)
from src.core.repeated import RECOVERY, Repeated
from src.core.risk_manager import RiskManager
from src.core.timeframe import format_duration, format_instant
from src.core.unanswered import UNANSWERED, Unanswered

__all__ = ["RATE_LIMIT", "SteadyBroker", "steadied"]

MOST_OLD_ANSWERS = 25
ENOUGH_ANSWERS = 3
#: An order that fills no further, and should, is given up after so many in-flight limits.
SILENT_LIMITS = 10
#: Those that fill at what the market gives, once they have begun to fill.
_AT_THE_MARKET = (OrderType.MARKET, OrderType.STOP, OrderType.TRAILING_STOP)
#: Part by which numbers that mean the same may differ.
_SAME = 1e-9


class SteadyBroker(PassingBroker):
    """See `Broker`, and the text of the module for what it adds.

    Args:
        broker: who does the work.
        clock: where look-ups and repetitions wait.
        journal: where it is told what was recovered.
    """

    def __init__(self, broker: Broker, clock: Clock, journal: Journal) -> None:
        super().__init__(broker)
        self._clock = clock
        self._journal = journal
        self._in_flight_ns = broker.connection().in_flight_ns
        self.repeated = Repeated(clock, max(1, self._in_flight_ns // 2))
        self.unanswered = Unanswered(broker, clock, journal, self.repeated, self._found)
        self._closing = Closing(
            broker, self.snapshot, self._position, clock, journal, self.repeated, self.unanswered, self._tell,
            self._note_sent,
        )  # fmt: skip
        self._changes = Changes(
            broker, clock, journal, self.repeated, self._position,
            lambda position: self._closing.insist(position, kind="naked", reason="its stop was refused"), self._expect,
        )  # fmt: skip
        self._mailboxes: dict[str, FreshEvents] = {}
        self._newest: Snapshot | None = None
        #: Entries that are to have a stop, until they have ended.
        self._guarded: dict[str, OrderRequest] = {}
        #: Orders of which nothing is known, and that are to be cancelled when they are found.
        self._unwanted: set[str] = set()
        #: What an account of the latest instant at which a call was accepted has to show.
        self._expected: list[Callable[[Snapshot], bool]] = []
        self._expected_ns = -1

    def attach(self, risk: RiskManager) -> None:
        """Tell this risk manager of what is unknown; once, before the first order."""
        self.unanswered.attach(risk)
        self._changes.attach(risk)

    def start(self, poll_ns: int) -> None:
        """Register who makes the calls that have to be made again; see `Repeated.start`."""
        self.repeated.start(poll_ns)

    # -- what is only passed on ----------------------------------------------------------------------------------------

    def connection(self) -> Connection:
        """See `Broker.connection`; from here on it is certain."""
        return Connection(in_flight_ns=self._in_flight_ns)

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker.quote`."""
        return self._broker.quote(symbol)

    def equity(self) -> float:
        """See `Broker.equity`."""
        return self._broker.equity()

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker.position`."""
        return self._broker.position(book, symbol)

    def positions(self, symbol: str) -> Sequence[Position]:
        """See `Broker.positions`."""
        return self._broker.positions(symbol)

    def find_order(self, client_id: str) -> Order | None:
        """See `Broker.find_order`."""
        return self._broker.find_order(client_id)

    # -- what is checked -----------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """See `Broker.snapshot`; never one from before another that was seen.

        Raises:
            BrokerContractError: the broker answers with an old account again and again.
        """
        newest = self._newest
        for tries in range(MOST_OLD_ANSWERS):
            snapshot = self._broker.snapshot()
            if newest is not None and snapshot.account.instant_ns < newest.account.instant_ns:
                continue
            # What was just accepted and does not show has filled or waits, or the answer is from before it.
            if tries < ENOUGH_ANSWERS and self._misses(snapshot):
                continue
            self._newest = snapshot
            return snapshot
        raise BrokerContractError(
            f"expected an account not older than the one of {newest.account.instant_ns if newest else 0}, found older "
            f"ones {MOST_OLD_ANSWERS} times; the adapter must answer with what it knows last"
        )

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        """See `Broker.mailbox`."""
        mailbox = self._mailboxes.get(symbol)
        if mailbox is None:
            mailbox = self._mailboxes[symbol] = FreshEvents(self._broker.mailbox(symbol), self._heard)
        return mailbox

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`; refused with `unanswered` when it is not known whether the order exists."""
        identity = request.client_id
        refusal = None if request.reduce_only else self._stale_price(request.symbol)
        if refusal is not None:
            return refusal
        if not request.reduce_only and _wants_stop(request):
            self._guarded[identity] = request
        try:
            result = self._broker.place(request)
        except BrokerUnavailable as error:
            return self.unanswered.begin(request, f"the broker gave no answer ({error.message})", self._tell)
        if result.accepted and not result.order_id:
            return self.unanswered.begin(request, "the broker accepted it and gave no id", self._tell)
        if result.accepted:
            self._note_sent(identity)
        else:
            self._guarded.pop(identity, None)
        return result

    def close(self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit",
              reason: str = "") -> OrderResult:  # fmt: skip
        """See `Broker.close`; refused with `unanswered` while an order to close has had no answer."""
        return self._closing.close(position_id, client_id=client_id, volume=volume, kind=kind, reason=reason)

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`; made again until somebody answers, and when an order is found that was unknown."""
        if order_id in self.unanswered:
            self._unwanted.add(order_id)
        result = self._asked_to_cancel(order_id)
        if result.code in AGAIN:
            self.repeated.begin(("cancel", order_id), lambda: self._asked_to_cancel(order_id).code not in AGAIN)
        elif not result.accepted and order_id in self.unanswered:
            message = f"nothing is known of the order {order_id} yet; it is cancelled when it is found"
            return make_order_result(accepted=False, order_id=order_id, code=UNANSWERED, message=message)
        return result

    def end_entries(self, symbol: str = "") -> None:
        """Cancel the entries in a symbol until they have ended, unknown ones too; in all symbols with an empty one."""
        for order in self.snapshot().orders:
            if not order.request.reduce_only and symbol in ("", order.request.symbol):
                self._end(order.order_id)
        for order_id in self.unanswered.entries(symbol):
            self.cancel(order_id)

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker.modify`; made again until somebody answers."""
        return self._changes.modify(order_id, price=price, limit=limit, volume=volume)

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`; what tightens is made again until somebody answers.

        What loosens a stop is not: its risk was judged for now and not for later.
        """
        return self._changes.protect(position_id, stop=stop, target=target, kind=kind)

    # -- what is told --------------------------------------------------------------------------------------------------

    def _heard(self, event: OrderEvent) -> None:
        order, fill = event.order, event.fill
        if order.order_id in self.unanswered:
            self.unanswered.seen(order)
        if fill is not None and fill.kind == "entry":
            if self.unanswered.was_lost(order.order_id):
                self._undo(order, fill)
            elif order.order_id in self._guarded:
                self._hold_protected(fill, self._guarded[order.order_id])
        if order.state.is_final:
            self._guarded.pop(order.order_id, None)
            self._closing.ended(order)
        elif order.state is OrderState.PARTLY_FILLED:
            position_id = order.request.position_id if fill is None else fill.position_id
            watch = partial(self._is_not_silent, order.order_id, order.filled_volume, position_id or "")
            self.repeated.begin(("silent", order.order_id), watch, pause_ns=SILENT_LIMITS * self._in_flight_ns)

    def _tell(self, order: Order) -> None:
        """Let the order's strategy hear of what the bot found out by itself."""
        self._unwanted.discard(order.order_id)
        mailbox = self._mailboxes.get(order.request.symbol)
        if mailbox is not None:
            mailbox.append(make_order_event(order=order))

    def _found(self, order: Order) -> None:
        """An order of which nothing was known exists; nobody may want it any more."""
        unwanted = order.order_id in self._unwanted or self.unanswered.was_lost(order.order_id)
        self._unwanted.discard(order.order_id)
        if unwanted and not order.state.is_final:
            self._record(order.request.symbol, order.request.book, order.order_id, "cancel", "found")
            self._end(order.order_id)

    def _undo(self, order: Order, fill: Fill) -> None:
        """An entry that had been given up has filled: what was reserved for it may have been given to another one."""
        self._record(fill.symbol, fill.book, fill.order_id, "flatten", "late")
        position = self._position(fill.position_id, fill.symbol)
        if position is not None:
            whole = fill.volume >= abs(position.volume) * (1 - _SAME)
            volume = None if whole else fill.volume
            self._closing.insist(position, kind="late", reason="its order came too late", volume=volume)
        if not order.state.is_final:
            self._end(order.order_id)

    def _hold_protected(self, fill: Fill, request: OrderRequest) -> None:
        position = self._position(fill.position_id, fill.symbol)
        if position is None:
            return
        if position.stop is None:
            self._record(fill.symbol, fill.book, fill.order_id, "flatten", "the stop was refused")
            self._closing.insist(position, kind="naked", reason="its stop was refused")
            return
        asked = _asked_stop(request, fill)
        added = abs(position.volume) > fill.volume * (1 + _SAME)
        if added and asked is not None and (asked - position.stop) * position.volume > 0:
            self._record(fill.symbol, fill.book, fill.order_id, "protect", "the stop was refused")
            result = self.protect(position.position_id, stop=asked)
            if not result.accepted and result.code not in AGAIN:
                self._closing.insist(position, kind="naked", reason="its stop was refused")

    def _is_not_silent(self, order_id: str, filled: float, position_id: str) -> bool:
        try:
            order = self._broker.find_order(order_id)
        except BrokerUnavailable:
            return False
        if order is None or order.state.is_final or order.filled_volume > filled:
            return True  # what has filled further is watched anew when it is heard of
        request = order.request
        expired = request.expires_ns is not None and request.expires_ns <= self._clock.now_ns()
        ready = request.type in _AT_THE_MARKET or expired
        if not ready and self._position(position_id, request.symbol) is not None:
            return False  # it rests, and may yet fill
        self._record(request.symbol, request.book, order_id, "cancel", "silent after a part")
        self._closing.give_up(order_id)
        return self._ends(order_id)

    def _end(self, order_id: str) -> None:
        """Cancel an order that nobody wants, and again until it has ended."""
        if not self._ends(order_id):
            self.repeated.begin(("cancel", order_id), partial(self._ends, order_id))

    # -- asking --------------------------------------------------------------------------------------------------------

    def _ends(self, order_id: str) -> bool:
        result = self._asked_to_cancel(order_id)
        if result.accepted or result.code in AGAIN:
            return result.accepted
        try:
            order = self._broker.find_order(order_id)
        except BrokerUnavailable:
            return False
        return order is None or order.state.is_final

    def _asked_to_cancel(self, order_id: str) -> OrderResult:
        try:
            result = self._broker.cancel(order_id)
        except BrokerUnavailable as error:
            return no_answer(error)
        if result.accepted:
            self._expect(lambda snapshot: all(each.order_id != order_id for each in snapshot.orders))
        return result

    def _position(self, position_id: str, symbol: str) -> Position | None:
        """The position, when either of the two ways to ask for it shows it; an empty symbol is any that is traded."""
        for each in (symbol,) if symbol else tuple(self._mailboxes):
            for position in self._broker.positions(each):
                if position.position_id == position_id:
                    return position
        found = [each for each in self.snapshot().positions if each.position_id == position_id]
        return found[0] if found else None

    def _stale_price(self, symbol: str) -> OrderResult | None:
        try:
            quote = self._broker.quote(symbol)
        except ConfigError:  # an unknown symbol, which the broker refuses in its own words
            return None
        now = self._clock.now_ns()
        if quote is None or now - quote.instant_ns <= 2 * self._in_flight_ns:
            return None
        message = (
            f"the last price of {symbol} is from {format_instant(quote.instant_ns)}; nothing is opened on a price that "
            f"is older than {format_duration(2 * self._in_flight_ns)}"
        )
        return make_order_result(accepted=False, code="stale_price", message=message)

    def _note_sent(self, identity: str) -> None:
        self._expect(lambda snapshot: any(each.order_id == identity for each in snapshot.orders))

    def _expect(self, shown: Callable[[Snapshot], bool]) -> None:
        now = self._clock.now_ns()
        if now != self._expected_ns:
            self._expected_ns = now
            self._expected.clear()
        self._expected.append(shown)

    def _misses(self, snapshot: Snapshot) -> bool:
        instant_ns = snapshot.account.instant_ns
        if instant_ns < self._clock.now_ns():
            return True
        return self._expected_ns == instant_ns and not all(shown(snapshot) for shown in self._expected)

    def _record(self, symbol: str, book: str, identity: str, action: str, outcome: str) -> None:
        self._journal.record(self._clock.now_ns(), symbol, "recovery", RECOVERY, book, identity, action, outcome)


def steadied(broker: Broker, clock: Clock, journal: Journal) -> Broker:
    """The broker itself when all it says is certain, else one that checks what it says."""
    return broker if broker.connection().certain else SteadyBroker(broker, clock, journal)


def _wants_stop(request: OrderRequest) -> bool:
    trail = request.stop_trail_distance, request.stop_trail_percent
    return any(each is not None for each in (request.stop, request.stop_distance, *trail))


def _asked_stop(request: OrderRequest, fill: Fill) -> float | None:
    """Where the stop of an entry is to be after a fill; None where a later fill moved what it is measured from."""
    if request.stop is not None:
        return request.stop
    distance = request.stop_distance if request.stop_distance is not None else request.stop_trail_distance
    if distance is None and request.stop_trail_percent is not None:
        distance = fill.price * request.stop_trail_percent / 100
    if distance is None or fill.volume < request.volume * (1 - _SAME):
        return None
    return fill.price - fill.side.sign * distance
