"""`data sync` as a user calls it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.cli.app import main
from src.core.timeframe import MINUTE_NS
from src.data.store import HistoricalDataStore
from tests.data.exchange_server import MINUTE_MS, Exchange, serving

pytest.importorskip("ccxt")  # imported here, so that no single test pays for it

ROOT = Path(__file__).resolve().parents[2]
START_MS = 1_704_067_200_000
START_NS = START_MS * 1_000_000


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """An exchange with 2500 closed bars since the start of 2024."""
    with serving(Exchange(now_ms=START_MS + 2500 * MINUTE_MS + 30_000)) as running:
        yield running


def words(exchange: Exchange, store: Path, *more: str) -> list[str]:
    """The command with the exchange's address."""
    address = f"urls.api.fapiPublic={exchange.url}/fapi/v1"
    return ["data", "sync", "--source", "ccxt:binanceusdm", "--start", "2024-01-01", "--store", str(store),
            "--source-option", address, "--source-option", "rateLimit=1", *more]  # fmt: skip


def count(store: Path) -> list[tuple[str, int, int]]:
    """Symbol, timeframe in minutes and number of bars of all series."""
    with HistoricalDataStore(store, read_only=True) as opened:
        return [(one.symbol, one.timeframe_ns // MINUTE_NS, one.bars) for one in opened.list_series()]


def test_symbols_and_timeframes_are_stored_and_told_as_json(
    exchange: Exchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each symbol comes in each timeframe; the report is one object on stdout."""
    store = tmp_path / "market.duckdb"
    code = main([*words(exchange, store, "--symbols", "BTCUSDT,X=ETH/USDT:USDT", "--timeframes", "1m,1h"), "--json"])

    told = json.loads(capsys.readouterr().out)
    assert code == 0
    assert count(store) == [("BTCUSDT", 1, 2500), ("BTCUSDT", 60, 41), ("X", 1, 2500), ("X", 60, 41)]
    assert [(one["symbol"], one["pages"], one["written"]) for one in told["series"]] == [
        ("BTCUSDT", 3, 2500), ("BTCUSDT", 1, 41), ("X", 3, 2500), ("X", 1, 41),
    ]  # fmt: skip


def test_a_name_that_was_given_once_is_known_from_then_on(exchange: Exchange, tmp_path: Path) -> None:
    """The market behind a symbol is stored with it, so that the command of a later sync needs the symbol only."""
    store = tmp_path / "market.duckdb"
    main(words(exchange, store, "--symbols", "X=ETH/USDT:USDT", "--end", "2024-01-01T01:00", "--quiet"))
    code = main(words(exchange, store, "--symbols", "X", "--end", "2024-01-01T02:00", "--quiet"))

    assert code == 0
    assert count(store) == [("X", 1, 120)]


def test_funding_comes_beside_the_bars(exchange: Exchange, tmp_path: Path) -> None:
    """`--funding` stores the rates that fell due in the window."""
    store = tmp_path / "market.duckdb"
    code = main(words(exchange, store, "--symbols", "BTCUSDT", "--timeframes", "1h", "--funding", "--quiet"))

    with HistoricalDataStore(store, read_only=True) as opened:
        rates = len(opened.read_funding("BTCUSDT"))
    assert (code, rates) == (0, 6)


def test_progress_is_drawn_on_stderr_alone(
    exchange: Exchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar is for people who watch; stdout carries the result."""
    main([*words(exchange, tmp_path / "market.duckdb", "--symbols", "BTCUSDT", "--progress"), "--json"])

    captured = capsys.readouterr()
    assert "BTCUSDT 1m" in captured.err
    assert "100%" in captured.err
    json.loads(captured.out)


def test_a_configuration_says_what_to_sync(exchange: Exchange, tmp_path: Path) -> None:
    """Symbols, their names at the exchange, the window and the store come from the configuration."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "name: test\naccount: {type: margin, currency: USDT, balance: 1000, positions: netting, leverage: 1}\n"
        "instruments: {COIN: {venue: 'BTC/USDT:USDT', kind: perpetual, tick: 0.1, volume_step: 0.001}}\n"
        "symbols: [COIN]\nstrategies: [{use: sma_cross, timeframe: 15m}]\n"
        "risk: {size: {risk_percent: 0.5}}\n"
        "backtest: {start: 2024-01-01, end: 2024-01-01T05:00:00Z,\n"
        "  data: {source: store, store: here.duckdb, sync: 'ccxt:binanceusdm', sync_options: {rateLimit: 1}},\n"
        "  costs: {spread_percent: 0, commission_percent: 0, slippage_percent: 0}}\n",
        encoding="utf-8",
    )
    address = f"urls.api.fapiPublic={exchange.url}/fapi/v1"
    code = main(["data", "sync", "--config", str(config), "--source-option", address, "--quiet"])

    assert code == 0
    assert count(tmp_path / "here.duckdb") == [("COIN", 1, 300)]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (["--symbols", "NOPE"], "ccxt:binanceusdm has no market NOPE"),
        (["--symbols", "BTCUSDT,"], "--symbols: expected names with commas between"),
        (["--symbols", "BTCUSDT="], "--symbols: expected NAME or NAME=MARKET"),
        (["--symbols", "BTCUSDT", "--source", "ccxt:binanceusd"], "did you mean 'binanceusdm'"),
        (["--symbols", "BTCUSDT", "--source", "cxt:binance"], "did you mean 'ccxt'"),
        (["--symbols", "BTCUSDT", "--source-option", "timeout"], "--source-option: expected KEY=VALUE"),
        (["--timeframes", "1h"], "data sync needs --symbols"),
    ],
)
def test_a_wrong_command_ends_with_2_and_leaves_no_store(
    change: list[str], sentence: str, exchange: Exchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be asked for is refused in a sentence before a file is made."""
    store = tmp_path / "market.duckdb"
    code = main(words(exchange, store, *change))

    assert code == 2
    assert sentence in capsys.readouterr().err
    assert not store.exists()


def test_an_exchange_that_does_not_answer_ends_with_1(
    exchange: Exchange, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last try the command says that nobody answered, and what to do."""
    monkeypatch.setattr("src.data.sources.asking.Event", type("Quick", (), {"wait": lambda *_: None}))
    exchange.faults = ["500"] * 7
    code = main(words(exchange, tmp_path / "market.duckdb", "--symbols", "BTCUSDT"))

    told = capsys.readouterr().err
    assert code == 1
    assert "did not answer, asked 7 times" in told
    assert "ccxt:binanceusdm: no answer (ExchangeNotAvailable: 503 Server Error: Service Unavailable)" in told
    assert "trying again in 4 s, 3 of 7" in told


def test_a_bar_that_was_left_out_ends_with_1(
    exchange: Exchange, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the exchange has wrong is not stored, is named, and is no success."""
    exchange.replaced[START_MS] = [START_MS, "1", "0.5", "2", "1", "1", START_MS + 59_999, "0", 1, "0", "0", "0"]
    code = main(words(exchange, tmp_path / "market.duckdb", "--symbols", "BTCUSDT"))

    assert code == 1
    assert "left out: BTCUSDT 1m: no bar can be 2024-01-01 00:00:00Z" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("pages", [0, 1, 2])
def test_a_sync_that_is_killed_leaves_a_store_that_goes_on(pages: int, exchange: Exchange, tmp_path: Path) -> None:
    """Whenever the process dies, the store opens with whole pages, and the same command brings exactly the rest."""
    store = tmp_path / "market.duckdb"
    exchange.faults = [*["none"] * (2 * pages), "silence"]
    command = words(exchange, store, "--symbols", "BTCUSDT", "--quiet")
    child = subprocess.Popen([sys.executable, str(ROOT / "main.py"), *command], cwd=tmp_path)
    try:
        assert exchange.silent.wait(240)
    finally:
        child.kill()
        child.wait()
    before = count(store)
    exchange.asked.clear()
    code = main(command)

    assert before == ([("BTCUSDT", 1, 1000 * pages)] if pages else [])
    assert code == 0
    assert int(exchange.asked[0]["startTime"]) == START_MS + 1000 * pages * MINUTE_MS
    assert count(store) == [("BTCUSDT", 1, 2500)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent as a signal")
def test_ctrl_c_keeps_what_came_and_ends_with_130(exchange: Exchange, tmp_path: Path) -> None:
    """An interrupted sync says so, has stored its pages, and tells a program what it did."""
    store = tmp_path / "market.duckdb"
    exchange.faults = ["none", "none", "silence"]
    command = [*words(exchange, store, "--symbols", "BTCUSDT"), "--json"]
    child = subprocess.Popen(
        [sys.executable, str(ROOT / "main.py"), *command],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert exchange.silent.wait(240)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=240)
    finally:
        child.kill()
        child.wait()

    assert child.returncode == 130
    assert "interrupted; what came before is stored" in err
    assert json.loads(out)["interrupted"] is True
    assert count(store) == [("BTCUSDT", 1, 1000)]


def test_what_the_exchange_has_by_now_comes_with_again(exchange: Exchange, tmp_path: Path) -> None:
    """Windows that were answered are asked for once more when that is said."""
    store = tmp_path / "market.duckdb"
    command = words(exchange, store, "--symbols", "BTCUSDT", "--end", "2024-01-01T02:00", "--quiet")
    exchange.holes = [(START_MS + 10 * MINUTE_MS, START_MS + 20 * MINUTE_MS)]
    main(command)
    exchange.holes = []
    main(command)
    before = count(store)
    main([*command, "--again"])

    assert (before, count(store)) == ([("BTCUSDT", 1, 110)], [("BTCUSDT", 1, 120)])
