"""Swaps and funding: what holding costs, when, and for whom."""

from typing import Any

import numpy as np
import pytest

from src.brokers.simulated.funding import FundingRates, missing_funding
from src.brokers.simulated.swap import SwapNights
from src.core.instrument import SwapRule
from src.core.timeframe import HOUR_NS, MINUTE_NS, format_instant, parse_instant
from tests.brokers.simulated.accounts import AccountVenue, still
from tests.brokers.simulated.venue import START_NS

RULE = SwapRule(-0.5, 0.2)
#: A Tuesday, a minute before five in the afternoon in New York.
TUESDAY_NS = parse_instant("2024-01-02T21:59:00")


def rates(*pairs: tuple[float, float]) -> FundingRates:
    """Rates at minutes after the start."""
    stamps = np.array([START_NS + round(minute * MINUTE_NS) for minute, _ in pairs], dtype=np.int64)
    return FundingRates(ts_ns=stamps, rate=np.array([rate for _, rate in pairs]))


def nights(rule: SwapRule, begin: str, count: int) -> list[tuple[str, int]]:
    """The first nights after an instant."""
    schedule = SwapNights(rule, parse_instant(begin))
    found = []
    for _ in range(count):
        found.append((format_instant(schedule.next_ns), schedule.times))
        schedule.advance()
    return found


def test_a_week_has_five_nights_of_which_one_counts_three_times() -> None:
    """Wednesday's pays for the weekend."""
    found = nights(RULE, "2024-01-02T22:00:00", 5)

    assert [(text[:13], times) for text, times in found] == [
        ("2024-01-03 22", 3), ("2024-01-04 22", 1), ("2024-01-05 22", 1), ("2024-01-08 22", 1), ("2024-01-09 22", 1),
    ]  # fmt: skip


def test_nights_follow_the_daylight_saving_of_their_zone() -> None:
    """From March 10th on five in New York is 21:00 UTC."""
    found = nights(RULE, "2024-03-08T12:00:00", 2)

    assert [text[:13] for text, _ in found] == ["2024-03-08 22", "2024-03-11 21"]


def test_without_a_triple_day_each_of_the_seven_nights_counts_once() -> None:
    """Where a market never closes."""
    found = nights(SwapRule(-1.0, -1.0, triple="none", at="00:00", zone="UTC"), "2024-01-05T12:00:00", 3)

    assert [(text[:10], times) for text, times in found] == [("2024-01-06", 1), ("2024-01-07", 1), ("2024-01-08", 1)]


def held_over_night(side: str, rule: SwapRule = RULE) -> AccountVenue:
    """Ten units of a symbol at 100, from a minute before the night on."""
    venue = AccountVenue(
        {"AAA": [still(100)] * 6}, symbols={"AAA": {"swap": rule}}, start_ns=TUESDAY_NS, minutes=4
    )  # fmt: skip
    venue.place(side, volume=10)
    return venue


def test_a_long_pays_and_a_short_gets_the_swap_of_its_side() -> None:
    """Points for each unit."""
    long, short = held_over_night("buy"), held_over_night("sell")

    long.run()
    short.run()

    assert [(payment.kind, payment.amount) for payment in long.payments] == [("swap", -5.0)]
    assert [(payment.kind, payment.amount) for payment in short.payments] == [("swap", 2.0)]
    assert long.account.balance == 9_995.0


def test_the_swap_belongs_to_the_trade_and_to_its_net() -> None:
    """Nothing else cost anything."""
    venue = held_over_night("buy")

    venue.go_to((TUESDAY_NS - START_NS) / MINUTE_NS + 2).close()
    venue.run()

    trade = venue.trades[0]
    assert (trade.gross, trade.financing, trade.net) == (0.0, 5.0, -5.0)


def test_what_opens_at_the_instant_of_the_night_pays_nothing_and_what_closes_then_pays() -> None:
    """The night begins before the opens of its instant."""
    late = AccountVenue({"AAA": [still(100)] * 6}, symbols={"AAA": {"swap": RULE}}, start_ns=TUESDAY_NS, minutes=4)
    late.step()
    late.place("buy", volume=10)
    late.run()
    leaving = held_over_night("buy")
    leaving.step()
    leaving.step()
    leaving.close()
    leaving.run()

    assert late.fills[0].filled_ns == leaving.fills[1].filled_ns == TUESDAY_NS + MINUTE_NS
    assert late.payments == []
    assert [payment.amount for payment in leaving.payments] == [-5.0]


def test_a_swap_in_another_currency_is_converted() -> None:
    """Five pounds are paid at the ask of the pound."""
    bars = {"EURGBP": [still(10)] * 6, "GBPUSD": [still(1.25)] * 6}
    symbols: dict[str, dict[str, Any]] = {
        "EURGBP": {"base_currency": "EUR", "quote_currency": "GBP", "swap": RULE},
        "GBPUSD": {"base_currency": "GBP", "quote_currency": "USD"},
    }
    venue = AccountVenue(bars, symbols=symbols, spread_points=0.02, start_ns=TUESDAY_NS, minutes=4)

    venue.buy(10, symbol="EURGBP")
    venue.run()

    assert [payment.amount for payment in venue.payments] == [pytest.approx(-5 * 1.26)]


