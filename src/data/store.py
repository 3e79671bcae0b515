"""The store of market data: one DuckDB file, one writer, many readers.

A store belongs to the thread that opened it. While a store is open for writing nobody else can open the file; open
read-only, it can be shared by any number of processes. Rows of a series lie in time order, so that a window is read
by skipping blocks; there is no primary key, because keeping one costs more than the data. Instants are nanoseconds
UTC. No number is ever aggregated in SQL: the order of a parallel sum is not fixed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import numpy as np

from src.core.bars import BarSeries
from src.core.errors import DataError, InternalError, PreflightError
from src.core.program import program
from src.core.timeframe import format_duration, format_instant
from src.data.connection import first_line, open_store_file
from src.data.resample import freeze
from src.data.stored import COLUMNS, Columns, SeriesInfo, columns_of, refuse_mixing, refuse_overlap, refuse_unstorable

__all__ = ["HistoricalDataStore", "SeriesInfo"]

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM bars WHERE symbol = ? AND timeframe_ns = ?"


class HistoricalDataStore:
    """Bars by symbol and timeframe in one DuckDB file; use it as a context manager.

    Args:
        path: the file; opened for writing, it and its folder are created when absent.
        read_only: open it beside other readers; nothing is written, the file must exist.

    Raises:
        DataError: the file is absent (read-only), locked by a writer, no store, or of another version.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._in_transaction = False
        self._connection: duckdb.DuckDBPyConnection | None = open_store_file(path, read_only=read_only)

    def __enter__(self) -> "HistoricalDataStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a writer first folds its log into it, so that readers never have to. May be repeated."""
        if self._connection is None:
            return
        try:
            if not self.read_only:
                self._connection.execute("CHECKPOINT")
        finally:
            self._connection.close()
            self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside happen together or not at all; an inner transaction joins the outer one.

        Raises:
            DataError: the store was opened read-only, or the disk refused the write.
        """
        if self.read_only:
            raise DataError(f"{self.path} is open read-only; open it for writing to change it", path=str(self.path))
        if self._in_transaction:
            yield
            return
        self._in_transaction = True
        self._execute("BEGIN TRANSACTION")
        try:
            yield
            self._execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, duckdb.Error):
                raise DataError(
                    f"writing to {self.path} failed and nothing was changed: {first_line(error)}", path=str(self.path)
                ) from error
            raise
        finally:
            self._in_transaction = False

    def write_bars(self, series: BarSeries, *, source: str, kind: str = "crypto") -> int:
        """Store the loaded bars of `series`, merged with what is stored; one transaction.

        Rows that are already there with the same numbers are skipped.

        Args:
            series: bars in strictly increasing time order, all numbers finite.
            source: where they come from; it must be the source of what is already stored.
            kind: crypto, fx or equity; the latest write decides.

        Returns:
            How many bars are new.

        Raises:
            DataError: another source or price side is stored, a stored bar has other numbers, the bars are out of
                order or not finite, or the store is read-only. Nothing is changed then.
        """
        refuse_unstorable(series)
        with self.transaction():
            info = self._find(series.symbol, series.timeframe_ns)
            if info is not None:
                refuse_mixing(info, series, source)
            new = columns_of(series)
            if info is not None and len(new["open_ns"]):
                new = self._drop_stored(series, new)
            written = len(new["open_ns"])
            if written:
                self._merge(series, info, new)
            if info is None or written or info.kind != kind:
                self._write_series_row(series, info, new, source=source, kind=kind)
            return written

    def read_bars(
        self, symbol: str, timeframe_ns: int, start_ns: int | None = None, end_ns: int | None = None
    ) -> BarSeries:
        """The stored bars whose open lies in `[start_ns, end_ns)`; the arrays are contiguous and read-only.

        Returns:
            The series, empty when the window holds no bar.

        Raises:
            PreflightError: the store has no such series; the sentence says what it has.
        """
        info = self.require(symbol, timeframe_ns)
        columns = self._read_columns(symbol, timeframe_ns, start_ns, end_ns)
        stamps, *values = freeze(*(columns[name] for name in COLUMNS))
        return BarSeries(symbol, timeframe_ns, stamps, *values, price_side=info.price_side)

    def list_series(self) -> list[SeriesInfo]:
        """Every stored series, by symbol and timeframe."""
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
        return sorted(infos, key=lambda info: (info.symbol, info.timeframe_ns))

    def series_of(self, symbol: str) -> list[SeriesInfo]:
        """The stored series of one symbol, finest first.

        Raises:
            PreflightError: the symbol is unknown; the sentence says which ones the store has.
        """
        everything = self.list_series()
        found = [info for info in everything if info.symbol == symbol]
        if not found:
            names = ", ".join(sorted({info.symbol for info in everything})) or "nothing"
            raise PreflightError(
                f"{self.path.name} has no bars of {symbol}; it has {names}; "
                f"import them with `{program()} data import FILE --symbol {symbol}`",
                symbol=symbol, path=str(self.path),
            )  # fmt: skip
        return found

    def require(self, symbol: str, timeframe_ns: int) -> SeriesInfo:
        """What is stored of one symbol and timeframe.

        Raises:
            PreflightError: nothing is; the sentence says what is stored of the symbol, or which symbols there are.
        """
        found = self.series_of(symbol)
        for info in found:
            if info.timeframe_ns == timeframe_ns:
                return info
        raise PreflightError(
            f"{self.path.name} has no {format_duration(timeframe_ns)} bars of {symbol}; "
            f"it has {'; '.join(info.describe() for info in found)}",
            symbol=symbol, timeframe_ns=timeframe_ns, path=str(self.path),
        )  # fmt: skip

    def delete_series(self, symbol: str, timeframe_ns: int) -> int:
        """Remove one series and return how many bars it had.

        Raises:
            PreflightError: there is no such series.
            DataError: the store is read-only.
        """
        with self.transaction():
            info = self.require(symbol, timeframe_ns)
            for table in ("bars", "series"):
                self._execute(f"DELETE FROM {table} WHERE symbol = ? AND timeframe_ns = ?", [symbol, timeframe_ns])
            return info.bars

    def write_instrument(self, symbol: str, kind: str, defaults: Mapping[str, Any]) -> None:
        """Store the instrument defaults of a symbol, instead of those that were there."""
        with self.transaction():
            self._execute("DELETE FROM instruments WHERE symbol = ?", [symbol])
            text = json.dumps(dict(defaults), sort_keys=True)
            self._execute("INSERT INTO instruments VALUES (?, ?, ?)", [symbol, kind, text])

    def read_instrument(self, symbol: str) -> dict[str, Any] | None:
        """The stored instrument defaults of a symbol, or None."""
        row = self._execute("SELECT defaults FROM instruments WHERE symbol = ?", [symbol]).fetchone()
        return None if row is None else dict(json.loads(row[0]))

    def log_import(self, symbol: str, timeframe_ns: int, details: Mapping[str, Any]) -> None:
        """Add one line to the log of imports."""
        with self.transaction():
            row = self._execute("SELECT count(*) FROM import_log").fetchone()
            sequence = int(row[0]) + 1 if row else 1
            text = json.dumps(dict(details), sort_keys=True)
            self._execute("INSERT INTO import_log VALUES (?, ?, ?, ?)", [sequence, symbol, timeframe_ns, text])

    def read_import_log(self) -> list[dict[str, Any]]:
        """The imports in the order in which they happened: `sequence`, `symbol`, `timeframe_ns` and their details."""
        rows = self._execute("SELECT * FROM import_log ORDER BY sequence").fetchall()
        return [{"sequence": row[0], "symbol": row[1], "timeframe_ns": row[2], **json.loads(row[3])} for row in rows]

    # ------------------------------------------------------------------------------------------------- inner parts

    def _execute(self, sql: str, values: Sequence[object] = ()) -> duckdb.DuckDBPyConnection:
        return self._open_connection().execute(sql, list(values))

    def _open_connection(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise InternalError(f"the store {self.path} is closed")
        return self._connection

    def _roll_back(self) -> None:
        # DuckDB may have ended the transaction itself; the error that did it is on its way up.
        with suppress(duckdb.Error):
            self._execute("ROLLBACK")

    def _find(self, symbol: str, timeframe_ns: int) -> SeriesInfo | None:
        for info in self.list_series():
            if info.symbol == symbol and info.timeframe_ns == timeframe_ns:
                return info
        return None

    def _read_columns(
        self, symbol: str, timeframe_ns: int, start_ns: int | None = None, end_ns: int | None = None
    ) -> Columns:
        sql, values = _SELECT, [symbol, timeframe_ns]
        if start_ns is not None:
            sql, values = f"{sql} AND open_ns >= ?", [*values, start_ns]
        if end_ns is not None:
            sql, values = f"{sql} AND open_ns < ?", [*values, end_ns]
        found = {name: np.asarray(column) for name, column in self._execute(sql, values).fetchnumpy().items()}
        # The rows lie in time order, and DuckDB keeps the order in which they lie. That is asked here and not left to
        # ORDER BY, which would nearly double the time and take a third copy of all columns to find nothing to do.
        stamps = found["open_ns"]
        if np.all(stamps[1:] > stamps[:-1]):
            return found
        order = np.argsort(stamps, kind="stable")
        return {name: column[order] for name, column in found.items()}

    def _drop_stored(self, series: BarSeries, new: Columns) -> Columns:
        """The rows of `new` that are not stored yet; a stored row with other numbers is refused."""
        stamps = new["open_ns"]
        stored = self._read_columns(series.symbol, series.timeframe_ns, int(stamps[0]), int(stamps[-1]) + 1)
        if not len(stored["open_ns"]):
            return new
        place = np.minimum(np.searchsorted(stored["open_ns"], stamps), len(stored["open_ns"]) - 1)
        known = stored["open_ns"][place] == stamps
        for name in COLUMNS[1:]:
            differs = np.flatnonzero(known & (stored[name][place] != new[name]))
            if len(differs):
                i = differs[0]
                raise DataError(
                    f"{series.symbol} {format_duration(series.timeframe_ns)}: the bar of "
                    f"{format_instant(int(stamps[i]))} is stored with {name} {float(stored[name][place[i]])!r} and "
                    f"comes again with {name} {float(new[name][i])!r}; a stored bar is never replaced: delete the "
                    f"series first or leave the bar out",
                    symbol=series.symbol, open_ns=int(stamps[i]),
                )  # fmt: skip
        return {name: column[~known] for name, column in new.items()}

    def _merge(self, series: BarSeries, info: SeriesInfo | None, new: Columns) -> None:
        if info is not None and info.bars and int(new["open_ns"][0]) <= info.last_ns:
            # Rows in between: the series is written anew, because its rows must lie in time order on disk.
            old = self._read_columns(series.symbol, series.timeframe_ns)
            order = np.argsort(np.concatenate((old["open_ns"], new["open_ns"])), kind="stable")
            new = {name: np.concatenate((old[name], new[name]))[order] for name in COLUMNS}
            refuse_overlap(new["open_ns"], series.timeframe_ns, series.symbol)
            self._execute(
                "DELETE FROM bars WHERE symbol = ? AND timeframe_ns = ?", [series.symbol, series.timeframe_ns]
            )
        elif info is not None and info.bars:
            seam = np.array([info.last_ns, new["open_ns"][0]], dtype=np.int64)
            refuse_overlap(seam, series.timeframe_ns, series.symbol)
        connection: Any = self._open_connection()  # Any: its types do not admit the dictionary of arrays
        connection.register("incoming", new)
        try:
            columns = ", ".join(COLUMNS)
            self._execute(
                f"INSERT INTO bars SELECT ?, ?, {columns} FROM incoming", [series.symbol, series.timeframe_ns]
            )
        finally:
            connection.unregister("incoming")

    def _write_series_row(
        self, series: BarSeries, info: SeriesInfo | None, new: Columns, *, source: str, kind: str
    ) -> None:
        stamps = [int(value) for value in (*new["open_ns"][:1], *new["open_ns"][-1:])]
        if info is not None and info.bars:
            stamps += [info.first_ns, info.last_ns]
        if not stamps:
            return  # an empty series leaves no trace
        bars = len(new["open_ns"]) + (info.bars if info is not None else 0)
        key = [series.symbol, series.timeframe_ns]
        self._execute("DELETE FROM series WHERE symbol = ? AND timeframe_ns = ?", key)
        self._execute(
            "INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [*key, series.price_side, source, kind, bars, min(stamps), max(stamps)],
        )
