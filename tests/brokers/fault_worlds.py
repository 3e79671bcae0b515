"""Small bots and markets for tests of faults: they use every call of the Broker port."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.result import BacktestResult
from src.brokers.faults import Fault, FaultKind, FaultPlan
from src.core.bars import Bar
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, parse_instant
from src.testing.fault_loop import problems_of
from src.testing.worlds import bar_series, bot_config, build_world

SYMBOLS = ("AAA", "BBB", "CCC")
START_NS = parse_instant("2024-01-01")


class Busy(BarStrategy):
    """Enters at the market with a bracket, moves its stop, closes; now and then a limit that it cancels."""

    moves = False

    def on_bar(self, bar: Bar) -> None:
        turn = (len(self.bars) + SYMBOLS.index(self.symbol)) % 8
        if turn == 1 and self.position.is_flat:
            self.buy(stop=bar.close - 5, target=bar.close + 9, reason="in")
        elif turn == 3 and self.position.is_long:
            self.move_stop(bar.close - 4)
        elif turn == 4 and not self.position.is_flat:
            self.close(reason="out")
        elif turn == 5 and self.position.is_flat:
            self.resting = self.sell(limit=bar.close + 3, stop=bar.close + 8, reason="rest").order_id
        elif turn == 6 and self.moves and getattr(self, "resting", ""):
            self.modify(self.resting, price=bar.close + 4)
        elif turn == 7 and getattr(self, "resting", ""):
            self.cancel(self.resting)
            self.resting = ""

    def on_stop(self) -> None:
        self.close(reason="the end")


class Moving(Busy):
    """It moves its limit as well, before it cancels it."""

    moves = True


def busy_world(
    plan: FaultPlan | None, *, bars: int = 20, cls: type[Busy] = Busy, positions: str = "netting", **how: Any
) -> BacktestController:
    """Three symbols of which two may hold something at once; the monitor trails the stops."""
    series = [
        bar_series(symbol, [100 + ((i * (3 + rank)) % 7 - 3) * 0.8 for i in range(bars)])
        for rank, symbol in enumerate(SYMBOLS)
    ]
    config = bot_config(
        SYMBOLS, [cls], size={"volume": 2}, max_open_positions=2, leverage=5.0, positions=positions,
        manage={"trailing": {"start_r": 0.1, "distance_percent": 3}},
    )  # fmt: skip
    return build_world(series, [cls], config, faults=plan, **how)


#: What a scripted strategy does at the close of a bar, counted from 1, of a symbol.
Script = dict[tuple[str, int], Callable[[BarStrategy, Bar], Any]]


@dataclass
class Played:
    """A scripted run: what ran, what came of it, what the strategies were answered, what does not add up."""

    controller: BacktestController
    result: BacktestResult
    answers: list[tuple[int, str]]
    problems: list[str]

    def recovered(self) -> list[tuple[str, str]]:
        """What was recovered: the action and what came of it."""
        return [(each.values[2], each.values[3]) for each in self.result.records if each.kind == "recovery"]

    def fills(self, symbol: str = "AAA") -> list[tuple[int, str, float]]:
        """The minute, the kind and the volume of each fill of a symbol."""
        own = [fill for fill in self.result.fills if fill.symbol == symbol]
        return [((fill.filled_ns - START_NS) // MINUTE_NS, fill.kind, fill.volume) for fill in own]

    def held(self) -> list[tuple[str, float, float | None]]:
        """Symbol, volume and stop of what is open at the end."""
        return [(each.symbol, each.volume, each.stop) for each in self.result.open_positions]


def play(
    script: Script, faults: Sequence[Fault], *, symbols: Sequence[str] = ("AAA",),
    prices: dict[str, list[Any]] | None = None, away_ns: int = 0, risk: dict[str, Any] | None = None,
    timeframe: str = "1m", **how: Any,
) -> Played:  # fmt: skip
    """Run a script on flat prices of 100, or on others; what is open at the end is kept."""
    answers: list[tuple[int, str]] = []

    class Acting(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            minute = (bar.close_ns - START_NS) // MINUTE_NS
            act = script.get((self.symbol, minute))
            if act is not None:
                answers.append((minute, act(self, bar).code))

    Acting.timeframe = timeframe
    config = bot_config(symbols, [Acting], **{"size": {"volume": 2}, "max_open_positions": 5, **(risk or {})})
    series = [bar_series(symbol, (prices or {}).get(symbol, [100.0] * 14), timeframe) for symbol in symbols]
    controller = build_world(series, [Acting], config, faults=FaultPlan(faults), at_end="keep", **how)
    result = controller.run()
    return Played(controller, result, answers, problems_of(controller, result, away_ns=away_ns))


def lasting(kind: FaultKind, start: float, end: float, **more: Any) -> Fault:
    """A fault that lasts from one minute to another."""
    times = [START_NS + int(minute * MINUTE_NS) for minute in (start, end)]
    return Fault(kind=kind, from_ns=times[0], to_ns=times[1], **more)
