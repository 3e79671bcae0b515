"""The short ways to a first result: `init`, and a file of bars with a strategy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.command import ROOT, Told, backtest, run, run_names

pytestmark = pytest.mark.slow

ANSWERS = ("--symbol", "XYZUSD", "--kind", "crypto", "--stamp", "open", "--price", "trade")


def csv(path: Path, step: float) -> None:
    """Two days of minutes that rise and fall by turns, so that averages cross."""
    rows, price = ["timestamp,open,high,low,close,volume"], 100.0
    for i in range(2 * 1440):
        close = price + (step if i // 240 % 2 else -step)
        high, low = max(price, close) + 0.01, min(price, close) - 0.01
        rows.append(
            f"2024-01-{1 + i // 1440:02d}T{i // 60 % 24:02d}:{i % 60:02d}:00Z,"
            f"{price:.3f},{high:.3f},{low:.3f},{close:.3f},5"
        )
        price = close
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_an_initialised_project_runs_and_its_own_tests_pass(project: Path) -> None:
    """The configuration trades, and `pytest` in the folder finds and passes two tests."""
    ended = backtest(project, "--json")
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip

    assert (ended.code, ended.value["outcome"], ended.value["metrics"]["trades"] > 0) == (0, "COMPLETED", True)
    assert "2 passed" in tests.stdout, tests.stdout


def test_the_tests_of_a_project_fail_when_its_strategy_is_wrong(project: Path) -> None:
    """They would be worth nothing if they passed with the two sides exchanged."""
    strategy = project / "my_strategy.py"
    text = strategy.read_text(encoding="utf-8")
    strategy.write_text(text.replace("crossed_above(self.f", "crossed_below(self.f", 1), encoding="utf-8")
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip

    assert tests.returncode == 1


def test_init_refuses_a_folder_that_is_not_empty(tmp_path: Path, told: Told) -> None:
    """Nothing is overwritten; the sentence names what is there."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    ended = told("init", ".")

    assert (ended.code, "found notes.txt in ." in ended.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_and_a_strategy_give_a_result_with_stated_assumptions(project: Path, told: Told) -> None:
    """Imported, run, shown with the costs that were assumed; the kept configuration gives the same run."""
    csv(project / "prices.csv", 0.05)
    words = ("--mode", "backtest", "--data", "prices.csv", "--use", "my_strategy.py:MyStrategy", *ANSWERS)

    ended = run(*words, "--save-config", "mine.yaml", cwd=project)
    kept = told("--mode", "backtest", "--config", "mine.yaml", "--json", cwd=project)

    assert (ended.code, kept.code) == (0, 0), ended.err + kept.err
    assert "assumed costs: spread_percent 0.02, commission_percent 0.1, slippage_percent 0.01" in ended.out
    assert "SYNTHETIC" not in ended.out
    assert f"run id  {kept.value['run_id']}" in ended.out
    assert run_names(project) == [kept.value["run_id"]]
    assert kept.value["metrics"]["trades"] > 0


def test_a_corrected_file_of_the_same_name_is_taken_afresh(project: Path, told: Told) -> None:
    """The short way has a store of its own for each file; bars of yesterday's version are not mixed in."""
    words = ("--mode", "backtest", "--data", "prices.csv", "--use", "sma_cross", *ANSWERS, "--json", "--quiet")
    csv(project / "prices.csv", 0.05)
    first = told(*words, cwd=project)
    csv(project / "prices.csv", 0.06)

    second = told(*words, cwd=project)

    assert (first.code, second.code) == (0, 0)
    assert first.value["run_id"] != second.value["run_id"]


def test_an_override_counts_in_the_short_way_too(project: Path, told: Told) -> None:
    """`--set` changes the configuration that was made, and a wrong key is refused as in a file."""
    csv(project / "prices.csv", 0.05)
    words = ("--mode", "backtest", "--data", "prices.csv", "--use", "sma_cross", *ANSWERS)

    free = told(*words, "--set", "backtest.costs.commission_percent=0", "--json", cwd=project)
    wrong = told(*words, "--set", "backtest.cost.commission_percent=0", cwd=project)

    assert free.value["metrics"]["commission"] == 0
    assert (wrong.code, "unknown key 'cost'; did you mean 'costs'?" in wrong.err) == (2, True)
