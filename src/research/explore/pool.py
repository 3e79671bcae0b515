"""Runs many variants of one configuration side by side, each in a process of its own kind: spawned, never forked.

What a run prints goes to stderr of its process. Nothing is stored. Results come back in the order of the list, whatever
the number of processes. Called by one thread.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from multiprocessing import get_context  # noqa: TID251 - the one place of an exploration that spawns processes
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from src.backtesting.metrics import compute_metrics
from src.backtesting.run import compose, prepare
from src.core.config_file import read_config
from src.core.day import AccountDay
from src.core.errors import InternalError
from src.research.explore.groups import Observed
from src.research.explore.schedules import Variant, override_words

__all__ = ["Observer", "observe"]

#: What makes a run as quick as it can be and changes no result.
QUICK = ("backtest.time_mode=MAX_SPEED", "backtest.pace=null")


def observe(config: Path, overrides: Sequence[str], variant: Variant) -> Observed:
    """Run one variant in this process.

    Raises:
        LockstepError: the run could not even begin.
    """
    with redirect_stdout(sys.stderr):
        prepared = prepare(read_config(config, [*overrides, *override_words(variant), *QUICK]))
        result = compose(prepared).run()
    error = "" if result.error is None else f"{type(result.error).__name__}: {result.error.message}"
    day = prepared.config.risk.day
    try:
        metrics = compute_metrics(result, day=AccountDay(day.zone, day.at))
    except InternalError as problem:
        return Observed(
            variant=variant, digest=result.digest, outcome=result.outcome.value, error=error or problem.message
        )
    return Observed(
        variant=variant,
        digest=result.digest,
        outcome=result.outcome.value,
        error=error,
        trades=metrics.trades,
        profit=metrics.final_equity - metrics.initial_balance,
        drawdown_percent=metrics.max_drawdown_percent,
    )


class Observer:
    """Runs variants in `workers` processes.

    Args:
        config: the configuration file.
        overrides: what is changed in it.
        told: called after each run with how many have ended.
    """

    def __init__(
        self, config: Path, overrides: Sequence[str], workers: int, told: Callable[[int], None] | None = None
    ) -> None:
        self._config = config
        self._overrides = tuple(overrides)
        self._workers = workers
        self._told = told

    def __call__(self, tried: Sequence[Variant]) -> list[Observed]:
        """The results of the variants, in order.

        Raises:
            LockstepError: a run could not even begin, or its process died.
        """
        results: list[Observed] = []
        pool = ProcessPool(max_workers=min(self._workers, len(tried)), context=get_context("spawn"))
        try:
            running = [pool.schedule(observe, args=[self._config, self._overrides, variant]) for variant in tried]
            for variant, future in zip(tried, running, strict=True):
                try:
                    results.append(future.result())
                except ProcessExpired as problem:
                    raise InternalError(
                        f"the process that ran {variant.schedule} ended by itself (exit code {problem.exitcode}); run "
                        "that schedule alone to see why",
                        schedule=variant.schedule,
                    ) from problem
                if self._told is not None:
                    self._told(len(results))
        finally:
            # Not closed but stopped: a process whose run left a stuck thread would never end by itself.
            pool.stop()
            pool.join()
        return results
