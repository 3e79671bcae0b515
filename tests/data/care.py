"""Tiny stores with something wrong in them, for the tests of looking after a store.

Wrong bars cannot come in through `write_bars`, so they are put into the file with DuckDB itself.
"""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from src.core.timeframe import MINUTE_NS
from src.data.store import HistoricalDataStore
from src.data.stored import COLUMNS, Columns
from tests.data.conftest import make

__all__ = ["Row", "columns_at", "put_rows", "rows_of", "write_store"]

Row = tuple[int, float, float, float, float, float]


def columns_at(minutes: list[int]) -> Columns:
    """The columns of `make(minutes)`, writable."""
    series = make(minutes)
    return {name: getattr(series, name).copy() for name in COLUMNS}


def write_store(path: Path, minutes: list[int], *, symbol: str = "BTCUSD") -> Path:
    """A sound store with one series of one-minute bars."""
    with HistoricalDataStore(path) as store:
        store.write_bars(make(minutes, symbol=symbol), source="test")
    return path


def rows_of(path: Path, symbol: str = "BTCUSD") -> list[Row]:
    """The rows of the one-minute series as they lie."""
    with HistoricalDataStore(path, read_only=True) as store:
        columns = store.read_raw(symbol, MINUTE_NS)
    return list(zip(*(columns[name].tolist() for name in COLUMNS), strict=True))


def put_rows(path: Path, rows: list[Row], symbol: str = "BTCUSD") -> None:
    """Make the rows of the one-minute series these, in this order, whatever they are."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM bars WHERE symbol = ?", [symbol])
        if rows:
            incoming = {name: np.array(column) for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True)}
            connection.register("incoming", pa.table(incoming))  # of an array a NaN would be no value at all
            connection.execute(
                f"INSERT INTO bars SELECT ?, {MINUTE_NS}, 'trade', {', '.join(COLUMNS)} FROM incoming", [symbol]
            )
