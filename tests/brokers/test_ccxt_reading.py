"""What an exchange tells is read whole: pages, windows, fees in any coin, and what it tells late or not at all."""

from collections.abc import Iterator
from typing import Any

import pytest

from src.brokers.ccxt_broker import CcxtBroker
from src.brokers.ccxt_records import Held
from src.core.errors import BrokerUnavailable, ConfigError
from src.core.records import OrderRequest, OrderState, OrderType, Side
from src.core.timeframe import DAY_NS, MINUTE_NS, SECOND_NS
from tests.brokers.ccxt_benches import ACCOUNT, RULES, START_NS, SYMBOL, CcxtBench, ccxt_bench, client_to

DAY_MS = DAY_NS // 1_000_000


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    """An account of its own."""
    with ccxt_bench() as made:
        yield made


def bought(bench: CcxtBench, count: int, **more: Any) -> list[OrderRequest]:
    """So many purchases, a minute apart."""
    requests = [
        OrderRequest(
            client_id=f"kbuy{i}", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=0.1, **more
        )
        for i in range(count)
    ]  # fmt: skip
    for request in requests:
        assert bench.broker.place(request).accepted
        bench.venue.advance_to(bench.now_ns() + MINUTE_NS)
    return requests


def restarted(bench: CcxtBench, known: list[OrderRequest]) -> CcxtBroker:
    """Another broker at the same account, which knows of these requests."""
    broker = CcxtBroker(
        client_to(bench.venue), ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)}, now_ns=bench.venue.now_ns
    )
    broker.start(known, START_NS)
    return broker


@pytest.mark.parametrize(("page", "days"), [(3, 6.0), (1_000, 0.002), (3, 0.002)])
def test_executions_and_orders_are_read_over_all_pages_and_windows(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch, page: int, days: float
) -> None:
    """However many an answer holds, and for however long the exchange answers; also after a restart."""
    monkeypatch.setattr("src.brokers.ccxt_wire._PAGE", page)
    monkeypatch.setattr("src.brokers.ccxt_wire._WINDOW_MS", int(days * DAY_MS))
    requests = bought(bench, 10)

    bench.broker.refresh()
    again = restarted(bench, requests)

    fills = [event.fill.order_id for event in again.mailbox(SYMBOL) if event.fill is not None]
    assert fills == [request.client_id for request in requests]
    assert bench.broker.position("S", SYMBOL).volume == again.position("S", SYMBOL).volume == 1.0
    wire, since_ms = bench.broker._wire, START_NS // 10**6
    assert len(wire.executions(SYMBOL, since_ms)) == len(wire.all_orders(SYMBOL, START_NS, conditional=False)) == 10


def test_nothing_is_asked_for_longer_than_an_exchange_answers_for(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows follow one another without a hole, up to the present."""
    asked: list[tuple[int, int | None]] = []

    def fetch(name: str, since: int, limit: int, params: dict[str, int]) -> list[Any]:
        asked.append((since, params.get("until")))
        return []

    monkeypatch.setattr(bench.broker.client._ccxt, "fetch_my_trades", fetch)
    now_ms = bench.now_ns() // 10**6

    bench.broker._wire.executions(SYMBOL, now_ms - 20 * DAY_MS)

    ends = [until or now_ms for _, until in asked]
    assert asked[0][0] == now_ms - 20 * DAY_MS
    assert [since for since, _ in asked[1:]] == ends[:-1]
    assert asked[-1][1] is None
    assert all(end - since < 7 * DAY_MS for (since, _), end in zip(asked, ends, strict=True))


def test_a_fee_in_a_coin_without_a_rate_keeps_no_execution_from_being_counted(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is estimated; the position has its stop."""
    client = bench.broker.client._ccxt
    fetch = client.fetch_my_trades

    def in_another_coin(*args: Any) -> Any:
        return [each | {"fee": {"cost": 0.001, "currency": "ZZZ"}} for each in fetch(*args)]

    monkeypatch.setattr(client, "fetch_my_trades", in_another_coin)

    bought(bench, 1, stop=90.0)
    bench.broker.refresh()

    (event,) = bench.broker.mailbox(SYMBOL)
    assert event.fill is not None
    assert event.fill.commission == pytest.approx(0.1 * event.fill.price * 0.0005)
    assert bench.broker.position("S", SYMBOL).stop == 90.0


def test_what_has_been_seen_exists_even_when_an_answer_does_not_know_of_it(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be given up, and its position with it."""
    bought(bench, 1)
    bench.broker.refresh()
    monkeypatch.setattr(bench.broker._wire, "find", lambda *args, **more: None)

    order = bench.broker.find_order("kbuy0")

    assert order is not None
    assert (order.state, order.filled_volume) == (OrderState.FILLED, 0.1)


def test_positions_from_before_the_executions_are_not_taken_for_somebody_elses(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something has filled between the two questions of the beginning."""
    requests = bought(bench, 1)
    broker = CcxtBroker(
        client_to(bench.venue), ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)}, now_ns=bench.venue.now_ns
    )
    holdings, old = broker._wire.holdings, [{}]

    def earlier() -> dict[str, Held]:
        return old.pop() if old else holdings()

    monkeypatch.setattr(broker._wire, "holdings", earlier)

    broker.start(requests, START_NS)

    assert broker._ledger.foreign[SYMBOL] == 0.0
    assert broker.position("S", SYMBOL).volume == 0.1


