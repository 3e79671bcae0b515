"""The bot's guard over a broker that may not answer, answer twice, or answer late.

Composed only where the broker's `connection` is not certain. The bot behind it sees a broker that keeps its word:

* a placement that nobody answered is UNKNOWN, see `src.core.unanswered`; so is one that was accepted without an id;
* cancel, modify and protect, which do no harm when they arrive twice, are made again until somebody answers;
* an order to close that never arrived, or that ended before it was done, is replaced by a new one while the position
  stands: whoever wants to be out gets out;
* an entry whose stop is not there when it fills is flattened at once, never left naked;
* a market order that falls silent after a part of it has filled is cancelled;
* events come once and in order, see `src.core.fresh_events`, and an account older than one seen before is asked again.

Used inside turns of participants; holds no lock across a call.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial

from src.core.bars import BarSeries
from src.core.broker import Broker, Connection
from src.core.clock import Clock
from src.core.closing import Closing
from src.core.errors import BrokerContractError, BrokerUnavailable, ConfigError
from src.core.fresh_events import FreshEvents
from src.core.instrument import Instrument
from src.core.journal import Journal
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

#: The code of a result that says: nothing was done, ask again later.
RATE_LIMIT = "rate_limit"

MOST_OLD_ANSWERS = 25
ENOUGH_ANSWERS = 3
#: A market order that fills no further is given up after so many in-flight limits.
SILENT_LIMITS = 10
_AGAIN = (UNANSWERED, RATE_LIMIT)


class SteadyBroker:
    """See `Broker`, and the text of the module for what it adds.

    Args:
        broker: who does the work.
        clock: where look-ups and repetitions wait.
        journal: where it is told what was recovered.
    """

    def __init__(self, broker: Broker, clock: Clock, journal: Journal) -> None:
        self._broker = broker
        self._clock = clock
        self._journal = journal
        self._in_flight_ns = broker.connection().in_flight_ns
        self.repeated = Repeated(clock, max(1, self._in_flight_ns // 2))
        self.unanswered = Unanswered(broker, clock, journal, self.repeated)
        self._closing = Closing(broker, clock, journal, self.repeated, self.unanswered, self._tell)
        self._mailboxes: dict[str, FreshEvents] = {}
        self._newest: Snapshot | None = None
        #: Entries that are to have a stop, until they have ended.
        self._guarded: set[str] = set()
        #: The orders that were accepted at the latest instant at which one was.
        self._sent: list[str] = []
        self._sent_ns = -1

    def attach(self, risk: RiskManager) -> None:
        """Tell this risk manager of what is unknown; once, before the first order."""
        self.unanswered.attach(risk)

    def start(self, poll_ns: int) -> None:
        """Register who makes the calls that have to be made again; see `Repeated.start`."""
        self.repeated.start(poll_ns)

    # -- what is only passed on ----------------------------------------------------------------------------------------

    def connection(self) -> Connection:
        """See `Broker.connection`; from here on it is certain."""
        return Connection(in_flight_ns=self._in_flight_ns)

    def instrument(self, symbol: str) -> Instrument:
        """See `Broker.instrument`."""
        return self._broker.instrument(symbol)

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """See `Broker.series`."""
        return self._broker.series(symbol, timeframe_ns)

    def base_series(self, symbol: str) -> BarSeries:
        """See `Broker.base_series`."""
        return self._broker.base_series(symbol)

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

    def entry_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.entry_per_unit`."""
        return self._broker.entry_per_unit(symbol, price)

    def exit_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.exit_per_unit`."""
        return self._broker.exit_per_unit(symbol, price)

    def margin_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.margin_per_unit`."""
        return self._broker.margin_per_unit(symbol, price)

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
            # An order that was just accepted and is not there has filled meanwhile, or the answer is from before it.
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
            self._guarded.add(identity)
        try:
            result = self._broker.place(request)
        except BrokerUnavailable as error:
            return self.unanswered.begin(request, f"the broker gave no answer ({error.message})", self._tell)
        if result.accepted and not result.order_id:
            return self.unanswered.begin(request, "the broker accepted it and gave no id", self._tell)
        if result.accepted:
            self._note_sent(identity)
        else:
            self._guarded.discard(identity)
        return result

    def close(self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit",
              reason: str = "") -> OrderResult:  # fmt: skip
        """See `Broker.close`; refused with `unanswered` while an order to close has had no answer."""
        return self._closing.close(position_id, client_id=client_id, volume=volume, kind=kind, reason=reason)

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`; made again until somebody answers."""
        result = self._asked_to_cancel(order_id)
        if result.code in _AGAIN:
            self.repeated.begin(("cancel", order_id), lambda: self._asked_to_cancel(order_id).code not in _AGAIN)
        return result

    def modify(self, order_id: str, *, price: float | None = None, volume: float | None = None) -> OrderResult:
        """See `Broker.modify`; made again until somebody answers."""

        def ask() -> OrderResult:
            try:
                return self._broker.modify(order_id, price=price, volume=volume)
            except BrokerUnavailable as error:
                return _unanswered(error)

        result = ask()
        if result.code in _AGAIN:
            self.repeated.begin(("modify", order_id), lambda: ask().code not in _AGAIN)
        else:
            self.repeated.end(("modify", order_id))
        return result

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`; what tightens is made again until somebody answers.

        What loosens a stop is not: its risk was judged for now and not for later.
        """
        key = ("protect", position_id)
        self.repeated.end(key)
        result = self._asked_to_protect(position_id, stop, target, kind)
        if result.code in _AGAIN and not self._loosens(position_id, stop):
            self.repeated.begin(key, partial(self._protects, position_id, stop, target, kind))
        return result

    # -- what is told --------------------------------------------------------------------------------------------------

    def _heard(self, event: OrderEvent) -> None:
        order, fill = event.order, event.fill
        if order.order_id in self.unanswered:
            self.unanswered.seen(order)
        if fill is not None and fill.kind == "entry" and order.order_id in self._guarded:
            self._hold_protected(fill)
        if order.state.is_final:
            self._guarded.discard(order.order_id)
            self._closing.ended(order)
        elif order.state is OrderState.PARTLY_FILLED and order.request.type is OrderType.MARKET:
            give_up = partial(self._is_not_silent, order.order_id, order.filled_volume)
            pause_ns = SILENT_LIMITS * self._in_flight_ns
            self.repeated.begin(("silent", order.order_id), give_up, pause_ns=pause_ns)

    def _tell(self, order: Order) -> None:
        """Let the order's strategy hear of what the bot found out by itself."""
        mailbox = self._mailboxes.get(order.request.symbol)
        if mailbox is not None:
            mailbox.append(make_order_event(order=order))

    def _hold_protected(self, fill: Fill) -> None:
        for position in self._broker.positions(fill.symbol):
            if position.position_id == fill.position_id and position.stop is None:
                self._record(fill.symbol, fill.book, fill.order_id, "flatten", "the stop was refused")
                self._closing.insist(position, kind="naked", reason="its stop was refused")

    def _is_not_silent(self, order_id: str, filled: float) -> bool:
        try:
            order = self._broker.find_order(order_id)
        except BrokerUnavailable:
            return False
        if order is None or order.state.is_final or order.filled_volume > filled:
            return True  # what has filled further is watched anew when it is heard of
        self._record(order.request.symbol, order.request.book, order_id, "cancel", "silent after a part")
        self._closing.give_up(order_id)
        return self._asked_to_cancel(order_id).code not in _AGAIN

    # -- asking --------------------------------------------------------------------------------------------------------

    def _asked_to_cancel(self, order_id: str) -> OrderResult:
        try:
            return self._broker.cancel(order_id)
        except BrokerUnavailable as error:
            return _unanswered(error)

    def _asked_to_protect(
        self, position_id: str, stop: float | None, target: float | None, kind: str
    ) -> OrderResult:  # fmt: skip
        try:
            result = self._broker.protect(position_id, stop=stop, target=target, kind=kind)
        except BrokerUnavailable as error:
            return _unanswered(error)
        if result.accepted and not result.order_id:
            message = "the change was accepted without an id, so whether it counts is not known"
            return make_order_result(accepted=False, code=UNANSWERED, message=message)
        return result

    def _protects(self, position_id: str, stop: float | None, target: float | None, kind: str) -> bool:
        position = self._position(position_id)
        if position is None or (
            (stop is None or position.stop == stop) and (target is None or position.target == target)
        ):
            return True
        if self._loosens(position_id, stop):
            return True  # something tighter came meanwhile
        result = self._asked_to_protect(position_id, stop, target, kind)
        if result.code in _AGAIN:
            return False
        self._record(position.symbol, position.book, position_id, "protect", result.code or "accepted")
        if not result.accepted and stop is not None and position.stop is None:
            self._closing.insist(position, kind="naked", reason="its stop was refused")
        return True

    def _loosens(self, position_id: str, stop: float | None) -> bool:
        position = self._position(position_id)
        if position is None or stop is None or position.stop is None:
            return False
        return (stop - position.stop) * position.volume < 0

    def _position(self, position_id: str) -> Position | None:
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
        now = self._clock.now_ns()
        if now != self._sent_ns:
            self._sent_ns = now
            self._sent.clear()
        self._sent.append(identity)

    def _misses(self, snapshot: Snapshot) -> bool:
        if not self._sent or self._sent_ns != snapshot.account.instant_ns:
            return False
        living = {order.order_id for order in snapshot.orders}
        return any(identity not in living for identity in self._sent)

    def _record(self, symbol: str, book: str, identity: str, action: str, outcome: str) -> None:
        self._journal.record(self._clock.now_ns(), symbol, "recovery", RECOVERY, book, identity, action, outcome)


def steadied(broker: Broker, clock: Clock, journal: Journal) -> Broker:
    """The broker itself when all it says is certain, else one that checks what it says."""
    return broker if broker.connection().certain else SteadyBroker(broker, clock, journal)


def _unanswered(error: BrokerUnavailable) -> OrderResult:
    message = f"the broker gave no answer ({error.message}); it is asked again"
    return make_order_result(accepted=False, code=UNANSWERED, message=message)


def _wants_stop(request: OrderRequest) -> bool:
    trail = request.stop_trail_distance, request.stop_trail_percent
    return any(each is not None for each in (request.stop, request.stop_distance, *trail))
