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
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
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
from src.research.validation.ports import Status

__all__ = ["ValidationRow", "VerdictRow", "check_target", "export_verdicts", "write_verdicts"]

# Another validation takes a moment to be written, and whoever waits has nothing better to do.
_LOCK_SECONDS = 600.0
_READ_SECONDS = 60.0

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
        Whether anything changed; if not, the file was opened for reading alone.

    Raises:
        DataError: the file cannot be written or is no database of verdicts, or somebody holds it for too long; nothing
            was stored then.
        InternalError: a candidate comes twice, or a number is not finite.
    """
    incoming = _table(validation, rows)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path, lock_seconds):
            if path.exists() and not _differs(path, validation, incoming):
                return False
            if not path.exists():
                create(path, _KIND)
            with connected(path, read_only=False) as connection:
                check_version(connection, path, _KIND)
                with transaction(connection):
                    _write(connection, validation, incoming)
                connection.execute("CHECKPOINT")
    except (OSError, duckdb.Error) as error:
        reason = error.strerror or error if isinstance(error, OSError) else first_line(error)
        raise DataError(
            f"writing the verdicts of {validation.name} to {path} failed and nothing of it was stored: {reason}; when "
            "that is mended, --resume stores them and judges nothing again",
            path=str(path),
        ) from error
    return True


def export_verdicts(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, in an order that is a function of the rows.

    Raises:
        DataError: there is no such file, or it is no database of verdicts.
    """
    if not path.is_file():
        raise DataError(f"there are no verdicts at {path}; run a validation first", path=str(path))
    exported = {}
    try:
        with locked(path, _READ_SECONDS, may_lack=True), connected(path, read_only=True) as connection:
            check_version(connection, path, _KIND)
            for table, keys in _KEYS.items():
                columns = _KIND.tables[table]
                found = connection.execute(f"SELECT {listed(columns)} FROM {table} ORDER BY {listed(keys)}").fetchall()
                exported[table] = [dict(zip(columns, row, strict=True)) for row in found]
    except duckdb.Error as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}", path=str(path)) from error
    return exported


def check_target(path: Path) -> None:
    """Refuse a file that no verdicts can be written to, before hours of work go into them.

    Raises:
        DataError: it is a folder or something else than a database of verdicts, or its folder cannot be written.
    """
    check_file(path, _KIND)


def _table(validation: ValidationRow, rows: Iterable[VerdictRow]) -> pa.Table:
    """The rows as `experimental_strategies` has them."""
    values: list[tuple[Any, ...]] = []
    seen: set[str] = set()
    for row in rows:
        name = writable(row.candidate_id)
        invariant(name not in seen, f"the candidate {name} was judged twice")
        seen.add(name)
        values.append((
            writable(validation.validation_id), name, row.number, row.status.value, writable(row.reason),
            writable(row.phase), _finite(row.p_value), _finite(row.adjusted), _json(row.labels), _json(row.given),
            _json(row.figures),
        ))  # fmt: skip
    columns: Sequence[Sequence[Any]] = list(zip(*values, strict=True)) or [()] * len(_EXPERIMENTAL)
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


def _differs(path: Path, validation: ValidationRow, incoming: pa.Table) -> bool:
    """Whether writing would change anything; the file is open for reading alone."""
    with connected(path, read_only=True) as connection:
        check_version(connection, path, _KIND)
        known = connection.execute(
            f"SELECT {listed(_VALIDATIONS)} FROM validations WHERE validation_id = ?",
            [writable(validation.validation_id)],
        ).fetchall()
        if known != [_stored(validation)]:
            return True
        connection.register("incoming", incoming)
        questions = (_CHANGED_VERDICTS, _LEAVING_SETUPS, _COMING_SETUPS)
        return any(connection.execute(f"SELECT 1 FROM ({each}) LIMIT 1").fetchall() for each in questions)


def _other(left: str, right: str, columns: Iterable[str]) -> str:
    """SQL: whether two rows differ in any of these columns; two nulls are the same."""
    return " OR ".join(f"{left}.{quoted(name)} IS DISTINCT FROM {right}.{quoted(name)}" for name in columns)


# Rows that came in and do not stand like that already.
_CHANGED_VERDICTS = f"""
    SELECT incoming.* FROM incoming LEFT JOIN experimental_strategies AS old USING (validation_id, candidate_id)
    WHERE old.candidate_id IS NULL OR {_other("incoming", "old", ("number", "status", *_VERDICT))}
"""
# Setups that a verdict takes out or replaces.
_LEAVING_SETUPS = f"""
    SELECT old.* FROM validated_setups AS old JOIN incoming ON incoming.candidate_id = old.candidate_id
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


def _write(connection: duckdb.DuckDBPyConnection, validation: ValidationRow, incoming: pa.Table) -> None:
    connection.register("incoming", incoming)
    stored = _stored(validation)
    connection.execute("DELETE FROM validations WHERE validation_id = ?", [stored[0]])
    connection.execute(f"INSERT INTO validations VALUES ({', '.join('?' * len(stored))})", list(stored))
    for table, question in (
        ("changed", _CHANGED_VERDICTS), ("leaving", _LEAVING_SETUPS), ("coming", _COMING_SETUPS),
    ):  # fmt: skip
        connection.execute(f"CREATE TEMP TABLE {table} AS {question}")
    _keep(
        connection,
        "SELECT old.* FROM experimental_strategies AS old JOIN changed USING (validation_id, candidate_id) "
        f"WHERE old.status <> 'ERROR' AND ({_other('changed', 'old', ('status', *_VERDICT))})",
    )
    _keep(connection, "SELECT *, 'PASS' AS status FROM leaving")
    connection.execute(
        "DELETE FROM experimental_strategies WHERE (validation_id, candidate_id) IN "
        "(SELECT (validation_id, candidate_id) FROM changed)"
    )
    connection.execute("DELETE FROM validated_setups WHERE candidate_id IN (SELECT candidate_id FROM leaving)")
    for table, new in (("experimental_strategies", "changed"), ("validated_setups", "coming")):
        columns, keys = listed(_KIND.tables[table]), listed(_KEYS[table])
        connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {new} ORDER BY {keys}")


def _keep(connection: duckdb.DuckDBPyConnection, verdicts: str) -> None:
    """Append verdicts, one for each candidate, to the history, but those that stand last there already."""
    own = ", ".join(f"given_way.{quoted(name)}" for name in ("validation_id", "status", *_VERDICT))
    connection.execute(
        f"INSERT INTO verdict_history ({listed(_HISTORY)}) "
        f"SELECT given_way.candidate_id, coalesce(last.place + 1, 0), {own} FROM ({verdicts}) AS given_way LEFT JOIN "
        "(SELECT * FROM verdict_history QUALIFY row_number() OVER (PARTITION BY candidate_id ORDER BY place DESC) = 1) "
        f"AS last USING (candidate_id) WHERE last.candidate_id IS NULL "
        f"OR {_other('given_way', 'last', ('validation_id', 'status', *_VERDICT))} ORDER BY given_way.candidate_id"
    )
