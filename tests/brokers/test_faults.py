"""What the bot does when its venue does not answer, answers wrongly, or is not there."""

from typing import Any

import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.schedules import policy_named
from src.brokers.faults import Fault, FaultKind, FaultPlan
from src.brokers.simulated import Commission, Costs, Slippage
from src.core.bars import Bar
from src.core.records import OrderEvent, OrderResult, Trade
from src.core.steady_broker import SteadyBroker
from src.core.strategy import BarStrategy, Strategy
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.testing.fault_loop import fault_loop, problems_of
from src.testing.worlds import bar_series, bot_config, build_world, price_tape
from tests.brokers.fault_worlds import busy_world

START_NS = parse_instant("2024-01-01")
FLAT = [100.0] * 14


class Scripted(BarStrategy):
    """Does what its class says at a bar, counted from 1, and keeps what it hears."""

    script: dict[int, str] = {}

    def on_start(self) -> None:
        self.answers: list[tuple[int, OrderResult]] = []
        self.heard: list[tuple[int, str, str]] = []
        self.closed: list[Trade] = []
        self.seen: list[float] = []
        HEARD.append(self)

    def on_bar(self, bar: Bar) -> None:
        n = (bar.close_ns - START_NS) // MINUTE_NS
        self.seen.append(n)
        do = self.script.get(n, "")
        acts: dict[str, Any] = {
            "buy": lambda: self.buy(stop=bar.close - 10, reason="in"),
            "limit": lambda: self.buy(limit=bar.close - 5, reason="rest"),
            "close": lambda: self.close(reason="out"),
            "tighten": lambda: self.move_stop(bar.close - 4),
            "loosen": lambda: self.move_stop(bar.close - 20),
            "cancel": lambda: self.cancel(self.answers[0][1].order_id),
            "raise": lambda: 1 / 0,
        }
        if do:
            self.answers.append((n, acts[do]()))

    def on_order(self, event: OrderEvent) -> None:
        minute = (self.now_ns - START_NS) // MINUTE_NS
        self.heard.append((minute, str(event.order.state), event.order.code))

    def on_trade_closed(self, trade: Trade) -> None:
        self.closed.append(trade)


HEARD: list[Scripted] = []


def _world(
    script: dict[int, str], faults: list[Fault], prices: list[Any] | None = None, **how: Any
) -> BacktestController:
    HEARD.clear()
    cls = type("Scripted", (Scripted,), {"script": script})
    config = how.pop("config", None) or bot_config(["AAA"], [cls], size={"volume": 2}, **how.pop("risk", {}))
    return build_world([bar_series("AAA", FLAT if prices is None else prices)], [cls], config,
                       faults=FaultPlan(faults), **how)  # fmt: skip


def _run(script: dict[int, str], faults: list[Fault], prices: list[Any] | None = None, **how: Any) -> BacktestResult:
    controller = _world(script, faults, prices, **how)
    result = controller.run()
    away_ns = max([(each.to_ns or 0) - (each.from_ns or 0) for each in faults], default=0)
    assert problems_of(controller, result, away_ns=away_ns) == []
    return result


def _codes() -> list[tuple[int, str]]:
    return [(n, answer.code) for n, answer in HEARD[0].answers]


def _fault(kind: FaultKind, call: int = 1, **more: Any) -> Fault:
    return Fault(kind=kind, call=call, **more)


def _span(kind: FaultKind, start: float, end: float, **more: Any) -> Fault:
    times = [START_NS + int(minute * MINUTE_NS) for minute in (start, end)]
    return Fault(kind=kind, from_ns=times[0], to_ns=times[1], **more)


def _recovered(result: BacktestResult) -> list[tuple[str, str]]:
    return [(each.values[2], each.values[3]) for each in result.records if each.kind == "recovery"]


# -- nothing wrong -----------------------------------------------------------------------------------------------------


def test_without_faults_nothing_stands_between_bot_and_venue() -> None:
    """The bot gets the venue itself, and no participant is added."""
    controller = busy_world(None)

    assert controller.trading_controller._broker is controller.venue


