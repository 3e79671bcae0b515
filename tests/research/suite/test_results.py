"""The results database: all of a suite or nothing, each run once, and the same rows whatever the way there."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from filelock import FileLock

from src.backtesting.result import Outcome
from src.core.errors import DataError
from src.research.suite.ports import RunAnswer
from src.research.suite.results import SuiteRow, SuiteRunRow, export_rows, write_suite
from src.research.suite.results_file import METRIC_COLUMNS
from tests.research.suite.stored import listed, stored_run, stored_suite

SUITE = SuiteRow(suite_id="id-of-demo", name="demo", outcome="COMPLETED")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder for runs."""
    return tmp_path / "runs"


def three(runs: Path) -> list[RunAnswer]:
    """Three different runs."""
    return [stored_run(runs, {"fast": fast}, *nets) for fast, nets in ((1, (5, -2, 3)), (2, (-1, 4)), (3, (2, 2, -9)))]


def test_a_suite_is_stored_with_its_runs_figures_and_trades(runs: Path) -> None:
    """A row for each run of the manifest, for each different run, and for each of its trades in their order."""
    one, two, _ = three(runs)
    stored_suite(runs / "results.duckdb", "demo", runs, (one, {"fast": 1}), (two, {"fast": 2}), (one, {"fast": 1}))

    rows = export_rows(runs / "results.duckdb")

    assert rows["suites"] == [{"suite_id": "id-of-demo", "name": "demo", "outcome": "COMPLETED", "runs": 3}]
    assert [(row["position"], row["run_id"], row["labels"]) for row in rows["suite_runs"]] == [
        (0, one.run_id, '{"fast": 1}'), (1, two.run_id, '{"fast": 2}'), (2, one.run_id, '{"fast": 1}'),
    ]  # fmt: skip
    assert {row["run_id"]: row["digest"] for row in rows["runs"]} == {one.run_id: one.digest, two.run_id: two.digest}
    figures = {row["run_id"]: row for row in rows["metrics"]}
    for answer in (one, two):
        assert {name: figures[answer.run_id][name] for name in METRIC_COLUMNS} == {
            name: answer.metrics.get(name) for name in METRIC_COLUMNS
        }
    own = [row for row in rows["trades"] if row["run_id"] == one.run_id]
    assert [(row["number"], row["net"]) for row in own] == [(0, 5.0), (1, -2.0), (2, 3.0)]


def test_the_same_suite_again_leaves_the_same_rows(runs: Path) -> None:
    """Also when it was incomplete the first time."""
    path = runs / "results.duckdb"
    one, two, three_ = three(runs)
    rows = listed((one, {"fast": 1}), (two, {"fast": 2}), (three_, {"fast": 3}))
    lost = SuiteRunRow(position=2, name="run-2", labels=(("fast", 3),), run_id=None, status="LOST", error="killed")
    write_suite(path, SUITE, [*rows[:2], lost], [one, two], runs)
    assert [row["status"] for row in export_rows(path)["suite_runs"]] == ["COMPLETED", "COMPLETED", "LOST"]

    write_suite(path, SUITE, rows, [one, two, three_], runs)
    once = export_rows(path)
    write_suite(path, SUITE, rows, [one, two, three_], runs)

    write_suite(runs / "fresh.duckdb", SUITE, rows, [three_, one, two], runs)
    assert export_rows(path) == once == export_rows(runs / "fresh.duckdb")
    assert len(once["runs"]) == len(once["metrics"]) == 3


def test_two_suites_share_a_run_and_each_leaves_the_other_alone(runs: Path) -> None:
    """The shared run is there once; writing one suite anew takes nothing from the other."""
    path = runs / "results.duckdb"
    one, two, three_ = three(runs)
    stored_suite(path, "a", runs, (one, {}), (two, {}))
    stored_suite(path, "b", runs, (two, {}), (three_, {}))
    before = export_rows(path)

    stored_suite(path, "a", runs, (one, {}))

    after = export_rows(path)
    assert [len(before[table]) for table in ("suite_runs", "runs", "metrics")] == [4, 3, 3]
    assert [(row["suite_id"], row["run_id"]) for row in after["suite_runs"]] == [
        ("id-of-a", one.run_id), ("id-of-b", two.run_id), ("id-of-b", three_.run_id),
    ]  # fmt: skip
    assert {table: after[table] for table in ("runs", "metrics", "trades")} == {
        table: before[table] for table in ("runs", "metrics", "trades")
    }


