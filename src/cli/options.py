"""The options that several commands share, and what they mean."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import src
from src.cli.output import Output
from src.core.errors import ConfigError

if TYPE_CHECKING:
    from src.data.import_plan import ImportAnswers

__all__ = [
    "DEFAULT_STORE",
    "AcceptOption",
    "AnySymbol",
    "BreakOption",
    "ConfigOption",
    "ConfirmOption",
    "DebugOption",
    "JsonOption",
    "KindOption",
    "PauseOption",
    "PriceOption",
    "ProgressOption",
    "QuietOption",
    "ReportOption",
    "RunConfigOption",
    "RunModeOption",
    "RunSetOption",
    "RunToOption",
    "SetOption",
    "SkipPreflightOption",
    "SourceOption",
    "SourceSettingsOption",
    "StampOption",
    "StatsOption",
    "StopAfterOption",
    "StoreOption",
    "StrictOption",
    "SymbolOption",
    "TimeframeOption",
    "TraceOption",
    "WatchOption",
    "WorkersOption",
    "ZoneOption",
    "answers_of",
    "check_options",
    "default_config",
    "output_of",
]

DEFAULT_STORE = Path("data") / "market.duckdb"

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, everything else on stderr.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")]

ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write a page for the browser, one HTML file.")
]
ConfigOption = Annotated[Path, typer.Option("--config", help="A YAML file.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key; may be repeated.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="How many processes at a time; a core each if absent.")
]

_RUN = "The run"
_REAL_TIME = "Paper and live"
ConfirmOption = Annotated[
    str | None,
    typer.Option("--confirm", metavar="LABEL", help="Repeat live.account: real money is meant.",
                 rich_help_panel=_REAL_TIME),
]  # fmt: skip
AcceptOption = Annotated[
    bool,
    typer.Option("--accept-config-change", help="Manage what is held by the changed configuration.",
                 rich_help_panel=_REAL_TIME),
]  # fmt: skip
StopAfterOption = Annotated[
    str | None,
    typer.Option("--stop-after", metavar="TIME", help="Stop in order after so long, such as 8h.",
                 rich_help_panel=_REAL_TIME),
]  # fmt: skip

_WHILE_IT_RUNS = "While it runs"


def _watched(name: str, text: str, metavar: str | None = None) -> object:
    return typer.Option(f"--{name}", metavar=metavar, help=text, rich_help_panel=_WHILE_IT_RUNS)


RunModeOption = Annotated[
    str | None,
    typer.Option(
        "--mode", metavar="MODE", rich_help_panel=_RUN,
        help="backtest: virtual time; paper: real prices, no money; live: an exchange.",
    ),
]  # fmt: skip
RunConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A YAML file; configs/default.yaml if absent.", rich_help_panel=_RUN)
]
RunSetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one key; may be repeated.", rich_help_panel=_RUN),
]
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


_OF_BACKTESTS = {
    "open_report": "--open", "progress": "--progress", "skip_preflight": "--skip-preflight", "watch": "--watch",
    "trace": "--trace", "stats": "--stats", "strict": "--strict", "pause": "--pause", "run_to": "--run-to",
    "break_when": "--break",
}  # fmt: skip
_OF_REAL_TIME = {"confirm": "--confirm", "accept_config_change": "--accept-config-change", "stop_after": "--stop-after"}


def check_options(mode: str, given: Mapping[str, Any]) -> None:
    """Hold that no option was given which the mode would pass over in silence.

    Args:
        given: the values of all options of the command, by the names of its parameters.

    Raises:
        ConfigError: one was.
    """
    others = _OF_REAL_TIME if mode == "backtest" else _OF_BACKTESTS
    found = [option for name, option in others.items() if given.get(name) not in (None, False)]
    if found:
        whose = "belong to paper and live" if mode == "backtest" else "belong to backtests"
        raise ConfigError(f"--mode {mode}: found {', '.join(found)}, which {whose}; leave them out")


def default_config() -> Path:
    """`configs/default.yaml` beside the package."""
    return Path(src.__file__).resolve().parent.parent / "configs" / "default.yaml"


def answers_of(
    symbol: str | None = None, kind: str | None = None, timeframe: str | None = None, zone: str | None = None,
    stamp: str | None = None, price: str | None = None, source: str | None = None,
) -> "ImportAnswers":  # fmt: skip
    """The answers that were given as options."""
    from src.data.import_plan import ImportAnswers  # only when asked for: every command reads this file

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
