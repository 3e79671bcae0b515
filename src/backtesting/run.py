"""A backtest from a configuration file to a folder: check, load, identify, run, store.

Called by one thread; the bot's own threads live only inside `execute`.
"""

import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.backtesting.account_data import funding_of, joining_instruments
from src.backtesting.artifacts import ensure_writable, write_free_run, write_run
from src.backtesting.config import BacktestConfig
from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.free_controller import FreeTimeController, time_controller_for
from src.backtesting.engine.latency import Latency, late_participant
from src.backtesting.engine.pacing import pacer_for
from src.backtesting.engine.ports import Gate
from src.backtesting.engine.symbols import Supply, input_of
from src.backtesting.engine.wakes import EveryStep, polled_participant
from src.backtesting.fill_data import side_bars_of
from src.backtesting.generated import bar_opener, market_seed
from src.backtesting.identity import identity_inputs, run_id, used_versions, user_file_hash
from src.backtesting.metrics import Metrics, compute_metrics
from src.backtesting.newcomers import StoreSupply, changes_inside
from src.backtesting.preflight import Examiner, PreflightReport
from src.backtesting.price_data import prices_of
from src.backtesting.result import BacktestResult
from src.backtesting.schedules import SchedulePolicy
from src.backtesting.schedules.accesses import PortLogs
from src.backtesting.schedules.free import Free
from src.backtesting.settled import settle
from src.backtesting.strict import StrictReport, StrictRuntime, StrictWatch, strict_report
from src.backtesting.tracing import Probe
from src.brokers.faults import FaultPlan
from src.brokers.simulated import Costs, FillRules, SimulatedBroker
from src.core.clock import Participant
from src.core.config_file import ConfigDocument
from src.core.day import AccountDay
from src.core.errors import InternalError, PreflightError, StalledThreadError
from src.core.instrument import Instrument
from src.core.strategy import Strategy
from src.core.sync import runtime_named
from src.data.market import MarketData
from src.strategies import LoadedStrategy

__all__ = ["FinishedRun", "PreparedRun", "compose", "execute", "prepare", "synthetic_so_far"]

Watch = Callable[[BacktestController], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """A run that passed all checks: everything it reads is in memory, nothing has been written.

    Attributes:
        run_id: hash of all that decides the result; `free` where that is not decided by what goes in. Symbols that are
            added or removed from outside while it goes on give it another one.
        supply: where the bars of symbols come from that join on the way.
        synthetic: the seed of the synthetic market, see `market_seed`; None for real data. Symbols that are to join
            count, those that join by somebody's hand are not known yet.
        user_files: the strategies' files and the modules beside them that they import.
        preflight: what was found in the data; None when that was skipped.
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
    synthetic: int | str | None
    supply: Supply
    user_files: tuple[Path, ...] = ()
    preflight: PreflightReport | None = None

    @property
    def deterministic(self) -> bool:
        """False for a run under a free schedule, which has no identity and is never compared."""
        return not isinstance(self.policy, Free)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run with its figures and its folder.

    Attributes:
        run_id: hash of all that decided the result, the symbols that joined or left it too.
        synthetic: the seed of the synthetic market, see `market_seed`; None where all that was traded was real.
        timing: real durations and counts of turns, as `timing.json` has them.
        strict: what strict mode found; None when it was not asked for.
        replay: of a run that is not deterministic the order of its turns, as a value of `backtest.schedule`.
    """

    run_id: str
    result: BacktestResult
    metrics: Metrics | None
    folder: Path
    synthetic: int | str | None
    timing: dict[str, Any]
    strict: StrictReport | None = None
    replay: str | None = None


def prepare(
    document: ConfigDocument, *, stored: bool = True, preflight: bool = True, synced: bool = False
) -> PreparedRun:  # fmt: skip
    """Validate a configuration, load its strategies and its data, judge them, and identify the run.

    Args:
        stored: whether the run is to be stored, so that its folder has to be one that can be written to.
        preflight: whether the bars are judged; what cannot be loaded is refused all the same.
        synced: whether the configured source has just been asked, so that asking it again is no advice.

    Raises:
        ConfigError: the configuration, a strategy file or the runs folder is wrong.
        DataError: the store is not what it must be.
        PreflightError: the data lack what the run needs, or a cost has no number; it carries the report, see
            `PreflightReport.refusal`.
    """
    settled = settle(document)
    config, policy, loaded, own_files = settled.config, settled.policy, settled.loaded, settled.own_files
    classes, needs, section = settled.classes, settled.needs, config.backtest
    runs_dir = (document.folder / section.runs).resolve()
    examiner = Examiner(config, document, needs, judging=preflight, synced=synced)
    examined = examiner.examine()
    market, start_ns, end_ns = examined.market, examined.start_ns, examined.end_ns
    changes_inside(document, config, start_ns, end_ns)
    opener, judge = bar_opener(config, document.folder), examiner.judge(end_ns)
    try:
        supply = StoreSupply(config, needs, opener, end_ns, judge).load(config.changes)
    except PreflightError as error:
        raise examiner.refusal(examined.report, error) from None
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
        used_versions=_versions(config, own_files),
    )
    manifest = _manifest(config, policy, market, inputs, supply.sources)
    return PreparedRun(
        config=config,
        classes=classes,
        instruments=settled.instruments,
        market=market,
        costs=examined.costs,
        policy=policy,
        start_ns=start_ns,
        end_ns=end_ns,
        run_id=run_id(inputs) if manifest["deterministic"] else "free",
        manifest=manifest,
        runs_dir=runs_dir,
        synthetic=manifest["synthetic_seed"],
        supply=supply,
        user_files=own_files,
        preflight=examined.report if preflight else None,
    )


