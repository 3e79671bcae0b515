"""A run's data are complete, derived alike wherever it starts, and named by one fingerprint."""

import struct
from pathlib import Path

import numpy as np
import pytest
import xxhash

from src.core.bars import BarSeries
from src.core.errors import ConfigError, DataError, PreflightError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.fingerprint import fingerprint_bars
from src.data.market import load_market, market_from_series
from src.data.store import HistoricalDataStore
from tests.data.conftest import MakeBars


def minutes(series: BarSeries) -> list[int]:
    """The opens of a series in minutes since the epoch."""
    return [int(at_ns) // MINUTE_NS for at_ns in series.open_ns]


def test_base_and_derived_bars_are_loaded_with_their_warm_up(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Base bars begin with the derived bar that holds the first instant of the warm-up and end before the end."""
    store.write_bars(bars(list(range(100))), source="test")

    market = load_market(
        store, ["BTCUSD"], {"BTCUSD": {5 * MINUTE_NS, MINUTE_NS}}, 30 * MINUTE_NS, 40 * MINUTE_NS, 8 * MINUTE_NS
    )

    assert minutes(market.base["BTCUSD"]) == list(range(20, 40))
    assert minutes(market.derived["BTCUSD", 5 * MINUTE_NS]) == [20, 25, 30, 35]
    assert list(market.derived) == [("BTCUSD", 5 * MINUTE_NS)]
    assert market.series("BTCUSD", MINUTE_NS) is market.base["BTCUSD"]
    assert market.series("BTCUSD", 5 * MINUTE_NS) is market.derived["BTCUSD", 5 * MINUTE_NS]
    assert market.sources == {"BTCUSD": "test"}


def test_a_derived_bar_does_not_depend_on_where_the_run_starts(store: HistoricalDataStore, bars: MakeBars) -> None:
    """The first hourly bar is whole although the warm-up begins inside it."""
    store.write_bars(bars(list(range(300))), source="test")

    early, late = (
        load_market(store, ["BTCUSD"], {"BTCUSD": [HOUR_NS]}, start * MINUTE_NS, 300 * MINUTE_NS, 0).derived[
            "BTCUSD", HOUR_NS
        ]
        for start in (0, 130)
    )

    assert minutes(late) == [120, 180, 240]
    assert late.volume.tolist() == early.volume[2:].tolist()


def test_a_derived_bar_with_an_absent_last_minute_is_complete_inside_the_window(
    store: HistoricalDataStore, bars: MakeBars
) -> None:
    """The window's end is known time: a bar that ended before it is there although its last minute is absent."""
    store.write_bars(bars([0, 1, 2, 3, 4, 5, 6]), source="test")

    market = load_market(store, ["BTCUSD"], {"BTCUSD": [5 * MINUTE_NS]}, 0, 12 * MINUTE_NS, 0)

    assert minutes(market.derived["BTCUSD", 5 * MINUTE_NS]) == [0, 5]


def test_minutes_are_the_base_though_coarser_bars_are_stored_too(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Where minutes exist the hour is derived from them; where they do not, the hour is the base."""
    store.write_bars(bars(list(range(120))), source="test")
    store.write_bars(bars([0, 60], timeframe_ns=HOUR_NS), source="test")
    store.write_bars(bars([0, 60], symbol="EURUSD", timeframe_ns=HOUR_NS, side="bid"), source="other")

    market = load_market(store, ["EURUSD", "BTCUSD"], {"BTCUSD": [HOUR_NS], "EURUSD": [HOUR_NS]}, 0, 120 * MINUTE_NS, 0)

    assert [series.timeframe_ns for series in market.base.values()] == [HOUR_NS, MINUTE_NS]
    assert list(market.derived) == [("BTCUSD", HOUR_NS)]
    assert market.base["EURUSD"].price_side == "bid"


def test_a_symbol_may_begin_late_and_end_early(store: HistoricalDataStore, bars: MakeBars) -> None:
    """What lies inside the window is loaded; nothing is padded."""
    store.write_bars(bars(list(range(100))), source="test")
    store.write_bars(bars([50, 51], symbol="ETHUSD"), source="test")

    market = load_market(store, ["BTCUSD", "ETHUSD"], {}, 10 * MINUTE_NS, 90 * MINUTE_NS, 0)

    assert [series.loaded for series in market.base.values()] == [80, 2]


def test_every_symbol_that_lacks_data_is_named_at_once(store: HistoricalDataStore, bars: MakeBars) -> None:
    """Unknown symbols, windows without bars and impossible timeframes come in one refusal, each with what there is."""
    store.write_bars(bars([10, 11, 12]), source="test")
    store.write_bars(bars([0, 60], symbol="EURUSD", timeframe_ns=HOUR_NS), source="test")

    with pytest.raises(PreflightError) as raised:
        load_market(
            store, ["BTCUSD", "EURUSD", "XRPUSD"], {"EURUSD": [15 * MINUTE_NS]}, 13 * MINUTE_NS, DAY_NS, 5 * MINUTE_NS
        )

    window, timeframe, unknown = raised.value.problems
    assert "BTCUSD has no bars from 1970-01-01 00:13:00Z to 1970-01-02 00:00:00Z" in window
    assert "covers 1970-01-01 00:10:00Z to 1970-01-01 00:12:00Z" in window
    assert "EURUSD: bars of 15m cannot be built from bars of 1h" in timeframe
    assert "no bars of XRPUSD; it has BTCUSD, EURUSD" in unknown


def test_bars_in_memory_make_a_market(bars: MakeBars) -> None:
    """Known time ends with the last close of any symbol, so that a thin symbol's last bar is complete with it."""
    base = {"BTCUSD": bars(list(range(10))), "ETHUSD": bars([0, 6], symbol="ETHUSD")}

    market = market_from_series(base, {"ETHUSD": [5 * MINUTE_NS]})

    assert minutes(market.derived["ETHUSD", 5 * MINUTE_NS]) == [0, 5]
    assert market.sources == {"BTCUSD": "memory", "ETHUSD": "memory"}
    with pytest.raises(ConfigError, match="cannot be built from bars of 1m"):
        market_from_series(base, {"BTCUSD": [MINUTE_NS // 2]})


def test_the_fingerprint_is_the_same_from_store_and_memory(tmp_path: Path, bars: MakeBars) -> None:
    """It follows the rows: neither the order of symbols nor the order of writing nor the store enters it."""
    base = {"BTCUSD": bars(list(range(9))), "ETHUSD": bars([0, 6], symbol="ETHUSD")}
    with HistoricalDataStore(tmp_path / "m.duckdb") as store:
        store.write_bars(base["ETHUSD"], source="test")
        store.write_bars(bars([3, 4, 5]), source="test")
        store.write_bars(base["BTCUSD"], source="test")
        loaded = load_market(store, ["ETHUSD", "BTCUSD"], {}, 0, DAY_NS, 0)

    assert loaded.fingerprint == market_from_series(base, {}).fingerprint
    assert len(loaded.fingerprint) == 32


def test_the_fingerprint_has_a_known_value() -> None:
    """The definition is fixed: another value would rename every run."""
    series = BarSeries(
        "X", MINUTE_NS, np.array([0, MINUTE_NS]), np.array([1.0, 2.0]), np.array([2.0, 3.0]), np.array([0.5, 1.5]),
        np.array([1.5, 2.5]), np.array([10.0, 0.0]),
    )  # fmt: skip

    written = b"".join(struct.pack("<q", len(text)) + text for text in (b"X", b"trade"))
    written += struct.pack("<qq", MINUTE_NS, 2) + struct.pack("<qq", 0, MINUTE_NS)
    written += struct.pack("<10d", 1.0, 2.0, 2.0, 3.0, 0.5, 1.5, 1.5, 2.5, 10.0, 0.0)

    found = fingerprint_bars({"X": series})

    assert found == xxhash.xxh3_128_hexdigest(written) == "3fd849b7258e37a508619564a1ea499f"


def test_an_empty_series_has_a_fingerprint_of_its_own() -> None:
    """No bars is not the same as no symbol."""
    assert fingerprint_bars({"X": BarSeries.empty("X", MINUTE_NS)}) != fingerprint_bars({})


@pytest.mark.parametrize("column", ["open_ns", "open", "high", "low", "close", "volume"])
def test_the_fingerprint_sees_every_number(bars: MakeBars, column: str) -> None:
    """One changed number in any column is another fingerprint."""
    before, after = bars([1, 2, 3]), bars([1, 2, 3])
    getattr(after, column)[2] += 1

    assert fingerprint_bars({"BTCUSD": before}) != fingerprint_bars({"BTCUSD": after})


def test_the_fingerprint_sees_names_sides_and_borders(bars: MakeBars) -> None:
    """Another symbol, price side, timeframe or division of the same rows is another fingerprint; visibility is not."""
    whole = bars([1, 2])
    hidden = bars([1, 2])
    hidden.length = 0
    others = [
        {"BTCUSD": bars([1, 2], side="bid")},
        {"BTCUSD": bars([1, 2], timeframe_ns=HOUR_NS)},
        {"BTCUSE": whole},
        {"BTCUSD": bars([1]), "ETHUSD": bars([2])},
    ]

    found = [fingerprint_bars(one) for one in [{"BTCUSD": whole}, {"BTCUSD": hidden}, *others]]

    assert found[0] == found[1]
    assert len(set(found)) == 5


def test_the_warm_up_reaches_back_over_a_weekend_by_bars_not_by_time(tmp_path: Path) -> None:
    """Fifty bars of an hour before a Monday lie on Thursday and Friday; the read goes as far as they are."""
    friday, monday = parse_instant("2024-01-05"), parse_instant("2024-01-08")
    spans = ((friday - 3 * DAY_NS, friday), (monday, monday + DAY_NS))
    stamps = np.concatenate([np.arange(first, last, MINUTE_NS) for first, last in spans])
    flat = np.full(len(stamps), 1.0)
    with HistoricalDataStore(tmp_path / "m.duckdb") as store:
        store.write_bars(BarSeries("AAA", MINUTE_NS, stamps, flat, flat, flat, flat, flat), source="test")
        market = load_market(store, ["AAA"], {"AAA": [HOUR_NS]}, monday, monday + DAY_NS, 50 * HOUR_NS, {HOUR_NS: 50})

    assert market.derived["AAA", HOUR_NS].count_closed(monday) >= 50


def test_the_warm_up_goes_no_farther_back_than_it_must(tmp_path: Path) -> None:
    """Bars of years ago that a doubled way back happens to reach are not part of the run."""
    friday, monday = parse_instant("2024-01-05"), parse_instant("2024-01-08")
    spans = ((friday - 9 * DAY_NS, friday + DAY_NS), (monday, monday + DAY_NS))
    stamps = np.concatenate([np.arange(first, last, MINUTE_NS) for first, last in spans])
    flat = np.full(len(stamps), 1.0)
    with HistoricalDataStore(tmp_path / "m.duckdb") as store:
        store.write_bars(BarSeries("AAA", MINUTE_NS, stamps, flat, flat, flat, flat, flat), source="test")
        market = load_market(store, ["AAA"], {"AAA": [HOUR_NS]}, monday, monday + DAY_NS, 5 * HOUR_NS, {HOUR_NS: 5})

    assert int(market.base["AAA"].open_ns[0]) == friday + 18 * HOUR_NS
    assert market.derived["AAA", HOUR_NS].count_closed(monday) == 6


def test_bars_inside_each_other_are_refused(tmp_path: Path) -> None:
    """Two files with other stamps are not one series, whichever is imported first."""
    first = parse_instant("2024-01-05")
    flat = np.full(3, 1.0)
    stamps = first + np.arange(3) * MINUTE_NS
    with HistoricalDataStore(tmp_path / "m.duckdb") as store:
        store.write_bars(BarSeries("AAA", MINUTE_NS, stamps, flat, flat, flat, flat, flat), source="test")
        for shift in (30_000_000_000, 3 * MINUTE_NS - 30_000_000_000):
            shifted = BarSeries("AAA", MINUTE_NS, stamps + shift, flat, flat, flat, flat, flat)
            with pytest.raises(DataError, match="inside the bar of"):
                store.write_bars(shifted, source="test")

        assert store.list_series()[0].bars == 3
