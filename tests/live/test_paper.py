"""A paper account: what a quote fills and what it does not, what a closed bar proves, and what nobody tells."""

from typing import Any

import pytest

from src.core.errors import BrokerUnavailable, ConfigError
from src.core.instrument import SwapRule
from src.core.records import OrderState, OrderType, Side, make_quote
from src.core.timeframe import HOUR_NS, MINUTE_NS, SECOND_NS
from tests.live.paper_world import START_NS, FakeFeed, PaperWorld, paper_broker

FREE: dict[str, Any] = {"spread_points": 0, "commission_percent": 0, "slippage_points": 0}


def begun(**more: Any) -> PaperWorld:
    """An account that has begun, without costs unless they are given."""
    world = PaperWorld(**{"costs": FREE, **more})
    world.broker.start()
    return world


def test_a_market_order_fills_at_the_next_quote_on_its_side() -> None:
    """A purchase gets the ask of the quote that is asked for after it, known when that has come."""
    world = begun()
    world.order(stop=95.0)
    world.pass_time(1, 101.0)
    world.order(Side.SELL, reduce_only=True)

    world.pass_time(1, 102.0)

    assert world.told() == [("entry", 101.01, 1.0), ("exit", 101.99, 2.0)]


def test_a_gap_through_a_stop_fills_at_the_quote() -> None:
    """A stop that the price has jumped over gets what the first quote beyond it gives."""
    world = begun()
    world.order(stop=95.0)
    world.pass_time()

    world.pass_time(1, 90.0)

    assert world.told()[1:] == [("stop", 89.99, 2.0)]


def test_costs_are_those_of_the_configuration_and_the_spread_is_that_of_the_quotes() -> None:
    """Commission and slippage are charged, and a configured spread is not added to the one that quotes have."""
    world = PaperWorld(costs={"spread_points": 5, "commission_percent": 0.1, "slippage_points": 0.5})
    world.broker.start()
    world.order()

    world.pass_time()

    (fill,) = world.broker.fills()
    assert fill.price == 100.51
    assert fill.slippage_cost == pytest.approx(0.5)
    assert fill.commission == pytest.approx(0.10051)
    assert fill.spread_cost == pytest.approx(0.01)


def test_a_quote_from_before_an_order_does_not_fill_it() -> None:
    """A quote that was asked for before the order was placed and comes after it is too old for it."""
    world = begun()
    world.now_ns += 2 * SECOND_NS
    world.order()
    world.order(Side.BUY, OrderType.LIMIT, price=99.0)

    world.now_ns += SECOND_NS
    world.broker.pump(world.now_ns, [quote(98.0, 1.0)], [])
    before = world.told()
    world.broker.pump(world.now_ns, [quote(98.5, 2.5)], [])

    assert before == []
    assert world.told() == [("entry", 98.51, 3.0), ("entry", 98.51, 3.0)]


def test_a_quote_from_before_a_stop_was_moved_does_not_trigger_it() -> None:
    """A stop that was moved waits for a quote that was asked for afterwards."""
    world = begun()
    world.order(stop=95.0)
    world.pass_time()
    world.now_ns += 2 * SECOND_NS
    moved = world.broker.protect("o1", stop=99.0)

    world.broker.pump(world.now_ns, [quote(98.0, 2.0)], [])
    before = len(world.told())
    world.broker.pump(world.now_ns + SECOND_NS, [quote(98.0, 3.5)], [])

    assert moved.accepted
    assert before == 1
    assert world.told()[1:] == [("stop", 97.99, 4.0)]


def test_a_bar_triggers_a_stop_that_no_quote_has_seen() -> None:
    """When the market was beyond the stop between two polls, the closed bar says so: the stop fills at its level."""
    world = begun()
    world.order(stop=95.0)
    world.pass_time()
    world.pass_time(60)

    world.feed.touch("AAA", 94.0, world.now_ns)
    world.pass_time(60)

    (_, exit_) = world.broker.fills()
    assert (exit_.kind, exit_.price, exit_.ambiguous) == ("stop", 95.0, False)
    assert (exit_.filled_from_ns, exit_.filled_ns) == (START_NS + MINUTE_NS, world.now_ns)


def test_a_bar_says_nothing_about_what_came_inside_it() -> None:
    """A position that was opened inside a bar, or a stop that was moved inside it, may be younger than its low."""
    world = begun()
    world.feed.touch("AAA", 94.0, START_NS)
    world.order(stop=95.0)
    world.pass_time()
    world.pass_time(60)
    world.pass_time(10, 110.0)
    world.broker.protect("o1", stop=105.0)

    world.pass_time(60)

    assert len(world.broker.base_series("AAA").low) >= 2
    assert [kind for kind, _, _ in world.told()] == ["entry"]


