"""Candidates side by side: a few at a time for each worker, and one by one where a worker did not survive them.

Called by the thread of the validation; reads the real clock for people alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Self

import psutil

from src.core.errors import ConfigError
from src.core.record import record
from src.core.sync import monotonic_ns
from src.core.words import counted
from src.research.executors import executor_factory
from src.research.executors.port import Executor, Lost
from src.research.processes import cores
from src.research.suite.worker import Limits, begin
from src.research.validation.judge import JudgeAnswer, JudgeTask
from src.research.validation.judged_book import JudgedLine, judged_line
from src.research.validation.section import ValidationSection
from src.research.validation.trade_file import begin_reading

__all__ = ["Judged", "Judges", "judges_for"]

#: So many candidates make one call, towards the end fewer, so that nobody waits long for the last one.
_AT_ONCE, _AT_LEAST = 256, 32
#: A call is for this share of what is left for one worker.
_OF_THE_REST = 2
_MOST_WORKERS = 8
_SHARE = 0.8
_CLUSTER = "dask"
#: So many candidates are judged while nothing else is, to know what one takes.
_SAMPLE = 48
#: Without so many there is nothing to be compared.
_COMPARED = 1_024

Append = Callable[[Iterable[JudgedLine]], object]


@record
class Judged:
    """How long it took; see `Timing`."""

    seconds: float
    sum_seconds: float
    speed_up: float | None


class Judges:
    """The workers of a validation; a context manager. See `Executor`."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def __enter__(self) -> Self:
        self._executor.__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        self._executor.__exit__(*problem)

    @property
    def workers(self) -> int:
        """How many there are."""
        return self._executor.workers

    def begin(self) -> None:
        """Start them, and do not wait."""
        self._executor.begin()

    def judge(
        self, function: Callable[[JudgeTask], JudgeAnswer], candidates: Sequence[tuple[int, str]], path: str,
        parameters: str, append: Append, told: Callable[[int, int], object],
    ) -> Judged:  # fmt: skip
        """Have candidates judged.

        Args:
            candidates: number and id of each.
            path, parameters: see `JudgeTask`.
            append: given what became of some of them, before anything else is done.
            told: how many are done, and how many of these broke.
        """
        return _Work(self._executor, function, path, parameters, append, told).run(candidates)


class _Work:
    def __init__(
        self, executor: Executor, function: Callable[[JudgeTask], JudgeAnswer], path: str, parameters: str,
        append: Append, told: Callable[[int, int], object],
    ) -> None:  # fmt: skip
        self._executor, self._function, self._append, self._say = executor, function, append, told
        self._path, self._parameters = path, parameters
        self._done = self._failed = 0
        self._lost: list[JudgeTask] = []
        self._sum = 0.0

    def run(self, candidates: Sequence[tuple[int, str]]) -> Judged:
        began = monotonic_ns()
        sample = _SAMPLE if self._executor.workers > 1 and len(candidates) >= _COMPARED else 0
        middle = len(candidates) // 2
        rest = [*candidates[:middle], *candidates[middle + sample :]]
        self._executor.each(self._function, map(self._task, _some(rest, self._executor.workers)), self._ended)
        beside, count, busy = (monotonic_ns() - began) / 1e9, self._done, self._sum
        if sample:  # last, because what a process does first is no measure of the others
            chosen = self._task(tuple(candidates[middle : middle + sample]))
            self._executor.each(self._function, [chosen], self._ended, at_once=1)
        single, alone = self._sum - busy, self._done - count
        self._one_by_one()
        return Judged(
            seconds=(monotonic_ns() - began) / 1e9, sum_seconds=self._sum,
            speed_up=single / alone * count / beside if alone and beside > 0 and count else None,
        )  # fmt: skip

    def _task(self, candidates: tuple[tuple[int, str], ...]) -> JudgeTask:
        return JudgeTask(candidates=candidates, path=self._path, parameters=self._parameters)

    def _one_by_one(self) -> None:
        """Find out which of the candidates of a lost call it was; the others have done nothing."""
        lost, self._lost = self._lost, []
        singles = [self._task((one,)) for task in lost for one in task.candidates]
        self._executor.each(self._function, singles, self._ended)

    def _ended(self, task: JudgeTask, answer: JudgeAnswer | Lost) -> None:
        if not isinstance(answer, Lost):
            self._sum += answer.seconds
            lines: Sequence[JudgedLine] = answer.lines
        elif len(task.candidates) > 1:
            self._lost.append(task)
            return
        else:
            why = f"{answer.reason} ({counted(answer.attempts, 'attempt')})"
            lines = [judged_line({"number": number, "id": name, "error": why}) for number, name in task.candidates]
        self._append(lines)
        self._done += len(lines)
        self._failed += sum(each.broken for each in lines)
        self._say(self._done, self._failed)


def _begin(slot: int, limits: Limits) -> None:
    """Make this process a worker, and load what its first call would have to wait for."""
    begin(slot, limits=limits)
    begin_reading()
    import scipy.special  # noqa: F401 - it is loaded where it is needed first


def judges_for(section: ValidationSection, workers: int | None, executor: str | None) -> Judges:
    """The workers that a configuration asks for, to be entered.

    Args:
        workers: how many; as the configuration says by default, else one less than there are cores, at most 8.
        executor: another one than it says.

    Raises:
        ConfigError: there is no such executor, its library is missing, or the configuration names no cluster.
    """
    name = executor or section.executor
    factory = executor_factory(name)
    deadline_s = section.deadline_ns / 1e9
    if name == _CLUSTER:
        if not section.dask.address:
            raise ConfigError(
                "executor dask: expected dask.address in the configuration, found none; write dask: {address: "
                "tcp://10.0.0.1:8786}; its workers have to see the folder of runs under the same path"
            )
        made: Executor = factory(
            section.dask.address, deadline_s=deadline_s, start=partial(_begin, limits=Limits(pin=False))
        )
        return Judges(made)
    count = workers or section.workers or max(1, min(_MOST_WORKERS, cores() - 1))
    share = int(psutil.virtual_memory().total * _SHARE) // count
    local: Executor = factory(
        count, deadline_s=deadline_s, memory_bytes=share, start=partial(_begin, limits=Limits(memory_bytes=share))
    )
    return Judges(local)


def _some(candidates: Sequence[tuple[int, str]], workers: int) -> Iterator[tuple[tuple[int, str], ...]]:
    """The candidates, so many for each call."""
    at = 0
    while at < len(candidates):
        share = (len(candidates) - at) // (_OF_THE_REST * workers)
        end = at + min(_AT_ONCE, max(_AT_LEAST, share))
        yield tuple(candidates[at:end])
        at = end
