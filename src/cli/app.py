"""The command line: `python main.py --mode backtest`, and the verbs beside it.

`main` turns every way in which a command can end into an exit code and at most one sentence: 0 done, 1 failed or
degraded, 2 bad usage, configuration or file, 3 refused by preflight, 4 determinism broken, strict mode found something
or `explore` another result under another order of turns, 130 interrupted. Runs in the main thread.
"""

import difflib
import io
import os
import sys
import tempfile
import traceback
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from src import __version__
from src.cli.data_commands import data_app, output_of
from src.cli.explore_command import explore_command
from src.cli.init_command import write_project
from src.cli.lookahead_command import lookahead_command
from src.cli.options import (
    BreakOption,
    DebugOption,
    JsonOption,
    KindOption,
    PauseOption,
    PriceOption,
    ProgressOption,
    QuietOption,
    RunToOption,
    SkipPreflightOption,
    SourceOption,
    StampOption,
    StatsOption,
    StrictOption,
    SymbolOption,
    TimeframeOption,
    TraceOption,
    WatchOption,
    ZoneOption,
    answers_of,
)
from src.cli.output import Output, stdout_kept
from src.cli.preflight_command import preflight_command
from src.cli.quick import quick_document
from src.cli.results_command import results_command
from src.cli.run_command import EXIT_INTERRUPTED, default_config, error_json, run_backtest
from src.cli.steering import Steering
from src.cli.suite_command import suite_command
from src.cli.verify_command import verify_command
from src.cli.walkforward_command import walkforward_command
from src.core.config_file import ConfigDocument, read_config
from src.core.errors import ConfigError, LockstepError
from src.core.program import command, program
from src.core.sync import interrupts_raise
from src.data.importing import ImportAnswers

__all__ = ["app", "main"]

_MODES = ("backtest", "paper", "live")
_EXIT_USAGE = 2
_RUN = "The run"
_QUICK = "A first result from a file of bars"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Lockstep runs the real trading bot, with its real threads, over virtual time.",
    epilog="Exit codes: 0 done, 1 failed or degraded, 2 bad usage, configuration or file, 3 data lack what the run "
    "needs, 4 determinism broken, strict mode found something, or the result depends on the order of turns (explore), "
    "130 interrupted.",
)
app.add_typer(data_app, name="data")
app.command("explore")(explore_command)
app.command("lookahead")(lookahead_command)
app.command("preflight")(preflight_command)
app.command("results")(results_command)
app.command("suite")(suite_command)
app.command("verify")(verify_command)
app.command("walkforward")(walkforward_command)


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    mode: Annotated[str | None, typer.Option("--mode", help="backtest.", rich_help_panel=_RUN)] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A YAML file; configs/default.yaml if absent.", rich_help_panel=_RUN)
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one key; may be repeated.", rich_help_panel=_RUN),
    ] = None,
    open_report: Annotated[bool, typer.Option("--open", help="Open the report.", rich_help_panel=_RUN)] = False,
    progress: ProgressOption = None,
    watch: WatchOption = False,
    trace: TraceOption = None,
    stats: StatsOption = False,
    strict: StrictOption = False,
    skip_preflight: SkipPreflightOption = False,
    pause: PauseOption = False,
    run_to: RunToOption = None,
    break_when: BreakOption = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="A CSV or Parquet file of bars.", rich_help_panel=_QUICK)
    ] = None,
    use: Annotated[
        str | None, typer.Option("--use", help="A strategy, such as my_strategy.py:MyStrategy.", rich_help_panel=_QUICK)
    ] = None,
    save_config: Annotated[
        Path | None, typer.Option("--save-config", help="Keep the configuration.", rich_help_panel=_QUICK)
    ] = None,
    symbol: SymbolOption = None,
    kind: KindOption = None,
    timeframe: TimeframeOption = None,
    zone: ZoneOption = None,
    stamp: StampOption = None,
    price: PriceOption = None,
    source: SourceOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> int:
    """Lockstep runs the real trading bot, with its real threads, over virtual time."""
    if version:
        Output().say(f"Lockstep {__version__}")
        raise typer.Exit(0)
    context.obj = {"as_json": as_json, "quiet": quiet, "debug": debug}
    if context.invoked_subcommand is not None:
        return 0
    _check_mode(mode)
    out = Output(as_json=as_json, quiet=quiet, debug=debug)
    answers = answers_of(symbol, kind, timeframe, zone, stamp, price, source)
    overrides = [*(overrides or []), *(["backtest.strict=true"] if strict else [])]
    if data is None and use is None:
        if answers != ImportAnswers() or save_config is not None:
            raise ConfigError("the options about a file of bars need --data FILE and --use STRATEGY")
        document = _configured(config, overrides)
    elif data is None or use is None:
        raise ConfigError("--data FILE and --use STRATEGY belong together; give both, or a --config")
    elif config is not None:
        raise ConfigError("expected either --config or --data with --use, found both")
    else:
        with stdout_kept() if as_json else nullcontext():
            document = quick_document(data, use, answers, overrides, save_config, out)
    steering = Steering(pause=pause, run_to=run_to, break_when=break_when, watched=watch)
    return run_backtest(
        document, out, open_report=open_report, progress=progress, trace=trace, stats=stats, steering=steering,
        preflight=not skip_preflight,
    )  # fmt: skip


