"""One spawned process that makes one call after the other, told as it ends, by whatever cause.

It lies over a pool of a library with a single process in it. Several processes of one pool share a channel with locks:
one that is killed while it holds them, or in the middle of an answer, stops all the others. So every process has a
pool to itself, which is never asked for a second process: where that one ends, the pool ends, and the call with it.

What crosses the border are bytes. What they hold is packed and unpacked on both sides under guard, so that an answer
or an error that cannot be sent is a failure of its call alone. A process ends by itself when the one that started it
is gone, also in the middle of a call. A `Worker` belongs to the thread that made it.
"""

import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

import psutil
from pebble import ProcessExpired, ProcessFuture, ProcessPool

from src.core.errors import LockstepError
from src.core.places import place_of_error
from src.core.record import record
from src.core.sync import start_thread
from src.core.texts import writable

__all__ = ["DIED", "Failed", "Worker", "packed"]

DIED = "died"

#: What a process leaves behind that ended because the one that started it is gone.
_ORPHAN = 3


@record
class Failed:
    """A call without an answer.

    Attributes:
        reason: a sentence.
        kind: `died`, or the name of the type of error that was raised; callers add kinds of their own.
        error: what the call raised, where it could be sent.
    """

    reason: str
    kind: str
    error: BaseException | None = None


