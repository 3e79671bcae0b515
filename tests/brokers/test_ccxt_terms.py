"""Orders of the exchange that the broker contract has no case for, and a market that does not stand still."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from src.brokers.ccxt_broker import CcxtBroker
from src.core.bars import BarSeries
from src.core.errors import BrokerUnavailable, ConfigError
from src.core.records import OrderEvent, OrderRequest, OrderState, OrderType, Side
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.testing.venue import Fault, FaultKind, LocalVenue
from tests.brokers.ccxt_benches import ACCOUNT, COSTS, RULES, START_NS, SYMBOL, CcxtBench, ccxt_bench, client_to

NAMES = ("AAAUSDT", "BBBUSDT", "CCCUSDT")


@pytest.fixture
def bench() -> Iterator[CcxtBench]:
    """An account of its own."""
    with ccxt_bench() as made:
        yield made


def request(type_: OrderType, **more: Any) -> OrderRequest:
    """A purchase."""
    values: dict[str, Any] = {"client_id": "kterm", "side": Side.BUY, "volume": 1.0, **more}
    return OrderRequest(book="S", symbol=SYMBOL, type=type_, **values)


def test_a_trailing_stop_follows_by_percent(bench: CcxtBench) -> None:
    """It fills when the price turns back, under its own id."""
    bench.broker.place(request(OrderType.MARKET))
    bench.until(lambda: bench.broker.position("S", SYMBOL).is_long)
    result = bench.broker.place(
        request(OrderType.TRAILING_STOP, client_id="ktrail", side=Side.SELL, trail_percent=2.0, reduce_only=True)
    )
    assert result.accepted

    bench.move_to(120.0)
    bench.until(lambda: (quote := bench.broker.quote(SYMBOL)) is not None and quote.bid > 115)
    assert bench.broker.position("S", SYMBOL).is_long
    bench.move_to(110.0)
    bench.until(lambda: bench.broker.position("S", SYMBOL).is_flat)

    last = list(bench.broker.mailbox(SYMBOL))[-1]
    assert last.fill is not None
    assert (last.order.order_id, last.order.state, last.fill.price > 115) == ("ktrail", OrderState.FILLED, True)


def test_an_order_that_ends_by_itself_is_told_as_expired(bench: CcxtBench) -> None:
    """The exchange has the end of an order that lasts longer than ten minutes."""
    ends_ns = bench.now_ns() + 12 * MINUTE_NS
    assert bench.broker.place(request(OrderType.LIMIT, price=80.0, expires_ns=ends_ns)).accepted

    bench.venue.advance_to(ends_ns + MINUTE_NS)
    bench.broker.refresh()

    (event,) = bench.broker.mailbox(SYMBOL)
    assert (event.order.state, event.order.filled_volume) == (OrderState.EXPIRED, 0.0)


def test_bars_are_those_of_the_exchange_and_only_the_closed_ones(bench: CcxtBench) -> None:
    """The history from the wanted instant on, and each bar once the next one has begun; none before its account."""
    base = bench.broker.base_series(SYMBOL)
    history = base.length
    last_close = base.close_of(history - 1)

    bench.venue.advance_to(last_close + MINUTE_NS - SECOND_NS)
    bench.broker.refresh()
    early = base.length
    bench.venue.advance_to(last_close + MINUTE_NS + SECOND_NS)
    bench.venue.fail(Fault(kind=FaultKind.RESET_BEFORE, endpoint="GET account", times=0))
    with pytest.raises(BrokerUnavailable):
        bench.broker.refresh()
    unread = base.length
    bench.venue.heal()
    bench.broker.refresh()

    assert (history, early, unread, base.length) == (5, 5, 5, 6)
    assert base.open_ns.tolist()[:6] == bench.series.open_ns.tolist()[:6]


def test_a_timeframe_that_nobody_asked_for_is_refused(bench: CcxtBench) -> None:
    """It would come too late."""
    with pytest.raises(ConfigError, match="subscribe"):
        bench.broker.series(SYMBOL, 60 * MINUTE_NS)


def test_rules_that_differ_are_told() -> None:
    """The exchange's count."""
    with ccxt_bench() as bench:
        file = replace(RULES, tick=0.5)
        broker = CcxtBroker(
            client_to(bench.venue), ACCOUNT, {SYMBOL: file}, {SYMBOL: (MINUTE_NS,)}, now_ns=bench.now_ns
        )

        assert broker.instrument(SYMBOL).tick == 0.01
        assert [text.split(";")[0] for text in broker.differing] == [
            "BTCUSDT: the tick is 0.01 at the exchange and 0.5 in the configuration"
        ]


