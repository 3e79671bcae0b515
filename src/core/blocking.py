"""Blocking: what user code may wait for inside a turn, the same text for every clock.

A mixin of clocks. Locks, events, conditions, queues, helper threads and timers are all built over `wait_until`: a clock
that really waits lets the thread wait, one that controls time lets the market, the resting orders and the other
participants go on until the waiter's instant has come. Whoever waits gives its turn away. Called by participants, each
for itself; making a primitive is allowed to anybody.
"""

import queue
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

from src.core.arguments import checked_callable, checked_count, checked_duration, checked_name, checked_timeout
from src.core.errors import Stopping
from src.core.events import Condition, Event, Semaphore
from src.core.locks import Lock, RLock, WaitBook, Waiter
from src.core.places import calling_place
from src.core.sync import current_participant
from src.core.timeframe import format_instant

__all__ = [
    "Blocking",
    "Condition",
    "Event",
    "HelperThread",
    "Lock",
    "Queue",
    "RLock",
    "Semaphore",
    "Timer",
    "helper_order",
]

T = TypeVar("T")


class Blocking(ABC):
    """The primitives of a clock, which itself supplies the abstract methods.

    Where no name is given, the primitives that a participant has made are counted, so that a name does not depend on
    who came first.
    """

    #: Held around each change of a primitive's own state; does nothing where one participant runs at a time.
    _guard: AbstractContextManager[Any] = nullcontext()

    # -- what the clock supplies -------------------------------------------------------------------

    @abstractmethod
    def now_ns(self) -> int:
        """See `Clock.now_ns`."""

    @abstractmethod
    def wait_until(
        self, condition: Callable[[], bool], what: str, timeout_ns: int | None = None, *, by_others: bool = False
    ) -> bool:
        """See `Clock.wait_until`."""

    @abstractmethod
    def _spawn_helper(self, name: str, run: Callable[[], None]) -> None:
        """Start a thread with phase, rank and symbol of the calling participant; it takes turns like any other."""

    @abstractmethod
    def _has_left(self, participant: str) -> bool:
        """Whether a participant has given up its place; false for a name that never had one."""

    def yield_turn(self) -> None:  # noqa: B027  # most clocks have nothing to do here
        """A point at which a clock may let another participant run first; called before each wait that may come."""

    # -- what it gets ------------------------------------------------------------------------------

    def sleep(self, duration_ns: int) -> None:
        """See `Clock.sleep`."""
        duration_ns = checked_duration(duration_ns)
        self.wait_until(_never, f"sleep until {format_instant(self.now_ns() + duration_ns)}", duration_ns)

    def lock(self, name: str = "") -> Lock:
        """A lock for one participant at a time; see `Lock`."""
        return Lock(self._book, self._named(name, "lock"))

    def rlock(self, name: str = "") -> RLock:
        """A lock that its holder may take again."""
        return RLock(self._book, self._named(name, "rlock"))

    def semaphore(self, value: int = 1, name: str = "") -> Semaphore:
        """A counter that starts at `value` and that `acquire` does not let become negative."""
        return Semaphore(self._book, self._named(name, "semaphore"), value)

    def event(self, name: str = "") -> Event:
        """A flag to wait for, lowered at first."""
        return Event(self._book, self._named(name, "event"))

    def condition(self, lock: Lock | None = None, name: str = "") -> Condition:
        """Waiting for notifications under `lock`, by default an rlock of its own."""
        if not (lock is None or isinstance(lock, Lock)):
            raise TypeError(f"expected a lock of this clock for a condition, found {lock!r}; make it with clock.lock()")
        name = self._named(name, "condition")
        return Condition(self._book, name, lock if lock is not None else RLock(self._book, f"of the condition {name}"))

    def queue(self, maxsize: int = 0, name: str = "") -> "Queue[Any]":
        """A line of things from participant to participant, of any length when `maxsize` is 0."""
        return Queue(self._book, self._named(name, "queue"), maxsize)

    def start_thread(self, run: Callable[[], object], name: str = "helper") -> "HelperThread":
        """Start a thread of the calling participant; it is called `<participant>/<name>-<n>` and takes turns.

        It ends with the run at the latest, and earlier when its participant is retired. What it raises counts as an
        error of its participant.

        Raises:
            Stopping: the run stops.
            TypeError: `run` cannot be called, or the name is no text.
            ValueError: a slash in the name.
        """
        checked_callable(run, "a function for a thread")
        helper = HelperThread(self._book, self._helper_name(name))
        place = calling_place()

        def body() -> None:
            started_at = place  # noqa: F841  # found there by `place_of_error` when `run` is no user code
            run()

        self._spawn_helper(helper.name, body)
        return helper

    def set_timer(self, delay_ns: int, callback: Callable[[], object]) -> "Timer":
        """Have `callback` called in a turn of its own when `delay_ns` have passed; also from inside another timer.

        Raises:
            Stopping: the run stops.
            TypeError: the delay is no whole number of nanoseconds, or `callback` cannot be called.
            ValueError: a negative delay.
        """
        delay_ns = checked_duration(delay_ns, "delay_ns")
        checked_callable(callback, "a callback of a timer")
        timer = Timer(self._helper_name("timer"), self.now_ns() + delay_ns)

        def run() -> None:
            left_ns = max(0, timer.due_ns - self.now_ns())
            if not self.wait_until(lambda: timer.cancelled, f"timer at {format_instant(timer.due_ns)}", left_ns):
                callback()

        self._spawn_helper(timer.name, run)
        return timer

    # -- names and order ---------------------------------------------------------------------------

    @property
    def _book(self) -> WaitBook:
        book: WaitBook = self.__dict__.get("_wait_book") or self.__dict__.setdefault("_wait_book", WaitBook(self))
        return book

    @property
    def _counts(self) -> Counter[tuple[str, str]]:
        counts: Counter[tuple[str, str]] = self.__dict__.setdefault("_made", Counter())
        return counts

    @property
    def _roots(self) -> dict[str, str]:
        roots: dict[str, str] = self.__dict__.setdefault("_root_of_helper", {})
        return roots

    def _count(self, owner: str, kind: str) -> int:
        with self._guard:
            self._counts[owner, kind] += 1
            return self._counts[owner, kind]

    def _named(self, name: str, kind: str) -> str:
        if checked_name(name, f"an {kind}" if kind == "event" else f"a {kind}"):
            return name
        owner = current_participant.get()
        return f"{kind}-{self._count(owner, kind)} of {owner}"

    def _helper_name(self, name: str) -> str:
        if "/" in checked_name(name, "a thread"):
            raise ValueError(f"expected a name of a thread without a slash, found {name!r}")
        # Of the participant at the root: a timer that sets the next one would else get a longer name each time.
        parent = current_participant.get()
        root = self._roots.get(parent, parent)
        full = f"{root}/{name}-{self._count(root, 'helper')}"
        self._roots[full] = root
        return full


