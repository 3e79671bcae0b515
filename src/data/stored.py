"""What a store knows of a series or a tape, and what it refuses to take.

Pure; any thread.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from src.core.bars import BarSeries, IntArray
from src.core.errors import DataError
from src.core.timeframe import DAY_NS, HOUR_NS, format_duration, format_instant

__all__ = ["COLUMNS", "SIDE_ORDER", "Columns", "HealEntry", "SeriesInfo", "TapeInfo", "columns_of", "least_step_ns",
           "merge_windows", "refuse_mixing", "refuse_overlap", "refuse_unordered", "refuse_unstorable",
           "runs_of"]  # fmt: skip

COLUMNS = ("open_ns", "open", "high", "low", "close", "volume")

# Which of several price sides is meant when none is named.
SIDE_ORDER = ("trade", "mid", "bid", "ask", "mark")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeInfo:
    """One stored tape: every event of one kind of one symbol.

    Attributes:
        kind: quotes, trades or funding.
        source: where the events came from; a tape has one source only.
        events: how many are stored.
        first_ns, last_ns: stamp of the first and of the last event.
    """

    symbol: str
    kind: str
    source: str
    events: int
    first_ns: int
    last_ns: int

    def describe(self) -> str:
        """`BTCUSDT trades from 2024-08-08 23:54:16Z to 2024-08-08 23:59:59Z (21313 events)`."""
        return (
            f"{self.symbol} {self.kind} from {format_instant(self.first_ns)} "
            f"to {format_instant(self.last_ns)} ({self.events} events)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HealEntry:
    """One change that a repair made.

    Attributes:
        open_ns: the bar that was changed, added or removed.
        action: what was done, for instance `removed duplicate` or `mended high`.
        before, after: the value or the row as text; empty where there was or is none.
    """

    symbol: str
    timeframe_ns: int
    price_side: str
    open_ns: int
    action: str
    before: str
    after: str


def columns_of(series: BarSeries) -> Columns:
    """The loaded part of each column, contiguous, hidden bars included."""
    return {name: np.ascontiguousarray(getattr(series, name)[: series.loaded]) for name in COLUMNS}


def runs_of(stamps: IntArray, timeframe_ns: int, max_gap_bars: int) -> list[tuple[int, int]]:
    """The half-open intervals `[first open, last close)` of runs without a hole of more than `max_gap_bars` bars.

    Args:
        stamps: opens in time order, shape (n,), nanoseconds UTC.
    """
    if not len(stamps):
        return []
    breaks = np.flatnonzero(np.diff(stamps) > (max_gap_bars + 1) * timeframe_ns)
    first = stamps[np.concatenate(([0], breaks + 1))].tolist()
    last = stamps[np.concatenate((breaks, [len(stamps) - 1]))].tolist()
    return [(begin, end + timeframe_ns) for begin, end in zip(first, last, strict=True)]


def merge_windows(windows: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Half-open windows in time order, overlapping and touching ones joined, empty ones left out."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(window for window in windows if window[0] < window[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def refuse_unstorable(series: BarSeries) -> None:
    """Raise DataError unless stamps strictly increase and every number is finite."""
    columns = columns_of(series)
    stamps = columns["open_ns"]
    refuse_unordered(stamps, series.symbol)
    refuse_overlap(stamps, series.timeframe_ns, series.symbol)
    for name in COLUMNS[1:]:
        if np.isfinite(columns[name]).all():
            continue
        bad = np.flatnonzero(~np.isfinite(columns[name]))
        raise DataError(
            f"{series.symbol}: expected a number as {name} of {format_instant(int(stamps[bad[0]]))}, "
            f"found {float(columns[name][bad[0]])!r}",
            symbol=series.symbol, open_ns=int(stamps[bad[0]]),
        )  # fmt: skip


def refuse_unordered(stamps: IntArray, symbol: str) -> None:
    """Raise DataError unless each stamp comes after the one before."""
    steps = np.flatnonzero(np.diff(stamps) <= 0)
    if len(steps):
        before, after = int(stamps[steps[0]]), int(stamps[steps[0] + 1])
        raise DataError(
            f"{symbol}: expected bars in time order, each stamp once; found {format_instant(after)} "
            f"after {format_instant(before)}",
            symbol=symbol, open_ns=after,
        )  # fmt: skip


def least_step_ns(timeframe_ns: int) -> int:
    """How soon after the open of a bar the next one may open."""
    # Days and weeks of a zone with daylight saving are an hour short once a year.
    return timeframe_ns - HOUR_NS if timeframe_ns % DAY_NS == 0 else timeframe_ns


def refuse_overlap(stamps: IntArray, timeframe_ns: int, symbol: str) -> None:
    """Raise DataError when a bar opens before the one before it has ended."""
    close = np.flatnonzero(np.diff(stamps) < least_step_ns(timeframe_ns))
    if len(close):
        before, after = int(stamps[close[0]]), int(stamps[close[0] + 1])
        raise DataError(
            f"{symbol}: expected bars of {format_duration(timeframe_ns)} that follow each other, found "
            f"{format_instant(after)} inside the bar of {format_instant(before)}; two files with different stamps "
            "cannot be one series: leave one out, or import it under another symbol name",
            symbol=symbol, open_ns=after,
        )  # fmt: skip


def refuse_mixing(info: SeriesInfo | TapeInfo, source: str) -> None:
    """Raise DataError when what comes is from another source than what is stored."""
    if info.source != source:
        what = info.kind if isinstance(info, TapeInfo) else f"{format_duration(info.timeframe_ns)} {info.price_side}"
        raise DataError(
            f"{info.symbol} {what} is stored with the source {info.source!r} and comes now with {source!r}; "
            f"one series never mixes two: use another symbol name or another file, or say with the import's option "
            f"--source {shlex.quote(info.source)} that both are of one origin",
            symbol=info.symbol, source=info.source,
        )  # fmt: skip
