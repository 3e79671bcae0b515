"""The figures beside those of empyrical-reloaded, quantstats and scipy, as docs/metrics.md says they compare."""

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from src.backtesting.artifacts import write_run
from src.backtesting.metrics import GroupMetrics, Metrics, compute_metrics
from src.backtesting.stored_run import Run
from tests.backtesting.results.worlds import World, summary

# Their own words about numpy, pandas and matplotlib of tomorrow.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    empyrical = pytest.importorskip("empyrical", reason="empyrical-reloaded is not installed")
    quantstats = pytest.importorskip("quantstats", reason="quantstats is not installed")
    from scipy import stats as scipy_stats

pytestmark = pytest.mark.filterwarnings("ignore::Warning")

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
YEARS = {"24/7": 365.0, "24/5": 260.8}
#: The figures that the libraries define alike, in units of theirs, each with what they call it.
ALIKE = {
    "sharpe": ("sharpe_ratio", "sharpe", 1.0),
    "sortino": ("sortino_ratio", "sortino", 1.0),
    "annual_volatility_percent": ("annual_volatility", "volatility", 100.0),
    "annual_return_percent": ("annual_return", "cagr", 100.0),
}


def steps(day_returns: list[float], *, inside: float = 0.0) -> World:
    """A run whose equity makes these daily returns; `inside` is how far it falls for an hour in the middle of a day."""
    world = World(days=float(len(day_returns)))
    equity = world.balance
    for day, change in enumerate(day_returns):
        if inside:
            world.sample(24.0 * day + 12.0, equity * (1.0 - inside))
        equity *= 1.0 + change
        world.sample(24.0 * (day + 1), equity)
    world.open_profit = equity - world.balance
    return world


def known(metrics: Metrics, returns: pd.Series) -> Iterator[tuple[str, float, float]]:
    """Each figure of both libraries with ours, by name."""
    year = metrics.days_per_year
    for name, (in_empyrical, in_quantstats, times) in ALIKE.items():
        ours = getattr(metrics, name)
        yield f"empyrical {name}", ours, times * float(getattr(empyrical, in_empyrical)(returns, annualization=year))
        yield f"quantstats {name}", ours, times * float(getattr(quantstats.stats, in_quantstats)(returns, periods=year))


@settings(max_examples=50)
@given(st.lists(st.floats(-0.08, 0.08).map(lambda value: round(value, 4)), min_size=3, max_size=40))
def test_what_is_defined_alike_is_equal(changes: list[float]) -> None:
    """Sharpe, Sortino, volatility and annual return of any daily returns, to 1e-9."""
    # They treat returns of nothing but gains and of nothing at all in ways of their own.
    assume(min(changes) < -1e-3 and max(changes) > 1e-3)
    assume(abs(np.mean(changes)) > 1e-4)  # a ratio of nearly nothing is rounding
    metrics = compute_metrics(steps(changes).result())
    returns = pd.Series(changes, index=pd.date_range("2024-01-01", periods=len(changes), tz="UTC"))

    for name, ours, theirs in known(metrics, returns):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12), name
    assert metrics.skew == pytest.approx(float(scipy_stats.skew(changes)), rel=1e-9, abs=1e-9)
    assert metrics.kurtosis == pytest.approx(float(scipy_stats.kurtosis(changes, fisher=False)), rel=1e-9)


@settings(max_examples=25)
@given(st.lists(st.floats(-0.08, 0.08).map(lambda value: round(value, 4)), min_size=3, max_size=40))
def test_drawdown_and_calmar_are_equal_where_nothing_is_deeper_inside_a_day(changes: list[float]) -> None:
    """Marked at the ends of days alone, both libraries find the same fall; theirs has the other sign."""
    assume(min(changes) < -1e-3 and max(changes) > 1e-3)
    metrics = compute_metrics(steps(changes).result())
    # The start is a peak too, of which the libraries' first return knows.
    returns = pd.Series(changes, index=pd.date_range("2024-01-01", periods=len(changes), tz="UTC"))

    falls = [empyrical.max_drawdown(returns), quantstats.stats.max_drawdown(returns)]
    calmars = [
        empyrical.calmar_ratio(returns, annualization=365), quantstats.stats.calmar(returns, periods=365),
    ]  # fmt: skip

    assert [-100 * fall for fall in falls] == pytest.approx([metrics.max_drawdown_percent] * 2, rel=1e-9)
    assert calmars == pytest.approx([metrics.calmar] * 2, rel=1e-9)


