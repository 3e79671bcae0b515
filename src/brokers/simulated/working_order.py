"""One order at the simulated venue, from its acknowledgement to its end. Pure state: no lock, clock or I/O."""

from collections.abc import Callable
from dataclasses import replace

from src.brokers.simulated.moment import Moment
from src.brokers.simulated.order_terms import takes_at_once
from src.core.order_states import LEGAL, check
from src.core.records import Order, OrderRequest, OrderState, OrderType, TriggerBy, make_order

__all__ = ["FAR_NS", "REJECTED_LATE", "PendingChange", "WorkingOrder", "changed_request"]

#: Later than every bar: what becomes effective then fills nothing before it is woken.
FAR_NS = 1 << 62

REJECTED_LATE = "the venue rejected the order after it had acknowledged it"


class WorkingOrder:
    """An order that lives at the venue.

    Attributes:
        price: the limit or trigger that it works at now; None for a market order, and for a trailing stop that has seen
            no price yet, whose trigger it is afterwards.
        number: how many orders of the account were placed before it; what the venue itself makes has 0.
        arrives_ns: when it reaches the venue.
        effective_ns: it is tested on prices from this instant on; `FAR_NS` while it sleeps or when it has ended.
        triggered: the trigger of a stop-limit order was reached, so it is a limit order now.
        cancel_ns: when its cancellation arrives.
        place: its place in the queue when it was taken out to be filled, where what is left of it goes back to.
        ends_ns: when it ends by itself in a step of its own; None when it does not, or a bar's close ends it.
        expires_ns: the end of its time in force.
        reject_ns: when the venue rejects it after all.
        hole_ns: when it has waited for a bar for too long to open anything, None when a bar comes in time; such an
            order ends then, or fills with what it closes alone.
    """

    __slots__ = ("arrives_ns", "average_price", "cancel_ns", "code", "effective_ns", "ends_ns", "expires_ns",
                 "filled_volume", "hole_ns", "message", "number", "only_closes", "order_id", "place", "placed_ns",
                 "price", "reject_ns", "request", "state", "triggered", "updated_ns", "volume")  # fmt: skip

    def __init__(self, request: OrderRequest, placed_ns: int, effective_ns: int) -> None:
        self.order_id = request.client_id
        self.request = request
        self.price = request.price
        self.volume = request.volume
        self.state = OrderState.WORKING
        self.placed_ns = placed_ns
        self.place = 0
        self.number = 0
        self.arrives_ns = self.effective_ns = effective_ns
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

    @property
    def awaits_trigger(self) -> bool:
        """Whether it is a stop-limit order whose trigger has not been reached."""
        return self.request.type is OrderType.STOP_LIMIT and not self.triggered

    def change(self, request: OrderRequest, effective_ns: int) -> None:
        """Become another order in the same place of the queue, tested on prices from `effective_ns` on.

        One that has not reached the venue itself is tested from its own arrival on, and one that sleeps is changed in
        its sleep.
        """
        if request.type is not OrderType.TRAILING_STOP:  # whose trigger stays where it has got to
            self.price = request.price
        self.triggered = False
        self.request = request
        self.volume = request.volume
        self.effective_ns = max(self.effective_ns, effective_ns)

    def give_up(self) -> None:
        """Be tested on nothing any more, and end only once: whoever goes through a copy of the queue may come by."""
        self.effective_ns = FAR_NS
        self.cancel_ns = self.ends_ns = self.expires_ns = self.hole_ns = self.reject_ns = None

    def ending(self, instant_ns: int) -> tuple[OrderState, str, str] | None:
        """How the order ends by itself at or before an instant: state, code and sentence."""
        if self.cancel_ns is not None and self.cancel_ns <= instant_ns:
            return OrderState.CANCELLED, "cancelled", "as asked"
        if self.reject_ns is not None and self.reject_ns <= instant_ns:
            return OrderState.REJECTED, "rejected", REJECTED_LATE
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
        price, limit, volume: what shall be another; None leaves one as it is then, whatever other changes made of it.
        judge: asked about the order that it makes when it arrives, with that instant and what an end of it carries.
    """

    __slots__ = ("_judge", "awaited_trigger", "effective_ns", "limit", "order", "price", "volume")

    def __init__(
        self, order: WorkingOrder, price: float | None, limit: float | None, volume: float | None, effective_ns: int,
        judge: Callable[[int, Moment], None],
    ) -> None:  # fmt: skip
        self._judge = judge
        self.order = order
        self.price = price
        self.limit = limit
        self.volume = volume
        self.effective_ns = effective_ns
        self.awaited_trigger = order.awaits_trigger

    def arrive(self, when: Moment) -> None:
        """Take effect, when the order is still what it was sent for and the change leaves something to fill.

        What has become a market order takes any price by now, and a price that was meant as a trigger is no limit.
        """
        order = self.order
        if order.state.is_final or takes_at_once(order.request) or order.awaits_trigger is not self.awaited_trigger:
            return
        if order.cancel_ns is not None and order.cancel_ns < self.effective_ns:
            return  # the cancellation has overtaken it
        request = changed_request(order, self.price, self.limit, self.volume)
        if request.volume > order.filled_volume:
            order.change(request, self.effective_ns)
            self._judge(self.effective_ns, when)


def changed_request(
    order: WorkingOrder, price: float | None, limit: float | None, volume: float | None
) -> OrderRequest:  # fmt: skip
    """What the order asks for when its price, limit or volume is changed; None leaves one as it is.

    A stop-limit order whose trigger was reached goes on as the limit order that it is.
    """
    request = order.request
    if volume is None:
        volume = request.volume
    if limit is None:
        limit = price if order.triggered and price is not None else request.limit
    if order.triggered:
        return replace(
            request, type=OrderType.LIMIT, price=limit, limit=None, volume=volume, trigger_by=TriggerBy.QUOTE
        )  # fmt: skip
    return replace(request, price=request.price if price is None else price, limit=limit, volume=volume)
