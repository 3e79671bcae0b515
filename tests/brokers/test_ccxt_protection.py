"""What has filled has its stop at the exchange within a given time, for all of it, or is flattened."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from src.brokers.ccxt_broker import CcxtBroker
from src.brokers.ccxt_errors import Refusal
from src.brokers.ccxt_records import Report
from src.core.errors import BrokerContractError, BrokerUnavailable, ConfigError
from src.core.records import OrderEvent, OrderRequest, OrderState, OrderType, Side
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import Fault, FaultKind, LocalVenue
from tests.brokers.ccxt_benches import (
    ACCOUNT,
    COSTS,
    RULES,
    START_NS,
    SYMBOL,
    WITHIN_NS,
    CcxtBench,
    ccxt_bench,
    client_to,
    standing_prices,
)

STOPS, CANCELS, ORDERS = "POST algoOrder", "DELETE algoOrder", "POST order"


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    """An account of its own, with a client that does not wait long."""
    with ccxt_bench() as made:
        yield made


def enter(bench: CcxtBench, number: int = 1, **more: Any) -> None:
    """Buy one at the market, with a stop."""
    values: dict[str, Any] = {"stop": 90.0, **more}
    assert bench.broker.place(
        OrderRequest(
            client_id=f"kin{number}", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=1.0,
            **values,
        )
    ).accepted  # fmt: skip


def later(bench: CcxtBench, *seconds: float) -> None:
    """Let time go by and read after each of these."""
    for each in seconds:
        bench.venue.advance_to(bench.now_ns() + round(each * SECOND_NS))
        bench.broker.refresh()


def read(bench: CcxtBench) -> list[OrderEvent]:
    """The events so far."""
    return list(bench.broker.mailbox(SYMBOL))


def exits(bench: CcxtBench) -> list[tuple[str, str]]:
    """How what closed something is called, by its fill and by its trade."""
    return [(event.fill.kind, event.trade.exit_kind) for event in read(bench) if event.fill and event.trade]


def held(bench: CcxtBench) -> float:
    """What the venue itself says is held."""
    return sum(each.volume for each in bench.venue.broker.positions(SYMBOL))


def stops(bench: CcxtBench) -> list[tuple[float | None, float]]:
    """Levels and volumes of the stops that rest at the venue."""
    return [(each.trigger, each.volume) for each in bench.broker._wire.open_orders(SYMBOL, conditional=True)]


@contextmanager
def refusing_stops(bench: CcxtBench, monkeypatch: pytest.MonkeyPatch, code: str) -> Iterator[None]:
    """The exchange takes no stops."""
    place = bench.broker._wire.place

    def refuse(request: OrderRequest) -> Report | Refusal:
        if request.type is OrderType.STOP:
            return Refusal(code=code, message="no stops today")
        return place(request)

    with monkeypatch.context() as patch:
        patch.setattr(bench.broker._wire, "place", refuse)
        yield


def test_a_position_whose_stop_the_market_has_passed_is_flattened_at_once(bench: CcxtBench) -> None:
    """It is told with the entry, and under a name of its own."""
    enter(bench)
    bench.move_to(80.0)
    bench.venue.advance_to(bench.now_ns() + 50 * SECOND_NS)

    later(bench, MINUTE_NS / SECOND_NS)

    assert exits(bench) == [("naked", "naked")]
    assert (held(bench), bench.broker.positions(SYMBOL), stops(bench)) == (0.0, (), [])


def test_a_stop_that_nobody_takes_is_tried_until_its_time_is_over(bench: CcxtBench) -> None:
    """Then the position is flattened, once."""
    bench.venue.fail(Fault(kind=FaultKind.ERROR_BEFORE, endpoint=STOPS, times=0))
    enter(bench)

    later(bench, 1, 1, 1)
    before = held(bench), exits(bench)
    later(bench, 3, 1, 60)

    assert before == (1.0, [])
    assert (held(bench), exits(bench)) == (0.0, [("naked", "naked")])
    closing = [call for call in bench.venue.calls if call.endpoint == ORDERS and call.params.get("reduceOnly")]
    assert len(closing) == 1


def test_a_target_that_is_refused_is_told(bench: CcxtBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: it is not tried again, and whoever counts on it has to know."""
    told: list[tuple[str, str]] = []
    bench.broker.tell_what_is_given_up(lambda symbol, text: told.append((symbol, text)))
    place = bench.broker._wire.place

    def refuse(request: OrderRequest) -> Report | Refusal:
        if request.type is OrderType.LIMIT:
            return Refusal(code="rejected", message="no targets today")
        return place(request)

    monkeypatch.setattr(bench.broker._wire, "place", refuse)
    enter(bench, target=120.0)
    later(bench, 1, 1)

    assert held(bench) == 1.0
    assert [symbol for symbol, _ in told] == [SYMBOL]
    assert "120" in told[0][1]
    assert "no targets today" in told[0][1]


