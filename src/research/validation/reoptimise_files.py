"""What a re-optimising walk-forward reads of the runs that were made, and the two files that it leaves.

Called by one thread. The bytes of the files are a function of the runs alone: no clock, no path and no number of
workers is in them, and a file that has these bytes already is left as it is.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from src.backtesting.artifacts.columns import column
from src.backtesting.artifacts.tables import write_table
from src.backtesting.artifacts.trial_ledger import series_read
from src.core.bars import FloatArray, IntArray
from src.core.errors import DataError
from src.research.durable_lines import line_of
from src.research.suite.records import RecordBook
from src.research.validation.stitching import TRADE_COLUMNS, Stitched

__all__ = ["EQUITY_FILE", "WINDOWS_FILE", "equity_of_run", "remove_files", "series_of_run", "trades_of_run",
           "write_files", "write_records"]  # fmt: skip

EQUITY_FILE = "equity.parquet"
WINDOWS_FILE = "reoptimised.jsonl"


def equity_of_run(folder: Path) -> tuple[IntArray, FloatArray]:
    """The samples of a run's equity, shape (n,).

    Raises:
        DataError: the folder of the run is not whole.
    """
    table = _read(folder / "equity.parquet", ("instant_ns", "equity"))
    return table.column("instant_ns").to_numpy().astype(np.int64), table.column("equity").to_numpy().astype(np.float64)


def trades_of_run(folder: Path) -> dict[str, list[Any]]:
    """The columns `TRADE_COLUMNS` of a run's trades, in their order.

    Raises:
        DataError: the folder of the run is not whole.
    """
    table = _read(folder / "trades.parquet", TRADE_COLUMNS)
    return {name: table.column(name).to_pylist() for name in TRADE_COLUMNS}


def series_of_run(folder: Path) -> tuple[tuple[tuple[str, str], ...], bool]:
    """The symbols that a run read, each with its source, and whether any of it was generated.

    Raises:
        DataError: the folder of the run is not whole.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        return series_read(manifest), bool(manifest["synthetic"])
    except (OSError, ValueError, KeyError) as error:
        raise _not_whole(path, error) from None


def write_files(folder: Path, equity: Stitched, windows: Sequence[Mapping[str, Any]]) -> None:
    """Write the stitched equity and a line for each window; each file appears whole.

    Args:
        windows: plain values.

    Raises:
        DataError: the disk refused it.
    """
    table = pa.Table.from_arrays(
        [column(equity.instant_ns, pa.int64()), column(equity.equity, pa.float64()), column(equity.window, pa.int64())],
        names=["instant_ns", "equity", "window"],
    )
    lines = [json.dumps(each, ensure_ascii=True, allow_nan=False, separators=(",", ":")) + "\n" for each in windows]
    partial = folder / f".{EQUITY_FILE}.partial"
    try:
        write_table(table, partial)
        _put(partial, folder / EQUITY_FILE)
        partial = folder / f".{WINDOWS_FILE}.partial"
        partial.write_text("".join(lines), encoding="ascii", newline="\n")
        _put(partial, folder / WINDOWS_FILE)
    except OSError as error:
        raise DataError(
            f"what a walk-forward came to could not be written to {folder}: {error.strerror or error}; all runs are "
            "kept: make room, and go on with --resume",
            path=str(folder),
        ) from None


def write_records(book: RecordBook) -> None:
    """Leave the records of a walk-forward that has ended in the order of their keys and without real durations; closes
    the book.

    Raises:
        DataError: the disk refused it; the records are as they were.
    """
    partial = book.path.with_name(f".{book.path.name}.partial")
    try:
        with partial.open("wb") as file:
            for answer in book.answers():
                file.write(line_of({"answer": asdict(replace(answer, timing={}))}))
            file.flush()
            os.fsync(file.fileno())
        book.close()
        _put(partial, book.path)
    except OSError as error:
        raise DataError(
            f"the records {book.path} could not be put in order: {error.strerror or error}; make room, then go on with "
            "--resume",
            path=str(book.path),
        ) from None


def remove_files(folder: Path) -> None:
    """Take away what an earlier attempt has left, which is not what this one came to."""
    for name in (EQUITY_FILE, WINDOWS_FILE):
        (folder / name).unlink(missing_ok=True)


def _put(partial: Path, path: Path) -> None:
    if path.is_file() and path.read_bytes() == partial.read_bytes():
        partial.unlink()
    else:
        partial.replace(path)


def _read(path: Path, columns: Sequence[str]) -> Any:
    try:
        # Opened as a single file: a folder named like `key=value` on the way would otherwise become a column.
        with pq.ParquetFile(path) as file:
            return file.read(columns=list(columns))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise _not_whole(path, error) from None


def _not_whole(path: Path, error: Exception) -> DataError:
    return DataError(
        f"expected a whole run with {path}, found: {error}; leave the folders of runs alone while a walk-forward is "
        "under way, and start it again",
        path=str(path),
    )
