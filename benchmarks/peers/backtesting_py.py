"""W1 or W2 in backtesting.py: `python benchmarks/peers/backtesting_py.py W1 [--bars N]`, in an environment of its own.

Written as that program's own tutorial writes a crossover: two averages as indicators, the decision in `next`. It knows
one instrument and account at a time, so W2 is ten backtests one after the other whose profits are added up.

Prints one JSON line. The seconds are real time from ready data frames to the statistics; imports and reading the data
are outside. One thread.
"""

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path

# Its progress bar is not part of the work; tqdm reads this when it is imported.
os.environ["TQDM_DISABLE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pandas as pd

import backtesting
from benchmarks import workloads as rules


def moving_average(prices: np.ndarray, length: int) -> np.ndarray:
    """Mean of the last `length` prices at each bar; shape (n,), NaN where there are fewer."""
    return pd.Series(prices).rolling(length).mean().to_numpy()


class AlwaysIn(backtesting.Strategy):
    """W1: long above, short below; a change closes the trade and opens the opposite one at the next open."""

    def init(self) -> None:
        """Compute both averages once for all bars; `next` first runs at the bar with index 50."""
        closes = self.data.Close
        self.quick = self.I(moving_average, closes, rules.FAST_BARS, plot=False)
        self.calm = self.I(moving_average, closes, rules.SLOW_BARS, plot=False)
        self.side = 0

    def next(self) -> None:
        """Decide at a close."""
        quick, calm = self.quick[-1], self.calm[-1]
        if quick > calm and self.side <= 0:
            self.turn(1)
        elif quick < calm and self.side >= 0:
            self.turn(-1)

    def turn(self, side: int) -> None:
        """Order the reversal."""
        self.side = side
        self.position.close()
        self.enter()

    def enter(self) -> None:
        """Order the new position."""
        if self.side > 0:
            self.buy(size=rules.SIZE_UNITS)
        else:
            self.sell(size=rules.SIZE_UNITS)


class Bracketed(AlwaysIn):
    """W2: the same with a stop and a target at absolute prices measured from the deciding close."""

    def enter(self) -> None:
        """Order the new position together with its two exits."""
        close = self.data.Close[-1]
        order = self.buy if self.side > 0 else self.sell
        order(
            size=rules.SIZE_UNITS,
            sl=close * (1 - self.side * rules.STOP_DISTANCE),
            tp=close * (1 + self.side * rules.TARGET_DISTANCE),
        )


def frame(columns: rules.Columns) -> pd.DataFrame:
    """Return the bars of one symbol in the form that backtesting.py wants."""
    table = {name.title(): getattr(columns, name) for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(table, index=pd.DatetimeIndex(columns.open_ns.view("M8[ns]")))


def main() -> None:
    """Run one workload and print its line."""
    parser = argparse.ArgumentParser(description="Run a workload in backtesting.py and print one JSON line.")
    parser.add_argument("workload", choices=sorted(rules.WORKLOADS))
    parser.add_argument("--bars", type=int, help="fewer bars of each symbol than the workload takes")
    asked = parser.parse_args()
    workload = rules.WORKLOADS[asked.workload]
    count = asked.bars or workload.bars
    # That a trade stays open at the end is one of the rules.
    warnings.filterwarnings("ignore", message="Some trades remain open", category=UserWarning)
    strategy = Bracketed if workload.name == "W2" else AlwaysIn
    frames = [frame(columns) for columns in rules.bars(workload.symbols, count)]

    entries, equity = 0, rules.START_CASH
    began = time.perf_counter()
    for table in frames:
        test = backtesting.Backtest(table, strategy, cash=rules.START_CASH, commission=rules.COST_PER_SIDE)
        statistics = test.run()
        # What is still open at the end is an entry, too, and not in the list of closed trades.
        entries += len(statistics["_trades"]) + len(statistics["_strategy"].trades)
        equity += statistics["Equity Final [$]"] - rules.START_CASH
    seconds = time.perf_counter() - began

    line = {
        "peer": "backtesting.py",
        "version": backtesting.__version__,
        "workload": workload.name,
        "bars": count,
        "bars_per_s": round(count * workload.symbols / seconds),
        "seconds": round(seconds, 4),
        "trades": entries,
        "final_equity": round(float(equity), 6),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
