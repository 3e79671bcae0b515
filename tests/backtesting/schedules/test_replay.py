"""Recording the decisions of a policy and making them again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.backtesting.schedules import EndChecked, policy_named
from src.backtesting.schedules.recording import Recording
from src.core.errors import ConfigError
from tests.backtesting.schedules.candidates import Ready, orders, turns

MINUTE = 60 * 10**9
STRANGE = "recorded from another configuration or version"


@pytest.mark.parametrize("name", ["fifo", "seeded", "preemptive"])
@given(worlds=st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 4), min_size=1), max_size=12))
def test_a_replay_decides_as_the_recorded_policy_did(name: str, worlds: list[dict[str, int]]) -> None:
    """Turn for turn, also where turns were cut short; and once more with the same policy object."""
    policy = policy_named(name, 5)
    if not policy.preempts:
        worlds = [dict.fromkeys(world, 0) for world in worlds]
    recording = Recording(policy)
    expected = [turns(recording, world, now) for now, world in enumerate(worlds)]

    replay = policy_named(recording.replay_string(), 99)
    for _ in range(2):
        assert [turns(replay, world, now) for now, world in enumerate(worlds)] == expected
        if isinstance(replay, EndChecked):
            replay.finish()


def test_recording_changes_nothing() -> None:
    """The recorded policy decides, and its description is that of the run."""
    names, instants = ["a", "b", "c", "d"], range(50)
    recording = Recording(policy_named("seeded", 3))

    assert orders(recording, names, instants) == orders(policy_named("seeded", 3), names, instants)
    assert (recording.describe(), recording.preempts, recording.in_order) == ("1:seeded:3", False, False)


def test_only_deviations_are_recorded() -> None:
    """What falls as in `fifo` costs nothing: at a preemption point that is the running participant."""
    recording = Recording(policy_named("1:yields:2m@1.0", 1))
    ready = [Ready("a"), Ready("b"), Ready("c", yields=1, yielding=True)]

    chosen = [recording.choose(ready, now * MINUTE) for now in (1, 1, 2, 2, 2, 3)]
    assert chosen == [2, 2, 2, 0, 2, 2]
    assert recording.replay_string() == "1:yields:2m@1.0"
    recording.finish()


def test_a_recording_of_fifo_is_fifo() -> None:
    """No deviation, no string of its own."""
    recording = Recording(policy_named("fifo", 1))
    orders(recording, ["a", "b", "c"], range(5))

    assert recording.replay_string() == "1:fifo"


def test_a_recording_starts_anew_with_the_next_run() -> None:
    """Time that goes back belongs to another run."""
    recording = Recording(policy_named("seeded", 3))
    orders(recording, ["a", "b", "c"], range(20, 40))
    orders(recording, ["a", "b", "c"], range(10))
    alone = Recording(policy_named("seeded", 3))
    orders(alone, ["a", "b", "c"], range(10))

    assert recording.replay_string() == alone.replay_string()


@pytest.mark.parametrize(
    ("text", "decisions", "found"),
    [
        ("2m@0.3", [(2, 3)], "only 3 ready participants"),
        ("2m@1.1", [(2, 2), (3, 2)], "comes to no such decision"),
        ("2m@0.1", [(3, 2)], "comes to no such decision"),
    ],
)
def test_a_replay_of_something_else_is_refused(text: str, decisions: list[tuple[int, int]], found: str) -> None:
    """Where a recorded decision does not exist, nobody guesses another one."""
    policy = policy_named(f"1:turns:{text}", 1)
    *before, (minute, count) = decisions
    for earlier, ready in before:
        policy.choose([Ready(str(i)) for i in range(ready)], earlier * MINUTE)
    with pytest.raises(ConfigError, match=f"{STRANGE}: it deviates from fifo at 1970-01-01 00:02:00Z.*{found}"):
        policy.choose([Ready(str(i)) for i in range(count)], minute * MINUTE)


def test_a_recorded_preemption_that_is_none_is_refused() -> None:
    """The index of the one that would go on anyway was not recorded in this run."""
    policy = policy_named("1:yields:2m@0.1", 1)
    with pytest.raises(ConfigError, match=f"{STRANGE}.*in this run that is none"):
        policy.choose([Ready("a"), Ready("b", yields=1, yielding=True)], 2 * MINUTE)


def test_decisions_that_a_run_never_came_to_are_refused_at_its_end() -> None:
    """A replay that had no effect does not pass for one."""
    policy = policy_named("1:turns:2m@0.1_1m@0.1", 1)
    policy.choose([Ready("a"), Ready("b")], 2 * MINUTE)
    with pytest.raises(ConfigError, match=f"{STRANGE}.*00:03:00Z"):
        Recording(policy).finish()
