"""What a re-optimising walk-forward will run, before it does: every choice of a manifest on every train and every test.

Called by one thread. Files are read and nothing is written, so that this is also what a dry run tells. All runs are
settled here and put to the data that they read, those of the tests as well, although of these only the chosen ones are
made later, so that whatever is wrong is told before anything runs.
"""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from src.backtesting.config import BacktestConfig
from src.backtesting.preflight import instant_text
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError
from src.core.record import record
from src.core.timeframe import format_duration, format_instant
from src.core.words import counted
from src.research.suite.expand import PARAMS
from src.research.suite.manifest import SEARCHED, Manifest, read_manifest
from src.research.suite.plan import Plan, plan_of
from src.research.suite.ports import RunSpec
from src.research.validation.choosing import direction_of
from src.research.validation.ports import Period
from src.research.validation.section import ReoptimiseSection, ValidationSection, WalkforwardSection
from src.research.validation.windows import Window, time_windows

__all__ = ["Reoptimisation", "SpannedSpecs", "prepare_reoptimise"]

_WINDOW = "window"
#: What no choice may set, and why.
_GIVEN = {
    "backtest.start": "the windows are those of walkforward; leave it out of the manifest",
    "backtest.end": "the windows are those of walkforward; leave it out of the manifest",
    "backtest.at_end": "each window ends flat, so that what it costs to close is paid; leave it out of the manifest",
    "backtest.costs": "costs are given and not chosen, the cheapest would win; write them in the base",
    "backtest.data": "data are given and not chosen; write them in the base",
    "account": "one account goes through all windows; write it in the base",
}
_BY_KIND = {"windows": "backtest.start", "costs": "backtest.costs"}


class SpannedSpecs(Sequence[RunSpec]):
    """All runs of a manifest in each of several spans, one span after the other, and some further runs.

    Args:
        specs: of the manifest.
        spans: first and last instant of each, as texts of a configuration.
        further: runs with their positions, after all others.
    """

    def __init__(
        self, specs: Sequence[RunSpec], spans: Sequence[tuple[str, str]], further: Sequence[RunSpec] = ()
    ) -> None:  # fmt: skip
        self._specs, self._spans, self._further = specs, tuple(spans), tuple(further)

    def __len__(self) -> int:
        return len(self._specs) * len(self._spans) + len(self._further)

    @overload
    def __getitem__(self, index: int) -> RunSpec: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RunSpec, ...]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple([self[i] for i in range(*index.indices(len(self)))])
        position = range(len(self))[index]
        count = len(self._specs)
        if position >= count * len(self._spans):
            return self._further[position - count * len(self._spans)]
        span, place = divmod(position, count)
        start, end = self._spans[span]
        spec = self._specs[place]
        settings = (("backtest.start", start), ("backtest.end", end), ("backtest.at_end", "close"))
        return dataclasses.replace(
            spec, position=position, settings=(*spec.settings, *settings),
            labels=(*spec.labels, (_WINDOW, f"{start}..{end}")),
        )  # fmt: skip

    def __iter__(self) -> Iterator[RunSpec]:
        return (self[i] for i in range(len(self)))

    def with_further(self, further: Sequence[RunSpec]) -> "SpannedSpecs":
        """The same with other further runs."""
        return SpannedSpecs(self._specs, self._spans, further)


@record
class Reoptimisation:
    """A re-optimising walk-forward that is right as far as it can be known before it runs.

    Attributes:
        section: what was asked for.
        choices: the runs of the manifest, as it lists them, without any window.
        manifest: with each choice on each train and then on each test.
        plan: of those; the tests start with the configured balance in it, later ones are made with the carried one.
        windows: in order; the last one may be partial.
        highest: whether the highest value of the objective is the best one.
        balance: what the first test window begins with, and each train.
    """

    section: ReoptimiseSection
    choices: Sequence[RunSpec]
    manifest: Manifest
    plan: Plan
    windows: tuple[Window, ...]
    period: Period
    highest: bool
    balance: float
    currency: str

    @property
    def runs_dir(self) -> Path:
        """The folder of all runs."""
        return self.manifest.runs_dir

    def train(self, window: int) -> range:
        """The positions of the trains of a window, from 0."""
        count = len(self.choices)
        return range(window * count, (window + 1) * count)

    def test(self, window: int, place: int) -> int:
        """The position of the test of one choice."""
        return (len(self.windows) + window) * len(self.choices) + place

    def train_keys(self) -> frozenset[str]:
        """The keys of all different trains."""
        return frozenset(self.plan.keys[: len(self.windows) * len(self.choices)])

    def carried(self, window: int, place: int, equity: float) -> tuple[Manifest, Plan]:
        """The manifest and the plan with one more run at the end: the test of a choice that begins with so much.

        Raises:
            ConfigError: the run cannot be made with so much, or so little.
        """
        specs, known = self.manifest.specs, len(self.manifest.specs)
        spec = specs[self.test(window, place)]
        more = dataclasses.replace(
            spec, position=known, settings=(*spec.settings, ("account.balance", equity))
        )  # fmt: skip
        assert isinstance(specs, SpannedSpecs)  # as `prepare_reoptimise` made it
        manifest = dataclasses.replace(self.manifest, specs=specs.with_further([more]))
        return manifest, plan_of(manifest, known=self.plan.keys, after=self.plan)


