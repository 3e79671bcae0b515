"""The journal: what the digest follows and what it does not."""

import itertools
from enum import Enum

import pytest

from src.core.errors import InternalError
from src.core.journal import ACCOUNT_STREAM, FIELDS, Journal, JournalRecord, encode

Line = tuple[int, str, str, str, tuple[object, ...]]

LINES: list[Line] = [
    (1, "AAA", "refusal", "worker:AAA", ("book", "k1", "margin")),
    (1, "AAA", "refusal", "worker:AAA", ("book", "k2", "margin")),
    (1, "BBB", "protect", "worker:BBB", ("p", 1.5, None, "stop")),
    (1, ACCOUNT_STREAM, "account", "broker", (1000.0,)),
    (2, "BBB", "participant", "worker:BBB", ("left", 7, "")),
]


def digest(lines: list[Line], settle_at: tuple[int, ...] = ()) -> str:
    """The digest over lines in the order of recording, settled on the way before the given instants."""
    journal = Journal()
    for instant, stream, kind, participant, values in lines:
        for at in settle_at:
            if instant >= at:
                journal.settle(at)
        journal.record(instant, stream, kind, participant, *values)
    return journal.close()


def test_the_digest_does_not_follow_the_order_of_streams_inside_an_instant() -> None:
    """Every interleaving that keeps the order inside each stream gives the same digest."""
    first, second, *others = LINES[:4]
    digests = set()
    for order in itertools.permutations([first, second, *others]):
        if order.index(first) < order.index(second):
            digests.add(digest([*order, LINES[4]]))

    assert len(digests) == 1


def test_the_digest_follows_the_order_inside_a_stream() -> None:
    """Two records of one symbol at one instant are two outcomes in an order."""
    assert digest([LINES[1], LINES[0], *LINES[2:]]) != digest(LINES)


@pytest.mark.parametrize(
    "changed",
    [
        (2, *LINES[2][1:]),
        (1, "CCC", *LINES[2][2:]),
        (*LINES[2][:3], "monitor", LINES[2][4]),
        (*LINES[2][:4], ("p", 1.5000000000000002, None, "stop")),
        (*LINES[2][:4], ("p", 1.5, 0.0, "stop")),
    ],
)
def test_the_digest_follows_every_change_of_an_outcome(changed: Line) -> None:
    """Instant, stream, participant and the last bit of each value are in it."""
    assert digest([*LINES[:2], changed, *LINES[3:]]) != digest(LINES)


def test_a_missing_or_additional_record_changes_the_digest() -> None:
    """Nothing is optional."""
    digests = [digest(LINES), digest(LINES[:-1]), digest([*LINES, LINES[-1]]), digest([])]

    assert len(set(digests)) == 4
    assert {len(each) for each in digests} == {64}


def test_settling_on_the_way_changes_nothing() -> None:
    """Finishing the instants before now is the same as finishing all at the end."""
    assert digest(LINES, settle_at=(1, 2)) == digest(LINES)


def test_records_reach_the_sink_in_digest_order_and_only_when_their_instant_is_over() -> None:
    """By instant, then by stream, then in the order of recording."""
    sunk: list[JournalRecord] = []
    journal = Journal(sunk.extend)
    for line in (LINES[3], LINES[2], LINES[0], LINES[1], LINES[4]):
        journal.record(line[0], line[1], line[2], line[3], *line[4])
    journal.settle(2)
    before = [(r.instant_ns, r.stream, r.values[1:2]) for r in sunk]
    journal.close()

    assert before == [(1, "AAA", ("k1",)), (1, "AAA", ("k2",)), (1, "BBB", (1.5,)), (1, "account", ())]
    assert (len(sunk), journal.count, len(journal.pending)) == (5, 5, 0)
    assert sunk[-1].fields == (("how", "left"), ("bars", 7), ("error", ""))


def test_a_record_with_the_wrong_number_of_values_is_refused() -> None:
    """A kind has fixed fields, so that a record cannot be read as another one."""
    assert encode(JournalRecord(1, "AAA", "account", "broker", (0.5,))).endswith("0x1.0000000000000p-1")
    for kind, fields in FIELDS.items():
        with pytest.raises(InternalError, match=f"a {kind} record has {len(fields) + 1} values"):
            encode(JournalRecord(1, "AAA", kind, "x", (0,) * (len(fields) + 1)))


def test_separators_inside_a_text_do_not_make_two_journals_equal() -> None:
    """A reason may hold any character; it never passes for two fields or two records."""
    digests = set()
    for book, reason in (("a\x1fb", "c"), ("a", "b\x1fc"), ("a\nb", "c"), ("a", "b\nc"), ("a", "bc")):
        journal = Journal()
        journal.record(1, "X", "refusal", "worker:X", book, reason, "code")
        digests.add(journal.close())

    assert len(digests) == 5


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("worker:AAA", "a\nb"), ("worker:BBB", "a\nb")),
        (("worker:AAA", "a\nb"), ("worker:AAA", r"a\nb")),
        (("worker:AAA", "a\x1fb"), ("worker:AAA", r"a\x1fb")),
    ],
)
def test_texts_with_separators_are_told_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    """A line that has to be escaped still shows its participant, and is not what its escapes spell."""
    first, second = (
        digest([(1, "AAA", "refusal", participant, ("book", "k", code))]) for participant, code in (one, other)
    )

    assert first != second


def test_a_text_is_what_it_holds_whatever_its_class_says_of_itself() -> None:
    """An enumeration of texts counts as its value, alone and beside a record that is encoded the long way."""

    class Reason(str, Enum):  # noqa: UP042 - the other kind of enumeration, whose text is not its value
        ODD = "odd"

    plain: Line = (1, "AAA", "refusal", "w", ("book", "k", "odd"))
    enumerated: Line = (1, "AAA", "refusal", "w", ("book", "k", Reason.ODD))
    beside: Line = (1, "BBB", "refusal", "w", ("book", None, "margin"))

    assert digest([enumerated]) == digest([plain])
    assert digest([enumerated, beside]) == digest([plain, beside])


def test_a_text_without_bytes_in_utf_8_is_hashed_all_the_same() -> None:
    """A lone surrogate, as an odd file name has it, ends no run."""
    assert digest([(1, "AAA", "refusal", "w", ("book", "k", "\udcff"))]) != digest(
        [(1, "AAA", "refusal", "w", ("book", "k", "\udcfe"))]
    )


def test_an_unknown_kind_of_record_is_named() -> None:
    """What was expected is in the sentence."""
    journal = Journal()
    journal.record(1, "AAA", "nonsense", "w", 1)

    with pytest.raises(InternalError, match="'nonsense' is no kind of record; expected one of decision"):
        journal.close()
