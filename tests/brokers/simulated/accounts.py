"""A venue driven by hand whose symbols have rules of their own, for what only some accounts have."""

from collections.abc import Mapping, Sequence
from typing import Any

from src.backtesting.engine.market import SimulatedMarket
from src.brokers.simulated import Commission, Costs, FillRules, SimulatedBroker, Slippage
from src.brokers.simulated.funding import FundingRates
from src.core.config import AccountConfig
from src.core.instrument import Instrument
from src.core.journal import Journal, JournalRecord
from src.core.records import Payment
from src.core.timeframe import MINUTE_NS
from tests.brokers.simulated.venue import START_NS, HandClock, Prices, Venue, series

__all__ = ["AccountVenue", "Prices", "still"]


def still(price: float) -> Prices:
    """A bar that stands at one price."""
    return [price, price, price, price]


class AccountVenue(Venue):
    """As `Venue`, with rules for each symbol.

    Args:
        bars: by symbol, as for `Venue`.
        symbols: what differs for a symbol from a perpetual in USD.
        spread_points: of every symbol.
    """

    def __init__(
        self,
        bars: Mapping[str, Sequence[Prices]],
        *,
        symbols: Mapping[str, Mapping[str, Any]] | None = None,
        account: Mapping[str, Any] | None = None,
        commission: Commission | None = None,
        spread_points: float = 0.0,
        funding: Mapping[str, FundingRates] | None = None,
        volume_share: float | None = None,
        minutes: int = 60,
        start_ns: int = START_NS,
    ) -> None:
        self.config = AccountConfig(**{"currency": "USD", "balance": 10_000, **(account or {})})
        instruments = {
            symbol: Instrument(
                **{"symbol": symbol, "kind": "perpetual", "quote_currency": "USD", **(symbols or {}).get(symbol, {})}
            )
            for symbol in bars
        }
        shift = (start_ns - START_NS) // MINUTE_NS
        base = {symbol: series(symbol, each, first_minute=shift - 1) for symbol, each in bars.items()}
        costs = Costs(
            commission=commission or Commission(), slippage=Slippage(), spread_percent=0.0, spread_points=spread_points,
            volume_share=volume_share,
        )  # fmt: skip
        self.broker = SimulatedBroker(
            self.config, instruments, base, {}, costs, FillRules(at_end="keep"), funding=funding
        )  # fmt: skip
        self.clock = HandClock(start_ns)
        self._records: list[JournalRecord] = []
        self.journal = Journal(self._records.extend)
        self.market = SimulatedMarket(self.broker, self.journal, start_ns, start_ns + minutes * MINUTE_NS)
        self.broker.bind(self.clock, self.journal)  # type: ignore[arg-type]  # a venue asks a clock for the time only
        self._orders = 0

    @property
    def payments(self) -> list[Payment]:
        """Money that came or went without an execution."""
        return self.broker.payments()
