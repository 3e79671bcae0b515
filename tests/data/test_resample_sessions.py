"""Bars of days, weeks and odd lengths follow the sessions of a calendar, daylight saving and early closes included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.bars import BarSeries
from src.core.calendars import calendar_named
from src.core.errors import DataError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, format_instant, parse_instant, parse_timeframe
from src.data.resample import bucket_open_ns, count_buckets, resample
from tests.data.naive_bars import naive, rows, span
from tests.generators import TableCalendar, series_of_sessions, session_calendars

WEEK_NS = 7 * DAY_NS
TIMEFRAMES = tuple(parse_timeframe(text) for text in ("15m", "35m", "45m", "90m", "4h", "7h", "1d", "2d", "1w", "2w"))


def flat(first: str, last: str, step_ns: int = MINUTE_NS) -> BarSeries:
    """Bars of volume 1 without a hole; the close of each counts them."""
    opens_ns = np.arange(parse_instant(first), parse_instant(last), step_ns, dtype=np.int64)
    price, count = np.full(len(opens_ns), 100.0), np.arange(1.0, len(opens_ns) + 1)
    return BarSeries("AAA", step_ns, opens_ns, price, count + 200, price, count, np.ones(len(opens_ns)))


def spans(series: BarSeries) -> list[str]:
    """From when to when each bar is, without the seconds."""
    return [
        f"{format_instant(int(series.open_ns[i]))[5:16]} {format_instant(series.close_of(i))[5:16]}"
        for i in range(series.loaded)
    ]


@st.composite
def cases(draw: st.DrawFn) -> tuple[TableCalendar, BarSeries, int]:
    """A calendar, base bars around its changes, and a timeframe that can be built from them."""
    calendar = draw(session_calendars())
    base = draw(series_of_sessions(calendar, draw(st.sampled_from((MINUTE_NS, 5 * MINUTE_NS, 15 * MINUTE_NS)))))
    return calendar, base, draw(st.sampled_from([one for one in TIMEFRAMES if one % base.timeframe_ns == 0]))


@settings(max_examples=60)
@given(case=cases(), later_ns=st.integers(-3 * DAY_NS, 3 * DAY_NS))
def test_bars_of_sessions_equal_the_naive_definition(case: tuple[TableCalendar, BarSeries, int], later_ns: int) -> None:
    """First open, highest high, lowest low, last close, volumes in time order, open and close; bit for bit."""
    calendar, base, timeframe_ns = case
    if timeframe_ns == base.timeframe_ns:
        return
    until_ns = int(base.open_ns[-1]) + base.timeframe_ns + later_ns

    derived = resample(base, timeframe_ns, until_ns, calendar)

    assert rows(derived) == naive(base, timeframe_ns, until_ns, calendar)


@settings(max_examples=40)
@given(case=cases(), share=st.floats(0, 1))
def test_what_is_not_known_yet_changes_no_derived_bar(case: tuple[TableCalendar, BarSeries, int], share: float) -> None:
    """Derived as of an instant, from the base bars closed by then, are the bars that all of them give up to it."""
    calendar, base, timeframe_ns = case
    count = max(1, round(share * base.loaded))
    now_ns = int(base.open_ns[count - 1]) + base.timeframe_ns
    columns = [getattr(base, name)[:count] for name in ("open_ns", "open", "high", "low", "close", "volume")]
    known = BarSeries("AAA", base.timeframe_ns, *columns)

    whole = resample(base, timeframe_ns, None, calendar)
    as_of = resample(known, timeframe_ns, now_ns, calendar)

    assert rows(as_of) == rows(whole)[: whole.count_closed(now_ns)]
    assert all(close_ns <= now_ns for _, close_ns, *_ in rows(as_of))


@settings(max_examples=40)
@given(case=cases())
def test_where_a_bar_begins_and_how_many_there_are(case: tuple[TableCalendar, BarSeries, int]) -> None:
    """Reading from there gives whole bars; a bar that spans nights and weekends is found from inside them too."""
    calendar, base, timeframe_ns = case
    held = [span(calendar, at_ns, timeframe_ns) for at_ns in base.open_ns.tolist()]

    found = [bucket_open_ns(at_ns, timeframe_ns, calendar) for at_ns in base.open_ns.tolist()]

    assert [at for at, one in zip(found, held, strict=True) if one] == [one[0] for one in held if one]
    around = {one for one in held if one}
    for at_ns, begin_ns in zip(base.open_ns.tolist(), found, strict=True):
        assert begin_ns == next((one[0] for one in around if one[0] <= at_ns < one[1]), begin_ns)
    expected = len(around) if timeframe_ns != base.timeframe_ns else base.loaded
    assert count_buckets(base, base.loaded, timeframe_ns, calendar) == expected


@pytest.mark.slow  # reads the sessions of an exchange
def test_a_day_of_an_exchange_is_its_session() -> None:
    """Regular hours in New York before and after the change of clocks, an early close and two holidays of 2021."""
    base = flat("2021-11-04", "2021-11-30", 30 * MINUTE_NS)

    days = resample(base, DAY_NS, None, calendar_named("XNYS"))

    assert spans(days)[:4] == [
        "11-04 13:30 11-04 20:00", "11-05 13:30 11-05 20:00", "11-08 14:30 11-08 21:00", "11-09 14:30 11-09 21:00",
    ]  # fmt: skip
    assert spans(days)[-3:] == ["11-24 14:30 11-24 21:00", "11-26 14:30 11-26 18:00", "11-29 14:30 11-29 21:00"]
    assert days.volume.tolist()[-3:] == [13, 7, 13]


@pytest.mark.slow  # reads the sessions of an exchange
def test_a_week_of_an_exchange_ends_with_its_last_session() -> None:
    """The week of Thanksgiving ends on Friday at one o'clock; bars outside the sessions are in none."""
    base = flat("2021-11-15", "2021-11-30", 30 * MINUTE_NS)

    weeks = resample(base, WEEK_NS, None, calendar_named("XNYS"))

    assert spans(weeks) == ["11-15 14:30 11-19 21:00", "11-22 14:30 11-26 18:00"]
    assert weeks.volume.tolist() == [5 * 13, 3 * 13 + 7]


