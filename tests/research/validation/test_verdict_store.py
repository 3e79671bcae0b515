"""The database of verdicts: all or nothing, only what was processed, earlier verdicts kept, and no byte for nothing."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from filelock import FileLock

from src.core.errors import DataError, InternalError
from src.research.validation import verdict_store
from src.research.validation.ports import Status
from src.research.validation.verdict_store import (
    ValidationRow,
    VerdictRow,
    check_target,
    export_verdicts,
    write_verdicts,
)
from src.research.validation.windows_file import write_lines

MINE = ValidationRow(
    validation_id="v1", name="mine", kind="validation", method="by", level=0.05, family_size=400, family_hash="f00d",
    cutoff_ns=1, synthetic=False,
)  # fmt: skip
OTHER = dataclasses.replace(MINE, validation_id="v2", name="other", kind="stability", method=None, level=None)


def verdict(name: str, status: Status = Status.PASS, **more: Any) -> VerdictRow:
    """What became of a candidate."""
    rejected = {"reason": "too few trades", "phase": "sample"} if status is not Status.PASS else {}
    values: dict[str, Any] = {
        "candidate_id": name, "number": 0, "status": status, "reason": "", "phase": "", "p_value": 0.01,
        "adjusted": 0.04, "labels": (("fast", 1),), "figures": (("sample", {"trades": 31}),), **rejected, **more,
    }  # fmt: skip
    return VerdictRow(**values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the verdicts are."""
    return tmp_path / "runs" / "validation.duckdb"


def told(path: Path, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """Some columns of a table."""
    return [tuple(row[name] for name in columns) for row in export_verdicts(path)[table]]


def test_verdicts_are_stored_with_their_validation(path: Path) -> None:
    """All in experimental_strategies; only what passed is a setup."""
    rows = [verdict("b", number=1, given=(("sharpe", 1.5),)), verdict("a", Status.REJECT, p_value=1.0, adjusted=None)]

    assert write_verdicts(path, MINE, rows)

    stored = export_verdicts(path)
    assert stored["validations"] == [dataclasses.asdict(MINE)]
    assert [(row["candidate_id"], row["status"], row["reason"]) for row in stored["experimental_strategies"]] == [
        ("a", "REJECT", "too few trades"), ("b", "PASS", ""),
    ]  # fmt: skip
    assert stored["validated_setups"] == [{
        "candidate_id": "b", "validation_id": "v1", "reason": "", "phase": "", "p_value": 0.01, "adjusted": 0.04,
        "labels": '{"fast": 1}', "given": '{"sharpe": 1.5}', "figures": '{"sample": {"trades": 31}}',
    }]  # fmt: skip
    assert stored["verdict_history"] == []


def test_the_same_again_changes_no_byte(path: Path) -> None:
    """Neither content nor time; the order of the rows does not matter."""
    rows = [verdict("a"), verdict("b", Status.REJECT), verdict("c", Status.ERROR), verdict("d", Status.SKIP)]
    write_verdicts(path, MINE, rows)
    before = (path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir()))

    assert not write_verdicts(path, MINE, rows[::-1])

    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(path.parent.iterdir())) == before


def test_whatever_changes_is_written(path: Path) -> None:
    """Each column counts by itself."""
    changes: list[dict[str, Any]] = [
        {"reason": "another"}, {"p_value": None}, {"adjusted": 0.03}, {"figures": ()}, {"number": 7},
        {"given": (("a", 1),)}, {"labels": (("fast", 2),)}, {"status": Status.SKIP},
    ]  # fmt: skip
    row = verdict("a")
    write_verdicts(path, MINE, [row])

    for change in changes:
        row = dataclasses.replace(row, **change)
        assert write_verdicts(path, MINE, [row])
    assert not write_verdicts(path, MINE, [row])
    assert write_verdicts(path, dataclasses.replace(MINE, family_size=401), [row])


