"""P-values of a mean net R: equal to the libraries and to published numbers, closed where nothing is known, robust."""

import math

import numpy as np
import pytest
import statsmodels.api as statsmodels
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from src.core.bars import FloatArray, IntArray
from src.core.errors import ConfigError
from src.research.validation.pvalues import PVALUES, TRUSTED_DAYS_T, PValue, crowd, day_sums, johnson, moments, p_value
from src.research.validation.section import MultipleTestingSection

SECTION = MultipleTestingSection()
QUICK = MultipleTestingSection(p_value="bootstrap", resamples=199)


def trades(seed: int, count: int = 60, days: int = 45, mean: float = 0.2) -> tuple[FloatArray, IntArray]:
    """Trades of which some share a day."""
    stream = np.random.default_rng(seed)
    return stream.normal(mean, 1, count), stream.integers(0, days, count)


def on_days_of_their_own(r: list[float]) -> tuple[FloatArray, IntArray]:
    """One trade on each day."""
    return np.array(r), np.arange(len(r), dtype=np.int64)


@pytest.mark.parametrize("seed", range(5))
def test_t_is_the_one_sample_test_of_scipy_on_the_days(seed: int) -> None:
    """Relative to the value itself, since small p-values decide."""
    r, day = trades(seed, mean=0.1 * seed)
    sums = [r[day == each].sum() for each in np.unique(day)]

    found = p_value("t", r, day, SECTION, "a")

    assert found.value == pytest.approx(stats.ttest_1samp(sums, 0, alternative="greater").pvalue, rel=1e-9)
    assert found.clusters == len(sums)


def test_t_is_the_test_of_statsmodels_on_the_days() -> None:
    """A regression of the days on a constant gives the same statistic and p-value."""
    r, day = trades(3)
    sums = day_sums(r, day)
    fit = statsmodels.OLS(sums, np.ones(len(sums))).fit()

    assert moments(sums).t == pytest.approx(fit.tvalues[0], rel=1e-9)
    assert p_value("t", r, day, SECTION, "a").value == pytest.approx(fit.pvalues[0] / 2, rel=1e-9)


def test_t_is_the_cluster_robust_test_of_statsmodels_where_all_days_have_as_many_trades() -> None:
    """A regression of the trades on a constant with clustered errors; with unequal days the two weigh differently."""
    r, _ = trades(4, count=120)
    day = np.repeat(np.arange(40, dtype=np.int64), 3)
    fit = statsmodels.OLS(r, np.ones(len(r))).fit(cov_type="cluster", cov_kwds={"groups": day}, use_t=True)

    assert p_value("t", r, day, SECTION, "a").value == pytest.approx(fit.pvalues[0] / 2, rel=1e-9)


def test_johnsons_statistic_leads_to_the_published_one() -> None:
    """That of Chen, 1.574075, which is Johnson's and one further term, `4 a^2 (t + 2 t^3)`."""
    # USEPA (2002), exhibit 9, as worked in EnvStats, `chenTTest`: mean 34.566667, sd 27.330598, skew 2.365778, n 60,
    # tested against 30.
    t = (34.566667 - 30) / (27.330598 / math.sqrt(60))
    a = 2.365778 / (6 * math.sqrt(60))

    assert johnson(t, 2.365778, 60) + 4 * a * a * (t + 2 * t**3) == pytest.approx(1.574075, abs=5e-7)


def test_johnsons_statistic_by_hand() -> None:
    """Days 0, 0, 0, 4: mean 1, s 2, m3 (3 * -1 + 27) / 4 = 6, so g 0.75, t 1, and t1 = 1 + 0.75 / 12 * 3."""
    found = moments(np.array([0.0, 0.0, 0.0, 4.0]))

    assert (found.mean, found.deviation, found.t, found.skew) == (1, 2, 1, 0.75)
    assert johnson(found.t, found.skew, 4) == 1.1875
    r, day = on_days_of_their_own([0, 0, 0, 4])
    assert p_value("skew_t", r, day, SECTION, "a").value == pytest.approx(stats.t.sf(1.1875, 3), rel=1e-9)


