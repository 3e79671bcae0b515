"""What differs between the run over the whole market and one over a part of it or over another future.

Pure; any thread.
"""

from collections.abc import Sequence, Set
from dataclasses import replace

import numpy as np

from src.core.bars import FloatArray
from src.core.calendars import BoolArray
from src.core.journal import FIELDS, JournalRecord
from src.core.record import record
from src.research.explore.differences import event_text, first_difference
from src.research.lookahead.observing import Column, Observation

__all__ = [
    "DECISIONS", "HIDDEN", "LATER_START", "PERTURBED", "TRUNCATED", "Change", "changed_decisions", "changed_feature",
    "changes_of_hidden_future", "changes_of_later_start", "changes_of_other_future", "same_values",
]  # fmt: skip

TRUNCATED = "truncated future"
PERTURBED = "perturbed future"
HIDDEN = "hidden future"
LATER_START = "later start"

#: The name under which a change of a decision is told; a feature has its own.
DECISIONS = "decisions"

_FIELDS = FIELDS["decision"]
#: What a strategy asks for, and what becomes of it: that depends on the account, which has a past of its own. A volume
#: is asked for where the strategy states it, and comes of the account where the configured size makes it.
_ASKED = tuple(_FIELDS.index(name) for name in ("action", "side", "type", "price", "stop", "target", "reason"))
_ACTION, _VERDICT, _ID, _VOLUME = (_FIELDS.index(name) for name in ("action", "verdict", "id", "volume"))


@record
class Change:
    """A feature or a decision that is another one although nothing that was known is.

    Attributes:
        kind: `feature`, `decision`, or `failure` for a strategy that only fails in the other run.
        name: the feature, as `fast = sma(20,close)`; `decisions` for the others.
        how: what was different in the other run.
        first_ns: when the first changed value or decision was.
        edge_ns: where the future was cut off or changed, or when the later run started; where it was hidden all the
            time, the same as `first_ns`.
        whole, other: it, as it is in the run over the whole market, and in the other one.
        lookback: bars that are declared now, of the timeframe `timeframe_ns`.
        suffices: how many bars would have to be declared so that nothing changes; None where no number is enough, or
            none was looked for.
    """

    kind: str
    name: str
    how: str
    first_ns: int
    edge_ns: int
    whole: str
    other: str
    lookback: int | None = None
    suffices: int | None = None
    timeframe_ns: int | None = None


def same_values(a: FloatArray, b: FloatArray) -> BoolArray:
    """Elementwise: equal, or undefined on both sides."""
    same: BoolArray = (a == b) | (np.isnan(a) & np.isnan(b))
    return same


def changes_of_other_future(whole: Observation, other: Observation, edge_ns: int, how: str) -> list[Change]:
    """What was known at `edge_ns` and yet differs from the run over the whole market."""
    found: list[Change] = []
    for name, column in whole.columns.items():
        twin = other.columns.get(name)
        if twin is not None:
            last = min(column.series.count_closed(edge_ns), twin.series.count_closed(edge_ns))
            change = changed_feature(column, twin.values[:last], 0, edge_ns, how)
            found += [] if change is None else [change]
    before = [each for each in whole.decisions if each.instant_ns <= edge_ns]
    difference = first_difference(before, [each for each in other.decisions if each.instant_ns <= edge_ns])
    failure = other.failure
    if failure is not None and failure.instant_ns <= edge_ns:
        found.append(
            Change(
                kind="failure", name=DECISIONS, how=how, first_ns=failure.instant_ns, edge_ns=edge_ns,
                whole="goes on", other=failure.sentence,
            )
        )  # fmt: skip
    elif difference is not None:
        found.append(_decision(how, edge_ns, difference.instant_ns, difference.reference, difference.other))
    return found


def changes_of_hidden_future(whole: Observation, other: Observation, last_ns: int) -> list[Change]:
    """What differs up to `last_ns` from the run over the whole market when nothing that is to come can be read."""
    found = changes_of_other_future(whole, other, last_ns, HIDDEN)
    return [replace(change, edge_ns=change.first_ns) for change in found]