def test_how_many_rows_are_stored_at_once_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What becomes of a candidate does not depend on which others are stored beside it."""
    told = []
    for at_once in (1, 2, 1000):
        monkeypatch.setattr("src.research.validation.verdict_store._ROWS_AT_ONCE", at_once)
        path = tmp_path / str(at_once) / "validation.duckdb"
        write_verdicts(path, MINE, [verdict(name) for name in "abcde"])
        write_verdicts(path, OTHER, [verdict("a", adjusted=0.01), verdict("b", Status.REJECT), verdict("f")])
        write_verdicts(path, MINE, [verdict("a", Status.SKIP), verdict("b"), verdict("c"), verdict("d", adjusted=0.02)])

        assert not write_verdicts(path, MINE, [verdict("d", adjusted=0.02), verdict("e"), verdict("a", Status.SKIP)])
        told.append(export_verdicts(path))
    assert told[0] == told[1] == told[2]
    assert len(told[0]["verdict_history"]) > 3


def test_only_candidates_that_were_processed_are_touched(path: Path) -> None:
    """Neither others of the same validation nor those of another one."""
    write_verdicts(path, MINE, [verdict("a"), verdict("b")])
    write_verdicts(path, OTHER, [verdict("c"), verdict("d", Status.REJECT)])

    write_verdicts(path, MINE, [verdict("a", Status.REJECT)])

    columns = ("validation_id", "candidate_id", "status")
    assert told(path, "experimental_strategies", *columns) == [
        ("v1", "a", "REJECT"), ("v1", "b", "PASS"), ("v2", "c", "PASS"), ("v2", "d", "REJECT"),
    ]  # fmt: skip
    assert told(path, "validated_setups", "candidate_id", "validation_id") == [("b", "v1"), ("c", "v2")]
    assert told(path, "verdict_history", "candidate_id", "place", "status") == [("a", 0, "PASS")]


def test_earlier_verdicts_are_kept_as_history_in_their_order(path: Path) -> None:
    """Numbered for each candidate; of both validations."""
    write_verdicts(path, MINE, [verdict("a"), verdict("b", Status.REJECT)])
    write_verdicts(path, MINE, [verdict("a", adjusted=0.02), verdict("b")])
    write_verdicts(path, OTHER, [verdict("a", adjusted=0.03)])
    write_verdicts(path, MINE, [verdict("a", Status.SKIP)])

    columns = ("candidate_id", "place", "validation_id", "status", "adjusted")
    assert told(path, "verdict_history", *columns) == [
        ("a", 0, "v1", "PASS", 0.04), ("a", 1, "v1", "PASS", 0.02), ("a", 2, "v2", "PASS", 0.03),
        ("b", 0, "v1", "REJECT", 0.04),
    ]  # fmt: skip
    assert told(path, "validated_setups", "candidate_id") == [("b",)]


def test_two_validations_in_turns_do_not_make_the_history_grow(path: Path) -> None:
    """The last word decides who is a setup; a verdict that stands last in the history is not put there again."""
    for _ in range(2):
        write_verdicts(path, MINE, [verdict("a")])
        assert told(path, "validated_setups", "candidate_id") == [("a",)]
        write_verdicts(path, OTHER, [verdict("a", Status.REJECT)])
        assert told(path, "validated_setups", "candidate_id") == []

    assert told(path, "verdict_history", "place", "validation_id", "status") == [(0, "v1", "PASS")]


def test_an_error_is_told_and_takes_no_setup_away(path: Path) -> None:
    """It is no verdict, so it is no history either."""
    write_verdicts(path, MINE, [verdict("a"), verdict("b", Status.ERROR)])

    write_verdicts(path, MINE, [verdict("a", Status.ERROR), verdict("b", Status.REJECT)])

    assert told(path, "experimental_strategies", "candidate_id", "status") == [("a", "ERROR"), ("b", "REJECT")]
    assert told(path, "validated_setups", "candidate_id", "adjusted") == [("a", 0.04)]
    assert told(path, "verdict_history", "candidate_id", "status") == [("a", "PASS")]


def test_a_failure_on_the_way_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some statements have been made by then; also when there was no file."""
    write_verdicts(path, MINE, [verdict("a")])
    before = export_verdicts(path)

    def failing(connection: duckdb.DuckDBPyConnection, verdicts: str) -> None:
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr("src.research.validation.verdict_store._keep", failing)
    with pytest.raises(DataError, match="nothing of it was stored: No space left on device; when that is mended"):
        write_verdicts(path, OTHER, [verdict("a", Status.REJECT), verdict("b")])

    assert export_verdicts(path) == before


