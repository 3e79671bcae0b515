"""PaperBroker: the Broker port over public prices of an exchange, with the fills of the simulated broker.

Nothing is sent anywhere. One thread calls `refresh` again and again: it reads the feed, which may wait for a network,
and then pumps what came into the simulated venue. Everything else may be called by any thread: what changes something
takes one lock, under which things happen one after the other, at instants that never go back.

The venue is a function of what happened to it. Each thing that happens is told to `on_event` before it is done, as
plain values that JSON can write; `restore` does the same things again, with the same orders, ids, fills and money. Of
quotes that reach nothing, only the last one of each symbol is told of, when something happens or a bar closes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from src.brokers.simulated import Costs, FillRules, LiveSimulatedBroker
from src.core.bars import BarSeries, FloatArray, IntArray
from src.core.clock import Clock
from src.core.config import AccountConfig
from src.core.errors import ConfigError, DataError
from src.core.instrument import Instrument
from src.core.journal import Journal
from src.core.passing_broker import PassingBroker
from src.core.records import Fill, Order, OrderRequest, OrderResult, Payment, Position, Quote, Snapshot, Trade
from src.core.sync import Lock
from src.live.paper_feed import ClosedBar, PaperEvent, PriceFeed, bars_after
from src.live.paper_rules import paper_costs, paper_funding
from src.live.wire import from_plain, to_plain

__all__ = ["ClosedBar", "PaperBroker", "PaperEvent", "PriceFeed"]


class _Present:
    """The venue's clock: the instant of what happens now."""

    def __init__(self) -> None:
        self.instant_ns = 0

    def now_ns(self) -> int:
        """That instant."""
        return self.instant_ns


