"""Keeps what another policy decides, as a string that makes the same decisions again."""

from collections.abc import Sequence

from src.backtesting.schedules.deviations import Deviation, replay_string
from src.backtesting.schedules.policy import Candidate, EndChecked, SchedulePolicy, undisturbed

__all__ = ["Recording"]


class Recording:
    """Decides as `policy` does and remembers where that deviates from `fifo`.

    One recording is of one run; a run that begins earlier than the present instant starts it anew.

    Args:
        policy: who really decides.

    Attributes:
        deviations: so far, in order.
    """

    in_order = False

    def __init__(self, policy: SchedulePolicy) -> None:
        self.preempts = policy.preempts
        self.deviations: list[Deviation] = []
        self._policy = policy
        self._now_ns = -1
        self._number = 0

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """See `SchedulePolicy`."""
        if now_ns != self._now_ns:
            if now_ns < self._now_ns:
                self.deviations.clear()
            self._now_ns, self._number = now_ns, 0
        index = self._policy.choose(ready, now_ns)
        if index != undisturbed(ready):
            self.deviations.append(Deviation(instant_ns=now_ns, number=self._number, index=index))
        self._number += 1
        return index

    def finish(self) -> None:
        """See `EndChecked`."""
        if isinstance(self._policy, EndChecked):
            self._policy.finish()

    def describe(self) -> str:
        """See `SchedulePolicy`: the recorded policy's own description, because recording changes nothing."""
        return self._policy.describe()

    def replay_string(self) -> str:
        """The value of `backtest.schedule` whose run has the same digest; long for long runs."""
        return replay_string(self.deviations, preempts=self.preempts)
