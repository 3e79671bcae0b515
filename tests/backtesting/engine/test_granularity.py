"""Quotes and trades as the steps of a run: their order, who is woken, what fills when, polls."""

from collections.abc import Sequence
from typing import Any

import pytest

from src.backtesting.result import BacktestResult
from src.backtesting.schedules import policy_named
from src.brokers.faults import Fault, FaultKind, FaultPlan
from src.brokers.simulated import Commission, Costs, PriceTape, Slippage
from src.core.bars import Bar, BarSeries
from src.core.errors import ConfigError
from src.core.records import OrderEvent
from src.core.strategy import BarStrategy, Strategy
from src.core.timeframe import SECOND_NS, parse_instant
from src.testing.worlds import FREE, bar_series, bot_config, build_world, price_tape, run_world

START_NS = parse_instant("2024-01-01")
#: A quote before the first bar closes: without one there is no price.
FIRST = (59, 10.0, 10.1)
LATE = Costs(
    commission=Commission(), slippage=Slippage(), spread_percent=0.0, spread_points=0.0, latency_ns=3 * SECOND_NS
)  # fmt: skip


def seconds(instant_ns: int) -> float:
    """Since the start of the world."""
    return (instant_ns - START_NS) / 1e9


def bid_bars(symbol: str, closes: Sequence[float]) -> BarSeries:
    """Bars of one minute of bid prices."""
    return bar_series(symbol, closes, price_side="bid")


class Seen:
    """What happened, in the order of the turns: (seconds, symbol, what)."""

    notes: list[tuple[float, str, Any]]


class Ticker(Strategy, Seen):
    """Notes each price that it is asked at."""

    def on_tick(self) -> None:
        quote = self.quote
        assert quote is not None
        self.notes.append((seconds(self.now_ns), self.symbol, (quote.bid, quote.ask)))


class Barred(BarStrategy, Seen):
    """Notes each bar."""

    def on_bar(self, bar: Bar) -> None:
        self.notes.append((seconds(self.now_ns), self.symbol, bar.close))


class Buyer(BarStrategy):
    """Buys at the first bar, with the orders of `how`."""

    how: dict[str, Any] = {}

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 1:
            self.buy(**self.how)


def buyer(**how: Any) -> type[Buyer]:
    """A `Buyer` with these orders."""
    return type("Buyer", (Buyer,), {"how": how})


def fills_of(result: BacktestResult) -> list[tuple[float, float, str]]:
    """(seconds, price, kind) of each fill."""
    assert result.error is None, result.error
    return [(seconds(fill.filled_ns), fill.price, fill.kind) for fill in result.fills]


def test_prices_come_in_their_order_and_before_the_bars_that_close_then() -> None:
    """One timeline: by instant, then prices by rank and by row, then bars; each price is a step of its own."""
    notes: list[tuple[float, str, Any]] = []
    kinds = [type("Ticker", (Ticker,), {"notes": notes}), type("Barred", (Barred,), {"notes": notes})]
    world = [bid_bars("AAA", [10, 11]), bid_bars("BBB", [20, 21])]
    tapes = {
        "BBB": price_tape("BBB", [(5, 20, 21), (60, 20.5, 21), (60, 20.6, 21)]),
        "AAA": price_tape("AAA", [(5, 10, 11), (5, 10.1, 11), (60, 10.2, 11), (120, 10.3, 11)]),
    }

    result = run_world(world, kinds, bot_config(["AAA", "BBB"], kinds, positions="hedging"), tapes=tapes)

    assert result.error is None, result.error
    assert notes == [
        (5, "AAA", (10, 11)), (5, "AAA", (10.1, 11)), (5, "BBB", (20, 21)),
        (60, "AAA", (10.2, 11)), (60, "BBB", (20.5, 21)), (60, "BBB", (20.6, 21)),
        (60, "AAA", 10), (60, "BBB", 20),
        (120, "AAA", (10.3, 11)), (120, "AAA", 11), (120, "BBB", 21),
    ]  # fmt: skip