def _versions(config: BacktestConfig, own_files: Iterable[Path]) -> dict[str, str]:
    sessions = [each.session for each in config.strategies if each.session is not None]
    calendars = [each.calendar for each in config.instruments.values()]
    calendars += [each.calendar for each in sessions if each.calendar is not None]
    return used_versions(calendars, [config.risk.day.zone, *(each.zone for each in sessions)], own_files)


def _manifest(
    config: BacktestConfig, policy: SchedulePolicy, market: MarketData, inputs: dict[str, Any],
    joining: Mapping[str, str],
) -> dict[str, Any]:  # fmt: skip
    """What is known of a run before it begins; the settings of a source may hold a key and are left out."""
    section = config.backtest
    unsaid: dict[str, Any] = {"paper": True, "live": True, "backtest": {"data": {"sync_options"}}}
    return {
        "deterministic": not isinstance(policy, Free),
        "configuration": config.model_dump(mode="json", by_alias=True, exclude=unsaid),
        "inputs": inputs,
        "versions": dict(inputs["versions"]),
        "seed": section.seed,
        "policy": policy.describe(),
        "schedule": policy.describe(),
        "data_sources": dict(market.sources),
        **_label(config, (*market.sources.values(), *joining.values())),
    }


def synthetic_so_far(prepared: PreparedRun, controller: BacktestController) -> int | str | None:
    """As `PreparedRun.synthetic`, with the symbols that have joined the run by now; any thread may ask."""
    joined = tuple(controller.symbol_changes.joined.values())
    sources = (*prepared.manifest["data_sources"].values(), *(each.source for each in joined))
    seed = market_seed(prepared.config, sources)
    return prepared.synthetic if seed is None else seed


def _label(config: BacktestConfig, sources: Iterable[str]) -> dict[str, Any]:
    """The manifest's word on generated bars."""
    seed = market_seed(config, sources)
    return {"synthetic": seed is not None, "synthetic_seed": seed}


