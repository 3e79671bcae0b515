"""Locks that a clock knows, over `wait_until` alone, and the book of who waits for whom.

Made by the methods of `src.core.blocking.Blocking`, used by participants inside their turns, each for itself. Whoever
waits gives its turn away, and time goes on meanwhile. All are first in, first out: what is released is handed to the
first waiter at once, so nobody can overtake it. Every wait raises `Stopping` when the run stops. A lock belongs to the
participant that took it; a circle of participants that wait for each other is an error in the one that closes it.
"""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from src.core.arguments import checked_timeout
from src.core.errors import DeadlockError
from src.core.sync import current_participant
from src.core.timeframe import format_instant

__all__ = ["Host", "Lock", "RLock", "WaitBook", "Waiter"]


class Host(Protocol):
    """What the primitives need of their clock."""

    @property
    def _guard(self) -> AbstractContextManager[Any]:
        """Held around each change of a primitive's own state; never while waiting. Reentrant."""
        ...

    def now_ns(self) -> int: ...
    def wait_until(
        self, condition: Callable[[], bool], what: str, timeout_ns: int | None = None, *, by_others: bool = False
    ) -> bool: ...
    def yield_turn(self) -> None: ...
    def _has_left(self, participant: str) -> bool: ...


class Awaited(Protocol):
    """What one participant has and another may wait for: a lock, or the end of a thread."""

    @property
    def holder(self) -> str | None: ...
    def describe(self) -> str: ...


class Waiter:
    """One participant's place in a line; `granted` is all that its condition looks at."""

    __slots__ = ("depth", "granted", "item", "name", "notified")

    def __init__(self, name: str) -> None:
        self.name = name
        self.granted = False
        self.notified = False
        self.depth = 1
        self.item: Any = None


class WaitBook:
    """Who waits for what without a time-out, as far as that belongs to somebody, in one clock.

    Args:
        host: the clock.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self._waits: dict[str, tuple[Awaited, int]] = {}

    def begin(self, participant: str, awaited: Awaited) -> None:
        """Note a wait; called under the guard.

        Raises:
            DeadlockError: it closes a circle.
        """
        now_ns = self.host.now_ns()
        chain = [(participant, awaited, now_ns)]
        holder = awaited.holder
        # Each participant waits for one thing at most, so the chain is no longer than the book.
        for _ in range(len(self._waits) + 1):
            if holder is None:
                break
            if holder == participant:
                raise _circle(chain)
            if holder not in self._waits:
                break
            following, since_ns = self._waits[holder]
            chain.append((holder, following, since_ns))
            holder = following.holder
        self._waits[participant] = (awaited, now_ns)

    def end(self, participant: str) -> None:
        """Forget the participant's wait; called under the guard."""
        self._waits.pop(participant, None)


def _circle(chain: list[tuple[str, Awaited, int]]) -> DeadlockError:
    lines = [f"{name} waits for {what.describe()} since {format_instant(since)}" for name, what, since in chain]
    advice = (
        "take locks in one order everywhere, or give a timeout"
        if len(chain) > 1
        else "release it first, use an rlock, or signal with an event or a semaphore"
    )
    return DeadlockError(
        f"nobody of these can ever go on: {'; '.join(lines)}; {advice}",
        participants=[name for name, _, _ in chain],
        waits=[what.describe() for _, what, _ in chain],
        since_ns=[since for _, _, since in chain],
    )


