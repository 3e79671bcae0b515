"""White's reality check and superior predictive ability: what arch finds when it is called directly, and no more."""

import math
import sys

import numpy as np
import pytest
from arch.bootstrap import SPA

from src.core.errors import ConfigError
from src.core.rng import numpy_stream
from src.research.validation.reality_check import VARIANTS, Variant, reality_check

NOISE = np.random.default_rng(1).normal(0, 1, (120, 8))


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_it_is_what_arch_finds(variant: Variant) -> None:
    """White's check of the returns, the other of returns through their deviation; losses are negative returns."""
    returns = NOISE * np.arange(1, 9) + 0.2
    scale = returns.std(axis=0) if variant == "spa" else 1.0
    stream = numpy_stream(3, "validation reality check", variant)
    direct = SPA(np.zeros(120), -returns / scale, reps=199, block_size=5, seed=stream)
    direct.compute()

    found = reality_check(returns, seed=3, variant=variant, resamples=199, block_length=5)

    assert found is not None
    assert found.value == pytest.approx(direct.pvalues["upper" if variant == "white" else "consistent"], rel=1e-9)
    assert (found.lower, found.upper) == pytest.approx((direct.pvalues["lower"], direct.pvalues["upper"]), rel=1e-9)
    assert found.lower <= found.value <= found.upper
    assert 0.01 < found.value < 0.99
    assert (found.candidates, found.periods, found.block_length, found.variant) == (8, 120, 5, variant)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_a_true_edge_is_told_from_noise(variant: Variant) -> None:
    """And never better than the resamples can show."""
    edge = NOISE.copy()
    edge[:, 5] += 1.0

    good, bad = (reality_check(each, seed=1, variant=variant, resamples=99) for each in (edge, NOISE))

    assert good is not None
    assert bad is not None
    assert good.value == good.floor == 0.01
    assert bad.value > 0.1
    assert good.block_length == 10


def test_the_scale_of_a_candidate_does_not_count_for_spa_but_for_white() -> None:
    """A noisy neighbour hides an edge from White's check."""
    returns = NOISE.copy()
    returns[:, 0] += 0.3
    returns[:, 1] = (returns[:, 1] - returns[:, 1].mean()) * 50

    found = {each: reality_check(returns, seed=1, variant=each, resamples=199) for each in ("spa", "white")}

    assert found["spa"] is not None
    assert found["white"] is not None
    assert found["spa"].value < 0.05 < 0.3 < found["white"].value


def test_the_seed_decides_what_is_drawn() -> None:
    """Twice the same, and another for another."""
    found = [reality_check(NOISE, seed=seed, resamples=199) for seed in (1, 1, 2)]

    assert found[0] == found[1] != found[2]


def test_candidates_without_any_spread_are_left_out() -> None:
    """They never traded; too few periods or no candidate say nothing."""
    with_idle = np.column_stack([NOISE, np.zeros(120)])
    found = reality_check(with_idle, seed=1, resamples=99)

    assert found == reality_check(NOISE, seed=1, resamples=99)
    assert reality_check(np.zeros((120, 3)), seed=1) is None
    assert reality_check(np.empty((120, 0)), seed=1) is None
    assert reality_check(NOISE[:9], seed=1) is None


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is imported on use only."""
    monkeypatch.setitem(sys.modules, "arch.bootstrap", None)

    with pytest.raises(ConfigError, match="needs the library arch.* its extra `statistics`"):
        reality_check(NOISE, seed=1)


def test_what_is_no_return_is_refused() -> None:
    """Not finite, another shape, or too few resamples."""
    with pytest.raises(ValueError, match="finite returns"):
        reality_check(np.full((20, 2), math.nan), seed=1)
    with pytest.raises(ValueError, match="finite returns"):
        reality_check(np.zeros(20), seed=1)
    with pytest.raises(ValueError, match="at least 99 resamples, found 10"):
        reality_check(NOISE, seed=1, resamples=10)
