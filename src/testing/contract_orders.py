"""Cases of the broker contract: placing, refusing, resting, cancelling, modifying and expiring. See `contract_kit`."""

import math
from dataclasses import replace

from src.core.errors import ConfigError
from src.core.records import OrderResult, OrderState, OrderType, Side, TimeInForce
from src.testing.contract_kit import Capability as Can
from src.testing.contract_kit import Talk, case

FIVE_MINUTES_NS = 300_000_000_000


@case("BC-01")
def quotes(talk: Talk) -> None:
    """A quote has a bid that is not above its ask, and is not from the future."""
    quote = talk.quote()
    talk.hold(0 < quote.bid <= quote.ask, f"expected 0 < bid <= ask, found {quote.bid} and {quote.ask}")
    talk.hold(quote.instant_ns <= talk.bench.now_ns(), "expected a quote of the present, found one of the future")


@case("BC-02")
def bars_have_closed(talk: Talk) -> None:
    """A series has closed bars alone, in order, and is the same object each time."""
    series = talk.broker.base_series(talk.symbol)
    talk.bench.until(lambda: series.length > 1)
    opens = series.open_ns[: series.length].tolist()
    talk.hold(all(a < b for a, b in zip(opens, opens[1:], strict=False)), "expected bars in the order of time")
    talk.hold(series.close_of(series.length - 1) <= talk.bench.now_ns(), "expected closed bars, found one under way")
    talk.hold(talk.broker.base_series(talk.symbol) is series, "expected the same series each time, found another one")


@case("BC-03")
def unknown_names(talk: Talk) -> None:
    """An unknown symbol is a ConfigError where something is read, and a refusal where something is asked for."""
    for read in (talk.broker.instrument, talk.broker.base_series):
        try:
            read("NO-SUCH-SYMBOL")
        except ConfigError:
            continue
        talk.hold(False, f"expected a ConfigError from {read.__name__} of an unknown symbol, found an answer")
    talk.refused(talk.place(Side.BUY, symbol="NO-SUCH-SYMBOL", volume=1.0), "unknown_symbol")


@case("BC-04")
def acknowledgement(talk: Talk) -> None:
    """Placing answers with an acknowledgement that has the order's id, never with a fill."""
    result = talk.place(Side.BUY)
    talk.equal(type(result), OrderResult, "as the answer of place a")
    talk.filled(talk.accepted(result))


@case("BC-05")
def market_order(talk: Talk) -> None:
    """A market order fills whole, at a price, after it was placed, and the book holds what was bought."""
    asked_ns, volume = talk.bench.now_ns(), talk.volume(2)
    order = talk.filled(talk.buy(volume=volume))
    fills = talk.fills(order.order_id)
    talk.near(sum(fill.volume for fill in fills), volume, "executed volume")
    talk.near(order.filled_volume, volume, "filled volume")
    for fill in fills:
        talk.hold(fill.price > 0 and fill.side is Side.BUY, f"expected a purchase at a price, found {fill}")
        talk.hold(
            asked_ns <= fill.filled_from_ns <= fill.filled_ns, "expected a fill after the order, found one before"
        )
    position = talk.position()
    talk.near(position.volume, volume, "position")
    worth = sum(fill.price * fill.volume for fill in fills)
    talk.near(position.entry_price, worth / volume, "entry price")


@case("BC-06")
def events_once(talk: Talk) -> None:
    """Each change is one event, in the order in which it happened, and nothing follows an end."""
    talk.resting()
    position = talk.bought(2)
    talk.filled(talk.close(position))
    talk.check_events()


@case("BC-07")
def resting_limit(talk: Talk) -> None:
    """A limit far from the market works, is shown by the snapshot, and does not fill."""
    order_id = talk.resting()
    order = talk.working().get(order_id)
    talk.hold(order is not None, "expected the resting order in the snapshot, found it absent")
    if order is not None:
        talk.equal(order.state, OrderState.WORKING, "as the state")
        talk.equal(order.filled_volume, 0.0, "as the filled volume")
    talk.equal(talk.fills(order_id), [], "of a limit far away the fills")


