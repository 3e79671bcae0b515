"""WallClock: the clock that really waits.

Participants run on OS threads and take turns: one decides at a time, as under every other clock, so that there is no
interleaving here that another clock cannot have. Whoever waits gives its turn away. Among those who are ready the turn
goes first to whose time has come, by the instants, however late the system wakes them, then by phase, rank and name;
who has been passed over too often comes before all. After each turn the conditions of all who wait are asked again; a
participant that waits for its next step is asked every `poll_ns`.
"""

from bisect import insort
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Protocol, TypeVar

from src.core.arguments import checked_callable, checked_timeout
from src.core.blocking import Blocking, helper_order
from src.core.clock import Participant
from src.core.errors import ConfigError, LeftError, Stopping
from src.core.leaving import departure_of
from src.core.sync import Event, Lock, current_name, current_participant, start_thread, wall_ns

__all__ = ["FIRST", "OVER", "STEP", "WAIT", "Seat", "WallClock"]


#: How often, in real seconds, a condition is asked though nobody's turn has ended: what it looks at may lie outside.
#: The same for everybody; `poll_ns` is for those who wait for their next step.
_LOOK_S = 0.05

#: A machine's clock that was set back by more real time than this does not set this one back.
_SET_BACK_S = 0.1

#: Why a participant goes on, see `WallClock._goes_on`.
FIRST, STEP, WAIT, OVER = "first", "step", "wait", "over"

#: So many turns go to others while one that is ready waits.
_PATIENCE = 50


T = TypeVar("T")


class _Joinable(Protocol):
    def join(self) -> None: ...
    def is_alive(self) -> bool: ...


class Seat:
    """A participant's place; all but `asking` and `nudge` belong to the holder of the turn.

    Attributes:
        parent: the participant that it or those before it belong to, empty for a participant itself.
        condition: what it waits for, None while it waits for its next step.
        stepping: whether it waits for its next step.
        ready: whether it was found to have something to do.
        due_ns: when it becomes ready in any case.
        passed_over: how often others were given the turn although it was ready.
        departure: what its waits raise, since it has left; None before.
        asking: whether it wants the turn in order to look for itself, because of a stop or of long silence.
        nudge: wakes its thread: it has the turn, or the run ends.
    """

    def __init__(self, participant: Participant, run: Callable[[], None], parent: str) -> None:
        self.participant = participant
        self.name = participant.name
        self.run = run
        self.parent = parent
        place = helper_order(participant.name) if parent else (participant.name,)
        self.key: tuple[int | str, ...] = (participant.phase, participant.rank, *place)
        self.condition: Callable[[], bool] | None = None
        self.stepping = False
        self.ready = True  # for its first turn
        self.due_ns: int | None = None
        self.passed_over = 0
        self.asking = False
        self.departure: LeftError | None = None
        self.retired = False
        self.nudge = Event()


_key_order = attrgetter("key")


