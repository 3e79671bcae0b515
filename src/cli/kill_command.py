"""`kill`: take a bot out of the market from a process of its own, whether it runs, hangs or is dead.

Runs in the main thread and waits for the venue. What it can do it does, and what is left it says.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from src.brokers.ccxt_client import CcxtClient
from src.cli.operate_target import ModeOption, OperateConfigOption, Target, ask_bot, target_of
from src.cli.options import DebugOption, JsonOption, QuietOption, SetOption, output_of
from src.cli.output import Output
from src.core.errors import ConfigError, DataError, LockstepError
from src.core.records import OrderRequest
from src.core.sync import wall_ns
from src.live.account_state import AccountState
from src.live.alerts import Kind, Level
from src.live.config import LIVE, LiveConfig
from src.live.kill import Kill, KillReport, Known, remember, remembered, venue_clock
from src.live.operator import switch
from src.live.recording import FILE
from src.live.runs import holdings_of, known_requests, run_under_way
from src.live.sources import client_settings, venue_time
from src.live.voice import voice

__all__ = ["kill_command", "take_out"]

T = TypeVar("T")

_BY = "operator"


def kill_command(
    context: typer.Context,
    keep_positions: Annotated[
        bool, typer.Option("--keep-positions", help="Cancel the entries, and leave what is held with its protection.")
    ] = False,
    config: OperateConfigOption = None,
    mode: ModeOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Stop all entries for good, cancel those that work, close what is held, and only then cancel its protection.

    Has its own connection to the venue: it works while the bot hangs, and when it is dead. Nothing can be opened any
    more until `resume --confirm LABEL`, after a restart neither. Orders and positions of others are never touched.
    Exit code 1 when something is left.
    """
    out = output_of(context, as_json, quiet, debug)
    target = target_of(config, overrides, mode)
    unknown = None if target.is_known or _last_recording(target) is not None else target.unknown_words()
    problem = _latch(target, keep_positions)
    if problem is None:
        out.say(f"{target.label}: nothing can be opened any more until `{_resume(target)}`")
    else:
        out.error(f"{problem}; stop the bot by hand, because the kill switch does not hold")
    with voice(target.config.notify, target.label, os.environ, out.warn) as tell:
        how = "; what is held stays" if keep_positions else ""
        tell(
            Level.CRITICAL, Kind.KILL, f"{target.label} is being killed in {target.mode}, {_latch_words(problem)}{how}"
        )
        try:
            exit_code, left = _do(target, out, problem, unknown, keep_positions=keep_positions)
        except Exception as error:
            why = error.message if isinstance(error, LockstepError) else f"{type(error).__name__}: {error}"
            tell(Level.CRITICAL, Kind.KILL, f"the kill of {target.label} has failed: {why}")
            raise
        text = f"{len(left)} left: {'; '.join(left)}" if left else "done, nothing is left"
        tell(Level.CRITICAL, Kind.KILL, f"the kill of {target.label}: {text}")
    return exit_code


def _do(
    target: Target, out: Output, problem: str | None, unknown: str | None, *, keep_positions: bool
) -> tuple[int, list[str]]:  # fmt: skip
    """All but the latch; the exit code, and what is left in sentences."""
    if unknown is not None:
        out.error(f"{unknown}; NOTHING WAS CLOSED")
        left = [unknown, *([] if problem is None else [problem])]
        out.result({
            "verb": "kill", "label": target.label, "mode": target.mode, "done": False, "latched": problem is None,
            "left": left, "exit_code": 1,
        })  # fmt: skip
        return 1, left
    if target.mode != LIVE:
        return _on_paper(target, out, problem, keep_positions=keep_positions)
    try:
        report = take_out(target, out, keep_positions=keep_positions)
    except LockstepError as error:
        raise type(error)(f"{_latch_words(problem)}, but the venue was not reached: {error.message}") from error
    left = [*report.left, *([] if problem is None else [problem])]
    exit_code = 1 if left else 0
    out.result({**_as_json(target, report), "latched": problem is None, "left": left, "exit_code": exit_code})
    return exit_code, left


def take_out(
    target: Target, out: Output, *, symbols: Iterable[str] | None = None, keep_positions: bool = False
) -> KillReport:  # fmt: skip
    """Cancel and close at the venue what is this bot's, and tell of it.

    Args:
        symbols: by default all in which it has sent something.

    Raises:
        ConfigError: there is no section live or there are no keys, or the venue does not accept them.
        DataError: what the bot has sent cannot be read.
    """
    config = target.config
    memory = _memory(target, out)
    first, _ = memory.known()
    if not first:
        out.say("nothing that the bot has sent can be open")
        return KillReport(done=True, cancelled=(), closed=(), left=(), foreign=())
    used = {request.symbol for request in first} | set(config.symbols)
    unknown = sorted(used - set(config.instruments))
    if unknown:
        raise ConfigError(
            f"expected {', '.join(unknown)} under instruments, because the bot has traded there; put it back"
        )
    currency = config.account.currency
    instruments = {name: one.build(name, currency) for name, one in config.instruments.items() if name in used}
    client, now_ns = _connected(config)
    try:
        report = Kill(
            client, instruments, currency, target.label, memory.known, symbols=symbols, keep_positions=keep_positions,
            remember=memory.keep, tell=out.say, now_ns=now_ns,
        ).run()  # fmt: skip
    finally:
        client.close()
    show_report(report, out)
    return report


