"""What is wrong with a series and what is absent from it is counted against its calendar."""

from pathlib import Path

import numpy as np
import pytest

from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.check import Hole, check_series
from src.data.importing import ImportAnswers, inspect_file
from tests.data.conftest import MakeBars


def flat(first: str, last: str, *, without: tuple[str, ...] = (), timeframe_ns: int = MINUTE_NS) -> BarSeries:
    """Bars at one price from the first to the last stamp, some left out."""
    left_out = {parse_instant(text) for text in without}
    grid = range(parse_instant(first), parse_instant(last) + 1, timeframe_ns)
    stamps = np.array([at_ns for at_ns in grid if at_ns not in left_out], np.int64)
    price = np.ones(len(stamps))
    return BarSeries("EURUSD", timeframe_ns, stamps, price, price, price, price, price, price_side="bid")


def test_a_whole_series_has_no_findings(bars: MakeBars) -> None:
    """Every minute from first to last, nothing wrong."""
    report = check_series(bars(list(range(10, 20))))

    assert report.is_sound
    assert (report.bars, report.first_ns, report.last_ns) == (10, 10 * MINUTE_NS, 19 * MINUTE_NS)
    assert (report.expected, report.absent, report.longest_hole, report.outside, report.holes) == (10, 0, 0, 0, ())


def test_holes_are_counted_and_listed_longest_first(bars: MakeBars) -> None:
    """At most ten holes are listed; all are counted."""
    minutes = [m for m in range(100) if m not in (3, 50, 51, 52, 60, 61)]

    report = check_series(bars(minutes))
    many = check_series(bars(list(range(0, 60, 2))))

    assert (report.expected, report.absent, report.longest_hole) == (100, 6, 3)
    assert report.holes == tuple(Hole(start_ns=at * MINUTE_NS, bars=n) for at, n in ((50, 3), (60, 2), (3, 1)))
    assert (many.absent, len(many.holes), many.holes[0].start_ns) == (29, 10, MINUTE_NS)


def test_every_kind_of_fault_is_counted(bars: MakeBars) -> None:
    """Duplicates, order, ranges, prices and numbers that are none."""
    series = bars([1, 2, 2, 5, 4])
    series.high[0] = series.low[0] - 1
    series.close[1] = series.high[1] + 1
    series.low[2] = 0.0
    series.volume[4] = np.nan

    report = check_series(series)

    assert (report.duplicates, report.unordered, report.ohlc_violations) == (1, 1, 2)
    assert (report.non_positive, report.not_finite, report.is_sound) == (1, 1, False)


def test_a_weekend_is_no_hole_of_the_forex_calendar() -> None:
    """From Friday 17:00 to Sunday 17:00 New York nothing is expected; the minutes next to it are."""
    whole = flat("2024-01-12T21:30Z", "2024-01-12T21:59Z")
    after = flat("2024-01-14T22:00Z", "2024-01-14T22:29Z", without=("2024-01-14T22:00Z", "2024-01-14T22:07Z"))
    series = _join(whole, after)

    report = check_series(series, "forex")

    assert (report.expected, report.absent, report.longest_hole, report.outside) == (60, 2, 1, 0)
    assert check_series(series, "24/7").longest_hole == 48 * 60 + 1


def test_the_forex_week_follows_daylight_saving_of_new_york() -> None:
    """After the clocks change in March the week begins an hour earlier in UTC."""
    winter, summer = (
        check_series(flat(f"2017-03-{day}T20:00Z", f"2017-03-{day}T23:00Z", timeframe_ns=HOUR_NS), "forex")
        for day in ("05", "12")
    )

    assert (winter.expected, winter.outside) == (2, 2)
    assert (summer.expected, summer.outside) == (3, 1)


def test_a_calendar_that_does_not_know_the_time_judges_no_holes(bars: MakeBars) -> None:
    """What is wrong is still found; the calendar of Shanghai begins in 1990."""
    report = check_series(bars([1, 5]), "XSHG")

    assert (report.expected, report.absent, report.outside, report.longest_hole, report.holes) == (
        None, None, None, None, (),
    )  # fmt: skip
    assert report.is_sound


