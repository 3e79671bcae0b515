"""A market made so that every trade can be worked out by hand, and a bot that holds for ever.

One symbol, a bar an hour whose four prices are one, and a price that moves by a cent an hour: upwards in January and
February, downwards in March and April.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.timeframe import HOUR_NS, parse_instant
from src.data.store import HistoricalDataStore
from src.research.executors.port import Lost
from src.research.suite.task import forget_data

#: Spread, slippage twice and commission twice, of one unit.
COSTS = 0.2 + 2 * 0.05 + 2 * 0.03
BEGINS_NS, TURNS_NS = parse_instant("2023-12-20"), parse_instant("2024-03-01")

BOT = '''
"""Enters at the first bar that it sees and holds for ever; in some modes it does what no bot should."""

from src.core.bars import Bar
from src.core.features import Feature, FeatureView, sma
from src.core.strategy import BarStrategy, param

APRIL_NS = 1_711_929_600_000_000_000


class Holder(BarStrategy):
    timeframe = "1h"
    side: str = param("long")
    mode: str = param("well")

    average: FeatureView

    def features(self) -> dict[str, Feature]:
        return {"average": sma(48)}

    def on_bar(self, bar: Bar) -> None:
        assert self.average[-1] > 0
        if self.mode == "raising_in_april" and bar.open_ns >= APRIL_NS:
            raise ValueError("no mood for April")
        if self.position.is_flat and self.side == "long":
            self.buy(stop=bar.close - 20, reason="first")
        elif self.position.is_flat and self.side == "short":
            self.sell(stop=bar.close + 20, reason="first")
'''

BASE = """
name: holding
account: {type: margin, currency: USDT, balance: 1_000, positions: netting, leverage: 100}
instruments:
  BTCUSDT: {kind: perpetual, tick: 0.01, volume_step: 1, min_volume: 1, calendar: 24/7}
symbols: [BTCUSDT]
strategies:
  - {use: "bots.py:Holder"}
risk: {size: {volume: 1}}
on_error: stop_all
backtest:
  start: 2024-01-01
  end: 2024-05-01
  runtime: fibers
  data: {source: store, store: market.duckdb}
  costs: {spread_points: 0.2, slippage_points: 0.05, commission_per_unit: 0.03}
"""

CONFIG = """
reoptimise: {manifest: choices.yaml, objective: net, minimum_trades: 1}
walkforward: {windows: rolling, train_months: 1, test_months: 1}
"""

SIDES = "product: {params: {side: [short, long, none]}}"


def price_at(instant_ns: int) -> float:
    """The price of the bar that opens then."""
    hours = (min(instant_ns, TURNS_NS) - BEGINS_NS) // HOUR_NS - max(0, instant_ns - TURNS_NS) // HOUR_NS
    return round(100 + 0.01 * hours, 2)


def write_world(folder: Path) -> None:
    """Write the bot, the configurations and the store."""
    folder.mkdir(parents=True)
    (folder / "bots.py").write_text(BOT.lstrip(), encoding="utf-8")
    (folder / "base.yaml").write_text(BASE.lstrip(), encoding="utf-8")
    (folder / "choices.yaml").write_text(f"base: base.yaml\n{SIDES}\n", encoding="utf-8")
    stamps = np.arange(BEGINS_NS, parse_instant("2024-05-01"), HOUR_NS, dtype=np.int64)
    write_bars(folder / "market.duckdb", stamps, np.array([price_at(int(each)) for each in stamps]))


def write_bars(path: Path, stamps: IntArray, price: FloatArray) -> None:
    """A store of bars an hour long whose four prices are one."""
    with HistoricalDataStore(path) as store:
        bars = BarSeries("BTCUSDT", HOUR_NS, stamps, price, price, price, price, np.ones(len(price)))
        store.write_bars(bars, source="test", kind="crypto")


class Here:
    """An executor that makes each call in this process, for what does not depend on where runs are made."""

    workers = 1

    def __init__(self) -> None:
        self.losing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: Any) -> None:
        forget_data()

    def begin(self) -> None:
        """Nothing to start."""

    def each(self, function: Any, items: Iterable[Any], on_done: Any, *, at_once: int | None = None) -> None:
        """One after the other; each is lost where that is wanted."""
        for item in items:
            on_done(item, Lost(reason="it died", kind="died", attempts=2) if self.losing else function(item))
