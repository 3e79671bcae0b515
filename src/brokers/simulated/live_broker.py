"""LiveSimulatedBroker: the simulated broker over a venue whose prices are not known before they come.

Whoever moves time hands over each quote and each closed bar, in the order of their instants, and lets orders end in
between; one thread at a time. See `live_quotes` for what they fill.
"""

from collections.abc import Mapping
from typing import Any

from src.brokers.simulated.broker import SimulatedBroker
from src.brokers.simulated.live_quotes import BarRow, LiveVenue, live_venue_of
from src.brokers.simulated.quotes import PriceTape, QuoteVenue
from src.brokers.simulated.rules import Costs, FillRules
from src.core.bars import BarSeries
from src.core.config import AccountConfig
from src.core.errors import InternalError
from src.core.instrument import Instrument
from src.core.records import Quote, make_quote

__all__ = ["LiveSimulatedBroker"]


class LiveSimulatedBroker(SimulatedBroker):
    """See `SimulatedBroker`.

    Args:
        account, instruments, costs, rules: see `SimulatedBroker`; the spread is that of the quotes.
        base, derived: series that grow; what they hold is history.
    """

    def __init__(
        self, account: AccountConfig, instruments: Mapping[str, Instrument], base: Mapping[str, BarSeries],
        derived: Mapping[tuple[str, int], BarSeries], costs: Costs, rules: FillRules,
    ) -> None:  # fmt: skip
        super().__init__(account, instruments, base, derived, costs, rules)
        if not isinstance(self.prices, LiveVenue):
            raise InternalError("a broker of coming prices has a venue that takes them")
        self._live = self.prices

    def _price_venue(self, tapes: Mapping[str, PriceTape] | None, *made: Any) -> QuoteVenue | None:
        """See `SimulatedBroker`."""
        account, instruments, base, costs, rules, *_ = made
        return live_venue_of(account, instruments, base, costs, rules)

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker.quote`; as old as what brought it."""
        desk = self._live.desk(symbol)
        standing = desk.standing_now
        if standing is None:
            return None
        bid, ask, quoted_ns = standing
        if self._full is None:
            return make_quote(symbol=symbol, instant_ns=quoted_ns, bid=bid, ask=ask)
        with self._lock:
            rate = self._full.rate_for(desk, self._now())
        return make_quote(symbol=symbol, instant_ns=quoted_ns, bid=bid, ask=ask, rate=rate)

    def is_quiet(self, symbol: str, bid: float, ask: float) -> bool:
        """Whether a quote changes nothing but the price at which things are marked; false where that is not certain."""
        return self._live.is_quiet(symbol, bid, ask)

    # -- whoever moves time ------------------------------------------------------------------------

    def set_rules(self, instrument: Instrument) -> None:
        """Trade a symbol by these rules from now on: steps and limits may be others, and nothing else."""
        with self._lock:
            self._live.desk(instrument.symbol).instrument = instrument

    def take_quote(self, symbol: str, bid: float, ask: float, quoted_ns: int, now_ns: int) -> None:
        """A quote comes that stood at `quoted_ns` and is known at `now_ns`."""
        with self._lock:
            self._live.take_quote(self._live.desk(symbol), bid, ask, quoted_ns, now_ns)
            self._look_ahead()
            self._deliver()

    def close_bar(self, symbol: str, timeframe_ns: int, bar: BarRow, now_ns: int) -> None:
        """A bar has closed and becomes visible; one of the base bars may fill what no quote has seen."""
        with self._lock:
            desk = self._live.desk(symbol)
            if timeframe_ns != desk.series.timeframe_ns:
                self.series(symbol, timeframe_ns).append(*bar)
                return
            self._live.close_bar(desk, bar, now_ns)
            self._look_ahead()
            self._deliver()
