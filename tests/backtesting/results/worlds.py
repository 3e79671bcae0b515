"""Finished runs made by hand: fills go through the product's own books, so trades and money belong together."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from src.backtesting.result import BacktestResult, Outcome, SymbolSummary
from src.core.bars import BarSeries
from src.core.book import Book
from src.core.errors import LockstepError
from src.core.journal import Journal, JournalRecord
from src.core.records import Account, Fill, Order, OrderRequest, OrderState, OrderType, Position, Side, Trade
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant

START_NS = parse_instant("2024-01-01")


@dataclass
class World:
    """An account that is traded by hand. `days` is the length of the window, `balance` what it starts with."""

    days: float = 4.0
    balance: float = 1_000.0
    start_ns: int = START_NS
    fills: list[Fill] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    books: dict[tuple[str, str], Book] = field(default_factory=dict)
    realised: float = 0.0
    equity: list[tuple[int, float]] = field(default_factory=list)
    open_profit: float = 0.0
    journal_entries: list[JournalRecord] = field(default_factory=list)

    @property
    def end_ns(self) -> int:
        return self.start_ns + round(self.days * DAY_NS)

    def at(self, hours: float) -> int:
        """The instant so many hours after the start."""
        return self.start_ns + round(hours * HOUR_NS)

    def fill(
        self,
        hours: float,
        side: Side,
        volume: float,
        price: float,
        *,
        symbol: str = "AAA",
        book: str = "sma",
        stop: float | None = None,
        **more: Any,
    ) -> Fill:
        """Execute an order at once; it opens or adds when it goes with the position, and reduces it otherwise."""
        number = len(self.fills) + 1
        held = self.books.setdefault((book, symbol), Book(book, symbol))
        opens = held.volume * side.sign >= 0
        more.setdefault("kind", "entry" if opens else "exit")
        fill = Fill(
            fill_id=f"o{number}-1",
            order_id=f"o{number}",
            position_id=held.position_id if held.volume else f"p{number}",
            book=book,
            symbol=symbol,
            side=side,
            volume=volume,
            price=price,
            filled_ns=self.at(hours),
            filled_from_ns=self.at(hours),
            **more,
        )
        profit = 0.0
        if opens:
            held.open(fill, stop=stop, target=None, stop_cost=0.0)
        else:
            profit, trade = held.reduce(fill)
            if trade is not None:
                self.trades.append(trade)
        self.realised += profit - fill.commission
        self.fills.append(fill)
        self._order(fill)
        return fill

    def _order(self, fill: Fill) -> None:
        request = OrderRequest(
            client_id=fill.order_id, book=fill.book, symbol=fill.symbol, side=fill.side, type=OrderType.MARKET,
            volume=fill.volume, reason=fill.reason,
        )  # fmt: skip
        self.orders.append(
            Order(
                order_id=fill.order_id, request=request, state=OrderState.FILLED, placed_ns=fill.filled_ns,
                effective_ns=fill.filled_ns, updated_ns=fill.filled_ns, filled_volume=fill.volume,
                average_price=fill.price,
            )
        )  # fmt: skip
        values = (
            fill.fill_id, fill.book, fill.side.value, fill.volume, fill.price, fill.commission, fill.kind,
            fill.filled_from_ns, fill.ambiguous, fill.other_price,
        )  # fmt: skip
        self.journal_entries.append(JournalRecord(fill.filled_ns, fill.symbol, "fill", "broker", values))

    def trade(self, net: float, *, hours: float = 1.0, lasts: float = 1.0, **more: Any) -> None:
        """A long of one unit without costs that brings `net`."""
        exits = {name: more.pop(name) for name in ("kind", "ambiguous", "other_price") if name in more}
        self.fill(hours, Side.BUY, 1.0, 100.0, **more)
        more.pop("stop", None)
        self.fill(hours + lasts, Side.SELL, 1.0, 100.0 + net, **exits, **more)

    def sample(self, hours: float, equity: float) -> None:
        """Mark the account."""
        self.equity.append((self.at(hours), equity))

    def result(self, **more: Any) -> BacktestResult:
        """The run as it stands. Without samples the curve has one at the start and one at the end."""
        balance = self.balance + self.realised
        final = balance + self.open_profit
        samples = self.equity or [(self.start_ns, self.balance), (self.end_ns, final)]
        if self.equity and self.equity[0][0] > self.start_ns:
            samples = [(self.start_ns, self.balance), *samples]
        settled: list[JournalRecord] = []
        journal = Journal(settled.extend)
        for entry in self.journal_entries:
            journal.record(*entry[:4], *entry.values)
        digest = journal.close()
        values: dict[str, Any] = {
            "outcome": Outcome.COMPLETED,
            "digest": digest,
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "currency": "USDT",
            "initial_balance": self.balance,
            "account": Account(currency="USDT", instant_ns=self.end_ns, balance=balance, equity=final, margin_used=0.0),
            "symbols": (summary("AAA", 100.0, 110.0), summary("BBB", 50.0, 45.0)),
            "orders": self.orders,
            "fills": self.fills,
            "trades": self.trades,
            "open_positions": self.positions(),
            "equity_ns": np.array([instant for instant, _ in samples], dtype=np.int64),
            "equity": np.array([value for _, value in samples], dtype=np.float64),
            "records": settled,
            "bars": 1_000,
            "steps": 500,
            "turns": 600,
            "seconds": 0.5,
        }
        return BacktestResult(**{**values, **more})

    def positions(self) -> tuple[Position, ...]:
        """What is still held."""
        return tuple(book.position() for book in self.books.values() if book.volume)


def summary(symbol: str, first_open: float | None, last_close: float | None) -> SymbolSummary:
    """A symbol's data in brief."""
    return SymbolSummary(
        symbol=symbol, bars=10, first_open=first_open, last_close=last_close, first_ns=START_NS, last_ns=START_NS
    )


