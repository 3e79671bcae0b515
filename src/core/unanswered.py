"""Placements that nobody answered: each is looked up by its client id, and never sent again.

A venue may have accepted an order whose acknowledgement was lost, and many venues accept the same client id a second
time once the first order has filled. So an order of which nothing is known is UNKNOWN: it is asked for until it is
found, or until so much time has passed that it cannot arrive any more, which is twice the venue's in-flight limit.
Until then the risk manager keeps its reservation, and the symbol takes no entry. One that was given up and turns up all
the same is looked for a while longer, so that it can be cancelled.

Used inside turns of participants.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from src.core.broker import Broker
from src.core.clock import Clock
from src.core.errors import BrokerUnavailable
from src.core.journal import Journal
from src.core.order_states import check
from src.core.records import Order, OrderRequest, OrderResult, OrderState, make_order, make_order_result
from src.core.repeated import RECOVERY, Repeated
from src.core.risk_manager import RiskManager

__all__ = ["LOST", "UNANSWERED", "Unanswered"]

#: The code of a result that says nothing: the order may exist or not.
UNANSWERED = "unanswered"
#: The code of an order that never reached the venue.
LOST = "lost"
#: What was lost is looked for during so many in-flight limits more, although no venue should have it.
LATE_LIMITS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unknown:
    request: OrderRequest
    sent_ns: int
    lost: Callable[[Order], None]


class Unanswered:
    """The orders of one account whose fate is not known.

    Args:
        broker: whom to ask.
        repeated: where the look-ups wait.
        found: called with an order when it is known that it exists, one that had been given up as well.
    """

    def __init__(
        self, broker: Broker, clock: Clock, journal: Journal, repeated: Repeated, found: Callable[[Order], None]
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._journal = journal
        self._repeated = repeated
        self._in_flight_ns = broker.connection().in_flight_ns
        self._found = found
        self._unknown: dict[str, _Unknown] = {}
        #: What was given up and may yet turn up, where the venue does not keep to its limit.
        self._lost: dict[str, OrderRequest] = {}
        self._risk: RiskManager | None = None

    def attach(self, risk: RiskManager) -> None:
        """Tell this risk manager of what is unknown; once, before the first order."""
        self._risk = risk

    def __contains__(self, client_id: str) -> bool:
        return client_id in self._unknown

    def __len__(self) -> int:
        return len(self._unknown)

    def entries(self, symbol: str) -> tuple[str, ...]:
        """The entries of which nothing is known, the oldest first; of all symbols with an empty one."""
        own = [each.request for each in self._unknown.values() if symbol in ("", each.request.symbol)]
        return tuple([each.client_id for each in own if not each.reduce_only])

    def was_lost(self, client_id: str) -> bool:
        """Whether an order was given up, so that nobody counts it."""
        return client_id in self._lost

    def begin(self, request: OrderRequest, why: str, lost: Callable[[Order], None]) -> OrderResult:
        """Nobody answered to a placement; from now on it is looked up.

        Args:
            why: a part of a sentence, for the result.
            lost: called with the order, REJECTED with the code `lost`, when it is certain that it never arrived.
        """
        identity = request.client_id
        self._unknown[identity] = _Unknown(request=request, sent_ns=self._clock.now_ns(), lost=lost)
        if self._risk is not None:
            self._risk.hold(request.symbol, identity)
        self._record(request, OrderState.UNKNOWN)
        self._repeated.begin(("order", identity), partial(self._look_up, identity))
        message = f"{why}; the order {identity} may exist or not, is looked up, and is not sent again"
        return make_order_result(accepted=False, order_id=identity, code=UNANSWERED, message=message)

    def seen(self, order: Order) -> None:
        """The venue has told of an order by itself."""
        unknown = self._unknown.pop(order.order_id, None)
        if unknown is not None:
            self._repeated.end(("order", order.order_id))
            self._resolve(unknown, order.state, found=True)
            self._found(order)

    def _look_up(self, identity: str) -> bool:
        unknown = self._unknown.get(identity)
        if unknown is None:
            return True
        try:
            order = self._broker.find_order(identity)
        except BrokerUnavailable:
            return False
        if order is not None:
            if self._unknown.pop(identity, None) is not None:  # the venue may have told of it while it was asked
                self._resolve(unknown, order.state, found=True)
                self._found(order)
            return True
        now = self._clock.now_ns()
        if now < unknown.sent_ns + 2 * self._in_flight_ns:
            return False
        if self._unknown.pop(identity, None) is None:
            return True
        self._resolve(unknown, LOST, found=False)
        self._lost[identity] = unknown.request
        self._repeated.begin(("late", identity), partial(self._look_for_late, identity, now))
        unknown.lost(
            make_order(
                order_id=identity, request=unknown.request, state=OrderState.REJECTED, placed_ns=unknown.sent_ns,
                effective_ns=unknown.sent_ns, updated_ns=now, code=LOST, message="the order never reached the venue",
            )
        )  # fmt: skip
        return True

    def _look_for_late(self, identity: str, lost_ns: int) -> bool:
        try:
            order = self._broker.find_order(identity)
        except BrokerUnavailable:
            return False
        if order is None:
            return self._clock.now_ns() >= lost_ns + LATE_LIMITS * self._in_flight_ns
        if not order.state.is_final:
            self._record(order.request, "late")
            self._found(order)
        return True

    def _resolve(self, unknown: _Unknown, outcome: str, *, found: bool) -> None:
        check(OrderState.UNKNOWN, OrderState(outcome) if found else OrderState.REJECTED, unknown.request.client_id)
        if self._risk is not None:
            self._risk.resolve(unknown.request.symbol, unknown.request.client_id, found=found)
        self._record(unknown.request, outcome)

    def _record(self, request: OrderRequest, outcome: str) -> None:
        action = "close" if request.reduce_only else "enter"
        self._journal.record(
            self._clock.now_ns(), request.symbol, "recovery", RECOVERY, request.book, request.client_id, action,
            str(outcome),
        )  # fmt: skip
