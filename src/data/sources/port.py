"""The port of a source of bars: somebody outside who is asked for a window and answers with what he has.

Called by one thread, the one that writes the store. A source may wait for a network; it never reads a clock for
anything but the question which bars have closed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from src.core.bars import BarSeries, FloatArray, IntArray

__all__ = ["BarSource", "FundingPage", "FundingSource", "SourceSymbol"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSymbol:
    """What a source knows of a symbol.

    Attributes:
        symbol: the name under which its bars are stored.
        venue: its name at the source.
        kind: crypto, fx or equity.
        price_side: which price its bars are made of.
        defaults: instrument defaults, as `src.data.instruments.defaults_for` gives them.
    """

    symbol: str
    venue: str
    kind: str = "crypto"
    price_side: str = "trade"
    defaults: dict[str, Any] = field(default_factory=dict)


class BarSource(Protocol):
    """Where bars come from.

    A source whose name stands for more than one place of origin, such as all files of one layout, has an attribute
    `is_held` that is true: what it has answered is not kept in the sync log, and it is always asked.

    A source that knows its timeframes beforehand has a method `refuse_timeframe(symbol, timeframe_ns)`, which raises
    the ConfigError of `bars` without asking for any; a source that waits for somebody has `on_retry`, which is told.

    Attributes:
        name: the origin that the store keeps with a series, such as `ccxt:binanceusdm`; a series never mixes two.
        page_bars: how many bars one answer holds at most; who syncs asks for windows of so many bars.
    """

    name: str
    page_bars: int

    def now_ns(self) -> int:
        """The present by the source's own clock: what closed at or before it may be asked for.

        Raises:
            BrokerUnavailable: the source did not answer.
        """

    def symbol(self, name: str) -> SourceSymbol:
        """What the source knows of a symbol.

        Raises:
            ConfigError: it has no such symbol; the sentence names the closest.
            BrokerUnavailable: the source did not answer.
        """

    def bars(self, symbol: str, timeframe_ns: int, start_ns: int, end_ns: int) -> Iterator[BarSeries]:
        """Every bar that opens in `[start_ns, end_ns)`, in time order, in as many pieces as the source likes.

        The pieces may be empty and may hold the bar that is still forming; who stores them leaves it out. When the
        iterator is exhausted the window has been answered: what is not there does not exist at the source.

        Raises:
            ConfigError: there is no such symbol or timeframe.
            DataError: what came cannot be bars.
            BrokerUnavailable: the source did not answer, however often it was asked.
        """

    def close(self) -> None:
        """Let go of connections and files; may be repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FundingPage:
    """Funding rates in time order: instants and rates, each of shape (n,)."""

    ts_ns: IntArray
    rate: FloatArray


class FundingSource(BarSource, Protocol):
    """A source that knows the funding rates of perpetual contracts as well."""

    def funding(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[FundingPage]:
        """Every funding rate that fell due in `[start_ns, end_ns)`, in time order.

        Raises:
            ConfigError: there is no such symbol, or the source knows no funding rates.
            DataError: what came cannot be rates.
            BrokerUnavailable: the source did not answer, however often it was asked.
        """
