"""How likely the net R of a candidate would be without any edge: one-sided p-values, clustered by day.

Every method judges the sums of R over the days on which trades were entered, so that trades of one day, which share
their weather, count as one observation. The null hypothesis is a mean of at most 0. What each method is trusted for is
told in docs/statistics.md. Pure; any thread. Sums are exact, so neither the order of the trades nor the processor
counts; what is drawn comes from a stream of its own for each candidate, so no candidate changes another's.
"""

import math
from collections.abc import Callable

import numpy as np

from src.core.bars import FloatArray, IntArray
from src.core.errors import ConfigError
from src.core.record import record
from src.core.rng import numpy_stream
from src.research.validation.figures import figure
from src.research.validation.section import MultipleTestingSection

__all__ = [
    "PVALUES",
    "TRUSTED_DAYS_T",
    "Moments",
    "PValue",
    "by_day",
    "crowd",
    "day_sums",
    "johnson",
    "moments",
    "p_value",
    "resampled_floor",
]

# The tail of the plain t-test is at most twice the nominal one from here on, at 3e-6, the first threshold of Benjamini
# and Yekutieli for 2,000 candidates, for trades of +1R and -3R without an edge; exactly, from the binomial
# distribution. At 30 days it is 595 times, at 200 18 times, at 1,000 3.8 times the nominal one.
TRUSTED_DAYS_T = 5000

# A spread of the days this small beside their size is rounding.
_NO_SPREAD = 1e-9

# Beyond these the cube of a number, or of a spread, leaves the range of floating-point numbers.
_HUGE, _TINY = 1e90, 1e-90

# A resample this close below what was found counts as reaching it: rounding must not make a p-value smaller.
_TIE = 1e-9


@record
class PValue:
    """A one-sided p-value for a mean net R above 0.

    Attributes:
        value: from 0 to 1, 12 significant digits; 1 where nothing can be said.
        clusters: how many days it is based on.
        floor: the least value that the method can give with its resamples; 0 where there is no such bound.
        note: a sentence for people: why nothing can be said, or how far the value is not to be trusted; else empty.
    """

    value: float
    clusters: int
    floor: float = 0.0
    note: str = ""


@record
class Moments:
    """What the tests need to know of the days.

    Attributes:
        days: how many.
        mean: of their sums.
        deviation: standard deviation over `days - 1`.
        t: Student's statistic against 0.
        skew: third central moment over `days`, divided by `deviation` cubed; as Johnson has it.
    """

    days: int
    mean: float
    deviation: float
    t: float
    skew: float


def by_day(r: FloatArray, day: IntArray) -> tuple[IntArray, FloatArray]:
    """The days that have trades, ascending, and the sum of R of each; exact before its one rounding.

    Args:
        r: per trade; shape (n,).
        day: any number that is equal for trades of one day and grows with time; shape (n,).

    Returns:
        Days and sums; both of shape (days,).
    """
    if not len(r):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    if bool(np.any(day[1:] < day[:-1])):
        order = np.argsort(day, kind="stable")
        r, day = r[order], day[order]
    starts = np.concatenate([[0], np.flatnonzero(day[1:] != day[:-1]) + 1])
    ends = np.append(starts[1:], len(r))
    # The sum of two is as exact as fsum's, and most days have no more; adding 0 turns -0.0 to 0.0, as fsum does.
    pairs = ends - starts == 2
    sums: FloatArray = r[starts] + 0.0
    with np.errstate(over="ignore"):
        sums[pairs] += r[starts[pairs] + 1] + 0.0
    rest = np.flatnonzero((ends - starts > 2) | ~np.isfinite(sums)).tolist()
    if rest:
        plain = r.tolist()
        for at in rest:
            sums[at] = math.fsum(plain[starts[at] : ends[at]])
    return day[starts], sums


def day_sums(r: FloatArray, day: IntArray) -> FloatArray:
    """The sums of `by_day` alone."""
    return by_day(r, day)[1]


