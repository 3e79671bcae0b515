"""The only door to real threads, real locks and the real clock.

Everything else gets time and blocking from a `Clock`. What stands here is what clocks are made of: raw locks, threads
and greenlets that are started parked, and the wall clock's readings.
"""

import _thread
import contextvars
import ctypes
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Protocol

import greenlet

__all__ = [
    "Carrier",
    "Event",
    "FiberRuntime",
    "Lock",
    "ReentrantLock",
    "Runtime",
    "ThreadRuntime",
    "Ticker",
    "collect_new",
    "current_name",
    "current_participant",
    "failures_told",
    "interrupts_raise",
    "monotonic_ns",
    "on_interrupt",
    "rare_collections",
    "runtime_named",
    "start_thread",
    "terminations_interrupt",
    "thread_names",
    "thread_stacks",
    "wall_ns",
]

Lock = threading.Lock
ReentrantLock = threading.RLock
Event = threading.Event

#: Name of the participant whose turn the current thread or fiber runs; the identity in logs, never the thread's name.
current_participant: contextvars.ContextVar[str] = contextvars.ContextVar("current_participant", default="main")

monotonic_ns = time.perf_counter_ns
wall_ns = time.time_ns


class Carrier(Protocol):
    """Whatever executes one participant: an OS thread or a fiber.

    Attributes:
        resume: lets it run; called by the one that has the turn.
        park: then blocks the caller until somebody resumes it; None where `resume` itself does not return before that.
    """

    name: str
    resume: Callable[[], object]
    park: Callable[[], object] | None

    def frame(self) -> FrameType | None:
        """Where it stands, None when it has not begun or has ended; for messages about a run that does not get on."""
        ...


class Runtime(Protocol):
    """What carries the participants. At most one carrier runs at any moment; the turn is handed from one to the next.

    `spawn` makes a parked carrier, also while the drive is under way. To hand over, the one that has the turn calls
    the other's `resume` and then its own `park`; in between it touches nothing shared. `finish` lets `to` run, or ends
    the drive when it is None; the caller must return from its function right after. `drive` runs in the owner's
    thread: it lets `first` run and returns when `finish(None)` was called, after calling `check` about once a second.
    """

    name: str

    def spawn(self, name: str, run: Callable[[], None]) -> Carrier: ...
    def finish(self, to: Carrier | None) -> None: ...
    def drive(self, first: Carrier, check: Callable[[], None]) -> None: ...


#: So many threads may have ended before the run forgets them.
MOST_ENDED = 64


class _ThreadCarrier:
    __slots__ = ("name", "park", "resume", "thread")

    def __init__(self, name: str) -> None:
        baton = _thread.allocate_lock()
        baton.acquire()
        self.name = name
        self.park: Callable[[], object] | None = baton.acquire
        self.resume: Callable[[], object] = baton.release
        self.thread: threading.Thread | None = None

    def frame(self) -> FrameType | None:
        ident = None if self.thread is None else self.thread.ident
        return None if ident is None else sys._current_frames().get(ident)


class ThreadRuntime:
    """One OS thread per participant; a raw lock each, released by whoever hands the turn over.

    Args:
        core: the processor core that each participant thread pins itself to, None for no pinning. Only one of them
            runs at a time, and a hand-over inside one core is about twice as fast.
    """

    name = "threads"

    def __init__(self, core: int | None = None) -> None:
        self._core = core
        self._done = _thread.allocate_lock()
        self._done.acquire()
        self._carriers: list[_ThreadCarrier] = []
        self._most = MOST_ENDED
        self._driving = False

    def spawn(self, name: str, run: Callable[[], None]) -> Carrier:
        carrier = _ThreadCarrier(name)
        wait_for_first_turn = carrier.park

        def body() -> None:
            _pin_to(self._core)
            _name_os_thread(name)
            if wait_for_first_turn is not None:
                wait_for_first_turn()
            current_participant.set(name)
            run()

        carrier.thread = threading.Thread(target=body, name=name, daemon=True)
        if self._driving:
            carrier.thread.start()
            if len(self._carriers) >= self._most:
                self._carriers = [each for each in self._carriers if each.thread is not None and each.thread.is_alive()]
                self._most = 2 * len(self._carriers) + MOST_ENDED
        self._carriers.append(carrier)
        return carrier

    def finish(self, to: Carrier | None) -> None:
        if to is None:
            self._done.release()
        else:
            to.resume()

    def drive(self, first: Carrier, check: Callable[[], None]) -> None:
        # Not before: a composition that fails half-way leaves no thread behind.
        self._driving = True
        for carrier in list(self._carriers):
            if carrier.thread is not None:
                carrier.thread.start()
        first.resume()
        while not self._done.acquire(timeout=1.0):
            check()
        for carrier in self._carriers:
            if carrier.thread is not None:
                carrier.thread.join()


