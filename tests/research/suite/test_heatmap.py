"""Heat maps: a figure over two labels, one run a cell."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.result import Outcome
from src.core.errors import ConfigError
from src.research.suite.heatmap import heat_map
from tests.research.suite.stored import stored_run, stored_suite


def test_a_figure_stands_at_the_values_of_two_labels(tmp_path: Path) -> None:
    """Values go upwards as numbers; where no run is, or it failed, stands nothing; the same run twice is one run."""
    runs, cells = tmp_path, [(10, 2, 4.0), (9, 2, 3.0), (9, 1, 2.0), (10, 1, None)]
    named: list[Any] = [
        (stored_run(runs, {"at": [x, y]}, net or 1.0, outcome=Outcome.COMPLETED if net else Outcome.FAILED),
         {"fast": x, "slow": y})
        for x, y, net in cells
    ]  # fmt: skip
    named.append((stored_run(runs, {"at": "elsewhere"}, 7.0), {"fast": 11, "slow": 1}))
    stored_suite(runs / "results.duckdb", "demo", runs, *named, named[0])

    found = heat_map(runs / "results.duckdb", "fast", "slow", "net")

    assert (found.x, found.y) == ((9, 10, 11), (1, 2))
    assert found.values == ((2.0, None, 7.0), (3.0, 4.0, None))
    assert (found.x_name, found.y_name, found.of) == ("fast", "slow", "net")


def test_several_runs_in_a_cell_are_refused_until_a_condition_chooses(tmp_path: Path) -> None:
    """The sentence says in what they differ."""
    path = tmp_path / "results.duckdb"
    named: list[Any] = [
        (stored_run(tmp_path, {"at": symbols}, net), {"fast": 1, "slow": 2, "symbols": [symbols]})
        for symbols, net in (("AAA", 3.0), ("BBB", 5.0))
    ]
    stored_suite(path, "demo", tmp_path, *named)

    with pytest.raises(ConfigError, match=r"fast 1 and slow 2, found run-0 and run-1, which differ in symbols \(AAA"):
        heat_map(path, "fast", "slow", "net")

    assert heat_map(path, "fast", "slow", "net", where="symbols = 'BBB'").values == ((5.0,),)
    assert heat_map(path, "symbols", "slow", "net").values == ((3.0, 5.0),)


def test_a_run_that_failed_in_one_suite_has_the_figure_of_the_other(tmp_path: Path) -> None:
    """Once it gave another digest than the stored one: a failure there, and the same run."""
    path, run = tmp_path / "results.duckdb", stored_run(tmp_path, {}, 1.0, 2.0)
    stored_suite(path, "a", tmp_path, (dataclasses.replace(run, outcome="FAILED"), {"fast": 1, "slow": 2}))
    stored_suite(path, "b", tmp_path, (run, {"fast": 1, "slow": 2}))

    assert heat_map(path, "fast", "slow", "net").values == ((3.0,),)


def test_labels_that_are_none_are_refused(tmp_path: Path) -> None:
    """Unknown ones with those there are; one label twice is no map."""
    path = tmp_path / "results.duckdb"
    stored_suite(path, "demo", tmp_path, (stored_run(tmp_path, {}, 1.0), {"fast": 1, "slow": 2}))

    with pytest.raises(ConfigError, match=r"--heatmap: expected one of the columns, found 'quick'"):
        heat_map(path, "quick", "slow")
    with pytest.raises(ConfigError, match=r"--of: expected one of the columns, found 'shrape'; did you mean 'sharpe'"):
        heat_map(path, "fast", "slow", "shrape")
    with pytest.raises(ConfigError, match="two different labels"):
        heat_map(path, "fast", "fast")
