"""The market data of an exchange: rules of instruments, quotes and closed bars, as far as they were read; without keys.

One thread reads (`refresh`), any thread looks. Quotes of all symbols are one question. Bars are asked for only when one
may have closed; what has closed and what is absent says `src.brokers.ccxt_bars`. Bars that close at one instant are
shown together, as soon as all of them are there or their settling is over; of a symbol that gave no answer they come
when it answers.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from src.brokers.ccxt_bars import CcxtBars, Row, Values
from src.brokers.ccxt_client import CcxtClient
from src.brokers.ccxt_instruments import differences, rules_of
from src.brokers.ccxt_wire import CcxtWire
from src.core.bars import BarSeries
from src.core.errors import BrokerContractError, BrokerUnavailable, ConfigError
from src.core.instrument import Instrument
from src.core.records import Quote, make_quote
from src.core.sync import wall_ns
from src.core.timeframe import SECOND_NS, format_duration

__all__ = ["MOST_QUIET_NS", "SETTLE_NS", "CcxtFeed", "OddBar"]

#: An exchange may still change a bar for so long after its end.
SETTLE_NS = 3 * SECOND_NS
#: A quote that is older at the exchange is as old as that says.
MOST_QUIET_NS = 120 * SECOND_NS
#: After so many questions without an answer the others wait for the next time.
_MOST_FAILURES = 2
#: So many odd bars are kept for whoever takes them.
_MOST_ODD = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OddBar:
    """What was told of a bar when it was too late for it to be shown.

    Attributes:
        values: open, high, low, close, volume.
    """

    symbol: str
    timeframe_ns: int
    open_ns: int
    values: Values


class CcxtFeed:
    """See the module's text.

    Args:
        client: the exchange; `signed=False` is enough.
        instruments: the symbols as configured, whose `venue` names the exchange's market.
        timeframes: of each symbol the lengths of its bars, nanoseconds; the finest are its base bars.
        now_ns: the present of the bot's clock.
        bars_from_ns: bars from here on are read at first; the present by default.
        settle_ns: how long after its end a bar may still change.
        wire: how the exchange is asked.

    Attributes:
        rules: the instruments with the exchange's rules.
        differing: sentences about rules that the configuration has otherwise.
        late: bars that came when they counted as absent; they are never shown. Whoever records takes them.
        revised: bars that were told otherwise after they were shown, as they were told last; likewise.

    Raises:
        ConfigError: a market or the length of a bar is not known to the exchange.
        BrokerUnavailable: no answer.
    """

    def __init__(
        self, client: CcxtClient, instruments: Mapping[str, Instrument], timeframes: Mapping[str, Sequence[int]], *,
        now_ns: Callable[[], int] = wall_ns, bars_from_ns: int | None = None, settle_ns: int = SETTLE_NS,
        wire: type[CcxtWire] = CcxtWire,
    ) -> None:  # fmt: skip
        self.client = client
        markets = {symbol: client.market(rules.venue or symbol) for symbol, rules in instruments.items()}
        in_steps = client.has_steps()
        self.rules = {symbol: rules_of(rules, markets[symbol], in_steps=in_steps)
                      for symbol, rules in instruments.items()}  # fmt: skip
        self.differing = tuple(text for symbol, file in instruments.items()
                               for text in differences(file, self.rules[symbol]))  # fmt: skip
        self.wire = wire(client, markets)
        self.late: deque[OddBar] = deque(maxlen=_MOST_ODD)
        self.revised: deque[OddBar] = deque(maxlen=_MOST_ODD)
        self._now_ns = now_ns
        self._settle_ns = settle_ns
        self._quotes: dict[str, Quote] = {}
        #: When the exchange says that each quote is from.
        self._told_ms: dict[str, int] = {}
        from_ns = now_ns() if bars_from_ns is None else bars_from_ns
        self._bars = {
            (symbol, length): CcxtBars(BarSeries.empty(symbol, length), from_ns)
            for symbol, lengths in timeframes.items() for length in sorted(set(lengths))
        }  # fmt: skip
        self._base = {symbol: min(lengths) for symbol, lengths in timeframes.items() if lengths}
        self._check(timeframes)

    def _check(self, timeframes: Mapping[str, Sequence[int]]) -> None:
        known = self.wire.timeframes()
        for symbol, lengths in timeframes.items():
            self.instrument(symbol)
            for length in lengths:
                if length not in known:
                    has = ", ".join(known[each] for each in sorted(known))
                    raise ConfigError(
                        f"expected bars of {symbol} of a length that {self.client.exchange} has ({has}), found "
                        f"{format_duration(length)}",
                        symbol=symbol,
                    )

    # -- looking -------------------------------------------------------------------------------------------------------

    def instrument(self, symbol: str) -> Instrument:
        """The rules of a symbol, the exchange's.

        Raises:
            ConfigError: it is not traded.
        """
        found = self.rules.get(symbol)
        if found is None:
            raise ConfigError(f"expected a symbol that is traded, found {symbol}", symbol=symbol)
        return found

    def quote(self, symbol: str) -> Quote | None:
        """The last quote, whose instant is that of the question that brought it; None before the first.

        Raises:
            ConfigError: the symbol is not traded.
        """
        self.instrument(symbol)
        return self._quotes.get(symbol)

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """The closed bars of a timeframe.

        Raises:
            ConfigError: the symbol or the timeframe was not asked for.
        """
        self.instrument(symbol)
        found = self._bars.get((symbol, timeframe_ns))
        if found is None:
            raise ConfigError(
                f"{symbol} has no bars of {format_duration(timeframe_ns)}; subscribe the timeframe before the start"
            )
        return found.series

    def base_series(self, symbol: str) -> BarSeries:
        """The finest closed bars.

        Raises:
            ConfigError: the symbol is not traded, or no bars of it were asked for.
        """
        self.instrument(symbol)
        if symbol not in self._base:
            raise ConfigError(f"no bars of {symbol} were asked for; subscribe a timeframe before the start")
        return self._bars[symbol, self._base[symbol]].series

    # -- reading -------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Read bars and quotes, and show them; no quote is older than a bar that is shown with it.

        Raises:
            BrokerUnavailable: no answer to some of it; the rest is shown.
        """
        problem: BrokerUnavailable | None = None
        for step in (self.fetch_bars, self.refresh_quotes):
            try:
                step()
            except BrokerUnavailable as error:
                problem = problem or error
        self.show_bars()
        if problem is not None:
            raise problem

    def refresh_quotes(self) -> None:
        """Read all quotes, in one request; one that is older at the exchange than the last one is not taken.

        A quote counts from when it was asked for, because a quiet market has no newer one; but one that has stood still
        at the exchange for `MOST_QUIET_NS` counts from when it was made there: its answers may be frozen.
        """
        asked_ns = self._now_ns()
        for symbol, (bid, ask, told_ms) in self.wire.quotes(self.rules).items():
            if told_ms < self._told_ms.get(symbol, 0):
                continue
            self._told_ms[symbol] = told_ms
            made_ns = told_ms * 1_000_000 - self.client.skew_ns
            frozen = bool(told_ms) and asked_ns - made_ns > MOST_QUIET_NS
            instant_ns = made_ns if frozen else asked_ns
            self._quotes[symbol] = make_quote(symbol=symbol, instant_ns=instant_ns, bid=bid, ask=ask)

    def fetch_bars(self) -> bool:
        """Read the bars that may have closed, without showing them; whether there are any to show.

        Raises:
            BrokerUnavailable: no answer to some of it.
        """
        failures: list[BrokerUnavailable | BrokerContractError] = []
        # What failed last is asked last, so that it keeps nobody from an answer.
        for bars in sorted(self._bars.values(), key=lambda each: each.failed):
            if len(failures) >= _MOST_FAILURES:
                break
            try:
                while self._read(bars):
                    continue
                bars.failed = False
            except (BrokerUnavailable, BrokerContractError) as error:
                bars.failed = True
                failures.append(error)
        if failures:
            raise BrokerUnavailable(failures[0].message)
        return self.has_bars()

    def has_bars(self) -> bool:
        """Whether bars were read that are not shown."""
        return any(bars.closed for bars in self._bars.values())

    def _read(self, bars: CcxtBars) -> bool:
        """Read one page; whether there may be another one."""
        asked_ns = self._now_ns()
        question = bars.question(asked_ns)
        if question is None:
            return False
        since_ns, count = question
        symbol = bars.series.symbol
        rows = self.wire.bars(symbol, bars.length_ns, since_ns, count)
        more, late, revised = bars.take(rows, count, asked_ns, self._settle_ns)
        self.late.extend(self._odd(bars, row) for row in late)
        self.revised.extend(self._odd(bars, row) for row in revised)
        return more

    def _odd(self, bars: CcxtBars, row: Row) -> OddBar:
        return OddBar(symbol=bars.series.symbol, timeframe_ns=bars.length_ns, open_ns=row[0], values=row[1])

    def show_bars(self) -> None:
        """Show what was read: instant by instant, each with all its bars or when its settling is over."""
        every = list(self._bars.values())
        rows = sorted(
            (opens_ns + bars.length_ns, i, opens_ns) for i, bars in enumerate(every) for opens_ns in bars.closed
        )
        if not rows:
            return
        settled_ns = self._now_ns() - self._settle_ns
        known_ns = max(settled_ns, min(bars.decided_ns for bars in every))
        for ends_ns, i, opens_ns in rows:
            if ends_ns > known_ns:
                if any(bars.decided_ns < ends_ns and bars.ends_at(ends_ns) for bars in every):
                    return
                known_ns = ends_ns
            every[i].show(opens_ns)
