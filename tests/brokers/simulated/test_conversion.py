"""Profits in other currencies than the account's: at the rate of the instant, at the side that costs more."""

import pytest

from src.brokers.simulated import Commission
from src.brokers.simulated.conversion import Rates, conversion_route
from src.brokers.simulated.quotes import QuoteDesk
from src.core.instrument import Instrument
from src.core.records import Side
from src.core.timeframe import HOUR_NS
from src.testing.worlds import price_tape
from tests.brokers.simulated.accounts import AccountVenue, still
from tests.brokers.simulated.venue import START_NS, costs_of, series

YEN = {"USDJPY": {"kind": "fx", "base_currency": "USD", "quote_currency": "JPY"}}
POUND = {
    "EURGBP": {"kind": "fx", "base_currency": "EUR", "quote_currency": "GBP"},
    "GBPUSD": {"kind": "fx", "base_currency": "GBP", "quote_currency": "USD"},
}


def pair(name: str) -> Instrument:
    """A currency pair of six letters."""
    return Instrument(symbol=name, kind="fx", quote_currency=name[3:], base_currency=name[:3])


def pairs(*names: str) -> dict[str, Instrument]:
    """Several, by name."""
    return {name: pair(name) for name in names}


def test_the_way_between_two_currencies_is_one_pair_or_two_over_the_dollar() -> None:
    """Either way round; of several the first of the configuration."""
    assert conversion_route("USD", "USD", {}) == ()
    assert conversion_route("GBP", "USD", pairs("EURUSD", "GBPUSD")) == (("GBPUSD", False),)
    assert conversion_route("JPY", "USD", pairs("USDJPY")) == (("USDJPY", True),)
    assert conversion_route("JPY", "EUR", pairs("USDJPY", "EURUSD")) == (("USDJPY", True), ("EURUSD", True))
    assert conversion_route("JPY", "EUR", pairs("EURJPY", "USDJPY", "EURUSD")) == (("EURJPY", True),)
    assert conversion_route("CHF", "EUR", pairs("USDJPY", "EURUSD")) is None
    assert conversion_route("CHF", "USD", pairs("EURUSD")) is None


def test_a_profit_is_converted_at_the_rate_of_its_own_instant() -> None:
    """1,000 USDJPY from 100 to 110 make 10,000 JPY, which at 110 JPY for a dollar are 90.909 USD."""
    venue = AccountVenue({"USDJPY": [still(100), still(100), still(110), still(125)]}, symbols=YEN)

    venue.buy(50, symbol="USDJPY")
    venue.go_to(1)
    venue.place("sell", volume=50, symbol="USDJPY", reduce_only=True)
    venue.run()

    assert venue.trades[0].gross == pytest.approx(50 * 10 / 110, abs=1e-12)
    assert venue.account.balance == pytest.approx(10_000 + 50 * 10 / 110, abs=1e-9)


def test_gains_are_sold_at_the_bid_and_losses_bought_at_the_ask() -> None:
    """GBP for a dollar account: 1.24 for what was won, 1.26 for what was lost; marking is at 1.25."""
    bars = {"EURGBP": [still(10), still(10), still(12), still(12)], "GBPUSD": [still(1.25)] * 4}

    def net(side: str) -> float:
        venue = AccountVenue(bars, symbols=POUND, spread_points=0.02)
        venue.place(side, volume=100, symbol="EURGBP")
        venue.go_to(1)
        other = "sell" if side == "buy" else "buy"
        venue.place(other, volume=100, symbol="EURGBP", reduce_only=True)
        venue.run()
        return venue.trades[0].net

    assert net("buy") == pytest.approx((12 - 0.01 - 10 - 0.01) * 100 * 1.24, abs=1e-9)
    assert net("sell") == pytest.approx((10 - 0.01 - 12 - 0.01) * 100 * 1.26, abs=1e-9)


def test_open_profit_is_marked_at_the_middle_of_now() -> None:
    """The rate moves while the position's own price stands still."""
    bars = {"EURGBP": [still(10), still(10), still(12), still(12)], "GBPUSD": [still(1.25)] * 3 + [still(1.5)]}
    venue = AccountVenue(bars, symbols=POUND)

    venue.buy(100, symbol="EURGBP")
    venue.go_to(2)

    assert venue.account.equity == 10_000 + 200 * 1.25
    assert venue.go_to(3).account.equity == 10_000 + 200 * 1.5
    assert venue.broker.equity_samples()[1].tolist()[-1] == 10_300.0
    assert venue.broker.positions("EURGBP")[0].rate == 1.5


def test_margin_and_commission_are_converted_too() -> None:
    """1,000 GBP of notional at 10:1, and a commission of 0.1 percent of it."""
    bars = {"EURGBP": [still(10)] * 3, "GBPUSD": [still(1.25)] * 3}
    venue = AccountVenue(bars, symbols=POUND, account={"leverage": 10}, commission=Commission(0.1))

    venue.buy(100, symbol="EURGBP")
    venue.go_to(1)

    assert venue.account.margin_used == 125.0
    assert venue.fills[0].commission == 1.25
    assert venue.broker.margin_per_unit("EURGBP", 10.0) == 1.25
    assert venue.broker.entry_per_unit("EURGBP", 10.0) == 0.0125


