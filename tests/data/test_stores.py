"""A process has one store per file, may be told to read only, and one digest speaks for all rows of a store."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest

from src.core.errors import DataError
from src.core.timeframe import MINUTE_NS
from src.data.fingerprint import fingerprint_bars, fingerprint_columns
from src.data.store import HistoricalDataStore
from src.data.stores import get_historical_store, reset_stores, store_fingerprint
from src.data.tapes import RateTape
from tests.data.conftest import MakeBars


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    """The process may write again after each test."""
    yield
    reset_stores()


def test_a_process_has_one_store_for_each_file(tmp_path: Path, bars: MakeBars) -> None:
    """The same path, however written, gives the same open store; once closed, a new one."""
    path = tmp_path / "market.duckdb"

    first = get_historical_store(path)
    first.write_bars(bars([1]), source="test")
    same = get_historical_store(tmp_path / "." / "market.duckdb")
    first.close()
    later = get_historical_store(path)

    assert same is first
    assert later is not first
    assert later.list_series()[0].bars == 1


def test_a_process_that_may_only_read_is_refused_every_write(tmp_path: Path, bars: MakeBars) -> None:
    """Stores that were open are closed; later ones are read-only, and an attempt to open for writing is an error."""
    path = tmp_path / "market.duckdb"
    writer = get_historical_store(path)
    writer.write_bars(bars([1, 2]), source="test")

    reset_stores(force_read_only=True)
    reader = get_historical_store(path)

    assert not writer.is_open
    assert reader.read_bars("BTCUSD", MINUTE_NS).loaded == 2
    with pytest.raises(DataError, match="in a process that may only read its stores"):
        HistoricalDataStore(tmp_path / "other.duckdb")
    with pytest.raises(DataError, match="open read-only"):
        reader.delete_series("BTCUSD", MINUTE_NS)


def test_a_process_may_write_again_after_a_reset(tmp_path: Path, bars: MakeBars) -> None:
    """The flag lasts until the next reset."""
    reset_stores(force_read_only=True)

    reset_stores()

    with HistoricalDataStore(tmp_path / "market.duckdb") as other:
        assert other.write_bars(bars([1, 2]), source="test") == 2
    own = get_historical_store(tmp_path / "own.duckdb")
    assert (own.read_only, own.write_bars(bars([3]), source="test")) == (False, 1)


CHANGES: dict[str, str] = {
    "changed": "UPDATE bars SET close = close + 0.0625 WHERE open_ns = {at}",
    "missing": "DELETE FROM bars WHERE open_ns = {at}",
    "doubled": "INSERT INTO bars SELECT * FROM bars WHERE open_ns = {at}",
    "renamed": "UPDATE bars SET symbol = 'ETHUSD'; UPDATE series SET symbol = 'ETHUSD'",
    "other rate": "UPDATE funding SET rate = -rate",
}


@pytest.mark.parametrize("change", CHANGES)
def test_one_row_that_is_not_as_it_was_changes_the_fingerprint(
    store: HistoricalDataStore, bars: MakeBars, change: str
) -> None:
    """The digest of a store follows every row, as it lies."""
    store.write_bars(bars([1, 2, 3]), source="test")
    store.write_funding(RateTape(symbol="BTCUSD", ts_ns=np.array([5]), rate=np.array([0.1])), source="test")
    store.close()
    before = store_fingerprint(store.path)

    with duckdb.connect(str(store.path)) as connection:
        connection.execute(CHANGES[change].format(at=2 * MINUTE_NS))

    assert store_fingerprint(store.path) != before


def test_a_fingerprint_does_not_follow_the_order_of_writing(tmp_path: Path, bars: MakeBars) -> None:
    """Two stores with the same rows have the same digest; one for a symbol leaves the other symbols out."""
    first, second = bars([1, 2]), bars([3, 4], symbol="ETHUSD")
    paths = []
    for number, order in enumerate([(first, second), (second, first), (first,)]):
        paths.append(tmp_path / f"{number}.duckdb")
        with HistoricalDataStore(paths[-1]) as store:
            for series in order:
                store.write_bars(series, source="test")

    whole = [store_fingerprint(path) for path in paths]
    partial = [store_fingerprint(path, ["BTCUSD"]) for path in paths]

    assert whole[0] == whole[1] != whole[2]
    assert partial == [whole[2]] * 3


def test_a_series_has_one_fingerprint_as_bars_and_as_columns(store: HistoricalDataStore, bars: MakeBars) -> None:
    """What a run hashes and what a mirror hashes can be compared."""
    store.write_bars(bars([1, 2, 3]), source="test")

    as_bars = fingerprint_bars({"BTCUSD": store.read_bars("BTCUSD", MINUTE_NS)})

    assert fingerprint_columns("BTCUSD", MINUTE_NS, "trade", store.read_raw("BTCUSD", MINUTE_NS)) == as_bars
