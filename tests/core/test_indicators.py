"""Indicators: equal to TA-Lib on the same window, and to themselves on the window alone, bit for bit."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.bars import BarSeries, FloatArray
from src.core.errors import ConfigError
from src.core.features import (
    Feature,
    atr,
    bollinger,
    donchian,
    ema,
    macd,
    rsi,
    sma,
    talib_feature,
    vwap,
)
from src.core.rng import numpy_stream
from src.core.timeframe import MINUTE_NS
from src.core.window_feature import WindowFeature

Columns = dict[str, FloatArray]
Case = tuple[Feature, Callable[[Columns], FloatArray]]


def bands(c: Columns, line: int, length: int, width: float) -> FloatArray:
    """One of TA-Lib's Bollinger lines."""
    lines: tuple[FloatArray, ...] = talib.BBANDS(c["close"], length, width, width)
    return lines[line]


def vwap_of(c: Columns, length: int) -> FloatArray:
    """TA-Lib has no such function, but what it is made of."""
    money = talib.TYPPRICE(c["high"], c["low"], c["close"]) * c["volume"]
    return np.asarray(talib.SUM(money, length) / talib.SUM(c["volume"], length))


CASES: list[Case] = [
    (sma(20), lambda c: talib.SMA(c["close"], 20)),
    (sma(7, "high"), lambda c: talib.SMA(c["high"], 7)),
    (ema(10), lambda c: talib.EMA(c["close"], 10)),
    (ema(10, "open", lookback=10), lambda c: talib.EMA(c["open"], 10)),
    (ema(3, lookback=17), lambda c: talib.EMA(c["close"], 3)),
    (rsi(14), lambda c: talib.RSI(c["close"], 14)),
    (rsi(5, "low", lookback=6), lambda c: talib.RSI(c["low"], 5)),
    (atr(14), lambda c: talib.ATR(c["high"], c["low"], c["close"], 14)),
    (atr(5, lookback=40), lambda c: talib.ATR(c["high"], c["low"], c["close"], 5)),
    (macd(), lambda c: talib.MACD(c["close"])[0]),
    (macd(line="signal"), lambda c: talib.MACD(c["close"])[1]),
    (macd(line="histogram"), lambda c: talib.MACD(c["close"])[2]),
    (macd(3, 8, 4, "signal", column="high", lookback=11), lambda c: talib.MACD(c["high"], 3, 8, 4)[1]),
    (macd(3, 8, 1, "signal"), lambda c: talib.MACD(c["close"], 3, 8, 1)[1]),
    (bollinger(), lambda c: bands(c, 0, 20, 2.0)),
    (bollinger(20, 2, "middle"), lambda c: bands(c, 1, 20, 2.0)),
    (bollinger(9, 1.5, "lower", column="open"), lambda c: talib.BBANDS(c["open"], 9, 1.5, 1.5)[2]),
    (donchian(), lambda c: talib.MAX(c["high"], 20)),
    (donchian(13, "lower"), lambda c: talib.MIN(c["low"], 13)),
    (donchian(5, "middle"), lambda c: (talib.MAX(c["high"], 5) + talib.MIN(c["low"], 5)) / 2),
    (vwap(20), lambda c: vwap_of(c, 20)),
    (talib_feature("ADX", lookback=60, timeperiod=9), lambda c: talib.ADX(c["high"], c["low"], c["close"], 9)),
    (talib_feature("BBANDS", lookback=12, timeperiod=12, line="lowerband"), lambda c: talib.BBANDS(c["close"], 12)[2]),
    (talib_feature("CDLENGULFING", lookback=5),
     lambda c: talib.CDLENGULFING(c["open"], c["high"], c["low"], c["close"]).astype(float)),
    (talib_feature("SMA", lookback=8, timeperiod=8, columns=("open",)), lambda c: talib.SMA(c["open"], 8)),
]  # fmt: skip
NAMES = [feature.key for feature, _ in CASES]
PLAIN = [sma, ema, rsi, atr, donchian, vwap, bollinger]


def random_bars(count: int, seed: int = 1) -> BarSeries:
    """Bars of a random walk with ugly floats, gaps between bars included."""
    numbers = numpy_stream(seed, "indicators")
    close = 100 * np.exp(np.cumsum(numbers.normal(size=count)) / 50)
    opening = np.concatenate(([100.0], close[:-1])) + numbers.normal(size=count) / 50
    high = np.maximum(opening, close) + numbers.random(count) / 3
    low = np.minimum(opening, close) - numbers.random(count) / 3
    open_ns = np.arange(count, dtype=np.int64) * MINUTE_NS
    return BarSeries("AAA", MINUTE_NS, open_ns, opening, high, low, close, 1000 * numbers.random(count))


def part(series: BarSeries, first: int, last: int) -> BarSeries:
    """A series of its own that holds the bars [first, last) and nothing else."""
    columns = [getattr(series, name)[first:last].copy() for name in ("open", "high", "low", "close", "volume")]
    return BarSeries("AAA", MINUTE_NS, series.open_ns[first:last].copy(), *columns)


def columns_of(series: BarSeries) -> Columns:
    """The columns by name, as TA-Lib takes them."""
    return {name: getattr(series, name) for name in ("open", "high", "low", "close", "volume")}


def test_the_keys_of_different_features_differ() -> None:
    """Equal keys mean equal values."""
    assert len(set(NAMES)) == len(NAMES)
    assert [sma(20).key, atr(14).key] == ["sma(20,close)", "atr(14)"]
    assert macd(12, 26, 9, "signal").key == "macd(12,26,9,signal,close)"
    assert len({ema(9).key, ema(9, lookback=45).key, ema(9, lookback=46).key, ema(9, "open").key}) == 4


