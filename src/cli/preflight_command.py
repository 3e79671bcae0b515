"""`preflight`: whether the data are what a run needs, before it begins.

Runs in the main thread. Nothing is run and nothing is stored, except what `--sync` brings into the store.
"""

from pathlib import Path
from typing import Annotated

import typer

from src.backtesting.preflight import Finding, PreflightReport, SeriesReport, hours_text, instant_text, sync_first
from src.backtesting.run import prepare
from src.cli.options import DebugOption, JsonOption, QuietOption, SetOption, default_config, output_of
from src.cli.output import Output, stdout_kept
from src.cli.sync_command import bars_on, tell_waits
from src.core.config_file import ConfigDocument, read_config
from src.core.errors import PreflightError
from src.core.timeframe import format_duration
from src.core.words import counted
from src.data.syncing import SyncReport

__all__ = ["preflight_command"]

_STYLES = {"error": "bold red", "warning": "yellow", "info": ""}
_COLUMNS = ("symbol", "bars", "first", "last", "calendar", "absent", "share", "longest hole", "warm-up", "whole bars")


def preflight_command(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="A YAML file; configs/default.yaml if absent.")
    ] = None,
    overrides: SetOption = None,
    sync: Annotated[
        bool, typer.Option("--sync", help="First ask the source of backtest.data.sync for what is absent.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Are the data what a run needs? Coverage, warm-up, holes, stamps, costs; exit code 3 when a run would be refused.

    Each finding has a code, a sentence, and the command that mends it.
    """
    out = output_of(context, as_json, quiet, debug)
    document = read_config(default_config() if config is None else config, overrides)
    with stdout_kept():  # a strategy's own print must not stand between a program and the one object that it reads
        report = _sync(document, out) if sync else None
        report = report or _examined(document, synced=sync)
    _show(report, out)
    exit_code = PreflightError.exit_code if report.errors else 0
    out.result({"config": document.name, **report.as_dict(), "exit_code": exit_code})
    return exit_code


def _examined(document: ConfigDocument, *, synced: bool) -> PreflightReport:
    try:
        return prepare(document, stored=False, synced=synced).preflight or PreflightReport()
    except PreflightError as error:
        return PreflightReport.of(error)


def _sync(document: ConfigDocument, out: Output) -> PreflightReport | None:
    """Bring what is absent into the store; the report of what is wrong already without the data, None when nothing."""
    try:
        for done in sync_first(document, on_opened=lambda source: tell_waits(source, out), shown=bars_on(out)):
            _tell_synced(done, out)
    except PreflightError as error:
        return PreflightReport.of(error)
    return None


def _tell_synced(done: SyncReport, out: Output) -> None:
    name = f"{done.symbol} {format_duration(done.timeframe_ns)}"
    new = f"{counted(done.written, 'new bar')} from {done.source}" if done.asked else "nothing new"
    out.notice(f"{name}: {new}")
    for sentence in done.refused:
        out.warn(f"left out: {sentence}")


def _show(report: PreflightReport, out: Output) -> None:
    if report.series:
        out.table(_COLUMNS, [_row(one) for one in report.series], numbers=("bars", "absent", "share"))
    for one in report.findings:
        _tell(one, out)
    errors, warnings = len(report.errors), len(report.warnings)
    if errors:
        out.error(f"a run would be refused: {counted(errors, 'error')}, {counted(warnings, 'warning')}")
    else:
        out.say(f"a run would be accepted: {counted(warnings, 'warning')}", style="bold")


def _tell(one: Finding, out: Output) -> None:
    out.say(f"{one.severity} {one.code}: {one.sentence}", style=_STYLES[one.severity])
    if one.mend:
        out.say(f"  {one.mend}")


def _row(one: SeriesReport) -> tuple[str, ...]:
    warmup = ", ".join(f"{format_duration(k)} {there}/{need}" for k, (need, there) in one.warmup.items())
    whole = ", ".join(f"{format_duration(k)} {full:,}/{bars:,}" for k, (bars, full) in one.mapping.items())
    return (
        f"{one.symbol} {format_duration(one.timeframe_ns)}", f"{one.bars:,}", instant_text(one.first_ns),
        instant_text(one.last_ns), one.calendar, f"{one.absent:,}", f"{100 * one.absent_share:.2f} %",
        hours_text(one.longest_ns) if one.longest_ns else "none", warmup or "none", whole or "none",
    )  # fmt: skip
