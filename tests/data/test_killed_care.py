"""A repair or an export that is killed at any step leaves a store that opens, and goes on when started again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from src.data.mirror import export_mirror, mirror_folder
from src.data.store import HistoricalDataStore
from tests.data.care import put_rows, rows_of
from tests.data.conftest import make

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked and killed by signal")

# A fifth of the steps at once; all of them where there is time.
EVERY = [pytest.param(5, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.soak)]


def killed(task: str, folder: Path, every: int) -> dict[str, Any]:
    """What the program of `tests/data/killing.py` tells."""
    words = [sys.executable, "-m", "tests.data.killing", task, str(folder), str(every)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, encoding="utf-8", check=True, timeout=100)
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a store of two series, and a mirror of what it held before one more bar came."""
    path = tmp_path / "market.duckdb"
    with HistoricalDataStore(path) as store:
        for symbol in ("BTCUSD", "ETHUSD"):
            store.write_bars(make([1, 2, 4], symbol=symbol), source="test")
        export_mirror(store, mirror_folder(path), symbol="BTCUSD")
        store.write_bars(make([5]), source="test")
    return tmp_path


@pytest.mark.parametrize("every", EVERY)
def test_a_killed_repair_has_mended_a_series_or_left_it(folder: Path, every: int) -> None:
    """Rows and heal log of a series change together; starting again mends the rest, each change logged once."""
    for symbol in ("BTCUSD", "ETHUSD"):
        rows = rows_of(folder / "market.duckdb", symbol)
        put_rows(folder / "market.duckdb", [rows[1], rows[0], *rows[1:]], symbol)

    told = killed("heal", folder, every)

    assert told["findings"] == []
    assert [one.split()[1] for one in told["before"]] == ["0", "0"]
    assert [one.split()[1] for one in told["after"]] == ["2", "2"]
    assert told["steps"] > 30


@pytest.mark.parametrize("every", EVERY)
def test_a_killed_export_leaves_whole_files_of_before_or_after(folder: Path, every: int) -> None:
    """A partition is the old or the new one, readable with its fingerprint; starting again brings all up to date."""
    told = killed("export", folder, every)

    assert told["findings"] == []
    assert told["before"][1] == "none"
    assert told["before"][0] != told["after"][0]
    assert told["steps"] > 30
