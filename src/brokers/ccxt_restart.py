"""After a restart: what the bot had sent before is recognised at the exchange, and counted anew from executions.

Whoever starts the bot knows what it had asked for, each request under its client id. Stops and targets are recognised
by their ids, which are functions of the position that they guard. What is held besides is other people's.

Called by one thread, before anything else is asked.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager

from src.brokers.ccxt_ledger import CcxtLedger
from src.brokers.ccxt_order import FLAT, NAKED, STOP, TARGET, VenueOrder
from src.brokers.ccxt_records import Execution, Held, Report, protective_role
from src.brokers.ccxt_wire import CcxtWire
from src.core.records import OrderRequest, make_order_request

__all__ = ["adopt_levels", "recognise"]

_MS = 1_000_000


def recognise(
    wire: CcxtWire, ledger: CcxtLedger, lock: AbstractContextManager[bool], known: Iterable[OrderRequest],
    holdings: dict[str, Held], since_ns: int, first_ns: Mapping[str, int], sent_ns: Mapping[str, int],
) -> None:  # fmt: skip
    """Register the orders of before, and set apart what is held and not theirs.

    Args:
        known: what was asked for since then, entries of what is still open among them.
        holdings: what the exchange says is held.
        since_ns: before the first of these orders was sent.
        first_ns: the same of each symbol.
        sent_ns: when each of them was sent, by its client id; `since_ns` where it is absent.
    """
    by_symbol: dict[str, list[OrderRequest]] = {}
    for request in known:
        by_symbol.setdefault(request.symbol, []).append(request)
    for symbol in ledger.rules:
        requests = by_symbol.get(symbol, [])
        from_ns = first_ns.get(symbol, since_ns)
        executions = wire.executions(symbol, from_ns // _MS) if requests else []
        told: list[tuple[Report, OrderRequest]] = []
        if requests:
            told = wire.all_orders(symbol, from_ns, conditional=False)
            told += wire.all_orders(symbol, from_ns, conditional=True)
        held = holdings.get(symbol)
        with lock:
            ledger.foreign[symbol] = ledger.clean(
                symbol, (0.0 if held is None else held.volume) - sum(_signed(each) for each in executions)
            )
            for request in requests:
                ledger.register(request, sent_ns.get(request.client_id, since_ns))
            for report, asked in told:
                order = ledger.orders.get(report.client_id) or _guard(ledger, requests, asked, since_ns)
                if order is not None:
                    ledger.acknowledge(order, report)


def adopt_levels(ledger: CcxtLedger) -> None:
    """Take the stops and targets that rest as those that are wished: they may have been moved; with the lock."""
    for symbol in ledger.rules:
        for book in ledger.books(symbol):
            stop, target = ledger.levels(book)
            book.protect(stop=stop, target=target, kind=book.stop_kind)
    ledger.stop_kinds.clear()  # what is set from now on is known


def _guard(ledger: CcxtLedger, requests: list[OrderRequest], asked: OrderRequest, since_ns: int) -> VenueOrder | None:
    """The order as a stop or target of a position that one of the requests may have opened; None when it is none."""
    for entry in requests:
        found = None if entry.reduce_only else protective_role(asked.client_id, entry.client_id)
        if found is None:
            continue
        role, number = found
        name = {STOP: "stop", TARGET: "target", FLAT: NAKED}.get(role)
        if name is None:
            return None
        request = make_order_request(
            client_id=asked.client_id, book=entry.book, symbol=asked.symbol, side=asked.side, type=asked.type,
            volume=asked.volume, price=asked.price, reduce_only=True, position_id=entry.client_id, exit_kind=name,
            reason=name,
        )  # fmt: skip
        order = ledger.register(request, since_ns)
        order.role, order.position_id, order.number = role, entry.client_id, number
        ledger.count_guard(entry.client_id, number)
        return order
    return None


def _signed(execution: Execution) -> float:
    return execution.side.sign * execution.volume - execution.fee_volume
