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
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from src.backtesting.engine.pacing import Pacer, TimeMode, pacer_for
from src.backtesting.schedules import SchedulePolicy
from src.backtesting.schedules.fifo import Fifo
from src.core.clock import PHASE_TIMER, Participant
from src.core.errors import (
    ConfigError,
    DeadlockError,
    InternalError,
    LivelockError,
    StalledThreadError,
    Stopping,
)
from src.core.sync import Carrier, Runtime, current_participant, monotonic_ns, runtime_named, thread_stacks
from src.core.timeframe import format_instant
from src.core.wake import Signals

__all__ = ["Market", "TimeController", "TimeStatistics"]

MAX_TURNS_AT_ONE_INSTANT = 10_000
_BORN, _RUNNING, _MARKET, _CONDITION, _LEFT = "first turn", "running", "next step", "condition", "left"


class Market(Protocol):
    """What moves when everybody waits: prices, the broker's timers, resting orders.

    Attributes:
        start_ns, end_ns: the window; the first turns are at `start_ns`.
        signals: its `changes` grows whenever something happened that may wake a participant outside a step.
    """

    start_ns: int
    end_ns: int
    signals: Signals

    def next_ns(self) -> int | None:
        """The instant of the next event inside the window, None when there is none."""
        ...

    def advance(self, instant_ns: int) -> Sequence[str]:
        """Move everything to `instant_ns` at once; returns the symbols whose data ended with this step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeStatistics:
    """How far the run is; read at any time from any thread."""

    now_ns: int
    steps: int
    turns: int
    turns_by_participant: dict[str, int]


class _Seat:
    """A participant's place: what it waits for, and what carries it."""

    __slots__ = ("base_order", "carrier", "condition", "due_ns", "ended", "name", "next_due_ns", "order", "participant", "queued", "since_ns",
                 "turns", "waiting", "wake", "what")  # fmt: skip

    carrier: Carrier

    def __init__(self, participant: Participant) -> None:
        self.participant = participant
        self.name = participant.name
        # The bound method: calling it costs half of calling the object.
        self.wake = participant.wake.__call__
        self.next_due_ns = participant.wake.next_due_ns
        self.base_order: tuple[int | str, ...] = (participant.phase, participant.rank, participant.name)
        self.order: tuple[int | str, ...] = self.base_order
        self.waiting = _BORN
        self.what = _BORN
        self.queued = False
        self.ended = False
        self.turns = 0
        self.since_ns = 0
        self.due_ns: int | None = None
        self.condition: Callable[[], bool] | None = None