def test_robust_is_the_larger_of_both_tests_with_one_more_lost_day() -> None:
    """It lost the stated R on each trade of a crowded day, here three, or what the worst day lost if that is more."""
    r, day = trades(5, mean=0.3)
    sums = day_sums(r, day)
    for worst_r, lost in ((0.5, max(1.5, -sums.min())), (9.0, 27.0)):
        more = np.append(sums, -lost)
        plain = stats.ttest_1samp(more, 0, alternative="greater")
        skewed = johnson(float(plain.statistic), float(stats.skew(more)) * (1 - 1 / len(more)) ** 1.5, len(more))
        expected = max(plain.pvalue, stats.t.sf(skewed, len(more) - 1))

        found = p_value("robust", r, day, MultipleTestingSection(worst_r=worst_r), "a")

        assert found.value == pytest.approx(expected, rel=1e-9)
        assert found == PValue(value=found.value, clusters=len(sums))


@pytest.mark.parametrize(
    ("days", "trades_of_a_crowded_day"),
    [
        ([1, 2, 3], 1),
        ([1, 1, 2, 2], 2),
        ([1, 1, 2], 2),  # root of 5 / 2
        ([1, 1, 1, 2, 3, 4, 5], 2),  # root of 13 / 5
        ([1, 1, 1, 2], 3),  # root of 10 / 2
        ([7, 8, 7, 8, 7, 7], 4),  # root of 20 / 2
        ([], 1),
    ],
)
def test_a_crowded_day_has_the_root_mean_square_of_trades_rounded_up(
    days: list[int], trades_of_a_crowded_day: int
) -> None:
    """Whole numbers are not rounded up, and the order does not matter."""
    assert crowd(np.array(days, dtype=np.int64)) == trades_of_a_crowded_day
    assert crowd(np.array(days[::-1], dtype=np.int64)) == trades_of_a_crowded_day


@pytest.mark.parametrize("level", [1e-2, 1e-3, 1e-5])
@pytest.mark.parametrize("days", [30, 60, 200])
@pytest.mark.parametrize("name", ["robust", "t"])
def test_only_robust_holds_its_level_for_trades_that_rarely_lose_three_times_as_much(
    name: str, days: int, level: float
) -> None:
    """+1R and -3R without an edge: how often p is at most the level, exactly, from the binomial distribution."""
    through = 0.0
    for wins in range(days + 1):
        r, day = on_days_of_their_own([1.0] * wins + [-3.0] * (days - wins))
        if p_value(name, r, day, SECTION, "a").value <= level:
            through += float(stats.binom.pmf(wins, days, 0.75))

    assert through <= level if name == "robust" else through > 1.8 * level


@pytest.mark.slow
def test_robust_holds_its_level_where_losses_have_a_long_tail() -> None:
    """Losses of a log-normal distribution, 60 days, at 1 %: the plain test lets through three times as many."""
    stream = np.random.default_rng(11)
    through = dict.fromkeys(("robust", "t"), 0)
    for _ in range(3000):
        r, day = on_days_of_their_own((math.exp(0.245) - np.exp(stream.normal(0, 0.7, 60))).tolist())
        for name in through:
            through[name] += p_value(name, r, day, SECTION, "a").value <= 0.01

    assert through["robust"] <= 30 + 2 * math.sqrt(30)
    assert through["t"] > 75


