"""A paper account that hears of each quote at once does what a run of quotes does with the same orders."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from src.backtesting.engine.tick_market import TickMarket
from src.brokers.simulated import Commission, Costs, FillRules, PriceTape, SimulatedBroker, Slippage
from src.core.bars import BarSeries
from src.core.broker import Broker
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.core.journal import Journal
from src.core.records import OrderType, Side, TimeInForce, make_order_request, make_quote
from src.core.timeframe import MINUTE_NS, SECOND_NS
from src.live.paper import PaperBroker
from tests.brokers.simulated.venue import START_NS, HandClock, series
from tests.live.paper_world import FakeFeed

RULES = Instrument(symbol="AAA", kind="perpetual", quote_currency="USD", tick=0.01, volume_step=0.01)
HALF_NS = SECOND_NS // 2
KINDS = ["market", "ioc", "limit", "post", "stop", "stop_limit", "trailing", "trail", "group", "child", "cancel",
         "modify", "protect", "close"]  # fmt: skip

MOVES = st.lists(st.integers(-12, 12), min_size=4, max_size=40)
ACTS = st.lists(st.tuples(st.sampled_from(KINDS), st.booleans(), st.integers(-20, 20)), min_size=3, max_size=40)


def models(latency_ns: int, jitter_ns: int, maker: float | None) -> Costs:
    """Costs of all kinds; the spread is that of the quotes."""
    return Costs(
        commission=Commission(percent=0.05, maker_percent=maker), slippage=Slippage(percent=0.01), spread_percent=0.0,
        spread_points=0.0, latency_ns=latency_ns, latency_jitter_ns=jitter_ns,
    )  # fmt: skip


def act(broker: Broker, k: int, now_ns: int, kind: str, price: float, *, buy: bool, away: int) -> None:
    """Ask for something; refusals are part of it."""
    side = Side.BUY if buy else Side.SELL
    at = round(price + away * 0.1, 2)
    orders, held = broker.snapshot().orders, broker.positions("AAA")

    def place(type_: OrderType = OrderType.MARKET, **more: Any) -> None:
        values = {"client_id": f"o{k}", "book": "b", "symbol": "AAA", "volume": 1.0, **more}
        broker.place(make_order_request(side=side, type=type_, **values))

    acts: dict[str, Callable[[], object]] = {
        "market": lambda: place(stop_distance=0.8, target_r=1.5),
        "ioc": lambda: place(OrderType.LIMIT, price=at, time_in_force=TimeInForce.IOC),
        "limit": lambda: place(OrderType.LIMIT, price=at, stop_distance=1.0, expires_ns=now_ns + 5 * SECOND_NS + 1),
        "post": lambda: place(OrderType.LIMIT, price=at, post_only=True),
        "stop": lambda: place(OrderType.STOP, price=at, target_distance=1.0),
        "stop_limit": lambda: place(OrderType.STOP_LIMIT, price=at, limit=round(at + (0.2 if buy else -0.2), 2)),
        "trailing": lambda: place(OrderType.TRAILING_STOP, trail_distance=0.5 + abs(away) * 0.1),
        "trail": lambda: place(stop_trail_distance=0.5 + abs(away) * 0.05),
        "group": lambda: place(OrderType.LIMIT, price=at, group="g"),
        "child": lambda: place(parent=orders[0].order_id) if orders else None,
        "cancel": lambda: broker.cancel(orders[away % len(orders)].order_id) if orders else None,
        "modify": lambda: broker.modify(orders[away % len(orders)].order_id, price=at) if orders else None,
        "protect": lambda: broker.protect(held[0].position_id, stop=at) if held else None,
        "close": lambda: broker.close(held[0].position_id, client_id=f"o{k}", volume=0.5) if held else None,
    }
    acts[kind]()


@settings(max_examples=50, deadline=None)
@given(
    MOVES, ACTS, st.sampled_from([0, 700_000_000, 1_500_000_000]), st.sampled_from([0, 900_000_000]),
    st.sampled_from([None, 0.02]), st.sampled_from(["netting", "hedging"]),
)  # fmt: skip
def test_a_paper_account_does_what_a_run_of_quotes_does(
    moves: list[int], acts: list[tuple[str, bool, int]], latency: int, jitter: int, maker: float | None, positions: str
) -> None:
    """Orders, fills, trades and money are the same, whatever is ordered between two quotes."""
    account = AccountConfig.model_validate(
        {"currency": "USD", "balance": 10_000, "leverage": 10, "positions": positions}
    )  # fmt: skip
    # The tape goes on for longer than anybody looks, because its end would end the orders.
    prices = np.round(100 + np.cumsum([0, *moves, 0, 0, 0]) * 0.1, 2)
    stamps = START_NS + SECOND_NS * np.arange(len(prices), dtype=np.int64)
    bid, ask = np.round(prices - 0.01, 2), np.round(prices + 0.01, 2)
    costs = models(latency, jitter, maker)
    tape = PriceTape(symbol="AAA", ts_ns=stamps, bid=bid, ask=ask, last=np.full(len(stamps), np.nan))
    ticks = SimulatedBroker(
        account, {"AAA": RULES}, {"AAA": series("AAA", [(100.0,) * 4])}, {}, costs, FillRules(), tapes={"AAA": tape}
    )
    clock = HandClock()
    market = TickMarket(ticks, Journal(), START_NS, START_NS + 10 * MINUTE_NS)
    ticks.bind(clock, Journal())  # type: ignore[arg-type]  # a venue asks a clock for the time only
    paper_clock = HandClock()
    feed = FakeFeed((), paper_clock.now_ns)
    feed.bars["AAA", MINUTE_NS] = BarSeries.empty("AAA", MINUTE_NS)
    paper = PaperBroker(feed, account, {"AAA": RULES}, {"AAA": [MINUTE_NS]}, costs, FillRules(), paper_clock.now_ns)
    paper.start()

    for k, at_ns in enumerate(stamps[:-3].tolist()):
        until_ns = at_ns + HALF_NS
        while (due_ns := market.next_ns()) is not None and due_ns <= until_ns:
            clock.instant_ns = due_ns
            market.advance(due_ns)
        paper_clock.instant_ns = at_ns
        quote = make_quote(symbol="AAA", instant_ns=at_ns, bid=float(bid[k]), ask=float(ask[k]))
        paper.pump(at_ns, [quote], [])
        if k < len(acts):
            kind, buy, away = acts[k]
            for broker, its in ((ticks, clock), (paper, paper_clock)):
                its.instant_ns = at_ns + HALF_NS
                act(broker, k, at_ns + HALF_NS, kind, float(prices[k]), buy=buy, away=away)

    ours, theirs = paper.snapshot(), ticks.snapshot()
    assert paper.fills() == ticks.fills()
    assert paper.trades() == ticks.trades()
    assert paper.orders() == ticks.orders()
    assert (ours.positions, ours.orders) == (theirs.positions, theirs.orders)
    assert (ours.account.balance, ours.account.equity) == (theirs.account.balance, theirs.account.equity)
