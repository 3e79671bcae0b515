"""Strategy classes that somebody hands over in memory, from a notebook or a script: what they are called and made of.

A run is identified by everything that decides it, and a class without a file of its own is decided by its code and by
everything that its code uses: functions, classes and values beside it, theirs too. Those are hashed here. What cannot
be put into a hash is refused, because two different runs would be taken for one. Pure; called by one thread.
"""

import ast
import dataclasses
import datetime as dt
import dis
import enum
import hashlib
import inspect
import linecache
import os
import re
import sys
import sysconfig
import textwrap
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from logging import Logger
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, GenericAlias, MethodType, ModuleType
from typing import Any

import numpy as np

from src.backtesting.identity import user_file_hash
from src.backtesting.strict.findings import INSTEAD
from src.core.errors import ConfigError
from src.core.strategy import Param, Strategy
from src.strategies import GIVEN, STRATEGIES, LoadedStrategy

__all__ = ["given_strategy", "named_strategy", "source_of"]

_PACKAGE = str(Path(__file__).resolve().parents[1])
_LIBRARIES = tuple(
    str(Path(place).resolve())
    for place in {sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
)
#: What Python keeps in a class besides what was written into it.
_UNWRITTEN = frozenset({
    "__module__", "__dict__", "__weakref__", "__doc__", "__annotations__", "__annotate__", "__annotate_func__",
    "__annotations_cache__", "__firstlineno__", "__static_attributes__", "__abstractmethods__", "_abc_impl",
    "__orig_bases__", "__parameters__", "__type_params__", "__qualname__", "__dataclass_fields__",
    "__dataclass_params__", "__slotnames__",
})  # fmt: skip
#: Values without an identity of their own: whether two equal ones are one object is Python's affair.
_ALIKE = (tuple, frozenset, CodeType, np.generic, range, slice)
#: Whose values say all of themselves with `repr`.
_SPELLED = (range, slice, PurePath, dt.date, dt.time, dt.timedelta)
_VALUES = ("datetime", "decimal", "fractions", "zoneinfo")
_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))


def named_strategy(cls: type, folder: Path) -> str | None:
    """How a class is called in a configuration that finds it by itself: its name in the table, or `file.py:Class`.

    Args:
        folder: what the path of a file is relative to.

    Returns:
        None for one that is known in memory alone: of a notebook, of the script that runs, made inside a function.

    Raises:
        ConfigError: it is no strategy.
    """
    if not issubclass(cls, Strategy):
        raise ConfigError(f"expected a strategy, found {cls.__name__}; derive it from src.core.strategy.BarStrategy")
    place = f"{cls.__module__}:{cls.__qualname__}"
    for name, known in STRATEGIES.items():
        if known == place:
            return name
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if cls.__module__ == "__main__" or not file or getattr(module, cls.__qualname__, None) is not cls:
        return None
    path = Path(file).resolve()
    # Relative, as it would be written: where a project lies is no part of a run.
    with suppress(ValueError):
        path = Path(os.path.relpath(path, folder))
    return f"{path.as_posix()}:{cls.__qualname__}"


def given_strategy(cls: type[Strategy]) -> tuple[str, LoadedStrategy]:
    """How a class that is known in memory alone is called in a configuration, and the class with its hash.

    Raises:
        ConfigError: it uses something that identifies nothing; the sentence names it.
    """
    reader = _Reader(cls.__name__)
    reader.add(cls, cls.__name__)
    locks = tuple(name for name in INSTEAD if name in reader.blocking)
    return f"{GIVEN}{cls.__name__}", LoadedStrategy(cls=cls, path=None, made_of=reader.hash(), real_locks=locks)


def source_of(cls: type[Strategy]) -> str | None:
    """The text of a class as it was written in a cell or a script; None where nobody keeps it."""
    code = next((each.__code__ for each in vars(cls).values() if isinstance(each, FunctionType)), None)
    if code is None:
        return None
    lines = linecache.getlines(code.co_filename)
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        inside = isinstance(node, ast.ClassDef) and node.lineno <= code.co_firstlineno <= (node.end_lineno or 0)
        if isinstance(node, ast.ClassDef) and inside and node.name == cls.__name__:
            return textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
    return None


