"""What a candidate that chooses its parameters again for each window came to, told as that of any other candidate.

Called by the thread of the validation.
"""

from collections.abc import Callable, Set
from itertools import chain
from pathlib import Path
from typing import Any

from src.backtesting.artifacts.trial_ledger import LEDGER, read_trials
from src.core.errors import ConfigError
from src.core.words import counted
from src.research.validation.daylight import daylight_split
from src.research.validation.family import Family, family_of, keep_family
from src.research.validation.judge import significance
from src.research.validation.reoptimise import Reoptimised, run_reoptimise
from src.research.validation.reoptimise_plan import Reoptimisation, prepare_reoptimise
from src.research.validation.report import Prepared, ValidationWatch
from src.research.validation.section import ValidationSection
from src.research.validation.setup import ValidationSetup
from src.research.validation.sources.reoptimised import window_rows
from src.research.validation.stability import judged_windows
from src.research.validation.subject import refuse_coarse

__all__ = ["FAMILY", "STARTED", "about_reoptimised", "entry_of", "refuse_dry_run", "reoptimised", "trials_of"]

#: The family in the folder of a walk-forward, and until that is known what the trial ledger held at the start.
FAMILY, STARTED = "family.json", "trials.json"


def reoptimised(
    setup: ValidationSetup, watch: ValidationWatch, *, workers: int | None, resume: bool, executor: str | None,
    named: Callable[[str], str],
) -> Reoptimised:  # fmt: skip
    """Run it; see `run_reoptimise`."""
    return run_reoptimise(
        setup.section, setup.folder, workers=workers, resume=resume, executor=executor, watch=_Adapted(setup, watch),
        named=named,
    )  # fmt: skip


class _Adapted:
    """See `ReoptimiseWatch`: what is counted are runs, and not candidates."""

    def __init__(self, setup: ValidationSetup, watch: ValidationWatch) -> None:
        self._setup, self._watch = setup, watch

    def prepared(self, prepared: Reoptimisation, folder: Path, workers: int, known: int, dropped: int) -> None:
        if self._setup.section.discovery_cutoff_ns is not None:
            # It will be larger, but what is too coarse for the trains alone is told before any of them is run.
            refuse_coarse(self._setup, family_of(prepared.train_keys()))
        _note_trials(self._setup, prepared.runs_dir, folder)
        choices, windows = len(prepared.choices), len(prepared.windows)
        self._watch.prepared(
            Prepared(
                name=self._setup.section.name, folder=folder, candidates=1, trades=0,
                source=f"{counted(choices, 'choice')} on each of {counted(windows, 'window')}", synthetic=False,
                survivors=len(prepared.train_keys()) + windows, known=known, dropped=dropped, workers=workers,
                family_size=None, family_stored=False, counted="run",
            )
        )  # fmt: skip

    def done(self, done: int, failed: int, total: int) -> None:
        self._watch.done(done, failed, total)


def _note_trials(setup: ValidationSetup, runs_dir: Path, folder: Path) -> None:
    """Keep what the trial ledgers hold when a walk-forward is first started; what it reads is known at its end only."""
    path = folder / STARTED
    if setup.section.discovery_cutoff_ns is None or path.exists() or (folder / FAMILY).exists():
        return
    known = chain(*(read_trials(each / LEDGER) for each in dict.fromkeys([setup.runs_dir, runs_dir])))
    keep_family(path, family_of(each.configuration_hash for each in known))


def trials_of(started: Family | None, found: Reoptimised) -> Set[str] | None:
    """The configuration hashes of the trials that belong to a family: those of the start, and its own.

    Args:
        started: what the ledgers held at the start; where that is lost all trials count, and there is no answer.
    """
    if started is None:
        return None
    ledger = read_trials(found.runs_dir / LEDGER)
    own = {each.configuration_hash for each in ledger if each.run_id in found.run_ids}
    return own.union(started.members)


def entry_of(found: Reoptimised, section: ValidationSection) -> dict[str, Any]:
    """Its windows, as a worker tells those of any other candidate; see `judge.judged`."""
    told: dict[str, Any] = {"number": 0, "id": found.candidate_id}
    if found.error:
        return {**told, "error": found.error}
    rows = window_rows(found, section.walkforward.minimum_trades)
    phase = judged_windows(rows, section.walkforward)
    told |= {
        "status": phase.status.value, "reason": phase.reason, "warning": phase.warning,
        "figures": [list(each) for each in phase.figures], "windows": list(rows),
        "daylight": list(daylight_split(found.trades, section.daylight)),
    }  # fmt: skip
    if section.discovery_cutoff_ns is not None:
        told["p"] = significance(found.candidate_id, found.trades, section)
    return told


def about_reoptimised(found: Reoptimised) -> dict[str, Any]:
    """What is not in its files and is told of it as a whole; plain values."""
    names = ("objective", "highest", "efficiency", "balance", "final_equity", "currency", "without_r", "error")
    return {"kind": "reoptimised", **{name: getattr(found, name) for name in names}}


def refuse_dry_run(setup: ValidationSetup) -> None:
    """Refuse to do without writing what consists of runs that write, but check everything that they need first.

    Raises:
        ConfigError: always.
    """
    prepared = prepare_reoptimise(setup.section, setup.folder)
    raise ConfigError(
        f"--dry-run: what would be done are {counted(len(prepared.train_keys()), 'backtest')} on the trains of "
        f"{counted(len(prepared.windows), 'window')} and one on each test, and a backtest writes a folder; the "
        "configuration itself is in order: leave --dry-run out"
    )
