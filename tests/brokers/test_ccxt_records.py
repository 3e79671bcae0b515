"""Between our records and ccxt's structures nothing is lost and nothing is invented."""

from typing import Any

import pytest

from src.brokers.ccxt_instruments import differences, rules_of
from src.brokers.ccxt_records import (
    execution_of,
    held_of,
    money_of,
    placement_of,
    protective_id,
    protective_role,
    report_of,
)
from src.brokers.ccxt_refusals import request_refusal
from src.core.errors import BrokerContractError, ConfigError
from src.core.instrument import Instrument
from src.core.records import OrderRequest, OrderState, OrderType, Quote, Side, TimeInForce, TriggerBy

MARKET: dict[str, Any] = {
    "symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "type": "swap", "swap": True, "linear": True,
    "spot": False, "contractSize": 1.0, "precision": {"price": 0.1, "amount": 0.001},
    "limits": {"amount": {"min": 0.001, "max": 1000.0}, "market": {"max": 120.0}, "cost": {"min": 100.0}},
}  # fmt: skip
FILE = Instrument(symbol="BTCUSDT", kind="perpetual", quote_currency="USDT", tick=0.01, volume_step=0.001)
QUOTE = Quote(symbol="BTCUSDT", instant_ns=1, bid=99.9, ask=100.1)


def request(type_: OrderType = OrderType.MARKET, **more: Any) -> OrderRequest:
    """A purchase of a tenth."""
    values: dict[str, Any] = {"client_id": "k1", "book": "S", "symbol": "BTCUSDT", "volume": 10.0, **more}
    return OrderRequest(side=Side.BUY, type=type_, **values)


def test_the_rules_of_the_exchange_count() -> None:
    """A market order may be smaller than a limit; the smaller of both limits holds."""
    rules = rules_of(FILE, MARKET, in_steps=True)

    found = (rules.tick, rules.volume_step, rules.min_volume, rules.max_volume, rules.min_notional, rules.kind)
    assert found == (0.1, 0.001, 0.001, 120.0, 100.0, "perpetual")
    assert rules.venue == "BTC/USDT:USDT"


def test_volumes_in_contracts_become_volumes_in_units() -> None:
    """A contract may be a hundredth of a coin."""
    rules = rules_of(FILE, MARKET | {"contractSize": 0.01}, in_steps=True)

    assert (rules.volume_step, rules.min_volume) == (0.00001, 0.00001)
    assert placement_of(request(volume=0.5), 0.01)[2] == 50.0
    # 0.3 / 0.1 and 3 * 0.1 as floats have them are not 3 and 0.3, and a volume is cut to the step below.
    assert placement_of(request(volume=0.3), 0.1)[2] == 3.0
    report = report_of({"id": "7", "status": "open", "filled": 3, "amount": 3}, "BTCUSDT", 0.1)
    assert (report.volume, report.filled) == (0.3, 0.3)


def test_only_what_the_configuration_says_otherwise_is_a_difference() -> None:
    """A rule that it leaves open is no difference."""
    told = differences(FILE, rules_of(FILE, MARKET, in_steps=True))

    assert told == ("BTCUSDT: the tick is 0.1 at the exchange and 0.01 in the configuration; the exchange's counts",)


@pytest.mark.parametrize("wrong", [{"linear": False, "inverse": True}, {"precision": {"price": None, "amount": 1}}])
def test_a_market_that_cannot_be_traded_is_refused(wrong: dict[str, Any]) -> None:
    """Inverse contracts, and those without steps."""
    with pytest.raises(ConfigError):
        rules_of(FILE, MARKET | wrong, in_steps=True)


@pytest.mark.parametrize(
    ("sent", "kind", "price", "params"),
    [
        (request(), "market", None, {}),
        (request(reduce_only=True), "market", None, {"reduceOnly": True}),
        (request(OrderType.LIMIT, price=99.0), "limit", 99.0, {}),
        (request(OrderType.LIMIT, price=99.0, post_only=True), "limit", 99.0, {"postOnly": True}),
        (request(OrderType.LIMIT, price=99.0, time_in_force=TimeInForce.IOC), "limit", 99.0, {"timeInForce": "IOC"}),
        (
            request(OrderType.LIMIT, price=99.0, expires_ns=10**18),
            "limit", 99.0, {"timeInForce": "GTD", "goodTillDate": 10**12},
        ),
        (request(OrderType.STOP, price=110.0), "market", None, {"triggerPrice": 110.0}),
        (
            request(OrderType.STOP, price=110.0, trigger_by=TriggerBy.MARK),
            "market", None, {"triggerPrice": 110.0, "workingType": "MARK_PRICE"},
        ),
        (request(OrderType.STOP_LIMIT, price=110.0, limit=111.0), "limit", 111.0, {"triggerPrice": 110.0}),
        (request(OrderType.TRAILING_STOP, trail_percent=1.5), "market", None, {"trailingPercent": 1.5}),
    ],
)  # fmt: skip
def test_a_request_is_told_with_its_id_and_all_its_terms(
    sent: OrderRequest, kind: str, price: float | None, params: dict[str, Any]
) -> None:
    """Nothing else is told."""
    assert placement_of(sent) == (kind, "buy", 10.0, price, {"clientOrderId": "k1", **params})


