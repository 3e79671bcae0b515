"""Margin by tiers, margin calls, stop-outs on the path of a bar, and debts that are let go."""

from dataclasses import replace

import pytest

from src.core.instrument import MarginTier
from tests.brokers.simulated.accounts import AccountVenue, Prices, still
from tests.brokers.simulated.venue import tell

TIERS = (MarginTier(0.0, 100.0, 0.5), MarginTier(10_000.0, 10.0, 5.0))


def leveraged(bars: list[Prices], volume: float, **account: object) -> AccountVenue:
    """A long position of a symbol at 100 on 1,000 USD with a leverage of 20, bought at the first open."""
    venue = AccountVenue({"AAA": bars}, account={"balance": 1_000, "leverage": 20, **account})
    assert venue.buy(volume).accepted
    return venue


def test_a_symbol_has_a_leverage_of_its_own() -> None:
    """It stands in for the account's."""
    venue = AccountVenue({"AAA": [still(100)] * 3}, symbols={"AAA": {"margin_tiers": (MarginTier(0.0, 50.0),)}})

    venue.buy(10)
    venue.go_to(1)

    assert venue.account.margin_used == 20.0


def test_each_part_of_a_notional_pays_its_own_tier() -> None:
    """10,000 at 100:1 and 15,000 at 10:1."""
    venue = AccountVenue({"AAA": [still(100)] * 3}, symbols={"AAA": {"margin_tiers": TIERS}})

    venue.buy(250)
    venue.go_to(1)

    assert venue.account.margin_used == pytest.approx(100 + 1_500, abs=1e-9)


def test_an_order_is_judged_by_the_tier_that_the_whole_position_reaches() -> None:
    """The first 100 units need 100, the next 1,000 units need 10,000 more."""
    venue = AccountVenue({"AAA": [still(100)] * 4}, symbols={"AAA": {"margin_tiers": TIERS}})

    assert venue.buy(100).accepted
    venue.go_to(1)

    assert venue.buy(1_000).code == "margin"
    assert venue.buy(900).accepted


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("books", ["own", "virtual"])
def test_turning_around_more_than_can_be_paid_for_is_refused_and_closes_nothing(books: str, reverse: bool) -> None:
    """50 long tie up 500 of 1,000; 150 short need 1,500, whoever's books they are in."""
    account = {"balance": 1_000, "leverage": 10, "books": books, "stop_out_percent": 50}
    venue = AccountVenue({"AAA": [still(100)] * 4}, account=account)

    venue.buy(50)
    venue.go_to(1)
    result = venue.sell(150 if reverse else 200, reverse=reverse)
    venue.run()

    assert (result.code, result.message) == ("margin", "the order needs 1000.00 and 500.00 is free")
    assert venue.position.volume == 50.0


def test_turning_around_is_judged_by_the_tier_that_the_other_side_reaches() -> None:
    """Of 150 short 100 pay 100:1 and 50 pay 10:1; 100 long tie up a sixth of the money."""
    tiers = (MarginTier(0.0, 100.0), MarginTier(10_000.0, 10.0))
    venue = AccountVenue({"AAA": [still(100)] * 4}, account={"balance": 600}, symbols={"AAA": {"margin_tiers": tiers}})

    venue.buy(100)
    venue.go_to(1)

    assert venue.sell(251).code == "margin"
    assert venue.sell(250).accepted


def test_working_entries_of_a_symbol_reserve_margin_by_the_tier_that_they_reach_together() -> None:
    """Two orders of 10,000 each: the second one has only the dear tier left."""
    venue = AccountVenue(
        {"AAA": [still(100)] * 3}, account={"balance": 1_200}, symbols={"AAA": {"margin_tiers": TIERS}}
    )

    assert venue.buy(100, limit=99.0).accepted
    assert venue.buy(100, limit=98.0).accepted
    assert venue.buy(20, limit=97.0).code == "margin"


def test_a_stop_out_inside_a_bar_fills_where_the_level_is_reached() -> None:
    """100 at 20:1: equity 1,000 - 100 x is half of the margin 5 x (100 - x) at 92.30769...; the bar goes to 90."""
    bars = [still(100), still(100), [99, 99.5, 90, 91], still(91)]
    venue = leveraged(bars, 100, stop_out_percent=50)

    venue.run()

    price = 9_000 / 97.5
    assert [fill.kind for fill in venue.fills] == ["entry", "stop_out"]
    assert venue.fills[1].price == pytest.approx(price, abs=1e-9)
    assert venue.fills[1].ambiguous
    assert venue.fills[1].other_price == 91.0
    assert tell(replace(venue.fills[1], price=0.0)).startswith("stop_out 0 @2 from 1")
    level, equity, needed = venue.recorded("margin")[0][1:]
    assert level == pytest.approx(50)
    assert equity == pytest.approx(needed / 2)


