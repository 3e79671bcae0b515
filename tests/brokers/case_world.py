"""A small venue made from the sections of a configuration, told what to do in the words of the table of fill cases.

Moved by hand: a clock that is set, and the market that a backtest has. Called from a test's own thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from src.backtesting.config import CostsSection
from src.backtesting.engine.tick_market import market_of_broker
from src.brokers.simulated import FillRules, PriceTape, SimulatedBroker
from src.brokers.simulated.costs_section import costs_of
from src.brokers.simulated.rules import BlowOut
from src.core.bars import BarSeries
from src.core.config import AccountConfig, InstrumentConfig
from src.core.journal import Journal
from src.core.records import Fill, OrderRequest, OrderResult, OrderType, Side, TimeInForce, TriggerBy
from src.core.timeframe import MINUTE_NS, parse_instant
from src.testing.worlds import price_tape

__all__ = ["CaseWorld", "build_broker", "costs_from", "request_from", "series_from", "tell"]

#: Costs have to be written, and the table writes only those that its case is about: what is 0 unless one of these is.
_NO_COSTS = {
    "spread_points": ("spread_points", "spread_percent", "spread_by_hour", "spread"),
    "commission_percent": ("commission_percent", "commission_per_unit", "commission_per_trade", "taker_percent"),
    "slippage_points": ("slippage_points", "slippage_percent"),
}

_ENUMS: dict[str, type] = {"side": Side, "type": OrderType, "time_in_force": TimeInForce, "trigger_by": TriggerBy}


class HandClock:
    """A clock that stands still until it is set; the part of the port that a venue asks."""

    def __init__(self, now_ns: int) -> None:
        self.instant_ns = now_ns

    def now_ns(self) -> int:
        """The instant that was set."""
        return self.instant_ns


def series_from(symbol: str, rows: Sequence[Sequence[float] | None], first_ns: int, price_side: str) -> BarSeries:
    """One-minute bars of open, high, low, close and, where a fifth number stands, volume; None is an absent minute."""
    present = [(i, list(row)) for i, row in enumerate(rows) if row is not None]
    opens = np.array([first_ns + i * MINUTE_NS for i, _ in present], dtype=np.int64)
    table = np.array([(row + [1.0])[:5] for _, row in present], dtype=np.float64).reshape(-1, 5)
    o, h, low, c, v = (np.ascontiguousarray(table[:, i]) for i in range(5))
    return BarSeries(symbol, MINUTE_NS, opens, o, h, low, c, v, price_side=price_side)


def costs_from(values: Mapping[str, Any]) -> Any:
    """The cost models of `backtest.costs`; a model that is not mentioned costs nothing."""
    section = dict(values)
    for free, models in _NO_COSTS.items():
        if not any(key in section for key in models):
            section[free] = 0.0
    return costs_of(CostsSection.model_validate(section))


def request_from(values: Mapping[str, Any], identity: str, start_ns: int) -> OrderRequest:
    """A request in the table's words: `expires` in minutes, plain text for what the records have names for."""
    order: dict[str, Any] = {"book": "sma", "symbol": "AAA", "type": "market", "volume": 1.0, "client_id": identity}
    order.update(values)
    if "expires" in order:
        order["expires_ns"] = start_ns + round(order.pop("expires") * MINUTE_NS)
    for word, kind in _ENUMS.items():
        if word in order:
            order[word] = kind(order[word])
    return OrderRequest(**order)


def build_broker(
    base: Mapping[str, BarSeries],
    *,
    account: Mapping[str, Any] | None = None,
    instruments: Mapping[str, Mapping[str, Any]] | None = None,
    costs: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    tapes: Mapping[str, PriceTape] | None = None,
    blow_outs: Sequence[BlowOut] = (),
) -> SimulatedBroker:
    """The venue of a configuration: a free margin account of 10,000 USD unless something else is said."""
    config = AccountConfig.model_validate({"currency": "USD", "balance": 10_000, **(account or {})})
    rows = instruments or {}
    built = {
        symbol: InstrumentConfig.model_validate({"currency": "USD", **rows.get(symbol, rows.get("*", {}))}).build(
            symbol, config.currency
        )
        for symbol in base
    }
    models = replace(costs_from(costs or {}), blow_outs=tuple(blow_outs))
    fills = FillRules(**{"at_end": "keep", **(rules or {})})
    return SimulatedBroker(config, built, base, {}, models, fills, tapes=tapes)


