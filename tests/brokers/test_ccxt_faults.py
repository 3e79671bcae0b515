"""What goes wrong between bot and exchange: nothing is done twice, nothing is lost, and no position stays naked."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from src.core.errors import BrokerUnavailable
from src.core.records import OrderEvent, OrderRequest, OrderState, OrderType, Side
from src.core.sync import start_thread
from src.core.timeframe import MINUTE_NS
from src.testing.venue import KEY, SECRET, Fault, FaultKind
from tests.brokers.ccxt_benches import SYMBOL, CcxtBench, ccxt_bench

NOTHING_DONE = (FaultKind.LOST, FaultKind.RESET_BEFORE)
DONE = (FaultKind.UNANSWERED, FaultKind.RESET_AFTER, FaultKind.ERROR_AFTER, FaultKind.UNKNOWN_AFTER, FaultKind.TWICE)
REFUSED = (FaultKind.RATE_LIMIT, FaultKind.BANNED, FaultKind.ERROR_BEFORE)


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    """An account of its own, with a client that does not wait long."""
    with ccxt_bench() as made:
        yield made


def entry(number: int = 1, *, stop: float | None = None, target: float | None = None) -> OrderRequest:
    """A purchase at the market."""
    return OrderRequest(
        client_id=f"kfault{number}", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=1.0,
        stop=stop, target=target,
    )  # fmt: skip


def settle(bench: CcxtBench, times: int = 3) -> None:
    """Let some bars close and read the account after each."""
    for _ in range(times):
        start_ns = bench.now_ns()
        bench.until(lambda: bench.now_ns() > start_ns)  # noqa: B023 - called here


def read(bench: CcxtBench) -> list[OrderEvent]:
    """The events so far."""
    return list(bench.broker.mailbox(SYMBOL))


def held(bench: CcxtBench) -> float:
    """What the venue itself says is held."""
    return sum(each.volume for each in bench.venue.broker.positions(SYMBOL))


@pytest.mark.parametrize("kind", NOTHING_DONE)
def test_a_placement_that_was_lost_is_unanswered_and_not_found(bench: CcxtBench, kind: FaultKind) -> None:
    """It is not sent again."""
    bench.venue.fail(Fault(kind=kind, endpoint="POST order"))

    with pytest.raises(BrokerUnavailable):
        bench.broker.place(entry())

    assert bench.broker.find_order("kfault1") is None
    settle(bench)
    assert (held(bench), read(bench)) == (0.0, [])
    assert [call.endpoint for call in bench.venue.calls].count("POST order") == 1


@pytest.mark.parametrize("kind", DONE)
def test_a_placement_without_an_answer_is_found_and_counted_once(bench: CcxtBench, kind: FaultKind) -> None:
    """Its execution is told, once, under its id."""
    bench.venue.fail(Fault(kind=kind, endpoint="POST order"))

    with pytest.raises(BrokerUnavailable):
        bench.broker.place(entry())

    found = bench.broker.find_order("kfault1")
    assert found is not None
    assert found.request == entry()
    settle(bench)
    events = read(bench)
    assert [(event.order.order_id, event.order.state) for event in events] == [("kfault1", OrderState.FILLED)]
    assert held(bench) == bench.broker.position("S", SYMBOL).volume == 1.0


@pytest.mark.parametrize("kind", DONE)
def test_an_unanswered_placement_is_recognised_without_being_asked_for(bench: CcxtBench, kind: FaultKind) -> None:
    """Its execution names the exchange's id alone."""
    bench.venue.fail(Fault(kind=kind, endpoint="POST order"))

    with pytest.raises(BrokerUnavailable):
        bench.broker.place(entry())
    settle(bench)

    assert [event.order.order_id for event in read(bench)] == ["kfault1"]
    assert bench.broker.position("S", SYMBOL).position_id == "kfault1"


@pytest.mark.parametrize("kind", REFUSED)
def test_a_placement_that_is_too_much_is_refused(bench: CcxtBench, kind: FaultKind) -> None:
    """Nothing was done, and the bot may ask later."""
    bench.venue.fail(Fault(kind=kind, endpoint="POST order"))

    result = bench.broker.place(entry())

    assert (result.accepted, result.code) == (False, "rate_limit")
    assert held(bench) == 0.0


