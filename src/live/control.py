"""Control: brings what the operator wants into the bot, one command at a time, each written down before it is done.

Commands come from other processes, through the durable state of the account, and from the signals of this process. The
participant that executes them is the operator, a part of the bot whose turns are recorded; this one only looks.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from src.core.clock import PHASE_TIMER, Participant
from src.core.errors import DataError, Stopping
from src.core.timeframe import SECOND_NS
from src.live.clock import LiveClock
from src.live.feed import Periodic
from src.live.tape import Tape

__all__ = ["CONTROL", "OPERATOR", "Control", "Inbox", "OperatorThread"]

CONTROL, OPERATOR = "control", "operator"

#: How often, in real time, somebody looks for commands.
LOOK_NS = SECOND_NS // 4
#: So often in a row the commands may not be to be had.
_MOST_FAILURES = 40


class Inbox:
    """Commands that wait for the operator; a wake predicate of its participant."""

    def __init__(self) -> None:
        self.waiting: deque[dict[str, Any]] = deque()

    def __call__(self) -> bool:
        """See `Wake`."""
        return bool(self.waiting)

    def next_due_ns(self) -> None:
        """See `Wake`."""
        return


class Executor(Protocol):
    """Does what the operator wants."""

    def __call__(self, body: Mapping[str, Any]) -> None:
        """Execute a command, in the operator's turn."""
        ...


class OperatorThread:
    """The participant that executes commands, the same in a live run and in its replay.

    Args:
        execute: does what a command says, in a turn.
    """

    def __init__(self, clock: LiveClock, inbox: Inbox, execute: Executor) -> None:
        self._clock = clock
        self._inbox = inbox
        self._execute = execute

    def start(self) -> None:
        """Register it; once, before the clock runs."""
        me = Participant(name=OPERATOR, phase=PHASE_TIMER, rank=0, wake=self._inbox, poll_ns=SECOND_NS)
        self._clock.spawn(me, self._run)

    def _run(self) -> None:
        try:
            while self._clock.wait_for_next_step(OPERATOR):
                while self._inbox.waiting:
                    self._execute(self._inbox.waiting.popleft())
        except Stopping:
            pass
        except BaseException as error:  # a command that cannot be executed is answered; anything else is a defect
            self._clock.fail(error)
        finally:
            self._clock.leave(OPERATOR)


class Control:
    """See the module's text.

    Args:
        take: the commands that other processes have given since the last time, as plain values.
        speed: of the clock, against real time.
    """

    def __init__(
        self, clock: LiveClock, tape: Tape, inbox: Inbox, take: Callable[[], Sequence[dict[str, Any]]], speed: float
    ) -> None:
        self._clock = clock
        self._tape = tape
        self._inbox = inbox
        self._take = take
        self._failures = 0
        self._own: deque[dict[str, Any]] = deque()
        self._planned: list[tuple[int, dict[str, Any]]] = []
        self._wake = Periodic(round(LOOK_NS * speed), clock.now_ns)

    def ask(self, body: dict[str, Any]) -> None:
        """Give a command from within this process; from any thread, and from a signal's handler."""
        self._own.append(body)

    def ask_at(self, instant_ns: int, body: dict[str, Any]) -> None:
        """Give a command when an instant has come; before the start."""
        self._planned.append((instant_ns, body))

    def start(self) -> None:
        """Register it; once, before the clock runs."""
        me = Participant(name=CONTROL, phase=0, rank=1, wake=self._wake, timed=True)
        self._clock.spawn_aside(me, self._run)

    def _taken(self) -> Sequence[dict[str, Any]]:
        try:
            found = self._take()
        except DataError:  # somebody holds the file, or the disk is full: what waits there waits on
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                raise
            return ()
        self._failures = 0
        return found

    def _run(self) -> None:
        try:
            while self._clock.wait_for_next_step(CONTROL):
                self._wake.begin()
                bodies = [*self._taken()]
                while self._own:
                    bodies.append(self._own.popleft())
                now_ns = self._clock.now_ns()
                bodies += [body for at_ns, body in self._planned if at_ns <= now_ns]
                self._planned = [each for each in self._planned if each[0] > now_ns]
                for body in bodies:
                    self._tape.command(self._clock.now_ns(), body)
                    self._inbox.waiting.append(body)
                if bodies:
                    self._tape.commit()
                    self._clock.ask_all()
        except Stopping:
            pass
        except BaseException as error:  # nobody could stop the bot any more
            self._clock.fail_outside(error)
        finally:
            self._clock.leave(CONTROL)
