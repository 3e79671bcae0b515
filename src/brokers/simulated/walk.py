"""What several levels of one symbol do inside a bar: one after the other, as the price must meet them. Pure.

A bar is walked from its open over one extreme to the other and to its close. On each of these ways everything that a
strategy has there, stops and targets of positions and resting orders, is met in the order of its distance; what is met
may add levels, and those count from there on. Nothing is assumed but which extreme comes first, and, as on any bar of
an entry, that the price may turn just after it.

`Rehearsal` walks over copies, to learn what each way brings; `Performance` walks the chosen one with the ledger.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.ledger import Ledger, Moment, protection_of
from src.brokers.simulated.rules import FillRules
from src.brokers.simulated.trailing import follow, trail_of_position
from src.brokers.simulated.triggers import follow_order
from src.brokers.simulated.working_order import WorkingOrder
from src.core.book import Book
from src.core.records import OrderType, Side, TriggerBy

__all__ = ["Move", "Other", "Performance", "Rehearsal", "Way"]

#: Orders that take what the market gives, and so slip.
STOPS = (OrderType.STOP, OrderType.TRAILING_STOP)


class Way(NamedTuple):
    """Which way through a bar: over the high first or not, and whether the price turns after the first entry."""

    up: bool
    turns: bool


class Move(NamedTuple):
    """One execution of a rehearsal: of which position, how much with its sign, and at which price."""

    position: str
    signed: float
    price: float
    opens: bool


class Other(NamedTuple):
    """What another way gives for one execution that reduces a position.

    Attributes:
        price: the quote of the other outcome, None where there is none.
        gain: how much more it brings, in the currency of the prices.
    """

    position: str
    price: float | None
    gain: float


class _Met(NamedTuple):
    """A level on the way: after which share of it, limits after stops, orders after positions, in their order."""

    share: float
    is_limit: bool
    is_order: bool
    place: int
    quote: float


class Corners(NamedTuple):
    """Bid and ask at a corner of the bar."""

    bid: float
    ask: float


class _Walk(ABC):
    """A walk through bar `i`.

    Args:
        books, orders: what is held and what rests and counts, oldest first; the lists become the walk's own.
        open_ns: of the bar.
    """

    def __init__(
        self, desk: Desk, books: list[Book], orders: list[WorkingOrder], i: int, open_ns: int, rules: FillRules
    ) -> None:
        self.desk, self.books, self.orders = desk, books, orders
        self._i, self._open_ns, self._rules = i, open_ns, rules
        self._bid = self._ask = 0.0
        self._left: set[tuple[str, bool]] = set()

    @abstractmethod
    def leave(self, book: Book, kind: str, quote: float) -> None:
        """Close a position at its stop or target."""

    @abstractmethod
    def fill(self, order: WorkingOrder, quote: float) -> Book | None:
        """Fill an order; what it opened or enlarged."""

    def run(self, way: Way) -> None:
        """Walk the bar from its open to its close."""
        bids, asks, i = self.desk.bids, self.desk.asks, self._i
        high, low = Corners(bids.high(i), asks.high(i)), Corners(bids.low(i), asks.low(i))
        close = Corners(bids.close(i), asks.close(i))
        first, second = (high, low) if way.up else (low, high)
        at, corners, turns = Corners(bids.open(i), asks.open(i)), [first, second, close], way.turns
        while corners:
            to = corners[0]
            if self._leg(at, to, stop_at_entry=turns and len(corners) > 1):
                # Just after the entry the price goes to the other extreme, and comes back before the close.
                corners = [second if to is first else first, to, close]
                turns = False
                at = Corners(self._bid, self._ask)
                continue
            at = corners.pop(0)

    def _leg(self, at: Corners, to: Corners, *, stop_at_entry: bool) -> bool:
        """Walk in one direction; whether the walk ended early, at an entry."""
        self._bid, self._ask = at
        share = 0.0
        while (met := self._next(at, to, share)) is not None:
            share = met.share
            if self._act(met, at, to) and stop_at_entry:
                self._follow()  # the price turns here, so what follows it has got as far as it goes
                return True
        self._bid, self._ask = to
        self._follow()
        return False

    def _follow(self) -> None:
        """Move what follows the price to where it is."""
        for book in self.books:
            if book.trail is not None and book.volume:
                follow(book, self.desk.instrument, self._bid if book.volume > 0 else self._ask)
        for order in self.orders:
            if order.request.type is OrderType.TRAILING_STOP:
                follow_order(self.desk, order, self._ask if order.request.side is Side.BUY else self._bid)

    def _act(self, met: _Met, at: Corners, to: Corners) -> bool:
        """Do what a level asks for; whether something was opened."""
        if not met.is_order:
            book = self.books[met.place]
            self._stand(met, ask=book.volume < 0, at=at, to=to)
            self._left.add((book.position_id, met.is_limit))
            self.leave(book, "target" if met.is_limit else book.stop_kind, met.quote)
            return False
        order = self.orders[met.place]
        buy = order.request.side is Side.BUY
        self._stand(met, ask=buy, at=at, to=to)
        if order.request.type is OrderType.STOP_LIMIT and not order.triggered:
            order.triggered = True
            limit = order.request.limit
            if limit is None or (met.quote > limit if buy else met.quote < limit):
                return False  # it is a limit that the price has to come back to
        del self.orders[met.place]
        opened = self.fill(order, met.quote)
        if opened is not None and opened not in self.books:
            self.books.append(opened)
        return opened is not None

    def _stand(self, met: _Met, *, ask: bool, at: Corners, to: Corners) -> None:
        """Let the price be where a level of one side of the quote was met."""
        if self.desk.costs.spread_column:  # the two sides go evenly, each its own way
            other = at.bid + met.share * (to.bid - at.bid) if ask else at.ask + met.share * (to.ask - at.ask)
        else:
            other = self.desk.quotes.across(met.quote, ask=ask)
        self._bid, self._ask = (other, met.quote) if ask else (met.quote, other)

    def _next(self, at: Corners, to: Corners, share: float) -> _Met | None:
        """The level that the price meets next."""
        best: _Met | None = None
        for place, book in enumerate(self.books):
            if not book.volume:
                continue
            long = book.volume > 0
            for level, is_limit in ((book.stop, False), (book.target, True)):
                if level is not None and (book.position_id, is_limit) not in self._left:
                    found = self._meet(
                        level, at, to, share, ask=not long, rising=long is is_limit,
                        touches=f"{book.position_id}-target" if is_limit else None,
                    )  # fmt: skip
                    if found is not None:
                        met = _Met(found[0], is_limit, False, place, found[1])
                        best = met if best is None or met < best else best
        for place, order in enumerate(self.orders):
            request = order.request
            buy, is_limit = request.side is Side.BUY, request.type is OrderType.LIMIT or order.triggered
            level = request.limit if order.triggered else order.price
            if level is None or order.state.is_final:
                continue
            if not is_limit and request.trigger_by is not TriggerBy.QUOTE:  # the bars show the price that is followed
                level = self.desk.quotes.ask(level) if buy else self.desk.quotes.bid(level)
            found = self._meet(
                level, at, to, share, ask=buy, rising=buy is not is_limit,
                touches=order.order_id if is_limit else None,
            )  # fmt: skip
            if found is not None:
                met = _Met(found[0], is_limit, True, place, found[1])
                best = met if best is None or met < best else best
        return best

    def _meet(
        self, level: float, at: Corners, to: Corners, share: float, *, ask: bool, rising: bool, touches: str | None
    ) -> tuple[float, float] | None:
        """After which share of the way, and at which quote, a level is met; None when it is not.

        Args:
            rising: whether a price above it, or else one below it, has passed the level.
            touches: whose level it is, when it has to be passed; None when a touch is enough.
        """
        now, begin, end = (self._ask, at.ask, to.ask) if ask else (self._bid, at.bid, to.bid)
        past = now - level if rising else level - now
        if past > 0 or (past == 0 and touches is None):
            return share, now
        past = end - level if rising else level - end
        if past < 0 or (past == 0 and touches is not None and not self._rules.touched(touches, self._open_ns)):
            return None
        return (max(share, (level - begin) / (end - begin)) if begin != end else share), level


class Rehearsal(_Walk):
    """A walk over copies, without commission, margin or limits of volume.

    Attributes:
        moves: the executions, in their order.
    """

    def __init__(
        self, ledger: Ledger, desk: Desk, books: Sequence[Book], orders: Sequence[WorkingOrder], i: int, open_ns: int,
        rules: FillRules,
    ) -> None:  # fmt: skip
        super().__init__(desk, [copy(book) for book in books], [copy(order) for order in orders], i, open_ns, rules)
        self._ledger = ledger
        self.moves: list[Move] = []

    def held(self) -> dict[str, float]:
        """The signed volume of each position at the close."""
        return {book.position_id: book.volume for book in self.books if book.volume}

    def value(self) -> float:
        """What the bar brought: all executions, and what is held at the close."""
        bid, ask = self.desk.bids.close(self._i), self.desk.asks.close(self._i)
        total = 0.0
        for move in self.moves:
            total -= move.signed * move.price
        for book in self.books:
            total += book.volume * (bid if book.volume > 0 else ask)
        return total

    def leave(self, book: Book, kind: str, quote: float) -> None:
        """See `_Walk`."""
        side = Side.SELL if book.volume > 0 else Side.BUY
        price = self._ledger.price_of(self.desk, side, quote, abs(book.volume), slips=kind != "target")
        self.moves.append(Move(book.position_id, -book.volume, price, False))
        book.volume = 0.0

    def fill(self, order: WorkingOrder, quote: float) -> Book | None:
        """See `_Walk`; what the ledger would do."""
        request, desk, sign = order.request, self.desk, order.request.side.sign
        volume = order.volume - order.filled_volume
        book = self._book_for(order)
        opposite = abs(book.volume) if book is not None and book.volume * sign < 0 else 0.0
        beyond = desk.excess(volume, opposite)
        closing = opposite if request.reverse or beyond else min(volume, opposite)
        opening = 0.0 if request.reduce_only else volume if request.reverse else beyond
        if self._ledger.spot and sign < 0:
            opening = 0.0
        price = self._ledger.price_of(desk, request.side, quote, closing + opening, slips=request.type in STOPS)
        if closing and book is not None:
            self.moves.append(Move(book.position_id, sign * closing, price, False))
            book.volume = 0.0 if closing == opposite else book.volume + sign * closing
        if request.group and (closing or opening):
            self.orders = [
                each for each in self.orders
                if (each.request.book, each.request.group) != (request.book, request.group)
            ]  # fmt: skip
        if not opening:
            return None
        if book is None or not book.volume:
            book = Book(request.book, desk.symbol)
            book.position_id = order.order_id
        self._protect(book, order, price)
        self.moves.append(Move(book.position_id, sign * opening, price, True))
        book.volume += sign * opening
        return book

    def _protect(self, book: Book, order: WorkingOrder, price: float) -> None:
        request, sign = order.request, order.request.side.sign
        stop, target = protection_of(self.desk, request, price)
        if stop is not None and (book.stop is None or not book.volume or sign * (stop - book.stop) > 0):
            book.stop, book.stop_kind = stop, "stop"
        if target is not None:
            book.target = target
        book.trail = trail_of_position(request) or book.trail

    def _book_for(self, order: WorkingOrder) -> Book | None:
        """The position that an order acts on, see `Desk.book_for`; None when it opens one."""
        request = order.request
        wanted = request.position_id
        if wanted is None and self._ledger.hedging and order.filled_volume:
            wanted = order.order_id
        for book in self.books:
            if book.volume and book.position_id == wanted:
                return book
        if self._ledger.hedging or (request.position_id is not None and request.reduce_only):
            return None
        return next((book for book in self.books if book.volume and book.book == request.book), None)


class Performance(_Walk):
    """The walk that counts: what it meets goes through the ledger.

    Args:
        others: for each execution that reduces a position, in their order, the other outcome, as the rehearsal of this
            way told it.
        further: the same of a way that ends on the other side of this one, where there is one; only its gain counts.
    """

    def __init__(
        self, ledger: Ledger, desk: Desk, books: Sequence[Book], orders: Sequence[WorkingOrder], i: int, when: Moment,
        rules: FillRules, others: Sequence[Other] = (), further: Sequence[Other] = (),
    ) -> None:  # fmt: skip
        super().__init__(desk, list(books), list(orders), i, when.from_ns, rules)
        self._ledger, self._when = ledger, when
        self._others, self._further = list(others), list(further)

    def leave(self, book: Book, kind: str, quote: float) -> None:
        """See `_Walk`."""
        other = self._other(book)
        self._ledger.exit_book(
            self.desk, book, kind, quote, self._when, slips=kind != "target", other=other
        )  # fmt: skip

    def fill(self, order: WorkingOrder, quote: float) -> Book | None:
        """See `_Walk`."""
        ledger, desk, request = self._ledger, self.desk, order.request
        book = desk.book_for(request, hedging=ledger.hedging)
        if book.volume * request.side.sign < 0:
            ledger.doubt = self._other(book)
        order.place = desk.resting.index(order)
        del desk.resting[order.place]
        opened = ledger.fill_order(desk, order, quote, self._when, slips=request.type in STOPS)
        ledger.doubt = None
        return opened

    def _other(self, book: Book) -> float | None:
        """The other outcome of the next execution that reduces; None when the ledger has gone another way."""
        if self._further and self._further[0].position == book.position_id and (gain := self._further.pop(0).gain):
            book.doubt(gain)
        if self._others and self._others[0].position == book.position_id:
            return self._others.pop(0).price
        return None
