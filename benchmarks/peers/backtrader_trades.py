"""The trades of backtrader: `python benchmarks/peers/backtrader_trades.py FOLDER VARIANT ...`.

Started in an environment of its own by `benchmarks/differential.py`, which has written the bars of each variant into
FOLDER. Prints one JSON line for each variant, with its deals and its final equity. One thread. All symbols of a variant
are on one broker.
"""

import datetime
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import backtrader as bt

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import variants, workloads
from benchmarks.variants import Variant

NS_PER_DAY = 86_400_000_000_000
EPOCH_DAY = 719_163  # 1970-01-01 in backtrader's count of days
TYPES = {
    "market": bt.Order.Market,
    "limit": bt.Order.Limit,
    "stop": bt.Order.Stop,
    "stop_limit": bt.Order.StopLimit,
}


class Memory(bt.feed.DataBase):
    """A feed from columns in memory."""

    params = (("columns", None),)

    def start(self) -> None:
        """Begin at the first bar."""
        super().start()
        columns = self.p.columns
        days = columns.open_ns / NS_PER_DAY + EPOCH_DAY
        prices = (columns.open, columns.high, columns.low, columns.close, columns.volume)
        self._rows: Iterator[tuple[float, ...]] = zip(
            days.tolist(), *(column.tolist() for column in prices), strict=True
        )

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
    """What the strategy keeps of one symbol."""

    def __init__(self, feed: Memory, variant: Variant) -> None:
        self.feed = feed
        self.open_ns = feed.p.columns.open_ns.tolist()
        self.quick = bt.indicators.SimpleMovingAverage(feed.close, period=variant.fast).lines.sma
        self.calm = bt.indicators.SimpleMovingAverage(feed.close, period=variant.slow).lines.sma
        self.side = 0
        self.entry: bt.Order | None = None
        self.exits: list[bt.Order] = []
        self.stop: float | None = None
        self.held = 0
        self.late = False
        self.deal: list[Any] | None = None


