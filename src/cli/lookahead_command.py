"""`lookahead`: does a strategy know what it cannot know yet, or depend on when it was started?

Runs in the main thread; the runs themselves go on in processes of their own.
"""

from typing import Annotated, Any

import typer

from src.backtesting.run import prepare
from src.cli.options import ConfigOption, DebugOption, JsonOption, QuietOption, SetOption, WorkersOption, output_of
from src.cli.output import Output, stdout_kept
from src.core.config_file import read_config
from src.core.errors import DeterminismError
from src.core.timeframe import format_duration, format_instant
from src.core.words import counted
from src.research.lookahead import HIDDEN, Change, CheckedPair, Found, lookahead, pairs_of
from src.research.processes import cores
from src.research.snapshot import frozen_market

__all__ = ["lookahead_command"]

_EXIT_CHANGED = DeterminismError.exit_code
_EXIT_NOT_COMPARED = 1


def lookahead_command(
    context: typer.Context,
    config: ConfigOption,
    overrides: SetOption = None,
    edges: Annotated[
        int, typer.Option("--edges", min=1, help="After how many decisions of each strategy the future is changed.")
    ] = 6,
    starts: Annotated[int, typer.Option("--starts", min=1, help="How many later starts of each strategy.")] = 4,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Change the future, and start later: do features and decisions stay what they were?"""
    out = output_of(context, as_json, quiet, debug)
    words = overrides or []
    # The configuration is checked and its market made before any process starts.
    with stdout_kept():
        prepared = prepare(read_config(config, words), stored=False)
        pairs = pairs_of(prepared, str(config), words, edges=edges, starts=starts)
    what = counted(len(pairs), "strategy on a symbol", "strategies on their symbols")
    out.notice(f"{prepared.config.name}: {what}, each by itself")
    with stdout_kept(), frozen_market(prepared.config, config.resolve().parent):
        found = lookahead(pairs, workers or cores(), lambda checked: _tell(checked, out))
    exit_code = _EXIT_CHANGED if found.changed else 0 if found.complete else _EXIT_NOT_COMPARED
    _show(found, prepared.config.name, out)
    out.result(_as_dict(found, exit_code))
    return exit_code


def _tell(checked: CheckedPair, out: Output) -> None:
    state = checked.problem or ("CHANGES" if checked.changes else "stays the same")
    out.notice(f"{checked.strategy} on {checked.symbol}: {state}")


def _show(found: Found, name: str, out: Output) -> None:
    out.say()
    rows = [
        [
            pair.strategy, pair.symbol, str(len(pair.features)), str(pair.decisions), str(pair.futures),
            str(pair.starts), "not compared" if pair.problem else "NO" if pair.changes else "yes",
        ]
        for pair in found.pairs
    ]  # fmt: skip
    columns = ("strategy", "symbol", "features", "decisions", "other futures", "later starts", "same")
    out.table(columns, rows, numbers=columns[2:6])
    out.say()
    for pair in found.pairs:
        if pair.problem:
            out.error(f"{pair.strategy} on {pair.symbol} was not compared: {pair.problem}")
        elif not pair.starts:
            out.warn(
                f"{pair.strategy} on {pair.symbol}: its decisions were not compared with later starts, because it is "
                "never without a position or order where enough bars lie before"
            )
        for change in pair.changes:
            _show_change(pair, change, out)
    if found.changed:
        count = sum(bool(pair.changes) for pair in found.pairs)
        verb = "depends" if count == 1 else "depend"
        out.error(f"{name}: {count} of {len(found.pairs)} {verb} on what was not known yet, or on when it was started")
    elif found.complete:
        out.say(f"{name}: nothing depends on what was not known yet, or on when it was started", style="bold green")


def _show_change(pair: CheckedPair, change: Change, out: Output) -> None:
    rows = [
        ("first change", format_instant(change.first_ns)),
        ("started at" if _is_later(change) else "known up to", format_instant(change.edge_ns)),
        ("in the whole run", change.whole),
        ("in the other one", change.other),
        ("what to do", _advice(change)),
    ]
    what = "fails" if change.kind == "failure" else f"{change.name} change" + ("s" if change.kind == "feature" else "")
    out.pairs(rows, title=f"{pair.strategy} on {pair.symbol}: {what} with a {change.how}")
    out.say()


def _is_later(change: Change) -> bool:
    return change.how.startswith("later")


def _advice(change: Change) -> str:
    if change.how == HIDDEN and change.kind == "feature":
        return (
            "it reads bars that close later, or computes a bar by itself otherwise than many at once; let a value be a "
            "function of the bars up to it, in a fixed order"
        )
    if not _is_later(change):
        return "it reads bars that close later; let it read what has closed, as self.bars and the features show it"
    if change.suffices is None:
        return (
            "no look-back suffices: it counts from the first bar that there is, or keeps something of its own since it "
            "was started"
        )
    if change.kind == "feature":
        return f"declare lookback={change.suffices} in place of {change.lookback}"
    return (
        f"{counted(change.suffices, 'bar')} of {format_duration(change.timeframe_ns or 0)} before the start would do, "
        f"declared: {change.lookback}; mend a feature's lookback, or let bars_needed say what on_bar reads by itself"
    )


def _as_dict(found: Found, exit_code: int) -> dict[str, Any]:
    return {
        "same": not found.changed,
        "exit_code": exit_code,
        "pairs": [
            {
                "strategy": pair.strategy,
                "symbol": pair.symbol,
                "decisions": pair.decisions,
                "features": list(pair.features),
                "other_futures": pair.futures,
                "later_starts": pair.starts,
                "problem": pair.problem or None,
                "changes": [_change(change) for change in pair.changes],
            }
            for pair in found.pairs
        ],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "name": change.name,
        "how": change.how,
        "first": format_instant(change.first_ns),
        "edge": format_instant(change.edge_ns),
        "whole": change.whole,
        "other": change.other,
        "lookback": change.lookback,
        "suffices": change.suffices,
        "timeframe": None if change.timeframe_ns is None else format_duration(change.timeframe_ns),
        "advice": _advice(change),
    }
