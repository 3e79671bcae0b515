"""The Clock port: whoever waits, waits here.

The bot never sleeps, never reads a wall clock and never starts a thread by itself; it asks its clock, which was handed
to it at construction. One implementation really waits, another moves time forward when everybody waits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["PHASE_MONITOR", "PHASE_TIMER", "PHASE_WORKER", "Clock", "Participant", "Wake"]

PHASE_TIMER = 1
PHASE_MONITOR = 2
PHASE_WORKER = 3


class Wake(Protocol):
    """A pure question about what a participant has not yet seen; the same object in every mode.

    Called by the clock, never while the participant itself runs. Must be quick and change nothing.
    """

    def __call__(self) -> bool:
        """True when there is something to do."""
        ...

    def next_due_ns(self) -> int | None:
        """The instant of this participant's own timer, None without one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One thread of the bot that waits on the clock.

    Attributes:
        name: `worker:BTCUSDT` or `monitor:positions`; the identity in logs, journal and errors.
        phase: order inside an instant, `PHASE_MONITOR` before `PHASE_WORKER`.
        rank: order inside a phase, the place in the configuration.
        symbol: the symbol whose data end ends this participant, empty when it outlives all of them.
        poll_ns: how often a clock that really waits asks `wake`.
        wake: what this participant waits for.
        timed: whether `wake` can have a timer; a clock need not ask the others.
        on_failure: told, in its turn, what a thread that this participant started failed with; None ends the run.
    """

    name: str
    phase: int
    rank: int
    wake: Wake
    symbol: str = ""
    poll_ns: int = 1_000_000_000
    timed: bool = False
    on_failure: Callable[[BaseException], None] | None = None


class Clock(Protocol):
    """Time, waiting, and the threads that wait.

    `spawn` is called before `drive`, by the thread that composes the bot. `wait_for_next_step`, `sleep` and `leave` are
    called by participants only, each for itself. `now_ns` and `stop` may be called by anyone.
    """

    def now_ns(self) -> int:
        """The current instant, nanoseconds UTC. Does not move during a turn of a clock that controls time."""
        ...

    def spawn(self, participant: Participant, run: Callable[[], None]) -> None:
        """Register a participant and make its thread, which runs `run` from its first turn on.

        Raises:
            ConfigError: the name is taken.
        """
        ...

    def drive(self) -> None:
        """Let the participants run; return when all of them have left.

        Raises:
            LockstepError: what ended the run, if it did not end by itself; only after everybody has left.
        """
        ...

    def wait_for_next_step(self, participant: str) -> bool:
        """Block until there is something for this participant to do.

        Returns:
            False when the run is over or stopping, or when the participant's symbol has no more data.
        """
        ...

    def sleep(self, duration_ns: int) -> None:
        """Block the calling participant for a while; the market moves meanwhile.

        Raises:
            Stopping: the run stops.
        """
        ...

    def leave(self, participant: str) -> None:
        """Give up the participant's place for good; the last call of its thread."""
        ...

    def stop(self, reason: str) -> None:
        """Ask everybody to end at the next opportunity. May be called from any thread and from a signal handler."""
        ...

    def fail(self, error: BaseException) -> None:
        """End the run because of `error`, which `drive` will raise. The first one wins."""
        ...
