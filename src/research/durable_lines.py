"""A file of lines, each of which lies on the disk before `append` returns, and is never changed.

Whatever ends the program loses nothing that was told of. A line that was being written then is torn; it is cut off when
the file is opened again. Used by one thread, in the process that holds the lock of whoever the file belongs to.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from src.core.errors import DataError, InternalError

__all__ = ["DurableLines", "line_of"]

Entry = TypeVar("Entry")

#: How much is read at a time when the end of the last whole line is looked for.
_BLOCK = 1 << 16


class DurableLines:
    """Objects, one a line; made when absent, with its folder. A torn last line is cut off.

    Args:
        path: the file.
        note: told of each object that is there already and where its line begins; raises ValueError for one that does
            not belong there.
        owner: for messages, whose records these are, as "a suite".
        lost: for messages, what `--resume` makes again where a line is taken out, as "its run".

    Raises:
        DataError: a line that is not the last one is damaged, or the file cannot be written.
    """

    def __init__(self, path: Path, note: Callable[[Any, int], None], *, owner: str, lost: str) -> None:
        self.path = path
        self._owner, self._lost = owner, lost
        try:
            self._file = _opened(path)
        except OSError as error:
            raise DataError(
                f"the records of {owner} cannot be written to {path}: {error.strerror or error}; name a folder you may "
                "write to",
                path=str(path),
            ) from None
        try:
            self._end = self._read(note)
            os.ftruncate(self._file, self._end)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; may be repeated."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    def append(self, entries: Iterable[Mapping[str, Any]]) -> list[int]:
        """Write objects with one write and one fsync; the place where the line of each begins.

        Raises:
            DataError: the disk refused it; the file is as it was before.
        """
        return self.append_lines(map(line_of, entries))

    def append_lines(self, lines: Iterable[bytes]) -> list[int]:
        """The same with lines that `line_of` has made, wherever that was."""
        if self._file < 0:
            raise InternalError(f"the file {self.path} is closed")
        begin = self._end
        places, parts = list[int](), list[bytes]()
        end = begin
        for line in lines:
            places.append(end)
            parts.append(line)
            end += len(line)
        text = b"".join(parts)
        try:
            written = os.write(self._file, text)
            if written == len(text):
                os.fsync(self._file)
        except OSError as error:
            self._take_back(begin)
            raise DataError(self._refused(error.strerror or str(error)), path=str(self.path)) from None
        if written != len(text):
            self._take_back(begin)
            raise DataError(self._refused("there is no room for a whole line"), path=str(self.path))
        self._end = end
        return places

    def read(self, places: Iterable[int], checked: Callable[[Any], Entry]) -> Iterator[Entry]:
        """What `checked` makes of the objects whose lines begin there, read one by one.

        Args:
            checked: raises ValueError for an object that does not belong there.

        Raises:
            DataError: somebody else has changed the file meanwhile.
        """
        try:
            with self.path.open("rb") as file:
                for place in places:
                    file.seek(place)
                    yield checked(_entry_of(file.readline()))
        except (OSError, ValueError) as error:
            raise DataError(
                f"expected the records of {self._owner} that were written to {self.path}, found them gone or changed "
                f"({error}); leave {self._owner}'s folder alone while it is under way, and run the command again",
                path=str(self.path),
            ) from None

    def _take_back(self, end: int) -> None:
        # Where even that fails the line is torn, which the next one to open the file mends.
        with suppress(OSError):
            os.ftruncate(self._file, end)

    def _refused(self, reason: str) -> str:
        return f"a record could not be written to {self.path}: {reason}; make room, then go on with --resume"

    def _read(self, note: Callable[[Any, int], None]) -> int:
        """Tell of every entry; the end of the last whole one."""
        end = 0
        with self.path.open("rb") as file:
            whole = _end_of_lines(file.fileno())
            for number, line in enumerate(file, start=1):
                if end + len(line) > whole:
                    break
                try:
                    note(_entry_of(line), end)
                except ValueError as problem:
                    # The last line may have been on its way to the disk, in parts that arrive in any order.
                    if end + len(line) == whole and isinstance(problem, _NO_TEXT):
                        break
                    raise DataError(
                        f"expected a record in line {number} of {self.path}, found something else ({problem}); take "
                        f"that line out, and --resume computes {self._lost} again",
                        path=str(self.path), line=number,
                    ) from None  # fmt: skip
                end += len(line)
        return end


_NO_TEXT = (json.JSONDecodeError, UnicodeDecodeError)


def line_of(entry: Mapping[str, Any]) -> bytes:
    """One line: keys in order, no spaces, ASCII, floats as the shortest text that reads back."""
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii") + b"\n"


def _entry_of(line: bytes) -> Any:
    return json.loads(line.decode("ascii"))


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
