"""The RiskManager: sizes entries and holds the limits. Never optional, the same in every mode.

`reserve` checks and takes slot, margin and risk in one atomic step, so no order of threads can exceed a limit. No lock
is held across a broker call: the broker's snapshot is taken first, and the judgement is repeated when somebody reserved
or released in between. Safe to call from any participant.
"""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from src.core.broker import Broker
from src.core.clock import Clock
from src.core.config import RiskConfig
from src.core.day import AccountDay
from src.core.errors import ConfigError
from src.core.instrument import Instrument
from src.core.record import maker, record
from src.core.records import Position, Quote, Side, Snapshot, Trade
from src.core.session_rules import SessionFilter
from src.core.sync import Lock
from src.core.timeframe import format_instant

__all__ = ["EntryIntent", "RiskManager", "Verdict", "make_entry_intent"]

#: Part of the free margin that an entry sized by equity leaves for the price to move until it fills.
HEADROOM = 0.01

#: A size that uses a limit up to the last cent may come out above it by the rounding of binary floats.
TOLERANCE = 1 + 1e-9


@record
class EntryIntent:
    """An entry that a strategy wants; `volume` None lets the configured size decide.

    `price` is the limit or trigger, None at the market. With `reverse`, what the book holds on the other side is closed
    first.
    """

    client_id: str
    book: str
    symbol: str
    side: Side
    volume: float | None = None
    price: float | None = None
    stop: float | None = None
    stop_distance: float | None = None
    reverse: bool = False


make_entry_intent = maker(EntryIntent)


@record
class Verdict:
    """The answer to an intent: a volume and the cost of its stop, or a code and a sentence."""

    volume: float = 0.0
    stop_cost: float = 0.0
    code: str = ""
    message: str = ""

    @property
    def accepted(self) -> bool:
        """True when slot, margin and risk are reserved."""
        return not self.code


_verdict = maker(Verdict)


class _Market:
    """What the broker says of a symbol, asked before the lock is taken: no other lock is waited for inside it."""

    __slots__ = ("ask", "bid", "entry_cost", "exit_cost", "margin", "price", "rate", "rules")

    def __init__(self, broker: Broker, symbol: str, price: float, quote: Quote) -> None:
        self.rules: Instrument = broker.instrument(symbol)
        self.price, self.bid, self.ask, self.rate = price, quote.bid, quote.ask, quote.rate
        self.entry_cost = broker.entry_per_unit(symbol, price)
        self.exit_cost = broker.exit_per_unit(symbol, price)
        self.margin = broker.margin_per_unit(symbol, price)


@dataclass(slots=True)
class _Reservation:
    book: str
    symbol: str
    margin: float
    risk: float
    sent: bool = False
    #: Nobody answered: whether the order exists is not known.
    unknown: bool = False
    #: Margin and risk before the change that was judged last.
    unchanged: tuple[float, float] | None = None


