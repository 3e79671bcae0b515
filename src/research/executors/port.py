"""The port through which many calls are made somewhere else: in processes of this machine, or on a cluster.

An executor is used by one thread, inside a `with` block. What it calls, what it hands over and what comes back is
pickled, so that it may be anywhere; a call may be made twice, and has to come to the same then.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self, TypeVar

from src.core.record import record

__all__ = ["Executor", "Lost"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@record
class Lost:
    """A call without an answer, which is never a result: its process died, took too long or too much memory, or the
    call raised, each time that it was tried.

    Attributes:
        reason: a sentence.
        kind: `died`, `deadline`, `memory`, or the name of the error's type.
        attempts: how often it was tried.
    """

    reason: str
    kind: str
    attempts: int


class Executor(Protocol):
    """Makes calls side by side."""

    @property
    def workers(self) -> int:
        """How many calls are made at once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *problem: Any) -> None:
        """Everything that was begun is ended, by force where need be; nothing is waited for."""
        ...

    def begin(self) -> None:
        """Calls will come: get ready for them, and do not wait until everything is."""
        ...

    def each(
        self,
        function: Callable[[Item], Answer],
        items: Iterable[Item],
        on_done: Callable[[Item, Answer | Lost], None],
        *,
        at_once: int | None = None,
    ) -> None:
        """Call `function` of each item and tell of each as it ends, in whatever order they end.

        Items are taken one by one, only few more than are under way, and none is kept once it was told of.

        Args:
            function: importable by name.
            on_done: called in the caller's thread. What it raises ends everything.
            at_once: how many calls at a time, where it is to be fewer than `workers`.
        """
        ...
