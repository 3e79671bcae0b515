"""The cheap phases at their bounds: counts, years whole and partial, dormant years, costs, Sharpe ratio, drawdown."""

import datetime as dt
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import InternalError
from src.core.timeframe import DAY_NS, HOUR_NS, parse_instant
from src.research.validation.phases import calendar_years, cheap_phases, found_text
from src.research.validation.ports import CandidateTrades, Period, PhaseResult, Status
from src.research.validation.section import PhasesSection


def period(start: str, end: str) -> Period:
    """From one date to another."""
    return Period(start_ns=parse_instant(start), end_ns=parse_instant(end))


FIVE_YEARS = period("2015-01-01", "2020-01-01")


def made(entries: list[int], r: list[float], **more: list[float]) -> CandidateTrades:
    """Trades of an hour each."""
    entry = np.array(entries, dtype=np.int64)
    return CandidateTrades(
        entry_ns=entry, exit_ns=entry + HOUR_NS, r_net=np.array(r, dtype=np.float64),
        **{name: np.array(values, dtype=np.float64) for name, values in more.items()},  # type: ignore[arg-type]  # columns
    )  # fmt: skip


def spread(count: int, r: float = 0.5) -> CandidateTrades:
    """So many equal trades over five years, with costs of a tenth."""
    step = (FIVE_YEARS.end_ns - FIVE_YEARS.start_ns) // max(count, 1)
    return made([FIVE_YEARS.start_ns + k * step for k in range(count)], [r] * count, cost_r=[0.1] * count)


def yearly(r: dict[int, list[float]], atr: float | None = None) -> CandidateTrades:
    """Trades in the given years, one a day from May on."""
    entries = [parse_instant(f"{year}-05-01") + k * DAY_NS for year, each in r.items() for k in range(len(each))]
    flat = [each for own in r.values() for each in own]
    return made(entries, flat, **({} if atr is None else {"atr": [atr] * len(flat)}))


def judged(
    trades: CandidateTrades, phase: str, over: Period = FIVE_YEARS, *, waivers: bool = True, **section: Any
) -> PhaseResult:
    """The result of one phase."""
    sections = PhasesSection.model_validate({phase: section} if section else {})
    results = cheap_phases(trades, sections, over, waivers=waivers)
    (found,) = [each for each in results if each.phase == phase]
    return found


def test_all_phases_are_computed_in_order_and_those_switched_off_are_absent() -> None:
    """Also where the first rejects."""
    everything = PhasesSection.model_validate({"sharpe": {"minimum": 1}, "drawdown": {"maximum_r": 5}})

    few = cheap_phases(spread(3), PhasesSection(), FIVE_YEARS, waivers=True)
    full = cheap_phases(spread(3), everything, FIVE_YEARS, waivers=True)

    assert [each.phase for each in few] == ["sample", "expectancy", "years", "cost_stress"]
    assert [each.phase for each in full] == ["sample", "expectancy", "years", "cost_stress", "sharpe", "drawdown"]


@pytest.mark.parametrize(
    ("count", "status", "warned"),
    [(29, "REJECT", False), (30, "PASS", True), (99, "PASS", True), (100, "PASS", False)],
)
def test_thirty_trades_are_enough_and_a_hundred_are_not_few(count: int, status: str, warned: bool) -> None:
    """Both bounds belong to the better side."""
    found = judged(spread(count), "sample")

    assert (found.status, bool(found.warning)) == (status, warned)
    assert dict(found.figures) == {"trades": count}


def test_a_reason_says_what_was_expected_and_what_was_found() -> None:
    """With numbers."""
    assert judged(spread(12), "sample").reason == "expected at least 30 trades, found 12"
    assert judged(spread(30, -0.25), "expectancy").reason == "expected a mean net R above 0, found -0.25"
    assert judged(spread(31), "sample").warning == "31 trades are few: below 100 every figure is uncertain"


def test_a_number_is_told_apart_from_the_bound_it_misses() -> None:
    """Rounded to four digits they would be the same."""
    assert found_text(0.09999999, 0.1) == "0.09999999"
    assert found_text(0.012345678, 0.1) == "0.01235"
    assert found_text(0.1, 0.1) == "0.1"
    assert found_text(None, 0.1) == "none"


