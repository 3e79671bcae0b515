"""`--strict` from the command line, and what `runtime: fibers` refuses before a run begins."""

import json
from pathlib import Path

import pytest

from src.cli.app import main
from tests.cli.small import CONFIG

READING = """
import time
from datetime import datetime as moment

from src.core.strategy import BarStrategy


class Reading(BarStrategy):
    timeframe = "1h"

    def on_bar(self, bar):
        moment.now()
        if self.bars.end % 2:
            time.sleep(0)


class Calm(BarStrategy):
    timeframe = "1h"
"""

LOCKED = """
from src.core.strategy import BarStrategy
from shared import GUARD


class Locked(BarStrategy):
    timeframe = "1h"

    def on_bar(self, bar):
        with GUARD:
            pass
"""

SHARED = """
import threading

GUARD = threading.Lock()
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A day of one symbol, with strategies of the user's own beside it."""
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    for name, text in (("reading.py", READING), ("locked.py", LOCKED), ("shared.py", SHARED)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return path


def backtest(config: Path, use: str, *words: str, runtime: str = "fibers") -> int:
    """`--mode backtest` with that strategy."""
    strategies = f"strategies=[{{use: '{use}'}}]"
    return main(
        ["--mode", "backtest", "--config", str(config), "--set", f"backtest.runtime={runtime}"]
        + ["--set", "risk={size: {volume: 0.1}}", "--set", strategies, *words]
    )


@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_findings_are_listed_and_end_a_good_run_with_4(
    config: Path, runtime: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """File and line, participant, count and advice on stderr; the run is stored like any other."""
    code = backtest(config, "reading.py:Reading", "--strict", "--json", runtime=runtime)
    out, err = capsys.readouterr()
    value = json.loads(out)

    assert (code, value["exit_code"], value["outcome"]) == (4, 4, "COMPLETED")
    assert [(Path(f["file"]).name, f["line"], f["call"], f["count"]) for f in value["strict"]["findings"]] == [
        ("reading.py", 12, "datetime.datetime.now()", 24),
        ("reading.py", 14, "time.sleep()", 12),
    ]
    assert "reading.py:14: worker:BTCUSDT called time.sleep() 12 times; write self.clock.sleep(duration_ns)" in err
    assert "numpy.datetime64('now')" in err
    assert "strict" not in json.loads((Path(value["folder"]) / "manifest.json").read_text(encoding="utf-8"))


def test_strict_mode_changes_neither_run_id_nor_digest(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the same run, only somebody looked."""
    values = []
    for words in (["--json"], ["--json", "--strict"]):
        backtest(config, "reading.py:Reading", *words)
        values.append(json.loads(capsys.readouterr().out))

    assert values[0]["run_id"] == values[1]["run_id"]
    assert values[0]["digest"] == values[1]["digest"]
    assert (values[0]["exit_code"], values[0]["strict"]) == (0, None)


def test_a_strategy_that_keeps_to_the_clock_passes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0, and what could not be seen is still said."""
    code = backtest(config, "reading.py:Calm", "--strict")
    out, err = capsys.readouterr()

    assert code == 0
    assert "asked nothing of the real clock" in err
    assert "strict mode cannot see" in err


def test_a_shipped_strategy_counts_as_user_code_and_passes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are what users copy."""
    code = main(["--mode", "backtest", "--config", str(config), "--strict", "--json"])

    assert (code, json.loads(capsys.readouterr().out)["strict"]["findings"]) == (0, [])


def test_fibers_refuse_real_locks_also_in_a_module_beside_the_strategy(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything runs: file, line, and what to write instead."""
    code = backtest(config, "locked.py:Locked")
    out, err = capsys.readouterr()

    assert (code, out) == (2, "")
    assert "shared.py:4: threading.Lock; write self.clock.lock()" in err
    assert not (config.parent / "runs").exists()


def test_threads_allow_real_locks_and_strict_mode_names_them(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it was made and where it is used."""
    assert backtest(config, "locked.py:Locked", "--quiet", runtime="threads") == 0
    code = backtest(config, "locked.py:Locked", "--strict", "--quiet", runtime="threads")
    err = capsys.readouterr().err

    assert code == 4
    assert "shared.py:4: names threading.Lock()" in err
    assert "locked.py:10: worker:BTCUSDT called `with` on a real lock 24 times" in err
