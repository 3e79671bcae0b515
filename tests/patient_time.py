"""A wall clock that stands still while the machine does, for bots and venues that run in real time.

At sixty times the pace of the market a machine that is away for a second has a bot miss a minute, which says nothing
about the bot. Here time goes on only as long as all processes that share it get the processor: each notes every few
milliseconds that it is there, and from one note to the next at most `_MOST_NS` pass, however long it took. Nobody
waits for less or for longer than before, and on a machine that is never away this is the real time.

One process leads, with `patient_time`; others follow it, with `follow` before they import anything that reads the
clock, or started by `following`.
"""

import json
import mmap
import os
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from src.core import sync

__all__ = ["follow", "following", "note_presence", "patient_time"]

ROOT = Path(__file__).resolve().parent.parent

#: So much passes at most from one note to the next.
_MOST_NS = 50_000_000
#: Whoever has noted nothing for so long is away.
_AWAY_NS = 100_000_000
_PAUSE_S = 0.005
#: Number of the writing, odd while it is under way; the time, and when by the real clock that was.
_HEAD = struct.Struct("=qqq")
#: Of each follower: its process, and when it was there last.
_ROW = struct.Struct("=qq")
_ROWS = 500

_PROGRAM = """
import json, sys
root, path, arguments = json.loads(sys.argv[1])
sys.path[0] = root
from tests.patient_time import follow, note_presence
follow(path)
note_presence()
from src.cli.app import main
sys.argv = ["main.py", *arguments]
sys.exit(main())
"""


class _Page:
    """What the processes share: a file in memory."""

    def __init__(self, path: str) -> None:
        self.path = path
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _HEAD.size + _ROWS * _ROW.size)

    def now_ns(self) -> int:
        """The time; from any thread and process."""
        while True:
            writing, told_ns, real_ns = _HEAD.unpack_from(self._memory)
            if writing % 2 == 0 and _HEAD.unpack_from(self._memory)[0] == writing:
                return int(told_ns + min(max(time.time_ns() - real_ns, 0), _MOST_NS))

    def go_on(self) -> None:
        """Let time pass, unless somebody is away; called by the leader alone."""
        real_ns = time.time_ns()
        if not self._all_there(real_ns):
            return
        writing, now_ns = _HEAD.unpack_from(self._memory)[0], self.now_ns()
        struct.pack_into("=q", self._memory, 0, writing + 1)
        struct.pack_into("=qq", self._memory, 8, now_ns, time.time_ns())
        struct.pack_into("=q", self._memory, 0, writing + 2)

    def begin(self) -> None:
        """The present is the real one."""
        now_ns = time.time_ns()
        _HEAD.pack_into(self._memory, 0, 0, now_ns, now_ns)

    def join(self) -> int:
        """A row for this process, which the leader waits for from now on; where it is."""
        with FileLock(f"{self.path}.lock"):
            for row in range(_ROWS):
                at = _HEAD.size + row * _ROW.size
                if _ROW.unpack_from(self._memory, at)[0] == 0:
                    _ROW.pack_into(self._memory, at, os.getpid(), time.time_ns())
                    return at
        raise RuntimeError(f"more than {_ROWS} processes share one time")

    def note(self, at: int) -> None:
        """The process of this row is there."""
        struct.pack_into("=q", self._memory, at + 8, time.time_ns())

    def _all_there(self, real_ns: int) -> bool:
        for row in range(_ROWS):
            at = _HEAD.size + row * _ROW.size
            process, seen_ns = _ROW.unpack_from(self._memory, at)
            if process == 0:
                return True
            if process > 0 and real_ns - seen_ns > _AWAY_NS:
                if _lives(process):
                    return False
                struct.pack_into("=q", self._memory, at, -1)
        return True


def _lives(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


class _Leading:
    """What this process leads, as long as somebody uses it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.page: _Page | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def now_ns(self) -> int:
        """The shared time; the real one when nothing is shared any more."""
        page = self.page
        return time.time_ns() if page is None else page.now_ns()

    def begin(self) -> None:
        """Share a time from now on."""
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name, "time")
        path.write_bytes(bytes(_HEAD.size + _ROWS * _ROW.size))
        page = _Page(str(path))
        page.begin()
        self.page = page
        self._over.clear()
        self._thread = sync.start_thread("patient time", lambda: self._lead(page))
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("src.") and vars(module).get("wall_ns") is time.time_ns:
                setattr(module, "wall_ns", self.now_ns)  # noqa: B010 - it is no attribute that is known of a module

    def _lead(self, page: _Page) -> None:
        while not self._over.wait(_PAUSE_S):
            page.go_on()

    def end(self) -> None:
        """Go by the real time again."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("src.") and vars(module).get("wall_ns") == self.now_ns:
                setattr(module, "wall_ns", time.time_ns)  # noqa: B010 - as above
        self.page = None
        if self._folder is not None:
            self._folder.cleanup()


_leading = _Leading()


@contextmanager
def patient_time() -> Iterator[str]:
    """Inside, the wall clock of this process and of its followers is patient; the path of what they share."""
    with _leading.lock:
        _leading.users += 1
        if _leading.users == 1:
            _leading.begin()
        page = _leading.page
    try:
        yield "" if page is None else page.path
    finally:
        with _leading.lock:
            _leading.users -= 1
            if _leading.users == 0:
                _leading.end()


_followed: list[_Page] = []


def follow(path: str) -> None:
    """Have this process read the time that another one leads."""
    page = _Page(path)
    _followed.append(page)
    sync.wall_ns = page.now_ns


def note_presence() -> None:
    """Have the time wait for this process whenever it is away; after `follow`, in each process that was split off."""
    page = _followed[-1]
    at = page.join()
    pause = threading.Event()

    def note() -> None:
        while True:
            page.note(at)
            pause.wait(_PAUSE_S)

    sync.start_thread("presence", note)


def following(path: str, arguments: Sequence[str]) -> list[str]:
    """How to start the command of the product in a process that follows; its arguments."""
    return [sys.executable, "-c", _PROGRAM, json.dumps([str(ROOT), path, list(arguments)])]
