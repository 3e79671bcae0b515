"""Importing files of quotes and trades, and bars of several price sides."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.core.errors import ConfigError, DataError
from src.core.timeframe import MINUTE_NS
from src.data.importing import ImportAnswers, inspect_file, run_import
from src.data.store import HistoricalDataStore

UTC = dt.UTC
NOON = dt.datetime(2024, 8, 8, 12, 0, tzinfo=UTC)
NOON_NS = 1_723_118_400_000_000_000
TOLD = ImportAnswers(symbol="BTCUSDT", kind="crypto")


def put(folder: Path, name: str = "BTCUSDT.parquet", **columns: Any) -> Path:
    """A Parquet file of these columns."""
    path = folder / name
    pq.write_table(pa.table(columns), path)
    return path


def at(*milliseconds: int) -> pa.Array:
    """Instants so many milliseconds after noon."""
    moments = [NOON + dt.timedelta(milliseconds=one) for one in milliseconds]
    return pa.array(moments, pa.timestamp("us", "UTC"))


def test_quotes_are_stored_in_the_order_of_their_rows(tmp_path: Path, store: HistoricalDataStore) -> None:
    """Rows of one stamp keep their order, whatever their numbers are; sizes that are absent are 0 and said to be."""
    path = put(tmp_path, ts=at(0, 5, 5, 5), bid=[3.0, 9.0, 1.0, 4.0], ask=[4.0, 8.0, 2.0, 5.0], note=["a"] * 4)
    plan = inspect_file(path, TOLD)
    report = run_import(plan, store)

    tape = store.read_quotes("BTCUSDT")
    assert (tape.ts_ns - NOON_NS).tolist() == [0, 5_000_000, 5_000_000, 5_000_000]
    assert (tape.bid.tolist(), tape.ask.tolist()) == ([3.0, 9.0, 1.0, 4.0], [4.0, 8.0, 2.0, 5.0])
    assert tape.bid_size.tolist() == [0.0] * 4
    assert plan.notes[:2] == ("ignored: note", "there is no bid_size: every one is 0.0")
    assert (report.holds, report.rows, report.written, report.price_side) == ("quotes", 4, 4, "")


def test_trades_keep_the_number_of_the_venue(tmp_path: Path, store: HistoricalDataStore) -> None:
    """Numbers are stored to the last digit, and who was resting."""
    number = 2**53 + 1
    path = put(
        tmp_path, ts=at(0, 0), trade_id=[number, number + 2], price=[5.0, 6.0], qty=[0.1, 0.2],
        buyer_is_maker=[True, False],
    )  # fmt: skip
    run_import(inspect_file(path, TOLD), store)

    tape = store.read_trades("BTCUSDT")
    assert (tape.trade_id.tolist(), tape.volume.tolist()) == ([number, number + 2], [0.1, 0.2])
    assert tape.buyer_is_maker.tolist() == [True, False]


def test_the_same_ticks_again_change_nothing(tmp_path: Path, store: HistoricalDataStore) -> None:
    """An import that is repeated stores nothing twice, and keeps the instrument that is known already."""
    path = put(tmp_path, ts=at(0, 1), bid=[3.0, 4.0], ask=[4.0, 5.0])
    store.write_instrument("BTCUSDT", "crypto", {"kind": "perpetual", "tick": 0.1})
    first, second = (run_import(inspect_file(path, TOLD), store) for _ in range(2))

    assert (first.written, second.written) == (2, 0)
    assert second.instrument == {"kind": "perpetual", "tick": 0.1}
    assert len(store.read_quotes("BTCUSDT")) == 2


def test_what_ticks_do_not_say_is_asked(tmp_path: Path) -> None:
    """The symbol, its kind, and the zone of stamps without one; nothing that only bars have."""
    naive = pa.array([NOON.replace(tzinfo=None)], pa.timestamp("us"))
    plan = inspect_file(put(tmp_path, ts=naive, bid=[3.0], ask=[4.0]), ImportAnswers(timeframe="1m"))

    assert [(one.key, one.default) for one in plan.questions] == [
        ("symbol", "BTCUSDT"), ("kind", "crypto"), ("zone", "UTC"),
    ]  # fmt: skip
    assert "--timeframe is not needed: these are quotes, not bars" in plan.notes
    with pytest.raises(ConfigError, match="--symbol: the name under which the ticks are stored"):
        plan.refuse_questions()


def test_ticks_are_no_bars(tmp_path: Path) -> None:
    """Whoever needs bars is told what the file holds."""
    plan = inspect_file(put(tmp_path, ts=at(0), bid=[3.0], ask=[4.0]), TOLD)

    with pytest.raises(ConfigError, match=r"holds quotes; expected bars"):
        plan.require_complete()


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"ts": at(5, 1), "bid": [1.0, 1.0], "ask": [2.0, 2.0]},
            r"row 2: expected events in time order, found .*00\.001Z",
        ),
        ({"ts": at(0, 1), "bid": [1.0, 0.0], "ask": [2.0, 2.0]}, "row 2: expected a price above zero as bid"),
        ({"ts": at(0), "bid": [1.0], "ask": [None]}, "row 1: expected a value as ask, found none"),
        ({"ts": at(0), "price": [1.0], "qty": [-1.0]}, "row 1: expected a number of 0 or more as volume"),
        ({"ts": at(0, 1), "symbol": ["A", "B"], "bid": [1.0, 1.0], "ask": [2.0, 2.0]}, "one symbol, found A, B"),
    ],
)
def test_ticks_that_cannot_be_right_are_refused_by_row(columns: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    """The first wrong row is named before anything is stored."""
    with pytest.raises(DataError, match=sentence):
        inspect_file(put(tmp_path, **{key: pa.array(values) for key, values in columns.items()}), TOLD)


def test_ticks_of_histdata_are_quotes_in_the_time_of_new_york(tmp_path: Path, store: HistoricalDataStore) -> None:
    """The vendor's layout is recognised, its zone suggested and asked for; milliseconds are kept."""
    path = tmp_path / "DAT_ASCII_EURUSD_T_201204.csv"
    path.write_text("20120402 000003660,1.334600,1.334900,0\n20120402 000003660,1.3345,1.3348,0\n", encoding="utf-8")
    asked = inspect_file(path, ImportAnswers())
    run_import(inspect_file(path, ImportAnswers(symbol="EURUSD", kind="fx", zone="America/New_York")), store)

    tape = store.read_quotes("EURUSD")
    assert [(one.key, one.default) for one in asked.questions] == [
        ("symbol", "EURUSD"), ("kind", "fx"), ("zone", "America/New_York"),
    ]  # fmt: skip
    assert tape.ts_ns.tolist() == [1_333_339_203_660_000_000] * 2
    assert (tape.bid.tolist(), tape.ask.tolist()) == ([1.3346, 1.3345], [1.3349, 1.3348])


