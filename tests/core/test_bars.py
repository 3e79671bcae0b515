"""Bar series and views: what is shown, and that the future is not."""

import numpy as np
import pytest

from src.core.bars import Bar, BarSeries, BarsView
from src.core.errors import InternalError
from src.core.timeframe import MINUTE_NS, parse_instant
from src.testing import bar_series

START = parse_instant("2024-01-01")


def ten() -> BarSeries:
    """Ten bars that close at 0 to 9."""
    return bar_series("AAA", [float(i) for i in range(10)])


def test_a_view_shows_the_reached_bars_and_never_a_later_one() -> None:
    """Columns, indices, slices, iteration, length and frame all end at the reached bar."""
    view = BarsView(ten(), 4)

    assert [len(getattr(view, name)) for name in ("open", "high", "low", "close", "volume", "open_ns")] == [4] * 6
    assert [bar.close for bar in view] == [bar.close for bar in view[-100:100]] == [0, 1, 2, 3]
    assert (view[-1].close, view[3].close, view[-4].close, len(view)) == (3, 3, 0, 4)
    assert list(view.df()["close"]) == [0, 1, 2, 3]
    for beyond in (4, 9, -5):
        with pytest.raises(IndexError, match="of 4 visible bars of AAA"):
            view[beyond]


def test_a_frame_is_indexed_by_the_opens_in_utc() -> None:
    """The edge to pandas keeps instants to the nanosecond."""
    frame = BarsView(ten(), 3).df()

    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert str(frame.index.tz) == "UTC"
    assert [stamp.value for stamp in frame.index.as_unit("ns")] == [START + i * MINUTE_NS for i in range(3)]


def test_a_view_follows_a_series_that_grows() -> None:
    """The columns are those of the series also after it had to make room."""
    series = BarSeries.empty("AAA", MINUTE_NS)
    view = BarsView(series, 0)
    for i in range(200):
        series.append(i * MINUTE_NS, i, i + 2, i - 2, i + 1, 5)
        view.end += 1

    assert view.close.tolist() == [float(i + 1) for i in range(200)]
    last = view[-1]
    assert (last.open, last.high, last.low, last.close, last.volume) == (199, 201, 197, 200, 5)
    assert (last.symbol, last.timeframe_ns, last.open_ns, last.close_ns) == (
        "AAA",
        MINUTE_NS,
        199 * MINUTE_NS,
        200 * MINUTE_NS,
    )
    assert isinstance(last.close, float)


def test_bars_compare_by_value() -> None:
    """Two series with equal numbers have equal bars."""
    a, b = ten(), ten()

    assert Bar(a, 3) == Bar(b, 3) != Bar(b, 4)
    assert len({Bar(a, 3), Bar(b, 3), Bar(b, 4)}) == 2
    assert "AAA" in repr(Bar(a, 3))
    assert Bar(a, 3) != 3


def test_bars_must_be_appended_in_order_and_not_behind_hidden_ones() -> None:
    """Both would change what was shown."""
    series = ten()

    with pytest.raises(InternalError, match="does not come after"):
        series.append(int(series.open_ns[-1]), 1, 1, 1, 1, 1)
    series.length = 5
    with pytest.raises(InternalError, match="loaded bars are hidden"):
        series.append(int(series.open_ns[-1]) + MINUTE_NS, 1, 1, 1, 1, 1)


def test_a_series_refuses_columns_of_unequal_length_and_unknown_price_sides() -> None:
    """A malformed series is caught where it is made."""
    five, four = np.ones(5), np.ones(4)
    opens = np.arange(5, dtype=np.int64)

    with pytest.raises(InternalError, match="column volume of AAA has another length"):
        BarSeries("AAA", MINUTE_NS, opens, five, five, five, five, four)
    with pytest.raises(InternalError, match="price side 'last' is none of"):
        BarSeries("AAA", MINUTE_NS, opens, five, five, five, five, five, price_side="last")


def test_a_bar_counts_as_closed_from_its_close_on() -> None:
    """One nanosecond before it is still forming."""
    series = ten()

    assert [series.count_closed(START + MINUTE_NS * 3 + shift) for shift in (-1, 0, 1)] == [2, 3, 3]
    assert (series.count_closed(START), series.count_closed(START + 10**18)) == (0, 10)


def of_sessions() -> BarSeries:
    """Bars of nominally ten nanoseconds: one of ten, one cut to four, one of twelve."""
    price = np.ones(3)
    opens, closes = np.array([0, 10, 30], np.int64), np.array([10, 14, 42], np.int64)
    return BarSeries("AAA", 10, opens, price, price, price, price, price, close_ns=closes)


def test_bars_with_closes_of_their_own_are_available_at_these() -> None:
    """A bar that is cut counts before its timeframe is over, one that lasts longer not yet."""
    series = of_sessions()

    assert [series.count_closed(at_ns) for at_ns in (9, 10, 13, 14, 20, 40, 41, 42)] == [0, 1, 1, 2, 2, 2, 2, 3]
    assert [bar.close_ns for bar in BarsView(series, 3)] == [series.close_of(i) for i in range(3)] == [10, 14, 42]
    assert series.closes(1, 3).tolist() == [14, 42]
    assert ten().closes(1, 3).tolist() == [START + 2 * MINUTE_NS, START + 3 * MINUTE_NS]
    assert ten().close_of(9) == START + 10 * MINUTE_NS


def test_a_growing_series_keeps_the_closes_of_its_bars() -> None:
    """Also after it had to make room; and two bars that differ in their close alone are not equal."""
    series, plain = BarSeries.empty("AAA", 10, own_closes=True), BarSeries.empty("AAA", 10)
    for i in range(200):
        series.append(i * 20, 1, 1, 1, 1, 1, close_ns=i * 20 + 15)
        plain.append(i * 20, 1, 1, 1, 1, 1)

    assert series.closes(0, 200).tolist() == [i * 20 + 15 for i in range(200)]
    assert series.count_closed(199 * 20 + 14) == 199
    assert Bar(series, 7) != Bar(plain, 7)
    for wrong, close_ns in ((series, None), (plain, 5000)):
        with pytest.raises(InternalError, match="a close of its own where its series has them"):
            wrong.append(4000, 1, 1, 1, 1, 1, close_ns=close_ns)


def test_a_series_refuses_closes_of_another_length() -> None:
    """As any other column."""
    price = np.ones(3)

    with pytest.raises(InternalError, match="column close_ns of AAA has another length"):
        BarSeries("AAA", 10, np.arange(3), price, price, price, price, price, close_ns=np.arange(2))
