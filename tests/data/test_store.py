"""The store gives back what was written, refuses what does not fit, and says in a sentence who must act."""

from pathlib import Path

import duckdb
import numpy as np
import pytest

from src.core.errors import DataError, InternalError, PreflightError
from src.core.timeframe import HOUR_NS, MINUTE_NS
from src.data.store import HistoricalDataStore, SeriesInfo
from tests.data.conftest import MakeBars


def stamps_on_disk(path: Path, symbol: str) -> list[int]:
    """The minutes of a series in the order in which its rows lie in the file."""
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.execute("SELECT open_ns FROM bars WHERE symbol = ? ORDER BY rowid", [symbol]).fetchall()
    return [row[0] // MINUTE_NS for row in rows]


def test_bars_come_back_as_they_were_written(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Every column survives to the last bit, with its price side, in contiguous read-only arrays."""
    written = bars([1, 2, 4], side="bid")
    written.close[1] = 0.1 + 0.2

    count = store.write_bars(written, source="test", kind="fx")
    found = store.read_bars("BTCUSD", MINUTE_NS)

    assert count == 3
    assert found.price_side == "bid"
    for name in ("open_ns", "open", "high", "low", "close", "volume"):
        column = getattr(found, name)
        assert column.tolist() == getattr(written, name).tolist()
        assert column.flags.c_contiguous
        assert not column.flags.writeable
    assert [str(found.open_ns.dtype), str(found.open.dtype)] == ["int64", "float64"]


def test_a_window_includes_its_start_and_excludes_its_end(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Bars whose open lies in [start, end) are read."""
    store.write_bars(bars([1, 2, 3, 4]), source="test")

    found = store.read_bars("BTCUSD", MINUTE_NS, 2 * MINUTE_NS, 4 * MINUTE_NS)

    assert (found.open_ns // MINUTE_NS).tolist() == [2, 3]


def test_a_window_without_bars_is_empty(store: HistoricalDataStore, bars: MakeBars) -> None:
    """A known series with nothing in the window gives an empty series of the right types."""
    store.write_bars(bars([1, 2]), source="test")

    found = store.read_bars("BTCUSD", MINUTE_NS, 10 * MINUTE_NS)

    assert [found.loaded, str(found.open_ns.dtype), str(found.close.dtype)] == [0, "int64", "float64"]


def test_series_are_listed_by_symbol_and_timeframe(store: HistoricalDataStore, bars: MakeBars) -> None:
    """The list names each series with its source, kind, count and ends, and survives closing the file."""
    store.write_bars(bars([60, 120], timeframe_ns=HOUR_NS), source="b")
    store.write_bars(bars([1, 2]), source="a", kind="fx")
    store.write_bars(bars([7], symbol="AAA", side="mid"), source="c", kind="equity")
    store.close()

    with HistoricalDataStore(store.path, read_only=True) as again:
        listed = again.list_series()

    assert listed == [
        SeriesInfo(symbol="AAA", timeframe_ns=MINUTE_NS, price_side="mid", source="c", kind="equity", bars=1,
                   first_ns=7 * MINUTE_NS, last_ns=7 * MINUTE_NS),
        SeriesInfo(symbol="BTCUSD", timeframe_ns=MINUTE_NS, price_side="trade", source="a", kind="fx", bars=2,
                   first_ns=MINUTE_NS, last_ns=2 * MINUTE_NS),
        SeriesInfo(symbol="BTCUSD", timeframe_ns=HOUR_NS, price_side="trade", source="b", kind="crypto", bars=2,
                   first_ns=HOUR_NS, last_ns=2 * HOUR_NS),
    ]  # fmt: skip


def test_writing_the_same_bars_again_adds_nothing(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Identical rows are skipped, new ones beside them are stored."""
    store.write_bars(bars([1, 2, 3]), source="test")

    counts = [store.write_bars(bars(minutes), source="test") for minutes in ([1, 2, 3], [2, 3, 4])]

    assert counts == [0, 1]
    assert store.list_series()[0].bars == 4


def test_rows_lie_in_time_order_after_a_hole_was_filled(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Bars before, between and after the stored ones are merged, and the series is contiguous on disk."""
    store.write_bars(bars([10, 20]), source="test")
    store.write_bars(bars([1], symbol="ETHUSD"), source="test")

    count = store.write_bars(bars([5, 15, 20, 25]), source="test")
    store.close()

    assert count == 3
    assert stamps_on_disk(store.path, "BTCUSD") == [5, 10, 15, 20, 25]
    assert stamps_on_disk(store.path, "ETHUSD") == [1]


def test_a_stored_bar_is_never_replaced(store: HistoricalDataStore, bars: MakeBars) -> None:
    """The same stamp with other numbers is refused by name and the store stays as it was."""
    store.write_bars(bars([1, 2]), source="test")
    other = bars([2, 3])
    other.close[0] += 0.25

    with pytest.raises(
        DataError, match=r"1970-01-01 00:02:00Z is stored with close 103\.0 .* again with close 103\.25"
    ):
        store.write_bars(other, source="test")

    assert store.read_bars("BTCUSD", MINUTE_NS).close.tolist() == bars([1, 2]).close.tolist()


def test_one_series_never_mixes_sources(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Rows from another source are refused with both named."""
    store.write_bars(bars([1]), source="test")

    with pytest.raises(DataError, match="is stored with the source 'test' and comes now with 'other'.* never mixes"):
        store.write_bars(bars([2]), source="other")

    assert store.list_series()[0].bars == 1


def test_price_sides_of_a_symbol_lie_side_by_side(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Each side is a series of its own, with its own rows and source; reading names one or gets the preferred one."""
    for side, at, source in (("ask", 200.0, "a"), ("bid", 100.0, "b")):
        store.write_bars(bars([1, 2], at=at, side=side), source=source)
    store.write_bars(bars([1, 2, 3], at=200.0, side="ask"), source="a")

    sides = {side: store.read_bars("BTCUSD", MINUTE_NS, price_side=side) for side in ("bid", "ask", None)}

    assert [(info.price_side, info.source, info.bars) for info in store.list_series()] == [("bid", "b", 2),
                                                                                        ("ask", "a", 3)]  # fmt: skip
    assert {side: (found.price_side, found.open.tolist()) for side, found in sides.items()} == {
        "bid": ("bid", [101.0, 102.0]), "ask": ("ask", [201.0, 202.0, 203.0]), None: ("bid", [101.0, 102.0]),
    }  # fmt: skip
    with pytest.raises(PreflightError, match="no 1m mark bars of BTCUSD"):
        store.read_bars("BTCUSD", MINUTE_NS, price_side="mark")


def test_the_preferred_price_side_is_the_first_of_a_written_order(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Trade before mid, mid before bid, bid before ask, ask before mark."""
    found = []
    for side in ("mark", "ask", "bid", "mid", "trade"):
        store.write_bars(bars([1], side=side), source="test")
        found.append(store.read_bars("BTCUSD", MINUTE_NS).price_side)

    assert found == ["mark", "ask", "bid", "mid", "trade"]
    assert [info.price_side for info in store.series_of("BTCUSD")] == ["trade", "mid", "bid", "ask", "mark"]


@pytest.mark.parametrize("minutes", [[2, 1], [1, 1]])
def test_bars_out_of_order_are_refused(store: HistoricalDataStore, bars: MakeBars, minutes: list[int]) -> None:
    """Unsorted and duplicate stamps are named."""
    with pytest.raises(DataError, match="in time order, each stamp once"):
        store.write_bars(bars(minutes), source="test")

    assert store.list_series() == []


def test_numbers_that_are_not_finite_are_refused(store: HistoricalDataStore, bars: MakeBars) -> None:
    """A NaN in any column is named with its bar."""
    broken = bars([1, 2])
    broken.volume[1] = np.nan

    with pytest.raises(DataError, match="as volume of 1970-01-01 00:02:00Z, found nan"):
        store.write_bars(broken, source="test")

    assert store.list_series() == []


def test_an_unknown_symbol_is_answered_with_what_is_there(store: HistoricalDataStore, bars: MakeBars) -> None:
    """The refusal lists the symbols of the store, or the timeframes of the symbol."""
    store.write_bars(bars([1, 2]), source="test")

    with pytest.raises(PreflightError, match="no bars of ETHUSD; it has BTCUSD"):
        store.read_bars("ETHUSD", MINUTE_NS)
    with pytest.raises(PreflightError, match=r"no 1h bars of BTCUSD; it has BTCUSD 1m from .* \(2 bars\)"):
        store.read_bars("BTCUSD", HOUR_NS)


def test_an_exception_inside_a_transaction_undoes_all_of_it(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Bars, instrument and log line are written together or not at all."""

    def write_and_fail() -> None:
        with store.transaction():
            store.write_bars(bars([1]), source="test")
            store.write_instrument("BTCUSD", "crypto", {"tick": 0.1})
            store.log_import("BTCUSD", MINUTE_NS, {"rows": 1})
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write_and_fail()

    assert (store.list_series(), store.read_instrument("BTCUSD"), store.read_import_log()) == ([], None, [])


def test_instruments_and_imports_are_remembered(store: HistoricalDataStore) -> None:
    """Defaults come back as they were stored last; imports are numbered."""
    store.write_instrument("EURUSD", "fx", {"tick": 0.1})
    store.write_instrument("EURUSD", "fx", {"tick": 1e-05, "calendar": "forex"})
    store.log_import("EURUSD", MINUTE_NS, {"file": "a.csv"})
    store.log_import("EURUSD", MINUTE_NS, {"file": "b.csv"})

    assert store.read_instrument("EURUSD") == {"tick": 1e-05, "calendar": "forex"}
    assert store.read_import_log() == [
        {"sequence": 1, "symbol": "EURUSD", "timeframe_ns": MINUTE_NS, "file": "a.csv"},
        {"sequence": 2, "symbol": "EURUSD", "timeframe_ns": MINUTE_NS, "file": "b.csv"},
    ]


def test_a_series_can_be_deleted(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Only the named series goes."""
    store.write_bars(bars([1, 2]), source="test")
    store.write_bars(bars([3], symbol="ETHUSD"), source="test")

    assert store.delete_series("BTCUSD", MINUTE_NS) == 2
    assert [info.symbol for info in store.list_series()] == ["ETHUSD"]
    with pytest.raises(PreflightError, match="no bars of BTCUSD"):
        store.delete_series("BTCUSD", MINUTE_NS)


def test_one_price_side_can_be_deleted_alone(store: HistoricalDataStore, bars: MakeBars) -> None:
    """The other side stays, and the store asks the source for the window again."""
    for side in ("bid", "ask"):
        store.write_bars(bars([1, 2], side=side), source="test")
    store.log_sync("BTCUSD", MINUTE_NS, "test", 0, 3 * MINUTE_NS, 2)

    assert store.delete_series("BTCUSD", MINUTE_NS, "ask") == 2
    assert [info.price_side for info in store.list_series()] == ["bid"]
    assert store.read_bars("BTCUSD", MINUTE_NS).loaded == 2
    assert store.synced("BTCUSD", MINUTE_NS, "test") == []


def test_raw_rows_come_as_they_lie(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Duplicates and disorder that got into the file are shown, for those who judge and repair."""
    store.write_bars(bars([1, 2, 3]), source="test")
    store.close()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("INSERT INTO bars SELECT * FROM bars WHERE open_ns = ?", [2 * MINUTE_NS])

    with HistoricalDataStore(store.path, read_only=True) as again:
        found = again.read_raw("BTCUSD", MINUTE_NS)

    assert (found["open_ns"] // MINUTE_NS).tolist() == [1, 2, 3, 2]
    assert found["volume"].tolist() == [1.5, 2.5, 3.5, 2.5]


def test_a_series_is_rewritten_as_a_whole(store: HistoricalDataStore, bars: MakeBars) -> None:
    """New rows take the place of all old ones, in the caller's transaction; source, kind and other series stay."""
    store.write_bars(bars([1, 2, 3]), source="test", kind="fx")
    store.write_bars(bars([1], symbol="ETHUSD"), source="test")
    mended = {name: column[[0, 2]] for name, column in store.read_raw("BTCUSD", MINUTE_NS).items()}

    with store.transaction():
        store.rewrite("BTCUSD", MINUTE_NS, mended, price_side="trade")

    assert store.list_series()[0] == SeriesInfo(
        symbol="BTCUSD", timeframe_ns=MINUTE_NS, price_side="trade", source="test", kind="fx", bars=2,
        first_ns=MINUTE_NS, last_ns=3 * MINUTE_NS,
    )  # fmt: skip
    assert (store.read_bars("BTCUSD", MINUTE_NS).open_ns // MINUTE_NS).tolist() == [1, 3]
    with pytest.raises(DataError, match="in time order"):
        store.rewrite("BTCUSD", MINUTE_NS, {name: column[::-1] for name, column in mended.items()})
    store.rewrite("BTCUSD", MINUTE_NS, {name: column[:0] for name, column in mended.items()})
    assert [info.symbol for info in store.list_series()] == ["ETHUSD"]


def test_a_rewrite_that_is_not_committed_changes_nothing(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Whatever ends the caller's transaction early leaves the old rows."""
    store.write_bars(bars([1, 2, 3]), source="test")
    nothing = {name: column[:0] for name, column in store.read_raw("BTCUSD", MINUTE_NS).items()}

    def rewrite_and_fail() -> None:
        with store.transaction():
            store.rewrite("BTCUSD", MINUTE_NS, nothing)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rewrite_and_fail()

    assert store.read_bars("BTCUSD", MINUTE_NS).loaded == 3


def test_coverage_is_the_runs_between_holes(store: HistoricalDataStore, bars: MakeBars) -> None:
    """A hole of as many bars as allowed does not end a run, one more does; ends are closes."""
    store.write_bars(bars([1, 2, 5, 6, 10]), source="test")

    found = [store.coverage("BTCUSD", MINUTE_NS, max_gap_bars=limit) for limit in (0, 2, 3)]

    in_minutes = [[(start // MINUTE_NS, end // MINUTE_NS) for start, end in runs] for runs in found]
    assert in_minutes == [[(1, 3), (5, 7), (10, 11)], [(1, 7), (10, 11)], [(1, 11)]]


def test_an_absent_file_is_answered_with_the_command_that_makes_one(tmp_path: Path) -> None:
    """Reading a store that does not exist creates nothing."""
    path = tmp_path / "none.duckdb"

    with pytest.raises(
        DataError, match=r"none\.duckdb; create it with `lockstep data import FILE --store .*none\.duckdb`"
    ):
        HistoricalDataStore(path, read_only=True)

    assert not path.exists()


def test_a_store_that_is_open_for_writing_is_refused_to_a_reader_of_this_program(store: HistoricalDataStore) -> None:
    """One program does not read beside its own writer; the sentence says so."""
    with pytest.raises(DataError, match="already open in this program for writing"):
        HistoricalDataStore(store.path, read_only=True)


def test_two_readers_share_a_store(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Read-only stores on one file do not exclude each other, and cannot be written to."""
    store.write_bars(bars([1, 2]), source="test")
    store.close()

    with (
        HistoricalDataStore(store.path, read_only=True) as one,
        HistoricalDataStore(store.path, read_only=True) as two,
    ):
        assert one.list_series() == two.list_series()
        with pytest.raises(DataError, match="open read-only"):
            one.write_bars(bars([3]), source="test")


def test_files_that_are_no_store_are_refused(tmp_path: Path) -> None:
    """Some other file, another DuckDB database, and a store of another version are each named as what they are."""
    text = tmp_path / "text.duckdb"
    text.write_text("x" * 5000, encoding="utf-8")
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE t (a INTEGER)")
    old = tmp_path / "old.duckdb"
    HistoricalDataStore(old).close()
    with duckdb.connect(str(old)) as connection:
        connection.execute("UPDATE store_version SET version = 0")

    for path, sentence in ((text, "cannot be opened"), (other, "no store of market data"), (old, "of version 0")):
        with pytest.raises(DataError, match=sentence):
            HistoricalDataStore(path, read_only=True)


def test_a_file_without_tables_is_an_empty_store(tmp_path: Path, bars: MakeBars) -> None:
    """So ends a first write that is killed before it has made the tables; a reader finds nothing in it."""
    path = tmp_path / "market.duckdb"
    duckdb.connect(str(path)).close()
    before = path.read_bytes()

    with HistoricalDataStore(path, read_only=True) as store:
        found = [store.list_series(), store.list_tapes(), store.read_heal_log(), store.read_import_log()]
        instrument = store.read_instrument("BTCUSD")
        with pytest.raises(PreflightError, match="has no bars of BTCUSD; it has nothing"):
            store.read_bars("BTCUSD", MINUTE_NS)

    assert (found, instrument, path.read_bytes()) == ([[], [], [], []], None, before)
    with HistoricalDataStore(path) as store:
        assert store.write_bars(bars([1, 2]), source="test") == 2


@pytest.mark.parametrize("size", [0, 4096, 8192])
def test_a_file_whose_database_was_never_begun_is_named_and_can_be_filled(
    tmp_path: Path, bars: MakeBars, size: int
) -> None:
    """A kill while the file is made leaves it short; a reader gets a sentence, a writer a new store."""
    path = tmp_path / "market.duckdb"
    duckdb.connect(str(path)).close()
    path.write_bytes(path.read_bytes()[:size])

    with pytest.raises(DataError, match=r"found an empty file, .*fill it with `lockstep data import FILE --store .*`"):
        HistoricalDataStore(path, read_only=True)
    assert path.stat().st_size == size
    with HistoricalDataStore(path) as store:
        assert store.write_bars(bars([1, 2]), source="test") == 2


def test_a_short_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Only what DuckDB began, or a file without a byte, is replaced."""
    path = tmp_path / "notes.txt"
    path.write_text("mine", encoding="utf-8")

    with pytest.raises(DataError, match="cannot be opened as a store of market data"):
        HistoricalDataStore(path)

    assert path.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("read_only", [True, False])
def test_a_folder_is_no_store(tmp_path: Path, read_only: bool) -> None:
    """The sentence says that a file is wanted, and what it could be called."""
    with pytest.raises(DataError, match=r"expected the file of a store, found the folder .*market\.duckdb"):
        HistoricalDataStore(tmp_path, read_only=read_only)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file where a folder is needed is a sentence, not a traceback."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(DataError, match="cannot be created"):
        HistoricalDataStore(tmp_path / "file" / "market.duckdb")


def test_closing_leaves_one_whole_file_and_may_be_repeated(store: HistoricalDataStore, bars: MakeBars) -> None:
    """A writer folds its log into the file; a closed store answers with an error of ours."""
    store.write_bars(bars([1]), source="test")

    store.close()
    store.close()

    files = sorted(path.name for path in store.path.parent.iterdir())
    assert files == ["market.duckdb", "market.duckdb.lease"]
    with pytest.raises(InternalError, match="is closed"):
        store.list_series()


def test_an_empty_series_leaves_no_trace(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Writing no bars is allowed and lists nothing."""
    assert store.write_bars(bars([]), source="test") == 0
    assert store.list_series() == []


def test_rows_that_lie_in_another_order_are_read_in_time_order(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Order on disk is for speed; what is read is in time order whatever lies in the file."""
    store.write_bars(bars([1, 2, 3]), source="test")
    store.close()
    with duckdb.connect(str(store.path)) as connection:
        connection.execute("CREATE TABLE turned AS SELECT * FROM bars ORDER BY open_ns DESC")
        connection.execute("DELETE FROM bars")
        connection.execute("INSERT INTO bars SELECT * FROM turned")

    with HistoricalDataStore(store.path, read_only=True) as again:
        found = again.read_bars("BTCUSD", MINUTE_NS)

    assert stamps_on_disk(store.path, "BTCUSD") == [3, 2, 1]
    assert (found.open_ns // MINUTE_NS).tolist() == [1, 2, 3]
    assert found.close.tolist() == bars([1, 2, 3]).close.tolist()
