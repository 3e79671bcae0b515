"""Orders that depend on each other: one cancels the others (OCO), one wakes the others (OTO), and both together."""

import pytest

from src.brokers.simulated.rejects import Rejects
from src.core.records import OrderEvent, TimeInForce
from src.core.timeframe import MINUTE_NS
from tests.brokers.simulated.venue import START_NS, Prices, Venue


def flat(price: float) -> Prices:
    """A bar that stands at one price."""
    return [price, price, price, price]


def told(events: list[OrderEvent]) -> list[str]:
    """`o1 filled @2`: order, state, code of an end without a fill, and minute."""
    out = []
    for event in events:
        order = event.order
        code = f" ({order.code})" if order.code else ""
        out.append(f"{order.order_id} {order.state}{code} @{(order.updated_ns - START_NS) / MINUTE_NS:g}")
    return out


# -- one cancels the others ----------------------------------------------------------------------------------------


def test_of_a_group_the_first_fill_cancels_the_others_at_once() -> None:
    """A breakout on both sides: the upper stop fills, the lower one and a third order are gone with the same step."""
    venue = Venue([flat(100.0), [100.0, 106.0, 100.0, 106.0], [106.0, 106.0, 90.0, 90.0]])

    venue.place("buy", "stop", price=105.0, group="breakout")
    venue.place("sell", "stop", price=95.0, group="breakout")
    venue.place("sell", "limit", price=110.0, group="breakout")
    venue.run()

    assert told(venue.events()) == ["o1 filled @1", "o2 cancelled (group) @1", "o3 cancelled (group) @1"]
    assert venue.told() == ["entry 105 @1 from 0"]


@pytest.mark.parametrize("stop_first", [True, False])
def test_a_bar_that_reaches_both_sides_of_a_group_fills_the_stop(stop_first: bool) -> None:
    """As for a position's own stop and target the worse one is assumed, and the trade is ambiguous."""
    venue = Venue([flat(100.0), flat(100.0), [100.0, 106.0, 94.0, 100.0]])
    venue.buy()
    venue.go_to(1)
    exits = [("stop", 95.0), ("limit", 105.0)]

    for kind, price in exits if stop_first else reversed(exits):
        venue.place("sell", kind, price=price, group="exit", reduce_only=True)
    venue.run()

    assert venue.told() == ["entry 100 @0", "exit 95 @2 from 1 or 105"]
    assert [(trade.net_worst, trade.net, trade.net_best) for trade in venue.trades] == [(-5.0, -5.0, 5.0)]
    assert [order.code for order in venue.broker.orders()][-1] == "group"


def test_a_gap_beyond_one_side_fills_that_side_alone() -> None:
    """At the open there is one price, so there is nothing to assume."""
    venue = Venue([flat(100.0), flat(100.0), [106.0, 106.0, 90.0, 90.0]])
    venue.buy()
    venue.go_to(1)

    venue.place("sell", "stop", price=95.0, group="exit", reduce_only=True)
    venue.place("sell", "limit", price=105.0, group="exit", reduce_only=True)
    venue.run()

    assert venue.told() == ["entry 100 @0", "exit 106 @2 from 1"]


def test_an_order_of_a_group_that_is_cancelled_or_refused_leaves_the_others() -> None:
    """Only an execution excludes; what ends without one does not."""
    venue = Venue([flat(100.0), [100.0, 106.0, 100.0, 106.0]])
    first = venue.place("buy", "limit", price=95.0, group="g").order_id
    venue.place("buy", "stop", price=105.0, group="g")

    assert venue.place("buy", "stop", price=99.0, group="g").code == "stop_in_market"
    venue.broker.cancel(first)
    venue.run()

    assert venue.told() == ["entry 105 @1 from 0"]


def test_a_group_belongs_to_one_book_and_symbol() -> None:
    """Two strategies that use the same name do not cancel each other's orders."""
    bar = [100.0, 106.0, 100.0, 106.0]
    venue = Venue({symbol: [flat(100.0), bar, flat(106.0)] for symbol in ("AAA", "BBB")})

    venue.place("buy", "stop", price=105.0, group="g")
    venue.place("buy", "limit", price=95.0, group="g", book="other")
    venue.place("buy", "limit", price=95.0, group="g", symbol="BBB")
    venue.go_to(1)

    assert [order.order_id for order in venue.broker.snapshot().orders] == ["o2", "o3"]


