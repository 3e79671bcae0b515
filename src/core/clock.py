"""The Clock port: whoever waits, waits here.

The bot never sleeps, never reads a wall clock and never starts a thread by itself; it asks its clock, which was handed
to it at construction. One implementation really waits, another moves time forward when everybody waits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from src.core.blocking import Condition, Event, HelperThread, Lock, Queue, RLock, Semaphore, Timer

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
        progress: how much it has been shown so far; as long as that grows, many calls in one turn are no polling.
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
    progress: Callable[[], int] | None = None


class Clock(Protocol):
    """Time, waiting, and the threads that wait.

    `spawn` is called before `drive`, by the thread that composes the bot, or later inside a turn or where nobody has
    one; who is new then has its first turn at that instant. What blocks is called by participants only, each for
    itself, inside its turn, which it gives away meanwhile. `now_ns` and `stop` may be called by anyone.

    User code reaches the clock as `self.clock` of its strategy. A clock that runs by itself lets its waiters really
    wait; under one that controls time the market, the resting orders and the other participants go on meanwhile, and
    the waiter resumes at its instant, before the next bar when it is due before that. All lengths are nanoseconds;
    without a time-out a wait has no end of its own, and with one of 0 a primitive never waits. An event at the instant
    of a deadline counts as in time while the waiter has not resumed. See `src.core.blocking` for the primitives.
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
            False when the run is over or stopping, when the participant was retired, or when its symbol has no more
            data.
        """
        ...

    def sleep(self, duration_ns: int) -> None:
        """Block the calling participant for a while; the market moves meanwhile.

        Raises:
            Stopping: the run stops.
            TypeError: the duration is no whole number of nanoseconds.
            ValueError: a negative duration.
        """
        ...

    def wait_until(
        self, condition: Callable[[], bool], what: str, timeout_ns: int | None = None, *, by_others: bool = False
    ) -> bool:
        """Block the calling participant until `condition()` holds or the time is over.

        Args:
            condition: pure and quick; asked after others' turns and after steps, by whatever thread.
            what: what it waits for, in errors and displays.
            timeout_ns: how long; None for ever. A time that has passed already still gives the turn away.
            by_others: whether only another participant can bring it about, no step of the market; what a deadlock is
                told by.

        Returns:
            Whether the condition holds, as asked in the caller's own turn.

        Raises:
            Stopping: the run stops, or the participant was retired.
        """
        ...

    def lock(self, name: str = "") -> Lock:
        """A lock for one participant at a time, which belongs to who takes it."""
        ...

    def rlock(self, name: str = "") -> RLock:
        """A lock that its holder may take again."""
        ...

    def semaphore(self, value: int = 1, name: str = "") -> Semaphore:
        """A counter that starts at `value` and is never negative."""
        ...

    def event(self, name: str = "") -> Event:
        """A flag to wait for, lowered at first."""
        ...

    def condition(self, lock: Lock | None = None, name: str = "") -> Condition:
        """Waiting for notifications under `lock`, by default an rlock of its own."""
        ...

    def queue(self, maxsize: int = 0, name: str = "") -> Queue[Any]:
        """A line of things from participant to participant, of any length when `maxsize` is 0."""
        ...

    def start_thread(self, run: Callable[[], object], name: str = "helper") -> HelperThread:
        """Start a thread of the calling participant, with its phase, rank and symbol; it takes turns like any other.

        What `run` raises is told to the participant's `on_failure`.

        Raises:
            Stopping: the run stops.
        """
        ...

    def set_timer(self, delay_ns: int, callback: Callable[[], object]) -> Timer:
        """Have `callback` called in a turn of its own after `delay_ns`; also from inside another timer.

        Raises:
            Stopping: the run stops.
            TypeError: the delay is no whole number of nanoseconds, or `callback` cannot be called.
            ValueError: a negative delay.
        """
        ...

    def retire(self, participant: str) -> None:
        """Let one participant end: its `wait_for_next_step` returns False, its other waits raise `Stopping`.

        So do those of the threads that it has started. Called inside a turn or between steps.
        """
        ...

    def is_over(self, participant: str) -> bool:
        """Whether waits end early for this participant: the run ends or stops, or the participant was retired."""
        ...

    def leave(self, participant: str) -> None:
        """Give up the caller's own place for good; the last call of a participant's loop, twice is as good as once.

        The turn goes on until the participant's function returns, and only then is it given away. Whoever waits after
        it, or starts a thread, gets a `LeftError`. Strategies have no use for it: their worker waits again, which is
        then the strategy's error.

        Raises:
            RuntimeError: the caller is another participant, or none.
        """
        ...

    def stop(self, reason: str) -> None:
        """Ask everybody to end at the next opportunity. May be called from any thread and from a signal handler."""
        ...

    def fail(self, error: BaseException) -> None:
        """End the run because of `error`, which `drive` will raise. The first one wins."""
        ...
