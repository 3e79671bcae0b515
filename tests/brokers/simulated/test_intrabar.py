"""What is assumed of a bar that holds more than one outcome, and how a limit fills that was touched only."""

import pytest

from src.brokers.simulated.limit_fills import limit_fill_named
from src.core.errors import ConfigError
from tests.brokers.simulated.venue import Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]
HIGH_FIRST: Prices = [100.0, 103.0, 96.0, 100.0]
LOW_FIRST: Prices = [100.0, 104.0, 97.0, 100.0]


def venue(bars: list[Prices], **rules: object) -> Venue:
    """A venue without costs that keeps its positions."""
    return Venue([FLAT, *bars], rules={"at_end": "keep", **rules})


@pytest.mark.parametrize(
    ("intrabar", "bar", "told"),
    [
        ("worst", HIGH_FIRST, "stop 98 @2 from 1 or 102"),
        ("best", LOW_FIRST, "target 102 @2 from 1 or 98"),
        ("path", HIGH_FIRST, "target 102 @2 from 1 or 98"),
        ("path", LOW_FIRST, "stop 98 @2 from 1 or 102"),
        ("path", [100.0, 103.0, 97.0, 100.0], "stop 98 @2 from 1 or 102"),
    ],
)
def test_the_assumption_decides_which_exit_of_a_long_comes_first(intrabar: str, bar: Prices, told: str) -> None:
    """The path goes to the nearer extreme first, to the adverse one when both are as near; the other exit is kept."""
    world = venue([FLAT, bar], intrabar=intrabar)

    world.buy(1, stop=98.0, target=102.0)
    world.run()

    assert world.told()[1:] == [told]


@pytest.mark.parametrize(("bar", "kind"), [(HIGH_FIRST, "stop"), (LOW_FIRST, "target")])
def test_a_path_is_the_same_for_both_sides(bar: Prices, kind: str) -> None:
    """What comes first for a long comes first for a short, so the outcomes are swapped."""
    world = venue([FLAT, bar], intrabar="path")

    world.sell(1, stop=102.0, target=98.0)
    world.run()

    assert world.fills[1].kind == kind


@pytest.mark.parametrize(
    ("intrabar", "bar", "told"),
    [
        ("worst", [100, 103, 98.5, 100.5], ["stop 99 @1 from 0 or 102"]),
        ("best", [100, 103, 98.5, 100.5], ["target 102 @1 from 0 or 99"]),
        ("best", [100, 101.5, 98.5, 101.2], []),
        ("path", [100, 101.4, 98.5, 101.2], ["stop 99 @1 from 0 or 101.2"]),
        ("path", [100, 101.7, 98.5, 101.2], []),
    ],
)
def test_a_stop_entry_lies_on_the_way_to_the_favourable_extreme(intrabar: str, bar: Prices, told: list[str]) -> None:
    """Its stop may have been passed before; with the low first it was."""
    world = venue([bar], intrabar=intrabar)

    world.buy(1, trigger=101.0, stop=99.0, target=102.0)
    world.run()

    assert world.told()[1:] == told


def test_a_target_that_may_lie_before_a_limit_entry_is_taken_when_the_path_says_so() -> None:
    """Low first: the entry, then the high with the target; high first: the target was passed before the entry."""
    low_first = venue([[99.5, 101.0, 98.9, 99.2]], intrabar="path")
    high_first = venue([[100.4, 101.0, 98.9, 99.2]], intrabar="path")

    for world in (low_first, high_first):
        world.buy(1, limit=99.0, stop=98.0, target=100.5)
        world.run()

    assert low_first.told() == ["entry 99 @1 from 0", "target 100.5 @1 from 0 or 99.2"]
    assert high_first.told() == ["entry 99 @1 from 0"]


def test_an_exit_that_was_not_taken_widens_the_interval_of_its_trade() -> None:
    """The target may have been reached after the limit entry; the trade that went on keeps that outcome as its best."""
    world = venue([[100.4, 101.0, 98.9, 99.2], [99.0, 99.0, 97.0, 98.0]])

    world.buy(2, limit=99.0, stop=98.0, target=100.5)
    world.run()

    (trade,) = world.trades
    assert (trade.net, trade.ambiguous, trade.net_worst, trade.net_best) == (-2.0, True, -2.0, 3.0)


def test_a_touched_limit_fills_by_a_draw_of_its_own() -> None:
    """The draw follows from seed, order and bar alone, and comes about as often as the probability says."""
    rule = limit_fill_named("seeded", probability=0.3, seed=5)
    drawn = [rule(f"order{i}", 60 * i) for i in range(2_000)]

    assert drawn == [limit_fill_named("seeded", probability=0.3, seed=5)(f"order{i}", 60 * i) for i in range(2_000)]
    assert drawn != [limit_fill_named("seeded", probability=0.3, seed=6)(f"order{i}", 60 * i) for i in range(2_000)]
    assert sum(drawn) == pytest.approx(600, rel=0.15)


def test_a_seeded_limit_waits_until_its_draw_comes_or_it_is_traded_through() -> None:
    """Of many orders at one touched price some fill on each bar, and the last ones when the price goes beyond."""
    touched: Prices = [100.0, 100.0, 99.0, 100.0]
    world = venue([touched, touched, [100.0, 100.0, 98.0, 100.0]], limit_fill="seeded", touch_probability=0.5, seed=1)

    for _ in range(30):
        world.buy(1, limit=99.0)
    world.run()

    told = world.told()
    counts = [told.count(f"entry 99 @{minute} from {minute - 1}") for minute in (1, 2, 3)]
    assert sum(counts) == 30
    assert all(count > 2 for count in counts)


def test_a_target_has_another_draw_than_the_entry_that_made_it() -> None:
    """Both are touched by one bar, which closes at the target; that the entry has filled says nothing about it."""
    bars: list[Prices] = [[100.0, 101.0, 99.0, 101.0]]
    told = []

    for seed in range(60):
        world = venue(bars, limit_fill="seeded", touch_probability=0.5, seed=seed)
        world.buy(1, limit=99.0, target=101.0)
        told.append(len(world.run().fills))

    assert [told.count(fills) > 5 for fills in (0, 1, 2)] == [True, True, True]


def test_an_unknown_rule_for_limits_is_refused() -> None:
    """The sentence names the rules that there are."""
    with pytest.raises(ConfigError, match="through, touch, seeded"):
        limit_fill_named("maybe")
