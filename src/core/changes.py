"""Changes of stops, targets and orders that must not be lost, nor be undone by an older one that arrives late.

A change that nobody answered may reach the venue after a newer one. So until twice the in-flight limit has passed the
venue's values are compared with what was wished last, and that is asked for again where they differ. A stop is never
widened by itself: its risk was judged for then and not for later.

Used inside turns of participants.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from src.core.broker import Broker
from src.core.clock import Clock
from src.core.errors import BrokerUnavailable
from src.core.journal import Journal
from src.core.records import OrderRequest, OrderResult, OrderType, Position, Snapshot, make_order_result
from src.core.repeated import RECOVERY, Repeated
from src.core.risk_manager import RiskManager
from src.core.unanswered import UNANSWERED

__all__ = ["AGAIN", "Changes", "no_answer"]

#: The codes of results after which a call is made again.
AGAIN = (UNANSWERED, "rate_limit")


@dataclass(slots=True)
class _Wanted:
    """What was wished last of one position or order."""

    symbol: str = ""
    kind: str = "stop"
    values: dict[str, float] = field(default_factory=dict)
    #: Of which of the values nobody has said that they are accepted.
    open: set[str] = field(default_factory=set)
    #: Which of them the venue has had.
    seen: set[str] = field(default_factory=set)
    #: Until when something older may still arrive.
    sure_ns: int = 0
    #: A wider stop of which nobody knows whether it arrives.
    wider: float | None = None


class Changes:
    """What is to become of the positions and orders of one account.

    Args:
        broker: whom to ask.
        find: the position of an id as it is now, None when it is gone.
        naked: told of a position that has no stop and gets none.
        expect: told what the next account has to show.
    """

    def __init__(
        self, broker: Broker, clock: Clock, journal: Journal, repeated: Repeated,
        find: Callable[[str, str], Position | None], naked: Callable[[Position], None],
        expect: Callable[[Callable[[Snapshot], bool]], None],
    ) -> None:  # fmt: skip
        self._broker = broker
        self._clock = clock
        self._journal = journal
        self._repeated = repeated
        self._find = find
        self._naked = naked
        self._expect = expect
        self._settled_after_ns = 2 * broker.connection().in_flight_ns
        self._wanted: dict[tuple[str, str], _Wanted] = {}
        self._risk: RiskManager | None = None

    def attach(self, risk: RiskManager) -> None:
        """Tell this risk manager of stops that may become wider; once, before the first order."""
        self._risk = risk

    # -- positions -----------------------------------------------------------------------------------------------------

    def protect(self, position_id: str, *, stop: float | None, target: float | None, kind: str) -> OrderResult:
        """See `Broker.protect`."""
        key = ("protect", position_id)
        position = self._find(position_id, "")
        wider = position is not None and stop is not None and _is_wider(position, stop)
        result = self._ask_protect(position_id, stop, target, kind)
        values = {name: value for name, value in (("stop", stop), ("target", target)) if value is not None}
        if result.code not in AGAIN:
            self._answered(key, values, result)
            return result
        wanted = self._wanted_of(key, partial(self._protects, position_id))
        wanted.symbol = position.symbol if position is not None else wanted.symbol
        if stop is not None:
            wanted.kind = kind
        if wider:
            values.pop("stop")
            wanted.values.pop("stop", None)
            wanted.open.discard("stop")
        if result.code == UNANSWERED:
            self._wait_longer(wanted)
            if wider and self._risk is not None:
                wanted.wider = stop
                self._risk.hold_stop(position_id)
        self._wish(wanted, values)
        return result

    def _protects(self, position_id: str) -> bool:
        key = ("protect", position_id)
        wanted = self._wanted[key]
        position = self._find(position_id, wanted.symbol)
        if position is None:
            return self._forget(key)
        if wanted.wider is not None and position.stop == wanted.wider:
            self._know_stop(position_id, wanted)
        differing = self._undone(wanted, _differing(wanted, position))
        if differing:
            result = self._ask_protect(position_id, differing.get("stop"), differing.get("target"), wanted.kind)
            if self._must_ask_again(wanted, result):
                return False
            self._record(position.symbol, position.book, position_id, "protect", result)
            self._settle(wanted, differing, result)
            if not result.accepted and "stop" in differing and position.stop is None:
                self._naked(position)
        return self._is_over(key, wanted)

    def _ask_protect(self, position_id: str, stop: float | None, target: float | None, kind: str) -> OrderResult:
        try:
            result = self._broker.protect(position_id, stop=stop, target=target, kind=kind)
        except BrokerUnavailable as error:
            return no_answer(error)
        if result.accepted and not result.order_id:
            message = "the change was accepted without an id, so whether it counts is not known"
            return make_order_result(accepted=False, code=UNANSWERED, message=message)
        if result.accepted:
            self._expect(partial(_shows_position, position_id, stop, target))
        return result

    # -- orders --------------------------------------------------------------------------------------------------------

    def modify(
        self, order_id: str, *, price: float | None, limit: float | None, volume: float | None
    ) -> OrderResult:  # fmt: skip
        """See `Broker.modify`."""
        key = ("modify", order_id)
        given = (("price", price), ("limit", limit), ("volume", volume))
        values = {name: value for name, value in given if value is not None}
        result = self._ask_modify(order_id, values)
        if result.code not in AGAIN:
            self._answered(key, values, result)
            return result
        wanted = self._wanted_of(key, partial(self._modifies, order_id))
        if result.code == UNANSWERED:
            self._wait_longer(wanted)
        self._wish(wanted, values)
        return result

    def _modifies(self, order_id: str) -> bool:
        key = ("modify", order_id)
        wanted = self._wanted[key]
        try:
            order = self._broker.find_order(order_id)
        except BrokerUnavailable:
            return False
        if order is None or order.state.is_final:
            return self._forget(key)
        request = order.request
        found = _terms(request)
        differing = {name: value for name, value in wanted.values.items() if not _equal(found[name], value)}
        differing = self._undone(wanted, differing)
        if differing:
            result = self._ask_modify(order_id, differing)
            if self._must_ask_again(wanted, result):
                return False
            self._record(request.symbol, request.book, order_id, "modify", result)
            self._settle(wanted, differing, result)
        return self._is_over(key, wanted)

    def _ask_modify(self, order_id: str, values: dict[str, float]) -> OrderResult:
        try:
            result = self._broker.modify(order_id, **values)
        except BrokerUnavailable as error:
            return no_answer(error)
        if result.accepted:
            self._expect(partial(_shows_order, order_id, values))
        return result

    # -- both ----------------------------------------------------------------------------------------------------------

    def _wanted_of(self, key: tuple[str, str], attempt: Callable[[], bool]) -> _Wanted:
        wanted = self._wanted.get(key)
        if wanted is None:
            wanted = self._wanted[key] = _Wanted()
            self._repeated.begin(key, attempt)
        return wanted

    def _wish(self, wanted: _Wanted, values: dict[str, float]) -> None:
        wanted.values.update(values)
        wanted.open.update(values)
        wanted.seen.difference_update(values)

    def _answered(self, key: tuple[str, str], values: dict[str, float], result: OrderResult) -> None:
        """A newer change has an answer; an older one that is still under way must not undo it."""
        wanted = self._wanted.get(key)
        if wanted is not None and result.accepted:
            wanted.values.update(values)
            wanted.open.difference_update(values)
            wanted.seen.difference_update(values)

    def _undone(self, wanted: _Wanted, differing: dict[str, float]) -> dict[str, float]:
        """What is to be asked for now: what was accepted may take its time, unless the venue has had it already."""
        wanted.open.intersection_update(differing)
        wanted.seen.update(name for name in wanted.values if name not in differing)
        late = self._clock.now_ns() >= wanted.sure_ns
        return {name: value for name, value in differing.items() if late or name in wanted.open or name in wanted.seen}

    def _must_ask_again(self, wanted: _Wanted, result: OrderResult) -> bool:
        if result.code == UNANSWERED:
            self._wait_longer(wanted)
        return result.code in AGAIN

    def _wait_longer(self, wanted: _Wanted) -> None:
        wanted.sure_ns = self._clock.now_ns() + self._settled_after_ns

    def _settle(self, wanted: _Wanted, asked: dict[str, float], result: OrderResult) -> None:
        wanted.open.difference_update(asked)
        wanted.seen.difference_update(asked)
        if not result.accepted:
            for name in asked:
                del wanted.values[name]

    def _is_over(self, key: tuple[str, str], wanted: _Wanted) -> bool:
        if wanted.open or self._clock.now_ns() < wanted.sure_ns:
            return False
        return self._forget(key)

    def _forget(self, key: tuple[str, str]) -> bool:
        self._know_stop(key[1], self._wanted.pop(key))
        return True

    def _know_stop(self, position_id: str, wanted: _Wanted) -> None:
        """What became of a wider stop is known, or too much time has passed for it."""
        if wanted.wider is not None and self._risk is not None:
            wanted.wider = None
            self._risk.settle_stop(position_id)

    def _record(self, symbol: str, book: str, identity: str, action: str, result: OrderResult) -> None:
        now = self._clock.now_ns()
        self._journal.record(
            now, symbol, "recovery", RECOVERY, book, identity, action, result.code or "accepted"
        )  # fmt: skip


def no_answer(error: BrokerUnavailable) -> OrderResult:
    """The result of a call that nobody answered and that is made again."""
    message = f"the broker gave no answer ({error.message}); it is asked again"
    return make_order_result(accepted=False, code=UNANSWERED, message=message)


def _differing(wanted: _Wanted, position: Position) -> dict[str, float]:
    """The values that the venue does not have; a stop that is tighter than the wish is left alone."""
    differing = {}
    for name, value in wanted.values.items():
        found = position.stop if name == "stop" else position.target
        if not _equal(found, value) and not (name == "stop" and _is_wider(position, value)):
            differing[name] = value
    return differing


def _is_wider(position: Position, stop: float) -> bool:
    return position.stop is not None and (stop - position.stop) * position.volume < 0


def _equal(found: float | None, value: float) -> bool:
    return found is not None and math.isclose(found, value, rel_tol=1e-9)


def _shows_position(position_id: str, stop: float | None, target: float | None, snapshot: Snapshot) -> bool:
    for each in snapshot.positions:
        if each.position_id == position_id:
            return (stop is None or _equal(each.stop, stop)) and (target is None or _equal(each.target, target))
    return True


def _shows_order(order_id: str, values: dict[str, float], snapshot: Snapshot) -> bool:
    for each in snapshot.orders:
        if each.order_id == order_id:
            found = _terms(each.request)
            return all(_equal(found[name], value) for name, value in values.items())
    return True


def _terms(request: OrderRequest) -> dict[str, float | None]:
    """What of an order can be changed, by the words of `Broker.modify`; a triggered stop-limit order is a limit."""
    limit = request.limit if request.type is OrderType.STOP_LIMIT else request.price
    return {"price": request.price, "limit": limit, "volume": request.volume}