def helper_order(name: str) -> tuple[str, int]:
    """The place of a helper thread among those of one phase and rank: its participant, then the order of starting.

    Compare it with `(participant,)`, which comes before. By the name alone the tenth would come before the second.
    """
    root, _, own = name.rpartition("/")
    return root, int(own.rpartition("-")[2])


class HelperThread:
    """A thread that a participant has started.

    Attributes:
        name: its identity in logs and errors.
    """

    def __init__(self, book: WaitBook, name: str) -> None:
        self._book = book
        self._host = book.host
        self.name = name

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self._host._has_left(self.name)

    @property
    def holder(self) -> str | None:
        """Who has to do something for a `join` to return: the thread itself, nobody when it has ended."""
        return None if self.ended else self.name

    def describe(self) -> str:
        """What `join` waits for, for messages."""
        return f"the end of {self.name}"

    def join(self, timeout_ns: int | None = None) -> bool:
        """Wait for its end.

        Returns:
            Whether it has ended; false when the time was over first.

        Raises:
            RuntimeError: called by the thread itself.
            DeadlockError: without a time-out it can never end, because it waits for the caller.
            Stopping: the run stops.
            ValueError: a negative time-out.
        """
        timeout_ns = checked_timeout(timeout_ns)
        me = current_participant.get()
        if me == self.name:
            raise RuntimeError(f"{me} waits for its own end; let another participant join it")
        self._host.yield_turn()
        if self.ended or timeout_ns == 0:
            return self.ended
        if timeout_ns is None:
            with self._host._guard:
                self._book.begin(me, self)
        try:
            return self._host.wait_until(lambda: self.ended, self.describe(), timeout_ns, by_others=True)
        finally:
            with self._host._guard:
                self._book.end(me)


