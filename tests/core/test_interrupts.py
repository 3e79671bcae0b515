"""Ctrl-C outside a run leaves as one error, whatever a library makes of it; inside it asks the run to end."""

import signal
from typing import Any

import pytest

from src.core.sync import interrupts_raise, on_interrupt, terminations_interrupt


class Interrupted(BaseException):
    """What Ctrl-C is to raise."""


def test_ctrl_c_raises_the_given_error_and_the_old_handler_comes_back() -> None:
    """Inside only."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted), interrupts_raise(Interrupted):
        signal.raise_signal(signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is before


def test_what_a_library_makes_of_it_leaves_as_the_interrupt() -> None:
    """A database answers an interrupted query with an error of its own, which is kept as the cause."""
    with pytest.raises(Interrupted) as caught, interrupts_raise(Interrupted):
        _interrupted_query()

    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_error_without_ctrl_c_leaves_as_it_is() -> None:
    """Nothing is taken for an interrupt."""
    with pytest.raises(RuntimeError, match="of its own"), interrupts_raise(Interrupted):
        raise RuntimeError("of its own")


def test_a_request_to_end_that_is_repeated_is_the_same_request() -> None:
    """`timeout` and some supervisors send it twice; whoever ends in order meanwhile goes on doing so."""
    asked = []
    with on_interrupt(lambda: asked.append(1)):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)

    assert asked == [1]


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_forces_what_was_asked_to_end_before(first: signal.Signals) -> None:
    """Whoever sits at the terminal need not wait."""
    asked = []
    with on_interrupt(lambda: asked.append(1)):
        signal.raise_signal(first)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

    assert asked == [1]


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN])
def test_a_request_to_end_puts_away_what_was_begun_also_in_the_background(ctrl_c: Any) -> None:
    """A shell has what it starts in the background ignore Ctrl-C, which says nothing of other requests."""
    before = signal.signal(signal.SIGINT, ctrl_c), signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(KeyboardInterrupt), terminations_interrupt():
            _asked_to_end(before[1])

        assert signal.getsignal(signal.SIGTERM) is before[1]
    finally:
        signal.signal(signal.SIGINT, before[0])


def _asked_to_end(otherwise: Any) -> None:
    assert signal.getsignal(signal.SIGTERM) is not otherwise  # it would end this process
    signal.raise_signal(signal.SIGTERM)


def _interrupted_query() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except Interrupted:
        raise RuntimeError("query interrupted") from None
