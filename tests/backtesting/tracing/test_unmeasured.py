"""What measuring must not do: change a result, or be there when nobody asked for it."""

from typing import Any

import pytest

import src.backtesting.tracing as tracing
from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.schedules import policy_named
from src.backtesting.tracing import Probe
from src.backtesting.tracing.strategies import traced_class
from src.core.bars import Bar
from src.core.strategy import BarStrategy, Strategy, param
from src.core.strategy_runner import strategy_params
from tests.backtesting.tracing.worlds import Trader, traced_run, traced_world


def parts(world: BacktestController) -> list[object]:
    """Every object that a composed run reaches, found through attributes, containers and closures."""
    found: dict[int, object] = {}
    left: list[Any] = [world]
    while left:
        one = left.pop()
        if id(one) in found or isinstance(one, (str, bytes, int, float, type(None))):
            continue
        found[id(one)] = one
        left.extend(getattr(one, "__dict__", {}).values())
        for cls in type(one).__mro__:
            left.extend(getattr(one, name, None) for name in getattr(cls, "__slots__", ()))
        if isinstance(one, dict):
            left.extend(one.values())
        elif isinstance(one, (list, tuple, set, frozenset)):
            left.extend(one)
        left.append(getattr(one, "__self__", None))
        left.extend(cell.cell_contents for cell in getattr(one, "__closure__", None) or ())
        if isinstance(one, type):
            left.extend(one.__mro__)
    return list(found.values())


def measuring(world: BacktestController) -> set[str]:
    """Names of the parts that come from the tracing package."""
    return {
        (one if isinstance(one, type) else type(one)).__name__
        for one in parts(world)
        if (one if isinstance(one, type) else type(one)).__module__.startswith(tracing.__name__)
    }


def test_without_a_probe_no_measuring_part_is_composed() -> None:
    """The objects of an unmeasured run are the plain ones; with a probe the decorators are found by the same search."""
    plain, measured = traced_world(None), traced_world(Probe())
    for world in (plain, measured):
        world.trading_controller.initialize()

    assert measuring(plain) == set()
    assert {"Probe", "TracedBroker", "TracedClock", "TracedLock", "TracedMarket"} <= measuring(measured)


@pytest.mark.parametrize("schedule", ["fifo", "seeded", "preemptive"])
@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_measuring_changes_no_result(runtime: str, schedule: str) -> None:
    """One digest with a trace, with sums alone, with a buffer that overflows, and without any of it."""
    probe = Probe(max_spans=100_000)
    digests = {
        traced_run(each, runtime=runtime, policy=policy_named(schedule, 5)).digest
        for each in (None, Probe(), Probe(max_spans=10, flag_overruns=True))
    }
    world = traced_world(probe, runtime=runtime, policy=policy_named(schedule, 5))
    result = world.run()
    turns = {track.name: track.turns for track in probe.tracks}

    assert digests == {result.digest}
    assert result.fills
    assert turns == world.time_controller.statistics().turns_by_participant


class Breaks(Trader):
    """Raises in the middle of the run."""

    def on_bar(self, bar: Bar) -> None:
        if len(self.bars) == 20 and self.symbol == "CCC":
            raise ValueError("as planned")
        super().on_bar(bar)


def test_a_run_that_fails_fails_in_the_same_way_and_its_spans_are_closed() -> None:
    """Error, digest and turns are those of the unmeasured run."""
    probe = Probe(max_spans=100_000)
    plain, measured = traced_world(None, Breaks), traced_world(probe, Breaks)
    expected, found = plain.run(), measured.run()

    assert found.error is not None
    assert expected.error is not None
    assert (found.error.message, found.digest) == (expected.error.message, expected.digest)
    assert {
        track.name: track.turns for track in probe.tracks
    } == plain.time_controller.statistics().turns_by_participant
    assert not any(track.in_turn for track in probe.tracks)


def test_a_measured_class_answers_like_the_users() -> None:
    """Name, parameters, and which methods it overrides; only those are replaced."""

    class Mine(BarStrategy):
        """A strategy of a user's."""

        fast: int = param(5, low=1)

        def on_bar(self, bar: Bar) -> None:
            """Nothing."""

    class Ticking(Strategy):
        def on_tick(self) -> None:
            """Nothing."""

    mine, ticking = traced_class(Mine, Probe(), "mine"), traced_class(Ticking, Probe(), "ticking")

    assert (mine.__name__, mine.__module__, mine.__doc__) == ("Mine", __name__, "A strategy of a user's.")
    assert list(strategy_params(mine)) == ["fast"]
    assert set(vars(mine)) & {"on_start", "on_tick", "on_bar", "on_order", "on_stop"} == {"on_bar"}
    assert mine.on_tick is Strategy.on_tick
    assert ticking.on_tick is not Strategy.on_tick