def test_an_unknown_calendar_is_refused(bars: MakeBars) -> None:
    """A misspelt name is not taken for a market without hours."""
    with pytest.raises(ConfigError, match="did you mean 'forex'"):
        check_series(bars([1, 5]), "forx")


def test_regular_hours_early_closes_and_breaks_are_those_of_the_exchange() -> None:
    """The minutes before the open, after an early close, and of a lunch break are outside; a night is no hole."""
    friday = flat("2023-11-24T14:28Z", "2023-11-24T18:04Z", without=("2023-11-24T15:00Z",))
    monday = flat("2023-11-27T14:30Z", "2023-11-27T14:31Z")
    tokyo = flat("2024-06-03T02:20Z", "2024-06-03T03:39Z")

    new_york, lunch = check_series(_join(friday, monday), "XNYS"), check_series(tokyo, "XTKS")

    assert (new_york.expected, new_york.absent, new_york.outside, new_york.longest_hole) == (212, 1, 7, 1)
    assert (lunch.expected, lunch.absent, lunch.outside) == (20, 0, 60)


@pytest.mark.parametrize("first", ["2024-06-03T13:00Z", "2024-06-03T13:30Z"])
def test_hours_are_counted_on_the_clock_or_from_the_open(first: str) -> None:
    """Whichever grid the bars lie on: seven hours touch a session of New York either way."""
    day = flat(first, "2024-06-03T19:59Z", timeframe_ns=HOUR_NS)
    next_day = flat(first.replace("-03T", "-04T"), "2024-06-04T19:59Z", timeframe_ns=HOUR_NS)

    report = check_series(_join(day, next_day), "XNYS")

    assert (report.bars, report.expected, report.absent, report.outside) == (14, 14, 0, 0)


def test_bars_from_the_open_move_with_daylight_saving() -> None:
    """Four hours counted from 17:00 New York lie on another grid of UTC after the change."""
    before = flat("2024-03-07T22:00Z", "2024-03-08T21:59Z", timeframe_ns=4 * HOUR_NS)
    after = flat("2024-03-10T21:00Z", "2024-03-11T20:59Z", timeframe_ns=4 * HOUR_NS)

    report = check_series(_join(before, after), "forex")

    assert (report.expected, report.absent, report.outside) == (12, 0, 0)


@pytest.mark.parametrize("at", ["00:00", "14:30"])
def test_a_daily_bar_is_expected_for_each_session(at: str) -> None:
    """Stamped with the session's open or its date; a holiday and a weekend are no holes, two sessions in a row are."""
    days = ["01-11", "01-12", "01-16", "01-17", "01-22", "01-23"]
    stamps = np.array([parse_instant(f"2024-{day}T{at}Z") for day in days], np.int64)
    price = np.ones(len(stamps))
    series = BarSeries("IBM", DAY_NS, stamps, price, price, price, price, price)

    report = check_series(series, "XNYS")

    assert (report.expected, report.absent, report.longest_hole, report.outside) == (8, 2, 2, 0)
    assert report.holes == (Hole(start_ns=parse_instant("2024-01-18T14:30Z"), bars=2),)


def test_an_empty_series_is_sound() -> None:
    """Nothing is expected of nothing."""
    for calendar in ("24/7", "forex", "XNYS"):
        report = check_series(BarSeries.empty("X", MINUTE_NS), calendar)

        assert (report.bars, report.expected, report.absent, report.is_sound) == (0, 0, 0, True)


def test_bars_off_the_grid_are_counted(bars: MakeBars) -> None:
    """A bar that does not open a whole number of bars after the first one is outside."""
    series = bars([0, 5, 11, 15], timeframe_ns=5 * MINUTE_NS)

    report = check_series(series)

    assert (report.expected, report.absent, report.outside) == (4, 1, 1)


