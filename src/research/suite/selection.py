"""The runs of a results database that somebody asks about, as one wide table: labels, figures, trials.

One row for each run that a manifest lists. A condition in SQL chooses among them; the file is open for reading alone
and no other file is within reach. What is computed here and not stored is what changes while the runs stay the same:
how often somebody has tried on their data, and what their Sharpe ratios are worth therefore. Called by one thread.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from src.backtesting.artifacts.trial_ledger import Trial, daily_sharpe, read_trials
from src.core.errors import ConfigError
from src.core.record import record
from src.core.texts import writable
from src.core.words import meant
from src.data.connection import first_line
from src.research.deflated_sharpe import TrialBook, deflated_sharpe
from src.research.suite.results_file import METRIC_COLUMNS, Schema, listed, open_results, quoted

__all__ = ["ABOUT", "FIGURES", "Selection", "select_runs"]

#: What each row says besides labels and figures.
ABOUT = (
    "suite", "suite_id", "position", "name", "run_id", "status", "error", "digest", "fingerprint", "series", "start_ns",
    "end_ns",
)  # fmt: skip
_JUDGED: Schema = {"run_id": pa.string(), "trials": pa.int64(), "deflated_sharpe": pa.float64()}
#: The figures of a row: those of the run, and what follows from how often somebody has tried.
FIGURES = (*METRIC_COLUMNS, "trials", "deflated_sharpe")

#: More rows than any database has.
_MOST_ROWS = 2**62


@record
class Selection:
    """Rows to be looked at, while their database is open.

    Attributes:
        rows: their table; `columns` are its columns.
        labels: for each label the column that holds it: of the same name, unless something else has that.
        reserved: words, in small letters, that are part of SQL and stand in quotes where a column is called so.
    """

    rows: duckdb.DuckDBPyRelation
    labels: dict[str, str]
    columns: tuple[str, ...]
    reserved: frozenset[str] = frozenset()

    def column(self, word: str, option: str, *, label: bool = False) -> str:
        """The column that somebody means by a word: as in a condition a figure, and a label where there is none.

        Args:
            label: a label is asked for, so that of two of one name it is meant.

        Raises:
            ConfigError: none, or several that differ in capitals only.
        """
        own = self.labels.get(word, word)
        for found in (own, word) if label else (word, own):
            if found in self.columns:
                return found
        alike = [column for column in self.columns if column.lower() == word.lower()]
        if len(alike) == 1:
            return alike[0]
        raise ConfigError(
            f"{option}: expected one of the columns, found {word!r}{meant(word, self.columns)}\n{self.known()}"
        )

    def known(self) -> str:
        """The columns, in lines for people."""
        labels = ", ".join(
            each if each.isidentifier() and each.lower() not in self.reserved else quoted(each)
            for each in self.labels.values()
        )
        about = ", ".join(ABOUT)
        return f"labels: {labels or 'none'}\nfigures: {', '.join(FIGURES)}\nbesides: {about}"

    def fetch(self, columns: Sequence[str], order: str, top: int | None = None) -> list[tuple[Any, ...]]:
        """The rows in an order that decides between any two of them."""
        ordered = self.rows.order(order)
        return (ordered if top is None else ordered.limit(min(top, _MOST_ROWS))).select(listed(columns)).fetchall()

    def varying(self) -> tuple[str, ...]:
        """The labels that are not the same in all rows."""
        if not self.labels:
            return ()
        counts = ", ".join(f"count(DISTINCT {quoted(each)}), count({quoted(each)})" for each in self.labels.values())
        total, *found = self.rows.aggregate(f"count(*), {counts}").fetchall()[0]
        pairs = zip(self.labels, found[::2], found[1::2], strict=True)
        return tuple(label for label, different, present in pairs if different > 1 or 0 < present < total)


@contextmanager
def select_runs(
    path: Path, *, where: str | None = None, suite: str | None = None, ledger: Path | None = None
) -> Iterator[Selection]:
    """The rows for which a condition holds; the database is open meanwhile.

    Args:
        where: a condition in SQL over the columns, such as `trades > 50 AND fast < slow`; all rows by default.
        suite: the name of a suite, or the beginning of its id; all suites by default.
        ledger: the trial ledger; trials are those of the database alone where there is none.

    Raises:
        ConfigError: no such suite, or no condition.
        DataError: the database or the ledger cannot be read.
    """
    with open_results(path) as connection:
        chosen = _suites(connection, suite)
        labels = _labels(connection, chosen)
        _judge(connection, ledger)
        rows = connection.sql(_query(list(labels.values())))
        words = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
        reserved = frozenset(word for (word,) in connection.execute(words).fetchall())
        selection = Selection(rows=rows, labels=labels, columns=tuple(rows.columns), reserved=reserved)
        if where is not None:
            try:
                kept = rows.filter(where)
                kept.limit(1).fetchall()  # some mistakes show when it is worked out
                kept.aggregate("count(*)").fetchall()
            except duckdb.Error as error:
                raise ConfigError(
                    f'where: expected a condition in SQL such as "trades > 50", found {where!r}: '
                    f"{first_line(error)}\n{selection.known()}"
                ) from None
            selection = dataclasses.replace(selection, rows=kept)
        yield selection


def _suites(connection: duckdb.DuckDBPyConnection, suite: str | None) -> list[str]:
    """The ids of the suites that are looked at."""
    known = connection.execute("SELECT suite_id, name FROM suites ORDER BY name, suite_id").fetchall()
    chosen = [one for one, name in known if suite is None or suite == name or (suite and one.startswith(suite))]
    if suite is not None and not chosen:
        names = ", ".join(f"{name} ({one[:12]})" for one, name in known)
        raise ConfigError(f"suite: expected a suite of this database, found {suite!r}; there are: {names or 'none'}")
    connection.register("chosen_ids", pa.table({"suite_id": pa.array(chosen, type=pa.string())}))
    connection.execute("CREATE TEMP TABLE chosen AS SELECT suite_id FROM chosen_ids")
    connection.unregister("chosen_ids")
    return chosen


def _labels(connection: duckdb.DuckDBPyConnection, chosen: Sequence[str]) -> dict[str, str]:
    """Make the table of labels, a column each, and say which column holds which."""
    rows = connection.execute(
        "SELECT suite_id, position, labels FROM suite_runs WHERE suite_id IN (FROM chosen) ORDER BY suite_id, position"
    ).fetchall()
    parsed = [json.loads(text) for _, _, text in rows]
    names = dict.fromkeys(name for labels in parsed for name in labels)
    columns: dict[str, str] = {}  # by label
    taken = {each.lower() for each in (*ABOUT, *FIGURES)}
    for name in names:
        column = writable(name) or "label"
        while column.lower() in taken:
            column = f"label_{column}"
        taken.add(column.lower())
        columns[name] = column
    arrays = {column: _typed([labels.get(name) for labels in parsed]) for name, column in columns.items()}
    made = pa.table(
        {
            "suite_id": pa.array([row[0] for row in rows], type=pa.string()),
            "position": pa.array([row[1] for row in rows], type=pa.int64()),
            **arrays,
        }
    )
    connection.register("label_rows", made)
    connection.execute("CREATE TEMP TABLE label_values AS SELECT * FROM label_rows")
    connection.unregister("label_rows")
    return columns


def _typed(values: list[Any]) -> pa.Array:
    """A column of labels: whole numbers, numbers, truth values where all are; otherwise their texts."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pa.array(values, type=pa.int64())
    if kinds and kinds <= {int, float}:
        with suppress(OverflowError):
            return pa.array([None if value is None else float(value) for value in values], type=pa.float64())
    if kinds == {bool}:
        return pa.array(values, type=pa.bool_())
    return pa.array([_text(value) for value in values], type=pa.string())


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return writable("+".join(value))
    return json.dumps(value, sort_keys=True)


