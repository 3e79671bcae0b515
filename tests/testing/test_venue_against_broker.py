"""What is traded over HTTP is what the simulated broker would have made of the same orders."""

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from src.backtesting.engine.tick_market import market_of_broker
from src.brokers.simulated import FillRules, SimulatedBroker
from src.core.config import AccountConfig
from src.core.journal import Journal
from src.core.records import OrderRequest, OrderType, Side
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import LocalVenue
from src.testing.venue_client import client_of
from src.testing.worlds import FREE, bar_series
from tests.testing.venues import BEFORE, BTC, START_NS, make_venue

pytest.importorskip("ccxt")

#: A market that swings through the prices of its orders.
ROWS = [
    (100.0 + i % 7, 104.0 + i % 7 + i % 3, 95.0 + i % 7 - i % 4, 100.0 + (i + 1) % 7) for i in range(12)
]  # fmt: skip

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["market", "limit", "stop"]), st.sampled_from(["buy", "sell"]), st.integers(1, 5),
        st.integers(1, 40), st.integers(0, 59),
    ),
    min_size=1, max_size=10,
)  # fmt: skip


class Direct:
    """The broker of a backtest over the same bars, moved by hand."""

    def __init__(self, venue: LocalVenue) -> None:
        rules = venue.broker.instrument("BTCUSDT")
        series = bar_series("BTCUSDT", [*[100.0] * BEFORE, *ROWS], "1m", START_NS - BEFORE * MINUTE_NS)
        account = AccountConfig.model_validate({"currency": "USDT", "balance": 10_000, "leverage": 5})
        self.broker = SimulatedBroker(
            account, {"BTCUSDT": rules}, {"BTCUSDT": series}, {}, FREE, FillRules(at_end="keep")
        )  # fmt: skip
        self.instant_ns = START_NS
        self.broker.bind(self, Journal())  # type: ignore[arg-type]  # of a clock it asks for the present alone
        self.market = market_of_broker(self.broker, Journal(), START_NS, START_NS + len(ROWS) * MINUTE_NS)

    def now_ns(self) -> int:
        """The present."""
        return self.instant_ns

    def move_to(self, instant_ns: int) -> None:
        """Let everything happen until then."""
        while (at_ns := self.market.next_ns()) is not None and at_ns <= instant_ns:
            self.instant_ns = at_ns
            self.market.advance(at_ns)
        self.instant_ns = instant_ns


def send(venue: LocalVenue, client: Any, direct: Direct, steps: list[Any]) -> None:
    """Send each step to both, to the venue so many seconds after the open at which the other gets it."""
    for i, (kind, side, volume, pips, late_s) in enumerate(steps):
        opens_ns = START_NS + i * MINUTE_NS
        direct.move_to(opens_ns)
        venue.advance_to(opens_ns + late_s * SECOND_NS)
        quote = direct.broker.quote("BTCUSDT")
        assert quote is not None
        sign = Side(side).sign
        price = round(quote.mid + (sign if kind == "stop" else -sign) * pips / 10, 1)
        type_ = {"market": OrderType.MARKET, "limit": OrderType.LIMIT, "stop": OrderType.STOP}[kind]
        direct.broker.place(
            OrderRequest(
                client_id=f"d{i}", book="direct", symbol="BTCUSDT", side=Side(side), type=type_, volume=float(volume),
                price=None if kind == "market" else price,
            )
        )  # fmt: skip
        limit, more = (price, {}) if kind == "limit" else (None, {"stopLossPrice": price} if kind == "stop" else {})
        client.create_order(BTC, "limit" if kind == "limit" else "market", side, float(volume), limit, more)


@hypothesis.settings(max_examples=12)
@hypothesis.given(steps=STEPS)
def test_orders_over_http_fill_as_those_of_a_backtest(steps: list[Any]) -> None:
    """Same executions, same money, however long after a bar's open a request arrives, so long as that bar lasts."""
    with make_venue(ROWS) as venue:
        client, direct = client_of(venue), Direct(venue)
        send(venue, client, direct, steps)
        end_ns = START_NS + len(ROWS) * MINUTE_NS
        direct.move_to(end_ns)
        venue.advance_to(end_ns)
        trades = client.fetch_my_trades(BTC)
        wallet = float(client.fapiPrivateV3GetAccount()["totalWalletBalance"])
        client.close()

    fills = direct.broker.fills()
    assert [(each["side"], each["amount"], each["price"]) for each in trades] == [
        (fill.side, fill.volume, fill.price) for fill in fills
    ]
    assert wallet == direct.broker.snapshot().account.balance
