"""Wakes around wakes: the same participant, woken later or more often. Composed only where a run asks for it."""

from collections.abc import Callable

from src.core.clock import Wake

__all__ = ["EveryStep"]


class EveryStep:
    """Also true once at each instant, though there is nothing to do: an idle turn that must change nothing.

    Args:
        wake: what the participant really waits for.
        now_ns: the clock's present.
    """

    def __init__(self, wake: Wake, now_ns: Callable[[], int]) -> None:
        self._wake = wake
        self._now_ns = now_ns
        self._woken_ns = -1

    def __call__(self) -> bool:
        """See `Wake`; true for the first question at each instant."""
        now = self._now_ns()
        if now != self._woken_ns:
            self._woken_ns = now
            return True
        return self._wake()

    def next_due_ns(self) -> int | None:
        """See `Wake`."""
        return self._wake.next_due_ns()
