"""The store of market data: one DuckDB file, one writer, many readers.

A store belongs to the thread that opened it. While a store is open for writing nobody else can open the file; open
read-only, it can be shared by any number of processes (`src/data/lease.py` keeps both apart). Rows of a series lie in
time order, so that a window is read by skipping blocks; there is no primary key, because keeping one costs more than
the data. Instants are nanoseconds UTC. No number is ever aggregated in SQL: the order of a parallel sum is not fixed.
"""

from typing import Any

import numpy as np

from src.core.bars import BarSeries
from src.core.errors import DataError, InternalError, PreflightError
from src.core.program import command
from src.core.timeframe import format_duration, format_instant
from src.data.resample import freeze
from src.data.stored import (
    COLUMNS,
    SIDE_ORDER,
    Columns,
    HealEntry,
    SeriesInfo,
    TapeInfo,
    columns_of,
    refuse_mixing,
    refuse_overlap,
    refuse_unordered,
    refuse_unstorable,
    runs_of,
)
from src.data.tapes import TapeStore

__all__ = ["HealEntry", "HistoricalDataStore", "SeriesInfo", "TapeInfo"]


class HistoricalDataStore(TapeStore):
    """Bars, tapes and their logs in one DuckDB file; use it as a context manager.

    A series is the bars of one symbol, timeframe and price side; several sides may be stored side by side. Where a
    side may be left out, the only one is meant, else the first of trade, mid, bid, ask, mark.

    Args:
        path: the file; opened for writing, it and its folder are created when absent, and a store of an earlier
            version is brought to this one.
        read_only: open it beside other readers; nothing is written, the file must exist. An earlier version is read
            as it is.
        private: no other program knows the file (a new one that will be renamed), so no lease is taken.

    Raises:
        DataError: the file is absent (read-only), read or written by somebody else, no store, or of a version that
            cannot be used; or this process may only read (`reset_stores`).
    """

    def write_bars(self, series: BarSeries, *, source: str, kind: str = "crypto", in_order: bool = True) -> int:
        """Store the loaded bars of `series`, merged with what is stored; one transaction.

        Rows that are already there with the same numbers are skipped.

        Args:
            series: bars in strictly increasing time order, all numbers finite.
            source: where they come from; it must be the source of what is already stored.
            kind: crypto, fx or equity; the latest write decides.
            in_order: leave the rows in time order on disk. Bars that come before stored ones then cost a rewrite of
                the series; who writes many such pieces passes False and calls `put_in_order` once behind the last.
                What is read is in time order either way.

        Returns:
            How many bars are new.

        Raises:
            DataError: another source is stored, a stored bar has other numbers, the bars are out of order or not
                finite, or the store is read-only. Nothing is changed then.
        """
        refuse_unstorable(series)
        with self.transaction():
            info = self._find(series.symbol, series.timeframe_ns, series.price_side)
            if info is not None:
                refuse_mixing(info, source)
            new = columns_of(series)
            if info is not None and len(new["open_ns"]):
                new = self._drop_stored(info, new)
            written = len(new["open_ns"])
            if written:
                self._merge(series, info, new, in_order)
            if info is None or written or info.kind != kind:
                self._write_series_row(series, info, new, source=source, kind=kind)
            return written

    def read_bars(
        self,
        symbol: str,
        timeframe_ns: int,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        price_side: str | None = None,
    ) -> BarSeries:
        """The stored bars whose open lies in `[start_ns, end_ns)`; the arrays are contiguous and read-only.

        Returns:
            The series, empty when the window holds no bar.

        Raises:
            PreflightError: the store has no such series; the sentence says what it has.
        """
        info = self.require(symbol, timeframe_ns, price_side)
        columns = self._read_columns(info, start_ns, end_ns)
        stamps, *values = freeze(*(columns[name] for name in COLUMNS))
        return BarSeries(symbol, timeframe_ns, stamps, *values, price_side=info.price_side)

    def read_raw(self, symbol: str, timeframe_ns: int, price_side: str | None = None) -> Columns:
        """The rows of a series exactly as they lie: duplicates and disorder included, each column of shape (rows,).

        Raises:
            PreflightError: the store has no such series.
        """
        return self._fetch(self.require(symbol, timeframe_ns, price_side), COLUMNS)

    def rewrite(self, symbol: str, timeframe_ns: int, columns: Columns, *, price_side: str | None = None) -> None:
        """Replace all rows of a series by `columns`, and with none remove it; joins the caller's transaction.

        The numbers are taken as they are: a repair may leave some that it cannot judge. Source and kind stay.

        Args:
            columns: `open_ns`, `open`, `high`, `low`, `close`, `volume`, each of shape (rows,), strictly in time
                order.

        Raises:
            PreflightError: the store has no such series.
            DataError: the stamps are not in order, or the store is read-only. Nothing is changed then.
        """
        rows: Columns = {
            name: np.ascontiguousarray(columns[name], np.int64 if name == "open_ns" else np.float64) for name in COLUMNS
        }
        if len({len(column) for column in rows.values()}) != 1:
            raise InternalError(f"the columns of {symbol} have different lengths")
        refuse_unordered(rows["open_ns"], symbol)
        with self.transaction():
            info = self.require(symbol, timeframe_ns, price_side)
            self._delete_rows(info)
            stamps = rows["open_ns"]
            if not len(stamps):
                self._delete_series_row(info)
                return
            self._insert_rows(info.symbol, info.timeframe_ns, info.price_side, _with_nan(rows))
            self._replace_series_row(info, len(stamps), int(stamps[0]), int(stamps[-1]))

    def put_in_order(self, symbol: str, timeframe_ns: int, price_side: str) -> bool:
        """Bring the rows of a series into time order on disk when they are not; one transaction.

        Rows that share a stamp are a damage that a repair has to judge: they stay as they lie.

        Returns:
            Whether anything was moved; not when there is no such series.

        Raises:
            DataError: the rows are to be moved and the store is read-only.
        """
        info = self._find(symbol, timeframe_ns, price_side)
        if info is None:
            return False
        stamps = self._fetch(info, ("open_ns",))["open_ns"]
        if np.all(stamps[1:] > stamps[:-1]) or len(np.unique(stamps)) < len(stamps):
            return False
        self.rewrite(symbol, timeframe_ns, self._read_columns(info), price_side=price_side)
        return True

    def list_series(self) -> list[SeriesInfo]:
        """Every stored series, by symbol and timeframe, price sides in the order in which they are preferred."""
        rows = self._execute(
            "SELECT symbol, timeframe_ns, price_side, source, kind, bars, first_ns, last_ns FROM series"
        ).fetchall()
        infos = [
            SeriesInfo(
                symbol=row[0], timeframe_ns=row[1], price_side=row[2], source=row[3], kind=row[4],
                bars=row[5], first_ns=row[6], last_ns=row[7],
            )
            for row in rows
        ]  # fmt: skip
        return sorted(infos, key=lambda info: (info.symbol, info.timeframe_ns, SIDE_ORDER.index(info.price_side)))

    def series_of(self, symbol: str) -> list[SeriesInfo]:
        """The stored series of one symbol, finest first.

        Raises:
            PreflightError: the symbol is unknown; the sentence says which ones the store has.
        """
        everything = self.list_series()
        found = [info for info in everything if info.symbol == symbol]
        if not found:
            names = ", ".join(sorted({info.symbol for info in everything})) or "nothing"
            again = command("data", "import", "FILE", "--symbol", symbol, "--store", self.path.as_posix())
            raise PreflightError(
                f"{self.path.name} has no bars of {symbol}; it has {names}; import them with `{again}`",
                symbol=symbol, path=str(self.path),
            )  # fmt: skip
        return found

    def require(self, symbol: str, timeframe_ns: int, price_side: str | None = None) -> SeriesInfo:
        """What is stored of one symbol, timeframe and price side.

        Raises:
            PreflightError: nothing is; the sentence says what is stored of the symbol, or which symbols there are.
        """
        found = self.series_of(symbol)
        for info in found:
            if info.timeframe_ns == timeframe_ns and price_side in (None, info.price_side):
                return info
        raise PreflightError(
            f"{self.path.name} has no {format_duration(timeframe_ns)} {f'{price_side} ' if price_side else ''}bars of "
            f"{symbol}; it has {'; '.join(info.describe() for info in found)}",
            symbol=symbol, timeframe_ns=timeframe_ns, path=str(self.path),
        )  # fmt: skip

    def coverage(
        self, symbol: str, timeframe_ns: int, price_side: str | None = None, max_gap_bars: int = 60
    ) -> list[tuple[int, int]]:
        """The half-open intervals `[first open, last close)` of runs without a hole of more than `max_gap_bars` bars.

        Read from the rows, never from first and last alone.

        Raises:
            PreflightError: the store has no such series.
        """
        info = self.require(symbol, timeframe_ns, price_side)
        return runs_of(np.sort(self._fetch(info, ("open_ns",))["open_ns"]), timeframe_ns, max_gap_bars)

    def delete_series(self, symbol: str, timeframe_ns: int, price_side: str | None = None) -> int:
        """Remove one series with what is known of its syncs, and return how many bars it had.

        Raises:
            PreflightError: there is no such series.
            DataError: the store is read-only.
        """
        with self.transaction():
            info = self.require(symbol, timeframe_ns, price_side)
            self._delete_rows(info)
            self._delete_series_row(info)
            self.forget_synced(symbol, timeframe_ns)
            return info.bars

    # ------------------------------------------------------------------------------------------------- inner parts

    def _find(self, symbol: str, timeframe_ns: int, price_side: str) -> SeriesInfo | None:
        key = (symbol, timeframe_ns, price_side)
        return next((i for i in self.list_series() if (i.symbol, i.timeframe_ns, i.price_side) == key), None)

    def _fetch(
        self, info: SeriesInfo, names: tuple[str, ...], start_ns: int | None = None, end_ns: int | None = None
    ) -> Columns:
        """Columns of a series as its rows lie."""
        # The bars of version 1 have no side of their own: each series has one, which `series` names.
        side = "price_side = ?" if self.version > 1 else "? IS NOT NULL"
        sql = f"SELECT {', '.join(names)} FROM bars WHERE symbol = ? AND timeframe_ns = ? AND {side}"
        values: list[object] = [info.symbol, info.timeframe_ns, info.price_side]
        if start_ns is not None:
            sql, values = f"{sql} AND open_ns >= ?", [*values, start_ns]
        if end_ns is not None:
            sql, values = f"{sql} AND open_ns < ?", [*values, end_ns]
        return {name: np.asarray(column) for name, column in self._execute(sql, values).fetchnumpy().items()}

    def _read_columns(self, info: SeriesInfo, start_ns: int | None = None, end_ns: int | None = None) -> Columns:
        found = self._fetch(info, COLUMNS, start_ns, end_ns)
        # The rows lie in time order, and DuckDB keeps the order in which they lie. That is asked here and not left to
        # ORDER BY, which would nearly double the time and take a third copy of all columns to find nothing to do.
        stamps = found["open_ns"]
        if np.all(stamps[1:] > stamps[:-1]):
            return found
        order = np.argsort(stamps, kind="stable")
        return {name: column[order] for name, column in found.items()}

    def _drop_stored(self, info: SeriesInfo, new: Columns) -> Columns:
        """The rows of `new` that are not stored yet; a stored row with other numbers is refused."""
        stamps = new["open_ns"]
        if int(stamps[0]) > info.last_ns or int(stamps[-1]) < info.first_ns:
            return new
        stored = self._read_columns(info, int(stamps[0]), int(stamps[-1]) + 1)
        if not len(stored["open_ns"]):
            return new
        place = np.minimum(np.searchsorted(stored["open_ns"], stamps), len(stored["open_ns"]) - 1)
        known = stored["open_ns"][place] == stamps
        for name in COLUMNS[1:]:
            differs = np.flatnonzero(known & (stored[name][place] != new[name]))
            if len(differs):
                i = differs[0]
                raise DataError(
                    f"{info.symbol} {format_duration(info.timeframe_ns)}: the bar of "
                    f"{format_instant(int(stamps[i]))} is stored with {name} {float(stored[name][place[i]])!r} and "
                    f"comes again with {name} {float(new[name][i])!r}; a stored bar is never replaced: delete the "
                    f"series first or leave the bar out",
                    symbol=info.symbol, open_ns=int(stamps[i]),
                )  # fmt: skip
        return {name: column[~known] for name, column in new.items()}

    def _merge(self, series: BarSeries, info: SeriesInfo | None, new: Columns, in_order: bool) -> None:
        length_ns = series.timeframe_ns
        if info is not None and info.bars and int(new["open_ns"][0]) <= info.last_ns:
            if in_order:
                # Rows in between: the series is written anew, because its rows must lie in time order on disk.
                old = self._read_columns(info)
                order = np.argsort(np.concatenate((old["open_ns"], new["open_ns"])), kind="stable")
                new = {name: np.concatenate((old[name], new[name]))[order] for name in COLUMNS}
                refuse_overlap(new["open_ns"], length_ns, series.symbol)
                self._delete_rows(info)
            else:
                # Only a bar less than one timeframe away can overlap one of these.
                first_ns, last_ns = int(new["open_ns"][0]), int(new["open_ns"][-1])
                near = self._fetch(info, ("open_ns",), first_ns - length_ns, last_ns + length_ns)["open_ns"]
                refuse_overlap(np.sort(np.concatenate((near, new["open_ns"]))), length_ns, series.symbol)
        elif info is not None and info.bars:
            seam = np.array([info.last_ns, new["open_ns"][0]], dtype=np.int64)
            refuse_overlap(seam, length_ns, series.symbol)
        self._insert_rows(series.symbol, length_ns, series.price_side, new)

    def _insert_rows(self, symbol: str, timeframe_ns: int, price_side: str, rows: Columns) -> None:
        sql = f"INSERT INTO bars SELECT ?, ?, ?, {', '.join(COLUMNS)} FROM incoming"
        self._insert(sql, [symbol, timeframe_ns, price_side], rows)

    def _delete_rows(self, info: SeriesInfo) -> None:
        self._execute(
            "DELETE FROM bars WHERE symbol = ? AND timeframe_ns = ? AND price_side = ?",
            [info.symbol, info.timeframe_ns, info.price_side],
        )

    def _delete_series_row(self, info: SeriesInfo) -> None:
        self._execute(
            "DELETE FROM series WHERE symbol = ? AND timeframe_ns = ? AND price_side = ?",
            [info.symbol, info.timeframe_ns, info.price_side],
        )

    def _replace_series_row(self, info: SeriesInfo, bars: int, first_ns: int, last_ns: int) -> None:
        self._delete_series_row(info)
        self._execute(
            "INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [info.symbol, info.timeframe_ns, info.price_side, info.source, info.kind, bars, first_ns, last_ns],
        )

    def _write_series_row(
        self, series: BarSeries, info: SeriesInfo | None, new: Columns, *, source: str, kind: str
    ) -> None:
        stamps = [int(value) for value in (*new["open_ns"][:1], *new["open_ns"][-1:])]
        if info is not None and info.bars:
            stamps += [info.first_ns, info.last_ns]
        if not stamps:
            return  # an empty series leaves no trace
        row = SeriesInfo(
            symbol=series.symbol, timeframe_ns=series.timeframe_ns, price_side=series.price_side, source=source,
            kind=kind, bars=len(new["open_ns"]) + (info.bars if info is not None else 0), first_ns=min(stamps),
            last_ns=max(stamps),
        )  # fmt: skip
        self._replace_series_row(row, row.bars, row.first_ns, row.last_ns)


def _with_nan(rows: Columns) -> Any:
    """The rows in a form of which DuckDB takes a NaN as a number; a NaN of a numpy array is no value to it."""
    if not any(np.isnan(rows[name]).any() for name in COLUMNS[1:]):
        return rows
    import pyarrow as pa

    return pa.table(rows)
