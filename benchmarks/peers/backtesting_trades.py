"""The trades of backtesting.py: `python benchmarks/peers/backtesting_trades.py FOLDER VARIANT ...`.

Started in an environment of its own by `benchmarks/differential.py`, which has written the bars of each variant into
FOLDER. Prints one JSON line for each variant, with its deals and its final equity. One thread. It knows one instrument
at a time, so several symbols are several backtests whose profits are added up.
"""

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ["TQDM_DISABLE"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pandas as pd

import backtesting
from benchmarks import variants, workloads
from benchmarks.variants import Variant


def moving_average(prices: Any, length: int) -> Any:
    """Mean of the last `length` prices at each bar."""
    return pd.Series(prices).rolling(length).mean().to_numpy()


class Obedient(backtesting.Strategy):
    """Does what `variant` says."""

    variant: Variant

    def init(self) -> None:
        """Compute both averages."""
        closes = self.data.Close
        self.quick = self.I(moving_average, closes, self.variant.fast, plot=False)
        self.calm = self.I(moving_average, closes, self.variant.slow, plot=False)
        self.side = 0
        self.entry: Any = None
        self.placed = 0
        self.protected: set[int] = set()
        self.halved: set[int] = set()
        #: Bars of entry and of order of what was closed at the market.
        self.asked: set[tuple[int, int]] = set()

    def next(self) -> None:
        """Decide at a close."""
        side = variants.side_of(self.quick[-1], self.calm[-1])
        if side and side != self.side:
            self.side = side
            self.turn(side)
        else:
            self.wait()
            for trade in self.trades:
                self.manage(trade)

    def turn(self, side: int) -> None:
        """Withdraw, close, enter."""
        variant, close = self.variant, self.data.Close[-1]
        self.withdraw()
        if not variant.hedging:
            for trade in self.trades:
                self.leave(trade)
        if side < 0 and variant.long_only:
            return
        price = None if variant.entry == "market" else variant.entry_at(close, side)
        origin = close if price is None else price
        order = self.buy if side > 0 else self.sell
        self.placed = len(self.data)
        self.entry = order(
            size=workloads.SIZE_UNITS,
            limit=variant.limit_at(close, side),
            stop=variant.trigger_at(close, side),
            sl=None if variant.late else variant.stop_at(origin, side),
            tp=None if variant.late else variant.target_at(origin, side),
            tag=variant.entry,
        )

    def wait(self) -> None:
        """End an entry order that has waited for long enough."""
        patience = self.variant.patience
        if patience is not None and len(self.data) - self.placed >= patience:
            self.withdraw()

    def withdraw(self) -> None:
        """Cancel the entry order where it still works."""
        if self.entry is not None and self.entry in self.orders:
            self.entry.cancel()
        self.entry = None

    def manage(self, trade: Any) -> None:
        """What happens to an open position at a close."""
        variant, close = self.variant, self.data.Close[-1]
        side, held = (1 if trade.is_long else -1), len(self.data) - trade.entry_bar
        if variant.late and trade.entry_bar not in self.protected:
            self.protected.add(trade.entry_bar)
            if variant.beyond(close, trade.entry_price, side):
                self.leave(trade)
                return
            # The one that is set last is the first to be looked at.
            trade.tp, trade.sl = (
                variant.target_at(trade.entry_price, side),
                variant.stop_at(trade.entry_price, side),
            )
        if variant.follow and trade.sl is not None:
            level = variant.stop_at(close, side)
            if level is not None and side * (level - trade.sl) > 0:
                trade.sl = level
        if variant.hold is not None and held == variant.hold:
            self.leave(trade)
        elif variant.half_after is not None and held == variant.half_after and trade.entry_bar not in self.halved:
            self.halved.add(trade.entry_bar)
            self.leave(trade, 0.5)

    def leave(self, trade: Any, portion: float = 1.0) -> None:
        """Close at the market, and remember it: the list of trades does not say what closed one."""
        self.asked.add((trade.entry_bar, len(self.data)))
        trade.close(portion)


def frame(columns: workloads.Columns) -> pd.DataFrame:
    """The bars in the form that backtesting.py wants."""
    table = {name.title(): getattr(columns, name) for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame(table, index=pd.DatetimeIndex(columns.open_ns.view("M8[ns]")))


def exit_kind(strategy: Any, row: Any) -> str:
    """What closed a trade: an order at the market, or that one of its exits whose level the price is beyond."""
    if (row.EntryBar, row.ExitBar) in strategy.asked:
        return "market"
    side = 1 if row.Size > 0 else -1
    if pd.notna(row.SL) and side * (row.ExitPrice - row.SL) <= 0:
        return "stop"
    if pd.notna(row.TP) and side * (row.ExitPrice - row.TP) >= 0:
        return "target"
    return "unknown"


def deals_of(columns: workloads.Columns, statistics: Any) -> list[list[Any]]:
    """The deals of one backtest; a part that was closed earlier is a trade of its own there and a leg here."""
    strategy, open_ns = statistics["_strategy"], columns.open_ns.tolist()
    deals: dict[int, list[Any]] = {}
    rows = list(statistics["_trades"].itertuples())
    for row in sorted(rows, key=lambda row: (row.EntryBar, row.ExitBar)):
        side = 1 if row.Size > 0 else -1
        entry = [columns.symbol, side, 0, open_ns[row.EntryBar], row.EntryPrice, row.Tag, [], 0.0]
        deal = deals.setdefault(row.EntryBar, entry)
        deal[2] += abs(row.Size)
        deal[6].append([open_ns[row.ExitBar], row.ExitPrice, abs(row.Size), exit_kind(strategy, row)])
        deal[7] += row.PnL  # after commission
    for trade in strategy.trades:
        side = 1 if trade.size > 0 else -1
        entry = [columns.symbol, side, 0, open_ns[trade.entry_bar], trade.entry_price, trade.tag, [], None]
        deal = deals.setdefault(trade.entry_bar, entry)
        deal[2] += abs(trade.size)
        deal[7] = None
    return list(deals.values())


def run(folder: Path, variant: Variant) -> dict[str, Any]:
    """One variant, symbol after symbol."""
    deals: list[list[Any]] = []
    equity = workloads.START_CASH
    strategy = type("Variant", (Obedient,), {"variant": variant})
    for columns in variants.load_columns(folder / variant.name, variant.symbols):
        test = backtesting.Backtest(
            frame(columns), strategy, cash=workloads.START_CASH, commission=workloads.COST_PER_SIDE,
            margin=1 / variants.LEVERAGE, hedging=variant.hedging,
        )  # fmt: skip
        statistics = test.run()
        deals += deals_of(columns, statistics)
        equity += float(statistics["Equity Final [$]"]) - workloads.START_CASH
    return {"variant": variant.name, "version": backtesting.__version__, "deals": deals, "equity": equity}


def main() -> None:
    """Run the variants and print a line for each."""
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    # That a trade stays open, and that an exit waits for the bar after the entry, are told by the comparison.
    warnings.filterwarnings("ignore", category=UserWarning)
    for name in names:
        print(json.dumps(run(folder, variants.VARIANTS[name]), default=float), flush=True)


if __name__ == "__main__":
    main()
