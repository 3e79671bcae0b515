"""Orders that depend on each other: groups of which one fills (OCO), and children that wait for a parent (OTO).

Pure, no lock, clock or I/O. Made when the first such order is placed: from then on it stands between the matching and
the ledger's `fill_order` and `finish`, so that an account without such orders pays nothing for them.

What one execution brings about happens at its instant, after it and before anything else is matched: the others of its
group are cancelled, and the orders that wait for it wake. A woken order is tested on prices from that instant on; after
a fill inside a bar this is the bar's close. An exit by the stop of a group whose limit the same bar reaches is marked
ambiguous, as that of a position's own stop is.
"""

from collections.abc import Callable
from typing import Any

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.ledger import Ledger, Moment
from src.brokers.simulated.rules import FillRules
from src.brokers.simulated.triggers import trigger_inside
from src.brokers.simulated.working_order import FAR_NS, WorkingOrder
from src.core.book import Book
from src.core.records import Order, OrderRequest, OrderState, OrderType, Side

__all__ = ["Links"]

Key = tuple[str, str, str]
#: What a bar that reaches both sides of a group fills first: the stop, as it does for a position.
BEFORE_LIMITS = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)


class Links:
    """The groups, parents and children of one account.

    Args:
        ledger: whose executions and endings are watched.
        rules: when a limit fills that was only touched.
        drop: takes an order out of its desk's queue.
        wake: lets an order in its desk's queue work on the prices after a fill.
    """

    def __init__(
        self, ledger: Ledger, rules: FillRules, drop: Callable[[Desk, WorkingOrder, int], None],
        wake: Callable[[Desk, WorkingOrder, Moment], None],
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self._rules = rules
        self._fill, self._finish, self._reduce = ledger.fill_order, ledger.finish, ledger._reduce
        self._drop, self._wake = drop, wake
        self._groups: dict[Key, list[WorkingOrder]] = {}
        self._children: dict[str, list[WorkingOrder]] = {}
        ledger.fill_order = self.fill_order  # type: ignore[method-assign]  # only accounts that need it pay for it
        ledger.finish = self.finish  # type: ignore[method-assign]  # as above
        ledger._reduce = self._reduce_in_doubt  # type: ignore[method-assign]  # as above
        self._other: float | None = None

    def join(self, desk: Desk, order: WorkingOrder) -> None:
        """Link an order that was placed with its group and its parent; it is in the desk's queue already."""
        request = order.request
        if request.group:
            members = self._groups.setdefault(_key(request), [])
            if request.type in BEFORE_LIMITS and order in desk.resting:
                limits = [each for each in members if each.request.type is OrderType.LIMIT and each in desk.resting]
                if limits:
                    desk.resting.remove(order)
                    desk.resting.insert(desk.resting.index(limits[0]), order)
            members.append(order)
        if request.parent:
            self._children.setdefault(request.parent, []).append(order)

    def fill_order(self, desk: Desk, order: WorkingOrder, quote: float, when: Moment, **how: Any) -> Book | None:
        """See `Ledger.fill_order`; whatever depends on the execution happens right after it."""
        fills = len(self._ledger.fills)
        self._other = self._other_outcome(desk, order, quote, when) if order.request.group else None
        opened = self._fill(desk, order, quote, when, **how)
        self._other = None
        if len(self._ledger.fills) > fills:
            self._exclude_others(desk, order, when)
        if order.state is OrderState.FILLED:
            self._ended(desk, order, when)
        return opened

    def finish(self, desk: Desk, order: WorkingOrder, state: OrderState, when: Moment, code: str, message: str) -> None:
        """See `Ledger.finish`."""
        self._finish(desk, order, state, when, code, message)
        self._ended(desk, order, when)

    def _reduce_in_doubt(
        self, desk: Desk, book: Book, order: Order, volume: float, price: float, quote: float, when: Moment, *,
        kind: str, other: float | None = None,
    ) -> None:  # fmt: skip
        """See `Ledger._reduce`."""
        other = self._other if other is None else other
        self._reduce(desk, book, order, volume, price, quote, when, kind=kind, other=other)

    def _other_outcome(self, desk: Desk, order: WorkingOrder, quote: float, when: Moment) -> float | None:
        """What a limit of the group would have given inside the bar that fills one of its stops; None when nothing."""
        i, request = desk.index, order.request
        if not request.reduce_only or request.type not in BEFORE_LIMITS or i < 0:
            return None
        open_ns = desk.series.open_ns_at[i]
        opening = desk.asks.open(i) if request.side is Side.BUY else desk.bids.open(i)
        if when.from_ns != open_ns or when.filled_ns == open_ns or quote == opening:
            return None  # at an open there is one price
        for other in self._groups.get(_key(request), ()):
            if other.request.type is OrderType.LIMIT and other.effective_ns <= open_ns:
                trigger = trigger_inside(desk, other, i, open_ns, self._rules)
                if trigger is not None:
                    return trigger.quote
        return None

    def _exclude_others(self, desk: Desk, order: WorkingOrder, when: Moment) -> None:
        members = self._groups.pop(_key(order.request), None) if order.request.group else None
        for other in members or ():
            if other is not order:
                self._cancel(desk, other, when, "group", f"{order.order_id} of its group was filled")

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
        # The matching may be on its way through a copy of the queue: what has ended is tested on no further price, and
        # ends only once.
        order.effective_ns = FAR_NS
        order.cancel_ns = order.expires_ns = order.hole_ns = None


def _key(request: OrderRequest) -> Key:
    return request.book, request.symbol, request.group
