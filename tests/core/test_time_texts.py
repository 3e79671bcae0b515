"""Durations, timeframes and instants as text, and the account's day."""

import datetime as dt

import pytest

from src.core.day import AccountDay
from src.core.errors import ConfigError
from src.core.timeframe import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    SECOND_NS,
    format_duration,
    format_instant,
    parse_duration,
    parse_instant,
    parse_timeframe,
)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("250ms", 250_000_000), ("1.5s", 1_500_000_000), ("15m", 15 * MINUTE_NS), ("4h", 4 * HOUR_NS), ("1d", DAY_NS),
        ("1w", 7 * DAY_NS), ("0s", 0), (0, 0), ("0", 0), (" 2 h ", 2 * HOUR_NS), ("3us", 3_000), ("7ns", 7),
    ],
)  # fmt: skip
def test_durations_are_read_as_nanoseconds(text: str | int, ns: int) -> None:
    """A number and a unit; a bare 0 is allowed."""
    assert parse_duration(text) == ns


@pytest.mark.parametrize("text", ["", "15", 15, "m", "-1m", "1M", "1min", "1m30s", "1e3s", "nan", None])
def test_anything_else_is_no_duration(text: object) -> None:
    """The message shows what one looks like."""
    with pytest.raises(ConfigError, match="expected a duration such as 30s"):
        parse_duration(text)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "ns", [0, 1, 999, 1_500, SECOND_NS, 90 * SECOND_NS, 15 * MINUTE_NS, HOUR_NS, DAY_NS, 14 * DAY_NS, 8 * DAY_NS]
)
def test_a_formatted_duration_is_read_back(ns: int) -> None:
    """The text is the shortest that means the same."""
    assert parse_duration(format_duration(ns)) == ns
    assert format_duration(15 * MINUTE_NS) == "15m"


@pytest.mark.parametrize("text", ["1m", "7m", "45m", "90m", "1.5h", "4h", "36h", "1d", "1w", "90s"])
def test_a_timeframe_is_a_whole_number_of_minutes(text: str) -> None:
    """Anything that is not one is refused with what was found."""
    if text == "90s":
        with pytest.raises(ConfigError, match="whole minutes such as .*, found '90s'"):
            parse_timeframe(text)
    else:
        assert parse_timeframe(text) % MINUTE_NS == 0


@pytest.mark.parametrize("text", ["0m", "30s", "1.5m", "0.5m"])
def test_parts_of_minutes_and_nothing_are_no_timeframes(text: str) -> None:
    """The finest bars have one minute."""
    with pytest.raises(ConfigError, match="expected a timeframe"):
        parse_timeframe(text)


@pytest.mark.parametrize(
    "value",
    [
        "2024-01-31", "2024-01-31T00:00:00", "2024-01-31T00:00:00Z", "2024-01-31T01:00:00+01:00", dt.date(2024, 1, 31),
        dt.datetime(2024, 1, 31), dt.datetime(2024, 1, 31, tzinfo=dt.UTC), 1_706_659_200_000_000_000,
    ],
)  # fmt: skip
def test_an_instant_without_a_zone_is_utc(value: str | int | dt.date) -> None:
    """A bare date is its midnight."""
    assert parse_instant(value) == 1_706_659_200_000_000_000


@pytest.mark.parametrize("value", ["yesterday", "31.01.2024", "", True])
def test_anything_else_is_no_instant(value: str | bool) -> None:
    """The message shows what one looks like."""
    with pytest.raises(ConfigError, match="expected a date such as 2024-01-31"):
        parse_instant(value)


@pytest.mark.parametrize("ns", [0, 1_706_659_200_000_000_000, 1_706_659_200_500_000_000, 1_706_659_200_000_001_000])
def test_a_formatted_instant_is_read_back(ns: int) -> None:
    """Down to the microsecond, which is what ISO text of the standard library holds."""
    assert parse_instant(format_instant(ns)) == ns


def utc(text: str) -> int:
    """Nanoseconds of an ISO instant."""
    return parse_instant(text)


@pytest.mark.parametrize(
    ("zone", "at", "instant", "start", "following"),
    [
        ("UTC", "00:00", "2024-03-10T12:00", "2024-03-10", "2024-03-11"),
        ("UTC", "22:00", "2024-03-10T12:00", "2024-03-09T22:00", "2024-03-10T22:00"),
        # New York: the clocks go forward on 10 March 2024 and back on 3 November; 17:00 is 22:00 UTC in winter.
        ("America/New_York", "17:00", "2024-03-09T22:00", "2024-03-09T22:00", "2024-03-10T21:00"),
        ("America/New_York", "17:00", "2024-03-10T20:59:59", "2024-03-09T22:00", "2024-03-10T21:00"),
        ("America/New_York", "17:00", "2024-11-03T12:00", "2024-11-02T21:00", "2024-11-03T22:00"),
        # 02:30 does not exist on 10 March: the day starts where the clock shows 03:30; 01:30 exists twice in November.
        ("America/New_York", "02:30", "2024-03-10T07:00", "2024-03-09T07:30", "2024-03-10T07:30"),
        ("America/New_York", "01:30", "2024-11-03T06:30", "2024-11-03T05:30", "2024-11-04T06:30"),
        # Lord Howe shifts by half an hour.
        ("Australia/Lord_Howe", "00:00", "2024-04-06T20:00", "2024-04-06T13:00", "2024-04-07T13:30"),
    ],
)
def test_a_day_starts_at_its_local_time_daylight_saving_included(
    zone: str, at: str, instant: str, start: str, following: str
) -> None:
    """The start at or before an instant, and the first one after it."""
    day = AccountDay(zone, at)

    assert format_instant(day.start_ns(utc(instant))) == format_instant(utc(start))
    assert format_instant(day.next_start_ns(utc(instant))) == format_instant(utc(following))


@pytest.mark.parametrize(
    ("zone", "at"), [("America/New_York", "02:30"), ("America/New_York", "00:00"), ("UTC", "12:34")]
)
def test_every_instant_of_a_year_lies_in_exactly_one_day(zone: str, at: str) -> None:
    """Starts grow, follow on each other, and lie between 23 and 25 hours apart."""
    day = AccountDay(zone, at)
    now = day.start_ns(utc("2024-01-01"))
    for _ in range(366):
        following = day.next_start_ns(now)
        assert 23 * HOUR_NS <= following - now <= 25 * HOUR_NS
        for inside in (now, now + 1, following - 1):
            assert (day.start_ns(inside), day.next_start_ns(inside)) == (now, following)
        now = following


def test_an_unknown_zone_is_refused() -> None:
    """The message names the key."""
    for wrong in ("Mars/Olympus", "../etc"):
        with pytest.raises(ConfigError, match="risk.day.zone: expected a zone such as"):
            AccountDay(wrong, "00:00")


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-01-31T00:00:00.123456789Z", 123_456_789), ("2024-01-31T00:00:00.0000001Z", 100),
        ("2024-01-31 00:00:00.123456Z", 123_456_000), ("2024-01-31T01:00:00.000000001+01:00", 1),
        ("2024-01-31T00:00:00.5", 500_000_000),
    ],
)  # fmt: skip
def test_an_instant_is_read_to_the_nanosecond(text: str, ns: int) -> None:
    """A tape of trades has them, and a window must not begin before the first that it names."""
    assert parse_instant(text) == 1_706_659_200_000_000_000 + ns
