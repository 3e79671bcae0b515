"""The how-to pages: the file is written where they say, the line is put into its table, and their commands run.

These are docs/how-to/strategy.md, data-source.md, fill-model.md, schedule.md, broker.md, and docs/from-backtrader.md.
"""

import ast
import importlib.util
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from src.backtesting.schedules import POLICIES
from src.brokers.ccxt_broker import CcxtBroker
from src.brokers.simulated.limit_fills import LIMIT_FILLS
from src.cli.app import main
from src.data.sources import SOURCES
from src.live.brokers import BROKERS
from src.live.config import LiveConfig
from src.live.sources import live_source, needs_of
from src.testing.broker_contract import Bench, check
from src.testing.venue import KEY, SECRET, LocalVenue
from src.testing.worlds import bar_series
from tests.brokers import ccxt_benches
from tests.documentation.pages import Block, blocks, commands

BOT = """
name: bot
account: {currency: USDT, balance: 10_000, leverage: 3}
instruments:
  BTCUSDT: {venue: "BTC/USDT:USDT", kind: perpetual, tick: 0.1, volume_step: 0.001, min_volume: 0.001, calendar: 24/7}
symbols: [BTCUSDT]
strategies: [{use: sma_cross, timeframe: 15m}]
risk: {size: {equity_percent: 20}}
backtest:
  start: 2024-01-02
  end: 2024-01-04
  data: {source: synthetic, seed: 7, begins: 2023-12-28}
  costs: {spread_percent: 0, commission_percent: 0, slippage_percent: 0, latency: 0s}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def bot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small configuration in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot.yaml").write_text(BOT, encoding="utf-8")
    return tmp_path / "bot.yaml"


@pytest.fixture
def added(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[Block, Block, dict[str, str]], ModuleType]]:
    """Puts a page's file where its line says that it is, and the line into a table."""
    made: list[str] = []

    def add(file: Block, line: Block, table: dict[str, str]) -> ModuleType:
        ((name, target),) = ast.literal_eval(f"{{{line.text}}}").items()
        module, _, function = target.partition(":")
        path = tmp_path / f"{module}.py"
        path.write_text(file.text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(module, path)
        assert spec is not None
        assert spec.loader is not None
        found = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, module, found)
        spec.loader.exec_module(found)
        assert callable(getattr(found, function))
        monkeypatch.setitem(table, name, target)
        made.append(name)
        return found

    yield add
    assert made


def told(block: Block) -> None:
    """Every command of a block ends with 0."""
    for line in commands(block):
        words = shlex.split(line)
        assert words[:2] == ["python", "main.py"]
        assert main([*words[2:], *(["--edges", "1", "--starts", "1"] if "lookahead" in words else [])]) == 0, line


def put(bot: Path, block: Block) -> None:
    """Put the keys of a block into the configuration."""
    values = yaml.safe_load(bot.read_text(encoding="utf-8"))
    for key, value in yaml.safe_load(block.text).items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    bot.write_text(yaml.safe_dump(values), encoding="utf-8")


def test_a_strategy_is_added_tried_and_tested(bot: Path) -> None:
    """One file, one line, its commands, and its own test."""
    file, line, run, test = blocks("docs/how-to/strategy.md")
    (bot.parent / "pullback.py").write_text(file.text, encoding="utf-8")
    put(bot, line)
    told(run)
    names: dict[str, Any] = {}
    sys.path.insert(0, str(bot.parent))
    try:
        exec(test.text, names)
        names["test_a_fall_is_not_bought"]()
    finally:
        sys.path.remove(str(bot.parent))
        sys.modules.pop("pullback", None)


def test_a_source_is_added_and_synced_from(added: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Two days are stored, listed and found sound."""
    file, line, run = blocks("docs/how-to/data-source.md")
    added(file, line, SOURCES)
    told(run)

    assert "2,880" in capsys.readouterr().out


def test_a_fill_model_is_added_and_named(added: Any, bot: Path) -> None:
    """By its key in a file, and on the command line."""
    file, line, key, run = blocks("docs/how-to/fill-model.md")
    module = added(file, line, LIMIT_FILLS)
    told(run)
    put(bot, key)

    assert main(["--mode", "backtest", "--config", "bot.yaml", "--quiet"]) == 0
    assert module.make(probability=0.5, seed=1)("o1", 0) is True


def test_a_schedule_is_added_and_both_ways_to_name_it_are_one_run(added: Any, bot: Path) -> None:
    """One id, so one folder."""
    file, line, run = blocks("docs/how-to/schedule.md")
    added(file, line, POLICIES)
    told(run)

    assert len([path for path in (bot.parent / "runs").glob("*/") if not path.name.startswith(".")]) == 1


def test_a_broker_is_added_keeps_to_the_contract_and_is_what_a_bot_gets(
    added: Any, bot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cases run at the local venue with the class of the page, and `live.broker` names it."""
    pytest.importorskip("ccxt")
    file, line, key, test = blocks("docs/how-to/broker.md")
    module = added(file, line, BROKERS)
    assert issubclass(module.Careful, CcxtBroker)
    monkeypatch.setattr(ccxt_benches, "CcxtBroker", module.Careful)

    def careful_bench(run: Callable[[Bench], None]) -> None:
        with ccxt_benches.ccxt_bench() as bench:
            run(bench)

    names: dict[str, Any] = {"careful_bench": careful_bench}
    exec(test.text, names)
    for case in names["cases_for"](names["ABLE"])[::6]:
        names["check"] = check
        names["test_the_careful_broker_keeps_to_the_contract"](case)
    put(bot, key)
    bars = {"BTCUSDT": bar_series("BTCUSDT", [100.0] * 200, "1m", ccxt_benches.START_NS - 6_000_000_000_000)}
    with LocalVenue(
        bars, {"BTCUSDT": ccxt_benches.RULES}, ccxt_benches.START_NS, balance=10_000.0, leverage=3.0
    ) as venue:
        config = LiveConfig.model_validate(yaml.safe_load(bot.read_text(encoding="utf-8")))
        assert config.live is not None
        section = config.live.model_copy(update={"url": venue.url})
        keys = {"LOCKSTEP_BINANCEUSDM_DEMO_KEY": KEY, "LOCKSTEP_BINANCEUSDM_DEMO_SECRET": SECRET}
        source = live_source(config, section, needs_of(config, {}, None) if not config.strategies else _needs(config),
                             venue.now_ns, ccxt_benches.START_NS, keys)  # fmt: skip
        source.start()
        source.refresh()

        assert type(source).__name__ == "Careful"
        assert source.snapshot().account.balance == 10_000.0
        source.client.close()  # type: ignore[attr-defined]  # of the broker of the page


def _needs(config: LiveConfig) -> Any:
    from src.strategies.sma_cross import SmaCross

    return needs_of(config, {config.strategies[0].instance: SmaCross}, None)


def test_the_strategy_from_backtrader_runs(bot: Path) -> None:
    """The class and the configuration of docs/from-backtrader.md, with its command; the other one is Python too."""
    theirs, ours, config, run = blocks("docs/from-backtrader.md")
    (bot.parent / "cross.py").write_text(ours.text, encoding="utf-8")
    bot.write_text(config.text, encoding="utf-8")
    told(run)

    assert ast.parse(theirs.text)
