"""What every broker that stands before another one passes on: that which is the same whoever asks, and whenever.

Rules, bars, costs and the mailbox never change hands, so nothing can go wrong with them on the way. What goes to the
venue is left to each such broker: the type checker sees what one of them has forgotten.
"""

from collections import deque

from src.core.bars import BarSeries
from src.core.broker import Broker, Connection
from src.core.instrument import Instrument
from src.core.records import OrderEvent

__all__ = ["PassingBroker"]


class PassingBroker:
    """The part of a `Broker` that looks up.

    Args:
        broker: who answers.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def connection(self) -> Connection:
        """See `Broker.connection`."""
        return self._broker.connection()

    def instrument(self, symbol: str) -> Instrument:
        """See `Broker.instrument`."""
        return self._broker.instrument(symbol)

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """See `Broker.series`."""
        return self._broker.series(symbol, timeframe_ns)

    def base_series(self, symbol: str) -> BarSeries:
        """See `Broker.base_series`."""
        return self._broker.base_series(symbol)

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        """See `Broker.mailbox`."""
        return self._broker.mailbox(symbol)

    def entry_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.entry_per_unit`."""
        return self._broker.entry_per_unit(symbol, price)

    def exit_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.exit_per_unit`."""
        return self._broker.exit_per_unit(symbol, price)

    def margin_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.margin_per_unit`."""
        return self._broker.margin_per_unit(symbol, price)