class Lock:
    """Held by one participant at a time; a context manager.

    Unlike `threading.Lock` it belongs to its holder: nobody else may release it, and its holder may not take it again.

    Attributes:
        name: how errors and displays call it.
    """

    _kind = "lock"
    _reentrant = False

    def __init__(self, book: WaitBook, name: str) -> None:
        self._book = book
        self._host = book.host
        self.name = name
        self._owner: str | None = None
        self._depth = 0
        self._line: deque[Waiter] = deque()
        #: Who was stopped while the lock was somebody else's: as many releases of it are no mistakes.
        self._forfeited: dict[str, int] = {}

    @property
    def holder(self) -> str | None:
        """The participant that holds it, None when it is free."""
        return self._owner

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._owner is not None

    def describe(self) -> str:
        """The lock and its holder, for messages."""
        return f"the {self._kind} {self.name}" + ("" if self._owner is None else f" held by {self._owner}")

    def acquire(self, timeout_ns: int | None = None) -> bool:
        """Take the lock, after all who wait for it already.

        Args:
            timeout_ns: how long to wait; None waits for ever, 0 never waits.

        Returns:
            Whether it was taken; always true without a time-out.

        Raises:
            DeadlockError: without a time-out it could never be taken, because its holder waits for the caller, is the
                caller, or has left.
            Stopping: the run stops.
            ValueError: a negative time-out.
        """
        timeout_ns = checked_timeout(timeout_ns)
        self._host.yield_turn()
        me = current_participant.get()
        with self._host._guard:
            if self._owner is None:
                self._owner, self._depth = me, 1
                return True
            if self._reentrant and self._owner == me:
                self._depth += 1
                return True
            if timeout_ns == 0:
                return False
            waiter = self._enter_line(Waiter(me), forever=timeout_ns is None)
        return self._wait(waiter, timeout_ns)

    def release(self) -> None:
        """Give the lock back; the first who waits has it from now on.

        Raises:
            RuntimeError: the caller does not hold it.
        """
        me = current_participant.get()
        with self._host._guard:
            if self._owner != me:
                if self._forgive(me):
                    return
                found = "it is free" if self._owner is None else f"{self._owner} holds it"
                raise RuntimeError(
                    f"{me} releases the {self._kind} {self.name}, but {found}; release only what you took"
                )
            self._depth -= 1
            if not self._depth:
                self._hand_over()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    # -- the line; all but `_wait` and `_take_back` are called under the guard ------------------------

    def _enter_line(self, waiter: Waiter, *, forever: bool) -> Waiter:
        if forever:
            self._book.begin(waiter.name, self)
        self._line.append(waiter)
        return waiter

    def _wait(self, waiter: Waiter, timeout_ns: int | None) -> bool:
        def ready() -> bool:
            return waiter.granted or (timeout_ns is None and self._orphaned())

        try:
            self._host.wait_until(ready, self.describe(), timeout_ns, by_others=True)
        except BaseException:
            with self._host._guard:
                self._withdraw(waiter)
            raise
        with self._host._guard:
            if waiter.granted:
                return True
            lost_ns = self._host.now_ns()
            self._withdraw(waiter)
            if timeout_ns is not None:
                return False
            raise DeadlockError(
                f"{waiter.name} waits for {self.describe()}, which has left without releasing it, at "
                f"{format_instant(lost_ns)}; release it in a `finally`, or use `with`",
                participants=[waiter.name], waits=[self.describe()], since_ns=[lost_ns],
            )  # fmt: skip

    def _orphaned(self) -> bool:
        return self._owner is not None and self._host._has_left(self._owner)

    def _withdraw(self, waiter: Waiter) -> None:
        """Take somebody out of the line who does not wait any longer, also when the lock has just become its."""
        self._book.end(waiter.name)
        if waiter.granted:
            self._hand_over()
        else:
            self._line.remove(waiter)

    def _hand_over(self) -> None:
        self._owner, self._depth = None, 0
        if self._line:
            first = self._line.popleft()
            self._owner, self._depth = first.name, first.depth
            first.granted = True
            self._book.end(first.name)

    def _forgive(self, name: str) -> bool:
        left = self._forfeited.get(name, 0)
        if left > 1:
            self._forfeited[name] = left - 1
        elif left:
            del self._forfeited[name]
        return left > 0

    # -- for a condition's wait, which gives the lock up as a whole ------------------------------------

    def _give_up(self) -> int:
        depth = self._depth
        self._hand_over()
        return depth

    def _take_back(self, waiter: Waiter, *, in_line: bool) -> None:
        """Have the lock again, at the depth at which it was given up; or be forgiven the releases to come."""
        try:
            with self._host._guard:
                if not in_line and self._owner is None:
                    self._owner, self._depth = waiter.name, waiter.depth
                    return
                if not in_line:
                    self._enter_line(waiter, forever=True)
            self._wait(waiter, None)
        except BaseException:
            self._forfeit(waiter)
            raise

    def _forfeit(self, waiter: Waiter) -> None:
        """The wait ends by an exception: with the lock when it is free, else without."""
        with self._host._guard:
            if self._owner is None:
                self._owner, self._depth = waiter.name, waiter.depth
            else:
                self._forfeited[waiter.name] = waiter.depth


class RLock(Lock):
    """A lock that its holder may take again; it is free after as many releases."""

    _kind = "rlock"
    _reentrant = True
