"""The mirror holds what the store holds, file by file, and nothing is read from it that is not whole."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.errors import ConfigError, DataError, PreflightError
from src.core.timeframe import HOUR_NS, MINUTE_NS
from src.data.fingerprint import fingerprint_bars
from src.data.importing import ImportAnswers, inspect_file, run_import
from src.data.mirror import (
    ExportReport,
    export_mirror,
    list_mirror,
    mirror_folder,
    read_mirror,
    scan_mirror,
)
from src.data.mirror_import import import_mirror, restore_series
from src.data.store import HistoricalDataStore
from src.data.stored import COLUMNS
from src.data.stores import store_fingerprint
from tests.data.care import put_rows, rows_of
from tests.data.conftest import MakeBars, make

BTC = "symbol=BTCUSD/timeframe=1m/price=trade/bars.parquet"
ETH = "symbol=ETH%2FUSD%3AUSD/timeframe=1h/price=bid/bars.parquet"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with two series, one of them with a name that no folder can have."""
    path = tmp_path / "market.duckdb"
    odd = make([60, 120, 240], symbol="ETH/USD:USD", timeframe_ns=HOUR_NS, side="bid")
    with HistoricalDataStore(path) as store:
        store.write_bars(make([1, 2, 4]), source="test")
        store.write_bars(odd, source="other", kind="fx")
        store.write_instrument("BTCUSD", "crypto", {"tick": 0.1, "calendar": "24/7"})
    return path


@pytest.fixture(scope="module")
def two_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HistoricalDataStore, HistoricalDataStore]]:
    """Two empty stores that are open for writing."""
    folder = tmp_path_factory.mktemp("two")
    with HistoricalDataStore(folder / "one.duckdb") as one, HistoricalDataStore(folder / "other.duckdb") as other:
        yield one, other


def export(path: Path, symbol: str | None = None, *, prune: bool = False) -> ExportReport:
    """Export a store to the folder beside it."""
    with HistoricalDataStore(path, read_only=True) as store:
        return export_mirror(store, mirror_folder(path), symbol=symbol, prune=prune)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a mirror but its lock."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


def test_each_series_is_one_file_with_its_fingerprint(path: Path) -> None:
    """The fingerprint is the one of a run over the same bars, in the file itself and in the list."""
    report = export(path)
    listed = json.loads((mirror_folder(path) / "mirror.json").read_text(encoding="utf-8"))["partitions"]

    assert [one.file for one in report.written] == [BTC, ETH]
    assert sorted(files_of(mirror_folder(path))) == ["mirror.json", BTC, ETH]
    assert [one["fingerprint"] for one in listed] == [one.fingerprint for one in list_mirror(mirror_folder(path))]
    assert listed[0]["fingerprint"] == fingerprint_bars({"BTCUSD": make([1, 2, 4])})


