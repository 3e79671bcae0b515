"""Kill: takes a bot out of the market from a process of its own, whether the bot runs, hangs or is dead.

It has its own connection to the venue and asks nothing of the bot. What is the bot's it knows by the ids of what the
bot has sent; whatever is not recognised by those is other people's and is never touched. The order of things: the latch
is set by whoever calls, then entries are cancelled, then positions are closed by orders that can only reduce, and only
once nothing is held its protection is cancelled. All of it is looked at again until nothing is left, and until nothing
that was under way at the start can arrive any more.

Called by one thread, which waits for the network and between looks.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from src.brokers.ccxt_client import RECEIVE_NS, CcxtClient
from src.brokers.ccxt_errors import NOT_WORKING, Refusal
from src.brokers.ccxt_instruments import rules_of
from src.brokers.ccxt_ledger import CcxtLedger
from src.brokers.ccxt_order import VenueOrder
from src.brokers.ccxt_reading import CcxtReader
from src.brokers.ccxt_records import Report
from src.brokers.ccxt_spot_guards import SpotGuards
from src.brokers.ccxt_spot_ledger import SpotLedger
from src.brokers.ccxt_spot_reading import SpotReader
from src.brokers.ccxt_spot_wire import SpotWire
from src.brokers.ccxt_wire import CcxtWire
from src.core.book import Book
from src.core.errors import BrokerContractError, BrokerUnavailable, ConfigError, DataError
from src.core.ids import client_id
from src.core.instrument import Instrument
from src.core.record import record
from src.core.records import OrderRequest, OrderType, Side, make_order_request
from src.core.sync import Event, Lock, wall_ns
from src.live.wire import from_plain, to_plain

__all__ = ["Kill", "KillReport", "Known", "remember", "remembered", "sent_for", "venue_clock"]

#: What the bot has sent, and when the first of it was; None where it has sent nothing.
Known = tuple[Sequence[OrderRequest], int | None]

#: As long as somebody at a terminal waits.
_MOST_ROUNDS = 120
_PAUSE_S = 0.5
_PASSES = 8
#: What was sent may still arrive so long after it.
_IN_FLIGHT_NS = 2 * RECEIVE_NS
#: Where closing orders are kept, and how many of them.
_KEY, _MOST_KEPT = "closed from outside", 500


@record
class KillReport:
    """What came of it.

    Attributes:
        done: everything that was asked for was done, and nothing of it is left.
        cancelled, closed: what was sent, in words.
        left: what could not be done, one sentence each.
        foreign: what is other people's and was not touched, one sentence each.
    """

    done: bool
    cancelled: tuple[str, ...]
    closed: tuple[str, ...]
    left: tuple[str, ...]
    foreign: tuple[str, ...]


class Texts(Protocol):
    """Texts under keys that outlive the process."""

    def value(self, key: str) -> str | None: ...
    def keep(self, key: str, value: str | None) -> None: ...


class _View:
    """What one look at the venue has shown.

    Attributes:
        agrees: positions and executions tell of one instant.
        own: the orders of this bot that work, with what the venue says of each, and whether it keeps them apart.
        others: other people's orders that work.
    """

    def __init__(self, ledger: CcxtLedger, reader: CcxtReader) -> None:
        self.ledger = ledger
        self.reader = reader
        self.agrees = False
        self.own: list[tuple[VenueOrder, Report, bool]] = []
        self.others: list[Report] = []


class Kill:
    """See the module's text.

    Args:
        client: the venue, with keys.
        instruments: the symbols as configured.
        currency: the account's.
        label: of the bot, part of the ids of the closing orders.
        known: tells what the bot has sent, again at each look, because it may still be sending.
        symbols: those to be taken out; all of them by default.
        keep_positions: stop once no entry works any more.
        remember: is given each closing order before it is sent, so that others recognise it.
        tell: is given a sentence for each thing that is done.
        now_ns: the present, by the clock that the client has.
        wait: lets so many real seconds pass.
    """

    def __init__(
        self, client: CcxtClient, instruments: Mapping[str, Instrument], currency: str, label: str,
        known: Callable[[], Known], *, symbols: Iterable[str] | None = None, keep_positions: bool = False,
        remember: Callable[[OrderRequest], None] = lambda request: None,
        tell: Callable[[str], None] = lambda sentence: None, now_ns: Callable[[], int] = wall_ns,
        wait: Callable[[float], Any] | None = None, rounds: int = _MOST_ROUNDS,
    ) -> None:  # fmt: skip
        self._client = client
        self._instruments = dict(instruments)
        self._currency = currency
        self._label = label
        self._known = known
        self._symbols = tuple(self._instruments if symbols is None else symbols)
        self._keep_positions = keep_positions
        self._remember = remember
        self._tell = tell
        self._now_ns = now_ns
        self._wait = Event().wait if wait is None else wait
        self._rounds = rounds
        self._wire: CcxtWire | None = None
        self._rules: dict[str, Instrument] = {}
        #: Symbols that the venue does not have any more, and what it says.
        self._gone: dict[str, ConfigError] = {}
        self._sent: list[OrderRequest] = []
        #: Of the closing orders that may be on their way, when they were sent.
        self._pending: dict[str, int] = {}
        #: When each request of the bot was first heard of: what is not known at the venue may have been sent just then.
        self._heard_ns: dict[str, int] = {}
        self._cancelled: dict[str, str] = {}
        self._closed: list[str] = []
        self._left: list[str] = []
        self._foreign: tuple[str, ...] = ()

    def run(self) -> KillReport:
        """Look and act until nothing is left; after about a minute without that, tell what is.

        Raises:
            ConfigError: the venue does not accept the keys, or has no such market.
        """
        began_ns = self._now_ns()
        for _ in range(self._rounds):
            self._left = []
            try:
                finished = self._round()
            except (BrokerUnavailable, BrokerContractError) as error:
                self._left = [error.message]
                finished = False
            if finished and self._now_ns() - began_ns >= _IN_FLIGHT_NS:
                break
            self._wait(_PAUSE_S)
        else:
            if not self._left:
                self._left = ["there was not enough time to see that nothing arrives any more"]
        return KillReport(
            done=not self._left, cancelled=tuple(self._cancelled.values()), closed=tuple(self._closed),
            left=tuple(self._left), foreign=self._foreign,
        )  # fmt: skip

    # -- one look ------------------------------------------------------------------------------------------------------

    def _round(self) -> bool:
        """Look once and do what can be done; True when there is nothing left that could be done."""
        requests, since_ns = self._known()
        wire = self._connected()
        sent_in = {request.symbol for request in requests}
        self._left += [f"{symbol}: {why.message}" for symbol, why in self._gone.items() if symbol in sent_in]
        view = self._look(wire, requests, since_ns)
        self._cancel(wire, [each for each in view.own if not each[0].request.reduce_only])
        for order, _, _ in view.own:
            if not order.request.reduce_only:
                self._left.append(f"the entry {_order_words(order)} still works")
        self._agree(view)
        self._foreign = tuple(self._strangers(view))
        if self._keep_positions:
            return not self._left
        if not view.agrees:
            self._left.append("the venue's answers about positions and executions do not agree")
            return False
        held = [(symbol, book) for symbol in self._symbols for book in view.ledger.books(symbol)]
        stuck = [self._close(wire, view, symbol, book) for symbol, book in held]
        for symbol in self._symbols:
            if not any(symbol == each for each, _ in held):  # only where nothing is held any more
                guards = [each for each in view.own if each[0].request.symbol == symbol]
                self._cancel(wire, [each for each in guards if each[0].request.reduce_only])
                for order, _, _ in guards:
                    if order.request.reduce_only:
                        self._left.append(f"the order {_order_words(order)} still works")
        return not self._left or bool(held) and all(stuck) and len(self._left) == len(held)

    def _connected(self) -> CcxtWire:
        if self._wire is None:
            self._client.measure_clock()
            venues = {symbol: rules.venue or symbol for symbol, rules in self._instruments.items()}
            markets: dict[str, dict[str, Any]] = {}
            self._gone = {}
            for symbol, venue in venues.items():
                try:
                    markets[symbol] = self._client.market(venue)
                except ConfigError as error:  # a market that was closed keeps nobody in the others
                    self._gone[symbol] = error
            if not markets:
                raise next(iter(self._gone.values()))
            in_steps = self._client.has_steps()
            self._rules = {
                symbol: rules_of(self._instruments[symbol], market, in_steps=in_steps)
                for symbol, market in markets.items()
            }
            self._symbols = tuple(symbol for symbol in self._symbols if symbol in markets)
            spot = any(rules.kind == "spot" for rules in self._rules.values())
            self._wire = SpotWire(self._client, markets) if spot else CcxtWire(self._client, markets)
        return self._wire

    def _look(self, wire: CcxtWire, requests: Sequence[OrderRequest], since_ns: int | None) -> _View:
        """Begin anew with everything that was sent: what the bot has sent since the last look is among it."""
        # What fees are worth matters to nobody here.
        more = Lock(), self._currency, self._venue_ns, _IN_FLIGHT_NS, 0.0
        if isinstance(wire, SpotWire):
            coins = SpotLedger(self._rules)
            reader: CcxtReader = SpotReader(wire, coins, *more)
            ledger: CcxtLedger = coins
        else:
            ledger = CcxtLedger(self._rules)
            reader = CcxtReader(wire, ledger, *more)
        skew_ns = self._client.skew_ns
        own = [*requests, *self._sent]
        # The bot's clock and the venue's differ a little, and what was sent at one instant may be told of an earlier.
        reader.begin(own, None if since_ns is None else since_ns + skew_ns - RECEIVE_NS)
        now = self._now_ns()
        for identity, each in ledger.orders.items():
            heard_ns = self._heard_ns.setdefault(identity, now)
            if not each.acknowledged and now - heard_ns < _IN_FLIGHT_NS:
                each.sent_ns = heard_ns
        view = _View(ledger, reader)
        for symbol in self._symbols:
            for conditional in (False, True):
                for report in wire.open_orders(symbol, conditional=conditional):
                    order = ledger.orders.get(report.client_id) or ledger.owner(symbol, report.venue_id)
                    if order is None:
                        view.others.append(report)
                    else:
                        view.own.append((order, report, conditional))
        return view

    def _agree(self, view: _View) -> None:
        if self._keep_positions:
            return
        view.agrees = any(view.reader.read() for _ in range(_PASSES))

    def _venue_ns(self) -> int:
        return self._now_ns() + self._client.skew_ns

    # -- what is done --------------------------------------------------------------------------------------------------

    def _cancel(self, wire: CcxtWire, orders: Iterable[tuple[VenueOrder, Report, bool]]) -> None:
        for order, report, conditional in orders:
            words = _order_words(order)
            refusal = wire.cancel(order.request.symbol, report.client_id, report.venue_id, conditional=conditional)
            if refusal is None:
                if order.request.client_id not in self._cancelled:
                    self._tell(f"cancelled {words}")
                self._cancelled[order.request.client_id] = words
            elif refusal.code != NOT_WORKING:
                self._left.append(f"{words} is not cancelled: {refusal.message}")

    def _close(self, wire: CcxtWire, view: _View, symbol: str, book: Book) -> bool:
        """Send what closes a position; True when it cannot be closed, whatever is done."""
        words = f"{abs(book.volume):g} {symbol} {'long' if book.volume > 0 else 'short'} of {book.book}"
        now = self._now_ns()
        for identity, sent_ns in self._pending.items():
            order = view.ledger.orders.get(identity)
            if order is None:
                continue  # sent since this look, for another position
            young = now - sent_ns < _IN_FLIGHT_NS
            if order.request.symbol == symbol and order.is_live and (order.acknowledged or young):
                self._left.append(f"{words} is still being closed")
                return False
        there = view.reader.holdings.get(symbol)
        shown = 0.0 if there is None else there.volume
        if shown * book.volume <= 0:
            self._left.append(
                f"{words} cannot be closed, because other people hold the opposite and the venue shows {shown:g}"
            )
            return True
        volume = min(abs(book.volume), abs(shown), self._rules[symbol].max_volume)
        room = self._room(wire, view, book)
        if room is None:
            self._left.append(f"{words} is tied up by its stop, target or other orders, which are being cancelled")
            return False
        volume = min(volume, room)
        if not volume or volume < self._rules[symbol].min_volume and room < abs(book.volume):
            self._left.append(f"{words} is too little to be sold, or tied up by other orders")
            return not view.ledger.live(symbol)
        request = make_order_request(
            client_id=client_id(f"{self._label}/kill", book.book, symbol, now, len(self._sent) + 1), book=book.book,
            symbol=symbol, side=Side.SELL if book.volume > 0 else Side.BUY, type=OrderType.MARKET, volume=volume,
            reduce_only=True, position_id=book.position_id, exit_kind="operator", reason="kill",
        )  # fmt: skip
        self._remember(request)
        self._sent.append(request)
        self._pending[request.client_id] = now
        self._left.append(f"{words} is being closed")
        self._tell(f"closing {words}")
        answer = wire.place(request)
        if isinstance(answer, Refusal):
            del self._pending[request.client_id]
            self._left[-1] = f"{words} is not closed: {answer.message}"
            return answer.code == "min_notional"
        self._closed.append(words)
        return False

    def _room(self, wire: CcxtWire, view: _View, book: Book) -> float | None:
        """What may be sold of a position on spot, where whatever ties it up goes first; None when that does not go.

        Of a position that an order can only reduce it is all.
        """
        ledger = view.ledger
        if not isinstance(wire, SpotWire) or not isinstance(ledger, SpotLedger):
            return abs(book.volume)
        guards = SpotGuards(wire, ledger, Lock(), self._now_ns, _IN_FLIGHT_NS, 1)
        with guards.making_room(book, whole=True) as free:
            return guards.room(book) if free else None

    def _strangers(self, view: _View) -> Iterable[str]:
        for symbol in self._symbols:
            volume = view.ledger.foreign[symbol]
            if volume:
                yield f"{volume:g} {symbol} is held without this bot's ids and was not touched"
        for report in view.others:
            yield f"the order {report.client_id or report.venue_id} in {report.symbol} has none of this bot's ids"


def remember(state: Texts, request: OrderRequest) -> None:
    """Keep a closing order that is about to be sent, so that the bot's next process knows it for its own."""
    found = [*_kept(state), to_plain(request)]
    state.keep(_KEY, json.dumps(found[-_MOST_KEPT:]))


