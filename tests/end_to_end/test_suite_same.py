"""However a suite is made, its results are the same to the last byte."""

import html
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command import Ended, Told, run
from tests.end_to_end.suites import background, index_of, moody, rows_of, write_manifest, write_project
from tests.research.executors.clusters import cluster_of
from tests.research.page_values import PageValues

pytestmark = pytest.mark.slow

RUNS = [moody(f"of-{length}-{every}", length=length, every=every) for length in (3, 8) for every in (4, 6, 9)]
RUNS.append(moody("again", length=8, every=6))  # the same run as one before
RUNS.append(moody("unlucky", mode="raising"))


class World:
    """A project with a market, and the suite as one worker makes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_project(folder)
        write_manifest(folder, runs=RUNS)
        self.first = made(folder, "--workers", "1")
        assert self.first.code == 1, self.first.err
        self.rows = rows_of(folder)
        self.index = index_of(folder)
        self.page = page_of(folder)

    def copy(self, name: str) -> Path:
        """The same project with its market and without its runs."""
        folder = self.folder.parent / name
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("runs"))
        return folder


def made(folder: Path, *words: str, told: Told = run, **how: Any) -> Ended:
    """The suite, made for a program."""
    return told("suite", "suite.yaml", "--json", *words, cwd=folder, **how)


def page_of(folder: Path) -> bytes:
    """The page that the suite has left beside its index."""
    (path,) = (folder / "runs" / "suites").glob("*/report.html")
    return path.read_bytes()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Made once for all tests."""
    return World(tmp_path_factory.mktemp("same") / "world")


def test_a_suite_tells_each_run_in_the_order_of_its_manifest_and_fails_for_the_one_that_failed(world: World) -> None:
    """Seven that get to their end, one of them twice, and one whose bot raises."""
    ended, names = world.first, [run["name"] for run in RUNS]

    assert ended.code == 1, ended.err
    assert ended.value["statuses"] == {"COMPLETED": 6, "FAILED": 1}
    assert (ended.value["runs"], ended.value["distinct"]) == (8, 7)
    assert list(ended.value["failures"]) == ["unlucky"]
    assert "no mood for it" in ended.value["failures"]["unlucky"]
    assert [row["name"] for row in world.rows["suite_runs"]] == names
    assert [each["name"] for each in world.index["runs"]] == names
    again = [each for each in world.index["runs"] if each["name"] in ("again", "of-8-6")]
    assert again[0]["run_id"] == again[1]["run_id"]
    assert len(world.rows["runs"]) == 7


@pytest.mark.parametrize(("words", "seed"), [(("--workers", "2"), "1"), (("--workers", "4", "--resume"), "4711")])
def test_more_workers_and_another_hash_seed_give_the_same_rows(world: World, words: tuple[str, ...], seed: str) -> None:
    """Rows, digests and the hashes of all artifacts."""
    folder = world.copy(f"with-{seed}")
    ended = made(folder, *words, env={"PYTHONHASHSEED": seed})

    assert ended.code == 1, ended.err
    assert rows_of(folder) == world.rows
    assert index_of(folder) == world.index
    assert page_of(folder) == world.page


def test_the_line_of_a_run_that_failed_makes_that_run(world: World, told: Told) -> None:
    """As it stands in the index and in the page: the same sentence, without the suite."""
    (failed,) = [each for each in world.index["runs"] if each["status"] == "FAILED"]
    folder = world.copy("alone")

    alone = told(*failed["again"], "--json", cwd=folder)

    assert alone.code == 1, alone.err
    assert alone.value["run_id"] == failed["run_id"]
    assert "no mood for it" in alone.err + alone.out
    assert all("again" not in each for each in world.index["runs"] if each["status"] == "COMPLETED")
    (row,) = PageValues(world.page.decode("utf-8")).rows("failures")
    assert html.unescape(row["reproduce"]).endswith(f" {shlex.join(failed['again'])}</code>")


