"""A broker that begins anew on a spot account where the bot has traded: no second entry, nothing of others touched."""

from collections.abc import Iterator

import pytest

from src.brokers.ccxt_spot_broker import CcxtSpotBroker
from src.core.errors import BrokerUnavailable
from src.core.records import OrderRequest, OrderType, Side
from src.core.timeframe import DAY_NS, MINUTE_NS
from src.testing.venue import Fault, FaultKind
from tests.brokers.ccxt_benches import START_NS, SYMBOL, CcxtBench
from tests.brokers.ccxt_spot_benches import ACCOUNT, RULES, client_to, spot_bench
from tests.brokers.test_ccxt_restart import CLOSING, ENTRY, RESTING, acts, later

THEIRS = 4.0


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    """An account where other people's coins lie."""
    with spot_bench(coins={"BTC": THEIRS}, fees_in_coin=True) as made:
        yield made


def restarted(bench: CcxtBench, *known: OrderRequest, since_ns: int = START_NS) -> CcxtSpotBroker:
    """Another broker at the same account, which knows of these requests."""
    broker = CcxtSpotBroker(
        client_to(bench.venue), ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)}, now_ns=bench.venue.now_ns
    )
    broker.start(known, since_ns)
    return broker


def test_what_is_open_is_recognised_and_nothing_is_sent(bench: CcxtBench) -> None:
    """The position under its id and volume, the list where it was moved to, and the order that rests."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    bench.broker.protect("kentry", stop=95.0)
    bench.broker.place(RESTING)
    bench.broker.refresh()
    before, sent = bench.broker.snapshot(), acts(bench)

    broker = restarted(bench, ENTRY, RESTING, since_ns=START_NS - 3 * DAY_NS)
    again = broker.snapshot()

    assert acts(bench) == sent
    assert (again.positions[0].stop, again.positions[0].target) == (95.0, 130.0)
    assert again.positions == before.positions
    assert [order.order_id for order in again.orders] == ["krest"]
    assert again.account.balance == pytest.approx(before.account.balance)
    assert broker.protect("kentry", stop=96.0).accepted


@pytest.mark.parametrize(("price", "kind"), [(85.0, "stop"), (140.0, "target")])
def test_what_happened_meanwhile_is_told(bench: CcxtBench, price: float, kind: str) -> None:
    """One of the list has filled while nobody looked."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    bench.move_to(price)
    later(bench, 3)

    broker = restarted(bench, ENTRY)

    events = list(broker.mailbox(SYMBOL))
    assert [event.fill.kind for event in events if event.fill is not None] == ["entry", kind]
    assert [event.trade.trade_id for event in events if event.trade is not None] == ["kentry"]
    assert broker.position("S", SYMBOL).is_flat
    assert bench.venue.broker.snapshot().orders == ()
    assert bench.venue.coins["BTC"] == pytest.approx(THEIRS + 0.0005)


def test_an_entry_that_nobody_answered_and_that_filled_gets_its_stop(bench: CcxtBench) -> None:
    """The process was gone before the acknowledgement came."""
    bench.venue.fail(Fault(kind=FaultKind.UNANSWERED, endpoint="POST order"))
    with pytest.raises(BrokerUnavailable):
        bench.broker.place(ENTRY)
    later(bench)

    position = restarted(bench, ENTRY).position("S", SYMBOL)

    assert (position.position_id, position.volume, position.stop, position.target) == ("kentry", 0.9995, 90.0, 130.0)


def test_a_sale_that_nobody_answered_is_not_sent_again(bench: CcxtBench) -> None:
    """The process was gone before the acknowledgement came; it is known with the volume that was asked for."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    bench.venue.fail(Fault(kind=FaultKind.UNANSWERED, endpoint="POST order"))
    with pytest.raises(BrokerUnavailable):
        bench.broker.place(CLOSING)
    later(bench)

    broker = restarted(bench, ENTRY, CLOSING)

    assert [event.trade.trade_id for event in broker.mailbox(SYMBOL) if event.trade is not None] == ["kentry"]
    assert broker.position("S", SYMBOL).is_flat
    assert bench.venue.broker.snapshot().orders == ()
    assert bench.venue.coins["BTC"] == pytest.approx(THEIRS + 0.0005)


def test_a_process_that_was_gone_between_two_lists_leaves_no_position_without_a_stop(bench: CcxtBench) -> None:
    """The first was cancelled and the second one never came; the stop of the entry is placed again."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    bench.venue.fail(Fault(kind=FaultKind.LOST, endpoint="POST orderList/oco"))
    with pytest.raises(BrokerUnavailable):
        bench.broker.protect("kentry", stop=95.0)

    position = restarted(bench, ENTRY).position("S", SYMBOL)

    assert (position.stop, position.target) == (90.0, 130.0)


def test_what_is_not_known_is_other_peoples(bench: CcxtBench) -> None:
    """A bot that has lost its memory touches nothing of before."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    sent, had = acts(bench), bench.venue.coins["BTC"]

    broker = restarted(bench)

    assert (broker.positions(SYMBOL), broker.snapshot().orders) == ((), ())
    sale = OrderRequest(client_id="k2", book="S", symbol=SYMBOL, side=Side.SELL, type=OrderType.MARKET, volume=0.5)
    assert broker.place(sale).code == "short_on_spot"
    assert (acts(bench), bench.venue.coins["BTC"]) == (sent, had)


def test_what_stayed_behind_is_no_money_before_a_restart_and_after_it(bench: CcxtBench) -> None:
    """The trade has paid for it, so a process that knows nothing of the trade finds the same account."""
    bench.broker.place(ENTRY)
    later(bench)
    bench.broker.refresh()
    bench.broker.close("kentry", client_id="kclose")
    later(bench)
    bench.broker.refresh()
    (trade,) = [event.trade for event in bench.broker.mailbox(SYMBOL) if event.trade is not None]
    before = bench.broker.snapshot().account

    after = restarted(bench).snapshot().account

    assert (after.balance, after.equity) == (before.balance, before.equity)
    assert before.balance == pytest.approx(bench.venue.coins["USDT"]) == pytest.approx(10_000 + trade.net)
