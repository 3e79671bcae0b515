"""A spread by the hour, requests that are under way for different times, and orders that the venue rejects later."""

import pytest

from src.brokers.simulated.costs_section import points_by_hour
from src.brokers.simulated.latency import Jitter
from src.core.records import OrderState
from src.core.timeframe import HOUR_NS, MINUTE_NS
from tests.brokers.simulated.venue import START_NS, Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]

#: A wide hour at the start of the day, a narrow one after it.
BY_HOUR = (0.5, *[0.25] * 23)


def hours(price_side: str = "bid") -> Venue:
    """Ninety minutes at one price: the first hour has the wide spread."""
    return Venue([FLAT] * 91, costs={"spread_by_hour": BY_HOUR}, price_side=price_side, minutes=90)


@pytest.mark.parametrize(("price_side", "prices"), [("bid", (100.5, 100.25)), ("trade", (100.25, 100.125)),
                                                    ("ask", (100.0, 100.0))])  # fmt: skip
def test_the_spread_is_that_of_the_hour_in_which_the_bar_opens(price_side: str, prices: tuple[float, float]) -> None:
    """The last bar of the hour still has its spread, the first of the next one another."""
    world = hours(price_side)

    world.go_to(58.5).buy(1)
    world.go_to(59.5).buy(1)
    world.run()

    assert [fill.price for fill in world.fills] == list(prices)


def seen(world: Venue) -> tuple[float, float | None]:
    """The equity and the ask."""
    quote = world.broker.quote("AAA")
    return world.account.equity, None if quote is None else quote.ask


def test_quotes_and_equity_follow_the_hour() -> None:
    """A short is marked at the ask, which comes down when the spread narrows."""
    world = hours()

    world.go_to(10).sell(2)
    world.go_to(60)
    wide = seen(world)
    world.go_to(61)

    assert wide == (10_000 - 1.0, 100.5)
    assert seen(world) == (10_000 - 0.5, 100.25)


def test_the_equity_curve_equals_the_equity_of_each_step() -> None:
    """The curve is worked out at the end from the same spreads."""
    world = hours()
    world.go_to(10).sell(2)
    shown: dict[int, float] = {}
    while world.step():
        shown[world.clock.instant_ns] = world.broker.equity()
    at, equity = world.broker.equity_samples()

    curve = dict(zip(at.tolist(), equity.tolist(), strict=True))
    assert {instant: curve[instant] for instant in shown} == shown
    assert set(shown.values()) == {9_999.0, 9_999.5}


def test_a_stop_of_a_short_is_reached_by_a_spread_that_widens() -> None:
    """The ask of the wide hour reaches what that of the narrow one did not."""
    narrow_then_wide = (*[0.25] * 1, 0.75, *[0.25] * 22)
    world = Venue([FLAT] * 70, costs={"spread_by_hour": narrow_then_wide}, price_side="bid", minutes=69)

    world.sell(1, stop=100.5)
    world.run()

    assert [(fill.kind, fill.price, fill.filled_ns) for fill in world.fills][1] == (
        "stop", 100.75, START_NS + HOUR_NS + MINUTE_NS
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spans", "problem"),
    [
        ({"0-6": 1.0}, "have no spread: 6, 7"),
        ({"0-24": 1.0, "3-4": 2.0}, "the hour 3 has two"),
        ({"night": 1.0}, "expected hours such as"),
        ({"5-25": 1.0}, "expected hours such as"),
    ],
)
def test_every_hour_has_one_spread(spans: dict[str, float], problem: str) -> None:
    """An hour without one is no hour for nothing, and one with two is a mistake."""
    with pytest.raises(ValueError, match=problem):
        points_by_hour(spans)


def test_hours_may_go_over_midnight() -> None:
    """The second hour of a span is not included."""
    found = points_by_hour({"22-2": 9.0, "2-22": 1.0})

    assert [hour for hour, points in enumerate(found) if points == 9.0] == [0, 1, 22, 23]


def test_each_request_is_under_way_for_a_time_of_its_own() -> None:
    """From the fixed delay up to the jitter more, decided by seed and order alone."""
    jitter = Jitter(60, 30, seed=4)
    delays = [jitter.of("AAA", "place", f"o{i}") for i in range(500)]

    assert (min(delays), max(delays)) == (60, 90)
    assert delays == [Jitter(60, 30, seed=4).of("AAA", "place", f"o{i}") for i in range(500)]
    assert delays != [Jitter(60, 30, seed=4).of("AAA", "cancel", f"o{i}") for i in range(500)]


def test_jitter_delays_market_orders_by_whole_bars_at_least() -> None:
    """Orders of one instant fill at different opens, none before its own delay."""
    costs = {"latency_s": 60, "latency_jitter_ns": 3 * MINUTE_NS}
    world = Venue([FLAT] * 12, costs=costs, rules={"at_end": "keep", "seed": 3})

    for _ in range(8):
        world.buy(1)
    world.run()

    orders = {order.order_id: order.effective_ns for order in world.broker.orders()}
    assert all(fill.filled_ns >= orders[fill.order_id] >= START_NS + MINUTE_NS for fill in world.fills)
    assert len({fill.filled_ns for fill in world.fills}) > 1


def test_the_venue_rejects_some_orders_after_it_has_acknowledged_them() -> None:
    """The acknowledgement comes first, then the end with its code, and nothing fills."""
    world = Venue([FLAT] * 4, costs={"reject_percent": 50.0}, rules={"at_end": "keep", "seed": 1})

    results = [world.buy(1) for _ in range(20)] + [world.buy(1, limit=101.0) for _ in range(20)]
    world.run()

    ended = {order.order_id: (order.state, order.code) for order in world.broker.orders()}
    rejected = [identity for identity, end in ended.items() if end == (OrderState.REJECTED, "rejected")]
    assert all(result.accepted for result in results)
    assert 10 <= len(rejected) <= 30
    assert {fill.order_id for fill in world.fills} == set(ended) - set(rejected)


def test_a_rejection_is_told_at_the_instant_of_the_order() -> None:
    """It does not wait for the next bar."""
    world = Venue([FLAT, FLAT, None, None, FLAT], costs={"reject_percent": 99.9}, rules={"at_end": "keep"})
    world.go_to(0.5)

    world.buy(1)
    world.buy(1, limit=99.0)
    world.step()

    events = world.events()
    assert [(event.order.code, event.order.updated_ns) for event in events] == [
        ("rejected", START_NS + MINUTE_NS // 2)
    ] * 2
