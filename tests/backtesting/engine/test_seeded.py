"""The seeded schedule: a pure function of seed, instant and name."""

import itertools

from src.backtesting.schedules.seeded import Seeded
from tests.backtesting.schedules.candidates import orders


def test_a_seeded_order_is_a_function_of_the_seed() -> None:
    """Equal seeds give equal orders, other seeds other ones, and every order occurs."""
    names = ["a", "b", "c"]

    assert orders(Seeded(7), names, range(200)) == orders(Seeded(7), names, range(200))
    assert orders(Seeded(7), names, range(200)) != orders(Seeded(8), names, range(200))
    assert {tuple(order) for order in orders(Seeded(7), names, range(200))} == set(itertools.permutations(names))


def test_an_idle_participant_more_does_not_reorder_the_others() -> None:
    """The order of two participants does not depend on who else is ready or how often the policy was asked."""
    few, more = (orders(Seeded(7), names, range(100)) for names in (["a", "b", "c"], ["a", "b", "idle", "c"]))

    assert [[name for name in order if name != "idle"] for order in more] == few
