"""`explore`: the same bot under many schedules, from the command to the lines that reproduce what it found."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command import MAIN, Ended, Told, run
from tests.research.explore.bots import TWO_SLOTS, write_project

pytestmark = pytest.mark.slow


def explored(project: Path, *words: str, told: Told = run) -> Ended:
    """`explore` of the project's configuration."""
    return told("explore", "--config", "config.yaml", *words, cwd=project)


def digest_of(line: str, project: Path, told: Told = run) -> str:
    """The digest of the run that a printed line starts."""
    python, main, *words = shlex.split(line)
    assert (python, main) == ("python", str(MAIN))
    ended = told(*words, "--json", cwd=project)
    assert ended.code == 0, ended.err
    return str(ended.value["digest"])


@pytest.fixture(scope="module")
def racing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """A project with a planted race, and what an exploration of it says to programs."""
    project = write_project(tmp_path_factory.mktemp("racing"), "Racing").parent
    return project, explored(project, "--schedules", "7", "--workers", "2", "--json")


def test_a_planted_race_is_reported_with_both_participants(racing: tuple[Path, Ended]) -> None:
    """Exit 4, groups that add up, the spread, and who raced for what."""
    ended = racing[1]
    value = ended.value
    race = value["races"][0]

    assert (ended.code, value["exit_code"], value["agree"]) == (4, 4, False)
    assert sum(group["schedules"] for group in value["groups"]) == value["schedules"] == 7
    assert value["spread"]["trades"]["min"] < value["spread"]["trades"]["max"]
    assert race["resource"] == "state outside the ports"
    assert {name.partition(":")[0] for name in race["participants"]} == {"worker"}
    assert len(set(race["participants"])) == 2
    assert race["first_difference"]["reference"] != race["first_difference"]["swapped"]
    assert value["unexplained"] == []
    assert value["diagnosing_runs"] > 0


def test_every_line_gives_the_digest_that_it_claims(racing: tuple[Path, Ended], told: Told) -> None:
    """Each result, and each race both ways; one of them, whose order of symbols and turns is another, also in a process
    of its own."""
    project, ended = racing
    value: dict[str, Any] = ended.value
    claimed = {group["reproduce"]: group["digest"] for group in value["groups"]}
    for race in value["races"]:
        claimed[race["reproduce"]] = race["digest"]
        claimed[race["reproduce_reference"]] = value["groups"][0]["digest"]

    assert {line: digest_of(line, project, told) for line in claimed} == claimed
    (other,) = [line for line in claimed if "symbols=" in line]
    race = value["races"][0]["reproduce"]
    assert {line: digest_of(line, project) for line in (other, race)} == {line: claimed[line] for line in (other, race)}
    assert any("symbols=" in line for line in claimed)
    assert any("preemptive" in line for line in claimed)


def test_the_number_of_processes_changes_nothing(racing: tuple[Path, Ended], told: Told) -> None:
    """Nor does it matter which run it is."""
    project, ended = racing
    again = explored(project, "--schedules", "7", "--workers", "1", "--json", told=told)

    assert (again.code, again.out) == (ended.code, ended.out)


def test_people_get_the_same_lines_and_the_progress_apart(racing: tuple[Path, Ended]) -> None:
    """The result is on stdout, how far it is on stderr."""
    project, ended = racing
    people = explored(project, "--schedules", "7", "--report", "schedules.html")
    value = ended.value

    assert people.code == 4
    assert value["headline"] in people.out
    lines = [group["reproduce"] for group in value["groups"]] + [race["reproduce"] for race in value["races"]]
    assert [line for line in lines if line not in people.out] == []
    assert value["headline"] in (project / "schedules.html").read_text(encoding="utf-8")
    assert "7 of 7 schedules" in people.err
    assert "of 7 schedules" not in people.out


def test_a_race_for_the_last_slot_is_one_for_a_slot(tmp_path: Path, told: Told) -> None:
    """With both workers, and the overrides of the command in its lines."""
    project = write_project(tmp_path, "Healthy").parent
    ended = explored(project, "--schedules", "4", "--set", f"risk={TWO_SLOTS}", "--json", told=told)
    race = ended.value["races"][0]

    assert ended.code == 4
    assert (race["resource"], len(set(race["participants"]))) == ("slot", 2)
    assert digest_of(race["reproduce"], project, told) == race["digest"]


def test_a_healthy_bot_has_one_result(tmp_path: Path, told: Told) -> None:
    """Exit 0 and one digest; nothing of it is stored."""
    project = write_project(tmp_path, "Healthy", runtime="threads").parent
    ended = explored(project, "--schedules", "8", "--json", told=told)
    value = ended.value

    assert (ended.code, value["agree"], value["races"], value["diagnosing_runs"]) == (0, True, [], 0)
    assert [group["schedules"] for group in value["groups"]] == [8]
    assert not list((project / "runs").glob("*/manifest.json"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--config", "config.yaml", "--schedules", "1"], "--schedules"),
        (["--config", "config.yaml", "--schedules", "3", "--workers", "0"], "--workers"),
        (["--schedules", "3"], "--config"),
        (["--config", "none.yaml"], "none.yaml"),
        (["--config", "config.yaml", "--set", "backtest.sed=3"], "sed"),
    ],
)
def test_bad_usage_is_refused_in_a_sentence(tmp_path: Path, told: Told, words: list[str], sentence: str) -> None:
    """Exit 2, before anything runs."""
    project = write_project(tmp_path, "Healthy").parent
    ended = told("explore", *words, cwd=project)

    assert (ended.code, ended.out) == (2, "")
    assert sentence in ended.err
    assert "Traceback" not in ended.err
