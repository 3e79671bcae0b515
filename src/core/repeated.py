"""Attempts that are made again until they succeed, by a participant of their own.

For what has to be asked again because nobody answered. The participant belongs to no symbol, so what a worker began
goes on when that worker has ended. Between two attempts there is a pause, which doubles after the first few, so that a
venue that is away for a day is not asked thousands of times.

`begin` and `end` are called inside turns, the attempts in the turns of the participant that calls `make_due`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from src.core.clock import PHASE_MONITOR, Clock, Participant
from src.core.errors import Stopping
from src.core.timeframe import MINUTE_NS

__all__ = ["RECOVERY", "Attempt", "Repeated"]

#: The participant, which there is only where a broker's answers are not certain.
RECOVERY = "monitor:recovery"

Attempt = Callable[[], bool]

PATIENT_AFTER = 6
LONGEST_PAUSE_NS = 5 * MINUTE_NS


@dataclass(slots=True)
class _Open:
    attempt: Attempt
    due_ns: int
    pause_ns: int
    count: int = 1


class Repeated:
    """What has still to be done, by key; a newer attempt of the same key takes the place of the older one.

    Args:
        clock: where the pauses pass.
        pause_ns: between two attempts at first, nanoseconds.
    """

    def __init__(self, clock: Clock, pause_ns: int) -> None:
        self._clock = clock
        self._pause_ns = pause_ns
        self._open: dict[tuple[str, str], _Open] = {}

    def start(self, poll_ns: int) -> None:
        """Register the participant; once, before the clock runs.

        Args:
            poll_ns: how often a clock that really waits looks whether something is due.
        """
        me = Participant(name=RECOVERY, phase=PHASE_MONITOR, rank=1, wake=self, timed=True, poll_ns=poll_ns)
        self._clock.spawn(me, self._run)

    # -- what the participant waits for ------------------------------------------------------------

    def __call__(self) -> bool:
        """See `Wake`: whether something is due."""
        due_ns = self.next_due_ns()
        return due_ns is not None and due_ns <= self._clock.now_ns()

    def next_due_ns(self) -> int | None:
        """See `Wake`: when the next attempt is to be made."""
        return min([each.due_ns for each in self._open.values()], default=None)

    # -- what is to be done ------------------------------------------------------------------------

    def begin(self, key: tuple[str, str], attempt: Attempt, *, pause_ns: int | None = None) -> None:
        """Have `attempt` called after a pause, and again until it returns True."""
        pause_ns = self._pause_ns if pause_ns is None else pause_ns
        self._open[key] = _Open(attempt, self._clock.now_ns() + pause_ns, pause_ns)

    def end(self, key: tuple[str, str]) -> None:
        """It need not be done any more."""
        self._open.pop(key, None)

    def make_due(self) -> None:
        """Make the attempts that are due, in the order in which they were begun."""
        now = self._clock.now_ns()
        for key, each in list(self._open.items()):
            if each.due_ns > now or self._open.get(key) is not each:
                continue
            done = each.attempt()
            if self._open.get(key) is not each:
                continue  # ended, or begun anew, by the attempt itself
            if done:
                del self._open[key]
                continue
            if each.count >= PATIENT_AFTER:
                each.pause_ns = max(each.pause_ns, min(2 * each.pause_ns, LONGEST_PAUSE_NS))
            each.count += 1
            each.due_ns = now + each.pause_ns

    def _run(self) -> None:
        try:
            while self._clock.wait_for_next_step(RECOVERY):
                self.make_due()
        except Stopping:
            pass
        except BaseException as error:  # what is not recovered nobody watches, so this ends the run
            self._clock.fail(error)
        finally:
            self._clock.leave(RECOVERY)
