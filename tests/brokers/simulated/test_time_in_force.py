"""How long an order works, and what it refuses to be: day, good-till-date, at once, post-only."""

from typing import Any

import pytest

from src.core.records import OrderState, TimeInForce
from src.core.timeframe import MINUTE_NS, parse_instant
from tests.brokers.simulated.venue import START_NS, Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]
DIP: Prices = [100.0, 100.0, 94.0, 100.0]


def ends(venue: Venue) -> list[tuple[str, str, float]]:
    """State, code and minute of each order that has ended."""
    return [
        (order.state.value, order.code, (order.updated_ns - START_NS) / MINUTE_NS)
        for order in venue.broker.orders()
        if order.state.is_final
    ]


@pytest.mark.parametrize(("opening", "end"), [(99.0, ("filled", "", 0.0)), (100.0, ("cancelled", "{}", 0.0))])
@pytest.mark.parametrize("force", ["ioc", "fok"])
def test_an_immediate_limit_takes_the_first_open_or_ends(
    opening: float, end: tuple[str, str, float], force: str
) -> None:
    """It fills at the open when that is no worse than its limit, and is cancelled there otherwise; it never rests."""
    venue = Venue([FLAT, [opening, 100.0, 94.0, 98.0], FLAT])

    venue.place("buy", "limit", price=99.0, time_in_force=TimeInForce(force))
    venue.run()

    state, code, minute = end
    assert ends(venue) == [(state, code.format(force), minute)]
    assert [fill.price for fill in venue.fills] == ([99.0] if state == "filled" else [])


def test_an_immediate_limit_does_not_slip_beyond_its_limit() -> None:
    """Slippage is what a market order pays; a limit pays its limit at most."""
    venue = Venue([FLAT, FLAT], costs={"slippage_points": 1.0})

    venue.place("buy", "limit", price=100.0, time_in_force=TimeInForce.IOC)
    venue.run()

    assert venue.told() == ["entry 100 @0"]


def test_a_day_order_ends_with_the_session_of_its_calendar() -> None:
    """On a market that never closes the session is a day of UTC; the last bar may still fill it, the next one not."""
    bars = [FLAT] * 1441 + [DIP] * 2
    venue = Venue(bars, minutes=1443)

    venue.place("buy", "limit", price=95.0, time_in_force=TimeInForce.DAY)
    venue.run()

    assert ends(venue) == [("expired", "expired", 1440.0)]


def test_a_day_order_of_a_closed_market_belongs_to_the_next_session() -> None:
    """At midnight New York is closed: the order works through the day that comes and ends at 16:00 there."""
    venue = Venue([FLAT] + [None] * 870 + [FLAT] * 395, instrument={"calendar": "XNYS"}, minutes=1300)

    venue.place("buy", "limit", price=95.0, time_in_force=TimeInForce.DAY)
    venue.run()

    close_ns = parse_instant("2024-01-02T21:00:00")
    assert ends(venue) == [("expired", "expired", (close_ns - START_NS) / MINUTE_NS)]


def test_a_day_order_that_is_told_to_end_earlier_does() -> None:
    """Of the session's close and `expires_ns` the earlier one counts."""
    venue = Venue([FLAT] * 5)

    venue.place("buy", "limit", price=95.0, time_in_force=TimeInForce.DAY, expires=2)
    venue.run()

    assert ends(venue) == [("expired", "expired", 2.0)]


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"type_": "limit", "price": 99.0, "time_in_force": TimeInForce.GTD}, "no_expiry"),
        ({"type_": "stop", "price": 101.0, "time_in_force": TimeInForce.IOC}, "time_in_force"),
        ({"type_": "stop_limit", "price": 101.0, "limit": 102.0, "time_in_force": TimeInForce.FOK}, "time_in_force"),
        ({"type_": "limit", "price": 99.0, "post_only": True, "time_in_force": TimeInForce.IOC}, "time_in_force"),
        ({"post_only": True}, "post_only"),
        ({"type_": "stop", "price": 101.0, "post_only": True}, "post_only"),
        ({"type_": "limit", "price": 100.0, "post_only": True}, "post_only"),
        ({"type_": "limit", "price": 101.0, "post_only": True}, "post_only"),
        ({"type_": "limit", "price": 99.0, "limit": 98.0}, "unused_price"),
        ({"type_": "limit", "price": 99.0, "trail_distance": 1.0}, "unused_price"),
        ({"type_": "stop_limit", "price": 101.0}, "price"),
        ({"type_": "stop_limit", "price": 101.0, "limit": 101.3}, "tick"),
        ({"type_": "stop_limit", "price": 99.0, "limit": 101.0}, "stop_in_market"),
        ({"type_": "trailing_stop"}, "trail"),
        ({"type_": "trailing_stop", "trail_distance": 1.0, "trail_percent": 1.0}, "trail"),
        ({"type_": "trailing_stop", "trail_distance": -1.0}, "distance"),
        ({"type_": "trailing_stop", "trail_percent": 100.0}, "distance"),
        ({"type_": "trailing_stop", "trail_distance": 1.0, "price": 101.0}, "unused_price"),
        ({"stop_trail_distance": 1.0, "stop_trail_percent": 1.0}, "trail"),
        ({"stop_trail_distance": float("nan")}, "distance"),
        ({"parent": "nobody"}, "no_parent"),
    ],
)
def test_terms_that_do_not_fit_are_refused(order: dict[str, Any], code: str) -> None:
    """A contradiction is a value with a code and a sentence, and leaves nothing working."""
    venue = Venue([FLAT, FLAT], instrument={"tick": 0.5})

    result = venue.place("buy", **order)

    assert (result.accepted, result.code, venue.broker.snapshot().orders) == (False, code, ())
    assert result.message


