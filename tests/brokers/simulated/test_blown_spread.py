"""A spread that blows out: how far it may, in bars and in quotes."""

import pytest

from src.brokers.simulated import Commission, Costs, PriceTape, SimulatedBroker, Slippage
from src.brokers.simulated.rules import BlowOut
from src.core.config import AccountConfig
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.timeframe import MINUTE_NS
from src.testing.worlds import price_tape
from tests.brokers.simulated.venue import START_NS, series


def blown(factor: float, tape: PriceTape | None = None, minute: int = 1) -> SimulatedBroker:
    """Prices of 100, and a low of 50 in minute 1, with a spread of 2 points that is so many times wider there."""
    costs = Costs(
        commission=Commission(), slippage=Slippage(), spread_percent=0.0, spread_points=2.0,
        blow_outs=(BlowOut(symbol="", from_ns=START_NS + minute * MINUTE_NS,
                           to_ns=START_NS + (minute + 1) * MINUTE_NS, factor=factor),),
    )  # fmt: skip
    bars = series("AAA", [[100, 100, 100, 100], [100, 100, 100, 100], [100, 100, 50, 100], [100, 100, 100, 100]])
    rules = {"AAA": Instrument(symbol="AAA", kind="spot", quote_currency="USD")}
    account = AccountConfig(currency="USD", balance=10_000)
    return SimulatedBroker(account, rules, {"AAA": bars}, {}, costs, tapes=None if tape is None else {"AAA": tape})


def test_a_spread_that_leaves_no_bid_is_refused() -> None:
    """One point below a low of 50, fifty times farther away, is a bid of 0; at 49 times it is 1."""
    with pytest.raises(ConfigError, match="expected a bid above 0, found 0 for AAA while its spread blows out"):
        blown(50)

    blown(49)


def test_only_the_bars_that_are_touched_count() -> None:
    """In minute 2 the price is 100."""
    with pytest.raises(ConfigError, match="found -1 for AAA"):
        blown(101, minute=2)

    blown(99, minute=2)


def test_quotes_that_leave_no_bid_are_refused() -> None:
    """A bid of 49 lies one below the middle of 50."""
    tape = price_tape("AAA", [(10, 99.0, 101.0), (70, 49.0, 51.0), (130, 99.0, 101.0)], START_NS)

    with pytest.raises(ConfigError, match="found -10 for AAA while its spread blows out"):
        blown(60, tape)
    blown(49, tape)
