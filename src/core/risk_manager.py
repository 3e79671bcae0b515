"""The RiskManager: sizes entries and holds the limits. Never optional, the same in every mode.

`reserve` checks and takes slot, margin and risk in one atomic step, so no order of threads can exceed a limit. No lock
is held across a broker call: the broker's snapshot is taken first, and the judgement is repeated when somebody reserved
or released in between. Safe to call from any participant.
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager

from src.core.broker import Broker
from src.core.clock import Clock
from src.core.config import RiskConfig
from src.core.day import AccountDay
from src.core.memory import RiskMemory
from src.core.records import Position, Side, Snapshot, Trade
from src.core.risk_intents import (
    EntryIntent,
    Market,
    Verdict,
    make_entry_intent,
    make_verdict,
    position_risk,
    refuse,
)
from src.core.risk_judge import TOLERANCE, RiskJudge
from src.core.session_rules import SessionFilter
from src.core.sync import Lock

__all__ = ["EntryIntent", "RiskManager", "Verdict", "make_entry_intent"]


class RiskManager(RiskJudge):
    """Limits of one account.

    The open risk is what all positions lose down to their stops, costs included, plus the same of the entries under
    way, at the prices of the decision and with the expected slippage. What a gap adds between decision and fill is
    known to nobody beforehand and is exempt.

    Args:
        config: the limits.
        broker: where account, positions and orders are seen.
        clock: the only time that cool-downs and days know.
        hedging: whether each entry opens a position, and so a slot, of its own.
        sessions: when entries of a book are taken, by its name; a book without one enters at any time.
    """

    def __init__(
        self, config: RiskConfig, broker: Broker, clock: Clock, *, hedging: bool,
        sessions: Mapping[str, SessionFilter] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(config, clock, hedging=hedging)
        self._broker = broker
        self._sessions = dict(sessions or {})
        self._lock: AbstractContextManager[bool] = Lock()
        self._version = 0
        #: Positions whose stop may still become wider, because nobody answered.
        self._held_stops: set[str] = set()
        self._unanswered: dict[str, list[str]] = {}
        self._day = AccountDay(config.day.zone, config.day.at)

    def guard_with(self, lock: AbstractContextManager[bool]) -> None:
        """Use another lock around the state, one that is measured; before the first call."""
        self._lock = lock

    # -- entries -----------------------------------------------------------------------------------

    def reserve(self, intent: EntryIntent) -> Verdict:
        """Judge an entry and, when it is accepted, take its slot, margin and risk.

        Raises:
            ConfigError: the size is a share of risk and the intent has no stop.
        """
        if intent.book in self._sessions:
            refusal = self._out_of_session(intent)
            if refusal is not None:
                return refusal
        while True:
            version = self._version
            snapshot = self._broker.snapshot()
            market = self._market(intent)
            with self._lock:
                if version != self._version:
                    continue  # somebody reserved or sent since the snapshot: it may count an order twice or not at all
                self._settle_locked(snapshot)
                verdict, reservation = self._judge_locked(intent, snapshot, market)
                if reservation is not None:
                    self._reservations[intent.client_id] = reservation
                    self._version += 1
                return verdict

    def amend(self, intent: EntryIntent) -> Verdict:
        """Judge a working entry as it shall be, in the place of the entry as it is; its `client_id` is the order's.

        After an acceptance the larger of both stays reserved: until the change arrives the order may fill as it was.
        An order of which nothing is reserved has ended, and whoever is asked to change it says so.
        """
        while True:
            version = self._version
            snapshot = self._broker.snapshot()
            market = self._market(intent)
            with self._lock:
                if version != self._version:
                    continue  # as in `reserve`
                self._settle_locked(snapshot)
                reservations = self._reservations
                held = reservations.get(intent.client_id)
                if held is None:
                    return make_verdict(volume=intent.volume or 0.0)
                self._reservations = {key: item for key, item in reservations.items() if item is not held}
                try:
                    verdict, changed = self._judge_locked(intent, snapshot, market)
                finally:
                    self._reservations = reservations
                if changed is not None:
                    held.unchanged = held.margin, held.risk
                    held.margin, held.risk = max(held.margin, changed.margin), max(held.risk, changed.risk)
                    self._version += 1
                return verdict

    def unchanged(self, client_id: str) -> None:
        """The venue refused the change that `amend` accepted last: what was reserved before it is enough again."""
        with self._lock:
            reservation = self._reservations.get(client_id)
            if reservation is not None and reservation.unchanged is not None:
                reservation.margin, reservation.risk = reservation.unchanged
                reservation.unchanged = None
                self._version += 1

    def sent(self, client_id: str) -> None:
        """The order of a reservation is at the broker; from now on the broker's snapshot tells when it ends."""
        with self._lock:
            reservation = self._reservations.get(client_id)
            if reservation is not None:
                reservation.sent = True
                self._version += 1

    def release(self, client_id: str) -> None:
        """Give a reservation back: its order was refused. One whose order nobody answered stands, see `hold`."""
        with self._lock:
            reservation = self._reservations.get(client_id)
            if reservation is not None and not reservation.unknown:
                del self._reservations[client_id]
                self._version += 1

    def hold(self, symbol: str, client_id: str) -> None:
        """Nobody answered to an order: until `resolve` its reservation stands and the symbol takes no entry."""
        with self._lock:
            reservation = self._reservations.get(client_id)
            if reservation is not None:
                reservation.unknown = True
            self._unanswered.setdefault(symbol, []).append(client_id)
            sentence = f"an order in {symbol} was not answered; entries resume when it is known what became of it"
            self._blocked.setdefault(symbol, refuse("unanswered", sentence))
            self._version += 1

    def resolve(self, symbol: str, client_id: str, *, found: bool) -> None:
        """It is known what became of an unanswered order: it is at the broker, or it never got there."""
        with self._lock:
            reservation = self._reservations.get(client_id)
            if reservation is not None and found:
                reservation.unknown, reservation.sent = False, True
            elif reservation is not None:
                del self._reservations[client_id]
            waiting = self._unanswered.get(symbol, [])
            if client_id in waiting:
                waiting.remove(client_id)
            # What was blocked for good stays blocked.
            over = not waiting and self._unanswered.pop(symbol, None) is not None
            if over and self._blocked[symbol].code == "unanswered":
                del self._blocked[symbol]
            self._version += 1

    @property
    def reserved(self) -> tuple[str, ...]:
        """The orders that have something reserved, the oldest first."""
        with self._lock:
            return tuple(self._reservations)

    def loosen(self, position: Position, stop: float) -> Verdict:
        """Judge a stop that a strategy moves and, when it adds risk within the limit, reserve what it adds.

        A tighter stop, and any stop without `max_open_risk_percent`, is accepted and reserves nothing. After an
        acceptance the caller calls `loosened` as soon as the broker has answered.
        """
        limit = self._config.max_open_risk_percent
        if limit is None or not math.isfinite(stop):
            return Verdict()
        while True:
            version = self._version
            snapshot = self._broker.snapshot()
            with self._lock:
                if version != self._version:
                    continue  # as in `reserve`
                self._settle_locked(snapshot)
                held = [each for each in snapshot.positions if each.position_id == position.position_id]
                more = sum(position_risk(each, stop) - position_risk(each, each.stop) for each in held)
                if more <= 0:
                    return Verdict()
                total = self._open_risk(snapshot) + more
                allowed = snapshot.account.equity * limit / 100
                if total > allowed * TOLERANCE:
                    return refuse("open_risk", f"open risk would be {total:.2f}, {allowed:.2f} is allowed")
                held_back = self._loosened.get(position.position_id, 0.0)
                self._loosened[position.position_id] = max(more, held_back)
                self._version += 1
                return Verdict()

    def loosened(self, position: Position) -> None:
        """The broker has answered to a moved stop; from now on its snapshot tells the position's risk."""
        with self._lock:
            if position.position_id in self._held_stops:
                return
            if self._loosened.pop(position.position_id, None) is not None:
                self._version += 1

    def hold_stop(self, position_id: str) -> None:
        """Nobody answered to a wider stop: what it adds stays reserved until `settle_stop`."""
        with self._lock:
            self._held_stops.add(position_id)

    def settle_stop(self, position_id: str) -> None:
        """It is known what became of a wider stop: the position has it, or it cannot arrive any more."""
        with self._lock:
            self._held_stops.discard(position_id)
            if self._loosened.pop(position_id, None) is not None:
                self._version += 1

    def settle(self) -> None:
        """Give back what is reserved for orders that have ended, as each entry does before it is judged."""
        snapshot = self._broker.snapshot()
        with self._lock:
            self._settle_locked(snapshot)

    def block(self, symbol: str, reason: str) -> None:
        """Refuse all further entries in a symbol."""
        with self._lock:
            self._blocked[symbol] = refuse("blocked", reason)
            self._version += 1

    def trade_closed(self, trade: Trade) -> None:
        """Start the cool-down of a losing book."""
        if self._config.cool_down_after_loss_ns and trade.net < 0:
            with self._lock:
                key = (trade.book, trade.symbol)
                self._cool_until[key] = trade.exit_ns + self._config.cool_down_after_loss_ns
                self._version += 1

    # -- the day -----------------------------------------------------------------------------------

    def day_due_ns(self) -> int | None:
        """When the next day starts, None without a daily limit."""
        return self._day_ends_ns if self.watches_equity else None

    def start_day(self) -> None:
        """Begin a day with the equity of now; lifts yesterday's block."""
        now = self._clock.now_ns()
        equity = self._broker.equity()
        with self._lock:
            self._day_ends_ns = self._day.next_start_ns(now)
            self._day_equity = equity
            self._tripped = False
            self._version += 1

    def remembered(self) -> RiskMemory:
        """What outlives a run."""
        with self._lock:
            cool = tuple((book, symbol, at_ns) for (book, symbol), at_ns in sorted(self._cool_until.items()))
            return RiskMemory(
                day_ends_ns=self._day_ends_ns, day_equity=self._day_equity, tripped=self._tripped, cool_until=cool
            )  # fmt: skip

    def remember(self, memory: RiskMemory) -> None:
        """Go on with a day and with pauses of before; before the first turn, which begins a new day if that is over."""
        with self._lock:
            self._day_ends_ns, self._day_equity = memory.day_ends_ns, memory.day_equity
            self._tripped = memory.tripped
            self._cool_until.update({(book, symbol): at_ns for book, symbol, at_ns in memory.cool_until})
            self._version += 1

    @property
    def tripped(self) -> bool:
        """True from the moment the daily loss limit was acted on until the next day."""
        return self._tripped

    def loss_limit_reached(self) -> bool:
        """True when equity has fallen to the day's floor and nobody has acted on it yet."""
        return not self._tripped and self._broker.equity() <= self._floor()

    def trip(self) -> float:
        """Refuse entries until the next day; returns the equity that reached the floor."""
        equity = self._broker.equity()
        with self._lock:
            self._tripped = True
            self._version += 1
        return equity

    # -- judging -----------------------------------------------------------------------------------

    def _out_of_session(self, intent: EntryIntent) -> Verdict | None:
        calendar = self._broker.instrument(intent.symbol).calendar
        reason = self._sessions[intent.book].refusal(self._clock.now_ns(), intent.symbol, calendar)
        return None if reason is None else refuse("out_of_session", reason)

    def _settle_locked(self, snapshot: Snapshot) -> None:
        """Drop the reservations whose orders have ended: a fill consumed them, anything else returned them."""
        if not self._reservations:
            return
        living = {order.order_id for order in snapshot.orders} if snapshot.orders else ()
        ended = [key for key, item in self._reservations.items() if item.sent and key not in living]
        for key in ended:
            del self._reservations[key]
        if ended:
            self._version += 1  # an older snapshot than this one knows neither the reservation nor what became of it

    def _market(self, intent: EntryIntent) -> Market | None:
        symbol, broker = intent.symbol, self._broker
        quote = broker.quote(symbol)
        if quote is None:
            return None
        price = intent.price or (quote.ask if intent.side is Side.BUY else quote.bid)
        return Market(broker, symbol, price, quote)
