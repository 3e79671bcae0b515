"""The synthetic market's own file: whole or absent, reused, never in place of something else."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from src.core.bars import BarSeries
from src.core.errors import DataError, PreflightError
from src.core.timeframe import HOUR_NS, MINUTE_NS, parse_instant
from src.data.lease import snapshot_lease
from src.data.store import HistoricalDataStore
from src.data.stores import store_fingerprint
from src.data.synthetic import SyntheticSpec, default_symbol, generate, source_text
from src.data.synthetic_store import MemoryStore, market_store
from src.data.synthetic_ticks import generate_ticks

SPEC = SyntheticSpec(
    seed=7, start_ns=0, end_ns=6 * HOUR_NS, symbols=(default_symbol("BTCUSDT"), default_symbol("ETHUSDT"))
)
COLUMNS = ("open_ns", "open", "high", "low", "close", "volume")


def content(series: BarSeries) -> list[list[float]]:
    """The columns as plain numbers."""
    return [getattr(series, column).tolist() for column in COLUMNS]


def test_the_file_holds_the_generated_bars_and_their_source(tmp_path: Path) -> None:
    """What is read back equals what was generated, and every series says SYNTHETIC, seed and hash."""
    path = tmp_path / "new" / "market.duckdb"
    market_store(SPEC, path)
    with HistoricalDataStore(path, read_only=True) as store:
        sources = {info.symbol: (info.source, info.price_side) for info in store.list_series()}
        found = {symbol: content(store.read_bars(symbol, MINUTE_NS)) for symbol in sources}

    assert found == {symbol: content(series) for symbol, series in generate(SPEC).items()}
    assert set(sources.values()) == {(source_text(SPEC), "trade")}
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "market.duckdb",
        "market.duckdb.lease",
        "market.duckdb.lock",
    ]


def test_a_file_of_the_same_market_is_used_again(tmp_path: Path) -> None:
    """The second call leaves the file alone, in identity and in time of change."""
    path = tmp_path / "market.duckdb"
    market_store(SPEC, path)
    before = path.stat()
    market_store(SPEC, path)
    after = path.stat()

    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "change", ["UPDATE bars SET close = close * 2 WHERE open_ns = 0", "DELETE FROM bars WHERE open_ns = 0"]
)
def test_a_file_whose_bars_are_not_those_that_were_generated_is_replaced(tmp_path: Path, change: str) -> None:
    """Its rows are compared with the digest that was stored with them, whatever its list of series says."""
    path = tmp_path / "market.duckdb"
    market_store(SPEC, path)
    whole = store_fingerprint(path)
    with duckdb.connect(str(path)) as connection:
        connection.execute(change)
    changed = store_fingerprint(path)

    market_store(SPEC, path)

    assert store_fingerprint(path) == whole != changed


def test_a_file_of_an_earlier_version_is_taken_at_its_word(tmp_path: Path) -> None:
    """It has no digest of its bars, and is used as it is."""
    path = tmp_path / "market.duckdb"
    market_store(SPEC, path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM import_log")
    before = path.stat().st_ino

    market_store(SPEC, path)

    assert path.stat().st_ino == before


@pytest.mark.parametrize("change", [{"seed": 8}, {"end_ns": 7 * HOUR_NS}, {"symbols": SPEC.symbols[:1]}])
def test_a_file_of_another_synthetic_market_is_replaced(tmp_path: Path, change: dict[str, object]) -> None:
    """A changed specification gives a new file that holds nothing of the old one."""
    path = tmp_path / "market.duckdb"
    market_store(SPEC, path)
    changed = replace(SPEC, **change)  # type: ignore[arg-type] # any field
    market_store(changed, path)
    with HistoricalDataStore(path, read_only=True) as store:
        found = [(info.symbol, info.source) for info in store.list_series()]

    assert found == [(symbol.symbol, source_text(changed)) for symbol in changed.symbols]


def test_a_file_with_imported_bars_is_never_replaced(tmp_path: Path) -> None:
    """Anything that is not synthetic stays as it was, and the sentence names what was found."""
    path = tmp_path / "market.duckdb"
    with HistoricalDataStore(path) as store:
        store.write_bars(generate(SPEC)["BTCUSDT"], source="bars.csv")
    before = path.read_bytes()

    with pytest.raises(DataError, match=r"BTCUSDT from 'bars\.csv'"):
        market_store(SPEC, path)

    assert path.read_bytes() == before


def test_a_file_that_is_no_store_is_never_replaced(tmp_path: Path) -> None:
    """A text file under the store's name is refused in a sentence and kept."""
    path = tmp_path / "market.duckdb"
    path.write_text("not a database, but somebody's notes\n" * 100)

    with pytest.raises(DataError, match=r"market\.duckdb"):
        market_store(SPEC, path)

    assert path.read_text().startswith("not a database")


