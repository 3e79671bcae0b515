"""The file of the results database: its tables, who may open it, and how it comes to be.

Called by one thread of a process, by any number of processes at once: whoever opens it holds the lock beside it. It
reads no clock.
"""

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, get_type_hints

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

from src.backtesting.artifacts import trades_table
from src.backtesting.metrics import Metrics
from src.core.errors import DataError
from src.core.program import program
from src.core.record import record
from src.data.connection import first_line

__all__ = [
    "KEYS", "METRIC_COLUMNS", "RESULTS", "TABLES", "TRADE_COLUMNS", "FileKind", "Schema", "check_target",
    "check_version", "connected", "create", "listed", "locked", "open_results", "quoted", "transaction", "writing",
]  # fmt: skip

#: The database's name inside a folder for runs.
RESULTS = "results.duckdb"

_READ_SECONDS = 60.0

_SQL = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN"}
_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64()}

#: The columns of a table by name, each with its Arrow type.
Schema = dict[str, Any]


def _metric_columns() -> Schema:
    """The figures that are one number or one text, in the order of `Metrics`; `runs` has the rest."""
    found: Schema = {}
    for name, kind in get_type_hints(Metrics).items():
        plain = [each for each in (getattr(kind, "__args__", None) or (kind,)) if each is not type(None)]
        if name not in _RUNS and len(plain) == 1 and plain[0] in _ARROW:
            found[name] = _ARROW[plain[0]]
    return found


_TEXT, _INT = pa.string(), pa.int64()
_SUITES: Schema = {"suite_id": _TEXT, "name": _TEXT, "outcome": _TEXT, "runs": _INT}
_SUITE_RUNS: Schema = {
    "suite_id": _TEXT, "position": _INT, "name": _TEXT, "run_id": _TEXT, "status": _TEXT, "error": _TEXT,
    "labels": _TEXT,
}  # fmt: skip
_RUNS: Schema = {
    "run_id": _TEXT, "outcome": _TEXT, "digest": _TEXT, "fingerprint": _TEXT, "configuration_hash": _TEXT,
    "series": _TEXT, "start_ns": _INT, "end_ns": _INT,
}  # fmt: skip
#: The columns of `metrics` besides `run_id`, each with its Arrow type.
METRIC_COLUMNS: Schema = _metric_columns()
#: The columns of `trades` besides `run_id` and `number`.
TRADE_COLUMNS: Schema = {field.name: field.type for field in trades_table([]).schema}
#: The tables.
TABLES: dict[str, Schema] = {
    "suites": _SUITES,
    "suite_runs": _SUITE_RUNS,
    "runs": _RUNS,
    "metrics": {"run_id": _TEXT, **METRIC_COLUMNS},
    "trades": {"run_id": _TEXT, "number": _INT, **TRADE_COLUMNS},
}
#: What makes a row the only one of its kind; also the order in which rows are told.
KEYS = {
    "suites": ("suite_id",), "suite_runs": ("suite_id", "position"), "runs": ("run_id",), "metrics": ("run_id",),
    "trades": ("run_id", "number"),
}  # fmt: skip


@record
class FileKind:
    """What tells one kind of database from another.

    Attributes:
        what: what it is a database of.
        version_table, version: the table that holds nothing but the version, and the version that is understood.
        tables: the others.
        otherwise: what to do where another version is found, or something else.
    """

    what: str
    version_table: str
    version: int
    tables: Mapping[str, Schema]
    otherwise: str


_RESULTS = FileKind(
    what="results", version_table="results_version", version=1, tables=TABLES,
    otherwise=(
        "name another file with --results, or move this one away and run the suites again: what is computed already is "
        "not run anew"
    ),
)  # fmt: skip


@contextmanager
def writing(path: Path, lock_seconds: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database, open for writing inside one transaction; made when absent, its folder too.

    Raises:
        DataError: it is no database of results, or somebody holds it for too long.
        OSError, duckdb.Error: it cannot be written; nothing has changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path, lock_seconds):
        if not path.exists():
            create(path, _RESULTS)
        with connected(path, read_only=False) as connection:
            check_version(connection, path, _RESULTS)
            _add_columns(connection)
            with transaction(connection):
                yield connection
            connection.execute("CHECKPOINT")


def check_target(path: Path, kind: FileKind = _RESULTS) -> None:
    """Refuse a file that nothing can be written to, before hours of work go into it.

    What is not known now is left to the writing: somebody else may be writing to the file at the moment.

    Raises:
        DataError: it is a folder or something else than such a database, or its folder cannot be written.
    """
    probe = path.with_name(f".writable-{os.getpid()}")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder stands there")
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise DataError(
            f"expected to write {kind.what} to {path}, found: {error.strerror or error}; name a file in a folder you "
            "may write to",
            path=str(path),
        ) from None
    if not path.exists():
        return
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        with lock.acquire(timeout=0), connected(path, read_only=True) as connection:
            check_version(connection, path, kind)
    except Timeout:
        return
    except duckdb.Error as error:
        if "lock" in str(error):
            return
        raise DataError(
            f"expected a database of {kind.what} at {path}, found something else ({first_line(error)}); name another "
            "file",
            path=str(path),
        ) from None


