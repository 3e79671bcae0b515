"""Tiny worlds: a few bars, a strategy class, and the whole bot run over them.

Everything is composed exactly as a backtest is; nothing is replaced. Called from a test's own thread.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.free_controller import time_controller_for
from src.backtesting.engine.latency import Latency, late_participant
from src.backtesting.engine.pacing import Pacer, TimeMode
from src.backtesting.engine.wakes import polled_participant
from src.backtesting.result import BacktestResult
from src.backtesting.schedules import SchedulePolicy
from src.backtesting.schedules.fifo import Fifo
from src.backtesting.tracing import Probe
from src.brokers.faults import FaultPlan
from src.brokers.simulated import Commission, Costs, FillRules, PriceTape, SimulatedBroker, Slippage
from src.core.bars import BarSeries
from src.core.calendars import Calendar
from src.core.clock import Participant
from src.core.config import BotConfig
from src.core.strategy import Strategy
from src.core.sync import Runtime, runtime_named
from src.core.timeframe import parse_instant, parse_timeframe
from src.data.resample import resample

__all__ = ["FREE", "bar_series", "bot_config", "build_world", "price_tape", "run_world"]

#: Trading costs nothing.
FREE = Costs(commission=Commission(), slippage=Slippage(), spread_percent=0.0, spread_points=0.0)

Row = float | tuple[float, float, float, float] | None


def bar_series(
    symbol: str,
    rows: Iterable[Row],
    timeframe: str = "1m",
    start: str | int = "2024-01-01",
    *,
    price_side: str = "trade",
) -> BarSeries:
    """Bars from prices.

    Args:
        rows: one for each bar: a close (the bar opens at the close before it), (open, high, low, close), or None
            where the bar is missing.
        start: when the first row's bar opens.
    """
    length_ns, first_ns = parse_timeframe(timeframe), parse_instant(start)
    opens_ns: list[int] = []
    prices: list[tuple[float, float, float, float]] = []
    for i, row in enumerate(rows):
        if row is None:
            continue
        if not isinstance(row, tuple):
            close = float(row)
            opening = prices[-1][3] if prices else close
            row = (opening, max(opening, close), min(opening, close), close)
        opens_ns.append(first_ns + i * length_ns)
        prices.append(row)
    columns = np.array(prices, dtype=np.float64).reshape(-1, 4).T
    o, h, l_, c = (np.ascontiguousarray(column) for column in columns)
    open_ns = np.array(opens_ns, dtype=np.int64)
    return BarSeries(symbol, length_ns, open_ns, o, h, l_, c, np.ones(len(prices)), price_side=price_side)


def price_tape(
    symbol: str, rows: Iterable[tuple[float, float] | tuple[float, float, float]], start: str | int = "2024-01-01"
) -> PriceTape:
    """Quotes and trades.

    Args:
        rows: (seconds after `start`, bid, ask) of a quote, (seconds, price) of a trade.
    """
    first_ns, none = parse_instant(start), float("nan")
    table = [(row[0], *row[1:], none) if len(row) == 3 else (row[0], none, none, row[1]) for row in rows]
    columns = np.array(table, dtype=np.float64).reshape(-1, 4).T
    seconds, bid, ask, last = (np.ascontiguousarray(column) for column in columns)
    ts_ns = first_ns + np.round(seconds * 1e9).astype(np.int64)
    return PriceTape(symbol=symbol, ts_ns=ts_ns, bid=bid, ask=ask, last=last)


def bot_config(
    symbols: Sequence[str],
    classes: Iterable[type[Strategy]],
    *,
    balance: float = 10_000.0,
    leverage: float = 1.0,
    positions: str = "netting",
    on_error: str = "stop_all",
    manage: Mapping[str, Any] | None = None,
    strategies: Sequence[Mapping[str, Any]] | None = None,
    **risk: Any,
) -> BotConfig:
    """A configuration in which each class trades all symbols, one unit at a time.

    Args:
        strategies: the section itself, for instances with parameters, timeframes or symbols of their own.
        risk: keys of the `risk` section.
    """
    return BotConfig.model_validate(
        {
            "account": {
                "currency": "USD", "balance": balance, "leverage": leverage, "positions": positions,
            },
            "instruments": {symbol: {"currency": "USD"} for symbol in symbols},
            "symbols": list(symbols),
            "strategies": [{"use": cls.__name__} for cls in classes] if strategies is None else list(strategies),
            "risk": {"size": {"volume": 1}, **risk},
            "manage": dict(manage or {}),
            "on_error": on_error,
        }
    )  # fmt: skip


def build_world(
    series: Sequence[BarSeries],
    classes: Sequence[type[Strategy]],
    config: BotConfig | None = None,
    *,
    policy: SchedulePolicy | None = None,
    runtime: str | Runtime = "threads",
    mode: TimeMode = TimeMode.MAX_SPEED,
    pacer: Pacer | None = None,
    at_end: str = "close",
    limit_fill: str = "touch",
    costs: Costs = FREE,
    timeframes: Sequence[str] = (),
    calendar: Calendar | None = None,
    stall_s: float = 60.0,
    start_ns: int | None = None,
    end_ns: int | None = None,
    prepare: Callable[[SimulatedBroker], None] | None = None,
    probe: Probe | None = None,
    latency: Mapping[str, Latency] | None = None,
    faults: FaultPlan | None = None,
    tapes: Mapping[str, PriceTape] | None = None,
    polls: bool = False,
) -> BacktestController:
    """The composed backtest, ready to run; the first arguments as in `run_world`.

    Args:
        config: by default `bot_config` of the symbols and classes.
        timeframes: higher timeframes to derive for each symbol.
        calendar: by whose sessions they are derived; 24/7 by default.
        prepare: called with the broker before anybody else gets it.
        probe: measures the threads.
        latency: how late participants are, by name, under seed 7.
        faults: what goes wrong between the bot and the venue.
        tapes: the prices of each symbol, when these are what orders fill at, see `price_tape`.
        polls: let everybody act at polls only.
    """
    symbols = [each.symbol for each in series]
    config = config or bot_config(symbols, classes)
    broker = SimulatedBroker(
        config.account,
        {symbol: config.instruments[symbol].build(symbol, config.account.currency) for symbol in config.symbols},
        {each.symbol: each for each in series},
        _derived(series, timeframes, calendar),
        costs if faults is None else replace(costs, blow_outs=faults.blow_outs),
        FillRules(limit_fill=limit_fill, at_end=at_end),  # type: ignore[arg-type]  # at_end is checked by the test that runs it
        tapes=tapes,
    )
    if prepare is not None:
        prepare(broker)
    late = dict(latency or {})

    def wrapped(participant: Participant) -> Participant:
        polled = polled_participant(participant, time) if polls else participant
        return late_participant(polled, time, late, 7)

    policy = policy or Fifo()
    time = time_controller_for(policy)(
        config.symbols,
        mode,
        policy=policy,
        pacer=pacer,
        runtime=runtime_named(runtime) if isinstance(runtime, str) else runtime,
        stall_s=stall_s,
        wake_wrapper=wrapped if late or polls else None,
    )
    chosen = _chosen(config, classes)
    return BacktestController(
        broker, time, config, chosen, start_ns=start_ns, end_ns=end_ns, probe=probe, faults=faults
    )


def _derived(
    series: Sequence[BarSeries], timeframes: Sequence[str], calendar: Calendar | None
) -> dict[tuple[str, int], BarSeries]:
    return {
        (each.symbol, parse_timeframe(text)): resample(each, parse_timeframe(text), None, calendar)
        for each in series
        for text in timeframes
    }


def _chosen(config: BotConfig, classes: Sequence[type[Strategy]]) -> dict[str, type[Strategy]]:
    named = {cls.__name__: cls for cls in classes}
    return {each.instance: named[each.use] for each in config.strategies}


def run_world(
    series: Sequence[BarSeries], classes: Sequence[type[Strategy]], config: BotConfig | None = None, **how: Any
) -> BacktestResult:
    """Run the bot over the bars and return what happened; further arguments as in `build_world`."""
    return build_world(series, classes, config, **how).run()
