"""The cheap phases of all candidates, one after the other in one process, over trades that stream by.

Nothing is kept of a candidate but what its phases found out and a few numbers for the statistics of survivors. A
candidate that breaks fails alone.
"""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from src.core.bars import FloatArray, IntArray
from src.core.errors import invariant
from src.core.timeframe import DAY_NS
from src.research.validation.judge import why_broken
from src.research.validation.overfitting import OverfittingBlocks
from src.research.validation.packed import Packed, packed_phases
from src.research.validation.phases import cheap_phases
from src.research.validation.ports import Candidate, CandidateTrades, Period, PhaseResult, Status
from src.research.validation.pvalues import by_day, day_sums
from src.research.validation.section import ValidationSection
from src.research.validation.sharpe_ratios import SharpeShape, sharpe_shape
from src.research.validation.verdicts import stands
from src.research.validation.windows import entered_in

__all__ = ["WEEK_NS", "Screened", "screen"]

WEEK_NS = 7 * DAY_NS
#: The time is cut into so many blocks to ask how the best of one half does in the other: 924 ways to choose six.
_BLOCKS = 12


@dataclass(slots=True, kw_only=True)
class Screened:
    """What the cheap phases came to, by the candidates' numbers.

    Attributes:
        phases: empty of a candidate that broke.
        errors: why the others broke.
        standing: the numbers of those that no phase rejects, in order.
        skipped: how many of those some phase could not judge, so that they cannot pass.
        sharpes: of the net R of the days on which trades were entered, after the cut-off where there is one; NaN where
            there are too few or all are equal.
        shapes: of those that stand what else there is to say of these days.
        blocks: net R by day of all candidates that did not break; None where the period is too short to be cut.
        weeks: net R in the weeks after the cut-off, only where a reality check is to be made of them.
    """

    phases: Packed[tuple[PhaseResult, ...]] = field(default_factory=packed_phases)
    errors: dict[int, str] = field(default_factory=dict)
    standing: "array[int]" = field(default_factory=lambda: array("q"))
    skipped: int = 0
    sharpes: "array[float]" = field(default_factory=lambda: array("d"))
    shapes: dict[int, SharpeShape] = field(default_factory=dict)
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
        invariant(number == len(found.phases), f"candidate {candidate.candidate_id} comes out of its order")
        found.sharpes.append(math.nan)
        told: tuple[PhaseResult, ...] = ()
        try:
            inside = entered_in(trades, period)
            phases = cheap_phases(inside, section.phases, period, waivers=waivers)
            at, sums = by_day(inside.r_net, inside.entry_ns // DAY_NS)
            shape = _shape(inside, at, sums, section.discovery_cutoff_ns)
            if shape is not None:
                found.sharpes[number] = shape.sharpe
            if found.blocks is not None:
                found.blocks.add(at - first, sums)
            if wanted:
                found.weeks[number] = _weeks(inside, section.discovery_cutoff_ns or 0)
            told = phases
            if stands(phases):
                found.standing.append(number)
                found.skipped += any(each.status is Status.SKIP for each in phases)
                if shape is not None:
                    found.shapes[number] = shape
        except MemoryError:
            raise
        except Exception as error:
            found.errors[number] = why_broken(error)
        found.phases.append(told)
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
