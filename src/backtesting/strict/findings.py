"""What strict mode reports: one record for each place in user code that stepped outside the run's clock.

Pure values; any thread. None of it enters a digest, a run id or a manifest.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["INSTEAD", "NOT_SEEN", "Kind", "StrictFinding", "StrictReport"]

Kind = Literal["clock", "sleep", "lock", "thread"]

#: What takes the place of each of the standard library's blocking things.
INSTEAD: Mapping[str, str] = {
    "threading.Lock": "self.clock.lock()",
    "threading.RLock": "self.clock.rlock()",
    "threading.Condition": "self.clock.condition()",
    "threading.Event": "self.clock.event()",
    "threading.Semaphore": "self.clock.semaphore(value)",
    "threading.BoundedSemaphore": "self.clock.semaphore(value)",
    "threading.Barrier": "self.clock.condition()",
    "threading.Thread": "self.clock.start_thread(run)",
    "threading.Timer": "self.clock.set_timer(delay_ns, callback)",
    "_thread.allocate_lock": "self.clock.lock()",
    "_thread.start_new_thread": "self.clock.start_thread(run)",
    "queue.Queue": "self.clock.queue()",
    "queue.LifoQueue": "self.clock.queue()",
    "queue.PriorityQueue": "self.clock.queue()",
    "queue.SimpleQueue": "self.clock.queue()",
    "concurrent.futures.ThreadPoolExecutor": "self.clock.start_thread(run)",
}

_ADVICE: Mapping[str, str] = {
    "clock": "ask self.now_ns",
    "sleep": "write self.clock.sleep(duration_ns)",
    "lock": "write self.clock.lock(), .event(), .condition() or .queue()",
    "thread": "write self.clock.start_thread(run)",
}

#: What neither the watch over calls nor the reading of the user's files can notice.
NOT_SEEN: tuple[str, ...] = (
    "compiled extensions that read the clock themselves, such as pandas.Timestamp.now() and numpy.datetime64('now')",
    "what a module does while it is imported",
    "calls made by compiled code, such as map(time.monotonic, rows) or a callback from C",
    "`with` on a real lock that was made elsewhere, when the block ends with an exception",
    "a lock or a thread whose name is computed at run time, and what runs inside a real thread",
    "waits inside compiled code: select, sockets, subprocesses",
    "other processes, the times of files, the network, the environment",
    "random numbers of random, secrets, uuid and os.urandom, and the order of sets of texts",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrictFinding:
    """One place in user code, and what it did there.

    Attributes:
        participant: whose turn it was; `main` while the strategies were made, empty when it was read in the file.
        kind: a reading of the real clock, a real sleep, a real lock, or a real thread.
        call: what was called, such as `time.time()`.
        file, line: the nearest line of user code.
        through: the library module that made the call for it, empty when it did so itself.
        count: how often, 0 when it was read in the file and never seen to run.
    """

    participant: str
    kind: Kind
    call: str
    file: str
    line: int
    through: str = ""
    count: int = 0

    @property
    def sentence(self) -> str:
        """The finding for people, with what to write instead."""
        where = f"{self.file}:{self.line}"
        via = f" through {self.through}" if self.through else ""
        instead = INSTEAD.get(".".join(self.call.partition("(")[0].split(".")[:2]))
        advice = f"write {instead}" if instead else _ADVICE[self.kind]
        if not self.participant:
            return f"{where}: names {self.call}; {advice}"
        times = "once" if self.count == 1 else f"{self.count:,} times"
        return f"{where}: {self.participant} called {self.call}{via} {times}; {advice}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrictReport:
    """All findings of a run, in the order of place and participant, and what could not be noticed."""

    findings: tuple[StrictFinding, ...]
    not_seen: tuple[str, ...] = NOT_SEEN

    def as_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {"findings": [asdict(finding) for finding in self.findings], "not_seen": list(self.not_seen)}
