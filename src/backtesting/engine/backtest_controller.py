"""BacktestController: composes the real bot over virtual time and a simulated venue, and waits.

One of the two places that compose the bot. It calls `TradingController.start()` and waits; there is no second loop.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from src.backtesting.engine.conditions import World
from src.backtesting.engine.control import RunControl
from src.backtesting.engine.debugging import Foreground, debugger_during
from src.backtesting.engine.faulty_market import FaultyMarket
from src.backtesting.engine.pacing import TimeMode
from src.backtesting.engine.ports import Market
from src.backtesting.engine.symbols import Supply, SymbolChange, SymbolChanges
from src.backtesting.engine.tick_market import market_of_broker
from src.backtesting.engine.time_controller import TimeController
from src.backtesting.result import BacktestResult, Outcome, SymbolSummary
from src.backtesting.schedules import EndChecked
from src.backtesting.schedules.accesses import PortLogs
from src.backtesting.schedules.yielding import YieldingBroker
from src.backtesting.tracing import Probe, measure_lock, traced_ports
from src.brokers.faults import FaultPlan
from src.brokers.faulty import FaultyBroker
from src.brokers.simulated import SimulatedBroker
from src.core.bars import BarSeries
from src.core.broker import Broker
from src.core.clock import Clock
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
        probe: told what the threads do; without one nothing is measured and nothing stands between the parts.
        logs: keeps what each participant asks of the ports.
        supply: where the bars of symbols that are added come from; without one none can be.
        changes: symbols that join or leave, in order of their instants.
        faults: what goes wrong between the bot and the venue; without any nothing stands between them.

    Attributes:
        control: pause, steps, breaks and pace of this run.
        symbol_changes: the symbols that joined or left it.
        foreground: where displays and readers of keys register, to step aside while somebody types.
        tell: told in a sentence what somebody who watches wants to know at once; does nothing by default.
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
        probe: Probe | None = None,
        logs: PortLogs | None = None,
        supply: Supply | None = None,
        changes: Sequence[SymbolChange] = (),
        faults: FaultPlan | None = None,
    ) -> None:
        self._records: list[JournalRecord] = []
        self.journal = Journal(self._records.extend if keep_records else None)
        self._broker = broker
        self._config = config
        self._started = False
        self._faults = faults
        self.time_controller = time_controller
        self.probe = probe
        self.foreground = Foreground()
        self.tell: Callable[[str], None] = _nobody_listens
        world = World(broker, self.journal, config.symbols, lambda: time_controller.instant_ns)
        self.control = RunControl(time_controller, world)
        base = broker.all_base_series()
        if not any(series.loaded for series in base):
            names = ", ".join(series.symbol for series in base)
            raise DataError(f"expected bars of {names}, found none; load some first")
        self._start_ns = _first_open(base) if start_ns is None else start_ns
        self._end_ns = _last_close(base) if end_ns is None else end_ns
        if self._end_ns <= self._start_ns:
            raise ConfigError("the backtest's window is empty: its end does not lie after its start")
        self.market = market_of_broker(broker, self.journal, self._start_ns, self._end_ns)
        broker.bind(time_controller, self.journal)
        ticking = sorted(name for name, cls in classes.items() if cls.on_tick is not Strategy.on_tick)
        coarse = f"on_tick of {', '.join(ticking)} was called once for each base bar; live it is called at every price"
        self._coarse = {"on_tick": coarse} if ticking and broker.prices is None else {}
        if config.manage.on == "poll" and broker.prices is None:
            self._coarse["manage"] = "stops were moved when base bars closed; live manage.on: poll moves them at polls"
        self._log_lines = io.StringIO()
        log = make_log(self._log_lines, time_controller.now_ns)
        clock: Clock = time_controller
        venue: Broker = broker
        market: Market = self.market
        if faults is not None:
            venue, market = _faulty(faults, broker, market, time_controller, self.journal)
        if probe is not None:
            ports = traced_ports(
                probe, time_controller, venue, market, classes,
                instant=lambda: time_controller.instant_ns, preempts=time_controller.policy.preempts,
            )  # fmt: skip
            clock, venue, market, classes = ports.clock, ports.broker, ports.market, ports.classes
        time_controller.attach(market)
        venue = self._preemptible(venue, time_controller.yield_turn if probe is None else ports.clock.yield_turn)
        if logs is not None:
            venue, clock = logs.broker(venue), logs.clock(clock, lambda: time_controller.instant_ns)
        self.trading_controller = TradingController(config, venue, clock, self.journal, classes, log)
        if probe is not None:
            measure_lock(broker, probe, "broker")
            measure_lock(self.trading_controller.risk, probe, "risk manager")
        if logs is not None:
            self.trading_controller.risk = logs.risk(self.trading_controller.risk)
        self.symbol_changes = SymbolChanges(
            time_controller, self.market, self.trading_controller, self.control, world,
            supply=supply, planned=changes, tell=self._say,
        )  # fmt: skip

    def _preemptible(self, broker: Broker, yield_turn: Callable[[], None]) -> Broker:
        """The broker that the bot gets: one that offers the turn to others, where the policy may take it away."""
        return YieldingBroker(broker, yield_turn) if self.time_controller.policy.preempts else broker

    @property
    def venue(self) -> SimulatedBroker:
        """The simulated venue itself, for displays, which only look: no probe and no policy stands before it."""
        return self._broker

    @property
    def records(self) -> Sequence[JournalRecord]:
        """What is settled of the journal so far, in digest order; empty where records are not kept."""
        return self._records

    @property
    def log_text(self) -> str:
        """What the bot logged so far, one JSON object a line."""
        return self._log_lines.getvalue()

    # -- control while it runs; each takes effect between two steps --------------------------------

    @property
    def control_records(self) -> tuple[dict[str, Any], ...]:
        """What the control did, in order; empty for a run that nobody controlled."""
        return self.control.records

    def pause(self) -> None:
        """See `RunControl.pause`."""
        self.control.pause()

    def resume(self) -> None:
        """See `RunControl.resume`."""
        self.control.resume()

    def step(self, count: int = 1) -> None:
        """See `RunControl.step`."""
        self.control.step(count)

    def run_to(self, instant: str | int) -> None:
        """See `RunControl.run_to`."""
        self.control.run_to(instant)

    def break_when(self, expression: str, once: bool = True) -> None:
        """See `RunControl.break_when`."""
        self.control.break_when(expression, once)

    def clear_break(self) -> None:
        """See `RunControl.clear_break`."""
        self.control.clear_break()

    def set_pace(self, pace: str | TimeMode | None) -> None:
        """See `RunControl.set_pace`."""
        self.control.set_pace(pace)

    def add_symbol(self, symbol: str) -> None:
        """See `SymbolChanges.add`; an input of the run, unlike what else controls it."""
        self.symbol_changes.add(symbol)

    def remove_symbol(self, symbol: str) -> None:
        """See `SymbolChanges.remove`; an input of the run, unlike what else controls it."""
        self.symbol_changes.remove(symbol)

    def stop(self, reason: str = "stop requested") -> None:
        """End the run in order, also while it is paused; from any thread.

        Raises:
            ConfigError: the reason is no text.
        """
        if not isinstance(reason, str):
            raise ConfigError(f"expected the reason of the stop as a text, found {reason!r}")
        self.trading_controller.stop(reason)

    def _interrupt(self) -> None:
        self.stop("interrupted")
        self.tell("stopping; press Ctrl-C again to force")

    def run(self) -> BacktestResult:
        """Run to the end of the window and return what happened.

        Errors of the bot, of the scheduler or of the engine end the run as FAILED and are in the result.

        Raises:
            ConfigError: the configuration turned out to be wrong while the bot was made or while it ran, or the
                replayed schedule was recorded from another one; there is no result then. Or it was run before.
        """
        if self._started:
            raise ConfigError("this BacktestController has run already and runs once; make another one for another run")
        self._started = True
        controller = self.trading_controller
        error: LockstepError | None = None
        began = monotonic_ns()
        try:
            with debugger_during(self.time_controller, self.foreground, self.tell):
                controller.initialize()
                controller.start()
                began = monotonic_ns()
                with on_interrupt(self._interrupt), rare_collections():
                    controller.wait()
            policy = self.time_controller.policy
            if isinstance(policy, EndChecked) and self.time_controller.stopped_because is None:
                policy.finish()
        except ConfigError:
            raise
        except LockstepError as problem:
            error = problem
        except Exception as problem:
            error = InternalError(f"{type(problem).__name__}: {problem}; a defect of Lockstep, please report it")
            error.__cause__ = problem
        finally:
            self.control.close()
            self.symbol_changes.close()
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
            symbols=tuple(
                _summary(series, self._began_ns(series.symbol), broker.instrument(series.symbol).calendar)
                for series in broker.all_base_series()
                if series.symbol in self.time_controller.symbols  # others only convert
            ),
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
            payments=tuple(broker.payments()),
            fidelity={**broker.fidelity(), **self._coarse, **self._went_wrong(), **_unseen_bars(controller.unseen)},
        )

    def _went_wrong(self) -> dict[str, str]:
        plan = self._faults
        if plan is None or not plan.faults:
            return {}
        return {"faults": f"{len(plan.faults)} faults were planned and hit {len(plan.acted)} calls; see the journal"}

    def _say(self, text: str) -> None:
        self.tell(text)

    def _began_ns(self, symbol: str) -> int:
        joined = self.symbol_changes.joined.get(symbol)
        return self._start_ns if joined is None else joined.from_ns


def _unseen_bars(unseen: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """The rule about bars that no strategy saw; empty where there are none.

    Args:
        unseen: how many bars were shown and how many there were, by symbol.
    """
    sentences = [
        f"{symbol}: the strategy was still waiting when it was told to end; it was shown {shown:,} of {there:,} bars"
        for symbol, (shown, there) in sorted(unseen.items())
    ]
    return {"unseen_bars": "; ".join(sentences)} if sentences else {}


def _faulty(
    plan: FaultPlan, broker: SimulatedBroker, market: Market, clock: Clock, journal: Journal
) -> tuple[Broker, Market]:
    """The ports at which things go wrong."""
    faulty = FaultyBroker(broker, plan, clock, journal, broker.signals)
    return faulty, FaultyMarket(market, faulty)


def _nobody_listens(text: str) -> None:
    return


def _first_open(base: list[BarSeries]) -> int:
    return min(series.open_ns_at[0] for series in base if series.loaded)


def _last_close(base: list[BarSeries]) -> int:
    return max(series.open_ns_at[series.loaded - 1] + series.timeframe_ns for series in base if series.loaded)


def _summary(series: BarSeries, start_ns: int, calendar: str) -> SymbolSummary:
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
        calendar=calendar,
    )
