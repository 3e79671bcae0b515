"""W1 or W2 in backtrader: `python benchmarks/peers/backtrader_peer.py W2 [--bars N]`, in an environment of its own.

Set up as quickly as its documentation offers: data preloaded, indicators computed for whole series at once, no
observers, no analyzers. W2 is ten feeds on one broker with bracket orders.

Prints one JSON line. The seconds are real time from the moment when all feeds are preloaded to the end of the run;
imports, reading and preloading are outside. One thread.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import backtrader as bt

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import workloads as rules

NS_PER_DAY = 86_400_000_000_000
EPOCH_DAY = 719_163  # 1970-01-01 in backtrader's count of days


class Memory(bt.feed.DataBase):
    """A feed from columns in memory."""

    params = (("columns", None),)

    def start(self) -> None:
        """Begin at the first bar."""
        super().start()
        self._rows = self._all_rows(self.p.columns)

    @staticmethod
    def _all_rows(columns: rules.Columns) -> Iterator[tuple[float, ...]]:
        days = columns.open_ns / NS_PER_DAY + EPOCH_DAY
        prices = (columns.open, columns.high, columns.low, columns.close, columns.volume)
        return zip(days.tolist(), *(column.tolist() for column in prices), strict=True)

    def _load(self) -> bool:
        lines = self.lines
        for row in self._rows:
            (
                lines.datetime[0],
                lines.open[0],
                lines.high[0],
                lines.low[0],
                lines.close[0],
                lines.volume[0],
            ) = row
            lines.openinterest[0] = 0.0
            return True
        return False


class Follower:
    """What the strategy keeps of one symbol: its feed, both averages, its target and the orders of its exits."""

    __slots__ = ("calm", "exits", "feed", "quick", "side")

    def __init__(self, feed: Memory) -> None:
        """Attach both averages to the feed; to read an indicator's line is quicker than to read the indicator."""
        self.feed = feed
        self.quick = bt.indicators.SimpleMovingAverage(feed.close, period=rules.FAST_BARS).lines.sma
        self.calm = bt.indicators.SimpleMovingAverage(feed.close, period=rules.SLOW_BARS).lines.sma
        self.side = 0
        self.exits: list[bt.Order] = []


class AlwaysIn(bt.Strategy):
    """W1: long above, short below; a change orders the reversal, which fills at the next open."""

    def __init__(self) -> None:
        """Follow every feed; all of them are preloaded by now, so this is where the measured time begins."""
        self.began = time.perf_counter()
        self.followers = [Follower(feed) for feed in self.datas]
        self.entries = 0

    def notify_trade(self, trade: bt.Trade) -> None:
        """Count the positions that are opened."""
        self.entries += trade.justopened

    def next(self) -> None:
        """Decide at a close, for every symbol in the order of the feeds."""
        # backtrader begins one bar sooner, at the first with both averages.
        if len(self) <= rules.SLOW_BARS:
            return
        for follower in self.followers:
            quick, calm = follower.quick[0], follower.calm[0]
            if quick > calm:
                if follower.side <= 0:
                    self.turn(follower, 1)
            elif quick < calm and follower.side >= 0:
                self.turn(follower, -1)

    def turn(self, follower: Follower, side: int) -> None:
        """Order the reversal of one symbol."""
        follower.side = side
        self.order_target_size(data=follower.feed, target=side * rules.SIZE_UNITS)


class Bracketed(AlwaysIn):
    """W2: the same with a stop and a target at absolute prices measured from the deciding close."""

    def turn(self, follower: Follower, side: int) -> None:
        """Withdraw the old exits, close what is open, and order the new position together with its two exits."""
        follower.side = side
        feed = follower.feed
        for order in follower.exits:
            if order.alive():
                self.cancel(order)
        if self.getposition(feed).size:
            self.close(data=feed)
        close = feed.close[0]
        bracket = self.buy_bracket if side > 0 else self.sell_bracket
        _, *follower.exits = bracket(
            data=feed,
            size=rules.SIZE_UNITS,
            exectype=bt.Order.Market,
            stopprice=close * (1 - side * rules.STOP_DISTANCE),
            limitprice=close * (1 + side * rules.TARGET_DISTANCE),
        )


def main() -> None:
    """Run one workload and print its line."""
    parser = argparse.ArgumentParser(description="Run a workload in backtrader and print one JSON line.")
    parser.add_argument("workload", choices=sorted(rules.WORKLOADS))
    parser.add_argument("--bars", type=int, help="fewer bars of each symbol than the workload takes")
    asked = parser.parse_args()
    workload = rules.WORKLOADS[asked.workload]
    count = asked.bars or workload.bars

    cerebro = bt.Cerebro(stdstats=False, preload=True, runonce=True)
    for columns in rules.bars(workload.symbols, count):
        feed = Memory(columns=columns, timeframe=bt.TimeFrame.Minutes, compression=1)
        cerebro.adddata(feed, name=columns.symbol)
    cerebro.broker.setcash(rules.START_CASH)
    cerebro.broker.setcommission(commission=rules.COST_PER_SIDE)
    cerebro.addstrategy(Bracketed if workload.name == "W2" else AlwaysIn)
    (strategy,) = cerebro.run()
    seconds = time.perf_counter() - strategy.began

    done = [order.exectype for order in cerebro.broker.orders if order.status == bt.Order.Completed]
    line = {
        "peer": "backtrader",
        "version": bt.__version__,
        "workload": workload.name,
        "bars": count,
        "bars_per_s": round(count * workload.symbols / seconds),
        "seconds": round(seconds, 4),
        "trades": strategy.entries,
        "final_equity": round(cerebro.broker.getvalue(), 6),
        "stops": done.count(bt.Order.Stop),
        "targets": done.count(bt.Order.Limit),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
