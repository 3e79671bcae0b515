"""Packed columns: what comes out is what went in, small, and within what a browser can count."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from src.core.errors import InternalError
from src.pages.packing import columns_text, milliseconds, plain, script_json, unpacked


@hypothesis.given(
    st.lists(st.integers(-(2**52), 2**52)), st.lists(st.floats(allow_nan=False)), st.lists(st.text(max_size=5))
)
@hypothesis.settings(max_examples=50)
def test_columns_come_back_as_they_were(whole: list[int], real: list[float], texts: list[str]) -> None:
    """Whole numbers, real numbers and texts survive packing."""
    found = unpacked(*columns_text({"whole": np.array(whole, dtype=np.int64), "real": np.array(real), "texts": texts}))

    assert found["whole"].tolist() == whole
    assert found["real"].tolist() == real
    assert found["texts"] == texts


def test_regular_numbers_are_small() -> None:
    """Half a million instants, a minute apart, take less than four thousand characters."""
    _, text = columns_text({"at": 1_700_000_000_000 + np.arange(500_000) * 60_000})

    assert len(text) < 4_000


def test_numbers_beyond_a_browser_are_refused() -> None:
    """A nanosecond instant is not packed as it is, because the browser would round it."""
    with pytest.raises(InternalError, match=r"up to 2\*\*53 in the column at"):
        columns_text({"at": np.array([1_700_000_000_000_000_000])})


def test_instants_become_milliseconds() -> None:
    """A browser counts in milliseconds since 1970."""
    assert milliseconds(np.array([1_500_000_000])).tolist() == [1500.0]


def test_plain_values_hold_nothing_that_json_cannot() -> None:
    """Arrays become bytes or lists, NaN becomes null, NumPy's numbers become plain ones."""
    found = plain({"a": np.array([1.0, 2.0]), "b": [float("nan"), np.float64(2), np.int64(3)], "c": np.array(["x"])})

    assert found == {"a": {"dtype": "f8", "bdata": "AAAAAAAA8D8AAAAAAAAAQA=="}, "b": [None, 2.0, 3], "c": ["x"]}


def test_json_cannot_end_its_script() -> None:
    """What a user wrote stays text."""
    assert "<" not in script_json(["</script><b>&"])
