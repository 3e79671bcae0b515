"""Where the bars of a run come from: a store on the disk, or the synthetic market that the configuration describes.

Called by one thread, before a run begins; what opens the bars may be called again whenever a symbol joins.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from src.backtesting.config import BacktestConfig
from src.core.errors import ConfigError
from src.data.bar_store import BarStore
from src.data.store import HistoricalDataStore
from src.data.synthetic import SOURCE_PREFIX, SyntheticHole, SyntheticSpec, SyntheticSymbol, default_symbol
from src.data.synthetic_store import MemoryStore, market_store
from src.data.synthetic_symbols import class_of

__all__ = ["BarOpener", "bar_opener", "ensure_market", "instruments_told", "market_seed", "market_spec"]

#: Opens the bars for reading; a context manager, as often as wanted.
BarOpener = Callable[[], AbstractContextManager[BarStore]]


def bar_opener(config: BacktestConfig, folder: Path) -> BarOpener:
    """What opens the bars of a configuration; the file must be there, see `ensure_market`.

    Args:
        folder: of the configuration file, which its paths are relative to.

    Raises:
        ConfigError: a synthetic market in memory cannot be generated as it is described.
    """
    data = config.backtest.data
    if data.in_memory:
        return partial(MemoryStore, market_spec(config))
    return partial(HistoricalDataStore, folder / data.path, read_only=True)


def ensure_market(config: BacktestConfig, folder: Path) -> None:
    """Write the file of a synthetic market that is not there yet; nothing where bars are imported, or in memory.

    Raises:
        ConfigError: the synthetic market cannot be generated as it is described.
        DataError: its file is something else, or cannot be written.
    """
    data = config.backtest.data
    if data.source == "synthetic" and not data.in_memory:
        market_store(market_spec(config), folder / data.path, ticks=data.ticks)


def market_seed(config: BacktestConfig, sources: Iterable[str]) -> int | str | None:
    """The seed of the market if any bars of the run were generated, None when all are real.

    Args:
        sources: where the bars come from; a store may hold those of a synthetic market too.

    Returns:
        A text where there are several seeds, such as `7, 8`, or `unknown` where a source does not tell it.
    """
    data = config.backtest.data
    if data.source == "synthetic":
        return data.seed
    generated = [one for one in sources if one.startswith(SOURCE_PREFIX.strip())]
    told = [re.match(rf"{SOURCE_PREFIX}seed (\d+)", one) for one in generated]
    seeds = sorted({int(one[1]) for one in told if one is not None})
    if generated and len(seeds) == 1 and None not in told:
        return seeds[0]
    unknown = ["unknown"] if None in told else []
    return ", ".join([*map(str, seeds), *unknown]) or None


def market_spec(config: BacktestConfig) -> SyntheticSpec:
    """The synthetic market of a configuration, with every instrument that may join on the way.

    Raises:
        ConfigError: the window has no start or no end, or a number is outside its range.
    """
    section = config.backtest
    data = section.data
    if section.start_ns is None or section.end_ns is None:
        raise ConfigError("expected a synthetic market to have backtest.start and backtest.end; write both")
    symbols = [*config.symbols, *(symbol for symbol in config.instruments if symbol not in config.symbols)]
    return SyntheticSpec(
        seed=data.seed,
        start_ns=section.start_ns if data.begins_ns is None else data.begins_ns,
        end_ns=section.end_ns,
        symbols=tuple(_symbol(config, symbol) for symbol in symbols),
        outage_every_days=data.outage_every_days,
        trend_bp_per_hour=data.trend_bp_per_hour,
        holes=tuple(SyntheticHole(start_ns=one.from_ns, end_ns=one.to_ns, symbol=one.symbol) for one in data.holes),
    )


def instruments_told(config: BacktestConfig) -> dict[str, dict[str, Any]]:
    """What the configuration says of its instruments that decides how a synthetic source trades them, by symbol."""
    return {
        name: {"kind": one.kind, "calendar": one.calendar, "tick": one.tick} for name, one in config.instruments.items()
    }


def _symbol(config: BacktestConfig, name: str) -> SyntheticSymbol:
    instrument = config.instruments[name]
    symbol = default_symbol(name, kind=class_of(instrument.kind), calendar=instrument.calendar, tick=instrument.tick)
    share = config.backtest.data.absent_share
    return symbol if share is None else replace(symbol, absent_share=share)
