"""Determinism under contention: whatever happens to the threads, one result, and no limit exceeded."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from src.backtesting.result import BacktestResult
from src.backtesting.schedules import policy_named
from src.core.journal import JournalRecord
from src.core.strategy import BarStrategy
from src.testing import bar_series, run_world
from tests.backtesting.contended import SYMBOLS, check_limits, contended_run
from tests.delays import DelayedThreads, Delays

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def expected() -> BacktestResult:
    """The run in fibers and in the written order, with which others are compared."""
    return contended_run("fibers")[0]


def first_difference(a: list[JournalRecord], b: list[JournalRecord]) -> str:
    """The first record in which two journals differ, as a sentence for the report of a failure."""
    for i, (one, other) in enumerate(zip(a, b, strict=False)):
        if one != other:
            return f"record {i}: {one} is not {other}"
    return f"equal for {min(len(a), len(b))} records, then one of them ends"


def test_the_scenario_really_is_one_of_contention() -> None:
    """Both limits refuse again and again, every symbol wins sometimes, and every kind of exit occurs."""
    result, series = contended_run("fibers")

    check_limits(result, series)
    assert result.refusals["max_open_positions"] > 50
    assert result.refusals["margin"] > 50
    assert set(Counter(fill.symbol for fill in result.fills)) == set(SYMBOLS)
    assert {trade.exit_kind for trade in result.trades} >= {"exit", "stop", "trailing", "end_of_data"}
    deciders = {record.participant for record in result.records if record.kind == "decision"}
    assert deciders == {"monitor:positions", *(f"worker:{symbol}" for symbol in SYMBOLS)}


def test_the_delays_lie_in_the_hand_overs_too() -> None:
    """Each passage of the turn from one thread to another is delayed, or the next test would show less than it says."""
    runtime = DelayedThreads(Delays(1))
    pair = ("AAA", "BBB")
    run_world([bar_series(symbol, [100.0] * 30) for symbol in pair], [BarStrategy], runtime=runtime)

    assert runtime.handed_over >= 60


@pytest.mark.slow
@pytest.mark.timeout(600)  # half a minute on an idle machine; the limit leaves room for a busy one
@pytest.mark.parametrize("runs", [30, pytest.param(200, marks=pytest.mark.soak)])
def test_runs_under_real_delays_give_one_digest_and_break_no_limit(expected: BacktestResult, runs: int) -> None:
    """Random real delays at every call of the broker and at every hand-over change nothing."""
    delayed = 0
    for seed in range(runs):
        delays = Delays(seed)
        result, series = contended_run(delays=delays)
        check_limits(result, series)
        assert result.digest == expected.digest, f"seed {seed}: {first_difference(expected.records, result.records)}"
        assert result.turns == expected.turns
        delayed += delays.count

    assert delayed > runs * 10_000


def in_a_process(seed: int, hash_seed: str) -> "subprocess.Popen[str]":
    """Start one run in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.backtesting.contended", str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def digest_of(process: "subprocess.Popen[str]") -> str:
    """Wait for a process and read its digest."""
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    return out.strip()


@pytest.mark.slow
def test_other_processes_with_other_hash_seeds_give_the_same_digest(expected: BacktestResult) -> None:
    """Nothing depends on the order of sets or on what a process happens to be."""
    processes = [in_a_process(seed, hash_seed) for seed, hash_seed in enumerate(("0", "1", "42", "random"))]

    assert [digest_of(process) for process in processes] == [expected.digest] * 4


@pytest.mark.slow
def test_a_process_that_burns_the_processor_beside_it_changes_nothing(expected: BacktestResult) -> None:
    """Under load threads are suspended at other moments, and the digest stays."""
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        processes = [in_a_process(seed, "random") for seed in (7, 8)]
        digests = [contended_run()[0].digest for _ in range(3)]
        digests += [digest_of(process) for process in processes]
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()

    assert digests == [expected.digest] * 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_no_schedule_exceeds_a_limit(expected: BacktestResult, seed: int) -> None:
    """Another order gives other trades, the same order the same ones, and every order keeps the limits."""
    results = [contended_run("fibers", policy=policy_named("seeded", seed)) for _ in range(2)]

    for result, series in results:
        check_limits(result, series)
    assert results[0][0].digest == results[1][0].digest != expected.digest
