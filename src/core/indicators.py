"""The indicators: exact on their declared window, the same bits over a whole history and on the window alone.

Each value is a function of the last `lookback` bars. A recursive indicator (EMA, RSI, MACD, a smoothed ATR) begins anew
at the first bar of that window, as TA-Lib does at the first bar that it is given, so it does not matter when the bot
was started. All windows are computed side by side: step k of the recursion is one operation on an array that is shifted
by k bars, in a fixed order; there is no running sum. The cost grows with bars times look-back.

Wilder: J. Welles Wilder, New Concepts in Technical Trading Systems, 1978. Any thread.
"""

import numpy as np

from src.core.bars import BarSeries, FloatArray
from src.core.errors import ConfigError
from src.core.window_feature import Feature, WindowFeature, check_column, check_length, check_lookback, column_of

__all__ = ["atr", "bollinger", "donchian", "ema", "macd", "rsi", "sma", "vwap"]

#: How many lengths of an exponential average its default look-back holds: the first bars then weigh under 0.04 %.
_EMA_LENGTHS = 4
#: The same for Wilder's averages, which forget half as fast.
_WILDER_LENGTHS = 8

_MACD_LINES = ("macd", "signal", "histogram")
_BAND_LINES = ("upper", "middle", "lower")


def sma(length: int, column: str = "close") -> Feature:
    """Simple moving average of `length` bars; look-back `length`.

    Raises:
        ConfigError: `length` is below 1, or no such column.
    """
    check_length("sma", length)
    check_column("sma", column)

    def compute(series: BarSeries, first: int, last: int) -> FloatArray:
        return _window_sum(column_of(series, column)[first:last], length) / length

    return WindowFeature(f"sma({length},{column})", length, compute, shared=True)


def ema(length: int, column: str = "close", *, lookback: int | None = None) -> Feature:
    """Exponential moving average with the factor 2 / (length + 1), begun with the mean of the window's first `length`.

    Args:
        lookback: bars of the window, at least `length`; 5 * length by default. With `length` it is the simple average.

    Raises:
        ConfigError: `length` is below 1, no such column, or too short a look-back.
    """
    check_length("ema", length)
    check_column("ema", column)
    window = length * (_EMA_LENGTHS + 1) if lookback is None else lookback
    check_lookback("ema", window, length)
    factor = 2.0 / (length + 1)

    def compute(series: BarSeries, first: int, last: int) -> FloatArray:
        values = column_of(series, column)[first:last]
        count = len(values) - window + 1
        average = _window_sum(values[: count + length - 1], length) / length
        step = np.empty(count)
        for shift in range(length, window):
            _follow(average, values[shift : shift + count], factor, step)
        return average

    return WindowFeature(_key(f"ema({length},{column}", lookback), window, compute, shared=True)


def rsi(length: int = 14, column: str = "close", *, lookback: int | None = None) -> Feature:
    """Wilder's relative strength index, 0 to 100; 0 where no price of the window moved.

    Args:
        lookback: bars of the window, at least `length + 1`, which is the index of plain means; 9 * length + 1 by
            default.

    Raises:
        ConfigError: `length` is below 2, no such column, or too short a look-back.
    """
    check_length("rsi", length, 2)
    check_column("rsi", column)
    window = length * (_WILDER_LENGTHS + 1) + 1 if lookback is None else lookback
    check_lookback("rsi", window, length + 1)

    def compute(series: BarSeries, first: int, last: int) -> FloatArray:
        moves = np.diff(column_of(series, column)[first:last])
        gain = _wilder(np.maximum(moves, 0.0), length, window - 1)
        both = _wilder(np.maximum(-moves, 0.0), length, window - 1)
        both += gain
        out = np.zeros(len(gain))
        np.divide(gain, both, out=out, where=both > 0.0)
        out *= 100.0
        return out

    return WindowFeature(_key(f"rsi({length},{column}", lookback), window, compute, shared=True)