def test_no_trades_at_all_pass_nothing() -> None:
    """What is missing fails closed."""
    section = PhasesSection.model_validate({"sharpe": {"minimum": -9}, "drawdown": {"maximum_r": 5}})

    with_costs = cheap_phases(made([], [], cost_r=[]), section, FIVE_YEARS, waivers=True)
    without = cheap_phases(made([], []), section, FIVE_YEARS, waivers=True)

    assert {each.status for each in with_costs} == {Status.REJECT}
    assert [each.status for each in without] == ["REJECT", "REJECT", "REJECT", "SKIP", "REJECT", "REJECT"]
    assert all(each.reason for each in (*with_costs, *without))


def test_a_single_trade_has_all_figures() -> None:
    """It has too few fellows, but nothing breaks."""
    section = PhasesSection.model_validate({"sharpe": {"minimum": 0}, "drawdown": {"maximum_r": 5}})

    found = {each.phase: each for each in cheap_phases(spread(1), section, FIVE_YEARS, waivers=True)}

    assert [each.status for each in found.values()] == ["REJECT", "PASS", "REJECT", "PASS", "PASS", "PASS"]
    assert dict(found["drawdown"].figures) == {"drawdown_r": 0.0}


def test_an_expectancy_has_to_lie_above_its_bound() -> None:
    """Exactly the bound is not above it, whatever binary fractions leave."""
    nothing = made([FIVE_YEARS.start_ns + k for k in range(3)], [0.1, 0.2, -0.3])

    assert judged(nothing, "expectancy").status == Status.REJECT
    assert judged(spread(7, 0.1), "expectancy", above=0.1).status == Status.REJECT
    assert judged(spread(7, 0.1), "expectancy", above=0.0999).status == Status.PASS


# -------------------------------------------------------------------------------------------------------------- years


@pytest.mark.parametrize(
    ("share", "years", "positive", "status"),
    [
        (0.6, 5, 3, "PASS"), (0.6, 5, 2, "REJECT"), (0.6, 10, 6, "PASS"), (0.6, 10, 5, "REJECT"),
        (0.55, 20, 11, "PASS"), (0.55, 20, 10, "REJECT"), (0.55, 100, 55, "PASS"), (0.55, 100, 54, "REJECT"),
        (0.7, 10, 7, "PASS"), (0.7, 10, 6, "REJECT"), (0.6, 4, 3, "PASS"), (0.6, 4, 2, "REJECT"), (0.0, 3, 0, "PASS"),
    ],
)  # fmt: skip
def test_exactly_the_share_of_positive_years_is_enough(share: float, years: int, positive: int, status: str) -> None:
    """Three of five are 60 %, and 55 of a hundred are 55 %."""
    trades = yearly({1971 + k: [1.0 if k < positive else -1.0] for k in range(years)})

    found = judged(trades, "years", period("1971-01-01", f"{1971 + years}-01-01"), positive_share=share)

    assert found.status == status
    assert dict(found.figures)["positive"] == positive


def test_a_year_that_comes_to_nothing_is_not_positive() -> None:
    """0.1 and 0.2 and -0.3 are nothing."""
    found = judged(yearly({2015: [0.1, 0.2, -0.3]}), "years", period("2015-01-01", "2016-01-01"))

    assert found.reason == "expected at least 1 of 1 full years positive (60 %), found 0"


def test_partial_years_are_shown_and_not_counted() -> None:
    """A period from 2 January on lacks a day of its first year; one to 31 December lacks one of its last."""
    trades = yearly({2015: [-1.0], 2016: [1.0], 2017: [-1.0]})

    found = judged(trades, "years", period("2015-01-02", "2017-12-31"))

    assert found.status == Status.PASS
    assert dict(found.figures) == {
        "full": 1, "positive": 1, "needed": 1, "dormant": 0, "partial": 2,
        "by_year": ((2015, "partial", 1, -1.0), (2016, "full", 1, 1.0), (2017, "partial", 1, -1.0)),
    }  # fmt: skip


def test_a_year_of_which_a_nanosecond_is_missing_is_partial() -> None:
    """At either end."""
    start, end = parse_instant("2015-01-01"), parse_instant("2016-01-01")

    assert [each.whole for each in calendar_years(start, end)] == [True]
    assert [each.whole for each in calendar_years(start + 1, end)] == [False]
    assert [each.whole for each in calendar_years(start, end - 1)] == [False]
    assert [each.year for each in calendar_years(start, end + 1)] == [2015, 2016]
    assert calendar_years(start, start) == ()


