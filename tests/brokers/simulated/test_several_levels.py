"""Several levels in one bar: which way is taken, and that the trades' intervals hold what the other ways bring."""

from typing import Any

import numpy as np
import pytest

from src.core.bars import BarSeries
from src.core.timeframe import SECOND_NS
from tests.brokers.simulated.venue import START_NS, Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]

#: Orders that are placed together with the purchase of 1 at 100, and the bar that follows.
STORIES: list[tuple[dict[str, Any], list[dict[str, Any]], Prices]] = [
    ({"target": 105.0}, [{"side": "sell", "type_": "stop", "price": 97.0, "volume": 0.5}], [100, 106, 96, 101]),
    ({"stop": 95.0}, [{"side": "buy", "type_": "limit", "price": 97.0, "target": 103.0}], [100, 104, 94, 99]),
    ({"stop": 98.0}, [{"side": "sell", "type_": "limit", "price": 104.0, "volume": 2.0}], [100, 106, 97, 101]),
    ({"stop_trail_distance": 4.0}, [{"side": "buy", "type_": "stop", "price": 102.0}], [100, 105, 95, 103]),
    ({}, [{"side": "sell", "type_": "limit", "price": 105.0, "reduce_only": True},
          {"side": "sell", "type_": "stop", "price": 97.0}], [100, 106, 96, 102]),
    ({"target": 106.0}, [{"side": "buy", "type_": "stop", "price": 103.0, "stop": 99.0}], [100, 107, 98, 101]),
    ({}, [{"side": "buy", "type_": "stop", "price": 103.0, "group": "g"},
          {"side": "sell", "type_": "limit", "price": 105.0, "volume": 3.0, "group": "g"},
          {"side": "sell", "type_": "stop", "price": 98.0, "group": "g"}], [100, 106, 97, 102]),
    ({"stop": 97.0}, [{"side": "sell", "type_": "stop_limit", "price": 99.0, "limit": 99.5}], [100, 102, 96, 98]),
    ({"stop": 94.0, "target": 103.0}, [{"side": "buy", "type_": "limit", "price": 97.0, "stop": 92.0, "volume": 2.0}],
     [100, 105, 91, 95]),
    ({"stop_trail_distance": 3.0},
     [{"side": "buy", "type_": "limit", "price": 98.0, "volume": 2.0, "reverse": True}], [100, 104, 94, 98]),
    ({}, [{"side": "sell", "type_": "trailing_stop", "trail_distance": 5.0, "volume": 2.0, "reverse": True},
          {"side": "buy", "type_": "stop", "price": 101.0, "reduce_only": True}], [100, 103, 96, 103]),
]  # fmt: skip


def lived(story: tuple[dict[str, Any], list[dict[str, Any]], Prices], intrabar: str) -> Venue:
    """A venue in which a story has happened; what is held at the close is closed there."""
    own, orders, bar = story
    venue = Venue([FLAT, bar], rules={"at_end": "close", "intrabar": intrabar})
    venue.buy(1, **own)
    for order in orders:
        venue.place(**order)
    return venue.run()


@pytest.mark.parametrize("place", range(len(STORIES)))
def test_the_interval_holds_what_the_other_assumptions_bring(place: int) -> None:
    """Worst is the lower end of the result, best the upper one, and every assumption knows both."""
    made = {name: lived(STORIES[place], name) for name in ("worst", "best", "path")}
    results = {name: sum(trade.net for trade in venue.trades) for name, venue in made.items()}

    assert results["worst"] == min(results.values()) < results["best"] == max(results.values())
    for venue in made.values():
        low = sum(trade.net_worst for trade in venue.trades)
        high = sum(trade.net_best for trade in venue.trades)
        assert low <= results["worst"]
        assert high >= results["best"]
    assert all(any(trade.ambiguous for trade in venue.trades) for venue in made.values())


def test_two_stop_entries_of_a_group_leave_their_trade_in_doubt() -> None:
    """Both lose 3 at the close of 100, but one way holds a long and the other one a short."""
    venue = Venue([FLAT, [100, 106, 94, 100], [100, 100, 98, 98]], rules={"at_end": "close"})

    venue.buy(1, trigger=103.0, group="way")
    venue.sell(1, trigger=97.0, group="way")
    venue.run()

    (trade,) = venue.trades
    assert (trade.net, trade.ambiguous, trade.net_worst, trade.net_best) == (-5.0, True, -5.0, -3.0)


def test_what_is_held_remembers_the_exit_that_another_way_would_have_made() -> None:
    """Low first, the addition brings a target of 103 and both are out there; high first, both are held."""
    venue = Venue([FLAT, [100, 104, 96, 98], [98, 98, 98, 98]], rules={"at_end": "close"})

    venue.buy(1)
    venue.buy(1, limit=97.0, target=103.0)
    venue.run()

    (trade,) = venue.trades
    assert (trade.net, trade.ambiguous, trade.net_worst, trade.net_best) == (-1.0, True, -1.0, 9.0)


def test_each_part_has_its_own_other_outcome() -> None:
    """Half is out at 97 and half at the target; high first, both are out at the target."""
    venue = Venue([FLAT, [100, 104, 96.5, 98], [98, 98, 98, 98]], rules={"at_end": "close"})

    venue.buy(1, target=103.5)
    venue.sell(0.5, trigger=97.0, reduce_only=True)
    venue.run()

    (trade,) = venue.trades
    assert venue.told()[1:] == ["exit 97 @1 from 0 or 103.5", "target 103.5 @1 from 0"]
    assert (trade.net, trade.net_worst, trade.net_best) == (0.25, 0.25, 3.5)


def test_shorter_bars_decide_about_a_group_each_by_its_own_prices() -> None:
    """The stop lies in the first ten seconds and the limit in the last ones, so nothing is left open."""
    rows = [
        [100, 100, 94, 96],
        [96, 97, 96, 97],
        [97, 97, 97, 97],
        [97, 97, 97, 97],
        [97, 99, 97, 99],
        [99, 106, 99, 100],
    ]
    table = np.array(rows, dtype=float)
    opens = np.array([START_NS + (60 + 10 * i) * SECOND_NS for i in range(6)], dtype=np.int64)
    o, h, low, c = (table[:, i].copy() for i in range(4))
    finer = BarSeries("AAA", 10 * SECOND_NS, opens, o, h, low, c, np.ones(6), price_side="trade")
    venue = Venue([FLAT, FLAT, [100, 106, 94, 100]], rules={"at_end": "keep", "finer": {"AAA": finer}})

    venue.buy(1)
    venue.go_to(1)
    venue.sell(1, limit=105.0, reduce_only=True, group="out")
    venue.sell(1, trigger=95.0, reduce_only=True, group="out")
    venue.run()

    assert venue.told() == ["entry 100 @0", "exit 95 @2 from 1"]
