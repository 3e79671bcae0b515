"""A spot account of an exchange: whose coins are whose, fees in coin, one list for stop and target, no short."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from src.brokers.ccxt_client import CcxtClient
from src.brokers.ccxt_spot_broker import CcxtSpotBroker
from src.brokers.ccxt_spot_wire import SpotWire
from src.core.errors import BrokerUnavailable, ConfigError
from src.core.records import OrderEvent, OrderRequest, OrderResult, OrderType, Side, TimeInForce, TriggerBy
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import Fault, FaultKind
from tests.brokers.ccxt_benches import ACCOUNT as MARGIN
from tests.brokers.ccxt_benches import SYMBOL, CcxtBench
from tests.brokers.ccxt_spot_benches import ACCOUNT, RULES, client_to, spot_bench

LISTS, ORDERS = "POST orderList/oco", "POST order"
THEIRS = 7.0


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    """An account where other people's coins lie and fees are taken in coin."""
    with spot_bench(coins={"BTC": THEIRS}, fees_in_coin=True) as made:
        yield made


def ask(bench: CcxtBench, side: Side = Side.BUY, type_: OrderType = OrderType.MARKET, **more: Any) -> OrderResult:
    """Place an order of one coin."""
    values: dict[str, Any] = {"client_id": f"k{bench.venue.calls[-1].number}", "volume": 1.0, **more}
    return bench.broker.place(OrderRequest(book="S", symbol=SYMBOL, side=side, type=type_, **values))


def later(bench: CcxtBench, *seconds: float) -> None:
    """Let time go by and read after each of these."""
    for each in seconds:
        bench.venue.advance_to(bench.now_ns() + round(each * SECOND_NS))
        with suppress(BrokerUnavailable):
            bench.broker.refresh()


def enter(bench: CcxtBench, **more: Any) -> None:
    """Buy one with a stop and a target, and wait until that is told."""
    assert ask(bench, client_id="kin", **{"stop": 90.0, "target": 120.0, **more}).accepted
    later(bench, 1)


def read(bench: CcxtBench) -> list[OrderEvent]:
    """The events so far."""
    return list(bench.broker.mailbox(SYMBOL))


def exits(bench: CcxtBench) -> list[str]:
    """How what closed a position is called."""
    return [event.trade.exit_kind for event in read(bench) if event.trade is not None]


def resting(bench: CcxtBench) -> list[tuple[str, float | None, float]]:
    """What rests at the venue to be sold: type, level and volume."""
    orders = bench.venue.broker.snapshot().orders
    sales = [each.request for each in orders if each.request.side is Side.SELL]
    return sorted((str(each.type), each.price, each.volume) for each in sales)


def coins(bench: CcxtBench) -> float:
    """What there is in all."""
    return bench.venue.coins["BTC"]


def test_coins_that_were_there_before_are_nobodys_business(bench: CcxtBench) -> None:
    """They are no position, cannot be sold, and stand in no entry's way."""
    found = bench.broker.positions(SYMBOL), bench.broker.foreign, ask(bench, Side.SELL).code

    enter(bench)

    assert found == ((), {}, "short_on_spot")
    assert bench.broker.position("S", SYMBOL).volume == 0.9995


def test_a_fee_in_coin_makes_the_holding_smaller(bench: CcxtBench) -> None:
    """What arrived is held, what may be sold of it is guarded, and what is left of it stays behind."""
    enter(bench)
    before = resting(bench)
    bench.broker.close("kin", client_id="kout")
    later(bench, 1)

    entry, leaving = [event.fill for event in read(bench) if event.fill is not None]
    assert (entry.volume, entry.fee_volume, leaving.volume) == (0.9995, 0.0005, 0.9995)
    assert entry.commission == pytest.approx(0.0005 * entry.price)
    assert before == [("limit", 120.0, 0.999), ("stop", 90.0, 0.999)]
    assert coins(bench) == pytest.approx(THEIRS + 0.0005)
    (trade,) = [event.trade for event in read(bench) if event.trade is not None]
    account = bench.broker.snapshot().account
    assert account.balance - 10_000 == pytest.approx(trade.net)
    assert (bench.broker.position("S", SYMBOL).is_flat, resting(bench)) == (True, [])


