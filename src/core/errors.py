"""Every error Lockstep raises, in one place; a class answers the question *who must act*.

Any thread may raise them. Each one survives pickling with its attributes, because an exception that cannot be
rebuilt hangs or breaks the process pools of the standard library.
"""

from collections.abc import Callable
from typing import Any

from src.core.texts import writable

__all__ = [
    "BrokerContractError",
    "BrokerUnavailable",
    "ConfigError",
    "DataError",
    "DeadlockError",
    "DeterminismError",
    "InternalError",
    "LeftError",
    "LivelockError",
    "LockstepError",
    "PreflightError",
    "SchedulingError",
    "StalledThreadError",
    "Stopping",
    "StrategyError",
    "invariant",
]


def _rebuild(cls: "type[LockstepError]", message: str, details: dict[str, Any]) -> "LockstepError":
    return cls(message, **details)


class LockstepError(Exception):
    """Base of all errors: one sentence, and the values that it speaks of as attributes.

    Attributes:
        message: what was expected, what was found, what to do.
        details: the named values; each is also an attribute of the error.
        exit_code: what the command line returns when this error ends the program.
    """

    exit_code = 1

    def __init__(self, message: str, **details: Any) -> None:
        # The texts of other errors are quoted here, and whatever they hold has to be written to files and terminals.
        message = writable(message)
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = {
            name: writable(value) if isinstance(value, str) else value for name, value in details.items()
        }

    def __getattr__(self, name: str) -> Any:
        # Only called when normal lookup fails; `details` itself may be missing while unpickling.
        details = self.__dict__.get("details", {})
        if name in details:
            return details[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __reduce__(self) -> tuple[Callable[..., "LockstepError"], tuple[Any, ...]]:
        return _rebuild, (type(self), self.message, self.details)


class ConfigError(LockstepError):
    """The user must act: a configuration, an argument or a strategy file is wrong."""

    exit_code = 2


class DataError(LockstepError):
    """The owner of the data must act: a file or a stored series is not what it must be."""

    exit_code = 2


class PreflightError(DataError):
    """The data lack what the run needs; the run was refused before it began."""

    exit_code = 3


class BrokerUnavailable(LockstepError):
    """Nobody need act yet: the broker did not answer, the call may be tried again."""


class BrokerContractError(LockstepError):
    """The author of a broker adapter must act: it broke the contract of the Broker port."""


class StrategyError(LockstepError):
    """The author of a strategy must act; `symbol`, `instant_ns` and `strategy` say where."""


class DeterminismError(LockstepError):
    """The same inputs gave another digest: something outside the inputs decided."""

    exit_code = 4


class SchedulingError(LockstepError):
    """Base of the errors of turn-taking; each names the participants and what they wait for."""


class DeadlockError(SchedulingError):
    """Nobody is ready, no timer is set, and nobody waits for the market."""


class LeftError(SchedulingError):
    """A participant waited although it had given up its place for good."""


class LivelockError(SchedulingError):
    """Participants take turn after turn and virtual time does not move."""


class StalledThreadError(SchedulingError):
    """A participant did not give its turn back within the allowed real time."""


class InternalError(LockstepError):
    """We must act: an invariant of Lockstep itself does not hold."""


class Stopping(BaseException):
    """Raised by every wait but `wait_for_next_step` when the run stops; not an error, never swallow it."""


def invariant(condition: bool, message: str, **details: Any) -> None:
    """Raise `InternalError(message)` unless `condition` holds; unlike `assert` it stays on in production."""
    if not condition:
        raise InternalError(message, **details)
