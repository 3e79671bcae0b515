"""What this bot has at the exchange: its orders by client id, and its positions made of their executions.

The exchange knows one position of a symbol and nothing of books, so positions are added up here from executions, each
counted once by its id. An order has ended only when all that the exchange says it has filled has been counted. What
belongs to no order of ours is kept apart and never touched. Pure: whoever owns it holds a lock.
"""

from collections.abc import Iterable
from dataclasses import replace

from src.brokers.ccxt_order import LOST, STOP, TARGET, VenueOrder, protection_of
from src.brokers.ccxt_records import Execution, Report
from src.core.book import Book
from src.core.instrument import Instrument
from src.core.records import (
    Fill,
    OrderEvent,
    OrderRequest,
    OrderState,
    OrderType,
    Position,
    Trade,
    make_fill,
    make_order_event,
    make_order_request,
)

__all__ = ["CcxtLedger", "VenueOrder"]

#: From so many orders and executions on those of long ago are forgotten.
MOST_REMEMBERED = 4_000
#: How the client ids of orders begin with which the exchange closes a position by itself.
_LIQUIDATIONS = ("autoclose", "adl_autoclose", "settlement_autoclose")

_NOISE = 1e-9


class CcxtLedger:
    """Orders and positions of one account.

    Args:
        rules: the instruments by symbol.

    Attributes:
        orders: by client id, in the order in which they were sent.
        foreign: by symbol, what is held there and not ours.
        events: what happened and was not told yet, by symbol.
        answers: grows with each answer to a request, so that a list that was asked for before it is not believed more.
    """

    def __init__(self, rules: dict[str, Instrument]) -> None:
        self.rules = rules
        self.orders: dict[str, VenueOrder] = {}
        self.foreign: dict[str, float] = dict.fromkeys(rules, 0.0)
        self.events: dict[str, list[OrderEvent]] = {symbol: [] for symbol in rules}
        self.answers = 0
        self._by_venue_id: dict[tuple[str, str], str] = {}
        self._books: dict[tuple[str, str], Book] = {}
        #: When each execution that was counted had happened.
        self._seen: dict[tuple[str, str], int] = {}
        #: Volume and value of executions of orders that seemed to be somebody else's, by the exchange's id.
        self._strangers: dict[tuple[str, str], tuple[float, float]] = {}
        #: How many orders have guarded a position.
        self._numbers: dict[str, int] = {}
        #: When each position last became larger, by the exchange's clock.
        self.grown_ns: dict[str, int] = {}
        #: Of positions of before, who had set the stop that rests: no execution tells it.
        self.stop_kinds: dict[str, str] = {}

    # -- orders --------------------------------------------------------------------------------------------------------

    def register(self, request: OrderRequest, sent_ns: int) -> VenueOrder:
        """Remember an order that is about to be sent."""
        order = self.orders[request.client_id] = VenueOrder(request=request, sent_ns=sent_ns, updated_ns=sent_ns)
        return order

    def touch(self, order: VenueOrder) -> None:
        """A request about this order was answered just now."""
        self.answers += 1
        order.touched = self.answers

    def refuse(self, order: VenueOrder, code: str, message: str) -> None:
        """An order was refused, so there is none.

        It is remembered all the same: where something on the way sends a request twice, the second answer may be a
        refusal of what the first one has done, and its executions are ours.
        """
        order.state, order.code, order.message = OrderState.REJECTED, code, message

    def was_used(self, client_id: str) -> bool:
        """Whether an order of this id was sent that was not refused."""
        order = self.orders.get(client_id)
        if order is None:
            return False
        return order.acknowledged or order.state is not OrderState.REJECTED or order.code == LOST

    def give_up(self, symbol: str, before_ns: int) -> None:
        """Wait no longer for orders that nobody answered, and nobody has seen since they were sent."""
        for order in self.live(symbol):
            if not order.acknowledged and not order.role and order.sent_ns < before_ns:
                self.refuse(order, LOST, "it never reached the venue")

    def acknowledge(self, order: VenueOrder, report: Report) -> None:
        """The exchange has told of an order; executions are counted when they come by themselves."""
        self._note_seen(order)
        if report.became_id:
            if not order.became_id:
                self._take_back(order, report.became_id)
            order.became_id = report.became_id
            self._by_venue_id[order.request.symbol, report.became_id] = order.request.client_id
        if report.venue_id and not order.venue_id:
            order.venue_id = report.venue_id
        if order.venue_id:
            self._by_venue_id[order.request.symbol, order.venue_id] = order.request.client_id
        if order.state is OrderState.SENT:
            order.state = OrderState.WORKING
        # A conditional order that was triggered has ended for the exchange, and goes on as what it became.
        if report.state.is_final and not report.became_id and order.is_live:
            order.ending = report

    @staticmethod
    def _note_seen(order: VenueOrder) -> None:
        """The exchange has told of an order; one that had been given up lives again."""
        order.acknowledged, order.absent_ns = True, 0
        if order.code == LOST:
            order.state, order.code, order.message = OrderState.SENT, "", ""

    def _take_back(self, order: VenueOrder, became_id: str) -> None:
        """What an order became has filled, and was counted as somebody else's: it counts for the order, and once."""
        volume, value = self._strangers.pop((order.request.symbol, became_id), (0.0, 0.0))
        order.filled = self.clean(order.request.symbol, order.filled + volume)
        order.value += value

    def owner(self, symbol: str, venue_id: str) -> VenueOrder | None:
        """The order with this id of the exchange, None when none is known to have it."""
        return self.orders.get(self._by_venue_id.get((symbol, venue_id), ""))

    def own(self, symbol: str, venue_id: str, client_id: str) -> None:
        """Remember whose an id of the exchange is."""
        self._by_venue_id[symbol, venue_id] = client_id

    def live(self, symbol: str) -> list[VenueOrder]:
        """The orders of a symbol that may still change, those that nobody answered and protection among them."""
        return [each for each in self.orders.values() if each.is_live and each.request.symbol == symbol]

    def is_active(self, symbol: str) -> bool:
        """Whether something of ours may happen in a symbol."""
        return bool(self.live(symbol)) or any(True for _ in self.books(symbol))

    # -- what happened -------------------------------------------------------------------------------------------------

    def execute(self, execution: Execution, fee: float, stranger: str = "") -> bool:
        """Count an execution; False when it has been counted.

        Args:
            fee: its fee in the account's currency.
            stranger: the client id of an order that is not ours, as far as the exchange tells it.
        """
        symbol = execution.symbol
        key = symbol, execution.trade_id
        if key in self._seen:
            return False
        self._seen[key] = execution.at_ns
        order = self.owner(symbol, execution.venue_id)
        if order is None:
            self._count_foreign(execution, fee, stranger)
        else:
            self._count_own(order, execution, fee)
        return True

    def _count_foreign(self, execution: Execution, fee: float, stranger: str) -> None:
        """What somebody else has done: it takes from what is not ours first, and then from what is.

        The exchange holds one position of a symbol. Whoever closes it by hand, or the exchange that liquidates it, has
        closed ours, and the bot has to know.
        """
        symbol, sign = execution.symbol, execution.side.sign
        volume, value = self._strangers.get((symbol, execution.venue_id), (0.0, 0.0))
        self._strangers[symbol, execution.venue_id] = (
            volume + execution.volume, value + execution.volume * execution.price,
        )  # fmt: skip
        foreign = self.foreign[symbol]
        theirs = min(execution.volume, abs(foreign)) if foreign * sign < 0 else 0.0
        left = self.clean(symbol, execution.volume - theirs)
        for book in list(self.books(symbol)):
            part = min(left, abs(book.volume)) if book.volume * sign < 0 else 0.0
            if not part:
                continue
            left = self.clean(symbol, left - part)
            kind = "liquidation" if stranger.startswith(_LIQUIDATIONS) else "foreign"
            request = make_order_request(
                client_id=f"{kind}{execution.trade_id}", book=book.book, symbol=symbol, side=execution.side,
                type=OrderType.MARKET, volume=part, reduce_only=True, position_id=book.position_id, exit_kind=kind,
                reason=stranger,
            )  # fmt: skip
            order = self.register(request, execution.at_ns)
            share = fee * part / execution.volume
            self._count_own(order, replace(execution, volume=part), share)
        moved = self.clean(symbol, theirs + left)
        self.foreign[symbol] = self.clean(symbol, foreign + sign * moved)

    def _count_own(self, order: VenueOrder, execution: Execution, fee: float) -> None:
        symbol = execution.symbol
        book = self._book_of(order)
        opposite = abs(book.volume) if book.volume * execution.side.sign < 0 else 0.0
        rules = self.rules[symbol]
        closing = min(execution.volume, opposite)
        if abs(execution.volume - opposite) < rules.volume_step / 2:  # float noise of volumes that were added up
            closing = execution.volume if opposite else 0.0
        opening = 0.0 if closing == execution.volume else self.clean(symbol, execution.volume - closing)
        if opening and order.request.reduce_only:  # what it closed beyond our own was not ours
            beyond = execution.side.sign * opening
            self.foreign[symbol] = self.clean(symbol, self.foreign[symbol] + beyond)
            opening = 0.0
        if closing:
            kind = "reverse" if opening else self._exit_kind(order, book)
            part = min(closing, opposite)
            fill = self._fill(order, execution, part, fee * closing / execution.volume, book.position_id, kind, "")
            self._count(order, closing, execution, last=not opening)
            _, trade = book.reduce(fill)
            # An order over 0.3 - 0.1 as floats have it would be cut by a whole step on its way.
            book.volume = self.clean(symbol, book.volume)
            self._tell(order, fill, trade)
        if opening:
            position_id = book.position_id or order.request.client_id
            number = "-2" if closing else ""
            fill = self._fill(order, execution, opening, fee * opening / execution.volume, position_id, "entry", number)
            self._count(order, opening, execution, last=True)
            stop, target = protection_of(order.request, order.value / order.filled, rules)
            book.open(fill, stop=stop, target=target, stop_cost=order.request.stop_cost)
            book.stop_kind = self.stop_kinds.get(position_id, book.stop_kind)
            self.grown_ns[position_id] = execution.at_ns
            book.volume = self.clean(symbol, book.volume)
            self._tell(order, fill, None)

    def finish(self, symbol: str) -> bool:
        """End the orders of which all executions are here; whether there were any."""
        found = False
        for order in self.live(symbol):
            report = order.ending
            if report is None or order.filled < report.filled * (1 - _NOISE):
                continue
            found = True
            order.ending = None
            order.state = report.state
            if report.state is OrderState.FILLED and not order.filled:
                order.state, order.code = OrderState.CANCELLED, "nothing_to_reduce"
            order.message = report.message
            order.updated_ns = max(order.updated_ns, report.updated_ns)
            self._tell(order, None, None)
        return found

    def stop_waiting(self, symbol: str, now_ns: int, most_ns: int) -> None:
        """End what has ended at the exchange long ago, and whose executions are not all told."""
        for order in self.live(symbol):
            if order.ending is None:
                order.ending_ns = 0
                continue
            order.ending_ns = order.ending_ns or now_ns
            if now_ns - order.ending_ns >= most_ns:
                state = order.ending.state if order.filled or order.ending.state is not OrderState.FILLED else None
                order.ending = None
                self.end(order, state or OrderState.CANCELLED, now_ns, "untold", "its executions were not told")

    def has_counted(self, execution: Execution) -> bool:
        """Whether an execution has been counted."""
        return (execution.symbol, execution.trade_id) in self._seen

    def end(self, order: VenueOrder, state: OrderState, at_ns: int, code: str, message: str) -> None:
        """End an order of which the exchange knows nothing any more."""
        order.state, order.code, order.message = state, code, message
        order.updated_ns = max(order.updated_ns, at_ns)
        self._tell(order, None, None)

    # -- positions -----------------------------------------------------------------------------------------------------

    def books(self, symbol: str) -> Iterable[Book]:
        """The books that hold something of a symbol, oldest first."""
        held = [book for (_, each), book in self._books.items() if each == symbol and book.volume]
        return sorted(held, key=lambda book: (book.opened_ns, book.book))

    def book(self, position_id: str) -> Book | None:
        """The book whose position this is."""
        return next((book for book in self._books.values() if book.volume and book.position_id == position_id), None)

    def positions(self, symbol: str) -> tuple[Position, ...]:
        """The open positions, with the stops and targets that rest at the exchange and not those that are wished."""
        found = []
        for book in self.books(symbol):
            position = book.position()
            stop, target = self.resting_levels(book)
            if (position.stop, position.target) != (stop, target):
                position = replace(position, stop=stop, target=target)
            found.append(position)
        return tuple(found)

    def resting_levels(self, book: Book) -> tuple[float | None, float | None]:
        """Stop and target of a position as they rest at the exchange."""
        stops, targets = (self.guards(book.position_id, role) for role in (STOP, TARGET))
        return stops[0].request.price if stops else None, targets[0].request.price if targets else None

    def levels(self, book: Book) -> tuple[float | None, float | None]:
        """Stop and target of a position as they were wished last, as far as the exchange tells it."""
        return self.resting_levels(book)

    def held(self, symbol: str) -> float:
        """What the exchange has to show as the position of a symbol."""
        return self.clean(symbol, self.foreign[symbol] + sum(book.volume for book in self.books(symbol)))

    def guards(self, position_id: str, role: str) -> list[VenueOrder]:
        """The acknowledged orders that guard a position, the newest first."""
        found = [
            each for each in self.orders.values()
            if each.role == role and each.position_id == position_id and each.is_live and each.acknowledged
            and each.ending is None
        ]  # fmt: skip
        return sorted(found, key=lambda each: -each.number)

    def next_number(self, position_id: str) -> int:
        """The number of the next order that guards a position; each number is given once."""
        number = self._numbers[position_id] = self._numbers.get(position_id, 0) + 1
        return number

    def prune(self, before_ns: int) -> None:
        """Forget what ended before an instant, once it has become much."""
        if len(self.orders) + len(self._seen) < MOST_REMEMBERED:
            return
        held = {book.position_id for book in self._books.values() if book.volume}
        self.orders = {
            client_id: order for client_id, order in self.orders.items()
            if order.is_live or order.updated_ns >= before_ns or client_id in held
        }  # fmt: skip
        self._seen = {key: at_ns for key, at_ns in self._seen.items() if at_ns >= before_ns}
        self._strangers = {key: value for key, value in self._strangers.items() if key in self._by_venue_id}
        self._by_venue_id = {key: value for key, value in self._by_venue_id.items() if value in self.orders}
        self._numbers = {key: number for key, number in self._numbers.items() if key in held}
        self.grown_ns = {key: at_ns for key, at_ns in self.grown_ns.items() if key in held}

    def clean(self, symbol: str, volume: float) -> float:
        """A volume without the noise of adding up."""
        step = self.rules[symbol].volume_step
        near = self.rules[symbol].round_volume(abs(volume) + step / 2) if step else abs(volume)
        return near if volume >= 0 else -near

    def count_guard(self, position_id: str, number: int) -> None:
        """Remember that an order with this number has guarded a position."""
        self._numbers[position_id] = max(self._numbers.get(position_id, 0), number)

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _book_of(self, order: VenueOrder) -> Book:
        request = order.request
        if request.position_id:
            book = self.book(request.position_id)
            if book is not None:
                return book
        key = request.book, request.symbol
        if key not in self._books:
            self._books[key] = Book(*key)
        return self._books[key]

    def _exit_kind(self, order: VenueOrder, book: Book) -> str:
        if order.role == STOP:
            return book.stop_kind
        return "target" if order.role == TARGET else order.request.exit_kind

    def _fill(
        self, order: VenueOrder, execution: Execution, volume: float, fee: float, position_id: str, kind: str, part: str
    ) -> Fill:
        request = order.request
        at_ns = max(execution.at_ns, order.sent_ns)  # the exchange tells milliseconds, cut off
        return make_fill(
            fill_id=execution.trade_id + part, order_id=request.client_id, position_id=position_id, book=request.book,
            symbol=request.symbol, side=execution.side, volume=volume, price=execution.price, filled_ns=at_ns,
            filled_from_ns=at_ns, commission=fee, kind=kind, reason=request.reason,
        )  # fmt: skip

    def _count(self, order: VenueOrder, volume: float, execution: Execution, *, last: bool) -> None:
        self._note_seen(order)
        order.filled = self.clean(execution.symbol, order.filled + volume)
        order.value += volume * execution.price
        order.updated_ns = max(order.updated_ns, execution.at_ns)
        if order.is_live:
            whole = last and order.filled >= order.request.volume * (1 - _NOISE)
            order.state = OrderState.FILLED if whole else OrderState.PARTLY_FILLED
            order.ending = None if whole else order.ending

    def _tell(self, order: VenueOrder, fill: Fill | None, trade: Trade | None) -> None:
        if order.role and fill is None:
            return  # orders that guard a position are a property of it, and only what they fill is told
        self.events[order.request.symbol].append(make_order_event(order=order.order(), fill=fill, trade=trade))