def remembered(state: Texts, known: Iterable[OrderRequest]) -> list[OrderRequest]:
    """The closing orders that were sent for this bot from outside of it, of positions that known requests opened."""
    positions = {request.client_id for request in known}
    found = [from_plain(OrderRequest, each) for each in _kept(state)]
    return [each for each in found if each.position_id in positions and each.client_id not in positions]


def sent_for(state: Texts, client_id: str) -> OrderRequest | None:
    """The closing order of a client id that was sent for this bot from outside of it; None when there was none."""
    try:
        kept = _kept(state)
    except DataError:  # whoever asks goes on without
        return None
    return next((from_plain(OrderRequest, each) for each in kept if each["client_id"] == client_id), None)


def _kept(state: Texts) -> list[Any]:
    text = state.value(_KEY)
    return [] if text is None else list(json.loads(text))


def venue_clock(
    speed: float, venue_ns: int, real_ns: int, present_ns: Callable[[], int] = wall_ns
) -> Callable[[], int]:
    """The present of a venue to test against, whose time runs at a speed and was `venue_ns` at `real_ns`."""

    def now_ns() -> int:
        return venue_ns + round((present_ns() - real_ns) * speed)

    return now_ns


def _order_words(order: VenueOrder) -> str:
    request = order.request
    price = "" if request.price is None else f" at {request.price:g}"
    return f"{request.side} {request.volume:g} {request.symbol}{price} ({request.client_id})"
