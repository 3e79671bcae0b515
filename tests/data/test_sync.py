"""Syncing a store from an exchange over real HTTP, with the client that talks to real exchanges."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest

from src.core.bars import BarSeries
from src.core.errors import BrokerUnavailable, ConfigError, DataError
from src.core.timeframe import DAY_NS, HOUR_NS, MINUTE_NS
from src.data.sources._template import template_source
from src.data.sources.asking import Patience
from src.data.sources.ccxt import CcxtSource, ccxt_source
from src.data.store import HistoricalDataStore
from src.data.syncing import sync_bars, sync_funding
from tests.data.exchange_server import MINUTE_MS, Exchange, row_of, serving

pytest.importorskip("ccxt")  # imported here, so that no single test pays for it

START_MS = 1_704_067_200_000
START_NS = START_MS * 1_000_000
SYMBOL = "BTCUSDT"


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """An exchange whose clock stands half a minute after the close of its 50th bar since the start."""
    with serving(Exchange(now_ms=START_MS + 50 * MINUTE_MS + 30_000)) as running:
        yield running


class Syncing:
    """A source that is connected to the exchange, with pages of ten bars and waits that are only written down."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.waits: list[float] = []
        self.source: CcxtSource = ccxt_source(
            "binanceusdm", options=exchange.options, wait=self.waits.append, patience=Patience(tries=4)
        )
        self.source.page_bars = 10

    def asked_minutes(self) -> list[tuple[int, int]]:
        """Of each request for bars, the first minute since the start and how many bars it asked for."""
        return [((int(q["startTime"]) - START_MS) // MINUTE_MS, int(q["limit"])) for q in self.exchange.asked]


@pytest.fixture
def syncing(exchange: Exchange) -> Iterator[Syncing]:
    """See `Syncing`."""
    made = Syncing(exchange)
    yield made
    made.source.close()


def minutes_of(series: BarSeries) -> list[int]:
    """The opens as minutes since the start."""
    return [(int(open_ns) - START_NS) // MINUTE_NS for open_ns in series.open_ns]


def test_all_closed_bars_of_the_window_are_stored_as_the_exchange_has_them(
    syncing: Syncing, store: HistoricalDataStore
) -> None:
    """Every bar that has closed by the exchange's clock is stored once, with its numbers."""
    report = sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)

    series = store.read_bars(SYMBOL, MINUTE_NS)
    first = row_of(START_MS, MINUTE_MS)
    assert minutes_of(series) == list(range(50))
    assert [series.open[0], series.high[0], series.low[0], series.close[0], series.volume[0]] == [
        float(value) for value in first[1:6]
    ]
    assert (report.pages, report.received, report.written) == (5, 50, 50)
    assert store.list_series()[0].source == "ccxt:binanceusdm"
    assert store.read_instrument(SYMBOL) == {
        "calendar": "24/7", "currency": "USDT", "kind": "perpetual", "min_volume": 0.001, "tick": 0.1,
        "venue": "BTC/USDT:USDT", "volume_step": 0.001,
    }  # fmt: skip


def test_the_forming_bar_is_never_stored(syncing: Syncing, exchange: Exchange, store: HistoricalDataStore) -> None:
    """The exchange hands out the bar that is still forming; it is stored only once it has closed."""
    exchange.holes = [(START_MS + 45 * MINUTE_MS, START_MS + 50 * MINUTE_MS)]
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)
    sent, before = exchange.forming_sent, minutes_of(store.read_bars(SYMBOL, MINUTE_NS))
    exchange.now_ms += MINUTE_MS
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)

    assert sent > 0
    assert before == list(range(45))
    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == [*range(45), 50]


def test_a_bar_counts_as_closed_a_moment_after_its_close(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """An exchange may still change a bar right after its close, so that one is left for the next sync."""
    exchange.now_ms = START_MS + 50 * MINUTE_MS + 1
    report = sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)

    assert report.end_ns == START_NS + 49 * MINUTE_NS


def test_a_second_sync_asks_for_nothing(syncing: Syncing, exchange: Exchange, store: HistoricalDataStore) -> None:
    """What has been answered is not asked for again, and nothing changes."""
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)
    exchange.asked.clear()
    report = sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)

    assert exchange.asked == []
    assert (report.asked, report.pages, report.written) == ((), 0, 0)


def test_only_what_is_new_is_asked_for_later(syncing: Syncing, exchange: Exchange, store: HistoricalDataStore) -> None:
    """A later sync of a longer window asks for what came before and for what has closed since."""
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS + 20 * MINUTE_NS, START_NS + 30 * MINUTE_NS)
    exchange.asked.clear()
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS + 15 * MINUTE_NS, START_NS + 35 * MINUTE_NS)

    assert syncing.asked_minutes() == [(15, 5), (30, 5)]
    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == list(range(15, 35))


