"""A simulated venue driven by hand: one-minute bars, a clock that is set, and short words for orders."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from src.backtesting.engine.market import SimulatedMarket
from src.brokers.simulated import Commission, Costs, FillRules, SimulatedBroker, Slippage
from src.core.bars import BarSeries
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.core.journal import Journal, JournalRecord
from src.core.records import Account, Fill, OrderEvent, OrderRequest, OrderResult, OrderType, Position, Side, Trade
from src.core.timeframe import MINUTE_NS, parse_instant

START_NS = parse_instant("2024-01-02")

#: Open, high, low, close; None where the minute has no bar.
Prices = Sequence[float] | None


class HandClock:
    """A clock that stands still until it is set; the part of the port that a venue asks."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self.instant_ns = now_ns

    def now_ns(self) -> int:
        """The instant that was set."""
        return self.instant_ns


def series(symbol: str, bars: Sequence[Prices], *, price_side: str = "trade", first_minute: int = -1) -> BarSeries:
    """One-minute bars; the first one ends at the start, so that there is a price from the beginning."""
    present = [(first_minute + i, prices) for i, prices in enumerate(bars) if prices is not None]
    opens = np.array([START_NS + minute * MINUTE_NS for minute, _ in present], dtype=np.int64)
    table = np.array([prices for _, prices in present], dtype=np.float64).reshape(-1, 4)
    opening, high, low, close = (table[:, i].copy() for i in range(4))
    volume = np.ones(len(present))
    return BarSeries(symbol, MINUTE_NS, opens, opening, high, low, close, volume, price_side=price_side)


