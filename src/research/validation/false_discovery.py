"""How many of those that look good may be false: p-values adjusted for the whole family, and what that takes.

The adjustment itself is scipy's. Pure; any thread.
"""

import math
from collections.abc import Sequence
from typing import Literal

from src.core.errors import ConfigError
from src.research.validation.figures import figure

__all__ = ["METHODS", "Method", "adjusted", "assumption", "first_threshold", "refuse_floor"]

Method = Literal["by", "bh"]

# What is printed beside the results: what each rests on.
METHODS: dict[str, str] = {
    "by": (
        "Benjamini-Yekutieli: the expected share of false discoveries is at most the level however the candidates "
        "depend on one another"
    ),
    "bh": (
        "Benjamini-Hochberg: the expected share of false discoveries is at most the level only if the p-values of the "
        "candidates are independent or positively dependent; variants that bet against each other are not"
    ),
}


def adjusted(p: Sequence[float], family: int, method: Method) -> list[float]:
    """The p-values adjusted for a family, in the order given, 12 significant digits.

    Members of the family without a p-value count as p = 1, so that it never shrinks.

    Sources: Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate", Journal of the Royal Statistical
    Society B 57 (1995); Y. Benjamini and D. Yekutieli, "The Control of the False Discovery Rate in Multiple Testing
    under Dependency", Annals of Statistics 29 (2001).

    Args:
        p: at most `family` values from 0 to 1.
        family: how many were tried in all.

    Raises:
        ValueError: there are more p-values than members, or one is not from 0 to 1.
    """
    if len(p) > family:
        raise ValueError(f"expected at most {family} p-values, one for each of the family, found {len(p)}")
    for value in p:
        if not 0 <= value <= 1:
            raise ValueError(f"expected p-values from 0 to 1, found {value}")
    if not p:
        return []
    from scipy.stats import false_discovery_control  # here, because a plain backtest shall not wait for it

    padded = [*map(float, p), *[1.0] * (family - len(p))]
    found = false_discovery_control(padded, method=method).tolist()[: len(p)]
    return [1.0 if (rounded := figure(value)) is None else rounded for value in found]


def first_threshold(family: int, level: float, method: Method) -> float:
    """What the smallest p-value of the family has to reach, at least, if it is to be the only discovery.

    `level / N`, and for `by` divided by `1 + 1/2 + ... + 1/N` besides.
    """
    harmonic = math.fsum(1 / number for number in range(1, family + 1)) if method == "by" else 1.0
    return level / (family * harmonic)


def refuse_floor(floor: float, family: int, level: float, method: Method) -> None:
    """Refuse p-values that are too coarse for the family: none of them could ever be a discovery alone.

    Args:
        floor: the least value that they can take; 0 where there is no such bound.

    Raises:
        ConfigError: it lies above the first threshold; the sentence names how many resamples would be needed.
    """
    threshold = first_threshold(family, level, method)
    if floor <= threshold:
        return
    needed = math.ceil(1 / threshold) - 1
    while 1 / (1 + needed) > threshold:  # the division above may have been rounded down
        needed += 1
    raise ConfigError(
        f"multiple_testing.resamples: the least p-value that resamples can give is {floor:.3g}, but among {family} "
        f"candidates the first discovery needs {threshold:.3g} or less ({method}, level {level:g}); expected at least "
        f"{needed} resamples, or a p_value that draws nothing, such as robust"
    )


def assumption(method: Method) -> str:
    """What the method rests on; a sentence to be printed with its results."""
    return METHODS[method]