class _FiberCarrier:
    __slots__ = ("body", "fiber", "name", "park", "resume", "thread_ident")

    def __init__(self, name: str, body: Callable[[], None], start: Callable[["_FiberCarrier"], object]) -> None:
        self.name = name
        self.body = body
        self.fiber: greenlet.greenlet | None = None
        self.thread_ident = 0
        self.park: Callable[[], object] | None = None
        self.resume: Callable[[], object] = partial(start, self)

    def go_on(self) -> None:
        """Called by the greenlet that drives, which becomes the parent, so that one that ends comes back there."""
        if self.fiber is None:
            self.fiber, self.thread_ident = greenlet.greenlet(self.body), _thread.get_ident()
            self.resume = self.fiber.switch
        self.fiber.switch()

    def frame(self) -> FrameType | None:
        if self.fiber is None or self.fiber.dead:
            return None
        parked: FrameType | None = self.fiber.gr_frame
        # The one that runs has no frame of its own to show: it is where its thread is.
        return parked if parked is not None else sys._current_frames().get(self.thread_ident)


class FiberRuntime:
    """The same loops as greenlets in one thread: a hand-over is a switch of stacks, no operating system.

    Args:
        core: as for `ThreadRuntime`, for the one thread.
    """

    name = "fibers"

    def __init__(self, core: int | None = None) -> None:
        self._core = core
        self._next: Carrier | None = None
        self._root: greenlet.greenlet | None = None

    def spawn(self, name: str, run: Callable[[], None]) -> Carrier:
        def body() -> None:
            current_participant.set(name)
            run()

        return _FiberCarrier(name, body, self._start)

    def _start(self, carrier: _FiberCarrier) -> object:
        # From the root, or each fiber would begin on top of the stack of the one that resumed it first.
        self._next = carrier
        root = self._root
        return root.switch() if root is not None else None

    def finish(self, to: Carrier | None) -> None:
        # The finishing greenlet returns to the driver, which goes on with the next one.
        self._next = to

    def drive(self, first: Carrier, check: Callable[[], None]) -> None:
        # In a thread of their own, so that the owner's can notice a turn that is never given back.
        done = _thread.allocate_lock()
        done.acquire()
        failure: list[BaseException] = []

        def chain() -> None:
            _pin_to(self._core)
            _name_os_thread("fibers")
            try:
                self._root, self._next = greenlet.getcurrent(), first
                while self._next is not None:
                    carrier, self._next = self._next, None
                    carrier.go_on()  # type: ignore[attr-defined]  # only carriers made by this runtime come back to it
            except BaseException as error:  # raised again below, in the owner's thread
                failure.append(error)
            finally:
                done.release()

        thread = start_thread("fibers", chain)
        while not done.acquire(timeout=1.0):
            check()
        thread.join()
        if failure:
            raise failure[0]


def runtime_named(name: str, *, pin: bool = True) -> Runtime:
    """The runtime of a configuration: `threads` or `fibers`, pinned where the system can."""
    core = _core_for_this_process() if pin else None
    return FiberRuntime(core) if name == "fibers" else ThreadRuntime(core)


