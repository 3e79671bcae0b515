"""What is printed where, and that messages come out as they are."""

import os
import sys

import pytest

from src.cli.output import Output, stdout_kept


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


def test_stdout_kept_for_the_result_takes_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    """Neither what is printed, nor what goes past Python; afterwards all is as before."""
    with stdout_kept():
        print("printed")
        os.write(1, b"written\n")
    sys.stdout.write("the result\n")
    sys.stdout.flush()
    out, err = capfd.readouterr()

    assert out == "the result\n"
    assert {"printed", "written"} <= set(err.split("\n"))