def test_an_order_without_a_rate_is_refused() -> None:
    """No pair joins the pound and the account."""
    venue = AccountVenue({"EURGBP": [still(10)] * 3}, symbols=POUND)

    result = venue.buy(1, symbol="EURGBP")

    assert (result.code, result.message) == ("no_rate", "no symbol joins GBP and USD")
    quote = venue.broker.quote("EURGBP")
    assert quote is not None
    assert quote.rate == 0.0


def test_an_order_on_a_rate_that_is_too_old_is_refused() -> None:
    """The pair has had no bar for an hour and a half."""
    bars = {"EURGBP": [still(10)] * 120, "GBPUSD": [still(1.25)] * 2}
    venue = AccountVenue(bars, symbols=POUND, account={"conversion_max_age": "1h"}, minutes=120)

    assert venue.go_to(60).buy(1, symbol="EURGBP").accepted
    result = venue.go_to(91).buy(1, symbol="EURGBP")

    assert (result.accepted, result.code) == (False, "no_rate")
    assert result.message == "the price of GBPUSD, which converts GBP into USD, is 1.5 h old"


def test_the_open_of_a_pair_is_a_fresh_rate_after_a_pause() -> None:
    """Both markets were closed for longer than a rate may be old, and open at one instant."""
    bars = {"EURGBP": [still(10)] * 2 + [None] * 90 + [still(11)] * 3, "GBPUSD": [still(1.25)] * 2 + [None] * 90}
    bars["GBPUSD"] += [still(1.5)] * 3
    venue = AccountVenue(bars, symbols=POUND, account={"conversion_max_age": "1h"}, minutes=94)

    venue.go_to(1).buy(1, symbol="EURGBP")
    venue.run()

    assert [(fill.price, fill.rate) for fill in venue.fills] == [(11.0, 1.5)]


def test_a_quote_of_a_pair_is_a_fresh_rate() -> None:
    """Its last bar closed long ago, and it has had a quote since then; without one there is no rate."""
    tape = price_tape("GBPUSD", [(3 * 3600, 1.24, 1.26)], start=START_NS)
    desk = QuoteDesk(pair("GBPUSD"), series("GBPUSD", [still(1.25)]), costs_of(), 0, tape)
    desk.series.length = 1
    desk.rewind()
    rates = Rates("USD", lambda symbol: desk, {"GBPUSD": desk.instrument}, HOUR_NS)

    before = rates.missing("GBP", START_NS + 3 * HOUR_NS)
    desk.take()

    assert before == "the price of GBPUSD, which converts GBP into USD, is 3.0 h old"
    assert rates.missing("GBP", START_NS + 3 * HOUR_NS) is None


def test_an_exit_with_an_old_rate_happens_at_the_last_one() -> None:
    """What is held must always be possible to close."""
    bars = {"EURGBP": [still(10)] * 120 + [still(11)] * 4, "GBPUSD": [still(1.25)] * 2}
    venue = AccountVenue(bars, symbols=POUND, account={"conversion_max_age": "1h"}, minutes=123)

    venue.buy(1, symbol="EURGBP")
    venue.go_to(121)
    venue.place("sell", symbol="EURGBP", reduce_only=True)
    venue.run()

    assert venue.trades[0].net == pytest.approx(1.25, abs=1e-12)


def test_the_initial_risk_is_money_of_the_account() -> None:
    """One pound of distance for each of 100 units."""
    bars = {"EURGBP": [still(10), still(10), still(9), still(9)], "GBPUSD": [still(1.25)] * 4}
    venue = AccountVenue(bars, symbols=POUND)

    venue.buy(100, symbol="EURGBP", stop=9.0)
    venue.run()

    trade = venue.trades[0]
    assert trade.side is Side.BUY
    assert (trade.risk, trade.net, trade.r) == (125.0, -125.0, -1.0)


def test_partial_exits_are_each_converted_at_their_own_rate() -> None:
    """Half at 1.25, half at 1.5: the trade's profit is the sum."""
    bars = {
        "EURGBP": [still(10), still(10), still(12), still(12), still(12)],
        "GBPUSD": [still(1.25), still(1.25), still(1.25), still(1.5), still(1.5)],
    }
    venue = AccountVenue(bars, symbols=POUND)

    venue.buy(100, symbol="EURGBP")
    venue.go_to(1)
    venue.place("sell", volume=50, symbol="EURGBP", reduce_only=True)
    venue.go_to(2)
    venue.place("sell", volume=50, symbol="EURGBP", reduce_only=True)
    venue.run()

    assert venue.trades[0].net == pytest.approx(100 * 1.25 + 100 * 1.5, abs=1e-9)
    assert venue.account.balance == pytest.approx(10_275, abs=1e-9)
