"""What locks, conditions, semaphores, events and queues promise, for participants that are generators of the model.

First in, first out: what is given back is the first waiter's at once, so that nobody overtakes. Where `yield` stands
behind a call, the turn is given away.
"""

import queue
from collections import Counter
from collections.abc import Callable
from typing import Any

from src.core.errors import DeadlockError, Stopping
from tests.backtesting.engine.reference_model import Model, Seat, Steps, never


class Place:
    """A place in a line; who is granted something has it, also before its turn."""

    def __init__(self, seat: Seat, item: Any = None, depth: int = 1) -> None:
        self.seat, self.item, self.depth = seat, item, depth
        self.granted = self.notified = False


class Shared:
    """A primitive: lines of places, first in first out."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.line: list[Place] = []

    def stand(
        self,
        line: list[Place],
        place: Place,
        timeout: int | None,
        give_back: Callable[[Place], object] = lambda place: None,
        lost: Callable[[], bool] = never,
    ) -> Steps:
        """Wait in a line; who has to stop instead gives back what it was granted."""
        if place not in line:
            line.append(place)
        try:
            yield from self.model.wait_until(lambda: place.granted or lost(), timeout, by_others=True)
        except Stopping:
            if place.granted:
                give_back(place)
            raise
        finally:
            place.seat.wants = None
            if place in line:
                line.remove(place)
        return place.granted


class Lock(Shared):
    """Belongs to who takes it; who leaves with it leaves those who wait without an end an error."""

    def __init__(self, model: Model, reentrant: bool) -> None:
        super().__init__(model)
        self.reentrant = reentrant
        self.owner: Seat | None = None
        self.depth = 0
        self.forgiven: Counter[Seat] = Counter()

    def take(self, place: Place) -> None:
        self.owner, self.depth, place.granted, place.seat.wants = place.seat, place.depth, True, None

    def pass_on(self, _: object = None) -> None:
        self.owner, self.depth = None, 0
        if self.line:
            self.take(self.line.pop(0))

    def is_free(self) -> bool:
        return self.owner is None

    def orphaned(self) -> bool:
        return self.owner is not None and self.owner not in self.model.seats

    def acquire(self, timeout: int | None = None) -> Steps:
        me = self.model.me
        if self.owner is None or (self.reentrant and self.owner is me):
            self.owner, self.depth = me, self.depth + 1
            return True
        if timeout == 0:
            return False
        if timeout is not None:
            return (yield from self.stand(self.line, Place(me), timeout, self.pass_on))
        self.model.want(me, self)
        return (yield from self.stand_forever(Place(me)))

    def stand_forever(self, place: Place) -> Steps:
        if not (yield from self.stand(self.line, place, None, self.pass_on, self.orphaned)):
            raise DeadlockError("left", participants=[place.seat.name])
        return True

    def release(self) -> Steps:
        me = self.model.me
        if self.owner is me:
            self.depth -= 1
            if not self.depth:
                self.pass_on()
        elif self.forgiven[me]:
            self.forgiven[me] -= 1
        else:
            raise RuntimeError
        yield from ()


class Condition(Shared):
    """A notified one stands in the lock's line; one that has to stop has the lock only when it is free."""

    def __init__(self, model: Model, lock: Lock) -> None:
        super().__init__(model)
        self.lock = lock

    def wait(self, timeout: int | None = None) -> Steps:
        lock, me = self.lock, self.model.me
        if lock.owner is not me:
            raise RuntimeError
        place = Place(me, depth=lock.depth)
        lock.pass_on()
        self.line.append(place)
        try:
            yield from self.model.wait_until(
                lambda: place.granted or (place.notified and lock.orphaned()), timeout, by_others=True
            )
            if not place.granted and not place.notified:
                self.line.remove(place)
                if lock.is_free():
                    lock.take(place)
                else:
                    self.model.want(me, lock)
                    yield from lock.stand_forever(place)
            elif not place.granted:
                yield from lock.stand_forever(place)
        except (Stopping, DeadlockError):
            me.wants = None
            for line in (self.line, lock.line):
                if place in line:
                    line.remove(place)
            if lock.is_free():
                lock.take(place)
            elif lock.owner is not me:
                lock.forgiven[me] = place.depth
            raise
        return place.notified

    def notify(self, count: int) -> Steps:
        if self.lock.owner is not self.model.me:
            raise RuntimeError
        for place in self.line[:count]:
            self.line.remove(place)
            place.notified, place.seat.wants = True, self.lock
            self.lock.line.append(place)
        yield from ()


class Semaphore(Shared):
    def __init__(self, model: Model, value: int) -> None:
        super().__init__(model)
        self.value = value

    def acquire(self, timeout: int | None = None) -> Steps:
        if self.value:
            self.value -= 1
            return True
        return timeout != 0 and (
            yield from self.stand(self.line, Place(self.model.me), timeout, lambda place: self.give(1))
        )

    def give(self, count: int) -> None:
        self.value += count
        while self.value and self.line:
            self.value -= 1
            self.line.pop(0).granted = True

    def release(self, count: int) -> Steps:
        self.give(count)
        yield from ()


class Event(Shared):
    """Who waits when it is raised goes on, also when it is lowered before its turn."""

    up = False

    def is_set(self) -> bool:
        return self.up

    def set(self) -> Steps:
        self.up = True
        while self.line:
            self.line.pop(0).granted = True
        yield from ()

    def clear(self) -> Steps:
        self.up = False
        yield from ()

    def wait(self, timeout: int | None = None) -> Steps:
        if self.up or timeout == 0:
            return self.up
        return (yield from self.stand(self.line, Place(self.model.me), timeout))


class Queue(Shared):
    """What is put goes to the first who waits for it, what is taken makes room for the first who waits with one."""

    def __init__(self, model: Model, maxsize: int) -> None:
        super().__init__(model)
        self.maxsize = maxsize
        self.items: list[Any] = []
        self.putters: list[Place] = []

    def put(self, item: Any, timeout: int | None = None) -> Steps:
        if self.line or not self.maxsize or len(self.items) < self.maxsize:
            self.give(item, len(self.items))
        elif timeout == 0 or not (yield from self.stand(self.putters, Place(self.model.me, item), timeout)):
            raise queue.Full

    def give(self, item: Any, at: int) -> None:
        if self.line:
            self.line[0].item, self.line.pop(0).granted = item, True
        else:
            self.items.insert(at, item)

    def get(self, timeout: int | None = None) -> Steps:
        place = Place(self.model.me)
        if self.items:
            place.item = self.items.pop(0)
            if self.putters:
                self.putters[0].granted = True
                self.items.append(self.putters.pop(0).item)
        elif timeout == 0 or not (yield from self.stand(self.line, place, timeout, lambda p: self.give(p.item, 0))):
            raise queue.Empty
        return place.item
