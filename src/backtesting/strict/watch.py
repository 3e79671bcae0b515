"""Strict mode: notices what user code, or a library on its behalf, asks of the real clock during a turn.

A profile function stands in each thread that carries participants and is told of every call of a builtin function; it
costs one dictionary look-up for each of them, and nothing at all when strict mode is off, because then it is not
composed. Virtual time, turns and digest are those of a run without it.
"""

import datetime as dt
import opcode
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import src
from src.backtesting.strict.findings import Kind, StrictFinding
from src.core.sync import Carrier, Runtime, current_participant

__all__ = ["StrictRuntime", "StrictWatch"]

_ENGINE, _USER, _LIBRARY = "engine", "user", "library"

_PACKAGE = Path(src.__file__).resolve().parent
_ENGINE_ROOT = os.path.join(_PACKAGE, "")
_STRATEGIES = os.path.join(_PACKAGE, "strategies", "")
_LOADER = str(_PACKAGE / "strategies" / "loader.py")
_LIBRARIES = tuple(
    os.path.join(Path(sysconfig.get_path(name)).resolve(), "")
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)

#: Modules that are part of the lock or queue that user code asks them for.
_OF_LOCKS = frozenset({"threading", "queue"})
_IMPORTING = ("importlib.", "_frozen_importlib")

#: Functions of the module `time` by name; a number says with how many arguments at most the clock is read.
_TIME: dict[str, int] = {
    **dict.fromkeys(
        (
            "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
            "process_time_ns", "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns", "sleep",
        ),
        255,
    ),
    "localtime": 0,
    "gmtime": 0,
    "ctime": 0,
    "asctime": 0,
    "strftime": 1,
}  # fmt: skip
_DATES = frozenset({"now", "utcnow", "today"})
_LOCK_MADE = frozenset({"allocate_lock", "allocate"})
_LOCK_USED = {"acquire": "acquire() of a real lock", "__exit__": "`with` on a real lock"}
_THREAD_MADE = frozenset({"start_new_thread", "start_joinable_thread"})

#: Every name that may be one of the above; all other calls end at this look-up.
_SUSPECTS = frozenset({*_TIME, *_DATES, *_LOCK_MADE, *_LOCK_USED, *_THREAD_MADE, "put"})

_CALLS = frozenset(number for name, number in opcode.opmap.items() if name in ("CALL", "PRECALL", "CALL_KW"))

_Key = tuple[str, Kind, str, str, int, str]
_Profile = Callable[[FrameType, str, Any], object]


class StrictWatch:
    """Collects findings from every thread that it was set up in.

    Each thread counts for itself, so that nothing is lost where several really run at once; `findings` adds up.
    """

    def __init__(self) -> None:
        self._tallies: list[_Tally] = []
        self._profiles: list[_Profile] = []

    def watch_this_thread(self) -> None:
        """From now on look at the calls of the calling thread, and of every fiber in it."""
        if sys.getprofile() not in self._profiles:
            sys.setprofile(self._profile())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the calls of the calling thread while inside."""
        before = sys.getprofile()
        sys.setprofile(self._profile())
        try:
            yield
        finally:
            sys.setprofile(before)

    def findings(self) -> tuple[StrictFinding, ...]:
        """What was found so far, in the order of file, line and participant."""
        total: dict[_Key, int] = {}
        for tally in self._tallies:
            for key, count in list(tally.counts.items()):
                total[key] = total.get(key, 0) + count
        found = [
            StrictFinding(
                participant=participant, kind=kind, call=call, file=file, line=line, through=through, count=count
            )
            for (participant, kind, call, file, line, through), count in total.items()
        ]
        return tuple(sorted(found, key=lambda one: (one.file, one.line, one.participant, one.call, one.through)))

    def _profile(self) -> _Profile:
        tally = _Tally()
        profile = _profiler(tally)
        self._tallies.append(tally)
        self._profiles.append(profile)
        return profile


class StrictRuntime:
    """A runtime whose carriers are watched; turns and hand-overs are those of the runtime inside.

    Args:
        inside: what carries the participants.
        watch: who is told.
    """

    def __init__(self, inside: Runtime, watch: StrictWatch) -> None:
        self.name = inside.name
        self._inside = inside
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inside, name)

    def spawn(self, name: str, run: Callable[[], None]) -> Carrier:
        """See `Runtime.spawn`."""

        def watched() -> None:
            # Not taken away again: the thread ends with its participants, and fibers share one.
            self._watch.watch_this_thread()
            run()

        return self._inside.spawn(name, watched)

    def finish(self, to: Carrier | None) -> None:
        """See `Runtime.finish`."""
        self._inside.finish(to)

    def drive(self, first: Carrier, check: Callable[[], None]) -> None:
        """See `Runtime.drive`; the strategies of a composition that is made here are not in a turn."""
        self._inside.drive(first, check)


class _Tally:
    """What one thread counted, and the last call into the standard library's locks that it counted."""

    __slots__ = ("counts", "last")

    def __init__(self) -> None:
        self.counts: dict[_Key, int] = {}
        self.last: FrameType | None = None


