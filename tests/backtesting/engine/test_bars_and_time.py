"""The whole bot over tiny worlds: which bars a strategy is shown, when, and what happens where data begin and end."""

from typing import Any

import pytest

from src.backtesting.result import BacktestResult, Outcome
from src.core.bars import Bar
from src.core.errors import DataError
from src.core.features import sma
from src.core.journal import ACCOUNT_STREAM
from src.core.records import OrderEvent
from src.core.strategy import BarStrategy, Strategy
from src.core.timeframe import MINUTE_NS
from src.testing import bar_series, bot_config, build_world, run_world

both = pytest.mark.parametrize("runtime", ["threads", "fibers"])
RISING = [100.0 + i for i in range(8)]


def minute(result: BacktestResult, instant_ns: int) -> float:
    """Minutes since the window's start."""
    return (instant_ns - result.start_ns) / MINUTE_NS


def exits(result: BacktestResult) -> list[tuple[str, str, float, float]]:
    """Symbol, kind, minute and price of each trade's exit."""
    return [(t.symbol, t.exit_kind, minute(result, t.exit_ns), t.exit_price) for t in result.trades]


class BuysAtOnce(BarStrategy):
    """Buys at its first bar and holds."""

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 1:
            self.buy()


@both
def test_no_worker_ever_sees_two_instants_mixed(runtime: str) -> None:
    """Whoever looks, every symbol with a bar at this instant shows it and none shows a later one."""
    seen: list[set[int]] = []

    class Looks(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            broker = self._runner.broker
            lengths = set()
            for symbol in ("AAA", "BBB", "CCC"):
                series = broker.base_series(symbol)
                quote = broker.quote(symbol)
                assert quote is not None
                assert quote.bid == series.close_at[series.length - 1]
                lengths.add(series.open_ns_at[series.length - 1] + MINUTE_NS - self.now_ns)
            seen.append(lengths)

    run_world([bar_series(s, RISING) for s in ("AAA", "BBB", "CCC")], [Looks], runtime=runtime)

    assert seen == [{0}] * 24


@both
def test_every_bar_is_shown_once_in_order_at_its_close_the_last_one_too(runtime: str) -> None:
    """Nothing is skipped, repeated, early or late."""
    shown: list[tuple[float, int, float]] = []

    class Writes(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            assert self.bars[-1] == bar
            shown.append((bar.close, self.now_ns - bar.close_ns, len(self.bars)))

    result = run_world([bar_series("AAA", RISING)], [Writes], runtime=runtime)

    assert shown == [(close, 0, i + 1) for i, close in enumerate(RISING)]
    assert (result.bars, result.symbols[0].bars) == (8, 8)


@both
def test_missed_bars_are_delivered_once_each_in_order_with_the_true_time(runtime: str) -> None:
    """After a sleep each missed bar is shown on a view that ends at it, while `now_ns` tells when it really is."""
    shown: list[tuple[float, float, int, float]] = []

    class Sleeps(BarStrategy):
        def features(self) -> dict[str, Any]:
            return {"last": sma(1)}

        def on_bar(self, bar: Bar) -> None:
            last = self.last[-1]  # type: ignore[attr-defined]  # set from features()
            shown.append((bar.close, (self.now_ns - bar.close_ns) / MINUTE_NS, len(self.bars), last))
            if bar.close == 102:
                self._runner.clock.sleep(MINUTE_NS * 5 // 2)

    run_world([bar_series("AAA", RISING)], [Sleeps], runtime=runtime)

    assert [line[0] for line in shown] == RISING == [line[3] for line in shown]
    assert [line[1] for line in shown] == [0, 0, 0, 1.5, 0.5, 0, 0, 0]
    assert [line[2] for line in shown] == list(range(1, 9))


@both
def test_the_market_moves_and_orders_fill_while_a_strategy_sleeps(runtime: str) -> None:
    """What was ordered before a sleep is filled during it."""
    held: list[tuple[float, float]] = []

    class Sleeps(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if bar.close == 101:
                self.buy()
                self._runner.clock.sleep(10_000_000_000)
                held.append((self.position.volume, self.position.entry_price))

    result = run_world([bar_series("AAA", RISING)], [Sleeps], runtime=runtime)

    assert held == [(1.0, 101.0)]
    assert minute(result, result.fills[0].filled_ns) == 2


@both
@pytest.mark.parametrize(
    ("at_end", "left", "ends"),
    [
        ("close", [], [("EARLY", "end_of_data", 3.0, 102.0), ("LATE", "end_of_data", 8.0, 57.0)]),
        ("keep", [("EARLY", 1.0), ("LATE", 1.0)], []),
    ],
)
def test_symbols_that_start_late_or_end_early_hang_nobody_and_are_accounted(
    at_end: str, left: list[Any], ends: list[Any], runtime: str
) -> None:
    """Positions at the end of a symbol's data are closed at its last price then, or kept marked at it."""
    late: list[float] = [50.0 + i for i in range(8)]
    series = [bar_series("EARLY", RISING[:3]), bar_series("LATE", [None, None, *late[2:]])]

    result = run_world(series, [BuysAtOnce], at_end=at_end, runtime=runtime)

    assert result.outcome is Outcome.COMPLETED
    assert [(s.symbol, s.bars) for s in result.symbols] == [("EARLY", 3), ("LATE", 6)]
    assert exits(result) == ends
    assert [(p.symbol, p.volume) for p in result.open_positions] == left
    gain = (102 - 100) + (57 - 52)
    assert result.account.equity == 10_000 + gain == result.equity[-1]
    assert result.account.balance == (10_000 + gain if at_end == "close" else 10_000)
    assert [(r.participant, r.values[:2]) for r in result.records if r.kind == "participant"] == [
        ("worker:EARLY", ("left", 3)),
        ("worker:LATE", ("left", 6)),
    ]


@both
def test_a_symbol_ends_at_its_own_last_bar_though_another_waits_for_a_later_open(runtime: str) -> None:
    """The end of one symbol's data is not put off until an order across a hole of another one fills."""
    short, holes = [100.0, 101.0, 102.0], [50.0, 51.0, 52.0, None, None, 53.0, 54.0]

    class BuysBoth(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if (self.symbol, bar.close) in (("AAA", 101), ("BBB", 52)):
                self.buy()

    result = run_world([bar_series("AAA", short), bar_series("BBB", holes)], [BuysBoth], runtime=runtime)

    assert exits(result) == [("AAA", "end_of_data", 3.0, 102.0), ("BBB", "end_of_data", 7.0, 54.0)]
    assert [minute(result, f.filled_ns) for f in result.fills if f.kind == "entry"] == [2.0, 5.0]


@both
def test_a_symbol_without_a_bar_inside_the_window_ends_at_its_start(runtime: str) -> None:
    """Its worker leaves at once and nobody waits for it."""
    whole, gone = bar_series("AAA", RISING), bar_series("BBB", RISING[:2])
    start_ns = int(gone.open_ns[-1]) + MINUTE_NS

    result = run_world([whole, gone], [BuysAtOnce], start_ns=start_ns, runtime=runtime)

    assert result.outcome is Outcome.COMPLETED
    assert [(s.symbol, s.bars) for s in result.symbols] == [("AAA", 6), ("BBB", 0)]


@both
def test_an_order_across_a_hole_fills_at_the_open_after_it(runtime: str) -> None:
    """The fill waits for the next bar, and the bot knows of it at that bar's open."""
    events: list[tuple[str, int]] = []

    class Buys(BuysAtOnce):
        def on_order(self, event: OrderEvent) -> None:
            events.append((event.order.state.value, self.now_ns))

    rows = [100.0, None, None, (110.0, 112.0, 109.0, 111.0), 111.0]
    result = run_world([bar_series("AAA", rows)], [Buys], runtime=runtime)

    assert [(minute(result, f.filled_ns), f.price) for f in result.fills] == [(3.0, 110.0), (5.0, 111.0)]
    assert [(state, minute(result, now)) for state, now in events] == [("filled", 3.0), ("filled", 5.0)]


@both
def test_an_order_at_the_last_bar_is_refused_because_nothing_can_fill_it(runtime: str) -> None:
    """The last bar is shown, and an order on it is answered with a value."""
    codes: list[str] = []

    class BuysLast(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if bar.close == RISING[-1]:
                codes.append(self.buy().code)

    result = run_world([bar_series("AAA", RISING)], [BuysLast], runtime=runtime)

    assert codes == ["no_data"]
    assert result.refusals == {"no_data": 1}


@both
def test_a_time_exit_due_between_bars_is_a_step_of_its_own(runtime: str) -> None:
    """The monitor decides at the due instant, and the exit fills at the next open, not a bar later."""
    config = bot_config(["AAA"], [BuysAtOnce], manage={"time_exit": {"after": "90s"}})

    controller = build_world([bar_series("AAA", RISING)], [BuysAtOnce], config, runtime=runtime)
    result = controller.run()

    decisions = [(minute(result, r.instant_ns), r.participant) for r in result.records if r.kind == "decision"]
    assert decisions == [(1.0, "worker:AAA"), (2.5, "monitor:positions")]
    assert exits(result) == [("AAA", "time_exit", 3.0, 102.0)]


@both
def test_a_stop_and_a_target_at_the_broker_wake_no_monitor(runtime: str) -> None:
    """Only rules that the bot itself has to carry out give the monitor a turn."""

    class Guarded(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 1:
                self.buy(stop=90, target=103.5)

    controller = build_world([bar_series("AAA", RISING)], [Guarded], runtime=runtime)
    result = controller.run()

    turns = controller.time_controller.statistics().turns_by_participant
    assert exits(result) == [("AAA", "target", 5.0, 103.5)]
    assert turns["monitor:positions"] == 2
    # Its first turn, eight bars, the entry's fill, and the end; the target's fill arrives with a bar.
    assert turns["worker:AAA"] == 11


@both
def test_an_armed_rule_wakes_the_monitor_only_while_it_has_something_to_guard(runtime: str) -> None:
    """With break-even configured, bars without a position give the monitor no turn."""

    class LateBuyer(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if bar.close == 104:
                self.buy(stop=94)

    config = bot_config(["AAA"], [LateBuyer], manage={"break_even": {"at_r": 1}})
    controller = build_world([bar_series("AAA", RISING)], [LateBuyer], config, runtime=runtime)
    controller.run()

    turns = controller.time_controller.statistics().turns_by_participant
    assert turns["monitor:positions"] == 2 + 3  # first and last turn; the bars that close at minutes 6, 7 and 8


@both
def test_higher_timeframes_come_at_their_close_the_longer_one_first(runtime: str) -> None:
    """A forming bar is never visible, and the shorter bar that closes together with a longer one sees it."""
    log: list[tuple[str, float, int]] = []

    class Two(BarStrategy):
        timeframes = ("5m",)

        def on_bar(self, bar: Bar) -> None:
            log.append((f"{bar.timeframe_ns // MINUTE_NS}m", bar.close, len(self.bars_of("5m"))))

    run_world([bar_series("AAA", [float(i) for i in range(1, 8)])], [Two], timeframes=["5m"], runtime=runtime)

    assert log[:7] == [("1m", 1, 0), ("1m", 2, 0), ("1m", 3, 0), ("1m", 4, 0), ("5m", 5, 1), ("1m", 5, 1), ("1m", 6, 1)]


@both
def test_on_start_and_on_stop_frame_the_run_and_a_plain_strategy_is_asked_at_each_price(runtime: str) -> None:
    """`on_start` comes in the first turn at the window's start, `on_stop` in the last one."""
    calls: list[tuple[str, int]] = []

    class Plain(Strategy):
        def on_start(self) -> None:
            calls.append(("start", self.now_ns))

        def on_tick(self) -> None:
            calls.append((f"tick {self.bars.close[-1]:g}", self.now_ns))

        def on_stop(self) -> None:
            calls.append(("stop", self.now_ns))

    result = run_world([bar_series("AAA", [1.0, 2.0])], [Plain], runtime=runtime)

    assert [(what, minute(result, now)) for what, now in calls] == [
        ("start", 0), ("tick 1", 1), ("tick 2", 2), ("stop", 2),
    ]  # fmt: skip


@both
def test_equity_is_sampled_at_every_step_and_money_adds_up(runtime: str) -> None:
    """The curve starts at the window's start with the balance and follows the position."""
    result = run_world([bar_series("AAA", RISING)], [BuysAtOnce], runtime=runtime)

    assert result.equity[0] == 10_000
    assert (result.equity_ns[0], result.equity_ns[-1]) == (result.start_ns, result.end_ns)
    by_minute = dict(
        zip(((result.equity_ns - result.start_ns) / MINUTE_NS).tolist(), result.equity.tolist(), strict=True)
    )
    assert by_minute == {float(i): 10_000 + max(0, i - 1) for i in range(9)}
    assert [r.values for r in result.records if r.stream == ACCOUNT_STREAM] == [(10_007.0,)]


@both
def test_bars_before_the_windows_start_are_history_and_not_delivered(runtime: str) -> None:
    """Warm-up is seen through the views; `on_bar` begins with the first bar that closes inside the window."""
    shown: list[tuple[float, int]] = []

    class Writes(BarStrategy):
        def on_start(self) -> None:
            shown.append((-1.0, len(self.bars)))

        def on_bar(self, bar: Bar) -> None:
            shown.append((bar.close, len(self.bars)))

    series = bar_series("AAA", RISING)
    start_ns, end_ns = int(series.open_ns[3]), int(series.open_ns[6])
    result = run_world([series], [Writes], start_ns=start_ns, end_ns=end_ns, runtime=runtime)

    assert shown == [(-1.0, 3), (103, 4), (104, 5), (105, 6)]
    assert (result.start_ns, result.end_ns, result.bars) == (start_ns, end_ns, 3)


@both
def test_a_worker_that_sleeps_across_the_end_of_its_data_still_sees_what_it_missed(runtime: str) -> None:
    """The remaining bars, the exit at the end of the data, and `on_stop`, all after it woke."""
    log: list[str] = []

    class Sleeps(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            log.append(f"{self.symbol} {bar.close:g}")
            if self.symbol == "AAA" and bar.close == 101:
                self.buy()
                self._runner.clock.sleep(6 * MINUTE_NS)
                log.append("awake")

        def on_order(self, event: OrderEvent) -> None:
            assert event.fill is not None
            log.append(f"{self.symbol} {event.fill.kind}")

        def on_stop(self) -> None:
            log.append(f"{self.symbol} stop")

    result = run_world([bar_series("AAA", RISING[:4]), bar_series("BBB", [50.0] * 9)], [Sleeps], runtime=runtime)

    assert [line for line in log if not line.startswith("BBB")] == [
        "AAA 100", "AAA 101", "awake", "AAA 102", "AAA 103", "AAA entry", "AAA end_of_data", "AAA stop",
    ]  # fmt: skip
    assert exits(result) == [("AAA", "end_of_data", 4.0, 103.0)]
    assert result.outcome is Outcome.COMPLETED


@both
def test_a_strategy_may_sleep_before_the_first_bar(runtime: str) -> None:
    """A sleep in `on_start` lets the market move, and no bar is lost."""
    shown: list[tuple[float, float]] = []

    class Sleeps(BarStrategy):
        def on_start(self) -> None:
            self._runner.clock.sleep(MINUTE_NS * 5 // 2)

        def on_bar(self, bar: Bar) -> None:
            shown.append((bar.close, self.now_ns / MINUTE_NS))

    result = run_world([bar_series("AAA", RISING[:4])], [Sleeps], runtime=runtime)

    start = result.start_ns / MINUTE_NS
    assert [(close, now - start) for close, now in shown] == [(100, 2.5), (101, 2.5), (102, 3), (103, 4)]


def test_a_world_without_any_bar_is_refused() -> None:
    """There is no window and nothing to show."""
    with pytest.raises(DataError, match="expected bars of AAA, BBB, found none"):
        run_world([bar_series("AAA", []), bar_series("BBB", [])], [BuysAtOnce])
