"""What stands behind the local venue: the simulated broker on replayed prices, moved along by the venue's clock.

Nothing happens between two questions: whoever asks first lets happen all that has become due, in the order of time. All
of it under the venue's lock.

The broker's present is the last instant at which anything happened to prices. So what is sent while a base bar is under
way counts from that bar's open, as in a backtest that decides there, and the finest time there is is a base bar; where
there are tapes it is the time between two prices.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from src.backtesting.engine.tick_market import market_of_broker
from src.brokers.simulated import Costs, FillRules, PriceTape, SimulatedBroker
from src.brokers.simulated.funding import FundingRates
from src.core.bars import BarSeries
from src.core.clock import Clock
from src.core.config import AccountConfig
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.journal import Journal
from src.data.resample import resample
from src.testing.venue_clock import VenueClock

__all__ = ["BOOK", "VenueWorld"]

#: The one book of the account: a venue knows nothing of strategies.
BOOK = "venue"


class _Instant:
    """The clock of the broker: the last instant at which anything happened to prices."""

    def __init__(self, instant_ns: int) -> None:
        self.instant_ns = instant_ns

    def now_ns(self) -> int:
        """That instant."""
        return self.instant_ns


class VenueWorld:
    """Prices, and the account that is traded on them.

    Args:
        bars: the base bars of each symbol, which the venue shows as klines; its account trades on them as well where
            there are no tapes. Finer bars make quotes that move between the bars a client looks at.
        instruments: the rules of each symbol.
        account: a netting account on margin.
        clock: the venue's.
        start_ns: the present at first; bars that have closed by then are history.
        tapes: the quotes to trade on, by symbol.

    Attributes:
        broker: where orders work.
        instruments: by symbol, in the order in which they were given.
        now_ns: the venue's present, up to which everything has happened.
    """

    def __init__(
        self, bars: Mapping[str, BarSeries], instruments: Mapping[str, Instrument], account: AccountConfig,
        costs: Costs, rules: FillRules, clock: VenueClock, start_ns: int,
        tapes: Mapping[str, PriceTape] | None = None, funding: Mapping[str, FundingRates] | None = None,
    ) -> None:  # fmt: skip
        if account.type != "margin" or account.positions != "netting":
            raise ConfigError("the local venue has perpetuals in one-way mode: type: margin and positions: netting")
        self.account = account
        self.instruments = dict(instruments)
        self.clock = clock
        plain = {symbol: _plain(each) if each.kind == "spot" else each for symbol, each in instruments.items()}
        self.broker = SimulatedBroker(account, plain, bars, {}, costs, rules, funding=funding, tapes=tapes)
        self.now_ns = start_ns
        begin_ns = max(filter(None, (_under_way_ns(series, start_ns) for series in bars.values())), default=start_ns)
        self._instant = _Instant(begin_ns)
        self.broker.bind(cast(Clock, self._instant), Journal())  # of the port it asks for the present alone
        last = [series.close_of(series.loaded - 1) for series in bars.values() if series.loaded]
        last += [int(tape.ts_ns[-1]) for tape in (tapes or {}).values() if len(tape.ts_ns)]
        self.end_ns = max(last, default=start_ns)
        self._market = market_of_broker(self.broker, Journal(), begin_ns, max(self.end_ns, begin_ns))
        self._derived: dict[tuple[str, int], BarSeries] = {}

    def catch_up(self, until_ns: int | None = None) -> None:
        """Let happen what is due by the venue's clock, or until an instant that has passed."""
        now_ns = self.clock.now_ns() if until_ns is None else until_ns
        while (at_ns := self._market.next_ns()) is not None and at_ns <= now_ns:
            self._instant.instant_ns = at_ns
            self._market.advance(at_ns)
        self.now_ns = max(now_ns, self.now_ns)

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """All bars of a timeframe, those to come as well: `count_closed` says which have closed.

        Raises:
            ConfigError: the timeframe cannot be built from the base bars.
        """
        base = self.broker.base_series(symbol)
        if timeframe_ns == base.timeframe_ns:
            return base
        known = self._derived.get((symbol, timeframe_ns))
        if known is None:
            known = self._derived[symbol, timeframe_ns] = resample(base, timeframe_ns)
        return known


def _plain(rules: Instrument) -> Instrument:
    """On spot the venue itself takes fees, of coins that are counted beside, and holds orders against what is least."""
    return replace(rules, fees_in_base=False, min_volume=0.0, min_notional=0.0)


def _under_way_ns(series: BarSeries, instant_ns: int) -> int | None:
    """When the bar opened that is under way at an instant, None when none is."""
    closed = series.count_closed(instant_ns)
    return series.open_ns_at[closed] if closed < series.loaded and series.open_ns_at[closed] <= instant_ns else None
