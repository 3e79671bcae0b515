"""The rate of false discoveries, simulated: the default holds it where plain tests do not, and still finds edges."""

import statistics

import numpy as np
import pytest

from benchmarks import error_rate
from benchmarks.error_rate import CUTOFF, NEIGHBOURS, Cell, Found, cell_of, judge_world, row_of, world
from src.core.timeframe import DAY_NS, parse_instant

DEFAULT, PLAIN = ("robust", "by"), ("t", "by")


def proportions(cell: Cell, seeds: range) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """The mean false-discovery proportion and the power of each method."""
    found = [judge_world(cell, seed) for seed in seeds]
    rows = {key: row_of(cell, *key, [each[key] for each in found]) for key in found[0]}
    return (
        {key: row["false_discovery"] for key, row in rows.items()}, {key: row["power"] for key, row in rows.items()},
    )  # fmt: skip


@pytest.mark.slow
def test_the_plain_test_lets_too_much_through_where_losses_are_rare_and_the_default_does_not() -> None:
    """30 trades of +1R or -3R: several times the nominal 5 %, with all phases on, in 5 worlds of 400 candidates."""
    told, power = proportions(cell_of("negative", 30, candidates=400), range(1, 6))

    assert told[DEFAULT] <= 0.05
    assert told[PLAIN] > 0.1
    assert told["t", "bh"] > 0.2
    assert power[DEFAULT] > 0.1


@pytest.mark.slow
def test_the_default_lets_nothing_much_through_where_there_is_nothing() -> None:
    """Without any edge each discovery is false, so the proportion is the share of worlds with one."""
    told, _ = proportions(cell_of("normal", 60, candidates=400, edge=0), range(1, 5))

    assert told[DEFAULT] == 0


@pytest.mark.slow
def test_the_default_finds_most_edges_of_200_trades() -> None:
    """Windows of the calendar; the usual edge."""
    told, power = proportions(cell_of("positive", 200, candidates=200), range(1, 4))

    assert told[DEFAULT] <= 0.05
    assert power[DEFAULT] > 0.3


@pytest.mark.soak
@pytest.mark.parametrize("shape", error_rate.SHAPES)
def test_the_default_holds_its_level_in_whole_worlds(shape: error_rate.Shape) -> None:
    """2,000 candidates with 30 trades, 20 worlds: at most nominal and two standard errors."""
    cell = cell_of(shape, 30)
    row = row_of(cell, "robust", "by", [judge_world(cell, seed)["robust", "by"] for seed in range(1, 21)])

    assert row["within"], row
    assert row["power"] > 0.05


@pytest.mark.parametrize("shape", error_rate.SHAPES)
@pytest.mark.parametrize("trades", [30, 200])
def test_a_world_is_what_it_is_said_to_be(shape: error_rate.Shape, trades: int) -> None:
    """So many candidates, edges and trades after the cut-off, a mean of 0 of the others, days and neighbours alike."""
    cell = cell_of(shape, trades, candidates=800)
    made = list(world(cell, 1))
    later = [np.count_nonzero(each.entry_ns >= parse_instant(CUTOFF)) for _, each in made]
    nulls = np.concatenate([each.r_net for has_edge, each in made if not has_edge])
    edges = np.concatenate([each.r_net for has_edge, each in made if has_edge])
    per_day = statistics.fmean(len(each) / len(np.unique(each.entry_ns // DAY_NS)) for _, each in made)
    agree = [
        np.mean(one.r_net == other.r_net)
        for (first, one), (second, other) in zip(made[::NEIGHBOURS], made[1::NEIGHBOURS], strict=True)
        if first == second
    ]

    assert set(later) == {trades}
    assert sum(has_edge for has_edge, _ in made) == cell.planted == 40
    assert abs(nulls.mean()) < 4 * error_rate.DEVIATION[shape] * np.sqrt(6 / len(nulls))
    assert edges.mean() == pytest.approx(cell.edge, abs=4 * error_rate.DEVIATION[shape] * np.sqrt(6 / len(edges)))
    assert nulls.std() == pytest.approx(error_rate.DEVIATION[shape], rel=0.05)
    assert 1.4 < per_day < 1.9
    assert 0.45 < np.mean(agree) < 0.65
    assert all(np.all(np.diff(each.entry_ns) > 0) and np.all(each.exit_ns > each.entry_ns) for _, each in made)


def test_a_row_says_whether_the_bound_holds() -> None:
    """Proportions 0, 0 and 0.5: a mean of 1/6 with a standard error of as much, so the bound is 0.05 + 1/3."""
    cell = cell_of("normal", 30, candidates=400)
    found = [Found(false=0, true=0), Found(false=0, true=10), Found(false=5, true=5)]

    row = row_of(cell, "robust", "by", found)

    assert row["false_discovery"] == pytest.approx(1 / 6, abs=1e-5)
    assert row["standard_error"] == pytest.approx(1 / 6, abs=1e-5)
    assert row["bound"] == pytest.approx(0.05 + 1 / 3, abs=1e-5)
    assert row["within"]
    assert row["default"]
    assert row["power"] == pytest.approx(15 / 3 / 20)
    assert not row_of(cell, "robust", "by", found[2:] * 2)["within"]
    assert not row_of(cell, "t", "by", found)["default"]
