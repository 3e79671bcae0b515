"""The simulated venue without its shell: orders and bars over desks and ledger. Pure: no lock, clock or I/O.

Whoever calls holds what protects the account and says what time it is. Changes of orders are left in `ledger.events`,
where the shell takes them from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from src.brokers.simulated.arrivals import Arrival, price_at, would_take
from src.brokers.simulated.desk import Desk, DesksBySymbol, PendingProtection
from src.brokers.simulated.desks import desk_for
from src.brokers.simulated.groups import Links
from src.brokers.simulated.latency import Jitter, effective_latency
from src.brokers.simulated.ledger import AtOpen, Ledger, Moment
from src.brokers.simulated.matching import match_interior, match_market_orders, match_opens
from src.brokers.simulated.opposites import Opposites, opposite_refusal
from src.brokers.simulated.order_terms import takes_at_once
from src.brokers.simulated.refusals import (
    order_refusal,
    protection_refusal,
    refused,
    refused_while_closed,
    watched_price,
)
from src.brokers.simulated.rejects import Rejects
from src.brokers.simulated.rules import Costs, FillRules
from src.brokers.simulated.session_times import after_open_time, end_of_day
from src.brokers.simulated.triggers import follow_order
from src.brokers.simulated.volume import LimitedLedger
from src.brokers.simulated.working_order import FAR_NS, REJECTED_LATE, PendingChange, WorkingOrder, changed_request
from src.core.bars import BarSeries
from src.core.config import AccountConfig
from src.core.errors import InternalError
from src.core.instrument import Instrument
from src.core.records import (
    Order,
    OrderRequest,
    OrderResult,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
    make_order_result,
)

__all__ = ["Venue"]


class Venue:
    """Matching and money of one account on several symbols.

    Args:
        account: the account to keep.
        instruments: the rules of each symbol, in rank order.
        base: each symbol's base bars.
        costs: cost models, one set for all symbols.
        rules: fill assumptions.

    Attributes:
        desks: one per symbol, in rank order; `by_name` has them in the order of their names.
        awaited_open_ns: the earliest open that a market order waits for, None when none waits.
        next_ending_ns: the earliest instant at which an order ends by itself while no bar does it, None when none does.
        steps_ns: the steps besides the closes of bars, since `start_ns`.
    """

    #: Whether it matters which orders wait in the book and which take liquidity.
    tells_makers = False

    def __init__(
        self, account: AccountConfig, instruments: Mapping[str, Instrument], base: Mapping[str, BarSeries],
        costs: Costs, rules: FillRules,
    ) -> None:  # fmt: skip
        self.rules = rules
        self._costs = costs
        self.desks = [self._make_desk(instruments[s], base[s], rank) for rank, s in enumerate(instruments)]
        self.by_name = sorted(self.desks, key=lambda desk: desk.symbol)
        self.by_symbol = DesksBySymbol((desk.symbol, desk) for desk in self.desks)
        self.ledger = self._make_ledger(account)
        self.awaited_open_ns: int | None = None
        self.next_ending_ns: int | None = None
        self.latency_ns = {desk.symbol: effective_latency(costs.latency_ns, desk.series) for desk in self.desks}
        self.start_ns = 0
        self.steps_ns: list[int] = []
        self._opens: dict[str, int] = {}
        self._placed = 0
        jitter = costs.latency_jitter_ns
        self._jitter = Jitter(costs.latency_ns, jitter, rules.seed) if jitter else None
        self._rejects = Rejects(costs.reject_percent, rules.seed) if costs.reject_percent else None
        self._refuses_closed = account.outside_session == "refuse"
        self._links: Links | None = None
        self._opposites: Opposites | None = None

    def _make_desk(self, instrument: Instrument, series: BarSeries, rank: int) -> Desk:
        return desk_for(instrument, series, self._costs, rank)

    def _make_ledger(self, account: AccountConfig) -> Ledger:
        share = self._costs.volume_share
        if share is None:
            return Ledger(account, self.desks)
        return LimitedLedger(account, self.desks, share=share, wait=self._await_price)

    def add_desk(self, instrument: Instrument, series: BarSeries) -> None:
        """Trade one more symbol, after all others; the last visible bar of its series is the present."""
        desk = self._make_desk(instrument, series, len(self.desks))
        self.latency_ns[desk.symbol] = effective_latency(self._costs.latency_ns, series)
        self.ledger.add_desk(desk)
        self.desks.append(desk)
        self.by_name = sorted(self.desks, key=lambda each: each.symbol)
        self.by_symbol[desk.symbol] = desk

    # -- orders ------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, now_ns: int) -> tuple[OrderResult, WorkingOrder | None]:
        """Judge a request; the acknowledgement with the order that works now, or the refusal."""
        desk = self.by_symbol.get(request.symbol)
        if desk is None:
            return refused("unknown_symbol", f"{request.symbol} is not traded here"), None
        for order in desk.orders():
            if order.order_id == request.client_id:
                return refused("duplicate_id", f"an order {request.client_id} is working already"), None
        parent = _parent_in(desk, request) if request.parent else None
        if request.parent and parent is None:
            message = f"no working order {request.parent} to wait for: it was filled, ended or never placed"
            return refused("no_parent", message), None
        refusal = refused_while_closed(desk.instrument, now_ns) if self._refuses_closed else None
        latency = self._delay(desk, "place", request.client_id)
        if refusal is None:
            at = parent.price if parent is not None else None
            refusal = order_refusal(self.ledger, desk, request, at=at, under_way=latency)
        if refusal is None and request.close_by:
            refusal = opposite_refusal(desk, request, hedging=self.ledger.hedging)
            self._opposites = self._opposites or Opposites(self.ledger)
        if refusal is not None:
            return refusal, None
        order = WorkingOrder(request, now_ns, now_ns + latency)
        order.number = self._placed
        self._placed += 1
        if request.time_in_force is TimeInForce.DAY:
            order.expires_ns = end_of_day(desk.instrument.calendar, order.effective_ns, order.expires_ns)
        if parent is not None:
            order.effective_ns = FAR_NS
        if takes_at_once(request) and parent is None:
            if not self._await_price(desk, order):
                return refused("no_data", f"{desk.symbol} has no bar to come on which the order could fill"), None
        else:
            if request.type is OrderType.TRAILING_STOP and order.effective_ns == now_ns:
                # It follows from the price of now on; one that arrives later, from the first price that it meets.
                buy = request.side is Side.BUY
                quote = desk.quotes.ask(desk.mark) if buy else desk.quotes.bid(desk.mark)
                follow_order(desk, order, watched_price(desk, request.trigger_by, quote))
            desk.resting.append(order)
            if latency and parent is None:
                self._await_arrival(desk, order)
            desk.review()
        if order.expires_ns is not None:
            self._await_ending(desk, order, max(order.expires_ns, now_ns))
        if parent is None and self._rejects is not None and self._rejects.hits(desk.symbol, order.order_id):
            self._reject_later(order, now_ns + latency)
        if request.group or request.parent:
            if self._links is None:
                self._links = Links(self.ledger, self._drop, self._wake)
            self._links.join(desk, order)
        return make_order_result(accepted=True, order_id=order.order_id), order

    def cancel(self, order_id: str, now_ns: int) -> OrderResult:
        """End a working order now, or after the latency; until the request arrives it may still fill.

        On a bar that is under way it may fill as well, whose close ends it: its prices may come from before now.
        """
        desk, order = self._find(order_id)
        if desk is None or order is None:
            return refused("not_working", f"no working order {order_id}: it was filled, ended or never placed")
        latency = self._delay(desk, "cancel", order_id)
        if latency or (desk.is_tested(order, now_ns) and desk.ends_within_bar(now_ns)):
            if order.cancel_ns is None:
                order.cancel_ns = now_ns + latency
                self._await_ending(desk, order, order.cancel_ns)
        else:
            self._drop(desk, order, now_ns)
            self.ledger.finish(desk, order, OrderState.CANCELLED, Moment(now_ns), "cancelled", "as asked")
        return make_order_result(accepted=True, order_id=order_id)

    def modify(
        self, order_id: str, price: float | None, limit: float | None, volume: float | None, now_ns: int
    ) -> tuple[OrderResult, Order | WorkingOrder | None]:
        """Change a resting order in its place in the queue, judged as the new order that it becomes.

        With latency the order works as it was until the change arrives, and may fill before.
        """
        desk, order = self._find(order_id)
        if desk is None or order is None or takes_at_once(order.request):
            message = f"no resting order {order_id}: it was filled, ended or never placed"
            return refused("not_working", message), None
        refusal = refused_while_closed(desk.instrument, now_ns) if self._refuses_closed else None
        if refusal is None:
            refusal = self._change_refusal(desk, order, price, limit, volume)
        if refusal is not None:
            return refusal, None
        request = changed_request(order, price, limit, volume)
        latency = self._delay(desk, "modify", order_id)
        # On a bar that is under way the order works as it was: its prices may come from before the change.
        if latency or desk.is_tested(order, now_ns):
            if order.ending(now_ns + latency) is None:  # else it finds an order whose end is known by then
                judge = partial(self._arrive, desk, order)
                desk.pending.append(PendingChange(order, price, limit, volume, now_ns + latency, judge))
            under_way = replace(order.snapshot(), request=request, updated_ns=now_ns)
            return make_order_result(accepted=True, order_id=order_id), under_way
        order.change(request, now_ns)
        order.updated_ns = now_ns
        return make_order_result(accepted=True, order_id=order_id), order

    def _change_refusal(
        self, desk: Desk, order: WorkingOrder, price: float | None, limit: float | None, volume: float | None
    ) -> OrderResult | None:
        """Judge a change as a new order that takes the place of the old one, whose reserved margin is free again."""
        filled = order.filled_volume
        if volume is not None and filled and not volume > filled:
            return refused("filled_part", f"{filled:g} of {order.order_id} are filled, {volume:g} is too late")
        if order.triggered and price is not None and limit is not None:
            message = f"the trigger of {order.order_id} was reached: it has a limit and no other price any more"
            return refused("unused_price", message)
        request = changed_request(order, price, limit, volume)
        if filled and request.reduce_only:
            request, filled = replace(request, volume=desk.instrument.round_volume(request.volume - filled)), 0.0
        parent = _parent_in(desk, request) if request.parent else None
        place = desk.resting.index(order)
        del desk.resting[place]
        at = None if parent is None else parent.price
        late = self._delay(desk, "modify", order.order_id)
        refusal = order_refusal(self.ledger, desk, request, at=at, filled=filled, under_way=late)
        desk.resting.insert(place, order)
        return refusal

    def protect(
        self, position_id: str, stop: float | None, target: float | None, kind: str, now_ns: int
    ) -> tuple[OrderResult, Desk | None]:
        """Move the stop or target of an open position; the acknowledgement with its desk, or the refusal."""
        for desk in self.desks:
            for book in desk.books:
                if book.position_id != position_id:
                    continue
                refusal = protection_refusal(desk, book, stop, target)
                if refusal is not None:
                    return refusal, None
                latency = self._delay(desk, "protect", position_id)
                # A bar that is under way has prices from before now; the change counts from the next one on.
                if latency or desk.inside_bar(now_ns):
                    change = PendingProtection(book, position_id, now_ns + latency, stop, target, kind)
                    desk.pending.append(change)
                else:
                    book.protect(stop=stop, target=target, kind=kind)
                desk.review()
                return make_order_result(accepted=True, order_id=position_id), desk
        return refused("no_position", f"no open position {position_id}"), None

    # -- time --------------------------------------------------------------------------------------

    def rewind(self, instant_ns: int) -> None:
        """Make the last visible bar of each symbol the present."""
        self.start_ns = instant_ns
        self.ledger.balances[0] = (instant_ns, self.ledger.balance)
        for desk in self.desks:
            desk.rewind()
        self.ledger.valuation = None

    def open_market(self, instant_ns: int) -> None:
        """Fill the market orders of all symbols whose awaited bar opens now."""
        for desk in self.desks:
            if self._opens.get(desk.symbol) == instant_ns:
                waiting = len(desk.market_orders)
                match_market_orders(self.ledger, desk, desk.first_from(instant_ns), instant_ns)
                self._reopen(desk, instant_ns)
                if len(desk.market_orders) == waiting and self._opens.get(desk.symbol) == instant_ns:
                    raise InternalError(f"the open of {desk.symbol} at {instant_ns} fills nothing and is awaited again")
        self.steps_ns.append(instant_ns)

    def end_orders(self, instant_ns: int) -> None:
        """End the orders whose time is over at an instant at which no bar of their symbol ends them."""
        for desk in self.desks:
            for order in desk.orders():
                ending = order.ending(instant_ns)
                if order.ends_ns is not None and order.ends_ns <= instant_ns and ending is not None:
                    self._drop(desk, order, instant_ns)
                    self.ledger.finish(desk, order, ending[0], Moment(instant_ns), ending[1], ending[2])
        self.steps_ns.append(instant_ns)

    def review_endings(self) -> None:
        """Find the earliest ending again; after orders were filled or ended."""
        if self.next_ending_ns is not None:
            ends = [order.ends_ns for desk in self.desks for order in desk.orders() if order.ends_ns is not None]
            self.next_ending_ns = min(ends, default=None)

    def advance(self, instant_ns: int, closed: Sequence[int]) -> None:
        """End the bars of the desks with these ranks: opens of all first, then the inside of each, then marking.

        The bars become visible.
        """
        desks, ledger = self.desks, self.ledger
        ledger.valuation = None
        if not closed:  # only bars of higher timeframes close now
            self.steps_ns.append(instant_ns)
        touched: list[Desk] | None = None
        for rank in closed:
            desk = desks[rank]
            series = desk.series
            i = series.length
            series.length = i + 1
            desk.index = i
            desk.mark = desk.close_at[i]
            # The two comparisons keep nearly all bars away from the exact question.
            if desk.guarded and (desk.low_at[i] <= desk.floor or desk.high_at[i] >= desk.ceiling) and desk.touched(i):
                if touched is None:
                    touched = []
                touched.append(desk)
        if touched is not None:
            self._match([desks[rank] for rank in closed], touched, instant_ns)

    def end_of_data(self, desk: Desk, instant_ns: int) -> None:
        """End the orders of a symbol without further bars; close its positions at the last price, or keep them."""
        when = Moment(instant_ns)
        desk.ended = True
        for order in desk.orders():
            if order.state.is_final:  # with another one of its group
                continue
            self._drop(desk, order, instant_ns)
            self.ledger.finish(desk, order, OrderState.CANCELLED, when, "end_of_data", "the symbol's data ended")
        if self.rules.at_end == "close":
            for book in list(desk.books):
                quote = desk.quotes.bid(desk.mark) if book.volume > 0 else desk.quotes.ask(desk.mark)
                self.ledger.exit_book(desk, book, "end_of_data", quote, when, slips=True)
        self.steps_ns.append(instant_ns)

    def _match(self, closed: list[Desk], touched: list[Desk], instant_ns: int) -> None:
        for desk in closed:
            desk.mark = desk.series.open_at[desk.index]
        self.ledger.valuation = None
        for desk in touched:
            match_opens(self.ledger, desk, desk.index, instant_ns, self.rules)
        for desk in touched:
            match_interior(self.ledger, desk, desk.index, instant_ns, self.rules)
        for desk in closed:
            desk.mark = desk.series.close_at[desk.index]
        self.ledger.valuation = None
        for desk in touched:
            desk.review()

    # -- market orders -----------------------------------------------------------------------------

    def _find(self, order_id: str) -> tuple[Desk | None, WorkingOrder | None]:
        for desk in self.desks:
            for order in desk.orders():
                if order.order_id == order_id:
                    return desk, order
        return None, None

    def _drop(self, desk: Desk, order: WorkingOrder, now_ns: int) -> None:
        if order in desk.resting:
            desk.resting.remove(order)
            desk.review()
        else:
            desk.market_orders.remove(order)
            self._reopen(desk, now_ns)

    def _delay(self, desk: Desk, what: str, identity: str) -> int:
        """How long one request is under way."""
        if self._jitter is None:
            return self.latency_ns[desk.symbol]
        return effective_latency(self._jitter.of(desk.symbol, what, identity), desk.series)

    def _reject_later(self, order: WorkingOrder, instant_ns: int) -> None:
        """Let an order end in a step of its own, whatever the bars do."""
        order.reject_ns = instant_ns
        order.ends_ns = instant_ns if order.ends_ns is None else min(order.ends_ns, instant_ns)
        if self.next_ending_ns is None or instant_ns < self.next_ending_ns:
            self.next_ending_ns = instant_ns

    def _await_price(self, desk: Desk, order: WorkingOrder) -> bool:
        """Let an order wait for the next open; False when none is to come."""
        opens = desk.next_open_ns(order.effective_ns)
        if opens is None:
            return False
        desk.market_orders.append(order)
        self._await_open(desk, opens)
        limit_ns = self.rules.no_entry_across_ns
        if limit_ns is not None and opens - order.effective_ns > limit_ns and not order.request.reduce_only:
            self._guard_entry(desk, order, opens, max(limit_ns, desk.series.timeframe_ns))
        return True

    def _wake(self, desk: Desk, order: WorkingOrder, when: Moment) -> None:
        """Let an order work whose parent has filled, from its own arrival on; or reject it when it would count.

        What only reduces is for the position that its parent has made or enlarged, and for no later one.
        """
        request = order.request
        begins_ns = when.from_ns if isinstance(when, AtOpen) else when.filled_ns
        if takes_at_once(request):
            # At a bar's close the next bar may open at once; the price that has just filled the parent is gone.
            begins_ns = when.filled_ns + (when.from_ns == when.filled_ns)
        begins_ns = max(begins_ns, order.arrives_ns)
        if self._rejects is not None and self._rejects.hits(desk.symbol, order.order_id):
            if begins_ns <= when.filled_ns + 1:
                self._drop(desk, order, when.filled_ns)
                self.ledger.finish(desk, order, OrderState.REJECTED, when, "rejected", REJECTED_LATE)
                order.give_up()
                return
            self._reject_later(order, begins_ns)
        if request.reduce_only and request.position_id is None:
            position_id = request.parent
            if not self.ledger.hedging:
                position_id = next((b.position_id for b in desk.books if b.book == request.book), position_id)
            request = order.request = replace(request, position_id=position_id)
        order.effective_ns = begins_ns
        if not takes_at_once(request):
            if begins_ns > when.filled_ns:
                self._await_arrival(desk, order)
            elif when.filled_ns == when.from_ns:
                self._judge(desk, order, desk.mark, when)
            else:  # inside a bar the price of now is its close
                self._judge(desk, order, price_at(desk, begins_ns), when)
        else:
            desk.resting.remove(order)
            if self._await_price(desk, order):
                waiting = desk.market_orders  # the oldest first, however long one of them has slept
                place = next(k for k, each in enumerate(waiting) if each.number >= order.number)
                waiting.insert(place, waiting.pop())
            else:
                message = f"{desk.symbol} has no bar to come on which the order could fill"
                self.ledger.finish(desk, order, OrderState.CANCELLED, when, "no_data", message)
                order.give_up()
        desk.review()

    def _await_arrival(self, desk: Desk, order: WorkingOrder) -> None:
        """Have an order judged when it reaches the venue, where anything depends on that."""
        if order.request.type is OrderType.LIMIT and (order.request.post_only or self.tells_makers):
            desk.pending.append(Arrival(order, partial(self._arrive, desk, order)))

    def _arrive(self, desk: Desk, order: WorkingOrder, arrived_ns: int, when: Moment) -> None:
        """An order or its change has reached the venue; one that is still under way or asleep is judged later."""
        if not order.state.is_final and order.effective_ns <= arrived_ns:
            self._judge(desk, order, price_at(desk, arrived_ns), when)

    def _judge(self, desk: Desk, order: WorkingOrder, price: float, when: Moment) -> None:
        """Judge an order that begins to work at a price: a post-only one that would take liquidity ends there."""
        if order.request.post_only and would_take(desk, order, price):
            message = f"a limit at {order.price:g} would have taken liquidity when it arrived, at a price of {price:g}"
            self._drop(desk, order, when.filled_ns)
            self.ledger.finish(desk, order, OrderState.REJECTED, when, "post_only", message)
            order.give_up()

    def _reopen(self, desk: Desk, now_ns: int) -> None:
        """Find the open that the desk's remaining market orders wait for."""
        self._opens.pop(desk.symbol, None)
        self.awaited_open_ns = min(self._opens.values(), default=None)
        for order in desk.market_orders:
            opens = desk.next_open_ns(max(order.effective_ns, now_ns))
            if opens is not None:
                self._await_open(desk, opens)
        desk.review()

    def _await_ending(self, desk: Desk, order: WorkingOrder, instant_ns: int) -> None:
        # A resting order may still fill on the bar inside which its time ends; that bar's close is what ends it.
        if takes_at_once(order.request) or not desk.ends_within_bar(instant_ns):
            order.ends_ns = instant_ns if order.ends_ns is None else min(instant_ns, order.ends_ns)
            if self.next_ending_ns is None or order.ends_ns < self.next_ending_ns:
                self.next_ending_ns = order.ends_ns

    def _guard_entry(self, desk: Desk, order: WorkingOrder, opens_ns: int, limit_ns: int) -> None:
        """Let an order open nothing when its bar comes too late; what it closes is closed at whatever price comes.

        That no bar comes is known to nobody before the time is over, so the order ends then and is not refused now.
        """
        hole_ns = after_open_time(desk.instrument.calendar, order.effective_ns, limit_ns, opens_ns)
        if hole_ns is None:
            return
        order.hole_ns = hole_ns
        order.only_closes = not self.ledger.hedging and desk.held_by(order.request.book) * order.request.side.sign < 0
        if not order.only_closes:
            self._await_ending(desk, order, hole_ns)

    def _await_open(self, desk: Desk, opens_ns: int) -> None:
        self._opens[desk.symbol] = min(opens_ns, self._opens.get(desk.symbol, opens_ns))
        self.awaited_open_ns = min(self._opens.values())


def _parent_in(desk: Desk, request: OrderRequest) -> WorkingOrder | None:
    return next((order for order in desk.orders() if order.order_id == request.parent), None)