def test_a_gap_stops_out_at_the_open_without_doubt() -> None:
    """The first price of the bar is already below the level."""
    venue = leveraged([still(100), still(100), [91, 99, 90.5, 98], still(98)], 100, stop_out_percent=50)

    venue.run()

    assert venue.told() == ["entry 100 @0", "stop_out 91 @2 from 1"]


def test_without_a_level_nothing_is_closed() -> None:
    """The same bars; the account goes below nothing."""
    venue = leveraged([still(100), still(100), [91, 99, 89, 89]], 100)

    venue.run()

    assert venue.told() == ["entry 100 @0"]
    assert venue.account.equity == -100.0


def test_a_short_position_is_stopped_out_on_the_way_up() -> None:
    """Equity 1,000 + 100 (100 - p) is half of 5 p at 107.3..."""
    bars = {"AAA": [still(100), still(100), [101, 110, 100.5, 101]]}
    venue = AccountVenue(bars, account={"balance": 1_000, "leverage": 20, "stop_out_percent": 50})

    venue.sell(100)
    venue.run()

    assert venue.fills[1].kind == "stop_out"
    assert venue.fills[1].price == pytest.approx(11_000 / 102.5, abs=1e-9)


def test_a_stop_on_the_way_is_reached_before_the_stop_out() -> None:
    """The stop at 95 lies above the price of the stop-out."""
    bars = {"AAA": [still(100), still(100), [99, 99.5, 90, 91], still(91)]}
    venue = AccountVenue(bars, account={"balance": 1_000, "leverage": 20, "stop_out_percent": 50})

    venue.buy(100, stop=95.0)
    venue.run()

    assert venue.told() == ["entry 100 @0", "stop 95 @2 from 1"]


def test_a_stop_beyond_the_stop_out_is_not_reached() -> None:
    """The stop at 91 would come too late; the level and not the stop closes."""
    bars = {"AAA": [still(100), still(100), [99, 99.5, 90, 91], still(91)]}
    venue = AccountVenue(bars, account={"balance": 1_000, "leverage": 20, "stop_out_percent": 50})

    venue.buy(100, stop=91.0)
    venue.run()

    assert [fill.kind for fill in venue.fills] == ["entry", "stop_out"]


def test_maintenance_margin_of_the_symbol_decides_where_it_is_stated() -> None:
    """0.5 percent of the notional: equity 1,000 - 100 x equals 0.5 (100 - x) at 90.45...: a liquidation price."""
    bars = {"AAA": [still(100), still(100), [99, 99.5, 90, 91], still(91)]}
    venue = AccountVenue(
        bars, account={"balance": 1_000, "leverage": 20, "stop_out_percent": 100},
        symbols={"AAA": {"margin_tiers": (MarginTier(0.0, None, 0.5),)}},
    )  # fmt: skip

    venue.buy(100)
    venue.run()

    assert venue.fills[1].price == pytest.approx(9_000 / 99.5, abs=1e-9)


def test_the_worst_position_goes_first_and_the_rest_stays_when_the_level_is_restored() -> None:
    """Both fall inside one bar; closing the one with the larger loss is enough."""
    bars = {
        "AAA": [still(100), still(100), [100, 100, 91, 92], still(92)],
        "BBB": [still(100), still(100), [100, 100, 97, 98], still(98)],
    }
    venue = AccountVenue(bars, account={"balance": 1_000, "leverage": 20, "stop_out_percent": 50})

    venue.buy(100)
    venue.buy(20, symbol="BBB")
    venue.run()

    assert [(fill.kind, fill.symbol) for fill in venue.fills[2:]] == [("stop_out", "AAA")]
    assert venue.broker.positions("BBB")[0].volume == 20.0


