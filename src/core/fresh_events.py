"""A mailbox from which nothing is read twice, and nothing old after something new.

For brokers that cannot promise what the port asks of a mailbox: after a reconnection a venue repeats itself, and an
answer that was long under way tells of an order as it was before. An execution counts once, by its id. Whatever else is
told of an order counts only when it is newer than what was told before, and nothing is newer than an end.

Read by one thread at a time, as every mailbox; asking how much is in it takes in what has arrived.
"""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from src.core.records import Order, OrderEvent, OrderState

__all__ = ["FreshEvents"]

Value = TypeVar("Value")

#: Of so many orders and executions it is remembered what was told of them; an answer is not under way for longer.
MOST_REMEMBERED = 10_000


class FreshEvents(deque[OrderEvent]):
    """The mailbox of one symbol, sifted.

    Args:
        arriving: what comes from the broker, taken from the left.
        told: called with each event in the turn of who reads it, before that one gets it.

    Attributes:
        dropped: how many events were old or came again.
    """

    def __init__(self, arriving: "deque[OrderEvent]", told: Callable[[OrderEvent], None]) -> None:
        super().__init__()
        self._arriving = arriving
        self._told = told
        self._orders: dict[str, Order] = {}
        self._fills: dict[str, None] = {}
        self.dropped = 0

    def __len__(self) -> int:
        if self._arriving:
            self._sift()
        return super().__len__()

    def popleft(self) -> OrderEvent:
        """Take the oldest event.

        Raises:
            IndexError: there is none.
        """
        if self._arriving:
            self._sift()
        event = super().popleft()
        self._told(event)
        return event

    def _sift(self) -> None:
        while self._arriving:
            event = self._arriving.popleft()
            if self._is_news(event):
                self.append(event)
            else:
                self.dropped += 1

    def _is_news(self, event: OrderEvent) -> bool:
        order, fill = event.order, event.fill
        known = self._orders.get(order.order_id)
        if fill is not None:
            if fill.fill_id in self._fills:
                return False
            _remember(self._fills, fill.fill_id, None)
        elif known is None:
            if order.state is OrderState.WORKING and order.updated_ns == order.placed_ns:
                return False  # an acknowledgement, which whoever placed the order has had
        elif not _is_newer(order, known):
            return False
        if known is None or _is_newer(order, known):
            _remember(self._orders, order.order_id, order)
        return True


def _is_newer(order: Order, known: Order) -> bool:
    if known.state.is_final or order.updated_ns < known.updated_ns or order.filled_volume < known.filled_volume:
        return False
    return (order.state, order.updated_ns, order.filled_volume, order.request, order.code) != (
        known.state, known.updated_ns, known.filled_volume, known.request, known.code
    )  # fmt: skip


def _remember(known: dict[str, Value], key: str, value: Value) -> None:
    known[key] = value
    if len(known) > MOST_REMEMBERED:
        del known[next(iter(known))]
