"""The seeded schedule: a pure function of seed, instant and name."""

import itertools

from src.backtesting.schedules.seeded import Seeded


class Named:
    """A candidate with a name and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name


def orders(seed: int, names: list[str], instants: range) -> list[list[str]]:
    """In which order a seeded policy works off the names at each instant."""
    policy, out = Seeded(seed), []
    for now in instants:
        ready = [Named(name) for name in names]
        done = []
        while ready:
            done.append(ready.pop(policy.choose(ready, now)).name)
        out.append(done)
    return out


def test_a_seeded_order_is_a_function_of_the_seed() -> None:
    """Equal seeds give equal orders, other seeds other ones, and every order occurs."""
    names = ["a", "b", "c"]

    assert orders(7, names, range(200)) == orders(7, names, range(200))
    assert orders(7, names, range(200)) != orders(8, names, range(200))
    assert {tuple(order) for order in orders(7, names, range(200))} == set(itertools.permutations(names))


def test_an_idle_participant_more_does_not_reorder_the_others() -> None:
    """The order of two participants does not depend on who else is ready or how often the policy was asked."""
    few, more = orders(7, ["a", "b", "c"], range(100)), orders(7, ["a", "b", "idle", "c"], range(100))

    assert [[name for name in order if name != "idle"] for order in more] == few
