"""Makes recorded decisions again: those of a replay string, and everywhere else the choice of `fifo`.

A recording fits one configuration, its data and one version; where it meets a run that has no such decision, it says
so and does not go on.
"""

from collections.abc import Sequence

from src.backtesting.schedules.deviations import KINDS, Deviation, parse_deviations, replay_string
from src.backtesting.schedules.policy import Candidate, SchedulePolicy, undisturbed
from src.core.errors import ConfigError
from src.core.timeframe import format_instant

__all__ = ["Replay", "make"]


class Replay:
    """Makes the recorded decisions again.

    Args:
        deviations: in order.
        preempts: whether they were recorded under a policy that preempts.
        text: as it was given, for `describe`; made from the deviations otherwise.
    """

    in_order = False

    def __init__(self, deviations: Sequence[Deviation], *, preempts: bool, text: str = "") -> None:
        self.preempts = preempts
        self._deviations = tuple(deviations)
        self._text = text or replay_string(deviations, preempts=preempts)
        self._now_ns = -1
        self._number = 0
        self._next = 0

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """See `SchedulePolicy`.

        Raises:
            ConfigError: a recorded decision is not one that this run has to make.
        """
        if now_ns != self._now_ns:
            if now_ns < self._now_ns:  # the same policy in another run
                self._next = 0
            self._now_ns, self._number = now_ns, 0
        here = (now_ns, self._number)
        self._number += 1
        usual = undisturbed(ready)
        if self._next == len(self._deviations):
            return usual
        due = self._deviations[self._next]
        if here < (due.instant_ns, due.number):
            return usual
        if here > (due.instant_ns, due.number):
            raise _foreign(due, "this run comes to no such decision")
        if due.index >= len(ready):
            raise _foreign(due, f"this run has only {len(ready)} ready participants there")
        if due.index == usual:
            raise _foreign(due, "in this run that is none")
        self._next += 1
        return due.index

    def finish(self) -> None:
        """See `EndChecked`; refuses recorded decisions that the run never came to."""
        if self._next < len(self._deviations):
            raise _foreign(self._deviations[self._next], "this run comes to no such decision")
        self._now_ns, self._next = -1, 0

    def describe(self) -> str:
        """See `SchedulePolicy`."""
        return self._text


def _foreign(due: Deviation, found: str) -> ConfigError:
    return ConfigError(
        f"the replayed schedule was recorded from another configuration or version: it deviates from fifo at "
        f"{format_instant(due.instant_ns)}, decision {due.number}, participant {due.index}, but {found}; "
        "replay it with the configuration, data and version it was recorded from",
        instant_ns=due.instant_ns,
        number=due.number,
        index=due.index,
    )


def make(kind: str, text: str) -> SchedulePolicy:
    """The policy of a replay string.

    Args:
        kind: one of `KINDS`.
        text: what follows it.

    Raises:
        ConfigError: the text is not one that a recording prints.
    """
    preempts = KINDS[kind]
    return Replay(parse_deviations(text, preempts=preempts), preempts=preempts, text=f"1:{kind}:{text}")