@pytest.mark.parametrize(("feature", "reference"), CASES, ids=NAMES)
@settings(max_examples=8)
@given(seed=st.integers(0, 10_000))
def test_a_value_equals_ta_lib_on_the_same_window(
    feature: Feature, reference: Callable[[Columns], FloatArray], seed: int
) -> None:
    """Each window is given to TA-Lib alone, and its last value compared."""
    series = random_bars(feature.lookback + 3, seed)
    values = feature.compute(series, 0, series.loaded)

    alone = [
        reference(columns_of(part(series, end - feature.lookback, end)))[-1]
        for end in range(feature.lookback, series.loaded + 1)
    ]
    np.testing.assert_allclose(values[feature.lookback - 1 :], alone, rtol=1e-9, atol=1e-9)
    assert np.isnan(values[: feature.lookback - 1]).all()


@pytest.mark.parametrize("feature", [feature for feature, _ in CASES], ids=NAMES)
def test_the_whole_history_and_the_window_alone_give_the_same_bits(feature: Feature) -> None:
    """Also across the blocks in which the values are computed, and where the column grows bar by bar."""
    series = random_bars(17_000 if feature.key[:5] != "talib" else 200)
    whole = feature.compute(series, 0, series.loaded)

    places = [feature.lookback - 1, feature.lookback, 170, 16383, 16384 + feature.lookback - 1, series.loaded - 1]
    for i in (each for each in places if feature.lookback - 1 <= each < series.loaded):
        alone = part(series, i - feature.lookback + 1, i + 1)
        assert feature.compute(alone, 0, feature.lookback)[-1].tobytes() == whole[i].tobytes()
        assert feature.compute(series, i, i + 1).tobytes() == whole[i].tobytes()


@pytest.mark.parametrize("feature", [feature for feature, _ in CASES], ids=NAMES)
def test_an_indicator_does_not_read_what_comes_later(feature: Feature) -> None:
    """Other bars from now on change no value up to now."""
    series, other = random_bars(200), random_bars(200)
    for name in ("open", "high", "low", "close", "volume"):
        getattr(other, name)[180:] = np.nan

    assert feature.compute(series, 0, 200)[:180].tobytes() == feature.compute(other, 0, 200)[:180].tobytes()


def test_a_still_market_has_numbers_where_they_mean_something() -> None:
    """No move is an index of 0 as in TA-Lib, no width is a band on the mean, and no volume is no average price."""
    flat = np.full(200, 7.0)
    still = BarSeries("AAA", MINUTE_NS, np.arange(200) * MINUTE_NS, flat, flat, flat, flat, np.zeros(200))

    assert rsi(14).compute(still, 0, 200)[-1] == talib.RSI(flat, 14)[-1] == 0.0
    assert bollinger().compute(still, 0, 200)[-1] == 7.0
    assert np.isnan(vwap(5).compute(still, 0, 200)).all()


@pytest.mark.parametrize("make", PLAIN)
@pytest.mark.parametrize("length", [0, -1, 2.5, True, "3"])
def test_a_length_that_is_no_positive_whole_number_is_refused(make: Callable[..., Feature], length: object) -> None:
    """The message says what was found."""
    with pytest.raises(ConfigError, match="needs a whole length of at least"):
        make(length)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sma(3, "price"), "one of the columns open, high, low, close, volume, found 'price'"),
        (lambda: ema(10, lookback=9), "lookback of at least 10 bars, found 9"),
        (lambda: rsi(14, lookback=14), "lookback of at least 15"),
        (lambda: atr(14, lookback=14), "lookback of at least 15"),
        (lambda: macd(26, 12), "fast length below the slow one"),
        (lambda: macd(lookback=33), "lookback of at least 34"),
        (lambda: macd(line="fast"), "has the lines macd, signal, histogram"),
        (lambda: bollinger(20, 0), "width above 0"),
        (lambda: donchian(20, "mid"), "has the lines upper, middle, lower"),
        (lambda: talib_feature("RSY", lookback=20), "did you mean 'RSI'"),
        (lambda: talib_feature("RSI", lookback=14), "lookback of at least 15"),
        (lambda: talib_feature("RSI", lookback=50, period=3), "has no parameter 'period'; it has: timeperiod"),
        (lambda: talib_feature("RSI", lookback=50, timeperiod=1), "TA-Lib refuses"),
        (lambda: talib_feature("RSI", lookback=50, timeperiod=2.5), "TA-Lib refuses"),
        (lambda: talib_feature("RSI", lookback=50, timeperiod=True), "expected a number"),
        (lambda: talib_feature("MAVP", lookback=50), "takes periods, which no bar has"),
        (lambda: talib_feature("RSI", lookback=50, columns=("high", "low")), "takes 1 columns"),
        (lambda: talib_feature("BBANDS", lookback=50, line="upper"), "upperband, middleband, lowerband"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_refused_with_what_could(make: Callable[[], Feature], words: str) -> None:
    """A sentence that names the choices or the least look-back."""
    with pytest.raises(ConfigError, match=words):
        make()


def test_without_ta_lib_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra is not a part of the package."""
    monkeypatch.setitem(sys.modules, "talib", None)
    with pytest.raises(ConfigError, match=r"pip install 'lockstep\[talib\]'"):
        talib_feature("RSI", lookback=50)


def test_blocks_leave_nothing_out() -> None:
    """Every value between two blocks is there, whatever the look-back."""
    series = random_bars(20_000)
    last_close = WindowFeature("last", 3000, lambda bars, first, last: bars.close[first + 2999 : last])

    assert last_close.compute(series, 0, 20_000)[2999:].tobytes() == series.close[2999:].tobytes()
