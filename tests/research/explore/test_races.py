"""Real bots that race are found out, with both participants and what they raced for; a healthy one is left alone."""

from pathlib import Path

import pytest

from src.research.explore.diagnose import OUTSIDE, Race, Script
from src.research.explore.lab import Lab
from src.research.explore.study import MOST_RUNS, Exploration, explore
from tests.research.explore.bots import HALF_EACH, LITTLE_RISK, TWO_SLOTS, observed_by, write_project

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
WORKERS = {f"worker:{symbol}" for symbol in SYMBOLS}

pytestmark = pytest.mark.slow


def explored(config: Path, count: int) -> tuple[Exploration, list[Race]]:
    """What an exploration of a project finds, and the races in it; each is run again from its own strings."""
    observers, lab = Lab(config, []), Lab(config, [])
    found = explore(SYMBOLS, count, 7, lambda tried: observed_by(observers, tried), lab)
    races = [finding.race for finding in found.findings if finding.race is not None]
    reference = found.results[0].digest
    for race in races:
        swapped = Lab(config, []).run(Script(schedule=race.schedule, symbols=race.symbols))
        twin = Lab(config, []).run(Script(schedule=race.twin_schedule, symbols=race.twin_symbols))
        assert (swapped.key[0], twin.key[0]) == (race.digest, reference)
        assert race.digest != reference
        assert {race.first, race.second} <= WORKERS
    assert lab.runs < MOST_RUNS
    assert [finding.reason for finding in found.findings if finding.race is None] == []
    return found, races


@pytest.mark.parametrize("strategy", ["Racing", "Sleeping"])
def test_a_planted_race_is_found_within_eight_schedules(tmp_path: Path, strategy: str) -> None:
    """Check-then-act on a count beside the ports, with a broker call or a sleep between, names both workers."""
    found, races = explored(write_project(tmp_path, strategy), 8)

    assert len(found.groups) > 1
    assert races
    assert {race.resource for race in races} == {OUTSIDE}


def test_an_update_that_only_a_cut_turn_can_lose_is_found(tmp_path: Path) -> None:
    """Whole turns in any order agree; preemptive schedules do not, and tell the two that met."""
    found, races = explored(write_project(tmp_path, "Losing"), 6)
    differing = {found.results[number].variant.kind for group in found.groups[1:] for number in group.numbers}

    assert differing == {"preemptive"}
    assert [race.resource for race in races] == [OUTSIDE]


@pytest.mark.parametrize(("risk", "resource"), [(TWO_SLOTS, "slot"), (HALF_EACH, "margin"), (LITTLE_RISK, "open risk")])
def test_a_race_for_a_limit_is_reported_as_what_it_is_for(tmp_path: Path, risk: str, resource: str) -> None:
    """The last slot, the last margin, the last of the open risk: each with two workers, in every kind of schedule."""
    found, races = explored(write_project(tmp_path, "Healthy", risk), 4)

    assert len(found.groups) > 1
    assert races
    assert {race.resource for race in races} == {resource}


@pytest.mark.parametrize(("strategy", "resource"), [("Counting", OUTSIDE), ("Looking", "order")])
def test_what_is_only_read_is_the_resource_when_the_decision_depends_on_it(
    tmp_path: Path, strategy: str, resource: str
) -> None:
    """Told again what it read before, the one still does something else, and the other one does the same."""
    found, races = explored(write_project(tmp_path, strategy), 4)

    assert len(found.groups) > 1
    assert races
    assert {race.resource for race in races} == {resource}


def test_a_bot_without_shared_limits_has_one_result(tmp_path: Path) -> None:
    """Nothing is diagnosed where nothing differs."""
    found, races = explored(write_project(tmp_path, "Healthy"), 8)

    assert found.agrees
    assert (races, found.runs) == ([], 0)
