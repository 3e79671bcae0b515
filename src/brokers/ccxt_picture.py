"""What the ccxt broker shows: one picture of account, positions and orders, and the events that led to it.

Whoever reads the account replaces the picture as a whole; what the exchange acknowledges in between is added to it. Any
thread looks at it without waiting. The ledger's lock is held by whoever changes it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from src.brokers.ccxt_ledger import CcxtLedger
from src.brokers.ccxt_order import VenueOrder
from src.brokers.ccxt_records import Money
from src.core.errors import ConfigError
from src.core.records import Order, OrderEvent, Position, Snapshot, make_account, make_position, make_snapshot
from src.core.timeframe import SECOND_NS
from src.core.wake import Signals

__all__ = ["PROTECT_WITHIN_NS", "CcxtPicture"]

#: What has filled is protected within this time, or flattened; so long its events wait for that.
PROTECT_WITHIN_NS = 5 * SECOND_NS


class CcxtPicture:
    """The last picture.

    Args:
        symbols: what is traded.
        currency: the account's.
        protect_within_ns: so long the events of a symbol wait for the protection of what has filled.

    Attributes:
        signals: its `changes` grows with each event that is told.
        money: what the account has.
        instant_ns: when it was asked for, -1 before the first time.
    """

    def __init__(
        self, symbols: Iterable[str], currency: str, protect_within_ns: int = PROTECT_WITHIN_NS
    ) -> None:  # fmt: skip
        self._protect_within_ns = protect_within_ns
        self.signals = Signals()
        self.money = Money(balance=0.0, equity=0.0, margin_used=0.0)
        self.instant_ns = -1
        self._currency = currency
        self._mailboxes: dict[str, deque[OrderEvent]] = {symbol: deque() for symbol in symbols}
        self._positions: dict[str, tuple[Position, ...]] = {symbol: () for symbol in self._mailboxes}
        self._orders: dict[str, Order] = {}
        self._flat: dict[tuple[str, str], Position] = {}
        #: Since when a position has waited for its protection.
        self._waits_since_ns: dict[str, int] = {}

    # -- looking -------------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """All of it; called with the ledger's lock."""
        money = self.money
        account = make_account(
            currency=self._currency, instant_ns=self.instant_ns, balance=money.balance, equity=money.equity,
            margin_used=money.margin_used,
        )  # fmt: skip
        positions = tuple(each for symbol in sorted(self._positions) for each in self._positions[symbol])
        return make_snapshot(account=account, positions=positions, orders=tuple(self._orders.values()))

    def position(self, book: str, symbol: str) -> Position:
        """What a book holds of a symbol, the same object while it holds nothing."""
        for position in self.positions(symbol):
            if position.book == book:
                return position
        flat = self._flat.get((book, symbol))
        if flat is None:
            flat = self._flat[book, symbol] = make_position(position_id="", book=book, symbol=symbol, volume=0.0)
        return flat

    def positions(self, symbol: str) -> tuple[Position, ...]:
        """The open positions of a symbol.

        Raises:
            ConfigError: it is not traded.
        """
        found = self._positions.get(symbol)
        if found is None:
            raise ConfigError(f"expected a symbol that is traded, found {symbol}", symbol=symbol)
        return found

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        """The events of a symbol that nobody has taken.

        Raises:
            ConfigError: it is not traded.
        """
        self.positions(symbol)
        return self._mailboxes[symbol]

    # -- changing ------------------------------------------------------------------------------------------------------

    def show(self, ledger: CcxtLedger, money: Money, asked_ns: int, now_ns: int, unprotected: set[str]) -> None:
        """Show what the ledger has, and tell its events.

        Args:
            asked_ns: when the account was asked for.
            unprotected: symbols in which a stop or target is still missing; what happened there is told a little later,
                together with its protection.
        """
        orders = {
            order.request.client_id: order.order() for order in ledger.orders.values()
            if order.is_live and order.acknowledged and not order.role
        }  # fmt: skip
        for symbol, mailbox in self._mailboxes.items():
            if symbol not in unprotected:
                self._waits_since_ns.pop(symbol, None)
            elif now_ns - self._waits_since_ns.setdefault(symbol, now_ns) < self._protect_within_ns:
                # What is not told yet still shows as it did: an entry is either an order or a position.
                told = {key: order for key, order in self._orders.items() if order.request.symbol == symbol}
                orders = {**told, **orders}
                continue
            self._positions[symbol] = ledger.positions(symbol)
            events = ledger.events[symbol]
            mailbox.extend(events)
            self.signals.changes += len(events)
            events.clear()
        self._orders = orders
        self.money, self.instant_ns = money, max(self.instant_ns, asked_ns)

    def show_order(self, order: VenueOrder) -> None:
        """Show an order that was acknowledged just now."""
        if order.is_live:
            self._orders[order.request.client_id] = order.order()

    def show_levels(self, ledger: CcxtLedger, symbol: str) -> None:
        """Show what was just acknowledged of stops and targets, with the volumes as they were shown."""
        levels = {each.position_id: each for each in ledger.positions(symbol)}
        shown = []
        for position in self._positions[symbol]:
            now = levels.get(position.position_id)
            if now is not None:
                position = replace(position, stop=now.stop, target=now.target, stop_kind=now.stop_kind)
            shown.append(position)
        self._positions[symbol] = tuple(shown)
