"""What a bar does to one desk: which stops, targets and resting orders fill, where, and what stays open to doubt. Pure.

Rules: nothing fills on a bar that opened before it was effective; a gap fills stops and limits at the open; inside a
bar the stop comes before the target, the entry bar included; a limit fills at its price, a stop at its trigger plus
slippage. Where the bar would have allowed the other exit as well, the fill is marked ambiguous.
"""

from dataclasses import replace

from src.brokers.simulated.desk import Desk, WorkingOrder
from src.brokers.simulated.ledger import Ledger, Moment
from src.brokers.simulated.rules import FillRules
from src.core.book import Book
from src.core.records import OrderType, Side

__all__ = ["match_interior", "match_market_orders", "match_opens"]

#: Kinds of stops that follow the price, and so never move against the position.
FOLLOWERS = ("trailing", "break_even")


def match_market_orders(ledger: Ledger, desk: Desk, i: int, now_ns: int) -> None:
    """Fill the market orders that count at the open of bar `i`, oldest first. Of that bar only the open is known."""
    opening = desk.series.open_at[i]
    desk.mark = opening
    ledger.valuation = None
    desk.worked.append((now_ns, opening))
    for order in list(desk.market_orders):
        if order.effective_ns <= desk.series.open_ns_at[i]:
            desk.market_orders.remove(order)
            ending = order.ending(now_ns)
            if ending is not None:
                ledger.finish(desk, order, ending[0], Moment(now_ns), ending[1], ending[2])
                continue
            if order.only_closes:
                order.request = replace(order.request, reduce_only=True)
            quote = desk.quotes.ask(opening) if order.request.side is Side.BUY else desk.quotes.bid(opening)
            ledger.fill_order(desk, order, quote, Moment(now_ns), slips=True)


def match_opens(ledger: Ledger, desk: Desk, i: int, now_ns: int, rules: FillRules) -> None:
    """Work the open of bar `i`: changed protection, gaps through stops and targets, gaps through resting orders."""
    open_ns = desk.series.open_ns_at[i]
    when = Moment(now_ns, open_ns)
    touch = rules.limit_fill == "touch"
    _apply_protection(desk, open_ns)
    _end_orders(ledger, desk, open_ns, when)
    for book in list(desk.books):
        _exit_at_open(ledger, desk, book, i, when, touch=touch)
    for order in list(desk.resting):
        if order.effective_ns <= open_ns:
            quote = desk.entry_trigger(order, at_open=True, i=i, touch=touch)
            if quote is not None:
                opened = _fill_resting(ledger, desk, order, quote, when)
                if opened is not None:
                    _exit_at_open(ledger, desk, opened, i, when, touch=touch)


def match_interior(ledger: Ledger, desk: Desk, i: int, now_ns: int, rules: FillRules) -> None:
    """Work the inside of bar `i`: stops and targets of what is held, then resting orders and their own exits.

    An order whose time ends with the bar, or ended inside it, is gone at its close.
    """
    open_ns = desk.series.open_ns_at[i]
    when = Moment(now_ns, open_ns)
    touch = rules.limit_fill == "touch"
    for book in list(desk.books):
        _exit_inside(ledger, desk, book, i, when, touch=touch)
    for order in list(desk.resting):
        if order.effective_ns > open_ns:
            continue
        quote = desk.entry_trigger(order, at_open=False, i=i, touch=touch)
        if quote is not None:
            opened = _fill_resting(ledger, desk, order, quote, when)
            if opened is not None:
                _exit_on_entry_bar(ledger, desk, opened, order, quote, i, when, touch=touch)
    _end_orders(ledger, desk, now_ns, when)
    _apply_protection(desk, now_ns)  # the bars to come open at or after this close


def _fill_resting(ledger: Ledger, desk: Desk, order: WorkingOrder, quote: float, when: Moment) -> Book | None:
    desk.resting.remove(order)
    return ledger.fill_order(desk, order, quote, when, slips=order.request.type is OrderType.STOP)


def _end_orders(ledger: Ledger, desk: Desk, instant_ns: int, when: Moment) -> None:
    for order in list(desk.resting):
        ending = order.ending(instant_ns)
        if ending is not None:
            desk.resting.remove(order)
            ledger.finish(desk, order, ending[0], when, ending[1], ending[2])


