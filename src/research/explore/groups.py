"""Putting results together by what came out, and how their figures spread. Pure; any thread."""

import statistics
from collections.abc import Iterable, Sequence

from src.core.record import record
from src.research.explore.schedules import Variant
from src.research.trial import TrialResult

__all__ = ["Group", "Observed", "Spread", "grouped", "observed", "spread_of"]


@record
class Observed:
    """What one variant came to.

    Attributes:
        error: type and sentence of what ended a failed run, empty otherwise.
        profit: final equity less the start balance; None, as the next two, where the run has no figures.
    """

    variant: Variant
    digest: str
    outcome: str
    error: str = ""
    trades: int | None = None
    profit: float | None = None
    drawdown_percent: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What has to be equal for two runs to count as one result."""
        return self.digest, self.outcome, self.error.partition(":")[0]


@record
class Spread:
    """Least, middle and greatest of a figure."""

    low: float
    median: float
    high: float


@record
class Group:
    """The runs with one result.

    Attributes:
        numbers: places of its runs in the list of variants, ascending.
        first: what the first of them came to.
    """

    numbers: tuple[int, ...]
    first: Observed


def observed(variant: Variant, result: TrialResult) -> Observed:
    """What a trial of the variant came to."""
    return Observed(
        variant=variant,
        digest=result.digest,
        outcome=result.outcome,
        error=result.error,
        trades=result.trades,
        profit=result.profit,
        drawdown_percent=result.max_drawdown_percent,
    )


def grouped(results: Sequence[Observed]) -> list[Group]:
    """Groups of equal results: that of the reference first, then the largest, then the one that was seen first."""
    members: dict[tuple[str, str, str], list[int]] = {}
    for number, result in enumerate(results):
        members.setdefault(result.key, []).append(number)
    groups = [Group(numbers=tuple(numbers), first=results[numbers[0]]) for numbers in members.values()]
    return sorted(groups, key=lambda group: (group.numbers[0] != 0, -len(group.numbers), group.numbers[0]))


def spread_of(values: Iterable[float | None]) -> Spread | None:
    """The spread of the values that there are; None without any."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    return Spread(low=min(there), median=statistics.median(there), high=max(there))
