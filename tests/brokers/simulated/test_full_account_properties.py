"""Random trades on an account with several currencies, tiers, stop-outs, swaps, funding and minimum commissions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.backtesting.reconcile import replay_fills
from src.brokers.simulated import Commission
from src.brokers.simulated.funding import FundingRates
from src.core.instrument import MarginTier, SwapRule
from src.core.timeframe import MINUTE_NS
from tests.brokers.simulated.accounts import AccountVenue, Prices
from tests.brokers.simulated.venue import START_NS

SYMBOLS = ("AAAUSD", "EURGBP", "GBPUSD")
MINUTES = 12
TIERS = (MarginTier(0.0, 20.0, 2.0), MarginTier(3_000.0, 5.0, 10.0))
RULES: dict[str, dict[str, Any]] = {
    "AAAUSD": {"base_currency": "AAA", "funding": True, "margin_tiers": TIERS},
    "EURGBP": {
        "kind": "fx",
        "base_currency": "EUR",
        "quote_currency": "GBP",
        "swap": SwapRule(-0.5, 0.25, triple="none", at="00:05", zone="UTC"),
    },
    "GBPUSD": {"kind": "fx", "base_currency": "GBP", "quote_currency": "USD"},
}


@dataclass(frozen=True)
class Wish:
    """What is asked for after a bar: one of the symbols, a signed volume, and how far away stop and limit are."""

    symbol: str
    volume: int
    stop: int
    limit: int


def bar(values: tuple[int, int, int, int]) -> Prices:
    """A bar around 100 whose close and open lie inside its range."""
    opening, close, up, down = values
    high, low = max(opening, close) + up, min(opening, close) - down
    return [90.0 + opening, 90.0 + high, 90.0 + low, 90.0 + close]


def shrunk(prices: Prices, by: float) -> Prices:
    """The same bar at another height."""
    assert prices is not None
    return [price / by for price in prices]


price_bars = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 6), st.integers(0, 6)).map(bar)
paths = st.lists(price_bars, min_size=MINUTES + 1, max_size=MINUTES + 1)
wishes = st.builds(
    Wish, symbol=st.sampled_from(SYMBOLS[:2]), volume=st.integers(-60, 60).filter(bool), stop=st.integers(0, 8),
    limit=st.integers(-2, 4),
)  # fmt: skip
stories = st.lists(st.lists(wishes, max_size=2), min_size=MINUTES, max_size=MINUTES)


def play(prices: dict[str, list[Prices]], story: list[list[Wish]], books: str) -> AccountVenue:
    """The whole story; after each step the account is looked at."""
    stamps = np.array([START_NS + minute * MINUTE_NS for minute in (3, 6, 9)], dtype=np.int64)
    venue = AccountVenue(
        prices, symbols=RULES, spread_points=0.02, minutes=MINUTES, commission=Commission(0.05, 0.0, 0.5, 2.0, 0.01),
        funding={"AAAUSD": FundingRates(ts_ns=stamps, rate=np.array([0.001, -0.002, 0.003]))},
        account={
            "balance": 1_000, "leverage": 20, "stop_out_percent": 60, "margin_call_percent": 120, "books": books,
            "negative_balance": "zero",
        },
    )  # fmt: skip
    for minute in range(MINUTES + 1):
        before_ns = venue.clock.instant_ns
        while (at := venue.market.next_ns()) is not None and at <= START_NS + minute * MINUTE_NS:
            venue.step()
            look_at(venue)
            if at > before_ns:  # the closes come first at an instant
                assert_carried(venue)
            before_ns = at
        for i, wish in enumerate(story[minute] if minute < MINUTES else ()):
            wanted(venue, wish, f"book{i}" if books == "virtual" else "sma")
    return venue


def assert_carried(venue: AccountVenue) -> None:
    """At a close no position is left that the margin level does not carry: 60 percent of what it needs."""
    snapshot = venue.broker.snapshot()
    volumes: dict[str, float] = {}
    for position in snapshot.positions:
        volumes[position.symbol] = volumes.get(position.symbol, 0.0) + position.volume
    needed = 0.0
    for symbol, volume in volumes.items():
        quote = venue.broker.quote(symbol)
        assert quote is not None
        series = venue.broker.base_series(symbol)
        notional = abs(volume) * series.close_at[series.length - 1]
        if symbol == "AAAUSD":
            needed += min(notional, 3_000) * 0.02 + max(0.0, notional - 3_000) * 0.1
        else:
            needed += notional / 20 * quote.rate
    assert not snapshot.positions or snapshot.account.equity > needed * 0.6 - 1e-9


def wanted(venue: AccountVenue, wish: Wish, book: str) -> None:
    """Place the order of a wish."""
    quote = venue.broker.quote(wish.symbol)
    assert quote is not None
    sign = 1 if wish.volume > 0 else -1
    price = quote.mid - sign * wish.limit
    more = {"stop": price - sign * (wish.stop + 0.5)} if wish.stop else {}
    side = "buy" if sign > 0 else "sell"
    if wish.limit > 0:
        venue.place(side, "limit", abs(wish.volume), symbol=wish.symbol, price=price, book=book, **more)
    else:
        venue.place(side, "market", abs(wish.volume), symbol=wish.symbol, book=book, **more)


def look_at(venue: AccountVenue) -> None:
    """Money adds up from the fills alone, and nothing is held that the margin level does not carry."""
    snapshot = venue.broker.snapshot()
    account = snapshot.account
    moved = replay_fills(venue.fills).realised + sum(payment.amount for payment in venue.payments)
    assert account.balance == pytest.approx(1_000 + moved, abs=1e-9)
    equity = account.balance
    for position in snapshot.positions:
        quote = venue.broker.quote(position.symbol)
        assert quote is not None
        leaving = quote.bid if position.volume > 0 else quote.ask
        equity += position.volume * (leaving - position.entry_price) * quote.rate
        assert position.rate == quote.rate
    assert account.equity == pytest.approx(equity, abs=1e-9)


@pytest.mark.slow
@given(trade=paths, pound=paths, rate=paths, story=stories, books=st.sampled_from(["own", "virtual"]))
def test_money_is_conserved_whatever_happens(
    trade: list[Prices], pound: list[Prices], rate: list[Prices], story: list[list[Wish]], books: str
) -> None:
    """From the fills with their rates and the payments follows the balance, and trades have their parts."""
    prices = {"AAAUSD": trade, "EURGBP": pound, "GBPUSD": [shrunk(each, 80.0) for each in rate]}

    venue = play(prices, story, books)

    for each in venue.trades:
        costs = each.commission + each.spread_cost + each.slippage_cost + each.financing
        assert each.net == pytest.approx(each.gross - costs, abs=1e-9)
    held = {position.position_id for position in venue.broker.snapshot().positions}
    open_fills = [fill for fill in venue.fills if fill.position_id in held]
    begun = replay_fills(open_fills).realised
    begun += sum(pay.amount for pay in venue.payments if not pay.position_id or pay.position_id in held)
    total = 1_000 + sum(each.net for each in venue.trades) + begun
    assert venue.account.balance == pytest.approx(total, abs=1e-9)
