"""A store of an earlier version is read as it is, and brought to this version when it is opened for writing."""

from pathlib import Path

import duckdb
import pytest

from src.core.errors import DataError
from src.core.timeframe import MINUTE_NS
from src.data import schema
from src.data.store import HistoricalDataStore
from src.data.stores import store_fingerprint
from tests.data.conftest import MakeBars

# The tables as version 1 wrote them.
VERSION_1 = """
CREATE TABLE store_version (version INTEGER NOT NULL);
CREATE TABLE bars (symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL, open_ns BIGINT NOT NULL,
    open DOUBLE NOT NULL, high DOUBLE NOT NULL, low DOUBLE NOT NULL, close DOUBLE NOT NULL, volume DOUBLE NOT NULL);
CREATE TABLE series (symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL, price_side VARCHAR NOT NULL,
    source VARCHAR NOT NULL, kind VARCHAR NOT NULL, bars BIGINT NOT NULL, first_ns BIGINT NOT NULL,
    last_ns BIGINT NOT NULL);
CREATE TABLE instruments (symbol VARCHAR NOT NULL, kind VARCHAR NOT NULL, defaults VARCHAR NOT NULL);
CREATE TABLE import_log (sequence BIGINT NOT NULL, symbol VARCHAR NOT NULL, timeframe_ns BIGINT NOT NULL,
    details VARCHAR NOT NULL);
INSERT INTO store_version VALUES (1);
INSERT INTO series VALUES ('EURUSD', 60000000000, 'bid', 'histdata', 'fx', 3, 60000000000, 180000000000),
    ('BTCUSD', 60000000000, 'trade', 'ccxt', 'crypto', 2, 120000000000, 240000000000);
INSERT INTO bars SELECT 'EURUSD', 60000000000, n * 60000000000, n, n + 2, n - 0.5, n + 1, n * 10 FROM range(1, 4) t(n);
INSERT INTO bars SELECT 'BTCUSD', 60000000000, n * 120000000000, n, n + 2, n - 0.5, n + 1, 7 FROM range(1, 3) t(n);
INSERT INTO instruments VALUES ('EURUSD', 'fx', '{"tick": 1e-05}');
INSERT INTO import_log VALUES (1, 'EURUSD', 60000000000, '{"file": "a.csv"}');
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store of version 1 with two series."""
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(VERSION_1)
    return path


def version_of(path: Path) -> int:
    """The version that a store's file carries."""
    with duckdb.connect(str(path), read_only=True) as connection:
        row = connection.execute("SELECT version FROM store_version").fetchone()
    return 0 if row is None else int(row[0])


def everything(store: HistoricalDataStore) -> list[object]:
    """All that a store of version 1 knows, and the emptiness of what it cannot know."""
    rows = {
        info.symbol: {name: column.tolist() for name, column in store.read_raw(info.symbol, MINUTE_NS).items()}
        for info in store.list_series()
    }
    return [
        store.list_series(), rows, store.read_bars("EURUSD", MINUTE_NS).price_side, store.read_instrument("EURUSD"),
        store.read_import_log(), store.list_tapes(), store.synced("EURUSD", MINUTE_NS, "x"), store.read_heal_log(),
    ]  # fmt: skip


def test_an_old_store_is_read_as_it_is(old: Path) -> None:
    """A reader changes nothing in the file, and finds its bars, sides and logs; the rest is empty."""
    with HistoricalDataStore(old, read_only=True) as store:
        found = everything(store)
        assert store.read_bars("EURUSD", MINUTE_NS, price_side="bid").open.tolist() == [1.0, 2.0, 3.0]

    assert version_of(old) == 1
    assert [info.bars for info in found[0]] == [2, 3]  # type: ignore[attr-defined] # a list of any kind
    assert found[2:] == ["bid", {"tick": 1e-05}, [{"sequence": 1, "symbol": "EURUSD", "timeframe_ns": MINUTE_NS,
                                                   "file": "a.csv"}], [], [], []]  # fmt: skip


def test_opening_an_old_store_for_writing_brings_it_to_this_version(old: Path, bars: MakeBars) -> None:
    """Nothing is lost on the way, the fingerprint stays, and what is new can be written."""
    with HistoricalDataStore(old, read_only=True) as store:
        before = everything(store)
    fingerprint = store_fingerprint(old)

    HistoricalDataStore(old).close()

    assert version_of(old) == schema.SCHEMA_VERSION
    assert store_fingerprint(old) == fingerprint
    with HistoricalDataStore(old) as store:
        assert everything(store) == before
        store.write_bars(bars([1], symbol="EURUSD", side="ask"), source="other")
        assert [info.price_side for info in store.series_of("EURUSD")] == ["bid", "ask"]


def test_a_migration_that_is_interrupted_leaves_the_old_store(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps and the new version are one transaction."""
    step = schema._STEPS[1]

    def interrupted(connection: duckdb.DuckDBPyConnection) -> None:
        step(connection)
        raise KeyboardInterrupt

    monkeypatch.setitem(schema._STEPS, 1, interrupted)
    with pytest.raises(KeyboardInterrupt):
        HistoricalDataStore(old)
    monkeypatch.undo()

    assert version_of(old) == 1
    with HistoricalDataStore(old) as store:
        assert [info.bars for info in store.list_series()] == [2, 3]


@pytest.mark.parametrize(("version", "what"), [(0, "import its data anew"), (99, "written by a later program")])
def test_a_store_of_an_unknown_version_is_refused(old: Path, version: int, what: str) -> None:
    """Neither reading nor writing guesses at tables that this program does not know."""
    with duckdb.connect(str(old)) as connection:
        connection.execute("UPDATE store_version SET version = ?", [version])

    for read_only in (True, False):
        with pytest.raises(DataError, match=f"of version {version}, expected version 2.*{what}"):
            HistoricalDataStore(old, read_only=read_only)
