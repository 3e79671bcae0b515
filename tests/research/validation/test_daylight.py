"""Winter and summer of sessions that are fixed to a clock, to the second of the change."""

from typing import Any

import numpy as np
import pytest

from src.core.timeframe import DAY_NS, parse_instant
from src.research.validation.daylight import daylight_split, in_summer
from src.research.validation.ports import CandidateTrades
from src.research.validation.section import DaylightSection

WINTER, SUMMER = parse_instant("2024-01-10T15:00:00Z"), parse_instant("2024-07-10T15:00:00Z")


def summer(zone: str, *instants: str) -> list[bool]:
    """Of each instant whether it lies in the summer of the zone."""
    found = in_summer(np.array([parse_instant(each) for each in instants], dtype=np.int64), zone)
    return [bool(each) for each in found]


def split(
    winter: list[float], in_july: list[float], zone: str = "America/New_York", minimum: int = 2
) -> dict[str, Any]:
    """The split of one session with these R in winter and in summer."""
    entry = np.array(
        [WINTER + k for k in range(len(winter))] + [SUMMER + k for k in range(len(in_july))], dtype=np.int64
    )
    trades = CandidateTrades(
        entry_ns=entry, exit_ns=entry + 1, r_net=np.array(winter + in_july, dtype=np.float64),
        session=np.array(["open"] * len(entry), dtype=object),
    )  # fmt: skip
    (found,) = daylight_split(trades, DaylightSection(zones={"open": zone}, minimum_trades=minimum))
    return found


@pytest.mark.parametrize(
    ("zone", "begins", "ends"),
    [
        ("America/New_York", "2024-03-10T07:00:00Z", "2024-11-03T06:00:00Z"),
        ("Europe/London", "2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z"),
        ("Europe/Dublin", "2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z"),
        ("Europe/Berlin", "2024-03-31T01:00:00Z", "2024-10-27T01:00:00Z"),
    ],
)
def test_summer_begins_and_ends_with_the_second_of_the_change(zone: str, begins: str, ends: str) -> None:
    """The instant of a change belongs to what it begins."""
    instants = np.array([parse_instant(begins) + k for k in (-1, 0)] + [parse_instant(ends) + k for k in (-1, 0)])

    assert in_summer(instants, zone).tolist() == [False, True, True, False]


def test_the_hour_that_a_clock_shows_twice_is_summer_and_then_winter() -> None:
    """Half past one in New York and in London, both passes."""
    assert summer("America/New_York", "2024-11-03T05:30:00Z", "2024-11-03T06:30:00Z") == [True, False]
    assert summer("Europe/London", "2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z") == [True, False]


def test_two_zones_change_on_different_days() -> None:
    """Between 10 and 31 March it is summer in New York and winter in London."""
    assert summer("America/New_York", "2024-03-20") == [True]
    assert summer("Europe/London", "2024-03-20") == [False]


def test_the_south_has_its_summer_over_the_new_year() -> None:
    """Sydney changes in April and October."""
    assert summer("Australia/Sydney", "2023-12-31", "2024-01-01", "2024-07-01") == [True, True, False]


def test_instants_need_no_order_and_may_lie_in_many_years() -> None:
    """Each is looked up by itself."""
    instants = ["2024-07-01", "2019-01-01", "2021-07-01", "2024-12-31"]

    assert summer("Europe/London", *instants) == [True, False, True, False]
    assert summer("Europe/London") == []


@pytest.mark.parametrize(
    ("winter", "in_july", "verdict"),
    [
        ([1.0, 1.0], [1.0, 1.0], "STABLE"),
        ([2.0, 2.0], [1.0, 1.0], "STABLE"),
        ([2.0, 2.1], [1.0, 1.0], "WINTER-DOM"),
        ([1.0, 1.0], [2.0, 2.1], "SUMMER-DOM"),
        ([1.0, 1.0], [1.0, -1.0], "WINTER-ONLY"),
        ([0.1, 0.2, -0.3], [1.0, 1.0], "SUMMER-ONLY"),
        ([-1.0, 1.0], [-1.0, 0.5], "NEGATIVE"),
        ([1.0], [1.0, 1.0], "LOW-N"),
        ([1.0, 1.0], [1.0], "LOW-N"),
        ([], [], "LOW-N"),
    ],
)
def test_a_session_gets_the_verdict_that_its_halves_earn(
    winter: list[float], in_july: list[float], verdict: str
) -> None:
    """Twice the mean of the other half is not yet more than twice."""
    assert split(winter, in_july)["verdict"] == verdict


def test_the_split_has_both_halves() -> None:
    """In a fixed order."""
    assert list(split([1.0, 2.0], [0.5, 1.5, 1.0]).items()) == [
        ("session", "open"), ("zone", "America/New_York"), ("winter_trades", 2), ("winter_r", 1.5),
        ("summer_trades", 3), ("summer_r", 1.0), ("verdict", "STABLE"),
    ]  # fmt: skip


def test_exactly_the_minimum_in_each_half_is_enough() -> None:
    """Fifteen by default."""
    assert split([1.0] * 15, [1.0] * 15, minimum=15)["verdict"] == "STABLE"
    assert split([1.0] * 14, [1.0] * 15, minimum=15)["verdict"] == "LOW-N"


def test_a_zone_that_never_changes_its_clock_has_no_split() -> None:
    """All is winter; but too few trades are too few."""
    found = split([1.0], [1.0], zone="Asia/Tokyo")

    assert (found["verdict"], found["winter_trades"], found["summer_trades"], found["summer_r"]) == (
        "NO-DST",
        2,
        0,
        None,
    )
    assert split([1.0], [], zone="Asia/Tokyo")["verdict"] == "LOW-N"
    assert split([1.0, 1.0], [], zone="America/New_York")["verdict"] == "LOW-N"


def test_each_session_is_looked_at_in_its_own_zone() -> None:
    """In order of name; a session without a zone is left out, and one without trades is shown."""
    march = parse_instant("2024-03-20")
    entry = march + DAY_NS * np.arange(3)
    trades = CandidateTrades(
        entry_ns=entry, exit_ns=entry, r_net=np.array([1.0, 2.0, 4.0]), session=np.array(["ny", "ldn", "other"])
    )
    zones = {"ny": "America/New_York", "ldn": "Europe/London", "absent": "Asia/Tokyo"}

    found = daylight_split(trades, DaylightSection(zones=zones))

    assert [(each["session"], each["winter_r"], each["summer_r"]) for each in found] == [
        ("absent", None, None), ("ldn", 2.0, None), ("ny", None, 1.0),
    ]  # fmt: skip


def test_trades_without_sessions_are_too_few_everywhere() -> None:
    """Nobody knows where they belong."""
    entry = np.array([WINTER])
    trades = CandidateTrades(entry_ns=entry, exit_ns=entry, r_net=np.ones(1))

    (found,) = daylight_split(trades, DaylightSection(zones={"ny": "America/New_York"}, minimum_trades=1))

    assert (found["verdict"], found["winter_trades"]) == ("LOW-N", 0)
    assert daylight_split(trades, DaylightSection()) == ()
