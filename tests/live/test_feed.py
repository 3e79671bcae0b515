"""The thread that asks the venue for everybody."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from src.brokers.ccxt_feed import OddBar
from src.core.clock import Participant
from src.core.errors import BrokerUnavailable, Stopping
from src.core.journal import Journal
from src.core.sync import Event, current_participant
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live.clock import LiveClock
from src.live.feed import Feed, Periodic
from src.live.recording import FILE, Recording, read_entries
from src.live.tape import Tape
from src.live.world import Change, World
from tests.live.live_world import START_NS, Exchange, Source

SPEED = 1000.0


class Watching:
    """Work that somebody has when a bar was shown, and a listener of the feed."""

    def __init__(self, world: World, symbol: str) -> None:
        self._world, self._symbol = world, symbol
        self.seen = 0
        self.failures = 0
        self.answers = 0

    def __call__(self) -> bool:
        """See `Wake`."""
        return self._world.series(self._symbol, MINUTE_NS).length > self.seen

    def next_due_ns(self) -> None:
        """See `Wake`."""
        return

    def feed_ok(self, instant_ns: int) -> None:
        """See `FeedListener`."""
        self.answers += 1

    def feed_failed(self, error: BaseException) -> None:
        """See `FeedListener`."""
        self.failures += 1


class Bench:
    """A feed over an exchange, workers that note when they go on, and a recording."""

    def __init__(self, folder: Path, symbols: tuple[str, ...], until: Callable[["Bench"], bool], **more: Any) -> None:
        self.path = folder / FILE
        self.exchange = Exchange(symbols)
        self.recording = Recording(self.path)
        self.tape = Tape(self.recording)
        self.clock = LiveClock(self.tape, speed=SPEED, origin_ns=START_NS)
        self.tape.failed = self.clock.void
        self.source = Source(self.exchange, dict.fromkeys(symbols, (MINUTE_NS,)), self.clock.present_ns, START_NS)
        self.source.start()
        self.world = World([(symbol, MINUTE_NS, "trade") for symbol in symbols], "USDT")
        self.order: list[tuple[int, str]] = []
        self.workers = [Watching(self.world, symbol) for symbol in symbols]
        self.until = until
        self.changes: list[Change] = []
        self.feed = Feed(
            self.source, self.world, self.clock, self.tape, Journal(), 5 * SECOND_NS, self.workers[0],
            let_see=lambda change, _: (self.world.apply(change), None)[1], seen=self.changes.append, **more,
        )  # fmt: skip
        self.feed.start()
        for rank, symbol in enumerate(symbols):
            self._spawn(rank, symbol)

    def _spawn(self, rank: int, symbol: str) -> None:
        watching = self.workers[rank]

        def run() -> None:
            try:
                while self.clock.wait_for_next_step(symbol):
                    watching.seen = self.world.series(symbol, MINUTE_NS).length
                    self.order.append((watching.seen, symbol))
            except Stopping:
                pass
            finally:
                self.clock.leave(symbol)

        self.clock.spawn(Participant(name=symbol, phase=2, rank=rank, wake=watching, poll_ns=MINUTE_NS), run)

    def run(self) -> None:
        """Until it is enough, which is asked whenever something became visible or could not."""

        def refresh(whole: Callable[[], None] = self.source.refresh) -> None:
            if self.until(self):
                self.clock.stop("enough")
            whole()

        self.source.refresh = refresh  # type: ignore[method-assign]  # another one for this test
        try:
            self.clock.drive()
        finally:
            self.recording.close()


def test_what_is_new_is_written_shown_and_acted_on_in_configured_order(tmp_path: Path) -> None:
    """Five workers whose bars close at one instant, whatever their names."""
    symbols = ("E", "B", "D", "A", "C")
    bench = Bench(tmp_path, symbols, lambda each: len(each.order) >= 15)

    bench.run()

    for bars in (1, 2):
        assert [symbol for seen, symbol in bench.order if seen == bars] == list(symbols)
    shown = [each for each in read_entries(bench.path, kinds=("world",)) if "bars" in each.body]
    turns = [each for each in read_entries(bench.path, kinds=("turn",)) if each.body["what"] == "step"]
    assert shown[0].n < turns[0].n
    instants = [each.instant_ns for each in read_entries(bench.path)]
    assert instants == sorted(instants)


def test_a_venue_that_is_silent_is_told_and_asked_again(tmp_path: Path) -> None:
    """What became of orders is shown all the same, prices are not."""
    bench = Bench(tmp_path, ("A",), lambda each: each.workers[0].failures >= 3)
    bench.world.apply(bench.world.collect(bench.source))
    whole = bench.source.refresh

    def refresh() -> None:
        whole()
        raise BrokerUnavailable("no bars")

    bench.source.refresh = refresh  # type: ignore[method-assign]  # another one for this test
    bench.run()

    assert bench.workers[0].failures >= 3
    assert bench.workers[0].answers == 0
    assert bench.changes
    assert all(set(change) <= {"account", "positions", "orders", "events"} for change in bench.changes)


def test_what_fails_in_it_otherwise_ends_the_run(tmp_path: Path) -> None:
    """The bot would be blind; nobody is left waiting, and the recording tells where it ended."""
    bench = Bench(tmp_path, ("A", "B"), lambda each: len(each.order) >= 2 and 1 // 0 > 0)

    with pytest.raises(ZeroDivisionError):
        bench.run()

    ends = list(read_entries(bench.path, kinds=("ended",)))
    assert len(ends) == 1
    assert "ZeroDivisionError" in ends[0].body["why"]


def test_a_resumed_feed_shows_what_is_there_before_anybody_goes_on(tmp_path: Path) -> None:
    """Without asking again, and with what is said of it on the way."""
    bench = Bench(
        tmp_path, ("A",), lambda each: len(each.changes) >= 2, resumed=True,
        arrives=lambda change, now_ns: change.update(history={"A": now_ns}),
    )  # fmt: skip
    bench.source._next = {("A", MINUTE_NS): START_NS - 5 * MINUTE_NS}
    bench.source.refresh()

    bench.run()

    first = next(iter(read_entries(bench.path, kinds=("world",)))).body
    assert len(first["bars"]) >= 5
    assert list(first["history"]) == ["A"]


def test_bars_that_came_too_late_are_noted(tmp_path: Path) -> None:
    """For people, and for whoever compares recordings."""
    bench = Bench(tmp_path, ("A",), lambda each: each.workers[0].answers >= 1)
    odd = OddBar(symbol="A", timeframe_ns=MINUTE_NS, open_ns=START_NS, values=(1.0, 1.0, 1.0, 1.0, 1.0))
    bench.source.feed.late.append(odd)
    bench.source.feed.revised.append(odd)

    bench.run()

    assert [each.body["what"] for each in read_entries(bench.path, kinds=("note",))] == ["late_bar", "revised_bar"]
    assert not bench.source.feed.late


def test_a_periodic_wake_comes_round() -> None:
    """Counted from its last beginning."""
    now = [10]
    wake = Periodic(5, lambda: now[0])
    assert wake()
    wake.begin()
    assert (wake(), wake.next_due_ns()) == (False, 15)
    now[0] = 15

    assert wake()


def test_while_somebody_keeps_the_turn_the_venue_is_asked_without_one(tmp_path: Path) -> None:
    """So that what has filled gets its stop; nothing becomes visible before the feed has its turn."""
    bench = Bench(tmp_path, ("A",), lambda each: False)
    asked: list[str] = []
    whole = bench.source.refresh

    def refresh() -> None:
        asked.append(current_participant.get())
        whole()

    bench.source.refresh = refresh  # type: ignore[method-assign]  # another one for this test
    kept = Event()

    def hang() -> None:
        """Keeps the turn from the first bar on until the venue was asked by somebody without one."""
        while not asked:
            bench.clock.sleep(SECOND_NS)
        for _ in range(12_000):
            bench.feed.look_after()
            if asked.count("hangs") >= 2:
                break
            kept.wait(0.01)
        before = len(bench.changes)
        bench.feed.look_after()
        assert len(bench.changes) == before
        bench.clock.stop("enough")

    wake = Watching(bench.world, "A")
    bench.clock.spawn(Participant(name="hangs", phase=2, rank=9, wake=wake, poll_ns=MINUTE_NS), hang)
    try:
        bench.clock.drive()
    finally:
        bench.recording.close()

    assert asked.count("hangs") >= 2
    assert "feed" in asked


def test_while_the_feed_gets_along_nobody_asks_in_its_place(tmp_path: Path) -> None:
    """Before it runs, and just after it has asked."""
    bench = Bench(tmp_path, ("A",), lambda each: len(each.order) >= 2)
    asked = 0

    def refresh(whole: Callable[[], None] = bench.source.refresh) -> None:
        nonlocal asked
        asked += 1
        if asked > 3:
            bench.clock.stop("enough")
        whole()
        bench.feed.look_after()

    bench.feed.look_after()
    assert asked == 0
    bench.source.refresh = refresh  # type: ignore[method-assign]  # another one for this test
    try:
        bench.clock.drive()
    finally:
        bench.recording.close()

    assert 4 <= asked <= 5
