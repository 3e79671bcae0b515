"""The spot market of the local venue, asked by the unmodified client: coins, what is tied up, lists, refusals."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from src.brokers.simulated import Commission, Costs, Slippage
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.core.timeframe import MINUTE_NS
from src.testing.venue import LocalVenue
from src.testing.venue_client import client_of
from src.testing.worlds import bar_series
from tests.testing.venues import START_NS, minute

ccxt = pytest.importorskip("ccxt")

TEXT = (Path(__file__).parents[2] / "docs" / "venue-spot.md").read_text(encoding="utf-8")
BTC = "BTC/USDT"
DEAR = Costs(
    commission=Commission(percent=0.1), slippage=Slippage(percent=0.0), spread_percent=0.0, spread_points=0.0
)  # fmt: skip
ACCOUNT = AccountConfig.model_validate({"currency": "USDT", "balance": 1_000, "type": "spot"})


def spot_venue(*coming: Any) -> LocalVenue:
    """An hour at 100, then the minutes that are given."""
    bars = bar_series("BTCUSDT", [100.0] * 60 + list(coming) + [100.0] * 10, "1m", START_NS - 60 * MINUTE_NS)
    rules = Instrument(
        symbol="BTCUSDT", kind="spot", quote_currency="USDT", base_currency="BTC", tick=0.1, volume_step=0.001,
        min_volume=0.002, max_volume=5000.0, min_notional=5.0, fees_in_base=True,
    )  # fmt: skip
    return LocalVenue({"BTCUSDT": bars}, {"BTCUSDT": rules}, START_NS, account=ACCOUNT, costs=DEAR, coins={"BTC": 2.0})


@pytest.fixture
def market() -> Iterator[tuple[LocalVenue, Any]]:
    """A venue whose price rises to 130 in its second minute, and a client of it."""
    with spot_venue(100.0, (100.0, 130.0, 100.0, 130.0), 130.0) as venue:
        client = client_of(venue, exchange="binance")
        client.load_markets()
        yield venue, client
        client.close()


def oco(client: Any, name: str = "x", quantity: str = "1", above: str = "120", below: str = "90") -> Any:
    """A stop and a target that exclude each other."""
    return client.privatePostOrderListOco({
        "symbol": "BTCUSDT", "side": "SELL", "quantity": quantity, "aboveType": "LIMIT_MAKER", "abovePrice": above,
        "aboveClientOrderId": f"{name}above", "belowType": "STOP_LOSS", "belowStopPrice": below,
        "belowClientOrderId": f"{name}below", "listClientOrderId": f"{name}list",
    })  # fmt: skip


def test_the_document_names_every_request() -> None:
    """Neither more nor less than the venue answers."""
    named = re.findall(r"`((?:GET|POST|PUT|DELETE) [^`]+)`", TEXT)

    assert sorted(named) == sorted(spot_venue().endpoints)


def test_a_fee_is_taken_in_what_is_bought(market: tuple[LocalVenue, Any]) -> None:
    """And in money of what is sold."""
    venue, client = market

    bought = client.create_order(BTC, "market", "buy", 1.0)
    client.create_order(BTC, "market", "sell", 0.5)

    assert (bought["status"], bought["fee"]) == ("closed", {"currency": "BTC", "cost": 0.001})
    assert venue.coins == {"BTC": 2.499, "USDT": pytest.approx(1_000 - 100 + 50 - 0.05)}
    fees = [each["fee"] for each in client.fetch_my_trades(BTC)]
    assert fees == [{"currency": "BTC", "cost": 0.001}, {"currency": "USDT", "cost": 0.05}]


def test_what_rests_ties_up_what_it_would_take(market: tuple[LocalVenue, Any]) -> None:
    """The orders of a list together as much as one of them."""
    _, client = market
    client.create_order(BTC, "limit", "buy", 2.0, 90.0)
    oco(client, quantity="1.5")

    balance = client.fetch_balance()

    assert (balance["USDT"]["free"], balance["USDT"]["used"]) == (820.0, 180.0)
    assert (balance["BTC"]["free"], balance["BTC"]["used"]) == (0.5, 1.5)
    with pytest.raises(ccxt.InsufficientFunds):
        client.create_order(BTC, "market", "sell", 0.6)


def test_one_of_a_list_cancels_the_other(market: tuple[LocalVenue, Any]) -> None:
    """When it fills, and when it is cancelled."""
    venue, client = market
    oco(client)
    other = oco(client, "y")

    client.cancel_order(None, BTC, {"clientOrderId": "yabove"})
    venue.advance_to(minute(4))

    told = {each["clientOrderId"]: each["status"] for each in client.fetch_orders(BTC)}
    assert told == {"xabove": "closed", "xbelow": "expired", "yabove": "canceled", "ybelow": "canceled"}
    assert client.privateGetOrderList({"orderListId": other["orderListId"]})["listOrderStatus"] == "ALL_DONE"
    assert venue.coins["BTC"] == 1.0
    assert client.privateGetOpenOrderList() == []


def test_a_list_is_cancelled_as_a_whole(market: tuple[LocalVenue, Any]) -> None:
    """It tells what its orders have filled; a second time it is unknown."""
    _, client = market
    oco(client)
    open_lists = client.privateGetOpenOrderList()

    told = client.privateDeleteOrderList({"symbol": "BTCUSDT", "listClientOrderId": "xlist"})

    assert [each["listClientOrderId"] for each in open_lists] == ["xlist"]
    assert [(each["status"], each["executedQty"]) for each in told["orderReports"]] == [("CANCELED", "0")] * 2
    with pytest.raises(ccxt.OrderNotFound):
        client.privateDeleteOrderList({"symbol": "BTCUSDT", "listClientOrderId": "xlist"})


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (("market", "buy", 50.0), "insufficient balance"),
        (("market", "sell", 3.0), "insufficient balance"),
        (("market", "sell", 0.01), "NOTIONAL"),
        (("market", "sell", 0.001), "LOT_SIZE|lot size"),
        (("limit", "buy", 1.0, 110.0, {"postOnly": True}), "immediately match"),
        (("market", "sell", 1.0, None, {"triggerPrice": 105.0}), "trigger immediately"),
        (("market", "sell", 1.0, None, {"reduceOnly": True}), "-1104"),
    ],
)
def test_an_order_is_refused_in_the_words_of_the_exchange(
    market: tuple[LocalVenue, Any], order: tuple[Any, ...], code: str
) -> None:
    """Nothing rests and nothing was bought."""
    venue, client = market

    with pytest.raises(ccxt.BaseError, match=code):
        client.create_order(BTC, *order)

    assert client.fetch_orders(BTC) == []
    assert venue.coins == {"USDT": 1_000.0, "BTC": 2.0}


def test_lists_are_refused_in_the_words_of_the_exchange(market: tuple[LocalVenue, Any]) -> None:
    """The prices have to lie on either side, and ids are used once."""
    _, client = market
    with pytest.raises(ccxt.BaseError, match="relationship of the prices"):
        oco(client, above="99")
    oco(client)

    with pytest.raises(ccxt.BaseError, match="Duplicate order"):
        oco(client)


def test_windows_are_a_day_at_most(market: tuple[LocalVenue, Any]) -> None:
    """More is refused."""
    _, client = market
    now = START_NS // 1_000_000

    with pytest.raises(ccxt.BaseError, match="24 hours"):
        client.fetch_my_trades(BTC, now - 90_000_000, 10, {"until": now})


def test_orders_trigger_and_all_are_cancelled_together(market: tuple[LocalVenue, Any]) -> None:
    """A stop to buy keeps its number when it fills."""
    venue, client = market
    stop = client.create_order(BTC, "market", "buy", 0.5, None, {"triggerPrice": 110.0})
    client.create_order(BTC, "limit", "buy", 0.5, 80.0)
    venue.advance_to(minute(3))
    filled = client.fetch_order(stop["id"], BTC)

    ended = client.privateDeleteOpenOrders({"symbol": "BTCUSDT"})

    assert (filled["status"], filled["filled"]) == ("closed", 0.5)
    assert filled["average"] >= 110.0
    assert [each["status"] for each in ended] == ["CANCELED"]
    assert client.fetch_open_orders(BTC) == []
