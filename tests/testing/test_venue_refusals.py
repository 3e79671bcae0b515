"""What the local venue refuses, and the error that the exchange's client makes of it."""

from typing import Any

import pytest

from src.core.timeframe import SECOND_NS
from src.testing.venue import LocalVenue
from src.testing.venue_client import client_of
from tests.testing.venues import BTC, make_venue

ccxt = pytest.importorskip("ccxt")

BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
LIMIT = {**BUY, "type": "LIMIT", "price": "80", "timeInForce": "GTC"}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "1", "triggerPrice": "90",
        "algoType": "CONDITIONAL"}  # fmt: skip

REGULAR = [
    ({**BUY, "symbol": "NOSUCH"}, -1121, "BadSymbol"),
    ({**BUY, "side": "HOLD"}, -1117, "BadRequest"),
    ({**BUY, "type": "WISH"}, -1116, "BadRequest"),
    ({**BUY, "type": "STOP_MARKET"}, -4120, "InvalidOrder"),
    ({**BUY, "quantity": ""}, -1102, "BadRequest"),
    ({**BUY, "quantity": "much"}, -1100, "BadRequest"),
    ({**BUY, "quantity": "0.0001"}, -1111, "BadRequest"),
    ({**BUY, "quantity": "0"}, -4003, "BadRequest"),
    ({**BUY, "quantity": "0.001"}, -4004, "BadRequest"),
    ({**BUY, "quantity": "6000"}, -4005, "BadRequest"),
    ({**BUY, "quantity": "0.01"}, -4164, "InvalidOrder"),
    ({**BUY, "quantity": "1000"}, -2019, "InsufficientFunds"),
    ({**BUY, "reduceOnly": "true"}, -2022, "InvalidOrder"),
    ({**BUY, "positionSide": "LONG"}, -4061, "OperationRejected"),
    ({**BUY, "newClientOrderId": "x" * 37}, -4015, "BadRequest"),
    ({**BUY, "newClientOrderId": "what?"}, -1100, "BadRequest"),
    ({**LIMIT, "price": "80.05"}, -1111, "BadRequest"),
    ({**LIMIT, "price": ""}, -1102, "BadRequest"),
    ({**LIMIT, "price": "0"}, -4001, "BadRequest"),
    ({**LIMIT, "timeInForce": ""}, -1102, "BadRequest"),
    ({**LIMIT, "timeInForce": "NOW"}, -1115, "BadRequest"),
    ({**LIMIT, "timeInForce": "GTX", "price": "110"}, -5022, "OrderNotFillable"),
]
CONDITIONAL = [
    ({**STOP, "triggerPrice": "110"}, -2021, "OrderImmediatelyFillable"),
    ({**STOP, "type": "TAKE_PROFIT_MARKET"}, -2021, "OrderImmediatelyFillable"),
    ({**STOP, "triggerPrice": ""}, -1102, "BadRequest"),
    ({**STOP, "algoType": "VP"}, -1102, "BadRequest"),
    ({**STOP, "closePosition": "true"}, -1106, "BadRequest"),
    ({**STOP, "type": "TRAILING_STOP_MARKET", "callbackRate": "50"}, -2007, "ExchangeError"),
]


@pytest.mark.parametrize("conditional", [False, True])
def test_a_bad_order_is_refused_with_the_code_of_the_exchange(
    venue: LocalVenue, client: Any, conditional: bool
) -> None:
    """Each fault of an order has its own code, and the client an error for it; nothing works afterwards."""
    post = client.fapiPrivatePostAlgoOrder if conditional else client.fapiPrivatePostOrder
    found = []
    for params, _, _ in CONDITIONAL if conditional else REGULAR:
        with pytest.raises(ccxt.ExchangeError) as caught:
            post(dict(params))
        found.append((params, venue.calls[-1].code, type(caught.value).__name__))

    assert found == (CONDITIONAL if conditional else REGULAR)
    assert venue.broker.snapshot().orders == ()


