"""A Parquet mirror as a store for reading: what workers on other machines have in place of the DuckDB file.

Belongs to the thread that opened it. Each series is read whole when it is first asked for, compared with its own
fingerprint, and kept. A mirror has bars alone: no quotes, trades or funding rates.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from src.core.bars import BarSeries
from src.core.errors import DataError, PreflightError
from src.core.timeframe import format_duration
from src.data.fingerprint import fingerprint_columns
from src.data.mirror import list_mirror, require_mirror
from src.data.mirror_file import Partition, export_again, read_bars_file
from src.data.store import HistoricalDataStore
from src.data.stored import COLUMNS, SeriesInfo, columns_of

__all__ = ["MirrorStore", "refuse_other_mirror"]

Key = tuple[str, int, str]


class MirrorStore:
    """See `BarStore`; a context manager.

    Args:
        folder: of the mirror.

    Raises:
        ConfigError: it is none.
        DataError: a file of it is no partition.
    """

    def __init__(self, folder: Path) -> None:
        require_mirror(folder)
        self._folder = folder
        self._partitions: dict[Key, Partition] = {_key(one): one for one in list_mirror(folder)}
        self._read: dict[Key, BarSeries] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    @property
    def path(self) -> Path:
        """The mirror's folder."""
        return self._folder

    def series_of(self, symbol: str) -> list[SeriesInfo]:
        """See `BarStore.series_of`."""
        found: list[SeriesInfo] = [one for one in self._partitions.values() if one.symbol == symbol]
        if not found:
            names = ", ".join(sorted({one.symbol for one in self._partitions.values()})) or "nothing"
            raise PreflightError(f"the mirror {self._folder} has no bars of {symbol}; it has {names}", symbol=symbol)
        return found

    def read_bars(
        self, symbol: str, timeframe_ns: int, start_ns: int | None = None, end_ns: int | None = None, *,
        price_side: str | None = None,
    ) -> BarSeries:  # fmt: skip
        """See `BarStore.read_bars`.

        Raises:
            DataError: the file is damaged, or has changed since the mirror was opened.
        """
        series = self._series(symbol, timeframe_ns, price_side)
        first = 0 if start_ns is None else int(np.searchsorted(series.open_ns, start_ns))
        last = series.loaded if end_ns is None else int(np.searchsorted(series.open_ns, end_ns))
        columns = (getattr(series, name)[first : max(first, last)] for name in COLUMNS)
        return BarSeries(symbol, timeframe_ns, *columns, price_side=series.price_side)

    def _series(self, symbol: str, timeframe_ns: int, price_side: str | None) -> BarSeries:
        known = self.series_of(symbol)
        for info in known:
            if info.timeframe_ns == timeframe_ns and price_side in (None, info.price_side):
                return self._whole((symbol, timeframe_ns, info.price_side))
        stored = "; ".join(info.describe() for info in known)
        raise PreflightError(
            f"the mirror {self._folder} has no {format_duration(timeframe_ns)} {f'{price_side} ' if price_side else ''}"
            f"bars of {symbol}; it has {stored}",
            symbol=symbol, timeframe_ns=timeframe_ns,
        )  # fmt: skip

    def _whole(self, key: Key) -> BarSeries:
        series = self._read.get(key)
        if series is None:
            partition = self._partitions[key]
            found, series = read_bars_file(self._folder / partition.file, self._folder)
            if found.fingerprint != partition.fingerprint:
                raise DataError(
                    f"{partition.file} in {self._folder} has changed while it was being used; repeat what was read "
                    "from it",
                    path=str(self._folder),
                )
            self._read[key] = series
        return series


def refuse_other_mirror(store: HistoricalDataStore, folder: Path, symbols: frozenset[str]) -> None:
    """Refuse a mirror that does not hold just what the store holds of some symbols.

    Args:
        store: open for reading.

    Raises:
        ConfigError: the folder is no mirror.
        DataError: a series is absent from it, or differs; the sentence says how to bring it up to date.
    """
    with MirrorStore(folder) as mirror:
        mirrored = mirror._partitions
    for info in store.list_series():
        if info.symbol not in symbols:
            continue
        found = mirrored.get(_key(info))
        bars = store.read_bars(info.symbol, info.timeframe_ns, price_side=info.price_side)
        fingerprint = fingerprint_columns(info.symbol, info.timeframe_ns, info.price_side, columns_of(bars))
        if found is None or found.fingerprint != fingerprint:
            name = f"{info.symbol} {format_duration(info.timeframe_ns)}"
            what = f"has no {name}, which" if found is None else f"has other rows of {name} than"
            raise DataError(
                f"the mirror {folder} {what} {store.path}{' has' if found is None else ''}; "
                f"`{export_again(folder, info.symbol)}` brings it up to date",
                path=str(folder), symbol=info.symbol,
            )  # fmt: skip


def _key(info: SeriesInfo) -> Key:
    return info.symbol, info.timeframe_ns, info.price_side
