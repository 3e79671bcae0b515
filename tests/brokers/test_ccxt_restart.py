"""A broker that begins anew at an exchange where the bot has traded: no second entry, no orphan, nothing of others."""

from collections.abc import Iterator, Mapping

import pytest

from src.brokers.ccxt_broker import CcxtBroker
from src.core.errors import BrokerUnavailable
from src.core.records import OrderRequest, OrderType, Side
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import Fault, FaultKind
from tests.brokers.ccxt_benches import ACCOUNT, RULES, START_NS, SYMBOL, CcxtBench, ccxt_bench, client_to

ENTRY = OrderRequest(
    client_id="kentry", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=1.0, stop=90.0,
    target=130.0,
)  # fmt: skip
RESTING = OrderRequest(
    client_id="krest", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.LIMIT, volume=0.5, price=80.0
)  # fmt: skip
CLOSING = OrderRequest(
    client_id="kclose", book="S", symbol=SYMBOL, side=Side.SELL, type=OrderType.MARKET, volume=1.0, reduce_only=True,
    position_id="kentry",
)  # fmt: skip
ACTS = ("POST", "PUT", "DELETE")


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    """An account of its own."""
    with ccxt_bench() as made:
        yield made


def later(bench: CcxtBench, bars: int = 1) -> None:
    """Let bars close."""
    for _ in range(bars):
        bench.venue.advance_to(bench.now_ns() + MINUTE_NS)


def restarted(bench: CcxtBench, *known: OrderRequest, kinds: Mapping[str, str] | None = None) -> CcxtBroker:
    """Another broker at the same account, which knows of these requests."""
    broker = CcxtBroker(
        client_to(bench.venue), ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)}, now_ns=bench.venue.now_ns
    )
    broker.know_stop_kinds(kinds or {})
    broker.start(known, START_NS)
    return broker


def acts(bench: CcxtBench) -> int:
    """How many requests have changed something, besides the leverage."""
    return sum(call.endpoint.split()[0] in ACTS and call.endpoint != "POST leverage" for call in bench.venue.calls)


def test_what_is_open_is_recognised_and_nothing_is_sent(bench: CcxtBench) -> None:
    """The position under its id, the stop where it was moved to, and the order that rests."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    bench.broker.protect("kentry", stop=95.0)
    bench.broker.place(RESTING)
    bench.broker.refresh()
    before, sent = bench.broker.snapshot(), acts(bench)

    again = restarted(bench, ENTRY, RESTING).snapshot()

    assert acts(bench) == sent
    assert (again.positions[0].stop, again.positions[0].target) == (95.0, 130.0)
    assert again.positions == before.positions
    assert [order.order_id for order in again.orders] == ["krest"]
    assert again.account.balance == before.account.balance


def test_what_happened_meanwhile_is_told(bench: CcxtBench) -> None:
    """The stop was reached while nobody looked."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    bench.move_to(85.0)
    later(bench, 3)

    broker = restarted(bench, ENTRY)

    events = list(broker.mailbox(SYMBOL))
    fills = [event.fill.kind for event in events if event.fill is not None]
    assert fills == ["entry", "stop"]
    assert [event.trade.trade_id for event in events if event.trade is not None] == ["kentry"]
    assert broker.position("S", SYMBOL).is_flat
    assert bench.venue.broker.snapshot().orders == ()


def test_who_has_moved_a_stop_is_known_after_a_restart(bench: CcxtBench) -> None:
    """A trailing stop that fills, also while nobody looked, is told as one."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    bench.broker.protect("kentry", stop=95.0, kind="trailing")
    bench.broker.refresh()
    kinds = {each.position_id: each.stop_kind for each in bench.broker.snapshot().positions}

    held = restarted(bench, ENTRY, kinds=kinds).position("S", SYMBOL)
    bench.move_to(85.0)
    later(bench, 3)
    events = list(restarted(bench, ENTRY, kinds=kinds).mailbox(SYMBOL))

    assert (held.stop, held.stop_kind) == (95.0, "trailing")
    assert [event.fill.kind for event in events if event.fill is not None] == ["entry", "trailing"]


def test_an_entry_that_nobody_answered_and_that_filled_gets_its_stop(bench: CcxtBench) -> None:
    """The process was gone before the acknowledgement came."""
    bench.venue.fail(Fault(kind=FaultKind.UNANSWERED, endpoint="POST order"))
    with pytest.raises(BrokerUnavailable):
        bench.broker.place(ENTRY)
    later(bench)

    position = restarted(bench, ENTRY).position("S", SYMBOL)

    assert (position.position_id, position.volume, position.stop, position.target) == ("kentry", 1.0, 90.0, 130.0)


def test_an_entry_that_never_arrived_is_found_nowhere(bench: CcxtBench) -> None:
    """And is not sent again."""
    broker = restarted(bench, ENTRY)

    assert broker.find_order("kentry") is None
    assert broker.position("S", SYMBOL).is_flat
    assert broker.place(ENTRY).code == "duplicate_id"
    assert acts(bench) == 0


def test_what_was_closed_is_not_opened_again(bench: CcxtBench) -> None:
    """A trade of before is one trade, and nothing is held."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    bench.broker.place(CLOSING)
    later(bench)

    broker = restarted(bench, ENTRY, CLOSING)

    trades = [event.trade for event in broker.mailbox(SYMBOL) if event.trade is not None]
    assert [trade.trade_id for trade in trades] == ["kentry"]
    assert broker.position("S", SYMBOL).is_flat
    assert bench.venue.broker.snapshot().orders == ()


def test_what_is_not_known_is_other_peoples(bench: CcxtBench) -> None:
    """A bot that has lost its memory touches nothing and opens nothing."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    sent = acts(bench)

    broker = restarted(bench)

    assert (broker.positions(SYMBOL), broker.snapshot().orders) == ((), ())
    assert broker.place(OrderRequest(client_id="k2", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET,
                                     volume=1.0)).code == "foreign_position"  # fmt: skip
    assert acts(bench) == sent


def test_instants_are_those_of_before(bench: CcxtBench) -> None:
    """Where it is told when each order was sent: the exchange cuts its instants to milliseconds."""
    bench.venue.advance_to(bench.now_ns() + 123_456_789)
    sent_ns = bench.now_ns()
    bench.broker.place(ENTRY)
    bench.broker.refresh()
    before = bench.broker.snapshot().positions
    broker = CcxtBroker(
        client_to(bench.venue), ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)}, now_ns=bench.venue.now_ns
    )

    broker.start([ENTRY], START_NS, {"kentry": sent_ns})

    assert before[0].opened_ns == sent_ns
    assert broker.snapshot().positions == before


def test_an_order_that_was_filled_before_it_was_sent_by_this_clock_is_recognised(bench: CcxtBench) -> None:
    """Two clocks are never equal; a position that counted as other people's would have no stop for ever."""
    bench.broker.place(ENTRY)
    sent_ns = bench.now_ns() + SECOND_NS
    later(bench)
    bench.broker.refresh()
    broker = CcxtBroker(
        client_to(bench.venue), ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)}, now_ns=bench.venue.now_ns
    )

    broker.start([ENTRY], sent_ns, {ENTRY.client_id: sent_ns})

    assert [position.position_id for position in broker.snapshot().positions] == ["kentry"]
    assert broker.place(RESTING).accepted
