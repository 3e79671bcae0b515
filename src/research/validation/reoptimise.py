"""A walk-forward that chooses again: on each train the best of the choices, then the real engine on the test after it.

All trains of all windows are runs of one plan and go side by side; each starts with the configured balance. The tests
go one after the other, because each begins with the equity that the last one ended with. Every run is the backtest that
`--mode backtest` makes of its configuration, with the same folder and id, ends flat, and pays for that: what is open at
the end of a window is closed at the last price with half the spread, slippage and commission. Nothing of a test is
known when its parameters are chosen; the bars before it only warm up averages.

Called by one thread. What is stored is a function of configuration, data and code, whatever the number of workers and
whatever was killed and resumed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from src.backtesting.artifacts import ensure_writable
from src.backtesting.identity import code_hash_of_this_process, run_id, versions
from src.core.errors import DataError
from src.research.suite.executor import executor_for, mirror_for
from src.research.suite.ports import RunAnswer
from src.research.suite.records import RecordBook
from src.research.suite.suite import prepare_data
from src.research.validation.family import DataSet
from src.research.validation.ports import CandidateTrades, Period
from src.research.validation.reoptimise_files import remove_files, write_files, write_records
from src.research.validation.reoptimise_plan import Reoptimisation, prepare_reoptimise
from src.research.validation.reoptimise_walk import ENDED, Progress, Runs, Walk, WindowChoice
from src.research.validation.section import ValidationSection
from src.research.validation.stitching import Stitched, efficiency, stitched, trades_of

__all__ = ["CANDIDATE", "ReoptimiseWatch", "Reoptimised", "WindowChoice", "run_reoptimise"]

#: The id of the only candidate that this comes to.
CANDIDATE = "reoptimised"


class ReoptimiseWatch(Protocol):
    """Told of what a walk-forward does, in its thread."""

    def prepared(self, prepared: Reoptimisation, folder: Path, workers: int, known: int, dropped: int) -> None:
        """Everything is prepared.

        Args:
            folder: where it leaves what it comes to.
            known: so many runs need not be made again.
            dropped: so many were made by an earlier attempt and are made again, because nobody asked to resume it.
        """
        ...

    def done(self, done: int, failed: int, total: int) -> None:
        """A run has ended; `total` counts the different trains, and a test for each window."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reoptimised:
    """What a re-optimising walk-forward came to.

    Attributes:
        candidate_id: of its trades.
        identity: hash of all that decides it.
        folder: where its files are; without any where it has an `error`.
        runs_dir: where the folders of its runs and the trial ledger are.
        objective, highest: the figure that decides on the trains, and whether the highest is the best.
        windows: all of them, or those before the one that `error` is about.
        period: from the first test that was planned to the end of the last one.
        equity: the stitched curve of these.
        trades: closed in the test windows, in R; `without_r` more had no initial risk and are not among them.
        efficiency: mean R of a trade on the tests over that on the trains, as a ratio of sums over the whole windows
            that were traded; None where the trains have no mean above 0.
        balance, final_equity, currency: what the first window began with, and the last one ended with.
        data: what the trains and the tests read, for the trial ledger.
        synthetic: whether any of that was generated.
        fingerprints: of the stores that were read, by path.
        error: what kept it from its end: a run that is lost, or a test that failed; empty where all is well. It is no
            verdict, and tried again with `resume`.
        runs, known, failed: different runs; those taken from an earlier attempt; those that have no figures.
        run_ids: of these, where they have one.
        run_seconds: real durations of the runs that were made now, added up.
        workers: how many processes made them.
    """

    candidate_id: str
    identity: str
    folder: Path
    runs_dir: Path
    objective: str
    highest: bool
    windows: tuple[WindowChoice, ...]
    period: Period
    equity: Stitched
    trades: CandidateTrades
    without_r: int
    efficiency: float | None
    balance: float
    final_equity: float
    currency: str
    data: tuple[DataSet, ...]
    synthetic: bool
    fingerprints: dict[str, str]
    error: str
    runs: int
    known: int
    failed: int
    run_ids: frozenset[str]
    run_seconds: float
    workers: int


