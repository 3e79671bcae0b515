"""The whole bot over tiny worlds: strategies that sleep, set timers and start threads inside their turns."""

from collections.abc import Callable
from typing import Any

import pytest

from src.backtesting.result import BacktestResult, Outcome
from src.core.bars import Bar
from src.core.errors import DeadlockError, StrategyError
from src.core.records import OrderEvent
from src.core.strategy import BarStrategy, Strategy
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing import bar_series, bot_config, run_world

both = pytest.mark.parametrize("runtime", ["threads", "fibers"])

Log = list[tuple[float, str, str]]


def writer(log: Log, start_ns: int) -> Callable[[Strategy, object], None]:
    """A function that writes (minutes since the start, symbol, what)."""

    def note(strategy: Strategy, what: object) -> None:
        log.append(((strategy.now_ns - start_ns) / MINUTE_NS, strategy.symbol, str(what)))

    return note


START_NS = bar_series("AAA", [1.0]).open_ns_at[0]


def run(
    strategy: type[BarStrategy], rows: dict[str, list[Any]], runtime: str = "fibers", config: Any = None
) -> BacktestResult:
    """Run one strategy over one-minute bars of the given symbols."""
    return run_world(
        [bar_series(symbol, prices) for symbol, prices in rows.items()], [strategy], config, runtime=runtime
    )


