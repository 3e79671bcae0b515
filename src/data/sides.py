"""Bars of further price sides in one file: columns such as `ask_open, ask_high, ask_low, ask_close`.

Reads the file, in the thread of the caller.
"""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from src.core.bars import FloatArray
from src.core.errors import DataError
from src.data.formats import PRICES

__all__ = ["SIDES", "read_sides", "side_columns"]

SIDES = ("bid", "ask", "mid", "trade", "mark")


def side_columns(header: list[str]) -> dict[str, list[str]]:
    """For each price side that a header has whole, the names of its open, high, low and close."""
    plain = {re.sub(r"[\s_]+", " ", name.strip().lower()): name for name in header}
    found = {side: [plain.get(f"{side} {price}") for price in PRICES] for side in SIDES}
    return {side: [name for name in names if name is not None] for side, names in found.items() if None not in names}


def read_sides(path: Path) -> dict[str, dict[str, FloatArray]]:
    """Open, high, low and close of each side that a Parquet file has beside its plain columns; volumes are 0.

    A row without a value, because nothing was quoted in that bar, is not-a-number.

    Raises:
        DataError: the file cannot be read, or a column holds something else than numbers.
    """
    try:
        found = side_columns([str(name) for name in pq.read_schema(path).names])
        if not found:
            return {}
        wanted = [name for names in found.values() for name in names]
        table = pq.ParquetFile(path).read(columns=wanted, use_threads=False)
        values = {name: table.column(name).cast(pa.float64()).to_numpy() for name in wanted}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}", path=str(path)) from None
    return {
        side: {
            **{price: np.array(values[name], np.float64) for price, name in zip(PRICES, names, strict=True)},
            "volume": np.zeros(table.num_rows),
        }
        for side, names in found.items()
    }