def test_a_plan_of_nothing_changes_nothing() -> None:
    """The guard and the faulty broker do what the venue does: equal digests."""
    guarded, plain = busy_world(FaultPlan([])), busy_world(None)

    assert isinstance(guarded.trading_controller._broker, SteadyBroker)
    assert guarded.run().digest == plain.run().digest


# -- orders that nobody answered ---------------------------------------------------------------------------------------


def test_an_order_that_was_accepted_without_an_answer_is_found_and_never_sent_again() -> None:
    """The venue has one order, the strategy hears of its fill, and knew from its answer that nothing was certain."""
    result = _run({1: "buy", 3: "close"}, [_fault(FaultKind.TIMEOUT_ACCEPTED)])

    assert _codes() == [(1, "unanswered"), (3, "")]
    assert _recovered(result) == [("enter", "unknown"), ("enter", "filled")]
    assert ([fill.kind for fill in result.fills], HEARD[0].heard[0]) == (["entry", "exit"], (1, "filled", ""))


def test_a_lost_order_keeps_its_symbol_closed_until_it_is_certain_that_it_is_lost() -> None:
    """The in-flight limit has to pass twice, a minute here; then the strategy hears of it and entries resume."""
    wishes = {1: "buy", 2: "buy", 3: "buy"}

    result = _run(wishes, [_fault(FaultKind.TIMEOUT_LOST)])

    assert _codes() == [(1, "unanswered"), (2, ""), (3, "")]
    assert _recovered(result) == [("enter", "unknown"), ("enter", "lost")]
    assert HEARD[0].heard[0] == (2, "rejected", "lost")


def test_until_then_the_symbol_takes_no_entry_and_the_slot_is_taken() -> None:
    """While nobody knows whether an order arrived, another one could be the second of two."""
    later = _fault(FaultKind.TIMEOUT_ACCEPTED, after_ns=29 * SECOND_NS)
    away = _span(FaultKind.DISCONNECT, 1.5, 4.5)

    result = _run({1: "buy", 2: "buy", 3: "buy", 7: "buy"}, [away, later])

    assert _codes() == [(1, "unanswered"), (2, "unanswered"), (3, "unanswered"), (7, "")]
    assert [fill.volume for fill in result.fills if fill.kind == "entry"] == [2.0, 2.0]


def test_a_lost_order_to_close_is_replaced_when_it_is_certain_that_it_is_lost() -> None:
    """Whoever wants out gets out, with an order of another id, and once."""
    result = _run({1: "buy", 3: "close", 4: "close"}, [_fault(FaultKind.TIMEOUT_LOST, 2)])

    assert _codes() == [(1, ""), (3, "unanswered"), (4, "")]
    assert [fill.kind for fill in result.fills] == ["entry", "exit"]


def test_who_closes_again_while_an_answer_is_missing_sends_nothing() -> None:
    """The order that may be under way is the only one until its fate is known."""
    away = _span(FaultKind.DISCONNECT, 2.5, 6.5)

    result = _run({1: "buy", 3: "close", 4: "close", 5: "close"}, [away])

    assert _codes() == [(1, ""), (3, "unanswered"), (4, "unanswered"), (5, "unanswered")]
    assert [outcome for _, outcome in _recovered(result)] == ["unknown", "lost", "accepted"]
    assert [fill.kind for fill in result.fills] == ["entry", "exit"]


# -- answers that say something else than is true ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FaultKind.DUPLICATE_ACK, FaultKind.STALE_REPLY])
def test_what_is_told_twice_or_late_is_heard_once(kind: FaultKind) -> None:
    """Two fills and one closed trade, whatever the venue repeats or tells of long ago."""
    for call in (1, 2):
        _run({1: "buy", 3: "close"}, [_fault(kind, call)])

        assert HEARD[0].heard == [(1, "filled", ""), (3, "filled", "")]
        assert len(HEARD[0].closed) == 1


