"""The ratios and the drawdown, by hand and against a separate computation in pandas."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from src.backtesting.equity import (
    annual_return,
    calmar,
    daily_equity,
    daily_returns,
    drawdown,
    kurtosis,
    sharpe,
    skew,
    sortino,
)
from src.core.calendars import calendar_named
from src.core.day import AccountDay
from src.core.timeframe import DAY_NS, HOUR_NS, parse_instant

START_NS = parse_instant("2024-03-01")


def curve(*points: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Samples given as (days after the start, equity)."""
    instants = np.array([START_NS + round(days * DAY_NS) for days, _ in points], dtype=np.int64)
    return instants, np.array([equity for _, equity in points])


def test_daily_equity_takes_the_last_sample_of_each_day_and_repeats_it_on_flat_days() -> None:
    """A sample exactly at midnight belongs to the day that ends there; a day without samples keeps the value."""
    instants, equity = curve((0, 100), (0.5, 90), (1.0, 101), (1.2, 105), (3.5, 110))

    assert daily_equity(instants, equity, START_NS, START_NS + 4 * DAY_NS).tolist() == [100, 101, 105, 105, 110]


def test_the_parts_of_a_day_at_both_ends_of_the_window_count_as_days() -> None:
    """A window from noon to noon over one midnight has two daily returns."""
    instants, equity = curve((0.5, 100), (1.0, 110), (1.5, 121))

    daily = daily_equity(instants, equity, START_NS + 12 * HOUR_NS, START_NS + 36 * HOUR_NS)

    assert daily.tolist() == [100, 110, 121]


def test_daily_equity_follows_the_day_of_the_account() -> None:
    """With a day that starts at 17:00 in New York (22:00 UTC in winter) the cut lies there."""
    instants, equity = curve((0, 100), (0.9, 107), (0.95, 109), (1.0, 111))

    daily = daily_equity(instants, equity, START_NS, START_NS + DAY_NS, AccountDay("America/New_York", "17:00"))

    assert daily.tolist() == [100, 107, 111]


def test_drawdown_names_peak_trough_and_the_longest_time_under_water() -> None:
    """The fall from 120 to 90 is 25 percent and 30; equity is below its peak for three days before it recovers."""
    instants, equity = curve((0, 100), (1, 120), (2, 100), (3, 90), (4, 120), (5, 130), (6, 125), (7, 131))

    fall = drawdown(instants, equity)

    assert fall is not None
    assert (fall.percent, fall.money) == pytest.approx((25.0, 30.0))
    assert (fall.start_ns, fall.trough_ns) == (START_NS + DAY_NS, START_NS + 3 * DAY_NS)
    assert fall.longest_underwater_ns == 3 * DAY_NS


def test_the_largest_fall_in_money_may_be_another_than_in_percent() -> None:
    """From 10 to 5 is half, from 1000 to 900 is more money."""
    instants, equity = curve((0, 10), (1, 5), (2, 1000), (3, 900))

    fall = drawdown(instants, equity)

    assert fall is not None
    assert (fall.percent, fall.money) == pytest.approx((50.0, 100.0))


def test_time_under_water_runs_to_the_last_sample() -> None:
    """A curve that never recovers is under water until its end, even with one sample after the peak."""
    instants, equity = curve((0, 100), (1, 110), (5, 100))

    fall = drawdown(instants, equity)

    assert fall is not None
    assert fall.longest_underwater_ns == 4 * DAY_NS


def test_a_curve_that_only_rises_has_no_drawdown_instants() -> None:
    """Its drawdown is 0 percent, with neither peak nor trough."""
    fall = drawdown(*curve((0, 100), (1, 100), (2, 101)))

    assert fall is not None
    assert (fall.percent, fall.start_ns, fall.trough_ns, fall.longest_underwater_ns) == (0.0, None, None, 0)


def test_the_drawdown_of_no_samples_is_undefined() -> None:
    """Without a sample, and from an equity of nothing, there is no drawdown."""
    assert drawdown(*curve()) is None
    assert drawdown(*curve((0, 0.0), (1, 1.0))) is None


def test_sharpe_and_sortino_by_hand() -> None:
    """Returns +2, -1, +2, -1 percent: mean 0.5, sample deviation sqrt(3), downside sqrt(1/2) percent."""
    returns = np.array([0.02, -0.01, 0.02, -0.01])

    assert sharpe(returns) == pytest.approx(0.005 / (0.01 * math.sqrt(3)) * math.sqrt(365))
    assert sortino(returns) == pytest.approx(0.005 / (0.01 * math.sqrt(0.5)) * math.sqrt(365))


