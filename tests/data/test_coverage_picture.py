"""A picture of coverage shows what is there and what is not, in as many cells as there is room for."""

from src.core.calendars import calendar_named
from src.core.timeframe import DAY_NS, HOUR_NS, parse_instant
from src.data.coverage_picture import LETTERS, PictureRow, coverage_cells, coverage_picture, joined_over_closures


def test_a_cell_holds_the_share_of_its_part_that_is_covered() -> None:
    """Intervals may begin and end inside of cells, and several may share one."""
    assert coverage_cells([(0, 10), (15, 20), (25, 30), (38, 40)], 0, 40, 4) == [1.0, 0.5, 0.5, 0.2]
    assert coverage_cells([], 0, 40, 2) == [0.0, 0.0]


def test_a_picture_has_a_line_for_each_series_and_the_dates_below() -> None:
    """A little is never nothing, nearly all is never all, and lines keep to the width."""
    first, last = parse_instant("2024-01-01"), parse_instant("2024-01-11")
    rows = [
        PictureRow(name="AAA 1m", intervals=((first, last),)),
        PictureRow(name="B 1m", intervals=((first, first + DAY_NS // 100), (last - 9 * DAY_NS, last - HOUR_NS))),
    ]

    lines = coverage_picture(rows, 20, LETTERS)

    assert lines == ["AAA 1m |##########|", "B 1m   |.########+|", "        2024-01-01 2024-01-11"]
    assert coverage_picture([], 20) == []


def test_intervals_that_only_a_closed_market_parts_are_one() -> None:
    """A weekend of the forex week is no hole; the hour in which trading was on counts."""
    friday, sunday = parse_instant("2024-01-12T22:00Z"), parse_instant("2024-01-14T22:00Z")
    intervals = [(friday - DAY_NS, friday), (sunday, sunday + DAY_NS)]
    late = [(friday - DAY_NS, friday), (sunday + 2 * HOUR_NS, sunday + DAY_NS)]

    assert joined_over_closures(intervals, HOUR_NS, calendar_named("forex"), 0) == [(friday - DAY_NS, sunday + DAY_NS)]
    assert joined_over_closures(late, HOUR_NS, calendar_named("forex"), 1) == late
    assert joined_over_closures(intervals, HOUR_NS, calendar_named("24/7"), 1) == intervals
    unknown = [(0, HOUR_NS), (9 * HOUR_NS, 10 * HOUR_NS), (parse_instant("2250-01-01"), parse_instant("2250-01-02"))]
    assert joined_over_closures(unknown[:2], HOUR_NS, calendar_named("XNYS"), 1) == [(0, 10 * HOUR_NS)]
