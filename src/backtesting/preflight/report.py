"""What preflight found: each finding with its severity, code, sentence and the command that mends it.

Plain values; any thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from src.core.errors import PreflightError

__all__ = ["ERROR", "INFO", "WARNING", "Finding", "PreflightReport", "SeriesReport"]

#: A run with one is refused.
ERROR = "error"
WARNING = "warning"
INFO = "info"

_SEVERITIES = (ERROR, WARNING, INFO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that somebody should know before the run.

    Attributes:
        severity: `error`, `warning` or `info`.
        code: which kind, for programs.
        symbol: of which symbol's bars, empty when of the whole run.
        sentence: what was expected and what was found.
        mend: the command that mends it, to be pasted; empty where there is nothing to mend.
    """

    severity: str
    code: str
    symbol: str
    sentence: str
    mend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesReport:
    """The base bars of one symbol as the run would use them.

    Attributes:
        first_ns, last_ns: open of the first and of the last bar.
        expected: bars that the calendar has between them.
        absent: how many of those are not there, spans that were accepted left out.
        longest_ns: open hours of the longest hole that was not accepted, 0 without a hole.
        no_entry: holes across which no market entry is filled.
        accepted: holes that the configuration accepts.
        refused: holes that are too long: from, to, and open hours without a bar, nanoseconds.
        warmup: for each timeframe that is looked back on, in nanoseconds: bars that are needed and bars that are there.
        mapping: for each timeframe, in nanoseconds: its bars, and how many of them have all of their base bars.
    """

    symbol: str
    timeframe_ns: int
    calendar: str
    source: str
    bars: int
    first_ns: int
    last_ns: int
    expected: int
    absent: int
    longest_ns: int
    no_entry: int
    accepted: int
    refused: tuple[tuple[int, int, int], ...]
    warmup: dict[int, tuple[int, int]]
    mapping: dict[int, tuple[int, int]]

    @property
    def absent_share(self) -> float:
        """The share of expected bars that are absent, from 0 to 1."""
        return self.absent / self.expected if self.expected else 0.0

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "SeriesReport":
        """The inverse of `as_dict`."""
        given = {key: item for key, item in value.items() if key != "absent_share"}
        given["refused"] = tuple((one["from_ns"], one["to_ns"], one["open_hours_ns"]) for one in value["refused"])
        given["warmup"] = {int(k): (one["needed"], one["there"]) for k, one in value["warmup"].items()}
        given["mapping"] = {int(k): (one["bars"], one["complete"]) for k, one in value["mapping"].items()}
        return cls(**given)

    def as_dict(self) -> dict[str, Any]:
        """Plain values; the keys of `warmup` and `mapping` are text."""
        return {
            **asdict(self),
            "refused": [{"from_ns": a, "to_ns": b, "open_hours_ns": c} for a, b, c in self.refused],
            "warmup": {str(k): {"needed": need, "there": there} for k, (need, there) in self.warmup.items()},
            "mapping": {str(k): {"bars": bars, "complete": whole} for k, (bars, whole) in self.mapping.items()},
            "absent_share": self.absent_share,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightReport:
    """All findings about a run, worst first within a symbol's order, and its series."""

    findings: tuple[Finding, ...] = ()
    series: tuple[SeriesReport, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings for which a run is refused."""
        return tuple(one for one in self.findings if one.severity == ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that its owner should read."""
        return tuple(one for one in self.findings if one.severity == WARNING)

    def joined(self, findings: Sequence[Finding], series: Sequence[SeriesReport] = ()) -> "PreflightReport":
        """This report and more, errors first."""
        everything = [*self.findings, *findings]
        ordered = [one for severity in _SEVERITIES for one in everything if one.severity == severity]
        return PreflightReport(findings=tuple(ordered), series=(*self.series, *series))

    @classmethod
    def of(cls, error: PreflightError) -> "PreflightReport":
        """The report that a refusal carries; an error of another origin is the only finding."""
        findings = error.details.get("findings")
        if findings is None:
            return cls(findings=(Finding(severity=ERROR, code="refused", symbol="", sentence=error.message),))
        return cls(
            findings=tuple(Finding(**one) for one in findings),
            series=tuple(SeriesReport.from_dict(one) for one in error.details.get("series", [])),
        )

    def refusal(self) -> PreflightError:
        """The error of a run that is refused; it carries the whole report."""
        problems = [one.sentence if not one.mend else f"{one.sentence}\n  mend: {one.mend}" for one in self.errors]
        return PreflightError(
            "\n".join(problems),
            problems=[one.sentence for one in self.errors],
            findings=[asdict(one) for one in self.findings],
            series=[one.as_dict() for one in self.series],
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "passed": not self.errors,
            "findings": [asdict(one) for one in self.findings],
            "series": [one.as_dict() for one in self.series],
        }
