"""Data that a worker keeps: bit for bit what the store gives, from the same memory, and only of the last signature."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.backtesting.config import BacktestConfig
from src.backtesting.generated import BarOpener
from src.core.bars import BarSeries
from src.core.config_file import parse_config
from src.core.errors import PreflightError
from src.core.features import FeatureStore, sma
from src.core.timeframe import HOUR_NS, MINUTE_NS, SECOND_NS, parse_instant
from src.data.bar_store import BarStore, DerivingStore, TapeSource
from src.data.fingerprint import fingerprint_bars
from src.data.market import MarketData, load_market
from src.data.resample import resample
from src.data.store import HistoricalDataStore
from src.data.tapes import RateTape
from src.research.suite.ports import RunTask
from src.research.suite.shelf import Shelf

FIRST_NS = parse_instant("2024-01-01")
COUNT = 3_000

CONFIG = """
account: {currency: USD, balance: 1_000}
instruments: {AAA: {currency: USD}}
symbols: [AAA]
strategies: [{use: sma_cross, timeframe: 5m}]
risk: {size: {volume: 1}}
backtest: {start: 2024-01-01, end: 2024-01-02, data: {source: store, store: market.duckdb}, costs: {}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with minutes of one symbol, with holes, and rates of it."""
    place = tmp_path_factory.mktemp("store")
    stream = np.random.default_rng(5)
    opens = FIRST_NS + MINUTE_NS * np.sort(stream.choice(COUNT * 2, COUNT, replace=False)).astype(np.int64)
    price = 100 + np.cumsum(stream.normal(0, 0.1, COUNT))
    series = BarSeries("AAA", MINUTE_NS, opens, price, price + 1, price - 1, price + 0.5, np.ones(COUNT))
    rates = RateTape(symbol="AAA", ts_ns=FIRST_NS + HOUR_NS * np.arange(60, dtype=np.int64), rate=np.arange(60) / 1e4)
    with HistoricalDataStore(place / "market.duckdb") as store:
        store.write_bars(series, source="test")
        store.write_funding(rates, source="test")
    return place


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """An empty one."""
    made = Shelf()
    yield made
    made.clear()


def opener_of(shelf: Shelf, folder: Path, signature: str = "one", reach_ns: int | None = None) -> BarOpener:
    """What opens the bars for a task of that signature."""
    document = parse_config(CONFIG, "bot.yaml", folder)
    task = RunTask(
        key="", values={}, name="bot.yaml", folder=str(folder), signature=signature, reach_ns=reach_ns
    )  # fmt: skip
    return shelf.opening(task)(document.validate(BacktestConfig), folder)


def same(one: BarSeries, other: BarSeries) -> bool:
    """Whether two series have the same rows to the last bit, and both are read-only."""
    assert not any(getattr(each, name).flags.writeable for each in (one, other) for name in ("open_ns", "close"))
    return fingerprint_bars({"AAA": one}) == fingerprint_bars({"AAA": other})


edges = st.one_of(st.none(), st.integers(-500, 2 * COUNT + 500))


@pytest.mark.slow
@given(st.lists(st.tuples(edges, edges), min_size=1, max_size=6), st.booleans())
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_every_slice_is_what_the_store_gives(
    folder: Path, pieces: list[tuple[int | None, int | None]], reach: bool
) -> None:
    """Whatever was asked for before, and whether it is known how far back all of it reaches."""
    shelf = Shelf()
    opener = opener_of(shelf, folder, reach_ns=FIRST_NS if reach else None)
    with HistoricalDataStore(folder / "market.duckdb", read_only=True) as store, opener() as kept:
        for piece in pieces:
            first_ns, last_ns = (None if minute is None else FIRST_NS + minute * MINUTE_NS for minute in piece)
            assert same(
                kept.read_bars("AAA", MINUTE_NS, first_ns, last_ns),
                store.read_bars("AAA", MINUTE_NS, first_ns, last_ns),
            )
    shelf.clear()
    assert shelf.loads == 1


def test_a_market_has_the_fingerprint_that_the_store_gives_it(folder: Path, shelf: Shelf) -> None:
    """With lookbacks that begin at different bars, longer bars among them."""
    opener = opener_of(shelf, folder)

    def market(store: BarStore, lookback: int) -> MarketData:
        start_ns = FIRST_NS + 40 * HOUR_NS
        return load_market(
            store, ["AAA"], {"AAA": [5 * MINUTE_NS, HOUR_NS]}, start_ns, start_ns + 10 * HOUR_NS, 0,
            {5 * MINUTE_NS: lookback},
        )  # fmt: skip

    with HistoricalDataStore(folder / "market.duckdb", read_only=True) as store, opener() as kept:
        for lookback in (3, 50, 7, 200, 3):
            found, expected = market(kept, lookback), market(store, lookback)
            assert found.fingerprint == expected.fingerprint
            for key, series in expected.derived.items():
                assert same(found.derived[key], series)


def test_equal_rows_lie_in_the_same_memory_so_that_features_are_shared(folder: Path, shelf: Shelf) -> None:
    """Two runs get series of their own over one memory; the values of a feature are computed once."""
    opener = opener_of(shelf, folder)
    edges_ns = FIRST_NS + HOUR_NS, FIRST_NS + 30 * HOUR_NS
    with opener() as kept:
        one, other = (kept.read_bars("AAA", MINUTE_NS, *edges_ns) for _ in range(2))
        assert isinstance(kept, DerivingStore)
        longer = [kept.derive(each, HOUR_NS, edges_ns[1], None) for each in (one, other)]

    one.length = 7

    assert one is not other
    assert other.length == other.loaded
    assert one.close is other.close
    assert longer[0].close is longer[1].close
    assert same(longer[0], resample(one, HOUR_NS, edges_ns[1]))
    for pair in ((one, other), longer):
        columns = [FeatureStore().column(sma(9), series).values for series in pair]
        assert columns[0] is columns[1]


def test_the_store_is_closed_between_runs_and_opened_once_for_a_signature(folder: Path, shelf: Shelf) -> None:
    """What was read serves the next run; another signature lets go of it."""
    with opener_of(shelf, folder)() as kept:
        kept.read_bars("AAA", MINUTE_NS)
        kept.series_of("AAA")
    shelf.rest()
    with opener_of(shelf, folder)() as again:
        again.read_bars("AAA", MINUTE_NS, FIRST_NS)

    with HistoricalDataStore(folder / "market.duckdb") as store:  # nobody holds it
        assert not store.read_only
    assert again is kept
    assert shelf.loads == 1
    with opener_of(shelf, folder, "two")() as other:
        other.read_bars("AAA", MINUTE_NS)
    assert other is not kept
    assert shelf.loads == 2


def test_rates_are_sliced_as_the_store_slices_them(folder: Path, shelf: Shelf) -> None:
    """A piece, a longer one, and a piece of that."""
    with (
        HistoricalDataStore(folder / "market.duckdb", read_only=True) as store,
        opener_of(shelf, folder)() as kept,
    ):
        assert isinstance(kept, TapeSource)
        for hours in ((10, 20), (5, 50), (7, 8)):
            edges_ns = [FIRST_NS + hour * HOUR_NS + SECOND_NS for hour in hours]
            found, expected = kept.read_funding("AAA", *edges_ns), store.read_funding("AAA", *edges_ns)
            assert found.ts_ns.tolist() == expected.ts_ns.tolist()
            assert found.rate.tolist() == expected.rate.tolist()
        assert kept.list_tapes() == store.list_tapes()


def test_a_symbol_that_is_not_there_is_refused_as_by_the_store(folder: Path, shelf: Shelf) -> None:
    """Each time anew, and the store is asked once."""
    with opener_of(shelf, folder)() as kept:
        for _ in range(2):
            with pytest.raises(PreflightError, match=r"market\.duckdb has no bars of BBB; it has AAA"):
                kept.series_of("BBB")
    assert shelf.loads == 1
