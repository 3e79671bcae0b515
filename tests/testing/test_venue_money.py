"""What the local venue tells of money adds up, whatever was traded."""

from collections.abc import Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from src.brokers.simulated import Commission, Costs, Slippage
from src.core.bars import BarSeries
from src.core.config import AccountConfig
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import LocalVenue
from src.testing.venue_client import client_of
from tests.testing.venues import BTC, START_NS, make_venue, minute

ccxt = pytest.importorskip("ccxt")

DEAR = Costs(
    commission=Commission(percent=0.05), slippage=Slippage(percent=0.01), spread_percent=0.0, spread_points=0.2
)
PRICES = [100.0 + 8 * np.sin(i / 3) + (i * 7 % 5) for i in range(120)]


@pytest.fixture(scope="module")
def traded() -> Iterator[Any]:
    """A client of a venue that costs something and serves all examples, each of which begins flat."""
    with make_venue([round(float(price), 1) for price in PRICES * 60], costs=DEAR, balance=100_000.0) as venue:
        client = client_of(venue)
        client.load_markets()
        yield venue, client
        client.close()


ORDERS = st.lists(
    st.tuples(
        st.sampled_from(["market", "limit", "stop", "target", "wait", "cancel"]), st.sampled_from(["buy", "sell"]),
        st.integers(1, 9), st.integers(1, 60),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


@hypothesis.settings(max_examples=15)
@hypothesis.given(orders=ORDERS)
def test_the_wallet_is_what_the_executions_made(traded: Any, orders: list[tuple[str, str, int, int]]) -> None:
    """Balance: what was realized less the commissions; position: what was bought less what was sold; orders: all."""
    venue, client = traded
    for order in orders:
        _trade(venue, client, *order)
    told = client.fapiPrivateV3GetAccount()
    rows = venue.broker.snapshot()
    trades = client.fetch_my_trades(BTC, limit=1000, params={"fromId": 1})

    made = sum(float(trade["info"]["realizedPnl"]) - trade["fee"]["cost"] for trade in trades)
    held = sum(trade["amount"] * (1 if trade["side"] == "buy" else -1) for trade in trades)
    assert float(told["totalWalletBalance"]) == pytest.approx(100_000.0 + made, abs=1e-6)
    assert float(told["totalMarginBalance"]) == rows.account.equity
    assert sum(position.volume for position in rows.positions) == pytest.approx(held, abs=1e-9)
    working = client.fetch_open_orders(BTC) + client.fetch_open_orders(BTC, params={"trigger": True})
    assert len(working) == len(rows.orders)
    _flatten(client)
    assert venue.broker.snapshot().positions == ()


def _trade(venue: LocalVenue, client: Any, kind: str, side: str, volume: int, pips: int) -> None:
    if kind == "wait":
        venue.advance_to(venue.now_ns() + pips * 20 * SECOND_NS)
        return
    if kind == "cancel":
        client.cancel_all_orders(BTC)
        return
    price = client.fetch_bids_asks([BTC])[BTC]["bid"]
    sign = 1 if side == "buy" else -1
    words = {"stop": ("stopLossPrice", sign), "target": ("takeProfitPrice", -sign)}
    more = {} if kind not in words else {words[kind][0]: round(price + words[kind][1] * pips / 10 + words[kind][1], 1)}
    limit = round(price - sign * pips / 10, 1) if kind == "limit" else None
    reduces = {"reduceOnly": True} if more else {}
    client.create_order(BTC, kind if kind == "limit" else "market", side, float(volume), limit, more | reduces)


def _flatten(client: Any) -> None:
    client.cancel_all_orders(BTC)
    client.cancel_all_orders(BTC, {"trigger": True})
    for position in client.fetch_positions([BTC]):
        side = "sell" if position["side"] == "long" else "buy"
        client.create_order(BTC, "market", side, position["contracts"], None, {"reduceOnly": True})


def test_a_liquidation_is_an_order_of_the_exchange() -> None:
    """When the account can no longer carry its position, an order of the exchange's own closes it."""
    account = AccountConfig.model_validate(
        {"currency": "USDT", "balance": 1000, "leverage": 10, "stop_out_percent": 50, "margin_call_percent": 80}
    )
    with make_venue([100.0, (100.0, 100.0, 80.0, 80.0), 80.0], account=account) as venue:
        client = client_of(venue)
        client.create_order(BTC, "market", "buy", 90.0)
        venue.advance_to(minute(2))
        orders = client.fetch_orders(BTC)
        held = client.fetch_positions([BTC])
        client.close()

    assert [order["clientOrderId"].startswith("autoclose-") for order in orders] == [False, True]
    assert held == []


def test_second_bars_move_the_quote_and_fill_orders() -> None:
    """With base bars of a second the minutes are made of them, and an order fills at the open of its second."""
    count = 240
    opens = START_NS + SECOND_NS * np.arange(-60, count - 60, dtype=np.int64)
    price = np.round(100.0 + 0.1 * np.arange(count), 1)
    bars = {"BTCUSDT": BarSeries("BTCUSDT", SECOND_NS, opens, price, price, price, price, np.ones(count))}
    with make_venue() as usual:
        rules = usual.broker.instrument("BTCUSDT")
    with LocalVenue(bars, {"BTCUSDT": rules}, START_NS) as venue:
        client = client_of(venue)
        venue.advance_to(START_NS + MINUTE_NS + SECOND_NS // 2)
        order = client.create_order(BTC, "market", "buy", 1.0)
        minutes = client.fetch_ohlcv(BTC, "1m")
        client.close()

    assert order["average"] == price[120]
    assert [bar[1:5] for bar in minutes[:2]] == [[100.0, 105.9, 100.0, 105.9], [106.0, 111.9, 106.0, 111.9]]
    assert [bar[5] for bar in minutes] == [60.0, 60.0, 0.0]
