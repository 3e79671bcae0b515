"""Equal results together, and the spread of their figures."""

from src.research.explore.groups import Observed, Spread, grouped, spread_of
from src.research.explore.schedules import Variant


def observed(digest: str, number: int, outcome: str = "COMPLETED", error: str = "") -> Observed:
    """What a variant came to."""
    variant = Variant(kind="seeded", schedule=f"1:seeded:{number}")
    return Observed(variant=variant, digest=digest, outcome=outcome, error=error, trades=number)


def test_the_references_group_comes_first_then_the_larger_then_the_earlier() -> None:
    """However small the reference's own group is."""
    groups = grouped([observed(digest, i) for i, digest in enumerate("abccdd")])

    assert [(group.first.digest, group.numbers) for group in groups] == [
        ("a", (0,)),
        ("c", (2, 3)),
        ("d", (4, 5)),
        ("b", (1,)),
    ]


def test_runs_that_end_otherwise_are_other_results_whatever_their_digest() -> None:
    """Outcome and type of error count, the words of the error do not."""
    groups = grouped(
        [
            observed("a", 0),
            observed("a", 1, "FAILED", "StrategyError: one"),
            observed("a", 2, "FAILED", "StrategyError: other"),
            observed("a", 3, "FAILED", "DeadlockError: one"),
        ]
    )

    assert [group.numbers for group in groups] == [(0,), (1, 2), (3,)]


def test_the_spread_is_over_the_runs_that_have_the_figure() -> None:
    """And there is none without any."""
    assert spread_of([5.0, None, 1.0, 2.0]) == Spread(low=1.0, median=2.0, high=5.0)
    assert spread_of([None]) is None