@pytest.mark.parametrize("scale", [1e-9, 0.01, 30.0])
def test_skew_and_kurtosis_are_the_moments_that_scipy_finds(scale: float) -> None:
    """Biased moments, kurtosis 3 of a normal distribution, whatever the size of the returns."""
    returns = np.random.default_rng(5).standard_gamma(2.0, size=300) * scale

    assert skew(returns) == pytest.approx(stats.skew(returns), rel=1e-12)
    assert kurtosis(returns) == pytest.approx(stats.kurtosis(returns, fisher=False), rel=1e-12)


def test_skew_and_kurtosis_are_undefined_where_the_sharpe_is() -> None:
    """Without returns, under two days, without variance, and where equity was lost."""
    for returns in (None, np.array([]), np.array([0.1]), np.full(5, 0.1), np.zeros(4)):
        assert skew(returns) is None
        assert kurtosis(returns) is None


@pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0, 0.0], [0.01, 0.01, 0.01]])
def test_sharpe_is_undefined_under_two_days_and_without_variance(returns: list[float]) -> None:
    """Undefined is None, never 0."""
    assert sharpe(np.array(returns)) is None


@pytest.mark.parametrize("returns", [[], [-0.01], [0.0, 0.0], [0.01, 0.02]])
def test_sortino_is_undefined_under_two_days_and_without_a_losing_day(returns: list[float]) -> None:
    """Undefined is None, never infinite."""
    assert sortino(np.array(returns)) is None


def test_rounding_noise_is_not_taken_for_variance() -> None:
    """Equity that grows by the same factor each day has returns that differ only by rounding."""
    returns = daily_returns(np.array([1_000.0 * 1.01**day for day in range(30)]))

    assert sharpe(returns) is None
    assert sortino(returns) is None


def test_ratios_are_undefined_once_equity_was_not_positive() -> None:
    """A return on nothing is no number, and neither is what follows from it."""
    daily = np.array([100.0, -5.0, 20.0])

    assert daily_returns(daily) is None
    assert sharpe(daily_returns(daily)) is None
    assert sortino(daily_returns(daily)) is None


def test_calmar_is_yearly_compound_return_over_drawdown() -> None:
    """Ten percent in 73 days, a fifth of a year, compound to 1.1 ** 5 - 1; the drawdown is 20 percent."""
    daily = np.linspace(100.0, 110.0, 74)

    assert annual_return(daily) == pytest.approx(1.1**5 - 1)
    assert calmar(daily, 20.0) == pytest.approx((1.1**5 - 1) / 0.2)


def test_calmar_is_undefined_without_drawdown_or_days_or_within_a_float() -> None:
    """No drawdown, one day, a lost account, and growth beyond every float give None."""
    assert calmar(np.array([100.0, 101.0, 102.0]), 0.0) is None
    assert calmar(np.array([100.0, 101.0]), 5.0) is None
    assert calmar(np.array([100.0, 50.0, -1.0]), 101.0) is None
    assert calmar(np.array([1.0, 50.0, 1_000.0]), 1.0) is None


