"""A run is published whole or not at all, once per id, and never over another outcome."""

import dataclasses
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from src.backtesting.artifacts import ensure_writable, write_run
from src.backtesting.result import BacktestResult, Outcome
from src.core.errors import ConfigError, DataError, DeterminismError, InternalError, StrategyError
from src.core.records import Side
from tests.backtesting.results.worlds import World, bars, busy_world, failed

ID = "0123456789abcdef"
FILES = ["control.jsonl", "equity.parquet", "fills.parquet", "journal.parquet", "manifest.json", "metrics.json",
         "orders.parquet", "report.html", "run.log", "timing.json", "trades.parquet"]  # fmt: skip


def store(result: BacktestResult, runs: Path, **more: Any) -> Path:
    """Write a run without its report, which most of these tests do not look at."""
    given: dict[str, Any] = {"run_id": ID, "manifest": {"seed": 7, "policy": "1:fifo:7"}, "report": False}
    return write_run(result, runs_dir=runs, **{**given, **more})


def names(runs: Path) -> list[str]:
    """What stands in the folder for runs, locks aside, and what is being made or was left there."""
    left = [f".tmp/{path.name}" for path in (runs / ".tmp").glob("*")]
    return sorted([*left, *(path.name for path in runs.iterdir() if path.name not in (".locks", ".tmp"))])


