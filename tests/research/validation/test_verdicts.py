"""From phases to verdicts: what fails closed, and a family that never shrinks."""

from collections.abc import Iterator, Mapping, Sequence

from src.research.validation.ports import Candidate, PhaseResult, Status, Verdict
from src.research.validation.verdicts import Found, funnel_of, verdicts_of


def told_of(names: Sequence[str], found: Mapping[int, Found]) -> Iterator[tuple[Candidate, Found | None]]:
    """What is known of candidates with these ids, by number."""
    for number, name in enumerate(names):
        yield Candidate(number=number, candidate_id=name), found.get(number)


def phase(name: str, status: Status = Status.PASS, reason: str = "") -> PhaseResult:
    return PhaseResult(phase=name, status=status, reason=reason)


GOOD = (phase("sample"), phase("years"))
REJECTED = (phase("sample"), phase("years", Status.REJECT, "too few"))
SKIPPED = (phase("sample", Status.SKIP, "no costs"), phase("years"))


def found(p: float | None = None, phases: tuple[PhaseResult, ...] = GOOD, error: str = "") -> Found:
    return Found(phases=phases, p=None if p is None else {"value": p}, error=error)


def told(verdicts: Sequence[Verdict]) -> list[tuple[str, str, float | None]]:
    return [(each.candidate_id, each.status.value, each.p_value) for each in verdicts]


def test_a_rejection_comes_before_a_skip_and_an_error_before_both() -> None:
    """The reason is that of the first phase that decided."""
    both = (*SKIPPED, phase("late", Status.REJECT, "no"), phase("later", Status.REJECT, "never"))
    verdicts = verdicts_of(
        told_of(
            ["a", "b", "c"],
            {0: found(phases=both), 1: found(phases=both, error="broke"), 2: found(phases=SKIPPED)},
        ),
        family=None, method="by", level=0.05,
    )  # fmt: skip

    assert [(each.status.value, each.reason) for each in verdicts] == [
        ("REJECT", "late: no"), ("ERROR", "broke"), ("SKIP", "sample: no costs"),
    ]  # fmt: skip


def test_a_candidate_of_which_nothing_is_known_is_an_error() -> None:
    """Missing fails closed: nobody passes by not being looked at."""
    verdicts = verdicts_of(told_of(["a", "b"], {0: Found()}), family=2, method="by", level=0.05)

    assert told(verdicts) == [("a", "ERROR", 1.0), ("b", "ERROR", 1.0)]


def test_whoever_fails_a_phase_enters_the_family_with_one() -> None:
    """Also with the best p-value of all; and without a p-value nobody passes."""
    verdicts = verdicts_of(
        told_of(
            ["a", "b", "c", "d"],
            {0: found(1e-9, REJECTED), 1: found(1e-9, SKIPPED), 2: found(1e-9, error="x"), 3: found()},
        ),
        family=4, method="bh", level=0.05,
    )  # fmt: skip

    assert told(verdicts) == [("a", "REJECT", 1.0), ("b", "SKIP", 1.0), ("c", "ERROR", 1.0), ("d", "REJECT", 1.0)]


def test_the_same_p_value_passes_in_a_small_family_and_not_in_a_large_one() -> None:
    """Trials that nobody kept count: 0.05 / 10 is above 0.004, 0.05 / 100 is not."""
    small, large = (
        verdicts_of(told_of(["a"], {0: found(0.004)}), family=size, method="bh", level=0.05)[0] for size in (10, 100)
    )

    assert (small.status, small.adjusted) == (Status.PASS, 0.04)
    assert (large.status, large.adjusted) == (Status.REJECT, 0.4)
    assert "100 trials" in large.reason


def test_an_adjusted_p_value_exactly_at_the_level_passes() -> None:
    """At most the level, as the procedure has it."""
    (verdict,) = verdicts_of(told_of(["a"], {0: found(0.005)}), family=10, method="bh", level=0.05)

    assert (verdict.status, verdict.adjusted) == (Status.PASS, 0.05)


def test_without_a_cutoff_nothing_is_said_of_significance() -> None:
    """No p-value, no adjusted one, no such phase."""
    (verdict,) = verdicts_of(told_of(["a"], {0: found()}), family=None, method="by", level=0.05)

    assert (verdict.status, verdict.p_value, verdict.adjusted) == (Status.PASS, None, None)
    assert [each.phase for each in verdict.phases] == ["sample", "years"]


def test_the_funnel_counts_each_candidate_where_it_leaves() -> None:
    """A skip leaves only where nothing rejects; an error is in no phase."""
    verdicts = verdicts_of(
        told_of(
            ["a", "b", "c", "d"],
            {0: found(), 1: found(phases=REJECTED), 2: found(phases=SKIPPED), 3: found(phases=GOOD, error="x")},
        ),
        family=None, method="by", level=0.05,
    )  # fmt: skip

    assert funnel_of(verdicts) == (("sample", 3, 0, 1), ("years", 2, 1, 0))
