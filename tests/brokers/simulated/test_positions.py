"""What orders make of a netting position: averages, parts, reversals, risk, costs and money."""

import pytest

from src.core.records import OrderState
from tests.brokers.simulated.venue import Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]


def flat(price: float) -> Prices:
    """A bar that stands at one price."""
    return [price, price, price, price]


def test_additions_average_the_price_by_volume() -> None:
    """1 at 100 and 3 at 104 are 4 at 103, under the identity of the first."""
    venue = Venue([FLAT, flat(100), flat(104), flat(104)])

    venue.buy(1)
    venue.go_to(1).buy(3)
    venue.go_to(2)

    position = venue.position
    assert (position.volume, position.entry_price, position.position_id) == (4.0, 103.0, "o1")


def test_partial_closes_belong_to_one_trade_with_prorated_profit() -> None:
    """Each part realises its share at the average price; the trade appears when the book is flat."""
    venue = Venue([FLAT, flat(100), flat(110), flat(120), flat(120)], costs={"commission_per_unit": 0.5})

    venue.buy(4)
    venue.go_to(1).close(volume=1)
    venue.go_to(1.5)
    balance_after_part = venue.account.balance
    assert venue.trades == []
    venue.go_to(2).close()
    venue.run()

    (trade,) = venue.trades
    assert balance_after_part == 10_000 - 4 * 0.5 + 10 - 0.5
    assert (trade.volume, trade.entry_price, trade.exit_price) == (4.0, 100.0, 117.5)
    assert (trade.gross, trade.commission, trade.net) == (70.0, 4.0, 66.0)
    assert venue.account.balance == 10_066.0


def test_closing_more_than_is_held_closes_what_is_held() -> None:
    """A close never turns the position around."""
    venue = Venue([FLAT, flat(100), flat(101), flat(102)])

    venue.buy(2)
    venue.go_to(1).close(volume=5)
    venue.run()

    assert [(fill.kind, fill.volume) for fill in venue.fills] == [("entry", 2.0), ("exit", 2.0)]
    assert venue.position.is_flat


def test_two_closes_of_one_position_close_it_once() -> None:
    """The second close finds nothing to reduce and is cancelled; nothing is opened by it."""
    venue = Venue([FLAT, flat(100), flat(101), flat(102)])

    venue.buy(2)
    venue.go_to(1).close()
    venue.close()
    venue.run()

    assert [fill.kind for fill in venue.fills] == ["entry", "exit"]
    last = venue.broker.orders()[-1]
    assert (last.state, last.code) == (OrderState.CANCELLED, "nothing_to_reduce")


def test_a_late_close_does_not_touch_the_next_position() -> None:
    """A close names its position: when that one was stopped out, a position opened since then stays."""
    venue = Venue([FLAT, flat(100), [100, 100, 89, 95], flat(95), flat(95)])

    venue.buy(1, stop=95.0)
    venue.go_to(1).buy(1, limit=90.0)
    venue.go_to(2)
    late = venue.request("sell", reduce_only=True, position_id="o1")
    assert venue.broker.place(late).accepted
    venue.run()

    assert [(fill.kind, fill.price) for fill in venue.fills] == [("entry", 100.0), ("stop", 95.0), ("entry", 90.0)]
    assert venue.position.volume == 1.0


@pytest.mark.parametrize("held", [1.0, 3.0])
def test_a_reversal_closes_all_that_is_held_and_opens_its_own_volume(held: float) -> None:
    """Close and entry are two fills of one order with the same price; they make one trade and one new position."""
    venue = Venue([FLAT, flat(100), flat(110), flat(110)])

    venue.buy(held)
    venue.go_to(1).sell(2, reverse=True)
    venue.run()

    fills = [(fill.fill_id, fill.kind, fill.volume, fill.price) for fill in venue.fills[1:]]
    assert fills == [("o2-1", "reverse", held, 110.0), ("o2-2", "entry", 2.0, 110.0)]
    assert (venue.position.volume, venue.position.position_id) == (-2.0, "o2")
    assert [trade.net for trade in venue.trades] == [10.0 * held]


def test_a_reversal_on_the_side_that_is_held_adds() -> None:
    """There is nothing on the other side to close."""
    venue = Venue([FLAT, flat(100), flat(110), flat(110)])

    venue.buy(1)
    venue.go_to(1).buy(2, reverse=True)
    venue.run()

    assert (venue.position.volume, [fill.kind for fill in venue.fills]) == (3.0, ["entry", "entry"])