@both
def test_a_sleep_in_a_turn_ends_before_the_next_bar_when_it_is_due_before_it(runtime: str) -> None:
    """The other symbol has its turn at the bar, the sleeper resumes after it and before the next."""
    log: Log = []
    note = writer(log, START_NS)

    class Naps(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            note(self, f"bar {len(self.bars)}")
            if self.symbol == "AAA" and len(self.bars) == 1:
                self.clock.sleep(30 * SECOND_NS)
                note(self, "woke")

    result = run(Naps, {"AAA": [1.0] * 2, "BBB": [1.0] * 2}, runtime)

    assert result.outcome is Outcome.COMPLETED
    assert log == [
        (1.0, "AAA", "bar 1"), (1.0, "BBB", "bar 1"), (1.5, "AAA", "woke"),
        (2.0, "AAA", "bar 2"), (2.0, "BBB", "bar 2"),
    ]  # fmt: skip


@both
def test_the_market_goes_on_during_a_long_sleep_and_missed_bars_are_shown_one_by_one(runtime: str) -> None:
    """Nothing of it is lost, and the clock tells the truth while they are shown."""
    log: Log = []
    note = writer(log, START_NS)

    class Sleeps(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            note(self, f"bar {len(self.bars)} at {bar.close:g}")
            if self.symbol == "AAA" and len(self.bars) == 1:
                self.clock.sleep(150 * SECOND_NS)

    result = run(Sleeps, {"AAA": [1.0, 2.0, 3.0, 4.0], "BBB": [1.0] * 4}, runtime)

    assert [entry for entry in log if entry[1] == "AAA"] == [
        (1.0, "AAA", "bar 1 at 1"), (3.5, "AAA", "bar 2 at 2"), (3.5, "AAA", "bar 3 at 3"), (4.0, "AAA", "bar 4 at 4"),
    ]  # fmt: skip
    assert [minute for minute, symbol, _ in log if symbol == "BBB"] == [1.0, 2.0, 3.0, 4.0]
    assert result.bars == 8


@both
def test_resting_orders_fill_while_a_worker_sleeps(runtime: str) -> None:
    """Back from its sleep it holds the position; the news comes after the turn in which it slept."""
    log: Log = []
    note = writer(log, START_NS)

    class Rests(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 1:
                self.buy(volume=1, limit=95.0)
                self.clock.sleep(150 * SECOND_NS)
                note(self, f"holds {self.position.volume:g}")

        def on_order(self, event: OrderEvent) -> None:
            note(self, event.order.state.value)

    result = run(Rests, {"AAA": [100.0, 100.0, 90.0, 90.0, 90.0]}, runtime)

    assert (3.5, "AAA", "holds 1") in log
    assert log.index((3.5, "AAA", "holds 1")) < log.index((3.5, "AAA", "filled"))
    assert [fill.price for fill in result.fills][:1] == [95.0]


@both
def test_the_monitor_manages_positions_while_their_worker_sleeps(runtime: str) -> None:
    """The stop goes to break-even and is hit there, and the worker learns of it when it is back."""
    log: Log = []
    note = writer(log, START_NS)

    class Sleeps(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 2:
                note(self, f"holds {self.position.volume:g}")
                self.clock.sleep(4 * MINUTE_NS)
                note(self, f"holds {self.position.volume:g}")
            elif len(self.bars) == 1:
                self.buy(volume=1, stop=90.0)

    config = bot_config(["AAA"], [Sleeps], manage={"break_even": {"at_r": 1}})
    result = run(Sleeps, {"AAA": [100.0, 100.0, 112.0, 112.0, 95.0, 95.0, 95.0]}, runtime, config)

    assert [what for _, _, what in log] == ["holds 1", "holds 0"]
    assert [(trade.exit_price, trade.exit_reason) for trade in result.trades] == [(100.0, "break_even")]


@both
def test_a_timer_set_inside_a_timer_and_due_before_the_next_bar_fires_before_it(runtime: str) -> None:
    """Each at its own instant, in a turn of its own, while the worker waits for the bar."""
    log: Log = []
    note = writer(log, START_NS)

    class Ticks(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            note(self, f"bar {len(self.bars)}")
            if len(self.bars) == 1:
                self.clock.set_timer(15 * SECOND_NS, self.first)

        def first(self) -> None:
            note(self, "first")
            self.clock.set_timer(15 * SECOND_NS, lambda: note(self, "second"))

    run(Ticks, {"AAA": [1.0] * 2}, runtime)

    assert [(minute, what) for minute, _, what in log] == [
        (1.0, "bar 1"),
        (1.25, "first"),
        (1.5, "second"),
        (2.0, "bar 2"),
    ]


@both
def test_a_timer_trades_at_its_own_instant(runtime: str) -> None:
    """An order placed by it is filled at the next open, like any other placed at that instant."""

    class Later(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 1:
                self.clock.set_timer(90 * SECOND_NS, lambda: self.buy(volume=1, reason="later"))

    result = run(Later, {"AAA": [1.0, 2.0, 3.0, 4.0]}, runtime)

    assert [(order.placed_ns - START_NS) / MINUTE_NS for order in result.orders][:1] == [2.5]
    assert [(fill.filled_ns - START_NS) / MINUTE_NS for fill in result.fills][:1] == [3.0]


@both
def test_an_event_set_at_the_instant_of_a_deadline_by_an_earlier_symbol_beats_it(runtime: str) -> None:
    """Both sleep until the same instant; the one that comes first in the configuration sets the event first."""
    log: Log = []
    note = writer(log, START_NS)
    shared: dict[str, Any] = {}

    class Meets(BarStrategy):
        def on_start(self) -> None:
            shared.setdefault("event", self.clock.event())

        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 1:
                if self.symbol == "AAA":
                    self.clock.sleep(30 * SECOND_NS)
                    shared["event"].set()
                else:
                    note(self, shared["event"].wait(30 * SECOND_NS))

    run(Meets, {"AAA": [1.0] * 2, "BBB": [1.0] * 2}, runtime)

    assert log == [(1.5, "BBB", "True")]


# -- failures --------------------------------------------------------------------------------------


class HelperFails(BarStrategy):
    """Buys at its first bar; a thread or a timer of AAA raises half a minute after the second one."""

    stopped: list[str] = []  # emptied by each test
    how = "thread"

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 1:
            self.buy(volume=1)
            self.buy(volume=1, limit=0.5)
        if self.symbol == "AAA" and len(self.bars) == 2:
            if self.how == "timer":
                self.clock.set_timer(30 * SECOND_NS, self.fail)
            elif self.how == "thread":
                self.clock.start_thread(self.fail_later)
            else:
                self.clock.start_thread(self.fail_later)
                self.clock.sleep(3 * MINUTE_NS)
                self.stopped.append("came through")

    def fail_later(self) -> None:
        self.clock.start_thread(self.outlive)
        self.clock.sleep(30 * SECOND_NS)
        self.fail()

    def outlive(self) -> None:
        self.clock.sleep(2 * MINUTE_NS)
        self.stopped.append("came through")

    def fail(self) -> None:
        raise ValueError("in a helper")

    def on_stop(self) -> None:
        self.stopped.append(self.symbol)


def helper_fails(how: str, on_error: str, runtime: str) -> BacktestResult:
    """A run of two symbols; a helper of the first one's worker fails."""
    HelperFails.stopped.clear()
    HelperFails.how = how
    config = bot_config(["AAA", "BBB"], [HelperFails], on_error=on_error)
    return run(HelperFails, {"AAA": [1.0] * 6, "BBB": [1.0] * 6}, runtime, config)


HOW = ["thread", "timer", "while the worker sleeps"]


@both
@pytest.mark.parametrize("how", HOW)
def test_a_helper_that_raises_stops_all_when_the_configuration_says_so(how: str, runtime: str) -> None:
    """The error is the strategy's, with symbol, instant, thread and place; the worker's `on_stop` is not called."""
    result = helper_fails(how, "stop_all", runtime)

    error = result.error
    assert result.outcome is Outcome.FAILED
    assert isinstance(error, StrategyError)
    assert (error.strategy, error.symbol, error.cause) == ("HelperFails", "AAA", "ValueError: in a helper")
    assert (error.instant_ns - START_NS) / MINUTE_NS == 2.5
    assert f"in the thread worker:AAA/{'timer' if how == 'timer' else 'helper'}-1 on AAA" in error.message
    assert "test_blocking_in_a_run.py:" in error.message
    assert HelperFails.stopped == ["BBB"]


@both
@pytest.mark.parametrize("how", HOW)
def test_a_helper_that_raises_drops_its_symbol_alone_when_the_configuration_says_so(how: str, runtime: str) -> None:
    """The worker ends with all its threads, its working orders are gone, and the other symbol goes on."""
    result = helper_fails(how, "stop_symbol", runtime)

    assert result.outcome is Outcome.DEGRADED
    assert list(result.failures) == ["AAA"]
    assert HelperFails.stopped == ["BBB"]
    ends = [(r.participant, r.values[0]) for r in result.records if r.kind == "participant"]
    assert sorted(ends) == [("worker:AAA", "failed"), ("worker:BBB", "left")]
    limits = [order for order in result.orders if order.request.symbol == "AAA" and order.request.price == 0.5]
    assert [order.state.is_final for order in limits] == [True]


@both
def test_an_exit_of_the_program_in_a_helper_is_an_error_of_the_strategy(runtime: str) -> None:
    """As it is in a turn of the worker itself."""

    class Exits(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            self.clock.start_thread(self.leave)

        def leave(self) -> None:
            raise SystemExit("bye")

    result = run(Exits, {"AAA": [1.0] * 3}, runtime)

    assert isinstance(result.error, StrategyError)
    assert result.error.cause == "SystemExit: bye"


@both
def test_the_error_of_a_helper_names_the_strategy_that_started_it(runtime: str) -> None:
    """Among several of one symbol, also when what failed is a function inside a method."""

    class Good(BarStrategy):
        pass

    class Bad(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            def fail() -> None:
                raise ValueError(self.symbol)

            self.clock.set_timer(0, fail)

    config = bot_config(["AAA"], [Good, Bad], positions="hedging")
    result = run_world([bar_series("AAA", [1.0, 2.0])], [Good, Bad], config, runtime=runtime)

    assert isinstance(result.error, StrategyError)
    assert result.error.strategy == "Bad"


@both
@pytest.mark.parametrize("on_error", ["stop_all", "stop_symbol"])
def test_workers_that_hold_what_the_other_wants_end_the_run(on_error: str, runtime: str) -> None:
    """At once, with both participants and both locks in the error."""
    locks: dict[str, Any] = {}

    class Locks(BarStrategy):
        def on_start(self) -> None:
            locks[self.symbol] = self.clock.lock(name=f"of {self.symbol}")

        def on_bar(self, bar: Bar) -> None:
            other = "BBB" if self.symbol == "AAA" else "AAA"
            with locks[self.symbol]:
                self.clock.sleep(SECOND_NS)
                with locks[other]:
                    pass

    config = bot_config(["AAA", "BBB"], [Locks], on_error=on_error)
    result = run(Locks, {"AAA": [1.0] * 3, "BBB": [1.0] * 3}, runtime, config)

    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, DeadlockError)
    assert sorted(result.error.participants) == ["worker:AAA", "worker:BBB"]
    assert sorted(result.error.waits) == ["the lock of AAA held by worker:AAA", "the lock of BBB held by worker:BBB"]


@both
def test_who_sleeps_when_the_data_end_is_told_to_stop(runtime: str) -> None:
    """The run is complete; `on_stop` of the sleeper comes all the same, though its turn did not come to an end."""
    stopped: list[str] = []

    class Oversleeps(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if self.symbol == "AAA":
                self.clock.sleep(60 * MINUTE_NS)
                stopped.append("came through")

        def on_stop(self) -> None:
            stopped.append(self.symbol)

    result = run(Oversleeps, {"AAA": [1.0] * 3, "BBB": [1.0] * 3}, runtime)

    ends = {r.participant: r.values[0] for r in result.records if r.kind == "participant"}
    assert result.outcome is Outcome.COMPLETED
    assert stopped == ["BBB", "AAA"]
    assert (ends["worker:AAA"], ends["worker:BBB"]) == ("stopped", "left")


def test_threads_and_fibers_give_one_digest_with_helpers_timers_and_locks() -> None:
    """Who blocks, and on what, is no matter of what carries the participants."""

    class Busy(BarStrategy):
        shared: dict[str, Any] = {}  # one lock for all symbols

        def on_start(self) -> None:
            self.shared.setdefault(str(id(self.clock)), self.clock.lock())
            self.wishes = self.clock.queue(maxsize=1)
            self.clock.start_thread(self.trade)

        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) % 3 == 1:
                self.wishes.put(len(self.bars))
            self.clock.set_timer(30 * SECOND_NS, self.close)

        def trade(self) -> None:
            while True:
                self.wishes.get()
                with self.shared[str(id(self.clock))]:
                    self.buy(volume=1)
                    self.clock.sleep(20 * SECOND_NS)

    rows: dict[str, list[Any]] = {symbol: [10.0 + i % 7 for i in range(60)] for symbol in ("AAA", "BBB", "CCC")}
    results = [run(Busy, rows, runtime) for runtime in ("threads", "fibers", "threads")]

    assert [result.error for result in results] == [None] * 3
    assert {result.outcome for result in results} == {Outcome.COMPLETED}
    assert len({result.digest for result in results}) == 1
    assert len(results[0].trades) > 20
