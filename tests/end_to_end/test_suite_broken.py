"""Whatever happens to a suite, only the run that it happened to is lost, and `--resume` ends with the same results."""

import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from src.core.errors import DataError
from src.data.store import HistoricalDataStore
from tests.end_to_end.command import Ended, Told, run
from tests.end_to_end.suites import STORED, background, index_of, moody, python, rows_of, write_manifest, write_project

pytestmark = pytest.mark.slow

WELL = [moody(f"well-{length}", length=length) for length in (3, 4, 6, 8)]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose market is written, and whose well-behaved runs were made once."""
    folder = write_project(tmp_path_factory.mktemp("market") / "world")
    write_manifest(folder, runs=WELL)
    ended = suite(folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture
def folder(market: Path, tmp_path: Path) -> Path:
    """A copy with the market, which is a store like any other, and without runs."""
    made = tmp_path / "world"
    shutil.copytree(market, made, ignore=shutil.ignore_patterns("runs"))
    write_project(made, data=STORED)
    return made


def suite(folder: Path, *words: str, told: Told = run, workers: int = 2) -> Ended:
    """The suite, made for a program."""
    return told("suite", "suite.yaml", "--json", "--workers", str(workers), *words, cwd=folder)


def statuses(folder: Path) -> dict[str, str]:
    """How each run of the index ended."""
    return {each["name"]: each["status"] for each in index_of(folder)["runs"]}


def records(folder: Path) -> Path:
    """The records of the only suite."""
    (path,) = (folder / "runs" / "suites").glob("*/records.jsonl")
    return path


def test_deadly_runs_are_lost_and_all_others_complete(folder: Path) -> None:
    """A segmentation fault, a kill, an endless loop and an endless appetite, beside four that are well."""
    deadly = [moody(mode, mode=mode) for mode in ("crashing", "killing", "spinning", "eating")]
    write_manifest(folder, more="deadline: 8s\nmemory: 1200MB", runs=[*deadly[:2], *WELL, *deadly[2:]])
    ended = suite(folder)

    assert ended.code == 1, ended.err
    assert ended.value["statuses"] == {"COMPLETED": 4, "LOST": 4}
    reasons = ended.value["failures"]
    assert list(reasons) == ["crashing", "killing", "spinning", "eating"]
    assert all("2 attempts" in reason for reason in reasons.values())
    assert "8 s" in reasons["spinning"]
    assert "MiB" in reasons["eating"]
    assert [row["run_id"] for row in rows_of(folder)["suite_runs"] if row["status"] == "LOST"] == [None] * 4


def test_a_run_whose_worker_is_killed_once_is_tried_again(folder: Path, told: Told) -> None:
    """Nobody notices but the clock."""
    write_manifest(folder, runs=[*WELL[:2], moody("unlucky", mode="killing_once")])

    assert suite(folder, told=told).code == 0
    assert statuses(folder) == {"well-3": "COMPLETED", "well-4": "COMPLETED", "unlucky": "COMPLETED"}


def test_a_suite_that_is_killed_goes_on_with_resume_and_its_workers_do_not_live_on(folder: Path, told: Told) -> None:
    """Killed while one run holds, with a torn record behind; the same rows as a suite that nobody killed."""
    write_manifest(folder, runs=[*WELL, moody("holding", mode="holding")])
    with background("suite", "suite.yaml", "--workers", "2", cwd=folder) as process:
        wait_for(process, folder, 4)
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        gone, alive = psutil.wait_procs(children, timeout=240)
    assert not alive
    with records(folder).open("ab") as file:
        file.write(b'{"answer":{"key":"0123')
    (folder / "go").touch()
    resumed = suite(folder, "--resume", told=told)
    rows, index = rows_of(folder), index_of(folder)

    assert resumed.code == 0, resumed.err
    assert resumed.value["known"] >= 3
    shutil.rmtree(folder / "runs")
    assert suite(folder, told=told).code == 0
    assert (rows_of(folder), index_of(folder)) == (rows, index)
    assert gone


def test_a_suite_that_is_interrupted_says_how_to_go_on(folder: Path) -> None:
    """Ctrl-C once; exit code 130, and no worker lives on."""
    write_manifest(folder, runs=[*WELL, moody("holding", mode="holding")])
    with background("suite", "suite.yaml", "--workers", "2", cwd=folder) as process:
        wait_for(process, folder, 4)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=400)
        _, alive = psutil.wait_procs(children, timeout=240)

    assert process.returncode == 130, said
    assert re.search(r"interrupted after [34] of 5 runs; what is done is kept", said)
    assert "suite suite.yaml --workers 2 --resume" in said
    assert not alive


def test_a_suite_killed_while_its_results_are_written_leaves_none_and_resumes(folder: Path, told: Told) -> None:
    """Phase C is one transaction: killed in the middle of it there is nothing of the suite, later there is all."""
    write_manifest(folder, runs=WELL)
    killing = (
        "import os, signal, sys; sys.path.insert(0, sys.argv.pop(1)); import src.research.suite.results as results; "
        "write = results._write; "
        "results._write = lambda *given: (write(*given), os.kill(os.getpid(), signal.SIGKILL)); "
        "from src.cli.app import main; sys.exit(main())"
    )
    killed = python(killing, "suite", "suite.yaml", cwd=folder)
    assert killed.code == -signal.SIGKILL, killed.err
    assert not (folder / "runs" / "results.duckdb").exists() or rows_of(folder)["suites"] == []
    resumed = suite(folder, "--resume", told=told)

    assert resumed.code == 0, resumed.err
    assert (resumed.value["known"], len(rows_of(folder)["suite_runs"])) == (4, 4)


def test_nobody_writes_to_the_store_while_runs_are_made(folder: Path, told: Told) -> None:
    """A writer is refused with a sentence, a second try at the same suite too, and the suite ends as if alone."""
    write_manifest(folder, runs=[*WELL, moody("holding", mode="holding")])
    with background("suite", "suite.yaml", "--workers", "2", cwd=folder) as process:
        wait_for(process, folder, 4)
        with pytest.raises(DataError, match=r"is being read by another program \(a run or a suite\)"):
            HistoricalDataStore(folder / "market.duckdb")
        second = suite(folder, told=told)
        (folder / "go").touch()
        said, _ = process.communicate(timeout=400)

    assert process.returncode == 0, said
    assert second.code == 2
    assert "this very suite is under way in another program" in second.err


def test_a_store_that_was_replaced_behind_the_suites_back_is_noticed(folder: Path) -> None:
    """The runs may each be right, but they do not belong together: the suite is not COMPLETED and stores no results."""
    write_manifest(folder, runs=[*WELL, moody("holding", mode="holding")])
    other = folder / "other.duckdb"
    shutil.copy(folder / "market.duckdb", other)
    with HistoricalDataStore(other) as store:
        store.delete_series("ETHUSDT", 60_000_000_000)
    with background("suite", "suite.yaml", "--workers", "2", cwd=folder) as process:
        wait_for(process, folder, 4)
        os.replace(other, folder / "market.duckdb")
        (folder / "go").touch()
        said, _ = process.communicate(timeout=400)
    (about,) = (folder / "runs" / "suites").glob("*/suite.json")

    assert process.returncode == 2, said
    assert "somebody changed or replaced the file" in said
    assert '"outcome": "FAILED"' in about.read_text(encoding="utf-8")
    assert not (folder / "runs" / "results.duckdb").exists()


def test_a_finished_suite_that_is_resumed_makes_no_run(folder: Path, told: Told) -> None:
    """And one whose folder of a run was removed makes that one again."""
    write_manifest(folder, runs=WELL)
    first = suite(folder, told=told, workers=1)
    again = suite(folder, "--resume", told=told, workers=1)
    shutil.rmtree(folder / "runs" / index_of(folder)["runs"][1]["folder"])
    mended = suite(folder, "--resume", told=told, workers=1)

    assert [ended.code for ended in (first, again, mended)] == [0, 0, 0]
    assert [ended.value["known"] for ended in (first, again, mended)] == [0, 4, 3]
    assert (folder / "runs" / index_of(folder)["runs"][1]["folder"] / "manifest.json").is_file()


def wait_for(process: "subprocess.Popen[str]", folder: Path, answers: int) -> None:
    """Until so many answers are recorded and one run holds; the suite goes on meanwhile."""
    while not (folder / "holding").exists() or recorded(folder) < answers:
        with suppress(subprocess.TimeoutExpired):
            pytest.fail(f"the suite ended with {process.wait(timeout=0.05)}")


def recorded(folder: Path) -> int:
    """How many whole lines the records have."""
    found = list((folder / "runs" / "suites").glob("*/records.jsonl"))
    return found[0].read_bytes().count(b"\n") if found else 0
