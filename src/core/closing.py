"""Orders to close that must not be lost: one that never arrived, or ended too soon, is replaced by another.

A new order has a new client id, a function of the position and the number of the attempt, and is sent only when the one
before it is known to be over. So a position is never closed twice, and never left open because an answer was lost.

Used inside turns of participants.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from src.core.broker import Broker
from src.core.clock import Clock
from src.core.errors import BrokerUnavailable
from src.core.ids import client_id as identity_of
from src.core.journal import Journal
from src.core.records import (
    Order,
    OrderRequest,
    OrderResult,
    OrderState,
    OrderType,
    Position,
    Side,
    make_order_request,
    make_order_result,
)
from src.core.repeated import RECOVERY, Repeated
from src.core.unanswered import UNANSWERED, Unanswered

__all__ = ["Closing"]

RATE_LIMIT = "rate_limit"
#: The venue says that there is nothing to close any more.
_DONE = ("no_position", "nothing_to_reduce")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What is to be closed; `volume` None is all of it."""

    position_id: str
    symbol: str
    book: str
    volume: float | None
    kind: str
    reason: str


class Closing:
    """The orders to close of one account.

    Args:
        broker: where they go.
        repeated: where further attempts wait.
        unanswered: looks up those that nobody answered.
        tell: told of an order that never arrived.
    """

    def __init__(
        self, broker: Broker, clock: Clock, journal: Journal, repeated: Repeated, unanswered: Unanswered,
        tell: Callable[[Order], None],
    ) -> None:  # fmt: skip
        self._broker = broker
        self._clock = clock
        self._journal = journal
        self._repeated = repeated
        self._unanswered = unanswered
        self._tell = tell
        #: What each order that is under way is to do, by its id.
        self._wishes: dict[str, _Wish] = {}
        self._attempts: dict[str, int] = {}
        #: Orders that are cancelled because they had fallen silent.
        self._given_up: set[str] = set()

    def close(self, position_id: str, *, client_id: str, volume: float | None, kind: str, reason: str) -> OrderResult:
        """See `Broker.close`; one after the other for each position while an answer is missing."""
        position = self._held(position_id)
        if position is None:
            return self._broker.close(position_id, client_id=client_id, volume=volume, kind=kind, reason=reason)
        for identity, wish in self._wishes.items():
            if wish.position_id == position_id and identity in self._unanswered:
                message = f"the order {identity} that closes {position_id} has had no answer yet and is looked up"
                return make_order_result(accepted=False, order_id=identity, code=UNANSWERED, message=message)
        wish = _Wish(
            position_id=position_id, symbol=position.symbol, book=position.book, volume=volume, kind=kind, reason=reason
        )
        result = self._send(wish, position, client_id)
        if result.code == RATE_LIMIT:
            self._again_later(wish)
        return result

    def insist(self, position: Position, *, kind: str, reason: str) -> None:
        """Close a position now, and again until it is closed."""
        wish = _Wish(
            position_id=position.position_id, symbol=position.symbol, book=position.book, volume=None, kind=kind,
            reason=reason,
        )  # fmt: skip
        if not self._is_done(wish):
            self._again_later(wish)

    def ended(self, order: Order) -> None:
        """An order has ended; when it was to close something that is still there, another one takes its place."""
        wish = self._wishes.pop(order.order_id, None)
        given_up = order.order_id in self._given_up
        self._given_up.discard(order.order_id)
        if wish is None or not (given_up or order.state is OrderState.REJECTED):
            return  # what was cancelled was cancelled by somebody who wanted that
        left = None if wish.volume is None else wish.volume - order.filled_volume
        if left is None or left > 0:
            self._again_later(
                _Wish(
                    position_id=wish.position_id, symbol=wish.symbol, book=wish.book, volume=left, kind=wish.kind,
                    reason=wish.reason,
                )
            )  # fmt: skip

    def give_up(self, order_id: str) -> None:
        """An order that does nothing more is about to be cancelled; if it was to close something, another one does."""
        if order_id in self._wishes:
            self._given_up.add(order_id)

    def _send(self, wish: _Wish, position: Position, identity: str) -> OrderResult:
        self._wishes[identity] = wish
        try:
            result = self._broker.close(
                wish.position_id, client_id=identity, volume=wish.volume, kind=wish.kind, reason=wish.reason
            )
            why = "the broker accepted it and gave no id"
        except BrokerUnavailable as error:
            result, why = make_order_result(accepted=True), f"the broker gave no answer ({error.message})"
        if result.accepted and not result.order_id:
            return self._unanswered.begin(_request(wish, position, identity), why, self._lost)
        if not result.accepted:
            del self._wishes[identity]
        return result

    def _lost(self, order: Order) -> None:
        self._tell(order)
        self.ended(order)

    def _again_later(self, wish: _Wish) -> None:
        self._repeated.begin(("close", wish.position_id), partial(self._is_done, wish))

    def _is_done(self, wish: _Wish) -> bool:
        position = self._held(wish.position_id)
        if position is None or self._is_under_way(wish, position):
            return True
        number = self._attempts[wish.position_id] = self._attempts.get(wish.position_id, 0) + 1
        identity = identity_of("closing", wish.book, f"{wish.symbol}/{wish.position_id}", self._clock.now_ns(), number)
        result = self._send(wish, position, identity)
        self._journal.record(
            self._clock.now_ns(), wish.symbol, "recovery", RECOVERY, wish.book, identity, "close again",
            result.code or "accepted",
        )  # fmt: skip
        return result.accepted or result.code in (UNANSWERED, *_DONE)

    def _is_under_way(self, wish: _Wish, position: Position) -> bool:
        if any(each.position_id == wish.position_id for each in self._wishes.values()):
            return True
        for order in self._broker.snapshot().orders:
            request = order.request
            if request.reduce_only and request.type is OrderType.MARKET and request.position_id == position.position_id:
                return True
        return False

    def _held(self, position_id: str) -> Position | None:
        found = [each for each in self._broker.snapshot().positions if each.position_id == position_id]
        return found[0] if found else None


def _request(wish: _Wish, position: Position, identity: str) -> OrderRequest:
    """What `Broker.close` makes of a wish, for the record of an order of which nothing is known."""
    held = abs(position.volume)
    return make_order_request(
        client_id=identity, book=wish.book, symbol=wish.symbol, side=Side.SELL if position.volume > 0 else Side.BUY,
        type=OrderType.MARKET, volume=held if wish.volume is None else min(held, wish.volume), reduce_only=True,
        position_id=wish.position_id, exit_kind=wish.kind, reason=wish.reason,
    )  # fmt: skip
