"""How waits end when the run stops or their participant is retired; on every clock."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.core.stage import CLOCKS, TICK_NS, Play

every = pytest.mark.parametrize("kind", CLOCKS)


Wait = Callable[[Play], Any]


def _lock_of_another(play: Play) -> None:
    lock = play.clock.lock()

    taken = play.clock.event()

    def takes_the_lock() -> None:
        with lock:
            taken.set()
            play.wait(900)

    play.clock.start_thread(takes_the_lock)
    taken.wait()
    lock.acquire()


def _condition(play: Play) -> None:
    with play.clock.condition() as condition:
        condition.wait()


def _condition_of_another(play: Play) -> None:
    condition = play.clock.condition()

    def takes_the_lock() -> None:
        with condition:
            condition.notify()
            play.wait(900)

    with condition:
        play.clock.start_thread(takes_the_lock)
        condition.wait()


def _full_queue(play: Play) -> None:
    things = play.clock.queue(maxsize=1)
    things.put(1)
    things.put(2)


WAITS: dict[str, Wait] = {
    "sleep": lambda play: play.wait(900),
    "wait_until": lambda play: play.clock.wait_until(lambda: False, "nothing"),
    "lock": _lock_of_another,
    "semaphore": lambda play: play.clock.semaphore(0).acquire(),
    "event": lambda play: play.clock.event().wait(),
    "event with a time-out": lambda play: play.clock.event().wait(900 * TICK_NS),
    "condition": _condition,
    "condition of another": _condition_of_another,
    "wait_for": lambda play: [c.wait_for(lambda: False) for c in [play.clock.condition()] if c.acquire()],
    "get": lambda play: play.clock.queue().get(),
    "put": _full_queue,
    "join": lambda play: play.clock.start_thread(lambda: play.wait(900)).join(),
}


@every
@pytest.mark.parametrize("wait", WAITS)
def test_on_a_stop_every_wait_raises_stopping(kind: str, wait: str) -> None:
    """And the exception is the only one: leaving a lock that was not had back is no mistake then."""
    play = Play(kind)

    def act() -> None:
        WAITS[wait](play)
        play.note("came through")

    def stops() -> None:
        play.wait(1)
        play.clock.stop("enough")

    log = play.run(A=act, B=stops)

    assert (log, play.stopped) == ([], ["A"])


@every
@pytest.mark.parametrize("wait", WAITS)
def test_a_retired_participant_is_told_by_its_wait_and_its_threads_end_too(kind: str, wait: str) -> None:
    """The others go on."""
    play = Play(kind)

    def act() -> None:
        WAITS[wait](play)
        play.note("came through")

    def retires() -> None:
        play.wait(1)
        play.clock.retire("A")
        play.wait(1)
        play.note("goes on")

    assert play.words(A=act, B=retires) == ["B goes on"]
    assert play.stopped == ["A"]


@every
def test_threads_end_with_their_participant_though_who_started_them_has_left(kind: str) -> None:
    """All belong to the participant at the root."""
    play = Play(kind)

    def starts() -> None:
        play.clock.start_thread(lambda: play.wait(900))

    def act() -> None:
        play.clock.start_thread(starts).join()
        play.wait(900)

    def retires() -> None:
        play.wait(1)
        play.clock.retire("A")
        play.wait(1)
        play.note("goes on")

    assert play.words(A=act, B=retires) == ["B goes on"]
    assert play.stopped == ["A"]
    assert play.clock.now_ns() < 900 * TICK_NS


@every
def test_what_a_retired_participant_was_given_goes_to_the_next(kind: str) -> None:
    """A lock, a place and a thing that came just before the end are not lost."""
    play = Play(kind)
    lock, places, things = play.clock.lock(), play.clock.semaphore(0), play.clock.queue()

    def gives() -> None:
        lock.acquire()
        play.wait(1)
        lock.release()
        places.release()
        things.put("thing")
        for name in "BCD":
            play.clock.retire(name)
        play.wait(1)
        play.note((lock.holder, places.value, things.qsize()))

    def waiter(wait: Callable[[], object]) -> Callable[[], None]:
        def act() -> None:
            wait()
            play.note("came through")

        return act

    words = play.words(A=gives, B=waiter(lock.acquire), C=waiter(places.acquire), D=waiter(things.get))

    assert words == ["A (None, 1, 1)"]
    assert sorted(play.stopped) == ["B", "C", "D"]
