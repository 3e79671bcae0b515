"""CcxtSpotBroker: the Broker port over a spot account of an exchange; see `ccxt_broker`, of which it says what differs.

What the bot holds is what its own executions add up to. Coins that were there before, or that others bring, are never
counted as the bot's, and never sold. Nothing is borrowed, and nothing only reduces: an order that sells is cut to what
may be sold of the position before it is sent, and whatever ties up its coins is taken away first.
"""

import math
from contextlib import suppress
from dataclasses import replace

from src.brokers.ccxt_broker import CcxtBroker
from src.brokers.ccxt_errors import RATE_LIMIT
from src.brokers.ccxt_refusals import refused, request_refusal
from src.brokers.ccxt_spot_guards import SpotGuards
from src.brokers.ccxt_spot_ledger import SpotLedger
from src.brokers.ccxt_spot_picture import SpotPicture
from src.brokers.ccxt_spot_reading import SpotReader
from src.brokers.ccxt_spot_wire import SpotWire
from src.core.book import Book
from src.core.config import AccountConfig
from src.core.errors import BrokerUnavailable, ConfigError, InternalError
from src.core.instrument import Instrument
from src.core.records import OrderRequest, OrderResult, OrderType, Side, TimeInForce, TriggerBy

__all__ = ["CcxtSpotBroker"]

#: Order lists are asked for in the words of an exchange, ccxt has none of its own for them.
_KNOWN = ("binance",)
_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)


