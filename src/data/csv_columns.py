"""The quick way through a large plain CSV: DuckDB reads it into columns, or declines.

It takes only files of which it is certain to read exactly what the row-by-row reader of `src/data/formats.py` reads:
no quotes, no empty lines, every stamp written like the first one. For anything else it returns None and the other
reader decides, which also names the line of whatever is wrong. Any thread; reads no clock.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from src.core.bars import FloatArray, IntArray
from src.data.stamps import Stamps, epoch_integers_to_ns, is_epoch

__all__ = ["read_columns"]

# Below this the row-by-row reader is done before DuckDB has started.
SMALL_BYTES = 200_000

_CHUNK = 1 << 24
_GLOB = re.compile(r"[*?\[]")
# How a stamp may be written, and the SQL that reads it as microseconds of its wall clock. Offsets are not among
# them, because the cast leaves them out of account.
_FORMS = (
    (re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?Z?)?"), "epoch_us(CAST({t} AS TIMESTAMP))"),
    (re.compile(r"\d{8} \d{6}"), "epoch_us(strptime({t}, '%Y%m%d %H%M%S'))"),
    (
        re.compile(r"\d{4}([./])\d\d\1\d\d \d\d:\d\d(:\d\d)?"),
        "epoch_us(CAST(replace(replace({t}, '.', '-'), '/', '-') AS TIMESTAMP))",
    ),
)


def read_columns(
    path: Path, delimiter: str, width: int, skip: int, first: Sequence[str], times: Sequence[int],
    values: Mapping[str, int],
) -> tuple[Stamps, dict[str, FloatArray]] | None:  # fmt: skip
    """The stamps and the numbers of a plain file, or None when it is not plain enough.

    Args:
        delimiter: between the fields.
        width: fields in each line.
        skip: lines before the first row, 0 or 1.
        first: the fields of the first row.
        times: which fields together make the stamp.
        values: which field holds which number.

    Returns:
        Stamps, and the columns by name, each of shape (rows,).
    """
    lines = _plain_lines(path, delimiter, width, skip)
    if lines is None or _GLOB.search(str(path)) or len(first) != width:
        return None
    stamp = " ".join(first[i] for i in times)
    epoch = is_epoch(stamp) and stamp.isdigit()
    sql = "CAST({t} AS BIGINT)" if epoch else next((sql for form, sql in _FORMS if form.fullmatch(stamp)), None)
    if sql is None:
        return None
    text = " || ' ' || ".join(f"f{i}" for i in times)
    # A stamp that is written otherwise than the first one may mean another thing.
    pattern = re.sub(r"\d", "_", stamp)
    wanted = ", ".join(f"f{index} AS {name}" for name, index in values.items())
    types = {f"f{i}": "DOUBLE" if i in values.values() else "VARCHAR" for i in range(width)}
    query = (
        f"SELECT {sql.format(t=f'({text})')} AS stamp, {text} LIKE '{pattern}' AS is_alike, {wanted} "
        f"FROM read_csv(?, auto_detect = false, header = false, skip = {skip}, delim = ?, quote = '', escape = '', "
        f"columns = {types})"
    )
    found = _fetch(query, [str(path), delimiter])
    if found is None or len(found["stamp"]) != lines - skip or not found["is_alike"].all():
        return None
    stamps = _stamps(found["stamp"], stamp, epoch)
    return None if stamps is None else (stamps, {name: found[name] for name in values})


def _plain_lines(path: Path, delimiter: str, width: int, skip: int) -> int | None:
    """How many lines a file has; None when it is small, has odd lines, or a field may be quoted and hold a line break.

    A line is odd when it has not `width` fields: DuckDB lets an empty one too many at its end pass.
    """
    if path.stat().st_size < SMALL_BYTES:
        return None
    mark = delimiter.encode()
    lines, marks, last = 0, 0, b"\n"
    with path.open("rb") as file:
        for _ in range(skip):
            marks -= file.readline().count(mark)
        file.seek(0)
        while chunk := file.read(_CHUNK):
            if b'"' in chunk:
                return None
            lines += chunk.count(b"\n")
            marks += chunk.count(mark)
            last = chunk[-1:]
    lines += last != b"\n"
    return lines if marks == (lines - skip) * (width - 1) else None


def _fetch(query: str, values: Sequence[object]) -> dict[str, Any] | None:
    try:
        with duckdb.connect() as connection:
            found = connection.execute(query, list(values)).fetchnumpy()
    except duckdb.Error:
        return None
    # An empty field is a missing value, which a masked column shows.
    return None if any(isinstance(column, np.ma.MaskedArray) for column in found.values()) else found


def _stamps(numbers: IntArray, first: str, epoch: bool) -> Stamps | None:
    if not epoch:
        return Stamps(ns=numbers * 1_000, is_utc=first.endswith("Z"))
    # As many digits as the text has characters: no point, no exponent, nothing that was rounded away.
    if len(numbers) and (int(numbers.min()) < 10 ** (len(first) - 1) or int(numbers.max()) >= 10 ** len(first)):
        return None
    return epoch_integers_to_ns(numbers)
