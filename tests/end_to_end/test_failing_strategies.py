"""Strategies that raise, that hang, and users who press Ctrl-C: how the process ends and what it leaves."""

import sys
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.command import BACKTEST, MAIN, Told, backtest, run_names

pytestmark = pytest.mark.slow

RAISING = """
import threading

from src.core.strategy import BarStrategy, param

class Raising(BarStrategy):
    timeframe = "1m"
    at: int = param(0, low=0, high=10_000)

    def __init__(self):
        self.seen = 0
        if self.at == 0:
            raise ValueError("no constructor today")

    def on_bar(self, bar):
        self.seen += 1
        if self.symbol == "BTCUSDT" and self.seen == self.at:
            raise ValueError(f"bar {self.seen}")

class Talking(BarStrategy):
    timeframe = "1m"

    def on_start(self):
        print("hello from a strategy")

    def on_bar(self, bar):
        if self.bars.end >= 5:
            raise KeyboardInterrupt

class Stuck(BarStrategy):
    timeframe = "1m"

    def on_bar(self, bar):
        threading.Event().wait()
"""


@pytest.mark.parametrize("on_error", ["stop_all", "stop_symbol"])
@pytest.mark.parametrize("at", [0, 1, 1000])
def test_a_strategy_that_raises_ends_with_1_and_is_stored_as_not_completed(
    project: Path, at: int, on_error: str, told: Told
) -> None:
    """In its constructor, on bar 1, on bar 1000; the sentence names strategy, symbol and cause."""
    (project / "raising.py").write_text(RAISING, encoding="utf-8")
    strategy = f"strategies=[{{use: 'raising.py:Raising', params: {{at: {at}}}}}]"

    ended = told(*BACKTEST, "--set", strategy, "--set", f"on_error={on_error}", "--json", cwd=project)
    outcome = "FAILED" if on_error == "stop_all" else "DEGRADED"
    cause = "ValueError: no constructor today" if at == 0 else f"ValueError: bar {at}"

    assert (ended.code, ended.value["outcome"]) == (1, outcome)
    assert run_names(project) == [f"{ended.value['run_id']}.{outcome.lower()}-1"]
    assert all(part in ended.err for part in ("strategy Raising raised", cause, "BTCUSDT"))
    assert "Traceback" not in ended.err


def test_a_thread_that_never_comes_back_ends_the_process(project: Path) -> None:
    """The run is stored as FAILED, and the process ends although nothing can end the thread."""
    (project / "raising.py").write_text(RAISING, encoding="utf-8")
    words = ("--set", "strategies=[{use: 'raising.py:Stuck'}]", "--set", "backtest.stall_timeout=1s", "--json")

    ended = backtest(project, *words)

    assert (ended.code, ended.value["outcome"], ended.value["error"]["type"]) == (1, "FAILED", "StalledThreadError")
    assert run_names(project) == [f"{ended.value['run_id']}.failed-1"]


@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_ctrl_c_in_the_middle_stops_cleanly_and_keeps_what_was_simulated(project: Path) -> None:
    """Exit code 130, an INTERRUPTED folder, no process left."""
    pexpect = pytest.importorskip("pexpect", reason="no pseudo-terminals on this system")
    words = [str(MAIN), "--mode", "backtest", "--config", "config.yaml", "--set", "backtest.time_mode=FAST"]
    child = pexpect.spawn(sys.executable, words, cwd=str(project), encoding="utf-8", timeout=240, dimensions=(50, 120))
    child.expect("2024-01-01 00:0[1-9]")  # the progress bar shows that time moves
    child.sendintr()
    child.expect("INTERRUPTED on a SYNTHETIC market")
    child.expect(pexpect.EOF)
    child.close()
    names = run_names(project)

    assert (child.exitstatus, len(names), names[0].endswith(".interrupted-1")) == (130, 1, True)
    assert not psutil.pid_exists(child.pid)


def test_what_a_strategy_prints_or_interrupts_leaves_one_json_object(project: Path) -> None:
    """Its own words go to stderr, and an exception of any kind is the strategy's failure."""
    (project / "raising.py").write_text(RAISING, encoding="utf-8")

    ended = backtest(project, "--set", "strategies=[{use: 'raising.py:Talking'}]", "--json")

    assert (ended.code, ended.value["outcome"]) == (1, "FAILED")
    assert "raised KeyboardInterrupt" in ended.value["error"]["message"]
    assert "hello from a strategy" in ended.err
