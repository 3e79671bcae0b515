"""Finds real locks, queues and threads of the standard library by reading the user's files; runs nothing.

With fibers one of them blocks the whole run, because all participants share one thread, so there they are refused
before the run begins. Called by the thread that composes the run.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from src.backtesting.strict.findings import INSTEAD
from src.core.errors import ConfigError

__all__ = ["RealLock", "real_locks", "refuse_real_locks"]

_MODULES = sorted({name.rpartition(".")[0] for name in INSTEAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class RealLock:
    """A place in a file that names one of the standard library's blocking things.

    Attributes:
        name: such as `threading.Lock`.
        instead: what to write in its place.
    """

    file: Path
    line: int
    name: str
    instead: str


def real_locks(files: Iterable[Path]) -> tuple[RealLock, ...]:
    """All of them, in the order of the files and lines; annotations are left out.

    Raises:
        ConfigError: a file cannot be read or is not Python.
    """
    found: list[RealLock] = []
    for file in files:
        try:
            places = _places(file.read_bytes(), str(file))
        except (OSError, SyntaxError, ValueError) as error:
            raise ConfigError(f"{file.name}: expected a Python file, found: {error}") from None
        found += [RealLock(file=file, line=line, name=name, instead=INSTEAD[name]) for line, name in places]
    return tuple(found)


@lru_cache(maxsize=256)
def _places(content: bytes, name: str) -> tuple[tuple[int, str], ...]:
    # A function of the text, which is the same for each of many runs of one file.
    return tuple(sorted(set(_named(ast.parse(content, filename=name)))))


def refuse_real_locks(files: Iterable[Path]) -> None:
    """Raise unless the files are free of them; for `runtime: fibers`.

    Raises:
        ConfigError: one line for each place, with what to write instead.
    """
    found = real_locks(files)
    if not found:
        return
    places = "\n".join(f"  {one.file.name}:{one.line}: {one.name}; write {one.instead}" for one in found)
    raise ConfigError(
        "runtime: fibers runs all participants in one thread, where a real lock, queue or thread blocks everybody; "
        f"write runtime: threads, or use the clock's own:\n{places}",
        places=[f"{one.file.name}:{one.line}" for one in found],
    )


def _named(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of each use of a table's name, however it was imported."""
    names = _imported(tree)
    inside_annotations = {id(part) for node in ast.walk(tree) for root in _annotations(node) for part in ast.walk(root)}
    for node in ast.walk(tree):
        if id(node) in inside_annotations or not isinstance(node, (ast.Name, ast.Attribute)):
            continue
        dotted = _dotted(node)
        head, _, rest = dotted.partition(".")
        if isinstance(node.ctx, ast.Load) and head in names:
            full = f"{names[head]}.{rest}" if rest else names[head]
            if full in INSTEAD:
                yield node.lineno, full


def _imported(tree: ast.Module) -> dict[str, str]:
    """What each name of the file stands for, of those that lead to the table."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if any(module == alias.name or module.startswith(f"{alias.name}.") for module in _MODULES):
                    names[alias.asname or alias.name.partition(".")[0]] = (
                        alias.name if alias.asname else alias.name.partition(".")[0]
                    )
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                if alias.name == "*":
                    mine = (full for full in INSTEAD if full.rpartition(".")[0] == node.module)
                    names.update({full.rpartition(".")[2]: full for full in mine})
                elif any(full.startswith(f"{node.module}.{alias.name}") for full in INSTEAD):
                    names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _annotations(node: ast.AST) -> list[ast.expr]:
    parts = [getattr(node, name, None) for name in ("annotation", "returns")]
    return [part for part in parts if isinstance(part, ast.expr)]


def _dotted(node: ast.expr) -> str:
    """`a.b.c` of nested attributes, empty when it does not begin with a name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""
