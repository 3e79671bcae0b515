"""Funding of perpetuals: stored rates, each paid at its instant by what is held then. Pure."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from src.core.bars import FloatArray, IntArray

__all__ = ["FundingPayments", "FundingRates", "missing_funding"]

#: A rate may come this much later than its neighbours' distance says.
_LATE = 1.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FundingRates:
    """The rates of one symbol: fractions of the notional that longs pay to shorts, at instants that rise.

    Attributes:
        ts_ns, rate: both of shape (n,).
    """

    ts_ns: IntArray
    rate: FloatArray


class FundingPayments:
    """The rates of one symbol, one after the other.

    Attributes:
        next_ns: when the next one is due; None after the last.
        rate: the fraction of the notional that a long pays then.
    """

    __slots__ = ("_at", "_rates", "next_ns", "rate")

    def __init__(self, rates: FundingRates, begin_ns: int) -> None:
        self._rates = rates
        self._at = int(np.searchsorted(rates.ts_ns, begin_ns, side="right")) - 1
        self.next_ns: int | None = None
        self.rate = 0.0
        self.advance()

    def advance(self) -> None:
        """Go on to the following rate."""
        self._at += 1
        if self._at < len(self._rates.ts_ns):
            self.next_ns, self.rate = int(self._rates.ts_ns[self._at]), float(self._rates.rate[self._at])
        else:
            self.next_ns = None


def missing_funding(rates: FundingRates, start_ns: int, end_ns: int) -> int | None:
    """The first instant inside a window at which a rate should be stored and is not; None when all are there.

    How often rates come is read from their distances nearby, because venues change it.
    """
    stamps = [int(stamp) for stamp in rates.ts_ns]
    if len(stamps) < 2:
        return start_ns
    gaps = [after - before for before, after in pairwise(stamps)]
    if stamps[0] > start_ns + _LATE * _nearby(gaps, -1):
        return start_ns
    for i, gap in enumerate([*gaps, end_ns - stamps[-1]]):
        usual = _nearby(gaps, i)
        if stamps[i] < end_ns and stamps[i] + gap > start_ns and gap > _LATE * usual:
            missing_ns = stamps[i] + usual
            if missing_ns > start_ns:
                return missing_ns
    return None


def _nearby(gaps: list[int], at: int) -> int:
    """The middle one of the distances around a place, without its own."""
    around = sorted([*gaps[max(0, at - 3) : max(0, at)], *gaps[at + 1 : at + 4]])
    return around[len(around) // 2] if around else gaps[0]
