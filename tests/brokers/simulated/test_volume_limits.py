"""At most a share of a bar's volume fills on that bar."""

from typing import Any

import numpy as np
import pytest

from src.brokers.simulated import Slippage
from src.core.records import OrderState, TimeInForce
from tests.brokers.simulated.venue import Prices, Venue

FLAT: Prices = [100.0, 100.0, 100.0, 100.0]


def venue(bars: list[Prices], volumes: list[float], *, share: float = 0.1, **more: Any) -> Venue:
    """A venue whose bars have these volumes; the first bar is past when the story begins."""
    costs = {"volume_share": share, **more.pop("costs", {})}
    world = Venue([FLAT, *bars], costs=costs, instrument={"volume_step": 0.5}, **more)
    series = world.broker.base_series("AAA")
    series.volume[:] = np.array(volumes)
    return world


def executions(world: Venue) -> list[tuple[str, float, float]]:
    """Kind, volume and price of each execution."""
    return [(fill.kind, fill.volume, fill.price) for fill in world.fills]


def test_a_market_order_fills_in_parts_from_open_to_open() -> None:
    """Each part is a share of the volume of the bar before the open, because of the new bar only the open is known."""
    world = venue([[101.0] * 4, [102.0] * 4, [103.0] * 4, [104.0] * 4], [20, 10, 0, 999, 999])

    world.buy(5)
    world.run()

    assert executions(world) == [("entry", 2.0, 101.0), ("entry", 1.0, 102.0), ("entry", 2.0, 104.0)]
    (order,) = world.broker.orders()
    assert (order.state, order.filled_volume) == (OrderState.FILLED, 5.0)
    assert order.average_price == pytest.approx(102.4)
    assert [fill.fill_id for fill in world.fills] == ["o1-1", "o1-2", "o1-3"]


def test_a_limit_fills_what_its_bar_has_and_the_rest_waits() -> None:
    """The part is told at the bar's close; the order is partly filled until a later bar brings the rest."""
    world = venue([[100, 100, 98, 100], FLAT, [100, 100, 98, 100]], [0, 20, 20, 90])

    world.buy(3, limit=99.0)
    world.go_to(2)
    (partly,) = world.broker.snapshot().orders
    world.run()

    assert (partly.state, partly.filled_volume) == (OrderState.PARTLY_FILLED, 2.0)
    assert executions(world) == [("entry", 2.0, 99.0), ("entry", 1.0, 99.0)]
    assert world.position.volume == 3.0


def test_orders_share_the_volume_of_a_bar_in_the_order_of_their_fills() -> None:
    """What the first one takes is not there for the second one."""
    world = venue([[100, 100, 98, 100], FLAT], [0, 30, 0])

    world.buy(2, limit=99.0)
    world.buy(2, limit=99.0)
    world.run()

    assert [(fill.order_id, fill.volume) for fill in world.fills] == [("o1", 2.0), ("o2", 1.0)]


@pytest.mark.parametrize(
    ("force", "filled"), [(TimeInForce.IOC, [("entry", 2.0, 101.0)]), (TimeInForce.FOK, [])]
)  # fmt: skip
def test_an_order_that_takes_what_it_gets_at_once_does_not_wait(force: TimeInForce, filled: list[Any]) -> None:
    """Immediate or cancel keeps its part, fill or kill takes all or nothing."""
    world = venue([[101.0] * 4, [102.0] * 4], [20, 20, 20])

    world.buy(5, time_in_force=force)
    world.run()

    (order,) = world.broker.orders()
    assert executions(world) == filled
    assert (order.state, order.code) == (OrderState.CANCELLED, force)


def test_a_stop_entry_goes_on_as_a_market_order() -> None:
    """Once its trigger was reached the rest takes the next opens, although the price has come back."""
    world = venue([[100, 102, 100, 100], [100.5] * 4, [100.25] * 4], [0, 10, 20, 0])

    world.buy(4, trigger=101.0)
    world.run()

    assert executions(world) == [("entry", 1.0, 101.0), ("entry", 2.0, 100.25)]
    assert [order.request.type for order in world.broker.orders()] == ["market"]