def prepare_reoptimise(section: ValidationSection, folder: Path) -> Reoptimisation:
    """Read the manifest, cut the windows, and plan every run.

    Args:
        folder: of the configuration, which its paths are relative to.

    Raises:
        ConfigError: the manifest cannot be used, the windows do not fit into the period, there is no such figure, or a
            run cannot be made as it is described.
        PreflightError: costs of a run have no number.
    """
    asked = section.reoptimise
    if asked is None:
        raise ConfigError("expected reoptimise: with a manifest, found none; write reoptimise: {manifest: suite.yaml}")
    highest = direction_of(asked.objective)
    manifest = _usable(asked.manifest, folder)
    config = manifest.base.validate(BacktestConfig)
    period = _period(section, manifest, config)
    windows = _windows(section.walkforward, period, section.discovery_cutoff_ns)
    _refuse_other_markets(manifest.base, config, asked)
    trains = [(instant_text(each.train_from_ns), instant_text(each.train_to_ns)) for each in windows]
    tests = [(instant_text(each.test_from_ns), instant_text(each.test_to_ns)) for each in windows]
    choices = manifest.specs
    spanned = dataclasses.replace(manifest, specs=SpannedSpecs(choices, [*trains, *tests]))
    return Reoptimisation(
        section=asked, choices=choices, manifest=spanned, plan=plan_of(spanned), windows=windows, period=period,
        highest=highest, balance=float(config.account.balance), currency=config.account.currency,
    )  # fmt: skip


def _usable(named: str, folder: Path) -> Manifest:
    """The manifest, of which every run may be put into any window."""
    path = Path(os.path.abspath(folder / named))
    if not path.is_file():
        raise ConfigError(
            f"reoptimise.manifest: expected the manifest of a suite at {path}, found no file; the path is relative to "
            "the configuration"
        )
    manifest = read_manifest(path, [])
    if manifest.section.search.method == SEARCHED:
        raise ConfigError(
            f"reoptimise.manifest: {manifest.source.where(('search',))}: a search in rounds has no list of runs to "
            "choose from on every train; write search: {method: grid}, or {method: random}"
        )
    problems = [f"{where}: {key}: {reason}" for where, key in _keys_of(manifest) if (reason := _refused(key))]
    if problems:
        raise ConfigError(
            "reoptimise.manifest: its runs cannot be the choices of each window:\n  " + "\n  ".join(problems),
            problems=problems,
        )
    return manifest


def _keys_of(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The keys that the choices set, with the place of each."""
    for each in manifest.product.dimensions if manifest.product is not None else ():
        if each.kind != PARAMS:
            yield each.where, _BY_KIND.get(each.kind, each.key)
    for i, one in enumerate(manifest.section.runs):
        for key in one.set:
            yield manifest.source.where(("runs", i, "set", key)), key


def _refused(key: str) -> str:
    """Why no choice may set a key; empty where it may."""
    return next(
        (why for given, why in _GIVEN.items() if f"{key}.".startswith(f"{given}.") or given.startswith(f"{key}.")), ""
    )


def _period(section: ValidationSection, manifest: Manifest, config: BacktestConfig) -> Period:
    if section.period is not None:
        return Period(start_ns=section.period.start_ns, end_ns=section.period.end_ns)
    start_ns, end_ns = config.backtest.start_ns, config.backtest.end_ns
    if start_ns is None or end_ns is None:
        raise ConfigError(
            f"expected period: in the configuration, or backtest.start and backtest.end in {manifest.base.name}, found "
            "neither; write period: {start: 2020-01-01, end: 2024-01-01}"
        )
    return Period(start_ns=start_ns, end_ns=end_ns)


def _windows(section: WalkforwardSection, period: Period, cutoff_ns: int | None) -> tuple[Window, ...]:
    if section.windows == "trades":
        raise ConfigError(
            "walkforward.windows: windows of so many trades are of trades that are known already, and here each train "
            "has others; write anchored or rolling"
        )
    embargo_ns = 0 if section.embargo == "longest" else section.embargo
    found = []
    if cutoff_ns is not None and cutoff_ns >= period.end_ns:
        raise ConfigError(
            f"discovery_cutoff: expected an instant before {format_instant(period.end_ns)}, the end of the period, "
            f"found {format_instant(cutoff_ns)}: no test is out of sample"
        )
    for each in time_windows(period, section, cutoff_ns):
        train_to_ns = each.test_from_ns - embargo_ns
        if train_to_ns <= each.train_from_ns:
            raise ConfigError(
                f"walkforward.embargo: expected it to leave something of the train of "
                f"{counted(section.train_months, 'month')}, found {format_duration(embargo_ns)}"
            )
        found.append(dataclasses.replace(each, train_to_ns=train_to_ns))
    if all(each.partial for each in found):
        raise ConfigError(
            f"expected a period of {counted(section.train_months, 'month')} of train and "
            f"{counted(section.test_months, 'month')} of test at least, found {format_instant(period.start_ns)} to "
            f"{format_instant(period.end_ns)}; write a longer period, or shorter windows"
        )
    return tuple(found)


def _refuse_other_markets(base: ConfigDocument, config: BacktestConfig, asked: ReoptimiseSection) -> None:
    """Refuse a generated market that would be another one in each window."""
    data = config.backtest.data
    if data.source == "synthetic" and data.begins_ns is None:
        raise ConfigError(
            f"{base.where(('backtest', 'data'))}: a generated market begins with its window, so that each window of "
            f"{asked.manifest} would be of another one; write backtest.data.begins, some days before the period"
        )
