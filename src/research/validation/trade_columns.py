"""The trades of candidates as Arrow columns, and back; what all tables of trades inside a validation look like.

In a column of numbers null is what nobody knows; NaN stays NaN. Pure; any thread.
"""

import hashlib
import json
from collections.abc import Container, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from src.core.errors import invariant
from src.research.validation.ports import Candidate, CandidateTrades

__all__ = [
    "TRADE_COLUMNS", "TradesHash", "begin_columns", "in_order", "numbers_of", "split_trades", "trades_table",
]  # fmt: skip

#: The columns of a trade in their order, each with its Arrow type; see `CandidateTrades`.
TRADE_COLUMNS: dict[str, Any] = {
    "entry_ns": pa.int64(), "exit_ns": pa.int64(), "r_net": pa.float64(), "cost_r": pa.float64(),
    "atr": pa.float64(), "session": pa.string(), "side": pa.int64(),
}  # fmt: skip

#: What Arrow's types of numbers are called here.
_NUMPY = {"int8": "<i1", "int32": "<i4", "int64": "<i8", "double": "<f8"}

#: What need not be known.
_OPTIONAL = ("cost_r", "atr", "session", "side")


def in_order(trades: CandidateTrades) -> CandidateTrades:
    """The same trades by entry, then exit, then as they stood."""
    entry, later = trades.entry_ns, trades.exit_ns
    before, after = entry[:-1], entry[1:]
    if bool(np.all((before < after) | ((before == after) & (later[:-1] <= later[1:])))):
        return trades
    order = np.lexsort((later, entry))  # stable
    return CandidateTrades(
        entry_ns=entry[order], exit_ns=later[order], r_net=trades.r_net[order],
        cost_r=None if trades.cost_r is None else trades.cost_r[order],
        atr=None if trades.atr is None else trades.atr[order],
        session=None if trades.session is None else trades.session[order],
        side=None if trades.side is None else trades.side[order],
    )  # fmt: skip


def trades_table(numbered: Sequence[tuple[int, CandidateTrades]]) -> pa.Table:
    """The trades of some candidates one below the other: `number`, then `TRADE_COLUMNS`."""
    counts = [len(trades) for _, trades in numbered]
    columns = [pa.array(np.repeat(np.array([number for number, _ in numbered], dtype=np.int64), counts))]
    for name, kind in TRADE_COLUMNS.items():
        parts = [_part(getattr(trades, name), kind, len(trades)) for _, trades in numbered]
        columns.append(pa.concat_arrays(parts) if parts else pa.array([], type=kind))
    return pa.Table.from_arrays(columns, names=["number", *TRADE_COLUMNS])


def split_trades(
    table: pa.Table, counts: Iterable[tuple[int, int]], wanted: Container[int] | None = None
) -> dict[int, CandidateTrades]:  # fmt: skip
    """The other way: the first so many rows are the trades of the first candidate, and so on.

    Of a candidate a column counts only if it is known of all its trades; a session, if it is of any: it is empty for
    the others.

    Args:
        table: has all of `TRADE_COLUMNS` but those that nobody asks for, and each candidate's rows in order.
        counts: number and trades of each candidate.
        wanted: the numbers that are asked for; all by default.
    """
    columns = {name: _Column(table.column(name)) for name in TRADE_COLUMNS if name in table.column_names}
    split, begin = dict[int, CandidateTrades](), 0
    for number, count in counts:
        part = slice(begin, begin + count)
        begin += count
        if wanted is None or number in wanted:
            cut = {
                name: each.known(part, some=name == "session") for name, each in columns.items() if name in _OPTIONAL
            }
            whole = {name: columns[name].cut(part) for name in ("entry_ns", "exit_ns", "r_net")}
            split[number] = CandidateTrades(**whole, **cut)
    return split


class TradesHash:
    """SHA-256 of candidates and their trades, one after the other.

    Args:
        kind: what else tells them from others.
    """

    def __init__(self, kind: str) -> None:
        self._hash = hashlib.sha256(f"{kind}\n".encode())

    def add(self, candidate: Candidate, trades: CandidateTrades) -> None:
        """One more candidate: its id, what was given of it, and its trades in their order."""
        told = json.dumps([candidate.candidate_id, candidate.given, len(trades)], separators=(",", ":"))
        self._hash.update(told.encode("ascii"))
        for name, kind in TRADE_COLUMNS.items():
            values = getattr(trades, name)
            # What is not known of any trade, and what is known of no trade, are the same.
            known = values is not None and len(trades) > 0
            self._hash.update(b"+" + _bytes(values, kind) if known else b"-")

    def hexdigest(self) -> str:
        """64 hexadecimal characters."""
        return self._hash.hexdigest()


def numbers_of(column: pa.Array | pa.ChunkedArray) -> Any:
    """A column of numbers without nulls as an array of the same type; shape (n,).

    Arrow's own way loads pandas, in every process that reads a trade.
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    invariant(not column.null_count, f"expected a column of {column.type} without nulls, found {column.null_count}")
    kind = np.dtype(_NUMPY[str(column.type)])
    parts = [
        np.frombuffer(each.buffers()[1], dtype=kind, count=len(each), offset=each.offset * kind.itemsize)
        for each in chunks
        if len(each)
    ]
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)


def begin_columns() -> None:
    """Load what the first columns of a process would have to wait for."""
    import pyarrow.compute  # noqa: F401 - it is loaded where it is needed first


class _Column:
    """One column of a table, ready to be cut into pieces."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._unknown = column.null_count
        self._length = len(column)
        mixed = 0 < self._unknown < self._length
        self._present = numbers_of(column.is_valid().cast(pa.int8())).astype(np.bool_) if mixed else None
        self._names: Any = None
        if pa.types.is_string(column.type):
            coded = column.fill_null("").combine_chunks().dictionary_encode()
            self._names = np.array(coded.dictionary.to_pylist() or [""], dtype=str)
            self._values: Any = numbers_of(coded.indices)
        else:
            # A null in a column of whole numbers would make floats of all of them.
            self._values = numbers_of(column.fill_null(0) if self._unknown else column)

    def cut(self, part: slice) -> Any:
        """The piece."""
        values = self._values[part]
        return values if self._names is None else self._names[values]

    def known(self, part: slice, *, some: bool = False) -> Any:
        """The piece; None where it counts for nothing."""
        if self._unknown == self._length or part.start == part.stop:
            return None
        if self._present is not None:
            present = self._present[part]
            if not (present.any() if some else present.all()):
                return None
        return self.cut(part)


def _part(values: Any, kind: Any, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, type=kind)
    if pa.types.is_string(kind):
        return pa.array([None if each is None else str(each) for each in values], type=kind)
    return pa.array(values, type=kind, from_pandas=False)  # NaN is a number that nobody should use, and no null


def _bytes(values: Any, kind: Any) -> bytes:
    if pa.types.is_string(kind):
        return json.dumps([str(each) for each in values]).encode("ascii")
    return np.asarray(values, dtype="<f8" if pa.types.is_floating(kind) else "<i8").tobytes()
