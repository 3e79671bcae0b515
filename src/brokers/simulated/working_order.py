"""One order at the simulated venue, from its acknowledgement to its end. Pure state: no lock, clock or I/O."""

from dataclasses import replace

from src.core.order_states import LEGAL, check
from src.core.records import Order, OrderRequest, OrderState, OrderType, make_order

__all__ = ["FAR_NS", "PendingChange", "WorkingOrder", "changed_request"]

#: Later than every bar: what becomes effective then fills nothing before it is woken.
FAR_NS = 1 << 62


class WorkingOrder:
    """An order that lives at the venue.

    Attributes:
        price: the limit or trigger that it works at now; None for a market order, and for a trailing stop that has seen
            no price yet, whose trigger it is afterwards.
        effective_ns: it is tested on prices from this instant on; `FAR_NS` while it sleeps or when it has ended.
        triggered: the trigger of a stop-limit order was reached, so it is a limit order now.
        cancel_ns: when its cancellation arrives.
        ends_ns: when it ends by itself in a step of its own; None when it does not, or a bar's close ends it.
        expires_ns: the end of its time in force.
        reject_ns: when the venue rejects it after all.
        hole_ns: when it has waited for a bar for too long to open anything, None when a bar comes in time; such an
            order ends then, or fills with what it closes alone.
    """

    __slots__ = ("average_price", "cancel_ns", "code", "effective_ns", "ends_ns", "expires_ns", "filled_volume",
                 "hole_ns", "message", "only_closes", "order_id", "placed_ns", "price", "reject_ns", "request", "state",
                 "triggered", "updated_ns", "volume")  # fmt: skip

    def __init__(self, request: OrderRequest, placed_ns: int, effective_ns: int) -> None:
        self.order_id = request.client_id
        self.request = request
        self.price = request.price
        self.volume = request.volume
        self.state = OrderState.WORKING
        self.placed_ns = placed_ns
        self.effective_ns = effective_ns
        self.updated_ns = placed_ns
        self.filled_volume = 0.0
        self.average_price: float | None = None
        self.cancel_ns: int | None = None
        self.ends_ns: int | None = None
        self.expires_ns = request.expires_ns
        self.hole_ns: int | None = None
        self.reject_ns: int | None = None
        self.only_closes = False
        self.triggered = False
        self.code = ""
        self.message = ""

    def become(self, state: OrderState) -> None:
        """Enter another state.

        Raises:
            InternalError: the table of `src.core.order_states` has no such transition.
        """
        if state not in LEGAL[self.state]:
            check(self.state, state, self.order_id)
        self.state = state

    def change(self, request: OrderRequest, effective_ns: int) -> None:
        """Become another order in the same place of the queue, tested on prices from `effective_ns` on."""
        if request.type is not OrderType.TRAILING_STOP:  # whose trigger stays where it has got to
            self.price = request.price
        self.triggered = False
        self.request = request
        self.volume = request.volume
        if self.effective_ns != FAR_NS:  # one that sleeps is changed in its sleep
            self.effective_ns = effective_ns

    def ending(self, instant_ns: int) -> tuple[OrderState, str, str] | None:
        """How the order ends by itself at or before an instant: state, code and sentence."""
        if self.cancel_ns is not None and self.cancel_ns <= instant_ns:
            return OrderState.CANCELLED, "cancelled", "as asked"
        if self.reject_ns is not None and self.reject_ns <= instant_ns:
            return OrderState.REJECTED, "rejected", "the venue rejected the order after it had acknowledged it"
        if self.expires_ns is not None and self.expires_ns <= instant_ns:
            return OrderState.EXPIRED, "expired", "the order's time was over"
        if self.hole_ns is not None and self.hole_ns <= instant_ns and not self.only_closes:
            return OrderState.CANCELLED, "hole", "no price came for so long that nothing is opened any more"
        return None

    def snapshot(self) -> Order:
        """The order as it is now."""
        return make_order(
            order_id=self.order_id, request=self.request, state=self.state, placed_ns=self.placed_ns,
            effective_ns=self.effective_ns, updated_ns=self.updated_ns, filled_volume=self.filled_volume,
            average_price=self.average_price, code=self.code, message=self.message,
        )  # fmt: skip


class PendingChange:
    """A modification of an order that is under way to the venue; until it arrives the order works as it was.

    Args:
        request: the order as it shall be.
    """

    __slots__ = ("effective_ns", "order", "request")

    def __init__(self, order: WorkingOrder, request: OrderRequest, effective_ns: int) -> None:
        self.order = order
        self.request = request
        self.effective_ns = effective_ns

    def arrive(self) -> None:
        """Take effect, when the order is still working and the change leaves something to fill."""
        order = self.order
        if not order.state.is_final and self.request.volume > order.filled_volume:
            order.change(self.request, self.effective_ns)


def changed_request(order: WorkingOrder, price: float | None, volume: float | None) -> OrderRequest:
    """What the order asks for when its price or volume is changed; None leaves one as it is.

    A stop-limit order whose trigger was reached goes on as the limit order that it is.
    """
    request = order.request
    if volume is None:
        volume = request.volume
    if order.triggered:
        price = request.limit if price is None else price
        return replace(request, type=OrderType.LIMIT, price=price, limit=None, volume=volume)
    return replace(request, price=request.price if price is None else price, volume=volume)
