# ruff: noqa: PLW0108 - that a line of the user's makes the call is what is tested
"""Strict mode during a run: what user code asks of the real clock is named, what the engine asks is not."""

import datetime as dt
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from time import monotonic as steady

import pytest

from src.backtesting.strict import NOT_SEEN, StrictFinding, StrictRuntime, StrictWatch
from src.core.bars import Bar
from src.core.strategy import BarStrategy
from src.core.sync import runtime_named
from src.testing import bar_series, build_world

both = pytest.mark.parametrize("runtime", ["threads", "fibers"])
HERE = str(Path(__file__))
LOCK = threading.Lock()
nap = vars(time)["sleep"]  # called with 0 only: that the call is noticed is what is tested
TAKEN = threading.Lock()


class Later(dt.datetime):
    """A user's own kind of instant."""


def watched(act: Callable[[], object], runtime: str = "threads", bars: int = 3) -> list[StrictFinding]:
    """The findings of a run whose strategy calls `act` at each bar of AAA."""

    class Acts(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if self.symbol == "AAA":
                act()

    watch = StrictWatch()
    series = [bar_series(symbol, [100.0] * bars) for symbol in ("AAA", "BBB")]
    controller = build_world(series, [Acts], runtime=StrictRuntime(runtime_named(runtime), watch))
    with watch.watching():
        result = controller.run()
    assert (result.error, result.bars) == (None, 2 * bars)
    return list(watch.findings())


READS: list[tuple[str, str, Callable[[], object]]] = [
    ("clock", "time.time()", lambda: time.time()),
    ("clock", "time.time_ns()", lambda: time.time_ns()),
    ("clock", "time.monotonic()", lambda: steady()),
    ("clock", "time.perf_counter_ns()", lambda: time.perf_counter_ns()),
    ("clock", "time.localtime()", lambda: time.localtime()),
    ("clock", "time.strftime()", lambda: time.strftime("%Y")),
    ("clock", "datetime.datetime.now()", lambda: dt.datetime.now()),
    ("clock", "datetime.datetime.now()", lambda: dt.datetime.now(dt.UTC)),
    ("clock", "datetime.date.today()", lambda: dt.date.today()),
    ("clock", f"{__name__}.Later.today()", lambda: Later.today()),
    ("sleep", "time.sleep()", lambda: nap(0)),
    ("lock", "threading.Lock()", lambda: threading.Lock()),
    ("lock", "threading.RLock()", lambda: threading.RLock()),
    ("lock", "threading.Event()", lambda: threading.Event()),
    ("lock", "threading.Condition()", lambda: threading.Condition()),
    ("lock", "threading.Semaphore()", lambda: threading.Semaphore()),
    ("lock", "queue.Queue()", lambda: queue.Queue()),
    ("lock", "acquire() of a real lock", lambda: TAKEN.acquire(blocking=False)),
]


@both
@pytest.mark.parametrize(("kind", "call", "act"), READS, ids=[f"{call} {i}" for i, (_, call, _) in enumerate(READS)])
def test_a_call_that_leaves_the_virtual_clock_is_named(
    kind: str, call: str, act: Callable[[], object], runtime: str
) -> None:
    """Participant, call, file, line and count, also where the function was imported under another name."""
    found = watched(act, runtime)

    line = act.__code__.co_firstlineno
    assert [(f.participant, f.kind, f.call, f.file, f.line, f.count) for f in found] == [
        ("worker:AAA", kind, call, HERE, line, 3)
    ]


@pytest.mark.parametrize(
    "act",
    [
        lambda: time.localtime(0),
        lambda: time.gmtime(86_400),
        lambda: time.strftime("%Y", time.gmtime(0)),
        lambda: dt.datetime.fromtimestamp(0, dt.UTC),
        lambda: dt.datetime(2024, 1, 1),
        lambda: {"now": 1}.get("now"),
        lambda: sorted([3, 1]),
    ],
)
def test_a_conversion_without_a_reading_is_not_a_finding(act: Callable[[], object]) -> None:
    """What depends on its arguments alone may be called."""
    assert watched(act) == []


def test_a_library_that_reads_the_clock_is_blamed_on_the_line_that_called_it() -> None:
    """The nearest line of user code is named, and the module that stood between."""
    logger = logging.getLogger("quiet")
    logger.addHandler(logging.NullHandler())

    found = watched(lambda: logger.warning("text"))

    clock = [f for f in found if f.kind == "clock"]
    assert [(f.call, f.file, f.through, f.count) for f in clock] == [("time.time()", HERE, "logging", 3)]
    assert [f for f in found if f.kind == "lock"] == []


def test_a_block_under_a_real_lock_is_named_when_it_ends() -> None:
    """The call that leaves the block is seen; the one that enters it is not told of."""

    def act() -> None:
        with LOCK:
            pass

    assert [(f.kind, f.call, f.count) for f in watched(act)] == [("lock", "`with` on a real lock", 3)]


def test_a_real_thread_is_named() -> None:
    """Whoever starts it."""

    def act() -> None:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

    found = watched(act)

    assert ("thread", "threading.Thread.start()") in {(f.kind, f.call) for f in found}
    assert {f.file for f in found} == {HERE}


@both
def test_each_participant_is_named_for_itself(runtime: str) -> None:
    """One line that several workers run is one finding for each; what a constructor does belongs to `main`."""

    class Reads(BarStrategy):
        def __init__(self) -> None:
            self.made = time.time()

        def on_bar(self, bar: Bar) -> None:
            time.time()

    watch = StrictWatch()
    series = [bar_series("AAA", [1.0, 2.0]), bar_series("BBB", [1.0, 2.0, 3.0])]
    controller = build_world(series, [Reads], runtime=StrictRuntime(runtime_named(runtime), watch))
    with watch.watching():
        controller.run()

    assert [(f.participant, f.count) for f in watch.findings()] == [("main", 2), ("worker:AAA", 2), ("worker:BBB", 3)]


@both
def test_a_strict_run_has_the_digest_of_any_other(runtime: str) -> None:
    """Looking changes nothing, and an order that is placed on the way is no finding: that is the engine's."""

    class Trades(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) % 3 == 0:
                self.buy(stop=bar.close - 1) if self.position.is_flat else self.close()

    series = [bar_series("AAA", [100.0, 101.0, 102.0] * 5)]
    watch = StrictWatch()
    strict = build_world(series, [Trades], runtime=StrictRuntime(runtime_named(runtime), watch)).run()
    plain = build_world(series, [Trades], runtime=runtime).run()

    assert strict.digest == plain.digest
    assert len(strict.trades) > 1
    assert watch.findings() == ()


@both
def test_what_helper_threads_and_timers_of_the_clock_do_is_seen_and_the_clocks_own_locks_are_not(runtime: str) -> None:
    """They are participants like any other, and made of no real locks of the user's."""

    class Helped(BarStrategy):
        def on_bar(self, bar: Bar) -> None:
            if len(self.bars) == 1:
                with self.clock.lock():
                    self.clock.event().set()
                self.clock.start_thread(lambda: time.time()).join()
                self.clock.set_timer(1_000, lambda: time.time_ns())
                self.clock.sleep(2_000)

    watch = StrictWatch()
    build_world([bar_series("AAA", [1.0, 2.0])], [Helped], runtime=StrictRuntime(runtime_named(runtime), watch)).run()

    assert [(f.participant, f.call, f.count) for f in watch.findings()] == [
        ("worker:AAA/helper-1", "time.time()", 1),
        ("worker:AAA/timer-2", "time.time_ns()", 1),
    ]


def test_the_watch_leaves_the_profile_function_that_was_there() -> None:
    """The thread that composes the run is as it was."""
    before = sys.getprofile()
    with StrictWatch().watching():
        assert sys.getprofile() is not before

    assert sys.getprofile() is before


def test_a_finding_is_a_sentence_that_says_what_to_write() -> None:
    """Place, participant, call, count, advice."""
    finding = StrictFinding(
        participant="worker:AAA", kind="sleep", call="time.sleep()", file="mine.py", line=7, count=2
    )
    named = StrictFinding(participant="", kind="lock", call="threading.Event()", file="mine.py", line=3)

    assert finding.sentence == (
        "mine.py:7: worker:AAA called time.sleep() 2 times; write self.clock.sleep(duration_ns)"
    )
    assert named.sentence == "mine.py:3: names threading.Event(); write self.clock.event()"
    assert any("pandas.Timestamp.now" in line for line in NOT_SEEN)
