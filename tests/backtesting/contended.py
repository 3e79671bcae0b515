"""Six symbols compete for two position slots and for the last margin.

Run as `python -m tests.backtesting.contended SEED` it prints the digest of one run under real delays, so that processes
can be compared.
"""

import sys
from functools import cache

from src.backtesting.result import BacktestResult, Outcome
from src.backtesting.schedules import SchedulePolicy
from src.core.bars import Bar, BarSeries
from src.core.records import OrderEvent
from src.core.rng import stream
from src.core.strategy import BarStrategy
from src.core.timeframe import MINUTE_NS
from src.testing import bar_series, bot_config, run_world
from tests.delays import DelayedThreads, Delays

SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")
BALANCE = 1_000.0
BARS = 200

# At prices around 100, two large entries do not fit into the account, a large and a small one do.
LARGE = ("AAA", "CCC", "EEE")


class Greedy(BarStrategy):
    """Wants in at every third bar or so, often together with others; out by stop, by trailing, or by itself."""

    def on_start(self) -> None:
        self.bars_held = 0
        numbers = stream(3, "wishes", self.symbol)
        self.wishes = [numbers.random() < 0.35 for _ in range(BARS)]

    def on_bar(self, bar: Bar) -> None:
        if not self.position.is_flat:
            self.bars_held += 1
            if self.bars_held > 4 + len(self.bars) % 5:
                self.close(reason="long enough")
        elif self.wishes[len(self.bars) - 1]:
            self.buy(volume=6.0 if self.symbol in LARGE else 1.5, stop=bar.close - 1.0, target=bar.close + 2.0)
        elif len(self.bars) % 7 == 0:
            self.buy(volume=1.0, limit=bar.close - 0.3, expires_ns=self.now_ns + 3 * MINUTE_NS)

    def on_order(self, event: OrderEvent) -> None:
        if event.trade is not None:
            self.bars_held = 0


@cache
def prices(symbol: str) -> tuple[float, ...]:
    """Closes of a random walk that stays around 100."""
    numbers, price, out = stream(11, "contended", symbol), 100.0, []
    for _ in range(BARS):
        price = round(price + numbers.uniform(-0.6, 0.6) + 0.02 * (100 - price), 2)
        out.append(price)
    return tuple(out)


def contended_run(
    runtime: str = "threads", delays: Delays | None = None, policy: SchedulePolicy | None = None
) -> tuple[BacktestResult, list[BarSeries]]:
    """One run, under real delays when they are given."""
    series = [bar_series(symbol, prices(symbol)) for symbol in SYMBOLS]
    config = bot_config(
        SYMBOLS,
        [Greedy],
        balance=BALANCE,
        max_open_positions=2,
        manage={"trailing": {"start_r": 0.5, "distance_percent": 0.5}, "time_exit": {"after": "570s"}},
    )
    result = run_world(
        series,
        [Greedy],
        config,
        policy=policy,
        runtime=runtime if delays is None else DelayedThreads(delays),
        prepare=None if delays is None else delays.inject,
    )
    return result, series


def check_limits(result: BacktestResult, series: list[BarSeries]) -> None:
    """Hold, from the fills and the equity curve alone, that no limit was exceeded at any moment."""
    assert result.outcome is Outcome.COMPLETED, result.error
    held: dict[str, float] = {}
    at_instant: dict[int, dict[str, float]] = {}
    for fill in result.fills:
        held[fill.position_id] = held.get(fill.position_id, 0.0) + fill.side.sign * fill.volume
        assert sum(1 for volume in held.values() if volume) <= 2, f"three positions at {fill.filled_ns}"
        by_symbol = at_instant.setdefault(fill.filled_ns, dict(next(reversed(at_instant.values()), {})))
        by_symbol[fill.symbol] = by_symbol.get(fill.symbol, 0.0) + fill.side.sign * fill.volume
    marks = {each.symbol: each for each in series}
    volumes: dict[str, float] = {}
    samples = dict(zip(result.equity_ns.tolist(), result.equity.tolist(), strict=True))
    for instant_ns, equity in samples.items():
        volumes = at_instant.get(instant_ns, volumes)
        margin = 0.0
        for symbol, volume in volumes.items():
            if volume:
                bars = marks[symbol]
                margin += volume * bars.close_at[bars.count_closed(instant_ns) - 1]
        assert margin <= equity + 1e-9, f"{margin} of margin with {equity} of equity at {instant_ns}"


if __name__ == "__main__":
    finished, bars = contended_run(delays=Delays(int(sys.argv[1])))
    check_limits(finished, bars)
    print(finished.digest)