def test_until_then_the_entry_shows_as_an_order_or_as_a_position(bench: CcxtBench) -> None:
    """Whoever counts slots in between finds it taken."""
    bench.venue.fail(Fault(kind=FaultKind.ERROR_BEFORE, endpoint=STOPS, times=0))
    enter(bench)
    found = []

    for i in range(3):
        if i == 2:
            bench.venue.heal()
        later(bench, 1)
        snapshot = bench.broker.snapshot()
        found.append((len(snapshot.orders), len(snapshot.positions)))

    assert found == [(1, 0), (1, 0), (0, 1)]
    assert bench.broker.position("S", SYMBOL).stop == 90.0


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.NO_ID])
def test_stops_that_nobody_answers_leave_no_position_and_no_stop_behind(bench: CcxtBench, kind: FaultKind) -> None:
    """Whether they arrived or not."""
    bench.venue.fail(Fault(kind=kind, endpoint=STOPS, times=0))
    enter(bench)
    for seconds in (1, 2, 3, 10, 20, 30):
        with suppress(BrokerUnavailable):
            later(bench, seconds)
    bench.venue.heal()
    later(bench, 60, 60)

    arrived = kind is FaultKind.RESET_AFTER  # it was found, so the position is protected
    assert held(bench) == (1.0 if arrived else 0.0)
    assert stops(bench) == ([(90.0, 1.0)] if arrived else [])
    assert exits(bench) == ([] if arrived else [("naked", "naked")])


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.NO_ID])
def test_an_order_to_flatten_that_nobody_answers_closes_once(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch, kind: FaultKind
) -> None:
    """It is looked up before there is another one, and opens nothing."""
    enter(bench)
    bench.venue.fail(Fault(kind=kind, endpoint=ORDERS))

    with refusing_stops(bench, monkeypatch, "stop_in_market"):
        for seconds in (1, 1, 2, 3, 5, 30):
            with suppress(BrokerUnavailable):
                later(bench, seconds)

    assert (held(bench), exits(bench)) == (0.0, [("naked", "naked")])
    closing = [call for call in bench.venue.calls if call.endpoint == ORDERS and call.params.get("reduceOnly")]
    assert len(closing) == (1 if kind is FaultKind.RESET_AFTER else 2)
    assert len({call.params["newClientOrderId"] for call in closing}) == len(closing)
    assert closing[-1].at_ns - closing[0].at_ns >= (5 * SECOND_NS if len(closing) > 1 else 0)


