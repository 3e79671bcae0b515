"""`replay`: a recorded run again, with what it was told, or its requests with simulated fills.

Runs in the main thread; the replayed bot's threads live inside the replay.
"""

from contextlib import nullcontext
from typing import Annotated, Any

import typer

from src.cli.options import DebugOption, JsonOption, QuietOption, output_of
from src.cli.output import Output, stdout_kept
from src.cli.run_folder import RunArgument, RunsOption, found_run
from src.core.errors import ConfigError, DeterminismError
from src.core.words import counted
from src.research.parity.decisions import decision_digest
from src.research.parity.fill_errors import FillReport
from src.research.parity.recorded import read_recorded
from src.research.parity.report import fills_as_dict, summary_rows, trade_rows
from src.research.parity.run_parity import simulated_fills
from src.research.replay import replay_recorded

__all__ = ["replay_command", "show_fills"]

RECORDED, SIMULATED = "recorded", "simulated"
_SHOWN = 50


def replay_command(
    context: typer.Context,
    run: RunArgument,
    fills: Annotated[
        str, typer.Option("--fills", metavar="WHICH", help="recorded: as they were; simulated: on paper.")
    ] = RECORDED,
    config: RunsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Run a recorded bot again on what it saw: does it decide the same, and what would the simulator have filled?

    With recorded fills nothing may differ; exit code 4 when something does.
    """
    out = output_of(context, as_json, quiet, debug)
    if fills not in (RECORDED, SIMULATED):
        raise ConfigError(f"--fills: expected {RECORDED} or {SIMULATED}, found {fills!r}", found=fills)
    folder = found_run(run, config)
    if fills == SIMULATED:
        with stdout_kept() if out.as_json else nullcontext():
            report = simulated_fills(read_recorded(folder))
        show_fills(report, out)
        out.result({"run": str(folder), "fills": fills, **fills_as_dict(report), "exit_code": 0})
        return 0
    with stdout_kept() if out.as_json else nullcontext():
        replayed = replay_recorded(folder)
    digests = [decision_digest(records, replayed.instruments) for records in (replayed.recorded, replayed.records)]
    exit_code = 0 if replayed.same else DeterminismError.exit_code
    if replayed.difference is not None:
        out.error(replayed.difference.message)
    else:
        done = f"{counted(replayed.turns, 'turn')} and {counted(replayed.calls, 'call')}"
        out.say(f"{folder.name}: the same in {done}; decisions {digests[1][:16]}", style="bold green")
    if replayed.error is not None:
        out.warn(f"the run ended as it did live: {replayed.error.message}")
    out.result(
        {
            "run": str(folder), "fills": fills, "same": replayed.same, "exit_code": exit_code,
            "turns": replayed.turns, "calls": replayed.calls, "records": len(replayed.records),
            "decision_digest": {"recorded": digests[0], "replayed": digests[1]},
            "difference": None if replayed.difference is None else _difference(replayed.difference),
            "error": None if replayed.error is None else replayed.error.message,
        }
    )  # fmt: skip
    return exit_code


def show_fills(report: FillReport, out: Output) -> None:
    """The errors of the fills, trade by trade, and how large they mostly are."""
    if not report.fills:
        out.say("nothing was filled")
        return
    heads = ("symbol", "book", "trade", "fills", "unpaired", "ticks", "basis points", "seconds", "fee")
    rows = trade_rows(report)
    out.table(heads, rows[:_SHOWN], numbers=heads[2:])
    if len(rows) > _SHOWN:
        out.say(f"and {len(rows) - _SHOWN:,} more; --json has them all")
    out.table(("error of a trade", "median", "worst"), summary_rows(report), numbers=("median", "worst"))
    alone = len(report.fills) - len(report.paired)
    out.say(
        f"{counted(len(report.paired), 'fill')} compared with the simulated broker, {alone} without the other side; "
        f"positions were brought back {report.resyncs} times; positive is worse than simulated"
    )
    for code, count in report.refused.items():
        out.warn(f"the simulated broker refused {counted(count, 'request')} that the venue had taken: {code}")


def _difference(error: Any) -> dict[str, Any]:
    return {"message": error.message, **{name: error.details.get(name) for name in _DETAILS}}


_DETAILS = ("n", "instant_ns", "participant", "expected", "found")
