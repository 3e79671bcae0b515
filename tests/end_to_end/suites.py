"""A project of one suite: two symbols, one day, and a bot that does what its parameter says, well or deadly."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.core.errors import DataError
from src.research.suite.results import export_rows
from tests.end_to_end.command import MAIN, ROOT, Ended

BOTS = '''
"""Enters now and then; in some modes it does what no bot should."""

import ctypes
import os
import signal
import time
from pathlib import Path

from src.core.bars import Bar
from src.core.features import Feature, FeatureView, sma
from src.core.strategy import BarStrategy, param

HERE = Path(__file__).parent
held = []


class Moody(BarStrategy):
    timeframe = "15m"
    length: int = param(5, low=2, high=60)
    every: int = param(6, low=2, high=50)
    mode: str = param("well")

    average: FeatureView

    def features(self) -> dict[str, Feature]:
        return {"average": sma(self.length)}

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 70 and self.symbol == "BTCUSDT":
            getattr(self, self.mode)()
        if len(self.bars) % self.every == 0 and self.position.is_flat and bar.close > self.average[-1]:
            self.buy(stop=bar.close * 0.99, reason="above")
        elif len(self.bars) % self.every == self.every // 2 and self.position.is_long:
            self.close()

    def well(self) -> None:
        pass

    def raising(self) -> None:
        raise ValueError("no mood for it")

    def crashing(self) -> None:
        ctypes.string_at(0)

    def killing(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def killing_once(self) -> None:
        mark = HERE / "killed"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def killing_without_go(self) -> None:
        if not (HERE / "go").exists():
            os.kill(os.getpid(), signal.SIGKILL)

    def spinning(self) -> None:
        while True:
            time.sleep(0.02)

    def eating(self) -> None:
        while True:
            held.append(b"x" * (1 << 24))

    def holding(self) -> None:
        (HERE / "holding").touch()
        while not (HERE / "go").exists():
            time.sleep(0.02)
'''

CONFIG = """
name: small
account: {type: margin, currency: USDT, balance: 10_000_000, positions: netting, leverage: 3}
instruments:
  BTCUSDT: {kind: perpetual, tick: 0.1, volume_step: 0.001, min_volume: 0.001, calendar: 24/7}
  ETHUSDT: {kind: perpetual, tick: 0.01, volume_step: 0.001, min_volume: 0.001, calendar: 24/7}
symbols: [BTCUSDT, ETHUSDT]
strategies:
  - {use: "bots.py:Moody"}
risk: {size: {volume: 1}}
on_error: stop_all
backtest:
  start: 2024-01-02
  end: 2024-01-03
  runtime: fibers
  data: {source: STORED}
  costs: {spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01, latency: 0s}
"""

STORED = "store, store: market.duckdb"
GENERATED = "synthetic, seed: 7, begins: 2024-01-01, store: market.duckdb"


def write_project(folder: Path, *, data: str = GENERATED) -> Path:
    """Write the bots and the configuration; the folder is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bots.py").write_text(BOTS.lstrip(), encoding="utf-8")
    (folder / "config.yaml").write_text(CONFIG.replace("STORED", data).lstrip(), encoding="utf-8")
    return folder


def write_manifest(folder: Path, *, name: str = "suite", more: str = "", runs: Iterable[dict[str, Any]] = ()) -> Path:
    """Write a manifest of runs by hand, each a name and what it sets; `more` is YAML."""
    lines = [f"name: {name}", "base: config.yaml", more, "runs:"]
    lines += [f"  - {json.dumps({'name': run.pop('name'), 'set': run})}" for run in map(dict, runs)]
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def moody(name: str, mode: str = "well", **params: Any) -> dict[str, Any]:
    """A run of that bot."""
    return {"name": name, **{f"strategies.0.params.{key}": value for key, value in {"mode": mode, **params}.items()}}


def rows_of(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of the results database, in order."""
    return export_rows(folder / "runs" / "results.duckdb")


def index_of(folder: Path, suite: str = "suite") -> dict[str, Any]:
    """The index of the only suite of that name."""
    (path,) = (folder / "runs" / "suites").glob(f"{suite}-*/index.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def runs_stored(folder: Path) -> int:
    """How many runs the database has; 0 where there is none yet."""
    try:
        return len(rows_of(folder)["runs"])
    except DataError:
        return 0


@contextmanager
def background(*words: str | Path, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """`python main.py WORDS` beside the test; killed at the end where it still runs."""
    process = subprocess.Popen(
        [sys.executable, str(MAIN), *map(str, words)], cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, encoding="utf-8",
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def python(program: str, *words: str, cwd: Path) -> Ended:
    """`python -c PROGRAM ROOT WORDS`, where the root of the repository is for `sys.path`."""
    done = subprocess.run(
        [sys.executable, "-c", program, str(ROOT), *words], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
        encoding="utf-8", timeout=500, check=False,
    )  # fmt: skip
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)