def moments(sums: FloatArray) -> Moments:
    """Mean, deviation, Student's statistic and skew of days that are not all equal; at least two; shape (days,)."""
    days = len(sums)
    mean = math.fsum(sums.tolist()) / days
    off = sums - mean
    deviation = math.sqrt(math.fsum((off * off).tolist()) / (days - 1))
    third = math.fsum((off * off * off).tolist()) / days
    skew = third / (deviation * deviation * deviation)
    return Moments(days=days, mean=mean, deviation=deviation, t=mean * math.sqrt(days) / deviation, skew=skew)


def johnson(t: float, skew: float, days: int) -> float:
    """Student's statistic adjusted for skew: `t + g / (6 sqrt(n)) * (1 + 2 t^2)`.

    Source: N. J. Johnson, "Modified t Tests and Confidence Intervals for Asymmetrical Populations", Journal of the
    American Statistical Association 73 (1978), there `[(x - mu) + m3 / (6 s^2 n) + m3 / (3 s^4) (x - mu)^2] / (s /
    sqrt(n))`, which is the same with `g = m3 / s^3`.
    """
    return t + skew / (6 * math.sqrt(days)) * (1 + 2 * t * t)


def _tail(t: float, days: int) -> float:
    """The probability that Student's statistic of so many days is at least this."""
    from scipy.special import stdtr  # here, because a plain backtest shall not wait for it to be imported

    return float(stdtr(days - 1, -t))


def _adjusted_tail(found: Moments) -> float:
    """Johnson's p-value; of a mean that is not above 0 never less than the plain one.

    The adjustment is a parabola: far below 0 it would turn a loss with positive skew into evidence of a profit.
    """
    value = _tail(johnson(found.t, found.skew, found.days), found.days)
    return value if found.t > 0 else max(value, _tail(found.t, found.days))