def test_without_a_full_year_nothing_is_known() -> None:
    """However good the partial ones are."""
    found = judged(yearly({2015: [1.0] * 40}), "years", period("2015-02-01", "2016-12-31"))

    assert found.reason == "expected at least 1 full year, found none (2 partial, 0 dormant)"
    assert found.status == Status.REJECT


def test_a_trade_at_midnight_of_the_new_year_belongs_to_the_new_year() -> None:
    """A nanosecond before it belongs to the old one, also if it ends in the new."""
    new_year = parse_instant("2016-01-01")

    found = judged(made([new_year - 1, new_year], [2.0, -1.0]), "years", period("2015-01-01", "2017-01-01"))

    assert dict(found.figures)["by_year"] == ((2015, "full", 1, 2.0), (2016, "full", 1, -1.0))


def test_every_full_year_needs_its_trades() -> None:
    """Years that are short are named; partial ones need none."""
    trades = yearly({2015: [1.0] * 3, 2016: [1.0] * 2, 2017: [1.0] * 3})

    found = judged(trades, "years", period("2015-01-01", "2018-06-01"), minimum_trades=3)
    one = judged(trades, "years", period("2015-01-01", "2019-01-01"))

    assert found.reason == "expected at least 3 trades in every full year, found 2 in 2016"
    assert one.reason == "expected at least 1 trade in every full year, found 0 in 2018"
    assert judged(trades, "years", period("2015-01-01", "2018-01-01"), minimum_trades=2).status == Status.PASS


DORMANT = {"atr_below": 0.2, "trades_at_most": 5}


@pytest.mark.parametrize(
    ("atr", "count", "label"),
    [
        (0.2, 5, "full"), (0.199999, 5, "dormant"), (0.199999, 6, "full"), (0.3, 5, "full"), (None, 5, "full"),
        (math.nan, 5, "full"), (math.inf, 5, "full"),
    ],
)  # fmt: skip
def test_a_dormant_year_has_few_trades_and_an_atr_below_the_bound(atr: float | None, count: int, label: str) -> None:
    """At the bound it is not below it; five trades are at most five; an unknown ATR is no low one."""
    trades = yearly({2015: [-1.0] * count, 2016: [1.0]}, atr)

    found = judged(trades, "years", period("2015-01-01", "2017-01-01"), dormant=DORMANT)

    assert [each[1] for each in dict(found.figures)["by_year"]][0] == label


def test_a_dormant_year_is_waived_unless_waivers_are_switched_off() -> None:
    """It is shown, and counted for nothing."""
    trades = yearly({2015: [-1.0] * 2, 2016: [1.0] * 6}, 0.1)
    section: dict[str, Any] = {"dormant": DORMANT, "minimum_trades": 3, "positive_share": 1.0}

    waived = judged(trades, "years", period("2015-01-01", "2017-01-01"), **section)
    counted = judged(trades, "years", period("2015-01-01", "2017-01-01"), waivers=False, **section)

    assert waived.status == Status.PASS
    assert dict(waived.figures)["by_year"][0] == (2015, "dormant", 2, -2.0)
    assert counted.status == Status.REJECT
    assert dict(counted.figures)["dormant"] == 0


def test_a_year_without_trades_is_never_dormant_and_dormant_years_alone_are_none() -> None:
    """Nobody measured its range."""
    trades = yearly({2015: [1.0]}, 0.1)

    empty = judged(trades, "years", period("2015-01-01", "2017-01-01"), dormant=DORMANT)
    alone = judged(trades, "years", period("2015-01-01", "2016-01-01"), dormant=DORMANT)

    assert [each[1] for each in dict(empty.figures)["by_year"]] == ["dormant", "full"]
    assert alone.reason == "expected at least 1 full year, found none (0 partial, 1 dormant)"


def test_the_range_of_a_year_is_a_mean_of_days() -> None:
    """Two trades of one day weigh as much as one of another: (0.1 + 0.3) / 2 and not (0.1 + 0.1 + 0.3) / 3."""
    start = parse_instant("2015-05-01")
    trades = made([start, start + HOUR_NS, start + DAY_NS], [-1.0] * 3, atr=[0.1, 0.1, 0.3])

    found = judged(trades, "years", period("2015-01-01", "2016-01-01"), dormant=DORMANT)

    assert dict(found.figures)["dormant"] == 0


