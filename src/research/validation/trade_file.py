"""The working file of a validation: the trades of all candidates by number, written once, then read by many processes.

One DuckDB file, sorted, so that a few candidates are found without reading the others. It is written under another
name and renamed when it is whole; whoever reads it opens it for reading alone and has closed it again when the call
returns. The engine that reads stays with its process, because starting one takes longer than reading a few candidates.
Rows and hash are a function of the candidates. Called by one thread of a process.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from src.core.errors import DataError, invariant
from src.core.record import record
from src.data.connection import first_line
from src.research.validation.ports import Candidate, CandidateTrades, Period
from src.research.validation.sources.port import CandidateSource
from src.research.validation.trade_columns import (
    TRADE_COLUMNS,
    TradesHash,
    begin_columns,
    in_order,
    numbers_of,
    split_trades,
    trades_table,
)

__all__ = ["TradeFileInfo", "begin_reading", "end_reading", "read_info", "read_trades", "write_trade_file"]

_VERSION = 1
_WRITING, _READING = "64MB", "64MB"
#: What the file is called in the engine that reads it.
_FILE = "kept"
_SQL = {pa.string(): "VARCHAR", pa.int64(): "BIGINT", pa.float64(): "DOUBLE"}
# More of them at once are hardly faster, and stand in memory beside the database's own.
_TRADES_AT_ONCE = 50_000

#: What is not asked of every candidate.
_RARE = ("session", "side")
#: Candidates that lie so far apart are read one by one.
_FAR = 32


@record
class TradeFileInfo:
    """What a file of trades holds.

    Attributes:
        identity: of the source, see `CandidateSource.identity`.
        period: from the earliest entry to behind the latest exit of all candidates; None without a trade.
        candidates, trades: how many.
        hash: SHA-256, 64 hexadecimal characters, of the candidates and of all trades in order.
    """

    identity: str
    period: Period | None
    candidates: int
    trades: int
    hash: str


def write_trade_file(path: Path, source: CandidateSource) -> TradeFileInfo:
    """Write the trades of all candidates of a source; a file that stands there is replaced when the new one is whole.

    Args:
        path: its folder is made when absent.

    Raises:
        ConfigError, DataError: the source cannot be read, or the disk refused the file; what stood there is as it was.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _unlink(partial)
        with _writer(partial) as connection:
            info = _write(connection, source)
        partial.replace(path)
    except (OSError, duckdb.Error) as error:
        with suppress(OSError):  # what is on a full disk for nothing makes it no emptier
            _unlink(partial)
        reason = error.strerror or error if isinstance(error, OSError) else first_line(error)
        raise DataError(
            f"the trades of the candidates could not be written to {path}: {reason}; make room or name a folder you "
            "may write to, and start again",
            path=str(path),
        ) from error
    return info


def read_info(path: Path) -> TradeFileInfo | None:
    """What a file holds; None where there is none, or one that is not whole or of another version."""
    if not path.is_file():
        return None
    try:
        with _reader(path) as connection:
            rows = connection.execute(f"SELECT * FROM {_FILE}.about WHERE version = {_VERSION}").fetchall()
    except duckdb.Error:
        return None
    return _info(*rows[0][1:]) if rows else None


def read_trades(path: Path, numbers: Sequence[int], *, bare: bool = False) -> dict[int, CandidateTrades]:
    """The trades of some candidates, by number, in the order asked for.

    Args:
        numbers: see `Candidate.number`; each once. Neighbours are read fastest.
        bare: without sessions and sides, which take longer to read than everything else.

    Raises:
        DataError: the file cannot be read.
        InternalError: no candidate has such a number.
    """
    if not numbers:
        return {}
    try:
        with _reader(path) as connection:
            columns = [name for name in TRADE_COLUMNS if not bare or name not in _RARE]
            found = _read(connection, sorted(numbers), columns)
    except duckdb.Error as error:
        raise DataError(
            f"expected the trades of the candidates at {path}, found a file that cannot be read ({first_line(error)}); "
            "start the validation again, which writes it anew",
            path=str(path),
        ) from None
    absent = [number for number in numbers if number not in found]
    invariant(not absent, f"no candidate in {path} has the number {absent[:1]}", path=str(path), numbers=absent)
    return {number: found[number] for number in numbers}


def _write(connection: duckdb.DuckDBPyConnection, source: CandidateSource) -> TradeFileInfo:
    # Each insertion is committed by itself: one transaction would hold all trades in memory, and until it has its name
    # nobody knows the file.
    columns = ", ".join(f"{name} {_SQL[kind]}" for name, kind in TRADE_COLUMNS.items())
    connection.execute(f"CREATE TABLE trades (number BIGINT, {columns})")
    tally = _Tally()
    waiting: list[tuple[int, CandidateTrades]] = []
    held = 0
    for candidate, trades in source.trades():
        invariant(candidate.number == len(tally.counts), f"candidate {candidate.candidate_id} comes out of its order")
        sorted_trades = in_order(trades)
        tally.add(candidate, sorted_trades)
        waiting.append((candidate.number, sorted_trades))
        held += len(trades)
        if held >= _TRADES_AT_ONCE:
            _insert(connection, "trades", trades_table(waiting))
            waiting.clear()
            held = 0
    _insert(connection, "trades", trades_table(waiting))
    info = tally.info(source.identity())
    numbers = pa.array(range(len(tally.counts)), type=pa.int64())
    candidates = pa.table({"number": numbers, "trades": pa.array(tally.counts, type=pa.int64())})
    connection.execute("CREATE TABLE candidates (number BIGINT, trades BIGINT)")
    _insert(connection, "candidates", candidates)
    connection.execute(
        "CREATE TABLE about (version BIGINT, identity VARCHAR, start_ns BIGINT, end_ns BIGINT, candidates BIGINT, "
        "trades BIGINT, hash VARCHAR)"
    )
    period = (None, None) if info.period is None else (info.period.start_ns, info.period.end_ns)
    row = (_VERSION, info.identity, *period, info.candidates, info.trades, info.hash)
    connection.execute("INSERT INTO about VALUES (?, ?, ?, ?, ?, ?, ?)", list(row))
    connection.execute("CHECKPOINT")  # a log beside the file would not be renamed with it
    return info


