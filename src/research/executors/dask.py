"""Calls on a `dask.distributed` cluster: for suites that are more than one machine can do.

Used by one thread, in a `with` block. Every worker of the cluster has one thread, the same version of the product and
the same files under the same paths (configuration, strategies, mirror, runs). A worker that dies loses nothing: the
scheduler gives its call to another one. A call that takes too long has its worker restarted, which needs a nanny (what
`dask worker` starts by default). Reads the real clock for that alone.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Generic, Self, TypeVar

from distributed import Client, KilledWorker, WorkerPlugin
from distributed.comm.addressing import parse_host_port

from src.backtesting.identity import code_hash_of_this_process, versions
from src.core.errors import ConfigError
from src.core.sync import monotonic_ns
from src.core.words import counted
from src.research.executors.port import Lost

__all__ = ["DaskCluster"]

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: The library's class, whose own types say less than what it takes.
_UNTYPED: Any = Client

_ATTEMPTS = 2
_CONNECT_S = 30
#: How long a worker that does not answer may take to end before it is killed.
_RESTART_S = 2
#: How often the cluster is asked how many workers it has.
_ASK_NS = 1_000_000_000
#: How long a suite waits for a cluster that has lost all of its workers.
_NOBODY_S = 120
#: How long the caller waits at a time: deadlines and an interrupt are looked for in between.
_LOOK_S = 0.25


class _Begin(WorkerPlugin):
    """Calls a function once in each worker, also in those that join later."""

    name = "lockstep"

    def __init__(self, start: Callable[[int], None]) -> None:
        self._start = start

    def setup(self, worker: Any) -> None:
        """See `WorkerPlugin.setup`."""
        self._start(0)


@dataclass(slots=True, eq=False)
class _Call(Generic[Item]):
    """One attempt at an item.

    Attributes:
        since_ns: when a worker was first seen with it; None before that.
    """

    item: Item
    attempt: int
    future: Any
    since_ns: int | None = None


class DaskCluster:
    """See `Executor`.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.1:8786`.
        deadline_s: real seconds for one call; None for no end.
        start: called first in each worker, with 0.

    Raises:
        ConfigError: there is no such cluster, it has no worker, or a worker is not like this process.
    """

    def __init__(
        self, address: str, *, deadline_s: float | None = None, start: Callable[[int], None] | None = None
    ) -> None:
        self._address = address
        self._deadline_s = deadline_s
        self._start = start
        self._client: Any = None
        self._count = 0
        self._nobody_ns: int | None = None
        self._counted, self._asked_ns = 0, -_ASK_NS

    def __enter__(self) -> Self:
        try:
            # Asked first by hand: a client that finds nobody leaves a thread behind.
            host, port = parse_host_port(self._address)
            socket.create_connection((host, port), timeout=_CONNECT_S).close()
            self._client = _UNTYPED(self._address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(
                f"dask.address: expected the scheduler of a cluster at {self._address}, found none ({reason}); start "
                "one with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`"
            ) from None
        try:
            self._check_workers()
            if self._start is not None:
                self._client.register_plugin(_Begin(self._start))
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *problem: Any) -> None:
        """See `Executor`; the cluster goes on without this suite."""
        self._close()

    @property
    def workers(self) -> int:
        """See `Executor.workers`: as many as the cluster has now."""
        return len(self._threads())

    def begin(self) -> None:
        """See `Executor.begin`: a cluster's workers are there already."""

    def each(
        self,
        function: Callable[[Item], Answer],
        items: Iterable[Item],
        on_done: Callable[[Item, Answer | Lost], None],
        *,
        at_once: int | None = None,
    ) -> None:
        """See `Executor.each`."""
        waiting, calls = iter(items), dict[str, _Call[Item]]()
        done: SimpleQueue[str] = SimpleQueue()
        try:
            while self._feed(function, waiting, calls, done, at_once) or calls:
                for call, found in self._ended(calls, done):
                    if isinstance(found, Lost) and found.kind != "died" and call.attempt < _ATTEMPTS:
                        self._begin(function, call.item, call.attempt + 1, calls, done)
                    else:
                        on_done(call.item, found)
        finally:
            for call in calls.values():
                call.future.cancel(force=True)

    def _ended(self, calls: dict[str, _Call[Item]], done: "SimpleQueue[str]") -> list[tuple[_Call[Item], Any]]:
        """The calls that have ended or were ended, taken out of those that are under way; waits for a moment."""
        try:
            call = calls.pop(done.get(timeout=_LOOK_S), None)
        except Empty:
            self._refuse_nobody()
            return self._end_late(calls)
        if call is None:
            return []  # it was ended before, and nobody waits for it any more
        found = _answer(call)
        call.future.release()
        return [(call, found)]

    def _feed(
        self, function: Callable[[Item], Any], waiting: Iterator[Item], calls: dict[str, _Call[Item]],
        done: "SimpleQueue[str]", at_once: int | None,
    ) -> bool:  # fmt: skip
        """Begin as many calls as there are workers for; whether any was begun."""
        self._require_connection()
        begun = False
        # Never more than one for each worker, so that a call which is seen with a worker is the one it is busy with.
        count = self._known_workers()
        while len(calls) < max(count if at_once is None else min(at_once, count), 1):
            item = next(waiting, None)
            if item is None:
                break
            self._begin(function, item, 1, calls, done)
            begun = True
        return begun

    def _known_workers(self) -> int:
        """As `workers`, of which the cluster is asked now and then only."""
        now = monotonic_ns()
        if now > self._asked_ns + _ASK_NS:
            self._counted, self._asked_ns = self.workers, now
        return self._counted

    def _begin(
        self, function: Callable[[Item], Any], item: Item, attempt: int, calls: dict[str, _Call[Item]],
        done: "SimpleQueue[str]",
    ) -> None:  # fmt: skip
        client = self._connected()
        self._count += 1
        key = f"lockstep-{client.id}-{self._count}"
        future = client.submit(function, item, key=key, pure=False)
        calls[key] = _Call(item, attempt, future)
        future.add_done_callback(lambda ended: done.put(ended.key))

    def _end_late(self, calls: dict[str, _Call[Item]]) -> list[tuple[_Call[Item], Any]]:
        """Restart the workers that have been at one call for too long; their calls."""
        ended: list[tuple[_Call[Item], Any]] = []
        if self._deadline_s is None or not calls:
            return ended
        client, now = self._connected(), monotonic_ns()
        for worker, keys in client.processing().items():
            for key in keys:
                call = calls.get(key)
                if call is None:
                    continue
                if call.since_ns is None:
                    call.since_ns = now
                elif now - call.since_ns > self._deadline_s * 1e9:
                    del calls[key]
                    call.future.cancel(force=True)
                    client.restart_workers([worker], timeout=_RESTART_S, raise_for_error=False)
                    reason = f"no result within {self._deadline_s:g} s"
                    ended.append((call, Lost(reason=reason, kind="deadline", attempts=call.attempt)))
        return ended

    def _refuse_nobody(self) -> None:
        """Refuse to wait for workers that do not come back.

        Raises:
            ConfigError: there has been none for a while.
        """
        now = monotonic_ns()
        if self.workers:
            self._nobody_ns = None
        elif self._nobody_ns is None:
            self._nobody_ns = now
        elif now - self._nobody_ns > _NOBODY_S * 1e9:
            raise ConfigError(
                f"the cluster at {self._address} has had no worker for {_NOBODY_S} s; what was done is kept: start "
                f"some with `dask worker {self._address} --nthreads 1`, and go on with --resume"
            )

    def _check_workers(self) -> None:
        client = self._connected()
        threads = self._threads()
        if not threads:
            raise ConfigError(
                f"the cluster at {self._address} has no worker; start some with `dask worker {self._address} "
                "--nthreads 1`"
            )
        many = [worker for worker, count in threads.items() if count != 1]
        if many:
            raise ConfigError(
                f"expected workers with one thread each, because a run needs a process of its own, found "
                f"{counted(threads[many[0]], 'thread')} at {many[0]}; start it with `--nthreads 1`"
            )
        own = _fingerprint()
        for worker, found in client.run(_fingerprint).items():
            for what, value in own.items():
                if found[what] != value:
                    raise ConfigError(
                        f"expected the worker {worker} to have {what} {value} as this process has, found "
                        f"{found[what]}; install the same there"
                    )

    def _threads(self) -> dict[str, int]:
        return dict(self._connected().nthreads())

    def _connected(self) -> Any:
        if self._client is None:
            raise ConfigError(f"the cluster at {self._address} is used outside of its block")
        return self._client

    def _require_connection(self) -> None:
        if self._connected().status != "running":
            raise ConfigError(
                f"the scheduler at {self._address} went away; what was done is kept, and `--resume` goes on from there"
            )

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _answer(call: _Call[Any]) -> Any:
    future: Any = call.future
    if future.status == "finished":
        return future.result()
    if future.status == "error":
        problem = future.exception()
        if isinstance(problem, KilledWorker):
            return Lost(
                reason="its worker died each time that one began with it", kind="died",
                attempts=getattr(problem, "allowed_failures", 0) + 1,
            )  # fmt: skip
        return Lost(reason=str(problem) or type(problem).__name__, kind=type(problem).__name__, attempts=call.attempt)
    return Lost(reason=f"the cluster gave it up ({future.status})", kind=str(future.status), attempts=call.attempt)


def _fingerprint() -> dict[str, str]:
    """What has to be equal in all processes of a suite."""
    return {**versions(), "source code": code_hash_of_this_process()}