def test_a_failed_run_has_a_row_and_no_figures_until_it_gets_to_its_end(runs: Path) -> None:
    """What was cut short is never compared; a later, whole run of the same id takes its place, not the other way."""
    path = runs / "results.duckdb"
    failed = stored_run(runs, {"fast": 1}, 5, -2, outcome=Outcome.FAILED)
    stored_suite(path, "a", runs, (failed, {"fast": 1}))
    first = export_rows(path)
    whole = stored_run(runs, {"fast": 1}, 5, -2, 3)
    stored_suite(path, "b", runs, (whole, {"fast": 1}))

    stored_suite(path, "c", runs, (failed, {"fast": 1}))

    rows = export_rows(path)
    assert [row["error"] for row in first["suite_runs"]] == ["Mine raised on bar 3"]
    assert ([row["outcome"] for row in first["runs"]], first["metrics"], first["trades"]) == (["FAILED"], [], [])
    assert [row["outcome"] for row in rows["runs"]] == ["COMPLETED"]
    assert (len(rows["metrics"]), len(rows["trades"])) == (1, 3)


def many(runs: Path) -> list[RunAnswer]:
    """Different runs, all with the folder of one."""
    one = stored_run(runs, {"fast": 1}, 5.0, -2.0)
    return [dataclasses.replace(one, run_id=f"{number:016x}") for number in range(12)]


KILLED = """
import os, signal, sys
from pathlib import Path
from src.research.suite import results
from tests.research.suite.stored import listed
from tests.research.suite.test_results import SUITE, many

results._BATCH = 5
runs = Path(sys.argv[1])
answers = many(runs)

def until_killed():
    yield from answers[:11]
    os.kill(os.getpid(), signal.SIGKILL)

results.write_suite(runs / "results.duckdb", SUITE, listed(*((each, {}) for each in answers)), until_killed(), runs)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="nothing there kills like SIGKILL")
def test_a_writer_killed_on_the_way_leaves_nothing_of_its_suite(runs: Path, pytestconfig: pytest.Config) -> None:
    """Runs are in the file already, uncommitted; a reader sees what was there before, and the next writer goes on."""
    path = runs / "results.duckdb"
    other = stored_run(runs, {"slow": 1}, 1, 2)
    stored_suite(path, "other", runs, (other, {}))
    before = export_rows(path)

    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(runs)], check=False, cwd=pytestconfig.rootpath,
        env={**os.environ, "PYTHONPATH": str(pytestconfig.rootpath)},
    )  # fmt: skip

    assert ended.returncode == -signal.SIGKILL
    assert export_rows(path) == before
    again = many(runs)
    write_suite(path, SUITE, listed(*((each, {}) for each in again)), again, runs)
    fresh = runs / "fresh.duckdb"
    stored_suite(fresh, "other", runs, (other, {}))
    write_suite(fresh, SUITE, listed(*((each, {}) for each in again)), again, runs)
    assert export_rows(path) == export_rows(fresh)


BESIDE = """
import sys
from pathlib import Path
from tests.research.suite.stored import stored_run, stored_suite

runs, name = Path(sys.argv[1]), sys.argv[2]
shared = stored_run(runs, {"fast": 0}, 5.0, -2.0)
for number in range(1, 6):
    own = stored_run(runs, {name: number}, float(number), -2.0)
    stored_suite(runs / "results.duckdb", f"{name}-{number}", runs, (shared, {}), (own, {name: number}))
