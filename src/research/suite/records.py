"""What a suite has come to so far, on disk: one line for each answer, written once and never changed.

A line is written whole and lies on the disk before `append` returns, so that whatever ends the program loses nothing
that was told of. A line that was being written then is torn; it is cut off when the book is opened again. The lines
stand in the order in which the answers came, which says nothing. A book is used by one thread, in the process that
holds the suite's lock.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

from src.core.errors import DataError, InternalError
from src.research.executors.port import Lost
from src.research.suite.ports import RunAnswer

__all__ = ["RecordBook"]

_ANSWER = "answer"
_LOST = "lost"
_ANSWER_FIELDS = frozenset(field.name for field in fields(RunAnswer))
_LOST_FIELDS = frozenset({"key", "reason", "kind", "attempts"})
#: How much is read at a time when the end of the last whole line is looked for.
_BLOCK = 1 << 16


class RecordBook:
    """The records of one suite; a context manager.

    Nothing is kept in memory but where in the file the entry of each run stands.

    Args:
        path: the file; made when absent, with its folder. A torn last line is cut off.

    Raises:
        DataError: a line that is not the last one is damaged, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        try:
            self._file = _opened(path)
        except OSError as error:
            raise DataError(
                f"the records of a suite cannot be written to {path}: {error.strerror or error}; name a folder you may "
                f"write to",
                path=str(path),
            ) from None
        try:
            self._end = self._read()
            os.ftruncate(self._file, self._end)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be repeated."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def append(self, answer: RunAnswer) -> None:
        """Write an answer; it is on the disk when this returns. A later one of the same key takes its place.

        Raises:
            DataError: the disk refused it; the book is as it was before.
        """
        self._answers[answer.key] = self._write(_ANSWER, asdict(answer))

    def append_lost(self, key: str, lost: Lost) -> None:
        """Write that a run has no answer, which is no answer either.

        Raises:
            DataError: as for `append`.
        """
        words = {"key": key, "reason": lost.reason, "kind": lost.kind, "attempts": lost.attempts}
        self._lost[key] = self._write(_LOST, words)

    def keys(self) -> frozenset[str]:
        """The keys of the tasks that have an answer."""
        return frozenset(self._answers)

    def answer(self, key: str) -> RunAnswer | None:
        """The last answer to one task; None where there is none."""
        if key not in self._answers:
            return None
        return next(RunAnswer(**words) for words in self._words([key], self._answers))

    def answers(self) -> Iterator[RunAnswer]:
        """The answer to each task that has one, ordered by key, read from the file one by one."""
        for words in self._words(sorted(self._answers), self._answers):
            yield RunAnswer(**words)

    def lost(self) -> dict[str, Lost]:
        """What was said last of each task that has no answer, ordered by key."""
        keys = sorted(self._lost.keys() - self._answers.keys())
        return {words.pop("key"): Lost(**words) for words in self._words(keys, self._lost)}

    def _write(self, kind: str, words: dict[str, Any]) -> int:
        """Append one line; the place where it begins."""
        if self._file < 0:
            raise InternalError(f"the records {self.path} are closed")
        line = _line({kind: words})
        begin = self._end
        try:
            written = os.write(self._file, line)
            if written == len(line):
                os.fsync(self._file)
        except OSError as error:
            self._take_back(begin)
            raise DataError(self._refused(error.strerror or str(error)), path=str(self.path)) from None
        if written != len(line):
            self._take_back(begin)
            raise DataError(self._refused("there is no room for a whole line"), path=str(self.path))
        self._end = begin + written
        return begin

    def _take_back(self, end: int) -> None:
        # Where even that fails the line is torn, which the next one to open the book mends.
        with suppress(OSError):
            os.ftruncate(self._file, end)

    def _refused(self, reason: str) -> str:
        return f"a record could not be written to {self.path}: {reason}; make room, then go on with --resume"

    def _read(self) -> int:
        """Note the place of every entry; the end of the last whole one."""
        end = 0
        with self.path.open("rb") as file:
            whole = _end_of_lines(file.fileno())
            for number, line in enumerate(file, start=1):
                if end + len(line) > whole:
                    break
                try:
                    self._note(line, end)
                except ValueError as problem:
                    # The last line may have been on its way to the disk, in parts that arrive in any order.
                    if end + len(line) == whole and isinstance(problem, _NO_TEXT):
                        break
                    raise DataError(
                        f"expected a record in line {number} of {self.path}, found something else ({problem}); take "
                        f"that line out, and --resume computes its run again",
                        path=str(self.path), line=number,
                    ) from None  # fmt: skip
                end += len(line)
        return end

    def _note(self, line: bytes, at: int) -> None:
        kind, words = _entry_of(line)
        places = self._answers if kind == _ANSWER else self._lost
        places[words["key"]] = at

    def _words(self, keys: Sequence[str], places: Mapping[str, int]) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open("rb") as file:
                for key in keys:
                    file.seek(places[key])
                    yield _entry_of(file.readline())[1]
        except (OSError, ValueError) as error:
            raise DataError(
                f"expected the records that were written to {self.path}, found them gone or changed ({error}); leave a "
                "suite's folder alone while it is under way, and run the suite again",
                path=str(self.path),
            ) from None


_NO_TEXT = (json.JSONDecodeError, UnicodeDecodeError)


def _line(entry: dict[str, Any]) -> bytes:
    """One line: keys in order, no spaces, ASCII, floats as the shortest text that reads back."""
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii") + b"\n"


def _entry_of(line: bytes) -> tuple[str, dict[str, Any]]:
    """The kind and the words of a line.

    Raises:
        ValueError: it is no record.
    """
    entry = json.loads(line.decode("ascii"))
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ValueError("not one answer")
    kind, words = next(iter(entry.items()))
    wanted = {_ANSWER: _ANSWER_FIELDS, _LOST: _LOST_FIELDS}.get(kind)
    if wanted is None or not isinstance(words, dict):
        raise ValueError(f"{str(kind)[:40]!r} where {_ANSWER} or {_LOST} was expected")
    if words.keys() != wanted:
        raise ValueError("other fields: " + ", ".join(sorted(words.keys() ^ wanted)))
    if not isinstance(words["key"], str):
        raise ValueError("a key that is no text")
    return kind, words


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = not path.exists()
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
    if fresh:
        _sync_folder(path.parent)
    return file


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file on the disk; a system that cannot open a folder does that by itself."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _end_of_lines(file: int) -> int:
    """Where the last line that has an end ends."""
    at = os.fstat(file).st_size
    while at > 0:
        begin = max(0, at - _BLOCK)
        os.lseek(file, begin, os.SEEK_SET)
        block = os.read(file, at - begin)
        found = block.rfind(b"\n")
        if found >= 0:
            os.lseek(file, 0, os.SEEK_SET)
            return begin + found + 1
        at = begin
    os.lseek(file, 0, os.SEEK_SET)
    return 0
