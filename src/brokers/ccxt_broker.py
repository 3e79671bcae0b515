"""CcxtBroker: the Broker port over an exchange.

Whoever feeds the bot calls `refresh` again and again, from one thread; it asks the exchange, sends what protects the
positions, and then shows everything at once: account, positions, orders, and the events that led to them. All that the
port answers at once it answers from there, by any thread; what the exchange acknowledges is shown without waiting.
`place`, `cancel`, `modify`, `close`, `protect` and `find_order` ask the exchange in the thread that calls.

Nothing is certain here, so the bot talks to it through `src.core.steady_broker`. Time is the given clock's, moved to
the exchange's. The ledger's lock is never held while the exchange is asked.

Only a netting account in one-way mode, and of each symbol one book at a time: the exchange adds everything up.
"""

import math
from dataclasses import replace

from src.brokers.ccxt_errors import Refusal
from src.brokers.ccxt_order import STOP, TARGET, VenueOrder
from src.brokers.ccxt_records import is_conditional
from src.brokers.ccxt_refreshed import CcxtRefreshed
from src.brokers.ccxt_refusals import change_refusal, protection_refusal, refused, request_refusal
from src.brokers.ccxt_reversal import closing_part
from src.core.records import (
    Order,
    OrderRequest,
    OrderResult,
    OrderType,
    Side,
    make_order_request,
    make_order_result,
)

__all__ = ["CcxtBroker"]


