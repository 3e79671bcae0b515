"""What the pages' pieces of Python are executed with, and what has to come of them.

Each function is given the text and an empty folder, which is the current one.
"""

import shutil
import threading
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from src.brokers.simulated import Commission, Costs, Slippage
from src.cli.app import main
from src.core.bars import Bar
from src.core.config import AccountConfig
from src.core.config_file import read_config
from src.core.instrument import Instrument
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, parse_instant, parse_timeframe
from src.data.mirror import read_mirror
from src.data.mirror_file import fingerprint_of_bars
from src.data.store import HistoricalDataStore
from src.research.suite.manifest import read_manifest
from src.research.validation.section import ValidationSection
from src.testing.broker_contract import cases_for
from src.testing.venue import Fault, FaultKind, LocalVenue
from src.testing.venue_client import client_of
from src.testing.worlds import bar_series, bot_config, build_world
from tests.brokers.contract_benches import ACCOUNTS, bench_factory
from tests.end_to_end.command import ROOT

__all__ = ["CODE", "MANIFESTS"]

START_NS = parse_instant("2024-01-02")
MINUTES = 240


class MyStrategy(BarStrategy):
    """Buys once, with a stop."""

    def on_bar(self, bar: Bar) -> None:
        """Buy at the second bar."""
        if self.position.is_flat and len(self.bars) == 2:
            self.buy(volume=2, stop=bar.close - 50)


def contract(text: str, folder: Path) -> None:
    """The test of the page holds for the simulated venue."""
    names: dict[str, Any] = {"pytest": pytest, "my_factory": bench_factory("virtual", ACCOUNTS["netting"][0])}
    exec(text, names)
    for case in cases_for(names["ABLE"])[:6]:
        names["test_my_adapter_keeps_to_the_contract"](case)


def steered(text: str, folder: Path) -> None:
    """The run pauses where more than one unit is held, and goes on for ten steps."""
    controller = build_world([bar_series("BTCUSDT", [100.0] * 60)], [MyStrategy])
    names: dict[str, Any] = {"controller": controller, "threading": threading}
    exec(text, names)
    assert controller.control.wait_paused(10)
    at_ns = controller.control.state.now_ns
    controller.control.resume()
    names["thread"].join(20)

    assert at_ns >= 10 * MINUTE_NS
    assert not names["thread"].is_alive()


def ticks(text: str, folder: Path) -> None:
    """Bars of the asks of a tape that was imported as the page says."""
    stamps = pd.date_range("2024-01-02", periods=600, freq="s", tz="UTC")
    ask = 1.1 + np.arange(600) / 1e4
    pd.DataFrame({"ts": stamps, "bid": ask - 0.0002, "ask": ask}).to_parquet("ticks.parquet")
    words = ["--symbol", "EURUSD", "--kind", "fx", "--store", "market.duckdb", "--quiet"]
    assert main(["data", "import", "ticks.parquet", *words]) == 0
    with HistoricalDataStore(Path("market.duckdb"), read_only=True) as store:
        names: dict[str, Any] = {"store": store, "parse_timeframe": parse_timeframe}
        exec(text, names)

    assert [float(each) for each in names["bars"].close] == pytest.approx([ask[59 + 60 * i] for i in range(10)])


def frames(text: str, folder: Path) -> None:
    """A frame with a zone, and one of local times."""
    index = pd.date_range("2024-01-02", periods=5, freq="min", tz="UTC")
    prices = dict.fromkeys(("open", "high", "low", "close"), 100.0)
    aware = pd.DataFrame(prices | {"volume": 1.0}, index)
    Path("data").mkdir()
    first, second = text.split('import_frame(frame, symbol="EURUSD"')
    names: dict[str, Any] = {"frame": aware, "Path": Path}
    exec(first, names)
    with HistoricalDataStore(Path("other.duckdb")) as store:
        names |= {"frame": aware.tz_localize(None), "store": store}
        exec(f'import_frame(frame, symbol="EURUSD"{second}', names)
        opened = store.list_series()[0]

    assert (opened.symbol, opened.price_side, opened.source) == ("EURUSD", "bid", "broker")


def write_market(folder: Path) -> None:
    """A store at its usual place with two days of three symbols, and its mirror."""
    rows = np.random.default_rng(3).normal(0, 0.001, 2 * 1440)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        close = 100 * np.exp(np.cumsum(rows))
        frame = pd.DataFrame({"timestamp": pd.date_range("2024-01-01", periods=len(rows), freq="min", tz="UTC")})
        frame["open"] = np.concatenate(([100.0], close[:-1]))
        frame["close"] = close
        frame["high"], frame["low"] = frame[["open", "close"]].max(axis=1), frame[["open", "close"]].min(axis=1)
        frame["volume"] = 1.0
        frame.to_csv(f"{symbol}.csv", index=False)
        words = ["--symbol", symbol, "--kind", "crypto", "--stamp", "open", "--price", "trade", "--quiet"]
        assert main(["data", "import", f"{symbol}.csv", *words]) == 0