def test_trades_outside_the_period_are_not_looked_at() -> None:
    """By any phase."""
    trades = yearly({2014: [9.0] * 50, 2015: [0.5] * 3})

    assert judged(trades, "sample").reason == "expected at least 30 trades, found 3"
    assert dict(judged(trades, "expectancy").figures) == {"mean_r": 0.5, "total_r": 1.5}


def test_trades_in_another_order_are_refused() -> None:
    """Every search would be wrong."""
    with pytest.raises(InternalError, match="in order of entry"):
        cheap_phases(made([5, 4], [1.0, 1.0]), PhasesSection(), Period(start_ns=0, end_ns=9), waivers=True)


def test_the_order_of_trades_entered_together_does_not_matter() -> None:
    """Every sum is exact before it is rounded."""
    values = [1e9, 0.1, -1e9, 0.2, 0.7, -0.4]
    instant = parse_instant("2015-05-01")
    section = PhasesSection.model_validate({"sharpe": {"minimum": 0}, "drawdown": {"maximum_r": 5}})

    found = [
        cheap_phases(made([instant] * 6, each, cost_r=[0.1] * 6), section, FIVE_YEARS, waivers=True)
        for each in (values, values[::-1], sorted(values))
    ]

    assert found[0] == found[1] == found[2]


# -------------------------------------------------------------------------------------- costs, Sharpe ratio, drawdown


def test_costs_that_nobody_knows_are_skipped() -> None:
    """All, or of one trade only."""
    entries = [FIVE_YEARS.start_ns + k for k in range(3)]

    none = judged(made(entries, [1.0] * 3), "cost_stress")
    one = judged(made(entries, [1.0] * 3, cost_r=[0.1, math.nan, 0.1]), "cost_stress")

    assert (none.status, one.status) == (Status.SKIP, Status.SKIP)
    assert "found no costs" in none.reason
    assert "found none for 1 of 3" in one.reason


def test_half_the_costs_again_have_to_leave_a_profit() -> None:
    """A mean of 0.05 with costs of 0.1 is exactly nothing at 1.5 times the costs."""
    entries = [FIVE_YEARS.start_ns + k for k in range(3)]

    at_bound = judged(made(entries, [0.05] * 3, cost_r=[0.1] * 3), "cost_stress")
    above = judged(made(entries, [0.051] * 3, cost_r=[0.1] * 3), "cost_stress")
    milder = judged(made(entries, [0.05] * 3, cost_r=[0.1] * 3), "cost_stress", factor=1.4)

    assert at_bound.reason == "expected a mean net R above 0 at costs times 1.5, found 0"
    assert (at_bound.status, above.status, milder.status) == ("REJECT", "PASS", "PASS")
    assert dict(above.figures) == {"factor": 1.5, "stressed_mean_r": 0.001}
    assert dict(milder.figures)["stressed_mean_r"] == 0.01


def test_costs_that_were_a_gain_are_not_multiplied() -> None:
    """Financing that paid 1 R would pay for everything under stress."""
    entries = [FIVE_YEARS.start_ns + k for k in range(2)]

    found = judged(made(entries, [0.1, -0.2], cost_r=[-1.0, 0.2]), "cost_stress")

    assert dict(found.figures)["stressed_mean_r"] == -0.1


def test_the_sharpe_ratio_is_that_of_all_days_with_zeros() -> None:
    """By day of exit, two on one day together, and what ends behind the period on its last day."""
    over = period("2015-01-01", "2015-01-11")
    start = over.start_ns
    trades = made([start, start + HOUR_NS, start + DAY_NS - 1, over.end_ns - 1], [1.0, 0.5, -0.3, 0.2])
    days = np.array([1.5, -0.3, 0, 0, 0, 0, 0, 0, 0, 0.2])
    expected = days.mean() / days.std(ddof=1) * math.sqrt(365)

    found = judged(trades, "sharpe", over, minimum=1)

    assert dict(found.figures)["sharpe"] == pytest.approx(expected, rel=1e-11)
    assert dict(found.figures)["days"] == 10


