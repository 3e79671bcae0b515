"""A project of two symbols and some hours, with bots that are healthy, broken in one way, or deadly."""

from pathlib import Path

BOTS = '''
"""Each enters now and then; what it enters with is where the broken ones differ."""

import os
import time

from src.core.bars import Bar
from src.core.strategy import BarStrategy

entered = []


class Healthy(BarStrategy):
    timeframe = "15m"

    def volume(self) -> float:
        return 1.0

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) % 6 == 0 and self.position.is_flat:
            self.buy(volume=self.volume(), stop=bar.close * 0.99, reason="sixth bar")
        elif len(self.bars) % 6 == 3 and self.position.is_long:
            self.close()


class Remembering(Healthy):
    """Depends on how often anybody entered since the file was executed."""

    def volume(self) -> float:
        entered.append(1)
        return float(len(entered))


class Hashing(Healthy):
    """Takes what a set of words happens to give first."""

    def volume(self) -> float:
        return float(next(iter({str(number) for number in range(1, 100)})))


class Addressing(Healthy):
    """Depends on where the interpreter put an object."""

    def volume(self) -> float:
        return 1.0 + id(self) // 16 % 10_007 * 0.001


class Hurrying(Healthy):
    """Depends on the real time of day."""

    def volume(self) -> float:
        return 1.0 + time.time_ns() // 1_000 % 10_007 * 0.001


class Failing(Healthy):
    def volume(self) -> float:
        raise ValueError("no volume today")


class Deadly(Healthy):
    """Ends its process, which no bot should."""

    def volume(self) -> float:
        os._exit(7)


class Stuck(Healthy):
    """Never gives its turn back."""

    def volume(self) -> float:
        while True:
            pass


class Printing(Healthy):
    def volume(self) -> float:
        print("entering")
        return 1.0
'''

LOCKING = '''
"""Holds a lock that no clock knows."""

import threading

from src.core.strategy import BarStrategy


class Locking(BarStrategy):
    timeframe = "15m"
    lock = threading.Lock()
'''

CONFIG = """
name: small
account: {{type: margin, currency: USDT, balance: 10_000_000, positions: netting, leverage: 3}}
instruments:
  BTCUSDT: {{kind: perpetual, tick: 0.1, volume_step: 0.001, min_volume: 0.001, calendar: 24/7}}
  ETHUSDT: {{kind: perpetual, tick: 0.01, volume_step: 0.001, min_volume: 0.001, calendar: 24/7}}
symbols: [BTCUSDT, ETHUSDT]
strategies:
  - {{use: "{file}:{bot}"}}
risk: {{size: {{volume: 1}}}}
on_error: stop_all
backtest:
  start: 2024-01-01
  end: 2024-01-02
  data: {{source: synthetic, seed: 7, store: market.duckdb}}
  costs: {{spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01, latency: 0s}}
"""


def write_project(folder: Path, bot: str) -> Path:
    """Write the project; its configuration is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bots.py").write_text(BOTS.lstrip(), encoding="utf-8")
    (folder / "locking.py").write_text(LOCKING.lstrip(), encoding="utf-8")
    config = folder / "config.yaml"
    config.write_text(
        CONFIG.format(file="locking.py" if bot == "Locking" else "bots.py", bot=bot).lstrip(), encoding="utf-8"
    )
    return config
