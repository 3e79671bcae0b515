"""The venue whose prices are not known before they come: quotes one by one, bars when they have closed. Pure.

See `quotes` for what a quote fills. Three things are different here. A quote was true when it was asked for and is
known a little later: what was ordered or changed after the question does not count on it, and what it fills is known at
the later instant. A market order waits for the next quote, whenever it comes. And quotes are asked for now and then, so
a bar that has closed may prove that the price was where no quote has seen it: then what has stood there since before
the bar opened fills at its level. A bar of trades proves no more than that somebody paid its extremes: the bid was at
or below its low and the ask at or above its high, and the rest lies a spread away. Of a stop and a target it fills the
stop.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.exits import exit_at_quote
from src.brokers.simulated.full_venue import needs_full_venue
from src.brokers.simulated.ledger import Moment
from src.brokers.simulated.matching import STOPS, apply_changes, fill_market_orders
from src.brokers.simulated.quotes import FullQuoteVenue, PriceTape, QuoteDesk, QuoteVenue
from src.brokers.simulated.rules import Costs, FillRules
from src.brokers.simulated.triggers import trigger_at_quote
from src.brokers.simulated.working_order import WorkingOrder
from src.core.bars import BarSeries
from src.core.book import Book
from src.core.config import AccountConfig
from src.core.errors import InternalError
from src.core.instrument import Instrument
from src.core.records import Order, OrderRequest, OrderResult, OrderType, Side
from src.core.timeframe import DAY_NS

__all__ = ["BarRow", "LiveDesk", "LiveVenue", "live_venue_of"]

#: Open and prices of a bar that has closed: `open_ns, open, high, low, close, volume`.
BarRow = tuple[int, float, float, float, float, float]

#: Longer than any market stays closed.
_LONGEST_CLOSURE_NS = 14 * DAY_NS


class _Level(NamedTuple):
    """Stop and target of a position, or the price of an order, from an instant on."""

    from_ns: int
    first: float | None
    second: float | None


class _Proof(NamedTuple):
    """What a bar proves of bid and ask: how low and how high each has been at least, and the bid at its open."""

    bid_low: float
    bid_high: float
    ask_low: float
    ask_high: float
    opened: float


class LiveDesk(QuoteDesk):
    """A desk that is told its quotes.

    Attributes:
        standing_now: bid, ask and instant of the last quote; None before the first.
    """

    __slots__ = ("_levels", "standing_now")

    def __init__(self, instrument: Instrument, series: BarSeries, costs: Costs, rank: int) -> None:
        none = np.empty(0)
        tape = PriceTape(symbol=instrument.symbol, ts_ns=np.empty(0, np.int64), bid=none, ask=none, last=none)
        super().__init__(instrument, series, costs, rank, tape)
        self.standing_now: tuple[float, float, int] | None = None
        #: By position and by order, oldest first.
        self._levels: dict[str, list[_Level]] = {}

    def begin(self, instant_ns: int) -> None:
        """See `QuoteDesk.begin`: there is no price before the first quote."""
        self.taken = self.series.ticks = 0
        self.mark = float("nan")

    def stand_at(self, bid: float, ask: float, quoted_ns: int) -> None:
        """The next quote has come."""
        self.taken += 1
        self.series.ticks = self.taken
        self._stand(bid, ask)
        self.standing_now = bid, ask, quoted_ns

    def priced_ns(self) -> int:
        """See `Desk.priced_ns`."""
        return 0 if self.standing_now is None else self.standing_now[2]

    def next_open_ns(self, effective_ns: int) -> int | None:
        """See `Desk.next_open_ns`: a quote will come, and nobody knows when."""
        return effective_ns

    @property
    def idle(self) -> bool:
        """Whether nothing is held here and no order works."""
        return not (self.books or self.market_orders or self.resting or self.pending)

    def is_reached(self, bid: float, ask: float) -> bool:
        """Whether a quote may fill or move anything here; it may be true without need, and is never false wrongly."""
        if self.market_orders or self.pending:
            return True
        for book in self.books:
            long, stop, target = book.volume > 0, book.stop, book.target
            if book.trail is not None:
                return True
            if stop is not None and (bid <= stop if long else ask >= stop):
                return True
            if target is not None and (bid >= target if long else ask <= target):
                return True
        return any(_is_met(order, bid, ask) for order in self.resting)

    # -- what stood where, and since when ----------------------------------------------------------

    def note_levels(self, instant_ns: int) -> None:
        """Remember where stops, targets and orders stand, as from an instant on; after whatever may have moved them."""
        for book in self.books:
            self._note(book.position_id, instant_ns, book.stop, book.target)
        for order in self.resting:
            self._note(order.order_id, instant_ns, order.price, None)

    def _note(self, identity: str, instant_ns: int, first: float | None, second: float | None) -> None:
        known = self._levels.setdefault(identity, [])
        if not known or known[-1][1:] != (first, second):
            known.append(_Level(instant_ns, first, second))

    def stood_at(self, identity: str, instant_ns: int) -> bool:
        """Whether what stands there now has stood since an instant or longer; what is new here has."""
        known = self._levels.get(identity)
        return known is None or known[-1].from_ns <= instant_ns

    def stood_in(self, identity: str, begins_ns: int, ends_ns: int) -> list[_Level]:
        """What stood there at any time in `[begins, ends)`; empty when nothing did at its beginning."""
        known = self._levels.get(identity, [])
        if not known or known[0].from_ns > begins_ns:
            return []
        ends = [each.from_ns for each in known[1:]] + [ends_ns]
        return [each for each, until in zip(known, ends, strict=True) if each.from_ns < ends_ns and until > begins_ns]

    def forget_levels(self, before_ns: int) -> None:
        """Forget what no longer stood at an instant."""
        alive = {book.position_id for book in self.books} | {order.order_id for order in self.resting}
        self._levels = {
            identity: known[max((i for i, each in enumerate(known) if each.from_ns <= before_ns), default=0) :]
            for identity, known in self._levels.items()
            if identity in alive
        }


class LiveVenue(QuoteVenue):
    """See `QuoteVenue`; `take_quote` and `close_bar` take the place of the tapes.

    Args:
        venue: as of `Venue`.
    """

    def __init__(self, *venue: Any) -> None:
        super().__init__({}, *venue)

    def _make_desk(self, instrument: Instrument, series: BarSeries, rank: int) -> Desk:
        return LiveDesk(instrument, series, self._costs, rank)

    def desk(self, symbol: str) -> LiveDesk:
        """The desk of a symbol."""
        desk = self.by_symbol[symbol]
        if not isinstance(desk, LiveDesk):
            raise InternalError(f"{symbol} has a desk that is told no quotes")
        return desk

    def is_quiet(self, symbol: str, bid: float, ask: float) -> bool:
        """Whether a quote changes nothing but the price at which things are marked; false where that is not certain."""
        desk = self.desk(symbol)
        return desk.idle or not desk.is_reached(bid, ask)

    @property
    def idle(self) -> bool:
        """Whether nothing is held and no order works anywhere."""
        return all(self.desk(symbol).idle for symbol in self.by_symbol)

    def notes(self) -> list[str]:
        """See `QuoteVenue.notes`: nothing has to be known of prices that come as they are."""
        return []

    # -- orders ------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, now_ns: int) -> tuple[OrderResult, WorkingOrder | None]:
        """See `Venue.place`."""
        result, order = super().place(request, now_ns)
        if order is not None:
            self.desk(request.symbol).note_levels(now_ns)
        return result, order

    def modify(
        self, order_id: str, price: float | None, limit: float | None, volume: float | None, now_ns: int
    ) -> tuple[OrderResult, Order | WorkingOrder | None]:
        """See `Venue.modify`."""
        result, order = super().modify(order_id, price, limit, volume, now_ns)
        if order is not None:
            self.desk(order.request.symbol).note_levels(now_ns)
        return result, order

    def protect(
        self, position_id: str, stop: float | None, target: float | None, kind: str, now_ns: int
    ) -> tuple[OrderResult, Desk | None]:
        """See `Venue.protect`."""
        result, desk = super().protect(position_id, stop, target, kind, now_ns)
        if isinstance(desk, LiveDesk):
            desk.note_levels(now_ns)
        return result, desk

    def _await_price(self, desk: Desk, order: WorkingOrder) -> bool:
        """See `Venue`: that no quote came in time is known when the time is over."""
        desk.market_orders.append(order)
        limit_ns = self.rules.no_entry_across_ns
        if limit_ns is not None and not order.request.reduce_only:
            limit_ns = max(limit_ns, desk.series.timeframe_ns)
            self._guard_entry(desk, order, order.effective_ns + limit_ns + _LONGEST_CLOSURE_NS, limit_ns)
        return True

    # -- prices ------------------------------------------------------------------------------------

    def take_quote(self, desk: LiveDesk, bid: float, ask: float, quoted_ns: int, now_ns: int) -> None:
        """A quote comes: what waits for one fills at it, then what it reaches.

        Args:
            quoted_ns: when it stood; what was placed or changed later does not count.
            now_ns: when it is known.
        """
        self._begin_price(now_ns)
        if desk.pending:
            apply_changes(desk, quoted_ns - 1, Moment(now_ns))  # what came before it met the quote that stood then
        desk.stand_at(bid, ask, quoted_ns)
        self.ledger.valuation = None
        if desk.market_orders or desk.resting or desk.books or desk.pending:
            if desk.market_orders:
                fill_market_orders(self.ledger, desk, bid, ask, quoted_ns, now_ns)
            self._work_quote(desk, bid, ask, quoted_ns, Moment(now_ns, quoted_ns))
            desk.note_levels(quoted_ns)
        self._end_price(now_ns)

    def _work_quote(self, desk: LiveDesk, bid: float, ask: float, quoted_ns: int, when: Moment) -> None:
        """See `match_quote`; a stop or target that was moved after the quote stood waits for the next one."""
        ledger, rules = self.ledger, self.rules
        if desk.pending:
            apply_changes(desk, quoted_ns, when)
        for book in list(desk.books):
            if desk.stood_at(book.position_id, quoted_ns):
                exit_at_quote(ledger, desk, book, bid, ask, quoted_ns, when, rules)
        for order in list(desk.resting):
            if order.effective_ns <= quoted_ns and order.ending(quoted_ns) is None:
                quote = trigger_at_quote(desk, order, bid, ask, quoted_ns, rules)
                if quote is not None:
                    opened = self._fill_resting(desk, order, quote, when)
                    if opened is not None:
                        exit_at_quote(ledger, desk, opened, bid, ask, quoted_ns, when, rules)

    def close_bar(self, desk: LiveDesk, bar: BarRow, now_ns: int) -> None:
        """A base bar has closed: it becomes visible, and fills what it proves that no quote has seen."""
        series = desk.series
        series.append(*bar)
        desk.index = series.length - 1
        self._begin_price(now_ns)
        if desk.standing_now is not None and (desk.books or desk.resting):
            bid, ask, _ = desk.standing_now
            _, opened, high, low, _, _ = bar
            proof = _Proof(bid_low=low, bid_high=high - (ask - bid), ask_low=low + (ask - bid), ask_high=high,
                           opened=opened)  # fmt: skip
            self._work_bar(desk, proof, Moment(now_ns, bar[0]), series.close_of(desk.index))
            desk.note_levels(now_ns)
        desk.forget_levels(series.close_of(desk.index))
        self._end_price(now_ns)
        self._end_step(now_ns)

    def _work_bar(self, desk: LiveDesk, proof: _Proof, when: Moment, close_ns: int) -> None:
        for book in list(desk.books):
            self._leave_inside(desk, book, proof, when, close_ns)
        for order in list(desk.resting):
            if order.effective_ns <= when.from_ns and not order.state.is_final:
                quote = self._met_inside(desk, order, proof, when, close_ns)
                if quote is not None:
                    self._fill_resting(desk, order, quote, when)

    def _leave_inside(self, desk: LiveDesk, book: Book, proof: _Proof, when: Moment, close_ns: int) -> None:
        """Close a position whose stop or target lies inside a bar wherever it stood meanwhile; the stop comes first."""
        long = book.volume > 0
        levels = desk.stood_in(book.position_id, when.from_ns, close_ns)
        stop = _farthest([each.first for each in levels], lowest=long)
        target = _farthest([each.second for each in levels], lowest=not long)
        stopped = stop is not None and (proof.bid_low <= stop if long else proof.ask_high >= stop)
        reached = target is not None and self._passed(
            proof, target, above=long, identity=f"{book.position_id}-target", when=when
        )
        if stopped and stop is not None:
            quote = min(stop, proof.opened) if long else max(stop, proof.opened)
            other = target if reached else None
            self.ledger.exit_book(desk, book, book.stop_kind, quote, when, slips=True, other=other)
        elif reached and target is not None:
            self.ledger.exit_book(desk, book, "target", target, when, slips=False)

    def _met_inside(
        self, desk: LiveDesk, order: WorkingOrder, proof: _Proof, when: Moment, close_ns: int
    ) -> float | None:
        """The quote at which a resting order fills inside a bar, None when that is not proved."""
        buy, request = order.request.side is Side.BUY, order.request
        if request.type is OrderType.LIMIT or order.triggered:
            limit = request.limit if order.triggered else order.price
            met = limit is not None and self._passed(proof, limit, above=not buy, identity=order.order_id, when=when)
            return limit if met else None
        levels = desk.stood_in(order.order_id, when.from_ns, close_ns)
        level = _farthest([each.first for each in levels], lowest=not buy)
        if level is None or (proof.ask_high < level if buy else proof.bid_low > level):
            return None
        quote = max(level, proof.opened) if buy else min(level, proof.opened)
        if request.type is OrderType.STOP_LIMIT:
            order.triggered = True
            limit = request.limit
            return quote if limit is not None and (quote <= limit if buy else quote >= limit) else None
        return quote

    def _passed(self, proof: _Proof, limit: float, *, above: bool, identity: str, when: Moment) -> bool:
        """Whether a bar proves that a limit was reached by the quote that fills it, by the rule of touched limits."""
        found = proof.bid_high if above else proof.ask_low
        if found == limit:
            return self.rules.touched(identity, when.from_ns)
        return found > limit if above else found < limit

    def _fill_resting(self, desk: LiveDesk, order: WorkingOrder, quote: float, when: Moment) -> Book | None:
        order.place = desk.resting.index(order)
        del desk.resting[order.place]
        return self.ledger.fill_order(desk, order, quote, when, slips=order.request.type in STOPS)


class FullLiveVenue(LiveVenue, FullQuoteVenue):
    """A `LiveVenue` of an account with stop-outs, swaps, currencies or fees in coin."""

    def is_quiet(self, symbol: str, bid: float, ask: float) -> bool:
        """See `LiveVenue.is_quiet`; where marks close or convert something, or nights are paid, no price is quiet."""
        if self._stop_out is not None or self._swaps or self._foreign:
            return self.idle
        return super().is_quiet(symbol, bid, ask)


def live_venue_of(
    account: AccountConfig, instruments: Mapping[str, Instrument], base: Mapping[str, BarSeries], costs: Costs,
    rules: FillRules,
) -> LiveVenue:  # fmt: skip
    """The venue that an account needs; see `Venue` for the arguments."""
    if needs_full_venue(account, instruments, costs):
        return FullLiveVenue(account, instruments, base, costs, rules, {})
    return LiveVenue(account, instruments, base, costs, rules)


def _is_met(order: WorkingOrder, bid: float, ask: float) -> bool:
    """Whether a quote may fill, trigger or move a resting order."""
    buy, kind = order.request.side is Side.BUY, order.request.type
    quote = ask if buy else bid
    if kind is OrderType.LIMIT or order.triggered:
        limit = order.price if kind is OrderType.LIMIT else order.request.limit
        return limit is None or (quote <= limit if buy else quote >= limit)
    level = order.price
    return kind is OrderType.TRAILING_STOP or level is None or (quote >= level if buy else quote <= level)


def _farthest(levels: Sequence[float | None], *, lowest: bool) -> float | None:
    """Of the levels at which something stood, that which the price reaches last; None when it stood nowhere once."""
    found = [each for each in levels if each is not None]
    if not found or len(found) < len(levels):
        return None
    return min(found) if lowest else max(found)
