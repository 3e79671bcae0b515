"""What `walkforward --json` gives: the whole of a validation as plain values. Pure; any thread."""

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from src.core.timeframe import format_instant
from src.research.validation.ports import Candidate, Status, Verdict
from src.research.validation.report import ValidationReport

__all__ = ["deciding", "report_text", "statuses", "traded"]


def report_text(report: ValidationReport, more: Mapping[str, Any]) -> Iterator[str]:
    """The same for programs: all candidates, with all figures, as the JSON text of one object, in parts.

    Args:
        more: what else stands at the end of the object.
    """
    family = report.family
    before = {
        "validation": report.name, "validation_id": report.validation_id, "kind": report.kind,
        "outcome": report.outcome, "exit_code": report.exit_code, "synthetic": report.synthetic,
        "source": report.source, "statuses": statuses(report.verdicts), "planted": _planted(report),
        "funnel": [
            {"phase": phase, "in": came, "rejected": rejected, "skipped": skipped, "left": came - rejected - skipped}
            for phase, came, rejected, skipped in report.funnel
        ],
        "discovery_cutoff": None if report.cutoff_ns is None else format_instant(report.cutoff_ns),
        "p_value": report.p_value, "method": report.method, "level": report.level,
        "method_note": report.method_note or None,
        "family": None if family is None else {"size": family.size, "hash": family.hash, "stored": family.stored},
        "overfitting": report.pbo, "reality_check": report.reality_check,
    }  # fmt: skip
    after = {
        "reoptimised": _reoptimised(report.reoptimised), "warnings": report.warnings, "folder": report.folder,
        "database": report.database, "timing": report.timing, **more,
    }  # fmt: skip
    yield f'{_text(before)[:-1]}, "candidates": ['
    for number, pair in enumerate(zip(report.candidates, report.verdicts, strict=True)):
        yield f"{', ' if number else ''}{_text(_candidate(report, *pair))}"
    yield f"], {_text(after)[1:]}"


def _candidate(report: ValidationReport, candidate: Candidate, verdict: Verdict) -> dict[str, Any]:
    name = candidate.candidate_id
    return {
        "candidate_id": name, "status": verdict.status.value, "phase": deciding(verdict) or None,
        "reason": verdict.reason or None, "p_value": verdict.p_value, "adjusted": verdict.adjusted,
        "planted": candidate.planted, "labels": dict(candidate.labels), "given": dict(candidate.given),
        "phases": [
            {
                "phase": each.phase, "status": each.status.value, "reason": each.reason or None,
                "warning": each.warning or None, "figures": dict(each.figures),
            }
            for each in verdict.phases
        ],
        "windows": report.windows.get(name, ()), "daylight": report.daylight.get(name, ()),
        "sharpe": report.sharpes.get(name),
    }  # fmt: skip


def _text(value: Any) -> str:
    return json.dumps(_plain(value), allow_nan=False, ensure_ascii=False)


def deciding(verdict: Verdict) -> str:
    """The phase that the verdict is of: the first that ended as the candidate did; none of one that passes them all."""
    if verdict.status is Status.PASS:
        return ""
    return next((each.phase for each in verdict.phases if each.status is verdict.status), "")


def statuses(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many there are of each status that there is."""
    counts = Counter(each.status for each in verdicts)
    return {status.value: counts[status] for status in Status if counts[status]}


def traded(report: ValidationReport) -> int | None:
    """How many trades were looked at; None where a candidate broke before that was known."""
    total = 0
    for verdict in report.verdicts:
        count = next((dict(each.figures).get("trades") for each in verdict.phases if each.phase == "sample"), None)
        if count is None:
            return None
        total += count
    return total


def _plain(value: Any) -> Any:
    """Only what JSON knows; numbers that are none become null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return value


def _planted(report: ValidationReport) -> dict[str, Any] | None:
    if all(each.planted is None for each in report.candidates):
        return None
    passed = {each.candidate_id for each in report.verdicts if each.status is Status.PASS}
    planted = [each.candidate_id for each in report.candidates if each.planted]
    return {
        "planted": len(planted), "found": [name for name in planted if name in passed],
        "missed": [name for name in planted if name not in passed],
        "not_planted": sorted(passed - set(planted)),
    }  # fmt: skip


def _reoptimised(found: Any) -> dict[str, Any] | None:
    """The windows and where they lead; curve and trades are in the files of its folder."""
    if found is None:
        return None
    names = ("folder", "objective", "efficiency", "without_r", "balance", "final_equity", "currency", "error", "runs")
    told = {name: getattr(found, name) for name in (*names, "known", "failed")}
    return {**told, "windows": [each.as_dict() for each in found.windows]}
