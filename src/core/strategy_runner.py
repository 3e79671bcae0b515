"""One strategy instance on one symbol: its views of the bars, its turn, its orders.

Used by the worker of its symbol only.
"""

import math
from collections.abc import Callable
from typing import Any

from src.core.bars import Bar, BarsView
from src.core.broker import Broker
from src.core.clock import Clock
from src.core.config import StrategyConfig
from src.core.errors import ConfigError
from src.core.features import Feature, FeatureStore, FeatureView, atr
from src.core.order_desk import OrderDesk
from src.core.order_terms import OrderTerms, no_number, read_terms
from src.core.records import OrderEvent, OrderResult
from src.core.strategy import BarStrategy, Param, Strategy
from src.core.timeframe import format_duration, parse_timeframe
from src.core.timeframe_features import TimeframeFeature
from src.core.wake import PricesSeen
from src.core.words import meant

_new = object.__new__

__all__ = ["StrategyRunner", "declared_lookbacks", "strategy_params", "strategy_timeframes"]


def strategy_params(cls: type[Strategy]) -> dict[str, Param]:
    """The parameters that a strategy class declares, its bases' included, by name."""
    found: dict[str, Param] = {}
    for base in reversed(cls.__mro__):
        found.update({name: value for name, value in vars(base).items() if isinstance(value, Param)})
    return found


def strategy_timeframes(cls: type[Strategy], config: StrategyConfig) -> list[int]:
    """The timeframes in nanoseconds that an instance subscribes, its own first and, asked at ticks, only.

    Raises:
        ConfigError: a timeframe is not one.
    """
    own = config.timeframe_ns or parse_timeframe(cls.timeframe)
    more = [parse_timeframe(text) for text in cls.timeframes] if issubclass(cls, BarStrategy) else []
    return [own, *(ns for ns in more if ns != own)]


def declared_lookbacks(cls: type[Strategy], config: StrategyConfig) -> dict[int, int]:
    """How many bars of each subscribed timeframe the features and the decisions of an instance depend on.

    Asked before there is a market. A strategy whose `features` or `bars_needed` needs one counts as 0: its first values
    are then undefined until enough bars have closed inside the window.

    Raises:
        ConfigError: a timeframe is not one, or is named and not subscribed; a number of bars is not one.
    """
    timeframes = strategy_timeframes(cls, config)
    found = dict.fromkeys(timeframes, 0)
    features, needed = _declared(cls, config)
    for timeframe_ns, bars in features:
        own = timeframes[0] if timeframe_ns is None else timeframe_ns
        if own not in found:
            raise _not_subscribed(f"features of {cls.__name__}", own)
        found[own] = max(found[own], bars)
    for text, bars in needed.items():
        timeframe_ns = parse_timeframe(text)
        if timeframe_ns not in found:
            raise _not_subscribed(f"bars_needed of {cls.__name__}", timeframe_ns)
        if isinstance(bars, bool) or not isinstance(bars, int) or bars < 0:
            raise ConfigError(f"bars_needed of {cls.__name__}: expected a number of bars of {text}, found {bars!r}")
        found[timeframe_ns] = max(found[timeframe_ns], bars)
    return found


def _declared(cls: type[Strategy], config: StrategyConfig) -> tuple[list[tuple[int | None, int]], dict[str, int]]:
    """Timeframe (None: the own one) and look-back of each feature, and what `bars_needed` says."""
    strategy = cls.__new__(cls)
    strategy.__dict__.update(config.params, name=config.instance, symbol="")
    for prepare in (lambda: None, strategy.__init__):  # type: ignore[misc]  # some features read what __init__ has set
        try:
            prepare()
            features = [(_timeframe_of(each), each.lookback) for each in strategy.features().values()]
            return features, dict(strategy.bars_needed())
        except Exception:  # it may only lack a market; an error of its own is raised again when it is made
            continue
    return [], {}


def _timeframe_of(feature: Feature) -> int | None:
    return feature.timeframe_ns if isinstance(feature, TimeframeFeature) else None


def _not_subscribed(who: str, timeframe_ns: int) -> ConfigError:
    text = format_duration(timeframe_ns)
    return ConfigError(f"{who} has no bars of {text}; add it to the class's `timeframes`", timeframe_ns=timeframe_ns)


