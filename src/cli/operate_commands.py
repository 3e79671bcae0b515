"""The verbs that look after a bot which runs in another process: status, pause, resume, close, adopt, flatten, stop.

Each is one command that is left in the bot's durable state, and its answer. Runs in the main thread.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from src.cli.kill_command import take_out
from src.cli.operate_target import ModeOption, OperateConfigOption, Target, ask_bot, target_of
from src.cli.options import DebugOption, JsonOption, QuietOption, SetOption, output_of
from src.cli.output import Output
from src.core.errors import ConfigError
from src.core.program import command
from src.core.sync import wall_ns
from src.core.timeframe import SECOND_NS, format_instant
from src.live.account_state import AccountState, Latch
from src.live.config import LIVE
from src.live.operator import known_symbol, switch
from src.live.reconcile import adopt

__all__ = [
    "adopt_command", "close_command", "flatten_command", "pause_command", "resume_command", "status_command",
    "stop_command",
]  # fmt: skip

_BY = "operator"
#: A heartbeat comes every two seconds; one that is older than this is none.
_OLD_NS = 30 * SECOND_NS

SymbolArgument = Annotated[str, typer.Argument(metavar="SYMBOL", help="One of the symbols of the configuration.")]


def status_command(
    context: typer.Context,
    config: OperateConfigOption = None,
    mode: ModeOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Show how a bot is: whether it runs, its health, what it holds, whether entries are stopped, and by whom.

    Exit code 0 when it runs and is well, else 1.
    """
    out = output_of(context, as_json, quiet, debug)
    target = target_of(config, overrides, mode)
    if not target.path.is_file():
        out.say(f"{target.label}: no bot has run in {target.mode} mode yet")
        out.result({"label": target.label, "mode": target.mode, "running": False, "exit_code": 1})
        return 1
    with AccountState(target.path) as state:
        running, beat, latch, paused = state.is_owned, state.last_beat(), state.latched, state.paused
    beat = dict(beat or {})
    age_s = (wall_ns() - int(beat["wall_ns"])) / SECOND_NS if "wall_ns" in beat else None
    fresh = age_s is not None and age_s * SECOND_NS <= _OLD_NS
    healthy = bool((beat.get("health") or {}).get("ok", True))
    exit_code = 0 if running and fresh and healthy else 1
    out.pairs(_rows(target, beat, latch, running=running, fresh=fresh, age_s=age_s, paused=paused))
    out.result({
        "label": target.label, "mode": target.mode, "running": running, "heartbeat_age_s": age_s, "paused": paused,
        "latch": None if latch is None else {"by": latch.by, "why": latch.why, "keep_positions": latch.keep_positions,
                                             "instant": format_instant(latch.instant_ns)},
        "beat": beat, "exit_code": exit_code,
    })  # fmt: skip
    return exit_code


