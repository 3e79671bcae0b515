"""Stops and targets that rest at the exchange: orders of their own that only reduce, one of each kind for a position.

An exchange keeps no protection with a position, so it is made of orders: a conditional one for the stop and a limit for
the target. What a book wishes and what rests is compared here and made equal. A new stop is placed before the old one
is cancelled, so that a position is never without; two that overlap do no harm, because neither opens anything. When a
position is gone, what guarded it is cancelled. A position whose stop does not rest for all of its volume in time, or
whose stop the exchange refuses because the price is beyond it, is flattened by an order that only reduces; its fill is
of the kind `naked`.

Called by whoever reads the account and by whoever moves a stop; one of them at a time, under a lock that is held while
the exchange is asked. The ledger has a lock of its own.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress

from src.brokers.ccxt_errors import CLOCK, RATE_LIMIT, Refusal
from src.brokers.ccxt_ledger import CcxtLedger
from src.brokers.ccxt_order import FLAT, LOST, NAKED, STOP, TARGET, VenueOrder, as_told
from src.brokers.ccxt_records import is_conditional, protective_id
from src.brokers.ccxt_wire import CcxtWire
from src.core.book import Book
from src.core.errors import BrokerContractError, BrokerUnavailable
from src.core.records import OrderRequest, OrderState, OrderType, Side, TriggerBy, make_order_request
from src.core.sync import Lock

__all__ = ["CcxtGuards"]

_NOISE = 1e-9
#: So many orders of one kind whose fate is not known; further ones wait until something is known of them.
_MOST_UNKNOWN = 3
#: Refusals of a stop after which another try is refused as well.
_HOPELESS = ("stop_in_market",)
#: Refusals that say nothing about the order.
_LATER = (RATE_LIMIT, CLOCK)
#: What there is to guard no more.
_GONE = "no_position"


#: How the fills of each kind of order are called, and its type.
_KINDS = {
    STOP: ("stop", OrderType.STOP), TARGET: ("target", OrderType.LIMIT), FLAT: (NAKED, OrderType.MARKET),
}  # fmt: skip


class CcxtGuards:
    """The protection of the positions of one account.

    Args:
        wire: where orders go.
        ledger: what is known and wished.
        lock: guards the ledger.
        trigger_by: which price triggers a stop.
        now_ns: the present.
        in_flight_ns: how long a request may be under way.
        protect_within_ns: so long after a fill its stop rests for all that has filled, or the position is flattened.
    """

    def __init__(
        self, wire: CcxtWire, ledger: CcxtLedger, lock: AbstractContextManager[bool], trigger_by: TriggerBy,
        now_ns: Callable[[], int], in_flight_ns: int, protect_within_ns: int,
    ) -> None:  # fmt: skip
        self._wire = wire
        self._ledger = ledger
        self._lock = lock
        self._trigger_by = trigger_by
        self._now_ns = now_ns
        #: What the exchange takes for too old. Half the limit: the other half is for clocks that differ.
        self._arrives_ns = in_flight_ns // 2
        self._lost_ns = 2 * in_flight_ns
        self._protect_within_ns = protect_within_ns
        #: Before it nobody could have guarded anything.
        self._began_ns = now_ns()
        #: Since when a position has had no stop for all of its volume.
        self._naked_since_ns: dict[str, int] = {}
        #: Positions whose stop was refused for good.
        self._hopeless: set[str] = set()
        self._one_at_a_time = Lock()
        #: Told the symbol, and in a sentence what of a position's protection was given up; must wait for nobody.
        self.tell: Callable[[str, str], object] = lambda symbol, text: None

    def settle(self, symbols: Iterable[str]) -> tuple[bool, set[str]]:
        """Make what rests equal to what is wished.

        Returns:
            Whether something was sent, and the symbols in which a stop or target is still missing.
        """
        acted, open_symbols = False, set()
        with self._one_at_a_time:
            for symbol in symbols:
                try:
                    sent, done = self._settle(symbol)
                except BrokerContractError:  # a question of one symbol that is refused keeps no other one waiting
                    sent, done = False, False
                acted |= sent
                if not done:
                    open_symbols.add(symbol)
            self._forget_closed()
        return acted, open_symbols

    def _settle(self, symbol: str) -> tuple[bool, bool]:
        """Whether something was sent for a symbol, and whether it is as it should be."""
        with self._lock:
            books = list(self._ledger.books(symbol))
            held = {book.position_id for book in books}
            orphans = [each for each in self._ledger.live(symbol) if each.role and each.position_id not in held]
        acted, done = False, True
        for order in orphans:
            acted |= self._resolve(order) and self._cancel(order)
        for book in books:
            for role, wish in ((STOP, book.stop), (TARGET, book.target)):
                sent, rests = self._guard(book, role, wish)
                acted |= sent
                done &= rests
            acted |= self._flatten_naked(book)
        return acted, done

    def move(self, position_id: str, role: str, level: float, kind: str) -> Refusal | str:
        """Set the stop or target of a position; the client id of the order that it is now.

        Raises:
            BrokerUnavailable: no answer.
        """
        with self._one_at_a_time:
            gone = Refusal(code=_GONE, message=f"the position {position_id} has been closed meanwhile")
            with self._lock:
                book = self._ledger.book(position_id)
            if book is None:
                return gone
            if role == TARGET:
                for order in self._of(book, role):
                    self._cancel(order)
            placed = self._place(book, role, level, position_id)
            if isinstance(placed, Refusal):
                return placed
            with self._lock:
                if book.position_id != position_id:  # what was placed is an orphan, and is cancelled
                    return gone
                if role == STOP:
                    book.protect(stop=level, target=None, kind=kind)
                else:
                    book.protect(stop=None, target=level, kind=kind)
            if not placed.acknowledged:
                raise BrokerUnavailable(f"expected an id of the new protection of {book.symbol}, found none")
            for order in self._of(book, role):
                if order is not placed:
                    self._cancel(order)
            return placed.request.client_id

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _of(self, book: Book, role: str) -> list[VenueOrder]:
        with self._lock:
            return self._ledger.guards(book.position_id, role)

    def _guard(self, book: Book, role: str, wish: float | None) -> tuple[bool, bool]:
        """Whether something was sent for one kind of protection, and whether it is as it should be."""
        position_id, volume = book.position_id, abs(book.volume)
        with self._lock:
            unknown = [
                each for each in self._ledger.live(book.symbol)
                if each.role == role and each.position_id == position_id and not each.acknowledged
            ]  # fmt: skip
        for order in unknown:
            self._resolve(order)
        resting = self._of(book, role)
        good = next((each for each in resting if wish is not None and _fits(each, wish, volume)), None)
        sent = False
        if wish is not None and good is None:
            if len([each for each in unknown if each.is_live and not each.acknowledged]) >= _MOST_UNKNOWN:
                return sent, False
            if role == TARGET:
                for order in resting:
                    sent |= self._cancel(order)
            try:
                placed = self._place(book, role, wish, position_id)
            except BrokerUnavailable:
                return True, False
            if isinstance(placed, Refusal):
                return sent, self._give_up(book, role, placed)
            if not placed.acknowledged:
                return True, False
            sent, good = True, placed
        for order in resting:
            if order is not good:
                sent |= self._cancel(order)
        return sent, True

    def _give_up(self, book: Book, role: str, refusal: Refusal) -> bool:
        """A stop or target was refused; whether nothing more is to be tried."""
        if refusal.code in _LATER:
            return False
        if role == STOP:
            if self._covers(book):
                return True  # one of another volume guards it still
            if refusal.code in _HOPELESS:
                self._hopeless.add(book.position_id)
            return False
        with self._lock:
            level, gone = book.target, refusal.code == _GONE or not book.volume
            book.target = None
            book.protect(stop=None, target=None, kind=book.stop_kind)
        if level is not None and not gone:
            self.tell(
                book.symbol,
                f"the target of {book.symbol} at {level:g} was refused and is not tried again: {refusal.message}; the "
                f"position of {book.book} has none now",
            )
        return True

    def _covers(self, book: Book) -> bool:
        """Whether stops rest for all that is held."""
        volume = abs(book.volume)
        resting = sum(each.request.volume - each.filled for each in self._of(book, STOP))
        return resting >= volume * (1 - _NOISE)

    def _flatten_naked(self, book: Book) -> bool:
        """Flatten a position that was to have a stop and has none in time; whether something was sent."""
        position_id, now = book.position_id, self._now_ns()
        if book.stop is None or not book.volume or self._covers(book):
            self._naked_since_ns.pop(position_id, None)
            self._hopeless.discard(position_id)
            return False
        if position_id not in self._naked_since_ns:
            with self._lock:
                grown_ns = self._ledger.grown_ns.get(position_id, now) - self._wire.client.skew_ns
            since_ns = min(now, max(grown_ns, self._began_ns))
            self._naked_since_ns[position_id] = since_ns
            if now - since_ns >= self._protect_within_ns and position_id not in self._hopeless:
                return True  # it was heard of too late: its stop is tried once more, and at once
        late = now - self._naked_since_ns[position_id] >= self._protect_within_ns
        if not late and position_id not in self._hopeless:
            return False
        with self._lock:
            sent = [
                each for each in self._ledger.live(book.symbol)
                if each.role == FLAT and each.position_id == position_id
            ]  # fmt: skip
        for order in sent:
            # One that works fills soon; one that nobody has seen, and that cannot arrive any more, is none.
            if order.acknowledged or self._resolve(order) or now - order.sent_ns < self._arrives_ns:
                return False
        self._end_entries(book)
        try:
            placed = self._place(book, FLAT, None, position_id)
        except BrokerUnavailable:
            return True
        return not isinstance(placed, Refusal)

    def _end_entries(self, book: Book) -> None:
        """Cancel what would make a position larger that is flattened; what is not answered is tried the next time."""
        with self._lock:
            entries = [
                each for each in self._ledger.live(book.symbol)
                if not each.role and not each.request.reduce_only and each.request.book == book.book
            ]  # fmt: skip
        for order in entries:
            request = order.request
            conditional = is_conditional(request) and not order.became_id
            with suppress(BrokerUnavailable):
                venue_id = order.became_id or order.venue_id
                self._wire.cancel(request.symbol, request.client_id, venue_id, conditional=conditional)

    def _forget_closed(self) -> None:
        with self._lock:
            held = {book.position_id for symbol in self._ledger.rules for book in self._ledger.books(symbol)}
        self._hopeless &= held
        self._naked_since_ns = {key: since for key, since in self._naked_since_ns.items() if key in held}

    def _place(self, book: Book, role: str, level: float | None, position_id: str) -> VenueOrder | Refusal:
        with self._lock:
            if not book.volume or book.position_id != position_id:
                return Refusal(code=_GONE, message=f"nothing is held of {book.symbol} any more")
            number = self._ledger.next_number(book.position_id)
            request = self._request(book, role, level, number)
            order = self._ledger.register(request, self._now_ns())
            order.role, order.position_id, order.number = role, book.position_id, number
        report = self._wire.place(request)
        with self._lock:
            if isinstance(report, Refusal):
                self._ledger.refuse(order, report.code, report.message)
                return report
            if report.venue_id:
                self._ledger.acknowledge(order, report)
            self._ledger.touch(order)
        return order

    def _request(self, book: Book, role: str, level: float | None, number: int) -> OrderRequest:
        kind, type_ = _KINDS[role]
        volume = abs(book.volume)
        if role == FLAT:  # what is larger than an order may be is closed by several
            volume = min(volume, self._ledger.rules[book.symbol].max_volume)
        return make_order_request(
            client_id=protective_id(book.position_id, role, number), book=book.book, symbol=book.symbol,
            side=Side.SELL if book.volume > 0 else Side.BUY, type=type_, volume=volume, price=level, reduce_only=True,
            position_id=book.position_id, exit_kind=kind, trigger_by=self._trigger_by,
            reason="its stop was not confirmed in time" if role == FLAT else kind,
        )  # fmt: skip

    def _cancel(self, order: VenueOrder) -> bool:
        """Cancel what guards no more; whether something was sent. What is not known to be done is done next time."""
        request = order.request
        conditional = is_conditional(request) and not order.became_id
        venue_id = order.became_id or order.venue_id
        try:
            refusal = self._wire.cancel(request.symbol, request.client_id, venue_id, conditional=conditional)
        except BrokerUnavailable:
            return False
        with self._lock:
            if refusal is None and order.is_live:
                self._ledger.end(order, OrderState.CANCELLED, self._now_ns(), "", "")
                self._ledger.touch(order)
        return refusal is None

    def _resolve(self, order: VenueOrder) -> bool:
        """Ask for an order of which nothing is known; whether it is known to exist."""
        if order.acknowledged:
            return True
        request = order.request
        try:
            found = self._wire.find(request.symbol, client_id=request.client_id, conditional=is_conditional(request))
        except BrokerUnavailable:
            return False
        with self._lock:
            if found is not None:
                self._ledger.acknowledge(order, found[0])
                order.request = as_told(request, found[0])
                return True
            if self._now_ns() - order.sent_ns > self._lost_ns:
                self._ledger.end(order, OrderState.REJECTED, self._now_ns(), LOST, "it never reached the venue")
        return False


def _fits(order: VenueOrder, level: float, volume: float) -> bool:
    left = order.request.volume - order.filled
    return order.request.price == level and abs(left - volume) <= _NOISE * volume
