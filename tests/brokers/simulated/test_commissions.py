"""Commission by order, by role in the book and with a minimum."""

import pytest

from src.brokers.simulated import Commission
from tests.brokers.simulated.accounts import AccountVenue, Prices, still


def venue_with(commission: Commission, bars: list[Prices] | None = None) -> AccountVenue:
    """The symbol `AAA` at 100."""
    return AccountVenue({"AAA": bars or [still(100)] * 4}, commission=commission)


def test_a_maker_pays_another_percentage_than_a_taker() -> None:
    """The limit waited in the book, the market order did not."""
    venue = venue_with(Commission(0.1, maker_percent=0.02), [still(100), still(100), [100, 100, 98, 99], still(99)])

    venue.buy(10)
    venue.buy(10, limit=99.0)
    venue.run()

    assert [fill.commission for fill in venue.fills] == [pytest.approx(1.0), pytest.approx(0.198)]


def test_a_target_is_a_maker_and_a_stop_is_a_taker() -> None:
    """Both are orders of the venue."""
    commission = Commission(0.1, maker_percent=0.02)
    won = venue_with(commission, [still(100), still(100), [100, 111, 100, 110], still(110)])
    won.buy(10, target=110.0)
    lost = venue_with(commission, [still(100), still(100), [100, 100, 89, 90], still(90)])
    lost.buy(10, stop=90.0)

    assert [fill.commission for fill in won.run().fills] == [pytest.approx(1.0), pytest.approx(0.22)]
    assert [fill.commission for fill in lost.run().fills] == [pytest.approx(1.0), pytest.approx(0.9)]


def test_a_limit_that_was_in_the_market_when_it_was_placed_is_a_taker() -> None:
    """It never waited."""
    venue = venue_with(Commission(0.1, maker_percent=0.02))

    venue.buy(10, limit=101.0)
    venue.run()

    assert venue.fills[0].commission == pytest.approx(1.0)


def test_an_order_pays_at_least_the_minimum() -> None:
    """0.1 percent of 1,000 is 1, of 8,000 it is 8."""
    venue = venue_with(Commission(0.1, minimum=5.0))

    venue.buy(10)
    venue.go_to(1)
    venue.buy(80)
    venue.run()

    assert [fill.commission for fill in venue.fills] == [5.0, pytest.approx(8.0)]


def test_an_order_pays_its_fixed_part_once_though_it_closes_and_opens() -> None:
    """A reversal is one order with two executions."""
    venue = venue_with(Commission(per_trade=2.0))

    venue.buy(10)
    venue.go_to(1)
    venue.sell(10, reverse=True)
    venue.run()

    assert [fill.kind for fill in venue.fills] == ["entry", "reverse", "entry"]
    assert [fill.commission for fill in venue.fills] == [2.0, 2.0, 0.0]
    assert venue.account.balance == 9_996.0


def test_the_minimum_counts_for_an_order_and_not_for_its_parts() -> None:
    """The first part pays 5 for a commission of 1, the second adds what goes beyond: 1 + 9 - 5."""
    venue = venue_with(Commission(0.1, minimum=5.0))

    venue.buy(10)
    venue.go_to(1)
    venue.sell(90, reverse=True)
    venue.run()

    assert [fill.commission for fill in venue.fills] == [5.0, 5.0, pytest.approx(5.0)]


def test_the_minimum_is_tested_against_the_free_margin() -> None:
    """A balance of 103 cannot pay for 100 and a commission of 5."""
    venue = AccountVenue(
        {"AAA": [still(100)] * 3}, account={"balance": 103}, commission=Commission(minimum=5.0)
    )  # fmt: skip

    result = venue.buy(1)

    assert result.code == "margin"
