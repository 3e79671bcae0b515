"""Whole runs of accounts that have more than the plain one: several currencies, funding, margin, shared symbols."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.backtesting.account_data import conversion_symbols
from src.backtesting.config import BacktestConfig
from src.backtesting.reconcile import check_money
from src.backtesting.run import FinishedRun, PreparedRun, execute, prepare
from src.backtesting.summary import result_rows
from src.core.config_file import read_config
from src.core.errors import ConfigError, PreflightError
from src.core.timeframe import HOUR_NS, parse_instant
from src.data.store import HistoricalDataStore
from src.data.tapes import RateTape

CONFIG = """\
name: accounts
account: {type: margin, currency: USD, balance: 10_000, leverage: 20}
instruments:
  EURGBP: {kind: fx, tick: 0.00001, volume_step: 1, calendar: forex, leverage: 30}
  GBPUSD: {kind: fx, tick: 0.00001, volume_step: 1, calendar: forex}
  BTCUSD: {kind: perpetual, tick: 0.1, volume_step: 0.001}
symbols: [EURGBP]
strategies:
  - {use: sma_cross, name: quick, timeframe: 5m, params: {fast: 3, slow: 8}}
risk: {size: {risk_percent: 0.5}}
backtest:
  start: 2024-03-06 12:00
  end: 2024-03-07 02:00
  data: {source: synthetic, seed: 3, store: none}
  costs: {spread_percent: 0.01, commission_percent: 0.002, slippage_percent: 0}
"""
STORED = ("symbols=[BTCUSD]", "backtest.data={source: store, store: market.duckdb}")
PERPETUAL = (*STORED, "instruments.BTCUSD.funding=stored")
Run = Callable[..., FinishedRun]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration in a folder of its own."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def prepared(config: Path, *overrides: str) -> PreparedRun:
    """The run, made ready."""
    return prepare(read_config(config, list(overrides)), stored=False)


def finished(config: Path, *overrides: str) -> FinishedRun:
    """The run, carried out and stored."""
    return execute(prepare(read_config(config, list(overrides))), report=False)


def store_rates(config: Path, *hours: float) -> None:
    """Write the synthetic market's file and rates for the perpetual, hours after 2024-03-06 00:00."""
    prepared(config, "symbols=[BTCUSD]", "backtest.data.store=market.duckdb")
    begin_ns = parse_instant("2024-03-06")
    stamps = np.array([begin_ns + round(hour * HOUR_NS) for hour in hours], dtype=np.int64)
    with HistoricalDataStore(config.parent / "market.duckdb") as store:
        store.write_funding(RateTape(symbol="BTCUSD", ts_ns=stamps, rate=np.full(len(hours), 0.0001)), source="test")


def test_a_pair_that_only_converts_is_loaded_without_a_worker(config: Path) -> None:
    """EURGBP makes pounds; GBPUSD turns them into dollars, is traded by nobody and is no symbol of the result."""
    run = prepared(config)

    done = execute(prepare(read_config(config, [])), report=False)

    result = done.result
    assert list(run.market.base) == ["EURGBP", "GBPUSD"]
    assert result.error is None
    assert [symbol.symbol for symbol in result.symbols] == ["EURGBP"]
    assert {fill.symbol for fill in result.fills} == {"EURGBP"}
    assert len(result.trades) > 5
    check_money(result)
    rates = run.market.base["GBPUSD"].close
    assert all(rates.min() * 0.99 < fill.rate < rates.max() * 1.01 for fill in result.fills)
    for trade in result.trades:
        costs = trade.commission + trade.spread_cost + trade.slippage_cost
        assert math.isclose(trade.gross - costs, trade.net, abs_tol=1e-9)
    assert done.metrics is not None
    assert done.metrics.final_equity == pytest.approx(
        done.metrics.initial_balance + done.metrics.net + done.metrics.open_realised + done.metrics.open_profit
    )


def test_risk_is_sized_in_the_money_of_the_account(config: Path) -> None:
    """Each entry risks half a percent of the equity, which is about 50 dollars and not 50 pounds."""
    result = finished(config).result

    risks = [trade.risk for trade in result.trades if trade.risk is not None]
    assert len(risks) > 5
    assert 45 < sum(risks) / len(risks) < 53


def test_a_traded_pair_converts_before_one_that_would_only_be_loaded_for_it(config: Path) -> None:
    """As the venue does, which has the traded symbols first, wherever they stand in the file."""
    text = config.read_text(encoding="utf-8").replace("  BTCUSD:", "  USDGBP: {kind: fx, calendar: forex}\n  BTCUSD:")
    config.write_text(text, encoding="utf-8")

    def loaded(*symbols: str) -> tuple[str, ...]:
        document = read_config(config, [f"symbols=[{', '.join(symbols)}]"])
        return conversion_symbols(document.validate(BacktestConfig))

    assert loaded("EURGBP") == ("GBPUSD",)
    assert loaded("EURGBP", "USDGBP") == ()