def _profiler(tally: _Tally) -> _Profile:
    suspects = _SUSPECTS

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            if arg.__name__ in suspects:
                _note(tally, frame, arg)
        elif event == "call" and frame.f_code.co_name == "RLock" and frame.f_globals.get("__name__") == "threading":
            # Made by a type in C, of which no call is told; but through this function.
            _count(tally, frame, "lock", "threading.RLock()")

    return profile


def _note(tally: _Tally, frame: FrameType, function: Any) -> None:
    name = function.__name__
    module = getattr(function, "__module__", None)
    owner = getattr(function, "__self__", None)
    if module == "time" and name in _TIME:
        if _arguments(frame) <= _TIME[name]:
            _count(tally, frame, "sleep" if name == "sleep" else "clock", f"time.{name}()")
    elif name in _DATES and isinstance(owner, type) and issubclass(owner, dt.date):
        _count(tally, frame, "clock", f"{owner.__module__}.{owner.__qualname__}.{name}()")
    elif module == "_thread" and name in _LOCK_MADE:
        _count(tally, frame, "lock", "threading.Lock()")
    elif module == "_thread" and name in _THREAD_MADE:
        _count(tally, frame, "thread", "threading.Thread()")
    elif name in _LOCK_USED and type(owner).__module__ == "_thread":
        _count(tally, frame, "lock", _LOCK_USED[name])
    elif name == "put" and type(owner).__name__ == "SimpleQueue":
        _count(tally, frame, "lock", "put() of a queue.SimpleQueue")


def _arguments(frame: FrameType) -> int:
    """With how many arguments the frame's current instruction calls; 0 where that cannot be read."""
    code, at = frame.f_code.co_code, frame.f_lasti
    return code[at + 1] if 0 <= at < len(code) - 1 and code[at] in _CALLS else 0


def _count(tally: _Tally, frame: FrameType | None, kind: Kind, call: str) -> None:
    """Count a call under the nearest frame of user code; not at all when the engine stands nearer."""
    modules: list[str] = []
    outermost: FrameType | None = None
    while frame is not None:
        file = frame.f_code.co_filename
        owner = _OWNERS.get(file) or _owner(file)
        if owner is _ENGINE:
            return
        if owner is _USER:
            break
        modules.append(str(frame.f_globals.get("__name__", "")))
        outermost = frame
        frame = frame.f_back
    if frame is None or any(name.startswith(_IMPORTING) for name in modules):
        return
    through = modules[0] if modules else ""
    if kind in ("lock", "thread"):
        others = [name for name in modules if name not in _OF_LOCKS]
        if kind == "lock" and others:
            return  # a lock that a library makes for its own use never outlives its call
        through = others[0] if others else ""
        if outermost is not None and not others:
            # An Event or a Queue is made of several locks: one call of the user's, and under its own name.
            if tally.last is outermost:
                return
            tally.last = outermost
            name = outermost.f_code.co_qualname.removesuffix(".__init__")
            call = f"{modules[-1]}.{name}()"
            kind = "thread" if name.startswith(("Thread", "Timer")) else kind
    key = (current_participant.get(), kind, call, frame.f_code.co_filename, frame.f_lineno, through)
    tally.counts[key] = tally.counts.get(key, 0) + 1


_OWNERS: dict[str, str] = {}


def _owner(file: str) -> str:
    """Whose code a file holds; remembered."""
    if file.startswith("<"):  # made at run time, by whoever stands above it
        owner = _LIBRARY
    else:
        path = f"{Path(file).resolve()}"
        if path.startswith(_STRATEGIES) and path != _LOADER:
            owner = _USER
        elif path.startswith(_ENGINE_ROOT):
            owner = _ENGINE
        else:
            owner = _LIBRARY if path.startswith(_LIBRARIES) else _USER
    _OWNERS[file] = owner
    return owner
