"""The TimeController: a clock that lets exactly one participant run at a time, in a written order.

All state here belongs to the holder of the turn; nobody else touches it, so it needs no lock. A participant that waits
parks, picks who goes next and hands the turn over: a chain, no coordinating thread. When nobody is ready, the one that
is parking performs the next step itself: market and broker advance once, for all symbols, to the earliest event.
Requests from outside (`stop`) go into an inbox that is read between steps.

The key of a turn is (instant, phase, rank). Results are a function of configuration, data, seed and policy; real time
and the operating system's choice of threads have no part in them.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence

from src.backtesting.engine.pacing import Pacer, TimeMode, pacer_for
from src.backtesting.engine.ports import Market, NoMarket, TimeStatistics
from src.backtesting.engine.seat import CONDITION, LEFT, MARKET, RUNNING, Seat, key_order
from src.backtesting.engine.watchdog import MAX_TURNS_AT_ONE_INSTANT, Watchdog, deadlock, livelock
from src.backtesting.schedules import SchedulePolicy
from src.backtesting.schedules.fifo import Fifo
from src.core.clock import PHASE_TIMER, Participant
from src.core.errors import ConfigError, InternalError, Stopping
from src.core.sync import Runtime, current_participant, runtime_named
from src.core.timeframe import format_instant
from src.core.wake import Signals

__all__ = ["TimeController", "TimeMode"]


class TimeController:
    """A `Clock` under which virtual time moves only when everybody waits.

    Args:
        symbols: the symbols that get a worker, in rank order.
        mode: real delay for each market step.
        include_position_monitor: whether a participant without a symbol may register.
        policy: who goes next among the ready ones; the written order by default.
        pacer: overrides `mode`.
        runtime: what carries the participants; pinned threads by default.
        stall_s: a turn that is not given back within so many real seconds is a `StalledThreadError`.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        mode: TimeMode = TimeMode.MAX_SPEED,
        include_position_monitor: bool = True,
        *,
        policy: SchedulePolicy | None = None,
        pacer: Pacer | None = None,
        runtime: Runtime | None = None,
        stall_s: float = 60.0,
    ) -> None:
        self.symbols = tuple(symbols)
        self._with_monitor = include_position_monitor
        self.policy: SchedulePolicy = policy or Fifo()
        self._pacer = pacer or pacer_for(mode)
        self._runtime = runtime or runtime_named("threads")
        self._watchdog = Watchdog(int(stall_s * 1e9))
        self._market: Market = NoMarket()
        self._seats: dict[str, Seat] = {}
        self._alive: list[Seat] = []
        self._timed: list[Seat] = []
        self._blocked: list[Seat] = []
        self._ready: list[Seat] = []
        self._inbox: deque[str] = deque()
        self._now = 0
        self._steps = 0
        self._turns_here = 0
        self._signals = Signals()
        self._changes_seen = 0
        self._running: Seat | None = None
        self._ending = False
        #: Whether anything besides order events has to be looked at before the next turn.
        self._uneasy = False
        self.stopped_because: str | None = None
        self._error: BaseException | None = None

    # -- composing ---------------------------------------------------------------------------------

    def attach(self, market: Market) -> None:
        """Set what moves; before the first `spawn`."""
        self._market = market
        self._signals = market.signals
        self._now = market.start_ns

    def spawn(self, participant: Participant, run: Callable[[], None]) -> None:
        """See `Clock.spawn`: the participant is born parked and has its first turn at the window's start, by key."""
        name = participant.name
        if name in self._seats:
            raise ConfigError(f"the participant {name} is registered already; each needs a name of its own")
        if participant.symbol and participant.symbol not in self.symbols:
            raise ConfigError(f"{name}: {participant.symbol} is not one of the symbols {', '.join(self.symbols)}")
        if not participant.symbol and not self._with_monitor:
            raise ConfigError(f"{name} has no symbol, but the time controller was made without a position monitor")
        seat = Seat(participant)
        self._seats[name] = seat

        def body() -> None:
            seat.waiting = RUNNING
            try:
                if not self._ending:
                    run()
            except Stopping:
                pass
            except BaseException as error:  # kept and raised again by `drive`
                self.fail(error)
            finally:
                if seat.waiting is not LEFT:
                    self.leave(name)

        seat.carrier = self._runtime.spawn(name, body)
        insort(self._alive, seat, key=key_order)
        if participant.timed:
            self._timed.append(seat)

    def drive(self) -> None:
        """See `Clock.drive`."""
        if not self._alive:
            return
        for seat in self._alive:
            self._enqueue(seat)
        first = self._next_turn()
        self._runtime.drive(first.carrier, self._check_progress)
        if self._error is not None:
            raise self._error

    # -- what participants call --------------------------------------------------------------------

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return self._now

    def wait_for_next_step(self, participant: str) -> bool:
        """See `Clock.wait_for_next_step`."""
        if self._ending:
            return False
        seat = self._seats[participant]
        seat.waiting = MARKET
        if seat.ended or seat.wake():
            self._enqueue(seat)
        following = self._next_turn()
        if following is not seat:
            self._runtime.hand_over(seat.carrier, following.carrier)
        seat.waiting = RUNNING
        return not (self._ending or (seat.ended and not seat.wake()))

    def sleep(self, duration_ns: int) -> None:
        """See `Clock.sleep`."""
        self.wait_until(_never, f"sleep until {format_instant(self._now + duration_ns)}", duration_ns)

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_ns: int | None = None) -> bool:
        """Block the calling participant until `condition()` holds or the time is over; True when it holds.

        The condition is asked between turns and after steps, by other threads; it must be pure and quick.

        Raises:
            Stopping: the run stops.
        """
        if self._ending:
            raise Stopping
        seat = self._seats[current_participant.get()]
        due_ns = None if timeout_ns is None else self._now + max(0, timeout_ns)
        seat.what, seat.since_ns = what, self._now
        while True:
            seat.waiting, seat.condition, seat.due_ns = CONDITION, condition, due_ns
            self._blocked.append(seat)
            self._uneasy = True
            following = self._next_turn()
            if following is not seat:
                self._runtime.hand_over(seat.carrier, following.carrier)
            seat.waiting = RUNNING
            seat.order = seat.base_order
            seat.condition = seat.due_ns = None
            if self._ending:
                raise Stopping
            # Somebody whose turn came first may have undone what was waited for.
            met = condition()
            if met or (due_ns is not None and due_ns <= self._now):
                return met

    def leave(self, participant: str) -> None:
        """See `Clock.leave`."""
        seat = self._seats[participant]
        if seat.waiting is LEFT:
            return
        seat.waiting = LEFT
        self._alive.remove(seat)
        if seat in self._timed:
            self._timed.remove(seat)
        self._runtime.finish(self._next_turn().carrier if self._alive else None)

    # -- what anybody may call ---------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """See `Clock.stop`; takes effect between steps."""
        self._inbox.append(reason)
        if self._pacer is not None:
            self._pacer.wake_up()

    def fail(self, error: BaseException) -> None:
        """See `Clock.fail`; takes effect before the next turn."""
        if self._error is None:
            self._error = error
        self._uneasy = True

    def statistics(self) -> TimeStatistics:
        """Counts so far."""
        return TimeStatistics(
            now_ns=self._now,
            steps=self._steps,
            turns=sum(seat.turns for seat in self._seats.values()),
            turns_by_participant={name: seat.turns for name, seat in self._seats.items()},
        )

    # -- the chain of turns ------------------------------------------------------------------------

    def _enqueue(self, seat: Seat) -> None:
        if not seat.queued:
            seat.queued = True
            insort(self._ready, seat, key=key_order)

    def _next_turn(self) -> Seat:
        """Who goes next; performs steps until somebody is ready."""
        ready = self._ready
        try:
            if self._signals.changes != self._changes_seen or self._uneasy:
                self._look_around()
            if not ready:
                self._running = None
                step = self._step
                while not ready:
                    step()
        except Exception as error:  # ends the run with its own type, blamed on nobody
            self.fail(error)
            self._end()
        self._turns_here += 1
        if self._turns_here > MAX_TURNS_AT_ONE_INSTANT and not self._ending:
            self.fail(livelock(self._alive, self._now))
            self._end()
        seat = ready.pop() if len(ready) == 1 else ready.pop(self._chosen())
        seat.queued = False
        seat.turns += 1
        self._running = seat
        return seat

    def _chosen(self) -> int:
        try:
            return self.policy.choose(self._ready, self._now)
        except Exception as error:  # as for a step: the fault of nobody whose thread asked
            self.fail(error)
            self._end()
            return 0

    def _look_around(self) -> None:
        """What the last turn changed for others: order events, conditions that hold now, an error that ends the run."""
        self._changes_seen = self._signals.changes
        self._wake_parked()
        if self._blocked:
            self._release_blocked()
        if self._error is not None and not self._ending:
            self._end()
        self._uneasy = bool(self._blocked)

    def _step(self) -> None:
        """Move to the earliest of market event and timer, and find out who has something to do there."""
        if self._inbox:
            self.stopped_because = self._inbox.popleft()
            self._end()
            return
        market = self._market
        at = market.next_ns()
        if self._timed or self._blocked:
            due = self._next_due()
            if due is not None and due <= market.end_ns and (at is None or due < at):
                self._step_of_timers(due)
                return
        if at is None:
            self._finish_or_deadlock()
            return
        if self._pacer is not None:
            self._pacer.wait(self._now, at)
            if self._inbox:
                return
        if at > self._now:
            self._now = at
            self._turns_here = 0
        elif at < self._now:
            raise InternalError(f"time would run backwards from {self._now} to {at}")
        else:
            self._turns_here += 1
            if self._turns_here > MAX_TURNS_AT_ONE_INSTANT:
                raise InternalError(f"the market names {format_instant(at)} again and again and time does not move")
        self._steps += 1
        ended = market.advance(at)
        self._changes_seen = self._signals.changes
        ready = self._ready
        for seat in self._alive:  # in key order, so that appending keeps the order
            if seat.waiting is MARKET and seat.wake():
                seat.queued = True
                ready.append(seat)
        if ended:
            for symbol in ended:
                self._end_symbol(symbol)
        if self._blocked:
            self._release_blocked()

    def _step_of_timers(self, due_ns: int) -> None:
        if due_ns > self._now:
            self._now = due_ns
            self._turns_here = 0
        for seat in self._timed:
            # Also when it sees nothing to do: a timer that stays due is a livelock, not an endless step.
            if seat.waiting is MARKET and (seat.wake() or _is_due(seat, due_ns)):
                self._enqueue(seat)
        if self._blocked:
            self._release_blocked()

    def _next_due(self) -> int | None:
        due: int | None = None
        for seat in self._timed:
            at = seat.next_due_ns()
            if at is not None and (due is None or at < due):
                due = at if at > self._now else self._now
        for seat in self._blocked:
            at = seat.due_ns
            if at is not None and (due is None or at < due):
                due = at
        return due

    def _wake_parked(self) -> None:
        for seat in self._alive:
            if seat.waiting is MARKET and not seat.queued and seat.wake():
                self._enqueue(seat)

    def _release_blocked(self) -> None:
        now = self._now
        for seat in list(self._blocked):
            condition = seat.condition
            if (condition is not None and condition()) or (seat.due_ns is not None and seat.due_ns <= now):
                self._blocked.remove(seat)
                # A sleep or a timer that fell due comes before the monitor and the workers of its instant.
                seat.order = (PHASE_TIMER, *seat.base_order)
                self._enqueue(seat)

    def _end_symbol(self, symbol: str) -> None:
        for seat in self._alive:
            if seat.participant.symbol == symbol:
                seat.ended = True
                if seat.waiting is MARKET:
                    self._enqueue(seat)

    def _finish_or_deadlock(self) -> None:
        waiting = [seat for seat in self._alive if seat.waiting is CONDITION]
        if waiting and len(waiting) == len(self._alive) and all(seat.due_ns is None for seat in waiting):
            self.fail(deadlock(waiting))
        self._end()

    def _end(self) -> None:
        """From now on nobody gets True; everybody unwinds one at a time, by key."""
        self._ending = True
        self._blocked.clear()
        for seat in self._alive:
            if seat.waiting is not RUNNING:
                self._enqueue(seat)

    def _check_progress(self) -> None:
        error = self._watchdog.check(self._running, self._now)
        if error is not None:
            # The thread may come back after all; it then finds the run over instead of going on with it.
            self.fail(error)
            raise error


def _is_due(seat: Seat, now_ns: int) -> bool:
    due = seat.next_due_ns()
    return due is not None and due <= now_ns


def _never() -> bool:
    return False
