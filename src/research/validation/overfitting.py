"""The probability of backtest overfitting: how often the best of one half of the time is below average in the other.

Combinatorially symmetric cross-validation. Source: D. H. Bailey, J. Borwein, M. Lopez de Prado and Q. J. Zhu, "The
Probability of Backtest Overfitting", Journal of Computational Finance 20 (2016; preprint 2015), section 3.

The time is cut into an even number of blocks. For every way to choose half of them, the candidate that does best there
is looked up in the other half. Candidates are kept as sums for each block alone, so 13,000 of them take a few megabytes
however long the time is. Numbers are only added, multiplied and compared element by element in a fixed order, so the
outcome is the same on every processor, whatever the order of the candidates. One thread at a time.
"""

import itertools
import math
from array import array
from collections.abc import Sequence
from typing import Literal

import numpy as np

from src.core.bars import FloatArray, IntArray
from src.core.record import record
from src.research.validation.figures import figure
from src.research.validation.pvalues import by_day

__all__ = ["DEFAULT_BLOCKS", "Measure", "Overfitting", "OverfittingBlocks", "Ways"]

Measure = Literal["sharpe", "mean"]

# As in the paper: 12,870 ways to choose eight of them.
DEFAULT_BLOCKS = 16

# A variance this small beside the mean square is rounding.
_NO_SPREAD = 1e-12


@record
class Overfitting:
    """What the cross-validation found out.

    Attributes:
        candidates: how many were compared.
        blocks: into how many the time was cut.
        combinations: in how many ways half of them were chosen.
        probability: share of the ways in which the best of the one half is not above the median of the other; near 0.5
            if choosing the best is no better than choosing any.
        loss: share of the ways in which the best of the one half loses in the other.
        logit_mean, logit_median, logit_lowest, logit_highest: of `ln(w / (1 - w))`, w the rank of the best in the
            other half through one more than the candidates; above 0 is above the median.
        slope: by how much the measure in the other half grows with the one in the half that chose, by least squares;
            below 0 the better it looks, the worse it gets. None where the best of all halves look equally good.
        measure: what the best is best by.
    """

    candidates: int
    blocks: int
    combinations: int
    probability: float
    loss: float
    logit_mean: float
    logit_median: float
    logit_lowest: float
    logit_highest: float
    slope: float | None
    measure: str


@record
class Ways:
    """What came of each way to choose half of the blocks, in the order of the ways.

    Attributes:
        rank: twice the rank of the best of the chosen half in the other, from 2 to twice the candidates; equal ones
            share the mean of their ranks.
        inside, outside: its measure in the half that chose, and in the other.
    """

    rank: tuple[int, ...]
    inside: tuple[float, ...]
    outside: tuple[float, ...]


