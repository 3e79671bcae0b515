"""Bar series and the views of them that a strategy may see.

A `BarSeries` belongs to whoever advances the market (one thread at a time); it may hold more bars than are visible.
A `BarsView` ends at the bar that its owner has reached, so nothing later can be read through it by accident.
A bar is available at its close: its open and the timeframe, or where bars have lengths of their own (a last bar that is
cut at the end of a session, a day or week of an exchange) what the column `close_ns` says.
Elements are read through memoryviews: they give plain Python floats, several times faster than numpy scalars.
"""

from collections.abc import Iterator
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from src.core.errors import InternalError, invariant

__all__ = ["Bar", "BarSeries", "BarsView", "FloatArray", "IntArray"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PRICE_SIDES = ("bid", "ask", "mid", "trade", "mark")
_COLUMNS = ("open", "high", "low", "close", "volume")


class BarSeries:
    """Bars of one symbol and timeframe in time order, the first `length` of which are visible.

    Args:
        symbol: the instrument.
        timeframe_ns: length of a bar; bar i covers `[open_ns[i], open_ns[i] + timeframe_ns)` without `close_ns`.
        open_ns: shape (n,), strictly increasing, nanoseconds UTC.
        open, high, low, close, volume: shape (n,), float64.
        price_side: which price the bars are made of: bid, ask, mid, trade or mark.
        length: how many bars are visible at first; all of them by default.
        close_ns: shape (n,), strictly increasing: where bar i really ends, at most at the open of the next one. None,
            as for all bars that come from a source, when every bar is one timeframe long.

    Attributes:
        ticks: how many prices of the symbol have come by themselves, between the closes of bars; None where only bars
            come. Kept in the symbol's base bars.
    """

    __slots__ = ("close", "close_at", "close_ns", "close_ns_at", "high", "high_at", "length", "loaded", "low", "low_at",
                 "open", "open_at", "open_ns", "open_ns_at", "price_side", "symbol", "ticks", "timeframe_ns",
                 "volume", "volume_at")  # fmt: skip

    def __init__(
        self,
        symbol: str,
        timeframe_ns: int,
        open_ns: IntArray,
        open: FloatArray,
        high: FloatArray,
        low: FloatArray,
        close: FloatArray,
        volume: FloatArray,
        *,
        price_side: str = "trade",
        length: int | None = None,
        close_ns: IntArray | None = None,
    ) -> None:
        self.symbol = symbol
        self.timeframe_ns = timeframe_ns
        self.price_side = price_side
        self.open_ns, self.open, self.high = open_ns, open, high
        self.low, self.close, self.volume = low, close, volume
        self.close_ns = close_ns
        self.loaded = len(open_ns)
        invariant(close_ns is None or len(close_ns) == self.loaded, f"column close_ns of {symbol} has another length")
        invariant(price_side in PRICE_SIDES, f"price side {price_side!r} is none of {', '.join(PRICE_SIDES)}")
        for name in _COLUMNS:
            invariant(len(getattr(self, name)) == self.loaded, f"column {name} of {symbol} has another length")
        self.length = self.loaded if length is None else length
        self.ticks: int | None = None
        self._bind()

    def _bind(self) -> None:
        self.open_ns_at = self.open_ns.data
        self.open_at, self.high_at = self.open.data, self.high.data
        self.low_at, self.close_at = self.low.data, self.close.data
        self.volume_at = self.volume.data
        self.close_ns_at = None if self.close_ns is None else self.close_ns.data

    @classmethod
    def empty(
        cls, symbol: str, timeframe_ns: int, *, price_side: str = "trade", own_closes: bool = False
    ) -> "BarSeries":
        """A series to which bars are appended as they close; with `own_closes` each says where it ended."""
        none, stamps = np.empty(0), np.empty(0, np.int64)
        close_ns = np.empty(0, np.int64) if own_closes else None
        return cls(
            symbol, timeframe_ns, stamps, none, none, none, none, none, price_side=price_side, close_ns=close_ns
        )  # fmt: skip

    def append(
        self, open_ns: int, open: float, high: float, low: float, close: float, volume: float,
        close_ns: int | None = None,
    ) -> None:  # fmt: skip
        """Add one closed bar and make it visible; only for a series that has no bars to come.

        Args:
            close_ns: where the bar ended, for a series that has such a column and for no other.

        Raises:
            InternalError: the bar does not come after the last one, bars are still hidden, or `close_ns` is given or
                absent against what the series has.
        """
        n = self.length
        if (close_ns is None) is not (self.close_ns is None):
            raise InternalError(f"{self.symbol}: a bar has a close of its own where its series has them, not elsewhere")
        if n != self.loaded:
            raise InternalError(f"{self.symbol}: a bar cannot be appended while loaded bars are hidden")
        if n and open_ns <= self.open_ns_at[n - 1]:
            raise InternalError(f"{self.symbol}: bar {open_ns} does not come after {self.open_ns_at[n - 1]}")
        if n == len(self.open_ns):
            room = max(64, n)
            self.open_ns = np.concatenate((self.open_ns[:n], np.zeros(room, np.int64)))
            for name in _COLUMNS:
                setattr(self, name, np.concatenate((getattr(self, name)[:n], np.zeros(room))))
            if self.close_ns is not None:
                self.close_ns = np.concatenate((self.close_ns[:n], np.zeros(room, np.int64)))
            self._bind()
        self.open_ns[n] = open_ns
        self.open[n], self.high[n], self.low[n], self.close[n] = open, high, low, close
        self.volume[n] = volume
        if self.close_ns is not None and close_ns is not None:
            self.close_ns[n] = close_ns
        self.loaded = self.length = n + 1

    def close_of(self, index: int) -> int:
        """The first instant after the bar of that index, at which it is available; hidden bars have one too."""
        closes = self.close_ns_at
        return self.open_ns_at[index] + self.timeframe_ns if closes is None else closes[index]

    def closes(self, first: int, last: int) -> IntArray:
        """`close_of` for the bars [first, last), shape (last - first,)."""
        if self.close_ns is not None:
            return self.close_ns[first:last]
        return self.open_ns[first:last] + self.timeframe_ns

    def count_closed(self, instant_ns: int) -> int:
        """How many of the loaded bars have closed at or before `instant_ns`."""
        if self.close_ns is not None:
            return int(np.searchsorted(self.close_ns[: self.loaded], instant_ns, side="right"))
        return int(np.searchsorted(self.open_ns[: self.loaded], instant_ns - self.timeframe_ns, side="right"))


class Bar:
    """One closed bar: open, high, low, close, volume, `open_ns`, `close_ns`, `symbol`, `timeframe_ns`.

    Reads its numbers from the series when asked, because most strategies look at one or two of them.
    """

    __slots__ = ("_i", "_series")

    def __init__(self, series: BarSeries, index: int) -> None:
        self._series = series
        self._i = index

    @property
    def symbol(self) -> str:
        """The instrument."""
        return self._series.symbol

    @property
    def timeframe_ns(self) -> int:
        """The timeframe in nanoseconds; a day, a week and a bar that is cut may last longer or shorter."""
        return self._series.timeframe_ns

    @property
    def open_ns(self) -> int:
        """First instant of the bar."""
        return self._series.open_ns_at[self._i]

    @property
    def close_ns(self) -> int:
        """First instant after the bar, at which it is available."""
        series = self._series
        closes = series.close_ns_at
        return series.open_ns_at[self._i] + series.timeframe_ns if closes is None else closes[self._i]

    @property
    def open(self) -> float:
        """First price."""
        return self._series.open_at[self._i]

    @property
    def high(self) -> float:
        """Highest price."""
        return self._series.high_at[self._i]

    @property
    def low(self) -> float:
        """Lowest price."""
        return self._series.low_at[self._i]

    @property
    def close(self) -> float:
        """Last price."""
        return self._series.close_at[self._i]

    @property
    def volume(self) -> float:
        """Volume as the source counts it."""
        return self._series.volume_at[self._i]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Bar):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return (
            f"Bar({self.symbol} {self.open_ns} o={self.open} h={self.high} l={self.low} c={self.close} v={self.volume})"
        )

    def _values(self) -> tuple[Any, ...]:
        return (self.symbol, self.timeframe_ns, self.open_ns, self.close_ns, self.open, self.high, self.low, self.close,
                self.volume)  # fmt: skip


