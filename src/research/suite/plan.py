"""What a suite will do, before it does it: its different runs, the data that they read, and whether these are right.

Called by one thread. Nothing is kept of a run but its key and its place, so that a plan takes no more memory than a
list of them; what a worker gets is made when it is asked for.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

from src.backtesting.config import BacktestConfig
from src.backtesting.identity import canonical_json, code_hash_of_this_process
from src.backtesting.preflight import Finding, PreflightReport
from src.backtesting.preflight.asking import configured_source, finest_ns
from src.backtesting.preflight.report import ERROR
from src.backtesting.settled import Settled
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError, PreflightError
from src.core.timeframe import format_duration
from src.core.words import counted
from src.data.sources.port import BarSource
from src.data.store import HistoricalDataStore
from src.data.syncing import OnPage, SyncReport, sync_bars
from src.data.synthetic_store import market_store
from src.research.suite.classes import DataClass, UnionSeries, reads_of
from src.research.suite.manifest import Manifest
from src.research.suite.ports import RunTask
from src.research.suite.settling import Problems, Settler

__all__ = ["Plan", "plan_of"]

_MAX_SPEED = "MAX_SPEED"


class Plan:
    """The runs of a suite and their data; see `plan_of`.

    Attributes:
        keys: for each run of the manifest, in order, the hash of all that decides its result; equal ones are one run.
        classes: the runs that read the same data, in order of first appearance; only those that were planned here.
    """

    def __init__(
        self, manifest: Manifest, settler: Settler, keys: Sequence[str], classes: Sequence[DataClass],
        after: "Plan | None" = None,
    ) -> None:  # fmt: skip
        self._manifest = manifest
        self._settler = settler
        self.keys = tuple(keys)
        self.classes = tuple(classes)
        self._synced: bool = after is not None and after._synced
        #: The classes that were judged before, by their signature.
        self._before: dict[str, list[DataClass]] = {} if after is None else after._judged()
        #: By file the hashes of the generated markets that lie there.
        self._markets: dict[Path, list[str]] = {}
        if after is not None:
            self._markets.update({path: list(hashes) for path, hashes in after._markets.items()})
        for each in classes:
            if each.place.path is not None and each.place.market is not None:
                known = self._markets.setdefault(each.place.path, [])
                if each.place.market_hash not in known:
                    known.append(each.place.market_hash)
        #: The files that several generated markets would have to share: each market gets one of its own beside it.
        self._shared = {path for path, hashes in self._markets.items() if len(hashes) > 1}

    # -- where things are --------------------------------------------------------------------------

    @property
    def runs_dir(self) -> Path:
        """The folder of all runs."""
        return self._manifest.runs_dir

    @property
    def results(self) -> Path:
        """The results database."""
        return self._manifest.results

    @property
    def stores(self) -> tuple[Path, ...]:
        """The files that the runs read, each once; none for markets in memory."""
        found = [self._path_of(each) for each in self.classes]
        return tuple(dict.fromkeys(each for each in found if each is not None))

    @property
    def symbols(self) -> tuple[str, ...]:
        """All symbols that any run reads, in order of first appearance."""
        return tuple(dict.fromkeys(symbol for each in self.classes for symbol in each.symbols))

    @property
    def union(self) -> tuple[UnionSeries, ...]:
        """What all runs together need, by store and symbol in order of first appearance.

        Where a window has an open end that is known only after `judge`; before it is the end of time.
        """
        found: dict[tuple[Path | None, str], UnionSeries] = {}
        for each in self.classes:
            path = self._path_of(each)
            for symbol, lengths in each.timeframes_ns.items():
                known = found.get((path, symbol))
                end_ns = 2**63 - 1 if each.end_ns is None else each.end_ns
                found[path, symbol] = UnionSeries(
                    symbol=symbol,
                    store=path,
                    timeframes_ns=tuple(sorted({*lengths, *(known.timeframes_ns if known else ())})),
                    from_ns=min(each.from_ns(symbol), known.from_ns) if known else each.from_ns(symbol),
                    to_ns=max(end_ns, known.to_ns) if known else end_ns,
                    runs=each.runs + (known.runs if known else 0),
                )
        return tuple(found.values())

    # -- the data ----------------------------------------------------------------------------------

    def ensure(self) -> None:
        """Write the files of generated markets that are not there yet.

        Raises:
            ConfigError: a market cannot be generated as it is described.
            DataError: a file is something else, or cannot be written.
        """
        ticks: dict[Path, bool] = {}
        for each in self.classes:
            path = self._path_of(each)
            if path is not None and each.place.market is not None:
                ticks[path] = ticks.get(path, False) or each.place.ticks
        for each in self.classes:
            path = self._path_of(each)
            if path in ticks and path is not None and each.place.market is not None:
                market_store(each.place.market, path, ticks=ticks.pop(path))

    def sync(
        self,
        *,
        on_opened: Callable[[BarSource], object] | None = None,
        shown: Callable[[str], AbstractContextManager[OnPage | None]] | None = None,
    ) -> tuple[SyncReport, ...]:
        """If the manifest wants that, ask the configured sources for what all runs together need; else nothing.

        Args:
            on_opened: is given each source before it is asked for anything.
            shown: entered with the name of a series while that is asked for; what it gives is called after each page.

        Raises:
            ConfigError: a run has no source or no start, or a source knows a symbol not.
            DataError: a store holds bars of another source, or a stored bar comes again with other numbers.
            BrokerUnavailable: a source did not answer; what came before is stored.
        """
        if not self._manifest.section.sync:
            return ()
        where = f"{self._manifest.source.where(('sync',))}: sync"
        groups: dict[tuple[Path, str], list[tuple[DataClass, BacktestConfig]]] = {}
        for each in self.classes:
            spec = self._manifest.specs[each.first]
            config = self._settler.settle(spec)[1].config
            section, path = config.backtest, each.place.path
            if section.data.sync is None or section.data.source != "store" or path is None:
                raise ConfigError(
                    f"{where}: {self._manifest.title(spec)} names no source; expected backtest.data.sync, such as "
                    "ccxt:binanceusdm, beside backtest.data.source: store: write it, or leave sync out"
                )
            if section.start_ns is None:
                raise ConfigError(f"{where}: {self._manifest.title(spec)} has no backtest.start, and a source is asked "
                                  "for a window; write it")  # fmt: skip
            told = canonical_json([section.data.sync, section.data.sync_options])
            groups.setdefault((path, told), []).append((each, config))
        reports: list[SyncReport] = []
        for (path, _), members in groups.items():
            reports += _sync_group(path, members, on_opened, shown)
        self._synced = True
        return tuple(reports)

    def judge(self, on_judged: Callable[[DataClass], object] | None = None) -> None:
        """Judge the data of each class once, as far back as any of its runs looks.

        Args:
            on_judged: told of each class when it has its report.

        Raises:
            PreflightError: some data are not what their runs need; it carries the findings of all classes.
            ConfigError: a calendar does not know the time of the bars.
            DataError: a store is not what it must be.
        """
        for each in self.classes:
            known = next((one for one in self._before.get(each.signature, ()) if one.knows(each)), None)
            if known is None:
                runs = [self._judged_as(each, position) for position in each.shapes()]
                each.judge(runs, synced=self._synced)
            else:
                each.take(known)
            if on_judged is not None:
                on_judged(each)
        refused = [self._blamed(each, one) for each in self.classes if each.report for one in each.report.errors]
        if refused:
            rest = [one for one in self.report.findings if one.severity != ERROR]
            raise PreflightReport().joined([*refused, *rest], self.report.series).refusal()

    def _judged(self) -> dict[str, list[DataClass]]:
        """All classes that were judged until now, but for those of which another one knows as much."""
        found = {signature: list(classes) for signature, classes in self._before.items()}
        for each in self.classes:
            known = found.setdefault(each.signature, [])
            if each.report is not None and not any(one.knows(each) for one in known):
                known.append(each)
        return found

    def _blamed(self, of: DataClass, error: Finding) -> Finding:
        """An error that names the runs which it is true of, where there are others."""
        if len(self.classes) == 1:
            return error
        title = self._manifest.title(self._manifest.specs[of.first])
        more = "" if of.runs < 2 else f" and {counted(of.runs - 1, 'more run')}"
        return dataclasses.replace(error, sentence=f"{title}{more}: {error.sentence}")

    @property
    def report(self) -> PreflightReport:
        """What was found in the data of all classes, each finding once; empty before they are judged."""
        judged = [each.report for each in self.classes if each.report is not None]
        findings = dict.fromkeys(one for each in judged for one in each.findings)
        return PreflightReport().joined(list(findings), [one for each in judged for one in each.series])

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that somebody should read before the runs begin."""
        return self.report.warnings

    # -- the runs ----------------------------------------------------------------------------------

    def tasks(self, *, mirror: str = "", wanted: Callable[[str], bool] = lambda key: True) -> Iterator[RunTask]:
        """The different runs, one class after the other; each is made when it is asked for, and any number of times.

        Args:
            mirror: the folder of a Parquet mirror that is read in place of the store.
            wanted: whether the run of a key is among them.
        """
        for each in self.classes:
            for position in each.positions:
                if not wanted(self.keys[position]):
                    continue
                document = self._document(each, position)
                yield RunTask(
                    key=self.keys[position], values=document.values, name=document.name, folder=str(document.folder),
                    signature=each.signature, reach_ns=each.reach_ns, mirror=mirror, code=code_hash_of_this_process(),
                    user_files=self._settler.user_files(document.values),
                )  # fmt: skip

    def _document(self, of: DataClass, position: int) -> ConfigDocument:
        """The configuration of a run as it is run: at full speed, and with a market file of its own."""
        document = self._manifest.document(self._manifest.specs[position])
        section = document.values["backtest"]
        more: list[tuple[str, Any]] = []
        if section.get("pace") is not None:
            more.append(("backtest.pace", None))
        if section.get("time_mode", _MAX_SPEED) != _MAX_SPEED:
            more.append(("backtest.time_mode", _MAX_SPEED))
        path = self._path_of(of)
        if path is not None and path != of.place.path:
            # Beside the one that is configured: only the name is another.
            more.append(("backtest.data.store", Path(os.path.relpath(path, document.folder)).as_posix()))
        return document.changed(more, lambda _: self._manifest.source.name) if more else document

    def _judged_as(self, of: DataClass, position: int) -> tuple[ConfigDocument, Settled]:
        document = self._document(of, position)
        return document, self._settler.settled(document)

    def _path_of(self, of: DataClass) -> Path | None:
        path = of.place.path
        if path is None or path not in self._shared:
            return path
        return path.with_name(f"{path.stem}-{of.place.market_hash}{path.suffix}")


