"""Combinatorial purged splits: small ones by hand, and what holds for all of them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.bars import IntArray
from src.research.validation.purged_splits import backtest_paths, purged_splits


def trades(*spans: tuple[int, int]) -> tuple[IntArray, IntArray]:
    """Entries and exits."""
    return np.array([each[0] for each in spans], dtype=np.int64), np.array([each[1] for each in spans], dtype=np.int64)


# Six trades in three groups of two; the third is held until the fifth is long entered.
SIX = trades((0, 5), (10, 20), (20, 45), (30, 35), (45, 50), (46, 60))


def test_three_groups_by_hand() -> None:
    """Group 0 lasts from 0 to 20, group 1 from 20 to 45, group 2 from 45 to 60; whoever touches one is purged."""
    found = list(purged_splits(*SIX, groups=3, tested=1))

    assert [each.groups for each in found] == [(0,), (1,), (2,)]
    assert [each.test.tolist() for each in found] == [[0, 1], [2, 3], [4, 5]]
    # The third is entered at 20, when the second is closed; the fifth at 45, when the third is.
    assert [each.train.tolist() for each in found] == [[3, 4, 5], [0, 5], [0, 1, 3]]
    assert [each.purged for each in found] == [1, 2, 1]
    assert [each.embargoed for each in found] == [0, 0, 0]


def test_the_embargo_drops_what_begins_too_soon_after_a_test() -> None:
    """Up to and including its last instant; what lies before a test has no embargo."""
    for embargo_ns, train, embargoed in ((9, [3, 4, 5], 0), (10, [4, 5], 1), (25, [5], 2), (26, [], 3)):
        first = next(purged_splits(*SIX, groups=3, tested=1, embargo_ns=embargo_ns))

        assert first.train.tolist() == train
        assert (first.purged, first.embargoed) == (1, embargoed)
    last = list(purged_splits(*SIX, groups=3, tested=1, embargo_ns=1000))[2]
    assert last.train.tolist() == [0, 1, 3]


def test_a_trade_that_lasts_over_a_whole_test_is_purged() -> None:
    """It shares all of its time."""
    found = list(purged_splits(*trades((0, 100), (10, 20), (30, 40), (200, 210)), groups=4, tested=1))

    assert found[1].train.tolist() == [2, 3]
    assert found[2].train.tolist() == [1, 3]


def test_two_groups_are_purged_and_embargoed_each() -> None:
    """What lies between them keeps to both."""
    entry_ns, exit_ns = trades((0, 1), (10, 30), (20, 21), (30, 31), (32, 33), (40, 41))

    first = next(
        each for each in purged_splits(entry_ns, exit_ns, groups=6, tested=2, embargo_ns=2) if each.groups == (2, 3)
    )

    assert first.train.tolist() == [0, 5]
    assert (first.purged, first.embargoed) == (1, 1)


def test_an_embargo_of_any_length_fits() -> None:
    """Instants are near the end of 64 bits already."""
    entry_ns, exit_ns = trades((2**62, 2**62 + 1), (2**62 + 5, 2**62 + 6))

    assert next(purged_splits(entry_ns, exit_ns, groups=2, tested=1, embargo_ns=2**63 - 1)).embargoed == 1


def test_six_groups_with_two_tested_make_the_five_paths_of_the_book() -> None:
    """Section 12.4: 15 splits, 5 paths; the first path takes group 0 from split 0, group 2 from split 1 and so on."""
    paths = backtest_paths(6, 2)

    assert len(list(purged_splits(*SIX, groups=6, tested=2))) == 15
    assert len(paths) == 5
    assert paths[0] == (0, 0, 1, 2, 3, 4)
    assert paths[1] == (1, 5, 5, 6, 7, 8)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=4, max_size=20),
    st.integers(2, 4), st.integers(0, 10), st.data(),
)  # fmt: skip
def test_nothing_to_learn_from_overlaps_a_test(
    spans: list[tuple[int, int]], groups: int, embargo_ns: int, data: st.DataObject
) -> None:
    """Every trade is tested on, learnt from, purged or embargoed, and no time is shared."""
    spans = sorted(spans)
    tested = data.draw(st.integers(1, groups - 1))
    entry_ns, exit_ns = trades(*((first, first + held) for first, held in spans))

    found = list(purged_splits(entry_ns, exit_ns, groups=groups, tested=tested, embargo_ns=embargo_ns))

    assert len(found) == math.comb(groups, tested)
    for each in found:
        assert len(each.test) + len(each.train) + each.purged + each.embargoed == len(spans)
        for learnt in each.train.tolist():
            for seen in each.test.tolist():
                assert exit_ns[learnt] < entry_ns[seen] or entry_ns[learnt] > exit_ns[seen] + embargo_ns
    for path in backtest_paths(groups, tested):
        assert all(group in found[number].groups for group, number in enumerate(path))


@pytest.mark.parametrize(
    ("spans", "groups", "tested", "embargo_ns", "said"),
    [
        (((5, 6), (0, 1)), 2, 1, 0, "in order of entry"),
        (((0, 1), (5, 4)), 2, 1, 0, "in order of entry"),
        (((0, 1), (5, 6)), 3, 1, 0, "from 2 to 2 groups of 2 trades, found 3"),
        (((0, 1), (5, 6)), 2, 2, 0, "from 1 to 1 tested groups of 2, found 2"),
        (((0, 1), (5, 6)), 2, 1, -1, "at least 0 ns, found -1"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(
    spans: tuple[tuple[int, int], ...], groups: int, tested: int, embargo_ns: int, said: str
) -> None:
    """Before the first split is asked for."""
    with pytest.raises(ValueError, match=said):
        purged_splits(*trades(*spans), groups=groups, tested=tested, embargo_ns=embargo_ns)
