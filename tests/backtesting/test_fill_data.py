"""Bars that fills need besides the base bars are read from the store, aligned, counted, and refused when absent."""

from pathlib import Path

import numpy as np
import pytest

from src.backtesting.fill_data import side_bars_of
from src.backtesting.run import PreparedRun, execute, prepare
from src.core.bars import BarSeries
from src.core.config_file import parse_config
from src.core.errors import ConfigError, PreflightError
from src.core.timeframe import DAY_NS, MINUTE_NS, parse_instant
from src.data.store import HistoricalDataStore

START_NS = parse_instant("2021-03-16")

CONFIG = """\
account: {currency: USD, balance: 10_000}
instruments: {EURUSD: {currency: USD, calendar: forex}}
symbols: [EURUSD]
strategies: [{use: sma_cross, timeframe: 5m, params: {fast: 3, slow: 9}}]
risk: {size: {volume: 1}}
backtest:
  {start: 2021-03-16, end: 2021-03-17, data: {store: market.duckdb},
   costs: {spread: column, commission_percent: 0, slippage_percent: 0}}
"""

SIX_HOURS = 360


def bars(side: str, shift: float, *, every_ns: int = MINUTE_NS, drop: slice | None = None) -> BarSeries:
    """A wave around 1.2, moved by the side's distance."""
    n = SIX_HOURS * MINUTE_NS // every_ns
    opens = START_NS + np.arange(n, dtype=np.int64) * every_ns
    wave = 1.2 + 0.01 * np.sin(np.arange(n) * every_ns / MINUTE_NS / 9)
    keep = np.ones(n, np.bool_)
    if drop is not None:
        keep[drop] = False
    price = (wave + shift)[keep]
    return BarSeries(
        "EURUSD", every_ns, opens[keep], price, price + 0.0005, price - 0.0005, price, np.ones(len(price)),
        price_side=side,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with bid bars, and ask bars with a hole in them."""
    with HistoricalDataStore(tmp_path / "market.duckdb") as store:
        store.write_bars(bars("bid", 0.0), source="test", kind="fx")
        store.write_bars(bars("ask", 0.0002, drop=slice(100, 110)), source="test", kind="fx")
    return tmp_path


def prepared(folder: Path, *overrides: str) -> PreparedRun:
    """The run of that folder with other values."""
    return prepare(parse_config(CONFIG, str(folder / "bot.yaml"), folder, list(overrides)), preflight=False)


def test_ask_bars_of_the_store_make_the_spread(folder: Path) -> None:
    """Each buy pays the ask of its bar, absent rows take the last distance, and the run says how many."""
    run = prepared(folder)
    sides = side_bars_of(run.market)["EURUSD"]
    result = execute(run, report=False).result

    assert sides.bid is run.market.base["EURUSD"]
    assert sides.ask is not None
    assert np.allclose(sides.ask.close - run.market.base["EURUSD"].close, 0.0002)
    assert result.fidelity["prices of EURUSD"] == "10 bars of EURUSD had no ask price; its last distance was taken"
    buys = [fill for fill in result.fills if fill.side == "buy" and fill.kind == "entry"]
    base = run.market.base["EURUSD"]
    opens = dict(zip(base.open_ns.tolist(), base.open.tolist(), strict=True))
    assert buys
    assert all(fill.price == pytest.approx(opens[fill.filled_ns] + 0.0002) for fill in buys)


def test_an_ask_below_the_bid_is_raised_to_it(tmp_path: Path) -> None:
    """Crossed quotes would be money for nothing."""
    with HistoricalDataStore(tmp_path / "market.duckdb") as store:
        store.write_bars(bars("bid", 0.0), source="test", kind="fx")
        store.write_bars(bars("ask", -0.0001), source="test", kind="fx")

    run = prepared(tmp_path)
    sides = side_bars_of(run.market)["EURUSD"]

    assert sides.ask is not None
    assert sides.ask.close.tolist() == run.market.base["EURUSD"].close.tolist()
    assert "had an ask below the bid" in sides.note


def test_an_ask_whose_high_alone_lies_below_the_bid_is_raised_as_well(folder: Path) -> None:
    """Each of its four prices counts; nothing could be sold above what it was bought for at one instant."""
    low = bars("ask", 0.0)
    low.high[:] -= 0.0004
    with HistoricalDataStore(folder / "market.duckdb") as store:
        store.delete_series("EURUSD", MINUTE_NS, "ask")
        store.write_bars(low, source="test", kind="fx")

    run = prepared(folder)
    sides = side_bars_of(run.market)["EURUSD"]

    assert sides.ask is not None
    assert sides.ask.high.tolist() == run.market.base["EURUSD"].high.tolist()
    assert "had an ask below the bid" in sides.note


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        (
            "backtest.trigger_prices=[mark]",
            "backtest.trigger_prices needs mark bars of EURUSD beside its bid bars of 1m",
        ),
        ("backtest.trigger_prices=[last, mark]", "needs trade bars of EURUSD"),
    ],
)
def test_bars_that_are_asked_for_and_not_stored_refuse_the_run(folder: Path, override: str, sentence: str) -> None:
    """The sentence names the key and what the store lacks."""
    with pytest.raises(PreflightError, match=sentence):
        prepared(folder, override)


def test_a_spread_of_the_store_is_not_for_symbols_that_join(folder: Path) -> None:
    """Their other side would have to be read while the run goes on."""
    with pytest.raises(ConfigError, match="not for symbols that join"):
        prepared(
            folder, "instruments.GBPUSD={currency: USD}", "backtest.control=[{at: 2021-03-16T10:00, add: GBPUSD}]"
        )  # fmt: skip


@pytest.mark.slow
def test_stored_prices_count_in_the_fingerprint_when_they_are_used(folder: Path) -> None:
    """Other ask bars make another run; without the setting nothing of them is read."""
    fixed = ["backtest.costs.spread=null", "backtest.costs.spread_points=0.0002"]
    used, unused = prepared(folder), prepared(folder, *fixed)
    with HistoricalDataStore(folder / "market.duckdb") as store:
        store.delete_series("EURUSD", MINUTE_NS, "ask")
        store.write_bars(bars("ask", 0.0003), source="test", kind="fx")

    assert prepared(folder).market.fingerprint != used.market.fingerprint
    assert prepared(folder, *fixed).market.fingerprint == unused.market.fingerprint
    assert unused.market.sides == {}


def test_shorter_bars_are_read_where_the_store_has_them(folder: Path) -> None:
    """They are part of the fingerprint, and are left alone when the configuration says so."""
    with HistoricalDataStore(folder / "market.duckdb") as store:
        store.write_bars(bars("bid", 0.0, every_ns=20 * 10**9), source="test", kind="fx")

    with_them, without = prepared(folder), prepared(folder, "backtest.finer=false")

    assert with_them.market.base["EURUSD"].timeframe_ns == MINUTE_NS
    assert with_them.market.finer["EURUSD"].timeframe_ns == 20 * 10**9
    assert without.market.finer == {}
    assert with_them.market.fingerprint != without.market.fingerprint


def test_shorter_bars_of_another_day_do_not_hide_longer_ones_of_this(folder: Path) -> None:
    """The finest that the window has are taken, not the finest that the store has."""
    elsewhere = bars("bid", 0.0, every_ns=10 * 10**9)
    elsewhere.open_ns[:] -= DAY_NS
    with HistoricalDataStore(folder / "market.duckdb") as store:
        store.write_bars(elsewhere, source="test", kind="fx")
        store.write_bars(bars("bid", 0.0, every_ns=20 * 10**9), source="test", kind="fx")

    run = prepared(folder)

    assert run.market.finer["EURUSD"].timeframe_ns == 20 * 10**9
