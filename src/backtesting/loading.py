"""What a run is made of besides the bot: its costs, its exact window and its market, read once from the store.

Called by one thread, before a run begins. Nothing is read later, and no clock is asked.
"""

from pathlib import Path

from src.backtesting.config import BacktestConfig, CostsSection
from src.backtesting.generated import bar_opener, ensure_market
from src.backtesting.newcomers import DataNeeds
from src.brokers.simulated import Commission, Costs, Slippage
from src.core.errors import PreflightError
from src.core.timeframe import DAY_NS, MINUTE_NS, format_instant
from src.data.bar_store import BarStore
from src.data.market import MarketData, load_market

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
    """The data of the run and its exact window."""
    ensure_market(config, folder)
    timeframes: dict[str, set[int]] = {symbol: set() for symbol in config.symbols}
    for strategy, wanted in zip(config.strategies, needs.timeframes, strict=True):
        for symbol in strategy.symbols or config.symbols:
            timeframes[symbol].update(wanted)
    with bar_opener(config, folder)() as store:
        start_ns, end_ns = _window(store, config)
        _check_coverage(_edges(store, config), start_ns, end_ns)
        calendars = {symbol: config.instruments[symbol].calendar for symbol in config.symbols}
        market = load_market(
            store, config.symbols, timeframes, start_ns, end_ns, needs.warmup_ns, needs.lookbacks, calendars
        )
    return market, start_ns, end_ns


def _edges(store: BarStore, config: BacktestConfig) -> tuple[int, int]:
    """The first open and the last close that the store has of the configuration's symbols."""
    known = [info for symbol in config.symbols for info in store.series_of(symbol)]
    return min(info.first_ns for info in known), max(info.last_ns + info.timeframe_ns for info in known)


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


def _window(store: BarStore, config: BacktestConfig) -> tuple[int, int]:
    """The stated window; where an end is open, that of the symbols' stored bars."""
    section = config.backtest
    if section.start_ns is not None and section.end_ns is not None:
        return section.start_ns, section.end_ns
    first_ns, last_ns = _edges(store, config)
    start_ns = first_ns if section.start_ns is None else section.start_ns
    end_ns = last_ns if section.end_ns is None else section.end_ns
    if end_ns <= start_ns:
        message = "the stored bars end before backtest.start; choose dates that the store covers"
        raise PreflightError(message, code="coverage")
    return start_ns - start_ns % MINUTE_NS, end_ns
