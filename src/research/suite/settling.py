"""The runs of a suite as configurations that are right: settled, identified, and what is wrong with them put together.

Called by one thread, before any run begins. No data are looked at.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.backtesting.config import BacktestConfig
from src.backtesting.generated import market_spec
from src.backtesting.schedules.free import Free
from src.backtesting.settled import Settled, settled_with
from src.backtesting.strict import refuse_real_locks
from src.brokers.simulated.costs_section import costs_of
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError, LockstepError, PreflightError
from src.core.strategy_runner import strategy_params
from src.core.words import counted, meant
from src.data.synthetic import SyntheticSpec, spec_hash
from src.research.suite.classes import Place, hash_of
from src.research.suite.manifest import Manifest
from src.research.suite.ports import RunSpec

__all__ = ["Problems", "Settler"]

#: Of more problems than this the rest is counted.
_MOST_PROBLEMS = 20


class Settler:
    """Settles the runs of a manifest, with everything that they have in common read once."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._strategies = manifest.strategies
        self._unlocked: set[tuple[Path, ...]] = set()
        self._markets: dict[SyntheticSpec, str] = {}

    def settle(self, spec: RunSpec) -> tuple[ConfigDocument, Settled]:
        """The configuration of a run, settled; see `src.backtesting.settled`."""
        document = self._manifest.document(spec)
        return document, self.settled(document)

    def settled(self, document: ConfigDocument) -> Settled:
        """The same of a configuration that is there already.

        Raises:
            ConfigError: the configuration is wrong, or has no identity.
            PreflightError: a cost has no number.
        """
        config = document.validate(BacktestConfig)
        loaded = {one.instance: self._strategies.load(one.use) for one in config.strategies}
        files = self._strategies.files(one.use for one in config.strategies)
        if config.backtest.runtime == "fibers" and files not in self._unlocked:
            refuse_real_locks(files)
            self._unlocked.add(files)
        settled = settled_with(document, config, loaded, files)
        if isinstance(settled.policy, Free):
            place = document.where(("backtest", "schedule"))
            raise ConfigError(f"{place}: backtest.schedule: a run under schedule: free has no identity and cannot be "
                              "compared; write fifo or seeded")  # fmt: skip
        _check_params(document, settled)
        _check_costs(document, config)
        return settled

    def place(self, config: BacktestConfig) -> Place:
        """Where the bars of a run lie."""
        data = config.backtest.data
        path = None if data.in_memory else Path(os.path.abspath(self._manifest.base.folder / data.path))
        market = market_spec(config) if data.source == "synthetic" else None
        if market is None:
            return Place(path=path, market=None, market_hash="", ticks=False)
        if market not in self._markets:
            self._markets[market] = spec_hash(market)
        return Place(path=path, market=market, market_hash=self._markets[market], ticks=data.ticks)

    def user_files(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The hash of each strategy file of the user's own that a configuration names, as the run's id has it."""
        loaded = {one["use"]: self._strategies.load(one["use"]) for one in values["strategies"]}
        return {use: self._strategies.hash_of(one.path) for use, one in loaded.items() if one.path is not None}

    def key(self, settled: Settled, place: Place) -> str:
        """Hash of all that decides the result of a run, but for the rows of its store."""
        config = settled.config
        section = config.backtest
        stored = "" if place.market is not None else Path(os.path.normpath(section.data.path)).as_posix()
        hashes = {
            one.use: self._strategies.hash_of(path)
            for one in config.strategies
            if (path := settled.loaded[one.instance].path) is not None
        }
        what = {
            "configuration": config.identity(),
            "window": [section.start_ns, section.end_ns],
            "policy": settled.policy.describe(),
            "user_files": hashes,
            "changes": [[change.instant_ns, change.action, change.symbol] for change in config.changes],
            "data": [stored, place.market_hash],
        }
        return hash_of(what)


def _check_params(document: ConfigDocument, settled: Settled) -> None:
    """Refuse parameters that a class has not, or not of that value, before anything is run."""
    for i, one in enumerate(settled.config.strategies):
        cls = settled.loaded[one.instance].cls
        declared = strategy_params(cls) if one.params else {}
        for name, value in one.params.items():
            where = f"{document.where(('strategies', i, 'params', name))}: strategies.{i}.params"
            if name not in declared:
                known = ", ".join(declared) or "none"
                raise ConfigError(
                    f"{where}: {cls.__name__} has no parameter {name!r}; it has: {known}{meant(name, declared)}"
                )
            declared[name].check(value, where)


def _check_costs(document: ConfigDocument, config: BacktestConfig) -> None:
    """Refuse costs without a number, each with the place where it is to be written."""
    try:
        costs_of(config.backtest.costs)
    except PreflightError as error:
        where = document.where(("backtest", "costs"))
        problems = [f"{where}: {each}" for each in error.details.get("problems") or [error.message]]
        raise PreflightError("\n".join(problems), **(error.details | {"problems": problems})) from None


class Problems:
    """What is wrong with runs: each sentence once, with the first run that it is true of."""

    def __init__(self) -> None:
        self.found: dict[str, list[Any]] = {}
        self._kinds: set[type[LockstepError]] = set()

    def add(self, title: str, error: LockstepError) -> None:
        self._kinds.add(type(error))
        for sentence in error.details.get("problems") or [error.message]:
            known = self.found.setdefault(sentence, [title, 0])
            known[1] += 1

    def refuse(self, name: str) -> None:
        """Raise if there is anything."""
        if not self.found:
            return
        problems = []
        for sentence, (title, count) in self.found.items():
            more = "" if count == 1 else f" and {counted(count - 1, 'more run')}"
            problems.append(f"{title}{more}: {sentence}")
        kind = PreflightError if self._kinds == {PreflightError} else ConfigError
        told = problems[:_MOST_PROBLEMS]
        if len(problems) > len(told):
            told.append(f"and {counted(len(problems) - len(told), 'more problem')}")
        head = f"{name} has runs that cannot be made, for {counted(len(problems), 'reason')}"
        raise kind(f"{head}:\n  " + "\n  ".join(told), problems=problems)
