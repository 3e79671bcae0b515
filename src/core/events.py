"""Semaphore, Event and Condition of a clock, over `wait_until` alone; made by `src.core.blocking.Blocking`.

Used by participants inside their turns, each for itself, and first in, first out like the locks of `src.core.locks`.
Every wait gives the turn away and raises `Stopping` when the run stops.
"""

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from src.core.arguments import checked_count, checked_timeout
from src.core.locks import Lock, WaitBook, Waiter
from src.core.sync import current_participant

__all__ = ["Condition", "Event", "Semaphore"]


class Semaphore:
    """A counter that is never negative; a context manager. Anybody may release."""

    def __init__(self, book: WaitBook, name: str, value: int = 1) -> None:
        value = checked_count(value, "a semaphore with a value")
        self._host = book.host
        self.name = name
        self._value = value
        self._line: deque[Waiter] = deque()

    @property
    def value(self) -> int:
        """How many may still acquire without waiting."""
        return self._value

    def acquire(self, timeout_ns: int | None = None) -> bool:
        """Take one, after all who wait already; arguments, result and errors as for `Lock.acquire`."""
        timeout_ns = checked_timeout(timeout_ns)
        self._host.yield_turn()
        with self._host._guard:
            if self._value:
                self._value -= 1
                return True
            if timeout_ns == 0:
                return False
            waiter = Waiter(current_participant.get())
            self._line.append(waiter)
        try:
            self._host.wait_until(lambda: waiter.granted, f"the semaphore {self.name}", timeout_ns, by_others=True)
        except BaseException:
            with self._host._guard:
                self._withdraw(waiter)
            raise
        with self._host._guard:
            if not waiter.granted:
                self._line.remove(waiter)
            return waiter.granted

    def release(self, n: int = 1) -> None:
        """Give `n` back; the first who wait have them from now on.

        Raises:
            TypeError: `n` is no whole number.
            ValueError: `n` is not positive.
        """
        n = checked_count(n, "a number of releases", 1)
        with self._host._guard:
            self._value += n
            while self._value and self._line:
                self._value -= 1
                self._line.popleft().granted = True

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _withdraw(self, waiter: Waiter) -> None:
        if waiter.granted:
            self.release()
        else:
            self._line.remove(waiter)


class Event:
    """A flag that participants wait for."""

    def __init__(self, book: WaitBook, name: str) -> None:
        self._host = book.host
        self.name = name
        self._set = False
        self._line: deque[Waiter] = deque()

    def is_set(self) -> bool:
        """Whether the flag is up."""
        return self._set

    def set(self) -> None:
        """Raise the flag; all who wait go on, also when it is lowered before their turn."""
        with self._host._guard:
            self._set = True
            while self._line:
                self._line.popleft().granted = True

    def clear(self) -> None:
        """Lower the flag."""
        with self._host._guard:
            self._set = False

    def wait(self, timeout_ns: int | None = None) -> bool:
        """Wait until the flag is up.

        Returns:
            Whether it is; false when the time was over first. At one and the same instant the flag wins.

        Raises:
            Stopping: the run stops.
            ValueError: a negative time-out.
        """
        timeout_ns = checked_timeout(timeout_ns)
        self._host.yield_turn()
        with self._host._guard:
            if self._set or timeout_ns == 0:
                return self._set
            waiter = Waiter(current_participant.get())
            self._line.append(waiter)
        try:
            self._host.wait_until(lambda: waiter.granted, f"the event {self.name}", timeout_ns, by_others=True)
        finally:
            with self._host._guard:
                if not waiter.granted:
                    self._line.remove(waiter)
        return waiter.granted


class Condition:
    """Waiting, with a lock given up meanwhile, until another participant says that something changed.

    When the run stops, or a circle of waits ends it, `wait` may come back without the lock; the releases that follow
    are then no mistakes.
    """

    def __init__(self, book: WaitBook, name: str, lock: Lock) -> None:
        self._host = book.host
        self.name = name
        self.lock = lock
        self._line: deque[Waiter] = deque()

    def acquire(self, timeout_ns: int | None = None) -> bool:
        """See `Lock.acquire`."""
        return self.lock.acquire(timeout_ns)

    def release(self) -> None:
        """See `Lock.release`."""
        self.lock.release()

    def __enter__(self) -> Self:
        self.lock.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lock.release()

    def wait(self, timeout_ns: int | None = None) -> bool:
        """Give the lock up, wait for a notification, take the lock again.

        Returns:
            Whether the notification came before the time was over.

        Raises:
            RuntimeError: the caller does not hold the lock.
            DeadlockError: the lock can never be had again.
            Stopping: the run stops.
            ValueError: a negative time-out.
        """
        timeout_ns = checked_timeout(timeout_ns)
        waiter = Waiter(current_participant.get())
        with self._host._guard:
            self._check_held("waits on")
            self._line.append(waiter)
            waiter.depth = self.lock._give_up()

        def ready() -> bool:
            # A notified one stands in the lock's line and comes back with the lock, not only with the news.
            return waiter.granted or (waiter.notified and self.lock._orphaned())

        try:
            self._host.wait_until(ready, f"the condition {self.name}", timeout_ns, by_others=True)
        except BaseException:
            with self._host._guard:
                if not waiter.granted:
                    if waiter.notified:
                        self.lock._withdraw(waiter)
                    else:
                        self._line.remove(waiter)
                    self.lock._forfeit(waiter)
            raise
        with self._host._guard:
            if waiter.granted:
                return True
            notified = waiter.notified
            if not notified:
                self._line.remove(waiter)
        self.lock._take_back(waiter, in_line=notified)
        return notified

    def wait_for(self, predicate: Callable[[], bool], timeout_ns: int | None = None) -> bool:
        """Wait until `predicate()` holds, which is asked with the lock held; returns its last answer."""
        timeout_ns = checked_timeout(timeout_ns)
        due_ns = None if timeout_ns is None else self._host.now_ns() + timeout_ns
        while not (holds := predicate()):
            left_ns = None if due_ns is None else due_ns - self._host.now_ns()
            if left_ns is not None and left_ns <= 0:
                return holds
            self.wait(left_ns)
        return holds

    def notify(self, n: int = 1) -> None:
        """Wake the first `n` who wait; they go on one after the other, as the lock becomes free.

        Raises:
            RuntimeError: the caller does not hold the lock.
            TypeError: `n` is no whole number.
        """
        n = checked_count(n, "a number of notifications")
        with self._host._guard:
            self._check_held("notifies")
            for _ in range(min(n, len(self._line))):
                waiter = self._line.popleft()
                waiter.notified = True
                self.lock._enter_line(waiter, forever=True)

    def notify_all(self) -> None:
        """Wake all who wait; see `notify`."""
        self.notify(len(self._line))

    def _check_held(self, verb: str) -> None:
        me = current_participant.get()
        if self.lock.holder != me:
            raise RuntimeError(
                f"{me} {verb} the condition {self.name} without its lock; write `with condition:` around it"
            )