def test_a_stop_that_was_raised_inside_a_bar_counts_where_it_stood_all_along() -> None:
    """A low below both the old and the new stop triggers the position at the old one."""
    world = begun()
    world.order(stop=95.0)
    world.pass_time()
    world.pass_time(60)
    world.feed.touch("AAA", 94.0, world.now_ns)
    world.broker.protect("o1", stop=97.0)

    world.pass_time(60)

    assert [(kind, price) for kind, price, _ in world.told()] == [("entry", 100.01), ("stop", 95.0)]


def test_a_bar_that_opens_beyond_a_stop_fills_it_at_its_open() -> None:
    """A bar that came while nobody polled, and that began beyond the stop, gives its open and not the level."""
    world = begun()
    world.order(stop=95.0)
    world.pass_time()
    world.pass_time(58)
    world.feed.touch("AAA", 90.0, world.now_ns + 2 * SECOND_NS)

    world.pass_time(62)

    assert world.told()[1][:2] == ("stop", 90.0)


def test_a_target_needs_a_bar_that_passed_it_by_the_spread() -> None:
    """A trade at the target may have been a purchase at the ask, which proves no bid there."""
    world = begun()
    world.order(stop=90.0, target=105.0)
    world.pass_time()
    world.pass_time(60)
    world.feed.touch("AAA", 105.01, world.now_ns)
    world.pass_time(60)
    before = len(world.told())
    world.feed.touch("AAA", 105.03, world.now_ns)

    world.pass_time(60)

    assert before == 1
    assert world.told()[1][:2] == ("target", 105.0)


def test_a_bar_that_reaches_both_fills_the_stop() -> None:
    """Of a stop and a target inside one bar the stop counts, and the fill says that it might have been the target."""
    world = begun()
    world.order(stop=95.0, target=105.0)
    world.pass_time()
    world.pass_time(60)
    world.feed.touch("AAA", 94.0, world.now_ns)
    world.feed.touch("AAA", 106.0, world.now_ns)

    world.pass_time(60)

    exit_ = world.broker.fills()[1]
    assert (exit_.kind, exit_.price, exit_.other_price) == ("stop", 95.0, 105.0)


@pytest.mark.parametrize(
    ("side", "kind", "terms", "touched", "expected"),
    [
        (Side.BUY, OrderType.LIMIT, {"price": 98.0}, 97.9, 98.0),
        (Side.SELL, OrderType.LIMIT, {"price": 102.0}, 102.1, 102.0),
        (Side.BUY, OrderType.STOP, {"price": 102.0}, 102.0, 102.0),
        (Side.SELL, OrderType.STOP, {"price": 98.0}, 98.0, 98.0),
        (Side.BUY, OrderType.STOP_LIMIT, {"price": 102.0, "limit": 102.5}, 103.0, 102.0),
        (Side.BUY, OrderType.LIMIT, {"price": 98.0}, 97.99, None),
        (Side.BUY, OrderType.STOP_LIMIT, {"price": 102.0, "limit": 101.0}, 103.0, 100.01),
    ],
)
def test_a_bar_fills_resting_orders_that_it_proves(
    side: Side, kind: OrderType, terms: dict[str, Any], touched: float, expected: float | None
) -> None:
    """Limits must be passed by the spread, stops be touched; a stop-limit may have to wait for the next quote."""
    world = begun()
    world.order(side, kind, **terms)
    world.pass_time(60)
    world.feed.touch("AAA", touched, world.now_ns)

    world.pass_time(60)

    assert [price for _, price, _ in world.told()] == ([] if expected is None else [expected])


def test_a_feed_that_does_not_answer_fills_nothing_and_quotes_grow_old() -> None:
    """Without answers nothing fills, the quote keeps its instant, and orders still end in time."""
    world = begun()
    world.order(stop=95.0)
    world.order(Side.BUY, OrderType.LIMIT, price=90.0, expires_ns=START_NS + 30 * SECOND_NS)
    world.feed.silent = True

    for _ in range(60):
        with pytest.raises(BrokerUnavailable):
            world.pass_time(1, 80.0)

    standing = world.broker.quote("AAA")
    assert world.told() == []
    assert standing is not None
    assert (standing.instant_ns, standing.bid) == (START_NS, 99.99)
    ended = world.broker.orders()[0]
    assert (ended.order_id, ended.state, ended.updated_ns) == ("o2", OrderState.EXPIRED, START_NS + 30 * SECOND_NS)


