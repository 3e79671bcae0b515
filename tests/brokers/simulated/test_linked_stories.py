"""Whatever is asked of a venue: every order lives by the table of states, and those that depend on each other do."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.core.order_states import LEGAL
from src.core.records import OrderEvent, OrderRequest, OrderState, OrderType, TimeInForce
from src.core.timeframe import MINUTE_NS
from tests.brokers.simulated.venue import START_NS, Venue
from tests.generators import Plea, bars, pleas

SPREAD = 0.5


class Asker:
    """Asks a venue for what a story wants, and keeps what it was told of each order."""

    def __init__(self, prices: list[list[float]], *, hedging: bool, late: bool) -> None:
        account = {"positions": "hedging" if hedging else "netting", "leverage": 5}
        costs = {"spread_points": SPREAD, "latency_s": 60.0 if late else 0.0}
        self.venue = Venue([[100.0] * 4, *prices], account=account, costs=costs, rules={"at_end": "close"})
        self.opens = [bar[0] for bar in prices]
        self.placed: list[OrderRequest] = []
        self.told: dict[str, list[OrderEvent]] = defaultdict(list)

    def ask(self, plea: Plea) -> None:
        """One call; a refusal is an answer like any other."""
        broker, quote = self.venue.broker, self.venue.broker.quote("AAA")
        meant = self.placed[plea.pick % len(self.placed)].client_id if self.placed else "nobody"
        price = (0.0 if quote is None else quote.mid) + plea.offset
        if plea.what == "modify":
            broker.modify(meant, price=price, volume=float(plea.volume))
            return
        if plea.what == "cancel":
            broker.cancel(meant)
            return
        parent = "" if plea.parent is None or not self.placed else self.placed[-1 - plea.parent % len(self.placed)]
        trails = plea.what == OrderType.TRAILING_STOP
        request = self.venue.request(
            "buy" if plea.buy else "sell", plea.what, float(plea.volume),
            price=None if trails or plea.what == OrderType.MARKET else price,
            limit=price + plea.further if plea.what == OrderType.STOP_LIMIT else None,
            trail_distance=float(1 + abs(plea.offset)) if trails else None,
            time_in_force=TimeInForce(plea.force), group=plea.group, reduce_only=plea.reduce,
            reverse=plea.reverse and not plea.reduce, parent=parent.client_id if parent else "",
            expires_ns=None if plea.minutes is None else self.venue.clock.instant_ns + plea.minutes * MINUTE_NS,
        )  # fmt: skip
        result = broker.place(request)
        assert result.accepted or (result.code and result.message)
        if result.accepted:
            self.placed.append(request)

    def listen(self) -> None:
        """Take what the venue has told; no order says anything after its end, and no state follows another unduly."""
        for event in self.venue.events():
            order = event.order
            if order.request.exit_kind == "exit" and order.order_id.startswith("o") and "-" not in order.order_id:
                known = self.told[order.order_id]
                before = known[-1].order.state if known else OrderState.WORKING
                assert order.state in LEGAL[before] or order.state is before is OrderState.WORKING
                known.append(event)


@settings(max_examples=100)
@given(
    minutes=st.lists(st.tuples(st.lists(pleas(), max_size=4), bars()), min_size=1, max_size=10),
    hedging=st.booleans(),
    late=st.booleans(),
)
@pytest.mark.slow
def test_orders_that_depend_on_each_other_do_and_each_ends_once(
    minutes: list[tuple[list[Plea], list[float]]], hedging: bool, late: bool
) -> None:
    """Groups fill once, children after their parents, nothing is lost, and what still works is what never ended."""
    asker = Asker([bar for _, bar in minutes], hedging=hedging, late=late)
    for minute, (asked, _) in enumerate(minutes):
        for plea in asked:
            asker.ask(plea)
        working = {order.order_id for order in asker.venue.broker.snapshot().orders}
        asker.listen()
        ended = {name for name, events in asker.told.items() if events[-1].order.state.is_final}
        assert working == {request.client_id for request in asker.placed} - ended
        asker.venue.go_to(minute + 1)
        asker.listen()
    asker.venue.run()
    asker.listen()

    assert asker.venue.broker.snapshot().orders == ()
    assert {name for name, events in asker.told.items() if events[-1].order.state.is_final} == {
        request.client_id for request in asker.placed
    }
    for request in asker.placed:
        hold_to_its_parent(asker, request)
    hold_groups(asker)


def fills_of(asker: Asker, name: str) -> list[OrderEvent]:
    """The events of an order that are executions."""
    return [event for event in asker.told[name] if event.fill is not None]


def hold_to_its_parent(asker: Asker, request: OrderRequest) -> None:
    """Nothing of a child happened before its parent had filled, and nothing at all without a fill of the parent."""
    own = fills_of(asker, request.client_id)
    if not request.parent or not own:
        return
    parent = asker.told[request.parent][-1].order
    first, woke = own[0].fill, fills_of(asker, request.parent)[-1].fill
    assert parent.filled_volume > 0
    assert first is not None
    assert woke is not None
    opening = asker.opens[(woke.filled_from_ns - START_NS) // MINUTE_NS]
    at_open = abs(woke.price - opening) == SPREAD / 2 and parent.updated_ns == woke.filled_ns
    assert first.filled_from_ns >= (woke.filled_from_ns if at_open else parent.updated_ns)


def hold_groups(asker: Asker) -> None:
    """When an order of a group has filled, every other one that was working then was cancelled at that instant."""
    for request in asker.placed:
        own = fills_of(asker, request.client_id)
        if not request.group or not own:
            continue
        first = own[0].fill
        assert first is not None
        for other in asker.placed:
            ended = asker.told[other.client_id][-1].order
            if other.group == request.group and other is not request and ended.placed_ns < first.filled_from_ns:
                assert ended.updated_ns <= first.filled_ns
