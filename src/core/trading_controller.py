"""TradingController: the bot. One worker thread per symbol and one position monitor, started, supervised, stopped.

It is composed with a clock and a broker and does not know what they are. The loops below are the same text in every
mode.
"""

import io
from collections import Counter
from collections.abc import Callable, Mapping

from src.core.broker import Broker
from src.core.clock import PHASE_MONITOR, PHASE_WORKER, Clock, Participant
from src.core.config import BotConfig
from src.core.errors import ConfigError, InternalError, LeftError, LockstepError, Stopping, StrategyError
from src.core.features import FeatureColumn, FeatureStore, atr
from src.core.journal import ACCOUNT_STREAM, Journal
from src.core.log import Log, make_log
from src.core.memory import Memory
from src.core.orchestrator import MultiStrategyOrchestrator
from src.core.order_desk import OrderDesk
from src.core.places import place_of_error
from src.core.price_manager import PriceTradeManager
from src.core.risk_manager import RiskManager
from src.core.session_rules import session_filters
from src.core.steady_broker import SteadyBroker, steadied
from src.core.strategy import Strategy
from src.core.strategy_runner import StrategyRunner
from src.core.symbols import Roster
from src.core.sync import current_participant
from src.core.timeframe import format_instant
from src.core.trade_manager import TradeManager
from src.core.wake import MonitorWake

__all__ = ["MONITOR", "TradingController", "worker_name"]

MONITOR = "monitor:positions"


def worker_name(symbol: str) -> str:
    """The participant name of a symbol's worker."""
    return f"worker:{symbol}"


