"""Tapes: quotes, trades and funding rates as they happened, event by event, and where a store keeps them.

A tape is a record of read-only columns; any thread may hold one. Stamps never decrease, but many events share one:
the order of the rows is part of the data, is written down with them, and is what is read back. `TapeStore` is the
part of `HistoricalDataStore` that keeps them; it belongs to the thread that opened the store.
"""

from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from src.core.bars import FloatArray, IntArray
from src.core.errors import DataError, PreflightError
from src.core.timeframe import format_instant
from src.data.logs import StoreLogs
from src.data.stored import Columns, TapeInfo, refuse_mixing

__all__ = ["FUNDING", "QuoteTape", "RateTape", "Tape", "TapeStore", "TradeTape"]

#: The timeframe under which the sync log keeps funding rates, which have none.
FUNDING = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tape:
    """Events of one symbol in the order in which they happened.

    Attributes:
        symbol: the instrument.
        ts_ns: nanoseconds UTC, never decreasing, shape (n,) as all columns.
    """

    symbol: str
    ts_ns: IntArray

    def __post_init__(self) -> None:
        for name, dtype in _dtypes(type(self)).items():
            column = np.ascontiguousarray(getattr(self, name), dtype)
            if column.shape != self.ts_ns.shape or column.ndim != 1:
                raise DataError(
                    f"{self.symbol}: expected {len(self.ts_ns)} values as {name}, one for each stamp, "
                    f"found {column.shape}",
                    symbol=self.symbol,
                )
            if column is getattr(self, name) and column.flags.writeable:
                column = column.view()  # the caller's own array stays writeable
            column.setflags(write=False)
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return len(self.ts_ns)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuoteTape(Tape):
    """Best bid and ask at each change; a size that the source does not tell is 0. Crossed quotes stay as they came."""

    bid: FloatArray
    ask: FloatArray
    bid_size: FloatArray
    ask_size: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TradeTape(Tape):
    """Every trade: price, volume in base units, whether the buyer was the resting side, the venue's number."""

    price: FloatArray
    volume: FloatArray
    buyer_is_maker: npt.NDArray[np.bool_]
    trade_id: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RateTape(Tape):
    """Funding rates, each as a fraction of the notional, at the instant at which it is paid."""

    rate: FloatArray


_KINDS: dict[str, type[Tape]] = {"quotes": QuoteTape, "trades": TradeTape, "funding": RateTape}
_TYPES: dict[str, Any] = {"ts_ns": np.int64, "trade_id": np.int64, "buyer_is_maker": np.bool_}

_T = TypeVar("_T", bound=Tape)


