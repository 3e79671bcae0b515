"""Virtual computing time: what if a participant acts only some while after there was something to do?

Composed only for the participants that a configuration names. The delay is a function of the run's seed, the
participant and the instant, so the same configuration gives the same run under every runtime and pace.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from src.backtesting.engine.time_controller import TimeController
from src.backtesting.engine.wakes import Late
from src.core.clock import Participant
from src.core.rng import stable_hash

__all__ = ["EVERY_WORKER", "Latency", "late_participant", "latency_of"]

#: Stands for the worker of each symbol that is not named by itself.
EVERY_WORKER = "worker:*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How late a participant is: `delay_ns`, and up to `jitter_ns` more, both included."""

    delay_ns: int
    jitter_ns: int = 0

    def at(self, seed: int, participant: str, instant_ns: int) -> int:
        """The delay in nanoseconds about what happened at `instant_ns`."""
        if not self.jitter_ns:
            return self.delay_ns
        return self.delay_ns + stable_hash(seed, "latency", participant, instant_ns) % (self.jitter_ns + 1)


def latency_of(participant: str, latencies: Mapping[str, Latency]) -> Latency | None:
    """The latency of a participant: its own, or that of `worker:*`; None when it is never late."""
    found = latencies.get(participant)
    if found is None and participant.startswith(EVERY_WORKER[:-1]):
        found = latencies.get(EVERY_WORKER)
    return found if found is not None and (found.delay_ns or found.jitter_ns) else None


def late_participant(
    participant: Participant, clock: TimeController, latencies: Mapping[str, Latency], seed: int
) -> Participant:
    """The same participant, woken later when a latency is set for it."""
    name = participant.name
    latency = latency_of(name, latencies)
    if latency is None:
        return participant
    wake = Late(
        participant.wake,
        lambda: clock.instant_ns,
        lambda instant_ns: latency.at(seed, name, instant_ns),
        is_parked=lambda: clock.is_parked(name),
        has_ended=lambda: clock.has_ended(name),
    )
    return replace(participant, wake=wake, timed=True)
