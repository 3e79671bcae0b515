"""Nobody acts on a bar that closed long ago, whatever kept him from it."""

from typing import ClassVar

import pytest

from src.core.errors import BrokerUnavailable
from src.core.strategy import Bar
from src.core.sync import Event
from src.core.timeframe import MINUTE_NS, SECOND_NS
from tests.live.live_world import Coming, LiveWorld, Source, check_whole, live_world

__all__ = ["live_world"]

pytestmark = pytest.mark.slow  # as those of a session

#: Slow enough that the 4 s beyond a minute are more than a busy machine needs from the look to the turn.
_SPEED = 60.0


class Watchful(Coming):
    """Notes how old the bars are that it is shown."""

    ages: ClassVar[list[int]] = []

    def on_bar(self, bar: Bar) -> None:
        """See `BarStrategy`."""
        Watchful.ages.append(self.now_ns - bar.close_ns)
        super().on_bar(bar)


@pytest.mark.parametrize("at", [5, 6, 8])
def test_nobody_acts_on_a_bar_from_before_a_long_pause(
    live_world: LiveWorld, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on those that closed meanwhile, nor on one that was visible and not acted on when the bot was killed."""
    monkeypatch.setattr(Watchful, "ages", [])
    live_world.values["live"]["speed"] = _SPEED
    live_world.classes["in"] = Watchful
    live_world.run_killed(2.5, at)
    Watchful.ages.clear()

    live_world.run(2.5, rest=60 * MINUTE_NS)

    assert Watchful.ages
    assert max(Watchful.ages) <= 64 * SECOND_NS
    check_whole(live_world)


def test_bars_that_come_after_an_outage_are_history(live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue that was silent for minutes is not traded by what it says of them."""
    monkeypatch.setattr(Watchful, "ages", [])
    live_world.values["live"]["speed"] = _SPEED
    live_world.classes["in"] = Watchful
    whole, times = Source.refresh, [0]

    def refresh(self: Source) -> None:
        times[0] += 1
        if 20 < times[0] < 70:
            raise BrokerUnavailable("nobody answers")
        whole(self)

    monkeypatch.setattr(Source, "refresh", refresh)

    live_world.run(7)

    assert len(Watchful.ages) >= 4
    assert max(Watchful.ages) <= 64 * SECOND_NS
    check_whole(live_world)


def test_bars_that_close_while_a_call_hangs_are_history(live_world: LiveWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """They were visible in time, and the worker that was to look at them waited for an answer to its order."""
    monkeypatch.setattr(Watchful, "ages", [])
    live_world.values["live"]["speed"] = _SPEED
    live_world.classes["in"] = Watchful
    whole, answered, asked, held = Source.refresh, Event(), [0], []

    def refresh(self: Source) -> None:
        whole(self)
        asked[0] += bool(held)
        if asked[0] == 75:  # five minutes
            answered.set()

    def before(method: str) -> None:
        if method == "place" and not held:
            held.append(method)
            assert answered.wait(240)

    monkeypatch.setattr(Source, "refresh", refresh)
    live_world.exchange.before = before

    live_world.run(9)

    assert len(Watchful.ages) >= 3
    assert max(Watchful.ages) <= 2 * MINUTE_NS
    check_whole(live_world)