class TapeStore(StoreLogs):
    """The tapes of a store."""

    def write_quotes(self, tape: QuoteTape, *, source: str) -> int:
        """Store quotes after, before or between those that are stored; one transaction.

        Events that were stored already, in the same order, are skipped.

        Returns:
            How many are new.

        Raises:
            DataError: stamps decrease, a number is not finite, another source is stored, stored events of the same
                span are others, or the store is read-only. Nothing is changed then.
        """
        return self._write_tape(tape, "quotes", source)

    def read_quotes(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> QuoteTape:
        """The quotes with stamps in `[start_ns, end_ns)` in their order; PreflightError when none are stored."""
        return self._read_tape(QuoteTape, "quotes", symbol, start_ns, end_ns)

    def write_trades(self, tape: TradeTape, *, source: str) -> int:
        """Store trades, as `write_quotes` does."""
        return self._write_tape(tape, "trades", source)

    def read_trades(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> TradeTape:
        """The trades with stamps in `[start_ns, end_ns)` in their order; PreflightError when none are stored."""
        return self._read_tape(TradeTape, "trades", symbol, start_ns, end_ns)

    def write_funding(self, tape: RateTape, *, source: str) -> int:
        """Store funding rates, as `write_quotes` does."""
        return self._write_tape(tape, "funding", source)

    def read_funding(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> RateTape:
        """The rates with stamps in `[start_ns, end_ns)` in their order; PreflightError when none are stored."""
        return self._read_tape(RateTape, "funding", symbol, start_ns, end_ns)

    def list_tapes(self) -> list[TapeInfo]:
        """Every stored tape, by symbol and kind."""
        rows = self._execute("SELECT symbol, kind, source, events, first_ns, last_ns FROM tapes").fetchall()
        return [
            TapeInfo(symbol=row[0], kind=row[1], source=row[2], events=row[3], first_ns=row[4], last_ns=row[5])
            for row in sorted(rows)
        ]

    def delete_tape(self, symbol: str, kind: str) -> int:
        """Remove one tape with what is known of its syncs, and return how many events it had.

        Raises:
            PreflightError: there is no such tape.
            DataError: the store is read-only.
        """
        with self.transaction():
            info = self._require_tape(symbol, kind)
            self._execute(f"DELETE FROM {kind} WHERE symbol = ?", [symbol])
            self._execute("DELETE FROM tapes WHERE symbol = ? AND kind = ?", [symbol, kind])
            if kind == "funding":
                self.forget_synced(symbol, FUNDING)
            return info.events

    def read_tape(self, symbol: str, kind: str) -> Tape:
        """The whole tape of a kind that `list_tapes` names."""
        return self._read_tape(_KINDS[kind], kind, symbol, None, None)

    # ------------------------------------------------------------------------------------------------- inner parts

    def _write_tape(self, tape: Tape, kind: str, source: str) -> int:
        new = _columns_of(tape)
        _refuse_unstorable_tape(tape, new)
        with self.transaction():
            info = self._find_tape(tape.symbol, kind)
            if info is not None:
                refuse_mixing(info, source)
            if not len(tape):
                return 0
            count = len(tape)
            if info is not None and int(tape.ts_ns[0]) <= info.last_ns:
                stored = _columns_of(self._read_tape(type(tape), kind, tape.symbol, None, None))
                place, known = _place(stored, new, tape.symbol, kind)
                count -= known
                if not count:
                    return 0
                if place < info.events:
                    # Events in between or before: the tape is written anew, because its rows lie in their order.
                    self._execute(f"DELETE FROM {kind} WHERE symbol = ?", [tape.symbol])
                    new = {name: np.concatenate((old[:place], new[name], old[place:])) for name, old in stored.items()}
                    info = None
                else:
                    new = {name: column[known:] for name, column in new.items()}
            self._append_tape(tape.symbol, kind, source, info, new)
            return count

    def _append_tape(self, symbol: str, kind: str, source: str, info: TapeInfo | None, new: Columns) -> None:
        before = 0 if info is None else info.events
        count = len(new["ts_ns"])
        names = ", ".join(new)
        rows = {"row": np.arange(before, before + count), **new}
        self._insert(f'INSERT INTO {kind} SELECT ?, "row", {names} FROM incoming', [symbol], rows)
        first_ns = int(new["ts_ns"][0]) if info is None else info.first_ns
        self._execute("DELETE FROM tapes WHERE symbol = ? AND kind = ?", [symbol, kind])
        self._execute(
            "INSERT INTO tapes VALUES (?, ?, ?, ?, ?, ?)",
            [symbol, kind, source, before + count, first_ns, int(new["ts_ns"][-1])],
        )

    def _read_tape(self, made: type[_T], kind: str, symbol: str, start_ns: int | None, end_ns: int | None) -> _T:
        self._require_tape(symbol, kind)
        names = ("row", *_dtypes(made))
        columns = ", ".join(f'"{name}"' for name in names)
        sql, values = f"SELECT {columns} FROM {kind} WHERE symbol = ?", [symbol]
        bounds: list[object] = [*values]
        if start_ns is not None:
            sql, bounds = f"{sql} AND ts_ns >= ?", [*bounds, start_ns]
        if end_ns is not None:
            sql, bounds = f"{sql} AND ts_ns < ?", [*bounds, end_ns]
        found = {name: np.asarray(column) for name, column in self._execute(sql, bounds).fetchnumpy().items()}
        row = found.pop("row")
        # As with bars: the rows lie in their order, and that is asked instead of sorting once more.
        if not np.all(row[1:] > row[:-1]):
            order = np.argsort(row, kind="stable")
            found = {name: column[order] for name, column in found.items()}
        return made(symbol=symbol, **found)

    def _find_tape(self, symbol: str, kind: str) -> TapeInfo | None:
        return next((info for info in self.list_tapes() if (info.symbol, info.kind) == (symbol, kind)), None)

    def _require_tape(self, symbol: str, kind: str) -> TapeInfo:
        info = self._find_tape(symbol, kind)
        if info is None:
            stored = "; ".join(one.describe() for one in self.list_tapes()) or "no tapes"
            raise PreflightError(
                f"{self.path.name} has no {kind} of {symbol}; it has {stored}",
                symbol=symbol, kind=kind, path=str(self.path),
            )  # fmt: skip
        return info


def _dtypes(made: type[Tape]) -> dict[str, Any]:
    """The columns of a tape with their types, in the order of the table."""
    return {field.name: _TYPES.get(field.name, np.float64) for field in fields(made) if field.name != "symbol"}


def _columns_of(tape: Tape) -> Columns:
    return {name: getattr(tape, name) for name in _dtypes(type(tape))}


def _refuse_unstorable_tape(tape: Tape, columns: Columns) -> None:
    back = np.flatnonzero(np.diff(tape.ts_ns) < 0)
    if len(back):
        before, after = (int(tape.ts_ns[back[0] + step]) for step in (0, 1))
        raise DataError(
            f"{tape.symbol}: expected events in time order, found {format_instant(after)} after "
            f"{format_instant(before)} in row {int(back[0]) + 2}",
            symbol=tape.symbol, ts_ns=after,
        )  # fmt: skip
    for name, column in columns.items():
        if column.dtype != np.float64 or np.isfinite(column).all():
            continue
        i = int(np.flatnonzero(~np.isfinite(column))[0])
        raise DataError(
            f"{tape.symbol}: expected a number as {name} in row {i + 1} ({format_instant(int(tape.ts_ns[i]))}), "
            f"found {float(column[i])!r}",
            symbol=tape.symbol, ts_ns=int(tape.ts_ns[i]),
        )  # fmt: skip


def _place(stored: Columns, new: Columns, symbol: str, kind: str) -> tuple[int, int]:
    """Where in the stored rows the new ones belong, and how many of these, from the first on, are stored already.

    Events that share a stamp have no order but that of their rows, so a span that holds others cannot be merged: the
    stored rows of the new span must be none, or be the first of the new ones.
    """
    stamps = stored["ts_ns"]
    begin = int(np.searchsorted(stamps, new["ts_ns"][0], side="left"))
    end = int(np.searchsorted(stamps, new["ts_ns"][-1], side="right"))
    known = end - begin
    is_same = known <= len(new["ts_ns"]) and all(
        np.array_equal(stored[name][begin:end], column[:known]) for name, column in new.items()
    )
    if is_same and (known == len(new["ts_ns"]) or known == 0 or end == len(stamps)):
        return end, known
    first, last = format_instant(int(stamps[begin])), format_instant(int(stamps[end - 1]))
    raise DataError(
        f"{symbol}: expected {kind} of a span that is not stored yet, found {known} other stored ones from {first} to "
        f"{last} inside it; delete the tape first or leave that span out",
        symbol=symbol, kind=kind,
    )  # fmt: skip