def _judge(connection: duckdb.DuckDBPyConnection, ledger: Path | None) -> None:
    """Make the table of what each run is worth, given all that was tried on its data."""
    columns = (
        "run_id", "configuration_hash", "series", "start_ns", "end_ns", "sharpe", "days_per_year", "days", "skew",
        "kurtosis",
    )  # fmt: skip
    rows = connection.execute(
        f"SELECT {listed(columns)} FROM runs JOIN metrics USING (run_id) ORDER BY run_id"
    ).fetchall()
    own = [
        Trial(
            run_id=run_id, configuration_hash=chosen, series=tuple((one, source) for one, source in json.loads(series)),
            start_ns=start_ns, end_ns=end_ns, sharpe=daily_sharpe(sharpe, days_per_year or 0.0), days=days or 0,
            skew=skew, kurtosis=kurtosis,
        )
        for run_id, chosen, series, start_ns, end_ns, sharpe, days_per_year, days, skew, kurtosis in rows
    ]  # fmt: skip
    # What is stored here was tried, whatever became of the ledger; what the ledger says of it is at least as new.
    book = TrialBook([*own, *(read_trials(ledger) if ledger is not None else ())])
    judged: list[tuple[str, int, float | None]] = []
    for trial in own:
        attempts = book.of(trial.series, trial.start_ns, trial.end_ns)
        worth = deflated_sharpe(
            trial.sharpe, trial.days, trial.skew, trial.kurtosis, attempts.count, attempts.sharpe_variance
        )
        judged.append((trial.run_id, attempts.count, worth))
    arrays = [pa.array([row[place] for row in judged], type=kind) for place, kind in enumerate(_JUDGED.values())]
    connection.register("judged_rows", pa.Table.from_arrays(arrays, names=list(_JUDGED)))
    connection.execute("CREATE TEMP TABLE judged AS SELECT * FROM judged_rows")
    connection.unregister("judged_rows")


def _query(labels: Sequence[str]) -> str:
    values = "".join(f", label_values.{quoted(each)}" for each in labels)
    figures = ", ".join(f"metrics.{quoted(each)}" for each in METRIC_COLUMNS)
    # A run that failed in one suite may have got to its end in another: here it has no figures then.
    return f"""
        SELECT suites.name AS suite, listed.suite_id, listed.position, listed.name, listed.run_id, listed.status,
            listed.error, runs.digest, runs.fingerprint, runs.series, runs.start_ns, runs.end_ns, {figures},
            judged.trials, judged.deflated_sharpe{values}
        FROM suite_runs AS listed
        JOIN suites ON suites.suite_id = listed.suite_id
        JOIN label_values ON label_values.suite_id = listed.suite_id AND label_values.position = listed.position
        LEFT JOIN runs ON runs.run_id = listed.run_id AND runs.outcome = listed.status
        LEFT JOIN metrics ON metrics.run_id = runs.run_id
        LEFT JOIN judged ON judged.run_id = metrics.run_id
    """
