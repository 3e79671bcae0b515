"""Running the program in the process of a test: what it says and how it ends, without the second that a start takes."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.cli.app import main
from tests.end_to_end.command import MAIN, Ended, Told

__all__ = ["told"]


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """The program, run in this process in a folder of the test's own: no start, and nobody at the terminal either."""

    def call(*words: str | Path, cwd: Path = tmp_path) -> Ended:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "stdin", nobody)
        monkeypatch.setattr(sys, "argv", [str(MAIN)])  # as it was typed, for the commands that it tells to paste
        capfd.readouterr()
        code = main([str(word) for word in words])
        out, err = capfd.readouterr()
        return Ended(code=code, out=out, err=err)

    with open(os.devnull, encoding="utf-8") as nobody:
        yield call
