"""Stamps become the instants that were meant, or are refused."""

import datetime as dt
import zoneinfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core.errors import ConfigError, DataError
from src.core.timeframe import HOUR_NS, MINUTE_NS, parse_instant
from src.data.stamps import Place, Stamps, find_zone, parse_stamps, to_utc


def place(count: int = 1) -> Place:
    """Rows of a file that begin in line 2."""
    return Place(path="a.csv", word="line", numbers=np.arange(2, 2 + count))


def parse(*texts: str) -> Stamps:
    """The stamps of these texts."""
    return parse_stamps(texts, place(len(texts)))


@pytest.mark.parametrize(
    "text",
    ["2017-01-02 00:05", "2017-01-02T00:05:00", "2017.01.02 00:05:00", "2017/01/02 00:05", "20170102 000500",
     "20170102000500"],
)  # fmt: skip
def test_local_times_are_read_and_known_to_be_local(text: str) -> None:
    """The common spellings of a wall-clock time give the same value, without an instant."""
    found = parse(text)

    assert (found.ns.tolist(), found.is_utc) == ([parse_instant("2017-01-02T00:05:00")], False)


def test_eight_digits_are_a_day_and_not_a_number() -> None:
    """20170102 is a date; as a count of seconds it would lie in 1970."""
    assert parse("20170102", "20170103").ns.tolist() == [parse_instant("2017-01-02"), parse_instant("2017-01-03")]


@pytest.mark.parametrize("digits", [0, 3, 6, 9])
def test_the_size_of_a_number_tells_its_unit(digits: int) -> None:
    """Seconds, milliseconds, microseconds and nanoseconds of one instant are one instant."""
    found = parse(f"1704153600{'0' * digits}", f"1704153660{'0' * digits}")

    assert found.ns.tolist() == [parse_instant("2024-01-02"), parse_instant("2024-01-02") + MINUTE_NS]
    assert (found.is_utc, found.is_epoch) == (True, True)


def test_fractions_of_seconds_are_kept() -> None:
    """A number of seconds with a fraction keeps its milliseconds exactly, before 1970 as well."""
    assert parse("1704153600.125", "-1.5").ns.tolist() == [parse_instant("2024-01-02") + 125_000_000, -1_500_000_000]


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        ("America/New_York", "2017-03-10 08:30", "2017-03-10T13:30Z"),
        ("America/New_York", "2017-03-13 08:30", "2017-03-13T12:30Z"),
        ("Europe/Helsinki", "2017-03-20 00:00", "2017-03-19T22:00Z"),
        ("-05:00", "2017-07-01 08:30", "2017-07-01T13:30Z"),
        ("UTC", "2017-07-01 08:30", "2017-07-01T08:30Z"),
    ],
)
def test_local_times_become_instants_with_daylight_saving(zone: str, local: str, instant: str) -> None:
    """A named zone changes its offset in spring, a fixed one does not."""
    assert to_utc(parse(local).ns, zone, place()).tolist() == [parse_instant(instant)]


def test_half_an_hour_of_daylight_saving_is_seen() -> None:
    """Lord Howe moves its clocks by 30 minutes: the half hour that does not exist is inside an hour that does."""
    zone = "Australia/Lord_Howe"

    kept = to_utc(parse("2024-10-06 01:59", "2024-10-06 02:30").ns, zone, place(2))

    assert np.diff(kept).tolist() == [MINUTE_NS]
    with pytest.raises(DataError, match="02:15:00 does not exist in Australia/Lord_Howe"):
        to_utc(parse("2024-10-06 02:15").ns, zone, place())


@pytest.mark.parametrize(
    ("text", "fate"), [("2017-11-05 01:30", "exists twice"), ("2017-03-12 02:30", "does not exist")]
)
def test_local_times_that_nobody_can_place_are_refused(text: str, fate: str) -> None:
    """The hour that clocks repeat and the hour that they skip are named with their line."""
    stamps = parse("2017-01-02 00:00", text)

    with pytest.raises(DataError, match=f"a.csv, line 3: the local time {text}:00 {fate} in America/New_York"):
        to_utc(stamps.ns, "America/New_York", place(2))


def test_an_unknown_zone_is_refused() -> None:
    """Names that do not exist, paths and nonsense."""
    for name in ("EST5PDT7", "../etc", "", "+25:00"):
        with pytest.raises(ConfigError, match="zone: expected a name such as"):
            find_zone(name)


@given(
    st.lists(st.datetimes(dt.datetime(1975, 1, 1), dt.datetime(2035, 1, 1)), min_size=1, max_size=20),
    st.sampled_from(["America/New_York", "Europe/Helsinki", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_instants_equal_those_of_the_standard_library(moments: list[dt.datetime], name: str) -> None:
    """Any instant, written as local time, comes back, unless its local time is one of two or none."""
    zone = zoneinfo.ZoneInfo(name)
    local = [moment.replace(tzinfo=dt.UTC, microsecond=0).astimezone(zone) for moment in moments]
    local = [one for one in local if one.replace(fold=0).utcoffset() == one.replace(fold=1).utcoffset()]

    texts = [one.replace(tzinfo=None, fold=0).isoformat(" ") for one in local]
    found = to_utc(parse(*texts).ns, name, place(len(texts)))

    assert found.tolist() == [parse_instant(one) for one in local]
    assert all(abs(at_ns) < 3000 * 365 * 24 * HOUR_NS for at_ns in found.tolist())
