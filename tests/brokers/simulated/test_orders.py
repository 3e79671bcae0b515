"""The life of an order: acknowledgement, events, cancelling, modifying, latency, and protection that is moved."""

import math
from typing import Any

import pytest

from src.core.errors import InternalError
from src.core.records import OrderState
from src.core.timeframe import SECOND_NS
from tests.brokers.simulated.venue import START_NS, Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]


def flat(price: float) -> Prices:
    """A bar that stands at one price."""
    return [price, price, price, price]


def test_placing_never_fills_by_itself() -> None:
    """The acknowledgement carries no fill; the fill arrives as an event, once."""
    venue = Venue([FLAT, flat(101), flat(101)])

    venue.buy(1)
    assert (venue.fills, venue.events()) == ([], [])
    venue.go_to(0)

    (event,) = venue.events()
    assert event.fill is not None
    assert (event.order.state, event.fill.price, event.order.average_price) == (OrderState.FILLED, 101.0, 101.0)
    assert venue.events() == []


def test_a_cancelled_order_never_fills() -> None:
    """Market orders can be cancelled until their open, resting ones until they fill; a second try finds nothing."""
    venue = Venue([FLAT, [100, 101, 98, 100], flat(100)])

    market, limit = venue.buy(1), venue.buy(1, limit=99.0)
    assert venue.broker.cancel(market.order_id).accepted
    assert venue.broker.cancel(limit.order_id).accepted
    assert venue.broker.cancel(limit.order_id).code == "not_working"
    venue.run()

    assert venue.fills == []
    assert [event.order.state.value for event in venue.events()] == ["cancelled", "cancelled"]


def test_cancelling_one_of_two_market_orders_leaves_the_other() -> None:
    """The open that was awaited is still awaited by the one that is left."""
    venue = Venue([FLAT, flat(101), flat(102)])

    first = venue.buy(1)
    venue.buy(2)
    venue.broker.cancel(first.order_id)
    venue.run()

    assert [(fill.order_id, fill.volume) for fill in venue.fills] == [("o2", 2.0)]


def test_with_latency_an_order_may_fill_before_its_cancellation_arrives() -> None:
    """What is under way takes as long as the order itself took."""
    venue = Venue([FLAT, flat(100), [100, 101, 98, 100], [100, 101, 95, 100], flat(100)], costs={"latency_s": 60})

    first, second = venue.buy(1, limit=99.0), venue.buy(1, limit=96.0)
    venue.go_to(1)
    venue.broker.cancel(first.order_id)
    venue.broker.cancel(second.order_id)
    venue.run()

    assert [(fill.order_id, fill.price) for fill in venue.fills] == [("o1", 99.0)]
    assert venue.broker.orders()[-1].state is OrderState.CANCELLED


def test_an_order_is_not_placed_twice_under_one_identity() -> None:
    """While the first one works, the same client id is refused."""
    venue = Venue([FLAT, flat(100)])

    venue.buy(1, limit=90.0, client_id="same")

    assert venue.buy(1, limit=91.0, client_id="same").code == "duplicate_id"


def test_modifying_moves_an_order_and_what_is_told_of_it() -> None:
    """Price and volume are those of the change from the next bar on, in fills and in snapshots."""
    venue = Venue([FLAT, [100, 100, 98, 99], [99, 99, 96, 97], flat(97)])

    order = venue.buy(1, limit=97.5)
    assert venue.broker.modify(order.order_id, price=96.5, volume=2.0).accepted
    (seen,) = venue.broker.snapshot().orders
    venue.run()

    assert (seen.request.price, seen.request.volume) == (96.5, 2.0)
    assert [(fill.price, fill.volume) for fill in venue.fills] == [(96.5, 2.0)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"price": math.nan}, "price"),
        ({"price": -1.0}, "price"),
        ({"price": 95.0}, "stop_side"),
        ({"volume": 0.0}, "volume"),
        ({"volume": math.nan}, "volume"),
        ({"volume": 1.25}, "volume_step"),
        ({"volume": 200.0}, "margin"),
        ({"volume": 2.0, "price": math.inf}, "price"),
    ],
)
def test_a_refused_change_leaves_the_order_as_it_was(change: dict[str, Any], code: str) -> None:
    """A change is judged as a whole, as a new order would be, before anything of it counts."""
    venue = Venue([FLAT, flat(100)], instrument={"volume_step": 0.5})

    order = venue.buy(1, limit=97.0, stop=96.0)
    result = venue.broker.modify(order.order_id, **change)

    assert result.code == code
    (seen,) = venue.broker.snapshot().orders
    assert (seen.request.price, seen.request.volume) == (97.0, 1.0)