class RiskManager:
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
        self._config = config
        self._broker = broker
        self._clock = clock
        self._hedging = hedging
        self._sessions = dict(sessions or {})
        self._lock: AbstractContextManager[bool] = Lock()
        self._version = 0
        self._reservations: dict[str, _Reservation] = {}
        self._loosened: dict[str, float] = {}
        #: Positions whose stop may still become wider, because nobody answered.
        self._held_stops: set[str] = set()
        self._cool_until: dict[tuple[str, str], int] = {}
        self._blocked: dict[str, Verdict] = {}
        self._unanswered: dict[str, list[str]] = {}
        self._day = AccountDay(config.day.zone, config.day.at)
        self._day_ends_ns = 0
        self._day_equity = 0.0
        self._tripped = False

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
                    return _verdict(volume=intent.volume or 0.0)
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
            self._blocked.setdefault(symbol, _refuse("unanswered", sentence))
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
                more = sum(_position_risk(each, stop) - _position_risk(each, each.stop) for each in held)
                if more <= 0:
                    return Verdict()
                total = self._open_risk(snapshot) + more
                allowed = snapshot.account.equity * limit / 100
                if total > allowed * TOLERANCE:
                    return _refuse("open_risk", f"open risk would be {total:.2f}, {allowed:.2f} is allowed")
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
            self._blocked[symbol] = _refuse("blocked", reason)
            self._version += 1

    def trade_closed(self, trade: Trade) -> None:
        """Start the cool-down of a losing book."""
        if self._config.cool_down_after_loss_ns and trade.net < 0:
            with self._lock:
                key = (trade.book, trade.symbol)
                self._cool_until[key] = trade.exit_ns + self._config.cool_down_after_loss_ns
                self._version += 1

    # -- the day -----------------------------------------------------------------------------------

    @property
    def watches_equity(self) -> bool:
        """True when a daily loss limit has to be tested at each marking."""
        return self._config.daily_loss_limit_percent is not None

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

    def _floor(self) -> float:
        percent = self._config.daily_loss_limit_percent
        return float("-inf") if percent is None else self._day_equity * (1 - percent / 100)

    # -- judging -----------------------------------------------------------------------------------

    def _out_of_session(self, intent: EntryIntent) -> Verdict | None:
        calendar = self._broker.instrument(intent.symbol).calendar
        reason = self._sessions[intent.book].refusal(self._clock.now_ns(), intent.symbol, calendar)
        return None if reason is None else _refuse("out_of_session", reason)

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

    def _market(self, intent: EntryIntent) -> _Market | None:
        symbol, broker = intent.symbol, self._broker
        quote = broker.quote(symbol)
        if quote is None:
            return None
        price = intent.price or (quote.ask if intent.side is Side.BUY else quote.bid)
        return _Market(broker, symbol, price, quote)

    def _judge_locked(
        self, intent: EntryIntent, snapshot: Snapshot, market: _Market | None
    ) -> tuple[Verdict, _Reservation | None]:
        symbol, config = intent.symbol, self._config
        numbers = (intent.volume, intent.price, intent.stop, intent.stop_distance)
        for number in numbers:
            if number is not None and not math.isfinite(number):
                message = f"volume, price, stop and distance must be numbers, found {numbers}"
                return _refuse("not_a_number", message), None
        if market is None:
            return _refuse("no_price", f"{symbol} has no price yet"), None
        if not market.rate > 0:
            return _refuse("no_rate", f"no rate converts the profit of {symbol} into the account's currency now"), None
        if intent.stop is None and intent.stop_distance is not None and intent.stop_distance <= 0:
            return _refuse("distance", f"a stop's distance must be positive, found {intent.stop_distance!r}"), None
        refusal = self._closed_for_entries(intent, market.ask, market.bid, snapshot.account.equity)
        if refusal is not None:
            return refusal, None
        distance = _stop_distance(intent, market.price)
        stop_cost = market.exit_cost
        free = snapshot.account.margin_free
        if self._reservations:
            free -= sum([item.margin for item in self._reservations.values()])
        held = self._held(intent, snapshot)
        volume = market.rules.round_volume(self._volume(intent, market, distance, snapshot.account.equity, free, held))
        if volume <= 0 or volume < market.rules.min_volume:
            return _refuse("too_small", f"the size of {symbol} comes to {volume:g}, below what may be traded"), None
        increase = self._increase(intent, volume, held)
        need = increase * (market.margin + market.entry_cost)
        if increase > 0 and need > free:
            return _refuse("margin", f"{symbol} needs {need:.2f} of margin and costs, {free:.2f} is free"), None
        refusal = self._would_pause(intent, snapshot, market, volume)
        if refusal is not None:
            return refusal, None
        # By its own stop, even where an addition ends up under the tighter stop of what it adds to: that position may
        # be gone when the order fills.
        risk = 0.0 if distance is None else (distance * market.rate + stop_cost + market.entry_cost) * volume
        limit = config.max_open_risk_percent
        if limit is not None:
            if distance is None:
                return _refuse("no_stop", "max_open_risk_percent needs a stop with every entry"), None
            total = self._open_risk(snapshot, intent) + risk
            allowed = snapshot.account.equity * limit / 100
            if total > allowed * TOLERANCE:
                return _refuse("open_risk", f"open risk would be {total:.2f}, {allowed:.2f} is allowed"), None
        slots = config.max_open_positions
        if slots is not None and self._takes_slot(intent, snapshot) and self._slots(snapshot) >= slots:
            return _refuse("max_open_positions", f"all {slots} position slots are taken"), None
        reservation = _Reservation(intent.book, symbol, max(0.0, need), risk)
        return _verdict(volume=volume, stop_cost=stop_cost), reservation

    def _closed_for_entries(self, intent: EntryIntent, ask: float, bid: float, equity: float) -> Verdict | None:
        now = self._clock.now_ns()
        refusal = self._blocked.get(intent.symbol)
        if refusal is not None:
            return refusal
        if self.watches_equity and (self._tripped or equity <= self._floor()):
            return _refuse("daily_loss", f"the daily loss limit was reached; entries resume at {self._day_text()}")
        until = self._cool_until.get((intent.book, intent.symbol))
        if until is not None and now < until:
            return _refuse("cool_down", f"{intent.symbol} cools down until {format_instant(until)}")
        limit = self._config.max_spread_percent
        if limit is not None and (ask - bid) > (ask + bid) / 2 * limit / 100:
            return _refuse("spread", f"the spread of {intent.symbol} is {(ask - bid) / bid:.4%}, {limit:g}% is allowed")
        return None

    def _would_pause(self, intent: EntryIntent, snapshot: Snapshot, market: _Market, volume: float) -> Verdict | None:
        """Refuse to turn a losing position around when its loss would start a pause; closing it stays possible.

        What the fill will bring is not known yet, so the loss is tested at the price of the decision.
        """
        if not self._config.cool_down_after_loss_ns or self._hedging:
            return None
        sign = intent.side.sign
        for position in snapshot.positions:
            same = position.book == intent.book and position.symbol == intent.symbol
            turned = position.volume * sign < 0 and (intent.reverse or volume > abs(position.volume))
            if same and turned and sign * (position.entry_price - market.price) * market.rate < market.exit_cost:
                return _refuse(
                    "cool_down", f"turning {intent.symbol} around takes a loss, which a pause follows; close it instead"
                )
        return None

    def _day_text(self) -> str:
        return format_instant(self._day_ends_ns)

    def _volume(
        self, intent: EntryIntent, market: _Market, distance: float | None, equity: float, free: float, held: float
    ) -> float:
        size = self._config.size
        if intent.volume is not None:
            return intent.volume
        if size.volume is not None:
            return size.volume
        if size.equity_percent is not None:
            wanted = equity * size.equity_percent / 100 / (market.price * market.rate + market.entry_cost)
            closes = intent.reverse and not self._hedging and held * intent.side.sign < 0
            possible = max(0.0, free) * (1 - HEADROOM) / (market.margin + market.entry_cost)
            return min(wanted, possible + (abs(held) if closes else 0.0))
        if distance is None:
            raise ConfigError(
                f"risk.size.risk_percent needs a stop, but {intent.book} entered {intent.symbol} without one; give "
                "buy() or sell() a stop or stop_distance, or size by volume or equity_percent",
                strategy=intent.book,
                symbol=intent.symbol,
            )
        if distance <= 0:
            return 0.0
        per_unit = distance * market.rate + market.exit_cost + market.entry_cost
        return equity * (size.risk_percent or 0.0) / 100 / per_unit

    def _held(self, intent: EntryIntent, snapshot: Snapshot) -> float:
        held, book, symbol = 0.0, intent.book, intent.symbol
        for position in snapshot.positions:
            if position.symbol == symbol and position.book == book:
                held += position.volume
        return held

    def _increase(self, intent: EntryIntent, volume: float, held: float) -> float:
        if self._hedging:
            return volume
        if intent.reverse and held * intent.side.sign < 0:
            return max(0.0, volume - abs(held))
        return max(0.0, abs(held + intent.side.sign * volume) - abs(held))

    def _open_risk(self, snapshot: Snapshot, intent: EntryIntent | None = None) -> float:
        """Loss down to the current stops, costs included, plus what is reserved; without what the intent closes."""
        total = sum(item.risk for item in self._reservations.values()) + sum(self._loosened.values())
        for position in snapshot.positions:
            if intent is None or not self._is_closed_by(intent, position):
                total += _position_risk(position, position.stop)
        return total

    def _is_closed_by(self, intent: EntryIntent, position: Position) -> bool:
        # Only an order at the market closes it with certainty; until a limit or trigger is reached both are at risk.
        same = position.book == intent.book and position.symbol == intent.symbol
        turns = intent.reverse and intent.price is None and not self._hedging
        return same and turns and position.volume * intent.side.sign < 0

    def _takes_slot(self, intent: EntryIntent, snapshot: Snapshot) -> bool:
        if self._hedging:
            return True
        key = (intent.book, intent.symbol)
        taken = {(p.book, p.symbol) for p in snapshot.positions}
        taken |= {(item.book, item.symbol) for item in self._reservations.values()}
        return key not in taken

    def _slots(self, snapshot: Snapshot) -> int:
        if self._hedging:
            return len(snapshot.positions) + len(self._reservations)
        taken = {(p.book, p.symbol) for p in snapshot.positions}
        taken |= {(item.book, item.symbol) for item in self._reservations.values()}
        return len(taken)


def _refuse(code: str, message: str) -> Verdict:
    return Verdict(code=code, message=message)


def _stop_distance(intent: EntryIntent, price: float) -> float | None:
    if intent.stop is not None:
        return max(0.0, intent.side.sign * (price - intent.stop))
    return intent.stop_distance


def _position_risk(position: Position, stop: float | None) -> float:
    """What the position loses down to a stop, everything without one."""
    if stop is None:
        return abs(position.volume) * position.entry_price * position.rate
    sign = 1.0 if position.volume > 0 else -1.0
    per_unit = sign * (position.entry_price - stop) * position.rate + position.stop_cost
    return max(0.0, per_unit * abs(position.volume))
