"""How a worker ends that waits in the middle of a turn, and where its errors are said to be."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from src.backtesting.result import BacktestResult, Outcome
from src.core.bars import Bar
from src.core.config import BotConfig
from src.core.errors import Stopping, StrategyError
from src.core.strategy import BarStrategy, Strategy
from src.core.timeframe import HOUR_NS
from src.core.trading_controller import TradingController
from src.testing import bar_series, bot_config, run_world

both = pytest.mark.parametrize("runtime", ["threads", "fibers"])


def run(
    *classes: type[Strategy], symbols: tuple[str, ...] = ("AAA",), runtime: str = "threads", **more: Any
) -> BacktestResult:
    """Four bars of each symbol."""
    config: BotConfig = bot_config(list(symbols), list(classes), **more)
    return run_world([bar_series(each, [1.0] * 4) for each in symbols], list(classes), config, runtime=runtime)


def line_of(place: str, function: Callable[..., object]) -> bool:
    """Whether a message's place is a line of the function."""
    code = function.__code__
    lines = {line for _, _, line in code.co_lines() if line is not None}
    return any(f"test_ends_in_the_middle.py:{line})" in place for line in lines)


@both
def test_on_stop_is_called_once_for_each_strategy_though_their_waits_are_stopped(runtime: str) -> None:
    """A wait inside `on_stop` raises again, and that of the next strategy comes all the same."""
    log: list[str] = []

    class Sleeper(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            try:
                self.clock.sleep(HOUR_NS)
            except Stopping:
                log.append("stopping")
                raise

        def on_stop(self) -> None:
            log.append("sleeper stops")
            self.clock.sleep(1)
            log.append("never")

    class Other(BarStrategy):
        def on_stop(self) -> None:
            log.append("other stops")

    result = run(Sleeper, Other, runtime=runtime, positions="hedging")

    assert result.outcome is Outcome.COMPLETED
    assert log == ["stopping", "sleeper stops", "other stops"]


@both
def test_a_strategy_whose_on_start_was_stopped_has_no_on_stop(runtime: str) -> None:
    """It may lack what `on_stop` would need."""
    log: list[str] = []

    class Slow(BarStrategy):
        def on_start(self) -> None:
            self.clock.sleep(HOUR_NS)

        def on_stop(self) -> None:
            log.append("stop")

    result = run(Slow, runtime=runtime)

    assert result.outcome is Outcome.COMPLETED
    assert log == []


@both
@pytest.mark.parametrize("where", ["on_bar", "on_stop"])
def test_a_stopping_of_the_strategys_own_is_its_error(where: str, runtime: str) -> None:
    """Nothing stops, so no wait can have raised it; the second strategy of the two is named."""

    class Good(BarStrategy):
        pass

    def quits(self: Strategy, *_: object) -> None:
        raise Stopping

    bad = type("Bad", (BarStrategy,), {where: quits})
    result = run(Good, bad, runtime=runtime, positions="hedging")

    error = result.error
    assert isinstance(error, StrategyError)
    assert (error.strategy, error.cause) == ("Bad", "Stopping: ")
    assert line_of(error.message, quits)


def test_an_error_of_an_order_event_in_the_last_turn_is_the_strategys() -> None:
    """And drops its symbol alone where the configuration says so."""

    class Late(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 1:
                self.buy(volume=1)
                self.clock.sleep(HOUR_NS)

        def on_order(self, event: object) -> None:
            raise ValueError("late")

    result = run(Late, on_error="stop_symbol")

    assert result.outcome is Outcome.DEGRADED
    assert "ValueError: late" in result.failures["AAA"]


def test_bars_that_a_worker_was_never_shown_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that were told to end; who saw everything is not among them."""
    made: list[TradingController] = []
    start = TradingController.start

    def noted(self: TradingController) -> None:
        made.append(self)
        start(self)

    monkeypatch.setattr(TradingController, "start", noted)

    class Sleeper(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if self.symbol == "AAA" or len(self.bars) == 4:
                self.clock.sleep(HOUR_NS)

    run(Sleeper, symbols=("AAA", "BBB"))

    assert made[0].unseen == {"AAA": (1, 4)}


@both
def test_the_place_of_a_wrong_argument_is_the_line_of_the_strategy(runtime: str) -> None:
    """Not the line of the engine that refused it."""

    class Wrong(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            self.clock.sleep(0.5)  # type: ignore[arg-type]  # the mistake

    result = run(Wrong, runtime=runtime)

    assert isinstance(result.error, StrategyError)
    assert "found 0.5" in result.error.message
    assert line_of(result.error.message, Wrong.on_bar)


def test_the_place_of_a_librarys_error_is_the_line_of_the_strategy_that_called_it() -> None:
    """The library is nothing that the user could mend."""

    class Reads(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            json.loads("{")

    result = run(Reads)

    assert result.error is not None
    assert line_of(result.error.message, Reads.on_bar)


@both
def test_the_place_of_a_helper_without_user_code_is_where_it_was_started(runtime: str) -> None:
    """A method of the clock's own may be a helper's whole work."""

    class Starts(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            self.clock.start_thread(self.clock.lock().release)

    result = run(Starts, runtime=runtime)

    assert isinstance(result.error, StrategyError)
    assert "RuntimeError" in result.error.message
    assert line_of(result.error.message, Starts.on_bar)


@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_a_helper_that_raises_stopping_itself_has_failed(runtime: str) -> None:
    """Nothing stops, so nobody has told it to; its strategy answers for it."""

    class Bad(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 2:
                self.clock.start_thread(self.give_up)

        def give_up(self) -> None:
            raise Stopping

    result = run_world([bar_series("AAA", [100.0] * 5)], [Bad], runtime=runtime)

    assert result.outcome is Outcome.FAILED
    assert "Stopping was raised though nothing stops" in str(result.error)
