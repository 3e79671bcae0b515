"""Records as Arrow tables with written schemas, and Parquet files whose bytes depend on the records alone.

Instants are int64 nanoseconds UTC in columns named `*_ns`; absent values are null; enumerations are their text.
Pure but for the files named by the caller; any thread.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from src.backtesting.artifacts.columns import column
from src.backtesting.artifacts.journal_text import fields_texts
from src.core.bars import FloatArray, IntArray
from src.core.errors import DataError
from src.core.journal import JournalRecord
from src.core.records import Fill, Order, Trade

__all__ = [
    "TABLES",
    "equity_table",
    "fills_table",
    "journal_rows",
    "journal_table",
    "orders_table",
    "read_journal",
    "trades_table",
    "write_table",
]

TABLES = ("journal", "orders", "fills", "trades", "equity")

_TEXT, _INT, _FLOAT, _TRUTH = pa.string(), pa.int64(), pa.float64(), pa.bool_()

# A column: its name, its type, and where the value is found on the record when that is another name. Enumerations are
# texts themselves.
_Column = tuple[str, Any, str]


def _columns(*columns: tuple[Any, ...]) -> tuple[_Column, ...]:
    return tuple((name, kind, where[0] if where else name) for name, kind, *where in columns)


_ORDERS = _columns(
    ("order_id", _TEXT), ("client_id", _TEXT, "request.client_id"), ("book", _TEXT, "request.book"),
    ("symbol", _TEXT, "request.symbol"), ("side", _TEXT, "request.side"), ("type", _TEXT, "request.type"),
    ("volume", _FLOAT, "request.volume"), ("price", _FLOAT, "request.price"), ("stop", _FLOAT, "request.stop"),
    ("stop_distance", _FLOAT, "request.stop_distance"), ("target", _FLOAT, "request.target"),
    ("target_distance", _FLOAT, "request.target_distance"), ("target_r", _FLOAT, "request.target_r"),
    ("stop_cost", _FLOAT, "request.stop_cost"), ("reduce_only", _TRUTH, "request.reduce_only"),
    ("reverse", _TRUTH, "request.reverse"), ("position_id", _TEXT, "request.position_id"),
    ("expires_ns", _INT, "request.expires_ns"), ("exit_kind", _TEXT, "request.exit_kind"),
    ("reason", _TEXT, "request.reason"), ("state", _TEXT, "state"), ("placed_ns", _INT), ("effective_ns", _INT),
    ("updated_ns", _INT), ("filled_volume", _FLOAT), ("average_price", _FLOAT), ("code", _TEXT), ("message", _TEXT),
    ("time_in_force", _TEXT, "request.time_in_force"), ("limit", _FLOAT, "request.limit"),
    ("trail_distance", _FLOAT, "request.trail_distance"), ("trail_percent", _FLOAT, "request.trail_percent"),
    ("stop_trail_distance", _FLOAT, "request.stop_trail_distance"),
    ("stop_trail_percent", _FLOAT, "request.stop_trail_percent"), ("post_only", _TRUTH, "request.post_only"),
    ("trigger_by", _TEXT, "request.trigger_by"), ("group", _TEXT, "request.group"),
    ("parent", _TEXT, "request.parent"), ("close_by", _TEXT, "request.close_by"),
)  # fmt: skip

_FILLS = _columns(
    ("fill_id", _TEXT), ("order_id", _TEXT), ("position_id", _TEXT), ("book", _TEXT), ("symbol", _TEXT),
    ("side", _TEXT), ("volume", _FLOAT), ("price", _FLOAT), ("filled_ns", _INT),
    ("filled_from_ns", _INT), ("commission", _FLOAT), ("spread_cost", _FLOAT), ("slippage_cost", _FLOAT),
    ("kind", _TEXT), ("reason", _TEXT), ("ambiguous", _TRUTH), ("other_price", _FLOAT), ("rate", _FLOAT),
    ("fee_volume", _FLOAT),
)  # fmt: skip

_TRADES = _columns(
    ("trade_id", _TEXT), ("book", _TEXT), ("symbol", _TEXT), ("side", _TEXT), ("volume", _FLOAT),
    ("entry_ns", _INT), ("exit_ns", _INT), ("entry_price", _FLOAT), ("exit_price", _FLOAT), ("gross", _FLOAT),
    ("commission", _FLOAT), ("spread_cost", _FLOAT), ("slippage_cost", _FLOAT), ("net", _FLOAT), ("risk", _FLOAT),
    ("r", _FLOAT), ("initial_stop", _FLOAT), ("exit_kind", _TEXT), ("entry_reason", _TEXT), ("exit_reason", _TEXT),
    ("ambiguous", _TRUTH), ("net_worst", _FLOAT), ("net_best", _FLOAT), ("financing", _FLOAT),
)  # fmt: skip

_JOURNAL = pa.schema(
    [("instant_ns", _INT), ("stream", _TEXT), ("kind", _TEXT), ("participant", _TEXT), ("fields", _TEXT)]
)

_EQUITY = pa.schema([("instant_ns", _INT), ("equity", _FLOAT)])


def _table(records: Sequence[Any], columns: Iterable[_Column]) -> pa.Table:
    known = list(columns)
    read: Callable[[Any], tuple[Any, ...]] = attrgetter(*(where for _, _, where in known))
    rows = list(map(read, records))
    values: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(known)
    arrays = [column(each, kind) for each, (_, kind, _) in zip(values, known, strict=True)]
    return pa.Table.from_arrays(arrays, schema=pa.schema([pa.field(name, kind) for name, kind, _ in known]))


def orders_table(orders: Sequence[Order]) -> pa.Table:
    """One row per order, its request's columns beside its own."""
    return _table(orders, _ORDERS)


