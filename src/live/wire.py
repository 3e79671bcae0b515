"""Records as plain values and back, for recordings: exact, short, and readable by people.

A field that has its default is left out; an enum is written as its value. Floats go through JSON as the shortest text
that reads back as the same number. Pure; any thread.
"""

import dataclasses
import types
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from src.core.errors import DataError

__all__ = ["from_plain", "to_plain"]

Record = TypeVar("Record")
_Reader = Callable[[Any], Any]


def to_plain(value: Any) -> Any:
    """A record, or a sequence of records, as values that JSON can write."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {}
        for name, default in _fields_of(type(value)):
            item = getattr(value, name)
            if default is dataclasses.MISSING or item != default or item.__class__ is not default.__class__:
                plain[name] = to_plain(item)
        return plain
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [to_plain(each) for each in value]
    return value


def from_plain(cls: type[Record], plain: Any) -> Record:
    """The record of a class from what `to_plain` has made of it.

    Raises:
        DataError: the values are not those of such a record.
    """
    try:
        made: Record = _reader_of(cls)(plain)  # type: ignore[arg-type]  # a class is hashable
        return made
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f"expected the values of a {cls.__name__}, found {plain!r} ({error})") from error


@cache
def _fields_of(cls: type) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.default) for field in dataclasses.fields(cls))


@cache
def _reader_of(hint: Any) -> _Reader:
    """What makes a value of this type out of plain ones."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        inner = [each for each in get_args(hint) if each is not type(None)]
        read = _reader_of(inner[0])
        return lambda plain: None if plain is None else read(plain)
    if origin is tuple:
        read = _reader_of(get_args(hint)[0])
        return lambda plain: tuple([read(each) for each in plain])
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _record_reader(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return lambda plain: plain


def _record_reader(cls: type) -> _Reader:
    hints = get_type_hints(cls)
    readers = {field.name: _reader_of(hints[field.name]) for field in dataclasses.fields(cls)}

    def read(plain: Any) -> Any:
        return cls(**{name: readers[name](value) for name, value in plain.items()})

    return read