def test_a_success_without_an_id_is_told_as_such(bench: CcxtBench) -> None:
    """Whoever asked has to look it up, and finds nothing."""
    bench.venue.fail(Fault(kind=FaultKind.NO_ID, endpoint="POST order"))

    result = bench.broker.place(entry())

    assert (result.accepted, result.order_id) == (True, "")
    assert bench.broker.find_order("kfault1") is None


def test_a_rejected_order_keeps_its_filled_part(bench: CcxtBench) -> None:
    """The part is held."""
    bench.venue.fail(Fault(kind=FaultKind.PART_THEN_REJECTED, endpoint="POST order"))

    bench.broker.place(entry())
    settle(bench)

    assert read(bench)[-1].order.state is OrderState.REJECTED
    assert bench.broker.position("S", SYMBOL).volume == 0.5


@pytest.mark.parametrize("kind", [*NOTHING_DONE, *DONE, FaultKind.NO_ID, FaultKind.ERROR_BEFORE])
def test_a_stop_that_nobody_answered_is_there_when_the_fill_is_told(bench: CcxtBench, kind: FaultKind) -> None:
    """The position and its protection are shown together, and there is one stop for it in the end."""
    bench.venue.fail(Fault(kind=kind, endpoint="POST algoOrder"))
    bench.broker.place(entry(stop=90.0, target=120.0))

    bench.until(lambda: bool(read(bench)))

    position = bench.broker.position("S", SYMBOL)
    assert (position.stop, position.target) == (90.0, 120.0)
    settle(bench)
    stops = bench.broker._wire.open_orders(SYMBOL, conditional=True)
    assert [(each.trigger, each.volume) for each in stops] == [(90.0, 1.0)]


@pytest.mark.parametrize("kind", [*NOTHING_DONE, *DONE])
@pytest.mark.parametrize("endpoint", ["POST algoOrder", "DELETE algoOrder"])
def test_a_stop_that_is_moved_is_one_stop_in_the_end(bench: CcxtBench, endpoint: str, kind: FaultKind) -> None:
    """Whatever became of the new one and of the old one; and the position is never without."""
    bench.broker.place(entry(stop=90.0))
    bench.until(lambda: bool(read(bench)))
    bench.venue.fail(Fault(kind=kind, endpoint=endpoint))

    try:
        moved = bench.broker.protect("kfault1", stop=95.0).accepted
    except BrokerUnavailable:
        moved = False
    settle(bench)

    (stop,) = bench.broker._wire.open_orders(SYMBOL, conditional=True)
    assert stop.trigger == bench.broker.position("S", SYMBOL).stop
    assert stop.trigger in ((95.0,) if moved else (90.0, 95.0))


@pytest.mark.parametrize("kind", [*NOTHING_DONE, *DONE])
def test_what_is_closed_once_is_closed_once(bench: CcxtBench, kind: FaultKind) -> None:
    """An order to close that nobody answered never opens anything, and its siblings go."""
    bench.broker.place(entry(stop=90.0, target=120.0))
    bench.until(lambda: bool(read(bench)))
    bench.venue.fail(Fault(kind=kind, endpoint="POST order"))

    with suppress(BrokerUnavailable):
        bench.broker.close("kfault1", client_id="kclose1")
    settle(bench)

    assert held(bench) == bench.broker.position("S", SYMBOL).volume == (1.0 if kind in NOTHING_DONE else 0.0)
    resting = [bench.broker._wire.open_orders(SYMBOL, conditional=each) for each in (True, False)]
    assert [len(each) for each in resting] == ([1, 1] if kind in NOTHING_DONE else [0, 0])
    trades = [event.trade for event in read(bench) if event.trade is not None]
    assert len(trades) == (0 if kind in NOTHING_DONE else 1)


@pytest.mark.parametrize(
    "endpoint", ["GET account", "GET positionRisk", "GET openOrders", "GET userTrades", "GET order"]
)  # fmt: skip
def test_old_answers_are_not_believed(bench: CcxtBench, endpoint: str) -> None:
    """What is shown agrees with itself, or nothing new is shown."""
    bench.broker.place(entry())
    settle(bench, 1)
    bench.venue.fail(Fault(kind=FaultKind.STALE, endpoint=endpoint, times=2))

    bench.broker.close("kfault1", client_id="kclose1")
    settle(bench, 2)

    assert bench.broker.position("S", SYMBOL).is_flat
    assert bench.broker.snapshot().account.balance == bench.venue.broker.snapshot().account.balance


