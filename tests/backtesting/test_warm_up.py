"""What strategies declare is read before the run begins, for each of their timeframes, by their symbols' sessions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.backtesting.config import BacktestConfig
from src.backtesting.newcomers import data_needs
from src.backtesting.run import prepare
from src.core.bars import BarSeries
from src.core.config_file import parse_config
from src.core.errors import ConfigError
from src.core.features import Feature, on_timeframe, sma
from src.core.strategy import BarStrategy, param
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.market import load_market
from src.data.store import HistoricalDataStore

CONFIG = """\
account: {currency: USD, balance: 10_000}
instruments: {EURUSD: {currency: USD, calendar: forex}}
symbols: [EURUSD]
strategies: [{use: one}]
risk: {size: {volume: 1}}
backtest: {start: 2021-03-16, end: 2021-03-18, data: {store: market.duckdb}}
"""


FREE = [f"backtest.costs.{each}_percent=0" for each in ("spread", "commission", "slippage")]


class Declares(BarStrategy):
    """An average of its own bars, one of the days, and hours that it reads by itself."""

    timeframe, timeframes = "5m", ("1h", "1d", "15m")
    length: int = param(30)

    def features(self) -> dict[str, Feature]:
        return {"own": sma(self.length), "day": on_timeframe("1d", sma(4)), "two": on_timeframe("1d", sma(2))}

    def bars_needed(self) -> dict[str, int]:
        return {"1h": self.length // 2, "5m": 7}


def config(*overrides: str) -> BacktestConfig:
    """The configuration with other values."""
    return parse_config(CONFIG, "bot.yaml", Path(), list(overrides)).validate(BacktestConfig)


def test_each_timeframe_has_the_look_back_that_is_declared_for_it() -> None:
    """The longest of features and of what is read by itself, parameters included; undeclared ones need nothing."""
    needs = data_needs(config("strategies.0.params.length=40"), {"one": Declares})

    assert needs.lookbacks == {5 * MINUTE_NS: 40, HOUR_NS: 20, DAY_NS: 4, 15 * MINUTE_NS: 0}
    assert needs.warmup_ns == 4 * DAY_NS
    assert needs.timeframes == ((5 * MINUTE_NS, HOUR_NS, DAY_NS, 15 * MINUTE_NS),)


def test_the_trailing_stops_range_counts_on_the_strategys_own_timeframe() -> None:
    """It is made of the bars that the strategy works on."""
    needs = data_needs(config("manage={trailing: {distance_atr: 2, atr: 50}}"), {"one": Declares})

    assert needs.lookbacks[5 * MINUTE_NS] == 51


@pytest.mark.parametrize(
    ("declared", "sentence"),
    [
        ({"4h": 3}, "bars_needed of Wrong has no bars of 4h; add it to the class's `timeframes`"),
        ({"1h": -1}, "bars_needed of Wrong: expected a number of bars of 1h, found -1"),
        ({"1h": "many"}, "expected a number of bars of 1h, found 'many'"),
        ({"soon": 1}, "expected a duration"),
    ],
)
def test_what_cannot_be_declared_is_refused(declared: Mapping[str, Any], sentence: str) -> None:
    """Before anything is read; a warm-up that silently is none would show undefined values."""

    class Wrong(BarStrategy):
        timeframe, timeframes = "5m", ("1h",)

        def bars_needed(self) -> dict[str, int]:
            return dict(declared)

    with pytest.raises(ConfigError, match=sentence):
        data_needs(config(), {"one": Wrong})


def test_the_feature_of_a_timeframe_that_is_not_subscribed_is_refused_before_the_run() -> None:
    """Its bars would be in no market."""

    class Wrong(BarStrategy):
        def features(self) -> dict[str, Feature]:
            return {"trend": on_timeframe("4h", sma(3))}

    with pytest.raises(ConfigError, match="features of Wrong has no bars of 4h"):
        data_needs(config(), {"one": Wrong})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a store: bars of 15 minutes without a hole, over a change of clocks in New York."""
    opens_ns = np.arange(parse_instant("2021-03-01"), parse_instant("2021-03-18"), 15 * MINUTE_NS, dtype=np.int64)
    price = np.full(len(opens_ns), 1.2)
    series = BarSeries("EURUSD", 15 * MINUTE_NS, opens_ns, price, price, price, price, np.ones(len(opens_ns)))
    with HistoricalDataStore(tmp_path / "market.duckdb") as store:
        store.write_bars(series, source="test")
    return tmp_path


def test_the_warm_up_counts_sessions_and_begins_with_whole_bars(folder: Path) -> None:
    """Four days of forex before a Tuesday reach back over the weekend and the change of clocks, and no bar is cut."""
    needs = {DAY_NS: 4, 45 * MINUTE_NS: 2, HOUR_NS: 2}
    start_ns, end_ns = parse_instant("2021-03-16"), parse_instant("2021-03-18")
    with HistoricalDataStore(folder / "market.duckdb", read_only=True) as store:
        market = load_market(
            store, ["EURUSD"], {"EURUSD": needs}, start_ns, end_ns, 4 * DAY_NS, needs, {"EURUSD": "forex"}
        )

    days = market.derived["EURUSD", DAY_NS]
    assert days.count_closed(start_ns) >= 4
    assert days.volume[:4].tolist() == [96.0] * 4
    assert int(days.open_ns[0]) % DAY_NS == 22 * HOUR_NS
    for timeframe_ns, whole in ((45 * MINUTE_NS, 3), (HOUR_NS, 4)):
        assert market.derived["EURUSD", timeframe_ns].volume[0] == whole


STRATEGY = """
from src.core.strategy import BarStrategy


class Days(BarStrategy):
    timeframe, timeframes = "15m", ("1d",)

    def bars_needed(self):
        return {"1d": 3}
"""


def test_a_run_and_a_symbol_that_joins_it_use_the_instruments_calendar(folder: Path) -> None:
    """Both read days that end at five in the afternoon in New York, before the change of clocks and after it."""
    (folder / "days.py").write_text(STRATEGY, encoding="utf-8")
    document = parse_config(CONFIG, "bot.yaml", folder, ["strategies=[{use: './days.py:Days'}]", *FREE])

    prepared = prepare(document, stored=False)
    joined = prepared.supply.newcomer("EURUSD", prepared.start_ns)

    for derived in (prepared.market.derived["EURUSD", DAY_NS], joined.derived[DAY_NS]):
        assert derived.count_closed(prepared.start_ns) >= 3
        assert {int(at_ns) % DAY_NS // HOUR_NS for at_ns in derived.open_ns} == {21, 22}
        assert int(derived.open_ns[-1]) == parse_instant("2021-03-16T21:00:00")
