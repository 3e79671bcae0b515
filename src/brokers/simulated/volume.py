"""At most a share of a bar's volume fills on that bar; what is left goes on working. Pure.

A ledger that executes no more than there is room for, made in place of the plain one where a share is configured, so
nobody else pays for it. All orders of a symbol share the volume of a bar in the order in which they fill. A fill at an
open that somebody waits for counts on the volume of the bar before it, because of the bar that opens nothing is known
then but its open.

What is left of a limit rests on; of a market order, and of a stop whose trigger was reached, it fills from the next
open on; of an order that takes what it gets at once it is cancelled, and one that fills as a whole or not at all does
not fill. What is left of a position whose stop was reached is closed from the next open on, whatever the price does.
"""

from dataclasses import replace
from typing import Any, Protocol

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.full_ledger import FullLedger
from src.brokers.simulated.ledger import Ledger, Moment
from src.brokers.simulated.working_order import WorkingOrder
from src.core.book import Book
from src.core.records import (
    Fill,
    OrderRequest,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
    make_order_event,
    make_order_request,
)

__all__ = ["LimitedFullLedger", "LimitedLedger"]

#: Exits that the venue may make in parts; others, such as the end of the data, take all at once.
STOP_KINDS = ("stop", "trailing", "break_even")
#: What is left of these fills at the next open, whatever the price is then.
TAKERS = (OrderType.MARKET, OrderType.STOP, OrderType.TRAILING_STOP)
CLOSE_BY = "close_by"


class Waiting(Protocol):
    """What a venue does for an order whose rest fills from a later open on."""

    def __call__(self, desk: Desk, order: WorkingOrder) -> bool:
        """Let it wait for the next open from its `effective_ns` on; False when none is to come."""
        ...


