"""What is refused before it is sent: what the exchange would round silently, and what it cannot do.

ccxt cuts volumes and prices to the exchange's steps without a word, so a request between two steps would become another
one. A term that the exchange does not have is refused, and never left out. Pure, any thread.
"""

import math

from src.core.instrument import Instrument
from src.core.records import (
    OrderRequest,
    OrderResult,
    OrderType,
    Position,
    Quote,
    Side,
    TimeInForce,
    make_order_result,
)

__all__ = ["change_refusal", "protection_refusal", "refused", "request_refusal"]

#: An order of the exchange that ends by itself lasts at least this long.
LEAST_LIFE_NS = 600_000_000_000
#: How far a trailing stop of the exchange may follow, in percent, and its step.
_TRAIL = (0.1, 10.0)


def refused(code: str, message: str) -> OrderResult:
    """The refusal with this code and sentence."""
    return make_order_result(accepted=False, code=code, message=message)


def request_refusal(rules: Instrument, request: OrderRequest, quote: Quote | None, now_ns: int) -> OrderResult | None:
    """Judge a request at the present quote; None when nothing speaks against sending it."""
    refusal = _unsupported(request) or _volume_refusal(rules, request)
    if refusal is not None:
        return refusal
    if quote is None:
        return refused("no_price", f"{request.symbol} has no price now")
    refusal = _price_refusal(rules, request, quote) or _life_refusal(request, now_ns)
    if refusal is not None or request.reduce_only:
        return refusal
    at = _touch(request.side, quote)
    price = at if request.type is OrderType.MARKET or request.price is None else request.price
    crosses = request.type is OrderType.LIMIT and request.side.sign * (price - at) > 0
    refusal = _guard_refusal(rules, request, at if crosses else price)
    if refusal is None and request.volume * price < rules.min_notional:
        least = f"the least value {rules.min_notional:g}"
        refusal = refused("min_notional", f"{request.volume * price:g} is below {least}")
    return refusal


def change_refusal(
    rules: Instrument, request: OrderRequest, *, price: float | None, limit: float | None, volume: float | None
) -> OrderResult | None:
    """Judge a change of a working order."""
    if limit is not None:
        return refused("unused_price", f"only a stop-limit order has a second price, found a {request.type}")
    if request.type is not OrderType.LIMIT:
        return refused("unsupported", f"the exchange changes limit orders alone, found a {request.type}")
    if volume is not None and not (math.isfinite(volume) and volume > 0):
        return refused("volume", f"expected a positive volume, found {volume!r}")
    if volume is not None and rules.round_volume(volume) != volume:
        return refused("volume_step", f"{volume!r} is no multiple of the volume step {rules.volume_step:g}")
    return None if price is None else _level_refusal(rules, "price", price)


def protection_refusal(
    rules: Instrument, position: Position, quote: Quote | None, stop: float | None, target: float | None
) -> OrderResult | None:
    """Judge a new stop or target of an open position by the quote that would close it now."""
    for name, level in (("stop", stop), ("target", target)):
        refusal = None if level is None else _level_refusal(rules, name, level)
        if refusal is not None:
            return refusal
    if quote is None:
        return refused("no_price", f"{position.symbol} has no price now")
    sign = 1.0 if position.volume > 0 else -1.0
    at = quote.bid if sign > 0 else quote.ask
    if stop is not None and sign * (at - stop) <= 0:
        return refused("stop_in_market", f"a stop at {stop:g} is already beyond {at:g}")
    if target is not None and sign * (target - at) <= 0:
        return refused("target_in_market", f"a target at {target:g} is already beyond {at:g}")
    return None


def _touch(side: Side, quote: Quote) -> float:
    return quote.ask if side is Side.BUY else quote.bid


def _unsupported(request: OrderRequest) -> OrderResult | None:
    for given, what in (
        (request.group, "orders that exclude each other"), (request.parent, "orders that wait for another one"),
        (request.close_by, "positions closed by each other"),
        (request.stop_trail_distance, "a trailing stop of a position"),
        (request.stop_trail_percent, "a trailing stop of a position"),
    ):  # fmt: skip
        if given:
            return refused("unsupported", f"the exchange has no {what}")
    if request.time_in_force is TimeInForce.DAY:
        return refused("time_in_force", "the exchange has no sessions, so no order lasts for one")
    if request.type is OrderType.TRAILING_STOP and request.trail_distance is not None:
        return refused("trail", "a trailing stop of the exchange follows by percent; give trail_percent")
    return None


