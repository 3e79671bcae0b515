"""The options that several commands share, and what they mean."""

from pathlib import Path
from typing import Annotated

import typer

from src.cli.output import Output
from src.data.importing import ImportAnswers

__all__ = [
    "DEFAULT_STORE",
    "AnySymbol",
    "BreakOption",
    "ConfigOption",
    "DebugOption",
    "JsonOption",
    "KindOption",
    "PauseOption",
    "PriceOption",
    "ProgressOption",
    "QuietOption",
    "RunToOption",
    "SetOption",
    "SkipPreflightOption",
    "SourceOption",
    "SourceSettingsOption",
    "StampOption",
    "StatsOption",
    "StoreOption",
    "StrictOption",
    "SymbolOption",
    "TimeframeOption",
    "TraceOption",
    "WatchOption",
    "WorkersOption",
    "ZoneOption",
    "answers_of",
    "output_of",
]

DEFAULT_STORE = Path("data") / "market.duckdb"

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, everything else on stderr.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]

ConfigOption = Annotated[Path, typer.Option("--config", help="A YAML file.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key; may be repeated.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="How many processes at a time; a core each if absent.")
]

_RUN = "The run"
_WHILE_IT_RUNS = "While it runs"


def _watched(name: str, text: str, metavar: str | None = None) -> object:
    return typer.Option(f"--{name}", metavar=metavar, help=text, rich_help_panel=_WHILE_IT_RUNS)


TraceOption = Annotated[Path | None, _watched("trace", "Write a trace of the threads for Perfetto.", "FILE")]
WatchOption = Annotated[bool, _watched("watch", "Show the run live on the terminal; keys control it.")]
StatsOption = Annotated[bool, _watched("stats", "Show the threads' real time.")]
StrictOption = Annotated[bool, _watched("strict", "Name what the strategies ask of the real clock.")]
ProgressOption = Annotated[
    bool | None,
    typer.Option("--progress/--no-progress", help="Draw the progress bar anyway, or never.", rich_help_panel=_RUN),
]
SkipPreflightOption = Annotated[
    bool, typer.Option("--skip-preflight", help="Run unjudged data; the folder says so.", rich_help_panel=_RUN)
]
PauseOption = Annotated[bool, _watched("pause", "Start paused; keys control the run.")]
RunToOption = Annotated[str | None, _watched("run-to", "Pause when this instant is over.", "INSTANT")]
BreakOption = Annotated[str | None, _watched("break", "Pause when it holds, as account.equity < 9000.", "EXPR")]

_PANEL = "What a file of bars does not say itself"


def _answer(name: str, text: str) -> object:
    return typer.Option(f"--{name}", help=text, rich_help_panel=_PANEL)


SymbolOption = Annotated[str | None, _answer("symbol", "The name of the instrument.")]
KindOption = Annotated[str | None, _answer("kind", "fx, crypto or equity: chooses the instrument's defaults.")]
TimeframeOption = Annotated[str | None, _answer("timeframe", "The length of a bar, such as 1m.")]
ZoneOption = Annotated[str | None, _answer("zone", "The zone of stamps without an offset, such as UTC.")]
StampOption = Annotated[str | None, _answer("stamp", "Whether a stamp is the open or the close of its bar.")]
PriceOption = Annotated[str | None, _answer("price", "bid, ask, mid or trade.")]
SourceOption = Annotated[str | None, _answer("source", "The name of the origin; a series never mixes two.")]
AnySymbol = Annotated[str | None, typer.Argument(metavar="[SYMBOL]", help="All of them by default.")]
SourceSettingsOption = Annotated[
    list[str] | None,
    typer.Option("--source-option", metavar="KEY=VALUE", help="A setting of the source, as timeout=20000."),
]
StoreOption = Annotated[Path, typer.Option("--store", help="The DuckDB file.")]


def answers_of(
    symbol: str | None, kind: str | None, timeframe: str | None, zone: str | None, stamp: str | None,
    price: str | None, source: str | None,
) -> ImportAnswers:  # fmt: skip
    """The answers that were given as options."""
    return ImportAnswers(
        symbol=symbol, kind=kind, timeframe=timeframe, zone=zone, stamp=stamp, price=price, source=source
    )


def output_of(context: typer.Context, as_json: bool, quiet: bool, debug: bool) -> Output:
    """The output of a verb; `--json` and the like count before the verb as well as after it."""
    before = context.obj or {}
    return Output(
        as_json=as_json or before.get("as_json", False),
        quiet=quiet or before.get("quiet", False),
        debug=debug or before.get("debug", False),
    )
