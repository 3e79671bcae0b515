"""Who a run is: a hash of everything that went in, and nothing else.

Two runs with one id must have one digest. So the inputs here are values, never places or times: where files lie, how
fast the run was paced, and how many workers there were do not count. Pure but for reading source files; any thread.
"""

import ast
import hashlib
import json
import math
import os
import platform
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from src import __version__
from src.core.calendars import ALWAYS, FOREX
from src.core.errors import ConfigError, InternalError, invariant

__all__ = [
    "canonical_json", "code_hash", "code_hash_of_this_process", "identity_inputs", "run_id", "used_versions",
    "user_file_hash", "user_files", "versions",
]  # fmt: skip

_ID_LENGTH = 16
_PACKAGE = Path(__file__).resolve().parents[1]


def run_id(inputs: Mapping[str, Any]) -> str:
    """The 16 hexadecimal characters that name a run: the start of the SHA-256 of the inputs' canonical JSON.

    Raises:
        InternalError: the inputs hold something that JSON cannot write in exactly one way.
    """
    return hashlib.sha256(canonical_json(inputs).encode("ascii")).hexdigest()[:_ID_LENGTH]


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: keys sorted, no spaces, ASCII, floats as the shortest text that reads back.

    Raises:
        InternalError: a key is no text, a number is not finite, or a value is neither text, number, truth value, None,
            sequence nor mapping; the error names the place.
    """
    _check_plain(value, "inputs")
    return json.dumps(_unmapped(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _check_plain(value: Any, place: str) -> None:
    if value is None or isinstance(value, (str, bool, int)):
        return
    if isinstance(value, float):
        invariant(math.isfinite(value), f"{place} is {value!r}, which identifies nothing", place=place)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            invariant(isinstance(key, str), f"{place} has the key {key!r}, which is no text", place=place)
            _check_plain(item, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            _check_plain(item, f"{place}[{number}]")
    else:
        raise InternalError(f"{place} is a {type(value).__name__}, which has no canonical text", place=place)


def _unmapped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _unmapped(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_unmapped(item) for item in value]
    return value


def versions() -> dict[str, str]:
    """The versions that a result may depend on: Python, numpy and Lockstep."""
    return {"lockstep": __version__, "numpy": str(np.__version__), "python": platform.python_version()}


def used_versions(calendars: Iterable[str], zones: Iterable[str], sources: Iterable[Path]) -> dict[str, str]:
    """`versions`, and those of whatever else decides when a market is open, when a day begins, and what a feature is.

    A run that uses none of it is the same run whatever of it is installed.

    Args:
        calendars: names of the calendars that the configuration uses.
        zones: names of its zones.
        sources: the strategies' own files; TA-Lib counts as used where one of them speaks of it.
    """
    found, named, local = versions(), set(calendars), set(zones) - {"UTC"}
    if named - {ALWAYS, FOREX}:
        found["exchange_calendars"] = version("exchange_calendars")
    if local or named - {ALWAYS}:
        found["tzdata"] = _zones_version()
    if any(b"talib" in _normalised(path) for path in sources):
        found |= _installed("TA-Lib")
    return found


def _zones_version() -> str:
    """Of the rules of daylight saving: the system's come first, and the package is for where it has none."""
    for folder in map(Path, zoneinfo.TZPATH):
        if (folder / "America" / "New_York").is_file():
            text = folder / "tzdata.zi"  # "# version 2025b"
            first = text.read_bytes().split(b"\n", 1)[0].split() if text.is_file() else []
            return b" ".join([b"system", *first[2:3]]).decode("ascii", "replace")
    return _installed("tzdata").get("tzdata", "none")


def _installed(package: str) -> dict[str, str]:
    try:
        return {package: version(package)}
    except PackageNotFoundError:  # a comment may speak of what nobody uses
        return {}