def test_a_store_without_bars_and_a_folder_are_refused(tmp_path: Path) -> None:
    """An empty store may be somebody's beginning; a folder is no file."""
    path = tmp_path / "market.duckdb"
    HistoricalDataStore(path).close()

    with pytest.raises(DataError, match="a store without bars"):
        market_store(SPEC, path)
    with pytest.raises(DataError, match="found the folder"):
        market_store(SPEC, tmp_path)


def test_a_folder_that_cannot_be_made_is_refused_in_a_sentence(tmp_path: Path) -> None:
    """A path below a file gives a DataError, not an OSError."""
    (tmp_path / "file").write_text("")

    with pytest.raises(DataError, match="expected to write the synthetic market"):
        market_store(SPEC, tmp_path / "file" / "market.duckdb")


def test_what_a_killed_writer_left_does_not_matter(tmp_path: Path) -> None:
    """A partial file and its log from an earlier attempt are thrown away."""
    path = tmp_path / "market.duckdb"
    (tmp_path / "market.duckdb.partial").write_bytes(b"half a file")
    (tmp_path / "market.duckdb.partial.wal").write_bytes(b"half a log")
    market_store(SPEC, path)
    with HistoricalDataStore(path, read_only=True) as store:
        bars = [info.bars for info in store.list_series()]

    assert bars == [series.loaded for series in generate(SPEC).values()]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "market.duckdb",
        "market.duckdb.lease",
        "market.duckdb.lock",
    ]


# ------------------------------------------------------------------------------------------------ quotes and trades


def mixed() -> SyntheticSpec:
    """Two hours of a coin and of a pair."""
    symbols = default_symbol("BTCUSDT"), default_symbol("EURUSD", kind="fx")
    start_ns = parse_instant("2024-03-04")
    return SyntheticSpec(seed=7, start_ns=start_ns, end_ns=start_ns + 2 * HOUR_NS, symbols=symbols)


def test_a_file_with_ticks_holds_them_beside_the_bars(tmp_path: Path) -> None:
    """Quotes of all, trades of those that have them, read back as they were generated; the kinds are stored."""
    path, spec = tmp_path / "market.duckdb", mixed()
    market_store(spec, path, ticks=True)
    wanted = {name: generate_ticks(spec, series) for name, series in generate(spec).items()}
    with HistoricalDataStore(path, read_only=True) as store:
        tapes = {(info.symbol, info.kind): info.source for info in store.list_tapes()}
        kinds = {info.symbol: (info.kind, info.price_side) for info in store.list_series()}
        bids = {name: store.read_quotes(name).bid.tolist() for name in wanted}
        prices = store.read_trades("BTCUSDT").price.tolist()
    trades = wanted["BTCUSDT"].trades

    assert tapes == dict.fromkeys(
        [("BTCUSDT", "quotes"), ("BTCUSDT", "trades"), ("EURUSD", "quotes")], source_text(spec)
    )
    assert kinds == {"BTCUSDT": ("crypto", "trade"), "EURUSD": ("fx", "bid")}
    assert bids == {name: made.quotes.bid.tolist() for name, made in wanted.items()}
    assert trades is not None
    assert prices == trades.price.tolist()


