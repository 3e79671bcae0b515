"""A market whose steps a faulty broker is told of, before and after; composed only for runs with faults.

Called by whoever performs a step. It adds no step of its own: what was withheld arrives with the first one at or after
the end of what withheld it.
"""

from collections.abc import Sequence

from src.backtesting.engine.ports import Market
from src.brokers.faulty import FaultyBroker
from src.core.wake import Signals

__all__ = ["FaultyMarket"]


class FaultyMarket:
    """See `Market`.

    Args:
        market: what moves.
        broker: what stands between the bot and the venue.
    """

    def __init__(self, market: Market, broker: FaultyBroker) -> None:
        self._market = market
        self._broker = broker
        self.start_ns = market.start_ns
        self.end_ns = market.end_ns
        self.signals: Signals = market.signals

    def next_ns(self) -> int | None:
        """See `Market.next_ns`."""
        return self._market.next_ns()

    def advance(self, instant_ns: int) -> Sequence[str]:
        """See `Market.advance`."""
        self._broker.before_step(instant_ns)
        ended = self._market.advance(instant_ns)
        self._broker.after_step(instant_ns)
        return ended
