"""A store has one writer or many readers, across processes; each side is told who must wait for whom."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from src.core.errors import DataError
from src.core.timeframe import MINUTE_NS
from src.data import lease
from src.data.lease import lease_path, snapshot_lease
from src.data.store import HistoricalDataStore
from src.data.stores import store_snapshot
from tests.data.conftest import MakeBars

ROOT = Path(__file__).parents[2]

# Takes what it is told to take and holds it until its input ends.
HOLDER = """
import sys
from pathlib import Path
from src.data.lease import snapshot_lease
from src.data.store import HistoricalDataStore
path = Path(sys.argv[2])
held = snapshot_lease(path) if sys.argv[1] == "snapshot" else HistoricalDataStore(path, read_only=sys.argv[1] == "read")
with held as store:
    if sys.argv[1] == "commit":
        store.log_sync("BTCUSD", 60, "exchange", 0, 10, 1)
    if sys.argv[1] == "change":
        unfinished = store.transaction()
        unfinished.__enter__()
        store.delete_series("BTCUSD", 60_000_000_000)
    print("held", flush=True)
    sys.stdin.read()
"""

# Says what each way of opening is answered with.
ASKER = """
import sys
from pathlib import Path
from src.core.errors import DataError
from src.data.store import HistoricalDataStore
for read_only in (True, False):
    try:
        HistoricalDataStore(Path(sys.argv[1]), read_only=read_only).close()
        print("ok")
    except DataError as error:
        print(error)
"""


@contextmanager
def held_elsewhere(mode: str, path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the store until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, mode, str(path)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def ask_elsewhere(path: Path) -> list[str]:
    """What another process is answered when it opens the store for reading, and for writing."""
    ran = subprocess.run(
        [sys.executable, "-c", ASKER, str(path)], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    )
    return ran.stdout.splitlines()


@pytest.fixture
def path(store: HistoricalDataStore, bars: MakeBars) -> Path:
    """A closed store with three bars."""
    store.write_bars(bars([1, 2, 3]), source="test")
    store.close()
    return store.path


@pytest.mark.slow
def test_a_writer_elsewhere_is_named_to_readers_and_writers(store: HistoricalDataStore) -> None:
    """While a store is open for writing, another process can neither read nor write it, and is told why."""
    reading, writing = ask_elsewhere(store.path)

    assert "is being written by another program" in reading
    assert "cannot be read until it is done" in reading
    assert "is being written by another program" in writing
    assert "one writer at a time" in writing


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["read", "snapshot"])
def test_readers_elsewhere_are_named_to_a_writer_and_a_killed_one_is_in_nobodys_way(path: Path, mode: str) -> None:
    """Readers join readers, a writer is refused with a sentence; when the holder is killed the writer may."""
    with held_elsewhere(mode, path) as holder:
        with HistoricalDataStore(path, read_only=True) as beside:
            assert beside.read_bars("BTCUSD", MINUTE_NS).loaded == 3
        with pytest.raises(DataError, match="is being read by another program .* must not change under it; wait"):
            HistoricalDataStore(path)

        holder.kill()
        holder.wait()
        HistoricalDataStore(path).close()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "synced"), [("write", []), ("commit", [(0, 10)]), ("change", [])])
def test_a_killed_writer_frees_the_store(path: Path, mode: str, synced: list[tuple[int, int]]) -> None:
    """A process that dies while it writes leaves a store that opens, with what was committed and nothing else."""
    with held_elsewhere(mode, path) as holder:
        with pytest.raises(DataError, match="is being written by another program"):
            HistoricalDataStore(path, read_only=True)

        holder.kill()
        holder.wait()
        for read_only in (True, False, True):
            with HistoricalDataStore(path, read_only=read_only) as again:
                assert again.read_bars("BTCUSD", MINUTE_NS).loaded == 3
                assert again.synced("BTCUSD", 60, "exchange") == synced


def test_a_snapshot_keeps_writers_of_this_program_out_and_lets_readers_in(path: Path) -> None:
    """The lease is held between readers too, and given back when the block ends."""
    with snapshot_lease(path):
        HistoricalDataStore(path, read_only=True).close()
        HistoricalDataStore(path, read_only=True).close()
        with pytest.raises(DataError, match="already open in this program for reading"):
            HistoricalDataStore(path)

    HistoricalDataStore(path).close()


def test_a_snapshot_of_nothing_is_refused(tmp_path: Path) -> None:
    """No lock file appears for a store that is not there."""
    with pytest.raises(DataError, match="expected the data file"), snapshot_lease(tmp_path / "none.duckdb"):
        pass

    assert list(tmp_path.iterdir()) == []


def test_a_store_that_was_replaced_under_a_snapshot_is_noticed(path: Path, bars: MakeBars, tmp_path: Path) -> None:
    """The lease keeps writers out; a file that took the place of the other is found by its fingerprint at the end."""
    other = tmp_path / "other.duckdb"
    with HistoricalDataStore(other, private=True) as store:
        store.write_bars(bars([1, 2, 4]), source="test")

    def replace_inside() -> None:
        with store_snapshot(path):
            other.replace(path)

    with pytest.raises(DataError, match="expected .* to stay as it was"):
        replace_inside()
    with store_snapshot(path) as fingerprint:
        assert len(fingerprint) == 32


def test_two_names_of_one_file_have_one_lease(path: Path, tmp_path: Path) -> None:
    """A link to a store does not lead past its lease."""
    link = tmp_path / "link.duckdb"
    link.symlink_to(path)

    with HistoricalDataStore(path), pytest.raises(DataError, match="already open in this program"):
        HistoricalDataStore(link, read_only=True)


def test_a_lease_file_that_is_none_is_named(path: Path) -> None:
    """Something else under the name of the lock is not overwritten."""
    lease_path(path).write_text("not a lock" * 100, encoding="utf-8")

    with pytest.raises(DataError, match=r"expected the lock file of .*market\.duckdb\.lease, found something else"):
        HistoricalDataStore(path, read_only=True)


def test_a_store_that_cannot_be_opened_leaves_its_lease_free(tmp_path: Path) -> None:
    """Opening fails after the lease was taken: it is given back with the error."""
    path = tmp_path / "text.duckdb"
    path.write_text("x" * 5000, encoding="utf-8")

    for _ in range(2):
        with pytest.raises(DataError, match="cannot be opened as a store"):
            HistoricalDataStore(path)


def test_a_reader_needs_no_lock_file_where_it_may_not_make_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in a folder of somebody else can be read; to write there is refused with a sentence."""

    def refuse(*arguments: object, **named: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(lease, "ReadWriteLock", refuse)

    with HistoricalDataStore(path, read_only=True) as store:
        assert store.read_bars("BTCUSD", MINUTE_NS).loaded == 3
    with pytest.raises(DataError, match="cannot be taken: Permission denied; keep the store in a folder you may write"):
        HistoricalDataStore(path)
