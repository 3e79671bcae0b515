"""What a program of waits does under the written order: no threads, no engine, one thing after the other.

`Model` is the sequential reading of the rules of time; its first fifty lines are all there is to the order of turns.
A participant is a generator that yields where it gives its turn away. Nothing here asks the engine anything. What
locks, events and queues promise stands in `reference_primitives.py`.
"""

from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

from src.core.clock import PHASE_MONITOR, PHASE_TIMER
from src.core.errors import DeadlockError, Stopping

Steps = Generator[None, None, Any]


def never() -> bool:
    return False


class Seat:
    """A participant: what it waits for, and the generator that it is."""

    def __init__(self, root: "Seat | None", name: str, key: tuple[int | str, ...], script: Steps) -> None:
        self.root, self.name, self.key, self.script = root or self, name, key, script
        self.helper = root is not None
        self.born, self.at_market, self.retired, self.ended = True, False, False, False
        self.condition: Callable[[], bool] = never
        self.due: int | None = None
        self.by_others = False
        self.wake: Any = None  # of a participant that waits for the market
        self.wants: Any = None  # what somebody else has and this one waits for without an end
        self.on_failure: Callable[[BaseException], None] | None = None


class Model:
    """The order of turns: the least (phase, rank, name) of those who can go on; when nobody can, the next instant."""

    def __init__(self, instants: list[int], end_ns: int, ends: dict[int, tuple[str, ...]]) -> None:
        self.instants, self.end_ns, self.ends = list(instants), end_ns, ends
        self.now, self.count = 0, 0
        self.seats: list[Seat] = []
        self.me: Seat = Seat(None, "", (), iter(()))  # type: ignore[arg-type]  # a generator stands for the thread
        self.stopped = self.ending = False
        self.error: BaseException | None = None
        self.numbers: Counter[Seat] = Counter()

    def run(self) -> None:
        while self.seats:
            self.ending = self.ending or self.error is not None  # an error ends the run before the next turn
            ready = [seat for seat in self.seats if self.ending or self.is_ready(seat)]
            if ready:
                self.turn(min(ready, key=self.place))
            else:
                self.step()

    def is_due(self, seat: Seat) -> bool:
        return seat.due is not None and seat.due <= self.now

    def is_ready(self, seat: Seat) -> bool:
        if seat.at_market:
            return bool(seat.retired or seat.ended or seat.wake())
        return seat.born or seat.retired or seat.condition() or self.is_due(seat)

    def place(self, seat: Seat) -> tuple[int | str, ...]:
        return (PHASE_TIMER, *seat.key) if self.is_due(seat) else seat.key  # what fell due comes first

    def turn(self, seat: Seat) -> None:
        self.me = seat
        unborn = seat.born and self.ending
        seat.born = seat.at_market = False
        try:
            if not unborn:
                next(seat.script)
                return
        except (StopIteration, Stopping):
            pass
        except Exception as error:
            (seat.on_failure or self.fail)(error) if seat.helper else self.fail(error)
        self.seats.remove(seat)

    def step(self) -> None:
        """The earliest of market and timers; at one instant the market first. No timer after the window's end."""
        if self.stopped or self.is_deadlocked(over=False):
            self.ending = True
            return
        dues = [seat.wake.next_due_ns() if seat.at_market else seat.due for seat in self.seats]
        due = min((max(due, self.now) for due in dues if due is not None), default=self.end_ns + 1)
        if due <= self.end_ns and (not self.instants or due < self.instants[0]):
            self.now = due
        elif self.instants:
            self.now = self.instants.pop(0)
            self.count += 1
            for seat in self.seats:
                seat.ended |= not seat.helper and seat.name in self.ends.get(self.now, ())
        else:
            self.is_deadlocked(over=True)
            self.ending = True

    def is_deadlocked(self, *, over: bool) -> bool:
        """Whether all are blocked for good, or one when the market is over, if nobody sleeps past the end."""
        able = [seat for seat in self.seats if seat.key[0] != PHASE_MONITOR]  # who never does a thing for others
        stuck = [seat for seat in able if not seat.at_market and seat.due is None and seat.by_others]
        over = over and all(seat.due is None for seat in able)
        found = any(not seat.helper for seat in stuck) and (over or len(stuck) == len(able))
        if found:
            self.fail(DeadlockError("stuck", participants=[seat.name for seat in stuck]))
        return found

    # -- what participants ask; a generator gives the turn away where it yields -----------------

    def now_ns(self) -> int:
        return self.now

    def fail(self, error: BaseException) -> None:
        self.error = self.error or error

    def stop(self) -> Steps:
        self.stopped = True  # read between steps
        yield from ()

    def check(self) -> None:
        if self.ending or self.me.retired:
            raise Stopping

    def wait_until(self, condition: Callable[[], bool], timeout: int | None = None, by_others: bool = False) -> Steps:
        self.check()
        self.me.condition, self.me.due = condition, None if timeout is None else self.now + timeout
        self.me.by_others = by_others
        me = self.me
        yield
        me.condition, me.due = never, None
        self.check()
        return condition()

    def sleep(self, duration: int) -> Steps:
        yield from self.wait_until(never, duration)

    def next_step(self) -> Steps:
        me = self.me
        if not (self.ending or me.retired):
            me.at_market = True
            yield
        return not (self.ending or me.retired or (me.ended and not me.wake()))

    def retire(self, name: str) -> Steps:
        for seat in self.seats:
            seat.retired |= seat.root.name == name
        yield from ()

    def start(self, script: Callable[[], Steps], word: str = "helper") -> Steps:
        """A helper comes after its participant, in the order of starting."""
        self.check()
        root = self.me.root
        self.numbers[root] += 1
        number = self.numbers[root]
        seat = Seat(root, f"{root.name}/{word}-{number}", (*root.key, number), script())
        seat.on_failure = root.on_failure
        self.seats.append(seat)
        yield from ()
        return Thread(self, seat)

    def set_timer(self, delay: int, script: Callable[[], Steps]) -> Steps:
        timer = Timer()
        due = self.now + delay

        def body() -> Steps:
            if not (yield from self.wait_until(lambda: timer.cancelled, max(0, due - self.now))):
                yield from script()

        yield from self.start(body, "timer")
        return timer

    def want(self, seat: Seat, thing: Any) -> None:
        """Note a wait without an end for what somebody has; an error in the one that closes a circle."""
        chain, owner = [seat.name], thing.owner
        while owner is not None and owner is not seat:
            chain.append(owner.name)
            owner = None if owner.wants is None else owner.wants.owner
        if owner is seat:
            raise DeadlockError("circle", participants=chain)
        seat.wants = thing


class Thread:
    """What it has is its own end."""

    def __init__(self, model: Model, seat: Seat) -> None:
        self.model, self.seat = model, seat

    @property
    def owner(self) -> Seat | None:
        return self.seat if self.seat in self.model.seats else None

    def join(self, timeout: int | None = None) -> Steps:
        me = self.model.me
        if me is self.seat:
            raise RuntimeError
        if self.owner is None or timeout == 0:
            return self.owner is None
        if timeout is None:
            self.model.want(me, self)
        try:
            return (yield from self.model.wait_until(lambda: self.owner is None, timeout, by_others=True))
        finally:
            me.wants = None


class Timer:
    cancelled = False

    def cancel(self) -> Steps:
        self.cancelled = True
        yield from ()
