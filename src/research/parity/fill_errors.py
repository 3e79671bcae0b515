"""How far the fills of a run lie from those that the simulated broker gives on the prices that the run saw.

The requests of the run are sent to a simulated account at the instants at which they were sent to the venue, over the
quotes that were recorded. Each execution of the one is matched with one of the other. Where one of them has none
after a while, that is counted, and the simulated account is brought to the recorded position again, so that one
difference is not followed by others. The account has money enough for everything, since what is measured is fills.

Called by one thread; reads no clock.
"""

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from statistics import median

from src.brokers.simulated import Costs
from src.core.config import AccountConfig
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.record import record
from src.core.records import Fill
from src.core.timeframe import MINUTE_NS
from src.research.parity.asked import Asked, RecordedMarket
from src.research.parity.decisions import Stream
from src.research.parity.seen import SeenFill
from src.research.parity.simulation import RESYNC, Simulation

__all__ = [
    "PAIRED",
    "RECORDED_ONLY",
    "SIMULATED_ONLY",
    "FillError",
    "FillReport",
    "Spread",
    "TradeError",
    "fill_errors",
]

PAIRED, RECORDED_ONLY, SIMULATED_ONLY = "paired", "recorded only", "simulated only"

_SAME = 1e-9
_BASIS_POINTS = 10_000


@record
class FillError:
    """One recorded execution against what was simulated for it; what is positive made the recorded one worse.

    Attributes:
        trade: the number of the trade of its book and symbol, from flat to flat, from 1 on.
        volume: what was executed; of what only the simulation executed, that.
        recorded_price, simulated_price: None where there is none; the simulated one is the mean by volume.
        ticks: the difference in ticks, None without both prices or without a tick.
        basis_points: the difference in hundredths of a percent of the simulated price.
        time_ns: how much later the recorded one happened.
        fee: how much more it cost in commission, money of the account.
        status: `paired`, `recorded only` or `simulated only`.
    """

    symbol: str
    book: str
    trade: int
    side: str
    kind: str
    volume: float
    instant_ns: int
    status: str
    recorded_price: float | None = None
    simulated_price: float | None = None
    ticks: float | None = None
    basis_points: float | None = None
    time_ns: int | None = None
    fee: float | None = None


@record
class TradeError:
    """The errors of the executions of one trade, added up; the time is the one that is farthest off."""

    symbol: str
    book: str
    trade: int
    fills: int
    unpaired: int
    ticks: float | None
    basis_points: float
    time_ns: int
    fee: float


@record
class Spread:
    """How large a figure mostly is, and the one that is farthest from 0; both None without any."""

    median: float | None
    worst: float | None


@record
class FillReport:
    """The outcome.

    Attributes:
        fills: by time.
        trades: by symbol, book and number.
        resyncs: how often the simulated position had to be brought to the recorded one.
        refused: requests that the simulated broker refused though the venue had taken them, by code.
    """

    fills: tuple[FillError, ...]
    trades: tuple[TradeError, ...]
    resyncs: int
    refused: Mapping[str, int]

    @property
    def paired(self) -> tuple[FillError, ...]:
        """Those with both sides."""
        return tuple([each for each in self.fills if each.status == PAIRED])

    def spread(self, name: str) -> Spread:
        """Median and worst of `ticks`, `basis_points`, `time_ns` or `fee` over the trades."""
        values = [float(value) for each in self.trades if (value := getattr(each, name)) is not None]
        if not values:
            return Spread(median=None, worst=None)
        return Spread(median=float(median(values)), worst=max(values, key=abs))


