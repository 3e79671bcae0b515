"""The executor of one machine: processes of its own, spawned, one for each slot.

Used by one thread; the real clock is read for deadlines alone. What it promises about failures: a process that is
killed, crashes, ends itself, takes too long or too much memory, and a call that raises, fail that call alone. It is
tried once more, and then it is `Lost`. Nothing that was answered is called again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

from src.research.executors.crew import Crew, Failed
from src.research.executors.port import Lost
from src.research.executors.slots import ONE_THREAD

__all__ = ["LocalProcesses"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class LocalProcesses:
    """See `Executor`. Processes are started by `begin`, or when there is something to do, and live on until the
    block ends.

    Args:
        workers: how many processes; each has a slot, from 0, and a new process takes the slot of the one it replaces.
        deadline_s: real seconds for one call, counted from when a process begins it; None for no end.
        memory_bytes: a process that holds more in the middle of a call is ended; None for no limit. It is looked at
            ten times a second.
        environment: the variables that the processes get besides those of this one; those that keep the libraries of
            numbers to one thread by default.
        start: importable by name (or a `partial` of such a one); called first in each process, with its slot.
    """

    def __init__(
        self,
        workers: int,
        *,
        deadline_s: float | None = None,
        memory_bytes: int | None = None,
        environment: Mapping[str, str] | None = None,
        start: Callable[[int], None] | None = None,
    ) -> None:
        variables = ONE_THREAD if environment is None else environment
        self._crew = Crew(workers, environment=variables, start=start, deadline_s=deadline_s, memory_bytes=memory_bytes)

    @property
    def workers(self) -> int:
        """See `Executor.workers`."""
        return self._crew.workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: Any) -> None:
        """See `Executor`; every process is killed."""
        self._crew.stop()

    def begin(self) -> None:
        """See `Executor.begin`: processes are started, which takes them a while."""
        self._crew.begin()

    def each(
        self,
        function: Callable[[Item], Answer],
        items: Iterable[Item],
        on_done: Callable[[Item, Answer | Lost], None],
        *,
        at_once: int | None = None,
    ) -> None:
        """See `Executor.each`. With `at_once` the processes of the first slots are used.

        Raises:
            InternalError: no process begins, or `start` raises in each.
            Exception: an item cannot be pickled, or what `on_done` or the iterator of items raised.
        """

        def ended(item: Item, outcome: Any, attempts: int) -> None:
            if isinstance(outcome, Failed):
                outcome = Lost(reason=outcome.reason, kind=outcome.kind, attempts=attempts)
            on_done(item, outcome)

        self._crew.run(function, items, ended, at_once=at_once)