def run_reoptimise(
    section: ValidationSection, folder: Path, *, into: Path | None = None, workers: int | None = None,
    resume: bool = False, executor: str | None = None, watch: ReoptimiseWatch | None = None,
    named: Callable[[str], str] = str,
) -> Reoptimised:  # fmt: skip
    """Choose on every train, run every test, and stitch.

    Args:
        folder: of the configuration, which its paths are relative to.
        into: where its files go; `<runs>/validations/<name>-<hash>` by default.
        named: makes that hash of the one of the walk-forward, where more than that tells folders apart.
        workers: how many processes; the configuration's, the manifest's, or as many as a suite has, by default.
        resume: take the answers that an earlier attempt at this very walk-forward has left.
        executor: another one than the configuration says.

    Raises:
        ConfigError: see `prepare_reoptimise`; or the executor cannot be had.
        PreflightError: the data of some windows are not what the runs need; nothing was run.
        DataError: a store is not what it must be or has changed on the way, this walk-forward is under way already, or
            its files cannot be written.
    """
    prepared = _as_configured(prepare_reoptimise(section, folder), section, folder)
    manifest, plan, runs_dir = prepared.manifest, prepared.plan, prepared.runs_dir
    ensure_writable(runs_dir)
    wanted, reads_stores = executor or section.executor, bool(plan.stores)
    with (
        executor_for(wanted, manifest.section, workers, reads_stores=reads_stores) as made,
        ExitStack() as stores,
    ):
        fingerprints = prepare_data(plan, stores, on_brought=made.begin)
        identity = _identity(prepared, fingerprints)
        own = into or (folder / section.runs).resolve() / "validations" / f"{section.name}-{named(identity)[:12]}"
        with _only_here(own):
            records = own / f"runs-{identity[:12]}.jsonl"
            mirror = mirror_for(wanted, manifest, plan)
            dropped = 0 if resume else _begin_anew(records)
            with RecordBook(records) as book:
                known = {each.key for each in book.answers() if _is_there(each, runs_dir)}
                trains = prepared.train_keys()
                tell = watch.done if watch is not None else _nobody
                progress = Progress(tell, trains, known, len(prepared.windows))
                runs = Runs(made, book, known, progress)
                if watch is not None:
                    watch.prepared(prepared, own, made.workers, len(known), dropped)
                runs.make(plan.tasks(mirror=mirror, wanted=lambda key: key in trains and key not in known))
                walk = Walk(prepared, runs, mirror)
                error = walk.all_windows()
                stores.close()  # where the data have changed on the way, none of this belongs together
                found = _ended(prepared, own, identity, fingerprints, walk, runs, error)
                if not error:
                    write_records(book)
                return replace(found, workers=made.workers)


def _as_configured(prepared: Reoptimisation, section: ValidationSection, folder: Path) -> Reoptimisation:
    """The same with the workers and the cluster of the validation in place of the manifest's."""
    given = prepared.manifest.section
    more: dict[str, Any] = {}
    if section.workers is not None:
        more["workers"] = section.workers
    if section.dask.address:
        mirror = str((folder / section.dask.mirror).resolve()) if section.dask.mirror else ""
        more["dask"] = section.dask.model_copy(update={"mirror": mirror})
    manifest = replace(prepared.manifest, section=given.model_copy(update=more))
    return replace(prepared, manifest=manifest)


def _identity(prepared: Reoptimisation, fingerprints: Mapping[str, str]) -> str:
    """Hash of all that decides the result: the choices on their windows, the figure, the data, and the program."""
    asked = prepared.section
    return run_id(
        {
            "objective": [asked.objective, asked.minimum_trades], "runs": list(prepared.plan.keys),
            "names": [[each.name, [[name, repr(value)] for name, value in each.labels]] for each in prepared.choices],
            "windows": [[each.test_from_ns, each.test_to_ns, each.partial] for each in prepared.windows],
            "data": sorted(fingerprints.values()), "code": code_hash_of_this_process(), "versions": versions(),
        }
    )  # fmt: skip


@contextmanager
def _only_here(folder: Path) -> Iterator[None]:
    """Refuse a walk-forward that is under way in another program."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".reoptimise.lock", timeout=0)
    try:
        with lock:
            yield
    except Timeout:
        raise DataError(
            f"this very walk-forward is under way in another program, which holds {folder}; wait for it, then go on "
            "with --resume",
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


def _nobody(*counts: int) -> None:
    """Where nobody watches."""


def _is_there(answer: RunAnswer, runs_dir: Path) -> bool:
    return (runs_dir / answer.folder / "manifest.json").is_file()


def _ended(
    prepared: Reoptimisation, folder: Path, identity: str, fingerprints: dict[str, str], walk: Walk, runs: Runs,
    error: str,
) -> Reoptimised:  # fmt: skip
    """What it came to, with its files written; without any where it did not get to its end."""
    equity = stitched(walk.pieces)
    if error:
        remove_files(folder)
    else:
        write_files(folder, equity, [each.as_dict() for each in walk.choices])
    trades, without_r = trades_of(walk.trades)
    used = prepared.train_keys() | walk.tests
    answers = [runs.answer(key) for key in used]
    return Reoptimised(
        candidate_id=CANDIDATE, identity=identity, folder=folder, runs_dir=prepared.runs_dir,
        objective=prepared.section.objective, highest=prepared.highest, windows=tuple(walk.choices),
        period=Period(start_ns=prepared.windows[0].test_from_ns, end_ns=prepared.windows[-1].test_to_ns), equity=equity,
        trades=trades, without_r=without_r, efficiency=_efficiency(walk.choices), balance=prepared.balance,
        final_equity=walk.equity, currency=prepared.currency,
        data=tuple(
            DataSet(series=each, start_ns=prepared.windows[0].train_from_ns, end_ns=prepared.windows[-1].test_to_ns)
            for each in sorted(walk.series)
        ),
        synthetic=walk.synthetic, fingerprints=fingerprints, error=error, runs=len(used), known=runs.known,
        failed=sum(each is None or each.outcome not in ENDED for each in answers),
        run_ids=frozenset(each.run_id for each in answers if each is not None), run_seconds=runs.seconds, workers=1,
    )  # fmt: skip


def _efficiency(choices: Sequence[WindowChoice]) -> float | None:
    traded = [each for each in choices if each.name and not each.window.partial]
    train, test = [dict(each.train) for each in traded], [dict(each.test) for each in traded]
    return efficiency(
        [each["total_r"] or 0.0 for each in train], [each["r_counted"] or 0 for each in train],
        [each["total_r"] or 0.0 for each in test], [each["r_counted"] or 0 for each in test],
    )  # fmt: skip
