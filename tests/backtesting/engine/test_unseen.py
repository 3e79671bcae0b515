"""A strategy that waits past its data: the run says which bars it was not shown."""

from src.backtesting.result import BacktestResult
from src.core.bars import Bar
from src.core.strategy import BarStrategy
from src.core.timeframe import DAY_NS
from src.testing import bar_series, run_world


class Waiting(BarStrategy):
    """Sleeps longer than there are data, from its second bar on."""

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 2:
            self.clock.sleep(DAY_NS)


class Looking(BarStrategy):
    """Sees every bar."""

    def on_bar(self, bar: Bar) -> None:
        pass


def ran(strategy: type[BarStrategy]) -> BacktestResult:
    """A run of five bars."""
    return run_world([bar_series("AAA", [100.0, 101.0, 102.0, 103.0, 104.0])], [strategy])


def test_bars_that_no_strategy_saw_are_a_line_of_the_result() -> None:
    """With how many were shown, of how many; a strategy that saw all has no such line."""
    told = ran(Waiting).fidelity["unseen_bars"]

    assert told == "AAA: the strategy was still waiting when it was told to end; it was shown 2 of 5 bars"
    assert "unseen_bars" not in ran(Looking).fidelity