def test_an_answer_that_is_repeated_is_no_new_quote() -> None:
    """A venue that says again what it said before fills nothing."""
    world = begun()
    world.order()
    world.feed.frozen = True

    world.pass_time(1)
    world.pass_time(1)

    assert world.told() == []


def test_a_quote_whose_ask_is_below_its_bid_is_left_out() -> None:
    """A crossed quote neither fills nor shows."""
    world = begun()
    world.order()
    world.now_ns += SECOND_NS
    crossed = make_quote(symbol="AAA", instant_ns=world.now_ns, bid=101.0, ask=100.0)

    world.broker.pump(world.now_ns, [crossed], [])

    shown = world.broker.quote("AAA")
    assert world.told() == []
    assert shown is not None
    assert shown.bid == 99.99


def test_an_order_counts_from_its_arrival_on() -> None:
    """With latency an order waits for a quote from after its arrival."""
    world = begun(costs={**FREE, "latency": "1500ms"})
    world.order()
    world.pass_time(1, 101.0)
    before = world.told()

    world.pass_time(1, 102.0)

    assert before == []
    assert world.told() == [("entry", 102.01, 2.0)]


def test_an_entry_that_no_quote_met_in_time_opens_nothing() -> None:
    """With a longest time for entries one that has waited for longer ends when the time is over."""
    world = begun(rules={"no_entry_across_ns": 2 * MINUTE_NS})
    world.order()
    world.feed.frozen = True
    world.pass_time(200)
    world.feed.frozen = False

    world.pass_time(1)

    (order,) = world.broker.orders()
    assert world.told() == []
    assert (order.code, order.updated_ns) == ("hole", START_NS + 2 * MINUTE_NS)


def test_bars_of_all_timeframes_are_shown_when_they_close() -> None:
    """What had closed at the start is history, and what closes later is appended."""
    now = [START_NS - 11 * MINUTE_NS]
    feed = FakeFeed(["AAA"], lambda: now[0], (MINUTE_NS, 5 * MINUTE_NS))
    broker = paper_broker(feed, ["AAA"], lambda: now[0], {"leverage": 5})
    for _ in range(11):
        feed.refresh()
        now[0] += MINUTE_NS
    broker.start()
    begun_with = broker.base_series("AAA").length, broker.series("AAA", 5 * MINUTE_NS).length

    for _ in range(6):
        now[0] += MINUTE_NS
        broker.refresh()

    assert begun_with == (11, 3)
    assert (broker.base_series("AAA").length, broker.series("AAA", 5 * MINUTE_NS).length) == (17, 4)
    assert broker.series("AAA", MINUTE_NS) is broker.base_series("AAA")
    with pytest.raises(ConfigError, match="subscribe the timeframe"):
        broker.series("AAA", HOUR_NS)


def test_swaps_are_paid_when_the_night_begins() -> None:
    """What an instrument's nights cost is paid by what is held then, with the first quote after it."""
    rule = SwapRule(long=-0.5, short=0.2, triple="none", at="02:00", zone="UTC")
    world = begun(swap=rule)
    world.order(stop=90.0)
    world.pass_time()

    world.pass_time(2 * 3600)

    (payment,) = world.broker.payments()
    assert (payment.kind, payment.amount, payment.instant_ns) == ("swap", -0.5, START_NS + 2 * HOUR_NS)


def test_costs_that_no_feed_has_are_refused() -> None:
    """Funding and a share of the volume are refused at once, and the sentence names the key."""
    with pytest.raises(ConfigError, match=r"instruments\.AAA\.funding"):
        PaperWorld(funding=True)
    with pytest.raises(ConfigError, match=r"costs\.volume_share"):
        PaperWorld(costs={**FREE, "volume_share": 0.1})


def test_nothing_can_be_ordered_before_the_first_quote() -> None:
    """Without a price an order is refused, and nothing is shown as a quote."""
    world = PaperWorld()

    result = world.order()

    assert (result.accepted, result.code) == (False, "no_price")
    assert world.broker.quote("AAA") is None


def quote(price: float, seconds: float) -> Any:
    """A quote around a price, so many seconds after the start."""
    return make_quote(
        symbol="AAA", instant_ns=START_NS + round(seconds * SECOND_NS), bid=round(price - 0.01, 6),
        ask=round(price + 0.01, 6),
    )  # fmt: skip