@pytest.mark.parametrize(
    ("status", "filled", "state"),
    [
        ("open", 0.0, OrderState.WORKING), ("open", 1.0, OrderState.PARTLY_FILLED),
        ("closed", 2.0, OrderState.FILLED), ("canceled", 1.0, OrderState.CANCELLED),
        ("expired", 0.0, OrderState.EXPIRED), ("rejected", 1.0, OrderState.REJECTED),
        ("PENDING_NEW", 0.0, OrderState.WORKING),
    ],
)  # fmt: skip
def test_a_state_is_read(status: str, filled: float, state: OrderState) -> None:
    """A rejected order may have filled in part."""
    report = report_of({"id": "7", "clientOrderId": "k1", "status": status, "filled": filled, "amount": 2.0}, "BTCUSDT")

    assert (report.state, report.filled, report.venue_id, report.client_id) == (state, filled, "7", "k1")


def test_a_state_that_nobody_knows_is_an_error() -> None:
    """It is never taken for a working order."""
    with pytest.raises(BrokerContractError, match="known state"):
        report_of({"id": "7", "status": "strange", "filled": 0, "amount": 1}, "BTCUSDT")


def test_a_success_without_an_id_has_none() -> None:
    """Whoever placed it has to look it up."""
    assert report_of({"id": None, "status": None, "info": {}}, "BTCUSDT").venue_id == ""


def test_a_triggered_order_tells_what_it_became() -> None:
    """And how much of it filled, where it says so."""
    info = {"actualOrderId": "99", "actualQty": "0.5"}
    report = report_of({"id": "7", "status": "closed", "amount": 1.0, "info": info}, "BTCUSDT")

    assert (report.became_id, report.filled) == ("99", 0.5)


def test_a_triggered_order_that_does_not_tell_what_it_became_has_not_ended() -> None:
    """ccxt calls it closed; what it became may not have filled."""
    info = {"algoId": 7, "algoStatus": "TRIGGERED", "actualOrderId": ""}
    report = report_of({"id": "7", "status": "closed", "amount": 1.0, "info": info}, "BTCUSDT")

    assert (report.state, report.triggered) == (OrderState.WORKING, True)


def test_an_execution_lacks_nothing() -> None:
    """One without an order or a price is no execution."""
    trade = {"id": "5", "order": "7", "timestamp": 1_700_000_000_123, "side": "sell", "amount": 0.5, "price": 100.0,
             "fee": {"cost": 0.02, "currency": "USDT"}}  # fmt: skip
    found = execution_of(trade, "BTCUSDT")

    assert (found.trade_id, found.venue_id, found.at_ns) == ("5", "7", 1_700_000_000_123_000_000)
    assert (found.side, found.volume, found.price, found.fee) == (Side.SELL, 0.5, 100.0, 0.02)
    with pytest.raises(BrokerContractError):
        execution_of(trade | {"order": None}, "BTCUSDT")


def test_the_wallet_is_told_apart_from_open_profit() -> None:
    """Also of an account that was never used."""
    assets = [{"asset": "USDT", "walletBalance": "100", "marginBalance": "90", "initialMargin": "20", "updateTime": 0}]
    money = money_of({"info": {"assets": assets}}, "USDT")

    assert (money.balance, money.equity, money.margin_used) == (100.0, 90.0, 20.0)
    with pytest.raises(BrokerContractError):
        money_of({"info": {"assets": assets}}, "EUR")


def test_a_position_is_signed() -> None:
    """And an account that keeps long and short apart is refused."""
    position = {"contracts": 2.0, "contractSize": 0.5, "side": "short", "entryPrice": 10.0, "hedged": False}

    assert held_of(position, "BTCUSDT").volume == -1.0
    with pytest.raises(BrokerContractError, match="one-way"):
        held_of(position | {"hedged": True}, "BTCUSDT")


def test_the_id_of_a_stop_says_whose_it_is() -> None:
    """So that it is known again after a restart."""
    identity = protective_id("k1", "s", 12)

    assert len(identity) == 32
    assert protective_role(identity, "k1") == ("s", 12)
    assert protective_role(identity, "k2") is None
    assert protective_role("k1", "k1") is None


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (request(group="g"), "unsupported"), (request(parent="p"), "unsupported"),
        (request(stop_trail_distance=1.0), "unsupported"), (request(close_by="p"), "unsupported"),
        (request(OrderType.LIMIT, price=99.0, time_in_force=TimeInForce.DAY), "time_in_force"),
        (request(OrderType.LIMIT, price=99.0, expires_ns=2), "time_in_force"),
        (request(OrderType.TRAILING_STOP, trail_distance=1.0), "trail"),
        (request(OrderType.TRAILING_STOP, trail_percent=0.25), "trail"),
        (request(OrderType.STOP, price=90.0), "stop_in_market"), (request(volume=200.0), "max_volume"),
        (request(volume=0.9), "min_notional"), (request(stop=101.0), "stop_side"),
        (request(target=99.0), "target_side"),
        (request(target_r=2.0), "no_stop"), (request(price=99.0), "unused_price"), (request(stop=95.05), "tick"),
    ],
)  # fmt: skip
def test_what_the_exchange_does_not_have_is_refused_before_it_is_sent(sent: OrderRequest, code: str) -> None:
    """A term is never left out, and a number never rounded."""
    refusal = request_refusal(rules_of(FILE, MARKET, in_steps=True), sent, QUOTE, 1)

    assert refusal is not None
    assert (refusal.accepted, refusal.code) == (False, code)
    assert refusal.message