def test_longs_pay_a_positive_funding_rate_to_shorts() -> None:
    """At the price of its instant, by what is held then."""
    bars = {"AAA": [still(100), still(100), still(120), still(120), still(120)]}
    stored = {"AAA": rates((1, 0.001), (2, 0.002), (3, -0.001))}

    def paid(side: str) -> list[float]:
        venue = AccountVenue(bars, symbols={"AAA": {"funding": True}}, funding=stored)
        venue.place(side, volume=10)
        venue.run()
        return [payment.amount for payment in venue.payments]

    assert paid("buy") == [pytest.approx(-1.0), pytest.approx(-2.4), pytest.approx(1.2)]
    assert paid("sell") == [pytest.approx(1.0), pytest.approx(2.4), pytest.approx(-1.2)]


def test_a_rate_in_a_hole_is_paid_by_what_was_held_before_it_at_the_last_price() -> None:
    """No bar ends at minute 3."""
    bars = {"AAA": [still(100), still(100), still(110), None, None, still(50), still(50)]}
    venue = AccountVenue(bars, symbols={"AAA": {"funding": True}}, funding={"AAA": rates((0, 1.0), (3, 0.001))})

    venue.buy(10, stop=60.0)
    venue.run()

    assert [payment.instant_ns for payment in venue.payments] == [START_NS + 3 * MINUTE_NS]
    assert [payment.amount for payment in venue.payments] == [pytest.approx(-1.1)]
    assert venue.fills[1].kind == "stop"


@pytest.mark.parametrize(("stop", "paid"), [(92.0, []), (None, [-9.5])])
def test_who_pays_inside_a_bar_does_not_depend_on_other_orders(stop: float | None, paid: list[float]) -> None:
    """Due in the middle of minute 1: whoever still holds at its close of 95 pays, though BBB has a step in between."""
    bars = {
        "AAA": [still(100), still(100), [100, 100, 90, 95], still(95)],
        "BBB": [still(50), still(50), None, still(50)],
    }

    def payments(*, other: bool) -> list[float]:
        venue = AccountVenue(bars, symbols={"AAA": {"funding": True}}, funding={"AAA": rates((1.5, 0.01))})
        venue.buy(10, stop=stop)
        if other:
            venue.place("buy", "limit", symbol="BBB", price=10.0, expires=1.7)
        venue.run()
        assert len(venue.broker.orders()) == 1 + other + (stop is not None)
        return [payment.amount for payment in venue.payments]

    assert payments(other=False) == payments(other=True) == pytest.approx(paid)


def test_the_journal_tells_each_payment() -> None:
    """With the rate that it was worked out with."""
    venue = AccountVenue(
        {"AAA": [still(100)] * 4}, symbols={"AAA": {"funding": True}}, funding={"AAA": rates((2, 0.01))}
    )

    venue.buy(1)
    venue.run()

    assert venue.recorded("payment") == [("o1", "sma", "funding", -1.0, 0.01, START_NS + 2 * MINUTE_NS)]


def test_rates_that_are_not_all_there_are_found() -> None:
    """Every eight hours: one is missing inside, then at the end, then at the start."""
    hours = [0, 8, 16, 24, 32]

    def missing(stored: list[int], start: int = 0, end: int = 40) -> float | None:
        stamps = np.array([hour * HOUR_NS for hour in stored], dtype=np.int64)
        found = missing_funding(FundingRates(ts_ns=stamps, rate=np.zeros(len(stored))), start * HOUR_NS, end * HOUR_NS)
        return None if found is None else found / HOUR_NS

    assert missing(hours) is None
    assert missing([0, 8, 24, 32]) == 16
    assert missing([0, 8, 16]) == 24
    assert missing([16, 24, 32], start=0) == 0
    assert missing([0, 8, 24, 32], start=25) is None
    assert missing([0]) == 0


def test_what_is_due_at_a_close_is_part_of_the_margin_test_of_that_close() -> None:
    """Ten at 100 with leverage 10 need 50 to stay; of 140 the payment of 100 leaves 40, and the venue closes then."""
    bars = {"AAA": [still(100)] * 5}
    venue = AccountVenue(
        bars, symbols={"AAA": {"funding": True}}, funding={"AAA": rates((2, 0.1))},
        account={"balance": 140, "leverage": 10, "stop_out_percent": 50},
    )  # fmt: skip

    venue.buy(10)
    venue.run()

    entry, out = venue.fills
    assert (entry.kind, out.kind, out.price) == ("entry", "stop_out", 100.0)
    assert out.filled_ns == START_NS + 2 * MINUTE_NS
