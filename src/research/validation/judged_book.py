"""What the walk-forward has come to so far, on disk: a line for each candidate that was judged, or that broke.

See `DurableLines` for what survives the end of a program. When all is done the lines are put in the order of the
candidates, so that the file says nothing of who was done first. Used by one thread, inside the validation's lock.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from src.core.errors import DataError
from src.research.durable_lines import DurableLines, line_of

__all__ = ["JudgedBook", "JudgedLine", "judged_line", "windows_in", "windows_of"]

_HEADER, _JUDGED, _BROKEN = "made_by", "judged", "broken"


class JudgedLine(NamedTuple):
    """What became of one candidate, as the line of the book that it will be.

    Workers make it, so that the process that writes has nothing else to do; a tuple, because a record takes ten times
    as long to be read where it comes from another process.
    """

    number: int
    broken: bool
    line: bytes


def judged_line(entry: Mapping[str, Any]) -> JudgedLine:
    """The line of what `judge.judged` tells of a candidate."""
    broken = "error" in entry
    line = line_of({_BROKEN if broken else _JUDGED: entry})
    return JudgedLine(number=entry["number"], broken=broken, line=line)


class JudgedBook:
    """The records of one validation; a context manager. Of a candidate nothing is kept but the place of its line.

    Args:
        path: the file; made when absent.
        made_by: what else than the candidates and the configuration the records are a function of, such as the hash of
            the program: records made by something else are dropped.
        anew: drop whatever there is, whole or damaged.

    Attributes:
        dropped: how many records there were that were dropped.

    Raises:
        DataError: a line in the middle is damaged, or the file cannot be written.
    """

    def __init__(self, path: Path, made_by: Mapping[str, Any], *, anew: bool = False) -> None:
        self._path = path
        self._made_by = dict(made_by)
        self._found: Any = None
        self.dropped = 0
        self._judged: dict[int, int] = {}
        self._broken: dict[int, int] = {}
        try:
            self._lines = self._opened()
        except DataError:
            if not anew:
                raise
            with suppress(OSError):  # damaged, which matters to nobody any more
                self._path.unlink()
            self._judged.clear()
            self._broken.clear()
            self._found = None
            self._lines = self._opened()
        if self._found is None and not self._judged and not self._broken:
            self._lines.append([{_HEADER: self._made_by}])
        elif anew or self._found != self._made_by:
            self.drop()

    def _opened(self) -> DurableLines:
        return DurableLines(self._path, self._note, owner="a validation", lost="its candidate")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: Any) -> None:
        self._lines.close()

    @property
    def known(self) -> frozenset[int]:
        """The numbers of the candidates that were judged."""
        return frozenset(self._judged)

    def drop(self) -> None:
        """Forget everything."""
        self.dropped = len(self._judged)
        self._lines.close()
        self._path.unlink(missing_ok=True)
        self._judged.clear()
        self._broken.clear()
        self._lines = self._opened()
        self._lines.append([{_HEADER: self._made_by}])

    def append(self, lines: Iterable[JudgedLine]) -> None:
        """Write what became of some candidates; it is on the disk when this returns.

        Raises:
            DataError: the disk refused it; the book is as it was before.
        """
        told = list(lines)
        places = self._lines.append_lines([each.line for each in told])
        for each, place in zip(told, places, strict=True):
            self._places(_BROKEN if each.broken else _JUDGED)[each.number] = place

    def judged(self) -> Iterator[dict[str, Any]]:
        """The candidates that were judged, in their order, read from the file one by one."""
        return self._lines.read([self._judged[number] for number in sorted(self._judged)], _judged_of)

    def broken(self) -> dict[int, str]:
        """The candidates that broke and were not judged since, in their order, each with its sentence."""
        numbers = sorted(self._broken.keys() - self._judged.keys())
        places = [self._broken[number] for number in numbers]
        return dict(zip(numbers, self._lines.read(places, lambda entry: str(entry[_BROKEN]["error"])), strict=True))

    def put_in_order(self) -> None:
        """Leave the file as it would be, had every candidate been judged one after the other; closes the book.

        Raises:
            DataError: the disk refused it; the file is as it was.
        """
        partial = self._path.with_name(self._path.name + ".partial")
        try:
            with partial.open("wb") as file:
                file.write(line_of({_HEADER: self._made_by}))
                for entry in self.judged():
                    file.write(line_of({_JUDGED: entry}))
                file.flush()
                os.fsync(file.fileno())
            self._lines.close()
            partial.replace(self._path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise DataError(
                f"the records {self._path} could not be put in order: {error.strerror or error}; make room, then go on "
                "with --resume",
                path=str(self._path),
            ) from None

    def _places(self, kind: str) -> dict[int, int]:
        return self._judged if kind == _JUDGED else self._broken

    def _note(self, entry: Any, at: int) -> None:
        if not isinstance(entry, dict) or len(entry) != 1:
            raise ValueError("not one record")
        kind, words = next(iter(entry.items()))
        if kind == _HEADER:
            self._found = words
        elif kind in (_JUDGED, _BROKEN) and isinstance(words, dict) and isinstance(words.get("number"), int):
            self._places(kind)[words["number"]] = at
        else:
            raise ValueError(f"{str(kind)[:40]!r} where {_JUDGED} or {_BROKEN} was expected")


def _judged_of(entry: Any) -> dict[str, Any]:
    found: dict[str, Any] = entry[_JUDGED]
    return found


def windows_in(path: Path) -> Iterator[dict[str, Any]]:
    """The windows of all candidates that were judged, each with the candidate's id, in the order of the file.

    Args:
        path: of a book that was put in order and is closed.
    """
    with path.open("rb") as file:
        yield from windows_of(entry for line in file if (entry := json.loads(line).get(_JUDGED)) is not None)


def windows_of(entries: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The windows of these candidates, each with the candidate's id; of one that broke there are none."""
    for entry in entries:
        for window in entry.get("windows", ()):
            yield {"candidate": entry["id"], **window}