def fill_errors(
    asked: Sequence[Asked], fills: Sequence[SeenFill], market: RecordedMarket, *, account: AccountConfig,
    instruments: Mapping[str, Instrument], costs: Costs, held: Mapping[Stream, float] | None = None,
    wait_ns: int = MINUTE_NS,
) -> FillReport:  # fmt: skip
    """Simulate the requests of a run and hold the fills against the recorded ones.

    Args:
        asked: the requests that the venue took, by time, and the protection that stood at it.
        fills: the recorded executions.
        market: the prices.
        instruments: the rules of each symbol that was traded.
        costs: slippage, commission and latency; the spread is that of the quotes.
        held: what was held at the start, signed volumes.
        wait_ns: for how long the execution of one side may have none on the other, once there was a price.

    Raises:
        ConfigError: an account that keeps several positions of a book apart.
    """
    if account.positions == "hedging":
        raise ConfigError(
            "fills are compared on a netting account: the positions of a hedging one have other names here"
        )
    simulation = Simulation(market, account, instruments, costs)
    comparison = _Comparison(simulation, dict(held or {}), wait_ns)
    steps: list[tuple[int, int, int, Callable[[], None]]] = []
    for i, fill in enumerate(fills):
        if fill.symbol in simulation.symbols:
            steps.append((fill.filled_ns, 0, i, lambda fill=fill: comparison.recorded(fill)))  # type: ignore[misc]  # bound now
    for i, each in enumerate(asked):
        if each.symbol in simulation.symbols:
            steps.append((each.instant_ns, 1, i, lambda each=each: comparison.ask(each)))  # type: ignore[misc]  # bound now
    comparison.begin(market.start_ns)
    for at_ns, _, _, act in sorted(steps, key=lambda step: step[:3]):
        comparison.go_to(at_ns)
        act()
    comparison.finish()
    return comparison.report()


class _Open:
    """An execution of one side, as far as it has none on the other one."""

    def __init__(self, fill: SeenFill | Fill, trade: int) -> None:
        self.fill = fill
        self.trade = trade
        self.left = fill.volume
        #: (volume, price, instant, commission) of what belongs to it.
        self.parts: list[tuple[float, float, int, float]] = []

    @property
    def filled_ns(self) -> int:
        return self.fill.filled_ns