def plan_of(manifest: Manifest, *, known: Sequence[str] = (), after: Plan | None = None) -> Plan:
    """The plan of a suite: every run is settled, identified, and put to those that read the same data.

    Args:
        known: the keys of the first runs, which were planned before; neither they nor their like are planned again.
        after: an earlier plan of the same suite; of the data nothing is judged a second time.

    Raises:
        ConfigError: a run cannot be made as it is described. Each sentence names the first run that it is true of, and
            how many more; `problems` holds them as a list.
        PreflightError: the same, where all that is wrong is that costs have no number.
    """
    settler = Settler(manifest) if after is None else after._settler
    keys = list(known)
    seen: dict[str, int] = {}
    for position, key in enumerate(known):
        seen.setdefault(key, position)
    classes: dict[str, DataClass] = {}
    problems = Problems()
    for spec in (manifest.specs[position] for position in range(len(known), len(manifest.specs))):
        try:
            _, settled = settler.settle(spec)
            place = settler.place(settled.config)
        except (ConfigError, PreflightError) as error:
            problems.add(manifest.title(spec), error)
            continue
        if problems.found:
            continue
        signature, timeframes_ns = reads_of(settled, place)
        found = classes.get(signature)
        if found is None:
            found = classes[signature] = DataClass(signature, spec.position, place, timeframes_ns, settled.config)
        found.add(spec.position, settled)
        key = settler.key(settled, place)
        if key not in seen:
            seen[key] = spec.position
            found.positions.append(spec.position)
        # One text for all runs that are the same one.
        keys.append(keys[seen[key]] if seen[key] < len(keys) else key)
    problems.refuse(manifest.source.name)
    return Plan(manifest, settler, keys, list(classes.values()), after)