class CcxtSpotBroker(CcxtBroker):
    """See `CcxtBroker`, for its arguments as well; of a price that triggers there is the last one alone."""

    KIND = "spot"
    WIRE = SpotWire
    ONE_POSITION = False

    def _check_account(self, account: AccountConfig) -> None:
        if account.type != "spot":
            raise ConfigError("expected a spot account, which is all that this broker has; write account.type: spot")

    def _make_parts(self, trigger_by: TriggerBy, protect_within_ns: int) -> None:
        if trigger_by is TriggerBy.MARK:
            raise ConfigError("expected live.trigger_by: last, found mark; a spot market has no mark price")
        if self.client.exchange not in _KNOWN:
            raise ConfigError(
                f"expected an exchange whose order lists are known ({', '.join(_KNOWN)}) for a spot account, found "
                f"{self.client.exchange}"
            )
        if not isinstance(self._wire, SpotWire):
            raise InternalError("the wire is not one of a spot account")
        in_flight_ns, currency = self._connection.in_flight_ns, self.account_config.currency
        ledger = self._ledger = self._spot = SpotLedger(self._rules)
        self.picture = SpotPicture(self._rules, currency, protect_within_ns, self.feed.quote)
        self._reader = SpotReader(self._wire, ledger, self._lock, currency, self._venue_ns, in_flight_ns, self._fee)
        self._guards = self._spot_guards = SpotGuards(
            self._wire, ledger, self._lock, self._clock_ns, in_flight_ns, protect_within_ns
        )  # fmt: skip

    @property
    def foreign(self) -> dict[str, float]:
        """Nothing: other people's coins are no position, and in nobody's way."""
        return {}

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`."""
        rules = self._rules.get(request.symbol)
        if rules is None:
            return refused("unknown_symbol", f"{request.symbol} is not traded")
        refusal = _spot_refusal(request)
        if refusal is None and request.side is Side.BUY:
            refusal = self._remainder_refusal(rules, request)
        if refusal is not None:
            return refusal
        return super().place(request) if request.side is Side.BUY else self._sell(rules, request)

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker.modify`; a spot market has no changes."""
        if self._working(order_id) is None:
            return refused("not_working", f"no working order {order_id}")
        return refused("unsupported", "the exchange changes no orders of its spot market; cancel it and place another")

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _sell(self, rules: Instrument, request: OrderRequest) -> OrderResult:
        with self._lock:
            book = self._sold_from(request)
            held = 0.0 if book is None else book.volume
            sellable = 0.0 if book is None else self._spot.sellable(book)
            used = self._ledger.was_used(request.client_id)
        if used:
            return refused("duplicate_id", f"the id {request.client_id} was used before")
        quote = self.feed.quote(request.symbol)
        if book is None:
            code = "nothing_to_reduce" if request.reduce_only else "short_on_spot"
            return refused(code, f"a spot account can sell only what it holds of {request.symbol}, which is nothing")
        if not math.isfinite(request.volume):
            return refused("volume", f"expected a positive volume, found {request.volume!r}")
        if not request.volume > 0 or (request.volume > held and not request.reduce_only):
            code = "short_on_spot" if request.volume > 0 else "volume"
            return refused(code, f"a spot account can sell only what it holds of {request.symbol}, {held:g}")
        request = _cut(request, book, sellable)
        refusal = request_refusal(rules, request, quote, self._venue_ns())
        bid = None if quote is None else quote.bid
        refusal = refusal or _value_refusal(rules, request, bid) or _left_refusal(rules, request, book, sellable, bid)
        if refusal is not None:
            return refusal
        if request.type is not OrderType.MARKET and request.time_in_force not in _AT_ONCE:
            return self._sell_later(request, book)
        return self._sell_now(request, book)

    def _remainder_refusal(self, rules: Instrument, request: OrderRequest) -> OrderResult | None:
        """What is bought has to be worth selling with what is held already: at its stop, or else at once."""
        if not math.isfinite(request.volume) or request.volume < rules.min_volume:
            return None  # others say so
        kept = self._fee if rules.fees_in_base else 0.0
        with self._lock:
            own = [book for book in self._ledger.books(request.symbol) if book.book == request.book]
            held, stop = (own[0].volume, own[0].stop) if own else (0.0, None)
        arrives = rules.round_volume(held + request.volume * (1 - kept))
        if arrives <= 0 or arrives < rules.min_volume:
            return refused("min_volume", f"of {request.volume:g} the fee leaves less than can be sold; buy more")
        quote = self.feed.quote(request.symbol)
        price = request.limit or request.price or (None if quote is None else quote.bid)
        levels = [price, stop, request.stop]
        if price is not None and request.stop_distance is not None:
            levels.append(price - request.stop_distance)
        worth = arrives * min((each for each in levels if each is not None), default=math.inf)
        if 0 < worth < rules.min_notional:
            least = f"the least value {rules.min_notional:g}"
            return refused(
                "min_notional", f"at its stop or price {arrives:g} would be worth less than {least}; buy more"
            )
        return None

    def _sold_from(self, request: OrderRequest) -> Book | None:
        if request.position_id:
            return self._ledger.book(request.position_id)
        own = [book for book in self._ledger.books(request.symbol) if book.book == request.book]
        return own[0] if own else None

    def _sell_later(self, request: OrderRequest, book: Book) -> OrderResult:
        """An order that rests ties up its coins, beside a stop or a target there are none left for it."""
        if book.stop is not None or book.target is not None:
            return refused("unsupported", f"the coins of {book.symbol} are tied up by its stop or target; move those")
        if request.volume > self._spot_guards.room(book):
            return refused("tied_up", f"the coins of {book.symbol} are tied up by other orders; cancel those")
        return super().place(request)

    def _sell_now(self, request: OrderRequest, book: Book) -> OrderResult:
        with self._lock:
            whole = request.reduce_only and request.volume >= self._spot.sellable(book)
        try:
            with self._spot_guards.making_room(book, whole=whole) as free:
                if not free:
                    return refused(RATE_LIMIT, f"what guards {book.symbol} cannot be taken away now; ask again")
                room = self._spot_guards.room(book)
                if room < request.volume and not (request.reduce_only and room):
                    with self._lock:  # what is on its way is known soon
                        on_way = any(not each.acknowledged for each in self._spot.sales(book))
                    code = RATE_LIMIT if on_way else "tied_up"
                    return refused(code, f"the coins of {book.symbol} are tied up by other orders that sell")
                return super().place(replace(request, volume=min(room, request.volume)))
        finally:
            with suppress(BrokerUnavailable):
                self._guards.settle([book.symbol])  # what is left is not without its stop until the next reading


def _cut(request: OrderRequest, book: Book, sellable: float) -> OrderRequest:
    """A request to sell for what may be sold of it: all that is held is sold in whole steps."""
    volume = request.volume
    if volume >= book.volume or (request.reduce_only and volume > sellable):
        volume = sellable
    return replace(request, volume=volume, position_id=book.position_id)


def _spot_refusal(request: OrderRequest) -> OrderResult | None:
    """What a spot market does not have."""
    if request.type is OrderType.TRAILING_STOP:
        return refused("unsupported", "the spot market has no trailing stops")
    if request.expires_ns is not None or request.time_in_force is TimeInForce.GTD:
        return refused("time_in_force", "orders of the spot market do not end by themselves")
    if request.trigger_by is TriggerBy.MARK:
        return refused("unsupported", "the spot market has no mark price to trigger by")
    if request.reverse and request.side is Side.SELL:
        return refused("short_on_spot", "a spot account cannot be short, so nothing reverses there")
    if request.side is Side.BUY and request.reduce_only:
        return refused("nothing_to_reduce", "a spot account is never short, so buying reduces nothing")
    return None


def _left_refusal(
    rules: Instrument, request: OrderRequest, book: Book, sellable: float, bid: float | None
) -> OrderResult | None:  # fmt: skip
    """What a sale leaves has to be worth selling as well: neither a stop nor another sale of it would be taken."""
    left = rules.round_volume(max(sellable - request.volume + rules.volume_step / 2, 0.0))
    at = min((each for each in (bid, book.stop) if each is not None), default=math.inf)
    if left >= max(rules.min_volume, rules.volume_step) and 0 < left * at < rules.min_notional:
        least = f"the least value {rules.min_notional:g}"
        return refused(
            "min_notional", f"the {left:g} that it leaves would be worth less than {least}; sell all or less"
        )
    return None


def _value_refusal(rules: Instrument, request: OrderRequest, bid: float | None) -> OrderResult | None:
    """The least of an order, which here holds for those that only reduce as well."""
    if request.volume < rules.min_volume or request.volume <= 0:
        return refused("min_volume", f"{request.volume:g} is below the least volume {rules.min_volume:g}")
    value = request.volume * (request.limit or request.price or bid or 0.0)
    if value < rules.min_notional:
        return refused("min_notional", f"{value:g} is below the least value {rules.min_notional:g}")
    return None
