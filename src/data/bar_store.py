"""The port through which a run reads its bars: a store on the disk, or a market in memory.

Whoever opened it reads it, in one thread. It never changes while it is open.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

from src.core.bars import BarSeries
from src.core.calendars import Calendar
from src.data.stored import SeriesInfo, TapeInfo
from src.data.tapes import QuoteTape, RateTape, TradeTape

__all__ = ["BarStore", "DerivingStore", "TapeSource"]


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


@runtime_checkable
class TapeSource(BarStore, Protocol):
    """A store that can have quotes, trades and funding rates besides. `HistoricalDataStore` is one."""

    def list_tapes(self) -> list[TapeInfo]:
        """Every tape, by symbol and kind."""
        ...

    def read_quotes(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> QuoteTape:
        """The quotes with stamps in `[start_ns, end_ns)` in their order; PreflightError when there are none."""
        ...

    def read_trades(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> TradeTape:
        """The trades, likewise."""
        ...

    def read_funding(self, symbol: str, start_ns: int | None = None, end_ns: int | None = None) -> RateTape:
        """The funding rates, likewise."""
        ...


@runtime_checkable
class DerivingStore(BarStore, Protocol):
    """A store that keeps the longer bars which were made of its own."""

    def derive(self, base: BarSeries, timeframe_ns: int, until_ns: int, calendar: Calendar | None) -> BarSeries:
        """What `resample` makes of bars of this store; errors as there."""
        ...
