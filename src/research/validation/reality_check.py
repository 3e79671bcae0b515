"""Is the best of many any better than nothing? White's reality check and the test of superior predictive ability.

Both ask how often the best of so many candidates without any edge would look as good as the best one here, keeping the
way in which the candidates move together. The resampling is that of the library arch, which belongs to the extra
`statistics` and is imported on use. Pure but for that; any thread. The numbers that are drawn depend on the seed alone.
"""

from typing import Any, Literal

import numpy as np

from src.core.bars import FloatArray
from src.core.errors import ConfigError
from src.core.record import record
from src.core.rng import numpy_stream

__all__ = ["VARIANTS", "RealityCheck", "Variant", "arch_library", "reality_check"]

Variant = Literal["white", "spa"]

# What reports name beside the number.
VARIANTS: dict[str, str] = {
    "white": "White (2000): the largest mean, all candidates centred; bad candidates make it harder for good ones",
    "spa": (
        "Hansen (2005), consistent: the largest mean through its own standard deviation, candidates that are far too "
        "bad not centred"
    ),
}

# Hansen's bound needs the logarithm of the logarithm of the number of periods.
_FEWEST_PERIODS = 10


@record
class RealityCheck:
    """What came of it.

    Attributes:
        value: the p-value of the hypothesis that no candidate has a mean above 0; at least `floor`.
        lower, upper: the bounds that Hansen gives beside it; `value` is `upper` for White's check.
        floor: the least that so many resamples can show.
        candidates: how many were compared; those whose values are all equal are left out.
        periods: of each candidate.
        block_length: the mean length of the blocks that are drawn, in periods.
        variant: see `VARIANTS`.
    """

    value: float
    lower: float
    upper: float
    floor: float
    candidates: int
    periods: int
    block_length: int
    variant: str


def reality_check(
    returns: FloatArray,
    *,
    seed: int,
    variant: Variant = "spa",
    resamples: int = 999,
    block_length: int | None = None,
) -> RealityCheck | None:
    """The p-value of the best candidate, with all the others taken into account.

    Sources: H. White, "A Reality Check for Data Snooping", Econometrica 68 (2000); P. R. Hansen, "A Test for Superior
    Predictive Ability", Journal of Business & Economic Statistics 23 (2005); blocks of random length after D. N.
    Politis and J. P. Romano, "The Stationary Bootstrap", Journal of the American Statistical Association 89 (1994).
    The library does not divide by the standard deviation whatever its `studentize` says, so that is done here before.

    Args:
        returns: of each candidate in each period, the same periods for all; shape (periods, candidates). Memory grows
            with candidates times resamples, time with candidates times the square of the periods besides: meant for
            hundreds of candidates, not for all of thousands.
        resamples: at least 99.
        block_length: the square root of the periods unless given.

    Returns:
        None with fewer than 10 periods, or without a candidate whose values differ.

    Raises:
        ConfigError: the library is not installed.
        ValueError: a return is not finite, or there are too few resamples.
    """
    if returns.ndim != 2 or not bool(np.all(np.abs(returns) < 1e90)):
        raise ValueError("expected finite returns of the shape (periods, candidates)")
    if resamples < 99:
        raise ValueError(f"expected at least 99 resamples, found {resamples}")
    arch = arch_library()
    periods = len(returns)
    if periods < _FEWEST_PERIODS:
        return None
    deviation = returns.std(axis=0)
    differ = deviation > 1e-9 * np.abs(returns).max(axis=0, initial=0.0)
    used, deviation = returns[:, differ], deviation[differ]
    if not used.shape[1]:
        return None
    if variant == "spa":
        used = used / deviation
    length = int(np.sqrt(periods)) if block_length is None else block_length
    stream = numpy_stream(seed, "validation reality check", variant)
    test = arch.SPA(np.zeros(periods), -used, block_size=length, reps=resamples, seed=stream)
    with np.errstate(invalid="ignore"):  # an estimated variance below 0 leaves a candidate uncentred
        test.compute()
    found = {name: float(value) for name, value in test.pvalues.items()}
    floor = 1 / (1 + resamples)
    lower, consistent, upper = (max(found[name], floor) for name in ("lower", "consistent", "upper"))
    return RealityCheck(
        value=upper if variant == "white" else consistent, lower=lower, upper=upper, floor=floor,
        candidates=used.shape[1], periods=periods, block_length=length, variant=variant,
    )  # fmt: skip


def arch_library() -> Any:
    """The module `arch.bootstrap`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import arch.bootstrap
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"White's reality check needs the library {error.name}, which is not installed; install the product with "
            "its extra `statistics`, or do without the check"
        ) from None
    return arch.bootstrap
