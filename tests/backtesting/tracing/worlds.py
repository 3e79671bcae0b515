"""A small traced run: three symbols that trade, and one strategy method that waits on the clock."""

from pathlib import Path
from typing import Any

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.result import BacktestResult
from src.backtesting.tracing import Probe
from src.core.bars import Bar
from src.core.config import PollConfig
from src.core.records import OrderEvent, Trade
from src.core.strategy import BarStrategy
from src.core.timeframe import SECOND_NS
from src.testing import bar_series, bot_config, build_world

SYMBOLS = ("AAA", "BBB", "CCC")
BARS = 40

# So that the monitor has something to do, and is asked between the turns whether it has.
MANAGE = {"trailing": {"start_r": 0.5, "distance_percent": 0.5}, "time_exit": {"after": "570s"}}


class Trader(BarStrategy):
    """In and out in turn, with a stop; `BBB` sleeps half a minute at its tenth bar."""

    def on_start(self) -> None:
        self.events = 0

    def on_bar(self, bar: Bar) -> None:
        if self.symbol == "BBB" and len(self.bars) == 10:
            self.clock.sleep(30 * SECOND_NS)
        if self.position.is_flat:
            self.buy(stop=bar.close - 2, reason="in")
        else:
            self.close(reason="out")

    def on_order(self, event: OrderEvent) -> None:
        self.events += 1

    def on_trade_closed(self, trade: Trade) -> None:
        self.events += 1

    def on_stop(self) -> None:
        self.position  # noqa: B018 - a broker call in the last turn


class Counter:
    """A clock that is a little later whenever it is read."""

    def __init__(self, step_ns: int = 1_000) -> None:
        self.now_ns = 0
        self._step_ns = step_ns

    def __call__(self) -> int:
        self.now_ns += self._step_ns
        return self.now_ns


def traced_world(
    probe: Probe | None, cls: type[BarStrategy] = Trader, *, poll: str | None = None, **how: Any
) -> BacktestController:
    """The composed run, measured when there is a probe; `poll` is the workers'."""
    series = [bar_series(symbol, [100.0 + (i + rank) % 7 for i in range(BARS)]) for rank, symbol in enumerate(SYMBOLS)]
    config = bot_config(SYMBOLS, [cls], balance=1_000.0, max_open_positions=2, manage=MANAGE)
    if poll is not None:
        config = config.model_copy(update={"poll": PollConfig.model_validate({"worker": poll})})
    return build_world(series, [cls], config, probe=probe, **how)


def traced_run(probe: Probe | None, cls: type[BarStrategy] = Trader, **how: Any) -> BacktestResult:
    """The run itself."""
    return traced_world(probe, cls, **how).run()


def nesting_errors(events: list[dict[str, Any]]) -> list[str]:
    """Spans of one track that overlap without one containing the other; compared in nanoseconds."""
    errors: list[str] = []
    for thread in {event["tid"] for event in events}:
        spans = [
            (round(event["ts"] * 1e3), round((event["ts"] + event["dur"]) * 1e3), event["name"])
            for event in events
            if event["tid"] == thread
        ]
        outer: list[tuple[int, int, str]] = []
        for span in spans:  # in the order of the file: what contains comes first
            while outer and outer[-1][1] <= span[0] and not (outer[-1][0] == span[0] == outer[-1][1]):
                outer.pop()
            if outer and not (outer[-1][0] <= span[0] and span[1] <= outer[-1][1]):
                errors.append(f"{span} crosses {outer[-1]}")
            outer.append(span)
    return errors


def written(path: Path) -> list[Path]:
    """What lies in the folder of a file."""
    return sorted(path.parent.iterdir())
