"""The database of verdicts: what became of the candidates of all validations, in one DuckDB file.

What a validation has found is written in one transaction under a lock beside the file; killed on the way it leaves
nothing, and where nothing changes no byte does. Rows are a function of the validations and of their order: no clock is
read. Only candidates that were processed are touched. Called by one thread of a process, by any number of processes at
once.

Tables: `validations`; `experimental_strategies`, the last word of each validation on each of its candidates;
`validated_setups`, the candidates whose last verdict, of whichever validation, is PASS; `verdict_history`, the verdicts
that gave way to others in either, numbered for each candidate.
"""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from src.core.errors import DataError, InternalError, invariant
from src.core.record import record
from src.core.texts import writable
from src.data.connection import first_line
from src.research.suite.results_file import (
    FileKind,
    Schema,
    check_version,
    connected,
    create,
    listed,
    locked,
    quoted,
    transaction,
)
from src.research.suite.results_file import check_target as check_file
from src.research.validation.packed import Packed, packed_values
from src.research.validation.ports import Status

__all__ = ["ValidationRow", "VerdictRow", "check_target", "export_verdicts", "read_verdicts", "write_verdicts"]

Result = TypeVar("Result")

# Another validation takes a moment to be written, and whoever waits has nothing better to do.
_LOCK_SECONDS = 600.0
_READ_SECONDS = 60.0
#: So many rows are looked at together, or as many as have so many letters.
_ROWS_AT_ONCE, _LETTERS_AT_ONCE = 1_024, 2 << 20
#: What the engine may hold; what a transaction changes beyond that goes to the disk. It looks at thousands of rows
#: together, so where these are so wide that they have no room, it is given more and begins again.
_MEMORY = ("32MB", "512MB", "80%")
#: The engine writes rows to the disk, inside a transaction too, as soon as so many stand together. The smaller the less
#: it holds, and the larger the file.
_ROWS_TOGETHER = 8_192
#: What the file is called in the engine.
_FILE = "kept"

_TEXT, _INT, _FLOAT, _TRUTH = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_VALIDATIONS: Schema = {
    "validation_id": _TEXT, "name": _TEXT, "kind": _TEXT, "method": _TEXT, "level": _FLOAT, "family_size": _INT,
    "family_hash": _TEXT, "cutoff_ns": _INT, "synthetic": _TRUTH,
}  # fmt: skip
# What a verdict is, wherever it stands; `labels`, `given` and `figures` are JSON.
_VERDICT: Schema = {
    "reason": _TEXT, "phase": _TEXT, "p_value": _FLOAT, "adjusted": _FLOAT, "labels": _TEXT, "given": _TEXT,
    "figures": _TEXT,
}  # fmt: skip
_EXPERIMENTAL: Schema = {
    "validation_id": _TEXT, "candidate_id": _TEXT, "number": _INT, "status": _TEXT, **_VERDICT,
}  # fmt: skip
_SETUPS: Schema = {"candidate_id": _TEXT, "validation_id": _TEXT, **_VERDICT}
_HISTORY: Schema = {"candidate_id": _TEXT, "place": _INT, "validation_id": _TEXT, "status": _TEXT, **_VERDICT}

_KIND = FileKind(
    what="verdicts", version_table="verdicts_version", version=1,
    tables={
        "validations": _VALIDATIONS, "experimental_strategies": _EXPERIMENTAL, "validated_setups": _SETUPS,
        "verdict_history": _HISTORY,
    },
    otherwise="move this one away, or give the validation another folder for runs",
)  # fmt: skip
#: What makes a row the only one of its kind; also the order in which rows are told.
_KEYS = {
    "validations": ("validation_id",), "experimental_strategies": ("validation_id", "candidate_id"),
    "validated_setups": ("candidate_id",), "verdict_history": ("candidate_id", "place"),
}  # fmt: skip


@record
class ValidationRow:
    """A validation as a whole; one of the same id takes the place of a stored one.

    Attributes:
        kind: `validation` with a discovery cut-off, else `stability`.
        method, level: of the correction for many hypotheses; None without one.
        family_size, family_hash: of the hypotheses that it was fixed for; None without one.
        synthetic: whether a generator made the candidates.
    """

    validation_id: str
    name: str
    kind: str
    method: str | None
    level: float | None
    family_size: int | None
    family_hash: str | None
    cutoff_ns: int | None
    synthetic: bool


@record
class VerdictRow:
    """What became of one candidate.

    Attributes:
        phase: the one that decided; empty of a PASS.
        labels, given: see `Candidate`.
        figures: plain values of any depth, in a fixed order.
    """

    candidate_id: str
    number: int
    status: Status
    reason: str
    phase: str
    p_value: float | None
    adjusted: float | None
    labels: tuple[tuple[str, Any], ...] = ()
    given: tuple[tuple[str, Any], ...] = ()
    figures: tuple[tuple[str, Any], ...] = ()


