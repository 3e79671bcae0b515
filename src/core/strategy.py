"""What a user writes: `BarStrategy` with `on_bar`, or `Strategy` with `on_tick`.

Every method of a strategy runs in the turn of its symbol's worker, so it needs no lock of its own. One instance serves
one symbol.
"""

from typing import TYPE_CHECKING, Any

from src.core.bars import Bar, BarsView
from src.core.errors import ConfigError
from src.core.features import Feature
from src.core.order_terms import PLAIN
from src.core.records import Account, OrderEvent, OrderResult, Position, Quote, Side, Trade

if TYPE_CHECKING:
    from src.core.clock import Clock
    from src.core.strategy_runner import StrategyRunner

__all__ = ["BarStrategy", "Param", "Strategy", "param"]


#: What `buy` and `sell` are called with when they are told nothing of the rarer words, in the order of `terms`.
_NO_MORE = (None, None, None, None, None, None, None, 14, "gtc", False, False, "quote", "", "")


class Param:
    """A tunable number, flag or word of a strategy class; see `param`."""

    def __init__(self, default: Any, low: Any, high: Any) -> None:
        self.default = default
        self.low = low
        self.high = high
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        return self.default

    def check(self, value: Any, where: str) -> Any:
        """The value as the parameter's type.

        Raises:
            ConfigError: another type than the default's, or outside the range.
        """
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ConfigError(f"{where}.{self.name}: expected {kind.__name__}, found {value!r}")
        if self.low is not None and value < self.low:
            raise ConfigError(f"{where}.{self.name}: expected at least {self.low}, found {value}")
        if self.high is not None and value > self.high:
            raise ConfigError(f"{where}.{self.name}: expected at most {self.high}, found {value}")
        return value


def param(default: Any, *, low: Any = None, high: Any = None) -> Any:
    """A parameter with its default and the range that sweeps use: `fast: int = param(20, low=5, high=50)`."""
    return Param(default, low, high)


