"""Stops that follow the price, and orders with a trigger and a limit."""

from typing import Any

import pytest

from tests.brokers.simulated.venue import Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]


def after(bars: list[Prices], side: str, **order: Any) -> list[str]:
    """The executions of one order."""
    rules = order.pop("rules", {})
    venue = Venue([FLAT, *bars], rules={"at_end": "keep", **rules}, **order.pop("world", {}))
    result = venue.place(side, order.pop("type", "market"), **order)
    assert result.accepted, result.message
    return venue.run().told()


# -- stop-limit: the trigger, and then a limit


@pytest.mark.parametrize(
    ("bars", "limit", "told"),
    [
        ([[100, 101.5, 99, 101]], 101.0, ["entry 101 @1 from 0"]),
        ([[100, 100.9, 99, 100]], 101.0, []),
        ([[101.2, 102, 101, 101.5]], 101.5, ["entry 101.2 @1 from 0"]),
        ([[103, 104, 102.5, 103]], 102.0, []),
        ([[103, 104, 101, 103]], 102.0, ["entry 102 @1 from 0"]),
        ([[103, 104, 102.5, 103], [103, 103, 101, 102]], 102.0, ["entry 102 @2 from 1"]),
        ([[103, 104, 102.5, 103], [101, 103, 100, 102]], 102.0, ["entry 101 @2 from 1"]),
        ([[100, 102, 99, 101.5]], 100.5, []),
        ([[100, 102, 99, 100.2]], 100.5, ["entry 100.5 @1 from 0"]),
        ([[100, 102, 99, 101.5], [101, 102, 100, 101]], 100.5, ["entry 100.5 @2 from 1"]),
    ],
    ids=["reached", "not reached", "gap inside the limit", "gap beyond the limit", "gap and back", "gap and later back",
         "gap and later an open inside", "limit before the trigger, no proof", "the close proves the return",
         "a later bar comes back"],
)  # fmt: skip
def test_a_stop_limit_buys_from_its_trigger_up_to_its_limit(bars: list[Prices], limit: float, told: list[str]) -> None:
    """Beyond the limit it rests; before the trigger nothing of a bar counts unless the close comes after it."""
    assert after(bars, "buy", type="stop_limit", price=101.0, limit=limit) == told


def test_a_stop_limit_never_slips_and_its_mirror_sells() -> None:
    """Its fill is a limit's."""
    world = {"costs": {"slippage_points": 0.5}}

    told = after([[100, 101, 98, 99]], "sell", type="stop_limit", price=99.0, limit=98.5, world=world)

    assert told == ["entry 99 @1 from 0"]


def test_the_stop_of_a_stop_limit_entry_is_tested_after_it() -> None:
    """A close that proves the entry proves nothing about the extremes before it: the stop below stays possible."""
    told = after([[100, 102, 98, 100.2]], "buy", type="stop_limit", price=101.0, limit=100.5, stop=98.5)

    assert told == ["entry 100.5 @1 from 0", "stop 98.5 @1 from 0 or 100.2"]


# -- trailing stop orders


@pytest.mark.parametrize(
    ("bars", "told"),
    [
        ([[100, 101, 98.5, 100]], []),
        ([[100, 101, 98, 100]], ["entry 98 @1 from 0"]),
        ([[97, 98, 96, 97]], ["entry 97 @1 from 0"]),
        ([[100, 104, 99, 103], [103, 103.5, 102.5, 103]], []),
        ([[100, 104, 99, 103], [103, 103.5, 101.5, 103]], ["entry 102 @2 from 1"]),
        ([[100, 104, 99, 101.5]], ["entry 102 @1 from 0"]),
        ([[103, 103, 100.5, 102]], ["entry 101 @1 from 0"]),
    ],
    ids=["not reached", "the level of the start", "gap", "followed", "followed and reached later",
         "the close against the new level", "the open moves it first"],
)  # fmt: skip
def test_a_trailing_stop_sells_at_a_distance_below_the_highest_price(bars: list[Prices], told: list[str]) -> None:
    """The old level against the low, then the level follows the high, then the close against the new level."""
    assert after(bars, "sell", type="trailing_stop", trail_distance=2.0) == told


def test_a_trailing_stop_buys_above_the_lowest_price_in_percent() -> None:
    """The distance is a percentage of the price that it follows."""
    bars: list[Prices] = [[99, 99.5, 80, 87.9], [88, 89, 87, 89]]

    assert after(bars, "buy", type="trailing_stop", trail_percent=10.0) == ["entry 88 @2 from 1"]


# -- the stop of a position that follows the price


@pytest.mark.parametrize(
    ("bars", "told"),
    [
        ([FLAT, [100, 103, 99, 102.5]], []),
        ([FLAT, [100, 103, 97.5, 100]], ["stop 98 @2 from 1 or 101"]),
        ([FLAT, [100, 104, 99, 101.5]], ["trailing 102 @2 from 1"]),
        ([FLAT, [100, 104, 99, 103], [103, 103, 101, 102]], ["trailing 102 @3 from 2"]),
        ([FLAT, [100, 104, 99, 103], [101, 102, 100, 101]], ["trailing 101 @3 from 2"]),
    ],
    ids=["only moved", "the old stop first", "the close against the new stop", "reached later", "gap"],
)
def test_the_stop_of_a_long_follows_the_highest_price(bars: list[Prices], told: list[str]) -> None:
    """It is never moved by a high and then tested against an earlier low of the same bar."""
    assert after(bars, "buy", stop_trail_distance=2.0)[1:] == told


def test_the_stop_of_a_short_follows_the_lowest_price() -> None:
    """In percent of the price, and never up."""
    bars: list[Prices] = [FLAT, [100, 101, 90, 95], [95, 99.5, 94, 98]]

    assert after(bars, "sell", stop_trail_percent=10.0)[1:] == ["trailing 99 @3 from 2"]


def test_a_first_stop_of_its_own_stays_until_the_price_has_moved_enough() -> None:
    """A tighter stop than the distance is not loosened by it; the distance takes over when it is tighter."""
    bars: list[Prices] = [FLAT, [100, 100.5, 99.6, 100.2], [100.2, 103, 99.8, 102], [102, 102, 100.5, 101]]

    assert after(bars, "buy", stop=99.5, stop_trail_distance=2.0)[1:] == ["trailing 101 @4 from 3"]


def test_a_bar_that_may_have_reached_the_moved_stop_is_remembered() -> None:
    """The low may have come after the high that moved the stop: the trade keeps that exit as its other outcome."""
    venue = Venue([FLAT, FLAT, [100, 104, 99, 103], [103, 106, 102.5, 106], [100, 100, 100, 100]],
                  rules={"at_end": "keep"})  # fmt: skip

    venue.buy(1, stop_trail_distance=2.0)
    venue.run()

    (trade,) = venue.trades
    assert (venue.told()[1], trade.net, trade.ambiguous) == ("trailing 100 @4 from 3", 0.0, True)
    assert (trade.net_worst, trade.net_best) == (0.0, 4.0)


def test_an_order_that_trails_starts_the_stop_of_an_entry_inside_a_bar() -> None:
    """After a stop entry the high comes later and moves the stop, which the close then reaches."""
    told = after([[100, 105, 99.5, 102.5]], "buy", type="stop", price=101.0, stop_trail_distance=2.0)

    assert told == ["entry 101 @1 from 0", "trailing 103 @1 from 0"]
