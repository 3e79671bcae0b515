"""How the settings of costs and fills reach the venue, and which ones are refused."""

from pathlib import Path

import pytest

from src.backtesting.config import BacktestConfig
from src.backtesting.run import execute, prepare
from src.brokers.simulated.costs_section import costs_of
from src.core.config_file import parse_config
from src.core.errors import ConfigError
from src.core.timeframe import MINUTE_NS

CONFIG = """\
account: {currency: USDT, balance: 10_000}
instruments: {BTCUSDT: {tick: 0.1, volume_step: 0.001}}
symbols: [BTCUSDT]
strategies: [{use: sma_cross, timeframe: 5m, params: {fast: 5, slow: 15}}]
risk: {size: {volume: 0.1}}
backtest:
  {start: 2024-01-01, end: 2024-01-02, data: {source: synthetic, store: none},
   costs: {spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01}}
"""


def config(*overrides: str) -> BacktestConfig:
    """The configuration with other values."""
    return parse_config(CONFIG, "bot.yaml", Path(), list(overrides)).validate(BacktestConfig)


def digest(folder: Path, *overrides: str) -> str:
    """The digest of a run with other values."""
    document = parse_config(CONFIG, str(folder / "bot.yaml"), folder, list(overrides))
    return execute(prepare(document), report=False).result.digest


def test_costs_reach_the_venue_as_they_are_written() -> None:
    """Each key has one place among the models."""
    costs = costs_of(
        config(
            "backtest.costs.spread_percent=null", "backtest.costs.spread_by_hour={'0-6': 3, '6-24': 1}",
            "backtest.costs.slippage_volume_share=5", "backtest.costs.latency_jitter=2m",
            "backtest.costs.volume_share=0.25", "backtest.costs.reject_percent=1.5",
        ).backtest.costs
    )  # fmt: skip

    assert costs.spread_by_hour == (3.0,) * 6 + (1.0,) * 18
    assert (costs.slippage.volume_share, costs.latency_jitter_ns) == (5.0, 2 * MINUTE_NS)
    assert (costs.volume_share, costs.reject_percent) == (0.25, 1.5)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("backtest.costs.spread_by_hour={'0-24': 1}", "expected one of spread_percent and spread_by_hour, found both"),
        ("backtest.costs.spread_by_hour={'0-23': 1}", "these hours have no spread: 23"),
        ("backtest.costs.volume_share=0", "greater than 0"),
        ("backtest.costs.volume_share=1.5", "less than or equal to 1"),
        ("backtest.costs.reject_percent=100", "less than 100"),
        ("backtest.touch_probability=0.5", "touch_probability is of limit_fill: seeded"),
        ("backtest.intrabar=luck", "'worst', 'best' or 'path'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(override: str, sentence: str) -> None:
    """With a sentence, before anything is read."""
    with pytest.raises(ConfigError, match=sentence.replace("(", r"\(")):
        config(override)


def test_each_setting_is_part_of_the_runs_identity() -> None:
    """Two runs that fill differently never share an id."""
    settings = [
        "backtest.intrabar=path", "backtest.limit_fill=seeded", "backtest.costs.latency_jitter=1m",
        "backtest.costs.volume_share=0.1", "backtest.costs.reject_percent=1", "backtest.costs.slippage_volume_share=1",
    ]  # fmt: skip
    identities = [str(config(setting).identity()) for setting in settings]

    assert len({str(config().identity()), *identities}) == len(settings) + 1


@pytest.mark.slow
def test_what_is_drawn_follows_from_the_seed(tmp_path: Path) -> None:
    """The same seed gives the same run, another one another; with everything off the seed decides nothing."""
    drawn = ["backtest.costs.reject_percent=30", "backtest.costs.latency_jitter=5m"]

    first = digest(tmp_path / "a", *drawn)

    assert digest(tmp_path / "b", *drawn) == first
    assert digest(tmp_path / "c", *drawn, "backtest.seed=8") != first
    assert digest(tmp_path / "d") == digest(tmp_path / "e", "backtest.seed=8")


@pytest.mark.slow
def test_all_of_it_at_once_gives_one_digest_under_threads_and_fibers(tmp_path: Path) -> None:
    """What carries the participants decides no draw."""
    everything = [
        "backtest.intrabar=path", "backtest.limit_fill=seeded", "backtest.costs.latency_jitter=3m",
        "backtest.costs.volume_share=0.01", "backtest.costs.reject_percent=5",
        "backtest.costs.slippage_volume_share=2", "backtest.costs.spread_percent=null",
        "backtest.costs.spread_by_hour={'0-12': 5, '12-24': 2}",
    ]  # fmt: skip

    threads = digest(tmp_path / "a", *everything)

    assert digest(tmp_path / "b", *everything, "backtest.runtime=fibers") == threads
    assert digest(tmp_path / "c") != threads
