"""Which series close a bar at an instant: in their order, however many there are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.backtesting.engine.market import _groups


@pytest.mark.parametrize("count", [1, 5, 62, 63, 200])
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_group_is_what_stands_between_two_starts(count: int, data: st.DataObject) -> None:
    """Without the marks of instants at which nothing closes; equal groups are equal tuples of plain numbers."""
    drawn = st.sets(st.integers(-1, count - 1), min_size=1, max_size=6).map(sorted)
    expected = data.draw(st.lists(drawn, min_size=1, max_size=8))
    ranks = np.array([rank for group in expected for rank in group], dtype=np.int64)
    starts = np.cumsum([0, *map(len, expected[:-1])])

    found = _groups(ranks, starts, count)

    assert found == [tuple(rank for rank in group if rank >= 0) for group in expected]
    assert all(type(rank) is int for group in found for rank in group)
