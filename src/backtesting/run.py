"""A backtest from a configuration file to a folder: check, load, identify, run, store.

Called by one thread; the bot's own threads live only inside `execute`.
"""

import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.backtesting.artifacts import ensure_writable, write_free_run, write_run
from src.backtesting.config import BacktestConfig, CostsSection
from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.free_controller import FreeTimeController, time_controller_for
from src.backtesting.engine.latency import Latency, late_participant
from src.backtesting.engine.pacing import pacer_for
from src.backtesting.engine.ports import Gate
from src.backtesting.engine.symbols import Supply, input_of
from src.backtesting.engine.wakes import EveryStep
from src.backtesting.identity import identity_inputs, run_id, user_file_hash, user_files, versions
from src.backtesting.metrics import Metrics, compute_metrics
from src.backtesting.newcomers import DataNeeds, StoreSupply, changes_inside, data_needs, instrument_of
from src.backtesting.result import BacktestResult
from src.backtesting.schedules import SchedulePolicy, policy_named
from src.backtesting.schedules.accesses import PortLogs
from src.backtesting.schedules.free import Free
from src.backtesting.strict import StrictReport, StrictRuntime, StrictWatch, refuse_real_locks, strict_report
from src.backtesting.tracing import Probe
from src.brokers.simulated import Commission, Costs, FillRules, SimulatedBroker, Slippage
from src.core.clock import Participant
from src.core.config_file import ConfigDocument
from src.core.day import AccountDay
from src.core.errors import InternalError, PreflightError, StalledThreadError
from src.core.instrument import Instrument
from src.core.strategy import Strategy
from src.core.sync import runtime_named
from src.core.timeframe import DAY_NS, MINUTE_NS, format_instant
from src.data.market import MarketData, load_market
from src.data.store import HistoricalDataStore
from src.data.synthetic import SyntheticSpec, default_symbol
from src.data.synthetic_store import market_store
from src.strategies import LoadedStrategy, load_strategy

__all__ = ["FinishedRun", "PreparedRun", "compose", "execute", "prepare"]

#: A window may begin or end so long before or after the data: a week holds any weekend and holiday.
MOST_DAYS_WITHOUT_DATA = 7