def test_an_entry_whose_stop_was_refused_is_flattened_at_once() -> None:
    """The venue says success and gives no id: when the entry fills naked, it is closed at the next open."""
    result = _run({1: "buy"}, [_fault(FaultKind.STOP_WITHOUT_ID)])

    assert [(trade.exit_kind, trade.exit_ns - trade.entry_ns) for trade in result.trades] == [("naked", 0)]
    assert _recovered(result) == [
        ("enter", "unknown"), ("enter", "filled"), ("flatten", "the stop was refused"), ("close again", "accepted"),
    ]  # fmt: skip


def test_a_flattening_that_fails_is_tried_again() -> None:
    """The order that gets rid of a naked position is lost itself; another one follows."""
    faults = [_fault(FaultKind.STOP_WITHOUT_ID), _fault(FaultKind.TIMEOUT_LOST, 2), _fault(FaultKind.REJECT, 3)]

    result = _world({1: "buy"}, faults).run()

    assert [trade.exit_kind for trade in result.trades] == ["naked"]
    assert [outcome for what, outcome in _recovered(result) if what == "close again"] == [
        "unanswered", "rejected", "accepted",
    ]  # fmt: skip


def test_a_stop_that_was_accepted_without_an_id_is_set_again() -> None:
    """A change that may not count is asked for until it does."""
    result = _run({1: "buy", 3: "tighten"}, [_fault(FaultKind.STOP_WITHOUT_ID, 2)])

    assert _codes() == [(1, ""), (3, "unanswered")]
    assert [each.stop for each in result.open_positions] == []
    assert [each.values[1] for each in result.records if each.kind == "protect"] == [90.0, 96.0]


def test_a_rejected_order_keeps_its_filled_part_with_its_stop() -> None:
    """The half that was filled is a position like any other; nothing more is expected of the order."""
    result = _run({1: "buy"}, [_fault(FaultKind.REJECTED_WITH_FILL)], at_end="keep")

    assert [(each.volume, each.stop) for each in result.open_positions] == [(1.0, 90.0)]
    assert HEARD[0].heard == [(1, "rejected", "rejected")]


def test_what_a_rejected_order_to_close_has_left_is_closed() -> None:
    """The rest of an exit that the venue rejected goes out with another order."""
    result = _run({1: "buy", 3: "close"}, [_fault(FaultKind.REJECTED_WITH_FILL, 2)])

    assert [(fill.kind, fill.volume) for fill in result.fills] == [("entry", 2.0), ("exit", 1.0), ("exit", 1.0)]


def test_a_market_order_that_falls_silent_is_cancelled() -> None:
    """After ten in-flight limits without a word the rest is given up, and its reservation with it."""
    controller = _world({1: "buy"}, [_fault(FaultKind.PARTLY_SILENT)], at_end="keep")

    result = controller.run()

    assert HEARD[0].heard == [(1, "partly_filled", ""), (6, "cancelled", "cancelled")]
    assert _recovered(result) == [("cancel", "silent after a part")]
    assert [each.volume for each in result.open_positions] == [1.0]


def test_an_exit_that_falls_silent_is_finished_by_another_order() -> None:
    """What the silent order did not close is closed once that order has been cancelled."""
    result = _run({1: "buy", 3: "close"}, [_fault(FaultKind.PARTLY_SILENT, 2)])

    assert [(fill.kind, fill.volume) for fill in result.fills] == [("entry", 2.0), ("exit", 1.0), ("exit", 1.0)]
    assert result.fills[2].filled_ns == START_NS + 9 * MINUTE_NS


# -- what may be asked again -------------------------------------------------------------------------------------------


def test_a_cancel_that_nobody_answered_is_made_again() -> None:
    """Until the order is gone, at the close of the bar; it does no harm when it arrives twice."""
    result = _run({1: "limit", 2: "cancel"}, [_fault(FaultKind.TIMEOUT_LOST, 2)])

    assert [(order.state, order.updated_ns) for order in result.orders] == [("cancelled", START_NS + 3 * MINUTE_NS)]


