"""From an intent to an order: prices on the tick, the risk manager's verdict, the journal, the broker.

Each participant has its own desk, which the threads that it starts use as well; where those really run beside it, a
lock keeps the ids apart. It is never held across a call.
"""

import math
from collections import Counter

from src.core.arguments import checked_text
from src.core.broker import Broker
from src.core.clock import Clock
from src.core.ids import client_id
from src.core.journal import Journal
from src.core.order_shape import changed_intent, shape_order
from src.core.order_terms import PLAIN, OrderTerms
from src.core.records import OrderResult, OrderType, Position, Side, make_order_request, make_order_result
from src.core.risk_manager import RiskManager, Verdict, make_entry_intent
from src.core.steady_broker import RATE_LIMIT
from src.core.sync import Lock
from src.core.unanswered import UNANSWERED

__all__ = ["OrderDesk"]

#: After one of these a change may still be made.
OPEN_ANSWERS = (UNANSWERED, RATE_LIMIT)
#: What comes of a number that is none.
NO_NUMBER = (TypeError, ValueError, OverflowError)
MARKET, LIMIT, STOP = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP


class OrderDesk:
    """Sends the decisions of one participant.

    Args:
        participant: who decides, as the journal names it.
        account: the account's name, part of every order id.

    Attributes:
        refusals: how many intents were refused, by code.
    """

    def __init__(
        self, participant: str, account: str, broker: Broker, risk: RiskManager, clock: Clock, journal: Journal
    ) -> None:
        self._participant = participant
        self._owner = f"{account}/{participant}"
        self._broker = broker
        self._risk = risk
        self._clock = clock
        self._journal = journal
        self._lock = Lock()
        self._instant_ns = -1
        self._numbers: dict[tuple[str, str], int] = {}
        self.refusals: Counter[str] = Counter()

    def enter(
        self, book: str, symbol: str, side: Side, *, volume: float | None, limit: float | None, trigger: float | None,
        stop: float | None, stop_distance: float | None, target: float | None, target_distance: float | None,
        target_r: float | None, expires_ns: int | None, reason: str, terms: OrderTerms = PLAIN,
    ) -> OrderResult:  # fmt: skip
        """Ask the risk manager and, if it agrees, place an entry. A size that was left open reverses what is held.

        What only reduces needs no reservation; its size, left open, is what is held, or what its parent is to open.

        Raises:
            TypeError: the reason is no text; so for the other methods.
        """
        reason = checked_text(reason, "a reason")
        # Strategies give whole numbers and numpy scalars too; equal orders must be equal records.
        try:
            volume = None if volume is None else float(volume)
            stop_distance = None if stop_distance is None else float(stop_distance)
            target_distance = None if target_distance is None else float(target_distance)
            target_r = None if target_r is None else float(target_r)
            limit = None if limit is None else self._on_tick(symbol, limit)
            price = limit if trigger is None else self._on_tick(symbol, trigger)
            stop = None if stop is None else self._on_tick(symbol, stop)
            target = None if target is None else self._on_tick(symbol, target)
        except NO_NUMBER as error:
            return self._unreadable(symbol, book, "enter", error)
        order_type = MARKET if price is None else LIMIT if trigger is None else STOP
        now = self._clock.now_ns()
        identity = self._next_id(book, symbol, now)
        intent = make_entry_intent(
            client_id=identity, book=book, symbol=symbol, side=side, volume=volume, price=price, stop=stop,
            stop_distance=stop_distance, reverse=volume is None,
        )  # fmt: skip
        shaped = None
        if terms is not PLAIN:
            aims = not (target is None and target_distance is None and target_r is None)
            shaped = shape_order(self._broker, intent, order_type, terms, aims=aims)
            order_type, intent = shaped.type, shaped.intent
        if limit is not None and trigger is not None:
            message = f"expected a limit or a trigger, found both, {limit:g} and {price:g}"
            verdict = Verdict(code="limit_and_trigger", message=message)
        elif shaped is not None and shaped.verdict is not None:
            verdict = shaped.verdict
        else:
            verdict = self._risk.reserve(intent)
        self._journal.record(
            now, symbol, "decision", self._participant, book, "reduce" if terms.reduce_only else "enter",
            verdict.code or "accepted", identity, side, order_type, verdict.volume, price, stop, target, reason,
        )  # fmt: skip
        if terms is not PLAIN:
            self._record_terms(now, symbol, identity, terms)
        if not verdict.accepted:
            self._count_refusal(verdict.code)
            return make_order_result(accepted=False, code=verdict.code, message=verdict.message)
        if volume is not None and verdict.volume != volume:
            self._adjusted(symbol, identity, "volume", volume, verdict.volume)
        request = make_order_request(
            client_id=identity, book=book, symbol=symbol, side=side, type=order_type, volume=verdict.volume,
            price=price, stop=stop, stop_distance=stop_distance, target=target, target_distance=target_distance,
            target_r=target_r, stop_cost=verdict.stop_cost, reverse=volume is None, expires_ns=expires_ns,
            reason=reason,
        )  # fmt: skip
        if shaped is not None:
            request = shaped.completed(request)
        result = self._broker.place(request)
        if result.accepted:
            self._risk.sent(identity)
        else:
            self._risk.release(identity)
            self._refused(symbol, book, identity, result)
        return result

    def close(self, position: Position, *, volume: float | None, kind: str, reason: str) -> OrderResult:
        """Close a position or a part of it at the market; reducing needs no reservation."""
        reason = checked_text(reason, "a reason")
        try:
            asked = None if volume is None else float(volume)
            if asked is not None:
                volume = self._broker.instrument(position.symbol).round_volume(asked)
        except NO_NUMBER as error:
            return self._unreadable(position.symbol, position.book, "close", error)
        identity = self._next_id(position.book, position.symbol, self._clock.now_ns())
        self._record(
            position.symbol, position.book, "close", "accepted", identity, None, kind, volume, None, None, None, reason
        )
        if asked is not None and volume is not None and volume != asked:
            self._adjusted(position.symbol, identity, "volume", asked, volume)
        result = self._broker.close(position.position_id, client_id=identity, volume=volume, kind=kind, reason=reason)
        if not result.accepted:
            self._refused(position.symbol, position.book, identity, result)
        return result

    def close_by(self, position: Position, other: Position, *, volume: float | None, reason: str) -> OrderResult:
        """Close a position and an opposite one against each other, by the smaller of them or by less."""
        reason = checked_text(reason, "a reason")
        symbol, book = position.symbol, position.book
        asked = size = min(abs(position.volume), abs(other.volume))
        if volume is not None:
            try:
                asked = float(volume)
            except NO_NUMBER as error:
                return self._unreadable(symbol, book, "close_by", error)
            size = min(size, self._broker.instrument(symbol).round_volume(asked))
        identity = self._next_id(book, symbol, self._clock.now_ns())
        side = Side.SELL if position.volume > 0 else Side.BUY
        self._record(
            symbol, book, "close_by", "accepted", identity, side, other.position_id, size, None, None, None, reason
        )
        if size != asked:
            self._adjusted(symbol, identity, "volume", asked, size)
        request = make_order_request(
            client_id=identity, book=book, symbol=symbol, side=side, type=MARKET, volume=size, reduce_only=True,
            position_id=position.position_id, close_by=other.position_id, exit_kind="close_by", reason=reason,
        )  # fmt: skip
        result = self._broker.place(request)
        if not result.accepted:
            self._refused(symbol, book, identity, result)
        return result

    def protect(
        self, position: Position, *, stop: float | None, target: float | None, kind: str, reason: str
    ) -> OrderResult:
        """Move the stop or the target of a position; a strategy's own stop (`kind` "stop") asks the risk manager."""
        reason = checked_text(reason, "a reason")
        try:
            stop = None if stop is None else self._on_tick(position.symbol, stop)
            target = None if target is None else self._on_tick(position.symbol, target)
        except NO_NUMBER as error:
            return self._unreadable(position.symbol, position.book, "protect", error)
        asks = stop is not None and kind == "stop"
        verdict = self._risk.loosen(position, stop) if stop is not None and asks else Verdict()
        self._record(
            position.symbol, position.book, "protect", verdict.code or "accepted", position.position_id, None, kind,
            None, None, stop, target, reason,
        )  # fmt: skip
        if not verdict.accepted:
            self._count_refusal(verdict.code)
            return make_order_result(accepted=False, code=verdict.code, message=verdict.message)
        try:
            result = self._broker.protect(position.position_id, stop=stop, target=target, kind=kind)
        finally:
            if asks:
                self._risk.loosened(position)
        if not result.accepted:
            self._refused(position.symbol, position.book, position.position_id, result)
        return result

    def modify(
        self, symbol: str, book: str, order_id: str, *, price: float | None, limit: float | None = None,
        volume: float | None, reason: str,
    ) -> OrderResult:  # fmt: skip
        """Change price, limit or volume of a working order; an entry asks the risk manager as a new one would."""
        reason = checked_text(reason, "a reason")
        try:
            price = None if price is None else self._on_tick(symbol, price)
            limit = None if limit is None else self._on_tick(symbol, limit)
            asked = volume = None if volume is None else float(volume)
        except NO_NUMBER as error:
            return self._unreadable(symbol, book, "modify", error)
        order = next((each for each in self._broker.snapshot().orders if each.order_id == order_id), None)
        verdict, asks = Verdict(), order is not None and not order.request.reduce_only
        if order is not None:
            if volume is not None and math.isfinite(volume):
                volume = self._broker.instrument(symbol).round_volume(volume)
            if asks:
                verdict = self._risk.amend(changed_intent(self._broker, order.request, price, limit, volume))
        self._record(
            symbol, book, "modify", verdict.code or "accepted", order_id, None, None, volume, price, None, None, reason
        )
        if limit is not None:
            rest = [None] * 9  # of the terms that cannot be changed
            self._journal.record(self._clock.now_ns(), symbol, "terms", self._participant, order_id, None, limit, *rest)
        if not verdict.accepted:
            self._count_refusal(verdict.code)
            return make_order_result(accepted=False, code=verdict.code, message=verdict.message)
        if asked is not None and volume is not None and volume != asked:
            self._adjusted(symbol, order_id, "volume", asked, volume)
        result = self._broker.modify(order_id, price=price, limit=limit, volume=volume)
        if not result.accepted:
            if asks and result.code not in OPEN_ANSWERS:
                self._risk.unchanged(order_id)
            self._refused(symbol, book, order_id, result)
        return result

    def cancel(self, symbol: str, book: str, order_id: str, reason: str) -> OrderResult:
        """Cancel a working order."""
        reason = checked_text(reason, "a reason")
        self._record(symbol, book, "cancel", "accepted", order_id, None, None, None, None, None, None, reason)
        result = self._broker.cancel(order_id)
        if not result.accepted:
            self._refused(symbol, book, order_id, result)
        return result

    def _on_tick(self, symbol: str, price: float) -> float:
        return self._broker.instrument(symbol).round_price(float(price))

    def _next_id(self, book: str, symbol: str, now_ns: int) -> str:
        with self._lock:
            if now_ns != self._instant_ns:
                self._instant_ns = now_ns
                self._numbers.clear()
            number = self._numbers[book, symbol] = self._numbers.get((book, symbol), 0) + 1
        return client_id(self._owner, book, symbol, now_ns, number)

    def _record(self, symbol: str, book: str, action: str, verdict: str, *rest: object) -> None:
        self._journal.record(self._clock.now_ns(), symbol, "decision", self._participant, book, action, verdict, *rest)

    def _record_terms(self, now_ns: int, symbol: str, identity: str, terms: OrderTerms) -> None:
        self._journal.record(
            now_ns, symbol, "terms", self._participant, identity, terms.time_in_force, terms.trigger_limit,
            terms.trail_distance, terms.trail_percent, terms.stop_trail_distance, terms.stop_trail_percent,
            terms.post_only, terms.reduce_only, terms.trigger_by, terms.group, terms.parent,
        )  # fmt: skip

    def _adjusted(self, symbol: str, identity: str, what: str, asked: float, given: float) -> None:
        """A number goes out as another one than it came in, and that stands in the journal."""
        if math.isfinite(asked):  # what is no number is refused
            self._journal.record(
                self._clock.now_ns(), symbol, "adjusted", self._participant, identity, what, asked, given
            )

    def _refused(self, symbol: str, book: str, identity: str, result: OrderResult) -> None:
        self._count_refusal(result.code)
        self._journal.record(self._clock.now_ns(), symbol, "refusal", "broker", book, identity, result.code)

    def _unreadable(self, symbol: str, book: str, action: str, error: Exception) -> OrderResult:
        """The refusal of what says a number with something else; nothing of it has gone out."""
        code = "not_a_number"
        self._record(symbol, book, action, code, "", None, None, None, None, None, None, "")
        self._count_refusal(code)
        return make_order_result(accepted=False, code=code, message=f"expected prices and volumes as numbers: {error}")

    def _count_refusal(self, code: str) -> None:
        with self._lock:
            self.refusals[code] += 1
