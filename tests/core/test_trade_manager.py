"""Break-even, trailing stop, time exit and the daily loss limit's action, over a real venue."""

from collections.abc import Sequence
from typing import Any

import pytest

from src.core.config import ManageConfig, RiskConfig
from src.core.features import FeatureStore, atr
from src.core.order_desk import OrderDesk
from src.core.records import Side
from src.core.risk_manager import EntryIntent, RiskManager
from src.core.timeframe import MINUTE_NS
from src.core.trade_manager import TradeManager
from tests.brokers.simulated.venue import START_NS, Venue

FLAT = [100.0, 100.0, 100.0, 100.0]


def flat(price: float) -> list[float]:
    """A bar that stands at one price."""
    return [price, price, price, price]


class Monitor:
    """A trade manager that gets its turn after each step in which it has work.

    Attributes:
        turns: the minutes at which it had some.
    """

    def __init__(self, bars: Any, manage: dict[str, Any], risk: dict[str, Any] | None = None, **venue: Any) -> None:
        self.venue = Venue(bars, **venue)
        broker, clock, journal = self.venue.broker, self.venue.clock, self.venue.journal
        hedging = self.venue.config.positions == "hedging"
        limits = RiskConfig(**{"size": {"volume": 1}, **(risk or {})})
        self.risk = RiskManager(limits, broker, clock, hedging=hedging)  # type: ignore[arg-type]  # asked for the time only
        desk = OrderDesk("monitor", "main", broker, self.risk, clock, journal)  # type: ignore[arg-type]  # as above
        base = {series.symbol: series for series in broker.all_base_series()}
        store = FeatureStore()
        self.manager = TradeManager(
            ManageConfig(**manage), base, {("sma", s): store.column(atr(2), series) for s, series in base.items()},
            broker, self.risk, desk, clock, journal, flatten=limits.on_daily_loss == "flatten",  # type: ignore[arg-type]  # as above
            participant="monitor",
        )  # fmt: skip
        self.manager.start()
        self.turns: list[float] = []

    def turn(self) -> None:
        """Give the manager its turn if it has work."""
        if self.manager.has_work():
            self.turns.append(self.venue.minute)
            self.manager.manage_positions()

    def go_to(self, minute: float) -> "Monitor":
        """Let market and timers run up to a minute."""
        until = START_NS + round(minute * MINUTE_NS)
        while True:
            market, due = self.venue.market.next_ns(), self.manager.next_due_ns()
            if market is not None and market <= until and (due is None or market <= due):
                self.venue.step()
            elif due is not None and due <= until and (market is None or due < market):
                self.venue.clock.instant_ns = max(due, self.venue.clock.instant_ns)
            else:
                break
            self.turn()
        self.venue.clock.instant_ns = until
        return self

    @property
    def stop(self) -> tuple[float | None, str]:
        """The stop and who set it."""
        return self.venue.position.stop, self.venue.position.stop_kind


def closes(*prices: float) -> Sequence[Any]:
    """Bars that stand at a price each, after one at 100."""
    return [FLAT, *(flat(price) for price in prices)]


# -- break-even and trailing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "bars", "stop", "expected"), [
    ("buy", closes(100, 101, 102, 101.5), 98.0, [98.0, 98.0, 100.0, 100.0]),
    ("sell", closes(100, 99, 98, 98.5), 102.0, [102.0, 102.0, 100.0, 100.0]),
])  # fmt: skip
def test_break_even_moves_the_stop_to_the_entry_once_the_profit_is_reached(
    side: str, bars: Any, stop: float, expected: list[float]
) -> None:
    """At 1 R by the close of a bar, for both sides; a lower profit later does not move it back."""
    monitor = Monitor(bars, {"break_even": {"at_r": 1}})
    monitor.venue.place(side, stop=stop)

    stops = [monitor.go_to(minute).stop[0] for minute in (1, 2, 3, 4)]

    assert stops == expected
    assert monitor.stop[1] == "break_even"


