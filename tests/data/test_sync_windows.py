"""Which windows a sync asks for and what it remembers, with sources whose clock and bars a test sets."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from src.core.bars import BarSeries
from src.core.errors import BrokerUnavailable, DataError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS, parse_instant
from src.data.sources import source_named
from src.data.sources.held import HeldSource
from src.data.sources.port import FundingPage
from src.data.store import HistoricalDataStore, SeriesInfo
from src.data.stored import COLUMNS
from src.data.syncing import sync_bars, sync_funding

START_NS = parse_instant("2024-01-01")
WEEK_NS = 7 * DAY_NS
RATE_NS = 8 * HOUR_NS


def bars(first_ns: int, count: int, timeframe_ns: int = MINUTE_NS) -> BarSeries:
    """Bars that follow each other, all alike."""
    ones = np.ones(count)
    stamps = first_ns + np.arange(count) * timeframe_ns
    return BarSeries("X", timeframe_ns, stamps, ones, ones * 2, ones / 2, ones.copy(), ones.copy())


class Live(HeldSource):
    """An exchange with a clock and with funding rates."""

    is_held = False

    def __init__(self, series: BarSeries, page_bars: int = 1000) -> None:
        super().__init__("live", [series])
        self.page_bars = page_bars
        self.clock_ns = super().now_ns()
        self.rates: dict[int, float] = {}
        self.pages_left = 1_000_000

    def now_ns(self) -> int:
        """The test's clock."""
        return self.clock_ns

    def bars(self, symbol: str, timeframe_ns: int, start_ns: int, end_ns: int) -> Iterator[BarSeries]:
        """The bars, until the exchange goes away."""
        self.pages_left -= 1
        if self.pages_left < 0:
            raise BrokerUnavailable("gone")
        return super().bars(symbol, timeframe_ns, start_ns, end_ns)

    def funding(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[FundingPage]:
        """The rates that the test has published."""
        due = sorted(ts_ns for ts_ns in self.rates if start_ns <= ts_ns < end_ns)
        yield FundingPage(ts_ns=np.array(due, np.int64), rate=np.array([self.rates[ts_ns] for ts_ns in due]))


def minutes_on_disk(store: HistoricalDataStore) -> list[int]:
    """The opens as minutes since the start, as the rows lie."""
    return [(int(open_ns) - START_NS) // MINUTE_NS for open_ns in store.read_raw("X", MINUTE_NS)["open_ns"]]


# ------------------------------------------------------------------------------------------------- grids


@pytest.mark.parametrize(
    ("timeframe_ns", "first_ns", "step_ns"),
    [
        (WEEK_NS, parse_instant("2024-01-04"), DAY_NS),
        (DAY_NS, parse_instant("2024-01-01 16:00"), 5 * HOUR_NS),
        (4 * HOUR_NS, parse_instant("2024-01-01 01:00"), HOUR_NS + MINUTE_NS),
    ],
)
def test_bars_off_the_usual_grid_are_all_stored(
    store: HistoricalDataStore, timeframe_ns: int, first_ns: int, step_ns: int
) -> None:
    """Weeks from Thursday, days at 16:00, hours from 1:00: however often is synced, no bar is lost or stored early."""
    source = Live(bars(first_ns, 8, timeframe_ns))
    source.clock_ns = first_ns + timeframe_ns
    while source.clock_ns <= first_ns + 8 * timeframe_ns:
        sync_bars(store, source, "X", timeframe_ns, first_ns)
        stored = store.list_series()[0].bars
        closed = (source.clock_ns - first_ns) // timeframe_ns
        source.clock_ns += step_ns

        assert stored == closed


def test_hours_are_not_asked_for_while_the_next_one_forms(store: HistoricalDataStore) -> None:
    """Behind the last closed bar there is no room for another before the next one closes."""
    source = Live(bars(START_NS, 10, HOUR_NS))
    source.clock_ns = START_NS + 5 * HOUR_NS + MINUTE_NS
    first = sync_bars(store, source, "X", HOUR_NS, START_NS)
    source.clock_ns += 58 * MINUTE_NS
    second = sync_bars(store, source, "X", HOUR_NS, START_NS)

    assert (first.written, first.end_ns) == (5, START_NS + 5 * HOUR_NS)
    assert (second.asked, second.end_ns) == ((), START_NS + 5 * HOUR_NS)


def test_the_report_of_days_ends_with_the_last_day(store: HistoricalDataStore) -> None:
    """The window that is told ends with a whole bar, the first time and when nothing is left to ask for."""
    source = Live(bars(START_NS, 10, DAY_NS))
    source.clock_ns = START_NS + 5 * DAY_NS + HOUR_NS
    ends = [sync_bars(store, source, "X", DAY_NS, START_NS).end_ns for _ in range(2)]

    assert ends == [START_NS + 5 * DAY_NS] * 2


def test_days_over_a_change_of_clocks_are_stored(store: HistoricalDataStore) -> None:
    """A day of 23 hours is a day; one of 22 is an overlap."""
    days = bars(START_NS, 4, DAY_NS)
    short = days.open_ns - np.array([0, 0, HOUR_NS, HOUR_NS])
    columns = [getattr(days, name) for name in COLUMNS[1:]]
    written = store.write_bars(BarSeries("X", DAY_NS, short, *columns), source="s")
    with pytest.raises(DataError, match="inside the bar of"):
        store.write_bars(BarSeries("Y", DAY_NS, days.open_ns - 2 * (days.open_ns - short), *columns), source="s")

    assert written == 4


# ------------------------------------------------------------------------------------------------- files


def test_a_second_file_of_one_layout_is_stored_as_well(tmp_path: Path, store: HistoricalDataStore) -> None:
    """All files of a layout have one source name: what one of them answered says nothing about the others."""
    answers = {"zone": "UTC", "stamp": "open", "price": "trade", "symbol": "X", "kind": "crypto"}
    written = []
    for name, first in (("later", 100), ("earlier", 0)):
        path = tmp_path / f"{name}.csv"
        stamps = ((START_NS + (first + i) * MINUTE_NS) // 1_000_000 for i in range(20))
        text = "".join(f"{stamp},1,2,0.5,1,1\n" for stamp in stamps)
        path.write_text(f"timestamp,open,high,low,close,volume\n{text}", encoding="utf-8")
        source = source_named(f"csv:{path}", options=answers)
        written += [sync_bars(store, source, "X", MINUTE_NS, START_NS).written for _ in range(2)]

    assert written == [20, 0, 20, 0]
    assert minutes_on_disk(store) == [*range(20), *range(100, 120)]


# ------------------------------------------------------------------------------------------------- backfill


def test_a_backfill_rewrites_the_series_once(store: HistoricalDataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages come before the stored bars, these are written anew once, and all rows lie in order."""
    source = Live(bars(START_NS, 100), page_bars=10)
    sync_bars(store, source, "X", MINUTE_NS, START_NS + 70 * MINUTE_NS)
    rewrites: list[str] = []
    delete = store._delete_rows

    def watched(info: SeriesInfo) -> None:
        rewrites.append(info.symbol)
        delete(info)

    monkeypatch.setattr(store, "_delete_rows", watched)
    report = sync_bars(store, source, "X", MINUTE_NS, START_NS)

    assert (report.pages, report.written, rewrites) == (7, 70, ["X"])
    assert minutes_on_disk(store) == list(range(100))


def test_a_backfill_that_breaks_off_leaves_rows_in_order(store: HistoricalDataStore) -> None:
    """The pages that came are stored, in time order."""
    source = Live(bars(START_NS, 100), page_bars=10)
    sync_bars(store, source, "X", MINUTE_NS, START_NS + 70 * MINUTE_NS)
    source.pages_left = 3
    with pytest.raises(BrokerUnavailable):
        sync_bars(store, source, "X", MINUTE_NS, START_NS)

    assert minutes_on_disk(store) == [*range(30), *range(70, 100)]


def test_rows_that_a_killed_backfill_left_are_read_and_put_in_order(store: HistoricalDataStore) -> None:
    """A process that dies between the pages leaves a store that reads right; the next sync orders its rows."""
    whole = bars(START_NS, 30)
    store.write_bars(bars(START_NS + 20 * MINUTE_NS, 10), source="live")
    store.write_bars(bars(START_NS, 20), source="live", in_order=False)
    before, read = minutes_on_disk(store), store.read_bars("X", MINUTE_NS)
    sync_bars(store, Live(whole), "X", MINUTE_NS, START_NS)

    assert before == [*range(20, 30), *range(20)]
    assert np.array_equal(read.open_ns, whole.open_ns)
    assert minutes_on_disk(store) == list(range(30))


def test_bars_that_overlap_stored_ones_are_refused_in_any_order(store: HistoricalDataStore) -> None:
    """A bar that opens half a bar before or after a stored one is no bar of its series, wherever it lies."""
    store.write_bars(bars(START_NS + 20 * MINUTE_NS, 10), source="live")
    for first_ns in (START_NS - MINUTE_NS // 2, START_NS + 20 * MINUTE_NS + MINUTE_NS // 2):
        with pytest.raises(DataError, match="inside the bar of"):
            store.write_bars(bars(first_ns, 21), source="live", in_order=False)

    assert minutes_on_disk(store) == list(range(20, 30))


# ------------------------------------------------------------------------------------------------- funding


@pytest.fixture
def funded() -> Live:
    """An exchange on which twelve rates have fallen due; those of the hours 80 and 88 are not published yet."""
    source = Live(bars(START_NS, 1))
    source.clock_ns = START_NS + 11 * RATE_NS + 1
    source.rates = {START_NS + i * RATE_NS: i / 1000 for i in range(10)}
    return source


def test_a_rate_that_came_later_than_the_next_is_stored_when_asked_again(
    store: HistoricalDataStore, funded: Live
) -> None:
    """`again` asks for everything: what is missing between stored rates is put there."""
    funded.clock_ns = START_NS + 10 * RATE_NS + 1
    sync_funding(store, funded, "X", START_NS)
    funded.rates[START_NS + 11 * RATE_NS] = 0.011
    funded.clock_ns = START_NS + 11 * RATE_NS + 1
    second = sync_funding(store, funded, "X", START_NS)
    funded.rates[START_NS + 10 * RATE_NS] = 0.010
    third = sync_funding(store, funded, "X", START_NS, again=True)

    assert (second.written, third.written) == (1, 1)
    assert store.read_funding("X").rate.tolist() == [i / 1000 for i in range(12)]


def test_a_rate_that_is_published_late_is_stored_by_the_next_sync(store: HistoricalDataStore, funded: Live) -> None:
    """The last eight hours count as not answered; what is older is not asked for again."""
    funded.clock_ns = START_NS + 10 * RATE_NS + 1
    sync_funding(store, funded, "X", START_NS)
    funded.rates |= {START_NS + i * RATE_NS: i / 1000 for i in (10, 11)}
    funded.clock_ns = START_NS + 11 * RATE_NS + 1
    report = sync_funding(store, funded, "X", START_NS)

    assert report.asked == ((START_NS + 9 * RATE_NS + 1, funded.clock_ns),)
    assert (report.written, len(store.read_funding("X"))) == (2, 12)


def test_a_rate_that_comes_again_with_another_number_is_refused(store: HistoricalDataStore, funded: Live) -> None:
    """A stored rate is never replaced silently."""
    sync_funding(store, funded, "X", START_NS)
    funded.rates[START_NS + 3 * RATE_NS] = 0.5

    with pytest.raises(DataError, match="expected funding of a span that is not stored yet"):
        sync_funding(store, funded, "X", START_NS, again=True)


def test_a_deleted_funding_tape_forgets_its_syncs(store: HistoricalDataStore, funded: Live) -> None:
    """After it everything is asked for again, also the time in which there was no rate."""
    begin_ns = START_NS - 80 * DAY_NS
    sync_funding(store, funded, "X", begin_ns)
    store.delete_tape("X", "funding")
    report = sync_funding(store, funded, "X", begin_ns)

    assert report.asked == ((begin_ns, funded.clock_ns),)
    assert report.written == 10
