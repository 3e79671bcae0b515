"""A recording read as a script: who goes on next, with what instant, and what has become visible until then.

The bot that follows a script is checked at every call, read and outcome against what was recorded: the first one that
differs ends the replay with `ReplayDivergedError`. Used by the holder of the turn, or where nobody has one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from src.core.errors import LockstepError
from src.core.journal import JournalRecord
from src.core.timeframe import format_instant
from src.live.recording import Entry, encoded

__all__ = ["ReplayDivergedError", "Script", "ScriptHandlers", "Turn"]


#: Kinds that the bot never sees.
_ASIDE = ("note", "paper", "resumed", "known")


class ReplayDivergedError(LockstepError):
    """The bot did something else than what was recorded.

    Attributes (in `details`): `n`, `instant_ns`, `participant`, `expected` and `found`, as texts.
    """


@dataclass(frozen=True, slots=True)
class Turn:
    """Who goes on; `reply` is set when it is the answer to a call of its own."""

    n: int
    instant_ns: int
    participant: str
    what: str
    reply: dict[str, Any] | None = None


def _nothing(*_: object) -> None:
    return


@dataclass(slots=True)
class ScriptHandlers:
    """What a script has done outside itself.

    Attributes:
        world: told what became visible, and at which instant.
        reply_world: the same for what became visible with a reply.
        command: told a command of the operator's.
        ended: told why the run ended, where that was nothing of the bot's own.
    """

    world: Callable[[dict[str, Any], int], None] = field(default=_nothing)
    reply_world: Callable[[dict[str, Any], int], None] = field(default=_nothing)
    command: Callable[[dict[str, Any]], None] = field(default=_nothing)
    ended: Callable[[str], None] = field(default=_nothing)


class Script:
    """The entries of a recording, followed.

    Args:
        entries: in order, from the beginning.

    Attributes:
        handlers: set by the composition.
        turns, calls: how many were given out and checked.
        pending: calls that were made and have had no reply so far, by number, with the entry.
    """

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self._next: Entry | None = None
        self._ended = False
        self.handlers = ScriptHandlers()
        self.turns = 0
        self.calls = 0
        self.last_ns = 0
        self.pending: dict[int, Entry] = {}
        self._advance()

    def apply_first(self, apply: Callable[[dict[str, Any]], object]) -> None:
        """Let be visible what was before the bot was made: the first entry."""
        if self._next is not None and self._next.kind == "world":
            apply(self._next.body)
            self._advance()

    # -- turns -----------------------------------------------------------------------------------------

    def next_turn(self) -> Turn | None:
        """Let happen what comes before the next turn, and return that one; None at the end.

        Raises:
            ReplayDivergedError: the participant before has left out something that was recorded.
        """
        while (entry := self._next) is not None:
            self.last_ns = max(self.last_ns, entry.instant_ns)
            if entry.kind in ("turn", "reply"):
                self._advance()
                self.turns += 1
                if entry.kind == "turn":
                    return Turn(entry.n, entry.instant_ns, entry.participant, str(entry.body["what"]))
                self.pending.pop(entry.body["n"], None)
                if "world" in entry.body:
                    self.handlers.reply_world(entry.body["world"], entry.instant_ns)
                return Turn(entry.n, entry.instant_ns, entry.participant, "reply", entry.body)
            if entry.kind in ("call", "read", "outcome"):
                raise _diverged(entry, _said(entry), "nothing")
            self._advance()
            self._happens(entry)
        return None

    def finish(self) -> None:
        """Let happen what was recorded after the last turn."""
        while self._next is not None and self._next.kind == "world":
            entry = self._next
            self._advance()
            self._happens(entry)

    def _happens(self, entry: Entry) -> None:
        if entry.kind == "world":
            self.handlers.world(entry.body, entry.instant_ns)
        elif entry.kind == "command":
            self.handlers.command(entry.body)
        elif entry.kind == "ended":
            self.handlers.ended(str(entry.body["why"]))

    # -- what is checked -------------------------------------------------------------------------------

    def check(self, turn: Turn | None, participant: str, what: str) -> None:
        """Hold that a participant goes on as it was recorded.

        Raises:
            ReplayDivergedError: it does not.
        """
        if turn is None or (turn.participant, turn.what) != (participant, what):
            n, instant_ns = (0, self.last_ns) if turn is None else (turn.n, turn.instant_ns)
            expected = "nothing" if turn is None else f"{turn.participant}: {turn.what}"
            raise _difference(n, instant_ns, participant, expected, f"{participant}: {what}")

    def check_call(self, number: int, participant: str, body: dict[str, Any]) -> None:
        """Hold that a call was recorded just here.

        Raises:
            ReplayDivergedError: it was not, or another one was.
        """
        entry = self._expected("call", participant, body)
        self.pending[number] = entry
        self.calls += 1

    def read(self, participant: str, asked: Sequence[Any]) -> Any:
        """What was answered to the same question just here.

        Raises:
            ReplayDivergedError: another one was asked, or none.
        """
        entry = self._next
        if (
            entry is None
            or entry.kind != "read"
            or entry.participant != participant
            or not _same(entry.body["asked"], asked)
        ):
            found = "the question " + " ".join(map(str, asked))
            raise self._differs(participant, found)
        self._advance()
        return entry.body["told"]

    def check_outcome(self, record: JournalRecord) -> None:
        """Hold that a record of the journal is the one that was recorded.

        Raises:
            ReplayDivergedError: it is not.
        """
        body = {"stream": record.stream, "kind": record.kind, "values": [*map(_plain_value, record.values)]}
        entry = self._next
        if (
            entry is None
            or entry.kind != "outcome"
            or entry.instant_ns != record.instant_ns
            or not _same(entry.body, body)
        ):
            raise self._differs(record.participant, f"{record.kind} {record.stream} {body['values']}")
        self._advance()

    def unknown(self, turn: Turn) -> ReplayDivergedError:
        """What is said of a turn whose participant does not exist."""
        return _difference(turn.n, turn.instant_ns, turn.participant, f"a participant {turn.participant}", "none")

    @property
    def ended(self) -> bool:
        """Whether there is nothing left."""
        return self._next is None

    def _expected(self, kind: str, participant: str, body: dict[str, Any]) -> Entry:
        entry = self._next
        if entry is None or entry.kind != kind or entry.participant != participant or not _same(entry.body, body):
            raise self._differs(participant, f"{kind} {body}")
        self._advance()
        return entry

    def _differs(self, participant: str, found: str) -> ReplayDivergedError:
        entry = self._next
        if entry is None:
            return _difference(-1, self.last_ns, participant, "the end of the recording", found)
        return _diverged(entry, _said(entry), found)

    def _advance(self) -> None:
        for entry in self._entries:
            if entry.kind not in _ASIDE:
                self._next = entry
                return
        self._next = None


def _plain_value(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value


def _same(recorded: Any, now: Any) -> bool:
    """Whether values are those that were written; what is no number equals itself here."""
    return bool(recorded == now) or encoded(recorded) == encoded(now)


def _said(entry: Entry) -> str:
    return f"{entry.kind} of {entry.participant or 'nobody'} {entry.body}"


def _diverged(entry: Entry, expected: str, found: str) -> ReplayDivergedError:
    return _difference(entry.n, entry.instant_ns, entry.participant, expected, found)


def _difference(n: int, instant_ns: int, participant: str, expected: str, found: str) -> ReplayDivergedError:
    return ReplayDivergedError(
        f"the bot does not do what was recorded: at {format_instant(instant_ns)} (entry {n}) expected {expected}, "
        f"found {found}; its code, its configuration or something that it reads besides its ports is not as it was",
        n=n, instant_ns=instant_ns, participant=participant, expected=expected, found=found,
    )  # fmt: skip
