"""The exchange's own client trades on the local venue."""

from typing import Any

import pytest

from src.testing.venue import LocalVenue
from src.testing.venue_client import client_of
from tests.testing.venues import BTC, ETH, make_venue, minute

ccxt = pytest.importorskip("ccxt")


def test_a_market_order_fills_at_the_price_of_now() -> None:
    """While a bar is under way that is its open, and the answer says so; when, is when it was sent."""
    with make_venue([100.0, (104.0, 120.0, 100.0, 110.0)]) as venue:
        client = client_of(venue)
        venue.advance_to(minute(1.5))
        order = client.create_order(BTC, "market", "buy", 2.0, None, {"newClientOrderId": "first"})
        later = client.fetch_order("", BTC, {"origClientOrderId": "first"})
        trade = client.fetch_my_trades(BTC)[0]
        client.close()

    assert (order["status"], order["filled"], order["average"], order["clientOrderId"]) == (
        "closed",
        2.0,
        104.0,
        "first",
    )
    assert (later["id"], later["status"], later["timestamp"]) == (order["id"], "closed", minute(1.5) // 10**6)
    assert (trade["order"], trade["timestamp"], trade["takerOrMaker"]) == (order["id"], minute(1.5) // 10**6, "taker")


def test_a_venue_that_begins_within_a_bar_fills_at_its_open() -> None:
    """As within any later one."""
    with make_venue([(103.0, 120.0, 100.0, 110.0)], start_ns=minute(0.3)) as venue:
        client = client_of(venue)
        order = client.create_order(BTC, "market", "buy", 2.0)
        client.close()

    assert (order["status"], order["average"], order["timestamp"]) == ("closed", 103.0, minute(0.3) // 10**6)


def test_a_stop_guards_from_the_bar_in_which_it_was_sent() -> None:
    """What is sent while a bar is under way is tested on it, as an order of a backtest that decides at its open."""
    with make_venue([100.0, (100.0, 100.0, 80.0, 100.0), 100.0]) as venue:
        client = client_of(venue)
        venue.advance_to(minute(1.2))
        client.create_order(BTC, "market", "buy", 1.0)
        client.create_order(BTC, "market", "sell", 1.0, None, {"stopLossPrice": 90.0, "reduceOnly": True})
        held = client.fetch_positions([BTC])
        venue.advance_to(minute(2))
        trade = client.fetch_my_trades(BTC)[-1]
        client.close()

    assert (len(held), trade["side"], trade["price"], trade["timestamp"]) == (1, "sell", 90.0, minute(2) // 10**6)


def test_a_limit_rests_is_changed_and_is_cancelled(client: Any) -> None:
    """It is open with its price, takes another one, and ends as cancelled."""
    order = client.create_order(BTC, "limit", "buy", 1.0, 80.0)
    changed = client.edit_order(order["id"], BTC, "limit", "buy", 2.0, 85.5)
    listed = client.fetch_open_orders(BTC)
    ended = client.cancel_order(order["id"], BTC)

    assert (order["status"], order["price"], order["amount"]) == ("open", 80.0, 1.0)
    assert (changed["price"], changed["amount"]) == (85.5, 2.0)
    assert [(each["id"], each["price"]) for each in listed] == [(order["id"], 85.5)]
    assert (ended["status"], client.fetch_open_orders(BTC)) == ("canceled", [])


def test_a_stop_triggers_an_order_of_its_own() -> None:
    """A conditional order is finished when it was triggered, and the execution belongs to the order that it made."""
    with make_venue([100.0, (100.0, 100.0, 90.0, 90.0), 90.0]) as venue:
        client = client_of(venue)
        client.create_order(BTC, "market", "buy", 1.0)
        stop = {"stopLossPrice": 95.0, "reduceOnly": True, "clientAlgoId": "guard"}
        order = client.create_order(BTC, "market", "sell", 1.0, None, stop)
        resting = client.fetch_open_orders(BTC, params={"trigger": True})
        venue.advance_to(minute(3))
        after = client.fetch_order(order["id"], BTC, {"trigger": True})
        made = client.fetch_order(after["info"]["actualOrderId"], BTC)
        trades = client.fetch_my_trades(BTC)
        left = client.fetch_positions([BTC])
        client.close()

    assert [(each["id"], each["triggerPrice"], each["clientOrderId"]) for each in resting] == [
        (order["id"], 95, "guard")
    ]
    assert (after["status"], after["info"]["algoStatus"]) == ("closed", "FINISHED")
    assert (made["status"], made["average"], made["clientOrderId"]) == ("closed", 95.0, "guard")
    assert (trades[-1]["order"], trades[-1]["price"], trades[-1]["info"]["realizedPnl"]) == (made["id"], 95.0, "-5")
    assert left == []


def test_a_target_fills_and_leaves_its_sibling() -> None:
    """The exchange has no siblings: the stop rests on when the target has filled, and is ended by hand."""
    with make_venue([100.0, (100.0, 111.0, 100.0, 111.0), 111.0]) as venue:
        client = client_of(venue)
        client.create_order(BTC, "market", "buy", 1.0)
        for word, price in (("stopLossPrice", 95.0), ("takeProfitPrice", 110.0)):
            client.create_order(BTC, "market", "sell", 1.0, None, {word: price, "reduceOnly": True})
        venue.advance_to(minute(2))
        left = client.fetch_open_orders(BTC, params={"trigger": True})
        client.cancel_all_orders(BTC, {"trigger": True})
        price = client.fetch_my_trades(BTC)[-1]["price"]
        now = client.fetch_open_orders(BTC, params={"trigger": True})
        client.close()

    assert [each["triggerPrice"] for each in left] == [95.0]
    assert (price, now) == (110.0, [])


def test_a_whole_position_is_closed_by_a_stop_that_names_no_volume() -> None:
    """`closePosition` follows whatever is held, and ends unfilled when nothing is."""
    with make_venue([100.0, 100.0, (100.0, 100.0, 90.0, 90.0), 90.0]) as venue:
        client = client_of(venue)
        client.create_order(BTC, "market", "buy", 1.0)
        client.create_order(BTC, "market", "buy", 2.0)
        stop = client.create_order(BTC, "market", "sell", None, None, {"stopLossPrice": 95.0, "closePosition": True})
        other = client.create_order(BTC, "market", "buy", None, None, {"stopLossPrice": 120.0, "closePosition": True})
        venue.advance_to(minute(4))
        sold = client.fetch_my_trades(BTC)[-1]["amount"]
        states = [client.fetch_order(each["id"], BTC, {"trigger": True})["status"] for each in (stop, other)]
        client.close()

    assert (sold, states) == (3.0, ["closed", "expired"])


def test_a_trailing_stop_follows_the_price() -> None:
    """It is triggered so many percent below the highest price."""
    with make_venue([100.0, (100.0, 120.0, 100.0, 120.0), (120.0, 120.0, 100.0, 100.0), 100.0]) as venue:
        client = client_of(venue)
        client.create_order(BTC, "market", "buy", 1.0)
        client.create_order(BTC, "market", "sell", 1.0, None, {"trailingPercent": 10.0, "reduceOnly": True})
        venue.advance_to(minute(4))
        price = client.fetch_my_trades(BTC)[-1]["price"]
        client.close()

    assert price == pytest.approx(108.0)


def test_a_reducing_order_that_is_too_large_closes_what_is_held(venue: LocalVenue, client: Any) -> None:
    """It is cut to the position and opens nothing."""
    client.create_order(BTC, "market", "buy", 1.0)
    order = client.create_order(BTC, "market", "sell", 3.0, None, {"reduceOnly": True})

    assert (order["status"], order["filled"]) == ("closed", 1.0)
    assert client.fetch_positions([BTC]) == []


def test_an_opposite_order_turns_the_position_round(venue: LocalVenue, client: Any) -> None:
    """In one-way mode the larger opposite order closes first and opens the rest."""
    client.create_order(BTC, "market", "buy", 1.0)
    client.create_order(BTC, "market", "sell", 3.0)
    position = client.fetch_positions([BTC])[0]

    assert (position["side"], position["contracts"], position["entryPrice"]) == ("short", 2.0, 100.0)


def test_a_reducing_limit_expires_with_the_position(venue: LocalVenue, client: Any) -> None:
    """When what it reduces is gone, it is ended by the exchange."""
    client.create_order(BTC, "market", "buy", 1.0)
    limit = client.create_order(BTC, "limit", "sell", 1.0, 120.0, {"reduceOnly": True})
    client.create_order(BTC, "market", "sell", 1.0)

    assert client.fetch_order(limit["id"], BTC)["status"] == "expired"


def test_a_client_id_is_free_again_after_the_fill(venue: LocalVenue, client: Any) -> None:
    """While an order works its id is taken; after that the same id makes another order, which is found from then on."""
    params = {"newClientOrderId": "same"}
    resting = client.create_order(BTC, "limit", "buy", 1.0, 80.0, params)
    with pytest.raises(ccxt.InvalidOrder, match="-4116"):
        client.create_order(BTC, "limit", "buy", 1.0, 81.0, params)
    client.cancel_order(resting["id"], BTC)
    first = client.create_order(BTC, "market", "buy", 1.0, None, params)
    second = client.create_order(BTC, "market", "buy", 1.0, None, params)

    assert first["id"] != second["id"]
    assert client.fetch_order("", BTC, {"origClientOrderId": "same"})["id"] == second["id"]
    assert client.fetch_positions([BTC])[0]["contracts"] == 2.0


def test_the_balance_is_that_of_the_broker(venue: LocalVenue, client: Any) -> None:
    """Total, free and used are equity, free margin and used margin."""
    client.create_order(BTC, "market", "buy", 10.0)
    client.create_order(ETH, "market", "sell", 10.0)
    balance = client.fetch_balance()["USDT"]
    account = venue.broker.snapshot().account

    assert balance == {"total": account.equity, "used": account.margin_used, "free": account.margin_free}
    assert account.margin_used == pytest.approx(300.0)


def test_several_orders_in_one_request(client: Any) -> None:
    """A batch answers each order by itself: one is refused, the other works."""
    orders = client.create_orders(
        [
            {"symbol": BTC, "type": "limit", "side": "buy", "amount": 1.0, "price": 80.0},
            {"symbol": BTC, "type": "limit", "side": "buy", "amount": 1000.0, "price": 80.0},
        ]
    )

    assert sorted(order["status"] for order in orders) == ["open", "rejected"]


def test_settings_are_told_and_stay(client: Any) -> None:
    """One-way mode, crossed margin and the account's leverage are what there is."""
    with pytest.raises(ccxt.MarginModeAlreadySet):
        client.set_margin_mode("cross", BTC)
    assert client.fetch_position_mode()["hedged"] is False
    assert client.set_leverage(5, BTC)["leverage"] == 5
    with pytest.raises(ccxt.ExchangeError, match="-4028"):
        client.set_leverage(20, BTC)
