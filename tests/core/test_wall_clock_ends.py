"""The clock that really waits: what fails while somebody waits, who comes back under an old name, when all is over."""

from collections.abc import Callable

import pytest

from src.core.clock import PHASE_WORKER, Participant
from src.core.errors import Stopping
from src.core.timeframe import DAY_NS, MINUTE_NS
from src.core.wall_clock import WallClock
from tests.core.stage import NoWake

FAST = 20_000.0


class Raises(NoWake):
    """A wake that ends the program."""

    def __call__(self) -> bool:
        raise SystemExit("wake")


def spawn(clock: WallClock, name: str, run: Callable[[], None], wake: NoWake | None = None, poll_ns: int = 1) -> None:
    """Register a worker."""
    clock.spawn(Participant(name=name, phase=PHASE_WORKER, rank=0, wake=wake or NoWake(), poll_ns=poll_ns), run)


def test_a_condition_that_ends_the_program_surfaces_in_the_waiters_turn() -> None:
    """Whoever asks it on the waiter's behalf goes on, and the run ends instead of hanging."""
    clock = WallClock(FAST, origin_ns=0)
    seen: list[str] = []

    def leave_program() -> bool:
        if seen:
            raise SystemExit("condition")
        return False

    def waits() -> None:
        try:
            clock.wait_until(leave_program, "nothing")
        except SystemExit:
            seen.append("waiter")
            raise

    def other() -> None:
        seen.append("other")
        with pytest.raises(Stopping):  # when the waiter has failed
            clock.sleep(DAY_NS)
        seen.append("other stops")

    spawn(clock, "a", waits)
    spawn(clock, "b", other)
    with pytest.raises(SystemExit, match="condition"):
        clock.drive()

    assert seen == ["other", "waiter", "other stops"]


def test_a_wake_that_ends_the_program_surfaces_in_the_waiters_turn() -> None:
    """The run ends with it."""
    clock = WallClock(FAST, origin_ns=0)
    ends: list[bool] = []
    spawn(clock, "a", lambda: ends.append(clock.wait_for_next_step("a")), Raises())
    spawn(clock, "b", lambda: clock.sleep(MINUTE_NS))

    with pytest.raises(SystemExit, match="wake"):
        clock.drive()

    assert ends == []


def test_a_name_that_has_left_may_be_taken_again() -> None:
    """The second one of the name leaves as well, so that the run comes to its end."""
    clock = WallClock(FAST, origin_ns=0)
    log: list[str] = []

    def first() -> None:
        clock.wait_until(lambda: clock._has_left("b"), "the end of b")
        spawn(clock, "b", lambda: log.append("second"))
        log.append(f"left {clock._has_left('b')}")

    spawn(clock, "a", first)
    spawn(clock, "b", lambda: log.append("first"))
    clock.drive()

    assert log == ["first", "left False", "second"]


def test_a_condition_is_looked_at_soon_however_seldom_its_participant_polls() -> None:
    """What it looks at may lie outside the clock, where no turn ends."""
    clock = WallClock(origin_ns=0)
    asked: list[int] = []

    def fifth() -> bool:
        asked.append(1)
        return len(asked) > 4

    def waits() -> None:
        clock.wait_until(fifth, "five looks")

    spawn(clock, "a", waits, poll_ns=DAY_NS)
    clock.drive()

    assert len(asked) >= 5
    assert clock.now_ns() < 30 * 1_000_000_000


@pytest.mark.parametrize("how", ["stop", "retire"])
def test_is_over_tells_who_has_to_end(how: str) -> None:
    """A stop is for all, a retirement for one participant."""
    clock = WallClock(FAST, origin_ns=0)
    seen: list[tuple[bool, bool]] = []

    def look() -> None:
        seen.append((clock.is_over("a"), clock.is_over("b")))
        if how == "stop":
            clock.stop("enough")
        else:
            clock.retire("a")
        seen.append((clock.is_over("a"), clock.is_over("b")))

    def waits() -> None:
        with pytest.raises(Stopping):
            clock.sleep(DAY_NS)

    spawn(clock, "a", waits)
    spawn(clock, "b", look)
    clock.drive()

    assert seen == [(False, False), (True, how == "stop")]
