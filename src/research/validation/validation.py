"""A validation from its configuration to its verdicts: cheap phases first, then the walk-forward side by side.

The cheap phases are serial, in this process. What survives them is judged by workers that read the trades by themselves
from a file that nobody writes any more; each answer is on the disk before the next one is waited for. Then the whole
family is corrected at once, and everything is written in one transaction. Killed at any moment, the same validation
with `resume` ends with the same bytes. Called by one thread; it reads the real clock to tell how long it took.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from src.backtesting.artifacts import ensure_writable
from src.backtesting.identity import code_hash_of_this_process, versions
from src.core.errors import ConfigError, DataError
from src.core.sync import monotonic_ns
from src.research.validation.crew import judges_for
from src.research.validation.family import Family, keep_family, stored_family
from src.research.validation.judge import JudgeAnswer, JudgeTask, judge_chunk, judged, parameters_text
from src.research.validation.judge import Parameters as Judging
from src.research.validation.judged_book import JudgedBook, windows_in, windows_of
from src.research.validation.outcome import Outcome, about_of, outcome_of, written
from src.research.validation.packed import packed_values
from src.research.validation.ports import Candidate, CandidateTrades, Period
from src.research.validation.reoptimised import (
    FAMILY,
    STARTED,
    about_reoptimised,
    entry_of,
    refuse_dry_run,
    reoptimised,
    trials_of,
)
from src.research.validation.report import Timing, ValidationReport, ValidationWatch
from src.research.validation.report_words import method_note
from src.research.validation.setup import ValidationSetup
from src.research.validation.sources import source_for
from src.research.validation.sources.port import CandidateSource
from src.research.validation.sources.reoptimised import ReoptimisedSource
from src.research.validation.subject import (
    Options,
    Subject,
    family_now,
    identity_of,
    key_of,
    prepared_of,
    refuse_coarse,
    screened,
    subject_of,
    survivors_of,
)
from src.research.validation.trade_file import TradeFileInfo, end_reading, read_info, read_trades, write_trade_file
from src.research.validation.verdict_store import check_target

__all__ = ["run_validation"]

_RECORDS, _FAMILY, _TRADES = "records.jsonl", FAMILY, "trades.duckdb"
#: So many candidates are read at once where they are looked at in this process.
_READ_AT_ONCE = 512

Chunk = Callable[[JudgeTask], JudgeAnswer]
Stream = Callable[[], Iterator[tuple[Candidate, CandidateTrades]]]


def run_validation(
    setup: ValidationSetup, watch: ValidationWatch, *, workers: int | None = None, resume: bool = False,
    dry_run: bool = False, walkforward: bool = True, waivers: bool = True, executor: str | None = None,
    judge: Chunk = judge_chunk,
) -> ValidationReport:  # fmt: skip
    """Validate, and write down what came of it.

    Args:
        workers: how many processes; the configuration's, or one less than there are cores, at most 8, by default.
        resume: take what an earlier attempt at this very validation has judged.
        dry_run: open nothing for writing; everything is computed in this process.
        walkforward: without it what survives the cheap phases is SKIP, because nobody has looked further.
        waivers: whether dormant years are waived.
        executor: another one than the configuration says.
        judge: importable by name; what the workers call.

    Raises:
        ConfigError: the configuration asks for something that cannot be had.
        DataError: the candidates cannot be read or the verdicts cannot be written, or this validation is under way.
    """
    options = Options(workers=workers, resume=resume, walkforward=walkforward, waivers=waivers, executor=executor)
    if setup.section.reoptimise is not None:
        return _choosing(setup, watch, options, dry_run=dry_run)
    source = source_for(setup.section, setup.folder)
    key = key_of(setup, source.identity(), options)
    if dry_run:
        return _dry(setup, source, key, watch, options)
    ensure_writable(setup.runs_dir)
    check_target(setup.database)
    folder = setup.runs_dir / "validations" / f"{setup.section.name}-{key[:12]}"
    with _only_here(folder):
        return _Validation(setup, source, key, folder, watch, options, judge).run()


def _dry(
    setup: ValidationSetup, source: CandidateSource, key: str, watch: ValidationWatch, options: Options
) -> ValidationReport:
    """Everything in this process, and nothing of it left on the disk."""
    began = monotonic_ns()
    count, start_ns, end_ns = 0, None, None
    for _, trades in source.trades():
        count += len(trades)
        if len(trades):
            first, last = int(trades.entry_ns[0]), int(trades.exit_ns.max()) + 1
            start_ns = first if start_ns is None else min(start_ns, first)
            end_ns = last if end_ns is None else max(end_ns, last)
    period = None if start_ns is None or end_ns is None else Period(start_ns=start_ns, end_ns=end_ns)
    subject = subject_of(setup, source, key, period, count, source.trades)
    family = None
    if setup.section.discovery_cutoff_ns is not None:
        folder = setup.runs_dir / "validations" / f"{setup.section.name}-{key[:12]}"
        family = stored_family(folder / _FAMILY) or family_now(setup, source, subject.candidates)
    refuse_coarse(setup, family)
    found, cheap = screened(setup, subject, options)
    wanted = survivors_of(subject, found, options)
    watch.prepared(prepared_of(setup, source, subject, None, family, len(wanted), found.skipped, workers=1))
    since = monotonic_ns()
    parameters, entries = Judging(section=setup.section, period=subject.period), packed_values()
    broken: dict[int, str] = {}
    for candidate, trades in subject.trades():
        if candidate.number in wanted:
            entry = judged(candidate.candidate_id, candidate.number, trades, parameters)
            if "error" in entry:
                broken[candidate.number] = str(entry["error"])
            else:
                entries.append(entry)
            watch.done(len(entries) + len(broken), len(broken), len(wanted))
    seconds = (monotonic_ns() - since) / 1e9
    outcome = outcome_of(
        setup, subject.period, subject.candidates, found, lambda: entries, broken, family,
        walkforward=options.walkforward,
    )  # fmt: skip
    timing = Timing(
        wall_seconds=(monotonic_ns() - began) / 1e9, cheap_seconds=cheap, walkforward_seconds=seconds,
        sum_seconds=seconds, speed_up=None, workers=1,
    )  # fmt: skip
    return _report(setup, source, subject, outcome, family, timing, None)


def _choosing(setup: ValidationSetup, watch: ValidationWatch, options: Options, *, dry_run: bool) -> ValidationReport:
    """A candidate that chooses its parameters again for each window: the runs first, then the same phases."""
    if not options.walkforward:
        raise ConfigError("--no-walkforward: reoptimise: is a walk-forward; leave one of the two out")
    if dry_run:
        refuse_dry_run(setup)
    began = monotonic_ns()
    ensure_writable(setup.runs_dir)
    check_target(setup.database)
    chosen = reoptimised(
        setup, watch, workers=options.workers, resume=options.resume, executor=options.executor,
        named=lambda identity: key_of(setup, identity, options),
    )  # fmt: skip
    made = (monotonic_ns() - began) / 1e9
    source, folder, section = ReoptimisedSource(chosen), chosen.folder, setup.section
    key = key_of(setup, chosen.identity, options)
    with _only_here(folder):
        subject = subject_of(setup, source, key, None, len(chosen.trades), source.trades)
        family = None
        if section.discovery_cutoff_ns is not None:
            family = stored_family(folder / _FAMILY)
            if family is None:
                of = trials_of(stored_family(folder / STARTED), chosen)
                family = family_now(setup, source, subject.candidates, of)
            refuse_coarse(setup, family)
            if not chosen.error:  # else nobody knows yet what it reads, and so what else was tried on that
                if not family.stored:
                    keep_family(folder / _FAMILY, family)
                (folder / STARTED).unlink(missing_ok=True)
        found, cheap = screened(setup, subject, options)
        entry = entry_of(chosen, section)
        broken = {0: str(entry["error"])} if "error" in entry else {}
        outcome = outcome_of(
            setup,
            subject.period,
            subject.candidates,
            found,
            lambda: [] if broken else [entry],
            broken,
            family,
            walkforward=True,
        )
        about = about_of(setup, source, key, family)
        written(setup, folder, about, outcome, windows_of([entry]), [about_reoptimised(chosen)])
    timing = Timing(
        wall_seconds=(monotonic_ns() - began) / 1e9, cheap_seconds=cheap, walkforward_seconds=made,
        sum_seconds=chosen.run_seconds, speed_up=None, workers=chosen.workers,
    )  # fmt: skip
    return replace(_report(setup, source, subject, outcome, family, timing, folder), reoptimised=chosen)


class _Validation:
    """One validation, inside the lock of its folder."""

    def __init__(
        self, setup: ValidationSetup, source: CandidateSource, key: str, folder: Path, watch: ValidationWatch,
        options: Options, judge: Chunk,
    ) -> None:  # fmt: skip
        self._setup, self._source, self._key, self._folder = setup, source, key, folder
        self._watch, self._options, self._judge = watch, options, judge
        self._candidates: Sequence[Candidate] = ()
        self._began_ns = monotonic_ns()

    def run(self) -> ValidationReport:
        """See `run_validation`."""
        setup, source, options = self._setup, self._source, self._options
        with judges_for(setup.section, options.workers, options.executor) as judges:
            info = self._trade_file()
            # The file of trades is closed by now, and nobody holds the database of verdicts yet: a DuckDB file has
            # either one process that writes or any number that read. Processes take a while to start, and the cheap
            # phases need none.
            if options.walkforward:
                judges.begin()
            subject = subject_of(setup, source, self._key, info.period, info.trades, self._read_back)
            self._candidates = subject.candidates
            family = self._fixed_family(subject)
            refuse_coarse(setup, family)
            found, cheap_seconds = screened(setup, subject, options)
            end_reading()  # from here on workers read
            wanted = survivors_of(subject, found, options)
            with JudgedBook(self._folder / _RECORDS, self._made_by(family), anew=not options.resume) as book:
                known = book.known & wanted.keys()
                prepared = prepared_of(
                    setup, source, subject, self._folder, family, len(wanted), found.skipped, judges.workers
                )
                self._watch.prepared(replace(prepared, known=len(known), dropped=book.dropped))
                parameters = parameters_text(setup.section, subject.period)
                left = [(number, name) for number, name in wanted.items() if number not in known]
                judging = judges.judge(
                    self._judge, left, str(self._folder / _TRADES), parameters, book.append,
                    lambda done, failed: self._watch.done(len(known) + done, failed, len(wanted)),
                )  # fmt: skip
                outcome = outcome_of(
                    setup, subject.period, subject.candidates, found,
                    lambda: (each for each in book.judged() if each["number"] in wanted),
                    {number: why for number, why in book.broken().items() if number in wanted}, family,
                    walkforward=options.walkforward,
                )  # fmt: skip
                book.put_in_order()
                del found  # what the statistics were made of is not needed any more
        records = windows_in(self._folder / _RECORDS)
        written(setup, self._folder, about_of(setup, source, self._key, family), outcome, records)
        if outcome.complete:
            for left_over in (_TRADES, f"{_TRADES}.wal"):
                with suppress(OSError):
                    (self._folder / left_over).unlink()
        timing = Timing(
            wall_seconds=(monotonic_ns() - self._began_ns) / 1e9, cheap_seconds=cheap_seconds,
            walkforward_seconds=judging.seconds, sum_seconds=judging.sum_seconds, speed_up=judging.speed_up,
            workers=judges.workers,
        )  # fmt: skip
        return _report(setup, source, subject, outcome, family, timing, self._folder)

    def _trade_file(self) -> TradeFileInfo:
        """The file that the workers read, written unless an earlier attempt has left it."""
        path, identity = self._folder / _TRADES, self._source.identity()
        info = read_info(path)
        if info is None or info.identity != identity:
            info = write_trade_file(path, self._source)
        return info

    def _read_back(self) -> Iterator[tuple[Candidate, CandidateTrades]]:
        """Every candidate with its trades, some at a time, out of the file that the workers read too."""
        for at in range(0, len(self._candidates), _READ_AT_ONCE):
            some = self._candidates[at : at + _READ_AT_ONCE]
            trades = read_trades(self._folder / _TRADES, [each.number for each in some], bare=True)
            for each in some:
                yield each, trades[each.number]

    def _fixed_family(self, subject: Subject) -> Family | None:
        if self._setup.section.discovery_cutoff_ns is None:
            return None
        path = self._folder / _FAMILY
        family = stored_family(path)
        if family is None:
            family = family_now(self._setup, self._source, subject.candidates)
            keep_family(path, family)
        return family

    def _made_by(self, family: Family | None) -> dict[str, Any]:
        return {
            "key": self._key, "code": code_hash_of_this_process(), "versions": versions(),
            "family": None if family is None else family.hash,
        }  # fmt: skip


def _report(
    setup: ValidationSetup, source: CandidateSource, subject: Subject, outcome: Outcome, family: Family | None,
    timing: Timing, folder: Path | None,
) -> ValidationReport:  # fmt: skip
    testing = setup.section.multiple_testing
    return ValidationReport(
        name=setup.section.name, validation_id=identity_of(subject.key, family),
        kind="stability" if family is None else "validation", folder=folder,
        database=None if folder is None else setup.database, synthetic=source.synthetic,
        source=source.label, verdicts=outcome.verdicts, candidates=subject.candidates, windows=outcome.windows,
        daylight=outcome.daylight, sharpes=outcome.sharpes, family=family, method=testing.method, level=testing.level,
        p_value=testing.p_value, cutoff_ns=setup.section.discovery_cutoff_ns,
        method_note="" if family is None else method_note(testing.method, outcome.notes),
        pbo=outcome.pbo, reality_check=outcome.reality_check,
        funnel=outcome.funnel, warnings=outcome.warnings, timing=timing, planted=outcome.planted,
    )  # fmt: skip


@contextmanager
def _only_here(folder: Path) -> Iterator[None]:
    """Refuse a validation that is under way in another program."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=0)
        with lock:
            yield
    except Timeout:
        raise DataError(
            f"this very validation is under way in another program, which holds {folder}; wait for it, then go on with "
            "--resume",
            path=str(folder),
        ) from None
