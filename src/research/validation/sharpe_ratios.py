"""What a Sharpe ratio is worth, given how long and how lopsided its track record is.

Two variants of the probabilistic Sharpe ratio are published, and they differ a lot: for one and the same fund (24
months, Sharpe ratio 0.456 a month, skew -2.448, kurtosis 10.164) they give 0.913 and 0.987. Whoever prints one names
the variant. All ratios are per observation, not annualised; the kurtosis of a normal distribution is 3 here. The
deflated Sharpe ratio is in `src/research/deflated_sharpe.py`. Pure; any thread.
"""

import math
from typing import Literal

import numpy as np

from src.core.bars import FloatArray
from src.core.record import record
from src.research.validation.figures import figure

__all__ = ["VARIANTS", "SharpeShape", "Variant", "minimum_track_record", "probabilistic_sharpe", "sharpe_shape"]

Variant = Literal["at_estimate", "at_benchmark"]

# What reports name beside the number.
VARIANTS: dict[str, str] = {
    "at_estimate": "Bailey and Lopez de Prado (2012): the error of the ratio as if the one observed were true",
    "at_benchmark": "Lopez de Prado, Lipton and Zoonekynd (2025): the error of the ratio as if the benchmark were true",
}


@record
class SharpeShape:
    """A series of returns, as far as these figures depend on it.

    Attributes:
        observations: how many.
        sharpe: mean through standard deviation over `observations - 1`; not annualised.
        skew: third central moment through the deviation over `observations` cubed.
        kurtosis: the fourth likewise; 3 of a normal distribution.
    """

    observations: int
    sharpe: float
    skew: float
    kurtosis: float


def sharpe_shape(values: FloatArray) -> SharpeShape | None:
    """Count, Sharpe ratio, skew and kurtosis of a series; exact sums, 12 significant digits.

    Args:
        values: one return for each period, zeros included; shape (n,).

    Returns:
        None of fewer than two values, of values that are not finite, and where all are equal.
    """
    count = len(values)
    if count < 2 or not bool(np.isfinite(values).all()):
        return None
    mean = math.fsum(values.tolist()) / count
    with np.errstate(over="ignore"):
        off = values - mean
    # Through the largest of them, so that no power of a very small or large number leaves the range.
    scale = float(np.abs(off).max())
    if not scale > 1e-9 * float(np.abs(values).max()) or math.isinf(scale):
        return None
    off /= scale
    squares = off * off
    cubes = squares * off
    second, third = math.fsum(squares.tolist()) / count, math.fsum(cubes.tolist()) / count
    fourth = math.fsum((cubes * off).tolist()) / count
    sharpe = figure(mean / scale / math.sqrt(second * count / (count - 1)))
    skew, kurtosis = figure(third / (second * math.sqrt(second))), figure(fourth / (second * second))
    if sharpe is None or skew is None or kurtosis is None:
        return None
    return SharpeShape(observations=count, sharpe=sharpe, skew=skew, kurtosis=kurtosis)


def _spread(sharpe: float, skew: float, kurtosis: float) -> float | None:
    """The variance of an estimated Sharpe ratio times the number of observations, if the true one is this.

    `1 - skew * SR + (kurtosis - 1) / 4 * SR^2`; None where it is not a positive number.

    Source: E. Mertens, "Comments on Variance of the IID estimator in Lo (2002)" (2002).
    """
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe * sharpe
    return spread if math.isfinite(spread) and spread > 0 else None


def probabilistic_sharpe(
    shape: SharpeShape, benchmark: float = 0.0, *, variant: Variant = "at_estimate"
) -> float | None:
    """The probability that the true Sharpe ratio is above a benchmark.

    With `V(x) = 1 - skew * x + (kurtosis - 1) / 4 * x^2`, SR the observed ratio and SR* the benchmark:

    `at_estimate`: `Phi((SR - SR*) sqrt(T - 1) / sqrt(V(SR)))`. Source: D. H. Bailey and M. Lopez de Prado, "The Sharpe
    Ratio Efficient Frontier", Journal of Risk 15 (2012), equation 11. It is what the deflated ratio goes on from.

    `at_benchmark`: `Phi((SR - SR*) sqrt(T) / sqrt(V(SR*)))`. Source: M. Lopez de Prado, A. Lipton and V. Zoonekynd,
    "How to Use the Sharpe Ratio", ADIA Lab Research Paper 19 (2025). Against a benchmark of 0 neither skew nor kurtosis
    counts.

    Args:
        shape: of the returns, with at least two observations.
        benchmark: not annualised either.

    Returns:
        From 0 to 1; None where it is not defined.
    """
    at, observations = (
        (shape.sharpe, shape.observations - 1) if variant == "at_estimate" else (benchmark, shape.observations)
    )
    spread = _spread(at, shape.skew, shape.kurtosis)
    if spread is None or shape.observations < 2 or not math.isfinite(benchmark):
        return None
    from scipy.special import ndtr  # here, because a plain backtest shall not wait for it to be imported

    return figure(float(ndtr((shape.sharpe - benchmark) * math.sqrt(observations) / math.sqrt(spread))))


def minimum_track_record(
    shape: SharpeShape, benchmark: float = 0.0, confidence: float = 0.95, *, variant: Variant = "at_estimate"
) -> float | None:
    """How many observations it takes until a Sharpe ratio like this one is above a benchmark with some confidence.

    `at_estimate`: `1 + V(SR) (Z / (SR - SR*))^2` with Z the quantile of the normal distribution; `at_benchmark`:
    `V(SR*) (Z / (SR - SR*))^2`. So many observations give a probabilistic Sharpe ratio of the same variant that is
    exactly the confidence. Sources as there; the former is equation 13 of the former.

    Args:
        shape: of the returns; how many there are does not count.
        benchmark: not annualised.
        confidence: between 0 and 1.

    Returns:
        A number of observations, not rounded; None where the ratio is not above the benchmark, or nothing is defined.
    """
    spread = _spread(shape.sharpe if variant == "at_estimate" else benchmark, shape.skew, shape.kurtosis)
    if spread is None or not shape.sharpe > benchmark or not 0 < confidence < 1:
        return None
    from scipy.special import ndtri  # see above

    needed = float(ndtri(confidence)) / (shape.sharpe - benchmark)
    return figure((1 if variant == "at_estimate" else 0) + spread * needed * needed)
