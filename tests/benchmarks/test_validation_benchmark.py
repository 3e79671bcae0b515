"""A figure of a validation is made of validations that came to the same."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks import validation
from benchmarks.compare import ComparisonFailed


def made(runs: Path, windows: str = "a\n", verdict: str = "PASS") -> Path:
    """What a validation leaves."""
    folder = runs / "validations" / "bench-1"
    folder.mkdir(parents=True)
    (folder / "windows.jsonl").write_text(windows)
    (folder / "records.jsonl").write_text('{"made_by": 1}\n{"number": 0}\n{"number": 1}\n{"num')
    (folder / ".lock").write_text(runs.name)
    with duckdb.connect(str(runs / "validation.duckdb")) as connection:
        connection.execute("create table verdicts as select ? as status", [verdict])
    return runs


def test_validations_that_came_to_the_same_are_compared_by_files_and_rows(tmp_path: Path) -> None:
    """A lock is no result."""
    told = validation.check_same(made(tmp_path / "one"), made(tmp_path / "other"))

    assert sorted(told) == ["records.jsonl", "table verdicts", "windows.jsonl"]


@pytest.mark.parametrize(
    ("changed", "first"), [({"windows": "b\n"}, "windows.jsonl"), ({"verdict": "SKIP"}, "table verdicts")]
)
def test_validations_that_differ_are_refused(tmp_path: Path, changed: dict[str, str], first: str) -> None:
    """The sentence names the first thing that differs."""
    one, other = made(tmp_path / "one"), made(tmp_path / "other", **changed)

    with pytest.raises(ComparisonFailed, match=f"found 1 that differ, the first one {first}"):
        validation.check_same(one, other)


def test_only_whole_lines_of_candidates_count_as_judged(tmp_path: Path) -> None:
    """The first line is about the validation, and the last may be torn."""
    assert len(validation.judged_lines(made(tmp_path / "one"))) == 2
    assert validation.judged_lines(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("part", "figures", "kept"),
    [
        ("cheap", {"phases_seconds": 9.9}, True),
        ("cheap", {"phases_seconds": 10.0}, False),
        ("memory", {"growth": 0.099}, True),
        ("memory", {"growth": 0.1}, False),
        ("scale", {"workers": 2, "speed_up": 1.8, "cheap_seconds": 9.9}, True),
        ("scale", {"workers": 2, "speed_up": 1.79, "cheap_seconds": 9.9}, False),
        ("scale", {"workers": 2, "speed_up": 1.9, "cheap_seconds": 10.0}, False),
    ],
)
def test_bounds_hold_for_the_full_work_alone(part: str, figures: dict[str, Any], kept: bool) -> None:
    """With fewer candidates times say nothing; with fewer cores than workers neither does the speed-up."""
    assert validation.holds({"candidates": 13_000, "cores": 2, part: figures}) is kept
    assert validation.holds({"candidates": 12_999, "cores": 2, part: figures})
    if part == "scale":
        assert validation.holds({"candidates": 13_000, "cores": 1, part: figures})
