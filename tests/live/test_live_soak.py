"""Half an hour of the market with twenty symbols, a feed that stalls, an exchange that is gone, a worker that hangs."""

from pathlib import Path

import pytest

from src.core.timeframe import SECOND_NS
from tests.live.live_soak import run_soak


@pytest.mark.soak
def test_a_bot_that_runs_for_long_grows_in_nothing_and_recovers_from_everything(tmp_path: Path) -> None:
    """Alerts of each trouble, nothing entered on old prices, and trading afterwards."""
    soak = run_soak(tmp_path)

    assert soak.problems == []
    memory_mb, threads, files = soak.growth()
    assert memory_mb < 20
    assert threads <= 1
    assert files <= 2
    kinds = {each.get("kind") for each in soak.alerts}
    assert {"start", "fill", "stale_feed", "connection_lost", "connection_back", "hanging_thread", "stop"} <= kinds
    assert soak.entered_on_old_bars(60 * SECOND_NS) == []
    assert soak.trades_at_the_end >= 3
