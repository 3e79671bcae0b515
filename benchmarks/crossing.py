"""W3's strategy as a file of a user's own, which `suite.py` copies beside the configuration that names it."""

from src.core.bars import Bar
from src.core.features import Feature, FeatureView, sma
from src.core.strategy import BarStrategy, param


class Crossing(BarStrategy):
    """Long while the fast average is above the slow one, short while below, unchanged when equal."""

    fast: int = param(20, low=1)
    slow: int = param(50, low=2)

    f: FeatureView
    s: FeatureView

    def features(self) -> dict[str, Feature]:
        """Both averages."""
        return {"f": sma(self.fast), "s": sma(self.slow)}

    def on_start(self) -> None:
        """Nothing is wanted yet."""
        self.target = 0

    def on_bar(self, bar: Bar) -> None:
        """Reverse when the target changes."""
        fast, slow = self.f[-1], self.s[-1]
        if fast > slow:
            target = 1
        elif fast < slow:
            target = -1
        else:
            return
        if target != self.target and len(self.bars) > self.slow:
            self.target = target
            if target > 0:
                self.buy()
            else:
                self.sell()
