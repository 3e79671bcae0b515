"""The command line: `python main.py --mode backtest`, and the verbs beside it.

`main` turns every way in which a command can end into an exit code and at most one sentence: 0 done, 1 failed or
degraded, 2 bad usage, configuration or file, 3 refused by preflight, 4 determinism broken, strict mode found something
or `explore` another result under another order of turns, 130 interrupted. Runs in the main thread.
"""

import io
import os
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from src import __version__
from src.cli.examples import epilog_of
from src.cli.options import (
    AcceptOption,
    BreakOption,
    ConfirmOption,
    DebugOption,
    JsonOption,
    KindOption,
    PauseOption,
    PriceOption,
    ProgressOption,
    QuietOption,
    RunConfigOption,
    RunModeOption,
    RunSetOption,
    RunToOption,
    SkipPreflightOption,
    SourceOption,
    StampOption,
    StatsOption,
    StopAfterOption,
    StrictOption,
    SymbolOption,
    TimeframeOption,
    TraceOption,
    WatchOption,
    ZoneOption,
    answers_of,
    check_options,
    default_config,
)
from src.cli.output import EXIT_INTERRUPTED, Output, error_json, stdout_kept
from src.cli.verbs import Verbs
from src.core.config_file import ConfigDocument, read_config
from src.core.errors import ConfigError, LockstepError
from src.core.program import command, program
from src.core.sync import interrupts_raise
from src.core.words import meant
from src.live.secrets import Secrets

if TYPE_CHECKING:
    from src.data.import_plan import ImportAnswers

__all__ = ["app", "main"]

_MODES = ("backtest", "paper", "live")
_EXIT_USAGE = 2
_RUN = "The run"
_QUICK = "A first result from a file of bars"

app = typer.Typer(
    cls=Verbs,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Lockstep runs one trading bot, with its real threads, over virtual time, on paper and live.",
    epilog=epilog_of("") + "\n\nExit codes: 0 done, 1 failed or degraded, 2 bad usage, configuration or file, "
    "3 data lack what the run needs, 4 determinism broken, strict mode found something, or the result depends on the "
    "order of turns (explore), 130 interrupted.",
)


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    mode: RunModeOption = None,
    config: RunConfigOption = None,
    overrides: RunSetOption = None,
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
    confirm: ConfirmOption = None,
    accept_config_change: AcceptOption = False,
    stop_after: StopAfterOption = None,
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
    """Lockstep runs one trading bot, with its real threads, over virtual time, on paper and live."""
    if version:
        Output().say(f"Lockstep {__version__}")
        raise typer.Exit(0)
    context.obj = {"as_json": as_json, "quiet": quiet, "debug": debug}
    if context.invoked_subcommand is not None:
        return 0
    _check_mode(mode)
    check_options(str(mode), context.params)
    out = Output(as_json=as_json, quiet=quiet, debug=debug)
    answers = answers_of(symbol, kind, timeframe, zone, stamp, price, source)
    overrides = [*(overrides or []), *(["backtest.strict=true"] if strict else [])]
    quick = _is_quick(data, use, config, save_config, answers)
    if mode in ("paper", "live"):
        if quick:
            raise ConfigError(f"--data and --use are for backtests; --mode {mode} needs a --config")
        return _in_real_time(mode, config, overrides, out, (confirm, accept_config_change, stop_after))
    from src.cli.run_command import run_backtest
    from src.cli.steering import Steering

    if quick and data is not None and use is not None:
        from src.cli.quick import quick_document

        with stdout_kept() if as_json else nullcontext():
            document = quick_document(data, use, answers, overrides, save_config, out)
    else:
        document = _configured(config, overrides)
    steering = Steering(pause=pause, run_to=run_to, break_when=break_when, watched=watch)
    return run_backtest(document, out, open_report=open_report, progress=progress, trace=trace, stats=stats,
                        steering=steering, preflight=not skip_preflight)  # fmt: skip


def _in_real_time(
    mode: str, config: Path | None, overrides: list[str], out: Output, said: tuple[str | None, bool, str | None]
) -> int:
    from src.cli.live_command import live_options, run_live  # each of the modes needs much of its own

    confirm, accept_config_change, stop_after = said
    options = live_options(accept_config_change, stop_after)
    return run_live(_configured(config, overrides), out, mode, confirm=confirm, options=options, file=config)


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
            from src.cli.usage import usage_sentence

            return _refuse(out, error, usage_sentence(error), _EXIT_USAGE)
        if type(error).__name__ == "Abort":  # end of input, or Ctrl-C, at a question
            return _refuse(out, error, "interrupted at a question; nothing was stored", EXIT_INTERRUPTED)
        found = Secrets(os.environ).masked(f"{type(error).__name__}: {error}")
        sentence = f"{found}; this is a defect of Lockstep, please report it"
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
        file.write(Secrets(os.environ).formatted(error))
    return Path(name)


def _check_mode(mode: str | None) -> None:
    if mode is None:
        raise ConfigError(f"expected --mode {', '.join(_MODES)} or one of the verbs; `{program()} --help` lists them")
    if mode not in _MODES:
        raise ConfigError(f"--mode: expected {', '.join(_MODES)}, found {mode!r}{meant(mode, _MODES)}")


def _is_quick(
    data: Path | None, use: str | None, config: Path | None, save_config: Path | None, answers: "ImportAnswers"
) -> bool:
    """Whether a file of bars and a strategy are named in place of a configuration.

    Raises:
        ConfigError: only one of them is, or a configuration too, or options that belong to them alone.
    """
    if data is None and use is None:
        if answers != answers_of() or save_config is not None:
            raise ConfigError("the options about a file of bars need --data FILE and --use STRATEGY")
        return False
    if data is None or use is None:
        raise ConfigError("--data FILE and --use STRATEGY belong together; give both, or a --config")
    if config is not None:
        raise ConfigError("expected either --config or --data with --use, found both")
    return True


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
