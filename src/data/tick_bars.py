"""Bars built from quotes and trades.

Pure functions; any thread. A bar is made of the events whose stamps lie in it, in the order of the tape's rows: the
first is its open, the last its close. It exists only where there is an event, and only once it is over.
"""

import numpy as np

from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, format_duration
from src.data.resample import freeze
from src.data.tapes import QuoteTape, TradeTape

__all__ = ["bars_from_quotes", "bars_from_trades"]


def bars_from_quotes(tape: QuoteTape, timeframe_ns: int, side: str = "bid", until_ns: int | None = None) -> BarSeries:
    """The bars of one side of the quotes.

    Args:
        tape: quotes in their order.
        timeframe_ns: a length that divides a day; bars lie on the grid of UTC midnight. Longer ones are resampled.
        side: bid, ask or mid, which is the middle of each quote.
        until_ns: the instant up to which the market is known; a bar that ends later is left out. By default the bar of
            the last quote counts as over.

    Returns:
        A series with read-only arrays. Volumes are 0: quotes tell of no trade.

    Raises:
        ConfigError: there is no such side, or the timeframe does not divide a day.
    """
    if side not in ("bid", "ask", "mid"):
        raise ConfigError(f"expected bid, ask or mid as the side of quotes, found {side!r}", found=side)
    price = (tape.bid + tape.ask) / 2 if side == "mid" else tape.bid if side == "bid" else tape.ask
    return _bars(tape.symbol, tape.ts_ns, price, np.zeros(len(tape)), timeframe_ns, side, until_ns)


def bars_from_trades(tape: TradeTape, timeframe_ns: int, until_ns: int | None = None) -> BarSeries:
    """The bars of the trades; each has the volumes of its trades, added in their order. Otherwise as from quotes.

    Raises:
        ConfigError: the timeframe does not divide a day.
    """
    return _bars(tape.symbol, tape.ts_ns, tape.price, tape.volume, timeframe_ns, "trade", until_ns)


def _bars(
    symbol: str, ts_ns: IntArray, price: FloatArray, volume: FloatArray, timeframe_ns: int, side: str,
    until_ns: int | None,
) -> BarSeries:  # fmt: skip
    if timeframe_ns <= 0 or DAY_NS % timeframe_ns:
        raise ConfigError(
            f"{symbol}: expected a timeframe that divides a day, found {format_duration(timeframe_ns)}; build bars of "
            f"1m from the ticks and resample them",
            symbol=symbol, timeframe_ns=timeframe_ns,
        )  # fmt: skip
    if not len(ts_ns):
        return BarSeries.empty(symbol, timeframe_ns, price_side=side)
    bucket = ts_ns // timeframe_ns
    is_first = np.empty(len(ts_ns), np.bool_)
    is_first[0] = True
    np.not_equal(bucket[1:], bucket[:-1], out=is_first[1:])
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(ts_ns)) - 1
    open_ns = bucket[first] * timeframe_ns
    keep = len(first) if until_ns is None else int(np.searchsorted(open_ns + timeframe_ns, until_ns, side="right"))
    # Volumes are added one after the other, in one order on every machine.
    total = np.bincount(np.cumsum(is_first) - 1, weights=volume)
    columns = (
        price[first], np.maximum.reduceat(price, first), np.minimum.reduceat(price, first), price[last], total,
    )  # fmt: skip
    stamps, *values = freeze(open_ns[:keep].copy(), *(np.ascontiguousarray(column[:keep]) for column in columns))
    return BarSeries(symbol, timeframe_ns, stamps, *values, price_side=side)
