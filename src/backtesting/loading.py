"""What a run is made of besides the bot and its costs: its exact window and its market, read once from the store.

Called by one thread, before a run begins. Nothing is read later, and no clock is asked.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from src.backtesting.account_data import conversion_symbols, with_funding
from src.backtesting.config import BacktestConfig
from src.backtesting.fill_data import with_fill_data
from src.backtesting.generated import BarOpener, bar_opener, ensure_market
from src.backtesting.newcomers import DataNeeds
from src.backtesting.price_data import price_edges, with_prices, with_tape_bars
from src.core.errors import PreflightError
from src.core.timeframe import DAY_NS, MINUTE_NS, format_instant
from src.data.bar_store import BarStore
from src.data.market import MarketData, Refusal, load_market
from src.data.stored import SeriesInfo

__all__ = ["market_of"]

#: A window may begin or end so long before or after the data: a week holds any weekend and holiday.
MOST_DAYS_WITHOUT_DATA = 7


def market_of(
    config: BacktestConfig, needs: DataNeeds, folder: Path, refused: list[Refusal], opener: BarOpener | None = None
) -> tuple[MarketData, int, int]:  # fmt: skip
    """The data of the run and its exact window.

    Args:
        refused: is given everything for which the run is refused; the market is what there is without it.
        opener: opens the bars, which are there; by default the configured store does, in which a synthetic market that
            is not there yet is written first.

    Raises:
        PreflightError: there are no data or no window; `findings` name everything, each with its symbol.
        ConfigError: the synthetic market cannot be generated as it is described, or a calendar does not know the time.
        DataError: the store is not what it must be.
    """
    if opener is None:
        ensure_market(config, folder)
        _refuse_no_store(config, folder)
        opener = bar_opener(config, folder)
    timeframes: dict[str, set[int]] = {symbol: set() for symbol in config.symbols}
    for strategy, wanted in zip(config.strategies, needs.timeframes, strict=True):
        for symbol in strategy.symbols or config.symbols:
            timeframes[symbol].update(wanted)
    with opener() as opened:
        store = with_tape_bars(config, opened)
        found, absent = _stored(store, config)
        try:
            edges = price_edges(config, store) or _edges(found)
            start_ns, end_ns = _window(edges, config)
        except PreflightError as error:
            raise _together([*absent, error]) from None
        symbols = [*config.symbols, *conversion_symbols(config)]
        calendars = {symbol: config.instruments[symbol].calendar for symbol in symbols}
        market = load_market(
            store, symbols, timeframes, start_ns, end_ns, needs.warmup_ns, needs.lookbacks, calendars, refused
        )
        try:
            _check_coverage(edges, start_ns, end_ns)
        except PreflightError as error:
            refused.append(Refusal(symbol="", error=error))
        steps: tuple[Callable[[MarketData], MarketData], ...] = (
            lambda market: with_funding(config, opened, market, start_ns, end_ns),
            lambda market: with_fill_data(config, store, market, start_ns, end_ns),
            lambda market: with_prices(config, store, market, start_ns, end_ns),
            lambda market: _with_volume(config, market),
        )
        for step in steps:
            try:
                market = step(market)
            except PreflightError as error:
                refused.append(Refusal(symbol=error.details.get("symbol", ""), error=error))
    return market, start_ns, end_ns


def _with_volume(config: BacktestConfig, market: MarketData) -> MarketData:
    """The market; refuses bars without any volume where fills follow from it: none would fill, or everything slip."""
    costs = config.backtest.costs
    key = "volume_share" if costs.volume_share is not None else "slippage_volume_share"
    if not getattr(costs, key):
        return market
    without = [symbol for symbol, series in market.base.items() if not series.volume.any()]
    if without:
        raise PreflightError(
            f"backtest.costs.{key} needs bars with a volume, and those of {', '.join(without)} have none; leave it out "
            "or import bars that have one",
            code="no_volume", symbol=without[0],
        )  # fmt: skip
    return market


def _refuse_no_store(config: BacktestConfig, folder: Path) -> None:
    data = config.backtest.data
    path = Path(os.path.abspath(folder / data.path))
    if not data.in_memory and not path.exists():
        raise PreflightError(
            f"there is no data file {path}, which backtest.data.store names; expected one with bars of "
            f"{', '.join(config.symbols)}: import them, or name another file",
            code="no_data", path=str(path),
        )  # fmt: skip


def _stored(store: BarStore, config: BacktestConfig) -> tuple[list[SeriesInfo], list[PreflightError]]:
    """The series of the configuration's symbols, and a refusal for each symbol that has none.

    Raises:
        PreflightError: no symbol has any.
    """
    found: list[SeriesInfo] = []
    absent: list[PreflightError] = []
    for symbol in config.symbols:
        try:
            found += store.series_of(symbol)
        except PreflightError as error:
            absent.append(error)
    if not found:
        raise _together(absent)
    return found, absent


def _together(errors: Sequence[PreflightError]) -> PreflightError:
    """One refusal for all of them, of which each stays a finding of its own."""
    if len(errors) == 1:
        return errors[0]
    findings = [
        {
            "code": error.details.get("code", "no_data"), "symbol": error.details.get("symbol", ""),
            "sentence": error.message, "settings": error.details.get("settings"),
        }
        for error in errors
    ]  # fmt: skip
    sentences = [error.message for error in errors]
    return PreflightError("\n".join(sentences), problems=sentences, findings=findings)


def _edges(found: Sequence[SeriesInfo]) -> tuple[int, int]:
    """The first open and the last close of stored series."""
    return min(info.first_ns for info in found), max(info.last_ns + info.timeframe_ns for info in found)


def _check_coverage(edges: tuple[int, int], start_ns: int, end_ns: int) -> None:
    """Refuse a window that reaches far beyond the data: its figures would count days on which nothing could happen."""
    first_ns, last_ns = edges
    if first_ns >= end_ns or last_ns <= start_ns:
        return  # no data at all is reported with the symbols' own names
    for key, instant_ns, edge_ns, beyond_ns in (
        ("start", start_ns, first_ns, first_ns - start_ns),
        ("end", end_ns, last_ns, end_ns - last_ns),
    ):
        if beyond_ns > MOST_DAYS_WITHOUT_DATA * DAY_NS:
            raise PreflightError(
                f"backtest.{key} is {format_instant(instant_ns)}, {beyond_ns // DAY_NS} days beyond the stored bars; "
                f"write backtest.{key}: {format_instant(edge_ns)[:10]} or import more",
                key=f"backtest.{key}", code="coverage", settings={f"backtest.{key}": format_instant(edge_ns)[:10]},
            )  # fmt: skip


def _window(edges: tuple[int, int], config: BacktestConfig) -> tuple[int, int]:
    """The stated window; where an end is open, that of the symbols' stored bars or prices."""
    section = config.backtest
    if section.start_ns is not None and section.end_ns is not None:
        return section.start_ns, section.end_ns
    first_ns, last_ns = edges
    start_ns = first_ns if section.start_ns is None else section.start_ns
    end_ns = last_ns if section.end_ns is None else section.end_ns
    if end_ns <= start_ns:
        message = "the stored bars end before backtest.start; choose dates that the store covers"
        raise PreflightError(message, code="coverage")
    return start_ns - start_ns % MINUTE_NS, end_ns
