"""Derived bars equal a naive definition to the last bit, and hold nothing that is not known at their close."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.bars import BarSeries
from src.core.errors import ConfigError, DataError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.resample import bucket_open_ns, resample
from tests.data.conftest import MakeBars

WEEK_NS = 7 * DAY_NS
Row = tuple[int, float, float, float, float, float]


def rows(series: BarSeries) -> list[Row]:
    """The loaded bars as tuples."""
    columns = (series.open_ns, series.open, series.high, series.low, series.close, series.volume)
    return list(zip(*(column[: series.loaded].tolist() for column in columns), strict=True))


def naive(base: BarSeries, timeframe_ns: int, until_ns: int) -> list[Row]:
    """The definition, one bar after the other."""
    anchor_ns = parse_instant("1970-01-05") if timeframe_ns % WEEK_NS == 0 else 0
    found: dict[int, list[float]] = {}
    for at_ns, open_, high, low, close, volume in rows(base):
        start_ns = at_ns - (at_ns - anchor_ns) % timeframe_ns
        bar = found.setdefault(start_ns, [open_, high, low, close, 0.0])
        bar[1], bar[2], bar[3], bar[4] = max(bar[1], high), min(bar[2], low), close, bar[4] + volume
    return [
        (start_ns, bar[0], bar[1], bar[2], bar[3], bar[4])
        for start_ns, bar in found.items()
        if start_ns + timeframe_ns <= until_ns
    ]


@st.composite
def base_bars(draw: st.DrawFn) -> BarSeries:
    """One-minute bars with holes of up to two days and prices that are no round numbers."""
    start = draw(st.integers(-5_000, 30_000_000))
    gaps = draw(st.lists(st.one_of(st.integers(1, 3), st.integers(1, 3000)), min_size=0, max_size=120))
    minutes = np.cumsum(np.array([start, *gaps], np.int64))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    low, high = np.sort(rng.uniform(1, 2, (2, len(minutes))), axis=0)
    open_, close = rng.uniform(low, high), rng.uniform(low, high)
    return BarSeries("X", MINUTE_NS, minutes * MINUTE_NS, open_, high, low, close, rng.lognormal(0, 5, len(minutes)))


@given(
    base=base_bars(),
    timeframe_ns=st.sampled_from([5 * MINUTE_NS, 15 * MINUTE_NS, HOUR_NS, 4 * HOUR_NS, DAY_NS, 2 * DAY_NS, WEEK_NS]),
    later_ns=st.one_of(st.none(), st.integers(-2 * DAY_NS, 2 * DAY_NS)),
)
def test_derived_bars_equal_the_naive_definition(base: BarSeries, timeframe_ns: int, later_ns: int | None) -> None:
    """First open, highest high, lowest low, last close, volumes added in time order; bit for bit, holes included."""
    last_close_ns = int(base.open_ns[-1]) + MINUTE_NS
    until_ns = None if later_ns is None else last_close_ns + later_ns

    derived = resample(base, timeframe_ns, until_ns)

    assert rows(derived) == naive(base, timeframe_ns, last_close_ns if until_ns is None else until_ns)
    assert (derived.symbol, derived.timeframe_ns, derived.price_side) == ("X", timeframe_ns, "trade")


def test_a_bar_that_is_still_open_appears_when_the_market_is_known_beyond_its_end(bars: MakeBars) -> None:
    """By default the last base bar's close is the end of knowledge; a later `until_ns` completes a bar with a hole."""
    base = bars([0, 1, 2, 3, 4, 5, 6, 7, 8])

    by_default = resample(base, 5 * MINUTE_NS)
    known_longer = resample(base, 5 * MINUTE_NS, until_ns=10 * MINUTE_NS)

    assert (by_default.open_ns // MINUTE_NS).tolist() == [0]
    assert (known_longer.open_ns // MINUTE_NS).tolist() == [0, 5]


def test_hidden_bars_count(bars: MakeBars) -> None:
    """What is visible is the business of whoever advances the market; all loaded bars are resampled."""
    base = bars([0, 1, 2, 3])
    base.length = 1

    assert resample(base, 2 * MINUTE_NS).loaded == 2


def test_the_own_timeframe_is_the_series_itself(bars: MakeBars) -> None:
    """Nothing is copied when there is nothing to derive."""
    base = bars([0, 1])

    assert resample(base, MINUTE_NS) is base


def test_no_bars_make_no_bars() -> None:
    """An empty base gives an empty series of the wanted timeframe and the same price side."""
    derived = resample(BarSeries.empty("X", MINUTE_NS, price_side="bid"), HOUR_NS)

    assert (derived.loaded, derived.timeframe_ns, derived.price_side) == (0, HOUR_NS, "bid")


def test_weeks_begin_on_monday() -> None:
    """A week is anchored on a Monday, a day and four hours on the epoch."""
    wednesday_ns = parse_instant("2024-01-31T13:30:00Z")

    found = [bucket_open_ns(wednesday_ns, one) for one in (WEEK_NS, DAY_NS, 4 * HOUR_NS)]

    assert found == [parse_instant(text) for text in ("2024-01-29", "2024-01-31", "2024-01-31T12:00:00Z")]


@pytest.mark.parametrize(
    ("timeframe_ns", "sentence"),
    [(90_000_000_000, "1m; ask for a whole multiple of 1m"), (1, "bars of 1ns cannot be built from bars of 1m")],
)
def test_a_timeframe_that_is_no_multiple_of_the_base_is_refused(
    bars: MakeBars, timeframe_ns: int, sentence: str
) -> None:
    """Finer bars cannot be made of coarser ones; the sentence says what to ask for."""
    with pytest.raises(ConfigError, match=sentence):
        resample(bars([0, 1]), timeframe_ns)


def test_a_base_bar_that_reaches_into_the_next_bar_is_refused(bars: MakeBars) -> None:
    """Daily bars that open at 22:00 UTC cannot make calendar weeks: Sunday's would belong to two of them."""
    base = bars([22 * 60 + 24 * 60 * day for day in range(10)], timeframe_ns=DAY_NS)

    with pytest.raises(DataError, match="the 1d bar of 1970-01-04 22:00:00Z reaches beyond 1970-01-05 00:00:00Z"):
        resample(base, WEEK_NS)


def test_derived_columns_are_read_only(bars: MakeBars) -> None:
    """A strategy cannot write into what others read."""
    derived = resample(bars([0, 1, 2, 3]), 2 * MINUTE_NS)

    assert not any(getattr(derived, name).flags.writeable for name in ("open_ns", "open", "high", "close", "volume"))
