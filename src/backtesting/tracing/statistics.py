"""What a trace adds up to, as frozen records that any thread may hold on to.

All durations are real nanoseconds; instants are virtual. Nothing here is hashed or decides anything.
"""

from dataclasses import dataclass
from typing import Any

from src.core.timeframe import format_instant

__all__ = ["ParticipantTimes", "ThreadStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantTimes:
    """The real time of one participant's thread.

    Attributes:
        turns: finished turns.
        busy_ns: the sum of the turns.
        waiting_ns: between the turns, without the steps that its own thread performed.
        step_ns: the steps that its thread performed while it waited.
        bot_ns, strategy_ns, broker_ns, lock_wait_ns: the parts of `busy_ns`: in the strategy's methods, in calls of the
            broker, in waiting for a lock between threads, and the rest, which is the bot's own. Each without the
            others: a broker call inside a strategy is the broker's.
        hand_over_ns: the hand-overs to it: from the end of another's turn, or of the step, to the start of its own.
        longest_turn_ns, longest_turn_at_ns: its longest turn and the virtual instant of it, None without a turn.
        overruns: turns that took longer than the participant's poll; counted in paced and free runs only.
    """

    name: str
    turns: int
    busy_ns: int
    waiting_ns: int
    step_ns: int
    bot_ns: int
    strategy_ns: int
    broker_ns: int
    lock_wait_ns: int
    hand_overs: int
    hand_over_ns: int
    longest_turn_ns: int
    longest_turn_at_ns: int | None
    overruns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadStatistics:
    """The real time of a run, whole and by participant.

    The sums are exact, however many spans were kept.

    Attributes:
        elapsed_ns: from the start of driving to its end, or to now.
        steps, step_ns: market steps and how long they took.
        hand_overs, hand_over_ns: passages of the turn from one participant to another; a participant that goes on
            after its own turn is none.
        hand_over_median_ns, hand_over_p99_ns: over all hand-overs, None without one.
        dropped_spans: spans that ended after the buffer was full; a run without a trace keeps and drops none.
    """

    elapsed_ns: int
    steps: int
    step_ns: int
    hand_overs: int
    hand_over_ns: int
    hand_over_median_ns: int | None
    hand_over_p99_ns: int | None
    kept_spans: int
    dropped_spans: int
    participants: tuple[ParticipantTimes, ...]

    @property
    def turns(self) -> int:
        """Turns of all participants."""
        return sum(each.turns for each in self.participants)

    @property
    def overruns(self) -> int:
        """Overruns of all participants."""
        return sum(each.overruns for each in self.participants)

    def share(self, duration_ns: int) -> float:
        """A duration as a part of the whole run, 0 before it began."""
        return duration_ns / self.elapsed_ns if self.elapsed_ns > 0 else 0.0

    @property
    def bot_share(self) -> float:
        """Part of the run's time inside turns, but neither in a strategy nor in a call of the broker."""
        return self.share(sum(each.bot_ns for each in self.participants))

    @property
    def strategy_share(self) -> float:
        """Part of the run's time inside strategies."""
        return self.share(sum(each.strategy_ns for each in self.participants))

    @property
    def broker_share(self) -> float:
        """Part of the run's time inside calls of the broker."""
        return self.share(sum(each.broker_ns for each in self.participants))

    @property
    def hand_over_share(self) -> float:
        """Part of the run's time between one participant's turn, or a step, and another's."""
        return self.share(self.hand_over_ns)

    @property
    def step_share(self) -> float:
        """Part of the run's time inside market steps."""
        return self.share(self.step_ns)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in seconds and microseconds; shares are parts of `elapsed_s`."""
        return {
            "elapsed_s": self.elapsed_ns / 1e9,
            "steps_s": self.step_ns / 1e9,
            "hand_over": {
                "count": self.hand_overs,
                "seconds": self.hand_over_ns / 1e9,
                "median_us": _us(self.hand_over_median_ns),
                "p99_us": _us(self.hand_over_p99_ns),
            },
            "shares": {
                "bot": self.bot_share,
                "strategy": self.strategy_share,
                "broker": self.broker_share,
                "hand_over": self.hand_over_share,
                "step": self.step_share,
            },
            "spans": {"kept": self.kept_spans, "dropped": self.dropped_spans},
            "overruns": self.overruns,
            "participants": {each.name: self._participant(each) for each in self.participants},
        }

    def _participant(self, each: ParticipantTimes) -> dict[str, Any]:
        at_ns = each.longest_turn_at_ns
        return {
            "turns": each.turns,
            "busy_s": each.busy_ns / 1e9,
            "waiting_s": each.waiting_ns / 1e9,
            "step_s": each.step_ns / 1e9,
            "lock_wait_s": each.lock_wait_ns / 1e9,
            "longest_turn_s": each.longest_turn_ns / 1e9,
            "longest_turn_at": None if at_ns is None else format_instant(at_ns),
            "overruns": each.overruns,
            "shares": {
                "bot": self.share(each.bot_ns),
                "strategy": self.share(each.strategy_ns),
                "broker": self.share(each.broker_ns),
                "hand_over": self.share(each.hand_over_ns),
            },
        }


def _us(duration_ns: int | None) -> float | None:
    return None if duration_ns is None else duration_ns / 1e3
