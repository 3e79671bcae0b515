"""`explore`: run one bot under many schedules, and say whether and why its result depends on them.

Runs in the main thread; the runs themselves go on in processes of their own, the search for a race in this one.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from src.backtesting.config import BacktestConfig
from src.backtesting.result import Outcome
from src.cli.options import (
    ConfigOption,
    DebugOption,
    JsonOption,
    QuietOption,
    ReportOption,
    SetOption,
    WorkersOption,
    output_of,
)
from src.cli.output import Output, stdout_kept
from src.cli.report_file import check_report
from src.core.words import counted
from src.pages import write_page
from src.research.explore.groups import Observed, observed
from src.research.explore.lab import Lab
from src.research.explore.report import (
    GROUP_COLUMNS,
    Command,
    as_dict,
    finding_lines,
    group_rows,
    headline,
    reproduction_lines,
    spread_rows,
)
from src.research.explore.report_page import exploration_page
from src.research.explore.schedules import REFERENCE, Variant, command, override_words
from src.research.explore.study import Exploration, explore
from src.research.explore.timelines import timelines_of
from src.research.processes import cores
from src.research.snapshot import frozen_market
from src.research.trial import Trial, prepared_for, run_trials

__all__ = ["explore_command"]

_EXIT_DIFFERS = 4
_EXIT_NOT_COMPLETED = 1
_SHOWN_GROUPS = 10


def explore_command(
    context: typer.Context,
    config: ConfigOption,
    schedules: Annotated[int, typer.Option("--schedules", min=2, help="How many schedules to try.")] = 100,
    overrides: SetOption = None,
    workers: WorkersOption = None,
    report: ReportOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Run one bot under many schedules: does its result depend on the order of turns?

    Exit code 0 when all schedules give one result, 4 when they do not. Nothing is stored but the report, if asked for.
    """
    out = output_of(context, as_json, quiet, debug)
    words = overrides or []
    overrides_here = (*words, *override_words(Variant(kind="fifo", schedule=REFERENCE)))
    told = _Progress(out, schedules)

    def observe(tried: list[Variant]) -> list[Observed]:
        trials = [
            Trial(
                path=str(config),
                overrides=overrides_here,
                schedule=variant.schedule,
                symbols=variant.symbols or (),
            )
            for variant in tried
        ]
        results = run_trials(trials, workers or cores(), lambda number, result: told.observed())
        return [observed(variant, result) for variant, result in zip(tried, results, strict=True)]

    with stdout_kept():
        # The configuration is checked and its market made before any process starts.
        prepared = prepared_for(Trial(path=str(config), overrides=overrides_here))
        if report is not None:
            check_report(report)
        with frozen_market(prepared.config, config.resolve().parent):
            lab = Lab(config, overrides_here, told.searched)
            found = explore(
                prepared.config.symbols,
                schedules,
                prepared.config.backtest.seed,
                observe,
                lab,
            )
            races = [each.race for each in found.findings if each.race is not None]
            times = [timelines_of(race, lab.run) for race in races] if report is not None else []

    def line(variant: Variant) -> str:
        return command(str(config), words, variant)

    exit_code = _exit_code(found)
    if prepared.synthetic is not None:
        out.say(f"SYNTHETIC market, seed {prepared.synthetic}: generated prices", style="bold yellow")
    _show(found, prepared.config, out, line)
    if report is not None:
        page = exploration_page(found, prepared.config.name, line, times, synthetic_seed=prepared.synthetic)
        write_page(report, page)
        out.say(f"report: {report}")
    market = {"synthetic": prepared.synthetic is not None, "synthetic_seed": prepared.synthetic}
    out.result({**as_dict(found, line, exit_code), **market})
    return exit_code


class _Progress:
    """What people are told on stderr meanwhile; nothing of it is part of the result."""

    def __init__(self, out: Output, count: int) -> None:
        self._out = out
        self._count = count
        self._every = max(1, count // 10)
        self._done = 0

    def observed(self) -> None:
        """One more schedule has been run."""
        self._done += 1
        done = self._done
        if done % self._every == 0 or done == self._count:
            self._out.notice(f"{done} of {counted(self._count, 'schedule')}")

    def searched(self, runs: int) -> None:
        """So many runs were spent on the search for what decides."""
        if runs % 10 == 1:
            self._out.notice(f"looking for what decides: run {runs}")


def _exit_code(found: Exploration) -> int:
    if not found.agrees:
        return _EXIT_DIFFERS
    return 0 if found.results[0].outcome == Outcome.COMPLETED.value else _EXIT_NOT_COMPLETED


def _show(found: Exploration, config: BacktestConfig, out: Output, line: Command) -> None:
    style = "bold green" if found.agrees else "bold red"
    out.say(f"{config.name}: {headline(found)}", style=style)
    first = found.results[0]
    if first.error:
        out.error(first.error)
    out.say()
    out.table(GROUP_COLUMNS, group_rows(found, _SHOWN_GROUPS), numbers=GROUP_COLUMNS[:5])
    more = len(found.groups) - _SHOWN_GROUPS
    if more > 0:
        out.say(f"... and {more} more; --json lists every result")
    out.say()
    out.pairs(spread_rows(found))
    if found.agrees:
        return
    for finding in found.findings:
        out.say()
        _lines(out, finding_lines(found, finding, line))
    out.say()
    out.say(f"{counted(found.runs, 'run was', 'runs were')} spent on this search. Each result again:")
    _lines(out, reproduction_lines(found, _SHOWN_GROUPS, line))


def _lines(out: Output, lines: Sequence[str]) -> None:
    for text in lines:
        out.say(text)
