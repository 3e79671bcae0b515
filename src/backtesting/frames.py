"""The tables of a stored run as pandas frames: instants as UTC timestamps, money and volumes as they are stored.

A column `placed_ns` of a table is `placed_at` in its frame and `instant_ns` is `at`, of the type `datetime64[ns, UTC]`;
an absent value is NaN, NaT or None. Reads files; any thread.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from src.core.bars import FloatArray, IntArray
from src.core.errors import DataError

__all__ = ["equity_series", "read_frame", "read_table", "timestamps"]

_NS = "_ns"


def read_table(folder: Path, name: str) -> pa.Table:
    """One table of a run's folder: `orders`, `fills`, `trades`, `journal` or `equity`.

    Raises:
        DataError: it is missing or cannot be read.
    """
    path = folder / f"{name}.parquet"
    try:
        # Opened as a single file: a folder named like `key=value` on the way would otherwise become a column.
        with pq.ParquetFile(path) as file:
            return file.read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"expected the {name} of a run at {path}, found none that can be read ({error}); run it again to store it",
            path=str(path),
        ) from None


def read_frame(folder: Path, name: str) -> pd.DataFrame:
    """The same as a frame, in the order in which it is stored.

    Raises:
        DataError: see `read_table`.
    """
    table = read_table(folder, name)
    frame: pd.DataFrame = table.to_pandas(types_mapper=_whole_numbers(table))
    for column in table.column_names:
        if column.endswith(_NS):
            frame[column] = pd.to_datetime(frame[column], unit="ns", utc=True).astype("datetime64[ns, UTC]")
    return frame.rename(columns={name: _renamed(name) for name in table.column_names})


def _renamed(name: str) -> str:
    if name == "instant_ns":
        return "at"
    return f"{name.removesuffix(_NS)}_at" if name.endswith(_NS) else name


def _whole_numbers(table: pa.Table) -> Any:
    """Instants that may be absent as nullable integers: as floats they would lose their last nanoseconds."""
    known = {pa.int64(): pd.Int64Dtype()}
    return known.get


def timestamps(instants_ns: IntArray) -> pd.DatetimeIndex:
    """Instants as UTC timestamps, shape (n,)."""
    return pd.DatetimeIndex(np.asarray(instants_ns, np.int64).view("M8[ns]")).tz_localize("UTC")


def equity_series(instants_ns: IntArray, equity: FloatArray) -> pd.Series:
    """The account's equity at each step, by the instant; of several samples at one instant all are there."""
    return pd.Series(equity, index=timestamps(instants_ns).rename("at"), name="equity", dtype="float64")
