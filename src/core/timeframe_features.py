"""Features of another timeframe than the strategy's own: the average of the hours beside the bars of a minute.

Pure; any thread. Such a feature shows the value at the last bar of its timeframe that the strategy has reached, never
that of the bar which is still under way.
"""

from dataclasses import dataclass

from src.core.bars import BarSeries, FloatArray
from src.core.timeframe import format_duration, parse_timeframe
from src.core.window_feature import Feature

__all__ = ["TimeframeFeature", "on_timeframe"]


@dataclass(frozen=True, slots=True)
class TimeframeFeature:
    """A feature together with the timeframe whose bars it is made of; see `Feature` and `on_timeframe`.

    Attributes:
        feature: the feature itself.
        timeframe_ns: the timeframe.
    """

    feature: Feature
    timeframe_ns: int

    @property
    def key(self) -> str:
        """The feature's key and the timeframe."""
        return f"{self.feature.key}@{format_duration(self.timeframe_ns)}"

    @property
    def lookback(self) -> int:
        """Bars of the timeframe that each value depends on."""
        return self.feature.lookback

    def compute(self, series: BarSeries, first: int, last: int) -> FloatArray:
        """See `Feature.compute`; `series` is one of the timeframe."""
        return self.feature.compute(series, first, last)


def on_timeframe(timeframe: str, feature: Feature) -> TimeframeFeature:
    """A feature of the bars of another timeframe: `{"trend": on_timeframe("4h", sma(50))}`.

    The strategy's class has to name the timeframe among its `timeframes`.

    Raises:
        ConfigError: the text is no timeframe.
    """
    return TimeframeFeature(feature, parse_timeframe(timeframe))