def test_a_tick_of_several_digits_is_kept() -> None:
    """Within the precision, a price that is no multiple of the tick is refused, and so is a volume off its step."""
    with make_venue(change={"tick": 0.5, "volume_step": 0.005}) as venue:
        client = client_of(venue)
        for wrong, code in (({"price": "80.3"}, "-4014"), ({"quantity": "1.001"}, "-4023")):
            with pytest.raises(ccxt.BadRequest, match=code):
                client.fapiPrivatePostOrder({**LIMIT, **wrong})
        client.close()


@pytest.mark.parametrize("trigger", [False, True])
def test_an_unknown_order_is_not_found(client: Any, trigger: bool) -> None:
    """Neither to be read nor to be cancelled, whichever kind it is."""
    params = {"trigger": True} if trigger else {}
    for ask in (client.fetch_order, client.cancel_order):
        with pytest.raises(ccxt.OrderNotFound):
            ask("123", BTC, params)


def test_an_order_that_has_filled_is_no_longer_cancelled(client: Any) -> None:
    """It is an unknown order then."""
    order = client.create_order(BTC, "market", "buy", 1.0)

    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        client.cancel_order(order["id"], BTC)


def test_a_change_that_changes_nothing_is_refused(client: Any) -> None:
    """As the exchange does it."""
    order = client.create_order(BTC, "limit", "buy", 1.0, 80.0)

    with pytest.raises(ccxt.OperationRejected, match="-5027"):
        client.edit_order(order["id"], BTC, "limit", "buy", 1.0, 80.0)


def test_a_path_that_is_none_is_an_error(client: Any) -> None:
    """What the venue does not imitate is refused and not silently ignored."""
    with pytest.raises(ccxt.ExchangeError, match="-5000"):
        client.fapiPublicGetAggTrades({"symbol": "BTCUSDT"})


def test_a_false_signature_is_refused(venue: LocalVenue) -> None:
    """Neither another secret nor another key opens the account, and nothing of them is kept."""
    wrong: list[tuple[dict[str, Any], str]] = [({"secret": "wrong-secret"}, "-1022"), ({"key": "wrong-key"}, "-2015")]
    for more, code in wrong:
        client = client_of(venue, options={"fetchCurrencies": False}, **more)
        with pytest.raises(ccxt.AuthenticationError, match=code):
            client.fetch_balance()
        client.close()

    assert "wrong" not in repr(list(venue.calls))
    assert "planted" not in repr(venue) + repr(list(venue.calls))


@pytest.mark.parametrize("off_s", [-11, 2])
def test_a_timestamp_of_another_time_is_refused(venue: LocalVenue, off_s: int) -> None:
    """Older than the receive window, or more than a second ahead."""
    client = client_of(venue, now_ns=lambda: venue.now_ns() + off_s * SECOND_NS, options={"fetchCurrencies": False})
    with pytest.raises(ccxt.InvalidNonce, match="-1021"):
        client.fetch_balance()
    client.close()


def test_a_timestamp_may_be_older_where_time_runs_faster() -> None:
    """The way of a request takes real time, in which a fast venue gets far ahead of what was written on it."""
    with make_venue(speed=60.0) as venue:
        client = client_of(venue, now_ns=lambda: venue.now_ns() - 120 * SECOND_NS, options={"fetchCurrencies": False})
        balance = client.fetch_balance()["USDT"]["total"]
        client.close()

    assert balance == 10_000.0


def test_too_many_requests_are_stopped() -> None:
    """Above the weight of a minute there is 429 with the time to wait, and 418 for who goes on."""
    with make_venue(weight_limit=30) as venue:
        client = client_of(venue)
        seen = []
        for _ in range(60):
            try:
                client.fapiPublicGetTickerBookTicker()
            except ccxt.DDoSProtection as error:
                seen.append((str(error).split()[1], client.last_response_headers.get("Retry-After") is not None))
        client.close()

    assert ("429", True) in seen
    assert seen[-1][0] == "418"


def test_too_many_orders_are_stopped() -> None:
    """The orders of a minute are counted apart."""
    with make_venue(order_limit=3) as venue:
        client = client_of(venue)
        for _ in range(3):
            client.create_order(BTC, "limit", "buy", 1.0, 80.0)
        with pytest.raises(ccxt.DDoSProtection, match="-1015"):
            client.create_order(BTC, "limit", "buy", 1.0, 80.0)
        left = len(client.fetch_open_orders(BTC))
        client.close()

    assert left == 3
