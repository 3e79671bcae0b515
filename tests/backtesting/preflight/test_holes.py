"""Holes are counted in open hours as a naive look at every bar of the grid counts them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.backtesting.preflight.holes import find_holes
from src.core.calendars import calendar_named
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant

# Over the change of clocks in New York on 2024-03-10, which moves the hours of the forex week.
FRIDAY = parse_instant("2024-03-08 12:00")


def naive(opens: list[int], timeframe_ns: int, name: str) -> list[tuple[int, int, int]]:
    """Start, end and number of absent bars of each hole, one bar of the grid after the other."""
    calendar, out = calendar_named(name), []
    for before, after in zip(opens, opens[1:], strict=False):
        absent = [at for at in range(before + timeframe_ns, after, timeframe_ns) if calendar.is_open(at)]
        if absent:
            out.append((absent[0], after, len(absent)))
    return out


def found(opens: list[int], timeframe_ns: int, name: str) -> list[tuple[int, int, int]]:
    """The same from `find_holes`."""
    holes = find_holes(np.array(opens, np.int64), timeframe_ns, calendar_named(name))
    return list(zip(holes.start_ns.tolist(), holes.end_ns.tolist(), holes.bars.tolist(), strict=True))


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["24/7", "forex"]),
    st.sampled_from([15 * MINUTE_NS, HOUR_NS, 4 * HOUR_NS]),
    st.sets(st.integers(min_value=0, max_value=300), min_size=2, max_size=60),
)
def test_holes_are_those_of_a_naive_look_at_every_bar(name: str, timeframe_ns: int, places: set[int]) -> None:
    """For any bars on a grid, also over a weekend with a change of clocks."""
    opens = [FRIDAY + place * timeframe_ns for place in sorted(places)]

    assert found(opens, timeframe_ns, name) == naive(opens, timeframe_ns, name)


def test_a_missing_day_is_one_however_days_are_stamped() -> None:
    """Midnights of UTC, or the open of the session the evening before: a weekend is no hole, a Wednesday is."""
    monday = parse_instant("2024-01-08")
    for shift in (0, -2 * HOUR_NS):
        days = [monday + day * DAY_NS + shift for day in (-3, 0, 1, 3, 4)]  # Friday, Monday, Tuesday, Thursday, Friday

        assert [bars for _, _, bars in found(days, DAY_NS, "forex")] == [1]


@pytest.mark.slow  # importing the calendars of exchanges takes a second or two
def test_nights_lunch_breaks_and_holidays_of_an_exchange_are_no_holes() -> None:
    """Tokyo pauses from 11:30 to 12:30; what is absent on both sides of the pause is one hole without it."""
    start, end = parse_instant("2024-01-03"), parse_instant("2024-01-12")
    calendar = calendar_named("XTKS")
    grid = np.arange(start, end, 5 * MINUTE_NS)
    opens = grid[calendar.in_session(grid)]
    break_ns = parse_instant("2024-01-10 02:30")
    kept = opens[(opens < break_ns - 10 * MINUTE_NS) | (opens >= break_ns + 75 * MINUTE_NS)]

    assert found(opens.tolist(), 5 * MINUTE_NS, "XTKS") == []
    assert found(kept.tolist(), 5 * MINUTE_NS, "XTKS") == [
        (break_ns - 10 * MINUTE_NS, break_ns + 75 * MINUTE_NS, 2 + 3)
    ]
