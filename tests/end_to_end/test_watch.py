"""`--watch` at a pseudo-terminal: what it shows while a run goes on, its keys, and the terminal afterwards."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command import BACKTEST, MAIN, Told, run_names

pexpect = pytest.importorskip("pexpect", reason="no pseudo-terminals on this system")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")]

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
#: The terminal's other screen is shown from here to there.
ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
#: About a minute of them.
MOST_FRAMES = 300
#: An hour of the market takes four seconds.
SLOW = ("--set", "backtest.pace=900x")

TALKS = """
from my_strategy import MyStrategy as Quiet


class MyStrategy(Quiet):
    def on_bar(self, bar):
        if len(self.bars) == 40:
            print("forty bars of", self.symbol)
            {then}
        super().on_bar(bar)
"""


class Watched:
    """A watched run at a pseudo-terminal of 80 x 24."""

    def __init__(self, project: Path, *words: str, into: str = "") -> None:
        command = [sys.executable, str(MAIN), "--mode", "backtest", "--config", "config.yaml", "--watch", *words]
        start = ("/bin/sh", ["-c", f'"$@" {into}', "sh", *command]) if into else (command[0], command[1:])
        self.child: Any = pexpect.spawn(*start, cwd=str(project), encoding="utf-8", timeout=240, dimensions=(24, 80))
        self.text = ""
        self._taken = 0

    def press(self, keys: str) -> None:
        """Press keys."""
        self.child.send(keys)

    def screen(self, until: Callable[[list[str]], object]) -> list[str]:
        """The lines of the first screen, after those that were seen before, of which something holds."""
        while self._taken < MOST_FRAMES:
            frames = self.text.split("\x1b[H")
            while self._taken < len(frames) - 1:  # the last one may still be under way
                lines = [line.rstrip() for line in _ESCAPES.sub("", frames[self._taken]).split("\r\n")]
                self._taken += 1
                if len(lines) > 1 and until(lines):
                    return lines
            self.text += self.child.read_nonblocking(65_536, timeout=240)
        pytest.fail(f"not found on any screen, the last one being\n{frames[-2]}")

    def ended(self) -> tuple[int, str, str]:
        """Read to the end; the exit code, what came while the view was shown, and what came afterwards."""
        self.child.expect(pexpect.EOF)
        self.text += self.child.before
        self.child.close()
        assert (self.text.count(ENTERED), self.text.count(LEFT)) == (1, 1)
        during, after = self.text.split(LEFT)
        assert "\x1b[?25h" in after or during.rindex("\x1b[?25h") > during.rindex("\x1b[?25l")
        return int(self.child.exitstatus), during, _ESCAPES.sub("", after)


def running(lines: list[str]) -> bool:
    """Whether workers are shown and time goes on."""
    return lines[0].endswith("RUNNING") and any(line.startswith("worker:") for line in lines)


def paused(lines: list[str]) -> bool:
    """Whether the header says that the run stands still."""
    return lines[0].endswith("PAUSED")


def instant(lines: list[str]) -> str:
    """The virtual time of the header."""
    return lines[1][:20]


def strategy(project: Path, then: str) -> None:
    """Have the project's strategy print something at its fortieth bar, and then do something."""
    (project / "talks.py").write_text(TALKS.format(then=then), encoding="utf-8")
    config = (project / "config.yaml").read_text(encoding="utf-8")
    changed = re.sub(r"my_strategy\.py:MyStrategy", "talks.py:MyStrategy", config)
    assert changed != config
    (project / "config.yaml").write_text(changed, encoding="utf-8")


