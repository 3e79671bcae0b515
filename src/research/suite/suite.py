"""A suite from its manifest to its results: prepare once, run many beside each other, store once.

Phase A is serial: plan, sync if asked, hold the stores still, judge the data of each class of runs once. Phase B makes
the runs in other processes, each answer is on the disk before the next one is waited for; a search does so round by
round. Phase C is serial again: one transaction into the database of results, and an index in the order of the manifest.
Called by one thread; killed at any moment, the same suite with `resume` ends with the same results. It reads the real
clock to tell how long it took.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from src.backtesting.artifacts import ensure_writable
from src.backtesting.artifacts.trial_ledger import LEDGER
from src.backtesting.identity import code_hash_of_this_process, run_id, versions
from src.backtesting.result import Outcome
from src.core.errors import DataError, DeterminismError
from src.core.sync import monotonic_ns
from src.data.stores import store_snapshot
from src.research.executors.port import Executor, Lost
from src.research.suite.executor import executor_for, mirror_for
from src.research.suite.index import LOST, listed_rows, why_lost, write_index, write_json
from src.research.suite.plan import Plan
from src.research.suite.ports import RunAnswer, RunTask
from src.research.suite.records import RecordBook
from src.research.suite.results import SuiteRow, write_suite
from src.research.suite.results_file import check_target
from src.research.suite.rounds import Rounds
from src.research.suite.task import run_task
from src.research.suite.timing import SuiteClock, SuiteTiming

__all__ = ["LOST", "SuiteReport", "SuiteWatch", "run_suite"]

_COMPLETED = Outcome.COMPLETED.value
_RECORDS = "records.jsonl"
#: Of so many runs one is made by itself, at most.
_LEAST_SHARE = 4


class SuiteWatch(Protocol):
    """Told of what a suite does, in its thread."""

    def prepared(self, rounds: Rounds, folder: Path, workers: int, known: int, dropped: int) -> None:
        """Everything is prepared.

        Args:
            rounds: before the first one.
            folder: of the suite.
            known: so many runs need not be made again.
            dropped: so many were made by an earlier attempt and are made again, because nobody asked to resume it.
        """
        ...

    def done(self, done: int, failed: int, total: int) -> None:
        """A run has ended; `total` counts the different ones, and all that a search has not chosen yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteReport:
    """What a suite came to.

    Attributes:
        outcome: COMPLETED when every run is, else FAILED.
        runs, distinct: how many the manifest lists, and how many of them are different.
        known: how many of the different ones had been made before and were taken as they were.
        left: how many runs a search did not choose any more, because it lost one.
        statuses: how many of the different runs ended in each way.
        failures: the runs that did not complete by name, and why.
        differing: the runs that gave another digest than the same run before, by name.
        fingerprints: of the stores that were read, by path.
        results: the database.
        ledger: every trial that was ever made in this runs folder.
    """

    suite_id: str
    name: str
    folder: Path
    outcome: str
    runs: int
    distinct: int
    known: int
    left: int
    statuses: dict[str, int]
    failures: dict[str, str]
    differing: tuple[str, ...]
    fingerprints: dict[str, str]
    results: Path
    ledger: Path
    timing: SuiteTiming

    @property
    def exit_code(self) -> int:
        """0 when all runs completed, 4 when one gave another digest than before, 1 otherwise."""
        if self.differing:
            return DeterminismError.exit_code
        return 0 if self.outcome == _COMPLETED else 1


