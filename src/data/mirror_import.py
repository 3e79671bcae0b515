"""What a mirror gives back to a store: all of it or some series that are absent, or the bars that one has lost.

`import_mirror` adds, and never replaces a stored bar; `restore_series` puts back what a series has lost or changed
since its copy was made, and needs no file of the mirror but the copies it puts back. Each is one transaction. Called
by the thread that opened the store; no clock is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.core.errors import DataError, PreflightError
from src.core.program import command
from src.core.timeframe import format_duration
from src.data.faults import Fault, bar_text, compare_columns
from src.data.healing import Change, as_healed, entry_of, in_order_once, recounted
from src.data.mirror import (
    Partition,
    heal_log_digest,
    heal_log_of,
    mirrored_files,
    missing_files,
    require_mirror,
)
from src.data.mirror_file import export_again, read_bars_file, read_partition
from src.data.store import HistoricalDataStore
from src.data.stored import COLUMNS, Columns, HealEntry, SeriesInfo, columns_of

__all__ = ["Restored", "differences", "import_mirror", "require_whole", "restore_series"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put back into one series.

    Attributes:
        partition: its copy.
        written: bars that the series had not.
        changes: what was done to the bars of a series that was there, each a line of the heal log.
    """

    partition: Partition
    written: int
    changes: tuple[Change, ...]


def require_whole(
    folder: Path, symbol: str | None = None, timeframe_ns: int | None = None, price_side: str | None = None
) -> list[Partition]:
    """The partitions of a mirror, or those that were named, of which no file is missing; no rows are read.

    Args:
        symbol, timeframe_ns, price_side: which series; None takes any. With a symbol the files of others, and the list
            of the mirror, are not looked at.

    Raises:
        ConfigError: the folder is no mirror.
        DataError: a file is missing or is no partition, or without a symbol the list is missing.
        PreflightError: the mirror has no such series.
    """
    require_mirror(folder)
    asked = (symbol, timeframe_ns, price_side)
    missing = [one for one in missing_files(folder, *asked) if symbol is None or one.file is not None]
    if missing:
        again = export_again(folder, *(() if symbol is None else (symbol,)))
        raise DataError(
            f"{missing[0].sentence}; nothing was imported: write the mirror anew from its store with `{again}`",
            path=str(folder),
        )
    found = [read_partition(folder / file, folder) for file in mirrored_files(folder, *asked)]
    if not found and asked != (None, None, None):
        there = ", ".join(mirrored_files(folder, symbol) or mirrored_files(folder)) or "nothing"
        raise PreflightError(f"the mirror {folder} has no such series; it has {there}", path=str(folder))
    return found


def import_mirror(
    folder: Path, store: HistoricalDataStore, symbol: str | None = None, timeframe_ns: int | None = None,
    price_side: str | None = None,
) -> list[tuple[Partition, int]]:  # fmt: skip
    """Store every series of a mirror, or those that are named, with source, kind and instrument; one transaction.

    One series at a time is in memory; what is not committed yet DuckDB keeps in the file where memory is short.

    Returns:
        Each partition with the number of bars that were new.

    Raises:
        ConfigError: the folder is no mirror.
        DataError: a file is missing or damaged, or its bars do not fit what is stored; the file is named and nothing
            is stored.
        PreflightError: the mirror has no such series.
    """
    partitions = require_whole(folder, symbol, timeframe_ns, price_side)
    with store.transaction():
        return [(one, _import_partition(one, folder, store)) for one in partitions]


def restore_series(
    folder: Path, store: HistoricalDataStore, symbol: str, timeframe_ns: int | None = None,
    price_side: str | None = None,
) -> list[Restored]:  # fmt: skip
    """Put back what the series of a symbol have lost or changed since their copies were made; one transaction.

    Afterwards `differences` finds nothing. Bars that only the store has stay, and so do bars as healing left them
    since the copy; a series that is gone comes back whole. Other files of the mirror may be damaged or missing.

    Args:
        timeframe_ns, price_side: only these of the symbol's series.

    Raises:
        ConfigError: the folder is no mirror.
        DataError: a copy is missing, damaged, or of another source than the series. Nothing is changed then.
        PreflightError: the mirror has no such series.
    """
    partitions = require_whole(folder, symbol, timeframe_ns, price_side)
    with store.transaction():
        log = store.read_heal_log()
        return [_restore(one, folder, store, log) for one in partitions]


def differences(
    columns: Columns, info: SeriesInfo | None, partition: Partition, folder: Path, log: Sequence[HealEntry]
) -> list[Fault]:
    """What a series has lost or changed since its copy was made, but for what healing did to it since then.

    Args:
        columns: the rows as they lie; none where the series is gone.
        info: what the store says of the series; None where it is gone.
        log: the heal log of the store.

    Raises:
        DataError: the copy is damaged, or of another source than the series.
    """
    copy = _copy_of(partition, info, folder)
    return compare_columns(columns, copy, as_healed(columns, copy, _since(partition, log)))


