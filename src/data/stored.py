"""What a store knows of a series, and what it refuses to take.

Pure; any thread.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from src.core.bars import BarSeries, IntArray
from src.core.errors import DataError
from src.core.timeframe import format_duration, format_instant

__all__ = ["COLUMNS", "Columns", "SeriesInfo", "columns_of", "refuse_mixing", "refuse_overlap",
           "refuse_unstorable"]  # fmt: skip

COLUMNS = ("open_ns", "open", "high", "low", "close", "volume")

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesInfo:
    """One stored series.

    Attributes:
        price_side: which price its bars are made of: bid, ask, mid, trade or mark.
        source: where the rows came from; a series has one source only.
        kind: the class of instrument it was stored as: crypto, fx or equity.
        bars: how many bars are stored.
        first_ns, last_ns: open of the first and of the last bar.
    """

    symbol: str
    timeframe_ns: int
    price_side: str
    source: str
    kind: str
    bars: int
    first_ns: int
    last_ns: int

    def describe(self) -> str:
        """`BTCUSDT 1m from 2024-01-01 00:00:00Z to 2024-02-29 23:59:00Z (86400 bars)`."""
        return (
            f"{self.symbol} {format_duration(self.timeframe_ns)} from {format_instant(self.first_ns)} "
            f"to {format_instant(self.last_ns)} ({self.bars} bars)"
        )


def columns_of(series: BarSeries) -> Columns:
    """The loaded part of each column, contiguous, hidden bars included."""
    return {name: np.ascontiguousarray(getattr(series, name)[: series.loaded]) for name in COLUMNS}


def refuse_unstorable(series: BarSeries) -> None:
    """Raise DataError unless stamps strictly increase and every number is finite."""
    columns = columns_of(series)
    stamps = columns["open_ns"]
    steps = np.flatnonzero(np.diff(stamps) <= 0)
    if len(steps):
        before, after = int(stamps[steps[0]]), int(stamps[steps[0] + 1])
        raise DataError(
            f"{series.symbol}: expected bars in time order, each stamp once; found {format_instant(after)} "
            f"after {format_instant(before)}",
            symbol=series.symbol, open_ns=after,
        )  # fmt: skip
    refuse_overlap(stamps, series.timeframe_ns, series.symbol)
    for name in COLUMNS[1:]:
        bad = np.flatnonzero(~np.isfinite(columns[name]))
        if len(bad):
            raise DataError(
                f"{series.symbol}: expected a number as {name} of {format_instant(int(stamps[bad[0]]))}, "
                f"found {float(columns[name][bad[0]])!r}",
                symbol=series.symbol, open_ns=int(stamps[bad[0]]),
            )  # fmt: skip


def refuse_overlap(stamps: IntArray, timeframe_ns: int, symbol: str) -> None:
    """Raise DataError when a bar opens before the one before it has ended."""
    close = np.flatnonzero(np.diff(stamps) < timeframe_ns)
    if len(close):
        before, after = int(stamps[close[0]]), int(stamps[close[0] + 1])
        raise DataError(
            f"{symbol}: expected bars of {format_duration(timeframe_ns)} that follow each other, found "
            f"{format_instant(after)} inside the bar of {format_instant(before)}; two files with different stamps "
            "cannot be one series: leave one out, or import it under another symbol name",
            symbol=symbol, open_ns=after,
        )  # fmt: skip


def refuse_mixing(info: SeriesInfo, series: BarSeries, source: str) -> None:
    """Raise DataError when `series` differs in source or price side from what is stored."""
    for word, stored, given in (
        ("source", info.source, source),
        ("price side", info.price_side, series.price_side),
    ):
        if stored != given:
            raise DataError(
                f"{info.symbol} {format_duration(info.timeframe_ns)} is stored with the {word} {stored!r} and comes "
                f"now with {given!r}; one series never mixes two: use another symbol name or another file",
                symbol=info.symbol, timeframe_ns=info.timeframe_ns,
            )  # fmt: skip
