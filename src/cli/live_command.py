"""`--mode live` and `--mode paper`: run one configuration in real time and show how it goes.

Runs in the main thread; the bot's own threads live inside the session.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from src import __version__
from src.backtesting.identity import code_hash_of_this_process, versions
from src.cli.output import Output, stdout_kept
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError, DataError, LockstepError
from src.core.program import command
from src.core.timeframe import parse_duration
from src.core.words import counted
from src.live.alerts import Kind, Level
from src.live.config import LIVE, PAPER, LiveConfig, NotifySection, check_confirmation, read_live_config
from src.live.recording import FILE
from src.live.secrets import Secrets
from src.live.session import LiveOptions, LiveResult, LiveSession
from src.live.summary import RunSummary, summary_of
from src.live.voice import voice
from src.live.wire import to_plain
from src.research.replay.stored import store_tables
from src.strategies import load_strategy

__all__ = ["live_options", "run_live"]

_EXIT_CODES = {"STOPPED": 0, "DEGRADED": 1, "FAILED": 1}


def live_options(accept_config_change: bool, stop_after: str | None) -> LiveOptions:
    """What the command line says at the start.

    Raises:
        ConfigError: the time is not one.
    """
    try:
        stop_after_ns = None if stop_after is None else parse_duration(stop_after)
    except ConfigError as error:
        raise ConfigError(f"--stop-after: {error.message}") from None
    return LiveOptions(accept_config_change=accept_config_change, stop_after_ns=stop_after_ns)


def run_live(
    document: ConfigDocument, out: Output, mode: str, *, confirm: str | None = None, options: LiveOptions | None = None,
    file: Path | None = None,
) -> int:  # fmt: skip
    """Run a bot in real time until it is stopped; the exit code.

    Args:
        mode: `paper` or `live`.
        confirm: the label of the account, which real money needs.
        file: the configuration as it was typed, for the commands that are told; None where none was.

    Raises:
        ConfigError: the configuration is wrong, real money was not confirmed, or the venue holds what nobody expects.
    """
    session: LiveSession | None = None
    try:
        config = read_live_config(document, mode)
        if mode == LIVE and config.live is not None:
            check_confirmation(config.live, confirm)
        Secrets(os.environ).check_arguments(sys.argv)
        about = _about(config, mode, document, file)
        with stdout_kept() if out.as_json else nullcontext():
            loaded = {each.instance: load_strategy(each.use, document.folder) for each in config.strategies}
            _announce(config, mode, about, out)
            session = LiveSession(
                config, mode, document.values, document.folder, {name: one.cls for name, one in loaded.items()},
                replace(options or LiveOptions(), about=about),
                terminal=None if out.quiet or out.as_json else sys.stderr, tell=out.notice,
                identity={"code": code_hash_of_this_process(), "versions": versions()},
            )  # fmt: skip
            result = session.run()
    except Exception as error:
        if session is None or not session.has_told_its_end:
            _tell_of_refusal(document, mode, error, out)
        raise
    exit_code = _EXIT_CODES[result.outcome]
    summary = RunSummary()
    with suppress(LockstepError):  # a recording that cannot be read is no reason to say nothing
        summary = summary_of(result.folder / FILE)
    try:
        store_tables(result.folder)
    except (DataError, OSError) as error:
        why = error.message if isinstance(error, DataError) else str(error)
        out.warn(f"no tables and no report were written: {why}")
    _show(result, summary, mode, about, out)
    out.result(_as_json(result, summary, mode, config.label, exit_code))
    return exit_code


def _tell_of_refusal(document: ConfigDocument, mode: str, error: Exception, out: Output) -> None:
    """Have the targets of `notify` told that a bot did not start, as far as its configuration can be read."""
    try:
        section = NotifySection.model_validate(document.values.get("notify") or {})
    except ValueError:  # what is wrong there is what it was refused for
        return
    name = str(document.values.get("name") or "a bot")
    why = error.message if isinstance(error, LockstepError) else f"{type(error).__name__}: {error}"
    with voice(section, name, os.environ, out.warn) as tell:
        tell(Level.CRITICAL, Kind.STOP, f"{name} has not started in {mode}: {why}")


def _about(config: LiveConfig, mode: str, document: ConfigDocument, file: Path | None) -> tuple[str, ...]:
    """The words behind a verb that name this bot, as they were typed."""
    words: list[str] = [] if file is None else ["--config", str(file)]
    for each in document.overrides:
        words += ["--set", each]
    if mode == PAPER and config.live is not None:  # else a verb that finds no bot running means the one with money
        words += ["--mode", PAPER]
    return tuple(words)


def _announce(config: LiveConfig, mode: str, about: Sequence[str], out: Output) -> None:
    where = config.paper_exchange if config.live is None or mode != LIVE else config.live.exchange
    money = "on paper"
    if mode == LIVE and config.live is not None:
        money = "WITH REAL MONEY" if config.live.is_real else f"in the {config.live.environment} environment"
    symbols = ", ".join(config.symbols)
    out.say(f"Lockstep {__version__}, {mode} of {config.name} as {config.label}: {symbols} at {where}, {money}")
    out.say(f"  look: {command('status', *about)}")
    out.say(f"  stop: Ctrl-C, or {command('stop', *about)}")
    out.say(f"  emergency: {command('kill', *about)}")


def _show(result: LiveResult, summary: RunSummary, mode: str, about: Sequence[str], out: Output) -> None:
    account = result.snapshot.account
    out.say(f"{result.outcome}: {result.reason or 'it has ended'}")
    out.say(f"  equity {account.equity:,.2f} {account.currency}, balance {account.balance:,.2f}")
    trades = f"{counted(summary.trades, 'trade')} that brought {summary.net:,.2f}" if summary.trades else "no trade"
    out.say(f"  the run so far: {counted(summary.fills, 'fill')}, {trades}")
    if summary.refusals:
        found = ", ".join([f"`{code}` {counted(times, 'time')}" for code, times in summary.refusals.items()])
        out.say(f"  refused: {found}")
    for symbol, why in sorted(result.failures.items()):
        out.warn(f"  stopped on the way: {symbol}: {why}")
    if result.over:
        out.say("  nothing is held and nothing works; the next start begins a new run")
    else:
        held = counted(len(result.snapshot.positions), "position")
        out.warn(
            f"  {held} and {counted(len(result.snapshot.orders), 'order')} remain, with what protects them; the next "
            "start goes on with them"
        )
        if mode == LIVE:  # on paper nobody can close anything while no bot runs
            out.warn(f"  to close them: {command('flatten', *about)}")
    out.say(f"  {result.folder}")
    out.say(f"  report: {result.folder / 'report.html'}")
    out.say(f"  decided as its recording says? {command('parity', str(result.folder))}")
    if result.error is not None:
        out.error(result.error.message, result.error)


def _as_json(result: LiveResult, summary: RunSummary, mode: str, label: str, exit_code: int) -> dict[str, Any]:
    return {
        "mode": mode,
        "label": label,
        "outcome": result.outcome,
        "reason": result.reason,
        "resumed": result.resumed,
        "over": result.over,
        "folder": str(result.folder),
        "account": to_plain(result.snapshot.account),
        "positions": to_plain(result.snapshot.positions),
        "orders": to_plain(result.snapshot.orders),
        "fills": summary.fills,
        "trades": summary.trades,
        "net": summary.net,
        "refusals": summary.refusals,
        "failures": result.failures,
        "error": None if result.error is None else result.error.message,
        "exit_code": exit_code,
    }