def test_a_hole_of_the_exchange_is_asked_for_once(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """Where the exchange has nothing, it has answered: the store keeps the hole and does not ask for it again."""
    exchange.holes = [(START_MS + 8 * MINUTE_MS, START_MS + 31 * MINUTE_MS)]
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)
    exchange.asked.clear()
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)

    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == [*range(8), *range(31, 50)]
    assert exchange.asked == []


def test_a_hole_that_the_exchange_has_filled_since_is_filled_when_asked_again(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """`again` asks for everything once more: what is new is stored, what was there stays."""
    exchange.holes = [(START_MS + 8 * MINUTE_MS, START_MS + 31 * MINUTE_MS)]
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)
    exchange.holes = []
    report = sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS, again=True)

    assert (report.received, report.written) == (50, 23)
    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == list(range(50))


def test_an_interior_hole_that_nobody_answered_is_filled(syncing: Syncing, store: HistoricalDataStore) -> None:
    """Two ends that are stored do not hide what is missing between them, not even a single bar."""
    for first, last in ((0, 10), (11, 20), (30, 50)):
        sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS + first * MINUTE_NS, START_NS + last * MINUTE_NS)
    syncing.exchange.asked.clear()
    report = sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)

    assert syncing.asked_minutes() == [(10, 1), (20, 10)]
    assert report.written == 11
    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == list(range(50))


def test_bars_that_were_lost_after_a_sync_come_back(syncing: Syncing, tmp_path: Path) -> None:
    """A window that holds less than was stored in it counts as not answered, and is asked for anew."""
    path = tmp_path / "lost.duckdb"
    with HistoricalDataStore(path) as store:
        sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM bars WHERE open_ns = ?", [START_NS + 17 * MINUTE_NS])
        connection.execute("UPDATE series SET bars = bars - 1")
    syncing.exchange.asked.clear()
    with HistoricalDataStore(path) as store:
        report = sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)
        found = minutes_of(store.read_bars(SYMBOL, MINUTE_NS))

    assert syncing.asked_minutes() == [(10, 10)]
    assert report.written == 1
    assert found == list(range(50))


def test_rows_that_no_sync_answers_for_are_asked_for_and_kept(syncing: Syncing, store: HistoricalDataStore) -> None:
    """Rows that no sync brought say nothing about what the exchange has around them; they are compared and kept."""
    report = sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS, START_NS + 30 * MINUTE_NS)
    store.forget_synced(SYMBOL, MINUTE_NS)
    again = sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS, START_NS + 30 * MINUTE_NS)

    assert (report.written, again.received, again.written) == (30, 30, 0)


def test_a_server_that_cuts_its_answers_makes_no_holes(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """An answer that is shorter than what was asked for is continued, and taken for a hole by nobody."""
    exchange.cap = 4
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)

    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == list(range(50))


def test_an_exchange_that_hands_out_its_latest_bars_only_is_refused(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """Some answer every question with the present: that is no past without bars, and is not kept as one."""
    exchange.now_ms = START_MS + 5000 * MINUTE_MS + 30_000
    exchange.latest_only = 500
    with pytest.raises(DataError, match="latest 500 bars of 1m .* found none before 2024-01-04 03:01:00Z; begin there"):
        sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)

    assert store.synced(SYMBOL, MINUTE_NS, "ccxt:binanceusdm") == []


def test_the_time_before_a_listing_is_passed_in_one_step(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """Where the first bar lies far behind the window, nobody asks for each page before it."""
    exchange.listed_ms = START_MS + 45 * MINUTE_MS
    begin_ns = START_NS - 1000 * MINUTE_NS
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, begin_ns)

    assert len(exchange.asked) <= 4
    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == list(range(45, 50))
    assert store.synced(SYMBOL, MINUTE_NS, "ccxt:binanceusdm") == [(begin_ns, START_NS + 50 * MINUTE_NS)]


@pytest.mark.parametrize("fault", ["429", "418", "500", "drop", "junk", "empty", "shape"])
def test_a_question_that_failed_is_put_again(
    fault: str, syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """Rate limits, broken connections and answers that are none are waited out; nothing is lost or stored twice."""
    exchange.faults = ["none", fault, fault]
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS, START_NS + 30 * MINUTE_NS)

    assert syncing.waits == [1.0, 2.0]
    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == list(range(30))


