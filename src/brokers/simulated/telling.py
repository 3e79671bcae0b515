"""What happened at the venue, told to the journal and to the mailboxes, in the order in which it happened.

Called by the broker with its lock held: everything here is done at once, and nothing waits.
"""

from collections.abc import Callable

from src.brokers.simulated.desk import Desk
from src.brokers.simulated.ledger import Ledger
from src.brokers.simulated.working_order import WorkingOrder
from src.core.clock import Clock
from src.core.journal import ACCOUNT_STREAM, Journal
from src.core.records import Fill, Order, OrderState
from src.core.wake import Signals

__all__ = ["Telling"]


class Telling:
    """Takes the events that the ledger has left.

    Args:
        ledger: whose events they are.
        signals: their `changes` grow with each event.

    Attributes:
        finished: the orders that have ended, in the order of their end.
    """

    def __init__(self, ledger: Ledger, signals: Signals) -> None:
        self._ledger = ledger
        self._signals = signals
        self._journal = Journal()
        self._now: Callable[[], int] = _beginning
        self._balance_seen = ledger.balance
        self.finished: list[Order] = []

    def bind(self, clock: Clock, journal: Journal) -> None:
        """Set the clock that stamps the account and the journal; once, before the first order."""
        self._now = clock.now_ns
        self._journal = journal

    def record_order(self, order: Order | WorkingOrder) -> None:
        """Journal an order as it is now."""
        request = order.request
        self._journal.record(
            order.updated_ns, request.symbol, "order", "broker", order.order_id, order.state, request.side,
            request.type, request.volume, request.price, order.filled_volume, order.code,
        )  # fmt: skip

    def deliver(self) -> None:
        """Journal what happened, put it into the mailboxes, and hold the account's invariant."""
        ledger, record = self._ledger, self._journal.record
        events = ledger.events
        if not events:
            return
        for desk, event in events:
            order, fill, trade = event.order, event.fill, event.trade
            if order.state is not OrderState.WORKING:  # a reversal's closing part leaves the order as it is
                self.record_order(order)
                if order.state.is_final:
                    self.finished.append(order)
            if fill is not None:
                record(
                    fill.filled_ns, desk.symbol, "fill", "broker", fill.fill_id, fill.book, fill.side,
                    fill.volume, fill.price, fill.commission, fill.kind, fill.filled_from_ns, fill.ambiguous,
                    fill.other_price,
                )  # fmt: skip
                if fill.kind == "entry":
                    self._record_protection(desk, fill)
            if trade is not None:
                record(
                    trade.exit_ns, desk.symbol, "trade", "broker", trade.trade_id, trade.book, trade.net, trade.risk,
                    trade.exit_kind,
                )  # fmt: skip
            desk.events.append(event)
        self._signals.changes += len(events)
        events.clear()
        ledger.check()
        if ledger.balance != self._balance_seen:
            self._balance_seen = ledger.balance
            record(self._now(), ACCOUNT_STREAM, "account", "broker", ledger.balance)

    def _record_protection(self, desk: Desk, fill: Fill) -> None:
        """What an entry's distances and multiples came to at its fill; nothing when it has no protection."""
        for book in desk.books:
            if book.position_id == fill.position_id and (book.stop is not None or book.target is not None):
                self._journal.record(
                    fill.filled_ns, desk.symbol, "protect", "broker", fill.position_id, book.stop, book.target, "entry"
                )


def _beginning() -> int:
    return 0