def test_a_post_only_limit_rests_on_its_side_of_the_quote() -> None:
    """It is an ordinary limit once it rests."""
    venue = Venue([FLAT, DIP])

    assert venue.place("buy", "limit", price=99.0, post_only=True).accepted
    venue.run()

    assert venue.told() == ["entry 99 @1 from 0"]


def test_orders_nearer_than_the_stop_distance_are_refused() -> None:
    """Limits, stops, protection, and what is moved later: each keeps the instrument's least distance from the quote."""
    venue = Venue([FLAT] * 4, instrument={"stop_distance": 2.0}, costs={"spread_points": 1.0}, price_side="bid")

    codes = [
        venue.place("buy", "limit", price=99.5).code,  # the ask is 101
        venue.place("buy", "limit", price=103.0).code,
        venue.place("buy", "stop", price=102.0).code,
        venue.buy(stop=99.0).code,  # it would be closed at the bid
        venue.buy(target=101.5).code,
        venue.buy(stop_distance=1.5).code,
        venue.place("buy", "limit", price=99.0).code,
        venue.place("buy", "limit", price=101.0, time_in_force=TimeInForce.IOC).code,
        venue.buy(stop=98.0, target=102.0).code,
    ]
    venue.go_to(1)
    moved = [venue.broker.protect(venue.position.position_id, stop=stop).code for stop in (98.5, 97.0)]

    assert codes == ["too_close"] * 6 + [""] * 3
    assert moved == ["too_close", ""]


@pytest.mark.parametrize(("rule", "codes"), [("queue", ["", ""]), ("refuse", ["closed", "closed"])])
def test_outside_the_session_orders_wait_or_are_refused(rule: str, codes: list[str]) -> None:
    """`outside_session` says whether the venue keeps what comes while its market is closed."""
    venue = Venue(
        [FLAT] + [None] * 870 + [FLAT] * 5, instrument={"calendar": "XNYS"}, account={"outside_session": rule},
        minutes=900,
    )  # fmt: skip

    early = [venue.buy().code, venue.buy(limit=95.0).code]
    venue.go_to(871)  # a minute after the open
    inside = venue.buy(limit=95.0)

    assert early == codes
    assert inside.accepted
    assert [fill.filled_ns for fill in venue.fills] == ([START_NS + 870 * MINUTE_NS] if rule == "queue" else [])


def test_in_a_closed_market_an_order_can_be_cancelled_and_not_changed() -> None:
    """A venue that refuses orders refuses their changes, and lets go of them at any time."""
    bars = [FLAT] + [None] * 870 + [FLAT] * 390 + [None] * 10 + [FLAT]
    venue = Venue(bars, instrument={"calendar": "XNYS"}, account={"outside_session": "refuse"}, minutes=1300)
    venue.go_to(875)
    order = venue.buy(limit=95.0).order_id
    venue.go_to(1265)

    assert venue.broker.modify(order, price=94.0).code == "closed"
    assert venue.broker.cancel(order).accepted
    assert venue.broker.orders()[-1].state is OrderState.CANCELLED
