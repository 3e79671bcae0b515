"""Whatever changes a store and is killed at any step leaves one that opens, and goes on when it is started again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from src.data.mirror import export_mirror, mirror_folder
from src.data.store import HistoricalDataStore
from tests.data.care import put_rows, rows_of
from tests.data.conftest import make
from tests.data.test_schema import VERSION_1

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked and killed by signal")

# A fifth of the steps at once; all of them where there is time.
EVERY = [pytest.param(5, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.soak)]


def killed(task: str, folder: Path, every: int) -> dict[str, Any]:
    """What the program of `tests/data/killing.py` tells."""
    words = [sys.executable, "-m", "tests.data.killing", task, str(folder), str(every)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, encoding="utf-8", check=True, timeout=400)
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


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("first", [True, False])
def test_a_killed_import_has_stored_a_file_or_nothing_of_it(folder: Path, first: bool, every: int) -> None:
    """Bars, instrument and log line come together, into a new store as into one with bars before and after them."""
    lines = [f"1970-01-01T00:{minute:02d}:00Z,{100 + minute},{102 + minute},{98 + minute},{101 + minute},{minute}.5"
             for minute in (0, 1, 3, 4, 6)]  # fmt: skip
    text = "\n".join(["timestamp,open,high,low,close,volume", *lines])
    (folder / "bars.csv").write_text(text, encoding="utf-8")
    if first:
        (folder / "market.duckdb").unlink()

    told = killed("import", folder, every)

    assert told["findings"] == []
    assert ("['BTCUSD']" in told["before"][0], "['BTCUSD']" in told["after"][0]) == (False, True)
    assert told["steps"] > 20


@pytest.mark.parametrize("every", EVERY)
def test_a_killed_import_of_a_mirror_has_stored_all_of_it_or_nothing(folder: Path, every: int) -> None:
    """Every series of it is one transaction."""
    with HistoricalDataStore(folder / "other.duckdb") as store:
        for symbol in ("BTCUSD", "LTCUSD"):
            store.write_bars(make([0, 1, 3, 7], symbol=symbol), source="test")
            store.write_instrument(symbol, "crypto", {"tick": 0.1})
        export_mirror(store, folder / "copy.mirror")

    told = killed("import_mirror", folder, every)

    assert told["findings"] == []
    assert ("LTCUSD" in told["before"][0], "['BTCUSD', 'LTCUSD']" in told["after"][0]) == (False, True)
    assert told["steps"] > 30


@pytest.mark.parametrize("every", EVERY)
def test_a_killed_restore_has_put_back_every_bar_or_none(folder: Path, every: int) -> None:
    """The old rows or the right ones with their lines in the heal log; starting again changes nothing more."""
    rows = rows_of(folder / "market.duckdb", "BTCUSD")
    put_rows(folder / "market.duckdb", [(*rows[0][:5], 77.0), *rows[2:]], "BTCUSD")

    told = killed("restore", folder, every)

    assert told["findings"] == []
    assert [one.split()[1] for one in (told["before"][0], told["after"][0])] == ["0", "2"]
    assert told["steps"] > 20


@pytest.mark.parametrize("every", [pytest.param(2, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.soak)])
def test_a_killed_migration_has_brought_the_store_forward_or_left_it(tmp_path: Path, every: int) -> None:
    """The old tables or the new ones, never some of each, with the same rows."""
    with duckdb.connect(str(tmp_path / "market.duckdb")) as connection:
        connection.execute(VERSION_1)

    told = killed("migrate", tmp_path, every)

    (before,), (after,) = told["before"], told["after"]
    assert told["findings"] == []
    assert (before.split()[1], after.split()[1]) == ("1", "2")
    assert before.split()[0] == after.split()[0]
    assert told["steps"] > 20