def test_break_even_may_lie_beyond_the_entry() -> None:
    """By a part of the initial distance."""
    monitor = Monitor(closes(100, 103, 103), {"break_even": {"at_r": 1, "offset_r": 0.25}})
    monitor.venue.buy(stop=98.0)

    assert monitor.go_to(2).stop == (100.5, "break_even")


def test_trailing_follows_the_close_and_never_gives_way() -> None:
    """The stop keeps its distance to the best close."""
    monitor = Monitor(closes(100, 104, 106, 105, 107), {"trailing": {"distance_r": 1}})
    monitor.venue.buy(stop=98.0)

    stops = [monitor.go_to(minute).stop for minute in (1, 2, 3, 4, 5)]

    assert [stop for stop, _ in stops] == [98.0, 102.0, 104.0, 104.0, 105.0]
    assert stops[1][1] == "trailing"


def test_trailing_of_a_short_only_comes_down() -> None:
    """Mirror image: measured from the ask."""
    monitor = Monitor(closes(100, 96, 97.5, 94), {"trailing": {"distance_percent": 2}}, costs={"spread_points": 1.0})
    monitor.venue.sell(stop=103.0)

    stops = [monitor.go_to(minute).stop[0] for minute in (1, 2, 3, 4)]

    assert stops == [pytest.approx(price) for price in (100.5 * 1.02, 96.5 * 1.02, 96.5 * 1.02, 94.5 * 1.02)]


def test_trailing_begins_with_the_profit_that_was_asked_for() -> None:
    """Below it the initial stop stays."""
    monitor = Monitor(closes(100, 102, 104), {"trailing": {"start_r": 2, "distance_r": 1}})
    monitor.venue.buy(stop=98.0)

    assert [monitor.go_to(minute).stop[0] for minute in (1, 2, 3)] == [98.0, 98.0, 102.0]


def test_trailing_by_the_average_true_range_waits_until_there_is_one() -> None:
    """Two bars of range 2 make it 2; before that the stop stays."""
    bars = [FLAT, [100, 101, 99, 100], [100, 103, 101, 103], [103, 106, 104, 106], flat(106)]
    monitor = Monitor(bars, {"trailing": {"distance_atr": 1, "atr": 2}})
    monitor.venue.buy(stop=90.0)

    monitor.go_to(3)

    assert monitor.stop == (103.0, "trailing")


def test_the_higher_of_two_rules_counts() -> None:
    """Break-even and trailing both propose; the tighter stop wins and gives its name."""
    monitor = Monitor(closes(100, 103), {"break_even": {"at_r": 1}, "trailing": {"distance_r": 2}})
    monitor.venue.buy(stop=98.0)
    assert monitor.go_to(2).stop == (100.0, "break_even")

    monitor = Monitor(closes(100, 106), {"break_even": {"at_r": 1}, "trailing": {"distance_r": 2}})
    monitor.venue.buy(stop=98.0)
    assert monitor.go_to(2).stop == (102.0, "trailing")


def test_a_position_without_a_stop_has_no_r_and_so_no_break_even() -> None:
    """A rule in multiples of R does nothing; a rule in percent sets the first stop."""
    monitor = Monitor(closes(100, 110), {"break_even": {"at_r": 1}, "trailing": {"distance_r": 1}})
    monitor.venue.buy()
    assert monitor.go_to(2).stop[0] is None

    monitor = Monitor(closes(100, 110), {"trailing": {"distance_percent": 10}})
    monitor.venue.buy()
    assert monitor.go_to(2).stop == (99.0, "trailing")


def test_a_moved_stop_is_tested_from_the_next_bar_on() -> None:
    """The bar whose close moved the stop had a low beyond it."""
    bars = [FLAT, flat(100), [100, 106, 99, 106], [106, 107, 105, 106], [106, 106, 103, 103], flat(103)]
    monitor = Monitor(bars, {"trailing": {"distance_r": 1}})
    monitor.venue.buy(stop=98.0)

    monitor.go_to(5)

    assert monitor.venue.told() == ["entry 100 @0", "trailing 104 @4 from 3"]


