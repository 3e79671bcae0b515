"""MultiStrategyOrchestrator: all strategies of one symbol, in configured order, in the turn of the symbol's worker."""

from collections.abc import Sequence

from src.core.bars import BarsView
from src.core.broker import Broker
from src.core.errors import LivelockError, LockstepError, Stopping, StrategyError
from src.core.risk_manager import RiskManager
from src.core.strategy_runner import StrategyRunner
from src.core.timeframe import format_instant
from src.core.wake import WorkerWake

__all__ = ["MultiStrategyOrchestrator"]

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
        views: list[BarsView] = [view for runner in self.runners for view in runner.views]
        self.wake = WorkerWake(self._mailbox, views)

    @property
    def bars_seen(self) -> int:
        """Closed bars shown to the strategies so far, summed over them."""
        return sum(runner.bars_seen for runner in self.runners)

    def start(self) -> None:
        """Call `on_start` of each strategy."""
        for runner in self.runners:
            self._guarded(runner, runner.strategy.on_start)

    def on_tick(self, symbol: str) -> None:
        """One turn: deliver what is new. With nothing new it does nothing.

        Raises:
            StrategyError: a strategy raised; symbol, instant, strategy and the original error are attributes.
        """
        try:
            if self._mailbox:
                self._deliver()
            self._first()
            if self._others:
                for run in self._others:
                    run()
        except (LockstepError, Stopping):
            raise
        except BaseException as error:  # also sys.exit() in a strategy ends no more than its symbol
            raise self._strategy_error(error) from error

    def stop(self) -> None:
        """Deliver what is left, then call `on_stop` of each strategy."""
        self._deliver()
        for runner in self.runners:
            self._guarded(runner, runner.strategy.on_stop)

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

    def _guarded(self, runner: StrategyRunner, call: object) -> None:
        try:
            call()  # type: ignore[operator]  # a bound method of the user's strategy
        except (LockstepError, Stopping):
            raise
        except BaseException as error:  # as above
            raise self._strategy_error(error, runner) from error

    def _strategy_error(self, error: BaseException, raising: StrategyRunner | None = None) -> StrategyError:
        now = self.runners[0].clock.now_ns()
        frame = error.__traceback__
        place = ""
        names = [runner.name for runner in (self.runners if raising is None else (raising,))]
        while frame is not None:
            runner = frame.tb_frame.f_locals.get("self")
            if isinstance(runner, StrategyRunner):
                names = [runner.name]
            place = f"{frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}"
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