def test_a_fall_inside_a_day_is_seen_here_and_not_there() -> None:
    """Five percent down at noon and back by the evening: the ends of days know nothing of it."""
    changes = [0.01, -0.002, 0.01, -0.001]
    metrics = compute_metrics(steps(changes, inside=0.05).result())

    theirs = -100 * empyrical.max_drawdown(pd.Series(changes))

    assert theirs == pytest.approx(0.2)
    assert metrics.max_drawdown_percent == pytest.approx(5.19, abs=0.01)
    assert abs(metrics.calmar or 0.0) < abs(empyrical.calmar_ratio(pd.Series(changes), annualization=365))


def test_quantstats_lists_no_fall_that_lasts_from_the_first_day_to_the_last() -> None:
    """What the page says of its tear sheet; the figure itself is right."""
    changes = pd.Series([-0.01, 0.002, -0.003], index=pd.date_range("2024-01-01", periods=3))

    listed = quantstats.stats.drawdown_details(quantstats.stats.to_drawdown_series(changes))

    assert len(listed) == 0
    assert quantstats.stats.max_drawdown(changes) == pytest.approx(0.99 * 1.002 * 0.997 - 1)


def test_skew_and_kurtosis_of_quantstats_are_corrected_for_small_samples() -> None:
    """By the factors that the page names."""
    changes = np.random.default_rng(3).normal(0.001, 0.01, 30)
    metrics = compute_metrics(steps(changes.tolist()).result())
    series, count = pd.Series(changes), 30
    assert metrics.skew is not None
    assert metrics.kurtosis is not None

    skew, excess = float(quantstats.stats.skew(series)), float(quantstats.stats.kurtosis(series))

    assert skew == pytest.approx(metrics.skew * math.sqrt(count * (count - 1)) / (count - 2), rel=1e-9)
    corrected = (count - 1) / ((count - 2) * (count - 3)) * ((count + 1) * (metrics.kurtosis - 3) + 6)
    assert excess == pytest.approx(corrected, rel=1e-9)


@pytest.mark.parametrize("calendar", YEARS)
def test_the_returns_of_a_stored_run_give_the_figures_of_its_metrics_file(calendar: str, tmp_path: Path) -> None:
    """Read back from the folder, on the account's days: with a calendar of five days a week too."""
    changes = np.random.default_rng(5).normal(0.002, 0.01, 28).tolist()
    result = steps(changes).result(symbols=(replace(summary("AAA", 100, 110), calendar=calendar),))
    folder = write_run(result, run_id="a" * 16, manifest={}, runs_dir=tmp_path, report=False)

    run = Run(folder)

    assert run.metrics.days_per_year == YEARS[calendar]
    assert run.metrics.days == len(run.returns) == {"24/7": 28, "24/5": 20}[calendar]
    for name, ours, theirs in known(run.metrics, run.returns):
        assert ours == pytest.approx(theirs, rel=1e-9), name
    assert float((1 + run.returns).prod()) == pytest.approx(1 + (run.metrics.return_percent or 0.0) / 100)


def documented(section: str) -> list[str]:
    """The keys in the first column of the tables of a section."""
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    rows = [line for part in text if part.startswith(section) for line in part.splitlines() if line.startswith("| `")]
    return [key for row in rows for key in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_each_figure_is_defined_on_the_page_once() -> None:
    """Every key of metrics.json has a row, and no row is about a key that is not there."""
    sections = ("Return", "Profit and costs", "Trades", "Risk")
    tables = {"per_symbol", "per_book"}

    found = [key for section in sections for key in documented(section)]

    assert sorted(found) == sorted({field.name for field in fields(Metrics)} - tables)
    assert sorted(documented("By symbol")) == sorted(field.name for field in fields(GroupMetrics))


def test_the_page_compares_what_the_tests_compare() -> None:
    """Each figure that is called the same there is held to be the same here."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and line.count(": the same |") == 2]
    cells: Any = [re.findall(r"`(?:stats\.)?(\w+)`", row) for row in rows]

    assert {name: (one, two) for name, one, two in cells} == {name: found[:2] for name, found in ALIKE.items()}
