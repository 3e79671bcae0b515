"""The Broker port with every call measured.

What only looks up an object that stays the same (`instrument`, `series`, `base_series`, `mailbox`) is passed through.
"""

from collections.abc import Sequence

from src.backtesting.tracing.probe import Probe
from src.backtesting.tracing.track import Kind
from src.core.broker import Broker
from src.core.passing_broker import PassingBroker
from src.core.records import Order, OrderRequest, OrderResult, Position, Quote, Snapshot

__all__ = ["TracedBroker"]


class TracedBroker(PassingBroker):
    """See `Broker`; each method does what the wrapped one does, inside a span named `broker <method>`.

    Args:
        broker: who does the work.
        probe: who is told.
    """

    def __init__(self, broker: Broker, probe: Probe) -> None:
        super().__init__(broker)
        self._probe = probe

    def entry_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.entry_per_unit`."""
        with self._probe.span(Kind.BROKER, "broker entry_per_unit"):
            return self._broker.entry_per_unit(symbol, price)

    def exit_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.exit_per_unit`."""
        with self._probe.span(Kind.BROKER, "broker exit_per_unit"):
            return self._broker.exit_per_unit(symbol, price)

    def margin_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.margin_per_unit`."""
        with self._probe.span(Kind.BROKER, "broker margin_per_unit"):
            return self._broker.margin_per_unit(symbol, price)

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker.quote`."""
        with self._probe.span(Kind.BROKER, "broker quote"):
            return self._broker.quote(symbol)

    def snapshot(self) -> Snapshot:
        """See `Broker.snapshot`."""
        with self._probe.span(Kind.BROKER, "broker snapshot"):
            return self._broker.snapshot()

    def equity(self) -> float:
        """See `Broker.equity`."""
        with self._probe.span(Kind.BROKER, "broker equity"):
            return self._broker.equity()

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker.position`."""
        with self._probe.span(Kind.BROKER, "broker position"):
            return self._broker.position(book, symbol)

    def positions(self, symbol: str) -> Sequence[Position]:
        """See `Broker.positions`."""
        with self._probe.span(Kind.BROKER, "broker positions"):
            return self._broker.positions(symbol)

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`."""
        with self._probe.span(Kind.BROKER, "broker place"):
            return self._broker.place(request)

    def find_order(self, client_id: str) -> Order | None:
        """See `Broker.find_order`."""
        with self._probe.span(Kind.BROKER, "broker find_order"):
            return self._broker.find_order(client_id)

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`."""
        with self._probe.span(Kind.BROKER, "broker cancel"):
            return self._broker.cancel(order_id)

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker.modify`."""
        with self._probe.span(Kind.BROKER, "broker modify"):
            return self._broker.modify(order_id, price=price, limit=limit, volume=volume)

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`."""
        with self._probe.span(Kind.BROKER, "broker protect"):
            return self._broker.protect(position_id, stop=stop, target=target, kind=kind)

    def close(self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit",
              reason: str = "") -> OrderResult:  # fmt: skip
        """See `Broker.close`."""
        with self._probe.span(Kind.BROKER, "broker close"):
            return self._broker.close(position_id, client_id=client_id, volume=volume, kind=kind, reason=reason)