class BarsView:
    """The closed bars that one strategy has reached: `bars.close[-50:]`, `bars[-1]`, `len(bars)`, `bars.df()`.

    `end` counts the bars that are shown. The columns are numpy views, shape (end,), not to be written to.
    """

    __slots__ = ("end", "series")

    def __init__(self, series: BarSeries, end: int) -> None:
        self.series = series
        self.end = end

    @property
    def open(self) -> FloatArray:
        """First prices."""
        return self.series.open[: self.end]

    @property
    def high(self) -> FloatArray:
        """Highest prices."""
        return self.series.high[: self.end]

    @property
    def low(self) -> FloatArray:
        """Lowest prices."""
        return self.series.low[: self.end]

    @property
    def close(self) -> FloatArray:
        """Last prices."""
        return self.series.close[: self.end]

    @property
    def volume(self) -> FloatArray:
        """Volumes."""
        return self.series.volume[: self.end]

    @property
    def open_ns(self) -> IntArray:
        """First instants of the bars."""
        return self.series.open_ns[: self.end]

    def df(self) -> Any:
        """A pandas frame `open high low close volume` with a tz-aware UTC index of the bars' opens."""
        import pandas as pd  # at the edge only: importing it costs more than a short run

        index = pd.DatetimeIndex(self.open_ns.astype("datetime64[ns]"), tz="UTC", name="open_time")
        return pd.DataFrame({name: getattr(self, name) for name in _COLUMNS}, index=index)

    @overload
    def __getitem__(self, index: int) -> Bar: ...
    @overload
    def __getitem__(self, index: slice) -> list[Bar]: ...
    def __getitem__(self, index: int | slice) -> Bar | list[Bar]:
        if isinstance(index, slice):
            return [Bar(self.series, i) for i in range(*index.indices(self.end))]
        i = self.end + index if index < 0 else index
        if not 0 <= i < self.end:
            raise IndexError(f"bar {index} of {self.end} visible bars of {self.series.symbol}")
        return Bar(self.series, i)

    def __len__(self) -> int:
        return self.end

    def __iter__(self) -> Iterator[Bar]:
        return (Bar(self.series, i) for i in range(self.end))
