"""A run that somebody at a terminal controls: `--pause`, `--run-to`, `--break`, the keys, Ctrl-C and `breakpoint()`."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.documentation.pages import block_of, commands
from tests.end_to_end.command import BACKTEST, MAIN, Told, run_names

pexpect = pytest.importorskip("pexpect", reason="no pseudo-terminals on this system")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")]

ASKS = """
from my_strategy import MyStrategy as Quiet


class MyStrategy(Quiet):
    def on_bar(self, bar):
        if len(self.bars) == 40:
            breakpoint()
        super().on_bar(bar)
"""


def steered(project: Path, *words: str) -> Any:
    """`--mode backtest` at a pseudo-terminal."""
    return pexpect.spawn(
        sys.executable, [str(MAIN), "--mode", "backtest", "--config", "config.yaml", *words], cwd=str(project),
        encoding="utf-8", timeout=240, dimensions=(50, 160),
    )  # fmt: skip


def ended(child: Any) -> int:
    """Read to the end; the exit code."""
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus)


def digest_of(child: Any) -> str:
    """As the summary shows it."""
    child.expect(r"digest  (\w+)")
    return str(child.match.group(1))


@pytest.mark.parametrize("line", commands(block_of("docs/control.md", "python main.py --mode backtest")))
def test_each_command_of_the_page_pauses_and_goes_on(line: str, project: Path) -> None:
    """As it stands, with the configuration of a project for `C`."""
    words = shlex.split(line.replace(" --config C ", " --config config.yaml "))
    child = pexpect.spawn(
        sys.executable, [str(MAIN), *words[2:]], cwd=str(project), encoding="utf-8", timeout=60, dimensions=(50, 160)
    )
    child.expect_exact("paused at")
    child.send(" ")
    child.expect_exact("COMPLETED")

    assert ended(child) == 0


def test_keys_control_a_run_and_leave_its_digest(project: Path, told: Told) -> None:
    """Step, break, pace, an instant, and on to the end; the folder tells what was done, the digest does not."""
    child = steered(project, "--pause")
    child.expect_exact("paused at 2024-01-01 00:00:00Z: as asked")
    child.send("s")
    child.expect_exact("paused at 2024-01-01 00:01:00Z")
    child.send("n")
    child.expect_exact("paused at 2024-01-01 00:11:00Z")
    child.send("b")
    child.expect("break when .*: ")
    child.sendline("acount.equity < 1")
    child.expect_exact("did you mean 'account'?")
    child.send("b")
    child.expect("break when .*: ")
    child.sendline('event("fill")')
    child.expect_exact("will pause when")
    child.send(" ")
    child.expect(r'event\("fill"\) holds')
    child.send("-")
    child.expect_exact("pace FAST")
    child.send("m")
    child.expect_exact("pace MAX_SPEED")
    child.send("g")
    child.expect("go on to .*: ")
    child.sendline("2024-01-02 06:00")
    child.expect_exact("paused at 2024-01-02 06:00:00Z")
    child.send("?")
    child.expect_exact("this help")
    child.send(" ")
    child.expect_exact("COMPLETED")
    digest = digest_of(child)
    code = ended(child)
    control = (project / "runs" / run_names(project)[0] / "control.jsonl").read_text(encoding="utf-8")
    alone = told(*BACKTEST, "--json", cwd=project).value

    assert (code, alone["digest"][:16]) == (0, digest)
    assert [json.loads(line)["action"] for line in control.splitlines()] == [
        "pause", "step", "pause", "step", "pause", "break_when", "resume", "pause", "pace", "pace", "run_to", "pause",
        "resume",
    ]  # fmt: skip


def test_a_run_stops_at_the_instant_and_the_condition_that_it_was_started_with(project: Path) -> None:
    """`--run-to` and `--break` together: whichever comes first, then the other."""
    child = steered(project, "--run-to", "2024-01-01 12:00", "--break", 'now >= "2024-01-01 06:00"')
    child.expect_exact("paused at 2024-01-01 06:00:00Z")
    child.send(" ")
    child.expect_exact("paused at 2024-01-01 12:00:00Z")
    child.send(" ")
    child.expect_exact("COMPLETED")

    assert ended(child) == 0


def test_ctrl_c_ends_a_paused_run_in_order(project: Path) -> None:
    """It says how to force it, stores what there is and gives the terminal back."""
    child = steered(project, "--pause")
    child.expect_exact("paused at")
    child.sendintr()
    child.expect_exact("stopping; press Ctrl-C again to force")
    child.expect_exact("INTERRUPTED")

    assert ended(child) == 130
    assert any(".interrupted-" in name for name in run_names(project))


def test_q_ends_a_run_and_an_open_question_with_it(project: Path) -> None:
    """Ctrl-C while something is being typed ends the run, too."""
    child = steered(project, "--pause")
    child.expect_exact("paused at")
    child.send("q")
    child.expect_exact("INTERRUPTED")
    first = ended(child)
    child = steered(project, "--pause")
    child.expect_exact("paused at")
    child.send("b")
    child.expect("break when .*: ")
    child.sendintr()
    child.expect_exact("INTERRUPTED")

    assert (first, ended(child)) == (130, 130)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pause",), "need somebody at a terminal"),
        (("--run-to", "2024-01-01 12:00"), "need somebody at a terminal"),
        (("--break", "account.equity < 1"), "need somebody at a terminal"),
        (("--run-to", "noon"), "expected a date such as"),
        (("--break", "account.eqity < 3"), "did you mean 'equity'?"),
    ],
)
def test_without_a_terminal_no_run_is_paused(project: Path, words: tuple[str, ...], message: str, told: Told) -> None:
    """It would hang; it is refused before anything is loaded."""
    refused = told(*BACKTEST, *words, cwd=project)

    assert refused.code == 2
    assert message in refused.err
    assert run_names(project) == []


def test_a_wrong_condition_is_refused_before_the_run(project: Path) -> None:
    """With what was meant; nothing is stored, not even an interrupted run."""
    child = steered(project, "--break", "BTC.close > 1")
    child.expect_exact("did you mean 'BTCUSDT'?")

    assert ended(child) == 2
    assert run_names(project) == []


@pytest.mark.parametrize("words", [(), ("--pause",), ("--set", "backtest.runtime=fibers")])
def test_breakpoint_works_under_a_progress_bar_and_under_keys(
    project: Path, words: tuple[str, ...], told: Told
) -> None:
    """What draws and what reads steps aside, the answers go to the debugger, and the run ends with its digest."""
    digest = told(*BACKTEST, "--json", cwd=project).value["digest"][:16]
    (project / "asks.py").write_text(ASKS, encoding="utf-8")
    config = (project / "config.yaml").read_text(encoding="utf-8")
    changed = re.sub(r"my_strategy\.py:MyStrategy", "asks.py:MyStrategy", config)
    assert changed != config
    (project / "config.yaml").write_text(changed, encoding="utf-8")

    child = steered(project, *words)
    if "--pause" in words:
        child.expect_exact("paused at")
        child.send(" ")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        child.expect_exact(f"worker:{symbol} at 2024-01-01")
        child.expect_exact("(Pdb) ")
        child.sendline("p bar.close")
        child.expect(r"\d+\.\d+")
        child.expect_exact("(Pdb) ")
        child.sendline("c")
    child.expect_exact("COMPLETED")

    assert digest_of(child) == digest
    assert ended(child) == 0
