"""What a bar does to one desk: which stops, targets and resting orders fill, where, and what stays open to doubt. Pure.

Rules: nothing fills on a bar that opened before it was effective; a gap fills stops and limits at the open; inside a
bar the stop comes before the target, the entry bar included, unless the configured assumption says otherwise; a limit
fills at its price, a stop at its trigger plus slippage. Where the bar would have allowed the other exit as well, the
fill is marked ambiguous. Several levels in reach are worked in the order in which the price must meet them, see
`levels`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from src.brokers.simulated.desk import Desk, WorkingOrder
from src.brokers.simulated.exits import exit_at_quote, exit_inside, exit_on_entry_bar
from src.brokers.simulated.ledger import AtOpen, Ledger, Moment
from src.brokers.simulated.levels import book_in_reach, can_be_walked, gather, order_in_reach, walk_together
from src.brokers.simulated.rules import FillRules
from src.brokers.simulated.spread import SidePrices
from src.brokers.simulated.triggers import trigger_at_quote, trigger_inside
from src.core.book import Book
from src.core.records import OrderState, OrderType, Side, TriggerBy

__all__ = [
    "apply_changes",
    "fill_market_orders",
    "match_interior",
    "match_market_orders",
    "match_opens",
    "match_quote",
]

#: Orders that take what the market gives, and so slip.
STOPS = (OrderType.STOP, OrderType.TRAILING_STOP)


def match_market_orders(ledger: Ledger, desk: Desk, i: int, now_ns: int) -> None:
    """Fill the market orders that count at the open of bar `i`, oldest first. Of that bar only the open is known."""
    desk.open_bar(i, now_ns)
    ledger.valuation = None
    fill_market_orders(ledger, desk, desk.bids.open(i), desk.asks.open(i), desk.series.open_ns_at[i], now_ns)


def fill_market_orders(ledger: Ledger, desk: Desk, bid: float, ask: float, quoted_ns: int, now_ns: int) -> None:
    """Fill the market orders that count at a quote, oldest first.

    Args:
        quoted_ns: the open of the bar, or the instant of the quote; what becomes effective later waits for another one.
    """
    for order in list(desk.market_orders):
        if order.effective_ns <= quoted_ns:
            desk.market_orders.remove(order)
            ending = order.ending(now_ns)
            if ending is not None:
                ledger.finish(desk, order, ending[0], Moment(now_ns), ending[1], ending[2])
                continue
            if order.only_closes:
                order.request = replace(order.request, reduce_only=True)
            quote = ask if order.request.side is Side.BUY else bid
            limit = order.price  # of an order that takes what the first price gives
            if limit is not None and order.request.side.sign * (quote - limit) > 0:
                message = f"the first price, {quote:g}, was worse than its limit {limit:g}"
                ledger.finish(desk, order, OrderState.CANCELLED, Moment(now_ns), order.request.time_in_force, message)
                continue
            ledger.fill_order(desk, order, quote, Moment(now_ns), slips=limit is None)


def match_opens(ledger: Ledger, desk: Desk, i: int, now_ns: int, rules: FillRules) -> None:
    """Work the open of bar `i`: changed protection, gaps through stops and targets, gaps through resting orders."""
    open_ns = desk.series.open_ns_at[i]
    match_quote(ledger, desk, desk.bids.open(i), desk.asks.open(i), open_ns, AtOpen(now_ns, open_ns), rules, i)


def match_quote(
    ledger: Ledger, desk: Desk, bid: float, ask: float, instant_ns: int, when: Moment, rules: FillRules,
    bar: int = -1,
) -> None:  # fmt: skip
    """Work one quote, the open of a bar or one that came by itself: everything that it reaches fills at the quote.

    Args:
        instant_ns: when the quote stood; what was placed or changed later does not count.
        when: the instants that fills carry.
        bar: the bar whose open it is, -1 for a quote that came by itself.
    """
    if desk.pending:
        apply_changes(desk, instant_ns, when)
    if desk.resting:
        _end_orders(ledger, desk, instant_ns, when)
    for book in list(desk.books):
        exit_at_quote(ledger, desk, book, bid, ask, instant_ns, when, rules)
    for order in list(desk.resting):
        if order.effective_ns <= instant_ns:
            quote = trigger_at_quote(desk, order, bid, ask, instant_ns, rules, bar)
            if quote is not None:
                opened = _fill_resting(ledger, desk, order, quote, when)
                if opened is not None:
                    exit_at_quote(ledger, desk, opened, bid, ask, instant_ns, when, rules)


def match_interior(
    ledger: Ledger, desk: Desk, i: int, now_ns: int, rules: FillRules, close_ns: int | None = None
) -> None:
    """Work the inside of bar `i`: stops and targets of what is held, resting orders, and the exits of these.

    An order whose time ends with the bar, or ended inside it, is gone at its close.

    Args:
        close_ns: of a bar shorter than the base bars, while a base bar is worked through them.
    """
    if close_ns is None:
        if rules.finer and _match_finer(ledger, desk, i, now_ns, rules):
            return
        close_ns = now_ns
    open_ns = desk.bars.open_ns_at[i]
    when = Moment(now_ns, open_ns)
    orders = desk.resting
    if len(orders) > 1 or (orders and desk.books):
        _work_levels(ledger, desk, i, when, rules)
    else:
        _work_each(ledger, desk, list(desk.books), list(orders), i, when, rules)
    if desk.pending:
        apply_changes(desk, close_ns, when)  # the bars to come open at or after this close
    if desk.resting:
        _end_orders(ledger, desk, close_ns, when)


def _work_each(
    ledger: Ledger, desk: Desk, books: Sequence[Book], orders: Sequence[WorkingOrder], i: int, when: Moment,
    rules: FillRules,
) -> None:  # fmt: skip
    """Work what has nothing to do with each other: positions first, then orders and the exits of what they open."""
    for book in books:
        exit_inside(ledger, desk, book, i, when, rules)
    for order in orders:
        if order.effective_ns > when.from_ns:
            continue
        trigger = trigger_inside(desk, order, i, when.from_ns, rules)
        if trigger is not None:
            quote, adverse_after, favourable_after = trigger
            opened = _fill_resting(ledger, desk, order, quote, when)
            if opened is not None:
                exit_on_entry_bar(
                    ledger, desk, opened, quote, i, when, rules, adverse_after=adverse_after,
                    favourable_after=favourable_after,
                )  # fmt: skip


def _work_levels(ledger: Ledger, desk: Desk, i: int, when: Moment, rules: FillRules) -> None:
    """Work the inside of a bar that may reach several levels: together what acts on each other, the rest each alone."""
    open_ns = when.from_ns
    orders = [order for order in desk.resting if order.effective_ns <= open_ns]
    hit: list[Book | WorkingOrder] = [order for order in orders if order_in_reach(desk, order, i, open_ns, rules)]
    if not hit:
        _work_each(ledger, desk, list(desk.books), (), i, when, rules)
        return
    books = list(desk.books)
    hit += [book for book in books if book_in_reach(desk, book, i, open_ns, rules)]
    for what in gather(books, orders, hit, hedging=ledger.hedging):
        reached_books = [each for each in what.reached if isinstance(each, Book)]
        reached_orders = [each for each in what.reached if isinstance(each, WorkingOrder)]
        if len(what.reached) == 1:
            _work_each(ledger, desk, reached_books, reached_orders, i, when, rules)
        elif not all(can_be_walked(desk, order) for order in reached_orders):
            # When inside the bar another price reached a trigger is not known, so nothing can be put in order.
            side = desk.bids if sum([book.volume for book in what.books]) >= 0 else desk.asks
            ledger.doubt = side.close(i)
            _work_each(ledger, desk, reached_books, reached_orders, i, when, rules)
            ledger.doubt = None
        else:
            walk_together(ledger, desk, what, i, when, rules)


def _match_finer(ledger: Ledger, desk: Desk, i: int, now_ns: int, rules: FillRules) -> bool:
    """Work bar `i` through the shorter bars that it is made of; False when they do not make it up.

    The open of the first one has been worked as that of the bar. What fills becomes known at the close of the bar.
    """
    base, finer = desk.series, rules.finer.get(desk.symbol)
    if finer is None or desk.costs.spread_column:  # of the ask inside a bar nothing more is known
        return False
    first = bisect_left(finer.open_ns_at, base.open_ns_at[i])
    last = bisect_left(finer.open_ns_at, base.close_of(i))
    if last == first or (
        finer.open_at[first], max(finer.high_at[first:last]), min(finer.low_at[first:last]), finer.close_at[last - 1]
    ) != (base.open_at[i], base.high_at[i], base.low_at[i], base.close_at[i]):  # fmt: skip
        return False
    if any(order.request.trigger_by is not TriggerBy.QUOTE for order in desk.resting):
        return False  # its price is known for the bars alone
    quotes, bids, asks = desk.quotes, desk.bids, desk.asks
    desk.bars = finer
    desk.bids = SidePrices(finer, quotes.bid_factor, -quotes.bid_offset)
    desk.asks = SidePrices(finer, quotes.ask_factor, quotes.ask_offset)
    try:
        for k in range(first, last):
            open_ns = finer.open_ns_at[k]
            if k > first or _came_between(desk, base.open_ns_at[i], open_ns):
                when = AtOpen(now_ns, open_ns)
                match_quote(ledger, desk, desk.bids.open(k), desk.asks.open(k), open_ns, when, rules)
            match_interior(ledger, desk, k, now_ns, rules, finer.close_of(k))
    finally:
        desk.bars, desk.bids, desk.asks = base, bids, asks
    return True


def _came_between(desk: Desk, open_ns: int, until_ns: int) -> bool:
    """Whether something began or ended after the open of a base bar whose first shorter bar begins later."""
    return open_ns < until_ns and (
        any(open_ns < order.effective_ns <= until_ns or order.ending(until_ns) for order in desk.resting)
        or any(change.effective_ns <= until_ns for change in desk.pending)
    )


def _fill_resting(ledger: Ledger, desk: Desk, order: WorkingOrder, quote: float, when: Moment) -> Book | None:
    order.place = desk.resting.index(order)
    del desk.resting[order.place]
    return ledger.fill_order(desk, order, quote, when, slips=order.request.type in STOPS)


def _end_orders(ledger: Ledger, desk: Desk, instant_ns: int, when: Moment) -> None:
    for order in list(desk.resting):
        ending = order.ending(instant_ns)
        if ending is not None:
            desk.resting.remove(order)
            ledger.finish(desk, order, ending[0], when, ending[1], ending[2])


def apply_changes(desk: Desk, instant_ns: int, when: Moment) -> None:
    """Let what has arrived by an instant take effect, in the order in which it came."""
    for change in sorted(desk.pending, key=attrgetter("effective_ns")):
        if change.effective_ns <= instant_ns:
            desk.pending.remove(change)
            change.arrive(when)