def test_what_nobody_tells_of_is_other_peoples_after_a_while(bench: CcxtBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing of ours is open an account that never agrees with itself would be of no use to anybody."""
    wire = bench.broker._wire
    wire.place(
        OrderRequest(client_id="x-hand", book="", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=2.0)
    )
    monkeypatch.setattr(wire, "executions", lambda symbol, since_ms: [])
    with pytest.raises(BrokerUnavailable):
        bench.broker.refresh()

    bench.venue.advance_to(bench.now_ns() + 61 * SECOND_NS)
    bench.broker.refresh()

    assert (bench.broker._ledger.foreign[SYMBOL], bench.broker.positions(SYMBOL)) == (2.0, ())


def test_a_refusal_of_what_was_seen_meanwhile_is_none(bench: CcxtBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something on the way has sent it twice: the first one works, and the second one is refused."""
    create = bench.broker.client._acting.create_order

    def twice(*args: Any) -> Any:
        create(*args)
        bench.broker.refresh_account()  # as another thread does while this one waits for its answer
        raise bench.broker.client._errors.InsufficientFunds('{"code":-2019,"msg":"Margin is insufficient."}')

    monkeypatch.setattr(bench.broker.client._acting, "create_order", twice)

    (request,) = bought(bench, 1)
    bench.broker.refresh()

    (event,) = bench.broker.mailbox(SYMBOL)
    assert (event.order.order_id, event.order.state) == (request.client_id, OrderState.FILLED)


def test_leverage_that_is_no_whole_number_is_refused_and_not_cut(bench: CcxtBench) -> None:
    """Positions would be larger or smaller than they were judged."""
    refusal = bench.broker._wire.set_leverage(SYMBOL, 2.5)

    assert refusal is not None
    assert refusal.code == "leverage"


def test_a_clock_that_is_off_is_refused_at_the_start(bench: CcxtBench) -> None:
    """Every instant of the bot would be another one than the exchange's."""
    broker = CcxtBroker(
        client_to(bench.venue), ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)}, now_ns=bench.venue.now_ns
    )
    broker.client._now_ns = lambda: bench.venue.now_ns() + 40 * SECOND_NS

    with pytest.raises(ConfigError, match="set the clock"):
        broker.start()


def test_what_is_quiet_costs_few_questions(bench: CcxtBench) -> None:
    """A position that is as it was is looked at closely every few seconds; many of them share one limit."""
    bought(bench, 1, stop=90.0, target=120.0)
    bench.broker.refresh()
    before = len(bench.venue.calls)
    asked: list[set[str]] = []

    for _ in range(5):
        bench.venue.advance_to(bench.now_ns() + SECOND_NS)
        bench.broker.refresh_account()
        asked.append({call.endpoint for call in list(bench.venue.calls)[before:]})
        before = len(bench.venue.calls)

    assert asked[:4] == [{"GET account", "GET positionRisk"}] * 4
    assert {"GET openOrders", "GET openAlgoOrders", "GET userTrades"} <= asked[4]


def test_a_stop_that_somebody_has_cancelled_is_placed_again(bench: CcxtBench) -> None:
    """Positions do not tell of it."""
    bought(bench, 1, stop=90.0)
    bench.broker.refresh()
    wire = bench.broker._wire
    (stop,) = wire.open_orders(SYMBOL, conditional=True)
    wire.cancel(SYMBOL, stop.client_id, stop.venue_id, conditional=True)

    bench.venue.advance_to(bench.now_ns() + 5 * SECOND_NS)
    bench.broker.refresh_account()

    (again,) = wire.open_orders(SYMBOL, conditional=True)
    assert (again.trigger, again.client_id != stop.client_id) == (90.0, True)