def test_without_a_pair_that_converts_the_file_is_refused(config: Path) -> None:
    """The sentence says what could be written."""
    text = config.read_text(encoding="utf-8").replace("GBPUSD:", "GBPCHF:")
    config.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match="EURGBP makes its profit in GBP, the account is in USD, and no pair"):
        prepared(config)


def test_a_run_with_currencies_and_margin_rules_is_the_same_every_time(config: Path) -> None:
    """In threads and in fibers."""
    rules = ("account.stop_out_percent=50", "account.margin_call_percent=100", "backtest.costs.commission_minimum=1")

    threads = finished(config, *rules)
    fibers = finished(config, *rules, "backtest.runtime=fibers", "backtest.runs=other")

    assert threads.result.digest == fibers.result.digest
    assert threads.run_id == fibers.run_id
    entries = [fill for fill in threads.result.fills if fill.fill_id.endswith("-1")]
    assert all(fill.commission >= 1 for fill in entries)


def test_stored_funding_is_paid_and_part_of_the_run(config: Path) -> None:
    """Eight-hourly rates: the run is another one than without, and its money still adds up."""
    store_rates(config, 0, 8, 16, 24, 32)

    run = finished(config, *PERPETUAL, "risk.size={volume: 0.1}")
    without = prepared(config, *STORED)

    result = run.result
    assert result.error is None
    assert {payment.kind for payment in result.payments} == {"funding"}
    assert {payment.instant_ns for payment in result.payments} <= {
        parse_instant("2024-03-06 16:00"), parse_instant("2024-03-07 00:00")
    }  # fmt: skip
    check_money(result)
    assert run.metrics is not None
    assert run.metrics.financing == pytest.approx(sum(trade.financing for trade in result.trades))
    assert prepared(config, *PERPETUAL).market.fingerprint != without.market.fingerprint


def test_a_funding_rate_that_is_missing_is_named(config: Path) -> None:
    """The one of 16:00; and what to write where there is none to have."""
    store_rates(config, 0, 8, 24, 32)

    with pytest.raises(PreflightError, match=r"no rate at 2024-03-06 16:00.*or write instruments.BTCUSD.funding: none"):
        prepared(config, *PERPETUAL)


def test_a_perpetual_without_any_stored_rates_is_refused(config: Path) -> None:
    """Nothing is taken for 0."""
    prepared(config, "symbols=[BTCUSD]", "backtest.data.store=market.duckdb")
    with pytest.raises(PreflightError, match="BTCUSD pays stored funding"):
        prepared(config, *PERPETUAL)


def test_two_strategies_share_a_symbol_of_a_netting_account_in_virtual_books(config: Path) -> None:
    """Refused with books of their own; with virtual ones each has its trades, and the sum is the account's."""
    second = "strategies=[{use: sma_cross, name: quick, timeframe: 5m, params: {fast: 3, slow: 8}}, " + (
        "{use: sma_cross, name: slow, timeframe: 15m, params: {fast: 3, slow: 8}}]"
    )
    with pytest.raises(ConfigError, match=r"account.books: virtual"):
        prepared(config, second)

    result = finished(config, second, "account.books=virtual").result

    assert result.error is None
    assert {trade.book for trade in result.trades} == {"quick", "slow"}
    check_money(result)


def test_swaps_are_paid_by_what_is_held_at_five_in_new_york(config: Path) -> None:
    """One night lies in the window; Wednesday's counts three times."""
    result = finished(
        config, "instruments.EURGBP.swap_long=-0.00002", "instruments.EURGBP.swap_short=-0.00001",
    ).result  # fmt: skip

    assert {payment.instant_ns for payment in result.payments} == {parse_instant("2024-03-06 22:00")}
    assert all(payment.amount < 0 for payment in result.payments)
    assert all(round(payment.rate, 9) in (-0.00006, -0.00003) for payment in result.payments)
    check_money(result)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("account.margin_call_percent=40", "the margin call at 40 percent must not come after the stop-out"),
        ("account.type=spot", "a spot account borrows nothing"),
        ("instruments.EURGBP.margin_tiers=[{from: 5, leverage: 3}]", "margin_tiers begin at 0 and rise"),
        ("instruments.EURGBP.margin_tiers=[{from: 0, leverage: 3}]", "expected one of leverage and margin_tiers"),
        ("instruments.EURGBP.funding=stored", "funding is paid for perpetuals"),
        ("instruments.EURGBP.fees_in=base", "fees are taken in coin on spot"),
        ("instruments.BTCUSD={kind: spot, fees_in: base}", "fees are taken in coin on a spot account"),
        ("backtest.costs.maker_percent=0.1", "expected maker_percent and taker_percent together"),
        ("backtest.costs={spread_percent: 0, slippage_percent: 0, commission_percent: 1, taker_percent: 1, "
         "maker_percent: 1}", "expected one of commission_percent and taker_percent"),
    ],
)  # fmt: skip
def test_rules_that_contradict_each_other_are_refused(config: Path, override: str, sentence: str) -> None:
    """With a sentence."""
    with pytest.raises(ConfigError, match=sentence):
        prepared(config, "account.stop_out_percent=50", override)