def test_a_server_that_is_silent_is_asked_again(exchange: Exchange, store: HistoricalDataStore) -> None:
    """The client's time-out ends a question that nobody answers."""
    made = Syncing(exchange)
    made.source.close()
    exchange.faults = ["silence"]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        source._client.timeout = 60_000  # only the question without an answer is to end soon

    source = ccxt_source("binanceusdm", options=exchange.options, wait=wait)
    source.symbol(SYMBOL)
    source._client.timeout = 100
    sync_bars(store, source, SYMBOL, MINUTE_NS, START_NS, START_NS + 5 * MINUTE_NS)
    source.close()

    assert waits == [1.0]
    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == list(range(5))


def test_the_wait_that_the_exchange_asks_for_is_kept(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """A rate limit that says for how long is obeyed, up to the longest wait there is."""
    exchange.faults, exchange.retry_after = ["429", "500", "429"], "17"
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS, START_NS + 10 * MINUTE_NS)

    assert syncing.waits == [17.0, 2.0, 17.0]


def test_after_an_exchange_that_went_away_the_next_sync_goes_on(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """The pages before the failure stay, the error says what to do, and the same command asks for the rest only."""
    exchange.faults = ["none", "none", *["500"] * 4]
    with pytest.raises(BrokerUnavailable, match="asked 4 times: ExchangeNotAvailable.*goes on from there"):
        sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)
    before = minutes_of(store.read_bars(SYMBOL, MINUTE_NS))
    exchange.asked.clear()
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)

    assert before == list(range(20))
    assert syncing.asked_minutes()[0] == (20, 10)
    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == list(range(50))


