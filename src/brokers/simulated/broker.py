"""SimulatedBroker: the Broker port over the pure venue, guarded by one lock.

Each call takes the lock, calls the pure part, journals, and releases; inside it there is no callback, no wait and no
other lock. Whoever moves time calls `advance_time` once per step for all symbols, `open_market` for the opens that
market orders wait for, and `end_of_data` when a symbol has no more bars.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from src.brokers.simulated.desk import Desk, summed
from src.brokers.simulated.equity_curve import equity_curve
from src.brokers.simulated.fidelity import fidelity_of
from src.brokers.simulated.full_venue import FullVenue, venue_of
from src.brokers.simulated.funding import FundingRates
from src.brokers.simulated.quotes import PriceTape, QuoteVenue, quote_venue_of
from src.brokers.simulated.refusals import refused
from src.brokers.simulated.rules import Costs, FillRules
from src.brokers.simulated.telling import Telling
from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.broker import Connection
from src.core.clock import Clock
from src.core.config import AccountConfig
from src.core.errors import ConfigError, InternalError
from src.core.instrument import Instrument
from src.core.journal import Journal
from src.core.records import (
    Fill,
    Order,
    OrderEvent,
    OrderRequest,
    OrderResult,
    OrderType,
    Payment,
    Position,
    Quote,
    Side,
    Snapshot,
    Trade,
    make_account,
    make_order_request,
    make_position,
    make_quote,
    make_snapshot,
)
from src.core.sync import Lock
from src.core.wake import Signals

__all__ = ["SimulatedBroker"]

_CERTAIN = Connection()


class SimulatedBroker:
    """A venue that fills from bars.

    Args:
        account: the account to keep.
        instruments: the rules of each symbol, in rank order.
        base: each symbol's base bars.
        derived: higher timeframes by (symbol, timeframe in ns).
        costs: cost models, one set for all symbols.
        rules: fill assumptions.
        funding: rates of the perpetuals that pay stored ones, by symbol.
        joining: the rules of symbols that will join.
        tapes: quotes and trades by symbol, when these are what orders fill at; bars are only shown then.

    Attributes:
        signals: its `changes` grows with each order event.
        awaited_open_ns: the earliest open that a market order waits for, None when none waits.
        next_ending_ns: the earliest instant at which an order ends while its symbol has no bar, None when none does.
        prices: the venue, where prices come by themselves; None where only bars come.
    """

    def __init__(
        self,
        account: AccountConfig,
        instruments: Mapping[str, Instrument],
        base: Mapping[str, BarSeries],
        derived: Mapping[tuple[str, int], BarSeries],
        costs: Costs,
        rules: FillRules | None = None,
        funding: Mapping[str, FundingRates] | None = None,
        joining: Mapping[str, Instrument] | None = None,
        tapes: Mapping[str, PriceTape] | None = None,
    ) -> None:
        self.account_config = account
        self.signals = Signals()
        self.awaited_open_ns: int | None = None
        self.next_ending_ns: int | None = None
        lock = Lock()
        self._lock: AbstractContextManager[bool] = lock
        self._acquire: Callable[[], object] = lock.acquire
        self._release: Callable[[], object] = lock.release
        made = account, instruments, base, costs, rules or FillRules(), funding, joining
        self.prices = self._price_venue(tapes, *made)
        self._venue = self.prices or venue_of(*made)
        self._full = self._venue if isinstance(self._venue, FullVenue) else None
        self._advance = self._venue.advance
        self._events = self._venue.ledger.events
        self._unit_cost = self._venue.ledger.unit_cost
        self._derived = dict(derived)
        #: Bound once and called often: the desk of a symbol, and the clock's present.
        self._desk: Callable[[str], Desk] = self._venue.by_symbol.__getitem__
        self._now: Callable[[], int] = _beginning
        self._journal = Journal()
        self._telling = Telling(self._venue.ledger, self.signals)
        self._record_order, self._deliver = self._telling.record_order, self._telling.deliver
        self._flat: dict[tuple[str, str], Position] = {}

    def _price_venue(self, tapes: Mapping[str, PriceTape] | None, *made: Any) -> QuoteVenue | None:
        """The venue where prices come by themselves, None where only bars come."""
        return None if tapes is None else quote_venue_of(tapes, *made)

    def bind(self, clock: Clock, journal: Journal) -> None:
        """Set the clock that stamps orders and the journal; once, before the first order."""
        self._now = clock.now_ns
        self._journal = journal
        self._telling.bind(clock, journal)
        if self._full is not None:
            self._full.ledger.note = journal.record

    def guard_with(self, lock: AbstractContextManager[bool]) -> None:
        """Use another lock around the state, one that is measured; before the first call."""
        self._lock = lock
        self._acquire, self._release = lock.__enter__, partial(lock.__exit__, None, None, None)

    # -- the Broker port ---------------------------------------------------------------------------

    def connection(self) -> Connection:
        """See `Broker.connection`; it answers always."""
        return _CERTAIN

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
        bid, ask = desk.quotes.bid(mark), desk.quotes.ask(mark)
        if self._full is None:
            return make_quote(symbol=symbol, instant_ns=self._now(), bid=bid, ask=ask)
        rate = self._full.rate_for(desk, self._now())
        return make_quote(symbol=symbol, instant_ns=self._now(), bid=bid, ask=ask, rate=rate)

    def sides_of(self, symbol: str, price: float) -> tuple[float, float]:
        """Bid and ask now when the bars of a symbol show a price."""
        quotes = self._desk(symbol).quotes
        return quotes.bid(price), quotes.ask(price)

    def snapshot(self) -> Snapshot:
        """See `Broker.snapshot`."""
        with self._lock:
            venue, ledger = self._venue, self._venue.ledger
            equity, margin = ledger.valued()
            account = make_account(
                currency=self.account_config.currency, instant_ns=self._now(), balance=ledger.balance, equity=equity,
                margin_used=margin,
            )  # fmt: skip
            positions, orders = [], []
            for desk in venue.by_name:
                if desk.books:
                    positions += [book.position() for book in desk.books]
                if desk.market_orders or desk.resting:
                    orders += [order.snapshot() for order in desk.orders()]
            return make_snapshot(account=account, positions=tuple(positions), orders=tuple(orders))

    def equity(self) -> float:
        """See `Broker.equity`."""
        with self._lock:
            return self._venue.ledger.equity()

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker.position`."""
        desk = self._desk(symbol)
        if desk.books:
            with self._lock:
                own = [each.position() for each in desk.books if each.book == book]
            if own:
                return own[0] if len(own) == 1 else summed(own)
        flat = self._flat.get((book, symbol))
        if flat is None:
            flat = self._flat[book, symbol] = make_position(position_id="", book=book, symbol=symbol, volume=0.0)
        return flat

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
        return self._unit_cost(self._desk(symbol), price)

    def exit_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.exit_per_unit`."""
        return self._unit_cost(self._desk(symbol), price)

    def margin_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.margin_per_unit`; the spread is in it, which a fill takes from the equity at once."""
        return self._venue.ledger.unit_margin(self._desk(symbol), price)

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`; refusals carry the codes of `refusals`."""
        with self._lock:
            result, order = self._venue.place(request, self._now())
            if order is not None:
                self._record_order(order)
                self._look_ahead()
            return result

    def find_order(self, client_id: str) -> Order | None:
        """See `Broker.find_order`; a look at all orders, for who has lost sight of one."""
        with self._lock:
            for desk in self._venue.desks:
                for order in desk.orders():
                    if order.order_id == client_id:
                        return order.snapshot()
            return next((order for order in reversed(self._telling.finished) if order.order_id == client_id), None)

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`."""
        with self._lock:
            result = self._venue.cancel(order_id, self._now())
            self._look_ahead()
            self._deliver()
            return result

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker.modify`."""
        with self._lock:
            result, order = self._venue.modify(order_id, price, limit, volume, self._now())
            if order is not None:
                self._record_order(order)
            return result

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`; a stop that is already in the market is refused with `stop_in_market`."""
        with self._lock:
            now = self._now()
            result, desk = self._venue.protect(position_id, stop, target, kind, now)
            if desk is not None:
                self._journal.record(now, desk.symbol, "protect", "broker", position_id, stop, target, kind)
            return result

    def close(
        self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit", reason: str = ""
    ) -> OrderResult:
        """See `Broker.close`."""
        if volume is not None and not (math.isfinite(volume) and volume > 0):
            return refused("volume", f"expected a positive volume, found {volume!r}")
        for desk in self._venue.desks:
            for position in self.positions(desk.symbol):
                if position.position_id == position_id:
                    side = Side.SELL if position.volume > 0 else Side.BUY
                    size = min(abs(position.volume), volume) if volume is not None else abs(position.volume)
                    return self.place(
                        make_order_request(
                            client_id=client_id, book=position.book, symbol=desk.symbol, side=side,
                            type=OrderType.MARKET, volume=size, reduce_only=True, position_id=position_id,
                            exit_kind=kind, reason=reason,
                        )
                    )  # fmt: skip
        return refused("no_position", f"no open position {position_id}")

    # -- whoever moves time ------------------------------------------------------------------------

    def all_base_series(self) -> list[BarSeries]:
        """The base bars in rank order."""
        return [desk.series for desk in self._venue.desks]

    def all_derived_series(self) -> list[BarSeries]:
        """The higher timeframes, in the order in which they were given."""
        return list(self._derived.values())

    def rewind(self, instant_ns: int) -> None:
        """Make the last visible bar of each symbol the present; once, before time moves."""
        with self._lock:
            self._venue.rewind(instant_ns)

    def add_symbol(self, instrument: Instrument, base: BarSeries, derived: Mapping[int, BarSeries]) -> None:
        """Trade one more symbol, after all others; the last visible bar of its series is the present.

        Args:
            derived: higher timeframes by their length in ns.
        """
        with self._lock:
            self._venue.add_desk(instrument, base)
            self._derived.update({(instrument.symbol, length_ns): series for length_ns, series in derived.items()})

    def open_market(self, instant_ns: int) -> None:
        """Fill the market orders of all symbols whose awaited bar opens now."""
        with self._lock:
            self._venue.open_market(instant_ns)
            self._look_ahead()
            self._deliver()

    def end_orders(self, instant_ns: int) -> None:
        """End the orders that expire, or whose cancellation arrives, while their symbol has no bar."""
        with self._lock:
            self._venue.end_orders(instant_ns)
            self._look_ahead()
            self._deliver()

    def advance_time(self, instant_ns: int, closed: Sequence[int]) -> None:
        """Move all symbols at once: the bars of the symbols with these ranks end now."""
        # Spelled out, because a with statement costs three times as much and this is done at every step; and fetched
        # before they are called, because `self._acquire()` would look for a method first.
        acquire, advance, release = self._acquire, self._advance, self._release
        acquire()
        try:
            advance(instant_ns, closed)
            if self._events:
                if self.next_ending_ns is not None or self._venue.awaited_open_ns != self.awaited_open_ns:
                    self._look_ahead()
                self._deliver()
        finally:
            release()

    def advance_price(self, rank: int, instant_ns: int) -> None:
        """The next price of the symbol with this rank comes; only to a broker that has tapes."""
        venue = self.prices
        if venue is None:
            raise InternalError("a price came to a venue that has bars alone")
        with self._lock:
            venue.advance_price(rank, instant_ns)
            if self._events:
                self._look_ahead()
                self._deliver()

    def end_of_data(self, symbol: str, instant_ns: int) -> None:
        """A symbol has no more bars: its orders end, its positions are closed at the last price or kept marked."""
        desk = self._desk(symbol)
        with self._lock:
            self._venue.end_of_data(desk, instant_ns)
            self._look_ahead()
            self._deliver()

    # -- results -----------------------------------------------------------------------------------

    def fills(self) -> list[Fill]:
        """All executions so far, in order."""
        return self._venue.ledger.fills

    def trades(self) -> list[Trade]:
        """All closed trades so far, in order of closing."""
        return self._venue.ledger.trades

    def fidelity(self) -> dict[str, str]:
        """Where this simulation is coarser than a venue: a sentence by rule."""
        return fidelity_of(self._venue)

    def payments(self) -> list[Payment]:
        """Money that came or went without an execution so far, in order."""
        return [] if self._full is None else self._full.ledger.payments

    def orders(self) -> list[Order]:
        """All orders: the ended ones in the order of their end, then the living ones."""
        return [*self._telling.finished, *(order.snapshot() for desk in self._venue.desks for order in desk.orders())]

    def equity_samples(self) -> tuple[IntArray, FloatArray]:
        """Instants, strictly increasing, and equity after everything that happened at them, both of shape (n,)."""
        with self._lock:
            venue = self._venue
            sampled = self.prices or self._full
            if sampled is not None:
                return sampled.equity_samples()
            return equity_curve(venue.start_ns, venue.steps_ns, venue.ledger.balances, venue.by_name)

    # -- inside ------------------------------------------------------------------------------------

    def _look_ahead(self) -> None:
        """Find out again what whoever moves time must stop for."""
        venue = self._venue
        venue.review_endings()
        self.awaited_open_ns, self.next_ending_ns = venue.awaited_open_ns, venue.next_ending_ns
        self.signals.close_ns = None


def _beginning() -> int:
    return 0
