"""What the command `results` finds, prints and hands to programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.artifacts.trial_ledger import LEDGER
from src.backtesting.result import Outcome
from src.cli.app import main
from src.cli.output import Output
from src.cli.results_command import show_ranking
from tests.cli.small import CONFIG
from tests.research.suite.stored import stored_run, stored_suite


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration whose folder for runs holds the results of four runs over two labels."""
    (tmp_path / "configs").mkdir()
    path = tmp_path / "configs" / "bot.yaml"
    path.write_text("backtest: {runs: ../runs}\n")
    runs = tmp_path / "runs"
    named: list[Any] = [
        (stored_run(runs, {"at": [fast, slow]}, fast, slow, -1.5), {"fast": fast, "slow": slow, "costs": "low"})
        for fast in (1, 2) for slow in (8, 9)
    ]  # fmt: skip
    stored_suite(runs / "results.duckdb", "demo", runs, *named)
    return path


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any, str]:
    """The exit code, the JSON object, and what people are told."""
    code = main(["results", *words, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def test_programs_get_each_row_with_labels_and_figures(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trials and deflated Sharpe beside the Sharpe."""
    code, found, _ = told(capsys, "--config", str(config), "--top", "2", "--where", "slow = 9")

    assert (code, found["total"], found["labels"], found["by"], found["order"]) == (
        0, 2, ["fast"], "sharpe", "descending",
    )  # fmt: skip
    assert [(row["rank"], row["labels"]["fast"], row["trades"], row["trials"]) for row in found["rows"]] == [
        (1, 2, 3, 4), (2, 1, 3, 4),
    ]  # fmt: skip
    assert 0 < found["rows"][1]["deflated_sharpe"] < found["rows"][0]["deflated_sharpe"] < 1
    assert found["ledger"] == str(config.parent.parent / "runs" / LEDGER)


def test_people_get_a_table_with_the_labels_that_vary(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The column that decides is among them; what is the same everywhere is not."""
    assert main(["results", "--config", str(config), "--by", "calmar", "--top", "1"]) == 0

    head, row, order, why = capsys.readouterr().out.splitlines()
    assert head.split() == [
        "rank", "name", "fast", "slow", "trades", "net", "return", "max", "drawdown", "sharpe", "deflated", "trials",
        "calmar",
    ]  # fmt: skip
    assert row.split()[:5] == ["1", "run-3", "2", "9", "3"]
    assert order == "1 of 4 runs by calmar, highest first"
    assert why.startswith("deflated: the probability")


def test_a_ranking_by_what_no_run_has_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A window of a day has no Sharpe ratio, and the order would mean nothing."""
    named: Any = (stored_run(tmp_path, {"at": 1}), {"fast": 1})
    stored_suite(tmp_path / "results.duckdb", "demo", tmp_path, named)

    assert main(["results", "--results", str(tmp_path / "results.duckdb")]) == 0
    assert "no run has a sharpe: it needs two days, and such that differ; name another" in capsys.readouterr().out


def test_a_heat_map_is_two_axes_and_rows(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One row of values for each y."""
    code, found, people = told(capsys, "--config", str(config), "--heatmap", "fast,slow", "--of", "net")

    assert code == 0
    assert {name: found[name] for name in ("x", "y", "values", "x_name", "y_name", "of")} == {
        "x": [1, 2], "y": [8, 9], "values": [[7.5, 8.5], [8.5, 9.5]], "x_name": "fast", "y_name": "slow", "of": "net",
    }  # fmt: skip
    assert [line.split() for line in people.splitlines()[1:3]] == [["8", "7.50", "8.50"], ["9", "8.50", "9.50"]]


@pytest.mark.parametrize("line", ["", "results: ../elsewhere/mine.duckdb\n"])
def test_a_manifest_leads_to_its_results_too(config: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    """They are in the folder for runs of its base, or where it says; the ledger stays with the runs."""
    manifest, runs = config.with_name("suite.yaml"), config.parent.parent / "runs"
    manifest.write_text(f"base: bot.yaml\n{line}")
    if line:
        (config.parent.parent / "elsewhere").mkdir()
        (runs / "results.duckdb").rename(config.parent.parent / "elsewhere" / "mine.duckdb")

    code, found, _ = told(capsys, "--config", str(manifest))

    assert (code, found["total"], found["ledger"]) == (0, 4, str(runs / LEDGER))


def test_the_database_can_be_named_itself(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The ledger is the one beside it; where there is none, people are told what is counted instead."""
    runs = config.parent.parent / "runs"
    (runs / LEDGER).unlink()

    code, found, people = told(capsys, "--results", str(runs / "results.duckdb"), "--suite", "demo")

    assert (code, found["total"], found["ledger"], found["rows"][0]["trials"]) == (0, 4, None, 4)
    assert f"there is no trial ledger {runs / LEDGER}" in people


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--heatmap", "fast"], "expected two labels such as fast,slow, found 'fast'"),
        (["--of", "net"], "needs --heatmap X,Y"),
        (["--by", "shrp"], "did you mean 'sharpe'"),
        (["--where", "quick > 1"], "labels: fast, slow, costs"),
        (["--suite", "other"], "there are: demo"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    """Exit code 2, on stderr and in the JSON object."""
    code, found, people = told(capsys, "--config", str(config), *words)

    assert (code, found["exit_code"]) == (2, 2)
    assert sentence in people


def test_a_folder_without_results_says_which_command_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is made by looking."""
    path = tmp_path / "bot.yaml"
    path.write_text("name: bot\n")

    code, _, people = told(capsys, "--config", str(path))

    assert (code, "suite MANIFEST` runs a suite" in people) == (2, True)
    assert [each.name for each in tmp_path.iterdir()] == ["bot.yaml"]


def test_generated_bars_and_failed_runs_are_named_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A good result on a synthetic market says nothing, and a run without figures has a status."""
    sources = {"AAA": "SYNTHETIC seed 7 0123"}
    one = stored_run(tmp_path, {"n": 1}, 1, 2, sources=sources)
    two = stored_run(tmp_path, {"n": 2}, 1, 2, sources=sources, outcome=Outcome.FAILED)
    stored_suite(tmp_path / "results.duckdb", "demo", tmp_path, (one, {}), (two, {}))

    rows = show_ranking(tmp_path / "results.duckdb", Output(), suite="demo", top=5)

    captured = capsys.readouterr()
    assert [row["status"] for row in rows] == ["COMPLETED", "FAILED"]
    assert captured.out.splitlines()[2].split()[:4] == ["2", "run-1", "FAILED", "n/a"]
    assert "SYNTHETIC market" in captured.err


def test_a_backtest_whose_trial_cannot_be_recorded_is_stored_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run counts for more than its line; the sentence says what to do."""
    config = tmp_path / "small.yaml"
    config.write_text(CONFIG)
    (tmp_path / "runs" / LEDGER).mkdir(parents=True)

    code = main(["--mode", "backtest", "--config", str(config), "--set", "backtest.runtime=fibers", "--json"])

    captured = capsys.readouterr()
    assert (code, Path(json.loads(captured.out)["folder"]).is_dir()) == (0, True)
    assert f"this run is missing in the trial ledger {tmp_path / 'runs' / LEDGER}" in captured.err


@pytest.mark.slow
def test_a_single_backtest_is_a_trial_of_the_runs_of_suites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real thing: the line of a backtest counts for a stored run on the same data, and the same run once."""
    config = tmp_path / "small.yaml"
    config.write_text(CONFIG)
    for slow in (15, 16, 15):
        fast = ["--set", "backtest.runtime=fibers", "--set", f"strategies.0.params.slow={slow}"]
        assert main(["--mode", "backtest", "--config", str(config), *fast, "--quiet"]) == 0
    runs = tmp_path / "runs"
    one = stored_run(runs, {"n": 1}, 1, 2, -1, sources={"BTCUSDT": "SYNTHETIC seed 3 0123"})
    stored_suite(runs / "results.duckdb", "demo", runs, (one, {}))
    capsys.readouterr()

    _, found, _ = told(capsys, "--config", str(config))

    assert [row["trials"] for row in found["rows"]] == [3]
