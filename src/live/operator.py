"""Operator: does in its turn what somebody at another terminal wants, and journals it as its decisions.

What it does depends on the command and on what the broker shows, so a recorded command does the same in a replay. The
switches that stop entries are in the durable state of the account and are set before the command is given, by whoever
gives it; so they hold while the bot hangs, and for its next process. Used inside turns of one participant.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from src.core.broker import Broker
from src.core.clock import Clock
from src.core.errors import ConfigError
from src.core.journal import ACCOUNT_STREAM, Journal
from src.core.order_desk import OrderDesk
from src.core.records import OrderResult, Position
from src.core.steady_broker import SteadyBroker
from src.core.timeframe import SECOND_NS
from src.core.unanswered import UNANSWERED
from src.core.words import counted, meant
from src.live.account_state import AccountState, Answer

__all__ = ["OPERATOR", "VERBS", "Operator", "known_symbol", "switch"]

#: Its name in the journal.
OPERATOR = "operator"
#: What it can be told; `close` and `adopt` with a symbol.
VERBS = ("pause", "resume", "close", "adopt", "flatten", "kill", "stop")

#: How long an orderly end waits for what it closes, by the bot's clock, and how often it looks.
_LOOKS, _LOOK_NS = 60, SECOND_NS

_NOT_DONE = "refused"
_ENTRIES_GO_ON = "entries go on"


class Operator:
    """See the module's text.

    Args:
        broker: the one that the bot has.
        desk: of the participant `operator`.
        symbols: those that the bot knows.
        stop: ends the bot in order, with a reason.
        block: refuses all further entries in a symbol, with a reason.
        on_stop: whether positions are closed at an orderly end, `keep` or `flatten`, where the command does not say.
    """

    def __init__(
        self, broker: Broker, desk: OrderDesk, clock: Clock, journal: Journal, *, symbols: Sequence[str],
        stop: Callable[[str], None], block: Callable[[str, str], None], on_stop: str = "keep",
    ) -> None:  # fmt: skip
        self._broker = broker
        self._desk = desk
        self._clock = clock
        self._journal = journal
        self._symbols = tuple(symbols)
        self._stop = stop
        self._block = block
        self._on_stop = on_stop

    def execute(self, command: Mapping[str, Any]) -> Answer:
        """Do one command.

        Args:
            command: `verb`, `args` and `by`.
        """
        verb, args, by = str(command["verb"]), dict(command.get("args") or {}), str(command.get("by") or OPERATOR)
        reason = f"{verb}, asked for by {by}"
        if verb == "pause":
            self._decide(ACCOUNT_STREAM, verb, reason)
            cancelled = self._cancel_entries("", reason)
            return _done(f"entries are paused; {counted(cancelled, 'working entry', 'working entries')} cancelled")
        if verb == "resume":
            self._decide(ACCOUNT_STREAM, verb, reason)
            return _done(_ENTRIES_GO_ON)
        if verb == "close":
            return self._close(str(args.get("symbol", "")), reason)
        if verb == "flatten":
            self._decide(ACCOUNT_STREAM, verb, reason)
            return self._flatten("", reason)
        if verb == "kill":
            self._decide(ACCOUNT_STREAM, verb, reason)
            if args.get("keep_positions"):
                cancelled = self._cancel_entries("", reason)
                return _done(f"{counted(cancelled, 'entry', 'entries')} cancelled; positions stay")
            return self._flatten("", reason)
        if verb == "stop":
            return self._end(args, reason)
        self._decide(ACCOUNT_STREAM, verb, reason, verdict=_NOT_DONE)
        if verb == "adopt":
            return Answer(ok=False, text="the bot runs, so nothing that it found at its start is left to adopt")
        return Answer(ok=False, text=f"expected one of {', '.join(VERBS)}, found {verb!r}")

    # -- inner parts ---------------------------------------------------------------------------------------------------

    def _close(self, symbol: str, reason: str) -> Answer:
        try:
            symbol = known_symbol(symbol, self._symbols)
        except ConfigError as error:
            self._decide(ACCOUNT_STREAM, "close", reason, verdict=_NOT_DONE)
            return Answer(ok=False, text=error.message)
        self._decide(symbol, "close", reason)
        return self._flatten(symbol, reason)

    def _end(self, args: Mapping[str, Any], reason: str) -> Answer:
        why = str(args.get("reason") or reason)
        self._decide(ACCOUNT_STREAM, "stop", why)
        text = "the bot stops; positions stay, with what protects them"
        if str(args.get("positions") or self._on_stop) == "flatten":
            done = self._leave(why)
            text = f"the bot stops; {done.text}"
            self._stop(why)
            return Answer(ok=done.ok, text=text)
        self._stop(why)
        return _done(text)

    def _leave(self, why: str) -> Answer:
        """Close everything and wait until it is closed: what protects positions goes only after they have."""
        for symbol in self._symbols:
            self._block(symbol, "the bot is being stopped")
        asked = {each.position_id for each in self._positions("")}
        answer = self._flatten("", why)
        for _ in range(_LOOKS):
            held = self._positions("")
            if not held:
                return answer
            for position in held:
                if position.position_id not in asked:  # of an entry that had left before and was filled meanwhile
                    asked.add(position.position_id)
                    self._desk.close(position, volume=None, kind=OPERATOR, reason=why)
            self._clock.sleep(_LOOK_NS)
        left = ", ".join([f"{each.volume:g} {each.symbol}" for each in self._positions("")])
        return Answer(ok=not left, text=f"{answer.text}; still held: {left}" if left else answer.text)

    def _flatten(self, symbol: str, reason: str) -> Answer:
        """Cancel entries first, because one that fills in between would be left."""
        cancelled = self._cancel_entries(symbol, reason)
        closed: list[str] = []
        refused: list[str] = []
        unknown: list[str] = []
        for position in self._positions(symbol):
            result = self._desk.close(position, volume=None, kind=OPERATOR, reason=reason)
            words = f"{abs(position.volume):g} {position.symbol} {'long' if position.is_long else 'short'}"
            if result.accepted:
                closed.append(words)
            elif result.code == UNANSWERED:
                unknown.append(f"{words} ({result.message})")
            else:
                refused.append(f"{words} ({result.code}: {result.message})")
        text = f"closing {', '.join(closed)}" if closed else "nothing was closed" if refused else "nothing is held"
        if unknown:  # it may be closed already, and nobody should do it a second time by hand
            text = f"{text}; " if closed or refused else ""
            text += f"nobody has answered yet whether this is closed, and it is looked up: {', '.join(unknown)}"
        if cancelled:
            text += f"; {counted(cancelled, 'working entry', 'working entries')} cancelled"
        if refused:
            return Answer(ok=False, text=f"{text}; refused: {', '.join(refused)}")
        return Answer(ok=not unknown, text=text)

    def _positions(self, symbol: str) -> list[Position]:
        return [each for each in self._broker.snapshot().positions if symbol in ("", each.symbol)]

    def _cancel_entries(self, symbol: str, reason: str) -> int:
        """Cancel what may open something, and what nobody answered; how many orders are known to work."""
        entries = [
            order for order in self._broker.snapshot().orders
            if not order.request.reduce_only and symbol in ("", order.request.symbol)
        ]  # fmt: skip
        results: list[OrderResult] = []
        for order in entries:
            results.append(self._desk.cancel(order.request.symbol, order.request.book, order.order_id, reason))
        if isinstance(self._broker, SteadyBroker):
            self._broker.end_entries(symbol)
        return sum(result.accepted for result in results)

    def _decide(self, stream: str, action: str, reason: str, *, verdict: str = "accepted") -> None:
        self._journal.record(
            self._clock.now_ns(), stream, "decision", OPERATOR, "", action, verdict, "", None, None, None, None, None,
            None, reason,
        )  # fmt: skip


def switch(
    state: AccountState, verb: str, by: str, instant_ns: int, *, confirm: str | None = None,
    keep_positions: bool = False,
) -> None:  # fmt: skip
    """Set the switches that a command means, before the bot hears of it; a command without any changes nothing.

    Args:
        confirm: the label, which opens the latch.

    Raises:
        ConfigError: entries are to go on, and the latch is set and not confirmed, or another label is.
        DataError: the state cannot be used.
    """
    if verb == "kill":
        state.latch(by, "kill was asked for", keep_positions, instant_ns)
    elif verb == "pause":
        state.set_paused(True, by, instant_ns)
    elif verb == "resume":
        latch = state.latched
        if confirm is not None:
            state.unlatch(confirm)
        elif latch is not None:
            raise ConfigError(
                f"expected --confirm {state.label}, because the kill switch is set by {latch.by} ({latch.why}); look "
                "at the account at the venue first"
            )
        state.set_paused(False, by, instant_ns)


def known_symbol(symbol: str, symbols: Sequence[str]) -> str:
    """A symbol that the configuration has.

    Raises:
        ConfigError: it has not; a close one is suggested.
    """
    if symbol in symbols:
        return symbol
    said = f"expected one of the symbols {', '.join(symbols)}, found {symbol!r}"
    raise ConfigError(f"{said}{meant(symbol, symbols)}", symbol=symbol)


def _done(text: str) -> Answer:
    return Answer(ok=True, text=text)
