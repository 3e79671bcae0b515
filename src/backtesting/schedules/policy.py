"""The port of schedule policies.

Called by the holder of the turn between two turns; a policy needs no lock and must not wait.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

__all__ = ["Candidate", "EndChecked", "SchedulePolicy", "undisturbed"]


class Candidate(Protocol):
    """A participant that is ready to take a turn.

    Attributes:
        name: unique in a run.
        yields: how many preemption points it has met at the present instant; always 0 unless the policy preempts.
        yielding: whether it is the running participant, asked at a preemption point whether it keeps the turn.
    """

    @property
    def name(self) -> str: ...
    @property
    def yields(self) -> int: ...
    @property
    def yielding(self) -> bool: ...


class SchedulePolicy(Protocol):
    """Chooses among the ready participants.

    The choice must be a function of the arguments and of the policy's own seed alone: not of how often it was asked,
    of addresses, or of time.

    Attributes:
        in_order: True when the choice is always 0; the policy is then not asked.
        preempts: whether the running participant may lose its turn at the entry and exit of a broker call. Such a
            policy is asked there too, with that participant among the ready ones.
    """

    @property
    def in_order(self) -> bool: ...
    @property
    def preempts(self) -> bool: ...

    def choose(self, ready: Sequence[Candidate], now_ns: int) -> int:
        """The index in `ready`, which holds at least two participants in key order, of the one that goes next."""
        ...

    def describe(self) -> str:
        """The policy and its seed as one string, part of the identity of a run.

        It is a replay string: as the value of `backtest.schedule` it makes the same choices again.
        """
        ...


@runtime_checkable
class EndChecked(Protocol):
    """A policy that has to be told that a run came to its own end."""

    def finish(self) -> None:
        """Called after the last turn of a run that was neither stopped nor failed.

        Raises:
            ConfigError: the policy does not fit the run that has just ended.
        """
        ...


def undisturbed(ready: Sequence[Candidate]) -> int:
    """What `fifo` chooses: at a preemption point the running participant goes on, else the first in key order does."""
    for index, candidate in enumerate(ready):
        if candidate.yielding:
            return index
    return 0