def test_a_moved_stop_lies_on_the_tick() -> None:
    """Rounded before it is compared, so that no move smaller than a tick is sent."""
    monitor = Monitor(closes(100, 103.1, 103.2), {"trailing": {"distance_r": 1}}, instrument={"tick": 0.5})
    monitor.venue.buy(stop=98.0)

    assert [monitor.go_to(minute).stop[0] for minute in (2, 3)] == [101.0, 101.0]
    assert [entry[-1] for entry in monitor.venue.recorded("protect")] == ["entry", "trailing"]


def test_a_position_is_not_managed_by_a_bar_that_closed_before_it_was_opened() -> None:
    """It was opened at the open that follows that close; its own first bar is the next one."""
    monitor = Monitor(closes(104, 100, 100), {"trailing": {"distance_percent": 1}})
    monitor.go_to(1).venue.buy(stop=98.0)

    assert monitor.go_to(1).stop == (98.0, "stop")
    assert monitor.turns == []
    assert monitor.go_to(2).stop == (99.0, "trailing")


def test_a_turn_for_one_position_leaves_another_that_was_opened_at_that_instant() -> None:
    """The last bar that the rule has not seen had closed before the younger position was opened."""
    bars = {"AAA": closes(100, 104, 104), "BBB": [FLAT] * 4}
    monitor = Monitor(bars, {"trailing": {"distance_r": 0.5}, "time_exit": {"after": "150s"}})
    monitor.venue.buy(symbol="BBB")
    monitor.go_to(2).venue.buy(stop=98.0)

    monitor.go_to(2.75)

    assert monitor.turns == [2.5]
    assert [values[1:3] for values in monitor.venue.recorded("decision")] == [("close", "accepted")]


def test_a_position_that_is_being_closed_is_left_alone() -> None:
    """While its order to close is under way its stop is not moved any more."""
    bars = closes(100, 104, 108, 112, 116, 116)
    manage = {"trailing": {"distance_percent": 1}, "time_exit": {"after": "1m"}}
    monitor = Monitor(bars, manage, costs={"latency_s": 90})
    monitor.venue.buy(stop=90.0)
    monitor.go_to(2.5)
    assert monitor.stop[1] == "stop"

    monitor.go_to(4.75)

    assert monitor.turns == [3.0, 4.0]
    assert [values[1:3] for values in monitor.venue.recorded("decision")] == [("close", "accepted")]


@pytest.mark.parametrize("manage", [
    {"break_even": {"at_r": 1}}, {"break_even": {"at_r": 1}, "trailing": {"start_r": 1, "distance_percent": 1}},
    {"trailing": {"distance_r": 1}},
])  # fmt: skip
def test_rules_that_can_never_apply_wake_nobody(manage: dict[str, Any]) -> None:
    """A position without an initial stop has no R."""
    monitor = Monitor(closes(100, 110, 120), manage)
    monitor.venue.buy()

    assert monitor.go_to(3).turns == []


def test_a_position_at_break_even_wakes_nobody_any_more() -> None:
    """The rule has done what it does."""
    monitor = Monitor(closes(100, 103, 104, 105, 106), {"break_even": {"at_r": 1}})
    monitor.venue.buy(stop=98.0)

    assert monitor.go_to(5).stop == (100.0, "break_even")
    assert monitor.turns == [1.0, 2.0]


def test_without_positions_or_rules_the_monitor_has_no_work() -> None:
    """Nobody is woken for nothing."""
    idle = Monitor(closes(100, 101, 102), {"break_even": {"at_r": 1}})
    assert idle.go_to(3).turns == []

    unruled = Monitor(closes(100, 101, 102), {})
    unruled.venue.buy(stop=98.0)
    assert (unruled.go_to(3).turns, unruled.manager.watching) == ([], False)


def test_the_monitor_manages_each_position_of_a_hedging_account_by_itself() -> None:
    """The long moves to break-even, the short keeps its stop."""
    monitor = Monitor(closes(100, 103), {"break_even": {"at_r": 1}}, account={"positions": "hedging"})
    monitor.venue.buy(stop=98.0)
    monitor.venue.sell(stop=105.0)
    monitor.go_to(2)

    assert [position.stop for position in monitor.venue.broker.positions("AAA")] == [100.0, 105.0]