def test_another_order_of_the_manifest_gives_the_same_runs(world: World, told: Told) -> None:
    """Only their places differ."""
    folder = world.copy("reversed")
    write_manifest(folder, runs=RUNS[::-1])
    made(folder, "--workers", "1", told=told)

    rows = rows_of(folder)
    assert [rows[name] for name in ("runs", "metrics", "trades")] == [
        world.rows[name] for name in ("runs", "metrics", "trades")
    ]
    by_name = {each["name"]: {**each, "position": 0} for each in index_of(folder)["runs"]}
    assert by_name == {each["name"]: {**each, "position": 0} for each in world.index["runs"]}


def test_a_run_of_a_suite_is_the_run_that_the_program_makes_alone(world: World, told: Told) -> None:
    """The same folder, id and digest; the program finds it stored and compares it."""
    entry = world.index["runs"][1]
    alone = told(
        "--mode", "backtest", "--config", "config.yaml", "--json",
        "--set", "strategies.0.params={mode: well, length: 3, every: 6}", cwd=world.folder,
    )  # fmt: skip

    assert alone.code == 0, alone.err
    assert (alone.value["run_id"], alone.value["digest"]) == (entry["run_id"], entry["digest"])
    assert Path(alone.value["folder"]).name == entry["folder"]
    assert not (world.folder / "runs" / entry["folder"] / "report.html").exists()


def test_a_cluster_reads_the_mirror_and_gives_the_same_rows(world: World, tmp_path: Path, told: Told) -> None:
    """Two workers of a real cluster, and the Parquet mirror in place of the store."""
    folder = world.copy("cluster")
    exported = told("data", "export", "--store", "market.duckdb", cwd=folder)
    assert exported.code == 0, exported.err
    with cluster_of(tmp_path, 2) as cluster:
        words = ("--executor", "dask", "--set", f"dask.address={cluster.address}")
        ended = made(folder, *words)
        (folder / "market.mirror").rename(folder / "elsewhere.mirror")
        without = made(folder, *words, told=told)

    assert ended.code == 1, ended.err
    assert rows_of(folder) == world.rows
    assert index_of(folder) == world.index
    assert without.code == 2
    assert "the workers of a cluster read a Parquet mirror, expected one at" in without.err
    assert "data export" in without.err


def test_a_plan_says_what_would_be_read_and_writes_nothing(world: World, told: Told) -> None:
    """The symbols with their warm-up, the runs by their data, and the store."""
    folder = world.copy("planned")
    ended = made(folder, "--plan", told=told)

    assert ended.code == 0, ended.err
    assert (ended.value["runs"], ended.value["distinct"]) == (8, 7)
    assert [each["symbol"] for each in ended.value["union"]] == ["BTCUSDT", "ETHUSDT"]
    assert all(each["from"] < "2024-01-02" and each["timeframes"] == ["15m"] for each in ended.value["union"])
    assert [(each["symbols"], each["runs"]) for each in ended.value["classes"]] == [(["BTCUSDT", "ETHUSDT"], 7)]
    assert list(map(len, ended.value["stores"].values())) == [32]
    assert not (folder / "runs").exists()


def test_two_suites_at_once_share_a_store_and_a_folder_of_runs(world: World) -> None:
    """They have runs in common; each tells its own, and the database has each run once."""
    folder = world.copy("two")
    write_manifest(folder, name="other", runs=[RUNS[0], RUNS[4], moody("own", length=4)])
    with background("suite", "other.yaml", cwd=folder) as other:
        ended = made(folder, "--workers", "1")
        code = other.wait()

    assert (ended.code, code) == (1, 0)
    rows = rows_of(folder)
    assert {row["name"] for row in rows["suites"]} == {"suite", "other"}
    assert len(rows["suite_runs"]) == 11
    assert len(rows["runs"]) == 8
    assert index_of(folder)["runs"] == world.index["runs"]