class TradingController:
    """The bot of one configuration.

    Args:
        config: the bot's sections.
        broker: where it trades.
        clock: where it waits.
        journal: where its decisions are kept.
        classes: the strategy class of each instance name.
        log: what people read; by default it is thrown away.

    Attributes:
        failures: symbols that were dropped or stopped, with the sentence why.
        unseen: symbols whose worker was told to end while it waited in the middle of a turn, before it had seen every
            bar: how many were shown, and how many there were, summed over strategies.
        roster: the symbols that are traded.
    """

    def __init__(
        self, config: BotConfig, broker: Broker, clock: Clock, journal: Journal, classes: Mapping[str, type[Strategy]],
        log: Log | None = None,
    ) -> None:  # fmt: skip
        self._config = config
        self._broker = broker = steadied(broker, clock, journal)
        self._clock = clock
        self._journal = journal
        self._classes = classes
        self._log = log if log is not None else make_log(io.StringIO(), clock.now_ns)
        hedging = config.account.positions == "hedging"
        sessions = session_filters(config.strategies)
        self.risk = RiskManager(config.risk, broker, clock, hedging=hedging, sessions=sessions)
        if isinstance(broker, SteadyBroker):
            broker.attach(self.risk)
        self._features = FeatureStore()
        self._orchestrators: dict[str, MultiStrategyOrchestrator] = {}
        self._desks: list[OrderDesk] = []
        self._trade_manager: TradeManager | None = None
        self.failures: dict[str, str] = {}
        self.unseen: dict[str, tuple[int, int]] = {}
        self.roster = Roster(config)
        #: Symbols that were removed and whose worker has not left yet.
        self._retiring: set[str] = set()
        #: Symbols whose worker, or a thread of it, has raised: the worker does nothing more.
        self._failed: set[str] = set()

    @property
    def broker(self) -> Broker:
        """The broker as the bot sees it: behind its guard, where the venue is not certain."""
        return self._broker

    def desk_for(self, participant: str) -> OrderDesk:
        """A desk at which another participant than the bot's own may decide; before the start."""
        return self._desk(participant)

    def remembered(self) -> Memory:
        """What outlives this run; inside a turn, or where nobody has one."""
        states = tuple(
            (runner.name, symbol, runner.strategy.state)
            for symbol, orchestrator in sorted(self._orchestrators.items()) for runner in orchestrator.runners
        )  # fmt: skip
        return Memory(risk=self.risk.remembered(), states=states)

    def remember(self, memory: Memory) -> None:
        """Go on with what an earlier run remembered; after `initialize`, before the start.

        What belongs to a strategy or a symbol that is not there any more is left.
        """
        self.risk.remember(memory.risk)
        for name, symbol, state in memory.states:
            orchestrator = self._orchestrators.get(symbol)
            for runner in orchestrator.runners if orchestrator is not None else ():
                if runner.name == name:
                    runner.strategy.state.update(state)

    def initialize(self) -> None:
        """Make the strategies of every symbol and the trade manager; no thread runs yet.

        Raises:
            ConfigError: a parameter or timeframe is wrong.
            StrategyError: a constructor raised and `on_error` is `stop_all`.
        """
        for symbol in self._config.symbols:
            self._make(symbol)
        base = {symbol: self._broker.base_series(symbol) for symbol in self._config.symbols}
        made = PriceTradeManager if self._config.manage.on == "poll" else TradeManager
        self._trade_manager = made(
            self._config.manage, base, self._ranges(self._orchestrators), self._broker, self.risk, self._desk(MONITOR),
            self._clock, self._journal, flatten=self._config.risk.on_daily_loss == "flatten", participant=MONITOR,
        )  # fmt: skip

    def start(self) -> None:
        """Register the monitor and one worker per symbol; their threads wait for their first turn."""
        if self._trade_manager is None:
            self.initialize()
        manager = self._trade_manager
        if manager is None:
            raise InternalError("the trade manager was not made")
        self._clock.spawn(
            Participant(
                name=MONITOR,
                phase=PHASE_MONITOR,
                rank=0,
                wake=MonitorWake(manager),
                timed=manager.timed,
                poll_ns=self._config.poll.position_monitor_ns,
            ),  # fmt: skip
            self._position_monitor,
        )
        if isinstance(self._broker, SteadyBroker):
            self._broker.start(self._config.poll.worker_ns)
        for rank, symbol in enumerate(self._config.symbols):
            if symbol in self._orchestrators:
                self._start_worker(symbol, rank)

    def _start_worker(self, symbol: str, rank: int) -> None:
        self._clock.spawn(
            Participant(
                name=worker_name(symbol), phase=PHASE_WORKER, rank=rank, symbol=symbol,
                poll_ns=self._config.poll.worker_ns, wake=self._orchestrators[symbol].wake,
                on_failure=_answering(self._thread_failed, symbol),
                progress=_shown(self._orchestrators[symbol]),
            ),
            _bound(self._symbol_worker, symbol),
        )  # fmt: skip

    def late_symbols(self, before_ns: int) -> list[str]:
        """Of which symbols a bar that closed before an instant was not shown to a strategy yet; inside a turn."""
        workers = self._orchestrators.items()
        return [symbol for symbol, each in workers if any(runner.is_late(before_ns) for runner in each.runners)]

    def pass_over(self, symbol: str, before_ns: int) -> None:
        """What closed before an instant and was not shown yet is history, on which nobody acts; inside a turn."""
        if symbol in self._orchestrators:
            for runner in self._orchestrators[symbol].runners:
                runner.pass_over(before_ns)

    def wait(self) -> None:
        """Let the threads run and return when all have ended.

        Raises:
            LockstepError: what ended the run, if it did not end by itself.
        """
        self._log.info("bot started", name=self._config.name, symbols=list(self._orchestrators))
        self._clock.drive()
        self._log.info("bot ended", refusals=self.refusals, failures=self.failures)

    def stop(self, reason: str = "stop requested") -> None:
        """Ask all threads to end in order; may be called from anywhere."""
        self._clock.stop(reason)

    @property
    def refusals(self) -> dict[str, int]:
        """How many intents were refused, by code."""
        total: Counter[str] = Counter()
        for desk in self._desks:
            total.update(desk.refusals)
        return dict(sorted(total.items()))

    # -- symbols on the way ------------------------------------------------------------------------

    def add_symbol(self, symbol: str) -> None:
        """Trade one more symbol from now on, with the strategies that have no symbols of their own.

        Its worker comes after all others and has its first turn at this instant. Called after `start`, inside a turn or
        where nobody has one; the broker knows the symbol and its bars by then.

        Raises:
            ConfigError: see `Roster.add`.
            StrategyError: a constructor raised and `on_error` is `stop_all`.
        """
        manager = self._trade_manager
        if manager is None:
            raise InternalError("a symbol was added before the start")
        self.roster.add(symbol)
        self._log.info("symbol added", symbol=symbol)
        ranges: dict[tuple[str, str], FeatureColumn] = {}
        made = self._make(symbol)
        if made:
            ranges = self._ranges({symbol: self._orchestrators[symbol]})
        manager.add_symbol(symbol, self._broker.base_series(symbol), ranges)
        if made:
            self._start_worker(symbol, self.roster.known.index(symbol))

    def remove_symbol(self, symbol: str) -> None:
        """Trade a symbol no more: its worker ends, its entries are cancelled, its positions are left to the monitor.

        The worker has one more turn, for what its strategies have not heard yet and their `on_stop`. When it waits in
        the middle of a turn, that wait raises `Stopping` first. Called as `add_symbol`.

        Raises:
            ConfigError: see `Roster.remove`.
        """
        self.roster.remove(symbol)
        self._log.info("symbol removed", symbol=symbol)
        self._retiring.add(symbol)
        self.risk.block(symbol, f"{symbol} was removed")
        self._cancel_entries(symbol)
        self._clock.retire(worker_name(symbol))

    def _cancel_entries(self, symbol: str) -> None:
        if isinstance(self._broker, SteadyBroker):
            self._broker.end_entries(symbol)
            return
        for order in self._broker.snapshot().orders:
            if order.request.symbol == symbol and not order.request.reduce_only:
                self._broker.cancel(order.order_id)

    # -- the threads -------------------------------------------------------------------------------

    def _symbol_worker(self, symbol: str) -> None:
        me, clock, how = worker_name(symbol), self._clock, "left"
        orchestrator = self._orchestrators[symbol]
        try:
            for part in (self._turns, self._last_turn):
                try:
                    part(symbol)
                except LeftError as left:
                    raise orchestrator.blamed(left) from left  # nobody but a strategy can have left before its end
                except Stopping as stopping:
                    if not clock.is_over(me):
                        raise orchestrator.blamed(stopping) from stopping  # no wait of the clock has raised it
                    how = "stopped"
            if symbol not in self._failed:
                shown, closed = orchestrator.bars_seen, orchestrator.bars_closed
                self._record_end(symbol, me, how, bars=shown)
                if how == "stopped" and shown < closed:
                    self.unseen[symbol] = (shown, closed)
                    self._log.warning("bars were not shown", symbol=symbol, shown=shown, of=closed)
        except Exception as error:
            self._worker_failed(symbol, error)
        except BaseException as error:  # kept for `drive`; known before the turn is given away
            clock.fail(error)
        finally:
            if symbol in self._retiring and self._trade_manager is not None:
                # Only now: until here the worker has heard what became of its orders.
                self._trade_manager.adopt(symbol)
            clock.leave(me)

    def _turns(self, symbol: str) -> None:
        me, orchestrator = worker_name(symbol), self._orchestrators[symbol]
        orchestrator.start()
        wait_for_next_step, on_tick = self._clock.wait_for_next_step, orchestrator.on_tick
        while wait_for_next_step(me):
            on_tick(symbol)

    def _last_turn(self, symbol: str) -> None:
        if symbol not in self._failed:
            self._orchestrators[symbol].stop()

    def _position_monitor(self) -> None:
        clock, manager = self._clock, self._trade_manager
        if manager is None:
            raise InternalError("the monitor started before the trade manager was made")
        try:
            manager.start()
            while clock.wait_for_next_step(MONITOR):
                manager.manage_positions()
        except Stopping:
            pass
        except Exception as error:
            # Without the monitor no position is guarded, so this always ends the run.
            self._record_end(ACCOUNT_STREAM, MONITOR, "failed", error=_kind_of(error))
            clock.fail(error)
        except BaseException as error:  # as in `_symbol_worker`
            clock.fail(error)
        finally:
            clock.leave(MONITOR)

    # -- supervision -------------------------------------------------------------------------------

    def _worker_failed(self, symbol: str, error: Exception) -> None:
        me = worker_name(symbol)
        self._log.error("worker failed", symbol=symbol, error=_cause(error))
        if symbol in self._failed:
            return  # what follows from the first failure is no second one
        self._failed.add(symbol)
        self._record_end(symbol, me, "failed", error=_kind_of(error))
        if self._config.on_error == "stop_all" or not isinstance(error, StrategyError):
            self._clock.fail(error)
            return
        self._drop(symbol, error)
        self._clock.retire(me)
        try:
            self._cancel_entries(symbol)
        except Exception as problem:
            # Entries that may still work without anybody watching them: more than one symbol's matter.
            self._clock.fail(problem)

    def _thread_failed(self, symbol: str, error: BaseException) -> None:
        """A helper thread or timer of the symbol's worker raised; called in its turn, while the worker waits."""
        if not isinstance(error, LockstepError) or isinstance(error, LeftError):
            error = self._error_of_thread(symbol, error)
        self._worker_failed(symbol, error)

    def _error_of_thread(self, symbol: str, error: BaseException) -> StrategyError:
        strategies = [runner.strategy for runner in self._orchestrators[symbol].runners]
        name, place, trace = strategies[0].name, place_of_error(error), error.__traceback__
        while trace is not None:
            # A method has its strategy in `self`, a function inside a method among what it closes over.
            own = [each for each in trace.tb_frame.f_locals.values() if any(each is one for one in strategies)]
            name, trace = own[0].name if own else name, trace.tb_next
        now = self._clock.now_ns()
        failed = StrategyError(
            f"strategy {name} raised {_cause(error)} in the thread {current_participant.get()} on {symbol} at "
            f"{format_instant(now)} ({place}); mend the strategy, or write on_error: stop_symbol to go on without the "
            "symbol",
            strategy=name, symbol=symbol, instant_ns=now, cause=_cause(error),
        )  # fmt: skip
        failed.__cause__ = error
        return failed

    def _drop(self, symbol: str, error: LockstepError) -> None:
        self.failures[symbol] = error.message
        self._log.error("symbol stopped", symbol=symbol, error=error.message)
        self.risk.block(symbol, f"{symbol} was stopped after an error")
        if self._trade_manager is not None:
            self._trade_manager.adopt(symbol)

    def _record_end(self, stream: str, participant: str, how: str, *, bars: int = 0, error: str = "") -> None:
        self._journal.record(self._clock.now_ns(), stream, "participant", participant, how, bars, error)

    # -- making ------------------------------------------------------------------------------------

    def _make(self, symbol: str) -> bool:
        """Make the strategies of a symbol; False when one could not be made and the symbol is dropped for it."""
        try:
            self._orchestrators[symbol] = self._orchestrate(symbol)
        except StrategyError as error:
            if self._config.on_error == "stop_all":
                raise
            self._record_end(symbol, worker_name(symbol), "failed", error=_kind_of(error))
            self._drop(symbol, error)
            return False
        return True

    def _orchestrate(self, symbol: str) -> MultiStrategyOrchestrator:
        desk = self._desk(worker_name(symbol))
        runners = []
        for i, strategy in enumerate(self._config.strategies):
            if strategy.symbols is not None and symbol not in strategy.symbols:
                continue
            cls = self._classes[strategy.instance]
            try:
                runners.append(
                    StrategyRunner(
                        cls, strategy, symbol, self._broker, self._clock, desk, self._features, f"strategies.{i}"
                    )
                )
            except LockstepError:
                raise
            except (Exception, SystemExit) as error:
                now = self._clock.now_ns()
                raise StrategyError(
                    f"strategy {strategy.instance} raised {_cause(error)} while it was made for {symbol}; mend its "
                    "constructor or features()",
                    strategy=strategy.instance, symbol=symbol, instant_ns=now, cause=_cause(error),
                ) from error  # fmt: skip
        if not runners:
            raise ConfigError(
                f"symbols: {symbol} is traded by no strategy; add it to a strategy's symbols or remove it",
                symbol=symbol,
            )
        return MultiStrategyOrchestrator(symbol, runners, self._broker, self.risk)

    def _desk(self, participant: str) -> OrderDesk:
        desk = OrderDesk(participant, self._config.account.name, self._broker, self.risk, self._clock, self._journal)
        self._desks.append(desk)
        return desk

    def _ranges(self, orchestrators: Mapping[str, MultiStrategyOrchestrator]) -> dict[tuple[str, str], FeatureColumn]:
        """The average true range that each book's trailing stop uses: of its strategy's own timeframe."""
        trailing = self._config.manage.trailing
        if trailing is None or trailing.distance_atr is None:
            return {}
        feature = atr(trailing.atr)
        return {
            (runner.name, symbol): self._features.column(feature, runner.views[0].series)
            for symbol, orchestrator in orchestrators.items()
            for runner in orchestrator.runners
        }


def _shown(orchestrator: MultiStrategyOrchestrator) -> Callable[[], int]:
    def bars() -> int:
        return orchestrator.bars_seen

    return bars


def _bound(loop: Callable[[str], None], symbol: str) -> Callable[[], None]:
    def run() -> None:
        loop(symbol)

    return run


def _answering(answer: Callable[[str, BaseException], None], symbol: str) -> Callable[[BaseException], None]:
    def on_failure(error: BaseException) -> None:
        answer(symbol, error)

    return on_failure


def _kind_of(error: BaseException) -> str:
    """The type of what went wrong; the text is for people and may hold addresses, so it must not be hashed."""
    cause = error.cause if isinstance(error, StrategyError) else type(error).__name__
    return str(cause).partition(":")[0]


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
