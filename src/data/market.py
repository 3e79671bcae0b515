"""The market data of one run: base bars, the timeframes derived from them, and the fingerprint.

Loaded once, before a run begins, in one thread. Nothing is read later, so a run cannot see a store change. The
columns are read-only; `BarSeries.length`, how much of a series is visible, belongs to whoever advances the market.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from src.core.bars import BarSeries
from src.core.calendars import Calendar, calendar_named
from src.core.errors import ConfigError, DataError, PreflightError
from src.core.timeframe import MINUTE_NS, format_duration, format_instant
from src.core.words import counted
from src.data.bar_store import BarStore, DerivingStore
from src.data.fingerprint import fingerprint_bars
from src.data.resample import bucket_open_ns, check_divides, count_buckets, resample
from src.data.stored import SeriesInfo, refuse_overlap
from src.data.tapes import QuoteTape, RateTape, TradeTape

__all__ = ["MarketData", "Refusal", "load_market", "market_from_series"]

#: Makes longer bars, as `resample` does.
Maker = Callable[[BarSeries, int, int, Calendar | None], BarSeries]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketData:
    """What a run reads, by symbol.

    Attributes:
        base: the finest bars of each symbol; the dictionaries are in the order in which symbols were asked for.
        derived: the higher timeframes by (symbol, timeframe_ns); the base timeframe is not among them.
        fingerprint: digest of `base`; a function of the rows alone.
        sources: where the rows of each symbol come from.
        sides: bars of further prices by symbol and price side, where a run asks for them; the fingerprint counts them.
        finer: bars shorter than the base bars, by symbol; likewise.
        quotes, trades: what happened tick by tick, by symbol, where a run asks for it; likewise.
        funding: funding rates of the symbols that pay stored ones; the fingerprint counts them then.
    """

    base: dict[str, BarSeries]
    derived: dict[tuple[str, int], BarSeries]
    fingerprint: str
    sources: dict[str, str]
    funding: dict[str, RateTape] = field(default_factory=dict)
    sides: dict[str, dict[str, BarSeries]] = field(default_factory=dict)
    finer: dict[str, BarSeries] = field(default_factory=dict)
    quotes: dict[str, QuoteTape] = field(default_factory=dict)
    trades: dict[str, TradeTape] = field(default_factory=dict)

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """The bars of one timeframe, base or derived; KeyError when they were not asked for."""
        base = self.base[symbol]
        return base if base.timeframe_ns == timeframe_ns else self.derived[symbol, timeframe_ns]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a market is not what a run can use.

    Attributes:
        symbol: whose bars it is, empty when of the whole run.
        bars: what was read of a symbol whose stamps make no series.
    """

    symbol: str
    error: PreflightError
    bars: BarSeries | None = None


def load_market(
    store: BarStore,
    symbols: Sequence[str],
    timeframes_ns: Mapping[str, Iterable[int]],
    start_ns: int,
    end_ns: int,
    warmup_ns: int,
    lookback_bars: Mapping[int, int] | None = None,
    calendars: Mapping[str, str] | None = None,
    refused: list[Refusal] | None = None,
) -> MarketData:
    """Read the finest bars of each symbol from `start_ns - warmup_ns` to `end_ns` and derive the timeframes.

    The read begins where no derived bar is under way: a first bar made of the rest of its interval would have other
    numbers than the same bar in a run that starts earlier. A symbol whose bars
    begin late or end early inside the window is loaded with what there is.

    Args:
        store: open for reading.
        symbols: each once, in the configured order.
        timeframes_ns: the timeframes that are asked for, by symbol; the base timeframe may be among them.
        start_ns, end_ns: the window `[start, end)` of opens.
        warmup_ns: how much earlier the bars begin.
        lookback_bars: bars of each timeframe wanted before the window; the read goes back as far as that takes and no
            farther, over nights, weekends and holes, or to the store's first bar.
        calendars: the name of each symbol's calendar, by whose sessions bars of days, weeks and odd lengths are made;
            24/7 for those that are not named.
        refused: is given what would be raised, a refusal each; the market is that of the other symbols then.

    Raises:
        PreflightError: a symbol is unknown, has no bars inside the window, or only bars that the timeframes cannot
            be built from; all symbols' problems in one error, `problems` holds them as a list.
    """
    base: dict[str, BarSeries] = {}
    sources: dict[str, str] = {}
    derived: dict[tuple[str, int], BarSeries] = {}
    found: list[Refusal] = []
    known = _by_symbol(calendars)
    make = store.derive if isinstance(store, DerivingStore) else resample
    for symbol in symbols:
        wanted = sorted(set(timeframes_ns.get(symbol, ())))
        try:
            info = _choose_base(store, symbol, wanted)
            bars = _read_window(
                store, info, wanted, start_ns, end_ns, warmup_ns, lookback_bars or {}, known.get(symbol)
            )
        except PreflightError as error:
            found.append(Refusal(symbol=symbol, error=error))
            continue
        wrong = _disorder(bars)
        if not wrong:
            try:
                derived |= _derive(bars, wanted, end_ns, known.get(symbol), make)
            except DataError as error:  # bars that open inside of those that are made of them
                wrong = [PreflightError(error.message, code="stamp", symbol=symbol)]
        if wrong:
            found += [Refusal(symbol=symbol, error=error, bars=bars) for error in wrong]
        else:
            base[symbol], sources[symbol] = bars, info.source
    if refused is not None:
        refused += found
    elif found:
        raise _together(found)
    return MarketData(base=base, derived=derived, fingerprint=fingerprint_bars(base), sources=sources)