class Timer:
    """A call that is to come.

    Attributes:
        name: the participant that will make the call.
        due_ns: when it comes.
        cancelled: whether `cancel` was called.
    """

    def __init__(self, name: str, due_ns: int) -> None:
        self.name = name
        self.due_ns = due_ns
        self.cancelled = False

    def cancel(self) -> None:
        """Let the call not come; nothing happens when it has come already. At the instant itself the cancel wins."""
        self.cancelled = True


class Queue(Generic[T]):
    """First in, first out, for things and for those who wait: what is put goes to the first who waits for it.

    Attributes:
        name: how errors and displays call it.
        maxsize: how many things it holds, 0 for any number.
    """

    def __init__(self, book: WaitBook, name: str, maxsize: int = 0) -> None:
        maxsize = checked_count(maxsize, "a queue with a maxsize")
        self._host = book.host
        self.name = name
        self.maxsize = maxsize
        self._items: deque[T] = deque()
        self._getters: deque[Waiter] = deque()
        self._putters: deque[Waiter] = deque()

    def qsize(self) -> int:
        """How many things are in it."""
        return len(self._items)

    def empty(self) -> bool:
        """Whether nothing is in it."""
        return not self._items

    def full(self) -> bool:
        """Whether nothing more fits in."""
        return 0 < self.maxsize <= len(self._items)

    def put(self, item: T, timeout_ns: int | None = None) -> None:
        """Put a thing in, when there is room for it.

        Args:
            timeout_ns: how long to wait; None waits for ever, 0 never waits.

        Raises:
            queue.Full: there was no room in time.
            Stopping: the run stops; the thing may not be in.
            ValueError: a negative time-out.
        """
        timeout_ns = checked_timeout(timeout_ns)
        self._host.yield_turn()
        with self._host._guard:
            if self._gave(item):
                return
            if not self.full():
                self._items.append(item)
                return
            if timeout_ns == 0:
                raise queue.Full
            waiter = Waiter(current_participant.get())
            waiter.item = item
            self._putters.append(waiter)
        if not self._wait(waiter, self._putters, f"room in the queue {self.name}", timeout_ns):
            raise queue.Full

    def get(self, timeout_ns: int | None = None) -> T:
        """Take the oldest thing out, when there is one.

        Args:
            timeout_ns: how long to wait; None waits for ever, 0 never waits.

        Raises:
            queue.Empty: there was nothing in time.
            Stopping: the run stops.
            ValueError: a negative time-out.
        """
        timeout_ns = checked_timeout(timeout_ns)
        self._host.yield_turn()
        with self._host._guard:
            if self._items:
                item = self._items.popleft()
                if self._putters:
                    first = self._putters.popleft()
                    self._items.append(first.item)
                    first.granted = True
                return item
            if timeout_ns == 0:
                raise queue.Empty
            waiter = Waiter(current_participant.get())
            self._getters.append(waiter)
        try:
            if not self._wait(waiter, self._getters, f"something in the queue {self.name}", timeout_ns):
                raise queue.Empty
        except Stopping:
            with self._host._guard:
                # Only this participant may have to stop; what it was given goes to another.
                if waiter.granted and not self._gave(waiter.item):
                    self._items.appendleft(waiter.item)
            raise
        received: T = waiter.item
        return received

    def _gave(self, item: T) -> bool:
        if not self._getters:
            return False
        first = self._getters.popleft()
        first.item, first.granted = item, True
        return True

    def _wait(self, waiter: Waiter, line: deque[Waiter], what: str, timeout_ns: int | None) -> bool:
        try:
            self._host.wait_until(lambda: waiter.granted, what, timeout_ns, by_others=True)
        finally:
            with self._host._guard:
                if not waiter.granted:
                    line.remove(waiter)
        return waiter.granted


def _never() -> bool:
    return False