def compose(
    prepared: PreparedRun,
    probe: Probe | None = None,
    *,
    logs: PortLogs | None = None,
    strict: StrictWatch | None = None,
    pacer: Gate | None = None,
    every_step: bool = False,
    venue: type[SimulatedBroker] = SimulatedBroker,
) -> BacktestController:
    """The engine of a prepared run: venue, clock and bot, ready to run.

    Args:
        probe: measures it.
        logs: told what the participants do at the ports.
        strict: told what the participants ask of the real clock.
        pacer: stands between the steps; the configured one by default.
        every_step: wake everybody at each step, whether there is something to do or not.
        venue: one that the bot sees something else of, made as a `SimulatedBroker` is.
    """
    config = prepared.config
    section, market = config.backtest, prepared.market
    rules = FillRules(
        limit_fill=section.limit_fill, intrabar=section.intrabar, at_end=section.at_end,
        no_entry_across_ns=section.data.no_entry_across_ns, touch_probability=section.chance_of_touch,
        seed=section.seed, finer=market.finer,
    )  # fmt: skip
    faults = FaultPlan([each.fault for each in section.faults], section.seed) if section.faults else None
    costs = prepared.costs if faults is None else replace(prepared.costs, blow_outs=faults.blow_outs)
    costs = replace(costs, sides=side_bars_of(market)) if market.sides else costs
    broker = venue(
        config.account, prepared.instruments, market.base, market.derived, costs, rules,
        funding=funding_of(market), joining=joining_instruments(config), tapes=prices_of(market),
    )  # fmt: skip
    latencies = {name: Latency(delay_ns=one.delay_ns, jitter_ns=one.jitter_ns) for name, one in section.latency.items()}
    # On all cores where several run at once.
    runtime = runtime_named(section.runtime, pin=prepared.deterministic)

    polls = section.granularity == "second"

    def wrapped(participant: Participant) -> Participant:
        polled = polled_participant(participant, clock) if polls else participant
        late = late_participant(polled, clock, latencies, section.seed)
        # Between its polls nobody is asked: an idle turn there would not be idle.
        return replace(late, wake=EveryStep(late.wake, lambda: clock.instant_ns)) if every_step and not polls else late

    clock = time_controller_for(prepared.policy)(
        config.symbols,
        include_position_monitor=True,
        policy=prepared.policy,
        pacer=pacer or pacer_for(section.time_mode, section.pace),
        runtime=runtime if strict is None else StrictRuntime(runtime, strict),
        stall_s=section.stall_timeout_ns / 1e9,
        wake_wrapper=wrapped if latencies or every_step or polls else None,
    )
    return BacktestController(
        broker, clock, config, prepared.classes, start_ns=prepared.start_ns, end_ns=prepared.end_ns, probe=probe,
        logs=logs, supply=prepared.supply, changes=config.changes,
        faults=faults,
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
    label = _label(prepared.config, sources.values())
    manifest = {**prepared.manifest, "inputs": inputs, "data_sources": sources, **label}
    series = {**prepared.market.base, **{symbol: each.base for symbol, each in joined.items()}}
    stored: dict[str, Any] = {
        "runs_dir": prepared.runs_dir, "price_series": series, "report": report, "timing": timing,
        "control": (*_skipped(prepared), *controller.control_records), "metrics": metrics, "log": controller.log_text,
    }  # fmt: skip
    identity, replay, clock = run_id(inputs), None, controller.time_controller
    if isinstance(clock, FreeTimeController):
        replay = clock.order.replay_string()
        identity, folder = write_free_run(result, manifest={**manifest, "replay": replay}, **stored)
    else:
        folder = write_run(result, run_id=identity, manifest=manifest, renew_timing=probe is not None, **stored)
    return FinishedRun(
        run_id=identity, result=result, metrics=metrics, folder=folder, synthetic=label["synthetic_seed"],
        timing=timing, strict=None if strict is None else strict_report(strict, prepared.user_files), replay=replay,
    )  # fmt: skip


def _skipped(prepared: PreparedRun) -> tuple[dict[str, Any], ...]:
    """The control record of a run whose data were not judged."""
    if prepared.preflight is not None:
        return ()
    return ({"instant_ns": prepared.start_ns, "action": "skip_preflight"},)


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


def _figures(result: BacktestResult, day: AccountDay) -> Metrics | None:
    """The figures; None when the money does not add up, which `write_run` stores and then reports."""
    try:
        return compute_metrics(result, day=day)
    except InternalError:
        return None


def is_stuck(result: BacktestResult) -> bool:
    """True when a participant's thread never came back, so that the process has to end without it."""
    return isinstance(result.error, StalledThreadError)