def mirrored_files(text: str, folder: Path) -> None:
    """Each path of the page is one of the mirror."""
    write_market(folder)
    assert main(["data", "export", "--quiet"]) == 0

    assert [line for line in text.split() if not Path(line).is_file()] == []


def mirror(text: str, folder: Path) -> None:
    """The mirror is read with the fingerprint of the store."""
    write_market(folder)
    assert main(["data", "export", "--quiet"]) == 0
    expected = fingerprint_of_bars(read_mirror(Path("data/market.mirror"), "BTCUSDT", MINUTE_NS))
    names: dict[str, Any] = {"Path": Path, "parse_timeframe": parse_timeframe, "expected": expected}
    exec(text, names)

    assert names["bars"].loaded == 2 * 1440


def faults(text: str, folder: Path) -> None:
    """A bot that buys once survives each call that fails."""
    series = [bar_series("BTCUSDT", [100.0] * 20)]
    names: dict[str, Any] = {"build_world": build_world, "series": series, "MyStrategy": MyStrategy}
    exec(text, names | {"config": bot_config(["BTCUSDT"], [MyStrategy])})


def venue(text: str, folder: Path) -> None:
    """An order arrives, and a fault is planted."""
    pytest.importorskip("ccxt")
    bars = {"BTCUSDT": bar_series("BTCUSDT", [100.0] * MINUTES, "1m", START_NS - 60 * MINUTE_NS)}
    names: dict[str, Any] = {"LocalVenue": LocalVenue, "client_of": client_of, "Fault": Fault, "FaultKind": FaultKind}
    names |= {"bars": bars, "instruments": {"BTCUSDT": rules("perpetual", "")}, "start_ns": START_NS}
    exec(text, names)

    assert [each.endpoint for each in names["venue"].calls if "order" in each.endpoint.lower()] != []
    names["client"].close()


def spot_venue(text: str, folder: Path) -> None:
    """What is held afterwards is what the page says."""
    pytest.importorskip("ccxt")
    bars = {"BTCUSDT": bar_series("BTCUSDT", [100.0] * MINUTES, "1m", START_NS - 60 * MINUTE_NS)}
    costs = Costs(
        commission=Commission(percent=0.05), slippage=Slippage(), spread_percent=0.0, spread_points=0.0
    )  # fmt: skip
    names: dict[str, Any] = {"AccountConfig": AccountConfig, "bars": bars, "start_ns": START_NS}
    names["instruments"] = {"BTCUSDT": rules("spot", "BTC")}
    names |= {"client_of": client_of, "LocalVenue": lambda *words, **more: LocalVenue(*words, costs=costs, **more)}
    exec(text, names)
    names["client"].close()

    assert f"# {names['venue'].coins['BTC']:.4f}," in text


def rules(kind: str, base: str) -> Instrument:
    """Those of BTCUSDT."""
    return Instrument(
        symbol="BTCUSDT", kind=kind, quote_currency="USDT", base_currency=base or None, tick=0.1, volume_step=0.001,
        min_volume=0.001, max_volume=5000.0, min_notional=1.0, fees_in_base=bool(base),
    )  # type: ignore[arg-type]  # the kind is one of two words  # fmt: skip


def verdicts(text: str, folder: Path) -> None:
    """The question is one that the database of verdicts answers."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    few = ["--set", "candidates.generated.candidates=4", "--set", "candidates.generated.planted=1"]
    assert main(["walkforward", "configs/validate.yaml", "--quiet", "--workers", "1", *few]) == 0
    with duckdb.connect("runs/validation.duckdb", read_only=True) as connection:
        found = connection.execute(text).fetchall()

    assert found == []  # the market of the delivered validation is SYNTHETIC


def suite(text: str, folder: Path) -> None:
    """A part of a manifest, over the delivered configuration."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy(ROOT / "configs" / "three_modes.py", folder / "configs" / "mine.py")
    rest = "" if "product:" in text else "product: {params: {fast: {from: 5, to: 30}}}\n"
    text = text.replace("mine.py:Mine", "mine.py:FixedValue")
    Path("configs/some.yaml").write_text(f"name: some\nbase: default.yaml\n{rest}{text}", encoding="utf-8")
    read_manifest(Path("configs/some.yaml"), [])


def validation(text: str, folder: Path) -> None:
    """Sections of a validation."""
    Path("some.yaml").write_text(f"name: some\n{text}", encoding="utf-8")
    read_config(Path("some.yaml")).validate(ValidationSection)


def reoptimisation(text: str, folder: Path) -> None:
    """The whole file of a validation that chooses again."""
    Path("some.yaml").write_text(text, encoding="utf-8")
    read_config(Path("some.yaml")).validate(ValidationSection)


CODE = {
    each.__name__: each
    for each in (contract, faults, frames, mirror, mirrored_files, spot_venue, steered, ticks, venue, verdicts)
}
MANIFESTS = {each.__name__: each for each in (reoptimisation, suite, validation)}
