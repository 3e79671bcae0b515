"""The clock, the market and a lock, each with its waits measured.

Decorators: each is the port that it wraps, calls the wrapped one for everything, and tells a probe what took place in
between. The turn of a participant ends where it begins to wait and begins where the wait returns.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from src.backtesting.engine.ports import Market
from src.backtesting.tracing.probe import Probe
from src.backtesting.tracing.track import Kind
from src.core.blocking import Blocking
from src.core.clock import Clock, Participant
from src.core.wake import Signals

__all__ = ["MeasuredClock", "TracedClock", "TracedLock", "TracedMarket"]


#: How a wait for a lock of the clock says what it waits for.
_LOCKS = ("the lock ", "the rlock ", "the semaphore ")


class MeasuredClock(Clock, Protocol):
    """What a clock has besides the port, for primitives, helper threads and preemption."""

    @property
    def _guard(self) -> AbstractContextManager[Any]: ...
    def yield_turn(self) -> None: ...
    def _spawn_helper(self, name: str, run: Callable[[], None]) -> None: ...
    def _has_left(self, participant: str) -> bool: ...


class TracedClock(Blocking):
    """A `Clock` whose waits and turns are measured; its locks, queues and helper threads too, for they wait here.

    Args:
        clock: the clock that does the work.
        probe: who is told.
        preempts: whether the clock may give the turn to somebody else where it is asked to yield.
    """

    def __init__(self, clock: MeasuredClock, probe: Probe, *, preempts: bool = False) -> None:
        self._clock = clock
        self._probe = probe
        self._preempts = preempts
        self._guard = clock._guard

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return self._clock.now_ns()

    def spawn(self, participant: Participant, run: Callable[[], None]) -> None:
        """See `Clock.spawn`."""
        self._clock.spawn(participant, self._measured(participant.name, run))
        self._probe.add(participant.name, participant.poll_ns)

    def drive(self) -> None:
        """See `Clock.drive`."""
        self._probe.begin_run()
        try:
            self._clock.drive()
        finally:
            self._probe.end_run()

    def wait_for_next_step(self, participant: str) -> bool:
        """See `Clock.wait_for_next_step`."""
        track = self._probe.track()
        if track is None:
            return self._clock.wait_for_next_step(participant)
        return self._probe.waiting(
            track, Kind.BARRIER, "barrier wait", lambda: self._clock.wait_for_next_step(participant)
        )

    def sleep(self, duration_ns: int) -> None:
        """See `Clock.sleep`."""

        def wait() -> bool:
            self._clock.sleep(duration_ns)
            return True

        track = self._probe.track()
        if track is None:
            wait()
        else:
            self._probe.waiting(track, Kind.WAIT, "sleep", wait)

    def wait_until(
        self, condition: Callable[[], bool], what: str, timeout_ns: int | None = None, *, by_others: bool = False
    ) -> bool:
        """See `Clock.wait_until`."""
        track = self._probe.track()
        if track is None:
            return self._clock.wait_until(condition, what, timeout_ns, by_others=by_others)
        return self._probe.waiting(
            track,
            Kind.WAIT,
            "lock wait" if what.startswith(_LOCKS) else "wait",
            lambda: self._clock.wait_until(condition, what, timeout_ns, by_others=by_others),
            what,
        )

    def yield_turn(self) -> None:
        """See `TimeController.yield_turn`; where nobody is ever preempted the turn goes on."""

        def wait() -> bool:
            self._clock.yield_turn()
            return True

        track = self._probe.track()
        # Asked between turns, in a question that the clock asks of somebody's wake, there is no turn to give away.
        if track is None or not self._preempts or not track.in_turn:
            self._clock.yield_turn()
        else:
            self._probe.waiting(track, Kind.WAIT, "yield", wait)

    def leave(self, participant: str) -> None:
        """See `Clock.leave`; the turn goes on until the participant's function returns."""
        self._clock.leave(participant)

    def retire(self, participant: str) -> None:
        """See `Clock.retire`."""
        self._clock.retire(participant)

    def is_over(self, participant: str) -> bool:
        """See `Clock.is_over`."""
        return self._clock.is_over(participant)

    def stop(self, reason: str) -> None:
        """See `Clock.stop`."""
        self._clock.stop(reason)

    def fail(self, error: BaseException) -> None:
        """See `Clock.fail`."""
        self._clock.fail(error)

    def _spawn_helper(self, name: str, run: Callable[[], None]) -> None:
        """See `Blocking`."""
        with self._guard:
            self._probe.add(name)  # before, because a clock may let it run at once
        self._clock._spawn_helper(name, self._measured(name, run))

    def _has_left(self, participant: str) -> bool:
        """See `Blocking`."""
        return self._clock._has_left(participant)

    def _measured(self, name: str, run: Callable[[], None]) -> Callable[[], None]:
        probe = self._probe

        def body() -> None:
            track = probe.track()
            if track is None:
                run()
                return
            probe.begin_turn(track)
            try:
                run()
            finally:
                probe.end_turn(track)  # before the turn is given away: then another thread writes the probe's marks

        return body


class TracedMarket:
    """A `Market` whose steps are measured."""

    def __init__(self, market: Market, probe: Probe) -> None:
        self._market = market
        self._probe = probe
        self.start_ns = market.start_ns
        self.end_ns = market.end_ns
        self.signals: Signals = market.signals

    def next_ns(self) -> int | None:
        """See `Market.next_ns`."""
        return self._market.next_ns()

    def advance(self, instant_ns: int) -> Sequence[str]:
        """See `Market.advance`."""
        return self._probe.step(instant_ns, self._market.advance)


class RawLock(Protocol):
    """What a lock of `src.core.sync` offers."""

    def acquire(self, blocking: bool = True) -> bool: ...
    def release(self) -> None: ...


class TracedLock(AbstractContextManager[bool]):
    """A lock whose contended acquisitions are spans; an uncontended one takes no time worth one.

    Args:
        lock: what really locks.
        what: what it guards, for the spans.
    """

    def __init__(self, lock: RawLock, probe: Probe, what: str) -> None:
        self._lock = lock
        self._probe = probe
        self._details = {"for": what}

    def __enter__(self) -> bool:
        if self._lock.acquire(blocking=False):
            return True
        with self._probe.span(Kind.LOCK, "lock wait", self._details):
            return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
