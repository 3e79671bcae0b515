"""Each wrong bar is named with its instant and with what is wrong with it."""

import numpy as np
import pytest

from src.core.calendars import calendar_named
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.faults import compare_columns, find_faults, find_miscounted
from src.data.stored import Columns, SeriesInfo
from tests.data.care import columns_at

ALWAYS = calendar_named("24/7")


def found(columns: Columns, timeframe_ns: int = MINUTE_NS, now_ns: int | None = None) -> list[tuple[str, float]]:
    """Code and minute of each finding."""
    return [(one.code, one.open_ns / MINUTE_NS) for one in find_faults(columns, timeframe_ns, ALWAYS, now_ns)]


def flat(stamps: list[int]) -> Columns:
    """Bars at one price that open at these instants."""
    price = np.ones(len(stamps))
    return {"open_ns": np.array(stamps, np.int64), **dict.fromkeys(("open", "high", "low", "close", "volume"), price)}


def test_sound_bars_have_no_faults() -> None:
    """Holes are no faults, and neither is an empty series."""
    assert found(columns_at([1, 2, 5, 9]), now_ns=10 * MINUTE_NS) == []
    assert found(columns_at([])) == []


def test_a_stamp_that_is_there_already_is_a_duplicate() -> None:
    """The sentence says whether the numbers are the same, and else which differ."""
    columns = columns_at([1, 2, 2, 3, 3])
    columns["close"][4] += 0.5

    sentences = [one.sentence for one in find_faults(columns, MINUTE_NS, ALWAYS)]

    assert sentences == [
        "1970-01-01 00:02:00Z stands in row 2 already, with the same numbers",
        "1970-01-01 00:03:00Z stands in row 4 already, with other numbers: close 104.0 became 104.5",
    ]


def test_swapped_rows_are_named() -> None:
    """The bar that lies behind a later one is the finding."""
    assert found(columns_at([1, 3, 2, 4])) == [("order", 2)]


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("high", 0.5, "ohlc"), ("low", 500.0, "ohlc"), ("close", 500.0, "ohlc"), ("open", -1.0, "non_positive"),
        ("volume", -1.0, "non_positive"), ("low", 0.0, "non_positive"), ("volume", np.nan, "not_finite"),
        ("close", np.inf, "not_finite"),
    ],
)  # fmt: skip
def test_impossible_numbers_are_named(column: str, value: float, code: str) -> None:
    """One price, high, low or volume that no bar can have."""
    columns = columns_at([1, 2, 3])
    columns[column][1] = value

    assert found(columns)[0] == (code, 2)


def test_a_bar_inside_another_is_an_overlap_and_off_the_grid() -> None:
    """Of the two, the one off the grid is named, whether it is the earlier or the later."""
    columns = flat([0, 5 * MINUTE_NS, 7 * MINUTE_NS, 10 * MINUTE_NS, 20 * MINUTE_NS])

    assert found(columns, 5 * MINUTE_NS) == [("overlap", 7), ("off_grid", 7)]
    assert found(flat([0, 60_000_000_000, 70_000_000_000])) == [("overlap", 70 / 60), ("off_grid", 70 / 60)]


def test_a_stamp_off_the_grid_is_named_without_a_neighbour() -> None:
    """A bar of an hour does not open at seven minutes past."""
    hours = [h * HOUR_NS for h in (1, 2, 3, 6)]

    assert found(flat([*hours, 9 * HOUR_NS + 7 * MINUTE_NS]), HOUR_NS) == [("off_grid", 9 * 60 + 7)]


def test_a_grid_that_follows_the_session_or_daylight_saving_is_a_grid() -> None:
    """Hours from the open of an exchange beside full hours, broker days that move by an hour."""
    opens = [parse_instant(text) for text in ("2024-01-08T14:30Z", "2024-01-08T15:30Z", "2024-01-09T15:00Z")]
    days = [parse_instant(text) for text in ("2024-03-28T22:00Z", "2024-03-29T22:00Z", "2024-04-01T21:00Z")]

    assert find_faults(flat([*opens, parse_instant("2024-01-10T14:30Z")]), HOUR_NS, calendar_named("XNYS")) == []
    assert find_faults(flat(days), DAY_NS, calendar_named("forex")) == []


def test_a_bar_that_has_not_closed_is_forming() -> None:
    """Only where the present is known; a bar that closes at the present has closed."""
    columns = columns_at([1, 2, 3])

    assert found(columns, now_ns=4 * MINUTE_NS) == []
    assert found(columns, now_ns=4 * MINUTE_NS - 1) == [("forming", 3)]


def test_a_copy_tells_what_was_changed_and_lost() -> None:
    """To the last bit, in time order; what was changed on purpose is left out, and new bars are no finding."""
    copy = columns_at([1, 2, 3, 4])
    columns = columns_at([2, 3, 4, 5])
    columns["volume"][1] = np.nextafter(columns["volume"][1], 10)

    both = [(one.code, one.open_ns // MINUTE_NS) for one in compare_columns(columns, copy)]
    healed = [(one.code, one.open_ns // MINUTE_NS) for one in compare_columns(columns, copy, [3 * MINUTE_NS])]

    assert both == [("lost", 1), ("changed", 3)]
    assert healed == [("lost", 1)]
    assert len(compare_columns(columns_at([]), copy)) == 4


def test_the_list_of_series_must_agree_with_the_rows() -> None:
    """A first or last bar that is gone leaves no hole; the list still names it."""
    info = SeriesInfo(
        symbol="BTCUSD", timeframe_ns=MINUTE_NS, price_side="trade", source="test", kind="crypto", bars=3,
        first_ns=MINUTE_NS, last_ns=3 * MINUTE_NS,
    )  # fmt: skip

    assert find_miscounted(columns_at([1, 2, 3]), info) == []
    assert [one.open_ns // MINUTE_NS for one in find_miscounted(columns_at([1, 2]), info)] == [3, 1]
