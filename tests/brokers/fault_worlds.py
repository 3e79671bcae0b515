"""Small bots and markets for tests of faults: they use every call of the Broker port."""

from typing import Any

from src.backtesting.engine.backtest_controller import BacktestController
from src.brokers.faults import FaultPlan
from src.core.bars import Bar
from src.core.strategy import BarStrategy
from src.testing.worlds import bar_series, bot_config, build_world

SYMBOLS = ("AAA", "BBB", "CCC")


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
