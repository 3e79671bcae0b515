"""Why the simulated venue refuses a request: the rules of the instrument, of the prices, and of the account. Pure.

A refusal is a value, an `OrderResult` with a code and a sentence; None means that nothing speaks against the request.
"""

import math

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.ledger import Ledger
from src.brokers.simulated.order_terms import (
    distances_refusal,
    nearer,
    post_only_refusal,
    refused,
    resting_refusal,
    terms_refusal,
    too_close,
    trailing_refusal,
    trailing_trigger,
    trigger_refusal,
    unused_refusal,
)
from src.core.book import Book
from src.core.calendars import calendar_named
from src.core.instrument import Instrument
from src.core.records import OrderRequest, OrderResult, OrderType, Side, TimeInForce, TriggerBy
from src.core.timeframe import format_instant

__all__ = ["order_refusal", "protection_refusal", "refused", "refused_while_closed", "watched_price"]


def order_refusal(
    ledger: Ledger, desk: Desk, request: OrderRequest, *, at: float | None = None, filled: float = 0.0,
    under_way: int = 0,
) -> OrderResult | None:  # fmt: skip
    """Judge a new order at the desk's present prices and with the account as it is.

    Args:
        at: the quote to judge by when it is not the present one: the price of the order that this one waits for.
        filled: how much of it has filled and needs no margin any more; the instrument's limits are those of the whole.
        under_way: how long it is under way; whether it would take liquidity is seen when it arrives.
    """
    refusal = _volume_refusal(desk, request)
    if refusal is not None:
        return refusal
    if desk.ended or math.isnan(desk.mark):
        return refused("no_price", f"{desk.symbol} has no price now")
    quote = desk.quotes.ask(desk.mark) if request.side is Side.BUY else desk.quotes.bid(desk.mark)
    if at is not None:
        quote = at
    elif request.trigger_by is not TriggerBy.QUOTE:
        quote = watched_price(desk, request.trigger_by, quote)
    price: float | None = quote
    if request.type is OrderType.MARKET:
        refusal = unused_refusal(request)
    else:
        price = request.price
        if request.type is OrderType.TRAILING_STOP:
            refusal = trailing_refusal(desk.instrument, request, quote)
            price = trailing_trigger(request, quote) if refusal is None else quote
    if refusal is not None:
        return refusal
    if price is None or not (math.isfinite(price) and price > 0):
        return refused("price", f"expected a positive price, found {price!r}")
    if request.type is not OrderType.MARKET:
        refusal = resting_refusal(desk.instrument, request, price, quote)
        if refusal is not None:
            return refusal
    if request.time_in_force is not TimeInForce.GTC or request.post_only or request.expires_ns is not None:
        refusal = terms_refusal(request)
        if refusal is None and request.post_only and not under_way:
            refusal = post_only_refusal(request, price, quote)
        if refusal is not None:
            return refusal
    if request.trigger_by is not TriggerBy.QUOTE:
        refusal = trigger_refusal(request, desk.symbol, desk.series.price_side, known=desk.knows(request.trigger_by))
        if refusal is not None:
            return refusal
    if request.reduce_only:
        return None
    # A limit that is marketable fills at the quote, so that is where its stop and target have to make sense.
    crosses = request.type is OrderType.LIMIT and request.side.sign * (price - quote) > 0
    refusal = _entry_protection_refusal(desk, request, quote if crosses else price)
    return _account_refusal(ledger, desk, request, price, filled) if refusal is None else refusal


def refused_while_closed(instrument: Instrument, now_ns: int) -> OrderResult | None:
    """Refuse what is sent while the instrument's market is closed."""
    if calendar_named(instrument.calendar).is_open(now_ns):
        return None
    return refused("closed", f"the market of {instrument.symbol} is closed at {format_instant(now_ns)}")


def watched_price(desk: Desk, by: TriggerBy, quote: float) -> float:
    """The price now that a trigger follows; the quote where there is none yet, or where it is the quote."""
    watched = desk.watched_now(by)
    return watched if watched > 0 else quote  # no number where the series has no price yet


def protection_refusal(desk: Desk, book: Book, stop: float | None, target: float | None) -> OrderResult | None:
    """Judge a new stop or target of an open position: both lie on their side of the quote that would close it now."""
    for name, price in (("stop", stop), ("target", target)):
        if price is None:
            continue
        if not (math.isfinite(price) and price > 0):
            return refused("price", f"expected a positive {name}, found {price!r}")
        if desk.instrument.round_price(price) != price:
            return refused("tick", f"the {name} {price!r} is no multiple of the tick {desk.instrument.tick:g}")
    least = desk.instrument.stop_distance
    sign = 1.0 if book.volume > 0 else -1.0
    quote = desk.quotes.bid(desk.mark) if sign > 0 else desk.quotes.ask(desk.mark)
    if stop is not None and sign * (quote - stop) <= 0:
        return refused("stop_in_market", f"a stop at {stop:g} is already beyond {quote:g}")
    if target is not None and sign * (target - quote) <= 0:
        return refused("target_in_market", f"a target at {target:g} is already beyond {quote:g}")
    if least:
        for name, price in (("stop", stop), ("target", target)):
            if price is not None and nearer(price, quote, least):
                return too_close(f"a {name} at {price:g}", quote, least)
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
    refusal = distances_refusal(desk.instrument, request, price)
    if refusal is not None:
        return refusal
    least = desk.instrument.stop_distance
    if least:
        exit_quote = desk.quotes.across(price, ask=request.side is Side.BUY)
        for name, level, gap in (
            ("stop", stop, request.stop_distance), ("target", target, request.target_distance),
            ("trailing stop", None, request.stop_trail_distance),
        ):  # fmt: skip
            if level is not None and nearer(level, exit_quote, least):
                return too_close(f"a {name} at {level:g}", exit_quote, least)
            if level is None and gap is not None and nearer(gap, 0.0, least):
                return refused("too_close", f"a {name} {gap:g} away is nearer than the least distance {least:g}")
    if request.target_r is not None and target is None and stop is None and request.stop_distance is None:
        return refused("no_stop", "target_r is a multiple of the distance to a stop; give the entry a stop as well")
    return None


def _account_refusal(
    ledger: Ledger, desk: Desk, request: OrderRequest, price: float, filled: float
) -> OrderResult | None:  # fmt: skip
    """The least value, what a spot account may sell, and margin; working entries have reserved theirs."""
    volume, least = request.volume, desk.instrument.min_notional
    if volume * price < least:
        return refused("min_notional", f"{volume * price:g} is below the least value {least:g}")
    if filled:
        volume = desk.instrument.round_volume(volume - filled)
    if ledger.spot and request.side is Side.SELL:
        held = desk.held_by(request.book)
        # A reversal may close all that is held; its opening part is rejected at the fill.
        if desk.excess(volume, max(held, 0.0)) and not (request.reverse and held > 0):
            return refused("short_on_spot", f"a spot account can sell only what it holds of {desk.symbol}")
    if desk.instrument.fees_in_base and request.side is Side.BUY:
        message = ledger.fee_refusal(desk, volume, price, request.client_id if filled else "")
        if message is not None:
            return refused("min_notional", message)
    increase = ledger.increase(desk, request, volume)
    if increase > 0:
        identity = request.client_id if filled else ""
        need = ledger.need_of_order(desk, request.side, increase, price, identity, request.book)
        free = ledger.free() - ledger.margin_reserved()
        if not need <= free:  # written so that a need which is no number is refused too
            return refused("margin", f"the order needs {need:.2f} and {free:.2f} is free")
    return None
