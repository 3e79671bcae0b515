"""Workers for tests: one that breaks, importable because it is called in another process, and one of this process."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Self

from src.research.validation.judge import JudgeAnswer, JudgeTask, judge_chunk

__all__ = ["Here", "dying_at"]


def _dying(number: int, task: JudgeTask) -> JudgeAnswer:
    if any(each == number for each, _ in task.candidates):
        os._exit(9)
    return judge_chunk(task)


def dying_at(number: int) -> "partial[JudgeAnswer]":
    """A worker that ends itself when it is given this candidate."""
    return partial(_dying, number)


class Here:
    """See `Executor`: every call is made in this process."""

    workers = 1

    def __init__(self) -> None:
        self.on_begin: Callable[[], object] = list

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: Any) -> None:
        """Nothing to end."""

    def begin(self) -> None:
        self.on_begin()

    def each(
        self, function: Callable[[Any], Any], items: Iterable[Any], on_done: Callable[[Any, Any], None], *,
        at_once: int | None = None,
    ) -> None:  # fmt: skip
        """One after the other."""
        for item in items:
            on_done(item, function(item))