@case("BC-08")
def cancelling(talk: Talk) -> None:
    """A cancelled order ends as such, leaves the snapshot, and has no fill."""
    order_id = talk.resting()
    talk.hold(talk.broker.cancel(order_id).accepted, "expected a working order to be cancelled, found a refusal")
    talk.ended(order_id, OrderState.CANCELLED)
    talk.hold(order_id not in talk.working(), "expected a cancelled order to leave the snapshot, found it there")
    talk.equal(talk.fills(order_id), [], "of a cancelled order the fills")


@case("BC-09")
def cancelling_what_ended(talk: Talk) -> None:
    """To cancel what was filled, cancelled before, or never there is refused with not_working."""
    filled = talk.buy()
    talk.filled(filled)
    cancelled = talk.resting()
    talk.broker.cancel(cancelled)
    talk.ended(cancelled, OrderState.CANCELLED)
    for order_id in (filled, cancelled, "nosuchorder"):
        talk.refused(talk.broker.cancel(order_id), "not_working")


@case("BC-10")
def marketable_limit(talk: Talk) -> None:
    """A limit beyond the market fills at its price or better."""
    limit = talk.price(1.05)
    order_id = talk.accepted(talk.place(Side.BUY, OrderType.LIMIT, price=limit))
    talk.filled(order_id)
    prices = [fill.price for fill in talk.fills(order_id)]
    talk.hold(all(price <= limit for price in prices), f"expected fills at {limit} or better, found {prices}")


@case("BC-11")
def one_id_twice(talk: Talk) -> None:
    """While an order works its client id cannot be used again, and there is still one order."""
    request = talk.request(Side.BUY, OrderType.LIMIT, price=talk.price(0.8))
    talk.accepted(talk.broker.place(request))
    talk.refused(talk.broker.place(request), "duplicate_id")
    talk.refused(talk.broker.place(replace(request, price=talk.price(0.79))), "duplicate_id")
    talk.equal(len(talk.working()), 1, "as the number of live orders")


@case("BC-12")
def bad_volumes(talk: Talk) -> None:
    """A volume that is zero, negative, infinite or no number is refused, and changes nothing."""
    before = talk.broker.snapshot()
    for volume in (0.0, -talk.volume(), math.nan, math.inf):
        talk.refused(talk.place(Side.BUY, volume=volume), "volume")
    after = talk.broker.snapshot()
    talk.equal((after.positions, after.orders), (before.positions, before.orders), "after refusals the same")
    talk.equal(talk.read(), [], "after refusals the events")


@case("BC-13")
def bad_prices(talk: Talk) -> None:
    """A limit without a price, or with one that is negative, infinite or no number, is refused."""
    for price in (None, -1.0, math.nan, math.inf):
        talk.refused(talk.place(Side.BUY, OrderType.LIMIT, price=price), "price")
    talk.equal(talk.working(), {}, "after refusals the live orders")


@case("BC-14")
def off_the_step(talk: Talk) -> None:
    """A volume between two steps, or below the least, is refused and never rounded silently."""
    rules = talk.broker.instrument(talk.symbol)
    if rules.volume_step:
        talk.refused(talk.place(Side.BUY, volume=talk.volume() + rules.volume_step / 2), "volume_step")
    if rules.min_volume > rules.volume_step > 0:
        talk.refused(talk.place(Side.BUY, volume=rules.volume_step), "min_volume", "min_notional")
    talk.equal(talk.read(), [], "after refusals the events")


@case("BC-15")
def off_the_tick(talk: Talk) -> None:
    """A price between two ticks is refused and never rounded silently."""
    rules = talk.broker.instrument(talk.symbol)
    if rules.tick:
        talk.refused(talk.place(Side.BUY, OrderType.LIMIT, price=talk.price(0.8) + rules.tick / 2), "tick")