class OverfittingBlocks:
    """Takes one candidate after the other, and compares them all at the end.

    Args:
        periods: into how many periods, such as days, the time is divided.
        blocks: even, at least 2 and at most `periods` and 24; blocks differ by at most one period in length.

    Raises:
        ValueError: the numbers do not fit.
    """

    def __init__(self, periods: int, blocks: int = DEFAULT_BLOCKS) -> None:
        if blocks % 2 or not 2 <= blocks <= min(periods, 24):
            raise ValueError(f"expected an even number of blocks from 2 to 24 in {periods} periods, found {blocks}")
        self._periods = periods
        self._edges = np.array([number * periods // blocks for number in range(blocks + 1)], dtype=np.int64)
        self._blocks = blocks
        # One array for each block, so that nothing has to be turned round to be compared.
        self._sums = [array("d") for _ in range(blocks)]
        self._squares = [array("d") for _ in range(blocks)]

    def add(self, period: IntArray, value: FloatArray) -> None:
        """Add a candidate.

        Args:
            period: in which period each value falls, from 0; shape (n,). Periods without a value count as 0.
            value: returns, or R; values of one period are added up; finite; shape (n,).

        Raises:
            ValueError: a period or a value is out of range, or their numbers differ.
        """
        if len(period) != len(value) or not bool(np.all(np.abs(value) < 1e90)):
            raise ValueError(f"expected a finite value for each of {len(period)} periods")
        if len(period) and not 0 <= int(period.min()) <= int(period.max()) < self._periods:
            raise ValueError(
                f"expected periods from 0 to {self._periods - 1}, found {int(period.min())} to {int(period.max())}"
            )
        periods, sums = period, value
        if bool(np.any(period[1:] <= period[:-1])):
            periods, sums = by_day(value, period)
        totals, squares = sums.tolist(), (sums * sums).tolist()
        bounds = np.searchsorted(periods, self._edges).tolist()
        for number in range(self._blocks):
            begin, end = bounds[number], bounds[number + 1]
            self._sums[number].append(math.fsum(totals[begin:end]))
            self._squares[number].append(math.fsum(squares[begin:end]))

    def __len__(self) -> int:
        return len(self._sums[0])

    def compare(self, measure: Measure = "sharpe") -> Overfitting | None:
        """Choose the best of every half, and see how it does in the other; see `ways`.

        Returns:
            None with fewer than two candidates.
        """
        return self.summary(self.ways(measure), measure)

    def summary(self, ways: Ways | None, measure: Measure = "sharpe") -> Overfitting | None:
        """What all ways together say; None of None."""
        return None if ways is None else _summary(len(self), self._blocks, ways, measure)

    def ways(self, measure: Measure = "sharpe") -> Ways | None:
        """The best of every half, and how it does in the other.

        Ties: of candidates that are equally good in the half that chooses, the one that does worst in the other
        counts, so that the order of the candidates does not matter and nothing looks better than it is. In the other
        half equal ones share the mean of their ranks. A rank at the median counts as overfitted.

        Args:
            measure: `sharpe`, mean through standard deviation of the periods, 0 where they are all equal; or `mean`.

        Returns:
            None with fewer than two candidates.
        """
        count = len(self)
        if count < 2:
            return None
        # Not copied; as long as somebody looks into them, which ends here, they take no more candidates.
        sums = [np.frombuffer(each, dtype=np.float64) for each in self._sums]
        squares = [np.frombuffer(each, dtype=np.float64) for each in self._squares]
        lengths = np.diff(self._edges).tolist()
        everything = range(self._blocks)
        doubled, inside, outside = [], [], []
        # Each pair of halves is measured once and serves both ways; block 0 is in the first half of each pair.
        for rest in itertools.combinations(everything[1:], self._blocks // 2 - 1):
            first = (0, *rest)
            second = tuple(number for number in everything if number not in first)
            one = _measured(sums, squares, lengths, first, measure)
            other = _measured(sums, squares, lengths, second, measure)
            for chosen, seen in ((one, other), (other, one)):
                best = chosen.max()
                result = seen[chosen == best].min()
                below, equal = int(np.count_nonzero(seen < result)), int(np.count_nonzero(seen == result))
                doubled.append(2 * below + equal + 1)  # twice the rank, a whole number
                inside.append(float(best))
                outside.append(float(result))
        return Ways(rank=tuple(doubled), inside=tuple(inside), outside=tuple(outside))


def _measured(
    sums: Sequence[FloatArray],
    squares: Sequence[FloatArray],
    lengths: list[int],
    chosen: tuple[int, ...],
    measure: Measure,
) -> FloatArray:
    """The measure of every candidate in the chosen blocks; shape (candidates,)."""
    total, square = sums[chosen[0]].copy(), squares[chosen[0]].copy()
    for number in chosen[1:]:
        total += sums[number]
        square += squares[number]
    periods = sum(lengths[number] for number in chosen)
    mean = total / periods
    if measure == "mean" or periods < 2:
        return np.asarray(mean)
    variance = (square - total * mean) / (periods - 1)
    spread = variance > square * (_NO_SPREAD / periods)
    variance[~spread] = 1.0
    mean[~spread] = 0.0
    found: FloatArray = mean / np.sqrt(variance)
    return found


def _summary(count: int, blocks: int, found: Ways, measure: Measure) -> Overfitting:
    doubled, inside, outside = found.rank, found.inside, found.outside
    ways = len(doubled)
    logits = sorted(math.log(rank / (2 * (count + 1) - rank)) for rank in doubled)
    middle = (logits[(ways - 1) // 2] + logits[ways // 2]) / 2
    # A rank is at most at the median where twice the rank is at most one more than the candidates: no division.
    return Overfitting(
        candidates=count, blocks=blocks, combinations=ways,
        probability=_known(sum(rank <= count + 1 for rank in doubled) / ways),
        loss=_known(sum(result < 0 for result in outside) / ways),
        logit_mean=_known(math.fsum(logits) / ways), logit_median=_known(middle),
        logit_lowest=_known(logits[0]), logit_highest=_known(logits[-1]),
        slope=_slope(inside, outside), measure=measure,
    )  # fmt: skip


def _known(value: float) -> float:
    rounded = figure(value)
    assert rounded is not None  # shares and logarithms of shares of whole numbers are finite
    return rounded


def _slope(inside: Sequence[float], outside: Sequence[float]) -> float | None:
    middle, height = math.fsum(inside) / len(inside), math.fsum(outside) / len(outside)
    below = math.fsum((x - middle) * (x - middle) for x in inside)
    above = math.fsum((x - middle) * (y - height) for x, y in zip(inside, outside, strict=True))
    return figure(above / below) if below > 0 else None