Watch = Callable[[BacktestController], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """A run that passed all checks: everything it reads is in memory, nothing has been written.

    Attributes:
        run_id: hash of all that decides the result; `free` where that is not decided by what goes in. Symbols that are
            added or removed from outside while it goes on give it another one.
        supply: where the bars of symbols come from that join on the way.
        synthetic: the seed of the synthetic market, None for real data.
        user_files: the strategies' files and the modules beside them that they import.
    """

    config: BacktestConfig
    classes: dict[str, type[Strategy]]
    instruments: dict[str, Instrument]
    market: MarketData
    costs: Costs
    policy: SchedulePolicy
    start_ns: int
    end_ns: int
    run_id: str
    manifest: dict[str, Any]
    runs_dir: Path
    synthetic: int | None
    supply: Supply
    user_files: tuple[Path, ...] = ()

    @property
    def deterministic(self) -> bool:
        """False for a run under a free schedule, which has no identity and is never compared."""
        return not isinstance(self.policy, Free)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run with its figures and its folder.

    Attributes:
        run_id: hash of all that decided the result, the symbols that joined or left it too.
        timing: real durations and counts of turns, as `timing.json` has them.
        strict: what strict mode found; None when it was not asked for.
        replay: of a run that is not deterministic the order of its turns, as a value of `backtest.schedule`.
    """

    run_id: str
    result: BacktestResult
    metrics: Metrics | None
    folder: Path
    synthetic: int | None
    timing: dict[str, Any]
    strict: StrictReport | None = None
    replay: str | None = None


def prepare(document: ConfigDocument, *, stored: bool = True) -> PreparedRun:
    """Validate a configuration, load its strategies and its data, and identify the run.

    Args:
        stored: whether the run is to be stored, so that its folder has to be one that can be written to.

    Raises:
        ConfigError: the configuration, a strategy file or the runs folder is wrong.
        DataError: the store is not what it must be.
        PreflightError: the data lack what the run needs, or a cost has no number.
    """
    config = document.validate(BacktestConfig)
    section = config.backtest
    policy = policy_named(section.schedule, section.seed)
    loaded = {strategy.instance: load_strategy(strategy.use, document.folder) for strategy in config.strategies}
    classes = {name: one.cls for name, one in loaded.items()}
    own_files = _user_files(loaded.values())
    if section.runtime == "fibers":
        refuse_real_locks(own_files)
    instruments = {symbol: instrument_of(config, symbol) for symbol in config.symbols}
    needs = data_needs(config, classes)
    costs = _costs(section.costs)
    runs_dir = (document.folder / section.runs).resolve()
    market, start_ns, end_ns = _market(config, needs, document.folder)
    changes_inside(document, config, start_ns, end_ns)
    supply = StoreSupply(config, needs, document.folder / section.data.path, end_ns).load(config.changes)
    if stored:
        ensure_writable(runs_dir)  # last of the checks, because it makes the folder: a refused run leaves none behind
    inputs = identity_inputs(
        configuration=config.identity(),
        start_ns=start_ns,
        end_ns=end_ns,
        seed=section.seed,
        policy=policy.describe(),
        data_fingerprint=market.fingerprint,
        user_files=_hashes(config, loaded),
        changes=[input_of(change, supply) for change in config.changes],
    )
    synthetic = section.data.seed if section.data.source == "synthetic" else None
    deterministic = not isinstance(policy, Free)
    manifest = {
        "deterministic": deterministic,
        "configuration": config.model_dump(mode="json", by_alias=True, exclude={"paper", "live"}),
        "inputs": inputs,
        "versions": versions(),
        "seed": section.seed,
        "policy": policy.describe(),
        "schedule": policy.describe(),
        "data_sources": dict(market.sources),
        "synthetic": synthetic is not None,
        "synthetic_seed": synthetic,
    }
    return PreparedRun(
        config=config,
        classes=classes,
        instruments=instruments,
        market=market,
        costs=costs,
        policy=policy,
        start_ns=start_ns,
        end_ns=end_ns,
        run_id=run_id(inputs) if deterministic else "free",
        manifest=manifest,
        runs_dir=runs_dir,
        synthetic=synthetic,
        supply=supply,
        user_files=own_files,
    )


def compose(
    prepared: PreparedRun,
    probe: Probe | None = None,
    *,
    logs: PortLogs | None = None,
    strict: StrictWatch | None = None,
    pacer: Gate | None = None,
    every_step: bool = False,
) -> BacktestController:
    """The engine of a prepared run: venue, clock and bot, ready to run.

    Args:
        probe: measures it.
        logs: told what the participants do at the ports.
        strict: told what the participants ask of the real clock.
        pacer: stands between the steps; the configured one by default.
        every_step: wake everybody at each step, whether there is something to do or not.
    """
    config = prepared.config
    section, market = config.backtest, prepared.market
    rules = FillRules(limit_fill=section.limit_fill, intrabar=section.intrabar, at_end=section.at_end)
    broker = SimulatedBroker(config.account, prepared.instruments, market.base, market.derived, prepared.costs, rules)
    latencies = {name: Latency(delay_ns=one.delay_ns, jitter_ns=one.jitter_ns) for name, one in section.latency.items()}
    # On all cores where several run at once.
    runtime = runtime_named(section.runtime, pin=prepared.deterministic)

    def wrapped(participant: Participant) -> Participant:
        late = late_participant(participant, clock, latencies, section.seed)
        return replace(late, wake=EveryStep(late.wake, lambda: clock.instant_ns)) if every_step else late

    clock = time_controller_for(prepared.policy)(
        config.symbols,
        include_position_monitor=True,
        policy=prepared.policy,
        pacer=pacer or pacer_for(section.time_mode, section.pace),
        runtime=runtime if strict is None else StrictRuntime(runtime, strict),
        stall_s=section.stall_timeout_ns / 1e9,
        wake_wrapper=wrapped if latencies or every_step else None,
    )
    return BacktestController(
        broker, clock, config, prepared.classes, start_ns=prepared.start_ns, end_ns=prepared.end_ns, probe=probe,
        logs=logs, supply=prepared.supply, changes=config.changes,
    )  # fmt: skip


def execute(
    prepared: PreparedRun, *, watch: Watch | None = None, report: bool = True, probe: Probe | None = None
) -> FinishedRun:
    """Run a prepared backtest and store it.

    Args:
        watch: entered while the run goes on, for a progress display.
        report: whether the folder gets a `report.html`.
        probe: measures the threads; what it found goes into `timing.json`.

    Raises:
        ConfigError: the bot found its configuration wrong while it ran; nothing is stored.
        DeterminismError: the same run is stored with another digest.
    """
    strict = StrictWatch() if prepared.config.backtest.strict else None
    controller = compose(prepared, probe, strict=strict)
    with (
        watch(controller) if watch is not None else nullcontext(),
        strict.watching() if strict is not None else nullcontext(),
    ):
        result = controller.run()
    day = AccountDay(prepared.config.risk.day.zone, prepared.config.risk.day.at)
    metrics = _figures(result, day)
    timing = _timing(prepared, controller)
    joined = controller.symbol_changes.joined
    # Final only now: who joined or left was known to nobody before.
    inputs = {**prepared.manifest["inputs"], "changes": list(controller.symbol_changes.inputs)}
    sources = {**prepared.manifest["data_sources"], **{symbol: each.source for symbol, each in joined.items()}}
    manifest = {**prepared.manifest, "inputs": inputs, "data_sources": sources}
    series = {**prepared.market.base, **{symbol: each.base for symbol, each in joined.items()}}
    stored: dict[str, Any] = {
        "runs_dir": prepared.runs_dir, "price_series": series, "report": report, "timing": timing,
        "control": controller.control_records, "metrics": metrics, "log": controller.log_text,
    }  # fmt: skip
    identity, replay, clock = run_id(inputs), None, controller.time_controller
    if isinstance(clock, FreeTimeController):
        replay = clock.order.replay_string()
        identity, folder = write_free_run(result, manifest={**manifest, "replay": replay}, **stored)
    else:
        folder = write_run(result, run_id=identity, manifest=manifest, renew_timing=probe is not None, **stored)
    return FinishedRun(
        run_id=identity, result=result, metrics=metrics, folder=folder, synthetic=prepared.synthetic, timing=timing,
        strict=None if strict is None else strict_report(strict, prepared.user_files), replay=replay,
    )  # fmt: skip


def _timing(prepared: PreparedRun, controller: BacktestController) -> dict[str, Any]:
    """Counts, which are always kept, and the readings of the clock where somebody asked for them."""
    counts = controller.time_controller.statistics()
    timing: dict[str, Any] = {
        "runtime": prepared.config.backtest.runtime,
        "machine": platform.machine(),
        "steps": counts.steps,
        "turns": counts.turns_by_participant,
    }
    if controller.probe is not None:
        timing["threads"] = controller.probe.statistics().as_dict()
    return timing


def _hashes(config: BacktestConfig, loaded: Mapping[str, LoadedStrategy]) -> dict[str, str]:
    """The hash of each strategy file of the user's own, by the word of the configuration that names it."""
    return {
        strategy.use: user_file_hash(path)
        for strategy in config.strategies
        if (path := loaded[strategy.instance].path) is not None
    }


def _user_files(loaded: Iterable[LoadedStrategy]) -> tuple[Path, ...]:
    """The files of the user's own that the strategies were made of, each once, in the order of their names."""
    return tuple(sorted({file for one in loaded if one.path is not None for file in user_files(one.path).values()}))


def _figures(result: BacktestResult, day: AccountDay) -> Metrics | None:
    """The figures; None when the money does not add up, which `write_run` stores and then reports."""
    try:
        return compute_metrics(result, day=day)
    except InternalError:
        return None


def is_stuck(result: BacktestResult) -> bool:
    """True when a participant's thread never came back, so that the process has to end without it."""
    return isinstance(result.error, StalledThreadError)


def _costs(section: CostsSection) -> Costs:
    missing = [
        f"backtest.costs has no {name}: write {one} or {other} (0 where there is none)"
        for name, one, other in (
            ("spread", "spread_percent", "spread_points"),
            ("commission", "commission_percent", "commission_per_unit"),
            ("slippage", "slippage_percent", "slippage_points"),
        )
        if getattr(section, one) is None and getattr(section, other) is None
    ]
    if missing:
        raise PreflightError("\n".join(missing), problems=missing)
    return Costs(
        commission=Commission(section.commission_percent or 0.0, section.commission_per_unit or 0.0),
        slippage=Slippage(section.slippage_percent or 0.0, section.slippage_points or 0.0),
        spread_percent=section.spread_percent or 0.0,
        spread_points=section.spread_points or 0.0,
        latency_ns=section.latency_ns,
    )


def _market(config: BacktestConfig, needs: DataNeeds, folder: Path) -> tuple[MarketData, int, int]:
    """The data of the run and its exact window."""
    section = config.backtest
    path = folder / section.data.path
    if section.data.source == "synthetic" and section.start_ns is not None and section.end_ns is not None:
        # With every symbol that may join on the way.
        symbols = [*config.symbols, *(symbol for symbol in config.instruments if symbol not in config.symbols)]
        market_store(
            SyntheticSpec(
                seed=section.data.seed, start_ns=section.start_ns, end_ns=section.end_ns,
                symbols=tuple(default_symbol(symbol) for symbol in symbols),
            ),
            path,
        )  # fmt: skip
    timeframes: dict[str, set[int]] = {symbol: set() for symbol in config.symbols}
    for strategy, wanted in zip(config.strategies, needs.timeframes, strict=True):
        for symbol in strategy.symbols or config.symbols:
            timeframes[symbol].update(wanted)
    with HistoricalDataStore(path, read_only=True) as store:
        start_ns, end_ns = _window(store, config)
        _check_coverage(_edges(store, config), start_ns, end_ns)
        market = load_market(store, config.symbols, timeframes, start_ns, end_ns, needs.warmup_ns, needs.lookbacks)
    return market, start_ns, end_ns


def _edges(store: HistoricalDataStore, config: BacktestConfig) -> tuple[int, int]:
    """The first open and the last close that the store has of the configuration's symbols."""
    known = [info for symbol in config.symbols for info in store.series_of(symbol)]
    return min(info.first_ns for info in known), max(info.last_ns + info.timeframe_ns for info in known)


def _check_coverage(edges: tuple[int, int], start_ns: int, end_ns: int) -> None:
    """Refuse a window that reaches far beyond the data: its figures would count days on which nothing could happen."""
    first_ns, last_ns = edges
    if first_ns >= end_ns or last_ns <= start_ns:
        return  # no data at all is reported with the symbols' own names
    for key, instant_ns, edge_ns, beyond_ns in (
        ("start", start_ns, first_ns, first_ns - start_ns),
        ("end", end_ns, last_ns, end_ns - last_ns),
    ):
        if beyond_ns > MOST_DAYS_WITHOUT_DATA * DAY_NS:
            raise PreflightError(
                f"backtest.{key} is {format_instant(instant_ns)}, {beyond_ns // DAY_NS} days beyond the stored bars; "
                f"write backtest.{key}: {format_instant(edge_ns)[:10]} or import more",
                key=f"backtest.{key}",
            )


def _window(store: HistoricalDataStore, config: BacktestConfig) -> tuple[int, int]:
    """The stated window; where an end is open, that of the symbols' stored bars."""
    section = config.backtest
    if section.start_ns is not None and section.end_ns is not None:
        return section.start_ns, section.end_ns
    first_ns, last_ns = _edges(store, config)
    start_ns = first_ns if section.start_ns is None else section.start_ns
    end_ns = last_ns if section.end_ns is None else section.end_ns
    if end_ns <= start_ns:
        raise PreflightError("the stored bars end before backtest.start; choose dates that the store covers")
    return start_ns - start_ns % MINUTE_NS, end_ns
