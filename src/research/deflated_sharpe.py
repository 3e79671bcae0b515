"""What a Sharpe ratio is worth that is the best of many attempts: the deflated Sharpe ratio, and who counts as attempt.

Pure; any thread. Sums are exact, so the order in which different trials were recorded does not count.
"""

import math
from collections.abc import Iterable, Sequence

from src.backtesting.artifacts.trial_ledger import Trial
from src.core.record import record

__all__ = ["Attempts", "TrialBook", "deflated_sharpe", "expected_maximum"]

_EULER_MASCHERONI = 0.5772156649015329


def expected_maximum(trials: int, sharpe_variance: float) -> float:
    """The largest Sharpe ratio to be expected of so many independent attempts none of which has any skill.

    `sqrt(V) * ((1 - g) * Z(1 - 1/N) + g * Z(1 - 1/(N e)))` with Z the inverse of the normal distribution and g the
    constant of Euler and Mascheroni. A single attempt is no selection: 0.

    Source: D. H. Bailey and M. Lopez de Prado, "The Deflated Sharpe Ratio: Correcting for Selection Bias, Backtest
    Overfitting and Non-Normality", Journal of Portfolio Management 40 (2014).
    """
    if trials < 2:
        return 0.0
    from scipy.special import ndtri  # here, because a plain backtest shall not wait for it to be imported

    # Z(1 - p) is -Z(p), which keeps all digits of a p next to nothing.
    first, second = -float(ndtri(1 / trials)), -float(ndtri(1 / (trials * math.e)))
    return math.sqrt(sharpe_variance) * ((1 - _EULER_MASCHERONI) * first + _EULER_MASCHERONI * second)


def deflated_sharpe(
    sharpe_daily: float | None,
    days: int,
    skew: float | None,
    kurtosis: float | None,
    trials: int,
    sharpe_variance: float | None,
) -> float | None:
    """The probability that the true Sharpe ratio is above what the best of so many attempts has without any skill.

    `Phi((SR - SR0) * sqrt(T - 1) / sqrt(1 - skew * SR + (kurtosis - 1) / 4 * SR^2))`, SR0 the `expected_maximum`. Of a
    single trial it is the probabilistic Sharpe ratio against 0.

    Source: as `expected_maximum`.

    Args:
        sharpe_daily: of the daily returns, not annualised; likewise the variance.
        days: T, how many returns there are.
        skew, kurtosis: of these returns; 0 and 3 of a normal distribution.
        trials: N; dependent ones count in full.
        sharpe_variance: of the trials' Sharpe ratios, see `Attempts`; not looked at for a single trial.

    Returns:
        From 0 to 1; None where something is missing that is needed, or the returns are too few.
    """
    if sharpe_daily is None or skew is None or kurtosis is None or days < 2 or trials < 1:
        return None
    if trials > 1 and (sharpe_variance is None or not sharpe_variance >= 0):
        return None
    spread = 1 - skew * sharpe_daily + (kurtosis - 1) / 4 * sharpe_daily * sharpe_daily
    if not (math.isfinite(spread) and spread > 0):
        return None
    from scipy.special import ndtr  # see above

    excess = sharpe_daily - expected_maximum(trials, sharpe_variance or 0.0)
    return float(ndtr(excess * math.sqrt(days - 1) / math.sqrt(spread)))


@record
class Attempts:
    """How often somebody tried on some data.

    Attributes:
        count: different configurations, those without a Sharpe ratio too.
        sharpe_variance: of their daily Sharpe ratios (over n - 1), each number once: a choice that changes nothing,
            tried a thousand times, would otherwise bring the variance, and the bar with it, down to nothing. 0 where
            all are equal; None with fewer than two configurations that have one.
    """

    count: int
    sharpe_variance: float | None


class TrialBook:
    """The trials that are known, asked for those that count for a run.

    Args:
        trials: of one configuration the last with a Sharpe ratio counts, so that what was run again on mended data, by
            a newer version, or after it had been cut short, stays one attempt.
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        # Grouped by what they read: many trials share few windows and sets of symbols.
        self._groups: dict[tuple[tuple[tuple[str, str], ...], int, int], dict[str, float | None]] = {}
        for trial in trials:
            group = self._groups.setdefault((trial.series, trial.start_ns, trial.end_ns), {})
            _add(group, trial.configuration_hash, trial.sharpe)
        self._known: dict[tuple[tuple[tuple[str, str], ...], int, int], Attempts] = {}

    def of(self, series: Sequence[tuple[str, str]], start_ns: int, end_ns: int) -> Attempts:
        """The trials that read one of these series at least, in a window that overlaps this one."""
        key = (tuple(series), start_ns, end_ns)
        if key not in self._known:
            self._known[key] = self._counted(set(series), start_ns, end_ns)
        return self._known[key]

    def _counted(self, series: set[tuple[str, str]], start_ns: int, end_ns: int) -> Attempts:
        found: dict[str, float | None] = {}
        for (read, begin_ns, stop_ns), group in self._groups.items():
            if begin_ns < end_ns and start_ns < stop_ns and not series.isdisjoint(read):
                for chosen, sharpe in group.items():
                    _add(found, chosen, sharpe)
        sharpes = [sharpe for sharpe in found.values() if sharpe is not None]
        return Attempts(count=len(found), sharpe_variance=_variance(sharpes))


def _add(found: dict[str, float | None], chosen: str, sharpe: float | None) -> None:
    if sharpe is not None or chosen not in found:
        found[chosen] = sharpe


def _variance(values: Sequence[float]) -> float | None:
    """Of the different values; exact sums, so that their order does not count."""
    if len(values) < 2:
        return None
    different = set(values)
    if len(different) < 2:
        return 0.0
    mean = math.fsum(different) / len(different)
    return math.fsum((value - mean) * (value - mean) for value in different) / (len(different) - 1)
