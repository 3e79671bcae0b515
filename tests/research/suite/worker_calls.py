"""What the tests of a worker's beginning ask in other processes."""

import os
import sys
from pathlib import Path
from typing import Any

from src.core.errors import DataError
from src.data.connection import StoreFile
from src.data.stores import get_historical_store


def engine_of(path: str) -> list[tuple[Any, ...]]:
    """Threads and memory of a store's engine, as it says itself."""
    with StoreFile(Path(path), read_only=True) as store:
        return store._execute("SELECT current_setting('threads'), current_setting('memory_limit')").fetchall()


def attempts_to_write(path: str) -> list[str]:
    said = []
    for opened in (lambda: StoreFile(Path(path), read_only=False), lambda: get_historical_store(Path(path, "new"))):
        try:
            opened()
        except DataError as error:
            said.append(error.message)
    return said


def allowed_cores(_: object) -> list[int]:
    return sorted(os.sched_getaffinity(0))


def print_to(name: str) -> str:
    print("to stdout", file=getattr(sys, name), flush=True)
    os.write(1, b"to the first file\n")
    return name