def _together(refused: Sequence[Refusal]) -> PreflightError:
    """One error for all refusals, of which each stays a finding of its own."""
    problems = [each.error.message for each in refused]
    findings = [
        {"code": each.error.details.get("code", "no_data"), "symbol": each.symbol, "sentence": each.error.message}
        for each in refused
    ]
    return PreflightError("\n".join(problems), problems=problems, findings=findings)


def _disorder(bars: BarSeries) -> list[PreflightError]:
    """What is wrong with the stamps of bars in time order: each kind of fault by itself."""
    try:
        refuse_overlap(bars.open_ns, bars.timeframe_ns, bars.symbol)
    except DataError as error:
        sentences = [error.message]
    else:
        return []
    again = np.flatnonzero(np.diff(bars.open_ns) == 0)
    if len(again):
        sentences = [
            f"{bars.symbol}: expected each bar of {format_duration(bars.timeframe_ns)} once, found "
            f"{counted(len(again), 'bar')} too many, the first one at {format_instant(int(bars.open_ns[again[0]]))}; "
            "keep one copy of each"
        ]
        try:
            refuse_overlap(np.unique(bars.open_ns), bars.timeframe_ns, bars.symbol)
        except DataError as error:
            sentences.append(error.message)
    return [PreflightError(sentence, code="order", symbol=bars.symbol) for sentence in sentences]


def market_from_series(
    base: Mapping[str, BarSeries],
    timeframes_ns: Mapping[str, Iterable[int]],
    *,
    sources: Mapping[str, str] | None = None,
    calendars: Mapping[str, str] | None = None,
) -> MarketData:
    """The market of bars that are already in memory, for instance a generated one; `calendars` as in `load_market`.

    The market counts as known up to the close of the last base bar of any symbol.

    Raises:
        ConfigError: a timeframe cannot be built from the bars of its symbol.
    """
    closes = [int(bars.open_ns[bars.loaded - 1]) + bars.timeframe_ns for bars in base.values() if bars.loaded]
    named = {symbol: (sources or {}).get(symbol, "memory") for symbol in base}
    return _assemble(dict(base), timeframes_ns, named, max(closes, default=0), _by_symbol(calendars))


def _by_symbol(names: Mapping[str, str] | None) -> dict[str, Calendar]:
    return {symbol: calendar_named(name) for symbol, name in (names or {}).items()}


def _assemble(
    base: dict[str, BarSeries], timeframes_ns: Mapping[str, Iterable[int]], sources: dict[str, str], until_ns: int,
    calendars: Mapping[str, Calendar],
) -> MarketData:  # fmt: skip
    derived: dict[tuple[str, int], BarSeries] = {}
    for symbol, bars in base.items():
        derived |= _derive(bars, sorted(set(timeframes_ns.get(symbol, ()))), until_ns, calendars.get(symbol))
    return MarketData(base=base, derived=derived, fingerprint=fingerprint_bars(base), sources=sources)


def _derive(
    bars: BarSeries, wanted: Sequence[int], until_ns: int, calendar: Calendar | None, make: Maker = resample
) -> dict[tuple[str, int], BarSeries]:
    return {
        (bars.symbol, timeframe_ns): make(bars, timeframe_ns, until_ns, calendar)
        for timeframe_ns in wanted
        if timeframe_ns != bars.timeframe_ns
    }