def test_a_question_is_asked_again(bench: CcxtBench) -> None:
    """One that fails twice costs nothing."""
    for endpoint in ("GET account", "GET openOrders", "GET userTrades"):
        bench.venue.fail(Fault(kind=FaultKind.RESET_BEFORE, endpoint=endpoint, times=2))
    bench.broker.place(entry())

    settle(bench, 1)

    assert bench.broker.position("S", SYMBOL).volume == 1.0


def test_what_is_shown_stays_when_the_exchange_is_away(bench: CcxtBench) -> None:
    """And shows how old it is."""
    bench.broker.place(entry())
    settle(bench, 1)
    before = bench.broker.snapshot()
    bench.venue.fail(Fault(kind=FaultKind.RESET_BEFORE, times=0))

    with pytest.raises(BrokerUnavailable):
        settle(bench, 1)

    assert bench.broker.snapshot() == before
    bench.venue.heal()
    settle(bench, 1)
    assert bench.broker.snapshot().account.instant_ns > before.account.instant_ns


def test_other_peoples_orders_and_positions_are_not_touched(bench: CcxtBench) -> None:
    """Neither counted as ours nor built upon."""
    wire = bench.broker._wire
    wire.place(
        OrderRequest(client_id="x-other", book="", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=2.0)
    )
    settle(bench, 2)

    refusal = bench.broker.place(entry())

    assert refusal.code == "foreign_position"
    assert (bench.broker.positions(SYMBOL), read(bench), held(bench)) == ((), [], 2.0)


def test_two_books_do_not_share_a_symbol(bench: CcxtBench) -> None:
    """The exchange would add them up."""
    bench.broker.place(entry())
    second = OrderRequest(client_id="k2", book="T", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=1.0)

    assert bench.broker.place(second).code == "other_book"


@pytest.mark.parametrize(("client_id", "kind"), [("x-hand", "foreign"), ("autoclose-7", "liquidation")])
def test_what_somebody_else_closes_is_closed(bench: CcxtBench, client_id: str, kind: str) -> None:
    """The exchange has one position of a symbol; the bot is told, and nothing guards it any more."""
    bench.broker.place(entry(stop=90.0, target=120.0))
    settle(bench, 1)
    bench.broker._wire.place(
        OrderRequest(
            client_id=client_id, book="", symbol=SYMBOL, side=Side.SELL, type=OrderType.MARKET, volume=1.0,
            reduce_only=True,
        )
    )  # fmt: skip

    settle(bench, 2)

    assert bench.broker.position("S", SYMBOL).is_flat
    last = read(bench)[-1]
    assert last.fill is not None
    assert last.trade is not None
    assert (last.fill.kind, last.trade.exit_kind, last.order.state) == (kind, kind, OrderState.FILLED)
    assert [bench.broker._wire.open_orders(SYMBOL, conditional=each) for each in (True, False)] == [[], []]


