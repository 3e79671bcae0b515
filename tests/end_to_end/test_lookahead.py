"""`lookahead` from the command line: what it prints, and how it ends."""

from pathlib import Path

import pytest

from tests.end_to_end.command import Told, run, run_names
from tests.research.lookahead.bots import write_project

pytestmark = pytest.mark.slow


def test_a_look_ahead_ends_with_4_and_is_named_in_a_table(tmp_path: Path) -> None:
    """What changes, when first, and that no look-back would mend it."""
    write_project(tmp_path, "NextClose")
    ended = run("lookahead", "--config", "config.yaml", "--edges", "1", "--starts", "1", cwd=tmp_path)

    assert ended.code == 4
    assert "NextClose on BTCUSDT: x = next changes with a perturbed future" in ended.out
    assert "NextClose on BTCUSDT: decisions change with a perturbed future" in ended.out
    assert "first change      2024-01-0" in ended.out
    assert "it reads bars that close later" in ended.out
    assert "1 of 1 depends on what was not known yet" in ended.err


def test_a_strategy_that_fails_by_itself_ends_with_1(tmp_path: Path, told: Told) -> None:
    """It was not compared; why stands on stderr."""
    write_project(tmp_path, "Broken")
    ended = told("lookahead", "--config", "config.yaml", cwd=tmp_path)

    assert ended.code == 1
    assert "Broken on BTCUSDT was not compared: the run itself fails" in ended.err
    assert "not compared" in ended.out


def test_the_delivered_strategies_pass(default_folder: Path, told: Told) -> None:
    """On four days of the default market; one object for programs, and nothing is stored."""
    runs = run_names(default_folder)
    words = ("--set", "backtest.end=2024-01-05", "--set", "backtest.data.store=days.duckdb")
    ended = told("lookahead", "--config", default_folder / "configs/default.yaml", *words, "--json", cwd=default_folder)

    assert (ended.code, ended.value["same"], ended.value["exit_code"]) == (0, True, 0)
    assert [pair["strategy"] for pair in ended.value["pairs"]] == ["sma_cross", "sma_cross", "breakout"]
    assert all(pair["decisions"] and pair["later_starts"] for pair in ended.value["pairs"])
    assert ended.value["pairs"][0]["features"] == ["f = sma(20,close)", "s = sma(50,close)", "atr = atr(14)"]
    assert run_names(default_folder) == runs
