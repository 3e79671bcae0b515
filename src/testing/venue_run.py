"""The local venue over the market of a configuration: what its backtest reads, traded on paper or live on this machine.

Called by one thread; the venue it gives serves from a thread of its own.
"""

import re
from dataclasses import replace
from pathlib import Path

from src.backtesting.config import BacktestConfig
from src.backtesting.generated import bar_opener, market_spec
from src.brokers.simulated import FillRules
from src.brokers.simulated.costs_section import costs_of
from src.core.bars import BarSeries
from src.core.errors import ConfigError
from src.core.timeframe import DAY_NS
from src.data.bar_store import BarStore
from src.data.synthetic_store import MemoryStore
from src.testing.venue import LocalVenue

__all__ = ["venue_of"]

#: How much longer than the window of the backtest a synthetic market goes on.
_GOES_ON_NS = DAY_NS


def venue_of(
    config: BacktestConfig, folder: Path, *, speed: float = 1.0, start_ns: int | None = None, port: int = 0,
    waits: bool = True,
) -> LocalVenue:  # fmt: skip
    """The venue of a configuration, with its account, its costs and its rules of filling.

    Its bars are those of the backtest; a synthetic market goes on for a day beyond the window.

    Args:
        folder: of the configuration file, which its paths are relative to.
        speed: seconds of the venue for each real second.
        start_ns: its time at first; by default the start of the backtest.
        port: 0 for any that is free.
        waits: its time stands until the first request.

    Raises:
        ConfigError: it is nothing that such a venue can trade, or the market cannot be generated.
        DataError, PreflightError: the store is not there, or has no bars of a symbol.
    """
    section, currency = config.backtest, config.account.currency
    instruments = {symbol: config.instruments[symbol].build(symbol, currency) for symbol in config.symbols}
    for symbol, rules in instruments.items():
        told = re.sub(r":.*$|[^A-Za-z0-9]", "", config.instruments[symbol].venue or symbol)
        if rules.kind != "perpetual" or rules.quote_currency != currency or told != symbol:
            raise ConfigError(
                f"the local venue has perpetuals in {currency} that are named as at the exchange, such as BTCUSDT for "
                f"BTC/USDT:USDT; found {symbol}, a {rules.kind} in {rules.quote_currency} at "
                f"{config.instruments[symbol].venue or symbol!r}",
                symbol=symbol,
            )
    rules_of_fills = FillRules(
        limit_fill=section.limit_fill, intrabar=section.intrabar, at_end="keep", seed=section.seed,
        touch_probability=section.chance_of_touch,
    )  # fmt: skip
    bars = _bars(config, folder)
    first_ns = section.start_ns if start_ns is None else start_ns
    if first_ns is None:
        first_ns = max(series.open_ns_at[0] for series in bars.values())
    for symbol, series in bars.items():
        if not series.open_ns_at[0] <= first_ns < series.close_of(series.loaded - 1):
            raise ConfigError(
                f"expected bars of {symbol} around the instant at which the venue starts, found none there; start it "
                "within backtest.start and backtest.end",
                symbol=symbol,
            )
    return LocalVenue(
        bars, instruments, first_ns, account=config.account, costs=costs_of(section.costs), rules=rules_of_fills,
        speed=speed, port=port, waits=waits,
    )  # fmt: skip


def _bars(config: BacktestConfig, folder: Path) -> dict[str, BarSeries]:
    if config.backtest.data.source == "synthetic":
        spec = market_spec(config)
        return _read(MemoryStore(replace(spec, end_ns=spec.end_ns + _GOES_ON_NS)), config)
    with bar_opener(config, folder)() as store:
        return _read(store, config)


def _read(store: BarStore, config: BacktestConfig) -> dict[str, BarSeries]:
    """The finest bars of each symbol."""
    found = {}
    for symbol in config.symbols:
        info = min(store.series_of(symbol), key=lambda each: each.timeframe_ns)
        found[symbol] = store.read_bars(symbol, info.timeframe_ns, price_side=info.price_side)
    return found
