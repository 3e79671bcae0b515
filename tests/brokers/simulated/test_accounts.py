"""Hedging and spot accounts, and margin on all of them."""

import pytest

from src.core.errors import InternalError
from src.core.records import OrderState
from tests.brokers.simulated.venue import Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]


def flat(price: float) -> Prices:
    """A bar that stands at one price."""
    return [price, price, price, price]


def test_a_hedging_account_holds_two_sides_at_once() -> None:
    """Each entry opens a position of its own; their sum is what the book holds."""
    venue = Venue([FLAT, flat(100), flat(110), flat(110)], account={"positions": "hedging"})

    venue.buy(3)
    venue.sell(1)
    venue.go_to(1)

    held = [(position.position_id, position.volume) for position in venue.broker.positions("AAA")]
    assert held == [("o1", 3.0), ("o2", -1.0)]
    assert venue.position.volume == 2.0


def test_a_hedging_account_closes_a_position_by_its_identity() -> None:
    """The other one stays as it is."""
    venue = Venue([FLAT, flat(100), flat(110), flat(110)], account={"positions": "hedging"})

    venue.buy(3)
    venue.sell(1)
    venue.go_to(1).close("o2")
    venue.run()

    assert [position.position_id for position in venue.broker.positions("AAA")] == ["o1"]
    assert [(trade.trade_id, trade.net) for trade in venue.trades] == [("o2", -10.0)]


def test_each_position_of_a_hedging_account_has_stops_of_its_own() -> None:
    """One bar takes the long's stop and leaves the short."""
    bars = [FLAT, flat(100), [100, 100, 97, 98], flat(98)]
    venue = Venue(bars, account={"positions": "hedging"})

    venue.buy(1, stop=98.0)
    venue.sell(1, stop=105.0)
    venue.run()

    assert [fill.kind for fill in venue.fills] == ["entry", "entry", "stop"]
    assert [position.volume for position in venue.broker.positions("AAA")] == [-1.0]


def test_a_hedging_account_pays_margin_for_both_sides() -> None:
    """Opposite positions do not net in margin."""
    venue = Venue([FLAT, flat(100), flat(100)], account={"positions": "hedging", "leverage": 2})

    venue.buy(3)
    venue.sell(1)
    venue.go_to(1)

    assert venue.account.margin_used == 200.0


def test_a_reducing_order_without_an_identity_reduces_nothing_on_a_hedging_account() -> None:
    """Which position is meant has to be said; nothing is opened instead."""
    venue = Venue([FLAT, flat(100), flat(110), flat(110)], account={"positions": "hedging"})

    venue.buy(3)
    venue.go_to(1).sell(1, reduce_only=True)
    venue.run()

    assert [position.volume for position in venue.broker.positions("AAA")] == [3.0]
    assert venue.broker.orders()[-1].code == "nothing_to_reduce"


def test_a_spot_account_pays_the_whole_price_and_the_fee_in_the_quote_currency() -> None:
    """The volume that was bought arrives whole."""
    venue = Venue([FLAT, flat(100), flat(100)], account={"type": "spot"}, costs={"commission_percent": 0.1})

    venue.buy(10)
    venue.go_to(1)

    assert venue.position.volume == 10.0
    assert (venue.account.balance, venue.account.margin_free) == (9_999.0, 8_999.0)


def test_a_spot_account_sells_what_it_holds_and_no_more() -> None:
    """A sale above the holding is refused at once; a sale of the holding fills."""
    venue = Venue([FLAT, flat(100), flat(110), flat(110)], account={"type": "spot"})

    venue.buy(2)
    venue.go_to(1)

    assert venue.sell(3).code == "short_on_spot"
    assert venue.sell(2).accepted
    venue.run()
    assert (venue.position.volume, venue.account.balance) == (0.0, 10_020.0)


def test_two_sales_of_one_spot_holding_do_not_go_short() -> None:
    """Both were possible when they were placed; the second one finds nothing left."""
    venue = Venue([FLAT, flat(100), flat(110), flat(110)], account={"type": "spot"})

    venue.buy(2)
    venue.go_to(1).sell(2)
    venue.sell(2)
    venue.run()

    assert venue.position.is_flat
    last = venue.broker.orders()[-1]
    assert (last.state, last.code) == (OrderState.REJECTED, "short_on_spot")