def busy_world() -> World:
    """Two symbols, two books, every cost, a partial exit, an ambiguous trade, and a position left open."""
    world = World()
    costs: dict[str, Any] = {"commission": 1.0, "spread_cost": 0.5, "slippage_cost": 0.25}
    world.fill(2, Side.BUY, 2, 100, stop=95, reason="cross up", **costs)
    world.fill(3, Side.SELL, 1, 104, **costs)
    world.fill(6, Side.SELL, 1, 108, kind="target", **costs)
    world.fill(10, Side.SELL, 3, 50, symbol="BBB", book="breakout", stop=52, **costs)
    world.fill(30, Side.BUY, 3, 52, symbol="BBB", book="breakout", kind="stop", ambiguous=True, other_price=45, **costs)
    world.fill(40, Side.BUY, 2, 110, **costs)
    world.fill(50, Side.SELL, 1, 111, **costs)
    world.open_profit = 4.0
    for hours, equity in ((6, 1_009.0), (30, 1_001.0), (48, 1_003.0)):
        world.sample(hours, equity)
    world.sample(world.days * 24, world.balance + world.realised + world.open_profit)
    return world


def bars(symbol: str, count: int, *, start_ns: int = START_NS) -> BarSeries:
    """Minute bars on a slow wave around 100."""
    close = 100 + 5 * np.sin(np.arange(count) / 300.0)
    opening = np.concatenate(([100.0], close[:-1]))
    open_ns = start_ns + np.arange(count, dtype=np.int64) * MINUTE_NS
    high, low = np.maximum(opening, close), np.minimum(opening, close)
    return BarSeries(symbol, MINUTE_NS, open_ns, opening, high, low, close, np.ones(count))


def failed(world: World, error: LockstepError) -> BacktestResult:
    """The run, ended by an error."""
    return world.result(outcome=Outcome.FAILED, error=error)