def _sync_group(
    path: Path, members: Sequence[tuple[DataClass, BacktestConfig]],
    on_opened: Callable[[BarSource], object] | None,
    shown: Callable[[str], AbstractContextManager[OnPage | None]] | None,
) -> list[SyncReport]:  # fmt: skip
    """Ask one source for what some classes need of one store."""
    spans: dict[str, tuple[int, int | None]] = {}
    for each, _ in members:
        for symbol in each.symbols:
            from_ns, to_ns = spans.get(symbol, (each.from_ns(symbol), each.end_ns))
            end_ns = None if to_ns is None or each.end_ns is None else max(to_ns, each.end_ns)
            spans[symbol] = min(from_ns, each.from_ns(symbol)), end_ns
    config = members[0][1].model_copy(update={"symbols": tuple(spans)})
    reports: list[SyncReport] = []
    with closing(configured_source(config)) as source:
        if on_opened is not None:
            on_opened(source)
        for symbol in spans:  # before the store is opened, so that a refusal leaves no file behind
            source.symbol(symbol)
        with HistoricalDataStore(path) as store:
            for symbol, (start_ns, end_ns) in spans.items():
                length_ns = finest_ns([one for one in store.list_series() if one.symbol == symbol])
                name = f"{symbol} {format_duration(length_ns)}"
                with nullcontext() if shown is None else shown(name) as on_page:
                    reports.append(sync_bars(store, source, symbol, length_ns, start_ns, end_ns, on_page=on_page))
    return reports
