"""Finding out that a run does not get on, and saying who is the cause."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from types import FrameType

from src.backtesting.engine.seat import CONDITION, Seat
from src.backtesting.engine.stuck import RealWait, debugger_active, place_of, real_wait
from src.core.errors import DeadlockError, LivelockError, StalledThreadError
from src.core.sync import current_participant, monotonic_ns, thread_stacks
from src.core.timeframe import format_instant

__all__ = ["MAX_TURNS_AT_ONE_INSTANT", "Watchdog", "add_stacks", "busy_poller", "deadlock", "frames_of", "livelock"]

MAX_TURNS_AT_ONE_INSTANT = 10_000


def deadlock(waiting: Sequence[Seat]) -> DeadlockError:
    """The error for participants of whom none can ever go on."""
    frames = frames_of(waiting)
    lines = [
        f"{seat.name} waits for {seat.what} since {format_instant(seat.since_ns)}{_at(frames.get(seat.name))}"
        for seat in waiting
    ]
    return DeadlockError(
        f"nobody is ready, no timer is set and nobody waits for the market: {'; '.join(lines)}",
        participants=[seat.name for seat in waiting],
        waits=[seat.what for seat in waiting],
        since_ns=[seat.since_ns for seat in waiting],
        stacks=_texts(frames),
    )


def add_stacks(error: BaseException, alive: Sequence[Seat]) -> None:
    """Give a deadlock that was found where somebody began to wait the stacks of all who are part of it."""
    if isinstance(error, DeadlockError) and "stacks" not in error.details:
        known = error.details.get("participants", [])
        stacks = _texts(frames_of([seat for seat in list(alive) if seat.name in known]))
        # Of the one that closed the circle, the lines that led to it.
        own = "".join(traceback.format_tb(error.__traceback__))
        error.details["stacks"] = {**stacks, **({current_participant.get(): own} if own else {})}


def livelock(alive: Sequence[Seat], now_ns: int) -> LivelockError:
    """The error for turns that follow each other without time moving."""
    # Threads that they have started count for them: a timer that sets the next one is another thread each time.
    own = sorted(alive, key=lambda seat: (-seat.turns - seat.turns_of_helpers, seat.name))
    names = [seat.name for seat in own[:3]]
    return LivelockError(
        f"more than {MAX_TURNS_AT_ONE_INSTANT:,} turns at {format_instant(now_ns)} without time moving; the busiest "
        f"participants are {', '.join(names)}: look for an order event that always causes another, or for a wait of no "
        "length in a loop",
        participants=names,
    )


def busy_poller(name: str, now_ns: int, calls: int) -> LivelockError:
    """The error for a participant that asks and asks without waiting, so that nothing can change.

    Made by the clock in the turn of that participant, so that the caller's stack says what it asks for.
    """
    frame: FrameType | None = sys._getframe(1)
    asked = "the clock"
    while frame is not None and str(frame.f_globals.get("__name__")).startswith("src."):
        asked = frame.f_code.co_qualname
        frame = frame.f_back
    return LivelockError(
        f"{name} made more than {calls:,} calls in one turn at {format_instant(now_ns)} without waiting, the last of "
        f"{asked}{_at(frame)}; nothing changes during a turn, so a loop that polls must wait on the clock: "
        "self.clock.sleep(...)",
        participants=[name],
        call=asked,
        since_ns=now_ns,
        stacks=_texts({} if frame is None else {name: frame}),
    )


def frames_of(seats: Sequence[Seat]) -> dict[str, FrameType]:
    """Where each participant stands, by name; without those that have not begun or have ended."""
    found = {seat.name: seat.carrier.frame() for seat in seats}
    return {name: frame for name, frame in found.items() if frame is not None}


#: More than this from one look to the next is time in which the whole process stood still: it is asked once a second.
_MOST_BETWEEN_LOOKS_NS = 5_000_000_000


class Watchdog:
    """Notices a turn that is not given back; asked about once a second by the thread that drives.

    A process that is suspended, or a machine that sleeps, makes no turn long.

    Args:
        limit_ns: the real time that a turn may take.
    """

    def __init__(self, limit_ns: int) -> None:
        self._limit_ns = limit_ns
        self._turn = ("", -1)
        self._looked_ns = monotonic_ns()
        self._waited_ns = 0

    def check(self, running: Seat | None, now_ns: int, alive: Sequence[Seat] = ()) -> StalledThreadError | None:
        """The error when the same turn has been running for too long; None while a step or a pause is under way.

        Args:
            running: whose turn it is; None where nobody may be blamed.
            alive: everybody who takes part, to find out who holds what the running one waits for.
        """
        real_ns = monotonic_ns()
        turn = ("", -1) if running is None else (running.name, running.turns)
        passed_ns, self._looked_ns = real_ns - self._looked_ns, real_ns
        if running is None or turn != self._turn:
            self._turn, self._waited_ns = turn, 0
            return None
        self._waited_ns += min(passed_ns, _MOST_BETWEEN_LOOKS_NS)
        if self._waited_ns <= self._limit_ns:
            return None
        frame = running.carrier.frame()
        if debugger_active(frame):
            self._waited_ns = 0
            return None
        others = {seat.name: seat for seat in list(alive) if seat is not running}
        frames = frames_of(list(others.values()))
        waits = real_wait(frame, frames)
        stacks = {**thread_stacks(), **_texts(frames), **_texts({} if frame is None else {running.name: frame})}
        return StalledThreadError(
            f"{running.name} has not given its turn back for {self._waited_ns / 1e9:.0f} real seconds, since "
            f"{format_instant(now_ns)} of virtual time{'' if waits is None else _cause(waits, others)}; its stack:\n"
            f"{stacks.get(running.name, 'unknown')}",
            participant=running.name,
            waits_for="" if waits is None else f"{waits.kind} {waits.name}",
            holder="" if waits is None else waits.holder,
            since_ns=now_ns,
            stacks=stacks,
        )


def _cause(waits: RealWait, others: dict[str, Seat]) -> str:
    """What the participant really waits for, in words."""
    text = f": it waits for the plain {waits.kind} {waits.name} at {waits.place}"
    if waits.holder:
        seat = others.get(waits.holder)
        known = "holds" if waits.certain else "refers to and probably holds"
        text += f", which {waits.holder} {known} at {waits.holder_place}"
        if seat is not None:
            text += f" while it waits for {_wait_of(seat)}"
    elif waits.kind in ("threading.Lock", "threading.RLock"):
        text += ", to which no code under way refers, so somebody took it and returned without releasing it"
    return (
        f"{text}. Nobody else runs during a turn, so a plain one never comes free: write the clock's, self.clock.lock()"
    )


def _wait_of(seat: Seat) -> str:
    since = f"{seat.what} since {format_instant(seat.since_ns)}"
    return since if seat.waiting is CONDITION else seat.waiting


def _at(frame: FrameType | None) -> str:
    place = place_of(frame)
    return f" at {place}" if place else ""


def _texts(frames: Mapping[str, FrameType]) -> dict[str, str]:
    return {name: "".join(traceback.format_stack(frame)) for name, frame in frames.items()}