def test_a_filled_group_is_over_and_its_name_free() -> None:
    """An order that is placed under the name later starts another group."""
    venue = Venue([flat(100.0), [100.0, 106.0, 100.0, 106.0], flat(106.0), flat(106.0)])
    venue.place("buy", "stop", price=105.0, group="g")
    venue.go_to(1)

    venue.place("buy", "limit", price=95.0, group="g")
    venue.go_to(2)

    assert [order.order_id for order in venue.broker.snapshot().orders] == ["o2"]


def test_market_orders_exclude_each_other_too() -> None:
    """Of two orders for the same open the older fills."""
    venue = Venue([flat(100.0), flat(100.0), flat(100.0)])

    venue.place("buy", group="g")
    venue.place("sell", group="g")
    venue.run()

    assert told(venue.events()) == ["o1 filled @0", "o2 cancelled (group) @0"]


def test_orders_of_a_group_that_end_together_end_once() -> None:
    """A parent and its child, both of the day: the parent's end takes the child with it."""
    venue = Venue([flat(100.0)] * 4)

    venue.place("buy", "limit", price=95.0, expires=2)
    venue.place("sell", "stop", price=94.0, parent="o1", reduce_only=True, expires=2)
    venue.run()

    assert told(venue.events()) == ["o1 expired (expired) @2", "o2 cancelled (parent) @2"]


# -- one wakes the others ------------------------------------------------------------------------------------------


def test_a_child_sleeps_until_its_parent_has_filled() -> None:
    """Prices that would fill it before count for nothing; it is tested from the bar after the parent's fill on."""
    bars = [flat(100.0), [100.0, 111.0, 100.0, 100.0], [100.0, 111.0, 94.0, 100.0], [100.0, 111.0, 100.0, 100.0]]
    venue = Venue(bars)
    venue.place("buy", "limit", price=95.0)

    venue.place("sell", "limit", price=110.0, parent="o1", reduce_only=True)
    venue.run()

    assert venue.told() == ["entry 95 @2 from 1", "exit 110 @3 from 2"]


def test_a_child_of_a_market_order_works_from_the_same_open_on() -> None:
    """Its parent filled at the open, so the rest of that bar is after it."""
    venue = Venue([flat(100.0), [100.0, 111.0, 100.0, 100.0]])
    venue.buy()

    venue.place("sell", "limit", price=110.0, parent="o1", reduce_only=True)
    venue.run()

    assert venue.told() == ["entry 100 @0", "exit 110 @1 from 0"]


@pytest.mark.parametrize(("kind", "minute"), [("market", 1.0), ("stop", 2.0)])
def test_a_market_child_takes_the_first_open_after_its_parents_fill(kind: str, minute: float) -> None:
    """Never the open that has filled the parent: that price is gone when the fill is known."""
    venue = Venue([flat(100.0), flat(100.0), [100.0, 106.0, 100.0, 100.0], flat(100.0)])
    venue.place("buy", kind, price=None if kind == "market" else 105.0)

    venue.place("sell", parent="o1", reduce_only=True)
    venue.run()

    assert [event.split("@")[1] for event in told(venue.events())[1:]] == [f"{minute:g}"]


@pytest.mark.parametrize("how", ["cancelled", "expired", "margin"])
def test_a_child_ends_when_its_parent_ends_unfilled(how: str) -> None:
    """It waits for nothing any more, whatever ended the parent; so do the children of the child."""
    venue = Venue([flat(100.0), flat(100.0), [200.0, 200.0, 200.0, 200.0]])
    if how == "margin":
        venue.place("buy", "stop", volume=70.0, price=105.0)  # 70 * 200 is more than there is
    else:
        venue.place("buy", "stop", price=205.0, expires=1 if how == "expired" else 9)
    venue.place("sell", "stop", price=90.0, parent="o1", reduce_only=True)
    venue.place("buy", "stop", price=300.0, parent="o2", reduce_only=True)

    if how == "cancelled":
        venue.broker.cancel("o1")
    venue.run()

    ended = told(venue.events())
    assert [line.split(" @")[0] for line in ended[1:]] == ["o2 cancelled (parent)", "o3 cancelled (parent)"]
    assert venue.broker.snapshot().orders == ()


