"""From what the phases found out to verdicts, over a family of hypotheses that never shrinks. Pure; any thread."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from src.core.record import record
from src.research.validation.false_discovery import Method, adjusted
from src.research.validation.figures import figure
from src.research.validation.packed import packed_verdicts
from src.research.validation.ports import Candidate, PhaseResult, Status, Verdict

__all__ = ["SIGNIFICANCE", "STABILITY", "Found", "funnel_of", "stands", "verdicts_of"]

STABILITY, SIGNIFICANCE = "stability", "significance"
#: What is said of a candidate that was never heard of, which cannot happen and must not pass.
_NOTHING = "nothing was found out about it"


@record
class Found:
    """What was found out about one candidate.

    Attributes:
        phases: all results, in the order of the phases.
        p: the p-value of its trades after the cut-off as the worker tells it; None without one.
        error: why it broke; empty if it did not.
    """

    phases: tuple[PhaseResult, ...] = ()
    p: Mapping[str, Any] | None = None
    error: str = ""


def stands(phases: Sequence[PhaseResult]) -> bool:
    """Whether no phase rejects it."""
    return all(each.status is not Status.REJECT for each in phases)


def verdicts_of(
    found: Iterable[tuple[Candidate, Found | None]], *, family: int | None, method: Method, level: float
) -> Sequence[Verdict]:
    """The verdicts, in the order of the candidates; packed, so that thousands of them take little memory.

    Args:
        found: what is known of each candidate, None if it is nothing; gone through once, and none is kept.
        family: how many hypotheses there are; None without a cut-off, when nothing is said of significance.
    """
    first, p = packed_verdicts(), array("d")
    for candidate, each in found:
        verdict = _verdict(candidate, each)
        first.append(verdict)
        p.append(_p_value(verdict, each))
    if family is None:
        return first
    last = packed_verdicts()
    for verdict, value, corrected in zip(first, p, adjusted(p, family, method), strict=True):
        last.append(_judged(verdict, value, figure(corrected), family, method, level))
    return last


def _verdict(candidate: Candidate, found: Found | None) -> Verdict:
    """What the phases alone say."""
    if found is None or (not found.error and not found.phases):
        found = Found(error=_NOTHING)
    status, reason = Status.PASS, ""
    for wanted in (Status.REJECT, Status.SKIP):
        decided = next((each for each in found.phases if each.status is wanted), None)
        if decided is not None:
            status, reason = wanted, f"{decided.phase}: {decided.reason}"
            break
    if found.error:
        status, reason = Status.ERROR, found.error
    return Verdict(candidate_id=candidate.candidate_id, status=status, reason=reason, phases=found.phases)


def _p_value(verdict: Verdict, found: Found | None) -> float:
    """What enters the family: 1 for whoever has failed or could not be asked."""
    if verdict.status is not Status.PASS or found is None or found.p is None:
        return 1.0
    return float(found.p["value"])


def _judged(
    verdict: Verdict, p: float, corrected: float | None, family: int, method: str, level: float
) -> Verdict:  # fmt: skip
    """The verdict with what the whole family makes of it."""
    verdict = replace(verdict, p_value=figure(p), adjusted=corrected)
    if verdict.status is not Status.PASS:
        return verdict
    figures = (("p", figure(p)), ("adjusted", corrected), ("family", family))
    if corrected is not None and corrected <= level:
        result = PhaseResult(phase=SIGNIFICANCE, status=Status.PASS, figures=figures)
        return replace(verdict, phases=(*verdict.phases, result))
    reason = (
        f"expected a p-value of at most {level:g} after the correction for {family:,} trials ({method}), found "
        f"{1.0 if corrected is None else corrected:.3g} (before it {p:.3g})"
    )
    result = PhaseResult(phase=SIGNIFICANCE, status=Status.REJECT, reason=reason, figures=figures)
    return replace(verdict, status=Status.REJECT, reason=f"{SIGNIFICANCE}: {reason}", phases=(*verdict.phases, result))


def funnel_of(verdicts: Iterable[Verdict]) -> tuple[tuple[str, int, int, int], ...]:
    """For each phase in order: how many came to it, how many it rejected, and how many it could not judge.

    A candidate leaves at the phase that rejects it first, or, where none does, at the first one that had to be left
    out. One that broke comes to no phase.
    """
    order: dict[str, None] = {}
    leave: Counter[tuple[str | None, Status]] = Counter()
    for each in verdicts:
        order.update(dict.fromkeys(result.phase for result in each.phases))
        if each.status is not Status.ERROR:
            at = next((result.phase for result in each.phases if result.status is each.status), None)
            leave[None if each.status is Status.PASS else at, each.status] += 1
    left, told = leave.total(), []
    for phase in order:
        rejected, skipped = leave[phase, Status.REJECT], leave[phase, Status.SKIP]
        told.append((phase, left, rejected, skipped))
        left -= rejected + skipped
    return tuple(told)