def atr(length: int = 14, *, lookback: int | None = None) -> Feature:
    """Average true range: by default the mean of the last `length` true ranges, which needs `length + 1` bars.

    Wilder's recursion restarted on exactly that window is this mean; a longer look-back smooths it as he does.

    Args:
        lookback: bars of the window, at least `length + 1`, the default.

    Raises:
        ConfigError: `length` is below 1, or too short a look-back.
    """
    check_length("atr", length)
    window = length + 1 if lookback is None else lookback
    check_lookback("atr", window, length + 1)

    def compute(series: BarSeries, first: int, last: int) -> FloatArray:
        high, low = series.high[first + 1 : last], series.low[first + 1 : last]
        before = series.close[first : last - 1]
        return _wilder(np.maximum(high, before) - np.minimum(low, before), length, window - 1)

    return WindowFeature(_key(f"atr({length}", lookback), window, compute, shared=True)


def macd(
    fast: int = 12, slow: int = 26, signal: int = 9, line: str = "macd", *, column: str = "close",
    lookback: int | None = None,
) -> Feature:  # fmt: skip
    """One line of the moving average convergence divergence.

    Args:
        line: `macd`, the fast less the slow average; `signal`, the average of that; `histogram`, their difference.
        lookback: bars of the window, at least `slow + signal - 1`; 5 * slow + 5 * signal by default. The same for
            the three lines, so that they fit together.

    Raises:
        ConfigError: a length is below 1, `fast` is not below `slow`, no such line or column, or too short a look-back.
    """
    for length in (fast, slow, signal):
        check_length("macd", length)
    if fast >= slow:
        raise ConfigError(f"macd needs a fast length below the slow one, found {fast} and {slow}", fast=fast, slow=slow)
    _check_line("macd", line, _MACD_LINES)
    check_column("macd", column)
    window = (_EMA_LENGTHS + 1) * (slow + signal) if lookback is None else lookback
    check_lookback("macd", window, slow + signal - 1)
    factors = 2.0 / (fast + 1), 2.0 / (slow + 1), 2.0 / (signal + 1)

    def compute(series: BarSeries, first: int, last: int) -> FloatArray:
        values = column_of(series, column)[first:last]
        count = len(values) - window + 1
        # Both begin at the same bar, as in TA-Lib: the fast one with the last bars of the slow one's first mean.
        quick = _window_sum(values[slow - fast : slow - fast + count + fast - 1], fast) / fast
        calm = _window_sum(values[: count + slow - 1], slow) / slow
        step = np.empty(count)
        difference = quick - calm
        average = difference.copy()
        for shift in range(slow, window):
            now = values[shift : shift + count]
            _follow(quick, now, factors[0], step)
            _follow(calm, now, factors[1], step)
            np.subtract(quick, calm, out=difference)
            made = shift - slow + 2  # differences of each window so far
            if made > signal:
                _follow(average, difference, factors[2], step)
            else:
                average += difference
            if made == signal:
                average /= signal
        return difference if line == "macd" else average if line == "signal" else difference - average

    return WindowFeature(_key(f"macd({fast},{slow},{signal},{line},{column}", lookback), window, compute, shared=True)


def bollinger(length: int = 20, width: float = 2.0, line: str = "upper", *, column: str = "close") -> Feature:
    """One line of the Bollinger bands: the mean of `length` bars, and `width` standard deviations above and below it.

    The deviation is the population's, computed from the differences to the mean; look-back `length`.

    Args:
        line: `upper`, `middle` or `lower`.

    Raises:
        ConfigError: `length` is below 1, `width` is not above 0, or no such line or column.
    """
    check_length("bollinger", length)
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0.0 < width < np.inf:
        raise ConfigError(f"bollinger needs a width above 0 in standard deviations, found {width!r}", found=width)
    _check_line("bollinger", line, _BAND_LINES)
    check_column("bollinger", column)
    sign = 1.0 if line == "upper" else -1.0

    def compute(series: BarSeries, first: int, last: int) -> FloatArray:
        values = column_of(series, column)[first:last]
        mean = _window_sum(values, length) / length
        if line == "middle":
            return mean
        count = len(mean)
        step, squares = np.empty(count), np.zeros(count)
        for shift in range(length):
            np.subtract(values[shift : shift + count], mean, out=step)
            step *= step
            squares += step
        return mean + (sign * width) * np.sqrt(squares / length)

    return WindowFeature(f"bollinger({length},{float(width)!r},{line},{column})", length, compute, shared=True)