class _Comparison:
    """Both sides along the time."""

    def __init__(self, simulation: Simulation, held: dict[Stream, float], wait_ns: int) -> None:
        self._simulation = simulation
        self._held = held
        self._wait_ns = wait_ns
        self._recorded: dict[Stream, deque[_Open]] = {}
        self._simulated: dict[Stream, deque[_Open]] = {}
        self._shelves = self._recorded, self._simulated
        self._trades: Counter[Stream] = Counter()
        self._errors: list[FillError] = []
        self._refused: Counter[str] = Counter()
        self._resyncs = 0

    def begin(self, start_ns: int) -> None:
        """Take what was held at the start."""
        self.go_to(start_ns)  # without a price nothing can be bought
        for number, (stream, volume) in enumerate(sorted(self._held.items())):
            if volume:
                self._trades[stream] += 1
                self._simulation.bring_to(stream, volume, f"{RESYNC}-0-{number}")

    def go_to(self, at_ns: int) -> None:
        """Let everything happen up to an instant."""
        while True:
            # Each price may make something due, or find the other side of it.
            while self._simulation.step(min(self._due_ns(), at_ns)):
                self._take()
            due_ns = self._due_ns()
            if due_ns > at_ns:
                return
            self._give_up(due_ns)

    def finish(self) -> None:
        """Let the rest happen; what has no other side by then stays alone."""
        self.go_to(self._simulation.end_ns)
        for queue in (*self._recorded.values(), *self._simulated.values()):
            while queue:
                self._close(queue.popleft())

    def recorded(self, fill: SeenFill) -> None:
        """The run had an execution."""
        stream = fill.symbol, fill.book
        before = self._held.get(stream, 0.0)
        if before == 0.0:
            self._trades[stream] += 1
        after = before + fill.signed
        self._held[stream] = 0.0 if abs(after) <= _SAME * fill.volume else after
        self._recorded.setdefault(stream, deque()).append(_Open(fill, self._trades[stream]))
        self._match(stream)

    def ask(self, asked: Asked) -> None:
        """The run sent a request."""
        result = self._simulation.ask(asked)
        if asked.is_state:
            return  # what stood at the venue; it stands here already, or is not there
        if result is not None and not result.accepted:
            self._refused[result.code] += 1
        self._take()

    def report(self) -> FillReport:
        """What was found."""
        fills = tuple(sorted(self._errors, key=lambda each: (each.instant_ns, each.symbol, each.book)))
        return FillReport(
            fills=fills, trades=_trades(fills), resyncs=self._resyncs, refused=dict(sorted(self._refused.items()))
        )

    # -- matching --------------------------------------------------------------------------------------

    def _take(self) -> None:
        for fill in self._simulation.new_fills():
            if fill.order_id.startswith(RESYNC):
                continue
            stream = fill.symbol, fill.book
            number = self._trades[stream] + (self._held.get(stream, 0.0) == 0.0)
            self._simulated.setdefault(stream, deque()).append(_Open(fill, number))
            self._match(stream)

    def _match(self, stream: Stream) -> None:
        left, right = self._recorded.get(stream), self._simulated.get(stream)
        while left and right and str(left[0].fill.side) == str(right[0].fill.side):
            one, two = left[0], right[0]
            volume = min(one.left, two.left)
            share = volume / two.fill.volume
            rate = self._simulation.rates(stream[0], two.filled_ns)
            one.parts.append((volume, two.fill.price, two.filled_ns, two.fill.commission * share * rate))
            one.left, two.left = one.left - volume, two.left - volume
            if one.left <= _SAME * one.fill.volume:
                self._close(left.popleft())
            if two.left <= _SAME * two.fill.volume:
                right.popleft()

    def _due_ns(self) -> int:
        """When the oldest execution without another side has waited long enough; far away when there is none."""
        return min(
            (self._waits_until(queue[0]) for shelf in self._shelves for queue in shelf.values() if queue),
            default=_NEVER_NS,
        )

    def _waits_until(self, one: _Open) -> int:
        """Until a price has come as well: without one the simulation can fill nothing."""
        priced_ns = self._simulation.priced_ns(one.fill.symbol)
        return max(one.filled_ns + self._wait_ns, priced_ns) if priced_ns > one.filled_ns else _NEVER_NS

    def _give_up(self, at_ns: int) -> None:
        """Count what has waited for too long and bring the simulated position to the recorded one."""
        for stream in sorted(self._recorded.keys() | self._simulated.keys()):
            queues = [shelf[stream] for shelf in self._shelves if shelf.get(stream)]
            if not any(self._waits_until(queue[0]) <= at_ns for queue in queues):
                continue
            for queue in queues:
                while queue:
                    each = queue.popleft()
                    if isinstance(each.fill, SeenFill):
                        self._simulation.end_nearest(each.fill)
                    self._close(each)
            self._resyncs += 1
            self._simulation.bring_to(stream, self._held.get(stream, 0.0), f"{RESYNC}-{self._resyncs}")

    def _close(self, one: _Open) -> None:
        fill = one.fill
        is_recorded = isinstance(fill, SeenFill)
        status = SIMULATED_ONLY if not is_recorded else PAIRED if one.parts else RECORDED_ONLY
        error = FillError(
            symbol=fill.symbol, book=fill.book, trade=one.trade, side=str(fill.side), kind=fill.kind,
            volume=fill.volume if is_recorded else one.left, instant_ns=fill.filled_ns, status=status,
            recorded_price=fill.price if is_recorded else None, simulated_price=None if is_recorded else fill.price,
        )  # fmt: skip
        self._errors.append(self._measured(error, one) if status == PAIRED else error)

    def _measured(self, error: FillError, one: _Open) -> FillError:
        volume = sum(part[0] for part in one.parts)
        price = sum(part[0] * part[1] for part in one.parts) / volume
        sign = 1 if error.side == "buy" else -1
        worse = (one.fill.price - price) * sign
        tick = self._simulation.instruments[error.symbol].tick
        fee = one.fill.commission * volume / one.fill.volume - sum(part[3] for part in one.parts)
        return dataclasses.replace(
            error, simulated_price=price, ticks=worse / tick if tick > 0 else None,
            basis_points=worse / price * _BASIS_POINTS, time_ns=one.filled_ns - max(part[2] for part in one.parts),
            fee=fee,
        )  # fmt: skip


_NEVER_NS = (1 << 63) - 1


def _trades(fills: Sequence[FillError]) -> tuple[TradeError, ...]:
    groups: dict[tuple[str, str, int], list[FillError]] = {}
    for each in fills:
        groups.setdefault((each.symbol, each.book, each.trade), []).append(each)
    found = []
    for (symbol, book, trade), own in sorted(groups.items()):
        paired = [each for each in own if each.status == PAIRED]
        ticks = [each.ticks for each in paired if each.ticks is not None]
        found.append(
            TradeError(
                symbol=symbol, book=book, trade=trade, fills=len(own), unpaired=len(own) - len(paired),
                ticks=sum(ticks) if ticks else None, basis_points=sum(each.basis_points or 0.0 for each in paired),
                time_ns=max((each.time_ns or 0 for each in paired), key=abs, default=0),
                fee=sum(each.fee or 0.0 for each in paired),
            )
        )  # fmt: skip
    return tuple(found)
