"""Why a participant does not come back: the real lock in the line that does not return, and who holds it."""

import pdb
import queue
import sys
import threading
import types
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from src.backtesting.engine import watchdog as watchdog_module
from src.backtesting.engine.stuck import RealWait, debugger_active, place_of, real_wait
from src.backtesting.engine.watchdog import Watchdog, busy_poller
from src.core.errors import LivelockError, StalledThreadError
from src.core.timeframe import SECOND_NS
from tests.backtesting.engine.scripted import Stage

LOCK = threading.Lock()
SHARED = types.SimpleNamespace(locks={"AAA": threading.RLock()}, gate=threading.Condition())


def standing(name: str, act: Callable[[], object]) -> tuple[threading.Thread, FrameType]:
    """A thread that runs `act`, and its frame once it stands in a line that waits for something real."""
    thread = threading.Thread(target=act, name=name, daemon=True)
    thread.start()
    while True:
        frame = sys._current_frames().get(thread.ident or 0)
        if frame is not None and real_wait(frame, {}) is not None:
            return thread, frame
        thread.join(0.001)


def blocked(act: Callable[[], object], free: Callable[[], object], **others: Callable[[], object]) -> RealWait | None:
    """What the frame of a thread that is blocked in `act` waits for; `free` lets all threads end."""
    stand = {name: standing(name, act) for name, act in {**others, "stuck": act}.items()}
    found = {name: frame for name, (_, frame) in stand.items()}
    answer = real_wait(found.pop("stuck"), found)
    free()
    for thread, _ in stand.values():
        thread.join(5)
    return answer


def test_a_plain_lock_and_the_block_that_holds_it_are_found() -> None:
    """The holder stands inside a `with` of the same lock."""
    over = threading.Event()

    def holder() -> None:
        with LOCK:
            over.wait()

    def act() -> None:
        with LOCK:
            pass

    answer = blocked(act, over.set, **{"worker:AAA": holder})

    assert answer is not None
    assert (answer.kind, answer.name, answer.holder, answer.certain) == ("threading.Lock", "LOCK", "worker:AAA", True)
    assert answer.place.startswith("test_stuck.py:")
    assert answer.holder_place.startswith("test_stuck.py:")


def test_a_holder_without_a_block_is_only_probable() -> None:
    """It took the lock with `acquire`, and its function still refers to it."""
    own, over = threading.Lock(), threading.Event()

    def holder() -> None:
        own.acquire()
        over.wait()
        own.release()

    def act() -> None:
        own.acquire()

    answer = blocked(act, over.set, **{"worker:AAA": holder})

    assert answer is not None
    assert (answer.name, answer.holder, answer.certain) == ("own", "worker:AAA", False)


def test_an_rlock_knows_its_owner_also_inside_a_mapping_of_an_object() -> None:
    """It is asked, so nothing has to be guessed."""
    over = threading.Event()

    def take() -> None:
        SHARED.locks["AAA"].acquire()

    def holder() -> None:
        take()
        over.wait()
        SHARED.locks["AAA"].release()

    def act() -> None:
        SHARED.locks["AAA"].acquire()

    answer = blocked(act, over.set, **{"worker:BBB": holder})

    assert answer is not None
    assert (answer.kind, answer.holder, answer.certain) == ("threading.RLock", "worker:BBB", True)


@pytest.mark.parametrize(
    ("kind", "make", "wait", "free"),
    [
        ("threading.Event", threading.Event, lambda it: it.wait(), lambda it: it.set()),
        ("queue.Queue", queue.Queue, lambda it: it.get(), lambda it: it.put(1)),
        ("threading.Semaphore", lambda: threading.Semaphore(0), lambda it: it.acquire(), lambda it: it.release()),
        ("queue.SimpleQueue", queue.SimpleQueue, lambda it: it.get(), lambda it: it.put(1)),
    ],
)
def test_other_blocking_things_are_named_without_a_holder(
    kind: str, make: Callable[[], Any], wait: Callable[[Any], object], free: Callable[[Any], object]
) -> None:
    """Nobody holds an event or a queue; only another turn could do what is waited for."""
    it = make()

    answer = blocked(lambda: wait(it), lambda: free(it))

    assert answer is not None
    assert (answer.kind, answer.name, answer.holder) == (kind, "it", "")


def test_the_lock_of_a_condition_is_found_with_its_holder() -> None:
    """`with condition:` waits for its lock; waiting for the notification itself names nobody."""
    over = threading.Event()

    def holder() -> None:
        with SHARED.gate:
            over.wait()

    def act() -> None:
        with SHARED.gate:
            pass

    answer = blocked(act, over.set, **{"worker:AAA": holder})

    assert answer is not None
    assert (answer.kind, answer.holder) == ("threading.Condition", "worker:AAA")


