"""How a process of a run ends: the bot runs until it is stopped or cannot go on, and everything is left in order.

Called by the main thread; the bot's threads live only inside.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from src.core.errors import ConfigError, DataError, InternalError, LockstepError, Stopping
from src.core.records import Snapshot
from src.core.steady_broker import SteadyBroker
from src.core.sync import on_interrupt
from src.live.account_state import AccountState
from src.live.assembly import Bot
from src.live.beginning import FAILED
from src.live.control import Control
from src.live.keeping import Keeper
from src.live.parts import Parts
from src.live.recording import Recording
from src.live.runs import end_run
from src.live.script import ReplayDivergedError
from src.live.setting import LiveOptions

__all__ = ["LiveResult", "drive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveResult:
    """How a process of a run ended.

    Attributes:
        outcome: `STOPPED`, `DEGRADED` where symbols had been dropped, or `FAILED`.
        resumed: whether it went on with a run of before.
        over: whether the run is over: nothing is held and nothing works.
        snapshot: what was visible last.
    """

    outcome: str
    folder: Path
    resumed: bool
    over: bool
    reason: str
    snapshot: Snapshot
    failures: dict[str, str] = field(default_factory=dict)
    error: LockstepError | None = None


def drive(
    bot: Bot, control: Control, parts: Parts, state: AccountState, recording: Recording, options: LiveOptions, *,
    resumed: bool,
) -> LiveResult:  # fmt: skip
    """Let a bot run until it ends, whatever ends it, and leave everything in order.

    Raises:
        ConfigError: the run cannot be gone on with, because the bot decides otherwise than it was recorded.
    """
    clock, error = bot.clock, None

    def interrupted() -> None:
        if clock.is_scripted:
            clock.abandon("interrupted while the run was being rebuilt")
        else:
            control.ask({"id": 0, "verb": "stop", "args": {"reason": "interrupted"}, "by": "signal"})

    parts.begin(bot, resumed=resumed)
    if options.stop_after_ns is not None:
        control.ask_at(clock.now_ns() + options.stop_after_ns, {
            "id": 0, "verb": "stop", "args": {"reason": "the time is over"}, "by": "command line"})  # fmt: skip
    try:
        with on_interrupt(interrupted), parts.log.catching(parts.health.died):
            bot.controller.wait()
    except ReplayDivergedError as problem:
        text = f"the run under way cannot be gone on with: {problem.message}; mend that, or give "
        text += "--accept-config-change to begin a new run with what is held"
        parts.end("FAILED", text)  # it was told that it goes on, and nobody looks after what it holds
        raise ConfigError(text) from problem
    except LockstepError as problem:
        error = problem
    except Exception as problem:
        error = InternalError(f"{type(problem).__name__}: {problem}; a defect of Lockstep, please report it")
        error.__cause__ = problem
    if not clock.is_void:
        error = _finished(bot, state, parts, error)
    snapshot = bot.world.snapshot()
    over = not clock.is_void and not snapshot.positions and not snapshot.orders and not _unknown(bot)
    if over:
        try:
            end_run(state)
        except DataError as problem:  # the next start goes on with a run that holds nothing
            parts.not_kept(f"that the run is over cannot be kept: {problem.message}")
    elif error is not None and not clock.is_void and not clock.failed_outside:
        with suppress(LockstepError):
            recording.set_meta(FAILED, error.message)
    reason = clock.stopped_because or ("" if error is None else error.message)
    outcome = "FAILED" if error is not None else "DEGRADED" if bot.controller.failures else "STOPPED"
    parts.end(outcome, reason)
    return LiveResult(
        outcome=outcome, folder=recording.path.parent, resumed=resumed, over=over, reason=reason, snapshot=snapshot,
        failures=dict(bot.controller.failures), error=error,
    )  # fmt: skip


def _finished(bot: Bot, state: AccountState, parts: Parts, error: LockstepError | None) -> LockstepError | None:
    """Write what the run and the one after it need; the error that ended the run, or that this has met."""
    try:
        bot.journal.close()
        Keeper(state, bot, lambda _: None, parts.not_kept).keep()
    except Stopping as stopping:  # the recording cannot be written any more
        return stopping.__cause__ if isinstance(stopping.__cause__, LockstepError) else error
    return error


def _unknown(bot: Bot) -> bool:
    """Whether there are orders of which nobody knows whether they exist."""
    broker = bot.controller.broker
    return isinstance(broker, SteadyBroker) and len(broker.unanswered) > 0
