"""What is printed where, and that messages come out as they are."""

import pytest

from src.cli.output import Output


def test_messages_with_brackets_and_colons_come_out_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    """No markup, no emoji, no wrapping: a message may be copied."""
    text = "[red]symbols[0][/red] :smile: " + "long " * 60 + "end"

    Output().say(text)

    assert capsys.readouterr().out == f"{text}\n"


def test_with_json_people_are_talked_to_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Stdout is for the object."""
    out = Output(as_json=True)
    out.say("hello")
    out.result({"a": 1})

    assert capsys.readouterr() == ('{"a": 1}\n', "hello\n")


def test_quiet_silences_everything_but_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """An error is worth breaking the silence."""
    out = Output(quiet=True)
    out.say("hello")
    out.pairs([("a", "b")])
    out.table(("a",), [("b",)])
    out.error("broken")

    assert capsys.readouterr() == ("", "error: broken\n")