@case("BC-16")
def too_much(talk: Talk) -> None:
    """More than the account can pay for is refused with margin."""
    account, rules = talk.broker.snapshot().account, talk.broker.instrument(talk.symbol)
    per_unit = talk.broker.margin_per_unit(talk.symbol, talk.quote().ask)
    volume = rules.round_volume(2 * account.margin_free / per_unit) + (rules.volume_step or 1.0)
    talk.refused(talk.place(Side.BUY, volume=rules.round_volume(min(volume, rules.max_volume))), "margin")


@case("BC-17", Can.MODIFY)
def modifying(talk: Talk) -> None:
    """A modified order shows its new price and volume under its old id."""
    order_id = talk.resting()
    price, volume = talk.price(0.75), talk.volume(2)
    talk.accepted(talk.broker.modify(order_id, price=price, volume=volume))

    def shown() -> bool:
        order = talk.working().get(order_id)
        return order is not None and (order.request.price, order.request.volume) == (price, volume)

    talk.hold(talk.bench.until(shown), f"expected {order_id} at {price} for {volume}, found {talk.working()}")
    talk.equal(list(talk.working()), [order_id], "after a change the live orders")


@case("BC-18", Can.MODIFY)
def modifying_badly(talk: Talk) -> None:
    """A change that a new order would be refused for leaves the order as it was; one of an ended order is refused."""
    order_id = talk.resting()
    before = talk.working()[order_id].request
    talk.refused(talk.broker.modify(order_id, price=math.nan), "price")
    talk.refused(talk.broker.modify(order_id, volume=0.0), "volume")
    talk.refused(talk.broker.modify(order_id, price=-1.0, volume=talk.volume(2)), "price")
    talk.equal(talk.working()[order_id].request, before, "after refused changes the request")
    filled = talk.buy()
    talk.filled(filled)
    talk.refused(talk.broker.modify(filled, price=talk.price(0.7)), "not_working")


@case("BC-19", Can.EXPIRY)
def expiring(talk: Talk) -> None:
    """An order whose time is over ends as expired."""
    order_id = talk.resting(expires_ns=talk.bench.now_ns() + FIVE_MINUTES_NS)
    order = talk.ended(order_id, OrderState.EXPIRED)
    talk.hold(talk.bench.now_ns() >= (order.request.expires_ns or 0), "expected the end at its time, found it before")
    talk.equal(talk.fills(order_id), [], "of an expired order the fills")


@case("BC-20", Can.STOP_ORDERS)
def resting_stop(talk: Talk) -> None:
    """A stop beyond the market works, and one that the market has passed is refused."""
    order_id = talk.accepted(talk.place(Side.BUY, OrderType.STOP, price=talk.price(1.2)))
    talk.hold(order_id in talk.working(), "expected the stop in the snapshot, found it absent")
    talk.refused(talk.place(Side.BUY, OrderType.STOP, price=talk.price(0.8)), "stop_in_market")
    talk.equal(talk.fills(), [], "before a stop is reached the fills")


@case("BC-21", Can.STOP_ORDERS, Can.MOVES_PRICES)
def triggered_stop(talk: Talk) -> None:
    """A stop fills when the price reaches it, not better than its trigger."""
    trigger = talk.price(1.05)
    order_id = talk.accepted(talk.place(Side.BUY, OrderType.STOP, price=trigger))
    talk.bench.move_to(talk.price(1.1))
    talk.filled(order_id)
    talk.hold(all(f.price >= trigger for f in talk.fills(order_id)), "expected fills at the trigger or worse")