def test_a_day_of_the_forex_week_ends_at_five_in_new_york() -> None:
    """Five days a week, the first from Sunday evening; after the change of clocks they end an hour earlier in UTC."""
    base = flat("2021-03-11", "2021-03-17", HOUR_NS)
    forex = calendar_named("forex")

    days, weeks = resample(base, DAY_NS, None, forex), resample(base, WEEK_NS, None, forex)

    assert spans(days) == [
        "03-10 22:00 03-11 22:00", "03-11 22:00 03-12 22:00", "03-14 21:00 03-15 21:00", "03-15 21:00 03-16 21:00",
    ]  # fmt: skip
    assert spans(weeks) == ["03-07 22:00 03-12 22:00"]


@pytest.mark.slow  # reads the sessions of an exchange
def test_odd_lengths_begin_with_the_session_and_their_last_bar_is_cut() -> None:
    """Seven minutes of the UTC day; ninety minutes of a session of six and a half hours, and of one cut short."""
    always = resample(flat("2021-11-25T23:30:00", "2021-11-26T00:20:00"), 7 * MINUTE_NS)
    new_york = resample(
        flat("2021-11-24", "2021-11-27", 30 * MINUTE_NS), 90 * MINUTE_NS, None, calendar_named("XNYS")
    )  # fmt: skip

    assert spans(always)[-4:] == [
        "11-25 23:48 11-25 23:55", "11-25 23:55 11-26 00:00", "11-26 00:00 11-26 00:07", "11-26 00:07 11-26 00:14",
    ]  # fmt: skip
    assert always.volume.tolist()[-4:] == [7, 5, 7, 7]
    assert spans(new_york) == [
        "11-24 14:30 11-24 16:00", "11-24 16:00 11-24 17:30", "11-24 17:30 11-24 19:00", "11-24 19:00 11-24 20:30",
        "11-24 20:30 11-24 21:00", "11-26 14:30 11-26 16:00", "11-26 16:00 11-26 17:30", "11-26 17:30 11-26 18:00",
    ]  # fmt: skip


@pytest.mark.slow  # reads the sessions of an exchange
def test_a_lunch_break_parts_no_day() -> None:
    """A day of Tokyo is one bar from the morning's open to the afternoon's close."""
    days = resample(flat("2021-11-24", "2021-11-25", 30 * MINUTE_NS), DAY_NS, None, calendar_named("XTKS"))

    assert spans(days) == ["11-24 00:00 11-24 06:00"]


def test_the_days_of_24_7_are_those_of_utc_with_or_without_its_name() -> None:
    """The calendar that everybody has by default changes nothing, and such bars need no closes of their own."""
    base = flat("2021-01-01T05:00:00", "2021-01-20", HOUR_NS)

    for timeframe_ns in (4 * HOUR_NS, DAY_NS, 2 * DAY_NS, WEEK_NS, 36 * HOUR_NS):
        plain = resample(base, timeframe_ns)
        named = resample(base, timeframe_ns, None, calendar_named("24/7"))
        assert rows(plain) == rows(named)
        assert plain.close_ns is None


def test_dates_make_weeks_without_asking_for_hours() -> None:
    """Daily bars that are stamped with the date lie outside every session; their weeks begin on Monday all the same."""
    weeks = resample(flat("2021-01-04", "2021-01-18", DAY_NS), WEEK_NS, None, calendar_named("XNYS"))

    assert spans(weeks) == ["01-04 00:00 01-11 00:00", "01-11 00:00 01-18 00:00"]
    assert weeks.volume.tolist() == [7, 7]


@pytest.mark.slow  # as above
@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        ("2021-11-24T12:00:00", "2021-11-25", "2021-11-24 14:00:00Z begins before the session of 2021-11-24 14:30:00Z"),
        ("2021-11-24T15:30:00", "2021-11-25", "2021-11-24 20:30:00Z reaches beyond 2021-11-24 21:00:00Z"),
    ],
)
def test_base_bars_that_do_not_fit_the_session_are_refused(first: str, last: str, sentence: str) -> None:
    """Their prices belong to both sides of an open or a close; a day made of them would know too much or too little."""
    base = flat(first, last, HOUR_NS)

    with pytest.raises(DataError, match=sentence):
        resample(base, DAY_NS, None, calendar_named("XNYS"))


def test_no_bar_inside_a_session_makes_no_bar() -> None:
    """A Saturday of forex has no day; the series that comes of it can tell the closes of bars all the same."""
    derived = resample(flat("2021-03-13", "2021-03-14", HOUR_NS), DAY_NS, None, calendar_named("forex"))

    assert (derived.loaded, derived.timeframe_ns) == (0, DAY_NS)
    assert derived.close_ns is not None


def test_cut_bars_are_read_only() -> None:
    """A strategy cannot write into what others read, closes included."""
    derived = resample(flat("2021-01-01", "2021-01-02"), 7 * MINUTE_NS)

    assert derived.close_ns is not None
    assert not derived.close_ns.flags.writeable
