"""The schedule of a configuration: where it is refused, and what it does to the identity of a run."""

from pathlib import Path

import pytest

from src.backtesting.config import BacktestConfig
from src.backtesting.run import execute, prepare
from src.core.config_file import ConfigDocument, parse_config
from src.core.errors import ConfigError
from tests.cli.small import CONFIG


def small(folder: Path, *overrides: str) -> ConfigDocument:
    """The small configuration with overrides."""
    return parse_config(CONFIG, "small.yaml", folder, list(overrides))


@pytest.mark.slow
def test_a_schedule_takes_the_seed_of_the_backtest_unless_it_names_one(tmp_path: Path) -> None:
    """`seeded` has `backtest.seed`, `1:seeded:42` has 42, and the run's identity holds what was meant."""
    prepared = {
        text: prepare(small(tmp_path, f"backtest.schedule={text}", "backtest.seed=42"))
        for text in ("fifo", "1:fifo", "seeded", "1:seeded:42", "1:seeded:41", "preemptive", "1:turns:9m@0.1")
    }

    assert {text: each.manifest["policy"] for text, each in prepared.items()} == {
        "fifo": "1:fifo",
        "1:fifo": "1:fifo",
        "seeded": "1:seeded:42",
        "1:seeded:42": "1:seeded:42",
        "1:seeded:41": "1:seeded:41",
        "preemptive": "1:preemptive:42",
        "1:turns:9m@0.1": "1:turns:9m@0.1",
    }
    ids = {text: each.run_id for text, each in prepared.items()}
    assert ids["fifo"] == ids["1:fifo"]
    assert ids["seeded"] == ids["1:seeded:42"]
    assert len(set(ids.values())) == 5


def test_a_wrong_schedule_is_refused_with_its_line_beside_all_other_problems(tmp_path: Path) -> None:
    """It is a problem of the configuration like any other."""
    text = CONFIG.replace("backtest:\n", "backtest:\n  schedule: 1:seded:42\n").replace("10_000", "-1")
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "small.yaml", tmp_path).validate(BacktestConfig)

    assert len(caught.value.problems) == 2
    assert caught.value.problems[1].startswith(
        "small.yaml:8: backtest.schedule: expected a schedule among fifo, seeded"
    )
    assert caught.value.problems[1].endswith("found '1:seded:42'; did you mean '1:seeded:42'?")


@pytest.mark.slow
def test_a_replay_of_another_run_ends_as_a_wrong_configuration_and_stores_nothing(tmp_path: Path) -> None:
    """The decisions of a schedule that the run never comes to are no detail."""
    prepared = prepare(small(tmp_path, "backtest.schedule=1:turns:9m@0.1"))
    with pytest.raises(ConfigError, match="recorded from another configuration or version"):
        execute(prepared)

    assert [path.name for path in prepared.runs_dir.iterdir() if path.is_dir() and path.name == prepared.run_id] == []
