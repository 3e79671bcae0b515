"""Several timeframes in one strategy: bars of days, weeks and cut bars come at their close, never from the future."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.bars import Bar, BarSeries
from src.core.errors import ConfigError
from src.core.features import Feature, on_timeframe, sma
from src.core.strategy import BarStrategy
from src.core.timeframe import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    format_duration,
    format_instant,
    parse_instant,
    parse_timeframe,
)
from src.data.resample import resample
from src.testing import bar_series, run_world
from tests.generators import TableCalendar, series_of_sessions, session_calendars

#: New York's sessions on the days around it.
THANKSGIVING = TableCalendar(
    tuple(
        (parse_instant(f"{date}T14:30:00"), parse_instant(f"{date}T{close}:00:00"), parse_instant(date) // DAY_NS)
        for date, close in (("2021-11-23", 21), ("2021-11-24", 21), ("2021-11-26", 18), ("2021-11-29", 21))
    )
)
FURTHER = ("35m", "90m", "1d", "1w")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[TableCalendar, BarSeries]:
    """A calendar and up to 80 bars of five minutes around its sessions."""
    calendar = draw(session_calendars())
    return calendar, draw(series_of_sessions(calendar, 5 * MINUTE_NS, most=80))


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(world=worlds(), nap=st.integers(0, 6))
def test_a_strategy_of_many_timeframes_sees_all_that_has_closed_and_nothing_else(
    world: tuple[TableCalendar, BarSeries], nap: int
) -> None:
    """Bars, columns and features of all timeframes end at the bar that is shown, also after a wait that missed some."""
    calendar, base = world
    whole = {text: resample(base, parse_timeframe(text), None, calendar) for text in FURTHER}
    closes = {"5m": base, **whole}
    shown: list[tuple[int, int]] = []

    class Looks(BarStrategy):
        timeframe, timeframes = "5m", FURTHER
        day: Any
        own: Any

        def features(self) -> dict[str, Feature]:
            return {"day": on_timeframe("1d", sma(2)), "own": sma(3)}

        def on_bar(self, bar: Bar) -> None:
            here = (bar.close_ns, -bar.timeframe_ns)
            shown.append(here)
            assert bar.close_ns <= self.now_ns
            for text, series in closes.items():
                view, ns = self.bars_of(text), parse_timeframe(text)
                known = [i for i in range(series.loaded) if (series.close_of(i), -ns) <= here]
                assert view.close.tolist() == series.close[: len(known)].tolist()
                assert view.open_ns.tolist() == series.open_ns[: len(known)].tolist()
                assert all(each.close_ns <= bar.close_ns for each in view)
            days = whole["1d"].close[: len(self.day)].tolist()
            assert len(self.day) == len(self.bars_of("1d"))
            if len(days) > 1:
                assert self.day[-1] == sum(days[-2:]) / 2
            assert len(self.own) == len(self.bars)
            if nap and len(shown) % 5 == nap % 5:
                self.clock.sleep(nap * 3 * HOUR_NS)

    result = run_world([base], [Looks], runtime="fibers", timeframes=FURTHER, calendar=calendar)

    every = sorted(
        (series.close_of(i), -series.timeframe_ns)
        for series in closes.values()
        for i in range(series.loaded)
        if series.close_of(i) <= result.end_ns
    )
    assert (result.outcome.value, result.error) == ("COMPLETED", None)
    assert shown == sorted(shown)
    assert shown == every[: len(shown)]
    assert nap or shown == every


def half_hours(count: int, start: str) -> BarSeries:
    """Half hours without a hole; each close counts them."""
    return bar_series("AAA", [100.0 + i for i in range(48 * count)], "30m", start)


@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_a_day_of_an_exchange_is_shown_at_its_close(runtime: str) -> None:
    """At nine in the evening, at six on a short Friday, not at midnight; the bar that ends with it comes after."""
    shown: list[tuple[str, str, float]] = []

    class Writes(BarStrategy):
        timeframe, timeframes = "30m", ("1d",)

        def on_bar(self, bar: Bar) -> None:
            if bar.timeframe_ns == DAY_NS:
                shown.append((format_instant(self.now_ns)[5:16], format_duration(bar.close_ns - bar.open_ns), bar.open))
                assert len(self.bars) == 2 * (self.now_ns - parse_instant("2021-11-24")) // HOUR_NS - 1

    base = half_hours(3, "2021-11-24")
    run_world([base], [Writes], runtime=runtime, timeframes=["1d"], calendar=THANKSGIVING)

    assert shown == [("11-24 21:00", "390m", 128.0), ("11-26 18:00", "210m", 224.0)]


def test_a_cut_bar_closes_where_no_base_bar_does() -> None:
    """The last minutes of the day are absent; the bar that is cut at midnight is complete then all the same."""
    shown: list[str] = []
    rows = [100.0 if i < 1437 or i > 1439 else None for i in range(1450)]

    class Writes(BarStrategy):
        timeframe, timeframes = "7m", ()

        def on_bar(self, bar: Bar) -> None:
            shown.append(f"{format_instant(bar.close_ns)[11:16]} at {format_instant(self.now_ns)[11:16]}")

    run_world([bar_series("AAA", rows)], [Writes], runtime="fibers", timeframes=["7m"])

    assert shown[-3:] == ["23:55 at 23:55", "00:00 at 00:00", "00:07 at 00:07"]


def test_a_feature_of_a_timeframe_that_is_not_subscribed_is_refused() -> None:
    """The sentence names the feature and says where to add the timeframe."""

    class Forgets(BarStrategy):
        def features(self) -> dict[str, Feature]:
            return {"trend": on_timeframe("4h", sma(2))}

    with pytest.raises(ConfigError, match="features: trend has no bars of 4h; add it to the class's `timeframes`"):
        run_world([bar_series("AAA", [1.0, 2.0])], [Forgets], runtime="fibers")


def test_a_feature_of_another_timeframe_is_that_feature_on_its_bars() -> None:
    """Its value stays the same from one close of an hour to the next."""
    seen: list[float] = []

    class Reads(BarStrategy):
        timeframe, timeframes = "30m", ("1h",)
        mean: Any

        def features(self) -> dict[str, Feature]:
            return {"mean": on_timeframe("1h", sma(2))}

        def on_bar(self, bar: Bar) -> None:
            if bar.timeframe_ns != HOUR_NS and len(self.mean):
                seen.append(self.mean[-1])

    run_world([half_hours(1, "2021-11-24")], [Reads], runtime="fibers", timeframes=["1h"])

    # Bars of 30 minutes count from 100; those of hours close at 101, 103, ... and the first mean is of two of them.
    assert np.isnan(seen[:2]).all()
    assert seen[2:7] == [102.0, 102.0, 104.0, 104.0, 106.0]
