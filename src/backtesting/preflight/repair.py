"""Getting absent bars from the configured source before the data are judged.

Called by one thread, which waits for the source; the store is open for writing meanwhile, and closed before it is read.
"""

from collections.abc import Iterator
from contextlib import closing

from src.backtesting.config import BacktestConfig
from src.backtesting.newcomers import data_needs
from src.core.calendars import ALWAYS
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS, MINUTE_NS
from src.data.sources import source_named
from src.data.store import HistoricalDataStore
from src.data.syncing import SyncReport, sync_bars
from src.strategies import load_strategy

__all__ = ["sync_first"]

#: A market that closes has fewer bars in a span of time: so much longer is the span that holds enough of them.
_CLOSED_FACTOR = 6
_CLOSED_DAYS = 7


def sync_first(document: ConfigDocument, config: BacktestConfig) -> Iterator[SyncReport]:
    """Ask the source of `backtest.data.sync` for the bars of every symbol, warm-up included; one report for each.

    Raises:
        ConfigError: no source is configured, the window has no start, or the source knows a symbol not.
        DataError: the store holds bars of another source, or a stored bar comes again with other numbers.
        BrokerUnavailable: the source did not answer; what came before is stored.
    """
    section = config.backtest
    data = section.data
    if data.sync is None or data.source != "store":
        raise ConfigError(
            "--sync: expected backtest.data.sync to name where bars come from, such as ccxt:binanceusdm, beside "
            "backtest.data.source: store; found none: write it, or leave --sync out"
        )
    if section.start_ns is None:
        raise ConfigError("--sync: expected backtest.start, because a source is asked for a window; write it")
    classes = {one.instance: load_strategy(one.use, document.folder).cls for one in config.strategies}
    needs = data_needs(config, classes)
    longest_ns = max((length for lengths in needs.timeframes for length in lengths), default=0)
    venues = {name: one.venue for name, one in config.instruments.items() if one.venue}
    path = document.folder / data.path
    with closing(source_named(data.sync, options=data.sync_options, venues=venues)) as source:
        for symbol in config.symbols:  # before the store is opened, so that a refusal leaves no file behind
            source.symbol(symbol)
        with HistoricalDataStore(path) as store:
            for symbol in config.symbols:
                back_ns = needs.warmup_ns + longest_ns
                if config.instruments[symbol].calendar != ALWAYS:
                    back_ns = _CLOSED_FACTOR * back_ns + _CLOSED_DAYS * DAY_NS
                start_ns = section.start_ns - back_ns
                yield sync_bars(store, source, symbol, _finest(store, symbol), start_ns, section.end_ns)


def _finest(store: HistoricalDataStore, symbol: str) -> int:
    """The length of the bars that a run would read: minutes, or the finest that the store has instead."""
    stored = [one.timeframe_ns for one in store.list_series() if one.symbol == symbol]
    return MINUTE_NS if not stored or MINUTE_NS in stored else min(stored)
