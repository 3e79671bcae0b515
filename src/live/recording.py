"""The recording of a live run: what the bot saw, in which order its participants went on, and what it did.

One SQLite file beside the run's other files, with a write-ahead log, so that a killed process loses nothing that was
written before. Entries are numbered in the order in which they happened. What is to be sent is written, and on the
disk, before it is sent (`make_durable`). The kinds of entries and their bodies are in `docs/recording.md`.

One process writes, inside turns of its participants; any number of processes read at the same time. What cannot be
written ends the writing for good: a recording has an end, and never a hole.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Any

from src.core.errors import DataError
from src.core.sync import Lock

__all__ = [
    "FILE", "FORMAT", "Entry", "Recording", "encoded", "end_of_process", "last_instant", "last_world",
    "read_entries", "read_meta", "read_story", "skips_of",
]  # fmt: skip

FORMAT = "1"
FILE = "recording.sqlite"

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS entries (n INTEGER PRIMARY KEY, instant_ns INTEGER NOT NULL, kind TEXT NOT NULL, "
    "participant TEXT NOT NULL, body TEXT NOT NULL) STRICT",
    # Those of rare kinds are looked for when a run is gone on with.
    "CREATE INDEX IF NOT EXISTS entries_by_kind ON entries (kind)",
)
_PAGE = 2_000
#: Greater than the number of any entry.
_ALL = 2**62


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its number, the bot's instant, what it is, whose it is, and its values.

    `kind` is `world`, `turn`, `call`, `reply`, `read`, `command`, `ended`, `resumed`, `known`, `paper`, `note` or
    `outcome`.
    """

    n: int
    instant_ns: int
    kind: str
    participant: str
    body: dict[str, Any]


