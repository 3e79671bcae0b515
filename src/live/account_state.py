"""AccountState: what has to outlive the bot's process, and how other processes talk to it.

One SQLite file for each label. It holds the latch of the kill switch, whether entries are paused, the commands from
other terminals with their answers, the heartbeat, and plain texts under keys. Several processes use it at once, and any
thread: each method is one transaction, durable when it returns but for the heartbeat. A process that is killed at any
moment leaves it whole. It reads the wall clock for the heartbeat alone.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from filelock import FileLock, Timeout

from src.core.errors import ConfigError, DataError
from src.core.record import record
from src.core.sync import Lock, wall_ns

__all__ = ["AccountState", "Answer", "Command", "Latch"]

T = TypeVar("T")

VERSION = 1
#: How long another process may hold the file, seconds.
_BUSY_S = 10.0
#: Somebody who only looks whether a bot runs holds its lock for a moment.
_OWN_WITHIN_S = 0.2
#: So many answered commands are remembered.
_MOST_COMMANDS = 1_000

_LATCH, _PAUSE, _BEAT, _OWNER = "latch", "pause", "beat", "owner"
_TABLES = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE kept (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE commands (
    id INTEGER PRIMARY KEY AUTOINCREMENT, verb TEXT NOT NULL, args TEXT NOT NULL, by TEXT NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0, ok INTEGER, answer TEXT
);
"""


@record
class Latch:
    """Why nothing may be opened until somebody resumes by hand.

    Attributes:
        keep_positions: whether what was held was to stay.
    """

    by: str
    why: str
    keep_positions: bool
    instant_ns: int


@record
class Command:
    """What somebody at another terminal wants. `args` is read and not changed."""

    id: int
    verb: str
    args: Mapping[str, Any]
    by: str


@record
class Answer:
    """What came of a command: whether it was done, and a sentence."""

    ok: bool
    text: str


