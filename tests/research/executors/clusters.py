"""A real cluster on this machine: a scheduler and worker processes, in a program of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

_PROGRAM = """
import json, sys
import dask
from distributed import LocalCluster

# A call is given up with the second worker that it kills, not with the fourth: each new worker has to begin first.
dask.config.set({"distributed.scheduler.allowed-failures": 1})

if __name__ == "__main__":
    workers, threads = int(sys.argv[1]), int(sys.argv[2])
    with LocalCluster(
        n_workers=workers, threads_per_worker=threads, processes=True, dashboard_address="127.0.0.1:0",
        worker_dashboard_address=None, silence_logs=50,
    ) as cluster:
        print(json.dumps({"address": cluster.scheduler_address}), flush=True)
        sys.stdin.read()
"""


@dataclass(frozen=True)
class Cluster:
    """One that runs until its block ends."""

    address: str


@contextmanager
def cluster_of(folder: Path, workers: int, *, threads: int = 1) -> Iterator[Cluster]:
    """A cluster of so many worker processes.

    Args:
        folder: where its program is written.
        threads: of each worker.
    """
    program = folder / "cluster.py"
    program.write_text(_PROGRAM, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(program), str(workers), str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=folder, env=environment,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield Cluster(json.loads(process.stdout.readline())["address"])
    finally:
        process.communicate("")