@pytest.mark.parametrize("account", [{"type": "spot", "leverage": 1}, {"positions": "hedging"}])
def test_an_account_of_another_kind_is_refused(account: dict[str, Any]) -> None:
    """Before anything is sent."""
    with ccxt_bench() as bench, pytest.raises(ConfigError, match="netting margin"):
        CcxtBroker(client_to(bench.venue), ACCOUNT.model_copy(update=account), {SYMBOL: RULES}, {SYMBOL: (MINUTE_NS,)})


def test_a_leverage_that_cannot_be_set_is_refused() -> None:
    """The sizes would be judged by another one."""
    with ccxt_bench() as bench, pytest.raises(ConfigError, match="leverage"):
        CcxtBroker(
            client_to(bench.venue), ACCOUNT.model_copy(update={"leverage": 9.0}), {SYMBOL: RULES},
            {SYMBOL: (MINUTE_NS,)}, now_ns=bench.now_ns,
        ).start()  # fmt: skip


@pytest.mark.slow
def test_a_market_that_runs_is_read_without_a_contradiction() -> None:
    """At six hundred times its pace, with three symbols that are entered again and again: each fill once."""
    bars = {name: wandering(name, seed) for seed, name in enumerate(NAMES)}
    rules = {name: replace(RULES, symbol=name) for name in NAMES}
    events: list[OrderEvent] = []
    contradictions = 0
    with LocalVenue(bars, rules, START_NS, account=ACCOUNT, costs=COSTS, speed=600.0, weight_limit=10**6) as venue:
        broker = CcxtBroker(
            client_to(venue), ACCOUNT, rules, {name: (MINUTE_NS,) for name in NAMES}, now_ns=venue.now_ns
        )
        broker.start()

        def look() -> None:
            broker.refresh()
            for name in NAMES:
                mailbox = broker.mailbox(name)
                while mailbox:
                    events.append(mailbox.popleft())

        for i in range(80):
            try:
                look()
            except BrokerUnavailable:
                contradictions += 1
            working = {order.request.symbol for order in broker.snapshot().orders}
            for name in NAMES:
                position = broker.position("S", name)
                if position.is_flat and name not in working:
                    broker.place(
                        OrderRequest(
                            client_id=f"k{name.lower()}{i}", book="S", symbol=name, side=Side.BUY,
                            type=OrderType.MARKET, volume=1.0, stop_distance=0.3, target_distance=0.3,
                        )
                    )  # fmt: skip
        venue.hold()
        look()
        truth = venue.broker.snapshot()
        shown = broker.snapshot()
        held = {each.symbol: each.volume for each in truth.positions}

        assert {each.symbol: each.volume for each in shown.positions} == held
        assert shown.account.balance == pytest.approx(truth.account.balance, abs=1e-9)
    fills = [event.fill.fill_id for event in events if event.fill is not None]
    assert len(fills) == len(set(fills)) > 6
    assert contradictions <= 1  # where bars close more often than the account can be read, once may be too few


def wandering(symbol: str, seed: int) -> BarSeries:
    """Bars of a price that wanders."""
    count = 600
    opens = START_NS + MINUTE_NS * np.arange(-5, count - 5, dtype=np.int64)
    close = np.round(100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.0015, count))), 2)
    before = np.r_[100.0, close[:-1]]
    high, low = np.maximum(before, close) + 0.02, np.minimum(before, close) - 0.02
    return BarSeries(symbol, MINUTE_NS, opens, before, high, low, close, np.full(count, 1000.0))
