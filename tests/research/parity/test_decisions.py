"""Decisions of a journal: what is read, what is compared, what the digest holds fast."""

from src.core.instrument import Instrument
from src.core.journal import JournalRecord
from src.core.timeframe import SECOND_NS
from src.research.parity.decisions import decision_digest, decisions_of
from tests.research.parity.journals import decided, filled, minute


def _day(delay_ns: int = 0) -> list[JournalRecord]:
    """An entry, its protection and its end, each so much after its bar."""
    return [
        decided(minute(1) + delay_ns, stop=90.0, identity=f"k{delay_ns}"),
        filled(minute(1) + delay_ns, 100.0),
        decided(minute(2) + delay_ns, "protect", identity=f"p{delay_ns}", type="stop", stop=95.0, by="monitor"),
        decided(minute(3) + delay_ns, "close", identity=f"c{delay_ns}", type="exit", reason="time"),
    ]


def test_digest_is_the_same_at_other_milliseconds_and_with_other_ids() -> None:
    """A live run decides a little after the bar, and its ids follow from that instant."""
    assert decision_digest(_day()) == decision_digest(_day(SECOND_NS // 4))


def test_digest_does_not_follow_the_turns_of_independent_streams() -> None:
    """Two symbols that took their turns in another order decided the same."""
    other = decided(minute(1), symbol="BBB")

    assert decision_digest([*_day(), other]) == decision_digest([other, *_day()])


def test_digest_changes_with_any_value_of_a_decision() -> None:
    """A stop, a reason, a verdict or one decision less is another digest."""
    plain = decision_digest(_day())
    changed = [
        [decided(minute(1), stop=90.5, identity="k0"), *_day()[1:]],
        [*_day()[:3], decided(minute(3), "close", identity="c0", type="exit", reason="other")],
        [decided(minute(1), stop=90.0, identity="k0", verdict="max_positions"), *_day()[1:]],
        _day()[:3],
    ]

    assert plain not in {decision_digest(each) for each in changed}


def test_prices_and_volumes_are_compared_as_the_instrument_rounds_them() -> None:
    """What lies between two ticks or two steps is the same as the tick and the step."""
    rule = Instrument(symbol="AAA", kind="spot", quote_currency="USD", tick=0.5, volume_step=0.1)
    exact = [decided(minute(1), stop=90.0, volume=0.3)]
    noisy = [decided(minute(1), stop=90.0000001, volume=0.30000000001)]

    assert decision_digest(exact, {"AAA": rule}) == decision_digest(noisy, {"AAA": rule})
    assert decision_digest(exact) != decision_digest(noisy)


def test_a_change_counts_how_many_came_after_what_it_is_about() -> None:
    """The second newest order is one behind, whatever its id is called."""
    found = decisions_of(
        [
            decided(minute(1), identity="one"), decided(minute(2), identity="two"),
            decided(minute(3), "cancel", identity="one"), decided(minute(4), "cancel", identity="two"),
        ]
    )  # fmt: skip

    assert [each.about for each in found] == [None, None, 1, 0]
    assert [each.ordinal for each in found] == [1, 2, 1, 2]


def test_terms_belong_to_the_decision_before_them() -> None:
    """An order's further terms are a part of what was decided."""
    terms = ("k1", "gtc", None, 2.5, None, None, None, False, False, "quote", "", "")
    plain = decided(minute(1), identity="k1")

    found = decisions_of([plain, JournalRecord(minute(1), "AAA", "terms", "worker:AAA", terms)])

    assert dict(found[0].terms)["trail_distance"] == 2.5
    assert found[0].content != decisions_of([plain])[0].content


def test_a_limit_of_the_account_is_a_decision() -> None:
    """Which limit was reached and what was done counts; the equity does not."""
    records = [JournalRecord(minute(1), "account", "limit", "monitor", ("daily_loss", equity, "flatten"))
               for equity in (9000.0, 9000.5)]  # fmt: skip

    assert decision_digest(records[:1]) == decision_digest(records[1:])
    assert decisions_of(records)[0].action == "flatten"


def test_commands_of_the_operator_count_unless_they_are_left_out() -> None:
    """A backtest has no operator, so its digest is compared without the commands."""
    command = decided(minute(4), "stop", symbol="account", by="operator", book="")

    assert decision_digest([*_day(), command]) != decision_digest(_day())
    assert decision_digest([*_day(), command], commands=False) == decision_digest(_day())