def _choose_base(store: BarStore, symbol: str, wanted: Sequence[int]) -> SeriesInfo:
    found = store.series_of(symbol)
    info = next((one for one in found if one.timeframe_ns == MINUTE_NS), found[0])
    for timeframe_ns in wanted:
        try:
            check_divides(info.timeframe_ns, timeframe_ns, symbol)
        except ConfigError as error:
            stored = ", ".join(format_duration(one.timeframe_ns) for one in found)
            raise PreflightError(
                f"{error.message} ({store.path.name} has {stored})",
                symbol=symbol,
                timeframe_ns=timeframe_ns,
                code="timeframe",
            ) from None
    return info


def _read_window(
    store: BarStore, info: SeriesInfo, wanted: Sequence[int], start_ns: int, end_ns: int, warmup_ns: int,
    lookback_bars: Mapping[int, int], calendar: Calendar | None,
) -> BarSeries:  # fmt: skip
    derived = [one for one in wanted if one != info.timeframe_ns]
    bars: BarSeries | None = None
    if any(lookback_bars.get(one, 0) for one in wanted):
        # One bar more than is looked back at: the last one may be under way when the window starts.
        warmup_ns += max(wanted)
    while True:
        # Nothing is before the first bar, and a calendar need not know that time.
        first_ns = max(start_ns - warmup_ns, min(info.first_ns, start_ns))
        from_ns = _between_bars(first_ns, derived, info.first_ns, calendar)
        # Nearly always the first read is the last one; where it is not, the way back is looked for without the window.
        until_ns = end_ns if bars is None else start_ns
        bars = store.read_bars(info.symbol, info.timeframe_ns, from_ns, until_ns)
        if from_ns <= info.first_ns or _is_warm(bars, wanted, start_ns, lookback_bars, calendar):
            break
        warmup_ns = 2 * max(warmup_ns, info.timeframe_ns)
    if until_ns != end_ns:
        # Each further step went twice as far back: what lies before the bars that are looked at is left out again.
        needed_ns = _needed_from(bars, wanted, start_ns, lookback_bars, calendar)
        from_ns = max(from_ns, _between_bars(needed_ns, derived, info.first_ns, calendar))
        bars = store.read_bars(info.symbol, info.timeframe_ns, from_ns, end_ns)
    if not bars.loaded or int(bars.open_ns[-1]) < start_ns:
        raise PreflightError(
            f"{info.symbol} has no bars from {format_instant(start_ns)} to {format_instant(end_ns)}; "
            f"{store.path.name} covers {format_instant(info.first_ns)} to {format_instant(info.last_ns)}: "
            f"choose a window inside it or import more",
            symbol=info.symbol, start_ns=start_ns, end_ns=end_ns, code="coverage",
        )  # fmt: skip
    return bars


def _between_bars(instant_ns: int, timeframes_ns: Sequence[int], least_ns: int, calendar: Calendar | None) -> int:
    """The last instant up to the given one at which no derived bar is under way, or one before all bars."""
    while instant_ns > least_ns:
        begin = min([bucket_open_ns(instant_ns, one, calendar) for one in timeframes_ns], default=instant_ns)
        if begin == instant_ns:
            break
        instant_ns = begin  # there a bar of another timeframe may be under way
    return instant_ns


def _needed_from(
    bars: BarSeries, wanted: Sequence[int], start_ns: int, lookback_bars: Mapping[int, int], calendar: Calendar | None
) -> int:
    """The open of the last bar from which the window starts warm; that of the first one when it does not."""
    values = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    low, high = 0, bars.loaded  # from the first one it may be warm, from behind the last one it is not
    while high - low > 1:
        middle = (low + high) // 2
        rest = BarSeries(
            bars.symbol, bars.timeframe_ns, bars.open_ns[middle:], *(column[middle:] for column in values)
        )  # fmt: skip
        if _is_warm(rest, wanted, start_ns, lookback_bars, calendar):
            low = middle
        else:
            high = middle
    return int(bars.open_ns[low]) if bars.loaded else start_ns


def _is_warm(
    bars: BarSeries, wanted: Sequence[int], start_ns: int, lookback_bars: Mapping[int, int], calendar: Calendar | None
) -> bool:
    """Whether as many bars of each timeframe as are looked back at have closed when the window starts."""
    before = bars.count_closed(start_ns)
    for timeframe_ns in wanted:
        needed = lookback_bars.get(timeframe_ns, 0)
        if needed and count_buckets(bars, before, timeframe_ns, calendar) <= needed:
            return False
    return True
