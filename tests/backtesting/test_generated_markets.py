"""The synthetic market of a configuration: from a file or in memory, with sessions, holes, a planted edge and ticks."""

import shlex
from pathlib import Path

import duckdb
import numpy as np
import pytest

from src.backtesting.config import BacktestConfig
from src.backtesting.generated import market_spec
from src.backtesting.run import FinishedRun, PreparedRun, execute, prepare
from src.core.bars import BarSeries
from src.core.calendars import calendar_named
from src.core.config_file import read_config
from src.core.errors import ConfigError
from src.core.timeframe import HOUR_NS, MINUTE_NS, parse_instant
from src.data.store import HistoricalDataStore
from src.data.synthetic_store import market_store

CONFIG = """\
name: generated
account: {type: margin, currency: USD, balance: 10_000, leverage: 3}
instruments:
  BTCUSD: {kind: perpetual, tick: 0.1, volume_step: 0.001}
  EURUSD: {kind: fx, tick: 0.00001, volume_step: 1, calendar: forex}
  LATEUSD: {kind: perpetual, tick: 0.01, volume_step: 0.01}
symbols: [BTCUSD, EURUSD]
strategies:
  - {use: sma_cross, timeframe: 5m, params: {fast: 5, slow: 15}}
risk: {size: {risk_percent: 0.5}, max_open_positions: 2}
backtest:
  start: 2024-03-08 06:00
  end: 2024-03-08 18:00
  data: {source: synthetic, seed: 3}
  costs: {spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01}
"""
START_NS = parse_instant("2024-03-08 06:00")
MEMORY = "backtest.data.store=none"
COLUMNS = ("open_ns", "open", "high", "low", "close", "volume")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration in a folder of its own."""
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def prepared(config: Path, *overrides: str) -> PreparedRun:
    """The run with overrides; nothing is stored."""
    return prepare(read_config(config, list(overrides)), stored=False)


def finished(config: Path, *overrides: str) -> FinishedRun:
    """The run, carried out and stored."""
    return execute(prepare(read_config(config, list(overrides))), report=False)


def rows(series: BarSeries) -> list[list[float]]:
    """The columns as plain numbers."""
    return [getattr(series, column).tolist() for column in COLUMNS]


def refuse_to_open(*_: object, **__: object) -> None:
    """Stands for DuckDB where nobody may open it."""
    raise AssertionError("a store was opened")


@pytest.mark.slow
def test_a_market_in_memory_gives_the_run_of_its_file(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run id, fingerprint, journal and sources are equal; in memory no store is opened and no file appears."""
    join = "backtest.control=[{at: 2024-03-08 12:00, add: LATEUSD}]"
    stored = finished(config, join, "backtest.data.store=market.duckdb")
    monkeypatch.setattr(duckdb, "connect", refuse_to_open)
    before = sorted(path.name for path in tmp_path.iterdir())
    memory = prepared(config, join, MEMORY)
    generated = finished(config, join, MEMORY, "backtest.runs=others")

    assert memory.manifest["inputs"]["data_fingerprint"]
    assert generated.run_id == stored.run_id == memory.run_id
    assert generated.result.digest == stored.result.digest
    assert len(generated.result.records) > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "others"])
    assert memory.manifest["data_sources"]["BTCUSD"].startswith("SYNTHETIC seed 3 ")


def test_a_symbol_that_joins_from_memory_is_checked(config: Path) -> None:
    """Who is asked for on the way is looked up in the generated market, by name and by time."""
    supply = prepared(config, MEMORY).supply
    newcomer = supply.newcomer("LATEUSD", START_NS + HOUR_NS)
    supply.check("LATEUSD", START_NS + HOUR_NS)

    assert newcomer.source.startswith("SYNTHETIC seed 3 ")
    with pytest.raises(ConfigError, match="the synthetic market in memory has them to 2024-03-08 17:5"):
        supply.check("LATEUSD", parse_instant("2024-03-09"))


def test_kind_and_calendar_come_from_the_instrument(config: Path) -> None:
    """A currency is made of bids inside the forex week, with its own tick; a coin of trades around the clock."""
    window = ["backtest.start=2024-03-08 18:00", "backtest.end=2024-03-09 02:00"]
    base = prepared(config, MEMORY, *window).market.base
    close_ns = parse_instant("2024-03-08 22:00")  # Friday 17:00 in New York

    assert [series.price_side for series in base.values()] == ["trade", "bid"]
    assert base["BTCUSD"].open_ns[-1] > close_ns + 3 * HOUR_NS
    assert close_ns - 10 * MINUTE_NS < base["EURUSD"].open_ns[-1] < close_ns
    assert calendar_named("forex").in_session(base["EURUSD"].open_ns).all()


def test_a_market_that_begins_with_the_run_has_no_warm_up_and_is_told_how_to_get_one(config: Path) -> None:
    """As with stored bars it is a warning; the setting that mends it is the one that its command names."""
    cold = prepared(config, MEMORY).preflight
    assert cold is not None
    begins = shlex.split(cold.warnings[0].mend)[-1]
    warm = prepared(config, MEMORY, begins)

    assert [(one.code, one.symbol) for one in cold.warnings] == [("warmup", "BTCUSD"), ("warmup", "EURUSD")]
    assert begins.startswith("backtest.data.begins=2024-03-0")
    assert warm.preflight is not None
    assert [one.symbol for one in warm.preflight.warnings] in ([], ["EURUSD"])
    assert warm.market.derived["BTCUSD", 5 * MINUTE_NS].count_closed(START_NS) >= 16
    both = prepared(config, MEMORY, shlex.split(cold.warnings[1].mend)[-1]).preflight
    assert both is not None
    assert both.warnings == ()


