"""How a number becomes a figure that is stored or decides: rounded, so that no processor changes it.

Logarithms and powers differ between processors in the last digits; twelve significant digits are the same on all.
Sums go through `math.fsum`, which does not depend on order. Pure; any thread.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from src.core.bars import FloatArray

__all__ = ["figure", "mean_and_total_r", "mean_r", "needed", "total_r"]

_DIGITS = 12
_NOTHING = 1e-12
"""What is left of a sum, as a share of all that went into it, that is an artefact of binary fractions."""


def figure(value: float | None) -> float | None:
    """The number at 12 significant digits; None for None, NaN and infinities, and 0 for what is -0.0."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}") + 0.0


def mean_r(values: Sequence[float] | FloatArray) -> float | None:
    """The mean, as a figure; None where there are no values. The order of the values does not matter."""
    return figure(_sum(values) / len(values)) if len(values) else None


def mean_and_total_r(values: Sequence[float] | FloatArray) -> tuple[float | None, float | None]:
    """Both `mean_r` and `total_r`, of one addition."""
    total = _sum(values)
    return figure(total / len(values)) if len(values) else None, figure(total)


def total_r(values: Sequence[float] | FloatArray) -> float | None:
    """The sum, as a figure; 0 of no values, None where it is not finite. The order of the values does not matter.

    0.1 and 0.2 and -0.3 are nothing, although their binary fractions leave 3e-17: whether a sum lies above 0 decides.
    """
    return figure(_sum(values))


@lru_cache(maxsize=1024)
def needed(share: float, count: int) -> int:
    """How many of `count` are at least this share, of which the decimal text counts: 0.55 of 100 is 55.

    The product of the binary fractions lies above that, and 56 would be asked.
    """
    return math.ceil(Fraction(repr(float(share))) * count)


def _sum(values: Sequence[float] | FloatArray) -> float:
    plain: Sequence[float] = values if isinstance(values, (list, tuple)) else [float(each) for each in values]
    try:
        total = math.fsum(plain)
        # Nearly every sum is far above the bound, where a rough one tells as much as the exact one, in half the time.
        if (
            total
            and abs(total) < 2 * _NOTHING * sum(map(abs, plain))
            and abs(total) < _NOTHING * math.fsum(map(abs, plain))
        ):
            return 0.0
    except (OverflowError, ValueError):  # beyond the largest number, or infinities of both signs
        return math.nan
    return total
