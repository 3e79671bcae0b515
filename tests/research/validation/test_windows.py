"""Windows by the calendar: their edges, ends of months, a cut-off, and which trades lie in a period."""

import datetime as dt
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import InternalError
from src.core.timeframe import format_instant, parse_instant
from src.research.validation.ports import CandidateTrades, Period
from src.research.validation.section import WalkforwardSection
from src.research.validation.windows import Window, add_months, entered_in, time_windows
from tests.documentation.pages import block_of
from tests.research.validation.naive_windows import naive_windows, since_epoch


def period(start: str, end: str) -> Period:
    """From one date to another."""
    return Period(start_ns=parse_instant(start), end_ns=parse_instant(end))


def dates(windows: tuple[Window, ...]) -> list[tuple[str, str, str]]:
    """The beginning of the train, and of the test, and its end."""

    def date(instant_ns: int) -> str:
        return format_instant(instant_ns)[:10]

    return [(date(each.train_from_ns), date(each.test_from_ns), date(each.test_to_ns)) for each in windows]


def cut(start: str, end: str, cutoff: str | None = None, **given: Any) -> tuple[Window, ...]:
    """The windows of a period."""
    return time_windows(
        period(start, end), WalkforwardSection(**given), None if cutoff is None else parse_instant(cutoff)
    )


@pytest.mark.parametrize(
    ("date", "months", "expected"),
    [
        ("2023-01-31", 1, "2023-02-28"), ("2024-01-31", 1, "2024-02-29"), ("2024-01-31", 2, "2024-03-31"),
        ("2024-01-31", 3, "2024-04-30"), ("2024-02-29", 12, "2025-02-28"), ("2024-02-29", 48, "2028-02-29"),
        ("2024-02-29", 1, "2024-03-29"), ("2024-03-31", -1, "2024-02-29"), ("2024-01-15", -1, "2023-12-15"),
        ("2024-12-31", 2, "2025-02-28"), ("1970-01-01", -12, "1969-01-01"),
    ],
)  # fmt: skip
def test_a_month_keeps_the_day_or_ends_with_its_last(date: str, months: int, expected: str) -> None:
    """Days that a month does not have become its last one."""
    assert format_instant(add_months(parse_instant(date), months))[:10] == expected


def test_months_keep_the_time_of_day() -> None:
    """To the nanosecond."""
    instant = parse_instant("2024-01-31T13:45:12Z") + 7

    assert add_months(instant, 1) == parse_instant("2024-02-29T13:45:12Z") + 7


def test_months_far_away_are_the_ends_of_time() -> None:
    """No configuration makes a date that nanoseconds cannot hold."""
    assert add_months(0, 10**6) == 2**63 - 1
    assert add_months(0, -(10**6)) == -(2**63)
    assert cut("2020-01-01", "2024-01-01", train_months=10**6) == ()


def test_an_anchored_train_grows() -> None:
    """Every train begins with the period, and ends where its test begins."""
    found = cut("2020-01-01", "2022-07-01")

    assert dates(found) == [
        ("2020-01-01", "2021-01-01", "2021-07-01"),
        ("2020-01-01", "2021-07-01", "2022-01-01"),
        ("2020-01-01", "2022-01-01", "2022-07-01"),
    ]
    assert [each.number for each in found] == [1, 2, 3]
    assert all(each.train_to_ns == each.test_from_ns and not each.partial for each in found)


def test_a_rolling_train_has_one_length() -> None:
    """It moves with its test."""
    assert dates(cut("2020-01-01", "2022-01-01", windows="rolling")) == [
        ("2020-01-01", "2021-01-01", "2021-07-01"),
        ("2020-07-01", "2021-07-01", "2022-01-01"),
    ]


def test_a_window_that_ends_with_the_period_is_whole_and_one_nanosecond_less_is_partial() -> None:
    """A partial one is cut off where the period ends."""
    whole = cut("2020-01-01", "2021-07-01")
    end = parse_instant("2021-07-01") - 1
    short = time_windows(Period(start_ns=parse_instant("2020-01-01"), end_ns=end), WalkforwardSection(), None)

    assert [each.partial for each in whole] == [False]
    assert [(each.partial, each.test_to_ns) for each in short] == [(True, end)]


def test_a_test_that_would_begin_with_the_end_does_not_exist() -> None:
    """Nor does one behind it."""
    assert cut("2020-01-01", "2021-01-01") == ()
    assert len(cut("2020-01-01", "2021-01-02")) == 1


def test_ends_of_months_do_not_add_up() -> None:
    """From 31 January the tests begin on the last days of the months, not for ever on the 28th."""
    found = cut("2023-01-31", "2023-07-31", train_months=1, test_months=1)

    assert [test for _, test, _ in dates(found)] == [
        "2023-02-28",
        "2023-03-31",
        "2023-04-30",
        "2023-05-31",
        "2023-06-30",
    ]
    assert all(a.test_to_ns == b.test_from_ns for a, b in zip(found, found[1:], strict=False))


def test_a_leap_day_begins_a_period() -> None:
    """In years without one the windows begin on 28 February."""
    found = cut("2024-02-29", "2026-08-29", windows="rolling", test_months=12)

    assert dates(found) == [("2024-02-29", "2025-02-28", "2026-02-28"), ("2025-02-28", "2026-02-28", "2026-08-29")]
    assert [each.partial for each in found] == [False, True]


def test_a_cutoff_begins_the_first_test() -> None:
    """No test holds anything that was known at discovery; the train of the anchored begins with the period."""
    found = cut("2020-01-01", "2023-04-15", "2022-03-15")

    assert dates(found) == [
        ("2020-01-01", "2022-03-15", "2022-09-15"),
        ("2020-01-01", "2022-09-15", "2023-03-15"),
        ("2020-01-01", "2023-03-15", "2023-04-15"),
    ]
    assert [each.partial for each in found] == [False, False, True]


