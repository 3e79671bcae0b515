"""Two opposite positions of a hedging account that are closed against each other."""

from typing import Any

import pytest

from src.core.records import OrderState
from tests.brokers.simulated.venue import Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]


def both_sides(**more: Any) -> Venue:
    """Long 3 as `o1` and short 2 as `o2`, with a spread of 2."""
    more.setdefault("costs", {"spread_points": 2.0})
    venue = Venue([FLAT] * 6, account={"positions": "hedging"}, **more)
    venue.buy(3.0)
    venue.sell(2.0)
    return venue.go_to(1)


def close_by(venue: Venue, side: str = "sell", first: str = "o1", other: str = "o2", **more: Any) -> str:
    """Ask for it; the code of a refusal, or nothing."""
    order = {"volume": 2.0, "reduce_only": True, "position_id": first, "close_by": other, **more}
    return venue.place(side, **order).code


def test_both_positions_shrink_by_the_smaller_one_and_pay_no_spread() -> None:
    """The short is gone, a third of the long is left, both at the middle of the quote; the entries' spread was paid."""
    venue = both_sides()

    assert close_by(venue) == ""
    venue.go_to(2)

    assert [(fill.kind, fill.price, fill.volume, fill.spread_cost) for fill in venue.fills][2:] == [
        ("close_by", 100.0, 2.0, 0.0), ("close_by", 100.0, 2.0, 0.0),
    ]  # fmt: skip
    assert [(trade.trade_id, trade.net, trade.exit_kind) for trade in venue.trades] == [("o2", -2.0, "close_by")]
    assert [(each.position_id, each.volume) for each in venue.broker.positions("AAA")] == [("o1", 1.0)]
    assert venue.account.balance == 10_000.0 - 2.0 - 2.0


def test_closing_by_each_other_is_cheaper_than_closing_both() -> None:
    """By the spread of one of the two; the commission is the same."""
    together, apart = (both_sides(costs={"spread_points": 2.0, "commission_per_unit": 0.5}) for _ in range(2))
    close_by(together)
    for position, volume in (("o1", 2.0), ("o2", 2.0)):
        apart.close(position, volume)
    for venue in (together, apart):
        venue.go_to(2)

    assert together.account.balance - apart.account.balance == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"other": "o3"}, "no_position"),
        ({"first": "o3"}, "no_position"),
        ({"other": "o1"}, "close_by"),
        ({"side": "buy"}, "close_by"),
        ({"first": "o2", "other": "o1"}, "close_by"),
        ({"reduce_only": False}, "close_by"),
        ({"type_": "limit", "price": 99.0}, "close_by"),
        ({"volume": 0.0}, "volume"),
    ],
)
def test_what_cannot_be_closed_by_each_other_is_refused(order: dict[str, Any], code: str) -> None:
    """A value with a code; both positions stay as they are."""
    venue = both_sides()

    assert close_by(venue, **order) == code
    venue.go_to(2)
    assert [each.volume for each in venue.broker.positions("AAA")] == [3.0, -2.0]


def test_on_a_netting_account_there_is_nothing_to_close_by() -> None:
    """It holds one side at a time."""
    venue = Venue([FLAT] * 4)
    venue.buy(3.0)
    venue.go_to(1)

    assert close_by(venue) == "close_by"


def test_a_position_that_is_gone_before_the_open_leaves_the_other_alone() -> None:
    """The order is cancelled; nothing else happens."""
    venue = both_sides()
    venue.close("o2")
    close_by(venue)
    venue.go_to(2)

    ended = venue.broker.orders()[-1]

    assert (ended.state, ended.code) == (OrderState.CANCELLED, "nothing_to_reduce")
    assert [each.volume for each in venue.broker.positions("AAA")] == [3.0]
