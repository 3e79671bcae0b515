"""What the parts of a suite hand to one another: plain values, which cross the borders of processes and machines.

Pure; any thread.
"""

from dataclasses import dataclass, field
from typing import Any

from src.core.record import record

__all__ = ["RunAnswer", "RunSpec", "RunTask"]


@record
class RunSpec:
    """One run of a manifest, as it was asked for.

    Attributes:
        position: its place in the manifest, from 0; results are told in this order.
        name: as the manifest calls it, or `run-<position>`.
        settings: what it has besides the base configuration, by dotted key (`strategies.0.params.fast`), in the order
            in which the manifest names them. Values are plain and shared between the runs.
        labels: the same for people and tables: short names (`fast`, `symbols`, `window`) and plain values.
    """

    position: int
    name: str
    settings: tuple[tuple[str, Any], ...]
    labels: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTask:
    """One distinct run for a worker.

    Attributes:
        key: hash of all that decides its result but the data; two tasks of one key are one run.
        values: its whole configuration, overrides applied.
        name, folder: of the configuration file: for messages, and what its paths are relative to.
        signature: of the data that it reads; tasks of one signature come one after the other, because a worker keeps
            what it loaded for the last one.
        reach_ns: where the earliest bars begin that any task of this signature reads; None where it is not known.
        mirror: the folder of a Parquet mirror to be read in place of the store; empty for the store itself.
        code: hash of Lockstep's source when the run was planned; empty where that does not matter.
        user_files: likewise of the strategies' files, by the word that the configuration uses them by.
    """

    key: str
    values: dict[str, Any]
    name: str
    folder: str
    signature: str
    reach_ns: int | None = None
    mirror: str = ""
    code: str = ""
    user_files: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """What a run came to.

    Attributes:
        key: of its task.
        outcome: COMPLETED, DEGRADED or FAILED.
        run_id, digest: empty where the bot found its configuration wrong, of which nothing is stored.
        folder: the name of its folder inside the runs folder.
        error_type, error: what ended a failed run, empty otherwise.
        fingerprint: of the data that it read.
        metrics: the figures of `metrics.json` that are numbers or texts; empty where it has none.
        artifacts: SHA-256 of each of its files whose bytes are a function of the run, by name.
        timing: real durations in seconds: `engine` from the first turn to the last, `task` all that the worker did for
            it; `loads`: how often the store was read for it; `worker`. Nothing here is a function of the run.
    """

    key: str
    outcome: str
    run_id: str = ""
    digest: str = ""
    folder: str = ""
    error_type: str = ""
    error: str = ""
    fingerprint: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)
