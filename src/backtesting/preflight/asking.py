"""What asking a source again can still bring: the configured source, what a sync of a run covers, what was answered.

Called by one thread. Nothing is asked here; the store is opened for reading only where somebody wants advice.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from src.backtesting.account_data import conversion_symbols
from src.backtesting.config import BacktestConfig
from src.backtesting.generated import instruments_told
from src.backtesting.newcomers import DataNeeds
from src.backtesting.preflight.holes import enough_ns
from src.core.errors import LockstepError
from src.core.timeframe import MINUTE_NS
from src.data.sources import source_named
from src.data.sources.held import with_symbol
from src.data.sources.port import BarSource
from src.data.sources.synthetic import with_instruments
from src.data.store import HistoricalDataStore
from src.data.stored import SeriesInfo
from src.data.syncing import answered_windows
from src.data.windows import Window, without

__all__ = ["Askable", "SeriesKey", "configured_source", "finest_ns", "sync_span", "synced_symbols"]

#: Symbol, length of its bars in nanoseconds, source, price side.
SeriesKey = tuple[str, int, str, str]

_EXCHANGE = "ccxt:"
_FOREVER_NS = 2**63 - 1


def synced_symbols(config: BacktestConfig) -> tuple[str, ...]:
    """The symbols that `--sync` asks for: those that are traded, and the pairs that only convert profits."""
    return (*config.symbols, *conversion_symbols(config))


def configured_source(config: BacktestConfig) -> BarSource:
    """The source of `backtest.data.sync`, told what the configuration says of its symbols; to be closed.

    Raises:
        ConfigError: there is no such source, or it cannot be made of that.
        DataError: it is a file that cannot be read.
    """
    data = config.backtest.data
    text = data.sync or ""
    venues = {}
    if text.startswith(_EXCHANGE):  # others have no names of their own
        venues = {name: one.venue for name, one in config.instruments.items() if one.venue}
    options = with_instruments(text, data.sync_options, instruments_told(config))
    return source_named(text, options=with_symbol(text, options, synced_symbols(config)), venues=venues)


def sync_span(config: BacktestConfig, needs: DataNeeds, symbol: str) -> tuple[int, int | None]:
    """What `--sync` asks for of a symbol: the window of the run and the warm-up before it; no end is now.

    The configuration has a start.
    """
    section = config.backtest
    longest_ns = max((length for lengths in needs.timeframes for length in lengths), default=0)
    back_ns = enough_ns(needs.warmup_ns + longest_ns, config.instruments[symbol].calendar)
    return (section.start_ns or 0) - back_ns, section.end_ns


def finest_ns(stored: Sequence[SeriesInfo]) -> int:
    """The length of the bars that a run would read: minutes, or the finest that the store has of a symbol instead."""
    lengths = [one.timeframe_ns for one in stored]
    return MINUTE_NS if not lengths or MINUTE_NS in lengths else min(lengths)


class Askable:
    """What asking a source again can still bring into the store of a configuration.

    Args:
        store: the file of the store, None when bars come from memory or are generated.
        synced: whether the configured source has just been asked, so that it has nothing more.
    """

    def __init__(self, config: BacktestConfig, needs: DataNeeds, store: Path | None, *, synced: bool) -> None:
        self._config = config
        self._needs = needs
        self._store = store
        self._synced = synced
        self._answers: dict[SeriesKey, list[Window]] = {}

    def unanswered(self, key: SeriesKey, windows: Sequence[Window]) -> list[Window]:
        """What of some windows the source of a series has not answered yet, in time order."""
        if key not in self._answers:
            self._answers[key] = []
            if self._store is not None and self._store.exists():
                with HistoricalDataStore(self._store, read_only=True) as store:
                    self._answers[key] = answered_windows(store, *key)
        return without(windows, self._answers[key])

    def is_by_run(self, symbol: str, source: str, windows: Sequence[Window]) -> bool:
        """Whether `preflight --sync` asks the source of a series for a part of some windows."""
        if source != self._name or not self._fits or symbol not in synced_symbols(self._config):
            return False
        start_ns, end_ns = self._span(symbol)
        return any(begin_ns < end_ns and start_ns < stop_ns for begin_ns, stop_ns in windows)

    def has_more(self, symbol: str = "") -> bool:
        """Whether `preflight --sync` asks for anything of a symbol, or without one of any, that nobody has answered."""
        symbols = synced_symbols(self._config)
        if self._name is None or not self._fits or (symbol and symbol not in symbols):
            return False
        return any(self.unanswered(self._key_of(one), [self._span(one)]) for one in symbols if symbol in ("", one))

    @cached_property
    def _name(self) -> str | None:
        """The name under which the store knows the configured source; None when there is none to be asked."""
        section = self._config.backtest
        text = section.data.sync
        if text is None or section.start_ns is None or self._store is None or self._synced:
            return None
        if text.startswith(_EXCHANGE):
            return text
        try:
            source = configured_source(self._config)
        except LockstepError:  # a sync would be refused with the same sentence
            return None
        source.close()
        return source.name

    @cached_property
    def _stored(self) -> dict[str, list[SeriesInfo]]:
        found: dict[str, list[SeriesInfo]] = {symbol: [] for symbol in synced_symbols(self._config)}
        if self._store is not None and self._store.exists():
            with HistoricalDataStore(self._store, read_only=True) as store:
                for one in store.list_series():
                    if one.symbol in found:
                        found[one.symbol].append(one)
        return found

    @cached_property
    def _fits(self) -> bool:
        """Whether no symbol's bars are of another source, with which the configured one would not be mixed."""
        finest = [[one for one in own if one.timeframe_ns == finest_ns(own)] for own in self._stored.values()]
        return all(not own or any(one.source == self._name for one in own) for own in finest)

    def _key_of(self, symbol: str) -> SeriesKey:
        """The series that the configured source would write, stored or not."""
        own, name = self._stored[symbol], self._name or ""
        length_ns = finest_ns(own)
        sides = [one.price_side for one in own if one.timeframe_ns == length_ns and one.source == name]
        return symbol, length_ns, name, sides[0] if sides else "trade"

    def _span(self, symbol: str) -> Window:
        start_ns, end_ns = sync_span(self._config, self._needs, symbol)
        return start_ns, _FOREVER_NS if end_ns is None else end_ns
