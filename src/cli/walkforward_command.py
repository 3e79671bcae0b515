"""`walkforward`: which of many candidates survive, and how many of those may be luck.

Runs in the main thread; candidates are looked at in other processes, or on a cluster.
"""

from pathlib import Path
from typing import Annotated

import typer

from src.cli.options import DebugOption, JsonOption, ProgressOption, QuietOption, SetOption, output_of
from src.cli.output import Output, stdout_kept
from src.cli.report_beside import page_beside
from src.cli.suite_progress import SuiteProgress
from src.cli.walkforward_result import report_text, traded
from src.cli.walkforward_view import show_report
from src.core.program import command
from src.core.sync import interrupts_raise
from src.core.words import counted
from src.research.executors import EXECUTORS
from src.research.validation.report import Prepared, ValidationReport
from src.research.validation.report_page import write_validation_report
from src.research.validation.setup import read_validation
from src.research.validation.validation import run_validation

__all__ = ["walkforward_command"]

_EXIT_INTERRUPTED = 130


class _Interrupted(BaseException):
    """Ctrl-C while candidates are looked at; what was recorded stays."""


def walkforward_command(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(metavar="FILE", help="The validation, such as configs/validate.yaml.")],
    overrides: SetOption = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="How many processes; min(8, cores - 1), at least 1, if absent."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take what an earlier attempt at this validation has recorded.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Judge, and write nothing: no family, no record, no verdict.")
    ] = False,
    no_walkforward: Annotated[
        bool, typer.Option("--no-walkforward", help="The cheap phases only; nothing can pass.")
    ] = False,
    no_regime_waivers: Annotated[
        bool, typer.Option("--no-regime-waivers", help="Dormant years count as any other.")
    ] = False,
    executor: Annotated[
        str | None, typer.Option("--executor", metavar="|".join(EXECUTORS), help="Where the candidates are looked at.")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", min=0, help="Tried, not kept, and not in the table of trades; 0 if absent."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many survivors, lowest p first, and others.")] = 10,
    progress: ProgressOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Judge candidates by their trades: phases, walk-forward windows, and a correction for all that were tried.

    The verdict of each is PASS, REJECT or SKIP, with its reason.
    Killed at any moment, the same command with --resume goes on.
    Exit code 1 when a candidate could not be looked at.
    """
    out = output_of(context, as_json, quiet, debug)
    with stdout_kept():
        setup = read_validation(config, overrides or [], trials=trials)
    words = _words(config, overrides or [], {"--workers": workers, "--executor": executor, "--trials": trials})
    flags = {"--no-walkforward": no_walkforward, "--no-regime-waivers": no_regime_waivers, "--dry-run": dry_run}
    again = command(*words, *(name for name, given in flags.items() if given), *([] if dry_run else ["--resume"]))
    one = "candidate" if setup.section.reoptimise is None else "run"
    watch = _Watch(out, SuiteProgress(out.errors, shown=False if quiet else progress, one=one), one)
    try:
        with interrupts_raise(_Interrupted), stdout_kept(), watch.progress:
            report = run_validation(
                setup, watch, workers=workers, resume=resume, dry_run=dry_run, walkforward=not no_walkforward,
                waivers=not no_regime_waivers, executor=executor,
            )  # fmt: skip
    except _Interrupted:
        kept = "nothing was written" if dry_run else "what is done is kept"
        goes_on = f"`{again}` begins anew" if dry_run else f"`{again}` goes on from there"
        out.error(f"interrupted after {watch.text}; {kept}, {goes_on}")
        out.result(
            {"validation": setup.section.name, "exit_code": _EXIT_INTERRUPTED, "outcome": "INTERRUPTED", "again": again}
        )
        return _EXIT_INTERRUPTED
    if report.synthetic:
        watch.warn_of_synthetic()
    outside = _outside(report, watch.trades, out)
    page = None
    if report.folder is not None:
        page = page_beside(report.folder, write_validation_report, out, rows=len(report.verdicts))
    show_report(report, out, top=top, again=again, page=page)
    out.result_text(report_text(report, {"outside_period": outside, "report": page}))
    return report.exit_code


def _outside(report: ValidationReport, trades: int, out: Output) -> int | None:
    """How many trades were entered outside the period, which is told; None where that is not known."""
    looked_at = traded(report)
    outside = None if looked_at is None else max(0, trades - looked_at)
    if outside:
        out.warn(f"{counted(outside, 'trade')} entered outside the period, and left out everywhere")
    return outside


def _words(config: Path, overrides: list[str], valued: dict[str, int | str | None]) -> list[str]:
    """The command for this very validation: what is left out would make another one of the same file."""
    words = ["walkforward", str(config)]
    for each in overrides:
        words += ["--set", each]
    for name, value in valued.items():
        words += [] if value is None else [name, str(value)]
    return words


class _Watch:
    """See `ValidationWatch`; what is counted are candidates, or the runs of those that choose their parameters."""

    def __init__(self, out: Output, progress: SuiteProgress, one: str) -> None:
        self._out = out
        self._one = one
        self._warned = False
        self.progress = progress
        self.text = f"no {one}"
        self.trades = 0

    def prepared(self, about: Prepared) -> None:
        """See `ValidationWatch.prepared`."""
        self.trades = about.trades
        if about.synthetic:
            self.warn_of_synthetic()
        many = f"{counted(about.candidates, 'candidate')} with {counted(about.trades, 'trade')}; "
        self._out.notice(f"{about.name}: {many if about.trades else ''}{about.source}")
        if about.family_size is not None:
            fixed = "fixed now" if about.folder is not None else "as it is now; a dry run fixes none"
            fixed = "as it was when this validation began" if about.family_stored else fixed
            self._out.notice(f"family of {counted(about.family_size, 'trial')}, {fixed}")
        left = "left by the cheap phases" if self._one == "candidate" else "to make"
        where = "dry run, nothing is written" if about.folder is None else str(about.folder)
        if about.skipped:
            left += f" ({about.skipped:,} of them cannot pass, because a phase could not judge them)"
        self._out.notice(f"{self._counted(about.survivors)} {left}, {counted(about.workers, 'worker')}, {where}")
        if about.known:
            self._out.notice(f"{self._counted(about.known)} taken from the earlier attempt")
        if about.dropped:
            them, it = ("is", "it") if about.dropped == 1 else ("are", "them")
            self._out.notice(
                f"{self._counted(about.dropped)} of an earlier attempt {them} judged again; --resume would take {it}"
            )
        self.text = f"{self._counted(about.known)} of an earlier attempt" if about.known else self.text
        self.progress.begin(about.known)

    def warn_of_synthetic(self) -> None:
        """Once; whether a market was generated that parameters are chosen on is known only when its runs are made."""
        if not self._warned:
            self._warned = True
            self._out.warn(
                "SYNTHETIC trades, or a SYNTHETIC market: what passes here says nothing about a market or a strategy"
            )

    def done(self, done: int, failed: int, total: int) -> None:
        """See `ValidationWatch.done`."""
        self.text = f"{done} of {self._counted(total)}"
        self.progress.tell(done, failed, total)

    def _counted(self, number: int) -> str:
        return counted(number, self._one)
