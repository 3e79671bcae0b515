"""Random worlds: bars with holes, late starts and early ends, strategies that do anything; invariants hold in each.

A failing seed is the whole recipe: run that one parameter again.
"""

import random
from typing import Any

import pytest

from src.backtesting.reconcile import check_money
from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.schedules import policy_named
from src.brokers.simulated import Commission, Costs, SimulatedBroker, Slippage
from src.core.bars import Bar, BarSeries
from src.core.config import BotConfig
from src.core.records import OrderEvent
from src.core.rng import stream
from src.core.strategy import BarStrategy, param
from src.core.timeframe import MINUTE_NS
from src.testing import FREE, bar_series, bot_config, build_world, run_world

COUNT = 80
DEAR = Costs(
    commission=Commission(percent=0.1), slippage=Slippage(percent=0.05), spread_percent=0.02, spread_points=0.0
)
LATE = Costs(
    commission=Commission(per_unit=0.1), slippage=Slippage(points=0.01), spread_percent=0.0, spread_points=0.02,
    latency_ns=2 * MINUTE_NS,
)  # fmt: skip
RULES: tuple[dict[str, Any], ...] = (
    {},
    {"time_exit": {"after": "330s"}},
    {"break_even": {"at_r": 0.5}, "trailing": {"distance_percent": 1}},
)


class Monkey(BarStrategy):
    """Does anything at any time; always the same for a seed."""

    seed: int = param(0)

    def on_start(self) -> None:
        self.numbers = stream(self.seed, self.name, self.symbol)
        self.last_open_ns = -1
        self.order_id = ""

    def on_bar(self, bar: Bar) -> None:
        assert self.last_open_ns < bar.open_ns < bar.close_ns <= self.now_ns
        self.last_open_ns = bar.open_ns
        self.act(bar.close)

    def on_order(self, event: OrderEvent) -> None:
        if self.numbers.random() < 0.1:
            self.act(event.order.average_price or 100.0)

    def act(self, price: float) -> None:
        chance, size = self.numbers.random(), self.numbers.random()
        if chance < 0.1:
            self.order_id = self.buy(stop=price - 3 * size).order_id
        elif chance < 0.2:
            self.order_id = self.sell(stop=price + 3 * size, target_r=1.5).order_id
        elif chance < 0.24:
            self.order_id = self.buy(volume=1 + int(3 * size)).order_id
        elif chance < 0.3:
            self.order_id = self.buy(volume=1, limit=price - size).order_id
        elif chance < 0.36:
            expires_ns = self.now_ns + 5 * MINUTE_NS
            self.order_id = self.sell(volume=1, trigger=price - size, stop_distance=2, expires_ns=expires_ns).order_id
        elif chance < 0.42:
            self.close(volume=None if size < 0.5 else 0.5)
        elif chance < 0.46:
            self.cancel(self.order_id)
        elif chance < 0.5:
            self.move_stop(price * (1 - 0.01 * size))
        elif chance < 0.52:
            self.clock.sleep(int(4 * size * MINUTE_NS))


class Ape(Monkey):
    """A second one beside it on a hedging account."""


def random_bars(symbol: str, numbers: random.Random) -> BarSeries:
    """A walk with holes that may start late and end early."""
    first = numbers.choice([0, 0, numbers.randint(1, 40)])
    last = numbers.choice([COUNT, COUNT, numbers.randint(first + 1, COUNT)])
    rows: list[Any] = []
    price = 100.0
    for i in range(COUNT):
        if i < first or i >= last or (i > first and numbers.random() < 0.1):
            rows.append(None)
            continue
        opening = price + numbers.gauss(0, 0.3)
        price = opening + numbers.gauss(0, 0.8)
        high, low = max(opening, price) + numbers.random(), min(opening, price) - numbers.random()
        rows.append((opening, high, low, price))
    return bar_series(symbol, rows)


