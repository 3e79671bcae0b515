"""What a validation tells while it runs, and what it came to. Plain values; any thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from src.core.record import record
from src.research.validation.family import Family
from src.research.validation.ports import Candidate, Status, Verdict

__all__ = ["Prepared", "Timing", "ValidationReport", "ValidationWatch"]


@record
class Prepared:
    """What is known when the cheap phases are over.

    Attributes:
        folder: of the validation; None when nothing is written.
        survivors: so many candidates are left for the walk-forward.
        skipped: so many of them some phase could not judge, so that they cannot pass.
        known: so many of them were judged by an earlier attempt.
        dropped: so many were judged by an earlier attempt and are judged again.
        family_size: None without a cut-off.
        family_stored: whether an earlier start has fixed it.
        counted: what is done one by one: candidates, or the runs of one that chooses its parameters again.
    """

    name: str
    folder: Path | None
    candidates: int
    trades: int
    source: str
    synthetic: bool
    survivors: int
    known: int
    dropped: int
    workers: int
    family_size: int | None
    family_stored: bool
    counted: str = "candidate"
    skipped: int = 0


class ValidationWatch(Protocol):
    """Told of what a validation does, in its thread."""

    def prepared(self, about: Prepared) -> None:
        """The cheap phases are over."""
        ...

    def done(self, done: int, failed: int, total: int) -> None:
        """So many candidates have been through the walk-forward."""
        ...


@record
class Timing:
    """Real durations in seconds; nothing of it enters a result.

    Attributes:
        cheap_seconds: of the cheap phases of all candidates.
        walkforward_seconds: from the first candidate that is given to a worker to the last that is told of.
        sum_seconds: what the workers say they were busy, added up.
        speed_up: by how much the walk-forward was done sooner than one candidate at a time, against a sample that was
            judged so; None without one.
    """

    wall_seconds: float
    cheap_seconds: float
    walkforward_seconds: float
    sum_seconds: float
    speed_up: float | None
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationReport:
    """What a validation came to.

    Attributes:
        kind: `validation` with a discovery cut-off, else `stability`, which says nothing of false discoveries.
        verdicts, candidates: by id, in the same order. Both may be made anew whenever somebody looks at them.
        windows, daylight, sharpes: of those that pass, by id.
        family: None without a cut-off.
        method_note: what the correction and the p-value assume; empty if nothing is to be said.
        pbo: the probability of backtest overfitting and what belongs to it; None where it is not defined.
        reality_check: whether the best of all is better than none; None where nobody asked.
        funnel: for each phase in order how many candidates came to it, were rejected by it, and could not be asked.
        planted: of generated candidates how many of those with an edge pass, and how many there are.
        reoptimised: what became of the windows whose parameters were chosen; None for candidates from elsewhere.
    """

    name: str
    validation_id: str
    kind: str
    folder: Path | None
    database: Path | None
    synthetic: bool
    source: str
    verdicts: Sequence[Verdict]
    candidates: Sequence[Candidate]
    windows: Mapping[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    daylight: Mapping[str, tuple[dict[str, Any], ...]] = field(default_factory=dict)
    sharpes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    family: Family | None = None
    method: str
    level: float
    p_value: str
    cutoff_ns: int | None
    method_note: str = ""
    pbo: dict[str, Any] | None = None
    reality_check: dict[str, Any] | None = None
    funnel: tuple[tuple[str, int, int, int], ...] = ()
    warnings: tuple[str, ...] = ()
    timing: Timing
    planted: tuple[int, int] | None = None
    reoptimised: Any = None

    @property
    def outcome(self) -> str:
        """FAILED when any candidate is left without a verdict."""
        return "FAILED" if any(each.status is Status.ERROR for each in self.verdicts) else "COMPLETED"

    @property
    def exit_code(self) -> int:
        """1 when any candidate is left without a verdict, else 0."""
        return 1 if self.outcome == "FAILED" else 0
