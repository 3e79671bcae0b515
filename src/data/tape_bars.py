"""A store whose symbols without bars have those of their quotes or trades.

Belongs to the thread that opened the store. Bars of one minute are made of a tape when they are first asked for, on the
bid side of quotes, and are kept; stored bars come first.
"""

from pathlib import Path

import numpy as np

from src.core.bars import BarSeries
from src.core.errors import PreflightError
from src.core.timeframe import MINUTE_NS
from src.data.bar_store import TapeSource
from src.data.stored import SeriesInfo, TapeInfo
from src.data.tick_bars import bars_from_quotes, bars_from_trades

__all__ = ["TapeBarStore", "price_tapes"]


def price_tapes(store: TapeSource) -> dict[str, dict[str, TapeInfo]]:
    """The stored quotes and trades: by symbol, then by kind."""
    found: dict[str, dict[str, TapeInfo]] = {}
    for info in store.list_tapes():
        if info.kind in ("quotes", "trades"):
            found.setdefault(info.symbol, {})[info.kind] = info
    return found


class TapeBarStore:
    """See `BarStore`.

    Args:
        store: open for reading.

    Attributes:
        store: the store itself.
    """

    def __init__(self, store: TapeSource) -> None:
        self.store = store
        self._made: dict[str, BarSeries] = {}

    @property
    def path(self) -> Path:
        """See `BarStore.path`."""
        return self.store.path

    def series_of(self, symbol: str) -> list[SeriesInfo]:
        """See `BarStore.series_of`."""
        try:
            return self.store.series_of(symbol)
        except PreflightError:
            tapes = price_tapes(self.store).get(symbol)
            if tapes is None:
                raise
        info = tapes.get("quotes") or tapes["trades"]
        bars = self._bars_of(symbol, info.kind)
        return [
            SeriesInfo(
                symbol=symbol, timeframe_ns=MINUTE_NS, price_side=bars.price_side, source=info.source, kind=info.kind,
                bars=bars.loaded, first_ns=int(bars.open_ns[0]), last_ns=int(bars.open_ns[-1]),
            )
        ]  # fmt: skip

    def read_bars(
        self, symbol: str, timeframe_ns: int, start_ns: int | None = None, end_ns: int | None = None, *,
        price_side: str | None = None,
    ) -> BarSeries:  # fmt: skip
        """See `BarStore.read_bars`."""
        bars = self._made.get(symbol)
        if bars is None or (timeframe_ns, price_side or bars.price_side) != (bars.timeframe_ns, bars.price_side):
            return self.store.read_bars(symbol, timeframe_ns, start_ns, end_ns, price_side=price_side)
        first = 0 if start_ns is None else int(np.searchsorted(bars.open_ns, start_ns))
        last = bars.loaded if end_ns is None else int(np.searchsorted(bars.open_ns, end_ns))
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        return BarSeries(
            symbol, bars.timeframe_ns, bars.open_ns[first:last], *(column[first:last] for column in columns),
            price_side=bars.price_side,
        )  # fmt: skip

    def _bars_of(self, symbol: str, kind: str) -> BarSeries:
        bars = self._made.get(symbol)
        if bars is None:
            if kind == "quotes":
                bars = bars_from_quotes(self.store.read_quotes(symbol), MINUTE_NS)
            else:
                bars = bars_from_trades(self.store.read_trades(symbol), MINUTE_NS)
            self._made[symbol] = bars
        return bars