def test_a_reversal_without_margin_leaves_its_closing_part_done() -> None:
    """The position is closed, the opening part is rejected, and the order says so."""
    venue = Venue([FLAT, flat(100), flat(100), flat(120), flat(120)])
    venue.buy(1)
    venue.go_to(2)
    assert venue.sell(99, reverse=True).accepted
    venue.run()

    assert [fill.kind for fill in venue.fills] == ["entry", "reverse"]
    assert venue.position.is_flat
    order = venue.broker.orders()[-1]
    assert (order.state, order.code) == (OrderState.REJECTED, "margin")
    assert venue.account.balance == 10_020.0


def test_an_opposite_order_of_larger_volume_nets_and_then_opens_the_rest() -> None:
    """Without `reverse` the volume counts as a whole; the two fills have identities of their own."""
    venue = Venue([FLAT, flat(100), flat(110), flat(110)])

    venue.buy(1)
    venue.go_to(1).sell(3)
    venue.run()

    fills = [(fill.fill_id, fill.volume) for fill in venue.fills[1:]]
    assert fills == [("o2-1", 1.0), ("o2-2", 2.0)]
    assert venue.position.volume == -2.0
    assert [event.order.state.value for event in venue.events()] == ["filled", "partly_filled", "filled"]


def test_an_entry_inside_a_bar_that_reverses_meets_its_own_stop_on_that_bar() -> None:
    """The position that a resting order turned around is guarded on its entry bar like any other."""
    venue = Venue([FLAT, flat(100), [100, 104, 94, 103], flat(103)])

    venue.buy(1)
    venue.go_to(1).sell(1, trigger=95.0, stop=102.0, reverse=True)
    venue.run()

    assert venue.told() == ["entry 100 @0", "reverse 95 @2 from 1", "entry 95 @2 from 1", "stop 102 @2 from 1"]


def test_an_addition_inside_a_bar_brings_its_stop_to_the_whole_position() -> None:
    """The stop that comes with an addition counts on the bar of the addition already, by the worst path."""
    venue = Venue([FLAT, flat(100), [100, 106, 99.5, 105], flat(105)])

    venue.buy(1, stop=90.0)
    venue.go_to(1).buy(1, trigger=104.0, stop=102.0)
    venue.run()

    assert venue.told() == ["entry 100 @0", "entry 104 @2 from 1", "stop 102 @2 from 1 or 105"]
    assert venue.fills[-1].volume == 2.0


def test_net_is_gross_minus_costs_and_the_entry_fee_is_in_it() -> None:
    """Gross is measured at mid prices; spread, slippage and both commissions are taken off, and the balance agrees."""
    costs = {"commission_percent": 0.1, "slippage_points": 0.05, "spread_percent": 0.2}
    venue = Venue([FLAT, flat(100), flat(110), flat(110)], costs=costs)

    venue.buy(2)
    venue.go_to(1).close()
    venue.run()

    (trade,) = venue.trades
    bought, sold = 100 * 1.001 + 0.05, 110 * 0.999 - 0.05
    assert trade.gross == pytest.approx(2 * (110 - 100), abs=1e-9)
    assert trade.spread_cost == pytest.approx(2 * (0.1 + 0.11), abs=1e-9)
    assert trade.slippage_cost == pytest.approx(2 * 0.1, abs=1e-9)
    assert trade.commission == pytest.approx(2 * (bought + sold) * 0.001, abs=1e-9)
    assert trade.net == pytest.approx(2 * (sold - bought) - trade.commission, abs=1e-9)
    assert venue.account.balance == pytest.approx(10_000 + trade.net, abs=1e-9)


def test_r_counts_the_distance_to_the_initial_stop_and_the_cost_of_getting_out() -> None:
    """Risk is fixed at the entry; moving the stop later does not change it."""
    venue = Venue([FLAT, flat(100), flat(104), flat(104)], costs={"slippage_points": 0.5})

    venue.buy(2, stop=97.0, stop_cost=0.5)
    venue.go_to(1)
    venue.broker.protect(venue.position.position_id, stop=103.0)
    venue.close()
    venue.run()

    (trade,) = venue.trades
    assert trade.risk == 2 * (100.5 - 97.0 + 0.5)
    assert trade.r == pytest.approx((2 * (103.5 - 100.5)) / 8.0)


