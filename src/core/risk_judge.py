"""Whether an entry fits into the limits of an account, and how large it is: rules and what they count, without a lock.

The risk manager holds the lock around it, has asked the broker before, and tells what changes.
"""

import math

from src.core.clock import Clock
from src.core.config import RiskConfig
from src.core.errors import ConfigError
from src.core.records import Position, Snapshot
from src.core.risk_intents import (
    EntryIntent,
    Market,
    Reservation,
    Verdict,
    make_verdict,
    position_risk,
    refuse,
    stop_distance,
)
from src.core.timeframe import format_instant

__all__ = ["TOLERANCE", "RiskJudge"]

#: Part of the free margin that an entry sized by equity leaves for the price to move until it fills.
HEADROOM = 0.01

#: A size that uses a limit up to the last cent may come out above it by the rounding of binary floats.
TOLERANCE = 1 + 1e-9


class RiskJudge:
    """The limits of one account, and what stands against them at present.

    Args:
        config: the limits.
        clock: the only time that cool-downs and days know.
        hedging: whether each entry opens a position, and so a slot, of its own.
    """

    def __init__(self, config: RiskConfig, clock: Clock, *, hedging: bool) -> None:
        self._config = config
        self._clock = clock
        self._hedging = hedging
        self._reservations: dict[str, Reservation] = {}
        self._loosened: dict[str, float] = {}
        self._cool_until: dict[tuple[str, str], int] = {}
        self._blocked: dict[str, Verdict] = {}
        self._day_ends_ns = 0
        self._day_equity = 0.0
        self._tripped = False

    @property
    def watches_equity(self) -> bool:
        """True when a daily loss limit has to be tested at each marking."""
        return self._config.daily_loss_limit_percent is not None

    def _floor(self) -> float:
        percent = self._config.daily_loss_limit_percent
        return float("-inf") if percent is None else self._day_equity * (1 - percent / 100)

    def _judge_locked(
        self, intent: EntryIntent, snapshot: Snapshot, market: Market | None
    ) -> tuple[Verdict, Reservation | None]:
        symbol, config = intent.symbol, self._config
        numbers = (intent.volume, intent.price, intent.stop, intent.stop_distance)
        for number in numbers:
            if number is not None and not math.isfinite(number):
                message = f"volume, price, stop and distance must be numbers, found {numbers}"
                return refuse("not_a_number", message), None
        if market is None:
            return refuse("no_price", f"{symbol} has no price yet"), None
        if not market.rate > 0:
            return refuse("no_rate", f"no rate converts the profit of {symbol} into the account's currency now"), None
        if intent.stop is None and intent.stop_distance is not None and intent.stop_distance <= 0:
            return refuse("distance", f"a stop's distance must be positive, found {intent.stop_distance!r}"), None
        refusal = self._closed_for_entries(intent, market.ask, market.bid, snapshot.account.equity)
        if refusal is not None:
            return refusal, None
        distance = stop_distance(intent, market.price)
        stop_cost = market.exit_cost
        free = snapshot.account.margin_free
        if self._reservations:
            free -= sum([item.margin for item in self._reservations.values()])
        held = self._held(intent, snapshot)
        volume = market.rules.round_volume(self._volume(intent, market, distance, snapshot.account.equity, free, held))
        if volume <= 0 or volume < market.rules.min_volume:
            return refuse("too_small", f"the size of {symbol} comes to {volume:g}, below what may be traded"), None
        increase = self._increase(intent, volume, held)
        need = increase * (market.margin + market.entry_cost)
        if increase > 0 and need > free:
            return refuse("margin", f"{symbol} needs {need:.2f} of margin and costs, {free:.2f} is free"), None
        refusal = self._would_pause(intent, snapshot, market, volume)
        if refusal is not None:
            return refusal, None
        # By its own stop, even where an addition ends up under the tighter stop of what it adds to: that position may
        # be gone when the order fills.
        risk = 0.0 if distance is None else (distance * market.rate + stop_cost + market.entry_cost) * volume
        limit = config.max_open_risk_percent
        if limit is not None:
            if distance is None:
                return refuse("no_stop", "max_open_risk_percent needs a stop with every entry"), None
            total = self._open_risk(snapshot, intent) + risk
            allowed = snapshot.account.equity * limit / 100
            if total > allowed * TOLERANCE:
                return refuse("open_risk", f"open risk would be {total:.2f}, {allowed:.2f} is allowed"), None
        slots = config.max_open_positions
        if slots is not None and self._takes_slot(intent, snapshot) and self._slots(snapshot) >= slots:
            return refuse("max_open_positions", f"all {slots} position slots are taken"), None
        reservation = Reservation(intent.book, symbol, max(0.0, need), risk)
        return make_verdict(volume=volume, stop_cost=stop_cost), reservation

    def _closed_for_entries(self, intent: EntryIntent, ask: float, bid: float, equity: float) -> Verdict | None:
        now = self._clock.now_ns()
        refusal = self._blocked.get(intent.symbol)
        if refusal is not None:
            return refusal
        if self.watches_equity and (self._tripped or equity <= self._floor()):
            return refuse("daily_loss", f"the daily loss limit was reached; entries resume at {self._day_text()}")
        until = self._cool_until.get((intent.book, intent.symbol))
        if until is not None and now < until:
            return refuse("cool_down", f"{intent.symbol} cools down until {format_instant(until)}")
        limit = self._config.max_spread_percent
        if limit is not None and (ask - bid) > (ask + bid) / 2 * limit / 100:
            return refuse("spread", f"the spread of {intent.symbol} is {(ask - bid) / bid:.4%}, {limit:g}% is allowed")
        return None

    def _would_pause(self, intent: EntryIntent, snapshot: Snapshot, market: Market, volume: float) -> Verdict | None:
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
                return refuse(
                    "cool_down", f"turning {intent.symbol} around takes a loss, which a pause follows; close it instead"
                )
        return None

    def _day_text(self) -> str:
        return format_instant(self._day_ends_ns)

    def _volume(
        self, intent: EntryIntent, market: Market, distance: float | None, equity: float, free: float, held: float
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
                total += position_risk(position, position.stop)
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