def test_a_computation_under_a_lock_is_not_taken_for_a_wait() -> None:
    """Only a line that names a lock can wait for it."""
    over: list[int] = []

    def act() -> None:
        with LOCK:
            spin()

    def spin() -> None:
        while not over:
            pass

    thread = threading.Thread(target=act, name="stuck", daemon=True)
    thread.start()
    answers = {real_wait(sys._current_frames().get(thread.ident or 0), {}) for _ in range(100)}
    over.append(1)
    thread.join(5)

    assert answers == {None}


def test_a_frame_that_a_debugger_follows_is_seen() -> None:
    """At a prompt, and between prompts while it is told of each line."""
    frame = sys._getframe()

    assert not debugger_active(frame)

    debugger = pdb.Pdb()
    inner: list[bool] = []

    def looked_at() -> None:
        here = sys._getframe()
        here.f_trace = debugger.trace_dispatch
        inner.append(debugger_active(here))
        here.f_trace = None

    looked_at()

    assert inner == [True]
    assert not debugger_active(None)


class Standing:
    """A seat whose carrier stands in a frame."""

    def __init__(self, frame: FrameType | None) -> None:
        self.name, self.turns, self.carrier = "worker:AAA", 1, self
        self._frame = frame

    def frame(self) -> FrameType | None:
        return self._frame


def test_the_watchdog_looks_away_while_a_debugger_is_active() -> None:
    """The same turn may then last for ever; afterwards its time begins anew."""
    debugger = pdb.Pdb()
    seat: Any = Standing(sys._getframe())
    watchdog = Watchdog(limit_ns=0)
    watchdog.check(seat, 0)

    sys._getframe().f_trace = debugger.trace_dispatch
    followed = watchdog.check(seat, 0)
    sys._getframe().f_trace = None

    assert followed is None
    assert isinstance(watchdog.check(seat, 0), StalledThreadError)


def test_a_process_that_was_suspended_makes_no_turn_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever lets it go on after hours finds that it goes on; and what really takes long is still found."""
    now_ns = 0
    monkeypatch.setattr(watchdog_module, "monotonic_ns", lambda: now_ns)
    seat: Any = Standing(sys._getframe())
    watchdog = Watchdog(limit_ns=60 * SECOND_NS)
    found = []
    for step in (1, 1, 3600, *[1] * 55):
        now_ns += step * SECOND_NS
        found.append(watchdog.check(seat, 0))

    assert found[:-1] == [None] * 57
    assert "for 61 real seconds" in str(found[-1])


def test_the_watchdog_blames_nobody_without_a_turn() -> None:
    """A step, a pause and a suspended watchdog are shown to it as nobody's turn."""
    seat: Any = Standing(sys._getframe())
    watchdog = Watchdog(limit_ns=0)
    watchdog.check(seat, 0)
    watchdog.check(None, 0)

    assert watchdog.check(seat, 0) is None
    assert watchdog.check(seat, 0) is not None


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_a_suspended_watchdog_lets_a_long_turn_pass(runtime: str) -> None:
    """Somebody looks at it; three checks of the driving thread pass without an error."""
    stage = Stage([10, 20], runtime=runtime, stall_s=0.0)
    checks: list[int] = []
    check = stage.clock._watchdog.check
    enough = threading.Event()

    def counted(running: Any, now_ns: int, alive: Any = ()) -> Any:
        checks.append(now_ns)
        if len(checks) >= 3:
            enough.set()
        return check(running, now_ns, alive)

    def act() -> None:
        if not enough.is_set():
            with stage.clock.suspend_watchdog():
                enough.wait(20)

    stage.clock._watchdog.check = counted  # type: ignore[method-assign]  # counts the looks
    stage.add("worker:AAA", act, symbol="AAA", wake=None)

    assert stage.run() == [(10, "worker:AAA"), (20, "worker:AAA")]
    assert len(checks) >= 3


def test_a_busy_poller_is_named_with_the_call_and_the_line() -> None:
    """The error is made in its own turn, so the caller's frame says where."""
    error = busy_poller("worker:AAA", 60_000_000_000, 100_000)

    assert isinstance(error, LivelockError)
    assert error.participants == ["worker:AAA"]
    assert "worker:AAA made more than 100,000 calls in one turn at 1970-01-01 00:01:00Z" in error.message
    assert "at test_stuck.py:" in error.message
    assert "test_a_busy_poller_is_named" in error.stacks["worker:AAA"]


def test_a_place_without_a_frame_is_empty() -> None:
    """For somebody who has not begun or has ended."""
    assert place_of(None) == ""
    assert real_wait(None, {}) is None