def content(folder: Path) -> dict[str, bytes]:
    """Every file but the timing, which is of this moment."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "timing.json"}


def other_result() -> BacktestResult:
    """A run whose second fill had another price."""
    world = busy_world()
    values = list(world.journal_entries[1].values)
    values[4] = 104.5
    world.journal_entries[1] = world.journal_entries[1]._replace(values=tuple(values))
    return world.result()


def test_a_completed_run_owns_the_folder_of_its_id_with_every_file(tmp_path: Path) -> None:
    """Tables, manifest, figures, timing, control records, log and report."""
    runs = tmp_path / "deep" / "runs"

    folder = store(busy_world().result(), runs, report=True, price_series={"AAA": bars("AAA", 50)}, log="hello\n",
                   control=[{"pause_ns": 5, "at": "AAA"}, {"resume_ns": 6}])  # fmt: skip

    assert folder == runs / ID
    assert names(runs) == [ID]
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert (folder / "run.log").read_text() == "hello\n"
    assert (folder / "control.jsonl").read_text() == '{"at": "AAA", "pause_ns": 5}\n{"resume_ns": 6}\n'
    assert pq.read_table(folder / "fills.parquet").num_rows == 7


def test_the_manifest_joins_what_went_in_with_what_came_out(tmp_path: Path) -> None:
    """Given values stay; id, digest, outcome, fidelity and counts come from the result."""
    result = busy_world().result(fidelity={"latency": "counts as 0"}, refusals={"margin": 3})
    given = {"seed": 7, "policy": "1:fifo:7", "synthetic": True, "data_sources": ["synthetic"], "digest": "stale"}

    folder = store(result, tmp_path, manifest=given)

    manifest = json.loads((folder / "manifest.json").read_text())
    assert {name: manifest[name] for name in ("seed", "policy", "synthetic", "data_sources")} == {
        "seed": 7, "policy": "1:fifo:7", "synthetic": True, "data_sources": ["synthetic"],
    }  # fmt: skip
    assert (manifest["run_id"], manifest["digest"], manifest["outcome"]) == (ID, result.digest, "COMPLETED")
    assert (manifest["bars"], manifest["steps"], manifest["error"]) == (1_000, 500, None)
    assert (manifest["fidelity"], manifest["refusals"]) == ({"latency": "counts as 0"}, {"margin": 3})
    assert manifest["symbols"][0]["symbol"] == "AAA"


def test_real_time_is_in_the_timing_alone(tmp_path: Path) -> None:
    """Two runs of different duration have equal files but for `timing.json`."""
    first = store(busy_world().result(seconds=0.5), tmp_path / "one", report=True)
    second = store(busy_world().result(seconds=9.0), tmp_path / "two", report=True, timing={"import_s": 1.5})

    assert content(first) == content(second)
    timing = json.loads((second / "timing.json").read_text())
    assert (timing["seconds"], timing["bars_per_s"], timing["import_s"]) == (9.0, pytest.approx(1_000 / 9), 1.5)
    assert timing["platform"]


@pytest.mark.parametrize("outcome", [Outcome.DEGRADED, Outcome.FAILED, Outcome.INTERRUPTED])
def test_another_outcome_takes_the_next_number_and_never_the_id(tmp_path: Path, outcome: Outcome) -> None:
    """The number is above every number in use, also when an earlier folder was removed."""
    result = busy_world().result(outcome=outcome)
    name = f"{ID}.{outcome.value.lower()}"

    first, second = store(result, tmp_path), store(result, tmp_path)
    for path in sorted(first.iterdir()):
        path.unlink()
    first.rmdir()
    third = store(result, tmp_path)

    assert [first.name, second.name, third.name] == [f"{name}-1", f"{name}-2", f"{name}-3"]
    assert names(tmp_path) == [f"{name}-2", f"{name}-3"]


def test_the_error_of_a_failed_run_is_a_sentence_in_the_manifest(tmp_path: Path) -> None:
    """Its class and its words, as the user saw them."""
    folder = store(failed(busy_world(), StrategyError("Mine raised on bar 3", symbol="AAA")), tmp_path)

    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["error"] == {"type": "StrategyError", "message": "Mine raised on bar 3"}


def test_the_same_digest_keeps_the_stored_run(tmp_path: Path) -> None:
    """The second writing returns the first folder and touches nothing in it."""
    first = store(busy_world().result(), tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in first.iterdir()}

    second = store(busy_world().result(), tmp_path, log="another log")

    assert second == first
    assert names(tmp_path) == [ID]
    assert {path.name: path.stat().st_mtime_ns for path in first.iterdir()} == before


def test_another_digest_under_one_id_is_a_determinism_error_that_keeps_both_runs(tmp_path: Path) -> None:
    """The error names both digests and the first journal record that differs; the stored run is untouched."""
    before = content(store(busy_world().result(), tmp_path))
    other = other_result()

    with pytest.raises(DeterminismError) as caught:
        store(other, tmp_path)

    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.stored, error.found) == (busy_world().result().digest, other.digest)
    assert error.stored in error.message
    assert error.found in error.message
    assert "first differing journal record is number 1: stored [1704078000000000000 AAA fill by broker" in error.message
    assert '"price":104,' in error.message
    assert '"price":104.5,' in error.message
    assert error.folder == str(tmp_path / f"{ID}.determinism-1")
    assert names(tmp_path) == [ID, f"{ID}.determinism-1"]
    assert content(tmp_path / ID) == before


def test_a_journal_that_goes_on_longer_differs_at_its_end(tmp_path: Path) -> None:
    """A record that only one of the journals has is the first difference."""
    longer = busy_world()
    longer.sample(96, 1_004.0)
    longer.journal_entries.append(longer.journal_entries[-1]._replace(instant_ns=longer.end_ns))
    store(busy_world().result(), tmp_path / "short")
    store(longer.result(), tmp_path / "long")

    with pytest.raises(DeterminismError, match="number 7: stored none, now"):
        store(longer.result(), tmp_path / "short")
    with pytest.raises(DeterminismError, match=r"number 7: stored \[.*\], now none"):
        store(busy_world().result(), tmp_path / "long")


def test_an_unreadable_stored_run_is_neither_overwritten_nor_trusted(tmp_path: Path) -> None:
    """The new run is kept beside it, and the error says what to do."""
    stored = store(busy_world().result(), tmp_path)
    (stored / "manifest.json").write_text("{")

    with pytest.raises(DataError, match="move that folder away"):
        store(busy_world().result(), tmp_path)

    assert names(tmp_path) == [ID, f"{ID}.duplicate-1"]


def test_a_finished_run_whose_money_does_not_add_up_is_stored_as_failed_and_raised(tmp_path: Path) -> None:
    """It never becomes `runs/<id>`, and what is there to look into is kept."""
    result = busy_world().result()
    wrong = dataclasses.replace(result, account=dataclasses.replace(result.account, balance=0.0))

    with pytest.raises(InternalError, match="do not make the end balance"):
        store(wrong, tmp_path)

    assert names(tmp_path) == [f"{ID}.failed-1"]
    manifest = json.loads((tmp_path / f"{ID}.failed-1" / "manifest.json").read_text())
    assert (manifest["outcome"], manifest["error"]["type"]) == ("FAILED", "InternalError")


def test_fills_that_cannot_be_followed_are_stored_without_figures(tmp_path: Path) -> None:
    """A fill that closes more than was held leaves its tables behind, and `metrics.json` says null."""
    world = World()
    world.fill(1, Side.BUY, 1, 100)
    world.fill(2, Side.SELL, 1, 101)
    result = world.result(fills=[world.fills[0], dataclasses.replace(world.fills[1], volume=2.0)])

    with pytest.raises(InternalError, match="closes 2 AAA"):
        store(result, tmp_path, report=True)

    folder = tmp_path / f"{ID}.failed-1"
    assert (folder / "metrics.json").read_text() == "null\n"
    assert pq.read_table(folder / "fills.parquet").num_rows == 2


def test_the_first_failure_of_a_run_is_not_hidden_by_its_money(tmp_path: Path) -> None:
    """A run that failed and whose money is broken is stored with its own error, and nothing is raised."""
    result = failed(busy_world(), StrategyError("Mine raised on bar 3"))
    wrong = dataclasses.replace(result, account=dataclasses.replace(result.account, balance=0.0))

    folder = store(wrong, tmp_path)

    assert json.loads((folder / "manifest.json").read_text())["error"]["type"] == "StrategyError"


def test_left_over_temporary_folders_are_removed_unless_their_writer_lives(tmp_path: Path) -> None:
    """Those of this id and of dead writers go; one whose lock is held stays."""
    for name in (ID, "dead", "alive"):
        (tmp_path / ".tmp" / name / "sub").mkdir(parents=True)
    (tmp_path / ".locks").mkdir()

    with FileLock(tmp_path / ".locks" / "al.lock"):
        store(busy_world().result(), tmp_path)

    assert names(tmp_path) == [".tmp/alive", ID]


def test_a_write_that_fails_leaves_nothing_half_written(tmp_path: Path) -> None:
    """Control records that are no JSON stop the writing; the lock is free again and the next write succeeds."""
    with pytest.raises(TypeError):
        store(busy_world().result(), tmp_path, control=[{"a": object()}])

    assert names(tmp_path) == []
    assert store(busy_world().result(), tmp_path) == tmp_path / ID


def test_an_unwritable_folder_is_a_configuration_error_before_anything_runs(tmp_path: Path) -> None:
    """A file where the folder should be: the sentence names the place and what to do."""
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(ConfigError, match=r"expected a folder for runs that can be written at .*runs.*, found: "):
        ensure_writable(tmp_path / "runs")
    with pytest.raises(ConfigError):
        ensure_writable(tmp_path / "runs" / "below")
    with pytest.raises(ConfigError):
        store(busy_world().result(), tmp_path / "runs")


def test_a_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    """The proof of being writable leaves no trace."""
    ensure_writable(tmp_path / "a" / "runs")

    assert list((tmp_path / "a" / "runs").iterdir()) == []


KILLED = """
import os, sys
from pathlib import Path
from src.backtesting.artifacts import folder
from tests.backtesting.results.worlds import busy_world

