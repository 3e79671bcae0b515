"""Finding out that a run does not get on, and saying who is the cause."""

from collections.abc import Sequence

from src.backtesting.engine.seat import Seat
from src.core.errors import DeadlockError, LivelockError, StalledThreadError
from src.core.sync import monotonic_ns, thread_stacks
from src.core.timeframe import format_instant

__all__ = ["MAX_TURNS_AT_ONE_INSTANT", "Watchdog", "busy_poller", "deadlock", "livelock"]

MAX_TURNS_AT_ONE_INSTANT = 10_000


def deadlock(waiting: Sequence[Seat]) -> DeadlockError:
    """The error for participants of whom none can ever go on."""
    lines = [f"{seat.name} waits for {seat.what} since {format_instant(seat.since_ns)}" for seat in waiting]
    return DeadlockError(
        f"nobody is ready, no timer is set and nobody waits for the market: {'; '.join(lines)}",
        participants=[seat.name for seat in waiting],
        stacks=thread_stacks(),
    )


def livelock(alive: Sequence[Seat], now_ns: int) -> LivelockError:
    """The error for turns that follow each other without time moving."""
    names = [seat.name for seat in sorted(alive, key=lambda seat: (-seat.turns, seat.name))[:3]]
    return LivelockError(
        f"more than {MAX_TURNS_AT_ONE_INSTANT} turns at {format_instant(now_ns)} without time moving; the busiest "
        f"participants are {', '.join(names)}: look for an order event that always causes another",
        participants=names,
    )


def busy_poller(name: str, now_ns: int, calls: int) -> LivelockError:
    """The error for a participant that asks and asks without waiting, so that nothing can change."""
    return LivelockError(
        f"{name} made more than {calls:,} calls in one turn at {format_instant(now_ns)} without waiting; nothing changes "
        "during a turn, so a loop that polls must wait on the clock: self.clock.sleep(...)",
        participants=[name],
    )


class Watchdog:
    """Notices a turn that is not given back; asked about once a second by the thread that drives.

    Args:
        limit_ns: the real time that a turn may take.
    """

    def __init__(self, limit_ns: int) -> None:
        self._limit_ns = limit_ns
        self._turn = ("", -1)
        self._since_ns = monotonic_ns()

    def check(self, running: Seat | None, now_ns: int) -> StalledThreadError | None:
        """The error when the same turn has been running for too long; None while a step or a pause is under way."""
        real_ns = monotonic_ns()
        turn = ("", -1) if running is None else (running.name, running.turns)
        if running is None or turn != self._turn:
            self._turn, self._since_ns = turn, real_ns
            return None
        waited_ns = real_ns - self._since_ns
        if waited_ns <= self._limit_ns:
            return None
        stacks = thread_stacks()
        return StalledThreadError(
            f"{running.name} has not given its turn back for {waited_ns / 1e9:.0f} real seconds, since "
            f"{format_instant(now_ns)} of virtual time; its stack:\n{stacks.get(running.name, 'unknown')}",
            participant=running.name,
            stacks=stacks,
        )