def test_a_cutoff_that_leaves_too_short_a_train_is_followed_by_a_later_test() -> None:
    """The train has its twelve months; exactly twelve are enough."""
    assert cut("2020-01-01", "2022-01-01", "2020-05-05")[0].test_from_ns == parse_instant("2021-01-01")
    assert cut("2020-01-01", "2022-01-01", "2021-01-01")[0].test_from_ns == parse_instant("2021-01-01")
    assert cut("2020-01-01", "2022-01-01", "2021-01-02")[0].test_from_ns == parse_instant("2021-01-02")


def test_a_rolling_train_never_begins_before_the_period() -> None:
    """Twelve months before 29 February are 28 February, before the period that begins a second later that day."""
    found = cut("2023-02-28T12:00:00Z", "2025-01-01", "2024-02-29T00:00:00Z", windows="rolling")

    assert found[0].train_from_ns == parse_instant("2023-02-28T12:00:00Z")
    assert dates(cut("2020-01-01", "2023-01-01", "2022-03-15", windows="rolling"))[0][0] == "2021-03-15"


def test_a_cutoff_at_the_end_leaves_no_window() -> None:
    """There is nothing behind it."""
    assert cut("2020-01-01", "2022-01-01", "2022-01-01") == ()


def test_windows_cross_the_borders_of_processes() -> None:
    """They are plain records."""
    found = cut("2020-01-01", "2022-01-01")

    assert pickle.loads(pickle.dumps(found)) == found


def trades(entries: list[int], exits: list[int]) -> CandidateTrades:
    """Trades that earn 1 R."""
    return CandidateTrades(entry_ns=np.array(entries), exit_ns=np.array(exits), r_net=np.ones(len(entries)))


def test_a_period_holds_its_first_instant_and_not_its_end() -> None:
    """What was entered in it belongs to it, whenever it ends."""
    found = entered_in(trades([9, 10, 19, 20], [9, 99, 99, 99]), Period(start_ns=10, end_ns=20))

    assert found.entry_ns.tolist() == [10, 19]


def test_where_all_were_entered_inside_nothing_is_copied() -> None:
    """The usual case costs nothing."""
    given_trades = trades([10, 10, 19], [11, 30, 20])

    assert entered_in(given_trades, Period(start_ns=10, end_ns=20)) is given_trades


@pytest.mark.parametrize(("entries", "exits"), [([2, 1], [3, 3]), ([1, 2], [3, 1])])
def test_trades_out_of_order_are_refused(entries: list[int], exits: list[int]) -> None:
    """Every search in them would be wrong without a word."""
    with pytest.raises(InternalError, match="expected"):
        entered_in(trades(entries, exits), Period(start_ns=0, end_ns=9))


MOMENTS = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2012, 12, 31), timezones=st.just(dt.UTC))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    start=MOMENTS, length=st.timedeltas(dt.timedelta(days=1), dt.timedelta(days=4000)), late=st.floats(0, 1),
    has_cutoff=st.booleans(), rolling=st.booleans(), train=st.integers(1, 30), test=st.integers(1, 14),
)  # fmt: skip
def test_windows_equal_those_made_with_dates(
    start: dt.datetime, length: dt.timedelta, late: float, has_cutoff: bool, rolling: bool, train: int, test: int
) -> None:
    """For any period, cut-off and lengths."""
    end = start + length
    cutoff = start + length * late if has_cutoff else None
    section = WalkforwardSection(windows="rolling" if rolling else "anchored", train_months=train, test_months=test)

    found = time_windows(
        Period(start_ns=since_epoch(start), end_ns=since_epoch(end)),
        section,
        None if cutoff is None else since_epoch(cutoff),
    )

    expected = naive_windows(start, end, cutoff, rolling=rolling, train=train, test=test)
    assert [(each.train_from_ns, each.test_from_ns, each.test_to_ns, each.partial) for each in found] == [
        (since_epoch(a), since_epoch(b), since_epoch(c), partial) for a, b, c, partial in expected
    ]


def test_the_picture_of_the_page_is_drawn_to_scale() -> None:
    """A column is a month, and every bar stands where a window of the walk-forward begins or ends."""
    drawn: dict[str, list[list[int]]] = {}
    for line in block_of("docs/validation.md", "anchored: the train grows").text.splitlines():
        if ":" in line:
            windows = drawn.setdefault(line.partition(":")[0], [])
        elif "|" in line:
            windows.append([column for column, each in enumerate(line) if each == "|"])
    period = Period(start_ns=parse_instant("2016-01-01"), end_ns=parse_instant("2020-01-01"))
    starts = [add_months(period.start_ns, month) for month in range(49)]

    def windows_of(kind: str, cutoff: str | None) -> list[list[int]]:
        section = WalkforwardSection.model_validate({"windows": kind, "train_months": 12, "test_months": 6})
        found = time_windows(period, section, None if cutoff is None else parse_instant(cutoff))
        return [[starts.index(at) for at in (each.train_from_ns, each.train_to_ns, each.test_to_ns)] for each in found]

    assert {name: len(lines) for name, lines in drawn.items()} == {
        "anchored": 3, "rolling": 3, "with discovery_cutoff 2018-01-01": 2
    }  # fmt: skip
    assert drawn["anchored"] == windows_of("anchored", None)[:3]
    assert drawn["rolling"] == windows_of("rolling", None)[:3]
    assert drawn["with discovery_cutoff 2018-01-01"] == windows_of("anchored", "2018-01-01")[:2]
