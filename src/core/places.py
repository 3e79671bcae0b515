"""Where user code stands: the line that a message names, and not one of the engine or of a library.

Read from tracebacks and frames by whoever builds an error; nothing is kept.
"""

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import PurePath
from types import FrameType, TracebackType

__all__ = ["STARTED_AT", "calling_place", "calling_trace", "place_of_error"]

_ENGINE = str(PurePath(__file__).parents[1])
#: Strategies that come with the product are user code like any other.
_SHIPPED = str(PurePath(_ENGINE, "strategies"))
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})

#: A local variable of this name says where a thread was started whose function is no user code itself.
STARTED_AT = "started_at"


def place_of_error(error: BaseException) -> str:
    """`file.py:12`, the innermost line of user code in the error's traceback; empty when it has no traceback.

    For a thread that never reached user code it is the line that started it, for anything else the innermost line.
    """
    user = started = outside = last = ""
    for frame, line in _frames(error.__traceback__):
        last = _place(frame, line)
        if _is_user(frame):
            user = last
        if not _is_inside(frame.f_code.co_filename, _ENGINE):
            outside = last
        started = frame.f_locals.get(STARTED_AT, started)
    return user or started or outside or last


def calling_place() -> str:
    """The line of user code that has led to this call, empty when there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_user(frame):
            return _place(frame, frame.f_lineno)
        frame = frame.f_back
    return ""


def calling_trace() -> TracebackType | None:
    """The frames that have led to this call, up to the innermost one of user code; None when there is none.

    For an error that is raised later and shall say what was done here.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not _is_user(frame):
        frame = frame.f_back
    trace: TracebackType | None = None
    while frame is not None:
        trace = TracebackType(trace, frame, frame.f_lasti, frame.f_lineno)
        frame = frame.f_back
    return trace


def _frames(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _place(frame: FrameType, line: int) -> str:
    return f"{PurePath(frame.f_code.co_filename).name}:{line}"


def _is_user(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    if _is_inside(path, _SHIPPED):
        return True
    return not (
        path.startswith("<frozen") or _is_inside(path, _ENGINE) or any(_is_inside(path, each) for each in _LIBRARIES)
    )


def _is_inside(path: str, folder: str) -> bool:
    return path.startswith(folder) and path[len(folder) : len(folder) + 1] in ("/", "\\")
