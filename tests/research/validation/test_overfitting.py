"""The probability of backtest overfitting: an example by hand, the extremes, noise, and what must not matter."""

import math

import numpy as np
import pytest

from src.research.validation.overfitting import DEFAULT_BLOCKS, Overfitting, OverfittingBlocks


def compared(rows: "list[list[float]] | np.ndarray", blocks: int, measure: str = "mean") -> Overfitting:
    """Candidates with a value in every period."""
    taken = OverfittingBlocks(len(rows[0]), blocks)
    for row in rows:
        taken.add(np.arange(len(row), dtype=np.int64), np.array(row, dtype=np.float64))
    found = taken.compare("mean" if measure == "mean" else "sharpe")
    assert found is not None
    return found


def test_four_blocks_by_hand() -> None:
    """Three candidates, four periods of one block each, six ways, all of them overfitted."""
    # A = 4 0 0 0, B = 0 3 1 0, C = 1 1 1 2; sums of the halves:
    #   chosen 12: A 4, B 3, C 2; other 34: A 0, B 1, C 3; the best, A, is the lowest: rank 1
    #   chosen 34: C best with 3; other 12: A 4, B 3, C 2: rank 1
    #   chosen 13: A 4, B 1, C 2; other 24: A 0, B 3, C 3: rank 1
    #   chosen 24: B and C 3; other 13: A 4, B 1, C 2; the worse of both counts, B: rank 1
    #   chosen 14: A 4, B 0, C 3; other 23: A 0, B 4, C 2: rank 1
    #   chosen 23: B 4; other 14: A 4, B 0, C 3: rank 1
    found = compared([[4, 0, 0, 0], [0, 3, 1, 0], [1, 1, 1, 2]], 4)

    assert (found.candidates, found.blocks, found.combinations) == (3, 4, 6)
    assert found.probability == 1.0
    assert (
        found.logit_mean == found.logit_median == found.logit_lowest == pytest.approx(math.log(0.25 / 0.75), rel=1e-11)
    )
    assert found.loss == 0.0


def test_four_blocks_by_hand_with_all_ranks() -> None:
    """Ties in either half, a rank at the median, and five of six ways overfitted."""
    # A = 4 0 2 1, B = 0 3 1 0, C = 1 1 1 2 and D = 0 0 0 0:
    #   12: A best 4; 34: A 3, B 1, C 3, D 0: A shares ranks 3 and 4, 3.5
    #   34: A and C best 3; 12: A 4, B 3, C 2, D 0: the worse is C, rank 2
    #   13: A best 6; 24: A 1, B 3, C 3, D 0: rank 2
    #   24: B and C best 3; 13: A 6, B 1, C 2, D 0: the worse is B, rank 2
    #   14: A best 5; 23: A 2, B 4, C 2, D 0: A and C share ranks 2 and 3, 2.5, which is the median
    #   23: B best 4; 14: A 5, B 0, C 3, D 0: B and D share ranks 1 and 2, 1.5
    # At most the median 2.5 are five of six. Sums chosen and seen: (4, 3) (3, 2) (6, 1) (3, 1) (5, 2) (4, 0).
    found = compared([[4, 0, 2, 1], [0, 3, 1, 0], [1, 1, 1, 2], [0, 0, 0, 0]], 4)

    ranks = [3.5, 2.0, 2.0, 2.0, 2.5, 1.5]
    logits = sorted(math.log(rank / (5 - rank)) for rank in ranks)
    assert found.probability == pytest.approx(5 / 6, rel=1e-11)
    assert found.logit_mean == pytest.approx(math.fsum(logits) / 6, rel=1e-11)
    assert found.logit_median == pytest.approx(logits[2], rel=1e-11)
    assert (found.logit_lowest, found.logit_highest) == pytest.approx((logits[0], logits[-1]), rel=1e-11)
    # Means are half of the sums, so the slope is theirs.
    expected = np.polyfit([4, 3, 6, 3, 5, 4], [3, 2, 1, 1, 2, 0], 1)[0]
    assert found.slope == pytest.approx(expected, rel=1e-9)


def test_the_sharpe_ratio_is_that_of_the_chosen_periods() -> None:
    """Two blocks of three periods: the two halves themselves; every number by numpy."""
    rows = np.random.default_rng(4).normal(0.1, 1, (5, 6))
    ratios = [rows[:, half].mean(1) / rows[:, half].std(1, ddof=1) for half in (slice(0, 3), slice(3, 6))]
    inside = [float(each.max()) for each in ratios]
    outside = [float(ratios[1 - at][int(ratios[at].argmax())]) for at in (0, 1)]

    found = compared(rows, 2, "sharpe")

    assert found.slope == pytest.approx((outside[1] - outside[0]) / (inside[1] - inside[0]), rel=1e-9)
    assert found.loss == sum(each < 0 for each in outside) / 2


