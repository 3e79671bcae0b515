"""Fills that look at more than the base bars: real bid and ask bars, last and mark prices, and shorter bars."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from src.brokers.simulated.quotes import PriceTape, QuoteDesk
from src.brokers.simulated.rules import SideBars
from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.records import TriggerBy
from src.core.timeframe import MINUTE_NS
from tests.brokers.simulated.venue import START_NS, Prices, Venue, costs_of, series

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]


def two_sides(bids: Sequence[Prices], asks: Sequence[Prices], **more: Any) -> Venue:
    """A venue on bid bars whose ask is that of the ask bars."""
    sides = {"AAA": SideBars(bid=series("AAA", bids), ask=series("AAA", asks))}
    return Venue(bids, price_side="bid", costs={"spread_column": True, "sides": sides}, **more)


def test_buys_fill_on_the_ask_bars_and_sells_on_the_bid_bars() -> None:
    """Each price of a bar has its own spread, and the stop of a short is reached by the highest ask."""
    asks: list[Prices] = [[100.5] * 4, [101, 103, 100.5, 101], [100.75, 104, 100.5, 101]]
    world = two_sides([FLAT, [100, 101, 99, 100], [100, 101, 99, 100]], asks)

    world.buy(1)
    world.go_to(1).close()
    world.sell(1, stop=103.5)
    world.run()

    assert world.told() == ["entry 101 @0", "exit 100 @1", "entry 100 @1", "stop 103.5 @2 from 1"]


def test_a_limit_buy_needs_the_ask_to_come_through() -> None:
    """The bid alone fills nothing, however low."""
    asks: list[Prices] = [[100.5] * 4, [100.5, 101, 99.5, 100.5], [100.5, 101, 98.5, 100]]
    world = two_sides([FLAT, [100, 100, 97, 100], [100, 100, 98, 99.5]], asks)

    world.buy(1, limit=99.0)
    world.run()

    assert world.told() == ["entry 99 @2 from 1"]


def test_equity_is_marked_at_the_other_side_of_each_close() -> None:
    """The curve at the end equals what the account showed at each step."""
    asks: list[Prices] = [[100.5] * 4, [100.25, 101, 100, 100.5], [100.5, 102, 100, 102], [102.5, 103, 101, 101]]
    world = two_sides([FLAT, FLAT, FLAT, FLAT], asks)
    world.sell(2)
    seen: dict[int, float] = {}
    while world.step():
        seen[world.clock.instant_ns] = world.broker.equity()
    at, equity = world.broker.equity_samples()

    curve = dict(zip(at.tolist(), equity.tolist(), strict=True))
    assert {instant: curve[instant] for instant in seen} == seen
    assert list(seen.values()) == [9_999.5, 9_999.0, 9_996.0, 9_998.0]


def test_a_symbol_without_both_sides_is_refused() -> None:
    """Another spread has to be written for it."""
    with pytest.raises(ConfigError, match="column needs bid and ask bars of AAA"):
        Venue([FLAT], costs={"spread_column": True})


def test_trades_that_come_one_by_one_have_no_spread_of_their_own() -> None:
    """A spread of columns without quotes would be none at all, so it is refused."""
    stamps, none = np.array([START_NS], dtype=np.int64), np.array([np.nan])
    tape = PriceTape(symbol="AAA", ts_ns=stamps, bid=none, ask=none, last=np.array([100.0]))
    bars = series("AAA", [FLAT])
    costs = costs_of(spread_column=True, sides={"AAA": SideBars(bid=bars, ask=bars)})
    instrument = Instrument(symbol="AAA", kind="spot", quote_currency="USD")

    with pytest.raises(ConfigError, match="column needs quotes of AAA"):
        QuoteDesk(instrument, bars, costs, 0, tape)


# -- triggers


def test_a_stop_may_follow_the_last_price_of_trade_bars() -> None:
    """The quote reaches the trigger by its half of the spread, the last price does not."""
    bars: list[Prices] = [FLAT, [100, 101.9, 99, 100], [100, 102, 99, 101]]
    world = Venue(bars, costs={"spread_points": 0.5})

    world.buy(1, trigger=102.0)
    world.buy(1, trigger=102.0, trigger_by=TriggerBy.LAST)
    world.run()

    assert [(fill.order_id, fill.price, fill.filled_ns) for fill in world.fills] == [
        ("o1", 102.0, START_NS + MINUTE_NS), ("o2", 102.25, START_NS + 2 * MINUTE_NS),
    ]  # fmt: skip


@pytest.mark.parametrize(("intrabar", "price"), [("worst", 97.0), ("best", 101.0), ("path", 99.0)])
def test_a_stop_that_follows_the_mark_fills_where_the_bar_may_have_been(intrabar: str, price: float) -> None:
    """When the mark was reached is not known inside a bar, so the assumption names the quote."""
    marks: list[Prices] = [FLAT, [100, 101, 98, 99], FLAT]
    world = Venue(
        [FLAT, [100, 101, 97, 99], FLAT], costs={"sides": {"AAA": SideBars(mark=series("AAA", marks))}},
        rules={"at_end": "keep", "intrabar": intrabar},
    )  # fmt: skip

    world.sell(1, trigger=98.0, trigger_by=TriggerBy.MARK)
    world.run()

    assert [fill.price for fill in world.fills] == [price]


def test_a_gap_of_the_mark_triggers_at_the_open() -> None:
    """It fills at the quote of the open, wherever that is."""
    marks: list[Prices] = [FLAT, [97, 98, 96, 97]]
    costs = {"sides": {"AAA": SideBars(mark=series("AAA", marks))}}
    world = Venue([FLAT, [100, 101, 99, 100]], costs=costs)

    world.sell(1, trigger=98.0, trigger_by=TriggerBy.MARK)
    world.run()

    assert world.told() == ["entry 100 @1 from 0"]


def test_an_order_that_another_price_does_not_reach_leaves_nothing_to_doubt() -> None:
    """The mark is far from its trigger, so it plays no part in the bar that stops the position."""
    bars: list[Prices] = [FLAT, FLAT, [100, 101, 94, 99]]
    world = Venue(bars, costs={"sides": {"AAA": SideBars(mark=series("AAA", bars))}})

    world.buy(1, stop=95.0)
    world.place("buy", "stop", price=200.0, trigger_by=TriggerBy.MARK)
    world.run()

    assert world.told() == ["entry 100 @0", "stop 95 @2 from 1"]
    assert not world.trades[0].ambiguous


def test_a_stop_limit_that_the_mark_has_triggered_can_be_changed() -> None:
    """From then on it is a limit, which follows no other price any more."""
    bars: list[Prices] = [FLAT, FLAT, [100, 106, 99, 105], [105, 105, 101.5, 103]]
    world = Venue(bars, costs={"sides": {"AAA": SideBars(mark=series("AAA", bars))}})

    world.place("buy", "stop_limit", price=103.0, limit=101.0, trigger_by=TriggerBy.MARK)
    world.go_to(2)
    changed = world.broker.modify("o1", price=102.0)
    world.run()

    assert (changed.code, world.told()) == ("", ["entry 102 @3 from 2"])


def test_a_trailing_stop_may_follow_the_mark() -> None:
    """Its level moves with the mark, and the bars' own high does not move it."""
    marks: list[Prices] = [FLAT, [100, 100.5, 99.5, 100], [100, 103, 100, 103], [103, 103, 100.5, 101]]
    costs = {"sides": {"AAA": SideBars(mark=series("AAA", marks))}}
    world = Venue([FLAT, [100, 110, 100, 101], [101, 103, 100, 102], [102, 102, 99, 100]], costs=costs)

    world.place("sell", "trailing_stop", trail_distance=2.0, trigger_by=TriggerBy.MARK)
    world.run()

    assert world.told() == ["entry 99 @3 from 2"]


