"""Wakes around wakes: the same participant, woken later or more often. Composed only where a run asks for it."""

from collections.abc import Callable

from src.core.clock import Wake

__all__ = ["EveryStep", "Late"]


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


class Late:
    """True only a while after the wake inside became true: the participant computes, or its machine is slow.

    News that come while it is late are seen in the same turn. What it has not seen when its data end, it sees at once.

    Args:
        wake: what the participant really waits for.
        now_ns: the clock's present.
        delay_ns: how late it is about what happened at an instant.
        is_parked: whether it waits for the next step; in the middle of a turn of its own it is not late for the next.
        has_ended: whether it is woken for the last time.
    """

    def __init__(
        self, wake: Wake, now_ns: Callable[[], int], delay_ns: Callable[[int], int], *,
        is_parked: Callable[[], bool], has_ended: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._wake = wake
        self._now_ns = now_ns
        self._delay_ns = delay_ns
        self._is_parked = is_parked
        self._has_ended = has_ended
        self._ready_ns: int | None = None

    def __call__(self) -> bool:
        """See `Wake`."""
        if self._has_ended():
            return self._wake()
        if not self._is_parked():
            return False
        now = self._now_ns()
        if self._ready_ns is None and self._has_news(now):
            self._ready_ns = now + self._delay_ns(now)
        if self._ready_ns is None or now < self._ready_ns:
            return False
        self._ready_ns = None  # its turn comes now, and what is new after it has a delay of its own
        return True

    def next_due_ns(self) -> int | None:
        """See `Wake`: when the delay is over; before there are news, the timer of the wake inside."""
        return self._wake.next_due_ns() if self._ready_ns is None else self._ready_ns

    def _has_news(self, now_ns: int) -> bool:
        if self._wake():
            return True
        due_ns = self._wake.next_due_ns()
        return due_ns is not None and due_ns <= now_ns
