"""Combinatorial purged cross-validation: which trades to learn from and which to test on, without a leak.

Source: M. Lopez de Prado, "Advances in Financial Machine Learning" (2018), sections 7.4 (purging and embargo) and 12.4
(the combinatorial splits and their paths). Pure; any thread.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from src.core.bars import IntArray
from src.core.record import record

__all__ = ["PurgedSplit", "backtest_paths", "purged_splits"]


@record
class PurgedSplit:
    """One split.

    Attributes:
        number: its place among all, from 0.
        groups: the groups that are tested on, ascending.
        test: places of the trades that are tested on, ascending; shape (n_test,).
        train: places of those to learn from, ascending; shape (n_train,).
        purged: how many others were left out because their time overlaps that of a tested group.
        embargoed: how many more because they begin too soon after one.
    """

    number: int
    groups: tuple[int, ...]
    test: IntArray
    train: IntArray
    purged: int
    embargoed: int


def purged_splits(
    entry_ns: IntArray, exit_ns: IntArray, *, groups: int = 6, tested: int = 2, embargo_ns: int = 0
) -> Iterator[PurgedSplit]:
    """Every way to test on so many of the groups and to learn from the rest.

    The trades, in order of entry, are cut into groups whose sizes differ by at most one, larger ones first. The time of
    a tested group goes from its first entry to its last exit, both included. A trade of another group is purged when
    any of its own time, entry and exit included, lies in it; and embargoed when it is entered within `embargo_ns` after
    it, the last instant included. Both count against every tested group.

    Args:
        entry_ns: when each trade was entered, ascending; shape (n,).
        exit_ns: when it was closed, at or after its entry; shape (n,).
        groups: from 2 to the number of trades.
        tested: from 1 to one fewer than the groups.
        embargo_ns: at least 0.

    Yields:
        The splits in lexicographic order of the tested groups.

    Raises:
        ValueError: the trades are not in order, or the numbers do not fit.
    """
    count = len(entry_ns)
    if len(exit_ns) != count or bool(np.any(np.diff(entry_ns) < 0)) or bool(np.any(exit_ns < entry_ns)):
        raise ValueError("expected trades in order of entry, each with an exit that is not before it")
    if not 2 <= groups <= count:
        raise ValueError(f"expected from 2 to {count} groups of {count} trades, found {groups}")
    if not 1 <= tested < groups:
        raise ValueError(f"expected from 1 to {groups - 1} tested groups of {groups}, found {tested}")
    if embargo_ns < 0:
        raise ValueError(f"expected an embargo of at least 0 ns, found {embargo_ns}")
    return _splits(entry_ns, exit_ns, groups, tested, embargo_ns)


def _splits(entry_ns: IntArray, exit_ns: IntArray, groups: int, tested: int, embargo_ns: int) -> Iterator[PurgedSplit]:
    members = np.array_split(np.arange(len(entry_ns), dtype=np.int64), groups)
    spans = [(int(entry_ns[each[0]]), int(exit_ns[each].max())) for each in members]
    for number, chosen in enumerate(itertools.combinations(range(groups), tested)):
        test = np.concatenate([members[group] for group in chosen])
        other = np.ones(len(entry_ns), dtype=np.bool_)
        other[test] = False
        purged: np.ndarray[Any, np.dtype[np.bool_]] = np.zeros(len(entry_ns), dtype=np.bool_)
        soon = purged.copy()
        for group in chosen:
            first_ns, last_ns = spans[group]
            purged |= (exit_ns >= first_ns) & (entry_ns <= last_ns)
            # A difference, because an instant and a very long embargo may not fit together into 64 bits.
            soon |= (entry_ns > last_ns) & (entry_ns - last_ns <= embargo_ns)
        yield PurgedSplit(
            number=number, groups=chosen, test=test, train=np.flatnonzero(other & ~purged & ~soon),
            purged=int(np.count_nonzero(other & purged)), embargoed=int(np.count_nonzero(other & soon & ~purged)),
        )  # fmt: skip


def backtest_paths(groups: int, tested: int) -> tuple[tuple[int, ...], ...]:
    """How the tests of all splits are put together to whole histories.

    Each group is tested in `C(groups - 1, tested - 1)` of the splits, so that is how many paths there are; the path of
    number p takes of each group its test of number p.

    Returns:
        Of each path the number of the split from which each group's test is taken; shape (paths, groups).
    """
    found: list[list[int]] = [[] for _ in range(groups)]
    for number, chosen in enumerate(itertools.combinations(range(groups), tested)):
        for group in chosen:
            found[group].append(number)
    return tuple(zip(*found, strict=True))
