"""What a run is made of besides the bot: its costs, its exact window and its market, read once from the store.

Called by one thread, before a run begins. Nothing is read later, and no clock is asked.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from src.backtesting.config import BacktestConfig, CostsSection
from src.backtesting.generated import bar_opener, ensure_market
from src.backtesting.newcomers import DataNeeds
from src.brokers.simulated import Commission, Costs, Slippage
from src.core.errors import PreflightError
from src.core.timeframe import DAY_NS, MINUTE_NS, format_instant
from src.data.bar_store import BarStore
from src.data.market import MarketData, load_market
from src.data.stored import SeriesInfo

__all__ = ["costs_of", "market_of"]

#: A window may begin or end so long before or after the data: a week holds any weekend and holiday.
MOST_DAYS_WITHOUT_DATA = 7


def costs_of(section: CostsSection) -> Costs:
    """The cost models of a configuration.

    Raises:
        PreflightError: a cost has no number; `problems` names them all.
    """
    pairs = (
        ("spread", "spread_percent", "spread_points"),
        ("commission", "commission_percent", "commission_per_unit"),
        ("slippage", "slippage_percent", "slippage_points"),
    )
    absent = [each for each in pairs if getattr(section, each[1]) is None and getattr(section, each[2]) is None]
    if absent:
        missing = [
            f"backtest.costs has no {name}: write {one} or {other} (0 where there is none)"
            for name, one, other in absent
        ]
        settings = {f"backtest.costs.{one}": "0" for _, one, _ in absent}
        raise PreflightError("\n".join(missing), problems=missing, code="costs", settings=settings)
    return Costs(
        commission=Commission(section.commission_percent or 0.0, section.commission_per_unit or 0.0),
        slippage=Slippage(section.slippage_percent or 0.0, section.slippage_points or 0.0),
        spread_percent=section.spread_percent or 0.0,
        spread_points=section.spread_points or 0.0,
        latency_ns=section.latency_ns,
    )


def market_of(config: BacktestConfig, needs: DataNeeds, folder: Path) -> tuple[MarketData, int, int]:
    """The data of the run and its exact window.

    Raises:
        PreflightError: something that the run needs is not there; `findings` name everything, each with its symbol.
        ConfigError: the synthetic market cannot be generated as it is described, or a calendar does not know the time.
        DataError: the store is not what it must be.
    """
    ensure_market(config, folder)
    _refuse_no_store(config, folder)
    timeframes: dict[str, set[int]] = {symbol: set() for symbol in config.symbols}
    for strategy, wanted in zip(config.strategies, needs.timeframes, strict=True):
        for symbol in strategy.symbols or config.symbols:
            timeframes[symbol].update(wanted)
    with bar_opener(config, folder)() as store:
        found, absent = _stored(store, config)
        try:
            start_ns, end_ns = _window(found, config)
            _check_coverage(_edges(found), start_ns, end_ns)
        except PreflightError as error:
            raise _together([*absent, error]) from None
        calendars = {symbol: config.instruments[symbol].calendar for symbol in config.symbols}
        market = load_market(
            store, config.symbols, timeframes, start_ns, end_ns, needs.warmup_ns, needs.lookbacks, calendars
        )
    return market, start_ns, end_ns


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


def _window(found: Sequence[SeriesInfo], config: BacktestConfig) -> tuple[int, int]:
    """The stated window; where an end is open, that of the symbols' stored bars."""
    section = config.backtest
    if section.start_ns is not None and section.end_ns is not None:
        return section.start_ns, section.end_ns
    first_ns, last_ns = _edges(found)
    start_ns = first_ns if section.start_ns is None else section.start_ns
    end_ns = last_ns if section.end_ns is None else section.end_ns
    if end_ns <= start_ns:
        message = "the stored bars end before backtest.start; choose dates that the store covers"
        raise PreflightError(message, code="coverage")
    return start_ns - start_ns % MINUTE_NS, end_ns
