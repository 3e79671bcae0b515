"""How candidates are shared out to workers."""

import pytest

from src.research.validation.crew import _some


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 2359, 13_000])
def test_calls_have_every_candidate_once_in_order_and_become_smaller(count: int, workers: int) -> None:
    """So that nobody waits long for the last call, and few calls are made."""
    candidates = [(number, f"c{number}") for number in range(count)]
    calls = list(_some(candidates, workers))
    sizes = [len(each) for each in calls]

    assert [one for each in calls for one in each] == candidates
    assert sizes == sorted(sizes, reverse=True)
    assert all(16 <= size <= 256 for size in sizes[:-1])