def test_symbols_that_fall_together_are_stopped_out_though_neither_alone_would_be() -> None:
    """The extremes count as of one moment, which is why such an exit is ambiguous."""
    bars = {name: [still(100), still(100), [100, 100, 94, 99], still(99)] for name in ("AAA", "BBB")}
    venue = AccountVenue(bars, account={"balance": 1_000, "leverage": 20, "stop_out_percent": 50})

    venue.buy(90)
    venue.buy(80, symbol="BBB")
    venue.run()

    exits = [(fill.kind, fill.symbol, fill.ambiguous) for fill in venue.fills[2:]]
    assert exits == [("stop_out", "AAA", True)]


def test_a_position_entered_inside_a_bar_is_stopped_out_in_it() -> None:
    """A limit at 96 fills on the way to 80; from there on the level counts."""
    bars = {"AAA": [still(100), still(100), [100, 100, 80, 99], still(99)]}
    venue = AccountVenue(bars, account={"balance": 1_000, "leverage": 20, "stop_out_percent": 50})

    venue.buy(100, limit=96.0)
    venue.run()

    assert [fill.kind for fill in venue.fills] == ["entry", "stop_out"]
    assert 80.0 < venue.fills[1].price < 96.0


def test_a_margin_call_is_told_once_until_the_level_has_recovered() -> None:
    """Below 150 percent at the second bar, above it at the third, below again at the fourth."""
    bars = [still(100), still(100), still(96), still(95.5), still(100), still(96)]
    venue = leveraged(bars, 100, margin_call_percent=150, stop_out_percent=50)

    venue.run()

    assert [values[0] for values in venue.recorded("margin")] == ["margin_call", "margin_call"]
    assert venue.told() == ["entry 100 @0"]


def test_a_debt_is_kept_by_default_and_let_go_where_the_account_says_so() -> None:
    """A gap of 20 percent at 20:1 costs twice what was there."""
    bars = [still(100), still(100), still(80), still(80)]
    kept = leveraged(bars, 100, stop_out_percent=50)
    kept.run()
    venue = leveraged(bars, 100, stop_out_percent=50, negative_balance="zero")

    venue.run()

    assert kept.account.balance == -1_000.0
    assert venue.account.balance == 0.0
    assert [(payment.kind, payment.amount) for payment in venue.payments] == [("negative_balance", 1_000.0)]
    assert venue.trades[0].net == -2_000.0


def test_equity_is_kept_at_each_step_after_everything_that_happened_at_it() -> None:
    """The curve of such an account says what the account said at the time."""
    venue = leveraged([still(100), still(100), still(98), still(97)], 100, margin_call_percent=150)

    venue.run()

    instants, equity = venue.broker.equity_samples()
    assert equity.tolist() == [1_000.0, 1_000.0, 800.0, 700.0]
    assert len(instants) == 4


def test_a_hedging_account_closes_the_losing_side_first() -> None:
    """Long 100 and short 60 fall together: the short gains, and only the long goes."""
    bars = {"AAA": [still(100), still(100), [100, 100, 70, 75], still(75)]}
    account = {"balance": 1_000, "leverage": 20, "positions": "hedging", "stop_out_percent": 50}
    venue = AccountVenue(bars, account=account)

    venue.buy(100)
    venue.sell(60)
    venue.run()

    assert [(fill.kind, fill.position_id) for fill in venue.fills[2:]] == [("stop_out", "o1")]
    price = venue.fills[2].price
    equity = 1_000 + 100 * (price - 100) + 60 * (100 - price)
    assert equity == pytest.approx(0.5 * 160 * price / 20, abs=1e-9)
    assert [position.volume for position in venue.broker.positions("AAA")] == [-60.0]


def test_closing_what_another_book_stood_against_may_close_that_one_as_well() -> None:
    """100 long and 60 short: at 1000 - 40 d = 100 - d the long one goes, and the short one needs more than is left."""
    # That it would have gained on the rest of the way is no matter: at that price its margin is not covered.
    bars = {"AAA": [still(100), still(100), [100, 100, 60, 70], still(70)]}
    account = {"balance": 1_000, "leverage": 20, "books": "virtual", "stop_out_percent": 50}
    venue = AccountVenue(bars, account=account)

    venue.buy(100, book="one")
    venue.sell(60, book="two")
    venue.run()

    exits = [fill for fill in venue.fills if fill.kind == "stop_out"]
    assert [(fill.book, fill.volume) for fill in exits] == [("one", 100.0), ("two", 60.0)]
    assert [fill.price for fill in exits] == pytest.approx([100 - 900 / 39] * 2, abs=1e-9)
    assert venue.account.balance == pytest.approx(1_000 - 40 * 900 / 39, abs=1e-6)
