"""Asking what a file of bars does not say: in a terminal by question, otherwise by refusal.

Runs in the main thread; waits for answers.
"""

from dataclasses import replace
from pathlib import Path

import typer

from src.cli.output import Output
from src.core.errors import ConfigError
from src.core.timeframe import format_duration, format_instant
from src.core.words import counted
from src.data.importing import ImportAnswers, ImportPlan, ImportReport, Question, inspect_file

__all__ = ["plan_import", "show_report"]


def plan_import(path: Path, answers: ImportAnswers, out: Output, store: Path | None = None) -> ImportPlan:
    """The plan of an import without open questions; the rows as understood are printed.

    Args:
        path: the file of bars or ticks.
        answers: those that were given as options.
        out: where the rows and the questions are printed.
        store: what the command to paste must name; None for the usual store.

    Raises:
        ConfigError: something is open and nobody can be asked, or the rows were not confirmed.
    """
    plan = replace(inspect_file(path, answers), store=store)
    _show_plan(plan, out)
    if not plan.questions or not out.can_ask:
        return plan
    out.errors.print(f"\n{path.name} does not say everything. Enter takes the suggestion in brackets.")
    while plan.questions:
        question = plan.questions[0]
        answers = plan.answers.having({question.key: _answer(question, out)})
        plan = replace(inspect_file(path, answers), store=store)
    _show_plan(plan, out)
    if not typer.confirm("Is this what the file means?", default=True, err=True):
        raise ConfigError("nothing was imported, because the rows were not confirmed")
    out.say(f"the same without questions: --{plan.command.partition(' --')[2]}")
    return plan


def show_report(report: ImportReport, store: Path, out: Output) -> None:
    """What was stored, with the instrument's defaults."""
    what = report.holds
    if what == "bars":
        sides = " and ".join((report.price_side, *report.sides))
        what = f"{format_duration(report.timeframe_ns)} {sides} bars"
    out.say(
        f"stored {report.written:,} new of {report.rows:,} {what} of {report.symbol}, "
        f"{format_instant(report.first_ns)} to {format_instant(report.last_ns)}, in {store}"
    )
    defaults = ", ".join(f"{key}: {value}" for key, value in report.instrument.items())
    out.say(f"instrument defaults of {report.kind}: {{{defaults}}}")


def _show_plan(plan: ImportPlan, out: Output) -> None:
    if plan.holds != "bars":
        known = ", ".join(f"{key} {value}" for key, value in plan.settled.items())
        out.say(f"{plan.path.name}: {plan.rows:,} {plan.holds}; {known}")
    if plan.preview:
        understood = "with the suggestions below, " if plan.questions else ""
        known = ", ".join(f"{key} {value}" for key, value in plan.settled.items())
        out.say(f"{plan.path.name}: {counted(plan.rows, 'row')}, layout {plan.layout}; {known}")
        out.say(f"The first rows, {understood}as understood (open of the bar, UTC):")
        names = ("open", "high", "low", "close", "volume")
        rows = [
            (str(row.line), format_instant(row.open_ns), *(f"{getattr(row, name):.10g}" for name in names))
            for row in plan.preview
        ]
        out.table(("line", "opens", *names), rows, numbers=("line", *names))
    for note in plan.notes:
        out.say(f"note: {note}")


def _answer(question: Question, out: Output) -> str:
    said = all(choice in question.sentence for choice in question.choices)
    choices = "" if said else f" ({', '.join(question.choices)})"
    while True:
        given = str(typer.prompt(f"{question.key}: {question.sentence}{choices}", default=question.default, err=True))
        given = given.strip()
        if given and (not question.choices or given in question.choices):
            return given
        out.errors.print(f"expected one of {', '.join(question.choices)}, found {given!r}")
