"""The benchmark of the data path runs, tells what it measured, and refuses to compare what is not the same."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from benchmarks import data

PROGRAM = Path(data.__file__)


@pytest.mark.slow
def test_a_short_run_prints_the_ratios_and_the_times() -> None:
    """One JSON object with the four fields, each in three forms, and a time for each side."""
    command = [sys.executable, str(PROGRAM), "--json", "--rounds", "1", "--bars", "1000"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    report = json.loads(done.stdout)
    assert list(data.FIELDS) == list(report["best_ratios"]) == list(report["cpu_ratios"])
    assert all(report[field] > 0.0 for field in data.FIELDS)
    assert set(report["ms"]) == {name for pair in data.FIELDS.values() for name in pair}
    assert (report["bars"], report["imported_bars"], report["rounds"]) == (1000, 10_000, 1)


@pytest.mark.slow
def test_both_sides_of_a_pair_end_with_the_same_rows(tmp_path: Path) -> None:
    """What is imported and what is inserted bare are equal to the last bit, and in the same order."""
    bench = data.Bench(tmp_path, 1_000)

    bench.import_()
    bench.insert()
    bench.close()

    found = []
    for name in ("imported", "inserted"):
        with duckdb.connect(str(tmp_path / f"{name}.duckdb"), read_only=True) as connection:
            found.append(connection.execute("SELECT * FROM bars").fetchall())
    assert found[0] == found[1]
    assert len(found[0]) == 10_000


def test_a_side_that_read_something_else_ends_the_benchmark() -> None:
    """A ratio of two different things is none."""
    with pytest.raises(SystemExit, match="expected 1000 rows, found 3"):
        data._expect(3, 1000)


def test_bars_that_measure_nothing_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A few bars would measure the opening of a file."""
    with pytest.raises(SystemExit):
        data.main(["--bars", "10"])

    assert "1,000 bars" in capsys.readouterr().err