def _apply_protection(desk: Desk, open_ns: int) -> None:
    for change in list(desk.pending):
        if change.effective_ns <= open_ns:
            desk.pending.remove(change)
            book, stop = change.book, change.stop
            if book.position_id == change.position_id and book.volume:
                # A follower only tightens: its older change may arrive after a tighter stop that came by another way.
                if change.kind in FOLLOWERS and stop is not None and book.stop is not None:
                    stop = stop if book.side.sign * (stop - book.stop) > 0 else None
                book.protect(stop=stop, target=change.target, kind=change.kind)


def _exit_at_open(ledger: Ledger, desk: Desk, book: Book, i: int, when: Moment, *, touch: bool) -> None:
    opening = desk.series.open_at[i]
    if book.volume > 0:
        quote = desk.quotes.bid(opening)
        stopped = book.stop is not None and quote <= book.stop
        reached = book.target is not None and (quote > book.target or (touch and quote == book.target))
    else:
        quote = desk.quotes.ask(opening)
        stopped = book.stop is not None and quote >= book.stop
        reached = book.target is not None and (quote < book.target or (touch and quote == book.target))
    if stopped:
        ledger.exit_book(desk, book, book.stop_kind, quote, when, slips=True)
    elif reached:
        ledger.exit_book(desk, book, "target", quote, when, slips=False)


def _reach(desk: Desk, book: Book, i: int, *, touch: bool) -> tuple[bool, bool]:
    """Whether bar `i` reaches the book's stop and its target."""
    high, low = desk.series.high_at[i], desk.series.low_at[i]
    stop, target = book.stop, book.target
    if book.volume > 0:
        adverse, favourable = desk.quotes.bid(low), desk.quotes.bid(high)
        stopped = stop is not None and adverse <= stop
        reached = target is not None and (favourable > target or (touch and favourable == target))
    else:
        adverse, favourable = desk.quotes.ask(high), desk.quotes.ask(low)
        stopped = stop is not None and adverse >= stop
        reached = target is not None and (favourable < target or (touch and favourable == target))
    return stopped, reached


def _exit_inside(ledger: Ledger, desk: Desk, book: Book, i: int, when: Moment, *, touch: bool) -> None:
    stopped, reached = _reach(desk, book, i, touch=touch)
    if stopped and book.stop is not None:
        other = book.target if reached else None
        ledger.exit_book(desk, book, book.stop_kind, book.stop, when, slips=True, other=other)
    elif reached and book.target is not None:
        ledger.exit_book(desk, book, "target", book.target, when, slips=False)


def _exit_on_entry_bar(
    ledger: Ledger, desk: Desk, book: Book, order: WorkingOrder, entry: float, i: int, when: Moment, *, touch: bool
) -> None:
    """The exits of a position that was entered or enlarged inside bar `i`, by the worst path that the bar allows.

    A stop entry came from the side of its stop: the bar's adverse extreme may lie before the entry, its favourable one
    lies after it. A limit entry came from the other side: the adverse extreme is certainly reached after the entry, the
    favourable one may lie before it, so a target counts only when the close lies beyond it. A stop inside the spread
    is in the market at once and gets the other side of the entry's quote.
    """
    stopped, reached = _reach(desk, book, i, touch=touch)
    close = desk.series.close_at[i]
    long = book.volume > 0
    stop_entry = order.request.type is OrderType.STOP
    last = desk.quotes.bid(close) if long else desk.quotes.ask(close)
    if stopped and book.stop is not None:
        certain = not stop_entry or (last <= book.stop if long else last >= book.stop)
        exit_at_entry = desk.quotes.across(entry, ask=long)
        inside_spread = exit_at_entry <= book.stop if long else exit_at_entry >= book.stop
        other: float | None = None
        if inside_spread:
            pass  # no path of the bar avoids it
        elif reached:
            other = book.target
        elif not certain:
            other = last
        quote = exit_at_entry if inside_spread else book.stop
        ledger.exit_book(desk, book, book.stop_kind, quote, when, slips=True, other=other)
    elif reached and book.target is not None:
        beyond = last > book.target if long else last < book.target
        closed_beyond = beyond or (touch and last == book.target)
        if stop_entry or closed_beyond:
            ledger.exit_book(desk, book, "target", book.target, when, slips=False)
