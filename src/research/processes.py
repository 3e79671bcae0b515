"""Calls of a function side by side, in processes of their own: spawned, never forked.

A process that dies fails only the call that it was busy with, which is tried once more; one that takes too long is
ended. Results come back in the order of the calls, whatever the number of processes. Called by one thread.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.context import SpawnContext, SpawnProcess
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from src.core.errors import InternalError
from src.core.record import record

__all__ = ["Lost", "cores", "in_processes"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_ATTEMPTS = 2
#: How often a call may lose its pool: processes that die before they begin a call leave no pool for the others either.
_POOLS = 3
#: How long the caller waits at a time: an interrupt is noticed in between, also where a wait cannot be interrupted.
_LOOK_S = 0.5


@record
class Lost:
    """A call without an answer: its process died twice, or took too long."""

    reason: str


def cores() -> int:
    """How many processes can run at once: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    function: Callable[[Item], Answer],
    items: Sequence[Item],
    *,
    workers: int,
    deadline_s: float | None = None,
    environments: Sequence[Mapping[str, str]] | None = None,
    on_done: Callable[[int, Answer | Lost], None] | None = None,
) -> list[Answer | Lost]:
    """`function` of each item.

    Args:
        function: importable by name; it, the items and the answers are pickled.
        workers: how many processes at a time. Without `environments` they live on and take one item after the other.
        deadline_s: real seconds for one call; None for no end.
        environments: for each item the variables that its process gets besides those of this one; then each call has a
            new process to itself.
        on_done: told of each call as it ends, with its place; called in the caller's thread.

    Raises:
        Exception: what a call raised; the others are given up then.
        InternalError: processes cannot be started.
    """
    pools: _Shared | _Alone = _Shared(workers) if environments is None else _Alone(environments)
    done: SimpleQueue[tuple[int, Any]] = SimpleQueue()
    waiting = deque((i, 1) for i in range(len(items)))
    attempts: dict[int, int] = {}
    broken = [0] * len(items)
    answers: dict[int, Answer | Lost] = {}
    pending: dict[int, ProcessFuture[Any]] = {}

    def start(i: int, attempt: int) -> None:
        attempts[i] = attempt
        future: ProcessFuture[Any] = pools.pool_for(i).schedule(function, args=[items[i]], timeout=deadline_s)
        pending[i] = future
        future.add_done_callback(lambda ended: done.put((i, ended)))

    try:
        while len(answers) < len(items):
            while waiting and (environments is None or pools.alive < workers):
                start(*waiting.popleft())
            try:
                i, future = done.get(timeout=_LOOK_S)
            except Empty:
                # A pool that breaks while a call is on its way in forgets the call: nobody would ever answer it.
                for i in [i for i in pending if pools.is_over(i)]:
                    done.put((i, pending[i]))
                continue
            if i not in pending or pending[i] is not future:
                continue  # it was answered for as forgotten
            del pending[i]
            answer = _answer(future, deadline_s) if future.done() else _BROKEN
            pools.release(i, broken=answer is _BROKEN)
            if answer is _BROKEN:
                broken[i] += 1
                if broken[i] >= _POOLS:
                    raise InternalError("processes for the runs end before they begin; what they say stands on stderr")
                waiting.append((i, attempts[i]))
                continue
            if isinstance(answer, _Died):
                if attempts[i] < _ATTEMPTS:
                    waiting.append((i, attempts[i] + 1))
                    continue
                answer = Lost(reason=answer.reason)
            answers[i] = answer
            if on_done is not None:
                on_done(i, answer)
    finally:
        pools.stop()
    return [answers[i] for i in range(len(items))]


@record
class _Died:
    reason: str


_BROKEN = _Died(reason="the pool broke")


def _answer(future: Any, deadline_s: float | None) -> Any:
    try:
        return future.result()
    except ProcessExpired as problem:
        return _Died(reason=f"its process ended by itself, twice (exit code {problem.exitcode})")
    except BrokenProcessPool:
        return _BROKEN
    except TimeoutError:
        if deadline_s is None:
            raise  # the call's own
        return Lost(reason=f"no result within {deadline_s:g} s")


class _Shared:
    """One pool whose processes take one item after the other; another one when it broke."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPool | None = None
        self._pools: dict[int, ProcessPool] = {}
        self.alive = 0

    def pool_for(self, number: int) -> ProcessPool:
        if self._pool is not None and not self._pool.active:
            self.stop()
        if self._pool is None:
            self._pool = _pool(self._workers, {})
        self._pools[number] = self._pool
        return self._pool

    def is_over(self, number: int) -> bool:
        """Whether the pool of a call works no more."""
        return not self._pools[number].active

    def release(self, number: int, *, broken: bool) -> None:
        if self._pools.pop(number) is self._pool and broken:
            self.stop()

    def stop(self) -> None:
        if self._pool is not None:
            _stop(self._pool)
            self._pool = None


class _Alone:
    """A pool of one process for each item."""

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self._environments = environments
        self._pools: dict[int, ProcessPool] = {}

    @property
    def alive(self) -> int:
        return len(self._pools)

    def pool_for(self, number: int) -> ProcessPool:
        self._pools[number] = _pool(1, self._environments[number])
        return self._pools[number]

    def is_over(self, number: int) -> bool:
        """Whether the pool of a call works no more."""
        return not self._pools[number].active

    def release(self, number: int, *, broken: bool) -> None:
        _stop(self._pools.pop(number))

    def stop(self) -> None:
        for number in list(self._pools):
            self.release(number, broken=False)


def _pool(workers: int, environment: Mapping[str, str]) -> ProcessPool:
    return ProcessPool(max_workers=workers, context=_Context(environment))


def _stop(pool: ProcessPool) -> None:
    # Not closed but stopped: a process whose run left a stuck thread would never end by itself.
    pool.stop()  # type: ignore[no-untyped-call]  # the library has types for the rest
    pool.join()


class _Process(SpawnProcess):
    """A spawned process that begins with variables of its own; hash seed and locale are read once, at the start."""

    def __init__(self, environment: Mapping[str, str], *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self._environment = dict(environment)

    def start(self) -> None:
        """Start it; the variables of this process are changed for as long as that takes."""
        with _variables(self._environment):
            super().start()


class _Context(SpawnContext):
    """What the pool makes its processes with."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self.Process = partial(_Process, environment)  # type: ignore[assignment,misc]  # called, never derived from


@contextmanager
def _variables(changed: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
