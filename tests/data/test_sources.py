"""Sources of bars that are no exchange: files, frames, the synthetic market, and the template."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from src.core.bars import BarSeries
from src.core.errors import BrokerUnavailable, ConfigError, DataError
from src.core.timeframe import HOUR_NS, MINUTE_NS, parse_instant
from src.data.sources import SOURCES, source_named
from src.data.sources._template import template_source
from src.data.sources.asking import Patience, Unanswered, ask
from src.data.sources.frame import frame_series, frame_source, import_frame
from src.data.store import HistoricalDataStore
from src.data.syncing import sync_bars

pytest.importorskip("ccxt")  # imported here, so that no single test pays for it

START_NS = parse_instant("2024-01-01")
CSV = "timestamp,open,high,low,close,volume\n" + "".join(
    f"{(START_NS + minute * MINUTE_NS) // 1_000_000},{minute + 2},{minute + 3},{minute + 1},{minute + 2},1\n"
    for minute in (0, 1, 2, 5)
)


def frame(zone: str | None = "UTC") -> pd.DataFrame:
    """Three minutes with a time index."""
    index = pd.date_range("2024-01-01", periods=3, freq="min", tz=zone)
    prices = [2.0, 3.0, 4.0]
    return pd.DataFrame(
        {"Open": prices, "High": [3.0, 4.0, 5.0], "Low": [1.0, 2.0, 3.0], "Close": prices, "Volume": [1, 2, 3]}, index
    )


def minutes_of(series: BarSeries) -> list[int]:
    """The opens as minutes since the start of 2024."""
    return [(int(open_ns) - START_NS) // MINUTE_NS for open_ns in series.open_ns]


def test_every_source_of_the_table_can_be_made(tmp_path: Path) -> None:
    """A name of the table leads to a factory that makes a source with a name."""
    (tmp_path / "a.csv").write_text(CSV, encoding="utf-8")
    frame().reset_index(names="ts").to_parquet(tmp_path / "a.parquet")
    answers = {"symbol": "BTCUSDT", "kind": "crypto", "stamp": "open", "price": "trade"}
    made = {
        "ccxt": source_named("ccxt:binanceusdm"),
        "csv": source_named(f"csv:{tmp_path / 'a.csv'}", options=answers),
        "parquet": source_named(f"parquet:{tmp_path / 'a.parquet'}", options=answers),
        "synthetic": source_named("synthetic:7"),
    }
    for source in made.values():
        source.close()

    assert made.keys() == SOURCES.keys()
    assert [source.name for source in made.values()] == [
        "ccxt:binanceusdm", "ccxt", "a", "SYNTHETIC seed 7 from 2024-01-01",
    ]  # fmt: skip


def test_a_file_is_synced_like_an_exchange(tmp_path: Path, store: HistoricalDataStore) -> None:
    """All of its bars are stored once; the last one has closed, because the file is all there is."""
    path = tmp_path / "BTCUSDT.csv"
    path.write_text(CSV, encoding="utf-8")
    answers = {"symbol": "BTCUSDT", "kind": "crypto", "stamp": "open", "price": "trade"}
    source = source_named(f"csv:{path}", options=answers)
    first = sync_bars(store, source, "BTCUSDT", MINUTE_NS, START_NS)
    second = sync_bars(store, source, "BTCUSDT", MINUTE_NS, START_NS)

    assert minutes_of(store.read_bars("BTCUSDT", MINUTE_NS)) == [0, 1, 2, 5]
    assert (first.written, second.received, second.written) == (4, 4, 0)


def test_a_window_of_the_synthetic_market_is_the_same_however_it_is_asked_for() -> None:
    """The market has a fixed beginning: a window holds the same bars alone, in pieces, or after another."""

    def asked(*hours: tuple[int, int]) -> list[tuple[float, ...]]:
        source = source_named("synthetic:7")
        pieces = [
            piece
            for start, end in hours
            for piece in source.bars("BTCUSDT", MINUTE_NS, START_NS + start * HOUR_NS, START_NS + end * HOUR_NS)
        ]
        return [(*piece.open_ns.tolist(), *piece.close.tolist()) for piece in pieces]

    whole = np.concatenate([np.array(piece) for piece in asked((2, 3), (3, 4))])

    assert asked((3, 4)) == asked((2, 3), (3, 4))[1:]
    assert len(whole) > 200


def test_a_source_that_cannot_be_made_is_a_sentence() -> None:
    """Wrong names, missing files, options that nobody knows."""
    for text, sentence in (
        ("yahoo:X", "expected a source such as ccxt:binanceusdm"),
        ("synthetic:seven", "expected a seed after synthetic:"),
        ("csv:", "expected a file after csv:"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            source_named(text)
    with pytest.raises(ConfigError, match="expected options among symbol, kind"):
        source_named("csv:a.csv", options={"colour": "red"})
    with pytest.raises(DataError, match="does not exist"):
        source_named("parquet:absent.parquet")


def test_the_template_is_a_source(store: HistoricalDataStore) -> None:
    """What a user copies works as it stands."""
    source = template_source("100", options={}, venues={})
    report = sync_bars(store, source, "X", MINUTE_NS, START_NS)

    assert (report.written, store.list_series()[0].source) == (1440, "template:100")


# ------------------------------------------------------------------------------------------------- pandas


def test_a_frame_is_imported(tmp_path: Path) -> None:
    """Columns in any case, times as the index: the bars are stored with the given symbol."""
    path = tmp_path / "market.duckdb"
    report = import_frame(frame(), symbol="BTCUSDT", store=path)

    with HistoricalDataStore(path, read_only=True) as store:
        series = store.read_bars("BTCUSDT", MINUTE_NS)
    assert (report.written, report.source, report.kind) == (3, "frame", "crypto")
    assert (minutes_of(series), series.volume.tolist()) == ([0, 1, 2], [1.0, 2.0, 3.0])


def test_times_of_a_frame_may_be_a_column_and_in_any_zone_and_unit() -> None:
    """An instant is an instant, whatever the frame counts in."""
    moved = frame("America/New_York").reset_index(names="timestamp")
    moved["timestamp"] = moved["timestamp"].dt.as_unit("s")
    series = frame_series(moved, symbol="X", timeframe="1m")

    assert minutes_of(series) == [300, 301, 302]


def test_a_frame_with_local_times_needs_their_zone() -> None:
    """Without it nothing is guessed; with it the instants are right."""
    with pytest.raises(ConfigError, match="please add zone= for the zone"):
        frame_series(frame(None), symbol="X")

    assert minutes_of(frame_series(frame(None), symbol="X", zone="America/New_York")) == [300, 301, 302]


def test_wrong_rows_of_a_frame_are_refused_by_number() -> None:
    """A frame is judged like a file."""
    wrong = frame()
    wrong.iloc[1, 1] = 0.5
    with pytest.raises(DataError, match="the frame, row 2: expected high at or above low"):
        frame_series(wrong, symbol="X")
    with pytest.raises(DataError, match="expected a number as open, found nan"):
        frame_series(frame().assign(Open=[1.0, float("nan"), 3.0]), symbol="X")
    with pytest.raises(DataError, match="expected columns for low"):
        frame_series(frame().drop(columns="Low"), symbol="X")
    with pytest.raises(DataError, match="at least one bar"):
        frame_series(frame().iloc[:0], symbol="X")


def test_the_caller_may_go_on_writing_to_the_frame() -> None:
    """The stored arrays are copies: neither side sees the other's changes."""
    mine = frame()
    series = frame_series(mine, symbol="X")
    mine.iloc[0, 0] = 77.0

    assert series.open[0] == 2.0


def test_a_frame_can_fill_what_is_missing(store: HistoricalDataStore) -> None:
    """A frame is a source as well, for whoever asks sources for windows."""
    source = frame_source(frame(), symbol="BTCUSDT", source="mine")
    import_frame(frame().iloc[[0, 2]], symbol="BTCUSDT", store=store, source="mine", timeframe="1m")
    report = sync_bars(store, source, "BTCUSDT", MINUTE_NS, START_NS)

    assert report.written == 1
    assert minutes_of(store.read_bars("BTCUSDT", MINUTE_NS)) == [0, 1, 2]


# ------------------------------------------------------------------------------------------------- asking again


def test_delays_double_up_to_the_longest() -> None:
    """The same failures give the same delays on every machine."""
    waits: list[float] = []

    def never() -> None:
        raise Unanswered("nobody is there")

    with pytest.raises(BrokerUnavailable, match="somebody did not answer, asked 5 times: nobody is there"):
        ask(never, "somebody", waits.append, Patience(tries=5, first_s=2.0, longest_s=9.0))

    assert waits == [2.0, 4.0, 8.0, 9.0]
