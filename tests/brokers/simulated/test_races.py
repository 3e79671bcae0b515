"""What live has races for: cancelling and changing what fills meanwhile, under latency and without."""

import pytest

from src.brokers.simulated.latency import Jitter
from src.core.records import Fill, Order, OrderState
from src.core.timeframe import MINUTE_NS
from tests.brokers.case_world import CaseWorld
from tests.brokers.simulated.venue import START_NS, Prices, Venue

LATE = {"latency_s": 120.0}


def flat(price: float) -> Prices:
    """A bar that stands at one price."""
    return [price, price, price, price]


def last(venue: Venue) -> tuple[OrderState, str]:
    """State and code of the order that ended last."""
    order: Order = venue.broker.orders()[-1]
    return order.state, order.code


def seen(fill: Fill) -> tuple[float, float]:
    """Price and minute."""
    return fill.price, (fill.filled_ns - START_NS) / MINUTE_NS


@pytest.mark.parametrize("late", [False, True])
def test_cancelling_what_has_filled_is_refused(late: bool) -> None:
    """The order is no longer working; the fill stands."""
    venue = Venue([flat(100.0)] * 5, costs=LATE if late else {})
    order = venue.buy().order_id
    venue.go_to(3)

    assert venue.broker.cancel(order).code == "not_working"
    assert last(venue) == (OrderState.FILLED, "")


def test_changing_what_has_filled_is_refused() -> None:
    """As cancelling is."""
    venue = Venue([flat(100.0), [100.0, 100.0, 94.0, 100.0]])
    order = venue.buy(limit=95.0).order_id
    venue.go_to(1)

    assert venue.broker.modify(order, price=94.0).code == "not_working"


def test_changing_an_order_that_takes_the_first_price_is_refused() -> None:
    """A market order, and one that is immediate, never rests."""
    venue = Venue([flat(100.0)] * 3)

    assert venue.broker.modify(venue.buy().order_id, volume=2.0).code == "not_working"


def test_cancelling_twice_is_refused_without_latency_and_harmless_with_it() -> None:
    """The first request ends the order at once, or is under way and arrives once."""
    at_once, late = (Venue([flat(100.0)] * 6, costs=costs) for costs in ({}, LATE))
    for venue in (at_once, late):
        venue.buy(limit=95.0)
        venue.broker.cancel("o1")

    assert at_once.broker.cancel("o1").code == "not_working"
    assert late.broker.cancel("o1").accepted
    assert [event.order.state for event in late.run().events()] == [OrderState.CANCELLED]


def test_with_latency_an_order_works_as_it_was_until_its_change_arrives() -> None:
    """The price that it was moved away from comes first and fills it there; the change finds nothing to change."""
    bars = [flat(100.0), flat(100.0), flat(100.0), [100.0, 100.0, 94.0, 100.0], flat(100.0), flat(100.0)]
    venue = Venue(bars, costs=LATE)
    order = venue.buy(limit=95.0).order_id
    venue.go_to(2)

    assert venue.broker.modify(order, price=90.0).accepted
    venue.go_to(5)

    assert [seen(fill) for fill in venue.fills] == [(95.0, 3.0)]
    assert venue.broker.modify(order, price=91.0).code == "not_working"


def test_with_latency_a_change_counts_from_its_arrival_on() -> None:
    """The price that it was moved to fills it only on a bar that opens when the change has arrived."""
    dip: Prices = [100.0, 100.0, 96.0, 100.0]
    venue = Venue([flat(100.0), flat(100.0), flat(100.0), dip, dip, dip], costs=LATE)
    order = venue.buy(limit=95.0).order_id
    venue.go_to(2)

    venue.broker.modify(order, price=97.0, volume=2.0)
    (shown,) = venue.broker.snapshot().orders
    venue.run()

    assert (shown.request.price, shown.request.volume) == (95.0, 1.0)
    assert [(*seen(fill), fill.volume) for fill in venue.fills] == [(97.0, 5.0, 2.0)]


def test_with_latency_a_change_and_a_cancellation_arrive_in_their_order() -> None:
    """The later of the two ends the order, whatever the earlier one has made of it."""
    venue = Venue([flat(100.0)] * 7, costs=LATE)
    order = venue.buy(limit=95.0).order_id
    venue.go_to(2)
    venue.broker.modify(order, price=96.0)
    venue.go_to(3)
    venue.broker.cancel(order)
    venue.run()

    ended = venue.broker.orders()[-1]

    assert (ended.state, ended.request.price) == (OrderState.CANCELLED, 96.0)


@pytest.mark.parametrize(("calls", "price"), [("change, cancel", 96.0), ("cancel, change", 95.0)])
def test_a_change_and_a_cancellation_inside_a_bar_act_in_their_order(calls: str, price: float) -> None:
    """The bar's close changes the order before it ends it, unless the change was sent after the cancellation."""
    venue = Venue([flat(100.0)] * 4)
    order = venue.buy(limit=95.0).order_id
    venue.go_to(1.5)
    for call in calls.split(", "):
        if call == "change":
            venue.broker.modify(order, price=96.0)
        else:
            venue.broker.cancel(order)
    venue.run()

    ended = venue.broker.orders()[-1]

    assert (ended.state, ended.request.price) == (OrderState.CANCELLED, price)


