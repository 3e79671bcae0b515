"""What can go wrong in a bot, each once in every runtime: a typed error or the configured policy, never a hang.

Two symbols with nine bars each; the strategy of AAA misbehaves at its third bar. `test_failures.py` and
`test_broken_runs.py` look at single failures more closely.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import greenlet
import pytest

from src.backtesting.result import BacktestResult, Outcome
from src.core.bars import Bar
from src.core.errors import (
    DeadlockError,
    InternalError,
    LivelockError,
    LockstepError,
    StalledThreadError,
    StrategyError,
)
from src.core.features import Feature
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.core.trade_manager import TradeManager
from src.testing import bar_series, bot_config, build_world

runtimes = pytest.mark.parametrize("runtime", ["threads", "fibers"])
policies = pytest.mark.parametrize("on_error", ["stop_all", "stop_symbol"])
HERE = "test_going_wrong.py"
BARS = 9

Act = Callable[[Any], object]


class Oops(BaseException):
    """Nothing that `except Exception` would catch."""


class Acts(BarStrategy):
    """Does what is planned for a symbol and a place."""

    plan: dict[tuple[str, str], Act] = {}
    seen: list[tuple[str, int]] = []

    def __init__(self) -> None:
        self.do("constructor")

    def features(self) -> dict[str, Feature]:
        self.do("features")
        return {}

    def on_start(self) -> None:
        self.do("start")

    def on_bar(self, bar: Bar) -> None:
        self.seen.append((self.symbol, len(self.bars)))
        self.do(f"bar {len(self.bars)}")

    def on_stop(self) -> None:
        self.do("stop")

    def do(self, where: str) -> None:
        act = self.plan.get((self.symbol, where))
        if act is not None:
            act(self)


def go(runtime: str, plan: dict[tuple[str, str], Act], on_error: str = "stop_all", **how: Any) -> BacktestResult:
    """Run the plan; `seen` holds the bars that were shown."""
    Acts.plan, Acts.seen = plan, []
    series = [bar_series(symbol, [100.0] * BARS) for symbol in ("AAA", "BBB")]
    config = bot_config(["AAA", "BBB"], [Acts], on_error=on_error)
    return build_world(series, [Acts], config, runtime=runtime, **how).run()


def shown(symbol: str) -> list[int]:
    """The bars that the symbol's strategy saw, in order."""
    return [number for name, number in Acts.seen if name == symbol]


def raises(error: BaseException) -> Act:
    """An act that raises it."""

    def act(strategy: Any) -> None:
        raise error

    return act


def in_a_thread(act: Act) -> Act:
    """An act of a helper thread."""
    return lambda strategy: strategy.clock.start_thread(lambda: act(strategy))


def in_a_timer(act: Act) -> Act:
    """An act of a timer half a minute later."""
    return lambda strategy: strategy.clock.set_timer(30 * SECOND_NS, lambda: act(strategy))


ERRORS = [ValueError("wrong"), SystemExit("wrong"), greenlet.GreenletExit("wrong"), Oops("wrong")]
PLACES: list[tuple[str, Callable[[Act], Act]]] = [
    ("constructor", lambda act: act),
    ("features", lambda act: act),
    ("start", lambda act: act),
    ("bar 3", lambda act: act),
    ("stop", lambda act: act),
    ("bar 3", in_a_thread),
    ("bar 3", in_a_timer),
]
IDS = ["constructor", "features", "on_start", "on_bar", "on_stop", "helper thread", "timer"]