class Strategy:
    """Base of all strategies; a plain one is asked at every price.

    Attributes:
        timeframe: the bars it works on, unless the configuration says otherwise.
        state: plain values that survive a restart.
        symbol, name: what it trades, and the name of its books.
        bars: the closed bars it has reached.
    """

    timeframe: str = "1m"
    symbol: str
    name: str
    bars: BarsView
    state: dict[str, Any]
    _runner: "StrategyRunner"

    # -- what a user overrides ---------------------------------------------------------------------

    def features(self) -> dict[str, Feature]:
        """Features by attribute name: `{"f": sma(20)}` is read as `self.f[-1]`.

        They are made of the bars of `timeframe`; `on_timeframe("1h", sma(20))` is made of those of another one.
        """
        return {}

    def bars_needed(self) -> dict[str, int]:
        """How many closed bars of a timeframe it reads by itself, besides what its features depend on: `{"1h": 20}`.

        So many are there at its first decision, as far as there are data. Asked before there is a market, as the
        features are, so it may read the parameters and nothing else.
        """
        return {}

    def on_start(self) -> None:
        """Called once, in the worker's first turn."""

    def on_tick(self) -> None:
        """Called at each new price."""

    def on_order(self, event: OrderEvent) -> None:
        """Called for each change of one of the strategy's orders."""

    def on_trade_closed(self, trade: Trade) -> None:
        """Called when the book is flat again."""

    def on_stop(self) -> None:
        """Called once, in the worker's last turn, unless the worker failed or `on_start` never came to its end.

        Also after a wait that raised `Stopping`; a wait in here raises it again when the run stops.
        """

    # -- what a user reads -------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """The current instant, nanoseconds UTC."""
        return self._runner.clock.now_ns()

    @property
    def clock(self) -> "Clock":
        """Where to wait: `sleep`, locks, events, queues, helper threads and timers, all in nanoseconds of its time.

        `self.clock.sleep(30 * SECOND_NS)` inside `on_bar` lets the market, the resting orders and the other symbols go
        on for 30 seconds; bars that close meanwhile are shown afterwards, one by one. Use this and not `time` or
        `threading`: only the clock's waits take the right time under every clock. They raise `Stopping` when the run
        ends; let it pass.
        """
        return self._runner.clock

    @property
    def position(self) -> Position:
        """What this strategy holds of its symbol now."""
        runner = self._runner
        runner.clock.now_ns()  # a call of the clock: one that is asked for ever in a turn can say who does it
        return runner.broker.position(runner.name, runner.symbol)

    @property
    def account(self) -> Account:
        """The account now."""
        runner = self._runner
        runner.clock.now_ns()  # as above
        return runner.broker.snapshot().account

    @property
    def quote(self) -> Quote | None:
        """The last bid and ask, None before the first price."""
        runner = self._runner
        runner.clock.now_ns()  # as above
        return runner.broker.quote(runner.symbol)

    # -- what a user does --------------------------------------------------------------------------

    def buy(
        self, *, volume: float | None = None, limit: float | None = None, trigger: float | None = None,
        trigger_limit: float | None = None,
        trail_distance: float | None = None, trail_percent: float | None = None, trail_atr: float | None = None,
        stop: float | None = None, stop_distance: float | None = None, stop_trail_distance: float | None = None,
        stop_trail_percent: float | None = None, stop_trail_atr: float | None = None, atr_length: int = 14,
        target: float | None = None, target_distance: float | None = None, target_r: float | None = None,
        time_in_force: str = "gtc", expires_ns: int | None = None, post_only: bool = False, reduce_only: bool = False,
        trigger_by: str = "quote", group: str = "", parent: str = "", reason: str = "",
    ) -> OrderResult:  # fmt: skip
        """Enter long.

        Without `volume` the configured size decides, and a short position is closed first; with `volume` exactly that
        much is bought, whatever is held. An addition never loosens the stop of what it adds to. With
        `cool_down_after_loss`, turning around a position that stands at a loss is refused with `cool_down`; `close` it.

        On a hedging account each entry opens a position of its own and closes nothing, with or without `volume`: a
        short one stays beside it, and `position` shows their sum.

        Args:
            limit: limit price; `trigger`: stop-entry price; neither: at the market.
            trigger_limit: with `trigger`, a stop-limit order: once triggered it is a limit order at this price.
            trail_distance, trail_percent, trail_atr: a trailing stop-entry, whose trigger follows the price at this
                distance: in price units, in percent, or in average true ranges of now, over `atr_length` bars of
                `timeframe`.
            stop, target: absolute prices, as given.
            stop_distance, target_distance: price units from the fill, instead of `stop` and `target`; more than half a
                tick, and no farther than a positive price.
            stop_trail_distance, stop_trail_percent, stop_trail_atr: the position's stop follows the price at this
                distance, moved by the broker; it begins there at the fill when no stop is given.
            target_r: the target as a multiple of the distance from fill to stop, instead of the two above.
            time_in_force: `gtc` until cancelled; `day` until the instrument's session closes; `gtd` until `expires_ns`;
                `ioc` and `fok`: what the first price gives, in part or only as a whole.
            expires_ns: when a working order ends.
            post_only: refused with `post_only` when the limit would fill at once, or rejected so when it arrives.
            reduce_only: close what is held short, up to `volume`, and open nothing; without `volume` all of it, or what
                `parent` is to open.
            trigger_by: which price triggers a stop: `quote`, `last` or `mark`.
            group: of the orders of this strategy and symbol in one group the first to fill cancels the others.
            parent: the order sleeps until the order of this id (`OrderResult.order_id`) has filled.

        Returns:
            The acknowledgement, or the refusal with its code and sentence; the fill arrives in `on_order`.
        """
        more = (
            trigger_limit, trail_distance, trail_percent, trail_atr, stop_trail_distance, stop_trail_percent,
            stop_trail_atr, atr_length, time_in_force, post_only, reduce_only, trigger_by, group, parent,
        )  # fmt: skip
        runner = self._runner
        return runner.desk.enter(
            runner.name, self.symbol, Side.BUY, volume=volume, limit=limit, trigger=trigger, stop=stop,
            stop_distance=stop_distance, target=target, target_distance=target_distance, target_r=target_r,
            expires_ns=expires_ns, reason=reason, terms=PLAIN if more == _NO_MORE else runner.terms(*more),
        )  # fmt: skip

    def sell(
        self, *, volume: float | None = None, limit: float | None = None, trigger: float | None = None,
        trigger_limit: float | None = None,
        trail_distance: float | None = None, trail_percent: float | None = None, trail_atr: float | None = None,
        stop: float | None = None, stop_distance: float | None = None, stop_trail_distance: float | None = None,
        stop_trail_percent: float | None = None, stop_trail_atr: float | None = None, atr_length: int = 14,
        target: float | None = None, target_distance: float | None = None, target_r: float | None = None,
        time_in_force: str = "gtc", expires_ns: int | None = None, post_only: bool = False, reduce_only: bool = False,
        trigger_by: str = "quote", group: str = "", parent: str = "", reason: str = "",
    ) -> OrderResult:  # fmt: skip
        """Enter short; the mirror image of `buy`."""
        more = (
            trigger_limit, trail_distance, trail_percent, trail_atr, stop_trail_distance, stop_trail_percent,
            stop_trail_atr, atr_length, time_in_force, post_only, reduce_only, trigger_by, group, parent,
        )  # fmt: skip
        runner = self._runner
        return runner.desk.enter(
            runner.name, self.symbol, Side.SELL, volume=volume, limit=limit, trigger=trigger, stop=stop,
            stop_distance=stop_distance, target=target, target_distance=target_distance, target_r=target_r,
            expires_ns=expires_ns, reason=reason, terms=PLAIN if more == _NO_MORE else runner.terms(*more),
        )  # fmt: skip

    def close(self, *, volume: float | None = None, reason: str = "") -> OrderResult:
        """Close what is held, or a part of it, at the market; refused with `no_position` when flat.

        Of several positions on a hedging account the oldest are closed first, up to `volume` in total.
        """
        return self._runner.close(volume, reason)

    def close_by(self, *, volume: float | None = None, reason: str = "") -> OrderResult:
        """On a hedging account: close the oldest long and the oldest short position against each other.

        By the smaller of the two, or by `volume`, at one price in the middle of the quote, so that no spread is paid.
        Refused with `no_position` unless both sides are held.
        """
        return self._runner.close_by(volume, reason)

    def move_stop(self, stop: float, *, reason: str = "") -> OrderResult:
        """Move the position's stop; refused with `open_risk` when that risks more than `max_open_risk_percent`."""
        return self._runner.protect(stop=stop, target=None, reason=reason)

    def move_target(self, target: float, *, reason: str = "") -> OrderResult:
        """Move the position's target."""
        return self._runner.protect(stop=None, target=target, reason=reason)

    def modify(
        self, order_id: str, *, price: float | None = None, limit: float | None = None, volume: float | None = None,
        reason: str = "",
    ) -> OrderResult:  # fmt: skip
        """Change the limit or trigger, or the volume, of a working order; None leaves one as it is.

        `limit` is that of a stop-limit order, whose `price` is its trigger until that was reached.

        Refused with `not_working` when it has filled or ended. More volume asks the risk manager as an entry does.
        """
        return self._runner.modify(order_id, price, limit, volume, reason)

    def cancel(self, order_id: str, *, reason: str = "") -> OrderResult:
        """Cancel a working order; refused with `not_working` when it has filled or ended."""
        return self._runner.cancel(order_id, reason)


class BarStrategy(Strategy):
    """A strategy that is asked once for each closed bar of each timeframe that it subscribes.

    Attributes:
        timeframes: further timeframes besides `timeframe`; their bars are in `self.bars_of("1h")`.
    """

    timeframes: tuple[str, ...] = ()

    def on_bar(self, bar: Bar) -> None:
        """Called once for each closed bar, in the order of closing; `bar` is the last one that `bars` shows."""

    def bars_of(self, timeframe: str) -> BarsView:
        """The closed bars of a subscribed timeframe.

        Raises:
            ConfigError: the timeframe was not subscribed.
        """
        return self._runner.bars_of(timeframe)
