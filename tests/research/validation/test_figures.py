"""How numbers become figures: rounded, finite, and the same in any order."""

import math

import numpy as np
import pytest

from src.research.validation.figures import figure, mean_r, needed, total_r


def test_a_figure_has_twelve_significant_digits() -> None:
    """What differs between processors lies behind them."""
    assert figure(1 / 3) == 0.333333333333
    assert figure(123456789.0123456789) == 123456789.012
    assert figure(1.23456789012345e-20) == 1.23456789012e-20


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_no_figure(value: float | None) -> None:
    """So it can never pass for a number."""
    assert figure(value) is None


def test_there_is_one_zero() -> None:
    """The negative one would be other bytes."""
    assert math.copysign(1, figure(-0.0) or 0.0) == 1


def test_a_mean_of_nothing_is_none_and_a_sum_of_nothing_is_zero() -> None:
    """A sum has a neutral element, a mean has none."""
    assert mean_r([]) is None
    assert mean_r(np.zeros(0)) is None
    assert total_r([]) == 0.0


def test_means_and_sums_take_arrays_and_lists_in_any_order() -> None:
    """Sums are exact before they are rounded."""
    values = [1e9, 0.7, -1e9, 0.1, 1e-9]

    assert mean_r(values) == mean_r(np.array(values)) == mean_r(values[::-1]) == figure(0.800000001 / 5)
    assert total_r(tuple(values)) == total_r(sorted(values)) == 0.800000001


def test_what_binary_fractions_leave_of_nothing_is_nothing() -> None:
    """The exact sum of these three numbers lies above 0; that of what they stand for does not."""
    assert math.fsum([0.1, 0.2, -0.3]) > 0
    assert total_r([0.1, 0.2, -0.3]) == 0.0
    assert mean_r([0.1, 0.2, -0.3]) == 0.0


@pytest.mark.parametrize("values", [[1e308, 1e308], [math.inf, -math.inf], [math.nan, 1.0], [math.inf]])
def test_a_sum_that_is_not_finite_is_none(values: list[float]) -> None:
    """It fails closed."""
    assert total_r(values) is None
    assert mean_r(values) is None


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [
        (0.6, 5, 3), (0.6, 10, 6), (0.6, 15, 9), (0.6, 4, 3), (0.55, 20, 11), (0.55, 100, 55), (0.55, 3, 2),
        (0.7, 10, 7), (0.7, 30, 21), (0.07, 100, 7), (0.29, 100, 29), (0.0, 7, 0), (1.0, 7, 7), (0.6, 0, 0),
        (1e-5, 100_000, 1),
    ],
)  # fmt: skip
def test_a_share_counts_as_the_decimal_that_was_written(share: float, count: int, expected: int) -> None:
    """Products of floats lie a little above or below."""
    assert needed(share, count) == expected
