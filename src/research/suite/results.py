"""The database of results: what the runs of suites came to, in one DuckDB file beside the runs.

A suite is written in one transaction under a lock beside the file, after all of its runs are over; killed on the way it
leaves nothing. A run is stored once, in however many suites it is. Each row is a function of the runs and the manifest
alone: no clock, no place and no speed is in it. Called by one thread of a process, by any number of processes at once.

Tables: `suites`; `suite_runs`, a row for each run that a manifest lists; `runs`, a row for each different run;
`metrics`, the figures of the runs that got to their end, a column each; `trades`, theirs.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from src.backtesting.artifacts.trial_ledger import configuration_hash, series_read
from src.backtesting.result import Outcome
from src.core.errors import DataError
from src.core.record import record
from src.core.texts import writable
from src.data.connection import first_line
from src.research.suite.ports import RunAnswer
from src.research.suite.results_file import (
    KEYS,
    METRIC_COLUMNS,
    RESULTS,
    TABLES,
    TRADE_COLUMNS,
    listed,
    open_results,
    quoted,
    writing,
)

__all__ = ["RESULTS", "SuiteRow", "SuiteRunRow", "export_rows", "write_suite"]

# A suite with many trades takes a while to be written, and whoever waits has nothing better to do.
_LOCK_SECONDS = 600.0
_BATCH = 500
# More of them at once are hardly faster, and stand in memory beside the database's own.
_TRADES_AT_ONCE = 10_000

_ENDED = (Outcome.COMPLETED.value, Outcome.DEGRADED.value)


@record
class SuiteRow:
    """A suite as a whole.

    Attributes:
        suite_id: names what was asked for and the data; a suite of the same id takes the place of a stored one.
        outcome: COMPLETED when nothing is missing.
    """

    suite_id: str
    name: str
    outcome: str


@record
class SuiteRunRow:
    """One run that a manifest lists.

    Attributes:
        position: its place in the manifest.
        labels: what it was asked for, by short names, in their order; values are plain.
        run_id: of its row in `runs`; None where it has none.
        status: COMPLETED, DEGRADED, FAILED, or a word for a run that has no answer.
        error: the sentence of a run that did not get to its end.
    """

    position: int
    name: str
    labels: tuple[tuple[str, Any], ...]
    run_id: str | None
    status: str
    error: str = ""


def write_suite(
    path: Path,
    suite: SuiteRow,
    rows: Iterable[SuiteRunRow],
    answers: Iterable[RunAnswer],
    runs_dir: Path,
    *,
    lock_seconds: float = _LOCK_SECONDS,
) -> None:
    """Store a suite and the runs in it, all or nothing; the same suite again leaves the same rows.

    Runs that are stored already stay as they are; one that had failed gives way to one that got to its end. Rows and
    answers are taken one after the other and not kept.

    Args:
        path: the database; it is made when absent, its folder too.
        rows: what the manifest lists, each position once.
        answers: of the different runs, those without a `run_id` or a folder are left out.
        runs_dir: where the folders of the runs are.

    Raises:
        DataError: the file cannot be written or is no database of results, somebody holds it for too long, or a run's
            folder cannot be read; nothing was stored then.
    """
    try:
        with writing(path, lock_seconds) as connection:
            _write(connection, suite, rows, answers, runs_dir)
    except duckdb.Error as error:
        raise DataError(
            f"writing the results of {suite.name} to {path} failed and nothing of it was stored: {first_line(error)}; "
            "when that is mended, --resume stores them and makes no run again",
            path=str(path),
        ) from error
    except OSError as error:
        raise DataError(
            f"expected to write the results of {suite.name} to {path}, found: {error.strerror or error}; "
            "mend that or name another file, and go on with --resume, which makes no run again",
            path=str(path),
        ) from error


def export_rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, in an order that is a function of the rows.

    Raises:
        DataError: see `open_results`.
    """
    exported = {}
    with open_results(path) as connection:
        for table, keys in KEYS.items():
            order = ", ".join(map(quoted, keys))
            rows = connection.execute(f"SELECT {listed(TABLES[table])} FROM {table} ORDER BY {order}").fetchall()
            exported[table] = [dict(zip(TABLES[table], row, strict=True)) for row in rows]
    return exported


def _write(
    connection: duckdb.DuckDBPyConnection, suite: SuiteRow, rows: Iterable[SuiteRunRow],
    answers: Iterable[RunAnswer], runs_dir: Path,
) -> None:  # fmt: skip
    # Only what is this suite's own is taken away; runs may belong to others as well.
    for table in ("suites", "suite_runs"):
        connection.execute(f"DELETE FROM {table} WHERE suite_id = ?", [suite.suite_id])
    count = 0
    for batch in _batches(rows):
        count += len(batch)
        _insert(connection, "suite_runs", [_listed_run(suite.suite_id, row) for row in batch])
    _insert(connection, "suites", [(suite.suite_id, writable(suite.name), suite.outcome, count)])
    for answered in _batches(answers):
        _write_runs(connection, answered, runs_dir)