# ------------------------------------------------------------------------------------------------- inner parts


def _import_partition(partition: Partition, folder: Path, store: HistoricalDataStore) -> int:
    path = folder / partition.file
    _, series = read_bars_file(path, folder)
    try:
        new = store.write_bars(series, source=partition.source, kind=partition.kind)
    except DataError as error:
        details = {**error.details, "path": str(path)}
        again = command(
            "data", "import", folder.as_posix(), "--symbol", partition.symbol, "--timeframe",
            format_duration(partition.timeframe_ns), "--price", partition.price_side, "--replace", "--store",
            store.path.as_posix(),
        )  # fmt: skip
        raise DataError(
            f"{path} does not fit what {store.path} holds: {error.message}; where the mirror is right, `{again}` puts "
            f"its numbers back",
            **details,
        ) from None
    if partition.instrument is not None:
        store.write_instrument(partition.symbol, partition.kind, partition.instrument)
    _log(partition, store, series.loaded, new)
    return new


def _restore(partition: Partition, folder: Path, store: HistoricalDataStore, log: Sequence[HealEntry]) -> Restored:
    key = (partition.symbol, partition.timeframe_ns, partition.price_side)
    info = next((i for i in store.list_series() if (i.symbol, i.timeframe_ns, i.price_side) == key), None)
    if info is None:
        return Restored(partition=partition, written=_import_partition(partition, folder, store), changes=())
    copy = _copy_of(partition, info, folder)
    stored = store.read_raw(*key)
    columns, changes = _put_back(stored, copy, _since(partition, log))
    changes = changes or recounted(info, columns)
    written = len(columns["open_ns"]) - len(np.unique(stored["open_ns"]))
    if changes:
        store.rewrite(partition.symbol, partition.timeframe_ns, columns, price_side=partition.price_side)
        store.log_heal([entry_of(info, change) for change in changes])
    if partition.instrument is not None and store.read_instrument(partition.symbol) is None:
        store.write_instrument(partition.symbol, partition.kind, partition.instrument)
    _log(partition, store, len(copy["open_ns"]), written)
    return Restored(partition=partition, written=written, changes=changes)


def _put_back(stored: Columns, copy: Columns, since: Sequence[HealEntry]) -> tuple[Columns, tuple[Change, ...]]:
    """The rows with the bars of the copy that were lost or changed, and a change for each of them."""
    columns, changes = in_order_once(stored)
    faults = compare_columns(columns, copy, as_healed(columns, copy, since))
    opens = np.array([fault.open_ns for fault in faults], np.int64)
    rows = dict(zip(columns["open_ns"].tolist(), range(len(columns["open_ns"])), strict=True))
    places = np.searchsorted(copy["open_ns"], opens)
    for open_ns, place in zip(opens.tolist(), places.tolist(), strict=True):
        row = rows.get(open_ns)
        before = "" if row is None else bar_text(columns, row)
        after = bar_text(copy, place)
        changes.append(Change(open_ns=open_ns, action="put back from the mirror", before=before, after=after))
    keep = ~np.isin(columns["open_ns"], opens)
    joined = {name: np.concatenate((columns[name][keep], copy[name][places])) for name in COLUMNS}
    order = np.argsort(joined["open_ns"], kind="stable")
    return {name: column[order] for name, column in joined.items()}, tuple(changes)


def _copy_of(partition: Partition, info: SeriesInfo | None, folder: Path) -> Columns:
    path = folder / partition.file
    if info is not None and info.source != partition.source:
        raise DataError(
            f"{path} is the copy of a series from {partition.source!r}, and the store has one from {info.source!r}, "
            f"which cannot be compared, because one series never mixes two; "
            f"`{export_again(folder, partition.symbol)}` makes it the copy of what is stored",
            path=str(path),
        )
    _, series = read_bars_file(path, folder)
    return columns_of(series)


def _since(partition: Partition, log: Sequence[HealEntry]) -> list[HealEntry]:
    """The entries of the heal log that came after a copy."""
    own = heal_log_of(partition, log)
    if heal_log_digest(own[: partition.healed]) == partition.heal_log:
        return own[partition.healed :]
    return own  # the copy was made from another store: whatever was done to this one it does not know


def _log(partition: Partition, store: HistoricalDataStore, rows: int, new: int) -> None:
    logged = {"file": partition.file, "layout": "mirror", "rows": rows, "written": new}
    store.log_import(partition.symbol, partition.timeframe_ns, logged)
