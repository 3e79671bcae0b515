"""Features: numbers derived from closed bars, the same function in every mode.

A feature at bar i is a function of exactly the last `lookback` bars, so that it does not matter when the bot was
started. It is computed over all loaded bars at once with sums in a fixed order (shifted arrays, no running sum), which
makes the value over the whole history equal, bit for bit, to the one computed on the window alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np

from src.core.bars import BarSeries, BarsView, FloatArray
from src.core.errors import ConfigError

__all__ = ["Feature", "FeatureColumn", "FeatureStore", "FeatureView", "atr", "crossed_above", "crossed_below", "sma"]


class Feature(Protocol):
    """One number per bar.

    Attributes:
        key: name and parameters, such as `sma(20,close)`; equal keys mean equal values.
        lookback: how many bars, the current one included, the value depends on.
    """

    @property
    def key(self) -> str: ...
    @property
    def lookback(self) -> int: ...

    def compute(self, series: BarSeries, first: int, last: int) -> FloatArray:
        """Values for the bars [first, last), shape (last - first,), NaN where fewer than `lookback` bars exist.

        Reads nothing but the bars [first - lookback + 1, last).
        """
        ...


@dataclass(frozen=True, slots=True)
class _WindowFeature:
    """A feature given by a pure function of a window of columns."""

    key: str
    lookback: int
    function: Callable[[BarSeries, int, int], FloatArray]

    def compute(self, series: BarSeries, first: int, last: int) -> FloatArray:
        out = np.full(last - first, np.nan)
        start = max(first, self.lookback - 1)
        if start < last:
            out[start - first :] = self.function(series, start - self.lookback + 1, last)
        return out


def _column(series: BarSeries, name: str) -> FloatArray:
    values: FloatArray = getattr(series, name)
    return values


def _window_sum(values: FloatArray, length: int) -> FloatArray:
    """Sums over each window of `length`, oldest first, in one fixed order of addition."""
    count = len(values) - length + 1
    total = values[:count].copy()
    for shift in range(1, length):
        total += values[shift : shift + count]
    return total


def sma(length: int, column: str = "close") -> Feature:
    """Simple moving average of `length` bars.

    Raises:
        ConfigError: `length` is below 1.
    """
    _check_length("sma", length)

    def compute(series: BarSeries, first: int, last: int) -> FloatArray:
        return _window_sum(_column(series, column)[first:last], length) / length

    return _WindowFeature(f"sma({length},{column})", length, compute)


def atr(length: int) -> Feature:
    """Average true range: the mean of the last `length` true ranges, which needs `length + 1` bars.

    Wilder's recursion restarted on exactly that window is this mean (J. Welles Wilder, New Concepts in Technical
    Trading Systems, 1978).

    Raises:
        ConfigError: `length` is below 1.
    """
    _check_length("atr", length)

    def compute(series: BarSeries, first: int, last: int) -> FloatArray:
        high, low = series.high[first + 1 : last], series.low[first + 1 : last]
        before = series.close[first : last - 1]
        ranges = np.maximum(high, before) - np.minimum(low, before)
        return _window_sum(ranges, length) / length

    return _WindowFeature(f"atr({length})", length + 1, compute)


def _check_length(name: str, length: int) -> None:
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ConfigError(f"{name} needs a whole length of at least 1, found {length!r}", found=length)


class FeatureColumn:
    """The values of one feature over one series, computed once and extended when the series grows."""

    __slots__ = ("_feature", "_series", "at", "computed", "values")

    def __init__(self, feature: Feature, series: BarSeries) -> None:
        self._feature = feature
        self._series = series
        self.computed = 0
        self.values: FloatArray = np.empty(0)
        self.at = self.values.data
        self.extend()

    @property
    def lookback(self) -> int:
        """Bars that each value depends on."""
        return self._feature.lookback

    def last_visible(self) -> float:
        """The value at the last visible bar of the series, NaN before the first."""
        last = self._series.length - 1
        if last >= self.computed:
            self.extend()
        return self.at[last] if last >= 0 else float("nan")

    def extend(self) -> None:
        """Compute the values of the bars that were loaded since the last call."""
        first, last = self.computed, self._series.loaded
        if last == first:
            return
        if first == 0:
            self.values = self._feature.compute(self._series, 0, last)
        else:
            if last > len(self.values):
                self.values = np.concatenate((self.values[:first], np.full(max(64, first, last - first), np.nan)))
            self.values[first:last] = self._feature.compute(self._series, first, last)
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

    __slots__ = ("_bars", "_column")

    def __init__(self, column: FeatureColumn, bars: BarsView) -> None:
        self._column = column
        self._bars = bars

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
                    return self._column.at[i]
                except IndexError:  # bars have come since it was computed
                    self._column.extend()
                    return self._column.at[i]
            raise IndexError(f"feature value {index} of {end} visible bars")
        if end > self._column.computed:
            self._column.extend()
        return self._column.values[:end][index]

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