class Obedient(bt.Strategy):
    """Does what `variant` says."""

    params = (("variant", None),)

    def __init__(self) -> None:
        """Follow every feed."""
        self.variant: Variant = self.p.variant
        self.followers = [Follower(feed, self.variant) for feed in self.datas]
        self.roles: dict[int, tuple[Follower, str]] = {}
        self.deals: list[list[Any]] = []

    def notify_order(self, order: bt.Order) -> None:
        """Write down an execution; backtrader tells it before `next` of the bar on which it happened."""
        if order.status != bt.Order.Completed:
            return
        follower, role = self.roles[order.ref]
        done = order.executed
        open_ns = follower.open_ns[len(follower.feed) - 1]
        if role == "entry":
            follower.held, follower.late = 0, self.variant.late
            side = 1 if done.size > 0 else -1
            name = follower.feed.p.columns.symbol
            follower.deal = [name, side, abs(done.size), open_ns, done.price, self.variant.entry, [], -done.comm]
            self.deals.append(follower.deal)
            return
        deal = follower.deal
        assert deal is not None
        deal[6].append([open_ns, done.price, abs(done.size), role])
        deal[7] += done.pnl - done.comm
        if sum(leg[2] for leg in deal[6]) == deal[2]:
            follower.deal = None

    def next(self) -> None:
        """Decide at a close, for every symbol in the order of the feeds."""
        # backtrader begins one bar sooner, at the first with both averages.
        if len(self) <= self.variant.slow:
            return
        for follower in self.followers:
            side = variants.side_of(follower.quick[0], follower.calm[0])
            if side and side != follower.side:
                follower.side = side
                self.turn(follower, side)
            elif self.getposition(follower.feed).size:
                self.manage(follower)

    def turn(self, follower: Follower, side: int) -> None:
        """Withdraw, close, enter."""
        variant, close = self.variant, follower.feed.close[0]
        if follower.entry is not None and follower.entry.alive():
            self.cancel(follower.entry)
        follower.entry = None
        self.leave(follower)
        if side < 0 and variant.long_only:
            return
        price = None if variant.entry == "market" else variant.entry_at(close, side)
        origin = close if price is None else price
        stop = None if variant.late else variant.stop_at(origin, side)
        target = None if variant.late else variant.target_at(origin, side)
        bracket = self.buy_bracket if side > 0 else self.sell_bracket
        valid = None
        if variant.patience is not None:
            # To the middle of a bar: the instants are fractions of days in floating point.
            valid = datetime.timedelta(minutes=(variant.patience + 0.5) * variant.market.minutes)
        entry, *exits = bracket(
            data=follower.feed, size=workloads.SIZE_UNITS, price=price, exectype=TYPES[variant.entry],
            plimit=variant.limit_at(close, side) if variant.entry == "stop_limit" else None,
            stopprice=stop, stopexec=None if stop is None else bt.Order.Stop,
            limitprice=target, limitexec=None if target is None else bt.Order.Limit,
            oargs={"valid": valid},
        )  # fmt: skip
        follower.entry, follower.stop = entry, stop
        self.roles[entry.ref] = (follower, "entry")
        self.watch(follower, *exits)

    def watch(self, follower: Follower, stop: bt.Order | None, target: bt.Order | None) -> None:
        """Remember the exits of a position."""
        follower.exits = []
        for order, role in ((stop, "stop"), (target, "target")):
            if order is not None:
                follower.exits.append(order)
                self.roles[order.ref] = (follower, role)

    def manage(self, follower: Follower) -> None:
        """What happens to an open position at a close."""
        variant, close, deal = self.variant, follower.feed.close[0], follower.deal
        assert deal is not None
        follower.held += 1
        side, entry_price = deal[1], deal[4]
        if follower.late:
            follower.late = False
            if variant.beyond(close, entry_price, side):
                self.leave(follower)
                return
            self.protect(follower, side, variant.stop_at(entry_price, side), variant.target_at(entry_price, side))
        if variant.follow and follower.stop is not None:
            level = variant.stop_at(close, side)
            if level is not None and side * (level - follower.stop) > 0:
                self.withdraw(follower)
                self.protect(follower, side, level, None)
        if variant.hold is not None and follower.held == variant.hold:
            self.leave(follower)
        elif variant.half_after is not None and follower.held == variant.half_after:
            self.halve(follower, side)

    def protect(
        self, follower: Follower, side: int, stop: float | None, target: float | None, size: float | None = None
    ) -> None:
        """Order a stop and a target for a position that is open."""
        order = self.sell if side > 0 else self.buy
        size = abs(self.getposition(follower.feed).size) if size is None else size
        first = second = None
        if stop is not None:
            first = order(data=follower.feed, size=size, price=stop, exectype=bt.Order.Stop)
        if target is not None:
            second = order(data=follower.feed, size=size, price=target, exectype=bt.Order.Limit, oco=first)
        follower.stop = stop
        self.watch(follower, first, second)

    def halve(self, follower: Follower, side: int) -> None:
        """Close a half at the market; the exits are ordered anew for the other half, at their prices."""
        prices = {self.roles[order.ref][1]: order.created.price for order in follower.exits}
        half = abs(self.getposition(follower.feed).size) / 2
        self.withdraw(follower)
        order = (self.sell if side > 0 else self.buy)(data=follower.feed, size=half)
        self.roles[order.ref] = (follower, "market")
        self.protect(follower, side, prices.get("stop"), prices.get("target"), half)

    def withdraw(self, follower: Follower) -> None:
        """Cancel the exits that still work."""
        for order in follower.exits:
            if order.alive():
                self.cancel(order)
        follower.exits = []

    def leave(self, follower: Follower) -> None:
        """Close at the market what is open."""
        self.withdraw(follower)
        if self.getposition(follower.feed).size:
            order = self.close(data=follower.feed)
            self.roles[order.ref] = (follower, "market")


def run(folder: Path, variant: Variant) -> dict[str, Any]:
    """One variant, all symbols at once."""
    cerebro = bt.Cerebro(stdstats=False, preload=True, runonce=True)
    for columns in variants.load_columns(folder / variant.name, variant.symbols):
        feed = Memory(columns=columns, timeframe=bt.TimeFrame.Minutes, compression=variant.market.minutes)
        cerebro.adddata(feed, name=columns.symbol)
    cerebro.broker.setcash(workloads.START_CASH)
    cerebro.broker.setcommission(commission=workloads.COST_PER_SIDE, leverage=variants.LEVERAGE)
    cerebro.addstrategy(Obedient, variant=variant)
    (strategy,) = cerebro.run()
    open_still = [follower.deal for follower in strategy.followers if follower.deal is not None]
    for deal in open_still:
        deal[7] = None
    equity = cerebro.broker.getvalue()
    return {"variant": variant.name, "version": bt.__version__, "deals": strategy.deals, "equity": equity}


def main() -> None:
    """Run the variants and print a line for each."""
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    for name in names:
        print(json.dumps(run(folder, variants.VARIANTS[name])), flush=True)


if __name__ == "__main__":
    main()
