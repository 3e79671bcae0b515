"""Range breakout: enter when a bar closes beyond the range of the bars before it, with a stop and a target."""

from src.core.bars import Bar
from src.core.features import Feature, FeatureView, atr, donchian
from src.core.strategy import BarStrategy, param

__all__ = ["Breakout"]


class Breakout(BarStrategy):
    """Buys a close above the highest high of the last `length` bars, sells one below the lowest low.

    The stop lies `stop_atr` average true ranges away, the target `target_r` times as far. One position at a time.
    """

    timeframe = "15m"
    length: int = param(40, low=2, high=500)
    stop_atr: float = param(1.5, low=0.1, high=20.0)
    target_r: float = param(2.0, low=0.1, high=20.0)
    atr_length: int = param(14, low=2, high=200)
    allow_short: bool = param(True)

    atr: FeatureView
    upper: FeatureView
    lower: FeatureView

    def features(self) -> dict[str, Feature]:
        """The range of the last bars, and the average true range that scales stop and target."""
        return {
            "atr": atr(self.atr_length),
            "upper": donchian(self.length, "upper"),
            "lower": donchian(self.length, "lower"),
        }

    def on_bar(self, bar: Bar) -> None:
        """Act on a close beyond the range."""
        if not self.position.is_flat or len(self.bars) <= max(self.length, self.atr_length):
            return
        distance = self.stop_atr * self.atr[-1]
        if bar.close > self.upper[-2]:  # the range of the bars before this one
            self.buy(stop=bar.close - distance, target_r=self.target_r, reason="range broken upwards")
        elif self.allow_short and bar.close < self.lower[-2]:
            self.sell(stop=bar.close + distance, target_r=self.target_r, reason="range broken downwards")
