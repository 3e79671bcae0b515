"""Orders that the venue keeps in one way and the bot hears of in another.

An order that is to end with a part filled is sent with that part as its volume; the bot is told of the whole volume,
and of another end. So the venue's fills and money stay true. Pure bookkeeping, used inside turns and steps.
"""

from dataclasses import replace

from src.brokers.faults import ORDERS, Fault, FaultKind
from src.core.broker import Broker
from src.core.errors import ConfigError
from src.core.records import Order, OrderEvent, OrderState, Snapshot, make_order_event

__all__ = ["FaultyOrders"]


class FaultyOrders:
    """What the bot is told of each order.

    Args:
        broker: the venue.

    Attributes:
        ended: events that no event of the venue brings about, by symbol; who delivers them takes them out.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._faults: dict[str, Fault] = {}
        #: For each order of which a part is to fill: what the bot is told, by the volume that the venue works with.
        #: A change that is under way has a volume already, and the order still works with the one of before.
        self._wholes: dict[str, dict[float, float]] = {}
        #: Orders that have a filled part and will never do anything again.
        self._silent: dict[str, Order] = {}
        self._ended: dict[str, Order] = {}
        self._first: dict[str, Order] = {}
        self.ended: dict[str, list[OrderEvent]] = {}

    def can_happen(self, symbol: str, volume: float, fault: Fault) -> bool:
        """Whether a fault can happen to an order of this volume: one that fills a part needs a part to fill."""
        return fault.kind not in ORDERS or self.part(symbol, volume, fault) is not None

    def part(self, symbol: str, volume: float, fault: Fault | None) -> float | None:
        """The volume that is to fill of an order, where that is not all of it."""
        if fault is None or fault.kind not in ORDERS:
            return None
        try:
            rules = self._broker.instrument(symbol)
        except ConfigError:  # an unknown symbol, which the venue refuses
            return None
        part = rules.round_volume(volume * fault.share)
        return part if max(rules.min_volume, 0.0) <= part < volume and part > 0 else None

    def note(self, identity: str, fault: Fault, whole: float) -> None:
        """An order was accepted; what the bot hears of it is the fault's."""
        self._faults[identity] = fault
        part = self.part(self.symbol_of(identity), whole, fault)
        if part is not None:
            self._wholes[identity] = {part: whole}
        if fault.kind is FaultKind.STALE_REPLY:
            order = self._broker.find_order(identity)
            if order is not None:
                self._first[identity] = order

    def changed_part(self, identity: str, volume: float | None) -> float | None:
        """What the venue gets as the new volume of an order of which only a part is to fill."""
        if identity not in self._wholes or volume is None:
            return volume
        part = self.part(self.symbol_of(identity), volume, self._faults[identity])
        return volume if part is None else part

    def note_change(self, identity: str, volume: float | None) -> None:
        """The venue has accepted a change; of a volume that has no part to fill the whole fills."""
        if identity in self._wholes and volume is not None:
            part = self.part(self.symbol_of(identity), volume, self._faults[identity])
            if part is None:
                self._wholes[identity].pop(volume, None)
            else:
                self._wholes[identity][part] = volume

    def told(self, event: OrderEvent) -> list[OrderEvent]:
        """What the bot hears when the venue tells of an order."""
        order = event.order
        fault = self._faults.get(order.order_id)
        if fault is None:
            return [event]
        heard = replace(event, order=self._rewritten(order))
        if fault.kind is FaultKind.DUPLICATE_ACK:
            return [heard, heard]
        first = self._first.get(order.order_id)
        if first is not None and order.state.is_final:
            return [heard, make_order_event(order=first)]
        return [heard]

    def find(self, identity: str) -> Order | None:
        """The order as the venue says it is when it is asked."""
        ended = self._ended.get(identity) or self._silent.get(identity)
        if ended is not None:
            return ended
        order = self._broker.find_order(identity)
        return None if order is None else self._rewritten(order)

    def seen(self, snapshot: Snapshot) -> Snapshot:
        """The account with its orders as the bot hears of them."""
        if not self._faults:
            return snapshot
        orders = [self._rewritten(order) for order in snapshot.orders]
        return replace(snapshot, orders=(*orders, *self._silent.values()))

    def end_silent(self, identity: str, now_ns: int) -> bool:
        """Cancel an order that had fallen silent; False when it is no such order."""
        order = self._silent.pop(identity, None)
        if order is None:
            return False
        order = replace(order, state=OrderState.CANCELLED, updated_ns=now_ns, code="cancelled", message="as asked")
        self._ended[identity] = order
        self.ended.setdefault(order.request.symbol, []).append(make_order_event(order=order))
        return True

    def symbol_of(self, identity: str) -> str:
        """The symbol of an order, empty when the venue has none with this id."""
        order = self.find(identity)
        return "" if order is None else order.request.symbol

    def _rewritten(self, order: Order) -> Order:
        whole = self._wholes.get(order.order_id, {}).get(order.request.volume)
        if whole is None:
            return order
        order = replace(order, request=replace(order.request, volume=whole))
        if order.state is not OrderState.FILLED:
            return order
        if self._faults[order.order_id].kind is FaultKind.REJECTED_WITH_FILL:
            message = "the venue filled a part and rejected the rest"
            return replace(order, state=OrderState.REJECTED, code="rejected", message=message)
        order = self._ended.get(order.order_id) or replace(order, state=OrderState.PARTLY_FILLED)
        if not order.state.is_final:
            self._silent[order.order_id] = order
        return order