def donchian(length: int = 20, line: str = "upper") -> Feature:
    """One line of the Donchian channel of `length` bars, the current one included; look-back `length`.

    A break of the range of the bars before this one is `bar.close > self.upper[-2]`.

    Args:
        line: `upper`, the highest high; `lower`, the lowest low; `middle`, half way between them.

    Raises:
        ConfigError: `length` is below 1, or no such line.
    """
    check_length("donchian", length)
    _check_line("donchian", line, _BAND_LINES)

    def compute(series: BarSeries, first: int, last: int) -> FloatArray:
        if line == "upper":
            return _extreme(series.high[first:last], length, np.maximum)
        lowest = _extreme(series.low[first:last], length, np.minimum)
        return lowest if line == "lower" else (_extreme(series.high[first:last], length, np.maximum) + lowest) / 2.0

    return WindowFeature(f"donchian({length},{line})", length, compute, shared=True)


def vwap(length: int = 20) -> Feature:
    """Average of the typical prices (high + low + close) / 3 of the last `length` bars, weighted by volume.

    Look-back `length`. NaN where nothing was traded in the window.

    Raises:
        ConfigError: `length` is below 1.
    """
    check_length("vwap", length)

    def compute(series: BarSeries, first: int, last: int) -> FloatArray:
        typical = (series.high[first:last] + series.low[first:last] + series.close[first:last]) / 3.0
        volume = series.volume[first:last]
        traded = _window_sum(volume, length)
        out = np.full(len(traded), np.nan)
        np.divide(_window_sum(typical * volume, length), traded, out=out, where=traded > 0.0)
        return out

    return WindowFeature(f"vwap({length})", length, compute, shared=True)


def _window_sum(values: FloatArray, length: int) -> FloatArray:
    """Sums over each window of `length`, oldest first, in one fixed order of addition."""
    count = len(values) - length + 1
    total = values[:count].copy()
    for shift in range(1, length):
        total += values[shift : shift + count]
    return total


def _follow(average: FloatArray, now: FloatArray, factor: float, step: FloatArray) -> None:
    """One step of all exponential averages, in place; the same three operations as TA-Lib's."""
    np.subtract(now, average, out=step)
    step *= factor
    average += step


def _wilder(values: FloatArray, length: int, window: int) -> FloatArray:
    """Wilder's averages of each window: the mean of its first `length` values, then the others one by one."""
    count = len(values) - window + 1
    average = _window_sum(values[: count + length - 1], length) / length
    if window > length:
        keep, shares = (length - 1) / length, values / length
        for shift in range(length, window):
            average *= keep
            average += shares[shift : shift + count]
    return average


def _extreme(values: FloatArray, length: int, choose: np.ufunc) -> FloatArray:
    """Highest or lowest of each window; windows are doubled, because an extreme has the same bits in any order."""
    reach = 1
    while 2 * reach <= length:
        values = choose(values[reach:], values[:-reach])
        reach *= 2
    rest = length - reach
    out: FloatArray = choose(values[rest:], values[: len(values) - rest])
    return out


def _key(text: str, lookback: int | None) -> str:
    return f"{text})" if lookback is None else f"{text},lookback={lookback})"


def _check_line(name: str, line: str, lines: tuple[str, ...]) -> None:
    if line not in lines:
        raise ConfigError(f"{name} has the lines {', '.join(lines)}, found {line!r}", found=line)