def test_a_page_and_its_line_in_the_log_are_one_transaction(
    syncing: Syncing, store: HistoricalDataStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the log cannot be written the bars of that page are not there either."""

    def fail(*args: object) -> None:
        raise DataError("the disk is full")

    monkeypatch.setattr(store, "log_sync", fail)
    with pytest.raises(DataError, match="disk is full"):
        sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS)

    assert store.list_series() == []


def test_a_bar_that_cannot_be_right_is_left_out_and_named(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """A bar whose high lies below its low is not stored; the report says which, and its numbers."""
    at_ms = START_MS + 3 * MINUTE_MS
    exchange.replaced[at_ms] = [at_ms, "103.0", "90.0", "101.0", "104.0", "1.0", *row_of(at_ms, MINUTE_MS)[6:]]
    report = sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS, START_NS + 10 * MINUTE_NS)

    assert minutes_of(store.read_bars(SYMBOL, MINUTE_NS)) == [0, 1, 2, *range(4, 10)]
    assert len(report.refused) == 1
    assert "2024-01-01 00:03:00Z" in report.refused[0]
    assert "high=90.0" in report.refused[0]


def test_a_bar_that_comes_again_with_other_numbers_is_refused(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """A stored bar is never replaced silently; the error names it and both numbers."""
    sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS, START_NS + 10 * MINUTE_NS)
    store.forget_synced(SYMBOL, MINUTE_NS)
    at_ms = START_MS + 4 * MINUTE_MS
    exchange.replaced[at_ms] = [*row_of(at_ms, MINUTE_MS)[:5], "777.0", *row_of(at_ms, MINUTE_MS)[6:]]

    with pytest.raises(DataError, match=r"00:04:00Z is stored with volume .* and comes again with volume 777\.0"):
        sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS, START_NS + 10 * MINUTE_NS)


def test_native_longer_bars_lie_on_their_own_grid(
    syncing: Syncing, exchange: Exchange, store: HistoricalDataStore
) -> None:
    """Hours are stored beside minutes, whole ones only, whatever the window's ends are."""
    exchange.now_ms = START_MS + 5 * 60 * MINUTE_MS + 30_000
    report = sync_bars(store, syncing.source, SYMBOL, HOUR_NS, START_NS + MINUTE_NS, START_NS + DAY_NS)

    assert (report.start_ns, report.end_ns) == (START_NS + MINUTE_NS, START_NS + 5 * HOUR_NS)
    assert minutes_of(store.read_bars(SYMBOL, HOUR_NS)) == [60, 120, 180, 240]


def test_funding_rates_are_stored_once(syncing: Syncing, store: HistoricalDataStore) -> None:
    """Every rate that fell due in the window is stored; a second sync asks for the last eight hours only."""
    begin_ns = START_NS - 60 * DAY_NS
    report = sync_funding(store, syncing.source, SYMBOL, begin_ns)
    again = sync_funding(store, syncing.source, SYMBOL, begin_ns)

    tape = store.read_funding(SYMBOL)
    late_ns = sum(end_ns - start_ns for start_ns, end_ns in again.asked)
    assert (report.received, report.written, again.written, late_ns) == (181, 181, 0, 8 * HOUR_NS)
    assert np.array_equal(tape.ts_ns, begin_ns + np.arange(181) * 8 * HOUR_NS)
    assert tape.rate[1] - tape.rate[0] == pytest.approx(0.0001)


def test_what_the_exchange_does_not_have_is_refused_with_what_it_has(
    syncing: Syncing, store: HistoricalDataStore
) -> None:
    """A wrong market, a wrong timeframe and an empty window are sentences for the user."""
    with pytest.raises(ConfigError, match="no market BTCUSD; did you mean 'BTCUSDT'"):
        sync_bars(store, syncing.source, "BTCUSD", MINUTE_NS, START_NS)
    with pytest.raises(ConfigError, match="no bars of 7m; expected one of 1m, 3m"):
        sync_bars(store, syncing.source, SYMBOL, 7 * MINUTE_NS, START_NS)
    with pytest.raises(ConfigError, match="a window that begins before it ends and before now"):
        sync_bars(store, syncing.source, SYMBOL, MINUTE_NS, START_NS + DAY_NS)

    assert store.list_series() == []


def test_a_symbol_may_have_another_name_at_the_exchange(exchange: Exchange, store: HistoricalDataStore) -> None:
    """Bars are stored under the name that the user chose."""
    source = ccxt_source("binanceusdm", options=exchange.options, venues={"XBT": "BTC/USDT:USDT"})
    sync_bars(store, source, "XBT", MINUTE_NS, START_NS, START_NS + 5 * MINUTE_NS)
    source.close()

    assert exchange.asked[0]["symbol"] == "BTCUSDT"
    assert minutes_of(store.read_bars("XBT", MINUTE_NS)) == list(range(5))


def test_bars_of_the_mark_price_lie_beside_those_of_trades(exchange: Exchange, store: HistoricalDataStore) -> None:
    """Each price is a series of its own with a sync log of its own, under one symbol."""
    for text in ("binanceusdm", "binanceusdm:mark", "binanceusdm:mark"):
        source = ccxt_source(text, options=exchange.options)
        report = sync_bars(store, source, SYMBOL, MINUTE_NS, START_NS)
        source.close()

    assert report.asked == ()
    assert [(info.price_side, info.source, info.bars) for info in store.list_series()] == [
        ("trade", "ccxt:binanceusdm", 50), ("mark", "ccxt:binanceusdm:mark", 50),
    ]  # fmt: skip


def test_pages_are_told_as_they_are_done(syncing: Syncing, store: HistoricalDataStore) -> None:
    """Who draws progress hears of each page, from nothing to all."""
    told: list[tuple[int, int]] = []
    sync_bars(
        store, syncing.source, SYMBOL, MINUTE_NS, START_NS, on_page=lambda done, total: told.append((done, total))
    )

    assert told == [(10 * page * MINUTE_NS, 50 * MINUTE_NS) for page in range(6)]


_KILLED_AT = """
import os, signal, sys
from pathlib import Path
from src.core.timeframe import MINUTE_NS
from src.data.sources._template import template_source
from src.data.store import HistoricalDataStore
from src.data.syncing import sync_bars

left = [int(sys.argv[2])]
plain = HistoricalDataStore._execute

def execute(self, *arguments):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, *arguments)

source = template_source("100", options={}, venues={})
source.page_bars = 10
with HistoricalDataStore(Path(sys.argv[1])) as store:
    HistoricalDataStore._execute = execute
    sync_bars(store, source, "X", MINUTE_NS, START, START + 30 * MINUTE_NS)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a process kills itself with a signal")
def test_a_process_that_dies_inside_a_page_leaves_whole_pages(tmp_path: Path) -> None:
    """Killed before any of its statements: the store opens, holds whole pages, and the next sync brings the rest."""
    script = tmp_path / "killed.py"
    script.write_text(f"START = {START_NS}\n{_KILLED_AT}", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    source = template_source("100", options={}, venues={})
    found = []
    # A page is nine statements: before the first of them, after its bars, before its commit, and in the next two.
    for statements in (0, 5, 9, 16, 20):
        path = tmp_path / f"{statements}.duckdb"
        ended = subprocess.run([sys.executable, str(script), str(path), str(statements)], env=environment, check=False)
        with HistoricalDataStore(path) as store:
            before = sum(info.bars for info in store.list_series())
            answered = store.synced("X", MINUTE_NS, source.name)
            sync_bars(store, source, "X", MINUTE_NS, START_NS, START_NS + 30 * MINUTE_NS)
            after = minutes_of(store.read_bars("X", MINUTE_NS))
        found.append(before)

        assert ended.returncode == -signal.SIGKILL
        assert sum(end - start for start, end in answered) == before * MINUTE_NS
        assert after == list(range(30))
    assert found == [0, 0, 0, 10, 20]