def _core_for_this_process() -> int | None:
    """The core that the calling thread is on: where the system put it, which is where there was room."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return None
    try:
        core = int(ctypes.CDLL(None).sched_getcpu())
    except (OSError, AttributeError):
        core = -1
    # Without that call by process id, so that several processes side by side do not all land on the first core.
    return core if core in cores else cores[os.getpid() % len(cores)]


def _pin_to(core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})  # 0 is the calling thread, so the rest of the process is left alone


def _name_os_thread(name: str) -> None:
    # Shown by top, gdb and perf; the kernel keeps 15 bytes.
    try:
        with open(f"/proc/self/task/{threading.get_native_id()}/comm", "w", encoding="utf-8") as file:
            file.write(name[:15])
    except OSError:
        return


class Ticker:
    """Calls a function from a thread of its own about every `interval_s` seconds, until `close`. For displays."""

    def __init__(self, interval_s: float, function: Callable[[], None]) -> None:
        self._stop = threading.Event()

        def body() -> None:
            while not self._stop.wait(interval_s):
                function()

        self._thread = threading.Thread(target=body, name="ticker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the calls and wait for the thread to end."""
        self._stop.set()
        self._thread.join()


@contextmanager
def on_interrupt(function: Callable[[], None]) -> Iterator[None]:
    """While inside, Ctrl-C and a termination request call `function` instead of raising; main thread only.

    It is called once. Ctrl-C after that raises `KeyboardInterrupt` as usual, for a run that does not come to its next
    step; another termination request is the same request, because `timeout` and some supervisors send it twice.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = False

    def handler(number: int, frame: object) -> None:
        nonlocal seen
        if not seen:
            seen = True
            function()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


@contextmanager
def interrupts_raise(error: type[BaseException]) -> Iterator[None]:
    """While inside, Ctrl-C raises `error` instead of `KeyboardInterrupt`; main thread only.

    A library that was interrupted may answer with an error of its own; what leaves is `error` all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = False

    def handler(number: int, frame: object) -> None:
        nonlocal seen
        seen = True
        raise error

    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield
    except Exception as problem:
        if seen:
            raise error from problem
        raise
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def terminations_interrupt() -> Iterator[None]:
    """While inside, a termination request does what Ctrl-C does, and what was begun is put away; main thread only.

    A program that was started in the background ignores Ctrl-C; a termination request is one all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    previous = signal.signal(signal.SIGTERM, handler if callable(handler) else signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def failures_told(function: Callable[[str, BaseException], None]) -> Iterator[None]:
    """While inside, an error that ends a thread unhandled goes to `function`, with the thread's name, not to stderr."""

    def told(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None:
            function("unknown" if failure.thread is None else failure.thread.name, failure.exc_value)

    previous = threading.excepthook
    threading.excepthook = told
    try:
        yield
    finally:
        threading.excepthook = previous


#: After how many new objects the garbage collector looks at them, and how rarely at older ones.
_RARELY = (300_000, 20, 100)


@contextmanager
def rare_collections() -> Iterator[None]:
    """While inside, the cyclic garbage collector looks at new objects rarely and at the old ones hardly ever.

    A run keeps its records to the end and makes few cycles, so that the default thresholds would walk over all of them
    again and again for nothing. What a strategy leaves in cycles waits until so many objects are new. Inside of another
    one it changes nothing.
    """
    thresholds = gc.get_threshold()
    if thresholds == _RARELY:
        yield
        return
    gc.freeze()
    gc.set_threshold(*_RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def collect_new() -> None:
    """Let go of what `rare_collections` has left in cycles, without a look at what was there before it."""
    gc.collect(1)


def start_thread(name: str, run: Callable[[], None]) -> threading.Thread:
    """A started daemon thread."""
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def current_name() -> str:
    """Who calls: the participant whose turn it is, or else the thread."""
    name = current_participant.get()
    return threading.current_thread().name if name == "main" else name


def thread_names() -> dict[int, str]:
    """The name of every Python thread, by its identity in the process."""
    return {thread.ident: thread.name for thread in threading.enumerate() if thread.ident is not None}


def thread_stacks() -> dict[str, str]:
    """The current stack of every Python thread, by thread name."""
    frames = sys._current_frames()
    return {
        thread.name: "".join(traceback.format_stack(frames[thread.ident]))
        for thread in threading.enumerate()
        if thread.ident in frames
    }
