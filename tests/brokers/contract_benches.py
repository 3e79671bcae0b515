"""Benches of the simulated venue for the broker contract: under a clock that controls time and one that waits."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from src.backtesting.engine.market import SimulatedMarket
from src.backtesting.engine.time_controller import TimeController
from src.brokers.simulated import SimulatedBroker
from src.core.bars import BarSeries
from src.core.clock import PHASE_TIMER, PHASE_WORKER, Clock, Participant
from src.core.errors import Stopping
from src.core.journal import Journal
from src.core.timeframe import MINUTE_NS, parse_instant
from src.core.wall_clock import WallClock
from src.testing.broker_contract import Bench, BenchFactory, Capability
from tests.brokers.case_world import build_broker

__all__ = ["ACCOUNTS", "START_NS", "bars_that_stand", "bench_factory", "move_prices"]

START_NS = parse_instant("2024-01-02")
BARS = 100_000
#: So many minutes of the market are long enough for anything that a case waits for.
PATIENCE = 30
#: Minutes of the market in a real second.
SPEED = 2_000.0

_ALL = frozenset(Capability)
_MARGIN = _ALL - {Capability.SPOT}
#: The accounts on which the suite runs, and what each can do.
ACCOUNTS: dict[str, tuple[dict[str, Any], frozenset[Capability]]] = {
    "netting": ({"leverage": 5}, _MARGIN - {Capability.HEDGING}),
    "hedging": ({"leverage": 5, "positions": "hedging"}, _MARGIN - {Capability.NETTING, Capability.REVERSE}),
    "spot": ({"type": "spot"}, _ALL - {Capability.HEDGING, Capability.NETTING, Capability.SHORT, Capability.REVERSE}),
}
COSTS = {"spread_points": 0.02, "commission_percent": 0.05, "slippage_percent": 0.01}
INSTRUMENT = {"tick": 0.01, "volume_step": 0.001, "min_volume": 0.01, "min_notional": 5}


def bars_that_stand(symbol: str, *, history: int, bars: int) -> BarSeries:
    """Bars of a minute that stay at 100, so many before the start and after it."""
    opens = START_NS + MINUTE_NS * np.arange(-history, bars, dtype=np.int64)
    o, h, low, c = (np.full(len(opens), 100.0) for _ in range(4))
    return BarSeries(symbol, MINUTE_NS, opens, o, h, low, c, np.full(len(opens), 1000.0))


def move_prices(series: BarSeries, price: float) -> None:
    """Let prices move and then stand again; a bar may be under way, so the one after it moves."""
    moving = series.length + 1
    before = float(series.close[moving - 1])
    series.open[moving], series.close[moving] = before, price
    series.high[moving], series.low[moving] = max(before, price), min(before, price)
    for column in (series.open, series.high, series.low, series.close):
        column[moving + 1 :] = price


class Silent:
    """Waits for nothing."""

    def __call__(self) -> bool:
        """Never."""
        return False

    def next_due_ns(self) -> int | None:
        """Never."""
        return None


class VenueBench:
    """See `Bench`: a venue whose prices stand still until they are moved."""

    symbol = "AAA"
    prefix = "t"

    def __init__(self, account: Mapping[str, Any], venue: type[SimulatedBroker] | None) -> None:
        self.series = bars_that_stand(self.symbol, history=1, bars=BARS)
        self.broker = build_broker(
            {self.symbol: self.series}, account=account, instruments={"*": INSTRUMENT}, costs=COSTS
        )
        if venue is not None:
            self.broker.__class__ = venue
        self.market = SimulatedMarket(self.broker, Journal(), START_NS, START_NS + BARS * MINUTE_NS)
        self.clock: Clock

    def start(self, clock: Clock) -> None:
        """Let the venue live by this clock."""
        self.clock = clock
        self.broker.bind(clock, Journal())

    def now_ns(self) -> int:
        """See `Bench.now_ns`."""
        return self.clock.now_ns()

    def until(self, condition: Callable[[], bool]) -> bool:
        """See `Bench.until`; goes by the bars that have come, so that a market behind its clock is waited for."""
        last_ns = self.now_ns() + PATIENCE * MINUTE_NS

        def over() -> bool:
            return self.series.close_of(self.series.length - 1) >= last_ns

        if not condition():
            self.clock.wait_until(lambda: condition() or over(), "something to happen")
        return condition()

    def move_to(self, price: float) -> None:
        """See `Bench.move_to`; a bar may be under way, so the one after it moves."""
        move_prices(self.series, price)


def bench_factory(
    clock: str, account: Mapping[str, Any], venue: type[SimulatedBroker] | None = None
) -> BenchFactory:  # fmt: skip
    """A factory of such benches: `virtual` or `wall`, for an account; `venue` is a class that behaves otherwise."""
    compose = {"virtual": _virtually, "wall": _really}[clock]
    return lambda run: compose(VenueBench(account, venue), run)


def _virtually(bench: VenueBench, run: Callable[[Bench], None]) -> None:
    clock = TimeController(())
    clock.attach(bench.market)
    bench.start(clock)
    clock.spawn(Participant(name="case", phase=PHASE_WORKER, rank=0, wake=Silent()), lambda: run(bench))
    clock.drive()


def _really(bench: VenueBench, run: Callable[[Bench], None]) -> None:
    clock = WallClock(speed=SPEED * 60, origin_ns=START_NS)
    bench.start(clock)

    def case() -> None:
        try:
            run(bench)
        finally:
            clock.stop("the case is over")

    def pump() -> None:
        try:
            while (at := bench.market.next_ns()) is not None:
                clock.sleep(max(0, at - clock.now_ns()))
                bench.market.advance(at)
        except Stopping:
            return

    clock.spawn(Participant(name="market", phase=PHASE_TIMER, rank=0, wake=Silent()), pump)
    clock.spawn(Participant(name="case", phase=PHASE_WORKER, rank=0, wake=Silent()), case)
    clock.drive()
