"""What never leaves, whoever decided it."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.broker import Connection
from src.core.errors import BrokerUnavailable, DataError
from src.core.passing_broker import PassingBroker
from src.core.records import OrderRequest, OrderResult
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live.account_state import Latch
from src.live.config import LimitsSection
from src.live.edge_limits import EdgeLimits
from tests.brokers.simulated.venue import Venue
from tests.core.risk_desk import FLAT, three_symbols

LATCH = Latch(by="kill", why="asked for", keep_positions=False, instant_ns=1)


class Switches:
    """Switches that are set by hand."""

    def __init__(self) -> None:
        self.latch: Latch | None = None
        self.paused = False
        self.broken = False

    @property
    def latched(self) -> Latch | None:
        if self.broken:
            raise DataError("the file is damaged")
        return self.latch


class Edge:
    """Limits before a simulated venue whose symbols stand at 100; its quotes are of its present.

    Attributes:
        late_ns: how far the limits' clock is ahead of it.
    """

    def __init__(
        self, venue: Venue | None = None, *, need_stop: bool = False, sent_ns: tuple[int, ...] = (), **limits: Any
    ) -> None:
        self.venue = venue or three_symbols(account={"leverage": 100})
        self.switches = Switches()
        self.told: list[str] = []
        self.late_ns = 0
        self.broker = EdgeLimits(
            self.venue.broker, LimitsSection(**limits), self.switches,
            lambda: self.venue.clock.now_ns() + self.late_ns, MINUTE_NS, need_stop=need_stop,
            hedging=self.venue.config.positions == "hedging",
            on_refusal=lambda request, result: self.told.append(result.code), sent_ns=sent_ns,
        )  # fmt: skip

    def place(self, side: str = "buy", type_: str = "market", volume: float = 1.0, **more: Any) -> str:
        """The code of the refusal, or nothing."""
        return self.broker.place(self.venue.request(side, type_, volume, **more)).code


def test_without_limits_orders_pass() -> None:
    """The same order arrives at the venue."""
    edge = Edge()

    assert edge.place("buy", "limit", 2.0, price=90.0) == ""
    assert [each.request.volume for each in edge.venue.broker.snapshot().orders] == [2.0]


@pytest.mark.parametrize(
    ("limits", "order", "code"),
    [
        ({"max_order_notional": 150}, {"volume": 2.0}, "order_notional"),
        ({"max_order_notional": 150}, {"type_": "limit", "volume": 1.6, "price": 95.0}, "order_notional"),
        ({"max_order_notional": 150}, {"side": "sell", "type_": "limit", "volume": 1.6, "price": 80.0},
         "order_notional"),
        ({"max_order_notional": 150}, {"volume": 1.5}, ""),
        ({"max_total_notional": 150}, {"volume": 2.0}, "total_notional"),
        ({"symbols": ["BBB"]}, {}, "symbol_not_allowed"),
        ({"symbols": ["BBB"]}, {"symbol": "BBB"}, ""),
        ({"price_collar_percent": 5}, {"type_": "limit", "price": 94.0}, "price_collar"),
        ({"price_collar_percent": 5}, {"type_": "stop", "price": 106.0}, "price_collar"),
        ({"price_collar_percent": 5}, {"type_": "stop_limit", "price": 104.0, "limit": 106.0}, "price_collar"),
        ({"price_collar_percent": 5}, {"type_": "trailing_stop", "trail_percent": 6.0}, "price_collar"),
        ({"price_collar_percent": 5}, {"type_": "limit", "price": 95.0}, ""),
        ({}, {"volume": float("nan")}, "no_number"),
        ({"max_order_notional": 150}, {"type_": "limit", "price": float("nan")}, "no_number"),
        ({"need_stop": True}, {}, "unprotected"),
        ({"need_stop": True}, {"stop": 90.0}, ""),
        ({"need_stop": True}, {"stop_distance": 5.0}, ""),
    ],
)  # fmt: skip
def test_what_exceeds_a_limit_does_not_leave(limits: Mapping[str, Any], order: Mapping[str, Any], code: str) -> None:
    """A refusal is a value with a code and a sentence, and the venue hears nothing of it."""
    edge = Edge(**limits)

    found = edge.place(**order)

    assert found == code
    assert len(edge.venue.broker.snapshot().orders) == (code == "")
    assert edge.told == ([code] if code else [])


def test_a_wide_spread_is_no_price_for_a_market_order() -> None:
    """What would be paid counts, from the middle of the quote."""
    edge = Edge(Venue([FLAT] * 3, costs={"spread_points": 8.0}), price_collar_percent=3)

    assert edge.place() == "price_collar"


@pytest.mark.parametrize("code", ["latched", "paused", "no_state"])
def test_switches_stop_entries_and_nothing_else(code: str) -> None:
    """What is open can always be closed, protected and cancelled."""
    edge = Edge()
    edge.place()
    edge.venue.go_to(1)
    working = edge.broker.place(edge.venue.request("buy", "limit", 1.0, price=90.0)).order_id
    edge.switches.latch = LATCH if code == "latched" else None
    edge.switches.paused, edge.switches.broken = code == "paused", code == "no_state"
    position = edge.venue.position

    assert edge.place() == code
    assert edge.broker.modify(working, price=91.0).code == code
    assert edge.broker.protect(position.position_id, stop=90.0).accepted
    assert edge.broker.cancel(working).accepted
    assert edge.place("sell", reduce_only=True, volume=0.5) == ""
    assert edge.broker.close(position.position_id, client_id="c").accepted


def test_an_entry_needs_a_fresh_price() -> None:
    """None, or an old one, and nothing leaves; an exit does."""
    edge = Edge()
    edge.late_ns = MINUTE_NS
    fresh = edge.place()
    edge.late_ns += 1

    assert (fresh, edge.place(), edge.place(reduce_only=True)) == ("", "stale_price", "")
    assert Edge(Venue({"AAA": [None, None, FLAT]})).place() == "stale_price"


def test_orders_of_a_minute_are_counted() -> None:
    """Whatever is sent counts, what opens is refused, and after a minute there is room again."""
    edge = Edge(orders_per_minute=3)
    first = [edge.place(reduce_only=True), edge.place(), edge.place(), edge.place()]
    reduces = edge.place(reduce_only=True)
    edge.venue.clock.instant_ns += MINUTE_NS - 1
    early = edge.place()
    edge.venue.clock.instant_ns += 1

    assert first == ["", "", "", "order_rate"]
    assert (reduces, early, edge.place()) == ("", "order_rate", "")


def test_orders_of_a_process_before_count_for_their_minute() -> None:
    """A bot that is started again and again sends no more than one that runs."""
    venue = three_symbols(account={"leverage": 100})
    now_ns = venue.clock.now_ns()
    edge = Edge(venue, sent_ns=(now_ns + 1, now_ns - 1, now_ns - MINUTE_NS), orders_per_minute=2)

    assert [edge.place(), edge.place()] == ["", "order_rate"]


def test_positions_and_working_entries_count_together() -> None:
    """Over all symbols; what reduces does not count."""
    edge = Edge(max_total_notional=350)
    edge.place()
    edge.venue.go_to(1)
    working = edge.place("buy", "limit", 1.0, price=90.0, symbol="BBB")
    reducing = edge.place("sell", "limit", 1.0, price=110.0, reduce_only=True)

    assert (working, reducing) == ("", "")
    assert [edge.place(symbol="CCC", volume=1.7), edge.place(symbol="CCC", volume=1.6)] == ["total_notional", ""]


def test_the_worst_of_what_may_fill_counts() -> None:
    """An opposite order shrinks what is held, and its other end counts; a reversal closes before it opens."""
    edge = Edge(max_total_notional=300)
    edge.place(volume=3.0)
    edge.venue.go_to(1)

    assert edge.place("sell", volume=7.0) == "total_notional"
    assert edge.place("sell", volume=3.1, reverse=True) == "total_notional"
    assert edge.place("sell", volume=3.0, reverse=True) == ""
    assert edge.place("sell", volume=0.1) == "total_notional"


def test_positions_of_a_hedging_account_add_up() -> None:
    """Long and short do not cancel each other there."""
    edge = Edge(Venue([FLAT] * 4, account={"positions": "hedging", "leverage": 10}), max_total_notional=500)
    edge.place(volume=3.0)
    edge.venue.go_to(1)

    assert [edge.place("sell", volume=2.1), edge.place("sell", volume=2.0)] == ["total_notional", ""]


def test_a_change_is_judged_as_a_new_order_in_the_place_of_the_old() -> None:
    """A larger volume or a price far away is refused, a small change is not."""
    edge = Edge(max_total_notional=200, price_collar_percent=5)
    order = edge.broker.place(edge.venue.request("buy", "limit", 2.0, price=98.0)).order_id

    found = [
        edge.broker.modify(order, **change).code
        for change in ({"volume": 2.1}, {"price": 90.0}, {"price": 100.0}, {"volume": 1.0}, {"volume": 2.0})
    ]
    assert found == ["total_notional", "price_collar", "", "", ""]


class Unanswering(PassingBroker):
    """A venue that takes no order and answers to none."""

    def connection(self) -> Connection:
        return Connection(certain=False, in_flight_ns=10 * SECOND_NS)

    def place(self, request: OrderRequest) -> OrderResult:
        raise BrokerUnavailable("no answer")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


def test_what_nobody_answered_counts_until_it_cannot_arrive_any_more() -> None:
    """It may be there, whatever the account shows."""
    edge = Edge(max_total_notional=150)
    edge.broker = EdgeLimits(
        Unanswering(edge.venue.broker), LimitsSection(max_total_notional=150), edge.switches,
        edge.venue.clock.now_ns, MINUTE_NS, need_stop=False,
    )  # fmt: skip
    with pytest.raises(BrokerUnavailable):
        edge.place()

    at_once = edge.place()
    edge.venue.clock.instant_ns += 20 * SECOND_NS + 1
    with pytest.raises(BrokerUnavailable):
        edge.place()
    assert at_once == "total_notional"


class Slow(PassingBroker):
    """A venue that answers only when as many threads as there are have sent something, or some were refused."""

    def __init__(self, broker: Any, wait: threading.Event) -> None:
        super().__init__(broker)
        self.wait = wait
        self.sent: list[float] = []

    def place(self, request: OrderRequest) -> OrderResult:
        self.sent.append(request.volume)
        self.wait.wait(120)
        return OrderResult(accepted=True, order_id=request.client_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


def test_threads_that_place_at_once_exceed_nothing_together() -> None:
    """Eight threads want 100 each and 250 are allowed: two orders leave, however long the venue thinks."""
    edge, go = Edge(), threading.Event()
    slow = Slow(edge.venue.broker, go)
    edge.broker = EdgeLimits(
        slow, LimitsSection(max_total_notional=250), edge.switches, edge.venue.clock.now_ns, MINUTE_NS, need_stop=False
    )
    requests = [edge.venue.request("buy", symbol=("AAA", "BBB", "CCC")[i % 3]) for i in range(8)]
    codes: list[str] = []
    refused = threading.Semaphore(0)

    def run(request: OrderRequest) -> None:
        codes.append(edge.broker.place(request).code)
        refused.release()

    threads = [threading.Thread(target=run, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for _ in range(6):
        assert refused.acquire(timeout=120)
    go.set()
    for thread in threads:
        thread.join()

    assert slow.sent == [1.0, 1.0]
    assert sorted(codes) == ["", "", *["total_notional"] * 6]


ORDERS = st.lists(
    st.tuples(
        st.sampled_from(["AAA", "BBB", "CCC"]), st.sampled_from(["buy", "sell"]),
        st.sampled_from(["market", "limit", "stop", "close", "cancel", "next"]), st.sampled_from([0.5, 1.0, 2.0, 3.0]),
        st.sampled_from([95.0, 99.0, 101.0, 105.0]), st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=50)
@given(ORDERS)
def test_no_history_of_orders_comes_to_more_than_is_allowed(story: list[tuple[Any, ...]]) -> None:
    """Whatever is asked for, what is open, and what it can become, stays within the limit at the orders' prices."""
    bars = {symbol: [[100.0, 102.0, 98.0, 100.0]] * 60 for symbol in ("AAA", "BBB", "CCC")}
    edge = Edge(Venue(bars, account={"leverage": 100}), max_total_notional=600, max_order_notional=310)
    minute = 0
    for symbol, side, what, volume, price, reverse in story:
        orders, held = edge.venue.broker.snapshot().orders, edge.venue.broker.positions(symbol)
        if what == "next":
            minute += 1
            edge.venue.go_to(minute)
        elif what == "close" and held:
            edge.broker.close(held[0].position_id, client_id=f"close{minute}{len(edge.told)}{volume}{price}")
        elif what == "cancel" and orders:
            edge.broker.cancel(orders[0].order_id)
        elif what in ("market", "limit", "stop"):
            edge.place(side, what, volume, price=None if what == "market" else price, symbol=symbol, reverse=reverse)

        # Fills come at up to 105, so what was judged at a lower price may be worth that much more.
        worth = sum(abs(each.volume) * 100 for each in edge.venue.broker.snapshot().positions)
        assert worth <= 600 * 100 / 95
        assert all(each.volume <= 310 / 95 + 1e-9 for each in edge.venue.fills if each.kind == "entry")