last, calls = int(sys.argv[2]), 0

def counted(function):
    def call(*given, **more):
        global calls
        calls += 1
        if calls > last:
            os._exit(9)
        return function(*given, **more)
    return call

folder._write_text = counted(folder._write_text)
folder.tables.write_table = counted(folder.tables.write_table)
folder.Workshop.publish = counted(folder.Workshop.publish)
folder.write_run(busy_world().result(), run_id="k", manifest={}, runs_dir=Path(sys.argv[1]), report=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("last", [0, 3, 7, 10, 11])
def test_a_kill_at_any_moment_leaves_no_run_or_a_whole_one(tmp_path: Path, last: int) -> None:
    """Killed at a table, at the manifest, before the rename or not at all: the next write finds the way clear."""
    process = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(last)], check=False)

    assert process.returncode == (0 if last == 11 else 9)
    assert names(tmp_path) == (["k"] if last == 11 else [".tmp/k"])
    folder = store(busy_world().result(), tmp_path, run_id="k")
    assert names(tmp_path) == ["k"]
    assert sorted(path.name for path in folder.iterdir()) == [name for name in FILES if name != "report.html"]


@pytest.mark.slow
def test_two_processes_that_store_one_run_at_once_leave_one_folder(tmp_path: Path) -> None:
    """The lock per id lets the second one find the first one's run."""
    writers = [subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), "99"]) for _ in range(2)]

    assert [writer.wait() for writer in writers] == [0, 0]
    assert names(tmp_path) == ["k"]
