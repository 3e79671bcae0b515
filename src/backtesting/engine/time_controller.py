"""The TimeController: a clock that lets exactly one participant run at a time, in a written order.

All state here belongs to the holder of the turn; nobody else touches it, so it needs no lock. A participant that waits
parks, picks who goes next and hands the turn over: a chain, no coordinating thread. When nobody is ready, the one that
is parking performs the next step itself: market and broker advance once, for all symbols, to the earliest event.
Requests from outside (`stop`, `post`) go into an inbox that is read between steps.

The key of a turn is (instant, phase, rank, name). Results are a function of configuration, data, seed and policy; real
time and the operating system's choice of threads have no part in them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from src.backtesting.engine.pacing import TimeMode, pacer_for
from src.backtesting.engine.ports import Gate, Market, ParticipantState, TimeStatistics
from src.backtesting.engine.seat import CONDITION, LEFT, MARKET, YIELDED, NoWake, Seat
from src.backtesting.engine.turns import Turns
from src.backtesting.engine.watchdog import Watchdog, add_stacks, busy_poller
from src.backtesting.schedules import SchedulePolicy
from src.backtesting.schedules.fifo import Fifo
from src.core.arguments import checked_callable, checked_timeout
from src.core.blocking import Blocking
from src.core.clock import Participant
from src.core.errors import ConfigError, Stopping, invariant
from src.core.leaving import departure_of
from src.core.sync import Runtime, current_name, current_participant, runtime_named

__all__ = ["TimeController", "TimeMode"]

#: So many readings of the clock, through whatever port call, in one turn are a loop that waits for what cannot come.
MAX_CALLS_IN_ONE_TURN = 100_000
CALLS_BETWEEN_LOOKS = 1_000


class TimeController(Turns, Blocking):
    """A `Clock` under which virtual time moves only when everybody waits.

    Args:
        symbols: the symbols that get a worker, in rank order.
        mode: real delay for each market step.
        include_position_monitor: whether a participant without a symbol may register.
        policy: who goes next among the ready ones; the written order by default.
        pacer: stands between the steps; overrides `mode`.
        runtime: what carries the participants; pinned threads by default.
        stall_s: a turn that is not given back within so many real seconds is a `StalledThreadError`.
        wake_wrapper: gives a participant another wake, such as a later one.
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
        super().__init__(policy or Fifo(), pacer or pacer_for(mode))
        self.symbols = tuple(symbols)
        self._with_monitor = include_position_monitor
        self._runtime = runtime or runtime_named("threads")
        self._watchdog = Watchdog(int(stall_s * 1e9))
        self._unwatched = 0
        self._wrap = wake_wrapper
        self._driving = False
        #: Names of the helpers that have left, and how many turns they had.
        self._gone: set[str] = set()
        self._turns_gone = 0
        self._calls = 0
        self._calls_allowed = 0
        self._calls_here = 0
        self._last_counted = ("", 0, 0)
        self.stopped_because: str | None = None

    # -- composing ---------------------------------------------------------------------------------

    def attach(self, market: Market) -> None:
        """Set what moves; before the first `spawn`."""
        self._market = market
        self._signals = market.signals
        self._now = market.start_ns

    @property
    def pacer(self) -> Gate | None:
        """What stands between the steps, None when nothing does."""
        return self._pacer

    def set_pacer(self, pacer: Gate | None) -> None:
        """Set what stands between the steps; before `drive`, or from a request."""
        self._pacer = pacer
        self._careful = True

    def spawn(self, participant: Participant, run: Callable[[], None]) -> None:
        """See `Clock.spawn`: the participant is born parked and has its first turn by key, at the present instant."""
        name = participant.name
        if participant.symbol and participant.symbol not in self.symbols:
            raise ConfigError(f"{name}: {participant.symbol} is not one of the symbols {', '.join(self.symbols)}")
        if not participant.symbol and not self._with_monitor:
            raise ConfigError(f"{name} has no symbol, but the time controller was made without a position monitor")
        self._seat(participant if self._wrap is None else self._wrap(participant), run)

    def _spawn_helper(self, name: str, run: Callable[[], None]) -> None:
        """See `Blocking`: a thread of the calling participant, with its phase, rank and symbol."""
        parent = self._caller("start a thread")
        if self._ending or parent.retired:
            raise Stopping
        self._seat(
            replace(parent.participant, name=name, wake=NoWake(), timed=False),
            run,
            parent=parent.parent or parent.name,
        )

    def _seat(self, participant: Participant, run: Callable[[], None], *, parent: str = "") -> None:
        name = participant.name
        if name in self._seats and self._seats[name].waiting is not LEFT:
            raise ConfigError(f"the participant {name} is registered already; each needs a name of its own")
        seat = Seat(participant, parent=parent)
        seat.since_ns = self._now

        def body() -> None:
            seat.resume, seat.park = seat.carrier.resume, seat.carrier.park
            try:
                if not self._ending:
                    run()
            except Stopping:
                if seat.helper and not self.is_over(name):
                    self._failed(seat, RuntimeError("Stopping was raised though nothing stops; return instead"))
            except BaseException as error:  # kept and raised again by `drive`, or taken by whoever answers for it
                self._failed(seat, error)
            finally:
                self._give_up(seat)

        seat.carrier = carrier = self._runtime.spawn(name, body)
        seat.resume = carrier.resume
        self._seats[name] = seat
        self._gone.discard(name)
        self._join(seat)
        if self._driving:
            self._enqueue(seat)

    def drive(self) -> None:
        """See `Clock.drive`."""
        if not self._alive:
            return
        for seat in self._alive:
            self._enqueue(seat)
        self._driving = True
        first = self._next_turn()
        self._runtime.drive(first.carrier, self._check_progress)
        if self._error is not None:
            raise self._error
        invariant(not self._alive, f"the run ended without {', '.join(seat.name for seat in self._alive)}")

    # -- what participants call --------------------------------------------------------------------

    def now_ns(self) -> int:
        """See `Clock.now_ns`.

        Raises:
            LivelockError: it is asked again and again in one turn, during which it cannot move.
        """
        self._calls = calls = self._calls + 1
        if calls >= self._calls_allowed:
            self._count_calls()
        return self._now

    def _count_calls(self) -> None:
        # Looked at once in a while, so that a reading of the clock costs next to nothing.
        self._calls_allowed = self._calls + CALLS_BETWEEN_LOOKS  # before the error: who reports it asks the clock too
        seat = self._running
        if seat is None:
            return
        shown = seat.participant.progress
        here = (seat.name, seat.turns, 0 if shown is None else shown())
        if here != self._last_counted:
            self._last_counted, self._calls_here = here, 0
        self._calls_here += CALLS_BETWEEN_LOOKS
        if self._calls_here > MAX_CALLS_IN_ONE_TURN and seat.name == current_participant.get():
            self._calls_here = 0
            raise busy_poller(seat.name, self._now, MAX_CALLS_IN_ONE_TURN)

    def wait_for_next_step(self, participant: str) -> bool:
        """See `Clock.wait_for_next_step`."""
        seat = self._seats[participant]
        if seat.closing and self._is_closed(seat):
            return False
        seat.waiting = MARKET
        if (seat.asks and self._has_news(seat)) or seat.ended:
            self._turns_here += 1
            self._enqueue(seat)
            following = self._next_turn()
        elif self._uneasy or self._signals.changes != self._changes_seen:
            following = self._next_turn()
        else:
            # What `_next_turn` does when nothing has changed since the last step; this is nearly always so.
            ready = self._ready
            if not ready:
                self._step_until_ready()
            following = ready.pop(0)
            following.queued = False
            following.turns += 1
            self._running = following
        if following is not seat:
            # Fetched before they are called: for `following.resume()` a method would be looked for first, each time.
            resume, park = following.resume, seat.park
            resume()
            if park is not None:
                park()
        if seat.closing:
            return not (self._ending or seat.retired or (seat.ended and not seat.wake()))
        return True

    def _is_closed(self, seat: Seat) -> bool:
        if seat.departure is not None:
            raise seat.departure
        return self._ending or seat.retired

    def _has_news(self, seat: Seat) -> bool:
        self._running = None  # see `_look_around`
        seat.asks = seat.leaves_news
        return seat.wake()

    def wait_until(
        self, condition: Callable[[], bool], what: str, timeout_ns: int | None = None, *, by_others: bool = False
    ) -> bool:
        """See `Clock.wait_until`; the condition is asked between turns and after steps, by other threads."""
        seat = self._caller("wait")
        checked_callable(condition, "a condition")
        timeout_ns = checked_timeout(timeout_ns, passed=True)
        if self._preempts:
            self._count_yield(seat)
        due_ns = None if timeout_ns is None else self._now + max(0, timeout_ns)
        seat.what, seat.since_ns = what, self._now
        seat.asks = True
        while True:
            if self._ending or seat.retired:
                raise Stopping
            seat.waiting, seat.condition, seat.due_ns, seat.by_others = CONDITION, condition, due_ns, by_others
            self._blocked.append(seat)
            self._uneasy = self._careful = True
            self._pass_turn(seat)
            seat.order = seat.base_order
            seat.condition = seat.due_ns = None
            if self._ending or seat.retired:
                raise Stopping
            # Somebody whose turn came first may have undone what was waited for.
            met = condition()
            if met or (due_ns is not None and due_ns <= self._now):
                return met

    def yield_turn(self) -> None:
        """A point at which the running participant may lose its turn to another ready one; only some policies ask."""
        seat = self._running
        if not self._preempts or self._ending or seat is None or seat.name != current_participant.get():
            return
        if seat.waiting is LEFT:  # nobody would give it the turn again
            return
        self._count_yield(seat)
        seat.waiting, seat.yielding = YIELDED, True
        self._enqueue(seat)
        self._pass_turn(seat)

    def leave(self, participant: str) -> None:
        """See `Clock.leave`; nobody else has a turn before the participant's function has returned."""
        departure = departure_of(participant)
        seat = self._seats[participant]
        if seat.waiting is not LEFT:
            seat.departure, seat.closing = departure, True
            self._mark_left(seat)

    def _mark_left(self, seat: Seat) -> None:
        seat.waiting = LEFT
        self._depart(seat)
        self._uneasy = True  # somebody may be waiting for its end

    def _give_up(self, seat: Seat) -> None:
        """The end of a participant's last turn: its function has returned."""
        if seat.waiting is not LEFT:
            self._mark_left(seat)
        if seat.helper:  # there may be one for each bar
            self._forget(seat)
        self._runtime.finish(self._next_turn().carrier if self._alive else None)

    def retire(self, participant: str) -> None:
        """See `Clock.retire`."""
        for seat in self._alive:
            if participant in (seat.name, seat.parent) and not seat.retired:
                seat.retired = seat.closing = True
                if seat in self._blocked:
                    self._blocked.remove(seat)
                if seat is not self._running:
                    self._enqueue(seat)

    def _has_left(self, participant: str) -> bool:
        return participant in self._gone or (participant in self._seats and self._seats[participant].waiting is LEFT)

    def _forget(self, helper: Seat) -> None:
        del self._seats[helper.name]
        self._gone.add(helper.name)
        self._turns_gone += helper.turns
        parent = self._seats.get(helper.parent)
        if parent is not None:
            parent.turns_of_helpers += helper.turns

    def is_over(self, participant: str) -> bool:
        """See `Clock.is_over`."""
        seat = self._seats.get(participant)
        return self._ending or (seat is not None and seat.retired)

    def _caller(self, what: str) -> Seat:
        seat = self._seats.get(current_participant.get())
        if seat is None:
            name = current_name()
            raise RuntimeError(f"expected a participant in its turn, found {name}, which cannot {what}")
        if seat.departure is not None:
            raise seat.departure
        return seat

    # -- what anybody may call ---------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """See `Clock.stop`; takes effect between steps."""

        def end() -> None:
            self.stopped_because = reason
            self._end()

        self._inbox.append(end)
        pacer = self._pacer
        if pacer is not None:
            pacer.wake_up()

    def post(self, request: Callable[[], None]) -> None:
        """Have `request` called before the next step, by whoever performs it; what it raises ends the run."""
        self._inbox.append(request)

    def fail(self, error: BaseException) -> None:
        """See `Clock.fail`; takes effect before the next turn."""
        add_stacks(error, self._alive)
        self._fail(error)

    @contextmanager
    def suspend_watchdog(self) -> Iterator[None]:
        """While inside, no turn is too long: somebody looks at it in a debugger."""
        self._unwatched += 1
        try:
            yield
        finally:
            self._unwatched -= 1

    def is_parked(self, participant: str) -> bool:
        """Whether it waits for the next step, and not for something inside a turn of its own."""
        return self._seats[participant].waiting is MARKET

    def is_settled(self) -> bool:
        """Whether everything that the market does at the present instant has happened."""
        at = self._market.next_ns()
        return at is None or at > self._now

    def has_ended(self, participant: str) -> bool:
        """Whether its symbol has no more data, so that its next turn is the last."""
        return self._seats[participant].ended

    @property
    def instant_ns(self) -> int:
        """The present instant for displays; asking for it is no call of the clock, which are counted."""
        return self._now

    @property
    def window_ns(self) -> tuple[int, int]:
        """The instants at which the market begins and ends."""
        return self._market.start_ns, self._market.end_ns

    def statistics(self) -> TimeStatistics:
        """Where everybody is now."""
        seats = list(self._seats.values())
        return TimeStatistics(
            now_ns=self._now,
            steps=self._steps,
            turns=self._turns_gone + sum(seat.turns for seat in seats),
            participants=tuple([self._state(seat) for seat in seats]),
        )

    def _state(self, seat: Seat) -> ParticipantState:
        waiting, what = seat.waiting, seat.waiting
        if waiting is LEFT:
            state, what = "left", ""
        elif seat is self._running:
            state, what = "running", ""
        else:
            state = "ready" if seat.queued else "waiting"
            what = seat.what if waiting is CONDITION else waiting
        return ParticipantState(name=seat.name, state=state, what=what, since_ns=seat.since_ns, turns=seat.turns)

    def _failed(self, seat: Seat, error: BaseException) -> None:
        answer = seat.participant.on_failure if seat.helper else None
        try:
            (answer or self.fail)(error)
        except BaseException as problem:  # an answer that fails itself must not be lost with its thread
            self.fail(problem)

    def _check_progress(self) -> None:
        error = self._watchdog.check(None if self._unwatched else self._running, self._now, self._alive)
        if error is not None:
            # The thread may come back after all; it then finds the run over instead of going on with it.
            self.fail(error)
            raise error
