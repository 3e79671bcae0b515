"""One file of a Parquet mirror: where it lies, what it says of itself, how it is written and read whole.

Any thread; reads no clock. A file appears under its name only when it is whole, and carries the fingerprint of its
rows. Imports pyarrow, which a run from the store does not need.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

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

__all__ = ["FORMAT", "PARTIAL", "Partition", "export_again", "files_of", "fingerprint_of_bars", "holds", "is_of",
           "place_of", "read_bars_file", "read_partition", "symbol_at", "write_bars_file"]  # fmt: skip

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
        heal_log: digest of these entries, by which the log is known again: that of another store may be shorter.
    """

    instrument: dict[str, Any] | None
    fingerprint: str
    file: str
    healed: int = 0
    heal_log: str = ""


def place_of(symbol: str, timeframe_ns: int, price_side: str) -> str:
    """Where the file of a series lies inside of a mirror, with forward slashes."""
    # Percent signs as in other partitioned tables: a symbol may hold a slash or a colon.
    folder = f"symbol={quote(symbol, safe='')}"
    return f"{folder}/timeframe={format_duration(timeframe_ns)}/price={price_side}/{_FILE}"


def symbol_at(file: str) -> str:
    """The symbol that a place inside of a mirror belongs to."""
    return unquote(file.split("/", 1)[0].removeprefix("symbol="))


def is_of(
    file: str, symbol: str | None = None, timeframe_ns: int | None = None, price_side: str | None = None
) -> bool:  # fmt: skip
    """Whether a place inside of a mirror belongs to this symbol, timeframe and price side; None takes any."""
    words = file.split("/")
    wanted = (
        None if symbol is None else f"symbol={quote(symbol, safe='')}",
        None if timeframe_ns is None else f"timeframe={format_duration(timeframe_ns)}",
        None if price_side is None else f"price={price_side}",
    )
    return all(want is None or want == word for want, word in zip(wanted, words, strict=False))


def export_again(folder: Path, *words: str) -> str:
    """The command that writes this mirror, or one symbol of it, from its store; STORE stands for one that is not known.

    Which store a mirror is of stands nowhere but in its name, when it lies beside it.
    """
    beside = folder.with_suffix(".duckdb")
    if folder.suffix == ".mirror" and beside.is_file():
        return command("data", "export", *words, "--store", beside.as_posix())
    return command("data", "export", *words, "--store", "STORE", "--mirror", folder.as_posix())


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
        raise DataError(_damaged(path, folder, str(error).splitlines()[0]), path=str(path)) from None
    frozen_stamps, *frozen = freeze(np.ascontiguousarray(stamps, np.int64), *values)
    series = BarSeries(
        partition.symbol, partition.timeframe_ns, frozen_stamps, *frozen, price_side=partition.price_side
    )  # fmt: skip
    found = fingerprint_of_bars(series)
    if found != partition.fingerprint:
        reason = f"its rows have the fingerprint {found}, not {partition.fingerprint}"
        raise DataError(_damaged(path, folder, reason), path=str(path))
    return partition, series


def read_partition(path: Path, folder: Path) -> Partition:
    """What a file of the mirror `folder` says of itself; its rows are not read.

    Raises:
        DataError: it is no partition of a mirror, or lies where that of another series belongs.
    """
    place = path.relative_to(folder).as_posix()
    try:
        known = json.loads((pq.read_schema(path).metadata or {})[_KEY])
        if known.pop("format") != FORMAT:
            raise ValueError("it was written in another format")
        partition = Partition(**known, file=place)
        own = place_of(partition.symbol, partition.timeframe_ns, partition.price_side)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(_damaged(path, folder, str(error) or type(error).__name__), path=str(path)) from None
    if own != place:
        raise DataError(_damaged(path, folder, f"it contradicts its place: {own} is where it belongs"), path=str(path))
    return partition


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


def _damaged(path: Path, folder: Path, reason: str) -> str:
    symbol = symbol_at(path.relative_to(folder).as_posix())
    return (
        f"{path} is no whole file of a mirror ({reason}); `{export_again(folder, symbol)}` writes it anew from its "
        f"store, and with --prune takes it away where the store has no such series"
    )