def test_a_file_gets_ticks_when_they_are_asked_for_and_keeps_them(tmp_path: Path) -> None:
    """Without them it is written anew once; with them it serves those who want bars alone."""
    path, spec = tmp_path / "market.duckdb", mixed()
    market_store(spec, path)
    bars_alone = path.stat().st_ino
    market_store(spec, path, ticks=True)
    with_ticks = path.stat().st_ino
    market_store(spec, path)
    market_store(spec, path, ticks=True)

    assert bars_alone != with_ticks == path.stat().st_ino


def test_a_market_that_somebody_reads_is_not_replaced_under_him(tmp_path: Path) -> None:
    """While a suite holds the file, another market is refused in a sentence; the same one is used beside it."""
    path = tmp_path / "market.duckdb"
    market_store(SPEC, path)
    before = path.read_bytes()
    with snapshot_lease(path):
        market_store(SPEC, path)
        with pytest.raises(DataError, match="open in this program for reading"):
            market_store(replace(SPEC, seed=8), path)

    assert path.read_bytes() == before


# --------------------------------------------------------------------------------------------------------- in memory


def test_a_market_in_memory_reads_as_its_file_does(tmp_path: Path) -> None:
    """Series, windows and read-only columns are those of the store of the same specification."""
    path, spec = tmp_path / "market.duckdb", mixed()
    market_store(spec, path)
    windows = [(None, None), (spec.start_ns + HOUR_NS, None), (None, spec.end_ns - HOUR_NS), (0, 1)]
    with HistoricalDataStore(path, read_only=True) as store, MemoryStore(spec) as memory:
        for name in ("BTCUSDT", "EURUSD"):
            read = [[one.read_bars(name, MINUTE_NS, *window) for window in windows] for one in (store, memory)]

            assert memory.series_of(name) == store.series_of(name)
            assert [content(series) for series in read[1]] == [content(series) for series in read[0]]
            assert [series.price_side for series in read[1]] == [series.price_side for series in read[0]]
            assert not any(getattr(series, column).flags.writeable for series in read[1] for column in COLUMNS)


def test_a_market_in_memory_says_what_it_has() -> None:
    """Another symbol, timeframe or price side is a PreflightError with a sentence."""
    memory = MemoryStore(SPEC)

    with pytest.raises(PreflightError, match="in memory has no bars of SOLUSDT; it has BTCUSDT, ETHUSDT"):
        memory.series_of("SOLUSDT")
    with pytest.raises(PreflightError, match="has no 5m trade bars of BTCUSDT; it has BTCUSDT 1m"):
        memory.read_bars("BTCUSDT", 5 * MINUTE_NS)
    with pytest.raises(PreflightError, match="has no 1m bid bars of BTCUSDT"):
        memory.read_bars("BTCUSDT", MINUTE_NS, price_side="bid")


PROGRAM = """
import sys
from pathlib import Path
from src.core.timeframe import DAY_NS
from src.data.synthetic import SyntheticSpec, default_symbol
from src.data.synthetic_store import market_store
symbols = tuple(default_symbol(name) for name in ("BTCUSDT", "ETHUSDT"))
sys.stdin.read()
market_store(SyntheticSpec(seed=7, start_ns=0, end_ns=5 * DAY_NS, symbols=symbols), Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_processes_that_write_at_once_all_end_with_a_good_file(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Three processes let go together: each succeeds, and the file holds the whole market once."""
    path = tmp_path / "market.duckdb"
    command = [sys.executable, "-c", PROGRAM, str(path)]
    writers = [
        subprocess.Popen(command, cwd=pytestconfig.rootpath, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
        writer.stdin = None
    errors = [writer.communicate(timeout=240)[1] for writer in writers]
    spec = replace(SPEC, end_ns=4 * 5 * 6 * HOUR_NS)
    with HistoricalDataStore(path, read_only=True) as store:
        found = {info.symbol: content(store.read_bars(info.symbol, MINUTE_NS)) for info in store.list_series()}

    assert errors == ["", "", ""]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert found == {symbol: content(series) for symbol, series in generate(spec).items()}