def test_a_child_is_rejected_when_it_wakes_and_not_before() -> None:
    """A venue rejects an order when it would begin to count; the orders that waited for the child end with it."""
    seed = next(k for k in range(99) if [Rejects(50.0, k).hits("AAA", o) for o in ("o1", "o2")] == [False, True])
    venue = Venue(
        [flat(100.0), flat(100.0), [100.0, 100.0, 94.0, 100.0], flat(110.0)],
        costs={"reject_percent": 50.0},
        rules={"at_end": "keep", "seed": seed},
    )
    venue.place("buy", "limit", price=95.0)
    venue.place("sell", "limit", price=105.0, parent="o1", reduce_only=True, expires=2)
    venue.place("buy", "stop", price=120.0, parent="o2", reduce_only=True)

    venue.run()

    assert told(venue.events()) == ["o1 filled @2", "o2 rejected (rejected) @2", "o3 cancelled (parent) @2"]


def test_a_bracket_of_orders_protects_a_pending_entry() -> None:
    """Entry, stop and target as three orders: the entry wakes the pair, of which one fills and cancels the other."""
    bars = [flat(100.0), [100.0, 106.0, 100.0, 105.0], [105.0, 105.0, 99.0, 99.0], [99.0, 120.0, 99.0, 120.0]]
    venue = Venue(bars)
    venue.place("buy", "stop", price=105.0)
    venue.place("sell", "stop", price=100.0, parent="o1", group="exit", reduce_only=True)
    venue.place("sell", "limit", price=115.0, parent="o1", group="exit", reduce_only=True)

    venue.run()

    assert told(venue.events()) == ["o1 filled @1", "o2 filled @2", "o3 cancelled (group) @2"]
    assert venue.told() == ["entry 105 @1 from 0", "exit 100 @2 from 1"]


def test_a_child_is_judged_by_the_price_of_its_parent() -> None:
    """A stop that is beyond today's price may be right below the entry that it waits for."""
    venue = Venue([flat(100.0), flat(100.0)])
    venue.place("buy", "stop", price=110.0)

    assert venue.place("sell", "stop", price=105.0, parent="o1", reduce_only=True).accepted
    assert venue.place("sell", "stop", price=111.0, parent="o1", reduce_only=True).code == "stop_in_market"


def test_a_sleeping_order_can_be_changed_and_cancelled() -> None:
    """Asleep it is a working order like any other, and stays asleep."""
    bars = [flat(100.0), [100.0, 111.0, 100.0, 100.0], [100.0, 100.0, 94.0, 100.0], [100.0, 109.0, 100.0, 100.0]]
    venue = Venue(bars)
    venue.place("buy", "limit", price=95.0)
    for price in (110.0, 120.0):
        venue.place("sell", "limit", price=price, parent="o1", reduce_only=True)

    assert venue.broker.modify("o2", price=108.0).accepted
    assert venue.broker.cancel("o3").accepted
    venue.run()

    assert venue.told() == ["entry 95 @2 from 1", "exit 108 @3 from 2"]


def test_on_a_hedging_account_a_child_reduces_the_position_of_its_parent() -> None:
    """Of several positions of the strategy it closes the one that its parent opened."""
    bars = [flat(100.0), flat(100.0), flat(100.0), [100.0, 111.0, 100.0, 100.0]]
    venue = Venue(bars, account={"positions": "hedging"})
    venue.buy()
    venue.go_to(1)
    venue.buy()
    venue.place("sell", "limit", price=110.0, parent="o2", reduce_only=True)
    venue.run()

    assert [trade.trade_id for trade in venue.trades] == ["o2"]
    assert [position.position_id for position in venue.broker.positions("AAA")] == ["o1"]


def test_children_of_a_symbol_whose_data_end_are_gone() -> None:
    """The end of the data ends the parent, and the child with it, once."""
    venue = Venue([flat(100.0), flat(100.0)], minutes=60)
    venue.place("buy", "limit", price=95.0, time_in_force=TimeInForce.GTC)
    venue.place("sell", "stop", price=90.0, parent="o1", reduce_only=True)

    venue.run()

    assert [line.split(" @")[0] for line in told(venue.events())] == [
        "o1 cancelled (end_of_data)", "o2 cancelled (parent)",
    ]  # fmt: skip


def test_a_rejected_child_of_its_own_fill_leaves_the_money_right() -> None:
    """A child that finds nothing to reduce is cancelled when its turn comes and costs nothing."""
    venue = Venue([flat(100.0), flat(100.0), flat(100.0), [100.0, 111.0, 100.0, 100.0]])
    venue.buy()
    venue.place("sell", "limit", price=110.0, parent="o1", reduce_only=True)
    venue.go_to(1)
    venue.close()
    venue.run()

    assert told(venue.events())[-1] == "o2 cancelled (nothing_to_reduce) @3"
    assert venue.account.balance == 10_000.0
