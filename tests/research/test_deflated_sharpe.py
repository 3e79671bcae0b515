"""The deflated Sharpe ratio: the paper's own numbers, what noise comes to, and which trials count."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from src.backtesting.artifacts.trial_ledger import Trial
from src.backtesting.equity import kurtosis, skew
from src.research.deflated_sharpe import Attempts, TrialBook, deflated_sharpe, expected_maximum

# The example of the paper: daily returns, 250 a year.
SHARPE, DAYS, VARIANCE = 2.5 / math.sqrt(250), 1250, 0.5 / 250


def trial(name: str, sharpe: float | None, series: str = "AAA", window: tuple[int, int] = (0, 100)) -> Trial:
    """An attempt on some symbols of one source, in a window."""
    return Trial(
        run_id=name, configuration_hash=name, series=tuple((each, "exchange") for each in series.split()),
        start_ns=window[0], end_ns=window[1], sharpe=sharpe, days=30, skew=0.0, kurtosis=3.0,
    )  # fmt: skip


def test_the_numbers_of_the_paper_come_out() -> None:
    """An annual Sharpe of 2.5 over five years is worth 0.90 after 100 trials, and 0.95 after 46 only."""
    assert expected_maximum(100, VARIANCE) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(SHARPE, DAYS, -3, 10, 100, VARIANCE) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(SHARPE, DAYS, -3, 10, 46, VARIANCE) == pytest.approx(0.9505, abs=5e-5)
    assert deflated_sharpe(SHARPE, DAYS, 0, 3, 88, VARIANCE) == pytest.approx(0.9505, abs=5e-5)


def test_a_single_trial_is_judged_against_nothing() -> None:
    """The probabilistic Sharpe ratio against 0; the variance of one trial is not looked at."""
    expected = stats.norm.cdf(0.1 * math.sqrt(99) / math.sqrt(1 + 0.5 * 0.01))

    assert deflated_sharpe(0.1, 100, 0.0, 3.0, 1, None) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "changed",
    [
        {"sharpe_daily": None}, {"days": 1}, {"skew": None}, {"kurtosis": None}, {"trials": 0},
        {"sharpe_variance": None}, {"sharpe_variance": -1.0}, {"sharpe_variance": math.nan}, {"skew": math.nan},
        {"skew": 30.0},
    ],
)  # fmt: skip
def test_what_is_missing_makes_it_undefined(changed: dict[str, Any]) -> None:
    """Never a number that looks like a judgement."""
    given: dict[str, Any] = {
        "sharpe_daily": 0.1, "days": 100, "skew": 0.0, "kurtosis": 3.0, "trials": 5, "sharpe_variance": 0.01,
    }  # fmt: skip

    assert deflated_sharpe(**given) is not None
    assert deflated_sharpe(**{**given, **changed}) is None


def test_the_best_of_many_strategies_of_noise_hardly_ever_passes() -> None:
    """Of 200 searches over 50 strategies without skill at most 5 % end above 0.95; taken for single trials most do."""
    noise = np.random.default_rng(11)
    deflated, naive = 0, 0
    for _ in range(200):
        returns = noise.normal(0.0, 0.01, size=(50, 250))
        sharpes = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
        best = int(sharpes.argmax())
        given = (float(sharpes[best]), 250, skew(returns[best]), kurtosis(returns[best]))
        deflated += (deflated_sharpe(*given, 50, float(sharpes.var(ddof=1))) or 0.0) > 0.95
        naive += (deflated_sharpe(*given, 1, None) or 0.0) > 0.95

    assert deflated <= 10
    assert naive >= 150


def test_skill_among_noise_still_passes() -> None:
    """One strategy of 50 with a daily Sharpe of 0.25 is found in most of 50 searches: the bar is within reach."""
    noise = np.random.default_rng(12)
    passed = 0
    for _ in range(50):
        returns = noise.normal(0.0, 0.01, size=(50, 500))
        returns[7] += 0.0025
        sharpes = returns.mean(axis=1) / returns.std(axis=1, ddof=1)
        given = (float(sharpes[7]), 500, skew(returns[7]), kurtosis(returns[7]))
        passed += (deflated_sharpe(*given, 50, float(sharpes.var(ddof=1))) or 0.0) > 0.95

    assert passed >= 40


def test_trials_count_that_read_one_same_series_at_an_overlapping_time() -> None:
    """Touching windows do not overlap; the same symbol of another source is another series."""
    book = TrialBook([
        trial("same", 0.1), trial("more symbols", 0.3, "AAA BBB"), trial("other symbol", 0.9, "BBB"),
        trial("later", 0.9, window=(100, 200)), trial("last instant", 0.2, window=(99, 200)),
    ])  # fmt: skip

    found = book.of((("AAA", "exchange"),), 0, 100)

    assert found.count == 3
    assert found.sharpe_variance == pytest.approx(0.01)
    assert book.of((("AAA", "elsewhere"),), 0, 100) == Attempts(count=0, sharpe_variance=None)


def test_one_configuration_counts_once_and_one_without_a_sharpe_counts() -> None:
    """Run again on mended data it is the same attempt, with its latest figure; one that never traded was tried too."""
    book = TrialBook([trial("a", 5.0), trial("b", 0.2), trial("a", 0.4), trial("idle", None)])

    found = book.of((("AAA", "exchange"),), 0, 100)

    assert found.count == 3
    assert found.sharpe_variance == pytest.approx(0.02)


def test_a_run_that_was_cut_short_takes_no_figure_away() -> None:
    """Whether it came before or after the one that got to its end, in this group of data or in another."""
    cut, whole, other = trial("a", None), trial("a", 0.4), trial("b", 0.2)
    more = trial("a", None, "AAA BBB")

    for trials in ([cut, whole, other], [whole, other, cut], [whole, other, more], [more, other, whole]):
        found = TrialBook(trials).of((("AAA", "exchange"),), 0, 100)
        assert found.count == 2
        assert found.sharpe_variance == pytest.approx(0.02)


def test_copies_of_a_trial_make_no_other_one_better() -> None:
    """A thousand seeds that change nothing raise the number of trials and leave their variance as it was."""
    few = [trial(str(number), 0.02 * math.sin(number)) for number in range(30)]
    copies = [trial(f"copy {number}", few[14].sharpe) for number in range(1_000)]
    series = (("AAA", "exchange"),)

    before, after = (TrialBook(trials).of(series, 0, 100) for trials in (few, few + copies))

    assert (before.count, after.count) == (30, 1_030)
    assert after.sharpe_variance == before.sharpe_variance
    worth = [deflated_sharpe(few[14].sharpe, 250, 0.0, 3.0, one.count, one.sharpe_variance) for one in (before, after)]
    assert worth[0] is not None
    assert worth[1] is not None
    assert worth[1] < worth[0]
    assert TrialBook(copies).of(series, 0, 100) == Attempts(count=1_000, sharpe_variance=0.0)


def test_the_bar_keeps_its_digits_for_any_number_of_trials() -> None:
    """Against the inverse survival function, which has them."""
    for count in (2, 1_000, 10**9, 10**15):
        expected = (1 - 0.5772156649015329) * stats.norm.isf(1 / count)
        expected += 0.5772156649015329 * stats.norm.isf(1 / (count * math.e))
        assert expected_maximum(count, 1.0) == pytest.approx(expected, rel=1e-12)


def test_the_order_of_different_trials_does_not_count() -> None:
    """To the last bit: workers append in whatever order they end."""
    trials = [trial(str(number), math.sin(number) * 10 ** (number % 9), "AAA BBB") for number in range(60)]
    series = (("BBB", "exchange"),)

    assert TrialBook(trials).of(series, 0, 100) == TrialBook(reversed(trials)).of(series, 0, 100)