def test_the_days_from_which_the_plain_test_is_trusted_are_enough() -> None:
    """Of +1R and -3R at most twice the level gets through at 3e-6, from the binomial; at a fifth of the days more."""

    def through(days: int) -> float:
        wins = np.arange(1, days)
        mean = (wins - 3 * (days - wins)) / days
        deviation = np.sqrt((wins * (1 - mean) ** 2 + (days - wins) * (3 + mean) ** 2) / (days - 1))
        p = special.stdtr(days - 1, -mean * math.sqrt(days) / deviation)
        return float(stats.binom.pmf(wins[p <= 3e-6], days, 0.75).sum()) / 3e-6

    assert max(through(days) for days in range(TRUSTED_DAYS_T, 2 * TRUSTED_DAYS_T, 50)) <= 2
    assert through(TRUSTED_DAYS_T // 5) > 3


def test_the_plain_test_says_where_it_is_not_trusted() -> None:
    """Below the number of days that it names; robust has nothing to say."""
    r, day = trades(6)

    assert f"not trusted below {TRUSTED_DAYS_T} days" in p_value("t", r, day, SECTION, "a").note
    assert p_value("robust", r, day, SECTION, "a").note == ""
    r, day = trades(6, count=TRUSTED_DAYS_T)
    assert p_value("t", r, np.arange(TRUSTED_DAYS_T, dtype=np.int64), SECTION, "a").note == ""
    assert "not trusted" in p_value("t", r[1:], np.arange(TRUSTED_DAYS_T - 1, dtype=np.int64), SECTION, "a").note


@pytest.mark.parametrize("name", sorted(PVALUES))
@pytest.mark.parametrize(
    ("r", "day", "clusters", "said"),
    [
        ([], [], 0, "at least 2 days, found 0"),
        ([1.0, 2.0, -1.0], [7, 7, 7], 1, "at least 2 days, found 1"),
        ([1.0, 1.0, 1.0], [1, 2, 3], 3, "all 3 days are equal"),
        ([0.1, 0.2, 0.3], [1, 1, 2], 2, "all 2 days are equal"),
        ([1.0, math.nan, 2.0], [1, 2, 3], 0, "no finite net R"),
        ([1.0, math.inf, 2.0], [1, 2, 3], 0, "no finite net R"),
        ([1.0, 1e300, 2.0], [1, 2, 3], 0, "no finite net R"),
        ([1e-300, 2e-300, 5e-300], [1, 2, 3], 3, "all 3 days are equal"),
    ],
)
def test_where_nothing_is_known_it_is_one(name: str, r: list[float], day: list[int], clusters: int, said: str) -> None:
    """Whatever the method; the note says why."""
    found = p_value(name, np.array(r, dtype=np.float64), np.array(day, dtype=np.int64), QUICK, "a")

    assert (found.value, found.clusters) == (1.0, clusters)
    assert said in found.note


@pytest.mark.parametrize("name", sorted(PVALUES))
def test_a_loss_is_no_evidence_of_a_profit(name: str) -> None:
    """Not even where positive skew bends Johnson's adjustment back."""
    r, day = on_days_of_their_own([-1.0] * 40 + [3.0])

    assert p_value(name, r, day, QUICK, "a").value > 0.5


def test_resampling_never_goes_below_its_floor_and_tells_it() -> None:
    """One over the resamples and one, and reached only by what no resample reaches."""
    r, day = on_days_of_their_own([1.0, 1.1, 0.9, 1.2, 0.8] * 8)

    found = p_value("bootstrap", r, day, QUICK, "a")

    assert found.value == found.floor == 1 / 200
    assert p_value("robust", r, day, QUICK, "a").floor == 0


def test_resampling_comes_near_the_plain_test_for_normal_trades() -> None:
    """Within a few standard errors of 9,999 resamples."""
    r, day = trades(7, count=200, days=400, mean=0.0)
    r = r - r.mean() + 0.12

    resampled, plain = (p_value(name, r, day, SECTION, "a").value for name in ("bootstrap", "t"))

    assert 0.01 < plain < 0.1
    assert resampled == pytest.approx(plain, abs=0.015)


def test_resamples_of_equal_days_count_against_the_candidate() -> None:
    """Days without a loss among them have no deviation: a third of all resamples of three days, and more."""
    r, day = on_days_of_their_own([1.0, 1.0, 0.9])

    assert p_value("bootstrap", r, day, QUICK, "a").value > 8 / 27 * 0.7


def test_what_is_drawn_depends_on_seed_and_candidate_alone() -> None:
    """Not on who was asked before."""
    r, day = trades(8)
    alone = p_value("bootstrap", r, day, QUICK, "b")

    p_value("bootstrap", r, day, QUICK, "a")

    assert p_value("bootstrap", r, day, QUICK, "b") == alone
    assert p_value("bootstrap", r, day, QUICK, "a") != alone
    assert p_value("bootstrap", r, day, QUICK.model_copy(update={"seed": 8}), "b") != alone


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(12)), st.sampled_from(sorted(PVALUES)))
def test_the_order_of_the_trades_does_not_count(order: list[int], name: str) -> None:
    """To the last bit, since sums are exact."""
    r, day = trades(9, count=12, days=6)

    assert p_value(name, r[order], day[order], QUICK, "a") == p_value(name, r, day, QUICK, "a")


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    """A mistake in the configuration."""
    r, day = trades(1)

    with pytest.raises(ConfigError, match="robust, t, skew_t, bootstrap, found 'magic'"):
        p_value("magic", r, day, SECTION, "a")
    with pytest.raises(ValueError, match="a day for each of 60 trades, found 59"):
        p_value("t", r, day[1:], SECTION, "a")
