"""Finding strategy classes: the name table, and files by path.

Called while a run is composed, by one thread.
"""

import hashlib
import importlib.util
import os
import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from src.core.errors import ConfigError
from src.core.strategy import Strategy
from src.core.words import meant

__all__ = ["GIVEN", "STRATEGIES", "LoadedStrategy", "forget_user_code", "load_strategy"]

STRATEGIES = {
    "breakout": "src.strategies.breakout:Breakout",
    "sma_cross": "src.strategies.sma_cross:SmaCross",
}

#: How a class that was handed over in memory is called in a configuration, before its own name.
GIVEN = "class:"

#: How the modules of users' files begin.
_USER = "lockstep_user_"

#: Folders that users' files were loaded from, the latest first; they stand in this order at the end of `sys.path`.
_FOLDERS: list[Path] = []
#: Modules with a file that lie beside no user's file, by the folders that were asked about: nearly all there are.
_ELSEWHERE: dict[tuple[str, ...], dict[str, ModuleType]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedStrategy:
    """A strategy class and, when it is a user's own, where it came from.

    Attributes:
        path: the file that it was read from; None for one of the table, and for one that was defined in memory.
        made_of: SHA-256, 64 hexadecimal characters, of what a class that was defined in memory is made of.
        real_locks: the standard library's blocking things that such a class names, as `threading.Lock`.
    """

    cls: type[Strategy]
    path: Path | None
    made_of: str | None = None
    real_locks: tuple[str, ...] = ()


def load_strategy(use: str, folder: Path) -> LoadedStrategy:
    """The class of a name of the table, or of `file.py:Class` with the path relative to `folder`.

    Raises:
        ConfigError: no such name, file or class, a file that cannot be imported, or a class that is no strategy.
    """
    if use.startswith(GIVEN):
        raise ConfigError(
            f"the class {use.removeprefix(GIVEN)} was defined in a notebook or a script that called `run_backtest`, "
            "and is known there alone; write it into a file and name that: my_strategy.py:MyStrategy"
        )
    if ".py" not in use:
        if use not in STRATEGIES:
            file = f"{use.partition(':')[0]}.py"
            hint = f"; did you mean {file!r}?" if (folder / file).is_file() else meant(use, STRATEGIES)
            raise ConfigError(
                f"expected a strategy among {', '.join(STRATEGIES)} or a path such as my_strategy.py:MyStrategy, "
                f"found {use!r}{hint}"
            )
        module, _, name = STRATEGIES[use].partition(":")
        cls: type[Strategy] = getattr(import_module(module), name)
        return LoadedStrategy(cls=cls, path=None)
    file, _, name = use.rpartition(":") if not use.endswith(".py") else (use, "", "")
    path = (folder / file).resolve()
    if not path.is_file():
        near = [each.name for each in sorted(path.parent.glob("*.py"))] if path.parent.is_dir() else []
        hint = meant(path.name, near)
        raise ConfigError(f"expected a strategy file at {path}, found none; the path is relative to {folder}{hint}")
    return LoadedStrategy(cls=_class_of(path, name), path=path)


def forget_user_code() -> None:
    """Let go of every user's file, of the modules beside it, and of its folder on `sys.path`, as in a new process."""
    _forget_neighbours()
    for name in [name for name in sys.modules if name.startswith(_USER)]:
        del sys.modules[name]
    for folder in _FOLDERS:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
    _FOLDERS.clear()


def _class_of(path: Path, name: str) -> type[Strategy]:
    module = _load(path)
    own = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == module.__name__
    }
    if not name:
        if len(own) == 1:
            return next(iter(own.values()))
        found = ", ".join(own) or "none"
        raise ConfigError(f"{path.name}: write {path.name}:CLASS to name the strategy; the file holds {found}")
    if name not in vars(module):
        found = ", ".join(own) or "none"
        raise ConfigError(f"{path.name}: expected a class {name}, found {found}{meant(name, own)}")
    cls = getattr(module, name)
    if not (isinstance(cls, type) and issubclass(cls, Strategy)):
        raise ConfigError(f"{path.name}:{name} is no strategy; derive it from src.core.strategy.BarStrategy")
    return cls


class _Present(SourceFileLoader):
    """Compiles what stands in the file now; a compiled copy beside it is told from it by its size and second only."""

    def get_code(self, fullname: str) -> CodeType:
        """See `importlib.abc.InspectLoader`."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def _load(path: Path) -> ModuleType:
    # Read anew at each load, and named after place and content, so that two files of one name, or two versions of one
    # file, never meet in sys.modules.
    name = hashlib.sha256(str(path).encode() + b"\0" + path.read_bytes()).hexdigest()[:16]
    module_name = f"{_USER}{name}"
    spec = importlib.util.spec_from_file_location(module_name, path, loader=_Present(module_name, str(path)))
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path.name} cannot be imported: expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    _look_first_in(path.parent)
    _forget_neighbours()
    importlib.invalidate_caches()
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        frames = reversed(traceback.extract_tb(error.__traceback__))
        line = next((frame.lineno for frame in frames if frame.filename == str(path)), None)
        line = getattr(error, "lineno", None) or line
        raise ConfigError(f"{path.name}:{line}: cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        _forget_neighbours()
    return module


def _look_first_in(folder: Path) -> None:
    # At the end of the path, so that they shadow nothing, and for good, because a file may also import what lies beside
    # it later, inside a method.
    for known in _FOLDERS:
        if str(known) in sys.path:
            sys.path.remove(str(known))
    if folder in _FOLDERS:
        _FOLDERS.remove(folder)
    _FOLDERS.insert(0, folder)
    sys.path.extend(map(str, _FOLDERS))


def _forget_neighbours() -> None:
    """Take the modules beside users' files out of the table, so that the next file imports its own and present ones.

    Packages with all that is in them too, whether or not they have an `__init__.py`. Who has imported them keeps them.
    """
    if not _FOLDERS:
        return
    folders = tuple(f"{folder}{os.sep}" for folder in _FOLDERS)
    elsewhere = _ELSEWHERE.setdefault(folders, {})
    beside: list[str] = []
    # All are found before the first one goes: where a package without a file lies is asked of the one around it.
    for name, module in list(sys.modules.items()):
        if elsewhere.get(name) is module and module is not None:
            continue
        if _is_beside(name, module, folders):
            beside.append(name)
        elif getattr(module, "__file__", None) and not name.startswith(_USER):
            elsewhere[name] = module
    for name in beside:
        del sys.modules[name]


def _is_beside(name: str, module: object, folders: tuple[str, ...]) -> bool:
    """Whether a module lies in one of these folders under its own name; one that is no Python source does not count."""
    top = name.partition(".")[0]
    if top in ("src", "__main__"):
        return False
    file = getattr(module, "__file__", None)
    places = [str(file)] if file else map(str, getattr(module, "__path__", None) or ())
    for place in places:
        if place.startswith(folders):  # hardly any of them
            for folder in folders:
                rest = place.removeprefix(f"{folder}{top}")
                if rest != place and (rest == ".py" or rest[:1] in ("", os.sep)):
                    return not file or place.endswith(".py")
    return False
