"""At which quote a resting order fills: at a quote that comes, and inside a bar. Pure.

A stop triggers on touch and fills at a gap's price; a limit fills at its price, at the open when that is better, and
must be traded through unless the rule for touched limits says otherwise. A stop-limit becomes a limit when its trigger
is reached; one that is reached inside a bar fills at the trigger when its limit lies at or beyond it, otherwise only
when the close proves that the price came back. A trailing stop is a stop whose trigger follows the price, see
`trailing`.
"""

from typing import NamedTuple

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.rules import FillRules
from src.brokers.simulated.trailing import trail_of_order
from src.brokers.simulated.working_order import WorkingOrder
from src.core.records import OrderType, Side, TriggerBy

__all__ = ["Trigger", "follow_order", "trigger_at_quote", "trigger_at_trade", "trigger_inside"]


#: The bars whose prices are what a trigger follows.
SHOWN_BY = {TriggerBy.LAST: "trade", TriggerBy.MARK: "mark"}


class Trigger(NamedTuple):
    """Where an order fills inside a bar, and which of the bar's extremes is certainly reached after that.

    The extremes are seen from a position that the order opens: see `exits.exit_on_entry_bar`.
    """

    quote: float
    adverse_after: bool
    favourable_after: bool


def trigger_at_quote(
    desk: Desk, order: WorkingOrder, bid: float, ask: float, open_ns: int, rules: FillRules, opened: int = -1
) -> float | None:
    """The quote at which a resting order fills when bid and ask stand there, None when it does not.

    Args:
        open_ns: of the bar whose open it is, or the instant of the quote.
        opened: the bar whose open it is, -1 for a quote that came by itself.
    """
    kind = order.request.type
    buy = order.request.side is Side.BUY
    quote = ask if buy else bid
    price = order.price
    if kind is OrderType.LIMIT:
        if price is None:
            return None
    else:
        watched = quote
        if order.request.trigger_by is not TriggerBy.QUOTE:
            watched = desk.watched(order, opened)
            if watched != watched and not order.triggered:
                return None  # none of the prices that its trigger follows came with this quote
        if kind is OrderType.TRAILING_STOP:
            if price is not None and (watched >= price if buy else watched <= price):
                return quote
            follow_order(desk, order, watched)
            return None
        if price is None:
            return None
        if kind is OrderType.STOP:
            return quote if (watched >= price if buy else watched <= price) else None
        if not order.triggered:
            if not (watched >= price if buy else watched <= price):
                return None
            order.triggered = True
            limit = _limit(order)
            return quote if (quote <= limit if buy else quote >= limit) else None
        price = _limit(order)
    if quote < price if buy else quote > price:
        return quote
    return quote if quote == price and rules.touched(order.order_id, open_ns) else None


def trigger_at_trade(desk: Desk, order: WorkingOrder, price: float) -> bool:
    """Whether a trade reaches an order whose trigger follows trades; that of a trailing stop order moves if not."""
    level = order.price
    if level is not None and (price >= level if order.request.side is Side.BUY else price <= level):
        return True
    if order.request.type is OrderType.TRAILING_STOP:
        follow_order(desk, order, price)
    return False


def trigger_inside(desk: Desk, order: WorkingOrder, i: int, open_ns: int, rules: FillRules) -> Trigger | None:
    """Where a resting order fills inside bar `i`, after its open did not fill it; None when it does not."""
    price, kind = order.price, order.request.type
    if price is None:
        return None
    buy = order.request.side is Side.BUY
    if kind is OrderType.LIMIT or order.triggered:
        limit = price if kind is OrderType.LIMIT else _limit(order)
        extreme = desk.asks.low(i) if buy else desk.bids.high(i)
        if (extreme < limit if buy else extreme > limit) or (
            extreme == limit and rules.touched(order.order_id, open_ns)
        ):
            return Trigger(limit, adverse_after=True, favourable_after=False)
        return None
    if order.request.trigger_by is not TriggerBy.QUOTE:
        return _watched_inside(desk, order, price, i, rules)
    side = desk.asks if buy else desk.bids
    high, low = side.high(i), side.low(i)
    if high >= price if buy else low <= price:
        if kind is not OrderType.STOP_LIMIT:
            return Trigger(price, adverse_after=False, favourable_after=True)
        order.triggered = True
        limit = _limit(order)
        if limit >= price if buy else limit <= price:
            return Trigger(price, adverse_after=False, favourable_after=True)
        last = side.close(i)
        back = last < limit if buy else last > limit
        if back or (last == limit and rules.touched(order.order_id, open_ns)):
            return Trigger(limit, adverse_after=False, favourable_after=False)
        return None
    if kind is OrderType.TRAILING_STOP and follow_order(desk, order, low if buy else high):
        level, last = order.price, side.close(i)
        if level is not None and (last >= level if buy else last <= level):
            return Trigger(level, adverse_after=False, favourable_after=False)
    return None


def _watched_inside(desk: Desk, order: WorkingOrder, price: float, i: int, rules: FillRules) -> Trigger | None:
    """Where an order fills inside bar `i` whose trigger follows another price than the quote.

    The quote at the instant of the trigger is known when the bars show that price. Otherwise the instant inside the bar
    is not known, and it fills at the quote of the bar that the configured assumption names: the worst one, the best
    one, or the close.
    """
    by, buy = order.request.trigger_by, order.request.side is Side.BUY
    watched = desk.triggers[by]
    shown = desk.series.price_side == SHOWN_BY[by]
    if watched.high(i) >= price if buy else watched.low(i) <= price:
        level = price
    elif order.request.type is OrderType.TRAILING_STOP and follow_order(
        desk, order, watched.low(i) if buy else watched.high(i)
    ):
        level, last = order.price or price, watched.close(i)
        if not (last >= level if buy else last <= level):
            return None
    else:
        return None
    side = desk.asks if buy else desk.bids
    if shown:
        quote = desk.quotes.ask(level) if buy else desk.quotes.bid(level)
    elif rules.intrabar == "path":
        quote = side.close(i)
    else:
        quote = side.high(i) if buy is (rules.intrabar == "worst") else side.low(i)
    if order.request.type is OrderType.STOP_LIMIT:
        order.triggered = True
        limit, last = _limit(order), side.close(i)
        if not (quote <= limit if buy else quote >= limit):
            back = last < limit if buy else last > limit
            return Trigger(limit, adverse_after=False, favourable_after=False) if back else None
    return Trigger(quote, adverse_after=False, favourable_after=shown and level == price)


def follow_order(desk: Desk, order: WorkingOrder, quote: float) -> bool:
    """Move the trigger of a trailing stop order after a quote of its own side; True when it moved."""
    sign = -1.0 if order.request.side is Side.BUY else 1.0
    level = trail_of_order(order.request).level(quote, sign, desk.instrument)
    if order.price is not None and sign * (level - order.price) <= 0:
        return False
    order.price = level
    return True


def _limit(order: WorkingOrder) -> float:
    limit = order.request.limit
    return float("nan") if limit is None else limit  # which no price reaches; such a request is refused