@case("BC-22", Can.MOVES_PRICES)
def reached_limit(talk: Talk) -> None:
    """A limit fills when the price has gone through it, at the limit or better."""
    limit = talk.price(0.95)
    order_id = talk.accepted(talk.place(Side.BUY, OrderType.LIMIT, price=limit))
    talk.bench.move_to(talk.price(0.9))
    talk.filled(order_id)
    talk.hold(all(f.price <= limit for f in talk.fills(order_id)), "expected fills at the limit or better")


@case("BC-23", Can.STOP_LIMIT)
def stop_limit(talk: Talk) -> None:
    """A stop-limit beyond the market works and shows trigger and limit."""
    trigger, limit = talk.price(1.2), talk.price(1.21)
    order_id = talk.accepted(talk.place(Side.BUY, OrderType.STOP_LIMIT, price=trigger, limit=limit))
    request = talk.working()[order_id].request
    talk.equal((request.price, request.limit), (trigger, limit), "as trigger and limit")


@case("BC-24", Can.STOP_LIMIT, Can.MOVES_PRICES)
def triggered_stop_limit(talk: Talk) -> None:
    """A triggered stop-limit fills no worse than its limit."""
    trigger, limit = talk.price(1.05), talk.price(1.06)
    order_id = talk.accepted(talk.place(Side.BUY, OrderType.STOP_LIMIT, price=trigger, limit=limit))
    talk.bench.move_to(talk.price(1.1))
    if not talk.bench.until(lambda: bool(talk.fills(order_id))):
        talk.bench.move_to(talk.price(0.9))  # the price went past the limit at once, and comes back to it
    talk.filled(order_id)
    talk.hold(all(f.price <= limit for f in talk.fills(order_id)), "expected fills at the limit or better")


@case("BC-25", Can.TRAILING_STOP, Can.MOVES_PRICES)
def trailing_stop(talk: Talk) -> None:
    """A trailing stop follows the price and fills when it turns back by the distance."""
    position = talk.bought()
    distance = talk.price(0.05)
    order_id = talk.accepted(
        talk.place(
            Side.SELL,
            OrderType.TRAILING_STOP,
            trail_distance=distance,
            volume=position.volume,
            reduce_only=True,
            position_id=position.position_id,
        )
    )
    start = talk.quote().bid
    talk.bench.move_to(talk.price(1.2))
    talk.bench.until(lambda: talk.quote().bid > 1.15 * start)
    talk.equal(talk.fills(order_id), [], "while the price goes its way the fills")
    talk.bench.move_to(talk.price(0.9))
    talk.filled(order_id)
    prices = [fill.price for fill in talk.fills(order_id)]
    talk.hold(min(prices) > 1.1 * start, f"expected it to have followed from {start}, found fills at {prices}")


@case("BC-26", Can.IOC)
def immediate_or_cancel(talk: Talk) -> None:
    """An immediate-or-cancel limit that nobody meets ends unfilled, and one that is met fills."""
    far = talk.accepted(
        talk.place(Side.BUY, OrderType.LIMIT, price=talk.price(0.8), time_in_force=TimeInForce.IOC)
    )  # fmt: skip
    talk.ended(far, OrderState.CANCELLED, OrderState.EXPIRED)
    talk.equal(talk.fills(far), [], "of a limit that nobody meets the fills")
    near = talk.accepted(
        talk.place(Side.BUY, OrderType.LIMIT, price=talk.price(1.05), time_in_force=TimeInForce.IOC)
    )  # fmt: skip
    talk.filled(near)


@case("BC-27", Can.FOK)
def fill_or_kill(talk: Talk) -> None:
    """A fill-or-kill order fills whole or not at all."""
    far = talk.accepted(
        talk.place(Side.BUY, OrderType.LIMIT, price=talk.price(0.8), time_in_force=TimeInForce.FOK)
    )  # fmt: skip
    talk.ended(far, OrderState.CANCELLED, OrderState.EXPIRED)
    volume = talk.volume(2)
    near = talk.accepted(
        talk.place(Side.BUY, OrderType.LIMIT, price=talk.price(1.05), time_in_force=TimeInForce.FOK, volume=volume)
    )
    talk.near(talk.filled(near).filled_volume, volume, "filled volume")