@pytest.mark.parametrize("seed", range(8))
def test_ratios_equal_a_separate_computation_in_pandas(seed: int) -> None:
    """Daily values by resampling, deviations by pandas, drawdown by a loop: the same to twelve digits."""
    rng = np.random.default_rng(seed)
    count = 400
    steps = np.sort(rng.choice(np.arange(1, 30 * 24 * 60), count, replace=False)) * (DAY_NS // 1440)
    instants = START_NS + np.concatenate(([0], steps))
    equity = 1_000.0 * np.exp(np.concatenate(([0.0], np.cumsum(rng.normal(0, 0.01, count)))))
    end_ns = START_NS + 30 * DAY_NS
    series = pd.Series(equity, index=pd.DatetimeIndex(instants.astype("datetime64[ns]")))
    last = series.iloc[1:].resample("1D", closed="right", label="right").last().ffill()
    days = pd.date_range("2024-03-02", "2024-03-31", freq="1D")
    frame = pd.concat([series.iloc[:1], last.reindex(days, method="ffill").fillna(series.iloc[0])])
    expected_returns = frame.pct_change().iloc[1:]
    peak, deepest = equity[0], 0.0
    for value in equity:
        peak = max(peak, value)
        deepest = max(deepest, 1 - value / peak)

    daily = daily_equity(instants, equity, START_NS, end_ns)
    returns = daily_returns(daily)
    fall = drawdown(instants, equity)

    assert returns is not None
    assert len(returns) == 30
    assert sharpe(returns) == pytest.approx(expected_returns.mean() / expected_returns.std() * 365**0.5, rel=1e-12)
    downside = (expected_returns.clip(upper=0) ** 2).mean() ** 0.5
    assert sortino(returns) == pytest.approx(expected_returns.mean() / downside * 365**0.5, rel=1e-12)
    assert fall is not None
    assert fall.percent == pytest.approx(deepest * 100, rel=1e-12)
    yearly = (frame.iloc[-1] / frame.iloc[0]) ** (365 / 30) - 1
    assert calmar(daily, fall.percent) == pytest.approx(yearly / deepest, rel=1e-9)


# -- days of a market that closes --------------------------------------------------------------------------------------


def sampled(calendar: str, start: str, end: str, *samples: tuple[str, float], zone: str = "UTC") -> list[float]:
    """Daily equity by a calendar, of samples at instants."""
    instants = np.array([parse_instant(at) for at, _ in samples], np.int64)
    equity = np.array([value for _, value in samples])
    window = parse_instant(start), parse_instant(end)
    daily = daily_equity(instants, equity, *window, AccountDay(zone, "00:00"), calendar_named(calendar))
    return [float(value) for value in daily]


def test_a_weekend_and_a_holiday_are_no_days_of_an_exchange() -> None:
    """From Friday to Tuesday over Martin Luther King day of 2024: two returns and not five."""
    samples = (("2024-01-12", 100.0), ("2024-01-12T21:00Z", 101.0), ("2024-01-16T21:00Z", 103.0))

    assert sampled("XNYS", "2024-01-12", "2024-01-17", *samples) == [100.0, 101.0, 103.0]
    assert len(sampled("24/7", "2024-01-12", "2024-01-17", *samples)) == 6


def test_sunday_evening_belongs_to_monday_in_the_forex_week() -> None:
    """Five returns a week, though the week has parts of six days of UTC."""
    samples = (("2024-01-07", 100.0), ("2024-01-07T23:00Z", 90.0), ("2024-01-08T12:00Z", 104.0))

    assert sampled("forex", "2024-01-07", "2024-01-14", *samples) == [100.0, 104.0, 104.0, 104.0, 104.0, 104.0]


def test_what_happens_after_the_last_session_still_counts() -> None:
    """In the last day: the returns compound to that of the window."""
    samples = (("2024-01-11", 100.0), ("2024-01-12T20:00Z", 101.0), ("2024-01-13T12:00Z", 99.0))

    assert sampled("forex", "2024-01-11", "2024-01-14", *samples) == [100.0, 100.0, 99.0]
    assert sampled("forex", "2024-01-13", "2024-01-14", *samples[2:]) == [99.0, 99.0]


def test_a_session_that_the_window_cuts_is_a_day() -> None:
    """Here Friday, of which the window holds the morning."""
    samples = (("2024-01-11", 100.0), ("2024-01-12T16:00Z", 102.0))

    assert sampled("XNYS", "2024-01-11", "2024-01-12T16:00Z", *samples) == [100.0, 100.0, 102.0]


@pytest.mark.parametrize(
    ("calendar", "zone"), [("forex", "UTC"), ("forex", "Asia/Tokyo"), ("XNYS", "America/New_York")]
)
def test_a_year_has_a_return_for_each_session(calendar: str, zone: str) -> None:
    """Wherever the account's day begins."""
    window = "2023-01-01", "2024-01-01"
    sessions = calendar_named(calendar).sessions(*map(parse_instant, window))

    days = len(sampled(calendar, *window, ("2023-01-01", 100.0), zone=zone)) - 1

    assert days == len(sessions.day)


def test_ratios_are_annualised_by_the_days_of_the_year() -> None:
    """The same returns, of which a year has 252 or 365."""
    returns, daily = np.array([0.02, -0.01, 0.02, -0.01]), np.array([100.0, 101.0, 103.0])

    for ratio in (sharpe, sortino):
        always, sessions = ratio(returns), ratio(returns, 252)
        assert always is not None
        assert sessions == pytest.approx(always * (252 / 365) ** 0.5)
    assert annual_return(daily, 252) == pytest.approx(1.03**126 - 1)
    assert calmar(daily, 10.0, 252) == pytest.approx((1.03**126 - 1) / 0.1)


def test_a_long_window_keeps_its_last_day() -> None:
    """Ten years of days of UTC, with and without a stated start of the day."""
    start_ns, end_ns = parse_instant("2014-01-01"), parse_instant("2024-01-01")
    one = np.array([start_ns]), np.array([100.0])

    assert len(daily_equity(*one, start_ns, end_ns)) - 1 == 3652
    assert len(daily_equity(*one, start_ns, end_ns, AccountDay("UTC", "00:00"))) - 1 == 3652