class StrategyRunner:
    """Makes a strategy, shows it its bars, and sends its orders.

    Args:
        cls: the strategy's class.
        config: name, timeframe and parameters of the instance.
        where: the instance's place in the configuration, for messages.

    Raises:
        ConfigError: an unknown parameter, or one outside its range.
    """

    def __init__(
        self, cls: type[Strategy], config: StrategyConfig, symbol: str, broker: Broker, clock: Clock, desk: OrderDesk,
        features: FeatureStore, where: str,
    ) -> None:  # fmt: skip
        self.name = config.instance
        self.symbol = symbol
        self.broker = broker
        self.clock = clock
        self.desk = desk
        timeframes = strategy_timeframes(cls, config)
        series = [broker.series(symbol, ns) for ns in timeframes]
        self.views = [BarsView(each, each.length) for each in series]
        self._view = self.views[0]
        self._first = [view.end for view in self.views]
        self._by_timeframe = dict(zip(timeframes, self.views, strict=True))
        self.strategy = self._make(cls, config, where)
        self._features = features
        self._attach_features(features)
        strategy = self.strategy
        #: Shows the strategy everything that has become visible since its last turn.
        self.run: Callable[[], None] = self._run_ticks
        #: The prices that it has seen, when it is asked at every price and they come by themselves.
        self.prices: PricesSeen | None = None
        if isinstance(strategy, BarStrategy):
            self.run = self._run_one if len(self.views) == 1 else self._run_many
            self._on_bar = strategy.on_bar
        elif (base := broker.base_series(symbol)).ticks is not None:
            self.prices = PricesSeen(base, base.ticks)
            self.run = self._run_prices

    def _make(self, cls: type[Strategy], config: StrategyConfig, where: str) -> Strategy:
        declared = strategy_params(cls)
        values: dict[str, Any] = {}
        for name, value in config.params.items():
            if name not in declared:
                known = ", ".join(declared) or "none"
                raise ConfigError(
                    f"{where}.params: {cls.__name__} has no parameter {name!r}; it has: {known}{meant(name, declared)}"
                )
            values[name] = declared[name].check(value, f"{where}.params")
        # The framework's attributes are set before the user's constructor runs, so that it needs no super().
        strategy = cls.__new__(cls)
        strategy.__dict__.update(values, symbol=self.symbol, name=self.name, bars=self.views[0], state={}, _runner=self)
        strategy.__init__()  # type: ignore[misc]  # see above
        return strategy

    def _attach_features(self, store: FeatureStore) -> None:
        for name, feature in self.strategy.features().items():
            view = self.views[0]
            if isinstance(feature, TimeframeFeature):
                view, feature = self._view_of(feature.timeframe_ns, f"features: {name}"), feature.feature
            setattr(self.strategy, name, FeatureView(store.column(feature, view.series), view))

    def is_late(self, before_ns: int) -> bool:
        """Whether a bar that closed before an instant was not shown yet."""
        return any(
            view.end < view.series.length and view.series.close_of(view.end) < before_ns for view in self.views
        )  # fmt: skip

    def pass_over(self, before_ns: int) -> None:
        """What closed before an instant and was not shown yet is history: nobody is shown it as new."""
        for i, view in enumerate(self.views):
            series = view.series
            while view.end < series.length and series.close_of(view.end) < before_ns:
                view.end += 1
                self._first[i] += 1

    @property
    def bars_seen(self) -> int:
        """Closed bars shown to the strategy so far."""
        return sum(view.end - first for view, first in zip(self.views, self._first, strict=True))

    @property
    def bars_closed(self) -> int:
        """Closed bars that there have been for the strategy so far; those not shown yet wait for its next turn."""
        return sum(view.series.length - first for view, first in zip(self.views, self._first, strict=True))

    # -- turns -------------------------------------------------------------------------------------

    def _run_one(self) -> None:
        view, on_bar = self._view, self._on_bar
        series = view.series
        i = view.end
        while i < series.length:
            view.end = i + 1
            # Made without its initialiser: one bar for each turn, and the call costs as much as the bar.
            bar = _new(Bar)
            bar._series, bar._i = series, i
            on_bar(bar)
            i = view.end  # what was passed over meanwhile is not shown any more

    def _run_many(self) -> None:
        # Bars that closed at different instants come in the order of closing; of those that close together the longer
        # timeframe comes first, so that the shorter one's bar already sees it.
        while True:
            best: BarsView | None = None
            key = (0, 0)
            for view in self.views:
                series = view.series
                if view.end < series.length:
                    closes = series.close_ns_at  # as `close_of`, without a call for each bar
                    at_ns = series.open_ns_at[view.end] + series.timeframe_ns if closes is None else closes[view.end]
                    here = (at_ns, -series.timeframe_ns)
                    if best is None or here < key:
                        best, key = view, here
            if best is None:
                return
            best.end += 1
            self._on_bar(Bar(best.series, best.end - 1))

    def _run_ticks(self) -> None:
        view = self.views[0]
        if view.end < view.series.length:
            view.end = view.series.length
            self.strategy.on_tick()

    def _run_prices(self) -> None:
        prices = self.prices
        if prices is not None and prices.seen != (now := prices.series.ticks) and now is not None:
            prices.seen = now
            for view in self.views:
                view.end = view.series.length
            self.strategy.on_tick()

    def deliver(self, event: OrderEvent) -> None:
        """Tell the strategy of a change of one of its orders."""
        self.strategy.on_order(event)
        if event.trade is not None:
            self.strategy.on_trade_closed(event.trade)

    def bars_of(self, timeframe: str) -> BarsView:
        """See `BarStrategy.bars_of`."""
        return self._view_of(parse_timeframe(timeframe), self.name)

    def _view_of(self, timeframe_ns: int, who: str) -> BarsView:
        view = self._by_timeframe.get(timeframe_ns)
        if view is None:
            raise _not_subscribed(who, timeframe_ns)
        return view

    # -- orders ------------------------------------------------------------------------------------

    def close(self, volume: float | None, reason: str) -> OrderResult:
        """See `Strategy.close`."""
        result = OrderResult(accepted=False, code="no_position", message=f"{self.name} holds no {self.symbol}")
        left = volume
        for position in self.broker.positions(self.symbol):
            if position.book == self.name:
                result = self.desk.close(position, volume=left, kind="exit", reason=reason)
                if left is not None:
                    if not result.accepted:  # also because it is no number
                        break
                    left = float(left) - abs(position.volume)
                    # What is left after taking volumes away is float noise when it is this small.
                    if not left > 1e-12 * abs(position.volume):
                        break
        return result

    def close_by(self, volume: float | None, reason: str) -> OrderResult:
        """See `Strategy.close_by`."""
        own = [each for each in self.broker.positions(self.symbol) if each.book == self.name]
        long = next((each for each in own if each.volume > 0), None)
        short = next((each for each in own if each.volume < 0), None)
        if long is None or short is None:
            message = f"{self.name} does not hold {self.symbol} on both sides"
            return OrderResult(accepted=False, code="no_position", message=message)
        return self.desk.close_by(long, short, volume=volume, reason=reason)

    def protect(self, *, stop: float | None, target: float | None, reason: str) -> OrderResult:
        """See `Strategy.move_stop`."""
        result = OrderResult(accepted=False, code="no_position", message=f"{self.name} holds no {self.symbol}")
        for position in self.broker.positions(self.symbol):
            if position.book == self.name:
                result = self.desk.protect(position, stop=stop, target=target, kind="stop", reason=reason)
        return result

    def terms(
        self, trigger_limit: float | None, trail_distance: float | None, trail_percent: float | None,
        trail_atr: float | None, stop_trail_distance: float | None, stop_trail_percent: float | None,
        stop_trail_atr: float | None, atr_length: int, time_in_force: str, post_only: bool, reduce_only: bool,
        trigger_by: str, group: str, parent: str,
    ) -> OrderTerms:  # fmt: skip
        """The rarer words of `Strategy.buy`; average true ranges become the distances that they are now."""
        if trail_atr is not None or stop_trail_atr is not None:
            if (trail_atr is not None and trail_distance is not None) or (
                stop_trail_atr is not None and stop_trail_distance is not None
            ):
                return OrderTerms(code="trail", message="expected a distance or average true ranges, found both")
            try:
                feature = atr(atr_length)
            except ConfigError as error:
                return OrderTerms(code="atr_length", message=str(error))
            values = FeatureView(self._features.column(feature, self._view.series), self._view)
            average = values[-1] if len(values) else math.nan
            if not average > 0:
                message = f"{self.symbol} has no average true range over {atr_length} bars yet"
                return OrderTerms(code="no_atr", message=message)
            try:
                trail_distance = trail_distance if trail_atr is None else float(trail_atr) * average
                stop_trail_distance = stop_trail_distance if stop_trail_atr is None else float(stop_trail_atr) * average
            except (TypeError, ValueError, OverflowError) as error:
                return no_number(error)
        return read_terms(
            trigger_limit=trigger_limit, trail_distance=trail_distance, trail_percent=trail_percent,
            time_in_force=time_in_force, post_only=post_only, reduce_only=reduce_only, trigger_by=trigger_by,
            group=group, parent=parent, stop_trail_distance=stop_trail_distance, stop_trail_percent=stop_trail_percent,
        )  # fmt: skip

    def modify(
        self, order_id: str, price: float | None, limit: float | None, volume: float | None, reason: str
    ) -> OrderResult:
        """See `Strategy.modify`."""
        return self.desk.modify(
            self.symbol, self.name, order_id, price=price, limit=limit, volume=volume, reason=reason
        )

    def cancel(self, order_id: str, reason: str) -> OrderResult:
        """See `Strategy.cancel`."""
        return self.desk.cancel(self.symbol, self.name, order_id, reason)