@case("BC-28", Can.POST_ONLY)
def post_only(talk: Talk) -> None:
    """A post-only limit that would fill at once is refused, and one that would rest works."""
    talk.refused(talk.place(Side.BUY, OrderType.LIMIT, price=talk.price(1.05), post_only=True), "post_only")
    talk.hold(talk.resting(post_only=True) in talk.working(), "expected a post-only limit to rest, found it absent")


@case("BC-29", Can.GROUPS)
def one_cancels_the_others(talk: Talk) -> None:
    """When an order of a group fills, the others of the group are cancelled."""
    other = talk.resting(group="either")
    first = talk.accepted(talk.place(Side.BUY, OrderType.LIMIT, price=talk.price(1.05), group="either"))
    talk.filled(first)
    talk.ended(other, OrderState.CANCELLED)


@case("BC-30", Can.PARENTS)
def one_triggers_another(talk: Talk) -> None:
    """An order with a parent sleeps until the parent has filled, and ends with a parent that ends unfilled."""
    parent = talk.resting()
    child = talk.accepted(
        talk.place(Side.SELL, OrderType.LIMIT, price=talk.price(1.2), parent=parent, reduce_only=True)
    )
    talk.broker.cancel(parent)
    talk.ended(child, OrderState.CANCELLED)
    talk.equal(talk.fills(), [], "when a parent ends unfilled the fills")


@case("BC-31", Can.FIND_ORDER)
def finding_an_order(talk: Talk) -> None:
    """An order is found by its client id while it works and after it has ended; one that never was is not."""
    request = talk.request(Side.BUY, OrderType.LIMIT, price=talk.price(0.8))
    order_id = talk.accepted(talk.broker.place(request))
    found = talk.broker.find_order(request.client_id)
    talk.equal(None if found is None else found.order_id, order_id, "by its client id the order")
    talk.broker.cancel(order_id)
    talk.ended(order_id, OrderState.CANCELLED)
    ended = talk.broker.find_order(request.client_id)
    talk.equal(None if ended is None else ended.state, OrderState.CANCELLED, "after its end the state")
    talk.equal(talk.broker.find_order(talk.next_id()), None, "under an unused id the order")


@case("BC-66", Can.STOP_LIMIT, Can.MODIFY)
def modifying_a_limit(talk: Talk) -> None:
    """A stop-limit that waits for its trigger shows its new limit; of another order a limit cannot be changed."""
    trigger, limit = talk.price(1.2), talk.price(1.22)
    order_id = talk.accepted(talk.place(Side.BUY, OrderType.STOP_LIMIT, price=trigger, limit=talk.price(1.21)))
    talk.accepted(talk.broker.modify(order_id, limit=limit))

    def shown() -> bool:
        order = talk.working().get(order_id)
        return order is not None and (order.request.price, order.request.limit) == (trigger, limit)

    talk.hold(talk.bench.until(shown), f"expected the limit {limit} of {order_id}, found {talk.working()}")
    talk.refused(talk.broker.modify(talk.resting(), limit=limit), "unused_price")


@case("BC-67", Can.PARENTS, Can.MOVES_PRICES)
def a_child_wakes(talk: Talk) -> None:
    """An order whose parent has filled wakes and works as one that was placed then."""
    parent = talk.resting(factor=0.95)
    child = talk.accepted(
        talk.place(Side.SELL, OrderType.LIMIT, price=talk.price(0.8), parent=parent, reduce_only=True)
    )
    talk.bench.move_to(talk.price(0.9))
    talk.filled(parent)
    talk.filled(child)
    talk.flat()
    bought, sold = talk.fills(parent)[0], talk.fills(child)[0]
    talk.hold(bought.filled_ns <= sold.filled_ns, "expected the child to fill after its parent, found it before")