def test_what_ended_long_ago_is_forgotten(bench: CcxtBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot runs for months; what is held and what works stays."""
    monkeypatch.setattr("src.brokers.ccxt_ledger.MOST_REMEMBERED", 1)
    bench.broker.place(entry(stop=90.0))
    settle(bench, 1)
    bench.broker.close("kfault1", client_id="kclose1")
    settle(bench, 1)
    bench.venue.advance_to(bench.now_ns() + 30 * MINUTE_NS)
    bench.broker.refresh()
    bench.broker.place(entry(2, stop=90.0))
    settle(bench, 1)
    ledger = bench.broker._ledger

    ledger.prune(bench.now_ns() - 20 * MINUTE_NS)

    assert [(each.role, each.is_live) for each in ledger.orders.values()] == [("", False), ("s", True)]
    assert next(iter(ledger.orders)) == "kfault2"
    settle(bench, 1)
    assert bench.broker.position("S", SYMBOL).stop == 90.0


def test_many_threads_share_one_client(bench: CcxtBench) -> None:
    """Orders that are placed at once, while the account is read, are all there and each once."""
    requests = [
        OrderRequest(
            client_id=f"kthread{i}", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.LIMIT, volume=0.1,
            price=80.0 + i,
        )
        for i in range(8)
    ]  # fmt: skip
    results: list[bool] = []
    threads = [
        start_thread(each.client_id, lambda each=each: results.append(bench.broker.place(each).accepted))  # type: ignore[misc]  # the default binds it
        for each in requests
    ]
    bench.broker.refresh_account()
    for thread in threads:
        thread.join()
    bench.broker.refresh_account()

    assert results == [True] * 8
    assert sorted(order.order_id for order in bench.broker.snapshot().orders) == [each.client_id for each in requests]
    assert len(bench.venue.broker.snapshot().orders) == 8


def test_no_key_leaves_by_a_log_or_an_error(bench: CcxtBench, caplog: pytest.LogCaptureFixture) -> None:
    """However closely somebody listens, and whatever fails."""
    caplog.set_level(logging.DEBUG)
    kinds = (FaultKind.LOST, FaultKind.RESET_AFTER, FaultKind.ERROR_AFTER, FaultKind.RATE_LIMIT)
    texts = [repr(bench.broker.client)]
    for i, kind in enumerate(kinds):
        bench.venue.fail(Fault(kind=kind, endpoint="POST order"))
        try:
            texts.append(repr(bench.broker.place(entry(i))))
        except BrokerUnavailable as error:
            texts.append("".join(traceback.format_exception(error)))
    told = caplog.text + "".join(texts)

    assert len(told) > 1000
    assert KEY not in told
    assert SECRET not in told


def test_an_order_that_nobody_ever_saw_is_waited_for_no_longer(bench: CcxtBench) -> None:
    """And its id is not used again."""
    bench.venue.fail(Fault(kind=FaultKind.LOST, endpoint="POST order"))
    with pytest.raises(BrokerUnavailable):
        bench.broker.place(entry())
    for _ in range(12):
        bench.venue.advance_to(bench.now_ns() + MINUTE_NS)
    bench.broker.refresh()
    asked = len(bench.venue.calls)

    bench.broker.refresh()

    assert {call.endpoint for call in list(bench.venue.calls)[asked:]} <= {
        "GET ticker/bookTicker", "GET account", "GET positionRisk", "GET klines"
    }  # fmt: skip
    assert bench.broker.place(entry()).code == "duplicate_id"


@pytest.mark.parametrize(
    ("method", "broken"),
    [
        ("fetch_balance", {"info": {"assets": [{"asset": "USDT", "walletBalance": "no number"}]}}),
        ("fetch_positions", [{"contracts": 1}]),
        ("fetch_my_trades", [{"id": "5"}.keys()]),
    ],
)  # fmt: skip
def test_an_answer_that_cannot_be_read_changes_nothing(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch, method: str, broken: object
) -> None:
    """It is as good as none, and what was shown stays."""
    bench.broker.place(entry())
    before = bench.broker.snapshot()
    monkeypatch.setattr(bench.broker.client._ccxt, method, lambda *args, **more: broken)

    with pytest.raises(BrokerUnavailable):
        settle(bench, 1)

    assert bench.broker.snapshot() == before
    monkeypatch.undo()
    settle(bench, 1)
    assert bench.broker.position("S", SYMBOL).volume == 1.0


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"id": None, "status": "rejected", "info": {"code": -2021, "msg": "Would trigger."}}, "stop_in_market"),
        ({"id": None, "status": "rejected", "info": {"code": -1007, "msg": "Timeout."}}, "unavailable"),
        ({"id": "9", "clientOrderId": "kfault1", "status": "rejected", "filled": 0, "amount": 1}, "rejected"),
    ],
)
def test_a_rejection_that_is_answered_with_success_is_a_refusal(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], code: str
) -> None:
    """Some refusals come as an answer like any other, without an id."""
    monkeypatch.setattr(bench.broker.client._acting, "create_order", lambda *args: answer)

    try:
        found = bench.broker.place(entry()).code
    except BrokerUnavailable:
        found = "unavailable"

    assert found == code
