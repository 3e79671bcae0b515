"""A project to which symbols are added and from which they are removed, and bots in memory that lose one."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.result import BacktestResult
from src.backtesting.run import FinishedRun, PreparedRun, execute, prepare
from src.core.bars import Bar
from src.core.config_file import read_config
from src.core.journal import JournalRecord
from src.core.records import OrderEvent
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, parse_instant
from src.testing import bar_series, build_world
from tests.backtesting.engine.underway import PATIENCE_S, Underway

START = parse_instant("2024-01-01")

CONFIG = """\
name: small
account: {type: margin, currency: USDT, balance: 10_000, leverage: 3}
instruments:
  BTCUSDT: {kind: perpetual, tick: 0.1, volume_step: 0.001}
  ETHUSDT: {kind: perpetual, tick: 0.01, volume_step: 0.001}
  SOLUSDT: {kind: perpetual, tick: 0.01, volume_step: 0.01}
  ODDEUR: {kind: perpetual, currency: EUR}
symbols: [BTCUSDT, ETHUSDT]
strategies:
  - {use: sma_cross, timeframe: 5m, params: {fast: 5, slow: 15}}
risk: {size: {risk_percent: 0.5}, max_open_positions: 2}
manage: {on: bar_close, break_even: {at_r: 1}, trailing: {start_r: 1.5, distance_atr: 1}}
backtest:
  start: 2024-01-01
  end: 2024-01-01 12:00
  data: {source: synthetic, seed: 3}
  costs: {spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01}
"""

OWN = """
from src.core.strategy import BarStrategy

class Picky(BarStrategy):
    timeframe = "1m"

    def __init__(self):
        if self.symbol == "SOLUSDT":
            raise RuntimeError("not this one")

    def on_bar(self, bar):
        return

class Sleeper(BarStrategy):
    timeframe = "1m"

    def on_bar(self, bar):
        if self.symbol == "BTCUSDT" and len(self.bars) == 30:
            self.clock.sleep(30_000_000_000)
        if self.position.is_flat:
            self.buy(stop=bar.close * 0.98)
        elif len(self.bars) % 7 == 0:
            self.close()
"""

#: Steps that the tests add to and remove from: (instant, action, symbol).
Change = tuple[str, str, str]
JOIN: Change = ("2024-01-01T04:00Z", "add", "SOLUSDT")
LEAVE: Change = ("2024-01-01T08:00Z", "remove", "ETHUSDT")


def make_project(folder: Path) -> Path:
    """A project with its generated market in an empty folder."""
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    prepare(read_config(folder / "config.yaml"), stored=False)
    return folder


def planned(*changes: Change) -> str:
    """The override that plans changes."""
    items = ", ".join(f"{{at: {at}, {action}: {symbol}}}" for at, action, symbol in changes)
    return f"backtest.control=[{items}]"


def prepared(project: Path, *overrides: str) -> PreparedRun:
    """The project's run with overrides."""
    return prepare(read_config(project / "config.yaml", list(overrides)))


def finished(project: Path, *overrides: str) -> FinishedRun:
    """The project's run, carried out and stored."""
    return execute(prepared(project, *overrides), report=False)


def asked(project: Path, changes: Sequence[Change], *overrides: str) -> FinishedRun:
    """The same, with the changes asked for by another thread while the run stands still at their instants."""

    @contextmanager
    def watch(controller: BacktestController) -> Iterator[None]:
        def act() -> None:
            for at, action, symbol in changes:
                controller.run_to(at)
                assert controller.control.wait_paused(PATIENCE_S)
                (controller.add_symbol if action == "add" else controller.remove_symbol)(symbol)
            controller.resume()

        controller.pause()
        thread = threading.Thread(target=act, name="asks")
        thread.start()
        try:
            yield
        finally:
            thread.join(PATIENCE_S)

    return execute(prepared(project, *overrides), watch=watch, report=False)


def control_of(run: FinishedRun) -> list[dict[str, Any]]:
    """What stands in the run's `control.jsonl` about symbols."""
    lines = (run.folder / "control.jsonl").read_text(encoding="utf-8").splitlines()
    return [entry for entry in map(json.loads, lines) if entry["action"].endswith("_symbol")]


def inputs_of(run: FinishedRun) -> list[dict[str, Any]]:
    """The changes among the inputs that the manifest shows."""
    manifest = json.loads((run.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["run_id"] == run.run_id == run.folder.name.partition(".")[0]
    changes: list[dict[str, Any]] = manifest["inputs"]["changes"]
    return changes


def decisions(result: BacktestResult, symbol: str) -> list[JournalRecord]:
    """What was decided on one symbol."""
    return [entry for entry in result.records if entry.stream == symbol and entry.kind == "decision"]


class Holder(BarStrategy):
    """Buys at its second bar with a stop, keeps a limit far below, and notes what it is told."""

    heard: list[str]

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 2:
            self.buy(volume=1, stop=90.0)
            self.buy(volume=1, limit=50.0)

    def on_order(self, event: OrderEvent) -> None:
        self.heard.append(f"{self.symbol} {event.order.state.value.lower()}")

    def on_stop(self) -> None:
        result = self.buy(volume=1)
        self.heard.append(f"{self.symbol} stops {result.code}")


class Idle(BarStrategy):
    """Does nothing."""

    def on_bar(self, bar: Bar) -> None:
        return


ROWS = [100.0] * 6 + [99.0] * 6 + [80.0] * 3


def holder(**how: Any) -> tuple[BacktestController, list[str]]:
    """Two symbols that both hold, and what they hear."""
    heard: list[str] = []
    cls = type("Holder", (Holder,), {"heard": heard})
    return build_world([bar_series("AAA", ROWS), bar_series("BBB", ROWS)], [cls], **how), heard


def removing(controller: BacktestController, symbol: str, minute: int) -> BacktestResult:
    """Run, and remove a symbol after so many minutes."""
    controller.run_to(START + minute * MINUTE_NS)
    with Underway(controller) as run:
        run.paused_at()
        controller.remove_symbol(symbol)
        return run.finished()
