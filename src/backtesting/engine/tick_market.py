"""The market of a backtest in which prices come by themselves: each quote and each trade is a step of its own.

Used by the holder of the turn only. One timeline holds the prices of all symbols and the closes of all bars. At equal
instants the prices come first: those of one symbol in the order of their rows, those of several in the order of the
symbols' ranks; then the bars close, and then comes whatever else happens there, as in a market of bars.
"""

from collections.abc import Sequence

import numpy as np

from src.backtesting.engine.market import SimulatedMarket
from src.brokers.simulated.broker import SimulatedBroker
from src.core.errors import ConfigError, invariant
from src.core.journal import Journal

__all__ = ["TickMarket", "market_of_broker"]

#: After every event there is.
_NEVER_NS = (1 << 63) - 1


class TickMarket(SimulatedMarket):
    """See `SimulatedMarket`.

    Args:
        broker: which has tapes.
        journal, start_ns, end_ns: see `SimulatedMarket`; a price belongs to the window when it comes inside
            `(start, end]`.
    """

    def __init__(self, broker: SimulatedBroker, journal: Journal, start_ns: int, end_ns: int) -> None:
        self._price_ns: int = _NEVER_NS
        self._later_ends: list[int] = []
        self._reached_ns = start_ns
        super().__init__(broker, journal, start_ns, end_ns)

    def _end_later(self) -> None:
        """See `SimulatedMarket`; also lays out the prices, which end symbols that have no more bars."""
        venue = self._broker.prices
        invariant(venue is not None, "a market of prices needs a broker that has tapes")
        coming = [] if venue is None else venue.coming_ns()
        stamps = [each[: np.searchsorted(each, self.end_ns, "right")] for each in coming]
        last = {rank: int(each[-1]) for rank, each in enumerate(stamps) if len(each)}
        self._later_ends = sorted({last[rank] for at, rank in self._ends if last.get(rank, at) > at})
        self._ends = sorted(((max(at, last.get(rank, at)), rank) for at, rank in self._ends), reverse=True)
        together = np.concatenate([np.empty(0, np.int64), *stamps])
        order = np.argsort(together, kind="stable")  # of one instant: by rank, then by row
        ranks = np.repeat(np.arange(len(stamps), dtype=np.int32), [len(each) for each in stamps])
        self._stamps_at = np.append(together[order], _NEVER_NS).data
        self._ranks_at = ranks[order].data
        self._at = 0
        self._price_ns = self._stamps_at[0]

    def _empty_instants(self) -> list[int]:
        return sorted({*super()._empty_instants(), *(at for at in self._later_ends if at > self._reached_ns)})

    def check_join(self, symbol: str) -> None:
        """See `SimulatedMarket.check_join`; nobody has read prices of a symbol that was not there at the start."""
        raise ConfigError(
            f"{symbol} cannot join: with backtest.granularity second or tick all symbols are there from the start; "
            "name it under symbols",
            symbol=symbol,
        )

    def next_ns(self) -> int | None:
        """See `Market.next_ns`."""
        price_ns = self._price_ns
        other = super().next_ns()
        if other is None or price_ns <= other:
            return None if price_ns == _NEVER_NS else price_ns
        return other

    def advance(self, instant_ns: int) -> Sequence[str]:
        """See `Market.advance`."""
        if self._price_ns == instant_ns:
            at = self._at
            self._at = at + 1
            self._price_ns = self._stamps_at[at + 1]
            self._broker.advance_price(self._ranks_at[at], instant_ns)
            return ()
        self._reached_ns = instant_ns
        ended = super().advance(instant_ns)
        self.signals.close_ns = None  # a price may come before the next close
        return ended


def market_of_broker(broker: SimulatedBroker, journal: Journal, start_ns: int, end_ns: int) -> SimulatedMarket:
    """The market that moves a broker: bar by bar, or price by price where the broker has tapes."""
    made = SimulatedMarket if broker.prices is None else TickMarket
    return made(broker, journal, start_ns, end_ns)