def test_money_and_coins_are_one_account(bench: CcxtBench) -> None:
    """What the coins cost counts with the balance, what they are worth with the equity, and what is free is money."""
    enter(bench)
    account, money = bench.broker.snapshot().account, bench.venue.coins["USDT"]

    assert account.balance == pytest.approx(money + 0.9995 * bench.broker.position("S", SYMBOL).entry_price)
    assert account.equity == pytest.approx(money + 0.9995 * 99.99)
    assert account.margin_free == pytest.approx(money)
    ask(bench, type_=OrderType.LIMIT, price=80.0)
    later(bench, 1)
    assert bench.broker.snapshot().account.margin_free == pytest.approx(money)


@pytest.mark.parametrize(("price", "kind"), [(125.0, "target"), (80.0, "stop")])
def test_one_of_the_list_fills_and_the_other_goes(bench: CcxtBench, price: float, kind: str) -> None:
    """Both tie up the same coins."""
    enter(bench)
    bench.move_to(price)

    later(bench, 60, 60, 60)

    assert (exits(bench), resting(bench), bench.broker.position("S", SYMBOL).is_flat) == ([kind], [], True)
    assert THEIRS <= coins(bench) < THEIRS + RULES.volume_step


def test_a_stop_that_is_moved_takes_its_target_with_it(bench: CcxtBench) -> None:
    """The list is replaced as a whole."""
    enter(bench)

    moved = bench.broker.protect("kin", stop=95.0), bench.broker.protect("kin", target=130.0)

    assert all(each.accepted for each in moved)
    assert resting(bench) == [("limit", 130.0, 0.999), ("stop", 95.0, 0.999)]
    position = bench.broker.position("S", SYMBOL)
    assert (position.stop, position.target) == (95.0, 130.0)