class CaseWorld:
    """The venue of one case of the table, and the doing of its steps.

    Args:
        case: the case as it stands in the table; see the head of `fill_cases.yaml` for the words.
    """

    def __init__(self, case: Mapping[str, Any]) -> None:
        self.case = case
        self.start_ns = parse_instant(case.get("start", "2024-01-02"))
        bars: Any = case.get("bars", [])
        by_symbol: dict[str, Any] = bars if isinstance(bars, dict) else {"AAA": bars}
        before = case.get("before", {})
        base, minutes = {}, 0
        for symbol, rows in by_symbol.items():
            price = float(before.get(symbol, 100.0)) if isinstance(before, dict) else float(before)
            side = case.get("price_side", "trade")
            each = _expanded(rows)
            minutes = max(minutes, len(each))
            base[symbol] = series_from(symbol, [[price] * 4, *each], self.start_ns - MINUTE_NS, side)
        ticks = case.get("ticks")
        tapes = None if ticks is None else {"AAA": price_tape("AAA", [tuple(row) for row in ticks], self.start_ns)}
        instruments = case.get("instruments", {"*": case.get("instrument", {})})
        self.broker = build_broker(
            base,
            account=case.get("account"),
            instruments=instruments,
            costs=case.get("costs"),
            rules=case.get("rules"),
            tapes=tapes,
        )
        self.clock = HandClock(self.start_ns)
        self.journal = Journal()
        end_ns = self.start_ns + (minutes + int(case.get("minutes", 60))) * MINUTE_NS
        self.market = market_of_broker(self.broker, self.journal, self.start_ns, end_ns)
        self.broker.bind(self.clock, self.journal)  # type: ignore[arg-type]  # a venue asks a clock for the time only
        self._several = len(by_symbol) > 1
        self._placed = 0

    # -- time ------------------------------------------------------------------------------------------------------

    def go_to(self, minute: float) -> None:
        """Perform all steps up to a minute, the opens at that minute included, and stand there."""
        until = self.start_ns + round(minute * MINUTE_NS)
        if until == self.clock.instant_ns:
            return  # what is placed at one minute is placed before that minute's opens
        while (at := self.market.next_ns()) is not None and at <= until:
            self._step(at)
        self.clock.instant_ns = until

    def run(self) -> None:
        """Perform all steps that are left."""
        while (at := self.market.next_ns()) is not None:
            self._step(at)

    def _step(self, at_ns: int) -> None:
        self.clock.instant_ns = at_ns
        self.market.advance(at_ns)

    # -- what is asked ---------------------------------------------------------------------------------------------

    def do(self, step: Mapping[str, Any]) -> OrderResult:
        """Do one step of a case at its minute; the answer."""
        words = dict(step)
        at = words.pop("at", 0)
        if at:
            self.go_to(at)
        words.pop("refused", None)
        word = next(iter(words))
        value = words.pop(word)
        if word == "place":
            self._placed += 1
            return self.broker.place(request_from(value, f"o{self._placed}", self.start_ns))
        if word == "cancel":
            return self.broker.cancel(value)
        if word == "modify":
            return self.broker.modify(value, **words)
        if word == "protect":
            return self.broker.protect(self._position(value), **words)
        if word == "close":
            self._placed += 1
            return self.broker.close(self._position(value), client_id=f"o{self._placed}", **words)
        raise ValueError(f"expected place, cancel, modify, protect or close, found {word!r}")

    def _position(self, which: str) -> str:
        """The identity of a position: given, or the oldest of a symbol."""
        if which.startswith("o"):
            return which
        held = self.broker.positions(which)
        return held[0].position_id if held else "none"

    # -- what came of it -------------------------------------------------------------------------------------------

    def fills(self) -> list[str]:
        """All executions in the words of the table."""
        return [tell(fill, self.start_ns, several=self._several) for fill in self.broker.fills()]

    def ended(self) -> dict[str, str]:
        """State and code of each order that was placed, by its id."""
        orders = {order.order_id: order for order in self.broker.orders()}
        return {name: f"{order.state.value} {order.code}".strip() for name, order in orders.items()}

    def money(self) -> dict[str, float]:
        """Balance, equity and margin used, as the account tells them now."""
        account = self.broker.snapshot().account
        return {"balance": account.balance, "equity": account.equity, "margin": account.margin_used}

    def held(self) -> dict[str, float]:
        """The signed volume of each open position, by its id."""
        return {each.position_id: each.volume for each in self.broker.snapshot().positions}


def _expanded(rows: Sequence[Any]) -> list[Any]:
    """The rows of a case; a number stands for so many absent minutes."""
    out: list[Any] = []
    for row in rows:
        out.extend([None] * row if isinstance(row, int) else [row])
    return out


def tell(fill: Fill, start_ns: int, *, several: bool = False) -> str:
    """`BBB entry 2 x 99 @1 from 0 or 102`: the symbol among several, the volume if not 1, kind, price and minutes."""
    known = (fill.filled_ns - start_ns) / MINUTE_NS
    earliest = (fill.filled_from_ns - start_ns) / MINUTE_NS
    text = f"{fill.kind} "
    if several:
        text = f"{fill.symbol} {text}"
    if fill.volume != 1.0:
        text += f"{fill.volume:.10g} x "
    text += f"{fill.price:.10g} @{known:g}"
    if earliest != known:
        text += f" from {earliest:g}"
    if fill.ambiguous:
        text += f" or {fill.other_price:.10g}"
    return text
