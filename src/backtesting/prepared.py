"""A configuration made ready to run: checked, its data loaded and judged, and the run identified.

Called by one thread. Everything that a run reads is read here; nothing is written but the proof that its folder can be.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.backtesting.artifacts import ensure_writable
from src.backtesting.config import BacktestConfig
from src.backtesting.engine.symbols import Supply, input_of
from src.backtesting.generated import BarOpener, bar_opener, market_seed
from src.backtesting.identity import identity_inputs, run_id, used_versions, user_file_hash
from src.backtesting.newcomers import StoreSupply, changes_inside
from src.backtesting.preflight import Examiner, PreflightReport
from src.backtesting.schedules import SchedulePolicy
from src.backtesting.schedules.free import Free
from src.backtesting.settled import settle
from src.brokers.simulated import Costs
from src.core.config_file import ConfigDocument
from src.core.errors import PreflightError
from src.core.instrument import Instrument
from src.core.strategy import Strategy
from src.data.market import MarketData
from src.strategies import LoadedStrategy

__all__ = ["PreparedRun", "label_of", "prepare"]

#: Opens the bars of a configuration, whose paths are relative to the folder.
Opening = Callable[[BacktestConfig, Path], BarOpener]


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
        preflight: what was found in the data; None when nobody looked here.
        judged: whether the data were judged, here or by whoever prepared many runs over the same ones.
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
    judged: bool = True

    @property
    def deterministic(self) -> bool:
        """False for a run under a free schedule, which has no identity and is never compared."""
        return not isinstance(self.policy, Free)


def prepare(
    document: ConfigDocument, *, stored: bool = True, preflight: bool = True, synced: bool = False,
    judged: bool = False, opening: Opening | None = None, given: Mapping[str, LoadedStrategy] | None = None,
) -> PreparedRun:  # fmt: skip
    """Validate a configuration, load its strategies and its data, judge them, and identify the run.

    Args:
        stored: whether the run is to be stored, so that its folder has to be one that can be written to.
        preflight: whether the bars are judged; what cannot be loaded is refused all the same.
        synced: whether the configured source has just been asked, so that asking it again is no advice.
        judged: the bars were judged by somebody else before, so that leaving it out here is nothing to be recorded.
        opening: gives what opens the bars, which are there then; by default the configured store does, in which a
            synthetic market that is not there yet is written first.
        given: strategies that need not be loaded, by the word of the configuration that names them.

    Raises:
        ConfigError: the configuration, a strategy file or the runs folder is wrong.
        DataError: the store is not what it must be.
        PreflightError: the data lack what the run needs, or a cost has no number; it carries the report, see
            `PreflightReport.refusal`.
    """
    settled = settle(document, given)
    config, policy, loaded, own_files = settled.config, settled.policy, settled.loaded, settled.own_files
    needs, section = settled.needs, config.backtest
    hashes = _hashes(config, loaded)  # now, because asking a source and reading may take long, and files are edited
    runs_dir = (document.folder / section.runs).resolve()
    opener = None if opening is None else opening(config, document.folder)
    examiner = Examiner(config, document, needs, judging=preflight, synced=synced, opener=opener)
    examined = examiner.examine()
    market, start_ns, end_ns = examined.market, examined.start_ns, examined.end_ns
    changes_inside(document, config, start_ns, end_ns)
    opener, judge = opener or bar_opener(config, document.folder), examiner.judge(end_ns)
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
        user_files=hashes,
        changes=[input_of(change, supply) for change in config.changes],
        used_versions=_versions(config, own_files),
    )
    manifest = _manifest(config, policy, market, inputs, supply.sources)
    return PreparedRun(
        config=config,
        classes=settled.classes,
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
        judged=preflight or judged,
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
    unsaid: dict[str, Any] = {"paper": True, "live": True, "notify": True, "backtest": {"data": {"sync_options"}}}
    return {
        "deterministic": not isinstance(policy, Free),
        "configuration": config.model_dump(mode="json", by_alias=True, exclude=unsaid),
        "inputs": inputs,
        "versions": dict(inputs["versions"]),
        "seed": section.seed,
        "policy": policy.describe(),
        "schedule": policy.describe(),
        "data_sources": dict(market.sources),
        **label_of(config, (*market.sources.values(), *joining.values())),
    }


def label_of(config: BacktestConfig, sources: Iterable[str]) -> dict[str, Any]:
    """The manifest's word on generated bars."""
    seed = market_seed(config, sources)
    return {"synthetic": seed is not None, "synthetic_seed": seed}


def _hashes(config: BacktestConfig, loaded: Mapping[str, LoadedStrategy]) -> dict[str, str]:
    """The hash of each strategy of the user's own, by the word of the configuration that names it."""
    found = {}
    for strategy in config.strategies:
        one = loaded[strategy.instance]
        if one.path is not None:
            found[strategy.use] = user_file_hash(one.path)
        elif one.made_of is not None:
            found[strategy.use] = one.made_of
    return found
