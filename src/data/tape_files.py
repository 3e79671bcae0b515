"""Files of ticks as plain columns: Parquet of quotes (bid, ask) or trades (price, volume), and HistData's ticks.

Reads whole files, in the thread of the caller. The order of the rows is the order of events, because many of them share
one stamp; nothing is sorted here. Imports pyarrow only for a file that is Parquet.
"""

import re
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from src.core.errors import DataError
from src.core.timeframe import format_instant
from src.data.stamps import Place, Stamps, parse_stamps

__all__ = ["RawTicks", "read_ticks", "refuse_disorder"]

_TIMES = ("ts", "timestamp", "time", "datetime", "date", "ts ns", "ts event")
_SYMBOLS = ("symbol", "ticker", "instrument")
_COLUMNS = {
    "quotes": {
        "bid": ("bid", "bid price"),
        "ask": ("ask", "ask price"),
        "bid_size": ("bid size", "bid qty", "bid volume"),
        "ask_size": ("ask size", "ask qty", "ask volume"),
    },
    "trades": {
        "price": ("price",),
        "volume": ("qty", "quantity", "volume", "size", "amount"),
        "buyer_is_maker": ("buyer is maker", "is buyer maker", "isbuyermaker"),
        "trade_id": ("trade id", "agg trade id", "id"),
    },
}
# Without these a file holds no such ticks; the others are 0 or false where they are absent.
_NEEDED = {"quotes": ("bid", "ask"), "trades": ("price", "volume")}
_BARS = {"open", "high", "low", "close"}

_HISTDATA_TICK = re.compile(rb"(\d{8}) (\d{9}),(\d+(?:\.\d+)?),(\d+(?:\.\d+)?),")

_Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTicks:
    """The rows of a file of ticks as they stand there.

    Attributes:
        kind: quotes or trades.
        place: the number of each row.
        stamps: one for each row, instants or local times.
        columns: those of the tape of that kind, by its names, without `ts_ns`.
        notes: sentences about what was left out or assumed.
        layout: parquet or histdata.
    """

    kind: str
    place: Place
    stamps: Stamps
    columns: _Columns
    notes: tuple[str, ...]
    layout: str = "parquet"


def read_ticks(path: Path) -> RawTicks | None:
    """The ticks of a Parquet file, or of a HistData file of ticks; None for anything else, an absent file included.

    Raises:
        DataError: it has no rows, or a value that cannot be right; the row is named.
    """
    try:
        with path.open("rb") as file:
            head = file.read(60)
    except OSError:
        return None  # whoever reads bars says so
    if head[:4] == b"PAR1":
        return _read_parquet(path)
    return _read_histdata(path) if _HISTDATA_TICK.match(head) else None


def _read_histdata(path: Path) -> RawTicks:
    """`20120401 000003660,1.334600,1.334900,0`: local time to the millisecond, bid, ask, and a volume that is 0."""
    stamps: list[str] = []
    columns = {"bid": array("d"), "ask": array("d")}
    with path.open(encoding="utf-8", newline="") as file:
        for number, line in enumerate(file, start=1):
            match = _HISTDATA_TICK.match(line.strip().encode())
            if match is None:
                if not line.strip():
                    continue
                raise DataError(
                    f"{path}, line {number}: expected a tick such as 20120401 000003660,1.3346,1.3349,0, "
                    f"found {line.strip()[:60]!r}",
                    path=str(path), line=number,
                )  # fmt: skip
            day, clock, bid, ask = (part.decode() for part in match.groups())
            stamps.append(f"{day}T{clock[:6]}.{clock[6:]}")
            columns["bid"].append(float(bid))
            columns["ask"].append(float(ask))
    place = Place(path=str(path), word="row", numbers=np.arange(1, len(stamps) + 1))
    found: _Columns = {name: np.array(column, np.float64) for name, column in columns.items()}
    found |= {name: np.zeros(len(stamps)) for name in ("bid_size", "ask_size")}
    _refuse_bad(found, place)
    return RawTicks(
        kind="quotes", place=place, stamps=parse_stamps(stamps, place), columns=found,
        notes=("there are no sizes: every one is 0.0",), layout="histdata",
    )  # fmt: skip


