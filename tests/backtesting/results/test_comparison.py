"""Two runs side by side: what their figures' difference is, and in which unit."""

from pathlib import Path

import pytest

from src.backtesting.artifacts import write_run
from src.backtesting.report import build_comparison
from src.core.timeframe import DAY_NS
from tests.backtesting.results.worlds import START_NS, World
from tests.research.page_values import PageValues


def stored(runs: Path, name: str, net: float, *, days: int, currency: str = "USDT") -> Path:
    """A run of one trade."""
    world = World(days=days)
    world.trade(net, hours=2, lasts=days)
    return write_run(world.result(currency=currency), run_id=name, manifest={}, runs_dir=runs, report=False)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A run of ten days that won 50."""
    return stored(tmp_path, "0123456789abcdef", 50.0, days=10)


def test_the_difference_of_two_shares_is_in_points(tmp_path: Path, first: Path) -> None:
    """5 % and 2 % are 3 points apart; money has its sign and two durations are compared in hours."""
    page = PageValues(build_comparison(first, stored(tmp_path, "fedcba9876543210", 20.0, days=8)))

    rows = {row["Figure"]: row for row in page.rows("figures")}
    assert "changed by -3.00 points" in page.text
    assert "changed by -30.00" in page.text
    assert (rows["average_trade, hours"][first.name], rows["average_trade, hours"]["Difference"]) == (10.0, -2.0)


def test_instants_are_shown_as_such(tmp_path: Path, first: Path) -> None:
    """The windows end two days apart: no share of the nanoseconds since 1970."""
    page = PageValues(build_comparison(first, stored(tmp_path, "fedcba9876543210", 20.0, days=8)))

    (row,) = (row for row in page.rows("instants") if row["When"] == "end_ns")
    assert row[first.name] == (START_NS + 10 * DAY_NS) / 1e6
    assert row["Later by"] == -2 * 86_400
    assert not [row for row in page.rows("figures") if row["Figure"].endswith("_ns")]


def test_two_currencies_are_never_subtracted_in_silence(tmp_path: Path, first: Path) -> None:
    """The page says loudly that there are two, and the tile of the profit names them."""
    page = PageValues(build_comparison(first, stored(tmp_path, "fedcba9876543210", 20.0, days=8, currency="EUR")))

    assert "<strong>TWO CURRENCIES</strong><span>Money of the first is in USDT, of the second in EUR" in page.text
    assert "<small>USDT, then EUR</small>" in page.text