@pytest.mark.parametrize(
    ("side", "trigger", "code"),
    [("buy", 104.0, "stop_in_market"), ("buy", 106.0, ""), ("sell", 104.0, ""), ("sell", 106.0, "stop_in_market")],
)
def test_a_trigger_is_judged_by_the_price_that_it_follows(side: str, trigger: float, code: str) -> None:
    """The mark stands at 105 and the quote at 100: what is in the market already is so by the mark."""
    marks: list[Prices] = [[105.0] * 4, [105.0] * 4]
    world = Venue([FLAT, FLAT], costs={"sides": {"AAA": SideBars(mark=series("AAA", marks))}})

    assert world.place(side, "stop", price=trigger, trigger_by=TriggerBy.MARK).code == code


def test_a_trigger_that_is_placed_at_an_open_is_judged_by_that_open() -> None:
    """A market order brought the open of minute 1 to light, where the mark stands at 110 and no more at 105."""
    marks: list[Prices] = [[105.0] * 4, [105.0] * 4, [110.0] * 4]
    world = Venue([FLAT, FLAT, FLAT], costs={"sides": {"AAA": SideBars(mark=series("AAA", marks))}})
    world.go_to(0.5)
    world.buy()

    before = world.place("sell", "stop", price=107.0, trigger_by=TriggerBy.MARK).code
    world.go_to(1)
    after = world.place("sell", "stop", price=107.0, trigger_by=TriggerBy.MARK).code

    assert (before, after) == ("stop_in_market", "")


def test_a_trailing_stop_follows_the_mark_from_where_it_stands_at_once() -> None:
    """Two below the mark of 105 is 103, which the mark's open of 102.5 passes; the quote of 100 is what it gets."""
    marks: list[Prices] = [[105.0] * 4, [102.5] * 4]
    world = Venue([FLAT, FLAT], costs={"sides": {"AAA": SideBars(mark=series("AAA", marks))}})

    world.place("sell", "trailing_stop", trail_distance=2.0, trigger_by=TriggerBy.MARK)
    world.run()

    assert world.told() == ["entry 100 @1 from 0"]