def test_a_broken_line_of_histdata_is_named(tmp_path: Path) -> None:
    """What is no tick is refused with its line."""
    path = tmp_path / "DAT_ASCII_EURUSD_T_201204.csv"
    path.write_text("20120402 000003660,1.334600,1.334900,0\n20120402 000004,1.3345\n", encoding="utf-8")

    with pytest.raises(DataError, match="line 2: expected a tick such as"):
        inspect_file(path, TOLD)


def bars_with_sides(folder: Path) -> Path:
    """Two minutes of bid bars with ask columns; in the second one nothing was asked."""
    return put(
        folder, ts=at(0, 60_000), open=[1.0, 2.0], high=[1.5, 2.5], low=[0.5, 1.5], close=[1.0, 2.0],
        volume=[7.0, 8.0], ask_open=[1.1, None], ask_high=[1.6, None], ask_low=[0.6, None], ask_close=[1.1, None],
    )  # fmt: skip


def test_columns_of_another_side_are_a_series_of_their_own(tmp_path: Path, store: HistoricalDataStore) -> None:
    """Bid bars and ask bars of one file lie side by side; a minute without an ask has no ask bar."""
    answers = ImportAnswers(symbol="EURUSD", kind="fx", timeframe="1m", stamp="open", price="bid")
    plan = inspect_file(bars_with_sides(tmp_path), answers)
    report = run_import(plan, store)

    asks = store.read_bars("EURUSD", MINUTE_NS, price_side="ask")
    assert store.read_bars("EURUSD", MINUTE_NS).close.tolist() == [1.0, 2.0]
    assert (asks.high.tolist(), asks.volume.tolist()) == ([1.6], [0.0])
    assert (report.price_side, report.sides) == ("bid", ("ask",))
    assert plan.notes == ("ask_open to ask_close are bars of the ask price, stored beside the others",)


def test_a_side_that_is_asked_for_comes_from_its_own_columns(tmp_path: Path) -> None:
    """`--price ask` takes the ask columns and not the plain ones, which are of another side."""
    answers = ImportAnswers(symbol="EURUSD", kind="fx", timeframe="1m", stamp="open", price="ask")
    plan = inspect_file(bars_with_sides(tmp_path), answers)
    series = plan.require_complete()

    assert (series.price_side, series.open.tolist(), plan.sides) == ("ask", [1.1], ())


@pytest.mark.slow
@pytest.mark.real_data
def test_every_recorded_file_of_ticks_is_read_back_row_for_row(real_data_dir: Path, store: HistoricalDataStore) -> None:
    """Recorded quotes and trades, many in one millisecond: all numbers of all rows, in the order of the file."""
    names = {
        "quotes": {"bid": "bid", "ask": "ask", "bid_size": "bid_size", "ask_size": "ask_size"},
        "trades": {"price": "price", "qty": "volume", "buyer_is_maker": "buyer_is_maker", "trade_id": "trade_id"},
    }
    paths = [*real_data_dir.glob("*_quotes_*.parquet"), *real_data_dir.glob("*_trades_*.parquet"),
             *real_data_dir.glob("*_tick_*.parquet")]  # fmt: skip
    for path in sorted(paths):
        plan = inspect_file(path, ImportAnswers(symbol=path.stem, kind="fx"))
        run_import(plan, store)
        tape = store.read_quotes(path.stem) if plan.holds == "quotes" else store.read_trades(path.stem)
        table = pq.read_table(path)
        stamps = table.column("ts").cast(pa.int64()).to_numpy() * 1000

        assert np.array_equal(tape.ts_ns, stamps), path.name
        for column, kept in names[plan.holds].items():
            if column in table.column_names:
                assert np.array_equal(getattr(tape, kept), table.column(column).to_numpy()), (path.name, column)
    assert len(paths) == 6
