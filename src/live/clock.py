"""LiveClock: the wall clock of a bot whose turns are recorded, or given out as they were recorded.

Time stands still during a turn, as it does under a clock that controls time: what a participant does in one turn
happens at one instant, and no two turns share one. A clock with a script gives the turns as the script says, with the
instants that it says. When the script ends, the clock goes on by itself, which is how a killed bot resumes; or the run
ends there, which is a replay.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from src.core.clock import Participant
from src.core.errors import Stopping
from src.core.sync import current_participant
from src.core.wall_clock import Seat, WallClock
from src.live.script import ReplayDivergedError, Script, Turn

__all__ = ["RECORDING_ENDS", "LiveClock", "TurnLog", "TurnWatch"]

#: Why a replay stops that has come to the end of what was recorded of a killed run.
RECORDING_ENDS = "the recording ends here"
EVERYBODY_LEFT = "everybody has left"


class TurnLog(Protocol):
    """Told which participant goes on."""

    def turn(self, instant_ns: int, participant: str, what: str) -> None:
        """A participant goes on in its own code at an instant; `what` is one of the words of the wall clock."""
        ...

    def ended(self, instant_ns: int, why: str) -> None:
        """Something outside the bot ends the run."""
        ...


class TurnWatch(Protocol):
    """Told who has the turn, for whoever looks after threads that hang."""

    def turn_began(self, name: str) -> None:
        """A participant has the turn."""
        ...

    def turn_ended(self, name: str) -> None:
        """It has given it away."""
        ...

    def expect(self, name: str, *, poll_ns: int) -> None:
        """A participant works from now on, and has the turn at least so often, if only to look; real nanoseconds."""
        ...

    def polled(self, name: str) -> None:
        """It has looked."""
        ...

    def left(self, name: str) -> None:
        """It has ended."""
        ...


class LiveClock(WallClock):
    """See `src.core.clock.Clock` and the module's text.

    Args:
        log: told of each turn that the clock gives by itself.
        watch: told who has the turn.
        script: turns to give first.
        at_end: called when the script has ended, with nobody's turn; without it the run ends there.
        speed, origin_ns: see `WallClock`.
    """

    def __init__(
        self, log: TurnLog, *, script: Script | None = None, at_end: Callable[[], None] | None = None,
        watch: TurnWatch | None = None, speed: float = 1.0, origin_ns: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(speed, origin_ns)
        self._log = log
        self._watch = watch
        self._script = script
        self._at_end = at_end
        #: Participants that belong to the composition and not to the bot: nobody records their turns.
        self._aside: set[str] = set()
        self._turn: Turn | None = None
        self._turn_ns = 0
        self._last_ns = 0
        self._at_end_too: Callable[[], None] | None = None
        #: Nothing counts any more: the script was not followed to its end.
        self.is_void = False
        #: What ended the run was none of the bot's.
        self.failed_outside = False
        self.difference: ReplayDivergedError | None = None

    def spawn_aside(self, participant: Participant, run: Callable[[], None]) -> None:
        """As `spawn`, for a participant that is no part of the bot: it has no turns in the script, and none is told."""
        self._aside.add(participant.name)
        self.spawn(participant, run)

    @property
    def is_scripted(self) -> bool:
        """Whether turns are given as the script says."""
        return self._script is not None

    def now_ns(self) -> int:
        """See `Clock.now_ns`; stands still during the caller's turn."""
        holder = self._holder
        if holder is not None and holder is self._seats.get(current_participant.get()):
            return self._turn_ns
        return super().now_ns()

    def present_ns(self) -> int:
        """The present as it moves, also while somebody has the turn; never waits."""
        return super().now_ns()

    def await_reply(self) -> dict[str, Any] | None:
        """Give the turn away until the script has a reply for the caller; None when it ends without one.

        Called in a turn of a clock with a script.
        """
        seat = self._me()
        seat.nudge.clear()
        seat.ready, seat.due_ns = False, None
        self._turn = None
        self._pass_turn_on()
        seat.nudge.wait()
        self._take_turn(seat)
        turn = self._turn
        return None if self._script is None or turn is None else turn.reply

    def go_on(self) -> None:
        """The script has ended: let the clock go on by itself; called in a turn, or by the clock."""
        self._script = None
        if self._at_end is None:
            self.is_void = True
            self.stop(RECORDING_ENDS)
        if self.is_void or self._at_end is None:
            return
        try:
            self._at_end()
            if self._at_end_too is not None:
                self._at_end_too()
        except Stopping:
            return  # who has raised it has ended the run
        now_ns = self.present_ns()
        for seat in self._order:
            self._expect(seat)
            if seat.stepping:
                seat.due_ns = now_ns
            seat.nudge.set()

    def fail_outside(self, error: BaseException) -> None:
        """End the run because of something that is none of the bot's, so that a script can tell; in a turn.

        What the bot does from here on is its end, and a process that goes on with the run begins before it.
        """
        if not self.is_void and self._script is None and not self._stopping:
            self.failed_outside = True
            with suppress(Stopping):
                self._log.ended(self.now_ns(), f"{type(error).__name__}: {error}")
        self.fail(error)

    def void(self, error: BaseException) -> None:
        """Nothing of what is done from now on can be kept, so nothing counts any more."""
        self.is_void = True
        self._script = None
        self.fail(error)

    def diverged(self, error: ReplayDivergedError) -> None:
        """The bot does something else than the script says: nothing that it does from now on counts."""
        self.difference = error
        self.void(error)

    def abandon(self, reason: str) -> None:
        """Stop before the script has ended: the run is left as it was recorded; from any thread."""
        self.is_void = True
        self._script = None
        self.stop(reason)

    def when_script_ends(self, call: Callable[[], None]) -> None:
        """Have something called when the script has ended, after what the composition does then."""
        self._at_end_too = call

    # -- see WallClock ---------------------------------------------------------------------------------

    def _first(self) -> Seat:
        turn = self._next_turn() if self._script is not None else None
        return super()._first() if turn is None else self._seats[turn.participant]

    def _take_turn(self, seat: Seat) -> None:
        super()._take_turn(seat)
        if self._script is None:
            self._turn_ns = max(self.present_ns(), self._last_ns + 1)
        elif self._turn is not None:
            self._turn_ns = self._turn.instant_ns
        self._last_ns = self._turn_ns
        if self._watch is not None:
            self._watch.turn_began(seat.name)
            self._watch.polled(seat.name)

    def _start(self, seat: Seat) -> None:
        super()._start(seat)
        if self._script is None:
            self._expect(seat)

    def _expect(self, seat: Seat) -> None:
        if self._watch is not None:
            self._watch.expect(seat.name, poll_ns=round(seat.participant.poll_ns / self._speed))

    def _give_up(self, seat: Seat) -> None:
        if self._watch is not None:
            self._watch.left(seat.name)
        super()._give_up(seat)

    def _pass_turn_on(self) -> None:
        if self._watch is not None and self._holder is not None:
            self._watch.turn_ended(self._holder.name)
        super()._pass_turn_on()

    def _goes_on(self, seat: Seat, what: str) -> None:
        if seat.name in self._aside or self.is_void:
            return
        script = self._script  # a signal may end it at any moment
        if script is None:
            self._log.turn(self._turn_ns, seat.name, what)
            return
        try:
            script.check(self._turn, seat.name, what)
        except ReplayDivergedError as error:
            self.diverged(error)
            raise Stopping from error

    def _has_work(self, seat: Seat) -> bool:
        # What was recorded as a step is one: idle turns are not in the script.
        return self._script is not None or super()._has_work(seat)

    def _give_to_first(self) -> Seat | None:
        if self._script is not None and all(seat.name in self._aside for seat in self._order):
            # Everybody of the bot has left; what the script holds still is told when the journal closes.
            if not self._stopping:
                self.stop(EVERYBODY_LEFT)
            return super()._give_to_first()
        turn = self._next_turn() if self._script is not None else None
        if turn is None:
            return super()._give_to_first()
        seat = self._seats[turn.participant]
        self._holder = seat
        seat.ready = seat.asking = False
        seat.passed_over = 0
        seat.nudge.set()
        return seat

    def _next_turn(self) -> Turn | None:
        """The next turn of the script; None when it has ended, and the clock goes on by itself or stops."""
        script = self._script
        if script is None:
            return None
        try:
            turn = script.next_turn()
            if turn is not None and turn.participant not in self._seats:
                raise script.unknown(turn)
            if turn is None:
                self.go_on()
        except ReplayDivergedError as error:
            self.diverged(error)
            return None
        except Exception as error:  # nobody's turn, so nobody else could answer for it
            self.void(error)
            return None
        self._turn = turn
        return turn
