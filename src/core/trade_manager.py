"""TradeManager: break-even, trailing stop, time exit, session close, and the daily loss limit's action.

Runs in the position monitor's turn. What wakes the monitor is `has_work`: a bar closed under an armed rule, a crossed
threshold, a timer, or events of a symbol whose worker is gone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from src.core.bars import BarSeries
from src.core.broker import Broker
from src.core.calendars import ALWAYS, Calendar, calendar_named
from src.core.clock import Clock
from src.core.config import BreakEvenConfig, ManageConfig, TrailingConfig
from src.core.features import FeatureColumn
from src.core.journal import ACCOUNT_STREAM, Journal
from src.core.order_desk import OrderDesk
from src.core.records import OrderType, Position
from src.core.risk_manager import RiskManager
from src.core.session_rules import session_exit_ns
from src.core.steady_broker import SteadyBroker
from src.core.timeframe import MINUTE_NS

__all__ = ["TradeManager"]

#: The exit of a position that no rule ends: later than any instant.
_NEVER_NS = 2**63 - 1


class TradeManager:
    """Manages the positions of all symbols.

    Args:
        config: the rules.
        base: the series by whose closes each symbol is managed, in configured order.
        atr: the average true range that a trailing stop of a book uses, by (book, symbol); empty without one.
        flatten: whether the daily loss limit closes positions.
        participant: the monitor's name in the journal.
    """

    def __init__(
        self, config: ManageConfig, base: Mapping[str, BarSeries], atr: Mapping[tuple[str, str], FeatureColumn],
        broker: Broker, risk: RiskManager, desk: OrderDesk, clock: Clock, journal: Journal, *, flatten: bool,
        participant: str,
    ) -> None:  # fmt: skip
        self._config = config
        self._series = dict(base)
        self._atr = dict(atr)
        self._broker = broker
        self._risk = risk
        self._desk = desk
        self._clock = clock
        self._journal = journal
        self._flatten = flatten
        self._participant = participant
        self._armed = config.break_even is not None or config.trailing is not None
        self._managed = {symbol: series.length for symbol, series in base.items()}
        self._no_exit_before_ns = 0
        self._closing: dict[str, int] = {}
        self._patience: dict[str, int] = {}
        self._orphans: list[str] = []
        #: The calendar of each symbol, where positions are closed before its sessions end.
        self._calendars: dict[str, Calendar] = {}
        self._session_exits: dict[tuple[str, int], int] = {}
        self._exits = config.time_exit is not None or config.session_close is not None
        self._learn_calendars(base)
        self.timed = self._exits or risk.watches_equity
        self.watching = self._armed or self.timed

    # -- what the monitor waits for ----------------------------------------------------------------

    def has_work(self) -> bool:
        """See `ManagedState.has_work`."""
        if self._armed:
            managed = self._managed
            for symbol, series in self._series.items():
                if series.length > managed[symbol] and self._ripe(symbol, series):
                    return True
        for symbol in self._orphans:
            if self._broker.mailbox(symbol):
                return True
        now = self._clock.now_ns()
        if self._exits and now >= self._no_exit_before_ns and self._exit_is_due(now):
            return True
        day_ends_ns = self._risk.day_due_ns()
        if day_ends_ns is None:
            return False
        return day_ends_ns <= now or self._risk.loss_limit_reached() or self._has_to_flatten(now)

    def next_due_ns(self) -> int | None:
        """See `ManagedState.next_due_ns`."""
        due = self._risk.day_due_ns()
        flattens = self._flatten and self._risk.tripped
        if not (self._exits or flattens):
            return due
        for symbol in self._series:
            for position in self._broker.positions(symbol):
                at = self._asked_again_ns(position) if flattens else self._exit_ns(position)
                if at < _NEVER_NS and (due is None or at < due):
                    due = at
        return due

    def _exit_is_due(self, now: int) -> bool:
        # What is opened from now on has its exit no sooner than what would be opened now, so until then nobody needs
        # to look again.
        rule = self._config.time_exit
        soonest = _NEVER_NS if rule is None else now + rule.after_ns
        for symbol in self._calendars:
            soonest = min(soonest, self._session_exit_ns(symbol, now))
        due = _NEVER_NS
        for symbol in self._series:
            for position in self._broker.positions(symbol):
                due = min(due, self._exit_ns(position))
        self._no_exit_before_ns = min(soonest, due)
        return due <= now

    def _exit_ns(self, position: Position) -> int:
        exit_ns, _ = self._exit_of(position)
        return max(exit_ns, self._closing.get(position.position_id, 0))

    def _exit_of(self, position: Position) -> tuple[int, str]:
        """When a rule ends the position, and which: the earliest, the time exit of two at one instant."""
        rule = self._config.time_exit
        timed_ns = _NEVER_NS if rule is None else position.opened_ns + rule.after_ns
        if position.symbol not in self._calendars:
            return timed_ns, "time_exit"
        closed_ns = self._session_exit_ns(position.symbol, position.opened_ns)
        return (timed_ns, "time_exit") if timed_ns <= closed_ns else (closed_ns, "session_close")

    def _session_exit_ns(self, symbol: str, opened_ns: int) -> int:
        exit_ns = self._session_exits.get((symbol, opened_ns))
        if exit_ns is None:
            rule = self._config.session_close
            before_ns = 0 if rule is None else rule.before_ns
            found = session_exit_ns(self._calendars[symbol], opened_ns, before_ns)
            exit_ns = _NEVER_NS if found is None else found
            if len(self._session_exits) > 1_000:
                self._session_exits.clear()
            self._session_exits[symbol, opened_ns] = exit_ns
        return exit_ns

    def _learn_calendars(self, symbols: Iterable[str]) -> None:
        if self._config.session_close is not None:
            for symbol in symbols:
                calendar = calendar_named(self._broker.instrument(symbol).calendar)
                if calendar.name != ALWAYS:
                    self._calendars[symbol] = calendar

    def _asked_again_ns(self, position: Position) -> int:
        return self._closing.get(position.position_id, position.opened_ns)

    def _has_to_flatten(self, now: int) -> bool:
        """Whether something was filled after the day was stopped, or an order to close has to be looked after."""
        if not (self._flatten and self._risk.tripped):
            return False
        positions = (position for symbol in self._series for position in self._broker.positions(symbol))
        return any(self._asked_again_ns(position) <= now for position in positions)

    def _ripe(self, symbol: str, series: BarSeries) -> bool:
        """Whether a position of the symbol was already open when the last bar began to be its own."""
        positions = self._broker.positions(symbol)
        if not positions:
            return False
        last = series.length - 1
        closed_ns = series.open_ns_at[last] + series.timeframe_ns
        return any(position.opened_ns < closed_ns and self._can_move(position) for position in positions)

    def _can_move(self, position: Position) -> bool:
        """Whether a rule may still move the position's stop, at whatever price."""
        if position.position_id in self._closing:
            return False
        distance = _r_distance(position)
        trailing, break_even = self._config.trailing, self._config.break_even
        if trailing is not None and (distance is not None or (trailing.start_r == 0 and trailing.distance_r is None)):
            return True
        if break_even is None or distance is None:
            return False
        sign = 1.0 if position.volume > 0 else -1.0
        stop = position.entry_price + sign * break_even.offset_r * distance
        stop = self._broker.instrument(position.symbol).round_price(stop)
        return position.stop is None or sign * (stop - position.stop) > 0

    # -- the monitor's turn ------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the account's first day, unless one of before goes on."""
        due = self._risk.day_due_ns()
        if due is not None and due <= self._clock.now_ns():
            self._risk.start_day()

    def adopt(self, symbol: str) -> None:
        """Take over a symbol whose worker is gone: its events are read here from now on."""
        if symbol not in self._orphans:
            self._orphans.append(symbol)
            self.watching = True

    def add_symbol(self, symbol: str, series: BarSeries, atr: Mapping[tuple[str, str], FeatureColumn]) -> None:
        """Manage one more symbol, after all others."""
        self._atr.update(atr)
        self._managed[symbol] = series.length
        self._series[symbol] = series
        self._learn_calendars((symbol,))
        self._no_exit_before_ns = 0

    def manage_positions(self) -> None:
        """One turn: loss limit, new day, timed exits, then break-even and trailing on newly closed bars.

        What was lost in the last step of a day counts for that day, so its limit is tested before the next one starts.
        """
        now = self._clock.now_ns()
        self._read_orphans()
        self._forget_closed()
        if self._risk.watches_equity and self._risk.loss_limit_reached():
            self._stop_the_day(now)
        elif self._has_to_flatten(now):
            self._end_all(now)
        due = self._risk.day_due_ns()
        if due is not None and due <= now:
            self._risk.start_day()
        for symbol, series in self._series.items():
            positions = self._broker.positions(symbol)
            self._exit_by_time(positions, now)
            if self._armed and series.length > self._managed[symbol] and series.length:
                last = series.length - 1
                closed_ns = series.open_ns_at[last] + series.timeframe_ns
                # A monitor that comes some milliseconds later has another price before it than the bar's close.
                close = series.close_at[last] if now > closed_ns and self._config.on == "bar_close" else None
                for position in positions:
                    if position.opened_ns < closed_ns and position.position_id not in self._closing:
                        self._move_stop(position, series.price_side, close)
                self._managed[symbol] = series.length

    def _forget_closed(self) -> None:
        if self._patience:
            living = {position.position_id for symbol in self._series for position in self._broker.positions(symbol)}
            self._closing = {key: at for key, at in self._closing.items() if key in living}
            self._patience = {key: pause for key, pause in self._patience.items() if key in living}

    def _read_orphans(self) -> None:
        for symbol in self._orphans:
            mailbox = self._broker.mailbox(symbol)
            while mailbox:
                try:
                    event = mailbox.popleft()
                except IndexError:  # its worker, whose last turn is not over, was faster
                    break
                if event.trade is not None:
                    self._risk.trade_closed(event.trade)

    def _stop_the_day(self, now: int) -> None:
        equity = self._risk.trip()
        action = "flatten" if self._flatten else "block"
        self._journal.record(now, ACCOUNT_STREAM, "limit", self._participant, "daily_loss", equity, action)
        self._end_all(now)

    def _end_all(self, now: int) -> None:
        """Cancel the entries that still work and, when it is configured, close every position that is not asked to."""
        for order in self._broker.snapshot().orders:
            if not order.request.reduce_only:
                self._desk.cancel(order.request.symbol, order.request.book, order.order_id, "daily loss limit")
        if isinstance(self._broker, SteadyBroker):
            self._broker.end_entries()  # what refused to be cancelled, and what nothing is known of
        if not self._flatten:
            return
        for symbol in self._series:
            for position in self._broker.positions(symbol):
                if self._asked_again_ns(position) <= now:
                    self._close(position, "daily_loss", "daily loss limit", now)

    def _exit_by_time(self, positions: Sequence[Position], now: int) -> None:
        if not self._exits:
            return
        for position in positions:
            if self._exit_ns(position) <= now:
                kind = self._exit_of(position)[1]
                self._close(position, kind, kind.replace("_", " "), now)

    def _close(self, position: Position, kind: str, reason: str, now: int) -> None:
        # Asked once. If the position still stands later and no order to close it is under way, that order was lost or
        # refused, and is sent again after ever longer pauses.
        identity = position.position_id
        pause = self._patience.get(identity, MINUTE_NS)
        self._patience[identity] = 2 * pause
        self._closing[identity] = now + pause
        if pause == MINUTE_NS or not self._is_closing(position):
            self._desk.close(position, volume=None, kind=kind, reason=reason)

    def _is_closing(self, position: Position) -> bool:
        for order in self._broker.snapshot().orders:
            request = order.request
            whole = request.type is OrderType.MARKET and request.volume >= abs(position.volume)
            if whole and request.reduce_only and request.position_id == position.position_id:
                return True
        return False

    def _move_stop(self, position: Position, price_side: str = "", close: float | None = None) -> None:
        """Move the stop by the quote, or by what the quote would be at the close of a bar of that side of the price."""
        quote = self._broker.quote(position.symbol)
        if quote is None:
            return
        sign = 1.0 if position.volume > 0 else -1.0
        price = quote.bid if sign > 0 else quote.ask
        if close is not None:
            price *= close / {"bid": quote.bid, "ask": quote.ask}.get(price_side, quote.mid)
        moves: list[tuple[float, str]] = []
        if self._config.break_even is not None:
            moves += _break_even(self._config.break_even, position, price, sign)
        if self._config.trailing is not None:
            moves += _trailing(self._config.trailing, position, price, sign, self._range_of(position))
        round_price = self._broker.instrument(position.symbol).round_price
        best: tuple[float, str] | None = None
        for stop, kind in moves:
            stop = round_price(stop)
            current = best[0] if best is not None else position.stop
            if sign * (price - stop) > 0 and (current is None or sign * (stop - current) > 0):
                best = (stop, kind)
        if best is not None:
            self._desk.protect(position, stop=best[0], target=None, kind=best[1], reason=best[1])

    def _range_of(self, position: Position) -> Callable[[], float]:
        def read() -> float:
            column = self._atr.get((position.book, position.symbol))
            if column is None:
                return float("nan")
            return column.last_visible()

        return read


