"""What a comparison found, as rows of tables and as plain values for JSON. Pure; any thread."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from src.core.errors import LockstepError
from src.core.timeframe import SECOND_NS, format_instant
from src.research.parity.causes import CAUSES, Explained, explain
from src.research.parity.compare import Comparison, compare_decisions
from src.research.parity.decisions import Decision
from src.research.parity.fill_errors import FillReport
from src.research.parity.recorded import RunSide

__all__ = [
    "ParityReport",
    "decision_text",
    "difference_rows",
    "fills_as_dict",
    "parity_between",
    "summary_rows",
    "trade_rows",
]

#: The parts of a decision that a table shows, in this order.
_SHOWN = ("side", "type", "volume", "price", "stop", "target")
_MEASURES = ("ticks", "basis_points", "time_ns", "fee")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """Two runs compared.

    Attributes:
        explained: every difference with its cause, by time.
        until_ns: up to when they were compared; None for to their end.
        diverged: why one of them was not followed to its end.
    """

    reference: str
    other: str
    comparison: Comparison
    explained: tuple[Explained, ...]
    until_ns: int | None = None
    diverged: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether both decided the same."""
        return not self.explained and not self.diverged

    @property
    def causes(self) -> dict[str, int]:
        """How many differences have which cause, without those that none has."""
        counts = Counter(each.cause for each in self.explained)
        return {cause: counts[cause] for cause in CAUSES if counts[cause]}

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        delays = self.comparison.delays_ns
        return {
            "reference": self.reference, "other": self.other, "same": self.is_same,
            "decisions": {"reference": self.comparison.reference_count, "other": self.comparison.other_count,
                          "equal": len(self.comparison.pairs)},
            "delay_ns": {"median": median(delays), "worst": max(delays, key=abs)} if delays else None,
            "until_ns": self.until_ns, "diverged": self.diverged or None, "causes": self.causes,
            "differences": [_explained_dict(each) for each in self.explained], "notes": list(self.notes),
        }  # fmt: skip


def parity_between(
    reference: RunSide, other: RunSide, *, frames: dict[str, int], late_ns: int = SECOND_NS,
    diverged: LockstepError | None = None,
) -> ParityReport:  # fmt: skip
    """Compare two runs and sort what differs.

    Args:
        frames: the length of the base bars of each symbol, nanoseconds.
        late_ns: see `explain`.
        diverged: what ended the other run before its time; nothing is compared that came after it.
    """
    until_ns = None if diverged is None else diverged.details.get("instant_ns")
    left, right = _until(reference.decisions, until_ns), _until(other.decisions, until_ns)
    comparison = compare_decisions(left, right, frames=frames)
    return ParityReport(
        reference=reference.name, other=other.name, comparison=comparison,
        explained=explain(comparison, reference.evidence, other.evidence, late_ns), until_ns=until_ns,
        diverged="" if diverged is None else diverged.message,
        notes=tuple(each.note for each in (reference, other) if each.note),
    )  # fmt: skip


def difference_rows(report: ParityReport) -> list[tuple[str, ...]]:
    """A row for each difference: number, bar, symbol, book, what, reference, other, cause."""
    return [
        (
            str(number), format_instant(each.difference.bar_ns), each.difference.decision.symbol,
            each.difference.decision.book, _what(each), decision_text(each.difference.reference),
            decision_text(each.difference.other), each.cause,
        )
        for number, each in enumerate(report.explained, 1)
    ]  # fmt: skip


def decision_text(decision: Decision | None) -> str:
    """`enter buy market 0.5 stop 90`, `-` for none; a verdict that is not `accepted` stands at the end."""
    if decision is None:
        return "-"
    parts = [decision.action]
    for name in _SHOWN:
        value = getattr(decision, name)
        if value is not None:
            named = name in ("price", "stop", "target")
            text = f"{value:.10g}" if isinstance(value, float) else str(value)
            parts.append(f"{name} {text}" if named else text)
    return " ".join([*parts, *([] if decision.verdict == "accepted" else [f"({decision.verdict})"])])


def trade_rows(report: FillReport) -> list[tuple[str, ...]]:
    """A row for each trade: symbol, book, number, executions, unpaired, ticks, basis points, seconds, fee."""
    return [
        (
            each.symbol, each.book, str(each.trade), str(each.fills), str(each.unpaired), _figure(each.ticks),
            _figure(each.basis_points), _figure(each.time_ns / SECOND_NS), _figure(each.fee),
        )
        for each in report.trades
    ]  # fmt: skip


def summary_rows(report: FillReport) -> list[tuple[str, ...]]:
    """Measure, median and worst over the trades."""
    found: list[tuple[str, ...]] = []
    for name in _MEASURES:
        spread = report.spread(name)
        scale = SECOND_NS if name == "time_ns" else 1
        values = [None if each is None else each / scale for each in (spread.median, spread.worst)]
        found.append(("seconds" if name == "time_ns" else name.replace("_", " "), *map(_figure, values)))
    return found


def fills_as_dict(report: FillReport) -> dict[str, Any]:
    """Plain values."""
    return {
        "trades": [asdict(each) for each in report.trades],
        "fills": [asdict(each) for each in report.fills],
        "paired": len(report.paired), "unpaired": len(report.fills) - len(report.paired),
        "resyncs": report.resyncs, "refused": dict(report.refused),
        "summary": {name: asdict(report.spread(name)) for name in _MEASURES},
    }  # fmt: skip


def _until(decisions: Sequence[Decision], until_ns: int | None) -> list[Decision]:
    return [each for each in decisions if until_ns is None or each.instant_ns <= until_ns]


def _what(explained: Explained) -> str:
    difference = explained.difference
    return f"{difference.kind}: {', '.join(difference.fields)}" if difference.fields else difference.kind


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _explained_dict(explained: Explained) -> dict[str, Any]:
    difference = explained.difference
    return {
        "bar_ns": difference.bar_ns, "symbol": difference.decision.symbol, "book": difference.decision.book,
        "kind": difference.kind, "fields": list(difference.fields), "cause": explained.cause,
        "cause_ns": explained.instant_ns, "why": explained.text,
        "reference": _decision_dict(difference.reference), "other": _decision_dict(difference.other),
    }  # fmt: skip


def _decision_dict(decision: Decision | None) -> dict[str, Any] | None:
    if decision is None:
        return None
    found = asdict(decision)
    found["terms"] = {str(name): value for name, value in decision.terms}
    return found
