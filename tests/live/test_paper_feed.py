"""A paper account over the feed of an exchange, asked over HTTP without keys."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from src.brokers.ccxt_client import CcxtClient
from src.brokers.ccxt_feed import CcxtFeed
from src.brokers.simulated import FillRules
from src.core.bars import BarSeries
from src.core.records import OrderType, Side, make_order_request
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live.paper import PaperBroker
from src.live.paper_feed import PaperEvent
from src.testing.venue import LocalVenue
from tests.brokers.ccxt_benches import ACCOUNT, COSTS, RULES, START_NS, SYMBOL

LENGTHS = (MINUTE_NS, 5 * MINUTE_NS)


def walking_prices() -> BarSeries:
    """Bars of a second each, which go up and down by a few ticks."""
    opens = START_NS + SECOND_NS * np.arange(-600, 1800, dtype=np.int64)
    steps = np.round(np.sin(np.arange(len(opens)) / 37) * 3 + 100, 2)
    close = np.append(steps[1:], steps[-1])
    high, low = np.maximum(steps, close), np.minimum(steps, close)
    return BarSeries(SYMBOL, SECOND_NS, opens, steps, high, low, close, np.full(len(opens), 10.0))


@contextmanager
def account(venue: LocalVenue, events: list[PaperEvent]) -> Iterator[PaperBroker]:
    """A paper account that reads the venue's public prices."""
    client = CcxtClient(
        "binanceusdm", environment="demo", url=venue.url, signed=False, now_ns=venue.now_ns, real_ns=venue.now_ns,
        environ={}, wait=lambda seconds: None, options={"rateLimit": 0.01},
    )  # fmt: skip
    feed = CcxtFeed(
        client, {SYMBOL: RULES}, {SYMBOL: LENGTHS}, now_ns=venue.now_ns, bars_from_ns=START_NS - 10 * MINUTE_NS
    )  # fmt: skip
    try:
        yield PaperBroker(
            feed, ACCOUNT, feed.rules, {SYMBOL: LENGTHS}, COSTS, FillRules(), venue.now_ns, on_event=events.append
        )
    finally:
        client.close()


@pytest.mark.slow
def test_a_paper_account_trades_at_the_prices_of_an_exchange() -> None:
    """Bars of the exchange are shown, orders fill at its quotes, nothing is sent, and a restart gives the same."""
    events: list[PaperEvent] = []
    series = walking_prices()
    shown: dict[int, tuple[float, float]] = {}
    with LocalVenue({SYMBOL: series}, {SYMBOL: RULES}, START_NS + SECOND_NS // 2, account=ACCOUNT) as venue:
        with account(venue, events) as broker:
            broker.start()
            for k in range(100):
                if k % 20 == 0:
                    broker.place(request(k))
                venue.advance_to(venue.now_ns() + 3 * SECOND_NS)
                broker.refresh()
                quote = broker.quote(SYMBOL)
                assert quote is not None
                shown[quote.instant_ns] = quote.bid, quote.ask
            state = state_of(broker)
        with account(venue, []) as again:
            again.restore(json.loads(json.dumps(events)))
            again.start()
            restored = state_of(again)

    base = broker.base_series(SYMBOL)
    minutes = series.high[: 60 * (base.length)].reshape(-1, 60)
    entries = [fill for fill in broker.fills() if fill.kind == "entry"]
    assert base.high[: base.length].tolist() == minutes.max(axis=1).tolist()
    assert broker.series(SYMBOL, 5 * MINUTE_NS).length == 3
    assert [fill.price for fill in entries] == pytest.approx([shown[fill.filled_ns][1] * 1.0001 for fill in entries])
    assert len(entries) == 5
    assert {fill.kind for fill in broker.fills()} == {"entry", "stop", "target"}
    assert restored == state


def request(k: int) -> Any:
    """A purchase with a stop and a target."""
    return make_order_request(
        client_id=f"o{k}", book="b", symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, volume=1.0,
        stop_distance=1.0, target_distance=1.5,
    )  # fmt: skip


def state_of(broker: PaperBroker) -> tuple[Any, ...]:
    """What the account has done and what it holds."""
    snapshot = broker.snapshot()
    done = broker.fills(), broker.trades(), broker.orders()
    return *done, snapshot.positions, snapshot.orders, snapshot.account.equity
