"""The port of schedule policies.

Called by the holder of the turn between two turns; a policy needs no lock and must not wait.
"""

from collections.abc import Sequence
from typing import Protocol

__all__ = ["Candidate", "SchedulePolicy"]


class Candidate(Protocol):
    """A participant that is ready to take a turn."""

    @property
    def name(self) -> str: ...


class SchedulePolicy(Protocol):
    """Chooses among the ready participants.

    The choice must be a function of the arguments and of the policy's own seed alone: not of how often it was asked,
    of addresses, or of time.
    """

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """The index in `ready`, which holds at least two participants in key order, of the one that goes next."""
        ...

    def describe(self) -> str:
        """The policy and its seed as one string, part of the identity of a run."""
        ...
