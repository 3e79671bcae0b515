"""Where the folder of a run is made: under the lock of its run id, beside its place, published by one rename.

Called by one thread of a process, by any number of processes at once. What a kill leaves is a folder in `.tmp`, which
the next write removes. What a run that completed costs to write does not depend on how many runs there are; for the
others, which have a number, the folder is looked through. No clock is read.
"""

import os
import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from src.core.errors import ConfigError

__all__ = ["FREE", "Workshop", "ensure_writable"]

_LOCKS = ".locks"
_TEMPORARY = ".tmp"
#: So many first characters of a run id name its lock: runs by the hundred thousand need no lock file each.
_BUCKET = 2
#: What stands for the id of runs that have none.
FREE = "free"


def ensure_writable(runs_dir: Path) -> None:
    """Make the folder for runs if need be and prove that files can be written into it; call before a run starts.

    Raises:
        ConfigError: they cannot.
    """
    probe = runs_dir / f".writable-{os.getpid()}"
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"expected a folder for runs that can be written at {runs_dir}, found: {error.strerror or error}; "
            "choose another folder or change its permissions",
            path=str(runs_dir),
        ) from None


class Workshop:
    """The lock of a run id in a folder, which ids that begin alike share, and the temporary folder made under it."""

    def __init__(self, runs_dir: Path, run_id: str) -> None:
        self._runs_dir = runs_dir
        self._run_id = run_id
        self._lock = FileLock(self._lock_path(run_id))
        self._temporary: Path | None = None

    def _lock_path(self, run_id: str) -> Path:
        return self._runs_dir / _LOCKS / f"{run_id[:_BUCKET]}.lock"

    def __enter__(self) -> "Workshop":
        ensure_writable(self._runs_dir)
        for folder in (_LOCKS, _TEMPORARY):
            (self._runs_dir / folder).mkdir(exist_ok=True)
        self._lock.acquire()
        try:
            self._sweep()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            if self._temporary is not None:
                shutil.rmtree(self._temporary, ignore_errors=True)
        finally:
            self._lock.release()
        if isinstance(error, OSError):
            raise ConfigError(
                f"expected room and permission to store run {self._run_id} in {self._runs_dir}, found: "
                f"{error.strerror or error}; nothing of it was kept",
                path=str(self._runs_dir),
            ) from error

    def _sweep(self) -> None:
        """Remove the temporary folders of dead writers: who holds an id's lock knows that nobody else writes it."""
        for left in sorted((self._runs_dir / _TEMPORARY).iterdir()):
            if left.name[:_BUCKET] == self._run_id[:_BUCKET]:
                shutil.rmtree(left, ignore_errors=True)
                continue
            try:
                with FileLock(self._lock_path(left.name), timeout=0):
                    shutil.rmtree(left, ignore_errors=True)
            except Timeout:
                continue  # its writer lives

    def next_name(self, suffix: str) -> str:
        """`<id>.<suffix>-<n>` with n above every number in use."""
        prefix = f"{self._run_id}.{suffix}-"
        used = [path.name.removeprefix(prefix) for path in self._runs_dir.glob(f"{prefix}*")]
        return f"{prefix}{max((int(number) for number in used if number.isdigit()), default=0) + 1}"

    def next_free(self) -> str:
        """`free-<n>` with n above every number in use, whatever became of that run."""
        names = [path.name.removeprefix(f"{FREE}-").partition(".")[0] for path in self._runs_dir.glob(f"{FREE}-*")]
        return f"{FREE}-{max((int(number) for number in names if number.isdigit()), default=0) + 1}"

    def temporary(self) -> Path:
        """A new, empty folder on the disk of the final place."""
        folder = self._runs_dir / _TEMPORARY / self._run_id
        folder.mkdir()
        self._temporary = folder
        return folder

    def publish(self, folder: Path, name: str) -> Path:
        """Give the finished folder its name, in one step."""
        place = self._runs_dir / name
        folder.rename(place)
        self._temporary = None
        return place
