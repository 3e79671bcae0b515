"""A broker at whose calls the running participant may lose its turn; composed only for policies that preempt.

Called by any participant in its turn. The turn is offered before and after each call, never inside, so that every call
stays atomic, and what a participant read may be out of date when it acts on it: as on a network.
"""

from collections.abc import Callable, Sequence

from src.core.broker import Broker
from src.core.passing_broker import PassingBroker
from src.core.records import Order, OrderRequest, OrderResult, Position, Quote, Snapshot

__all__ = ["YieldingBroker"]


class YieldingBroker(PassingBroker):
    """A `Broker` that passes every call on; what never changes inside a turn is no preemption point.

    Args:
        broker: who answers.
        yield_turn: offers the turn to others; returns when the caller has it again.
    """

    def __init__(self, broker: Broker, yield_turn: Callable[[], None]) -> None:
        super().__init__(broker)
        self._yield_turn = yield_turn

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.quote(symbol)
        self._yield_turn()
        return answer

    def snapshot(self) -> Snapshot:
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.snapshot()
        self._yield_turn()
        return answer

    def equity(self) -> float:
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.equity()
        self._yield_turn()
        return answer

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.position(book, symbol)
        self._yield_turn()
        return answer

    def positions(self, symbol: str) -> Sequence[Position]:
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.positions(symbol)
        self._yield_turn()
        return answer

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.place(request)
        self._yield_turn()
        return answer

    def find_order(self, client_id: str) -> Order | None:
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.find_order(client_id)
        self._yield_turn()
        return answer

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.cancel(order_id)
        self._yield_turn()
        return answer

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.modify(order_id, price=price, limit=limit, volume=volume)
        self._yield_turn()
        return answer

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.protect(position_id, stop=stop, target=target, kind=kind)
        self._yield_turn()
        return answer

    def close(self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit",
              reason: str = "") -> OrderResult:  # fmt: skip
        """See `Broker`."""
        self._yield_turn()
        answer = self._broker.close(position_id, client_id=client_id, volume=volume, kind=kind, reason=reason)
        self._yield_turn()
        return answer
