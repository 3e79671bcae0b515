"""The rows of a table of trades, read in pieces, each value checked before anything is made of it.

What is wrong is told with the numbers of the rows, counted from 1 without the header. Called by one thread; the file is
open while it is read and no longer.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from src.core.errors import DataError
from src.core.timeframe import DAY_NS
from src.core.words import closest
from src.data.connection import first_line

__all__ = ["TableRows"]

_REQUIRED = ("candidate", "entry_ns", "exit_ns", "r_net")
_OPTIONAL = ("cost_r", "atr", "session", "side")
_KNOWN = (*_REQUIRED, *_OPTIONAL)
_ROWS = 50_000
_BLOCK = 4 << 20
# Of these hardly any error has more to say.
_ROWS_TOLD = 5

_EARLIEST_NS = 365 * DAY_NS
_LATEST_NS = 230 * 365 * DAY_NS  # 2199; a stamp fits until 2262
_LONGEST_ID = 200
_LARGEST_R = 1e6
_NUMBER = r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?"
# What no terminal shows, or what changes how the rest of a line is shown: one id would look like another.
_UNSEEN = r"[\p{Cc}\p{Zl}\p{Zp}\x{200b}\x{2060}\x{feff}\x{202a}-\x{202e}\x{2066}-\x{2069}]"
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip, as workbooks are", b"\x28\xb5\x2f\xfd": "zstd"}
_TORN = re.compile(r"CSV parse error: Row #([0-9]+): Expected ([0-9]+) columns, got ([0-9]+)")
_SIDES = {"long": 1, "buy": 1, "1": 1, "+1": 1, "1.0": 1, "short": -1, "sell": -1, "-1": -1, "-1.0": -1}

#: What a value must be: the column, when it is not, what was expected. The order decides which is told of one row.
_RULES: tuple[tuple[str, str, str], ...] = (
    ("candidate", "t_candidate IS NULL OR trim(t_candidate) = ''", "the id of a candidate"),
    (
        "candidate",
        rf"length(t_candidate) > {_LONGEST_ID} OR trim(t_candidate) <> t_candidate "
        r"OR regexp_matches(t_candidate, '[\x00-\x1f\x7f]')",
        f"an id of up to {_LONGEST_ID} characters on one line without spaces around it",
    ),
    (
        "candidate",
        f"regexp_matches(t_candidate, '{_UNSEEN}')",
        "an id of which every character can be seen",
    ),
    (
        "candidate",
        "regexp_full_match(t_candidate, '-[0-9]+')",
        "an id that is no negative number, which is what some tools call rows of no group",
    ),
    *(
        (name, f"{name} IS NULL", "whole nanoseconds since 1970 UTC")
        for name in ("entry_ns", "exit_ns")
    ),
    *(
        (name, f"{name} < {_EARLIEST_NS} OR {name} >= {_LATEST_NS}", "nanoseconds since 1970 UTC from 1971 to 2199")
        for name in ("entry_ns", "exit_ns")
    ),
    ("exit_ns", "exit_ns < entry_ns", "an exit not before its entry"),
    ("r_net", "r_net IS NULL OR NOT isfinite(r_net)", "a finite number"),
    ("r_net", f"abs(r_net) > {_LARGEST_R}", "a multiple of the initial risk, at most a million"),
    ("cost_r", "cost_r IS NULL AND t_cost_r IS NOT NULL OR NOT isfinite(cost_r)", "a finite number or nothing"),
    ("cost_r", f"abs(cost_r) > {_LARGEST_R}", "a multiple of the initial risk, at most a million"),
    ("atr", "atr IS NULL AND t_atr IS NOT NULL OR NOT isfinite(atr) OR atr < 0", "a number from 0 on or nothing"),
    ("side", "side IS NULL AND t_side IS NOT NULL", "long or short, buy or sell, 1 or -1, or nothing"),
)  # fmt: skip


class TableRows:
    """The rows of one file.

    Args:
        path: CSV with commas and a header in UTF-8, or Parquet, whatever it is called.

    Attributes:
        others: the columns that are no part of a trade: the name in the database, and the one in the file.

    Raises:
        DataError: there is no such file, or its columns are not what they must be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parquet = self._is_parquet()
        self._types = self._schema()
        names = list(self._types)
        absent = [name for name in _REQUIRED if name not in names]
        if absent:
            raise self._wrong(_absent(absent, names))
        self._refuse_types()
        self.others = {f"o{place}": name for place, name in enumerate(each for each in names if each not in _KNOWN)}

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the table `read`: `row`, the columns of a trade, and the others as texts; empty ones are null.

        Raises:
            DataError: something in the file is not what it must be, or it has no rows.
        """
        count = 0
        made = False
        for batch in self._batches():
            numbers = pa.array(range(count + 1, count + 1 + batch.num_rows), type=pa.int64())
            count += batch.num_rows
            incoming = pa.Table.from_arrays(
                [numbers, *batch.columns], names=["row", *(f"c{place}" for place in range(batch.num_columns))]
            )
            connection.register("incoming", incoming)
            try:
                connection.execute(f"CREATE OR REPLACE TEMP TABLE piece AS {self._typed()}")
            finally:
                connection.unregister("incoming")
            self._check(connection)
            columns = ", ".join(("row", *_KNOWN, *self.others))
            start = "INSERT INTO read" if made else "CREATE TABLE read AS"
            connection.execute(f"{start} SELECT {columns} FROM piece")
            made = True
        if not count:
            raise self._wrong("at least one row, a closed trade, found none")

    def _is_parquet(self) -> bool:
        try:
            if self._path.is_dir():
                raise self._wrong("a CSV or Parquet file of trades, found a folder; name the file in it")
            with self._path.open("rb") as file:
                begins = file.read(4)
        except FileNotFoundError:
            raise self._wrong("a CSV or Parquet file of trades, found none there; mend candidates.path") from None
        except OSError as error:
            raise self._wrong(f"a CSV or Parquet file of trades, found: {error.strerror or error}") from None
        packed = next((how for mark, how in _PACKED.items() if begins.startswith(mark)), None)
        if packed is not None:
            raise self._wrong(
                f"a CSV or Parquet file of trades, found one that is packed ({packed}); unpack or export it"
            )
        return begins == b"PAR1"

    def _schema(self) -> dict[str, Any]:
        """The type of each column by name."""
        if self._parquet:
            try:
                with pq.ParquetFile(self._path) as file:
                    schema = file.schema_arrow
            except (OSError, pa.ArrowException) as error:
                raise self._wrong(f"a whole Parquet file, found: {first_line(error)}") from None
            names, types = schema.names, schema.types
        else:
            names = self._header()
            types = [pa.string()] * len(names)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._wrong(f"each column once, found {', '.join(twice) or 'one without a name'} more than once")
        if any(not name.strip() for name in names):
            raise self._wrong("a name for each column, found one without; pandas writes none with index=False")
        return dict(zip(names, types, strict=True))

    def _header(self) -> list[str]:
        try:
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                names = next(csv.reader(file), [])
        except UnicodeDecodeError:
            raise self._wrong("a CSV file in UTF-8, found bytes that are none; save it as UTF-8") from None
        except (OSError, csv.Error) as error:
            raise self._wrong(f"a CSV file with a header, found: {error}") from None
        if not names:
            raise self._wrong("a CSV file with a header, found an empty line or nothing at all")
        if names[0].lower().startswith("sep="):
            raise self._wrong(f"a header in the first line, found {names[0]!r}, which spreadsheets write; leave it out")
        if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
            raise self._wrong(f"columns parted by commas, found the header {names[0][:100]!r}; write it with commas")
        return names

    def _refuse_types(self) -> None:
        """Of Parquet: what would be read as something else than was meant."""
        for name in ("entry_ns", "exit_ns"):
            kind = self._types[name]
            if not (pa.types.is_integer(kind) or _is_text(kind)):
                raise self._wrong(
                    f"whole nanoseconds since 1970 UTC in {name}, a column of int64, found {kind}: of instants in "
                    "pandas `.astype('datetime64[ns, UTC]').astype('int64')` makes them, and numbers with a fraction "
                    "have lost their last digits"
                )
        kind = self._types["candidate"]
        if not (pa.types.is_integer(kind) or _is_text(kind)):
            raise self._wrong(f"texts in the column candidate, found {kind}; write the ids as texts")
        for name in ("r_net", "cost_r", "atr"):
            kind = self._types.get(name, pa.float64())
            if not (_is_number(kind) or _is_text(kind) or pa.types.is_null(kind)):
                raise self._wrong(f"numbers in the column {name}, found {kind}")

    def _batches(self) -> Iterator[pa.RecordBatch]:
        names = list(self._types)
        try:
            if self._parquet:
                # Opened as a single file: a folder named like `key=value` on the way would become a column.
                with pq.ParquetFile(self._path) as file:
                    for batch in file.iter_batches(batch_size=_ROWS, columns=names, use_threads=False):
                        yield batch.select(names)
                return
            reader = pacsv.open_csv(
                self._path,
                read_options=pacsv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=names, skip_rows=1),
                parse_options=pacsv.ParseOptions(newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
            with reader:
                yield from reader
        except (OSError, pa.ArrowException) as error:
            if not self._parquet and "Empty CSV" in str(error):
                return  # a header alone
            problem = first_line(error)
            torn = _TORN.match(problem)
            if torn is not None:
                row, many, found = map(int, torn.groups())
                raise self._wrong(
                    f"{many} columns, as many as the header has, found {found}, in row {row - 1} (counted from 1 "
                    "without the header); a text with commas in it stands in quotes"
                ) from None
            hint = "; save it as UTF-8" if "UTF8" in problem else ""
            raise self._wrong(f"rows that can be read, found: {problem}{hint}") from None

    def _typed(self) -> str:
        """The rows that came in, each column of a trade as what it is, or null, and beside it its text."""
        columns = {name: f"c{place}" for place, name in enumerate(self._types)}
        parts = ["row"]
        for name in _KNOWN:
            if name not in columns:
                kind = "VARCHAR" if name in ("candidate", "session") else "DOUBLE" if name in _DOUBLES else "BIGINT"
                parts.append(f"NULL::{kind} AS {name}, NULL::VARCHAR AS t_{name}")
                continue
            text = f"CAST({columns[name]} AS VARCHAR)"
            if name == "candidate":
                parts.append(f"{text} AS candidate, {text} AS t_candidate")
                continue
            empty = ("",) if name in ("entry_ns", "exit_ns", "r_net", "session") else ("", "nan")
            told = f"CASE WHEN lower(trim({text})) NOT IN ({', '.join(map(repr, empty))}) THEN trim({text}) END"
            parts.append(f"{_value(name, columns[name], told, self._types[name])} AS {name}, {told} AS t_{name}")
        for column, name in self.others.items():
            text = f"CAST({columns[name]} AS VARCHAR)"
            parts.append(f"CASE WHEN lower(trim({text})) NOT IN ('', 'nan') THEN trim({text}) END AS {column}")
        return f"SELECT {', '.join(parts)} FROM incoming"

    def _check(self, connection: duckdb.DuckDBPyConnection) -> None:
        first = ", ".join(f"min(row) FILTER ({condition})" for _, condition, _ in _RULES)
        rows = connection.execute(f"SELECT {first} FROM piece").fetchall()[0]
        broken = [(row, place) for place, row in enumerate(rows) if row is not None]
        if not broken:
            return
        _, place = min(broken)
        column, condition, expected = _RULES[place]
        found = connection.execute(
            f"SELECT row, t_{column}, t_entry_ns FROM piece WHERE {condition} ORDER BY row LIMIT {_ROWS_TOLD + 1}"
        ).fetchall()
        numbers = [str(row) for row, _, _ in found[:_ROWS_TOLD]]
        where = f"row {numbers[0]}" if len(found) == 1 else f"rows {', '.join(numbers)}"
        more = " and more" if len(found) > _ROWS_TOLD else ""
        value = found[0][1]
        told = repr(value[:60]) if value else "nothing"
        raise self._wrong(
            f"{expected} in the column {column}, found {told}{_hint(column, value, found[0][2])}, in {where}{more} "
            "(counted from 1 without the header)"
        )

    def _wrong(self, what: str) -> DataError:
        return DataError(f"{self._path}: expected {what}", path=str(self._path))


_DOUBLES = ("r_net", "cost_r", "atr")


def _value(name: str, column: str, told: str, kind: Any) -> str:
    """SQL for a value, null where it is none."""
    if name == "session":
        return told
    if name == "side":
        cases = " ".join(f"WHEN '{word}' THEN {sign}" for word, sign in _SIDES.items())
        return f"CASE lower({told}) {cases} END::BIGINT"
    if name in _DOUBLES:
        # A negative zero is the same number in another spelling.
        number = f"CAST({column} AS DOUBLE)" if _is_number(kind) else f"TRY_CAST({told} AS DOUBLE)"
        spelled = "TRUE" if _is_number(kind) else f"regexp_full_match({told}, '{_NUMBER}')"
        return f"CASE WHEN {told} IS NOT NULL AND {spelled} THEN {number} + 0.0 END"
    return f"CASE WHEN regexp_full_match({told}, '[+-]?[0-9]+') THEN TRY_CAST({told} AS BIGINT) END"


def _hint(column: str, value: str | None, entry: str | None) -> str:
    """What somebody may have meant by a stamp that is none."""
    if value is None or column not in ("entry_ns", "exit_ns"):
        return ""
    if not value.lstrip("+-").isdigit():
        return ": convert it to a whole number of nanoseconds"
    stamp = int(value)
    if 1_000_000 <= stamp < _EARLIEST_NS:
        unit, factor = next((unit, factor) for limit, unit, factor in _UNITS if stamp < limit)
        return f", which looks like {unit}: multiply it by {factor}"
    return f", before its entry {entry}" if entry is not None and entry.isdigit() and stamp < int(entry) else ""


#: Stamps below this are of this unit, if they are of our time; so many nanoseconds are in it.
_UNITS = ((10**11, "seconds", "1000000000"), (10**14, "milliseconds", "1000000"), (10**18, "microseconds", "1000"))


def _absent(absent: Sequence[str], names: Sequence[str]) -> str:
    """What to say of columns that are not there."""
    said = f"the columns {', '.join(_REQUIRED)}, found no {', '.join(absent)} among {', '.join(names[:20])}"
    for name in absent:
        bare = name.removesuffix("_ns")
        named = [each for each in names if each not in _KNOWN and bare != name and each.lower().startswith(bare)]
        if named and named[0].strip().lower() != name:
            said += (
                f"; {named[0]} is not taken for {name}, which is a whole number of nanoseconds since 1970 UTC: in "
                f"pandas `pd.to_datetime({named[0]}, utc=True).astype('datetime64[ns, UTC]').astype('int64')`"
            )
            continue
        near = closest(name, [each for each in names if each not in _KNOWN])
        if near is not None:
            said += f"; did you mean {name} by {near!r}?"
    return said


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
