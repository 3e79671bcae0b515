"""A breakout bot that decides the same in a backtest, on paper and live on one market, see docs/parity.md."""

from src.core.bars import Bar
from src.core.strategy import param
from src.strategies.breakout import Breakout

__all__ = ["FixedValue"]


class FixedValue(Breakout):
    """Breakouts whose size follows from the bar alone: what each entry is worth at its close is always the same.

    A size by equity or by risk follows from the price of the moment besides, which live is the next one already.
    """

    timeframe = "3m"
    length: int = param(8, low=2, high=500)
    stop_atr: float = param(1.0, low=0.1, high=20.0)
    target_r: float = param(3.0, low=0.1, high=20.0)
    value: float = param(1500.0, low=1.0, high=1e9)

    def on_bar(self, bar: Bar) -> None:
        """Act on a close beyond the range."""
        if not self.position.is_flat or len(self.bars) <= max(self.length, self.atr_length):
            return
        distance, volume = self.stop_atr * self.atr[-1], self.value / bar.close
        if bar.close > self.upper[-2]:
            self.buy(volume=volume, stop=bar.close - distance, target_r=self.target_r, reason="range broken upwards")
        elif self.allow_short and bar.close < self.lower[-2]:
            self.sell(volume=volume, stop=bar.close + distance, target_r=self.target_r, reason="range broken downwards")