def _r_distance(position: Position) -> float | None:
    if position.initial_stop is None:
        return None
    distance = abs(position.entry_price - position.initial_stop)
    return distance if distance > 0 else None


def _break_even(rule: BreakEvenConfig, position: Position, price: float, sign: float) -> list[tuple[float, str]]:
    """The stop at the entry once the profit is `at_r`; a position without an initial stop has no R and no rule."""
    distance = _r_distance(position)
    if distance is None or sign * (price - position.entry_price) < rule.at_r * distance:
        return []
    return [(position.entry_price + sign * rule.offset_r * distance, "break_even")]


def _trailing(
    rule: TrailingConfig, position: Position, price: float, sign: float, read_range: Callable[[], float]
) -> list[tuple[float, str]]:
    """The stop one distance behind the close once the profit is `start_r`."""
    distance = _r_distance(position)
    if rule.start_r > 0 and (distance is None or sign * (price - position.entry_price) < rule.start_r * distance):
        return []
    if rule.distance_percent is not None:
        gap = price * rule.distance_percent / 100
    elif rule.distance_r is not None:
        if distance is None:
            return []
        gap = rule.distance_r * distance
    else:
        gap = (rule.distance_atr or 0.0) * read_range()
    # A comparison with NaN is false: no average true range yet, no trailing yet.
    return [(price - sign * gap, "trailing")] if gap > 0 else []
