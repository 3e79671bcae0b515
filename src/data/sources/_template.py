"""A source of bars to copy: this file under another name, and one line in `SOURCES`.

Called by the thread that writes the store. Say here whether the source waits for anything, and whose clock tells which
bars have closed.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.timeframe import MINUTE_NS
from src.data.sources.port import SourceSymbol

__all__ = ["TemplateSource", "template_source"]


def template_source(text: str, *, options: Mapping[str, Any], venues: Mapping[str, str]) -> "TemplateSource":
    """The source of `template:<price>`; the factory takes what stands after the colon, settings, and other names.

    Raises:
        ConfigError: it is no price, or there are settings or names that this source does not know.
    """
    if options or venues:
        raise ConfigError(f"template: expected no options and plain symbols, found {', '.join([*options, *venues])}")
    try:
        price = float(text)
    except ValueError:
        raise ConfigError(f"expected a price after template:, as in template:100, found {text!r}") from None
    return TemplateSource(price)


class TemplateSource:
    """A market in which nothing ever happens; see `src.data.sources.port.BarSource`."""

    def __init__(self, price: float) -> None:
        self.name = f"template:{price:g}"
        self.page_bars = 1_000
        self._price = price

    def now_ns(self) -> int:
        """Midnight of 2024-01-02; a real source asks the other side."""
        return 1_704_153_600_000_000_000

    def symbol(self, name: str) -> SourceSymbol:
        """Every name is a symbol; a real source refuses those that it does not have with a ConfigError."""
        return SourceSymbol(symbol=name, venue=name)

    def bars(self, symbol: str, timeframe_ns: int, start_ns: int, end_ns: int) -> Iterator[BarSeries]:
        """One bar a minute. Yield what there is, in time order, in as many pieces as the other side answers with."""
        if timeframe_ns != MINUTE_NS:
            raise ConfigError(f"{self.name} has bars of 1m only")
        first_ns = -(-start_ns // MINUTE_NS) * MINUTE_NS
        stamps = np.arange(first_ns, end_ns, MINUTE_NS, dtype=np.int64)
        price = np.full(len(stamps), self._price)
        yield BarSeries(symbol, timeframe_ns, stamps, price, price, price, price, np.zeros(len(stamps)))

    def close(self) -> None:
        """Let go of connections and files."""