def changes_of_later_start(whole: Observation, later: Observation, start_ns: int, end_ns: int) -> list[Change]:
    """What differs from the whole run after the later start and before `end_ns`; decisions as `changed_decisions`."""
    found: list[Change] = []
    for name, column in whole.columns.items():
        twin = later.columns.get(name)
        if twin is not None and len(twin.values):
            offset = int(np.searchsorted(column.series.open_ns[: column.series.loaded], int(twin.series.open_ns[0])))
            change = changed_feature(column, twin.values, offset, start_ns, LATER_START)
            found += [] if change is None else [change]
    failure = later.failure
    if failure is not None and failure.instant_ns < end_ns:
        found.append(
            Change(
                kind="failure", name=DECISIONS, how=LATER_START, first_ns=failure.instant_ns, edge_ns=start_ns,
                whole="goes on", other=failure.sentence,
            )
        )  # fmt: skip
        return found
    change = changed_decisions(
        whole.decisions, later.decisions, start_ns, end_ns, stated=(whole.stated, later.stated)
    )  # fmt: skip
    return found if change is None else [*found, change]


def changed_feature(column: Column, other: FloatArray, offset: int, edge_ns: int, how: str) -> Change | None:
    """The first value that differs.

    Args:
        column: the feature over the whole market.
        other: values of bars from `offset` on. Those before the feature's look-back is full do not count.
    """
    first = column.feature.lookback - 1
    values = column.values[offset : offset + len(other)]
    differing = np.flatnonzero(~same_values(values, other[: len(values)])[first:])
    if not len(differing):
        return None
    i = first + int(differing[0])
    return Change(
        kind="feature", name=column.name, how=how, first_ns=column.series.close_of(offset + i), edge_ns=edge_ns,
        whole=repr(float(values[i])), other=repr(float(other[i])), lookback=column.feature.lookback,
        timeframe_ns=column.series.timeframe_ns,
    )  # fmt: skip


def changed_decisions(
    whole: Sequence[JournalRecord], later: Sequence[JournalRecord], start_ns: int, end_ns: int,
    *, stated: tuple[Set[str], Set[str]] = (frozenset(), frozenset()),
) -> Change | None:  # fmt: skip
    """The first decision after `start_ns` and before `end_ns` that a strategy which started then takes otherwise.

    It looks no further than to the first one that is refused, or sized from the account otherwise, in one run and not
    in the other: the accounts have different pasts, and from there on the runs may differ for that reason.

    Args:
        stated: the ids of the entries whose volume the strategy stated itself, in both runs; these entries have that
            volume, see `Observation`, and not the one that was granted.
    """
    a = [each for each in whole if start_ns < each.instant_ns < end_ns]
    b = [each for each in later if start_ns < each.instant_ns < end_ns]
    for one, other in zip(a, b, strict=False):
        if _asked(one) != _asked(other):
            if one.instant_ns == other.instant_ns:
                return _decision(LATER_START, start_ns, one.instant_ns, one, other)
            if one.instant_ns < other.instant_ns:
                return _decision(LATER_START, start_ns, one.instant_ns, one, None)
            return _decision(LATER_START, start_ns, other.instant_ns, None, other)
        volumes = [_volume(each, ids) for each, ids in zip((one, other), stated, strict=True)]
        if volumes[0] != volumes[1]:
            return _decision(LATER_START, start_ns, one.instant_ns, one, other)
        if one.values[_VERDICT] != other.values[_VERDICT]:
            return None
        if repr(one.values[_VOLUME]) != repr(other.values[_VOLUME]):
            return None
    if len(a) == len(b):
        return None
    rest = a[len(b)] if len(a) > len(b) else b[len(a)]
    sides = (rest, None) if len(a) > len(b) else (None, rest)
    return _decision(LATER_START, start_ns, rest.instant_ns, *sides)


def _asked(decision: JournalRecord) -> str:
    return repr((decision.instant_ns, *(decision.values[i] for i in _ASKED)))  # what is no number equals its like


def _volume(decision: JournalRecord, stated: Set[str]) -> str:
    """The volume as far as the strategy asked for it; what it closes it names itself, or says that it is all."""
    own = decision.values[_ACTION] != "enter" or decision.values[_ID] in stated
    return repr(decision.values[_VOLUME]) if own else "as configured"


def _decision(
    how: str, edge_ns: int, first_ns: int, whole: JournalRecord | None, other: JournalRecord | None
) -> Change:
    return Change(
        kind="decision", name=DECISIONS, how=how, first_ns=first_ns, edge_ns=edge_ns, whole=event_text(whole),
        other=event_text(other),
    )  # fmt: skip