def test_a_reversal_on_a_spot_account_sells_what_is_held_and_opens_nothing() -> None:
    """The closing part is done, the short part is rejected."""
    venue = Venue([FLAT, flat(100), flat(110), flat(110)], account={"type": "spot"})

    venue.buy(2)
    venue.go_to(1)
    assert venue.sell(5, reverse=True).accepted
    venue.run()

    assert [(fill.kind, fill.volume) for fill in venue.fills] == [("entry", 2.0), ("reverse", 2.0)]
    assert (venue.position.volume, venue.broker.orders()[-1].code) == (0.0, "short_on_spot")


def test_working_entries_reserve_margin() -> None:
    """A second order is judged by what the first one leaves; cancelling the first makes room."""
    venue = Venue([FLAT, flat(100), flat(100)])

    first = venue.buy(60, limit=100.0)
    assert venue.buy(60, limit=90.0).code == "margin"
    venue.broker.cancel(first.order_id)

    assert venue.buy(60, limit=90.0).accepted


def test_a_reversal_needs_margin_only_for_what_it_adds() -> None:
    """The margin of the position that it closes is counted as its own."""
    venue = Venue([FLAT, flat(100), flat(100), flat(100)])

    venue.buy(95)
    venue.go_to(1)

    assert venue.sell(95, reverse=True).accepted
    venue.run()
    assert venue.position.volume == -95.0


def test_closing_needs_no_margin() -> None:
    """An account that lost nearly everything may still get out."""
    venue = Venue([FLAT, flat(100), flat(1), flat(1), flat(1)])

    venue.buy(100)
    venue.go_to(1)
    assert venue.close().accepted
    venue.run()

    assert (venue.position.volume, venue.account.balance) == (0.0, 100.0)


def test_margin_of_two_orders_is_tested_at_the_fill_one_after_the_other() -> None:
    """The first takes what the gap has left, the second is rejected, whatever was reserved before."""
    venue = Venue([FLAT, flat(110), flat(110)])

    venue.buy(49)
    venue.buy(49)
    venue.run()

    assert [order.state.value for order in venue.broker.orders()] == ["filled", "rejected"]
    assert venue.position.volume == 49.0


@pytest.mark.parametrize(("leverage", "used"), [(1, 1_000.0), (4, 250.0)])
def test_margin_in_use_follows_the_last_price(leverage: float, used: float) -> None:
    """The notional at the last price, divided by the leverage."""
    venue = Venue([FLAT, [100, 100, 100, 50], flat(50)], account={"leverage": leverage})

    venue.buy(20)
    venue.go_to(1)

    assert venue.account.margin_used == used / 1.0
    assert venue.account.margin_free == venue.account.equity - used


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(
    "costs",
    [{"spread_percent": 0.2}, {"slippage_percent": 0.1}, {"commission_percent": 0.1}, {"spread_points": 0.1}],
)
def test_a_fill_never_leaves_less_equity_than_margin(side: str, costs: dict[str, float]) -> None:
    """What spread, slippage and commission of the fill itself take is counted before it happens."""
    free = []
    for volume in range(970, 1001):
        venue = Venue([FLAT, flat(100), flat(100)], account={"leverage": 10}, costs=costs)
        venue.place(side, volume=float(volume))
        venue.go_to(0)
        free.append((bool(venue.fills), venue.account.margin_free))

    assert min(left for _, left in free) >= 0.0
    assert {filled for filled, _ in free} == {True, False}


@pytest.mark.parametrize(("opening", "closing", "state"), [(110, 80, "rejected"), (90, 120, "filled")])
@pytest.mark.parametrize("names", [("AAA", "BBB"), ("BBB", "AAA")])
def test_margin_inside_a_bar_is_tested_at_the_opens(
    opening: float, closing: float, state: str, names: tuple[str, str]
) -> None:
    """What the bar's close will bring to another position is not known yet when an order fills inside the bar."""
    table = {
        "AAA": [FLAT, flat(100), [100.0, 100.0, 95.0, 100.0], flat(100)],
        "BBB": [FLAT, flat(100), [opening, max(opening, closing), min(opening, closing), closing], flat(closing)],
    }
    venue = Venue({name: table[name] for name in names})
    venue.sell(50, symbol="BBB")
    venue.go_to(1)

    assert venue.buy(45, limit=99.0).accepted
    venue.go_to(2)

    assert venue.broker.orders()[1].state.value == state


def test_a_balance_that_does_not_add_up_stops_the_run() -> None:
    """Money that appears from nowhere is found at the next execution."""
    venue = Venue([FLAT, flat(100), flat(100)])
    venue.buy(1)

    venue.broker._venue.desks[0].realised += 0.01

    with pytest.raises(InternalError, match="balance"):
        venue.run()