@pytest.mark.parametrize("measure", ["sharpe", "mean"])
def test_one_that_dominates_is_not_overfitted(measure: str) -> None:
    """It is the best of every half."""
    rows = np.random.default_rng(1).normal(0, 1, (50, 160))
    rows[17] += 3.0

    found = compared(rows, 10, measure)

    assert found.probability == 0.0
    assert found.loss == 0.0
    assert found.logit_lowest == pytest.approx(math.log(50), rel=1e-11)


def test_what_always_reverses_is_wholly_overfitted() -> None:
    """Every candidate comes to 0 over all blocks, so what it has in one half it lacks in the other."""
    blocks = np.random.default_rng(2).integers(-9, 10, (30, 8)).astype(np.float64)
    blocks -= blocks.mean(1, keepdims=True)

    found = compared(np.repeat(blocks, 4, axis=1), 8)

    assert found.probability == 1.0
    assert found.loss == 1.0
    assert found.slope == pytest.approx(-1.0, rel=1e-9)


def test_noise_is_near_one_half() -> None:
    """The mean over seeds; choosing the best of noise is as good as choosing any."""
    found = [
        compared(np.random.default_rng(seed).normal(0, 1, (40, 64)), 8, "sharpe").probability for seed in range(40)
    ]

    error = float(np.std(found, ddof=1)) / math.sqrt(len(found))
    assert np.mean(found) == pytest.approx(0.5, abs=4 * error)
    assert error < 0.05


def test_the_order_of_candidates_and_values_does_not_count() -> None:
    """To the last bit, with values that share a period and with equal candidates."""
    stream = np.random.default_rng(3)
    given = [(stream.integers(0, 100, 60), stream.normal(0, 1, 60)) for _ in range(20)]
    given += given[:3]

    found = []
    for order, inner in ((range(23), slice(None)), (stream.permutation(23), slice(None, None, -1))):
        taken = OverfittingBlocks(100, 6)
        for at in order:
            taken.add(given[at][0][inner], given[at][1][inner])
        found.append(taken.compare())

    assert found[0] == found[1]
    assert len(taken) == 23


def test_periods_without_a_value_are_zeros() -> None:
    """As if they had been given."""
    dense, sparse = OverfittingBlocks(8, 4), OverfittingBlocks(8, 4)
    rows = np.array([[0, 1, 0, 0, 2, 0, -1, 0], [1, 0, 0, -1, 0, 3, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]], dtype=np.float64)
    for row in rows:
        dense.add(np.arange(8, dtype=np.int64), row)
        sparse.add(np.flatnonzero(row), row[row != 0])

    assert dense.compare() == sparse.compare()


def test_the_default_number_of_ways_is_that_of_the_paper() -> None:
    """Sixteen blocks, 12,870 ways; those that never trade have a Sharpe ratio of 0."""
    taken = OverfittingBlocks(16)
    for _ in range(2):
        taken.add(np.empty(0, dtype=np.int64), np.empty(0))

    found = taken.compare()

    assert DEFAULT_BLOCKS == 16
    assert found is not None
    assert found.combinations == 12870
    assert (found.probability, found.logit_mean, found.slope) == (1.0, 0.0, None)


def test_a_single_candidate_cannot_be_chosen() -> None:
    """Nor can none."""
    taken = OverfittingBlocks(10, 2)
    assert taken.compare() is None
    taken.add(np.array([1, 2]), np.array([0.5, 1.0]))

    assert taken.compare() is None


@pytest.mark.parametrize(("periods", "blocks"), [(10, 3), (10, 0), (3, 4), (100, 26)])
def test_blocks_that_do_not_fit_are_refused(periods: int, blocks: int) -> None:
    """Odd, none, more than periods, or more than can be looked at."""
    with pytest.raises(ValueError, match=f"an even number of blocks from 2 to 24 in {periods} periods, found {blocks}"):
        OverfittingBlocks(periods, blocks)


@pytest.mark.parametrize(("period", "value"), [([0, 10], [1, 1]), ([-1], [1]), ([0], [math.nan]), ([0, 1], [1])])
def test_values_that_do_not_fit_are_refused(period: list[int], value: list[float]) -> None:
    """Outside of the time, not finite, or without a period."""
    with pytest.raises(ValueError, match="expected"):
        OverfittingBlocks(10, 2).add(np.array(period, dtype=np.int64), np.array(value, dtype=np.float64))
