"""The first command of a new user: the default configuration, from the command to the folder."""

import shutil
from pathlib import Path

import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from tests.documentation.pages import block_of
from tests.end_to_end.command import BACKTEST, ROOT, Ended, Told, run

pytestmark = pytest.mark.slow

FILES = {
    "control.jsonl",
    "equity.parquet",
    "fills.parquet",
    "journal.parquet",
    "manifest.json",
    "metrics.json",
    "orders.parquet",
    "report.html",
    "run.log",
    "timing.json",
    "trades.parquet",
}


def test_the_default_run_completes_and_says_synthetic_with_its_seed(default_run: Ended) -> None:
    """Before the table and after it, nobody can take the market for a real one."""
    lines = default_run.out.splitlines()

    assert (default_run.code, default_run.err) == (0, "")
    assert lines[0].startswith("SYNTHETIC market, seed 7")
    assert any(line.startswith("COMPLETED on a SYNTHETIC market, seed 7") for line in lines)


def test_the_table_shows_gross_each_cost_net_and_risk(default_run: Ended) -> None:
    """The rows that a reader looks for are there."""
    wanted = ["Gross profit", "Spread", "Slippage", "Commission", "Net profit", "Buy and hold", "Trades", "Average R",
              "Max drawdown", "Sharpe", "Exposure"]  # fmt: skip

    assert [row for row in wanted if f" {row}" not in default_run.out] == []


def test_json_is_one_object_with_the_promised_keys(default_json: Ended) -> None:
    """Programs find each value under its name and with its type."""
    value = default_json.value
    types = {
        "run_id": str, "digest": str, "outcome": str, "fidelity": dict, "metrics": dict, "bars": int, "steps": int,
        "turns": int, "seconds": float, "bars_per_s": float, "folder": str, "synthetic": bool, "seed": int,
        "refusals": dict, "error": type(None),
    }  # fmt: skip

    assert default_json.code == 0
    assert {key: type(value.get(key)) for key in types} == types
    assert len(default_json.out.splitlines()) == 1


def test_the_default_run_trades_with_every_rule_in_use(default_json: Ended) -> None:
    """At least 100 trades; break-even and trailing stops end some; the position limit is contended."""
    value = default_json.value
    exits = value["metrics"]["exit_kinds"]

    assert value["metrics"]["trades"] >= 100
    assert min(exits["break_even"], exits["trailing"], value["refusals"]["max_open_positions"]) > 0


def test_the_run_folder_is_complete(default_json: Ended) -> None:
    """Every file that a run promises is there, and no other."""
    folder = Path(default_json.value["folder"])

    assert {path.name for path in folder.iterdir()} == FILES
    assert folder.name == default_json.value["run_id"]


def test_a_second_run_has_the_same_id_and_digest_under_another_hash_seed(
    default_run: Ended, default_json: Ended
) -> None:
    """Nothing depends on the order of hashes; the first run's folder stays the only one."""
    value = default_json.value
    folder = Path(value["folder"])

    assert f"run id  {value['run_id']}" in default_run.out
    assert f"digest  {value['digest'][:16]}" in default_run.out
    assert [path.name for path in folder.parent.glob("[!.]*/")] == [folder.name]


def test_fibers_give_the_digest_of_threads(default_folder: Path, default_json: Ended, told: Told) -> None:
    """What carries the participants is no input."""
    fibers = told(
        "--mode", "backtest", "--config", "configs/default.yaml", "--set", "backtest.runtime=fibers", "--json",
        cwd=default_folder,
    ).value  # fmt: skip

    assert [fibers[key] for key in ("run_id", "digest")] == [default_json.value[key] for key in ("run_id", "digest")]


def test_a_processor_without_vector_units_gives_the_same_run(tmp_path: Path, default_json: Ended) -> None:
    """The market is generated anew and traded with numpy's vector features and the locale switched: one digest."""
    features = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    environment = {"NPY_DISABLE_CPU_FEATURES": " ".join(features), "LC_ALL": "C", "TZ": "Asia/Kolkata"}
    words = ("--mode", "backtest", "--config", "configs/default.yaml", "--json")
    value = run(*words, cwd=tmp_path, env=environment).value

    assert [value[key] for key in ("run_id", "digest")] == [default_json.value[key] for key in ("run_id", "digest")]


def test_neither_pace_nor_runtime_nor_progress_changes_a_run(project: Path, told: Told) -> None:
    """Real delays, fibers and a progress bar are outside of everything that decides."""
    ways = [
        [],
        ["--set", "backtest.pace=500000x"],
        ["--set", "backtest.runtime=fibers", "--set", "backtest.pace=500000x"],
        ["--progress"],
    ]
    values = [told(*BACKTEST, *way, "--json", cwd=project).value for way in ways]

    assert len({(value["run_id"], value["digest"]) for value in values}) == 1
    assert {value["outcome"] for value in values} == {"COMPLETED"}


def test_without_a_config_the_delivered_one_is_used(
    tmp_path: Path, default_json: Ended, default_folder: Path, told: Told
) -> None:
    """`--mode backtest` alone finds `configs/default.yaml` from any folder."""
    store = default_folder / "data" / "synthetic.duckdb"
    places = ("--set", f"backtest.runs={tmp_path / 'runs'}", "--set", f"backtest.data.store={store}")
    value = told("--mode", "backtest", *places, "--json", "--quiet").value

    assert (value["run_id"], value["digest"]) == (default_json.value["run_id"], default_json.value["digest"])


def test_the_figures_in_the_readme_are_those_of_the_default_run(default_run: Ended) -> None:
    """A figure in the documentation stands beside the command that prints it, or it is wrong."""
    shown = [line.split() for line in block_of("README.md", "Trades").text.splitlines()]
    printed = [line.split() for line in default_run.out.splitlines()]

    assert shown
    assert [row for row in shown if row not in printed] == []