def _volume_refusal(rules: Instrument, request: OrderRequest) -> OrderResult | None:
    volume = request.volume
    if not (math.isfinite(volume) and volume > 0):
        return refused("volume", f"expected a positive volume, found {volume!r}")
    if rules.round_volume(volume) != volume:
        return refused("volume_step", f"{volume!r} is no multiple of the volume step {rules.volume_step:g}")
    if volume > rules.max_volume:
        return refused("max_volume", f"{volume:g} is above the largest volume {rules.max_volume:g}")
    if not request.reduce_only and volume < rules.min_volume:
        return refused("min_volume", f"{volume:g} is below the least volume {rules.min_volume:g}")
    return None


def _price_refusal(rules: Instrument, request: OrderRequest, quote: Quote) -> OrderResult | None:
    price, limit, kind = request.price, request.limit, request.type
    sign, at = request.side.sign, _touch(request.side, quote)
    if limit is not None and kind is not OrderType.STOP_LIMIT:
        return refused("unused_price", f"only a stop-limit order has a second price, found a {kind} with {limit:g}")
    if kind is OrderType.TRAILING_STOP:
        least, most = _TRAIL
        percent = request.trail_percent
        if price is not None:
            return refused("unused_price", "a trailing stop follows the price and takes no trigger of its own")
        if percent is None or not least <= percent <= most or round(percent, 1) != percent:
            return refused("trail", f"expected {least:g} to {most:g} percent with one digit, found {percent!r}")
        return None
    if kind is OrderType.MARKET:
        if price is not None:
            return refused("unused_price", f"a market order takes the next price, found {price!r}")
        return None
    refusal = _level_refusal(rules, "price", price)
    if refusal is None and kind is OrderType.STOP_LIMIT:
        refusal = _level_refusal(rules, "limit", limit, code="price")
    if refusal is not None or price is None:
        return refusal
    if kind in (OrderType.STOP, OrderType.STOP_LIMIT) and sign * (price - at) <= 0:
        return refused("stop_in_market", f"a {request.side} stop at {price:g} is already beyond {at:g}")
    if request.post_only and sign * (price - at) >= 0:
        return refused("post_only", f"a {request.side} limit at {price:g} would fill at once at {at:g}")
    return None


def _life_refusal(request: OrderRequest, now_ns: int) -> OrderResult | None:
    force, ends_ns = request.time_in_force, request.expires_ns
    if force is TimeInForce.GTD and ends_ns is None:
        return refused("no_expiry", "an order that is good till a date needs expires_ns")
    if ends_ns is not None and force not in (TimeInForce.GTC, TimeInForce.GTD):
        return refused("time_in_force", f"an order that is {force} has no expires_ns")
    if ends_ns is not None and (request.type is not OrderType.LIMIT or ends_ns - now_ns <= LEAST_LIFE_NS):
        return refused("time_in_force", "only limits of the exchange end by themselves, after ten minutes at least")
    if request.post_only and (request.type is not OrderType.LIMIT or force in (TimeInForce.IOC, TimeInForce.FOK)):
        return refused("post_only", "only a limit order that rests can be post_only")
    if force in (TimeInForce.IOC, TimeInForce.FOK) and request.type not in (OrderType.LIMIT, OrderType.MARKET):
        return refused("time_in_force", f"a {request.type} order that waits for a price cannot be {force}")
    return None


def _guard_refusal(rules: Instrument, request: OrderRequest, price: float) -> OrderResult | None:
    sign, stop, target = request.side.sign, request.stop, request.target
    for name, level in (("stop", stop), ("target", target)):
        refusal = None if level is None else _level_refusal(rules, name, level)
        if refusal is not None:
            return refusal
    if stop is not None and sign * (price - stop) <= 0:
        return refused("stop_side", f"a {request.side} at {price:g} needs its stop on its losing side, not {stop:g}")
    if target is not None and sign * (target - price) <= 0:
        return refused("target_side", f"a {request.side} at {price:g} needs its target beyond it, not {target:g}")
    for distance in (request.stop_distance, request.target_distance, request.target_r):
        if distance is not None and not (math.isfinite(distance) and distance > 0):
            return refused("distance", f"expected a positive distance of stop or target, found {distance!r}")
    if stop is not None and request.stop_distance is not None:
        return refused("unused_distance", f"expected a stop or its distance, found both, {stop:g} and a distance")
    if (target is not None) + (request.target_distance is not None) + (request.target_r is not None) > 1:
        return refused("unused_distance", "expected one of target, target_distance and target_r, found more than one")
    if request.target_r is not None and stop is None and request.stop_distance is None:
        return refused("no_stop", "target_r is a multiple of the distance to a stop; give the entry a stop as well")
    return None


def _level_refusal(rules: Instrument, name: str, level: float | None, code: str = "price") -> OrderResult | None:
    if level is None or not (math.isfinite(level) and level > 0):
        return refused(code, f"expected a positive {name}, found {level!r}")
    if rules.round_price(level) != level:
        return refused("tick", f"the {name} {level!r} is no multiple of the tick {rules.tick:g}")
    return None
