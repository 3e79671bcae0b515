"""Orders to close that must not be lost: one that never arrived, or ended too soon, is replaced by another.

A new order has a new client id, a function of the position and the number of the attempt, and is sent only when the one
before it is known to be over. So a position is never closed twice, and never left open because an answer was lost. Of
each position one wish waits: all of it is never replaced by a part of it, and a part that waits gives way to what is
asked for later. That a position is gone is believed only of an account from after the wish.

Used inside turns of participants.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    Snapshot,
    make_order_request,
    make_order_result,
)
from src.core.repeated import RECOVERY, Repeated
from src.core.unanswered import UNANSWERED, Unanswered

__all__ = ["PENDING", "RATE_LIMIT", "Closing"]

#: The code of a result that says: nothing was done, ask again later.
RATE_LIMIT = "rate_limit"
#: The code of a result that says: nothing was sent, because the position is being closed already.
PENDING = "closing"
#: The venue says that there is nothing to close any more.
_DONE = ("no_position", "nothing_to_reduce")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What is to be closed; `volume` None is all of it. With `insists` it counts until the position is gone."""

    position_id: str
    symbol: str
    book: str
    volume: float | None
    kind: str
    reason: str
    since_ns: int
    insists: bool = False


class Closing:
    """The orders to close of one account.

    Args:
        broker: where they go.
        snapshot: the account, never an old one.
        find: the position of an id, as it is now, None when none is seen; of a symbol, where that is known.
        repeated: where further attempts wait.
        unanswered: looks up those that nobody answered.
        tell: told of an order that never arrived.
        sent: told of the id of each order that was accepted.
    """

    def __init__(
        self, broker: Broker, snapshot: Callable[[], Snapshot], find: Callable[[str, str], Position | None],
        clock: Clock, journal: Journal, repeated: Repeated, unanswered: Unanswered, tell: Callable[[Order], None],
        sent: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._broker = broker
        self._snapshot = snapshot
        self._find = find
        self._clock = clock
        self._journal = journal
        self._repeated = repeated
        self._unanswered = unanswered
        self._tell = tell
        self._sent = sent
        #: What each order that is under way is to do, by its id.
        self._wishes: dict[str, _Wish] = {}
        #: What is to be sent as soon as that is possible, by the position.
        self._waiting: dict[str, _Wish] = {}
        #: Those of them that the bot has sent by itself, and of whose end nobody has heard.
        self._own: set[str] = set()
        self._attempts: dict[str, int] = {}
        #: Orders that are cancelled because they had fallen silent.
        self._given_up: set[str] = set()

    def close(self, position_id: str, *, client_id: str, volume: float | None, kind: str, reason: str) -> OrderResult:
        """See `Broker.close`; one after the other for each position while an answer is missing."""
        position = self._find(position_id, "")
        if position is None:
            return self._close_unseen(position_id, client_id, volume, kind, reason)
        wish = _Wish(
            position_id=position_id, symbol=position.symbol, book=position.book, volume=volume, kind=kind,
            reason=reason, since_ns=self._clock.now_ns(),
        )  # fmt: skip
        identity = self._without_answer(position_id)
        if identity is not None:
            if volume is None and self._wishes[identity].volume is not None:
                self._again_later(wish)  # the order that is looked up closes a part
            message = f"the order {identity} that closes {position_id} has had no answer yet and is looked up"
            return make_order_result(accepted=False, order_id=identity, code=UNANSWERED, message=message)
        waiting = self._waiting.get(position_id)
        if volume is not None and waiting is not None and waiting.volume is None:
            message = f"all of {position_id} is to be closed already, and that is asked for until it is done"
            return make_order_result(accepted=False, code=PENDING, message=message)
        if volume is not None and any(self._wishes[each].position_id == position_id for each in self._own):
            message = f"an order that closes {position_id}, and was refused before, is under way; ask again after that"
            return make_order_result(accepted=False, code=PENDING, message=message)
        result = self._send(wish, position, client_id)
        if result.accepted or result.code == UNANSWERED:
            self._is_asked(position_id)
        elif result.code == RATE_LIMIT:
            if waiting is not None and waiting.volume is not None:
                del self._waiting[position_id]  # the later word counts, and not both
            self._again_later(wish)
        return result

    def insist(self, position: Position, *, kind: str, reason: str, volume: float | None = None) -> None:
        """Close a position now, and again until it is gone; or a part of it, until that was accepted."""
        self._again_later(
            _Wish(
                position_id=position.position_id, symbol=position.symbol, book=position.book, volume=volume, kind=kind,
                reason=reason, since_ns=self._clock.now_ns(), insists=volume is None,
            )
        )  # fmt: skip
        self._attempt(position.position_id)

    def ended(self, order: Order) -> None:
        """An order has ended; when it was to close something that is still there, another one takes its place."""
        wish = self._wishes.pop(order.order_id, None)
        self._own.discard(order.order_id)
        given_up = order.order_id in self._given_up
        self._given_up.discard(order.order_id)
        if wish is None or not (given_up or order.state is OrderState.REJECTED):
            return  # what was cancelled was cancelled by somebody who wanted that
        left = None if wish.volume is None else wish.volume - order.filled_volume
        if left is None or left > 0:
            self._again_later(replace(wish, volume=left, since_ns=self._clock.now_ns()))

    def give_up(self, order_id: str) -> None:
        """An order that does nothing more is about to be cancelled; if it was to close something, another one does."""
        if order_id in self._wishes:
            self._given_up.add(order_id)

    # -- sending -------------------------------------------------------------------------------------------------------

    def _close_unseen(
        self, position_id: str, identity: str, volume: float | None, kind: str, reason: str
    ) -> OrderResult:
        """A position of which nothing is known: the venue says what it says, and nothing is kept of it."""
        try:
            result = self._broker.close(position_id, client_id=identity, volume=volume, kind=kind, reason=reason)
            if not result.accepted or result.order_id:
                return result
            why = "the broker accepted it and gave no id"
        except BrokerUnavailable as error:
            why = f"the broker gave no answer ({error.message})"
        message = f"{why}, and there is no position {position_id} that is known"
        return make_order_result(accepted=False, order_id=identity, code=UNANSWERED, message=message)

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
        if result.accepted:
            self._sent(identity)
        else:
            del self._wishes[identity]
        return result

    def _lost(self, order: Order) -> None:
        self._tell(order)
        self.ended(order)

    # -- what waits ----------------------------------------------------------------------------------------------------

    def _again_later(self, wish: _Wish) -> None:
        waiting = self._waiting.get(wish.position_id)
        if waiting is None:
            self._waiting[wish.position_id] = wish
            self._repeated.begin(("close", wish.position_id), partial(self._attempt, wish.position_id))
        else:
            self._waiting[wish.position_id] = _both(waiting, wish)

    def _is_asked(self, position_id: str) -> None:
        """An order is on its way to do what waits; what is insisted on waits on."""
        waiting = self._waiting.get(position_id)
        if waiting is not None and not waiting.insists:
            self._is_over(position_id)

    def _is_over(self, position_id: str) -> None:
        self._waiting.pop(position_id, None)
        self._repeated.end(("close", position_id))

    def _attempt(self, position_id: str) -> bool:
        """Send what waits, unless something does it already; whether nothing waits any more."""
        wish = self._waiting.get(position_id)
        if wish is None:
            return True
        position = self._find(position_id, wish.symbol)
        if position is None:
            # An old account may not have it yet: only one from after the wish tells that it is gone.
            if self._snapshot().account.instant_ns > wish.since_ns:
                self._is_over(position_id)
            return position_id not in self._waiting
        if self._without_answer(position_id) is not None:
            return False
        if wish.volume is None and self._closes_all(position):
            return False
        number = self._attempts[position_id] = self._attempts.get(position_id, 0) + 1
        identity = identity_of("closing", wish.book, f"{wish.symbol}/{position_id}", self._clock.now_ns(), number)
        result = self._send(wish, position, identity)
        if identity in self._wishes:
            self._own.add(identity)
        self._journal.record(
            self._clock.now_ns(), wish.symbol, "recovery", RECOVERY, wish.book, identity, "close again",
            result.code or "accepted",
        )  # fmt: skip
        if result.accepted or result.code in (UNANSWERED, *_DONE):
            self._is_asked(position_id)
        return position_id not in self._waiting

    def _without_answer(self, position_id: str) -> str | None:
        """The order to close the position of which nothing is known."""
        for identity, wish in self._wishes.items():
            if wish.position_id == position_id and identity in self._unanswered:
                return identity
        return None

    def _closes_all(self, position: Position) -> bool:
        """Whether an order that works leaves nothing of the position as it is now."""
        for order in self._snapshot().orders:
            request = order.request
            own = request.position_id == position.position_id
            if own and request.reduce_only and request.type is OrderType.MARKET:
                left = request.volume - order.filled_volume
                if left >= abs(position.volume) * (1 - 1e-9):
                    return True
        return False


def _both(waiting: _Wish, wish: _Wish) -> _Wish:
    """One wish in the place of two: all of it where one of them is that, else the sum of both parts."""
    insists = waiting.insists or wish.insists
    since_ns = max(waiting.since_ns, wish.since_ns)
    if waiting.volume is None:
        return replace(waiting, insists=insists, since_ns=since_ns)
    if wish.volume is None:
        return replace(wish, insists=insists, since_ns=since_ns)
    return replace(wish, volume=waiting.volume + wish.volume, since_ns=since_ns)


def _request(wish: _Wish, position: Position, identity: str) -> OrderRequest:
    """What `Broker.close` makes of a wish, for the record of an order of which nothing is known."""
    held = abs(position.volume)
    return make_order_request(
        client_id=identity, book=wish.book, symbol=wish.symbol, side=Side.SELL if position.volume > 0 else Side.BUY,
        type=OrderType.MARKET, volume=held if wish.volume is None else min(held, wish.volume), reduce_only=True,
        position_id=wish.position_id, exit_kind=wish.kind, reason=wish.reason,
    )  # fmt: skip