def test_a_sharpe_ratio_has_to_reach_its_minimum_and_exactly_it_is_enough() -> None:
    """What has none does not reach anything."""
    over = period("2015-01-01", "2015-01-03")
    two = made([over.start_ns, over.start_ns + DAY_NS], [0.3, 0.1])
    even = made([over.start_ns, over.start_ns + DAY_NS], [0.1, 0.1])
    value = dict(judged(two, "sharpe", over, minimum=0).figures)["sharpe"]

    assert judged(two, "sharpe", over, minimum=value).status == Status.PASS
    assert judged(two, "sharpe", over, minimum=value * 1.001).status == Status.REJECT
    assert judged(even, "sharpe", over, minimum=0).reason.endswith("at least 0, found none")


def test_a_drawdown_is_the_largest_fall_from_a_high_in_order_of_exit() -> None:
    """It begins at 0, and exactly the maximum is allowed."""
    entry = np.arange(5) + FIVE_YEARS.start_ns
    trades = CandidateTrades(
        entry_ns=entry, exit_ns=entry + np.array([50, 10, 20, 30, 40]), r_net=np.array([-3.0, -1.0, 4.0, -0.5, 0.2])
    )

    assert dict(judged(trades, "drawdown", maximum_r=3.3).figures) == {"drawdown_r": 3.3}
    assert judged(trades, "drawdown", maximum_r=3.3).status == Status.PASS
    assert judged(trades, "drawdown", maximum_r=3.29).reason == "expected a drawdown of at most 3.29 R, found 3.3"
    assert dict(judged(made([FIVE_YEARS.start_ns], [-1.0]), "drawdown", maximum_r=3).figures) == {"drawdown_r": 1.0}


def test_trades_that_end_together_are_one_step() -> None:
    """In which order they are booked is not known, and no fall between them ever was."""
    entry = np.array([FIVE_YEARS.start_ns] * 3)
    trades = CandidateTrades(entry_ns=entry, exit_ns=entry + 5, r_net=np.array([2.0, -1.5, 0.5]))

    assert dict(judged(trades, "drawdown", maximum_r=3).figures) == {"drawdown_r": 0.0}


# ------------------------------------------------------------------------------------------------- another way to count


MOMENTS = st.datetimes(dt.datetime(2014, 10, 1), dt.datetime(2019, 3, 1))
EDGES = st.sampled_from([dt.datetime(2015, 1, 1), dt.datetime(2016, 1, 1), dt.datetime(2018, 12, 31, 23)])


def naive_years(
    moments: list[tuple[dt.datetime, int]], start: dt.datetime, end: dt.datetime, share: Fraction, minimum: int
) -> tuple[str, list[tuple[int, str, int, Fraction]]]:
    """Year after year with dates and fractions; results are in hundredths of R."""
    rows = []
    for year in range(start.year, (end - dt.timedelta(microseconds=1)).year + 1):
        own = [Fraction(each, 100) for moment, each in moments if moment.year == year and start <= moment < end]
        whole = start <= dt.datetime(year, 1, 1) and dt.datetime(year + 1, 1, 1) <= end
        rows.append((year, "full" if whole else "partial", len(own), sum(own, Fraction(0))))
    full = [row for row in rows if row[1] == "full"]
    good = [row for row in full if row[3] > 0]
    if not full or any(row[2] < minimum for row in full) or Fraction(len(good), len(full)) < share:
        return "REJECT", rows
    return "PASS", rows


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    moments=st.lists(st.tuples(MOMENTS | EDGES, st.integers(-100, 150)), max_size=15),
    edges=st.lists(MOMENTS | EDGES, min_size=2, max_size=2, unique=True), share=st.integers(0, 20),
    minimum=st.integers(0, 2),
)  # fmt: skip
def test_years_equal_those_counted_with_dates(
    moments: list[tuple[dt.datetime, int]], edges: list[dt.datetime], share: int, minimum: int
) -> None:
    """For any trades, any period and any share."""
    start, end = sorted(edges)
    moments = sorted(moments)
    trades = made([parse_instant(each) for each, _ in moments], [each / 100 for _, each in moments])
    over = Period(start_ns=parse_instant(start), end_ns=parse_instant(end))

    found = judged(trades, "years", over, positive_share=share / 20, minimum_trades=minimum)

    status, rows = naive_years(moments, start, end, Fraction(share, 20), minimum)
    assert found.status == status
    assert dict(found.figures)["by_year"] == tuple((year, label, n, float(total)) for year, label, n, total in rows)
