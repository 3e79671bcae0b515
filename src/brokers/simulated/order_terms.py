"""What an order says of itself: its prices, its time in force, its trailing distance. Pure; refusals are values."""

import math
from numbers import Integral

from src.core.instrument import Instrument
from src.core.records import OrderRequest, OrderResult, OrderType, TimeInForce, make_order_result

__all__ = [
    "distances_refusal",
    "nearer",
    "post_only_refusal",
    "refused",
    "resting_refusal",
    "takes_at_once",
    "terms_refusal",
    "too_close",
    "trail_refusal",
    "trailing_refusal",
    "trailing_trigger",
    "trigger_refusal",
    "unused_refusal",
]

#: Prices on a tick differ by float noise; a distance that is short of the least one by this share is the least one.
NOISE = 1e-9

AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)


def refused(code: str, message: str) -> OrderResult:
    """The refusal with this code and sentence."""
    return make_order_result(accepted=False, code=code, message=message)


def takes_at_once(request: OrderRequest) -> bool:
    """Whether the order takes what the first price gives, and ends then: it waits for an open and never rests."""
    return request.type is OrderType.MARKET or request.time_in_force in AT_ONCE


def trailing_trigger(request: OrderRequest, quote: float) -> float | None:
    """Where the trigger of a trailing stop order begins that follows from `quote`; None without a distance."""
    if request.trail_distance is not None:
        return quote + request.side.sign * request.trail_distance
    if request.trail_percent is not None:
        return quote + request.side.sign * quote * request.trail_percent / 100
    return None


def nearer(price: float, quote: float, least: float) -> bool:
    """Whether two prices are closer to each other than `least`, by more than the noise of floats."""
    return abs(price - quote) < least * (1 - NOISE)


def too_close(what: str, quote: float, least: float) -> OrderResult:
    """The refusal of a price that is nearer to the market than the instrument allows."""
    return refused("too_close", f"{what} is nearer to {quote:g} than the least distance {least:g}")


def resting_refusal(rules: Instrument, request: OrderRequest, price: float, quote: float) -> OrderResult | None:
    """Judge the prices of an order that is no market order.

    Args:
        price: its limit or trigger; that of a trailing stop as it would be now.
        quote: the price that would fill it now.
    """
    sign, kind = request.side.sign, request.type
    if kind is OrderType.TRAILING_STOP:
        if request.price is not None:
            return refused("unused_price", "a trailing stop follows the price and takes no trigger of its own")
    elif request.trail_distance is not None or request.trail_percent is not None:
        return refused("unused_price", f"a {kind} order does not follow the price; take a trailing stop order")
    if kind in STOPS and sign * (price - quote) <= 0:
        return refused("stop_in_market", f"a {request.side} stop at {price:g} is already beyond {quote:g}")
    if kind is not OrderType.TRAILING_STOP and rules.round_price(price) != price:
        return refused("tick", f"{price!r} is no multiple of the tick {rules.tick:g}")
    limit = request.limit
    if kind is OrderType.STOP_LIMIT:
        if limit is None or not (math.isfinite(limit) and limit > 0):
            return refused("price", f"expected a positive limit of the stop-limit order, found {limit!r}")
        if rules.round_price(limit) != limit:
            return refused("tick", f"the limit {limit!r} is no multiple of the tick {rules.tick:g}")
    elif limit is not None:
        return refused("unused_price", f"only a stop-limit order has a second price, found a {kind} with {limit:g}")
    least = rules.stop_distance
    if least and not takes_at_once(request) and (nearer(price, quote, least) or _crosses(request, price, quote)):
        return too_close(f"a {kind} at {price:g}", quote, least)
    return None


def _crosses(request: OrderRequest, price: float, quote: float) -> bool:
    return request.type is OrderType.LIMIT and request.side.sign * (price - quote) > 0


def post_only_refusal(request: OrderRequest, price: float, quote: float) -> OrderResult | None:
    """Judge a limit order that must not take liquidity, at the quote that would fill it now."""
    if request.side.sign * (price - quote) < 0:
        return None
    return refused("post_only", f"a {request.side} limit at {price:g} would fill at once at {quote:g}")


def unused_refusal(request: OrderRequest) -> OrderResult | None:
    """Judge what a market order says of prices: it takes whatever comes."""
    if request.price is not None or request.limit is not None:
        found = request.limit if request.price is None else request.price
        return refused("unused_price", f"a market order takes the next price and has none of its own, found {found!r}")
    if request.trail_distance is not None or request.trail_percent is not None:
        return refused("unused_price", "a market order does not follow the price; take a trailing stop order")
    return None


def trailing_refusal(rules: Instrument, request: OrderRequest, quote: float) -> OrderResult | None:
    """Judge how far a trailing stop order follows `quote`."""
    refusal = trail_refusal("a trailing stop", request.trail_distance, request.trail_percent)
    trigger = trailing_trigger(request, quote)
    if refusal is not None or trigger is None:
        return refusal
    return _level_refusal(rules, "a trigger", abs(trigger - quote), quote, request.side.sign)


