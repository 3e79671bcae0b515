"""The cheap phases of all candidates, one after the other in one process, over trades that stream by.

Nothing is kept of a candidate but what its phases found out and a few numbers for the statistics of survivors. A
candidate that breaks fails alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from src.core.bars import FloatArray, IntArray
from src.core.timeframe import DAY_NS
from src.research.validation.judge import why_broken
from src.research.validation.overfitting import OverfittingBlocks
from src.research.validation.phases import cheap_phases
from src.research.validation.ports import Candidate, CandidateTrades, Period, PhaseResult
from src.research.validation.pvalues import by_day, day_sums
from src.research.validation.section import ValidationSection
from src.research.validation.sharpe_ratios import SharpeShape, sharpe_shape
from src.research.validation.windows import entered_in

__all__ = ["WEEK_NS", "Screened", "screen"]

WEEK_NS = 7 * DAY_NS
#: The time is cut into so many blocks to ask how the best of one half does in the other: 924 ways to choose six.
_BLOCKS = 12


@dataclass(slots=True, kw_only=True)
class Screened:
    """What the cheap phases came to, by the candidates' numbers.

    Attributes:
        shapes: of the net R of the days on which trades were entered, after the cut-off where there is one; None
            where too few or all equal.
        blocks: net R by day of all candidates that did not break; None where the period is too short to be cut.
        weeks: net R in the weeks after the cut-off, only where a reality check is to be made of them.
    """

    phases: dict[int, tuple[PhaseResult, ...]] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    shapes: dict[int, SharpeShape | None] = field(default_factory=dict)
    blocks: OverfittingBlocks | None = None
    weeks: dict[int, tuple[IntArray, FloatArray]] = field(default_factory=dict)


def screen(
    candidates: Iterable[tuple[Candidate, CandidateTrades]], section: ValidationSection, period: Period, *,
    waivers: bool,
) -> Screened:  # fmt: skip
    """Put candidates through the cheap phases.

    Args:
        waivers: whether dormant years are waived.
    """
    first = period.start_ns // DAY_NS
    days = (period.end_ns - 1) // DAY_NS - first + 1
    found = Screened(blocks=OverfittingBlocks(days, _BLOCKS) if days >= _BLOCKS else None)
    wanted = section.multiple_testing.reality_check is not None and section.discovery_cutoff_ns is not None
    for candidate, trades in candidates:
        number = candidate.number
        try:
            inside = entered_in(trades, period)
            phases = cheap_phases(inside, section.phases, period, waivers=waivers)
            at, sums = by_day(inside.r_net, inside.entry_ns // DAY_NS)
            found.shapes[number] = _shape(inside, at, sums, section.discovery_cutoff_ns)
            if found.blocks is not None:
                found.blocks.add(at - first, sums)
            if wanted:
                found.weeks[number] = _weeks(inside, section.discovery_cutoff_ns or 0)
            found.phases[number] = phases
        except MemoryError:
            raise
        except Exception as error:
            found.errors[number] = why_broken(error)
    return found


def _weeks(trades: CandidateTrades, cutoff_ns: int) -> tuple[IntArray, FloatArray]:
    """The weeks after the cut-off with trades, from 0, and the net R of each."""
    begin = int(np.searchsorted(trades.entry_ns, cutoff_ns))
    weeks = (trades.entry_ns[begin:] - cutoff_ns) // WEEK_NS
    return np.unique(weeks), day_sums(trades.r_net[begin:], weeks)


def _shape(
    trades: CandidateTrades, days: IntArray, sums: FloatArray, cutoff_ns: int | None
) -> SharpeShape | None:  # fmt: skip
    if cutoff_ns is None:
        return sharpe_shape(sums)
    if cutoff_ns % DAY_NS == 0:  # no day lies on both sides
        return sharpe_shape(sums[np.searchsorted(days, cutoff_ns // DAY_NS) :])
    begin = int(np.searchsorted(trades.entry_ns, cutoff_ns))
    return sharpe_shape(day_sums(trades.r_net[begin:], trades.entry_ns[begin:] // DAY_NS))
