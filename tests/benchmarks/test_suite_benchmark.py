"""A figure of many runs is made of runs that did the same work, pair by pair."""

import json
from pathlib import Path

import pytest

from benchmarks import suite, workloads
from benchmarks.compare import ComparisonFailed

PAIRS = [f"{fast}-{slow}" for fast in workloads.W3_FAST for slow in workloads.W3_SLOW]


def test_searches_that_differ_in_one_pair_are_refused() -> None:
    """By more than a unit of the sixth decimal, or in which pairs there are."""
    suite.check_w3({"5-40": 1.0, "5-50": 2.0}, 7, {"5-40": 1.0, "5-50": 2.000001})

    with pytest.raises(ComparisonFailed, match=r"found 1 that differ, the first one 5-50: 2\.0 and 2\.1"):
        suite.check_w3({"5-40": 1.0, "5-50": 2.0}, 7, {"5-40": 1.0, "5-50": 2.1})
    with pytest.raises(ComparisonFailed, match="5-50: None and 2"):
        suite.check_w3({"5-40": 1.0}, 7, {"5-40": 1.0, "5-50": 2.0})


def test_all_pairs_together_have_the_documented_result() -> None:
    """Entries and the sum of the accounts."""
    equities = dict.fromkeys(PAIRS, workloads.W3_EQUITY / len(PAIRS))
    suite.check_w3(equities, workloads.W3_ENTRIES, equities)

    with pytest.raises(ComparisonFailed, match="63,426 entries"):
        suite.check_w3(equities, workloads.W3_ENTRIES - 1, equities)
    other = dict.fromkeys(PAIRS, 1.0)
    with pytest.raises(ComparisonFailed, match=r"63,920,590\.651694"):
        suite.check_w3(other, workloads.W3_ENTRIES, other)


def test_the_results_are_read_by_pair_from_the_folders_of_the_runs(tmp_path: Path) -> None:
    """Closed and open positions count as entries."""
    made = tmp_path / "runs" / "suites" / "w3-1"
    made.mkdir(parents=True)
    runs = []
    for fast, closed in ((8, 3), (5, 4)):
        place = tmp_path / "runs" / f"id{fast}"
        place.mkdir()
        metrics = {"final_equity": 100.0 + fast, "trades": closed, "open_positions": 1}
        (place / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        runs.append({"folder": place.name, "labels": {"fast": fast, "slow": 40}})
    (made / "index.json").write_text(json.dumps({"runs": runs}), encoding="utf-8")

    assert suite.results_of(made) == ({"5-40": 105.0, "8-40": 108.0}, 9)


@pytest.mark.parametrize("runs", [10, 20, 100, 500])
def test_a_manifest_of_recorded_runs_has_so_many(runs: int) -> None:
    """Tens of them from fewer averages, hundreds from further sizes."""
    values = suite.recorded_product(runs)

    assert len(values["fast"]) * len(values["slow"]) * len(values["risks"]) == runs


def test_a_shorter_search_has_fewer_pairs() -> None:
    """At least one, and all of them by default."""
    assert [len(fast) * len(slow) for fast, slow in map(suite.shortened, (1, 2, 8, 64))] == [2, 2, 8, 64]
