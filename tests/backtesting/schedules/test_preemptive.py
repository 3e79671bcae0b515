"""The preemptive schedule: a pure function of seed, instant, names and their counts of preemption points."""

import itertools

from src.backtesting.schedules.preemptive import Preemptive
from tests.backtesting.schedules.candidates import Ready, turns

POINTS = {"a": 3, "b": 3, "c": 3}


def test_a_preemptive_order_is_a_function_of_the_seed() -> None:
    """Equal seeds cut the turns equally, other seeds otherwise, in whatever order the instants are asked for."""
    forwards, backwards, other = Preemptive(7), Preemptive(7), Preemptive(8)
    instants = range(100)

    cuts = {now: turns(forwards, POINTS, now) for now in instants}
    assert cuts == {now: turns(backwards, POINTS, now) for now in reversed(instants)}
    assert cuts != {now: turns(other, POINTS, now) for now in instants}


def test_every_interleaving_of_two_short_turns_occurs() -> None:
    """Nothing that two participants can do to each other is out of reach."""
    policy, points = Preemptive(3), {"a": 2, "b": 2}

    seen = {tuple(turns(policy, points, now)) for now in range(2000)}
    assert seen == set(itertools.permutations(("a", "a", "a", "b", "b", "b")))


def test_long_undisturbed_turns_occur_beside_turns_that_are_cut_to_pieces() -> None:
    """The rate of preemption differs from instant to instant."""
    changes = []
    for now in range(300):
        runs = [name for name, _ in itertools.groupby(turns(Preemptive(5), {"a": 12, "b": 12}, now))]
        changes.append(len(runs))

    assert min(changes) == 2
    assert max(changes) > 10


def test_an_idle_participant_more_does_not_reorder_the_preempted_ones() -> None:
    """A turn that meets no preemption point changes nothing for the others."""
    few = [turns(Preemptive(7), POINTS, now) for now in range(100)]
    more = [turns(Preemptive(7), {"idle": 0, **POINTS}, now) for now in range(100)]

    assert [[name for name in order if name != "idle"] for order in more] == few


def test_the_place_among_the_ready_and_who_asks_do_not_decide() -> None:
    """The same participants with the same counts have the same winner in any order, running or not."""
    policy = Preemptive(11)
    for now in range(50):
        ready = [Ready(name, yields=now % 5) for name in "abcd"]
        winners = {order[policy.choose(order, now)].name for order in itertools.permutations(ready)}
        ready[now % 4].yielding = True
        winners.add(ready[policy.choose(ready, now)].name)

        assert len(winners) == 1