def run_suite(
    rounds: Rounds, watch: SuiteWatch, *, workers: int | None = None, resume: bool = False,
    executor: str | None = None, ask: Callable[[Plan], object] = Plan.sync,
) -> SuiteReport:  # fmt: skip
    """Run a suite and store what came of it.

    Args:
        rounds: of its manifest, before the first one.
        workers: how many processes; the manifest's, or as many as there are cores to spare, by default.
        resume: take the answers that an earlier attempt at this very suite has left.
        executor: another one than the manifest says.
        ask: asks the sources for what is absent, where the manifest wants that.

    Raises:
        ConfigError: the executor cannot be had, or a search has chosen a run that cannot be made.
        PreflightError: the data of a class of runs are not what it needs; nothing of its round was run.
        DataError: a store is not what it must be or has changed on the way, this suite is under way already, or its
            results cannot be written.
    """
    clock = SuiteClock(monotonic_ns())
    manifest, runs_dir = rounds.manifest, rounds.manifest.runs_dir
    ensure_writable(runs_dir)
    check_target(manifest.results)
    wanted, reads_stores = executor or manifest.section.executor, bool(rounds.plan.stores)
    with (
        executor_for(wanted, manifest.section, workers, reads_stores=reads_stores) as made,
        ExitStack() as stores,
    ):
        fingerprints = prepare_data(rounds.plan, stores, ask, made.begin)
        identity = _identity(rounds, fingerprints)
        folder = runs_dir / "suites" / f"{manifest.name}-{identity[:12]}"
        with _only_here(folder):
            mirror = mirror_for(wanted, manifest, rounds.plan)
            dropped = 0 if resume else _begin_anew(folder / _RECORDS)
            with RecordBook(folder / _RECORDS) as book:
                known = _still_there(book, runs_dir)
                about = _about(rounds, identity, fingerprints)
                write_json(folder / "suite.json", about | {"outcome": "RUNNING"})
                watch.prepared(rounds, folder, made.workers, len(known), dropped)
                clock.begin_runs(monotonic_ns())
                runs, prepared = _Runs(made, book, known, clock, watch), rounds.plan
                while rounds.next(book.answer):
                    if rounds.plan is not prepared:
                        _prepare_round(rounds.plan, stores, fingerprints)
                        mirror = mirror_for(wanted, manifest, rounds.plan)
                    runs.make(rounds.plan, mirror, manifest.section.sample, rounds.left)
                try:
                    stores.close()
                except DataError as error:  # the data have changed on the way, so none of this belongs together
                    why = {"outcome": Outcome.FAILED.value, "error": error.message}
                    write_json(folder / "suite.json", about | why)
                    raise
                return _store(rounds, book, folder, about, clock, len(known))


def prepare_data(
    plan: Plan, stores: ExitStack, ask: Callable[[Plan], object] = Plan.sync,
    on_brought: Callable[[], object] = lambda: None,
) -> dict[str, str]:  # fmt: skip
    """Bring the data together, hold them still until `stores` is left, and judge them; the stores' fingerprints.

    Args:
        on_brought: called when all data are there and nobody has looked at them.

    Raises:
        PreflightError, DataError: see `run_suite`.
    """
    plan.ensure()
    ask(plan)
    on_brought()
    fingerprints = {str(path): stores.enter_context(store_snapshot(path, plan.symbols)) for path in plan.stores}
    plan.judge()
    return fingerprints


def _prepare_round(plan: Plan, stores: ExitStack, fingerprints: dict[str, str]) -> None:
    """The same for the runs that a search has chosen, as far as their data have not been prepared before.

    Raises:
        PreflightError, DataError: see `run_suite`.
    """
    plan.ensure()
    for path in plan.stores:
        if str(path) not in fingerprints:
            fingerprints[str(path)] = stores.enter_context(store_snapshot(path, plan.symbols))
    plan.judge()


def _identity(rounds: Rounds, fingerprints: dict[str, str]) -> str:
    """Hash of all that decides the results: the runs in their order, the rows of the stores, and the program.

    Of a search it is not the runs, which are not known yet, but what decides which ones are chosen.
    """
    return run_id(
        {
            "name": rounds.manifest.name, "runs": rounds.identity(), "data": sorted(fingerprints.values()),
            "code": code_hash_of_this_process(), "versions": versions(),
        }
    )  # fmt: skip


