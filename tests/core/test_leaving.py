"""Who leaves its clock keeps its turn to the end of its function and waits for nothing any more; on every clock."""

from collections.abc import Callable
from typing import Any

import pytest

from src.core.errors import LeftError
from tests.core.stage import CLOCKS, Play

every = pytest.mark.parametrize("kind", CLOCKS)

WAITS: dict[str, Callable[[Play], Any]] = {
    "step": lambda play: play.clock.wait_for_next_step("A"),
    "sleep": lambda play: play.wait(1),
    "wait_until": lambda play: play.clock.wait_until(lambda: True, "nothing"),
    "event": lambda play: play.clock.event().wait(),
    "thread": lambda play: play.clock.start_thread(lambda: None),
    "timer": lambda play: play.clock.set_timer(1, lambda: None),
}


@every
@pytest.mark.parametrize("wait", WAITS)
def test_a_wait_after_leaving_names_the_participant_and_ends_the_run(wait: str, kind: str) -> None:
    """A typed error at the wait, which the drive raises; the others are told to stop."""
    play = Play(kind)

    def leaves() -> None:
        play.wait(1)
        play.clock.leave("A")
        WAITS[wait](play)

    with pytest.raises(
        LeftError, match=r"A has given up its place with leave\(\), .* and cannot wait any more"
    ) as caught:
        play.run(A=leaves, B=lambda: play.wait(900))

    assert caught.value.participant == "A"
    assert play.stopped == ["B"]


@every
def test_who_leaves_keeps_the_turn_until_its_function_returns(kind: str) -> None:
    """Nobody else runs meanwhile, and leaving twice is leaving once."""
    play = Play(kind)

    def leaves() -> None:
        play.clock.leave("A")
        play.note("has left")
        play.clock.leave("A")
        play.note("goes on")

    assert play.words(A=leaves, B=play.note) == ["A has left", "A goes on", "B"]


@every
def test_nobody_leaves_for_another(kind: str) -> None:
    """Its thread would never be heard of again, so the call is refused and the other goes on."""
    play = Play(kind)

    def meddles() -> None:
        with pytest.raises(RuntimeError, match=r"expected B to leave by itself, .* found A .* clock\.retire\(\)"):
            play.clock.leave("B")

    def goes_on() -> None:
        play.wait(1)
        play.note("ends")

    assert play.words(A=meddles, B=goes_on) == ["B ends"]


@every
def test_whoever_joins_a_thread_that_leaves_goes_on_after_its_end(kind: str) -> None:
    """The thread's turn is over first, and its name is free for nobody else until then."""
    play = Play(kind)

    def helper() -> None:
        play.clock.leave("A/helper-1")
        play.note("still here")

    def starts() -> None:
        assert play.clock.start_thread(helper).join()
        play.note("joined")

    assert play.words(A=starts) == ["A/helper-1 still here", "A joined"]
