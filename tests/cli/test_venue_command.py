"""`venue`: how it ends."""

import shutil
import signal
from pathlib import Path

import pytest

from src.cli.app import main
from src.cli.output import Output
from tests.ports import free_port

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_ctrl_c_ends_a_venue_from_the_moment_at_which_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However long the process is away in between."""
    for name in ("live.yaml", "three_modes.py"):
        shutil.copy(CONFIGS / name, tmp_path)
    say = Output.say

    def say_and_interrupt(self: Output, text: str = "", style: str = "") -> None:
        say(self, text, style)
        if text == "Ctrl-C ends it":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Output, "say", say_and_interrupt)

    code = main(["venue", "--config", str(tmp_path / "live.yaml"), "--port", str(free_port())])
    printed = capsys.readouterr()

    assert (code, printed.err) == (0, "")
    assert "after 0 requests" in printed.out
