"""From an intent to an order: prices on the tick, the risk manager's verdict, the journal, the broker.

Each participant has its own desk, which the threads that it starts use as well; where those really run beside it, a
lock keeps the ids apart. It is never held across a call.
"""

from collections import Counter

from src.core.arguments import checked_text
from src.core.broker import Broker
from src.core.clock import Clock
from src.core.ids import client_id
from src.core.journal import Journal
from src.core.records import OrderResult, OrderType, Position, Side, make_order_request, make_order_result
from src.core.risk_manager import RiskManager, Verdict, make_entry_intent
from src.core.sync import Lock

__all__ = ["OrderDesk"]

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
        target_r: float | None, expires_ns: int | None, reason: str,
    ) -> OrderResult:  # fmt: skip
        """Ask the risk manager and, if it agrees, place an entry. A size that was left open reverses what is held.

        Raises:
            TypeError: the reason is no text; so for the other methods.
        """
        reason = checked_text(reason, "a reason")
        # Strategies give whole numbers and numpy scalars too; equal orders must be equal records.
        volume = None if volume is None else float(volume)
        stop_distance = None if stop_distance is None else float(stop_distance)
        target_distance = None if target_distance is None else float(target_distance)
        target_r = None if target_r is None else float(target_r)
        price = limit if trigger is None else trigger
        price = None if price is None else self._on_tick(symbol, price)
        stop = None if stop is None else self._on_tick(symbol, stop)
        target = None if target is None else self._on_tick(symbol, target)
        order_type = MARKET if price is None else LIMIT if trigger is None else STOP
        now = self._clock.now_ns()
        identity = self._next_id(book, symbol, now)
        intent = make_entry_intent(
            client_id=identity, book=book, symbol=symbol, side=side, volume=volume, price=price, stop=stop,
            stop_distance=stop_distance, reverse=volume is None,
        )  # fmt: skip
        if limit is not None and trigger is not None:
            message = f"expected a limit or a trigger, found both, {limit:g} and {trigger:g}"
            verdict = Verdict(code="limit_and_trigger", message=message)
        else:
            verdict = self._risk.reserve(intent)
        self._journal.record(
            now, symbol, "decision", self._participant, book, "enter", verdict.code or "accepted", identity, side,
            order_type, verdict.volume, price, stop, target, reason,
        )  # fmt: skip
        if not verdict.accepted:
            self._count_refusal(verdict.code)
            return make_order_result(accepted=False, code=verdict.code, message=verdict.message)
        result = self._broker.place(
            make_order_request(
                client_id=identity, book=book, symbol=symbol, side=side, type=order_type, volume=verdict.volume,
                price=price, stop=stop, stop_distance=stop_distance, target=target, target_distance=target_distance,
                target_r=target_r, stop_cost=verdict.stop_cost, reverse=volume is None, expires_ns=expires_ns,
                reason=reason,
            )
        )  # fmt: skip
        if result.accepted:
            self._risk.sent(identity)
        else:
            self._risk.release(identity)
            self._refused(symbol, book, identity, result)
        return result

    def close(self, position: Position, *, volume: float | None, kind: str, reason: str) -> OrderResult:
        """Close a position or a part of it at the market; reducing needs no reservation."""
        reason = checked_text(reason, "a reason")
        if volume is not None:
            volume = self._broker.instrument(position.symbol).round_volume(float(volume))
        identity = self._next_id(position.book, position.symbol, self._clock.now_ns())
        self._record(
            position.symbol, position.book, "close", "accepted", identity, None, kind, volume, None, None, None, reason
        )
        result = self._broker.close(position.position_id, client_id=identity, volume=volume, kind=kind, reason=reason)
        if not result.accepted:
            self._refused(position.symbol, position.book, identity, result)
        return result

    def protect(
        self, position: Position, *, stop: float | None, target: float | None, kind: str, reason: str
    ) -> OrderResult:
        """Move the stop or the target of a position; a strategy's own stop (`kind` "stop") asks the risk manager."""
        reason = checked_text(reason, "a reason")
        stop = None if stop is None else self._on_tick(position.symbol, stop)
        target = None if target is None else self._on_tick(position.symbol, target)
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

    def _refused(self, symbol: str, book: str, identity: str, result: OrderResult) -> None:
        self._count_refusal(result.code)
        self._journal.record(self._clock.now_ns(), symbol, "refusal", "broker", book, identity, result.code)

    def _count_refusal(self, code: str) -> None:
        with self._lock:
            self.refusals[code] += 1
