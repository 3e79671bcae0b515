"""A strategy to start from: copy this file, rename the class, and write your rule into `on_bar`.

Run your copy with `python main.py --mode backtest --set 'strategies=[{use: "my_strategy.py:MyStrategy"}]'`, or add one
line to `STRATEGIES` in `loader.py` to give it a name.
"""

from src.core.bars import Bar
from src.core.features import Feature, FeatureView, atr, sma
from src.core.records import OrderEvent, Trade
from src.core.strategy import BarStrategy, param

__all__ = ["MyStrategy"]


class MyStrategy(BarStrategy):
    """Buys pullbacks in a rising market."""

    timeframe = "15m"
    trend: int = param(100, low=10, high=500)  # `low` and `high` are the range that a sweep may use
    pullback: int = param(5, low=2, high=50)

    slow: FeatureView  # features become attributes; the annotations are for your editor
    quick: FeatureView
    atr: FeatureView

    def features(self) -> dict[str, Feature]:
        """What `on_bar` reads; each value depends on closed bars alone."""
        return {"slow": sma(self.trend), "quick": sma(self.pullback), "atr": atr(14)}

    def on_bar(self, bar: Bar) -> None:
        """Called once for each closed bar."""
        if self.position.is_flat and bar.close > self.slow[-1] and bar.close < self.quick[-1]:
            self.buy(stop=bar.close - 2 * self.atr[-1], target_r=1.5, reason="pullback")

    def on_order(self, event: OrderEvent) -> None:
        """Called for each change of one of your orders; delete it if you do not need it."""

    def on_trade_closed(self, trade: Trade) -> None:
        """Called when you are flat again; `self.state` survives a restart."""
        self.state["trades"] = self.state.get("trades", 0) + 1