@runtimes
@policies
@pytest.mark.parametrize(
    ("where", "how", "error"),
    # What is made before the threads start runs in the program's own thread, where Ctrl-C must stay what it is.
    [
        pytest.param(where, how, error, id=f"{name}-{type(error).__name__}")
        for (where, how), name in zip(PLACES, IDS, strict=True)
        for error in (ERRORS[:2] if where in ("constructor", "features") else ERRORS)
    ],
)
def test_whatever_a_strategy_raises_ends_in_the_configured_policy(
    where: str, how: Callable[[Act], Act], error: BaseException, on_error: str, runtime: str
) -> None:
    """FAILED with a StrategyError, or DEGRADED with all bars of the other symbol; also what is no `Exception`."""
    result = go(runtime, {("AAA", where): how(raises(error))}, on_error)

    if on_error == "stop_all":
        assert (result.outcome, type(result.error)) == (Outcome.FAILED, StrategyError)
        assert isinstance(result.error, StrategyError)
        assert (result.error.symbol, result.error.strategy) == ("AAA", "Acts")
        assert result.error.cause == f"{type(error).__name__}: wrong"
    else:
        assert (result.outcome, list(result.failures), result.error) == (Outcome.DEGRADED, ["AAA"], None)
        assert f"{type(error).__name__}: wrong" in result.failures["AAA"]
        assert shown("BBB") == list(range(1, BARS + 1))
    assert shown("AAA") == list(range(1, {"bar 3": 4, "stop": BARS + 1}.get(where, 1)))


