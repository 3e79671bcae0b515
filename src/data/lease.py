"""Who may open a store now: one writer, or any number of readers, never both.

The lease is a lock on a file of its own beside the store, taken before the store is opened and given back after it is
closed; the system gives it back when its holder is killed. Any thread may take one, and any may give it back. Nobody
waits for a writer: a lease that is not free is an error with a sentence.
"""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import ReadWriteLock, Timeout

from src.core.errors import DataError

__all__ = ["Lease", "lease_path", "snapshot_lease"]

Mode = Literal["read", "write"]

# A writer that is being refused blocks new readers for the moment of its attempt; that is not worth an error.
_READER_SECONDS = 0.2

# What this process holds, for the sentence only; the lock itself is the file's.
_HELD: dict[Path, list[Mode]] = {}


def lease_path(store: Path) -> Path:
    """The lock file of a store: its name with `.lease`, the same for every name of the same file."""
    real = store.resolve()
    return real.with_name(real.name + ".lease")


class Lease:
    """The right to read a store beside other readers, or to write it alone; taken by making one.

    Args:
        store: the store's file; its folder must exist.
        mode: `read` or `write`.

    Raises:
        DataError: somebody holds the opposite; the sentence says who must wait for whom.
    """

    def __init__(self, store: Path, mode: Mode) -> None:
        self.store = store
        self.mode: Mode = mode
        self._path = lease_path(store)
        self._lock: ReadWriteLock | None = self._take()
        if self._lock is not None:
            _HELD.setdefault(self._path, []).append(mode)

    def release(self) -> None:
        """Give it back; may be repeated, and from another thread."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()
            _HELD[self._path].remove(self.mode)

    def _take(self) -> ReadWriteLock | None:
        """The held lock; None for a reader in a folder in which no lock file can be made."""
        try:
            # An instance of its own: a shared one would let a second holder of the same process in.
            lock = ReadWriteLock(self._path, is_singleton=False)
            if self.mode == "read":
                lock.acquire_read(_READER_SECONDS)
            else:
                lock.acquire_write(blocking=False)
        except Timeout:
            raise DataError(self._refusal(), path=str(self.store)) from None
        except OSError as error:
            if self.mode == "read" and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                # Nobody can write there either, as far as this user is concerned, and DuckDB's own lock still holds.
                return None
            raise DataError(
                f"the lease {self._path} of {self.store} cannot be taken: {error.strerror or error}; "
                f"keep the store in a folder you may write to",
                path=str(self.store),
            ) from None
        except (sqlite3.Error, ValueError) as error:
            raise DataError(
                f"expected the lock file of {self.store} at {self._path}, found something else ({error}); "
                f"move that file away",
                path=str(self.store),
            ) from None
        return lock

    def _refusal(self) -> str:
        own = _HELD.get(self._path)
        if own:
            return (
                f"{self.store} is already open in this program for {_doing(own[0])} and cannot be opened for "
                f"{_doing(self.mode)} beside it; close one first"
            )
        if self.mode == "read":
            return (
                f"{self.store} is being written by another program (an import, a sync or a repair) and cannot be "
                f"read until it is done; wait for it, then start again"
            )
        if self._readers_only():
            return (
                f"{self.store} is being read by another program (a run or a suite) and must not change under it; "
                f"wait for it, then write again"
            )
        return (
            f"{self.store} is being written by another program (an import, a sync or a repair), and a store has one "
            f"writer at a time; wait for it, then start again"
        )

    def _readers_only(self) -> bool:
        """Whether those who refused a writer are readers; they may be gone by now, which counts as readers."""
        try:
            lock = ReadWriteLock(self._path, is_singleton=False)
            lock.acquire_read(blocking=False)
        except (Timeout, OSError, sqlite3.Error, ValueError):
            return False
        lock.close()
        return True


@contextmanager
def snapshot_lease(store: Path) -> Iterator[None]:
    """Hold a store in read mode: until the block ends, readers of all processes come and go and nobody writes.

    Raises:
        DataError: there is no such store, or somebody writes to it now.
    """
    if not store.is_file():
        raise DataError(f"expected the data file {store}, found nothing there", path=str(store))
    lease = Lease(store, "read")
    try:
        yield
    finally:
        lease.release()


def _doing(mode: Mode) -> str:
    return "reading" if mode == "read" else "writing"