class _Reader:
    """Puts a class and what it uses into one hash, each thing once.

    Attributes:
        blocking: of the standard library's locks, queues and threads those that the code names.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._digest = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []  # so that no id is given to another object meanwhile
        self.blocking: set[str] = set()

    def hash(self) -> str:
        """SHA-256 of everything that was added, 64 hexadecimal characters."""
        return self._digest.hexdigest()

    def add(self, value: Any, name: str) -> None:
        """Add a value and everything it is made of; `name` is what the code calls it.

        Raises:
            ConfigError: there is something among it that identifies nothing.
        """
        if isinstance(value, _PLAIN):
            self._say("plain", type(value).__name__, repr(value))
        elif isinstance(value, _ALIKE):
            self._add_new(value, name)
        elif id(value) in self._seen:
            self._say("again", self._seen[id(value)])
        else:
            self._seen[id(value)] = len(self._seen)
            self._kept.append(value)
            self._add_new(value, name)

    def _add_new(self, value: Any, name: str) -> None:
        if isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, (FunctionType, MethodType, type)) and _is_library(value):
            self._say("library", value.__module__, value.__qualname__)
        elif isinstance(value, (BuiltinFunctionType, np.ufunc)):
            self._say("builtin", str(getattr(value, "__module__", "")), value.__name__)
        elif isinstance(value, MethodType):
            self.add(value.__func__, name)
            self.add(value.__self__, name)
        elif isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, CodeType):
            self._code(value)
        elif isinstance(value, enum.Enum):
            self._say("member", value.name)
            self.add(type(value), name)
        elif isinstance(value, type):
            self._class(value)
        else:
            self._data(value, name)

    def _data(self, value: Any, name: str) -> None:
        if isinstance(value, Param):
            self._items("param", (value.default, value.low, value.high), name)
        elif isinstance(value, (staticmethod, classmethod)):
            self._items(type(value).__name__, (value.__func__,), name)
        elif isinstance(value, property):
            self._items("property", (value.fget, value.fset, value.fdel), name)
        elif isinstance(value, (list, tuple)):
            self._items(type(value).__name__, value, name)
        elif isinstance(value, (set, frozenset)):
            self._items(type(value).__name__, sorted(value, key=repr), name)
        elif isinstance(value, dict) and type(value).__module__ in ("builtins", "collections"):
            self._say(type(value).__name__)
            factory = getattr(value, "default_factory", None)
            self._items("dict", [factory, *(part for pair in value.items() for part in pair)], name)
        elif isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.dtype.kind in "biufcSUmM"):
            array = np.ascontiguousarray(value)
            self._say("array", str(array.dtype), str(array.shape), hashlib.sha256(array.tobytes()).hexdigest())
        elif isinstance(value, re.Pattern):
            self._items("pattern", (value.pattern, value.flags), name)
        elif isinstance(value, _SPELLED) or type(value).__module__ in _VALUES:
            self._say("value", type(value).__name__, repr(value))
        elif isinstance(value, deque):
            self._items("deque", (value.maxlen, *value), name)
        elif isinstance(value, partial):
            self._items("partial", (value.func, value.args, value.keywords), name)
        elif isinstance(value, Logger):
            self._say("logger", value.name)  # what it writes decides nothing
        elif callable(value) and hasattr(value, "__wrapped__"):
            self._items("wrapped", (value.__wrapped__,), name)
        elif callable(value) and hasattr(value, "__name__") and _is_library(value):
            self._say("library", value.__module__, value.__name__)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            self.add(type(value), name)
            self._items("fields", [getattr(value, each.name) for each in dataclasses.fields(value)], name)
        elif isinstance(value, GenericAlias) or type(value).__module__ == "typing" or inspect.isdatadescriptor(value):
            self._say("type", str(type(value).__name__), getattr(value, "__name__", ""))
        elif hasattr(value, "__dict__") and not callable(value) and not _is_library(type(value)):
            self.add(type(value), name)
            self._items("object", [part for pair in vars(value).items() for part in pair], name)
        else:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise ConfigError(
                f"the strategy {self._owner} uses {name}, a {kind}, which identifies no run: the next one with other "
                "content would be taken for this one; hand it plain values as parameters, or write it into a file: "
                "my_strategy.py:MyStrategy",
                name=name,
            )

    def _items(self, kind: str, values: Any, name: str) -> None:
        self._say(kind, len(values))
        for each in values:
            self.add(each, name)

    def _class(self, cls: type) -> None:
        self._say("class", cls.__qualname__, len(cls.__bases__))
        for base in cls.__bases__:
            self.add(base, base.__name__)
        own: Mapping[str, Any] = {name: value for name, value in vars(cls).items() if name not in _UNWRITTEN}
        if issubclass(cls, enum.Enum):
            self._items("members", [part for each in cls for part in (each.name, each.value)], cls.__name__)
            own = {name: value for name, value in own.items() if isinstance(value, FunctionType)}
        # In the order of the names: moving a method changes nothing that it does.
        for name in sorted(own):
            self._say("attribute", name)
            self.add(own[name], f"{cls.__name__}.{name}")

    def _function(self, function: FunctionType) -> None:
        self._say("function", function.__qualname__)
        self._items("defaults", function.__defaults__ or (), function.__name__)
        keywords = sorted((function.__kwdefaults__ or {}).items())
        self._items("keywords", [part for pair in keywords for part in pair], function.__name__)
        self.add(function.__code__, function.__name__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._say("free", name)
            try:
                content = cell.cell_contents
            except ValueError:  # not bound yet
                continue
            self.add(content, name)
        for name in sorted(set(_globals_of(function.__code__))):
            if name in function.__globals__:
                self._say("global", name)
                value = function.__globals__[name]
                self._note_blocking(value, function.__code__)
                self.add(value, name)
        for code in _codes_of(function.__code__):
            self.blocking |= {full for full in INSTEAD if set(full.rsplit(".", 1)) <= set(code.co_names)}

    def _note_blocking(self, value: Any, code: CodeType) -> None:
        """Remember a lock, or a module of locks of which the code names one."""
        if isinstance(value, ModuleType):
            names = {name for each in _codes_of(code) for name in each.co_names}
            self.blocking |= {full for full in INSTEAD if full in {f"{value.__name__}.{name}" for name in names}}
            return
        for full in INSTEAD:
            module, _, name = full.rpartition(".")
            if getattr(sys.modules.get(module), name, self) is value:
                self.blocking.add(full)

    def _code(self, code: CodeType) -> None:
        # Neither the place nor the lines: a cell that is run again is still the same cell.
        shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        self._say("code", code.co_code.hex(), *shape, *code.co_names, *code.co_varnames, *code.co_freevars)
        table = getattr(code, "co_exceptiontable", b"")
        self._say("exceptions", table.hex())
        self._items("constants", code.co_consts, code.co_name)

    def _module(self, module: ModuleType) -> None:
        file = getattr(module, "__file__", None)
        own = file is not None and file.endswith(".py") and not _in_library(file)
        self._say("module", module.__name__, user_file_hash(Path(file)) if own and file else "")

    def _say(self, *words: object) -> None:
        for word in words:
            text = str(word).encode("utf-8", "surrogatepass")
            self._digest.update(b"%d:" % len(text) + text)


def _codes_of(code: CodeType) -> Iterator[CodeType]:
    """A code and those of the functions, classes and comprehensions inside it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _codes_of(each)


def _globals_of(code: CodeType) -> Iterator[str]:
    for each in _codes_of(code):
        yield from (step.argval for step in dis.get_instructions(each) if step.opname in _GLOBALS)


def _in_library(file: str) -> bool:
    place = str(Path(file).resolve())
    return place.startswith((_PACKAGE, *_LIBRARIES))


def _is_library(value: Any) -> bool:
    """Whether it comes with Python, with Lockstep or with an installed package, whose versions a run names anyway."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or module.__name__ == "__main__":
        return False
    file = getattr(module, "__file__", None)
    if file is not None and not _in_library(file):
        return False
    # What was made under a library's name, or inside of a function of it, is not found there under its own.
    found: Any = module
    for part in str(getattr(value, "__qualname__", getattr(value, "__name__", ""))).split("."):
        found = getattr(found, part, None)
    return found is value or (isinstance(value, MethodType) and found == value)
