"""Projects with bots that race, and one that does not."""

from collections.abc import Sequence
from pathlib import Path

from src.research.explore.diagnose import Script
from src.research.explore.groups import Observed
from src.research.explore.lab import Lab
from src.research.explore.schedules import Variant

STRATEGIES = '''
"""Three workers that often want in together."""

from src.core.bars import Bar
from src.core.strategy import BarStrategy
from src.core.timeframe import SECOND_NS

taken = {"slots": 0}


class Healthy(BarStrategy):
    """Each trades for itself; there is room for all."""

    timeframe = "15m"

    def wants_in(self) -> bool:
        return len(self.bars) % 20 == 0 and self.position.is_flat

    def on_bar(self, bar: Bar) -> None:
        if self.wants_in():
            self.enter(bar)

    def enter(self, bar: Bar) -> None:
        self.buy(stop=bar.close * 0.995, target=bar.close * 1.005)


class Racing(Healthy):
    """Looks at a count that all workers share, asks the broker, and then acts on what it saw."""

    def on_bar(self, bar: Bar) -> None:
        if self.wants_in() and taken["slots"] < 1:
            self.pause()
            taken["slots"] += 1
            self.buy(volume=float(taken["slots"]), stop=bar.close * 0.995, target=bar.close * 1.005)

    def pause(self) -> None:
        assert self.quote is not None

    def on_trade_closed(self, trade: object) -> None:
        taken["slots"] -= 1


class Sleeping(Racing):
    """The same with a sleep between looking and acting: all get in, and the order decides the volumes."""

    def pause(self) -> None:
        self.clock.sleep(SECOND_NS)


class Counting(Healthy):
    """Reads the account, of which it makes no use, and acts on a count that all workers share."""

    def on_bar(self, bar: Bar) -> None:
        account = self.account
        taken["slots"] += 1
        if taken["slots"] % 5 == 0 and self.position.is_flat and account.equity > 0:
            self.enter(bar)


class Looking(Healthy):
    """Goes in only when nobody else has an order: what it reads decides."""

    def on_bar(self, bar: Bar) -> None:
        if self.wants_in() and not self._runner.broker.snapshot().orders:
            self.enter(bar)


class Losing(Healthy):
    """Reads a count, asks the broker, and writes it back: an update is lost only where a turn is cut in two."""

    def on_bar(self, bar: Bar) -> None:
        if self.wants_in():
            seen = taken["slots"]
            assert self.quote is not None
            taken["slots"] = seen + 1
        if len(self.bars) % 20 == 1 and self.position.is_flat and taken["slots"] % 3 == 0:
            self.enter(bar)
'''

CONFIG = """
name: racing
account: {{type: margin, currency: USDT, balance: {balance}, positions: netting, leverage: 1}}
instruments:
  BTCUSDT: {{kind: perpetual, tick: 0.1, volume_step: 0.001, min_volume: 0.001, calendar: 24/7}}
  ETHUSDT: {{kind: perpetual, tick: 0.01, volume_step: 0.001, min_volume: 0.001, calendar: 24/7}}
  XRPUSDT: {{kind: perpetual, tick: 0.00001, volume_step: 0.1, min_volume: 0.1, calendar: 24/7}}
symbols: [BTCUSDT, ETHUSDT, XRPUSDT]
strategies:
  - {{use: "bots.py:{strategy}"}}
risk: {risk}
backtest:
  start: 2024-01-01
  end: 2024-01-02
  runtime: {runtime}
  data: {{source: synthetic, seed: 7, store: market.duckdb}}
  costs: {{spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01, latency: 0s}}
"""

#: How much of a limit each bot leaves to the workers.
PLENTY = "{size: {volume: 1}}"
TWO_SLOTS = "{size: {volume: 1}, max_open_positions: 2}"
HALF_EACH = "{size: {equity_percent: 60}}"
LITTLE_RISK = "{size: {risk_percent: 0.1}, max_open_risk_percent: 0.25}"


def write_project(
    folder: Path, strategy: str, risk: str = PLENTY, *, balance: int = 10_000_000, runtime: str = "fibers"
) -> Path:
    """A project whose configuration is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bots.py").write_text(STRATEGIES.lstrip(), encoding="utf-8")
    config = folder / "config.yaml"
    config.write_text(
        CONFIG.format(strategy=strategy, risk=risk, balance=balance, runtime=runtime).lstrip(), encoding="utf-8"
    )
    return config


def observed_by(lab: Lab, tried: Sequence[Variant]) -> list[Observed]:
    """The results of variants, run one after the other in this process."""
    found = []
    for variant in tried:
        seen = lab.run(Script(schedule=variant.schedule, symbols=variant.symbols))
        digest, outcome, error = seen.key
        found.append(Observed(variant=variant, digest=digest, outcome=outcome, error=error))
    return found
