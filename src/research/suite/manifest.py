"""The manifest of a suite: read, checked against its base configuration, and made into runs.

Called by one thread. Nothing but files is read: the manifest, the base, and the files of its strategies.
"""

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.backtesting.config import BacktestConfig
from src.backtesting.schedules import policy_named
from src.backtesting.schedules.free import Free
from src.core.config_file import ConfigDocument, read_config
from src.core.errors import ConfigError
from src.core.program import command
from src.core.record import record
from src.core.words import counted, meant
from src.research.suite.dimensions import OwnStrategies, product_of, refused_key, short_name, told_value
from src.research.suite.expand import Product, Specs
from src.research.suite.ports import RunSpec
from src.research.suite.ranking import searchable
from src.research.suite.section import SuiteSection
from src.research.suite.values import Number

__all__ = ["SEARCHED", "Manifest", "read_manifest"]

#: The method whose runs are not known before some of them were made.
SEARCHED = "optuna"


@record
class Manifest:
    """A suite as it was asked for.

    Attributes:
        path: of the file.
        section: what is in it.
        source: the same with the lines of its keys.
        base: the configuration that every run starts from.
        specs: its runs in order; each is made when it is asked for, and the same one each time. Of a search in rounds
            only those by hand, and what `chosen` has added.
        notices: sentences about what is not as somebody may expect.
        strategies: of the runs, each loaded once.
        product: what combinations set; None where all runs are by hand.
    """

    path: Path
    section: SuiteSection
    source: ConfigDocument
    base: ConfigDocument
    specs: Sequence[RunSpec]
    notices: tuple[str, ...]
    strategies: OwnStrategies
    product: Product | None

    @property
    def name(self) -> str:
        """What the suite is called."""
        return self.section.name

    @property
    def folder(self) -> Path:
        """What the paths of the manifest are relative to."""
        return self.source.folder

    @property
    def runs_dir(self) -> Path:
        """The runs folder of the base, which all runs share."""
        runs = (self.base.values.get("backtest") or {}).get("runs") or "runs"
        return (self.base.folder / runs).resolve()

    @property
    def results(self) -> Path:
        """The results database."""
        if self.section.results is None:
            return self.runs_dir / "results.duckdb"
        return Path(os.path.abspath(self.folder / self.section.results))

    def document(self, spec: RunSpec) -> ConfigDocument:
        """The whole configuration of a run; its messages name the lines of the base and of the manifest.

        Raises:
            ConfigError: a setting leads through a plain value, or to a strategy that the run has not.
        """
        return self.base.changed(spec.settings, lambda key: self._where(spec, key))

    def alone(self, spec: RunSpec) -> tuple[str, ...]:
        """The words behind the program's name that make this run by itself, as the same run."""
        # As it was typed, so that the words are good where the suite was started.
        base = Path(os.path.normpath(self.path.parent / self.section.base)).as_posix()
        words = ["--mode", "backtest", "--config", base]
        for key, value in spec.settings:
            words += ["--set", f"{key}={json.dumps(value, default=str)}"]
        return tuple(words)

    def title(self, spec: RunSpec) -> str:
        """The run's name and what sets it apart: `run-0007 (fast=300)`."""
        told = ", ".join(f"{key}={value}" for key, value in spec.labels)
        return f"{spec.name} ({told})" if told else spec.name

    @property
    def by_hand(self) -> tuple[RunSpec, ...]:
        """The runs by hand."""
        return tuple(self.specs[: len(self.section.runs)])

    def chosen(self, found: Sequence[tuple[Number, ...]]) -> "Manifest":
        """The same with the runs of these combinations after those by hand."""
        return dataclasses.replace(self, specs=Specs(self.by_hand, self.product, found))

    def _where(self, spec: RunSpec, key: str) -> str:
        if spec.position < len(self.section.runs):
            return self.source.where(("runs", spec.position, "set", key))
        return (self.product.where(key) if self.product is not None else "") or self.source.name


