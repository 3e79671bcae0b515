"""What is validated: the candidates with their trades, the time they were looked at, and what they are one of.

Called by the thread of the validation; writes nothing.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from itertools import chain
from pathlib import Path

from src.backtesting.artifacts.trial_ledger import LEDGER, read_trials
from src.backtesting.identity import run_id
from src.core.errors import ConfigError, DataError
from src.core.record import record
from src.core.sync import monotonic_ns
from src.core.timeframe import format_instant
from src.research.validation.false_discovery import refuse_floor
from src.research.validation.family import Family, family_of, trials_on
from src.research.validation.ports import Candidate, CandidateTrades, Period
from src.research.validation.pvalues import resampled_floor
from src.research.validation.report import Prepared
from src.research.validation.screen import Screened, screen
from src.research.validation.setup import ValidationSetup
from src.research.validation.sources.port import CandidateSource
from src.research.validation.survivors import refuse_reality_check

__all__ = [
    "Options", "Subject", "family_now", "identity_of", "key_of", "prepared_of", "refuse_coarse", "screened",
    "subject_of", "survivors_of",
]  # fmt: skip

Stream = Callable[[], Iterator[tuple[Candidate, CandidateTrades]]]


@record
class Options:
    """How it was asked for; see `run_validation`."""

    workers: int | None
    resume: bool
    walkforward: bool
    waivers: bool
    executor: str | None


@record
class Subject:
    """What is to be validated.

    Attributes:
        candidates: ordered by id; they may be made anew whenever somebody looks at them.
        key: hash of all that verdicts are a function of, but the family and the program.
        trades: streams every candidate with its trades.
    """

    candidates: Sequence[Candidate]
    count: int
    period: Period
    key: str
    trades: Stream


def key_of(setup: ValidationSetup, identity: str, options: Options) -> str:
    """Hash of all that verdicts are a function of, but the family and the program.

    Args:
        identity: of the source of the candidates.
    """
    return run_id(
        {
            "section": setup.decisive(), "candidates": identity, "walkforward": options.walkforward,
            "waivers": options.waivers,
        }
    )  # fmt: skip


def identity_of(key: str, family: Family | None) -> str:
    """What a validation is stored under: over another family it is another one."""
    return key if family is None else run_id({"validation": key, "family": family.hash})


def subject_of(
    setup: ValidationSetup, source: CandidateSource, key: str, found: Period | None, count: int, trades: Stream
) -> Subject:
    """Raises ConfigError where period or cut-off do not fit the trades."""
    section = setup.section
    period = found
    # Of a candidate that chooses its parameters again nothing could be traded before the first test.
    if section.period is not None and section.reoptimise is None:
        period = Period(start_ns=section.period.start_ns, end_ns=section.period.end_ns)
    elif source.period is not None:
        period = source.period
    if period is None:
        raise DataError(
            f"expected candidates with closed trades, found none in {source.label}; nothing can be validated without"
        )
    cutoff_ns = section.discovery_cutoff_ns
    if cutoff_ns is not None and cutoff_ns >= period.end_ns:
        raise ConfigError(
            f"{setup.document.where(('discovery_cutoff',))}: discovery_cutoff: expected an instant before "
            f"{format_instant(period.end_ns)}, the end of the time that the candidates were looked at, found "
            f"{format_instant(cutoff_ns)}: no trade is out of sample"
        )
    return Subject(candidates=source.candidates(), count=count, period=period, key=key, trades=trades)


def family_now(
    setup: ValidationSetup, source: CandidateSource, candidates: Sequence[Candidate], of: Set[str] | None = None
) -> Family:
    """Everything that was ever tried on these data, as far as it is known now.

    Args:
        of: the configuration hashes of the trials that may count; all in the ledger by default.
    """
    names: dict[str, None] = {}
    for each in candidates:
        # A trial that two candidates share, as on mended data, counts for each of them.
        name = each.trial or each.candidate_id
        names[name if name not in names else f"{name} {each.candidate_id}"] = None
    series = source.series()
    known = chain(read_trials(setup.runs_dir / LEDGER), source.tried())
    ledger = trials_on(series, known) if series else set[str]()
    if of is not None:
        ledger &= of
    chosen = setup.section.candidates
    return family_of(names, ledger, 0 if chosen is None else chosen.trials)


def refuse_coarse(setup: ValidationSetup, family: Family | None) -> None:
    """Refuse p-values that are too coarse for the family; see `refuse_floor`."""
    testing = setup.section.multiple_testing
    if family is not None:
        refuse_floor(resampled_floor(testing), family.size, testing.level, testing.method)


def screened(setup: ValidationSetup, subject: Subject, options: Options) -> tuple[Screened, float]:
    """The cheap phases, and how many seconds they took.

    Raises:
        ConfigError: a reality check cannot be made of so many, or not here.
    """
    refuse_reality_check(setup.section, len(subject.candidates))
    since = monotonic_ns()
    found = screen(subject.trades(), setup.section, subject.period, waivers=options.waivers)
    return found, (monotonic_ns() - since) / 1e9


def survivors_of(subject: Subject, screened: Screened, options: Options) -> dict[int, str]:
    """The ids of the candidates that are to be judged further, by number."""
    if not options.walkforward:
        return {}
    return {number: subject.candidates[number].candidate_id for number in screened.standing}


def prepared_of(
    setup: ValidationSetup, source: CandidateSource, subject: Subject, folder: Path | None, family: Family | None,
    survivors: int, skipped: int, workers: int,
) -> Prepared:  # fmt: skip
    """What is told when the cheap phases are over."""
    return Prepared(
        name=setup.section.name, folder=folder, candidates=len(subject.candidates), trades=subject.count,
        source=source.label, synthetic=source.synthetic, survivors=survivors, skipped=skipped, known=0, dropped=0,
        workers=workers,
        family_size=None if family is None else family.size, family_stored=family is not None and family.stored,
    )  # fmt: skip
