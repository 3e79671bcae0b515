"""What the calls of a clock refuse, at the call and with a sentence; tried on two clocks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from src.core.clock import Clock
from tests.core.stage import TICK_NS, Play

each = pytest.mark.parametrize("kind", ["threads", "wall"])

Call = Callable[[Clock, Any], object]


def waited_on(clock: Clock, wait: Callable[[Any], object]) -> object:
    """Wait on a condition, held."""
    condition = clock.condition()
    with condition:
        return wait(condition)


LENGTHS: dict[str, Call] = {
    "sleep": lambda clock, x: clock.sleep(x),
    "set_timer": lambda clock, x: clock.set_timer(x, print),
    "lock": lambda clock, x: clock.lock().acquire(x),
    "rlock": lambda clock, x: clock.rlock().acquire(x),
    "semaphore": lambda clock, x: clock.semaphore().acquire(x),
    "event": lambda clock, x: clock.event().wait(x),
    "condition": lambda clock, x: waited_on(clock, lambda c: c.wait(x)),
    "wait_for": lambda clock, x: waited_on(clock, lambda c: c.wait_for(lambda: True, x)),
    "put": lambda clock, x: clock.queue().put(1, x),
    "get": lambda clock, x: clock.queue().get(x),
    "join": lambda clock, x: clock.start_thread(lambda: None).join(x),
}


def refusals(kind: str, calls: list[Callable[[Clock], object]]) -> list[str]:
    """What each call, made in a participant's turn, was refused with."""
    play = Play(kind)
    found: list[str] = []

    def act() -> None:
        for call in calls:
            try:
                call(play.clock)
            except (TypeError, ValueError) as error:
                found.append(f"{type(error).__name__}: {error}")
            else:
                found.append("accepted")

    play.run(A=act)
    return found


@each
@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_of_time_is_a_whole_number_of_nanoseconds(kind: str, name: str) -> None:
    """Not a float, a truth value, a text or nothing a number; the message says what to write."""
    wrong: list[Any] = [0.5, 2.0, float("nan"), float("inf"), True, "30s", [1]]

    found = refusals(kind, [lambda clock, x=x: LENGTHS[name](clock, x) for x in wrong])  # type: ignore[misc]  # untyped on purpose

    what = {"sleep": "duration_ns", "set_timer": "delay_ns"}.get(name, "timeout_ns")
    start = f"TypeError: expected {what} as a whole number of nanoseconds such as 30 * SECOND_NS, found "
    assert found == [start + each for each in ("0.5", "2.0", "nan", "inf", "True", "'30s'", "a list")]


@each
@pytest.mark.parametrize("name", LENGTHS)
def test_a_length_of_time_is_neither_negative_nor_absurd(kind: str, name: str) -> None:
    """Also one of more digits than Python writes out is refused with a sentence."""
    found = refusals(kind, [lambda clock, x=x: LENGTHS[name](clock, x) for x in (-1, 2**63, 10**5000)])  # type: ignore[misc]  # untyped on purpose

    assert [each.partition(" of ")[2] for each in found] == [
        "at least 0, found -1", *["at most 100 years in nanoseconds, found more"] * 2,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["sleep", "set_timer"])
def test_only_a_time_out_may_be_none(name: str) -> None:
    """A sleep has an end."""
    assert refusals("threads", [lambda clock: LENGTHS[name](clock, None)])[0].startswith("TypeError: expected d")


@each
def test_whole_numbers_of_numpy_are_whole_numbers(kind: str) -> None:
    """They are what arithmetic with columns gives."""
    play = Play(kind)

    def act() -> None:
        play.clock.sleep(np.int64(TICK_NS))  # type: ignore[arg-type]  # behaves as an int
        play.note(type(play.clock.now_ns()).__name__)

    assert play.run(A=act)[0] == (1, "A", "int")


def test_wait_until_on_the_wall_clock_takes_whole_numbers_and_functions_only() -> None:
    """A time that has passed already is one of them."""
    play = [
        lambda clock: clock.wait_until(lambda: False, "nothing", 0.5),
        lambda clock: clock.wait_until(None, "nothing"),
        lambda clock: clock.wait_until(lambda: False, "nothing", -5),
    ]

    found = refusals("wall", play)

    assert found[0].endswith("as a whole number of nanoseconds such as 30 * SECOND_NS, found 0.5")
    assert found[1].startswith("TypeError: expected a condition that can be called, found None")
    assert found[2] == "accepted"


@each
def test_names_counts_locks_and_functions_are_refused_at_the_call(kind: str) -> None:
    """And not where they are first used."""
    calls: list[tuple[Callable[[Any], object], str]] = [
        (lambda clock: clock.semaphore(1.5), "expected a semaphore with a value that is a whole number, found 1.5"),
        (lambda clock: clock.queue(1.5), "expected a queue with a maxsize that is a whole number, found 1.5"),
        (lambda clock: clock.queue(None), "expected a queue with a maxsize that is a whole number, found None"),
        (lambda clock: clock.semaphore().release(0.5), "expected a number of releases that is a whole number, found"),
        (lambda clock: waited_on(clock, lambda c: c.notify(True)), "expected a number of notifications that is a"),
        (lambda clock: clock.condition(3), "expected a lock of this clock for a condition, found 3"),
        (lambda clock: clock.lock(3), "expected the name of a lock as a text, found 3"),
        (lambda clock: clock.event(None), "expected the name of an event as a text, found None"),
        (lambda clock: clock.start_thread(None), "expected a function for a thread that can be called, found None"),
        (lambda clock: clock.start_thread(print, 3), "expected the name of a thread as a text, found 3"),
        (lambda clock: clock.set_timer(1, None), "expected a callback of a timer that can be called, found None"),
    ]

    found = refusals(kind, [call for call, _ in calls])

    assert [got[: len(want) + 11] for got, (_, want) in zip(found, calls, strict=True)] == [
        f"TypeError: {want}" for _, want in calls
    ]