@runtimes
@policies
@pytest.mark.parametrize("error", ERRORS[:1] + ERRORS[3:], ids=lambda error: type(error).__name__)
def test_whatever_the_monitor_raises_ends_the_run(
    error: BaseException, on_error: str, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody guards the positions any more, so `on_error` is not asked."""

    def broken(manager: TradeManager) -> None:
        raise error

    monkeypatch.setattr(TradeManager, "start", broken)
    if not isinstance(error, Exception):
        with pytest.raises(type(error), match="wrong"):
            go(runtime, {}, on_error)
        return
    result = go(runtime, {}, on_error)

    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, InternalError)
    assert result.error.__cause__ is error


@runtimes
@pytest.mark.parametrize(
    ("poll", "call"),
    [
        (lambda strategy: strategy.now_ns, "Strategy.now_ns"),
        (lambda strategy: strategy.clock.now_ns(), "TimeController.now_ns"),
        (lambda strategy: strategy.position, "Strategy.position"),
        (lambda strategy: strategy.account, "Strategy.account"),
        (lambda strategy: strategy.quote, "Strategy.quote"),
    ],
    ids=["now_ns", "clock", "position", "account", "quote"],
)
def test_a_loop_that_polls_without_waiting_is_named(poll: Act, call: str, runtime: str) -> None:
    """By participant, call, place and instant; real time has no part in finding it."""

    def spin(strategy: Any) -> None:
        while True:
            poll(strategy)

    result = go(runtime, {("AAA", "bar 3"): spin}, stall_s=2.0)

    error = result.error
    assert result.outcome is Outcome.FAILED
    assert isinstance(error, LivelockError)
    assert error.participants == ["worker:AAA"]
    assert error.call == call
    assert error.since_ns == result.start_ns + 3 * MINUTE_NS
    assert HERE in error.message
    assert "2024-01-01 00:03:00Z" in error.message
    assert "spin" in error.stacks["worker:AAA"] or "poll" in error.stacks["worker:AAA"]
    assert result.bars == 6


@contextmanager
def freed(*locks: Any) -> Iterator[None]:
    """Afterwards release the real locks, so that the threads that wait for them end."""
    try:
        yield
    finally:
        for lock in locks:
            if isinstance(lock, threading.Event):
                lock.set()
            else:
                lock.release()
        for thread in threading.enumerate():
            if thread.name.startswith(("worker:", "monitor:", "fibers")):
                thread.join(5)


@pytest.mark.slow
@runtimes
def test_a_strategy_that_never_returns_is_named_with_its_stack(runtime: str) -> None:
    """The run is FAILED after the configured real time, although the thread cannot be ended."""
    over = threading.Event()

    def compute(strategy: Any) -> None:
        while not over.is_set():
            sum(range(100))

    with freed(over):
        result = go(runtime, {("AAA", "bar 3"): compute}, stall_s=0.1)

    error = result.error
    assert result.outcome is Outcome.FAILED
    assert isinstance(error, StalledThreadError)
    assert (error.participant, error.holder) == ("worker:AAA", "")
    assert error.since_ns == result.start_ns + 3 * MINUTE_NS
    assert "in compute" in error.stacks["worker:AAA"]
    assert "worker:AAA has not given its turn back" in error.message
    assert "since 2024-01-01 00:03:00Z" in error.message
    assert (result.bars, shown("AAA"), shown("BBB")) == (6, [1, 2, 3], [1, 2])


@pytest.mark.slow
@runtimes
def test_a_plain_lock_held_across_a_wait_is_named_with_its_holder(runtime: str) -> None:
    """The one that wants it stalls; the error says who holds it, where, and what to write instead."""
    shared = threading.Lock()

    def holds(strategy: Any) -> None:
        with shared:
            strategy.clock.sleep(10 * MINUTE_NS)

    def wants(strategy: Any) -> None:
        shared.acquire()

    with freed(shared):
        result = go(runtime, {("AAA", "bar 2"): holds, ("BBB", "bar 3"): wants}, stall_s=0.1)
        # Whoever got it when the run was over has it still.
        shared.acquire(blocking=False)

    error = result.error
    assert isinstance(error, StalledThreadError)
    assert (error.participant, error.waits_for, error.holder) == ("worker:BBB", "threading.Lock shared", "worker:AAA")
    assert "it waits for the plain threading.Lock shared at test_going_wrong.py:" in error.message
    assert "which worker:AAA holds at test_going_wrong.py:" in error.message
    assert "while it waits for sleep until 2024-01-01 00:12:00Z since 2024-01-01 00:02:00Z" in error.message
    assert "self.clock.lock()" in error.message
    assert "in wants" in error.stacks["worker:BBB"]
    assert "in holds" in error.stacks["worker:AAA"]
    assert (shown("AAA"), shown("BBB")) == ([1, 2], [1, 2, 3])


@pytest.mark.slow
@runtimes
def test_a_plain_lock_that_was_never_released_is_named_without_a_holder(runtime: str) -> None:
    """Whoever took it has returned long ago, so the error says that."""
    shared = threading.Lock()

    def wants(strategy: Any) -> None:
        shared.acquire()

    with freed(shared):
        result = go(runtime, {("AAA", "bar 2"): wants, ("BBB", "bar 3"): wants}, stall_s=0.1)

    error = result.error
    assert isinstance(error, StalledThreadError)
    assert (error.participant, error.waits_for, error.holder) == ("worker:BBB", "threading.Lock shared", "")
    assert "somebody took it and returned without releasing it" in error.message


@runtimes
@policies
def test_workers_that_wait_for_each_other_are_a_deadlock(on_error: str, runtime: str) -> None:
    """Each is named with what it waits for and since when."""

    def make(strategy: Any) -> None:
        Acts.plan["locks", ""] = strategy.clock.lock("first")
        Acts.plan["locks", "2"] = strategy.clock.lock("second")

    def takes(one: str, other: str) -> Act:
        def act(strategy: Any) -> None:
            locks: Any = Acts.plan
            with locks["locks", one]:
                strategy.clock.sleep(10 * SECOND_NS)
                locks["locks", other].acquire()

        return act

    plan = {("AAA", "start"): make, ("AAA", "bar 3"): takes("", "2"), ("BBB", "bar 3"): takes("2", "")}
    result = go(runtime, plan, on_error)

    error = result.error
    assert result.outcome is Outcome.FAILED
    assert isinstance(error, DeadlockError)
    assert sorted(error.participants) == ["worker:AAA", "worker:BBB"]
    for part in ("the lock first", "the lock second", "worker:AAA", "worker:BBB", "since 2024-01-01 00:03:10Z"):
        assert part in error.message
    assert all("other].acquire()" in error.stacks[name] for name in error.participants)
    assert result.bars == 6


@runtimes
def test_workers_that_all_wait_for_what_nobody_does_are_a_deadlock(runtime: str) -> None:
    """An event that nobody can set any more: names, waits, since when, and stacks that show the user's line."""

    def waits(strategy: Any) -> None:
        strategy.clock.event("never set").wait()

    result = go(runtime, {("AAA", "bar 3"): waits, ("BBB", "bar 4"): waits})

    error = result.error
    assert result.outcome is Outcome.FAILED
    assert isinstance(error, DeadlockError)
    assert error.participants == ["worker:AAA", "worker:BBB"]
    assert error.since_ns == [result.start_ns + 3 * MINUTE_NS, result.start_ns + 4 * MINUTE_NS]
    assert all("never set" in what for what in error.waits)
    assert (
        "worker:AAA waits for the event never set since 2024-01-01 00:03:00Z at test_going_wrong.py:" in error.message
    )
    assert all("in waits" in error.stacks[name] for name in error.participants)
    assert result.bars == 8


@runtimes
def test_one_worker_that_waits_for_ever_ends_the_run_as_failed_when_the_market_is_over(runtime: str) -> None:
    """Its last bars were never shown to it, so the run is not complete."""

    def waits(strategy: Any) -> None:
        strategy.clock.event("never set").wait()

    result = go(runtime, {("AAA", "bar 3"): waits})

    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, DeadlockError)
    assert result.error.participants == ["worker:AAA"]
    assert (shown("AAA"), shown("BBB")) == ([1, 2, 3], list(range(1, BARS + 1)))


