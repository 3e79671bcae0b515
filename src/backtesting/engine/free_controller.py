"""The FreeTimeController: virtual time and real concurrency. Whoever is ready runs, all at once, on real threads.

Unlike under every other clock of a backtest, several participants run at the same time, and the operating system
decides who is faster: nothing here is reproducible, which is what it is for. Time still stands still while anybody
runs: the last one that begins to wait moves it, and then releases all who are ready there. Who waits for somebody else
goes on as soon as that one changes a primitive of the clock or begins to wait itself.

One mutex guards all state of the scheduler and of the clock's primitives. Conditions and wakes are asked under it, so
that they must not wait for a lock whose holder waits for the clock. The state changes and the steps themselves are the
inherited ones: a step happens only while everybody else waits.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from src.backtesting.engine.pacing import TimeMode
from src.backtesting.engine.ports import Gate, ParticipantState
from src.backtesting.engine.seat import CONDITION, LEFT, MARKET, Seat, key_order
from src.backtesting.engine.time_controller import MAX_CALLS_IN_ONE_TURN, TimeController
from src.backtesting.engine.watchdog import MAX_TURNS_AT_ONE_INSTANT, Watchdog, busy_poller, livelock
from src.backtesting.schedules import SchedulePolicy
from src.backtesting.schedules.free import Free
from src.backtesting.schedules.order import TurnOrder
from src.core.arguments import checked_callable, checked_timeout
from src.core.clock import Participant
from src.core.errors import ConfigError, StalledThreadError, Stopping
from src.core.sync import Lock, ReentrantLock, Runtime, current_participant, runtime_named

__all__ = ["FreeTimeController", "time_controller_for"]

#: What a seat waits for while it runs; compared by identity.
RUNNING = "nothing: it runs"


class FreeTimeController(TimeController):
    """A `Clock` under which all who are ready run at once; see `TimeController` for the arguments.

    Args:
        policy: kept for its description only.
        runtime: threads on all cores by default; fibers cannot run at once.

    Attributes:
        order: in which order turns really began.

    Raises:
        ConfigError: nothing paces the run, or the runtime has no threads.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        mode: TimeMode = TimeMode.MAX_SPEED,
        include_position_monitor: bool = True,
        *,
        policy: SchedulePolicy | None = None,
        pacer: Gate | None = None,
        runtime: Runtime | None = None,
        stall_s: float = 60.0,
        wake_wrapper: Callable[[Participant], Participant] | None = None,
    ) -> None:
        runtime = runtime or runtime_named("threads", pin=False)
        super().__init__(
            symbols, mode, include_position_monitor, policy=policy or Free(), pacer=pacer, runtime=runtime,
            stall_s=stall_s, wake_wrapper=wake_wrapper,
        )  # fmt: skip
        if self.pacer is None or runtime.name != "threads":
            raise ConfigError(
                f"expected a pace and threads for a free schedule, found {runtime.name} "
                f"{'without a pace' if self.pacer is None else 'with one'}; set FAST, REALTIME or a pace, and threads"
            )
        self.order = TurnOrder()
        self._mutex = ReentrantLock()
        self._guard: AbstractContextManager[Any] = _Guard(self._mutex, self._primitive_changed)
        self._failure = Lock()  # taken under the mutex or alone, never the other way round
        self._active: set[Seat] = set()
        self._released: set[Seat] = set()  # of the active ones those that have not begun yet
        self._passing_on = False
        self._asked: dict[str, int] = {}
        self._dogs: dict[str, Watchdog] = {}
        self._stall_ns = int(stall_s * 1e9)

    # -- composing ---------------------------------------------------------------------------------

    def _seat(self, participant: Participant, run: Callable[[], None], *, parent: str = "") -> None:
        name = participant.name

        def begun() -> None:
            self._begin(self._seats[name])
            run()

        super()._seat(participant, begun, parent=parent)

    def _spawn_helper(self, name: str, run: Callable[[], None]) -> None:
        """See `Blocking`; it begins at once, beside its participant."""
        with self._mutex:
            super()._spawn_helper(name, run)
            self._pass_on()

    def drive(self) -> None:
        """See `Clock.drive`."""
        if not self._alive:
            return
        with self._mutex:
            for seat in self._alive:
                self._enqueue(seat)
            first = self._alive[0]
            self._driving = True
            self._notice()
            self._release_ready(but=first)
        self._runtime.drive(first.carrier, self._check_progress)
        if self._error is not None:
            raise self._error

    # -- what participants call --------------------------------------------------------------------

    def now_ns(self) -> int:
        """See `TimeController.now_ns`; takes no lock."""
        name = current_participant.get()
        # Each participant counts for itself, and each entry is written by its own thread alone.
        self._asked[name] = calls = self._asked.get(name, 0) + 1
        if calls > MAX_CALLS_IN_ONE_TURN:
            self._asked[name] = 0  # who reports the error asks the clock as well
            seat = self._seats.get(name)
            if seat is not None and seat.waiting is RUNNING:
                raise busy_poller(name, self._now, MAX_CALLS_IN_ONE_TURN)
        return self._now

    def wait_for_next_step(self, participant: str) -> bool:
        """See `Clock.wait_for_next_step`."""
        seat = self._seats[participant]
        with self._mutex:
            if seat.closing and self._is_closed(seat):
                return False
            seat.waiting = MARKET
            try:
                ready = seat.wake() or seat.ended
            except BaseException:
                seat.waiting = RUNNING
                raise
            self._active.discard(seat)
            if ready:
                self._enqueue(seat)
            self._pass_on()
        self._take_turn(seat)
        if seat.closing:
            return not (self._ending or seat.retired or (seat.ended and not seat.wake()))
        return True

    def wait_until(
        self, condition: Callable[[], bool], what: str, timeout_ns: int | None = None, *, by_others: bool = False
    ) -> bool:
        """See `Clock.wait_until`; other threads ask the condition, when they begin to wait or change a primitive."""
        seat = self._caller("wait")
        checked_callable(condition, "a condition")
        timeout_ns = checked_timeout(timeout_ns, passed=True)
        due_ns = None if timeout_ns is None else self._now + max(0, timeout_ns)
        since_ns = self._now
        while True:
            with self._mutex:
                if self._ending or seat.retired:
                    raise Stopping
                seat.what, seat.since_ns = what, since_ns
                seat.waiting, seat.condition, seat.due_ns, seat.by_others = CONDITION, condition, due_ns, by_others
                self._active.discard(seat)
                self._blocked.append(seat)
                self._uneasy = self._careful = True
                self._pass_on()
            self._take_turn(seat)
            if self._ending or seat.retired:
                raise Stopping
            # Somebody who was faster may have undone what was waited for.
            met = condition()
            if met or (due_ns is not None and due_ns <= self._now):
                return met

    def yield_turn(self) -> None:
        """Nothing: nobody waits for this one's turn to end."""

    def leave(self, participant: str) -> None:
        """See `Clock.leave`; time stands still until the participant's function has returned."""
        with self._mutex:
            super().leave(participant)

    def _give_up(self, seat: Seat) -> None:
        with self._mutex:
            if seat.waiting is not LEFT:
                self._mark_left(seat)
            self._active.discard(seat)
            self._released.discard(seat)
            over = not self._alive and not self._active
            if not over:
                self._pass_on()
        if over:
            self._runtime.finish(None)

    def retire(self, participant: str) -> None:
        """See `Clock.retire`; who runs notices at its next wait."""
        with self._mutex:
            super().retire(participant)
            self._pass_on()

    # -- who runs; all under the mutex -------------------------------------------------------------

    def _enqueue(self, seat: Seat) -> None:
        if seat.waiting is not RUNNING:
            super()._enqueue(seat)

    def _primitive_changed(self) -> None:
        if self._blocked and self._driving:
            self._pass_on()

    def _pass_on(self) -> None:
        """Release who is ready by now; when nobody runs, move time until somebody is."""
        if self._passing_on:  # a condition that changes a primitive while it is asked
            return
        self._passing_on = True
        try:
            self._notice()
            if not self._ready and not self._active:
                self._try(self._step_until_ready)
            self._release_ready()
        finally:
            self._passing_on = False

    def _notice(self) -> None:
        """Look at what others changed for those who wait."""
        failed = self._error is not None and not self._ending
        if failed or self._uneasy or self._signals.changes != self._changes_seen:
            self._try(self._look_around)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:  # ends the run with its own type, blamed on nobody
            self._fail(error)
            self._end()

    def _release_ready(self, but: Seat | None = None) -> None:
        """Let all who are ready go.

        Args:
            but: who is let go by the caller.
        """
        self._turns_here += len(self._ready)
        if self._turns_here > MAX_TURNS_AT_ONE_INSTANT and not self._ending:
            self._fail(livelock(self._alive, self._now))
            self._end()
        going = self._ready.copy()
        self._ready.clear()
        for seat in going:
            seat.queued = False
            seat.turns += 1
            seat.waiting = RUNNING
            self._active.add(seat)
            self._released.add(seat)
        for seat in going:
            if seat is not but:
                seat.carrier.resume()

    def _take_turn(self, seat: Seat) -> None:
        """Block until somebody has released this seat, maybe itself; without the mutex."""
        park = seat.carrier.park
        if park is not None:
            park()
        self._begin(seat)

    def _begin(self, seat: Seat) -> None:
        with self._mutex:
            self._asked[seat.name] = 0
            self._released.discard(seat)
            self.order.began(self._now, self._steps, seat.name, seat.order, alone=not self._released)
            seat.order = seat.base_order
            seat.condition = seat.due_ns = None

    # -- what anybody may call ---------------------------------------------------------------------

    def _fail(self, error: BaseException) -> None:
        # Not under the mutex: also the thread that drives calls it, while a stuck participant may have the mutex.
        with self._failure:
            super()._fail(error)

    def _state(self, seat: Seat) -> ParticipantState:
        if seat.waiting is RUNNING:
            return ParticipantState(
                name=seat.name, state="running", what="", since_ns=seat.since_ns, turns=seat.turns
            )  # fmt: skip
        return super()._state(seat)

    def _check_progress(self) -> None:
        stalled: dict[str, StalledThreadError] = {}
        alive = list(self._alive)
        # Who has left may still have something to do before its function returns, and everybody waits for it then.
        leaving = sorted((seat for seat in list(self._active) if seat.waiting is LEFT), key=key_order)
        for seat in (*alive, *leaving):
            dog = self._dogs.setdefault(seat.name, Watchdog(self._stall_ns))
            runs = seat.waiting in (RUNNING, LEFT) and not self._unwatched
            error = dog.check(seat if runs else None, self._now, alive)
            if error is not None:
                stalled[seat.name] = error
        if stalled:
            error = _cause(stalled)
            self.fail(error)
            raise error


class _Guard(AbstractContextManager[None]):
    """The mutex around a change of a primitive; looks, at the end of the outermost one, whom it lets go on.

    Args:
        changed: called with the mutex held.
    """

    def __init__(self, mutex: ReentrantLock, changed: Callable[[], None]) -> None:
        self._mutex = mutex
        self._changed = changed
        self._depth = 0

    def __enter__(self) -> None:
        self._mutex.acquire()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._depth -= 1
            if not self._depth:
                self._changed()
        finally:
            self._mutex.release()


def _cause(stalled: dict[str, StalledThreadError]) -> StalledThreadError:
    """Of several that do not come back the one that the others wait for."""
    name = next(iter(stalled))
    for _ in stalled:
        holder = str(stalled[name].details.get("holder", ""))
        if holder not in stalled:
            break
        name = holder
    return stalled[name]


def time_controller_for(policy: SchedulePolicy) -> type[TimeController]:
    """The clock under which a policy runs."""
    return FreeTimeController if isinstance(policy, Free) else TimeController
