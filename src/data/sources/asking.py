"""Asking somebody who may not answer: again after a while, a bounded number of times.

Called by one thread, which waits here. The wait is handed in, so that nobody else has to know how time passes; the
delays double and hold no chance, so that the same answers give the same delays.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from src.core.errors import BrokerUnavailable
from src.core.sync import Event

__all__ = ["Patience", "Unanswered", "ask", "real_wait"]

T = TypeVar("T")

Wait = Callable[[float], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to go on.

    Attributes:
        tries: how often a question is put at most.
        first_s: the delay after the first failure, in seconds; each later one is twice as long.
        longest_s: no delay is longer, whatever the other side asks for.
    """

    tries: int = 7
    first_s: float = 1.0
    longest_s: float = 60.0

    def delay_s(self, failures: int, asked_for_s: float | None = None) -> float:
        """The delay after so many failures, in seconds; at least what the other side asked for."""
        return min(max(self.first_s * 2.0 ** (failures - 1), asked_for_s or 0.0), self.longest_s)


class Unanswered(Exception):  # never leaves this package: `ask` turns it into `BrokerUnavailable`
    """The question was not answered and may be put again, not before `after_s` seconds when that is known."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason, after_s)
        self.reason = reason
        self.after_s = after_s


def real_wait(seconds: float) -> None:
    """Let so many real seconds pass; Ctrl-C ends it."""
    Event().wait(seconds)


def ask(call: Callable[[], T], who: str, wait: Wait, patience: Patience) -> T:
    """What `call` returns, put again after each `Unanswered`.

    Raises:
        BrokerUnavailable: it was not answered as often as `patience` allows; the sentence has the last reason.
    """
    failures = 0
    while True:
        try:
            return call()
        except Unanswered as error:
            failures += 1
            if failures >= patience.tries:
                raise BrokerUnavailable(
                    f"{who} did not answer, asked {failures} times: {error.reason}; what came before is stored, the "
                    f"same command goes on from there",
                    source=who, tries=failures,
                ) from error  # fmt: skip
            wait(patience.delay_s(failures, error.after_s))
