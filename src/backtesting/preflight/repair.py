"""Getting absent bars from the configured source before the data are judged.

Called by one thread, which waits for the source; the store is open for writing meanwhile, and closed before it is read.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext

from src.backtesting.config import BacktestConfig
from src.backtesting.generated import instruments_told
from src.backtesting.newcomers import data_needs
from src.backtesting.preflight.holes import enough_ns
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError
from src.core.timeframe import MINUTE_NS, format_duration
from src.data.sources import source_named
from src.data.sources.port import BarSource
from src.data.sources.synthetic import with_instruments
from src.data.store import HistoricalDataStore
from src.data.syncing import OnPage, SyncReport, sync_bars
from src.strategies import load_strategy

__all__ = ["sync_first"]


def sync_first(
    document: ConfigDocument,
    config: BacktestConfig,
    *,
    on_opened: Callable[[BarSource], object] | None = None,
    shown: Callable[[str], AbstractContextManager[OnPage | None]] | None = None,
) -> Iterator[SyncReport]:
    """Ask the source of `backtest.data.sync` for the bars of every symbol, warm-up included; one report for each.

    Args:
        on_opened: is given the source before it is asked for anything, to hear when it waits for somebody.
        shown: entered with the name of a series while that is asked for; what it gives is called after each page.

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
    generates = data.sync.startswith("synthetic:")  # it has no names of its own
    venues = {} if generates else {name: one.venue for name, one in config.instruments.items() if one.venue}
    options = with_instruments(data.sync, data.sync_options, instruments_told(config))
    path = document.folder / data.path
    with closing(source_named(data.sync, options=options, venues=venues)) as source:
        if on_opened is not None:
            on_opened(source)
        for symbol in config.symbols:  # before the store is opened, so that a refusal leaves no file behind
            source.symbol(symbol)
        with HistoricalDataStore(path) as store:
            for symbol in config.symbols:
                back_ns = enough_ns(needs.warmup_ns + longest_ns, config.instruments[symbol].calendar)
                start_ns = section.start_ns - back_ns
                length_ns = _finest(store, symbol)
                name = f"{symbol} {format_duration(length_ns)}"
                with nullcontext() if shown is None else shown(name) as on_page:
                    report = sync_bars(store, source, symbol, length_ns, start_ns, section.end_ns, on_page=on_page)
                yield report


def _finest(store: HistoricalDataStore, symbol: str) -> int:
    """The length of the bars that a run would read: minutes, or the finest that the store has instead."""
    stored = [one.timeframe_ns for one in store.list_series() if one.symbol == symbol]
    return MINUTE_NS if not stored or MINUTE_NS in stored else min(stored)
