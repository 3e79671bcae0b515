"""A recording followed as a script: what is given out, what is checked, and what is said of a difference."""

from typing import Any

import pytest

from src.core.journal import JournalRecord
from src.live.recording import Entry
from src.live.script import ReplayDivergedError, Script, Turn


def script_of(*rows: tuple[str, str, dict[str, Any]]) -> Script:
    """Entries of kind, participant and body, each a nanosecond after the one before."""
    return Script(iter([Entry(n, n + 1, kind, who, body) for n, (kind, who, body) in enumerate(rows)]))


def test_what_is_between_turns_happens_before_the_next_one() -> None:
    """In its order; notes and what belongs to the venue on paper are not seen."""
    script = script_of(
        ("note", "", {"what": "health"}), ("paper", "", {}), ("known", "", {}), ("world", "", {"a": 1}),
        ("command", "", {"verb": "pause"}), ("ended", "", {"why": "x"}), ("turn", "w", {"what": "step"}),
    )  # fmt: skip
    seen: list[Any] = []
    script.handlers.world = lambda body, instant_ns: seen.append((body, instant_ns))
    script.handlers.command = seen.append
    script.handlers.ended = seen.append

    turn = script.next_turn()

    assert turn == Turn(6, 7, "w", "step")
    assert seen == [({"a": 1}, 4), {"verb": "pause"}, "x"]
    assert script.next_turn() is None
    assert script.ended


def test_a_call_waits_for_its_reply() -> None:
    """What became visible with the reply does so before its participant goes on."""
    script = script_of(("call", "w", {"n": 0}), ("turn", "v", {"what": "step"}),
                       ("reply", "w", {"n": 0, "result": 1, "world": {"b": 2}}))  # fmt: skip
    seen: list[Any] = []
    script.handlers.reply_world = lambda body, instant_ns: seen.append(body)

    script.check_call(0, "w", {"n": 0})
    assert list(script.pending) == [0]
    first, second = script.next_turn(), script.next_turn()

    assert first is not None
    assert second is not None
    assert (first.participant, second.participant) == ("v", "w")
    assert second.reply is not None
    assert seen == [{"b": 2}]
    assert not script.pending


@pytest.mark.parametrize(
    ("kind", "body", "act"),
    [
        ("call", {"n": 1}, lambda script: script.check_call(0, "w", {"n": 0})),
        ("call", {"n": 0}, lambda script: script.check_call(0, "another", {"n": 0})),
        ("read", {"asked": ["m", "X", 1.0], "told": 2}, lambda script: script.read("w", ["m", "X", 2.0])),
        ("turn", {"what": "step"}, lambda script: script.read("w", ["m"])),
        ("call", {"n": 0}, lambda script: script.next_turn()),
        ("outcome", {"stream": "s", "kind": "k", "values": [1]},
         lambda script: script.check_outcome(JournalRecord(1, "s", "k", "w", (2,)))),
        ("outcome", {"stream": "s", "kind": "k", "values": [1]},
         lambda script: script.check_outcome(JournalRecord(2, "s", "k", "w", (1,)))),
        ("turn", {"what": "step"}, lambda script: script.check(script.next_turn(), "w", "wait")),
        ("turn", {"what": "step"}, lambda script: script.check(script.next_turn(), "v", "step")),
        ("turn", {"what": "step"}, lambda script: script.check(None, "w", "step")),
    ],
)  # fmt: skip
def test_what_is_done_otherwise_is_told(kind: str, body: dict[str, Any], act: Any) -> None:
    """With what was expected, and what was found."""
    script = script_of((kind, "w", body))

    with pytest.raises(ReplayDivergedError, match="does not do what was recorded") as caught:
        act(script)

    assert caught.value.expected != caught.value.found


def test_what_is_no_number_equals_itself() -> None:
    """A strategy that computes one is refused, and that is replayed like anything else."""
    nan = float("nan")
    script = script_of(
        ("call", "w", {"price": float("nan")}), ("read", "w", {"asked": ["m", float("nan")], "told": 1}),
        ("outcome", "w", {"stream": "s", "kind": "k", "values": [float("nan"), "a"]}),
    )  # fmt: skip

    script.check_call(0, "w", {"price": nan})
    assert script.read("w", ["m", nan]) == 1
    script.check_outcome(JournalRecord(3, "s", "k", "w", (nan, "a")))

    assert script.ended


def test_after_the_end_everything_is_a_difference() -> None:
    """There is nothing to compare with."""
    script = script_of()

    with pytest.raises(ReplayDivergedError, match="the end of the recording"):
        script.check_call(0, "w", {})


def test_the_first_entry_is_applied_before_the_bot_is_made() -> None:
    """Only where it is what was visible."""
    applied: list[Any] = []
    script_of(("turn", "w", {"what": "first"})).apply_first(applied.append)
    assert not applied
    script_of(("world", "", {"a": 1})).apply_first(applied.append)

    assert applied == [{"a": 1}]


def test_what_became_visible_after_the_last_turn_happens_at_the_end() -> None:
    """A replay shows it too."""
    script = script_of(("world", "", {"a": 1}), ("world", "", {"a": 2}))
    seen: list[Any] = []
    script.handlers.world = lambda body, instant_ns: seen.append(body)

    script.finish()

    assert seen == [{"a": 1}, {"a": 2}]
