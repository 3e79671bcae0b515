"""What a session tells of itself: that it will open nothing, and that it could not go on."""

import json
import signal
from typing import Any

import pytest

from src.core.errors import ConfigError
from src.core.strategy import Bar
from src.live import beginning
from src.live.account_state import AccountState
from tests.live.live_world import START_NS, Holding, LiveWorld, Source, live_world

__all__ = ["live_world"]

pytestmark = pytest.mark.slow  # each is a process or two in real time, at some hundred times its pace


def test_a_start_says_that_nothing_will_be_opened(live_world: LiveWorld) -> None:
    """Somebody has paused or killed it long ago: a bot that begins like any other would be waited for in vain."""
    with AccountState(live_world.folder / "live" / "bot.sqlite") as state:
        state.set_paused(True, "operator", START_NS)
        live_world.run(0.2)
        paused = list(live_world.told)
        state.latch("operator", "kill was asked for", False, START_NS)
        live_world.run(0.2)

    assert [each for each in paused if "PAUSED: nothing is opened until" in each and " resume`" in each]
    assert [each for each in live_world.told if "KILLED: nothing is opened until" in each and "--confirm bot`" in each]


def test_a_run_that_other_code_cannot_go_on_with_is_told_of(live_world: LiveWorld) -> None:
    """Who was told that it goes on hears that it does not; and the status shows nothing of the half-built past."""

    class Other(Holding):
        def on_bar(self, bar: Bar) -> None:
            if self.position.is_flat:
                self.buy(volume=2.0, stop=bar.close * 0.5, reason="in")

    live_world.classes["in"] = Holding
    first = live_world.run(1.5)
    live_world.classes["in"] = Other

    with pytest.raises(ConfigError, match="cannot be gone on with"):
        live_world.run(1)

    told = [json.loads(line) for line in (first.folder / "alerts.jsonl").read_text().splitlines()]
    last = [each for each in told if "kind" in each][-1]
    assert (last["kind"], last["level"]) == ("stop", "critical")
    with AccountState(live_world.folder / "live" / "bot.sqlite") as state:
        beat = state.last_beat()
    assert beat is not None
    assert (beat["running"], beat["outcome"], "positions" in beat) == (False, "FAILED", False)
    assert "cannot be gone on with" in beat["reason"]


def test_a_request_to_end_before_the_bot_runs_leaves_nothing_behind(
    live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops the service while it starts finds no folder of a run that never was."""
    made = live_world._made

    def asked_to_end(*args: Any) -> Source:
        signal.raise_signal(signal.SIGTERM)
        return made(*args)

    with monkeypatch.context() as patch:
        patch.setattr(beginning, "live_source", asked_to_end)
        with pytest.raises(KeyboardInterrupt):
            live_world.run(1)

    assert list(live_world.folder.glob("runs/*")) == []
    assert live_world.run(0.2).folder.name == "bot-live-1"
