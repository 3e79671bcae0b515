"""A paper account over a feed that is made up: prices are moved by hand, or go by themselves to where they shall."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from src.backtesting.config import CostsSection
from src.brokers.simulated import FillRules
from src.brokers.simulated.costs_section import costs_of
from src.core.bars import BarSeries
from src.core.clock import PHASE_TIMER, PHASE_WORKER, Participant
from src.core.config import AccountConfig
from src.core.errors import BrokerUnavailable, Stopping
from src.core.instrument import Instrument
from src.core.records import OrderRequest, OrderResult, OrderType, Quote, Side, make_order_request, make_quote
from src.core.timeframe import MINUTE_NS, SECOND_NS, parse_instant
from src.core.wall_clock import WallClock
from src.live.paper import PaperBroker
from src.live.paper_feed import PaperEvent
from src.testing.broker_contract import Bench

__all__ = ["START_NS", "FakeFeed", "PaperBench", "PaperWorld", "paper_bench"]

START_NS = parse_instant("2024-01-02")
SPREAD = 0.02
INSTRUMENT = {"tick": 0.01, "volume_step": 0.001, "min_volume": 0.01, "min_notional": 5.0}
COSTS = {"spread_points": 0.5, "commission_percent": 0.05, "slippage_percent": 0.01}
#: Of the market for each real second.
SPEED = 20_000.0
#: So much of the market, and so many polls, are long enough for anything that a case waits for.
PATIENCE_NS = 30 * MINUTE_NS
POLLS = 150
#: How far a moving price goes from one poll to the next.
STRIDE = 0.5


class Silent:
    """Waits for nothing."""

    def __call__(self) -> bool:
        """Never."""
        return False

    def next_due_ns(self) -> int | None:
        """Never."""
        return None


class FakeFeed:
    """Quotes around a price, and the minutes that they make.

    Attributes:
        wanted: where the price of each symbol goes.
        silent: whether nobody answers.
        frozen: whether the venue answers with what it said before.
        polls: how often it gave new quotes.
    """

    differing: tuple[str, ...] = ()

    def __init__(
        self, symbols: Sequence[str], now_ns: Callable[[], int], lengths: Sequence[int] = (MINUTE_NS,)
    ) -> None:
        self._now_ns = now_ns
        self.price = dict.fromkeys(symbols, 100.0)
        self.wanted = dict(self.price)
        self.silent = self.frozen = False
        self.polls = 0
        self.late: deque[Any] = deque()
        self.revised: deque[Any] = deque()
        self.bars = {(symbol, length): BarSeries.empty(symbol, length) for symbol in symbols for length in lengths}
        #: Of the bars that are under way: when they opened, and their columns.
        self._open: dict[tuple[str, int], tuple[int, list[float]]] = {}
        self._quotes: dict[str, Quote] = {}

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """See `PriceFeed`."""
        return self.bars[symbol, timeframe_ns]

    def quote(self, symbol: str) -> Quote | None:
        """See `PriceFeed`."""
        return self._quotes.get(symbol)

    def refresh(self) -> None:
        """See `PriceFeed`."""
        if self.silent:
            raise BrokerUnavailable("nobody answers")
        if self.frozen:
            return
        asked_ns = self._now_ns()
        self.polls += 1
        for symbol, at in self.price.items():
            away = self.wanted[symbol] - at
            price = self.price[symbol] = at + max(-STRIDE, min(STRIDE, away))
            self.touch(symbol, price, asked_ns)
            bid, ask = round(price - SPREAD / 2, 6), round(price + SPREAD / 2, 6)
            self._quotes[symbol] = make_quote(symbol=symbol, instant_ns=asked_ns, bid=bid, ask=ask)

    def touch(self, symbol: str, price: float, instant_ns: int) -> None:
        """Somebody trades at a price that no quote need show."""
        for (name, length), series in self.bars.items():
            if name != symbol:
                continue
            open_ns = instant_ns - instant_ns % length
            bar = self._open.get((symbol, length))
            if bar is not None and bar[0] < open_ns:
                o, h, low, c, volume = bar[1]
                series.append(bar[0], o, h, low, c, volume)
                bar = None
            if bar is None:
                bar = self._open[symbol, length] = open_ns, [price, price, price, price, 0.0]
            columns = bar[1]
            columns[1], columns[2] = max(columns[1], price), min(columns[2], price)
            columns[3], columns[4] = price, columns[4] + 1


class PaperWorld:
    """A paper account whose time is set by hand.

    Attributes:
        events: what it told, from the first one on.
    """

    def __init__(
        self, symbols: Sequence[str] = ("AAA",), *, account: Mapping[str, Any] | None = None,
        costs: Mapping[str, Any] | None = None, rules: Mapping[str, Any] | None = None,
        feed: FakeFeed | None = None, **instrument: Any,
    ) -> None:  # fmt: skip
        self.now_ns = START_NS
        self.events: list[PaperEvent] = []
        self.feed = FakeFeed(symbols, lambda: self.now_ns) if feed is None else feed
        self.broker = paper_broker(
            self.feed, symbols, lambda: self.now_ns, {"leverage": 5, **(account or {})}, costs, rules,
            on_event=self.events.append, **instrument,
        )  # fmt: skip
        self._placed = 0

    def pass_time(self, seconds: float = 1.0, price: float | None = None, symbol: str = "AAA") -> None:
        """Poll once, so many seconds later; the price is there at once."""
        self.now_ns += round(seconds * SECOND_NS)
        if price is not None:
            self.feed.price[symbol] = self.feed.wanted[symbol] = price
        self.broker.refresh()

    def order(
        self, side: Side = Side.BUY, type_: OrderType = OrderType.MARKET, *, symbol: str = "AAA", **more: Any
    ) -> OrderResult:
        """Place an order of one unit."""
        return self.broker.place(self.request(side, type_, symbol=symbol, **more))

    def request(self, side: Side, type_: OrderType, **more: Any) -> OrderRequest:
        """A request with an id of its own."""
        self._placed += 1
        values = {"client_id": f"o{self._placed}", "book": "b", "volume": 1.0, **more}
        return make_order_request(side=side, type=type_, **values)

    def told(self) -> list[tuple[str, float, float]]:
        """Kind, price and seconds of all fills."""
        return [(each.kind, each.price, (each.filled_ns - START_NS) / SECOND_NS) for each in self.broker.fills()]


def paper_broker(
    feed: FakeFeed, symbols: Sequence[str], now_ns: Callable[[], int], account: Mapping[str, Any],
    costs: Mapping[str, Any] | None = None, rules: Mapping[str, Any] | None = None,
    on_event: Callable[[PaperEvent], None] | None = None, **instrument: Any,
) -> PaperBroker:  # fmt: skip
    """A paper account that has not begun."""
    built = {
        symbol: Instrument(
            **{"symbol": symbol, "kind": "perpetual", "quote_currency": "USD", **INSTRUMENT, **instrument}
        )
        for symbol in symbols
    }
    lengths: dict[str, list[int]] = {symbol: [] for symbol in symbols}
    for symbol, length in feed.bars:
        lengths[symbol].append(length)
    return PaperBroker(
        feed, AccountConfig.model_validate({"currency": "USD", "balance": 10_000, **account}), built, lengths,
        costs_of(CostsSection.model_validate(COSTS if costs is None else costs)), FillRules(**(rules or {})), now_ns,
        on_event=on_event,
    )  # fmt: skip


class PaperBench:
    """See `Bench`: a paper account under a clock that really waits, whose feed is polled each second."""

    symbol = "AAA"
    prefix = "t"

    def __init__(self, account: Mapping[str, Any]) -> None:
        self.clock = WallClock(speed=SPEED, origin_ns=START_NS)
        self.feed = FakeFeed((self.symbol,), self.clock.now_ns)
        self.broker = paper_broker(self.feed, (self.symbol,), self.clock.now_ns, account)

    def now_ns(self) -> int:
        """See `Bench.now_ns`."""
        return self.clock.now_ns()

    def until(self, condition: Callable[[], bool]) -> bool:
        """See `Bench.until`; looks when prices have come to rest, and waits for a feed that is behind its clock."""
        last, last_ns = self.feed.polls + POLLS, self.now_ns() + PATIENCE_NS

        def over() -> bool:
            return self.feed.polls >= last and self.now_ns() >= last_ns

        def met() -> bool:
            return self.feed.price == self.feed.wanted and condition()

        if not met():
            self.clock.wait_until(lambda: met() or over(), "something to happen")
        return condition()

    def move_to(self, price: float) -> None:
        """See `Bench.move_to`."""
        self.feed.wanted[self.symbol] = price


def paper_bench(account: Mapping[str, Any]) -> Callable[[Callable[[Bench], None]], None]:
    """A factory of benches for `check`."""

    def run_on_bench(run: Callable[[Bench], None]) -> None:
        bench = PaperBench(account)
        clock, broker = bench.clock, bench.broker
        broker.start()

        def case() -> None:
            try:
                run(bench)
            finally:
                clock.stop("the case is over")

        def pump() -> None:
            try:
                while True:
                    clock.sleep(SECOND_NS)
                    broker.refresh()
            except Stopping:
                return

        clock.spawn(Participant(name="market", phase=PHASE_TIMER, rank=0, wake=Silent()), pump)
        clock.spawn(Participant(name="case", phase=PHASE_WORKER, rank=0, wake=Silent()), case)
        clock.drive()

    return run_on_bench
