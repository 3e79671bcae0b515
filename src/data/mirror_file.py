"""One file of a Parquet mirror: where it lies, what it says of itself, how it is written and read whole.

Any thread; reads no clock. A file appears under its name only when it is whole, and carries the fingerprint of its
rows. Imports pyarrow, which a run from the store does not need.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from src.core.bars import BarSeries
from src.core.errors import DataError
from src.core.program import command
from src.core.timeframe import format_duration
from src.data.fingerprint import fingerprint_columns
from src.data.resample import freeze
from src.data.stored import COLUMNS, SeriesInfo, columns_of

__all__ = ["FORMAT", "PARTIAL", "Partition", "files_of", "fingerprint_of_bars", "holds", "place_of", "read_bars_file",
           "read_partition", "symbol_folder", "write_bars_file"]  # fmt: skip

FORMAT = 1
PARTIAL = ".bars.parquet.partial"

_KEY = b"lockstep.series"
_FILE = "bars.parquet"
_TIME = "open_time"
_VALUES = COLUMNS[1:]
# Split bytes and a light compression: two thirds of the size of plain numbers, and read as fast.
_ENCODINGS = {_TIME: "DELTA_BINARY_PACKED", **dict.fromkeys(_VALUES, "BYTE_STREAM_SPLIT")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition(SeriesInfo):
    """One series of a mirror: what the store knew of it, and what belongs to its copy.

    Attributes:
        instrument: the stored instrument defaults of the symbol, or None.
        fingerprint: digest of the rows, as a run computes it over the same bars.
        file: its place in the mirror's folder, with forward slashes.
        healed: how many entries the heal log of the series had; later ones came after this copy.
    """

    instrument: dict[str, Any] | None
    fingerprint: str
    file: str
    healed: int = 0


def symbol_folder(symbol: str) -> str:
    """The folder of a symbol inside of a mirror."""
    # Percent signs as in other partitioned tables: a symbol may hold a slash or a colon.
    return f"symbol={quote(symbol, safe='')}"


def place_of(symbol: str, timeframe_ns: int, price_side: str) -> str:
    """Where the file of a series lies inside of a mirror, with forward slashes."""
    return f"{symbol_folder(symbol)}/timeframe={format_duration(timeframe_ns)}/price={price_side}/{_FILE}"


def files_of(folder: Path) -> list[Path]:
    """The files of a mirror that are there, by name; none without a mirror."""
    return sorted(folder.glob(f"symbol=*/timeframe=*/price=*/{_FILE}"))


def fingerprint_of_bars(series: BarSeries) -> str:
    """The digest that a partition carries."""
    return fingerprint_columns(series.symbol, series.timeframe_ns, series.price_side, columns_of(series))


def holds(path: Path, partition: Partition) -> bool:
    """Whether the file holds just this; it is read whole, so that a damaged one is written anew."""
    if not path.is_file():
        return False
    try:
        found, _ = read_bars_file(path, path.parents[3])
    except DataError:
        return False
    return found == partition


def read_bars_file(path: Path, folder: Path) -> tuple[Partition, BarSeries]:
    """A file of the mirror `folder`, whole and compared with its own fingerprint; the arrays are read-only.

    Raises:
        DataError: it is damaged.
    """
    partition = read_partition(path, folder)
    try:
        # A single thread: no pool is left behind.
        table = pq.ParquetFile(path).read(columns=[_TIME, *_VALUES], use_threads=False)
        stamps = table.column(_TIME).cast(pa.int64()).to_numpy()
        values = [np.ascontiguousarray(table.column(name).to_numpy(), np.float64) for name in _VALUES]
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(_damaged(path, str(error).splitlines()[0]), path=str(path)) from None
    frozen_stamps, *frozen = freeze(np.ascontiguousarray(stamps, np.int64), *values)
    series = BarSeries(
        partition.symbol, partition.timeframe_ns, frozen_stamps, *frozen, price_side=partition.price_side
    )  # fmt: skip
    found = fingerprint_of_bars(series)
    if found != partition.fingerprint:
        raise DataError(
            _damaged(path, f"its rows have the fingerprint {found}, not {partition.fingerprint}"), path=str(path)
        )
    return partition, series


def read_partition(path: Path, folder: Path) -> Partition:
    """What a file of the mirror `folder` says of itself; its rows are not read.

    Raises:
        DataError: it is no partition of a mirror.
    """
    try:
        known = json.loads((pq.read_schema(path).metadata or {})[_KEY])
        if known.pop("format") != FORMAT:
            raise ValueError("it was written in another format")
        return Partition(**known, file=path.relative_to(folder).as_posix())
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(_damaged(path, str(error) or type(error).__name__), path=str(path)) from None


def write_bars_file(path: Path, partition: Partition, series: BarSeries) -> None:
    """Write a file whole and give it its name then; what had the name is gone."""
    known = {key: value for key, value in asdict(partition).items() if key != "file"}
    text = json.dumps({"format": FORMAT, **known}, sort_keys=True, ensure_ascii=False)
    stamps = pa.array(series.open_ns).cast(pa.timestamp("ns", tz="UTC"))
    arrays = [stamps, *(pa.array(getattr(series, name)) for name in _VALUES)]
    table = pa.table(arrays, names=[_TIME, *_VALUES]).replace_schema_metadata({_KEY: text.encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(PARTIAL)
    with partial.open("wb") as file:
        pq.write_table(table, file, use_dictionary=False, compression="lz4", column_encoding=_ENCODINGS)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _damaged(path: Path, reason: str) -> str:
    again = command("data", "export")
    return f"{path} is no whole file of a mirror ({reason}); write it anew from its store with `{again}`"