def test_a_change_that_its_cancellation_overtakes_changes_nothing() -> None:
    """With jitter the later call may be there first, and what comes after it finds nothing; also inside one bar."""
    overtaken = 0
    for seed in range(40):
        jitter = 4 * MINUTE_NS
        venue = Venue([flat(100.0)] * 12, costs={"latency_jitter_ns": jitter}, rules={"at_end": "keep", "seed": seed})
        drawn = [Jitter(0, jitter, seed=seed).of("AAA", what, "o1") for what in ("modify", "cancel")]
        changes, cancels = (delay if delay >= MINUTE_NS else 0 for delay in drawn)
        order = venue.buy(limit=95.0).order_id
        venue.broker.modify(order, price=96.0)
        venue.broker.cancel(order)
        venue.run()
        ended = venue.broker.orders()[-1]
        overtaken += cancels < changes and cancels // MINUTE_NS == changes // MINUTE_NS

        assert (ended.state, ended.request.price) == (OrderState.CANCELLED, 95.0 if cancels < changes else 96.0)
    assert overtaken


def test_a_change_that_overtakes_its_order_lets_it_fill_no_earlier() -> None:
    """With jitter the change may be there first; the order is tested from its own arrival on all the same."""
    dip: Prices = [100.0, 100.0, 94.0, 100.0]
    early = late = 0
    for seed in range(20):
        costs = {"latency_jitter_ns": 6 * MINUTE_NS}
        venue = Venue(
            [flat(100.0)] * 3 + [dip] + [flat(100.0)] * 6, costs=costs, rules={"at_end": "keep", "seed": seed}
        )
        order = venue.buy(limit=90.0).order_id
        (shown,) = venue.broker.snapshot().orders
        venue.broker.modify(order, price=95.0)
        venue.run()
        early += bool(venue.fills)
        late += shown.effective_ns > START_NS + 2 * MINUTE_NS

        assert all(fill.filled_from_ns >= shown.effective_ns for fill in venue.fills)
    assert early
    assert late


@pytest.mark.parametrize("kind", ["market", "stop"])
def test_a_child_that_is_overtaken_by_its_parents_fill_counts_from_its_arrival_on(kind: str) -> None:
    """It was sent before the fill and wakes with it, but is not at the venue yet."""
    late = 0
    for seed in range(20):
        costs = {"latency_jitter_ns": 6 * MINUTE_NS}
        bars: list[Prices] = [flat(100.0), *[[100.0, 100.0, 98.0, 100.0]] * 12]
        venue = Venue(bars, costs=costs, rules={"at_end": "keep", "seed": seed})
        arrives_ns = START_NS + Jitter(0, costs["latency_jitter_ns"], seed=seed).of("AAA", "place", "o2")
        venue.buy()
        price = 99.0 if kind == "stop" else None
        venue.place("sell", kind, price=price, parent="o1", reduce_only=True)
        venue.run()
        late += arrives_ns > venue.fills[0].filled_ns

        assert all(fill.filled_from_ns >= arrives_ns for fill in venue.fills[1:])
    assert late


def test_a_change_that_meets_a_market_order_changes_nothing() -> None:
    """The rest of a stop that was reached takes any price; the change of its trigger does not make it a stop again."""
    bars = [
        (100, 100, 100, 100, 100),
        (100, 100, 100, 100, 100),
        (100, 102, 100, 102, 20),
        *[(104, 104, 104, 104, 90)] * 3,
    ]
    world = CaseWorld({"bars": bars, "costs": {"volume_share": 0.1, "latency": "90s"}})
    world.do({"place": {"side": "buy", "type": "stop", "price": 101.0, "volume": 4.0}})

    assert world.do({"at": 1, "modify": "o1", "price": 103.0}).accepted
    world.run()

    assert [(fill.volume, fill.price) for fill in world.broker.fills()] == [(2.0, 101.0), (2.0, 104.0)]
    assert world.ended() == {"o1": "filled"}


def test_a_trailing_stop_has_no_price_to_change() -> None:
    """Its trigger follows the market; its volume can be changed."""
    venue = Venue([flat(100.0)] * 3)
    order = venue.place("sell", "trailing_stop", trail_distance=5.0).order_id

    assert venue.broker.modify(order, price=96.0).code == "unused_price"
    assert venue.broker.modify(order, volume=2.0).accepted


def test_a_trailing_stop_follows_from_the_price_at_which_it_was_placed() -> None:
    """A gap beyond the trigger that it had when it was placed fills it at the gap."""
    venue = Venue([flat(100.0), flat(94.0), flat(94.0)])

    venue.place("sell", "trailing_stop", trail_distance=5.0)
    venue.go_to(1)

    assert [seen(fill) for fill in venue.fills] == [(94.0, 1.0)]


def test_a_stop_limit_whose_trigger_was_reached_is_changed_as_a_limit() -> None:
    """Its trigger is history: the new price is a limit, wherever the old trigger was."""
    bars = [flat(100.0), flat(106.0), flat(106.0), [106.0, 106.0, 102.0, 106.0], flat(106.0)]
    venue = Venue(bars)
    order = venue.place("buy", "stop_limit", price=104.0, limit=105.0).order_id
    venue.go_to(2)

    assert venue.broker.modify(order, price=103.0).accepted
    venue.go_to(3)

    assert [seen(fill) for fill in venue.fills] == [(103.0, 3.0)]