class Worker:
    """A process that begins when this is made; its first call is `start`, the others are made by `call`.

    Args:
        environment: the variables that it gets besides those of this process.
        start: importable by name; called in it before anything else.
        on_ended: told from another thread that a call has ended, with the call's number, from 0 for `start`.

    Raises:
        OSError: the system gives no more processes.
    """

    def __init__(
        self, environment: Mapping[str, str], start: Callable[[], None] | None, on_ended: Callable[[int], None]
    ) -> None:
        self._context = _Context(environment)
        self._pool = ProcessPool(max_workers=1, context=self._context)
        self._on_ended = on_ended
        self._future: ProcessFuture[bytes]
        self.calls = -1
        try:
            self._submit(_begin, packed(start))
        except BrokenProcessPool as error:
            self.close()
            raise OSError(f"no process can be started: {error.__cause__ or error}") from None
        except BaseException:
            self.close()
            raise

    @property
    def is_alive(self) -> bool:
        """Whether it can take a call."""
        return not self.is_gone and bool(self._pool.active)

    @property
    def is_gone(self) -> bool:
        """Whether the process has ended. What it said before may still be on its way."""
        process = self._process
        # The end of its pipe, because its exit code may have been taken by somebody else, and is never known then.
        return process is None or bool(wait([process.sentinel], 0))

    @property
    def is_forgotten(self) -> bool:
        """Whether nobody will ever tell of the last call: it was on its way to a process that ended."""
        return not self._pool.active and not self._future.done()

    @property
    def memory_bytes(self) -> int:
        """How much of the memory it holds; 0 when it is gone."""
        process = self._process
        if process is None:
            return 0
        try:
            return int(psutil.Process(process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def call(self, call: bytes) -> None:
        """Make a call, packed as (function, item). The one before has ended."""
        try:
            self._submit(_made, call)
        except RuntimeError:  # its process has just ended
            self._future = ProcessFuture()

    def answer(self) -> Any:
        """What the last call came to, which has ended or is forgotten: its answer, or `Failed`."""
        try:
            packed_answer = self._future.result(timeout=0)
        except ProcessExpired as problem:
            return Failed(reason=f"its process ended by itself ({_ending(problem.exitcode)})", kind=DIED)
        except (BrokenProcessPool, TimeoutError):
            process = self._process
            code = None if process is None else process.exitcode
            return Failed(reason=f"its process ended by itself ({_ending(code)})", kind=DIED)
        try:
            return _unpacked(packed_answer)
        except Exception as problem:
            kind = type(problem).__name__
            return Failed(reason=f"what the call came to cannot be read here: {_told(problem)}", kind=kind)

    def kill(self) -> None:
        """End the process now; a call that is under way is told of as any other that ends."""
        process = self._process
        if process is not None:
            with suppress(OSError):
                process.kill()

    def close(self) -> None:
        """End the process and all that serves it; nothing else may be asked of it then."""
        self.stop()
        self._pool.join()
        process = self._process
        if process is not None:
            with suppress(ValueError):  # it seems to live to those that wait for an exit code that somebody else took
                process.close()

    def stop(self) -> None:
        """End the process without waiting; `close` is to follow."""
        self.kill()
        self._pool.stop()  # type: ignore[no-untyped-call]  # the library has types for the rest

    @property
    def _process(self) -> SpawnProcess | None:
        """The process, once it was started."""
        process = self._context.process
        return None if process is None or process.pid is None else process

    def _submit(self, function: Callable[[bytes], bytes], words: bytes) -> None:
        self.calls += 1
        number = self.calls
        self._future = self._pool.schedule(function, args=[words])
        self._future.add_done_callback(lambda _: self._on_ended(number))


def packed(value: Any) -> bytes:
    """A value as it is sent to a process."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _begin(words: bytes) -> bytes:
    parent = parent_process()
    if parent is not None:
        start_thread("parent", partial(_end_with, parent.join))
    return _guarded(lambda: _call_start(pickle.loads(words)))


def _end_with(wait_for_parent: Callable[[], object]) -> None:
    wait_for_parent()
    os._exit(_ORPHAN)


def _call_start(start: Callable[[], None] | None) -> None:
    if start is not None:
        start()


def _made(words: bytes) -> bytes:
    def call() -> Any:
        function, item = pickle.loads(words)
        return function(item)

    return _guarded(call)


def _guarded(call: Callable[[], Any]) -> bytes:
    """The answer of a call or what it raised, packed."""
    try:
        answer = call()
    except BaseException as error:  # also one that means to end the process: its call is asked for a result
        return packed((False, _raised(error)))
    try:
        return packed((True, answer))
    except Exception as problem:
        reason = f"what the call came to cannot be sent: {_told(problem)}"
        return packed((False, (reason, type(problem).__name__, "", None)))


def _raised(error: BaseException) -> tuple[str, str, str, bytes | None]:
    place = place_of_error(error)
    reason = _told(error) + (f" ({place})" if place and not isinstance(error, LockstepError) else "")
    trace = writable("".join(traceback.format_exception(error)))
    try:
        sent = packed(error)
        pickle.loads(sent)
    except Exception:  # whatever it holds; its words have to do
        sent = None
    return reason, type(error).__name__, trace, sent


def _told(error: BaseException) -> str:
    if isinstance(error, LockstepError):
        return error.message
    try:
        text = str(error)
    except Exception:
        text = ""
    return writable(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _unpacked(words: bytes) -> Any:
    is_answer, value = pickle.loads(words)
    if is_answer:
        return value
    reason, kind, trace, sent = value
    error: BaseException | None = None if sent is None else pickle.loads(sent)
    if error is not None:
        error.__cause__ = _InProcess(trace)
    return Failed(reason=reason, kind=kind, error=error)


class _InProcess(Exception):  # never raised; it carries the traceback that the other process had
    """Where an error was raised in another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _ending(code: int | None) -> str:
    if code is None:
        return "nothing is known of its end"
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"number {-code}"
    return f"signal {name}"


class _Process(SpawnProcess):
    """A spawned process that begins with variables of its own; hash seed and locale are read once, at the start."""

    def __init__(self, environment: Mapping[str, str], *words: Any, **named: Any) -> None:
        super().__init__(*words, **named)
        self._environment = dict(environment)

    def start(self) -> None:
        """Start it; the variables of this process are changed for as long as that takes."""
        with _variables(self._environment):
            super().start()


class _Context(SpawnContext):
    """What a pool makes its one process with.

    Attributes:
        process: the process, once there is one.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self.process: SpawnProcess | None = None
        self._environment = environment
        self.Process = self._only  # type: ignore[assignment,misc]  # called, never derived from

    def _only(self, *words: Any, **named: Any) -> SpawnProcess:
        if self.process is not None:
            raise OSError("the process has ended, and there is no other one")
        self.process = _Process(self._environment, *words, **named)
        return self.process


@contextmanager
def _variables(changed: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
