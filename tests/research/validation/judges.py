"""Workers that break, for tests: importable by name, because they are called in other processes."""

import os
from functools import partial

from src.research.validation.judge import JudgeAnswer, JudgeTask, judge_chunk

__all__ = ["dying_at"]


def _dying(number: int, task: JudgeTask) -> JudgeAnswer:
    if any(each == number for each, _ in task.candidates):
        os._exit(9)
    return judge_chunk(task)


def dying_at(number: int) -> "partial[JudgeAnswer]":
    """A worker that ends itself when it is given this candidate."""
    return partial(_dying, number)
