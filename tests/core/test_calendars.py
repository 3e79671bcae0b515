"""When markets are open: 24/7, the forex week across daylight saving, and exchanges with early closes and breaks."""

import datetime as dt
import itertools
import pickle
import subprocess
import sys
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core import calendars
from src.core.calendars import Calendar, calendar_named
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, format_instant, parse_instant

NEW_YORK = ZoneInfo("America/New_York")


def texts(calendar: Calendar, start: str, end: str) -> list[str]:
    """The sessions that overlap a window, as `date open close`."""
    found = calendar.sessions(parse_instant(start), parse_instant(end))
    return [
        f"{dt.date(1970, 1, 1) + dt.timedelta(days=day)} {format_instant(o)[5:16]} {format_instant(c)[5:16]}"
        for o, c, day in zip(found.open_ns.tolist(), found.close_ns.tolist(), found.day.tolist(), strict=True)
    ]


def test_one_thread_at_a_time_silences_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown is one setting of the process: whoever sets and restores it in turn would leave it wrong."""
    locked: list[bool] = []
    monkeypatch.setattr("exchange_calendars.get_calendar", lambda *_, **__: locked.append(calendars._LOADING.locked()))
    day = dt.date(2024, 1, 2)

    calendars._schedule_of("XNYS", day, day)

    assert (locked, calendars._LOADING.locked()) == ([True], False)


# -- 24/7 --------------------------------------------------------------------------------------------------------------


def test_a_market_that_never_closes_has_days_of_utc() -> None:
    """Each instant lies in a session, each session touches the next, and there is no close to wait for."""
    always = calendar_named("24/7")
    noon = parse_instant("2024-02-29T12:00Z")

    assert texts(always, "2024-02-28T23:59Z", "2024-03-01") == [
        "2024-02-28 02-28 00:00 02-29 00:00",
        "2024-02-29 02-29 00:00 03-01 00:00",
    ]
    assert always.session_at(noon) == (noon - 12 * HOUR_NS, noon + 12 * HOUR_NS)
    assert (always.next_open_ns(noon), always.next_open_ns(noon + 12 * HOUR_NS)) == (noon + 12 * HOUR_NS,) * 2
    assert (always.close_ns(noon), always.is_open(noon), always.days_per_year) == (None, True, 365.0)
    assert always.in_session(np.array([0, 1, noon])).tolist() == [True, True, True]
    assert len(always.sessions(noon, noon).day) == 0


# -- the forex week ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2017-03-10", "2017-03-14", [  # the clocks go forward on Sunday morning: 22:00 becomes 21:00 UTC
            "2017-03-10 03-09 22:00 03-10 22:00", "2017-03-13 03-12 21:00 03-13 21:00",
            "2017-03-14 03-13 21:00 03-14 21:00",
        ]),
        ("2017-11-03", "2017-11-07", [  # and back
            "2017-11-03 11-02 21:00 11-03 21:00", "2017-11-06 11-05 22:00 11-06 22:00",
            "2017-11-07 11-06 22:00 11-07 22:00",
        ]),
        ("2021-01-01", "2021-01-02", ["2021-01-01 12-31 22:00 01-01 22:00"]),
    ],
)  # fmt: skip
def test_forex_sessions_end_at_five_in_new_york(start: str, end: str, expected: list[str]) -> None:
    """Also on the days on which the clocks change, and across the turn of a year; none from Friday to Sunday."""
    assert texts(calendar_named("forex"), start, end) == expected


def test_the_forex_week_closes_on_friday_and_opens_on_sunday() -> None:
    """At the close the market is shut; a run of touching sessions ends with the last of them."""
    forex = calendar_named("forex")
    opens, closes = parse_instant("2024-01-07T22:00Z"), parse_instant("2024-01-12T22:00Z")

    assert [forex.is_open(at) for at in (opens - 1, opens, closes - 1, closes)] == [False, True, True, False]
    assert [forex.close_ns(at) for at in (opens, opens + DAY_NS, closes - 1, closes)] == [closes, closes, closes, None]
    assert forex.session_at(opens + DAY_NS) == (opens + DAY_NS, opens + 2 * DAY_NS)
    assert forex.session_at(closes) is None
    assert forex.next_open_ns(closes) == opens + 7 * DAY_NS
    assert forex.next_open_ns(opens) == opens
    assert forex.days_per_year == 260.0


# -- exchanges ---------------------------------------------------------------------------------------------------------


def test_an_exchange_keeps_regular_hours_holidays_and_early_closes() -> None:
    """New York around Thanksgiving 2023: closed on Thursday, closed at 13:00 on Friday."""
    nyse = calendar_named("XNYS")

    assert texts(nyse, "2023-11-22", "2023-11-28") == [
        "2023-11-22 11-22 14:30 11-22 21:00",
        "2023-11-24 11-24 14:30 11-24 18:00",
        "2023-11-27 11-27 14:30 11-27 21:00",
    ]
    early = parse_instant("2023-11-24T18:00Z")
    assert (nyse.is_open(early - 1), nyse.is_open(early), nyse.close_ns(early - 1)) == (True, False, early)
    assert nyse.next_open_ns(early) == parse_instant("2023-11-27T14:30Z")


def test_the_sessions_a_year_of_an_exchange_are_counted_in_years_that_stay() -> None:
    """2014 to 2023 has 2,516 sessions in New York, whatever the present date."""
    assert calendar_named("XNYS").days_per_year == 251.6


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2024-03-08", "2024-03-12", ["2024-03-08 03-08 14:30 03-08 21:00", "2024-03-11 03-11 13:30 03-11 20:00"]),
        ("2024-11-01", "2024-11-05", ["2024-11-01 11-01 13:30 11-01 20:00", "2024-11-04 11-04 14:30 11-04 21:00"]),
    ],
)
def test_an_exchange_follows_the_daylight_saving_of_its_zone(start: str, end: str, expected: list[str]) -> None:
    """Regular hours are local: in UTC they move with the clocks, in both directions."""
    assert texts(calendar_named("XNYS"), start, end) == expected


@pytest.mark.parametrize(
    ("code", "opens", "pause", "resumes", "closes"),
    [
        ("XTKS", "2024-06-03T00:00Z", "2024-06-03T02:30Z", "2024-06-03T03:30Z", "2024-06-03T06:00Z"),
        ("XHKG", "2024-06-03T01:30Z", "2024-06-03T04:00Z", "2024-06-03T05:00Z", "2024-06-03T08:00Z"),
    ],
)
def test_a_lunch_break_closes_the_market_and_not_the_session(
    code: str, opens: str, pause: str, resumes: str, closes: str
) -> None:
    """Nothing trades in the break, but the day has one session and one close."""
    calendar = calendar_named(code)
    marks = [parse_instant(text) for text in (opens, pause, resumes, closes)]

    inside = calendar.in_session(np.array([at + shift for at in marks for shift in (-1, 0)]))

    assert inside.tolist() == [False, True, True, False, False, True, True, False]
    assert inside.tolist() == [calendar.is_open(at + shift) for at in marks for shift in (-1, 0)]
    assert calendar.session_at(marks[1]) == (marks[0], marks[3])
    assert (calendar.close_ns(marks[1]), calendar.next_open_ns(marks[1])) == (marks[3], marks[0] + DAY_NS)


def test_an_alias_is_the_exchange_itself() -> None:
    """So that instruments that name one market differently share a calendar."""
    assert calendar_named("NYSE") is calendar_named("XNYS")
    assert calendar_named("NYSE").name == "XNYS"


def test_what_a_calendar_says_does_not_depend_on_what_was_asked_before() -> None:
    """Tables grow on demand: asked from far ends or in order, the sessions are the same."""
    here, there = type(calendar_named("XNYS")), calendar_named("XNYS")
    fresh = here("XNYS")  # type: ignore[call-arg]  # the class of an exchange takes its code
    window = parse_instant("2019-06-01"), parse_instant("2021-06-01")

    for year in (2023, 2018, 2021):
        assert fresh.next_open_ns(parse_instant(f"{year}-12-31T23:00Z")) is not None

    asked, whole = fresh.sessions(*window), there.sessions(*window)
    assert asked.open_ns.tolist() == whole.open_ns.tolist()
    assert asked.day.tolist() == whole.day.tolist()
    assert (np.diff(asked.open_ns) > 0).all()


def test_beyond_what_a_calendar_knows_is_an_error_and_no_open() -> None:
    """Nothing is guessed: the sentence says what is known."""
    shanghai = calendar_named("XSHG")
    before, after = parse_instant("1985-01-01"), parse_instant("2100-01-01")

    assert shanghai.next_open_ns(after) is None
    with pytest.raises(ConfigError, match=r"XSHG knows sessions from 1990-12-03 to .* asked for 2100-01-01"):
        shanghai.is_open(after)
    for ask in (shanghai.next_open_ns, shanghai.close_ns, lambda at: shanghai.in_session(np.array([at]))):
        with pytest.raises(ConfigError, match="asked for 1985-01-01"):
            ask(before)


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "hint"), [("Forex", "forex"), ("xnys", "XNYS"), ("XNYX", "XNYS"), ("24x7", "24/7")])
def test_an_unknown_name_gets_a_hint(name: str, hint: str) -> None:
    """The nearest names that exist, capital letters aside."""
    with pytest.raises(ConfigError, match=rf"found '{name}'; did you mean .*{hint}") as caught:
        calendar_named(name)

    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_name_like_nothing_gets_no_hint() -> None:
    """Only what was expected is said."""
    with pytest.raises(ConfigError, match=r"such as XNYS, found '\?\?\?\?\?'$"):
        calendar_named("?????")


def test_a_market_without_an_exchange_does_not_load_the_exchanges() -> None:
    """They cost the better part of a second at the start of a program."""
    code = (
        "import sys; from src.core.calendars import calendar_named; "
        "calendar_named('forex').is_open(0); calendar_named('24/7').is_open(0); "
        "sys.exit('exchange_calendars' in sys.modules or 'pandas' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- against a naive definition ----------------------------------------------------------------------------------------


def forex_is_open(at_ns: int) -> bool:
    """The definition: Sunday 17:00 to Friday 17:00 by the clocks of New York."""
    local = dt.datetime.fromtimestamp(at_ns // 1_000_000_000, tz=NEW_YORK)
    late = local.hour >= 17
    return late if local.weekday() == 6 else not late if local.weekday() == 4 else local.weekday() < 4


INSTANTS = st.one_of(
    st.integers(parse_instant("1999-12-25") // MINUTE_NS, parse_instant("2031-01-05") // MINUTE_NS),
    st.sampled_from([parse_instant(f"{day}T{hour}:00Z") // MINUTE_NS for day, hour in itertools.product(
        ("2017-03-10", "2017-03-12", "2017-11-03", "2017-11-05", "2020-12-31", "2021-01-01"), (20, 21, 22, 23)
    )]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(minutes=st.lists(INSTANTS, min_size=1, max_size=20), shift_ns=st.sampled_from([-1, 0, 1]))
def test_the_forex_week_equals_its_definition(minutes: list[int], shift_ns: int) -> None:
    """For random instants and for the hours around changes of the clocks, one by one and as an array."""
    forex = calendar_named("forex")
    instants = [minute * MINUTE_NS + shift_ns for minute in minutes]

    naive = [forex_is_open(at) for at in instants]

    assert [forex.is_open(at) for at in instants] == naive
    assert forex.in_session(np.array(instants)).tolist() == naive


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["24/7", "forex", "XNYS", "XTKS"]),
    start=st.integers(parse_instant("2016-01-01") // HOUR_NS, parse_instant("2019-12-01") // HOUR_NS),
    hours=st.integers(0, 24 * 20),
)
def test_all_answers_of_a_calendar_follow_from_its_sessions(name: str, start: int, hours: int) -> None:
    """A window has the sessions of a longer one that overlap it, and each hour's answers are those of its session."""
    calendar = calendar_named(name)
    start_ns, end_ns = start * HOUR_NS, (start + hours) * HOUR_NS
    wide = calendar.sessions(start_ns - 40 * DAY_NS, end_ns + 40 * DAY_NS)
    table = list(zip(wide.open_ns.tolist(), wide.close_ns.tolist(), strict=True))

    found = calendar.sessions(start_ns, end_ns)

    overlap = [(o, c) for o, c in table if o < end_ns and c > start_ns] if hours else []
    assert list(zip(found.open_ns.tolist(), found.close_ns.tolist(), strict=True)) == overlap
    for at in range(start_ns, end_ns, 7 * HOUR_NS):
        held = next(((o, c) for o, c in table if o <= at < c), None)
        assert calendar.session_at(at) == held
        assert calendar.next_open_ns(at) == next(o for o, _ in table if o >= at)
        assert held is not None or not calendar.is_open(at)
        if name != "24/7":
            assert calendar.close_ns(at) == _run_end(table, held)


def _run_end(table: list[tuple[int, int]], held: tuple[int, int] | None) -> int | None:
    if held is None:
        return None
    close = held[1]
    while any(o == close for o, _ in table):
        close = next(c for o, c in table if o == close)
    return close