def crowd(day: IntArray) -> int:
    """How many trades a crowded day has: the root mean square over the days that have any, rounded up; at least 1.

    Args:
        day: as of `day_sums`.
    """
    _, counts = np.unique(day, return_counts=True)
    mean_square = -(-sum(count * count for count in counts.tolist()) // max(1, len(counts)))
    root = math.isqrt(mean_square)
    return max(1, root if root * root == mean_square else root + 1)


def _robust(sums: FloatArray, crowded: int, section: MultipleTestingSection, name: str) -> tuple[float, float, str]:
    """The larger of the plain and of Johnson's p-value, with one further day that lost as much as can be lost.

    That is the worst loss on each trade of a crowded day: trades of a day lose together, and the loss of one trade
    would be small beside days of several.
    """
    lost = max(section.worst_r * crowded, -float(sums.min()))
    found = moments(np.append(sums, -lost))
    return max(_tail(found.t, found.days), _adjusted_tail(found)), 0.0, ""


def _plain(sums: FloatArray, crowded: int, section: MultipleTestingSection, name: str) -> tuple[float, float, str]:
    """Student's one-sample test of the days."""
    days = len(sums)
    note = ""
    if days < TRUSTED_DAYS_T:
        note = (
            f"the plain t-test is not trusted below {TRUSTED_DAYS_T} days with trades, found {days}: of trades that "
            "rarely lose much it lets far more through than it says; use robust"
        )
    return _tail(moments(sums).t, days), 0.0, note


def _skewed(sums: FloatArray, crowded: int, section: MultipleTestingSection, name: str) -> tuple[float, float, str]:
    """Johnson's test of the days."""
    note = "Johnson's test knows no loss that the days have not met; where losses are rare and large use robust"
    return _adjusted_tail(moments(sums)), 0.0, note


def _bootstrap(sums: FloatArray, crowded: int, section: MultipleTestingSection, name: str) -> tuple[float, float, str]:
    """How often days drawn from the centred ones have a Student's statistic as large as the one that was found.

    Source: P. Hall and S. R. Wilson, "Two Guidelines for Bootstrap Hypothesis Testing", Biometrics 47 (1991): the null
    is imposed by centring, and the statistic is studentised; `(1 + reached) / (1 + resamples)` after A. C. Davison and
    D. V. Hinkley, "Bootstrap Methods and their Application" (1997), section 4.2.
    """
    found = moments(sums)
    days, resamples = found.days, section.resamples
    stream = numpy_stream(section.seed, "validation p-value", name)
    centred = sums - found.mean
    squared = centred * centred
    first, second = np.zeros(resamples), np.zeros(resamples)
    for _ in range(days):  # one day of every resample at a time: few numbers at once, and sums in a fixed order
        drawn = stream.integers(0, days, size=resamples)
        first += centred[drawn]
        second += squared[drawn]
    variance = np.maximum(second - first * first / days, 0.0) / (days - 1)
    # Sums are compared, not quotients, because resamples of equal days have no deviation to divide by.
    bar = found.t * math.sqrt(days) * np.sqrt(variance)
    reached = int(np.count_nonzero(first >= bar - _TIE * (np.abs(bar) + found.deviation)))
    floor = resampled_floor(section)
    note = (
        f"{resamples} resamples can show no less than {floor:.3g}, and contain no loss that the days have not met; "
        "where losses are rare and large use robust"
    )
    return (1 + reached) / (1 + resamples), floor, note


def resampled_floor(section: MultipleTestingSection) -> float:
    """The least p-value that resamples can give; 0 for methods that draw nothing."""
    return 1 / (1 + section.resamples) if section.p_value == "bootstrap" else 0.0


Method = Callable[[FloatArray, int, MultipleTestingSection, str], tuple[float, float, str]]

# By the name in the configuration: from the days, how many trades a crowded one has, the section and the name of the
# stream to value, floor and note.
PVALUES: dict[str, Method] = {"robust": _robust, "t": _plain, "skew_t": _skewed, "bootstrap": _bootstrap}


def p_value(name: str, r: FloatArray, day: IntArray, section: MultipleTestingSection, stream_name: str) -> PValue:
    """The one-sided p-value of a mean net R above 0, by the method of this name.

    Fails closed: fewer than two days, days that are all equal, and values that are not finite give 1 and say so.

    Args:
        name: a key of `PVALUES`.
        r: net R of each trade; shape (n,).
        day: the day of its entry, counted in days; shape (n,).
        section: the loss to reckon with, and what belongs to resampling.
        stream_name: what the numbers drawn depend on beside the seed: the candidate's id.

    Raises:
        ConfigError: there is no such method.
        ValueError: the arrays have different lengths.
    """
    if name not in PVALUES:
        raise ConfigError(f"multiple_testing.p_value: expected one of {', '.join(PVALUES)}, found {name!r}")
    if len(r) != len(day):
        raise ValueError(f"expected a day for each of {len(r)} trades, found {len(day)}")
    floor = resampled_floor(section) if name == "bootstrap" else 0.0
    if not bool(np.all(np.abs(r) < _HUGE)):
        return PValue(value=1.0, clusters=0, floor=floor, note="a trade has no finite net R, so nothing can be said")
    sums = day_sums(r, day)
    days = len(sums)
    if days < 2:
        note = f"expected trades on at least 2 days, found {days}, so nothing can be said"
        return PValue(value=1.0, clusters=days, floor=floor, note=note)
    low, high = float(sums.min()), float(sums.max())
    if not high - low > max(_NO_SPREAD * max(abs(low), abs(high)), _TINY):
        note = f"the sums of all {days} days are equal, so nothing can be said"
        return PValue(value=1.0, clusters=days, floor=floor, note=note)
    value, floor, note = PVALUES[name](sums, crowd(day), section, stream_name)
    rounded = figure(value)
    if rounded is None:
        return PValue(value=1.0, clusters=days, floor=floor, note="the test gives no number, so nothing can be said")
    # Rounding to twelve digits must not end below the floor.
    return PValue(value=min(max(rounded, floor), 1.0), clusters=days, floor=floor, note=note)
