"""The order of turns of a free run: what is kept of it, and what following it again promises."""

from typing import Any

import pytest

from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.free_controller import FreeTimeController
from src.backtesting.engine.pacing import Pacer
from src.backtesting.result import Outcome
from src.backtesting.schedules import SchedulePolicy, policy_named
from src.backtesting.schedules.free import Free
from src.backtesting.schedules.order import Began, Ordered, TurnOrder, order_string, parse_order
from src.core.bars import Bar
from src.core.errors import (
    ConfigError,
)
from src.core.strategy import BarStrategy
from src.core.sync import runtime_named
from src.core.timeframe import SECOND_NS
from src.testing import bar_series, bot_config, build_world
from tests.backtesting.contended import BALANCE, SYMBOLS, Greedy, contended_run, prices
from tests.delays import DelayedThreads, Delays


def quick() -> Pacer:
    """A pace of which nothing is felt."""
    return Pacer(market_factor=1e12)


def contended_world(policy: SchedulePolicy, delays: Delays | None = None) -> tuple[BacktestController, list[Any]]:
    """Six symbols that compete for two slots and the last margin."""
    series = [bar_series(symbol, prices(symbol)) for symbol in SYMBOLS]
    config = bot_config(
        SYMBOLS, [Greedy], balance=BALANCE, max_open_positions=2,
        manage={"trailing": {"start_r": 0.5, "distance_percent": 0.5}, "time_exit": {"after": "570s"}},
    )  # fmt: skip
    world = build_world(
        series, [Greedy], config, policy=policy, pacer=quick(),
        runtime=runtime_named("threads", pin=False) if delays is None else DelayedThreads(delays),
        prepare=None if delays is None else delays.inject,
    )  # fmt: skip
    return world, series


class Notes(BarStrategy):
    """Writes down who had a turn when."""

    log: list[tuple[int, str]] = []

    def on_bar(self, bar: Bar) -> None:
        self.log.append((self.now_ns, f"worker:{self.symbol}"))


def noted(policy: SchedulePolicy) -> tuple[BacktestController, list[tuple[int, str]]]:
    """A run of five symbols that share nothing, and its turns."""
    Notes.log = []
    series = [bar_series(symbol, [100.0] * 40) for symbol in ("AAA", "BBB", "CCC", "DDD", "EEE")]
    runtime = DelayedThreads(Delays(5)) if isinstance(policy, Free) else "threads"
    world = build_world(series, [Notes], policy=policy, pacer=quick(), runtime=runtime)
    assert world.run().outcome is Outcome.COMPLETED
    return world, Notes.log


def test_the_recorded_order_of_turns_is_replayed() -> None:
    """At each instant in the text the workers have their turns in that order, at all others in that of the keys."""
    for _ in range(20):
        world, _ = noted(Free())
        clock = world.time_controller
        assert isinstance(clock, FreeTimeController)
        text = clock.order.replay_string()
        if text != "1:fifo":
            break
    order = parse_order(text.removeprefix("1:order:"))

    _, log = noted(policy_named(text, 0))

    expected = [
        (instant, name)
        for instant in sorted({at for at, _ in log})
        for name in (
            [each.name for each in order[instant] if each.name.startswith("worker:")][:5]
            if instant in order
            else [f"worker:{symbol}" for symbol in ("AAA", "BBB", "CCC", "DDD", "EEE")]
        )
    ]
    assert log == expected


@pytest.mark.slow
def test_a_replay_of_contention_is_deterministic_and_never_refused() -> None:
    """The order of a free run, in which turns overlapped, gives one digest, whatever the delays of the replay."""
    for seed in range(4):
        world, _ = contended_world(Free(), Delays(seed))
        world.run()
        assert isinstance(world.time_controller, FreeTimeController)
        text = world.time_controller.order.replay_string()

        digests = {contended_run(delays=delays, policy=policy_named(text, 0))[0].digest for delays in (None, Delays(9))}

        assert len(digests) == 1


def test_an_order_from_another_run_is_followed_where_it_fits() -> None:
    """Names and instants that do not exist change nothing, and are no error."""
    fits = parse_order(order_string({60 * SECOND_NS: [Began("worker:ZZZ", False)]}).removeprefix("1:order:"))

    _, log = noted(Ordered(fits))

    assert log == noted(policy_named("fifo", 0))[1]


def test_only_instants_out_of_order_are_kept() -> None:
    """An instant in the order of keys is what fifo does anyway."""
    order = TurnOrder()
    for step, (instant, names) in enumerate([(1, "abc"), (2, "bac"), (3, "abc"), (3, "ab")]):
        for name in names:
            order.began(instant, step, name, (3, name), alone=name == names[-1])

    text = order.replay_string()

    assert parse_order(text.removeprefix("1:order:")) == {2: [Began("b", False), Began("a", False), Began("c", True)]}
    assert policy_named(text, 0).describe() == text
    assert TurnOrder().replay_string() == "1:fifo"


@pytest.mark.parametrize("text", ["1:order", "1:order:", "1:order:z", "1:order:zAAAA", "1:order:5m@0.1"])
def test_a_damaged_order_is_refused_with_a_sentence(text: str) -> None:
    """What follows the kind has to be whole."""
    with pytest.raises(ConfigError, match="copy the whole string"):
        policy_named(text, 0)


def test_a_cut_order_is_refused() -> None:
    """A part of a real one is not another schedule."""
    text = order_string({1: [Began("b", False), Began("a", True)]})

    with pytest.raises(ConfigError):
        policy_named(text[:-3], 0)