def test_a_stop_for_a_part_is_no_protection_of_the_rest(bench: CcxtBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has filled since counts, and its time as well."""
    enter(bench)
    later(bench, 60)
    enter(bench, 2, stop=None)

    with refusing_stops(bench, monkeypatch, "order_limit"):
        later(bench, 1)
        before = held(bench), stops(bench)
        later(bench, 5, 60)

    assert before == (2.0, [(90.0, 1.0)])
    assert (held(bench), exits(bench)) == (0.0, [("naked", "naked")])


def test_what_would_make_a_naked_position_larger_is_cancelled(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the rest of an entry that fills in parts would open it again and again."""
    enter(bench)
    limit = OrderRequest(
        client_id="krest", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.LIMIT, volume=1.0, price=95.0,
        stop=90.0,
    )  # fmt: skip
    assert bench.broker.place(limit).accepted

    with refusing_stops(bench, monkeypatch, "order_limit"):
        later(bench, 1, 5, 60)

    assert (held(bench), bench.broker.snapshot().orders) == (0.0, ())
    assert bench.venue.broker.snapshot().orders == ()


def test_the_time_is_the_configurations() -> None:
    """And has to be one."""
    with ccxt_bench(protect_within_ns=90 * SECOND_NS) as bench:
        bench.venue.fail(Fault(kind=FaultKind.ERROR_BEFORE, endpoint=STOPS, times=0))
        enter(bench)
        later(bench, 30, 40)
        before = held(bench)
        later(bench, 30, 60)

        assert (before, held(bench)) == (1.0, 0.0)
    with pytest.raises(ConfigError, match="time to protect"), ccxt_bench(protect_within_ns=0):
        raise AssertionError("it was made")


@pytest.mark.parametrize("endpoint", ["GET klines", "GET ticker/bookTicker"])
def test_prices_that_nobody_tells_keep_no_position_without_its_stop(bench: CcxtBench, endpoint: str) -> None:
    """The account is read and protected first; that something is missing is said all the same."""
    enter(bench)
    bench.venue.fail(Fault(kind=FaultKind.RESET_BEFORE, endpoint=endpoint, times=0))

    with pytest.raises(BrokerUnavailable):
        later(bench, 60)

    assert stops(bench) == [(90.0, 1.0)]
    assert bench.broker.position("S", SYMBOL).stop == 90.0


@pytest.mark.parametrize("endpoint", ["GET account", "GET positionRisk"])
def test_an_account_that_nobody_tells_keeps_no_position_without_its_stop(bench: CcxtBench, endpoint: str) -> None:
    """Executions say what has filled; the account is shown when it is told."""
    enter(bench)
    bench.venue.fail(Fault(kind=FaultKind.RESET_BEFORE, endpoint=endpoint, times=0))

    with pytest.raises(BrokerUnavailable):
        later(bench, 10)

    assert stops(bench) == [(90.0, 1.0)]
    assert bench.broker.snapshot().positions == ()
    bench.venue.heal()
    later(bench, 1)
    assert bench.broker.position("S", SYMBOL).stop == 90.0


def test_a_cancellation_that_nobody_answers_does_not_hide_the_account(bench: CcxtBench) -> None:
    """What rests besides only reduces; it goes when the exchange answers."""
    enter(bench)
    later(bench, 1)
    bench.venue.fail(Fault(kind=FaultKind.RESET_BEFORE, endpoint=CANCELS, times=0))

    bench.broker.protect("kin1", stop=95.0)
    later(bench, 60)

    assert bench.broker.position("S", SYMBOL).stop == 95.0
    assert bench.broker.snapshot().account.instant_ns == bench.now_ns()
    bench.venue.heal()
    later(bench, 1)
    assert stops(bench) == [(95.0, 1.0)]


def test_an_older_stop_of_the_same_id_is_not_taken_for_a_new_one(bench: CcxtBench) -> None:
    """The exchange says that the id works already, and tells the level that it works with."""
    enter(bench)
    later(bench, 1)
    bench.broker._ledger._numbers.clear()

    with pytest.raises(BrokerUnavailable):
        bench.broker.protect("kin1", stop=95.0)
    later(bench, 1)

    (stop,) = stops(bench)
    assert stop == (bench.broker.position("S", SYMBOL).stop, 1.0)


def test_a_stop_that_was_given_up_and_arrives_all_the_same_is_cancelled(bench: CcxtBench) -> None:
    """It would close a later position."""
    bench.venue.fail(Fault(kind=FaultKind.LATE, endpoint=STOPS, seconds=100.0))
    enter(bench)
    later(bench, 1, 30, 30)
    given_up = [order.code for order in bench.broker._ledger.orders.values() if order.role]

    later(bench, 60, 1)

    assert "lost" in given_up
    assert stops(bench) == [(90.0, 1.0)]
    bench.broker.close("kin1", client_id="kout1")
    later(bench, 60)
    assert (held(bench), stops(bench)) == (0.0, [])


def test_an_entry_that_was_triggered_and_does_not_say_so_is_not_somebody_elses(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its position would have no stop; it is shown when the exchange tells whose it is."""
    client = bench.broker.client._ccxt
    fetch, quiet = client.fetch_order, [True]

    def fetch_order(venue_id: str, symbol: str, params: dict[str, Any]) -> Any:
        found = fetch(venue_id, symbol, params)
        if not params.get("trigger"):
            found["clientOrderId"] = "made-by-the-exchange"
        elif quiet[0]:
            found["info"]["actualOrderId"], found["status"] = "", "open"
        return found

    monkeypatch.setattr(client, "fetch_order", fetch_order)
    bench.broker.place(
        OrderRequest(
            client_id="kup", book="S", symbol=SYMBOL, side=Side.BUY, type=OrderType.STOP, volume=1.0, price=105.0,
            stop=95.0,
        )
    )  # fmt: skip
    bench.move_to(106.0)
    bench.venue.advance_to(bench.now_ns() + 3 * MINUTE_NS)

    with pytest.raises(BrokerUnavailable):
        bench.broker.refresh()
    quiet[0] = False
    bench.broker.refresh()

    position = bench.broker.position("S", SYMBOL)
    assert (position.volume, position.stop) == (1.0, 95.0)
    assert [(event.order.order_id, event.order.state) for event in read(bench)] == [("kup", OrderState.FILLED)]


def test_a_symbol_whose_orders_cannot_be_read_keeps_no_other_one_without_its_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is read and protected by itself; that something is missing is said."""
    series = {name: standing_prices(name) for name in ("AAAUSDT", SYMBOL)}
    rules = {name: replace(RULES, symbol=name) for name in series}
    with LocalVenue(series, rules, START_NS + WITHIN_NS, account=ACCOUNT, costs=COSTS) as venue:
        broker = CcxtBroker(
            client_to(venue), ACCOUNT, rules, dict.fromkeys(rules, (MINUTE_NS,)), now_ns=venue.now_ns
        )  # fmt: skip
        broker.start()
        for name in rules:
            broker.place(
                OrderRequest(client_id=f"kin{name.lower()}", book="S", symbol=name, side=Side.BUY,
                             type=OrderType.MARKET, volume=1.0, stop=90.0)
            )  # fmt: skip
        wire = broker._wire
        open_orders, find = wire.open_orders, wire.find

        def unreadable(symbol: str, **more: Any) -> Any:
            if symbol == "AAAUSDT":
                raise BrokerContractError("expected orders, found none")
            return open_orders(symbol, **more)

        def unknown(symbol: str, **more: Any) -> Any:
            if symbol == "AAAUSDT":
                raise BrokerContractError("expected an order, found none")
            return find(symbol, **more)

        with monkeypatch.context() as patch:
            patch.setattr(wire, "open_orders", unreadable)
            patch.setattr(wire, "find", unknown)
            with pytest.raises(BrokerUnavailable):
                broker.refresh()
        (stop,) = wire.open_orders(SYMBOL, conditional=True)
        assert stop.trigger == 90.0
        broker.refresh()
        assert [broker.position("S", name).stop for name in rules] == [90.0, 90.0]
