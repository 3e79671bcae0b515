"""The first event that only one of two journals has, or that both have in another form."""

import pytest

from src.core.journal import JournalRecord
from src.research.explore.differences import Difference, event_text, first_difference

A1 = JournalRecord(1, "AAA", "refusal", "broker", ("book", "k1", "margin"))
B1 = JournalRecord(1, "BBB", "account", "broker", (5.0,))
B2 = JournalRecord(2, "BBB", "account", "broker", (6.0,))
X2 = JournalRecord(2, "BBB", "account", "broker", (float("nan"),))


@pytest.mark.parametrize(
    ("reference", "other", "found"),
    [
        ([A1, B1], [A1, B1], None),
        ([X2], [X2._replace(values=(float("nan"),))], None),
        ([A1, B2], [A1, X2], (B2, X2)),
        ([A1, B1], [B1], (A1, None)),
        ([B1, B2], [A1, B1, B2], (None, A1)),
        ([A1], [A1, B1], (None, B1)),
        ([A1, B1], [A1], (B1, None)),
    ],
)
def test_the_first_difference_names_what_each_side_has(
    reference: list[JournalRecord], other: list[JournalRecord], found: tuple[JournalRecord, JournalRecord] | None
) -> None:
    """An event that one side lacks is not compared with the other side's next one."""
    difference = first_difference(reference, other)

    assert (None if difference is None else (difference.reference, difference.other)) == found


def test_an_event_of_the_broker_belongs_to_the_worker_of_its_symbol() -> None:
    """And a refusal on one side alone tells its code."""
    difference = Difference(reference=None, other=A1)

    assert (difference.participant, difference.code) == ("worker:AAA", "margin")


def test_an_event_reads_as_a_line_without_identities() -> None:
    """When, where, by whom, and what."""
    text = event_text(A1._replace(instant_ns=1_704_067_200_000_000_000))

    assert text == "2024-01-01 00:00:00Z AAA refusal by broker: book book, code margin"
