"""`verify`: the same run in many ways that must not matter, and the first event in which two of them differ.

Runs in the main thread; the runs themselves go on in processes of their own.
"""

from typing import Annotated, Any

import typer

from src.backtesting.result import Outcome
from src.backtesting.run import prepare
from src.cli.options import ConfigOption, DebugOption, JsonOption, QuietOption, SetOption, WorkersOption, output_of
from src.cli.output import Output, stdout_kept
from src.core.config_file import read_config
from src.core.errors import DeterminismError
from src.core.journal import JournalRecord
from src.core.timeframe import format_instant
from src.core.words import counted
from src.research.explore.differences import Difference, event_text
from src.research.processes import cores
from src.research.snapshot import frozen_market
from src.research.verify import Checked, Verification, Way, verify, ways_of

__all__ = ["verify_command"]

_EXIT_DIFFERS = DeterminismError.exit_code
_EXIT_NOT_COMPLETED = 1


def verify_command(
    context: typer.Context,
    config: ConfigOption,
    overrides: SetOption = None,
    workers: WorkersOption = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="WAY", help="Only this way, as again; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Run one bot in many ways that must not matter: do all of them give one digest?"""
    out = output_of(context, as_json, quiet, debug)
    words = overrides or []
    # The configuration is checked and its market made before any process starts.
    with stdout_kept():
        document = read_config(config, words)
        prepared = prepare(document, stored=False)
    ways, skipped = ways_of(prepared, str(config), words, only or ())
    runs = counted(len(ways), "run in a process of its own", "runs in processes of their own")
    out.notice(f"{prepared.config.name}: {runs}")
    with stdout_kept(), frozen_market(prepared.config, document.folder):
        found = verify(ways, skipped, workers or cores(), lambda checked: _tell(checked, out))
    exit_code = _exit_code(found)
    _show(found, prepared.config.name, out)
    out.result(_as_dict(found, exit_code))
    return exit_code


def _exit_code(found: Verification) -> int:
    if found.differing is not None:
        return _EXIT_DIFFERS
    completed = found.reference.result.outcome == Outcome.COMPLETED.value
    return 0 if completed and not found.lost else _EXIT_NOT_COMPLETED


def _tell(checked: Checked, out: Output) -> None:
    state = "the reference" if checked.way.name == "reference" else "the same" if checked.agrees else "DIFFERS"
    out.notice(f"{checked.way.name}: {checked.result.digest[:16]}, {state}")


def _show(found: Verification, name: str, out: Output) -> None:
    out.say()
    rows = [
        [
            each.way.name,
            each.way.text,
            each.result.digest[:16],
            each.result.outcome,
            "" if each.result.trades is None else str(each.result.trades),
            f"{each.result.seconds:.1f}",
            "yes" if each.agrees else "NO",
        ]
        for each in found.checked
    ]
    out.table(("way", "what is different", "digest", "outcome", "trades", "s", "same"), rows, numbers=("trades", "s"))
    for left_out in found.skipped:
        out.say(f"not compared: {left_out.name}: {left_out.reason}")
    out.say()
    reference = found.reference.result
    if found.differing is None:
        out.say(f"{name}: one digest in {counted(len(found.checked), 'run')}: {reference.digest}", style="bold green")
        if reference.error:
            out.error(f"the run failed in the same way each time: {reference.error}")
        return
    _show_difference(found.reference.way, found.differing, found.difference, out)


def _show_difference(reference: Way, differing: Checked, difference: Difference | None, out: Output) -> None:
    out.error(f"the run depends on something besides its inputs: {differing.way.name} ({differing.way.text}) differs")
    if difference is None:
        result = differing.result
        out.say(f"the events are the same, the end is not: {result.outcome} {result.error}".rstrip())
    else:
        event = difference.event
        out.say(
            f"first differing event: {format_instant(event.instant_ns)}, stream {event.stream}, {event.kind} by "
            f"{event.participant}"
        )
        out.say(f"  reference: {event_text(difference.reference)}")
        out.say(f"  {differing.way.name}: {event_text(difference.other)}")
    out.say("each again:")
    out.say(f"  {reference.command}")
    out.say(f"  {differing.way.command}")


def _as_dict(found: Verification, exit_code: int) -> dict[str, Any]:
    difference = found.difference
    return {
        "agrees": found.differing is None,
        "exit_code": exit_code,
        "digest": found.reference.result.digest,
        "outcome": found.reference.result.outcome,
        "error": found.reference.result.error or None,
        "ways": [_way(each) for each in found.checked],
        "not_compared": {each.name: each.reason for each in found.skipped},
        "differing": None if found.differing is None else found.differing.way.name,
        "first_difference": None
        if difference is None
        else {
            "instant": format_instant(difference.instant_ns),
            "stream": difference.event.stream,
            "kind": difference.event.kind,
            "participant": difference.event.participant,
            "reference": _event(difference.reference),
            "other": _event(difference.other),
        },
    }


def _way(checked: Checked) -> dict[str, Any]:
    way, result = checked.way, checked.result
    return {
        "name": way.name,
        "what": way.text,
        "environment": dict(way.environment),
        "digest": result.digest,
        "outcome": result.outcome,
        "error": result.error or None,
        "trades": result.trades,
        "turns": result.turns,
        "seconds": result.seconds,
        "agrees": checked.agrees,
        "reproduce": way.command,
    }


def _event(event: JournalRecord | None) -> dict[str, Any] | None:
    return None if event is None else {"text": event_text(event), **dict(event.fields)}
