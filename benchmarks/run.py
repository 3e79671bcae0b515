"""The seeded workloads through the real engine: `python benchmarks/run.py W1 W2 [--runtime threads|fibers] --json`.

Each workload runs in a process of its own, so that its peak memory is its own. `seconds` is the time from the first
turn to the last and the making of the bot with its features; reading the bars is not in it, as with the peers.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import workloads  # noqa: E402 - the path has to be set first
from src.backtesting.engine.backtest_controller import BacktestController  # noqa: E402 - as above
from src.backtesting.engine.time_controller import TimeController  # noqa: E402 - as above
from src.backtesting.result import BacktestResult  # noqa: E402 - as above
from src.brokers.simulated import Commission, Costs, FillRules, SimulatedBroker, Slippage  # noqa: E402 - as above
from src.core.bars import Bar, BarSeries  # noqa: E402 - as above
from src.core.config import BotConfig  # noqa: E402 - as above
from src.core.features import Feature, FeatureView, sma  # noqa: E402 - as above
from src.core.strategy import BarStrategy, param  # noqa: E402 - as above
from src.core.sync import runtime_named  # noqa: E402 - as above
from src.core.timeframe import MINUTE_NS  # noqa: E402 - as above


class SmaTarget(BarStrategy):
    """W1: long while the fast average is above the slow one, short while below, unchanged when equal."""

    fast: int = param(workloads.FAST_BARS, low=1)
    slow: int = param(workloads.SLOW_BARS, low=2)

    f: FeatureView
    s: FeatureView

    def features(self) -> dict[str, Feature]:
        """Both averages."""
        return {"f": sma(self.fast), "s": sma(self.slow)}

    def on_start(self) -> None:
        """Nothing is wanted yet."""
        self.target = 0

    def on_bar(self, bar: Bar) -> None:
        """Reverse when the target changes."""
        fast, slow = self.f[-1], self.s[-1]
        if fast > slow:
            target = 1
        elif fast < slow:
            target = -1
        else:
            return
        if target != self.target and len(self.bars) > self.slow:
            self.target = target
            self.enter(target, bar)

    def enter(self, target: int, bar: Bar) -> None:
        """Be long or short with the configured size."""
        if target > 0:
            self.buy()
        else:
            self.sell()


class SmaBracket(SmaTarget):
    """W2: the same, each entry with a stop and a target measured from the signal bar's close."""

    def enter(self, target: int, bar: Bar) -> None:
        """Enter with absolute prices, passed as such."""
        stop = bar.close * (1 - target * workloads.STOP_DISTANCE)
        aim = bar.close * (1 + target * workloads.TARGET_DISTANCE)
        if target > 0:
            self.buy(stop=stop, target=aim)
        else:
            self.sell(stop=stop, target=aim)


STRATEGIES: dict[str, type[SmaTarget]] = {"W1": SmaTarget, "W2": SmaBracket}


def read_bars(name: str, count: int) -> dict[str, BarSeries]:
    """The first `count` bars of each of the workload's symbols."""
    return {
        one.symbol: BarSeries(
            one.symbol, MINUTE_NS, one.open_ns, one.open, one.high, one.low, one.close, one.volume, price_side="mid"
        )
        for one in workloads.bars(workloads.WORKLOADS[name].symbols, count)
    }


def run(name: str, base: dict[str, BarSeries], runtime: str) -> BacktestResult:
    """One workload through the real bot, with its journal and digest; nothing is written to disk."""
    symbols = list(base)
    config = BotConfig.model_validate(
        {
            "account": {"currency": "USD", "balance": workloads.START_CASH},
            "instruments": {symbol: {"currency": "USD"} for symbol in symbols},
            "symbols": symbols,
            "strategies": [{"use": name}],
            "risk": {"size": {"volume": workloads.SIZE_UNITS}},
        }
    )
    broker = SimulatedBroker(
        config.account,
        {symbol: config.instruments[symbol].build(symbol, "USD") for symbol in symbols},
        base,
        {},
        Costs(
            commission=Commission(percent=workloads.COST_PER_SIDE * 100),
            slippage=Slippage(),
            spread_percent=0.0,
            spread_points=0.0,
        ),
        FillRules(limit_fill="touch", at_end="keep"),
    )
    clock = TimeController(symbols, runtime=runtime_named(runtime))
    return BacktestController(broker, clock, config, {name: STRATEGIES[name]}, keep_records=False).run()


def measure(name: str, runtime: str, count: int | None) -> dict[str, Any]:
    """Run one workload in this process; the row that is printed."""
    base = read_bars(name, count or workloads.WORKLOADS[name].bars)
    began = perf_counter()
    result = run(name, base, runtime)
    seconds = perf_counter() - began
    if result.error is not None:
        raise result.error
    return {
        "workload": name,
        "runtime": runtime,
        "bars": result.bars,
        "bars_per_s": round(result.bars / seconds),
        "seconds": round(seconds, 4),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "trades": sum(1 for fill in result.fills if fill.kind == "entry"),
        "final_equity": round(result.account.equity, 6),
        "digest": result.digest,
        "turns": result.turns,
    }


def main() -> int:
    """Print one JSON object per workload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="+", choices=sorted(STRATEGIES))
    parser.add_argument("--runtime", choices=("threads", "fibers"), default="threads")
    parser.add_argument("--bars", type=int, help="bars per symbol, by default the workload's own number")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, which is the only format")
    given = parser.parse_args()
    if len(given.workloads) == 1:
        print(json.dumps(measure(given.workloads[0], given.runtime, given.bars)), flush=True)
        return 0
    more = ["--bars", str(given.bars)] if given.bars else []
    for name in given.workloads:
        command = [sys.executable, str(Path(__file__).resolve()), name, "--runtime", given.runtime, "--json", *more]
        code = subprocess.run(command, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
