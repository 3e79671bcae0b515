"""The whole bot at a hole: the entry is taken back, the slot is free again, and the strategy is told."""

from pathlib import Path

import pytest

from src.backtesting.run import execute
from src.core.records import OrderState
from src.core.timeframe import HOUR_NS, MINUTE_NS
from tests.backtesting.preflight.projects import START, minutes, prepared, project

STRATEGY = """
from src.core.strategy import BarStrategy

class Always(BarStrategy):
    timeframe = "5m"

    def on_bar(self, bar):
        if self.position.is_flat:
            self.buy(stop=bar.close * 0.9)
        else:
            self.close()
"""


@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_an_entry_before_a_hole_is_taken_back_and_the_next_one_is_filled(tmp_path: Path, runtime: str) -> None:
    """One position may be open; the order that waited for an hour keeps no slot, and nothing fills at 03:30."""
    config = project(tmp_path, minutes(-1, 6, without=[(11 / 12, 3.5)]))
    (tmp_path / "always.py").write_text(STRATEGY, encoding="utf-8")
    words = ["strategies=[{use: 'always.py:Always'}]", "risk.max_open_positions=1", f"backtest.runtime={runtime}"]
    result = execute(prepared(config, *words), report=False).result
    (taken_back,) = [order for order in result.orders if order.state is OrderState.CANCELLED]
    later = [fill for fill in result.fills if fill.kind == "entry" and fill.filled_ns >= START + 3 * HOUR_NS]

    assert (taken_back.code, taken_back.placed_ns, taken_back.updated_ns) == (
        "hole", START + 55 * MINUTE_NS, START + 115 * MINUTE_NS,
    )  # fmt: skip
    assert later[0].filled_ns > START + int(3.5 * HOUR_NS)
    assert len(later) > 5
    assert "max_open_positions" not in result.refusals