def test_the_rest_of_a_stopped_position_is_closed_from_the_next_open_on() -> None:
    """The trade ends with the last part; the price that came back does not save it."""
    world = venue([FLAT, [100, 100, 97, 99], [99.5] * 4, [99.0] * 4], [100, 100, 20, 20, 20])

    world.buy(4, stop=98.0)
    world.run()

    assert executions(world) == [("entry", 4.0, 100.0), ("stop", 2.0, 98.0), ("stop", 2.0, 99.0)]
    (trade,) = world.trades
    assert (trade.net, trade.exit_kind) == (-6.0, "stop")


def test_a_stop_whose_bar_has_no_volume_is_closed_at_the_next_open_that_has() -> None:
    """Nothing fills on a bar without volume, and the open after it is waited for."""
    world = venue([FLAT, [100, 100, 97, 99], [99.5] * 4, [99.0] * 4, [98.5] * 4], [100, 100, 0, 0, 100, 0])

    world.buy(4, stop=98.0)
    world.run()

    assert executions(world) == [("entry", 4.0, 100.0), ("stop", 4.0, 98.5)]


def test_a_target_fills_in_parts_and_keeps_its_price() -> None:
    """It is a limit: what is left waits for the price to come back."""
    world = venue([FLAT, [100, 103, 100, 101], [101.0] * 4, [101, 103, 101, 102]], [100, 100, 20, 50, 50])

    world.buy(4, stop=90.0, target=102.0)
    world.run()

    assert executions(world) == [("entry", 4.0, 100.0), ("target", 2.0, 102.0), ("target", 2.0, 102.0)]
    assert len({fill.fill_id for fill in world.fills}) == 3


def test_a_reversal_in_parts_first_closes_and_then_opens() -> None:
    """The order ends when what it was to open is open."""
    world = venue([FLAT, [101.0] * 4, [102.0] * 4, [103.0] * 4], [100, 10, 20, 20, 20])

    world.buy(2)
    world.go_to(1).sell(2, reverse=True)
    world.run()

    assert executions(world)[1:] == [("reverse", 1.0, 101.0), ("reverse", 1.0, 102.0), ("entry", 1.0, 102.0),
                                     ("entry", 1.0, 103.0)]  # fmt: skip
    assert world.position.volume == -2.0
    assert world.broker.orders()[-1].state is OrderState.FILLED


def test_the_parts_of_one_order_of_a_hedging_account_are_one_position() -> None:
    """The second part adds to the position that the first one opened."""
    world = venue([[101.0] * 4, [102.0] * 4, FLAT], [10, 10, 10, 10], account={"positions": "hedging"})

    world.buy(2)
    world.run()

    assert [(each.position_id, each.volume) for each in world.broker.positions("AAA")] == [("o1", 2.0)]


def test_a_part_that_comes_after_the_position_was_stopped_opens_another_trade() -> None:
    """Its identity is another one, so two trades never share one."""
    world = venue([[100, 100, 96, 100], FLAT, [100, 100, 98.5, 100], FLAT], [0, 20, 50, 50, 50])

    world.buy(3, limit=99.0, stop=97.0)
    world.run()

    assert executions(world) == [("entry", 2.0, 99.0), ("stop", 2.0, 100.0), ("entry", 1.0, 99.0)]
    assert [trade.trade_id for trade in world.trades] == ["o1"]
    assert world.position.position_id == "o1-2"


def test_a_part_of_an_order_excludes_the_others_of_its_group() -> None:
    """The rest of the one that has filled in part goes on."""
    world = venue([[100, 100, 98, 100], [100, 103, 98, 100]], [0, 10, 100])

    world.buy(3, limit=99.0, group="either")
    world.buy(3, trigger=102.0, group="either")
    world.run()

    ended = {order.order_id: (order.state, order.code, order.filled_volume) for order in world.broker.orders()}
    assert ended == {"o1": (OrderState.FILLED, "", 3.0), "o2": (OrderState.CANCELLED, "group", 0.0)}


def test_what_is_large_beside_the_volume_slips_more() -> None:
    """A tenth of the bar's volume slips a tenth of what the whole volume would."""
    slippage = Slippage(points=0.5, volume_share=10.0)

    assert slippage.of(200.0) == 0.5
    assert slippage.impact(200.0, 3.0, 30.0) == pytest.approx(2.0)
    assert slippage.impact(200.0, 60.0, 30.0) == slippage.impact(200.0, 1.0, 0.0) == pytest.approx(20.0)
