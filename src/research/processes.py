"""Calls of a function side by side, in processes of their own: spawned, never forked.

A process that dies fails only the call that it was busy with, which is tried once more; one that takes too long is
ended. Results come back in the order of the calls, whatever the number of processes. Called by one thread.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from src.core.errors import InternalError
from src.research.executors.crew import DEADLINE, DIED, MEMORY, Crew, Failed
from src.research.executors.port import Lost
from src.research.executors.slots import cores

__all__ = ["Lost", "cores", "in_processes"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


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
        InternalError: processes cannot be started, or what a call raised cannot be sent.
    """
    answers: dict[int, Answer | Lost] = {}

    def ended(numbered: tuple[int, Item], outcome: Any, attempts: int) -> None:
        i = numbered[0]
        if isinstance(outcome, Failed):
            if outcome.error is not None:
                raise outcome.error
            if outcome.kind not in (DIED, DEADLINE, MEMORY):
                raise InternalError(f"a call failed, and its error cannot be sent: {outcome.reason}")
            outcome = Lost(reason=outcome.reason, kind=outcome.kind, attempts=attempts)
        answers[i] = outcome
        if on_done is not None:
            on_done(i, outcome)

    with Crew(workers, deadline_s=deadline_s) as crew:
        crew.run(
            partial(_of_numbered, function),
            enumerate(items),
            ended,
            again=lambda failed: failed.kind == DIED,
            alone=None if environments is None else lambda numbered: environments[numbered[0]],
        )
    return [answers[i] for i in range(len(items))]


def _of_numbered(function: Callable[[Item], Answer], numbered: tuple[int, Item]) -> Answer:
    return function(numbered[1])
