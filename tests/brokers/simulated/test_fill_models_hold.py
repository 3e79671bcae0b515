"""What holds under every fill model: random orders and bars, with limits on volume, draws, delays and assumptions."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.records import OrderState
from src.core.timeframe import MINUTE_NS
from tests.brokers.simulated.venue import Venue
from tests.generators import Action, Story, stories

SYMBOLS = ("AAA", "BBB")
BAR_VOLUME = 12.0

MODELS = st.fixed_dictionaries({
    "intrabar": st.sampled_from(("worst", "best", "path")),
    "limit_fill": st.sampled_from(("through", "touch", "seeded")),
    "seed": st.integers(0, 3),
})  # fmt: skip
LIMITS = st.fixed_dictionaries({
    "volume_share": st.sampled_from((None, 0.1, 0.25)),
    "latency_jitter_ns": st.sampled_from((0, 3 * MINUTE_NS)),
    "reject_percent": st.sampled_from((0.0, 20.0)),
    "spread_by_hour": st.sampled_from((None, (0.5,) * 24)),
})  # fmt: skip


def ask(venue: Venue, action: Action) -> None:
    """Whatever the venue makes of it."""
    side, sign = ("buy", 1) if action.buy else ("sell", -1)
    quote = venue.broker.quote(action.symbol)
    if quote is None:
        return
    price = None if action.what == "market" else round(quote.mid) + action.offset
    near = float(price or quote.mid)
    if action.what in ("market", "limit", "stop"):
        trail: dict[str, Any] = {"stop_trail_distance": float(action.goal)} if action.reverse and action.goal else {}
        venue.place(
            side, action.what, float(action.volume), symbol=action.symbol, price=price, **trail,
            stop=None if action.guard is None else near - sign * (action.guard + 1), reduce_only=action.reduce,
            reverse=action.reverse and not action.reduce, target=None if action.goal is None else near + sign * 2,
        )  # fmt: skip
        return
    if action.what == "close" and (held := venue.broker.positions(action.symbol)):
        venue.close(held[0].position_id)
    elif action.what == "cancel" and (orders := venue.broker.snapshot().orders):
        venue.broker.cancel(orders[action.pick % len(orders)].order_id)


def play(story: Story, rules: dict[str, Any], limits: dict[str, Any]) -> tuple[Venue, dict[int, float]]:
    """A venue after a story, and the equity that it showed after each step."""
    bars = {s: [[100.0] * 4, *(minute[s] for _, minute in story.minutes)] for s in SYMBOLS}
    costs = {"slippage_points": story.slippage, "commission_percent": story.fee_percent, **limits}
    if limits["spread_by_hour"] is None:
        costs["spread_points"] = story.spread
    venue = Venue(
        bars, account={"balance": 1_000_000.0, "leverage": 100}, costs=costs, rules={"at_end": "keep", **rules}
    )  # fmt: skip
    for symbol in SYMBOLS:
        venue.broker.base_series(symbol).volume[:] = BAR_VOLUME
    shown: dict[int, float] = {}
    for minute, (actions, _) in enumerate(story.minutes):
        while (at := venue.market.next_ns()) is not None and at <= venue.clock.instant_ns:
            venue.step()
            shown[venue.clock.instant_ns] = venue.broker.equity()
        for action in actions:
            ask(venue, action)
        until = venue.clock.instant_ns + MINUTE_NS
        assert minute < len(story.minutes)
        while (at := venue.market.next_ns()) is not None and at <= until:
            venue.step()
            shown[venue.clock.instant_ns] = venue.broker.equity()
        venue.clock.instant_ns = until
    return venue, shown


@given(story=stories(SYMBOLS), rules=MODELS, limits=LIMITS)
@settings(max_examples=40, deadline=None)
def test_every_fill_model_keeps_orders_volume_and_equity_true(
    story: Story, rules: dict[str, Any], limits: dict[str, Any]
) -> None:
    """No bar gives more than its share, no order fills before its time, and the curve is what the account showed."""
    venue, shown = play(story, rules, limits)

    orders = {order.order_id: order for order in venue.broker.orders()}
    filled: dict[str, float] = defaultdict(float)
    on_bar: dict[tuple[str, int], float] = defaultdict(float)
    for fill in venue.fills:
        filled[fill.order_id] += fill.volume
        series = venue.broker.base_series(fill.symbol)
        # A fill at an open counts on the bar that had closed, one inside a bar on that bar.
        bar = series.count_closed(fill.filled_ns) - 1
        on_bar[fill.symbol, bar] += fill.volume
        if "-" not in fill.order_id:  # an order that was placed, and no stop or target of the venue's own
            assert fill.filled_from_ns >= orders[fill.order_id].placed_ns
    if limits["volume_share"] is not None:
        assert max(on_bar.values(), default=0.0) <= limits["volume_share"] * BAR_VOLUME + 1e-9
    for identity, order in orders.items():
        if not order.request.reverse and order.state in (OrderState.FILLED, OrderState.PARTLY_FILLED):
            assert order.filled_volume == pytest.approx(filled[identity])
        if order.state is OrderState.REJECTED and order.code == "rejected":
            assert filled[identity] == 0.0
    assert len({fill.fill_id for fill in venue.fills}) == len(venue.fills)
    at, equity = venue.broker.equity_samples()
    curve = dict(zip(at.tolist(), equity.tolist(), strict=True))
    assert {instant: curve[instant] for instant in shown} == shown


@given(story=stories(SYMBOLS), rules=MODELS)
@settings(max_examples=25, deadline=None)
def test_the_interval_of_a_trade_holds_its_result(story: Story, rules: dict[str, Any]) -> None:
    """The worst is never above it, the best never below, and they are equal where nothing was left to doubt."""
    plain = {"volume_share": None, "latency_jitter_ns": 0, "reject_percent": 0.0, "spread_by_hour": None}

    venue, _ = play(story, rules, plain)

    for trade in venue.trades:
        assert trade.net_worst <= trade.net <= trade.net_best
        assert trade.ambiguous or trade.net_worst == trade.net_best
    assert len({trade.trade_id for trade in venue.trades}) == len(venue.trades)
