"""P-values adjusted for a family: equal to the published examples and to statsmodels, and what resamples can show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from src.core.errors import ConfigError
from src.research.validation.false_discovery import METHODS, Method, adjusted, assumption, first_threshold, refuse_floor

# Benjamini and Hochberg (1995), section 4.1: fifteen comparisons of two treatments of myocardial infarction, of which
# their procedure rejects four at 0.05 and Bonferroni's three.
INFARCTION = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0
]  # fmt: skip


def test_the_example_of_benjamini_and_hochberg_rejects_four() -> None:
    """Their fourth, 0.0095, is at most 4 / 15 * 0.05 = 0.013; the fifth, 0.0201, is above 0.0167."""
    found = adjusted(INFARCTION, 15, "bh")

    assert sum(value <= 0.05 for value in found) == 4
    assert found[:4] == pytest.approx([0.0015, 0.003, 0.0095, 0.035625], rel=1e-12)
    assert found[4] == pytest.approx(0.0201 * 15 / 5, rel=1e-12)


def test_benjamini_and_yekutieli_reject_three_of_the_same() -> None:
    """Multiplied by 1 + 1/2 + ... + 1/15 = 3.318229: the third, 0.0095 * 3.318229 = 0.0315, is the last."""
    found = adjusted(INFARCTION, 15, "by")

    assert sum(value <= 0.05 for value in found) == 3
    assert found[:4] == pytest.approx([0.004977343, 0.009954687, 0.031523176, 0.118211908], abs=5e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 40), st.sampled_from(["by", "bh"]))
def test_it_is_what_statsmodels_finds_for_the_whole_family(p: list[float], absent: int, method: Method) -> None:
    """Members without a p-value count as 1."""
    expected = multipletests([*p, *[1.0] * absent], method=f"fdr_{method}")[1][: len(p)]

    found = adjusted(p, len(p) + absent, method)

    assert found == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-300)


def test_the_order_in_which_they_are_given_does_not_count() -> None:
    """Each keeps its own."""
    order = np.random.default_rng(1).permutation(15).tolist()

    found = adjusted([INFARCTION[at] for at in order], 200, "by")

    assert found == [adjusted(INFARCTION, 200, "by")[at] for at in order]


def test_an_empty_validation_has_nothing_to_adjust() -> None:
    """The family may still be large."""
    assert adjusted([], 100, "by") == []


@pytest.mark.parametrize("p", [[0.5, float("nan")], [-0.1], [1.1]])
def test_what_is_no_p_value_is_refused(p: list[float]) -> None:
    """A missing value must not bypass the correction."""
    with pytest.raises(ValueError, match="p-values from 0 to 1"):
        adjusted(p, 10, "by")


def test_a_family_never_shrinks() -> None:
    """More p-values than members would be a mistake in the count."""
    with pytest.raises(ValueError, match="at most 2 p-values"):
        adjusted([0.1, 0.2, 0.3], 2, "bh")


@pytest.mark.parametrize("method", ["by", "bh"])
@pytest.mark.parametrize("family", [1, 15, 2000])
def test_the_first_threshold_is_where_a_single_discovery_begins(method: Method, family: int) -> None:
    """Just below it is adjusted to less than the level, just above to more."""
    threshold = first_threshold(family, 0.05, method)

    assert (
        adjusted([threshold * (1 - 1e-9)], family, method)[0]
        < 0.05
        < adjusted([threshold * (1 + 1e-9)], family, method)[0]
    )


def test_the_first_threshold_by_hand() -> None:
    """1 + 1/2 + 1/3 + 1/4 = 25/12."""
    assert first_threshold(4, 0.05, "bh") == pytest.approx(0.0125, rel=1e-12)
    assert first_threshold(4, 0.05, "by") == pytest.approx(0.05 / 4 * 12 / 25, rel=1e-12)


def test_a_floor_above_the_first_threshold_is_refused_with_the_resamples_that_would_do() -> None:
    """And so many do, one fewer does not."""
    refuse_floor(0.0, 10**6, 0.05, "by")
    refuse_floor(1 / 1667, 4, 0.05, "by")

    with pytest.raises(ConfigError, match=r"among 15 candidates .* expected at least 995 resamples"):
        refuse_floor(1 / 200, 15, 0.05, "by")

    refuse_floor(1 / 996, 15, 0.05, "by")
    with pytest.raises(ConfigError):
        refuse_floor(1 / 995, 15, 0.05, "by")


def test_each_method_says_what_it_rests_on() -> None:
    """What is printed beside the results."""
    assert "positively dependent" in assumption("bh")
    assert "however the candidates depend" in assumption("by")
    assert sorted(METHODS) == ["bh", "by"]
