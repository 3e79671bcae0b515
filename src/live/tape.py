"""Tape: writes down what the bot is told and what it asks, as entries of its recording.

Nothing is written while the bot follows a script, since it is there already. When something cannot be written, the bot
does nothing more: what is not written down must not be sent, and a recording with a hole tells nothing. Used by the
holder of the turn.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from src.core.errors import DataError, Stopping
from src.core.journal import JournalRecord
from src.live.recording import Recording

__all__ = ["Tape"]


class Tape:
    """See the module's text.

    Args:
        recording: where to; None writes nothing, for a replay.
        writing: False until a script has ended.

    Attributes:
        failed: told that nothing can be written any more; whoever wanted to write gets `Stopping`.
    """

    def __init__(self, recording: Recording | None, *, writing: bool = True) -> None:
        self._recording = recording
        self.writing = writing and recording is not None
        self.failed: Callable[[DataError], None] = _raised

    def begin(self) -> None:
        """Write from now on: the script has ended."""
        self.writing = self._recording is not None

    def _write(self, instant_ns: int, kind: str, participant: str, body: Mapping[str, Any]) -> None:
        if self.writing and self._recording is not None:
            recording = self._recording
            self._try(lambda: recording.write(instant_ns, kind, participant, body))

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except DataError as error:
            self.writing = False
            self.failed(error)
            raise Stopping from error

    def turn(self, instant_ns: int, participant: str, what: str) -> None:
        """See `TurnLog.turn`."""
        self._write(instant_ns, "turn", participant, {"what": what})

    def world(self, instant_ns: int, change: Mapping[str, Any]) -> None:
        """Something became visible."""
        self._write(instant_ns, "world", "", change)

    def call(self, instant_ns: int, participant: str, body: Mapping[str, Any]) -> None:
        """Something is about to be sent; it is on the disk when this returns."""
        self._write(instant_ns, "call", participant, body)
        if self.writing and self._recording is not None:
            self._try(self._recording.make_durable)

    def reply(self, instant_ns: int, participant: str, body: Mapping[str, Any]) -> None:
        """What came back."""
        self._write(instant_ns, "reply", participant, body)
        self.commit()

    def read(self, instant_ns: int, participant: str, asked: Sequence[Any], told: Any) -> None:
        """A question that is answered at once by what is not part of the world, and its answer."""
        self._write(instant_ns, "read", participant, {"asked": asked, "told": told})

    def command(self, instant_ns: int, body: Mapping[str, Any]) -> None:
        """The operator wants something."""
        self._write(instant_ns, "command", "", body)

    def resumed(self, instant_ns: int, skips_from: int) -> None:
        """A process goes on with the run; what was written from entry `skips_from` on is the end of the one before."""
        self._write(instant_ns, "resumed", "", {"skips_from": skips_from})

    def ended(self, instant_ns: int, why: str) -> None:
        """Something outside the bot went wrong: what follows is the end of this process, and no part of the run."""
        self._write(instant_ns, "ended", "", {"why": why})

    def known(self, instant_ns: int, request: Mapping[str, Any], *, answered: bool) -> None:
        """A run of before has sent this order, and it may matter still."""
        self._write(instant_ns, "known", "", {"request": request, "answered": answered})

    def note(self, instant_ns: int, what: str, **values: Any) -> None:
        """Something for people, and for whoever compares recordings; never replayed."""
        self._write(instant_ns, "note", "", {"what": what, **values})

    def outcomes(self, records: Sequence[JournalRecord]) -> None:
        """Settled records of the journal."""
        for each in records:
            values = [str(value) if isinstance(value, str) else value for value in each.values]
            body = {"stream": each.stream, "kind": each.kind, "values": values}
            self._write(each.instant_ns, "outcome", each.participant, body)

    def commit(self) -> None:
        """Let what was written outlive the process."""
        if self.writing and self._recording is not None:
            self._try(self._recording.commit)


def _raised(error: DataError) -> None:
    raise error
