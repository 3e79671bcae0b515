"""The windows of a walk-forward by the calendar, and which trades lie inside a period.

Months are months of the calendar, UTC, counted from one instant and never from one another: 31 January, 29 February,
31 March. All intervals contain their beginning and not their end. Pure; any thread.
"""

import datetime as dt
from calendar import monthrange
from functools import lru_cache

import numpy as np

from src.core.errors import invariant
from src.core.record import record
from src.core.timeframe import DAY_NS
from src.research.validation.ports import CandidateTrades, Period
from src.research.validation.section import WalkforwardSection

__all__ = ["Window", "add_months", "entered_in", "time_windows"]

_EPOCH = dt.date(1970, 1, 1)
_EARLIEST, _LATEST = -(2**63), 2**63 - 1
_YEARS = range(1678, 2262)
"""The years that nanoseconds in 64 bits hold wholly."""


@record
class Window:
    """One test and the train before it; both contain what is entered from `..._from_ns` on and before `..._to_ns`.

    Attributes:
        number: from 1, in order of time.
        partial: the test ends behind the period, or has fewer trades than it should: shown, never counted.
            `test_to_ns` is then where it was cut off.
    """

    number: int
    train_from_ns: int
    train_to_ns: int
    test_from_ns: int
    test_to_ns: int
    partial: bool


def add_months(instant_ns: int, months: int) -> int:
    """The instant so many months of the calendar (UTC) later, or earlier if negative, at the same time of day.

    A day that the month does not have becomes its last one. Before 1678 and after 2261 the least and largest instant.
    """
    days, rest = divmod(instant_ns, DAY_NS)
    date = _EPOCH + dt.timedelta(days=days)
    year, month = divmod(date.year * 12 + date.month - 1 + months, 12)
    if year not in _YEARS:
        return _EARLIEST if year < _YEARS.start else _LATEST
    day = min(date.day, monthrange(year, month + 1)[1])
    return (dt.date(year, month + 1, day) - _EPOCH).days * DAY_NS + rest


def time_windows(period: Period, section: WalkforwardSection, cutoff_ns: int | None) -> tuple[Window, ...]:
    """All windows by the calendar whose test begins inside the period, in order; tests never overlap.

    Without a cut-off the first test begins `train_months` after the period. With one it begins at the cut-off, or
    later, where its train would be shorter than that; so no test contains anything that was known at discovery.
    An anchored train begins with the period; that of the others is `train_months` long, also where `section.windows`
    says `trades`, whose own windows depend on the candidate.
    """
    return _time_windows(
        period.start_ns,
        period.end_ns,
        section.windows == "anchored",
        section.train_months,
        section.test_months,
        cutoff_ns,
    )


@lru_cache(maxsize=64)
def _time_windows(
    start_ns: int, end_ns: int, anchored: bool, train: int, test: int, cutoff_ns: int | None
) -> tuple[Window, ...]:
    # Every edge is counted from one base, so that clipped ends of months do not add up.
    base, first = start_ns, train
    if cutoff_ns is not None and cutoff_ns > add_months(start_ns, train):
        base, first = cutoff_ns, 0
    found: list[Window] = []
    while True:
        offset = first + len(found) * test
        test_from = add_months(base, offset)
        if test_from >= end_ns:
            return tuple(found)
        train_from = start_ns if anchored else max(start_ns, add_months(base, offset - train))
        test_to = add_months(base, offset + test)
        found.append(
            Window(
                number=len(found) + 1,
                train_from_ns=train_from,
                train_to_ns=test_from,
                test_from_ns=test_from,
                test_to_ns=min(test_to, end_ns),
                partial=test_to > end_ns,
            )  # fmt: skip
        )


def entered_in(trades: CandidateTrades, period: Period) -> CandidateTrades:
    """The trades that were entered inside the period; the same object where all were.

    Raises:
        InternalError: the trades are not in order of entry, or one ends before it begins.
    """
    entry = trades.entry_ns
    if not len(entry):
        return trades
    invariant(not np.any(entry[1:] < entry[:-1]), "expected the trades of a candidate in order of entry")
    invariant(not np.any(trades.exit_ns < entry), "expected each trade to end at or after its entry")
    if period.start_ns <= entry[0] and entry[-1] < period.end_ns:
        return trades
    return trades.chosen((entry >= period.start_ns) & (entry < period.end_ns))