def test_the_entries_of_a_symbol_that_was_stopped_are_cancelled_although_nobody_answers() -> None:
    """The worker is gone and its order is not forgotten."""
    config = bot_config(["AAA"], [Scripted], on_error="stop_symbol")
    controller = _world({1: "limit", 2: "raise"}, [_fault(FaultKind.TIMEOUT_LOST, 2)], config=config)

    result = controller.run()

    assert (result.outcome, [order.state for order in result.orders]) == (Outcome.DEGRADED, ["cancelled"])


@pytest.mark.parametrize(("move", "stops"), [("tighten", [90.0, 96.0]), ("loosen", [90.0])])
def test_a_tighter_stop_is_set_again_and_a_wider_one_is_not(move: str, stops: list[float]) -> None:
    """The risk of a wider stop was judged for then and not for later."""
    result = _run({1: "buy", 3: move}, [_fault(FaultKind.TIMEOUT_LOST, 2)])

    assert _codes() == [(1, ""), (3, "unanswered")]
    assert [each.values[1] for each in result.records if each.kind == "protect"] == stops


# -- faults that last --------------------------------------------------------------------------------------------------


def test_what_happens_while_the_bot_is_cut_off_it_hears_of_afterwards() -> None:
    """The stop fills at the venue; the position stays what it was to the bot until the connection is back."""
    prices = [100.0, 100.0, 100.0, (100.0, 100.0, 80.0, 100.0), *FLAT]

    result = _run({1: "buy"}, [_span(FaultKind.DISCONNECT, 2.5, 6.5)], prices)

    assert HEARD[0].heard == [(1, "filled", ""), (7, "filled", "")]
    assert [trade.exit_ns for trade in result.trades] == [START_NS + 4 * MINUTE_NS]


def test_a_rate_limit_delays_an_exit() -> None:
    """One call in nine minutes: the exit is refused, asked again, and done when the limit is over."""
    limit = _span(FaultKind.RATE_LIMIT, 2, 5, calls=1, per_ns=9 * MINUTE_NS)

    result = _run({1: "buy", 3: "tighten", 4: "close"}, [limit])

    assert _codes() == [(1, ""), (3, ""), (4, "rate_limit")]
    assert [fill.filled_ns - START_NS for fill in result.fills] == [MINUTE_NS, 5 * MINUTE_NS]


def test_a_rate_limit_refuses_an_entry() -> None:
    """Nothing was sent and nothing is uncertain: the strategy is told so and may enter later."""
    limit = _span(FaultKind.RATE_LIMIT, 1, 3, calls=1, per_ns=9 * MINUTE_NS)

    result = _run({1: "limit", 2: "buy", 3: "buy"}, [limit])

    assert _codes() == [(1, ""), (2, "rate_limit"), (3, "")]
    assert _recovered(result) == []


def test_nothing_is_opened_on_a_price_that_stands_still() -> None:
    """The feed shows the same price for minutes; the venue has another one, and the bot does not trade on the old."""
    prices = [100.0 + i for i in range(14)]

    _run({5: "buy", 9: "buy"}, [_span(FaultKind.PRICE_FREEZE, 2, 8)], prices)

    assert _codes() == [(5, "stale_price"), (9, "")]


