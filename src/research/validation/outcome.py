"""What a validation comes to, put together and written down: verdicts, funnel, statistics of survivors.

All of it is a function of the candidates, the configuration and the family. Called by the thread of the validation.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from src.core.errors import invariant
from src.core.record import record
from src.core.words import counted
from src.research.suite.index import write_json
from src.research.validation.family import Family
from src.research.validation.packed import packed_values
from src.research.validation.ports import Candidate, Period, PhaseResult, Status, Verdict
from src.research.validation.screen import Screened
from src.research.validation.setup import ValidationSetup
from src.research.validation.sources.port import CandidateSource
from src.research.validation.subject import identity_of
from src.research.validation.survivors import overfitting_of, reality_check_of, sharpes_of
from src.research.validation.verdict_store import ValidationRow, VerdictRow, write_verdicts
from src.research.validation.verdicts import STABILITY, Found, funnel_of, stands, verdicts_of
from src.research.validation.windows_file import write_lines

__all__ = ["STATISTICS", "Outcome", "about_of", "outcome_of", "written"]

#: The file of what was found out of all candidates together.
STATISTICS = "statistics.jsonl"

_UNTOLD = "nothing came back of its walk-forward; --resume judges it again"
_LEFT_OUT = "the walk-forward was left out (--no-walkforward), so that nothing is known of it out of sample"

Entries = Callable[[], Iterable[Mapping[str, Any]]]


@record
class Outcome:
    """See `ValidationReport`, which has the same words for the same things.

    Attributes:
        notes: what was said of p-values, and of how many.
        p_values: as workers tell them, in the order of the candidates; None of those that have none.
        pbo_curve: the ways that `pbo` is made of, see `overfitting.Ways`.
        complete: whether every candidate has a verdict.
    """

    verdicts: Sequence[Verdict]
    candidates: Sequence[Candidate]
    windows: Mapping[str, tuple[dict[str, Any], ...]]
    daylight: Mapping[str, tuple[dict[str, Any], ...]]
    sharpes: Mapping[str, dict[str, Any]]
    notes: Mapping[str, int]
    pbo: dict[str, Any] | None
    pbo_curve: dict[str, Any] | None
    reality_check: dict[str, Any] | None
    funnel: tuple[tuple[str, int, int, int], ...]
    warnings: tuple[str, ...]
    planted: tuple[int, int] | None
    p_values: Sequence[Mapping[str, Any] | None]
    complete: bool


def outcome_of(
    setup: ValidationSetup, period: Period, candidates: Sequence[Candidate], screened: Screened, judged: Entries,
    broken: Mapping[int, str], family: Family | None, *, walkforward: bool,
) -> Outcome:  # fmt: skip
    """Put together what all phases found out.

    Args:
        judged: gives what the workers found out, see `judge.judged`, in the candidates' order, as often as wanted.
        broken: the sentences of those that broke in their hands, by number.
        walkforward: whether there was anything for workers to do.
    """
    section = setup.section
    p_values, notes = packed_values(), Counter[str]()

    def all_found() -> Iterator[tuple[Candidate, Found]]:
        for candidate, phases, entry in _beside(candidates, screened, judged()):
            p = None if entry is None else entry.get("p")
            p_values.append(p)
            notes.update([p["note"]] if p is not None and p["note"] else [])
            error = screened.errors.get(candidate.number) or broken.get(candidate.number, "")
            yield candidate, _found(phases, entry, error, walkforward=walkforward)

    testing = section.multiple_testing
    verdicts = verdicts_of(
        all_found(), family=None if family is None else family.size, method=testing.method, level=testing.level
    )
    passed, complete, warnings = _looked_through(verdicts)
    # Only survivors are shown.
    survivors = {each["id"]: each for each in judged() if each["id"] in passed} if passed else {}
    untold = 0 if section.candidates is None else section.candidates.trials
    tried = len(candidates) + untold if family is None else family.size
    planted = [each.candidate_id for each in candidates if each.planted]
    pbo, pbo_curve = overfitting_of(screened.blocks)
    return Outcome(
        verdicts=verdicts, candidates=candidates,
        windows={name: tuple(each["windows"]) for name, each in sorted(survivors.items())},
        daylight={name: tuple(each["daylight"]) for name, each in sorted(survivors.items())},
        sharpes=sharpes_of(candidates, passed, screened.shapes, screened.sharpes, tried),
        notes=dict(sorted(notes.items())), pbo=pbo, pbo_curve=pbo_curve,
        reality_check=reality_check_of(section, screened, period), funnel=funnel_of(verdicts), warnings=warnings,
        planted=(len(passed.intersection(planted)), len(planted)) if any(
            each.planted is not None for each in candidates
        ) else None,
        p_values=p_values, complete=complete,
    )  # fmt: skip


def _beside(
    candidates: Sequence[Candidate], screened: Screened, judged: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[Candidate, tuple[PhaseResult, ...], Mapping[str, Any] | None]]:
    """Each candidate with its cheap phases and what a worker found out of it."""
    entries = iter(judged)
    entry = next(entries, None)
    for candidate, phases in zip(candidates, screened.phases, strict=True):
        if entry is not None and entry["number"] == candidate.number:
            yield candidate, phases, entry
            entry = next(entries, None)
        else:
            yield candidate, phases, None
    invariant(entry is None, "what was judged does not come in the order of the candidates")


def _found(
    phases: tuple[PhaseResult, ...], entry: Mapping[str, Any] | None, error: str, *, walkforward: bool
) -> Found:  # fmt: skip
    if entry is not None:
        return Found(phases=(*phases, _stability(entry)), p=entry.get("p"))
    if not walkforward:
        left_out = PhaseResult(phase=STABILITY, status=Status.SKIP, reason=_LEFT_OUT)
        return Found(phases=(*phases, left_out) if phases else (), error=error)
    untold = bool(phases) and not error and stands(phases)
    return Found(phases=phases, error=_UNTOLD if untold else error)


def _stability(entry: Mapping[str, Any]) -> PhaseResult:
    return PhaseResult(
        phase=STABILITY, status=Status(entry["status"]), reason=entry["reason"], warning=entry["warning"],
        figures=tuple((name, value) for name, value in entry["figures"]),
    )  # fmt: skip


def _looked_through(verdicts: Iterable[Verdict]) -> tuple[set[str], bool, tuple[str, ...]]:
    """Which candidates pass, whether each has a verdict, and what phases warn of in those that pass: each sentence once
    with how many it is about."""
    passed, complete, said = set[str](), True, Counter[str]()
    for each in verdicts:
        complete = complete and each.status is not Status.ERROR
        if each.status is Status.PASS:
            passed.add(each.candidate_id)
            said.update(f"{result.phase}: {result.warning}" for result in each.phases if result.warning)
    told = tuple(f"{counted(count, 'survivor')}: {sentence}" for sentence, count in sorted(said.items()))
    return passed, complete, told


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
    setup: ValidationSetup, folder: Path, about: Mapping[str, Any], outcome: Outcome, windows: Iterable[dict[str, Any]],
    more: Iterable[dict[str, Any]] = (),
) -> None:  # fmt: skip
    """Write everything down: three files in the folder, and the verdicts in one transaction.

    Args:
        windows: of all candidates that were judged, in order, see `windows_of`.
        more: further lines for the file of what was found out of all together, each with its `kind`.

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
    write_lines(folder / STATISTICS, chain(_statistics(outcome), more))
    write_json(folder / "validation.json", {**about, "verdicts": dict(sorted(counts.items()))})


def _statistics(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """What was found out of all candidates together, a line for each kind; what is not defined has none."""
    yield {"kind": "notes", "notes": dict(outcome.notes), "warnings": list(outcome.warnings)}
    if outcome.pbo is not None:
        yield {"kind": "overfitting", **outcome.pbo, "ways": outcome.pbo_curve}
    if outcome.reality_check is not None:
        yield {"kind": "reality_check", **outcome.reality_check}
    for name, sessions in outcome.daylight.items():
        yield {"kind": "daylight", "candidate": name, "sessions": list(sessions)}


def _rows(outcome: Outcome) -> Iterator[VerdictRow]:
    for candidate, verdict, p in zip(outcome.candidates, outcome.verdicts, outcome.p_values, strict=True):
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
