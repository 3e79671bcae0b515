"""The values of journal records as JSON objects, names in their order, floats exact.

Pure; any thread. What `json.dumps` makes of them, made by one generated function for each kind of record, because a run
has thousands.
"""

import json
import math
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring
from typing import Any

from src.core.journal import FIELDS, JournalRecord

__all__ = ["fields_text", "fields_texts"]

#: Texts of floats: a volume comes again for ever, a price for as long as its order lives.
_known: dict[float, str] = {}
_MOST_KNOWN = 4096


def fields_texts(records: Iterable[JournalRecord]) -> list[str]:
    """`fields_text` of each record, quickly."""
    texts: list[str] = []
    for entry in records:
        try:
            texts.append(_TEXT_OF[entry.kind](entry.values))
        except (KeyError, ValueError, TypeError):
            texts.append(fields_text(entry))  # which says what is wrong
    return texts


def fields_text(entry: JournalRecord) -> str:
    """The values of one record.

    Raises:
        KeyError, ValueError: there is no such kind, or the values do not fit it.
        TypeError: a value is neither text, number, truth value nor None.
    """
    return _json({name: _storable(value) for name, value in entry.fields})


def _storable(value: Any) -> Any:
    # JSON has no infinities: such a float is written as {"float": "inf"}.
    return {"float": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _float(value: float) -> str:
    if not math.isfinite(value):
        return _json(_storable(value))
    text = repr(value)
    if value:  # the two zeros are equal and have different texts
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[value] = text
    return text


def _other(value: Any) -> str:
    if value.__class__ is bool:
        return "true" if value else "false"
    if value.__class__ is int:
        return repr(value)
    return _json(_storable(value))


def _text_function(kind: str) -> Callable[[tuple[Any, ...]], str]:
    """What makes the text of one kind of record, with a place for each value.

    It raises ValueError for another number of values.
    """
    places = [
        f'\\"{name}\\":{{(known({name}) or F({name})) if {name}.__class__ is float '
        f"else T({name}) if is_a({name}, S) else N if {name} is None else O({name})}}"
        for name in FIELDS[kind]
    ]
    quoted = f'f"{{{{{",".join(places)}}}}}"'
    lines = ("def text(values):", f"{', '.join(FIELDS[kind])}, = values", f"return {quoted}")
    names: dict[str, Any] = {
        "S": str, "T": encode_basestring, "is_a": isinstance, "known": _known.get, "F": _float, "N": "null",
        "O": _other,
    }  # fmt: skip
    exec("\n    ".join(lines), names)
    made: Callable[[tuple[Any, ...]], str] = names["text"]
    return made


_TEXT_OF = {kind: _text_function(kind) for kind in FIELDS}