# -- time exit ---------------------------------------------------------------------------------------------------------


def test_a_time_exit_closes_at_its_instant_and_once() -> None:
    """The order goes out when the time is over and fills at the next open."""
    monitor = Monitor(closes(100, 101, 102, 103, 104), {"time_exit": {"after": "2m"}})
    monitor.venue.buy()

    monitor.go_to(5)

    assert monitor.venue.told() == ["entry 100 @0", "time_exit 102 @2"]
    assert monitor.turns == [2.0]


def test_each_position_has_a_time_exit_of_its_own_and_is_forgotten_when_it_is_gone() -> None:
    """One opened while another waits, and one opened long after."""
    monitor = Monitor({"AAA": [FLAT] * 13, "BBB": [FLAT] * 13}, {"time_exit": {"after": "3m"}})
    monitor.venue.buy()
    monitor.go_to(1).venue.buy(symbol="BBB")
    monitor.go_to(7).venue.buy()

    monitor.go_to(11)

    assert monitor.turns == [3.0, 4.0, 10.0]
    assert monitor.venue.told() == [
        "entry 100 @0", "entry 100 @1", "time_exit 100 @3", "time_exit 100 @4", "entry 100 @7", "time_exit 100 @10",
    ]  # fmt: skip
    assert len(monitor.manager._closing) == len(monitor.manager._patience) == 1


def test_a_time_exit_inside_a_bar_fills_at_the_next_open() -> None:
    """The timer has an instant of its own."""
    monitor = Monitor(closes(100, 101, 102, 103), {"time_exit": {"after": "90s"}})
    monitor.venue.buy()

    monitor.go_to(4)

    assert monitor.turns == [1.5]
    assert monitor.venue.told() == ["entry 100 @0", "time_exit 102 @2"]


def test_a_time_exit_across_a_hole_sends_one_order() -> None:
    """While the order to close is under way no second one follows, however long the hole is."""
    monitor = Monitor([FLAT, flat(100), *[None] * 40, flat(105), flat(105)], {"time_exit": {"after": "2m"}})
    monitor.venue.buy()

    monitor.go_to(44)

    assert monitor.venue.told() == ["entry 100 @0", "time_exit 105 @41"]
    assert len(monitor.venue.broker.orders()) == 2
    assert len(monitor.turns) < 10


def test_a_time_exit_that_was_cancelled_is_sent_again() -> None:
    """The position still stands and nothing is under way."""
    monitor = Monitor([FLAT, flat(100), *[None] * 10, flat(105), flat(105)], {"time_exit": {"after": "2m"}})
    monitor.venue.buy()
    monitor.go_to(2)
    (order,) = monitor.venue.broker.snapshot().orders
    monitor.venue.broker.cancel(order.order_id)

    monitor.go_to(13)

    assert monitor.venue.told() == ["entry 100 @0", "time_exit 105 @11"]


def test_a_position_that_cannot_be_closed_is_not_asked_for_every_minute() -> None:
    """Its data ended and it is kept: the refusals become rare."""
    monitor = Monitor({"AAA": closes(100), "BBB": [FLAT] * 60}, {"time_exit": {"after": "2m"}})
    monitor.venue.buy()

    monitor.go_to(59)

    assert monitor.venue.position.volume == 1.0
    assert monitor.turns == [2.0, 3.0, 5.0, 9.0, 17.0, 33.0]
    assert [code for *_, code in monitor.venue.recorded("refusal")] == ["no_price"] * 6


# -- the daily loss limit ----------------------------------------------------------------------------------------------


def falling() -> dict[str, Any]:
    """AAA loses 4 percent of a full account in its second minute."""
    return {"AAA": closes(100, 96, 95, 95, 95), "BBB": [FLAT] * 6}


def test_the_daily_loss_limit_blocks_and_leaves_positions() -> None:
    """One turn when it is reached; positions stay with their stops."""
    monitor = Monitor(falling(), {}, {"daily_loss_limit_percent": 3})
    monitor.venue.buy(100)

    monitor.go_to(4)

    assert monitor.turns == [2.0]
    assert monitor.venue.position.volume == 100.0
    assert monitor.venue.recorded("limit") == [("daily_loss", 9_600.0, "block")]