def broken_rows() -> Iterator[VerdictRow]:
    """One, and then no more."""
    yield verdict("a")
    raise KeyError("lost")


def test_rows_that_are_none_store_nothing(path: Path) -> None:
    """A candidate twice, a number that is none, and a source that breaks."""
    with pytest.raises(InternalError, match="judged twice"):
        write_verdicts(path, MINE, [verdict("a"), verdict("a")])
    with pytest.raises(InternalError, match="finite"):
        write_verdicts(path, MINE, [verdict("a", p_value=float("nan"))])
    with pytest.raises(InternalError, match="finite"):
        write_verdicts(path, MINE, [verdict("a", figures=(("r", float("inf")),))])
    with pytest.raises(KeyError):
        write_verdicts(path, MINE, broken_rows())

    assert not path.exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from src.research.validation import verdict_store
from tests.research.validation.test_verdict_store import MINE, verdict
from src.research.validation.ports import Status

kept, calls = verdict_store._keep, []

def until_killed(connection, given_way):
    kept(connection, given_way)
    calls.append(given_way.num_rows)
    if len(calls) == 2:  # verdicts and setups of the first rows have given way
        assert all(calls)
        os.kill(os.getpid(), signal.SIGKILL)

verdict_store._keep = until_killed
rows = [verdict(f"c{number}", Status.REJECT) for number in range(2000)]
verdict_store.write_verdicts(Path(sys.argv[1]), MINE, rows)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="nothing there kills like SIGKILL")
def test_a_writer_killed_on_the_way_leaves_nothing(path: Path, pytestconfig: pytest.Config) -> None:
    """The next one goes on as if it had never been."""
    first = [verdict(f"c{number}") for number in range(2000)]
    write_verdicts(path, MINE, first)
    before = export_verdicts(path)

    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], check=False, cwd=pytestconfig.rootpath,
        env={**os.environ, "PYTHONPATH": str(pytestconfig.rootpath)},
    )  # fmt: skip

    assert ended.returncode == -signal.SIGKILL
    assert export_verdicts(path) == before
    assert not write_verdicts(path, MINE, first)
    assert write_verdicts(path, MINE, [verdict(f"c{number}", Status.REJECT) for number in range(2000)])
    assert len(told(path, "verdict_history", "place")) == 2000
    assert told(path, "validated_setups", "phase") == []


