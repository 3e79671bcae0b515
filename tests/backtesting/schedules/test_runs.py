"""Whole runs under other schedules: limits hold, races show, and every run replays from its printed string."""

import pytest

from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.schedules import SchedulePolicy, policy_named
from src.backtesting.schedules.recording import Recording
from src.backtesting.schedules.replay import Replay
from src.core.bars import Bar, BarSeries
from src.core.errors import ConfigError
from src.core.strategy import BarStrategy
from src.testing import bar_series, bot_config, build_world, run_world
from tests.backtesting.contended import BALANCE, SYMBOLS, Greedy, check_limits, contended_run, prices

BARS = 24


def small_run(policy: SchedulePolicy, runtime: str = "fibers") -> tuple[BacktestResult, list[BarSeries]]:
    """The first bars of the scenario of contention: six symbols, two slots, margin for one large position."""
    series = [bar_series(symbol, prices(symbol)[:BARS]) for symbol in SYMBOLS]
    config = bot_config(
        SYMBOLS,
        [Greedy],
        balance=BALANCE,
        max_open_positions=2,
        manage={"trailing": {"start_r": 0.5, "distance_percent": 0.5}, "time_exit": {"after": "570s"}},
    )
    return run_world(series, [Greedy], config, policy=policy, runtime=runtime), series


@pytest.mark.slow
@pytest.mark.timeout(600)  # the long form takes under a minute on an idle machine; this leaves room for a busy one
@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", ["seeded", "preemptive"])
def test_no_schedule_breaks_a_limit_and_each_replays_from_its_string(kind: str, count: int) -> None:
    """Slots and margin hold in every order and however turns are cut; each run's strings give its own digest again."""
    digests = set()
    refusals = {"max_open_positions": 0, "margin": 0}
    for seed in range(count):
        recording = Recording(policy_named(kind, seed))
        result, series = small_run(recording)
        check_limits(result, series)
        replayed, _ = small_run(policy_named(recording.replay_string(), 0))
        assert replayed.digest == result.digest, recording.replay_string()
        if seed % 10 == 0:
            again, _ = small_run(policy_named(recording.describe(), 0))
            assert again.digest == result.digest, recording.describe()
        digests.add(result.digest)
        for code in refusals:
            refusals[code] += result.refusals[code]

    assert len(digests) > 0.3 * count
    assert min(refusals.values()) > 5 * count


@pytest.mark.slow
@pytest.mark.parametrize("text", ["1:seeded:1", "1:preemptive:1", "1:preemptive:2"])
def test_threads_and_fibers_take_the_same_turns(text: str) -> None:
    """Also where turns are cut short; and a recording made in one runtime replays in the other."""
    recordings = {runtime: Recording(policy_named(text, 0)) for runtime in ("threads", "fibers")}
    results = {runtime: contended_run(runtime, policy=policy)[0] for runtime, policy in recordings.items()}
    replayed, _ = contended_run("threads", policy=policy_named(recordings["fibers"].replay_string(), 0))

    assert {each.digest for each in results.values()} == {replayed.digest}
    assert {each.turns for each in results.values()} == {replayed.turns}
    assert len({each.replay_string() for each in recordings.values()}) == 1


def test_preemption_points_at_which_nobody_is_preempted_change_nothing() -> None:
    """Only what a policy decides there makes a difference; with no deviation the digest is that of `fifo`."""
    kept, _ = small_run(Replay((), preempts=True))
    written, _ = small_run(policy_named("fifo", 0))

    assert kept.digest == written.digest
    assert kept.turns > 2 * written.turns


@pytest.mark.parametrize("seed", range(5))
def test_symbols_that_share_nothing_have_the_same_trades_however_turns_are_cut(seed: int) -> None:
    """Without a common limit and a rule of the monitor there is nothing that an order of turns could decide."""
    series = [bar_series(symbol, prices(symbol)[:BARS]) for symbol in SYMBOLS]
    config = bot_config(SYMBOLS, [Greedy], balance=1e6)
    written = run_world(series, [Greedy], config, runtime="fibers")
    cut = run_world(series, [Greedy], config, policy=policy_named("preemptive", seed), runtime="fibers")

    assert written.trades
    for symbol in SYMBOLS:
        assert [trade for trade in cut.trades if trade.symbol == symbol] == [
            trade for trade in written.trades if trade.symbol == symbol
        ]


def race(policy: SchedulePolicy) -> int:
    """How many of two workers entered, where each looks at a shared count, asks the broker, and then enters."""
    entered: list[str] = []

    class First(BarStrategy):
        """Means to be the only one."""

        def on_bar(self, bar: Bar) -> None:
            count = len(entered)
            if count == 0 and self.quote is not None:
                entered.append(self.symbol)

    series = [bar_series(symbol, [10.0, 11.0, 12.0]) for symbol in ("AAA", "BBB")]
    result = run_world(series, [First], policy=policy, runtime="fibers")
    assert result.outcome is Outcome.COMPLETED, result.error
    return len(entered)


def test_a_check_that_is_out_of_date_when_acted_on_shows_only_under_preemption() -> None:
    """Turns that are never cut short hide it; cut short at the broker's calls, it is found at once and replays."""
    whole = {race(policy_named("seeded", seed)) for seed in range(50)}
    recordings = [Recording(policy_named("preemptive", seed)) for seed in range(50)]
    cut = [race(recording) for recording in recordings]

    assert whole == {1}
    assert cut.count(2) >= 5
    assert [race(policy_named(recording.replay_string(), 0)) for recording in recordings] == cut


@pytest.mark.parametrize("bars", [slice(0, 12), slice(BARS, 0, -1)], ids=["less data", "other data"])
def test_a_schedule_recorded_from_another_run_is_refused(bars: slice) -> None:
    """With less data some decisions never come, with other data they are others; neither passes for a replay."""
    recording = Recording(policy_named("seeded", 3))
    small_run(recording)
    series = [bar_series(symbol, prices(symbol)[bars]) for symbol in SYMBOLS]
    world = build_world(series, [Greedy], policy=policy_named(recording.replay_string(), 0), runtime="fibers")
    with pytest.raises(ConfigError, match="recorded from another configuration or version"):
        world.run()


def test_a_stopped_replay_is_no_wrong_replay() -> None:
    """The decisions after the stop are not missed."""
    series = [bar_series(symbol, prices(symbol)[:BARS]) for symbol in SYMBOLS]
    world = build_world(series, [Greedy], policy=policy_named("1:turns:99999999m@0.1", 0), runtime="fibers")
    world.time_controller.stop("enough")

    assert world.run().outcome is Outcome.INTERRUPTED


def test_a_policy_that_does_not_preempt_leaves_the_broker_as_it_is() -> None:
    """What is not asked for costs nothing."""
    series = [bar_series("AAA", [10.0, 11.0])]
    plain, cut = (build_world(series, [Greedy], policy=policy_named(name, 1)) for name in ("seeded", "preemptive"))

    assert type(plain.trading_controller._broker).__name__ == "SimulatedBroker"
    assert type(cut.trading_controller._broker).__name__ == "YieldingBroker"
