"""Candidates from a table of trades from elsewhere: a CSV or Parquet file with one row for each closed trade.

The table is read once, in pieces, checked, and sorted on the disk, in a folder of its own that goes when the source
goes; the trades of a few candidates are in memory at a time. Rows in another order, another name of the file, CSV
instead of Parquet: the candidates stay the same. Called by one thread.
"""

import math
import re
import shutil
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from src.backtesting.artifacts.trial_ledger import Trial
from src.core.errors import DataError, InternalError
from src.data.connection import first_line
from src.research.validation.family import DataSet
from src.research.validation.packed import packed_candidates, temporary_folder
from src.research.validation.ports import Candidate, CandidateTrades, Period
from src.research.validation.sources.rows import TableRows
from src.research.validation.trade_columns import TRADE_COLUMNS, TradesHash, split_trades

__all__ = ["TableSource"]

_MEMORY = "128MB"
_TRADES_AT_ONCE = 50_000
# As numbers are written; `007` is none.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?")
# Two trades that are equal in all of these are the same for every purpose, so that this is one order only.
_ORDER = "entry_ns, exit_ns, r_net, cost_r, atr, session, side"


class TableSource:
    """See the module. The columns of a table, in any order:

    - `candidate`: its id, a text: `007` is not `7`.
    - `entry_ns`, `exit_ns`: whole nanoseconds since 1970 UTC.
    - `r_net`: profit after all costs in units of the initial risk.
    - `cost_r`: what the costs took of it; it may be empty or absent. So may `atr`, and `side`, which is long or short,
      buy or sell, 1 or -1. Each counts for a candidate only if all of its rows have it.
    - `session`: a name; it may be empty or absent.
    - every other: a value that was computed already. It is the same in all rows of a candidate, and given on.

    Equal rows are as many trades: two of the same size at the same time are possible.

    Args:
        path: the file; nothing is read yet.
    """

    synthetic = False
    period: Period | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder: Path | None = None
        self._candidates: Sequence[Candidate] = ()
        self._counts = array("q")
        self._identity = ""

    @property
    def label(self) -> str:
        """The name of the file."""
        return f"the trades in {self._path.name}"

    def identity(self) -> str:
        """See `CandidateSource`: of the rows as they were understood."""
        if not self._identity:
            hashed = TradesHash("table of trades, 1")
            for candidate, trades in self.trades():
                hashed.add(candidate, trades)
            self._identity = hashed.hexdigest()
        return self._identity

    def candidates(self) -> Sequence[Candidate]:
        """See `CandidateSource`."""
        self._prepare()
        return self._candidates

    def tried(self) -> Iterator[Trial]:
        """See `CandidateSource.tried`: nothing."""
        return iter(())

    def series(self) -> tuple[DataSet, ...]:
        """None: only whoever made the table knows."""
        return ()

    def trades(self) -> Iterator[tuple[Candidate, CandidateTrades]]:
        """See `CandidateSource`."""
        self._prepare()
        for first, last in self._blocks():
            with self._sorted(read_only=True) as connection:
                # In the order in which they were inserted, which is sorted: there is one thread.
                rows = connection.sql(
                    f"SELECT {', '.join(TRADE_COLUMNS)} FROM sorted WHERE number BETWEEN {first} AND {last}"
                ).to_arrow_table()
            own = split_trades(rows, enumerate(self._counts[first : last + 1]))
            yield from zip(self._candidates[first : last + 1], own.values(), strict=True)

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """The first and the last of the candidates that are read together."""
        first, held = 0, 0
        for number, count in enumerate(self._counts):
            held += count
            if held >= _TRADES_AT_ONCE or number == len(self._counts) - 1:
                yield first, number
                first, held = number + 1, 0

    def _prepare(self) -> None:
        """Read the table, unless that was done."""
        if self._folder is not None:
            return
        rows = TableRows(self._path)
        try:
            folder = Path(tempfile.mkdtemp(prefix="validation-"))
            goes = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            try:
                self._folder = folder
                with self._sorted(read_only=False) as connection:
                    rows.load(connection)
                    self._sort(connection, rows.others)
            except BaseException:
                self._folder = None
                goes()
                raise
        except (OSError, duckdb.Error) as error:
            reason = error.strerror or error if isinstance(error, OSError) else first_line(error)
            raise DataError(
                f"the trades in {self._path} could not be sorted in {temporary_folder()}: {reason}; make room there",
                path=str(self._path),
            ) from error

    def _sort(self, connection: duckdb.DuckDBPyConnection, others: dict[str, str]) -> None:
        """Make the table `sorted` of the table `read`, and know the candidates."""
        self._refuse_changing(connection, others)
        values = "".join(f", min({column})" for column in others)
        found = connection.execute(
            f"SELECT candidate, count(*){values} FROM read GROUP BY candidate ORDER BY candidate"
        ).fetchall()
        connection.execute(
            f"CREATE TABLE sorted AS SELECT number, {', '.join(TRADE_COLUMNS)} FROM read JOIN (SELECT candidate, "
            f"row_number() OVER (ORDER BY candidate) - 1 AS number FROM (SELECT DISTINCT candidate FROM read)) "
            f"USING (candidate) ORDER BY number, {_ORDER}"
        )
        connection.execute("DROP TABLE read")
        connection.execute("CHECKPOINT")
        self._counts = array("q", (count for _, count, *_ in found))
        self._candidates = packed_candidates(
            Candidate(
                number=number, candidate_id=name, trial=name,
                given=tuple(zip(others.values(), map(_plain, texts), strict=True)),
            )
            for number, (name, _, *texts) in enumerate(found)
        )  # fmt: skip

    def _refuse_changing(self, connection: duckdb.DuckDBPyConnection, others: dict[str, str]) -> None:
        """A column that is no part of a trade says something of a candidate, so it has one value for it."""
        for column, name in others.items():
            found = connection.execute(
                f"SELECT candidate FROM read GROUP BY candidate HAVING min({column}) <> max({column}) "
                f"OR count({column}) NOT IN (0, count(*)) ORDER BY candidate LIMIT 1"
            ).fetchall()
            if not found:
                continue
            ((candidate,),) = found
            (row, value), (other_row, other_value) = connection.execute(
                f"SELECT min(row) AS first, {column} FROM read WHERE candidate = ? GROUP BY {column} "
                "ORDER BY first LIMIT 2",
                [candidate],
            ).fetchall()
            raise DataError(
                f"{self._path}: expected one value of {name} for all trades of candidate {candidate}, found {value!r} "
                f"in row {row} and {other_value!r} in row {other_row} (counted from 1 without the header); a column "
                "that is no part of a trade belongs to its candidate: leave it out if it belongs to the trades",
                path=str(self._path), column=name,
            )  # fmt: skip

    @contextmanager
    def _sorted(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        if self._folder is None:
            raise InternalError(f"{self._path} has not been read")
        path = self._folder / "sorted.duckdb"
        connection = duckdb.connect(str(path), read_only=read_only, config={"threads": 1, "memory_limit": _MEMORY})
        try:
            yield connection
        finally:
            connection.close()


def _plain(text: str | None) -> int | float | str | None:
    """A value of a column that nobody has described: a number where it is one as numbers are written, else its text.

    Whole numbers are whole however they are spelled, so that a table of texts and a typed one give the same.
    """
    if text is None or not _NUMBER.fullmatch(text):
        return text
    number = float(text)
    if not math.isfinite(number):
        return text
    if number.is_integer() and abs(number) < 2**53:
        return int(number)
    return number