def _read_parquet(path: Path) -> RawTicks | None:
    import pyarrow as pa  # only for a file that is Parquet
    import pyarrow.parquet as pq

    from src.data.parquet import column_numbers, column_stamps

    try:
        header = [str(name) for name in pq.read_schema(path).names]
        names = [re.sub(r"[\s_]+", " ", name.strip().lower()) for name in header]
        kind = _kind(names)
        if kind is None:
            return None
        where = {column: _index(names, synonyms) for column, synonyms in _COLUMNS[kind].items()}
        time = _index(names, _TIMES)
        symbol = _index(names, _SYMBOLS)
        wanted = [i for i in (time, *where.values()) if i is not None]
        table = pq.ParquetFile(path).read(columns=[header[i] for i in wanted], use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}", path=str(path)) from None
    if table.num_rows == 0 or time is None:
        raise DataError(f"{path} has columns and no rows; expected at least one event", path=str(path))
    if symbol is not None:
        _refuse_several(pq.ParquetFile(path).read(columns=[header[symbol]], use_threads=False).column(0), path)
    place = Place(path=str(path), word="row", numbers=np.arange(1, table.num_rows + 1))
    columns: _Columns = {}
    notes = []
    for column, i in where.items():
        if i is None:
            columns[column] = _absent(column, table.num_rows)
            notes.append(f"there is no {column}: every one is {columns[column][0].item()}")
        elif column == "trade_id":
            columns[column] = _whole(table.column(header[i]), place)
        else:
            numbers = column_numbers(table.column(header[i]), header[i], place)
            columns[column] = numbers != 0.0 if column == "buyer_is_maker" else numbers
    left_out = [name for i, name in enumerate(header) if i not in wanted]
    if left_out:
        notes.insert(0, f"ignored: {', '.join(left_out)}")
    _refuse_bad(columns, place)
    return RawTicks(
        kind=kind, place=place, stamps=column_stamps([table.column(header[time])], place), columns=columns,
        notes=tuple(notes),
    )  # fmt: skip


def refuse_disorder(ts_ns: npt.NDArray[np.int64], place: Place) -> None:
    """Name the first row that lies before the one in front of it; equal stamps are no disorder."""
    back = np.flatnonzero(np.diff(ts_ns) < 0)
    if len(back):
        i = int(back[0]) + 1
        raise DataError(
            f"{place.of(i)}: expected events in time order, found {format_instant(int(ts_ns[i]))} after "
            f"{format_instant(int(ts_ns[i - 1]))}; sort the file by time and by the number of the event",
            path=place.path, line=int(place.numbers[i]),
        )  # fmt: skip


def _kind(names: list[str]) -> str | None:
    if set(names) >= _BARS or _index(names, _TIMES) is None:
        return None
    for kind, needed in _NEEDED.items():
        if all(_index(names, _COLUMNS[kind][column]) is not None for column in needed):
            return kind
    return None


def _index(names: list[str], synonyms: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in synonyms if name in names), None)


def _absent(column: str, rows: int) -> npt.NDArray[Any]:
    kinds: dict[str, Any] = {"buyer_is_maker": np.bool_, "trade_id": np.int64}
    return np.zeros(rows, kinds.get(column, np.float64))


def _whole(column: Any, place: Place) -> npt.NDArray[np.int64]:
    # Not through floats, which have no room for the last digits of such numbers.
    import pyarrow as pa  # imported already when a file is read

    try:
        return np.ascontiguousarray(column.cast(pa.int64()).fill_null(0).to_numpy(), np.int64)
    except pa.ArrowException:
        raise DataError(
            f"{place.path}: expected whole numbers as trade id, found {column.type}", path=place.path
        ) from None


def _refuse_several(column: Any, path: Path) -> None:
    names = sorted({str(value) for value in column.unique().to_pylist()})
    if len(names) > 1:
        raise DataError(
            f"{path}: expected ticks of one symbol, found {', '.join(names[:5])}; write a file for each of them",
            path=str(path),
        )


def _refuse_bad(columns: _Columns, place: Place) -> None:
    for name, column in columns.items():
        if column.dtype != np.float64:
            continue
        price = name in ("bid", "ask", "price")
        bad = np.flatnonzero(~np.isfinite(column) | ((column <= 0) if price else (column < 0)))
        if len(bad):
            i = int(bad[0])
            what = "a price above zero" if price else "a number of 0 or more"
            raise DataError(
                f"{place.of(i)}: expected {what} as {name}, found {float(column[i])}",
                path=place.path, line=int(place.numbers[i]),
            )  # fmt: skip
