"""Planted differences between a run and another one: each is found, and sorted by what was planted."""

from collections.abc import Sequence

from src.core.journal import JournalRecord
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.research.parity.causes import Explained, explain
from src.research.parity.compare import compare_decisions
from src.research.parity.decisions import decisions_of
from src.research.parity.seen import evidence_of_journal, evidence_of_recording
from src.testing.worlds import bar_series
from tests.research.parity.journals import Recorder, decided, filled, minute

TICK_NS = SECOND_NS // 4


def _explained(
    reference: Sequence[JournalRecord], one: Recorder, other: Sequence[JournalRecord], two: Recorder
) -> tuple[Explained, ...]:
    """The differences of two recorded runs with their causes."""
    found = compare_decisions(decisions_of(reference), decisions_of(other))
    return explain(found, evidence_of_recording(one.entries, reference), evidence_of_recording(two.entries, other))


def _recorder(closes: Sequence[float], symbols: Sequence[str] = ("AAA",)) -> Recorder:
    made = Recorder()
    for number, close in enumerate(closes):
        for symbol in symbols:
            made.bar(number, close, symbol=symbol)
        for symbol in symbols:
            made.turn(minute(number + 1) + SECOND_NS, f"worker:{symbol}")
    return made


def test_a_changed_bar_is_data() -> None:
    """One close differs, and the entry of that bar is missing."""
    entry = decided(minute(3))

    (found,) = _explained([entry], _recorder([100, 101, 102, 103]), [], _recorder([100, 101, 102.5, 103]))

    assert found.cause == "data"
    assert found.instant_ns == minute(3)
    assert "close 102.0 and 102.5" in found.text


def test_a_bar_that_one_run_never_saw_is_data() -> None:
    """It was absent in one of the runs, which decided a bar later, on the next one."""
    full, partial = _recorder([100, 101, 102, 103]), Recorder()
    for number in (0, 1, 3):
        partial.bar(number, 100 + number)

    (found,) = _explained([decided(minute(3))], full, [decided(minute(4))], partial)

    assert found.difference.kind == "moved"
    assert found.cause == "data"
    assert "alone" in found.text


def test_a_bar_that_was_noted_as_late_is_data() -> None:
    """The note tells of the bar that was not acted on."""
    one, two = _recorder([100, 101]), _recorder([100, 101])
    two.add(minute(2) + 5 * SECOND_NS, "note", what="late_bar", symbol="AAA", open_ns=minute(1))

    (found,) = _explained([decided(minute(2) + 6 * SECOND_NS)], one, [], two)

    assert (found.cause, "came late" in found.text) == ("data", True)


def test_a_changed_bar_that_a_later_decision_agreed_on_is_not_blamed() -> None:
    """After the bar both decided alike; then the fills differ, and so does the stop."""
    one, two = _recorder([100, 101, 102, 103, 104]), _recorder([100, 101.5, 102, 103, 104])
    entry, protect = decided(minute(3), identity="k"), decided(minute(5), "protect", identity="p", stop=99.0)
    changed = decided(minute(5), "protect", identity="p", stop=99.5)
    fills = [filled(minute(3) + SECOND_NS, price) for price in (100.0, 100.5)]

    (found,) = _explained([entry, fills[0], protect], one, [entry, fills[1], changed], two)

    assert found.cause == "fill"
    assert "price 100.0 and 100.5" in found.text


def test_a_late_reply_is_an_acknowledgement() -> None:
    """The entry is the same; its reply took more than a minute, and the protection came a bar late."""
    one, two = _recorder([100, 101, 102, 103]), _recorder([100, 101, 102, 103])
    entry = decided(minute(2), identity="k")
    early = decided(minute(3), "protect", identity="p", stop=99.0)
    late = decided(minute(4), "protect", identity="p", stop=99.0)
    one.call(minute(2), "place", {"request": {"client_id": "k"}})
    two.call(minute(2), "place", {"request": {"client_id": "k"}}, after_ns=70 * SECOND_NS)

    (found,) = _explained([entry, early], one, [entry, late], two)

    assert found.cause == "acknowledgement"
    assert "took 70s" in found.text


def test_a_lost_acknowledgement_is_found_against_a_backtest() -> None:
    """No reply ever came; the backtest, which has no calls, went on and closed."""
    series = bar_series("AAA", [(100.0, 101.0, 99.0, 100.0)] * 5)
    entry, close = decided(minute(2), identity="k"), decided(minute(3), "close", identity="c", type="exit")
    live = decided(minute(2) + SECOND_NS, identity="other")
    two = Recorder()
    two.call(minute(2) + SECOND_NS, "place", {"request": {"client_id": "other"}}, after_ns=None)
    comparison = compare_decisions(decisions_of([entry, close]), decisions_of([live]))

    (found,) = explain(
        comparison, evidence_of_journal([entry, close], [series]), evidence_of_recording(two.entries, [live])
    )

    assert found.cause == "acknowledgement"
    assert "the reply was lost" in found.text


def test_a_replay_that_leaves_its_recording_after_a_lost_reply_is_an_acknowledgement() -> None:
    """Both were told the same, and what both were told is the first thing to look at."""
    one = _recorder([100, 101, 102])
    one.call(minute(2), "place", {"request": {"client_id": "k"}}, error={"type": "BrokerUnavailable", "message": ""})
    entry = decided(minute(2), identity="k")

    (found,) = _explained([entry, decided(minute(3), "close", identity="c")], one, [entry], one)

    assert found.cause == "acknowledgement"


