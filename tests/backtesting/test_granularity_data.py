"""Runs over stored quotes and trades: what is read and refused, what identifies them, and recorded tapes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from src.backtesting.run import PreparedRun, execute, prepare
from src.core.config_file import parse_config
from src.core.errors import ConfigError, PreflightError
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.data.import_plan import ImportAnswers
from src.data.importing import inspect_file, run_import
from src.data.store import HistoricalDataStore
from src.data.tapes import QuoteTape, TradeTape
from src.testing.worlds import bar_series

START = parse_instant("2024-01-03")

CONFIG = """\
name: ticks
account: {type: margin, currency: USD, balance: 10_000, leverage: 30}
instruments: {AAA: {currency: USD, tick: 0.01}, BBB: {currency: USD, tick: 0.01}}
symbols: [AAA]
strategies: [{use: "asked.py:Asked"}]
risk: {size: {volume: 1}}
backtest:
  granularity: tick
  runtime: fibers
  data: {store: ticks.duckdb}
  costs: {spread_percent: 0, commission_percent: 0, slippage_percent: 0}
"""

#: Buys and sells by turns, each time so many prices have come, and guards each position.
ASKED = '''\
from src.core.strategy import Strategy

class Asked(Strategy):
    """Asked at every price."""

    def __init__(self):
        self.prices = 0

    def on_tick(self):
        self.prices += 1
        quote = self.quote
        if self.prices % 40 == 0 and quote is not None:
            away = quote.bid * 0.0002
            enter = self.buy if self.prices % 80 == 0 else self.sell
            enter(stop_distance=away, target_distance=2 * away)
'''


def quotes(symbol: str = "AAA", count: int = 400, start_ns: int = START) -> QuoteTape:
    """One quote each second, of which the tenth has its ask below its bid."""
    bid = np.round(100 + np.cumsum(np.sin(np.arange(count) / 9)) / 50, 2)
    ask = bid + 0.02
    ask[9] = bid[9] - 0.01
    sizes = np.ones(count)
    stamps = start_ns + np.arange(count) * SECOND_NS
    return QuoteTape(symbol=symbol, ts_ns=stamps, bid=bid, ask=ask, bid_size=sizes, ask_size=sizes)


def trades(symbol: str = "AAA", count: int = 400) -> TradeTape:
    """One trade each second, half a second after its quote."""
    tape = quotes(symbol, count)
    return TradeTape(
        symbol=symbol, ts_ns=tape.ts_ns + SECOND_NS // 2, price=tape.bid + 0.01, volume=np.ones(count),
        buyer_is_maker=np.zeros(count, np.bool_), trade_id=np.arange(count),
    )  # fmt: skip


def prepared(folder: Path, *tapes: QuoteTape | TradeTape, said: Sequence[str] = (), bars: bool = False) -> PreparedRun:
    """The run of the configuration over a store with these tapes."""
    (folder / "asked.py").write_text(ASKED, encoding="utf-8")
    with HistoricalDataStore(folder / "ticks.duckdb") as store:
        for tape in tapes:
            if isinstance(tape, QuoteTape):
                store.write_quotes(tape, source="test")
            else:
                store.write_trades(tape, source="test")
        if bars:
            series = bar_series("AAA", [100.0] * 600, start=START)
            store.write_bars(series, source="test")
    return prepare(parse_config(CONFIG, "bot.yaml", folder, list(said)), preflight=False)


@pytest.mark.slow
def test_a_symbol_with_quotes_alone_has_bars_made_of_them(tmp_path: Path) -> None:
    """Bid bars of a minute; the window is that of the quotes; what was left out is told."""
    run = prepared(tmp_path, quotes())

    base = run.market.base["AAA"]
    done = execute(run, report=False)

    assert (base.timeframe_ns, base.price_side, base.loaded) == (MINUTE_NS, "bid", 7)
    assert (run.start_ns, run.end_ns) == (START, START + 7 * MINUTE_NS)
    assert done.result.error is None
    assert len(done.result.fills) > 6
    assert done.result.fidelity == {"prices": "1 quote of AAA with the ask below the bid left out"}


def test_trades_alone_do_as_well(tmp_path: Path) -> None:
    """Trade bars; the configured spread lies around each trade."""
    run = prepared(tmp_path, trades(), said=["backtest.costs.spread_percent=1"])

    done = execute(run, report=False)
    first = done.result.fills[0]
    shown = float(run.market.trades["AAA"].price[40])

    assert run.market.base["AAA"].price_side == "trade"
    assert first.price == pytest.approx(shown * (0.995 if first.side.sign < 0 else 1.005))
    assert "has no quotes" in done.result.fidelity["prices"]


def test_stored_bars_come_before_made_ones_and_the_window_is_that_of_the_prices(tmp_path: Path) -> None:
    """The store's bars are longer than its tape: the run is not."""
    run = prepared(tmp_path, quotes(), trades(), bars=True)

    assert run.market.base["AAA"].price_side == "trade"
    assert run.end_ns == START + 7 * MINUTE_NS
    assert set(run.market.quotes) == set(run.market.trades) == {"AAA"}


def test_a_symbol_without_quotes_and_trades_is_refused(tmp_path: Path) -> None:
    """By a sentence that names the symbol and says what to do; bars alone are not enough."""
    with pytest.raises(PreflightError, match="needs quotes or trades of each symbol.*no trades of BBB: import them"):
        prepared(tmp_path, quotes(), said=["symbols=[AAA, BBB]"], bars=True)


