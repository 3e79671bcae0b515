"""What a user's code may change in the process around it: put back after each run, for the next one is no part of it.

A run by itself begins in a new process. In a worker the runs of a suite share one: what one of them sets there for all,
a way to round, an environment variable, a folder on the path, would decide results of the next. Called by one thread,
between runs.
"""

import decimal
import gc
import locale
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from src.core.rng import forget_global_seeds
from src.strategies.loader import forget_user_code

__all__ = ["restored_surroundings"]


@contextmanager
def restored_surroundings() -> Iterator[None]:
    """Put back what the block changes: folder, environment, import path, numbers' and texts' settings, warnings, log.

    Global streams of random numbers get a new seed from the system, as a new process has. What is changed inside of a
    library or of Lockstep itself is not found.
    """
    forget_user_code()  # else the folders of files that were loaded before would be put back on the path for good
    before = _here()
    path, environment = list(sys.path), dict(os.environ)
    filters, handlers = list(warnings.filters), list(logging.root.handlers)
    numbers = decimal.getcontext().copy()
    try:
        yield
    finally:
        forget_user_code()
        forget_global_seeds()
        sys.path[:] = path
        _restore_environment(environment)
        if warnings.filters != filters:
            warnings.filters[:] = filters  # type: ignore[index]  # a list, which the stubs call a sequence
            warnings._filters_mutated()  # type: ignore[attr-defined]  # what was decided under the others is forgotten
        logging.root.handlers[:] = handlers
        decimal.setcontext(numbers)
        _restore(before)


def _here() -> dict[str, Any]:
    return {
        "folder": _folder(), "errors": np.geterr(), "texts": np.get_printoptions(),
        "recursion": sys.getrecursionlimit(), "collector": gc.isenabled(), "locale": locale.setlocale(locale.LC_ALL),
        "level": logging.root.level, "disabled": logging.root.manager.disable,
    }  # fmt: skip


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # somebody removed it
        return os.curdir


def _restore(before: dict[str, Any]) -> None:
    if _folder() != before["folder"]:
        with suppress(OSError):
            os.chdir(before["folder"])
    np.seterr(**before["errors"])
    np.set_printoptions(**before["texts"])
    sys.setrecursionlimit(before["recursion"])
    (gc.enable if before["collector"] else gc.disable)()
    if locale.setlocale(locale.LC_ALL) != before["locale"]:
        locale.setlocale(locale.LC_ALL, before["locale"])
    logging.root.setLevel(before["level"])
    logging.disable(before["disabled"])


def _restore_environment(before: dict[str, str]) -> None:
    if os.environ != before:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
