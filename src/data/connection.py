"""Opening a store's file: every way in which that can fail is one sentence.

The connection belongs to the thread that opened it.
"""

from pathlib import Path

import duckdb

from src.core.errors import DataError
from src.core.program import program

__all__ = ["first_line", "open_store_file"]

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE store_version (version INTEGER NOT NULL);
CREATE TABLE bars (symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL, open_ns BIGINT NOT NULL,
    open DOUBLE NOT NULL, high DOUBLE NOT NULL, low DOUBLE NOT NULL, close DOUBLE NOT NULL, volume DOUBLE NOT NULL);
CREATE TABLE series (symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL, price_side VARCHAR NOT NULL,
    source VARCHAR NOT NULL, kind VARCHAR NOT NULL, bars BIGINT NOT NULL, first_ns BIGINT NOT NULL,
    last_ns BIGINT NOT NULL);
CREATE TABLE instruments (symbol VARCHAR NOT NULL, kind VARCHAR NOT NULL, defaults VARCHAR NOT NULL);
CREATE TABLE import_log (sequence BIGINT NOT NULL, symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL,
    details VARCHAR NOT NULL);
"""


def open_store_file(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    """A connection to the store at `path`; opened for writing, an absent file is created with its folder.

    Raises:
        DataError: the file is absent (read-only), locked, no store, of another version, or cannot be written.
    """
    connection = _connect(path, read_only)
    try:
        _prepare_schema(connection, path, read_only)
    except duckdb.Error as error:
        connection.close()
        raise DataError(f"{path} cannot be read as a store: {first_line(error)}", path=str(path)) from None
    except BaseException:
        connection.close()
        raise
    return connection


def first_line(error: BaseException) -> str:
    """The first line of an error's text; DuckDB's go on with hints and queries."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _prepare_schema(connection: duckdb.DuckDBPyConnection, path: Path, read_only: bool) -> None:
    tables = {str(row[0]) for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not tables and not read_only:
        connection.execute(f"BEGIN; {_SCHEMA} INSERT INTO store_version VALUES ({SCHEMA_VERSION}); COMMIT")
        return
    if "store_version" not in tables:
        raise DataError(f"{path} is a DuckDB file but no store of market data; name another file", path=str(path))
    row = connection.execute("SELECT version FROM store_version").fetchone()
    found = None if row is None else row[0]
    if found != SCHEMA_VERSION:
        raise DataError(
            f"{path} is a store of version {found}, expected version {SCHEMA_VERSION}; import its data anew",
            path=str(path),
        )


def _connect(path: Path, read_only: bool) -> duckdb.DuckDBPyConnection:
    if read_only and not path.is_file():
        raise DataError(f"there is no data file {path}; create it with `{program()} data import FILE`", path=str(path))
    try:
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        return duckdb.connect(str(path), read_only=read_only)
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
    except OSError as error:
        raise DataError(
            f"the folder of {path} cannot be created: {error.strerror or error}; name a folder you may write to",
            path=str(path),
        ) from None
