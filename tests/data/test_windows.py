"""Windows of time: what is missing, and in which pages it is asked for."""

from hypothesis import given, settings
from hypothesis import strategies as st

from src.data.windows import Window, paged, without

_WINDOWS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def _instants(windows: list[Window]) -> set[int]:
    return {instant for start, end in windows for instant in range(start, end)}


@settings(max_examples=60)
@given(wanted=_WINDOWS, covered=_WINDOWS)
def test_what_is_left_is_every_wanted_instant_that_is_not_covered(wanted: list[Window], covered: list[Window]) -> None:
    """The difference of two lists of windows is the difference of their instants, in sorted windows that are apart."""
    left = without(wanted, covered)

    assert _instants(left) == _instants(wanted) - _instants(covered)
    assert all(start < end for start, end in left)
    assert all(before[1] < after[0] for before, after in zip(left, left[1:], strict=False))


def test_pages_begin_anew_in_each_window() -> None:
    """A window is cut from its own start, and its last page is as short as it has to be."""
    pages = list(paged([(0, 5), (7, 9)], 2))

    assert pages == [(0, 2), (2, 4), (4, 5), (7, 9)]
