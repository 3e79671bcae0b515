"""What is kept of thousands of verdicts to be shown: those that pass, and the first few of every other kind.

Pure; any thread.
"""

import math
from dataclasses import dataclass, field

from src.cli.walkforward_result import deciding
from src.research.validation.ports import Candidate, Status, Verdict
from src.research.validation.report import ValidationReport

__all__ = ["Group", "SortedOut", "sorted_out"]


@dataclass(slots=True)
class Group:
    """Verdicts of one kind: how many there are, and the first of them."""

    count: int = 0
    first: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict, most: int) -> None:
        """One more, kept if it is one of so many."""
        self.count += 1
        if len(self.first) < most:
            self.first.append(verdict)


@dataclass(slots=True)
class SortedOut:
    """The verdicts that are shown, with their candidates; of thousands of others only how many there are.

    Attributes:
        others: those that are rejected or could not be judged, by status and deciding phase.
    """

    passed: list[Verdict] = field(default_factory=list)
    others: dict[tuple[str, str], Group] = field(default_factory=dict)
    broken: Group = field(default_factory=Group)
    by_id: dict[str, Candidate] = field(default_factory=dict)


def sorted_out(report: ValidationReport, top: int, errors: int) -> SortedOut:
    """Go through the verdicts once.

    Args:
        top: so many of each kind of others are kept.
        errors: so many of those that broke are.
    """
    found = SortedOut()
    for candidate, each in zip(report.candidates, report.verdicts, strict=True):
        if each.status is Status.PASS:
            found.passed.append(each)
        elif each.status is Status.ERROR:
            found.broken.add(each, errors)
        else:
            group = found.others.setdefault((each.status.value, deciding(each)), Group())
            group.add(each, top)
            if group.count > top:
                continue
        found.by_id[candidate.candidate_id] = candidate
    # Stable: otherwise by id.
    found.passed.sort(key=lambda each: math.inf if each.p_value is None else each.p_value)
    return found
