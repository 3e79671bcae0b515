"""Features: numbers derived from closed bars, the same function in every mode.

A feature at bar i is a function of exactly the last `lookback` bars, so that it does not matter when the bot was
started. It is computed over all loaded bars at once with sums in a fixed order (shifted arrays, no running sum), which
makes the value over the whole history equal, bit for bit, to the one computed on the window alone. Here are the columns
in which values are kept and the views through which strategies see them; the indicators are in `indicators`, any
function of TA-Lib is in `talib_features`, and a strategy imports all of them from here.
"""

import weakref
from collections import OrderedDict
from typing import Any, overload

import numpy as np

from src.core.bars import BarSeries, BarsView, FloatArray
from src.core.indicators import atr, bollinger, donchian, ema, macd, rsi, sma, vwap
from src.core.talib_features import talib_feature
from src.core.timeframe_features import on_timeframe
from src.core.window_feature import Feature, WindowFeature

__all__ = [
    "Feature",
    "FeatureColumn",
    "FeatureStore",
    "FeatureView",
    "atr",
    "bollinger",
    "crossed_above",
    "crossed_below",
    "donchian",
    "ema",
    "macd",
    "on_timeframe",
    "rsi",
    "sma",
    "talib_feature",
    "vwap",
]


#: How many columns a process keeps for the next run over the same bars, and of how many bytes together.
_MOST_SHARED, _MOST_BYTES = 256, 2**28

#: Values by key, together with the closes that they belong to: who reads the same memory gets the same column. The
#: closes are held weakly, so that a market which nobody runs over any more is forgotten.
_shared: OrderedDict[tuple[str, str, int, int], tuple[weakref.ref[FloatArray], FloatArray]] = OrderedDict()


def _values_of(feature: Feature, series: BarSeries) -> FloatArray:
    """The values over all loaded bars; computed once for all runs of a process that share one frozen series."""
    columns = (series.open, series.high, series.low, series.close, series.volume)
    shareable = isinstance(feature, WindowFeature) and feature.shared
    if not shareable or any(column.flags.writeable for column in columns):
        return feature.compute(series, 0, series.loaded)
    key = feature.key, series.symbol, series.timeframe_ns, series.loaded
    known = _shared.get(key)
    if known is not None and known[0]() is series.close:
        _shared.move_to_end(key)
        return known[1]
    values = feature.compute(series, 0, series.loaded)
    values.setflags(write=False)  # many runs hold views of the same memory
    _shared[key] = weakref.ref(series.close), values
    for stale in [each for each, (closes, _) in _shared.items() if closes() is None]:
        del _shared[stale]
    while len(_shared) > _MOST_SHARED or sum(kept.nbytes for _, kept in _shared.values()) > _MOST_BYTES:
        _shared.popitem(last=False)
    return values


class FeatureColumn:
    """The values of one feature over one series, computed once and extended when the series grows."""

    __slots__ = ("at", "computed", "feature", "series", "values")

    def __init__(self, feature: Feature, series: BarSeries) -> None:
        self.feature = feature
        self.series = series
        self.computed = 0
        self.values: FloatArray = np.empty(0)
        self.at = self.values.data
        self.extend()

    @property
    def lookback(self) -> int:
        """Bars that each value depends on."""
        return self.feature.lookback

    def last_visible(self) -> float:
        """The value at the last visible bar of the series, NaN before the first."""
        last = self.series.length - 1
        if last >= self.computed:
            self.extend()
        return self.at[last] if last >= 0 else float("nan")

    def extend(self) -> None:
        """Compute the values of the bars that were loaded since the last call."""
        first, last = self.computed, self.series.loaded
        if last == first:
            return
        if first == 0:
            self.values = _values_of(self.feature, self.series)
        else:
            if last > len(self.values):
                self.values = np.concatenate((self.values[:first], np.full(max(64, first, last - first), np.nan)))
            self.values[first:last] = self.feature.compute(self.series, first, last)
        self.at = self.values[:last].data  # no longer than what is known: beyond it an index is an error
        self.computed = last


class FeatureStore:
    """Feature columns by series and key, shared by everyone who asks for the same one."""

    def __init__(self) -> None:
        self._columns: dict[tuple[str, int, str], FeatureColumn] = {}

    def column(self, feature: Feature, series: BarSeries) -> FeatureColumn:
        """The column of `feature` over `series`, computed at the first request."""
        key = (series.symbol, series.timeframe_ns, feature.key)
        column = self._columns.get(key)
        if column is None:
            column = self._columns[key] = FeatureColumn(feature, series)
        return column


class FeatureView:
    """A feature as a strategy sees it: `self.f[-1]` is the value at the current bar, never a later one."""

    __slots__ = ("_at", "_bars", "column")

    def __init__(self, column: FeatureColumn, bars: BarsView) -> None:
        self.column = column
        self._bars = bars
        self._at = column.at

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> FloatArray: ...
    def __getitem__(self, index: int | slice) -> Any:
        end = self._bars.end
        if index.__class__ is int:  # faster than isinstance, and nearly always the case
            i = end + index if index < 0 else index
            if 0 <= i < end:
                try:
                    return self._at[i]
                except IndexError:  # bars have come since it was computed
                    self.column.extend()
                    self._at = self.column.at
                    return self._at[i]
            raise IndexError(f"feature value {index} of {end} visible bars")
        if end > self.column.computed:
            self.column.extend()
        return self.column.values[:end][index]

    def __len__(self) -> int:
        return self._bars.end


Values = FeatureView | FloatArray | list[float]


def crossed_above(a: Values, b: Values) -> bool:
    """True when `a` was at or below `b` one bar ago and is above it now; False while either is undefined."""
    if len(a) < 2 or len(b) < 2:
        return False
    return bool(a[-1] > b[-1] and a[-2] <= b[-2])


def crossed_below(a: Values, b: Values) -> bool:
    """True when `a` was at or above `b` one bar ago and is below it now; False while either is undefined."""
    if len(a) < 2 or len(b) < 2:
        return False
    return bool(a[-1] < b[-1] and a[-2] >= b[-2])
