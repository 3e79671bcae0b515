"""What a paper account reads: the public prices of an exchange, as quotes and as bars that have closed.

`PriceFeed` is the port; who stands behind it waits for a network in `refresh` and nowhere else.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from src.core.bars import BarSeries
from src.core.records import Quote

__all__ = ["ClosedBar", "PaperEvent", "PriceFeed", "bars_after"]

#: What happened: `at` in ns, `what`, and the values of that, see `docs/paper.md`.
PaperEvent = Mapping[str, Any]


class PriceFeed(Protocol):
    """The public prices of some symbols; `refresh` and what looks are called by one thread.

    Attributes:
        late, revised: bars that came too late to be shown, and those that were told otherwise afterwards; whoever
            records takes them. A paper account looks at neither.
    """

    late: deque[Any]
    revised: deque[Any]

    @property
    def differing(self) -> tuple[str, ...]:
        """Sentences: rules that the venue has otherwise than the file."""
        ...

    def refresh(self) -> None:
        """Ask the venue.

        Raises:
            BrokerUnavailable: no answer.
        """
        ...

    def quote(self, symbol: str) -> Quote | None:
        """The last quote, as old as the question that brought it; None before the first."""
        ...

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """The closed bars of a timeframe; the same object each time, growing in `refresh`."""
        ...


class ClosedBar(NamedTuple):
    """A bar of a feed."""

    symbol: str
    timeframe_ns: int
    open_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


def bars_after(series: BarSeries, own: BarSeries) -> list[ClosedBar]:
    """The bars of a feed's series that come after the last one of another series."""
    begin = series.length
    last_ns = own.open_ns_at[own.length - 1] if own.length else -1
    while begin and series.open_ns_at[begin - 1] > last_ns:
        begin -= 1
    return [
        ClosedBar(
            series.symbol, series.timeframe_ns, series.open_ns_at[i], series.open_at[i], series.high_at[i],
            series.low_at[i], series.close_at[i], series.volume_at[i],
        )
        for i in range(begin, series.length)
    ]  # fmt: skip
