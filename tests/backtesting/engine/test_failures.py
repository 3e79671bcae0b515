"""The whole bot over tiny worlds: a strategy, the monitor or a part of the engine fails, or somebody stops."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.engine.pacing import Pacer
from src.backtesting.result import BacktestResult, Outcome
from src.core.bars import Bar, BarSeries
from src.core.errors import ConfigError, InternalError, LivelockError, StalledThreadError, StrategyError
from src.core.features import Feature
from src.core.records import OrderEvent
from src.core.strategy import BarStrategy, param
from src.core.trade_manager import TradeManager
from src.testing import bar_series, bot_config, build_world, run_world

ROOT = Path(__file__).resolve().parents[3]
both = pytest.mark.parametrize("runtime", ["threads", "fibers"])


class Holds(BarStrategy):
    """Buys at its first bar; AAA raises where `where` says."""

    where: str = param("")

    def __init__(self) -> None:
        self.fail("constructor")

    def features(self) -> dict[str, Feature]:
        self.fail("features")
        return {}

    def on_start(self) -> None:
        self.fail("start")

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 1:
            self.buy(volume=1)
            self.buy(volume=1, limit=1.0)
        self.fail(f"bar {len(self.bars)}")

    def on_order(self, event: OrderEvent) -> None:
        self.fail(f"order {event.order.state}")

    def on_stop(self) -> None:
        self.fail("stop")

    def fail(self, here: str) -> None:
        if self.symbol == "AAA" and here == self.where:
            raise ValueError(f"at {here}")


def failing(where: str, on_error: str, runtime: str, count: int = 6) -> BacktestResult:
    """A run of two symbols the first of which fails."""
    config = bot_config(
        ["AAA", "BBB"], [Holds], on_error=on_error, strategies=[{"use": "Holds", "params": {"where": where}}]
    )
    series = [bar_series("AAA", [100.0] * count), bar_series("BBB", [50.0] * count)]
    return run_world(series, [Holds], config, runtime=runtime)


PLACES = ["constructor", "features", "start", "bar 1", "bar 3", "order filled", "stop"]


@both
@pytest.mark.parametrize("where", PLACES)
def test_stop_all_ends_the_run_with_the_strategys_error(where: str, runtime: str) -> None:
    """The run has FAILED, and the error names strategy, symbol, instant and the user's own exception."""
    result = failing(where, "stop_all", runtime)

    error = result.error
    assert result.outcome is Outcome.FAILED
    assert isinstance(error, StrategyError)
    assert (error.strategy, error.symbol, error.cause) == ("Holds", "AAA", f"ValueError: at {where}")
    assert result.start_ns <= error.instant_ns <= result.end_ns
    assert "test_failures.py" in error.message or where in ("constructor", "features")


@both
@pytest.mark.parametrize("where", PLACES)
def test_stop_symbol_drops_the_symbol_and_goes_on_with_the_others(where: str, runtime: str) -> None:
    """The run is DEGRADED: the symbol's working orders are gone, its position stays and is accounted at the end."""
    result = failing(where, "stop_symbol", runtime)

    assert result.outcome is Outcome.DEGRADED
    assert list(result.failures) == ["AAA"]
    assert "ValueError" in result.failures["AAA"]
    assert [t.symbol for t in result.trades] == (["BBB"] if where in PLACES[:4] else ["AAA", "BBB"])
    assert result.open_positions == ()
    limits = [o for o in result.orders if o.request.symbol == "AAA" and o.request.price == 1.0]
    assert all(order.state.is_final for order in limits)
    assert [s.bars for s in result.symbols] == [6, 6]
    ends = {r.participant: r.values[0] for r in result.records if r.kind == "participant"}
    assert ends["worker:BBB"] == "left"
    assert ends.get("worker:AAA", "failed") == "failed"


@both
@pytest.mark.parametrize(("on_error", "bars"), [("stop_all", 2_000), ("stop_symbol", 2_400)])
def test_a_strategy_may_fail_late(on_error: str, bars: int, runtime: str) -> None:
    """At bar 1000 of 1200 all is as at bar 1."""
    result = failing("bar 1000", on_error, runtime, count=1_200)

    assert result.outcome is (Outcome.FAILED if on_error == "stop_all" else Outcome.DEGRADED)
    assert result.bars == bars


def test_the_failure_of_one_symbol_changes_nothing_for_an_independent_one() -> None:
    """Trades of the other symbol are those of a run without the failure."""
    calm = failing("", "stop_symbol", "fibers")
    hurt = failing("bar 3", "stop_symbol", "fibers")

    assert [t for t in hurt.trades if t.symbol == "BBB"] == [t for t in calm.trades if t.symbol == "BBB"]


