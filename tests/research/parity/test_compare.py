"""Two lists of decisions side by side: each difference is found once."""

from collections.abc import Sequence

from src.core.journal import JournalRecord
from src.core.timeframe import SECOND_NS
from src.research.parity.compare import EXTRA, FIELD, MISSING, MOVED, REORDERED, Comparison, compare_decisions
from src.research.parity.decisions import decisions_of
from tests.research.parity.journals import decided, minute


def _compared(
    reference: Sequence[JournalRecord], other: Sequence[JournalRecord], late_ns: int | None = None
) -> Comparison:
    return compare_decisions(decisions_of(reference), decisions_of(other), late_ns=late_ns)


def _trailing(bars: Sequence[int], delay_ns: int = 0) -> list[JournalRecord]:
    """A stop that is moved at each of these bars."""
    return [
        decided(minute(each) + delay_ns, "protect", identity="p", type="trailing", stop=100.0 + each) for each in bars
    ]


def test_equal_runs_have_no_difference_and_their_delays_are_known() -> None:
    """The same decisions a quarter of a second later are the same decisions."""
    found = _compared(_trailing(range(5)), _trailing(range(5), SECOND_NS // 4))

    assert not found.differences
    assert found.delays_ns == (SECOND_NS // 4,) * 5


def test_one_missing_decision_is_one_difference() -> None:
    """What follows it is in line again."""
    found = _compared(_trailing(range(20)), _trailing([each for each in range(20) if each != 7]))

    assert [(each.kind, each.bar_ns) for each in found.differences] == [(MISSING, minute(7))]
    assert len(found.pairs) == 19


def test_one_extra_decision_is_one_difference() -> None:
    """The other way round it is extra."""
    found = _compared(_trailing([each for each in range(20) if each != 7]), _trailing(range(20)))

    assert [(each.kind, each.bar_ns) for each in found.differences] == [(EXTRA, minute(7))]


def test_a_missing_entry_does_not_rename_the_orders_after_it() -> None:
    """A cancellation is about the newest order with and without an older one."""
    last = [decided(minute(5), identity="two"), decided(minute(6), "cancel", identity="two")]

    found = _compared([decided(minute(1), identity="one"), *last], last)

    assert [each.kind for each in found.differences] == [MISSING]


def test_another_value_at_the_same_bar_is_named() -> None:
    """Both sides are shown with the fields that differ."""
    found = _compared([decided(minute(1), stop=90.0)], [decided(minute(1), stop=91.0, volume=2.0)])

    assert [(each.kind, each.fields) for each in found.differences] == [(FIELD, ("volume", "stop"))]


def test_a_refusal_in_one_run_is_a_difference_of_the_verdict() -> None:
    """The decision was made, the risk manager said something else."""
    found = _compared([decided(minute(1))], [decided(minute(1), verdict="max_positions")])

    assert found.differences[0].fields == ("verdict",)


def test_the_same_decision_two_bars_later_has_moved() -> None:
    """It is one difference, not one that is missing and one that is extra."""
    found = _compared([decided(minute(1), stop=90.0)], [decided(minute(3), stop=90.0)])

    assert [(each.kind, each.fields) for each in found.differences] == [(MOVED, ("instant",))]


def test_a_decision_that_is_too_late_inside_its_bar_has_moved() -> None:
    """How late is too late is said by the caller."""
    reference, other = [decided(minute(1))], [decided(minute(1) + 20 * SECOND_NS)]

    assert not _compared(reference, other, 30 * SECOND_NS).differences
    assert [each.kind for each in _compared(reference, other, 10 * SECOND_NS).differences] == [MOVED]


def test_two_decisions_of_one_bar_the_other_way_round_are_reordered() -> None:
    """Nothing is missing, but the order is another one."""
    one, two = decided(minute(1), stop=90.0), decided(minute(1), "close", type="exit")

    found = _compared([one, two], [two, one])

    assert [each.kind for each in found.differences] == [REORDERED]
    assert len(found.pairs) == 1


def test_streams_are_compared_apart() -> None:
    """What is missing in one symbol does not touch another one."""
    both = [decided(minute(each), symbol=symbol) for each in range(5) for symbol in ("AAA", "BBB")]

    found = _compared(both, [each for each in both if (each.stream, each.instant_ns) != ("BBB", minute(2))])

    assert [(each.kind, each.decision.symbol) for each in found.differences] == [(MISSING, "BBB")]
