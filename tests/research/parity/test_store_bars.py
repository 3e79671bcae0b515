"""Recorded bars against a real store, and their way into it."""

from pathlib import Path

import pytest

from src.backtesting.find_run import find_run
from src.core.errors import DataError
from src.core.timeframe import MINUTE_NS
from src.data.store import HistoricalDataStore
from src.live.recording import FILE, Recording
from src.research.parity.recorded import read_recorded
from src.research.parity.store_bars import SOURCE, against_store, difference_text, import_recorded, store_series
from src.testing.worlds import bar_series
from tests.research.parity.journals import START_NS, Recorder, minute


def _recorded(folder: Path, closes: dict[int, float]) -> Path:
    """A recording on the disk with these bars."""
    recorder = Recorder()
    for number, close in closes.items():
        recorder.bar(number, close)
    recorder.add(minute(9), "note", what="late_bar", symbol="AAA", timeframe_ns=MINUTE_NS, open_ns=minute(8))
    folder.mkdir()
    meta = {"series": f'[["AAA", {MINUTE_NS}, "trade"]]', "instruments": "[]"}
    recording = Recording(folder / FILE, meta)
    for each in recorder.entries:
        recording.write(each.instant_ns, each.kind, each.participant, each.body)
    recording.close()
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Ten bars whose close is 100 in each."""
    path = tmp_path / "market.duckdb"
    series = bar_series("AAA", [(100.0, 101.0, 99.0, 100.0)] * 10, start=START_NS)
    with HistoricalDataStore(path) as opened:
        opened.write_bars(series, source="venue")
    return path


def test_equal_bars_have_no_difference(tmp_path: Path, store: Path) -> None:
    """Only the recorded span is compared."""
    run = read_recorded(_recorded(tmp_path / "run", {2: 100.0, 3: 100.0, 4: 100.0}))

    with HistoricalDataStore(store, read_only=True) as opened:
        found = against_store(run, opened)
        series = store_series(run, opened)

    assert (found.compared, found.differences) == (3, ())
    assert [each.loaded for each in series] == [3]


def test_each_sort_of_difference_is_named(tmp_path: Path, store: Path) -> None:
    """Another close, a bar that was not seen, one that came late, one that is not stored."""
    run = read_recorded(
        _recorded(tmp_path / "run", {2: 100.0, 3: 100.5, 5: 100.0, 6: 100.0, 7: 100.0, 9: 100.0, 10: 7})
    )

    with HistoricalDataStore(store, read_only=True) as opened:
        found = against_store(run, opened)

    assert [(each.open_ns, each.what) for each in found.differences] == [
        (minute(3), "changed"), (minute(4), "not recorded"), (minute(8), "came late"), (minute(10), "not stored"),
    ]  # fmt: skip
    assert found.differences[0].fields == ("open", "high", "low", "close")
    assert "close 100.5 recorded, 100.0 stored" in difference_text(found.differences[0])


def test_a_series_that_is_not_stored_is_a_note(tmp_path: Path) -> None:
    """Nothing can be compared, and that is said."""
    run = read_recorded(_recorded(tmp_path / "run", {1: 100.0}))
    with HistoricalDataStore(tmp_path / "empty.duckdb") as opened:
        found = against_store(run, opened)

    assert found.compared == 0
    assert "AAA" in found.notes[0]


def test_recorded_bars_come_into_the_store(tmp_path: Path) -> None:
    """With a source of their own, and a second time nothing is new."""
    run = read_recorded(_recorded(tmp_path / "run", {1: 100.0, 2: 101.0}))

    with HistoricalDataStore(tmp_path / "market.duckdb") as opened:
        first, again = import_recorded(run, opened), import_recorded(run, opened)
        stored = opened.read_bars("AAA", MINUTE_NS)
        (info,) = opened.list_series()

    assert [each.written for each in (*first, *again)] == [2, 0]
    assert stored.close.tolist() == [100.0, 101.0]
    assert info.source == SOURCE


def test_a_recorded_bar_with_other_numbers_is_refused(tmp_path: Path, store: Path) -> None:
    """A stored bar is never replaced, and nothing else is written either."""
    run = read_recorded(_recorded(tmp_path / "run", {8: 100.0, 9: 99.0, 10: 100.0}))

    with HistoricalDataStore(store) as opened:
        with pytest.raises(DataError, match="never replaced"):
            import_recorded(run, opened, "venue")
        bars = opened.list_series()[0].bars

    assert bars == 10


def test_a_series_of_another_source_is_refused(tmp_path: Path, store: Path) -> None:
    """The sentence names both."""
    run = read_recorded(_recorded(tmp_path / "run", {11: 100.0}))

    with HistoricalDataStore(store) as opened, pytest.raises(DataError, match="recording"):
        import_recorded(run, opened)


def test_a_run_is_found_by_its_folder_or_its_name(tmp_path: Path) -> None:
    """A recording marks it as one; what holds none is refused."""
    folder = _recorded(tmp_path / "run", {1: 100.0})

    assert find_run(str(folder), tmp_path / "elsewhere") == folder
    assert find_run("run", tmp_path) == folder
    with pytest.raises(DataError, match="found no such file"):
        read_recorded(tmp_path)