def test_the_daily_loss_limit_flattens_when_configured() -> None:
    """Working entries are cancelled and all positions closed at the next open."""
    monitor = Monitor(falling(), {}, {"daily_loss_limit_percent": 3, "on_daily_loss": "flatten"})
    monitor.venue.buy(90)
    monitor.venue.buy(1, symbol="BBB", limit=90.0)

    monitor.go_to(4)

    assert [fill.kind for fill in monitor.venue.fills] == ["entry", "daily_loss"]
    assert monitor.venue.fills[-1].price == 95.0
    assert monitor.venue.broker.snapshot().orders == ()


def test_the_daily_loss_limit_cancels_the_entries_that_rest() -> None:
    """They would fill after the limit; a protected position stays."""
    monitor = Monitor(falling(), {}, {"daily_loss_limit_percent": 3})
    monitor.venue.buy(90)
    monitor.venue.buy(1, symbol="BBB", limit=90.0)

    monitor.go_to(4)

    assert monitor.venue.broker.snapshot().orders == ()
    assert [fill.kind for fill in monitor.venue.fills] == ["entry"]


def test_what_fills_after_the_account_was_flattened_is_closed_too() -> None:
    """An entry that slips in after the limit was reached does not stay, and is asked to close once."""
    monitor = Monitor(falling(), {}, {"daily_loss_limit_percent": 3, "on_daily_loss": "flatten"})
    monitor.venue.buy(90)
    monitor.go_to(2)
    assert monitor.turns == [2.0]
    monitor.venue.buy(1, symbol="BBB")

    monitor.go_to(5)

    assert [(fill.symbol, fill.kind) for fill in monitor.venue.fills] == [
        ("AAA", "entry"), ("AAA", "daily_loss"), ("BBB", "entry"), ("BBB", "daily_loss"),
    ]  # fmt: skip
    assert len(monitor.venue.broker.orders()) == 4


def test_a_loss_in_the_last_step_of_a_day_counts_for_that_day() -> None:
    """The new day begins after the old one's limit was tested."""
    risk = {"daily_loss_limit_percent": 3, "on_daily_loss": "flatten", "day": {"at": "00:02"}}
    monitor = Monitor(falling(), {}, risk)
    monitor.venue.buy(90)

    monitor.go_to(4)

    assert monitor.venue.recorded("limit") == [("daily_loss", 9_640.0, "flatten")]
    assert [fill.kind for fill in monitor.venue.fills] == ["entry", "daily_loss"]
    assert not monitor.risk.tripped


def test_the_new_day_starts_with_a_timer_and_lifts_the_block() -> None:
    """Whether or not a bar closes then."""
    risk = {"daily_loss_limit_percent": 3, "day": {"at": "00:05"}}
    monitor = Monitor({"AAA": closes(100, 96), "BBB": [FLAT] * 4}, {}, risk)
    monitor.venue.buy(100)
    monitor.go_to(4)
    assert monitor.risk.day_due_ns() == START_NS + 5 * MINUTE_NS
    assert not monitor.risk.loss_limit_reached()

    monitor.go_to(6)

    assert monitor.turns == [2.0, 5.0]
    assert monitor.risk.day_due_ns() == START_NS + 5 * MINUTE_NS + 1440 * MINUTE_NS
    assert not monitor.risk.loss_limit_reached()


def test_an_adopted_symbol_still_starts_its_cool_down() -> None:
    """When a worker is gone its events are read by the monitor."""
    monitor = Monitor(closes(100, 97, 97), {}, {"cool_down_after_loss": "10m"})
    monitor.manager.adopt("AAA")
    monitor.venue.buy(stop=98.0)

    monitor.go_to(3)

    assert monitor.venue.events() == []
    verdict = monitor.risk.reserve(EntryIntent(client_id="c1", book="sma", symbol="AAA", side=Side.BUY))
    assert verdict.code == "cool_down"