@contextmanager
def _only_here(folder: Path) -> Iterator[None]:
    """Refuse a suite that is under way in another program."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout:
        raise DataError(
            f"this very suite is under way in another program, which holds {folder}; wait for it, then go on with "
            "--resume",
            path=str(folder),
        ) from None


def _begin_anew(records: Path) -> int:
    """Drop what an earlier attempt has recorded; how many answers that were. The runs themselves stay."""
    if not records.is_file():
        return 0
    try:
        with RecordBook(records) as book:
            dropped = len(book.keys())
    except DataError:  # damaged, which matters to nobody any more
        dropped = 0
    records.unlink()
    return dropped


def _still_there(book: RecordBook, runs_dir: Path) -> set[str]:
    """The runs whose answers can be taken: their folders have not been removed."""
    return {answer.key for answer in book.answers() if (runs_dir / answer.folder / "manifest.json").is_file()}


class _Runs:
    """Phase B: makes the runs that are not known, and records each answer before the next one is waited for."""

    def __init__(
        self, executor: Executor, book: RecordBook, known: set[str], clock: SuiteClock, watch: SuiteWatch
    ) -> None:  # fmt: skip
        self._executor, self._book = executor, book
        self._known, self._clock, self._watch = known, clock, watch
        self._total, self._done, self._failed, self._begun = 0, len(known), 0, False
        self._seen: set[Any] = set()

    def make(self, plan: Plan, mirror: str, sample: int, left: int) -> None:
        """The runs of a plan, in the first round a few one at a time, to know what the others gain by being made
        beside each other; `left` more will follow in later rounds.
        """
        self._total = len(set(plan.keys)) + left
        first: set[str] = set()
        if not self._begun:
            first = set(self._sample(plan, sample))
            if first:
                serial = plan.tasks(mirror=mirror, wanted=lambda key: key in first)
                self._executor.each(run_task, serial, self._told, at_once=1)
            self._clock.begin_parallel(monotonic_ns())
            self._begun = True
        made = self._known | first
        self._executor.each(run_task, plan.tasks(mirror=mirror, wanted=lambda key: key not in made), self._told)

    def _sample(self, plan: Plan, sample: int) -> list[str]:
        """Of the runs that read the first data some that lie evenly; none where there are too few to tell."""
        if not sample or self._executor.workers < 2:
            return []
        positions = plan.classes[0].positions
        keys = [key for position in positions if (key := plan.keys[position]) not in self._known]
        wanted = sample + 1  # the first one of a new process is no measure
        if len(keys) < _LEAST_SHARE * wanted:
            return []
        return [keys[i * len(keys) // wanted] for i in range(wanted)]

    def _told(self, task: RunTask, answer: RunAnswer | Lost) -> None:
        self._done += 1
        if isinstance(answer, Lost):
            self._book.append_lost(task.key, answer)
            self._failed += 1
        else:
            self._book.append(answer)
            self._failed += answer.outcome != _COMPLETED
            worker = answer.timing.get("worker")
            self._clock.count(answer, monotonic_ns(), warm=worker in self._seen)
            self._seen.add(worker)
        self._watch.done(self._done, self._failed, self._total)


def _store(
    rounds: Rounds, book: RecordBook, folder: Path, about: dict[str, Any], clock: SuiteClock, known: int
) -> SuiteReport:
    """Phase C: the database, the index, and what is told."""
    manifest, plan = rounds.manifest, rounds.plan
    lost, answered, identity = book.lost(), book.keys(), str(about["suite_id"])
    names: dict[str, str] = {}
    for spec, key in zip(manifest.specs, plan.keys, strict=True):
        names.setdefault(key, spec.name)
    statuses: dict[str, int] = {}
    differing, failures = list[str](), dict[str, str]()
    for key, name in names.items():
        answer = book.answer(key)
        status = LOST if answer is None else answer.outcome
        statuses[status] = statuses.get(status, 0) + 1
        if answer is None:
            failures[name] = why_lost(lost.get(key))
        elif status != _COMPLETED:
            failures[name] = answer.error
            differing += [name] if answer.error_type == DeterminismError.__name__ else []
    outcome = _COMPLETED if statuses.keys() <= {_COMPLETED} else Outcome.FAILED.value
    suite = SuiteRow(suite_id=identity, name=manifest.name, outcome=outcome)
    wanted = list(dict.fromkeys(key for key in plan.keys if key in answered))
    write_suite(
        manifest.results, suite, listed_rows(manifest, plan, book, lost),
        (answer for key in wanted if (answer := book.answer(key)) is not None), manifest.runs_dir,
    )  # fmt: skip
    write_index(folder / "index.json", manifest, plan, book, lost, identity, outcome)
    timing = clock.timing(monotonic_ns(), _peak_bytes())
    write_json(folder / "suite.json", about | {"outcome": outcome})
    write_json(folder / "timing.json", timing.as_dict())
    return SuiteReport(
        suite_id=identity, name=manifest.name, folder=folder, outcome=outcome, runs=len(plan.keys),
        distinct=len(names), known=known, left=rounds.left, statuses=dict(sorted(statuses.items())),
        failures=failures, differing=tuple(differing),
        fingerprints=about["fingerprints"], results=manifest.results, ledger=manifest.runs_dir / LEDGER, timing=timing,
    )  # fmt: skip


def _about(rounds: Rounds, identity: str, fingerprints: dict[str, str]) -> dict[str, Any]:
    manifest = rounds.manifest
    return {
        "suite_id": identity, "name": manifest.name, "runs": rounds.runs, "distinct": rounds.distinct,
        "manifest": manifest.section.model_dump(mode="json", by_alias=True),
        "fingerprints": fingerprints, "code": code_hash_of_this_process(), "versions": versions(),
    }  # fmt: skip


def _peak_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # a system that does not tell
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if os.uname().sysname == "Darwin" else used * 1024
