"""The port through which a run reads its bars: a store on the disk, or a market in memory.

Whoever opened it reads it, in one thread. It never changes while it is open.
"""

from pathlib import Path
from typing import Protocol

from src.core.bars import BarSeries
from src.data.stored import SeriesInfo

__all__ = ["BarStore"]


class BarStore(Protocol):
    """Bars by symbol, timeframe and price side. `HistoricalDataStore` is one, and so is `MemoryStore`."""

    @property
    def path(self) -> Path:
        """The file; of a market in memory the name that sentences call it by."""
        ...

    def series_of(self, symbol: str) -> list[SeriesInfo]:
        """The series of one symbol, finest first.

        Raises:
            PreflightError: the symbol is unknown; the sentence says which ones there are.
        """
        ...

    def read_bars(
        self,
        symbol: str,
        timeframe_ns: int,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        price_side: str | None = None,
    ) -> BarSeries:
        """The bars whose open lies in `[start_ns, end_ns)`; the arrays are contiguous and read-only.

        Raises:
            PreflightError: there is no such series; the sentence says what there is.
        """
        ...
