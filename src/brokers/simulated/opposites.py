"""Closing two opposite positions of a hedging account against each other. Pure: no lock, clock or I/O.

Both are closed by as much as the smaller of them holds, at one price in the middle of the quote: nothing is bought or
sold at the market, so no spread is paid and nothing slips; the commission is that of any execution. Made when the
first such order is placed: from then on it stands before the ledger's `fill_order`, and other accounts pay nothing for
it.
"""

from dataclasses import replace
from typing import Any

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.ledger import Ledger, Moment
from src.brokers.simulated.order_terms import refused
from src.brokers.simulated.working_order import WorkingOrder
from src.core.book import Book
from src.core.records import Fill, OrderRequest, OrderResult, OrderState, OrderType, Side, make_order

__all__ = ["Opposites", "opposite_refusal"]

KIND = "close_by"


def opposite_refusal(desk: Desk, request: OrderRequest, *, hedging: bool) -> OrderResult | None:
    """Judge an order that closes one position against another: two of them, one on each side."""
    if not hedging or request.type is not OrderType.MARKET or not request.reduce_only:
        return refused(KIND, "only a market order that reduces, on a hedging account, closes positions by each other")
    book, other = _pair(desk, request)
    if book is None or other is None:
        found = request.close_by if book is not None else request.position_id
        return refused("no_position", f"no open position {found}")
    if book.volume * request.side.sign >= 0 or other.volume * request.side.sign <= 0:
        return refused(KIND, f"{book.position_id} and {other.position_id} do not lie on the two sides of {desk.symbol}")
    return None


def _pair(desk: Desk, request: OrderRequest) -> tuple[Book | None, Book | None]:
    by_id = {book.position_id: book for book in desk.books}
    return by_id.get(request.position_id or ""), by_id.get(request.close_by)


class Opposites:
    """The ledger's way to close two positions against each other.

    Args:
        ledger: whose `fill_order` goes through this object from now on.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._fill_order = ledger.fill_order
        ledger.fill_order = self.fill_order  # type: ignore[method-assign]  # only accounts that need it pay for it

    def fill_order(self, desk: Desk, order: WorkingOrder, quote: float, when: Moment, **how: Any) -> Book | None:
        """See `Ledger.fill_order`."""
        if not order.request.close_by:
            return self._fill_order(desk, order, quote, when, **how)
        book, other = _pair(desk, order.request)
        ledger = self._ledger
        if book is None or other is None:
            ledger.finish(desk, order, OrderState.CANCELLED, when, "nothing_to_reduce", "a position was closed before")
            return None
        volume = min(order.volume, abs(book.volume), abs(other.volume))
        middle = (quote + desk.quotes.across(quote, ask=order.request.side is Side.BUY)) / 2
        ledger._count(order, volume, middle, when, final=True)
        request = replace(
            order.request, client_id=f"{order.order_id}-by", side=Side.SELL if other.volume > 0 else Side.BUY,
            volume=volume, position_id=other.position_id, close_by=book.position_id,
        )  # fmt: skip
        counterpart = make_order(
            order_id=request.client_id, request=request, state=OrderState.FILLED, placed_ns=order.placed_ns,
            effective_ns=order.effective_ns, updated_ns=when.filled_ns, filled_volume=volume, average_price=middle,
        )  # fmt: skip
        plain_fill = ledger._fill

        def without_spread(*args: Any, **more: Any) -> Fill:
            fill = ledger.fills[-1] = replace(plain_fill(*args, **more), spread_cost=0.0)
            return fill

        ledger._fill = without_spread  # type: ignore[method-assign]  # for these two executions
        try:
            ledger._reduce(desk, book, order.snapshot(), volume, middle, middle, when, kind=KIND)
            ledger._reduce(desk, other, counterpart, volume, middle, middle, when, kind=KIND)
        finally:
            ledger._fill = plain_fill  # type: ignore[method-assign]  # as before
        return None
