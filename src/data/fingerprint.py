"""The data fingerprint: one digest of the rows that a run really reads, or of those of a whole store.

Pure functions; any thread. The digest follows symbol names
and time, never the order in which symbols were stored or asked for.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import xxhash

from src.core.bars import BarSeries
from src.data.stored import COLUMNS, Columns

__all__ = ["Digest", "fingerprint_bars", "fingerprint_columns"]


class Digest:
    """An xxh3_128 over names and columns; lengths go in too, so that no two inputs share their bytes."""

    __slots__ = ("_hash",)

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_128()

    def add_text(self, text: str) -> None:
        """A name."""
        encoded = text.encode()
        self._hash.update(len(encoded).to_bytes(8, "little"))
        self._hash.update(encoded)

    def add_number(self, number: int) -> None:
        """A whole number that is not negative."""
        self._hash.update(number.to_bytes(8, "little"))

    def add_column(self, column: npt.NDArray[np.generic]) -> None:
        """A contiguous column, as little-endian numbers."""
        # On a little-endian machine these are the arrays themselves, not copies.
        little = column.astype(column.dtype.newbyteorder("<"), copy=False)
        self._hash.update(little.view(np.uint8).data)

    def add_bars(self, symbol: str, timeframe_ns: int, price_side: str, columns: Columns) -> None:
        """The bars of one series: names, number of bars, then each column in the order of its rows."""
        self.add_text(symbol)
        self.add_text(price_side)
        self.add_number(timeframe_ns)
        self.add_number(len(columns["open_ns"]))
        for name in COLUMNS:
            self.add_column(columns[name])

    def hexdigest(self) -> str:
        """32 hexadecimal digits."""
        return self._hash.hexdigest()


def fingerprint_bars(series: Mapping[str, BarSeries]) -> str:
    """The xxh3_128 of several series, 32 hexadecimal digits.

    Hashed are, in the order of the symbols' names: name, price side, timeframe, number of bars, then each column as
    little-endian numbers in time order. The lengths make the input unambiguous: no two sets of series share it.

    Args:
        series: the loaded bars of each symbol, hidden ones included.
    """
    digest = Digest()
    for symbol in sorted(series):
        bars = series[symbol]
        columns = {name: getattr(bars, name)[: bars.loaded] for name in COLUMNS}
        digest.add_bars(symbol, bars.timeframe_ns, bars.price_side, columns)
    return digest.hexdigest()


def fingerprint_columns(symbol: str, timeframe_ns: int, price_side: str, columns: Columns) -> str:
    """The fingerprint of one series given as columns; that of `fingerprint_bars` for the same rows.

    Args:
        columns: `open_ns`, `open`, `high`, `low`, `close`, `volume`, contiguous, each of shape (rows,).
    """
    digest = Digest()
    digest.add_bars(symbol, timeframe_ns, price_side, columns)
    return digest.hexdigest()
