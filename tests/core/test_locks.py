"""Locks and circles of waits for them; one text for every clock, tried on each of them."""

from collections.abc import Callable

import pytest

from src.core.errors import DeadlockError
from tests.core.stage import CLOCKS, TICK_NS, Play

every = pytest.mark.parametrize("kind", CLOCKS)
virtual = pytest.mark.parametrize("kind", ["threads", "fibers"])


@every
def test_a_lock_is_handed_to_the_first_who_waits_and_nobody_overtakes(kind: str) -> None:
    """Also its holder, who releases it and wants it again at once, stands behind all who wait."""
    play = Play(kind)
    clock = play.clock
    lock, all_wait = clock.lock(), clock.event()

    def first() -> None:
        with lock:
            all_wait.wait()
        with lock:
            play.note()

    def later() -> None:
        with lock:
            play.note()

    def last() -> None:
        all_wait.set()
        later()

    assert play.words(A=first, B=later, C=later, D=last) == ["B", "C", "D", "A"]
    assert not lock.locked()


@virtual
def test_a_time_out_gives_up_at_its_instant_and_leaves_the_line(kind: str) -> None:
    """The lock then goes to the next one; a time-out of nothing does not even give the turn away."""
    play = Play(kind)
    lock = play.clock.lock()

    def holds() -> None:
        with lock:
            play.wait(5)

    def gives_up() -> None:
        play.note(lock.acquire(0))
        play.note(lock.acquire(2 * TICK_NS))

    def waits() -> None:
        play.note(lock.acquire(9 * TICK_NS))
        lock.release()

    log = play.run(A=holds, B=gives_up, C=waits)

    assert log == [(0, "B", "False"), (2, "B", "False"), (5, "C", "True")]
    assert lock.holder is None


@virtual
def test_what_is_released_at_the_deadline_is_still_taken(kind: str) -> None:
    """At one instant the release of a participant that comes first beats the deadline of one that has not run."""
    play = Play(kind)
    lock = play.clock.lock()

    def holds() -> None:
        with lock:
            play.wait(2)

    log = play.run(A=holds, B=lambda: play.note(lock.acquire(2 * TICK_NS)))

    assert log == [(2, "B", "True")]


@every
def test_an_rlock_is_free_after_as_many_releases(kind: str) -> None:
    """Its holder takes it again without waiting; the others wait for the last release."""
    play = Play(kind)
    lock, other_waits = play.clock.rlock(), play.clock.event()

    def twice() -> None:
        with lock:
            with lock:
                other_waits.wait()
            play.note("inside")
        play.note("outside")

    def other() -> None:
        other_waits.set()
        with lock:
            play.note()

    assert play.words(A=twice, B=other) == ["A inside", "A outside", "B"]


@every
@pytest.mark.parametrize("make", ["lock", "rlock"])
def test_only_the_holder_releases(kind: str, make: str) -> None:
    """A lock that is free or somebody else's is not released; the error says whose it is."""
    play = Play(kind)
    lock = getattr(play.clock, make)("inventory")
    told: list[str] = []
    done = play.clock.event()

    def release() -> None:
        with pytest.raises(RuntimeError) as error:
            lock.release()
        told.append(str(error.value))

    def holds() -> None:
        release()
        with lock:
            done.wait()

    def other() -> None:
        release()
        done.set()

    play.run(A=holds, B=other)

    assert told == [
        f"A releases the {make} inventory, but it is free; release only what you took",
        f"B releases the {make} inventory, but A holds it; release only what you took",
    ]


@every
def test_a_lock_taken_again_by_its_holder_is_a_deadlock_at_once(kind: str) -> None:
    """The error names participant and lock; with a time-out the same call is only in vain."""
    play = Play(kind)
    lock = play.clock.lock(name="inventory")
    errors: list[DeadlockError] = []

    def again() -> None:
        with lock:
            play.note(lock.acquire(TICK_NS // 10))
            with pytest.raises(DeadlockError) as caught:
                lock.acquire()
            errors.append(caught.value)
        play.note(lock.locked())

    assert play.words(A=again) == ["A False", "A False"]
    assert errors[0].participants == ["A"]
    assert "A waits for the lock inventory held by A since 1970-01-01" in errors[0].message


@every
def test_a_circle_of_waits_is_a_deadlock_in_the_one_that_closes_it(kind: str) -> None:
    """The error names all participants and locks of the circle; released by it, the others go on."""
    play = Play(kind)
    locks = [play.clock.lock(name=name) for name in ("X", "Y", "Z")]
    errors: list[DeadlockError] = []
    all_hold = play.clock.semaphore(0)

    def taker(i: int) -> Callable[[], None]:
        def take() -> None:
            with locks[i]:
                if i == 2:
                    all_hold.release(2)
                    play.clock.sleep(0)
                else:
                    all_hold.acquire()
                try:
                    with locks[(i + 1) % 3]:
                        play.note("has both")
                except DeadlockError as error:
                    errors.append(error)
                    play.note("gives way")

        return take

    words = play.words(A=taker(0), B=taker(1), C=taker(2))

    assert sorted(errors[0].participants) == ["A", "B", "C"]
    assert sorted(errors[0].waits) == ["the lock X held by A", "the lock Y held by B", "the lock Z held by C"]
    assert len(errors) == 1
    assert sorted(word[2:] for word in words) == ["gives way", "has both", "has both"]


@every
def test_waits_with_a_time_out_close_no_circle(kind: str) -> None:
    """One of them ends by itself, so nobody is told of a deadlock."""
    play = Play(kind)
    x, y, both = play.clock.lock(), play.clock.lock(), play.clock.event()

    def patient() -> None:
        with x:
            both.wait()
            with y:
                play.note("has both")

    def impatient() -> None:
        with y:
            both.set()
            play.note(x.acquire(TICK_NS))

    assert play.words(A=patient, B=impatient) == ["B False", "A has both"]


@every
def test_a_lock_whose_holder_has_left_is_a_deadlock_for_who_waits(kind: str) -> None:
    """Whether the holder leaves before the wait or during it; nobody waits for ever."""
    play = Play(kind)
    lock, waiting = play.clock.lock("inventory"), play.clock.event()
    told: list[str] = []

    def leaves() -> None:
        lock.acquire()
        waiting.wait()

    def waits() -> None:
        waiting.set()
        with pytest.raises(DeadlockError, match="the lock inventory held by A, which has left"):
            lock.acquire()
        told.append("during")
        with pytest.raises(DeadlockError, match="which has left without releasing it"):
            lock.acquire()
        told.append("after")

    play.run(A=leaves, B=waits)

    assert told == ["during", "after"]
