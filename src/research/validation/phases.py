"""The cheap phases: what the trades of one candidate have to show before a walk-forward is worth its while.

Every phase is always computed, so that a table has all figures. Decisions are made on figures of 12 significant digits
and on counts, never on a quotient of floats. What is missing is a REJECT or a SKIP, never a PASS. Pure; any thread.
"""

import datetime as dt
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from src.core.bars import IntArray
from src.core.record import record
from src.core.timeframe import DAY_NS
from src.research.validation.figures import figure, mean_and_total_r, needed, total_r
from src.research.validation.ports import CandidateTrades, Period, PhaseResult, Status
from src.research.validation.section import (
    CostStressSection,
    DormantSection,
    DrawdownSection,
    ExpectancySection,
    PhasesSection,
    SampleSection,
    SharpeSection,
    YearsSection,
)
from src.research.validation.windows import entered_in

__all__ = ["Year", "calendar_years", "cheap_phases", "found_text", "result"]

_EPOCH_ORDINAL = dt.date(1970, 1, 1).toordinal()
_DAYS_PER_YEAR = 365


def cheap_phases(
    trades: CandidateTrades, section: PhasesSection, period: Period, *, waivers: bool
) -> tuple[PhaseResult, ...]:
    """Every phase that is switched on, in order: sample, expectancy, years, cost_stress, sharpe, drawdown.

    Only trades that were entered inside the period are looked at.

    Args:
        waivers: whether dormant years are left out; without it they count as any other.

    Raises:
        InternalError: the trades are not in order of entry, or one ends before it begins.
    """
    trades = entered_in(trades, period)
    r: list[float] = trades.r_net.tolist()
    results = [
        _sample(len(r), section.sample),
        _expectancy(r, section.expectancy),
        _years(trades, r, section.years, period, waivers),
        _cost_stress(trades, r, section.cost_stress),
    ]
    if section.sharpe.minimum is not None:
        results.append(_sharpe(trades, r, section.sharpe, period))
    if section.drawdown.maximum_r is not None:
        results.append(_drawdown(trades, section.drawdown))
    return tuple(results)


def result(phase: str, wrong: Sequence[str], figures: Sequence[tuple[str, Any]], warning: str = "") -> PhaseResult:
    """A PASS, or a REJECT for all that is wrong."""
    return PhaseResult(
        phase=phase, status=Status.REJECT if wrong else Status.PASS, reason="; ".join(wrong), warning=warning,
        figures=tuple(figures),
    )  # fmt: skip


def found_text(value: float | None, bound: float) -> str:
    """A number for people, with as many digits as it takes to tell it from the bound; `none` for None."""
    if value is None:
        return "none"
    short = f"{value:.4g}"
    return short if value == bound or float(short) != bound else f"{value:.12g}"


# ------------------------------------------------------------------------------------------------- sample, expectancy


def _sample(count: int, section: SampleSection) -> PhaseResult:
    wrong, warning = [], ""
    if count < section.reject_below:
        wrong = [f"expected at least {section.reject_below} trades, found {count}"]
    elif count < section.warn_below:
        warning = f"{count} trades are few: below {section.warn_below} every figure is uncertain"
    return result("sample", wrong, (("trades", count),), warning)


def _expectancy(r: list[float], section: ExpectancySection) -> PhaseResult:
    mean, total = mean_and_total_r(r)
    wrong = []
    if mean is None or not mean > section.above:
        wrong = [f"expected a mean net R above {section.above:g}, found {found_text(mean, section.above)}"]
    return result("expectancy", wrong, (("mean_r", mean), ("total_r", total)))


# -------------------------------------------------------------------------------------------------------------- years


@record
class Year:
    """A calendar year (UTC), or what the period covers of it; `whole` if that is all of it."""

    year: int
    start_ns: int
    end_ns: int
    whole: bool


@lru_cache(maxsize=64)
def calendar_years(start_ns: int, end_ns: int) -> tuple[Year, ...]:
    """The calendar years that an interval touches, in order; none of an empty one."""
    if end_ns <= start_ns:
        return ()
    found = []
    for year in range(_date(start_ns).year, _date(end_ns - 1).year + 1):
        begin, end = _new_year(year), _new_year(year + 1)
        whole = start_ns <= begin and end <= end_ns
        found.append(Year(year=year, start_ns=max(begin, start_ns), end_ns=min(end, end_ns), whole=whole))
    return tuple(found)


@lru_cache(maxsize=64)
def _year_edges(start_ns: int, end_ns: int) -> IntArray:
    years = calendar_years(start_ns, end_ns)
    return np.array([each.start_ns for each in years] + [end_ns], dtype=np.int64)