FULL = """
import resource, signal, sys
from pathlib import Path
from src.core.errors import DataError
from src.research.validation.verdict_store import write_verdicts
from tests.research.validation.test_verdict_store import OTHER, verdict

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 4096,) * 2)
rows = [verdict(f"d{number}", labels=(("text", f"{number}" * 100),)) for number in range(5000)]
try:
    write_verdicts(path, OTHER, rows)
except DataError as error:
    sys.exit(0 if "nothing of it was stored" in error.message else 1)
sys.exit(2)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_full_disk_is_a_sentence_and_changes_nothing(path: Path, pytestconfig: pytest.Config) -> None:
    """What was stored before can still be read."""
    write_verdicts(path, MINE, [verdict("a")])
    before = export_verdicts(path)

    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], check=False, cwd=pytestconfig.rootpath,
        env={**os.environ, "PYTHONPATH": str(pytestconfig.rootpath)},
    )  # fmt: skip

    assert ended.returncode == 0
    assert export_verdicts(path) == before


UNFOLDED = """
import resource, signal, sys
from pathlib import Path
from src.research.validation.ports import Status
from src.research.validation.verdict_store import write_verdicts
from tests.research.validation.test_verdict_store import OTHER, noise, verdict

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
write_verdicts(path, OTHER, [verdict(f"c{number}", Status.SKIP, reason=noise(number, 600)) for number in range(2000)])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_what_was_committed_is_not_said_to_be_lost(path: Path, pytestconfig: pytest.Config) -> None:
    """The disk takes the log of the transaction, but has no room for the file; once there is room the log goes."""
    write_verdicts(path, MINE, [verdict(f"c{number}", reason=noise(-number, 600)) for number in range(2000)])
    limit = path.stat().st_size + (1 << 20)

    subprocess.run(
        [sys.executable, "-c", UNFOLDED, str(path), str(limit)], check=True, cwd=pytestconfig.rootpath,
        env={**os.environ, "PYTHONPATH": str(pytestconfig.rootpath)},
    )  # fmt: skip

    log = path.with_name(path.name + ".wal")
    assert log.exists()
    told = export_verdicts(path)
    assert [each["status"] for each in told["experimental_strategies"]] == ["PASS"] * 2000 + ["SKIP"] * 2000
    assert not write_verdicts(
        path, OTHER, [verdict(f"c{number}", Status.SKIP, reason=noise(number, 600)) for number in range(2000)]
    )
    assert not log.exists()
    assert export_verdicts(path) == told


