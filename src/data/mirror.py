"""The Parquet mirror of a store: one file for each series, with the fingerprint of its rows inside it.

    FOLDER/symbol=BTCUSDT/timeframe=1m/price=trade/bars.parquet
    FOLDER/mirror.json

A file appears under its name only when it is whole, and carries its own fingerprint, so that no kill can part the two;
`mirror.json` repeats the list for people and other programs. A series that changed is written anew as one file, the
files of the others are not touched, and the copy of a series that the store has no longer stays until it is told to
go. What a mirror gives back to a store is in `src/data/mirror_import.py`. Any thread; one program exports to a folder
at a time, any number read. No clock is read. Imports pyarrow, which a run from the store does not need.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from src.core.bars import BarSeries
from src.core.errors import ConfigError, DataError
from src.core.program import command
from src.core.timeframe import format_duration
from src.core.words import counted
from src.data.fingerprint import Digest
from src.data.mirror_file import (
    FORMAT,
    PARTIAL,
    Partition,
    export_again,
    files_of,
    fingerprint_of_bars,
    holds,
    is_of,
    place_of,
    read_bars_file,
    read_partition,
    write_bars_file,
)
from src.data.store import HistoricalDataStore
from src.data.stored import COLUMNS, SIDE_ORDER, HealEntry, SeriesInfo, refuse_unstorable

__all__ = [
    "ExportReport",
    "Partition",
    "Spoiled",
    "export_mirror",
    "heal_log_digest",
    "heal_log_of",
    "is_mirror",
    "list_mirror",
    "mirror_folder",
    "mirrored_files",
    "missing_files",
    "read_mirror",
    "require_mirror",
    "scan_mirror",
]  # fmt: skip

_INDEX = "mirror.json"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export did.

    Attributes:
        written: partitions that are new or had changed.
        unchanged: partitions whose files were not touched.
        kept: files of series that the store has no longer.
        removed: such files that were taken away, because that was asked for.
        refused: a sentence for each series that cannot be mirrored because its rows are wrong.
    """

    written: tuple[Partition, ...]
    unchanged: tuple[Partition, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiled:
    """A file of a mirror with which nothing can be compared.

    Attributes:
        file: its place in the mirror's folder; None for the list of the mirror.
        sentence: what was expected and what was found.
    """

    file: str | None
    sentence: str


def mirror_folder(store: Path) -> Path:
    """Where the mirror of a store lies unless another folder is named: `market.mirror` beside `market.duckdb`."""
    return store.with_suffix(".mirror")


def export_mirror(
    store: HistoricalDataStore, folder: Path, *, symbol: str | None = None, prune: bool = False
) -> ExportReport:  # fmt: skip
    """Bring the mirror in `folder` up to what the store holds.

    Args:
        store: open for reading.
        folder: absent, empty, or a mirror.
        symbol: only the series of this symbol.
        prune: take away the files of series that the store has no longer, which may be the last copies of them.

    Raises:
        ConfigError: the folder holds something else.
        DataError: another program exports to it, or the disk refused.
        PreflightError: neither the store nor the mirror has bars of `symbol`.
    """
    found = [info for info in store.list_series() if symbol in (None, info.symbol)]
    if symbol is not None and not (found or mirrored_files(folder, symbol) or missing_files(folder, symbol)):
        store.series_of(symbol)  # which refuses it with what there is
    _refuse_case_twins(found, store, folder)
    written, unchanged, refused = [], [], []
    log = store.read_heal_log()
    with _exporting(folder):
        wanted = set()
        for info in found:
            file = place_of(info.symbol, info.timeframe_ns, info.price_side)
            wanted.add(file)
            try:
                series = _raw_series(store, info)
            except DataError as error:
                again = command("data", "heal", info.symbol, "--store", store.path.as_posix())
                refused.append(f"{error.message}; `{again}` mends what can be mended")
                continue
            known = {**asdict(info), "bars": series.loaded, "instrument": store.read_instrument(info.symbol)}
            entries = heal_log_of(info, log)
            partition = Partition(
                **known, fingerprint=fingerprint_of_bars(series), file=file, healed=len(entries),
                heal_log=heal_log_digest(entries),
            )  # fmt: skip
            if holds(folder / file, partition):
                unchanged.append(partition)
            else:
                write_bars_file(folder / file, partition, series)
                written.append(partition)
        gone = [file for file in mirrored_files(folder, symbol) if file not in wanted]
        # The list first: whatever ends this program, each file that it names is there.
        _write_index(folder, gone if prune else [])
        for file in gone if prune else ():
            _remove(folder / file)
    kept, removed = ((), tuple(gone)) if prune else (tuple(gone), ())
    return ExportReport(
        written=tuple(written), unchanged=tuple(unchanged), kept=kept, removed=removed, refused=tuple(refused)
    )


def heal_log_of(info: SeriesInfo, log: Iterable[HealEntry]) -> list[HealEntry]:
    """The entries of one series, in their order."""
    key = (info.symbol, info.timeframe_ns, info.price_side)
    return [entry for entry in log if (entry.symbol, entry.timeframe_ns, entry.price_side) == key]


def heal_log_digest(entries: Iterable[HealEntry]) -> str:
    """A digest of entries of a heal log, 32 hexadecimal digits."""
    digest = Digest()
    for entry in entries:
        digest.add_text(json.dumps(asdict(entry), sort_keys=True))
    return digest.hexdigest()


def list_mirror(folder: Path) -> list[Partition]:
    """The partitions of a mirror as its files say, by symbol, timeframe and price side; empty without a mirror.

    Raises:
        DataError: a file is no partition of a mirror.
    """
    return sorted(
        (read_partition(path, folder) for path in files_of(folder)),
        key=lambda one: (one.symbol, one.timeframe_ns, SIDE_ORDER.index(one.price_side)),
    )


def scan_mirror(folder: Path, symbol: str | None = None) -> tuple[list[Partition], list[Spoiled]]:
    """The partitions of a mirror, or those of one symbol, and its files that are damaged or not there.

    The rows of the files are not read.
    """
    found, spoiled = [], missing_files(folder, symbol)
    for file in mirrored_files(folder, symbol):
        try:
            found.append(read_partition(folder / file, folder))
        except DataError as error:
            spoiled.append(Spoiled(file=file, sentence=error.message))
    return found, spoiled


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
    partition, series = read_bars_file(path, folder)  # which refuses a file that contradicts its place
    if fingerprint is not None and partition.fingerprint != fingerprint:
        raise DataError(
            f"{path} has the fingerprint {partition.fingerprint}, expected {fingerprint}: the mirror is not that of "
            f"the store as it is now; bring it up to date with `{export_again(folder, symbol)}`",
            path=str(path),
        )
    if start_ns is None and end_ns is None:
        return series
    stamps = series.open_ns
    first = 0 if start_ns is None else int(np.searchsorted(stamps, start_ns))
    last = len(stamps) if end_ns is None else int(np.searchsorted(stamps, end_ns))
    columns = (getattr(series, name)[first : max(first, last)] for name in COLUMNS)
    return BarSeries(symbol, timeframe_ns, *columns, price_side=series.price_side)


def is_mirror(folder: Path) -> bool:
    """Whether the folder is a mirror, or what is left of one: its list, or a file that says so of itself."""
    if (folder / _INDEX).is_file():
        return True
    for path in files_of(folder):
        with suppress(DataError):
            read_partition(path, folder)
            return True
    return False


def require_mirror(folder: Path) -> None:
    """Raise ConfigError unless the folder is a mirror, or what is left of one."""
    if not is_mirror(folder):
        found = f"{folder} without {_INDEX}" if folder.exists() else f"nothing at {folder}"
        raise ConfigError(
            f"expected a file of bars or the folder of a mirror, found {found}; name the folder that `data export` "
            f"wrote"
        )


def mirrored_files(
    folder: Path, symbol: str | None = None, timeframe_ns: int | None = None, price_side: str | None = None
) -> list[str]:  # fmt: skip
    """The places of the files that are there, or of those of some series, with forward slashes."""
    names = [path.relative_to(folder).as_posix() for path in files_of(folder)]
    return [name for name in names if is_of(name, symbol, timeframe_ns, price_side)]


def missing_files(
    folder: Path, symbol: str | None = None, timeframe_ns: int | None = None, price_side: str | None = None
) -> list[Spoiled]:  # fmt: skip
    """The list of a mirror when it is missing or damaged, or each file that it names in vain."""
    index = folder / _INDEX
    if not index.is_file():
        there = mirrored_files(folder)
        sentence = f"expected the list {index} of a mirror beside {there[0]}, found none" if there else ""
        return [Spoiled(file=None, sentence=sentence)] if sentence else []
    try:
        listed = [str(one["file"]) for one in json.loads(index.read_text(encoding="utf-8"))["partitions"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        found = str(error) or type(error).__name__
        sentence = f"expected the list of a mirror in {index}, found something else ({found})"
        return [Spoiled(file=None, sentence=sentence)]
    return [
        Spoiled(file=file, sentence=f"expected the file {folder / file}, which {_INDEX} lists, found none")
        for file in listed
        if is_of(file, symbol, timeframe_ns, price_side) and not (folder / file).is_file()
    ]


# ------------------------------------------------------------------------------------------------- places


def _find(folder: Path, symbol: str, timeframe_ns: int, price_side: str | None) -> Path:
    sides = SIDE_ORDER if price_side is None else (price_side,)
    for side in sides:
        path = folder / place_of(symbol, timeframe_ns, side)
        if path.is_file():
            return path
    raise DataError(
        f"the mirror {folder} has no {format_duration(timeframe_ns)} bars of {symbol}; "
        f"`{export_again(folder, symbol)}` writes those that its store has",
        path=str(folder), symbol=symbol,
    )  # fmt: skip


def _refuse_case_twins(found: list[SeriesInfo], store: HistoricalDataStore, folder: Path) -> None:
    names: dict[str, str] = {}
    place = ["--store", store.path.as_posix()]
    if folder != mirror_folder(store.path):
        place += ["--mirror", folder.as_posix()]
    for info in found:
        other = names.setdefault(info.symbol.casefold(), info.symbol)
        if other != info.symbol:
            raise ConfigError(
                f"{other} and {info.symbol} differ only in capitals, which folders of many systems do not tell apart; "
                f"export one of them: `{command('data', 'export', other, *place)}`"
            )


# ------------------------------------------------------------------------------------------------- files


def _raw_series(store: HistoricalDataStore, info: SeriesInfo) -> BarSeries:
    """The rows as they lie, which must be in time order: what a mirror holds can be read without a second look."""
    columns = store.read_raw(info.symbol, info.timeframe_ns, info.price_side)
    stamps, *values = (columns[name] for name in COLUMNS)
    series = BarSeries(info.symbol, info.timeframe_ns, stamps, *values, price_side=info.price_side)
    if info.bars and not series.loaded:  # what is there of a copy is better than nothing
        raise DataError(f"{info.symbol}: expected {counted(info.bars, 'bar')} as the store lists them, found none")
    refuse_unstorable(series)
    return series


def _write_index(folder: Path, without: list[str]) -> None:
    partitions = []
    for file in mirrored_files(folder):
        if file not in without:
            with suppress(DataError):  # a damaged file that this export was not asked to write anew
                partitions.append(asdict(read_partition(folder / file, folder)))
    text = json.dumps({"format": FORMAT, "partitions": partitions}, indent=1, sort_keys=True, ensure_ascii=False)
    partial = folder / f".{_INDEX}.partial"
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, folder / _INDEX)


def _remove(path: Path) -> None:
    path.unlink()
    with suppress(OSError):  # a folder in which something else lies stays
        for level in range(3):
            path.parents[level].rmdir()


@contextmanager
def _exporting(folder: Path) -> Iterator[None]:
    """The folder as a mirror that belongs to this program alone; left-overs of a killed export are gone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = sorted(path.name for path in folder.iterdir() if path.name not in (_LOCK, f".{_INDEX}.partial"))
        if foreign and not is_mirror(folder):
            raise ConfigError(
                f"expected an empty folder or a mirror at {folder}, found {foreign[0]} and no {_INDEX}; "
                f"name another folder"
            )
        with FileLock(folder / _LOCK, timeout=0):
            for left in folder.glob(f"symbol=*/timeframe=*/price=*/{PARTIAL}"):
                left.unlink(missing_ok=True)
            if not foreign:
                _write_index(folder, [])  # from here on the folder says what it is, whatever ends this program
            yield
    except Timeout:
        raise DataError(f"another program exports to {folder}; wait until it is done", path=str(folder)) from None
    except OSError as error:
        raise DataError(
            f"the mirror {folder} cannot be written: {error.strerror or error}; name a folder you may write to, and "
            f"close programs that have its files open",
            path=str(folder),
        ) from None
