"""A simulated venue behind faults, and the naive ledger beside it, moved and asked together.

The bot's side is either the faulty broker itself, then every answer is foretold by the naive plan; or the bot's own
guard over it, then it is held to what it promises. In both cases all that reaches the venue reaches the ledger.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import pytest

from src.backtesting.engine.market import SimulatedMarket
from src.brokers.faults import Fault, FaultKind, FaultPlan
from src.brokers.faulty import FaultyBroker
from src.core.bars import BarSeries
from src.core.errors import BrokerUnavailable
from src.core.journal import Journal
from src.core.records import OrderEvent, OrderRequest, OrderResult
from src.core.steady_broker import SteadyBroker
from src.core.timeframe import MINUTE_NS, parse_instant
from tests.brokers.case_world import HandClock, build_broker, series_from
from tests.brokers.ledger_wire import Wire, bare
from tests.brokers.naive_faults import PARTS, UNHEARD, NaivePlan, Row
from tests.brokers.naive_linked import LinkedLedger
from tests.brokers.naive_records import Bar

__all__ = ["EVERYTHING", "LAST", "MINUTES", "PAIR", "START_NS", "SYMBOLS", "Story", "close_to"]

#: The last one is the price of the money that BBB's profit may be; nobody trades it.
SYMBOLS = ("AAA", "BBB")
PAIR = "EURUSD"
EVERYTHING = (*SYMBOLS, PAIR)
FOREIGN = {"BBB": {"currency": "EUR"}, PAIR: {"base": "EUR", "currency": "USD"}}
START_NS = parse_instant("2024-01-02")
#: Stories go up to LAST; what is left to recover then has the minutes after it; series end later still.
LAST = 10
CALM = 40
MINUTES = LAST + CALM + 4
HALF = Fraction(1, 2)
#: How long a venue may take to accept what was sent, and how old a price may be on which something is opened.
IN_FLIGHT = Fraction(1, 2)
Picture = tuple[Any, Any, dict[str, float], dict[str, tuple[str, float]]]


def close_to(value: Fraction) -> Any:
    """A number up to rounding."""
    return pytest.approx(float(value), abs=1e-9, rel=1e-12)


class Story:
    """See the module's text.

    Args:
        rows: what goes wrong.
        guarded: whether the bot's guard stands before the faulty broker.
        ledger: the arguments of the naive ledger that the venue shares.
        holes: which symbols have no bar in which minutes.
    """

    def __init__(
        self, rows: list[Row], *, guarded: bool, foreign: bool, holes: set[tuple[str, int]], cash: int,
        half: Fraction, slip: Fraction, fee: Fraction, leverage: int, touch: bool, hedging: bool, late: bool,
        strict: bool,
    ) -> None:  # fmt: skip
        wide = [(row.symbol, row.start, row.end, row.factor) for row in rows if row.kind == "spread"]
        self.naive = LinkedLedger(
            EVERYTHING, wide=wide, cash=Fraction(cash), half=half, slip=slip, fee=fee, leverage=Fraction(leverage),
            touch=touch, hedging=hedging, latency=Fraction(int(late)), pairs={"BBB": PAIR} if foreign else {},
            stop_out=HALF if strict else None,
        )  # fmt: skip
        self.naive.mark[PAIR] = Fraction(100, 64)
        self.base: dict[str, BarSeries] = {}
        for symbol in EVERYTHING:
            flat = [100.0 / 64 if symbol == PAIR else 100.0] * 4
            bars = [flat] + [None if (symbol, m) in holes else flat for m in range(MINUTES)]
            self.base[symbol] = series_from(symbol, bars, START_NS - MINUTE_NS, "trade")
        plan = FaultPlan([_fault(row) for row in rows])
        self.venue = build_broker(
            self.base,
            account={"balance": cash, "leverage": leverage, "positions": "hedging" if hedging else "netting",
                     "stop_out_percent": 50 if strict else None},
            costs={"spread_points": 2 * float(half), "slippage_points": float(slip),
                   "commission_percent": 100 * float(fee), "latency": "60s" if late else "0s"},
            rules={"limit_fill": "touch" if touch else "through"},
            instruments=FOREIGN if foreign else {}, blow_outs=plan.blow_outs,
        )  # fmt: skip
        self.hand = HandClock(START_NS)
        clock: Any = self.hand  # what everybody here asks a clock for is the time
        self.market = SimulatedMarket(self.venue, Journal(), START_NS, START_NS + MINUTES * MINUTE_NS)
        self.venue.bind(clock, Journal())
        self.bars: dict[int, dict[str, Bar | None]] = {}
        self.now = Fraction(0)
        #: The minute up to which all bars of the ledger have ended.
        self.closed = 0
        self.wire = Wire(self.venue, self.naive, self.clock_minute, START_NS, self.is_under_way)
        self.plan = NaivePlan(rows)
        wire: Any = self.wire
        self.faulty = FaultyBroker(wire, plan, clock, Journal(), self.venue.signals)
        self.steady = SteadyBroker(self.faulty, clock, Journal()) if guarded else None
        self.bot: Any = self.steady or self.faulty
        self.mailboxes = {symbol: self.bot.mailbox(symbol) for symbol in EVERYTHING}
        self.heard: list[OrderEvent] = []
        self.requests: dict[str, OrderRequest] = {}
        self.unanswered: dict[str, Fraction] = {}
        #: What the guard answered to a call about something, and when.
        self.answers: dict[tuple[str, str], tuple[Fraction, str]] = {}
        self.wanted_out: dict[str, tuple[str, Fraction]] = {}
        self.silent: dict[str, str] = {}
        self.frozen: Picture | None = None
        self.old: Picture | None = None
        self.shown: dict[str, tuple[Fraction, Any, Any]] = {}
        self.names = 0

    # -- time ----------------------------------------------------------------------------------------------------------

    def clock_minute(self) -> Fraction:
        """The present in minutes, as the venue's clock has it."""
        return Fraction(self.hand.instant_ns - START_NS, MINUTE_NS)

    def is_under_way(self, symbol: str) -> bool:
        """Whether a bar of the symbol has opened and is not over."""
        # What was on its way arrives at an instant before the bars that end then have ended.
        return self.clock_minute() > self.closed and self.bars[self.closed][symbol] is not None

    def write(self, minute: int, prices: list[list[float]]) -> None:
        """Make up the bars of a minute; those of the venue lie ready and get their prices only now."""
        made: dict[str, Bar | None] = {}
        for symbol, bar in zip(EVERYTHING, prices, strict=True):
            o, h, low, c = (price / 64 for price in bar) if symbol == PAIR else bar
            series = self.base[symbol]
            i = int(series.open_ns.searchsorted(START_NS + minute * MINUTE_NS))
            there = i < len(series.open_ns) and int(series.open_ns[i]) == START_NS + minute * MINUTE_NS
            made[symbol] = (Fraction(o), Fraction(h), Fraction(low), Fraction(c)) if there else None
            if there:
                series.open[i], series.high[i], series.low[i], series.close[i] = o, h, low, c
        self.bars[minute] = made

    def go_to(self, until: Fraction) -> None:
        """Move both sides to an instant; before each step of the venue the ledger has done all that lies before it."""
        todo = self._phases(until)
        end_ns = START_NS + int(until * MINUTE_NS)
        while (at_ns := self.market.next_ns()) is not None and at_ns <= end_ns:
            at = Fraction(at_ns - START_NS, MINUTE_NS)
            while todo and todo[0][0] < at:
                todo.pop(0)[1]()
            closing = {symbol: series.length for symbol, series in self.base.items()}
            self.hand.instant_ns = at_ns
            self.look()
            self.faulty.before_step(at_ns)
            self.market.advance(at_ns)
            self.faulty.after_step(at_ns)
            if any(series.length > closing[symbol] for symbol, series in self.base.items()):
                self._carries({symbol for symbol, series in self.base.items() if series.length > closing[symbol]})
        for _, act in todo:
            act()
        self.hand.instant_ns, self.now = end_ns, until
        self.look()

    def _phases(self, until: Fraction) -> list[tuple[Fraction, Callable[[], None]]]:
        """All that the ledger does on the way, in order: closes, what ends by itself, opens."""
        at = self.now
        found: list[tuple[Fraction, Callable[[], None]]] = []
        while at <= until:
            whole, minute = at.denominator == 1, int(at)
            if at > self.now:
                if whole:
                    found.append((at, partial(self._close, at, minute - 1)))
                under_way = set() if whole else {s for s, bar in self.bars[minute].items() if bar is not None}
                found.append((at, partial(self.naive.cancellations, at, under_way)))
            if whole:
                found.append((at, partial(self._open, at, minute)))
            at += HALF
        return found

    def _close(self, at: Fraction, minute: int) -> None:
        self.naive.closes(at, self.bars[minute])
        self.closed = minute + 1

    def _open(self, at: Fraction, minute: int) -> None:
        self.naive.opens(at, self.bars[minute])

    def _carries(self, closed: set[str]) -> None:
        """No close of bars leaves positions that their equity does not carry."""
        snapshot = self.venue.snapshot()
        held = {each.symbol for each in snapshot.positions}
        if self.naive.stop_out is not None and held and held <= closed:
            assert snapshot.account.equity >= float(self.naive.stop_out) * snapshot.account.margin_used - 1e-9

    # -- what is asked of the bot's side -------------------------------------------------------------------------------

    def look(self) -> None:
        """Somebody looks at what the bot sees: what has stood still since then, and what arrives now."""
        now = self.clock_minute()
        if self.steady is None:
            away = self.plan.away(now) is not None
            if away and self.frozen is None:
                self.faulty.equity()  # whoever asks now lets arrive what is due, and that counts
                self.frozen = self.picture()
            elif not away:
                self.faulty.equity()
                self.frozen = None
            self._arrived([])
        for symbol in EVERYTHING:
            mark, half = self.naive.mark[symbol], self.naive.half_of(symbol)
            since = self.shown.get(symbol, (now,))[0]
            if symbol not in self.shown or not self.plan.is_dead(symbol, since, now):
                self.shown[symbol] = (now, mark - half, mark + half)

    def picture(self) -> Picture:
        """The account as it is, with the orders as the bot is to hear of them."""
        naive = self.naive
        for name in self.plan.met:
            self.expected(name)
        orders = {each.name: self.expected(each.name) for each in naive.working()}
        orders |= {name: self.expected(name) for name, end in self.silent.items() if end == "partly_filled"}
        held = {each.name: float(each.volume) for each in naive.stocks()}
        return close_to(naive.balance()), close_to(naive.equity()), held, orders

    def expected(self, name: str) -> tuple[str, float]:
        """State and volume of an order as the bot is to hear of it."""
        paper = next(each for each in reversed(self.naive.papers) if each.name == name)
        state, row = paper.state.split()[0], self.plan.met.get(name)
        if row is None or row.kind not in PARTS:
            return state, float(paper.volume)
        if state == "filled":
            state = self.silent.setdefault(name, "partly_filled") if row.kind == "partly_silent" else "rejected"
        return state, 2 * float(paper.volume)

    def ask(self, name: str, symbol: str, what: Callable[[Row | None], str], able: Callable[[Row], bool],
            call: Callable[[], OrderResult], identity: str) -> OrderResult | None:  # fmt: skip
        """Make a call and hold what arrives and what is answered to the plan; the answer, None when there is none.

        Args:
            what: how the call looks to the venue, as the fault lets it.
            able: whether a fault can happen to it.
        """
        if self.steady is not None:
            answer = call()
            self.answers[identity, name] = (self.now, answer.code)
            self.wire.forget()
            return answer
        self.look()
        row = self.plan.hit(name, symbol, self.now, able)
        kind = "" if row is None else row.kind
        before = self.picture()
        result = _answer(call)
        lost = kind in UNHEARD or (kind == "stop_without_id" and name == "protect")
        silent = name == "cancel" and not lost and self.silent.get(identity) == "partly_filled"
        codes = list(self.wire.codes)
        if row is not None and row.after:
            self.plan.under_way.append((self.now + row.after, (name, what(row))))
            lost = True
        self._arrived([] if lost or silent else [(name, what(row))])
        code = codes[-1] if codes else ""
        if silent:
            self.silent[identity] = "cancelled"
        if not lost and not code and row is not None and name in ("place", "close"):
            self.plan.met[identity] = row
        if kind == "stale_reply":
            self.old = before
        if kind in ("disconnect", "timeout_lost", "timeout_accepted"):
            assert result is None, (kind, result)
            return None
        told = {"rate_limit": "rate_limit", "reject": "rejected"}.get(kind, code)
        assert result is not None
        assert (result.accepted, result.code) == (not told, told), (kind, result)
        assert (result.order_id == "") is (not result.accepted or kind == "stop_without_id"), (kind, result)
        return result

    def _arrived(self, expected: list[tuple[str, str]]) -> None:
        due = self.plan.arriving(self.clock_minute())
        assert self.wire.arrived == due + expected
        self.wire.forget()

    def place(self, request: OrderRequest) -> OrderResult | None:
        """Send an order."""
        self.requests.setdefault(request.client_id, request)
        protected = not bare(request)

        def able(row: Row) -> bool:
            if row.kind == "stop_without_id":
                return protected and not request.reduce_only
            return row.kind not in PARTS or request.volume > 0

        def what(row: Row | None) -> str:
            volume = request.volume / 2 if row is not None and row.kind in PARTS else request.volume
            guarded = protected and (row is None or row.kind != "stop_without_id")
            return f"{request.client_id} {volume} {'guarded' if guarded else 'bare'}"

        stale = self.steady is not None and not request.reduce_only and self.is_stale(request.symbol)
        calls = len(self.wire.placed)
        result = self.ask(
            "place", request.symbol, what, able, lambda: self.bot.place(request), request.client_id
        )  # fmt: skip
        if result is None:
            self.unanswered[request.client_id] = self.now
        if self.steady is not None and result is not None:
            assert (result.code == "stale_price") is stale, (result, self.shown[request.symbol])
            assert not stale or request.client_id not in self.wire.placed[calls:]
        return result

    def is_stale(self, symbol: str) -> bool:
        """Whether the price that the bot has is too old to open anything on it."""
        self.look()
        return self.clock_minute() - self.shown[symbol][0] > 2 * IN_FLIGHT

    def close(self, position: str, volume: float | None, identity: str) -> OrderResult | None:
        """Send an order to close a position or a part of it."""
        stock = next((each for each in self.naive.stocks() if each.name == position), None)
        held = 0.0 if stock is None else float(abs(stock.volume))
        whole = held if volume is None else min(held, volume)

        def able(row: Row) -> bool:
            return stock is not None and row.kind != "stop_without_id"

        def what(row: Row | None) -> str:
            return f"{identity} {whole / 2 if row is not None and row.kind in PARTS else volume}"

        result = self.ask(
            "close", self.symbol_of(position), what, able,
            lambda: self.bot.close(position, client_id=identity, volume=volume), identity,
        )  # fmt: skip
        # What the bot does not know of it asks for once, and the venue says what it says.
        known = stock is not None and any(each.position_id == position for each in self.bot.positions(stock.symbol))
        asked = result is not None and (result.accepted or result.code in ("unanswered", "rate_limit"))
        if volume is None and known and asked:
            self.wanted_out.setdefault(position, (identity, self.now))
        return result

    def symbol_of(self, position: str) -> str:
        """The symbol of a position that the bot knows of."""
        self.look()
        held = [each.name for each in self.naive.stocks()] if self.frozen is None else self.frozen[2]
        found = [each.symbol for each in self.naive.papers if each.name == position and position in held]
        return found[0] if found else ""

    def cancel(self, identity: str) -> OrderResult | None:
        """End an order."""
        symbol = next((each.symbol for each in self.naive.papers if each.name == identity), "")
        if symbol:
            self.expected(identity)
        ends = [each.position for each in self.naive.papers if each.name == identity and each.reduce]
        self.wanted_out.pop(ends[0] or "" if ends else "", None)  # whoever cancels an order to close wants that
        call = partial(self.bot.cancel, identity)
        return self.ask("cancel", symbol, lambda row: identity, is_of_calls, call, identity)

    def modify(self, identity: str, price: float, volume: float) -> OrderResult | None:
        """Change an order."""
        symbol = next(each.symbol for each in self.naive.papers if each.name == identity)
        return self.ask(
            "modify", symbol, lambda row: identity, is_of_calls,
            lambda: self.bot.modify(identity, price=price, volume=volume), identity,
        )  # fmt: skip

    def protect(self, position: str, stop: float | None, target: float | None) -> OrderResult | None:
        """Move a stop and a target."""

        def able(row: Row) -> bool:
            return is_of_calls(row) or (row.kind == "stop_without_id" and stop is not None)

        return self.ask(
            "protect", self.symbol_of(position), lambda row: position, able,
            lambda: self.bot.protect(position, stop=stop, target=target), position,
        )  # fmt: skip

    # -- what the bot was told -----------------------------------------------------------------------------------------

    def hear(self) -> None:
        """Take what has come; the guard makes the calls that are due."""
        if self.steady is not None:
            self.faulty.equity()  # whoever asks after a loss of the connection lets arrive what was withheld
            self.steady.repeated.make_due()
        for mailbox in self.mailboxes.values():
            while mailbox:
                self.heard.append(mailbox.popleft())
        if self.steady is not None:
            self.wire.forget()


def _fault(row: Row) -> Fault:
    """A row in the words of the product."""
    from_ns, to_ns = START_NS + int(row.start * MINUTE_NS), START_NS + int(row.end * MINUTE_NS)
    fault = Fault(kind=FaultKind(row.kind), symbol=row.symbol, after_ns=int(row.after * MINUTE_NS))
    if row.call or row.order:
        return replace(fault, call=row.call or None, order=row.order or None)
    return replace(
        fault, calls=row.calls, per_ns=MINUTE_NS, factor=float(row.factor), from_ns=from_ns, to_ns=to_ns
    )  # fmt: skip


def _answer(call: Callable[[], OrderResult]) -> OrderResult | None:
    try:
        return call()
    except BrokerUnavailable:
        return None


def is_of_calls(row: Row) -> bool:
    """Whether a fault can happen to a call that sends no order."""
    return row.kind not in (*PARTS, "stop_without_id")


def counted(events: list[OrderEvent]) -> Counter[str]:
    """How often each execution was told."""
    return Counter(each.fill.fill_id for each in events if each.fill is not None)
