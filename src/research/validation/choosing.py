"""Which of several choices is taken after a train: the best by a stated figure, among those that traded enough.

Pure; any thread. The answer depends on the figures at twelve digits and on the order of the manifest, and on nothing
else.
"""

from collections.abc import Sequence

from src.core.errors import ConfigError
from src.core.record import record
from src.core.words import counted, meant
from src.research.suite.ranking import highest_first, searchable
from src.research.validation.figures import figure

__all__ = ["Tried", "best_of", "direction_of", "eligible", "why_none"]


@record
class Tried:
    """What one choice came to on a train.

    Attributes:
        place: among the choices, in the order of the manifest.
        ended: whether the run got to its end, so that its figures count.
        trades: how many it closed; None where nobody knows.
        value: of the figure that decides; None where the run has none.
    """

    place: int
    ended: bool
    trades: int | None
    value: float | None


def direction_of(objective: str) -> bool:
    """Whether the highest value of a figure is the best one.

    Raises:
        ConfigError: a run has no such figure.
    """
    known = searchable()
    if objective in known:
        return highest_first(objective)
    raise ConfigError(
        f"reoptimise.objective: expected a figure of a run, found {objective!r}{meant(objective, known)}; there are: "
        f"{', '.join(known)}"
    )


def best_of(tried: Sequence[Tried], *, highest: bool, minimum_trades: int) -> Tried | None:
    """The choice with the best figure of those that got to their end with so many trades; None where there is none.

    Of equal ones it is the first.
    """
    best: Tried | None = None
    best_value = 0.0
    for each in tried:
        value = figure(each.value)
        if not _counts(each, minimum_trades) or value is None:
            continue
        if best is None or (value > best_value if highest else value < best_value):
            best, best_value = each, value
    return best


def eligible(tried: Sequence[Tried], minimum_trades: int) -> int:
    """Among how many of them the best one is looked for."""
    return sum(_counts(each, minimum_trades) and figure(each.value) is not None for each in tried)


def why_none(tried: Sequence[Tried], *, objective: str, minimum_trades: int) -> str:
    """The sentence of a window for which nothing could be chosen."""
    failed = sum(not each.ended for each in tried)
    enough = sum(_counts(each, minimum_trades) for each in tried)
    broken = f", {failed:,} of which failed" if failed else ""
    if not enough:
        most = max((each.trades or 0 for each in tried if each.ended), default=0)
        return (
            f"expected at least {counted(minimum_trades, 'trade')} in the train of one of "
            f"{counted(len(tried), 'choice')}{broken}, found at most {most:,}; nothing is traded in this window"
        )
    return (
        f"expected {objective} of one of {counted(enough, 'choice')} with {counted(minimum_trades, 'trade')} or more, "
        "found that none has it; nothing is traded in this window"
    )


def _counts(one: Tried, minimum_trades: int) -> bool:
    return one.ended and (one.trades or 0) >= minimum_trades
