"""How long a look-back would have to be so that nothing changes; found by trying.

Pure but for what the caller's trial does; any thread.
"""

from collections.abc import Callable, Iterator

import numpy as np

from src.core.bars import BarSeries
from src.research.lookahead.changes import LATER_START, Change, changed_feature, same_values
from src.research.lookahead.markets import excerpt
from src.research.lookahead.observing import Column

__all__ = ["change_of_restarts", "least_sufficient", "sufficient_window"]

#: Bars at which a feature is begun anew, and how many it is followed for.
_RESTARTS = 8
_FOLLOWED = 300


def least_sufficient(suffices: Callable[[int], bool], failing: int, most: int) -> int | None:
    """The least number for which `suffices` holds, between one that fails and `most`; None when none does.

    By doubling and then halving, so every number above the least one has to do as well.
    """
    low, high = failing, min(2 * max(1, failing), most)
    if high <= low:
        return None
    while not suffices(high):
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


def change_of_restarts(column: Column) -> Change | None:
    """The first value that is another one when the feature is begun anew at several bars with its look-back alone."""
    before = column.feature.lookback - 1
    for at in _places(column.series, before):
        part = excerpt(column.series, at - before, min(at + _FOLLOWED, column.series.loaded))
        values = column.feature.compute(part, 0, part.loaded)
        change = changed_feature(column, values, at - before, column.series.close_of(at), LATER_START)
        if change is not None:
            return change
    return None


def sufficient_window(column: Column) -> int | None:
    """With how many bars up to it a value is the same as over the whole history.

    None when half of the history is not enough, as for a feature that reads what comes later, or that counts from the
    first bar there is.
    """
    series, feature = column.series, column.feature
    places = list(_places(series, series.loaded // 2))

    def suffices(window: int) -> bool:
        for at in places:
            part = excerpt(series, at - window + 1, at + 1)
            value = feature.compute(part, window - 1, window)
            if not same_values(value, column.values[at : at + 1]).all():
                return False
        return True

    return least_sufficient(suffices, feature.lookback, series.loaded // 2)


def _places(series: BarSeries, before: int) -> Iterator[int]:
    """Some bars that have so many before them, the last one among them."""
    if series.loaded > before:
        for at in np.unique(np.linspace(before, series.loaded - 1, _RESTARTS).astype(np.int64)):
            yield int(at)