def test_a_price_wakes_only_the_worker_of_its_symbol() -> None:
    """A worker whose strategies want bars is not woken by prices, and none by those of other symbols."""
    tapes = {"AAA": price_tape("AAA", [(i, 10, 11) for i in range(1, 50)]), "BBB": price_tape("BBB", [(30, 20, 21)])}
    kind = type("Ticker", (Ticker,), {"notes": []})
    config = bot_config(
        ["AAA", "BBB"], [kind],
        strategies=[{"use": "Ticker", "symbols": ["BBB"]}, {"use": "Buyer", "symbols": ["AAA"], "name": "bars"}],
    )  # fmt: skip
    controller = build_world([bid_bars("AAA", [10]), bid_bars("BBB", [20])], [kind, buyer()], config, tapes=tapes)

    controller.run()

    turns = controller.time_controller.statistics().turns_by_participant
    # Its first turn, its bar or price, and its last turn.
    assert (turns["worker:AAA"], turns["worker:BBB"], turns["monitor:positions"]) == (3, 3, 2)


def test_a_market_order_fills_at_the_first_quote_after_it() -> None:
    """The quote that stands when it is placed is gone; a buyer pays the ask."""
    tape = price_tape("AAA", [(59, 10, 10.5), (60, 10.1, 10.6), (63, 10.2, 10.7), (64, 10.3, 10.8)])

    result = run_world([bid_bars("AAA", [10, 11])], [buyer()], tapes={"AAA": tape}, at_end="keep")

    assert fills_of(result) == [(63, 10.7, "entry")]


def test_a_latency_of_seconds_counts() -> None:
    """Three seconds after its decision the order is at the venue; nothing is said to be coarser."""
    tape = price_tape("AAA", [FIRST, (61, 10, 10.5), (62.999, 10, 10.6), (63, 10, 10.7), (64, 10, 10.8)])

    result = run_world([bid_bars("AAA", [10, 11])], [buyer()], tapes={"AAA": tape}, at_end="keep", costs=LATE)

    assert fills_of(result) == [(63, 10.7, "entry")]
    assert result.fidelity == {}


def test_a_stop_between_two_quotes_fills_at_the_second() -> None:
    """No quote stood at the stop itself; the target is reached by the bid of a long position."""
    tape = price_tape("AAA", [FIRST, (61, 10, 10.1), (62, 9.6, 9.7), (63, 9.2, 9.3), (64, 9.9, 10)])
    up = price_tape("AAA", [FIRST, (61, 10, 10.1), (62, 10.4, 10.9), (63, 10.6, 10.7), (64, 9.9, 10)])
    world = bid_bars("AAA", [10, 11])

    down = run_world([world], [buyer(stop=9.5)], tapes={"AAA": tape})
    target = run_world([world], [buyer(target=10.5)], tapes={"AAA": up})

    assert fills_of(down) == [(61, 10.1, "entry"), (63, 9.2, "stop")]
    assert fills_of(target) == [(61, 10.1, "entry"), (63, 10.6, "target")]


def test_bars_fill_nothing_when_prices_come_by_themselves() -> None:
    """The bar falls through the stop and no quote does: the position stays."""
    tape = price_tape("AAA", [FIRST, (61, 10, 10.1), (119, 10, 10.1)])
    bars = bar_series("AAA", [10, (10, 11, 5, 10)], price_side="bid")

    result = run_world([bars], [buyer(stop=9.5)], tapes={"AAA": tape}, at_end="keep")

    assert fills_of(result) == [(61, 10.1, "entry")]


def test_a_resting_order_waits_for_its_quote() -> None:
    """A limit wants the ask, a stop entry is triggered by the ask; both fill at the quote that came."""
    limit = price_tape("AAA", [FIRST, (61, 9.4, 9.6), (62, 9.3, 9.4), (63, 9, 9.1)])
    trigger = price_tape("AAA", [FIRST, (61, 10.4, 10.45), (62, 10.5, 10.7), (63, 11, 11.1)])
    world = bid_bars("AAA", [10, 11])

    low = run_world([world], [buyer(limit=9.5)], tapes={"AAA": limit}, at_end="keep")
    high = run_world([world], [buyer(trigger=10.5)], tapes={"AAA": trigger}, at_end="keep")

    assert fills_of(low) == [(62, 9.4, "entry")]
    assert fills_of(high) == [(62, 10.7, "entry")]


