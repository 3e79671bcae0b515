"""LiveBroker: the broker that the bot sees when its time is real.

All that it looks up comes from the `World`, which changes only inside turns. What it asks the venue is written down
durably before it is sent; the turn is given away while the venue is asked; and what comes back is written down with
what became visible by it. A bot that follows a script gets its replies from there, is checked call by call, and sends
nothing. A call whose reply was not recorded, because the process was killed meanwhile, is never sent again when it
places something: it is looked up.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from src.core import errors
from src.core.bars import BarSeries
from src.core.broker import Broker, Connection
from src.core.errors import BrokerContractError, BrokerUnavailable, ConfigError, InternalError, LockstepError, Stopping
from src.core.instrument import Instrument
from src.core.records import (
    Order,
    OrderEvent,
    OrderRequest,
    OrderResult,
    OrderType,
    Position,
    Quote,
    Side,
    Snapshot,
    make_order_request,
    make_order_result,
)
from src.core.sync import current_participant
from src.core.timeframe import format_duration
from src.live.clock import LiveClock
from src.live.script import ReplayDivergedError, Script
from src.live.tape import Tape
from src.live.wire import from_plain, to_plain
from src.live.world import Change, World

__all__ = ["NOT_SENT", "STALE_PRICE", "LiveBroker", "Venue"]

STALE_PRICE = "stale_price"

T = TypeVar("T")

#: What a call may raise, by the name under which it is written down.
_ERRORS: dict[str, type[LockstepError]] = {
    each.__name__: each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, LockstepError)
}
#: The code of an order that was written down, and of which a venue that can be relied on knows nothing.
NOT_SENT = "not_sent"


class Venue:
    """What the bot is told of the venue once and for all.

    Args:
        instruments: the rules of each symbol.
        connection: how far it can be relied on.
        source: who is asked; None where nobody can be, in a replay.
        max_age_ns: entries need a quote no older than this; 0 for any.
    """

    def __init__(
        self, instruments: Mapping[str, Instrument], connection: Connection, source: Broker | None, max_age_ns: int = 0
    ) -> None:
        self.instruments = dict(instruments)
        self.connection = connection
        self.source = source
        self.max_age_ns = max_age_ns


class LiveBroker:
    """See `Broker` and the module's text.

    Args:
        world: what is visible.
        clock: whose turns are given away while the venue is asked.
        tape: where it is written down.
        script: what is followed first; None for none.
    """

    def __init__(self, venue: Venue, world: World, clock: LiveClock, tape: Tape, script: Script | None = None) -> None:
        self._venue = venue
        self._world = world
        self._clock = clock
        self._tape = tape
        self._script = script
        self._calls = 0
        #: Lets become visible what came with a reply; the composition journals it as well.
        self.let_see: Callable[[Change, int], object] = lambda change, _: world.apply(change)

    # -- what is visible -------------------------------------------------------------------------------

    def connection(self) -> Connection:
        """See `Broker.connection`."""
        return self._venue.connection

    def instrument(self, symbol: str) -> Instrument:
        """See `Broker.instrument`."""
        found = self._venue.instruments.get(symbol)
        if found is None:
            raise ConfigError(f"expected a symbol that is traded, found {symbol}", symbol=symbol)
        return found

    def series(self, symbol: str, timeframe_ns: int) -> BarSeries:
        """See `Broker.series`."""
        return self._world.series(symbol, timeframe_ns)

    def base_series(self, symbol: str) -> BarSeries:
        """See `Broker.base_series`."""
        return self._world.base_series(symbol)

    def quote(self, symbol: str) -> Quote | None:
        """See `Broker.quote`."""
        return self._world.quote(symbol)

    def snapshot(self) -> Snapshot:
        """See `Broker.snapshot`."""
        return self._world.snapshot()

    def equity(self) -> float:
        """See `Broker.equity`."""
        return self._world.equity()

    def position(self, book: str, symbol: str) -> Position:
        """See `Broker.position`."""
        return self._world.position(book, symbol)

    def positions(self, symbol: str) -> Sequence[Position]:
        """See `Broker.positions`."""
        return self._world.positions(symbol)

    def mailbox(self, symbol: str) -> "deque[OrderEvent]":
        """See `Broker.mailbox`."""
        return self._world.mailbox(symbol)

    # -- what is asked at once -------------------------------------------------------------------------

    def entry_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.entry_per_unit`."""
        return self._read("entry_per_unit", symbol, price)

    def exit_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.exit_per_unit`."""
        return self._read("exit_per_unit", symbol, price)

    def margin_per_unit(self, symbol: str, price: float) -> float:
        """See `CostEstimate.margin_per_unit`."""
        return self._read("margin_per_unit", symbol, price)

    def _read(self, method: str, symbol: str, price: float) -> float:
        me, asked = current_participant.get(), [method, symbol, price]
        if self._follows():
            try:
                return float(self._followed.read(me, asked))
            except ReplayDivergedError as error:
                self._clock.diverged(error)
                raise Stopping from error
        told = float(getattr(self._source, method)(symbol, price))
        self._tape.read(self._clock.now_ns(), me, asked, told)
        return told

    # -- what may wait for a network -------------------------------------------------------------------

    def place(self, request: OrderRequest) -> OrderResult:
        """See `Broker.place`; an entry on a quote that is too old is refused with `stale_price`."""
        return self._call(
            "place", {"request": to_plain(request)},
            send=partial(self._placed, request),
            again=lambda: self._looked_up(request.client_id),
            read=_result,
        )  # fmt: skip

    def find_order(self, client_id: str) -> Order | None:
        """See `Broker.find_order`."""
        return self._call(
            "find_order", {"client_id": client_id},
            send=lambda: self._source.find_order(client_id),
            read=lambda plain: None if plain is None else from_plain(Order, plain),
        )  # fmt: skip

    def cancel(self, order_id: str) -> OrderResult:
        """See `Broker.cancel`."""
        return self._call("cancel", {"order_id": order_id}, send=lambda: self._source.cancel(order_id), read=_result)

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None
    ) -> OrderResult:
        """See `Broker.modify`."""
        args = {"order_id": order_id, "price": price, "limit": limit, "volume": volume}
        return self._call("modify", args, send=lambda: self._source.modify(**args), read=_result)  # type: ignore[arg-type]  # as above

    def protect(
        self, position_id: str, *, stop: float | None = None, target: float | None = None, kind: str = "stop"
    ) -> OrderResult:
        """See `Broker.protect`."""
        args = {"position_id": position_id, "stop": stop, "target": target, "kind": kind}
        return self._call("protect", args, send=lambda: self._source.protect(**args), read=_result)  # type: ignore[arg-type]  # as above

    def close(
        self, position_id: str, *, client_id: str, volume: float | None = None, kind: str = "exit", reason: str = ""
    ) -> OrderResult:
        """See `Broker.close`."""
        args = {"position_id": position_id, "client_id": client_id, "volume": volume, "kind": kind, "reason": reason}
        request = self._closing_request(position_id, client_id, volume)
        return self._call(
            "close", {**args, "request": None if request is None else to_plain(request)},
            send=lambda: self._source.close(**args),  # type: ignore[arg-type]  # as above
            again=lambda: self._looked_up(client_id),
            read=_result,
        )  # fmt: skip

    def _closing_request(self, position_id: str, client_id: str, volume: float | None) -> OrderRequest | None:
        """What an order to close is, for whoever has to recognise it after a restart."""
        for position in self._world.snapshot().positions:
            if position.position_id == position_id:
                side = Side.SELL if position.volume > 0 else Side.BUY
                size = abs(position.volume) if volume is None else volume
                return make_order_request(
                    client_id=client_id, book=position.book, symbol=position.symbol, side=side, type=OrderType.MARKET,
                    volume=size, reduce_only=True, position_id=position_id,
                )  # fmt: skip
        return None

    # -- inner parts -----------------------------------------------------------------------------------

    @property
    def _source(self) -> Broker:
        if self._venue.source is None:
            raise Stopping  # a replay has come to the end of what was recorded
        return self._venue.source

    @property
    def _followed(self) -> Script:
        if self._script is None:
            raise InternalError("a script was followed where there is none")
        return self._script

    def _follows(self) -> bool:
        """Whether the script has something to say here; the clock goes on by itself where it has ended."""
        if self._clock.is_void:
            raise Stopping  # what is done from here on counts for nothing, and nothing may be sent
        if self._script is None or not self._clock.is_scripted:
            return False
        if self._script.ended:
            self._clock.go_on()  # in the middle of a turn: what it would have sent was not sent
            if self._venue.source is None:
                raise Stopping
            return False
        return True

    def _call(
        self, method: str, args: dict[str, Any], *, send: Callable[[], Any], read: Callable[[Any], T],
        again: Callable[[], Any] | None = None,
    ) -> T:  # fmt: skip
        """Have the venue do something, or be told what it did.

        Args:
            again: what is done when it was sent by a process that was killed before the reply; `send` by default.
        """
        me, number = current_participant.get(), self._calls
        self._calls = number + 1
        body = {"n": number, "method": method, "args": args}
        if self._follows():
            try:
                self._followed.check_call(number, me, body)
            except ReplayDivergedError as difference:
                self._clock.diverged(difference)
                raise Stopping from difference
            told = self._clock.await_reply()
            if told is not None:
                return _told(told, read)
            if self._clock.is_void or self._venue.source is None:
                raise Stopping
            send = again or send
        else:
            self._tape.call(self._clock.now_ns(), me, body)
        answer, error = self._asked(send)
        reply = {"n": number, **answer}
        if self._clock.is_void:
            raise Stopping
        change = self._world.collect(self._source, prices=False)
        if change:
            reply["world"] = change
        now_ns = self._clock.now_ns()
        self._tape.reply(now_ns, me, reply)
        self.let_see(change, now_ns)
        if error is not None:
            raise error
        return read(answer["result"])

    def _asked(self, send: Callable[[], Any]) -> tuple[dict[str, Any], LockstepError | None]:
        try:
            return {"result": to_plain(self._clock.outside(send))}, None
        except LockstepError as error:
            return {"error": {"type": type(error).__name__, "message": error.message}}, error
        except Exception as error:
            # Whether it has arrived nobody knows, as if there had been no answer: it is looked up like that.
            unknown = BrokerUnavailable(
                f"the adapter failed with {type(error).__name__}: {error}; a defect of it, please report it"
            )
            unknown.__cause__ = error
            self._tape.note(self._clock.now_ns(), "defect", error=f"{type(error).__name__}: {error}")
            return {"error": {"type": "BrokerUnavailable", "message": unknown.message}}, unknown

    def _placed(self, request: OrderRequest) -> OrderResult:
        """Send an order, unless the price that it was decided on is too old by now; outside the turn."""
        quote, most_ns = self._world.quote(request.symbol), self._venue.max_age_ns
        if most_ns and not request.reduce_only:
            age_ns = None if quote is None else self._clock.now_ns() - quote.instant_ns
            if age_ns is None or age_ns > most_ns:
                found = "no price" if age_ns is None else f"a price {format_duration(age_ns // 10**6 * 10**6)} old"
                message = (
                    f"expected a price of {request.symbol} no older than {format_duration(most_ns)}, found {found}"
                )
                return make_order_result(accepted=False, code=STALE_PRICE, message=message)
        return self._source.place(request)

    def _looked_up(self, client_id: str) -> OrderResult:
        """What became of a placement that another process has sent; never sent again."""
        order = self._source.find_order(client_id)
        if order is None and self._venue.connection.certain:
            message = "the process was killed after this order was written down and before it was sent"
            return make_order_result(accepted=False, code=NOT_SENT, message=message)
        if order is None:
            raise BrokerUnavailable("the process was killed after this order was written down, and the venue has none")
        return make_order_result(accepted=True, order_id=client_id)


def _result(plain: Any) -> OrderResult:
    return from_plain(OrderResult, plain)


def _told(reply: Mapping[str, Any], read: Callable[[Any], T]) -> T:
    """The recorded answer, or the recorded error raised."""
    if "error" in reply:
        kind, message = reply["error"]["type"], reply["error"]["message"]
        raise _ERRORS.get(kind, BrokerContractError)(message)
    return read(reply["result"])
