"""Probabilistic Sharpe ratio and minimum track record length: the published numbers of both variants."""

import math

import numpy as np
import pytest
from scipy import stats

from src.research.deflated_sharpe import deflated_sharpe
from src.research.validation.sharpe_ratios import (
    VARIANTS,
    SharpeShape,
    Variant,
    minimum_track_record,
    probabilistic_sharpe,
    sharpe_shape,
)

# The fund of Bailey and Lopez de Prado (2012): 24 months, mean 3.6 %, standard deviation 7.9 %. Their text rounds the
# ratio to 0.458 a month; Lopez de Prado, Lipton and Zoonekynd (2025) use the same fund with 0.036 / 0.079.
FUND = SharpeShape(observations=24, sharpe=0.036 / 0.079, skew=-2.448, kurtosis=10.164)
PRINTED = SharpeShape(observations=24, sharpe=0.458, skew=-2.448, kurtosis=10.164)


def normal(sharpe: float, observations: int = 24) -> SharpeShape:
    """Returns of a normal distribution."""
    return SharpeShape(observations=observations, sharpe=sharpe, skew=0.0, kurtosis=3.0)


def test_the_two_variants_give_the_two_published_numbers_for_the_same_fund() -> None:
    """0.913 of 2012 and 0.987 of 2025."""
    for fund in (FUND, PRINTED):
        assert probabilistic_sharpe(fund, variant="at_estimate") == pytest.approx(0.913, abs=6e-4)
        assert probabilistic_sharpe(fund, variant="at_benchmark") == pytest.approx(0.987, abs=6e-4)


def test_the_other_numbers_of_the_papers() -> None:
    """2012: 0.982 if the returns were normal. 2025: 0.939 against 0.1 a month."""
    assert probabilistic_sharpe(normal(0.458)) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(FUND, 0.1, variant="at_benchmark") == pytest.approx(0.939, abs=5e-4)


@pytest.mark.parametrize(
    ("a_year", "skew", "kurtosis", "years"),
    [(250, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_the_track_record_lengths_of_2012(a_year: int, skew: float, kurtosis: float, years: float) -> None:
    """An annual ratio of 2 against 1 at 95 %: 2.73 years of daily, 2.83 of weekly, 3.24 and 4.99 of monthly returns."""
    shape = SharpeShape(observations=2, sharpe=2 / math.sqrt(a_year), skew=skew, kurtosis=kurtosis)

    found = minimum_track_record(shape, 1 / math.sqrt(a_year))

    assert found is not None
    assert found / a_year == pytest.approx(years, abs=5e-3)


def test_the_track_record_length_of_2025() -> None:
    """13.029 months for the fund against 0 at 95 %."""
    assert minimum_track_record(FUND, variant="at_benchmark") == pytest.approx(13.029, abs=5e-4)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
@pytest.mark.parametrize("bar", [0.0, 0.2])
def test_so_many_observations_give_just_the_confidence(variant: Variant, bar: float) -> None:
    """Length and probability belong together; checked at whole numbers of observations around the length."""
    needed = minimum_track_record(FUND, bar, 0.9, variant=variant)
    assert needed is not None

    def after(observations: int) -> float:
        shape = SharpeShape(observations=observations, sharpe=FUND.sharpe, skew=FUND.skew, kurtosis=FUND.kurtosis)
        found = probabilistic_sharpe(shape, bar, variant=variant)
        assert found is not None
        return found

    assert after(math.floor(needed)) < 0.9 < after(math.ceil(needed))


def test_both_are_the_formulas_written_out() -> None:
    """To 1e-9, with the normal distribution of scipy."""
    spread = 1 + 2.448 * FUND.sharpe + 9.164 / 4 * FUND.sharpe**2
    at_zero = 1 + 2.448 * 0.1 + 9.164 / 4 * 0.01
    excess = FUND.sharpe - 0.1

    assert probabilistic_sharpe(FUND, 0.1) == pytest.approx(stats.norm.cdf(excess * math.sqrt(23 / spread)), rel=1e-9)
    assert probabilistic_sharpe(FUND, 0.1, variant="at_benchmark") == pytest.approx(
        stats.norm.cdf(excess * math.sqrt(24 / at_zero)), rel=1e-9
    )
    assert minimum_track_record(FUND, 0.1, 0.9) == pytest.approx(
        1 + spread * (stats.norm.ppf(0.9) / excess) ** 2, rel=1e-9
    )
    assert minimum_track_record(FUND, 0.1, 0.9, variant="at_benchmark") == pytest.approx(
        at_zero * (stats.norm.ppf(0.9) / excess) ** 2, rel=1e-9
    )


def test_the_deflated_ratio_of_a_single_trial_is_the_variant_of_2012() -> None:
    """Both modules mean the same."""
    expected = deflated_sharpe(FUND.sharpe, FUND.observations, FUND.skew, FUND.kurtosis, 1, None)

    assert probabilistic_sharpe(FUND) == pytest.approx(expected, rel=1e-11)


def test_the_shape_of_a_series_is_that_of_scipy() -> None:
    """Skew and kurtosis over n, the deviation over n - 1; the scale of the values does not count."""
    values = np.random.default_rng(1).lognormal(0, 0.5, 200) - 1

    for scale in (1.0, 1e-150, 1e150):
        found = sharpe_shape(values * scale)

        assert found is not None
        assert found.observations == 200
        assert found.sharpe == pytest.approx(values.mean() / values.std(ddof=1), rel=1e-9)
        assert found.skew == pytest.approx(stats.skew(values), rel=1e-9)
        assert found.kurtosis == pytest.approx(stats.kurtosis(values, fisher=False), rel=1e-9)


@pytest.mark.parametrize("values", [[], [1.0], [0.1, 0.1, 0.1], [1.0, math.nan], [1.0, -math.inf]])
def test_a_series_that_says_nothing_has_no_shape(values: list[float]) -> None:
    """Too short, without any spread, or not numbers."""
    assert sharpe_shape(np.array(values, dtype=np.float64)) is None


def test_what_is_not_defined_is_none() -> None:
    """A single observation, a spread that is not positive, a benchmark that is not reached, a confidence of 1."""
    impossible = SharpeShape(observations=50, sharpe=1.0, skew=3.0, kurtosis=5.0)

    assert probabilistic_sharpe(normal(0.1, observations=1)) is None
    assert probabilistic_sharpe(impossible) is None
    assert probabilistic_sharpe(normal(0.1), math.nan) is None
    assert minimum_track_record(impossible) is None
    assert minimum_track_record(normal(0.1), 0.1) is None
    assert minimum_track_record(normal(0.1), 0.2, variant="at_benchmark") is None
    assert minimum_track_record(normal(0.1), 0.0, 1.0) is None
