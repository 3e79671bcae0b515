"""What a validation comes to, put together and written down: verdicts, funnel, statistics of survivors.

All of it is a function of the candidates, the configuration and the family. Called by the thread of the validation.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from src.core.record import record
from src.core.words import counted
from src.research.suite.index import write_json
from src.research.validation.family import Family
from src.research.validation.ports import Candidate, Period, PhaseResult, Status, Verdict
from src.research.validation.screen import Screened
from src.research.validation.setup import ValidationSetup
from src.research.validation.sources.port import CandidateSource
from src.research.validation.subject import identity_of
from src.research.validation.survivors import overfitting_of, reality_check_of, sharpes_of
from src.research.validation.verdict_store import ValidationRow, VerdictRow, write_verdicts
from src.research.validation.verdicts import STABILITY, Found, funnel_of, stands, verdicts_of
from src.research.validation.windows_file import write_lines

__all__ = ["Outcome", "about_of", "outcome_of", "written"]

_UNTOLD = "nothing came back of its walk-forward; --resume judges it again"
_LEFT_OUT = "the walk-forward was left out (--no-walkforward), so that nothing is known of it out of sample"


@record
class Outcome:
    """See `ValidationReport`, which has the same words for the same things.

    Attributes:
        notes: what was said of p-values, and of how many.
        complete: whether every candidate has a verdict.
    """

    verdicts: tuple[Verdict, ...]
    candidates: tuple[Candidate, ...]
    windows: Mapping[str, tuple[dict[str, Any], ...]]
    daylight: Mapping[str, tuple[dict[str, Any], ...]]
    sharpes: Mapping[str, dict[str, Any]]
    notes: Mapping[str, int]
    pbo: dict[str, Any] | None
    reality_check: dict[str, Any] | None
    funnel: tuple[tuple[str, int, int, int], ...]
    warnings: tuple[str, ...]
    planted: tuple[int, int] | None
    p_values: Mapping[int, Mapping[str, Any]]
    complete: bool


def outcome_of(
    setup: ValidationSetup, period: Period, candidates: Sequence[Candidate], screened: Screened,
    judged: Iterable[Mapping[str, Any]], broken: Mapping[int, str], family: Family | None, *, walkforward: bool,
) -> Outcome:  # fmt: skip
    """Put together what all phases found out.

    Args:
        judged: what the workers found out, see `judge.judged`, in the order of the candidates.
        broken: the sentences of those that broke in their hands, by number.
        walkforward: whether there was anything for workers to do.
    """
    section = setup.section
    found = {
        each.number: Found(
            phases=screened.phases.get(each.number, ()),
            error=screened.errors.get(each.number) or broken.get(each.number, ""),
        )
        for each in candidates
    }
    windows, daylight, told = dict[str, Any](), dict[str, Any](), set[int]()
    p_values, notes = dict[int, Mapping[str, Any]](), Counter[str]()
    for entry in judged:
        number = entry["number"]
        told.add(number)
        phase = _stability(entry)
        found[number] = Found(phases=(*found[number].phases, phase), p=entry.get("p"))
        if "p" in entry:
            p_values[number] = entry["p"]
            notes.update([entry["p"]["note"]] if entry["p"]["note"] else [])
        if phase.status is Status.PASS:  # only survivors are shown, and no other can be one
            windows[entry["id"]], daylight[entry["id"]] = tuple(entry["windows"]), tuple(entry["daylight"])
    if walkforward:
        found |= {
            number: Found(phases=each.phases, error=_UNTOLD)
            for number, each in found.items()
            if number not in told and each.phases and not each.error and stands(each.phases)
        }
    else:
        left_out = PhaseResult(phase=STABILITY, status=Status.SKIP, reason=_LEFT_OUT)
        found = {
            number: Found(phases=(*each.phases, left_out) if each.phases else (), error=each.error)
            for number, each in found.items()
        }
    testing = section.multiple_testing
    verdicts = verdicts_of(
        candidates, found, family=None if family is None else family.size, method=testing.method, level=testing.level
    )
    passed = {each.candidate_id for each in verdicts if each.status is Status.PASS}
    untold = 0 if section.candidates is None else section.candidates.trials
    tried = len(candidates) + untold if family is None else family.size
    planted = [each.candidate_id for each in candidates if each.planted]
    return Outcome(
        verdicts=verdicts, candidates=tuple(candidates),
        windows={name: windows[name] for name in sorted(passed & windows.keys())},
        daylight={name: daylight[name] for name in sorted(passed & daylight.keys())},
        sharpes=sharpes_of(candidates, passed, screened.shapes, tried),
        notes=dict(sorted(notes.items())), pbo=overfitting_of(screened.blocks),
        reality_check=reality_check_of(section, screened, period), funnel=funnel_of(verdicts),
        warnings=_warnings(verdicts),
        planted=(len(passed.intersection(planted)), len(planted)) if any(
            each.planted is not None for each in candidates
        ) else None,
        p_values=p_values, complete=all(each.status is not Status.ERROR for each in verdicts),
    )  # fmt: skip


def _stability(entry: Mapping[str, Any]) -> PhaseResult:
    return PhaseResult(
        phase=STABILITY, status=Status(entry["status"]), reason=entry["reason"], warning=entry["warning"],
        figures=tuple((name, value) for name, value in entry["figures"]),
    )  # fmt: skip


def _warnings(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """What phases warn of in those that pass, each sentence once with how many it is about."""
    said = Counter(
        f"{result.phase}: {result.warning}"
        for each in verdicts
        if each.status is Status.PASS
        for result in each.phases
        if result.warning
    )
    return tuple(f"{counted(count, 'survivor')}: {sentence}" for sentence, count in sorted(said.items()))


def about_of(setup: ValidationSetup, source: CandidateSource, key: str, family: Family | None) -> dict[str, Any]:
    """What stands in `validation.json`."""
    return {
        "validation_id": identity_of(key, family), "name": setup.section.name,
        "kind": "stability" if family is None else "validation",
        "candidates": {"label": source.label, "identity": source.identity(), "synthetic": source.synthetic},
        "family": None if family is None else {"size": family.size, "hash": family.hash, "untold": family.untold},
        "section": setup.decisive(),
    }  # fmt: skip


def written(
    setup: ValidationSetup, folder: Path, about: Mapping[str, Any], outcome: Outcome, windows: Iterable[dict[str, Any]]
) -> None:
    """Write everything down: two files in the folder, and the verdicts in one transaction.

    Args:
        windows: of all candidates that were judged, in order, see `windows_of`.

    Raises:
        DataError: something cannot be written; the verdicts are as they were.
    """
    write_lines(folder / "windows.jsonl", windows)
    family, testing = about["family"], setup.section.multiple_testing
    row = ValidationRow(
        validation_id=about["validation_id"], name=about["name"], kind=about["kind"], method=testing.method,
        level=testing.level, family_size=None if family is None else family["size"],
        family_hash=None if family is None else family["hash"], cutoff_ns=setup.section.discovery_cutoff_ns,
        synthetic=about["candidates"]["synthetic"],
    )  # fmt: skip
    write_verdicts(setup.database, row, _rows(outcome))
    counts = Counter(each.status.value for each in outcome.verdicts)
    write_json(folder / "validation.json", {**about, "verdicts": dict(sorted(counts.items()))})


def _rows(outcome: Outcome) -> Iterator[VerdictRow]:
    for candidate, verdict in zip(outcome.candidates, outcome.verdicts, strict=True):
        p = outcome.p_values.get(candidate.number)
        figures = {result.phase: dict(result.figures) for result in verdict.phases}
        more = {"p_value": dict(p)} if p is not None else {}
        if candidate.candidate_id in outcome.sharpes:
            more["sharpe_ratios"] = outcome.sharpes[candidate.candidate_id]
        if candidate.planted is not None:
            more["planted"] = {"planted": candidate.planted}
        decided = next((result.phase for result in verdict.phases if result.status is verdict.status), "")
        yield VerdictRow(
            candidate_id=candidate.candidate_id, number=candidate.number, status=verdict.status, reason=verdict.reason,
            phase="" if verdict.status is Status.PASS else decided, p_value=verdict.p_value,
            adjusted=verdict.adjusted, labels=candidate.labels, given=candidate.given,
            figures=tuple((figures | more).items()),
        )  # fmt: skip
