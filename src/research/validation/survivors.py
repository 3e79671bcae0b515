"""What the Sharpe ratios of survivors are worth, and how often the best of one half of the time is bad in the other.

None of it decides: it stands beside the verdicts. Pure; any thread.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from src.core.errors import ConfigError
from src.research.deflated_sharpe import deflated_sharpe, expected_maximum
from src.research.validation.figures import figure
from src.research.validation.overfitting import OverfittingBlocks
from src.research.validation.ports import Candidate, Period
from src.research.validation.reality_check import arch_library, reality_check
from src.research.validation.screen import WEEK_NS, Screened
from src.research.validation.section import ValidationSection
from src.research.validation.sharpe_ratios import SharpeShape, Variant, minimum_track_record, probabilistic_sharpe

__all__ = ["VARIANT", "overfitting_of", "reality_check_of", "refuse_reality_check", "sharpes_of"]

#: Of the two published ones it is this; reports name it.
VARIANT: Variant = "at_estimate"
#: A reality check takes memory for each candidate in each resample.
_MOST_COMPARED, _MOST_RESAMPLES = 2_000, 999


def sharpes_of(
    candidates: Sequence[Candidate], wanted: set[str], shapes: Mapping[int, SharpeShape], sharpes: Iterable[float],
    trials: int,
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """The figures of the candidates that are wanted, by id.

    Args:
        shapes: by number, of those that are wanted at least.
        sharpes: of all candidates, NaN where there is none: their spread is what the deflated ratio measures luck by.
        trials: how many were tried in all.
    """
    variance = _variance([each for each in sharpes if not math.isnan(each)])
    found: dict[str, dict[str, Any]] = {}
    for each in candidates:
        shape = shapes.get(each.number)
        if each.candidate_id not in wanted or shape is None:
            continue
        bar = None if variance is None and trials > 1 else figure(expected_maximum(trials, variance or 0.0))
        found[each.candidate_id] = {
            "days": shape.observations, "sharpe_daily": shape.sharpe, "skew": shape.skew, "kurtosis": shape.kurtosis,
            "probabilistic": probabilistic_sharpe(shape, variant=VARIANT),
            "deflated": figure(
                deflated_sharpe(shape.sharpe, shape.observations, shape.skew, shape.kurtosis, trials, variance)
            ),
            "luck_sharpe_daily": bar, "minimum_track_record": minimum_track_record(shape, variant=VARIANT),
            "trials": trials, "variant": VARIANT,
        }  # fmt: skip
    return dict(sorted(found.items()))


def _variance(values: Sequence[float]) -> float | None:
    """Over one less than there are; None of fewer than two."""
    return float(statistics.variance(values)) if len(values) > 1 else None


def overfitting_of(blocks: OverfittingBlocks | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The probability of backtest overfitting, and what it is made of: each way to halve the time.

    Both as plain values, and None where there is nothing to be compared.
    """
    ways = None if blocks is None else blocks.ways()
    if blocks is None or ways is None:
        return None, None
    found = blocks.summary(ways)
    curve = {
        "rank": list(ways.rank), "inside": [figure(each) for each in ways.inside],
        "outside": [figure(each) for each in ways.outside],
    }  # fmt: skip
    return None if found is None else asdict(found), curve


def refuse_reality_check(section: ValidationSection, candidates: int) -> None:
    """Refuse a reality check that could not be made in the end, before hours of work go before it.

    Raises:
        ConfigError: its library is not installed, or there are more candidates than it is made for.
    """
    if section.multiple_testing.reality_check is None or section.discovery_cutoff_ns is None:
        return
    if candidates > _MOST_COMPARED:
        raise ConfigError(
            f"multiple_testing.reality_check: expected at most {_MOST_COMPARED:,} candidates, because it compares all "
            f"with all resamples at once, found {candidates:,}; leave it out, or choose fewer candidates"
        )
    arch_library()


def reality_check_of(section: ValidationSection, screened: Screened, period: Period) -> dict[str, Any] | None:
    """Whether the best of all candidates is better than none in the weeks after the cut-off, as plain values.

    None where nobody asked for it, and where it is not defined. A candidate without trades in a week has 0 in it.

    Raises:
        ConfigError: see `refuse_reality_check`.
    """
    testing, cutoff_ns = section.multiple_testing, section.discovery_cutoff_ns
    if testing.reality_check is None or cutoff_ns is None or not screened.weeks:
        return None
    first_ns = max(cutoff_ns, period.start_ns)
    begin, weeks = (first_ns - cutoff_ns) // WEEK_NS, (period.end_ns - cutoff_ns) // WEEK_NS
    table = np.zeros((max(0, weeks - begin), len(screened.weeks)))
    for column, number in enumerate(sorted(screened.weeks)):
        at, r = screened.weeks[number]
        whole = at < weeks  # of the last week only a part was looked at
        table[at[whole] - begin, column] = r[whole]
    found = reality_check(
        table, seed=testing.seed, variant=testing.reality_check, resamples=min(testing.resamples, _MOST_RESAMPLES)
    )
    return None if found is None else asdict(found)