def show_report(report: KillReport, out: Output) -> None:
    """What came of it, for people."""
    for sentence in report.foreign:
        out.say(f"not touched: {sentence}")
    for sentence in report.left:
        out.warn(f"LEFT: {sentence}")
    if report.done:
        out.say("nothing is left")
    else:
        out.warn("look at the account at the venue, or give the command again")


def _latch(target: Target, keep_positions: bool) -> str | None:
    """Set the latch; what stands in the way, if something does."""
    try:
        with AccountState(target.path) as state:
            switch(state, "kill", _BY, wall_ns(), keep_positions=keep_positions)
    except DataError as error:
        return f"the latch cannot be kept: {error.message}"
    return None


def _latch_words(problem: str | None) -> str:
    return "the latch is set" if problem is None else problem


def _resume(target: Target) -> str:
    return target.command("resume", "--confirm", target.label)


class _Memory:
    """What tells of everything that was sent, and keeps what is about to be sent.

    A durable state that cannot be used holds nothing up: it is told once, and what it would have told is missing.

    Args:
        recording: of the run that is under way; None when there is none.
    """

    def __init__(self, target: Target, recording: Path | None, out: Output, *, usable: bool) -> None:
        self._path = target.path
        self._recording = recording
        self._out = out
        self._usable = usable

    def known(self) -> Known:
        """See `Kill`."""
        if self._recording is None:
            return [], None
        sent = known_requests(self._recording)
        requests, since_ns = [each.request for each in sent], (sent[0].instant_ns if sent else None)
        none: list[OrderRequest] = []
        return [*requests, *self._with_state(lambda state: remembered(state, requests), none)], since_ns

    def keep(self, request: OrderRequest) -> None:
        """See `Kill`."""
        self._with_state(lambda state: remember(state, request), None)

    def _with_state(self, use: Callable[[AccountState], T], otherwise: T) -> T:
        if not self._usable:
            return otherwise
        try:
            with AccountState(self._path) as state:
                return use(state)
        except DataError as error:
            self._usable = False
            self._out.warn(f"{error.message}; the bot's next start may not know the closing orders")
            return otherwise


def _memory(target: Target, out: Output) -> _Memory:
    try:
        with AccountState(target.path) as state:
            run = run_under_way(state)
    except DataError:
        # Its state is damaged or its run is gone: the last recording that there is tells most.
        path = _last_recording(target)
        if path is None:
            raise
        return _Memory(target, path, out, usable=False)
    return _Memory(target, None if run is None else run.recording, out, usable=True)


def _last_recording(target: Target) -> Path | None:
    folder = target.config.runs_dir(target.folder)
    stem = f"{target.label}-{target.mode}-"
    found = {
        int(number): each / FILE for each in folder.glob(f"{stem}*")
        if (number := each.name.removeprefix(stem)).isdigit() and (each / FILE).is_file()
    }  # fmt: skip
    return found[max(found)] if found else None


def _connected(config: LiveConfig) -> tuple[CcxtClient, Callable[[], int]]:
    section = config.live
    if section is None:
        raise ConfigError("expected a section live, found none")
    if section.broker != "ccxt":
        raise ConfigError(
            f"`kill` asks exchanges through ccxt, and live.broker is {section.broker}; `stop --flatten` has the bot "
            "close what it holds, and what works there is ended with the broker's own tools"
        )
    now_ns: Callable[[], int] = wall_ns
    if section.speed != 1.0 and section.url is not None:
        now_ns = venue_clock(section.speed, *venue_time(section.exchange, section.environment, section.url))
    client = CcxtClient(
        section.exchange, environment=section.environment, url=section.url or "", now_ns=now_ns, environ=os.environ,
        options=client_settings(config, section.exchange, section.url),
    )  # fmt: skip
    return client, now_ns


def _on_paper(target: Target, out: Output, problem: str | None, *, keep_positions: bool) -> tuple[int, list[str]]:
    """On paper there is no venue but the bot itself."""
    found: dict[str, Any] = {"label": target.label, "mode": target.mode, "latched": problem is None, "verb": "kill"}
    left = [] if problem is None else [problem]
    with AccountState(target.path) as state:
        if state.is_owned:
            ok, text = ask_bot(state, "kill", {"keep_positions": keep_positions}, out, target)
            left += [] if ok else [text]
        else:
            left += _left_on_paper(state, keep_positions=keep_positions)
            out.say("no bot runs, and on paper nothing can be closed without it")
            for sentence in left:
                out.warn(f"LEFT: {sentence}")
            ok, text = not left, ""
    exit_code = 1 if left else 0
    out.result({**found, "done": ok, "answer": text, "left": left, "exit_code": exit_code})
    return exit_code, left


def _left_on_paper(state: AccountState, *, keep_positions: bool) -> list[str]:
    """What a bot on paper that does not run has left, one sentence each: its next start goes on with it."""
    run = run_under_way(state)
    if run is None:
        return []
    holdings, kept = holdings_of(run.recording), "is kept for the next start"
    held = [] if keep_positions else [
        f"{abs(each.volume):g} {each.symbol} {'long' if each.volume > 0 else 'short'} {kept}"
        for each in holdings.positions
    ]  # fmt: skip
    entries = [order.request for order in holdings.orders if not order.request.reduce_only]
    return held + [f"the entry {each.side} {each.volume:g} {each.symbol} ({each.client_id}) {kept}" for each in entries]


def _as_json(target: Target, report: KillReport) -> dict[str, Any]:
    return {
        "verb": "kill", "label": target.label, "mode": target.mode, "done": report.done,
        "cancelled": list(report.cancelled), "closed": list(report.closed), "foreign": list(report.foreign),
    }  # fmt: skip
