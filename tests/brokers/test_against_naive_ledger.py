"""The simulated venue against a naive ledger: whatever is asked and whatever the prices do, both tell the same."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import reject, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from src.backtesting.engine.market import SimulatedMarket
from src.core.bars import BarSeries
from src.core.journal import Journal
from src.core.records import Fill
from src.core.timeframe import MINUTE_NS, parse_instant
from tests.brokers.case_world import HandClock, build_broker, request_from, series_from
from tests.brokers.naive_ledger import NaiveLedger
from tests.brokers.naive_records import Paper, Tie
from tests.generators import bars

#: A run that finds nothing takes seconds; the shortest telling of a failure is looked for during five minutes.
pytestmark = pytest.mark.timeout(900)

#: The last one is the price of the money that CCC's profit may be; nobody trades it.
SYMBOLS = ("AAA", "BBB", "CCC")
PAIR = "EURUSD"
EVERYTHING = (*SYMBOLS, PAIR)
FOREIGN = {"CCC": {"currency": "EUR"}, PAIR: {"base": "EUR", "currency": "USD"}}
START_NS = parse_instant("2024-01-02")
#: So long are the series; nobody gets near their end, which is a matter of its own.
MINUTES = 16
LAST = MINUTES - 3
#: A power of two, so that fees are exact in binary and equal amounts are equal.
FEE = Fraction(1, 1024)
SYMBOL = st.sampled_from(SYMBOLS)
SIDE = st.sampled_from((0, 1, -1))
#: The last volume that the account has room for, one step less and one step more; and what is held, and twice that.
EDGE = st.sampled_from(("below", "at", "above", "held", "twice"))
PRICES = st.lists(bars(), min_size=len(EVERYTHING), max_size=len(EVERYTHING))
MAYBE = st.one_of(st.none(), st.integers(0, 6))


def close_to(value: Fraction) -> Any:
    """A number up to rounding."""
    return pytest.approx(float(value), abs=1e-9, rel=1e-12)


class VenueAndLedger(RuleBasedStateMachine):
    """Both are asked the same and live through the same bars, which are made up as time goes on."""

    @initialize(
        half=st.sampled_from((0, 1, 2)), slip=st.sampled_from((0, 1)), fee=st.booleans(), touch=st.booleans(),
        hedging=st.booleans(), late=st.booleans(), foreign=st.booleans(),
        strict=st.booleans(), leverage=st.sampled_from((1, 5, 20)),
        cash=st.sampled_from((700, 5000)), holes=st.sets(st.tuples(SYMBOL, st.integers(1, LAST)), max_size=12),
        first=PRICES, sides=st.tuples(SIDE, SIDE, SIDE),
    )  # fmt: skip
    def begin(
        self, half: int, slip: int, fee: bool, touch: bool, hedging: bool, late: bool, foreign: bool,
        strict: bool, leverage: int,
        cash: int, holes: set[tuple[str, int]], first: list[list[float]],
        sides: tuple[int, int, int],
    ) -> None:  # fmt: skip
        """Both start with the same money, costs and rules; which minutes are absent is settled, prices are not."""
        self.naive = NaiveLedger(
            EVERYTHING, cash=Fraction(cash), half=Fraction(half, 4), slip=Fraction(slip, 4), fee=FEE * fee,
            leverage=Fraction(leverage), touch=touch, hedging=hedging, latency=Fraction(int(late)),
            pairs={"CCC": PAIR} if foreign and not strict else {}, stop_out=Fraction(1, 2) if strict else None,
        )  # fmt: skip
        self.naive.mark[PAIR] = Fraction(100, 64)
        self.base = {}
        for symbol in EVERYTHING:
            flat = [100.0 / 64 if symbol == PAIR else 100.0] * 4
            rows = [flat] + [None if (symbol, m) in holes else flat for m in range(MINUTES)]
            self.base[symbol] = series_from(symbol, rows, START_NS - MINUTE_NS, "trade")
        self.broker = build_broker(
            self.base,
            account={
                "balance": cash, "leverage": leverage, "positions": "hedging" if hedging else "netting",
                "stop_out_percent": 50 if strict else None,
            },
            costs={
                "spread_points": half / 2, "slippage_points": slip / 4, "commission_percent": 100 * float(FEE) * fee,
                "latency": "60s" if late else "0s",
            },
            rules={"limit_fill": "touch" if touch else "through"},
            instruments=FOREIGN if self.naive.pairs else {},
        )  # fmt: skip
        self.clock = HandClock(START_NS)
        self.market = SimulatedMarket(self.broker, Journal(), START_NS, START_NS + MINUTES * MINUTE_NS)
        self.broker.bind(self.clock, Journal())  # type: ignore[arg-type]  # a venue asks a clock for the time only
        self.minute = 0
        self.now = Fraction(0)
        self.names = 0
        self.bars: dict[int, dict[str, Any]] = {}
        self._write(0, first)
        for symbol, sign in zip(SYMBOLS, sides, strict=True):
            if sign:  # something is held from the beginning on
                size = self._edge(symbol, sign, self.naive.mark[symbol], "at") / 4
                self._place("market", symbol, sign, size, None, None, None, "", None)

    # -- time ------------------------------------------------------------------------------------------------------

    def _write(self, minute: int, prices: list[list[float]]) -> None:
        """Make up the bars of a minute; those of the venue lie ready and get their prices only now."""
        now_ns = START_NS + minute * MINUTE_NS
        made: dict[str, Any] = {}
        for symbol, bar in zip(EVERYTHING, prices, strict=True):
            if symbol == PAIR:
                bar = [price / 64 for price in bar]
            i = _index(self.base[symbol], now_ns)
            made[symbol] = None if i is None else tuple(Fraction(price) for price in bar)
            if i is not None:
                series = self.base[symbol]
                series.open[i], series.high[i], series.low[i], series.close[i] = bar
        self.bars[minute] = made

    def _go_to(self, minute: Fraction) -> None:
        until = START_NS + int(minute * MINUTE_NS)
        while (at := self.market.next_ns()) is not None and at <= until:
            self.clock.instant_ns = at
            self.market.advance(at)
        self.clock.instant_ns = until

    @precondition(lambda self: self.minute < LAST)
    @rule(prices=PRICES)
    def next_minute(self, prices: list[list[float]]) -> None:
        """The bars of this minute end, those of the next open."""
        before, self.minute = self.minute, self.minute + 1
        self._write(self.minute, prices)
        try:
            if self.now == before:  # what was asked at this instant is filled at the opens of this instant
                self.naive.opens(self.now, self.bars[before])
            self.now = Fraction(self.minute)
            self.naive.closes(self.now, self.bars[before])
            self.naive.cancellations(self.now, set())
            self.naive.opens(self.now, self.bars[self.minute])
        except Tie:
            reject()
        self._go_to(self.now)
        self._compare()

    @precondition(lambda self: self.now == self.minute)
    @rule()
    def half_a_minute(self) -> None:
        """What follows is asked while bars are under way."""
        bars_now = self.bars[self.minute]
        try:
            self.naive.opens(self.now, bars_now)
        except Tie:
            reject()
        self.now += Fraction(1, 2)
        self.naive.cancellations(self.now, {symbol for symbol, bar in bars_now.items() if bar is not None})
        self._go_to(self.now)
        self._compare()

    # -- what is asked ---------------------------------------------------------------------------------------------

    @rule(
        kind=st.sampled_from(("market", "market", "limit", "stop")), symbol=SYMBOL, buy=st.booleans(),
        volume=st.one_of(st.integers(0, 4), EDGE), offset=st.integers(-4, 4), guard=MAYBE, goal=MAYBE,
        how=st.sampled_from(("", "", "", "reduce", "reverse")), pick=st.integers(0, 3),
    )  # fmt: skip
    def place(
        self, kind: str, symbol: str, buy: bool, volume: int | str, offset: int, guard: int | None, goal: int | None,
        how: str, pick: int,
    ) -> None:  # fmt: skip
        """An order around the present price; a distance of 0 puts a stop or target at the entry itself."""
        sign, mark = (1 if buy else -1), self.naive.mark[symbol]
        price = None if kind == "market" else mark + offset
        entry = mark + sign * self.naive.half if price is None else price
        stop = None if guard is None else entry - sign * guard
        target = None if goal is None else entry + sign * goal
        stocks = self.naive.stocks(symbol)
        position = stocks[pick % len(stocks)].name if how == "reduce" and pick and stocks else None
        size = self._edge(symbol, sign, entry, volume) if isinstance(volume, str) else Fraction(volume)
        self._place(kind, symbol, sign, size, price, stop, target, how, position)

    def _place(
        self, kind: str, symbol: str, sign: int, size: Fraction, price: Fraction | None, stop: Fraction | None,
        target: Fraction | None, how: str, position: str | None,
    ) -> None:  # fmt: skip
        self.names += 1
        name = f"o{self.names}"
        paper = Paper(
            name, symbol, kind, sign, size, price, stop, target, how == "reduce", how == "reverse",
            position, self.now, self.now + self.naive.latency,
        )  # fmt: skip
        request = {
            "symbol": symbol, "side": "buy" if sign > 0 else "sell", "type": kind, "volume": float(size),
            "price": _float(price), "stop": _float(stop), "target": _float(target), "reduce_only": how == "reduce",
            "reverse": how == "reverse", "position_id": position,
        }  # fmt: skip
        expected = self._asked(lambda: self.naive.place(paper))
        result = self.broker.place(request_from(request, name, START_NS))

        assert result.code == expected, (result, paper)

    @rule(symbol=SYMBOL, buy=st.booleans(), which=st.sampled_from(("below", "at")), share=st.sampled_from((1, 2, 2)))
    def enter_with_all(self, symbol: str, buy: bool, which: str, share: int) -> None:
        """Buy or sell for all that is free, or for half of it: the account is soon in need."""
        sign = 1 if buy else -1
        size = self._edge(symbol, sign, self.naive.mark[symbol] + sign * self.naive.half, which) / share
        self._place("market", symbol, sign, size, None, None, None, "", None)

    @precondition(lambda self: self.naive.working())
    @rule(pick=st.integers(0, 9))
    def cancel(self, pick: int) -> None:
        """End one of the working orders."""
        working = self.naive.working()
        paper = working[pick % len(working)]
        inside = self._is_under_way(paper.symbol)
        assert self.naive.cancel(paper.name, self.now, inside) == self.broker.cancel(paper.name).code

    # Under latency a change is another matter: see the table of cases.
    @precondition(lambda self: not self.naive.latency and self.naive.working())
    @rule(pick=st.integers(0, 9), offset=st.integers(-4, 4), volume=st.integers(0, 4))
    def modify(self, pick: int, offset: int, volume: int) -> None:
        """Move one of the working orders."""
        working = self.naive.working()
        paper = working[pick % len(working)]
        price = self.naive.mark[paper.symbol] + offset
        inside = self._is_under_way(paper.symbol)
        expected = self._asked(lambda: self.naive.modify(paper.name, price, Fraction(volume), self.now, inside))
        result = self.broker.modify(paper.name, price=float(price), volume=float(volume))
        assert result.code == expected, (result, paper)

    @precondition(lambda self: self.naive.stocks())
    @rule(pick=st.integers(0, 9), guard=MAYBE, goal=MAYBE)
    def protect(self, pick: int, guard: int | None, goal: int | None) -> None:
        """Move stop and target of something that is held, on their side or on the wrong one."""
        stocks = self.naive.stocks()
        stock = stocks[pick % len(stocks)]
        way, quote = (1 if stock.volume > 0 else -1), self.naive.leaving(stock, self.naive.mark[stock.symbol])
        stop = None if guard is None else quote - way * (guard - 1)
        target = None if goal is None else quote + way * (goal - 1)
        expected = self.naive.protect(stock.name, stop, target, self.now, self._is_under_way(stock.symbol))
        assert self.broker.protect(stock.name, stop=_float(stop), target=_float(target)).code == expected

    @precondition(lambda self: self.naive.stocks())
    @rule(pick=st.integers(0, 9), volume=st.integers(1, 5))
    def close(self, pick: int, volume: int) -> None:
        """Close something that is held, or a part of it."""
        stocks = self.naive.stocks()
        stock = stocks[pick % len(stocks)]
        sign, size = (-1 if stock.volume > 0 else 1), min(abs(stock.volume), Fraction(volume))
        self.names += 1
        name = f"o{self.names}"
        result = self.broker.close(stock.name, client_id=name, volume=float(volume))
        paper = Paper(
            name, stock.symbol, "market", sign, size, None, None, None, True, False, stock.name, self.now,
            self.now + self.naive.latency,
        )  # fmt: skip
        assert (self.naive.place(paper), result.code) == ("", "")

    def _edge(self, symbol: str, sign: int, entry: Fraction, which: str) -> Fraction:
        """What is held, or a volume in 64ths about as large as the free margin."""
        if which in ("held", "twice"):
            held = abs(sum((stock.volume for stock in self.naive.stocks(symbol)), Fraction(0)))
            return 2 * held if which == "twice" else held
        free = max(Fraction(0), self.naive.equity() - self.naive.margin())
        steps = int(64 * free / self.naive.taken(symbol, sign, Fraction(1), entry, entry))
        return Fraction(max(0, steps + ("below", "at", "above").index(which) - 1), 64)

    def _is_under_way(self, symbol: str) -> bool:
        return self.now != self.minute and self.bars[self.minute][symbol] is not None

    def _asked(self, question: Any) -> str:
        try:
            return str(question())
        except Tie:
            reject()

    # -- what must be ----------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        self._they_agree()
        self._money_is_conserved()
        self._fills_have_a_cause_and_a_price()

    def _they_agree(self) -> None:
        """Executions, holdings, protection, orders and money are the same to 1e-9."""
        naive = self.naive
        fills = self.broker.fills()
        assert [(f.order_id, f.symbol, f.kind, f.side.sign * f.volume, f.price) for f in fills] == [
            (e.order, e.symbol, e.kind, float(e.signed), close_to(e.price)) for e in naive.done
        ]
        held = {p.position_id: p for p in self.broker.snapshot().positions}
        assert {name: p.volume for name, p in held.items()} == {s.name: float(s.volume) for s in naive.stocks()}
        for stock in naive.stocks():
            assert held[stock.name].entry_price == close_to(stock.average)
            guard = naive.guards[stock.name]
            assert (held[stock.name].stop, held[stock.name].target) == (_float(guard.stop), _float(guard.target))
        account = self.broker.snapshot().account
        assert account.balance == close_to(naive.balance())
        assert account.equity == close_to(naive.equity())
        assert account.margin_used == close_to(naive.margin())
        states = {order.order_id: f"{order.state.value} {order.code}".strip() for order in self.broker.orders()}
        assert {paper.name: states.get(paper.name) for paper in naive.papers} == {p.name: p.state for p in naive.papers}

    def _money_is_conserved(self) -> None:
        """The fills as they were told account for the whole balance."""
        snapshot = self.broker.snapshot()
        if not self.naive.pairs:  # with several currencies a rate belongs to each profit, and the naive ledger has them
            cash = float(self.naive.cash)
            for fill in self.broker.fills():
                cash -= fill.side.sign * fill.volume * fill.price + fill.commission
            held = sum(p.volume * p.entry_price for p in snapshot.positions)
            assert snapshot.account.balance == pytest.approx(cash + held, abs=1e-9, rel=1e-12)
        for trade in self.broker.trades():
            costs = trade.commission + trade.spread_cost + trade.slippage_cost
            assert trade.gross - costs == pytest.approx(trade.net, abs=1e-9)

    def _fills_have_a_cause_and_a_price(self) -> None:
        """No fill lies before its order existed, and each lies inside a bar of its very time."""
        counted = {paper.name: paper.counts_from for paper in self.naive.papers}
        for fill in self.broker.fills():
            since = Fraction(fill.filled_from_ns - START_NS, MINUTE_NS)
            if fill.order_id in counted:
                assert since >= counted[fill.order_id]
            self._has_fresh_price(fill, since)

    def _has_fresh_price(self, fill: Fill, since: Fraction) -> None:
        at_close = fill.kind == "stop_out" and fill.filled_ns == fill.filled_from_ns
        bar = self.bars[int(since) - at_close][fill.symbol]
        assert bar is not None, f"{fill} lies where its symbol has no bar"
        shown = Fraction(fill.price) - fill.side.sign * self.naive.half
        slipped = fill.side.sign * self.naive.slip if fill.slippage_cost else 0
        assert bar[2] <= shown - slipped <= bar[1]
        if fill.filled_ns == fill.filled_from_ns:
            assert shown - slipped == bar[3 if at_close else 0]


def _index(series: BarSeries, open_ns: int) -> int | None:
    i = int(series.open_ns.searchsorted(open_ns))
    return i if i < len(series.open_ns) and int(series.open_ns[i]) == open_ns else None


def _float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)


TestVenueAndLedger = pytest.mark.slow(VenueAndLedger.TestCase)
TestVenueAndLedger.settings = settings(max_examples=60, stateful_step_count=30)
