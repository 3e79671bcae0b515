"""Reading the account: money, positions, orders and executions, until they tell of one instant.

An exchange answers each of these questions by itself, and things happen in between. A pass asks for money and
positions, then for orders, then for executions. When a pass brings nothing new and the positions are those that the
executions add up to, nothing has happened between its first answer and its last, and together they are one picture.

One thread reads at a time; the ledger is changed under its lock, which is never held while something is asked.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from src.brokers.ccxt_ledger import CcxtLedger
from src.brokers.ccxt_order import LOST, VenueOrder, as_told
from src.brokers.ccxt_records import Execution, Held, Money, Report, is_conditional
from src.brokers.ccxt_restart import recognise
from src.brokers.ccxt_reversal import with_closing_parts
from src.brokers.ccxt_wire import CcxtWire
from src.core.errors import BrokerContractError, BrokerUnavailable
from src.core.records import OrderRequest, OrderState, OrderType
from src.core.timeframe import DAY_NS, MINUTE_NS, SECOND_NS

__all__ = ["CcxtReader"]

Answer = TypeVar("Answer")

_NONE: Mapping[str, int] = MappingProxyType({})

_MS = 1_000_000
#: How often what seems quiet is looked at: a symbol in which positions are as they were and only guards work.
_LOOK_NS = 5 * SECOND_NS
#: After so many questions of a pass without an answer the others are not asked.
_MOST_FAILURES = 2
#: An execution may be told of so late.
_LATE_NS = 10 * MINUTE_NS
#: What the exchange has acknowledged and does not know any more is given up after so many in-flight limits.
_GONE_LIMITS = 6
#: So often the beginning is tried while things happen.
_BEGINNINGS = 5
#: What was never acknowledged is waited for so many of them; whoever has sent it gives it up before.
_LOST_LIMITS = 60


class CcxtReader:
    """Brings a ledger up to date.

    Args:
        wire: whom to ask.
        ledger: what is known.
        lock: guards the ledger.
        currency: the account's.
        now_ns: the present by the exchange's clock.
        in_flight_ns: how long a request may be under way.
        fee_part: what an execution costs, as a part of its value, where its fee was paid in a currency without a rate.

    Attributes:
        money, holdings: what the last pass has brought.
    """

    def __init__(
        self, wire: CcxtWire, ledger: CcxtLedger, lock: AbstractContextManager[bool], currency: str,
        now_ns: Callable[[], int], in_flight_ns: int, fee_part: float = 0.0005,
    ) -> None:  # fmt: skip
        self._wire = wire
        self._ledger = ledger
        self._lock = lock
        self._currency = currency
        self._now_ns = now_ns
        self._gone_ns = _GONE_LIMITS * in_flight_ns
        self._lost_ns = _LOST_LIMITS * in_flight_ns
        self._fee_part = fee_part
        self._since_ns: dict[str, int] = {}
        #: Since when a symbol in which nothing of ours is open shows a position that nobody has told of.
        self._odd_since_ns: dict[str, int] = {}
        self._read_ns: dict[str, int] = {}
        #: When the orders of a symbol were read last.
        self._looked_ns: dict[str, int] = {}
        #: When an execution was first told of whose owner is not known, by symbol and the order's id.
        self._unowned_ns: dict[tuple[str, str], int] = {}
        #: The client ids of other people's orders, by symbol and the exchange's id.
        self._foreign: dict[tuple[str, str], str] = {}
        #: Tells by its client id an order for this bot that another process has sent; None when it knows of none.
        self.sent_for_us: Callable[[str], OrderRequest | None] = lambda client_id: None
        self.money = Money(balance=0.0, equity=0.0, margin_used=0.0)
        self.holdings: dict[str, Held] = {}

    def begin(
        self, known: Iterable[OrderRequest] = (), since_ns: int | None = None, sent_ns: Mapping[str, int] = _NONE
    ) -> None:
        """Take what is held now as other people's, but for what known orders have done; once, before everything else.

        Args:
            known: what this bot has asked for before.
            since_ns: before the first of them was sent, by the exchange's clock; the present by default.
            sent_ns: when each of them was sent, by its client id; `since_ns` where it is absent.
        """
        since_ns = self._now_ns() if since_ns is None else since_ns
        known = tuple(with_closing_parts(known))
        first_ns = _first_ns(known, since_ns, sent_ns)
        for _ in range(_BEGINNINGS):
            now = self._now_ns()
            self.money, self.holdings = self._wire.money(self._currency), self._wire.holdings()
            recognise(self._wire, self._ledger, self._lock, known, self.holdings, since_ns, first_ns, sent_ns)
            if self._wire.holdings() == self.holdings:  # nothing has happened while the executions were read
                break
        else:
            raise BrokerUnavailable("expected positions that stay while they are read, found others each time")
        with self._lock:
            for symbol in self._ledger.rules:
                # Where nothing is recognised, what happened before now is in what is held.
                mine = any(each.request.symbol == symbol for each in self._ledger.orders.values())
                self._since_ns[symbol], self._read_ns[symbol] = first_ns.get(symbol, since_ns) if mine else now, now

    def read(self) -> bool:
        """Make one pass; True when it brought nothing new and everything agrees.

        What seems quiet is looked at every few seconds alone: an exchange counts questions.

        Raises:
            BrokerUnavailable: no answer to some of it; the rest has been read.
        """
        ledger = self._ledger
        failures: list[BrokerUnavailable | BrokerContractError] = []

        def ask(question: Callable[[], Answer], otherwise: Answer) -> Answer:
            if len(failures) >= _MOST_FAILURES:
                return otherwise
            try:
                return question()
            except (BrokerUnavailable, BrokerContractError) as error:
                failures.append(error)
                return otherwise

        with self._lock:
            begun = ledger.answers
            active = [symbol for symbol in ledger.rules if ledger.is_active(symbol)]
            unequal = {symbol for symbol in ledger.rules if not self._agrees(symbol, self.holdings)}
        money = ask(lambda: self._wire.money(self._currency), self.money)
        holdings = ask(self._wire.holdings, self.holdings)
        with self._lock:
            unequal |= {symbol for symbol in ledger.rules if not self._agrees(symbol, holdings)}
            unequal |= set(active) if failures else set()
            watched = [symbol for symbol in active if symbol in unequal or self._wants_a_look(symbol)]
        news = False
        for symbol in watched:
            news |= ask(partial(self._read_orders, symbol, begun), False)
        for symbol in ledger.rules:
            age_ns = self._now_ns() - self._read_ns[symbol]
            with self._lock:
                owed = symbol in active and (age_ns >= _LOOK_NS or self._is_owed(symbol))
            if owed or symbol in unequal or age_ns > DAY_NS:
                news |= ask(partial(self._read_executions, symbol), False)
        with self._lock:
            for symbol in active:
                news |= ledger.finish(symbol)
            if failures:
                raise BrokerUnavailable(failures[0].message)
            agrees = self._conclude(active, holdings)
            # Whose executions are not all here holds the picture back, except in what the bot did meanwhile.
            pending = any(order.ending is not None for symbol in active for order in ledger.live(symbol))
            quiet = ledger.answers == begun
        self.money, self.holdings = money, holdings
        return quiet and agrees and not news and not pending

    def _conclude(self, active: list[str], holdings: dict[str, Held]) -> bool:
        """Wait no longer for what does not come; whether positions and executions agree."""
        for symbol in active:
            self._ledger.give_up(symbol, self._now_ns() - self._lost_ns)
            self._ledger.stop_waiting(symbol, self._now_ns(), self._gone_ns)
        self._take_for_foreign(holdings)
        return all(self._agrees(symbol, holdings) for symbol in self._ledger.rules)

    def _wants_a_look(self, symbol: str) -> bool:
        """Whether the orders of a symbol are read: they are the bot's own, or were not read for a while."""
        if self._now_ns() - self._looked_ns.get(symbol, -_LOOK_NS) >= _LOOK_NS or self._is_owed(symbol):
            return True
        return any(not order.role for order in self._ledger.live(symbol))

    def _is_owed(self, symbol: str) -> bool:
        """Whether executions are to come: something has ended, or may have been done that nobody has answered."""
        return any(
            order.ending is not None or not order.acknowledged or order.became_id for order in self._ledger.live(symbol)
        )

    def _agrees(self, symbol: str, holdings: dict[str, Held]) -> bool:
        held = holdings.get(symbol)
        volume = 0.0 if held is None else held.volume
        tolerance = max(self._ledger.rules[symbol].volume_step / 2, 1e-12)
        return abs(volume - self._ledger.held(symbol)) < tolerance

    def _take_for_foreign(self, holdings: dict[str, Held]) -> None:
        """What is held for long where nothing of ours is open is other people's, whatever the executions say."""
        now = self._now_ns()
        for symbol in self._ledger.rules:
            if self._ledger.is_active(symbol) or self._agrees(symbol, holdings):
                self._odd_since_ns.pop(symbol, None)
            elif now - self._odd_since_ns.setdefault(symbol, now) >= self._gone_ns:
                held = holdings.get(symbol)
                self._ledger.foreign[symbol] = self._ledger.clean(symbol, 0.0 if held is None else held.volume)

    # -- orders --------------------------------------------------------------------------------------------------------

    def _read_orders(self, symbol: str, begun: int) -> bool:
        self._looked_ns[symbol] = self._now_ns()
        with self._lock:
            live = self._ledger.live(symbol)
        found = self._wire.open_orders(symbol, conditional=False) if live else []
        if any(_waits(order) for order in live):
            found += self._wire.open_orders(symbol, conditional=True)
        news, shown = False, set()
        with self._lock:
            for report in found:
                order = self._ledger.orders.get(report.client_id) or self._ledger.owner(symbol, report.venue_id)
                if order is not None:
                    shown.add(order.request.client_id)
                    news |= self._update(order, report, begun)
            known = [
                order for order in live
                if order.is_live and order.acknowledged and order.ending is None and order.touched <= begun
            ]  # fmt: skip
        for order in known:
            if order.request.client_id not in shown:
                news |= self._look_for(order)
        return news

    def _update(self, order: VenueOrder, report: Report, begun: int) -> bool:
        """Take what the list of open orders says; whether it is new."""
        # What was given up and works all the same lives again, to be cancelled by whoever does not want it.
        if order.touched > begun or not (order.is_live or order.code == LOST):
            return False
        new = not order.acknowledged
        self._ledger.acknowledge(order, report)
        if order.role:
            order.request = as_told(order.request, report)
        request = order.request
        price, volume = report.price, report.volume
        changed = (price, volume) != (request.price, request.volume) and price is not None and volume > 0
        if request.type is OrderType.LIMIT and changed:
            order.request = replace(request, price=price, volume=volume)
            new = True
        return new

    def look_up(self, order: VenueOrder) -> Report | None:
        """Ask what has become of an order, through what it was triggered into; None when the exchange has none.

        What is not known yet of one that is being triggered is told as if it still worked.
        """
        found = self._find(order)
        if found is not None and found.became_id:
            with self._lock:
                self._ledger.acknowledge(order, found)
            found = self._find(order)
        return None if found is None else replace(found, client_id=order.request.client_id)

    def _look_for(self, order: VenueOrder) -> bool:
        """An order is not among the open ones any more: ask what became of it; whether that is new."""
        found = self.look_up(order)
        with self._lock:
            if found is not None and not found.triggered:
                order.absent_ns = 0
                if found.state.is_final and order.is_live and order.ending is None:
                    order.ending = found
                    return True
                return False
            now = self._now_ns()
            order.absent_ns = order.absent_ns or now
            if now - order.absent_ns < self._gone_ns:
                return False
            words = f"the exchange knows nothing of the order {order.request.client_id} any more"
            self._ledger.end(order, OrderState.CANCELLED, now, "vanished", words)
            return True

    def _find(self, order: VenueOrder) -> Report | None:
        symbol = order.request.symbol
        if order.became_id:
            found = self._wire.find(symbol, venue_id=order.became_id)
        else:
            found = self._wire.find(
                symbol, client_id=order.request.client_id, venue_id=order.venue_id, conditional=_waits(order)
            )
        return None if found is None else found[0]

    # -- executions ----------------------------------------------------------------------------------------------------

    def _read_executions(self, symbol: str) -> bool:
        now, since_ns = self._now_ns(), self._since_ns[symbol]
        found = self._wire.executions(symbol, since_ns // _MS)
        rates: dict[str, float | None] = {}
        news = False
        for execution in found:
            if execution.at_ns < since_ns - since_ns % _MS or self._ledger.has_counted(execution):
                continue
            news = True
            if not self._is_owned(execution) and self._may_be_ours(execution):
                continue
            fee = self._fee(execution, rates)
            with self._lock:
                self._ledger.execute(execution, fee, self._foreign.get((symbol, execution.venue_id), ""))
        last_ns = max((each.at_ns for each in found), default=since_ns)
        self._since_ns[symbol] = max(since_ns, min(last_ns, now) - _LATE_NS, now - DAY_NS)
        self._read_ns[symbol] = now
        return news

    def _is_owned(self, execution: Execution) -> bool:
        """Find out whose order an execution belongs to, of which the exchange tells its own id alone."""
        symbol, venue_id = execution.symbol, execution.venue_id
        with self._lock:
            if self._ledger.owner(symbol, venue_id) is not None:
                return True
        if (symbol, venue_id) in self._foreign:
            return False
        found = self._wire.find(symbol, venue_id=venue_id)
        client_id = "" if found is None else found[0].client_id
        self._take_over(client_id, execution)
        with self._lock:
            if client_id in self._ledger.orders:
                self._ledger.own(symbol, venue_id, client_id)
                return True
            waiting = [order for order in self._ledger.live(symbol) if _waits(order)]
        for order in waiting:  # one of them may have been triggered, and this is what it became
            self.look_up(order)
        with self._lock:
            owned = self._ledger.owner(symbol, venue_id) is not None
        if not owned and not self._may_be_ours(execution):
            self._foreign[symbol, venue_id] = client_id
        return owned

    def _take_over(self, client_id: str, execution: Execution) -> None:
        """Register an order that another process has sent for this bot, such as one that closes its position."""
        with self._lock:
            if not client_id or client_id in self._ledger.orders:
                return
        request = self.sent_for_us(client_id)
        if request is None or request.symbol != execution.symbol:
            return
        with self._lock:
            if client_id not in self._ledger.orders and request.position_id in self._ledger.orders:
                self._ledger.register(request, execution.at_ns).acknowledged = True

    def _may_be_ours(self, execution: Execution) -> bool:
        """Whether an entry that waits for its trigger may have become this, and the exchange does not say so yet.

        Were it taken for somebody else's, a position would have no stop. It is waited for a little.
        """
        with self._lock:
            waiting = any(
                _waits(order) and not order.request.reduce_only and order.request.side is execution.side
                for order in self._ledger.live(execution.symbol)
            )
        first_ns = self._unowned_ns.setdefault((execution.symbol, execution.venue_id), self._now_ns())
        return waiting and self._now_ns() - first_ns < self._gone_ns // _GONE_LIMITS

    def _fee(self, execution: Execution, rates: dict[str, float | None]) -> float:
        """What an execution cost in the account's currency; estimated where there is no rate now.

        It must never keep an execution from being counted: a position would have no stop.
        """
        currency = execution.fee_currency
        if currency in ("", self._currency) or not execution.fee:
            return execution.fee
        if currency not in rates:
            try:
                rates[currency] = self._wire.rate(currency, self._currency)
            except (BrokerUnavailable, BrokerContractError):
                rates[currency] = None
        rate = rates[currency]
        return self._fee_part * execution.volume * execution.price if rate is None else execution.fee * rate


def _waits(order: VenueOrder) -> bool:
    return is_conditional(order.request) and not order.became_id


def _first_ns(known: Iterable[OrderRequest], since_ns: int, sent_ns: Mapping[str, int]) -> dict[str, int]:
    """When the first order of each symbol was sent: another's beginning may cut in half what had come and gone there.

    Args:
        since_ns: when the first of all was sent, by the exchange's clock; `sent_ns` is by the bot's.
    """
    requests = tuple(known)
    first_of_all_ns = min((sent_ns[each.client_id] for each in requests if each.client_id in sent_ns), default=0)
    found: dict[str, int] = {}
    for each in requests:
        at_ns = since_ns + sent_ns.get(each.client_id, first_of_all_ns) - first_of_all_ns
        found[each.symbol] = min(at_ns, found.get(each.symbol, at_ns))
    return found
