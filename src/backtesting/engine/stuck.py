"""Why a participant does not come back: which real lock it waits for, and who holds it.

Reads frames of other threads and changes nothing; asked only when a run is already lost. What it says is found by
looking at what the frames refer to, so it names a lock only where one stands in the line that does not return.
"""

import ast
import linecache
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any

from src.core.sync import thread_names

__all__ = ["RealWait", "debugger_active", "place_of", "real_wait"]

_KINDS = {
    "lock": "threading.Lock",
    "RLock": "threading.RLock",
    "_RLock": "threading.RLock",
    "SimpleQueue": "queue.SimpleQueue",
    **{
        name: f"threading.{name}"
        for name in ("Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier", "Thread", "Timer")
    },
    **{name: f"queue.{name}" for name in ("Queue", "LifoQueue", "PriorityQueue")},
}
_LOCKS = frozenset({"threading.Lock", "threading.RLock", "threading.Condition"})
_MODULES = frozenset({"_thread", "threading", "queue", "_queue"})
_DEBUGGERS = frozenset({"bdb", "pdb", "ipdb", "pudb", "pydevd", "_pydevd_bundle", "debugpy", "IPython"})
_OWNER = re.compile(r"owner=(\d+)")
_WORD = re.compile(r"\w+")
_SEPARATOR = re.compile(r"[/\\]")
_MOST_ITEMS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RealWait:
    """What a participant really waits for.

    Attributes:
        kind, name: such as `threading.Lock` and `self.shared`, as the waiting line calls it.
        place: file and line of the wait.
        holder: the participant that holds it, empty when that could not be found out.
        holder_place: where the holder stands.
        certain: whether the holder is known, or only refers to the lock in what it is doing.
    """

    kind: str
    name: str
    place: str
    holder: str = ""
    holder_place: str = ""
    certain: bool = False


def debugger_active(frame: FrameType | None) -> bool:
    """Whether a debugger looks at this thread: it stands at a prompt, or is told of each line."""
    while frame is not None:
        trace = frame.f_trace
        for module in (frame.f_globals.get("__name__"), None if trace is None else getattr(trace, "__module__", None)):
            if str(module).partition(".")[0] in _DEBUGGERS:
                return True
        frame = frame.f_back
    return False


def real_wait(stuck: FrameType | None, others: Mapping[str, FrameType]) -> RealWait | None:
    """The real lock in the line that does not return; None when that line names none.

    Args:
        stuck: the innermost frame of the participant that has the turn.
        others: the innermost frames of the other participants.
    """
    frame, inside = stuck, None
    while frame is not None and frame.f_globals.get("__name__") in _MODULES:
        frame, inside = frame.f_back, frame
    if frame is None:
        return None
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    reached = _reached(frame)
    asked = None if inside is None else inside.f_locals.get("self")
    if _is_real(asked):
        # The standard library's own code waits: what for needs no guess, only a name.
        name = next((name for name, found in reached if found is asked), "of that line")
        lock, notified = asked, inside is not None and inside.f_code.co_name == "wait"
    else:
        named = [
            (name, found)
            for name, found in reached
            if (not line and _is_held(found)) or _last(name) in _WORD.findall(line)
        ]
        if not named:
            return None
        # Of several in one line the one that somebody holds.
        name, lock = next((each for each in named if _is_held(each[1])), named[0])
        notified = False
    kind, place = _KINDS[type(lock).__name__], _place(frame)
    holder, where, certain = _holder(lock, others) if kind in _LOCKS and not notified else ("", "", False)
    return RealWait(kind=kind, name=name, place=place, holder=holder, holder_place=where, certain=certain)


def _holder(lock: Any, others: Mapping[str, FrameType]) -> tuple[str, str, bool]:
    owner = _OWNER.search(repr(lock))
    if owner is not None:
        name = thread_names().get(int(owner.group(1)), "")
        if name:
            return name, place_of(others.get(name)), True
    perhaps = ("", "", False)
    for participant, innermost in others.items():
        for frame in _chain(innermost):
            for name, found in _reached(frame):
                if _same(found, lock):
                    if _inside_with(frame, _last(name)):
                        return participant, _place(frame), True
                    perhaps = perhaps if perhaps[0] else (participant, _place(frame), False)
    return perhaps


def _chain(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def place_of(frame: FrameType | None) -> str:
    """File and line of the nearest code that is not the engine's or the bot's; empty without a frame."""
    own = (each for each in _chain(frame) if not str(each.f_globals.get("__name__")).startswith(("src.", "threading")))
    return _place(next(own, frame))


def _place(frame: FrameType | None) -> str:
    if frame is None:
        return ""
    return f"{_SEPARATOR.split(frame.f_code.co_filename)[-1]}:{frame.f_lineno}"


def _reached(frame: FrameType) -> list[tuple[str, Any]]:
    """Names and objects of the real locks, queues and threads that the frame's function can name."""
    code = frame.f_code
    names = [name for name in code.co_names if name in frame.f_globals]
    level: list[tuple[str, Any]] = [*frame.f_locals.items(), *((name, frame.f_globals[name]) for name in names)]
    found: list[tuple[str, Any]] = []
    for _ in range(3):
        deeper: list[tuple[str, Any]] = []
        for name, value in level:
            if _is_real(value):
                found.append((name, value))
            elif isinstance(value, (dict, list, tuple)) and len(value) <= _MOST_ITEMS:
                items = value.values() if isinstance(value, dict) else value
                deeper += [(name, item) for item in items if _is_real(item)]
            else:
                own = _attributes(value)
                deeper += [(f"{name}.{attribute}", own[attribute]) for attribute in code.co_names if attribute in own]
        level = deeper
    return found


def _attributes(value: Any) -> dict[str, Any]:
    """What an object and its classes hold, without asking any code of theirs."""
    if isinstance(value, ModuleType):
        return vars(value)
    attributes: dict[str, Any] = {}
    classes = value.__mro__ if isinstance(value, type) else type(value).__mro__
    for cls in reversed(classes):
        attributes.update(vars(cls))
    with suppress(AttributeError):  # an object with slots, or of a builtin type
        attributes.update(object.__getattribute__(value, "__dict__"))
    return attributes


def _is_real(value: Any) -> bool:
    return type(value).__module__ in _MODULES and type(value).__name__ in _KINDS


def _is_held(lock: Any) -> bool:
    lock = getattr(lock, "_lock", lock)  # a condition is as free as its lock
    owner = _OWNER.search(repr(lock))
    if owner is not None:
        return owner.group(1) != "0"
    locked = getattr(lock, "locked", None)
    return bool(locked()) if callable(locked) else False


def _same(one: Any, other: Any) -> bool:
    return one is other or getattr(one, "_lock", one) is getattr(other, "_lock", other)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _inside_with(frame: FrameType, name: str) -> bool:
    """Whether the frame's current line lies in a `with` block of something of that name."""
    source = "".join(linecache.getlines(frame.f_code.co_filename))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and node.body[0].lineno <= frame.f_lineno <= (node.end_lineno or 0):
            for item in node.items:
                words = {part.attr for part in ast.walk(item.context_expr) if isinstance(part, ast.Attribute)}
                words |= {part.id for part in ast.walk(item.context_expr) if isinstance(part, ast.Name)}
                if name in words:
                    return True
    return False