@pytest.mark.slow
def test_rules_of_the_account_hold_with_quotes_as_prices(config: Path) -> None:
    """The level is tested at each quote, so a stop-out is never ambiguous; rates move with the pair's own quotes."""
    result = finished(
        config, "backtest.granularity=tick", "backtest.data={source: synthetic, seed: 3, store: t.duckdb, ticks: true}",
        "backtest.end=2024-03-06 13:20", "account.stop_out_percent=1500", "account.books=virtual",
        "risk.size={volume: 50000}", "instruments.EURGBP.swap_long=-0.1", "instruments.EURGBP.swap_at=13:00",
        "instruments.EURGBP.swap_zone=UTC",
    ).result  # fmt: skip

    assert result.error is None
    out = [fill for fill in result.fills if fill.kind == "stop_out"]
    assert out
    assert not any(fill.ambiguous for fill in out)
    assert len({fill.rate for fill in result.fills}) > len(result.fills) / 2
    check_money(result)


def test_a_symbol_that_joins_brings_its_currency_and_its_rules(config: Path) -> None:
    """The run is made ready for it before it begins; the pair that converts it has been there from the start."""
    run = finished(
        config, "symbols=[BTCUSD]", "backtest.control=[{at: 2024-03-06 14:00, add: EURGBP}]",
        "instruments.EURGBP.swap_long=-0.0001", "instruments.EURGBP.swap_short=-0.0001",
    )  # fmt: skip

    result = run.result
    assert result.error is None
    assert [symbol.symbol for symbol in result.symbols] == ["BTCUSD", "EURGBP"]
    pounds = [fill for fill in result.fills if fill.symbol == "EURGBP"]
    assert pounds
    assert all(fill.rate != 1.0 for fill in pounds)
    assert all(fill.rate == 1.0 for fill in result.fills if fill.symbol == "BTCUSD")
    assert {payment.symbol for payment in result.payments} == {"EURGBP"}
    check_money(result)


def test_a_symbol_with_rules_of_its_own_cannot_join_by_hand(config: Path) -> None:
    """Nobody has made the run ready for it."""
    run = prepared(config, "symbols=[BTCUSD]")

    with pytest.raises(ConfigError, match="EURGBP has margin, fees, swaps, funding or a currency of its own"):
        run.supply.check("EURGBP", parse_instant("2024-03-06 14:00"))


def test_the_report_and_the_summary_tell_what_holding_cost(config: Path) -> None:
    """A line of its own between commission and net."""
    run = execute(
        prepare(read_config(config, ["instruments.EURGBP.swap_long=-0.001", "instruments.EURGBP.swap_short=-0.001"]))
    )

    assert run.metrics is not None
    assert run.metrics.financing > 0
    assert "Swap and funding" in dict(result_rows(run.metrics, deterministic=True))
    assert "Swap and funding" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_a_spot_account_refuses_leverage_of_a_symbol(config: Path) -> None:
    """It borrows nothing, whatever the symbol's venue would lend."""
    with pytest.raises(ConfigError, match="instruments.EURGBP: a spot account borrows nothing"):
        prepared(config, "account.type=spot", "account.leverage=1")


def test_a_spot_run_with_fees_in_coin_leaves_dust_and_its_money_adds_up(config: Path) -> None:
    """What cannot be sold is told with the run."""
    result = finished(
        config, "symbols=[BTCUSD]", "account.type=spot", "account.leverage=1", "instruments.EURGBP.leverage=1",
        "instruments.BTCUSD={kind: spot, tick: 0.1, volume_step: 0.001, min_volume: 0.001, fees_in: base}",
        "backtest.costs.commission_percent=0.1", "risk.size={equity_percent: 50}",
    ).result  # fmt: skip

    assert result.error is None
    assert result.trades
    assert all(fill.fee_volume > 0 for fill in result.fills if fill.kind == "entry")
    assert result.fidelity["dust"].startswith("too little to be sold is left: ")
    check_money(result)
