"""What is told of a suite's time is worked out from a measure, and left out where there is none."""

import pytest

from src.research.suite.ports import RunAnswer
from src.research.suite.timing import SuiteClock

SECOND = 1_000_000_000


def answer(task: float, play: float, *, loads: int = 0) -> RunAnswer:
    """A run that took so many seconds, a quarter of one to be stored."""
    timing = {"task": task, "engine": play - 0.125, "play": play, "keep": 0.25, "loads": loads}
    return RunAnswer(key="k", outcome="COMPLETED", timing=timing)


def test_the_speed_up_is_what_the_runs_would_have_taken_one_at_a_time() -> None:
    """Four runs of 2 s alone, done in 5 s beside each other, are 1.6 times as fast, however long each took there."""
    clock = SuiteClock(0)
    clock.begin_runs(10 * SECOND)
    clock.count(answer(3.0, 2.0, loads=1), 13 * SECOND, warm=False)
    clock.count(answer(2.0, 1.5), 15 * SECOND, warm=True)
    clock.begin_parallel(15 * SECOND)
    for at in (17, 18, 19, 20):
        clock.count(answer(2.5, 2.0, loads=0), at * SECOND, warm=False)
    timing = clock.timing(21 * SECOND, 4096)

    assert timing.speed_up == pytest.approx(2.0 * 4 / 5)
    assert (timing.serial_runs, timing.serial_mean_seconds) == (1, 2.0)
    assert (timing.parallel_runs, timing.parallel_seconds, timing.runs_per_s) == (4, 5.0, pytest.approx(0.8))
    assert (timing.wall_seconds, timing.prepare_seconds, timing.run_seconds) == (21.0, 10.0, 15.0)
    assert timing.overhead_mean_seconds == pytest.approx((1.0 + 0.5 + 4 * 0.5) / 6 - 0.25)
    assert timing.storing_mean_seconds == 0.25
    assert timing.unsimulated_mean_seconds == pytest.approx((1.0 + 0.5 + 4 * 0.5) / 6 + 0.125)
    assert (timing.loads, timing.peak_bytes) == (1, 4096)


def test_without_a_measure_there_is_no_speed_up() -> None:
    """One worker, or too few runs for a sample."""
    clock = SuiteClock(0)
    clock.begin_runs(0)
    clock.begin_parallel(0)
    clock.count(answer(1.0, 0.5), SECOND, warm=False)
    timing = clock.timing(2 * SECOND, None)

    assert (timing.speed_up, timing.serial_mean_seconds, timing.runs_per_s) == (None, None, 1.0)


def test_a_suite_without_a_run_has_no_means() -> None:
    """Everything was taken from an earlier attempt."""
    timing = SuiteClock(0).timing(SECOND, None)

    assert (timing.speed_up, timing.runs_per_s, timing.overhead_mean_seconds, timing.loads) == (None, None, None, 0)