def _listed_run(suite_id: str, row: SuiteRunRow) -> tuple[Any, ...]:
    labels = json.dumps(dict(row.labels), allow_nan=False)  # ASCII, so that anything can be stored
    return suite_id, row.position, writable(row.name), row.run_id, row.status, writable(row.error), labels


def _write_runs(connection: duckdb.DuckDBPyConnection, answered: Sequence[RunAnswer], runs_dir: Path) -> None:
    fresh = _fresh(connection, answered)
    if not fresh:
        return
    connection.executemany("DELETE FROM runs WHERE run_id = ?", [[each.run_id] for each in fresh])
    _insert(connection, "runs", [_run(each, runs_dir / each.folder) for each in fresh])
    ended = [each for each in fresh if each.outcome in _ENDED]
    _insert(
        connection, "metrics", [(each.run_id, *(each.metrics.get(name) for name in METRIC_COLUMNS)) for each in ended]
    )
    waiting: list[pa.Table] = []
    for each in ended:
        waiting.append(_trades(each.run_id, runs_dir / each.folder / "trades.parquet"))
        if sum(table.num_rows for table in waiting) > _TRADES_AT_ONCE:
            _insert_table(connection, "trades", pa.concat_tables(waiting))
            waiting.clear()
    if waiting:
        _insert_table(connection, "trades", pa.concat_tables(waiting))


def _fresh(connection: duckdb.DuckDBPyConnection, answered: Sequence[RunAnswer]) -> list[RunAnswer]:
    """The answers whose runs are not stored yet, or only as ones that did not get to their end."""
    wanted: dict[str, RunAnswer] = {}
    for each in answered:
        # One that was not stored anywhere has no manifest to be read: its error stands in `suite_runs`.
        if each.run_id and each.folder and (each.run_id not in wanted or each.outcome in _ENDED):
            wanted[each.run_id] = each
    connection.register("incoming", pa.table({"run_id": pa.array(list(wanted), type=pa.string())}))
    try:
        rows = connection.execute("SELECT run_id, outcome FROM runs WHERE run_id IN (FROM incoming)").fetchall()
    finally:
        connection.unregister("incoming")
    stored = {str(run_id): str(outcome) for run_id, outcome in rows}
    return [
        each
        for run_id, each in wanted.items()
        if run_id not in stored or (stored[run_id] not in _ENDED and each.outcome in _ENDED)
    ]


def _run(answer: RunAnswer, folder: Path) -> tuple[Any, ...]:
    path = folder / "manifest.json"
    try:
        manifest: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        inputs, window = manifest["inputs"], manifest["window"]
        series = json.dumps(series_read(manifest))
        chosen = configuration_hash(inputs)
        return (
            answer.run_id, answer.outcome, answer.digest, answer.fingerprint, chosen, series,
            int(window["start_ns"]), int(window["end_ns"]),
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"expected the manifest of run {answer.run_id} at {path}, found none that can be read ({error!r}); "
            "nothing of the suite was stored: run it again",
            run_id=answer.run_id,
        ) from None


def _trades(run_id: str, path: Path) -> pa.Table:
    """The trades of a run in their order, with its id and their numbers."""
    try:
        # Opened as a single file: a folder named like `key=value` on the way would otherwise become a column.
        with pq.ParquetFile(path) as file:
            # In this thread: for small files others cost more than they bring.
            table = file.read(columns=list(TRADE_COLUMNS), use_threads=False).select(list(TRADE_COLUMNS))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(
            f"expected the trades of run {run_id} at {path}, found none that can be read ({error}); nothing of the "
            "suite was stored: run it again",
            run_id=run_id,
        ) from None
    count = table.num_rows
    own = [pa.array([run_id] * count, type=pa.string()), pa.array(range(count), type=pa.int64())]
    return pa.Table.from_arrays([*own, *table.columns], names=list(TABLES["trades"]))


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    source = iter(items)
    while batch := list(islice(source, _BATCH)):
        yield batch


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    if not rows:
        return
    schema = TABLES[table]
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, type=kind) for column, kind in zip(columns, schema.values(), strict=True)]
    _insert_table(connection, table, pa.Table.from_arrays(arrays, names=list(schema)))


def _insert_table(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    names = listed(rows.column_names)
    connection.register("incoming", rows)
    try:
        connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM incoming")
    finally:
        connection.unregister("incoming")
