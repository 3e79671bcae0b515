"""Features: one function serves the whole history and the window, bit for bit; views never show the future."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from src.core.bars import BarSeries, BarsView
from src.core.errors import ConfigError
from src.core.features import Feature, FeatureColumn, FeatureStore, FeatureView, atr, crossed_above, crossed_below, sma
from src.core.rng import numpy_stream
from src.core.timeframe import MINUTE_NS
from src.core.window_feature import WindowFeature

FEATURES: list[Callable[[], Feature]] = [
    lambda: sma(1), lambda: sma(2), lambda: sma(20), lambda: sma(7, "high"), lambda: atr(1), lambda: atr(14),
]  # fmt: skip


def random_bars(count: int, seed: int = 1) -> BarSeries:
    """Bars of a random walk with ugly floats, gaps between bars included."""
    numbers = numpy_stream(seed, "features")
    close = 100 + np.cumsum(numbers.normal(size=count)) / 7
    opening = np.concatenate(([100.0], close[:-1])) + numbers.normal(size=count) / 50
    high = np.maximum(opening, close) + numbers.random(count) / 3
    low = np.minimum(opening, close) - numbers.random(count) / 3
    open_ns = np.arange(count, dtype=np.int64) * MINUTE_NS
    return BarSeries("AAA", MINUTE_NS, open_ns, opening, high, low, close, numbers.random(count))


def rows(series: BarSeries, first: int, last: int) -> list[tuple[int, float, float, float, float, float]]:
    """The bars [first, last) as plain numbers."""
    return [
        (
            series.open_ns_at[i],
            series.open_at[i],
            series.high_at[i],
            series.low_at[i],
            series.close_at[i],
            series.volume_at[i],
        )
        for i in range(first, last)
    ]


def window(series: BarSeries, first: int, last: int) -> BarSeries:
    """A series of its own that holds the bars [first, last) and nothing else."""
    out = BarSeries.empty("AAA", MINUTE_NS)
    for row in rows(series, first, last):
        out.append(*row)
    return out


@pytest.mark.parametrize("make", FEATURES)
def test_the_value_over_the_whole_history_equals_the_one_on_the_window_alone(make: Callable[[], Feature]) -> None:
    """Bit for bit, at every bar: it does not matter when the bot was started."""
    feature, series = make(), random_bars(80)
    whole = feature.compute(series, 0, 80)

    for i in range(feature.lookback - 1, 80):
        alone = window(series, i - feature.lookback + 1, i + 1)
        assert feature.compute(alone, 0, feature.lookback)[-1].tobytes() == whole[i].tobytes()
    assert np.isnan(whole[: feature.lookback - 1]).all()
    assert not np.isnan(whole[feature.lookback - 1 :]).any()


@pytest.mark.parametrize("make", FEATURES)
@pytest.mark.parametrize("step", [1, 3, 50])
def test_extension_by_appended_bars_equals_the_whole(make: Callable[[], Feature], step: int) -> None:
    """A column that grows with its series holds the same bits as one that was computed at once."""
    feature, series = make(), random_bars(200)
    growing = BarSeries.empty("AAA", MINUTE_NS)
    column = FeatureColumn(feature, growing)
    for first in range(0, 200, step):
        for row in rows(series, first, min(200, first + step)):
            growing.append(*row)
        column.extend()

    assert column.values[:200].tobytes() == feature.compute(series, 0, 200).tobytes()


def test_sma_is_the_mean_of_the_last_bars() -> None:
    """Against a naive sum, to the last digits."""
    series, length = random_bars(60), 9
    values = sma(length).compute(series, 0, 60)

    for i in range(length - 1, 60):
        assert math.isclose(values[i], math.fsum(series.close[i - length + 1 : i + 1]) / length, rel_tol=1e-14)


def test_atr_is_the_mean_of_the_last_true_ranges() -> None:
    """Against the definition: the range of a bar includes the close before it."""
    series, length = random_bars(60), 5
    values = atr(length).compute(series, 0, 60)

    for i in range(length, 60):
        ranges = [
            max(
                series.high[k] - series.low[k],
                abs(series.high[k] - series.close[k - 1]),
                abs(series.low[k] - series.close[k - 1]),
            )
            for k in range(i - length + 1, i + 1)
        ]
        assert math.isclose(values[i], math.fsum(ranges) / length, rel_tol=1e-12)


@pytest.mark.parametrize("make", FEATURES)
def test_a_feature_does_not_read_what_comes_later(make: Callable[[], Feature]) -> None:
    """Other future bars change no value up to now."""
    feature, series, other = make(), random_bars(60), random_bars(60)
    for name in ("open", "high", "low", "close", "volume"):
        getattr(other, name)[40:] = math.nan

    assert feature.compute(series, 0, 60)[:40].tobytes() == feature.compute(other, 0, 60)[:40].tobytes()


def test_a_feature_view_ends_at_the_bar_that_was_reached() -> None:
    """Indices and slices count from the reached bar; anything beyond is an IndexError."""
    series = random_bars(30)
    bars = BarsView(series, 10)
    view = FeatureView(FeatureColumn(sma(3), series), bars)

    assert len(view) == len(view[:]) == 10
    assert view[-1] == view[9] == sma(3).compute(series, 0, 30)[9]
    for beyond in (10, 29, -11):
        with pytest.raises(IndexError):
            view[beyond]
    assert len(view[5:100]) == 5


def test_last_visible_follows_the_series_and_not_what_is_loaded() -> None:
    """What the position monitor reads ends at the last visible bar."""
    series = random_bars(30)
    series.length = 0
    column = FeatureColumn(sma(1), series)
    values = [column.last_visible()]
    for length in (1, 12):
        series.length = length
        values.append(column.last_visible())

    assert math.isnan(values[0])
    assert values[1:] == [series.close[0], series.close[11]]


def test_equal_features_of_one_series_are_computed_once() -> None:
    """Columns are shared by series and key."""
    store, one, other = FeatureStore(), random_bars(10), random_bars(10)
    other.symbol = "BBB"

    assert store.column(sma(3), one) is store.column(sma(3), one)
    assert len({id(store.column(f, s)) for f in (sma(3), sma(4), sma(3, "open"), atr(3)) for s in (one, other)}) == 8


@pytest.mark.parametrize("make", [sma, atr])
@pytest.mark.parametrize("length", [0, -1, 2.5, True, "3"])
def test_a_length_that_is_no_positive_whole_number_is_refused(make: Callable[..., Feature], length: object) -> None:
    """The message says what was found."""
    with pytest.raises(ConfigError, match="needs a whole length of at least 1"):
        make(length)


def test_crosses_need_two_defined_values_on_each_side() -> None:
    """Touching and leaving is a cross, staying beyond is none, and nothing undefined is one."""
    nan = math.nan
    cases = [
        ([1.0, 3.0], [2.0, 2.0]),
        ([2.0, 3.0], [2.0, 2.0]),
        ([3.0, 4.0], [2.0, 2.0]),
        ([nan, 3.0], [2.0, 2.0]),
        ([3.0], [2.0]),
    ]

    assert [crossed_above(a, b) for a, b in cases] == [True, True, False, False, False]
    assert [crossed_below(b, a) for a, b in cases] == [True, True, False, False, False]


def frozen(series: BarSeries) -> BarSeries:
    """The same series with columns that nobody can change."""
    for name in ("open", "high", "low", "close", "volume"):
        getattr(series, name).setflags(write=False)
    return series


def test_runs_over_the_same_frozen_bars_share_their_values() -> None:
    """Computed once for one memory; what may still change, and what somebody else made, is computed each time."""
    series, again = frozen(random_bars(50)), frozen(random_bars(50))
    one, two = (FeatureStore().column(sma(7), series) for _ in range(2))
    other = FeatureStore().column(sma(7), again)
    loose = random_bars(50)
    own = WindowFeature("mine", 1, lambda bars, first, last: bars.close[first:last].copy())

    assert one.values is two.values
    assert other.values is not one.values
    assert other.values.tobytes() == one.values.tobytes()
    assert FeatureStore().column(sma(7), loose).values is not FeatureStore().column(sma(7), loose).values
    assert FeatureStore().column(own, series).values is not FeatureStore().column(own, series).values
    with pytest.raises(ValueError, match="read-only"):
        one.values[0] = 1.0