def test_where_a_market_begins_is_told_by_its_bars_alone(config: Path) -> None:
    """To begin with the window is what an absent word means; another beginning is another market and another run."""
    plain = prepared(config, MEMORY)
    same = prepared(config, MEMORY, "backtest.data.begins=2024-03-08 06:00")
    other = prepared(config, MEMORY, "backtest.data.begins=2024-03-07")

    assert plain.run_id == same.run_id != other.run_id
    assert other.start_ns == START_NS
    with pytest.raises(ConfigError, match=r"begins must not lie after start"):
        prepared(config, MEMORY, "backtest.data.begins=2024-03-09")
    with pytest.raises(ConfigError, match="begins describes the synthetic market"):
        prepared(config, "backtest.data={source: store, begins: 2024-03-07}")


def test_holes_and_absent_minutes_are_planted_as_configured(config: Path) -> None:
    """A hole of one symbol takes its bars away, and a share of absent minutes thins all of them."""
    hole = "backtest.data.holes=[{symbol: BTCUSD, from: 2024-03-08 10:00, to: 2024-03-08 10:20}]"
    full = prepared(config, MEMORY).market.base["BTCUSD"]
    holed = prepared(config, MEMORY, hole).market.base["BTCUSD"]
    thin = prepared(config, MEMORY, "backtest.data.absent_share=0.2", *lenient()).market.base["BTCUSD"]
    kept = (full.open_ns < START_NS + 4 * HOUR_NS) | (full.open_ns >= START_NS + 4 * HOUR_NS + 20 * MINUTE_NS)

    assert rows(holed) == [getattr(full, column)[kept].tolist() for column in COLUMNS]
    assert 0.1 < 1.0 - thin.loaded / 720 < 0.35


def lenient() -> list[str]:
    """Overrides that allow a market of many holes."""
    return ["backtest.data.gaps={'*': {absent_share: 1, longest: 1d}}"]


@pytest.mark.slow
def test_a_planted_edge_shows_in_the_prices(config: Path) -> None:
    """With `trend_bp_per_hour` neighbouring hours go the same way; without it nothing foretells the next one."""
    found = []
    for trend in (0, 100):
        window = ["backtest.start=2024-03-01", "backtest.end=2024-03-31", "symbols=[BTCUSD]"]
        run = prepared(config, MEMORY, *window, f"backtest.data.trend_bp_per_hour={trend}")
        series = run.market.base["BTCUSD"]
        hours = np.arange(series.open_ns[0] + HOUR_NS, series.open_ns[-1], HOUR_NS)
        moved = np.diff(np.log(series.close[np.searchsorted(series.open_ns, hours) - 1]))
        found.append(float(np.corrcoef(moved[1:], moved[:-1])[0, 1]))

    assert abs(found[0]) < 0.1
    assert found[1] > 0.25


@pytest.mark.slow
def test_ticks_are_written_beside_the_bars_and_change_no_run(config: Path, tmp_path: Path) -> None:
    """`ticks: true` gives the file quotes and trades; the run id is that of the same market without them."""
    file = "backtest.data.store=market.duckdb"
    without, with_ticks = prepared(config, file), prepared(config, file, "backtest.data.ticks=true")
    with HistoricalDataStore(tmp_path / "market.duckdb", read_only=True) as store:
        tapes = {(info.symbol, info.kind) for info in store.list_tapes()}

    assert {("BTCUSD", "quotes"), ("BTCUSD", "trades"), ("EURUSD", "quotes")} <= tapes
    assert ("EURUSD", "trades") not in tapes
    assert with_ticks.run_id == without.run_id


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("backtest.data={source: store, trend_bp_per_hour: 3}", "trend_bp_per_hour describes the synthetic market"),
        ("backtest.data={source: store, store: none}", "store: none is for the synthetic market"),
        ("backtest.data={source: synthetic, store: none, ticks: true}", "name a file instead of none"),
        ("backtest.data.trend_bp_per_hour=-1", "trend_bp_per_hour"),
        ("backtest.data.absent_share=1", "absent_share"),
        ("backtest.data.holes=[{from: 2024-03-08 10:00, to: 2024-03-08 09:00}]", "to must lie after from"),
        ("backtest.data.holes=[{from: 2024, to: 2025}]", "expected a date"),
        (
            "backtest.data.holes=[{symbol: BTCUSDT, from: 2024-03-08 10:00, to: 2024-03-08 11:00}]",
            "did you mean 'BTCUSD'",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(config: Path, override: str, sentence: str) -> None:
    """A wrong word about the synthetic market is a ConfigError that names it."""
    with pytest.raises(ConfigError, match=sentence):
        prepared(config, override)


def test_a_market_that_says_nothing_new_is_the_one_of_before(config: Path, tmp_path: Path) -> None:
    """Coins without anything planted keep the hash, so that a file that is there is used again."""
    document = read_config(config, ["symbols=[BTCUSD]"])
    spec = market_spec(document.validate(BacktestConfig))
    market_store(spec, tmp_path / "data" / "synthetic.duckdb")
    before = (tmp_path / "data" / "synthetic.duckdb").stat().st_ino
    prepared(config, "symbols=[BTCUSD]", "backtest.data.trend_bp_per_hour=0", "backtest.data.outage_every_days=60")

    assert (tmp_path / "data" / "synthetic.duckdb").stat().st_ino == before
