"""EdgeLimits: what must never leave, whoever decided it. The last thing before the venue, and it knows no risk manager.

It stands directly before the broker and judges by what that one shows now. What opens something is judged and may be
refused; what reduces, protects or cancels always passes, because refusing it would keep somebody in. Orders that are
being sent count as if they had arrived, so that threads that place at once exceed nothing together. Orders that nobody
answered count until the venue cannot accept them any more. Any thread may call; no lock is held across a broker's call.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from src.core.broker import Broker
from src.core.errors import DataError
from src.core.passing_broker import PassingBroker
from src.core.record import record
from src.core.records import (
    Order,
    OrderRequest,
    OrderResult,
    OrderType,
    Position,
    Quote,
    Side,
    Snapshot,
    make_order_result,
)
from src.core.sync import Lock
from src.core.timeframe import MINUTE_NS, SECOND_NS, format_duration
from src.live.account_state import Latch
from src.live.config import LimitsSection

__all__ = ["CODES", "EdgeLimits", "Switches"]

#: The codes of its refusals.
CODES = frozenset(
    ("latched", "paused", "no_state", "symbol_not_allowed", "unprotected", "no_number", "stale_price", "no_rate",
     "price_collar", "order_notional", "order_rate", "total_notional")
)  # fmt: skip

#: Sums of floats may exceed a limit by so little.
_TOLERANCE = 1 + 1e-9
#: An unanswered order counts for so many in-flight limits.
_IN_FLIGHT_LIMITS = 2

_BookKey = tuple[str, str]


class Switches(Protocol):
    """What stops all entries: the latch of the kill switch, and the pause. Asked before each entry, by any thread."""

    @property
    def latched(self) -> Latch | None: ...
    @property
    def paused(self) -> bool: ...


@record
class _Entry:
    """An order that may open something.

    Attributes:
        volume: what may still fill of it.
        price: of a unit, in the account's money.
        until_ns: of one that nobody answered, until when it counts; None while it is being sent.
    """

    request: OrderRequest
    volume: float
    price: float
    until_ns: int | None = None


class EdgeLimits(PassingBroker):
    """See `Broker`, and the text of the module for what it adds.

    The codes of its refusals: `latched`, `paused`, `no_state` (the switches cannot be read), `symbol_not_allowed`,
    `unprotected`, `no_number`, `stale_price`, `no_rate`, `price_collar`, `order_notional`, `order_rate`,
    `total_notional`.

    Args:
        broker: the venue.
        limits: what may not be exceeded.
        state: the switches.
        now_ns: the present, moving also inside turns.
        max_age_ns: how old the quote of an entry may be.
        need_stop: whether an entry has to bring a stop that rests at the venue.
        hedging: whether each entry opens a position of its own.
        on_refusal: is told of each refusal; called in the thread that wanted to send.
        sent_ns: when orders were sent before, by a process that has ended; they count for their minute.
    """

    def __init__(
        self, broker: Broker, limits: LimitsSection, state: Switches, now_ns: Callable[[], int], max_age_ns: int, *,
        need_stop: bool, hedging: bool = False,
        on_refusal: Callable[[OrderRequest, OrderResult], None] | None = None, sent_ns: Iterable[int] = (),
    ) -> None:  # fmt: skip
        super().__init__(broker)
        self._limits = limits
        self._state = state
        self._now_ns = now_ns
        self._max_age_ns = max_age_ns
        self._need_stop = need_stop
        self._hedging = hedging
        self._on_refusal = on_refusal
        self._wait_ns = _IN_FLIGHT_LIMITS * broker.connection().in_flight_ns
        self._lock = Lock()
        self._version = 0
        #: By client id, what the broker's snapshot may not show yet.
        self._sent: dict[str, _Entry] = {}
        #: When the orders of the last minute were sent.
        self._sent_ns: deque[int] = deque(sorted(each for each in sent_ns if each <= now_ns()))

    # -- what is only passed on ----------------------------------------------------------------------------------------

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker.quote`."""
        return self._broker.quote(symbol)

    def snapshot(self) -> Snapshot:
        """See `Broker.snapshot`."""
        return self._broker.snapshot()

    def equity(self) -> float:
        """See `Broker.equity`."""
        return self._broker.equity()

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker.position`."""
        return self._broker.position(book, symbol)

    def positions(self, symbol: str) -> Sequence[Position]:
        """See `Broker.positions`."""
        return self._broker.positions(symbol)

    def find_order(self, client_id: str) -> Order | None:
        """See `Broker.find_order`."""
        return self._broker.find_order(client_id)

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`."""
        return self._broker.cancel(order_id)

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`."""
        return self._broker.protect(position_id, stop=stop, target=target, kind=kind)

    def close(self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit",
              reason: str = "") -> OrderResult:  # fmt: skip
        """See `Broker.close`; counted among the orders of the minute and never refused."""
        self._count()
        return self._broker.close(position_id, client_id=client_id, volume=volume, kind=kind, reason=reason)

    # -- what is judged ------------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`; what only reduces is counted among the orders of the minute and never refused."""
        if request.reduce_only:
            self._count()
            return self._broker.place(request)
        return self._send(request, lambda: self._broker.place(request))

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker.modify`; a changed entry is judged as a new one in the place of the old one."""

        def change() -> OrderResult:
            return self._broker.modify(order_id, price=price, limit=limit, volume=volume)

        order = next((each for each in self._broker.snapshot().orders if each.order_id == order_id), None)
        if order is None or order.request.reduce_only:
            self._count()
            return change()
        return self._send(_changed(order.request, price, limit, volume), change, order)

    def _send(self, request: OrderRequest, send: Callable[[], OrderResult], before: Order | None = None) -> OrderResult:
        refusal = self._refusal(request, before)
        if refusal is not None:
            if self._on_refusal is not None:
                self._on_refusal(request, refusal)
            return refusal
        answered = False
        try:
            result = send()
            # Accepted without an id: nobody knows yet under which one it will be shown.
            answered = not result.accepted or bool(result.order_id)
        finally:
            self._end_sending(request.client_id, answered)
        return result

    def _end_sending(self, client_id: str, answered: bool) -> None:
        with self._lock:
            sent = self._sent.pop(client_id, None)  # the same order may be changed by two threads at once
            if sent is not None and not answered:
                self._sent[client_id] = replace(sent, until_ns=self._now_ns() + self._wait_ns)
            self._version += 1

    def _refusal(self, request: OrderRequest, before: Order | None) -> OrderResult | None:
        """Judge an entry, or how it is to be; None when it may leave, and then it counts as being sent."""
        refusal = self._of_switches() or self._of_shape(request)
        if refusal is not None:
            return refusal
        now = self._now_ns()
        quote = self._broker.quote(request.symbol)
        if quote is None:
            return _refused("stale_price", f"{request.symbol} has no price yet")
        age_ns = now - quote.instant_ns
        if age_ns > self._max_age_ns:
            return _refused(
                "stale_price",
                f"the price of {request.symbol} is {age_ns / SECOND_NS:.1f} s old, "
                f"{format_duration(self._max_age_ns)} is allowed",
            )
        if not (math.isfinite(quote.rate) and quote.rate > 0):
            return _refused("no_rate", f"the value of {request.symbol} in the account's money is unknown")
        return self._of_prices(request, quote) or self._reserve(request, before, quote, now)

    def _of_switches(self) -> OrderResult | None:
        try:
            latch, paused = self._state.latched, self._state.paused
        except DataError as error:
            return _refused("no_state", f"nobody knows whether entries are stopped: {error.message}")
        if latch is not None:
            return _refused("latched", f"the kill switch is set by {latch.by} ({latch.why}); resume opens it")
        return _refused("paused", "entries are paused; resume lets them go on") if paused else None

    def _of_shape(self, request: OrderRequest) -> OrderResult | None:
        symbols = self._limits.symbols
        if symbols is not None and request.symbol not in symbols:
            return _refused("symbol_not_allowed", f"{request.symbol} is not among limits.symbols: {', '.join(symbols)}")
        numbers = (request.volume, request.price, request.limit, request.trail_distance, request.trail_percent)
        if not all(each is None or math.isfinite(each) and each > 0 for each in numbers):
            return _refused("no_number", f"expected volume and prices above 0, found {numbers}")
        stops = (request.stop, request.stop_distance, request.stop_trail_distance, request.stop_trail_percent)
        if self._need_stop and all(each is None for each in stops):
            return _refused(
                "unprotected",
                f"the entry in {request.symbol} has no stop that rests at the venue; give it one, or write "
                "live.bot_side_stops: true",
            )
        return None

    def _of_prices(self, request: OrderRequest, quote: Quote) -> OrderResult | None:
        percent = self._limits.price_collar_percent
        if percent is None:
            return None
        mid = quote.mid
        if not (math.isfinite(mid) and mid > 0):
            return _refused("price_collar", f"the price of {request.symbol} is {mid:g}, which is none")
        for price in _prices_of(request, quote):
            away = abs(price - mid) / mid * 100
            if not away <= percent * _TOLERANCE:
                return _refused(
                    "price_collar",
                    f"the price {price:g} of {request.symbol} is {away:.3g} percent from {mid:g}, {percent:g} is "
                    "allowed",
                )
        return None

    # -- amounts -------------------------------------------------------------------------------------------------------

    def _reserve(self, request: OrderRequest, before: Order | None, quote: Quote, now: int) -> OrderResult | None:
        filled = 0.0 if before is None else before.filled_volume
        wanted = _Entry(
            request=request, volume=max(0.0, request.volume - filled), price=_price_of(request, quote) * quote.rate
        )
        one = wanted.volume * wanted.price
        most = self._limits.max_order_notional
        if most is not None and not one <= most * _TOLERANCE:
            return _refused(
                "order_notional", f"the order in {request.symbol} is worth {one:.2f}, {most:.2f} is allowed for one"
            )
        while True:
            with self._lock:
                version = self._version
            snapshot = self._broker.snapshot()
            with self._lock:
                if version != self._version:
                    continue  # somebody sent in between: the snapshot may count that order twice or not at all
                refusal = self._of_rate_locked(now) or self._of_total_locked(wanted, snapshot, now)
                if refusal is None:
                    # Until the change has arrived the order may fill as it was.
                    old = wanted if before is None else self._working(before)
                    self._sent[request.client_id] = replace(
                        wanted, volume=max(wanted.volume, old.volume), price=max(wanted.price, old.price)
                    )
                    self._sent_ns.append(now)
                    self._version += 1
                return refusal

    def _of_rate_locked(self, now: int) -> OrderResult | None:
        most = self._limits.orders_per_minute
        self._forget_locked(now)
        if most is None or len(self._sent_ns) < most:
            return None
        return _refused("order_rate", f"{len(self._sent_ns)} orders were sent within a minute, {most} are allowed")

    def _of_total_locked(self, wanted: _Entry, snapshot: Snapshot, now: int) -> OrderResult | None:
        most = self._limits.max_total_notional
        if most is None:
            return None
        over = [key for key, each in self._sent.items() if each.until_ns is not None and each.until_ns < now]
        for key in over:
            del self._sent[key]
        identity = wanted.request.client_id
        entries = [wanted, *(each for key, each in self._sent.items() if key != identity)]
        under_way = {identity, *self._sent}
        entries += [
            self._working(order) for order in snapshot.orders
            if not order.request.reduce_only and order.request.client_id not in under_way
        ]  # fmt: skip
        total = self._total(snapshot.positions, entries)
        if total <= most * _TOLERANCE:
            return None
        return _refused(
            "total_notional", f"all positions and entries together would be worth {total:.2f}, {most:.2f} is allowed"
        )

    def _working(self, order: Order) -> _Entry:
        """A working entry at its own price, and with its rest alone: the filled part is a position."""
        request = order.request
        quote = self._broker.quote(request.symbol)
        price = request.price or 0.0 if quote is None else _price_of(request, quote) * quote.rate
        return _Entry(request=request, volume=max(0.0, request.volume - order.filled_volume), price=price)

    def _total(self, positions: Iterable[Position], entries: Iterable[_Entry]) -> float:
        """The largest notional that can come of it, whichever of the entries fill."""
        held: dict[_BookKey, float] = {}
        worth = 0.0
        marks: dict[_BookKey, float] = {}
        for position in positions:
            quote = self._broker.quote(position.symbol)
            mark = (position.entry_price if quote is None else quote.mid) * position.rate
            if self._hedging:
                worth += abs(position.volume) * mark
                continue
            key = position.book, position.symbol
            held[key] = held.get(key, 0.0) + position.volume
            marks[key] = max(marks.get(key, 0.0), mark)
        sides: dict[_BookKey, tuple[float, float]] = {}
        for entry in entries:
            request = entry.request
            if self._hedging:
                worth += entry.volume * entry.price
                continue
            key = request.book, request.symbol
            volume, (buys, sells) = entry.volume, sides.get(key, (0.0, 0.0))
            if request.reverse and held.get(key, 0.0) * request.side.sign < 0:
                volume += abs(held[key])  # it closes that first
            bought = request.side is Side.BUY
            sides[key] = (buys + volume, sells) if bought else (buys, sells + volume)
            marks[key] = max(marks.get(key, 0.0), entry.price)
        for key in sorted({*held, *sides}):
            now, (buys, sells) = held.get(key, 0.0), sides.get(key, (0.0, 0.0))
            worth += max(abs(now), now + buys, sells - now) * marks[key]
        return worth

    def _count(self) -> None:
        now = self._now_ns()
        with self._lock:
            self._forget_locked(now)
            self._sent_ns.append(now)

    def _forget_locked(self, now: int) -> None:
        while self._sent_ns and self._sent_ns[0] <= now - MINUTE_NS:
            self._sent_ns.popleft()


def _refused(code: str, message: str) -> OrderResult:
    return make_order_result(accepted=False, code=code, message=message)


def _changed(request: OrderRequest, price: float | None, limit: float | None, volume: float | None) -> OrderRequest:
    return replace(
        request, price=request.price if price is None else price, limit=request.limit if limit is None else limit,
        volume=request.volume if volume is None else volume,
    )  # fmt: skip


def _prices_of(request: OrderRequest, quote: Quote) -> list[float]:
    """The prices that an entry names, or what it would pay now."""
    found = [price for price in (request.price, request.limit) if price is not None]
    side = quote.ask if request.side is Side.BUY else quote.bid
    if request.type is OrderType.TRAILING_STOP:
        percent = request.trail_percent or 0.0
        found.append(side + request.side.sign * (request.trail_distance or side * percent / 100))
    return found or [side]


def _price_of(request: OrderRequest, quote: Quote) -> float:
    """The most that a unit of an entry is worth when it fills, in the price's currency."""
    found = _prices_of(request, quote)
    if request.type is OrderType.LIMIT and request.side is Side.SELL:
        found.append(quote.bid)  # a limit below the market sells at the market
    return max(found)