def identity_inputs(
    *,
    configuration: Mapping[str, Any],
    start_ns: int,
    end_ns: int,
    seed: int,
    policy: str,
    data_fingerprint: str,
    user_files: Mapping[str, str] | None = None,
    changes: Sequence[Mapping[str, Any]] = (),
    code: str | None = None,
    used_versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Everything that decides a run, as the mapping that `run_id` hashes and the manifest shows.

    Args:
        configuration: resolved, overrides applied, as plain values; the caller has taken out what must not count
            (runtime, time mode, pace, watch, trace, workers, folders).
        start_ns, end_ns: the exact window.
        policy: the schedule with its version, such as `1:seeded:7`.
        data_fingerprint: of the rows that the run reads.
        user_files: content hash by the name under which the configuration uses the file (`user_file_hash`).
        changes: symbols added or removed on the way, each with its instant, in order.
        code: content hash of Lockstep's own source; that of this process when not given.
        used_versions: as `versions()`; taken from this process when not given.
    """
    invariant(bool(data_fingerprint), "a run cannot be identified without the fingerprint of its data")
    invariant(bool(policy), "a run cannot be identified without its schedule policy")
    return {
        "changes": [dict(change) for change in changes],
        "code": code_hash_of_this_process() if code is None else code,
        "configuration": dict(configuration),
        "data_fingerprint": data_fingerprint,
        "policy": policy,
        "seed": seed,
        "user_files": dict(user_files or {}),
        "versions": dict(versions() if used_versions is None else used_versions),
        "window": {"end_ns": end_ns, "start_ns": start_ns},
    }


def code_hash(*roots: Path) -> str:
    """SHA-256, 64 hexadecimal characters, over all `*.py` below the roots: relative names and contents, in name order.

    Line ends are normalised, so a checkout on another system has the same hash; where the roots lie does not count.
    """
    digest = hashlib.sha256()
    for root in roots:
        found = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
        _add_files(digest, {name: path for name, path in found.items() if "__pycache__" not in Path(name).parts})
    return digest.hexdigest()


@cache
def code_hash_of_this_process() -> str:
    """`code_hash` of Lockstep's own source, read once: what a process runs is what it loaded first."""
    return code_hash(_PACKAGE)


def user_file_hash(path: Path) -> str:
    """SHA-256, 64 hexadecimal characters, over a strategy file and the modules beside it that it imports.

    Follows imports through those modules too: absolute and relative ones, packages beside the file as a whole, and
    `import_module("name")` with a literal name. A module that is found by a name computed at run time is not seen.

    Raises:
        ConfigError: a file is missing, unreadable, or not Python.
    """
    digest = hashlib.sha256()
    _add_files(digest, user_files(path))
    return digest.hexdigest()


def user_files(path: Path) -> dict[str, Path]:
    """The files that `user_file_hash` hashes, by their names relative to the strategy file's folder.

    Raises:
        ConfigError: a file is missing, unreadable, or not Python.
    """
    home = path.resolve().parent
    seen: dict[str, Path] = {}
    waiting = [path.resolve()]
    while waiting:
        file = waiting.pop()
        name = Path(os.path.relpath(file, home)).as_posix()
        if name not in seen:
            seen[name] = file
            waiting += _beside(file, home)
    return seen


def _add_files(digest: "hashlib._Hash", files: Mapping[str, Path]) -> None:
    for name in sorted(files):
        content = _normalised(files[name])
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)


def _normalised(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"expected a readable Python file at {path}, found: {error.strerror or error}; check the path after `use:`",
            path=str(path),
        ) from None
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _beside(file: Path, home: Path) -> Iterator[Path]:
    """The files near `home` that one source file imports."""
    try:
        imported = _imports(_normalised(file))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = f"{file}, line {line}" if line else str(file)
        raise ConfigError(f"{where}: expected Python, found: {getattr(error, 'msg', error)}", path=str(file)) from None
    for level, dotted in imported:
        folder = home
        if level:
            folder = file.parent
            for _ in range(level - 1):
                folder = folder.parent
        yield from _module_files(folder, dotted)


@lru_cache(maxsize=256)
def _imports(content: bytes) -> tuple[tuple[int, str], ...]:
    """What a source imports: the level of a relative import, 0 for the others, and the dotted name.

    A function of the text, which is the same for each of many runs of one file.

    Raises:
        SyntaxError, ValueError: it is not Python.
    """
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = f"{node.module}." if node.module else ""
            found += [(node.level, f"{base}{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and _called(node.func) in ("import_module", "__import__") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.append((0, first.value.lstrip(".")))
    return tuple(found)


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _module_files(folder: Path, dotted: str) -> Iterable[Path]:
    """The files that `import dotted` may load from `folder`: a module, or every module of a package."""
    name = dotted.split(".", maxsplit=1)[0]
    if not name or name == "*":
        return []
    module, package = folder / f"{name}.py", folder / name
    found = [module] if module.is_file() else []
    # Lockstep's own package has a hash of its own, also where a user's file lies beside it.
    if package.is_dir() and package.resolve() != _PACKAGE:
        found += sorted(path for path in package.rglob("*.py") if "__pycache__" not in path.parts)
    return found
