"""Stops and targets on a spot account: orders that rest and sell, both as one list (OCO); see `ccxt_guards`.

What is different here is that each of them ties up the coins that it would sell, and that nothing only reduces: what is
sold twice is sold from other people's coins. So of each position one set of orders rests, for what may be sold of it.
It is replaced by cancelling it first and placing another one then, which leaves the position without protection for the
time of two requests. Nothing is placed while an order of the position may be on its way or has filled in a way that was
not counted yet. Whoever sells at the market takes the set away first; what is left gets another one at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

from src.brokers.ccxt_errors import CLOCK, RATE_LIMIT, Refusal
from src.brokers.ccxt_guards import CcxtGuards
from src.brokers.ccxt_order import FLAT, STOP, TARGET, VenueOrder
from src.brokers.ccxt_records import Report, protective_id
from src.brokers.ccxt_spot_ledger import SpotLedger
from src.brokers.ccxt_spot_wire import SpotWire
from src.core.book import Book
from src.core.errors import BrokerUnavailable
from src.core.records import OrderRequest, OrderState, OrderType, TriggerBy
from src.core.timeframe import SECOND_NS

__all__ = ["SpotGuards"]

_NOISE = 1e-9
_LATER = (RATE_LIMIT, CLOCK)
#: Refusals of a list that say nothing against either of its levels.
_NO_FAULT = (*_LATER, "margin")
#: The part of a list's client id that tells it from those of its orders.
_LIST = "l"
Wishes = dict[str, float]


class SpotGuards(CcxtGuards):
    """See `CcxtGuards`."""

    def __init__(
        self, wire: SpotWire, ledger: SpotLedger, lock: AbstractContextManager[bool], now_ns: Callable[[], int],
        in_flight_ns: int, protect_within_ns: int,
    ) -> None:  # fmt: skip
        super().__init__(wire, ledger, lock, TriggerBy.LAST, now_ns, in_flight_ns, protect_within_ns)
        self._spot_wire = wire
        self._spot = ledger
        # Later than this nothing that was sent is taken by the exchange.
        self._lost_ns = self._arrives_ns + SECOND_NS
        #: Orders to sell that nobody answered, and that cannot arrive any more.
        self._never: set[str] = set()
        #: By position, the levels and the kind of a move that nobody has answered yet.
        self._moving: dict[str, tuple[Wishes, str]] = {}

    # -- what others ask -----------------------------------------------------------------------------------------------

    @contextmanager
    def making_room(self, book: Book, *, whole: bool) -> Iterator[bool]:
        """Take stop and target of a position away while an order sells from it; whether that was done.

        They stay where they are while nothing of it may be sold.

        Args:
            whole: all of it is to be sold, so orders that would sell it later are taken away as well.
        """
        with self._one_at_a_time:
            free = self._is_known(book) and (not whole or self._end_sales(book))
            yield free and (not self.room(book) or self._take_away(book))

    def room(self, book: Book) -> float:
        """What of a position may be sold now besides its stop and target, in whole steps."""
        with self._lock:
            return self._room(book)

    def move(self, position_id: str, role: str, level: float, kind: str) -> Refusal | str:
        """See `CcxtGuards.move`; when the new one is refused the one before is placed again."""
        with self._one_at_a_time:
            with self._lock:
                book = self._ledger.book(position_id)
                wishes = {} if book is None else _wishes(book)
            if book is None:
                return Refusal(code="no_position", message=f"the position {position_id} has been closed meanwhile")
            unknown = f"expected to replace what guards {book.symbol}, found it not known now"
            if not self._is_known(book):
                raise BrokerUnavailable(unknown)
            wishes |= {role: level}
            refusal = self._hindrance(book, wishes)
            if refusal is not None:
                return refusal
            kind = kind if role == STOP else book.stop_kind
            with self._lock:
                resting = self._resting(book)
                rests = _is_so(resting, wishes, self._room(book))
            placed: list[VenueOrder] | Refusal = resting
            if not rests:
                if not self._take_away(book):
                    raise BrokerUnavailable(unknown)
                self._moving[position_id] = wishes, kind
                placed = self._put(book, wishes)
                del self._moving[position_id]
            if isinstance(placed, Refusal):
                self._arrange(book)
                return placed
            with self._lock:
                if book.position_id == position_id:
                    stop, target = (level, None) if role == STOP else (None, level)
                    book.protect(stop=stop, target=target, kind=kind)
            found = [each for each in placed if each.role == role]
            if not found or not found[0].acknowledged:
                raise BrokerUnavailable(f"expected an id of the new protection of {book.symbol}, found none")
            return found[0].request.client_id

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _settle(self, symbol: str) -> tuple[bool, bool]:
        with self._lock:
            books = list(self._ledger.books(symbol))
            held = {book.position_id for book in books}
            orphans = [each for each in self._ledger.live(symbol) if each.role and each.position_id not in held]
        orphans = [each for each in orphans if self._resolve(each)]
        acted, done = bool(orphans) and self._withdraw(orphans), True
        for book in books:
            # What has had no stop for too long is sold before another one is tried, which would be waited for again.
            if book.position_id in self._naked_since_ns and self._flatten_naked(book):
                acted, done = True, False
                continue
            sent, rests = self._arrange(book)
            acted |= sent
            done &= rests
            acted |= self._flatten_naked(book)
        return acted, done

    def _arrange(self, book: Book) -> tuple[bool, bool]:
        """Make what rests for a position equal to what is wished; whether something was sent, and whether it does."""
        if not self._is_known(book):
            return False, False
        with self._lock:
            wishes, room = _wishes(book), self._room(book)
            resting = self._resting(book)
            moving, kind = self._moving.pop(book.position_id, (None, ""))
            if moving is not None and _is_so(resting, moving, room):  # nobody answered, and it has arrived
                book.protect(stop=moving.get(STOP), target=moving.get(TARGET), kind=kind)
                wishes = moving
        if not room:
            wishes = {}
        if _is_so(resting, wishes, room):
            return False, True
        if wishes and room * min(wishes.values()) < self._ledger.rules[book.symbol].min_notional:
            return False, False  # the exchange would take none of it, for as long as no more is held
        if resting and not self._withdraw(resting):
            return True, False
        if not wishes:
            return True, True
        try:
            placed = self._put(book, wishes)
        except BrokerUnavailable:
            return True, False
        if isinstance(placed, Refusal):
            return False, placed.code not in _LATER and self._give_up(book, STOP, placed)
        return True, all(each.acknowledged for each in placed)

    def _hindrance(self, book: Book, wishes: Wishes) -> Refusal | None:
        """Why nothing can guard a position now, so that what does is not taken away for it."""
        symbol = book.symbol
        with self._lock:
            room, least = self._room(book), self._ledger.rules[symbol].min_notional
            on_way = any(not each.acknowledged for each in self._spot.sales(book))
        if not room and on_way:
            return Refusal(code=RATE_LIMIT, message=f"{symbol} may be being sold, nothing is left to guard; ask again")
        if not room:
            return Refusal(code="tied_up", message=f"the coins of {symbol} are tied up by other orders or too few")
        if room * min(wishes.values()) < least:
            return Refusal(code="min_notional", message=f"{room:g} {symbol} is worth less than {least:g} there")
        return None

    def _forget_closed(self) -> None:
        super()._forget_closed()
        with self._lock:
            self._never &= self._ledger.orders.keys()
            held = {book.position_id for symbol in self._ledger.rules for book in self._ledger.books(symbol)}
        self._moving = {key: move for key, move in self._moving.items() if key in held}

    def _take_away(self, book: Book) -> bool:
        """Cancel what rests for a position; whether nothing does, and nothing is on its way."""
        if not self._is_known(book):
            return False
        with self._lock:
            resting = self._resting(book)
        return not resting or self._withdraw(resting)

    def _is_known(self, book: Book) -> bool:
        """Look up what nobody answered; whether it is known of all orders of a position what has become of them."""
        with self._lock:
            live = [each for each in self._ledger.live(book.symbol) if each.position_id == book.position_id]
            sales = self._spot.sales(book)
        guards = [each for each in live if each.role in (STOP, TARGET)]
        for order in guards:
            if not self._resolve(order) and order.is_live:
                return False
        for order in sales:
            late = self._now_ns() - order.sent_ns > self._lost_ns
            if not order.acknowledged and not self._look_for(order) and late:
                self._never.add(order.request.client_id)
        return not any(each.ending is not None for each in guards)

    def _end_sales(self, book: Book) -> bool:
        """Cancel the orders to sell of a position that rest; whether none does, and nothing of them fills unseen."""
        with self._lock:
            resting = [
                each for each in self._spot.sales(book)
                if each.acknowledged and each.request.type is not OrderType.MARKET and each.ending is None
            ]  # fmt: skip
        done = True
        for order in resting:
            try:
                answer = self._spot_wire.withdraw(book.symbol, order.request.client_id, order.venue_id)
            except BrokerUnavailable:
                return False
            done &= not isinstance(answer, Refusal) and self._end([order], answer)
        return done

    def _look_for(self, order: VenueOrder) -> bool:
        """Ask for an order to sell that nobody answered; it is not given up here, others wait for it longer."""
        request = order.request
        try:
            found = self._wire.find(request.symbol, client_id=request.client_id)
        except BrokerUnavailable:
            return True  # it may be there
        if found is not None:
            with self._lock:
                self._ledger.acknowledge(order, found[0])
        return found is not None

    def _room(self, book: Book) -> float:
        """See `room`; with the ledger's lock."""
        never = sum(
            each.request.volume - each.filled for each in self._spot.sales(book)
            if each.request.client_id in self._never and not each.acknowledged
        )  # fmt: skip
        rules = self._ledger.rules[book.symbol]
        lacking = self._ledger.foreign[book.symbol]  # below zero somebody has taken coins of the bot
        there = book.volume + (lacking if lacking <= -rules.volume_step / 2 else 0.0)
        room = rules.round_volume(max(self._spot.clean(book.symbol, there - self._spot.tied_up(book) + never), 0.0))
        return room if room >= rules.min_volume else 0.0

    def _resting(self, book: Book) -> list[VenueOrder]:
        return [each for role in (STOP, TARGET) for each in self._ledger.guards(book.position_id, role)]

    def _withdraw(self, orders: Sequence[VenueOrder]) -> bool:
        """Cancel orders that guard, lists as a whole; whether all of it is done, and nothing of them has filled."""
        done = True
        for position_id, number in dict.fromkeys((each.position_id, each.number) for each in orders):
            with self._lock:
                legs = [
                    each for each in self._ledger.orders.values()
                    if (each.position_id, each.number) == (position_id, number) and each.role in (STOP, TARGET)
                ]  # fmt: skip
            one = next(each for each in orders if (each.position_id, each.number) == (position_id, number))
            symbol = one.request.symbol
            try:
                if len(legs) > 1:
                    answer = self._spot_wire.withdraw_pair(symbol, protective_id(position_id, _LIST, number))
                else:
                    answer = self._spot_wire.withdraw(symbol, one.request.client_id, one.venue_id)
            except BrokerUnavailable:
                return False
            if isinstance(answer, Refusal):
                done = False  # it has filled, or ended otherwise: who reads the account finds out
                continue
            done &= self._end(legs if len(legs) > 1 else [one], answer)
        return done

    def _end(self, legs: Sequence[VenueOrder], reports: Sequence[Report]) -> bool:
        """Take what cancelled orders have become; whether they had filled nothing that is not counted."""
        told = {each.venue_id: each for each in reports}
        done = True
        with self._lock:
            for order in legs:
                report = told.get(order.venue_id)
                if report is not None and report.filled > order.filled + _NOISE:
                    self._ledger.acknowledge(order, replace(report, client_id=order.request.client_id))
                    done = False
                elif order.is_live:
                    self._ledger.end(order, OrderState.CANCELLED, self._now_ns(), "", "")
                self._ledger.touch(order)
        return done

    def _put(self, book: Book, wishes: Wishes) -> list[VenueOrder] | Refusal:
        """Place what is wished for what may be sold; nothing rests now.

        Raises:
            BrokerUnavailable: no answer.
        """
        stop, target = wishes.get(STOP), wishes.get(TARGET)
        if stop is not None and target is not None:
            placed = self._put_pair(book, stop, target)
            if not isinstance(placed, Refusal) or placed.code in _NO_FAULT:
                return placed
            bid = self._bid(book.symbol)
            if bid is not None and bid >= target:
                stop = None  # the price has passed the target: a limit there sells at once
            elif bid is not None:
                self._give_up(book, TARGET, placed)
        role, level = (STOP, stop) if stop is not None else (TARGET, target)
        one = self._place(book, role, level, book.position_id)
        return one if isinstance(one, Refusal) else [one]

    def _bid(self, symbol: str) -> float | None:
        """What is offered now, None when that is not known: the last quote may be older than the refusal."""
        try:
            found = self._wire.quotes([symbol])
        except BrokerUnavailable:
            return None
        return found[symbol][0] if symbol in found else None

    def _put_pair(self, book: Book, stop: float, target: float) -> list[VenueOrder] | Refusal:
        with self._lock:
            if not book.volume:
                return Refusal(code="no_position", message=f"nothing is held of {book.symbol} any more")
            position_id = book.position_id
            number = self._ledger.next_number(position_id)
            legs = []
            for role, level in ((STOP, stop), (TARGET, target)):
                order = self._ledger.register(self._request(book, role, level, number), self._now_ns())
                order.role, order.position_id, order.number = role, position_id, number
                legs.append(order)
        list_id = protective_id(position_id, _LIST, number)
        answer = self._spot_wire.place_pair(legs[0].request, legs[1].request, list_id)
        with self._lock:
            told = {} if isinstance(answer, Refusal) else {each.client_id: each for each in answer}
            for order in legs:
                report = told.get(order.request.client_id)
                if isinstance(answer, Refusal):
                    self._ledger.refuse(order, answer.code, answer.message)
                elif report is not None and report.venue_id:
                    self._ledger.acknowledge(order, report)
                self._ledger.touch(order)
        return answer if isinstance(answer, Refusal) else legs

    def _place(self, book: Book, role: str, level: float | None, position_id: str) -> VenueOrder | Refusal:
        if role == FLAT:
            bid, least = self._bid(book.symbol), self._ledger.rules[book.symbol].min_notional
            if bid is not None and self.room(book) * bid < least:
                return Refusal(code="min_notional", message=f"less than {least:g} is not sold by itself")
            if not self._take_away(book):
                return Refusal(code=RATE_LIMIT, message=f"what rests of {book.symbol} ties up its coins still")
        return super()._place(book, role, level, position_id)

    def _request(self, book: Book, role: str, level: float | None, number: int) -> OrderRequest:
        request = super()._request(book, role, level, number)
        return replace(request, volume=min(request.volume, self._room(book)), trigger_by=TriggerBy.LAST)

    def _covers(self, book: Book) -> bool:
        with self._lock:
            room = self._room(book)
            stops = self._ledger.guards(book.position_id, STOP)
        if book.stop is not None and room * book.stop < self._ledger.rules[book.symbol].min_notional:
            return True  # the exchange takes no stop that is worth so little
        return sum(each.request.volume - each.filled for each in stops) >= room * (1 - _NOISE)


def _wishes(book: Book) -> Wishes:
    return {role: level for role, level in ((STOP, book.stop), (TARGET, book.target)) if level is not None}


def _is_so(resting: Sequence[VenueOrder], wishes: Wishes, volume: float) -> bool:
    """Whether what rests is one order of each kind that is wished, for that volume, and both are of one list."""
    if len({each.number for each in resting}) > 1 or len(resting) != len(wishes):
        return False
    return all(
        each.request.price == wishes.get(each.role)
        and abs(each.request.volume - each.filled - volume) <= _NOISE * volume
        for each in resting
    )
