"""A mirror in place of a store gives the same bars, and says so when it cannot."""

from pathlib import Path

import numpy as np
import pytest

from src.core.errors import ConfigError, DataError, PreflightError
from src.core.timeframe import HOUR_NS, MINUTE_NS
from src.data.fingerprint import fingerprint_bars
from src.data.mirror import export_mirror, mirror_folder
from src.data.mirror_store import MirrorStore, refuse_other_mirror
from src.data.store import HistoricalDataStore
from tests.data.conftest import make

BTC = frozenset({"BTCUSD"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with minutes of BTCUSD on two sides and hours of ETHUSD, and its mirror beside it."""
    path = tmp_path / "market.duckdb"
    with HistoricalDataStore(path) as store:
        store.write_bars(make([1, 2, 4, 7]), source="test")
        store.write_bars(make([1, 2, 4, 7], side="ask"), source="test")
        store.write_bars(make([60, 120], symbol="ETHUSD", timeframe_ns=HOUR_NS), source="test")
        export_mirror(store, mirror_folder(path))
    return path


@pytest.mark.parametrize(("start", "end"), [(None, None), (2, None), (None, 4), (2, 7), (3, 4), (9, None), (5, 2)])
def test_every_window_of_a_mirror_holds_the_bars_of_the_store(path: Path, start: int | None, end: int | None) -> None:
    """Ends that lie on bars, between them, beyond them, and the wrong way round."""
    window = (None if start is None else start * MINUTE_NS, None if end is None else end * MINUTE_NS)

    with MirrorStore(mirror_folder(path)) as mirror, HistoricalDataStore(path, read_only=True) as store:
        mirrored, stored = mirror.read_bars("BTCUSD", MINUTE_NS, *window), store.read_bars("BTCUSD", MINUTE_NS, *window)

    assert fingerprint_bars({"BTCUSD": mirrored}) == fingerprint_bars({"BTCUSD": stored})
    assert mirrored.price_side == stored.price_side
    assert not mirrored.close.flags.writeable


def test_a_mirror_names_the_series_that_its_store_names(path: Path) -> None:
    """Symbols, timeframes, sides and sources, in the same order."""
    with MirrorStore(mirror_folder(path)) as mirror, HistoricalDataStore(path, read_only=True) as store:
        for symbol in ("BTCUSD", "ETHUSD"):
            told = [(info.describe(), info.source, info.kind) for info in mirror.series_of(symbol)]

            assert told == [(info.describe(), info.source, info.kind) for info in store.series_of(symbol)]


def test_what_a_mirror_does_not_have_is_refused_with_what_it_has(path: Path) -> None:
    """An unknown symbol, a timeframe that is not stored, and a side that is not."""
    with MirrorStore(mirror_folder(path)) as mirror:
        with pytest.raises(PreflightError, match=r"has no bars of XRPUSD; it has BTCUSD, ETHUSD"):
            mirror.series_of("XRPUSD")
        with pytest.raises(PreflightError, match=r"has no 1h bars of BTCUSD; it has BTCUSD 1m"):
            mirror.read_bars("BTCUSD", HOUR_NS)
        with pytest.raises(PreflightError, match=r"has no 1m mid bars of BTCUSD"):
            mirror.read_bars("BTCUSD", MINUTE_NS, price_side="mid")


def test_a_folder_that_is_no_mirror_is_refused(tmp_path: Path) -> None:
    """An empty folder and one that is not there."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="expected a file of bars or the folder of a mirror"):
            MirrorStore(folder)


def test_a_mirror_of_other_rows_is_refused_by_the_store_that_it_is_to_stand_for(path: Path) -> None:
    """One bar more in the store, a symbol that was never exported; other symbols do not matter."""
    with HistoricalDataStore(path) as store:
        refuse_other_mirror(store, mirror_folder(path), BTC)
        store.write_bars(make([9]), source="test")
        store.write_bars(make([1], symbol="NEWUSD"), source="test")

        with pytest.raises(DataError, match=r"has other rows of BTCUSD 1m than .*data export BTCUSD"):
            refuse_other_mirror(store, mirror_folder(path), BTC)
        with pytest.raises(DataError, match=r"has no NEWUSD 1m, which .* has"):
            refuse_other_mirror(store, mirror_folder(path), frozenset({"NEWUSD"}))
        refuse_other_mirror(store, mirror_folder(path), frozenset({"ETHUSD"}))


def test_a_series_that_is_exported_anew_while_its_mirror_is_open_is_not_mixed_in(path: Path) -> None:
    """A worker that opened the mirror of before must not read the rows of after."""
    with MirrorStore(mirror_folder(path)) as mirror:
        before = mirror.read_bars("ETHUSD", HOUR_NS)
        with HistoricalDataStore(path) as store:
            store.write_bars(make([9]), source="test")
            store.write_bars(make([180], symbol="ETHUSD", timeframe_ns=HOUR_NS), source="test")
            export_mirror(store, mirror_folder(path))

        assert np.array_equal(mirror.read_bars("ETHUSD", HOUR_NS).close, before.close)
        with pytest.raises(DataError, match="has changed while it was being used"):
            mirror.read_bars("BTCUSD", MINUTE_NS)
