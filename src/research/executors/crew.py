"""Calls side by side in a few processes that live on from one call to the next.

Each process has a slot; when it ends, the next one of its slot takes its place, and the neighbours notice nothing. The
real clock is read for deadlines alone. A `Crew` belongs to one thread, which waits in `run` and is told there.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Generic, Self, TypeVar

from src.core.errors import InternalError
from src.core.sync import monotonic_ns
from src.research.executors.process import DIED, Failed, Worker, packed

__all__ = ["ATTEMPTS", "DEADLINE", "DIED", "MEMORY", "Crew", "Failed"]

Item = TypeVar("Item")

#: How often a call is tried that is to be tried again.
ATTEMPTS = 2

DEADLINE, MEMORY = "deadline", "memory"

#: How often in a row the processes of one slot may end before they begin.
_STARTS = 3
#: How long a process may take to begin: it imports what it needs, on a machine that may be busy.
_START_S = 180.0
#: How often deadlines and memory are looked at; an interrupt is noticed in between, also where a wait cannot be
#: interrupted.
_LOOK_NS = 100_000_000
#: At so many looks a process may be gone before its call is given up: its last answer may be on its way.
_GONE_LOOKS = 10
_SECOND_NS = 1_000_000_000
_MIB = 1 << 20


@dataclass(slots=True, eq=False)
class _Job(Generic[Item]):
    item: Item
    attempt: int = 1


@dataclass(slots=True, eq=False)
class _Slot(Generic[Item]):
    """One of the processes that run at a time.

    Attributes:
        worker: the process; None before the first, and where the last one has ended.
        begun: whether it can take calls.
        job: what it is busy with, also while it still begins.
        since_ns: when it was started, or when its call began.
        verdict: why it was ended on purpose.
        failures: how many processes in a row did not begin.
        gone: at how many looks in a row its process was gone, and nobody had told of the call.
        life: counts its processes, so that what an earlier one has to say is told apart.
    """

    number: int
    worker: Worker | None = None
    begun: bool = False
    job: _Job[Item] | None = None
    since_ns: int = 0
    verdict: Failed | None = None
    failures: int = 0
    gone: int = 0
    life: int = 0


class Crew:
    """So many processes, started when there is something to do.

    Args:
        workers: how many.
        environment: the variables that they get besides those of this process.
        start: importable by name; called first in each process, with the number of its slot from 0.
        deadline_s: real seconds for one call, counted from when a process begins it; None for no end.
        memory_bytes: a process that holds more in the middle of a call is ended; None for no limit.
    """

    def __init__(
        self,
        workers: int,
        *,
        environment: Mapping[str, str] | None = None,
        start: Callable[[int], None] | None = None,
        deadline_s: float | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self.workers = max(1, workers)
        self._environment = dict(environment or {})
        self._start = start
        self._deadline_s = deadline_s
        self._memory_bytes = memory_bytes
        self._slots: list[_Slot[Any]] = [_Slot(number=i) for i in range(self.workers)]
        self._ended: SimpleQueue[tuple[_Slot[Any], int, int]] = SimpleQueue()
        self._function: Callable[[Any], Any] | None = None
        self._look_ns = 0
        self._last_failure = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: Any) -> None:
        self.stop()

    def begin(self) -> None:
        """Start all processes ahead of their first calls, and wait for none of them."""
        for slot in self._slots:
            if slot.worker is None:
                self._start_process(slot, {})

    def stop(self) -> None:
        """End all processes at once; what they are busy with is given up. May be repeated."""
        workers = [slot.worker for slot in self._slots if slot.worker is not None]
        for worker in workers:
            worker.stop()
        for slot in self._slots:
            slot.job = None
            self._let_go(slot)

    def run(
        self,
        function: Callable[[Item], Any],
        items: Iterable[Item],
        on_ended: Callable[[Item, Any, int], None],
        *,
        at_once: int | None = None,
        again: Callable[[Failed], bool] = lambda failed: True,
        alone: Callable[[Item], Mapping[str, str]] | None = None,
    ) -> None:
        """Call `function` of each item, and tell of each as it ends: the item, its answer or `Failed`, the attempts.

        Items are taken from their iterator when a process is free, and few ahead of that; none is kept once told of.
        A process has its next call before `on_ended` is told of the last.

        Args:
            at_once: how many processes are used; the first slots are.
            again: whether a call that failed at its first attempt is tried once more.
            alone: gives the variables of the process that this item has to itself; without it processes live on.

        Raises:
            InternalError: no process begins.
            Exception: what `on_ended` or the iterator of items raised; everything is ended then.
        """
        self._function = function
        count = self.workers if at_once is None else max(1, min(at_once, self.workers))
        tasks = _Tasks(iter(items), count, alone)
        try:
            while self._assign(tasks):
                slot = self._next_ended()
                if slot is None:
                    continue
                ended = self._take(slot, tasks)
                if ended is None:
                    continue
                job, outcome = ended
                if isinstance(outcome, Failed) and job.attempt < ATTEMPTS and again(outcome):
                    job.attempt += 1
                    tasks.waiting.appendleft(job)
                    continue
                self._assign(tasks)
                on_ended(job.item, outcome, job.attempt)
        except BaseException:
            self.stop()
            raise

    def _assign(self, tasks: "_Tasks[Any]") -> bool:
        """Give what waits to whoever is free; whether anything is under way."""
        usable = [slot for slot in self._slots if slot.failures < _STARTS]
        if not usable:
            raise InternalError(
                f"processes for the runs end before they begin ({self._last_failure}); what they say stands on stderr"
            )
        tasks.fill()
        # Those that run already come first: a new process takes a while to begin.
        free = sorted((slot for slot in usable if slot.job is None), key=lambda slot: (not slot.begun, slot.number))
        busy = sum(slot.job is not None for slot in usable)
        for slot in free[: max(0, tasks.at_once - busy)]:
            if not tasks.waiting:
                break
            job = tasks.waiting.popleft()
            if self._give(slot, job, None if tasks.alone is None else tasks.alone(job.item)):
                busy += 1
            else:
                tasks.waiting.appendleft(job)
        return busy > 0 or bool(tasks.waiting)

    def _give(self, slot: _Slot[Any], job: _Job[Any], own: Mapping[str, str] | None) -> bool:
        """Have a slot begin a job, in a new process where it has none that can; False where there is none to be had."""
        if slot.worker is not None and (own is not None or not slot.worker.is_alive):
            self._let_go(slot)
        slot.job = job
        if slot.worker is None:
            self._start_process(slot, own or {})
        elif slot.begun:
            self._begin(slot, slot.worker)
        else:  # it takes the job as soon as it has begun; it may have, long ago, and nobody has looked since
            slot.since_ns = monotonic_ns()
        return slot.worker is not None

    def _start_process(self, slot: _Slot[Any], own: Mapping[str, str]) -> None:
        slot.since_ns, slot.verdict, life = monotonic_ns(), None, slot.life
        start = None if self._start is None else partial(self._start, slot.number)
        try:
            slot.worker = Worker({**self._environment, **own}, start, lambda call: self._ended.put((slot, life, call)))
        except OSError as problem:
            self._did_not_begin(slot, str(problem))

    def _begin(self, slot: _Slot[Any], worker: Worker) -> None:
        if slot.job is not None:
            slot.since_ns, slot.verdict = monotonic_ns(), None
            worker.call(packed((self._function, slot.job.item)))

    def _next_ended(self) -> _Slot[Any] | None:
        """The slot whose call has ended, once there is one; None after a while without."""
        now_ns = monotonic_ns()
        if now_ns >= self._look_ns:
            self._look_ns = now_ns + _LOOK_NS
            for slot in self._slots:
                if slot.job is not None and slot.worker is not None:
                    self._look(slot, slot.worker, now_ns)
        try:
            slot, life, call = self._ended.get(timeout=max(0, self._look_ns - now_ns) / _SECOND_NS)
        except Empty:
            return None
        # What an earlier process has to say, or what was told of already, is of no interest.
        if slot.life != life or slot.worker is None or slot.worker.calls != call:
            return None
        if slot.job is None and not slot.begun:
            self._note_begun(slot, slot.worker.answer())  # it was started ahead of its first job
        return slot if slot.job is not None else None

    def _look(self, slot: _Slot[Any], worker: Worker, now_ns: int) -> None:
        """End a process that takes too long or too much."""
        slot.gone = slot.gone + 1 if worker.is_gone else 0
        if worker.is_forgotten or slot.gone > _GONE_LOOKS:
            self._ended.put((slot, slot.life, worker.calls))
            return
        if slot.verdict is not None:
            return
        limit_s = self._deadline_s if slot.begun else _START_S
        if limit_s is not None and now_ns - slot.since_ns > limit_s * _SECOND_NS:
            slot.verdict = Failed(reason=f"no result within {limit_s:g} s", kind=DEADLINE)
        elif self._memory_bytes is not None and slot.begun:
            held = worker.memory_bytes
            if held > self._memory_bytes:
                share = f"more than its share of {self._memory_bytes / _MIB:.0f} MiB"
                reason = f"its process held {held / _MIB:.0f} MiB of memory, {share}"
                slot.verdict = Failed(reason=reason, kind=MEMORY)
        if slot.verdict is not None:
            worker.kill()

    def _take(self, slot: _Slot[Any], tasks: "_Tasks[Any]") -> tuple[_Job[Any], Any] | None:
        """The job of a slot whose call has ended, and its outcome; None where that call was not the job's."""
        job, worker = slot.job, slot.worker
        if job is None or worker is None:
            return None
        outcome = worker.answer()
        if isinstance(outcome, Failed) and slot.verdict is not None:
            outcome = slot.verdict
        if not slot.begun:
            if self._note_begun(slot, outcome):
                self._begin(slot, worker)
            else:
                tasks.waiting.appendleft(job)
            return None
        slot.job = None
        if tasks.alone is not None or not worker.is_alive:
            self._let_go(slot)
        return job, outcome

    def _note_begun(self, slot: _Slot[Any], outcome: Any) -> bool:
        """A process has begun, or has failed to."""
        if isinstance(outcome, Failed):
            self._did_not_begin(slot, outcome.reason)
            return False
        slot.begun = True
        for each in self._slots:  # processes can begin here, also those of slots that had been given up
            each.failures = 0
        return True

    def _did_not_begin(self, slot: _Slot[Any], reason: str) -> None:
        self._last_failure = reason
        slot.failures += 1
        slot.job = None
        self._let_go(slot)

    def _let_go(self, slot: _Slot[Any]) -> None:
        worker, slot.worker = slot.worker, None
        slot.begun, slot.verdict, slot.gone = False, None, 0
        slot.life += 1
        if worker is not None:
            worker.close()


class _Tasks(Generic[Item]):
    """The items of one run that nobody is busy with."""

    def __init__(self, source: Iterator[Item], at_once: int, alone: Callable[[Item], Mapping[str, str]] | None) -> None:
        self.at_once = at_once
        self.alone = alone
        self.waiting: deque[_Job[Item]] = deque()
        self._source = source

    def fill(self) -> None:
        """Take as many items ahead as there are calls at once."""
        self.waiting.extend(_Job(item) for item in islice(self._source, max(0, self.at_once - len(self.waiting))))
