"""A venue that keeps its equity at the end of each step, as it is then. Pure: no lock, clock or I/O.

The plain venue keeps none: its equity follows from its fills and the bars, see `equity_curve`. What is here is for
those whose money or prices move by themselves.
"""

from typing import Any

import numpy as np

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.venue import Venue
from src.core.bars import FloatArray, IntArray

__all__ = ["SampledVenue"]


class SampledVenue(Venue):
    """See `Venue`.

    Args:
        venue: as of `Venue`.
    """

    def __init__(self, *venue: Any) -> None:
        self._sampled_ns: list[int] = []
        self._sampled: list[float] = []
        super().__init__(*venue)

    def end_orders(self, instant_ns: int) -> None:
        """See `Venue.end_orders`."""
        super().end_orders(instant_ns)
        self._end_step(instant_ns)

    def end_of_data(self, desk: Desk, instant_ns: int) -> None:
        """See `Venue.end_of_data`."""
        super().end_of_data(desk, instant_ns)
        self._end_step(instant_ns)

    def _end_step(self, instant_ns: int) -> None:
        """Everything that happens at an instant has happened."""
        self._sample(instant_ns)

    def _sample(self, instant_ns: int) -> None:
        equity = self.ledger.equity()
        if self._sampled_ns and self._sampled_ns[-1] == instant_ns:
            self._sampled[-1] = equity
        else:
            self._sampled_ns.append(instant_ns)
            self._sampled.append(equity)

    def equity_samples(self) -> tuple[IntArray, FloatArray]:
        """Instants, strictly increasing, and equity after everything that happened at them, both of shape (n,)."""
        return np.array(self._sampled_ns, dtype=np.int64), np.array(self._sampled, dtype=np.float64)
