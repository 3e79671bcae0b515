"""The tables of a store, their version, and the way from each earlier version to this one.

Runs in the thread that opened the connection; reads no clock. A migration is one transaction: a kill leaves the old
version whole. There are no keys in the tables, because keeping them costs more than the data: uniqueness is checked
by whoever writes.
"""

from collections.abc import Callable

import duckdb

__all__ = ["SCHEMA_VERSION", "can_migrate", "create", "migrate", "show_as_current", "show_as_empty"]

SCHEMA_VERSION = 2

_BARS = """
CREATE {temporary} TABLE {name} (symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL, price_side VARCHAR NOT NULL,
    open_ns BIGINT NOT NULL, open DOUBLE NOT NULL, high DOUBLE NOT NULL, low DOUBLE NOT NULL, close DOUBLE NOT NULL,
    volume DOUBLE NOT NULL);
"""

_OF_VERSION_1 = """
CREATE {temporary} TABLE store_version (version INTEGER NOT NULL);
CREATE {temporary} TABLE series (symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL, price_side VARCHAR NOT NULL,
    source VARCHAR NOT NULL, kind VARCHAR NOT NULL, bars BIGINT NOT NULL, first_ns BIGINT NOT NULL,
    last_ns BIGINT NOT NULL);
CREATE {temporary} TABLE instruments (symbol VARCHAR NOT NULL, kind VARCHAR NOT NULL, defaults VARCHAR NOT NULL);
CREATE {temporary} TABLE import_log (sequence BIGINT NOT NULL, symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL,
    details VARCHAR NOT NULL);
"""

# What version 2 added beside the price side in `bars`. The price side of quotes, trades and funding lies in their
# columns; bars of the mark price are bars with that side.
_SINCE_VERSION_2 = """
CREATE {temporary} TABLE tapes (symbol VARCHAR NOT NULL, kind VARCHAR NOT NULL, source VARCHAR NOT NULL,
    events BIGINT NOT NULL, first_ns BIGINT NOT NULL, last_ns BIGINT NOT NULL);
CREATE {temporary} TABLE quotes (symbol VARCHAR NOT NULL, "row" BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
    bid DOUBLE NOT NULL, ask DOUBLE NOT NULL, bid_size DOUBLE NOT NULL, ask_size DOUBLE NOT NULL);
CREATE {temporary} TABLE trades (symbol VARCHAR NOT NULL, "row" BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
    price DOUBLE NOT NULL, volume DOUBLE NOT NULL, buyer_is_maker BOOLEAN NOT NULL, trade_id BIGINT NOT NULL);
CREATE {temporary} TABLE funding (symbol VARCHAR NOT NULL, "row" BIGINT NOT NULL, ts_ns BIGINT NOT NULL,
    rate DOUBLE NOT NULL);
CREATE {temporary} TABLE sync_log (sequence BIGINT NOT NULL, symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL,
    source VARCHAR NOT NULL, start_ns BIGINT NOT NULL, end_ns BIGINT NOT NULL, bars BIGINT NOT NULL);
CREATE {temporary} TABLE heal_log (sequence BIGINT NOT NULL, symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL,
    price_side VARCHAR NOT NULL, open_ns BIGINT NOT NULL, action VARCHAR NOT NULL, before VARCHAR NOT NULL,
    after VARCHAR NOT NULL);
"""


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables of an empty file, in one transaction."""
    connection.execute(f"BEGIN; {_tables('')} INSERT INTO store_version VALUES ({SCHEMA_VERSION}); COMMIT")


def show_as_empty(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a read-only connection to a file without tables answer as a store without series; the file stays as it is.

    Such a file is what a writer leaves that is killed before it has made the tables.
    """
    connection.execute(_tables("TEMPORARY"))


def migrate(connection: duckdb.DuckDBPyConnection, found: int) -> None:
    """Bring the tables of version `found`, which has a step in the list, to this version, in one transaction."""
    connection.execute("BEGIN TRANSACTION")
    try:
        for version in range(found, SCHEMA_VERSION):
            _STEPS[version](connection)
        connection.execute("UPDATE store_version SET version = ?", [SCHEMA_VERSION])
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("CHECKPOINT")


def can_migrate(found: object) -> bool:
    """Whether the store of version `found` can be brought to this one."""
    return isinstance(found, int) and found in _STEPS


def show_as_current(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a read-only connection to a store of version 1 answer as this version does; the file stays as it is.

    The tables that version 1 lacks appear as empty temporary ones. Its bars have no price side of their own: the
    side stands in `series`, one for each symbol and timeframe, so whoever reads them leaves that condition out.
    """
    connection.execute(_SINCE_VERSION_2.format(temporary="TEMPORARY"))


def _tables(temporary: str) -> str:
    parts = (_BARS, _OF_VERSION_1, _SINCE_VERSION_2)
    return "".join(part.format(name="bars", temporary=temporary) for part in parts)


def _to_version_2(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("ALTER TABLE bars RENAME TO bars_of_version_1")
    connection.execute(_BARS.format(name="bars", temporary=""))
    connection.execute(_SINCE_VERSION_2.format(temporary=""))
    series = connection.execute("SELECT symbol, timeframe_ns, price_side FROM series").fetchall()
    # One series after the other: a join over all of them need not keep the order in which the rows lie.
    for symbol, timeframe_ns, price_side in sorted(series):
        connection.execute(
            "INSERT INTO bars SELECT symbol, timeframe_ns, ?, open_ns, open, high, low, close, volume "
            "FROM bars_of_version_1 WHERE symbol = ? AND timeframe_ns = ?",
            [price_side, symbol, timeframe_ns],
        )
    connection.execute("DROP TABLE bars_of_version_1")


# From which version, and what brings its tables one version further.
_STEPS: dict[int, Callable[[duckdb.DuckDBPyConnection], None]] = {1: _to_version_2}
