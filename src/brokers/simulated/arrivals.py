"""What a venue finds when an order that was under way reaches it: the price then, and what that does to a limit. Pure.

Only requests with latency are under way. The bars show no price for each instant, so what arrives inside a bar is
judged at its close, and what arrives while there is none at the next open.
"""

from bisect import bisect_left
from collections.abc import Callable

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.moment import Moment
from src.brokers.simulated.working_order import WorkingOrder
from src.core.records import OrderType, Side

__all__ = ["Arrival", "price_at", "would_take"]


class Arrival:
    """An order that is under way to the venue; until it arrives it is tested on no price.

    Args:
        judge: asked when it arrives, with that instant and what an end of the order carries.
    """

    __slots__ = ("_judge", "effective_ns")

    def __init__(self, order: WorkingOrder, judge: Callable[[int, Moment], None]) -> None:
        self._judge = judge
        self.effective_ns = order.effective_ns

    def arrive(self, when: Moment) -> None:
        """Be judged."""
        self._judge(self.effective_ns, when)


def price_at(desk: Desk, arrived_ns: int) -> float:
    """The price when something reached the venue that is worked now, at an open, a close or a quote."""
    i, price, series, bars = desk.index, desk.mark, desk.series, desk.bars
    if i >= 0 and arrived_ns > series.open_ns_at[i] and not desk.quoted:
        price = series.close_at[i]  # it came inside the bar that ends now
        k = bisect_left(bars.open_ns_at, arrived_ns) if bars is not series else bars.loaded
        if k < bars.loaded and bars.open_ns_at[k] < series.close_of(i):
            price = bars.open_at[k]  # which is worked through shorter ones
    return price


def would_take(desk: Desk, order: WorkingOrder, price: float) -> bool:
    """Whether a limit order is in the market at a price, and so takes liquidity instead of waiting in the book."""
    limit = order.request.price
    if order.request.type is not OrderType.LIMIT or limit is None:
        return False
    return limit >= desk.quotes.ask(price) if order.request.side is Side.BUY else limit <= desk.quotes.bid(price)