def distances_refusal(rules: Instrument, request: OrderRequest, price: float) -> OrderResult | None:
    """Judge the distances of stop and target of an entry that is expected at `price`.

    A stop or target is said in one way, lies at least so far away that the tick leaves it there, and at a positive
    price.
    """
    stop_gap, target_gap, multiple = request.stop_distance, request.target_distance, request.target_r
    trail_gap, percent = request.stop_trail_distance, request.stop_trail_percent
    if stop_gap is None and target_gap is None and multiple is None and trail_gap is None and percent is None:
        return None
    for distance in (stop_gap, target_gap, multiple):
        if distance is not None and not (math.isfinite(distance) and distance > 0):
            return refused("distance", f"expected a positive distance of stop or target, found {distance!r}")
    if stop_gap is not None and request.stop is not None:
        message = f"expected a stop or its distance, found both, {request.stop:g} and {stop_gap:g}"
        return refused("unused_distance", message)
    if (request.target is not None) + (target_gap is not None) + (multiple is not None) > 1:
        return refused("unused_distance", "expected one of target, target_distance and target_r, found more than one")
    if trail_gap is not None or percent is not None:
        refusal = trail_refusal("a trailing stop", trail_gap, percent)
        if refusal is not None:
            return refusal
        trail_gap = price * percent / 100 if percent is not None else trail_gap
    if multiple is not None:
        known = stop_gap if request.stop is None else abs(price - request.stop)
        target_gap = None if known is None else multiple * known  # without a stop refused by another rule
    sign = request.side.sign
    for what, gap, way in (
        ("a stop", stop_gap, -sign), ("a trailing stop", trail_gap, -sign), ("a target", target_gap, sign)
    ):  # fmt: skip
        refusal = None if gap is None else _level_refusal(rules, what, gap, price, way)
        if refusal is not None:
            return refusal
    return None


def _level_refusal(rules: Instrument, what: str, gap: float, price: float, way: int) -> OrderResult | None:
    """Judge a level that lies `gap` above (`way` 1) or below (-1) a price."""
    if gap <= rules.tick / 2 * (1 + NOISE):
        return refused("distance", f"{what} {gap:g} away falls onto {price:g}: the tick is {rules.tick:g}")
    level = rules.round_price(price + way * gap)
    if not (math.isfinite(level) and level > 0):
        return refused("distance", f"{what} {gap:g} away from {price:g} lies at no positive price")
    return None


def trail_refusal(what: str, distance: float | None, percent: float | None) -> OrderResult | None:
    """Judge how far something trails: exactly one of a distance and a percentage below 100."""
    if distance is not None and percent is not None:
        return refused("trail", f"{what} takes a distance or a percentage, found {distance:g} and {percent:g} percent")
    if distance is not None and not (math.isfinite(distance) and distance > 0):
        return refused("distance", f"expected a positive distance of {what}, found {distance!r}")
    if percent is not None and not 0 < percent < 100:
        return refused("distance", f"expected a percentage between 0 and 100 of {what}, found {percent!r}")
    if distance is None and percent is None:
        return refused("trail", f"{what} needs a distance or a percentage")
    return None


def trigger_refusal(
    request: OrderRequest, symbol: str, price_side: str, *, known: bool
) -> OrderResult | None:  # fmt: skip
    """Judge by which price an order is triggered: the series that has it has to be the one that the symbol trades on.

    Args:
        price_side: which price the symbol's series are.
        known: whether there are prices that its trigger could follow.
    """
    by = request.trigger_by
    if request.type in (OrderType.MARKET, OrderType.LIMIT):
        return refused("trigger_by", f"a {request.type} order has no trigger that could follow the {by} price")
    if known:
        return None
    return refused(f"no_{by}", f"{symbol} has {price_side} prices and no {by} price that a trigger could follow")


def terms_refusal(request: OrderRequest) -> OrderResult | None:
    """Judge time in force, expiry and `post_only`."""
    force, kind = request.time_in_force, request.type
    expires_ns: object = request.expires_ns
    if expires_ns is None:
        if force is TimeInForce.GTD:
            return refused("no_expiry", "a good-till-date order needs the instant at which it expires")
    elif not isinstance(expires_ns, Integral):
        return refused("no_expiry", f"expected the nanosecond at which the order expires, found {expires_ns!r}")
    if force in AT_ONCE:
        if kind not in (OrderType.MARKET, OrderType.LIMIT):
            return refused("time_in_force", f"a {kind} order waits for its trigger and cannot be {force}")
        if request.post_only:
            return refused("time_in_force", f"a post-only order rests and cannot be {force}")
    if request.post_only and kind is not OrderType.LIMIT:
        return refused("post_only", f"only a limit order can be post-only, found a {kind} order")
    return None