def test_a_modified_order_keeps_its_place() -> None:
    """Orders at one price fill in the order in which they were placed first."""
    venue = Venue([FLAT, [100, 100, 95, 96], flat(96)])

    first = venue.buy(1, limit=97.0)
    venue.buy(1, limit=96.5)
    venue.broker.modify(first.order_id, price=96.5)
    venue.run()

    assert [fill.order_id for fill in venue.fills] == ["o1", "o2"]


def test_the_margin_of_an_order_is_its_own_when_it_is_modified() -> None:
    """An order that has reserved nearly everything may be moved."""
    venue = Venue([FLAT, flat(100)])

    order = venue.buy(100, limit=99.0)

    assert venue.broker.modify(order.order_id, price=98.0).accepted


@pytest.mark.parametrize("volume", [math.nan, math.inf, 0.0, -1.0])
def test_a_close_of_no_volume_is_refused(volume: float) -> None:
    """In particular it does not close the whole position."""
    venue = Venue([FLAT, flat(100), flat(100), flat(100)])

    venue.buy(2)
    venue.go_to(1)

    assert venue.close(volume=volume).code == "volume"


def test_a_partial_close_keeps_to_the_volume_step() -> None:
    """Only the whole position may be off the step."""
    venue = Venue([FLAT, flat(100), flat(100), flat(100)], instrument={"volume_step": 0.1})

    venue.buy(0.1)
    venue.buy(0.2)
    venue.go_to(1)

    assert venue.position.volume == 0.1 + 0.2
    assert venue.close(volume=0.15).code == "volume_step"
    assert venue.close().accepted
    venue.run()
    assert venue.position.is_flat


def test_closing_an_unknown_position_is_refused() -> None:
    """It was closed before, or never was."""
    venue = Venue([FLAT, flat(100)])

    assert venue.close("nothing").code == "no_position"
    assert venue.broker.protect("nothing", stop=1.0).code == "no_position"


def test_a_stop_that_is_moved_is_not_tested_on_earlier_bars() -> None:
    """The bar that ends at the instant of the move has prices beyond the new stop; the next bar has none."""
    venue = Venue([FLAT, flat(100), [100, 106, 99, 105], [105, 107, 104.5, 106], [106, 106, 103, 104], flat(104)])

    venue.buy(1, stop=95.0)
    venue.go_to(2)
    assert venue.broker.protect("o1", stop=104.0).accepted
    venue.run()

    assert venue.told() == ["entry 100 @0", "stop 104 @4 from 3"]


def test_a_stop_that_is_moved_inside_a_bar_waits_for_the_next_one() -> None:
    """The bar that is under way has prices from before the move."""
    venue = Venue([FLAT, flat(100), [105, 106, 98, 105], [105, 106, 103, 105], flat(105)])

    venue.buy(1, stop=95.0)
    venue.go_to(1)
    venue.clock.instant_ns += 30 * SECOND_NS
    assert venue.broker.protect("o1", stop=99.0, kind="trailing").accepted
    venue.go_to(2)

    assert venue.told() == ["entry 100 @0"]
    assert (venue.position.stop, venue.position.stop_kind) == (99.0, "trailing")


def test_with_latency_a_moved_stop_counts_later_and_is_seen_then() -> None:
    """Until it arrives the old stop guards the position; afterwards `position` shows the new one without any fill."""
    bars = [FLAT, flat(100), flat(105), [105, 105, 103, 105], [105, 105, 104.5, 105], [105, 105, 103, 104], flat(104)]
    venue = Venue(bars, costs={"latency_s": 60})

    venue.buy(1, stop=95.0)
    venue.go_to(2)
    venue.broker.protect("o1", stop=104.0)
    venue.go_to(2.5)
    assert venue.position.stop == 95.0
    venue.go_to(3)
    assert venue.position.stop == 104.0
    venue.run()

    assert venue.told() == ["entry 105 @1", "stop 104 @5 from 4"]


