"""The pace of a run, changed while it goes on: real time only, never a result."""

import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.pacing import Pacer, TimeMode, pace_named
from src.backtesting.result import Outcome
from src.core.bars import Bar
from src.core.errors import ConfigError
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS, parse_instant
from src.testing import bar_series, build_world
from tests.backtesting.engine.underway import Underway

START = parse_instant("2024-01-01")


class Idle(BarStrategy):
    """Looks at its bars and does nothing."""


class Flips(BarStrategy):
    """Long, then flat, and so on."""

    def on_bar(self, bar: Bar) -> None:
        if self.position.is_flat:
            self.buy(stop=bar.close - 50)
        elif len(self.bars) % 4 == 0:
            self.close()


def world(cls: type[BarStrategy] = Flips, pacer: Pacer | None = None) -> BacktestController:
    """A symbol and 36 bars of a minute."""
    return build_world([bar_series("AAA", [100.0 + i % 7 for i in range(36)])], [cls], pacer=pacer)


def uncontrolled() -> str:
    """The digest of the same run at full speed."""
    return world().run().digest


def minute(number: int) -> int:
    """The instant so many minutes after the start."""
    return START + number * MINUTE_NS


def test_the_pace_can_be_changed_while_a_slow_step_is_waited_for() -> None:
    """A step that would take days of real time is over at once."""
    controller = world(pacer=Pacer(market_factor=1e-4))
    with Underway(controller) as run:
        paced = run.control.state.pace
        controller.set_pace(None)
        result = run.ended()

    assert (paced, run.control.state.pace) == ("0.0001x", "MAX_SPEED")
    assert (result.outcome, result.digest) == (Outcome.COMPLETED, uncontrolled())


def test_a_pause_needs_not_wait_for_the_pace() -> None:
    """It comes before the step that is being waited for, and single steps come whatever the pace."""
    controller = world(Idle, pacer=Pacer(step_s=3_600.0))
    with Underway(controller) as run:
        controller.pause()
        seen = [run.paused_at()]
        controller.step(3)
        seen.append(run.paused_at())
        controller.set_pace(TimeMode.MAX_SPEED)
        result = run.finished()

    assert seen == [minute(0), minute(3)]
    assert result.outcome is Outcome.COMPLETED


def test_a_pace_holds_between_the_market_s_steps_alone() -> None:
    """Another pace than that of the configuration is kept to."""
    controller = world(Idle)
    controller.set_pace("60000x")  # a minute in a millisecond
    with Underway(controller) as run:
        result = run.ended()

    assert result.seconds >= 36 * 0.001
    assert controller.control_records == ({"instant_ns": START, "action": "pace", "pace": "60000x"},)


def test_a_pace_has_a_name_that_reads_back() -> None:
    """Time modes in any case, factors, and nothing else."""
    names = [pacer.name for text in ("fast", "REALTIME", "60x", "2.5x") if (pacer := pace_named(text)) is not None]

    assert names == ["FAST", "REALTIME", "60x", "2.5x"]
    assert pace_named("max_speed") is None
    assert pace_named(None) is None
    for wrong in ("quick", "60", "-1x", ""):
        with pytest.raises(ConfigError, match="MAX_SPEED, FAST, REALTIME"):
            pace_named(wrong)


def test_a_pacer_of_another_kind_makes_room_too() -> None:
    """Whatever stands between the steps is replaced by the control, which keeps its delay until it is changed."""

    class Slow(Pacer):
        def delay_s(self, from_ns: int, to_ns: int, *, market: bool) -> float:
            return 3_600.0

    controller = world(Idle, pacer=Slow())
    with Underway(controller) as run:
        controller.set_pace(None)

        assert run.ended().outcome is Outcome.COMPLETED