def test_trades_move_a_symbol_without_quotes() -> None:
    """The configured spread lies half below and half above each trade."""
    costs = Costs(commission=Commission(), slippage=Slippage(), spread_percent=0.0, spread_points=0.5)
    tape = price_tape("AAA", [(59, 10), (61, 10.0), (62, 9.5)])

    result = run_world([bar_series("AAA", [10, 11])], [buyer(stop=9.4)], tapes={"AAA": tape}, costs=costs)

    assert fills_of(result) == [(61, 10.25, "entry"), (62, 9.25, "stop")]


def test_a_trade_beside_quotes_is_seen_and_fills_nothing() -> None:
    """It is a price that a strategy is asked at; bid and ask stay."""
    notes: list[tuple[float, str, Any]] = []
    kind = type("Ticker", (Ticker,), {"notes": notes})
    tape = price_tape("AAA", [(58, 10, 11), (61, 3.0), (62, 10.5, 11.5)])
    tapes = {"AAA": tape}

    result = run_world([bid_bars("AAA", [10, 11])], [buyer()], tapes=tapes, at_end="keep")
    run_world([bid_bars("AAA", [10, 11])], [kind], tapes=tapes)

    assert fills_of(result) == [(62, 11.5, "entry")]
    assert notes == [(58, "AAA", (10, 11)), (61, "AAA", (10, 11)), (62, "AAA", (10.5, 11.5))]


def test_an_order_expires_between_two_quotes() -> None:
    """Its end is a step of its own, and a quote at that very instant comes too late."""

    class Waiting(BarStrategy):
        ends: list[tuple[float, str]] = []

        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 1:
                self.buy(limit=9.5, expires_ns=self.now_ns + 2 * SECOND_NS)
                self.buy(limit=9.4, expires_ns=self.now_ns + 3 * SECOND_NS)

        def on_order(self, event: OrderEvent) -> None:
            self.ends.append((seconds(self.now_ns), str(event.order.state)))

    tape = price_tape("AAA", [FIRST, (61, 10, 10.1), (63, 9, 9.1)])

    result = run_world([bid_bars("AAA", [10, 11])], [Waiting], tapes={"AAA": tape})

    assert result.error is None, result.error
    assert Waiting.ends == [(62, "expired"), (63, "expired")]


def test_what_came_before_the_start_is_the_price_at_the_start() -> None:
    """The last quote up to the window's start stands; it is nobody's news."""
    notes: list[tuple[float, str, Any]] = []

    class Early(Strategy):
        def on_start(self) -> None:
            quote = self.quote
            assert quote is not None
            notes.append((seconds(self.now_ns), self.symbol, (quote.bid, quote.ask)))

        def on_tick(self) -> None:
            notes.append((seconds(self.now_ns), self.symbol, "tick"))

    tape = price_tape("AAA", [(30, 10, 11), (60, 10.5, 11.5), (70, 10, 11)])

    run_world(
        [bid_bars("AAA", [10, 11])], [Early], tapes={"AAA": tape}, start_ns=START_NS + 60 * SECOND_NS
    )  # fmt: skip

    assert notes == [(60, "AAA", (10.5, 11.5)), (70, "AAA", "tick")]


def test_a_symbol_ends_with_its_last_price_when_that_comes_after_its_last_bar() -> None:
    """Its position is closed at that price."""
    tape = price_tape("AAA", [FIRST, (61, 10, 10.1), (130, 12, 12.1)])

    result = run_world(
        [bid_bars("AAA", [10, 11])], [buyer()], tapes={"AAA": tape}, end_ns=START_NS + 200 * SECOND_NS
    )  # fmt: skip

    assert fills_of(result) == [(61, 10.1, "entry"), (130, 12, "end_of_data")]
    assert (seconds(int(result.equity_ns[-1])), result.equity[-1]) == (130, result.account.equity)


@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_workers_poll_on_a_grid_that_is_anchored_at_the_epoch(runtime: str) -> None:
    """At most one turn for each second, which sees everything that came up to it; of several prices the last."""
    notes: list[tuple[float, str, Any]] = []
    kind = type("Ticker", (Ticker,), {"notes": notes})
    prices = [(1.2, 10, 11), (1.9, 10.1, 11), (2.0, 10.2, 11), (2.0, 10.3, 11), (5.5, 10.4, 11), (60, 10.5, 11)]

    run_world(
        [bid_bars("AAA", [10, 11])], [kind], tapes={"AAA": price_tape("AAA", prices)}, polls=True, runtime=runtime
    )  # fmt: skip

    assert notes == [(2, "AAA", (10.3, 11)), (6, "AAA", (10.4, 11)), (60, "AAA", (10.5, 11))]