@pytest.mark.parametrize(
    ("side", "change", "code"),
    [
        ("buy", {"stop": 100.0}, "stop_in_market"),
        ("buy", {"stop": 101.0}, "stop_in_market"),
        ("buy", {"target": 99.0}, "target_in_market"),
        ("sell", {"stop": 100.0}, "stop_in_market"),
        ("sell", {"target": 101.0}, "target_in_market"),
        ("buy", {"stop": math.nan}, "price"),
        ("buy", {"target": math.nan}, "price"),
        ("sell", {"stop": math.inf}, "price"),
        ("buy", {"stop": -1.0}, "price"),
        ("buy", {"stop": 98.3}, "tick"),
        ("buy", {"stop": 99.0, "target": 99.5}, "target_in_market"),
    ],
)
def test_protection_on_the_wrong_side_is_refused_and_changes_nothing(
    side: str, change: dict[str, Any], code: str
) -> None:
    """Stop and target are judged together against the quote that would close the position now."""
    venue = Venue([FLAT, flat(100), flat(100)], instrument={"tick": 0.5})

    venue.place(side)
    venue.go_to(1)

    assert venue.broker.protect("o1", **change).code == code
    assert (venue.position.stop, venue.position.target) == (None, None)


def test_an_order_is_not_filled_on_the_bar_that_is_under_way() -> None:
    """Placed in the middle of a bar, it counts from the next one on: that bar's low was there before."""
    venue = Venue([FLAT, [100, 101, 95, 100], [100, 101, 98, 100], flat(100)])

    venue.clock.instant_ns = START_NS + 30 * SECOND_NS
    venue.buy(1, limit=99.0)
    venue.run()

    assert venue.told() == ["entry 99 @2 from 1"]


def test_a_latency_shorter_than_a_bar_is_reported() -> None:
    """What the simulation cannot show is said; what it can show is not."""
    assert "latency" in Venue([FLAT], costs={"latency_s": 59}).broker.fidelity()
    assert Venue([FLAT], costs={"latency_s": 60}).broker.fidelity() == {}
    assert Venue([FLAT]).broker.fidelity() == {}


def test_after_the_end_of_its_data_a_symbol_takes_no_order() -> None:
    """Its last price is no price any more; another symbol goes on."""
    venue = Venue({"AAA": [FLAT, flat(100)], "BBB": [FLAT, flat(100), flat(100), flat(100)]})

    venue.go_to(1.5)

    assert venue.buy(1).code == "no_price"
    assert venue.buy(1, symbol="BBB").accepted