class LimitedLedger(Ledger):
    """See `Ledger`; it knows the volume of each symbol's present bar that is left.

    Args:
        ledger: what a ledger without limits is made of.
        share: of a bar's volume, above 0 and up to 1.
        wait: lets an order wait for an open.
    """

    def __init__(self, *ledger: Any, share: float, wait: Waiting) -> None:
        super().__init__(*ledger)
        self._share = share
        self._wait = wait
        #: The bar that the used volume counts for, and that volume, by symbol.
        self._used: dict[str, tuple[int, float]] = {}
        self._executions: dict[str, int] = {}
        self._positions: dict[str, int] = {}
        self._rests: dict[str, int] = {}
        self._parts: dict[str, int] = {}

    def room(self, desk: Desk) -> float:
        """The volume that may still fill on the desk's present bar, in whole steps."""
        index = desk.index
        if index < 0:
            return 0.0
        at, used = self._used.get(desk.symbol, (index, 0.0))
        share = self._share * desk.series.volume_at[index]
        left = desk.instrument.round_volume(share - (used if at == index else 0.0))
        return left if left > 1e-12 * share else 0.0  # what is less is the noise of the difference

    def fill_order(
        self, desk: Desk, order: WorkingOrder, quote: float, when: Moment, *, slips: bool, volume: float | None = None
    ) -> Book | None:
        """See `Ledger.fill_order`; fills what there is room for, and lets the rest wait or end."""
        room, wanted = self.room(desk), self._wanted(desk, order)
        if wanted <= room:
            return super().fill_order(desk, order, quote, when, slips=slips, volume=volume)
        request = order.request
        opened = None
        if request.time_in_force is TimeInForce.FOK:
            message = f"{wanted:g} were wanted at once and the bar had {room:g}"
            self.finish(desk, order, OrderState.CANCELLED, when, "fok", message)
            return None
        if room > 0:
            opened = super().fill_order(desk, order, quote, when, slips=slips, volume=room)
        if order.state.is_final:
            return opened
        if request.time_in_force is TimeInForce.IOC:
            message = f"{wanted - room:g} of {wanted:g} found no volume at once"
            self.finish(desk, order, OrderState.CANCELLED, when, "ioc", message)
        elif request.type in TAKERS:
            if request.type is not OrderType.MARKET:  # its trigger was reached: from now on it takes any price
                order.request = replace(request, type=OrderType.MARKET, price=None)
                order.price = None
            self._take_later(desk, order, when)
        else:
            desk.resting.insert(order.place, order)
        return opened

    def exit_book(
        self, desk: Desk, book: Book, kind: str, quote: float, when: Moment, *, slips: bool,
        other: float | None = None, volume: float | None = None, part: int = 1,
    ) -> None:  # fmt: skip
        """See `Ledger.exit_book`; a stop whose bar has too little volume goes on as a market order."""
        room, held = self.room(desk), abs(book.volume)
        limited = kind == "target" or kind in STOP_KINDS
        key = f"{book.position_id}-{kind}"
        if limited and self._leaving(desk, book):
            return  # its stop was reached before, and the rest is on its way out; no target saves it any more
        if not limited or held <= room:
            part = self._parts.get(key, 0) + 1
            super().exit_book(desk, book, kind, quote, when, slips=slips, other=other, volume=volume, part=part)
            return
        if room > 0:
            part = self._parts[key] = self._parts.get(key, 0) + 1
            super().exit_book(desk, book, kind, quote, when, slips=slips, other=other, volume=room, part=part)
        if kind in STOP_KINDS:
            number = self._rests[book.position_id] = self._rests.get(book.position_id, 0) + 1
            request = make_order_request(
                client_id=f"{book.position_id}-{kind}-rest{number}", book=book.book, symbol=desk.symbol,
                side=Side.SELL if book.volume > 0 else Side.BUY, type=OrderType.MARKET, volume=abs(book.volume),
                reduce_only=True, position_id=book.position_id, exit_kind=kind, reason=kind,
            )  # fmt: skip
            self._take_later(desk, WorkingOrder(request, when.filled_ns, when.filled_ns), when)

    # -- inside ------------------------------------------------------------------------------------

    def _wanted(self, desk: Desk, order: WorkingOrder) -> float:
        """What the order would execute if there were room enough."""
        request, left = order.request, order.volume - order.filled_volume
        book = desk.book_for(request, hedging=self.hedging)
        against = abs(book.volume) if book.volume * request.side.sign < 0 else 0.0
        if request.reduce_only:
            return against if request.reverse else min(left, against)
        return left + against if request.reverse else left

    def _leaving(self, desk: Desk, book: Book) -> bool:
        """Whether the rest of a stop of this position waits for an open."""
        prefix = f"{book.position_id}-"
        return any(
            order.request.position_id == book.position_id and order.order_id.startswith(prefix)
            for order in desk.market_orders
        )

    def _take_later(self, desk: Desk, order: WorkingOrder, when: Moment) -> None:
        """Let an order fill from the next open after this instant on."""
        # At a bar's close the next bar may open at once; an open that fills now is gone.
        order.effective_ns = when.filled_ns + (when.from_ns == when.filled_ns)
        if not self._wait(desk, order):
            message = f"{desk.symbol} has no bar to come on which the rest could fill"
            self.finish(desk, order, OrderState.CANCELLED, when, "no_data", message)
        else:  # whoever moves time has to learn that an open is waited for
            self.events.append((desk, make_order_event(order=order.snapshot())))

    def _fill(
        self, desk: Desk, order_id: str, position_id: str, request: OrderRequest, volume: float, *prices: Any,
        kind: str, **more: Any,
    ) -> Fill:  # fmt: skip
        """See `Ledger._fill`; numbers the executions of an order and counts their volume."""
        number = self._executions[order_id] = self._executions.get(order_id, 0) + 1
        fresh = kind == "entry" and all(book.position_id != position_id for book in desk.books)
        if fresh and position_id == request.client_id:
            # A later part of an order whose position was closed in between opens another position.
            opened = self._positions[position_id] = self._positions.get(position_id, 0) + 1
            position_id = position_id if opened == 1 else f"{position_id}-{opened}"
        more["number"] = number
        if kind != CLOSE_BY:  # which trades with nobody
            index = desk.index
            at, used = self._used.get(desk.symbol, (index, 0.0))
            self._used[desk.symbol] = (index, (used if at == index else 0.0) + volume)
        return super()._fill(desk, order_id, position_id, request, volume, *prices, kind=kind, **more)


class LimitedFullLedger(LimitedLedger, FullLedger):
    """A `LimitedLedger` of an account that has more than the plain one."""