class AccountState:
    """See the module's text; a context manager.

    Args:
        path: the file, `<label>.sqlite` or `<label>.<mode>.sqlite`; it is made where there is none.

    Raises:
        DataError: the file is damaged, of another version, or held by somebody for too long.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label = path.name.split(".")[0]
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise DataError(f"expected a folder that can be written at {path.parent}, found: {error}") from None
        try:
            self._prepare()
        except DataError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Let go of the file; twice is no harm."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # -- one bot -------------------------------------------------------------------------------------------------------

    @contextmanager
    def own(self) -> Iterator[None]:
        """Be the one bot of this label while inside; commands that nobody has answered by then are not done any more.

        Raises:
            ConfigError: another process is.
        """
        lock = self._file_lock(_OWN_WITHIN_S)
        try:
            lock.acquire()
        except Timeout:
            raise ConfigError(
                f"expected no other bot under the label {self.label}, found one that runs (process {self.owner_pid}); "
                f"stop it, or give this one another live.account",
                pid=self.owner_pid,
            ) from None
        try:
            self._begin_owning()
            yield
        finally:
            try:
                # A full disk must not hide how the bot ended; whether it lives says the lock alone.
                with suppress(DataError):
                    self._do(lambda connection: connection.execute("DELETE FROM facts WHERE key = ?", (_OWNER,)))
            finally:
                lock.release()

    @property
    def is_owned(self) -> bool:
        """Whether a bot of this label runs, one that hangs among them. Asked by the bot's own process too."""
        lock = self._file_lock(0)
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        return False

    @property
    def owner_pid(self) -> int | None:
        """The process that runs the bot, or that did when it was killed; the lock tells whether it lives."""
        text = self._fact(_OWNER)
        return None if text is None else int(text)

    def _file_lock(self, within_s: float) -> FileLock:
        return FileLock(f"{self.path}.lock", timeout=within_s, thread_local=False)

    def _begin_owning(self) -> None:
        def begin(connection: sqlite3.Connection) -> None:
            _put(connection, _OWNER, str(os.getpid()))
            connection.execute(
                "UPDATE commands SET answer = CASE taken WHEN 1 THEN ? ELSE ? END, taken = 1, ok = 0 "
                "WHERE answer IS NULL",
                (
                    "the bot that took it ended before it answered, and may do it when it goes on: look at status",
                    "no bot was there to do it; it is not done later",
                ),
            )

        self._do(begin)

    # -- the kill switch and the pause ---------------------------------------------------------------------------------

    @property
    def latched(self) -> Latch | None:
        """The latch, None while it is open."""
        text = self._fact(_LATCH)
        try:
            return None if text is None else Latch(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise self._damaged(f"a latch that cannot be read: {error}") from None

    def latch(self, by: str, why: str, keep_positions: bool, instant_ns: int) -> None:
        """Let nothing be opened any more, after a restart neither; a latch that is there keeps its reason."""
        values = {"by": by, "why": why, "keep_positions": keep_positions, "instant_ns": instant_ns}
        self._do(
            lambda connection: connection.execute(
                "INSERT INTO facts VALUES (?, ?) ON CONFLICT (key) DO NOTHING", (_LATCH, json.dumps(values))
            )
        )

    def unlatch(self, label: str) -> None:
        """Open the latch.

        Raises:
            ConfigError: the label is another one.
        """
        if label != self.label:
            raise ConfigError(f"--confirm: expected {self.label}, the label in live.account, found {label!r}")
        self._do(lambda connection: connection.execute("DELETE FROM facts WHERE key = ?", (_LATCH,)))

    @property
    def paused(self) -> bool:
        """Whether nothing is to be opened for now."""
        return self._fact(_PAUSE) is not None

    def set_paused(self, paused: bool, by: str, instant_ns: int) -> None:
        """Open nothing from now on, or do so again."""

        def change(connection: sqlite3.Connection) -> None:
            if paused:
                _put(connection, _PAUSE, json.dumps({"by": by, "instant_ns": instant_ns}))
            else:
                connection.execute("DELETE FROM facts WHERE key = ?", (_PAUSE,))

        self._do(change)

    # -- commands ------------------------------------------------------------------------------------------------------

    def submit(self, verb: str, args: Mapping[str, Any], by: str) -> int:
        """Leave a command for the bot; its number."""

        def insert(connection: sqlite3.Connection) -> int:
            connection.execute(
                "DELETE FROM commands WHERE answer IS NOT NULL AND id <= (SELECT max(id) FROM commands) - ?",
                (_MOST_COMMANDS,),
            )
            row = connection.execute(
                "INSERT INTO commands (verb, args, by) VALUES (?, ?, ?)", (verb, json.dumps(dict(args)), by)
            )
            return int(row.lastrowid or 0)

        return self._do(insert)

    def take(self) -> list[Command]:
        """The commands that came, the oldest first; each is given once."""

        def taken(connection: sqlite3.Connection) -> list[Command]:
            rows = connection.execute("SELECT id, verb, args, by FROM commands WHERE taken = 0 ORDER BY id").fetchall()
            connection.executemany("UPDATE commands SET taken = 1 WHERE id = ?", [(row[0],) for row in rows])
            return [Command(id=row[0], verb=row[1], args=json.loads(row[2]), by=row[3]) for row in rows]

        # Asked at each poll: nothing is written where nothing came.
        return self._do(taken) if self._waiting() else []

    def withdraw(self, number: int) -> bool:
        """Take a command back; False when the bot has taken it, and may do it yet."""

        def remove(connection: sqlite3.Connection) -> bool:
            return connection.execute("DELETE FROM commands WHERE id = ? AND taken = 0", (number,)).rowcount == 1

        return self._do(remove)

    def answer(self, number: int, ok: bool, text: str) -> None:
        """Tell whoever waits what came of a command."""
        self._do(
            lambda connection: connection.execute(
                "UPDATE commands SET taken = 1, ok = ?, answer = ? WHERE id = ?", (int(ok), text, number)
            )
        )

    def answer_of(self, number: int) -> Answer | None:
        """What came of a command, None until that is known."""
        row = self._one("SELECT ok, answer FROM commands WHERE id = ? AND answer IS NOT NULL", number)
        return None if row is None else Answer(ok=bool(row[0]), text=row[1])

    def _waiting(self) -> bool:
        return self._one("SELECT 1 FROM commands WHERE taken = 0 LIMIT 1") is not None

    # -- what the bot tells of itself ----------------------------------------------------------------------------------

    def beat(self, status: Mapping[str, Any]) -> None:
        """Show that the bot lives, and how it is; the last seconds of it may be lost with the machine's power."""
        text = json.dumps({**status, "wall_ns": wall_ns()})
        self._do(lambda connection: _put(connection, _BEAT, text), durable=False)

    def last_beat(self) -> Mapping[str, Any] | None:
        """What was shown last, with `wall_ns`, the machine's time at which it was; None when no bot ever ran."""
        text = self._fact(_BEAT)
        return None if text is None else dict(json.loads(text))

    # -- texts under keys ----------------------------------------------------------------------------------------------

    def value(self, key: str) -> str | None:
        """What is kept under a key."""
        row = self._one("SELECT value FROM kept WHERE key = ?", key)
        return None if row is None else str(row[0])

    def keep(self, key: str, value: str | None) -> None:
        """Keep a text under a key in the place of what was there; None for nothing."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM kept WHERE key = ?", (key,))
            if value is not None:
                connection.execute("INSERT INTO kept VALUES (?, ?)", (key, value))

        self._do(change)

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make the tables of a new file, and look whether an old one is what it must be."""

        def looked(connection: sqlite3.Connection) -> int:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])

        def made(connection: sqlite3.Connection) -> None:
            # Two processes may have found an empty file at the same time.
            if looked(connection) == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")

        self._guarded(lambda connection: connection.execute("PRAGMA journal_mode = WAL"))
        self._guarded(lambda connection: connection.execute("PRAGMA synchronous = FULL"))
        if self._guarded(looked) == 0:
            self._do(made)
        version = self._guarded(looked)
        if version != VERSION:
            raise DataError(
                f"expected the state of a bot of version {VERSION} in {self.path}, found version {version}; use the "
                "Lockstep that wrote it, or give this bot another live.account",
                path=str(self.path),
            )
        problem = self._guarded(lambda connection: connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        if problem != "ok":
            raise self._damaged(str(problem))

    def _fact(self, key: str) -> str | None:
        row = self._one("SELECT value FROM facts WHERE key = ?", key)
        return None if row is None else str(row[0])

    def _one(self, sql: str, *values: object) -> Any:
        return self._guarded(lambda connection: connection.execute(sql, values).fetchone())

    def _do(self, change: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """One transaction that writes."""

        def run(connection: sqlite3.Connection) -> T:
            if not durable:
                connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                found = change(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                if not durable:
                    connection.execute("PRAGMA synchronous = FULL")
            return found

        return self._guarded(run)

    def _guarded(self, call: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            if self._connection is None:
                raise DataError(f"the state in {self.path} was used after it had been closed", path=str(self.path))
            try:
                return call(self._connection)
            except sqlite3.OperationalError as error:
                raise DataError(
                    f"expected to use {self.path}, found: {error}; look whether another process holds it, and whether "
                    "the disk is full",
                    path=str(self.path),
                ) from None
            except sqlite3.DatabaseError as error:
                raise self._damaged(str(error)) from None

    def _damaged(self, why: str) -> DataError:
        return DataError(
            f"expected the state of a bot in {self.path}, found a damaged file ({why}); move it away, look at the "
            "account at the venue, and start the bot anew",
            path=str(self.path),
        )


def _put(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(
        "INSERT INTO facts VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )
