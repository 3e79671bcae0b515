"""Columns of plain values: what pyarrow makes of them, and without pandas."""

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.backtesting.artifacts import columns
from src.backtesting.artifacts.columns import column
from src.core.records import Side

kinds = {
    pa.string(): st.one_of(st.text(max_size=5), st.just(Side.BUY)),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.one_of(st.floats(), st.integers(-5, 5)),
    pa.bool_(): st.booleans(),
}
tables = st.sampled_from(list(kinds)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(st.one_of(st.none(), kinds[kind]), max_size=20))
)


@given(tables)
@settings(max_examples=80, deadline=None)
def test_a_column_is_what_pyarrow_makes_of_the_values(given_: tuple[Any, list[Any]]) -> None:
    """With any of them absent, or all, or none; NaN is a number and not absent."""
    kind, values = given_
    expected = pa.array(values, type=kind)

    found = column(values, kind)

    found.validate(full=True)
    assert found.type == kind
    assert found.null_count == expected.null_count
    assert [repr(one) for one in found.to_pylist()] == [repr(one) for one in expected.to_pylist()]


def test_arrays_are_taken_as_they_are() -> None:
    """Also where they lie apart in memory."""
    numbers = np.arange(10)[::2]

    assert column(numbers, pa.int64()).to_pylist() == [0, 2, 4, 6, 8]
    assert column(numbers / 2, pa.float64()).to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1.5], pa.int64()), (["x"], pa.float64()), ([1, None], pa.string()), ([2], pa.bool_()), ([2**63], pa.int64())],
)
def test_values_of_another_type_are_refused(values: list[Any], kind: Any) -> None:
    """Nothing is rounded or read out of a text."""
    with pytest.raises(TypeError, match=f"expected values of the type {kind}"):
        column(values, kind)


def test_more_text_than_fits_makes_several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order, the absent ones among them."""
    monkeypatch.setattr(columns, "_MOST_BYTES", 4)
    texts = ["ab", "cd", None, "ef", "gh", "i"]

    found = column(texts, pa.string())

    assert isinstance(found, pa.ChunkedArray)
    assert found.to_pylist() == texts


def test_nothing_of_it_imports_pandas() -> None:
    """Which would cost every process more than a short run."""
    text = (
        "import sys, pyarrow as pa; from src.backtesting.artifacts.columns import column; "
        "column(['a', None], pa.string()); column([1.0], pa.float64()); print('pandas' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