def test_a_frozen_feed_shows_flat_bars() -> None:
    """Bars keep coming, of the last price before; afterwards they are true again."""
    closes: list[float] = []

    class Watching(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            closes.append(bar.close)

    faults = FaultPlan([_span(FaultKind.PRICE_FREEZE, 2, 4)])
    build_world([bar_series("AAA", [1.0, 2.0, 3.0, 4.0, 5.0])], [Watching], faults=faults).run()

    assert closes == [1.0, 2.0, 2.0, 2.0, 5.0]


def test_the_venue_goes_on_where_the_feed_has_a_hole() -> None:
    """The bars of three minutes never come; the stop fills inside them all the same."""
    prices = [100.0, 100.0, 100.0, (100.0, 100.0, 80.0, 100.0), *FLAT]

    result = _run({1: "buy"}, [_span(FaultKind.FEED_HOLE, 2, 5)], prices)

    assert HEARD[0].seen[:4] == [1, 2, 6, 7]
    assert [(trade.exit_kind, trade.exit_ns) for trade in result.trades] == [("stop", START_NS + 4 * MINUTE_NS)]
    assert HEARD[0].heard[1] == (4, "filled", "")


@pytest.mark.parametrize(("minutes", "paid"), [((0, 3), 105.0), ((5, 8), 101.0)])
def test_who_trades_while_the_spread_is_wide_pays_it(minutes: tuple[int, int], paid: float) -> None:
    """Two percent of spread, five times as wide for three minutes."""
    costs = Costs(commission=Commission(), slippage=Slippage(), spread_percent=2.0, spread_points=0.0)

    result = _run({1: "buy"}, [_span(FaultKind.SPREAD, *minutes, factor=5.0)], costs=costs)

    assert result.fills[0].price == pytest.approx(paid)


def test_the_limit_on_the_spread_keeps_entries_out_of_a_blow_out() -> None:
    """`max_spread_percent` is there for this: refused while it is wide, taken when it is over."""
    costs = Costs(commission=Commission(), slippage=Slippage(), spread_percent=2.0, spread_points=0.0)
    risk = {"max_spread_percent": 3}

    _run({1: "buy", 6: "buy"}, [_span(FaultKind.SPREAD, 0, 3, factor=5.0)], costs=costs, risk=risk)

    assert _codes() == [(1, "spread"), (6, "")]


@pytest.mark.parametrize("schedule", ["seeded", "preemptive"])
def test_a_run_with_faults_is_the_same_in_threads_and_in_fibers(schedule: str) -> None:
    """Faults are inputs: the same plan gives the same digest, whatever carries the participants."""
    plan = [
        Fault(kind=FaultKind.TIMEOUT_ACCEPTED, chance_percent=25, after_ns=20 * SECOND_NS),
        Fault(kind=FaultKind.TIMEOUT_LOST, chance_percent=25),
        Fault(kind=FaultKind.STOP_WITHOUT_ID, chance_percent=25),
    ]

    digests = {
        busy_world(FaultPlan(plan), runtime=runtime, policy=policy_named(schedule, 3)).run().digest
        for runtime in ("threads", "fibers", "threads")
    }

    assert len(digests) == 1


class Ticking(Strategy):
    """Enters and leaves at every twentieth price."""

    def on_start(self) -> None:
        self.asked = 0
        TICKING.append(self)

    def on_tick(self) -> None:
        self.asked += 1
        quote = self.quote
        if self.asked % 20 == 3 and self.position.is_flat and quote is not None:
            self.buy(stop=quote.bid - 3, reason="in")
        elif self.asked % 20 == 15 and not self.position.is_flat:
            self.close(reason="out")


TICKING: list[Ticking] = []


def _at_every_price(plan: FaultPlan | None) -> BacktestController:
    prices = [100 + ((i * 5) % 11 - 5) * 0.2 for i in range(120)]
    tape = price_tape("AAA", [(7.0 * i, price, price + 0.05) for i, price in enumerate(prices)])
    series = bar_series("AAA", prices[:14])
    return build_world([series], [Ticking], faults=plan, tapes={"AAA": tape})


def test_faults_act_at_every_price_as_they_do_at_bars() -> None:
    """The guard changes nothing by itself, and the bot survives each failure of a call."""
    plain = _at_every_price(None).run()

    runs = fault_loop(_at_every_price, [Fault(kind=FaultKind.TIMEOUT_LOST, call=1)])

    assert (len(plain.fills), runs[-1].digest) == (12, plain.digest)
    assert len(runs) == 13


def test_a_dead_feed_asks_nobody_at_its_prices() -> None:
    """Prices of four minutes never reach the bot; the venue has them."""
    TICKING.clear()
    result = _at_every_price(FaultPlan([_span(FaultKind.FEED_HOLE, 1, 5)])).run()

    assert result.outcome is Outcome.COMPLETED
    assert 119 - TICKING[0].asked == pytest.approx(240 / 7, abs=2)
