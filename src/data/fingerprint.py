"""The data fingerprint: one digest of the rows that a run really reads.

Pure functions; any thread. The digest follows symbol names and time, never the order in which rows were stored or
symbols were asked for.
"""

from collections.abc import Mapping

import numpy as np
import xxhash

from src.core.bars import BarSeries

__all__ = ["fingerprint_bars"]


def fingerprint_bars(series: Mapping[str, BarSeries]) -> str:
    """The xxh3_128 of several series, 32 hexadecimal digits.

    Hashed are, in the order of the symbols' names: name, timeframe, price side, number of bars, then each column as
    little-endian numbers in time order. The lengths make the input unambiguous: no two sets of series share it.

    Args:
        series: the loaded bars of each symbol, hidden ones included.
    """
    digest = xxhash.xxh3_128()
    for symbol in sorted(series):
        bars = series[symbol]
        count = bars.loaded
        for text in (symbol, bars.price_side):
            encoded = text.encode()
            digest.update(len(encoded).to_bytes(8, "little"))
            digest.update(encoded)
        digest.update(bars.timeframe_ns.to_bytes(8, "little"))
        digest.update(count.to_bytes(8, "little"))
        # On a little-endian machine these are the arrays themselves, not copies.
        digest.update(bars.open_ns[:count].astype("<i8", copy=False).view(np.uint8).data)
        for column in (bars.open, bars.high, bars.low, bars.close, bars.volume):
            digest.update(column[:count].astype("<f8", copy=False).view(np.uint8).data)
    return digest.hexdigest()