def test_another_order_of_turns_is_schedule() -> None:
    """Two symbols wanted one slot; who went first got it."""
    one, two = Recorder(), Recorder()
    for made, order in ((one, ("AAA", "BBB")), (two, ("BBB", "AAA"))):
        made.bar(0, 100.0)
        made.bar(0, 100.0, symbol="BBB")
        for place, symbol in enumerate(order):
            made.turn(minute(1) + SECOND_NS + place, f"worker:{symbol}")
    at_ns = minute(1) + SECOND_NS
    reference = [decided(at_ns), decided(at_ns + 1, symbol="BBB", verdict="max_positions")]
    other = [decided(at_ns + 1, verdict="max_positions"), decided(at_ns, symbol="BBB")]

    found = _explained(reference, one, other, two)

    assert [each.cause for each in found] == ["schedule", "schedule"]
    assert "worker:AAA, worker:BBB and worker:BBB, worker:AAA" in found[0].text


def test_the_turns_of_a_backtest_are_those_of_the_configuration() -> None:
    """A journal has no turns; participants of one instant go in configured order."""
    two = Recorder()
    two.turn(minute(1) + 1, "worker:BBB")
    two.turn(minute(1) + 2, "worker:AAA")
    reference, other = [decided(minute(1))], [decided(minute(1) + 2, verdict="max_positions")]
    comparison = compare_decisions(decisions_of(reference), decisions_of(other))

    (found,) = explain(
        comparison, evidence_of_journal(reference, order=("worker:AAA", "worker:BBB")),
        evidence_of_recording(two.entries, other),
    )  # fmt: skip

    assert found.cause == "schedule"


def test_another_fill_price_is_fill() -> None:
    """The stop follows the entry's price, which was another one."""
    one = two = _recorder([100, 101, 102])
    entry = decided(minute(1), identity="k")
    stops = [decided(minute(2), "protect", identity="p", stop=price) for price in (100.0, 100.2)]

    (found,) = _explained(
        [entry, filled(minute(1) + TICK_NS, 100.0), stops[0]], one,
        [entry, filled(minute(1) + TICK_NS, 100.2), stops[1]], two,
    )  # fmt: skip

    assert found.cause == "fill"


def test_a_fill_that_came_at_another_time_is_told_in_a_sentence() -> None:
    """It came half a minute later in one direction, and half a minute earlier in the other."""
    one = two = _recorder([100, 101, 102])
    entry = decided(minute(1), identity="k")
    stops = [decided(minute(2), "protect", identity="p", stop=price) for price in (100.0, 100.2)]
    early = [entry, filled(minute(1) + TICK_NS, 100.0), stops[0]]
    late = [entry, filled(minute(1) + TICK_NS + 30 * SECOND_NS, 100.0), stops[1]]

    (later,), (earlier,) = _explained(early, one, late, two), _explained(late, one, early, two)

    assert later.text == "the entry came 30s later"
    assert earlier.text == "the entry came 30s earlier"


def test_a_fill_that_one_run_alone_had_is_fill() -> None:
    """Both placed the order; in one run it was never filled, so nothing had to be closed."""
    one = two = _recorder([100, 101, 102, 103])
    entry = decided(minute(1), identity="k", type="limit", price=99.0)

    (found,) = _explained(
        [entry, filled(minute(2), 99.0), decided(minute(3), "close", identity="c")], one, [entry], two
    )  # fmt: skip

    assert found.cause == "fill"
    assert "reference alone" in found.text


def test_a_slot_that_another_symbol_holds_is_state() -> None:
    """The other symbol entered in one run alone, and for that its bar is the cause."""
    one, two = _recorder([100, 101, 102, 103], ("AAA", "BBB")), _recorder([100, 101, 102, 103], ("AAA", "BBB"))
    two.entries = [_with_close(each, "BBB", minute(0), 99.0) for each in two.entries]
    extra = [decided(minute(1), symbol="BBB"), filled(minute(1) + TICK_NS, 100.0, symbol="BBB")]
    reference, other = [decided(minute(3))], [*extra, decided(minute(3), verdict="max_positions")]

    found = _explained(reference, one, other, two)

    assert [(each.difference.decision.symbol, each.cause) for each in found] == [("BBB", "data"), ("AAA", "state")]
    assert "BBB held 0 and 1" in found[1].text


def test_the_same_decision_a_bar_later_without_any_reason_is_timing() -> None:
    """Everything that was seen and told is the same."""
    one = two = _recorder([100, 101, 102, 103])

    (found,) = _explained([decided(minute(1))], one, [decided(minute(2))], two)

    assert (found.cause, "1m later" in found.text) == ("timing", True)


def test_a_difference_that_nothing_explains_is_unknown() -> None:
    """Then something else than inputs was another one, and that is said."""
    one = two = _recorder([100, 101, 102])

    (found,) = _explained([decided(minute(1))], one, [decided(minute(1), stop=90.0)], two)

    assert found.cause == "unknown"


def _with_close(entry, symbol, open_ns, close):  # type: ignore[no-untyped-def]  # entries are plain values
    """The entry with another close of one bar."""
    if entry.kind == "world":
        for bar in entry.body["bars"]:
            if bar[:3] == [symbol, MINUTE_NS, open_ns]:
                bar[6] = close
    return entry
