"""`schedule: free` as its user meets it: refused where it makes no sense, loud where it runs, never taken for a run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.command import BACKTEST, MAIN, Ended, Told, run, run_names

pytestmark = pytest.mark.slow

FREE = ("--set", "backtest.schedule=free", "--set", "backtest.pace=100000000x")

SLOW = """
import time

from my_strategy import MyStrategy as Quick


class MyStrategy(Quick):
    def on_bar(self, bar):
        time.sleep(0.01)
        super().on_bar(bar)
"""


def free(project: Path, *words: str | Path, told: Told = run) -> Ended:
    """A free run of the project's configuration."""
    return told(*BACKTEST, *FREE, *words, cwd=project)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "set time_mode to REALTIME or FAST, or a pace such as 60x"),
        (("backtest.time_mode=FAST", "backtest.runtime=fibers"), "needs threads, which really run at once"),
    ],
)
def test_a_free_schedule_is_refused_without_a_pace_or_threads(
    project: Path, words: tuple[str, ...], sentence: str, told: Told
) -> None:
    """With exit code 2 and the way out, before anything is made."""
    settings = [part for word in ("backtest.schedule=free", *words) for part in ("--set", word)]

    ended = told(*BACKTEST, *settings, cwd=project)

    assert ended.code == 2
    assert sentence in ended.err
    assert run_names(project) == []


def test_a_free_run_says_loudly_what_it_is_and_is_numbered(project: Path, told: Told) -> None:
    """In the terminal, in the manifest, in the report; the second run stands beside the first."""
    ended = free(project)
    second = free(project, "--json", told=told)

    assert ended.code == second.code == 0, ended.err + second.err
    assert run_names(project) == ["free-1", "free-2"]
    assert ended.err.count("NON-DETERMINISTIC") == 2
    assert "NON-DETERMINISTIC" in ended.out
    assert "run id" not in ended.out
    assert (second.value["run_id"], second.value["deterministic"]) == ("free-2", False)
    folder = project / "runs" / "free-2"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["run_id"], manifest["deterministic"], manifest["policy"]) == ("free-2", False, "1:free")
    assert manifest["replay"] == second.value["replay"]
    assert "NON-DETERMINISTIC" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_printed_order_replays_to_one_run(project: Path, told: Told) -> None:
    """As a value of `backtest.schedule` it makes a deterministic run with an id of its own, each time the same."""
    replay = free(project, "--json", told=told).value["replay"]

    first, second = (told(*BACKTEST, "--set", f"backtest.schedule={replay}", "--json", cwd=project) for _ in range(2))

    assert first.code == second.code == 0, first.err + second.err
    assert first.value["deterministic"]
    assert (first.value["run_id"], first.value["digest"]) == (second.value["run_id"], second.value["digest"])
    assert run_names(project) == sorted(["free-1", first.value["run_id"]])


def test_two_processes_do_not_take_one_number(project: Path, told: Told) -> None:
    """Four free runs at once leave four whole folders."""
    command = [sys.executable, str(MAIN), "--mode", "backtest", "--config", "config.yaml", *FREE, "--quiet"]
    assert free(project, told=told).code == 0  # makes the market that all of them read
    running = [
        subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(3)
    ]

    errors = [process.communicate(timeout=400)[1].decode() for process in running]

    assert [process.returncode for process in running] == [0, 0, 0], errors
    assert run_names(project) == ["free-1", "free-2", "free-3", "free-4"]
    stored = [
        json.loads((project / "runs" / name / "manifest.json").read_text())["run_id"] for name in run_names(project)
    ]
    assert stored == run_names(project)


def test_the_trace_of_a_free_run_shows_turns_at_one_moment(project: Path) -> None:
    """Two workers whose bars take 10 ms each do not take turns."""
    (project / "slow_strategy.py").write_text(SLOW, encoding="utf-8")
    config = project / "config.yaml"
    config.write_text(
        config.read_text(encoding="utf-8").replace("my_strategy.py:", "slow_strategy.py:"), encoding="utf-8"
    )

    ended = free(project, "--trace", "trace.json", "--set", "backtest.end=2024-01-02")

    assert ended.code == 0, ended.err
    events = json.loads((project / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    names = {each["tid"]: each["args"]["name"] for each in events if each.get("name") == "thread_name"}
    turns = {
        worker: [
            (each["ts"], each["ts"] + each["dur"])
            for each in events
            if each.get("ph") == "X" and each["name"] == "turn" and names[each["tid"]] == worker
        ]
        for worker in ("worker:BTCUSDT", "worker:ETHUSDT")
    }
    both = sum(
        min(end, other_end) - max(begin, other_begin)
        for begin, end in turns["worker:BTCUSDT"]
        for other_begin, other_end in turns["worker:ETHUSDT"]
        if begin < other_end and other_begin < end
    )
    assert both > 0.5 * sum(end - begin for begin, end in turns["worker:BTCUSDT"])


def test_a_free_run_that_fails_is_kept_under_its_number(project: Path, told: Told) -> None:
    """The folder says so in its name, and the number is not given again."""
    (project / "my_strategy.py").write_text(
        "from src.core.strategy import BarStrategy\n\n\nclass MyStrategy(BarStrategy):\n"
        "    def on_bar(self, bar):\n        raise ValueError('as planned')\n",
        encoding="utf-8",
    )
    config = project / "config.yaml"
    text = config.read_text(encoding="utf-8").replace(", params: {fast: 10, slow: 30}", "")
    config.write_text(text, encoding="utf-8")

    first, second = (free(project, told=told) for _ in range(2))

    assert first.code == second.code == 1
    assert "as planned" in first.err
    assert run_names(project) == ["free-1.failed-1", "free-2.failed-1"]


def test_verify_refuses_a_free_schedule(project: Path, told: Told) -> None:
    """There is no digest to compare."""
    ended = told("verify", "--config", "config.yaml", *FREE, cwd=project)

    assert ended.code == 2
    assert "found free" in ended.err