@pytest.mark.parametrize(("by", "code"), [(TriggerBy.MARK, "no_mark"), (TriggerBy.QUOTE, "")])
def test_a_trigger_price_that_nobody_has_is_refused(by: TriggerBy, code: str) -> None:
    """The sentence is a value, not an exception."""
    world = Venue([FLAT, FLAT])

    assert world.buy(1, trigger=102.0, trigger_by=by).code == code


# -- shorter bars


def shorter(symbol: str, rows: Sequence[Prices], seconds: int = 20) -> BarSeries:
    """Bars of 20 seconds from minute 0 on."""
    made = series(symbol, rows, first_minute=0)
    made.open_ns[:] = START_NS + (made.open_ns - START_NS) // MINUTE_NS * seconds * 10**9
    made.timeframe_ns = seconds * 10**9
    return made


BOTH: Prices = [100.0, 103.0, 97.0, 99.0]
UP_FIRST: list[Prices] = [[100, 103, 100, 102.5], [102.5, 102.5, 98.5, 98.5], [98.5, 99, 97, 99]]


def test_shorter_bars_decide_which_exit_came_first() -> None:
    """The target was reached twenty seconds before the stop, so nothing is left to doubt."""
    world = Venue([FLAT, BOTH], rules={"at_end": "keep", "finer": {"AAA": shorter("AAA", UP_FIRST)}})

    world.buy(1, stop=98.0, target=102.0)
    world.run()

    assert world.told() == ["entry 100 @0", "target 102 @1 from 0"]
    assert not world.trades[0].ambiguous


def test_a_gap_between_shorter_bars_is_a_gap() -> None:
    """The stop fills at the open of the bar that begins beyond it, and the earliest instant says so."""
    rows: list[Prices] = [[100, 103, 100, 101], [97, 99, 97, 99], [99, 99, 99, 99]]
    world = Venue([FLAT, BOTH], rules={"at_end": "keep", "finer": {"AAA": shorter("AAA", rows)}})

    world.buy(1, stop=98.0)
    world.run()

    fill = world.fills[1]
    assert (fill.price, fill.filled_from_ns, fill.filled_ns) == (97.0, START_NS + 20 * 10**9, START_NS + MINUTE_NS)


def test_shorter_bars_that_do_not_make_up_the_bar_decide_nothing() -> None:
    """The bar's own low is missing among them, so the assumption stands."""
    rows: list[Prices] = [[100, 103, 100, 102.5], [102.5, 102.5, 98.5, 98.5], [98.5, 99, 97.5, 99]]
    world = Venue([FLAT, BOTH], rules={"at_end": "keep", "finer": {"AAA": shorter("AAA", rows)}})

    world.buy(1, stop=98.0, target=102.0)
    world.run()

    assert world.told()[1:] == ["stop 98 @1 from 0 or 102"]


def test_an_entry_inside_a_bar_is_followed_by_its_exit_in_a_later_shorter_bar() -> None:
    """Both are told at the close of the base bar, in their order."""
    world = Venue([FLAT, BOTH], rules={"at_end": "keep", "finer": {"AAA": shorter("AAA", UP_FIRST)}})

    world.sell(1, trigger=99.0, target=97.5)
    world.run()

    assert world.told() == ["entry 99 @1 from 0.333333", "target 97.5 @1 from 0.666667"]


#: Minute 2 begins with a shorter bar twenty seconds late.
LATE_FIRST: list[Prices] = [None] * 7 + [[100, 100, 99, 99], [99, 99, 98, 98.5]]
LATE_BARS: list[Prices] = [[102.0] * 4, [102.0] * 4, [102.0] * 4, [100, 100, 98, 98.5]]


def test_what_counts_before_a_late_first_shorter_bar_gets_its_open() -> None:
    """The order counts five seconds after the minute has begun; the first price that it meets is 100, not its limit."""
    rules = {"at_end": "keep", "finer": {"AAA": shorter("AAA", LATE_FIRST)}}
    world = Venue(LATE_BARS, costs={"latency_s": 65}, rules=rules)

    world.go_to(1).buy(1, limit=101.0)
    world.run()

    assert world.told() == ["entry 100 @3 from 2.33333"]


def test_what_ends_before_a_late_first_shorter_bar_does_not_fill_on_it() -> None:
    """The cancellation arrives five seconds after the minute has begun, and its prices begin after twenty."""
    rules = {"at_end": "keep", "finer": {"AAA": shorter("AAA", LATE_FIRST)}}
    world = Venue(LATE_BARS, costs={"latency_s": 65}, rules=rules)

    world.buy(1, limit=99.5)
    world.go_to(1).broker.cancel("o1")
    world.run()

    assert (world.told(), world.broker.orders()[0].code) == ([], "cancelled")
