"""Prices as a broken feed shows them: bars that never come, and bars of a price that stands still.

Made before the run from the venue's own bars, which stay as they are: the venue goes on trading while the bot is blind.
Called in turns and steps, by one thread at a time.
"""

from collections.abc import Sequence

import numpy as np

from src.brokers.faults import Fault, FaultKind
from src.core.bars import BarSeries

__all__ = ["FaultyFeed"]


class FaultyFeed:
    """The bars of all symbols as the bot sees them.

    Args:
        faults: feed holes and price freezes; others are none of its business.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = [each for each in faults if each.kind in (FaultKind.FEED_HOLE, FaultKind.PRICE_FREEZE)]
        self._shown: dict[tuple[str, int], tuple[BarSeries, BarSeries]] = {}

    def dead_since(self, symbol: str, instant_ns: int) -> int | None:
        """Since when, by faults that follow each other without a gap, a symbol has no new price; None if it has."""
        own = [each for each in self._faults if each.symbol in ("", symbol)]
        if not any(each.lasts_at(instant_ns) for each in own):
            return None
        since_ns = instant_ns
        while earlier := [at for each in own if (at := each.from_ns or 0) < since_ns <= (each.to_ns or 0)]:
            since_ns = min(earlier)
        return since_ns

    def of(self, series: BarSeries) -> BarSeries:
        """What the bot sees instead of a series; the series itself where nothing is wrong with it."""
        own = [each for each in self._faults if not each.symbol or each.symbol == series.symbol]
        if not own:
            return series
        key = (series.symbol, series.timeframe_ns)
        known = self._shown.get(key)
        if known is None or known[1] is not series:
            known = self._shown[key] = (_broken(series, own), series)
            self.show()
        return known[0]

    def show(self, instant_ns: int = -1) -> None:
        """Let the bot see what it may see of what the venue's series show now; no price by itself from a dead feed."""
        for shown, series in self._shown.values():
            if series.ticks != shown.ticks and self.dead_since(series.symbol, instant_ns) is None:
                shown.ticks = series.ticks
            last = series.length - 1
            shown.length = shown.count_closed(series.close_of(last)) if last >= 0 else 0


def _broken(series: BarSeries, faults: Sequence[Fault]) -> BarSeries:
    """The bars without those that a hole touches, and flat at the close before it where the price stands still."""
    n = series.loaded
    opens, closes = series.open_ns[:n], series.closes(0, n)
    columns = {name: getattr(series, name)[:n].copy() for name in ("open", "high", "low", "close", "volume")}
    kept = np.ones(n, dtype=bool)
    for fault in sorted(faults, key=lambda each: each.from_ns or 0):
        touched = (closes > (fault.from_ns or 0)) & (opens < (fault.to_ns or 0))
        if fault.kind is FaultKind.FEED_HOLE:
            kept &= ~touched
        elif touched.any():
            first = int(np.argmax(touched))
            price = columns["close"][first - 1] if first else series.open[first]  # which an earlier fault has held
            for name in ("open", "high", "low", "close"):
                columns[name][touched] = price
            columns["volume"][touched] = 0.0
    shown = {name: np.ascontiguousarray(column[kept]) for name, column in columns.items()}
    ends = None if series.close_ns is None else np.ascontiguousarray(closes[kept])
    return BarSeries(
        series.symbol, series.timeframe_ns, np.ascontiguousarray(opens[kept]), shown["open"], shown["high"],
        shown["low"], shown["close"], shown["volume"], price_side=series.price_side, close_ns=ends,
    )  # fmt: skip