def test_a_stop_that_the_exchange_refuses_leaves_the_one_before(
    bench: CcxtBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was cancelled, and is placed again."""
    enter(bench, target=None)
    monkeypatch.setattr(bench.broker.feed, "quote", lambda symbol: None)
    monkeypatch.setattr("src.brokers.ccxt_broker.protection_refusal", lambda *args: None)

    result = bench.broker.protect("kin", stop=105.0)

    assert result.code == "stop_in_market"
    assert resting(bench) == [("stop", 90.0, 0.999)]
    assert bench.broker.position("S", SYMBOL).stop == 90.0


def test_what_is_left_is_guarded_at_once(bench: CcxtBench) -> None:
    """Without another reading."""
    enter(bench)

    bench.broker.close("kin", client_id="kpart", volume=0.4)

    assert resting(bench) == [("limit", 120.0, 0.599), ("stop", 90.0, 0.599)]


def test_what_rests_beside_a_stop_is_refused(bench: CcxtBench) -> None:
    """There are no coins left for it; without a stop there are, once."""
    enter(bench)
    refusals = [
        ask(bench, Side.SELL, OrderType.LIMIT, price=110.0, volume=0.5, reduce_only=more).code for more in (True, False)
    ]
    bench.broker.close("kin", client_id="kout")
    later(bench, 1)
    assert ask(bench, client_id="kagain").accepted
    later(bench, 1)
    first, second = (ask(bench, Side.SELL, OrderType.LIMIT, price=110.0 + i, volume=0.6) for i in range(2))

    assert refusals == ["unsupported", "unsupported"]
    assert (first.accepted, second.code) == (True, "tied_up")
    assert ask(bench, Side.SELL, volume=0.9).code == "tied_up"
    assert coins(bench) > THEIRS


@pytest.mark.parametrize("change", [2.0, -2.0])
def test_coins_that_come_and_go_hold_nothing_up(bench: CcxtBench, change: float) -> None:
    """After a while they are known as others'."""
    enter(bench)
    bench.venue.coins["BTC"] += change

    later(bench, 1)
    before = bench.broker.snapshot().account.instant_ns
    later(bench, 6, 6)

    assert before < bench.now_ns() - 11 * SECOND_NS
    assert bench.broker.snapshot().account.instant_ns == bench.now_ns()
    bench.broker.close("kin", client_id="kout")
    later(bench, 1)
    assert exits(bench) == ["exit"]
    assert coins(bench) == pytest.approx(THEIRS + change + 0.0005)


def test_what_others_sell_beyond_their_own_was_the_bots() -> None:
    """The bot is told, and its stop goes."""
    with spot_bench() as bench:
        enter(bench)
        client = client_to(bench.venue)
        wire = SpotWire(client, {SYMBOL: client.market(SYMBOL)})
        (stop,) = [each for each in wire.open_orders(SYMBOL, conditional=False) if each.trigger]
        wire.cancel(SYMBOL, stop.client_id, stop.venue_id, conditional=False)
        wire.place(
            OrderRequest(client_id="web1", book="", symbol=SYMBOL, side=Side.SELL, type=OrderType.MARKET, volume=1.0)
        )
        client.close()
        later(bench, 1, 1)

        assert (exits(bench), resting(bench), coins(bench)) == (["foreign"], [], 0.0)


def test_what_a_spot_market_does_not_have_is_refused(bench: CcxtBench) -> None:
    """Before anything is sent."""
    enter(bench)
    asked = len(bench.venue.calls)
    found = [
        ask(bench, type_=OrderType.TRAILING_STOP, trail_percent=1.0).code,
        ask(bench, type_=OrderType.LIMIT, price=80.0, expires_ns=bench.now_ns() + 60 * MINUTE_NS).code,
        ask(bench, type_=OrderType.LIMIT, price=80.0, time_in_force=TimeInForce.GTD).code,
        ask(bench, type_=OrderType.STOP, price=120.0, trigger_by=TriggerBy.MARK).code,
        ask(bench, Side.SELL, reverse=True).code,
        ask(bench, reduce_only=True).code,
        ask(bench, volume=0.01).code,
        bench.broker.modify("kin", price=80.0).code,
    ]

    assert found == [
        "unsupported", "time_in_force", "time_in_force", "unsupported", "short_on_spot", "nothing_to_reduce",
        "min_notional", "not_working",
    ]  # fmt: skip
    assert len(bench.venue.calls) == asked


def test_an_order_that_rests_cannot_be_changed(bench: CcxtBench) -> None:
    """It says what to do."""
    ask(bench, type_=OrderType.LIMIT, price=80.0, client_id="krest")

    assert "cancel it" in bench.broker.modify("krest", price=81.0).message


def test_only_a_spot_account_at_a_known_exchange_has_this_broker(bench: CcxtBench) -> None:
    """Anything else is refused where it is configured."""
    client = bench.broker.client
    other = CcxtClient("binanceusdm", environment="real", signed=False, url=bench.venue.url)

    with pytest.raises(ConfigError, match=r"account\.type: spot"):
        CcxtSpotBroker(client, MARGIN, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)})
    with pytest.raises(ConfigError, match="no mark price"):
        CcxtSpotBroker(client, ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)}, trigger_by=TriggerBy.MARK)
    with pytest.raises(ConfigError, match="spot"):
        CcxtSpotBroker(other, ACCOUNT, {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)})
    with pytest.raises(ConfigError, match="in USDT"):
        CcxtSpotBroker(
            client, ACCOUNT.model_copy(update={"currency": "EUR"}), {SYMBOL: replace(RULES, quote_currency="EUR")},
            {SYMBOL: (MINUTE_NS,)},
        )  # fmt: skip
    other.close()


# -- protection in time ------------------------------------------------------------------------------------------------


def test_a_position_whose_stop_the_market_has_passed_is_flattened_at_once(bench: CcxtBench) -> None:
    """It is told with the entry, and under a name of its own."""
    ask(bench, client_id="kin", stop=90.0, target=120.0)
    bench.move_to(80.0)
    bench.venue.advance_to(bench.now_ns() + 50 * SECOND_NS)

    later(bench, 60, 1)

    assert (exits(bench), resting(bench)) == (["naked"], [])
    assert THEIRS <= coins(bench) < THEIRS + RULES.volume_step


def test_a_target_that_the_market_has_passed_fills_at_once() -> None:
    """The list is refused, and a limit at the target sells at the better price."""
    with spot_bench(protect_within_ns=300 * SECOND_NS) as bench:
        ask(bench, client_id="kin", stop=90.0, target=120.0)
        bench.move_to(130.0)
        bench.venue.advance_to(bench.now_ns() + 50 * SECOND_NS)

        later(bench, 60, 60, 60)

        assert (exits(bench), resting(bench)) == (["target"], [])


