"""Why the simulated venue refuses a request: the rules of the instrument, of the prices, and of the account. Pure.

A refusal is a value, an `OrderResult` with a code and a sentence; None means that nothing speaks against the request.
"""

import math

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.ledger import Ledger
from src.core.book import Book
from src.core.records import OrderRequest, OrderResult, OrderType, Side, make_order_result

__all__ = ["order_refusal", "protection_refusal", "refused"]


def refused(code: str, message: str) -> OrderResult:
    """The refusal with this code and sentence."""
    return make_order_result(accepted=False, code=code, message=message)


def order_refusal(ledger: Ledger, desk: Desk, request: OrderRequest) -> OrderResult | None:
    """Judge a new order at the desk's present prices and with the account as it is."""
    refusal = _volume_refusal(desk, request)
    if refusal is not None:
        return refusal
    if desk.ended or math.isnan(desk.mark):
        return refused("no_price", f"{desk.symbol} has no price now")
    sign = request.side.sign
    quote = desk.quotes.ask(desk.mark) if sign > 0 else desk.quotes.bid(desk.mark)
    price = quote if request.type is OrderType.MARKET else request.price
    if price is None or not (math.isfinite(price) and price > 0):
        return refused("price", f"expected a positive price, found {request.price!r}")
    if request.type is OrderType.STOP and sign * (price - quote) <= 0:
        return refused("stop_in_market", f"a {request.side} stop at {price:g} is already beyond {quote:g}")
    if request.type is not OrderType.MARKET and desk.instrument.round_price(price) != price:
        return refused("tick", f"{price!r} is no multiple of the tick {desk.instrument.tick:g}")
    if request.reduce_only:
        return None
    refusal = _entry_protection_refusal(desk, request, price)
    return _account_refusal(ledger, desk, request, price) if refusal is None else refusal


def protection_refusal(desk: Desk, book: Book, stop: float | None, target: float | None) -> OrderResult | None:
    """Judge a new stop or target of an open position: both lie on their side of the quote that would close it now."""
    for name, price in (("stop", stop), ("target", target)):
        if price is None:
            continue
        if not (math.isfinite(price) and price > 0):
            return refused("price", f"expected a positive {name}, found {price!r}")
        if desk.instrument.round_price(price) != price:
            return refused("tick", f"the {name} {price!r} is no multiple of the tick {desk.instrument.tick:g}")
    sign = 1.0 if book.volume > 0 else -1.0
    quote = desk.quotes.bid(desk.mark) if sign > 0 else desk.quotes.ask(desk.mark)
    if stop is not None and sign * (quote - stop) <= 0:
        return refused("stop_in_market", f"a stop at {stop:g} is already beyond {quote:g}")
    if target is not None and sign * (target - quote) <= 0:
        return refused("target_in_market", f"a target at {target:g} is already beyond {quote:g}")
    return None


def _volume_refusal(desk: Desk, request: OrderRequest) -> OrderResult | None:
    rules, volume = desk.instrument, request.volume
    if not (math.isfinite(volume) and volume > 0):
        return refused("volume", f"expected a positive volume, found {volume!r}")
    if request.reduce_only and any(abs(book.volume) == volume for book in desk.books):
        return None  # whatever is held may be closed as a whole, float noise included
    if rules.round_volume(volume) != volume:
        return refused("volume_step", f"{volume!r} is no multiple of the volume step {rules.volume_step:g}")
    if request.reduce_only:
        return None
    if volume < rules.min_volume:
        return refused("min_volume", f"{volume:g} is below the least volume {rules.min_volume:g}")
    if volume > rules.max_volume:
        return refused("max_volume", f"{volume:g} is above the largest volume {rules.max_volume:g}")
    return None


def _entry_protection_refusal(desk: Desk, request: OrderRequest, price: float) -> OrderResult | None:
    """Stop and target of an entry that is expected at `price`."""
    sign, stop, target = request.side.sign, request.stop, request.target
    if stop is not None:
        if not (math.isfinite(stop) and stop > 0):
            return refused("price", f"expected a positive stop, found {stop!r}")
        if sign * (price - stop) <= 0:
            return refused(
                "stop_side", f"a {request.side} at {price:g} needs its stop on its losing side, not {stop:g}"
            )
        exit_quote = desk.quotes.across(price, ask=request.side is Side.BUY)
        if sign * (exit_quote - stop) <= 0:
            return refused("stop_in_market", f"a stop at {stop:g} lies inside the spread, {exit_quote:g} to {price:g}")
        if desk.instrument.round_price(stop) != stop:
            return refused("tick", f"the stop {stop!r} is no multiple of the tick {desk.instrument.tick:g}")
    if target is not None:
        if not (math.isfinite(target) and target > 0):
            return refused("price", f"expected a positive target, found {target!r}")
        if sign * (target - price) <= 0:
            return refused("target_side", f"a {request.side} at {price:g} needs its target beyond it, not {target:g}")
        if desk.instrument.round_price(target) != target:
            return refused("tick", f"the target {target!r} is no multiple of the tick {desk.instrument.tick:g}")
    for distance in (request.stop_distance, request.target_distance, request.target_r):
        if distance is not None and not (math.isfinite(distance) and distance > 0):
            return refused("distance", f"expected a positive distance of stop or target, found {distance!r}")
    if request.target_r is not None and target is None and stop is None and request.stop_distance is None:
        return refused("no_stop", "target_r is a multiple of the distance to a stop; give the entry a stop as well")
    return None


def _account_refusal(ledger: Ledger, desk: Desk, request: OrderRequest, price: float) -> OrderResult | None:
    """The least value, what a spot account may sell, and margin; working entries have reserved theirs."""
    volume, least = request.volume, desk.instrument.min_notional
    if volume * price < least:
        return refused("min_notional", f"{volume * price:g} is below the least value {least:g}")
    if ledger.spot and request.side is Side.SELL:
        held = desk.held_by(request.book)
        # A reversal may close all that is held; its opening part is rejected at the fill.
        if desk.excess(volume, max(held, 0.0)) and not (request.reverse and held > 0):
            return refused("short_on_spot", f"a spot account can sell only what it holds of {desk.symbol}")
    increase = ledger.increase(desk, request, volume)
    if increase > 0:
        need = ledger.need(desk, request.side, increase, price, price)
        free = ledger.free() - ledger.margin_reserved()
        if need > free:
            return refused("margin", f"the order needs {need:.2f} and {free:.2f} is free")
    return None
