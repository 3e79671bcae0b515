"""The file of a store: opening it under its lease, transactions, closing; every way to fail is one sentence.

A `StoreFile` and its connection belong to the thread that opened it. It reads no clock.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb

from src.core.errors import DataError, InternalError
from src.core.program import command
from src.core.words import closest
from src.data import schema
from src.data.lease import Lease

__all__ = ["StoreFile", "first_line", "force_read_only", "limit_engine"]


# A database begins with three headers of one block each; this word stands at byte 8 of the first.
_HEADERS = 3 * 4096
_MAGIC = b"DUCK"


class _Process:
    """What holds for every store of this process."""

    read_only = False
    engine: dict[str, str | bool | int | float | list[str]] = {}


_PROCESS = _Process()


def force_read_only(wanted: bool) -> None:
    """From now on refuse, or allow again, to open any store of this process for writing."""
    _PROCESS.read_only = wanted


def limit_engine(*, threads: int | None = None, memory_bytes: int | None = None) -> None:
    """From now on give every store that this process opens so many threads and so much memory; None for its own choice.

    To be called while none is open: the engine does not open a file twice under different limits. By itself it takes
    every core and most of the machine's memory, in each process anew.
    """
    engine: dict[str, str | bool | int | float | list[str]] = {}
    if threads is not None:
        engine["threads"] = max(1, threads)
    if memory_bytes is not None:
        engine["memory_limit"] = f"{memory_bytes}B"
    _PROCESS.engine = engine


class StoreFile:
    """One open DuckDB file with the tables of a store; a context manager.

    Args:
        path: the file; opened for writing, it and its folder are created when absent, and a store of an earlier
            version is brought to this one.
        read_only: open it beside other readers; nothing is written, the file must exist.
        private: no other program knows the file (a new one that will be renamed), so no lease is taken.

    Raises:
        DataError: the file is absent (read-only), leased by somebody else, locked, no store, of a version that cannot
            be used, or this process may only read.
    """

    def __init__(self, path: Path, *, read_only: bool = False, private: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self.version = schema.SCHEMA_VERSION
        self._in_transaction = False
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._lease: Lease | None = None
        self._refuse_wrong_mode()
        if not private:
            self._lease = Lease(path, "read" if read_only else "write")
        try:
            if not read_only:
                _clear_torn(path)
            self._connection = _connect(path, read_only)
            self.version = _prepare_schema(self._connection, path, read_only)
        except duckdb.Error as error:
            self._let_go()
            raise DataError(f"{path} cannot be read as a store: {first_line(error)}", path=str(path)) from None
        except BaseException:
            self._let_go()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether the file has not been closed yet."""
        return self._connection is not None

    def close(self) -> None:
        """Close the file; a writer first folds its log into it, so that readers never have to. May be repeated."""
        if self._connection is None:
            return
        try:
            if not self.read_only:
                self._connection.execute("CHECKPOINT")
        finally:
            self._let_go()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside happen together or not at all; an inner transaction joins the outer one.

        Raises:
            DataError: the store was opened read-only, or the disk refused the write.
        """
        if self.read_only:
            raise DataError(f"{self.path} is open read-only; open it for writing to change it", path=str(self.path))
        if self._in_transaction:
            yield
            return
        self._in_transaction = True
        try:
            self._execute("BEGIN TRANSACTION")
            yield
            self._execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, duckdb.Error):
                raise DataError(
                    f"writing to {self.path} failed and nothing was changed: {first_line(error)}", path=str(self.path)
                ) from error
            raise
        finally:
            self._in_transaction = False

    def _execute(self, sql: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        return self._open_connection().execute(sql, list(values))

    def _insert(self, sql: str, values: Sequence[object], columns: dict[str, Any]) -> None:
        """Run an INSERT that selects from `incoming`, which are these columns."""
        connection: Any = self._open_connection()  # Any: its types do not admit the dictionary of arrays
        connection.register("incoming", columns)
        try:
            self._execute(sql, values)
        finally:
            connection.unregister("incoming")

    def _next_sequence(self, table: str) -> int:
        # All rows are fetched, here as elsewhere: a result that is not read to its end blocks the connection.
        rows = self._execute(f"SELECT max(sequence) FROM {table}").fetchall()
        return 1 + int(rows[0][0] or 0)

    def _open_connection(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise InternalError(f"the store {self.path} is closed")
        return self._connection

    def _roll_back(self) -> None:
        # DuckDB may have ended the transaction itself; the error that did it is on its way up.
        with suppress(duckdb.Error):
            self._execute("ROLLBACK")

    def _let_go(self) -> None:
        """Close the connection, then give the lease back: in between nobody else may come in."""
        try:
            if self._connection is not None:
                self._connection.close()
        finally:
            self._connection = None
            if self._lease is not None:
                self._lease.release()
                self._lease = None

    def _refuse_wrong_mode(self) -> None:
        path = self.path
        if path.is_dir():
            raise DataError(
                f"expected the file of a store, found the folder {path}; name the file in it, such as "
                f"{path / 'market.duckdb'}",
                path=str(path),
            )
        if self.read_only:
            again = command("data", "import", "FILE", "--store", path.as_posix())
            if not path.is_file():
                near = closest(path.name, [each.name for each in sorted(path.parent.glob("*.duckdb"))])
                hint = f"did you mean {path.parent / near}?" if near else f"create it with `{again}`"
                raise DataError(f"there is no data file {path}; {hint}", path=str(path))
            if _is_torn(path):
                raise DataError(
                    f"expected a store of market data at {path}, found an empty file, as a first import leaves it that "
                    f"was stopped at once; fill it with `{again}`, or name another file",
                    path=str(path),
                )
            return
        if _PROCESS.read_only:
            raise DataError(
                f"{path} was to be opened for writing in a process that may only read its stores; write to it in the "
                f"process that started this one, before or after",
                path=str(path),
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"the folder of {path} cannot be created: {error.strerror or error}; name a folder you may write to",
                path=str(path),
            ) from None


def first_line(error: BaseException) -> str:
    """The first line of an error's text; DuckDB's go on with hints and queries."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _prepare_schema(connection: duckdb.DuckDBPyConnection, path: Path, read_only: bool) -> int:
    """Make, check or bring forward the tables; the version of the tables as they are now."""
    try:
        # First of all, because listing the tables costs half as much as opening the file.
        rows = connection.execute("SELECT version FROM store_version").fetchall()
    except duckdb.CatalogException:
        if connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            raise DataError(
                f"{path} is a DuckDB file but no store of market data; name another file", path=str(path)
            ) from None
        if read_only:
            schema.show_as_empty(connection)
        else:
            schema.create(connection)
        return schema.SCHEMA_VERSION
    found: Any = rows[0][0] if rows else None  # Any: a file from elsewhere may hold anything there
    if found == schema.SCHEMA_VERSION:
        return schema.SCHEMA_VERSION
    if not schema.can_migrate(found):
        what = "it was written by a later program: update this one" if _is_later(found) else "import its data anew"
        raise DataError(
            f"{path} is a store of version {found}, expected version {schema.SCHEMA_VERSION}; {what}", path=str(path)
        )
    if read_only:
        schema.show_as_current(connection)
        return int(found)
    schema.migrate(connection, int(found))
    return schema.SCHEMA_VERSION


def _is_later(found: object) -> bool:
    return isinstance(found, int) and found > schema.SCHEMA_VERSION


def _is_torn(path: Path) -> bool:
    """Whether the file ends before its database begins: nobody has ever stored anything in it."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEADERS)
    except OSError:
        return False  # opening it says why
    return not head or (len(head) < _HEADERS and head[8 : 8 + len(_MAGIC)] == _MAGIC)


def _clear_torn(path: Path) -> None:
    """Take away the file of a database that was never finished and cannot be opened; a new one takes its place."""
    if path.is_file() and _is_torn(path):
        with suppress(OSError):  # opening it says why
            path.unlink()


def _connect(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(path), read_only=read_only, config=_PROCESS.engine)
    except duckdb.ConnectionException:
        raise DataError(
            f"{path} is already open in this program, once for reading and once for writing; close one first",
            path=str(path),
        ) from None
    except duckdb.IOException as error:
        reason = first_line(error)
        if "lock" in reason:
            raise DataError(
                f"{path} is in use by another program that writes to it, or by readers while you want to write; "
                f"wait until it is done ({reason})",
                path=str(path),
            ) from None
        raise DataError(f"{path} cannot be opened as a store of market data: {reason}", path=str(path)) from None
