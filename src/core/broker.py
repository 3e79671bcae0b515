"""The Broker port: the page that the author of an adapter reads.

A broker knows instruments, prices, one account, its positions and orders. All methods may be called by any participant
in its turn.

What may block: `place`, `modify`, `cancel`, `close`, `protect` may wait for a network; the others answer from what is
already known and return at once. No method calls back into the bot.

What is atomic: `snapshot` shows account, positions and orders of one instant. Each other call is one step; a sequence
of two calls is not, others may act in between.

What is said how: a refusal by the venue or by the rules is a value, an `OrderResult` with a `code` and a sentence.
Errors are raised only when the call itself failed: `BrokerUnavailable` (no answer; the order may or may not exist, see
below), `BrokerContractError` (the venue answered what it must not).

Orders: `place` returns an acknowledgement and never a fill. Every later change of an order (filled, partly filled,
cancelled, expired, rejected after the acknowledgement) arrives as an `OrderEvent` in the mailbox of its symbol, in the
order in which it happened, exactly once. An unanswered placement is in state UNKNOWN and is never sent again. Which
state may follow which is the table of `src.core.order_states`; what the terms mean is in `docs/orders.md`.

Races: an order may fill before a cancellation or a change arrives. Then the call is refused with `not_working`, or it
was acknowledged as sent and finds nothing to do. Of the orders of one `group` the first execution cancels the others;
an order with a `parent` fills on nothing from before its parent's fill. A venue that has no such orders refuses them
and never works them as single ones.

Protection: `stop` and `target` of a request become the position's protection when the entry fills. They rest at the
broker, are siblings (one filled, the other gone), and follow the position's volume. Distances and `target_r` are
resolved against the fill's price.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from src.core.bars import BarSeries
from src.core.instrument import Instrument
from src.core.record import record
from src.core.records import Order, OrderEvent, OrderRequest, OrderResult, Position, Quote, Snapshot
from src.core.timeframe import SECOND_NS

__all__ = ["Broker", "Connection", "CostEstimate"]

#: How long a venue may still accept what was sent to it, where it says nothing else.
IN_FLIGHT_NS = 30 * SECOND_NS


class CostEstimate(Protocol):
    """What trading costs in expectation, for sizing; money per unit of volume at a price."""

    def entry_per_unit(self, symbol: str, price: float) -> float:
        """Commission and slippage of getting in."""
        ...

    def exit_per_unit(self, symbol: str, price: float) -> float:
        """Commission and slippage of getting out."""
        ...

    def margin_per_unit(self, symbol: str, price: float) -> float:
        """Margin that one unit takes, and what its fill costs the equity besides `entry_per_unit`, the spread."""
        ...


@record
class Connection:
    """How far the answers of a broker can be relied on.

    Attributes:
        certain: each call is answered, each event comes exactly once, and nothing older comes after something newer.
            Where that does not hold the bot checks what it is told, see `src.core.steady_broker`.
        in_flight_ns: how long after it was sent the venue may still accept a request, nanoseconds.
    """

    certain: bool = True
    in_flight_ns: int = IN_FLIGHT_NS


class Broker(CostEstimate, Protocol):
    """See the module's text for what may block, what is atomic, and what errors mean."""

    def connection(self) -> Connection:
        """How far its answers can be relied on; the same for as long as it lives."""
        ...

    def instrument(self, symbol: str) -> Instrument:
        """The rules of a symbol.

        Raises:
            ConfigError: the symbol is unknown.
        """
        ...

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """The closed bars of a symbol; the same object each time, growing as bars close.

        Raises:
            ConfigError: the symbol is unknown or the timeframe was not subscribed before the start.
        """
        ...

    def base_series(self, symbol: str) -> BarSeries:
        """The finest closed bars of a symbol, by which positions are managed."""
        ...

    def quote(self, symbol: str) -> Quote | None:
        """The last known bid and ask, None before the first price."""
        ...

    def snapshot(self) -> Snapshot:
        """Account, open positions (by symbol, then by opening) and live orders of one instant."""
        ...

    def equity(self) -> float:
        """Balance plus open profit at the last prices; `snapshot` has it together with the rest."""
        ...

    def position(self, book: str, symbol: str) -> Position:
        """What the book holds now, flat positions included; immutable, replaced at each change.

        On a hedging account with several positions of the book: their sum, protection of the oldest.
        """
        ...

    def positions(self, symbol: str) -> Sequence[Position]:
        """The open positions of a symbol, oldest first."""
        ...

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        """The undelivered order events of a symbol; the reader takes them from the left.

        An event tells its fill and the order as it is then. The closing part of a reversal does not count towards the
        order's volume, so its event may show the order still working with nothing filled.
        """
        ...

    def place(self, request: OrderRequest) -> OrderResult:
        """Send an order. Refusals: see `OrderResult.code`."""
        ...

    def find_order(self, client_id: str) -> Order | None:
        """The order with this client id as the venue sees it, one that has ended too; None when the venue has none.

        May wait for a network as `place` does.

        Raises:
            BrokerUnavailable: no answer.
        """
        ...

    def cancel(self, order_id: str) -> OrderResult:
        """Cancel a working order; refused with `not_working` when it is no longer that."""
        ...

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """Change the price, limit or volume of a working order; effective as a new order at that instant would be.

        Args:
            price: the limit, or the trigger of a stop or of a stop-limit order that has not been triggered.
            limit: of a stop-limit order; others are refused with `unused_price`.
        """
        ...

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """Set the stop or target of an open position; None leaves one as it is. `kind` says who set the stop."""
        ...

    def close(self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit",
              reason: str = "") -> OrderResult:  # fmt: skip
        """Close a position, or a part of it, at the market."""
        ...
