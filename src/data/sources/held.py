"""A source whose bars are all in memory: what files, frames and generated markets become.

Pure; any thread. It has no clock: every bar it holds has closed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.timeframe import format_duration
from src.data.import_plan import ImportAnswers
from src.data.importing import inspect_file
from src.data.instruments import defaults_for
from src.data.sources.port import SourceSymbol

__all__ = ["HeldSource", "file_source", "with_symbol"]

_FILES = ("csv", "parquet")

# A page is one transaction, and there is no network between two of them.
_PAGE_BARS = 100_000


class HeldSource:
    """See `src.data.sources.port.BarSource`.

    Args:
        name: the origin that the store keeps.
        series: the bars, each symbol and timeframe once.
        kinds: crypto, fx or equity of each symbol; crypto by default.
    """

    #: Two files of one layout have one name, and asking costs nothing: see `BarSource`.
    is_held = True

    def __init__(self, name: str, series: list[BarSeries], kinds: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.page_bars = _PAGE_BARS
        self._series = {(one.symbol, one.timeframe_ns): one for one in series}
        self._kinds = dict(kinds or {})

    def now_ns(self) -> int:
        """See `BarSource.now_ns`: the close of the last bar."""
        return max((int(one.open_ns[-1]) + one.timeframe_ns for one in self._series.values() if one.loaded), default=0)

    def symbol(self, name: str) -> SourceSymbol:
        """See `BarSource.symbol`."""
        found = next((one for key, one in self._series.items() if key[0] == name), None)
        if found is None:
            names = ", ".join(sorted({symbol for symbol, _ in self._series})) or "none"
            raise ConfigError(f"{self.name} has no bars of {name}; it has {names}", symbol=name)
        kind = self._kinds.get(name, "crypto")
        return SourceSymbol(
            symbol=name, venue=name, kind=kind, price_side=found.price_side, defaults=defaults_for(kind, name)
        )

    def refuse_timeframe(self, symbol: str, timeframe_ns: int) -> None:
        """See `BarSource`."""
        if (symbol, timeframe_ns) not in self._series:
            has = ", ".join(format_duration(key[1]) for key in sorted(self._series) if key[0] == symbol)
            raise ConfigError(
                f"{self.name} has no {format_duration(timeframe_ns)} bars of {symbol}; it has {has}", symbol=symbol
            )

    def bars(self, symbol: str, timeframe_ns: int, start_ns: int, end_ns: int) -> Iterator[BarSeries]:
        """See `BarSource.bars`."""
        self.symbol(symbol)
        self.refuse_timeframe(symbol, timeframe_ns)
        series = self._series[symbol, timeframe_ns]
        first, last = np.searchsorted(series.open_ns[: series.loaded], [start_ns, end_ns])
        if last > first:
            columns = (getattr(series, name)[first:last] for name in ("open", "high", "low", "close", "volume"))
            yield BarSeries(symbol, timeframe_ns, series.open_ns[first:last], *columns, price_side=series.price_side)

    def close(self) -> None:
        """See `BarSource.close`; there is nothing to let go of."""


def with_symbol(text: str, options: Mapping[str, Any], symbols: Iterable[str]) -> dict[str, Any]:
    """The options of a source; for a file with the symbol it is asked for, where that is one and the options say none.

    Args:
        text: the source, as `source_named` takes it.
        symbols: what the source will be asked for.
    """
    asked = sorted(set(symbols))
    if text.partition(":")[0] not in _FILES or len(asked) != 1:
        return dict(options)
    return {"symbol": asked[0], **options}


def file_source(word: str, path: str, options: Mapping[str, Any], venues: Mapping[str, str]) -> HeldSource:
    """The bars of one file; `options` are the answers that an import takes, such as `{"zone": "UTC"}`.

    Raises:
        ConfigError: there is no such answer, or the file leaves something open; the sentence lists what.
        DataError: the file is absent or has a row that cannot be right.
    """
    if not path:
        raise ConfigError(f"expected a file after {word}:, found none; write {word}:FILE")
    given = {key: str(value) for key, value in options.items()}
    known = [field.name for field in fields(ImportAnswers)]
    odd = sorted(set(given) - set(known))
    if odd:
        raise ConfigError(f"{word}:{path}: expected options among {', '.join(known)}, found {', '.join(odd)}")
    answers = ImportAnswers(**given)
    plan = inspect_file(Path(path), answers)
    series = plan.require_complete(f"{word}:{path}")
    if venues:
        raise ConfigError(
            f"{word}:{path} has no names of its own; expected plain symbols, found {', '.join(venues)}=..."
        )
    return HeldSource(plan.settled["source"], [series], {series.symbol: plan.settled["kind"]})