def random_config(symbols: list[str], numbers: random.Random, seed: int) -> BotConfig:
    """An account and limits drawn at random."""
    hedging = numbers.random() < 0.4
    names = ("Monkey", "Ape") if hedging else ("Monkey",)
    daily: dict[str, Any] = numbers.choice([{}, {"daily_loss_limit_percent": 3, "on_daily_loss": "flatten"}])
    return bot_config(
        symbols,
        [],
        strategies=[{"use": name, "params": {"seed": seed}} for name in names],
        positions="hedging" if hedging else "netting",
        leverage=numbers.choice([1, 5]),
        balance=numbers.choice([500.0, 5_000.0]),
        manage=numbers.choice(RULES),
        max_open_positions=numbers.choice([1, 3, 10]),
        **daily,
    )


def check(result: BacktestResult, config: BotConfig) -> None:
    """Hold what must hold whatever happened."""
    assert (result.outcome, result.error) == (Outcome.COMPLETED, None)
    check_money(result)
    held: dict[str, float] = {}
    for fill in result.fills:
        volume = held.pop(fill.position_id, 0.0) + fill.side.sign * fill.volume
        if abs(volume) > 1e-9:
            held[fill.position_id] = volume
        assert len(held) <= (config.risk.max_open_positions or 0)
    assert {p.position_id for p in result.open_positions} == set(held)


def random_world(seed: int) -> tuple[list[BarSeries], BotConfig, dict[str, Any]]:
    """Bars, a configuration and the ways of the venue, all from one seed."""
    numbers = stream(seed, "world")
    symbols = [f"S{i}" for i in range(numbers.randint(1, 4))]
    series = [random_bars(symbol, numbers) for symbol in symbols]
    config = random_config(symbols, numbers, seed)
    how: dict[str, Any] = {
        "costs": numbers.choice([FREE, DEAR, LATE]),
        "at_end": numbers.choice(["close", "keep"]),
        "policy": policy_named(numbers.choice(["fifo", "seeded"]), seed),
    }
    return series, config, how


@pytest.mark.parametrize("block", range(6))
def test_random_worlds_reconcile_and_give_one_digest_in_threads_and_fibers(block: int) -> None:
    """Money adds up, limits hold, every bar comes once and in order, whatever carries the threads."""
    fills = 0
    for seed in range(10 * block, 10 * block + 10):
        series, config, how = random_world(seed)
        results = [run_world(series, [Monkey, Ape], config, runtime=name, **how) for name in ("fibers", "threads")]
        for result in results:
            check(result, config)
        assert results[0].digest == results[1].digest, f"seed {seed}"
        assert (results[0].turns, results[0].steps) == (results[1].turns, results[1].steps)
        fills += len(results[0].fills)

    assert fills > 100


def test_the_equity_curve_is_the_equity_after_each_step_to_the_bit() -> None:
    """Worked out once at the end, the curve has what the account would have said at each step."""
    samples = 0
    for seed in range(40):
        series, config, how = random_world(seed)
        brokers: list[SimulatedBroker] = []
        # With a higher timeframe, a bar of which may close where a base bar is missing.
        more = ["5m"] if seed % 2 else []
        controller = build_world(
            series, [Monkey, Ape], config, runtime="fibers", prepare=brokers.append, timeframes=more, **how
        )
        asked: dict[int, float] = {controller.market.start_ns: config.account.balance}
        advance = controller.market.advance

        def watched(
            instant_ns: int, advance: Any = advance, asked: dict[int, float] = asked, broker: Any = brokers[0]
        ) -> Any:
            ended = advance(instant_ns)
            asked[instant_ns] = broker.equity()
            return ended

        controller.market.advance = watched  # type: ignore[method-assign]  # to look on, not to change
        result = controller.run()

        assert dict(zip(result.equity_ns.tolist(), result.equity.tolist(), strict=True)) == asked, f"seed {seed}"
        samples += len(asked)

    assert samples > 2_000
