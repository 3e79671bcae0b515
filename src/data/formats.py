"""Foreign files of bars as plain columns: CSV in its common layouts, and Parquet.

Reads whole files, in the thread of the caller. What a file does not say (zone, open or close stamps, price side) is
not decided here. Every refusal names the file, the line, what was expected and what was found.
"""

import csv
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.core.bars import FloatArray
from src.core.errors import DataError
from src.data.csv_columns import read_columns
from src.data.stamps import Place, Stamps, parse_stamps

__all__ = ["RawTable", "map_columns", "read_table"]

PRICES = ("open", "high", "low", "close")
_TIME_NAMES = (
    "open time",
    "ts",
    "timestamp",
    "datetime",
    "date time",
    "date",
    "time",
    "gmt time",
    "unix",
    "local time",
)
_NAMES = {
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "tickvol", "tick volume", "vol", "v", "volume base"),
    "symbol": ("symbol", "ticker", "instrument"),
}
_HISTDATA_STAMP = re.compile(r"^\d{8} \d{6}$")
_METATRADER_DATE = re.compile(r"^\d{4}\.\d{2}\.\d{2}$")
_EXAMPLE = "timestamp,open,high,low,close,volume"

# Where the rows stand, their stamps, their symbols, their numbers by column.
_Collected = tuple[Place, Stamps, list[str], dict[str, FloatArray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTable:
    """The rows of a file as they stand there.

    Attributes:
        layout: histdata, metatrader, ccxt, yahoo, binance, csv or parquet.
        place: the line of each row.
        stamps: one for each row, instants or local times.
        columns: open, high, low, close and volume, each of shape (rows,).
        symbols: the symbol of each row when the file has such a column.
        stamped_at: `open` when the file itself says what its stamps mean.
        notes: sentences about what was left out or assumed.
    """

    layout: str
    place: Place
    stamps: Stamps
    columns: dict[str, FloatArray]
    symbols: tuple[str, ...] | None = None
    stamped_at: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMap:
    """Which column holds what; `times` are one or two columns that together make the stamp."""

    times: tuple[int, ...]
    values: dict[str, int]
    symbol: int | None
    stamped_at: str | None
    notes: tuple[str, ...]


def read_table(path: Path) -> RawTable:
    """Read a CSV or Parquet file of bars.

    Raises:
        DataError: no such file, an empty one, a missing column, a field that is no number or no time.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}; expected a CSV or Parquet file of bars", path=str(path))
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}", path=str(path)) from None
    if not head:
        raise DataError(f"{path} is empty; expected a CSV or Parquet file of bars", path=str(path))
    if head == b"PAR1":
        from src.data.parquet import read_parquet  # imports pyarrow, which a CSV does not need

        return read_parquet(path)
    return _read_csv(path, "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def map_columns(header: Sequence[str], where: str, path: str) -> ColumnMap:
    """Find the columns by their names, whatever their case, brackets and underscores.

    Raises:
        DataError: a needed column is missing; the sentence says which were found.
    """
    names = [_plain(name) for name in header]
    times = _time_columns(names)
    values: dict[str, int] = {}
    for column, synonyms in _NAMES.items():
        found = next((names.index(name) for name in synonyms if name in names), None)
        if found is not None and found not in times:
            values[column] = found
    missing = [name for name in PRICES if name not in values]
    if not times:
        missing.insert(0, "time")
    if missing:
        raise DataError(
            f"{where}: expected columns for {', '.join(missing)}, found {', '.join(header)}; "
            f"a header such as {_EXAMPLE} is understood",
            path=path, missing=missing,
        )  # fmt: skip
    symbol = values.pop("symbol", None)
    used = {*times, *values.values(), *([] if symbol is None else [symbol])}
    left_out = [name.strip() for i, name in enumerate(header) if i not in used]
    notes = [f"ignored: {', '.join(left_out)}"] if left_out else []
    if "volume" not in values:
        notes.append("there is no volume column: every volume is 0")
    elif "tickvol" in names[values["volume"]].replace(" ", ""):
        notes.append("volume is the number of ticks")
    return ColumnMap(
        times=times, values=values, symbol=symbol, notes=tuple(notes),
        stamped_at="open" if times and names[times[0]] == "open time" else None,
    )  # fmt: skip


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", " ", name.strip().strip("<>").lower())


def _time_columns(names: Sequence[str]) -> tuple[int, ...]:
    if "date" in names and "time" in names:
        return names.index("date"), names.index("time")
    for name in _TIME_NAMES:
        if name in names:
            return (names.index(name),)
    return ()


def _read_csv(path: Path, encoding: str) -> RawTable:
    try:
        with path.open(encoding=encoding, newline="") as file:
            first = next((line for line in file if line.strip()), None)
            if first is None:
                raise DataError(f"{path} is empty; expected a CSV or Parquet file of bars", path=str(path))
            file.seek(0)
            delimiter = _delimiter(first)
            reader = csv.reader(file, delimiter=delimiter)
            return _read_rows(path, _numbered(reader), delimiter)
    except UnicodeError as error:
        raise DataError(f"{path} is neither Parquet nor text in UTF-8: {error}", path=str(path)) from None
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {error}", path=str(path)) from None


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    # Any: the type of a csv reader has no public name in Python 3.11.
    for row in reader:
        if row and any(field.strip() for field in row):
            yield reader.line_num, row


def _delimiter(line: str) -> str:
    for delimiter in (";", "\t"):
        if line.count(delimiter) >= 3:
            return delimiter
    return " " if line.startswith("<DATE> ") else ","


def _read_rows(path: Path, rows: Iterator[tuple[int, list[str]]], delimiter: str) -> RawTable:
    number, first = next(rows)
    where = f"{path}, line {number}"
    headless = _headless_layout(first)
    if headless is not None:
        layout, columns = headless
        lines: Iterator[tuple[int, list[str]]] = _chain((number, first), rows)
    else:
        if sum(_is_number(field) for field in first) >= len(PRICES):
            raise DataError(
                f"{where}: expected a header such as {_EXAMPLE}, found numbers: {','.join(first)[:80]}", path=str(path)
            )
        columns, lines = map_columns(first, where, str(path)), rows
        layout = _layout(first)
    row = next(lines, None)
    if row is None:
        raise DataError(f"{path} has a header and no rows; expected at least one bar", path=str(path))
    found = _read_quickly(path, delimiter, columns, row, skip=0 if headless is not None else 1)
    if found is None:
        found = _collect(path, columns, len(first), _chain(row, lines))
    place, stamps, symbols, values = found
    if layout == "csv" and stamps.is_epoch and _plain(first[columns.times[0]]) == "timestamp":
        layout = "ccxt"
    return RawTable(
        layout=layout, place=place, stamps=stamps, columns=values,
        symbols=None if columns.symbol is None else tuple(symbols), stamped_at=columns.stamped_at, notes=columns.notes,
    )  # fmt: skip


def _read_quickly(
    path: Path, delimiter: str, columns: ColumnMap, row: tuple[int, list[str]], *, skip: int
) -> _Collected | None:
    """What `_collect` would find, if the file is large and plain; a file with symbols is not."""
    number, first = row
    if columns.symbol is not None or number != skip + 1:
        return None
    found = read_columns(path, delimiter, len(first), skip, first, columns.times, columns.values)
    if found is None:
        return None
    stamps, values = found
    count = len(stamps.ns)
    values.setdefault("volume", np.zeros(count))
    place = Place(path=str(path), word="line", numbers=np.arange(number, number + count))
    return place, stamps, [], {name: values[name] for name in (*PRICES, "volume")}


def _collect(path: Path, columns: ColumnMap, width: int, lines: Iterator[tuple[int, list[str]]]) -> _Collected:
    """Where the rows stand, their stamps, symbols and numbers by column; missing volumes are 0."""
    texts: list[str] = []
    symbols: list[str] = []
    numbers = array("q")
    values = {name: array("d") for name in (*PRICES, "volume")}
    wanted = [(name, columns.values[name], values[name].append) for name in values if name in columns.values]
    for number, row in lines:
        if len(row) != width:
            raise DataError(
                f"{path}, line {number}: expected {width} fields as in the first line, found {len(row)}",
                path=str(path), line=number,
            )  # fmt: skip
        for name, index, append in wanted:
            try:
                append(float(row[index]))
            except ValueError:
                raise DataError(
                    f"{path}, line {number}: expected a number as {name}, found {row[index]!r}",
                    path=str(path), line=number,
                ) from None  # fmt: skip
        texts.append(" ".join(row[index].strip() for index in columns.times))
        numbers.append(number)
        if columns.symbol is not None:
            symbols.append(row[columns.symbol].strip())
    if "volume" not in columns.values:
        values["volume"] = array("d", bytes(8 * len(texts)))
    place = Place(path=str(path), word="line", numbers=np.array(numbers, np.int64))
    stamps = parse_stamps(texts, place)
    return place, stamps, symbols, {name: np.array(column, np.float64) for name, column in values.items()}


def _headless_layout(row: Sequence[str]) -> tuple[str, ColumnMap] | None:
    """The layouts that are known to come without a header."""
    first = row[0].strip()
    if len(row) == 6 and _HISTDATA_STAMP.match(first):
        return "histdata", _in_order(1)
    if len(row) == 7 and _METATRADER_DATE.match(first):
        return "metatrader", _in_order(2)
    if len(row) == 12 and all(_is_number(field) for field in row):
        return "binance", _in_order(1, stamped_at="open")
    return None


def _in_order(times: int, stamped_at: str | None = None) -> ColumnMap:
    values = {name: times + i for i, name in enumerate((*PRICES, "volume"))}
    return ColumnMap(times=tuple(range(times)), values=values, symbol=None, stamped_at=stamped_at, notes=())


def _layout(header: Sequence[str]) -> str:
    if any(name.strip().startswith("<") for name in header):
        return "metatrader"
    return "yahoo" if "adj close" in [_plain(name) for name in header] else "csv"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _chain(first: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest
