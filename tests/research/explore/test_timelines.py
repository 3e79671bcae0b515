"""Both orders of a race side by side, call by call, and the page that shows them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from src.research.explore.lab import Lab
from src.research.explore.report import headline
from src.research.explore.report_page import exploration_page
from src.research.explore.study import Exploration, explore
from src.research.explore.timelines import Step, Timelines, timelines_of
from tests.research.explore.bots import PLENTY, TWO_SLOTS, observed_by, write_project

pytestmark = pytest.mark.slow

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")


def explored(config: Path) -> tuple[Exploration, list[Timelines | None]]:
    """What four schedules show of a project, and both orders of each race."""
    lab = Lab(config, [])
    found = explore(SYMBOLS, 4, 7, lambda tried: observed_by(Lab(config, []), tried), lab)
    return found, [timelines_of(each.race, lab.run) for each in found.findings if each.race is not None]


@pytest.fixture(scope="module")
def racing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Exploration, list[Timelines | None]]:
    """Three workers and two slots."""
    return explored(write_project(tmp_path_factory.mktemp("racing"), "Healthy", TWO_SLOTS))


def data_of(html: str) -> dict[str, Any]:
    """The figures that a page is made of."""
    found = re.search(r'<script[^>]*id="page-data"[^>]*>(.*?)</script>', html, re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found.group(1))
    return data


def answers(steps: tuple[Step, ...], participant: str, asked: str) -> list[str]:
    """What a participant was told to questions that begin like this."""
    return [step.told for step in steps if step.participant == participant and step.asked.startswith(asked)]


def test_the_one_who_asks_first_gets_the_last_slot(racing: tuple[Exploration, list[Timelines | None]]) -> None:
    """In each order the later of the two is refused for it, and the two lists differ in just that."""
    found, times = racing
    race, shown = found.findings[0].race, times[0]

    assert race is not None
    assert shown is not None
    assert race.resource == "slot"
    assert shown.instant_ns == race.instant_ns
    for steps, granted, refused in (
        (shown.written, race.first, race.second), (shown.swapped, race.second, race.first),
    ):  # fmt: skip
        assert answers(steps, granted, "may I")[0].startswith("yes")
        assert answers(steps, refused, "may I") == ["no: max_open_positions"]
        places = [at for at, step in enumerate(steps) if step.asked.startswith("may I")
                  and step.participant in (granted, refused)]  # fmt: skip
        assert [steps[at].participant for at in places] == [granted, refused]
    assert any(step.differs for step in shown.written)
    assert not all(step.differs for step in shown.written)


def test_the_page_shows_every_schedule_with_its_figures(
    racing: tuple[Exploration, list[Timelines | None]],
) -> None:
    """The values of the table and of the chart are those of the results; the orders are drawn lane by lane."""
    found, times = racing

    html = exploration_page(found, "racing", lambda variant: f"run {variant.schedule}", times).html()

    data = data_of(html)
    assert headline(found) in html
    digests = data["tables"]["schedules"]["values"][6]
    assert digests == [each.digest[:16] for each in found.results]
    assert data["tables"]["groups"]["values"][1] == [len(group.numbers) for group in found.groups]
    lanes = data["charts"]["lanes-1"]["layout"]["yaxis"]["categoryarray"]
    assert {lane.rpartition(", ")[2] for lane in lanes} == {"as written", "swapped"}
    marks = sum(len(trace["x"]) for trace in data["charts"]["lanes-1"]["data"])
    assert times[0] is not None
    assert marks == len(times[0].written) + len(times[0].swapped)
    assert exploration_page(found, "racing", lambda variant: f"run {variant.schedule}", times).html() == html


def test_schedules_that_agree_have_a_page_without_races(tmp_path: Path) -> None:
    """It says so in green."""
    found, times = explored(write_project(tmp_path, "Healthy", PLENTY))

    html = exploration_page(found, "healthy", lambda variant: variant.schedule, times, synthetic_seed=7).html()

    assert times == []
    assert "AGREES" in html
    assert "SYNTHETIC" in html
    assert not any(name.startswith("lanes") for name in data_of(html)["charts"])
