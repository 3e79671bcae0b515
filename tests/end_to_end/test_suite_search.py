"""A search in rounds chooses the same runs, and comes to the same results, however it is made."""

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.artifacts.trial_ledger import LEDGER, read_trials
from tests.end_to_end.command import Ended, Told, run
from tests.end_to_end.suites import index_of, moody, python, rows_of, write_manifest, write_project

pytestmark = pytest.mark.slow

SEARCH = """
product:
  params: {length: {from: 2, to: 40}, every: {from: 2, to: 30, step: 2}, mode: [well, raising, killing_without_go]}
  set: {risk.size.volume: {from: 0.5, to: 2.0, log: true}}
search: {method: optuna, samples: 9, seed: 7, of: net, batch: 3}
"""


class World:
    """A project with a market, and the search as one worker makes it: one run by hand, and nine in three rounds."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_project(folder)
        write_manifest(folder, more=SEARCH, runs=[moody("by-hand", length=8)])
        (folder / "go").touch()
        self.first = made(folder, "--workers", "1")
        self.rows = rows_of(folder)
        self.index = index_of(folder)

    def copy(self, name: str) -> Path:
        """The same project with its market and without its runs."""
        folder = self.folder.parent / name
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("runs"))
        return folder


def made(folder: Path, *words: str, told: Told = run, **how: Any) -> Ended:
    """The suite, made for a program."""
    return told("suite", "suite.yaml", "--json", *words, cwd=folder, **how)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once for all tests."""
    return World(tmp_path_factory.mktemp("search") / "world")


def test_a_search_lists_the_runs_by_hand_and_then_all_that_it_chose(world: World) -> None:
    """Runs that failed have no figure, and the search goes on without it."""
    modes = [each["labels"].get("mode") for each in world.index["runs"]]

    assert world.first.code == 1, world.first.err
    assert (world.first.value["runs"], world.first.value["left"]) == (10, 0)
    assert [each["name"] for each in world.index["runs"][:2]] == ["by-hand", "run-0001"]
    assert {each["status"] for each in world.index["runs"]} == {"COMPLETED", "FAILED"}
    assert set(modes[1:]) == {"well", "raising", "killing_without_go"}
    assert len(world.rows["suite_runs"]) == 10
    trials = {trial.run_id for trial in read_trials(world.folder / "runs" / LEDGER)}
    assert {row["run_id"] for row in world.rows["metrics"]} <= trials


def test_more_workers_and_another_hash_seed_choose_the_same_runs(world: World) -> None:
    """Rows, digests and the hashes of all artifacts."""
    folder = world.copy("two")
    ended = made(folder, "--workers", "2", env={"PYTHONHASHSEED": "4711"})

    assert ended.code == 1, ended.err
    assert rows_of(folder) == world.rows
    assert index_of(folder) == world.index


def test_a_search_that_is_killed_goes_on_with_resume_and_chooses_the_same_runs(world: World, told: Told) -> None:
    """Killed in the middle of its second round; no run that was recorded is made twice."""
    folder = world.copy("killed")
    killing = (
        "import os, signal, sys; sys.path.insert(0, sys.argv.pop(1)); "
        "from src.research.suite.records import RecordBook as Book; append, told = Book.append, []; "
        "Book.append = lambda book, answer: "
        "(append(book, answer), told.append(1), len(told) < 5 or os.kill(os.getpid(), signal.SIGKILL)); "
        "from src.cli.app import main; sys.exit(main())"
    )
    killed = python(killing, "suite", "suite.yaml", "--workers", "2", cwd=folder)
    recorded = answers(folder)
    resumed = made(folder, "--workers", "2", "--resume", told=told)

    assert (killed.code, recorded) == (-signal.SIGKILL, 5), killed.err
    assert resumed.value["known"] == 5
    assert answers(folder) == resumed.value["distinct"]
    assert rows_of(folder) == world.rows


def test_a_lost_run_ends_the_search_and_resume_goes_on_with_it(world: World, told: Told) -> None:
    """What comes next depends on it; the results are those of a search that lost nothing."""
    folder = world.copy("lost")
    (folder / "go").unlink()
    lost = made(folder, "--workers", "2", told=told)
    stored = len(rows_of(folder)["suite_runs"])
    (folder / "go").touch()
    resumed = made(folder, "--workers", "2", "--resume", told=told)

    assert (lost.code, lost.value["left"], stored) == (1, 6, 4)
    assert "the search has ended 6 runs early" in lost.err
    assert (resumed.value["left"], resumed.value["known"]) == (0, 4 - lost.value["statuses"]["LOST"])
    assert rows_of(folder) == world.rows


def test_a_plan_of_a_search_says_how_many_rounds_and_over_which_data(world: World, told: Told) -> None:
    """The data of the ends of all ranges, and nothing is written."""
    folder = world.copy("planned")
    said = told("suite", "suite.yaml", "--plan", cwd=folder)

    assert said.code == 0, said.err
    assert "10 runs, of which a search chooses 9 in 3 rounds of 3 by their net" in said.out
    assert "BTCUSDT, ETHUSDT  2024-01-02 to 2024-01-03" in said.out
    assert not (folder / "runs").exists()


def answers(folder: Path) -> int:
    """How many lines the records have."""
    (path,) = (folder / "runs" / "suites").glob("*/records.jsonl")
    return path.read_bytes().count(b"\n")
