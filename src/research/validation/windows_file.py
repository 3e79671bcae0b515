"""A file of lines for programs: one JSON object each, a function of its rows, left alone where it would not change.

It is written beside its place and renamed when it is whole. Called by one thread; reads no clock.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO

from src.core.errors import DataError

__all__ = ["write_lines"]

_BLOCK = 1 << 20


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> bool:
    """Write a line for each row, its keys in their own order; rows are taken one after the other and not kept.

    Args:
        path: its folder is made when absent.
        rows: of plain, finite values.

    Returns:
        Whether the file has changed; if not, it was not touched.

    Raises:
        DataError: the disk refused it; what stood there is as it was.
        ValueError: a number is not finite.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("w", encoding="ascii", newline="\n") as file:
                for row in rows:
                    file.write(json.dumps(row, separators=(",", ":"), allow_nan=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            if path.is_file() and _equal(path, partial):
                return False
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path} could not be written: {error.strerror or error}; make room, or name a folder you may write to",
            path=str(path),
        ) from error
    return True


def _equal(path: Path, other: Path) -> bool:
    with path.open("rb") as left, other.open("rb") as right:
        return all(one == two for one, two in zip_longest(_blocks(left), _blocks(right)))


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block
