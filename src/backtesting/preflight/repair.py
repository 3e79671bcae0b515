"""Getting absent bars from the configured source before the data are judged.

Called by one thread, which waits for the source; the store is open for writing meanwhile, and closed before it is read.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext

from src.backtesting.preflight.asking import configured_source, finest_ns, sync_span, synced_symbols
from src.backtesting.preflight.examine import Examiner
from src.backtesting.settled import settle
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError
from src.core.timeframe import format_duration
from src.data.sources.port import BarSource
from src.data.store import HistoricalDataStore
from src.data.syncing import OnPage, SyncReport, sync_bars

__all__ = ["sync_first"]


def sync_first(
    document: ConfigDocument,
    *,
    on_opened: Callable[[BarSource], object] | None = None,
    shown: Callable[[str], AbstractContextManager[OnPage | None]] | None = None,
) -> Iterator[SyncReport]:
    """Ask the source of `backtest.data.sync` for the bars of every symbol, warm-up included; one report for each.

    Pairs that only convert profits are asked for as well; funding rates are not, see `data sync`.

    Args:
        on_opened: is given the source before it is asked for anything, to hear when it waits for somebody.
        shown: entered with the name of a series while that is asked for; what it gives is called after each page.

    Raises:
        ConfigError: a setting of the run is wrong, no source is configured, the window has no start, or the source
            knows a symbol not.
        PreflightError: a cost has no number; it carries a whole report.
        DataError: the store holds bars of another source, or a stored bar comes again with other numbers.
        BrokerUnavailable: the source did not answer; what came before is stored.
    """
    settled = settle(document)  # what is wrong whatever the data are is told before anything is asked for
    config, needs = settled.config, settled.needs
    section, data = config.backtest, config.backtest.data
    if data.sync is None or data.source != "store":
        raise ConfigError(
            "--sync: expected backtest.data.sync to name where bars come from, such as ccxt:binanceusdm, beside "
            "backtest.data.source: store; found none: write it, or leave --sync out"
        )
    if section.start_ns is None:
        raise ConfigError("--sync: expected backtest.start, because a source is asked for a window; write it")
    Examiner(config, document, needs, judging=False).refuse_costs()
    path = document.folder / data.path
    with closing(configured_source(config)) as source:
        if on_opened is not None:
            on_opened(source)
        symbols = synced_symbols(config)
        for symbol in symbols:  # before the store is opened, so that a refusal leaves no file behind
            source.symbol(symbol)
        with HistoricalDataStore(path) as store:
            for symbol in symbols:
                start_ns, end_ns = sync_span(config, needs, symbol)
                length_ns = finest_ns([one for one in store.list_series() if one.symbol == symbol])
                name = f"{symbol} {format_duration(length_ns)}"
                with nullcontext() if shown is None else shown(name) as on_page:
                    report = sync_bars(store, source, symbol, length_ns, start_ns, end_ns, on_page=on_page)
                yield report
