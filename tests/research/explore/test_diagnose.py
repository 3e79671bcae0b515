"""Finding the two turns that decide, in a bot of which only the order of turns is simulated."""

from collections.abc import Callable, Sequence

import pytest

from src.core.journal import JournalRecord
from src.core.rng import stream
from src.research.explore.diagnose import OUTSIDE, Choice, Move, Race, Script, Seen, explain
from src.research.explore.schedules import Variant

NAMES = ("worker:A", "worker:B", "worker:C", "worker:D")
INSTANTS = 40

#: What the order of turns at an instant comes to: records, or nothing.
Rule = Callable[[dict[int, Sequence[str]]], list[tuple[int, str, str]]]


class Toy:
    """Four participants with one turn each at each of forty instants; `rule` makes the journal from the orders."""

    def __init__(self, rule: Rule, seeds: int = 1) -> None:
        self._rule = rule
        self._numbers = stream(seeds, "toy")
        self._schedule = {
            (at, number): self._numbers.randrange(len(NAMES) - number) for at in range(INSTANTS) for number in range(3)
        }
        self.runs = 0

    def run(self, script: Script) -> Seen:
        self.runs += 1
        moves = {(at, number): index for at, number, index in script.moves}
        if script.schedule not in (None, "1:fifo"):
            moves = dict(self._schedule)
        written = NAMES if script.symbols is None else [f"worker:{symbol}" for symbol in script.symbols]
        orders: dict[int, Sequence[str]] = {}
        deviations: list[Move] = []
        choices: list[Choice] = []
        for at in range(INSTANTS):
            ready, order = list(written), []
            while ready:
                number = len(order)
                index = moves.get((at, number), 0) if len(ready) > 1 else 0
                index = index if index < len(ready) else 0
                if index:
                    deviations.append((at, number, index))
                if at == script.watch_ns and len(ready) > 1:
                    choices.append(Choice(instant_ns=at, number=number, names=tuple(ready), index=index))
                order.append(ready.pop(index))
            orders[at] = order
        records = [JournalRecord(at, who[-1], "refusal", who, ("b", "", what)) for at, who, what in self._rule(orders)]
        return Seen(
            key=(repr(sorted(records)), "COMPLETED", ""),
            records=sorted(records),
            deviations=tuple(deviations),
            choices=tuple(choices),
            replay=repr(deviations),
        )


def race_of(toy: Toy, variant: Variant) -> Race | None:
    """What `explain` says of a variant of the toy."""
    reference = toy.run(Script(schedule="1:fifo"))
    return explain(toy.run, reference, variant, [name[-1] for name in NAMES])


SEEDED = Variant(kind="seeded", schedule="1:seeded:1")


@pytest.mark.parametrize("pair", [("worker:A", "worker:B"), ("worker:B", "worker:D"), ("worker:A", "worker:D")])
@pytest.mark.parametrize("seed", range(5))
def test_the_two_turns_whose_order_decides_are_found(pair: tuple[str, str], seed: int) -> None:
    """Whoever else changes places with them, and however often nothing depends on it."""

    def rule(orders: dict[int, Sequence[str]]) -> list[tuple[int, str, str]]:
        first = {at: min(pair, key=order.index) for at, order in orders.items()}
        return [(at, name, "margin") for at, name in first.items() if at % 10 == 3]

    race = race_of(Toy(rule, seed), SEEDED)

    assert race is not None
    assert (race.first, race.second) == pair
    assert race.instant_ns is not None
    assert race.instant_ns % 10 == 3


def test_a_race_whose_effect_shows_later_is_found_at_its_own_instant() -> None:
    """The difference is at 30; the two met at 12."""

    def rule(orders: dict[int, Sequence[str]]) -> list[tuple[int, str, str]]:
        return [(30, min(("worker:B", "worker:C"), key=orders[12].index), "")]

    toys = [Toy(rule, seed) for seed in range(6)]
    races = [race for toy in toys if (race := race_of(toy, SEEDED)) is not None]

    assert races
    assert {(race.first, race.second, race.instant_ns, race.resource) for race in races} == {
        ("worker:B", "worker:C", 12, OUTSIDE)
    }
    assert {race.difference.instant_ns for race in races if race.difference} == {30}


def test_a_result_that_needs_two_swaps_ends_with_a_pair_that_differs_in_one() -> None:
    """Neither swap alone changes anything; the run printed as the twin still has the reference's result."""

    def rule(orders: dict[int, Sequence[str]]) -> list[tuple[int, str, str]]:
        both = all(orders[at].index("worker:B") < orders[at].index("worker:A") for at in (5, 9))
        return [(20, "worker:A", "swapped" if both else "")]

    races = [race for seed in range(12) if (race := race_of(Toy(rule, seed), SEEDED)) is not None]

    assert races
    assert {(race.first, race.second, race.instant_ns) for race in races} == {("worker:A", "worker:B", 9)}


def test_deviations_that_undo_each_other_still_end_with_a_real_pair() -> None:
    """The result flips at every swap, so that more deviations may undo what fewer did."""

    def rule(orders: dict[int, Sequence[str]]) -> list[tuple[int, str, str]]:
        swaps = sum(order.index("worker:B") < order.index("worker:A") for order in orders.values())
        return [(39, "worker:A", str(swaps % 2))]

    races = [race for seed in range(12) if (race := race_of(Toy(rule, seed), SEEDED)) is not None]

    assert races
    assert {(race.first, race.second) for race in races} == {("worker:A", "worker:B")}


def test_the_number_of_runs_grows_with_the_logarithm() -> None:
    """A hundred deviations take no more than two dozen runs."""

    def rule(orders: dict[int, Sequence[str]]) -> list[tuple[int, str, str]]:
        return [(39, min(("worker:B", "worker:C"), key=orders[12].index), "")]

    toy = next(toy for toy in map(lambda seed: Toy(rule, seed), range(9)) if race_of(toy, SEEDED) is not None)

    assert toy.runs <= 24


def test_the_neighbours_in_the_list_of_symbols_that_decide_are_found() -> None:
    """Of an order in which all have moved."""

    def rule(orders: dict[int, Sequence[str]]) -> list[tuple[int, str, str]]:
        return [(7, min(("worker:B", "worker:D"), key=orders[7].index), "max_open_positions")]

    race = race_of(Toy(rule), Variant(kind="order", schedule="1:fifo", symbols=("D", "C", "B", "A")))

    assert race is not None
    assert (race.first, race.second) == ("worker:B", "worker:D")
    assert race.symbols is not None
    assert race.twin_symbols is not None
    assert sum(a != b for a, b in zip(race.symbols, race.twin_symbols, strict=True)) == 2
    assert race.resource == "slot"


def test_a_result_that_does_not_come_again_has_no_race() -> None:
    """When the runs themselves do not repeat, the order of turns is not to blame."""
    results = iter(range(100))

    def rule(orders: dict[int, Sequence[str]]) -> list[tuple[int, str, str]]:
        return [(0, "worker:A", str(next(results)))]

    assert race_of(Toy(rule), SEEDED) is None