def write_verdicts(
    path: Path, validation: ValidationRow, rows: Iterable[VerdictRow], *, lock_seconds: float = _LOCK_SECONDS
) -> bool:
    """Store what a validation has found, all or nothing.

    Of each candidate among the rows: its row of this validation is replaced; a PASS stands in `validated_setups` from
    now on, in place of what another validation said, and a REJECT or SKIP takes it out. What gave way is appended to
    `verdict_history`, unless it is what stands last there. ERROR is no verdict: it takes nothing out of
    `validated_setups` and is not kept as history. Candidates that are not among the rows stay as they are.

    Args:
        path: the database; it is made when absent, its folder too.
        rows: each candidate once.

    Returns:
        Whether anything changed; if not, the file was opened for reading alone, but where somebody who was killed has
        left something beside it, which is cleared away.

    Raises:
        DataError: the file cannot be written or is no database of verdicts, or somebody holds it for too long; nothing
            was stored then.
        InternalError: a candidate comes twice, or a number is not finite.
    """
    incoming = _kept(validation, rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path, lock_seconds):
            news = not path.exists() or _differs(path, validation, incoming)
            if not news and not any(each.exists() for each in _left_overs(path)):
                return False
            if not path.exists():
                create(path, _KIND)
            try:
                _with_room(lambda memory: _store(path, validation, incoming, memory))
            except duckdb.Error:
                # What was committed stands in the log beside the file, even if that could not be brought into the file.
                if _differs(path, validation, incoming):
                    raise
    except (OSError, duckdb.Error) as error:
        reason = error.strerror or error if isinstance(error, OSError) else first_line(error)
        raise DataError(
            f"writing the verdicts of {validation.name} to {path} failed and nothing of it was stored: {reason}; when "
            "that is mended, --resume stores them and judges nothing again",
            path=str(path),
        ) from error
    return news


