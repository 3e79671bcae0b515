"""What the tests of executors call in other processes."""

import ctypes
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from src.core.errors import DeterminismError
from src.core.sync import start_thread


def process_of(_: object) -> int:
    return os.getpid()


def double(number: int) -> int:
    return 2 * number


def exit_at_once(code: int) -> None:
    os._exit(code)


def kill_itself(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_watched_worker(_: object) -> None:
    """Kills the worker of a cluster that it runs in, as soon as its nanny has heard that it has begun.

    A nanny starts no other one in place of a worker that ends before that.
    """
    from distributed import core, get_worker
    from distributed.protocol import pickle
    from distributed.utils import sync

    worker: Any = get_worker()
    rpc: Any = core.rpc
    dumps: Any = pickle.dumps

    async def ask() -> str:
        async with rpc(worker.nanny) as nanny:
            answer = await nanny.run(function=dumps(status_of_process))
        return str(answer["result"])

    while sync(worker.loop, ask) != "running":
        pass
    kill_itself(None)


def status_of_process(dask_worker: Any) -> str:
    """What a nanny knows of its worker."""
    return str(dask_worker.process.status.name)


def crash(_: object) -> None:
    ctypes.string_at(0)


def spin(_: object) -> None:
    while True:
        pass


def hang_for_a_thread(_: object) -> None:
    """Waits for a thread that never ends."""

    def wait() -> None:
        threading.Event().wait()

    start_thread("stuck", wait).join()


def begin_and_do(task: tuple[str, str]) -> Any:
    """Leaves a file in a folder and does what has a name."""
    folder, name = task
    os.close(tempfile.mkstemp(dir=folder)[0])
    return do((name, None))


def take_memory(mib: int) -> None:
    held = []
    for _ in range(mib):
        held.append(bytearray(os.urandom(1) * (1 << 20)))
    while True:
        pass


def cannot_be_sent(_: object) -> Any:
    return lambda: None


class Odd(Exception):  # cannot be built again from its arguments
    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


class Spiteful:
    """Is packed as something that cannot be unpacked."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise OverflowError("not here")


def cannot_be_read(_: object) -> Any:
    return Spiteful()


def raise_odd(_: object) -> None:
    raise Odd("this", "that")


def raise_disagreement(_: object) -> None:
    raise DeterminismError("the same inputs gave another digest")


def leave(_: object) -> None:
    sys.exit("enough")


def fail_once(folder: str) -> str:
    """Kills its process the first time, for each folder."""
    mark = Path(folder, "tried")
    if mark.exists():
        return "well"
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def do(task: tuple[str, Any]) -> Any:
    """Any of the above, by name."""
    name, item = task
    return globals()[name](item)


_slots: list[int] = []


def note_slot(slot: int) -> None:
    _slots.append(slot)


def slot_and_process(_: object) -> tuple[list[int], int]:
    return list(_slots), os.getpid()


def kill_if_second(number: int) -> tuple[list[int], int]:
    """Kills the process that has slot 1, at the first item."""
    if number == 0 and _slots == [1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return list(_slots), number


def raise_at_start(_: int) -> None:
    raise DeterminismError("it does not begin")


def exit_at_start(_: int) -> None:
    os._exit(7)


def fail_to_start_once(folder: str, _: int) -> None:
    mark = Path(folder, "tried")
    if not mark.exists():
        mark.touch()
        os._exit(7)


def variable(name: str) -> str | None:
    return os.environ.get(name)


class Token:
    """An item or an answer whose life can be watched."""

    def __init__(self, number: int) -> None:
        self.number = number


def next_token(token: Token) -> Token:
    return Token(token.number + 1)


def much(number: int) -> tuple[int, int, bytes]:
    """More than a pipe holds at a time."""
    return number, os.getpid(), bytes(300_000)


def say_and_spin(_: object) -> None:
    os.write(1, f"{os.getpid()}\n".encode())  # in one piece, beside others that write
    spin(_)