def _join(*parts: BarSeries) -> BarSeries:
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("open_ns", "open")]
    stamps, price = columns
    return BarSeries(parts[0].symbol, parts[0].timeframe_ns, stamps, price, price, price, price, price)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "calendar", "bars", "absent", "expected", "longest"),
    [
        ("bitfinex_BTCUSD_1m_2019-05_2019-07", "24/7", 131335, 1145, 132480, 188),
        ("bitfinex_EOSUSD_1m_2019-05_2019-07", "24/7", 104536, 27943, 132479, 188),
        ("bitfinex_ETHUSD_1m_2019-05_2019-07", "24/7", 124757, 7723, 132480, 198),
        ("bitfinex_LTCUSD_1m_2019-05_2019-07", "24/7", 114793, 17687, 132480, 270),
        ("bitfinex_XRPUSD_1m_2019-05_2019-07", "24/7", 122127, 10353, 132480, 270),
        ("ejtrader_AUDUSD_1h_2015_2022", "forex", 44570, 325, 44895, 33),
        ("ejtrader_EURGBP_1h_2015_2022", "forex", 44570, 325, 44895, 33),
        ("ejtrader_GBPUSD_1h_2015_2022", "forex", 44572, 324, 44895, 33),
        ("ejtrader_USDJPY_1h_2015_2022", "forex", 44571, 324, 44895, 33),
        ("histdata_EURUSD_1m_bid_2017H1", "forex", 186348, 311, 186659, 4),
        ("lean_fxcm_EURUSD_1m_bidask_2014-05", "forex", 15857, 160, 15840, 4),
        ("lean_fxcm_NZDUSD_1m_bidask_2014-05", "forex", 15874, 116, 15840, 4),
        ("lean_oanda_EURUSD_1m_bidask_2014-05", "forex", 15366, 474, 15840, 6),
        ("lean_oanda_NZDUSD_1m_bidask_2014-05", "forex", 15543, 297, 15840, 3),
        ("lean_oanda_XAUUSD_1m_bidask_2014-05", "forex", 15222, 618, 15840, 60),
        ("nautilus_fxcm_GBPUSD_1m_bidask_2012-02", "forex", 30117, 124, 30241, 4),
    ],
)
def test_the_holes_of_recorded_data_are_the_documented_ones(
    real_data_dir: Path, name: str, calendar: str, bars: int, absent: int, expected: int, longest: int
) -> None:
    """Counts that were established independently come out: absent bars inside sessions, longest run."""
    answers = ImportAnswers(symbol="X", kind="fx", stamp="open", price="bid")

    report = check_series(inspect_file(real_data_dir / f"{name}.parquet", answers).require_complete(), calendar)

    assert (report.bars, report.absent, report.expected, report.longest_hole) == (bars, absent, expected, longest)
    assert report.is_sound


@pytest.mark.real_data
def test_the_holes_of_recorded_equities_are_those_of_regular_hours(real_data_dir: Path) -> None:
    """Six sessions of 390 minutes; bars before and after them are outside and fill no hole."""
    file = real_data_dir / "lean_AIG_BAC_IBM_1m_trade_quote_2013-10-04_11.parquet"
    reports = [
        check_series(
            inspect_file(file, ImportAnswers(symbol=symbol, kind="equity", stamp="open", price="trade"))
            .require_complete(), "XNYS",
        )
        for symbol in ("AIG", "BAC", "IBM")
    ]  # fmt: skip

    assert [(one.absent, one.expected, one.bars - one.outside) for one in reports if one.outside is not None] == [
        (1, 2340, 2339), (0, 2340, 2340), (2, 2340, 2338),
    ]  # fmt: skip


@pytest.mark.real_data
def test_the_days_of_recorded_forex_bars_are_its_sessions(real_data_dir: Path) -> None:
    """Bars stamped with their date; a few holidays are absent, and no day lies outside the week."""
    file = real_data_dir / "ejtrader_12fx_1d_2012_2022.parquet"
    answers = ImportAnswers(symbol="EURUSD", kind="fx", stamp="open", price="bid")

    report = check_series(inspect_file(file, answers).require_complete(), "forex")

    assert (report.bars, report.absent, report.expected, report.outside) == (2400, 14, 2414, 0)
