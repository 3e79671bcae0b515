"""Whoever mistypes a word is told the one that was probably meant."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.cli.app import main
from tests.end_to_end.command import ROOT

RUN = "--mode backtest --config configs/default.yaml --set backtest.end=2024-01-02 --set backtest.data.store=none"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The delivered configurations in a folder of their own, with one run."""
    folder = tmp_path_factory.mktemp("mistyped")
    shutil.copytree(ROOT / "configs", folder / "configs")
    (folder / "runs" / "three-modes-live-1").mkdir(parents=True)
    (folder / "one").mkdir()
    for name in ("one/bot.yaml", "one/suite.yaml", "three.yaml", "one/market.duckdb"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        # a verb
        ("sutie configs/suite.yaml", "did you mean 'suite'?"),
        ("data synk", "did you mean 'sync'?"),
        ("delete --all", "did you mean 'data delete'?"),
        ("backtest", "--mode backtest`?"),
        ("backtst", "--mode backtest`?"),
        ("run configs/default.yaml", "--mode backtest`?"),
        ("configs/default.yaml", "--mode backtest --config configs/default.yaml`?"),
        # an option
        ("suite configs/suite.yaml --wrokers 2", "did you mean --workers?"),
        ("--mode backtest --confg x.yaml", "did you mean --config?"),
        ("--mode backtest --opne", "did you mean --open?"),
        ("explore --heatmap fast,slow", "it belongs to `results`"),
        # a value of an option
        ("--mode bakctest", "did you mean 'backtest'?"),
        ("status --mode papr", "did you mean 'paper'?"),
        ("verify --config configs/default.yaml --set backtest.end=2024-01-02 --only fibres", "did you mean 'fibers'?"),
        ("--mode backtest --data prices.csv --use sma_cross --kind cryto", "did you mean 'crypto'?"),
        ("data sync --source cvs:x --symbols A --start 2024-01-01", "did you mean 'csv'?"),
        ("suite configs/suite.yaml --executor proceses", "did you mean 'processes'?"),
        # a file, or a run
        ("suite configs/suit.yaml", "did you mean configs/suite.yaml?"),
        ("--mode backtest --config one", "did you mean one/bot.yaml or one/suite.yaml?"),
        ("--mode backtest --config one/two/three.yaml", "did you mean three.yaml?"),
        ("replay three-modes-live-2 --config configs/live.yaml", "did you mean 'three-modes-live-1'?"),
        ("export three-modes-live --config configs/live.yaml", "did you mean 'three-modes-live-1'?"),
        ("data list --store one/markt.duckdb", "did you mean one/market.duckdb?"),
        # a key, and a value
        (f"{RUN} --set risk.max_open_position=2", "did you mean 'max_open_positions'?"),
        (f"{RUN} --set backtest.cost.latency=1s", "did you mean 'costs'?"),
        (f"{RUN} --set backtest.runtime=fiber", "did you mean 'fibers'?"),
        (f"{RUN} --set backtest.limit_fill=thruogh", "did you mean 'through'?"),
        (f"{RUN} --set backtest.schedule=seded", "did you mean 'seeded'?"),
        ("--mode live --config configs/live.yaml --set live.broker=cctx", "did you mean 'ccxt'?"),
        # a symbol
        (f"{RUN} --set symbols=[BTCUSD]", "did you mean 'BTCUSDT'?"),
        (f"{RUN} --set strategies.0.symbols=[btcusdt]", "did you mean 'BTCUSDT'?"),
        ("close ETHUSD --config configs/live.yaml", "did you mean 'ETHUSDT'?"),
        # a strategy, and what belongs to it
        (f"{RUN} --set strategies.0.use=sma_cros", "did you mean 'sma_cross'?"),
        (f"{RUN} --set strategies.0.use=two_slot.py:Counting", "did you mean 'two_slots.py'?"),
        (f"{RUN} --set strategies.0.use=two_slots.py:Countng", "did you mean 'Counting'?"),
        (f"{RUN} --set strategies.0.use=two_slots", "did you mean 'two_slots.py'?"),
        (f"{RUN} --set strategies.0.params.fst=3", "did you mean 'fast'?"),
    ],
)
def test_a_mistyped_word_gets_the_one_that_was_meant(
    words: str, hint: str, clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verbs, options, files, keys, values, symbols and strategies; exit code 2."""
    monkeypatch.chdir(clone)
    code = main(shlex.split(words))
    said = " ".join(capsys.readouterr().err.split())

    assert (code, hint in said) == (2, True), said


def test_a_word_that_is_near_nothing_gets_no_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong guess would be worse than the list of what there is."""
    code = main(["qqq"])
    said = capsys.readouterr().err

    assert (code, "did you mean" in said, "--help` lists what there is" in said) == (2, False, True)


def test_a_file_with_another_name_is_not_suggested_for_its_ending(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every configuration ends with .yaml; that makes none of them the one that was meant."""
    monkeypatch.chdir(clone)
    code = main(shlex.split("--mode backtest --config one/nix.yaml"))

    assert (code, "did you mean" in capsys.readouterr().err) == (2, False)


def test_an_interpreter_without_the_packages_is_told_what_to_do() -> None:
    """A second terminal in which the environment was not activated is the commonest reason."""
    done = subprocess.run(
        [sys.executable, "-E", "-S", str(ROOT / "main.py"), "--mode", "backtest"],
        capture_output=True, encoding="utf-8", check=False, timeout=240,
    )  # fmt: skip

    assert done.returncode == 2
    assert "activate the environment" in done.stderr
    assert "Traceback" not in done.stderr
