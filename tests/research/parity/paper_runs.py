"""A short run on paper against the local venue, recorded as every run is."""

from pathlib import Path

import numpy as np

from src.core.config_file import read_config
from src.core.timeframe import MINUTE_NS
from src.live.config import PAPER, read_live_config
from src.live.session import LiveOptions, LiveSession
from src.strategies import load_strategy
from tests.patient_time import patient_time
from tests.testing.venues import make_venue

__all__ = ["CONFIG", "record_paper_run"]

#: So that a machine that is busy for a second does not make it miss a minute.
SPEED = 40.0
MINUTES = 5

CONFIG = """
name: flip
account: {currency: USDT, balance: 10000, leverage: 5}
instruments:
  BTCUSDT: {kind: perpetual, tick: 0.1, volume_step: 0.001, min_volume: 0.002, min_notional: 5}
  ETHUSDT: {kind: perpetual, tick: 0.1, volume_step: 0.001, min_volume: 0.002, min_notional: 5}
symbols: [BTCUSDT, ETHUSDT]
strategies: [{use: "flip.py:Flip", timeframe: 1m}]
risk: {size: {volume: 1}, max_open_positions: 1}
backtest:
  start: 2024-01-02
  end: 2024-01-03
  costs: {spread_percent: 0, commission_percent: 0.05, slippage_percent: 0}
  data: {store: market.duckdb}
live: {exchange: binanceusdm, environment: demo, max_age: 200s}
paper: {exchange: binanceusdm, url: "URL", speed: SPEED, poll: 2s}
"""

_STRATEGY = '''
"""In at every third bar, out two bars later; the stop follows the bar."""

from src.core.strategy import BarStrategy


class Flip(BarStrategy):
    """See above."""

    timeframe = "1m"

    def on_bar(self, bar):
        number = bar.open_ns // 60_000_000_000
        if self.position.is_flat and number % 3 == 0:
            self.buy(volume=1.0, stop=round(bar.close * 0.9, 1))
        elif not self.position.is_flat and number % 3 == 2:
            self.close(reason="time")
'''


def record_paper_run(folder: Path) -> Path:
    """Run the bot for some minutes of the market; the folder of the run."""
    (folder / "flip.py").write_text(_STRATEGY, encoding="utf-8")
    rows = [round(100 + 3 * float(np.sin(i * 0.7)), 1) for i in range(60)]
    with patient_time(), make_venue(rows, speed=SPEED) as venue:
        text = CONFIG.replace("URL", venue.url).replace("SPEED", str(SPEED))
        (folder / "flip.yaml").write_text(text, encoding="utf-8")
        document = read_config(folder / "flip.yaml")
        config = read_live_config(document, PAPER)
        classes = {each.instance: load_strategy(each.use, folder).cls for each in config.strategies}
        options = LiveOptions(stop_after_ns=MINUTES * MINUTE_NS)
        result = LiveSession(config, PAPER, document.values, folder, classes, options, environ={}).run()
    assert result.outcome == "STOPPED"
    return result.folder
