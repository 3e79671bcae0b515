"""One wrong bar anywhere changes the fingerprint and is named; healing twice changes nothing the second time."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from src.core.calendars import calendar_named
from src.core.timeframe import MINUTE_NS
from src.data.faults import compare_columns, find_faults
from src.data.fingerprint import fingerprint_columns
from src.data.healing import plan_healing
from src.data.stored import COLUMNS, Columns
from tests.data.care import Row, columns_at
from tests.data.mutations import Mutation, mutated, mutations

ALWAYS = calendar_named("24/7")

# The minutes of a series with holes of its own.
_MINUTES = st.lists(st.integers(0, 30), min_size=2, max_size=12, unique=True).map(sorted)


def columns_of_rows(rows: list[Row]) -> Columns:
    """Rows as columns."""
    columns = {name: np.array([row[i] for row in rows], np.float64) for i, name in enumerate(COLUMNS)}
    return {**columns, "open_ns": np.array([row[0] for row in rows], np.int64)}


@settings(max_examples=150)
@given(minutes=_MINUTES, what=mutations)
@example(minutes=[3, 4], what=Mutation(kind="missing", row=0, to=0, column=1, value=0.0))
@example(minutes=[3, 4], what=Mutation(kind="missing", row=1, to=0, column=1, value=0.0))
@example(minutes=[3, 4], what=Mutation(kind="changed", row=1, to=0, column=5, value=0.5))
@example(minutes=[3, 4], what=Mutation(kind="forming", row=0, to=0, column=1, value=0.0))
@example(minutes=[3, 5], what=Mutation(kind="early", row=0, to=0, column=1, value=0.0))
@example(minutes=[3, 5], what=Mutation(kind="early", row=1, to=0, column=1, value=0.0))
@example(minutes=[3, 4, 5], what=Mutation(kind="exchanged", row=1, to=0, column=1, value=0.0))
def test_one_wrong_bar_anywhere_changes_the_fingerprint_and_is_named(minutes: list[int], what: Mutation) -> None:
    """Changed, missing, duplicated, swapped or forming; by itself, or against the copy that was made before."""
    copy = columns_at(minutes)
    sound = list(zip(*(copy[name].tolist() for name in COLUMNS), strict=True))
    rows, wanted = mutated(sound, what)
    present_ns = (minutes[-1] + 1) * MINUTE_NS
    columns = columns_of_rows(rows)

    digests = {fingerprint_columns("X", MINUTE_NS, "trade", each) for each in (copy, columns)}
    faults = [*find_faults(columns, MINUTE_NS, ALWAYS, present_ns), *compare_columns(columns, copy)]
    once = plan_healing(columns, MINUTE_NS, ALWAYS, now_ns=present_ns, drop=True)
    twice = plan_healing(once.columns, MINUTE_NS, ALWAYS, now_ns=present_ns, drop=True)

    if rows == sound:  # the number was this one already
        assert (len(digests), faults, once.changes) == (1, [], ())
        return
    assert len(digests) == 2
    assert {fault.open_ns for fault in faults} & wanted
    assert (once.left, twice.changes, twice.left) == ((), (), ())
    assert all(np.array_equal(once.columns[name], twice.columns[name]) for name in COLUMNS)


@settings(max_examples=50)
@given(minutes=_MINUTES)
def test_sound_bars_are_never_named_or_changed(minutes: list[int]) -> None:
    """Holes alone are nothing to heal."""
    columns = columns_at(minutes)

    plan = plan_healing(columns, MINUTE_NS, ALWAYS, now_ns=(minutes[-1] + 1) * MINUTE_NS, drop=True)

    assert (plan.changes, plan.left) == ((), ())
