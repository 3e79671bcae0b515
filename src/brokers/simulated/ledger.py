"""The ledger of the simulated account: executions, books, balance, equity, margin. Pure: no lock, clock or I/O.

Totals are summed in symbol-name order from each symbol's own sums, never accumulated in order of arrival, so they do
not depend on which symbol was worked first. Money is float64; `check` holds the invariant that balance is the start
plus everything realised (see docs/adr/0003-money.md).
"""

from collections.abc import Sequence

from src.brokers.simulated.desk import Desk, WorkingOrder
from src.brokers.simulated.margin import Margin
from src.brokers.simulated.moment import AtOpen, Moment
from src.brokers.simulated.slippage import least_price
from src.brokers.simulated.trailing import trail_of_position
from src.core.book import Book
from src.core.config import AccountConfig
from src.core.errors import InternalError
from src.core.records import (
    Fill,
    Order,
    OrderEvent,
    OrderRequest,
    OrderState,
    OrderType,
    Side,
    Trade,
    make_fill,
    make_order,
    make_order_event,
    make_order_request,
)

__all__ = ["AtOpen", "Ledger", "Moment", "protection_of"]

#: The orders with which a venue closes a position by itself; stops of all kinds where nothing is named.
_EXIT_TYPES = {"target": OrderType.LIMIT, "end_of_data": OrderType.MARKET, "stop_out": OrderType.MARKET}

#: Why an order that has waited too long for a bar ends with what it closed.
HOLE = "no price came for so long that it only closed what was held, and opened nothing"


