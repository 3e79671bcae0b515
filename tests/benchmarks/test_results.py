"""The real engine on the seeded workloads, against results on which independent engines agree."""

import pytest

from benchmarks.run import read_bars, run
from benchmarks.workloads import WORKLOADS
from src.backtesting.result import BacktestResult


def entries_and_equity(result: BacktestResult) -> tuple[int, float]:
    """Positions opened, and the final equity to the sixth decimal."""
    assert result.error is None
    return sum(1 for fill in result.fills if fill.kind == "entry"), round(result.account.equity, 6)


@pytest.mark.slow
def test_w1_in_real_threads_equals_what_five_engines_agree_on() -> None:
    """500,000 bars of one symbol, always long or short."""
    result = run("W1", read_bars("W1", WORKLOADS["W1"].bars), "threads")

    assert entries_and_equity(result) == (WORKLOADS["W1"].entries, WORKLOADS["W1"].final_equity)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [pytest.param("threads", marks=pytest.mark.soak), "fibers"])
def test_w2_equals_what_two_engines_agree_on_to_the_stop(runtime: str) -> None:
    """Ten symbols of 100,000 bars on one account, each entry with a stop and a target."""
    result = run("W2", read_bars("W2", WORKLOADS["W2"].bars), runtime)

    exits = [fill.kind for fill in result.fills]
    assert entries_and_equity(result) == (WORKLOADS["W2"].entries, WORKLOADS["W2"].final_equity)
    assert (exits.count("stop"), exits.count("target")) == (WORKLOADS["W2"].stops, WORKLOADS["W2"].targets)


@pytest.mark.slow
def test_threads_and_fibers_give_one_digest_on_a_short_workload() -> None:
    """What carries the participants decides nothing."""
    threads = run("W2", read_bars("W2", 5_000), "threads")
    fibers = run("W2", read_bars("W2", 5_000), "fibers")

    assert threads.digest == fibers.digest


def test_who_has_nothing_to_do_gets_no_turn() -> None:
    """W1 takes one turn for each bar and each fill, one to begin and one to end for each of the two participants."""
    result = run("W1", read_bars("W1", 2_000), "threads")

    fills_at = {fill.filled_ns for fill in result.fills}
    assert result.turns == result.bars + len(fills_at) + 4
