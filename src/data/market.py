"""The market data of one run: base bars, the timeframes derived from them, and the fingerprint.

Loaded once, before a run begins, in one thread. Nothing is read later, so a run cannot see a store change. The
columns are read-only; `BarSeries.length`, how much of a series is visible, belongs to whoever advances the market.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from src.core.bars import BarSeries
from src.core.errors import ConfigError, PreflightError
from src.core.timeframe import MINUTE_NS, format_duration, format_instant
from src.data.fingerprint import fingerprint_bars
from src.data.resample import bucket_open_ns, check_divides, resample
from src.data.store import HistoricalDataStore, SeriesInfo
from src.data.stored import refuse_overlap

__all__ = ["MarketData", "load_market", "market_from_series"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketData:
    """What a run reads, by symbol.

    Attributes:
        base: the finest bars of each symbol; the dictionaries are in the order in which symbols were asked for.
        derived: the higher timeframes by (symbol, timeframe_ns); the base timeframe is not among them.
        fingerprint: digest of `base`; a function of the rows alone.
        sources: where the rows of each symbol come from.
    """

    base: dict[str, BarSeries]
    derived: dict[tuple[str, int], BarSeries]
    fingerprint: str
    sources: dict[str, str]

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """The bars of one timeframe, base or derived; KeyError when they were not asked for."""
        base = self.base[symbol]
        return base if base.timeframe_ns == timeframe_ns else self.derived[symbol, timeframe_ns]


def load_market(
    store: HistoricalDataStore,
    symbols: Sequence[str],
    timeframes_ns: Mapping[str, Iterable[int]],
    start_ns: int,
    end_ns: int,
    warmup_ns: int,
    lookback_bars: Mapping[int, int] | None = None,
) -> MarketData:
    """Read the finest bars of each symbol from `start_ns - warmup_ns` to `end_ns` and derive the timeframes.

    The read begins where the longest derived bar that holds the first instant begins: a first bar made of the rest
    of its interval would have other numbers than the same bar in a run that starts earlier. A symbol whose bars
    begin late or end early inside the window is loaded with what there is.

    Args:
        store: open for reading.
        symbols: each once, in the configured order.
        timeframes_ns: the timeframes that are asked for, by symbol; the base timeframe may be among them.
        start_ns, end_ns: the window `[start, end)` of opens.
        warmup_ns: how much earlier the bars begin.
        lookback_bars: bars of each timeframe wanted before the window; the read goes back as far as that takes, over
            nights, weekends and holes, or to the store's first bar.

    Raises:
        PreflightError: a symbol is unknown, has no bars inside the window, or only bars that the timeframes cannot
            be built from; all symbols' problems in one error, `problems` holds them as a list.
    """
    base: dict[str, BarSeries] = {}
    sources: dict[str, str] = {}
    problems: list[str] = []
    for symbol in symbols:
        wanted = sorted(set(timeframes_ns.get(symbol, ())))
        try:
            info = _choose_base(store, symbol, wanted)
            base[symbol] = _read_window(store, info, wanted, start_ns, end_ns, warmup_ns, lookback_bars or {})
            sources[symbol] = info.source
        except PreflightError as error:
            problems.append(error.message)
    if problems:
        raise PreflightError("\n".join(problems), problems=problems)
    return _assemble(base, timeframes_ns, sources, end_ns)


def market_from_series(
    base: Mapping[str, BarSeries],
    timeframes_ns: Mapping[str, Iterable[int]],
    *,
    sources: Mapping[str, str] | None = None,
) -> MarketData:
    """The market of bars that are already in memory, for instance a generated one.

    The market counts as known up to the close of the last base bar of any symbol.

    Raises:
        ConfigError: a timeframe cannot be built from the bars of its symbol.
    """
    closes = [int(bars.open_ns[bars.loaded - 1]) + bars.timeframe_ns for bars in base.values() if bars.loaded]
    named = {symbol: (sources or {}).get(symbol, "memory") for symbol in base}
    return _assemble(dict(base), timeframes_ns, named, max(closes, default=0))


def _assemble(
    base: dict[str, BarSeries], timeframes_ns: Mapping[str, Iterable[int]], sources: dict[str, str], until_ns: int
) -> MarketData:
    derived = {
        (symbol, timeframe_ns): resample(bars, timeframe_ns, until_ns)
        for symbol, bars in base.items()
        for timeframe_ns in sorted(set(timeframes_ns.get(symbol, ())))
        if timeframe_ns != bars.timeframe_ns
    }
    return MarketData(base=base, derived=derived, fingerprint=fingerprint_bars(base), sources=sources)


def _choose_base(store: HistoricalDataStore, symbol: str, wanted: Sequence[int]) -> SeriesInfo:
    found = store.series_of(symbol)
    info = next((one for one in found if one.timeframe_ns == MINUTE_NS), found[0])
    for timeframe_ns in wanted:
        try:
            check_divides(info.timeframe_ns, timeframe_ns, symbol)
        except ConfigError as error:
            stored = ", ".join(format_duration(one.timeframe_ns) for one in found)
            raise PreflightError(
                f"{error.message} ({store.path.name} has {stored})", symbol=symbol, timeframe_ns=timeframe_ns
            ) from None
    return info


def _read_window(
    store: HistoricalDataStore, info: SeriesInfo, wanted: Sequence[int], start_ns: int, end_ns: int, warmup_ns: int,
    lookback_bars: Mapping[int, int],
) -> BarSeries:  # fmt: skip
    while True:
        first_ns = start_ns - warmup_ns
        from_ns = min([first_ns, *(bucket_open_ns(first_ns, one) for one in wanted if one != info.timeframe_ns)])
        bars = store.read_bars(info.symbol, info.timeframe_ns, from_ns, end_ns)
        if from_ns <= info.first_ns or _is_warm(bars, wanted, start_ns, lookback_bars):
            break
        warmup_ns = 2 * max(warmup_ns, info.timeframe_ns)
    refuse_overlap(bars.open_ns, bars.timeframe_ns, bars.symbol)
    if not bars.loaded or int(bars.open_ns[-1]) < start_ns:
        raise PreflightError(
            f"{info.symbol} has no bars from {format_instant(start_ns)} to {format_instant(end_ns)}; "
            f"{store.path.name} covers {format_instant(info.first_ns)} to {format_instant(info.last_ns)}: "
            f"choose a window inside it or import more",
            symbol=info.symbol, start_ns=start_ns, end_ns=end_ns,
        )  # fmt: skip
    return bars


def _is_warm(bars: BarSeries, wanted: Sequence[int], start_ns: int, lookback_bars: Mapping[int, int]) -> bool:
    """Whether as many bars of each timeframe as are looked back at have closed when the window starts."""
    before = bars.open_ns[: bars.count_closed(start_ns)]
    for timeframe_ns in wanted:
        needed = lookback_bars.get(timeframe_ns, 0)
        if needed and len(np.unique(before // timeframe_ns)) <= needed:
            return False
    return True
