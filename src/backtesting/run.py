"""A backtest from a configuration file to a folder: check, load, identify, run, store.

Called by one thread; the bot's own threads live only inside `execute`.
"""

import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from src.backtesting.account_data import funding_of, joining_instruments
from src.backtesting.artifacts import write_free_run, write_run
from src.backtesting.engine.backtest_controller import BacktestController
from src.backtesting.engine.free_controller import FreeTimeController, time_controller_for
from src.backtesting.engine.latency import Latency, late_participant
from src.backtesting.engine.pacing import pacer_for
from src.backtesting.engine.ports import Gate
from src.backtesting.engine.wakes import EveryStep, polled_participant
from src.backtesting.fill_data import side_bars_of
from src.backtesting.generated import market_seed
from src.backtesting.identity import run_id
from src.backtesting.metrics import Metrics, compute_metrics
from src.backtesting.prepared import PreparedRun, label_of, prepare
from src.backtesting.price_data import prices_of
from src.backtesting.reconcile import Replay, replay_fills
from src.backtesting.result import BacktestResult
from src.backtesting.schedules.accesses import PortLogs
from src.backtesting.strict import StrictReport, StrictRuntime, StrictWatch, strict_report
from src.backtesting.tracing import Probe, trace_extract
from src.brokers.faults import FaultPlan
from src.brokers.simulated import FillRules, SimulatedBroker
from src.core.clock import Participant
from src.core.day import AccountDay
from src.core.errors import InternalError, StalledThreadError
from src.core.sync import runtime_named

__all__ = ["FinishedRun", "PlayedRun", "PreparedRun", "compose", "execute", "keep", "play", "prepare",
           "synthetic_so_far"]  # fmt: skip

Watch = Callable[[BacktestController], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run with its figures and its folder.

    Attributes:
        run_id: hash of all that decided the result, the symbols that joined or left it too.
        synthetic: the seed of the synthetic market, see `market_seed`; None where all that was traded was real.
        timing: real durations and counts of turns, as `timing.json` has them.
        strict: what strict mode found; None when it was not asked for.
        replay: of a run that is not deterministic the order of its turns, as a value of `backtest.schedule`.
        artifacts: SHA-256 of each file whose bytes are a function of the run, by name.
    """

    run_id: str
    result: BacktestResult
    metrics: Metrics | None
    folder: Path
    synthetic: int | str | None
    timing: dict[str, Any]
    strict: StrictReport | None = None
    replay: str | None = None
    artifacts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedRun:
    """A run that has come to its end and is not stored yet."""

    controller: BacktestController
    result: BacktestResult
    strict: StrictReport | None


def synthetic_so_far(prepared: PreparedRun, controller: BacktestController) -> int | str | None:
    """As `PreparedRun.synthetic`, with the symbols that have joined the run by now; any thread may ask."""
    joined = tuple(controller.symbol_changes.joined.values())
    sources = (*prepared.manifest["data_sources"].values(), *(each.source for each in joined))
    seed = market_seed(prepared.config, sources)
    return prepared.synthetic if seed is None else seed


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
    return keep(prepared, play(prepared, watch=watch, probe=probe), report=report)


def play(
    prepared: PreparedRun, *, watch: Watch | None = None, probe: Probe | None = None, pacer: Gate | None = None
) -> PlayedRun:
    """Run a prepared backtest to its end and store nothing; arguments as of `execute` and `compose`.

    Raises:
        ConfigError: the bot found its configuration wrong while it ran.
    """
    strict = StrictWatch() if prepared.config.backtest.strict else None
    controller = compose(prepared, probe, strict=strict, pacer=pacer)
    with (
        watch(controller) if watch is not None else nullcontext(),
        strict.watching() if strict is not None else nullcontext(),
    ):
        result = controller.run()
    found = None if strict is None else strict_report(strict, prepared.user_files)
    return PlayedRun(controller=controller, result=result, strict=found)


def keep(prepared: PreparedRun, played: PlayedRun, *, report: bool = True) -> FinishedRun:
    """Store a run that has come to its end, with its figures.

    Raises:
        LockstepError: see `write_run`.
    """
    controller, result = played.controller, played.result
    day = AccountDay(prepared.config.risk.day.zone, prepared.config.risk.day.at)
    legs = _replay(result)
    metrics = None if legs is None else compute_metrics(result, day=day, replay=legs)
    timing = _timing(prepared, controller)
    joined = controller.symbol_changes.joined
    # Final only now: who joined or left was known to nobody before.
    inputs = {**prepared.manifest["inputs"], "changes": list(controller.symbol_changes.inputs)}
    sources = {**prepared.manifest["data_sources"], **{symbol: each.source for symbol, each in joined.items()}}
    label = label_of(prepared.config, sources.values())
    manifest = {**prepared.manifest, "inputs": inputs, "data_sources": sources, **label}
    series = {**prepared.market.base, **{symbol: each.base for symbol, each in joined.items()}}
    artifacts: dict[str, str] = {}
    stored: dict[str, Any] = {
        "runs_dir": prepared.runs_dir, "price_series": series, "report": report,
        "timing": _with_trace(timing, controller),
        "hashes": artifacts, "replay": legs,
        "control": (*_skipped(prepared), *controller.control_records), "metrics": metrics, "log": controller.log_text,
    }  # fmt: skip
    identity, replay, clock = run_id(inputs), None, controller.time_controller
    if isinstance(clock, FreeTimeController):
        replay = clock.order.replay_string()
        identity, folder = write_free_run(result, manifest={**manifest, "replay": replay}, **stored)
    else:
        folder = write_run(
            result, run_id=identity, manifest=manifest, renew_timing=controller.probe is not None, **stored
        )
    return FinishedRun(
        run_id=identity, result=result, metrics=metrics, folder=folder, synthetic=label["synthetic_seed"],
        timing=timing, strict=played.strict, replay=replay, artifacts=artifacts,
    )  # fmt: skip


def _skipped(prepared: PreparedRun) -> tuple[dict[str, Any], ...]:
    """The control record of a run whose data were not judged."""
    if prepared.judged:
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


def _with_trace(timing: dict[str, Any], controller: BacktestController) -> dict[str, Any]:
    """What is stored of real time: besides the sums what a report shows of the trace, where one was asked for."""
    trace = None if controller.probe is None else trace_extract(controller.probe)
    return timing if trace is None else {**timing, "threads": {**timing["threads"], "trace": trace}}


def _replay(result: BacktestResult) -> Replay | None:
    """The fills by position; None when they do not add up, which `write_run` stores and then reports."""
    try:
        return replay_fills(result.fills)
    except InternalError:
        return None


def is_stuck(result: BacktestResult) -> bool:
    """True when a participant's thread never came back, so that the process has to end without it."""
    return isinstance(result.error, StalledThreadError)
