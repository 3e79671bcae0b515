"""How long a suite took, and what the processes beside each other were really worth.

The sum of the runs' durations over the time on the clock overstates that, because runs beside each other are slower
than runs by themselves. So some runs of the same suite are made one at a time, and what they take is the measure.
Nothing here enters a result.
"""

from dataclasses import asdict, dataclass
from typing import Any

from src.research.suite.ports import RunAnswer

__all__ = ["SuiteClock", "SuiteTiming"]

_NS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteTiming:
    """Real durations in seconds.

    Attributes:
        wall_seconds: from the manifest to the results.
        prepare_seconds: of that, until the first run was begun: planning, sync and preflight.
        parallel_seconds: from the beginning of the runs beside each other to the end of the last of them.
        run_seconds: the durations of all runs in their workers, added up.
        serial_runs, serial_mean_seconds: the runs that were made one at a time, and what one of them took on average;
            0 and None without any.
        parallel_runs: the runs that were made beside each other.
        speed_up: by how much they were done sooner than one at a time; None without a measure.
        runs_per_s: of the runs beside each other; None without any.
        overhead_mean_seconds: what a run cost its worker beyond the backtest itself, which is to play it and to store
            it: loading, and letting go of everything; None without any.
        storing_mean_seconds: what figures and folder cost, as they do in a backtest by itself; None without any.
        unsimulated_mean_seconds: all that it cost besides the time from its first turn to its last; None without any.
        loads: how often the store was read.
        peak_bytes: the most memory that the process of the suite held, where the system tells it.
    """

    wall_seconds: float
    prepare_seconds: float
    parallel_seconds: float
    run_seconds: float
    serial_runs: int
    serial_mean_seconds: float | None
    parallel_runs: int
    speed_up: float | None
    runs_per_s: float | None
    overhead_mean_seconds: float | None
    storing_mean_seconds: float | None
    unsimulated_mean_seconds: float | None
    loads: int
    peak_bytes: int | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


class SuiteClock:
    """Adds up what the runs say of themselves.

    Args:
        began_ns: the reading of the real clock at the beginning, as all others.
    """

    def __init__(self, began_ns: int) -> None:
        self._began_ns = began_ns
        self._runs_ns = self._parallel_ns = self._ended_ns = began_ns
        self._seconds = self._overhead = self._storing = self._unsimulated = self._serial_seconds = 0.0
        self._serial = self._parallel = self._loads = self._runs = 0
        self._is_parallel = False

    def begin_runs(self, now_ns: int) -> None:
        """Everything is prepared."""
        self._runs_ns = self._parallel_ns = self._ended_ns = now_ns

    def begin_parallel(self, now_ns: int) -> None:
        """From here on runs are made beside each other."""
        self._parallel_ns = self._ended_ns = now_ns
        self._is_parallel = True

    def count(self, answer: RunAnswer, now_ns: int, *, warm: bool) -> None:
        """A run has ended; `warm` when its worker had made another one before."""
        parts = ("task", "play", "keep", "engine")
        task, play, keep, engine = (float(answer.timing.get(part, 0.0)) for part in parts)
        self._seconds += task
        self._overhead += task - play - keep
        self._storing += keep
        self._unsimulated += task - engine
        self._loads += int(answer.timing.get("loads", 0))
        self._runs += 1
        if self._is_parallel:
            self._parallel += 1
            self._ended_ns = now_ns
        elif warm:  # what a new process does first is to load the program and the data: no measure of the others
            self._serial += 1
            self._serial_seconds += task

    def timing(self, now_ns: int, peak_bytes: int | None) -> SuiteTiming:
        """What it came to."""
        parallel = (self._ended_ns - self._parallel_ns) / _NS
        mean = self._serial_seconds / self._serial if self._serial else None
        known = mean is not None and self._parallel > 0 and parallel > 0
        return SuiteTiming(
            wall_seconds=(now_ns - self._began_ns) / _NS,
            prepare_seconds=(self._runs_ns - self._began_ns) / _NS,
            parallel_seconds=parallel,
            run_seconds=self._seconds,
            serial_runs=self._serial,
            serial_mean_seconds=mean,
            parallel_runs=self._parallel,
            speed_up=(mean or 0.0) * self._parallel / parallel if known else None,
            runs_per_s=self._parallel / parallel if self._parallel and parallel > 0 else None,
            overhead_mean_seconds=self._overhead / self._runs if self._runs else None,
            storing_mean_seconds=self._storing / self._runs if self._runs else None,
            unsimulated_mean_seconds=self._unsimulated / self._runs if self._runs else None,
            loads=self._loads,
            peak_bytes=peak_bytes,
        )
