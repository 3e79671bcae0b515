"""What a suite leaves in its own folder, and the rows of its results, both in the order of the manifest.

Nothing here depends on which run ended first. Called by the thread of the suite, in phase C.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.backtesting.result import Outcome
from src.core.errors import DataError
from src.core.words import counted
from src.research.executors.port import Lost
from src.research.suite.manifest import Manifest
from src.research.suite.plan import Plan
from src.research.suite.records import RecordBook
from src.research.suite.results import SuiteRunRow

__all__ = ["LOST", "listed_rows", "why_lost", "write_index", "write_json"]

#: The status of a run without an answer, which is no result of it.
LOST = "LOST"
_COMPLETED = Outcome.COMPLETED.value


def listed_rows(manifest: Manifest, plan: Plan, book: RecordBook, lost: dict[str, Lost]) -> Iterator[SuiteRunRow]:
    """What the manifest lists, in its order, with what came of it; `lost` are those that have no answer."""
    for spec, key in zip(manifest.specs, plan.keys, strict=True):
        answer = book.answer(key)
        if answer is None:
            yield SuiteRunRow(
                position=spec.position, name=spec.name, labels=spec.labels, run_id=None, status=LOST,
                error=why_lost(lost.get(key)),
            )  # fmt: skip
        else:
            yield SuiteRunRow(
                position=spec.position, name=spec.name, labels=spec.labels, run_id=answer.run_id or None,
                status=answer.outcome, error=answer.error,
            )  # fmt: skip


def why_lost(lost: Lost | None) -> str:
    """The sentence of a run without an answer."""
    return "it was never begun" if lost is None else f"{lost.reason} ({counted(lost.attempts, 'attempt')})"


def write_index(
    path: Path, manifest: Manifest, plan: Plan, book: RecordBook, lost: dict[str, Lost], identity: str, outcome: str
) -> None:
    """The runs in the order of the manifest, one line each; written beside its place and renamed.

    Raises:
        DataError: the disk refused it.
    """
    with _replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        head = json.dumps({"suite_id": identity, "name": manifest.name, "outcome": outcome}, sort_keys=True)
        file.write(head[:-1] + ', "runs": [')
        rows = listed_rows(manifest, plan, book, lost)
        for row, spec, key in zip(rows, manifest.specs, plan.keys, strict=True):
            answer = book.answer(key)
            entry = {
                "position": row.position, "name": row.name, "labels": dict(row.labels), "status": row.status,
                "key": key, "error": row.error or None, "run_id": row.run_id,
                "digest": None if answer is None else answer.digest or None,
                # Of the others the folder has a number, which counts the attempts.
                "folder": answer.folder if answer is not None and row.status == _COMPLETED else None,
                "fingerprint": None if answer is None else answer.fingerprint or None,
                "artifacts": {} if answer is None else answer.artifacts,
            }  # fmt: skip
            if row.status != _COMPLETED:  # how to see alone what became of it
                entry["again"] = list(manifest.alone(spec))
            comma = ",\n" if row.position else "\n"
            file.write(comma + json.dumps(entry, sort_keys=True, ensure_ascii=True))
        file.write("\n]}\n")
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """A small file for people and programs; written beside its place and renamed.

    Raises:
        DataError: the disk refused it.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with _replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside it that takes its place at the end."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise DataError(
            f"{path} could not be written: {error.strerror or error}; what the runs came to is kept: make room, leave "
            "a suite's folder alone while it is under way, and go on with --resume",
            path=str(path),
        ) from None