def test_bars_come_back_from_the_mirror_as_from_the_store(path: Path) -> None:
    """Whole or a window of them, to the last bit, read-only; other programs see instants of UTC."""
    export(path)

    whole = read_mirror(mirror_folder(path), "ETH/USD:USD", HOUR_NS)
    window = read_mirror(mirror_folder(path), "BTCUSD", MINUTE_NS, 2 * MINUTE_NS, 4 * MINUTE_NS)
    empty = read_mirror(mirror_folder(path), "BTCUSD", MINUTE_NS, 9 * MINUTE_NS, 3 * MINUTE_NS)
    with HistoricalDataStore(path, read_only=True) as store:
        stored = store.read_bars("ETH/USD:USD", HOUR_NS)

    assert fingerprint_bars({"a": whole}) == fingerprint_bars({"a": stored})
    assert (whole.price_side, whole.close.flags.writeable, whole.close.flags.c_contiguous) == ("bid", False, True)
    assert ((window.open_ns // MINUTE_NS).tolist(), empty.loaded) == ([2], 0)
    assert str(pq.read_schema(mirror_folder(path) / BTC).field("open_time").type) == "timestamp[ns, tz=UTC]"


def test_a_changed_series_is_written_anew_and_the_others_are_not_touched(path: Path) -> None:
    """One file for the whole series; the file of the other keeps its very time stamp."""
    export(path)
    untouched = (mirror_folder(path) / ETH).stat()
    with HistoricalDataStore(path) as store:
        store.write_bars(make([3, 5]), source="test")

    report = export(path)

    assert ([one.file for one in report.written], [one.file for one in report.unchanged]) == ([BTC], [ETH])
    assert (mirror_folder(path) / ETH).stat().st_mtime_ns == untouched.st_mtime_ns
    assert (mirror_folder(path) / ETH).stat().st_ino == untouched.st_ino
    assert (read_mirror(mirror_folder(path), "BTCUSD", MINUTE_NS).open_ns // MINUTE_NS).tolist() == [1, 2, 3, 4, 5]


def test_files_of_series_that_are_gone_stay_until_they_are_pruned(path: Path) -> None:
    """They may be the only copies; one symbol is enough to name them, even one that the store does not know."""
    export(path)
    before = files_of(mirror_folder(path))
    with HistoricalDataStore(path) as store:
        store.delete_series("ETH/USD:USD", HOUR_NS)

    reports = [export(path), export(path, "BTCUSD", prune=True), export(path, "ETH/USD:USD")]
    kept = files_of(mirror_folder(path))
    pruned = export(path, "ETH/USD:USD", prune=True)

    assert [(one.kept, one.removed) for one in reports] == [((ETH,), ()), ((), ()), ((ETH,), ())]
    assert kept == before
    assert (pruned.kept, pruned.removed) == ((), (ETH,))
    assert sorted(files_of(mirror_folder(path))) == ["mirror.json", BTC]
    assert not (mirror_folder(path) / ETH).parents[2].exists()
    with pytest.raises(PreflightError, match="has no bars of ETH/USD:USD"):
        export(path, "ETH/USD:USD")


def test_a_series_without_its_rows_does_not_write_over_its_copy(path: Path) -> None:
    """The store lists bars and has none of them: what the mirror holds is better than nothing."""
    export(path)
    before = files_of(mirror_folder(path))
    put_rows(path, [])

    report = export(path, "BTCUSD")

    assert "expected 3 bars as the store lists them, found none" in report.refused[0]
    assert files_of(mirror_folder(path)) == before


def test_a_file_in_the_place_of_another_is_no_partition(path: Path, tmp_path: Path) -> None:
    """A copied folder would otherwise be the same series twice, or another price side."""
    export(path)
    folder = mirror_folder(path)
    misplaced = [BTC.replace("BTCUSD", "ZZZ"), BTC.replace("price=trade", "price=ask"), BTC.replace("1m", "5m")]
    for place in misplaced:
        (folder / place).parent.mkdir(parents=True)
        shutil.copy(folder / BTC, folder / place)

    found, spoiled = scan_mirror(folder)

    assert [one.file for one in found] == [BTC, ETH]
    assert sorted(str(one.file) for one in spoiled) == sorted(misplaced)
    assert all(f"it contradicts its place: {BTC} is where it belongs" in one.sentence for one in spoiled)
    with pytest.raises(DataError, match="it contradicts its place"):
        read_mirror(folder, "BTCUSD", MINUTE_NS, price_side="ask")
    with HistoricalDataStore(tmp_path / "other.duckdb") as store, pytest.raises(DataError, match="contradicts"):
        import_mirror(folder, store)


def test_a_series_is_restored_bar_by_bar(path: Path) -> None:
    """What was lost or changed comes back, each with a line in the heal log; what only the store has stays."""
    with HistoricalDataStore(path) as store:
        store.write_instrument("BTCUSD", "crypto", {"tick": 0.5})
    export(path)
    rows = rows_of(path)
    with HistoricalDataStore(path) as store:
        store.write_bars(make([9]), source="test")
    newer = rows_of(path)[3]
    changed = (*rows[0][:5], 77.0)
    put_rows(path, [newer, changed, changed, rows[1]])

    with HistoricalDataStore(path) as store:
        first, second = (restore_series(mirror_folder(path), store, "BTCUSD") for _ in range(2))
        log = [(one.open_ns // MINUTE_NS, one.action) for one in store.read_heal_log()]
        info = store.series_of("BTCUSD")[0]

    assert (first[0].written, second[0].written, second[0].changes) == (1, 0, ())
    assert [action for _, action in log] == [
        "moved into time order", "removed duplicate", "put back from the mirror", "put back from the mirror"
    ]  # fmt: skip
    assert [minute for minute, _ in log[2:]] == [1, 4]
    assert (rows_of(path), info.bars, info.last_ns) == ([*rows, newer], 4, 9 * MINUTE_NS)


def test_a_copy_of_another_source_is_not_put_back(path: Path) -> None:
    """One series never mixes two; nothing changes."""
    export(path)
    with HistoricalDataStore(path) as store:
        store.delete_series("BTCUSD", MINUTE_NS)
        store.write_bars(make([1, 2, 5], at=7.0), source="elsewhere")
        before = store.list_series()

        with pytest.raises(DataError, match="the copy of a series from 'test', and the store has one from 'elsewhere'"):
            restore_series(mirror_folder(path), store, "BTCUSD")

        assert (store.list_series(), store.read_heal_log()) == (before, [])


def test_export_import_export_is_the_identity(path: Path, tmp_path: Path) -> None:
    """A store made of a mirror has its fingerprint and makes the same bytes; importing again adds nothing."""
    export(path)
    other = tmp_path / "other.duckdb"
    with HistoricalDataStore(other) as store:
        counts = [[new for _, new in import_mirror(mirror_folder(path), store)] for _ in range(2)]
        instrument = store.read_instrument("BTCUSD")

    export(other)

    assert counts == [[3, 3], [0, 0]]
    assert instrument == {"tick": 0.1, "calendar": "24/7"}
    assert store_fingerprint(other) == store_fingerprint(path)
    assert files_of(mirror_folder(other)) == files_of(mirror_folder(path))


@pytest.mark.slow
@settings(max_examples=25)
@given(minutes=st.lists(st.integers(0, 10**6), min_size=1, max_size=8, unique=True).map(sorted), data=st.data())
def test_whatever_is_exported_is_imported_to_the_last_bit(
    minutes: list[int], data: st.DataObject, two_stores: tuple[HistoricalDataStore, HistoricalDataStore]
) -> None:
    """Any finite numbers at any minutes: mirror, second store and its mirror hold the same bits."""
    one, other = two_stores
    symbol = f"S{len(one.list_series())}"
    bars = make(minutes, symbol=symbol)
    for name in COLUMNS[1:]:
        numbers = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=bars.loaded, max_size=bars.loaded)
        getattr(bars, name)[:] = data.draw(numbers)
    folders = [mirror_folder(store.path) for store in two_stores]

    one.write_bars(bars, source="test")
    export_mirror(one, folders[0], symbol=symbol)
    read = read_mirror(folders[0], symbol, MINUTE_NS)
    other.write_bars(read, source="test")
    export_mirror(other, folders[1], symbol=symbol)

    assert fingerprint_bars({symbol: read}) == fingerprint_bars({symbol: bars})
    assert [path.read_bytes() for path in (folders[0] / f"symbol={symbol}").rglob("*.parquet")] == [
        path.read_bytes() for path in (folders[1] / f"symbol={symbol}").rglob("*.parquet")
    ]


def test_a_file_of_the_mirror_imports_as_any_file_of_bars(path: Path, tmp_path: Path) -> None:
    """Its time column says that stamps are opens in UTC; the bars are the same."""
    export(path)
    answers = ImportAnswers(symbol="BTCUSD", kind="crypto", price="trade", source="test")
    with HistoricalDataStore(tmp_path / "other.duckdb") as store:
        run_import(inspect_file(mirror_folder(path) / BTC, answers), store)
        found = store.read_bars("BTCUSD", MINUTE_NS)

    assert fingerprint_bars({"BTCUSD": found}) == fingerprint_bars({"BTCUSD": make([1, 2, 4])})


def test_a_mirror_with_another_fingerprint_is_not_read(path: Path) -> None:
    """Whoever knows what the rows must be gets these or a sentence."""
    export(path)
    good = fingerprint_bars({"BTCUSD": make([1, 2, 4])})

    assert read_mirror(mirror_folder(path), "BTCUSD", MINUTE_NS, fingerprint=good).loaded == 3
    with pytest.raises(DataError, match="is not that of the store as it is now; bring it up to date"):
        read_mirror(mirror_folder(path), "BTCUSD", MINUTE_NS, fingerprint="0" * 32)
    with pytest.raises(DataError, match="has no 1h bars of BTCUSD"):
        read_mirror(mirror_folder(path), "BTCUSD", HOUR_NS)


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9])
def test_a_damaged_file_is_never_read_and_the_next_export_writes_it_anew(path: Path, at: float) -> None:
    """One bit anywhere, or half of the file: a sentence, not numbers."""
    export(path)
    file = mirror_folder(path) / BTC
    whole = file.read_bytes()
    spoiled = bytearray(whole)
    spoiled[int(len(whole) * at)] ^= 1
    found = []
    for content in (bytes(spoiled), whole[: int(len(whole) * at)]):
        file.write_bytes(content)
        try:
            found.append(fingerprint_bars({"BTCUSD": read_mirror(mirror_folder(path), "BTCUSD", MINUTE_NS)}))
        except DataError as error:
            found.append("damaged" if "is no whole file of a mirror" in error.message else error.message)

    # A bit of padding or of a name that nobody reads changes no number.
    assert found[0] in ("damaged", fingerprint_bars({"BTCUSD": make([1, 2, 4])}))
    assert found[1] == "damaged"
    assert [one.file for one in export(path).written] == [BTC]
    assert file.read_bytes() == whole


@pytest.mark.parametrize("damage", ["rows", "end", "gone", "list gone", "list damaged"])
def test_of_a_damaged_mirror_nothing_is_imported(path: Path, tmp_path: Path, damage: str) -> None:
    """The whole import is one transaction: whichever file is damaged or missing is named, and no other is stored."""
    folder = mirror_folder(path)
    export(path)
    file = folder / (ETH if damage in ("rows", "end", "gone") else "mirror.json")
    whole = file.read_bytes()
    if damage == "rows":
        table = pq.read_table(file)
        pq.write_table(table.slice(1), file)  # its own fingerprint stays in it
    elif damage.endswith("gone"):
        file.unlink()
    else:
        file.write_bytes(whole[: len(whole) // 2])

    with HistoricalDataStore(tmp_path / "other.duckdb") as store:
        with pytest.raises(DataError) as raised:
            import_mirror(folder, store)
        stored = [store.list_series(), store.read_import_log(), store.read_instrument("BTCUSD")]
        file.write_bytes(whole)
        again = [new for _, new in import_mirror(folder, store)]

    assert str(file) in raised.value.message
    assert (stored, again) == ([[], [], None], [3, 3])


def test_a_mirror_that_contradicts_the_store_is_not_imported(path: Path, tmp_path: Path) -> None:
    """The file is named, and the series before it is not stored either."""
    export(path)
    with HistoricalDataStore(tmp_path / "other.duckdb") as store:
        odd = make([60], symbol="ETH/USD:USD", timeframe_ns=HOUR_NS, side="bid", at=7.0)
        store.write_bars(odd, source="other", kind="fx")

        with pytest.raises(DataError, match="does not fit what .* holds: .* is stored with open 17.0") as raised:
            import_mirror(mirror_folder(path), store)

        assert str(mirror_folder(path) / ETH) in raised.value.message
        assert [info.symbol for info in store.list_series()] == ["ETH/USD:USD"]


def test_a_mirror_without_its_list_is_mended_by_an_export(path: Path) -> None:
    """Its files say that it is one."""
    export(path)
    (mirror_folder(path) / "mirror.json").unlink()
    found, missing = scan_mirror(mirror_folder(path))

    report = export(path)

    assert ([one.symbol for one in found], len(missing)) == (["BTCUSD", "ETH/USD:USD"], 1)
    assert (len(report.unchanged), scan_mirror(mirror_folder(path))[1]) == (2, [])


def test_a_series_with_wrong_bars_is_not_mirrored(path: Path) -> None:
    """The sentence names it and the command that mends it; the file of the last good export stays."""
    export(path)
    before = files_of(mirror_folder(path))
    rows = rows_of(path)
    put_rows(path, [rows[1], rows[0], rows[2]])

    report = export(path)

    assert (report.written, len(report.unchanged), len(report.refused)) == ((), 1, 1)
    assert "in time order" in report.refused[0]
    assert "data heal BTCUSD" in report.refused[0]
    assert files_of(mirror_folder(path)) == before


def test_only_an_empty_folder_or_a_mirror_is_written_to(path: Path) -> None:
    """Somebody's own folder is left alone."""
    mirror_folder(path).mkdir()
    (mirror_folder(path) / "thesis.txt").write_text("mine", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"found thesis\.txt and no mirror\.json"):
        export(path)
    with (
        HistoricalDataStore(path) as store,
        pytest.raises(ConfigError, match="expected a file of bars or the folder of a mirror"),
    ):
        import_mirror(mirror_folder(path), store)

    assert sorted(files_of(mirror_folder(path))) == ["thesis.txt"]


def test_two_exports_do_not_meet(path: Path) -> None:
    """The second is refused at once."""
    export(path)

    with FileLock(mirror_folder(path) / ".lock"), pytest.raises(DataError, match="another program exports to"):
        export(path)


def test_symbols_that_differ_only_in_capitals_are_refused(path: Path, bars: MakeBars) -> None:
    """Their folders would be one on many systems."""
    with HistoricalDataStore(path) as store:
        store.write_bars(bars([1], symbol="btcusd"), source="test")

    with pytest.raises(ConfigError, match="BTCUSD and btcusd differ only in capitals"):
        export(path)
    assert len(export(path, "BTCUSD").written) == 1


def test_a_mirror_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """Nothing is created by looking."""
    assert list_mirror(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