@pytest.mark.parametrize(
    "kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.NO_ID, FaultKind.ERROR_BEFORE]
)
def test_lists_that_nobody_answers_leave_no_position_without_its_stop(bench: CcxtBench, kind: FaultKind) -> None:
    """Those that arrived are found; otherwise the position is flattened, once, and from its own coins."""
    bench.venue.fail(Fault(kind=kind, endpoint=LISTS, times=0))
    ask(bench, client_id="kin", stop=90.0, target=120.0)
    later(bench, 1, 2, 2, 2, 2, 10, 20)
    bench.venue.heal()
    later(bench, 60)

    arrived = kind is FaultKind.RESET_AFTER
    assert exits(bench) == ([] if arrived else ["naked"])
    assert resting(bench) == ([("limit", 120.0, 0.999), ("stop", 90.0, 0.999)] if arrived else [])
    assert coins(bench) == pytest.approx(THEIRS + (0.9995 if arrived else 0.0005))


def test_nothing_is_placed_while_a_list_may_be_on_its_way(bench: CcxtBench) -> None:
    """A second one would tie up coins of others."""
    bench.venue.fail(Fault(kind=FaultKind.LATE, endpoint=LISTS, seconds=3.0))
    ask(bench, client_id="kin", stop=90.0, target=120.0)

    later(bench, 1, 1)
    before = resting(bench)
    later(bench, 2, 1)

    assert before == []
    assert resting(bench) == [("limit", 120.0, 0.999), ("stop", 90.0, 0.999)]
    assert [call.endpoint for call in bench.venue.calls].count(LISTS) == 1


def test_a_stop_is_not_replaced_when_its_list_has_filled(bench: CcxtBench) -> None:
    """The exchange says that it does not work any more, before the account was read; nothing else is placed."""
    enter(bench)
    bench.move_to(125.0)
    bench.venue.advance_to(bench.now_ns() + 3 * MINUTE_NS)

    with pytest.raises(BrokerUnavailable):
        bench.broker.protect("kin", stop=95.0)
    later(bench, 1)

    assert (exits(bench), resting(bench)) == (["target"], [])
    assert [call.endpoint for call in bench.venue.calls].count(LISTS) == 1


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.TWICE, FaultKind.LATE])
def test_an_order_to_flatten_that_nobody_answers_sells_once(bench: CcxtBench, kind: FaultKind) -> None:
    """It is looked up before there is another one."""
    bench.venue.fail(Fault(kind=FaultKind.ERROR_BEFORE, endpoint=LISTS, times=0))
    bench.venue.fail(Fault(kind=kind, endpoint=ORDERS, after=1))
    ask(bench, client_id="kin", stop=90.0, target=120.0)

    later(bench, 1, 5, 1, 1, 1, 5, 5, 30)

    assert exits(bench) == ["naked"]
    assert THEIRS <= coins(bench) < THEIRS + RULES.volume_step


@pytest.mark.parametrize("kind", [FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.ERROR_BEFORE])
def test_a_sale_waits_while_what_guards_cannot_be_taken_away(bench: CcxtBench, kind: FaultKind) -> None:
    """It is refused for now, and nothing was sent; the position is guarded again."""
    enter(bench)
    bench.venue.fail(Fault(kind=kind, endpoint="DELETE orderList"))

    result = bench.broker.close("kin", client_id="kout")
    later(bench, 6, 6)

    assert result.code == "rate_limit"
    assert resting(bench) == [("limit", 120.0, 0.999), ("stop", 90.0, 0.999)]
    assert bench.broker.close("kin", client_id="kout").accepted


def test_what_cannot_be_guarded_is_not_bought(bench: CcxtBench) -> None:
    """The exchange takes no stop that is worth less than its least value."""
    assert ask(bench, volume=0.054, stop=90.0).code == "min_notional"


def test_a_part_that_is_too_small_is_not_asked_for_again_and_again(bench: CcxtBench) -> None:
    """Neither its stop nor its sale would be taken; more of it may still fill."""
    bench.venue.fail(Fault(kind=FaultKind.PART_THEN_REJECTED, endpoint=ORDERS))
    ask(bench, client_id="kin", volume=0.06, stop=90.0, target=120.0)
    later(bench, 1)
    asked = len([call for call in bench.venue.calls if not call.endpoint.startswith("GET")])

    later(bench, *[2] * 10)

    assert bench.broker.position("S", SYMBOL).volume == pytest.approx(0.03 * 0.9995)
    assert len([call for call in bench.venue.calls if not call.endpoint.startswith("GET")]) == asked
    assert ask(bench, client_id="kmore", stop=90.0).accepted
    later(bench, 1)
    assert resting(bench) == [("limit", 120.0, 1.029), ("stop", 90.0, 1.029)]
