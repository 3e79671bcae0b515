"""Wakes around wakes: the same participant, woken later or more often. Composed only where a run asks for it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from src.core.clock import Participant, Wake

__all__ = ["EveryStep", "Late", "Polled", "polled_participant"]


def _always() -> bool:
    return True


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
        is_settled: whether a turn that is due may come now.
    """

    def __init__(
        self, wake: Wake, now_ns: Callable[[], int], delay_ns: Callable[[int], int], *,
        is_parked: Callable[[], bool], has_ended: Callable[[], bool], is_settled: Callable[[], bool] = _always,
    ) -> None:  # fmt: skip
        self._wake = wake
        self._now_ns = now_ns
        self._delay_ns = delay_ns
        self._is_parked = is_parked
        self._has_ended = has_ended
        self._is_settled = is_settled
        self._ready_ns: int | None = None
        #: When its turn came last.
        self._turn_ns = -1

    def __call__(self) -> bool:
        """See `Wake`."""
        if self._has_ended():
            return self._wake()
        if not self._is_parked():
            return False
        now = self._now_ns()
        if self._ready_ns is None and self._has_news(now):
            self._ready_ns = now + self._delay_ns(now)
        if self._ready_ns is None or now < self._ready_ns or not self._is_settled():
            return False
        self._ready_ns = None  # its turn comes now, and what is new after it has a delay of its own
        self._turn_ns = now
        return True

    def next_due_ns(self) -> int | None:
        """See `Wake`: when the delay is over; before there are news, the timer of the wake inside."""
        return self._wake.next_due_ns() if self._ready_ns is None else self._ready_ns

    def _has_news(self, now_ns: int) -> bool:
        if self._wake():
            return True
        due_ns = self._wake.next_due_ns()
        return due_ns is not None and due_ns <= now_ns


class Polled(Late):
    """True only at polls, which lie on a grid that is anchored at the epoch in UTC: at most once at each of them.

    It is as late as the next poll. A poll sees everything that the market did at its instant. Polls that would find
    nothing are not made.

    Args:
        wake: what the participant really waits for.
        poll_ns: the distance of the grid.
        now_ns, is_parked, has_ended: see `Late`.
        is_settled: whether the market is done with the present instant.
    """

    def __init__(
        self, wake: Wake, poll_ns: int, now_ns: Callable[[], int], *, is_parked: Callable[[], bool],
        has_ended: Callable[[], bool], is_settled: Callable[[], bool],
    ) -> None:  # fmt: skip
        super().__init__(
            wake, now_ns, self._until_poll_ns, is_parked=is_parked, has_ended=has_ended, is_settled=is_settled
        )
        self._poll_ns = poll_ns

    def next_due_ns(self) -> int | None:
        """See `Wake`: the poll that will find something; before there are news, that of the timer inside."""
        due_ns = super().next_due_ns()
        return None if due_ns is None else due_ns + -due_ns % self._poll_ns

    def _until_poll_ns(self, now_ns: int) -> int:
        wait_ns = -now_ns % self._poll_ns
        return wait_ns if now_ns + wait_ns > self._turn_ns else wait_ns + self._poll_ns


class _Polling(Protocol):
    @property
    def instant_ns(self) -> int: ...
    def is_parked(self, participant: str) -> bool: ...
    def has_ended(self, participant: str) -> bool: ...
    def is_settled(self) -> bool: ...


def polled_participant(participant: Participant, clock: _Polling) -> Participant:
    """The same participant, woken only at its polls."""
    name = participant.name
    wake = Polled(
        participant.wake,
        participant.poll_ns,
        lambda: clock.instant_ns,
        is_parked=lambda: clock.is_parked(name),
        has_ended=lambda: clock.has_ended(name),
        is_settled=clock.is_settled,
    )
    return replace(participant, wake=wake, timed=True)