@runtimes
@pytest.mark.parametrize("how", [lambda act: act, in_a_thread, in_a_timer], ids=["worker", "helper thread", "timer"])
def test_a_stop_from_inside_ends_the_run_in_order(how: Callable[[Act], Act], runtime: str) -> None:
    """INTERRUPTED, nobody is left waiting, and `on_stop` is called."""
    stopped: list[str] = []
    plan = {(symbol, "stop"): lambda strategy: stopped.append(strategy.symbol) for symbol in ("AAA", "BBB")}
    result = go(runtime, {**plan, ("AAA", "bar 3"): how(lambda strategy: strategy.clock.stop("enough"))})

    assert (result.outcome, result.error) == (Outcome.INTERRUPTED, None)
    assert stopped == ["AAA", "BBB"]
    assert shown("AAA") == shown("BBB") == [1, 2, 3]


@runtimes
def test_a_stop_wakes_those_who_wait_inside_their_turns(runtime: str) -> None:
    """Their waits raise `Stopping`, which no strategy has to know; the run ends at once."""

    def sleeps(strategy: Any) -> None:
        strategy.clock.sleep(3 * MINUTE_NS)

    result = go(runtime, {("AAA", "bar 3"): sleeps, ("BBB", "bar 4"): lambda strategy: strategy.clock.stop("enough")})

    assert (result.outcome, result.bars) == (Outcome.INTERRUPTED, 8)
    assert (shown("AAA"), shown("BBB")) == ([1, 2, 3], [1, 2, 3, 4])


@runtimes
def test_a_symbol_that_fails_at_its_start_hangs_nobody(runtime: str) -> None:
    """The others see every bar, though one participant never came to its first wait."""
    result = go(runtime, {("AAA", "start"): lambda strategy: sys.exit("no start")}, "stop_symbol")

    assert (result.outcome, list(result.failures)) == (Outcome.DEGRADED, ["AAA"])
    assert (shown("AAA"), shown("BBB")) == ([], list(range(1, BARS + 1)))


@runtimes
@pytest.mark.parametrize("where", ["start", "bar 3", "stop"])
def test_an_error_of_lockstep_is_not_taken_for_the_strategys(where: str, runtime: str) -> None:
    """It keeps its type, and `stop_symbol` does not go on after it."""
    result = go(runtime, {("AAA", where): raises(InternalError("ours"))}, "stop_symbol")

    assert result.outcome is Outcome.FAILED
    assert isinstance(result.error, LockstepError)
    assert result.error.message == "ours"