class CcxtBroker(CcxtRefreshed):
    """See `Broker`, and `CcxtRefreshed` for how it is made and kept up to date."""

    # -- what is sent --------------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`; the order's id is its client id, and empty when the exchange gave none."""
        rules = self._rules.get(request.symbol)
        if rules is None:
            return refused("unknown_symbol", f"{request.symbol} is not traded")
        whole, request = request, replace(request, reverse=False) if request.reverse else request
        refusal = request_refusal(rules, request, self.feed.quote(request.symbol), self._venue_ns())
        if refusal is None and whole.reverse:
            refusal = self._make_room(whole)
        if refusal is not None:
            return refusal
        with self._lock:
            refusal = self._account_refusal(request)
            if refusal is not None:
                return refusal
            order = self._ledger.register(request, self._clock_ns())
        answer = self._wire.place(request)
        with self._lock:
            if isinstance(answer, Refusal):
                if order.acknowledged:  # it was seen meanwhile: what was refused is a second one on its way
                    return make_order_result(accepted=True, order_id=request.client_id)
                self._ledger.refuse(order, answer.code, answer.message)
                return refused(answer.code, answer.message)
            self._ledger.touch(order)
            if not answer.venue_id:
                return make_order_result(accepted=True)
            self._ledger.acknowledge(order, answer)
            self.picture.show_order(order)
        return make_order_result(accepted=True, order_id=request.client_id)

    def find_order(self, client_id: str) -> Order | None:
        """See `Broker.find_order`; one that is not remembered is looked for in all symbols, and has no book."""
        with self._lock:
            order = self._ledger.orders.get(client_id)
        if order is None:
            return self._search(client_id)
        report = self._reader.look_up(order)
        with self._lock:
            if report is None:  # what has been seen exists, even when an answer does not know of it
                return order.order() if order.acknowledged else None
            self._ledger.acknowledge(order, report)
            self.picture.show_order(order)
            shown = order.order()
            # The exchange may know more than has been read: what it has filled is told with its executions.
            if order.is_live and report.state.is_final:
                shown = replace(shown, state=report.state, filled_volume=max(shown.filled_volume, report.filled),
                                updated_ns=max(shown.updated_ns, report.updated_ns))  # fmt: skip
            return shown

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`."""
        order = self._working(order_id)
        if order is None:
            return refused("not_working", f"no working order {order_id}")
        request = order.request
        conditional = is_conditional(request) and not order.became_id
        venue_id = order.became_id or order.venue_id
        refusal = self._wire.cancel(request.symbol, order_id, venue_id, conditional=conditional)
        if refusal is not None:
            return refused(refusal.code, refusal.message)
        return make_order_result(accepted=True, order_id=order_id)

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker.modify`; only limit orders can be changed at an exchange."""
        order = self._working(order_id)
        if order is None or not order.venue_id:
            return refused("not_working", f"no working order {order_id}")
        refusal = change_refusal(
            self._rules[order.request.symbol], order.request, price=price, limit=limit, volume=volume
        )
        if refusal is not None:
            return refusal
        request = order.request
        changed = replace(
            request, price=request.price if price is None else price, volume=volume or request.volume
        )  # fmt: skip
        answer = self._wire.modify(changed, order.venue_id)
        if answer is not None:
            return refused(answer.code, answer.message)
        with self._lock:
            order.request = changed
            self._ledger.touch(order)
            self.picture.show_order(order)
        return make_order_result(accepted=True, order_id=order_id)

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`; each is an order of its own, whose id is told."""
        with self._lock:
            book = self._ledger.book(position_id)
            position = None if book is None else book.position()
        if book is None or position is None:
            return refused("no_position", f"no open position {position_id}")
        rules, quote = self._rules[book.symbol], self.feed.quote(book.symbol)
        refusal = protection_refusal(rules, position, quote, stop, target)
        if refusal is not None:
            return refusal
        identity = position_id
        for role, level in ((STOP, stop), (TARGET, target)):
            if level is None:
                continue
            answer = self._guards.move(position_id, role, level, kind)
            if isinstance(answer, Refusal):
                return refused(answer.code, answer.message)
            identity = answer
        with self._lock:
            self.picture.show_levels(self._ledger, book.symbol)
        return make_order_result(accepted=True, order_id=identity)

    def close(
        self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit", reason: str = ""
    ) -> OrderResult:
        """See `Broker.close`."""
        if volume is not None and not (math.isfinite(volume) and volume > 0):
            return refused("volume", f"expected a positive volume, found {volume!r}")
        with self._lock:
            book = self._ledger.book(position_id)
            held = 0.0 if book is None else book.volume
        if book is None:
            return refused("no_position", f"no open position {position_id}")
        request = make_order_request(
            client_id=client_id, book=book.book, symbol=book.symbol, side=Side.SELL if held > 0 else Side.BUY,
            type=OrderType.MARKET, volume=abs(held) if volume is None else min(abs(held), volume), reduce_only=True,
            position_id=position_id, exit_kind=kind, reason=reason,
        )  # fmt: skip
        return self.place(request)

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _make_room(self, request: OrderRequest) -> OrderResult | None:
        """Close what an entry reverses, see `src.brokers.ccxt_reversal`; why not, None when there is room now."""
        with self._lock:
            refusal = self._account_refusal(request)
            own = [book for book in self._ledger.books(request.symbol) if book.book == request.book]
            part = closing_part(request, own[0].volume, own[0].position_id) if own else None
        if refusal is not None or part is None:
            return refusal
        if request.type is not OrderType.MARKET:
            return refused("unsupported", "an order that rests reverses no position at the exchange; close it first")
        result = self.place(part)
        # What had nothing to close any more has made room as well.
        return None if result.accepted or result.code == "nothing_to_reduce" else result

    def _account_refusal(self, request: OrderRequest) -> OrderResult | None:
        """What the account has against an order; called with the lock."""
        if self._ledger.was_used(request.client_id):
            return refused("duplicate_id", f"the id {request.client_id} was used before")
        if request.reduce_only:
            return None
        symbol = request.symbol
        if self.ONE_POSITION and self._ledger.foreign[symbol]:
            return refused("foreign_position", f"{symbol} holds a position that is not this bot's; nothing is opened")
        others = [book.book for book in self._ledger.books(symbol) if book.book != request.book]
        others += [
            order.request.book for order in self._ledger.live(symbol)
            if not order.request.reduce_only and order.request.book != request.book
        ]  # fmt: skip
        if others:
            return refused("other_book", f"{symbol} is traded by {others[0]}; the exchange keeps one position of it")
        return None

    def _working(self, order_id: str) -> VenueOrder | None:
        with self._lock:
            order = self._ledger.orders.get(order_id)
            return order if order is not None and order.is_live and not order.role and order.ending is None else None

    def _search(self, client_id: str) -> Order | None:
        for symbol in self._rules:
            for conditional in (False, True):
                found = self._wire.find(symbol, client_id=client_id, conditional=conditional)
                if found is not None:
                    report, request = found
                    return Order(
                        order_id=client_id, request=request, state=report.state, placed_ns=report.updated_ns,
                        effective_ns=report.updated_ns, updated_ns=report.updated_ns, filled_volume=report.filled,
                        average_price=report.average_price,
                    )  # fmt: skip
        return None