def fills_table(fills: Sequence[Fill]) -> pa.Table:
    """One row per fill."""
    return _table(fills, _FILLS)


def trades_table(trades: Sequence[Trade]) -> pa.Table:
    """One row per closed trade."""
    return _table(trades, _TRADES)


def equity_table(instants_ns: IntArray, equity: FloatArray) -> pa.Table:
    """One row per sample, columns `instant_ns` and `equity`."""
    return pa.Table.from_arrays([column(instants_ns, _INT), column(equity, _FLOAT)], schema=_EQUITY)


def journal_rows(records: Iterable[JournalRecord]) -> list[tuple[int, str, str, str, str]]:
    """The journal as the rows that are stored: `fields` is a JSON object, names in their order, floats exact."""
    entries = list(records)
    return [(*entry[:4], text) for entry, text in zip(entries, fields_texts(entries), strict=True)]


def journal_table(records: Iterable[JournalRecord]) -> pa.Table:
    """One row per outcome record, in digest order."""
    entries = list(records)
    columns: list[Sequence[Any]] = list(zip(*entries, strict=True)) if entries else [()] * len(_JOURNAL)
    columns[-1] = fields_texts(entries)
    arrays = [column(each, kind) for each, kind in zip(columns, _JOURNAL.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_JOURNAL)


def read_journal(path: Path) -> list[JournalRecord]:
    """The records of a stored `journal.parquet`, equal to the ones that were written.

    Raises:
        DataError: the file is missing or is no journal.
    """
    try:
        # Opened as a single file: a folder named like `key=value` on the way would otherwise become a column.
        with pq.ParquetFile(path) as file:
            table = file.read()
        columns = [table.column(name).to_pylist() for name in _JOURNAL.names]
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"expected the journal of a run at {path}, found: {error}", path=str(path)) from None
    return [
        JournalRecord(instant, stream, kind, participant, tuple(map(_value, json.loads(fields).values())))
        for instant, stream, kind, participant, fields in zip(*columns, strict=True)
    ]


def _value(stored: Any) -> Any:
    return float(stored["float"]) if isinstance(stored, dict) else stored


#: How the columns of a type are laid out in a file.
_ENCODINGS = {_FLOAT: "BYTE_STREAM_SPLIT", _INT: "DELTA_BINARY_PACKED"}


def write_table(table: pa.Table, path: Path) -> str:
    """Write a table as Parquet: the same table gives the same bytes with the same version of pyarrow.

    Returns:
        The SHA-256 of the file.
    """
    made = pa.BufferOutputStream()
    pq.write_table(
        table,
        made,
        compression="zstd",
        compression_level=1,
        version="2.6",
        row_group_size=262_144,
        write_statistics=True,
        # Hardly any number comes twice: without dictionaries, the bytes of prices apart and instants as steps, a curve
        # takes a third of the room and a fraction of the time.
        use_dictionary=False,
        column_encoding={field.name: _ENCODINGS.get(field.type, "PLAIN") for field in table.schema},
        store_schema=True,
    )
    content = memoryview(made.getvalue())
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
