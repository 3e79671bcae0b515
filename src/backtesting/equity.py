"""What an equity curve says: drawdown, daily returns and their shape, volatility, Sharpe, Sortino and Calmar ratio.

Pure functions over arrays; any thread. A ratio that cannot be computed is None, never 0 and never NaN. Samples come at
the steps of a run, so an extreme inside a bar is not seen.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from src.core.bars import FloatArray, IntArray
from src.core.calendars import ALWAYS, Calendar, calendar_named
from src.core.day import AccountDay
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS

__all__ = [
    "Drawdown", "annual_return", "calmar", "daily_equity", "daily_returns", "day_ends", "drawdown", "kurtosis",
    "shared_calendar", "sharpe", "skew", "sortino", "volatility",
]  # fmt: skip

#: Daily returns a year where the market never closes: each calendar day gives one.
DAYS_PER_YEAR = 365.0

# Equity is float64: a daily return below this is rounding, and so is a deviation.
_NOISE = 1e-14


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """The deepest fall of an equity curve.

    Attributes:
        percent: largest fall in percent of the highest equity before it; `start_ns` is that peak, `trough_ns` its low.
        money: largest fall in money, which may be another one.
        longest_underwater_ns: longest time below a former peak, up to the last sample.
    """

    percent: float
    money: float
    start_ns: int | None
    trough_ns: int | None
    longest_underwater_ns: int


def drawdown(instants_ns: IntArray, equity: FloatArray) -> Drawdown | None:
    """The deepest fall over samples of shape (n,); None without a sample or when equity starts at nothing."""
    if len(equity) == 0 or equity[0] <= 0:
        return None
    peak = np.maximum.accumulate(equity)
    fall = peak - equity
    share = fall / peak
    trough = int(np.argmax(share))
    at_peak = np.flatnonzero(equity >= peak)
    # Between two neighbouring samples at the peak nothing was lost; a longer way, or the way to the end, was under it.
    marks = np.append(at_peak, len(equity) - 1) if at_peak[-1] != len(equity) - 1 else at_peak
    apart = np.diff(marks) > 1
    if at_peak[-1] != len(equity) - 1:
        apart[-1] = True
    spans = np.diff(instants_ns[marks])[apart]
    fell = fall[trough] > 0
    start = int(np.flatnonzero(equity[: trough + 1] >= peak[trough])[-1])
    return Drawdown(
        percent=float(share[trough]) * 100,
        money=float(fall.max()),
        start_ns=int(instants_ns[start]) if fell else None,
        trough_ns=int(instants_ns[trough]) if fell else None,
        longest_underwater_ns=int(spans.max()) if len(spans) else 0,
    )


def daily_equity(
    instants_ns: IntArray, equity: FloatArray, start_ns: int, end_ns: int, day: AccountDay | None = None,
    calendar: Calendar | None = None,
) -> FloatArray:  # fmt: skip
    """Equity at the start and at the end of each day, flat days included, shape (days + 1,).

    A day ends at the next midnight; what was marked exactly then still belongs to it, because a bar that closes at
    midnight is a bar of the day before. A first or last day of which the window holds only a part counts as a day.
    Where the market closes, a day in which no session ends, such as Saturday or a holiday, is a part of the next one in
    which one does, so that a year has as many days as the calendar has sessions.

    Args:
        instants_ns: shape (n,), not decreasing; of several samples at one instant the last counts.
        equity: shape (n,).
        day: when the account's day starts; midnight UTC by default.
        calendar: when the account's market is open; always by default.

    Raises:
        ConfigError: the calendar does not know the window.
    """
    if len(equity) == 0 or end_ns <= start_ns:
        return equity[:1].astype(np.float64)
    ends = day_ends(start_ns, end_ns, day, calendar)
    at = np.searchsorted(instants_ns, ends, side="right") - 1
    return np.concatenate((equity[:1], equity[np.maximum(at, 0)])).astype(np.float64)


def day_ends(
    start_ns: int, end_ns: int, day: AccountDay | None = None, calendar: Calendar | None = None
) -> IntArray:  # fmt: skip
    """When the days of `daily_equity` end, shape (days,); the last one may end after the window.

    Raises:
        ConfigError: the calendar does not know the window.
    """
    ends = _all_day_ends(start_ns, end_ns, day)
    if calendar is None or calendar.name == ALWAYS:
        return ends
    closes = calendar.sessions(start_ns, end_ns).close_ns
    traded = np.unique(np.searchsorted(ends, np.minimum(closes, end_ns), side="left"))
    # The last day lasts to the end of the window, so that the returns compound to that of the whole.
    last_days: IntArray = ends[np.append(traded[:-1], len(ends) - 1)]
    return last_days


def shared_calendar(names: Iterable[str], start_ns: int, end_ns: int) -> Calendar:
    """The calendar that all symbols share; where they differ, or it does not know the window, one that never closes.

    Raises:
        ConfigError: a name is that of no calendar.
    """
    calendars = {calendar.name: calendar for calendar in map(calendar_named, names)}
    always = calendar_named(ALWAYS)
    if len(calendars) != 1:
        return always
    shared = next(iter(calendars.values()))
    try:
        shared.sessions(start_ns, max(start_ns + 1, end_ns))
    except ConfigError:  # the run is over; its figures are not lost for want of a calendar
        return always
    return shared


def _all_day_ends(start_ns: int, end_ns: int, day: AccountDay | None) -> IntArray:
    if day is None:
        first = (start_ns // DAY_NS + 1) * DAY_NS
        last = -(-end_ns // DAY_NS) * DAY_NS
        # Counted in days: over nanoseconds `np.arange` finds its length in floats, and loses the last day of a year.
        return np.arange(first // DAY_NS, last // DAY_NS + 1, dtype=np.int64) * DAY_NS
    ends = [day.next_start_ns(start_ns)]
    while ends[-1] < end_ns:
        ends.append(day.next_start_ns(ends[-1]))
    return np.array(ends, dtype=np.int64)


def daily_returns(equity: FloatArray) -> FloatArray | None:
    """Relative changes from day to day, shape (days,); None when equity was not positive at the end of some day."""
    if len(equity) and equity.min() <= 0:
        return None
    return equity[1:] / equity[:-1] - 1.0


def volatility(returns: FloatArray | None, days_per_year: float = DAYS_PER_YEAR) -> float | None:
    """`std(r, n - 1) * sqrt(days per year)`, as a fraction; None under two days."""
    if returns is None or len(returns) < 2:
        return None
    return float(np.std(returns, ddof=1)) * math.sqrt(days_per_year)


def sharpe(returns: FloatArray | None, days_per_year: float = DAYS_PER_YEAR) -> float | None:
    """`mean(r) / std(r, n - 1) * sqrt(days per year)` without a risk-free rate.

    None under two days or without variance.

    Source: W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21 (1994), ex post ratio; annualised by
    the square root of the days of a year that give a return each.
    """
    if returns is None or len(returns) < 2:
        return None
    deviation = float(np.std(returns, ddof=1))
    return None if deviation <= _NOISE else float(np.mean(returns)) / deviation * math.sqrt(days_per_year)


def sortino(returns: FloatArray | None, days_per_year: float = DAYS_PER_YEAR) -> float | None:
    """`mean(r) / sqrt(mean(min(r, 0)^2)) * sqrt(days per year)`; None under two days or without a losing day.

    Source: F. A. Sortino and L. N. Price, "Performance Measurement in a Downside Risk Framework", Journal of Investing
    3 (1994), with 0 as the least acceptable return; the mean of squares is over all days.
    """
    if returns is None or len(returns) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return None if downside <= _NOISE else float(np.mean(returns)) / downside * math.sqrt(days_per_year)


def skew(returns: FloatArray | None) -> float | None:
    """Skewness of the daily returns, third over second moment to 3/2, moments of the sample as it is (biased).

    None under two days or without variance. Source: Fisher's moment coefficient `g1`.
    """
    moments = _moments(returns)
    return None if moments is None else moments[1] / (moments[0] * math.sqrt(moments[0]))


def kurtosis(returns: FloatArray | None) -> float | None:
    """Kurtosis of the daily returns, fourth over squared second moment: 3 for a normal distribution (not the excess).

    None under two days or without variance. Source: Pearson's moment coefficient `b2`, biased.
    """
    moments = _moments(returns)
    return None if moments is None else moments[2] / (moments[0] * moments[0])


def _moments(returns: FloatArray | None) -> tuple[float, float, float] | None:
    """The second, third and fourth central moment; None under two days or without variance."""
    if returns is None or len(returns) < 2 or float(np.std(returns, ddof=1)) <= _NOISE:
        return None
    from_mean = returns - np.mean(returns)
    squared = from_mean * from_mean  # products and no powers, which differ between processors
    return float(np.mean(squared)), float(np.mean(squared * from_mean)), float(np.mean(squared * squared))


def annual_return(equity: FloatArray, days_per_year: float = DAYS_PER_YEAR) -> float | None:
    """The compound yearly return of daily equity, as a fraction: `(last / first) ** (days per year / days) - 1`.

    None under two days, when equity is not positive at an end, or when the number is beyond a float.
    """
    days = len(equity) - 1
    if days < 2 or equity[0] <= 0 or equity[-1] <= 0:
        return None
    growth = math.log(float(equity[-1]) / float(equity[0])) * days_per_year / days
    return math.expm1(growth) if growth < 700 else None


def calmar(equity: FloatArray, drawdown_percent: float | None, days_per_year: float = DAYS_PER_YEAR) -> float | None:
    """Compound yearly return over the largest drawdown of the same window; None without either.

    Source: T. W. Young, "Calmar Ratio: A Smoother Tool", Futures 20 (1991), over the whole window instead of 36 months.
    """
    yearly = annual_return(equity, days_per_year)
    return None if yearly is None or not drawdown_percent else yearly / (drawdown_percent / 100)
