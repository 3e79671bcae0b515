"""SimulatedBroker: the Broker port over pure matching and ledger, guarded by one lock.

Each call takes the lock, calls the pure part, journals, and releases; inside it there is no callback, no wait and no
other lock. Whoever moves time calls `advance_time` once per step for all symbols, `open_market` for the opens that
market orders wait for, and `end_of_data` when a symbol has no more bars.
"""

import math
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from src.brokers.simulated.desk import Desk, PendingProtection, WorkingOrder
from src.brokers.simulated.ledger import Ledger, Moment
from src.brokers.simulated.matching import match_interior, match_market_orders, match_opens
from src.brokers.simulated.refusals import order_refusal, protection_refusal, refused
from src.brokers.simulated.rules import Costs, FillRules
from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.clock import Clock
from src.core.config import AccountConfig
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.journal import ACCOUNT_STREAM, Journal
from src.core.records import (
    Account,
    Fill,
    Order,
    OrderEvent,
    OrderRequest,
    OrderResult,
    OrderState,
    OrderType,
    Position,
    Quote,
    Side,
    Snapshot,
    Trade,
)
from src.core.sync import Lock
from src.core.timeframe import format_duration
from src.core.wake import Signals

__all__ = ["SimulatedBroker"]


class SimulatedBroker:
    """A venue that fills from bars.

    Args:
        account: the account to keep.
        instruments: the rules of each symbol, in rank order.
        base: each symbol's base bars.
        derived: higher timeframes by (symbol, timeframe in ns).
        costs: cost models, one set for all symbols.
        rules: fill assumptions.

    Attributes:
        signals: its `changes` grows with each order event.
        awaited_open_ns: the earliest open that a market order waits for, None when none waits.
    """

    def __init__(
        self,
        account: AccountConfig,
        instruments: Mapping[str, Instrument],
        base: Mapping[str, BarSeries],
        derived: Mapping[tuple[str, int], BarSeries],
        costs: Costs,
        rules: FillRules | None = None,
    ) -> None:
        self.account_config = account
        self.rules = rules or FillRules()
        self.signals = Signals()
        self.awaited_open_ns: int | None = None
        self._lock = Lock()
        self._desks = [Desk(instruments[s], base[s], costs, rank) for rank, s in enumerate(instruments)]
        self._by_name = sorted(self._desks, key=lambda desk: desk.symbol)
        self._by_symbol = {desk.symbol: desk for desk in self._desks}
        self._derived = dict(derived)
        self._ledger = Ledger(account, self._desks)
        self._clock: Clock | None = None
        self._journal = Journal()
        self._latency_ns = {d.symbol: _effective_latency(costs.latency_ns, d.series) for d in self._desks}
        self._opens: dict[str, int] = {}
        self._positions: dict[tuple[str, str], Position] = {}
        self._finished: list[Order] = []
        self._balance_seen = account.balance
        self._equity_ns = array("q")
        self._equity = array("d")

    def bind(self, clock: Clock, journal: Journal) -> None:
        """Set the clock that stamps orders and the journal; once, before the first order."""
        self._clock = clock
        self._journal = journal

    # -- the Broker port ---------------------------------------------------------------------------

    def instrument(self, symbol: str) -> Instrument:
        """See `Broker.instrument`."""
        return self._desk(symbol).instrument

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """See `Broker.series`."""
        base = self._desk(symbol).series
        if timeframe_ns == base.timeframe_ns:
            return base
        series = self._derived.get((symbol, timeframe_ns))
        if series is None:
            raise ConfigError(f"{symbol} has no bars of {timeframe_ns} ns; subscribe the timeframe before the start")
        return series

    def base_series(self, symbol: str) -> BarSeries:
        """See `Broker.base_series`."""
        return self._desk(symbol).series

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker.quote`."""
        desk = self._desk(symbol)
        mark = desk.mark
        if math.isnan(mark):
            return None
        return Quote(symbol=symbol, instant_ns=self._now(), bid=desk.quotes.bid(mark), ask=desk.quotes.ask(mark))

    def snapshot(self) -> Snapshot:
        """See `Broker.snapshot`."""
        with self._lock:
            ledger = self._ledger
            account = Account(
                currency=self.account_config.currency, instant_ns=self._now(), balance=ledger.balance,
                equity=ledger.equity(), margin_used=ledger.margin_used(),
            )  # fmt: skip
            return Snapshot(
                account=account,
                positions=tuple([book.position() for desk in self._by_name for book in desk.books]),
                orders=tuple([order.snapshot() for desk in self._by_name for order in desk.orders()]),
            )

    def equity(self) -> float:
        """See `Broker.equity`."""
        with self._lock:
            return self._ledger.equity()

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker.position`."""
        found = self._positions.get((book, symbol))
        if found is None:
            found = self._positions[book, symbol] = Position(position_id="", book=book, symbol=symbol, volume=0.0)
        return found

    def positions(self, symbol: str) -> Sequence[Position]:
        """See `Broker.positions`."""
        desk = self._desk(symbol)
        if not desk.books:
            return ()
        with self._lock:
            return tuple(book.position() for book in desk.books)

    def mailbox(self, symbol: str) -> deque[OrderEvent]:
        """See `Broker.mailbox`."""
        return self._desk(symbol).events

    def entry_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.entry_per_unit`."""
        costs = self._desk(symbol).costs
        return costs.commission.of(1.0, price) + costs.slippage.of(price)

    def exit_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.exit_per_unit`."""
        return self.entry_per_unit(symbol, price)

    def margin_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.margin_per_unit`."""
        return self._ledger.margin.of(1.0, price)

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`; refusals carry the codes of `refusals`."""
        with self._lock:
            desk = self._by_symbol.get(request.symbol)
            if desk is None:
                return refused("unknown_symbol", f"{request.symbol} is not traded here")
            if any(order.order_id == request.client_id for order in desk.orders()):
                return refused("duplicate_id", f"an order {request.client_id} is working already")
            refusal = order_refusal(self._ledger, desk, request)
            if refusal is not None:
                return refusal
            now = self._now()
            order = WorkingOrder(request, now, now + self._latency_ns[desk.symbol])
            if request.type is OrderType.MARKET:
                opens = desk.next_open_ns(order.effective_ns)
                if opens is None:
                    return refused("no_data", f"{desk.symbol} has no bar to come on which the order could fill")
                desk.market_orders.append(order)
                self._await_open(desk, opens)
            else:
                desk.resting.append(order)
                desk.review()
            self._record_order(order.snapshot())
            return OrderResult(accepted=True, order_id=order.order_id)

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`."""
        with self._lock:
            desk, order = self._find(order_id)
            if desk is None or order is None:
                return refused("not_working", f"no working order {order_id}: it was filled, ended or never placed")
            latency = self._latency_ns[desk.symbol]
            if latency:
                if order.cancel_ns is None:  # until the request arrives the order may still fill
                    order.cancel_ns = self._now() + latency
                return OrderResult(accepted=True, order_id=order_id)
            self._drop(desk, order)
            self._ledger.finish(desk, order, OrderState.CANCELLED, Moment(self._now()), "cancelled", "as asked")
            self._deliver()
            return OrderResult(accepted=True, order_id=order_id)

    def modify(self, order_id: str, *, price: float | None = None, volume: float | None = None) -> OrderResult:
        """See `Broker.modify`."""
        with self._lock:
            desk, order = self._find(order_id)
            if desk is None or order is None or order.request.type is OrderType.MARKET:
                return refused("not_working", f"no resting order {order_id}: it was filled, ended or never placed")
            request = replace(
                order.request, price=order.price if price is None else price,
                volume=order.volume if volume is None else volume,
            )  # fmt: skip
            # Judged as a new order that takes the place of the old one, whose reserved margin is free again.
            place = desk.resting.index(order)
            del desk.resting[place]
            refusal = order_refusal(self._ledger, desk, request)
            desk.resting.insert(place, order)
            if refusal is not None:
                return refusal
            order.request, order.price, order.volume = request, request.price, request.volume
            order.updated_ns = self._now()
            order.effective_ns = order.updated_ns + self._latency_ns[desk.symbol]
            self._record_order(order.snapshot())
            return OrderResult(accepted=True, order_id=order_id)

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`; a stop that is already in the market is refused with `stop_in_market`."""
        with self._lock:
            for desk in self._desks:
                for book in desk.books:
                    if book.position_id != position_id:
                        continue
                    refusal = protection_refusal(desk, book, stop, target)
                    if refusal is not None:
                        return refusal
                    now, latency = self._now(), self._latency_ns[desk.symbol]
                    # A bar that is under way has prices from before now; the change counts from the next one on.
                    if latency or desk.inside_bar(now):
                        change = PendingProtection(book, position_id, now + latency, stop, target, kind)
                        desk.pending.append(change)
                    else:
                        book.protect(stop=stop, target=target, kind=kind)
                        self._refresh(book.book, desk)
                    desk.review()
                    self._journal.record(self._now(), desk.symbol, "protect", "broker", position_id, stop, target, kind)
                    return OrderResult(accepted=True, order_id=position_id)
            return refused("no_position", f"no open position {position_id}")

    def close(
        self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit", reason: str = ""
    ) -> OrderResult:
        """See `Broker.close`."""
        if volume is not None and not (math.isfinite(volume) and volume > 0):
            return refused("volume", f"expected a positive volume, found {volume!r}")
        for desk in self._desks:
            for position in self.positions(desk.symbol):
                if position.position_id == position_id:
                    side = Side.SELL if position.volume > 0 else Side.BUY
                    size = min(abs(position.volume), volume) if volume is not None else abs(position.volume)
                    return self.place(
                        OrderRequest(
                            client_id=client_id, book=position.book, symbol=desk.symbol, side=side,
                            type=OrderType.MARKET, volume=size, reduce_only=True, position_id=position_id,
                            exit_kind=kind, reason=reason,
                        )
                    )  # fmt: skip
        return refused("no_position", f"no open position {position_id}")

    # -- whoever moves time ------------------------------------------------------------------------

    def all_base_series(self) -> list[BarSeries]:
        """The base bars in rank order."""
        return [desk.series for desk in self._desks]

    def all_derived_series(self) -> list[BarSeries]:
        """The higher timeframes, in the order in which they were given."""
        return list(self._derived.values())

    def rewind(self, instant_ns: int) -> None:
        """Make the last visible bar of each symbol the present; once, before time moves."""
        for desk in self._desks:
            desk.rewind()
        self._sample(instant_ns)

    def open_market(self, instant_ns: int) -> None:
        """Fill the market orders of all symbols whose awaited bar opens now."""
        with self._lock:
            for desk in self._desks:
                if self._opens.get(desk.symbol) == instant_ns:
                    match_market_orders(self._ledger, desk, desk.index + 1, instant_ns)
                    self._reopen(desk)
            self._deliver()
            self._sample(instant_ns)

    def advance_time(self, instant_ns: int, closed: Sequence[int]) -> None:
        """Move all symbols at once: the bars of the desks with these ranks end now.

        Opens of all symbols first, then the inside of each, then marking at the closes.
        """
        desks = self._desks
        with self._lock:
            touched: list[Desk] = []
            for rank in closed:
                desk = desks[rank]
                i = desk.index = desk.index + 1
                desk.mark = desk.series.close_at[i]
                if desk.guarded and desk.touched(i):
                    touched.append(desk)
            if touched:
                self._match([desks[rank] for rank in closed], touched, instant_ns)
            self._equity_ns.append(instant_ns)
            self._equity.append(self._ledger.equity())

    def _match(self, closed: list[Desk], touched: list[Desk], instant_ns: int) -> None:
        for desk in closed:
            desk.mark = desk.series.open_at[desk.index]
        changing = [desk for desk in touched if desk.pending]
        for desk in touched:
            match_opens(self._ledger, desk, desk.index, instant_ns, self.rules)
        for desk in touched:
            match_interior(self._ledger, desk, desk.index, instant_ns, self.rules)
        for desk in closed:
            desk.mark = desk.series.close_at[desk.index]
        self._deliver()
        for desk in changing:
            self._show_protection(desk)

    def end_of_data(self, symbol: str, instant_ns: int) -> None:
        """A symbol has no more bars: its orders end, its positions are closed at the last price or kept marked."""
        desk = self._desk(symbol)
        with self._lock:
            when = Moment(instant_ns)
            desk.ended = True
            for order in list(desk.orders()):
                self._drop(desk, order)
                self._ledger.finish(desk, order, OrderState.CANCELLED, when, "end_of_data", "the symbol's data ended")
            if self.rules.at_end == "close":
                for book in list(desk.books):
                    quote = desk.quotes.bid(desk.mark) if book.volume > 0 else desk.quotes.ask(desk.mark)
                    self._ledger.exit_book(desk, book, "end_of_data", quote, when, slips=True)
            self._deliver()
            self._sample(instant_ns)

    # -- results -----------------------------------------------------------------------------------

    def fills(self) -> list[Fill]:
        """All executions so far, in order."""
        return self._ledger.fills

    def trades(self) -> list[Trade]:
        """All closed trades so far, in order of closing."""
        return self._ledger.trades

    def fidelity(self) -> dict[str, str]:
        """Where this simulation is coarser than a venue: a sentence by rule."""
        out: dict[str, str] = {}
        for desk in self._desks:
            latency = desk.costs.latency_ns
            if latency and not self._latency_ns[desk.symbol]:
                out["latency"] = f"{format_duration(latency)} is shorter than the base bars and counted as 0"
        return out

    def orders(self) -> list[Order]:
        """All orders: the ended ones in the order of their end, then the living ones."""
        return [*self._finished, *(order.snapshot() for desk in self._desks for order in desk.orders())]

    def equity_samples(self) -> tuple[IntArray, FloatArray]:
        """Instants and equity of each step, both of shape (n,); the last sample of an instant stands for it."""
        return np.frombuffer(self._equity_ns, dtype=np.int64), np.frombuffer(self._equity, dtype=np.float64)

    # -- inside ------------------------------------------------------------------------------------

    def _now(self) -> int:
        return self._clock.now_ns() if self._clock is not None else 0

    def _desk(self, symbol: str) -> Desk:
        try:
            return self._by_symbol[symbol]
        except KeyError:
            known = ", ".join(self._by_symbol)
            raise ConfigError(f"expected one of the symbols {known}, found {symbol!r}") from None

    def _find(self, order_id: str) -> tuple[Desk | None, WorkingOrder | None]:
        for desk in self._desks:
            for order in desk.orders():
                if order.order_id == order_id:
                    return desk, order
        return None, None

    def _drop(self, desk: Desk, order: WorkingOrder) -> None:
        if order in desk.resting:
            desk.resting.remove(order)
            desk.review()
        else:
            desk.market_orders.remove(order)
            self._reopen(desk)

    def _reopen(self, desk: Desk) -> None:
        """Find the open that the desk's remaining market orders wait for."""
        self._opens.pop(desk.symbol, None)
        self.awaited_open_ns = min(self._opens.values(), default=None)
        for order in desk.market_orders:
            opens = desk.next_open_ns(max(order.effective_ns, self._now()))
            if opens is not None:
                self._await_open(desk, opens)

    def _await_open(self, desk: Desk, opens_ns: int) -> None:
        self._opens[desk.symbol] = min(opens_ns, self._opens.get(desk.symbol, opens_ns))
        self.awaited_open_ns = min(self._opens.values())

    def _sample(self, instant_ns: int) -> None:
        self._equity_ns.append(instant_ns)
        self._equity.append(self._ledger.equity())

    def _show_protection(self, desk: Desk) -> None:
        """Changes that were under way have arrived at the desk: show them in what `position` answers."""
        for book in desk.books:
            self._refresh(book.book, desk)
        desk.review()

    def _refresh(self, book: str, desk: Desk) -> None:
        own = [each.position() for each in desk.books if each.book == book]
        if not own:
            self._positions.pop((book, desk.symbol), None)
        elif len(own) == 1:
            self._positions[book, desk.symbol] = own[0]
        else:
            self._positions[book, desk.symbol] = _summed(own)

    def _record_order(self, order: Order) -> None:
        request = order.request
        self._journal.record(
            order.updated_ns, request.symbol, "order", "broker", order.order_id, order.state, request.side,
            request.type, request.volume, request.price, order.filled_volume, order.code,
        )  # fmt: skip
        if order.state.is_final:
            self._finished.append(order)

    def _deliver(self) -> None:
        ledger, record = self._ledger, self._journal.record
        events = ledger.events
        if not events:
            return
        for desk, event in events:
            if event.order.state is not OrderState.WORKING:  # a reversal's closing part leaves the order as it is
                self._record_order(event.order)
            fill, trade = event.fill, event.trade
            if fill is not None:
                record(
                    fill.filled_ns, desk.symbol, "fill", "broker", fill.fill_id, fill.book, fill.side,
                    fill.volume, fill.price, fill.commission, fill.kind, fill.filled_from_ns, fill.ambiguous,
                )  # fmt: skip
            if trade is not None:
                record(
                    trade.exit_ns, desk.symbol, "trade", "broker", trade.trade_id, trade.book, trade.net, trade.risk,
                    trade.exit_kind,
                )  # fmt: skip
            desk.events.append(event)
            self._refresh(event.order.request.book, desk)
            desk.review()
        self.signals.changes += len(events)
        events.clear()
        ledger.check()
        if ledger.balance != self._balance_seen:
            self._balance_seen = ledger.balance
            record(self._now(), ACCOUNT_STREAM, "account", "broker", ledger.balance)


def _summed(positions: list[Position]) -> Position:
    oldest = positions[0]
    return Position(
        position_id=oldest.position_id, book=oldest.book, symbol=oldest.symbol,
        volume=sum(position.volume for position in positions), entry_price=oldest.entry_price,
        opened_ns=oldest.opened_ns, stop=oldest.stop, target=oldest.target, stop_kind=oldest.stop_kind,
        initial_stop=oldest.initial_stop, initial_risk=oldest.initial_risk, initial_volume=oldest.initial_volume,
        stop_cost=oldest.stop_cost,
    )  # fmt: skip


def _effective_latency(latency_ns: int, series: BarSeries) -> int:
    # Inside a bar only its four prices are known, so a shorter delay cannot be told from none.
    return latency_ns if latency_ns >= series.timeframe_ns else 0
