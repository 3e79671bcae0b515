"""What can be mended is, once; each change is written down; what cannot be mended is named and left."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from src.core.bars import BarSeries
from src.core.calendars import calendar_named
from src.core.errors import DataError
from src.core.timeframe import MINUTE_NS
from src.data.healing import HealReport, as_healed, heal_series, plan_healing, windows_to_ask
from src.data.sources.port import SourceSymbol
from src.data.store import HistoricalDataStore
from src.data.stored import Columns, HealEntry, columns_of
from src.data.syncing import sync_bars
from tests.data.care import columns_at, put_rows, rows_of, write_store
from tests.data.conftest import make

ALWAYS = calendar_named("24/7")


class Bars:
    """A source that has the bars of some minutes, and remembers for which windows it was asked."""

    page_bars = 1000
    is_held = False

    def __init__(self, minutes: list[int], name: str = "test") -> None:
        self.name = name
        self.asked: list[tuple[int, int]] = []
        self._minutes = minutes

    def now_ns(self) -> int:
        """Long after all bars."""
        return 10_000 * MINUTE_NS

    def symbol(self, name: str) -> SourceSymbol:
        """Every symbol is there."""
        return SourceSymbol(symbol=name, venue=name)

    def bars(self, symbol: str, timeframe_ns: int, start_ns: int, end_ns: int) -> Iterator[BarSeries]:
        """One piece for each bar."""
        self.asked.append((start_ns // MINUTE_NS, end_ns // MINUTE_NS))
        for minute in self._minutes:
            if start_ns <= minute * MINUTE_NS < end_ns:
                yield make([minute], symbol=symbol)

    def close(self) -> None:
        """Nothing is open."""


def actions(report: HealReport) -> list[tuple[int, str]]:
    """Minute and deed of each change."""
    return [(one.open_ns // MINUTE_NS, one.action) for one in report.changes]


def entry(minute: int, action: str, after: str) -> HealEntry:
    """A line of the heal log."""
    return HealEntry(
        symbol="BTCUSD", timeframe_ns=MINUTE_NS, price_side="trade", open_ns=minute * MINUTE_NS, action=action,
        before="", after=after,
    )  # fmt: skip


def heal(path: Path, source: Bars | None = None, *, drop: bool = False, dry_run: bool = False) -> HealReport:
    """Heal the one series of a store."""
    with HistoricalDataStore(path, read_only=dry_run) as store:
        return heal_series(store, store.list_series()[0], ALWAYS, source=source, drop=drop, dry_run=dry_run)


def test_one_copy_of_a_duplicate_is_kept_and_rows_are_put_in_order() -> None:
    """The first that a bar can be; the log says which numbers went and which stayed."""
    columns = columns_at([1, 3, 2, 2, 4])
    columns["high"][2] = 0.5

    plan = plan_healing(columns, MINUTE_NS, ALWAYS)

    assert [(one.open_ns // MINUTE_NS, one.action) for one in plan.changes] == [
        (2, "moved into time order"),
        (2, "removed duplicate"),
    ]
    assert "high=0.5" in plan.changes[1].before
    assert "high=104.0" in plan.changes[1].after
    assert {name: column.tolist() for name, column in plan.columns.items()} == {
        name: column.tolist() for name, column in columns_at([1, 2, 3, 4]).items()
    }


def test_high_and_low_are_widened_to_hold_open_and_close() -> None:
    """Nothing else of the bar changes, and both ends are a change of their own."""
    columns = columns_at([1, 2])
    columns["close"][1] = 200.0
    columns["low"][1] = 150.0

    plan = plan_healing(columns, MINUTE_NS, ALWAYS)

    assert [(one.action, one.before, one.after) for one in plan.changes] == [
        ("mended high", "high=104.0", "high=200.0"),
        ("mended low", "low=150.0", "low=102.0"),
    ]
    assert plan.left == ()


def test_a_high_below_the_low_makes_no_price_that_nobody_has_seen() -> None:
    """A wrong high does not become the low, where it would trip stops."""
    columns = columns_at([1])
    columns["high"][0] = 1.0

    plan = plan_healing(columns, MINUTE_NS, ALWAYS)
    mended = {name: float(column[0]) for name, column in plan.columns.items()}

    assert [one.action for one in plan.changes] == ["mended high"]
    assert mended["high"] == max(mended["open"], mended["close"])
    assert mended["low"] == columns["low"][0]


def test_what_has_no_numbers_or_no_place_is_left_unless_it_is_dropped() -> None:
    """Not finite, not positive, inside another bar: named, and taken out on demand."""
    columns = columns_at([1, 2, 3, 4])
    columns["close"][1] = np.nan
    columns["low"][2] = -1.0
    columns["open_ns"][3] = 3 * MINUTE_NS + 7

    left = plan_healing(columns, MINUTE_NS, ALWAYS)
    dropped = plan_healing(columns, MINUTE_NS, ALWAYS, drop=True)

    assert [one.code for one in left.left] == ["not_finite", "non_positive", "overlap", "off_grid"]
    assert left.changes == ()
    assert (dropped.columns["open_ns"] // MINUTE_NS).tolist() == [1]
    assert [one.action for one in dropped.changes] == ["removed (not finite)", "removed (non positive)",
                                                        "removed (overlap)"]  # fmt: skip
    assert dropped.left == ()


def test_a_forming_bar_is_dropped_on_demand() -> None:
    """It is named by the present that is handed in."""
    plan = plan_healing(columns_at([1, 2]), MINUTE_NS, ALWAYS, now_ns=2 * MINUTE_NS + 5, drop=True)

    assert [(one.open_ns // MINUTE_NS, one.action) for one in plan.changes] == [(2, "removed (forming)")]


def test_a_source_gives_wrong_and_absent_bars() -> None:
    """Its numbers replace impossible ones and those of copies that disagree, and fill holes; sound bars stay."""
    columns = columns_at([1, 2, 2, 5])
    columns["close"][0] = np.inf
    columns["close"][2] += 0.25
    columns["open"][3] += 0.25
    offered = columns_of(make([1, 2, 3, 4, 5, 6]))

    plan = plan_healing(columns, MINUTE_NS, ALWAYS, answers=offered)

    assert [(one.open_ns // MINUTE_NS, one.action) for one in plan.changes] == [
        (2, "removed duplicate"), (1, "taken from the source"), (3, "filled from the source"),
        (4, "filled from the source"),
    ]  # fmt: skip
    assert plan.columns["close"].tolist() == offered["close"][:5].tolist()
    assert plan.columns["open"].tolist() == [*offered["open"][:4].tolist(), offered["open"][4] + 0.25]


def test_only_holes_in_the_markets_hours_are_asked_for() -> None:
    """Not what was answered before; windows that fit into one page are one."""
    stamps = columns_at([1, 2, 5, 8])
    # Friday 21:58 and Sunday 22:03 UTC: of the weekend only Sunday's first minutes are open.
    weekend: Columns = {**stamps, "open_ns": np.array([1, 2, 2885, 2888]) * MINUTE_NS + 1_705_096_620_000_000_000}
    sunday_ns = 1_705_269_600_000_000_000

    assert windows_to_ask(stamps, MINUTE_NS, ALWAYS) == [(3 * MINUTE_NS, 8 * MINUTE_NS)]
    assert windows_to_ask(stamps, MINUTE_NS, ALWAYS, span_bars=2) == [
        (3 * MINUTE_NS, 5 * MINUTE_NS), (6 * MINUTE_NS, 8 * MINUTE_NS),
    ]  # fmt: skip
    assert windows_to_ask(stamps, MINUTE_NS, ALWAYS, [(0, 6 * MINUTE_NS)]) == [(6 * MINUTE_NS, 8 * MINUTE_NS)]
    assert windows_to_ask(weekend, MINUTE_NS, calendar_named("forex"))[0][0] == sunday_ns


def test_each_change_is_a_line_of_the_log_and_healing_again_changes_nothing(tmp_path: Path) -> None:
    """Rows and log are one transaction; the list of series counts the rows anew."""
    path = write_store(tmp_path / "a.duckdb", [1, 2, 3])
    rows = rows_of(path)
    put_rows(path, [rows[0], rows[2], rows[1], rows[1]])

    first = heal(path)
    second = heal(path)
    with HistoricalDataStore(path, read_only=True) as store:
        log, info = store.read_heal_log(), store.list_series()[0]

    assert actions(first) == [(2, "moved into time order"), (2, "removed duplicate")]
    assert [(one.open_ns // MINUTE_NS, one.action) for one in log] == actions(first)
    assert (second.changes, second.left, rows_of(path)) == ((), (), rows)
    assert info.bars == 3


def test_a_list_of_series_that_miscounts_is_put_right(tmp_path: Path) -> None:
    """The rows decide; the change is a line of the log as any other."""
    path = write_store(tmp_path / "a.duckdb", [1, 2, 3])
    put_rows(path, rows_of(path)[:2])

    assert actions(heal(path)) == [(1, "counted anew")]
    assert actions(heal(path)) == []


def test_a_series_without_rows_leaves_the_list(tmp_path: Path) -> None:
    """Nothing is behind it; the line of the log says what was listed."""
    path = write_store(tmp_path / "a.duckdb", [1, 2, 3])
    put_rows(path, [])

    shown, done = heal(path, dry_run=True), heal(path)
    with HistoricalDataStore(path, read_only=True) as store:
        log, left = store.read_heal_log(), store.list_series()

    assert actions(shown) == actions(done) == [(1, "taken from the list of series")]
    assert [one.before for one in log] == ["bars=3 first=1970-01-01 00:01:00Z last=1970-01-01 00:03:00Z"]
    assert left == []


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    """It tells the same changes and leaves the file as it is, byte for byte."""
    path = write_store(tmp_path / "a.duckdb", [1, 2])
    put_rows(path, [*rows_of(path), rows_of(path)[1]])
    before = path.read_bytes()

    shown = heal(path, dry_run=True)

    assert path.read_bytes() == before
    assert actions(shown) == actions(heal(path)) == [(2, "removed duplicate")]


def test_a_source_is_asked_once_for_a_hole(tmp_path: Path) -> None:
    """What it answered is remembered, so a hole at the source is not asked for again."""
    path = write_store(tmp_path / "a.duckdb", [1, 4, 5])
    source = Bars([1, 3, 4, 5])

    first, second = heal(path, source), heal(path, source)

    assert actions(first) == [(3, "filled from the source")]
    assert (actions(second), source.asked) == ([], [(2, 4)])
    assert [row[0] // MINUTE_NS for row in rows_of(path)] == [1, 3, 4, 5]


def test_a_bar_that_was_lost_after_a_sync_is_filled(tmp_path: Path) -> None:
    """The window that holds less than was answered is asked for anew; a hole that the source has is asked for once."""
    path, source = tmp_path / "a.duckdb", Bars([1, 2, 4, 5, 6])
    with HistoricalDataStore(path) as store:
        sync_bars(store, source, "BTCUSD", MINUTE_NS, MINUTE_NS, 7 * MINUTE_NS)
    whole = rows_of(path)
    put_rows(path, whole[:3] + whole[4:])
    source.asked.clear()

    first, second = heal(path, source), heal(path, source)

    assert actions(first) == [(5, "filled from the source")]
    assert (actions(second), source.asked) == ([], [(3, 6)])
    assert rows_of(path) == whole


def test_a_bar_that_is_there_twice_makes_up_for_none_that_is_lost(tmp_path: Path) -> None:
    """Both are put right at once, so that healing again finds nothing to do."""
    path, source = tmp_path / "a.duckdb", Bars([1, 2, 3, 4, 5])
    with HistoricalDataStore(path) as store:
        sync_bars(store, source, "BTCUSD", MINUTE_NS, MINUTE_NS, 6 * MINUTE_NS)
    whole = rows_of(path)
    put_rows(path, [whole[0], whole[0], *whole[1:3], whole[4]])

    first, second = heal(path, source), heal(path, source)

    assert actions(first) == [(1, "removed duplicate"), (4, "filled from the source")]
    assert (actions(second), rows_of(path)) == ([], whole)


def test_what_a_held_source_answered_is_not_remembered(tmp_path: Path) -> None:
    """A file may have other bars the next time, so it is always asked."""
    path, source = write_store(tmp_path / "a.duckdb", [1, 4]), Bars([1, 4])
    source.is_held = True

    heal(path, source)
    heal(path, source)

    assert source.asked == [(2, 4), (2, 4)]


def test_bars_are_as_healed_only_with_the_numbers_of_the_log() -> None:
    """What was mended, given by the source or taken out since a copy was made, and nothing else of it."""
    copy, columns = columns_at([1, 2, 3, 4, 5]), columns_at([1, 2, 3, 4])
    columns["high"][:2] = 200.0
    columns["close"][1] = 105.0
    columns["low"][2] = 50.0
    logged = [
        entry(1, "mended high", "high=200.0"), entry(2, "mended high", "high=200.0"),
        entry(3, "removed duplicate", "low=101.0"), entry(4, "removed (forming)", ""),
        entry(5, "removed (off grid)", ""), entry(1, "counted anew", "bars=4 first=1970-01-01 00:01:00Z"),
        entry(9, "filled from the source", "close=1.0"),
    ]  # fmt: skip

    assert as_healed(columns, copy, logged) == {1 * MINUTE_NS, 5 * MINUTE_NS}
    assert as_healed(columns, copy, []) == set()
    assert as_healed(columns_at([]), copy, logged) == {4 * MINUTE_NS, 5 * MINUTE_NS}


def test_a_series_is_healed_from_its_own_source_only(tmp_path: Path) -> None:
    """One series never mixes two; nothing is asked and nothing changes."""
    path = write_store(tmp_path / "a.duckdb", [1, 4])
    source = Bars([2, 3], name="other")

    with pytest.raises(DataError, match="is stored with the source 'test' and cannot be healed from 'other'"):
        heal(path, source)

    assert source.asked == []
