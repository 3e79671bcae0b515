"""The simulated venue behind faults against the naive ledger: whatever goes wrong, both tell the same in the end."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, reject, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from src.core.errors import BrokerUnavailable
from src.core.records import Fill, OrderRequest, OrderType, Side, TimeInForce
from src.core.timeframe import MINUTE_NS
from tests.brokers.faulty_story import EVERYTHING, LAST, START_NS, SYMBOLS, Story, close_to, counted
from tests.brokers.naive_faults import Row
from tests.brokers.naive_linked import NEVER
from tests.brokers.naive_records import Tie
from tests.generators import bars

#: A run that finds nothing takes seconds; the shortest telling of a failure is looked for during five minutes.
pytestmark = pytest.mark.timeout(900)

HALF = Fraction(1, 2)
#: A power of two, so that fees are exact in binary and equal amounts are equal; so is the share by which stops follow.
FEE = Fraction(1, 1024)
SHARE = Fraction(1, 64)
SYMBOL = st.sampled_from(SYMBOLS)
SIDE = st.sampled_from((0, 1, -1))
PRICES = st.lists(bars(), min_size=len(EVERYTHING), max_size=len(EVERYTHING))
MAYBE = st.sampled_from((None, 2, None, 4, 1, 6, None, 3, 0))
#: By a share of the price or not, and how many steps.
TRAIL = st.sampled_from(((False, 4), (True, 3), (False, 2), (False, 6), (True, 1), (False, 8)))
FOLLOW = st.sampled_from((None, (False, 2), None, (True, 1), None, (False, 6), (True, 3)))
VOLUME = st.sampled_from((1, 2, 3, 4, 0))
#: Mostly on the side on which an order rests.
OFFSET = st.sampled_from((2, 1, 3, 5, 0, 4, -1, -3))
OF_CALLS = (
    "reject", "timeout_accepted", "timeout_lost", "duplicate_ack", "stale_reply", "stop_without_id",
    "rejected_with_fill", "partly_silent",
)  # fmt: skip
SPANS = ("disconnect", "rate_limit", "price_freeze", "feed_hole", "spread")
WHOSE = st.sampled_from(("", *SYMBOLS))
HITS = st.builds(
    lambda kind, n, of_orders, symbol, late: Row(
        kind, call=0 if of_orders else n, order=n if of_orders else 0, symbol=symbol,
        after=HALF if late and kind == "timeout_accepted" else Fraction(0),
    ),
    st.sampled_from(OF_CALLS), st.integers(1, 10), st.booleans(), WHOSE, st.booleans(),
)  # fmt: skip
LASTING = st.builds(
    lambda kind, start, length, symbol, factor: Row(
        kind, symbol="" if kind == "disconnect" else symbol, start=HALF * start, end=HALF * (start + length), calls=1,
        factor=factor,
    ),
    st.sampled_from(SPANS), st.integers(0, 2 * LAST - 2), st.integers(1, 6), WHOSE, st.sampled_from((2, 3, 5)),
)  # fmt: skip


class FaultyVenueAndLedger(RuleBasedStateMachine):
    """A bot asks through faults; the naive ledger learns what arrived, and all else is foretold."""

    guarded = False
    #: Whether nothing has gone wrong with the story itself.
    is_sound = False

    @initialize(
        rows=st.lists(st.one_of(HITS, HITS, LASTING), max_size=7), half=st.sampled_from((0, 1, 2)),
        slip=st.sampled_from((0, 1)), fee=st.booleans(), touch=st.booleans(), hedging=st.booleans(),
        late=st.booleans(), foreign=st.booleans(), strict=st.sampled_from((False, False, True)),
        leverage=st.sampled_from((1, 5, 20)), cash=st.sampled_from((700, 5000)),
        holes=st.sets(st.tuples(SYMBOL, st.integers(1, LAST)), max_size=6), first=PRICES, sides=st.tuples(SIDE, SIDE),
        follow=FOLLOW,
    )  # fmt: skip
    def begin(
        self, rows: list[Row], half: int, slip: int, fee: bool, touch: bool, hedging: bool, late: bool, foreign: bool,
        strict: bool, leverage: int, cash: int, holes: set[tuple[str, int]], first: list[list[float]],
        sides: tuple[int, int], follow: tuple[bool, int] | None,
    ) -> None:  # fmt: skip
        """The same money, costs, rules and faults; which minutes are absent is settled, prices are not."""
        self.story = Story(
            rows, guarded=self.guarded, foreign=foreign and not strict, holes=holes, cash=cash,
            half=Fraction(half, 8), slip=Fraction(slip, 4), fee=FEE * fee, leverage=leverage, touch=touch,
            hedging=hedging, late=late, strict=strict,
        )  # fmt: skip
        self.minute = 0
        self.story.write(0, first)
        for symbol, sign in zip(SYMBOLS, sides, strict=True):
            if sign:
                trail: dict[str, Any] = _trailing("stop_trail", follow) if follow is not None else {}
                self._send(symbol, sign, 2.0, stop=None if trail else float(100 - 6 * sign), **trail)

    # -- time ----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.minute < LAST)
    @rule(prices=PRICES)
    def next_minute(self, prices: list[list[float]]) -> None:
        """The bars of this minute end, those of the next open."""
        self._pass_minute(prices)

    def _pass_minute(self, prices: list[list[float]]) -> None:
        self.minute += 1
        self.story.write(self.minute, prices)
        self._go_to(Fraction(self.minute))

    @precondition(lambda self: self.story.now == self.minute)
    @rule()
    def half_a_minute(self) -> None:
        """What follows is asked while bars are under way."""
        self._go_to(self.minute + HALF)

    def _go_to(self, until: Fraction) -> None:
        self._do(lambda: self.story.go_to(until))
        self._do(self.story.hear)
        self.is_sound = False
        self._compare()
        self.is_sound = True

    # -- what is asked -------------------------------------------------------------------------------------------------

    def _send(self, symbol: str, sign: int, volume: float, kind: str = "market", **more: Any) -> str:
        self.story.names += 1
        name = f"o{self.story.names}"
        side = Side.BUY if sign > 0 else Side.SELL
        request = OrderRequest(
            client_id=name, book="sma", symbol=symbol, side=side, type=OrderType(kind), volume=volume, **more
        )
        self._do(lambda: self.story.place(request))
        return name

    def _do(self, what: Any) -> Any:
        self.is_sound = False
        try:
            result = what()
        except Tie:
            reject()
        self.is_sound = True
        return result

    @rule(
        kind=st.sampled_from(("limit", "stop_limit", "trailing_stop", "market", "stop")), symbol=SYMBOL,
        buy=st.booleans(), volume=VOLUME, offset=OFFSET, beyond=st.integers(-2, 2), guard=MAYBE, goal=MAYBE,
        trail=TRAIL,
        follow=FOLLOW,
        how=st.sampled_from(("", "", "reverse", "", "reduce", "reverse")),
        life=st.sampled_from(("", "", "gtd", "", "ioc", "fok", "gtd")), ends=st.integers(1, 5),
        link=st.sampled_from(("", "", "g", "", "child", "g", "h", "child")),
        pick=st.integers(0, 3),
    )  # fmt: skip
    def place(
        self, kind: str, symbol: str, buy: bool, volume: int, offset: int, beyond: int, guard: int | None,
        goal: int | None, trail: tuple[bool, int], follow: tuple[bool, int] | None, how: str, life: str, ends: int,
        link: str, pick: int,
    ) -> None:  # fmt: skip
        """An order of any kind around the present price, alone, of a group, or waiting for another one."""
        naive, sign = self.story.naive, 1 if buy else -1
        mark, more = float(naive.mark[symbol]), {}  # type: tuple[float, dict[str, Any]]
        entry = mark + sign * float(naive.half_of(symbol))
        if kind == "trailing_stop":
            more |= _trailing("trail", trail)
        elif kind != "market":
            more["price"] = entry = mark + (-sign if kind == "limit" else sign) * offset
        if kind == "stop_limit":
            more["limit"] = entry + beyond
        if guard is not None:
            more["stop"] = entry - sign * guard
        if goal is not None:
            more["target"] = entry + sign * goal
        if follow is not None:
            more |= _trailing("stop_trail", follow)
        if life in ("ioc", "fok") and kind in ("market", "limit"):
            more["time_in_force"] = TimeInForce(life)
        elif life == "gtd":
            more["time_in_force"] = TimeInForce.GTD
            more["expires_ns"] = self.story.hand.instant_ns + ends * MINUTE_NS // 2
        working = naive.working(symbol)
        if link == "child":
            more["parent"] = working[pick % len(working)].name if working else "none"
        elif link:
            more["group"] = link
        stocks = naive.stocks(symbol)
        if how == "reduce" and pick and stocks:
            more["position_id"] = stocks[pick % len(stocks)].name
        more |= {"reduce_only": how == "reduce", "reverse": how == "reverse"}
        self._send(symbol, sign, float(volume), kind, **more)

    @rule(
        kind=st.sampled_from(("stop_limit", "trailing_stop")), symbol=SYMBOL, buy=st.booleans(),
        offset=st.integers(1, 4), beyond=st.sampled_from((-2, 1, -1, 0)), trail=TRAIL, follow=FOLLOW,
    )  # fmt: skip
    def rest(
        self, kind: str, symbol: str, buy: bool, offset: int, beyond: int, trail: tuple[bool, int],
        follow: tuple[bool, int] | None,
    ) -> None:  # fmt: skip
        """An entry that waits for a trigger and then for a better price, or whose trigger follows the price."""
        sign = 1 if buy else -1
        price = float(self.story.naive.mark[symbol]) + sign * offset
        more: dict[str, Any] = _trailing("stop_trail", follow) if follow is not None else {}
        if kind == "stop_limit":
            more |= {"price": price, "limit": price + sign * beyond}
        else:
            more |= _trailing("trail", trail)
        self._send(symbol, sign, 1.0, kind, **more)

    @rule(
        symbol=SYMBOL, buy=st.booleans(), entry=st.sampled_from(("market", "limit", "stop")), away=st.integers(1, 3),
        stop=st.integers(1, 4), goal=st.integers(1, 4), follows=st.booleans(), trail=FOLLOW,
    )  # fmt: skip
    def bracket(
        self, symbol: str, buy: bool, entry: str, away: int, stop: int, goal: int, follows: bool,
        trail: tuple[bool, int] | None,
    ) -> None:  # fmt: skip
        """An entry with two orders that wait for it and exclude each other."""
        sign, mark = (1 if buy else -1), float(self.story.naive.mark[symbol])
        price = mark + (sign if entry == "stop" else -sign) * (away + 1)
        more: dict[str, Any] = {} if trail is None else _trailing("stop_trail", trail)
        parent = self._send(symbol, sign, 2.0, entry, **more, **({} if entry == "market" else {"price": price}))
        price = mark if entry == "market" else price
        shared: dict[str, Any] = {"reduce_only": True, "parent": parent, "group": f"exit of {parent}"}
        self._send(symbol, -sign, 2.0, "limit", price=price + sign * goal, **shared)
        if follows:
            self._send(symbol, -sign, 2.0, "trailing_stop", trail_distance=float(stop), **shared)
        else:
            self._send(symbol, -sign, 2.0, "stop", price=price - sign * stop, **shared)

    @precondition(lambda self: self.story.naive.papers)
    @rule(pick=st.integers(0, 9), ended=st.booleans())
    def cancel(self, pick: int, ended: bool) -> None:
        """End one of the orders, now and then one that has ended."""
        naive = self.story.naive
        papers = naive.papers if ended or not naive.working() else naive.working()
        self._do(lambda: self.story.cancel(papers[pick % len(papers)].name))

    # Under latency a change is another matter: see the table of cases.
    @precondition(lambda self: not self.story.naive.latency and self.story.naive.working())
    @rule(pick=st.integers(0, 9), offset=st.integers(-4, 4), volume=st.integers(0, 4))
    def modify(self, pick: int, offset: int, volume: int) -> None:
        """Move one of the working orders."""
        working = self.story.naive.working()
        paper = working[pick % len(working)]
        price = float(self.story.naive.mark[paper.symbol]) + offset
        self._do(lambda: self.story.modify(paper.name, price, float(volume)))

    @precondition(lambda self: self.story.naive.stocks())
    @rule(pick=st.integers(0, 9), guard=MAYBE, goal=MAYBE)
    def protect(self, pick: int, guard: int | None, goal: int | None) -> None:
        """Move stop and target of something that is held, on their side or on the wrong one."""
        naive = self.story.naive
        stock = naive.stocks()[pick % len(naive.stocks())]
        way, quote = (1 if stock.volume > 0 else -1), naive.leaving(stock, naive.mark[stock.symbol])
        stop = None if guard is None else float(quote - way * (guard - 1))
        target = None if goal is None else float(quote + way * (goal - 1))
        self._do(lambda: self.story.protect(stock.name, stop, target))

    @precondition(lambda self: self.story.naive.done)
    @rule(pick=st.integers(0, 9), volume=st.sampled_from((None, None, 0.5, 1.0, 3.0)), gone=st.booleans())
    def close(self, pick: int, volume: float | None, gone: bool) -> None:
        """Close something that is held, or a part of it, now and then something that is closed already."""
        naive = self.story.naive
        names = [each.name for each in naive.stocks()]
        if gone or not names:
            names = list(dict.fromkeys(each.position for each in naive.done))
        position = names[pick % len(names)]
        self.story.names += 1
        self._do(lambda: self.story.close(position, volume, f"o{self.story.names}"))

    @precondition(lambda self: self.story.unanswered)
    @rule(pick=st.integers(0, 9))
    def ask_after(self, pick: int) -> None:
        """Look for an order that nobody answered to; when it cannot arrive any more, send it again."""
        story = self.story
        name = list(story.unanswered)[pick % len(story.unanswered)]
        story.look()
        known = [each for each in story.naive.papers if each.name == name]
        try:
            order = self._do(lambda: story.faulty.find_order(name))
        except BrokerUnavailable:
            assert story.plan.away(story.now) is not None
            return
        assert story.plan.away(story.now) is None
        assert (order is None) is (not known)
        if order is not None:
            del story.unanswered[name]
        elif story.now >= story.unanswered[name] + 1:
            del story.unanswered[name]
            self._do(lambda: story.place(story.requests[name]))

    # -- what must be --------------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        self._they_agree()
        self._money_is_conserved()
        self._fills_have_a_cause_and_a_price()
        self._nothing_is_doubled()
        self._the_bot_hears_what_it_may()

    def _they_agree(self) -> None:
        """Executions, holdings, protection, orders and money are the same to 1e-9."""
        naive, venue = self.story.naive, self.story.venue
        assert [(f.order_id, f.symbol, f.kind, f.side.sign * f.volume, f.price) for f in venue.fills()] == [
            (e.order, e.symbol, e.kind, float(e.signed), close_to(e.price)) for e in naive.done
        ]
        snapshot, stocks = venue.snapshot(), naive.stocks()
        held = {p.position_id: (p.volume, p.entry_price, p.stop, p.target) for p in snapshot.positions}
        guards = {each.name: naive.guards[each.name] for each in stocks}
        assert held == {
            each.name: (
                float(each.volume), close_to(each.average), _near(guards[each.name].stop),
                _near(guards[each.name].target),
            )
            for each in stocks
        }  # fmt: skip
        assert snapshot.account.balance == close_to(naive.balance())
        assert snapshot.account.equity == close_to(naive.equity())
        assert snapshot.account.margin_used == close_to(naive.margin())
        states = {order.order_id: f"{order.state.value} {order.code}".strip() for order in venue.orders()}
        assert {paper.name: states.get(paper.name) for paper in naive.papers} == {p.name: p.state for p in naive.papers}

    def _money_is_conserved(self) -> None:
        """The fills as they were told account for the whole balance."""
        story = self.story
        snapshot = story.venue.snapshot()
        cash = float(story.naive.cash)
        for trade in story.venue.trades():
            costs = trade.commission + trade.spread_cost + trade.slippage_cost
            assert trade.gross - costs == pytest.approx(trade.net, abs=1e-9)
        if not story.naive.pairs:  # else a rate belongs to each profit, and the naive ledger has them
            for fill in story.venue.fills():
                cash -= fill.side.sign * fill.volume * fill.price + fill.commission
            held = sum(p.volume * p.entry_price for p in snapshot.positions)
            assert snapshot.account.balance == pytest.approx(cash + held, abs=1e-9, rel=1e-12)

    def _fills_have_a_cause_and_a_price(self) -> None:
        """No fill lies before its order counted, and each lies inside a bar of its very time."""
        naive = self.story.naive
        counted_from = {paper.name: paper.counts_from for paper in naive.papers}
        arrived = {paper.name: paper.placed + naive.latency for paper in naive.papers}
        for fill in self.story.venue.fills():
            since = Fraction(fill.filled_from_ns - START_NS, MINUTE_NS)
            if fill.order_id in arrived:
                assert since >= arrived[fill.order_id]
                assert since >= min(counted_from[fill.order_id], NEVER)
            self._has_fresh_price(fill, since)

    def _has_fresh_price(self, fill: Fill, since: Fraction) -> None:
        # What a close of bars is too little for is closed at that close, at whose instant the next bar may open.
        at_close = fill.kind == "stop_out" and fill.filled_ns == fill.filled_from_ns
        minute = int(since) - at_close
        naive, bar = self.story.naive, self.story.bars[minute][fill.symbol]
        assert bar is not None, f"{fill} lies where its symbol has no bar"
        opened = dict(naive.opened)
        naive.opened[fill.symbol] = Fraction(minute)
        shown = Fraction(fill.price) - fill.side.sign * naive.half_of(fill.symbol)
        naive.opened = opened
        slipped = fill.side.sign * naive.slippage if fill.slippage_cost else 0
        assert bar[2] <= shown - slipped <= bar[1]
        if fill.filled_ns == fill.filled_from_ns:
            assert shown - slipped == bar[3 if at_close else 0]

    def _nothing_is_doubled(self) -> None:
        """No order is worked twice, and none fills more than was asked for."""
        placed, naive = self.story.wire.placed, self.story.naive
        assert len(placed) == len(set(placed))
        for paper in naive.papers:
            opened = sum(each.signed for each in naive.done if each.order == paper.name and each.kind == "entry")
            assert 0 <= paper.sign * opened <= paper.volume

    def _the_bot_hears_what_it_may(self) -> None:
        """Account, orders and events are the venue's, or those of before a connection was lost, or old by the plan."""
        story = self.story
        for symbol in EVERYTHING:
            quote, (_, bid, ask) = story.bot.quote(symbol), story.shown[symbol]
            assert quote is not None
            assert (quote.bid, quote.ask) == (close_to(bid), close_to(ask))
        told, fills = counted(story.heard), {fill.fill_id: fill.order_id for fill in story.venue.fills()}
        assert set(told) <= set(fills)
        if story.plan.away(story.now) is None:
            met = {name: row.kind for name, row in story.plan.met.items()}
            assert told == {
                name: 2 if met.get(order) == "duplicate_ack" else 1 for name, order in fills.items()
            }  # fmt: skip
        if story.steady is None:
            self._the_account_is_foretold()

    def _the_account_is_foretold(self) -> None:
        story = self.story
        snapshot = story.faulty.snapshot()
        found = (
            snapshot.account.balance, snapshot.account.equity,
            {each.position_id: each.volume for each in snapshot.positions},
            {each.order_id: (str(each.state), each.request.volume) for each in snapshot.orders},
        )  # fmt: skip
        if story.frozen is not None:
            assert found == story.frozen
            return
        assert found == (story.picture() if story.old is None else story.old)
        story.old = None
        for paper in story.naive.papers:
            order = story.faulty.find_order(paper.name)
            assert order is not None
            assert (str(order.state), order.request.volume) == story.expected(paper.name)


def _trailing(word: str, how: tuple[bool, int]) -> dict[str, float]:
    """How far something follows the price: in its units, or in percent of it."""
    by_share, steps = how
    return {f"{word}_percent": float(100 * SHARE * steps)} if by_share else {f"{word}_distance": float(steps)}


def _near(value: Fraction | None) -> Any:
    return None if value is None else close_to(value)


class ManyFaultyVenues(FaultyVenueAndLedger):
    """The same, for the long run."""


TestFaultyVenueAndLedger = pytest.mark.slow(FaultyVenueAndLedger.TestCase)
TestFaultyVenueAndLedger.settings = settings(
    max_examples=60, stateful_step_count=25, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestManyFaultyVenues = pytest.mark.soak(ManyFaultyVenues.TestCase)
TestManyFaultyVenues.settings = settings(TestFaultyVenueAndLedger.settings, max_examples=500)