def read_manifest(path: Path, overrides: list[str]) -> Manifest:
    """Read a manifest and everything that it names.

    Args:
        overrides: `key.sub=value`, into the manifest.

    Raises:
        ConfigError: no such file, or something in it or in its base is wrong; a sentence with file and line for each.
    """
    source = read_config(path, overrides)
    if "base" not in source.values and "backtest" in source.values:
        raise ConfigError(
            f"{source.name} is the configuration of one run, expected the manifest of a suite; write one with "
            f"base: {source.name} and product or runs beside it, as configs/suite.yaml does"
        )
    if "base" not in source.values and ("candidates" in source.values or "reoptimise" in source.values):
        raise ConfigError(
            f"{source.name} is the configuration of a validation, expected the manifest of a suite; "
            f"`{command('walkforward', path.as_posix())}` runs it"
        )
    section = source.validate(SuiteSection)
    base, config = _base_of(source, section)
    strategies = OwnStrategies(base.folder)
    problems = _problems_by_hand(source, section)
    product: Product | None = None
    found: Sequence[tuple[Number, ...]] = ()
    note = ""
    if section.search.method == SEARCHED:
        problems += _problems_of_search(source, section)
    if section.product is not None:
        listed = section.search.method == "grid"
        try:
            product = product_of(source, section.product, base, config, strategies, listed=listed)
            if section.search.method == SEARCHED:
                note = _note_of_search(product, section)
            else:
                found, note = product.found(section.search, section.search.seed_or_default)
        except ConfigError as error:
            problems += error.details.get("problems") or [f"{source.where(('product',))}: {error.message}"]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"{source.name} has {count}:\n  " + "\n  ".join(problems), problems=problems)
    specs = Specs(_by_hand(source), product, found)
    notices = [f"{source.where(('search', 'samples'))}: {note}"] if note else []
    notices += _other_markets(source, section, config)
    return Manifest(
        path=path, section=section, source=source, base=base, specs=specs, notices=tuple(notices),
        strategies=strategies, product=product,
    )  # fmt: skip


def _base_of(source: ConfigDocument, section: SuiteSection) -> tuple[ConfigDocument, BacktestConfig]:
    where = f"{source.where(('base',))}: base"
    path = source.folder / section.base
    if not path.is_file():
        raise ConfigError(f"{where}: expected a configuration at {path}, found no file; the path is relative to "
                          f"{source.name}")  # fmt: skip
    base = read_config(path)
    config = base.validate(BacktestConfig)
    if isinstance(policy_named(config.backtest.schedule, 0), Free):
        raise ConfigError(
            f"{where}: {base.where(('backtest', 'schedule'))} has schedule: free, under which a run has no identity "
            "and cannot be compared; write fifo or seeded"
        )
    return base, config


def _other_markets(source: ConfigDocument, section: SuiteSection, config: BacktestConfig) -> list[str]:
    """What somebody should know who compares windows of a generated market."""
    windows = (section.product.windows if section.product is not None else None) or ()
    data = config.backtest.data
    if data.source != "synthetic" or data.begins_ns is not None or len({each.start_ns for each in windows}) < 2:
        return []
    return [
        f"{source.where(('product', 'windows'))}: product.windows: a generated market begins with its window, so each "
        "of these is a market of its own; write backtest.data.begins for windows of one"
    ]


def _problems_of_search(source: ConfigDocument, section: SuiteSection) -> list[str]:
    figure, known = section.search.figure, searchable()
    if figure in known:
        return []
    return [
        f"{source.where(('search', 'of'))}: search.of: expected a figure of a run, found {figure!r}"
        f"{meant(figure, known)}; there are: {', '.join(known)}"
    ]


def _note_of_search(product: Product, section: SuiteSection) -> str:
    counts = [each.choices.count for each in product.dimensions]
    known = [each for each in counts if each is not None]
    total, samples = math.prod(known), section.search.samples or 0
    if len(known) < len(counts) or total > samples:
        return ""
    return (
        f"{counted(samples, 'sample')} are asked for and there are {counted(total, 'combination')}, of which some will "
        "be listed several times; search: {method: grid} makes each once"
    )


def _problems_by_hand(source: ConfigDocument, section: SuiteSection) -> list[str]:
    return [
        f"{source.where(('runs', i, 'set', key))}: runs.{i}.set.{key}: {reason}"
        for i, one in enumerate(section.runs)
        for key in one.set
        if (reason := refused_key(key) or _written_over(key, list(one.set)))
    ]


def _written_over(key: str, keys: list[str]) -> str:
    """Why a run would not have what one of its keys says; empty where it would."""
    other = next((each for each in keys[keys.index(key) + 1 :] if key.startswith(f"{each}.")), None)
    if other is None:
        return ""
    return (
        f"the run would not have this value, because {other} stands later and writes over it; let {other} stand first"
    )


def _by_hand(source: ConfigDocument) -> list[RunSpec]:
    specs: list[RunSpec] = []
    for position, one in enumerate(source.values.get("runs") or ()):
        settings: dict[str, Any] = one.get("set") or {}
        short = [short_name(key) for key in settings]
        labels = [
            (name if short.count(name) == 1 else key, told_value(value))
            for name, (key, value) in zip(short, settings.items(), strict=True)
        ]
        specs.append(
            RunSpec(position=position, name=one["name"], settings=tuple(settings.items()), labels=tuple(labels))
        )
    return specs