@both
def test_the_error_names_the_strategy_that_raised_among_several(runtime: str) -> None:
    """Also in `on_start`, where each strategy is called by itself."""

    class Good(BarStrategy):
        pass

    class Bad(BarStrategy):
        def on_start(self) -> None:
            raise ValueError("bad start")

    config = bot_config(["AAA"], [Good, Bad], positions="hedging")
    result = run_world([bar_series("AAA", [1.0, 2.0])], [Good, Bad], config, runtime=runtime)

    assert isinstance(result.error, StrategyError)
    assert result.error.strategy == "Bad"


@both
@pytest.mark.parametrize("on_error", ["stop_all", "stop_symbol"])
def test_an_exception_in_the_monitor_always_ends_the_run(
    on_error: str, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the monitor nobody guards the positions."""

    def broken(self: TradeManager) -> None:
        raise KeyError("monitor")

    class Buys(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 1:
                self.buy(stop=50)

    monkeypatch.setattr(TradeManager, "manage_positions", broken)
    config = bot_config(["AAA"], [Buys], on_error=on_error, manage={"break_even": {"at_r": 1}})
    result = run_world([bar_series("AAA", [100.0] * 5)], [Buys], config, runtime=runtime)

    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, InternalError)
    assert isinstance(result.error.__cause__, KeyError)
    failed = [r for r in result.records if r.kind == "participant" and r.values[0] == "failed"]
    assert [r.participant for r in failed] == ["monitor:positions"]


class Breaks(Pacer):
    """Fails at the third step."""

    steps = 0

    def before_step(self, now_ns: int, at_ns: int, *, market: bool) -> None:
        self.steps += 1
        if self.steps == 3:
            raise OSError("pacer")


@both
@pytest.mark.parametrize("part", ["pacer", "broker"])
@pytest.mark.parametrize("on_error", ["stop_all", "stop_symbol"])
def test_an_engine_error_is_blamed_on_no_participant(part: str, on_error: str, runtime: str) -> None:
    """It ends the run under its own type, whatever `on_error` says, and no participant counts as failed."""

    def break_broker(broker: Any) -> None:
        def advance_time(instant_ns: int, closed: object) -> None:
            raise OSError("broker")

        broker.advance_time = advance_time

    series = [bar_series(symbol, [100.0] * 5) for symbol in ("AAA", "BBB")]
    result = run_world(
        series,
        [Holds],
        bot_config(["AAA", "BBB"], [Holds], on_error=on_error),
        runtime=runtime,
        pacer=Breaks() if part == "pacer" else None,
        prepare=break_broker if part == "broker" else None,
    )

    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, InternalError)
    assert isinstance(result.error.__cause__, OSError)
    assert result.failures == {}
    assert {r.values[0] for r in result.records if r.kind == "participant"} == {"left"}


@both
def test_a_configuration_error_at_run_time_gives_no_result(runtime: str) -> None:
    """A size by risk with an entry without a stop is the user's to mend."""

    class NoStop(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            self.buy()

    config = bot_config(["AAA"], [NoStop], size={"risk_percent": 1})

    with pytest.raises(ConfigError, match="needs a stop"):
        run_world([bar_series("AAA", [100.0] * 5)], [NoStop], config, runtime=runtime)


@pytest.mark.slow
@both
def test_an_order_event_that_always_causes_another_is_a_livelock(runtime: str) -> None:
    """A strategy that answers each cancellation with a new order never gives its turn back by itself."""

    class Answers(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            self.again()

        def on_order(self, event: OrderEvent) -> None:
            self.again()

        def again(self) -> None:
            self.cancel(self.buy(volume=1, limit=1.0).order_id)

    result = run_world([bar_series("AAA", [100.0] * 5)], [Answers], runtime=runtime)

    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, LivelockError)
    assert result.error.participants == ["worker:AAA"]


@pytest.mark.slow
@both
def test_a_strategy_that_blocks_on_a_real_event_is_found_and_named(runtime: str) -> None:
    """The run is stored as FAILED with the name; released, the thread ends without going on with the run."""
    released = threading.Event()

    class Blocks(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 2:
                released.wait()

    controller = build_world([bar_series("AAA", [100.0] * 9)], [Blocks], stall_s=0.1, runtime=runtime)
    result = controller.run()
    now_ns = controller.time_controller.now_ns()
    released.set()
    for thread in threading.enumerate():
        if thread.name.startswith(("worker:", "monitor:", "fibers")):
            thread.join(5)

    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, StalledThreadError)
    assert result.error.participant == "worker:AAA"
    assert "it waits for the plain threading.Event released at test_failures.py:" in result.error.message
    assert controller.time_controller.now_ns() == now_ns
    assert result.bars == 2


@both
def test_a_stop_inside_a_worker_interrupts_the_run_after_the_instant(runtime: str) -> None:
    """Everybody ends in order, `on_stop` included, and what is held is kept."""
    stopped: list[str] = []
    stop: list[Callable[[str], None]] = []

    class Stops(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 1:
                self.buy()
            if len(self.bars) == 3 and self.symbol == "AAA":
                stop[0]("enough")

        def on_stop(self) -> None:
            stopped.append(self.symbol)

    controller = build_world([bar_series(s, [100.0] * 9) for s in ("AAA", "BBB")], [Stops], runtime=runtime)
    stop.append(controller.trading_controller.stop)
    result = controller.run()

    assert result.outcome is Outcome.INTERRUPTED
    assert result.bars == 6
    assert stopped == ["AAA", "BBB"]
    assert [p.symbol for p in result.open_positions] == ["AAA", "BBB"]


def test_a_stop_from_another_thread_interrupts_the_run() -> None:
    """It may come at any moment, here in the middle of a turn."""
    calls: list[threading.Thread] = []

    class Stops(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 3:
                thread = threading.Thread(target=controller.trading_controller.stop)
                thread.start()
                thread.join()
                calls.append(thread)

    controller = build_world([bar_series("AAA", [100.0] * 9)], [Stops])
    result = controller.run()

    assert (result.outcome, result.bars, len(calls)) == (Outcome.INTERRUPTED, 3, 1)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a process cannot send itself Ctrl-C there")
@both
def test_ctrl_c_ends_a_process_in_order(runtime: str) -> None:
    """SIGINT in the middle of a paced run gives an INTERRUPTED result at once, and the process ends by itself."""
    script = Path(__file__).with_name("interrupted.py").relative_to(ROOT).with_suffix("")
    done = subprocess.run(
        [sys.executable, "-m", ".".join(script.parts), runtime],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"outcome": "INTERRUPTED", "bars": 6, "error": "None"}


def test_a_composition_that_fails_half_way_leaves_no_thread_behind() -> None:
    """Registering the second worker fails: the first one's thread was never started."""
    series: list[BarSeries] = [bar_series(s, [1.0, 2.0]) for s in ("AAA", "BBB")]
    controller = build_world(series, [Holds])
    controller.time_controller.symbols = ("AAA",)

    with pytest.raises(ConfigError, match="BBB is not one of the symbols"):
        controller.run()

    assert [t.name for t in threading.enumerate() if t.name.startswith(("worker:", "monitor:"))] == []


@both
@pytest.mark.parametrize("on_error", ["stop_all", "stop_symbol"])
def test_an_exit_of_the_program_inside_a_strategy_is_an_error_of_the_strategy(on_error: str, runtime: str) -> None:
    """A call of sys.exit ends no more than any other exception does."""

    class Exits(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if self.symbol == "AAA" and len(self.bars) == 2:
                sys.exit("bye")

    series = [bar_series(s, [1.0, 2.0, 3.0]) for s in ("AAA", "BBB")]
    result = run_world(series, [Exits], bot_config(["AAA", "BBB"], [Exits], on_error=on_error), runtime=runtime)

    assert result.outcome is (Outcome.FAILED if on_error == "stop_all" else Outcome.DEGRADED)
    assert isinstance(result.error, StrategyError) or list(result.failures) == ["AAA"]


@both
def test_a_keyboard_interrupt_inside_a_turn_ends_the_run_at_that_instant(runtime: str) -> None:
    """It is the strategy's failure like any other exception, and no turn is given on a run that is over."""
    log: list[tuple[str, int]] = []

    class Interrupted(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            log.append((self.symbol, len(self.bars)))
            if self.symbol == "AAA" and len(self.bars) == 2:
                raise KeyboardInterrupt

    result = run_world([bar_series(s, [1.0, 2.0, 3.0]) for s in ("AAA", "BBB")], [Interrupted], runtime=runtime)

    assert isinstance(result.error, StrategyError)
    assert "raised KeyboardInterrupt" in result.error.message
    assert log == [("AAA", 1), ("BBB", 1), ("AAA", 2)]


@both
def test_a_broker_that_fails_while_a_failed_symbol_is_cleared_up_ends_the_run(runtime: str) -> None:
    """A symbol whose orders cannot be cancelled is not left alone."""

    def break_cancel(broker: Any) -> None:
        def cancel(order_id: str) -> None:
            raise OSError("no answer")

        broker.cancel = cancel

    config = bot_config(
        ["AAA", "BBB"], [Holds], on_error="stop_symbol", strategies=[{"use": "Holds", "params": {"where": "bar 2"}}]
    )
    result = run_world(
        [bar_series(s, [100.0] * 5) for s in ("AAA", "BBB")], [Holds], config, runtime=runtime, prepare=break_cancel
    )

    assert result.outcome is Outcome.FAILED
    assert result.error is not None
    assert isinstance(result.error.__cause__, OSError)