class PaperBroker(PassingBroker):
    """See `Broker`; made by its constructor, begun by `start`, kept up to date by `refresh`.

    Args:
        feed: the prices.
        account: the account to keep, with the balance that it begins with.
        instruments: the rules of each symbol as they hold at the venue, in rank order; what a feed makes of the file's.
        timeframes: of each symbol the lengths of the bars that are wanted, nanoseconds; the finest are its base bars.
        costs, rules: as of a backtest; the spread is that of the quotes.
        now_ns: the present of the bot's clock.
        on_event: told each thing that happens before it is done; when it raises, nothing is done.
        journal: of the venue's own records; settled by the pump.

    Attributes:
        signals: its `changes` grows with each order event.
        journal: as given.

    Raises:
        ConfigError: costs that need what no feed has, naming the key.
    """

    def __init__(
        self, feed: PriceFeed, account: AccountConfig, instruments: Mapping[str, Instrument],
        timeframes: Mapping[str, Sequence[int]], costs: Costs, rules: FillRules, now_ns: Callable[[], int], *,
        on_event: Callable[[PaperEvent], None] | None = None, journal: Journal | None = None,
    ) -> None:  # fmt: skip
        paper_funding(instruments)
        lengths = {symbol: sorted(set(timeframes.get(symbol, ()))) for symbol in instruments}
        absent = [symbol for symbol, found in lengths.items() if not found]
        if absent:
            raise ConfigError(f"expected a timeframe of each symbol, found none of {', '.join(absent)}")
        self._series = {(symbol, length_ns): BarSeries.empty(symbol, length_ns)
                        for symbol in instruments for length_ns in lengths[symbol]}  # fmt: skip
        base = {symbol: self._series[symbol, lengths[symbol][0]] for symbol in instruments}
        derived = {key: series for key, series in self._series.items() if series is not base[key[0]]}
        broker = LiveSimulatedBroker(account, instruments, base, derived, paper_costs(costs), rules)
        super().__init__(broker)
        self._venue = broker
        self._feed = feed
        self._rules = dict(instruments)
        self._clock_ns = now_ns
        self._on_event = on_event
        self._present = _Present()
        self.journal = Journal() if journal is None else journal
        broker.bind(cast(Clock, self._present), self.journal)  # of the port it asks for the present alone
        self.signals = broker.signals
        self._rank = {symbol: rank for rank, symbol in enumerate(instruments)}
        #: Held for as long as one thing happens; the feed is never asked under it.
        self._gate = Lock()
        #: Quotes that nothing depended on and nobody was told of, by symbol, and when the last of them was pumped.
        self._untold: dict[str, list[Any]] = {}
        self._untold_ns = 0
        self._started = False

    # -- whoever feeds the bot ---------------------------------------------------------------------

    @property
    def skew_ns(self) -> None:
        """Nobody measures: nothing is stamped by the bot's clock that an exchange would look at."""
        return

    @property
    def feed(self) -> PriceFeed:
        """The prices, as they were given."""
        return self._feed

    @property
    def differing(self) -> tuple[str, ...]:
        """Sentences about rules that the configuration has otherwise."""
        return self._feed.differing

    def start(
        self, known: Iterable[OrderRequest] = (), since_ns: int | None = None, sent_ns: Mapping[str, int] | None = None
    ) -> None:
        """Take what the feed has: bars that have closed are history; once, before trading, after `restore` if at all.

        Args:
            known: for a broker that has to recognise orders; here nobody else has any.
            since_ns, sent_ns: likewise.

        Raises:
            BrokerUnavailable: the feed has no answer.
        """
        self._feed.refresh()
        rules = {symbol: each for symbol, each in self._rules.items()
                 if not self._started or each != self._venue.instrument(symbol)}  # fmt: skip
        if not self._started:
            self._happen({"what": "start", "rules": _plain(rules)}, self._begin)
        elif rules:
            self._happen({"what": "rules", "rules": _plain(rules)}, self._set_rules)
        self._pump_feed()

    def restore(self, events: Iterable[PaperEvent], taken: Mapping[str, int] | None = None) -> None:
        """Let happen again what happened, in its order; once, before `start`. Nobody is told of it.

        Args:
            events: from the first one on.
            taken: how many order events were taken out of the mailbox of each symbol before; the mailboxes hold the
                later ones afterwards, by default all of them.

        Raises:
            BrokerUnavailable: the feed has no answer; its older bars are the history that bars come after.
            DataError: the events are not those of such a broker, or of other symbols or timeframes.
        """
        self._feed.refresh()
        acts: dict[str, Callable[[PaperEvent], Any]]
        acts = {"start": self._begin, "rules": self._set_rules, "pump": self._pump}
        with self._gate:
            for event in events:
                try:
                    at_ns = event["at"]
                    act = acts.get(event["what"]) or self._act_of(event)
                    known = self._knows(event)
                except (KeyError, TypeError) as error:
                    raise DataError(f"expected an event of a paper account, found {event!r}") from error
                if not known:
                    raise DataError(
                        f"expected prices of {', '.join(self._rank)} in the timeframes that are read, found others in "
                        f"{event!r}: go on with the configuration that wrote them"
                    )
                self._do(at_ns, event, act)
            for symbol, count in (taken or {}).items():
                mailbox = self._venue.mailbox(symbol)
                for _ in range(min(count, len(mailbox))):
                    mailbox.popleft()

    def _knows(self, event: PaperEvent) -> bool:
        """Whether all prices of an event are of series that are here."""
        return all(row[0] in self._rank for row in event.get("quotes", ())) and all(
            (row[0], row[1]) in self._series for row in event.get("bars", ())
        )

    def refresh(self) -> None:
        """Read the feed and move the venue to the present, with as much as the feed has got.

        Raises:
            BrokerUnavailable: a part of the feed has no answer; the rest is worked, and orders end in time.
        """
        try:
            self._feed.refresh()
        finally:
            self._pump_feed()

    def pump(self, instant_ns: int, quotes: Iterable[Quote], bars: Iterable[ClosedBar]) -> None:
        """Move the venue to an instant, at which these quotes and bars have become known.

        Bars are worked at their closes and quotes at their instants, bars first. A quote that is not newer than the
        last one of its symbol, or whose ask is below its bid, is left out, and so is a bar that does not come after the
        last one of its series.
        """
        rows: list[list[Any]] = [
            [each.symbol, each.instant_ns, each.bid, each.ask] for each in quotes if self._is_new(each)
        ]
        closed = [list(each) for each in bars if self._follows(each)]
        event: PaperEvent = {"what": "pump", "quotes": rows, "bars": closed}
        with self._gate:
            at_ns = max(instant_ns, self._present.instant_ns)
            if not closed and self._is_quiet(at_ns, rows):
                self._untold.update({row[0]: row for row in rows})
                self._untold_ns = at_ns
            else:
                self._tell(at_ns, event)
            self._do(at_ns, event, self._pump)

    def _is_quiet(self, at_ns: int, rows: Sequence[Sequence[Any]]) -> bool:
        """Whether nothing happens but that prices are others."""
        due_ns = self._venue.next_ending_ns
        return (due_ns is None or due_ns > at_ns) and all(self._venue.is_quiet(row[0], row[2], row[3]) for row in rows)

    def _pump_feed(self) -> None:
        quotes = [self._feed.quote(symbol) for symbol in self._rank]
        self.pump(self._clock_ns(), [each for each in quotes if each is not None], self._new_bars())

    def _new_bars(self) -> list[ClosedBar]:
        return [bar for key, own in self._series.items() for bar in bars_after(self._feed.series(*key), own)]

    def _is_new(self, quote: Quote) -> bool:
        last = self._venue.quote(quote.symbol)
        return 0 < quote.bid <= quote.ask and (last is None or quote.instant_ns > last.instant_ns)

    def _follows(self, bar: ClosedBar) -> bool:
        own = self._series.get((bar.symbol, bar.timeframe_ns))
        return own is not None and (not own.length or bar.open_ns > own.open_ns_at[own.length - 1])

    # -- what happens ------------------------------------------------------------------------------

    def _happen(self, event: PaperEvent, act: Callable[[PaperEvent], Any]) -> Any:
        """Let a thing happen at the present instant; what `act` gives."""
        with self._gate:
            at_ns = max(self._clock_ns(), self._present.instant_ns)
            self._tell(at_ns, event)
            return self._do(at_ns, event, act)

    def _tell(self, at_ns: int, event: PaperEvent) -> None:
        """Tell of an event, and before it of the prices of which nobody was told; with the gate held."""
        if self._on_event is not None:
            if self._untold:
                quotes = list(self._untold.values())
                self._on_event({"at": self._untold_ns, "what": "pump", "quotes": quotes, "bars": []})
            self._on_event({"at": at_ns, **event})
        self._untold.clear()

    def _do(self, at_ns: int, event: PaperEvent, act: Callable[[PaperEvent], Any]) -> Any:
        """Bring the venue to an instant and let the thing happen there; with the gate held."""
        if act == self._pump:
            at_ns = max(at_ns, self._present.instant_ns)
            first_ns = min([each[1] for each in event["quotes"]] + [self._close_of(each) for each in event["bars"]],
                           default=at_ns)  # fmt: skip
            self._end_orders(min(first_ns, at_ns))
        else:
            self._end_orders(at_ns)
        self._present.instant_ns = max(at_ns, self._present.instant_ns)
        return act(event)

    def _end_orders(self, until_ns: int) -> None:
        """End the orders whose time is over by an instant, each at its own."""
        while (due_ns := self._venue.next_ending_ns) is not None and due_ns <= until_ns:
            self._present.instant_ns = max(due_ns, self._present.instant_ns)
            self._venue.end_orders(self._present.instant_ns)

    def _begin(self, event: PaperEvent) -> None:
        """The account begins: what has closed is history."""
        self._set_rules(event)
        at_ns = self._present.instant_ns
        for key, own in self._series.items():
            for bar in bars_after(self._feed.series(*key), own):
                if bar.open_ns + bar.timeframe_ns <= at_ns:
                    own.append(*bar[2:])
        self._venue.rewind(at_ns)
        self._started = True

    def _set_rules(self, event: PaperEvent) -> None:
        """The rules of some symbols are others from now on."""
        for plain in event["rules"].values():
            self._venue.set_rules(from_plain(Instrument, plain))

    def _pump(self, event: PaperEvent) -> None:
        now_ns, venue = self._present.instant_ns, self._venue
        coming = [(self._close_of(each), 0, self._rank[each[0]], each[1], each) for each in event["bars"]]
        coming += [(each[1], 1, self._rank[each[0]], 0, each) for each in event["quotes"]]
        for at_ns, is_quote, _, _, row in sorted(coming, key=lambda each: each[:4]):
            if is_quote:
                venue.take_quote(row[0], row[2], row[3], min(at_ns, now_ns), now_ns)
            else:
                open_ns, o, h, low, c, volume = row[2:]
                venue.close_bar(row[0], row[1], (open_ns, o, h, low, c, volume), now_ns)
        self._end_orders(now_ns)
        self.journal.settle(now_ns)

    def _close_of(self, row: Sequence[Any]) -> int:
        return int(row[2] + row[1])

    def _act_of(self, event: PaperEvent) -> Callable[[PaperEvent], OrderResult]:
        """What a recorded call does."""
        venue, what = self._venue, event["what"]
        if what == "place":
            request = from_plain(OrderRequest, event["request"])
            return lambda _: venue.place(request)
        calls: Mapping[str, Callable[..., OrderResult]] = {
            "cancel": venue.cancel, "modify": venue.modify, "protect": venue.protect, "close": venue.close,
        }  # fmt: skip
        call, arguments = calls[what], event["arguments"]
        return lambda _: call(event["id"], **arguments)

    def _call(self, what: str, identity: str, **arguments: Any) -> OrderResult:
        event: PaperEvent = {"what": what, "id": identity, "arguments": arguments}
        return cast(OrderResult, self._happen(event, self._act_of(event)))

    # -- the Broker port ---------------------------------------------------------------------------

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker.quote`; as old as the question that brought it."""
        return self._venue.quote(symbol)

    def snapshot(self) -> Snapshot:
        """See `Broker.snapshot`; of the instant at which anything happened last."""
        return self._venue.snapshot()

    def equity(self) -> float:
        """See `Broker.equity`."""
        return self._venue.equity()

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker.position`."""
        return self._venue.position(book, symbol)

    def positions(self, symbol: str) -> Sequence[Position]:
        """See `Broker.positions`."""
        return self._venue.positions(symbol)

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`."""
        event: PaperEvent = {"what": "place", "request": to_plain(request)}
        return cast(OrderResult, self._happen(event, lambda _: self._venue.place(request)))

    def find_order(self, client_id: str) -> Order | None:
        """See `Broker.find_order`."""
        return self._venue.find_order(client_id)

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`."""
        return self._call("cancel", order_id)

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker.modify`."""
        return self._call("modify", order_id, price=price, limit=limit, volume=volume)

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`."""
        return self._call("protect", position_id, stop=stop, target=target, kind=kind)

    def close(
        self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit", reason: str = ""
    ) -> OrderResult:
        """See `Broker.close`."""
        return self._call("close", position_id, client_id=client_id, volume=volume, kind=kind, reason=reason)

    # -- results -----------------------------------------------------------------------------------

    def fills(self) -> list[Fill]:
        """All executions so far, in order."""
        return self._venue.fills()

    def trades(self) -> list[Trade]:
        """All closed trades so far, in order of closing."""
        return self._venue.trades()

    def payments(self) -> list[Payment]:
        """Money that came or went without an execution so far, in order."""
        return self._venue.payments()

    def orders(self) -> list[Order]:
        """All orders: the ended ones in the order of their end, then the living ones."""
        return self._venue.orders()

    def fidelity(self) -> dict[str, str]:
        """Where this account is coarser than a venue: a sentence by rule."""
        return {**self._venue.fidelity(), "paper": PAPER}

    def equity_samples(self) -> tuple[IntArray, FloatArray]:
        """Instants, strictly increasing, and equity after everything that happened at them, both of shape (n,)."""
        return self._venue.equity_samples()


def _plain(rules: Mapping[str, Instrument]) -> dict[str, Any]:
    return {symbol: to_plain(each) for symbol, each in rules.items()}


#: What whoever reads the results has to know.
PAPER = (
    "orders fill at quotes that are polled and at what closed bars prove, the whole of them at once: the size of the "
    "book and the place in its queue are not known"
)
