"""What a feature is, and the form that most of them have: a pure function of a window of bars.

Any thread; nothing here reads a bar after the one whose value it computes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from src.core.bars import BarSeries, FloatArray
from src.core.errors import ConfigError

__all__ = ["COLUMNS", "Feature", "WindowFeature", "check_column", "check_length", "check_lookback", "column_of"]

#: What the `column` of a feature may be.
COLUMNS = ("open", "high", "low", "close", "volume")

#: Values computed at a time: the passes over the shifted arrays then stay in the processor's cache.
_BLOCK = 16384


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
class WindowFeature:
    """A feature given by a pure function of a window of columns.

    Attributes:
        function: of a series and the bars [first, last) of it; gives the values of the last
            `last - first - lookback + 1` of them. Each value must be made of the same operations in the same order
            whatever the others are, so that it has the same bits alone.
        shared: equal keys mean equal functions in the whole process, so that runs over the same bars may share values.
    """

    key: str
    lookback: int
    function: Callable[[BarSeries, int, int], FloatArray]
    shared: bool = False

    def compute(self, series: BarSeries, first: int, last: int) -> FloatArray:
        """See `Feature.compute`."""
        out = np.full(last - first, np.nan)
        before = self.lookback - 1
        block = max(_BLOCK, 4 * before)
        for start in range(max(first, before), last, block):
            end = min(start + block, last)
            out[start - first : end - first] = self.function(series, start - before, end)
        return out


def column_of(series: BarSeries, name: str) -> FloatArray:
    """A column of the bars, shape (n,)."""
    values: FloatArray = getattr(series, name)
    return values


def check_column(name: str, column: str) -> None:
    """Refuse what is no column of bars.

    Raises:
        ConfigError: it is none.
    """
    if column not in COLUMNS:
        raise ConfigError(f"{name} needs one of the columns {', '.join(COLUMNS)}, found {column!r}", found=column)


def check_length(name: str, length: int, least: int = 1) -> None:
    """Refuse a length that is no whole number of at least `least`.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(length, bool) or not isinstance(length, int) or length < least:
        raise ConfigError(f"{name} needs a whole length of at least {least}, found {length!r}", found=length)


def check_lookback(name: str, lookback: int, least: int) -> None:
    """Refuse a look-back that is no whole number of at least `least` bars.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(lookback, bool) or not isinstance(lookback, int) or lookback < least:
        raise ConfigError(
            f"{name} needs a lookback of at least {least} bars, found {lookback!r}", found=lookback, least=least
        )
