"""The Parquet mirror of a store: one file for each series, with the fingerprint of its rows inside it.

    FOLDER/symbol=BTCUSDT/timeframe=1m/price=trade/bars.parquet
    FOLDER/mirror.json

A file appears under its name only when it is whole, and carries its own fingerprint, so that no kill can part the two;
`mirror.json` repeats the list for people and other programs. A series that changed is written anew as one file, the
files of the others are not touched. Any thread; one program exports to a folder at a time, any number read. No clock
is read. Imports pyarrow, which a run from the store does not need.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from src.core.bars import BarSeries
from src.core.errors import ConfigError, DataError
from src.core.program import program
from src.core.timeframe import format_duration
from src.data.fingerprint import fingerprint_columns
from src.data.resample import freeze
from src.data.store import HistoricalDataStore
from src.data.stored import COLUMNS, SIDE_ORDER, SeriesInfo, columns_of, refuse_unstorable

__all__ = ["ExportReport", "Partition", "export_mirror", "import_mirror", "list_mirror", "mirror_folder", "read_mirror",
           "require_mirror", "scan_mirror"]  # fmt: skip

_FORMAT = 1
_KEY = b"lockstep.series"
_INDEX = "mirror.json"
_LOCK = ".lock"
_FILE = "bars.parquet"
_PARTIAL = ".bars.parquet.partial"
_TIME = "open_time"
_VALUES = COLUMNS[1:]
# Split bytes and a light compression: two thirds of the size of plain numbers, and read as fast.
_ENCODINGS = {_TIME: "DELTA_BINARY_PACKED", **dict.fromkeys(_VALUES, "BYTE_STREAM_SPLIT")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One series of a mirror.

    Attributes:
        source, kind: as in the store.
        bars, first_ns, last_ns: how many bars, and the opens of the first and the last.
        instrument: the stored instrument defaults of the symbol, or None.
        fingerprint: digest of the rows, as a run computes it over the same bars.
        file: its place in the mirror's folder, with forward slashes.
        healed: how many entries the heal log of the series had; later ones came after this copy.
    """

    symbol: str
    timeframe_ns: int
    price_side: str
    source: str
    kind: str
    bars: int
    first_ns: int
    last_ns: int
    instrument: dict[str, Any] | None
    fingerprint: str
    file: str
    healed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export did.

    Attributes:
        written: partitions that are new or had changed.
        unchanged: partitions whose files were not touched.
        removed: files of series that the store has no longer.
        refused: a sentence for each series that cannot be mirrored because its rows are wrong.
    """

    written: tuple[Partition, ...]
    unchanged: tuple[Partition, ...]
    removed: tuple[str, ...]
    refused: tuple[str, ...]


def mirror_folder(store: Path) -> Path:
    """Where the mirror of a store lies unless another folder is named: `market.mirror` beside `market.duckdb`."""
    return store.with_suffix(".mirror")


def export_mirror(store: HistoricalDataStore, folder: Path, *, symbol: str | None = None) -> ExportReport:
    """Bring the mirror in `folder` up to what the store holds.

    Args:
        store: open for reading.
        folder: absent, empty, or a mirror.
        symbol: only the series of this symbol; nothing is removed then.

    Raises:
        ConfigError: the folder holds something else.
        DataError: another program exports to it, or the disk refused.
        PreflightError: the store has no bars of `symbol`.
    """
    found = store.series_of(symbol) if symbol is not None else store.list_series()
    _refuse_case_twins(found)
    written, unchanged, refused, removed = [], [], [], []
    healed = Counter((one.symbol, one.timeframe_ns, one.price_side) for one in store.read_heal_log())
    with _exporting(folder):
        wanted = set()
        for info in found:
            file = _place_of(info.symbol, info.timeframe_ns, info.price_side)
            wanted.add(file)
            try:
                series = _raw_series(store, info)
            except DataError as error:
                refused.append(f"{error.message}; `{program()} data heal {info.symbol}` mends what can be mended")
                continue
            partition = Partition(
                symbol=info.symbol, timeframe_ns=info.timeframe_ns, price_side=info.price_side, source=info.source,
                kind=info.kind, bars=series.loaded, first_ns=info.first_ns, last_ns=info.last_ns,
                instrument=store.read_instrument(info.symbol), fingerprint=_fingerprint(series),
                file=file, healed=healed[info.symbol, info.timeframe_ns, info.price_side],
            )  # fmt: skip
            if _holds(folder / file, partition):
                unchanged.append(partition)
            else:
                _write_file(folder / file, partition, series)
                written.append(partition)
        if symbol is None:
            removed = _remove_others(folder, wanted)
        _write_index(folder)
    return ExportReport(
        written=tuple(written), unchanged=tuple(unchanged), removed=tuple(removed), refused=tuple(refused)
    )


def list_mirror(folder: Path) -> list[Partition]:
    """The partitions of a mirror as its files say, by symbol, timeframe and price side; empty without a mirror.

    Raises:
        DataError: a file is no partition of a mirror.
    """
    return sorted(
        (_partition_of(path, folder) for path in _files(folder)),
        key=lambda one: (one.symbol, one.timeframe_ns, SIDE_ORDER.index(one.price_side)),
    )


def scan_mirror(folder: Path, symbol: str | None = None) -> tuple[list[Partition], list[str]]:
    """The partitions of a mirror, or those of one symbol, and a sentence for each file that does not say what it is."""
    named = "" if symbol is None else f"symbol={quote(symbol, safe='')}/"
    found, unreadable = [], []
    for path in _files(folder):
        if path.relative_to(folder).as_posix().startswith(named):
            try:
                found.append(_partition_of(path, folder))
            except DataError as error:
                unreadable.append(error.message)
    return found, unreadable


def read_mirror(
    folder: Path, symbol: str, timeframe_ns: int, start_ns: int | None = None, end_ns: int | None = None, *,
    price_side: str | None = None, fingerprint: str | None = None,
) -> BarSeries:  # fmt: skip
    """The mirrored bars whose open lies in `[start_ns, end_ns)`, with contiguous read-only arrays.

    The whole file is read and compared with its fingerprint before the window is cut out of it.

    Args:
        price_side: None takes the only one, else the first of trade, mid, bid, ask, mark.
        fingerprint: what the rows of the whole series must have.

    Raises:
        DataError: the series is not mirrored, its file is damaged, or it has another fingerprint.
    """
    path = _find(folder, symbol, timeframe_ns, price_side)
    partition, series = _read_file(path, folder)
    if (partition.symbol, partition.timeframe_ns) != (symbol, timeframe_ns):
        raise DataError(f"{path} holds {partition.symbol}, expected {symbol}; export the mirror anew", path=str(path))
    if fingerprint is not None and partition.fingerprint != fingerprint:
        raise DataError(
            f"{path} has the fingerprint {partition.fingerprint}, expected {fingerprint}: the mirror is not that of "
            f"the store as it is now; bring it up to date with `{program()} data export`",
            path=str(path),
        )
    if start_ns is None and end_ns is None:
        return series
    stamps = series.open_ns
    first = 0 if start_ns is None else int(np.searchsorted(stamps, start_ns))
    last = len(stamps) if end_ns is None else int(np.searchsorted(stamps, end_ns))
    columns = (getattr(series, name)[first : max(first, last)] for name in COLUMNS)
    return BarSeries(symbol, timeframe_ns, *columns, price_side=series.price_side)


def require_mirror(folder: Path) -> None:
    """Raise ConfigError unless the folder is a mirror."""
    if not (folder / _INDEX).is_file():
        raise ConfigError(f"expected a file of bars or the folder of a mirror, found {folder} without {_INDEX}")


def import_mirror(folder: Path, store: HistoricalDataStore) -> list[tuple[Partition, int]]:
    """Store every series of a mirror with its source, kind and instrument, one transaction for each.

    Returns:
        Each partition with the number of bars that were new.

    Raises:
        ConfigError: the folder is no mirror.
        DataError: a file is damaged, or its bars do not fit what is stored.
    """
    require_mirror(folder)
    done = []
    for partition in list_mirror(folder):
        _, series = _read_file(folder / partition.file, folder)
        with store.transaction():
            new = store.write_bars(series, source=partition.source, kind=partition.kind)
            if partition.instrument is not None:
                store.write_instrument(partition.symbol, partition.kind, partition.instrument)
            details = {"file": partition.file, "layout": "mirror", "rows": series.loaded, "written": new}
            store.log_import(partition.symbol, partition.timeframe_ns, details)
        done.append((partition, new))
    return done


# ------------------------------------------------------------------------------------------------- places


def _place_of(symbol: str, timeframe_ns: int, price_side: str) -> str:
    # Percent signs as in other partitioned tables: a symbol may hold a slash or a colon.
    return f"symbol={quote(symbol, safe='')}/timeframe={format_duration(timeframe_ns)}/price={price_side}/{_FILE}"


def _find(folder: Path, symbol: str, timeframe_ns: int, price_side: str | None) -> Path:
    sides = SIDE_ORDER if price_side is None else (price_side,)
    for side in sides:
        path = folder / _place_of(symbol, timeframe_ns, side)
        if path.is_file():
            return path
    raise DataError(
        f"the mirror {folder} has no {format_duration(timeframe_ns)} bars of {symbol}; "
        f"write them with `{program()} data export`",
        path=str(folder), symbol=symbol,
    )  # fmt: skip


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"symbol=*/timeframe=*/price=*/{_FILE}"))


def _refuse_case_twins(found: list[SeriesInfo]) -> None:
    names: dict[str, str] = {}
    for info in found:
        other = names.setdefault(info.symbol.casefold(), info.symbol)
        if other != info.symbol:
            raise ConfigError(
                f"{other} and {info.symbol} differ only in capitals, which folders of many systems do not tell apart; "
                f"export one of them with --symbol"
            )


# ------------------------------------------------------------------------------------------------- files


def _raw_series(store: HistoricalDataStore, info: SeriesInfo) -> BarSeries:
    """The rows as they lie, which must be in time order: what a mirror holds can be read without a second look."""
    columns = store.read_raw(info.symbol, info.timeframe_ns, info.price_side)
    stamps, *values = (columns[name] for name in COLUMNS)
    series = BarSeries(info.symbol, info.timeframe_ns, stamps, *values, price_side=info.price_side)
    refuse_unstorable(series)
    return series


def _fingerprint(series: BarSeries) -> str:
    return fingerprint_columns(series.symbol, series.timeframe_ns, series.price_side, columns_of(series))


def _holds(path: Path, partition: Partition) -> bool:
    """Whether the file holds just this; it is read whole, so that a damaged one is written anew."""
    if not path.is_file():
        return False
    try:
        found, _ = _read_file(path, path.parents[3])
    except DataError:
        return False
    return found == partition


def _read_file(path: Path, folder: Path) -> tuple[Partition, BarSeries]:
    partition = _partition_of(path, folder)
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
    found = _fingerprint(series)
    if found != partition.fingerprint:
        raise DataError(
            _damaged(path, f"its rows have the fingerprint {found}, not {partition.fingerprint}"), path=str(path)
        )
    return partition, series


def _partition_of(path: Path, folder: Path) -> Partition:
    try:
        known = json.loads((pq.read_schema(path).metadata or {})[_KEY])
        if known.pop("format") != _FORMAT:
            raise ValueError("it was written in another format")
        return Partition(**known, file=path.relative_to(folder).as_posix())
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(_damaged(path, str(error) or type(error).__name__), path=str(path)) from None


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is no whole file of a mirror ({reason}); write it anew with `{program()} data export`"


def _write_file(path: Path, partition: Partition, series: BarSeries) -> None:
    known = {key: value for key, value in asdict(partition).items() if key != "file"}
    text = json.dumps({"format": _FORMAT, **known}, sort_keys=True, ensure_ascii=False)
    stamps = pa.array(series.open_ns).cast(pa.timestamp("ns", tz="UTC"))
    arrays = [stamps, *(pa.array(getattr(series, name)) for name in _VALUES)]
    table = pa.table(arrays, names=[_TIME, *_VALUES]).replace_schema_metadata({_KEY: text.encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(_PARTIAL)
    with partial.open("wb") as file:
        pq.write_table(table, file, use_dictionary=False, compression="lz4", column_encoding=_ENCODINGS)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _write_index(folder: Path) -> None:
    partitions = []
    for path in _files(folder):
        with suppress(DataError):  # a damaged file that this export was not asked to write anew
            partitions.append(asdict(_partition_of(path, folder)))
    text = json.dumps({"format": _FORMAT, "partitions": partitions}, indent=1, sort_keys=True, ensure_ascii=False)
    partial = folder / f".{_INDEX}.partial"
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, folder / _INDEX)


def _remove_others(folder: Path, wanted: set[str]) -> list[str]:
    removed = []
    for path in _files(folder):
        file = path.relative_to(folder).as_posix()
        if file not in wanted:
            path.unlink()
            removed.append(file)
            with suppress(OSError):  # a folder in which something else lies stays
                for level in range(3):
                    path.parents[level].rmdir()
    return removed


@contextmanager
def _exporting(folder: Path) -> Iterator[None]:
    """The folder as a mirror that belongs to this program alone; left-overs of a killed export are gone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in (_LOCK, f".{_INDEX}.partial"))
        if foreign and _INDEX not in foreign:
            raise ConfigError(
                f"expected an empty folder or a mirror at {folder}, found {foreign[0]} and no {_INDEX}; "
                f"name another folder"
            )
        with FileLock(folder / _LOCK, timeout=0):
            for left in folder.glob(f"symbol=*/timeframe=*/price=*/{_PARTIAL}"):
                left.unlink(missing_ok=True)
            if not foreign:
                _write_index(folder)  # from here on the folder says what it is, whatever ends this program
            yield
    except Timeout:
        raise DataError(f"another program exports to {folder}; wait until it is done", path=str(folder)) from None
    except OSError as error:
        raise DataError(
            f"the mirror {folder} cannot be written: {error.strerror or error}; name a folder you may write to, and "
            f"close programs that have its files open",
            path=str(folder),
        ) from None
