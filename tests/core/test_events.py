"""Semaphores, events, conditions and queues; one text for every clock, tried on each of them."""

import queue
from collections.abc import Callable
from typing import Any

import pytest

from src.core.sync import current_participant
from tests.core.stage import CLOCKS, TICK_NS, Play

every = pytest.mark.parametrize("kind", CLOCKS)
virtual = pytest.mark.parametrize("kind", ["threads", "fibers"])


# -- semaphores, events, conditions -----------------------------------------------------------------


@every
def test_a_semaphore_lets_in_as_many_as_it_counts_in_the_order_of_coming(kind: str) -> None:
    """One release of several lets in several."""
    play = Play(kind)
    semaphore, all_wait = play.clock.semaphore(1), play.clock.event()

    def first() -> None:
        semaphore.acquire()
        all_wait.wait()
        play.note("releases")
        semaphore.release(2)

    def later() -> None:
        with semaphore:
            play.note("in")
            play.note(semaphore.value)

    def last() -> None:
        all_wait.set()
        later()

    words = play.words(A=first, B=later, C=last)

    assert words == ["A releases", "B in", "B 0", "C in", "C 1"]
    assert semaphore.value == 2
    assert not play.clock.semaphore(0).acquire(0)


@every
def test_an_event_lets_all_go_on_also_when_it_is_lowered_at_once(kind: str) -> None:
    """Nobody who waited misses it; who comes later waits for the next."""
    play = Play(kind)
    event = play.clock.event()

    def waits() -> None:
        play.note(event.wait())

    def pulses() -> None:
        event.set()
        play.note(event.is_set())
        event.clear()
        play.note(event.wait(0))

    words = play.words(A=waits, B=waits, C=pulses)

    assert words == ["C True", "C False", "A True", "B True"]


@virtual
def test_an_event_set_at_the_deadline_by_who_runs_first_beats_it(kind: str) -> None:
    """A comes before B at the instant of both; C, which comes after B, is too late."""
    play = Play(kind)
    event, late = play.clock.event(), play.clock.event()

    def sets(which: Any) -> Callable[[], None]:
        def act() -> None:
            play.wait(2)
            which.set()

        return act

    def waits() -> None:
        play.note(event.wait(2 * TICK_NS))

    def waits_in_vain() -> None:
        play.note(late.wait(2 * TICK_NS))

    log = play.run(A=sets(event), B=waits, C=waits_in_vain, D=sets(late))

    assert log == [(2, "B", "True"), (2, "C", "False")]


@every
def test_a_condition_wakes_in_the_order_of_waiting_one_at_a_time(kind: str) -> None:
    """Each goes on with the lock, after who notified has released it."""
    play = Play(kind)
    condition = play.clock.condition()
    inside: list[str] = []

    def waits() -> None:
        with condition:
            play.note(condition.wait())
            inside.append("in")
            play.clock.sleep(0)
            inside.append("out")

    def notifies() -> None:
        with condition:
            condition.notify()
            condition.notify_all()
            play.note("notified")
            play.clock.sleep(0)
            play.note("releases")

    words = play.words(A=waits, B=waits, C=waits, D=notifies)

    assert words == ["D notified", "D releases", "A True", "B True", "C True"]
    assert inside == ["in", "out"] * 3


@every
def test_a_condition_gives_its_lock_up_as_a_whole_and_has_it_back_as_a_whole(kind: str) -> None:
    """Taken twice, it is free while its holder waits and taken twice afterwards."""
    play = Play(kind)
    lock = play.clock.rlock()
    condition = play.clock.condition(lock)

    def waits() -> None:
        with lock, lock:
            condition.wait()
            play.note(lock.holder)
        play.note(lock.holder)

    def notifies() -> None:
        with condition:
            play.note(lock.holder)
            condition.notify()

    assert play.words(A=waits, B=notifies) == ["B B", "A A", "A None"]


@virtual
def test_a_condition_that_is_not_notified_in_time_says_so_with_the_lock_held(kind: str) -> None:
    """The deadline ends the wait for the news, not the wait for the lock."""
    play = Play(kind)
    condition = play.clock.condition()

    def waits() -> None:
        with condition:
            play.note(condition.wait(2 * TICK_NS))
            play.note(condition.lock.holder)

    def holds() -> None:
        play.wait(1)
        with condition:
            play.wait(4)

    log = play.run(A=waits, B=holds)

    assert log == [(5, "A", "False"), (5, "A", "A")]