def test_what_somebody_killed_has_left_beside_the_file_is_cleared_away(path: Path) -> None:
    """Whatever had no room in his memory, even if nothing else is to be done."""
    write_verdicts(path, MINE, [verdict("a")])
    left = path.with_name(path.name + ".tmp")
    left.mkdir()
    (left / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(bytes(1000))

    assert not write_verdicts(path, MINE, [verdict("a")])

    assert not left.exists()
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert not write_verdicts(path, MINE, [verdict("a")])
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def noise(seed: int, letters: int) -> str:
    """A text that no compression makes short."""
    return random.Random(seed).randbytes(letters // 2).hex()


@pytest.mark.slow
def test_rows_so_wide_that_they_have_no_room_are_stored_all_the_same(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine looks at thousands of rows at a time, however wide they are, and is given more memory then."""
    more = verdict_store._MEMORY[1:]
    monkeypatch.setattr(verdict_store, "_MEMORY", ("6MB", *more))
    wide = [verdict(f"c{number}", Status.REJECT, reason=noise(number, 1 << 20)) for number in range(8)]

    assert write_verdicts(path, MINE, wide)

    assert told(path, "experimental_strategies", "reason") == [(each.reason,) for each in wide]
    assert not write_verdicts(path, MINE, wide)
    assert write_verdicts(path, MINE, [verdict(f"c{number}") for number in range(8)])
    assert len(told(path, "verdict_history", "place")) == 8


MANY = """
import random, sys
from pathlib import Path
import psutil
from src.research.validation.verdict_store import write_verdicts
from tests.research.validation.test_verdict_store import MINE, verdict

MANY = 20_000
FIGURES = [random.Random(number).randbytes(300).hex() for number in range(61)]

def rows(count, told):
    for number in range(count):
        yield verdict(f"c{number:06}", number=number, figures=((told, FIGURES[number % 61] + str(number)),))

def peak(name, count, told):
    write_verdicts(Path(sys.argv[1]) / name, MINE, rows(count, told))
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

peak("few.duckdb", 2_000, "old")
few = peak("few.duckdb", 2_000, "new")
peak("many.duckdb", MANY, "old")
print(peak("many.duckdb", MANY, "new") - few)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="nothing there tells what a process held at most")
def test_replacing_tens_of_thousands_of_verdicts_takes_hardly_more_memory(
    path: Path, pytestconfig: pytest.Config
) -> None:
    """All in one transaction, which would hold each of them and what gives way to it."""
    path.parent.mkdir()

    ended = subprocess.run(
        [sys.executable, "-c", MANY, str(path.parent)], check=True, cwd=pytestconfig.rootpath, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(pytestconfig.rootpath)},
    )  # fmt: skip

    assert int(ended.stdout.split()[-1]) < 40_000  # kB; the engine may show how far it is before
    many = path.with_name("many.duckdb")
    assert len(told(many, "verdict_history", "place")) == 20_000
    assert (
        len(told(many, "experimental_strategies", "number")) == len(told(many, "validated_setups", "phase")) == 20_000
    )


def test_files_that_are_something_else_are_refused_before_any_work(path: Path) -> None:
    """A folder, another database, a text, another version; a lock that is held is no reason to refuse."""
    path.parent.mkdir()
    check_target(path)
    (path.parent / "text.duckdb").write_text("not a database at all" * 1000)
    with duckdb.connect(str(path.parent / "results.duckdb")) as connection:
        connection.execute("CREATE TABLE results_version AS SELECT 1 AS version")
    write_verdicts(path, MINE, [verdict("a")])
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE verdicts_version SET version = 2")

    with pytest.raises(DataError, match="expected to write verdicts to .* a folder stands there"):
        check_target(path.parent)
    with pytest.raises(DataError, match="a database of verdicts at .* found something else"):
        check_target(path.parent / "text.duckdb")
    with pytest.raises(DataError, match="of version 1 at .* found something else; move this one away"):
        check_target(path.parent / "results.duckdb")
    with pytest.raises(DataError, match="found version 2"):
        check_target(path)
    with pytest.raises(DataError, match="found version 2"):
        write_verdicts(path, MINE, [verdict("a")])
    with pytest.raises(DataError, match="expected to write verdicts to"):
        check_target(path.parent / "text.duckdb" / "below" / "validation.duckdb")
    with pytest.raises(DataError, match="nothing of it was stored"):
        write_verdicts(path.parent / "text.duckdb" / "below" / "validation.duckdb", MINE, [verdict("a")])
    with pytest.raises(DataError, match="there are no verdicts"):
        export_verdicts(path.parent / "absent.duckdb")
    with FileLock(path.with_name(path.name + ".lock")):
        check_target(path)


def test_whoever_comes_while_another_writes_waits_and_then_says_so(path: Path) -> None:
    """Nothing is made meanwhile."""
    path.parent.mkdir()

    with FileLock(path.with_name(path.name + ".lock")), pytest.raises(DataError, match="to become free within 0 s"):
        write_verdicts(path, MINE, [verdict("a")], lock_seconds=0)

    assert not path.exists()


def test_lines_are_written_in_the_order_of_their_keys_and_left_alone_if_equal(tmp_path: Path) -> None:
    """Nothing is touched the second time, and a shorter file replaces a longer one."""
    path = tmp_path / "new" / "windows.jsonl"
    rows: list[dict[str, Any]] = [
        {"number": 1, "a": 0.1, "label": "é\ud800"},
        {"number": 2, "a": None, "label": ["x"]},
    ]

    assert write_lines(path, rows)

    before = (path.read_bytes(), path.stat().st_mtime_ns)
    assert before[0] == (b'{"number":1,"a":0.1,"label":"\\u00e9\\ud800"}\n{"number":2,"a":null,"label":["x"]}\n')
    assert not write_lines(path, iter(rows))
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert write_lines(path, rows[:1])
    assert path.read_bytes() == before[0].splitlines(keepends=True)[0]
    assert [each.name for each in path.parent.iterdir()] == ["windows.jsonl"]


def test_lines_that_cannot_be_written_leave_the_old_ones(tmp_path: Path) -> None:
    """A number that is none, and a place where no file can be."""
    path = tmp_path / "windows.jsonl"
    write_lines(path, [{"a": 1}])

    with pytest.raises(ValueError, match="not JSON compliant"):
        write_lines(path, [{"a": 2}, {"a": float("nan")}])
    with pytest.raises(DataError, match="could not be written"):
        write_lines(path / "below" / "windows.jsonl", [{"a": 1}])

    assert path.read_bytes() == b'{"a":1}\n'
    assert [each.name for each in tmp_path.iterdir()] == ["windows.jsonl"]
