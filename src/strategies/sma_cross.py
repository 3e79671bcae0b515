"""Two moving averages: long when the fast one crosses above the slow one, short when below, with a volatility stop."""

from src.core.bars import Bar
from src.core.features import Feature, FeatureView, atr, crossed_above, crossed_below, sma
from src.core.strategy import BarStrategy, param

__all__ = ["SmaCross"]


class SmaCross(BarStrategy):
    """Enters at each cross with a stop `stop_atr` average true ranges away; an opposite cross reverses.

    On an account that cannot go short, a cross below closes the position.
    """

    timeframe = "15m"
    fast: int = param(20, low=2, high=200)
    slow: int = param(50, low=3, high=500)
    stop_atr: float = param(2.0, low=0.1, high=20.0)
    atr_length: int = param(14, low=2, high=200)
    allow_short: bool = param(True)

    f: FeatureView
    s: FeatureView
    atr: FeatureView

    def features(self) -> dict[str, Feature]:
        """The two averages and the range."""
        return {"f": sma(self.fast), "s": sma(self.slow), "atr": atr(self.atr_length)}

    def on_bar(self, bar: Bar) -> None:
        """Act on a cross at the close of the bar."""
        if crossed_above(self.f, self.s) and not self.position.is_long:
            self.buy(stop=bar.close - self.stop_atr * self.atr[-1], reason="cross up")
        elif crossed_below(self.f, self.s) and not self.position.is_short:
            if self.allow_short:
                self.sell(stop=bar.close + self.stop_atr * self.atr[-1], reason="cross down")
            elif self.position.is_long:
                self.close(reason="cross down")