class WallClock(Blocking):
    """See `src.core.clock.Clock`.

    Args:
        speed: seconds of this clock for each real second; 60 lets an hour pass in a minute.
        origin_ns: the instant at which the clock starts, the present by default.
    """

    def __init__(self, speed: float = 1.0, origin_ns: int | None = None) -> None:
        if speed <= 0:
            raise ConfigError(f"expected a positive speed of the clock, found {speed:g}")
        self._speed = speed
        self._started_ns = wall_ns()
        self._origin_ns = self._started_ns if origin_ns is None else origin_ns
        self._latest_ns = self._origin_ns
        self._set_back_ns = round(_SET_BACK_S * 1e9 * speed)
        self._seats: dict[str, Seat] = {}
        self._order: list[Seat] = []
        #: Held for a few instructions at a time, around `_holder` and `asking`; never during a turn or a predicate.
        self._mutex = Lock()
        self._holder: Seat | None = None
        self._threads: list[_Joinable] = []
        self._done = Event()
        self._left: set[str] = set()
        self._driving = False
        self._stopping = False
        self._failure = Lock()
        #: Held where the origin is moved.
        self._anchor = Lock()
        self._error: BaseException | None = None
        self.stopped_because: str | None = None

    # -- composing ---------------------------------------------------------------------------------

    def spawn(self, participant: Participant, run: Callable[[], None]) -> None:
        """See `Clock.spawn`."""
        if participant.name in self._seats:
            raise ConfigError(f"the participant {participant.name} is registered already")
        self._seat(Seat(participant, run, ""))

    def _spawn_helper(self, name: str, run: Callable[[], None]) -> None:
        """See `Blocking`."""
        parent = self._me()
        if self._is_over(parent):
            raise Stopping
        self._seat(Seat(replace(parent.participant, name=name, timed=False), run, parent.parent or parent.name))

    def _seat(self, seat: Seat) -> None:
        self._seats[seat.name] = seat
        self._left.discard(seat.name)  # of one that had the name before
        insort(self._order, seat, key=_key_order)
        if self._driving:
            try:
                self._start(seat)
            except BaseException:  # the system has no thread left: nobody would ever give its turn back
                self._order.remove(self._seats.pop(seat.name))
                raise
        else:
            seat.passed_over = _PATIENCE  # all begin before anybody goes on

    def _start(self, seat: Seat) -> None:
        thread = start_thread(seat.name, lambda: self._body(seat))
        with self._mutex:
            self._threads = [each for each in self._threads if each.is_alive()]
            self._threads.append(thread)

    def drive(self) -> None:
        """See `Clock.drive`: first turns come by phase, rank and name, one after the other."""
        if not self._order:
            return
        self._driving = True
        first = self._first()
        first.ready, first.passed_over, self._holder = False, 0, first
        for seat in list(self._order):
            self._start(seat)
        self._done.wait()
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _first(self) -> Seat:
        """Who has the first turn of all."""
        return self._order[0]

    def _body(self, seat: Seat) -> None:
        current_participant.set(seat.name)
        self._take_turn(seat)
        try:
            if self._is_over(seat):
                self._goes_on(seat, OVER)
            else:
                self._goes_on(seat, FIRST)
                seat.run()
        except Stopping:
            pass
        except BaseException as error:  # kept and raised again by `drive`, or taken by whoever answers for it
            self._failed(seat, error)
        finally:
            self._give_up(seat)

    def _failed(self, seat: Seat, error: BaseException) -> None:
        answer = seat.participant.on_failure if seat.parent else None
        try:
            (answer or self.fail)(error)
        except BaseException as problem:  # an answer that fails itself answers for nothing
            self.fail(problem)

    # -- what participants call --------------------------------------------------------------------

    def now_ns(self) -> int:
        """See `Clock.now_ns`; goes on as before when the machine's clock is set back, and jumps ahead with it."""
        now_ns = self._origin_ns + int((wall_ns() - self._started_ns) * self._speed)
        if now_ns > self._latest_ns:
            self._latest_ns = now_ns
        elif now_ns < self._latest_ns - self._set_back_ns:
            with self._anchor:
                behind_ns = self._latest_ns - self._origin_ns - int((wall_ns() - self._started_ns) * self._speed)
                if behind_ns > self._set_back_ns:  # nobody else has seen to it
                    self._origin_ns += behind_ns
            return self._latest_ns
        return now_ns

    def wait_for_next_step(self, participant: str) -> bool:
        """See `Clock.wait_for_next_step`."""
        seat = self._seats[participant]
        poll_ns = seat.participant.poll_ns
        if seat.departure is not None:
            raise seat.departure
        if self._is_over(seat):
            return False
        seat.ready = self._has_work(seat)
        seat.due_ns = self.now_ns() + poll_ns
        seat.stepping = True
        try:
            while True:
                self._give_turn_away(seat)
                if self._is_over(seat):
                    self._goes_on(seat, OVER)
                    return False
                # Asked with the turn held: another participant may have done the work meanwhile.
                if self._has_work(seat):
                    self._goes_on(seat, STEP)
                    return True
                seat.due_ns = self.now_ns() + poll_ns
        finally:
            seat.stepping = False

    def wait_until(
        self, condition: Callable[[], bool], what: str, timeout_ns: int | None = None, *, by_others: bool = False
    ) -> bool:
        """See `Clock.wait_until`; the condition is asked when a turn ends, by the thread of that turn."""
        checked_callable(condition, "a condition")
        timeout_ns = checked_timeout(timeout_ns, passed=True)
        seat = self._me()
        due_ns = None if timeout_ns is None else self.now_ns() + max(0, timeout_ns)
        seat.condition, seat.due_ns = condition, due_ns
        try:
            while not self._is_over(seat):
                self._give_turn_away(seat, _LOOK_S)
                if self._is_over(seat):
                    self._goes_on(seat, OVER)
                    break
                if condition():
                    self._goes_on(seat, WAIT)
                    return True
                if due_ns is not None and self.now_ns() >= due_ns:
                    self._goes_on(seat, WAIT)
                    return False
        finally:
            seat.condition = seat.due_ns = None
        raise Stopping

    def outside(self, call: Callable[[], T]) -> T:
        """Let others run while the caller waits for something outside, such as a network; called in its turn.

        Returns or raises what the call does, with the turn, also when the run is over by then.
        """
        seat = self._me()
        seat.nudge.clear()
        seat.ready, seat.due_ns = False, None
        self._pass_turn_on()
        try:
            return call()
        finally:
            self._take_turn(seat)

    def ask_all(self) -> None:
        """Ask everybody who waits for the next step, because much may have changed; called in a turn.

        Those who have something to do are ready at the same instant, so that they go on by phase, rank and name.
        """
        now_ns = self.now_ns()
        for seat in self._order:
            if seat.stepping and seat is not self._holder:
                seat.ready = self._has_work(seat)
                seat.due_ns = now_ns + seat.participant.poll_ns

    def leave(self, participant: str) -> None:
        """See `Clock.leave`; nobody else has a turn before the participant's function has returned."""
        departure = departure_of(participant)
        seat = self._seats[participant]
        if seat.departure is None:
            seat.departure = departure
            self._left.add(participant)

    def _give_up(self, seat: Seat) -> None:
        self._left.add(seat.name)
        self._order.remove(self._seats.pop(seat.name))
        self._pass_turn_on()
        if not self._order:
            self._done.set()

    def retire(self, participant: str) -> None:
        """See `Clock.retire`."""
        for seat in list(self._order):
            if participant in (seat.name, seat.parent):
                seat.retired = True
                seat.nudge.set()

    def is_over(self, participant: str) -> bool:
        """See `Clock.is_over`."""
        seat = self._seats.get(participant)
        return self._stopping or (seat is not None and seat.retired)

    def _has_left(self, participant: str) -> bool:
        return participant in self._left

    # -- what anybody may call ---------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """See `Clock.stop`."""
        if self.stopped_because is None:
            self.stopped_because = reason
        self._end()

    def fail(self, error: BaseException) -> None:
        """See `Clock.fail`."""
        with self._failure:
            if self._error is None:
                self._error = error
        self._end()

    # -- turns -------------------------------------------------------------------------------------

    def _me(self) -> Seat:
        seat = self._seats.get(current_participant.get())
        if seat is None:
            what = f"expected a participant of this clock in its turn, found {current_name()}, which cannot wait"
            raise RuntimeError(f"{what}; start threads with `clock.start_thread`")
        if seat.departure is not None:
            raise seat.departure
        return seat

    def _goes_on(self, seat: Seat, what: str) -> None:
        """A participant goes on in its own code: at its first turn, a step, after a wait, or because it is over."""

    def _is_over(self, seat: Seat) -> bool:
        return self._stopping or seat.retired

    def _end(self) -> None:
        # Takes no lock of its own, since a signal handler may interrupt whoever holds it.
        self._stopping = True
        for seat in list(self._order):
            seat.nudge.set()

    def _has_work(self, seat: Seat) -> bool:
        wake = seat.participant.wake
        due_ns = wake.next_due_ns() if seat.participant.timed else None
        return (due_ns is not None and due_ns <= self.now_ns()) or wake()

    def _give_turn_away(self, seat: Seat, look_s: float | None = None) -> None:
        """Let others run; return with the turn when there may be something to see, after `look_s` at the latest."""
        seat.nudge.clear()
        self._pass_turn_on()
        if not self._is_over(seat):
            left_s = None if seat.due_ns is None else max(0.0, (seat.due_ns - self.now_ns()) / 1e9 / self._speed)
            seat.nudge.wait(min((each for each in (left_s, look_s) if each is not None), default=None))
        self._take_turn(seat)

    def _take_turn(self, seat: Seat) -> None:
        with self._mutex:
            seat.asking = self._holder is not seat
            # Not at once to who has come first: the system may have woken it before one that was due earlier.
            if self._holder is None:
                self._give_to_first()
        while self._holder is not seat:
            seat.nudge.wait()
            seat.nudge.clear()

    def _pass_turn_on(self) -> None:
        """End the turn; called by its holder, who may get the next one as well.

        When only helper threads are left and each waits for another, nobody will ever do anything: the run is over.
        """
        for seat in self._order:
            if seat.condition is not None and not seat.ready and _holds(seat.condition):
                seat.ready = True
        with self._mutex:
            quiet = self._give_to_first() is None
        if quiet and all(seat.parent and seat.condition is not None and seat.due_ns is None for seat in self._order):
            self._end()

    def _give_to_first(self) -> Seat | None:
        """Give the turn to the next one, to nobody when none is ready; with the mutex held."""
        now_ns = self.now_ns()
        chosen: Seat | None = None
        best = (0, 0)
        for seat in self._order:  # of equal ones the first by key
            due_ns = seat.due_ns
            is_due = due_ns is not None and due_ns <= now_ns
            if not (is_due or seat.ready or seat.asking):
                continue
            seat.passed_over += 1
            if seat.passed_over > _PATIENCE:
                place = (0, -seat.passed_over)
            else:
                place = (2, 0) if due_ns is None or not is_due else (1, due_ns)
            if chosen is None or place < best:
                chosen, best = seat, place
        self._holder = chosen
        if chosen is not None:
            chosen.ready = chosen.asking = False
            chosen.passed_over = 0
            chosen.nudge.set()
        return chosen


def _holds(condition: Callable[[], bool]) -> bool:
    try:
        return condition()
    except BaseException:  # raised again in the waiter's own turn, where it belongs
        return True
