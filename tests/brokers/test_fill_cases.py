"""The table of fill cases, one test for each case."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.brokers.case_world import CaseWorld

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "fill_cases.yaml").read_text(encoding="utf-8"))
WORLD = {
    "start",
    "before",
    "bars",
    "ticks",
    "price_side",
    "account",
    "instrument",
    "instruments",
    "costs",
    "rules",
    "minutes",
}
EXPECTED = {"fills", "refused", "ended", "money", "held"}
WORDS = {"name", "why", "order", "do", *WORLD, *EXPECTED}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_venue_does_what_the_table_says(case: dict[str, Any]) -> None:
    """Answers, executions, ends of orders and money of each case are those that its reason gives."""
    world = CaseWorld(case)
    steps = case.get("do") or [{"place": case["order"], "refused": case.get("refused", "")}]

    answers = [world.do(step).code for step in steps]
    world.run()

    assert answers == [step.get("refused", "") for step in steps]
    if "fills" in case or "refused" in case:
        assert world.fills() == case.get("fills", [])
    ended = world.ended()
    assert {name: ended.get(name, "absent") for name in case.get("ended", {})} == case.get("ended", {})
    money = world.money()
    assert {word: money[word] for word in case.get("money", {})} == pytest.approx(case.get("money", {}), abs=1e-9)
    if "held" in case:
        assert world.held() == case["held"]


def test_the_table_is_sound() -> None:
    """Each case has a name and a reason, known words, and says what is expected, so that none passes by a slip."""
    names = [case["name"] for case in CASES]
    unsound = [
        case["name"]
        for case in CASES
        if not set(case) <= WORDS
        or not case.get("why", "").strip()
        or ("order" in case) == ("do" in case)
        or not set(case) & EXPECTED
        or ("refused" in case and "fills" in case)
    ]

    assert len(names) == len(set(names))
    assert unsound == []
    assert len(CASES) >= 80
