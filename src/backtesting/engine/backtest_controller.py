"""BacktestController: composes the real bot over virtual time and a simulated venue, and waits.

One of the two places that compose the bot. It calls `TradingController.start()` and waits; there is no second loop.
"""

import io
from collections.abc import Mapping

from src.backtesting.engine.market import SimulatedMarket
from src.backtesting.engine.time_controller import TimeController
from src.backtesting.result import BacktestResult, Outcome, SymbolSummary
from src.brokers.simulated import SimulatedBroker
from src.core.bars import BarSeries
from src.core.config import BotConfig
from src.core.errors import ConfigError, DataError, InternalError, LockstepError
from src.core.journal import Journal, JournalRecord
from src.core.log import make_log
from src.core.strategy import Strategy
from src.core.sync import monotonic_ns, on_interrupt, rare_collections
from src.core.trading_controller import TradingController

__all__ = ["BacktestController"]


class BacktestController:
    """One backtest of one bot.

    Args:
        broker: the simulated venue with its data.
        time_controller: the clock; its symbols are the broker's.
        config: the bot's configuration.
        classes: the strategy class of each instance name.
        start_ns, end_ns: the window; from the first bar's close to the last one's by default.
        keep_records: whether the result carries the journal's records, or only their digest.
    """

    def __init__(
        self,
        broker: SimulatedBroker,
        time_controller: TimeController,
        config: BotConfig,
        classes: Mapping[str, type[Strategy]],
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        keep_records: bool = True,
    ) -> None:
        self._records: list[JournalRecord] = []
        self.journal = Journal(self._records.extend if keep_records else None)
        self._broker = broker
        self._config = config
        self.time_controller = time_controller
        base = broker.all_base_series()
        if not any(series.loaded for series in base):
            names = ", ".join(series.symbol for series in base)
            raise DataError(f"expected bars of {names}, found none; load some first")
        self._start_ns = _first_open(base) if start_ns is None else start_ns
        self._end_ns = _last_close(base) if end_ns is None else end_ns
        if self._end_ns <= self._start_ns:
            raise ConfigError("the backtest's window is empty: its end does not lie after its start")
        self.market = SimulatedMarket(broker, self.journal, self._start_ns, self._end_ns)
        broker.bind(time_controller, self.journal)
        time_controller.attach(self.market)
        ticking = sorted(name for name, cls in classes.items() if cls.on_tick is not Strategy.on_tick)
        coarse = f"on_tick of {', '.join(ticking)} was called once for each base bar; live it is called at every price"
        self._coarse = {"on_tick": coarse} if ticking else {}
        self._log_lines = io.StringIO()
        log = make_log(self._log_lines, time_controller.now_ns)
        self.trading_controller = TradingController(config, broker, time_controller, self.journal, classes, log)

    @property
    def log_text(self) -> str:
        """What the bot logged so far, one JSON object a line."""
        return self._log_lines.getvalue()

    def run(self) -> BacktestResult:
        """Run to the end of the window and return what happened.

        Errors of the bot, of the scheduler or of the engine end the run as FAILED and are in the result.

        Raises:
            ConfigError: the configuration turned out to be wrong while the bot was made or while it ran; there is no
                result then.
        """
        controller = self.trading_controller
        error: LockstepError | None = None
        began = monotonic_ns()
        try:
            controller.initialize()
            controller.start()
            began = monotonic_ns()
            with on_interrupt(lambda: controller.stop("interrupted")), rare_collections():
                controller.wait()
        except ConfigError:
            raise
        except LockstepError as problem:
            error = problem
        except Exception as problem:
            error = InternalError(f"{type(problem).__name__}: {problem}; a defect of Lockstep, please report it")
            error.__cause__ = problem
        seconds = (monotonic_ns() - began) / 1e9
        return self._result(error, seconds)

    def _result(self, error: LockstepError | None, seconds: float) -> BacktestResult:
        controller, broker = self.trading_controller, self._broker
        digest = self.journal.close()
        snapshot = broker.snapshot()
        equity_ns, equity = broker.equity_samples()
        time = self.time_controller.statistics()
        if error is not None:
            outcome = Outcome.FAILED
        elif self.time_controller.stopped_because is not None:
            outcome = Outcome.INTERRUPTED
        else:
            outcome = Outcome.DEGRADED if controller.failures else Outcome.COMPLETED
        return BacktestResult(
            outcome=outcome,
            digest=digest,
            start_ns=self._start_ns,
            end_ns=self._end_ns,
            currency=self._config.account.currency,
            initial_balance=self._config.account.balance,
            account=snapshot.account,
            symbols=tuple(_summary(series, self._start_ns) for series in broker.all_base_series()),
            orders=broker.orders(),
            fills=broker.fills(),
            trades=broker.trades(),
            open_positions=snapshot.positions,
            equity_ns=equity_ns,
            equity=equity,
            records=self._records,
            bars=self.market.bars,
            steps=time.steps,
            turns=time.turns,
            seconds=seconds,
            error=error,
            failures=dict(controller.failures),
            refusals=controller.refusals,
            fidelity={**broker.fidelity(), **self._coarse},
        )


def _first_open(base: list[BarSeries]) -> int:
    return min(series.open_ns_at[0] for series in base if series.loaded)


def _last_close(base: list[BarSeries]) -> int:
    return max(series.open_ns_at[series.loaded - 1] + series.timeframe_ns for series in base if series.loaded)


def _summary(series: BarSeries, start_ns: int) -> SymbolSummary:
    first = series.count_closed(start_ns)
    last = series.length
    seen = last > first
    return SymbolSummary(
        symbol=series.symbol,
        bars=last - first,
        first_open=series.open_at[first] if seen else None,
        last_close=series.close_at[last - 1] if seen else None,
        first_ns=series.open_ns_at[first] if seen else None,
        last_ns=series.open_ns_at[last - 1] + series.timeframe_ns if seen else None,
    )