class Recording:
    """The writer, of a new file or of one that is gone on with.

    Args:
        path: the file; its folder has to be there.
        meta: what is known of the run, as texts; written when the file is new.

    Raises:
        DataError: the file is no recording, or one of another version.
    """

    def __init__(self, path: Path, meta: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._lock = Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                self._db.execute(table)
            found = dict(self._db.execute("SELECT key, value FROM meta"))
            if not found:
                rows = [("format", FORMAT), *(meta or {}).items()]
                self._db.executemany("INSERT INTO meta VALUES (?, ?)", rows)
            last = self._db.execute("SELECT max(n) FROM entries").fetchone()[0]
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise DataError(f"expected a recording in {path}, found a file that cannot be used ({error})") from error
        _check_format(found or {"format": FORMAT}, path)
        self._next = 0 if last is None else last + 1
        self._open = False
        self._broken: DataError | None = None

    @property
    def count(self) -> int:
        """How many entries there are."""
        return self._next

    def write(self, instant_ns: int, kind: str, participant: str, body: Mapping[str, Any]) -> int:
        """Add an entry; it is on the disk with the next `commit`. Returns its number.

        Raises:
            DataError: it cannot be written, and nothing after it can be; so for the others.
        """
        text = encoded(body)
        with self._lock:
            n = self._next
            self._do(self._insert, (n, instant_ns, kind, participant, text))
            self._next = n + 1
        return n

    def commit(self) -> None:
        """Let what was written outlive this process."""
        with self._lock:
            self._do(self._commit)

    def make_durable(self) -> None:
        """Let what was written outlive this machine too: it has reached the disk when this returns."""
        with self._lock:
            self._do(self._sync)

    def set_meta(self, key: str, value: str) -> None:
        """Keep a value of the run as a whole."""
        with self._lock:
            self._do(self._set_meta, key, value)

    def close(self) -> None:
        """Write what is left and close the file."""
        with self._lock:
            if self._broken is None:
                with suppress(DataError):
                    self._do(self._commit)
            self._db.close()

    def _do(self, work: Callable[..., None], *args: Any) -> None:
        if self._broken is not None:
            raise self._broken
        try:
            work(*args)
        except (sqlite3.Error, UnicodeError) as error:
            # SQLite may have thrown away what was not committed: what came after that would not fit any more.
            self._broken = DataError(
                f"expected to write the recording {self.path}, found: {error}; see whether the disk is full and "
                "whether another process holds the file, and start again: the bot goes on from what was written"
            )
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise self._broken from error

    def _insert(self, row: tuple[Any, ...]) -> None:
        if not self._open:
            self._db.execute("BEGIN")
            self._open = True
        self._db.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", row)

    def _commit(self) -> None:
        if self._open:
            self._db.execute("COMMIT")
            self._open = False

    def _sync(self) -> None:
        self._commit()
        # With a write-ahead log only a commit at this level waits for the disk, and then for all before it too.
        self._db.execute("PRAGMA synchronous=FULL")
        self._set_meta("durable_to", str(self._next))
        self._db.execute("PRAGMA synchronous=NORMAL")

    def _set_meta(self, key: str, value: str) -> None:
        self._commit()
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def encoded(body: Any) -> str:
    """Plain values as they are written: in ASCII, since a text may hold what has no bytes in UTF-8."""
    return json.dumps(body, separators=(",", ":"), default=_plain_number)


def _plain_number(value: Any) -> Any:
    """A number of NumPy's as JSON has it."""
    try:
        return value.item()
    except (AttributeError, ValueError):
        return str(value)


def read_meta(path: Path) -> dict[str, str]:
    """What is known of the run as a whole.

    Raises:
        DataError: there is no recording, or one of another version.
    """
    with _reading(path) as db:
        found = dict(db.execute("SELECT key, value FROM meta"))
    _check_format(found, path)
    return found


def read_entries(
    path: Path, first: int = 0, kinds: Iterable[str] = (), *, about: Iterable[str] = ()
) -> Iterator[Entry]:  # fmt: skip
    """The entries from number `first` on, in order; only those of some kinds when kinds are named.

    Another process may go on writing meanwhile.

    Args:
        about: of `world` entries only those that tell of one of these, such as `positions`; all of them by default.

    Raises:
        DataError: there is no recording, or one of another version.
    """
    read_meta(path)
    wanted, told = tuple(dict.fromkeys(kinds)), tuple(about)
    if not wanted:
        return _pages(path, first, "", ())
    return merge(*[_pages(path, first, kind, told if kind == "world" else ()) for kind in wanted], key=attrgetter("n"))


def _pages(path: Path, first: int, kind: str, about: tuple[str, ...]) -> Iterator[Entry]:
    where = " AND kind = ?" if kind else ""
    if about:
        # Most of them tell of prices alone, and are many.
        where += f" AND ({' OR '.join(['instr(body, ?)'] * len(about))})"
    more = [*([kind] if kind else []), *[f'"{each}":' for each in about]]
    query = f"SELECT n, instant_ns, kind, participant, body FROM entries WHERE n >= ?{where} ORDER BY n LIMIT {_PAGE}"
    while True:
        with _reading(path) as db:
            rows = db.execute(query, (first, *more)).fetchall()
        for n, instant_ns, its_kind, participant, body in rows:
            try:
                values = json.loads(body)
            except ValueError as error:
                raise DataError(f"expected a recording in {path}, found entry {n} damaged ({error})") from error
            yield Entry(n, instant_ns, its_kind, participant, values)
        if len(rows) < _PAGE:
            return
        first = rows[-1][0] + 1


def last_world(path: Path, key: str, before: int | None = None) -> Any:
    """What `world` entries before a number told last of something, such as `account`; None for nothing.

    Raises:
        DataError: see `read_entries`.
    """
    query = "SELECT body FROM entries WHERE kind = 'world' AND n < ? AND instr(body, ?) ORDER BY n DESC LIMIT 1"
    with _reading(path) as db:
        row = db.execute(query, (_ALL if before is None else before, f'"{key}":')).fetchone()
    return None if row is None else json.loads(row[0]).get(key)


def read_story(path: Path, before: int | None = None, kinds: Iterable[str] = ()) -> Iterator[Entry]:
    """The entries that make up the run as a whole, without the ends of processes after which it went on.

    Args:
        before: read up to this entry, and without it.
        kinds: see `read_entries`.

    Raises:
        DataError: see `read_entries`.
    """
    skips = skips_of(path)
    for entry in read_entries(path, kinds=kinds):
        n = entry.n
        if before is not None and n >= before:
            return
        if not skips or not any(first <= n <= last for first, last in skips):
            yield entry


def skips_of(path: Path) -> list[tuple[int, int]]:
    """The first and the last numbers of entries that are no part of the run: ends of processes after which it went on.

    Raises:
        DataError: see `read_entries`.
    """
    return [(each.body["skips_from"], each.n) for each in read_entries(path, kinds=("resumed",))]


def end_of_process(path: Path) -> int | None:
    """The number of the entry with which the last process began to end in order; None where it was killed.

    That is the command to stop, or what went wrong outside the bot.

    Raises:
        DataError: see `read_entries`.
    """
    found = None
    for entry in read_entries(path, kinds=("command", "ended", "resumed")):
        if entry.kind == "resumed":
            found = None
        elif found is None and (entry.kind == "ended" or entry.body.get("verb") == "stop"):
            found = entry.n  # what was commanded after it belongs to the end too
    return found


def last_instant(path: Path, before: int | None = None) -> int:
    """The instant of the last turn, reply and change of the world before a number, the latest of them; 0 without any.

    Raises:
        DataError: see `read_entries`.
    """
    query = "SELECT instant_ns FROM entries WHERE kind = ? AND n < ? ORDER BY n DESC LIMIT 1"
    last = _ALL if before is None else before
    with _reading(path) as db:
        rows = [db.execute(query, (kind, last)).fetchone() for kind in ("turn", "reply", "world")]
    return max([int(row[0]) for row in rows if row is not None], default=0)


class _reading:  # noqa: N801  # used as a statement
    """A connection that only reads, closed at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        if not self._path.is_file():
            raise DataError(
                f"expected a recording in {self._path}, found no such file; runs on paper and live runs have one"
            )
        self._db = sqlite3.connect(self._path.resolve().as_uri() + "?mode=ro", uri=True, isolation_level=None)
        return self._db

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error):
            raise DataError(
                f"expected a recording in {self._path}, found a file that cannot be read ({error})"
            ) from error


def _check_format(meta: Mapping[str, str], path: Path) -> None:
    found = meta.get("format", "none")
    if found != FORMAT:
        raise DataError(
            f"expected a recording of format {FORMAT} in {path}, found {found}; use the version that made it"
        )