def pause_command(
    context: typer.Context,
    config: OperateConfigOption = None,
    mode: ModeOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Open nothing from now on, until `resume`: entries that work are cancelled, what is held is looked after.

    Holds from this moment, whether the bot answers or not, and for its next start.
    """
    out = output_of(context, as_json, quiet, debug)
    return _switched(target_of(config, overrides, mode), "pause", out)


def resume_command(
    context: typer.Context,
    confirm: Annotated[
        str | None, typer.Option("--confirm", metavar="LABEL", help="The label, which opens the latch of `kill`.")
    ] = None,
    config: OperateConfigOption = None,
    mode: ModeOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Let entries go on after `pause`, and after `kill` with the bot's label."""
    out = output_of(context, as_json, quiet, debug)
    return _switched(target_of(config, overrides, mode), "resume", out, confirm)


def close_command(
    context: typer.Context,
    symbol: SymbolArgument,
    config: OperateConfigOption = None,
    mode: ModeOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Cancel the bot's entries in a symbol and close what it holds there, at the market.

    Where no bot runs, this is done at the venue by this process. The bot goes on and may enter again.
    """
    out = output_of(context, as_json, quiet, debug)
    target = target_of(config, overrides, mode)
    return _out_of(target, "close", known_symbol(symbol, target.config.symbols), out)


def flatten_command(
    context: typer.Context,
    config: OperateConfigOption = None,
    mode: ModeOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Cancel all of the bot's entries and close all that it holds, at the market.

    Where no bot runs, this is done at the venue by this process. The bot goes on and may enter again: `pause` it first
    if it shall not.
    """
    out = output_of(context, as_json, quiet, debug)
    return _out_of(target_of(config, overrides, mode), "flatten", None, out)


def adopt_command(
    context: typer.Context,
    symbol: SymbolArgument,
    config: OperateConfigOption = None,
    mode: ModeOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Take as it is what a bot found in a symbol when it refused to start, so that the next start goes on.

    What has none of its ids stays other people's and is never touched.
    """
    out = output_of(context, as_json, quiet, debug)
    target = target_of(config, overrides, mode)
    symbol = known_symbol(symbol, target.config.symbols)
    with AccountState(target.path) as state:
        if state.is_owned:
            ok, text = ask_bot(state, "adopt", {"symbol": symbol}, out, target)
            return _tell(target, "adopt", out, ok=ok, text=text)
        taken = adopt(state, symbol)
    for sentence in taken:
        out.say(f"adopted: {sentence}")
    return _tell(target, "adopt", out, ok=True, text="; ".join(taken), more={"symbol": symbol})


def stop_command(
    context: typer.Context,
    flatten: Annotated[bool, typer.Option("--flatten", help="Close what is held, whatever live.on_stop says.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave what is held, whatever live.on_stop says.")] = False,
    config: OperateConfigOption = None,
    mode: ModeOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """End a bot in order; what is held is kept with its protection, or closed, as live.on_stop says."""
    out = output_of(context, as_json, quiet, debug)
    if flatten and keep:
        raise ConfigError("expected one of --flatten and --keep, found both")
    target = target_of(config, overrides, mode)
    args = {"positions": "flatten"} if flatten else {"positions": "keep"} if keep else {}
    with _existing(target) as state:
        if not state.is_owned:
            raise ConfigError(f"expected a bot {target.label} that runs in {target.mode} mode, found none")
        ok, text = ask_bot(state, "stop", args, out, target)
    return _tell(target, "stop", out, ok=ok, text=text)


# -- inner parts -------------------------------------------------------------------------------------------------------


def _switched(target: Target, verb: str, out: Output, confirm: str | None = None) -> int:
    """Set the switch first, so that it holds even when the bot does not answer."""
    if not target.is_known:
        out.warn(target.unknown_words())
    with AccountState(target.path) as state:
        switch(state, verb, _BY, wall_ns(), confirm=confirm)
        words = "nothing is opened from now on" if verb == "pause" else "entries may go on"
        if not state.is_owned:
            text = f"{target.label}: {words}; no bot runs, so this holds for its next start"
            out.say(text)
            return _tell(target, verb, out, ok=True, text=text)
        out.say(f"{target.label}: {words}")
        ok, text = ask_bot(state, verb, {}, out, target)
    return _tell(target, verb, out, ok=ok, text=text)


def _out_of(target: Target, verb: str, symbol: str | None, out: Output) -> int:
    """Have the bot close, or do it at the venue where no bot runs; meanwhile none can begin."""
    args = {} if symbol is None else {"symbol": symbol}
    with _existing(target) as state:
        if state.is_owned:
            ok, text = ask_bot(state, verb, args, out, target)
            return _tell(target, verb, out, ok=ok, text=text, more=args)
        if target.mode != LIVE:
            raise ConfigError(
                f"expected a bot {target.label} that runs on paper, found none; what it holds is kept, start it and "
                "give the command again"
            )
        with state.own():
            out.say(f"no bot {target.label} runs: this process does it at the venue")
            report = take_out(target, out, symbols=None if symbol is None else (symbol,))
    done = {
        "cancelled": list(report.cancelled), "closed": list(report.closed), "left": list(report.left),
        "foreign": list(report.foreign),
    }  # fmt: skip
    return _tell(target, verb, out, ok=report.done, text="; ".join(report.left), more={**args, **done})


def _existing(target: Target) -> AccountState:
    if not target.path.is_file():
        raise ConfigError(
            f"expected a bot {target.label} that runs or has run in {target.mode} mode, found none; look at --config "
            f"and --mode, or start it with `{command('--mode', target.mode)}`"
        )
    return AccountState(target.path)


def _tell(
    target: Target, verb: str, out: Output, *, ok: bool, text: str, more: Mapping[str, Any] | None = None
) -> int:  # fmt: skip
    exit_code = 0 if ok else 1
    out.result({
        "verb": verb, "label": target.label, "mode": target.mode, "done": ok, "answer": text, **(more or {}),
        "exit_code": exit_code,
    })  # fmt: skip
    return exit_code


def _rows(
    target: Target, beat: Mapping[str, Any], latch: Latch | None, *, running: bool, fresh: bool, age_s: float | None,
    paused: bool,
) -> list[tuple[str, str]]:  # fmt: skip
    """What people read; a label in capitals must not be overlooked."""
    rows = [("bot", f"{target.label} ({target.mode})")]
    said = "" if age_s is None else f"heartbeat {age_s:.0f} s ago"
    if not running:
        words = said or "it has shown no heartbeat"
        if beat.get("running"):
            words += "; it has not ended in order: its next start goes on where it was"
        rows.append(("STOPPED", words))
    elif fresh:
        rows.append(("running", f"process {beat.get('pid', '?')}, {said}"))
    elif age_s is None:
        rows.append(("STARTS", f"no heartbeat yet; should that last, `{target.command('kill')}` works without it"))
    else:
        rows.append(("HANGS", f"{said}; `{target.command('kill')}` works without it"))
    if beat.get("reason"):
        rows.append(("ended", f"{beat.get('outcome', '')}: {beat['reason']}"))
    if latch is not None:
        resume = target.command("resume", "--confirm", target.label)
        rows.append(("KILLED", f"by {latch.by} at {format_instant(latch.instant_ns)}; `{resume}`"))
    if paused:
        rows.append(("PAUSED", f"nothing is opened until `{target.command('resume')}`"))
    health = beat.get("health") or {}
    for finding in health.get("findings", ()):
        rows.append(("HEALTH", f"{finding.get('text', finding.get('kind'))} (since {finding.get('since')})"))
    if running and health.get("ok"):
        rows.append(("health", "well"))
    account = beat.get("account")
    if account:
        rows.append(("equity", f"{account['equity']:,.2f} {account['currency']}"))
    for position in beat.get("positions", ()):
        stop = position.get("stop")
        words = f"{position['volume']:g} at {position.get('entry_price', 0.0):g}, {position['book']}"
        rows.append((position["symbol"], words + (", NO STOP" if stop is None else f", stop {stop:g}")))
    if "orders" in beat:
        rows.append(("orders", str(beat["orders"])))
    for symbol, why in sorted((beat.get("failures") or {}).items()):
        rows.append(("FAILED", f"{symbol}: {why}"))
    if beat.get("folder"):
        rows.append(("run", str(beat["folder"])))
    return rows
