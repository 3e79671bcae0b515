"""World: what the bot sees of the market and of its account, as of the last time that it was told.

It changes only inside turns, by `Change`s, each of which can be written down and applied again; so a bot that is given
the same changes at the same places sees the same. Bars, orders, positions and events are copies of what the source
shows; nobody but the holder of the turn touches them.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from src.core.bars import BarSeries
from src.core.broker import Broker
from src.core.errors import ConfigError
from src.core.records import (
    Account,
    Order,
    OrderEvent,
    Position,
    Quote,
    Snapshot,
    make_account,
    make_position,
    make_quote,
    make_snapshot,
)
from src.core.timeframe import format_duration
from src.core.wake import Signals
from src.live.wire import from_plain, to_plain

__all__ = ["Change", "SeriesKey", "World", "bar_values", "late_symbols"]

#: What became visible at once, as plain values; see `docs/recording.md`.
Change = dict[str, Any]
#: Symbol, length of a bar in nanoseconds, and which price the bars are made of.
SeriesKey = tuple[str, int, str]


class World:
    """See the module's text.

    Args:
        series: the bars that are shown; of each symbol the finest are its base bars.
        currency: the account's.

    Attributes:
        signals: its `changes` grows with each order event.
    """

    def __init__(self, series: Iterable[SeriesKey], currency: str) -> None:
        self.signals = Signals()
        self._series = {
            (symbol, length): BarSeries.empty(symbol, length, price_side=side) for symbol, length, side in series
        }
        self._base: dict[str, BarSeries] = {}
        for (symbol, length), bars in self._series.items():
            if symbol not in self._base or length < self._base[symbol].timeframe_ns:
                self._base[symbol] = bars
        self._quotes: dict[str, Quote] = {}
        self._account = make_account(currency=currency, instant_ns=0, balance=0.0, equity=0.0, margin_used=0.0)
        self._positions: dict[str, tuple[Position, ...]] = dict.fromkeys(self._base, ())
        #: As the source orders them.
        self._told_positions: tuple[Position, ...] = ()
        self._orders: tuple[Order, ...] = ()
        #: Made whole before it is shown, since threads without a turn may look at it.
        self._snapshot = make_snapshot(account=self._account, positions=(), orders=())
        self._mailboxes: dict[str, deque[OrderEvent]] = {symbol: deque() for symbol in self._base}
        self._flat: dict[tuple[str, str], Position] = {}
        #: Executions that were told, so that a source that begins anew does not tell them again.
        self._told: set[str] = set()

    # -- looking ---------------------------------------------------------------------------------------

    def quote(self, symbol: str) -> Quote | None:
        """The last quote, None before the first.

        Raises:
            ConfigError: the symbol is not traded; so for the others.
        """
        self._known(symbol)
        return self._quotes.get(symbol)

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """The closed bars of a timeframe."""
        self._known(symbol)
        found = self._series.get((symbol, timeframe_ns))
        if found is None:
            raise ConfigError(
                f"{symbol} has no bars of {format_duration(timeframe_ns)}; subscribe them before the start"
            )
        return found

    def base_series(self, symbol: str) -> BarSeries:
        """The finest closed bars."""
        self._known(symbol)
        return self._base[symbol]

    def all_series(self) -> Sequence[BarSeries]:
        """All of them."""
        return tuple(self._series.values())

    def snapshot(self) -> Snapshot:
        """Account, positions and orders."""
        return self._snapshot

    def equity(self) -> float:
        """The account's."""
        return self._account.equity

    def positions(self, symbol: str) -> tuple[Position, ...]:
        """The open positions of a symbol, oldest first."""
        self._known(symbol)
        return self._positions[symbol]

    def position(self, book: str, symbol: str) -> Position:
        """What a book holds; the same object while it holds nothing."""
        own = [each for each in self.positions(symbol) if each.book == book]
        if len(own) > 1:
            return replace(own[0], volume=sum(each.volume for each in own))
        if own:
            return own[0]
        flat = self._flat.get((book, symbol))
        if flat is None:
            flat = self._flat[book, symbol] = make_position(position_id="", book=book, symbol=symbol, volume=0.0)
        return flat

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        """The events of a symbol that nobody has taken."""
        self._known(symbol)
        return self._mailboxes[symbol]

    def _known(self, symbol: str) -> None:
        if symbol not in self._base:
            raise ConfigError(f"expected a symbol that is traded, found {symbol}", symbol=symbol)

    # -- changing --------------------------------------------------------------------------------------

    def collect(self, source: Broker, *, prices: bool = True) -> Change:
        """What the source shows and this world does not; empty when there is nothing.

        Events that are taken from the source here must be applied.

        Args:
            prices: whether quotes and bars are looked at too.
        """
        change: Change = {}
        # Events first: what they tell is then in the account that is read after them, or older than it.
        events = {}
        for symbol in self._base:
            if fresh := self._fresh(source.mailbox(symbol)):
                events[symbol] = to_plain(fresh)
        snapshot = source.snapshot()
        if prices:
            self._collect_prices(source, change)
        if snapshot.account != self._account:
            change["account"] = to_plain(snapshot.account)
        if snapshot.positions != self._told_positions:
            change["positions"] = to_plain(snapshot.positions)
        if snapshot.orders != self._orders:
            change["orders"] = to_plain(snapshot.orders)
        if events:
            change["events"] = events
        return change

    def _fresh(self, arriving: "deque[OrderEvent]") -> list[OrderEvent]:
        found = []
        while arriving:
            event = arriving.popleft()
            if event.fill is None or event.fill.fill_id not in self._told:
                found.append(event)
        return found

    def _collect_prices(self, source: Broker, change: Change) -> None:
        bars = []
        for (symbol, length), own in self._series.items():
            theirs = source.series(symbol, length)
            last_ns = own.open_ns_at[own.length - 1] if own.length else -1
            i = theirs.length
            while i and theirs.open_ns_at[i - 1] > last_ns:
                i -= 1
            bars += [[symbol, length, *bar_values(theirs, at)] for at in range(i, theirs.length)]
        # Of bars that close at one instant the configured order of symbols stays, shorter ones first.
        if bars:
            change["bars"] = bars
        quotes = {}
        for symbol in self._base:
            quote = source.quote(symbol)
            if quote is not None and quote != self._quotes.get(symbol):
                quotes[symbol] = [quote.instant_ns, quote.bid, quote.ask, quote.rate]
        if quotes:
            change["quotes"] = quotes

    def apply(self, change: Mapping[str, Any]) -> list[OrderEvent]:
        """Let a change become visible; the order events in it."""
        news: list[OrderEvent] = []
        for symbol, length, *values in change.get("bars", ()):
            self._series[symbol, length].append(*values)
        for symbol, (instant_ns, bid, ask, rate) in change.get("quotes", {}).items():
            self._quotes[symbol] = make_quote(symbol=symbol, instant_ns=instant_ns, bid=bid, ask=ask, rate=rate)
        if "account" in change:
            self._account = from_plain(Account, change["account"])
        if "positions" in change:
            held: dict[str, tuple[Position, ...]] = dict.fromkeys(self._base, ())
            self._told_positions = tuple([from_plain(Position, each) for each in change["positions"]])
            for position in self._told_positions:
                held[position.symbol] = (*held[position.symbol], position)
            self._positions = held
        if "orders" in change:
            self._orders = tuple([from_plain(Order, each) for each in change["orders"]])
        for symbol, events in change.get("events", {}).items():
            told = [from_plain(OrderEvent, each) for each in events]
            self._told.update(each.fill.fill_id for each in told if each.fill is not None)
            self._mailboxes[symbol].extend(told)
            news += told
            self.signals.changes += len(told)
        if any(key in change for key in ("account", "positions", "orders")):
            positions = tuple(each for symbol in sorted(self._positions) for each in self._positions[symbol])
            self._snapshot = make_snapshot(account=self._account, positions=positions, orders=self._orders)
        return news

    @property
    def told(self) -> frozenset[str]:
        """The executions that have become visible so far, by their ids."""
        return frozenset(self._told)


def late_symbols(change: Change, before_ns: int) -> list[str]:
    """Of which symbols a change has bars that closed before an instant."""
    late = [symbol for symbol, length, open_ns, *_ in change.get("bars", ()) if open_ns + length < before_ns]
    return list(dict.fromkeys(late))


def bar_values(series: BarSeries, at: int) -> list[Any]:
    """Open instant, open, high, low, close and volume of a bar."""
    return [series.open_ns_at[at], series.open_at[at], series.high_at[at], series.low_at[at], series.close_at[at],
            series.volume_at[at]]  # fmt: skip