def _date(instant_ns: int) -> dt.date:
    return dt.date.fromordinal(_EPOCH_ORDINAL + instant_ns // DAY_NS)


def _new_year(year: int) -> int:
    return (dt.date(year, 1, 1).toordinal() - _EPOCH_ORDINAL) * DAY_NS


def _years(
    trades: CandidateTrades, r: list[float], section: YearsSection, period: Period, waivers: bool
) -> PhaseResult:
    years = calendar_years(period.start_ns, period.end_ns)
    places = np.searchsorted(trades.entry_ns, _year_edges(period.start_ns, period.end_ns)).tolist()
    dormant = section.dormant if waivers else None
    shown: list[tuple[int, str, int, float | None]] = []
    labels = {"full": 0, "dormant": 0, "partial": 0}
    positive, short = 0, []
    for place, year in enumerate(years):
        first, last = places[place], places[place + 1]
        total = total_r(r[first:last])
        label = "partial"
        if year.whole:
            label = "dormant" if dormant is not None and _is_dormant(trades, first, last, dormant) else "full"
        labels[label] += 1
        if label == "full":
            positive += total is not None and total > 0
            if last - first < section.minimum_trades:
                short.append(f"{last - first} in {year.year}")
        shown.append((year.year, label, last - first, total))
    full = labels["full"]
    asked = needed(section.positive_share, full)
    wrong = []
    if not full:
        wrong.append(
            f"expected at least 1 full year, found none ({labels['partial']} partial, {labels['dormant']} dormant)"
        )
    elif positive < asked:
        share = f"{section.positive_share * 100:g} %"
        wrong.append(f"expected at least {asked} of {full} full years positive ({share}), found {positive}")
    if short:
        least = "1 trade" if section.minimum_trades == 1 else f"{section.minimum_trades} trades"
        wrong.append(f"expected at least {least} in every full year, found {', '.join(short)}")
    counts = (("full", full), ("positive", positive), ("needed", asked), *list(labels.items())[1:])
    return result("years", wrong, (*counts, ("by_year", tuple(shown))))


def _is_dormant(trades: CandidateTrades, first: int, last: int, section: DormantSection) -> bool:
    """Few trades, at an average range below the bound; where one of the ranges is unknown the year is not waived."""
    if trades.atr is None or not 0 < last - first <= section.trades_at_most:
        return False
    days: dict[int, list[float]] = {}
    for entry, atr in zip(trades.entry_ns[first:last].tolist(), trades.atr[first:last].tolist(), strict=True):
        days.setdefault(entry // DAY_NS, []).append(atr)
    means = [math.fsum(each) / len(each) for each in days.values()]
    mean = figure(math.fsum(means) / len(means))
    return mean is not None and mean < section.atr_below


# -------------------------------------------------------------------------------------- costs, Sharpe ratio, drawdown


def _cost_stress(trades: CandidateTrades, r: list[float], section: CostStressSection) -> PhaseResult:
    """With costs a factor higher. A trade whose costs were negative, because financing paid, keeps what it got:
    a stress that multiplied a gain would help."""
    cost = trades.cost_r
    if cost is None or not np.isfinite(cost).all():
        unknown = len(r) if cost is None else len(r) - int(np.count_nonzero(np.isfinite(cost)))
        what = "found no costs" if cost is None else f"found none for {unknown} of {len(r)}"
        return PhaseResult(
            phase="cost_stress", status=Status.SKIP, figures=(("factor", section.factor), ("stressed_mean_r", None)),
            reason=f"expected the costs of each trade in R, {what}: nobody can say what higher ones would do",
        )  # fmt: skip
    more = section.factor - 1
    # Both parts go into one exact sum.
    with np.errstate(over="ignore"):  # then the sum is no number, and nothing passes
        extra = (-more * cost[cost > 0]).tolist()
    total = total_r(r + extra)
    mean = figure(total / len(r)) if r and total is not None else None
    wrong = []
    if mean is None or not mean > 0:
        wrong = [f"expected a mean net R above 0 at costs times {section.factor:g}, found {found_text(mean, 0.0)}"]
    return result("cost_stress", wrong, (("factor", section.factor), ("stressed_mean_r", mean)))


def _sharpe(trades: CandidateTrades, r: list[float], section: SharpeSection, period: Period) -> PhaseResult:
    """Net R by day of exit (UTC), over all days of the period, those without an exit as 0; annual with 365 days.

    What is closed behind the period is booked on its last day.
    """
    assert section.minimum is not None
    last = (period.end_ns - 1) // DAY_NS
    count = last - period.start_ns // DAY_NS + 1
    days: dict[int, list[float]] = {}
    for exit_ns, each in zip(trades.exit_ns.tolist(), r, strict=True):
        days.setdefault(min(exit_ns // DAY_NS, last), []).append(each)
    sums = [math.fsum(each) for each in days.values()]
    ratio = None
    if r and count >= 2:
        mean = math.fsum(sums) / count
        squares = [(each - mean) ** 2 for each in sums] + [(count - len(sums)) * mean**2]
        deviation = math.sqrt(math.fsum(squares) / (count - 1))
        # Days that are all equal deviate by what binary fractions leave, and have no ratio.
        if deviation > 1e-12 * abs(mean):
            ratio = figure(mean / deviation * math.sqrt(_DAYS_PER_YEAR))
    wrong = []
    if ratio is None or ratio < section.minimum:
        found = found_text(ratio, section.minimum)
        wrong = [f"expected an annual Sharpe ratio of at least {section.minimum:g}, found {found}"]
    return result("sharpe", wrong, (("sharpe", ratio), ("days", count)))


def _drawdown(trades: CandidateTrades, section: DrawdownSection) -> PhaseResult:
    """The largest fall of the running sum of net R from its highest point, which begins at 0.

    What is closed at one instant is one step.
    """
    assert section.maximum_r is not None
    order = np.lexsort((trades.r_net, trades.exit_ns))
    exits = trades.exit_ns[order]
    fall: float | None = None
    if len(exits):
        running = np.cumsum(trades.r_net[order])[np.append(exits[1:] != exits[:-1], True)]
        peak = np.maximum.accumulate(np.maximum(running, 0.0))
        fall = figure(float(np.max(peak - running)))
    wrong = []
    if fall is None or fall > section.maximum_r:
        found = found_text(fall, section.maximum_r)
        wrong = [f"expected a drawdown of at most {section.maximum_r:g} R, found {found}"]
    return result("drawdown", wrong, (("drawdown_r", fall),))
