"""The executor of a suite, as its manifest asks for it: how many workers, what each may take, and what they read.

Reads files and what the system says of itself; called by the thread of the suite.
"""

import os
from functools import partial
from pathlib import Path

import psutil

from src.core.errors import ConfigError
from src.core.program import command
from src.core.words import counted
from src.data.mirror import is_mirror, mirror_folder
from src.data.mirror_store import refuse_other_mirror
from src.data.store import HistoricalDataStore
from src.research.executors import executor_factory
from src.research.executors.port import Executor
from src.research.executors.slots import default_workers
from src.research.processes import cores
from src.research.suite.manifest import Manifest
from src.research.suite.plan import Plan
from src.research.suite.section import SuiteSection
from src.research.suite.worker import Limits, begin

__all__ = ["executor_for", "mirror_for"]

#: How much of the machine's memory the workers share when the manifest does not say it.
_SHARE = 0.8
#: What a worker holds before it has read anything, and a little more.
_LEAST_BYTES = 100_000_000
_CLUSTER = "dask"


def executor_for(name: str, section: SuiteSection, workers: int | None, *, reads_stores: bool) -> Executor:
    """The executor of that name, to be entered.

    Args:
        workers: how many; as the manifest says by default, else all cores where no store is read, else as many as leave
            one physical core to the suite itself. A cluster has the workers that it has.

    Raises:
        ConfigError: there is no such executor, its library is missing, the manifest names no cluster, or its memory is
            not enough for so many workers.
    """
    factory = executor_factory(name)
    deadline_s = section.deadline_ns / 1e9
    if name == _CLUSTER:
        if not section.dask.address:
            raise ConfigError(
                "executor dask: expected dask.address in the manifest, found none; write dask: {address: "
                "tcp://10.0.0.1:8786, mirror: FOLDER}"
            )
        cluster: Executor = factory(
            section.dask.address, deadline_s=deadline_s, start=partial(begin, limits=Limits(pin=False))
        )
        return cluster
    count = workers or section.workers or (default_workers() if reads_stores else cores())
    total = section.memory_bytes or int(psutil.virtual_memory().total * _SHARE)
    if section.memory_bytes is not None and total // count < _LEAST_BYTES:
        raise ConfigError(
            f"memory: expected at least 100MB for each of {counted(count, 'worker')}, found {total / 1e6:.0f}MB for "
            f"all; write {count}00MB or more, or fewer workers"
        )
    limits = Limits(memory_bytes=total // count)
    local: Executor = factory(
        count, deadline_s=deadline_s, memory_bytes=total // count, start=partial(begin, limits=limits)
    )
    return local


def mirror_for(name: str, manifest: Manifest, plan: Plan) -> str:
    """The folder of the mirror that the workers of an executor read in place of the store; empty for the store itself.

    Raises:
        ConfigError: the workers of a cluster are to read several stores, or there is no mirror.
        DataError: the mirror does not hold what the store does.
    """
    if name != _CLUSTER or not plan.stores:
        return ""
    if len(plan.stores) > 1:
        several = ", ".join(map(str, plan.stores))
        raise ConfigError(
            f"a cluster reads one mirror, and the runs of this suite read {several}; make a suite of each"
        )
    store = plan.stores[0]
    named = manifest.section.dask.mirror
    folder = Path(os.path.abspath(manifest.folder / named)) if named else mirror_folder(store)
    if not is_mirror(folder):
        again = command("data", "export", "--store", store.as_posix(), "--mirror", folder.as_posix())
        raise ConfigError(
            f"the workers of a cluster read a Parquet mirror, expected one at {folder}, found none; `{again}` writes it"
        )
    with HistoricalDataStore(store, read_only=True) as opened:
        refuse_other_mirror(opened, folder, frozenset(plan.symbols))
    return str(folder)
