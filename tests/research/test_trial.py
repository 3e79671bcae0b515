"""Trials: one run under given conditions, in this process and in others."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from src.core.errors import ConfigError
from src.research.trial import Trial, TrialResult, run_trial, run_trials
from tests.research.projects import write_project


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of projects whose markets are made once."""
    return tmp_path_factory.mktemp("projects")


def trial(folder: Path, bot: str = "Healthy", **conditions: Any) -> Trial:
    """A trial of the project of a bot, in a folder of its own."""
    return Trial(path=str(write_project(folder / bot, bot)), **conditions)


def test_a_trial_has_the_figures_of_its_run(projects: Path) -> None:
    """Digest, outcome and figures come back; records only when they were asked for."""
    result = run_trial(trial(projects))

    assert (result.outcome, result.error, result.records, result.replay) == ("COMPLETED", "", (), "1:fifo")
    assert result.trades
    assert result.net is not None
    assert result.profit == pytest.approx(result.net)
    assert result.final_equity == pytest.approx(10_000_000 + result.net)


def test_a_trial_stores_nothing(tmp_path: Path) -> None:
    """Beside the synthetic market nothing appears in the project, not even the folder for runs."""
    run_trial(trial(tmp_path))

    folders = [path.name for path in (tmp_path / "Healthy").iterdir() if path.is_dir()]
    assert [name for name in folders if name != "__pycache__"] == []


def test_the_market_is_read_once_for_many_trials(tmp_path: Path) -> None:
    """The second trial asks nothing of the store any more."""
    one = trial(tmp_path)
    first = run_trial(one)
    (tmp_path / "Healthy" / "market.duckdb").unlink()

    assert run_trial(one).key == first.key
    assert not (tmp_path / "Healthy" / "market.duckdb").exists()


def test_no_state_of_a_users_module_passes_to_the_next_trial(projects: Path) -> None:
    """The strategies' files are executed anew."""
    one = trial(projects, "Remembering")

    assert run_trial(one).key == run_trial(one).key


@pytest.mark.slow
@pytest.mark.parametrize(
    "conditions",
    [{"runtime": "fibers"}, {"every_step": True}, {"pace": "10000000x"}, {"pace": "10000000x", "pace_every": 100}],
    ids=str,
)
def test_what_must_not_matter_does_not(projects: Path, conditions: dict[str, Any]) -> None:
    """Runtime, idle turns and pace leave the result as it is."""
    assert run_trial(trial(projects, **conditions)).key == run_trial(trial(projects)).key


@pytest.mark.slow
def test_every_step_really_gives_everybody_a_turn(projects: Path) -> None:
    """1,440 steps and more, and two workers: without the idle turns there are far fewer."""
    plain, idle = run_trial(trial(projects)), run_trial(trial(projects, every_step=True))

    assert plain.turns < 1_000 < 2 * 1_440 <= idle.turns


@pytest.mark.slow
def test_a_pace_really_takes_time(projects: Path) -> None:
    """A day at half a million times its speed takes its share of real time, also when kept at few of the steps."""
    assert run_trial(trial(projects, pace="500000x", pace_every=288)).seconds >= 86_400 / 500_000


def test_a_kept_schedule_repeats_the_run(projects: Path) -> None:
    """The replay string of a seeded run gives its very records."""
    seeded = run_trial(trial(projects, schedule="1:seeded:3", keep_schedule=True, keep_records=True))
    again = run_trial(trial(projects, schedule=seeded.replay, keep_records=True))

    assert seeded.replay.startswith("1:turns")
    assert again.records == seeded.records != ()


def test_another_order_of_symbols_is_a_condition(projects: Path) -> None:
    """A bot that counts all entries gives the first volume to whoever comes first."""
    one = run_trial(trial(projects, "Remembering"))
    other = run_trial(trial(projects, "Remembering", symbols=("ETHUSDT", "BTCUSDT")))

    assert one.digest != other.digest


def test_an_error_of_the_bot_is_a_result(projects: Path) -> None:
    """A strategy that raises ends its run as FAILED, with the sentence."""
    result = run_trial(trial(projects, "Failing"))

    assert result.outcome == "FAILED"
    assert result.error.startswith("StrategyError: ")
    assert "no volume today" in result.error


def test_what_a_bot_prints_does_not_reach_stdout(projects: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read stdout."""
    run_trial(trial(projects, "Printing"))

    printed = capsys.readouterr()
    assert (printed.out, "entering" in printed.err) == ("", True)


def test_a_result_survives_pickling(projects: Path) -> None:
    """It travels between processes."""
    result = run_trial(trial(projects, keep_records=True))

    assert pickle.loads(pickle.dumps(result)) == result


@pytest.mark.slow
def test_processes_give_the_results_of_this_one_in_the_order_of_the_trials(projects: Path) -> None:
    """Whatever ends first; and each is told of once."""
    trials = [trial(projects), trial(projects, schedule="1:seeded:3"), trial(projects, runtime="fibers")]
    told: dict[int, TrialResult] = {}
    results = run_trials(trials, 2, told.__setitem__)

    assert [result.key for result in results] == [run_trial(each).key for each in trials]
    assert [told[i].key for i in range(3)] == [result.key for result in results]


@pytest.mark.slow
def test_a_process_that_dies_fails_its_own_trial_only(projects: Path) -> None:
    """It is tried once more, then it is a failure without a digest; the others have their results."""
    healthy = trial(projects)
    results = run_trials([healthy, trial(projects, "Deadly"), healthy], 1)

    assert [result.outcome for result in results] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert (results[1].digest, "exit code 7" in results[1].error) == ("", True)


@pytest.mark.slow
def test_a_process_with_a_stuck_thread_takes_no_further_trial(projects: Path) -> None:
    """The stuck run is a result; the next one gets a process that nothing else goes on in."""
    stuck = trial(projects, "Stuck", overrides=("backtest.stall_timeout=1s",))
    results = run_trials([stuck, trial(projects)], 1)

    assert results[0].error.startswith("StalledThreadError: ")
    assert [result.outcome for result in results] == ["FAILED", "COMPLETED"]


@pytest.mark.slow
def test_a_trial_that_takes_too_long_is_ended(projects: Path) -> None:
    """Its process goes with it."""
    results = run_trials([trial(projects, pace="1x")], 1, deadline_s=1)

    assert (results[0].outcome, "no result within 1 s" in results[0].error) == ("FAILED", True)


@pytest.mark.slow
def test_a_run_that_cannot_begin_is_an_exception(projects: Path) -> None:
    """Also from another process, with its type and sentence."""
    with pytest.raises(ConfigError, match="unknown key"):
        run_trials([trial(projects, overrides=("backtest.sped=3",))], 1)
