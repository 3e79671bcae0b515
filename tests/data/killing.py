"""A program that does one thing to a store again and again, and is killed each time one step later.

Run as `python -m tests.data.killing TASK FOLDER EVERY` from the repository's root. FOLDER holds `market.duckdb` and
what the task reads, and is left as it is. For each step of the task, or each EVERY-th, a child is forked with files of
its own and killed there with SIGKILL; a second child opens what was left, looks at it, does the task again and looks
once more. Printed is one JSON object: how many steps there are, and a line for each kill after which something was not
right.

A step is the begin or end of a statement to the database, or of a call that changes files.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pandas  # noqa: F401  # pyarrow imports it when it is used, which each child would do anew
import pyarrow.parquet  # noqa: F401  # as the mirror does

from src.core.calendars import calendar_named
from src.core.timeframe import MINUTE_NS
from src.data import connection, schema
from src.data.fingerprint import fingerprint_columns
from src.data.healing import heal_series
from src.data.importing import ImportAnswers, inspect_file, run_import
from src.data.mirror import export_mirror, list_mirror, mirror_folder, read_mirror
from src.data.mirror_import import import_mirror, restore_series
from src.data.store import HistoricalDataStore
from src.data.stores import fingerprint_of

_STATEMENTS = ("_execute", "_insert", "close", "_let_go")
_FILE_CALLS = (os.replace, os.fsync, os.unlink, os.mkdir, os.rmdir)
_SYMBOLS = ("BTCUSD", "ETHUSD")

# The first child that imports a module would write its compiled file, in steps that the later ones do not take.
sys.dont_write_bytecode = True


class Watched:
    """A connection whose statements are calls that can be seen."""

    def __init__(self, database: Any) -> None:
        self._database = database

    def execute(self, *words: Any) -> Any:
        """As the connection does."""
        return self._database.execute(*words)


def heal(path: Path) -> None:
    """Mend every series."""
    with HistoricalDataStore(path) as store:
        for info in store.list_series():
            heal_series(store, info, calendar_named("24/7"))


def export(path: Path) -> None:
    """Bring the mirror up to date."""
    with HistoricalDataStore(path, read_only=True) as store:
        export_mirror(store, mirror_folder(path))


def import_bars(path: Path) -> None:
    """Import a file of bars that lie before, between and after those that are stored."""
    answers = ImportAnswers(symbol="BTCUSD", kind="crypto", zone="UTC", stamp="open", price="trade", source="test")
    plan = inspect_file(path.with_name("bars.csv"), answers)
    with HistoricalDataStore(path) as store:
        run_import(plan, store)


def import_copy(path: Path) -> None:
    """Import a whole mirror."""
    with HistoricalDataStore(path) as store:
        import_mirror(path.with_name("copy.mirror"), store)


def restore(path: Path) -> None:
    """Put back what a series has lost since its copy was made."""
    with HistoricalDataStore(path) as store:
        restore_series(mirror_folder(path), store, "BTCUSD")


def migrate(path: Path) -> None:
    """Bring a store of an earlier version to this one; each of its statements is a step."""
    plain = schema.migrate
    schema.migrate = lambda connection, found: plain(cast(Any, Watched(connection)), found)
    try:
        HistoricalDataStore(path).close()
    finally:
        schema.migrate = plain


def everything(path: Path) -> list[str]:
    """The fingerprint of all rows, with what belongs to them: series, instruments, and whether a log tells of them."""
    with HistoricalDataStore(path) as store:  # for writing: that is harder, and makes an absent one
        found = store.list_series()
        known = [store.read_instrument(info.symbol) for info in found]
        logged = sorted({line["symbol"] for line in store.read_import_log()})
        return [f"{fingerprint_of(store)} {found} {known} {logged}"]


def versioned(path: Path) -> list[str]:
    """The fingerprint of all rows, the version of the tables, and how much else there is; a reader changes neither."""
    with HistoricalDataStore(path, read_only=True) as store:
        found = [store.list_series(), store.read_import_log(), store.read_heal_log(), store.list_tapes()]
        return [f"{fingerprint_of(store)} {store.version} {found}"]


def rows(path: Path) -> list[str]:
    """The fingerprint of each series, and how many lines of the heal log it has."""
    with HistoricalDataStore(path, read_only=True) as store:
        log = [entry.symbol for entry in store.read_heal_log()]
        return [
            f"{fingerprint_columns(one, MINUTE_NS, 'trade', store.read_raw(one, MINUTE_NS))} {log.count(one)}"
            for one in _SYMBOLS
        ]


def mirrored(path: Path) -> list[str]:
    """The fingerprint of each mirrored series, read whole; an absent one is `none`."""
    folder = mirror_folder(path)
    found = {one.symbol: one.fingerprint for one in list_mirror(folder)}
    for symbol, fingerprint in found.items():
        read_mirror(folder, symbol, MINUTE_NS, fingerprint=fingerprint)
    return [found.get(one, "none") for one in _SYMBOLS]


_TASKS: dict[str, tuple[Callable[[Path], None], Callable[[Path], list[str]]]] = {
    "heal": (heal, rows),
    "export": (export, mirrored),
    "import": (import_bars, everything),
    "import_mirror": (import_copy, everything),
    "restore": (restore, rows),
    "migrate": (migrate, versioned),
}


class Steps:
    """Counts the steps of this thread, and ends the process at one of them."""

    def __init__(self, last: int | None) -> None:
        self.count = 0
        self._last = last

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event in ("call", "return"):
            is_step = code.co_filename == connection.__file__ and code.co_name in _STATEMENTS
            is_step |= code is Watched.execute.__code__
        else:
            is_step = event == "c_call" and arg in _FILE_CALLS
        if is_step:
            self.count += 1
            if self.count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)


def in_child(what: Callable[[], Any]) -> tuple[int, Any]:
    """Do something in a forked process: how it ended, and the JSON value that it came to."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.write(writing, json.dumps(what()).encode())
            code = 0
        except BaseException:
            os.write(writing, json.dumps(traceback.format_exc()).encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return status, json.loads(text) if text else None


def main(task: str, folder: Path, every: int) -> dict[str, Any]:
    """Kill the task at its steps; the second word of each finding says what was wrong."""
    do, look = _TASKS[task]
    place = folder / "killed"

    def fresh() -> Path:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name in ("market.duckdb", "market.mirror", "bars.csv", "copy.mirror"):
            if (folder / name).is_dir():
                shutil.copytree(folder / name, place / name)
            elif (folder / name).exists():
                shutil.copy(folder / name, place / name)
        return place / "market.duckdb"

    def watched(path: Path, last: int | None) -> int:
        steps = Steps(last)
        sys.setprofile(steps)
        do(path)
        sys.setprofile(None)
        return steps.count

    def again(path: Path) -> list[list[str]]:
        found = [look(path)]
        do(path)
        return [*found, look(path)]

    path = fresh()
    _, before = in_child(lambda: look(path))
    _, count = in_child(lambda: watched(path, None))
    _, after = in_child(lambda: look(path))
    findings = []
    for step in range(1, count + 1, every):
        path = fresh()
        status, _ = in_child(partial(watched, path, step))
        if not os.WIFSIGNALED(status):
            findings.append(f"{step} was not killed")
            continue
        _, found = in_child(partial(again, path))
        if not isinstance(found, list):
            findings.append(f"{step} {found}")
        elif any(one not in pair for one, *pair in zip(found[0], before, after, strict=True)):
            findings.append(f"{step} left {found[0]}")
        elif found[1] != after:
            findings.append(f"{step} came to {found[1]}")
    return {"steps": count, "before": before, "after": after, "findings": findings}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))