def test_the_view_and_its_keys(project: Path, told: Told) -> None:
    """Rows, pause, one step, pace, another size, on to the end at full speed; the digest is that of a run alone."""
    watched = Watched(project, *SLOW)
    first = watched.screen(running)
    watched.press(" ")
    stood = watched.screen(paused)
    still = [watched.screen(paused) for _ in range(2)]
    watched.press("s")
    stepped = watched.screen(lambda lines: paused(lines) and instant(lines) != instant(stood))
    watched.press("-")
    slower = watched.screen(lambda lines: "pace 450x" in lines[0])
    watched.child.setwinsize(40, 130)
    large = watched.screen(lambda lines: len(lines) >= 40)
    watched.press(" ")
    gone_on = watched.screen(running)
    watched.press("m")
    code, during, after = watched.ended()
    alone = told(*BACKTEST, "--json", cwd=project).value
    symbols = ("worker:BTCUSDT", "worker:ETHUSDT")

    assert [line.split()[0] for line in first if ":" in line.split(" ")[0]] == ["monitor:positions", *symbols]
    assert len(first) == 24
    assert max(map(len, first)) <= 80
    assert [instant(lines) for lines in still] == [instant(stood)] * 2
    assert "stands still" in stood[2]
    assert int(stepped[1][14:16]) == (int(stood[1][14:16]) + 1) % 60
    assert paused(slower)
    assert any("longest turn" in line for line in large)
    assert instant(gone_on) >= instant(stepped)
    assert code == 0
    assert "COMPLETED" not in during
    assert f"digest  {alone['digest'][:16]}" in after


def test_q_ends_a_watched_run_in_order(project: Path) -> None:
    """What was simulated until then is stored, and the table is shown on the terminal as it was before."""
    watched = Watched(project, *SLOW)
    watched.screen(running)
    watched.press("q")
    code, _, after = watched.ended()

    assert code == 130
    assert "INTERRUPTED" in after
    assert ["interrupted" in name for name in run_names(project)] == [True]


def test_ctrl_c_ends_a_watched_run_in_order(project: Path) -> None:
    """Also while it is paused and help is shown."""
    watched = Watched(project, *SLOW)
    watched.screen(running)
    watched.press(" ")
    watched.screen(lambda lines: paused(lines) and "paused at" in lines[-2])
    watched.press("?")
    watched.screen(lambda lines: paused(lines) and "this help" in "".join(lines))
    watched.child.sendintr()
    code, _, after = watched.ended()

    assert code == 130
    assert "INTERRUPTED" in after


def test_what_a_strategy_prints_stays_on_the_terminal(project: Path) -> None:
    """Below what was there and before the result, also when the strategy then fails."""
    strategy(project, 'raise ValueError("it broke")')
    watched = Watched(project)
    code, _, after = watched.ended()

    assert code == 1
    assert after.index("forty bars of BTCUSDT") < after.index("digest")
    assert "it broke" in after


def test_a_question_and_the_debugger_get_the_terminal(project: Path) -> None:
    """The view steps aside for as long as something is typed, and comes back."""
    strategy(project, "breakpoint()")
    watched = Watched(project, *SLOW)
    watched.screen(running)
    watched.press("b")
    watched.child.expect("break when .*: ")
    watched.child.sendline("len(fills) > 99")
    watched.screen(lambda lines: running(lines) and "will pause  when len(fills) > 99" in lines)
    watched.press("m")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        watched.child.expect_exact(f"worker:{symbol} at 2024-01-01")
        watched.child.expect_exact("(Pdb) ")
        watched.child.sendline("c")
    watched.child.expect_exact("COMPLETED")
    watched.child.expect(pexpect.EOF)
    watched.child.close()

    assert watched.child.exitstatus == 0


def test_json_goes_where_it_always_goes(project: Path) -> None:
    """The view is on the terminal of standard error, the one object on standard output."""
    watched = Watched(project, "--json", *SLOW, into="> out.json")
    watched.screen(running)
    watched.press("m")
    code, _, _ = watched.ended()
    value = json.loads((project / "out.json").read_text(encoding="utf-8"))

    assert (code, value["outcome"]) == (0, "COMPLETED")
    assert value["timing"]["threads"]["participants"]["worker:BTCUSDT"]["turns"] > 0


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_without_a_terminal_it_is_refused(project: Path, words: tuple[str, ...], told: Told) -> None:
    """Before anything is loaded; nothing is stored."""
    refused = told(*BACKTEST, "--watch", *words, cwd=project)

    assert refused.code == 2
    assert "--watch draws on a terminal" in refused.err
    assert run_names(project) == []
