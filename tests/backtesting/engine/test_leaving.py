"""A strategy that leaves the clock in the middle of a run: its own fault in every runtime, never a short run."""

from collections.abc import Callable
from typing import Any

import pytest

from src.backtesting.engine.pacing import Pacer
from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.schedules import policy_named
from src.backtesting.schedules.free import Free
from src.backtesting.tracing import Probe
from src.core.bars import Bar
from src.core.errors import StrategyError
from src.core.strategy import BarStrategy
from src.core.timeframe import SECOND_NS
from src.testing import bar_series, bot_config, build_world

BARS = 9

#: What a run is composed with.
WAYS: dict[str, Callable[[], dict[str, Any]]] = {
    "threads": lambda: {"runtime": "threads"},
    "fibers": lambda: {"runtime": "fibers"},
    "threads, measured": lambda: {"runtime": "threads", "probe": Probe(max_spans=1_000)},
    "fibers, measured": lambda: {"runtime": "fibers", "probe": Probe(max_spans=1_000)},
    "fibers, preemptive": lambda: {"runtime": "fibers", "policy": policy_named("preemptive", 1)},
    "free": lambda: {"policy": Free(), "pacer": Pacer(market_factor=1e12)},
}
ways = pytest.mark.parametrize("way", WAYS)


class Watches(BarStrategy):
    """Does nothing, before the other one."""


class Leaves(BarStrategy):
    """Trades; at the third bar of AAA it does what `act` says."""

    act: Callable[["Leaves"], object]
    shown: list[str] = []

    def on_bar(self, bar: Bar) -> None:
        self.shown.append(self.symbol)
        if self.symbol == "AAA" and len(self.bars) == 3:
            type(self).act(self)
        if self.position.is_flat:
            self.buy(volume=1)


def leave(strategy: Leaves) -> None:
    """What no strategy has any use for."""
    strategy.clock.leave(f"worker:{strategy.symbol}")


def leave_and_sleep(strategy: Leaves) -> None:
    """Waits in the same turn."""
    leave(strategy)
    strategy.clock.sleep(SECOND_NS)


def thread_leaves(strategy: Leaves) -> None:
    """A thread of the strategy leaves and waits."""

    def run() -> None:
        strategy.clock.leave("worker:AAA/helper-1")
        strategy.clock.sleep(SECOND_NS)

    strategy.clock.start_thread(run)


def meddle(strategy: Leaves) -> None:
    """Wants another symbol's worker to leave."""
    strategy.clock.leave("worker:BBB")


def go(act: Callable[[Leaves], None], way: str, on_error: str) -> BacktestResult:
    """Two symbols with nine bars each."""
    Leaves.act, Leaves.shown = act, []
    series = [bar_series(symbol, [100.0] * BARS) for symbol in ("AAA", "BBB")]
    classes = [Watches, Leaves]
    config = bot_config(["AAA", "BBB"], classes, positions="hedging", leverage=100.0, on_error=on_error)
    return build_world(series, classes, config, **WAYS[way]()).run()


ACTS: dict[Callable[[Leaves], None], str] = {
    leave: "LeftError: worker:AAA has given up its place",
    leave_and_sleep: "LeftError: worker:AAA has given up its place",
    thread_leaves: "LeftError: worker:AAA/helper-1 has given up its place",
    meddle: "RuntimeError: expected worker:BBB to leave by itself",
}


@ways
@pytest.mark.parametrize("act", ACTS)
def test_a_strategy_that_leaves_the_clock_fails_with_its_name_and_place(
    act: Callable[[Leaves], None], way: str
) -> None:
    """FAILED, never COMPLETED and short; it is the strategy's error, at the line that called `leave`."""
    result = go(act, way, "stop_all")

    error = result.error
    assert (result.outcome, type(error)) == (Outcome.FAILED, StrategyError)
    assert isinstance(error, StrategyError)
    assert (error.symbol, error.strategy) == ("AAA", "Leaves")
    assert error.cause.startswith(ACTS[act])
    assert "(test_leaving.py:" in error.message


@ways
def test_a_symbol_whose_strategy_leaves_is_stopped_alone(way: str) -> None:
    """With `on_error: stop_symbol` the other symbol sees all its bars."""
    result = go(leave, way, "stop_symbol")

    assert (result.outcome, list(result.failures), result.error) == (Outcome.DEGRADED, ["AAA"], None)
    assert "strategy Leaves raised LeftError: worker:AAA" in result.failures["AAA"]
    assert (Leaves.shown.count("AAA"), Leaves.shown.count("BBB")) == (3, BARS)