def test_an_ambiguous_exit_gives_the_trade_a_worst_and_a_best_result() -> None:
    """The stop was assumed; the target was possible; the unambiguous trade has one result only."""
    venue = Venue([FLAT, flat(100), [100, 103, 97, 100], [100, 100, 97, 100], flat(100)])

    venue.buy(2, stop=98.0, target=102.0)
    venue.go_to(2).buy(1, stop=98.0, target=102.0)
    venue.run()

    first, second = venue.trades
    assert (first.ambiguous, first.net_worst, first.net, first.net_best) == (True, -4.0, -4.0, 4.0)
    assert (second.ambiguous, second.net_worst, second.net, second.net_best) == (False, -2.0, -2.0, -2.0)


def test_equity_marks_a_position_at_the_price_that_would_close_it() -> None:
    """A long is worth the bid and a short the ask."""
    for side, expected in (("buy", 10_000 + 5 - 0.2), ("sell", 10_000 - 5 - 0.2)):
        venue = Venue([FLAT, [100, 105, 100, 105], flat(105)], costs={"spread_points": 0.2})
        venue.place(side)
        venue.go_to(1)

        assert venue.broker.equity() == pytest.approx(expected, abs=1e-9)


def test_equity_does_not_depend_on_the_order_of_the_symbols() -> None:
    """The same trades with the symbols listed the other way round give the same floats."""
    bars = {f"S{i}": [FLAT, flat(100.1 + i * 0.07), flat(100.3 + i * 0.11), flat(99.7 + i * 0.13)] for i in range(6)}
    seen = []
    for names in (sorted(bars), sorted(bars, reverse=True)):
        venue = Venue({name: bars[name] for name in names}, costs={"commission_percent": 0.03})
        for i, name in enumerate(names):
            venue.buy(1 + 0.1 * int(name[1]), symbol=name, client_id=f"c{i}")
        venue.run()
        seen.append((venue.account.equity, venue.account.balance))

    assert seen[0] == seen[1]


def test_the_balance_is_the_start_plus_all_that_was_realised_after_each_fill() -> None:
    """At every step the balance is the sum of the trades' nets, less the fees of what is still open."""
    bars: list[Prices] = [FLAT, *([100 + i, 103 + i, 98 + i, 101 + i] for i in range(12))]
    venue = Venue(bars, costs={"commission_percent": 0.05, "slippage_points": 0.01})
    for minute in range(11):
        side = "buy" if minute % 3 else "sell"
        venue.place(side, volume=1 + minute % 4, reverse=bool(minute % 2))
        venue.go_to(minute + 1)

        closed = sum(trade.net for trade in venue.trades)
        held = {venue.position.position_id}
        fees = sum(fill.commission for fill in venue.fills if fill.position_id in held)
        parts = sum(
            (fill.price - venue.position.entry_price) * fill.volume * -fill.side.sign
            for fill in venue.fills
            if fill.position_id in held and fill.kind != "entry"
        )
        assert venue.account.balance == pytest.approx(10_000 + closed - fees + parts, abs=1e-9)


@pytest.mark.parametrize("account", ["margin", "spot"])
@pytest.mark.parametrize("parts", [(0.1, 0.7), (0.1, 0.2), (0.7, 0.1, 0.3, 1.1)])
def test_selling_the_sum_of_what_was_bought_leaves_nothing(account: str, parts: tuple[float, ...]) -> None:
    """In floats 0.1 + 0.7 is not 0.8; the difference is no short and no second trade."""
    venue = Venue([FLAT, flat(100), flat(100), flat(100)], account={"type": account}, instrument={"volume_step": 0.1})
    for part in parts:
        venue.buy(part)
    venue.go_to(1)

    assert venue.sell(round(sum(parts), 1)).accepted
    venue.run()

    assert venue.position.is_flat
    assert [fill.kind for fill in venue.fills] == ["entry"] * len(parts) + ["exit"]
    assert [event.order.state for event in venue.events()] == [OrderState.FILLED] * (len(parts) + 1)
    assert len(venue.trades) == 1


def test_an_order_one_step_beyond_the_holding_opens_that_step() -> None:
    """Only float noise is forgiven, not the least volume that can be traded."""
    venue = Venue([FLAT, flat(100), flat(100), flat(100)], instrument={"volume_step": 1e-8})

    venue.buy(1.0)
    venue.go_to(1).sell(1.00000001)
    venue.run()

    assert venue.position.volume == pytest.approx(-1e-8, rel=1e-6)