_order = attrgetter("order")


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
        self._stall_ns = int(stall_s * 1e9)
        self._market: Market = _NoMarket()
        self._seats: dict[str, _Seat] = {}
        self._alive: list[_Seat] = []
        self._timed: list[_Seat] = []
        self._blocked: list[_Seat] = []
        self._ready: list[_Seat] = []
        self._inbox: deque[str] = deque()
        self._now = 0
        self._steps = 0
        self._turns_here = 0
        self._signals = Signals()
        self._changes_seen = 0
        self._running: _Seat | None = None
        self._ending = False
        #: Whether anything besides order events has to be looked at before the next turn.
        self._uneasy = False
        self.stopped_because: str | None = None
        self._error: BaseException | None = None
        self._watched = (0, 0)
        self._watched_name = ""

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
        seat = _Seat(participant)
        self._seats[name] = seat

        def body() -> None:
            seat.waiting = _RUNNING
            try:
                if not self._ending:
                    run()
            except Stopping:
                pass
            except BaseException as error:  # kept and raised again by `drive`
                self.fail(error)
            finally:
                if seat.waiting is not _LEFT:
                    self.leave(name)

        seat.carrier = self._runtime.spawn(name, body)
        insort(self._alive, seat, key=_order)
        if participant.timed:
            self._timed.append(seat)

    def drive(self) -> None:
        """See `Clock.drive`."""
        if not self._alive:
            return
        for seat in self._alive:
            self._enqueue(seat)
        self._watched = (-1, monotonic_ns())
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
        seat.waiting = _MARKET
        if seat.ended or seat.wake():
            self._enqueue(seat)
        following = self._next_turn()
        if following is not seat:
            self._runtime.hand_over(seat.carrier, following.carrier)
        seat.waiting = _RUNNING
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
            seat.waiting, seat.condition, seat.due_ns = _CONDITION, condition, due_ns
            self._blocked.append(seat)
            self._uneasy = True
            following = self._next_turn()
            if following is not seat:
                self._runtime.hand_over(seat.carrier, following.carrier)
            seat.waiting = _RUNNING
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
        if seat.waiting is _LEFT:
            return
        seat.waiting = _LEFT
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

    def _enqueue(self, seat: _Seat) -> None:
        if not seat.queued:
            seat.queued = True
            insort(self._ready, seat, key=_order)

    def _next_turn(self) -> _Seat:
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
            self.fail(self._livelock())
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
        self._steps += 1
        ended = market.advance(at)
        self._changes_seen = self._signals.changes
        ready = self._ready
        for seat in self._alive:  # in key order, so that appending keeps the order
            if seat.waiting is _MARKET and seat.wake():
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
            if seat.waiting is _MARKET and (seat.wake() or _is_due(seat, due_ns)):
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
            if seat.waiting is _MARKET and not seat.queued and seat.wake():
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
                if seat.waiting is _MARKET:
                    self._enqueue(seat)

    def _finish_or_deadlock(self) -> None:
        waiting = [seat for seat in self._alive if seat.waiting is _CONDITION]
        if waiting and len(waiting) == len(self._alive) and all(seat.due_ns is None for seat in waiting):
            lines = [f"{seat.name} waits for {seat.what} since {format_instant(seat.since_ns)}" for seat in waiting]
            self.fail(
                DeadlockError(
                    f"nobody is ready, no timer is set and nobody waits for the market: {'; '.join(lines)}",
                    participants=[seat.name for seat in waiting],
                    stacks=thread_stacks(),
                )
            )
        self._end()

    def _end(self) -> None:
        """From now on nobody gets True; everybody unwinds one at a time, by key."""
        self._ending = True
        self._blocked.clear()
        for seat in self._alive:
            if seat.waiting is not _RUNNING:
                self._enqueue(seat)

    # -- watching ----------------------------------------------------------------------------------

    def _livelock(self) -> LivelockError:
        busiest = sorted(self._alive, key=lambda seat: (-seat.turns, seat.name))[:3]
        names = [seat.name for seat in busiest]
        return LivelockError(
            f"more than {MAX_TURNS_AT_ONE_INSTANT} turns at {format_instant(self._now)} without time moving; the "
            f"busiest participants are {', '.join(names)}: look for an order event that always causes another",
            participants=names,
        )

    def _check_progress(self) -> None:
        turns, since = self._watched
        now = monotonic_ns()
        running = self._running
        if running is None or turns != running.turns or self._watched_name != running.name:
            self._watched = (-1 if running is None else running.turns, now)
            self._watched_name = "" if running is None else running.name
        elif now - since > self._stall_ns:
            stacks = thread_stacks()
            error = StalledThreadError(
                f"{running.name} has not given its turn back for {(now - since) / 1e9:.0f} real seconds, since "
                f"{format_instant(self._now)} of virtual time; its stack:\n{stacks.get(running.name, 'unknown')}",
                participant=running.name,
                stacks=stacks,
            )
            # The thread may come back after all; it then finds the run over instead of going on with it.
            self.fail(error)
            raise error


def _is_due(seat: _Seat, now_ns: int) -> bool:
    due = seat.next_due_ns()
    return due is not None and due <= now_ns


class _NoMarket:
    """Stands where no market was attached."""

    start_ns = end_ns = 0
    signals = Signals()

    def next_ns(self) -> int | None:
        raise InternalError("the time controller has no market; attach one before the participants start")

    def advance(self, instant_ns: int) -> Sequence[str]:
        raise InternalError("the time controller has no market; attach one before the participants start")


def _never() -> bool:
    return False
