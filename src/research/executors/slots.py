"""What the worker processes of one machine share out between them: cores and threads.

Pure, but for what it asks the system; any thread, where nothing else is said.
"""

import os

import psutil

__all__ = ["ONE_THREAD", "can_pin", "cores", "default_workers", "pin_to_slot"]

#: Most workers by default: beyond them the store and the memory are the limit, not the cores.
_MOST_WORKERS = 8

#: Variables that keep the libraries of numbers to one thread in each process; each reads its own when it is loaded.
ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS", "NUMEXPR_MAX_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS", "ARROW_IO_THREADS",
    )
}  # fmt: skip


def cores() -> int:
    """How many processes can run at once: the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """How many processes by default: the physical cores but one, at most 8 and the cores that are allowed, at least 1.

    One core is left to the process that writes down what the others come to.
    """
    allowed = cores()
    physical = psutil.cpu_count(logical=False) or allowed
    return max(1, min(physical - 1, _MOST_WORKERS, allowed))


def can_pin() -> bool:
    """Whether this system lets a process choose its core."""
    return hasattr(os, "sched_setaffinity")


def pin_to_slot(slot: int) -> int | None:
    """Keep this thread, and those that it starts, on the core of a slot: the so-manieth of those that are allowed.

    More slots than cores begin again with the first.

    Returns:
        The core; None where the system has no such thing or there is but one.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return None
    core = allowed[slot % len(allowed)]
    os.sched_setaffinity(0, {core})
    return core
