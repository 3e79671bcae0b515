"""Taking a bot out of a spot market: its coins are sold, those of others stay; over HTTP, at a local venue."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from src.core.errors import BrokerUnavailable
from src.core.records import OrderRequest, OrderType, Side
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live.kill import Kill, KillReport
from src.testing.venue import Fault, FaultKind
from tests.brokers.ccxt_benches import START_NS, SYMBOL, CcxtBench
from tests.brokers.ccxt_spot_benches import RULES, client_to, spot_bench

ENTRY = OrderRequest(
    client_id="kentry", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=1.0, stop=90.0,
    target=130.0,
)  # fmt: skip
RESTING = OrderRequest(
    client_id="krest", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.LIMIT, volume=0.5, price=80.0
)
THEIRS = 5.0


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    """A bot with coins of its own, their stop and target, and an entry that rests."""
    with spot_bench(coins={"BTC": THEIRS}, fees_in_coin=True) as made:
        for request in (ENTRY, RESTING):
            assert made.broker.place(request).accepted
        made.venue.advance_to(made.now_ns() + MINUTE_NS)
        made.broker.refresh()
        yield made


def kill(bench: CcxtBench, *more: OrderRequest) -> KillReport:
    """Kill, at a venue whose time moves while somebody waits."""
    client = client_to(bench.venue)
    try:
        return Kill(
            client, {SYMBOL: RULES}, "USDT", "mine", lambda: ([ENTRY, RESTING, *more], START_NS), now_ns=bench.now_ns,
            wait=lambda seconds: bench.venue.advance_to(bench.now_ns() + 2 * SECOND_NS), rounds=60,
        ).run()  # fmt: skip
    finally:
        client.close()


def test_what_is_the_bots_is_sold_and_nothing_else(bench: CcxtBench) -> None:
    """Less than a step stays behind."""
    report = kill(bench)

    assert (report.done, report.left) == (True, ())
    assert THEIRS <= bench.venue.coins["BTC"] < THEIRS + RULES.volume_step
    assert bench.venue.broker.snapshot().orders == ()


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.TWICE, FaultKind.LATE])
@pytest.mark.parametrize("endpoint", ["POST order", "DELETE orderList"])
def test_nothing_is_sold_twice(bench: CcxtBench, endpoint: str, kind: FaultKind) -> None:
    """Whatever nobody answered; there would be coins of others to be sold."""
    bench.venue.fail(Fault(kind=kind, endpoint=endpoint))

    report = kill(bench)

    assert report.left == ()
    assert THEIRS <= bench.venue.coins["BTC"] < THEIRS + RULES.volume_step


def test_what_the_bot_is_selling_itself_is_not_sold_a_second_time(bench: CcxtBench) -> None:
    """Its order is on its way when somebody kills it; until it cannot arrive any more its coins are not sold again."""
    closing = OrderRequest(
        client_id="kclose", book="S", symbol=SYMBOL, side=Side.SELL, type=OrderType.MARKET, volume=1.0,
        reduce_only=True, position_id="kentry",
    )  # fmt: skip
    bench.venue.fail(Fault(kind=FaultKind.LATE, endpoint="POST order", seconds=3.0))
    with pytest.raises(BrokerUnavailable):
        bench.broker.place(closing)

    report = kill(bench, closing)

    assert report.left == ()
    assert THEIRS <= bench.venue.coins["BTC"] < THEIRS + RULES.volume_step


def test_what_never_arrived_is_sold_by_the_kill(bench: CcxtBench) -> None:
    """It waits no longer than something may be under way, and what guards stays so long."""
    closing = OrderRequest(
        client_id="kclose", book="S", symbol=SYMBOL, side=Side.SELL, type=OrderType.MARKET, volume=1.0,
        reduce_only=True, position_id="kentry",
    )  # fmt: skip

    report = kill(bench, closing)

    assert report.left == ()
    assert THEIRS <= bench.venue.coins["BTC"] < THEIRS + RULES.volume_step
    cancelled, sold = (
        [call.at_ns for call in bench.venue.calls if call.endpoint == each][-1]
        for each in ("DELETE orderList", "POST order")
    )
    assert sold - cancelled < 2 * SECOND_NS


def test_what_is_worth_too_little_to_be_sold_is_told_at_once() -> None:
    """The exchange does not take it, however often it is asked."""
    with spot_bench() as bench:
        bench.venue.fail(Fault(kind=FaultKind.PART_THEN_REJECTED, endpoint="POST order"))
        bench.broker.place(replace(ENTRY, volume=0.06))
        bench.venue.advance_to(bench.now_ns() + MINUTE_NS)
        began_ns = bench.now_ns()

        report = kill(bench)

    assert (report.done, bench.now_ns() - began_ns < 30 * SECOND_NS) == (False, True)
    assert "is not closed" in report.left[0]


def test_coins_that_the_bots_own_orders_tie_up_are_sold_as_well() -> None:
    """An order to sell that rests would keep the position open for ever."""
    with spot_bench(coins={"BTC": THEIRS}, fees_in_coin=True) as bench:
        entry = replace(ENTRY, stop=None, target=None)
        rests = OrderRequest(
            client_id="krests", book="S", symbol=SYMBOL, side=Side.SELL, type=OrderType.LIMIT, volume=0.9,
            price=110.0, reduce_only=True, position_id="kentry",
        )  # fmt: skip
        bench.broker.place(entry)
        bench.venue.advance_to(bench.now_ns() + MINUTE_NS)
        bench.broker.refresh()
        assert bench.broker.place(rests).accepted

        report = kill(bench, rests)

        assert (report.done, report.left) == (True, ())
        assert THEIRS <= bench.venue.coins["BTC"] < THEIRS + RULES.volume_step
        assert bench.venue.broker.snapshot().orders == ()
