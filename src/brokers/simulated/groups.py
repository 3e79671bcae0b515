"""Orders that depend on each other: groups of which one fills (OCO), and children that wait for a parent (OTO).

Pure, no lock, clock or I/O. Made when the first such order is placed: from then on it stands between the matching and
the ledger's `fill_order` and `finish`, so that an account without such orders pays nothing for them.

What one execution brings about happens at its instant, after it and before anything else is matched: the others of its
group are cancelled, and the orders that wait for it wake. A woken order is tested on prices from that instant on: on
what is left of the bar after a fill at its open, and from its close on after a fill inside it. Which of a group a bar
reaches first is a matter of the matching, see `levels`.
"""

from collections.abc import Callable
from typing import Any

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.ledger import Ledger, Moment
from src.brokers.simulated.working_order import WorkingOrder
from src.core.book import Book
from src.core.records import OrderRequest, OrderState, OrderType

__all__ = ["Links"]

Key = tuple[str, str, str]
#: What a bar that reaches both sides of a group fills first: the stop, as it does for a position.
BEFORE_LIMITS = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)


class Links:
    """The groups, parents and children of one account.

    Args:
        ledger: whose executions and endings are watched.
        drop: takes an order out of its desk's queue.
        wake: lets an order in its desk's queue work on the prices after a fill.
    """

    def __init__(
        self, ledger: Ledger, drop: Callable[[Desk, WorkingOrder, int], None],
        wake: Callable[[Desk, WorkingOrder, Moment], None],
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._fill, self._finish = ledger.fill_order, ledger.finish
        self._drop, self._wake = drop, wake
        self._groups: dict[Key, list[WorkingOrder]] = {}
        self._children: dict[str, list[WorkingOrder]] = {}
        ledger.fill_order = self.fill_order  # type: ignore[method-assign]  # only accounts that need it pay for it
        ledger.finish = self.finish  # type: ignore[method-assign]  # as above

    def join(self, desk: Desk, order: WorkingOrder) -> None:
        """Link an order that was placed with its group and its parent; it is in the desk's queue already."""
        request = order.request
        if request.group:
            members = self._groups.setdefault(_key(request), [])
            if request.type in BEFORE_LIMITS and order in desk.resting:
                limits = [each for each in members if each.request.type is OrderType.LIMIT and each in desk.resting]
                if limits:
                    desk.resting.remove(order)
                    place = desk.resting.index(limits[0])
                    for i, other in enumerate(desk.resting):
                        if other.order_id == request.parent:
                            place = max(place, i + 1)  # what the parent's fill wakes is tested after it
                    desk.resting.insert(place, order)
            members.append(order)
        if request.parent:
            self._children.setdefault(request.parent, []).append(order)

    def fill_order(self, desk: Desk, order: WorkingOrder, quote: float, when: Moment, **how: Any) -> Book | None:
        """See `Ledger.fill_order`; whatever depends on the execution happens right after it."""
        fills, asked = len(self._ledger.fills), order.request.type
        opened = self._fill(desk, order, quote, when, **how)
        # A stop that was reached and found no volume waits for it at any price, which decides as well as a fill does.
        if len(self._ledger.fills) > fills or order.request.type is not asked:
            self._exclude_others(desk, order, when)
        if order.state is OrderState.FILLED:
            self._ended(desk, order, when)
        return opened

    def finish(self, desk: Desk, order: WorkingOrder, state: OrderState, when: Moment, code: str, message: str) -> None:
        """See `Ledger.finish`."""
        self._finish(desk, order, state, when, code, message)
        self._ended(desk, order, when)

    def _exclude_others(self, desk: Desk, order: WorkingOrder, when: Moment) -> None:
        members = self._groups.pop(_key(order.request), None) if order.request.group else None
        for other in members or ():
            if other is not order:
                what = "filled" if order.filled_volume else "reached"
                self._cancel(desk, other, when, "group", f"{order.order_id} of its group was {what}")

    def _ended(self, desk: Desk, order: WorkingOrder, when: Moment) -> None:
        members = self._groups.get(_key(order.request)) if order.request.group else None
        if members is not None and order in members:
            members.remove(order)
            if not members:
                del self._groups[_key(order.request)]
        siblings = self._children.get(order.request.parent) if order.request.parent else None
        if siblings is not None and order in siblings:
            siblings.remove(order)
        for child in self._children.pop(order.order_id, ()):
            if order.filled_volume > 0:
                self._wake(desk, child, when)
            else:
                self._cancel(desk, child, when, "parent", f"{order.order_id}, which it waited for, ended unfilled")

    def _cancel(self, desk: Desk, order: WorkingOrder, when: Moment, code: str, message: str) -> None:
        if order.state.is_final:
            return
        self._drop(desk, order, when.filled_ns)
        self.finish(desk, order, OrderState.CANCELLED, when, code, message)
        order.give_up()


def _key(request: OrderRequest) -> Key:
    return request.book, request.symbol, request.group
