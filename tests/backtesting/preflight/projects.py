"""A configuration over a store of a few hundred bars, and the ways in which its data are wrong."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np

from src.backtesting.preflight import PreflightReport
from src.backtesting.run import PreparedRun, prepare
from src.core.bars import BarSeries
from src.core.config_file import read_config
from src.core.errors import PreflightError
from src.core.timeframe import HOUR_NS, MINUTE_NS, parse_instant
from src.data.store import HistoricalDataStore

START = parse_instant("2024-01-03")  # a Wednesday

CONFIG = """\
name: small
account: {type: margin, currency: USD, balance: 10_000, leverage: 3}
instruments: {AAA: {currency: USD, calendar: CALENDAR}}
symbols: [AAA]
strategies: [{use: sma_cross, timeframe: 5m, params: {fast: 2, slow: 5}}]
risk: {size: {risk_percent: 0.5}}
backtest:
  start: 2024-01-03
  end: 2024-01-03 06:00
  runtime: fibers
  data: {store: bars.duckdb}
  costs: {spread_percent: 0, commission_percent: 0, slippage_percent: 0}
"""


def series(opens: Sequence[int] | np.ndarray, symbol: str = "AAA", timeframe_ns: int = MINUTE_NS) -> BarSeries:
    """Bars at the given instants whose prices go up and down."""
    stamps = np.asarray(opens, np.int64)
    close = 100 + np.sin(np.arange(len(stamps)) / 20)
    opening = np.concatenate((close[:1], close[:-1]))
    high, low = np.maximum(opening, close) + 0.1, np.minimum(opening, close) - 0.1
    return BarSeries(symbol, timeframe_ns, stamps, opening, high, low, close, np.ones(len(stamps)))


def minutes(first: float, last: float, without: Sequence[tuple[float, float]] = ()) -> np.ndarray:
    """The opens of all minutes between two hours since the start, without those between further pairs of hours."""
    stamps = np.arange(START + int(first * HOUR_NS), START + int(last * HOUR_NS), MINUTE_NS)
    for begin, end in without:
        stamps = stamps[(stamps < START + begin * HOUR_NS) | (stamps >= START + end * HOUR_NS)]
    return stamps


def project(
    folder: Path, opens: Sequence[int] | np.ndarray, *, calendar: str = "24/7", timeframe_ns: int = MINUTE_NS,
    source: str = "file",
) -> Path:  # fmt: skip
    """The configuration with a store that holds bars at the given instants."""
    config = folder / "config.yaml"
    config.write_text(CONFIG.replace("CALENDAR", calendar), encoding="utf-8")
    with HistoricalDataStore(folder / "bars.duckdb") as store:
        store.write_bars(series(opens, timeframe_ns=timeframe_ns), source=source)
    return config


def prepared(config: Path, *overrides: str, preflight: bool = True) -> PreparedRun:
    """The run of the configuration."""
    return prepare(read_config(config, list(overrides)), stored=False, preflight=preflight)


def examined(config: Path, *overrides: str) -> PreflightReport:
    """What preflight finds, whether the run is refused or not."""
    try:
        found = prepared(config, *overrides).preflight
    except PreflightError as error:
        return PreflightReport.of(error)
    assert found is not None
    return found


def codes(report: PreflightReport) -> list[tuple[str, str]]:
    """Severity and code of each finding but the one that says what the window is."""
    return [(one.severity, one.code) for one in report.findings if one.code != "window"]


def change(config: Path, sql: str) -> None:
    """Change stored rows past the store, which would refuse it."""
    with duckdb.connect(str(config.parent / "bars.duckdb")) as connection:
        connection.execute(sql)