def test_a_fill_is_known_at_the_next_poll() -> None:
    """Order events are polled for as well; the order itself fills when its quote comes."""

    class Told(Buyer):
        told: list[float] = []

        def on_order(self, event: OrderEvent) -> None:
            self.told.append(seconds(self.now_ns))

    tape = price_tape("AAA", [(59, 10, 10.5), (60.25, 10, 10.6)])

    result = run_world([bid_bars("AAA", [10, 11])], [Told], tapes={"AAA": tape}, at_end="keep", polls=True)

    assert fills_of(result) == [(60.25, 10.6, "entry")]
    assert Told.told == [61]


def test_the_monitor_polls_at_its_own_distance() -> None:
    """A stop is moved to break-even at the first poll of the monitor after the bar that allows it."""
    tape = price_tape("AAA", [FIRST, (61, 10, 10), (100, 12, 12), (121, 12, 12), (128, 9.8, 9.8)])
    manage = {"break_even": {"at_r": 1.0}}
    kind = buyer(stop=9.0)

    def moves(config_poll: str, **how: Any) -> list[float]:
        config = bot_config(["AAA"], [kind], manage=manage)
        config = config.model_validate({**config.model_dump(by_alias=True), "poll": {"position_monitor": config_poll}})
        result = run_world([bid_bars("AAA", [10, 12, 12])], [kind], config, tapes={"AAA": tape}, **how)
        assert result.error is None, result.error
        return [
            seconds(record.instant_ns) for record in result.records
            if record.kind == "protect" and record.values[-1] == "break_even"
        ]  # fmt: skip

    assert moves("7s", polls=True) == [
        seconds(START_NS + 120 * SECOND_NS + -(START_NS // SECOND_NS + 120) % 7 * SECOND_NS)
    ]
    assert moves("7s") == [120]


def test_stops_are_moved_at_prices_where_the_rules_say_so() -> None:
    """`on: poll` moves a stop at the price that allows it; in a run of bars that is said to be coarser."""
    tape = price_tape("AAA", [FIRST, (61, 10, 10), (70, 12, 12), (80, 9.8, 9.8), (130, 9, 9)])
    kind = buyer(stop=9.0)
    config = bot_config(["AAA"], [kind], manage={"on": "poll", "break_even": {"at_r": 1.0}})
    bars = [bid_bars("AAA", [10, 12, 12])]

    ticks = run_world(bars, [kind], config, tapes={"AAA": tape})
    polled = run_world(bars, [kind], config, tapes={"AAA": tape}, polls=True)
    coarse = run_world(bars, [kind], config)

    assert fills_of(ticks) == fills_of(polled) == [(61, 10, "entry"), (80, 9.8, "break_even")]
    assert "manage" in coarse.fidelity
    assert "manage" not in ticks.fidelity


def run_twice(tapes: dict[str, PriceTape], **how: Any) -> tuple[str, str]:
    """The digests of a run in threads and of one in fibers."""
    kind = type("Ticker", (Ticker,), {"notes": []})
    digests = []
    for runtime in ("threads", "fibers"):
        config = bot_config(["AAA", "BBB"], [kind, Buyer], positions="hedging")
        world = [bid_bars("AAA", [10, 11, 12]), bid_bars("BBB", [20, 21, 22])]
        result = run_world(world, [kind, buyer(stop=9.5)], config, tapes=tapes, runtime=runtime, **how)
        assert result.error is None, result.error
        digests.append(result.digest)
    return digests[0], digests[1]


@pytest.mark.parametrize("how", [{}, {"polls": True}])
def test_threads_and_fibers_agree(how: dict[str, Any]) -> None:
    """The digest is one and the same, price by price and at polls."""
    tapes = {
        symbol: price_tape(symbol, [(i / 2, 10 + i % 7 / 10, 10.5 + i % 5 / 10) for i in range(1, 300)])
        for symbol in ("AAA", "BBB")
    }

    threads, fibers = run_twice(tapes, **how)

    assert threads == fibers


def test_a_run_of_bars_after_one_of_prices_is_a_run_of_bars() -> None:
    """What counted the prices of the first run counts nothing in the second, over the same bars."""
    notes: list[tuple[float, str, Any]] = []
    kind = type("Ticker", (Ticker,), {"notes": notes})
    bars = [bid_bars("AAA", [10, 11])]

    run_world(bars, [kind], tapes={"AAA": price_tape("AAA", [FIRST])})
    notes.clear()
    run_world(bars, [kind])

    assert [second for second, _, _ in notes] == [60, 120]


def test_a_symbol_cannot_join_a_run_whose_prices_were_read_before() -> None:
    """The refusal says what to do instead."""
    config = bot_config(["AAA"], [Buyer]).model_dump(by_alias=True)
    config["instruments"]["BBB"] = {"currency": "USD"}
    tapes = {"AAA": price_tape("AAA", [(1, 10, 11)])}
    controller = build_world(
        [bid_bars("AAA", [10])], [Buyer], bot_config(["AAA"], [Buyer]).model_validate(config), tapes=tapes
    )  # fmt: skip

    with pytest.raises(ConfigError, match="BBB cannot join.*name it under symbols"):
        controller.add_symbol("BBB")


def test_a_symbol_without_prices_is_refused() -> None:
    """A venue that fills at quotes takes no symbol that has none."""
    with pytest.raises(ConfigError, match="expected the quotes or trades of AAA, found none"):
        build_world([bid_bars("AAA", [10])], [Buyer], tapes={}, costs=FREE)


@pytest.mark.parametrize("schedule", ["seeded", "preemptive"])
def test_the_schedule_decides_nothing_between_workers_that_share_nothing(schedule: str) -> None:
    """Prices are steps, so whose turn comes first at an instant changes no result."""
    tape = {"AAA": price_tape("AAA", [(i / 2, 10 + i % 7 / 10, 10.5 + i % 5 / 10) for i in range(1, 300)])}
    kind = buyer(stop=9.5)
    world = [bid_bars("AAA", [10, 11, 12])]

    first = run_world(world, [kind], tapes=tape)
    other = run_world([bid_bars("AAA", [10, 11, 12])], [kind], tapes=tape, policy=policy_named(schedule, 3))

    assert first.error is None
    assert other.digest == first.digest


def test_what_a_turn_brings_about_is_heard_of_at_the_next_poll() -> None:
    """A cancellation is answered at once, and its event waits: nobody polls twice at one instant."""

    class Fickle(Strategy):
        heard: list[tuple[float, str]] = []

        def on_tick(self) -> None:
            self.cancel(self.buy(limit=1.0).order_id)

        def on_order(self, event: OrderEvent) -> None:
            self.heard.append((seconds(self.now_ns), str(event.order.state)))

    tape = {"AAA": price_tape("AAA", [(58.5, 10, 11), (70.5, 10, 11)])}

    result = run_world([bid_bars("AAA", [10, 11])], [Fickle], tapes=tape, polls=True)

    assert result.error is None, result.error
    assert Fickle.heard == [(60, "cancelled"), (72, "cancelled")]


def test_a_dead_feed_wakes_nobody_and_a_blown_out_spread_is_paid() -> None:
    """The venue goes on while the bot is blind; where the spread is three times as wide, the ask is."""
    notes: list[tuple[float, str, Any]] = []
    kind = type("Ticker", (Ticker,), {"notes": notes})
    tape = {"AAA": price_tape("AAA", [(58, 10, 11), (62, 10, 11), (64, 10, 11), (66, 10, 11)])}
    at = {"from_ns": START_NS + 61 * SECOND_NS, "to_ns": START_NS + 65 * SECOND_NS}
    hole = FaultPlan([Fault(kind=FaultKind.FEED_HOLE, symbol="AAA", **at)], 7)
    wide = FaultPlan([Fault(kind=FaultKind.SPREAD, symbol="AAA", factor=3.0, **at)], 7)

    run_world([bid_bars("AAA", [10, 11])], [kind], tapes=tape, faults=hole)
    paid = run_world([bid_bars("AAA", [10, 11])], [buyer()], tapes=tape, faults=wide, at_end="keep")

    assert [second for second, _, _ in notes] == [58, 66]
    assert fills_of(paid) == [(62, 13, "entry")]