"""


@pytest.mark.slow
def test_two_programs_that_write_suites_at_once_lose_nothing(runs: Path, pytestconfig: pytest.Config) -> None:
    """The file is made once, and both write into it in turns; the run that they share is there once."""
    environment = {**os.environ, "PYTHONPATH": str(pytestconfig.rootpath)}
    started = [subprocess.Popen([sys.executable, "-c", BESIDE, str(runs), name], env=environment) for name in "ab"]
    assert [each.wait(240) for each in started] == [0, 0]

    rows = export_rows(runs / "results.duckdb")
    assert [row["name"] for row in rows["suites"]] == [f"{name}-{number}" for name in "ab" for number in range(1, 6)]
    assert (len(rows["suite_runs"]), len(rows["runs"]), len(rows["trades"])) == (20, 11, 22)


def test_a_file_killed_while_it_was_made_is_made_anew(runs: Path) -> None:
    """It is made under another name, which nobody takes for a database."""
    one = stored_run(runs, {"fast": 1}, 1, 2)
    (runs / "results.duckdb.partial").write_bytes(b"torn")

    stored_suite(runs / "results.duckdb", "demo", runs, (one, {}))

    assert len(export_rows(runs / "results.duckdb")["runs"]) == 1
    assert not (runs / "results.duckdb.partial").exists()


def test_whoever_comes_while_another_writes_waits_and_then_says_so(runs: Path) -> None:
    """Two suites at once write one after the other; a lock that is never given back ends in a sentence."""
    one = stored_run(runs, {"fast": 1}, 1, 2)
    with FileLock(runs / "results.duckdb.lock"), pytest.raises(DataError, match="to become free within 0 s"):
        write_suite(runs / "results.duckdb", SUITE, listed((one, {})), [one], runs, lock_seconds=0)

    assert not (runs / "results.duckdb").exists()


def test_a_run_whose_folder_is_gone_stores_nothing(runs: Path) -> None:
    """The sentence names the run and its file; what was there before stays."""
    path = runs / "results.duckdb"
    one, two, _ = three(runs)
    stored_suite(path, "a", runs, (one, {}))
    before = export_rows(path)
    (runs / two.folder / "trades.parquet").unlink()

    with pytest.raises(DataError, match=f"the trades of run {two.run_id}"):
        stored_suite(path, "a", runs, (one, {}), (two, {}))

    assert export_rows(path) == before


def test_a_run_that_was_stored_nowhere_takes_nothing_from_the_others(runs: Path) -> None:
    """Its error stands where the manifest lists it; there is no folder to be looked into."""
    one, _, _ = three(runs)
    wrong = RunAnswer(key="wrong", outcome="FAILED", run_id="0" * 16, error_type="ConfigError", error="no such length")
    row = SuiteRunRow(position=0, name="wrong", labels=(), run_id=None, status="FAILED", error=wrong.error)
    path = runs / "results.duckdb"

    write_suite(path, SUITE, [row, *listed((one, {}), (one, {}))[1:]], [wrong, one], runs)

    stored = export_rows(path)
    assert [row["error"] for row in stored["suite_runs"]] == ["no such length", ""]
    assert [row["run_id"] for row in stored["runs"]] == [one.run_id]


def test_a_file_that_is_something_else_is_refused(runs: Path) -> None:
    """Neither another database nor a text is written to."""
    runs.mkdir()
    with duckdb.connect(str(runs / "other.duckdb")) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS a")
    (runs / "text.duckdb").write_text("not a database at all" * 1000)

    for name, words in (("other", "found something else"), ("text", "nothing of it was stored")):
        with pytest.raises(DataError, match=words):
            write_suite(runs / f"{name}.duckdb", SUITE, [], [], runs)
    with pytest.raises(DataError, match="found something else"):
        export_rows(runs / "other.duckdb")
    with pytest.raises(DataError, match="cannot be read"):
        export_rows(runs / "text.duckdb")


def test_figures_that_an_older_file_lacks_are_added(runs: Path) -> None:
    """What is stored there has none of them; what comes has."""
    path = runs / "results.duckdb"
    one, two, _ = three(runs)
    stored_suite(path, "a", runs, (one, {}))
    with duckdb.connect(str(path)) as connection:
        connection.execute("ALTER TABLE metrics DROP COLUMN kurtosis")

    stored_suite(path, "b", runs, (two, {}))

    found = {row["run_id"]: row["kurtosis"] for row in export_rows(path)["metrics"]}
    assert found == {one.run_id: None, two.run_id: two.metrics["kurtosis"]}


def test_odd_names_errors_and_labels_are_stored(runs: Path) -> None:
    """Half of a surrogate pair, quotes, lists and the like."""
    labels = (("symbols", ["A", "B"]), ('say "x"', None), ("on", True), ("bad\udcff", 0.1))
    row = SuiteRunRow(position=0, name="n\udcff", labels=labels, run_id=None, status="FAILED", error="e\udcff'")

    write_suite(runs / "results.duckdb", SUITE, [row], [], runs)

    stored = export_rows(runs / "results.duckdb")["suite_runs"][0]
    assert (stored["name"], stored["error"]) == ("n\\udcff", "e\\udcff'")
    assert stored["labels"] == '{"symbols": ["A", "B"], "say \\"x\\"": null, "on": true, "bad\\udcff": 0.1}'
