"""Bars that closed while nobody could act are history, also for a strategy that is in the middle of its turn."""

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from src.core.bars import Bar, BarSeries
from src.core.config import StrategyConfig
from src.core.features import FeatureStore
from src.core.orchestrator import MultiStrategyOrchestrator
from src.core.strategy import BarStrategy
from src.core.strategy_runner import StrategyRunner
from src.core.timeframe import MINUTE_NS


class Seeing(BarStrategy):
    """Notes what it is shown; whatever waits in its first turn is what the test makes of it."""

    timeframe = "1m"

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.waits: list[Any] = []

    def on_bar(self, bar: Bar) -> None:
        """See `BarStrategy`."""
        self.seen.append(bar.open_ns // MINUTE_NS)
        while self.waits:
            self.waits.pop()()


def runner_over(series: BarSeries) -> StrategyRunner:
    """A strategy over one series, which needs nothing else of its broker."""
    config = StrategyConfig(use="seeing.py:Seeing")
    parts = broker_of(series), cast(Any, None), cast(Any, None)
    return StrategyRunner(Seeing, config, "AAA", *parts, FeatureStore(), "strategies.0")


def broker_of(series: BarSeries) -> Any:
    """As much of a broker as is looked at."""
    return SimpleNamespace(
        series=lambda symbol, length: series, base_series=lambda symbol: series, mailbox=lambda symbol: deque()
    )


def turns_of(runner: StrategyRunner, series: BarSeries, *, alone: bool) -> Callable[[], None]:
    """A turn of the runner: as the worker of a lone strategy does it, or as that of several."""
    if not alone:
        return runner.run
    worker = MultiStrategyOrchestrator("AAA", [runner], broker_of(series), cast(Any, None))
    return lambda: worker.on_tick("AAA")


def close_bars(series: BarSeries, *minutes: int) -> None:
    """Let bars become visible."""
    for minute in minutes:
        series.append(minute * MINUTE_NS, 1.0, 1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_passed_over_during_a_turn_is_not_shown_in_it(alone: bool) -> None:
    """A call that hung for minutes comes back to a strategy that sees the newest bar next, and none of the old ones."""
    series = BarSeries.empty("AAA", MINUTE_NS)
    runner = runner_over(series)
    strategy = cast(Seeing, runner.strategy)

    def come_back_late() -> None:
        close_bars(series, 2, 3, 4, 5)
        runner.pass_over(6 * MINUTE_NS)

    strategy.waits.append(come_back_late)
    close_bars(series, 1)
    turns_of(runner, series, alone=alone)()

    assert strategy.seen == [1, 5]
    assert runner.bars_seen == runner.bars_closed == 2


@pytest.mark.parametrize("alone", [True, False])
def test_what_closes_during_a_turn_without_being_passed_over_is_shown_in_order(alone: bool) -> None:
    """None is left out."""
    series = BarSeries.empty("AAA", MINUTE_NS)
    runner = runner_over(series)
    strategy = cast(Seeing, runner.strategy)
    strategy.waits.append(lambda: close_bars(series, 2, 3))
    close_bars(series, 1)

    turns_of(runner, series, alone=alone)()

    assert strategy.seen == [1, 2, 3]


def test_a_bar_is_late_that_closed_before_and_was_not_shown() -> None:
    """At the instant itself it is in time, and what was shown is never late."""
    series = BarSeries.empty("AAA", MINUTE_NS)
    runner = runner_over(series)
    close_bars(series, 1)

    assert not runner.is_late(2 * MINUTE_NS)
    assert runner.is_late(2 * MINUTE_NS + 1)

    runner.run()

    assert not runner.is_late(10 * MINUTE_NS)
