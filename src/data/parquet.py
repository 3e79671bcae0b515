"""Parquet files of bars as plain columns.

Reads whole files, in the thread of the caller; the only module that imports pyarrow for reading foreign data.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from src.core.bars import FloatArray
from src.core.errors import DataError
from src.data.formats import PRICES, RawTable, map_columns
from src.data.stamps import Place, Stamps, epoch_integers_to_ns, epochs_to_ns, parse_stamps

__all__ = ["column_numbers", "column_stamps", "read_parquet"]

_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def read_parquet(path: Path) -> RawTable:
    """Read a Parquet file with a time column and open, high, low, close, and possibly volume and symbol.

    Raises:
        DataError: it cannot be read, has no rows, lacks a column, or holds something else than numbers and times.
    """
    try:
        # A single thread: no pool is left behind, and the files are small.
        names = list(pq.read_schema(path).names)
        found = map_columns(names, str(path), str(path))
        wanted = [*found.times, *found.values.values(), *([] if found.symbol is None else [found.symbol])]
        table = pq.ParquetFile(path).read(columns=[names[i] for i in wanted], use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}", path=str(path)) from None
    if table.num_rows == 0:
        raise DataError(f"{path} has columns and no rows; expected at least one bar", path=str(path))
    place = Place(path=str(path), word="row", numbers=np.arange(1, table.num_rows + 1))
    columns = {name: column_numbers(table.column(names[i]), name, place) for name, i in found.values.items()}
    columns.setdefault("volume", np.zeros(table.num_rows))
    symbols = None
    if found.symbol is not None:
        symbols = tuple(str(value) for value in table.column(names[found.symbol]).to_pylist())
    return RawTable(
        layout="parquet", place=place, stamps=column_stamps([table.column(names[i]) for i in found.times], place),
        columns={name: columns[name] for name in (*PRICES, "volume")}, symbols=symbols,
        stamped_at=found.stamped_at, notes=found.notes,
    )  # fmt: skip


def column_numbers(column: Any, name: str, place: Place) -> FloatArray:
    """A column as floats; DataError names the row without a value, or the type that holds no numbers."""
    _refuse_null(column, name, place)
    try:
        return np.ascontiguousarray(column.cast(pa.float64()).to_numpy(), np.float64)
    except pa.ArrowException:
        raise DataError(
            f"{place.path}: expected numbers in the column {name}, found {column.type}", path=place.path
        ) from None


def column_stamps(columns: list[Any], place: Place) -> Stamps:
    """One or two columns of times as stamps; DataError names the row that cannot be read."""
    for column in columns:
        _refuse_null(column, "time", place)
    column = columns[0]
    if len(columns) == 1 and pa.types.is_timestamp(column.type):
        unit_ns = _UNIT_NS[column.type.unit]
        return Stamps(ns=column.cast(pa.int64()).to_numpy() * unit_ns, is_utc=column.type.tz is not None)
    if len(columns) == 1 and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        try:
            whole = column.cast(pa.int64())
        except pa.ArrowException:
            raise DataError(f"{place.path}: expected whole numbers as time, found fractions", path=place.path) from None
        # One by one only where something is wrong, to name the row.
        return epoch_integers_to_ns(whole.to_numpy()) or epochs_to_ns(whole.to_pylist(), place)
    parts = [[str(value).strip() for value in one.to_pylist()] for one in columns]
    return parse_stamps([" ".join(texts) for texts in zip(*parts, strict=True)], place)


def _refuse_null(column: Any, name: str, place: Place) -> None:
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise DataError(f"{place.of(row)}: expected a value as {name}, found none", path=place.path)
