"""What may not change a result: what carries the threads, how fast time runs, the order of symbols that do not meet."""

from typing import Any

import pytest

from src.backtesting.engine.pacing import Pacer, TimeMode, pacer_for
from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.schedules import policy_named
from src.core.bars import Bar, BarSeries
from src.core.config import BotConfig
from src.core.errors import ConfigError
from src.core.features import Feature, FeatureView, sma
from src.core.rng import stream
from src.core.strategy import BarStrategy
from src.testing import bar_series, bot_config, build_world, run_world

SYMBOLS = ["AAA", "BBB", "CCC", "DDD"]


class Crosses(BarStrategy):
    """Long above its average, short below it, with a stop."""

    mean: FeatureView

    def features(self) -> dict[str, Feature]:
        return {"mean": sma(5)}

    def on_bar(self, bar: Bar) -> None:
        if bar.close > self.mean[-1] and not self.position.is_long:
            self.buy(stop=bar.close - 3)
        elif bar.close < self.mean[-1] and not self.position.is_short:
            self.sell(stop=bar.close + 3)


class Idle(BarStrategy):
    """Looks at its bars and does nothing."""


def walk(symbol: str, count: int = 120) -> BarSeries:
    """A random walk that depends on the symbol's name alone."""
    numbers, price, rows = stream(1, "walk", symbol), 100.0, []
    for _ in range(count):
        price = round(price + numbers.uniform(-1, 1), 2)
        rows.append(price)
    return bar_series(symbol, rows)


def free_config(symbols: list[str]) -> BotConfig:
    """Nothing is shared: fixed sizes and margin enough for all."""
    return bot_config(symbols, [Crosses], balance=1e6)


def slots_config(symbols: list[str]) -> BotConfig:
    """One slot for all, so that the order decides."""
    return bot_config(symbols, [Crosses], balance=1e6, max_open_positions=1)


def run(symbols: list[str] | None = None, config: BotConfig | None = None, **how: Any) -> BacktestResult:
    """A run of the crossing strategy."""
    symbols = symbols or SYMBOLS
    result = run_world([walk(s) for s in symbols], [Crosses], config or free_config(symbols), **how)
    assert result.outcome is Outcome.COMPLETED
    assert len(result.trades) > 20 or config is not None
    return result


def trades_by_symbol(result: BacktestResult) -> dict[str, list[object]]:
    """The trades of each symbol in their order."""
    return {s.symbol: [t for t in result.trades if t.symbol == s.symbol] for s in result.symbols}


def test_threads_and_fibers_take_the_same_turns_and_give_the_same_digest() -> None:
    """No result depends on what carries the participants."""
    threads, fibers = (run(config=slots_config(SYMBOLS), runtime=name) for name in ("threads", "fibers"))

    assert threads.digest == fibers.digest
    assert (threads.turns, threads.steps) == (fibers.turns, fibers.steps)
    assert threads.records == fibers.records


class Counting(Pacer):
    """A pacer of next to no time that counts."""

    def __init__(self, step_s: float = 0.0, market_factor: float = 0.0) -> None:
        super().__init__(step_s, market_factor)
        self.waits: list[tuple[int, int]] = []

    def before_step(self, now_ns: int, at_ns: int, *, market: bool) -> None:
        self.waits.append((now_ns, at_ns))
        super().before_step(now_ns, at_ns, market=market)


@pytest.mark.parametrize("runtime", ["threads", "fibers"])
def test_pacing_changes_nothing_but_the_time_it_takes(runtime: str) -> None:
    """A fixed delay for each step and a pace of market time give the digest of a run without delay."""
    steps, market = Counting(step_s=1e-6), Counting(market_factor=1e9)
    quick = run(runtime=runtime)

    assert run(runtime=runtime, pacer=steps).digest == quick.digest
    assert run(runtime=runtime, pacer=market).digest == quick.digest
    assert len(steps.waits) == len(market.waits) == quick.steps
    assert all(before <= after for before, after in steps.waits)


