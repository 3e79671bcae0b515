"""MultiStrategyOrchestrator: all strategies of one symbol, in configured order, in the turn of the symbol's worker."""

from collections.abc import Callable, Sequence

from src.core.bars import Bar, BarsView
from src.core.broker import Broker
from src.core.clock import Wake
from src.core.errors import LivelockError, LockstepError, Stopping, StrategyError
from src.core.places import place_of_error
from src.core.risk_manager import RiskManager
from src.core.strategy import BarStrategy
from src.core.strategy_runner import StrategyRunner
from src.core.timeframe import format_instant
from src.core.wake import PriceWake, WorkerWake

__all__ = ["MultiStrategyOrchestrator"]

_new = object.__new__

MAX_EVENTS_IN_ONE_TURN = 10_000


class MultiStrategyOrchestrator:
    """Delivers order events, then closed bars, to the strategies of one symbol.

    Args:
        symbol: the instrument.
        runners: the strategies, in configured order.
        broker: where the symbol's mailbox is.
        risk: told of closed trades before any strategy decides again.
    """

    def __init__(self, symbol: str, runners: Sequence[StrategyRunner], broker: Broker, risk: RiskManager) -> None:
        self.symbol = symbol
        self.runners = tuple(runners)
        self._mailbox = broker.mailbox(symbol)
        self._risk = risk
        self._by_book = {runner.name: runner for runner in self.runners}
        self._first, *others = [runner.run for runner in self.runners]
        self._others = tuple(others)
        prices = [runner.prices for runner in self.runners if runner.prices is not None]
        views: list[BarsView] = [view for runner in self.runners if runner.prices is None for view in runner.views]
        self.wake: Wake = PriceWake(self._mailbox, views, prices) if prices else WorkerWake(self._mailbox, views)
        #: Those that have had their `on_start` and not yet their `on_stop`.
        self._started: list[StrategyRunner] = []
        #: One turn: delivers what is new; with nothing new it does nothing. Raises a `StrategyError` when a strategy
        #: raised; symbol, instant, strategy and the original error are attributes.
        self.on_tick: Callable[[str], None] = self._turn_of_all
        if not others and isinstance(self.runners[0].strategy, BarStrategy) and len(views) == 1:
            self.on_tick = self._make_turn_of_one(views[0], self.runners[0].strategy.on_bar)

    @property
    def bars_seen(self) -> int:
        """Closed bars shown to the strategies so far, summed over them."""
        return sum(runner.bars_seen for runner in self.runners)

    @property
    def bars_closed(self) -> int:
        """Closed bars that there have been for the strategies since they were made, whether shown or not."""
        return sum(runner.bars_closed for runner in self.runners)

    def start(self) -> None:
        """Call `on_start` of each strategy."""
        for runner in self.runners:
            self._guarded(runner, runner.strategy.on_start)
            self._started.append(runner)

    def _make_turn_of_one(self, view: BarsView, on_bar: Callable[[Bar], None]) -> Callable[[str], None]:
        """The turn of a lone strategy with one timeframe, without a call in between: most bots have just that."""
        mailbox, deliver, series = self._mailbox, self._deliver, view.series

        def on_tick(symbol: str) -> None:
            try:
                if mailbox:
                    deliver()
                i = view.end
                while i < series.length:  # as the runner itself does it where there are several
                    view.end = i + 1
                    bar = _new(Bar)
                    bar._series, bar._i = series, i
                    on_bar(bar)
                    i = view.end
            except (LockstepError, Stopping):
                raise
            except BaseException as error:  # also sys.exit() in a strategy ends no more than its symbol
                raise self.blamed(error) from error

        return on_tick

    def _turn_of_all(self, symbol: str) -> None:
        try:
            if self._mailbox:
                self._deliver()
            self._first()
            for run in self._others:
                run()
        except (LockstepError, Stopping):
            raise
        except BaseException as error:  # also sys.exit() in a strategy ends no more than its symbol
            raise self.blamed(error) from error

    def stop(self) -> None:
        """Deliver what is left, then call `on_stop` of each strategy whose `on_start` has come to its end; once.

        Raises:
            StrategyError: a strategy raised.
            Stopping: a strategy waited although the run stops; only after all have been called.
        """
        stopping: Stopping | None = None
        for _ in range(MAX_EVENTS_IN_ONE_TURN):
            try:
                self._guarded(None, self._deliver)
                break
            except Stopping as error:  # of one event; the others are news all the same
                stopping = stopping or error
        while self._started:
            runner = self._started.pop(0)
            try:
                self._guarded(runner, runner.strategy.on_stop)
            except Stopping as error:
                stopping = stopping or error
        if stopping is not None:
            raise stopping

    def _deliver(self) -> None:
        mailbox = self._mailbox
        for _ in range(MAX_EVENTS_IN_ONE_TURN):
            if not mailbox:
                return
            event = mailbox.popleft()
            if event.trade is not None:
                self._risk.trade_closed(event.trade)
            runner = self._by_book.get(event.order.request.book)
            if runner is not None:
                runner.deliver(event)
        raise LivelockError(
            f"more than {MAX_EVENTS_IN_ONE_TURN} order events of {self.symbol} in one turn; look for an on_order that "
            "always causes another event",
            participants=[f"worker:{self.symbol}"],
        )

    def _guarded(self, runner: StrategyRunner | None, call: object) -> None:
        try:
            call()  # type: ignore[operator]  # a bound method, of the user's strategy in the end
        except (LockstepError, Stopping):
            raise
        except BaseException as error:  # as above
            raise self.blamed(error, runner) from error

    def blamed(self, error: BaseException, raising: StrategyRunner | None = None) -> StrategyError:
        """What `error`, raised in a strategy, is to the run.

        Args:
            raising: whose call it was, where that is known; else it is looked for in the traceback.
        """
        now = self.runners[0].clock.now_ns()
        frame = error.__traceback__
        place = place_of_error(error)
        names = [runner.name for runner in (self.runners if raising is None else (raising,))]
        while frame is not None:
            runner = frame.tb_frame.f_locals.get("self")
            if isinstance(runner, StrategyRunner):
                names = [runner.name]
            elif raising is None:
                names = [each.name for each in self.runners if each.strategy is runner] or names
            frame = frame.tb_next
        name = names[0]
        return StrategyError(
            f"strategy {name} raised {type(error).__name__}: {error} on {self.symbol} at {format_instant(now)} "
            f"({place}); mend the strategy, or write on_error: stop_symbol to go on without the symbol",
            strategy=name,
            symbol=self.symbol,
            instant_ns=now,
            cause=f"{type(error).__name__}: {error}",
        )
