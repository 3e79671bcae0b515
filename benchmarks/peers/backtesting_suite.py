"""W3 in backtesting.py's optimiser: `python benchmarks/peers/backtesting_suite.py --processes 2`, in its environment.

W1's rule over the first bars of the first symbol, once for each pair of averages, by `Backtest.optimize`: its process
pool, here of so many processes, and no progress bar. Prints one JSON line. The seconds are real time from a ready data
frame to the map of final equities, starting of the processes included; imports and reading the data are outside.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Its progress bar is not part of the work; tqdm reads this when it is imported.
os.environ["TQDM_DISABLE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import backtesting
from benchmarks import workloads as rules
from benchmarks.peers.backtesting_py import AlwaysIn, frame, moving_average


class Crossing(AlwaysIn):
    """W1 with any two averages; `next` first runs where the longer one is known, which is when W3 begins to decide."""

    fast = rules.FAST_BARS
    slow = rules.SLOW_BARS

    def init(self) -> None:
        """Compute both averages once for all bars."""
        closes = self.data.Close
        self.quick = self.I(moving_average, closes, self.fast, plot=False)
        self.calm = self.I(moving_average, closes, self.slow, plot=False)
        self.side = 0


def pool_of(processes: int) -> Callable[..., Any]:
    """Make the pools that the optimiser asks for, of so many processes, forked as it wants them on this system."""
    context = multiprocessing.get_context("fork")
    return lambda *given, **named: context.Pool(processes)


def main() -> None:
    """Run the search and print its line."""
    parser = argparse.ArgumentParser(description="Run W3 in backtesting.py's optimiser and print one JSON line.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--fast", type=int, nargs="+", default=list(rules.W3_FAST))
    parser.add_argument("--slow", type=int, nargs="+", default=list(rules.W3_SLOW))
    parser.add_argument("--bars", type=int, default=rules.W3_BARS)
    asked = parser.parse_args()
    # That a trade stays open at the end is one of the rules.
    warnings.filterwarnings("ignore", message="Some trades remain open", category=UserWarning)
    backtesting.Pool = pool_of(asked.processes)
    table = frame(next(iter(rules.bars(1, asked.bars))))
    test = backtesting.Backtest(table, Crossing, cash=rules.START_CASH, commission=rules.COST_PER_SIDE)

    began = time.perf_counter()
    _, found = test.optimize(fast=asked.fast, slow=asked.slow, maximize="Equity Final [$]", return_heatmap=True)
    seconds = time.perf_counter() - began

    equities = {f"{fast}-{slow}": round(float(value), 6) for (fast, slow), value in found.items()}
    line = {
        "peer": "backtesting.py",
        "version": backtesting.__version__,
        "processes": asked.processes,
        "bars": asked.bars,
        "pairs": len(equities),
        "seconds": round(seconds, 4),
        "equities": dict(sorted(equities.items())),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
