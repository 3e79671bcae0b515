"""Columns of numbers and texts as a compressed text, and plain values as JSON that is safe within a page.

Pure; any thread. A browser counts in doubles: whole numbers beyond 2**53 are refused, so instants are packed as
milliseconds (see `milliseconds`).
"""

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from src.core.bars import FloatArray, IntArray
from src.core.errors import InternalError

__all__ = ["columns_text", "milliseconds", "plain", "script_json", "unpacked"]

Packable = IntArray | FloatArray | Sequence[str]

_MOST = 2**53
_WIDTHS = ((1, "<i1"), (2, "<i2"), (4, "<i4"), (8, "<i8"))


def milliseconds(instants_ns: IntArray) -> FloatArray:
    """Instants as milliseconds since 1970, which is what a browser counts in; shape kept."""
    return np.asarray(instants_ns, dtype=np.int64) / 1e6


def columns_text(columns: Mapping[str, Packable]) -> tuple[str, str]:
    """What columns become in a page: a JSON description of them, and their bytes as base64.

    Whole numbers are divided by what divides all of them and stored as differences, in as few bytes as the largest
    needs; all first bytes come first, then all second ones. Texts are numbers into the list of different texts.

    Args:
        columns: by name; arrays of shape (n,), n may differ between columns.

    Raises:
        InternalError: a whole number is too large for a browser.
    """
    described, parts = [], []
    for name, column in columns.items():
        entry, raw = _packed(name, column)
        described.append(entry)
        parts.append(raw)
    # Level 6: level 9 takes three times as long for one percent less.
    text = base64.b64encode(zlib.compress(b"".join(parts), 6)).decode("ascii")
    return script_json(described), text


def _packed(name: str, column: Packable) -> tuple[dict[str, Any], bytes]:
    if not isinstance(column, np.ndarray):
        texts = sorted(set(column))
        places = {text: place for place, text in enumerate(texts)}
        entry, raw = _packed(name, np.array([places[text] for text in column], dtype=np.int64))
        return {**entry, "texts": texts}, raw
    if column.dtype.kind == "f":
        values = np.ascontiguousarray(column, dtype="<f8")
        return {"name": name, "kind": "f8", "count": len(values)}, _shuffled(values, 8)
    values = column.astype(np.int64)
    if len(values) and max(-int(values.min()), int(values.max())) > _MOST:
        raise InternalError(f"expected numbers up to 2**53 in the column {name}, found larger ones; divide them first")
    unit = int(np.gcd.reduce(values)) if len(values) else 1
    unit = unit or 1
    steps = np.diff(values // unit, prepend=0)
    largest = max(-int(steps.min()), int(steps.max())) if len(steps) else 0
    width, kind = next((width, kind) for width, kind in _WIDTHS if width == 8 or largest < 2 ** (8 * width - 1))
    entry = {"name": name, "kind": kind[1:], "count": len(values), "unit": unit}
    return entry, _shuffled(steps.astype(kind), width)


def _shuffled(values: "np.ndarray[Any, Any]", width: int) -> bytes:
    return np.ascontiguousarray(values.view(np.uint8).reshape(-1, width).T).tobytes()


def unpacked(described: str, text: str) -> dict[str, Any]:
    """What `columns_text` packed, as the page's own script unpacks it: arrays and lists of texts by name."""
    raw, at, columns = zlib.decompress(base64.b64decode(text)), 0, {}
    for entry in json.loads(described):
        width, count = int(entry["kind"][1:]), int(entry["count"])
        block = np.frombuffer(raw, np.uint8, width * count, at).reshape(width, count)
        values = np.ascontiguousarray(block.T).view(f"<{entry['kind']}").ravel()
        at += width * count
        if entry["kind"] != "f8":
            values = np.cumsum(values.astype(np.int64)) * int(entry["unit"])
        columns[entry["name"]] = [entry["texts"][place] for place in values] if "texts" in entry else values
    return columns


def plain(value: Any) -> Any:
    """The value as JSON can hold it: arrays as the chart library reads them, no number that is not finite.

    Arrays of numbers become base64 of their bytes; arrays of texts and sequences become lists; NaN and infinities in
    lists become null.
    """
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "iufb" and value.ndim == 1:
            raw = np.ascontiguousarray(value, dtype="<f8").tobytes()
            return {"dtype": "f8", "bdata": base64.b64encode(raw).decode("ascii")}
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def script_json(value: Any) -> str:
    """JSON for the inside of a script element, which only `<` can end; as an escape it means the same to JSON."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