class _Tally:
    """What is known of the candidates that have been seen."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self._start_ns: int | None = None
        self._end_ns: int | None = None
        self._hash = TradesHash("trades of candidates, 1")

    def add(self, candidate: Candidate, trades: CandidateTrades) -> None:
        """One more, its trades in order."""
        count = len(trades)
        self.counts.append(count)
        for name in TRADE_COLUMNS:
            values = getattr(trades, name)
            invariant(
                values is None or len(values) == count,
                f"candidate {candidate.candidate_id}: expected {count} values of {name}, as of r_net",
            )
        self._hash.add(candidate, trades)
        if count:
            start_ns, end_ns = int(trades.entry_ns.min()), int(trades.exit_ns.max()) + 1
            self._start_ns = start_ns if self._start_ns is None else min(self._start_ns, start_ns)
            self._end_ns = end_ns if self._end_ns is None else max(self._end_ns, end_ns)

    def info(self, identity: str) -> TradeFileInfo:
        """The sum of it."""
        return _info(identity, self._start_ns, self._end_ns, len(self.counts), sum(self.counts), self._hash.hexdigest())


def _info(
    identity: str, start_ns: int | None, end_ns: int | None, candidates: int, trades: int, content: str
) -> TradeFileInfo:
    period = None if start_ns is None or end_ns is None else Period(start_ns=start_ns, end_ns=end_ns)
    return TradeFileInfo(identity=identity, period=period, candidates=candidates, trades=trades, hash=content)


def _read(
    connection: duckdb.DuckDBPyConnection, numbers: Sequence[int], columns: Sequence[str]
) -> dict[int, CandidateTrades]:  # fmt: skip
    found: dict[int, CandidateTrades] = {}
    wanted = frozenset(numbers)
    for low, high in _ranges(numbers):
        # One range at a time: for a list of numbers the engine makes a join, which is slow and loses the order.
        chosen = f"number BETWEEN {low} AND {high}"
        counts = connection.execute(
            f"SELECT number, trades FROM {_FILE}.candidates WHERE {chosen} ORDER BY number"
        ).fetchall()
        # Rows come as they were inserted, which is their order.
        question = f"SELECT number, {', '.join(columns)} FROM {_FILE}.trades WHERE {chosen}"
        rows = connection.sql(question).to_arrow_table()
        told = np.repeat([number for number, _ in counts], [count for _, count in counts])
        invariant(
            np.array_equal(numbers_of(rows.column("number")), told), "the file of trades does not hold what it says"
        )
        found.update(split_trades(rows, counts, wanted))
    return found


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of the ranges to be read: what lies between two numbers is read too, unless it is far."""
    low = high = int(numbers[0])
    for each in map(int, numbers[1:]):
        if each - high > _FAR:
            yield low, high
            low = each
        high = each
    yield low, high


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    connection.register("incoming", rows)
    try:
        connection.execute(f"INSERT INTO {table} SELECT * FROM incoming")
    finally:
        connection.unregister("incoming")


@contextmanager
def _writer(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file, open for writing until the block ends."""
    connection = duckdb.connect(str(path), config={"threads": 1, "memory_limit": _WRITING})
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _reader(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The engine of this process, with the file open for reading as `_FILE` until the block ends."""
    engine = _engine()
    name = str(path).replace("'", "''")
    engine.execute(f"ATTACH '{name}' AS {_FILE} (READ_ONLY, TYPE duckdb)")
    try:
        yield engine
    finally:
        engine.execute(f"DETACH {_FILE}")


def begin_reading() -> None:
    """Start what the first reading of this process would have to wait for."""
    begin_columns()
    _engine()


def end_reading() -> None:
    """Let go of what reading holds, tens of megabytes; whoever reads again starts it anew."""
    if _engine.cache_info().currsize:
        _engine().close()
        _engine.cache_clear()


@lru_cache(maxsize=1)
def _engine() -> duckdb.DuckDBPyConnection:
    """An engine without a file of its own; between two readings it holds no file open, and it never writes one."""
    return duckdb.connect(":memory:", config={"threads": 1, "memory_limit": _READING, "temp_directory": ""})


def _unlink(partial: Path) -> None:
    for left in (partial, partial.with_name(partial.name + ".wal")):
        left.unlink(missing_ok=True)
