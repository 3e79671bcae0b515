"""Arrow columns of plain values, made from their buffers.

`pyarrow.array` takes any values, and for that imports pandas when it is first called, which costs a process more time
and memory than a short run. Pure; any thread.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["column"]

_NUMBERS: dict[Any, tuple[Any, str]] = {pa.int64(): (np.int64, "i"), pa.float64(): (np.float64, "fiu")}
#: So many bytes of text fit into one piece of a column.
_MOST_BYTES = 2**31 - 1


def column(values: "Sequence[Any] | npt.NDArray[Any]", kind: Any) -> Any:
    """The values as an Arrow column, None as null.

    Args:
        values: of which the kind is the type; numbers may come as an array.
        kind: `string`, `int64`, `float64` or `bool_` of pyarrow.

    Raises:
        TypeError: a value is of another type.
        UnicodeEncodeError: a text holds half of a surrogate pair.
    """
    if not isinstance(values, np.ndarray) and values and values[0] is None and values.count(None) == len(values):
        return pa.nulls(len(values), kind)
    try:
        buffers = _buffers(values, kind)
        if buffers is not None:
            return pa.Array.from_buffers(kind, len(values), [None, *buffers])
        there = np.fromiter((value is not None for value in values), np.bool_, len(values))
        blank: Any = {pa.string(): "", pa.bool_(): False}.get(kind, 0)
        buffers = _buffers([blank if value is None else value for value in values], kind)
    except OverflowError:
        middle = len(values) // 2
        halves = [column(values[:middle], kind), column(values[middle:], kind)]
        return pa.chunked_array([piece for half in halves for piece in getattr(half, "chunks", [half])])
    if buffers is None:
        raise TypeError(f"expected values of the type {kind}, found {values[0]!r} and others")
    return pa.Array.from_buffers(kind, len(values), [_bits(there), *buffers])


def _buffers(values: "Sequence[Any] | npt.NDArray[Any]", kind: Any) -> list[Any] | None:
    """What holds the values, which are all there; None where one is absent or of another type.

    Raises:
        OverflowError: there is more text than fits.
    """
    if kind == pa.string():
        return _texts(values)
    if not len(values):
        return [pa.py_buffer(b"")]
    found = np.asarray(values)
    if kind == pa.bool_():
        return [_bits(found)] if found.dtype == np.bool_ else None
    dtype, kinds = _NUMBERS[kind]
    return [pa.py_buffer(np.ascontiguousarray(found, dtype))] if found.dtype.kind in kinds else None


def _texts(values: "Sequence[str] | npt.NDArray[Any]") -> list[Any] | None:
    """Where each text begins, and all texts one after the other."""
    try:
        whole = "".join(values)
    except TypeError:
        return None
    if whole.isascii():
        content, lengths = whole.encode("ascii"), map(len, values)
    else:
        encoded = [text.encode("utf-8") for text in values]
        content, lengths = b"".join(encoded), map(len, encoded)
    if len(content) > _MOST_BYTES:
        raise OverflowError
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(np.fromiter(lengths, np.int32, len(values)), out=offsets[1:])
    return [pa.py_buffer(offsets), pa.py_buffer(content)]


def _bits(truths: npt.NDArray[np.bool_]) -> Any:
    return pa.py_buffer(np.packbits(truths, bitorder="little"))
