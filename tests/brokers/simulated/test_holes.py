"""No entry is filled across a hole; what closes fills at the first price after it."""

import pytest

from src.core.records import OrderState
from src.core.timeframe import MINUTE_NS
from tests.brokers.simulated.venue import Prices, Venue

HOLE = 90


def bars(after: Prices = (100.0, 101.0, 99.0, 100.0), hole: int = HOLE) -> list[Prices]:
    """A bar, four quiet ones, a hole of so many minutes, and ten bars that begin with `after`."""
    quiet: Prices = (100.0, 100.5, 99.5, 100.0)
    return [quiet] * 5 + [None] * hole + [after] + [quiet] * 9


def venue(after: Prices = (100.0, 101.0, 99.0, 100.0), *, hole: int = HOLE, limit: int = 60, **how: object) -> Venue:
    """A venue whose bars stop at minute 4; entries wait for at most `limit` minutes."""
    rules = {"at_end": "keep", "no_entry_across_ns": limit * MINUTE_NS}
    return Venue(bars(after, hole), rules=rules, minutes=200, **how)  # type: ignore[arg-type]  # passed on as it is


def test_an_entry_is_cancelled_when_the_time_is_over_and_not_before() -> None:
    """When it is placed nobody can know that no bar comes; the code is `hole`, and nothing is filled."""
    world = venue().go_to(4)
    assert world.buy().accepted
    world.go_to(63)
    working = [order.state for order in world.broker.orders()]
    world.go_to(64)
    (event,) = world.events()

    assert working == [OrderState.WORKING]
    assert (event.order.state, event.order.code, event.order.updated_ns) == (
        OrderState.CANCELLED, "hole", world.clock.instant_ns,
    )  # fmt: skip
    assert (world.run().fills, world.position.is_flat) == ([], True)


@pytest.mark.parametrize(("hole", "fills"), [(59, 1), (60, 1), (61, 0)])
def test_an_entry_waits_for_as_long_as_it_may(hole: int, fills: int) -> None:
    """The bar that opens when the time is over still fills it."""
    world = venue(hole=hole).go_to(4)
    world.buy()

    assert len(world.run().fills) == fills


def test_without_a_limit_an_entry_waits_for_ever() -> None:
    """As a venue by itself does it."""
    world = Venue(bars(), minutes=200).go_to(4)
    world.buy()

    assert world.run().told() == ["entry 100 @94"]


def test_an_exit_and_a_stop_fill_at_the_first_price_after_the_hole() -> None:
    """However bad it is: somebody who holds a position is not protected by a closed market."""
    closed, stopped = venue((80.0, 81.0, 79.0, 80.0)), venue((80.0, 81.0, 79.0, 80.0))
    for world in (closed, stopped):
        world.go_to(0)
        world.buy(stop=95.0)
        world.go_to(4)
    closed.close()

    assert closed.run().told() == ["entry 100 @0", "exit 80 @94"]
    assert stopped.run().told() == ["entry 100 @0", "stop 80 @95 from 94"]


def test_a_resting_entry_fills_at_the_first_price_after_the_hole() -> None:
    """Its price was named before; a gap through it fills at the gap's price."""
    world = venue((80.0, 81.0, 79.0, 80.0)).go_to(4)
    world.buy(limit=90.0)

    assert world.run().told()[0].startswith("entry 80 @95")


def test_an_order_that_turns_a_position_around_only_closes_it_across_a_hole() -> None:
    """The exit is filled, the entry is not."""
    world = venue((90.0, 91.0, 89.0, 90.0)).go_to(0)
    world.buy()
    world.go_to(4)
    world.place("sell", volume=1.0, reverse=True)
    world.run()

    assert [(fill.price, fill.volume) for fill in world.fills] == [(100.0, 1.0), (90.0, 1.0)]
    assert world.position.is_flat


def test_hours_in_which_the_market_is_closed_do_not_count() -> None:
    """From Friday's close the order waits over the weekend, and then for an hour of Sunday evening."""
    weekend = 49 * 60
    # The story starts on a Tuesday; 22:00 UTC on Friday is so many minutes later.
    friday = (3 * 24 + 22) * 60
    quiet: Prices = (100.0, 100.5, 99.5, 100.0)
    filled = []
    for hole in (48 * 60 + 60, 48 * 60 + 61):
        story = [quiet] + [None] * (friday - 1) + [quiet] + [None] * hole + [quiet] * 5
        world = Venue(
            story, rules={"at_end": "keep", "no_entry_across_ns": 60 * MINUTE_NS}, minutes=friday + weekend + 60,
            instrument={"calendar": "forex"},
        ).go_to(friday)  # fmt: skip
        world.buy()
        filled.append(len(world.run().fills))

    assert filled == [1, 0]


def test_bars_longer_than_the_limit_are_no_hole() -> None:
    """A bar is always waited for: only one that is absent makes a hole."""
    world = venue(limit=1, hole=0).go_to(4)
    world.buy()

    assert len(world.run().fills) == 1
