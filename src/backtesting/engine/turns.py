"""Who goes next, and the steps in between: the engine of the TimeController.

All state here belongs to the holder of the turn, or to whoever performs a step; nobody else touches it, so it needs no
lock. A participant that parks asks `_next_turn`; when nobody is ready, it performs the next step itself.
"""

from bisect import insort
from collections import deque
from collections.abc import Callable
from operator import attrgetter

from src.backtesting.engine.ports import Gate, Market, NoMarket
from src.backtesting.engine.seat import MARKET, Seat, key_order
from src.backtesting.engine.watchdog import MAX_TURNS_AT_ONE_INSTANT, deadlock, livelock
from src.backtesting.schedules import SchedulePolicy
from src.core.clock import PHASE_MONITOR
from src.core.errors import InternalError
from src.core.timeframe import format_instant
from src.core.wake import Signals

__all__ = ["Turns"]

_base_order = attrgetter("base_order")


class Turns:
    """The seats, the ready ones among them, and the passage from one turn to the next.

    Args:
        policy: who goes next among the ready ones.
        pacer: stands between the steps, None when nothing does.
    """

    # Slots, because a step reads twenty of these and a dictionary of so many attributes is slow.
    __slots__ = (
        "_alive", "_blocked", "_careful", "_changes_seen", "_ending", "_error", "_in_order", "_inbox",
        "_market", "_monitors", "_now", "_pacer", "_preempts", "_ready", "_running", "_seats", "_signals", "_steps",
        "_timed", "_turns_here", "_uneasy", "_workers", "_yielded", "_yielded_ns", "policy", "__dict__", "__weakref__",
    )  # fmt: skip

    def __init__(self, policy: SchedulePolicy, pacer: Gate | None) -> None:
        self.policy = policy
        self._in_order, self._preempts = policy.in_order, policy.preempts
        self._pacer = pacer
        #: Whether a step may be more than the market's next event: timers, somebody blocked, a pace.
        self._careful = pacer is not None
        self._market: Market = NoMarket()
        self._seats: dict[str, Seat] = {}
        self._alive: list[Seat] = []
        #: Those of them that wait for the market, monitors apart from workers.
        self._monitors: list[Seat] = []
        self._workers: list[Seat] = []
        self._timed: list[Seat] = []
        self._blocked: list[Seat] = []
        self._ready: list[Seat] = []
        self._yielded: list[Seat] = []
        self._yielded_ns = 0
        self._inbox: deque[Callable[[], None]] = deque()
        self._now = 0
        self._steps = 0
        self._turns_here = 0
        self._signals = Signals()
        self._changes_seen = 0
        self._running: Seat | None = None
        self._ending = False
        #: Whether anything besides order events has to be looked at before the next turn, or somebody to be asked.
        self._uneasy = not policy.in_order
        self._error: BaseException | None = None

    def _fail(self, error: BaseException) -> None:
        """End the run before the next turn; the first error wins."""
        if self._error is None:
            self._error = error
        self._uneasy = True

    def _pass_turn(self, seat: Seat) -> None:
        """Give the turn away and return when it has come back."""
        following = self._next_turn()
        seat.yielding = False
        if following is not seat:
            resume, park = following.resume, seat.park
            resume()
            if park is not None:
                park()

    def _join(self, seat: Seat) -> None:
        """Take a seat up; what waits for the market is asked at each step."""
        lists = [self._alive]
        if not seat.helper:
            lists.append(self._monitors if seat.participant.phase <= PHASE_MONITOR else self._workers)
        if seat.participant.timed:
            lists.append(self._timed)
            self._careful = True
        for each in lists:
            insort(each, seat, key=_base_order)  # not by the place that a sleeper that is due has for a turn

    def _depart(self, seat: Seat) -> None:
        for each in (self._alive, self._monitors, self._workers, self._timed):
            if seat in each:
                each.remove(seat)

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
            if ready:
                self._count_turns()
        except BaseException as error:  # ends the run with its own type, blamed on nobody
            self._fail(error)
            self._end()
        if not ready:
            self._step_until_ready()
        seat = ready.pop(0 if self._in_order or len(ready) == 1 else self._chosen())
        seat.queued = False
        seat.turns += 1
        self._running = seat
        return seat

    def _step_until_ready(self) -> None:
        """Move to the earliest of market event and timer until somebody has something to do there."""
        self._running = None
        ready, market, signals = self._ready, self._market, self._signals
        try:
            while not ready:
                if self._inbox:
                    self._inbox.popleft()()
                    self._look_around()
                    continue
                at = signals.close_ns
                if at is None:
                    at = market.next_ns()
                if (self._careful or at is None) and (self._is_another_step(at) or at is None):
                    continue
                if at > self._now:
                    self._now = at
                    self._turns_here = 0
                else:
                    self._stay(at)
                self._steps += 1
                ended = market.advance(at)
                self._changes_seen = signals.changes
                # In key order, so that appending keeps it. Two loops with the same text: a call that meets two kinds of
                # wakes in turn costs several times as much as one that always meets the same.
                for seat in self._monitors:
                    if seat.state.watching and seat.waiting is MARKET and not seat.queued:
                        wake = seat.wake  # first fetched, then called: `seat.wake()` would look for a method each time
                        if wake():
                            seat.queued = True
                            ready.append(seat)
                for seat in self._workers:
                    if seat.waiting is MARKET and not seat.queued:
                        if seat.view.end >= seat.series.length:
                            wake = seat.wake
                            if not wake():
                                continue
                        seat.queued = True
                        ready.append(seat)
                if ended:
                    for symbol in ended:
                        self._end_symbol(symbol)
                if self._blocked:
                    self._release_blocked()
        except BaseException as error:  # as above
            self._fail(error)
            self._end()

    def _is_another_step(self, at: int | None) -> bool:
        """Do what comes before the market's next event: timers, the end, a pause; False when that event is due."""
        if self._is_step_of_timers(at):
            return True
        if at is None:
            self._find_deadlock(over=True)
            self._end()
            return True
        if self._pacer is not None:
            self._pacer.before_step(self._now, at, market=True)
        return bool(self._inbox)

    def _chosen(self) -> int:
        self._forget_yields()
        try:
            chosen = self.policy.choose(self._ready, self._now)
            if not 0 <= chosen < len(self._ready):
                name, most = self.policy.describe(), len(self._ready) - 1
                raise InternalError(f"the schedule {name} chose {chosen!r}, expected a whole number from 0 to {most}")
            return chosen
        except BaseException as error:  # as for a step: the fault of nobody whose thread asked
            self._fail(error)
            self._end()
            return 0

    def _count_yield(self, seat: Seat) -> None:
        self._forget_yields()
        if not seat.yields:
            self._yielded.append(seat)
        seat.yields += 1

    def _forget_yields(self) -> None:
        if self._yielded_ns != self._now:
            self._yielded_ns = self._now
            for seat in self._yielded:
                seat.yields = 0
            self._yielded.clear()

    def _look_around(self) -> None:
        """What the last turn changed for others: order events, conditions that hold now, an error that ends the run."""
        self._running = None  # what a predicate asks of the broker is asked in nobody's turn, and preempts nobody
        self._changes_seen = self._signals.changes
        for seat in self._monitors:
            if seat.waiting is MARKET and not seat.queued and seat.wake():
                self._enqueue(seat)
        for seat in self._workers:  # by itself for the reason named in `_step_until_ready`
            if seat.waiting is MARKET and not seat.queued and seat.wake():
                self._enqueue(seat)
        if self._blocked:
            self._release_blocked()
        if self._error is not None and not self._ending:
            self._end()
        self._uneasy = not self._in_order or bool(self._blocked)

    def _count_turns(self) -> None:
        self._turns_here += 1
        if self._turns_here > MAX_TURNS_AT_ONE_INSTANT and not self._ending:
            raise livelock(self._alive, self._now)

    def _stay(self, at: int) -> None:
        if at < self._now:
            raise InternalError(f"time would run backwards from {self._now} to {at}")
        self._turns_here += 1
        if self._turns_here > MAX_TURNS_AT_ONE_INSTANT:
            raise InternalError(f"the market names {format_instant(at)} again and again and time does not move")

    def _is_step_of_timers(self, market_ns: int | None) -> bool:
        """Perform the step when a timer is due before the market's next event; False when there is none."""
        self._careful = bool(self._timed or self._blocked) or self._pacer is not None
        if self._blocked:
            self._find_deadlock(over=False)
        due_ns = self._next_due()
        if due_ns is None or due_ns > self._market.end_ns or (market_ns is not None and due_ns >= market_ns):
            return False
        if self._pacer is not None:
            self._pacer.before_step(self._now, due_ns, market=False)
            if self._inbox:
                return True
        if due_ns > self._now:
            self._now = due_ns
            self._turns_here = 0
        else:
            self._count_turns()
        for seat in self._timed:
            # Also when it sees nothing to do: a timer that stays due is a livelock, not an endless step.
            if seat.waiting is MARKET and (seat.wake() or _is_due(seat, due_ns)):
                self._enqueue(seat)
        if self._blocked:
            self._release_blocked()
        return True

    def _next_due(self) -> int | None:
        due: int | None = None
        for seat in self._timed:
            at = seat.next_due_ns() if seat.waiting is MARKET else None
            if at is not None and (due is None or at < due):
                due = at if at > self._now else self._now
        for seat in self._blocked:
            at = seat.due_ns
            if at is not None and (due is None or at < due):
                due = at
        return due

    def _release_blocked(self) -> None:
        now = self._now
        for seat in list(self._blocked):
            due = seat.due_ns is not None and seat.due_ns <= now
            if due or _holds(seat):
                self._blocked.remove(seat)
                seat.order = seat.due_order if due else seat.base_order
                self._enqueue(seat)

    def _end_symbol(self, symbol: str) -> None:
        for seat in self._alive:
            if seat.participant.symbol == symbol and not seat.helper:
                seat.ended = seat.closing = True
                if seat.waiting is MARKET:
                    self._enqueue(seat)

    def _find_deadlock(self, *, over: bool) -> None:
        """Notice that bars will never reach a worker: all are blocked for good, or one is when the market is over.

        The monitor waits for the market without ever running a user's code, so nobody can hope for it.
        """
        able = [seat for seat in self._alive if seat.participant.phase != PHASE_MONITOR]
        stuck = [seat for seat in able if seat.hopeless]
        over = over and all(seat.due_ns is None for seat in able)  # who sleeps past the end might have helped
        if any(not seat.helper for seat in stuck) and (over or len(stuck) == len(able)):
            raise deadlock(stuck)

    def _end(self) -> None:
        """From now on nobody gets True; everybody unwinds one at a time, by key."""
        self._ending = True
        self._blocked.clear()
        for seat in self._alive:
            seat.closing = True
            self._enqueue(seat)


def _holds(seat: Seat) -> bool:
    try:
        return seat.condition is not None and seat.condition()
    except BaseException:  # raised again in the waiter's own turn, where it belongs
        return True


def _is_due(seat: Seat, now_ns: int) -> bool:
    due = seat.next_due_ns()
    return due is not None and due <= now_ns