@app.command("init")
def init_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An empty or a new folder.")],
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Write a configuration, a strategy and a test that run at once."""
    out = output_of(context, as_json, quiet, debug)
    written = write_project(folder, out)
    out.result({"folder": str(folder), "files": written})
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; no exception but `SystemExit` leaves it."""
    words = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console with a narrow encoding must not end a run
    out = Output(as_json="--json" in words, debug="--debug" in words)
    try:
        with interrupts_raise(Interrupted):
            code = app(words or ["--help"], standalone_mode=False)
        return code if isinstance(code, int) else 0
    except LockstepError as error:
        return _refuse(out, error, error.message, error.exit_code)
    except (KeyboardInterrupt, Interrupted) as error:
        return _refuse(out, error, "interrupted; nothing of this run was stored", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read stdout went away; nothing can be said there any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if hasattr(error, "format_message"):  # the option parser's own errors, which have no common public base
            return _refuse(out, error, f"{error.format_message()} `--help` lists what there is.", _EXIT_USAGE)
        if type(error).__name__ == "Abort":  # end of input, or Ctrl-C, at a question
            return _refuse(out, error, "interrupted at a question; nothing was stored", EXIT_INTERRUPTED)
        sentence = f"{type(error).__name__}: {error}; this is a defect of Lockstep, please report it"
        where = "" if out.debug else f" with {_keep_traceback(error)}"
        return _refuse(out, error, f"{sentence}{where}", 1)


class Interrupted(BaseException):
    """Ctrl-C while no run is under way; a class of its own, because the option parser swallows `KeyboardInterrupt`."""


def _refuse(out: Output, error: BaseException, message: str, exit_code: int) -> int:
    out.error(message, error)
    out.result(error_json(error, message, exit_code))
    return exit_code


def _keep_traceback(error: Exception) -> Path:
    handle, name = tempfile.mkstemp(prefix="lockstep-error-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write("".join(traceback.format_exception(error)))
    return Path(name)


def _check_mode(mode: str | None) -> None:
    if mode is None:
        raise ConfigError(f"expected --mode backtest or one of the verbs; `{program()} --help` lists them")
    if mode not in _MODES:
        close = difflib.get_close_matches(mode, _MODES, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ConfigError(f"--mode: expected backtest, found {mode!r}{hint}")
    if mode != "backtest":
        raise ConfigError(f"--mode {mode}: this version runs backtests only; expected --mode backtest")


def _configured(config: Path | None, overrides: list[str]) -> ConfigDocument:
    path = default_config() if config is None else config
    if config is None and not path.is_file():
        raise ConfigError(
            "expected --config FILE, because this installation has no configs/default.yaml; "
            f"`{program()} init DIR` writes a configuration"
        )
    document = read_config(path, overrides)
    if "backtest" not in document.values and {"candidates", "reoptimise"} & document.values.keys():
        raise ConfigError(
            f"{document.name} is the configuration of a validation, expected that of one run; "
            f"`{command('walkforward', str(path))}` judges its candidates"
        )
    if "base" in document.values and "backtest" not in document.values:
        raise ConfigError(
            f"{document.name} is the manifest of a suite, expected the configuration of one run; "
            f"`{command('suite', str(path))}` runs a suite"
        )
    return document