def test_an_expired_order_is_gone_at_its_instant() -> None:
    """Its margin is free and its event says when."""
    venue = Venue([FLAT, flat(100), flat(100)])

    venue.buy(100, limit=99.0, expires=1)
    venue.go_to(1)

    (event,) = venue.events()
    assert (event.order.state, (event.order.updated_ns - START_NS) // SECOND_NS) == (OrderState.EXPIRED, 60)
    assert venue.broker.snapshot().orders == ()


@pytest.mark.parametrize("kind", ["trailing", "break_even"])
@pytest.mark.parametrize(("side", "tight", "loose"), [("buy", 98.0, 96.0), ("sell", 102.0, 104.0)])
def test_with_latency_a_follower_does_not_loosen_a_stop(side: str, tight: float, loose: float, kind: str) -> None:
    """Two changes are under way at once; the later one was made before its maker could see the first."""
    venue = Venue([FLAT, *[flat(100)] * 6], costs={"latency_s": 60})
    venue.place(side, stop=90.0 if side == "buy" else 110.0)
    venue.go_to(1)

    venue.broker.protect("o1", stop=tight)
    venue.broker.protect("o1", stop=loose, kind=kind)
    venue.go_to(3)

    assert (venue.position.stop, venue.position.stop_kind) == (tight, "stop")


def test_with_latency_a_stop_that_is_moved_by_hand_may_be_loosened() -> None:
    """Only followers are held to one direction."""
    venue = Venue([FLAT, *[flat(100)] * 6], costs={"latency_s": 60})
    venue.buy(1, stop=95.0)
    venue.go_to(1)

    venue.broker.protect("o1", stop=98.0)
    venue.broker.protect("o1", stop=96.0)
    venue.go_to(3)

    assert venue.position.stop == 96.0


HOLE: list[Prices] = [FLAT, flat(100), None, None, None, flat(100), flat(100)]


@pytest.mark.parametrize("other", [[FLAT, *[flat(100)] * 6], [FLAT, flat(100)]])
@pytest.mark.parametrize("minute", [1.0, 2.0, 2.5, 4.0])
def test_an_order_expires_at_its_instant_where_its_symbol_has_no_bars(minute: float, other: list[Prices]) -> None:
    """The end is a step of its own, whether or not another symbol has bars then; margin and id are free at once."""
    venue = Venue({"AAA": HOLE, "BBB": other})
    venue.buy(100, limit=90.0, expires=minute)

    venue.go_to(minute)

    (event,) = venue.events()
    assert (event.order.state, event.order.code) == (OrderState.EXPIRED, "expired")
    assert event.order.updated_ns == START_NS + round(minute * 60) * SECOND_NS
    assert venue.broker.snapshot().orders == ()
    assert venue.broker.next_ending_ns is None


def test_a_cancellation_arrives_at_its_instant_where_the_symbol_has_no_bars() -> None:
    """Resting and market orders end when the request arrives, not at the next bar."""
    venue = Venue(HOLE, costs={"latency_s": 60})
    venue.go_to(1)
    resting, market = venue.buy(1, limit=90.0), venue.buy(1)
    venue.broker.cancel(resting.order_id)
    venue.broker.cancel(market.order_id)

    venue.go_to(2)

    ended = [(event.order.state.value, event.order.updated_ns - START_NS) for event in venue.events()]
    assert ended == [("cancelled", 120 * SECOND_NS)] * 2
    assert venue.broker.awaited_open_ns is None
    venue.run()
    assert venue.fills == []


def test_an_order_whose_time_ends_inside_a_bar_is_ended_by_that_bar() -> None:
    """The bar may fill it before; no step is made for the end."""
    venue = Venue([FLAT, [100, 100, 89, 95], flat(95)])

    venue.buy(1, limit=90.0, expires=0.5)
    assert venue.broker.next_ending_ns is None
    venue.run()

    assert venue.told() == ["entry 90 @1 from 0"]


def test_an_order_that_is_placed_after_its_time_ends_at_once() -> None:
    """Time does not go back for it."""
    venue = Venue(HOLE)
    venue.go_to(2.5)

    venue.buy(1, limit=90.0, expires=1)

    assert venue.market.next_ns() == venue.clock.instant_ns
    venue.step()
    (event,) = venue.events()
    assert (event.order.state, event.order.updated_ns) == (OrderState.EXPIRED, venue.clock.instant_ns)


def test_an_order_that_cannot_end_in_the_window_makes_no_step() -> None:
    """A time after the window is never reached; the order ends with its symbol's data."""
    venue = Venue(HOLE, minutes=6)

    venue.buy(1, limit=90.0, expires=7)
    venue.run()

    assert venue.minute == 6
    assert [event.order.code for event in venue.events()] == ["end_of_data"]


def test_a_market_order_that_expires_before_its_open_never_fills() -> None:
    """It waits for an open behind a hole and is over before."""
    venue = Venue(HOLE)
    venue.go_to(1)

    venue.buy(1, expires=3)
    venue.run()

    (event,) = venue.events()
    assert (event.order.state, event.order.updated_ns) == (OrderState.EXPIRED, START_NS + 180 * SECOND_NS)
    assert venue.fills == []


def test_an_open_that_fills_nothing_is_not_awaited_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that would repeat itself for ever is a defect, and is said to be one."""
    venue = Venue([FLAT, flat(100), flat(100)])
    venue.buy(1)
    monkeypatch.setattr("src.brokers.simulated.venue.match_market_orders", lambda *_: None)

    with pytest.raises(InternalError, match="awaited again"):
        venue.run()


def test_a_market_order_fills_on_the_bar_that_opens_at_its_instant() -> None:
    """With latency that is not the next bar to close, and a hole in between changes nothing."""
    venue = Venue([FLAT, flat(101), flat(102), None, flat(104), flat(105)], costs={"latency_s": 120})

    venue.buy(1)
    venue.run()

    assert venue.told() == ["entry 104 @3"]
