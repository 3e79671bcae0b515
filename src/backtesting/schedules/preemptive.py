"""Another order for each seed, in which a turn may be cut short at the entry and exit of each broker call.

Live, a participant gives its turn away while a broker call is on the network; this policy makes that happen at any of
these points. Every participant has a priority, a hash of (seed, instant, name), that is drawn anew as it meets
preemption points. How often it is drawn, and how far those that ran already stand back then, differs from instant to
instant, so that everything occurs between long undisturbed turns and a change at every point. Nothing but the seed,
the instant, the names and their own counts of preemption points decides: one idle turn more or less does not reorder
the others.
"""

from collections.abc import Sequence

from src.backtesting.schedules.policy import Candidate, SchedulePolicy
from src.core.rng import stable_hash

__all__ = ["Preemptive", "make"]

#: Priorities last for 1, 2, 4 or 8 preemption points.
_PACES = 4
#: What each new draw adds, where a draw is below 2**64: nothing, or up to so much that all take turns round by round.
_HANDICAPS = (0, 1 << 62, 1 << 63, 1 << 64)


class Preemptive:
    """The least priority goes first, also when that ends the turn of the running participant early.

    Args:
        seed: which order.
    """

    in_order = False
    preempts = True

    def __init__(self, seed: int) -> None:
        self._seed = seed
        # Only to be quick: the hashes of the present instant.
        self._now_ns = -1
        self._pace = 0
        self._handicap = 0
        self._first: dict[str, int] = {}
        self._drawn: dict[tuple[str, int], tuple[int, str]] = {}

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """See `SchedulePolicy`."""
        if now_ns != self._now_ns:
            self._now_ns = now_ns
            kind = stable_hash(self._seed, now_ns)
            self._pace = kind % _PACES
            self._handicap = _HANDICAPS[kind // _PACES % len(_HANDICAPS)]
            self._first.clear()
            self._drawn.clear()
        return min(range(len(ready)), key=[self._priority(candidate) for candidate in ready].__getitem__)

    def _priority(self, candidate: Candidate) -> tuple[int, str]:
        name = candidate.name
        first = self._first.get(name)
        if first is None:
            # Where in its present period the participant begins, so that entries and exits are hit alike.
            first = self._first[name] = stable_hash(self._seed, self._now_ns, name) % (1 << _PACES)
        period = ((first + candidate.yields) >> self._pace) - (first >> self._pace)
        drawn = self._drawn.get((name, period))
        if drawn is None:
            priority = stable_hash(self._seed, self._now_ns, name, period) + period * self._handicap
            drawn = self._drawn[name, period] = (priority, name)
        return drawn

    def describe(self) -> str:
        """See `SchedulePolicy`."""
        return f"1:preemptive:{self._seed}"


def make(seed: int) -> SchedulePolicy:
    """The policy for a seed."""
    return Preemptive(seed)
