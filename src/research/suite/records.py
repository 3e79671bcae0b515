"""What a suite has come to so far, on disk: one line for each answer, written once and never changed.

See `DurableLines` for what survives the end of a program. The lines stand in the order in which the answers came, which
says nothing. A book is used by one thread, in the process that holds the suite's lock.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

from src.research.durable_lines import DurableLines
from src.research.executors.port import Lost
from src.research.suite.ports import RunAnswer

__all__ = ["RecordBook"]

_ANSWER = "answer"
_LOST = "lost"
_ANSWER_FIELDS = frozenset(field.name for field in fields(RunAnswer))
_LOST_FIELDS = frozenset({"key", "reason", "kind", "attempts"})


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
        self._lines = DurableLines(path, self._note, owner="a suite", lost="its run")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: Any) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be repeated."""
        self._lines.close()

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
        return self._lines.append([{kind: words}])[0]

    def _note(self, entry: Any, at: int) -> None:
        kind, words = _checked(entry)
        places = self._answers if kind == _ANSWER else self._lost
        places[words["key"]] = at

    def _words(self, keys: Sequence[str], places: Mapping[str, int]) -> Iterator[dict[str, Any]]:
        for _, words in self._lines.read([places[key] for key in keys], _checked):
            yield words


def _checked(entry: Any) -> tuple[str, dict[str, Any]]:
    """The kind and the words of an entry.

    Raises:
        ValueError: it is no record.
    """
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