@pytest.mark.slow
def test_every_time_mode_gives_the_same_digest() -> None:
    """MAX_SPEED, FAST and REALTIME differ in nothing else than real time."""
    series = [bar_series("AAA", [100.0, 101.0])]
    results = [run_world(series, [Idle], mode=mode) for mode in TimeMode]

    assert len({r.digest for r in results}) == 1
    assert results[2].seconds >= results[2].steps  # a second for each step, whatever else the machine does


def test_a_pace_is_a_factor_of_market_time() -> None:
    """`60x` lets an hour pass in a minute; anything else than a positive factor is refused."""
    assert pacer_for(TimeMode.MAX_SPEED) is None
    assert pacer_for(TimeMode.REALTIME, "60x") is not None
    for wrong in ("60", "0x", "-1x", "fastx", "x", "nanx", "infx"):
        with pytest.raises(ConfigError, match="expected a pace"):
            pacer_for(TimeMode.MAX_SPEED, wrong)


@pytest.mark.parametrize("seed", range(5))
def test_the_digest_does_not_follow_the_order_of_independent_workers(seed: int) -> None:
    """Workers that share nothing may take turns in any order: the digest is that of the written order."""
    written, shuffled = run(), run(policy=policy_named("seeded", seed))

    assert shuffled.digest == written.digest


def test_where_workers_compete_another_order_gives_another_digest() -> None:
    """The digest follows every outcome: the one slot goes to whoever is first, and a seed stands for its order."""
    config = slots_config(SYMBOLS)
    digests = [run(config=config, policy=policy_named("seeded", seed)).digest for seed in (1, 2, 3, 1, 2, 3)]

    assert digests[:3] == digests[3:]
    assert len(set(digests)) > 1


def test_the_digest_is_sensitive_to_a_changed_outcome() -> None:
    """One price a cent away changes it."""
    rows = [100.0, 101.0, 103.0, 102.0, 101.0, 99.0, 98.0]
    a, b = ([*rows], [*rows])
    b[4] += 0.01
    digests = [run_world([bar_series("AAA", r * 3)], [Crosses]).digest for r in (a, a, b)]

    assert digests[0] == digests[1] != digests[2]


def test_symbols_that_share_nothing_have_the_same_trades_in_any_order() -> None:
    """The place in the configuration, and who else is there, does not matter to them."""
    forward, backward, alone = run(SYMBOLS), run(SYMBOLS[::-1]), run(["CCC"], free_config(["CCC"]))

    assert trades_by_symbol(forward) == {s: trades_by_symbol(backward)[s] for s in SYMBOLS}
    assert trades_by_symbol(alone)["CCC"] == trades_by_symbol(forward)["CCC"]
    assert forward.account.balance == backward.account.balance


def test_the_same_series_can_be_run_again_with_the_same_result() -> None:
    """A run leaves nothing behind in the bars."""
    series = [walk(s) for s in SYMBOLS]

    assert len({run_world(series, [Crosses], free_config(SYMBOLS)).digest for _ in range(3)}) == 1


def test_statistics_count_turns_by_participant() -> None:
    """The sum of all turns is that of the participants."""
    controller = build_world([walk(s) for s in SYMBOLS], [Crosses], free_config(SYMBOLS), runtime="fibers")
    result = controller.run()

    statistics = controller.time_controller.statistics()
    assert result.turns == statistics.turns == sum(statistics.turns_by_participant.values())
    assert statistics.now_ns == result.end_ns


def test_an_unknown_schedule_is_refused_with_the_known_ones() -> None:
    """The message names what there is."""
    with pytest.raises(ConfigError, match="among fifo, seeded"):
        policy_named("random", 1)
    assert [policy_named(name, 7).describe() for name in ("fifo", "seeded")] == ["1:fifo", "1:seeded:7"]