@contextmanager
def open_results(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database, open for reading; SQL in it reaches no other file.

    Raises:
        DataError: there is none, it is no database of results, or somebody writes it for too long.
    """
    if not path.is_file():
        raise DataError(
            f"there are no results at {path}; `{program()} suite MANIFEST` runs a suite and writes them, and "
            "--results FILE, or candidates.path in a validation, names another file",
            path=str(path),
        )
    with locked(path, _READ_SECONDS, may_lack=True):
        try:
            with connected(path, read_only=True) as connection:
                check_version(connection, path, _RESULTS)
                connection.execute("SET enable_external_access = false")
                connection.execute("SET lock_configuration = true")
                _lend_columns(connection)
                yield connection
        except duckdb.IOException as error:
            raise DataError(f"{path} cannot be read: {first_line(error)}", path=str(path)) from error


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str]) -> str:
    """Several names."""
    return ", ".join(map(quoted, names))


@contextmanager
def locked(path: Path, seconds: float, *, may_lack: bool = False) -> Iterator[None]:
    """Hold the lock beside the file; with `may_lack` go without it where no file can be made.

    Raises:
        DataError: somebody else holds it for too long.
        OSError: no file can be made there.
    """
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        raise DataError(
            f"expected {path} to become free within {seconds:.0f} s, found another program still at it; wait until it "
            "is done, or end it",
            path=str(path),
        ) from None
    except OSError:
        if not may_lack:
            raise
    try:
        yield
    finally:
        lock.release()


#: What is more than this goes to the disk: what a suite takes to be written must not grow with the number of its runs.
_WRITING, _READING = "48MB", "256MB"


@contextmanager
def connected(path: Path, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file, open with one thread and little memory until the block ends."""
    memory = _READING if read_only else _WRITING
    connection = duckdb.connect(str(path), read_only=read_only, config={"threads": 1, "memory_limit": memory})
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All that happens inside happens together, or not at all."""
    connection.execute("BEGIN TRANSACTION")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # DuckDB may have ended the transaction itself; the error that did it is on its way up.
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise


def create(path: Path, kind: FileKind) -> None:
    """Make an empty database under another name first: one that was killed on the way is not taken for a whole one."""
    partial = path.with_name(path.name + ".partial")
    for left in (partial, partial.with_name(partial.name + ".wal")):
        left.unlink(missing_ok=True)
    with connected(partial, read_only=False) as connection:
        for table, schema in kind.tables.items():
            columns = ", ".join(f"{quoted(name)} {_SQL[each]}" for name, each in schema.items())
            connection.execute(f"CREATE TABLE {table} ({columns})")
        connection.execute(f"CREATE TABLE {kind.version_table} AS SELECT {kind.version} AS version")
        connection.execute("CHECKPOINT")
    partial.replace(path)


def check_version(connection: duckdb.DuckDBPyConnection, path: Path, kind: FileKind) -> None:
    """Refuse a file of another version, or of another kind.

    Raises:
        DataError: it is one.
    """
    try:
        found = connection.execute(f"SELECT version FROM {kind.version_table}").fetchall()
    except duckdb.CatalogException:
        found = []
    if found != [(kind.version,)]:
        version = f"version {found[0][0]}" if found else "something else"
        raise DataError(
            f"expected a database of {kind.what} of version {kind.version} at {path}, found {version}; "
            f"{kind.otherwise}",
            path=str(path),
        )


def _absent_columns(connection: duckdb.DuckDBPyConnection) -> Schema:
    """The figures that have come since an older file was made."""
    there = {row[0] for row in connection.execute("SELECT name FROM pragma_table_info('metrics')").fetchall()}
    return {name: kind for name, kind in METRIC_COLUMNS.items() if name not in there}


def _add_columns(connection: duckdb.DuckDBPyConnection) -> None:
    """Give an older file the figures that have come since; what is stored there has none of them."""
    for name, kind in _absent_columns(connection).items():
        connection.execute(f"ALTER TABLE metrics ADD COLUMN {quoted(name)} {_SQL[kind]}")


def _lend_columns(connection: duckdb.DuckDBPyConnection) -> None:
    """The same for somebody who only reads: a view that stands before the table."""
    absent = _absent_columns(connection)
    if absent:
        nothing = ", ".join(f"NULL::{_SQL[kind]} AS {quoted(name)}" for name, kind in absent.items())
        (file,) = connection.execute("SELECT current_database()").fetchall()[0]
        connection.execute(f"CREATE TEMP VIEW metrics AS SELECT *, {nothing} FROM {quoted(str(file))}.main.metrics")
