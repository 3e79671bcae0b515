"""How a worker process of a suite begins: what it may not do, and how much of the machine it may take.

Called once in each worker, by its main thread, before anything else.
"""

import os
import sys
from contextlib import suppress

from src.core.log import make_log
from src.core.record import record
from src.core.sync import wall_ns
from src.data.connection import limit_engine
from src.data.stores import reset_stores
from src.research.executors.slots import can_pin, pin_to_slot

__all__ = ["Limits", "begin"]


@record
class Limits:
    """How much of the machine one worker may take.

    Attributes:
        threads: of the store's query engine.
        memory_bytes: the worker's share of the memory; None for no limit. The query engine may take half of it, and
            puts on the disk what is more; the bars, the features and the runs have the rest.
        pin: whether the worker stays on the core of its slot.
    """

    threads: int = 1
    memory_bytes: int | None = None
    pin: bool = True


def begin(slot: int, limits: Limits) -> None:
    """Make this process a worker: from now on it only reads stores, within its limits, on a core of its own.

    What is printed goes to stderr, so that it does not stand in the middle of what the suite prints.

    Args:
        slot: the worker's number, from 0.
    """
    reset_stores(force_read_only=True)
    limit_engine(threads=limits.threads, memory_bytes=None if limits.memory_bytes is None else limits.memory_bytes // 2)
    if limits.pin:
        if slot == 0 and not can_pin():
            make_log(sys.stderr, wall_ns).info("workers are not kept on cores of their own: this system cannot")
        pin_to_slot(slot)
    _print_to_stderr()


def _print_to_stderr() -> None:
    sys.stdout.flush()
    with suppress(OSError, ValueError):  # one of them is no file of the system
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
