"""The table of fill cases, one test for each line."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.brokers.simulated.venue import Venue

CASES = yaml.safe_load((Path(__file__).parent / "fill_cases.yaml").read_text(encoding="utf-8"))
SETTINGS = ("account", "costs", "rules", "instrument", "price_side")
WORDS = {"name", "order", "bars", "fills", "refused", "ended", *SETTINGS}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_an_order_fills_as_the_table_says(case: dict[str, Any]) -> None:
    """Kind, price and instant of each execution, or the refusal, are those of the line in fill_cases.yaml."""
    venue = Venue([[100, 100, 100, 100], *case["bars"]], **{key: case[key] for key in SETTINGS if key in case})
    order = dict(case["order"])

    result = venue.place(order.pop("side"), order.pop("type", "market"), order.pop("volume", 1.0), **order)
    venue.run()

    assert result.code == case.get("refused", "")
    assert venue.told() == case.get("fills", [])
    if "ended" in case:
        last = venue.broker.orders()[-1]
        assert [last.state.value, last.code] == case["ended"]


def test_the_table_is_sound() -> None:
    """Each case has a name of its own, known words, and says what is expected, so that none passes by a slip."""
    names = [case["name"] for case in CASES]

    assert len(names) == len(set(names))
    assert [case["name"] for case in CASES if not set(case) <= WORDS or ("fills" in case) == ("refused" in case)] == []