class Venue:
    """A broker over given bars, with the market that moves it.

    Args:
        bars: bars by symbol, the first of each already past when the story begins; or those of the symbol `AAA`.
        account, costs, rules, instrument: what differs from a margin account of 10,000 USD without any cost.
    """

    def __init__(
        self,
        bars: Mapping[str, Sequence[Prices]] | Sequence[Prices],
        *,
        account: Mapping[str, Any] | None = None,
        costs: Mapping[str, Any] | None = None,
        rules: Mapping[str, Any] | None = None,
        instrument: Mapping[str, Any] | None = None,
        price_side: str = "trade",
        minutes: int = 60,
    ) -> None:
        by_symbol = bars if isinstance(bars, Mapping) else {"AAA": bars}
        self.config = AccountConfig(**{"currency": "USD", "balance": 10_000, **(account or {})})
        instruments = {
            symbol: Instrument(**{"symbol": symbol, "kind": "spot", "quote_currency": "USD", **(instrument or {})})
            for symbol in by_symbol
        }
        base = {symbol: series(symbol, each, price_side=price_side) for symbol, each in by_symbol.items()}
        self.broker = SimulatedBroker(
            self.config, instruments, base, {}, costs_of(**(costs or {})), FillRules(**(rules or {"at_end": "keep"}))
        )
        self.clock = HandClock()
        self._records: list[JournalRecord] = []
        self.journal = Journal(self._records.extend)
        self.market = SimulatedMarket(self.broker, self.journal, START_NS, START_NS + minutes * MINUTE_NS)
        self.broker.bind(self.clock, self.journal)  # type: ignore[arg-type]  # a venue asks a clock for the time only
        self._orders = 0

    # -- time ----------------------------------------------------------------------------------------------------------

    @property
    def minute(self) -> float:
        """Minutes since the start."""
        return (self.clock.instant_ns - START_NS) / MINUTE_NS

    def step(self) -> bool:
        """Perform the next step of the market; False when none is left."""
        at = self.market.next_ns()
        if at is None:
            return False
        self.clock.instant_ns = at
        self.market.advance(at)
        return True

    def go_to(self, minute: float) -> "Venue":
        """Perform all steps up to a minute, the openings at that minute included, and stand there."""
        until = START_NS + round(minute * MINUTE_NS)
        while (at := self.market.next_ns()) is not None and at <= until:
            self.step()
        self.clock.instant_ns = until
        return self

    def run(self) -> "Venue":
        """Perform all steps that are left."""
        while self.step():
            pass
        return self

    # -- orders --------------------------------------------------------------------------------------------------------

    def request(self, side: str, type_: str = "market", volume: float = 1.0, **more: Any) -> OrderRequest:
        """A request of the book `sma`, with an id of its own."""
        self._orders += 1
        values: dict[str, Any] = {"client_id": f"o{self._orders}", "book": "sma", "symbol": "AAA", **more}
        if "expires" in values:
            values["expires_ns"] = START_NS + round(values.pop("expires") * MINUTE_NS)
        return OrderRequest(side=Side(side), type=OrderType(type_), volume=volume, **values)

    def place(self, side: str, type_: str = "market", volume: float = 1.0, **more: Any) -> OrderResult:
        """Place such a request."""
        return self.broker.place(self.request(side, type_, volume, **more))

    def buy(self, volume: float = 1.0, **more: Any) -> OrderResult:
        """Buy at the market, or with `limit` or `trigger`."""
        return self._enter("buy", volume, more)

    def sell(self, volume: float = 1.0, **more: Any) -> OrderResult:
        """Sell at the market, or with `limit` or `trigger`."""
        return self._enter("sell", volume, more)

    def _enter(self, side: str, volume: float, more: dict[str, Any]) -> OrderResult:
        for word, type_ in (("limit", "limit"), ("trigger", "stop")):
            if word in more:
                return self.place(side, type_, volume, price=more.pop(word), **more)
        return self.place(side, "market", volume, **more)

    def close(self, position_id: str | None = None, volume: float | None = None) -> OrderResult:
        """Close a position, the only one by default, or a part of it."""
        self._orders += 1
        identity = position_id or self.broker.positions("AAA")[0].position_id
        return self.broker.close(identity, client_id=f"o{self._orders}", volume=volume)

    # -- what there is -------------------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """What the book `sma` holds of `AAA`."""
        return self.broker.position("sma", "AAA")

    @property
    def account(self) -> Account:
        """The account now."""
        return self.broker.snapshot().account

    @property
    def fills(self) -> list[Fill]:
        """All executions."""
        return self.broker.fills()

    @property
    def trades(self) -> list[Trade]:
        """All closed trades."""
        return self.broker.trades()

    def events(self, symbol: str = "AAA") -> list[OrderEvent]:
        """Take the undelivered events of a symbol."""
        mailbox = self.broker.mailbox(symbol)
        return [mailbox.popleft() for _ in range(len(mailbox))]

    def recorded(self, kind: str) -> list[tuple[Any, ...]]:
        """The values of all journal records of a kind; ends the present instant for the journal."""
        self.journal.settle()
        return [record.values for record in self._records if record.kind == kind]

    def told(self) -> list[str]:
        """The executions so far in the words of the table: kind, price, when known, from when, other price."""
        return [tell(fill) for fill in self.fills]


def costs_of(
    *, commission_percent: float = 0.0, commission_per_unit: float = 0.0, slippage_percent: float = 0.0,
    slippage_points: float = 0.0, spread_percent: float = 0.0, spread_points: float = 0.0, latency_s: float = 0.0,
    **more: Any,
) -> Costs:  # fmt: skip
    """Cost models from plain numbers; everything is free by default; `more` are further attributes of `Costs`."""
    return Costs(
        commission=Commission(commission_percent, commission_per_unit),
        slippage=Slippage(slippage_percent, slippage_points),
        spread_percent=spread_percent,
        spread_points=spread_points,
        latency_ns=round(latency_s * 1e9),
        **more,
    )


def tell(fill: Fill) -> str:
    """`stop 98 @2 from 1 or 102`: kind, price, minute at which it was known, earliest minute, the other outcome."""
    known = (fill.filled_ns - START_NS) / MINUTE_NS
    earliest = (fill.filled_from_ns - START_NS) / MINUTE_NS
    text = f"{fill.kind} {fill.price:.10g} @{known:g}"
    if earliest != known:
        text += f" from {earliest:g}"
    if fill.ambiguous:
        text += f" or {fill.other_price:.10g}"
    return text