def test_a_synthetic_market_says_how_it_gets_ticks(tmp_path: Path) -> None:
    """In memory there are none."""
    said = ["backtest.data.source=synthetic", "backtest.data.store=none", "backtest.start=2024-01-03"]

    with pytest.raises(PreflightError, match="write backtest.data.ticks: true and name a file"):
        prepared(tmp_path, said=[*said, "backtest.end=2024-01-04"])


def test_a_window_without_prices_is_refused(tmp_path: Path) -> None:
    """The sentence says what there is."""
    with pytest.raises(PreflightError, match=r"no quotes and no trades from .*; ticks.duckdb has AAA quotes from"):
        prepared(
            tmp_path, quotes(), bars=True, said=["backtest.start=2024-01-03 01:00", "backtest.end=2024-01-03 02:00"]
        )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("backtest.costs.volume_share=0.1", "costs.volume_share counts the volume of bars"),
        ("backtest.costs.slippage_volume_share=0.1", "costs.slippage_volume_share counts the volume of bars"),
        ("backtest.trigger_prices=[last]", "no bar triggers anything"),
        ("backtest.control=[{at: 2024-01-03 01:00, add: BBB}]", "no symbol can join on the way"),
    ],
)
def test_what_bars_alone_can_tell_is_refused(tmp_path: Path, said: str, sentence: str) -> None:
    """Nothing is silently left out."""
    with pytest.raises(ConfigError, match=sentence):
        prepared(tmp_path, quotes(), said=[said])


@pytest.mark.slow
def test_prices_granularity_and_polls_are_part_of_the_identity(tmp_path: Path) -> None:
    """Another quote, another step and another poll make another run; at ticks the polls count for nothing."""
    poll = ["poll.worker=3s", "poll.position_monitor=9s"]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    tick = prepared(tmp_path / "a", quotes())
    other = prepared(tmp_path / "b", quotes(count=399))

    def run_id(*said: str) -> str:
        return prepared(tmp_path / "a", said=said).run_id

    assert len({tick.run_id, other.run_id, run_id("backtest.granularity=second")}) == 3
    assert run_id(*poll) == tick.run_id
    assert run_id("backtest.granularity=second", *poll) != run_id("backtest.granularity=second")


# -- recorded tapes --------------------------------------------------------------------------------


def recorded(folder: Path, source: Path, symbol: str, kind: str, rows: int, into: Path) -> None:
    """Import the first rows of a recorded file."""
    part = folder / source.name
    pq.write_table(pq.read_table(source).slice(0, rows), part)
    with HistoricalDataStore(into) as store:
        run_import(inspect_file(part, ImportAnswers(symbol=symbol, kind=kind)), store)


REAL = """\
name: recorded
account: {type: margin, currency: USD, balance: 100_000, leverage: 30, positions: hedging}
instruments:
  EURUSD: {kind: fx, currency: USD, tick: 0.00001, volume_step: 1000, min_volume: 1000}
  BTCUSDT: {kind: perpetual, currency: USD, tick: 0.1, volume_step: 0.001, min_volume: 0.001}
symbols: [SYMBOL]
strategies:
  - {use: "asked.py:Asked"}
  - {use: sma_cross, name: bars, timeframe: 1m, params: {fast: 2, slow: 5}}
risk: {size: {risk_percent: 0.1}, max_open_positions: 4}
manage: {on: poll, break_even: {at_r: 1}}
backtest:
  granularity: tick
  data: {store: recorded.duckdb}
  costs: {spread_points: 0, commission_percent: 0.001, slippage_points: 0, latency: 250ms}
"""


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("symbol", "kind", "files"),
    [
        ("EURUSD", "fx", ["lean_fxcm_EURUSD_tick_bidask_2014-05-04_09.parquet"]),
        (
            "BTCUSDT", "crypto",
            ["binance_usdm_BTCUSDT_quotes_2024-08-08.parquet", "binance_usdm_BTCUSDT_trades_2024-08-08.parquet"],
        ),
    ],
)  # fmt: skip
def test_recorded_quotes_drive_a_backtest(
    tmp_path: Path, real_data_dir: Path, symbol: str, kind: str, files: list[str]
) -> None:
    """Threads and fibers agree, price by price and at polls; each fill has a quote of its instant."""
    (tmp_path / "asked.py").write_text(ASKED, encoding="utf-8")
    for file in files:
        recorded(tmp_path, real_data_dir / file, symbol, kind, 5_000, tmp_path / "recorded.duckdb")
    text = REAL.replace("SYMBOL", symbol)

    def run(*said: str) -> PreparedRun:
        return prepare(parse_config(text, "bot.yaml", tmp_path, list(said)), preflight=False)

    threads = execute(run("backtest.runtime=threads", "backtest.runs=a"), report=False)
    fibers = execute(run("backtest.runtime=fibers", "backtest.runs=b"), report=False)
    polled = [
        execute(run("backtest.granularity=second", f"backtest.runtime={each}", f"backtest.runs={each}"), report=False)
        for each in ("threads", "fibers")
    ]

    assert threads.result.error is None
    assert len(threads.result.fills) > 6
    assert (fibers.run_id, fibers.result.digest) == (threads.run_id, threads.result.digest)
    assert polled[0].result.digest == polled[1].result.digest != threads.result.digest
    tape = run().market.quotes[symbol]
    for fill in [each for each in threads.result.fills if each.kind != "end_of_data"]:
        at = slice(*np.searchsorted(tape.ts_ns, [fill.filled_ns, fill.filled_ns + 1]))
        side = tape.ask if fill.side.sign > 0 else tape.bid
        assert fill.price in side[at].tolist(), fill
