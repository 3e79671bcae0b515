"""Texts from outside, before they are written."""

from src.core.errors import StrategyError


def test_the_sentence_of_an_error_can_be_written_down_whatever_it_quotes() -> None:
    """A lone surrogate of an odd file name is spelled out, in the message and in the details."""
    error = StrategyError("bad \udcff name", cause="ValueError: \udcff", bars=3)

    assert error.message == str(error) == r"bad \udcff name"
    assert (error.cause, error.bars) == (r"ValueError: \udcff", 3)
    assert "ü".encode() in StrategyError("für").message.encode()