def export_verdicts(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, in an order that is a function of the rows.

    Raises:
        DataError: there is no such file, or it is no database of verdicts.
    """
    if not path.is_file():
        raise DataError(f"there are no verdicts at {path}; run a validation first", path=str(path))
    try:
        with locked(path, _READ_SECONDS, may_lack=True):
            return _with_room(lambda memory: _exported(path, memory))
    except duckdb.Error as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}", path=str(path)) from error


def read_verdicts(path: Path, validation_id: str) -> Iterator[dict[str, Any]]:
    """The last word of a validation on each of its candidates, in their order; JSON is plain values again.

    Raises:
        DataError: there is no such file, it is no database of verdicts, or it knows no such validation.
    """
    if not path.is_file():
        raise DataError(f"there are no verdicts at {path}; run the validation again", path=str(path))
    columns = ("candidate_id", "number", "status", *_VERDICT)
    try:
        with locked(path, _READ_SECONDS, may_lack=True), connected(path, read_only=True) as connection:
            check_version(connection, path, _KIND)
            found = connection.execute(
                f"SELECT {listed(columns)} FROM experimental_strategies WHERE validation_id = ? ORDER BY number",
                [writable(validation_id)],
            )
            known = False
            while some := found.fetchmany(_ROWS_AT_ONCE):
                known = True
                for row in some:
                    told = dict(zip(columns, row, strict=True))
                    yield {**told, **{name: json.loads(told[name]) for name in ("labels", "given", "figures")}}
    except duckdb.Error as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}", path=str(path)) from error
    if not known:
        raise DataError(
            f"expected verdicts of the validation {validation_id} in {path}, found none; run it again", path=str(path)
        )


def check_target(path: Path) -> None:
    """Refuse a file that no verdicts can be written to, before hours of work go into them.

    Raises:
        DataError: it is a folder or something else than a database of verdicts, or its folder cannot be written.
    """
    check_file(path, _KIND)


def _left_overs(path: Path) -> tuple[Path, Path]:
    """What stands beside the file only while somebody writes it: the log, and what has no room in memory."""
    return path.with_name(path.name + ".wal"), path.with_name(path.name + ".tmp")


def _with_room(work: Callable[[str], Result]) -> Result:
    """What `work` makes with little memory, or, where that is not enough, with more."""
    for memory in _MEMORY[:-1]:
        try:
            return work(memory)
        except duckdb.Error as error:
            if not _lacks_memory(error):
                raise
    return work(_MEMORY[-1])


def _lacks_memory(error: duckdb.Error) -> bool:
    # Where it happens at the end of a transaction or in a checkpoint, the engine says so in the text alone.
    return isinstance(error, duckdb.OutOfMemoryException) or "memory_limit" in str(error)


@contextmanager
def _opened(path: Path, memory: str, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file, open until the block ends in an engine that holds little of it, however many verdicts there are."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": memory,
        "temp_directory": str(_left_overs(path)[1]),
    }
    connection = duckdb.connect(":memory:", config=config)
    try:
        name, mode = str(path).replace("'", "''"), "READ_ONLY, " if read_only else ""
        connection.execute(f"ATTACH '{name}' AS {_FILE} ({mode}TYPE duckdb, ROW_GROUP_SIZE {_ROWS_TOGETHER})")
        connection.execute(f"USE {_FILE}")
        yield connection
    finally:
        connection.close()


def _kept(validation: ValidationRow, rows: Iterable[VerdictRow]) -> Packed[Any]:
    """The rows as `experimental_strategies` has them."""
    values, seen = packed_values(), array("q")
    for row in rows:
        name = writable(row.candidate_id)
        seen.append(hash(name))
        told = (
            writable(validation.validation_id), name, row.number, row.status.value, writable(row.reason),
            writable(row.phase), _finite(row.p_value), _finite(row.adjusted), _json(row.labels), _json(row.given),
            _json(row.figures),
        )  # fmt: skip
        values.append(told)
    if len(np.unique(np.array(seen))) < len(seen):  # hashes take less memory than names
        names = Counter(name for _, name, *_ in values)
        twice = min((name for name, count in names.items() if count > 1), default=None)
        invariant(twice is None, f"the candidate {twice} was judged twice")
    return values


def _tables(incoming: Iterable[tuple[Any, ...]]) -> Iterator[pa.Table]:
    """The rows some at a time, because the engine holds each several times over."""
    some, letters = list[tuple[Any, ...]](), 0
    for row in incoming:
        some.append(row)
        letters += sum(len(each) for each in row if isinstance(each, str))
        if len(some) >= _ROWS_AT_ONCE or letters >= _LETTERS_AT_ONCE:
            yield _table(some)
            some, letters = [], 0
    if some:
        yield _table(some)


def _table(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True)
    arrays = [pa.array(column, type=kind) for column, kind in zip(columns, _EXPERIMENTAL.values(), strict=True)]
    return pa.Table.from_arrays(arrays, names=list(_EXPERIMENTAL))


def _finite(value: float | None) -> float | None:
    invariant(value is None or abs(value) < float("inf"), f"expected a finite number for a verdict, found {value}")
    return value


def _json(pairs: tuple[tuple[str, Any], ...]) -> str:
    try:
        return json.dumps(dict(pairs), allow_nan=False)  # ASCII, so that anything can be stored
    except ValueError:
        raise InternalError(f"expected finite numbers for a verdict, found {pairs!r}") from None


def _stored(validation: ValidationRow) -> tuple[Any, ...]:
    values = [getattr(validation, name) for name in _VALIDATIONS]
    return tuple(writable(each) if isinstance(each, str) else each for each in values)


def _exported(path: Path, memory: str) -> dict[str, list[dict[str, Any]]]:
    exported = {}
    with _opened(path, memory, read_only=True) as connection:
        check_version(connection, path, _KIND)
        for table, keys in _KEYS.items():
            columns = _KIND.tables[table]
            found = connection.execute(f"SELECT {listed(columns)} FROM {table} ORDER BY {listed(keys)}").fetchall()
            exported[table] = [dict(zip(columns, row, strict=True)) for row in found]
    return exported


def _store(path: Path, validation: ValidationRow, incoming: Packed[Any], memory: str) -> None:
    """Write everything in one transaction; once more does nothing."""
    with _opened(path, memory, read_only=False) as connection:
        check_version(connection, path, _KIND)
        rmtree(_left_overs(path)[1], ignore_errors=True)  # the file is open, so that it is nobody's any more
        with transaction(connection):
            _write_validation(connection, validation)
            for some in _tables(incoming):
                _write(connection, some)
        connection.execute("CHECKPOINT")


def _differs(path: Path, validation: ValidationRow, incoming: Packed[Any]) -> bool:
    """Whether writing would change anything; the file is open for reading alone."""
    return _with_room(lambda memory: _finds_news(path, validation, incoming, memory))


def _finds_news(path: Path, validation: ValidationRow, incoming: Packed[Any], memory: str) -> bool:
    with _opened(path, memory, read_only=True) as connection:
        check_version(connection, path, _KIND)
        known = connection.execute(
            f"SELECT {listed(_VALIDATIONS)} FROM validations WHERE validation_id = ?",
            [writable(validation.validation_id)],
        ).fetchall()
        if known != [_stored(validation)]:
            return True
        return any(_brings_news(connection, some) for some in _tables(incoming))


# In what follows the engine reads Arrow tables by the names of Python's variables. What is registered, or stands in a
# temporary table, is not let go before the transaction ends.


def _brings_news(connection: duckdb.DuckDBPyConnection, incoming: pa.Table) -> bool:
    for question in (_CHANGED_VERDICTS, _LEAVING_SETUPS, _COMING_SETUPS):
        if connection.execute(f"SELECT 1 FROM ({question}) LIMIT 1").fetchall():
            return True
    return False


def _other(left: str, right: str, columns: Iterable[str]) -> str:
    """SQL: whether two rows differ in any of these columns; two nulls are the same."""
    return " OR ".join(f"{left}.{quoted(name)} IS DISTINCT FROM {right}.{quoted(name)}" for name in columns)


# Rows that came in and do not stand like that already; only what tells them apart.
_CHANGED_VERDICTS = f"""
    SELECT incoming.validation_id, incoming.candidate_id
    FROM incoming LEFT JOIN experimental_strategies AS old USING (validation_id, candidate_id)
    WHERE old.candidate_id IS NULL OR {_other("incoming", "old", ("number", "status", *_VERDICT))}
"""
# Verdicts that stand and give way to others.
_GIVEN_UP_VERDICTS = f"""
    SELECT old.* FROM incoming JOIN experimental_strategies AS old
    ON old.validation_id = incoming.validation_id AND old.candidate_id = incoming.candidate_id
    WHERE old.status <> 'ERROR' AND ({_other("incoming", "old", ("status", *_VERDICT))})
"""
# Setups that a verdict takes out or replaces.
_LEAVING_SETUPS = f"""
    SELECT old.*, 'PASS' AS status
    FROM validated_setups AS old JOIN incoming ON incoming.candidate_id = old.candidate_id
    WHERE incoming.status <> 'ERROR'
        AND (incoming.status <> 'PASS' OR {_other("incoming", "old", ("validation_id", *_VERDICT))})
"""
# Setups that come in.
_COMING_SETUPS = f"""
    SELECT {", ".join(f"incoming.{quoted(name)}" for name in _SETUPS)}
    FROM incoming LEFT JOIN validated_setups AS old ON incoming.candidate_id = old.candidate_id
    WHERE incoming.status = 'PASS'
        AND (old.candidate_id IS NULL OR {_other("incoming", "old", ("validation_id", *_VERDICT))})
"""


def _write_validation(connection: duckdb.DuckDBPyConnection, validation: ValidationRow) -> None:
    stored = _stored(validation)
    connection.execute("DELETE FROM validations WHERE validation_id = ?", [stored[0]])
    connection.execute(f"INSERT INTO validations VALUES ({', '.join('?' * len(stored))})", list(stored))


def _write(connection: duckdb.DuckDBPyConnection, incoming: pa.Table) -> None:
    """Store some rows; what becomes of a candidate does not depend on which others are among them."""
    changed = connection.sql(_CHANGED_VERDICTS).to_arrow_table()
    given_up = connection.sql(_GIVEN_UP_VERDICTS).to_arrow_table()
    leaving = connection.sql(_LEAVING_SETUPS).to_arrow_table()
    coming = connection.sql(_COMING_SETUPS).to_arrow_table()
    for given_way in (given_up, leaving):
        _keep(connection, given_way)
    if changed.num_rows:
        connection.execute(
            "DELETE FROM experimental_strategies WHERE (validation_id, candidate_id) IN "
            "(SELECT (validation_id, candidate_id) FROM changed)"
        )
    if leaving.num_rows:
        connection.execute("DELETE FROM validated_setups WHERE candidate_id IN (SELECT candidate_id FROM leaving)")
    for table, count, new in (
        ("experimental_strategies", changed.num_rows, "incoming SEMI JOIN changed USING (validation_id, candidate_id)"),
        ("validated_setups", coming.num_rows, "coming"),
    ):
        if count:
            columns, keys = listed(_KIND.tables[table]), listed(_KEYS[table])
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {new} ORDER BY {keys}")


def _keep(connection: duckdb.DuckDBPyConnection, given_way: pa.Table) -> None:
    """Append verdicts, one for each candidate, to the history, but those that stand last there already."""
    if not given_way.num_rows:
        return
    own = ", ".join(f"given_way.{quoted(name)}" for name in ("validation_id", "status", *_VERDICT))
    connection.execute(
        f"INSERT INTO verdict_history ({listed(_HISTORY)}) "
        f"SELECT given_way.candidate_id, coalesce(last.place + 1, 0), {own} FROM given_way LEFT JOIN "
        "(SELECT * FROM verdict_history WHERE candidate_id IN (SELECT candidate_id FROM given_way) "
        "QUALIFY row_number() OVER (PARTITION BY candidate_id ORDER BY place DESC) = 1) "
        f"AS last USING (candidate_id) WHERE last.candidate_id IS NULL "
        f"OR {_other('given_way', 'last', ('validation_id', 'status', *_VERDICT))} ORDER BY given_way.candidate_id"
    )