@virtual
def test_who_was_notified_in_time_keeps_its_place_though_the_lock_comes_later(kind: str) -> None:
    """The answer is true, and somebody who came for the lock afterwards does not overtake."""
    play = Play(kind)
    condition = play.clock.condition()

    def waits() -> None:
        with condition:
            play.note(condition.wait(2 * TICK_NS))

    def notifies() -> None:
        play.wait(1)
        with condition:
            condition.notify()
            play.wait(4)

    def comes() -> None:
        play.wait(1.5)
        with condition:
            play.note("came")

    log = play.run(A=waits, B=notifies, C=comes)

    assert log == [(5, "A", "True"), (5, "C", "came")]


@every
def test_wait_for_asks_until_its_predicate_holds_or_the_time_is_over(kind: str) -> None:
    """The predicate is asked with the lock held, after each notification."""
    play = Play(kind)
    condition = play.clock.condition()
    stock: list[int] = []

    def waits() -> None:
        with condition:
            play.note(condition.wait_for(lambda: len(stock) >= 2))
            play.note(condition.wait_for(lambda: len(stock) >= 3, TICK_NS // 10))

    def fills() -> None:
        for i in range(2):
            with condition:
                stock.append(i)
                condition.notify()
            play.clock.sleep(0)

    assert play.words(A=waits, B=fills) == ["A True", "A False"]


@every
def test_a_condition_wants_its_lock(kind: str) -> None:
    """Waiting and notifying without it are mistakes, told by name."""
    play = Play(kind)
    condition = play.clock.condition(name="stock")
    told: list[str] = []

    def act() -> None:
        for call in (condition.wait, condition.notify, condition.notify_all, lambda: condition.wait_for(bool)):
            with pytest.raises(RuntimeError) as error:
                call()
            told.append(str(error.value).partition(";")[0])

    play.run(A=act)

    assert told == [f"A {verb} the condition stock without its lock" for verb in
                    ("waits on", "notifies", "notifies", "waits on")]  # fmt: skip


# -- queues -----------------------------------------------------------------------------------------


@every
def test_a_queue_gives_things_and_turns_in_the_order_of_coming(kind: str) -> None:
    """The first who waits gets the first thing, also when another asks before it has run."""
    play = Play(kind)
    things = play.clock.queue()

    def takes() -> None:
        play.note(things.get())

    def gives() -> None:
        for i in range(3):
            things.put(i)
        play.note(things.get())

    assert play.words(A=takes, B=takes, D=gives) == ["D 2", "A 0", "B 1"]


@every
def test_a_full_queue_makes_who_puts_wait_in_line(kind: str) -> None:
    """Each thing that is taken makes room for the first who waits with one."""
    play = Play(kind)
    things = play.clock.queue(maxsize=1)

    def puts() -> None:
        things.put(current_participant.get())
        play.note("put")

    def takes() -> None:
        play.note(things.full())
        for _ in range(3):
            play.note(f"got {things.get()}")
        play.note(things.empty())

    words = play.words(A=puts, B=puts, C=puts, D=takes)

    assert [word for word in words if word.startswith("D")] == ["D True", "D got A", "D got B", "D got C", "D True"]
    assert [word for word in words if word.endswith("put")] == ["A put", "B put", "C put"]


@virtual
def test_a_queue_raises_what_the_standard_one_raises_when_the_time_is_over(kind: str) -> None:
    """Empty and Full, at once without a time-out and at the instant with one; nothing stays behind."""
    play = Play(kind)
    things = play.clock.queue(maxsize=1)

    def act() -> None:
        for timeout_ns in (0, TICK_NS):
            with pytest.raises(queue.Empty):
                things.get(timeout_ns)
            play.note(things.qsize())
        things.put("old")
        for timeout_ns in (0, TICK_NS):
            with pytest.raises(queue.Full):
                things.put("new", timeout_ns)
            play.note(things.qsize())
        play.note(things.get())

    log = play.run(A=act)

    assert [(tick, what) for tick, _, what in log] == [(0, "0"), (1, "0"), (1, "1"), (2, "1"), (2, "old")]