class Ledger:
    """Books, money and finished orders of one account.

    Args:
        account: type, currency, start balance, leverage, netting or hedging.
        desks: one per symbol.

    Attributes:
        valuation: what `valued` has worked out; whoever changes a mark or a holding sets it to None.
        balances: the balance from an instant on, in time order.
        events: what happened since the shell last took it, in order; the shell journals and delivers it.
    """

    def __init__(self, account: AccountConfig, desks: Sequence[Desk]) -> None:
        self.account = account
        self.hedging = account.positions == "hedging"
        self.spot = account.type == "spot"
        self.margin = Margin(account.leverage)
        self._by_name = sorted(desks, key=lambda desk: desk.symbol)
        self._holding: list[Desk] | None = []
        self.balance = account.balance
        self.balances: list[tuple[int, float]] = [(0, account.balance)]
        self.valuation: tuple[float, float] | None = None
        self._paid = 0.0
        self._moved = 0.0
        self.events: list[tuple[Desk, OrderEvent]] = []
        #: The quote of the other outcome of whatever reduces a position now and does not say so itself.
        self.doubt: float | None = None
        self.fills: list[Fill] = []
        self.trades: list[Trade] = []

    def add_desk(self, desk: Desk) -> None:
        """Count one more desk; it has no history."""
        self._by_name = sorted([*self._by_name, desk], key=lambda each: each.symbol)

    # -- money -------------------------------------------------------------------------------------

    def equity(self) -> float:
        """Balance plus open profit, each position at the price that would close it now."""
        return self.valued()[0]

    def margin_used(self) -> float:
        """Margin of the open positions at the last prices; a hedging account pays for both sides."""
        return self.valued()[1]

    def valued(self) -> tuple[float, float]:
        """Equity and margin used; worked out once until a mark or a holding changes."""
        if self.valuation is None:
            equity, margin = self.balance, 0.0
            leverage = self.margin.leverage  # the margin model's own formula, without a call for each book
            if self._holding is None:
                self._holding = [desk for desk in self._by_name if desk.books]
            for desk in self._holding:
                quotes, mark = desk.quotes, desk.mark
                for book in desk.books:
                    volume = book.volume
                    if volume > 0:
                        equity += volume * (mark * quotes.bid_factor - quotes.bid_offset - book.entry_price)
                        margin += volume * mark / leverage
                    else:
                        equity += volume * (mark * quotes.ask_factor + quotes.ask_offset - book.entry_price)
                        margin -= volume * mark / leverage
            self.valuation = equity, margin
        return self.valuation

    def free(self) -> float:
        """Equity that no open position ties up."""
        equity, margin = self.valued()
        return equity - margin

    def margin_reserved(self) -> float:
        """Margin that working entry orders would take at their price, or at the last price."""
        total = 0.0
        for desk in self._by_name:
            if desk.market_orders or desk.resting:
                for order in desk.orders():
                    if not order.request.reduce_only:
                        increase = self.increase(desk, order.request, order.volume - order.filled_volume)
                        total += self.margin.of(increase, order.price or desk.mark)
        return total

    def increase(self, desk: Desk, request: OrderRequest, volume: float) -> float:
        """By how much a fill of `volume` would enlarge the exposure of the request's book."""
        if self.hedging:
            return volume
        held = desk.held_by(request.book)
        if held * request.side.sign >= 0:
            return volume
        # Without `reverse` a volume first closes, and only what goes beyond twice the holding enlarges the exposure.
        return desk.excess(volume, abs(held) if request.reverse else 2 * abs(held))

    def unit_cost(self, desk: Desk, price: float) -> float:
        """Commission and slippage that one unit is expected to cost, in the account's currency."""
        return desk.costs.commission.of(1.0, price) + desk.costs.slippage.of(price)

    def unit_margin(self, desk: Desk, price: float) -> float:
        """Margin of one unit, and the spread that its fill costs the equity at once."""
        return self.margin.of(1.0, price) + 2 * desk.quotes.half(price, ask=True)

    def check(self) -> None:
        """Hold the account's invariant: the balance is the start plus every payment, added up in order of arrival.

        The two sums are made differently, so they agree but for rounding, and disagree when money got lost.

        Raises:
            InternalError: money appeared or vanished.
        """
        difference = abs(self.balance - self.account.balance - self._paid)
        tolerance = 1e-9 * (abs(self.balance) + self._moved)
        if not difference <= tolerance:  # written so that a balance which is no number is caught too
            raise InternalError(f"balance {self.balance!r} is off by {difference!r}", balance=self.balance)

    # -- executions --------------------------------------------------------------------------------

    def fill_order(
        self, desk: Desk, order: WorkingOrder, quote: float, when: Moment, *, slips: bool, volume: float | None = None
    ) -> Book | None:
        """Execute an order at a quote: first what it closes, then what it opens.

        The opening part is tested once more and rejected when too little margin is free, or when it would sell short on
        a spot account; what was closed stays closed.

        Args:
            volume: how much of it, closing and opening together, and the order goes on; all that is left by default.

        Returns:
            The book that the order opened or enlarged.
        """
        request = order.request
        book = desk.book_for(request, hedging=self.hedging)
        whole = volume is None
        if volume is None:
            volume = order.volume
            if order.filled_volume:
                volume = desk.instrument.round_volume(volume - order.filled_volume)
        if order.filled_volume and self.hedging:
            book = next((each for each in desk.books if each.position_id == request.client_id), book)
        reverse = request.reverse and whole
        opposite = abs(book.volume) if book.volume * request.side.sign < 0 else 0.0
        beyond = desk.excess(volume, opposite)  # 0.8 against a holding of 0.1 + 0.7 closes it and opens nothing
        closing = opposite if reverse or beyond else min(volume, opposite)
        opening = 0.0 if request.reduce_only else volume if reverse else beyond
        price = self.price_of(desk, request.side, quote, closing + opening, slips=slips)
        if closing == 0.0 and opening == 0.0:
            self.finish(desk, order, OrderState.CANCELLED, when, "nothing_to_reduce", "the position was closed before")
            return None
        # After a hole nothing is opened: what the order wanted beyond what it closes ends there.
        cut = order.only_closes and whole and (request.reverse or desk.excess(volume, closing) > 0)
        if closing:
            final = whole and opening == 0.0 and not cut
            if not request.reverse or final:
                self._count(order, closing, price, when, final=final)
            kind = "reverse" if opening or reverse is not request.reverse else request.exit_kind
            self._reduce(desk, book, order.snapshot(), closing, price, quote, when, kind=kind)
        if cut:
            self.finish(desk, order, OrderState.CANCELLED, when, "hole", HOLE)
        if not opening:
            return None
        if self.hedging and closing:
            book = Book(request.book, desk.symbol)
        if self.spot and request.side is Side.SELL:
            message = f"a spot account can sell only what it holds of {desk.symbol}"
            self.finish(desk, order, OrderState.REJECTED, when, "short_on_spot", message)
            return None
        refusal = self._opening_refusal(desk, order, opening, price, quote, when)
        if refusal is not None:
            self.finish(desk, order, OrderState.REJECTED, when, *refusal)
            return None
        self._count(order, opening, price, when, final=whole)
        self._open(desk, book, order, opening, price, quote, when, number=2 if closing else 1)
        return book

    def exit_book(
        self, desk: Desk, book: Book, kind: str, quote: float, when: Moment, *, slips: bool,
        other: float | None = None, volume: float | None = None, part: int = 1,
    ) -> None:  # fmt: skip
        """Close a book for a reason of the venue: its stop or target was reached, or its data ended.

        Args:
            other: the quote of the outcome that the bar would have allowed as well.
            volume: a part of it; the whole by default.
            part: which of several such orders of the position it is.
        """
        side = Side.SELL if book.volume > 0 else Side.BUY
        volume = abs(book.volume) if volume is None else volume
        price = self.price_of(desk, side, quote, volume, slips=slips)
        order_type = _EXIT_TYPES.get(kind, OrderType.STOP)
        identity = f"{book.position_id}-{kind}"
        request = make_order_request(
            client_id=identity if part == 1 else f"{identity}-{part}", book=book.book, symbol=desk.symbol, side=side,
            type=order_type, volume=volume, price=None if order_type is OrderType.MARKET else quote, reduce_only=True,
            position_id=book.position_id, reason=kind,
        )  # fmt: skip
        order = make_order(
            order_id=request.client_id, request=request, state=OrderState.FILLED, placed_ns=book.opened_ns,
            effective_ns=book.opened_ns, updated_ns=when.filled_ns, filled_volume=volume, average_price=price,
        )  # fmt: skip
        self._reduce(desk, book, order, volume, price, quote, when, kind=kind, other=other)

    def finish(self, desk: Desk, order: WorkingOrder, state: OrderState, when: Moment, code: str, message: str) -> None:
        """End an order without a further fill."""
        order.become(state)
        order.code, order.message, order.updated_ns = code, message, when.filled_ns
        self.events.append((desk, make_order_event(order=order.snapshot())))

    def need(self, desk: Desk, side: Side, volume: float, price: float, quote: float, order_id: str = "") -> float:
        """By how much a fill at `price`, made at `quote`, lowers the free margin.

        The margin of what it opens, its commission, and what spread and slippage cost as soon as the position is marked
        at the price that would close it. What its order has paid before counts where commission is by order.
        """
        buy, quotes = side is Side.BUY, desk.quotes
        shown = quotes.shown(quote, ask=buy)
        lost = abs(price - (quotes.bid(shown) if buy else quotes.ask(shown)))
        margin = self.margin.of(volume, max(price, shown))
        return margin + desk.costs.commission.of(volume, price) + lost * volume

    def fee_refusal(self, desk: Desk, volume: float, price: float, order_id: str = "") -> str | None:
        """Why a purchase would be nothing but its fee, where that is taken in coin; a sentence."""
        return None

    def need_of_order(
        self, desk: Desk, side: Side, volume: float, price: float, order_id: str = "", book: str = ""
    ) -> float:  # fmt: skip
        """What an order of a book needs that enlarges its position by `volume`.

        Args:
            order_id: names one that has filled in part.
        """
        return self.need(desk, side, volume, price, price)

    def _opening_refusal(
        self, desk: Desk, order: WorkingOrder, volume: float, price: float, quote: float, when: Moment
    ) -> tuple[str, str] | None:  # fmt: skip
        """Why a fill must not open or enlarge anything now, as a code and a sentence."""
        if self.need(desk, order.request.side, volume, price, quote, order.order_id) <= self.free():
            return None
        return "margin", f"opening {volume:g} {desk.symbol} at {price:g} needs more margin than is free"

    def _count(self, order: WorkingOrder, volume: float, price: float, when: Moment, *, final: bool) -> None:
        filled, average = order.filled_volume, order.average_price
        order.filled_volume += volume
        if average is None or average == price:
            order.average_price = price
        else:
            order.average_price = (average * filled + price * volume) / order.filled_volume
        order.updated_ns = when.filled_ns
        order.become(OrderState.FILLED if final else OrderState.PARTLY_FILLED)

    def price_of(self, desk: Desk, side: Side, quote: float, volume: float, *, slips: bool) -> float:
        """The price of an execution at a quote, slippage included where it slips."""
        if not slips:
            return quote
        slippage = desk.costs.slippage
        away = slippage.of(quote)
        if slippage.volume_share:
            index = desk.index  # at an open that is waited for the bar before it, whose volume is known
            away += slippage.impact(quote, volume, desk.series.volume_at[index] if index >= 0 else 0.0)
        price = quote + side.sign * away
        return price if price > 0 else least_price(quote, desk.instrument.tick)

    def _open(
        self, desk: Desk, book: Book, order: WorkingOrder, volume: float, price: float, quote: float, when: Moment, *,
        number: int,
    ) -> None:  # fmt: skip
        request = order.request
        position_id = book.position_id if book.volume else request.client_id
        fill = self._fill(
            desk, order.order_id, position_id, request, volume, price, quote, when, kind="entry", number=number
        )
        stop, target = protection_of(desk, request, price)
        was_flat = book.volume == 0.0
        book.open(fill, stop=stop, target=target, stop_cost=request.stop_cost)
        if request.stop_trail_distance is not None or request.stop_trail_percent is not None:
            book.trail = trail_of_position(request)
        if was_flat:
            desk.books.append(book)
            self._holding = None
        self._pay(desk, -fill.commission, fill.filled_ns)
        self.events.append((desk, make_order_event(order=order.snapshot(), fill=fill)))

    def _reduce(
        self, desk: Desk, book: Book, order: Order, volume: float, price: float, quote: float, when: Moment, *,
        kind: str, other: float | None = None,
    ) -> None:  # fmt: skip
        fill = self._fill(
            desk, order.order_id, book.position_id, order.request, volume, price, quote, when, kind=kind,
            other=self.doubt if other is None else other,
        )  # fmt: skip
        profit, trade = book.reduce(fill)
        if book.volume == 0.0:
            desk.books.remove(book)
            self._holding = None
        if trade is not None:
            self.trades.append(trade)
        self._pay(desk, profit - fill.commission, fill.filled_ns)
        self.events.append((desk, make_order_event(order=order, fill=fill, trade=trade)))

    def _fill(
        self, desk: Desk, order_id: str, position_id: str, request: OrderRequest, volume: float, price: float,
        quote: float, when: Moment, *, kind: str, other: float | None = None, number: int = 1,
    ) -> Fill:  # fmt: skip
        # An order closes with its first execution and opens with its second one, so the number needs no memory.
        costs = desk.costs
        fill = make_fill(
            fill_id=f"{order_id}-{number}", order_id=order_id, position_id=position_id, book=request.book,
            symbol=desk.symbol, side=request.side, volume=volume, price=price, filled_ns=when.filled_ns,
            filled_from_ns=when.from_ns, commission=costs.commission.of(volume, price),
            spread_cost=desk.quotes.half(quote, ask=request.side is Side.BUY) * volume,
            slippage_cost=abs(price - quote) * volume, kind=kind,
            reason=request.reason, ambiguous=other is not None, other_price=other,
        )  # fmt: skip
        self.fills.append(fill)
        return fill

    def _pay(self, desk: Desk, amount: float, instant_ns: int) -> None:
        desk.realised += amount
        self._paid += amount
        self._moved += abs(amount)
        total = self.account.balance
        for each in self._by_name:
            total += each.realised
        self.balance = total
        self.valuation = None
        self.balances.append((instant_ns, total))
        desk.history.append((instant_ns, tuple([(book.volume, book.entry_price) for book in desk.books])))


def protection_of(desk: Desk, request: OrderRequest, price: float) -> tuple[float | None, float | None]:
    """Stop and target of an entry, distances and multiples resolved against the fill's price."""
    sign, round_price = request.side.sign, desk.instrument.round_price
    stop, target = request.stop, request.target
    if stop is None:
        if request.stop_distance is not None:
            stop = round_price(price - sign * request.stop_distance)
        elif (trail := trail_of_position(request)) is not None:
            stop = trail.level(price, sign, desk.instrument)
    if target is None and request.target_distance is not None:
        target = round_price(price + sign * request.target_distance)
    if target is None and request.target_r is not None and stop is not None:
        target = round_price(price + sign * request.target_r * abs(price - stop))
    return stop, target
